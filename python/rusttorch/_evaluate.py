"""Formulas as text."""

from __future__ import annotations

from functools import lru_cache

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
