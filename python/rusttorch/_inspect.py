"""What becomes of a call on its way to machine code."""

from __future__ import annotations

from typing import Any

from rusttorch._rusttorch import Expr


class Inspection:
    """The stages of one kernel, each a text; a stage that does not exist is empty."""

    def __init__(self, stages: list[tuple[str, str]]) -> None:
        self._stages = dict(stages)

    @property
    def expr(self) -> str:
        """The formula."""
        return self._stages.get("expr", "")

    @property
    def graph(self) -> str:
        """Typed, in primitives."""
        return self._stages.get("graph", "")

    @property
    def kernel(self) -> str:
        """The loop nests, as .rtir."""
        return self._stages.get("kernel", "")

    @property
    def clif(self) -> str:
        """Cranelift's form."""
        return self._stages.get("clif", "")

    @property
    def asm(self) -> str:
        """The machine's instructions."""
        return self._stages.get("asm", "")

    @property
    def fallback(self) -> str:
        """What the compiler lacks; empty when there is machine code."""
        return self._stages.get("fallback", "")

    def __str__(self) -> str:
        return "\n".join(f"== {name}\n{text.rstrip()}\n" for name, text in self._stages.items())

    def __repr__(self) -> str:
        return f"<Inspection of {self.expr!r}: {', '.join(self._stages)}>"

    def _repr_html_(self) -> str:
        from html import escape

        parts = (
            f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
            for name, text in self._stages.items()
        )
        return "".join(parts)


def inspect(function: Any, *args: Any, **kwargs: Any) -> Inspection:
    """The stages of ``function(*args, **kwargs)``: a text, an expression, an op or a fused function."""
    if isinstance(function, str):
        function = Expr(function)
    if isinstance(function, Expr):
        return Inspection(function._inspect(*args, **kwargs))
    own = getattr(function, "inspect", None)
    if own is None:
        raise TypeError(f"inspect() takes a text, an expression or a fused function, not {type(function).__name__}")
    result: Inspection = own(*args, **kwargs)
    return result
