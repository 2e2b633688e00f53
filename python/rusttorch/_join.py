"""``cat``, ``stack``, ``chunk`` and ``split``: of torch tensors torch's own, of others ours, worded as torch's.

Parts are views, of NumPy arrays NumPy's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rusttorch import _names, _out, _rusttorch
from rusttorch._public import is_traced, refuse_traced
from rusttorch._rusttorch import Tensor


def cat(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """The tensors one after another along ``dim``, as ``torch.cat``: promoted to one dtype, and equal in all other
    extents.

    Raises:
        RuntimeError: the shapes do not fit.
        ValueError: there are no tensors.

    Example:
        >>> import numpy as np, rusttorch as rt
        >>> rt.cat([np.zeros(2), np.ones(1)])
        array([0., 0., 1.])
    """
    if out is None and (joined := _rusttorch._cat(tensors, dim, False)) is not None:
        return joined
    if (theirs := _all_torchs(tensors)) is not None:
        return theirs.cat(tensors, dim, out=out)
    parts = _parts("cat", tensors)
    torch = _torch(parts)
    if torch is not None:
        return torch.cat([_to_torch(torch, p) for p in parts], dim, out=out)
    if not parts:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for i, p in enumerate(parts):
        if p.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    dtype = _result_dtype(parts)
    # torch's legacy: an empty vector fits everywhere.
    kept = [p for p in parts if tuple(p.shape) != (0,)] or parts[:1]
    first, dim = kept[0], _wrap(dim, kept[0].ndim)
    for i, p in enumerate(kept[1:], 1):
        if p.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {p.ndim}")
        for d in range(p.ndim):
            if d != dim and p.shape[d] != first.shape[d]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {first.shape[d]} but got "
                    f"size {p.shape[d]} for tensor number {i} in the list."
                )
    return _joined("cat", parts, kept, dtype, dim, out)


def stack(tensors: Sequence[Any], dim: int = 0, *, out: Any = None) -> Any:
    """The tensors, of one shape, along a new dimension ``dim``, as ``torch.stack``.

    Raises:
        RuntimeError: there are no tensors, or their shapes differ.

    Example:
        >>> import numpy as np, rusttorch as rt
        >>> rt.stack([np.zeros(2), np.ones(2)])
        array([[0., 0.],
               [1., 1.]])
    """
    if out is None and (joined := _rusttorch._cat(tensors, dim, True)) is not None:
        return joined
    if (theirs := _all_torchs(tensors)) is not None:
        return theirs.stack(tensors, dim, out=out)
    parts = _parts("stack", tensors)
    torch = _torch(parts)
    if torch is not None:
        return torch.stack([_to_torch(torch, p) for p in parts], dim, out=out)
    if not parts:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = list(parts[0].shape)
    for i, p in enumerate(parts):
        if list(p.shape) != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {first} at entry 0 and {list(p.shape)} at entry "
                f"{i}"
            )
    dim = _wrap(dim, len(first) + 1)
    single = [*first[:dim], 1, *first[dim:]]
    return _joined("stack", parts, [p.reshape(single) for p in parts], _result_dtype(parts), dim, out)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` parts of equal extent along ``dim``, the last one smaller: views, as ``torch.chunk``."""
    if _torch([input]) is not None:
        return sys.modules["torch"].chunk(input, chunks, dim)  # type: ignore[no-any-return]
    input = _array("chunk", "input", input)
    _check_int("chunk", "chunks", chunks)
    if input.ndim == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = _wrap(dim, input.ndim)
    n = input.shape[dim]
    step = -(-n // chunks)
    # Of nothing torch gives as many parts as were asked for.
    return _cut(input, [min(step, n - i) for i in range(0, n, step)] if n else [0] * chunks, dim)


def split(tensor: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Parts of this extent along ``dim``, the last one smaller, or of these extents: views, as ``torch.split``."""
    if _torch([tensor]) is not None:
        return sys.modules["torch"].split(tensor, split_size_or_sections, dim)  # type: ignore[no-any-return]
    tensor = _array("split", "tensor", tensor)
    if tensor.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = _wrap(dim, tensor.ndim)
    n = tensor.shape[dim]
    if isinstance(split_size_or_sections, (list, tuple)):
        sizes = [int(s) for s in split_size_or_sections]
        if any(s < 0 for s in sizes):
            text = f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={sizes}"
            raise RuntimeError(text)
        if sum(sizes) != n:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {dim}), "
                f"but got split_sizes={sizes}"
            )
        return _cut(tensor, sizes, dim)
    _check_int("split", "split_size", split_size_or_sections)
    size: int = split_size_or_sections  # type: ignore[assignment]
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and n != 0:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    return _cut(tensor, [min(size, n - i) for i in range(0, n, size)] if n else [0], dim)


def _torch(parts: Sequence[Any]) -> Any:
    """torch, when one of its tensors takes part."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and any(isinstance(p, torch.Tensor) for p in parts) else None


def _all_torchs(tensors: Sequence[Any]) -> Any:
    """torch, when there is nothing else among these."""
    torch = sys.modules.get("torch")
    if torch is None or type(tensors) not in (list, tuple) or not tensors:
        return None
    return torch if all(isinstance(t, torch.Tensor) for t in tensors) else None


def _to_torch(torch: Any, part: Any) -> Any:
    if isinstance(part, torch.Tensor):
        return part
    return torch.from_dlpack(part) if isinstance(part, Tensor) else torch.as_tensor(part)


def _array(name: str, argument: str, value: Any) -> Any:
    """A tensor of ours, an array of NumPy, or one that a kernel is being made of, which parts can be taken of."""
    if isinstance(value, Tensor) or (name in ("chunk", "split") and is_traced(value)):
        return value
    refuse_traced(name, [value])
    if hasattr(value, "__array__"):
        import numpy

        return numpy.asarray(value)
    raise TypeError(f"{name}(): argument '{argument}' (position 1) must be Tensor, not {type(value).__name__}")


def _parts(name: str, tensors: Sequence[Any]) -> list[Any]:
    if not isinstance(tensors, (list, tuple)):
        kind = type(tensors).__name__
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {kind}")
    refuse_traced(name, tensors)
    torch = _torch(tensors)
    parts = []
    for i, t in enumerate(tensors):
        if torch is not None and isinstance(t, torch.Tensor):
            parts.append(t)
        elif isinstance(t, Tensor) or hasattr(t, "__array__"):
            parts.append(_array(name, "tensors", t))
        else:
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(t).__name__}")
    return parts


def _check_int(name: str, argument: str, value: Any) -> None:
    if not isinstance(value, int):
        kind = type(value).__name__
        raise TypeError(f"{name}(): argument '{argument}' (position 2) must be int, not {kind}")


def _wrap(dim: int, rank: int) -> int:
    if not -rank <= dim < rank:
        text = f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})"
        raise IndexError(text)
    return dim % rank


