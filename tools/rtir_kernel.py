"""Builds kernels (ir/src/kernel/mod.rs) and prints them as canonical `.rtir` text.

Index expressions are sympy expressions whose symbols stand for axes, sizes and checked values; ids are
given when the text is made, in order of first appearance, after dead code has gone.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import sympy

SIZES = {"bool": 1, "u8": 1, "i32": 4, "i64": 8, "f32": 4, "f64": 8}


def is_float(dtype):
    return dtype in ("f32", "f64")


@dataclass(eq=False)
class Value:
    dtype: str
    literal: object = None  # of a constant
    symbol: object = None  # of a checked index, in index expressions


@dataclass(eq=False)
class Inst:
    results: list
    head: str  # what stands before the operands
    args: list = field(default_factory=list)
    buffer: object = None
    index: object = None  # sympy
    mask: object = None
    tail: str = ""
    body: list = None  # of cold
    kind: str = "pure"  # pure, load, store, check, reduce, index, cold

    def operands(self):
        yield from self.args
        if self.mask is not None:
            yield self.mask


@dataclass(eq=False)
class Buffer:
    name: str
    dtype: str
    kind: str = None  # in, out, inout, row, temp
    length: object = None


@dataclass(eq=False)
class Nest:
    axes: list  # (symbol, extent)
    body: list


@dataclass(eq=False)
class Phase:
    axes: list
    nests: list


class Block:
    """A body under construction; equal pure instructions become one."""

    def __init__(self, body, known=None):
        self.body, self.known = body, {} if known is None else known

    def once(self, key, make):
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def emit(self, dtype, head, *args, kind="pure", **rest):
        result = Value(dtype)
        self.body.append(Inst([result], head, list(args), kind=kind, **rest))
        return result

    def const(self, dtype, value):
        text = literal(dtype, value)

        def make():
            result = Value(dtype, value)
            self.body.append(Inst([result], f"const.{dtype} {text}"))
            return result

        return self.once(("const", dtype, text), make)

    def prim(self, name, *args):
        dtype = args[-1].dtype
        if any(a.dtype != dtype for a in args):
            raise NotImplementedError(f"{name} of {[a.dtype for a in args]}")
        result = "bool" if name in ("lt", "le", "gt", "ge", "eq", "ne") else dtype
        return self.once((name, *args), lambda: self.emit(result, f"{name}.{dtype}", *args))

    def select(self, mask, a, b):
        if a.dtype != b.dtype or mask.dtype != "bool":
            raise NotImplementedError(f"select of {mask.dtype}, {a.dtype}, {b.dtype}")
        return self.once(("select", mask, a, b), lambda: self.emit(a.dtype, f"select.{a.dtype}", mask, a, b))

    def convert(self, x, dtype):
        if x.dtype == dtype:
            return x
        if x.literal is not None and math.isfinite(x.literal):
            v = x.literal
            return self.const(dtype, bool(v) if dtype == "bool" else float(v) if is_float(dtype) else int(v))
        return self.once(("convert", dtype, x), lambda: self.emit(dtype, f"convert.{dtype}", x))

    def bitcast(self, x, dtype):
        return self.once(("bitcast", dtype, x), lambda: self.emit(dtype, f"bitcast.{dtype}", x))

    def call(self, func, *args):
        dtype = args[0].dtype
        return self.once((func, *args), lambda: self.emit(dtype, f"call.{func}.{dtype}", *args))

    def index(self, expr, dtype):
        expr = sympy.expand(expr)
        return self.once(("index", dtype, expr), lambda: self.emit(dtype, f"index.{dtype}", index=expr, kind="index"))

    def cold(self, mask, slow, fast):
        """`mask ? slow(block) : fast`, with `slow` computed only if any lane needs it."""
        body = []
        value = slow(Block(body, dict(self.known)))
        result = Value(fast.dtype)
        self.body.append(Inst([result], "cold", [mask, value, fast], body=body, kind="cold"))
        return result


def literal(dtype, v):
    """A constant as Rust's `{:?}` writes it."""
    if dtype == "bool":
        return "true" if v else "false"
    if not is_float(dtype):
        return str(int(v))
    v = np.float32(v) if dtype == "f32" else np.float64(v)
    if np.isnan(v):
        return "nan"
    if np.isinf(v):
        return "inf" if v > 0 else "-inf"
    size = abs(float(v))
    if size != 0 and (size < 1e-4 or size >= 1e16):
        digits, exponent = np.format_float_scientific(v, unique=True, trim="-").split("e")
        return f"{digits}e{int(exponent)}"
    return np.format_float_positional(v, unique=True, trim="0")


def live(phases):
    """Removes pure instructions, loads and reductions that nothing uses, then empty nests and phases;
    neighbouring nests without axes become one."""
    used = set()

    def need(expr):
        used.update(getattr(expr, "free_symbols", ()))

    def sweep(body):
        for inst in reversed(body):
            effect = inst.kind in ("store", "check")
            if effect or any(r in used or r.symbol in used for r in inst.results):
                inst.alive = True
                used.update(inst.operands())
                need(inst.index)
                if inst.body is not None:
                    sweep(inst.body)
            else:
                inst.alive = False
        body[:] = [i for i in body if i.alive]

    for phase in reversed(phases):
        for nest in reversed(phase.nests):
            sweep(nest.body)
        nests, phase.nests = [n for n in phase.nests if n.body], []
        for n in nests:
            if phase.nests and not n.axes and not phase.nests[-1].axes:
                phase.nests[-1].body += n.body
            else:
                phase.nests.append(n)
    phases[:] = [p for p in phases if p.nests]


