"""Elements put into places that an index names: ``scatter``, ``index_add``, ``masked_scatter``, ``put`` and their
kin, as functions and as methods of ``rusttorch.Tensor``, also in place (``scatter_``), with torch's arguments and
errors.
"""

from __future__ import annotations

from typing import Any

from rusttorch import _rusttorch
from rusttorch._names import op_function as op
from rusttorch._public import along, dtype_name, public, title, wrap
from rusttorch._rusttorch import Tensor


def _check_scatter(input: Any, dim: int, index: Any, src: Any) -> int:
    """The errors of scattering but for indices out of range; ``dim`` from the front."""
    dim = wrap(dim, input.ndim)
    if dtype_name(index.dtype) not in ("int64", "int32"):
        raise RuntimeError("scatter(): Expected dtype int32/int64 for index")
    if index.ndim != input.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    own = list(index.shape)
    said = f"Expected index {own} to be no larger than self {list(input.shape)} apart from dimension {dim}"
    larger = any(n > input.shape[d] for d, n in enumerate(own) if d != dim)
    if isinstance(src, Tensor):
        if src.dtype != input.dtype:
            raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
        if larger or any(n > m for n, m in zip(own, src.shape, strict=False)):
            raise RuntimeError(f"{said} and to be no larger size than src {list(src.shape)}")
    elif larger:
        raise RuntimeError(said)
    return dim


def _scattered(input: Any, dim: int, index: Any, src: Any, how: str) -> Any:
    """Into places that :func:`_check_scatter` has passed."""
    if not isinstance(src, Tensor):
        src = _rusttorch.full((), src, dtype=input.dtype).expand(index.shape)
    return input.clone() if index.numel() == 0 else _rusttorch._scatter(input, dim, index.long(), src, how)


@public(in_place=True)
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """A copy of ``input`` whose elements at ``index`` along ``dim`` are those of ``src``, a tensor, or ``value``, a
    number; ``torch.scatter``. Of several for one place the last one is there. With ``reduce`` "add" or "multiply"
    they are added, or multiplied, to what was there.

    Raises:
        RuntimeError: the shapes do not fit, or an index is out of range.

    >>> import numpy as np, rusttorch as rt
    >>> rt.scatter(np.zeros(3), 0, np.array([2, 0]), value=5.0)
    array([5., 0., 5.])
    """
    if src is None and value is None:
        raise TypeError('scatter() missing 1 required positional arguments: "src"')
    src = value if src is None else src
    dim = _check_scatter(input, dim, index, src)
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    return _scattered(input, dim, index, src, {None: "set", "add": "sum", "multiply": "prod"}[reduce])


@public(in_place=True)
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of ``input`` with the elements of ``src`` added at ``index`` along ``dim``, in their order;
    ``torch.scatter_add``.
    """
    return _scattered(input, _check_scatter(input, dim, index, src), index, src, "sum")


@public(in_place=True)
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """A copy of ``input`` with the elements of ``src`` combined into the places that ``index`` names along ``dim``:
    their "sum", "prod", "mean", "amax" or "amin", with what was there unless ``include_self`` is false.
    ``torch.scatter_reduce``.

    Raises:
        RuntimeError: the shapes do not fit, an index is out of range, or there is no such ``reduce``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.scatter_reduce(np.zeros(2), 0, np.array([1, 1]), np.array([3.0, 5.0]), "amax")
    array([0., 5.])
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    dim = _check_scatter(input, dim, index, src)
    if reduce == "mean" and dtype_name(input.dtype) == "bool":
        raise NotImplementedError("\"scatter_gather_tensor_cpu_reduce_mean\" not implemented for 'Bool'")

    def combine(x: Any, src: Any, how: str) -> Any:
        return _scattered(x, dim, index, src, how)

    return _reduced(combine, input, src, reduce, include_self)


def _reduced(combine: Any, input: Any, src: Any, reduce: str, include_self: bool) -> Any:
    """What ``combine`` makes of ``input``, whose elements have no part in it unless ``include_self``."""
    how = "sum" if reduce == "mean" else reduce
    start = input if include_self else combine(input, _identity(how, input).expand(src.shape), "set")
    result = combine(start, src, how)
    if reduce != "mean":
        return result
    one = _rusttorch.ones((), dtype=input.dtype)
    counts = combine((one if include_self else one - 1).expand(input.shape), one.expand(src.shape), "sum")
    mode = None if input.is_floating_point() else "floor"
    return op("div")(result, op("clamp")(counts, 1), mode)


def _identity(how: str, like: Any) -> Any:
    name = dtype_name(like.dtype)
    if how in ("sum", "prod"):
        value: Any = int(how == "prod")
    elif name == "bool":
        value = how == "amin"
    elif like.is_floating_point():
        value = float("-inf" if how == "amax" else "inf")
    else:
        bits = like.itemsize * 8 - (name != "uint8")
        least = 0 if name == "uint8" else -(1 << bits)
        value = least if how == "amax" else (1 << bits) - 1
    return _rusttorch.full((), value, dtype=like.dtype)


