"""Takes fused nodes out of Inductor: a CPU scheduling class that records them, and an executor of what it
recorded, in torch's own operations, which gives the values that kernels are held against.

The class keeps the stock scheduling's fusion (so `config.cpu_backend` stays at "cpp", on which lowerings
depend) and replaces code generation only. A node is recorded as a list of `Loop`s.
"""

import functools
import itertools
import math
from dataclasses import dataclass, field
from typing import ClassVar

import sympy
import torch
from torch._inductor.codegen.common import (
    InplacedBuffer,
    Kernel,
    init_backend_registration,
    register_backend_for_device,
)
from torch._inductor.codegen.cpp import CppScheduling
from torch._inductor.codegen.wrapper import PythonWrapperCodegen
from torch._inductor.dtype_propagation import DtypePropagationOpsHandler
from torch._inductor.ops_handler import DefaultHandler
from torch._inductor.utils import reduction_num_outputs
from torch._inductor.virtualized import V


@dataclass(eq=False)
class Val:
    """A value of a body, as `DtypePropagationOpsHandler` wants it."""

    dtype: torch.dtype
    is_scalar: bool = False
    shape: tuple = ("x",)


@dataclass(eq=False)
class Step:
    op: str
    args: list
    out: object = None  # Val, or the symbol of indirect_indexing
    body: list = None  # of masked


@dataclass
class Loop:
    axes: list  # symbols
    sizes: list
    reduced: list
    reduced_sizes: list
    steps: list

    def space(self):
        return [*self.sizes, *self.reduced_sizes]


@dataclass
class Node:
    """A fused node. Buffers of steps are keys of `buffers`."""

    number: int
    loops: list
    buffers: dict  # key -> (dtype, None for an argument or the length of a local one)
    args: list  # keys, in call order
    syms: list
    origins: list
    model: str = ""
    runs: list = field(default_factory=list)


class Recorder(DefaultHandler):
    def __init__(self, kernel):
        self.kernel, self.dtypes = kernel, DtypePropagationOpsHandler()
        self.steps = []

    def step(self, op, args, dtype=None, **rest):
        out = Val(dtype) if dtype is not None else None
        self.steps.append(Step(op, list(args), out, **rest))
        return out

    def _default(self, name, args, kwargs):
        dtype = getattr(self.dtypes, name)(*args, **kwargs)
        if isinstance(dtype, tuple):
            raise NotImplementedError(f"operation {name}")
        return self.step(name, [*args, *kwargs.values()], dtype)

    def constant(self, value, dtype):
        return self.step("constant", [value], dtype)

    def load(self, name, index):
        self.kernel.args.input(name)
        return self.step("load", [name, index], V.graph.get_dtype(name))

    def store(self, name, index, value, mode=None):
        self.kernel.store_buffer_names.add(name)
        self.kernel.args.output(name)
        if mode not in (None, "atomic_add"):
            raise NotImplementedError(f"store mode {mode}")
        self.step("store", [name, index, value, mode])

    def store_reduction(self, name, index, value):
        self.kernel.store_buffer_names.add(name)
        self.kernel.args.output(name)
        self.step("store_reduction", [name, index, value])

    def reduction(self, dtype, src_dtype, kind, value):
        n = reduction_num_outputs(kind)
        if isinstance(value, tuple) and kind not in ("argmax", "argmin"):
            raise NotImplementedError(f"{kind} of several values")
        out = tuple(Val(dtype) for _ in range(n))
        self.steps.append(Step("reduction", [kind, src_dtype, value], out))
        return out[0] if n == 1 else out

    def index_expr(self, expr, dtype):
        return self.step("index_expr", [expr], dtype)

    value_expr = index_expr

    def to_dtype(self, x, dtype, src_dtype=None, use_compute_types=True):
        return self.step("to_dtype", [x], dtype)

    def indirect_indexing(self, value, size, check=True, wrap_neg=True):
        symbol = sympy.Symbol(f"indirect{next(self.kernel.indirect)}", integer=True, nonnegative=True)
        self.steps.append(Step("indirect", [value, size, wrap_neg], symbol))
        return symbol

    def check_bounds(self, expr, size, lower, upper):
        self.step("check_bounds", [expr, size, lower, upper])

    def masked(self, mask, body, other):
        outer, self.steps = self.steps, []
        value = body()
        inner, self.steps = self.steps, outer
        return self.step("masked", [mask, other, value], value.dtype, body=inner)

    def output(self, *args):
        pass


