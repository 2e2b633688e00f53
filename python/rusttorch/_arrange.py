"""Sorting, selecting, moving and comparing whole tensors: ``sort``, ``topk``, ``masked_select``, ``roll``, ``equal``
and their kin, as functions and as methods of ``rusttorch.Tensor``, with torch's arguments, results and errors.

Of torch's tensors they are torch's own functions. Of others they are ours: sorting in Rust, the rest made of it and of
operations that are there. Where one operand is a tensor of ours so is the result, else it is NumPy's.
"""

from __future__ import annotations

import functools
import sys
from collections import namedtuple
from collections.abc import Callable
from typing import Any, TypeVar

from rusttorch import _rusttorch
from rusttorch._rusttorch import Tensor

_F = TypeVar("_F", bound=Callable[..., Any])

#: What is here by name, for the package and for methods.
FUNCTIONS: dict[str, Callable[..., Any]] = {}


def _public(function: _F) -> _F:
    """Of tensors of ours; the wrapper is for all kinds."""
    name = function.__name__

    @functools.wraps(function)
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        if type(input) is Tensor and not args and not kwargs:
            return function(input)
        operands = (input, *args, *kwargs.values())
        torch = sys.modules.get("torch")
        if torch is not None and any(isinstance(x, torch.Tensor) for x in operands):
            home = torch if hasattr(torch, name) else torch.Tensor
            return getattr(home, name)(_torchs(torch, input), *(_torchs(torch, a) for a in args), **kwargs)
        ours = any(isinstance(x, Tensor) for x in operands)
        if not isinstance(input, Tensor) and not hasattr(input, "__array__"):
            kind = type(input).__name__
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {kind}")
        result = function(_own(input), *map(_own, args), **{k: _own(v) for k, v in kwargs.items()})
        return result if ours else _numpys(result)

    FUNCTIONS[name] = call
    return call  # type: ignore[return-value]


def _torchs(torch: Any, x: Any) -> Any:
    if isinstance(x, Tensor):
        return torch.from_dlpack(x)
    return torch.as_tensor(x) if hasattr(x, "__array__") else x


def _own(x: Any) -> Any:
    return x if isinstance(x, Tensor) or not hasattr(x, "__array__") else _rusttorch.as_tensor(x)


