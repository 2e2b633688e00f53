"""Dimensions moved, cut and joined, beside torch; views alias."""

from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch
from beside_torch import DTYPES, SHAPES, check, ours, same, sample

F32 = torch.float32
X, V = sample(F32, (2, 3)), sample(F32, (3,), 1)
CUBE = sample(F32, (4, 3, 6))
NUMBER = torch.tensor(1.5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape(dtype: torch.dtype) -> None:
    for shape in SHAPES:
        x = sample(dtype, shape)
        rank = len(shape)
        for a in range(-rank - 1, rank + 1):
            check("movedim", x, a, 0)
            check("moveaxis", x, 0, a)
            check("swapaxes", x, a, -1)
            check("swapdims", x, 0, a)
            check("unbind", x, a)
            check("tensor_split", x, 2, a)
            check("diagonal", x, 0, a, -1)
            check("diag_embed", x, 1, a, 0)
        for k in (-7, -1, 0, 2):
            check("diagonal", x, k)
            check("diag_embed", x, k)
            check("diagflat", x, k)
            check("rot90", x, k)
        for name in ("hsplit", "vsplit", "dsplit"):
            check(name, x, 3)
            check(name, x, [1, 2])
        for name in ("atleast_1d", "atleast_2d", "atleast_3d", "clone", "numel"):
            check(name, x)
        if rank:
            check("adjoint", x)
        for name in ("hstack", "vstack", "row_stack", "dstack", "column_stack"):
            check(name, [x, x])
        check("block_diag", x, x)
        check("repeat_interleave", x, 3)
        for dim in range(-rank, rank):
            check("repeat_interleave", x, 2, dim)
            check("repeat_interleave", x, torch.arange(shape[dim]), dim)
            check("unfold", x, dim, 1, 2)
            check("unfold", x, dim, 2, 1)
        check("broadcast_tensors", x, x[:1] if rank else x)
        check("msort", x)


def test_dimensions() -> None:
    check("movedim", CUBE, (0, 1), (2, 0))
    check("movedim", X, (0, 1), (1,))
    check("movedim", X, (0, 0), (1, 0))
    check("movedim", X, (0, 1), (1, 1))
    check("rot90", CUBE, 3, (1, 2))
    check("rot90", CUBE, 1, (1,))
    check("rot90", CUBE, 1, (1, -2))
    check("rot90", CUBE, 1, (1, 7))
    check("diagonal", CUBE.permute(2, 0, 1)[::2], 1, 2, 0)
    check("diag_embed", X, 0, 0, 0)
    for dim, size, step in ((1, 4, 1), (1, 2, 0), (1, -1, 1), (4, 1, 1), (1, 0, 1), (0, 2, 9)):
        check("unfold", X, dim, size, step)
        check("unfold", NUMBER, 0, size, step)
    check("unfold", CUBE[:, :, ::2], 2, 2, 1)


def test_splitting() -> None:
    for given in (0, 1, 4, (1, 2), (0, 9, -1), (2, 1), torch.tensor([1, 3]), torch.tensor(2)):
        check("tensor_split", CUBE, given, dim=2)
    check("tensor_split", X, 2, dim=5)
    check("tensor_split", NUMBER, 2)
    check("hsplit", V, 2)
    check("hsplit", V, 3)
    check("split_with_sizes", X, [1, 2], 1)
    check("split_with_sizes", X, [1, 1], 1)


def test_joining() -> None:
    for name in ("hstack", "vstack", "dstack", "column_stack"):
        check(name, [X, X.long()])
        check(name, [V, NUMBER])
        check(name, [X, V])
        check(name, (V, V))
        check(name, [])
    check("block_diag", X, V, NUMBER.long())
    check("block_diag", CUBE)
    check("concat", [X, X], 1)
    check("concatenate", [X, V])
    check("atleast_1d", V, NUMBER)
    check("atleast_2d", (V, NUMBER))
    with pytest.raises(TypeError, match="expected Tensor as element 1 in argument 0, but got int"):
        rt.hstack([rt.ones(2), 3])


def test_grids() -> None:
    for indexing in ("ij", "xy", "zz"):
        check("meshgrid", V, V[:2], NUMBER, indexing=indexing)
        check("meshgrid", V, indexing=indexing)
    check("meshgrid", V, V.long(), indexing="ij")
    check("cartesian_prod", V, V[:2], V)
    check("cartesian_prod", V)
    check("cartesian_prod", X)
    for r in (-1, 0, 1, 2, 3, 4):
        check("combinations", V, r)
        check("combinations", V, r, True)
    check("combinations", X)
    check("broadcast_tensors", X, V, NUMBER)
    check("broadcast_tensors", X, torch.ones(4))
    check("broadcast_shapes", (2, 1), (3,), 1)
    check("broadcast_shapes", (2,), (3,))
    for n in (None, 0, 1, 4, -1):
        check("vander", V, n)
        check("vander", V.long(), n, True)
    check("vander", X)
    for name in ("tril_indices", "triu_indices"):
        for offset in (-1, 0, 2):
            check(name, 3, 4, offset)
        check(name, 3, 4, dtype=torch.int32)
        check(name, 0, 2)
        check(name, -1, 4)


def test_numbers_by_a_rule() -> None:
    for steps in (0, 1, 3, 50, -1):
        check("logspace", -1, 2, steps)
        check("logspace", 0.0, 3.0, steps, base=2, dtype=torch.float64)
    places = torch.tensor([[0, 5], [3, 7]])
    for shape in ((2, 4), (8,), 9, (2, 2, 2)):
        check("unravel_index", places, shape)
    check("unravel_index", places.float(), (2, 4))
    check("unravel_index", places, (-1, 2))
    rt.manual_seed(0)
    one, two = rt.randperm(1000), rt.randperm(1000, dtype=rt.int32)
    assert (one.dtype, two.dtype) == (rt.int64, rt.int32)
    assert one.tolist() != two.tolist() and sorted(one.tolist()) == sorted(two.tolist()) == list(range(1000))
    rt.manual_seed(0)
    assert rt.equal(rt.randperm(1000), one)
    assert rt.randperm(0).tolist() == []
    check("randperm", -1)


def test_repeat_interleave() -> None:
    counts = torch.tensor([1, 0, 2])
    same(rt.repeat_interleave(ours(counts)), torch.repeat_interleave(counts))
    check("repeat_interleave", X, counts, 1)
    check("repeat_interleave", X, counts.int(), 1)
    check("repeat_interleave", X, torch.tensor([2]), 1)
    check("repeat_interleave", X, torch.tensor(2))
    check("repeat_interleave", NUMBER, 3)
    check("repeat_interleave", X, counts, 1, output_size=3)
    check("repeat_interleave", X, counts, 1, output_size=4)
    check("repeat_interleave", X, counts, 0)
    check("repeat_interleave", X, counts.float(), 1)
    check("repeat_interleave", X, -counts, 1)
    check("repeat_interleave", X, counts[None], 1)
    check("repeat_interleave", X, -1)


def test_like_another() -> None:
    for x in (X, X.long(), NUMBER):
        for name in ("new_zeros", "new_ones"):
            check(name, x, 2, 3)
            check(name, x, (2, 3))
            check(name, x, [0, 3], dtype=torch.int32)
            check(name, x, ())
            check(name, x, -1)
        check("new_full", x, (2,), 1.5)
        check("new_full", x, (2,), 3, dtype=torch.float64)
        check("new_full", x, 2, 3)
        check("new_tensor", x, [[1.5, 2.0]])
        check("new_tensor", x, 3, dtype=torch.bool)
        for name in ("short", "char", "byte", "half", "type", "ndimension"):
            check(name, x)
    check("sum_to_size", CUBE, 3, 1)
    check("sum_to_size", CUBE, (4, 1, 6))
    check("sum_to_size", CUBE, 2)
    y = ours(X).new_empty(4, 5)
    assert (y.dtype, tuple(y.shape)) == (rt.float32, (4, 5))


VIEWS: list[Any] = [
    lambda m, x: m.movedim(x, 0, -1),
    lambda m, x: m.moveaxis(x, -1, 0),
    lambda m, x: m.swapaxes(x, 0, 1),
    lambda m, x: m.swapdims(x, 0, 2),
    lambda m, x: m.diagonal(x, 1, 0, 2),
    lambda m, x: m.adjoint(x),
    lambda m, x: m.unbind(x, 1)[1],
    lambda m, x: m.tensor_split(x, 3, 1)[1],
    lambda m, x: m.vsplit(x, 2)[1],
    lambda m, x: m.atleast_3d(x),
    lambda m, x: x.unfold(2, 2, 3),
]


def test_views_alias() -> None:
    for view in VIEWS:
        theirs, base = CUBE.clone(), ours(CUBE)
        later = base * 1
        want, got = view(torch, theirs), view(rt, base)
        # Writes of the base are seen by the view, and of the view by the base; what was called before sees neither.
        for a, b in ((theirs, want), (base, got)):
            a[1] = 7
            b.mul_(-1)
            b.select(0, 0).fill_(2.5)
        assert tuple(got.stride()) == want.stride()
        assert got.storage_offset() == want.storage_offset()
        np.testing.assert_array_equal(got.numpy(), want.numpy())
        np.testing.assert_array_equal(base.numpy(), theirs.numpy())
        np.testing.assert_array_equal(later.numpy(), CUBE.numpy())
    for view in VIEWS[:-1]:
        array = CUBE.numpy().copy()
        result = view(rt, array)
        assert isinstance(result, np.ndarray)
        assert np.shares_memory(result, array)
        tensor = CUBE.clone().requires_grad_()
        result = view(rt, tensor)
        assert result is tensor or result._base is not None


def test_a_view_waits_with_its_base() -> None:
    x = rt.ones(3, 3) * 2
    d = x.diagonal()
    d += 1
    assert x.sum().item() == 21.0
    assert not hasattr(x, "diagonal_")
    assert not hasattr(x, "hstack")
