"""Makes a kernel of a fused node that `inductor_nodes` recorded.

The loops of a node become nests. Loops share a phase when they agree on outer axes: all axes of a
reduction that are kept, the common first axes otherwise, since a `reduce` combines all points of its
nest. A loop that cannot join, or that reads elements that other outer points write, starts a phase.
Neighbouring loops over the same axes become one nest. What is stored and then loaded at the same place
is forwarded; what else stays inside becomes `row` scratch, or `temp` when it lives longer than a phase.
"""

import rtir_math
import sympy
import torch
from inductor_nodes import first_access
from rtir_kernel import Block, Buffer, Inst, Nest, Phase, Printer, Value, is_float, live

# Of values. Kernels do not compute i8 (Inductor's max pooling stores window offsets in it): it is u8 in
# memory and a sign-extended i32 elsewhere.
NAMES = {
    torch.float32: "f32",
    torch.float64: "f64",
    torch.int8: "i32",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.uint8: "u8",
    torch.bool: "bool",
}
EXPANDED = {"exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "erf", "sigmoid"}
CALLED = {
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "acosh",
    "atanh",
    "erfc",
    "lgamma",
}
CALLED_BINARY = {"pow", "atan2", "fmod", "nextafter"}
SAME = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "mul_rn": "mul",
    "neg": "neg",
    "abs": "abs",
    "fma": "fma",
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "round": "rint",
    "copysign": "copysign",
    "maximum": "max",
    "minimum": "min",
}
COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")
LOGIC = {"and": "and", "or": "or", "xor": "xor", "not": "not"}
REDUCTIONS = {
    "sum": "sum",
    "prod": "prod",
    "max": "max",
    "min": "min",
    "any": "any",
    "xor_sum": "xor",
    "welford_reduce": "moments",
}


def import_node(node, name):
    """The kernel as text, its arguments' kinds, and True when it computes what torch computes otherwise
    (sums in another order, functions by other approximations)."""
    return Importer(node).run(name)


class Importer:
    def __init__(self, node):
        self.node, self.inexact = node, False
        kinds = first_access(node)
        self.buffers = {}
        for k, (dtype, length) in node.buffers.items():
            if dtype not in NAMES:
                raise NotImplementedError(f"dtype {dtype}")
            self.buffers[k] = Buffer(k.lower(), "u8" if dtype == torch.int8 else NAMES[dtype], kinds[k])
            if length is not None:
                self.buffers[k].kind, self.buffers[k].length = "local", length
        self.phases, self.axis_count = [], 0

    def run(self, name):
        groups = []
        for loop in self.node.loops:
            if not (groups and groups[-1].join(loop)):
                groups.append(Group(loop))
        for group in groups:
            self.phase(group)
        self.drop_stores()
        live(self.phases)
        self.place_locals()
        args = [self.buffers[k] for k in self.node.args]
        locals_ = [b for b in self.buffers.values() if b.kind in ("row", "temp")]
        text = Printer(self.node.syms).kernel(name, [*args, *locals_], self.phases)
        return text, [b.kind for b in args], self.inexact

    def axis(self):
        self.axis_count += 1
        return sympy.Symbol(f"axis{self.axis_count}", integer=True, nonnegative=True)

    def phase(self, group):
        if len(group.outer) > 1 and all(x.sizes == group.outer and not x.reduces for x in group.loops):
            group.outer = group.outer[:-1]
        outer = [(self.axis(), n) for n in group.outer]
        phase = Phase(outer, [])
        self.phases.append(phase)
        self.forwarded = {}  # (buffer, index) -> value visible in all later nests
        self.checked = {}
        nest, space = None, None
        for loop in group.loops:
            kept = list(zip(loop.axes, loop.sizes, strict=True))
            inner = kept[len(outer) :] + list(zip(loop.reduced, loop.reduced_sizes, strict=True))
            if loop.reduces and not inner:
                inner = [(None, sympy.Integer(1))]
            extents = [n for _, n in inner]
            fresh = nest is None or space != extents
            axes = [(self.axis(), n) for n in extents] if fresh else nest.axes
            while True:
                rename = {symbol: axis for (symbol, _), (axis, _) in zip(kept, outer, strict=False)}
                rename.update({s: a for (s, _), (a, _) in zip(inner, axes, strict=True) if s is not None})
                if fresh or nest.takes(loop, rename):
                    break
                fresh, axes = True, [(self.axis(), n) for n in extents]
            if fresh:
                nest, space = NestBuild(self, phase, axes), extents
            nest.loop(loop, rename, outer)

    def drop_stores(self):
        """Stores to local buffers that nothing loads."""
        loaded = {i.buffer for p in self.phases for n in p.nests for i in n.body if i.kind == "load"}
        for phase in self.phases:
            for nest in phase.nests:
                nest.body[:] = [
                    i for i in nest.body if i.kind != "store" or i.buffer.kind != "local" or i.buffer in loaded
                ]

    def place_locals(self):
        for b in self.buffers.values():
            if b.kind != "local":
                continue
            uses = [(p, n, i) for p in self.phases for n in p.nests for i in n.body if i.buffer is b]
            phases = [p for p, _, _ in uses]
            if not uses:
                continue
            b.kind = "temp"
            if any(p is not phases[0] for p in phases):
                continue
            # An affine index without its outer part addresses the row.
            outer = {s: 0 for s, _ in phases[0].axes}
            rows, lengths = [], set()
            for _, nest, inst in uses:
                row = sympy.expand(inst.index).subs(outer)
                rest = sympy.expand(inst.index - row)
                inner = {s for s, _ in nest.axes}
                if rest.free_symbols & inner or not affine(row, inner):
                    break
                rows.append(row)
                lengths.add(1 + sum((row.coeff(s) * (n - 1) for s, n in nest.axes), row.subs(dict.fromkeys(inner, 0))))
            if len(rows) == len(uses) and len(lengths) == 1:
                b.kind, b.length = "row", sympy.expand(lengths.pop())
                for row, (_, _, inst) in zip(rows, uses, strict=True):
                    inst.index = row


