"""Expressions computed by torch, op by op.

Some tensors are more than numbers in memory: those of ``torch.func`` transforms, dual and fake tensors, subclasses,
and every tensor while a dispatch or function mode looks on. A call with such an operand is this: each op of the
expression is a call of the torch function that its row names, so transforms, modes and subclasses see those.

Results are torch's: eager's accuracy, and 16-bit floats rounded after every op, where a kernel rounds once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch

from rusttorch import _names, _rusttorch
from rusttorch._rusttorch import Expr, Tensor


def call(expr: Expr, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
    """``expr(*args, **kwargs)``."""
    values, out = expr._bound(*args, **(kwargs or {}))
    results = _evaluator(expr)([_operand(v) for v in values])
    if out is not None:
        _store(expr.__name__, results, out if isinstance(out, tuple) else (out,))
        return out
    return results[0] if len(results) == 1 else tuple(results)


def result_meta(expr: Expr, args: tuple[Any, ...]) -> list[tuple[str, list[int]]]:
    """dtype name and shape of every result."""
    values, _ = expr._bound(*args)
    results = _evaluator(expr)([_operand(v) for v in values])
    return [(str(r.dtype).removeprefix("torch."), list(r.shape)) for r in results]


def matmul(a: Any, b: Any, out: Any) -> Any:
    """``rusttorch.matmul(a, b, out=out)``."""
    return torch.matmul(_operand(a), _operand(b), out=out)


def _operand(value: Any) -> Any:
    """A tensor of torch for any array; all else stays."""
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, Tensor):
        return torch.from_dlpack(value)
    if hasattr(value, "__array__"):
        import numpy

        return torch.as_tensor(numpy.asarray(value))
    return value


def _store(name: str, results: list[Any], outs: tuple[Any, ...]) -> None:
    if len(outs) != len(results):
        raise RuntimeError(f"out has {len(outs)} arrays, but there are {len(results)} results")
    for out, result in zip(outs, results, strict=True):
        if torch.is_grad_enabled() and (out.requires_grad or result.requires_grad):
            raise RuntimeError(
                f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
                "arguments requires grad."
            )
        if not torch.can_cast(result.dtype, out.dtype):
            raise RuntimeError(f"result type {result.dtype} can't be cast to the desired output type {out.dtype}")
        if out.shape != result.shape:
            raise RuntimeError(f"out has shape {list(out.shape)}, but the result has shape {list(result.shape)}")
    for out, result in zip(outs, results, strict=True):
        out.copy_(result)


_evaluators: WeakKeyDictionary[Expr, _Evaluator] = WeakKeyDictionary()


def _evaluator(expr: Expr) -> _Evaluator:
    found = _evaluators.get(expr)
    if found is None:
        found = _evaluators[expr] = _Evaluator(expr)
    return found


class _Failed:
    """The value of a call that failed: an error only where it is used, as a static condition may discard it."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Evaluator:
    """A program as calls of torch functions. It does not refer to the expression, whose entry it is."""

    def __init__(self, expr: Expr) -> None:
        self._nodes, self._outputs, self._gradients, self._seeds, self._valueless = expr._program()
        needed = set(self._outputs)
        for i in reversed(range(len(self._nodes))):
            node = self._nodes[i]
            if i in needed and not isinstance(node, int) and len(node) == 3:
                needed.update(node[1], (v for _, v in node[2]))
        self._needed = sorted(needed)

    def __call__(self, values: list[Any]) -> list[Any]:
        """The results, gradients among them, for one value per parameter."""
        if not self._gradients:
            return self._results(values)
        wrt = [v if isinstance(v, torch.Tensor) else torch.tensor(v) for v in (values[i] for i in self._gradients)]

        def forward(*inputs: Any) -> Any:
            bound = list(values)
            for i, v in zip(self._gradients, inputs, strict=True):
                bound[i] = v
            results = self._results(bound)
            return tuple(results) if self._seeds else (results[0], tuple(results[1:]))

        if self._seeds:
            _, pullback = torch.func.vjp(forward, *wrt)
            return list(pullback(tuple(values[i] for i in self._seeds)))
        value, pullback, others = torch.func.vjp(forward, *wrt, has_aux=True)
        if value.numel() != 1 or not value.is_floating_point():
            raise RuntimeError("the value that is differentiated must be one number of a float dtype")
        gradients = pullback(torch.ones_like(value))
        return [*others, *gradients] if self._valueless else [value, *others, *gradients]

    def _results(self, values: list[Any]) -> list[Any]:
        done: dict[int, Any] = {}
        for i in self._needed:
            node = self._nodes[i]
            if isinstance(node, int):
                done[i] = values[node]
            elif len(node) == 1:
                done[i] = node[0]
            else:
                op, args, kwargs = node
                done[i] = _apply(op, [done[a] for a in args], {k: done[v] for k, v in kwargs})
        results = []
        for i in self._outputs:
            if isinstance(done[i], _Failed):
                raise done[i].error
            results.append(done[i] if isinstance(done[i], torch.Tensor) else torch.tensor(done[i]))
        return results