class RecordedKernel(Kernel):
    def __init__(self):
        super().__init__()
        self.indirect = itertools.count()


class Scheduling(CppScheduling):
    nodes: ClassVar[list] = []
    model = ""
    epilogues = False  # fuse what follows a reduction, which the stock scheduling does not always

    def can_fuse_vertical(self, node1, node2):
        if super().can_fuse_vertical(node1, node2):
            return True
        if not self.epilogues or any(n.is_extern() or n.is_template() or n.is_foreach() for n in (node1, node2)):
            return False
        (_, (kept1, reduced1)), (_, (kept2, reduced2)) = node1.group, node2.group
        return reduced1 != () and reduced2 == () and kept2 in (kept1, kept1 + reduced1)

    def codegen_node(self, node):
        kernel, loops, snodes = RecordedKernel(), [], node.get_nodes()
        with V.set_kernel_handler(kernel):
            for n in snodes:
                n.decide_inplace_update()
            for n in snodes:
                (sizes, reduced_sizes) = n._body.sizes
                axes = [sympy.Symbol(f"a{i}", integer=True, nonnegative=True) for i in range(len(sizes))]
                reduced = [sympy.Symbol(f"r{i}", integer=True, nonnegative=True) for i in range(len(reduced_sizes))]
                recorder = Recorder(kernel)
                with V.set_ops_handler(recorder), kernel.set_current_node(n):
                    n._body(axes, reduced)
                loops.append(Loop(axes, list(sizes), reduced, list(reduced_sizes), recorder.steps))
            kernel.remove_kernel_local_buffers()
            for n in snodes:
                n.mark_run()
        # Only now is it known which buffers stay inside of the kernel.
        buffers, args, outer = {}, [], []

        def key(name):
            real = V.graph.scheduler.mutation_real_name.get(name, name)
            place = kernel.args.inplace_buffers.get(real)
            local = kernel.args.is_removed(real) and real in kernel.removed_buffers | kernel.inplaced_to_remove
            shared = isinstance(place, InplacedBuffer)
            k = place.inner_name if shared else real
            if k not in buffers:
                layout = V.graph.get_buffer(real).get_layout() if local and not shared else None
                buffers[k] = (V.graph.get_dtype(real), layout.storage_size() if layout else None)
                if layout is None:
                    args.append(k)
                    outer.append(place.other_names[-1] if shared else real)
            return k

        def rename(steps):
            for s in steps:
                if s.op in ("load", "store", "store_reduction"):
                    s.args[0] = key(s.args[0])
                rename(s.body or [])

        for loop in loops:
            rename(loop.steps)
        syms = sorted(set().union(*(symbols(loop) for loop in loops)), key=str)
        origins = sorted(
            {o.target.__name__.split(".")[0] for n in snodes for o in n.node.get_origins() if o.op == "call_function"}
        )
        number = len(Scheduling.nodes)
        way = "backward" if V.graph.is_backward else "forward"
        recorded = Node(number, loops, buffers, args, syms, origins, f"{Scheduling.model} {way}")
        Scheduling.nodes.append(recorded)
        wrapper = V.graph.wrapper_code
        for s in syms:
            wrapper.ensure_size_computed(s)
        wrapper.add_import_once(f"from {__name__} import recorded")
        name = f"recorded_{wrapper.next_kernel_suffix()}"
        wrapper.define_kernel(name, f"recorded({number})", None, gpu=False)
        wrapper.generate_kernel_call(name, [*outer, *map(str, syms)], triton=False)
        V.graph.removed_buffers |= kernel.removed_buffers
        V.graph.inplaced_to_remove |= kernel.inplaced_to_remove
        self.free_buffers_in_scheduler()

    def flush(self):
        pass

    def codegen_sync(self):
        pass