def refuse(what):
    raise NotImplementedError(what)


def affine(e, axes):
    return all(not (sympy.diff(e, s).free_symbols & axes) for s in axes) and not e.has(sympy.Function)


class Group:
    """Loops of one phase and the extents of its outer axes."""

    def __init__(self, loop):
        self.loops, self.outer = [loop], list(loop.sizes)
        loop.reduces = is_reduction(loop)

    def join(self, loop):
        loop.reduces = is_reduction(loop)
        fixed = next((x.sizes for x in self.loops if x.reduces), loop.sizes if loop.reduces else None)
        depth = len(fixed) if fixed is not None else 0
        if fixed is None:
            while depth < min(len(self.outer), len(loop.sizes)) and self.outer[depth] == loop.sizes[depth]:
                depth += 1
        outer = list(fixed if fixed is not None else loop.sizes[:depth])
        loops = [*self.loops, loop]
        if any(list(x.sizes[:depth]) != outer for x in loops):
            return False
        if not outer and loop.space() and not self.streams(loop):
            return False
        if any(crosses(a, loop, depth) for a in self.loops):
            return False
        self.loops, self.outer = loops, outer
        return True

    def streams(self, loop):
        """True when the loop can run in one pass with the others: without outer axes a phase is serial, and
        what waits for a full reduction is better off in a phase of its own, with outer axes."""
        reduced = {b for x in self.loops for op, b, _ in accesses(x) if op == "store_reduction"}
        waits = any(b in reduced for op, b, _ in accesses(loop))
        return not waits and all(x.space() == loop.space() for x in self.loops)


def is_reduction(loop):
    return any(s.op == "reduction" for s in loop.steps)


def accesses(loop):
    def visit(steps):
        for s in steps:
            yield from visit(s.body or [])
            if s.op in ("load", "store", "store_reduction"):
                yield s.op, s.args[0], s.args[1]

    return list(visit(loop.steps))


