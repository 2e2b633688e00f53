"""Calls that torch's autograd records: forward and derived backward are one kernel each."""

from __future__ import annotations

from typing import Any

import torch

from rusttorch import _rusttorch
from rusttorch._rusttorch import Expr


def call(expr: Expr, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
    """``expr(*args, **kwargs)`` with an operand that requires grad."""
    values = args
    if kwargs or len(args) != len(expr.args):
        bound, _ = expr._bound(*args, **(kwargs or {}))
        values = tuple(bound)
    return _Call.apply(expr, *values)


class _Call(torch.autograd.Function):  # type: ignore[misc]
    """The old style: with ``setup_context`` a call costs several times as much."""

    @staticmethod
    def forward(ctx: Any, expr: Expr, *values: Any) -> Any:
        results = expr(*values)
        outputs = results if isinstance(results, tuple) else (results,)
        tensors = [isinstance(v, torch.Tensor) for v in values]
        ctx.save_for_backward(*(v for v, t in zip(values, tensors, strict=True) if t))
        ctx.others = tuple(_TENSOR if t else v for v, t in zip(values, tensors, strict=True))
        ctx.expr = expr
        ctx.autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
        ctx.floats = tuple(i for i, r in enumerate(outputs) if r.is_floating_point())
        ctx.mark_non_differentiable(*(r for r in outputs if not r.is_floating_point()))
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        needed = ctx.needs_input_grad[1:]
        wrt = [i for i, n in enumerate(needed) if n]
        saved = iter(ctx.saved_tensors)
        values = [next(saved) if v is _TENSOR else v for v in ctx.others]
        seeds = [grads[i] for i in ctx.floats]
        pullback = ctx.expr._pullback(wrt, list(ctx.floats))
        # As forward was lowered, so is the graph that is differentiated.
        enabled, lower = ctx.autocast
        with torch.no_grad(), torch.autocast("cpu", dtype=lower, enabled=enabled):
            results = pullback(*values, *seeds)
        if not isinstance(results, tuple):
            results = (results,)
        if torch.is_grad_enabled():
            results = _Refusal.apply(ctx.expr.__name__, results, *values, *seeds)
        found = iter(results)
        return None, *(next(found) if n else None for n in needed)


def matmul(a: Any, b: Any) -> Any:
    """The product, an operand of which requires grad."""
    return _Matmul.apply(*map(_torchs, (a, b)))


def _torchs(x: Any) -> torch.Tensor:
    return x if isinstance(x, torch.Tensor) else torch.from_dlpack(x)


def matmul_autocast(a: Any, b: Any) -> Any:
    """The product in the lower dtype of ``torch.autocast``, which float64 keeps out of."""
    lower = torch.get_autocast_dtype("cpu")
    with torch.autocast("cpu", enabled=False):
        return _rusttorch.matmul(
            *(x.to(lower) if x.is_floating_point() and x.dtype != torch.float64 else x for x in map(_torchs, (a, b)))
        )


class _Matmul(torch.autograd.Function):  # type: ignore[misc]
    """Its backward is made of products, which have gradients themselves."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return _rusttorch.matmul(a, b)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = ctx.saved_tensors
        # Vectors are matrices of one row, or of one column.
        rows, columns = a if a.ndim > 1 else a.unsqueeze(0), b if b.ndim > 1 else b.unsqueeze(-1)
        grad = grad if b.ndim > 1 else grad.unsqueeze(-1)
        grad = grad if a.ndim > 1 else grad.unsqueeze(-2)
        of_a = of_b = None
        if ctx.needs_input_grad[0]:
            of_a = _rusttorch.matmul(grad, columns.mT).sum_to_size(rows.shape).reshape(a.shape)
        if ctx.needs_input_grad[1]:
            if columns.ndim == 2:
                # The sum over batches is that of one product.
                rows, grad = rows.flatten(0, -2), grad.flatten(0, -2)
            of_b = _rusttorch.matmul(rows.mT, grad).sum_to_size(columns.shape).reshape(b.shape)
        return of_a, of_b


_TENSOR = object()


class _Refusal(torch.autograd.Function):  # type: ignore[misc]
    """Gradients under ``create_graph=True``: their values, and an error for who differentiates them.

    What they are made of are its inputs. Without a way to the tensors that it is asked about, autograd would leave the
    node out, and the gradient would be that of a constant.
    """

    @staticmethod
    def forward(ctx: Any, name: str, results: tuple[torch.Tensor, ...], *made_of: Any) -> Any:
        ctx.name = name
        # Objects of their own: a result may be there twice, or be one of the inputs.
        return tuple(r.detach() for r in results)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            f"the backward of rusttorch's {ctx.name}() is not differentiable: gradients of gradients are not supported "
            "(call torch's own functions for them)"
        )
