"""Elements put into places that an index names, beside torch."""

import math

import numpy as np
import pytest
import rusttorch as rt
import torch
from beside_torch import DTYPES, FLOATS, NAN, check, ours, sample

X = torch.arange(6.0).reshape(2, 3)
ONE = torch.tensor([1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scatter(dtype: torch.dtype) -> None:
    x, src = sample(dtype, (3, 5)), sample(dtype, (4, 5), 2)
    for dim, index in (
        (0, torch.tensor([[2, 0, 1, 1, 2]])),
        (1, torch.tensor([[4, 0], [1, 2]])),
        (-1, torch.zeros(0, 2)),
    ):
        index = index.long()
        check("scatter", x, dim, index, src)
        check("scatter", x, dim, index.int(), src)
        check("scatter", x, dim, index, 1)
        check("scatter_add", x, dim, index, src)
    check("scatter_add", x.t(), 1, torch.tensor([[0, 0, 2]] * 2), src.t())
    check("scatter_add", x[0, 0], 0, torch.tensor(0), src[0, 0])
    for dim in (0, 1, -1):
        source = sample(dtype, (4, 5) if dim == 0 else (3, 4), 3)
        check("index_add", x, dim, torch.tensor([1, 0, 1, 2]), source)
        check("index_add", x, dim, torch.tensor([1, 0, 1, 2]).int(), source)
        if dtype != torch.bool:
            check("index_add", x, dim, torch.tensor([1, 0, 1, 2]), source, alpha=3)
    check("index_add", x, 0, torch.zeros(0, dtype=torch.int64), x[:0])


def test_scatter_errors() -> None:
    x, one = torch.ones(3), torch.tensor([1])
    check("scatter", x, 0, torch.tensor([5]), 1.0)
    check("scatter", x, 0, torch.tensor([-1]), 1.0)
    check("scatter", x, 0, torch.tensor([1.0]), 1.0)
    check("scatter", torch.ones(3, 2), 0, one, 1.0)
    check("scatter", x, 0, torch.tensor([1, 1]), torch.ones(1))
    check("scatter", x, 0, one, torch.ones(1, dtype=torch.float64))
    check("scatter", torch.ones(3, 2), 0, torch.zeros(2, 3, dtype=torch.int64), 1.0)
    check("scatter", x, 1, one, 1.0)
    for name in ("scatter_add", "index_add"):
        check(name, x, 0, torch.tensor([5]), torch.ones(1))
        check(name, x, 0, torch.tensor([-1]), torch.ones(1))
        check(name, x, 0, torch.tensor([1.0]), torch.ones(1))
        check(name, torch.ones(3, 2), 0, one, torch.ones(1))
        check(name, torch.ones(3, 2), 0, one, torch.ones(1, 3))
        check(name, x, 0, torch.tensor([1, 1]), torch.ones(1))
        check(name, x, 0, one, torch.ones(1, dtype=torch.float64))
        check(name, x, 0, torch.tensor([[1]]), torch.ones(1))
        check(name, x, 2, one, torch.ones(1))
    y = rt.zeros(3)
    assert y.scatter_(0, rt.tensor([1]), 2.0) is y
    assert y.tolist() == [0.0, 2.0, 0.0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reductions(dtype: torch.dtype) -> None:
    x, src = sample(dtype, (3, 5)), sample(dtype, (4, 5), 2)
    index = torch.tensor([[2, 0, 1, 1, 2], [2, 2, 1, 0, 2]])
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        for include_self in (True, False):
            check("scatter_reduce", x, 0, index, src, reduce, include_self=include_self)
            check("scatter_reduce", x, 1, index.t()[:3] + 2, src.t()[:3], reduce, include_self=include_self)
            if reduce != "sum" and dtype not in (torch.bool, torch.uint8):
                lines = torch.tensor([1, 0, 1, 1])
                check("index_reduce", x, 0, lines, src, reduce, include_self=include_self)
    for reduce in ("add", "multiply", "bad"):
        check("scatter", x, 0, index, src, reduce=reduce)
        if dtype.is_floating_point:
            check("scatter", x, 0, index, 2.5, reduce=reduce)
    check("scatter", x, 0, index, value=1)
    check("scatter_reduce", x, 0, index[:0], src, "sum")


def test_reductions_of_nans() -> None:
    x, src = torch.tensor([1.0, NAN, 3.0]), torch.tensor([2.0, 5.0, NAN])
    for dtype in FLOATS:
        for reduce in ("sum", "prod", "mean", "amax", "amin"):
            for include_self in (True, False):
                index = torch.tensor([0, 1, 2])
                check("scatter_reduce", x.to(dtype), 0, index, src.to(dtype), reduce, include_self=include_self)
    check("scatter_reduce", x, 0, ONE, src, "bad")
    check("scatter_reduce", x, 0, ONE + 4, src, "sum")
    check("index_reduce", X, 0, ONE, torch.ones(1, 3), "sum")
    check("index_reduce", X, 0, ONE + 4, torch.ones(1, 3), "mean")
    check("index_reduce", X, 0, ONE, torch.ones(1, 3).double(), "amax")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_slices(dtype: torch.dtype) -> None:
    x, two = sample(dtype, (3, 4)), torch.tensor([2, 0])
    for dim in (-2, -1, 0, 1):
        source = sample(dtype, (2, 4) if dim % 2 == 0 else (3, 2), 1)
        check("index_copy", x, dim, two, source)
        check("index_fill", x, dim, two - 1, 1)
        check("index_fill", x, dim, two[0], torch.tensor(1))
        check("index_select", x, dim, two)
    check("index_copy", x.t(), 1, two, sample(dtype, (4, 2)))
    check("index_copy", x[0, 0], 0, torch.tensor(0), x[1, 1])
    check("index_fill", x[0, 0], 0, torch.tensor([0]), 1)
    check("index_copy", x[:0], 1, two, x[:0, :2])
    check("index_copy", x, 0, two[:0], x[:0])
    mask = sample(torch.bool, (3, 4), 5)
    check("masked_scatter", x, mask, x.t())
    check("masked_scatter", x[0], mask, x)
    check("masked_scatter", x, mask[1], x)
    check("take", x, torch.tensor([[0, -1], [11, 5]]))
    check("put", x, torch.tensor([0, -1]), x[1, :2])
    check("put", x, torch.tensor([0, 0]), x[1, :2], accumulate=True)
    check("index_put", x, (two, two[None]), x[0, 0])
    check("index_put", x, (two, two), x[0, :2])
    if dtype != torch.bool:
        check("index_put", x, (two * 0, two), x[0, :2], accumulate=True)
        check("index_put", x, (torch.tensor([1, 1]),), x[0], accumulate=True)
    check("select_scatter", x, x[1], 0, -1)
    check("slice_scatter", x, x[:, :2], 1, 0, 9, 2)
    check("slice_scatter", x, x[1:], 0, 1)
    check("diagonal_scatter", x, x[0, :2], 2)


def test_errors() -> None:
    v, ones = torch.ones(3), torch.ones(1, 3)
    check("index_fill", X, 0, ONE + 6, 5.0)
    check("index_fill", X, 0, ONE[None], 5.0)
    check("index_fill", X, 0, ONE.float(), 5.0)
    check("index_fill", X, 0, ONE.int(), 5.0)
    check("index_fill", X, 0, ONE, v)
    check("index_fill", X, 3, ONE, 1.0)
    check("index_fill", X.long(), 0, ONE, 2.7)
    for dim, index, source in (
        (0, ONE, torch.ones(2, 3)),
        (0, ONE, torch.ones(1, 2)),
        (0, ONE + 8, ones),
        (0, -ONE, ones),
        (0, ONE.float(), ones),
        (0, ONE.int(), ones),
        (0, ONE, ones.long()),
        (0, ONE[None], ones),
        (0, ONE, v),
        (0, ONE, torch.tensor(2.0)),
        (2, ONE, ones),
    ):
        check("index_copy", X, dim, index, source)
    check("masked_scatter", X, X > 0, v)
    check("masked_scatter", X, X, v)
    check("masked_scatter", X, X > 2, v.long())
    check("take", X, ONE + 6)
    check("take", X, v)
    with pytest.raises(TypeError, match=r"take\(\): argument 'index' \(position 2\) must be Tensor, not list"):
        rt.take(ours(X), [0])
    check("put", X, torch.tensor([0, 7]), v[:2])
    check("put", X, torch.tensor([0, 1]), v[:1])
    check("put", X, ONE, ONE)
    check("put", X, v[:1], v[:1])
    check("select_scatter", X, v[:2], 0, 1)
    check("select_scatter", X, v, 0, 4)
    check("slice_scatter", X, torch.zeros(2, 2), 1, 0, 1)
    check("diagonal_scatter", X, v)
    check("index_put", X, (ONE,), torch.tensor(1))


def test_in_place_and_kinds() -> None:
    theirs, mine = X.clone(), ours(X)
    for x, lib in ((theirs, torch), (mine, rt)):
        x.index_fill_(1, lib.tensor([0]), 9)
        x.index_copy_(0, lib.tensor([1]), lib.ones(1, 3))
        x.masked_scatter_(x > 5, lib.arange(6.0) * 2 if lib is torch else rt.arange(6.0) * 2)
        x.scatter_(1, lib.tensor([[2], [0]]), 4.0, reduce="add")
        x.put_(lib.tensor([1]), lib.tensor([-1.0]))
        x.scatter_reduce_(0, lib.tensor([[0, 0, 1]]), lib.ones(1, 3), "amax")
        x.cumsum_(0)
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    n = X.numpy()
    result = rt.index_fill(n, 0, np.array([1]), 2)
    assert isinstance(result, np.ndarray) and (n[1] != 2).any()
    x = X.clone().requires_grad_()
    rt.index_fill(x, 0, ONE, 0.0).sum().backward()
    assert x.grad is not None and x.grad[1].sum() == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 2), (2,), (1,), ()])
