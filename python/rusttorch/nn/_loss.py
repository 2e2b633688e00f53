"""Losses. ``size_average`` and ``reduce`` are torch's old forms of ``reduction``, and warn as torch's do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from rusttorch.nn._calls import Array, call, check_reduction, expr, is_traced, op, reduction_of, warn_of_sizes

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _target_out_of_bounds(error: IndexError) -> IndexError:
    """torch's words for an index that the kernel found to be no class."""
    words = str(error).split()
    value = words[words.index("index") + 1] if "index" in words[:-1] else "?"
    return IndexError(f"Target {value} is out of bounds.")


def mse_loss(
    input: Array,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Array:
    """(input - target)²."""
    warn_of_sizes(input, target)
    return call("mse_loss", input, target, reduction_of(size_average, reduce, reduction), weight)


def l1_loss(
    input: Array,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Array:
    """abs(input - target)."""
    warn_of_sizes(input, target)
    return call("l1_loss", input, target, reduction_of(size_average, reduce, reduction), weight)


def smooth_l1_loss(
    input: Array,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Array:
    """Quadratic below ``beta``, linear from it on."""
    warn_of_sizes(input, target)
    return call("smooth_l1_loss", input, target, reduction_of(size_average, reduce, reduction), beta)


def huber_loss(input: Array, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Array:
    """Quadratic below ``delta``, its tangent from it on."""
    warn_of_sizes(input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    return call("huber_loss", input, target, reduction, delta, weight)


def cross_entropy(
    input: Array,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """The entropy of ``target`` (class indices or probabilities) relative to softmax(input)."""
    reduction = reduction_of(size_average, reduce, reduction)
    try:
        return call("cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing)
    except IndexError as e:
        raise _target_out_of_bounds(e) from None


def nll_loss(
    input: Array,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """-input at the class ``target``."""
    reduction = reduction_of(size_average, reduce, reduction)
    try:
        return call("nll_loss", input, target, weight, ignore_index, reduction)
    except IndexError as e:
        raise _target_out_of_bounds(e) from None


def binary_cross_entropy(
    input: Array,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """The entropy of ``target`` relative to the probabilities ``input``.

    Under ``fuse`` an input outside of [0, 1] gives NaN instead of an error.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if is_traced(input, target, weight):
        return call("binary_cross_entropy", input, target, weight, reduction)
    text = "f(x, t, w) = binary_cross_entropy(x, t, w, {!r}), all((x >= 0.0) & (x <= 1.0))"
    loss: Array
    loss, valid = expr(text.format(str(reduction)))(input, target, weight)
    if not valid:
        raise RuntimeError("all elements of input should be between 0 and 1")
    return loss


def binary_cross_entropy_with_logits(
    input: Array,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Array:
    """The entropy of ``target`` relative to sigmoid(input)."""
    reduction = reduction_of(size_average, reduce, reduction)
    return call("binary_cross_entropy_with_logits", input, target, weight, reduction, pos_weight)


def kl_div(
    input: Array,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Array:
    """target * (log(target) - input); ``reduction`` may be ``'batchmean'``."""
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    return call("kl_div", input, target, reduction_of(size_average, reduce, reduction), log_target)


def poisson_nll_loss(
    input: Array,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """The negative log-likelihood of counts ``target`` of rate exp(input), or ``input``."""
    reduction = reduction_of(size_average, reduce, reduction)
    return call("poisson_nll_loss", input, target, log_input, full, eps, reduction)


def gaussian_nll_loss(
    input: Array, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Array:
    """The negative log-likelihood of ``target`` under normal distributions of mean ``input`` and variance ``var``."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
    elif not is_traced(input, target, var):
        own, theirs = list(input.shape), list(var.shape)  # type: ignore[attr-defined]
        differ = [n for m, n in zip(own, theirs, strict=False) if m != n]
        if own != theirs and own[:-1] != theirs and (len(own) != len(theirs) or sum(differ) != 1):
            raise ValueError("var is of incorrect size")
        text = "f(x, t, v, eps) = gaussian_nll_loss(x, t, v, {}, eps, {!r}), any(v < 0)"
        loss: Array
        loss, negative = expr(text.format(bool(full), reduction))(input, target, var, eps)
        if negative:
            raise ValueError("var has negative entry/entries")
        return loss
    return call("gaussian_nll_loss", input, target, var, full, eps, reduction)


def margin_ranking_loss(
    input1: Array,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """max(0, -target * (input1 - input2) + margin)."""
    reduction = reduction_of(size_average, reduce, reduction)
    return call("margin_ranking_loss", input1, input2, target, margin, reduction)


def hinge_embedding_loss(
    input: Array,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """``input`` where target is 1, max(0, margin - input) where it is -1."""
    return call("hinge_embedding_loss", input, target, margin, reduction_of(size_average, reduce, reduction))


def soft_margin_loss(
    input: Array,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """log(1 + exp(-target * input))."""
    return call("soft_margin_loss", input, target, reduction_of(size_average, reduce, reduction))


def multi_margin_loss(
    input: Array,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """max(0, margin - input[target] + input) ** p, over the classes but ``target``."""
    reduction = reduction_of(size_average, reduce, reduction)
    check_reduction(reduction)
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    try:
        return call("multi_margin_loss", input, target, p, margin, weight, reduction)
    except IndexError:
        raise RuntimeError("target out of range") from None


def multilabel_margin_loss(
    input: Array,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """max(0, 1 - input[j] + input[i]) over listed classes j and the others i."""
    reduction = reduction_of(size_average, reduce, reduction)
    check_reduction(reduction)
    try:
        return call("multilabel_margin_loss", input, target, reduction)
    except IndexError:
        raise RuntimeError("argument #2 'target' is out of range") from None


def multilabel_soft_margin_loss(
    input: Array,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """The mean over classes of the entropy of ``target`` relative to sigmoid(input)."""
    if size_average is not None or reduce is not None:
        reduction = reduction_of(size_average, reduce, reduction)
    elif reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    return call("multilabel_soft_margin_loss", input, target, weight, reduction)


def cosine_embedding_loss(
    input1: Array,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """1 - cosine where target is 1, max(0, cosine - margin) where it is -1."""
    reduction = reduction_of(size_average, reduce, reduction)
    return call("cosine_embedding_loss", input1, input2, target, margin, reduction)


def triplet_margin_loss(
    anchor: Array,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """max(0, margin + distance(anchor, positive) - distance(anchor, negative))."""
    reduction = reduction_of(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    result: Array = op("triplet_margin_loss")(anchor, positive, negative, margin, p, eps, swap, reduction)
    return result


def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    """:func:`triplet_margin_loss` of the ``distance_function``, which is ``pairwise_distance`` when there is none."""
    check_reduction(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    operands: tuple[Any, ...] = (anchor, positive, negative)
    ranks = [x.ndim for x in operands]
    if len(set(ranks)) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {ranks[0]}D, positive {ranks[1]}D, and negative {ranks[2]}D inputs"
        )
    distance = distance_function or op("pairwise_distance")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = op("minimum")(far, distance(positive, negative))
    loss: Array = op("clamp")(margin + near - far, 0)
    return loss if reduction == "none" else op(reduction)(loss)
