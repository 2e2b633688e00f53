"""``max`` and ``min`` with a dimension: named tuples, as torch gives them."""

import pickle

import numpy as np
import pytest
import rusttorch as rt
import torch

NAMES = ["max", "min"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_named_tuples_are_torchs(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 2 if dtype == torch.bool else 6, (5, 7), generator=generator).to(dtype)
    ours, theirs = getattr(rt, name), getattr(torch, name)
    for args, kwargs in (((0,), {}), ((1, True), {}), ((), {"dim": -1}), ((), {"dim": 0, "keepdim": True})):
        got, want = ours(x, *args, **kwargs), theirs(x, *args, **kwargs)
        assert type(got) is type(want)
        assert got.values.dtype == want.values.dtype
        assert torch.equal(got.values, want.values)
        # torch does not say which of equal elements it takes; ours is the first.
        taken = torch.gather(x, args[0] if args else kwargs["dim"], _kept(got.indices, x))
        assert torch.equal(taken, _kept(want.values, x))
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours(x, x.flip(0)), theirs(x, x.flip(0)))
    assert torch.equal(ours(x, other=x.flip(0)), theirs(x, x.flip(0)))


def _kept(reduced: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """With the dimension that was reduced."""
    if reduced.ndim == x.ndim:
        return reduced
    return reduced.unsqueeze(0 if reduced.shape[0] == x.shape[1] else 1)


@pytest.mark.parametrize("name", NAMES)
def test_numpy(name: str) -> None:
    x = np.random.default_rng(0).integers(0, 9, (4, 6))
    result = getattr(rt, name)(x, axis=1)
    np.testing.assert_array_equal(result.values, getattr(np, name)(x, axis=1))
    np.testing.assert_array_equal(result.indices, getattr(np, f"arg{name}")(x, axis=1))
    assert isinstance(result.values, np.ndarray)
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.indices, result.indices)
    assert pickle.loads(pickle.dumps(getattr(rt, name))) is getattr(rt, name)


@pytest.mark.parametrize("name", NAMES)
def test_under_fuse(name: str) -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    theirs = getattr(torch, name)

    def f(v):
        values, indices = theirs(v, 1)
        return values * 2, indices

    got, want = rt.fuse(f)(x), f(x)
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[1], want[1])
    numpy = rt.fuse(lambda v: getattr(np, name)(v, axis=0) + 1)
    np.testing.assert_array_equal(numpy(x.numpy()), getattr(np, name)(x.numpy(), axis=0) + 1)


def test_nan_wins_and_errors_are_torchs() -> None:
    x = torch.tensor([[1.0, float("nan"), 3.0]])
    got = rt.max(x, 1)
    assert got.values.isnan().all()
    assert got.indices.item() == 1
    with pytest.raises(IndexError, match="Dimension out of range"):
        rt.max(x, 2)
    assert "Inspection" in repr(rt.inspect(rt.max, x, 1))
