"""``fuse``: runs a Python function once on stand-ins for its arrays, and from then on one kernel.

A call is looked up by what the trace depended on: the structure of the arguments, which of them are
arrays, the types of Python numbers, the values of static arguments, and, where the function asked for
them, shapes and dtypes. Numbers that are arguments are run-time values; numbers that the function closes
over were constants when it was traced. Arrays that it closes over, globals that it or a function of its module that it
calls names, attributes of self, and what lists, dictionaries and objects among these hold are read at each call; one
that it finds in another way is a constant. Numbers, strings and None that are attributes of self (of an argument that
is an object) and that the function or a method that it calls names are constants of a trace, which holds while they are
what they were, as are arrays there that it makes others of without the stand-ins; those of the object of a bound method
are closed over.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import random
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple, TypeVar, overload

from rusttorch._inspect import Inspection
from rusttorch._rusttorch import Expr, FastCall, TraceError, get_rng_state
from rusttorch._trace import Traced, Tracer, is_array, is_tensor
from rusttorch._trace_outside import Outside
from rusttorch._variables import Hidden, Known, known

_F = TypeVar("_F", bound=Callable[..., Any])
_TRACES = 64


class CacheInfo(NamedTuple):
    """Traces of a fused function: calls that found one, calls that traced, traces kept."""

    hits: int
    misses: int
    currsize: int


class _Trace(NamedTuple):
    """One trace: the expression, where its operands come from, and what the result is made of."""

    expr: Expr | None
    # Positions of the arguments' leaves that the expression takes.
    used: tuple[int, ...]
    hidden: tuple[Hidden, ...]
    shapes: tuple[Any, ...] | None
    # Numbers of dimensions.
    ranks: tuple[Any, ...] | None
    dtypes: tuple[Any, ...] | None
    # Whether methods meant torch's.
    of_torch: bool | None
    known: tuple[Known, ...]
    result: Any
    # Held so that the ids in keys stay theirs.
    owners: tuple[Any, ...]

    def holds(self, leaves: list[Any]) -> bool:
        """Whether what the trace depended on is so for these arguments, and of what it reads beside them."""
        try:
            return self._holds(leaves)
        except (NameError, AttributeError, LookupError):
            # A variable is gone. Tracing says so, if the function still asks for it.
            return False

    def _holds(self, leaves: list[Any]) -> bool:
        if not all(k.holds() for k in self.known) or not all(_is_leaf(h.read()) for h in self.hidden):
            return False
        if self.shapes is not None:
            if self.shapes != _shapes(leaves):
                return False
            if not all(is_array(v := h.read()) and tuple(v.shape) == h.shape for h in self.hidden):
                return False
        if self.ranks is not None and self.ranks != _ranks(leaves):
            return False
        if self.dtypes is not None:
            if self.dtypes != _dtypes(leaves):
                return False
            if not all(is_array(v := h.read()) and v.dtype == h.dtype for h in self.hidden):
                return False
        if self.of_torch is not None and self.of_torch != self._is_of_torch(leaves):
            return False
        return all(other() is h.read() for h in self.hidden for other in h.others)

    def turned(self) -> Iterator[Known]:
        """The variables that it has as arrays and that are no arrays any more."""
        for hidden in self.hidden:
            # One that is gone is none that the function asks for.
            with contextlib.suppress(NameError, AttributeError, LookupError):
                if not is_array(value := hidden.read()):
                    yield Known(hidden.read, value)

    def always_holds(self) -> bool:
        """Whether it does for whatever arguments of the same structure."""
        asked = (self.shapes, self.ranks, self.dtypes, self.of_torch)
        return asked == (None, None, None, None) and not self.known and not any(h.others for h in self.hidden)

    def _is_of_torch(self, leaves: list[Any]) -> bool:
        return any(map(is_tensor, leaves)) or any(is_tensor(h.read()) for h in self.hidden)


class _Slot(NamedTuple):
    """In a result's structure: a result of the expression, by number."""

    number: int


class _Argument(NamedTuple):
    """In a result's structure: a leaf of the arguments that is given back as it is, by number."""

    number: int