def install():
    init_backend_registration()
    register_backend_for_device("cpu", Scheduling, PythonWrapperCodegen)


def symbols(loop):
    """Size symbols of a loop."""
    found = set()

    def visit(steps):
        for s in steps:
            for a in s.args:
                found.update(getattr(a, "free_symbols", ()))
            visit(s.body or [])

    visit(loop.steps)
    for n in loop.space():
        found.update(sympy.sympify(n).free_symbols)
    return {s for s in found - {*loop.axes, *loop.reduced} if not str(s).startswith("indirect")}


# The executor.


def flat(t):
    """The elements from the first to the last of a tensor, as memory holds them."""
    n = 0 if 0 in t.shape else 1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True))
    return torch.as_strided(t, (n,), (1,))


def recorded(number):
    node = Scheduling.nodes[number]

    def run(*args):
        memory = dict(zip(node.args, map(flat, args[: len(node.args)]), strict=True))
        sizes = list(args[len(node.args) :])
        if not node.runs:
            # What was there before is zero where it is not read, which makes the data the kernel's own.
            written = first_access(node)
            before = {k: torch.zeros_like(v) if written[k] == "out" else v.clone() for k, v in memory.items()}
            after = {k: v.clone() for k, v in before.items()}
            execute(node, after, sizes)
            node.runs.append((before, after, sizes))
        execute(node, memory, sizes)

    return run


def first_access(node):
    """Buffer -> in, out (stored to before any load) or inout."""
    kinds = {}

    def access(key, kind):
        old = kinds.setdefault(key, kind)
        if old == "in" and kind != "in":
            kinds[key] = "inout"

    def visit(steps):
        for s in steps:
            visit(s.body or [])
            if s.op == "load":
                access(s.args[0], "in")
            elif s.op in ("store", "store_reduction"):
                access(s.args[0], "inout" if s.args[3:] == ["atomic_add"] else "out")

    for loop in node.loops:
        visit(loop.steps)
    return kinds


