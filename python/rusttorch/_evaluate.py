"""Formulas as text."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rusttorch._rusttorch import Expr


def expr(text: str, *, contract: bool = False) -> Expr:
    """A callable of a formula: ``expr("b - a")(b, a)``.

    Positional arguments are in the order in which the names first appear in the text; keywords always
    work. ``.args`` lists the names. ``contract``: as for :func:`fuse`.
    """
    return _parsed(text, contract)


@lru_cache(maxsize=256)
def _parsed(text: str, contract: bool) -> Expr:
    return Expr(text, contract)


class UnknownNameError(NameError, KeyError):
    """A name of a formula that no scope has."""

    def __str__(self) -> str:
        return str(self.args[0])


_MISSING = object()


def evaluate(
    expr: str,
    local_dict: Mapping[str, Any] | None = None,
    global_dict: Mapping[str, Any] | None = None,
    *,
    out: Any = None,
    casting: str = "same_kind",
    order: str = "K",
    contract: bool = False,
    **names: Any,
) -> Any:
    """Evaluates a formula over arrays that are looked up by name.

    A name is looked for in the keywords, then in ``local_dict``, the caller's locals if that is not given,
    then in ``global_dict``, or the caller's globals. Functions are a namespace of their own. ``contract``: as
    for :func:`fuse`.

    Raises:
        NameError, KeyError: a name that is nowhere (one exception that is both).
    """
    if casting != "same_kind" or order != "K":
        raise NotImplementedError("evaluate() supports casting='same_kind' and order='K' only")
    formula = _parsed(expr, contract)
    frame = sys._getframe(1)
    values = []
    for name in formula.args:
        value = names.get(name, _MISSING)
        if value is _MISSING:
            scopes = (
                frame.f_locals if local_dict is None else local_dict,
                frame.f_globals if global_dict is None else global_dict,
            )
            for scope in scopes:
                value = scope.get(name, _MISSING)
                if value is not _MISSING:
                    break
            else:
                raise UnknownNameError(
                    f"name '{name}' of the expression is not defined. Only the caller's own locals and globals are "
                    f"searched: a variable of an enclosing function is visible only if the caller mentions it. "
                    f"Pass it: evaluate({expr!r}, {name}=...)"
                )
        values.append(value)
    if names.keys() - set(formula.args):
        unused = ", ".join(sorted(names.keys() - set(formula.args)))
        raise TypeError(f"the expression has no name {unused}; it has {', '.join(formula.args) or 'none'}")
    return formula(*values) if out is None else formula(*values, out=out)
