"""``cumsum``, ``cumprod``, ``logcumsumexp``, ``cummax``, ``cummin``: of all elements up to each, along a dimension.

They are no kernels: they run when they are called, in Rust, and give arrays of the operand's kind. Tensors of torch
that require grad are scanned by torch, which knows the gradients.
"""

from __future__ import annotations

import sys
from collections import namedtuple
from typing import Any

from rusttorch import _names, _out, _rusttorch
from rusttorch._public import named, refuse_traced
from rusttorch._rusttorch import Tensor, dtype


def _torchs(x: Any, out: Any) -> Any:
    """torch, where it scans: where its autograd is to follow what is done with ``x``, whose gradients these are, where
    it has to check, and may resize, an ``out`` of its own, and where ``x`` is more than its memory (in a transform, a
    mode or a subclass).
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        return None
    follows = x.requires_grad and torch.is_grad_enabled()
    return torch if out is not None or follows or _rusttorch._special(x) is not None else None


def _kind(x: Any, name: str) -> str:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return "torch"
    if isinstance(x, Tensor):
        return "ours"
    refuse_traced(name, [x])
    if hasattr(x, "__array__"):
        return "numpy"
    raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")


def _scan(name: str, x: Any, dim: int, dtype: Any = None) -> list[Any]:
    kind = _kind(x, name)
    if dtype is not None:
        x = _names.op_function("to")(x, _dtype_name(dtype))
    results = _rusttorch._scan(name, x, dim)
    if kind == "torch":
        from torch import from_dlpack

        return [from_dlpack(y) for y in results]
    return results if kind == "ours" else [y.numpy() for y in results]


def _dtype_name(of: Any) -> str:
    """float32 of torch.float32, of NumPy's, of ours and of the text."""
    if isinstance(of, dtype | str):
        return str(of).removeprefix("rusttorch.").removeprefix("torch.")
    if type(of).__module__ == "torch":
        return str(of).removeprefix("torch.")
    import numpy as np

    return str(np.dtype(of).name)


def cumsum(x: Any, dim: int | None = None, *, dtype: Any = None, out: Any = None, axis: int | None = None) -> Any:
    """The sum of each element and those before it along ``dim``; ``torch.cumsum``.

    ``x`` is an array of NumPy, or a tensor of torch or ours, of any shape; the result has its shape and kind. Integers
    and bool give int64, or ``dtype``, to which the operand is converted first. Floats are added in float64.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cumsum(np.array([1, 2, 3]), 0)
    array([1, 3, 6])
    """
    return _number("cumsum", x, dim, dtype, out, axis)


def cumprod(x: Any, dim: int | None = None, *, dtype: Any = None, out: Any = None, axis: int | None = None) -> Any:
    """The product of each element and those before it along ``dim``; ``torch.cumprod``. See :func:`cumsum`.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cumprod(np.array([1.5, 2.0, -1.0]), 0)
    array([ 1.5,  3. , -3. ])
    """
    return _number("cumprod", x, dim, dtype, out, axis)


def _number(name: str, x: Any, dim: int | None, dtype: Any, out: Any, axis: int | None) -> Any:
    dim = _dim(name, dim, axis)
    if (torch := _torchs(x, out)) is not None:
        dtype = dtype if dtype is None else getattr(torch, _dtype_name(dtype))
        return getattr(torch, name)(x, dim, dtype=dtype, out=out)
    (result,) = _scan(name, x, dim, dtype)
    if dtype is not None:
        # Narrower integers wrap, as their sums do.
        result = _names.op_function("to")(result, _dtype_name(dtype))
    return _written(name, result, out)


def _written(name: str, result: Any, out: Any) -> Any:
    """The result, or the results, in ``out``, unless that is None. Neither is torch's."""
    if out is None:
        return result
    own = _rusttorch.as_tensor
    many = isinstance(result, tuple)
    ours = isinstance(result[0] if many else result, Tensor)
    return _out.written(name, tuple(map(own, result)) if many else own(result), out, ours)


def _dim(name: str, dim: int | None, axis: int | None) -> int:
    dim = axis if dim is None else dim
    if dim is None:
        raise TypeError(f'{name}() missing 1 required positional arguments: "dim"')
    return dim


def logcumsumexp(x: Any, dim: int | None = None, *, out: Any = None, axis: int | None = None) -> Any:
    """The logarithm of the sum of the exponentials of each element and those before it; ``torch.logcumsumexp``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.logcumsumexp(np.array([0.0, 0.0, -np.inf]), 0)
    array([0.        , 0.69314718, 0.69314718])
    """
    dim = _dim("logcumsumexp", dim, axis)
    if (torch := _torchs(x, out)) is not None:
        return torch.logcumsumexp(x, dim, out=out)
    (result,) = _scan("logcumsumexp", x, dim)
    return _written("logcumsumexp", result, out)


cummax_result = namedtuple("cummax_result", ("values", "indices"))
cummin_result = namedtuple("cummin_result", ("values", "indices"))


def cummax(x: Any, dim: int | None = None, *, out: Any = None, axis: int | None = None) -> Any:
    """The largest of each element and those before it along ``dim``, and where it is: a named tuple of ``values`` and
    ``indices``; ``torch.cummax``. Of equal elements the last one is it; of NaN too, which is larger than all.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cummax(np.array([2, 1, 2, 3]), 0).indices
    array([0, 0, 2, 3])
    """
    return _extremes("cummax", cummax_result, x, dim, out, axis)


def cummin(x: Any, dim: int | None = None, *, out: Any = None, axis: int | None = None) -> Any:
    """The smallest of each element and those before it along ``dim``, and where it is; see :func:`cummax`.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cummin(np.array([2, 1, 2, 0]), 0).values
    array([2, 1, 1, 0])
    """
    return _extremes("cummin", cummin_result, x, dim, out, axis)


def _extremes(name: str, result: Any, x: Any, dim: int | None, out: Any, axis: int | None) -> Any:
    dim = _dim(name, dim, axis)
    if (torch := _torchs(x, out)) is not None:
        return getattr(torch, name)(x, dim, out=out)
    values, indices = _scan(name, x, dim)
    return named(name, result, *_written(name, (values, indices), out))


#: What tensors have as methods, and what in place (``cumsum_``).
FUNCTIONS = {f.__name__: f for f in (cumsum, cumprod, logcumsumexp, cummax, cummin)}
IN_PLACE = {"cumsum", "cumprod"}
