"""Function transforms with the names and the order of results of ``torch.func``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rusttorch._grad import _GradFunction, _grads_aux, _grads_only, _grads_then_value, _grads_then_value_aux

__all__ = ["grad", "grad_and_value"]


def grad(func: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """As ``torch.func.grad``: a function that gives the gradients of ``func``, or ``(grads, aux)``.

    See :func:`rusttorch.value_and_grad` for arguments and errors.
    """
    return _GradFunction(func, argnums, has_aux, _grads_aux if has_aux else _grads_only)


def grad_and_value(
    func: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """As ``torch.func.grad_and_value``: ``(grads, value)``, or ``(grads, (value, aux))``.

    See :func:`rusttorch.value_and_grad` for arguments and errors.
    """
    return _GradFunction(func, argnums, has_aux, _grads_then_value_aux if has_aux else _grads_then_value)