def _result_dtype(parts: list[Any]) -> str:
    """The dtype that torch promotes these to, tensors without dimensions like all others."""
    name = _name(parts[0].dtype)
    for p in parts[1:]:
        if (other := _name(p.dtype)) != name:
            one, two = (_rusttorch.empty(1, dtype=n) for n in (name, other))
            name = _name(_names.op_function("maximum")(one, two).dtype)
    return name


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("rusttorch.")


def _joined(name: str, parts: list[Any], pieces: list[Any], dtype: str, dim: int, out: Any) -> Any:
    ours = any(isinstance(p, Tensor) for p in parts)
    if not ours and out is None:
        import numpy

        return numpy.concatenate(pieces, axis=dim, dtype=dtype)
    result = _rusttorch._cat([_rusttorch.as_tensor(p).to(dtype) for p in pieces], dim, False)
    return result if out is None else _out.written(name, result, out, ours)


def _cut(x: Any, sizes: list[int], dim: int) -> tuple[Any, ...]:
    parts, start = [], 0
    for size in sizes:
        if isinstance(x, Tensor) or is_traced(x):
            parts.append(x.narrow(dim, start, size))
        else:
            parts.append(x[(slice(None),) * dim + (slice(start, start + size),)])
        start += size
    return tuple(parts)
