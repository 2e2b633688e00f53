"""Functions over whole tensors that are no kernels: ``linear``, ``embedding``, ``one_hot``, ``pad``, ``pixel_shuffle``
and its kin. Of torch's tensors they are torch's own functions, of NumPy's arrays the result is NumPy's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from rusttorch import _rusttorch
from rusttorch._arrange import unique
from rusttorch._names import op_function as op
from rusttorch._products import expanded, matmul, renorm
from rusttorch._public import along, call_of, dtype_name, refuse_traced, title
from rusttorch._shapes import channel_shuffle, pixel_shuffle, pixel_unshuffle
from rusttorch.nn._calls import Array

__all__ = [
    "channel_shuffle",
    "dropout",
    "embedding",
    "linear",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
]

functional = functools.partial(call_of, functional=True)


def dropout(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """``input`` with elements zeroed with probability ``p``, the others multiplied by ``1 / (1 - p)``; ``input`` itself
    where not ``training``; :func:`rusttorch.dropout`, ``torch.nn.functional.dropout``. The random numbers are ours.

    Raises:
        ValueError: ``p`` is not between 0 and 1.
    """
    refuse_traced("dropout", [input])
    return _rusttorch.dropout(input, p, training, inplace)  # type: ignore[no-any-return]


@functional
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """``input @ weight.T + bias``: ``input`` of shape ``(*, in_features)``, ``weight`` ``(out_features, in_features)``
    or ``(in_features,)``, ``bias`` ``(out_features,)`` or ``()``; ``torch.nn.functional.linear``.

    Raises:
        RuntimeError: the shapes do not fit, or the dtypes differ.

    >>> import numpy as np, rusttorch.nn.functional as F
    >>> F.linear(np.array([1.0, 2.0]), np.array([[3.0, 4.0]]), np.array([0.5]))
    array([11.5])
    """
    if input.ndim == 0 or weight.ndim == 0:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {input.ndim}D and {weight.ndim}D"
        )
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    if bias is not None and bias.dtype != weight.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {title(bias)} and {title(weight)}")
    result = matmul(input, weight.t())
    if bias is None:
        return result
    if input.ndim == 2 and weight.ndim == 1:
        raise RuntimeError(f"addmm: mat2 must be a matrix, got {weight.ndim}-D tensor")
    return op("add")(result, expanded(bias, list(result.shape)))


@functional
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """A last dimension of ``num_classes``, or of one more than the largest class, that is 1 at the class and else 0:
    int64; ``torch.nn.functional.one_hot``.

    Raises:
        RuntimeError: ``tensor`` is not int64, or a class is below 0 or not below ``num_classes``.

    >>> import numpy as np, rusttorch.nn.functional as F
    >>> F.one_hot(np.array([2, 0]))
    array([[0, 0, 1],
           [1, 0, 0]])
    """
    if title(tensor) != "Long":
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
    else:
        least, most = int(op("amin")(tensor)), int(op("amax")(tensor))
        if least < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            num_classes = most + 1
        elif most >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    return op("eq")(tensor.unsqueeze(-1), _rusttorch.arange(num_classes)).to("int64")


@functional
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of ``weight`` that ``input`` numbers, of shape ``(*, embedding_dim)``;
    ``torch.nn.functional.embedding``.

    With ``max_norm`` those rows of ``weight`` are scaled down first, in place, whose ``norm_type``-norm is above it.
    ``padding_idx``, ``scale_grad_by_freq`` and ``sparse`` say something of gradients, and so of torch's tensors only.

    Raises:
        IndexError: an index is out of range.
        RuntimeError: ``input`` is no integer, ``weight`` no matrix.

    >>> import numpy as np, rusttorch.nn.functional as F
    >>> F.embedding(np.array([[1, 0]]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[[3., 4.],
            [1., 2.]]])
    """
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if dtype_name(input.dtype) not in ("int32", "int64"):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"torch.{title(input)}Tensor instead (while checking arguments for embedding)"
        )
    count, width = weight.shape
    if padding_idx is not None and not -count <= padding_idx < count:
        raise AssertionError("Padding_idx must be within num_embeddings")
    if max_norm is not None:
        rows = unique(input)
        weight.index_copy_(0, rows, renorm(weight.index_select(0, rows), norm_type, 0, max_norm))
    return weight.index_select(0, input.reshape(-1)).reshape([*input.shape, width])