def _check_slices(name: str, input: Any, dim: int, index: Any, source: Any) -> int:
    """The errors of index_add and index_reduce but for indices out of range; ``dim`` from the front."""
    dim = wrap(dim, input.ndim)
    kind, count = title(index), index.numel()
    if kind not in ("Long", "Int"):
        raise RuntimeError(f"{name}_(): Expected dtype int32/int64 for index but got: {kind}")
    if index.ndim > 1:
        raise IndexError(
            f"{name}_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: {kind} and size: "
            f"{list(index.shape)}"
        )
    if input.dtype != source.dtype:
        raise RuntimeError(
            f"{name}_(): self ({title(input)}) and source ({title(source)}) must have the same scalar type"
        )
    own, theirs = list(input.shape), list(source.shape)
    if own[:dim] + own[dim + 1 :] != theirs[:dim] + theirs[dim + 1 :] or len(own) != len(theirs):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {own} source.shape = {theirs}"
        )
    size = theirs[dim] if theirs else 1
    if count != size:
        raise RuntimeError(
            f"{name}_(): Number of indices ({count}) should be equal to source.size(dim): ({size}), for dim: {dim}"
        )
    return dim


def _slices(input: Any, dim: int, index: Any, source: Any, how: str) -> Any:
    try:
        return _rusttorch._index_slices(input, dim, index.long(), source, how)
    except RuntimeError as error:
        raise IndexError("index out of range in self") from error


@public(in_place=True)
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """A copy of ``input`` with slices of ``alpha * source`` added at ``index`` along ``dim``, in their order;
    ``torch.index_add``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.index_add(np.zeros(3), 0, np.array([2, 2]), np.ones(2))
    array([0., 0., 2.])
    """
    dim = _check_slices("index_add", input, dim, index, source)
    source = source if alpha == 1 else (source * alpha).to(source.dtype)
    return _slices(input, dim, index, source, "sum")


@public(in_place=True)
def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """A copy of ``input`` with slices of ``source`` combined into those that ``index`` names along ``dim``: their
    "prod", "mean", "amax" or "amin", with what was there unless ``include_self`` is false. ``torch.index_reduce``.
    """
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    dim = _check_slices("index_reduce", input, dim, index, source)

    def combine(x: Any, source: Any, how: str) -> Any:
        return _slices(x, dim, index, source, how)

    return _reduced(combine, input, source, reduce, include_self)


@public(in_place=True)
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy of ``input`` whose slices at ``index`` along ``dim`` are those of ``source``; ``torch.index_copy``.

    Raises:
        IndexError: an index is out of range, or there are not as many as slices.
        RuntimeError: the shapes of the slices, or the dtypes, differ.

    >>> import numpy as np, rusttorch as rt
    >>> rt.index_copy(np.zeros(3), 0, np.array([2, 0]), np.array([1.0, 2.0]))
    array([2., 0., 1.])
    """
    dim, said = wrap(dim, input.ndim), "index_copy_():"
    if index.ndim >= 2:
        raise IndexError(f"{said} Index should have dimension 1 or 0 (got {index.ndim})")
    count = index.numel()
    if source.ndim == 0 and count != 1:
        raise IndexError(f"{said} When source is scalar, index should have one element (got {count})")
    if source.ndim != input.ndim and source.ndim and input.ndim:
        raise IndexError(
            f"{said} When source and destination are not scalars, their dimensionality must match. Source "
            f"dimensionality "
            f"({source.ndim}), destination dimensionality ({input.ndim})"
        )
    if title(index) != "Long":
        raise RuntimeError(f"{said} Expected a long tensor for index, but got {title(index)}")
    if input.dtype != source.dtype:
        raise RuntimeError(
            f"{said} self and source expected to have the same dtype, but got (self) {title(input)} and (source) "
            f"{title(source)}"
        )
    own, theirs = ([n for d, n in enumerate(x.shape) if d != dim] for x in (input, source))
    if own != theirs:
        one, two = (" ".join(map(str, x)) for x in (own, theirs))
        raise RuntimeError(
            f"{said} Source/destination tensor must have same slice shapes. Destination slice shape: {one} at "
            f"dimension "
            f"{dim} and source slice shape: {two} at dimension 0."
        )
    if source.ndim and count != source.shape[dim]:
        raise IndexError(
            f"{said} Number of indices ({count}) should be equal to source.size(dim) ({source.shape[dim]})"
        )
    try:
        return _rusttorch._index_slices(input, dim, index.reshape(-1), source, "set")
    except RuntimeError as error:
        raise IndexError(f"{said} {error}") from error


@public(in_place=True)
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A copy of ``input`` whose slices at ``index`` along ``dim``, from the end where it is negative, are ``value``,
    a number or a tensor without dimensions; ``torch.index_fill``.

    Raises:
        IndexError: an index is out of range, or not of int64.

    >>> import numpy as np, rusttorch as rt
    >>> rt.index_fill(np.zeros(3), 0, np.array([-1]), 7)
    array([0., 0., 7.])
    """
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        value = value.item()
    dim = wrap(dim, input.ndim)
    if title(index) != "Long":
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    result = input.clone()
    if result.ndim == 0:
        result.reshape(1)[index] = value
    else:
        result[along(dim, index.reshape(-1))] = value
    return result


