"""The candidates of a case: RustTorch and its peers, over the same operands and, with ``out=``, the same result.

Operands are made once, in memory that NumPy, torch and JAX read in place; where one of them has to copy (JAX does what
it has no way to borrow), it does so before it is timed. A candidate has up to two forms: ``reused`` writes to memory
that is there, ``fresh`` gives a new result. A peer without the first is compared by the second.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np

import rusttorch as rt
from rusttorch.bench.cases import Array, Case, aligned, make
from rusttorch.bench.formula import FUNCTIONS, NotExpressible, Steps, numba_source, numexpr_text

OURS = "ours"
#: Peers by the name that the command line has for them, with the module that each needs.
PEERS = {
    "torch": "torch",
    "compile": "torch",
    "jax": "jax",
    "numpy": "numpy",
    "numexpr": "numexpr",
    "numba": "numba",
    "loops": "",
}
LABELS = {OURS: "RustTorch", "torch": "torch eager", "compile": "torch.compile", "jax": "JAX", "numpy": "NumPy"}
#: Elements from which numba's loops are for all threads.
PARALLEL = 1 << 16
Call = Callable[[], Any]


@dataclass
class Candidate:
    """One peer's way to compute a case."""

    peer: str
    #: ``reused`` or ``fresh``.
    form: str
    call: Call
    #: The results, of what a call returned. Reused buffers are the same arrays at every call.
    results: Callable[[Any], tuple[Array, ...]]
    #: Memory that a call has to fill.
    buffers: tuple[Array, ...] = ()
    #: Judges results that differ at every call: it returns what is wrong, or nothing.
    check: Callable[[tuple[Array, ...]], str] | None = None
    note: str = ""

    @property
    def dispatches(self) -> bool:
        """Whether another thread than the caller's does the work, even if it is one thread."""
        return self.peer == "jax"


@dataclass
class Operands:
    """A case's operands at one size, as each library sees them."""

    case: Case
    n: int
    arrays: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        self.arrays = {name: make(name, self.n, self.case.row) for name in self.case.operands.split()}


def _erf() -> Callable[[Any], Any]:
    function = np.frompyfunc(math.erf, 1, 1)
    return lambda x: function(x).astype(np.float64)


def written(function: Callable[..., Any], *values: Any, **keywords: Any) -> Call:
    """The call with these arguments, written out as in a program: a tuple and a dictionary are taken apart first."""
    names = [f"a{i}" for i in range(len(values))]
    arguments = ", ".join(names + [f"{k}={k}" for k in keywords])
    scope: dict[str, Any] = {}
    exec(f"def bind({', '.join(['f', *names, *keywords])}):\n    return lambda: f({arguments})\n", scope)
    result: Call = scope["bind"](function, *values, **keywords)
    return result


def settled(function: Callable[..., Any], *values: Any) -> Call:
    """A function of this module's making with these arguments: its statements run, and no call is between."""
    return FunctionType(function.__code__, function.__globals__, function.__name__, values)


