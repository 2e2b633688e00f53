"""Stand-ins for arrays: every operation on one is a call in the program that is being made."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NoReturn

from rusttorch import _names, _rusttorch
from rusttorch._log import where as _where
from rusttorch._rusttorch import Builder, Expr, Tensor, TraceError
from rusttorch._trace_views import Views
from rusttorch._trace_writes import VIEWS, Writes
from rusttorch._variables import Hidden, Sources


def is_array(value: Any) -> bool:
    """True for tensors, NumPy arrays and NumPy scalars; imports neither torch nor NumPy."""
    if isinstance(value, Tensor):
        return True
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return True
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_tensor(value: Any) -> bool:
    """True for tensors, torch's and ours."""
    torch = sys.modules.get("torch")
    return isinstance(value, Tensor) or (torch is not None and isinstance(value, torch.Tensor))


class Tracer:
    """One trace: the program so far, and what it was found to depend on."""

    def __init__(self, function: Callable[..., Any], leaves: list[Any], owners: list[Any]) -> None:
        self.function = function
        # Arguments that are neither arrays nor numbers; self of a method.
        self.owners = owners
        self.builder = Builder()
        self.leaves = leaves
        self.parameters = [Traced(self, self.builder.param(f"x{i}"), is_array(v)) for i, v in enumerate(leaves)]
        self.hidden: list[Hidden] = []
        self._sources: Sources | None = None
        # Hidden arrays by id, held so that the ids stay theirs.
        self._hidden_values: dict[int, tuple[Any, Traced]] = {}
        self.read_shapes = False
        self.read_ranks = False
        self.read_dtypes = False
        self.read_library = False

    @property
    def sources(self) -> Sources:
        """Where arrays lie that are no arguments."""
        if self._sources is None:
            self._sources = Sources(self.function, self.owners, is_array)
        return self._sources

    @property
    def of_torch(self) -> bool:
        """Whether methods mean torch's; the trace holds for calls with arrays of the same library only."""
        self.read_library = True
        return any(map(is_tensor, self.leaves)) or any(is_tensor(v) for v, _ in self._hidden_values.values())

    def parameter_index(self, value: Traced) -> int | None:
        """The leaf that ``value`` stands for, if it is one."""
        for i, p in enumerate(self.parameters):
            if p._id == value._id:
                return i
        return None

    def check(self, value: Traced) -> None:
        """Refuses a stand-in that has outlived its trace."""
        if value._tracer is not self:
            raise TraceError("a stand-in array of another trace was used: a traced function must not keep its arrays")
        value._check_views()

    def operand(self, value: Any) -> int:
        """The program's value for an operand."""
        if isinstance(value, Traced):
            self.check(value)
            return value._id
        if is_array(value):
            return self._hide(value)._id
        return self.builder.literal(value)

    def _hide(self, array: Any) -> Traced:
        known = self._hidden_values.get(id(array))
        if known is None:
            traced = Traced(self, self.builder.param(f"h{len(self.hidden)}"), True)
            self._hidden_values[id(array)] = (array, traced)
            self.hidden.append(Hidden(array, self.sources.of(array)))
            return traced
        return known[1]

    def is_hidden(self, value: Traced) -> bool:
        """Whether it stands for an array that is no argument."""
        return any(traced._id == value._id for _, traced in self._hidden_values.values())

    def hides(self, array: Any) -> bool:
        """Whether an array is an operand that is read at each call."""
        return id(array) in self._hidden_values

    def has_constants_of(self, other: Tracer) -> bool:
        """Whether the arrays that are constants of both traces are the same."""
        own, others = ([v for v, _ in t._hidden_values.values()] for t in (self, other))
        equal = (a is b or repr(a.tolist()) == repr(b.tolist()) for a, b in zip(own, others, strict=False))
        return len(own) == len(others) and all(equal)

    def call(
        self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], said: str, of_torch: bool | None = None
    ) -> Any:
        """A call of an op. ``said`` is what the user wrote; ``of_torch`` tells torch's function from NumPy's, a method
        is what it is of the arrays.
        """
        of_numpy = op in _names.NUMPY_FLOAT and not (self.of_torch if of_torch is None else of_torch)
        if of_numpy and isinstance(args[0], Traced):
            self.read_dtypes = True
            if self.meta(args[0])[0] not in _FLOATS:
                args = (self.call("to", (args[0], "float64"), {}, said), *args[1:])
        if op in ("max", "min") and (len(args) > 1 or kwargs):
            # torch gives indices too; NumPy's are the values alone.
            if self.of_torch if of_torch is None else of_torch:
                from rusttorch import _extremes

                return getattr(_extremes, op)(*args, **kwargs)
            op = f"a{op}"
        try:
            positional = [self.operand(a) for a in args]
            keywords = [(k, self.operand(v)) for k, v in kwargs.items()]
            array = any(_has_memory(v) for v in (*args, *kwargs.values()))
            base = args[0] if op in VIEWS and isinstance(args[0], Traced) else None
            return Traced(self, self.builder.call(op, positional, keywords), array, base, op)
        except TraceError:
            raise
        except TypeError as e:
            raise NotImplementedError(f"{said} at {_where()}: {e}") from None

    def finish(
        self,
        name: str,
        outputs: list[Traced],
        gradients: list[int] | None = None,
        contract: bool = False,
        value: bool = True,
    ) -> Expr:
        """The expression of these results, then the gradients of the first, which without ``value`` is no result."""
        return self.builder.finish(name, [o._id for o in outputs], gradients or [], contract, value)

    def meta(self, value: Traced) -> tuple[str, tuple[int, ...]]:
        """dtype name and shape of a value, for the arguments of this trace."""
        index = self.parameter_index(value)
        if index is not None and is_array(self.leaves[index]):
            leaf = self.leaves[index]
            return str(leaf.dtype).rpartition(".")[2], tuple(leaf.shape)
        expr = self.builder.finish("shape", [value._id])
        operands = [*self.leaves, *(v for v, _ in self._hidden_values.values())]
        torch = sys.modules.get("torch")
        # The mode that looks on while a function is traced is not to look at this.
        unseen = torch._C.DisableTorchFunction() if torch is not None and hasattr(torch, "_C") else nullcontext()
        with unseen:
            dtype, shape = expr._result_meta(*operands)[0]
        return dtype, tuple(shape)


