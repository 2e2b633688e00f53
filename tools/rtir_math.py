"""Translates the bodies of the op table's mathematical functions into kernel instructions.

The bodies stand in `ops/src/table/math_f32.rs` and `math_f64.rs`, one string constant per function, in
the expression language (docs/expressions.md). The part of the language that they use is also Python's
syntax but for hexadecimal floats, so Python's parser reads them.
"""

import ast
import functools
import re
from pathlib import Path

TABLE = Path(__file__).resolve().parent.parent / "ops" / "src" / "table"

BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.LShift: "shl",
    ast.RShift: "shr",
}
COMPARE = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne"}
PRIMS = {
    "fma": "fma",
    "abs": "abs",
    "scale": "scale",
    "lshr": "lshr",
    "sqrt": "sqrt",
    "min": "min",
    "max": "max",
}


@functools.cache
def bodies(dtype):
    """Function name -> list of (assigned name or None, Python expression)."""
    text = (TABLE / f"math_{dtype}.rs").read_text()
    found = {}
    for name, body in re.findall(r'const (\w+): &str = "\n(.*?)";', text, re.S):
        lines = []
        for line in body.strip().splitlines():
            line = re.sub(r"0x[0-9a-f]+(\.[0-9a-f]*)?p[+-]?\d+", lambda m: repr(float.fromhex(m[0])), line)
            target, equals, value = line.partition(" = ")
            if not equals or not target.isidentifier():
                target, value = None, line
            lines.append((target, ast.parse(value, mode="eval").body))
        found[name.lower()] = lines
    return found


def expand(block, name, x):
    """Emits the function into `block` (see `rtir_kernel.Block`); returns the value at `x`."""
    if name not in bodies(x.dtype):
        raise NotImplementedError(f"{name} of {x.dtype}")
    return Expansion(block, x.dtype, {"x": x}).run(bodies(x.dtype)[name])


class Expansion:
    def __init__(self, block, dtype, names):
        self.block, self.dtype, self.names = block, dtype, names
        self.int = "i32" if dtype == "f32" else "i64"

    def run(self, lines):
        value = None
        for target, expr in lines:
            value = self.value(expr)
            if target:
                self.names[target] = value
        return value

    def operands(self, exprs):
        """Values of operands of one dtype; numbers take the dtype of the others."""
        values = [None if number(e) is not None else self.value(e) for e in exprs]
        dtype = next((v.dtype for v in values if v is not None), self.dtype)
        return [self.block.const(dtype, number(e)) if v is None else v for e, v in zip(exprs, values, strict=True)]

    def value(self, e):
        b = self.block
        if number(e) is not None:
            n = number(e)
            return b.const(self.dtype if isinstance(n, float) else self.int, n)
        match e:
            case ast.Name(id=name):
                return self.names[name]
            case ast.UnaryOp(op=ast.USub(), operand=x):
                return b.prim("neg", self.value(x))
            case ast.UnaryOp(op=ast.Invert(), operand=x):
                return b.prim("not", self.value(x))
            case ast.BinOp(left=x, op=op, right=y):
                return b.prim(BINARY[type(op)], *self.operands([x, y]))
            case ast.Compare(left=x, ops=[op], comparators=[y]):
                return b.prim(COMPARE[type(op)], *self.operands([x, y]))
            case ast.Call(func=ast.Name(id=f), args=args):
                return self.call(f, args)
        raise NotImplementedError(ast.unparse(e))

    def call(self, f, args):
        b = self.block
        if f in PRIMS:
            return b.prim(PRIMS[f], *self.operands(args))
        if f == "where":
            return b.select(self.value(args[0]), *self.operands(args[1:]))
        if f == "bits":
            return b.bitcast(self.value(args[0]), self.int)
        if f == "float_from_bits":
            (bits,) = args
            return b.bitcast(
                b.const(self.int, number(bits)) if number(bits) is not None else self.value(bits), self.dtype
            )
        if f == "to_float":
            return b.convert(self.value(args[0]), self.dtype)
        if f == "cold":
            mask, fast = self.value(args[0]), self.value(args[2])
            return b.cold(mask, lambda inner: Expansion(inner, self.dtype, dict(self.names)).value(args[1]), fast)
        raise NotImplementedError(f)


def number(e):
    """The value of a literal, signed or not; None for anything else."""
    match e:
        case ast.Constant(value=v):
            return v
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=v)):
            return -v
    return None
