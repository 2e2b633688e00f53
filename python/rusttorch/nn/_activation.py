"""Activations."""

from __future__ import annotations

import warnings
from typing import Any

from rusttorch.nn._calls import Array, call, dtype_of, op

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]


def threshold(input: Array, threshold: float, value: float, inplace: bool = False) -> Array:
    """``input`` where above ``threshold``, else ``value``."""
    if dtype_of(input).startswith(("int", "uint")):
        # Numbers do not promote integers here.
        threshold, value = int(threshold), int(value)
    elif dtype_of(input) == "bool":
        raise NotImplementedError("\"threshold_cpu\" not implemented for 'Bool'")
    return call("threshold", input, threshold, value, inplace=inplace)


def relu(input: Array, inplace: bool = False) -> Array:
    """max(input, 0)."""
    return call("relu", input, inplace=inplace)


def relu6(input: Array, inplace: bool = False) -> Array:
    """``input`` limited to [0, 6]."""
    return call("relu6", input, inplace=inplace)


def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Array:
    """``input`` limited to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if dtype_of(input).startswith(("int", "uint")):
        # The limits do not promote integers, nor wrap where there are no negative ones.
        least = 0 if dtype_of(input) == "uint8" else min_val
        min_val, max_val = int(max(min_val, least)), int(max(max_val, least))
    return call("hardtanh", input, min_val, max_val, inplace=inplace)


def elu(input: Array, alpha: float = 1.0, inplace: bool = False) -> Array:
    """``input`` where positive, else alpha * (exp(input) - 1)."""
    return call("elu", input, alpha, inplace=inplace)


def selu(input: Array, inplace: bool = False) -> Array:
    """The self-normalising elu."""
    return call("selu", input, inplace=inplace)


def celu(input: Array, alpha: float = 1.0, inplace: bool = False) -> Array:
    """``input`` where positive, else alpha * (exp(input / alpha) - 1)."""
    return call("celu", input, alpha, inplace=inplace)


def leaky_relu(input: Array, negative_slope: float = 0.01, inplace: bool = False) -> Array:
    """``input`` where positive, else negative_slope * input."""
    return call("leaky_relu", input, negative_slope, inplace=inplace)


def prelu(input: Array, weight: Any) -> Array:
    """``input`` where positive, else weight * input; one weight, or one per index of dimension 1."""
    return call("prelu", input, weight)


def rrelu(
    input: Array, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Array:
    """leaky_relu of the mean slope; the random slopes of training are not supported."""
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if training:
        raise NotImplementedError("rrelu(): training=True is not supported")
    return call("leaky_relu", input, (lower + upper) / 2, inplace=inplace)


def glu(input: Array, dim: int = -1) -> Array:
    """The first half along ``dim``, times the sigmoid of the second."""
    return call("glu", input, dim)


def gelu(input: Array, approximate: str = "none") -> Array:
    """``input`` times the normal distribution function, or its approximation ``'tanh'``."""
    return call("gelu", input, approximate)


def logsigmoid(input: Array) -> Array:
    """log(sigmoid(input))."""
    return call("logsigmoid", input)


def hardshrink(input: Array, lambd: float = 0.5) -> Array:
    """``input``, and 0 where it is within [-lambd, lambd]."""
    return call("hardshrink", input, lambd)


def softshrink(input: Array, lambd: float = 0.5) -> Array:
    """``input`` moved towards 0 by ``lambd``, and 0 where it is within [-lambd, lambd]."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return call("softshrink", input, lambd)


def tanhshrink(input: Array) -> Array:
    """input - tanh(input)."""
    return call("tanhshrink", input)


def softsign(input: Array) -> Array:
    """input / (1 + abs(input))."""
    return call("softsign", input)


def softplus(input: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta * input)) / beta; ``input`` itself where beta * input is above ``threshold``."""
    return call("softplus", input, beta, threshold)


def tanh(input: Array) -> Array:
    """Hyperbolic tangent."""
    return call("tanh", input)


def sigmoid(input: Array) -> Array:
    """1 / (1 + exp(-input))."""
    return call("sigmoid", input)


def hardsigmoid(input: Array, inplace: bool = False) -> Array:
    """relu6(input + 3) / 6."""
    return call("hardsigmoid", input, inplace=inplace)


def hardswish(input: Array, inplace: bool = False) -> Array:
    """input * relu6(input + 3) / 6."""
    return call("hardswish", input, inplace=inplace)


def silu(input: Array, inplace: bool = False) -> Array:
    """input * sigmoid(input)."""
    return call("silu", input, inplace=inplace)


def mish(input: Array, inplace: bool = False) -> Array:
    """input * tanh(softplus(input))."""
    return call("mish", input, inplace=inplace)


def _along(name: str, input: Any, dim: int | None, dtype: Any) -> Any:
    if dim is None:
        text = (
            f"Implicit dimension choice for {name} has been deprecated. "
            "Change the call to include dim=X as an argument."
        )
        warnings.warn(text, stacklevel=3)
        dim = 0 if input.ndim in (0, 1, 3) else 1
    return op(name)(input, dim, dtype)


def softmax(input: Array, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Array:
    """exp(input) / sum(exp(input)) along ``dim``, of ``input`` converted to ``dtype``."""
    result: Array = _along("softmax", input, dim, dtype)
    return result


def softmin(input: Array, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Array:
    """softmax(-input)."""
    result: Array = _along("softmin", input, dim, dtype)
    return result


def log_softmax(input: Array, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Array:
    """log(softmax(input))."""
    result: Array = _along("log_softmax", input, dim, dtype)
    return result
