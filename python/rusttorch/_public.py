"""What functions over whole tensors that are no kernels have in common.

They are written for tensors of ours. Of torch's tensors they are torch's own functions. Where one operand is a
tensor of ours so is the result; of NumPy's arrays it is NumPy's.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from rusttorch import _out, _rusttorch
from rusttorch._rusttorch import Tensor

_F = TypeVar("_F", bound=Callable[..., Any])

#: The modules that have such functions.
MODULES = ("_arrange", "_einsum", "_grids", "_indexing", "_products", "_shapes", "_stacks", "_statistics")

#: The functions by name, and the names of those that are methods too, and methods in place (``name_``).
FUNCTIONS: dict[str, Callable[..., Any]] = {}
METHODS: dict[str, Callable[..., Any]] = {}
IN_PLACE: set[str] = set()


@cache
def load() -> None:
    """Fills the tables."""
    for name in MODULES:
        import_module(f"rusttorch.{name}")


def public(
    *, method: bool = True, function: bool = True, in_place: bool = False, numbers: bool = False
) -> Callable[[_F], _F]:
    """A function of the package, a method, or both. ``numbers``: the first operand may be a number when another one is
    an array.
    """

    def decorate(inner: _F) -> _F:
        call = call_of(inner, numbers)
        name = inner.__name__
        if function:
            FUNCTIONS[name] = call
        if method:
            METHODS[name] = call
        if in_place:
            IN_PLACE.add(name)
        return call  # type: ignore[return-value]

    return decorate


def alias(name: str, of: _F) -> _F:
    """The same function under another name, as which torch has it too."""

    @functools.wraps(of)
    def call(*args: Any, **kwargs: Any) -> Any:
        return of(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    for table in (FUNCTIONS, METHODS):
        if of.__name__ in table:
            table[name] = call
    return call  # type: ignore[return-value]


def call_of(inner: Callable[..., Any], numbers: bool = False, functional: bool = False) -> Callable[..., Any]:
    """The function of arrays of every library that ``inner`` is of tensors of ours; ``functional``: one of
    ``torch.nn.functional``.
    """
    name, params = inner.__name__, list(inspect.signature(inner).parameters)

    @functools.wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        torch = sys.modules.get("torch")
        own = type(args[0]) if args and not kwargs else object
        # The rest are numbers, or tensors of the same library: nothing to convert or to refuse.
        if own in (Tensor, torch and torch.Tensor) and all(type(x) in _NUMBERS or type(x) is own for x in args):
            return inner(*args) if own is Tensor else _theirs(torch, name, functional)(*args)
        out = kwargs.pop("out", None) if "out" in kwargs and name in _out.FUNCTIONS else None
        operands = list(_flat((*args, *kwargs.values())))
        refuse_traced(name, operands)
        if torch is not None and any(isinstance(x, torch.Tensor) for x in operands):
            theirs = {k: _each(functools.partial(_torchs, torch), v) for k, v in kwargs.items()}
            if out is not None:
                theirs["out"] = out
            return _theirs(torch, name, functional)(
                *(_each(functools.partial(_torchs, torch), a) for a in args), **theirs
            )
        ours = any(isinstance(x, Tensor) for x in operands)
        if args and not (numbers and (ours or any(hasattr(x, "__array__") for x in operands))):
            _check_first(name, params[0], args)
        for i, (param, value) in enumerate((*zip(params, args, strict=False), *kwargs.items()), 1):
            if param in _TENSORS and isinstance(value, (list, tuple)):
                kind = type(value).__name__
                raise TypeError(f"{name}(): argument '{param}' (position {i}) must be Tensor, not {kind}")
        result = inner(*(_each(_own, a) for a in args), **{k: _each(_own, v) for k, v in kwargs.items()})
        if out is not None:
            return _out.written(name, result, out, ours)
        return result if ours else _numpys(result)

    if name in _out.FUNCTIONS:
        signature = inspect.signature(inner)
        extra = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="Any")
        call.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=sorted([*signature.parameters.values(), extra], key=lambda p: p.kind)
        )
    return call


def refuse_traced(name: str, operands: Iterable[Any]) -> None:
    """Refuses arrays that a kernel is being made of."""
    if any(map(is_traced, operands)):
        raise sys.modules["rusttorch._trace"].no_kernel(name)


def is_traced(value: Any) -> bool:
    """True for a stand-in for an array that a kernel is being made of."""
    trace = sys.modules.get("rusttorch._trace")
    return trace is not None and isinstance(value, trace.Traced)


_NUMBERS = frozenset((int, bool, float, type(None)))


def _theirs(torch: Any, name: str, functional: bool) -> Any:
    if functional:
        return getattr(torch.nn.functional, name)
    return getattr(torch if hasattr(torch, name) else torch.Tensor, name)


#: Arguments that are tensors wherever they are there.
_TENSORS = frozenset(
    ("batch1", "batch2", "boundaries", "index", "mask", "mat", "mat1", "mat2", "other", "sorted_sequence", "sorter")
    + ("vec", "vec1", "vec2", "weights", "x1", "x2")
)


def _check_first(name: str, first: str, args: tuple[Any, ...]) -> None:
    def is_array(x: Any) -> bool:
        return isinstance(x, Tensor) or hasattr(x, "__array__")

    if first == "tensors":
        many = args[0] if isinstance(args[0], (list, tuple)) else args
        for i, x in enumerate(many):
            if not is_array(x):
                raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}")
    elif not is_array(args[0]):
        kind = type(args[0]).__name__
        raise TypeError(f"{name}(): argument '{first}' (position 1) must be Tensor, not {kind}")


def _flat(values: tuple[Any, ...]) -> Iterator[Any]:
    for x in values:
        if isinstance(x, (list, tuple)):
            yield from x
        else:
            yield x


def _each(f: Callable[[Any], Any], x: Any) -> Any:
    return type(x)(map(f, x)) if type(x) in (list, tuple) else f(x)


def _torchs(torch: Any, x: Any) -> Any:
    if isinstance(x, Tensor):
        return torch.from_dlpack(x)
    return torch.as_tensor(x) if hasattr(x, "__array__") and not isinstance(x, torch.Tensor) else x


def _own(x: Any) -> Any:
    return x if isinstance(x, Tensor) or not hasattr(x, "__array__") else _rusttorch.as_tensor(x)


def _numpys(result: Any) -> Any:
    if isinstance(result, Tensor):
        array = result.numpy()
        return array if array.ndim else array[()]
    if isinstance(result, tuple):
        parts = [_numpys(r) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    return result


def named(name: str, result: Callable[..., Any], *parts: Any) -> Any:
    """Several results as torch names them: of torch's tensors ``torch.return_types``', of others ``result``."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(parts[0], torch.Tensor):
        return getattr(torch.return_types, name)(parts)
    return result(*parts)