def _apply(op: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if op == "where" and len(args) == 3 and isinstance(args[0], bool):
        return args[1] if args[0] else args[2]
    everything = [*args, *kwargs.values()]
    for value in everything:
        if isinstance(value, _Failed):
            return value
    try:
        if not any(isinstance(v, torch.Tensor) for v in everything):
            return _of_numbers(op, args, kwargs)
        return row(op)(args, kwargs)
    except Exception as error:
        return _Failed(error)


# Of Python numbers, Python's results, as the engine folds literals.
_PYTHON: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "eq": operator.eq,
    "floor_divide": operator.floordiv,
    "ge": operator.ge,
    "gt": operator.gt,
    "is_none": lambda x: x is None,
    "le": operator.le,
    "logical_and": lambda a, b: bool(a) and bool(b),
    "logical_not": operator.not_,
    "logical_or": lambda a, b: bool(a) or bool(b),
    "lt": operator.lt,
    "mul": operator.mul,
    "ne": operator.ne,
    "neg": operator.neg,
    "pow": operator.pow,
    "remainder": operator.mod,
    "sub": operator.sub,
    "true_divide": operator.truediv,
}


def _of_numbers(op: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if op in _PYTHON and not kwargs:
        return _PYTHON[op](*args)
    # A float keeps its 64 bits, and the result is a number again, which promotes as one.
    made = [_rusttorch.tensor(a, dtype=_rusttorch.float64) if isinstance(a, float) else a for a in args]
    if not any(isinstance(a, Tensor) for a in made):
        made = [_rusttorch.tensor(a) if isinstance(a, int) else a for a in args]
    return _rusttorch._op_function(op)(*made, **kwargs).item()


@cache
def row(op: str) -> Callable[[list[Any], dict[str, Any]], Any]:
    """An op of torch's tensors, given the arguments of a call of its row."""
    if op == "is_none":
        return lambda args, kwargs: args[0] is None
    found = _names.ops().get(op)
    function: Any = _ADAPTED.get(op)
    if function is None and found is not None and found.torch:
        function = _names.resolve(found.torch)
    if found is None or function is None:
        raise NotImplementedError(f"{op}() has no counterpart in torch: it takes plain torch.Tensor operands only")
    signature = _rusttorch._op_function(op).__signature__.parameters
    defaults = {name: p.default for name, p in signature.items() if p.default is not p.empty}
    required = [name for name in found.params if name not in defaults]
    tensors_only = [name for name in required if name not in found.statics and name not in _NUMBERS.get(op, ())]

    def apply(args: list[Any], kwargs: dict[str, Any]) -> Any:
        given = {**dict(zip(found.params, args, strict=False)), **kwargs}
        # torch's defaults are the same, and some of its functions want what is None to be left out.
        options = {n: v for n, v in given.items() if n in defaults and not _same(v, defaults[n])}
        for name in tensors_only:
            if isinstance(given[name], (bool, int, float)):
                given[name] = _as_tensor(given[name], [v for v in given.values() if isinstance(v, torch.Tensor)])
        if "keepdim" in options and "dim" in defaults and "dim" not in options and not op.startswith("arg"):
            options["dim"] = tuple(range(given["x"].ndim))
        if isinstance(options.get("dtype"), str):
            options["dtype"] = getattr(torch, options["dtype"])
        return function(*(given[name] for name in required), **options)

    return apply


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


# The operands that torch's functions take as numbers too; other numbers become tensors.
_NUMBERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "true_divide", "floor_divide", "remainder", "where"), ("a", "b")),
    **dict.fromkeys((f"bitwise_{op}" for op in ("and", "or", "xor", "left_shift", "right_shift")), ("a", "b")),
    **dict.fromkeys(("copysign", "eq", "fmod", "ge", "gt", "le", "lt", "ne"), ("b",)),
    **dict.fromkeys(("float_power", "pow"), ("x", "exponent")),
    **dict.fromkeys(("xlog1py", "xlogy"), ("x", "y")),
    "clamp_max": ("max",),
    "clamp_min": ("min",),
    "lerp": ("weight",),
    "masked_fill": ("value",),
    "rsub": ("other",),
    "threshold": ("threshold", "value"),
}


