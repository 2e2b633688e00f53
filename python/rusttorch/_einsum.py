"""``einsum``: sums of products of tensors by an equation, with torch's errors.

Operands are taken from the left, two at a time, each pair as one product of batches of matrices: a dimension of both
that is wanted later is a batch, one that is not is summed over, and what only one of them has are rows or columns.
"""

from __future__ import annotations

import math
import string
from typing import Any

from rusttorch import _rusttorch
from rusttorch._names import op_function as op
from rusttorch._products import product
from rusttorch._public import public, title

#: A letter, or a dimension under the ellipsis, counted from the last one.
_Label = str | int


@public(method=False, numbers=True)
def einsum(equation: Any, *operands: Any) -> Any:
    """The sums of products that ``equation`` says: letters for the dimensions of each operand and, behind ``->``,
    those of the result, by default the letters that are there once, in alphabetical order; ``torch.einsum``. ``...``
    stands for further dimensions, which are broadcast. All operands have one dtype.

    ``einsum(x, [0, 1], y, [1, 2], [0, 2])`` says the same by numbers below 52, behind each operand and, for the
    result, last; ``...`` is Python's.

    Raises:
        RuntimeError: the equation and the operands do not fit.

    >>> import numpy as np, rusttorch as rt
    >>> rt.einsum("ij,j->i", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]))
    array([21., 43.])
    """
    if not isinstance(equation, str):
        equation, operands = _from_lists(equation, *operands)
    many = list(operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands)
    if not many:
        raise ValueError("einsum(): must provide at least one operand")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(many) != len(terms):
        more = "more" if len(many) > len(terms) else "fewer"
        raise RuntimeError(f"einsum(): {more} operands were provided than specified in the equation")
    start, inputs = 0, []
    for i, (term, x) in enumerate(zip(terms, many, strict=True)):
        inputs.append(_labels(term, start, x.ndim, i))
        start += len(term) + 1
    every = [label for labels in inputs for label in labels]
    hidden = sorted({label for label in every if isinstance(label, int)}, reverse=True)
    if arrow:
        output = _output(right, start + 1, hidden, every)
    else:
        output = [*hidden, *sorted(label for label in set(every) if isinstance(label, str) and every.count(label) == 1)]
    _check_sizes(inputs, many)
    parts = [_without_repeats(x, labels) for x, labels in zip(many, inputs, strict=True)]
    value, labels = parts[0]
    for i, (other, their) in enumerate(parts[1:], 1):
        if value.dtype != other.dtype:
            raise RuntimeError(f"expected scalar type {title(value)} but found {title(other)}")
        wanted = {*output, *(label for _, later in parts[i + 1 :] for label in later)}
        value, labels = _product(value, labels, other, their, wanted)
    if len(many) == 1 and (gone := [d for d, label in enumerate(labels) if label not in output]):
        # torch's sum of integers is one of int64; what it multiplies it does not sum so.
        value, labels = op("sum")(value, gone), [label for label in labels if label in output]
    value, labels = _summed(value, labels, set(output))
    result = value.permute([labels.index(label) for label in output])
    return result.clone() if result.numel() and len(many) == 1 and result is many[0] else result


def _from_lists(*args: Any) -> tuple[str, tuple[Any, ...]]:
    """The equation that operands, each with a list of numbers behind it, and perhaps a last list mean."""

    def term(numbers: Any) -> str:
        said = ""
        for n in numbers:
            if n is not ... and not 0 <= n < 52:
                raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
            said += "..." if n is ... else (string.ascii_uppercase + string.ascii_lowercase)[n]
        return said

    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its "
            "subscripts list"
        )
    equation = ",".join(term(numbers) for numbers in args[1::2])
    if len(args) % 2:
        equation += "->" + term(args[-1])
    return equation, args[: len(args) - len(args) % 2 : 2]


