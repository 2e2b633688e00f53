"""Views of arrays of other libraries: torch's own, which share memory, version and gradient, and NumPy's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rusttorch._rusttorch import Expr


def call(expr: Expr, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
    """The view that an op of :data:`NUMPY` means; NotImplemented when the operand is neither torch's nor NumPy's."""
    values, out = expr._bound(*args, **(kwargs or {}))
    x, options = values[0], values[1:]
    if out is not None:
        return NotImplemented
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        from rusttorch._through_torch import row

        return row(expr.__name__)(values, {})
    numpy = sys.modules.get("numpy")
    if numpy is None or type(x) is not numpy.ndarray:
        return NotImplemented
    # Refuses what the op refuses, and knows the shape.
    ((_, shape),) = expr._result_meta(*values)
    view = NUMPY[expr.__name__](x, shape, *options)
    # As everywhere, what has no dimensions is a scalar.
    return view if shape else view[()]


def _dims(x: Any, *dims: int) -> tuple[int, ...]:
    return tuple(d % x.ndim for d in dims)


def _along(x: Any, dim: int, index: Any) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (index,)]


def _broadcast(x: Any, shape: list[int], size: Any) -> Any:
    import numpy

    return numpy.broadcast_to(x, shape)


def _reshaped(x: Any, shape: list[int], *options: Any) -> Any:
    return x.reshape(shape)


def _narrow(x: Any, shape: list[int], dim: int, start: int, length: int) -> Any:
    start += x.shape[dim] if start < 0 else 0
    return _along(x, dim, slice(start, start + length))


NUMPY: dict[str, Callable[..., Any]] = {
    "broadcast_to": _broadcast,
    "detach": lambda x, shape: x.view(),
    "flatten": _reshaped,
    "narrow": _narrow,
    "permute": lambda x, shape, dims: x.transpose(_dims(x, *dims)),
    "ravel": _reshaped,
    "reshape": _reshaped,
    "select": lambda x, shape, dim, index: _along(x, dim, index),
    "squeeze": lambda x, shape, dim=None: x.view() if dim == () else x.reshape(shape),
    "t": lambda x, shape: x.T,
    "transpose": lambda x, shape, dim0, dim1: x.swapaxes(dim0, dim1) if x.ndim else x,
    "unflatten": _reshaped,
    "unsqueeze": _reshaped,
}