@public(in_place=True)
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """A copy of ``input`` with ``input[indices] = values``, or with ``accumulate`` ``values`` added there, each as
    often as its place is named; ``torch.index_put``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.index_put(np.zeros(3), (np.array([1, 1]),), np.array(2.0), accumulate=True)
    array([0., 4., 0.])
    """
    if input.dtype != values.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {title(input)} for the destination and "
            f"{title(values)} for the source."
        )
    if not accumulate:
        result = input.clone()
        result[tuple(indices)] = values
        return result
    places = _rusttorch.arange(input.numel()).reshape(input.shape)[tuple(indices)]
    flat = values.expand(places.shape).reshape(-1)
    return _rusttorch._index_slices(input.reshape(-1), 0, places.reshape(-1), flat, "sum").reshape(input.shape)


@public(in_place=True)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """A copy of ``input`` whose elements where ``mask`` is true are those of ``source``, in order; ``input`` and
    ``mask`` are broadcast. ``torch.masked_scatter``.

    Raises:
        RuntimeError: ``source`` has too few elements.

    >>> import numpy as np, rusttorch as rt
    >>> rt.masked_scatter(np.zeros(3), np.array([True, False, True]), np.array([1.0, 2.0]))
    array([1., 0., 2.])
    """
    if dtype_name(mask.dtype) != "bool":
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {title(mask)}")
    if input.dtype != source.dtype:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have same dtypes but got{title(input)} and {title(source)}"
        )
    shape = input.shape if input.shape == mask.shape else op("logical_or")(mask, op("ne")(input, input)).shape
    result = _rusttorch._masked_scatter(input.expand(shape), mask.expand(shape), source)
    if result is None:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return result


@public(method=False)
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices along ``dim`` that ``index``, a vector of integers, names; ``torch.index_select``.

    Raises:
        IndexError: an index is out of range.

    >>> import numpy as np, rusttorch as rt
    >>> rt.index_select(np.array([5, 6, 7]), 0, np.array([2, 0]))
    array([7, 5])
    """
    return input.index_select(dim, index)


def _flat_places(name: str, input: Any, index: Any) -> Any:
    if title(index) != "Long":
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {title(index)}")
    return _rusttorch._from_start(index.reshape(-1), input.numel())


@public()
def take(input: Any, index: Any) -> Any:
    """The elements at ``index`` of the tensor as if it had one dimension, in the shape of ``index``; ``torch.take``.

    Raises:
        IndexError: an index is out of range.

    >>> import numpy as np, rusttorch as rt
    >>> rt.take(np.array([[1, 2], [3, 4]]), np.array([3, 0]))
    array([4, 1])
    """
    if input.numel() == 0 and index.numel():
        raise IndexError("take(): tried to take from an empty tensor")
    return input.reshape(-1).index_select(0, _flat_places("take", input, index)).reshape(index.shape)


@public(in_place=True)
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """A copy with the elements of ``source`` at ``index`` of the tensor as if it had one dimension, or with
    ``accumulate`` added there; ``torch.put``.
    """
    if input.dtype != source.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{title(input)} and source.dtype = {title(source)}"
        )
    if index.numel() != source.numel():
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source.numel()}, index.numel() = {index.numel()}"
        )
    places, how = _flat_places("put_", input, index), "sum" if accumulate else "set"
    result = _rusttorch._index_slices(input.reshape(-1), 0, places, source.reshape(-1), how)
    return result.reshape(input.shape)


def _with(input: Any, part: Any, src: Any) -> Any:
    """``input``, a copy, with ``src`` in ``part``, a view of it."""
    if part.shape != src.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(part.shape)}"
        )
    part.copy_(src)
    return input


@public()
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """A copy of ``input`` with ``src`` at ``index`` of ``dim``; ``torch.select_scatter``."""
    result = input.clone()
    return _with(result, result.select(dim, index), src)


@public()
def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """A copy of ``input`` with ``src`` in the range ``start:end:step`` of ``dim``; ``torch.slice_scatter``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.slice_scatter(np.zeros(4), np.ones(2), step=2)
    array([1., 0., 1., 0.])
    """
    result = input.clone()
    return _with(result, result[along(wrap(dim, input.ndim), slice(start, end, step))], src)


@public()
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A copy of ``input`` with ``src`` on a diagonal; ``torch.diagonal_scatter``. See :func:`diagonal`."""
    result = input.clone()
    return _with(result, _rusttorch._diagonal(result, offset, dim1, dim2), src)
