"""Combinations of features that were found not to work together, each beside torch or NumPy."""

from __future__ import annotations

import collections
import pickle
import types
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import rusttorch.nn.functional as F
import torch
import torch.nn.functional as TF

CONTAINERS = {
    "OrderedDict": lambda a: collections.OrderedDict(a=a),
    "defaultdict": lambda a: collections.defaultdict(list, a=a),
    "SimpleNamespace": lambda a: types.SimpleNamespace(a=a),
}


def part(container: Any) -> Any:
    return container.a if isinstance(container, types.SimpleNamespace) else container["a"]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_arrays_in_containers_are_read_at_each_call(kind: str) -> None:
    make = CONTAINERS[kind]
    f = rt.fuse(lambda c: part(c) * 10)
    assert [f(make(np.full(2, v))).tolist() for v in (1.0, 2.0)] == [[10, 10], [20, 20]]
    value, grads = rt.value_and_grad(lambda c: (part(c) ** 2).sum())(make(rt.ones(2)))
    assert type(grads) is type(make(0)) and part(grads).tolist() == [2, 2] and value.item() == 2
    made = rt.fuse(lambda x: make(x * 2))(np.ones(2))
    assert type(made) is type(make(0)) and part(made).tolist() == [2, 2]


def test_a_list_of_another_class() -> None:
    class Parts(list):
        pass

    f = rt.fuse(lambda parts: parts[0] * 10)
    assert [f(Parts([np.full(2, v)])).tolist() for v in (1.0, 2.0)] == [[10, 10], [20, 20]]


def test_extremes_mean_what_their_library_means() -> None:
    a = np.random.default_rng(0).normal(size=(3, 4))
    t = torch.from_numpy(a)
    assert np.array_equal(rt.fuse(lambda x: torch.max(x, 1)[1])(a), a.argmax(1))
    assert np.array_equal(rt.fuse(lambda x: torch.min(x, 0).values * 1)(a), a.min(0))
    assert torch.equal(rt.fuse(lambda x: np.max(x, 1) * 1)(t), t.amax(1))
    assert np.array_equal(rt.fuse(lambda x: x.max(1) * 1)(a), a.max(1))
    assert torch.equal(rt.fuse(lambda x: x.max(1)[0] * 1)(t), t.amax(1))


ORDERS = [
    lambda x: x.transpose(0, 1, 2),
    lambda x: x.transpose(),
    lambda x: x.transpose(2, 0, 1),
    lambda x: x.transpose((2, 0, 1)),
    lambda x: x.transpose(None),
    lambda x: np.transpose(x),
    lambda x: np.transpose(x, axes=(1, 0, 2)),
    lambda x: np.flip(x),
    lambda x: np.flip(x, axis=(0, 2)),
]


@pytest.mark.parametrize("order", ORDERS)
def test_numpys_orders_of_dimensions(order: Any) -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(rt.fuse(lambda x: order(x) * 1)(a), order(a))
    t = torch.from_numpy(a)
    assert torch.equal(rt.fuse(lambda x: x.transpose(0, 1) * 1)(t), t.transpose(0, 1))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32, np.bool_, int, bool, float, "int16"])
def test_classes_of_numbers_are_dtypes(dtype: Any) -> None:
    x = np.array([1.5, 2.0])
    assert rt.fuse(lambda x: x.astype(dtype))(x).dtype == np.dtype(dtype)
    for array in (x, rt.tensor(x), torch.from_numpy(x)):
        assert str(rt.sum(array, dtype=dtype).dtype).rpartition(".")[2] == np.dtype(dtype).name


def test_the_default_dtype_inside_of_an_expression() -> None:
    a = np.ones(3)
    for text in ("(a > 1) * 0.5", "(a > 1) / 2", "sum(a > 1) / 3", "where(a > 1, 1, 0.5)", "a * where(a > 1, .1, .2)"):
        assert rt.evaluate(text, {"a": a}).dtype == np.float64
    assert rt.evaluate("a * where(a > 1, 0.1, 0.2)", {"a": np.array([3.0])})[0] == 3 * 0.1
    f, x = rt.expr("(x > 0) * 0.1"), torch.ones(2)
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.float64, torch.float32):
            torch.set_default_dtype(dtype)
            assert f(x).dtype == dtype and rt.expr("x * 0.1")(x).dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


def test_numbers_are_written_as_they_are() -> None:
    x = rt.zeros(2, dtype=rt.float64)
    x[0] = 0.1
    x[rt.tensor([False, True])] = 1e300
    assert x.tolist() == [0.1, 1e300]
    mask = torch.tensor([True])
    assert rt.masked_fill(torch.zeros(1, dtype=torch.float64), mask, 0.1).item() == 0.1
    assert rt.masked_fill(torch.zeros(1, dtype=torch.int64), mask, 2**53 + 1).item() == 2**53 + 1
    assert rt.index_fill(np.zeros(3), 0, np.array([1]), 0.1)[1] == 0.1
    lowest = torch.finfo(torch.float64).min
    scores = rt.masked_fill(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.bool), lowest)
    assert rt.softmax(scores, 0).tolist() == [0.5, 0.5]
    assert rt.heaviside(np.array([-1.0, 0.0, 2.0]), 0.5).tolist() == [0.0, 0.5, 1.0]


