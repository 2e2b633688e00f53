"""Ops of users: a formula under a name, equal to a built-in op."""

from __future__ import annotations

import keyword
import sys
import warnings

from rusttorch import _rusttorch
from rusttorch._rusttorch import Expr


def register(name_or_definition: str, expression: str | None = None, /) -> Expr:
    """Registers an op: ``register("swiglu", "a * sigmoid(a) * b")``, or with a header that fixes the order
    and the defaults of its parameters, ``register("swiglu(a, b, beta=1.0) = a * sigmoid(beta*a) * b")``.

    Returns its function, which is ``rusttorch.swiglu`` too. From then on the name works in expressions, in
    other registered ops and in functions under :func:`rusttorch.fuse`, and its gradient is derived. An
    expression keeps the definitions it was made with.

    Registering the same definition again gives the same function; another one replaces it, with a warning. A pickled
    function carries its definition.

    Raises:
        ValueError: the name is no identifier, is a built-in op's or another function's of this package; the
            definition has no name, is wrong, or calls itself.
    """
    text = name_or_definition
    if expression is not None:
        name = name_or_definition
        _check(name)
        names = Expr(expression).args
        text = f"{name}({', '.join(names)}) = {expression}"
    function = Expr(text)
    if function.__name__ == "expr" and not text.lstrip().startswith("expr"):
        raise ValueError('a registered op needs a name: register("name", "a * b") or register("name(a, b) = a * b")')
    _check(function.__name__)
    replaced = _rusttorch._register_op(text)
    name = function.__name__
    package = sys.modules["rusttorch"]
    if replaced:
        warnings.warn(f"{name} is defined anew: functions made before keep its old definition", stacklevel=2)
    function = _rusttorch._op_function(name)
    before = vars(package).get(name)
    if isinstance(before, Expr) and before.text == function.text:
        return before
    setattr(package, name, function)
    _forget()
    return function


def _check(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ValueError(f"{name!r} is no name for an op: a registered op needs an identifier")
    package = sys.modules["rusttorch"]
    known = any(row[0] == name for row in _rusttorch._op_table())
    if not known and (name in package.__all__ or name == "demo"):
        raise ValueError(f"rusttorch.{name} is something else: register the op under another name")


def _forget() -> None:
    """Drops what was read off the old op table."""
    from rusttorch import _evaluate, _names

    _evaluate._parsed.cache_clear()
    _rusttorch._forget_formulas()
    _names.ops.cache_clear()
    _names.method.cache_clear()
    _names.torch_functions.cache_clear()
    _names.numpy_functions.cache_clear()


def _restore(text: str) -> Expr:
    """A pickled function: registered if its name is free, else a function of its own."""
    function = Expr(text)
    name = function.__name__
    if any(row[0] == name for row in _rusttorch._op_table()):
        known = _rusttorch._op_function(name)
        return known if known.text == function.text else function
    return register(text)