def _labels(term: str, start: int, rank: int, operand: int | None) -> list[_Label]:
    """The labels of an operand's dimensions, or with no ``operand`` those of the result, an ellipsis having
    ``rank``.
    """
    labels: list[_Label] = []
    where = "the output" if operand is None else f"operand {operand}"
    ellipsis = None
    at = 0
    while at < len(term):
        c = term[at]
        if c == ".":
            if ellipsis is not None or term[at : at + 3] != "...":
                why = (
                    "that is not part of any ellipsis"
                    if ellipsis is None
                    else "for which an ellipsis was already found"
                )
                raise RuntimeError(f"einsum(): found '.' for {where} {why}")
            ellipsis, at = len(labels), at + 3
            continue
        if c != " ":
            if not (c.isascii() and c.isalpha()):
                raise RuntimeError(
                    f"einsum(): invalid subscript given at index {start + at} in the equation string, "
                    f"subscripts must be in "
                    "[a-zA-Z]"
                )
            labels.append(c)
        at += 1
    if operand is None:
        count = rank
    else:
        count = rank - len(labels)
        if count < 0 or (ellipsis is None and count):
            how, why = ("does not match", " and no ellipsis was given") if ellipsis is None else ("is more than", "")
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(labels)}) {how} the number of "
                f"dimensions ({rank}) "
                f"for operand {operand}{why}"
            )
    if ellipsis is not None:
        labels[ellipsis:ellipsis] = range(count - 1, -1, -1)
    return labels


def _output(term: str, start: int, hidden: list[int], every: list[_Label]) -> list[_Label]:
    labels = _labels(term, start, len(hidden), None)
    for label in labels:
        if isinstance(label, str) and labels.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {label} appears more than once in the output")
        if label not in every:
            raise RuntimeError(
                f"einsum(): output subscript {label} does not appear in the equation for any input operand"
            )
    return labels


def _check_sizes(inputs: list[list[_Label]], operands: list[Any]) -> None:
    sizes: dict[_Label, int] = {}
    for i, (labels, x) in enumerate(zip(inputs, operands, strict=True)):
        own: dict[_Label, int] = {}
        for label, n in zip(labels, x.shape, strict=True):
            if own.setdefault(label, n) != n:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated for operand {i} but the sizes don't match, {n} != "
                    f"{own[label]}"
                )
            known = sizes.get(label, 1)
            if n != 1 and known not in (1, n):
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {n} for operand {i} which does not broadcast with "
                    f"previously seen "
                    f"size {known}"
                )
            sizes[label] = n if known == 1 else known


def _without_repeats(x: Any, labels: list[_Label]) -> tuple[Any, list[_Label]]:
    """The diagonal of dimensions of one label."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            a = labels.index(label)
            b = labels.index(label, a + 1)
            x = _rusttorch._diagonal(x, 0, a, b)
            labels = [n for d, n in enumerate(labels) if d not in (a, b)] + [label]
    return x, labels


def _summed(x: Any, labels: list[_Label], wanted: set[_Label]) -> tuple[Any, list[_Label]]:
    """Without the dimensions that nobody wants."""
    gone = [d for d, label in enumerate(labels) if label not in wanted]
    if not gone:
        return x, labels
    return op("sum")(x, gone).to(x.dtype), [label for label in labels if label in wanted]


def _product(a: Any, ours: list[_Label], b: Any, theirs: list[_Label], wanted: set[_Label]) -> tuple[Any, list[_Label]]:
    # A dimension that is broadcast is not there.
    sizes = dict(zip(ours, a.shape, strict=True)), dict(zip(theirs, b.shape, strict=True))
    for label in [label for label in ours if label in theirs]:
        if sizes[0][label] != sizes[1][label]:
            if sizes[0][label] == 1:
                a, ours = a.squeeze(ours.index(label)), [x for x in ours if x != label]
            else:
                b, theirs = b.squeeze(theirs.index(label)), [x for x in theirs if x != label]
    a, ours = _summed(a, ours, wanted | set(theirs))
    b, theirs = _summed(b, theirs, wanted | set(ours))
    batch = [x for x in ours if x in theirs and x in wanted]
    inner = [x for x in ours if x in theirs and x not in wanted]
    rows, columns = ([x for x in one if x not in other] for one, other in ((ours, theirs), (theirs, ours)))
    size = {**dict(zip(ours, a.shape, strict=True)), **dict(zip(theirs, b.shape, strict=True))}
    count, depth, n, m = (math.prod(size[x] for x in part) for part in (batch, inner, rows, columns))
    left = a.permute([ours.index(x) for x in (*batch, *rows, *inner)]).reshape(count, n, depth)
    right = b.permute([theirs.index(x) for x in (*batch, *inner, *columns)]).reshape(count, depth, m)
    # Without a sum it is a product of numbers.
    result = product(left, right) if inner else op("mul")(left, right)
    labels = [*batch, *rows, *columns]
    return result.reshape([size[x] for x in labels]), labels