class Printer:
    def __init__(self, syms):
        self.names = {s: f"s{i}" for i, s in enumerate(syms)}
        self.axes, self.values = 0, {}

    def axis(self, symbol):
        self.names[symbol] = f"i{self.axes}"
        self.axes += 1

    def define(self, v):
        self.values[v] = f"%{len(self.values)}"
        if v.symbol is not None:
            self.names[v.symbol] = self.values[v]
        return self.values[v]

    # Index expressions, by how tightly they bind: sum, product, factor.

    def expr(self, e):
        e = sympy.sympify(e)
        if isinstance(e, sympy.Add):
            return " + ".join(self.product(t) for t in sorted(e.args, key=self.order))
        return self.product(e)

    def order(self, e):
        names = sorted(self.names.get(s, "?") for s in e.free_symbols)
        axes = [int(n[1:]) for n in names if n[0] == "i"]
        return (e.is_number, min(axes, default=-1), str(names), str(e))

    def product(self, e):
        if isinstance(e, sympy.Mul):
            return "*".join(self.factor(f) for f in sorted(e.args, key=self.order))
        if isinstance(e, sympy.Pow) and e.exp.is_Integer and e.exp > 0:
            return "*".join([self.factor(e.base)] * int(e.exp))
        return self.atom(e)

    def factor(self, e):
        if isinstance(e, sympy.Pow):
            return self.product(e)
        text = self.expr(e)
        return f"({text})" if isinstance(e, sympy.Add) or (e.is_Integer and e < 0) else text

    def atom(self, e):
        if e.is_Integer:
            return str(int(e))
        if isinstance(e, sympy.Symbol):
            return self.names[e]
        name, args = type(e).__name__, e.args
        if name in ("FloorDiv", "CleanDiv"):
            return f"floordiv({self.expr(args[0])}, {self.expr(args[1])})"
        if name in ("Mod", "PythonMod"):
            return f"mod({self.expr(args[0])}, {self.expr(args[1])})"
        if name == "ModularIndexing":
            base = self.expr(args[0]) if args[1] == 1 else f"floordiv({self.expr(args[0])}, {self.expr(args[1])})"
            return f"mod({base}, {self.expr(args[2])})"
        if name == "CeilDiv":
            return f"floordiv({self.expr(args[0] + args[1] - 1)}, {self.expr(args[1])})"
        if name in ("Max", "Min"):
            texts = sorted(self.expr(a) for a in args)
            while len(texts) > 1:
                texts[:2] = [f"{name.lower()}({texts[0]}, {texts[1]})"]
            return texts[0]
        if name == "Abs":
            return f"max({self.expr(args[0])}, {self.expr(sympy.expand(-args[0]))})"
        if name == "Identity":
            return self.expr(args[0])
        raise NotImplementedError(f"index expression {name}: {e}")

    def inst(self, inst, indent):
        pad = " " * indent
        if inst.kind == "cold":
            mask, slow, fast = inst.args
            head = f"{self.values[mask]}"
            inner = [line for i in inst.body for line in self.inst(i, indent + 2)]
            tail = f"slow ({self.values[slow]}) fast ({self.values[fast]})"
            # The result's number comes first in the text, the order of numbers is free.
            return [f"{pad}{self.define(inst.results[0])} = cold {head} {{", *inner, f"{pad}}} {tail}"]
        args = [self.values[a] for a in inst.args]
        text = inst.head
        if inst.kind in ("load", "store"):
            args.insert(0, f"{inst.buffer.name}[{self.expr(inst.index)}]")
        if inst.kind == "check":
            args.append(f"size {self.expr(inst.index)}")
        if inst.kind == "index":
            args.append(self.expr(inst.index))
        text += (" " + ", ".join(args) if args else "") + inst.tail
        if inst.mask is not None:
            text += f" if {self.values[inst.mask]}"
        if inst.results:
            text = ", ".join(self.define(r) for r in inst.results) + " = " + text
        return [pad + text]

    def loops(self, axes):
        for symbol, _ in axes:
            self.axis(symbol)
        inner = ", ".join(f"{self.names[s]} < {self.expr(n)}" for s, n in axes)
        return f"[{inner}] " if axes else ""

    def kernel(self, name, buffers, phases):
        args = [b for b in buffers if b.kind in ("in", "out", "inout")]
        head = ", ".join(f"{b.name}: {b.dtype} {b.kind}" for b in args)
        syms = f" syms {len(self.names)}" if self.names else ""
        lines = ["rtir 1", f"kernel @{name}({head}){syms} {{"]
        local = [b for b in buffers if b.kind in ("row", "temp")]
        lines += [f"  {b.kind} {b.name}: {b.dtype}[{self.expr(b.length)}]" for b in local]
        for phase in phases:
            lines.append(f"  phase {self.loops(phase.axes)}{{")
            for nest in phase.nests:
                lines.append(f"    nest {self.loops(nest.axes)}{{")
                for inst in nest.body:
                    lines.extend(self.inst(inst, 6))
                lines.append("    }")
            lines.append("  }")
        return "\n".join([*lines, "}", ""])