def call_expr(expr: Expr, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
    """Records a call of an expression that has stand-ins among its arguments; None when it has none."""
    kwargs = {{"axis": "dim", "keepdims": "keepdim"}.get(k, k): v for k, v in (kwargs or {}).items()}
    found = [v for v in (*args, *kwargs.values()) if isinstance(v, Traced)]
    if not found:
        return None
    tracer = found[0]._tracer
    bound = expr.__signature__.bind(*args, **kwargs)
    bound.apply_defaults()
    results = tracer.builder.splice(expr, [tracer.operand(v) for v in bound.arguments.values()])
    array = any(map(_has_memory, bound.arguments.values()))
    traced = tuple(Traced(tracer, r, array) for r in results)
    return traced[0] if len(traced) == 1 else traced


# Operators by the op's name; the reflected form swaps.
_BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
_COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")
_UNARY = {"neg": "neg", "pos": "positive", "invert": "bitwise_not", "abs": "abs"}
_FLOATS = ("bfloat16", "float16", "float32", "float64")
# torch's methods that convert.
_CASTS = {
    "bfloat16": "bfloat16",
    "bool": "bool",
    "byte": "uint8",
    "char": "int8",
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "int": "int32",
    "long": "int64",
    "short": "int16",
}
_CONVERSIONS = {
    "bool": "its truth value (if, while, and, or, not, assert)",
    "int": "its value as an int",
    "float": "its value as a float",
    "complex": "its value as a complex",
    "index": "its value as an index",
    "iter": "its elements",
    "contains": "its elements",
    "array": "its memory (numpy.asarray)",
    "dlpack": "its memory (DLPack)",
    "item": "its value",
    "numpy": "its memory",
    "tolist": "its elements",
    "data_ptr": "its memory",
}


def _has_memory(value: Any) -> bool:
    return value._array if isinstance(value, Traced) else is_array(value)


class Traced(Views, Writes):
    """An array, or a number, that is only known when the kernel runs."""

    __slots__ = ()
    __hash__ = object.__hash__
    # NumPy's arrays leave operators to us.
    __array_priority__ = 1000.0

    def __init__(self, tracer: Tracer, value: int, array: bool, base: Traced | None = None, op: str = "") -> None:
        self._tracer = tracer
        self._id = value
        self._array = array
        self._base = base
        self._op = op
        self._seen = base._version if base is not None else 0
        self._version = 0

    def __repr__(self) -> str:
        return f"<traced array {self._id}>"

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        ours = _names.functional().get(func)
        if ours is not None:
            return ours(*args, **kwargs)
        op = _names.torch_functions().get(func)
        name = getattr(func, "__name__", repr(func))
        if op is None:
            if name in ("chunk", "split", "unbind") and isinstance(args[0], Traced):
                return getattr(args[0], name)(*args[1:], **kwargs)
            if _is_no_kernel(name):
                raise no_kernel(name)
            raise TraceError(f"torch's {name}() has no counterpart in rusttorch and cannot be fused ({_where()})")
        for given, meant in (
            ("input", op.params[0]),
            ("other", op.params[1:2][0] if op.params[1:] else None),
        ):
            if given in kwargs and given not in op.params and meant is not None:
                args = (*args, kwargs.pop(given))
        kwargs = _drop_neutral(kwargs, op, _names.TORCH_NEUTRAL, f"torch's {name}()")
        return _first_tracer(args, kwargs).call(op.name, args, kwargs, f"torch's {name}()", of_torch=True)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        reductions = {"add": "sum", "multiply": "prod", "maximum": "amax", "minimum": "amin"}
        op = _names.numpy_functions().get(ufunc)
        name = f"numpy.{ufunc.__name__}"
        if method == "reduce" and ufunc.__name__ in reductions:
            op = _names.ops().get(reductions[ufunc.__name__])
            kwargs.setdefault("axis", 0)
            name += ".reduce"
        elif method != "__call__":
            raise TraceError(f"{name}.{method} cannot be fused ({_where()})")
        if op is None:
            raise TraceError(f"{name} has no counterpart in rusttorch and cannot be fused ({_where()})")
        kwargs = _drop_neutral(_numpy_keywords(kwargs, op), op, _names.NUMPY_NEUTRAL, name)
        return _first_tracer(inputs, kwargs).call(op.name, inputs, kwargs, name, of_torch=False)

    def __array_function__(self, func: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = f"numpy.{func.__name__}"
        op = _names.numpy_functions().get(func)
        if op is None:
            if _is_no_kernel(func.__name__):
                raise no_kernel(func.__name__)
            raise TraceError(f"{name} has no counterpart in rusttorch and cannot be fused ({_where()})")
        for given in ("a", "x", "array"):
            if given in kwargs and given not in op.params:
                args = (kwargs.pop(given), *args)
        defaults = _names.NUMPY_DEFAULTS.get(op.name, {})
        kwargs = {**defaults, **_numpy_keywords(kwargs, op)}
        kwargs = _drop_neutral(kwargs, op, _names.NUMPY_NEUTRAL, name)
        if op.name in ("flip", "permute") and kwargs.get("dims", args[1] if len(args) > 1 else None) is None:
            # Of all dimensions.
            array = args[0]
            args, kwargs = (array, list(range(array.ndim)[:: -1 if op.name == "permute" else 1])), {}
        return _first_tracer(args, kwargs).call(op.name, args, kwargs, name, of_torch=False)

    def __getattr__(self, name: str) -> Any:
        if self._tracer.of_torch and name in _CASTS:
            return lambda: self._tracer.call("to", (self, _CASTS[name]), {}, f".{name}()")
        if name in _CONVERSIONS:
            return lambda *a, **k: _refuse(name)
        op = _op(name)
        if op is None and name.endswith("_") and (written := _op(name[:-1])) is not None and written.name not in VIEWS:
            changed = written.name
            return lambda *args, **kwargs: self._write(changed, args, kwargs, f".{name}()")
        if op is None and _is_no_kernel(name):
            raise no_kernel(name)
        if op is None:
            raise AttributeError(
                f"a traced array has no attribute '{name}': rusttorch has no op of that name ({_where()})"
            )
        row = op

        def method(*args: Any, **kwargs: Any) -> Any:
            if (kwargs or row.name in _names.NUMPY_DEFAULTS) and not self._tracer.of_torch:
                kwargs = {**_names.NUMPY_DEFAULTS.get(row.name, {}), **_numpy_keywords(kwargs, row)}
            keywords = _drop_neutral(_numpy_keywords(kwargs, row), row, _names.NUMPY_NEUTRAL, f".{name}()")
            # torch's x.reshape(2, 3) is x.reshape([2, 3]).
            if len(args) > 1 and row.params[1:2] and row.params[1] in ("shape", "dims", "size"):
                args = (list(args),)
            return self._tracer.call(row.name, (self, *args), keywords, f".{name}()")

        return method

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape; the trace holds for calls with equal shapes only."""
        self._tracer.read_shapes = True
        return self._tracer.meta(self)[1]

    @property
    def ndim(self) -> int:
        """The number of dimensions; the trace holds for calls with equal shapes only."""
        return len(self.shape)

    def __len__(self) -> int:
        """The extent of the first dimension; the trace holds for calls with equal shapes only."""
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    @property
    def size(self) -> Any:
        """NumPy's number of elements (and torch's ``size()`` by a call)."""
        return _Size(self)

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> Any:
        """The dtype, of the library of the arguments; the trace holds for calls with equal dtypes only."""
        self._tracer.read_dtypes = True
        name = self._tracer.meta(self)[0]
        if self._tracer.of_torch:
            torch = sys.modules.get("torch")
            ours = torch is None or not any(isinstance(x, torch.Tensor) for x in self._tracer.leaves)
            return getattr(_rusttorch if ours else torch, name)
        import numpy

        return numpy.dtype(name)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a float; the trace holds for calls with equal dtypes only."""
        self._tracer.read_dtypes = True
        return self._tracer.meta(self)[0] in _FLOATS

    def transpose(self, *axes: Any, **dims: Any) -> Any:
        """torch's exchange of two dimensions, or NumPy's order of all of them, reversed when there is none."""
        if dims or self._tracer.of_torch:
            return self._tracer.call("transpose", (self, *axes), dims, ".transpose()")
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
            axes = tuple(axes[0] or ())
        return self._tracer.call("permute", (self, list(axes or range(self.ndim)[::-1])), {}, ".transpose()")

    @property
    def T(self) -> Any:
        """Dimensions reversed."""
        dims = list(range(self.ndim))[::-1]
        return self._tracer.call("permute", (self, dims), {}, ".T")

    @property
    def mT(self) -> Any:
        """The last two dimensions exchanged."""
        if self.ndim < 2:
            raise RuntimeError(
                f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor."
            )
        return self._tracer.call("transpose", (self, -2, -1), {}, ".mT")

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TraceError(f"writing to an array cannot be fused; use where() ({_where()})")

    def __matmul__(self, other: Any) -> NoReturn:
        raise TraceError(f"@ cannot be fused: multiply matrices outside of the function ({_where()})")

    __rmatmul__ = __matmul__


def _op(name: str) -> Any:
    """The op of this name, or synonym; or None."""
    for candidate, synonyms in _names._SYNONYMS.items():
        if name in synonyms:
            name = candidate
    return _names.ops().get(name)


class _Size(int):
    """The number of elements that, called, is the shape."""

    _of: Traced

    def __new__(cls, of: Traced) -> _Size:
        self = super().__new__(cls, of.numel())
        self._of = of
        return self

    def __call__(self, dim: int | None = None) -> Any:
        return self._of.shape if dim is None else self._of.shape[dim]


def _refuse(conversion: str) -> NoReturn:
    raise TraceError(
        f"{_where()}: the function asks for {_CONVERSIONS[conversion]}, which is only known when the kernel runs. "
        f"Use where() to choose between values; name an argument that decides what is computed in static_argnames=."
    )


def _is_no_kernel(name: str) -> bool:
    """True for a function of ours, or a method, that is no op of the table."""
    from rusttorch import _public, _scans

    _public.load()
    joins = ("cat", "stack", "concat", "concatenate")
    return name in _public.FUNCTIONS or name in _public.METHODS or name in _scans.FUNCTIONS or name in joins


def no_kernel(name: str) -> TraceError:
    """The error of a function over whole arrays that is called with a traced one."""
    return TraceError(
        f"{name}() is no kernel, so it cannot be part of a function that is fused or differentiated ({_where()}): "
        f"call it before or after. Gradients through {name}() are torch's: of a torch tensor that requires grad, "
        f"rusttorch.{name}() has torch's backward"
    )


def _first_tracer(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tracer:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Traced):
            return value._tracer
    raise TraceError(f"arrays inside a list cannot be fused ({_where()})")


def _numpy_keywords(kwargs: dict[str, Any], op: _names.Op) -> dict[str, Any]:
    def named(keyword: str) -> str:
        ours = _names.NUMPY_KEYWORDS.get(keyword, keyword)
        # torch.flip has dims.
        return "dims" if ours == "dim" and "dim" not in op.params and "dims" in op.params else ours

    return {k if k in op.params else named(k): _dtype(v) if k == "dtype" else v for k, v in kwargs.items()}


def _dtype(value: Any) -> Any:
    """The name of a dtype that NumPy knows by other texts, such as ``f8``; anything else as it is."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, str):
        return value
    try:
        return numpy.dtype(value).name
    except TypeError:
        return value


def _drop_neutral(
    kwargs: dict[str, Any], op: _names.Op, neutral: dict[str, tuple[Any, ...]], said: str
) -> dict[str, Any]:
    """Keywords without those that say what is so anyway."""
    kept = {}
    # The row has no dim: `Tracer.call` sees to these.
    params = (*op.params, "dim", "keepdim", "other") if op.name in ("max", "min") else op.params
    for name, value in kwargs.items():
        if name in params:
            kept[name] = value
        elif is_array(value) or isinstance(value, Traced) or value not in neutral.get(name, ()):
            raise NotImplementedError(f"{said} with {name}= cannot be fused ({_where()})")
    return kept


def _install_operators() -> None:
    def binary(op: str, symbol: str, swapped: bool) -> Callable[[Traced, Any], Any]:
        def operator(self: Traced, other: Any) -> Any:
            operands = (other, self) if swapped else (self, other)
            return self._tracer.call(op, operands, {}, symbol)

        return operator

    def unary(op: str) -> Callable[[Traced], Any]:
        return lambda self: self._tracer.call(op, (self,), {}, op)

    def conversion(name: str) -> Callable[..., NoReturn]:
        return lambda self, *args, **kwargs: _refuse(name)

    def in_place(op: str) -> Callable[[Traced, Any], Any]:
        return lambda self, other: self._write(op, (other,), {}, op)

    for name, op in _BINARY.items():
        setattr(Traced, f"__{name}__", binary(op, op, False))
        setattr(Traced, f"__r{name}__", binary(op, op, True))
        setattr(Traced, f"__i{name}__", in_place(op))
    for name in _COMPARE:
        setattr(Traced, f"__{name}__", binary(name, name, False))
    for name, op in _UNARY.items():
        setattr(Traced, f"__{name}__", unary(op))
    for name in ("bool", "int", "float", "complex", "index", "iter", "contains", "array", "dlpack"):
        setattr(Traced, f"__{name}__", conversion(name))


_install_operators()
