"""What the functions of ``rusttorch.nn.functional`` share: ops by name, shapes, the two old arguments of losses."""

from __future__ import annotations

import sys
import warnings
from functools import lru_cache
from typing import Any, TypeVar

from rusttorch._rusttorch import Expr, _op_function

# A torch tensor or a NumPy array; what comes in goes out.
Array = TypeVar("Array")

op = lru_cache(maxsize=None)(_op_function)
expr = lru_cache(maxsize=256)(Expr)


def call(name: str, input: Array, *args: Any, inplace: bool = False) -> Array:
    """The op of this name; with ``inplace`` its result is written to ``input``."""
    result: Array
    if not inplace:
        result = op(name)(input, *args)
        return result
    if is_traced(input):
        raise NotImplementedError(f"{name}(): inplace=True cannot be fused")
    result = op(name)(input, *args, out=input)
    return result


def is_traced(*values: Any) -> bool:
    """True when a value is a stand-in of ``rusttorch.fuse``: what the kernel computes is not known yet."""
    trace = sys.modules.get("rusttorch._trace")
    return trace is not None and any(isinstance(v, trace.Traced) for v in values)


def dtype_of(x: Any) -> str:
    """``float32`` of an array of any library; nothing where it is not known, of a stand-in of ``rusttorch.fuse``."""
    return "" if is_traced(x) else str(getattr(x, "dtype", "")).rpartition(".")[2]


def size(x: Any) -> str:
    """The shape as torch prints it."""
    return f"torch.Size({list(x.shape)})"


def check_reduction(reduction: str) -> None:
    """torch's error for what is no reduction, where it comes before those of the operands."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that is meant, where the arguments that torch deprecated may say another one."""
    if size_average is None and reduce is None:
        if reduction == "elementwise_mean":
            text = "reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead."
            warnings.warn(text, stacklevel=3)
            return "mean"
        return reduction
    if reduce is None or reduce:
        meant = "mean" if size_average is None or size_average else "sum"
    else:
        meant = "none"
    text = f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead."
    warnings.warn(text, stacklevel=3)
    return meant


def warn_of_sizes(input: Any, target: Any) -> None:
    """torch's warning that shapes differ; none under ``fuse``, where a trace is for any shapes."""
    if not is_traced(input, target) and tuple(input.shape) != tuple(target.shape):
        text = (
            f"Using a target size ({size(target)}) that is different to the input size ({size(input)}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size."
        )
        warnings.warn(text, stacklevel=3)