_REACH = (
    "Padding size {size} is not supported for {rank}D input tensor.\n"
    "Supported combinations for non-constant padding:\n"
    "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
    "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
    "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
)


@functional
def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """``input`` with more elements around it, two numbers of ``pad`` for each dimension from the last one on, before
    and after it; less where they are negative. ``mode`` is ``"constant"`` (``value``, or 0), ``"reflect"``,
    ``"replicate"`` or ``"circular"``; ``torch.nn.functional.pad``.

    Raises:
        RuntimeError: ``pad`` does not fit the shape.
        NotImplementedError: another mode, or not the last one to three dimensions of several by one of these.

    >>> import numpy as np, rusttorch.nn.functional as F
    >>> F.pad(np.array([[1, 2, 3]]), (2, 1), "reflect")
    array([[3, 2, 1, 2, 3, 2]])
    """
    sizes = list(pad)
    if len(sizes) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(sizes) > 2 * input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(sizes)} and input of dimension {input.ndim}"
        )
    ends = [(input.ndim - 1 - i, sizes[2 * i], sizes[2 * i + 1]) for i in range(len(sizes) // 2)]
    if mode == "constant":
        return _pad_constant(input, ends, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if (len(sizes), input.ndim) not in ((2, 2), (2, 3), (4, 3), (4, 4), (6, 4), (6, 5)):
        raise NotImplementedError(_REACH.format(size=len(sizes), rank=input.ndim))
    shape, k = list(input.shape), len(ends)
    if mode != "circular" and 0 in shape[input.ndim - k - 1 :]:
        raise RuntimeError(
            f"Expected {k + 1}D or {k + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {shape}"
        )
    for dim, before, after in ends:
        places = _places(shape, dim, before, after, mode)
        input = input.index_select(dim, _rusttorch.as_tensor(places, dtype="int64"))
    return input


def _places(shape: list[int], dim: int, before: int, after: int, mode: str) -> list[int]:
    """Where the elements along a padded dimension come from."""
    n = shape[dim]
    most = max(before, after)
    if mode == "circular":
        if most > n:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        # What negative sizes cut off is not there to come back.
        first, kept = max(-before, 0), n - max(-before, 0) - max(-after, 0)
        if kept < 0 or (kept == 0 and most > 0):
            raise RuntimeError("Negative padding value is resulting in an empty dimension")
        return [first + (i - first) % kept for i in range(-before, n + after)]
    if mode == "reflect" and most >= n:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) at dimension {dim} of input {shape}"
        )
    if before + n + after < 1:
        axis = "WHD"[len(shape) - 1 - dim]
        raise RuntimeError(f"input ({axis}: {n}) is too small. Calculated output {axis}: {before + n + after}")
    wanted = range(-before, n + after)
    if mode == "replicate":
        return [min(max(i, 0), n - 1) for i in wanted]
    return [n - 1 - abs(n - 1 - abs(i)) for i in wanted]


def _pad_constant(input: Any, ends: list[tuple[int, int, int]], value: float) -> Any:
    shape, inner = list(input.shape), [slice(None)] * input.ndim
    for dim, before, after in ends:
        n = shape[dim]
        kept = slice(max(-before, 0), n - max(-after, 0))
        if kept.stop < kept.start or n + before + after < 0:
            raise RuntimeError("narrow(): length must be non-negative.")
        input = input[along(dim, kept)]
        shape[dim] = n + before + after
        inner[dim] = slice(max(before, 0), max(before, 0) + kept.stop - kept.start)
    if not input.is_floating_point():
        value = int(value)
    result = _rusttorch.full(shape, value, dtype=dtype_name(input.dtype))
    result[tuple(inner)] = input
    return result
