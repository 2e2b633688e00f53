"""Counting and describing elements: ``bincount``, ``histc``, ``searchsorted``, ``isin``, ``quantile``, ``cov``,
``mode``, ``trapezoid`` and their kin, with torch's arguments, results and errors.
"""

from __future__ import annotations

import math
import warnings
from collections import namedtuple
from typing import Any

from rusttorch import _rusttorch
from rusttorch._join import cat
from rusttorch._names import op_function as op
from rusttorch._products import product
from rusttorch._public import alias, dtype_name, promoted, public, title, wrap
from rusttorch._rusttorch import Tensor


@public()
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number from 0 on is there, or the sum of its ``weights``; ``torch.bincount``.

    ``input`` is a vector of integers. The result is int64, or of the dtype of float weights, else float64.

    Raises:
        RuntimeError: an element is negative, or there are not as many weights.

    >>> import numpy as np, rusttorch as rt
    >>> rt.bincount(np.array([1, 1, 3]))
    array([0, 2, 0, 1])
    """
    if input.is_floating_point() or title(input) == "Bool":
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{title(input)}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    empty = input.ndim == 1 and input.numel() == 0
    if input.ndim != 1 or (not empty and int(op("min")(input)) < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and (weights.ndim != 1 or weights.shape != input.shape):
        raise RuntimeError("weights should be 1-d and have the same length as input")
    size = max(minlength, 0 if empty else int(op("max")(input)) + 1)
    if weights is None:
        weights = _rusttorch.ones((), dtype="int64").expand(input.shape)
    elif title(weights) not in ("Float", "Double"):
        weights = weights.to("float64")
    zeros = _rusttorch.zeros(size, dtype=weights.dtype)
    return zeros if empty else _rusttorch._index_slices(zeros, 0, input.long(), weights, "sum")


@public()
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements are in each of ``bins`` equal ranges from ``min`` to ``max``, by default the least and the
    largest element; others are not counted. ``torch.histc``.

    Raises:
        RuntimeError: ``bins`` is not positive, or the range is none.

    >>> import numpy as np, rusttorch as rt
    >>> rt.histc(np.array([0.0, 0.5, 1.0]), 2)
    array([1., 2.])
    """
    if title(input) not in ("Float", "Double", "Half", "BFloat16"):
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{title(input)}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = float(min), float(max)
    if low == high and input.numel():
        low, high = float(op("min")(input)), float(op("max")(input))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    if low == high:
        low, high = low - 1, high + 1
    flat = input.reshape(-1)
    inside = flat[op("logical_and")(op("ge")(flat, low), op("le")(flat, high))]
    place = op("floor")(
        (inside - low) * (bins / (high - low))
        if dtype_name(input.dtype) == "float64"
        else (inside - low) / (high - low) * bins
    ).long()
    return bincount(op("clamp")(place, 0, bins - 1), None, bins).to(input.dtype)


@public(method=False, numbers=True)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Which elements are among ``test_elements``, or with ``invert`` are not; one of both may be a number.
    ``torch.isin``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.isin(np.array([1, 2, 3]), np.array([2, 5]))
    array([False,  True, False])
    """
    parts = [x if isinstance(x, Tensor) else _rusttorch.tensor(x) for x in (elements, test_elements)]
    for x in parts:
        if title(x) == "Bool":
            raise NotImplementedError(f"Unsupported input type encountered for isin(): {title(x)}")
    one, two = promoted(parts)
    among = two.reshape(-1)
    if among.numel() == 0:
        return _rusttorch.full(one.shape, invert, dtype="bool")
    values = _rusttorch._sort(among, 0, False)[0]
    place = op("clamp")(_rusttorch._search(values, one.contiguous(), False), 0, values.numel() - 1)
    found = op("eq")(values[place.reshape(-1)].reshape(one.shape), one)
    return op("logical_not")(found) if invert else found


@public(method=False, numbers=True)
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where each element of ``input`` would have to be put into ``sorted_sequence``, a vector, or lines of which
    each is for one line of ``input``: before elements that are equal, or with ``right`` behind them.
    ``torch.searchsorted``.

    Raises:
        RuntimeError: the shapes do not fit.

    >>> import numpy as np, rusttorch as rt
    >>> rt.searchsorted(np.array([1, 3, 5]), np.array([3, 4]))
    array([1, 2])
    """
    said = "torch.searchsorted():"
    if side is not None:
        if side not in ("left", "right"):
            raise RuntimeError(f"{said} side can only be 'left' or 'right' but got {side}")
        if right and side == "left":
            raise RuntimeError(
                f"{said} side and right can't be set to opposites, got side of left while right was True"
            )
        right = side == "right"
    lines = sorted_sequence
    if lines.ndim == 0:
        raise RuntimeError(f"{said} boundaries tensor should have positive dimension, but got 0 dimension")
    if not isinstance(input, Tensor):
        if lines.ndim != 1:
            raise RuntimeError(
                f"{said} input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries "
                f"tensor dim({lines.ndim}) and input value's dim(0) numel(1)"
            )
        input = _rusttorch.tensor(input, dtype=lines.dtype if lines.is_floating_point() else None)
    if lines.ndim != 1 and list(lines.shape[:-1]) != list(input.shape[:-1]):
        raise RuntimeError(
            f"{said} boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor "
            f"and input "
            f"value tensor must match, but we got boundaries tensor {list(lines.shape)} and input value tensor "
            f"{list(input.shape)}"
        )
    if sorter is not None:
        if sorter.shape != lines.shape:
            raise RuntimeError(
                f"torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(lines.shape)}and got sorter tensor {list(sorter.shape)}"
            )
        lines = op("take_along_dim")(lines, sorter, -1)
    one, two = promoted([lines, input])
    if title(one) == "Bool":
        raise NotImplementedError("\"searchsorted_out_cpu\" not implemented for 'Bool'")
    places = _rusttorch._search(one.contiguous(), two.contiguous(), right)
    return places.to("int32") if out_int32 else places


