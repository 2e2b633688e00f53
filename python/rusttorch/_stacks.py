"""Tensors joined and combined: ``hstack``, ``block_diag``, ``meshgrid``, ``combinations`` and their kin, with torch's
arguments, results and errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rusttorch import _rusttorch
from rusttorch._join import cat, stack
from rusttorch._public import alias, promoted, public


def _all_atleast(rank: int, tensors: tuple[Any, ...]) -> Any:
    many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    results = tuple(_atleast(rank, x) for x in many)
    return results[0] if len(tensors) == 1 and tensors[0] is many[0] else results


def _atleast(rank: int, x: Any) -> Any:
    """With dimensions of extent 1: in front, and a third one behind."""
    if x.ndim >= rank:
        return x
    shape = list(x.shape)
    if rank == 3 and shape:
        return x.reshape([1, *shape, 1] if len(shape) == 1 else [*shape, 1])
    return x.reshape([1] * (rank - len(shape)) + shape)


@public(method=False)
def atleast_1d(*tensors: Any) -> Any:
    """Views with a dimension at least; ``torch.atleast_1d``."""
    return _all_atleast(1, tensors)


@public(method=False)
def atleast_2d(*tensors: Any) -> Any:
    """Views with two dimensions at least, new ones in front; ``torch.atleast_2d``."""
    return _all_atleast(2, tensors)


@public(method=False)
def atleast_3d(*tensors: Any) -> Any:
    """Views with three dimensions at least, the third one behind; ``torch.atleast_3d``."""
    return _all_atleast(3, tensors)


def _stacked(name: str, tensors: Any, rank: int, dim: int) -> Any:
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return cat([_atleast(rank, x) for x in tensors], dim)


@public(method=False)
def hstack(tensors: Any) -> Any:
    """The tensors side by side, along the second dimension, vectors along the first; ``torch.hstack``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.hstack([np.array([1]), np.array([2, 3])])
    array([1, 2, 3])
    """
    flat = bool(tensors) and tensors[0].ndim <= 1
    return _stacked("hstack", tensors, 1, 0 if flat else 1)


@public(method=False)
def vstack(tensors: Any) -> Any:
    """The tensors one below another, along the first dimension, vectors being rows; ``torch.vstack``."""
    return _stacked("vstack", tensors, 2, 0)


row_stack = alias("row_stack", vstack)


@public(method=False)
def dstack(tensors: Any) -> Any:
    """The tensors one behind another, along the third dimension; ``torch.dstack``."""
    return _stacked("dstack", tensors, 3, 2)


@public(method=False)
def column_stack(tensors: Any) -> Any:
    """The tensors side by side, vectors being columns; ``torch.column_stack``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.column_stack([np.array([1, 2]), np.array([3, 4])])
    array([[1, 3],
           [2, 4]])
    """
    if not tensors:
        raise RuntimeError("column_stack expects a non-empty TensorList")
    return cat([x.reshape(-1, 1) if x.ndim <= 1 else x for x in tensors], 1)


@public(method=False)
def block_diag(*tensors: Any) -> Any:
    """The matrices along the diagonal of one, zeros elsewhere; vectors are rows. ``torch.block_diag``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.block_diag(np.array([[1]]), np.array([2, 3]))
    array([[1, 0, 0],
           [0, 2, 3]])
    """
    for i, x in enumerate(tensors):
        if x.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {x.ndim} dimensions"
            )
    if not tensors:
        return _rusttorch.empty(1, 0)
    blocks = [_atleast(2, x) for x in promoted(list(tensors))]
    rows, columns = (sum(b.shape[d] for b in blocks) for d in (0, 1))
    result = _rusttorch.zeros(rows, columns, dtype=blocks[0].dtype)
    row = column = 0
    for b in blocks:
        n, m = b.shape
        result[row : row + n, column : column + m] = b
        row, column = row + n, column + m
    return result


def broadcast_shapes(*shapes: int | Sequence[int]) -> tuple[int, ...]:
    """The shape that tensors of these shapes are broadcast to; ``torch.broadcast_shapes``.

    Raises:
        RuntimeError: two extents differ, and none is 1.

    >>> import rusttorch as rt
    >>> rt.broadcast_shapes((2, 1), 3)
    (2, 3)
    """
    result: list[int] = []
    for i, shape in enumerate(shapes):
        given = (shape,) if isinstance(shape, int) else tuple(shape)
        result[:0] = [1] * (len(given) - len(result))
        for d in range(-1, -len(given) - 1, -1):
            n = given[d]
            if n != 1 and result[d] not in (1, n):
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {n} at {d}! Mismatching argument at index {i} had "
                    f"{given}; but expected shape should be broadcastable to {result}"
                )
            result[d] = n if n != 1 else result[d]
    return tuple(result)


@public(method=False)
def broadcast_tensors(*tensors: Any) -> Any:
    """Views of the tensors, expanded to one shape; ``torch.broadcast_tensors``."""
    many = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape: list[int] = []
    for x in many:
        own = list(x.shape)
        shape[:0] = [1] * (len(own) - len(shape))
        for d in range(-1, -len(own) - 1, -1):
            if own[d] != 1 and shape[d] not in (1, own[d]):
                raise RuntimeError(
                    f"The size of tensor a ({shape[d]}) must match the size of tensor b ({own[d]}) at non-singleton "
                    f"dimension {len(shape) + d}"
                )
            shape[d] = own[d] if own[d] != 1 else shape[d]
    return tuple(x.expand(shape) for x in many)


@public(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> Any:
    """For each of the vectors, one per dimension of a grid, its coordinate at every point: views. ``torch.meshgrid``;
    ``indexing="xy"`` swaps the first two dimensions.
    """
    many = list(tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors)
    if not many:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in many:
        if x.ndim > 1:
            raise RuntimeError("torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: " + str(x))
        if x.dtype != many[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(many) >= 2
    if swap:
        many[:2] = many[1::-1]
    shape = [x.numel() for x in many]
    grids = [x.reshape([n if d == i else 1 for d, n in enumerate(shape)]).expand(shape) for i, x in enumerate(many)]
    if swap:
        grids[:2] = grids[1::-1]
    return tuple(grids)


@public(method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of elements of the vectors, one a row, the last one moving fastest; ``torch.cartesian_prod``."""
    for x in tensors:
        if x.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors)], 1)


@public(method=False)
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All combinations of ``r`` elements of a vector, one a row, in the order of ``itertools``; ``torch.combinations``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.combinations(np.array([1, 2, 3]))
    array([[1, 2],
           [1, 3],
           [2, 3]])
    """
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return _rusttorch.empty(0, dtype=input.dtype)
    import itertools

    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.shape[0]), r))
    if not rows:
        return _rusttorch.empty(0, r, dtype=input.dtype)
    return input[_rusttorch.tensor(rows)]


def concat(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """``cat`` under another name; ``torch.concat``."""
    return cat(tensors, dim, out=out)


def concatenate(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """``cat`` under NumPy's name; ``torch.concatenate``."""
    return cat(tensors, dim, out=out)