def crosses(first, second, depth):
    """True when an outer point of `second` may touch what another outer point of `first` stored or loads."""
    for w1, b1, i1 in accesses(first):
        for w2, b2, i2 in accesses(second):
            if b1 != b2 or w1 == w2 == "load":
                continue
            if i1 == i2 and first.sizes == second.sizes:
                continue
            known = all(affine(sympy.expand(i), {*x.axes, *x.reduced}) for i, x in ((i1, first), (i2, second)))
            for s in first.axes[:depth]:
                if not known or sympy.expand(i1).coeff(s) != sympy.expand(i2).coeff(s):
                    return True
    return False


class NestBuild:
    """One nest under construction, and the nest without axes behind it that stores what it reduces."""

    def __init__(self, importer, phase, axes):
        self.importer, self.axes, self.phase = importer, axes, phase
        self.nest, self.after = Nest(axes, []), Nest([], [])
        phase.nests += [self.nest, self.after]
        self.block, self.after_block = Block(self.nest.body), Block(self.after.body)
        self.loads, self.reductions, self.accesses = {}, {}, []

    def takes(self, loop, rename):
        """True when the loop's points may run between those of the loops that are here already."""
        stored = {b for op, b, _ in self.accesses if op == "store_reduction"}
        for op, b, i in accesses(loop):
            if b in stored or (op == "store_reduction" and any(b == c for _, c, _ in self.accesses)):
                return False
            moved = sympy.sympify(i).subs(rename, simultaneous=True)
            if any(b == c and (op, other) != ("load", "load") and moved != j for other, c, j in self.accesses):
                return False
        return True

    def loop(self, loop, rename, outer):
        self.rename, self.outer, self.values, self.symbols = rename, outer, {}, {}
        self.order = order(
            loop, [s for s, n in rename.items() if n in {a for a, _ in self.axes}], loop.axes[: len(outer)]
        )
        self.accesses += [(op, b, sympy.sympify(i).subs(rename, simultaneous=True)) for op, b, i in accesses(loop)]
        for s in loop.steps:
            self.step(s, None)

    def index(self, e):
        return sympy.expand(sympy.sympify(e).subs({**self.rename, **self.symbols}, simultaneous=True))

    def get(self, a, dtype=None):
        v = self.values[a]
        return v if dtype is None else self.block.convert(v, dtype)

    def buffer(self, key):
        return self.importer.buffers[key]

    def step(self, s, mask):
        a, b = s.args, self.block
        match s.op:
            case "constant":
                out = b.const(NAMES[s.out.dtype], a[0])
            case "load":
                out = self.load(self.buffer(a[0]), self.index(a[1]), mask)
                out = self.to(out, s.out.dtype)
            case "index_expr":
                dtype = NAMES[s.out.dtype]
                out = b.index(self.index(a[0]), dtype if dtype in ("i32", "i64") else "i64")
                out = self.to(out, s.out.dtype)
            case "to_dtype":
                out = self.to(self.get(a[0]), s.out.dtype)
            case "to_dtype_bitcast":
                out = b.bitcast(self.get(a[0]), NAMES[s.out.dtype])
            case "indirect":
                self.symbols[s.out] = self.check(self.get(a[0]), self.index(a[1]), a[2], mask)
                return
            case "check_bounds":
                if a[3]:
                    self.check(b.index(self.index(a[0]), "i64"), self.index(a[1]), not a[2], mask)
                return
            case "masked":
                m = self.get(a[0], "bool")
                m = m if mask is None else b.prim("and", mask, m)
                for inner in s.body:
                    self.step(inner, m)
                value = self.get(a[2])
                out = b.select(self.get(a[0], "bool"), value, b.const(value.dtype, a[1]))
            case "reduction":
                self.values.update(zip(s.out, self.reduce(a[0], NAMES[a[1]], a[2], s.out), strict=True))
                return
            case "store":
                self.store(self.nest, self.block, a[0], self.index(a[1]), a[2], mask, a[3] is not None)
                return
            case "store_reduction":
                self.store(self.after, self.after_block, a[0], self.index(a[1]), a[2], None, False)
                return
            case _:
                out = self.to(self.compute(s), s.out.dtype)
        self.values[s.out] = self.block.convert(out, NAMES[s.out.dtype])

    def to(self, x, dtype):
        """Conversion as torch has it."""
        x = self.block.convert(x, NAMES.get(dtype) or refuse(f"dtype {dtype}"))
        if dtype == torch.int8 and x.literal is None:
            bits = self.block.const("i32", 24)
            x = self.block.prim("shr", self.block.prim("shl", x, bits), bits)
        return x

    def load(self, buffer, index, mask):
        known = self.importer.forwarded.get((buffer, index))
        if known is None and (buffer, index) in self.loads:
            known = self.loads[buffer, index]
        if known is not None:
            return known
        if (buffer, index, mask) not in self.loads:
            v = self.block.emit(
                buffer.dtype, f"load.{buffer.dtype}", kind="load", buffer=buffer, index=index, mask=mask
            )
            self.loads[buffer, index, mask] = v
            if mask is None:
                self.loads[buffer, index] = v
        return self.loads[buffer, index, mask]

    def store(self, nest, block, key, index, value, mask, add):
        buffer = self.buffer(key)
        value = block.convert(self.values[value], buffer.dtype)

        def forget(known):
            return {k: v for k, v in known.items() if k[0] is not buffer}

        self.loads = forget(self.loads)
        self.importer.forwarded = forget(self.importer.forwarded)
        nest.body.append(Inst([], "store.add" if add else "store", [value], buffer, index, mask, kind="store"))
        if add:
            self.importer.inexact |= is_float(buffer.dtype)
        elif nest is self.after or not self.axes:
            self.importer.forwarded[buffer, index] = value
        else:
            self.loads[buffer, index] = value

    def check(self, value, size, wrap, mask):
        if value.dtype not in ("i32", "i64"):
            value = self.block.convert(value, "i64")

        def make():
            out = Value("i64", symbol=sympy.Symbol(f"checked{id(value)}_{len(self.nest.body)}", integer=True))
            tail = " wrap" if wrap else ""
            self.nest.body.append(Inst([out], "check", [value], index=size, mask=mask, tail=tail, kind="check"))
            return out

        return self.block.once(("check", value, size, wrap, mask), make).symbol

    def reduce(self, kind, dtype, value, out):
        b = self.block
        if kind in ("argmax", "argmin"):
            if isinstance(value, tuple):
                args = [self.get(value[0], dtype), self.get(value[1])]
            else:
                position = sympy.Integer(0)
                for axis, n in self.axes:
                    position = position * n + axis
                args = [self.get(value, dtype), b.index(position, "i64")]
            return [self.once_reduced(kind, dtype, args, [dtype, args[1].dtype])[1]]
        result = NAMES[out[0].dtype]
        dtype = "bool" if kind == "any" else result if kind in ("sum", "prod", "welford_reduce") else dtype
        if dtype == "bool" and kind in ("max", "min"):
            raise NotImplementedError(f"{kind} of bool")
        self.importer.inexact |= is_float(dtype) and kind in ("sum", "prod", "welford_reduce")
        return self.once_reduced(REDUCTIONS[kind], dtype, [self.get(value, dtype)], [dtype] * len(out))

    def once_reduced(self, kind, dtype, args, results):
        key = (kind, self.order, *args)
        if key not in self.reductions:
            inst = Inst([Value(d) for d in results], f"reduce.{kind}.{dtype}.{self.order}", args, kind="reduce")
            self.nest.body.append(inst)
            self.reductions[key] = inst.results
        return self.reductions[key]

    def compute(self, s):
        b, op, want = self.block, s.op, NAMES[s.out.dtype]
        known = next((self.values[a].dtype for a in s.args if a in self.values), want)
        if not all(a in self.values or isinstance(a, (bool, int, float)) for a in s.args):
            raise NotImplementedError(f"operation {op} of {s.args}")
        args = [self.values[a] if a in self.values else b.const(known, a) for a in s.args]
        if op in COMPARE:
            return b.prim(op, *self.same(args))
        if op.startswith(("logical_", "bitwise_")) or op in ("and_", "or_", "xor"):
            name = op.split("_")[1] if op.startswith(("logical_", "bitwise_")) else op.rstrip("_")
            if name in LOGIC:
                dtype = "bool" if op.startswith("logical_") else want
                return b.prim(LOGIC[name], *(b.convert(x, dtype) for x in args))
        if op == "where":
            return b.select(b.convert(args[0], "bool"), *(b.convert(x, want) for x in args[1:]))
        if op in ("isnan", "isinf"):
            (x,) = args
            return (
                b.prim("ne", x, x) if op == "isnan" else b.prim("eq", b.prim("abs", x), b.const(x.dtype, float("inf")))
            )
        if op == "signbit":
            (x,) = args
            bits = b.bitcast(x, "i32" if x.dtype == "f32" else "i64")
            return b.prim("lt", bits, b.const(bits.dtype, 0))
        args = [b.convert(x, want) for x in args]
        x = args[0]

        def one():
            return b.const(want, 1)

        if op in SAME and want != "bool":
            if op == "fma" or want in ("f32", "f64") or SAME[op] not in ("floor", "ceil", "trunc", "rint"):
                # torch's vectorised sqrt is not always the nearest float.
                self.importer.inexact |= op == "sqrt"
                return b.prim(SAME[op], *args)
            return x
        if op in ("maximum", "minimum"):
            return b.prim("or" if op == "maximum" else "and", *args)
        if op in EXPANDED:
            self.importer.inexact = True
            return rtir_math.expand(b, op, x)
        if op in CALLED or op in CALLED_BINARY:
            self.importer.inexact = True
            return b.call(op, *args)
        match op:
            case "identity":
                return x
            case "bitwise_left_shift" | "lshift":
                return b.prim("shl", *args)
            case "bitwise_right_shift" | "rshift":
                return b.prim("shr", *args)
            case "relu":
                return b.prim("max", x, b.const(want, 0))
            case "square":
                return b.prim("mul", x, x)
            case "reciprocal":
                return b.prim("div", one(), x)
            case "rsqrt":
                self.importer.inexact = True
                return b.prim("div", one(), b.prim("sqrt", x))
            case "truediv" | "div_rn" | "int_truediv":
                return b.prim("div", *args)
            case "sign":
                zero = b.const(want, 0)
                down = b.select(b.prim("lt", x, zero), b.const(want, -1), zero)
                return b.select(b.prim("gt", x, zero), one(), down)
            case "truncdiv" | "floordiv" | "mod" | "remainder" if not is_float(want):
                return self.divide(op, *args)
            case "mod":
                return b.call("fmod", *args)
            case "remainder":
                # The sign of the divisor, as Python has it.
                r, y, zero = b.call("fmod", *args), args[1], b.const(want, 0)
                other = b.prim("xor", b.prim("lt", r, zero), b.prim("lt", y, zero))
                return b.select(b.prim("and", b.prim("ne", r, zero), other), b.prim("add", r, y), r)
        raise NotImplementedError(f"operation {op} of {want}")

    def divide(self, op, x, y):
        b = self.block

        def q():
            return b.once(("idiv", x, y), lambda: b.emit(x.dtype, f"idiv.{x.dtype}", x, y))

        def r():
            return b.once(("irem", x, y), lambda: b.emit(x.dtype, f"irem.{x.dtype}", x, y))

        if op == "truncdiv":
            return q()
        if op == "mod":
            return r()
        zero = b.const(x.dtype, 0)
        other = b.prim("xor", b.prim("lt", r(), zero), b.prim("lt", y, zero))
        other = b.prim("and", b.prim("ne", r(), zero), other)
        if op == "floordiv":
            return b.prim("sub", q(), b.select(other, b.const(x.dtype, 1), zero))
        return b.select(other, b.prim("add", r(), y), r())

    def same(self, args):
        """Both operands of a comparison at the wider dtype."""
        order = ["bool", "u8", "i32", "i64", "f32", "f64"]
        dtype = max((x.dtype for x in args), key=order.index)
        return [self.block.convert(x, dtype) for x in args]


def order(loop, inner, outer):
    """`lanes` when the innermost axis is contiguous in a load, else `rows` when the last outer one is."""
    indices = [sympy.expand(i) for op, _, i in accesses(loop) if op == "load"]

    def contiguous(axis):
        return any(i.coeff(axis) == 1 for i in indices)

    if inner and contiguous(inner[-1]):
        return "lanes"
    return "rows" if outer and contiguous(outer[-1]) else "lanes"