@public(method=False, numbers=True)
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The range between ``boundaries``, a vector in order, that each element is in; ``torch.bucketize``, as
    :func:`searchsorted`.
    """
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


mode_result = namedtuple("mode_result", ("values", "indices"))


@public()
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along ``dim``, the least of several, and where the last one is: a named tuple of
    ``values`` and ``indices``; ``torch.mode``.
    """
    dim = wrap(dim, input.ndim)
    if input.ndim == 0:
        return mode_result(input.clone(), _rusttorch.zeros((), dtype="int64"))
    n = input.shape[dim]
    if n == 0:
        raise IndexError(f"mode(): Expected reduction dim {dim} to have non-zero size.")
    values, indices = _rusttorch._sort(input, dim, False)
    values, indices = (x.transpose(dim, -1).reshape(-1, n) for x in (values, indices))
    # How many equal ones there are up to each.
    place = _rusttorch.arange(n).expand(values.shape)
    first = _rusttorch.ones(values.shape, dtype="bool")
    first[:, 1:] = op("ne")(values[:, 1:], values[:, :-1])
    start = _rusttorch._scan("cummax", op("where")(first, place, 0), 1)[0]
    best = op("argmax")(place - start, 1, True)
    shape = list(input.transpose(dim, -1).shape)
    shape[-1] = 1
    results = [op("take_along_dim")(x, best, 1).reshape(shape).transpose(dim, -1) for x in (values, indices)]
    return mode_result(*(x.contiguous() if keepdim else x.squeeze(dim) for x in results))


def _quantile(input: Any, q: Any, dim: int | None, keepdim: bool, how: str, skip: bool) -> Any:
    said = "quantile()"
    if title(input) not in ("Float", "Double"):
        raise RuntimeError(f"{said} input tensor must be either float or double dtype")
    if isinstance(q, Tensor):
        if q.ndim > 1:
            raise RuntimeError(f"{said} q must be a scalar or 1D tensor")
        if q.dtype != input.dtype:
            raise RuntimeError(f"{said} q tensor must be same dtype as the input tensor")
        fractions, is_list = q.reshape(-1).tolist(), q.ndim == 1
    else:
        if not 0 <= q <= 1:
            raise RuntimeError(f"{said} q must be in the range [0, 1] but got {q:g}")
        # As a tensor of the dtype would have it.
        fractions, is_list = [_rusttorch.tensor(q, dtype=input.dtype).item()], False
    if how not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{said} interpolation must be one of linear, lower, higher, midpoint or nearest, but got {how}"
        )
    if input.numel() == 0:
        raise RuntimeError(f"{said} input tensor must be non-empty")
    if any(not 0 <= f <= 1 for f in fractions):
        raise RuntimeError(f"{said} q values must be in the range [0, 1]")
    rank, flat = input.ndim, input if dim is not None and input.ndim else input.reshape(-1)
    at = wrap(0 if dim is None else dim, max(rank, 1)) if dim is not None else 0
    lines = _rusttorch._sort(flat, at, False)[0]
    lines = lines.transpose(at, -1).contiguous()
    n = lines.shape[-1]
    is_nan = op("isnan")(lines)
    nans = op("sum")(is_nan, -1, True)
    last = (n - nans if skip else nans * 0 + n) - 1
    last = op("clamp")(last, 0, n - 1).to(input.dtype)
    rows = []
    # Of no fractions the result still has a shape.
    for f in fractions or [0.0]:
        rank_at = last * f
        low, high = op("floor")(rank_at), op("ceil")(rank_at)
        if how == "lower":
            high = low
        elif how == "higher":
            low = high
        elif how == "nearest":
            low = high = op("round")(rank_at)
        first, second = (op("take_along_dim")(lines, x.long(), -1) for x in (low, high))
        weight = rank_at - low if how == "linear" else 0.5
        value = first if how in ("lower", "higher", "nearest") else op("lerp")(first, second, weight)
        if not skip:
            value = op("where")(op("gt")(nans, 0), float("nan"), value).to(input.dtype)
        value = value.transpose(at, -1)
        if keepdim:
            value = value.reshape([1] * rank) if dim is None or rank == 0 else value.contiguous()
        else:
            value = value.squeeze(at)
        rows.append(value)
    from rusttorch._join import stack

    return stack(rows, 0)[: len(fractions)] if is_list else rows[0].contiguous()


