"""``cumsum``, ``cumprod``, ``logcumsumexp``, ``cummax``, ``cummin``: of all elements up to each, along a dimension.

They are no kernels: they run when they are called, in Rust, and give new arrays of the operand's kind.
"""

from __future__ import annotations

import sys
from collections import namedtuple
from typing import Any

from rusttorch import _rusttorch
from rusttorch._rusttorch import Tensor, dtype


def _kind(x: Any, name: str) -> str:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        if x.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError(
                f"the derivative for '{name}' is not implemented: it is no expression. "
                "Call it under torch.no_grad(), or pass x.detach()"
            )
        return "torch"
    if isinstance(x, Tensor):
        return "ours"
    if hasattr(x, "__array__"):
        return "numpy"
    raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")


def _scan(name: str, x: Any, dim: int, dtype: Any = None) -> list[Any]:
    kind = _kind(x, name)
    if dtype is not None:
        x = _rusttorch._op_function("to")(x, _dtype_name(dtype))
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


def cumsum(x: Any, dim: int | None = None, *, dtype: Any = None, axis: int | None = None) -> Any:
    """The sum of each element and those before it along ``dim``; ``torch.cumsum``.

    ``x`` is an array of NumPy, or a tensor of torch or ours, of any shape; the result has its shape and kind. Integers
    and bool give int64, or ``dtype``, to which the operand is converted first. Floats are added in float64.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cumsum(np.array([1, 2, 3]), 0)
    array([1, 3, 6])
    """
    return _number("cumsum", x, dim, dtype, axis)


def cumprod(x: Any, dim: int | None = None, *, dtype: Any = None, axis: int | None = None) -> Any:
    """The product of each element and those before it along ``dim``; ``torch.cumprod``. See :func:`cumsum`.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cumprod(np.array([1.5, 2.0, -1.0]), 0)
    array([ 1.5,  3. , -3. ])
    """
    return _number("cumprod", x, dim, dtype, axis)


def _number(name: str, x: Any, dim: int | None, dtype: Any, axis: int | None) -> Any:
    (result,) = _scan(name, x, _dim(name, dim, axis), dtype)
    # Narrower integers wrap, as their sums do.
    return result if dtype is None else _rusttorch._op_function("to")(result, _dtype_name(dtype))


def _dim(name: str, dim: int | None, axis: int | None) -> int:
    dim = axis if dim is None else dim
    if dim is None:
        raise TypeError(f'{name}() missing 1 required positional arguments: "dim"')
    return dim


def logcumsumexp(x: Any, dim: int | None = None, *, axis: int | None = None) -> Any:
    """The logarithm of the sum of the exponentials of each element and those before it; ``torch.logcumsumexp``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.logcumsumexp(np.array([0.0, 0.0, -np.inf]), 0)
    array([0.        , 0.69314718, 0.69314718])
    """
    (result,) = _scan("logcumsumexp", x, _dim("logcumsumexp", dim, axis))
    return result


cummax_result = namedtuple("cummax_result", ("values", "indices"))
cummin_result = namedtuple("cummin_result", ("values", "indices"))


def cummax(x: Any, dim: int | None = None, *, axis: int | None = None) -> Any:
    """The largest of each element and those before it along ``dim``, and where it is: a named tuple of ``values`` and
    ``indices``; ``torch.cummax``. Of equal elements the last one is it; of NaN too, which is larger than all.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cummax(np.array([2, 1, 2, 3]), 0).indices
    array([0, 0, 2, 3])
    """
    return _extremes("cummax", cummax_result, x, dim, axis)


def cummin(x: Any, dim: int | None = None, *, axis: int | None = None) -> Any:
    """The smallest of each element and those before it along ``dim``, and where it is; see :func:`cummax`.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cummin(np.array([2, 1, 2, 0]), 0).values
    array([2, 1, 1, 0])
    """
    return _extremes("cummin", cummin_result, x, dim, axis)


def _extremes(name: str, result: Any, x: Any, dim: int | None, axis: int | None) -> Any:
    values, indices = _scan(name, x, _dim(name, dim, axis))
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        return getattr(torch.return_types, name)((values, indices))
    return result(values, indices)
