"""Normalisations and distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rusttorch.nn._calls import Array, call, expr, is_traced, op

__all__ = [
    "batch_norm",
    "cosine_similarity",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "normalize",
    "pairwise_distance",
    "rms_norm",
]


def normalize(input: Array, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Array:
    """``input`` divided by its p-norm along ``dim``, or by ``eps`` if that is larger."""
    if out is None:
        return call("normalize", input, p, dim, eps)
    result: Array = op("normalize")(input, p, dim, eps, out=out)
    return result


def cosine_similarity(x1: Array, x2: Any, dim: int = 1, eps: float = 1e-8) -> Array:
    """The cosine of the angle of ``x1`` and ``x2`` along ``dim``."""
    return call("cosine_similarity", x1, x2, dim, eps)


def pairwise_distance(x1: Array, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    return call("pairwise_distance", x1, x2, p, eps, keepdim)


def layer_norm(
    input: Array, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Array:
    """Normalised over the last dimensions, which are ``normalized_shape``."""
    return call("layer_norm", input, normalized_shape, weight, bias, eps)


def rms_norm(input: Array, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Array:
    """``input`` divided by the root of its mean square over the last dimensions."""
    return call("rms_norm", input, normalized_shape, weight, eps)


def group_norm(input: Array, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Array:
    """Normalised over each of ``num_groups`` groups of channels (dimension 1)."""
    if not is_traced(input):
        shape = list(input.shape)  # type: ignore[attr-defined]
        for said, n in (("number of channels", shape[1:2]), ("HxW", shape[2:])):
            if 0 in n:
                raise RuntimeError(f"Expected {said} to be greater than 0, got 0")
    return call("group_norm", input, num_groups, weight, bias, eps)


def batch_norm(
    input: Array,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Normalised per channel (dimension 1).

    With ``training`` by the mean and variance of ``input``; the running ones, if given, are then updated in
    place, by a second result of the same kernel.
    """
    if training:
        if eps <= 0.0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    elif eps < 0.0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    if not training or (running_mean is None and running_var is None):
        return call("batch_norm", input, running_mean, running_var, weight, bias, training, momentum, eps)
    dims = [d for d in range(input.ndim) if d != 1]  # type: ignore[attr-defined]
    of_input = ("batch_norm(x, m, v, w, b, True, 0.1, eps)", f"mean(x, {dims})", f"var(x, {dims})")
    y: Array = _with_statistics(of_input, input, running_mean, running_var, weight, bias, momentum, eps)
    return y


def instance_norm(
    input: Array,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Normalised per sample and channel.

    With ``use_input_stats`` by the mean and variance of ``input``; the running ones, if given, are then
    updated in place, by their means over the samples.
    """
    if not use_input_stats or (running_mean is None and running_var is None):
        return call("instance_norm", input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    dims = list(range(2, input.ndim))  # type: ignore[attr-defined]
    of_input = (
        "instance_norm(x, m, v, w, b, True, 0.1, eps)",
        f"mean(mean(x, {dims}), 0)",
        f"mean(var(x, {dims}), 0)",
    )
    y: Array = _with_statistics(of_input, input, running_mean, running_var, weight, bias, momentum, eps)
    return y


def _with_statistics(
    of_input: tuple[str, str, str],
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    momentum: float,
    eps: float,
) -> Any:
    if is_traced(input, running_mean, running_var, weight, bias):
        raise NotImplementedError(
            "running statistics cannot be updated inside of a fused function: call with running_mean=None and "
            "running_var=None, or outside of it"
        )
    result, mean, var = of_input
    new_mean = f"(1 - momentum) * m + momentum * {mean}" if running_mean is not None else "0.0 * momentum"
    new_var = f"(1 - momentum) * v + momentum * {var}" if running_var is not None else "0.0 * momentum"
    text = f"f(x, m, v, w, b, momentum, eps) = {result}, {new_mean}, {new_var}"
    recorded = any(getattr(x, "requires_grad", False) for x in (input, weight, bias))
    # What a backward pass keeps may not change.
    kept = [r.clone() if recorded and r is not None else r for r in (running_mean, running_var)]
    y, new_mean, new_var = expr(text)(input, *kept, weight, bias, momentum, eps)
    for running, new in ((running_mean, new_mean), (running_var, new_var)):
        if running is not None:
            running[...] = new.detach() if recorded else new
    return y