@public()
def quantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """The values below which the fractions ``q`` of all elements are, or of those along ``dim``: a number, or a
    vector, whose dimension comes first. ``torch.quantile``; ``input`` is of float32 or float64. Where there is a NaN
    it is NaN.

    Raises:
        RuntimeError: a fraction is not between 0 and 1, there are no elements, or the dtypes do not fit.

    >>> import numpy as np, rusttorch as rt
    >>> float(rt.quantile(np.array([1.0, 2.0, 4.0]), 0.75))
    3.0
    """
    return _quantile(input, q, dim, keepdim, interpolation, False)


@public()
def nanquantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """As :func:`quantile` of the elements that are no NaN; ``torch.nanquantile``."""
    return _quantile(input, q, dim, keepdim, interpolation, True)


def _check_matrix(name: str, input: Any) -> None:
    if input.ndim > 2:
        raise RuntimeError(
            f"{name}(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )


@public()
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariances of the rows, whose elements are observations, counted ``fweights`` times and weighted with
    ``aweights``; ``torch.cov``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.cov(np.array([[0.0, 2.0], [1.0, 1.0]]))
    array([[2., 0.],
           [0., 0.]])
    """
    _check_matrix("cov", input)
    if title(input) == "Bool":
        raise NotImplementedError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if input.ndim < 2 else input
    x = x if x.is_floating_point() else x.to(_rusttorch.get_default_dtype())
    count = x.shape[1]
    weights = None
    for said, given, integral in (("fweights", fweights, True), ("aweights", aweights, False)):
        if given is None:
            continue
        if given.ndim > 1:
            raise RuntimeError(
                f"cov(): expected {said} to have one or fewer dimensions but got {said} with {given.ndim} dimensions"
            )
        if given.is_floating_point() == integral:
            kind = "integral" if integral else "floating point"
            raise RuntimeError(f"cov(): expected {said} to have {kind} dtype but got {said} with {title(given)} dtype")
        if given.numel() != count:
            raise RuntimeError(
                f"cov(): expected {said} to have the same numel as there are observations in the input but got "
                f"{given.numel()} != {count}"
            )
        if count and bool(op("any")(op("lt")(given, 0))):
            raise RuntimeError(f"cov(): {said} cannot be negative")
        weights = given if weights is None else weights * given
    total = count if weights is None else op("sum")(weights)
    mean = (op("sum")(x if weights is None else x * weights, 1, True)) / total
    if weights is None or correction == 0 or aweights is None:
        by = total - correction
    else:
        by = total - correction * op("sum")(weights * aweights) / total
    if float(by) <= 0:
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            UserWarning,
            stacklevel=3,
        )
    by = max(by, 0) if isinstance(by, int) else op("clamp")(by, 0)
    centred = x - mean
    weighted = centred if weights is None else centred * weights
    # Division by a number of ours, so that 0 gives what floats give.
    by = _rusttorch.tensor(by, dtype=x.dtype) if isinstance(by, int) else by
    result = product(centred, weighted.t()) / by
    return result.reshape(()) if result.numel() == 1 else result


@public()
def corrcoef(input: Any) -> Any:
    """The correlations of the rows, whose elements are observations; ``torch.corrcoef``."""
    _check_matrix("corrcoef", input)
    c = cov(input)
    if c.ndim == 0:
        return c / c
    d = op("sqrt")(_rusttorch._diagonal(c, 0, 0, 1))
    return op("clamp")(c / d.unsqueeze(1) / d.unsqueeze(0), -1, 1)


def _parts(name: str, y: Any, x: Any, dx: float, dim: int) -> Any:
    """The areas between neighbours, or twice the areas where ``x`` is given."""
    if y.ndim == 0:
        said = f"Dimension specified as {dim} but tensor has no dimensions"
        raise IndexError(said if name == "trapezoid" else "slice() cannot be applied to a 0-dim tensor.")
    at = wrap(dim, y.ndim)
    y = y.transpose(at, -1)
    if x is None:
        y = y if y.is_floating_point() else y.to(_rusttorch.get_default_dtype())
        return ((y[..., 1:] + y[..., :-1]) * (dx / 2)).transpose(at, -1)
    if x.ndim == 1:
        if x.shape[0] != y.shape[-1]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        widths = x[1:] - x[:-1]
    else:
        x = x.transpose(wrap(dim, x.ndim), -1)
        widths = x[..., 1:] - x[..., :-1]
    # Of integers these are integers, and wrap, as PyTorch's do; they are halved when they have been summed.
    return ((y[..., 1:] + y[..., :-1]) * widths).transpose(at, -1)


@public(method=False)
def trapezoid(y: Any, x: Any = None, *, dx: float = 1, dim: int = -1) -> Any:
    """The integral along ``dim`` by the trapezoidal rule, of points at ``x`` or ``dx`` apart; ``torch.trapezoid``.

    >>> import numpy as np, rusttorch as rt
    >>> float(rt.trapezoid(np.array([0.0, 1.0, 2.0])))
    2.0
    """
    total = op("sum")(_parts("trapezoid", y, x, dx, dim), dim)
    return total if x is None else total / 2


trapz = alias("trapz", trapezoid)


@public(method=False)
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1, dim: int = -1) -> Any:
    """The integrals up to each point but the first; ``torch.cumulative_trapezoid``. See :func:`trapezoid`."""
    totals = _rusttorch._scan("cumsum", _parts("cumulative_trapezoid", y, x, dx, dim), dim)[0]
    return totals if x is None else totals / 2


def diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along ``dim``, taken ``n`` times, of bools whether they differ, with ``prepend``
    before and ``append`` behind; ``torch.diff``.

    >>> import numpy as np, rusttorch as rt
    >>> rt.diff(np.array([1, 4, 9]), append=np.array([16]))
    array([3, 5, 7])
    """
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if n == 0:
        return x.clone() if hasattr(x, "clone") else x.copy()
    if prepend is not None or append is not None:
        more = [p for p in (prepend, append) if p is not None]
        for p in more:
            if p.ndim != x.ndim:
                raise RuntimeError("diff expects prepend or append to be the same dimension as input")
            for d in range(x.ndim):
                if d != wrap(dim, x.ndim) and p.shape[d] != x.shape[d]:
                    raise RuntimeError(
                        "diff expects the shape of tensor to prepend or append to match that of input except along the "
                        f"differencing dimension; input.size({d}) = {x.shape[d]}, but got tensor.size({d}) = "
                        f"{p.shape[d]}"
                    )
        x = cat([p for p in (prepend, x, append) if p is not None], dim)
    for _ in range(n):
        x = op("diff")(x, 1, dim)
    return x


def _inspect_diff(x: Any, n: int = 1, dim: int = -1) -> Any:
    from rusttorch._inspect import inspect

    return inspect(op("diff"), x, n, dim)


# As of the op, which it is of most arguments.
diff.args = ("x", "n", "dim")  # type: ignore[attr-defined]
diff.inspect = _inspect_diff  # type: ignore[attr-defined]


def _and_mean(name: str, input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool) -> Any:
    if isinstance(dim, bool):
        # torch's old form: std_mean(input, unbiased).
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = int(unbiased)
    spread = op(name)(input, dim, correction=1 if correction is None else correction, keepdim=keepdim)
    return spread, op("mean")(input, dim, keepdim)


@public(method=False)
def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """The standard deviation and the mean, of all elements or along ``dim``; ``torch.std_mean``."""
    return _and_mean("std", input, dim, unbiased, correction, keepdim)


@public(method=False)
def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """The variance and the mean, of all elements or along ``dim``; ``torch.var_mean``."""
    return _and_mean("var", input, dim, unbiased, correction, keepdim)