class _Method(functools.partial):  # type: ignore[type-arg]
    """A fused function as a method of an object."""

    def inspect(self, *args: Any, **kwargs: Any) -> Inspection:
        """What becomes of a call with these arguments on its way to machine code."""
        return self.func.inspect(*self.args, *args, **kwargs)  # type: ignore[attr-defined, no-any-return]


class FusedFunction(FastCall):
    """What :func:`fuse` makes of a function."""

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[..., Any], static_argnames: Iterable[str], contract: bool = False) -> None:
        # Attributes of a function, not those of an object that can be called.
        updated = ("__dict__",) if isinstance(function, FunctionType) else ()
        functools.update_wrapper(self, function, updated=updated)
        self.__wrapped__ = function
        self._statics = frozenset(static_argnames)
        self._contract = contract
        self._traces: OrderedDict[Any, list[_Trace]] = OrderedDict()
        # For whoever changes it; functions of the user's run without it.
        self._lock = threading.RLock()
        self._hits = 0
        self._misses = 0
        self._signature: Any = None
        if self._statics:
            unknown = self._statics - set(self._parameters())
            if unknown:
                raise ValueError(f"static_argnames: {self._label()}() has no argument {', '.join(sorted(unknown))}")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return _Method(self, instance)

    def __repr__(self) -> str:
        return f"<rusttorch.fuse of {getattr(self, '__qualname__', self.__wrapped__)}>"

    def __reduce__(self) -> Any:
        # A decorated function is found by its name, like any function.
        found: Any = sys.modules.get(self.__module__)
        for part in self.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is self:
            return self.__qualname__
        return FusedFunction, (self.__wrapped__, tuple(self._statics), self._contract)

    def inspect(self, *args: Any, **kwargs: Any) -> Inspection:
        """What becomes of a call with these arguments on its way to machine code."""
        trace, leaves = self._find(args, kwargs)
        if trace.expr is None:
            return Inspection([("expr", "")])
        return Inspection(trace.expr._inspect(*self._operands(trace, leaves)))

    def cache_info(self) -> CacheInfo:
        """How many calls found a trace."""
        return CacheInfo(self._hits, self._misses, sum(map(len, self._traces.values())))

    def cache_clear(self) -> None:
        """Forgets all traces."""
        self._uninstall()
        with self._lock:
            # They go when the lock is free: what they hold may have code of its own for that.
            traces, self._traces = self._traces, OrderedDict()
        traces.clear()
        self._hits = self._misses = 0

    def _parameters(self) -> Any:
        if self._signature is None:
            try:
                self._signature = signature(self.__wrapped__)
            except ValueError:
                # A function of C's: what it is given is what it is called with.
                self._signature = _ANY
        return self._signature.parameters

    def _takes_out(self) -> bool:
        """Whether ``out=`` says where the result goes: the function has no argument of that name."""
        code = getattr(self.__wrapped__, "__code__", None)
        if code is None:
            parameters = self._parameters()
            return "out" not in parameters and all(p.kind != p.VAR_KEYWORD for p in parameters.values())
        named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return "out" not in named and not code.co_flags & _VARKEYWORDS

    def _inlined(self, *args: Any, **kwargs: Any) -> Any:
        """A call inside of a function that is being traced: part of that function."""
        return self.__wrapped__(*args, **kwargs)

    def _slow(self, *args: Any, **kwargs: Any) -> Any:
        if _has_traced((*args, *kwargs.values())):
            return self._inlined(*args, **kwargs)
        out = kwargs.pop("out", None) if "out" in kwargs and self._takes_out() else None
        trace, leaves = self._find(args, kwargs)
        if out is not None:
            several = type(trace.result) is tuple and trace.result == tuple(map(_Slot, range(len(trace.result))))
            if trace.expr is None or not (several or isinstance(trace.result, _Slot)):
                raise TypeError(
                    f"{self._label()}() with out= must return an array that it computes, or a tuple of them"
                )
            trace.expr(*self._operands(trace, leaves), out=out)
            return out
        if trace.expr is None:
            results: Any = ()
        else:
            results = trace.expr(*self._operands(trace, leaves))
            if not isinstance(results, tuple):
                results = (results,)
        return _rebuild(trace.result, results, leaves)

    def _operands(self, trace: _Trace, leaves: list[Any]) -> list[Any]:
        return [leaves[i] for i in trace.used] + [h.read() for h in trace.hidden]

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Trace, list[Any]]:
        plain = not kwargs and not self._statics
        statics: tuple[Any, ...] = ()
        call_args, call_kwargs = args, kwargs
        if not plain:
            self._parameters()
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            call_args, call_kwargs = bound.args, bound.kwargs
            if self._statics:
                statics = tuple((n, _frozen(bound.arguments[n])) for n in sorted(self._statics))
        leaves: list[Any] = []
        names = [] if plain else list(self._signature.parameters)
        key_args = tuple(
            _STATIC if i < len(names) and names[i] in self._statics else _flatten(a, leaves)
            for i, a in enumerate(call_args)
        )
        key_kwargs = tuple(
            (k, _STATIC if k in self._statics else _flatten(v, leaves)) for k, v in sorted(call_kwargs.items())
        )
        key = (key_args, key_kwargs, statics)
        for trace in tuple(self._traces.get(key, ())):
            if trace.holds(leaves):
                self._hits += 1
                return trace, leaves
        self._misses += 1
        trace = self._trace(key_args, call_args, key_kwargs, call_kwargs, leaves)
        # What was an array once, and is a constant of this trace, may be an array again.
        turned = [k for t in tuple(self._traces.get(key, ())) for k in t.turned()]
        trace = trace._replace(known=(*trace.known, *turned))
        with self._lock:
            kept = self._traces.setdefault(key, [])
            kept.insert(0, trace)
            self._traces.move_to_end(key)
            gone: list[Any] = kept[_TRACES:]
            del kept[_TRACES:]
            while len(self._traces) > _TRACES:
                gone.append(self._traces.popitem(last=False))
        # Outside of the lock: what they hold may have code of its own for when it goes.
        gone.clear()
        direct = isinstance(trace.result, _Slot) and trace.used == tuple(range(len(args)))
        if plain and direct and trace.always_holds():
            assert trace.expr is not None
            if all(a is leaf for a, leaf in zip(args, leaves, strict=False)) and len(leaves) == len(args):
                self._install(args, trace.expr, [h.read for h in trace.hidden], self._takes_out())
        return trace, leaves

    def _trace(
        self,
        key_args: tuple[Any, ...],
        args: tuple[Any, ...],
        key_kwargs: tuple[Any, ...],
        kwargs: dict[str, Any],
        leaves: list[Any],
    ) -> _Trace:
        owners = [a for a in (*args, *kwargs.values()) if not _is_leaf(a)]

        def run() -> tuple[Tracer, Any, Outside]:
            """The function on stand-ins."""
            tracer, outside = Tracer(self.__wrapped__, leaves, owners), Outside()
            proxies = iter(tracer.parameters)
            traced_args = [a if s is _STATIC else _replace(a, proxies) for a, s in zip(args, key_args, strict=True)]
            order = dict(key_kwargs)
            traced_kwargs = {}
            for name in sorted(kwargs):
                traced_kwargs[name] = kwargs[name] if order[name] is _STATIC else _replace(kwargs[name], proxies)
            with outside.watch():
                return tracer, self.__wrapped__(*traced_args, **traced_kwargs), outside

        drawn = _random_states()
        tracer, result, outside = run()
        expr, structure = self._results(tracer, result, key_args)
        if drawn != _random_states():
            # By this function, or by another thread: then its constants are the same once more.
            again, result, _ = run()
            if str(expr) != str(self._results(again, result, key_args)[0]) or not tracer.has_constants_of(again):
                raise TraceError(
                    f"{self._label()}() draws random numbers, which would be the same at each call: draw them before, "
                    "and give them as an argument"
                )
        objects = [o for o in owners if not _is_structure(o)]
        return _Trace(
            expr,
            tuple(range(len(leaves))),
            tuple(tracer.hidden),
            _shapes(leaves) if tracer.read_shapes else None,
            _ranks(leaves) if tracer.read_ranks else None,
            _dtypes(leaves) if tracer.read_dtypes else None,
            tracer.of_torch if tracer.read_library else None,
            # As the function left them: what it counts while it is traced is no reason to trace it again.
            (*known(self.__wrapped__, objects, lambda v: is_array(v) and not tracer.hides(v)), *outside.guards(tracer)),
            structure,
            tuple(owners),
        )

    def _results(self, tracer: Tracer, result: Any, key_args: tuple[Any, ...]) -> tuple[Expr | None, Any]:
        """The expression of what the function gave, and how results are made of its values."""
        outputs: list[Traced] = []
        structure = _template(result, outputs, tracer)
        return tracer.finish(self._label(), outputs, contract=self._contract) if outputs else None, structure

    def _label(self) -> str:
        return getattr(self, "__name__", "fused")


