"""What tests of functions over whole tensors have in common: samples, and a call of ours beside torch's."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import rusttorch as rt
import torch

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
DTYPES = [*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
SHAPES: list[tuple[int, ...]] = [(), (1,), (7,), (3, 5), (4, 1, 6), (2, 0, 3), (0,)]
NAN = float("nan")


def sample(dtype: torch.dtype, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64) * 3
    return x > 0 if dtype == torch.bool else x.abs().to(dtype) if dtype == torch.uint8 else x.to(dtype)


def ours(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(map(ours, x))
    if isinstance(x, torch.dtype):
        return getattr(rt, str(x).removeprefix("torch."))
    return rt.from_dlpack(x.clone()) if isinstance(x, torch.Tensor) else x


def same(got: Any, want: Any) -> None:
    if isinstance(want, (tuple, list)) and not isinstance(want, torch.Size):
        assert isinstance(got, tuple)
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w)
        if hasattr(want, "_fields"):
            assert got._fields == want._fields
    elif isinstance(want, torch.Tensor):
        assert isinstance(got, rt.Tensor)
        got = torch.from_dlpack(got)
        assert got.dtype == want.dtype
        # torch may round a sum of 16-bit floats once where we round it at every addition.
        rtol = {torch.float16: 1e-3, torch.bfloat16: 8e-3}.get(got.dtype, 1e-5)
        torch.testing.assert_close(got, want, rtol=rtol, atol=1e-6, equal_nan=True)
    elif isinstance(want, torch.Size):
        assert got == tuple(want)
    else:
        assert type(got) is type(want)
        assert got == want


def check(name: str, *args: Any, **kwargs: Any) -> None:
    """The method and the function, where torch has them; an error is torch's."""
    mine, options = ours(args), {k: ours(v) for k, v in kwargs.items()}
    method = isinstance(args[0], torch.Tensor) and hasattr(torch.Tensor, name)
    theirs = getattr(torch.Tensor, name) if method else getattr(torch, name)
    calls: list[Callable[[], Any]] = []
    if method:
        calls.append(lambda: getattr(mine[0], name)(*mine[1:], **options))
    if callable(getattr(torch, name, None)):
        calls.append(lambda: getattr(rt, name)(*mine, **options))
    with warnings.catch_warnings():
        # Of torch's deprecations, and of what both warn of.
        warnings.simplefilter("ignore")
        _compare(lambda: theirs(*args, **kwargs), calls)


def _compare(theirs: Callable[[], Any], calls: list[Callable[[], Any]]) -> None:
    try:
        want = theirs()
    except Exception as error:
        for call in calls:
            with pytest.raises(type(error)) as got:
                call()
            assert str(got.value).split("\n")[0] == str(error).split("\n")[0]
        return
    for call in calls:
        same(call(), want)