FUNCTIONS = {
    "truediv": torch.true_divide,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "identity": lambda x: x,
    "fma": lambda a, b, c: torch.addcmul(c, a, b),
    "and_": torch.bitwise_and,
    "or_": torch.bitwise_or,
    "xor": torch.bitwise_xor,
    "floordiv": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "truncdiv": lambda a, b: torch.div(a, b, rounding_mode="trunc"),
    "mod": torch.fmod,
    "neg": lambda x: -x,
    "mul_rn": torch.mul,
    "div_rn": torch.true_divide,
    "int_truediv": torch.true_divide,
}
INDEX = {
    "FloorDiv": lambda a, b: a // b,
    "CleanDiv": lambda a, b: a // b,
    "ModularIndexing": lambda x, d, m: (x // d) % m,
    "Mod": lambda a, b: a % b,
    "PythonMod": lambda a, b: a % b,
    "CeilDiv": lambda a, b: -(-a // b),
    "Abs": abs,
    "Identity": lambda x: x,
    "Max": lambda *a: functools.reduce(lambda p, q: torch.maximum(torch.as_tensor(p), torch.as_tensor(q)), a),
    "Min": lambda *a: functools.reduce(lambda p, q: torch.minimum(torch.as_tensor(p), torch.as_tensor(q)), a),
}


def execute(node, memory, sizes):
    memory = dict(memory)
    names = dict(INDEX, **{str(s): v for s, v in zip(node.syms, sizes, strict=True)})

    def number(e):
        return int(eval(str(e), dict(names)))

    for k, (dtype, length) in node.buffers.items():
        if length is not None:
            memory[k] = torch.zeros(number(length), dtype=dtype)
    for loop in node.loops:
        Run(loop, memory, dict(names), number).block(loop.steps, None)


class Run:
    """One loop, all its points at once."""

    def __init__(self, loop, memory, names, number):
        self.memory, self.names, self.values = memory, names, {}
        extents = [number(n) for n in loop.space()]
        self.kept, self.shape = len(loop.sizes), extents
        for i, (symbol, n) in enumerate(zip([*loop.axes, *loop.reduced], extents, strict=True)):
            names[str(symbol)] = torch.arange(n).view([-1 if j == i else 1 for j in range(len(extents))])

    def index(self, e):
        return torch.as_tensor(eval(str(e), self.names))

    def get(self, a):
        return self.values[a] if isinstance(a, Val) else a

    def block(self, steps, mask):
        for s in steps:
            value = self.step(s, mask)
            if isinstance(s.out, tuple):
                self.values.update(zip(s.out, value, strict=True))
            elif s.out is not None:
                self.values[s.out] = value

    def step(self, s, mask):
        a = s.args
        match s.op:
            case "constant":
                return torch.tensor(a[0], dtype=s.out.dtype)
            case "load":
                i = self.index(a[1])
                return self.memory[a[0]][i if mask is None else torch.where(mask, i, 0)]
            case "index_expr":
                return self.index(a[0]).to(s.out.dtype)
            case "to_dtype":
                return self.get(a[0]).to(s.out.dtype)
            case "indirect":
                i = self.get(a[0]).long()
                self.names[str(s.out)] = torch.where(i < 0, i + self.index(a[1]), i) if a[2] else i
                return None
            case "check_bounds":
                return None
            case "masked":
                m = self.get(a[0])
                self.block(s.body, m if mask is None else m & mask)
                value = self.get(a[2])
                return torch.where(m, value, torch.tensor(a[1], dtype=value.dtype))
            case "reduction":
                return self.reduction(a[0], a[1], a[2], s.out)
            case "store" | "store_reduction":
                shape = (
                    self.shape if s.op == "store" else [*self.shape[: self.kept], *[1] * (len(self.shape) - self.kept)]
                )
                i = self.index(a[1]).broadcast_to(shape).reshape(-1)
                target = self.memory[a[0]]
                value = self.get(a[2]).broadcast_to(shape).reshape(-1).to(target.dtype)
                target.index_put_((i,), value, accumulate=a[3:] == ["atomic_add"])
                return None
        f = FUNCTIONS.get(s.op) or getattr(torch, s.op, None) or getattr(torch.special, s.op)
        args = [self.get(x) for x in a]
        return f(*args).to(s.out.dtype)

    def reduction(self, kind, src_dtype, value, out):
        if isinstance(value, tuple):
            value, index = (self.get(v).broadcast_to(self.shape) for v in value)
        else:
            value, index = self.get(value).broadcast_to(self.shape), None
        kept = self.shape[: self.kept]
        shape = [*kept, *[1] * (len(self.shape) - self.kept)]
        x = value.to(src_dtype).reshape([*kept, -1])
        match kind:
            case "sum" | "prod" | "any":
                r = [getattr(x, kind)(-1)]
            case "max" | "min":
                r = [getattr(x, "a" + kind)(-1)]
            case "xor_sum":
                r = [functools.reduce(torch.bitwise_xor, x.unbind(-1))]
            case "welford_reduce":
                mean = x.mean(-1, keepdim=True)
                r = [
                    mean.squeeze(-1),
                    ((x - mean) ** 2).sum(-1),
                    torch.full(kept, math.prod(self.shape[self.kept :])),
                ]
            case "argmax" | "argmin":
                r = [getattr(x, kind)(-1)]
                if index is not None:
                    # Of equal values the one with the lowest index, whatever the order of the loops.
                    best = x == x.gather(-1, r[0].unsqueeze(-1))
                    index = index.reshape([*kept, -1])
                    r = [torch.where(best, index, torch.iinfo(index.dtype).max).amin(-1)]
            case _:
                raise NotImplementedError(f"reduction {kind}")
        return [v.reshape(shape).to(o.dtype) for v, o in zip(r, out, strict=True)]
