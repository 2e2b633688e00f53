"""``max`` and ``min``: of everything, of two arrays, or along a dimension with the indices."""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from inspect import signature
from typing import Any

from rusttorch import _names
from rusttorch._public import named
from rusttorch._rusttorch import Expr


class _Extreme:
    """torch's ``max`` or ``min``: ``f(x)``, ``f(a, b)``, or ``f(x, dim, keepdim=False)``, which is a named tuple of
    ``values`` and ``indices`` and one kernel."""

    args = ("x",)

    def __init__(self, name: str, result: Any) -> None:
        self.__name__ = self.__qualname__ = name
        self.__doc__ = type(self).__doc__
        self.__signature__ = signature(self.__call__)
        self._all = _names.op_function(name)
        self._two = _names.op_function(f"{name}imum")
        self._result = result

    def __repr__(self) -> str:
        return f"<rusttorch function {self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__

    def __call__(
        self,
        x: Any,
        dim: Any = None,
        keepdim: bool = False,
        *,
        other: Any = None,
        axis: int | None = None,
        keepdims: bool = False,
        out: Any = None,
    ) -> Any:
        options = {} if out is None else {"out": out}
        dim = axis if dim is None else dim
        if other is None and dim is not None and not isinstance(dim, int):
            other = dim
        if other is not None:
            return self._two(x, other, **options)
        if dim is None:
            return self._all(x, **options)
        # The losers of a tie get no gradient here, and an equal share of it from `amax`.
        by_index = getattr(x, "requires_grad", False)
        flags = str(getattr(x, "dtype", "")).rpartition(".")[2] == "bool"
        along = _along(self.__name__, dim, keepdim or keepdims, by_index, flags)
        return named(self.__name__, self._result, *along(x, **options))

    def inspect(self, x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        """What becomes of a call, see :func:`rusttorch.inspect`."""
        from rusttorch._inspect import inspect

        return inspect(self._all if dim is None else _along(self.__name__, dim, keepdim, False, False), x)


@cache
def _along(name: str, dim: int, keepdim: bool, by_index: bool, flags: bool) -> Expr:
    """Values and indices along a dimension."""
    ranked = "where(x, 1, 0)" if flags else "x"
    values = f"a{name}(x, {dim}, {keepdim})"
    if by_index:
        values = f"gather(x, {dim}, arg{name}({ranked}, {dim}, True))"
        values = values if keepdim else f"squeeze({values}, {dim})"
    return Expr(f"{values}, arg{name}({ranked}, {dim}, {keepdim})")


max_result = namedtuple("max_result", ("values", "indices"))
min_result = namedtuple("min_result", ("values", "indices"))
max = _Extreme("max", max_result)
min = _Extreme("min", min_result)

aminmax_result = namedtuple("aminmax_result", ("min", "max"))


def aminmax(x: Any, *, dim: int | None = None, keepdim: bool = False, axis: int | None = None, out: Any = None) -> Any:
    """The smallest and the largest element, of everything or along ``dim``: a named tuple of ``min`` and ``max``, one
    kernel; ``torch.aminmax``. NaN if there is one.

    >>> import numpy as np, rusttorch as rt
    >>> smallest, largest = rt.aminmax(np.array([[3.0, 1.0], [2.0, 5.0]]), dim=0)
    >>> largest
    array([3., 5.])
    """
    dim = axis if dim is None else dim
    options = {} if out is None else {"out": out}
    return named("aminmax", aminmax_result, *_both(dim, keepdim)(x, **options))


@cache
def _both(dim: int | None, keepdim: bool) -> Expr:
    return Expr(f"amin(x, {dim}, {keepdim}), amax(x, {dim}, {keepdim})")
