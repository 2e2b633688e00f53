"""One elementwise formula, as each peer would write it by hand.

A formula is Python text, perhaps after ``name = text;``, over operands, numbers, ``+ - * /``, unary minus,
comparisons and :data:`FUNCTIONS`. From it come the loop that numba compiles, numexpr's text, and what NumPy users
write who reuse every buffer: one call per operation with ``out=``. Numbers become constants of the operands' dtype
where a peer would otherwise compute in float64 (numexpr and numba do).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

#: Every function of a formula, by NumPy's name, and how a loop over scalars writes it. Neither NumPy nor numexpr has
#: ``erf``.
FUNCTIONS = {
    "arctan": "math.atan",
    "cos": "math.cos",
    "erf": "math.erf",
    "exp": "math.exp",
    "exp2": "np.exp2",
    "expm1": "math.expm1",
    "log": "math.log",
    "log1p": "math.log1p",
    "sin": "math.sin",
    "sinh": "math.sinh",
    "sqrt": "math.sqrt",
    "tanh": "math.tanh",
    "where": "",
}
_OPERATORS: dict[type, str] = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide"}
_COMPARISONS: dict[type, str] = {ast.Gt: "greater", ast.Lt: "less", ast.GtE: "greater_equal", ast.LtE: "less_equal"}


class NotExpressible(Exception):
    """A peer has no such function."""


class _Constants(ast.NodeTransformer):
    """Gives every number a name."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, (int, float)):
            return node
        value = float(node.value)
        name = next((n for n, v in self.values.items() if v == value), f"c{len(self.values)}_")
        self.values[name] = value
        return ast.copy_location(ast.Name(name, ast.Load()), node)


class _Substitute(ast.NodeTransformer):
    """Puts what a name stands for in its place."""

    def __init__(self, meanings: dict[str, ast.expr]) -> None:
        self.meanings = meanings

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self.meanings.get(node.id, node)


def parse(text: str) -> tuple[list[tuple[str, ast.expr]], ast.expr]:
    """The names that a formula defines, with what they stand for, and its value."""
    *definitions, value = ast.parse(text.replace("; ", "\n")).body
    assert isinstance(value, ast.Expr)
    names = []
    for d in definitions:
        assert isinstance(d, ast.Assign) and isinstance(d.targets[0], ast.Name)
        names.append((d.targets[0].id, d.value))
    return names, value.value


def _inlined(text: str) -> tuple[ast.expr, dict[str, float]]:
    """A formula without definitions (compilers find what is common), its numbers named."""
    definitions, value = parse(text)
    meanings: dict[str, ast.expr] = {}
    for name, definition in definitions:
        meanings[name] = _Substitute(meanings).visit(definition)
    constants = _Constants()
    # Shared parts of the tree must be told apart before they are rewritten.
    value = ast.parse(ast.unparse(_Substitute(meanings).visit(value)), mode="eval").body
    return constants.visit(value), constants.values


def functions_of(text: str) -> set[str]:
    """The names that are called in a formula."""
    return {ast.unparse(n.func) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)}


def numexpr_text(text: str, dtype: Any) -> tuple[str, dict[str, Any]]:
    """The formula for numexpr, and the constants that it names."""
    missing = functions_of(text) & {"erf", "exp2"}
    if missing:
        raise NotExpressible(f"numexpr has no {', '.join(sorted(missing))}")
    tree, constants = _inlined(text)
    return ast.unparse(tree), {name: dtype.type(value) for name, value in constants.items()}


class _Scalars(ast.NodeTransformer):
    """Turns operands into elements, and functions into those of scalars."""

    def __init__(self, index: dict[str, str]) -> None:
        self.index = index

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.index:
            return ast.parse(node.id + self.index[node.id], mode="eval").body
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = ast.unparse(node.func)
        args = [self.visit(a) for a in node.args]
        if name == "where":
            return ast.IfExp(args[0], args[1], args[2])
        return ast.Call(ast.parse(FUNCTIONS[name], mode="eval").body, args, [])


