"""``out=`` of functions that are no kernels, beside torch: what is written, and what is refused."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch
from beside_torch import ours, same
from rusttorch import _out

torch.manual_seed(0)
M, V, B = torch.randn(3, 3), torch.randn(3), torch.randn(2, 3, 3)
ROWS, PLACES = torch.tensor([0, 2, 1]), torch.tensor([[0, 1, 2]] * 3)
CALLS: dict[str, tuple[Any, ...]] = {
    "addbmm": (M, B, B),
    "addmm": (M, M, M),
    "addmv": (V, M, V),
    "addr": (M, V, V),
    "baddbmm": (B, B, B),
    "bmm": (B, B),
    "bucketize": (V, V.sort()[0]),
    "cat": ([M, M],),
    "chain_matmul": (M, M),
    "column_stack": ([M, M],),
    "cross": (M, M, 1),
    "cummax": (M, 0),
    "cummin": (M, 0),
    "cumprod": (M, 0),
    "cumsum": (M, 0),
    "diag": (V,),
    "dstack": ([M, M],),
    "histc": (V, 10),
    "hstack": ([M, M],),
    "index_add": (M, 0, ROWS, M),
    "index_copy": (M, 0, ROWS, M),
    "index_reduce": (M, 0, ROWS, M, "amax"),
    "index_select": (M, 0, ROWS),
    "inner": (M, M),
    "isin": (V, V),
    "kron": (M, M),
    "kthvalue": (M, 2),
    "logcumsumexp": (M, 0),
    "masked_select": (M, M > 0),
    "matrix_power": (M, 2),
    "median": (M, 1),
    "mm": (M, M),
    "mode": (M,),
    "msort": (M,),
    "mv": (M, V),
    "nanmedian": (M, 1),
    "nanquantile": (M, 0.5),
    "nonzero": (M,),
    "norm": (M,),
    "quantile": (M, 0.5),
    "renorm": (M, 2, 0, 1),
    "scatter": (M, 0, PLACES, M),
    "scatter_add": (M, 0, PLACES, M),
    "scatter_reduce": (M, 0, PLACES, M, "sum"),
    "searchsorted": (V.sort()[0], V),
    "slice_scatter": (M, M),
    "sort": (M,),
    "stack": ([M, M],),
    "take": (M, ROWS),
    "tensordot": (M, M, 1),
    "topk": (M, 2),
    "vdot": (V, V),
    "vstack": ([M, M],),
}
#: ``out`` of the default rt functions: they make tensors, so there is no operand, or are kernels.
ELSEWHERE = {"aminmax", "matmul", "histogram", "logspace", "multinomial", "randperm"}


def test_every_function_is_called() -> None:
    assert set(CALLS) | ELSEWHERE == set(_out.FUNCTIONS)


def _like(x: Any, **options: Any) -> Any:
    return tuple(_like(y, **options) for y in x) if isinstance(x, tuple) else torch.empty_like(x, **options)


def _numpy(x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return type(x)(map(_numpy, x))
    return x.clone().numpy() if isinstance(x, torch.Tensor) else x


def _theirs(name: str, *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(torch, name)(*args, **kwargs)


@pytest.mark.parametrize("name", CALLS)
def test_out_is_written(name: str) -> None:
    args = CALLS[name]
    want = _theirs(name, *args)
    want = tuple(want) if isinstance(want, tuple) else want
    out = ours(_like(want))
    result = getattr(rt, name)(*ours(args), out=out)
    same(tuple(result) if isinstance(result, tuple) else result, want)
    assert all(r is o for r, o in zip(result, out, strict=True)) if isinstance(want, tuple) else result is out
    arrays = _numpy(_like(want))
    result = getattr(rt, name)(*_numpy(args), out=arrays)
    for r, o, w in zip(*((x if isinstance(want, tuple) else (x,)) for x in (result, arrays, want)), strict=True):
        assert r is o
        np.testing.assert_allclose(r, w.numpy(), rtol=1e-5, atol=1e-6)
    out = _like(want)
    with warnings.catch_warnings():
        # Of torch's deprecations.
        warnings.simplefilter("ignore")
        assert getattr(rt, name)(*args, out=out) is not None
    for o, w in zip(*((x if isinstance(want, tuple) else (x,)) for x in (out, want)), strict=True):
        torch.testing.assert_close(o, w)


def _error(call: Callable[[], Any]) -> tuple[type, str] | None:
    try:
        call()
    except Exception as error:
        return type(error), str(error).split("\n")[0]
    return None


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.int32, torch.int64])
def test_out_of_another_dtype(name: str, dtype: torch.dtype) -> None:
    args = CALLS[name]
    want = _theirs(name, *args)
    want = tuple(want) if isinstance(want, tuple) else want
    theirs = _error(lambda: _theirs(name, *args, out=_like(want, dtype=dtype)))
    assert _error(lambda: getattr(rt, name)(*ours(args), out=ours(_like(want, dtype=dtype)))) == theirs
    assert _error(lambda: getattr(rt, name)(*_numpy(args), out=_numpy(_like(want, dtype=dtype)))) == theirs


@pytest.mark.parametrize("name", ["index_select", "sort", "cumsum", "cat", "stack", "mm"])
def test_out_of_another_shape_or_kind(name: str) -> None:
    args = CALLS[name]
    many = name == "sort"
    wrong = torch.empty(1, 7)
    for convert in (ours, _numpy):
        with pytest.raises(RuntimeError, match=rf"{name}\(\): out has shape \[1, 7\], but the result has shape \["):
            getattr(rt, name)(*convert(args), out=convert((wrong, wrong.long()) if many else wrong))
    with pytest.raises(TypeError, match=r"out must be a rusttorch.Tensor when an operand is one"):
        getattr(rt, name)(*ours(args), out=(wrong, wrong) if many else wrong.numpy())
    with pytest.raises(TypeError, match=r"out must be a numpy.ndarray"):
        getattr(rt, name)(*_numpy(args), out=(wrong, wrong) if many else ours(wrong))
    with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
        getattr(rt, name)(*args, out=(wrong.clone(), wrong.long()) if many else wrong.clone())
    with pytest.raises(ValueError, match="read-only"):
        array = np.zeros((3, 3), np.float32)
        array.flags.writeable = False
        getattr(rt, name)(*_numpy(args), out=(array, array) if many else array)


def test_out_that_is_an_operand() -> None:
    for convert in (ours, _numpy):
        x = convert(M)
        rt.cumsum(x, 0, out=x)
        np.testing.assert_allclose(np.asarray(x), torch.cumsum(M, 0).numpy(), rtol=1e-6)
        x = convert(M)
        rt.index_select(x, 0, convert(ROWS), out=x)
        np.testing.assert_array_equal(np.asarray(x), M[ROWS].numpy())
        x = convert(torch.arange(8.0))
        rt.cat([x[2:5], x[0:3]], out=x[1:7])
        np.testing.assert_array_equal(np.asarray(x), [0, 2, 3, 4, 0, 1, 2, 7])
        x = convert(M)
        rt.mm(x, x, out=x.T)
        np.testing.assert_allclose(np.asarray(x), (M @ M).T.numpy(), rtol=1e-5)


def test_functions_without_out() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        rt.roll(np.zeros(3), 1, out=np.zeros(3))
