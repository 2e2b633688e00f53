"""Elementwise functions that are more than one row of the op table: ``frexp``, ``mvlgamma``."""

from __future__ import annotations

import math
from collections import namedtuple
from functools import cache
from typing import Any

from rusttorch._public import named
from rusttorch._rusttorch import Expr

frexp_result = namedtuple("frexp_result", ("mantissa", "exponent"))

_frexp = cache(lambda: Expr("frexp_mantissa(x), frexp_exponent(x)"))


def frexp(input: Any, *, out: Any = None) -> Any:
    """Mantissas of a magnitude in [0.5, 1), of the dtype of ``input``, and exponents, of int32, so that
    ``mantissa * 2**exponent`` is ``input``: a named tuple, one kernel; ``torch.frexp``. Of 0, infinities and NaN the
    mantissa is the number and the exponent 0.

    Raises:
        RuntimeError: ``input`` is of no floating-point dtype.

    >>> import numpy as np, rusttorch as rt
    >>> mantissa, exponent = rt.frexp(np.array([3.0, -0.25]))
    >>> mantissa, exponent
    (array([ 0.75, -0.5 ]), array([ 2, -1], dtype=int32))
    """
    return named("frexp", frexp_result, *_frexp()(input, **({} if out is None else {"out": out})))


def mvlgamma(input: Any, p: int, *, out: Any = None) -> Any:
    """The logarithm of the multivariate gamma function of dimension ``p``, ``p * (p - 1) / 4 * log(pi)`` plus the sum
    of ``lgamma(input - i / 2)`` for ``i`` from 0 to ``p - 1``, one kernel; ``torch.mvlgamma``. Integers give the
    default dtype.

    Raises:
        RuntimeError: ``p`` is below 1, or ``input`` is bool.

    >>> import numpy as np, rusttorch as rt
    >>> rt.mvlgamma(np.array([1.0, 3.0]), 1)
    array([0.        , 0.69314718])
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if str(getattr(input, "dtype", "")).rpartition(".")[2] == "bool":
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    return _mvlgamma(p)(input, **({} if out is None else {"out": out}))


@cache
def _mvlgamma(p: int) -> Expr:
    terms = " + ".join(f"lgamma(x - {i / 2})" if i else "lgamma(x)" for i in range(p))
    return Expr(f"{terms} + {p * (p - 1) / 4 * math.log(math.pi)!r}" if p > 1 else terms)


def multigammaln(a: Any, p: int, *, out: Any = None) -> Any:
    """:func:`mvlgamma`, by SciPy's name; ``torch.special.multigammaln``."""
    return mvlgamma(a, p, out=out)


def mvlgamma_(self: Any, p: int) -> Any:
    """:func:`mvlgamma`, written to this tensor; ``torch.Tensor.mvlgamma_``."""
    return mvlgamma(self, p, out=self)
