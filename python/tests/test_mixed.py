"""Dtypes beside each other: a dtype that is asked for, parameters of float32 beside 16-bit activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import rusttorch.nn.functional
import torch

HALVES = [torch.float16, torch.bfloat16]
DTYPES = [*HALVES, torch.float32, torch.float64, torch.int16, torch.int64, torch.uint8, torch.bool]


@pytest.mark.parametrize("name", ["sum", "prod", "nansum", "mean", "nanmean", "cumsum", "vector_norm"])
@pytest.mark.parametrize("wanted", DTYPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_dtype_that_is_asked_for(name: str, wanted: torch.dtype, dtype: torch.dtype) -> None:
    x = torch.tensor([[3, 1, 0, 2], [1, 1, 2, 60]]).to(dtype)
    theirs = getattr(torch.linalg if name == "vector_norm" else torch, name)
    args = (1,) if name == "cumsum" else ()
    try:
        expected = theirs(x, *args, dtype=wanted)
    except (RuntimeError, TypeError):
        return
    got = getattr(rt, name)(x, *args, dtype=wanted)
    assert got.dtype == expected.dtype
    torch.testing.assert_close(got, expected)


def test_sums_of_16_bit_floats_as_float32() -> None:
    """They are not rounded, nor do they overflow."""
    x = np.ones(70_000, np.float16)
    x[1] = 1 / 64
    assert rt.sum(x, dtype=np.float32) == 69_999 + 1 / 64
    assert rt.fuse(lambda x: np.sum(x, dtype=np.float32))(x) == 69_999 + 1 / 64
    assert rt.evaluate("sum(x, dtype='float32')") == 69_999 + 1 / 64
    assert rt.tensor(x).sum(dtype=rt.float32).item() == 69_999 + 1 / 64


def norms(functional: Any) -> dict[str, Callable[..., Any]]:
    return {
        "layer_norm": lambda x, w, b: functional.layer_norm(x.mT, (4,), w, b),
        "rms_norm": lambda x, w, b: functional.rms_norm(x.mT, (4,), w),
        "group_norm": lambda x, w, b: functional.group_norm(x, 2, w, b),
        "batch_norm": lambda x, w, b: functional.batch_norm(x, b.detach() + 0, w.detach() + 1, w, b, True),
        "batch_norm, running": lambda x, w, b: functional.batch_norm(x, b.detach(), w.detach(), w, b),
        "instance_norm": lambda x, w, b: functional.instance_norm(x, None, None, w, b),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("name", list(norms(None)))
def test_parameters_of_float32_beside_16_bits(name: str, dtype: torch.dtype) -> None:
    data = torch.linspace(-2, 3, 24).reshape(2, 4, 3)
    results = []
    for library in (torch.nn.functional, rusttorch.nn.functional):
        x = data.to(dtype).requires_grad_()
        w, b = torch.linspace(0.5, 2, 4).requires_grad_(), torch.linspace(-1, 1, 4).requires_grad_()
        y = norms(library)[name](x, w, b)
        y.float().square().sum().backward()
        results.append([y, *(p.grad for p in (x, w, b) if p.grad is not None)])
    for got, expected in zip(results[1], results[0], strict=True):
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_loss_of_16_bits_beside_a_target_of_float32(dtype: torch.dtype) -> None:
    x, y = torch.linspace(-2, 2, 9).to(dtype), torch.linspace(-1, 3, 9)
    for a, b in ((x, y), (y, x)):
        got = rusttorch.nn.functional.huber_loss(a, b)
        expected = torch.nn.functional.huber_loss(a, b)
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got, expected)


SCALARS = [np.float64(0.5), np.float32(0.5), np.float16(0.5), np.int8(3), np.int64(3), np.bool_(True)]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scalars_of_numpy_are_numbers_beside_tensors(scalar: Any, dtype: torch.dtype) -> None:
    for x in (torch.tensor([1, 2]).to(dtype), torch.tensor(1).to(dtype)):
        expected = x * scalar
        for got in (rt.mul(x, scalar), rt.fuse(lambda a, b: a * b)(x, scalar), rt.from_dlpack(x.clone()) * scalar):
            assert str(got.dtype).partition(".")[2] == str(expected.dtype).partition(".")[2]
            assert got.tolist() == expected.tolist()


@pytest.mark.parametrize("number", [0.1, 1e300, 3, -2])
def test_float_power_of_numbers_is_not_rounded_to_float32(number: float) -> None:
    x = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(rt.float_power(number, x), torch.float_power(number, x), rtol=1e-15, atol=0)
    torch.testing.assert_close(rt.float_power(x, number), torch.float_power(x, number), rtol=1e-15, atol=0)


def test_results_of_norms_and_losses_are_of_the_first_dtype() -> None:
    x, w = torch.linspace(-1, 2, 12).reshape(3, 4), torch.linspace(0.5, 1.5, 4)
    for a, b in ((x, w.double()), (x.half(), w.double()), (x.double(), w), (x.bfloat16(), w)):
        got, expected = rusttorch.nn.functional.rms_norm(a, (4,), b), torch.nn.functional.rms_norm(a, (4,), b)
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-2)
        got, expected = (lib.huber_loss(a, a.to(b.dtype) + 1) for lib in (rusttorch.nn.functional, torch.nn.functional))
        assert got.dtype == expected.dtype


def test_closeness_of_integers_whose_difference_is_none() -> None:
    most = 2**63 - 1
    a, b = torch.tensor([most, 0, -most - 1, 2**60, 5]), torch.tensor([-1, -most - 1, -most - 1, 2**60 + 1, 6])
    assert rt.isclose(a, b).tolist() == [False, False, True, True, False]
    assert rt.isclose(a, b, rtol=0.0, atol=0.0).tolist() == [False, False, True, False, False]
    assert rt.isclose(a, b, rtol=0.0, atol=1.0).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_neighbours_of_16_bit_floats(dtype: torch.dtype) -> None:
    """All of them, towards numbers of every kind."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    for towards in (float("-inf"), -1.0, -0.0, 0.0, 2.0**-14, 1.0, 60000.0, float("inf"), float("nan")):
        b = torch.full_like(every, towards)
        got, expected = rt.nextafter(every, b), torch.nextafter(every, b)
        assert got.dtype == dtype
        same = (got.view(torch.int16) == expected.view(torch.int16)) | (got.isnan() & expected.isnan())
        assert bool(same.all())