def _as_tensor(number: Any, tensors: list[torch.Tensor]) -> torch.Tensor:
    """A number beside tensors, as one that promotes them no further than the number would."""
    dtype = torch.result_type(tensors[0], number)
    for t in tensors[1:]:
        dtype = torch.promote_types(dtype, torch.result_type(t, number))
    return torch.tensor(number, dtype=dtype)


def _where(condition: Any, a: Any, b: Any) -> Any:
    if not isinstance(condition, torch.Tensor):
        condition = torch.tensor(condition)
    return torch.where(condition if condition.dtype is torch.bool else condition != 0, a, b)


def _prod(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if dim is None:
        return torch.prod(x, dtype=dtype)
    dims = (dim,) if isinstance(dim, int) else dim
    for d in sorted((d % max(x.ndim, 1) for d in dims), reverse=True):
        x = torch.prod(x, d, keepdim, dtype=dtype)
    return x


def _batch_norm(x: Any, running_mean: Any, running_var: Any, *, training: bool = False, **options: Any) -> Any:
    # The row updates no running statistics.
    if training:
        running_mean = running_var = None
    options.pop("momentum", None)
    return torch.nn.functional.batch_norm(x, running_mean, running_var, training=training, **options)


def _instance_norm(
    x: Any, *, running_mean: Any = None, running_var: Any = None, use_input_stats: bool = True, **options: Any
) -> Any:
    if use_input_stats:
        running_mean = running_var = None
    options.pop("momentum", None)
    return torch.nn.functional.instance_norm(x, running_mean, running_var, use_input_stats=use_input_stats, **options)


def _iota(x: Any, dim: int) -> Any:
    dim %= x.ndim
    places = torch.arange(x.shape[dim])
    return places.reshape([-1 if d == dim else 1 for d in range(x.ndim)]).expand(x.shape)


# Rows that name no function of torch, or one whose arguments are others.
_ADAPTED: dict[str, Callable[..., Any]] = {
    "batch_norm": _batch_norm,
    "frexp_exponent": lambda x: torch.frexp(x).exponent,
    "frexp_mantissa": lambda x: torch.frexp(x).mantissa,
    "instance_norm": _instance_norm,
    "iota": _iota,
    "l1_penalty": lambda x: torch.sum(torch.abs(x)),
    "l2_penalty": lambda x: torch.sum(torch.mul(x, x)),
    "prod": _prod,
    "to": lambda x, dtype: x.to(getattr(torch, dtype)),
    "where": _where,
}
