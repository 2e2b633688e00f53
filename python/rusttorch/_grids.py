"""Values over ranges and along coordinates: ``histogram`` and ``gradient``, with torch's arguments and errors."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

from rusttorch import _rusttorch
from rusttorch._names import op_function as op
from rusttorch._public import c_name, public, title, wrap
from rusttorch._rusttorch import Tensor

histogram_result = namedtuple("histogram_result", ("hist", "bin_edges"))


@public()
def histogram(input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """How many elements, or how much of their ``weight``, is in each of ``bins`` equal ranges from the least to the
    largest element, or from ``range[0]`` to ``range[1]``, or between the edges ``bins``, a vector in order; the last
    range has its upper edge too. A named tuple of ``hist`` and ``bin_edges``, of the input's dtype;
    ``torch.histogram``. With ``density`` the integral of ``hist`` is 1.

    Raises:
        RuntimeError: there are no bins, the range is none, or the weights do not fit.

    >>> import numpy as np, rusttorch as rt
    >>> rt.histogram(np.array([0.0, 1.0, 1.5, 3.0]), 3).hist
    array([1., 2., 1.])
    """
    if title(input) not in ("Float", "Double"):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{title(input)}'")
    flat = input.reshape(-1)
    if isinstance(bins, Tensor):
        if range is not None:
            raise TypeError("histogram(): range is given by the edges of the bins")
        edges = _edges(input, bins)
    else:
        edges = _equal(input, bins, range)
    count = edges.numel() - 1
    if count == 0:
        raise RuntimeError("torch.histogram(): bins must be > 0, but got 0 for dimension 0")
    if weight is not None:
        if weight.shape != input.shape:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor "
                f"excluding its innermost dimension, but got input with shape {[flat.numel(), 1]} and weight with "
                f"shape {list(weight.shape)}"
            )
        if weight.dtype != input.dtype:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should have the same "
                f"dtype, but got input({c_name(input)}), and weight({c_name(weight)})"
            )
        weight = weight.reshape(-1)
    hist = _rusttorch.zeros(count, dtype=input.dtype)
    if flat.numel():
        first, last = edges[0], edges[count]
        inside = op("logical_and")(op("ge")(flat, first), op("le")(flat, last))
        place = op("clamp")(_rusttorch._search(edges, flat.contiguous(), True) - 1, 0, count - 1)
        amount = _rusttorch.ones((), dtype=input.dtype).expand(flat.shape) if weight is None else weight
        # What is outside adds nothing to the first bin.
        amount = op("where")(inside, amount, 0).to(input.dtype)
        hist = _rusttorch._index_slices(hist, 0, place, amount, "sum")
    if density:
        widths = edges.narrow(0, 1, count) - edges.narrow(0, 0, count)
        hist = op("true_divide")(hist, op("mul")(widths, op("sum")(hist)))
    return histogram_result(hist, edges)


def _edges(input: Any, bins: Any) -> Any:
    if bins.dtype != input.dtype:
        raise RuntimeError(
            "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with dtype "
            f"{c_name(input)} and bins for dimension 0 with dtype {c_name(bins)}"
        )
    if bins.ndim != 1:
        raise RuntimeError(
            f"torch.histogramdd: bins tensor should have one dimension, but got {bins.ndim} dimensions in the bins "
            "tensor for dimension 0"
        )
    if bins.numel() == 0:
        raise RuntimeError(
            "torch.histogramdd: bins tensor should have at least 1 element, but got 0 elements in the bins tensor for "
            "dimension 0"
        )
    return bins.clone()


def _equal(input: Any, bins: int, range: Any) -> Any:
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if range is not None:
        if len(range) != 2:
            raise RuntimeError(
                f"torch.histogramdd: for a 1-dimensional histogram range should have 2 elements, but got {len(range)}"
            )
        low, high = float(range[0]), float(range[1])
    else:
        low, high = (float(op(f)(input)) for f in ("min", "max")) if input.numel() else (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histogramdd: dimension 0's range [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError(
            f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} for dimension 0"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    return _rusttorch.linspace(low, high, bins + 1, dtype=input.dtype)


@public(method=False)
def gradient(input: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
    """The derivatives along the dimensions ``dim``, by default all, a tuple, by differences of neighbours: central
    ones, at the edges of order ``edge_order``. ``spacing`` is the distance of neighbours, 1 when None, or one for each
    dimension, or for each the vector of its coordinates. ``torch.gradient``.

    Raises:
        RuntimeError: ``spacing`` does not fit, or a dimension has too few elements.

    >>> import numpy as np, rusttorch as rt
    >>> rt.gradient(np.array([0.0, 1.0, 4.0, 9.0]))
    (array([1., 2., 4., 5.]),)
    """
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    rank = input.ndim
    given = list(range(rank)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = [wrap(d, rank) for d in given]
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    if not isinstance(spacing, (list, tuple)):
        spacing = [1 if spacing is None else spacing] * len(dims)
    elif len(spacing) != len(dims):
        said = f"'self.dim() = {rank}', since dim argument was not given" if dim is None else "the length of dim"
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to "
            f"{said}, but got a list of length {len(spacing)}"
        )
    for s in spacing:
        if isinstance(s, Tensor) and s.ndim != 1:
            raise RuntimeError(
                "torch.gradient expected each element of spacing to have one dimension, but got an element with "
                f"{s.ndim} dimensions!"
            )
    if any(input.shape[d] < edge_order + 1 for d in dims):
        raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    if title(input) == "Bool":
        raise NotImplementedError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
            "operator instead."
        )
    return tuple(_derivative(input, d, s, edge_order) for d, s in zip(dims, spacing, strict=True))


def _derivative(x: Any, dim: int, spacing: Any, edge_order: int) -> Any:
    from rusttorch._join import cat

    n = x.shape[dim]

    def part(start: int, count: int) -> Any:
        return x.narrow(dim, start % n, count)

    if isinstance(spacing, Tensor):
        steps = (spacing.narrow(0, 1, n - 1) - spacing.narrow(0, 0, n - 1)).reshape([-1] + [1] * (x.ndim - 1 - dim))

        def step(at: int) -> Any:
            return steps.narrow(0, at % (n - 1), 1)

        before, after = steps.narrow(0, 0, n - 2), steps.narrow(0, 1, n - 2)
    else:

        def step(at: int) -> Any:
            return spacing

        before = after = spacing
    div = op("true_divide")
    left, right = div(part(1, 1) - part(0, 1), step(0)), div(part(-1, 1) - part(-2, 1), step(-1))
    if edge_order == 2:
        # A parabola through the last three points.
        left = left + div((left - div(part(2, 1) - part(1, 1), step(1))) * step(0), step(0) + step(1))
        right = right + div((right - div(part(-2, 1) - part(-3, 1), step(-2))) * step(-1), step(-1) + step(-2))
    if n == 2:
        return cat([left, right], dim)
    if isinstance(spacing, Tensor):
        one, two = div(part(1, n - 2) - part(0, n - 2), before), div(part(2, n - 2) - part(1, n - 2), after)
        middle = div(one * after + two * before, before + after)
    else:
        middle = div(part(2, n - 2) - part(0, n - 2), 2 * spacing)
    return cat([left, middle, right], dim)