def numba_source(text: str, names: list[str], shapes: list[tuple[int, ...]]) -> tuple[str, dict[str, float]]:
    """A loop over rows and columns that fills ``out``, and the constants that it names."""
    if functions_of(text) - FUNCTIONS.keys():
        raise NotExpressible("a reduction")
    tree, constants = _inlined(text)
    rank = max(map(len, shapes))
    letters = "ij"[-rank:]
    index = {}
    for name, shape in zip(names, shapes, strict=True):
        own = letters[rank - len(shape) :]
        index[name] = "[" + ", ".join("0" if n == 1 else i for i, n in zip(own, shape, strict=True)) + "]"
    body = ast.unparse(ast.fix_missing_locations(_Scalars(index).visit(tree)))
    lines = [f"def loop({', '.join(names)}, out):"]
    for depth, letter in enumerate(letters):
        over = "prange" if depth == 0 else "range"
        lines.append("    " * (depth + 1) + f"for {letter} in {over}(out.shape[{depth}]):")
    lines.append("    " * (rank + 1) + f"out[{', '.join(letters)}] = {body}")
    return "\n".join(lines) + "\n", constants


class Steps:
    """A formula as NumPy calls that write to buffers which are kept: ``np.multiply(a, b, out=buffer)``.

    The last call writes to ``out``, which serves for results on the way too; a buffer is free for the very call that
    reads it last. This is what one writes by hand to keep memory out of the way.
    """

    def __init__(self, text: str, operands: dict[str, Any], dtype: Any) -> None:
        self.shapes = {name: array.shape for name, array in operands.items()}
        self.dtype = dtype
        self.lines: list[str] = []
        self.scope: dict[str, Any] = {"np": np}
        self.kinds: dict[str, tuple[tuple[int, ...], bool]] = {}
        self.names = list(operands)
        definitions, value = parse(text)
        self.kinds["out"] = (np.broadcast_shapes(*self.shapes.values()), False)
        self.free = ["out"]
        for name, definition in definitions:
            into, shape = self.emit(definition, self.take(self.kinds["out"][0], False, f"{name}_kept"))
            self.lines.append(f"{name} = {into}")
            self.shapes[name] = shape
        self.emit(value, "out")

    def function(self) -> Callable[..., Any]:
        """Takes the operands and ``out``; gives ``out``."""
        source = f"def steps({', '.join(self.names)}, out):\n    " + "\n    ".join(self.lines) + "\n    return out\n"
        exec(compile(source, "<steps>", "exec"), self.scope)
        result: Callable[..., Any] = self.scope["steps"]
        return result

    def emit(self, node: ast.expr, target: str | None = None) -> tuple[str, tuple[int, ...]]:
        """The name of a node's value and its shape, ``()`` for a number."""
        if isinstance(node, ast.Name):
            return node.id, self.shapes[node.id]
        if isinstance(node, ast.Constant):
            return repr(node.value), ()
        if isinstance(node, ast.Compare):
            parts, name = [node.left, node.comparators[0]], _COMPARISONS[type(node.ops[0])]
        elif isinstance(node, ast.BinOp):
            parts, name = [node.left, node.right], _OPERATORS[type(node.op)]
        elif isinstance(node, ast.UnaryOp):
            if isinstance(node.operand, ast.Constant):
                return ast.unparse(node), ()
            parts, name = [node.operand], "negative"
        else:
            assert isinstance(node, ast.Call)
            parts, name = node.args, ast.unparse(node.func)
        values = [self.emit(p) for p in parts]
        shape = np.broadcast_shapes(*(s for _, s in values))
        names = [v for v, _ in values]
        self.free += [v for v in names if v in self.kinds]
        into = self.take(shape, isinstance(node, ast.Compare), target)
        if name == "where":
            c, a, b = names
            if a == into:
                self.lines.append(f"np.copyto({into}, {b}, where=~{c})")
            else:
                self.lines += [f"np.copyto({into}, {b})"] if b != into else []
                self.lines.append(f"np.copyto({into}, {a}, where={c})")
        elif not hasattr(np, name):
            raise NotExpressible(f"NumPy has no {name}")
        else:
            self.lines.append(f"np.{name}({', '.join(names)}, out={into})")
        return into, shape

    def take(self, shape: tuple[int, ...], boolean: bool, target: str | None) -> str:
        """A free buffer, or a new one."""
        name = target or next((n for n in self.free if self.kinds[n] == (shape, boolean)), f"t{len(self.kinds)}_")
        if name not in self.kinds:
            self.kinds[name] = (shape, boolean)
            self.scope[name] = np.empty(shape, bool if boolean else self.dtype)
        elif name in self.free:
            self.free.remove(name)
        return name