def test_what_is_assigned_may_have_leading_ones(shape: tuple[int, ...]) -> None:
    theirs, value = torch.zeros(3, 6), torch.arange(1.0, 1 + max(1, math.prod(shape))).reshape(shape)
    mine = rt.from_dlpack(theirs.clone())
    for index in (([0, 2], [0, -1]), (1, [2, 4])):
        theirs[index] = value
        mine[index] = rt.from_dlpack(value.clone())
    assert mine.tolist() == theirs.tolist()


def test_assignment_by_indices_writes_the_memory_that_is_there() -> None:
    """By any dimensions, in any order and with repetitions, also where others hold the memory or read it later."""
    rng = np.random.default_rng(0)
    for shape, index in [
        ((50,), ([3, 7, 3],)),
        ((6, 7), ([1, 5, 1], [0, 6, 2])),
        ((4, 5, 6), (slice(None), [4, 0], [1, 1])),
        ((4, 5, 6), ([1, 2], slice(1, 4), [0, 5])),
        ((4, 5, 6), (slice(None), [[0, 1], [2, 3]])),
        ((3, 4), (np.array([True, False, True]),)),
        ((3, 4), (np.arange(12).reshape(3, 4) % 3 == 0,)),
        ((0, 4), ([], slice(None))),
    ]:
        array = rng.standard_normal(shape).astype(np.float32)
        theirs, mine, lent = array.copy(), rt.tensor(array), rt.tensor(array)
        view = lent.numpy()
        value = rng.standard_normal(theirs[index].shape).astype(np.float32)
        waiting = mine * 2  # Has read the old values.
        theirs[index] = value
        for x in (mine, lent):
            x[index] = rt.tensor(value)
        np.testing.assert_array_equal(mine.numpy(), theirs)
        np.testing.assert_array_equal(view, theirs)
        np.testing.assert_array_equal(waiting.numpy(), array * 2)
        np.testing.assert_array_equal(mine[index].numpy(), theirs[index])
        # Of itself, and by a number.
        mine[index] = mine[index] * 3
        mine.T[()] = mine.T
        theirs[index] = theirs[index] * np.float32(3)
        np.testing.assert_array_equal(mine.numpy(), theirs)
        lent[index] = 5
        theirs[index] = 5
        np.testing.assert_array_equal(view, theirs)
    x = rt.zeros(10).expand(3, 10)
    with pytest.raises(RuntimeError, match="single memory location"):
        x[rt.tensor([0, 1])] = 1.0
    x = rt.zeros(4)
    address = x.data_ptr()
    x[rt.tensor([1, 3])] = rt.tensor([1.0, 2.0])
    assert x.data_ptr() == address and x.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("key", [slice(2**70, None), slice(-(2**70), 2**70), slice(None, None, 2**70), slice(-(2**70))])
def test_bounds_beyond_64_bits(key: slice) -> None:
    assert rt.arange(3)[key].tolist() == list(range(3))[key]