def _random_states() -> tuple[Any, ...]:
    """The states of the generators that functions draw from without naming one, of the libraries that are there."""
    states: list[Any] = [get_rng_state(), random.getstate()]
    if (numpy := sys.modules.get("numpy.random")) is not None:
        whole = numpy.get_state(legacy=False)
        state = whole["state"]
        states.append((state["pos"], state["key"].tobytes()) if "key" in state else str(state))
        states.append((whole.get("has_gauss"), whole.get("gauss")))
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_rng_state"):
        # A mode or a transform that looks on may refuse: then nobody knows.
        with contextlib.suppress(Exception):
            states.append(torch.get_rng_state().numpy().tobytes())
    return tuple(states)


_STATIC = "static"
_ANY = signature(lambda *args, **kwargs: None)
# Of `code.co_flags`: the function takes any keywords.
_VARKEYWORDS = 8


def _frozen(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        raise TypeError(f"a static argument must be hashable, not {type(value).__name__}") from None
    return _exact(value)


def _exact(value: Any) -> Any:
    """What is equal only where the values are the same: 0.0 and -0.0, 1 and True are not."""
    if isinstance(value, tuple):
        return type(value), *map(_exact, value)
    return type(value), value.hex() if isinstance(value, float) else value


def _shapes(leaves: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(x.shape) if is_array(x) else None for x in leaves)


def _ranks(leaves: list[Any]) -> tuple[Any, ...]:
    return tuple(len(x.shape) if is_array(x) else None for x in leaves)


def _dtypes(leaves: list[Any]) -> tuple[Any, ...]:
    return tuple(x.dtype if is_array(x) else None for x in leaves)


def _is_leaf(value: Any) -> bool:
    return is_array(value) or type(value) in (float, int, bool)


def _flatten(value: Any, leaves: list[Any]) -> Any:
    """The structure of an argument, hashable; appends its arrays and numbers to ``leaves``."""
    if is_array(value):
        leaves.append(value)
        return "array"
    kind = type(value)
    if kind in (float, int, bool):
        leaves.append(value)
        return kind
    if kind is tuple or isinstance(value, list):
        return (kind, *(_flatten(v, leaves) for v in value))
    if isinstance(value, dict):
        return (kind, *((k, _flatten(v, leaves)) for k, v in value.items()))
    if kind is SimpleNamespace:
        return (kind, *((k, _flatten(v, leaves)) for k, v in vars(value).items()))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return (kind, *(_flatten(v, leaves) for v in value))
    if _is_dataclass(value):
        return (kind, *(_flatten(getattr(value, f), leaves) for f in value.__dataclass_fields__))
    # Anything else is what it is: self of a method, a string, None, a dtype.
    try:
        hash(value)
    except TypeError:
        return kind, id(value)
    return kind, value


def _replace(value: Any, proxies: Any) -> Any:
    """The argument with stand-ins for its leaves, in the order of :func:`_flatten`."""
    if _is_leaf(value):
        return next(proxies)
    return _like(value, lambda v: _replace(v, proxies))


def _template(value: Any, outputs: list[Traced], tracer: Tracer) -> Any:
    """The structure of a result, with slots for what the kernel computes."""
    if isinstance(value, Traced):
        tracer.check(value)
        if (index := tracer.parameter_index(value)) is not None:
            return _Argument(index)
        outputs.append(value)
        return _Slot(len(outputs) - 1)
    return _like(value, lambda v: _template(v, outputs, tracer))


def _rebuild(structure: Any, results: tuple[Any, ...], leaves: list[Any]) -> Any:
    kind = type(structure)
    if kind is _Slot:
        return results[structure.number]
    if kind is _Argument:
        return leaves[structure.number]
    return _like(structure, lambda v: _rebuild(v, results, leaves))


def _like(value: Any, made: Callable[[Any], Any]) -> Any:
    """A container of the same class with what is made of its parts, in their order; anything else as it is."""
    kind = type(value)
    if kind in (tuple, list):
        return kind(made(v) for v in value)
    if kind is dict:
        return {k: made(v) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*(made(v) for v in value))
    if _is_dataclass(value):
        new = object.__new__(kind)
        for f in value.__dataclass_fields__:
            object.__setattr__(new, f, made(getattr(value, f)))
        return new
    if not isinstance(value, (list, dict, SimpleNamespace)):
        return value
    other: Any = copy.copy(value)
    if isinstance(value, list):
        other[:] = [made(v) for v in value]
    else:
        items = other if isinstance(value, dict) else vars(other)
        for k, v in list(items.items()):
            items[k] = made(v)
    return other


def _has_traced(values: Iterable[Any]) -> bool:
    return any(
        isinstance(v, Traced)
        or (isinstance(v, (tuple, list)) and _has_traced(v))
        or (isinstance(v, dict) and _has_traced(v.values()))
        or (isinstance(v, SimpleNamespace) and _has_traced(vars(v).values()))
        for v in values
    )


def _is_structure(value: Any) -> bool:
    """Whether the parts of an argument are arguments."""
    return isinstance(value, (tuple, list, dict, SimpleNamespace)) or _is_dataclass(value)


def _is_dataclass(value: Any) -> bool:
    return hasattr(type(value), "__dataclass_fields__")


@overload
def fuse(function: _F, /) -> _F: ...
@overload
def fuse(*, static_argnames: str | Iterable[str] = (), contract: bool = False) -> Callable[[_F], _F]: ...
def fuse(function: Any = None, /, *, static_argnames: str | Iterable[str] = (), contract: bool = False) -> Any:
    """Makes one kernel of a function over arrays.

    The function is run once on stand-ins, for each structure of arguments; ``torch.*``, ``F.*``, ``np.*`` and
    operators inside it become the kernel. A Python number that is an argument is given at run time; an
    argument that decides the course of the function (``if``, ``range``) is named in ``static_argnames``.
    Arrays that the function closes over, attributes of ``self`` and arrays in lists, dictionaries and objects among
    these are read at each call; another number (string, None) as an attribute, of an object that is an attribute or in
    a small container there, is traced anew, so one that changes often is better an argument. Numbers that the function
    closes over, globals, and those of the object of a bound method
    stay what they were. What the function computes of such arrays alone (``x * self.a.exp()``) is traced anew when
    they have been replaced or written: torch counts that, NumPy's up to 64 KiB are compared, larger ones are not.
    A stand-in is of a class of its own: ``isinstance(x, torch.Tensor)`` is False, and so is ``x is y`` where both
    arguments are one array. In-place operations (``y += 1``, ``y.mul_(2)``) are seen under all names of what the
    function has made; writing to arguments and to views is refused.
    Results go to ``out=`` where a call gives it (an array, or a tuple of them) and the function has no argument of
    that name. The last 64 traces are kept, and with them the objects that they are about: those of a method whose
    objects come and go stay so long (``cache_clear()`` lets them go).

    ``contract=True`` rounds a product that is added to or subtracted from something once, with the sum, as
    JAX and C compilers do unasked and PyTorch does not: faster, mostly nearer to the exact value, and the same
    on every machine, but ``a*b - a*b`` need not be 0 any more. It is about the products and sums that the
    function itself writes, not about those inside of functions such as ``exp``.

    Raises:
        TraceError: the function asked for the value of an array, or called a function that has no op.

    Example:
        >>> import numpy as np, rusttorch as rt
        >>> @rt.fuse
        ... def scaled(x, k):
        ...     return np.exp(x) * k
        >>> scaled(np.zeros(2), 3.0)
        array([3., 3.])
    """
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    if function is None:
        return lambda f: FusedFunction(f, names, contract)
    if isinstance(function, FusedFunction):
        if function._contract == contract:
            return function
        names = names or tuple(function._statics)
        function = function.__wrapped__
    if not callable(function):
        raise TypeError(f"fuse() takes a function, not {type(function).__name__}")
    return FusedFunction(function, names, contract)