def test_bytes_are_a_mask() -> None:
    x, mask = rt.arange(12.0).reshape(3, 4), np.array([1, 0, 1], np.uint8)
    assert x[rt.tensor(mask)].shape == (2, 4) and x[mask].shape == (2, 4)
    assert rt.ones(2, 3, 4)[np.ones((2, 3), bool), ...].shape == (6, 4)
    y = rt.zeros(3)
    y[rt.tensor(mask)] = 5
    assert y.tolist() == [5, 0, 5]


def test_the_dimension_of_an_index_out_of_range() -> None:
    x = rt.zeros(3, 4)
    for key, dim in (((0, 9), 1), ((None, 0, 9), 2), ((9,), 0), ((slice(1, None), 9), 1)):
        with pytest.raises(IndexError, match=f"index 9 is out of bounds for dimension {dim}"):
            x[key]
        with pytest.raises(IndexError, match=f"index 9 is out of bounds for dimension {dim}"):
            torch.zeros(3, 4)[key]
    with pytest.raises(TypeError, match="slice indices must be integers"):
        x[1.0:2]


def test_tensors_like_one_that_records() -> None:
    x = torch.ones(3, requires_grad=True)
    for f in (rt.ones_like, rt.zeros_like, rt.empty_like, lambda x: rt.full_like(x, 2.0)):
        made = f(x)
        assert type(made) is torch.Tensor and made.shape == (3,) and not made.requires_grad
    assert rt.ones_like(np.ones((2, 3)).T).shape == (3, 2)


def test_memory_that_does_not_say_all_is_refused() -> None:
    z = torch.tensor([1 + 2j, 3 - 1j]).conj().imag
    for f in (rt.as_tensor, rt.from_dlpack):
        with pytest.raises((RuntimeError, TypeError, NotImplementedError), match="negative bit"):
            f(z)


def test_what_fuse_was_told_holds_for_gradients() -> None:
    f = rt.fuse(lambda x, n=1: (x * n if n > 1 else x).sum(), static_argnames="n")
    assert rt.value_and_grad(f)(np.ones(3), n=3)[1].tolist() == [3, 3, 3]
    g = rt.fuse(lambda x, y: (x * y + x).sum(), contract=True)
    assert "fma" in str(rt.value_and_grad(g).inspect(np.ones(3), np.ones(3)))


class Scaled:
    factor = 2.0

    @rt.fuse
    def scale(self, x: Any) -> Any:
        return x * self.factor


def test_a_fused_method_can_be_inspected() -> None:
    scale = Scaled().scale
    assert scale(np.ones(2)).tolist() == [2, 2]
    assert "kernel" in str(scale.inspect(np.ones(2))) and "kernel" in str(rt.inspect(scale, np.ones(2)))


@pytest.mark.parametrize("kind", ["numpy", "torch", "recording", "own"])
def test_parameters_that_shape_the_result(kind: str) -> None:
    """What a text hands on as a dimension or a mode is a literal wherever the text is called."""
    rt.register("along(x, dim=-1) = softmax(x, dim)")
    rt.register("along_twice(x, d=0) = along(x, d) * 2")
    make = {
        "numpy": lambda: np.ones((2, 3)),
        "torch": lambda: torch.ones(2, 3),
        "recording": lambda: torch.ones(2, 3, requires_grad=True),
        "own": lambda: rt.ones(2, 3),
    }[kind]
    x = make()
    calls = (
        (rt.along(x), 1 / 3),
        (rt.along(x, 0), 1 / 2),
        (rt.along(x, dim=0), 1 / 2),
        (rt.along_twice(x), 1.0),
        (rt.along_twice(x, 1), 2 / 3),
        (rt.expr("softmax(x, d)")(x, 1), 1 / 3),
    )
    for got, want in calls:
        np.testing.assert_allclose(got.detach() if kind in ("torch", "recording") else np.asarray(got), want, rtol=1e-6)
    tanh = rt.expr("gelu(x, approximate=how)")(x, how="tanh")
    assert np.asarray(tanh.detach() if kind in ("torch", "recording") else tanh).shape == (2, 3)
    assert "kernel" in str(rt.inspect(rt.along, x, dim=0))
    if kind == "recording":
        weights = torch.arange(6.0).reshape(2, 3)
        (rt.along(x, 0) * weights).sum().backward()
        y = make()
        (torch.softmax(y, 0) * weights).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)


def test_literals_alone_may_choose() -> None:
    x = np.array([2.0])
    assert rt.expr("a if 1 else 0")(x).tolist() == [2.0] and rt.expr("where(1, a, 0)")(x).tolist() == [2.0]
    assert rt.evaluate("1 if 1 else 0", {}) == 1


@pytest.mark.parametrize("shape", [(1,), (), (4, 1), (4, 5), (2,)])
def test_weights_of_norms_have_the_normalized_shape(shape: tuple[int, ...]) -> None:
    x, w = torch.ones(4, 5), torch.ones(shape)
    for name, args in (("layer_norm", (w,)), ("layer_norm", (None, w)), ("rms_norm", (w,))):
        messages = []
        for module in (TF, F):
            with pytest.raises(RuntimeError) as error:
                getattr(module, name)(x, (5,), *args)
            messages.append(str(error.value).split(",")[0])
        assert messages[0] == messages[1]


def test_pickles_keep_what_fuse_was_told() -> None:
    again = pickle.loads(pickle.dumps(rt.value_and_grad(rt.fuse(contract=True)(_loss))))
    assert "fma" in str(again.inspect(np.ones(3), np.ones(3)))


def _loss(x: Any, y: Any) -> Any:
    return (x * y + x).sum()
