"""Dimensions moved and cut, and tensors laid out by a rule: ``movedim``, ``diagonal``, ``tensor_split``, ``rot90``,
``repeat_interleave``, ``new_zeros`` and their kin, with torch's arguments, results and errors.

``movedim``, ``swapaxes``, ``diagonal``, ``adjoint``, ``unbind`` and what splits give views, of NumPy's arrays too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from rusttorch import _rusttorch
from rusttorch._join import split
from rusttorch._names import op_function as op
from rusttorch._public import METHODS, alias, along, dtype_name, public, title, wrap
from rusttorch._rusttorch import Tensor


@public()
def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """A view whose dimension ``destination`` is dimension ``source``, the others keeping their order;
    ``torch.movedim``.

    Raises:
        RuntimeError: a dimension is there twice, or there are not as many.

    >>> import numpy as np, rusttorch as rt
    >>> rt.movedim(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    sources, targets = ([x] if isinstance(x, int) else list(x) for x in (source, destination))
    if len(sources) != len(targets):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({sources} dims) should contain the same "
            f"number of dims "
            f"as destination ({targets} dims)"
        )
    rank = input.ndim
    source_dims, target_dims = ([wrap(d, rank) for d in dims] for dims in (sources, targets))
    for said, dims, given in (("source", source_dims, sources), ("destination", target_dims, targets)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{said}` ({given})")
    if rank == 0:
        return input.reshape(())
    order = dict(zip(target_dims, source_dims, strict=True))
    rest = iter([d for d in range(rank) if d not in source_dims])
    return input.permute([order[d] if d in order else next(rest) for d in range(rank)])


moveaxis = alias("moveaxis", movedim)


@public()
def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """A view with two dimensions swapped; ``torch.swapaxes``, NumPy's name for ``transpose``."""
    return input.transpose(axis0, axis1)


@public()
def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """A view with two dimensions swapped; ``torch.swapdims``, as ``transpose``."""
    return input.transpose(dim0, dim1)


@public()
def adjoint(input: Any) -> Any:
    """A view with the last two dimensions swapped; ``torch.adjoint`` of real tensors."""
    if input.ndim == 1:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return input.mT


@public()
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A view of the elements whose index of ``dim2`` is that of ``dim1`` plus ``offset``, in a new last dimension;
    ``torch.diagonal``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.diagonal(np.array([[1, 2], [3, 4]]))
    array([1, 4])
    """
    return _rusttorch._diagonal(input, offset, dim1, dim2)


@public()
def as_strided(input: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Any:
    """A view of the memory of ``input`` with these extents, and these distances, in elements, between them, from
    element ``storage_offset`` of it on, by default where ``input`` starts; ``torch.as_strided``.

    Raises:
        RuntimeError: an element would be outside of the memory.

    >>> import numpy as np, rusttorch as rt
    >>> rt.as_strided(np.arange(5), (3, 3), (1, 1))
    array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 4]])
    """
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(n < 0 for n in size):
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(size)} and strides={list(stride)}")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    if storage_offset is not None and storage_offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {storage_offset}")
    return _rusttorch._as_strided(input, list(size), list(stride), storage_offset)


def _check_image(name: str, input: Any, factor: int, kind: str) -> None:
    if input.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {kind}, but got {factor}")


@public(method=False)
def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Blocks of ``upscale_factor`` by ``upscale_factor`` pixels made of as many channels: from ``(..., C*r*r, H, W)``
    to ``(..., C, H*r, W*r)``; ``torch.pixel_shuffle``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.pixel_shuffle(np.arange(4).reshape(4, 1, 1), 2)
    array([[[0, 1],
            [2, 3]]])
    """
    r = upscale_factor
    _check_image("pixel_shuffle", input, r, "upscale_factor")
    *rest, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={c} is not divisible by {r * r}"
        )
    blocks, n = input.reshape([*rest, c // (r * r), r, r, h, w]), len(rest)
    order = [*range(n), *(n + d for d in (0, 3, 1, 4, 2))]
    return blocks.permute(order).contiguous().reshape([*rest, c // (r * r), h * r, w * r])


@public(method=False)
def channel_shuffle(input: Any, groups: int) -> Any:
    """The channels of ``(N, C, *)``, which are ``groups`` times as many, so that those that were next to each other
    are ``groups`` apart; ``torch.channel_shuffle``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.channel_shuffle(np.arange(4).reshape(1, 4, 1), 2).ravel()
    array([0, 2, 1, 3])
    """
    if input.ndim <= 2:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    n, c, *rest = input.shape
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    return input.reshape([n, groups, c // groups, *rest]).transpose(1, 2).contiguous().reshape([n, c, *rest])


@public(method=False)
def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """The pixels of blocks as channels, the inverse of :func:`pixel_shuffle`; ``torch.pixel_unshuffle``."""
    r = downscale_factor
    _check_image("pixel_unshuffle", input, r, "downscale_factor")
    *rest, c, h, w = input.shape
    for said, at, n in (("height", -2, h), ("width", -1, w)):
        if n % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {said} to be divisible by downscale_factor, but input.size({at})={n} is not "
                f"divisible by {r}"
            )
    blocks, n = input.reshape([*rest, c, h // r, r, w // r, r]), len(rest)
    order = [*range(n), *(n + d for d in (0, 2, 4, 1, 3))]
    return blocks.permute(order).contiguous().reshape([*rest, c * r * r, h // r, w // r])


@public()
def unbind(input: Any, dim: int = 0) -> Any:
    """Views of all indices of a dimension, one by one; ``torch.unbind``."""
    return input.unbind(dim)


def _check_rank(name: str, input: Any, rank: int) -> None:
    if input.ndim < rank:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {rank} dimension, but got a tensor with {input.ndim} "
            "dimensions!"
        )


def _cut(input: Any, places: list[int], dim: int) -> tuple[Any, ...]:
    """Cut before each of the places, as slices are."""
    ends = [None, *places, None]
    return tuple(input[along(dim, slice(a or 0, b))] for a, b in itertools.pairwise(ends))


@public()
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> Any:
    """Views of as many parts along ``dim``, the first ones larger by one, or of those between the given indices;
    ``torch.tensor_split``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.tensor_split(np.arange(5), 2)
    (array([0, 1, 2]), array([3, 4]))
    """
    if input.ndim == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim, given = wrap(dim, input.ndim), indices_or_sections
    if isinstance(given, Tensor):
        if title(given) != "Long" or given.ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional "
                "int64 tensor"
            )
        given = given.tolist()
    if isinstance(given, (list, tuple)):
        return _cut(input, list(given), dim)
    if not isinstance(given, int):
        raise TypeError("tensor_split(): argument 'indices_or_sections' must be int or tuple of ints")
    if given <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {given}")
    each, more = divmod(input.shape[dim], given)
    return _cut(input, [each * i + min(i, more) for i in range(1, given)], dim)


def _split_along(name: str, input: Any, given: Any, dim: int) -> Any:
    if isinstance(given, int) and (given == 0 or input.shape[dim] % given):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
            f"{input.shape[dim]} is not divisible by the split_size {given}!"
        )
    return tensor_split(input, given, dim)


@public()
def hsplit(input: Any, indices_or_sections: Any) -> Any:
    """:func:`tensor_split` along the second dimension, of a vector the first, into equal parts; ``torch.hsplit``."""
    _check_rank("hsplit", input, 1)
    return _split_along("hsplit", input, indices_or_sections, min(input.ndim - 1, 1))


@public()
def vsplit(input: Any, indices_or_sections: Any) -> Any:
    """:func:`tensor_split` along the first dimension, into equal parts; ``torch.vsplit``."""
    _check_rank("vsplit", input, 2)
    return _split_along("vsplit", input, indices_or_sections, 0)


@public()
def dsplit(input: Any, indices_or_sections: Any) -> Any:
    """:func:`tensor_split` along the third dimension, into equal parts; ``torch.dsplit``."""
    _check_rank("dsplit", input, 3)
    return _split_along("dsplit", input, indices_or_sections, 2)


@public()
def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> Any:
    """Views of parts of these extents along ``dim``; ``torch.split_with_sizes``, as ``split``."""
    return split(input, list(split_sizes), dim)


@public()
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices in dimensions ``dim1`` and ``dim2`` with the lines of the last dimension as their diagonals, zeros
    elsewhere; ``torch.diag_embed``.
    """
    rank = input.ndim + 1
    a, b = wrap(dim1, rank), wrap(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((a, b)):
        shape.insert(d, n)
    result = _rusttorch.zeros(shape, dtype=input.dtype)
    _rusttorch._diagonal(result, offset, a, b).copy_(input)
    return result


@public()
def diagflat(input: Any, offset: int = 0) -> Any:
    """The matrix whose diagonal has all elements; ``torch.diagflat``."""
    return diag_embed(input.reshape(-1), offset)


@public()
def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:
    """Turned by 90 degrees ``k`` times, from the first of ``dims`` towards the second; ``torch.rot90``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.rot90(np.array([[1, 2], [3, 4]]))
    array([[2, 4],
           [1, 3]])
    """
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = (wrap(d, input.ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    flip = op("flip")
    match k % 4:
        case 1:
            return flip(input, [b]).transpose(a, b).contiguous()
        case 2:
            return flip(input, [a, b])
        case 3:
            return flip(input, [a]).transpose(a, b).contiguous()
    return input.clone()


@public()
def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Every element, or with ``dim`` every slice along it, as often as ``repeats`` says: a number, or one for each.
    Without ``repeats``: every index as often as the element says. ``torch.repeat_interleave``.

    Raises:
        RuntimeError: ``repeats`` does not fit, or is negative.

    >>> import numpy as np, rusttorch as rt
    >>> rt.repeat_interleave(np.array([7, 8]), np.array([1, 2]))
    array([7, 8, 8])
    """
    counts = input if repeats is None else repeats
    if isinstance(counts, Tensor):
        if counts.ndim > 1:
            raise RuntimeError(
                "repeats must be 0-dim or 1-dim tensor"
                if repeats is not None
                else "repeat_interleave only accept 1D vector as repeat"
            )
        if title(counts) not in ("Long", "Int"):
            raise NotImplementedError(f"\"repeat_interleave_cpu\" not implemented for '{title(counts)}'")
    elif counts < 0:
        raise RuntimeError("Repeats must be non-negative")
    flat = input if dim is not None else input.reshape(-1)
    at = wrap(0 if dim is None else dim, flat.ndim)
    flat = flat.reshape(1) if flat.ndim == 0 else flat
    n = flat.shape[at]
    if isinstance(counts, int) and output_size in (None, n * counts):
        shape = list(flat.shape)
        copies = flat.unsqueeze(at + 1).expand([*shape[: at + 1], counts, *shape[at + 1 :]])
        return copies.clone().reshape([*shape[:at], n * counts, *shape[at + 1 :]])
    if not isinstance(counts, Tensor) or counts.numel() == 1:
        counts = _rusttorch.full((n,), int(counts), dtype="int64")
    if counts.shape[0] != n:
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got "
            f"repeats.size(0) = {counts.shape[0]} and input.size({at}) = {n}"
        )
    if n and bool(op("any")(op("lt")(counts, 0))):
        raise RuntimeError("repeats can not be negative")
    ends = _rusttorch._scan("cumsum", counts.long(), 0)[0]
    total = int(ends[-1]) if n else 0
    if output_size is not None and output_size != total:
        raise RuntimeError("allocated size does not match required size")
    places = _rusttorch._search(ends, _rusttorch.arange(total), True)
    return places if repeats is None else flat.index_select(at, places)


def _triangle(row: int, col: int, offset: int, lower: bool, dtype: Any, device: Any) -> Any:
    for said, n in (("row", row), ("col", col)):
        if n < 0:
            raise RuntimeError(f"{said} must be non-negative, got{n}")
    ones = _rusttorch.ones(row, col, dtype="bool", device=device)
    return _rusttorch._nonzero(op("tril" if lower else "triu")(ones, offset)).t().contiguous().to(dtype or "int64")


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Any:
    """The rows and columns of the lower triangle of a matrix, row by row: a tensor of ours of shape (2, n);
    ``torch.tril_indices``.

    >>> import rusttorch as rt
    >>> rt.tril_indices(2, 2).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    return _triangle(row, col, offset, True, dtype, device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Any:
    """The rows and columns of the upper triangle of a matrix, row by row; ``torch.triu_indices``."""
    return _triangle(row, col, offset, False, dtype, device)


def logspace(start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None) -> Any:
    """``base`` to the power of ``steps`` numbers with equal distances from ``start`` to ``end``: a tensor of ours,
    computed in float64; ``torch.logspace``.

    >>> import rusttorch as rt
    >>> rt.logspace(0, 2, 3).tolist()
    [1.0, 10.0, 100.0]
    """
    if dtype is not None and str(dtype).rpartition(".")[2] in _INTEGERS:
        start, end = int(start), int(end)
    powers = op("pow")(float(base), _rusttorch.linspace(start, end, steps, dtype="float64", device=device))
    return powers.to(dtype or _rusttorch.get_default_dtype())


_INTEGERS = ("uint8", "int8", "int16", "int32", "int64")


@public(method=False)
def unravel_index(indices: Any, shape: int | Sequence[int]) -> Any:
    """The index of each dimension of ``shape`` for numbers of elements in row-major order; ``torch.unravel_index``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.unravel_index(np.array([3, 5]), (2, 3))
    (array([1, 1]), array([0, 2]))
    """
    if indices.is_floating_point() or title(indices) == "Bool":
        raise TypeError(f"expected 'indices' to be integer dtype, but got torch.{dtype_name(indices.dtype)}")
    extents = [shape] if isinstance(shape, int) else list(shape)
    if any(n < 0 for n in extents):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(extents)}")
    found, rest = [], indices.to("int64")
    for n in reversed(extents):
        found.append(op("remainder")(rest, n))
        rest = op("div")(rest, n, "floor")
    return tuple(reversed(found))


@public(method=False)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of the elements of a vector, one row each, from the largest down, or up; ``torch.vander``."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    dtype = x.dtype if x.is_floating_point() else "int64"
    powers = _rusttorch.ones(x.shape[0], n, dtype=dtype)
    if n > 1:
        powers[:, 1:] = x.unsqueeze(1).to(dtype)
        powers = _rusttorch._scan("cumprod", powers, 1)[0]
    return powers if increasing else op("flip")(powers, [1])


@public(method=False)
def numel(input: Any) -> int:
    """The number of elements; ``torch.numel``."""
    return input.numel()  # type: ignore[no-any-return]


@public(method=False)
def clone(input: Any) -> Any:
    """A copy; ``torch.clone``."""
    return input.clone()


def _size(name: str, size: tuple[Any, ...]) -> list[int]:
    return list(size[0]) if len(size) == 1 and isinstance(size[0], (list, tuple)) else list(size)


def _new(name: str) -> Any:
    def new(input: Any, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
        make = getattr(_rusttorch, name)
        dtype = input.dtype if dtype is None else dtype
        return make(_size(name, size), dtype=dtype, device=device, requires_grad=requires_grad)

    new.__name__ = f"new_{name}"
    new.__doc__ = (
        f"A tensor as of ``{name}``, of this one's dtype unless another is given; ``torch.Tensor.new_{name}``."
    )
    return new


def _new_full(
    input: Any, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """A tensor of one value, of this one's dtype unless another is given; ``torch.Tensor.new_full``."""
    if isinstance(size, int):
        raise TypeError("new_full(): argument 'size' (position 1) must be tuple of ints, not int")
    dtype = input.dtype if dtype is None else dtype
    return _rusttorch.full(size, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def _new_tensor(input: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of these numbers, of this one's dtype unless another is given; ``torch.Tensor.new_tensor``."""
    dtype = input.dtype if dtype is None else dtype
    return _rusttorch.tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


def _type(input: Any, dtype: Any = None) -> Any:
    """The dtype as torch names tensors, or the tensor converted to one; ``torch.Tensor.type``."""
    return f"torch.{title(input)}Tensor" if dtype is None else input.to(dtype)


METHODS.update(
    {
        "new_empty": _new("empty"),
        "new_ones": _new("ones"),
        "new_zeros": _new("zeros"),
        "new_full": _new_full,
        "new_tensor": _new_tensor,
        "type": _type,
        "type_as": lambda input, other: input.to(other.dtype),
        "view_as": lambda input, other: input.view(other.shape),
        "reshape_as": lambda input, other: input.reshape(other.shape),
        "sum_to_size": lambda input, *size: _sum_to_size(input, _size("sum_to_size", size)),
        "ndimension": lambda input: input.ndim,
        "half": lambda input, memory_format=None: input.to("float16", memory_format=memory_format),
        "bfloat16": lambda input, memory_format=None: input.to("bfloat16", memory_format=memory_format),
        "byte": lambda input, memory_format=None: input.to("uint8", memory_format=memory_format),
        "char": lambda input, memory_format=None: input.to("int8", memory_format=memory_format),
        "short": lambda input, memory_format=None: input.to("int16", memory_format=memory_format),
    }
)


def _sum_to_size(input: Any, size: list[int]) -> Any:
    own = list(input.shape)
    ones = [1] * (len(own) - len(size)) + size
    if len(size) > len(own) or any(n not in (1, m) for n, m in zip(ones, own, strict=True)):
        raise RuntimeError(f"size {{{size}}} is not expandable to size {{{own}}}.")
    if not size:
        return op("sum")(input)
    dims = [d for d, (n, m) in enumerate(zip(ones, own, strict=True)) if n != m]
    summed = op("sum")(input, dims, True) if dims else input
    return summed.reshape(size)