class Peers:
    """Whoever is there, of those that are wanted."""

    def __init__(self, wanted: list[str], threads: int) -> None:
        self.threads = threads
        self.modules: dict[str, Any] = {}
        self.missing: dict[str, str] = {}
        for name in wanted:
            module = PEERS[name]
            if not module:
                continue
            try:
                self.modules[name] = importlib.import_module(module)
            except Exception as error:  # Whatever a broken installation raises.
                self.missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        self.torch: Any = self.modules.get("torch") or self.modules.get("compile")
        self.scopes: dict[str, dict[str, Any]] = {
            "numpy": {"np": np} | {f: getattr(np, f) for f in FUNCTIONS if hasattr(np, f)}
        }
        rt.set_num_threads(threads)
        self.loops: Any = None
        if "loops" in wanted:
            self._set_up_loops()
        if self.torch:
            self._set_up_torch()
        if "jax" in self.modules:
            self._set_up_jax()
        if "numexpr" in self.modules:
            self.modules["numexpr"].set_num_threads(threads)
        if "numba" in self.modules:
            self.modules["numba"].set_num_threads(min(threads, self.modules["numba"].config.NUMBA_NUM_THREADS))

    def _set_up_loops(self) -> None:
        from rusttorch.bench.loops import Loops, NoCompiler

        try:
            self.loops = Loops(self.threads)
        except NoCompiler as error:
            self.missing["loops"] = str(error)

    def _set_up_torch(self) -> None:
        torch = self.torch
        torch.set_num_threads(self.threads)
        functional = importlib.import_module("torch.nn.functional")
        scope = {"torch": torch, "F": functional, "aten": torch.ops.aten}
        self.scopes["torch"] = scope | {f: getattr(torch, f) for f in FUNCTIONS}

    def _set_up_jax(self) -> None:
        jax = self.modules["jax"]
        jnp = importlib.import_module("jax.numpy")
        scope = {"jax": jax, "jnp": jnp, "nn": jax.nn, "lax": jax.lax, "erf": jax.scipy.special.erf}
        self.scopes["jax"] = scope | {f: getattr(jnp, f) for f in FUNCTIONS if f != "erf"}

    def versions(self) -> dict[str, str]:
        """Of all that is there, and what is said of how it was built."""
        result = {OURS: rt.__version__, "numpy": np.__version__}
        for name, module in self.modules.items():
            result[name] = module.__version__
        if "numexpr" in self.modules:
            result["numexpr"] += " with VML" if self.modules["numexpr"].use_vml else " without VML"
        if "numba" in self.modules:
            svml = getattr(self.modules["numba"].config, "USING_SVML", False)
            result["numba"] += " with SVML" if svml else " without SVML"
        return result

    def candidates(self, case: Case, operands: Operands) -> tuple[list[Candidate], dict[str, str]]:
        """Ours first; and why others have none."""
        lacking: dict[str, str] = {}
        if case.dtype == "bfloat16" and not self.torch:
            return [], {OURS: "bfloat16 arrays are torch's"}
        if case.special:
            from rusttorch.bench.special import SPECIAL

            makers: dict[str, Callable[..., Iterator[Candidate]]] = SPECIAL[case.special]
        else:
            makers = {}
        result: list[Candidate] = []
        out: Any = None
        for name in (OURS, *PEERS):
            if name == "loops" and not (self.loops and case.stream):
                continue
            if name not in (OURS, "loops") and name not in self.modules:
                continue
            try:
                if makers:
                    if name in makers:
                        result += makers[name](self, operands)
                elif name == OURS:
                    ours, out = self._ours(case, operands)
                    result += ours
                else:
                    result += getattr(self, f"_{name}")(case, operands, out)
            except NotExpressible as reason:
                lacking[name] = str(reason)
        return result, lacking

    def function(self, library: str, text: str, args: str, **scope: Any) -> Callable[..., Any]:
        """``text`` as a function of ``args``."""
        *statements, last = text.split("; ")
        # What fills `out` returns nothing: its last part may be no expression.
        body = [*statements, last if "out=out" in last else f"return {last}"]
        source = f"def case({args.replace(' ', ', ')}):\n    " + "\n    ".join(body) + "\n"
        names = self.scopes[library] | scope
        exec(compile(source, "<case>", "exec"), names)
        result: Callable[..., Any] = names["case"]
        return result

    def reference(self, case: Case, arrays: dict[str, Array]) -> tuple[Array, ...]:
        """The case in float64; float64's own in ``longdouble``."""
        wide = np.longdouble if case.dtype == "float64" else np.float64
        exact = [a.astype(wide) if a.dtype.kind == "f" else a for a in arrays.values()]
        text = case.reference or case.numpy or case.formula
        result = self.function("numpy", text, case.operands, erf=_erf())(*exact)
        return result if isinstance(result, tuple) else (np.asarray(result),)

    def tensors(self, case: Case, operands: Operands) -> list[Any]:
        """Operands as torch has them: the same memory, but for bfloat16."""
        tensors = [self.torch.from_numpy(a) for a in operands.arrays.values()]
        return [t.bfloat16() if name == "h" else t for name, t in zip(operands.arrays, tensors, strict=True)]

    def _ours(self, case: Case, operands: Operands) -> tuple[list[Candidate], Any]:
        values = self.tensors(case, operands) if self.torch else list(operands.arrays.values())
        values = [v.T if name == case.transposed else v for name, v in zip(operands.arrays, values, strict=True)]
        text = case.text.format(row=case.row)
        if case.wrt:
            names = case.operands.split()
            body = f"rt.{text}" + (".mul(g).sum()" if case.upstream else "")
            scope: dict[str, Any] = {"rt": rt}
            exec(f"def value({', '.join(names)}):\n    return {body}\n", scope)
            wrt = tuple(names.index(w) for w in case.wrt.split())
            gradient = rt.func.grad(scope["value"], argnums=wrt if len(wrt) > 1 else wrt[0])
            return [Candidate(OURS, "fresh", written(gradient, *values), _arrays)], None
        expression = rt.expr(text, contract=case.contract)
        fresh = Candidate(OURS, "fresh", written(expression, *values), _arrays)
        if case.out == "small":
            return [fresh], None
        like = expression(*values)
        out = self._buffer(case, like)
        reused = Candidate(
            OURS, "reused", written(expression, *values, out=out), lambda _: _arrays(out), (_memory(out),)
        )
        return [reused] if case.out in ("only", "strided") else [fresh, reused], out

    def _buffer(self, case: Case, like: Any) -> Any:
        """The result that everybody writes to."""
        shape = tuple(like.shape)
        if case.dtype == "bfloat16":
            return self.torch.empty(shape, dtype=self.torch.bfloat16)
        if case.out == "strided":
            array = aligned((shape[0], 2 * shape[1]), case.dtype)[:, ::2]
        else:
            array = aligned(shape, case.dtype)
        return self.torch.from_numpy(array) if self.torch else array

    def _torch(self, case: Case, operands: Operands, out: Any) -> Iterator[Candidate]:
        values = self.tensors(case, operands)
        if case.wrt:
            yield self._autograd("torch", case, values, lambda f: f)
            return
        text = case.torch or case.formula
        function = self.function("torch", text.format(row=case.row), case.operands)
        if case.out not in ("only", "strided") or not case.torch_out:
            yield Candidate("torch", "fresh", settled(function, *values), _arrays)
        if case.torch_out and out is not None:
            tmp = self.torch.empty_like(values[0]) if "tmp" in case.torch_out else None
            fill = self.function("torch", case.torch_out, case.operands + " out", tmp=tmp)
            yield Candidate("torch", "reused", settled(fill, *values, out), lambda _: _arrays(out), (_memory(out),))

    def _compile(self, case: Case, operands: Operands, out: Any) -> Iterator[Candidate]:
        torch = self.torch
        # So that no limit of recompilations sends a case to eager.
        torch._dynamo.reset()
        values = self.tensors(case, operands)
        if case.wrt:
            yield self._autograd("compile", case, values, lambda f: torch.compile(f, dynamic=False))
            return
        text = (case.torch or case.formula).format(row=case.row)
        if case.out not in ("only", "strided"):
            compiled = torch.compile(self.function("torch", text, case.operands), dynamic=False)
            yield Candidate("compile", "fresh", written(compiled, *values), _arrays)
        if out is not None:
            *statements, last = text.split("; ")
            filling = "; ".join([*statements, f"out.copy_({last})"])
            fill = torch.compile(self.function("torch", filling, case.operands + " out"), dynamic=False)
            yield Candidate("compile", "reused", written(fill, *values, out), lambda _: _arrays(out), (_memory(out),))

    def _autograd(self, peer: str, case: Case, values: list[Any], wrap: Callable[[Any], Any]) -> Candidate:
        """Forward and backward, by autograd."""
        names = case.operands.split()
        inputs = [n for n in names if n != "g"]
        given = dict(zip(names, values, strict=True))
        for name in case.wrt.split():
            given[name] = given[name].detach().requires_grad_()
        forward = wrap(self.function("torch", case.torch.format(row=case.row), " ".join(inputs)))
        args = [given[n] for n in inputs]
        wrt = [given[n] for n in case.wrt.split()]
        grad = self.torch.autograd.grad

        def call() -> Any:
            return grad(forward(*args), wrt, given.get("g"))

        return Candidate(peer, "fresh", call, _arrays)

    def _jax(self, case: Case, operands: Operands, out: Any) -> Iterator[Candidate]:
        jax = self.modules["jax"]
        if case.out == "strided":
            raise NotExpressible("JAX writes to no given memory")
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        values, copied = [], []
        for name, array in operands.arrays.items():
            value = jax.device_put(array, may_alias=True)
            if name == "h":
                value = value.astype("bfloat16")
            if value.unsafe_buffer_pointer() != array.ctypes.data:
                copied.append(name)
            values.append(value)
        function = self.function(
            "jax",
            (case.jax or case.formula).format(row=case.row),
            case.operands.replace(" g", "") if case.wrt else case.operands,
        )
        if case.wrt:
            names = [n for n in case.operands.split() if n != "g"]
            wrt = tuple(names.index(w) for w in case.wrt.split())
            forward, upstream = function, case.upstream

            def total(*args: Any) -> Any:
                return (forward(*args[:-1]) * args[-1]).sum() if upstream else forward(*args)

            function = jax.grad(total, argnums=wrt if len(wrt) > 1 else wrt[0])
        jitted = jax.jit(function)
        note = f"copies {', '.join(copied)}" if copied else ""
        yield Candidate("jax", "fresh", lambda: jax.block_until_ready(jitted(*values)), _arrays, note=note)

    def _numpy(self, case: Case, operands: Operands, out: Any) -> Iterator[Candidate]:
        if case.dtype == "bfloat16":
            raise NotExpressible("NumPy has no bfloat16")
        values = list(operands.arrays.values())
        text = case.numpy or case.formula
        if "erf(" in text:
            raise NotExpressible("NumPy has no erf")
        if case.out not in ("only", "strided"):
            function = self.function("numpy", text, case.operands)
            yield Candidate("numpy", "fresh", settled(function, *values), _arrays)
        if out is None:
            return
        if case.numpy_out:
            fill = self.function("numpy", case.numpy_out, case.operands + " out")
        elif case.formula:
            fill = Steps(case.formula, operands.arrays, np.dtype(case.dtype)).function()
        else:
            return
        array = _memory(out)
        yield Candidate("numpy", "reused", settled(fill, *values, array), lambda _: (array,), (array,))

    def _numexpr(self, case: Case, operands: Operands, out: Any) -> Iterator[Candidate]:
        if not case.formula:
            raise NotExpressible("not in numexpr's language")
        evaluate = self.modules["numexpr"].evaluate
        text, constants = numexpr_text(case.formula, np.dtype(case.dtype))
        names = {**operands.arrays, **constants}
        if case.out not in ("only", "strided"):
            yield Candidate("numexpr", "fresh", lambda: evaluate(text, names, {}), _arrays)
        if out is not None:
            array = _memory(out)
            yield Candidate(
                "numexpr", "reused", lambda: evaluate(text, names, {}, out=array), lambda _: (array,), (array,)
            )

    def _numba(self, case: Case, operands: Operands, out: Any) -> Iterator[Candidate]:
        if not case.formula or out is None:
            raise NotExpressible("loops are written for elementwise cases")
        numba = self.modules["numba"]
        values = list(operands.arrays.values())
        source, constants = numba_source(case.formula, list(operands.arrays), [v.shape for v in values])
        number = np.dtype(case.dtype).type
        scope: dict[str, Any] = {"np": np, "math": math, "prange": numba.prange}
        exec(source, scope | {}, made := scope | {n: number(v) for n, v in constants.items()})
        loop = made["loop"]
        # A function's globals are where it was made.
        loop = type(loop)(loop.__code__, made)
        compiled = numba.njit(error_model="numpy", parallel=self.threads > 1 and operands.n >= PARALLEL)(loop)
        array = _memory(out)
        yield Candidate("numba", "reused", written(compiled, *values, array), lambda _: (array,), (array,))
        if case.out not in ("only", "strided"):

            def fresh() -> Any:
                result = np.empty_like(array)
                compiled(*values, result)
                return result

            yield Candidate("numba", "fresh", fresh, _arrays)

    def _loops(self, case: Case, operands: Operands, out: Any) -> Iterator[Candidate]:
        values = list(operands.arrays.values())
        array = None if out is None else _memory(out)
        for name, call in self.loops.calls(case.stream, values, array):
            if array is None:
                yield Candidate(name, "fresh", call, _arrays)
            else:
                yield Candidate(name, "reused", call, lambda _: (array,), (array,))


def _arrays(result: Any) -> tuple[Array, ...]:
    """Results of any library as arrays of NumPy; bfloat16 becomes float32."""
    if isinstance(result, (tuple, list)):
        return tuple(a for r in result for a in _arrays(r))
    if hasattr(result, "detach"):
        result = result.detach()
        return ((result.float() if str(result.dtype) == "torch.bfloat16" else result).numpy(),)
    if str(getattr(result, "dtype", "")) == "bfloat16":
        result = result.astype("float32")
    return (np.asarray(result),)


def _memory(out: Any) -> Array:
    """The memory of a result, as NumPy sees it."""
    if isinstance(out, np.ndarray):
        return out
    if str(out.dtype) == "torch.bfloat16":
        out = out.view(dtype=importlib.import_module("torch").int16)
    array: Array = out.numpy()
    return array
