"""Gradients of functions over arrays: value and gradient are one kernel.

The function is traced as by :func:`rusttorch.fuse`; the engine differentiates what was traced, in reverse
mode. This is no autograd engine: there is no tape, and gradients of gradients are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from rusttorch._fuse import _STATIC, FusedFunction, _Slot, _template
from rusttorch._log import where as _where
from rusttorch._rusttorch import Expr, TraceError
from rusttorch._trace import Traced, Tracer

_LEAVES = ("array", float, int, bool)


class _GradFunction(FusedFunction):
    """A function that gives values and gradients; ``arrange(value, aux, grads)`` makes the result of them."""

    def __init__(
        self, function: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool, arrange: Callable[..., Any]
    ) -> None:
        if not callable(function):
            raise TypeError(f"expected a function, not {type(function).__name__}")
        if isinstance(function, FusedFunction):
            super().__init__(function.__wrapped__, function._statics, function._contract)
        else:
            super().__init__(function, ())
        self._argnums = argnums
        self._has_aux = has_aux
        self._arrange = arrange

    def __reduce__(self) -> Any:
        function = self.__wrapped__
        if self._statics or self._contract:
            function = FusedFunction(function, self._statics, self._contract)
        return _GradFunction, (function, self._argnums, self._has_aux, self._arrange)

    def _inlined(self, *args: Any, **kwargs: Any) -> Any:
        raise TraceError(
            f"{self._label()}: gradients inside of a function that is fused or differentiated are not supported; take "
            f"them outside of it ({_where()})"
        )

    def _results(self, tracer: Tracer, result: Any, key_args: tuple[Any, ...]) -> tuple[Expr | None, Any]:
        aux = None
        if self._has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise RuntimeError(
                    "Expected the function to return a tuple of (output, aux) when has_aux=True, "
                    f"got {type(result).__name__}"
                )
            result, aux = result
        if not isinstance(result, Traced):
            raise RuntimeError(f"Expected f(*args) to return a single tensor, got {type(result).__name__}")
        tracer.check(result)
        # Who reads by index computes the value all the same: only that finds an index out of range.
        keeps_value = self._arrange not in (_grads_only, _grads_aux) or tracer.builder.reads_indirectly()
        outputs = [result] if keeps_value else []
        aux = _template(aux, outputs, tracer)
        starts = [0]
        for shape in key_args:
            starts.append(starts[-1] + _count(shape))
        wrt: list[int] = []

        def gradients(argnum: int) -> Any:
            n = len(key_args)
            if not -n <= argnum < n:
                raise RuntimeError(f"Got argnum={argnum}, but only {n} positional inputs")
            leaves = iter(range(starts[argnum % n], starts[argnum % n + 1]))
            return _slots(key_args[argnum % n], leaves, len(outputs), wrt)

        many = not isinstance(self._argnums, int)
        grads: Any = tuple(map(gradients, self._argnums)) if many else gradients(self._argnums)  # type: ignore[arg-type]
        if keeps_value:
            return tracer.finish(self._label(), outputs, wrt, self._contract), self._arrange(_Slot(0), aux, grads)
        # Nothing of the value is computed but what the gradients need.
        if wrt:
            program = tracer.finish(self._label(), [result, *outputs], wrt, self._contract, value=False)
        else:
            program = tracer.finish(self._label(), outputs or [result], contract=self._contract)
        return program, self._arrange(None, aux, grads)


def _count(shape: Any) -> int:
    """Leaves of an argument's structure, as :func:`rusttorch._fuse._flatten` describes it."""
    if shape in _LEAVES:
        return 1
    if shape is _STATIC or not isinstance(shape, tuple):
        return 0
    kind, *parts = shape
    if _is_mapping(kind):
        return sum(_count(v) for _, v in parts)
    return sum(_count(p) for p in parts) if _is_container(kind) else 0


def _is_container(kind: Any) -> bool:
    sequence = isinstance(kind, type) and (kind is tuple or issubclass(kind, list))
    return sequence or hasattr(kind, "_fields") or hasattr(kind, "__dataclass_fields__")


def _is_mapping(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, (dict, SimpleNamespace))


def _slots(shape: Any, leaves: Any, first: int, wrt: list[int]) -> Any:
    """An argument's structure with the number of a gradient at every leaf."""
    if shape in _LEAVES:
        wrt.append(next(leaves))
        return _Slot(first + len(wrt) - 1)
    kind, *parts = shape if isinstance(shape, tuple) else (None,)
    if _is_mapping(kind):
        made = {k: _slots(v, leaves, first, wrt) for k, v in parts}
        if kind is SimpleNamespace:
            return SimpleNamespace(**made)
        mapping = kind()
        mapping.update(made)
        return mapping
    if kind is None or not _is_container(kind):
        raise RuntimeError("gradients are of tensors, and of tuples, lists, dicts and dataclasses of tensors")
    values = [_slots(p, leaves, first, wrt) for p in parts]
    if hasattr(kind, "_fields"):
        return kind(*values)
    if issubclass(kind, (tuple, list)):
        return kind(values)
    copy = object.__new__(kind)
    for name, value in zip(kind.__dataclass_fields__, values, strict=True):
        object.__setattr__(copy, name, value)
    return copy


def _value_aux_then_grads(value: Any, aux: Any, grads: Any) -> Any:
    return (value, aux), grads


def _plain(value: Any, aux: Any, grads: Any) -> Any:
    return value, grads


def _grads_only(value: Any, aux: Any, grads: Any) -> Any:
    return grads


def _grads_aux(value: Any, aux: Any, grads: Any) -> Any:
    return grads, aux


def _grads_then_value(value: Any, aux: Any, grads: Any) -> Any:
    return grads, value


def _grads_then_value_aux(value: Any, aux: Any, grads: Any) -> Any:
    return grads, (value, aux)


def value_and_grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives ``(value, grads)`` of ``fun``, computed by one fused kernel.

    ``fun`` must give one number of a float dtype. ``grads`` has the structure, shapes and dtypes of argument
    ``argnums``, or is a tuple of such when ``argnums`` is a sequence. With ``has_aux``, ``fun`` gives
    ``(value, aux)`` and the result is ``((value, aux), grads)``. At kinks gradients are PyTorch's.

    Raises:
        RuntimeError: the value is no single number; an argument is not of a float dtype; no such argument.
        NotImplementedError: an operation has no derivative.

    Example:
        >>> import numpy as np, rusttorch as rt
        >>> rt.value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
        (np.float64(5.0), array([2., 4.]))
    """
    return _GradFunction(fun, argnums, has_aux, _value_aux_then_grads if has_aux else _plain)