def _numpys(result: Any) -> Any:
    if isinstance(result, Tensor):
        array = result.numpy()
        return array if array.ndim else array[()]
    if isinstance(result, tuple):
        parts = [_numpys(r) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    return result


def _op(name: str) -> Any:
    return _rusttorch._op_function(name)


def _name(of: Any) -> str:
    return str(of).removeprefix("rusttorch.")


#: As errors of C++ name dtypes.
_C_NAMES = {"float32": "float", "float64": "double", "int64": "long long", "int32": "int", "int16": "short"}


def _wrap(dim: int, rank: int) -> int:
    most = max(rank, 1)
    if not -most <= dim < most:
        text = f"Dimension out of range (expected to be in range of [{-most}, {most - 1}], but got {dim})"
        raise IndexError(text)
    return dim % most


sort_result = namedtuple("sort_result", ("values", "indices"))
topk_result = namedtuple("topk_result", ("values", "indices"))
kthvalue_result = namedtuple("kthvalue_result", ("values", "indices"))
median_result = namedtuple("median_result", ("values", "indices"))


@_public
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The elements in order along ``dim``, and where they were: a named tuple of ``values`` and ``indices``;
    ``torch.sort``. Equal elements always keep their order; NaN is larger than all.

    >>> import numpy as np, rusttorch as rt
    >>> rt.sort(np.array([2, 3, 1]), descending=True).indices
    array([1, 0, 2])
    """
    return sort_result(*_rusttorch._sort(input, dim, descending))


@_public
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Where the elements in order along ``dim`` are; ``torch.argsort``. See :func:`sort`."""
    return _rusttorch._sort(input, dim, descending)[1]


@_public
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The ``k`` largest or smallest elements along ``dim``, in order, and where they are; ``torch.topk``.

    Raises:
        RuntimeError: there are fewer than ``k``.
    """
    dim = _wrap(dim, input.ndim)
    if not 0 <= k <= (input.shape[dim] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    values, indices = _rusttorch._sort(input, dim, largest)
    if input.ndim == 0:
        return topk_result(values, indices)
    return topk_result(*(r.narrow(dim, 0, k).clone() for r in (values, indices)))


@_public
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The ``k``-th smallest element along ``dim``, counted from 1, and where it is; ``torch.kthvalue``.

    Raises:
        RuntimeError: there is no such element.
    """
    dim = _wrap(dim, input.ndim)
    size = input.shape[dim] if input.ndim else 1
    if size == 0:
        raise IndexError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    return kthvalue_result(*_picked(_rusttorch._sort(input, dim, False), dim, k - 1, keepdim))


def _picked(parts: list[Any], dim: int, at: int, keepdim: bool) -> list[Any]:
    if parts[0].ndim == 0:
        return parts
    return [(p.narrow(dim, at, 1) if keepdim else p.select(dim, at)).clone() for p in parts]


@_public
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element of all, the lower one of two, or with ``dim`` those along it and where they are, a named
    tuple; ``torch.median``. Where there is a NaN it is NaN.
    """
    if _name(input.dtype) == "bool":
        raise NotImplementedError("\"median_cpu\" not implemented for 'Bool'")
    flat = input if dim is not None else input.reshape(-1)
    at = _wrap(0 if dim is None else dim, flat.ndim)
    size = flat.shape[at] if flat.ndim else 1
    if size == 0:
        if dim is not None:
            raise IndexError(f"median(): Expected reduction dim {at} to have non-zero size.")
        if not input.is_floating_point():
            raise RuntimeError("median(): the tensor has no elements")
        return _rusttorch.full((), float("nan"), dtype=input.dtype)
    values, indices = _rusttorch._sort(flat, at, False)
    middle = _picked([values, indices], at, (size - 1) // 2, keepdim)
    if input.is_floating_point():
        # The first NaN is behind all numbers.
        is_nan = _op("isnan")(values)
        numbers = size - _op("sum")(is_nan, at, keepdim=True) if flat.ndim else size - is_nan.long()
        place = _op("minimum")(numbers, size - 1)
        first = _op("take_along_dim")(indices, place, at) if flat.ndim else indices
        first = first if keepdim or flat.ndim == 0 else first.squeeze(at)
        some = _op("any")(is_nan, at, keepdim=keepdim) if flat.ndim else is_nan
        middle = [_op("where")(some, float("nan"), middle[0]).to(input.dtype), _op("where")(some, first, middle[1])]
    return middle[0] if dim is None else median_result(*middle)


@_public
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements in order, and if asked for which of them each element is, and how many there are of each;
    ``torch.unique``. NaNs are all different. ``dim`` is not supported.
    """
    if dim is not None:
        raise NotImplementedError("unique() with dim= is not supported")
    values, order = _rusttorch._sort(input.reshape(-1), 0, False)
    n = values.shape[0]
    new = _rusttorch.ones(n, dtype="bool")
    if n > 1:
        new[1:] = _op("ne")(values[1:], values[:-1])
    results = [values[new]]
    if return_inverse:
        inverse = _rusttorch.empty(n, dtype="int64")
        inverse[order] = _rusttorch._scan("cumsum", new, 0)[0] - 1
        results.append(inverse.reshape(input.shape))
    if return_counts:
        starts = _rusttorch._nonzero(new).reshape(-1)
        counts = _rusttorch.empty(starts.shape[0], dtype="int64")
        if n:
            counts[:-1] = starts[1:] - starts[:-1]
            counts[-1:] = n - starts[-1:]
        results.append(counts)
    return results[0] if len(results) == 1 else tuple(results)


@_public
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


@_public
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where ``mask`` is true, in one dimension; both are broadcast. ``torch.masked_select``."""
    if _name(mask.dtype) != "bool":
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = _op("logical_or")(mask, _op("isnan")(input) if input.is_floating_point() else input).shape
    return input.expand(shape).reshape(-1)[mask.expand(shape).reshape(-1)]


def _check_scatter(input: Any, dim: int, index: Any, src: Any) -> int:
    """The errors of scattering but for indices out of range; ``dim`` from the front."""
    dim = _wrap(dim, input.ndim)
    if _name(index.dtype) not in ("int64", "int32"):
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


@_public
def scatter(input: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of ``input`` whose elements at ``index`` along ``dim`` are those of ``src``, a tensor or a number;
    ``torch.scatter``. Of several for one place the last one is there.
    """
    dim = _check_scatter(input, dim, index, src)
    own = list(index.shape)
    result = input.clone()
    if index.numel() == 0:
        return result
    size = input.shape[dim] if input.ndim else 1
    wrong = _op("logical_or")(_op("lt")(index, 0), _op("ge")(index, size))
    if bool(_op("any")(wrong)):
        bad = index.reshape(-1)[wrong.reshape(-1)][0].item()
        raise RuntimeError(f"index {bad} is out of bounds for dimension {dim} with size {size}")
    if input.ndim == 0:
        return result.fill_(src)
    places = []
    for d, n in enumerate(own):
        line = [1] * len(own)
        line[d] = n
        places.append(index if d == dim else _rusttorch.arange(n).reshape(line))
    result[tuple(places)] = src[tuple(slice(0, n) for n in own)] if isinstance(src, Tensor) else src
    return result


@_public
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of ``input`` with the elements of ``src`` added at ``index`` along ``dim``, in their order;
    ``torch.scatter_add``.
    """
    dim = _check_scatter(input, dim, index, src)
    return _rusttorch._scatter_add(input, dim, index.long(), src)


@_public
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """A copy of ``input`` with slices of ``alpha * source`` added at ``index`` along ``dim``, in their order;
    ``torch.index_add``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.index_add(np.zeros(3), 0, np.array([2, 2]), np.ones(2))
    array([0., 0., 2.])
    """
    dim = _wrap(dim, input.ndim)
    kind, count = _TITLES[_name(index.dtype)], index.numel()
    if kind not in ("Long", "Int"):
        raise RuntimeError(f"index_add_(): Expected dtype int32/int64 for index but got: {kind}")
    if index.ndim > 1:
        raise IndexError(
            f"index_add_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: {kind} and size: "
            f"{list(index.shape)}"
        )
    if input.dtype != source.dtype:
        one, two = (_TITLES[_name(x.dtype)] for x in (input, source))
        raise RuntimeError(f"index_add_(): self ({one}) and source ({two}) must have the same scalar type")
    own, theirs = list(input.shape), list(source.shape)
    if own[:dim] + own[dim + 1 :] != theirs[:dim] + theirs[dim + 1 :] or len(own) != len(theirs):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {own} source.shape = {theirs}"
        )
    size = theirs[dim] if theirs else 1
    if count != size:
        raise RuntimeError(
            f"index_add_(): Number of indices ({count}) should be equal to source.size(dim): ({size}), for dim: {dim}"
        )
    index = index.long().reshape([count if d == dim else 1 for d in range(len(own))]).expand(theirs)
    if bool(_op("any")(_op("logical_or")(_op("lt")(index, 0), _op("ge")(index, own[dim] if own else 1)))):
        raise IndexError("index out of range in self")
    return _rusttorch._scatter_add(input, dim, index, source if alpha == 1 else (source * alpha).to(source.dtype))


@_public
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

    result = input.clone()
    for step, dim in zip(steps, along, strict=True):
        if input.ndim == 0:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        dim = _wrap(dim, input.ndim)
        n = input.shape[dim]
        if result.numel() and (start := -step % n):
            result = cat([result.narrow(dim, start, n - start), result.narrow(dim, 0, start)], dim)
    return result


def _repeated(input: Any, sizes: list[int]) -> Any:
    shape = [1] * (len(sizes) - input.ndim) + list(input.shape)
    whole = [n * r for n, r in zip(shape, sizes, strict=True)]
    if any(r < 0 for r in sizes):
        at = next(i for i, r in enumerate(sizes) if r < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {whole[at]}: {whole}")
    single = [e for n in shape for e in (1, n)]
    paired = [e for n, r in zip(shape, sizes, strict=True) for e in (r, n)]
    return input.reshape(single).expand(paired).clone().reshape(whole)


@_public
def repeat(input: Any, *repeats: Any) -> Any:
    """Copies of the tensor side by side, so many along each dimension; ``torch.Tensor.repeat``."""
    sizes = list(repeats[0]) if len(repeats) == 1 and not isinstance(repeats[0], int) else list(repeats)
    if len(sizes) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    return _repeated(input, sizes)


@_public
def tile(input: Any, *dims: Any) -> Any:
    """As ``repeat``, with ones for missing leading dimensions; ``torch.tile``."""
    sizes = list(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else list(dims)
    return _repeated(input, [1] * (input.ndim - len(sizes)) + sizes)


@_public
def flipud(input: Any) -> Any:
    """The first dimension reversed; ``torch.flipud``."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return _op("flip")(input, [0])


@_public
def fliplr(input: Any) -> Any:
    """The second dimension reversed; ``torch.fliplr``."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return _op("flip")(input, [1])


@_public
def diag(input: Any, diagonal: int = 0) -> Any:
    """The matrix with this diagonal, or the diagonal of a matrix; ``torch.diag``."""
    if input.ndim == 1:
        size = input.shape[0] + abs(diagonal)
        result = _rusttorch.zeros(size, size, dtype=input.dtype)
        along = _rusttorch.arange(input.shape[0])
        result[along + max(-diagonal, 0), along + max(diagonal, 0)] = input
        return result
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    rows, columns = input.shape
    along = _rusttorch.arange(max(min(rows + min(diagonal, 0), columns - max(diagonal, 0)), 0))
    return input[along + max(-diagonal, 0), along + max(diagonal, 0)]


@_public
def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal; ``torch.trace``."""
    if _name(input.dtype) == "bool":
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return _op("sum")(diag(input))


@_public
def equal(input: Any, other: Any) -> bool:
    """Whether both have one shape and equal elements; ``torch.equal``."""
    return tuple(input.shape) == tuple(other.shape) and bool(_op("all")(_op("eq")(input, other)))


@_public
def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether :func:`isclose` holds for all elements; ``torch.allclose``."""
    if input.dtype != other.dtype:
        names = [_name(x.dtype) for x in (input, other)]
        one, two = (_TITLES.get(n, n.title()) for n in names)
        raise RuntimeError(f"{one} did not match {two}")
    return bool(_op("all")(_op("isclose")(input, other, rtol, atol, equal_nan)))


_TITLES = {
    "bool": "Bool",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "float32": "Float",
    "float64": "Double",
}


@_public
def norm(input: Any, p: float | str | None = "fro", dim: Any = None, keepdim: bool = False) -> Any:
    """The ``p``-norm of the elements, of all or along ``dim``; ``torch.norm``. ``"nuc"`` is not supported."""
    if p == "nuc":
        raise NotImplementedError("norm() with p='nuc' is not supported")
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
    if not input.is_floating_point():
        raise NotImplementedError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. "
            f"Got {_TITLES[_name(input.dtype)]}"
        )
    return _op("vector_norm")(input, 2 if p in ("fro", None) else p, dim, keepdim)


def _same_dtype(a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        one, two = (_C_NAMES.get(_name(x.dtype), _name(x.dtype)) for x in (a, b))
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {one} != {two}")


@_public
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices; ``torch.mm``."""
    for said, x in (("self", input), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"mm: {said} must be a matrix, got {x.ndim}-D tensor")
    (n, k), (rows, m) = input.shape, mat2.shape
    if k != rows:
        raise RuntimeError(f"mm: mat1 and mat2 shapes cannot be multiplied ({n}x{k} and {rows}x{m})")
    _same_dtype(input, mat2)
    return _rusttorch.matmul(input, mat2)


@_public
def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices; ``torch.bmm``."""
    for said, x in (("batch1", input), ("batch2", mat2)):
        if x.ndim != 3:
            raise RuntimeError(f"{said} must be a 3D tensor")
    want, own = [input.shape[0], input.shape[2]], list(mat2.shape[:2])
    if want != own:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: {want} but got: {own}.")
    _same_dtype(input, mat2)
    return _rusttorch.matmul(input, mat2)


@_public
def mv(input: Any, vec: Any) -> Any:
    """The product of a matrix and a vector; ``torch.mv``."""
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    if input.shape[1] != vec.shape[0]:
        (n, k), m = input.shape, vec.shape[0]
        raise RuntimeError(f"size mismatch, got input ({n}), mat ({n}x{k}), vec ({m})")
    _same_dtype(input, vec)
    return _rusttorch.matmul(input, vec)


#: Methods that are no functions of torch's.
METHODS: dict[str, Callable[..., Any]] = {
    "half": lambda input: input.to("float16"),
    "bfloat16": lambda input: input.to("bfloat16"),
    "type_as": lambda input, other: input.to(other.dtype),
    "view_as": lambda input, other: input.view(other.shape),
    "reshape_as": lambda input, other: input.reshape(other.shape),
}