def dtype_name(of: Any) -> str:
    """``float32`` of our dtype."""
    return str(of).removeprefix("rusttorch.")


def wrap(dim: int, rank: int) -> int:
    """The dimension counted from the front."""
    most = max(rank, 1)
    if not -most <= dim < most:
        text = f"Dimension out of range (expected to be in range of [{-most}, {most - 1}], but got {dim})"
        raise IndexError(text)
    return dim % most


def along(dim: int, index: Any) -> tuple[Any, ...]:
    """The index that means ``index`` of dimension ``dim``."""
    return (slice(None),) * dim + (index,)


def title(x: Any) -> str:
    """As torch's errors name the dtype of a tensor."""
    return TITLES[dtype_name(x.dtype)]


#: dtypes as torch names them in errors.
TITLES = {
    "bool": "Bool",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "float32": "Float",
    "float64": "Double",
}


def c_name(x: Any) -> str:
    """As errors of C++ name the dtype of a tensor."""
    name = dtype_name(x.dtype)
    return _C_NAMES.get(name, name)


_C_NAMES = {
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long int",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
}


def promoted(parts: list[Any]) -> list[Any]:
    """The tensors, all of the dtype that torch promotes them to."""
    from rusttorch._join import _result_dtype

    dtype = _result_dtype(parts)
    return [p.to(dtype) for p in parts]
