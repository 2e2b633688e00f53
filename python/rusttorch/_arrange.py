"""Sorting, choosing, moving and comparing elements: ``sort``, ``topk``, ``unique``, ``roll``, ``equal`` and their
kin, as functions and as methods of ``rusttorch.Tensor``, with torch's arguments, results and errors.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from rusttorch import _rusttorch
from rusttorch._names import op_function as op
from rusttorch._public import dtype_name, public, title, wrap

sort_result = namedtuple("sort_result", ("values", "indices"))
topk_result = namedtuple("topk_result", ("values", "indices"))
kthvalue_result = namedtuple("kthvalue_result", ("values", "indices"))
median_result = namedtuple("median_result", ("values", "indices"))
nanmedian_result = namedtuple("nanmedian_result", ("values", "indices"))


@public()
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The elements in order along ``dim``, and where they were: a named tuple of ``values`` and ``indices``;
    ``torch.sort``. Equal elements always keep their order; NaN is larger than all.

    >>> import numpy as np, rusttorch as rt
    >>> rt.sort(np.array([2, 3, 1]), descending=True).indices
    array([1, 0, 2])
    """
    return sort_result(*_rusttorch._sort(input, dim, descending))


@public()
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Where the elements in order along ``dim`` are; ``torch.argsort``. See :func:`sort`."""
    return _rusttorch._sort(input, dim, descending)[1]


@public()
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The ``k`` largest or smallest elements along ``dim``, in order, and where they are; ``torch.topk``.

    Raises:
        RuntimeError: there are fewer than ``k``.
    """
    dim = wrap(dim, input.ndim)
    if not 0 <= k <= (input.shape[dim] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    return topk_result(*_rusttorch._first(input, dim, k if input.ndim else 1, largest))


@public()
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The ``k``-th smallest element along ``dim``, counted from 1, and where it is; ``torch.kthvalue``.

    Raises:
        RuntimeError: there is no such element.
    """
    dim = wrap(dim, input.ndim)
    size = input.shape[dim] if input.ndim else 1
    if size == 0:
        raise IndexError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    return kthvalue_result(*_picked(input, dim, k - 1, keepdim))


def _picked(input: Any, dim: int, which: int | str, keepdim: bool) -> list[Any]:
    parts: list[Any] = _rusttorch._pick(input, dim, which)
    return parts if keepdim or input.ndim == 0 else [p.squeeze(dim) for p in parts]


def _median(name: str, input: Any, dim: int | None, keepdim: bool) -> list[Any]:
    if dtype_name(input.dtype) == "bool":
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")
    flat = input if dim is not None else input.reshape(-1)
    at = wrap(0 if dim is None else dim, flat.ndim)
    if flat.ndim and flat.shape[at] == 0:
        if dim is not None:
            raise IndexError(f"median(): Expected reduction dim {at} to have non-zero size.")
        if not input.is_floating_point():
            raise RuntimeError("median(): the tensor has no elements")
        return [_rusttorch.full((), float("nan"), dtype=input.dtype)]
    return _picked(flat, at, name, keepdim)


@public()
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element of all, the lower one of two, or with ``dim`` those along it and where they are, a named
    tuple; ``torch.median``. Where there is a NaN it is NaN.

    Raises:
        IndexError: the dimension has no elements.
        RuntimeError: there are no elements, and NaN is none of the dtype.
    """
    middle = _median("median", input, dim, keepdim)
    return middle[0] if dim is None else median_result(*middle)


@public()
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """As :func:`median` of the elements that are no NaN; NaN where there is nothing else. ``torch.nanmedian``.

    >>> import numpy as np, rusttorch as rt
    >>> float(rt.nanmedian(np.array([3.0, np.nan, 1.0, 2.0])))
    2.0
    """
    middle = _median("nanmedian", input, dim, keepdim)
    return middle[0] if dim is None else nanmedian_result(*middle)


@public()
def msort(input: Any) -> Any:
    """The elements in order along the first dimension; ``torch.msort``."""
    return _rusttorch._sort(input, 0, False)[0]


def randperm(n: int, *, generator: Any = None, dtype: Any = None) -> Any:
    """The numbers from 0 to ``n - 1`` in random order: a tensor of ours, of int64 unless ``dtype`` says else;
    ``torch.randperm``, which has another order after the same ``manual_seed``.

    Raises:
        RuntimeError: ``n`` is negative.

    >>> import rusttorch as rt
    >>> rt.msort(rt.randperm(4)).tolist()
    [0, 1, 2, 3]
    """
    drawn = _rusttorch.rand(n, dtype="float64", generator=generator)
    return _rusttorch._sort(drawn, 0, False)[1].to(dtype or "int64")


@public()
def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Any:
    """Numbers of columns drawn with probabilities proportional to the elements of ``input``, of a vector or of every
    row of a matrix, with or without replacement: int64, ``num_samples`` a row. ``torch.multinomial``, which draws
    others after the same ``manual_seed``.

    Raises:
        RuntimeError: an element is negative or not finite, a row has no positive one, or too many are to be drawn.

    >>> import numpy as np, rusttorch as rt
    >>> rt.multinomial(np.array([0.0, 3.0, 0.0]), 2, replacement=True)
    array([1, 1])
    """
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not input.is_floating_point():
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {title(input)}")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > input.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    weights = input.to("float64")
    if not bool(op("all")(op("logical_and")(op("ge")(weights, 0), op("isfinite")(weights)))):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    sums = _rusttorch._scan("cumsum", weights, -1)[0]
    total = sums.narrow(-1, input.shape[-1] - 1, 1)
    if not bool(op("all")(op("gt")(total, 0))):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    shape = [*input.shape[:-1], num_samples if replacement else input.shape[-1]]
    drawn = _rusttorch.rand(shape, dtype="float64", generator=generator)
    if replacement:
        # Behind all sums that are not larger: an element of weight 0 has the sum of the one before it.
        return _rusttorch._search(sums.contiguous(), (drawn * total).contiguous(), True)
    # The order of exponentially distributed times of these rates.
    times = op("true_divide")(op("neg")(op("log1p")(op("neg")(drawn))), weights)
    times = op("where")(op("gt")(weights, 0), times, float("inf"))
    return _rusttorch._first(times, input.ndim - 1, num_samples, False)[1]


@public()
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements in order, or with ``dim`` the different slices along it; and if asked for which of them
    each one is, and how many there are of each. ``torch.unique``. NaNs are all different.

    Raises:
        RuntimeError: the slices have no elements.

    >>> import numpy as np, rusttorch as rt
    >>> rt.unique(np.array([3, 1, 3]), return_counts=True)
    (array([1, 3]), array([1, 2]))
    """
    if dim is not None:
        return _unique_slices(input, dim, False, return_inverse, return_counts)
    values, inverse, counts = _rusttorch._unique(input.reshape(-1), False)
    return _wanted(values, return_inverse, inverse.reshape(input.shape), return_counts, counts)


@public()
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first element of each run of equal ones, or with ``dim`` the first slice along it; and if asked for of
    which run each one is, and how long each run is. ``torch.unique_consecutive``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.unique_consecutive(np.array([1, 1, 2, 1]))
    array([1, 2, 1])
    """
    if dim is not None:
        return _unique_slices(input, dim, True, return_inverse, return_counts)
    values, inverse, counts = _rusttorch._unique(input.reshape(-1), True)
    return _wanted(values, return_inverse, inverse.reshape(input.shape), return_counts, counts)


def _wanted(values: Any, is_inverse: bool, inverse: Any, is_counts: bool, counts: Any) -> Any:
    results = [values, *([inverse] if is_inverse else []), *([counts] if is_counts else [])]
    return results[0] if len(results) == 1 else tuple(results)


def _unique_slices(input: Any, dim: int, consecutive: bool, is_inverse: bool, is_counts: bool) -> Any:
    if input.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = wrap(dim, input.ndim)
    n = input.shape[dim]
    if input.numel() == 0:
        if n != 0:
            raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
        none = _rusttorch.empty(0, dtype="int64")
        return _wanted(input.clone(), is_inverse, none, is_counts, none)
    rows = input.transpose(0, dim).reshape(n, -1)
    order = _rusttorch.arange(n) if consecutive else _rusttorch._order_of_rows(rows)
    rows = rows.index_select(0, order)
    new = _rusttorch.ones(n, dtype="bool")
    if n > 1:
        new[1:] = op("any")(op("ne")(rows[1:], rows[:-1]), 1)
    run = _rusttorch._scan("cumsum", new, 0)[0] - 1
    inverse = _rusttorch.empty(n, dtype="int64")
    inverse[order] = run
    counts = _rusttorch._unique(run, True)[2]
    return _wanted(input.index_select(dim, order[new]), is_inverse, inverse, is_counts, counts)


@public()
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """A row of indices for each element that is not zero, or a tuple of its columns; ``torch.nonzero``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.nonzero(np.array([[0, 1], [2, 0]]))
    array([[0, 1],
           [1, 0]])
    """
    if not as_tuple:
        return _rusttorch._nonzero(input)
    found = _rusttorch._nonzero(input if input.ndim else input.reshape(1))
    return tuple(found[:, d].clone() for d in range(found.shape[1]))


@public()
def argwhere(input: Any) -> Any:
    """A row of indices for each element that is not zero; ``torch.argwhere``. See :func:`nonzero`."""
    return _rusttorch._nonzero(input)


@public()
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where ``mask`` is true, in one dimension; both are broadcast. ``torch.masked_select``."""
    if dtype_name(mask.dtype) != "bool":
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    if input.shape != mask.shape:
        shape = op("logical_or")(mask, op("isnan")(input) if input.is_floating_point() else input).shape
        input, mask = input.expand(shape), mask.expand(shape)
    return _rusttorch._masked_select(input, mask)


@public()
def roll(input: Any, shifts: int | tuple[int, ...], dims: int | tuple[int, ...] | None = None) -> Any:
    """The elements moved by ``shifts`` along ``dims``, those beyond the end coming first; of the flattened tensor
    without ``dims``. ``torch.roll``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.roll(np.array([1, 2, 3]), 1)
    array([3, 1, 2])
    """
    steps = [shifts] if isinstance(shifts, int) else list(shifts)
    along = [] if dims is None else [dims] if isinstance(dims, int) else list(dims)
    if not steps:
        raise RuntimeError("`shifts` required")
    if not along and len(steps) == 1:
        return roll(input.reshape(-1), steps[0], 0).reshape(input.shape)
    if len(steps) != len(along):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(along)}")
    from rusttorch._join import cat

    result = input
    for step, dim in zip(steps, along, strict=True):
        if input.ndim == 0:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        dim = wrap(dim, input.ndim)
        n = input.shape[dim]
        if result.numel() and (start := -step % n):
            result = cat([result.narrow(dim, start, n - start), result.narrow(dim, 0, start)], dim)
    return input.clone() if result is input else result


def _repeated(input: Any, sizes: list[int]) -> Any:
    shape = [1] * (len(sizes) - input.ndim) + list(input.shape)
    whole = [n * r for n, r in zip(shape, sizes, strict=True)]
    if any(r < 0 for r in sizes):
        at = next(i for i, r in enumerate(sizes) if r < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {whole[at]}: {whole}")
    single = [e for n in shape for e in (1, n)]
    paired = [e for n, r in zip(shape, sizes, strict=True) for e in (r, n)]
    return input.reshape(single).expand(paired).clone().reshape(whole)


@public(function=False)
def repeat(input: Any, *repeats: Any) -> Any:
    """Copies of the tensor side by side, so many along each dimension; ``torch.Tensor.repeat``."""
    sizes = list(repeats[0]) if len(repeats) == 1 and not isinstance(repeats[0], int) else list(repeats)
    if len(sizes) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    return _repeated(input, sizes)


@public()
def tile(input: Any, *dims: Any) -> Any:
    """As ``repeat``, with ones for missing leading dimensions; ``torch.tile``."""
    sizes = list(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else list(dims)
    return _repeated(input, [1] * (input.ndim - len(sizes)) + sizes)


@public()
def flipud(input: Any) -> Any:
    """The first dimension reversed; ``torch.flipud``."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return op("flip")(input, [0])


@public()
def fliplr(input: Any) -> Any:
    """The second dimension reversed; ``torch.fliplr``."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return op("flip")(input, [1])


@public()
def diag(input: Any, diagonal: int = 0) -> Any:
    """The matrix with this diagonal, or the diagonal of a matrix; ``torch.diag``."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    if input.ndim == 1:
        from rusttorch._shapes import diag_embed

        return diag_embed(input, diagonal)
    return _rusttorch._diagonal(input, diagonal, 0, 1).clone()


@public()
def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal; ``torch.trace``."""
    if dtype_name(input.dtype) == "bool":
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return op("sum")(_rusttorch._diagonal(input, 0, 0, 1))


@public()
def equal(input: Any, other: Any) -> bool:
    """Whether both have one shape and equal elements; ``torch.equal``."""
    return tuple(input.shape) == tuple(other.shape) and bool(op("all")(op("eq")(input, other)))


@public()
def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether :func:`isclose` holds for all elements; ``torch.allclose``."""
    if input.dtype != other.dtype:
        raise RuntimeError(f"{title(input)} did not match {title(other)}")
    return bool(op("all")(op("isclose")(input, other, rtol, atol, equal_nan)))
