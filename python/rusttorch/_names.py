"""Which functions of torch and NumPy mean which op: read off the op table's name columns.

An op is known by the function its row names, by the torch function, tensor method and
``torch.nn.functional`` function of the op's own name, and by torch's own synonyms, which are listed here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from rusttorch import _rusttorch

# torch's second names, and functions that say their arguments in another way, by op.
_SYNONYMS = {
    "abs": ("absolute",),
    "acos": ("arccos",),
    "acosh": ("arccosh",),
    "asin": ("arcsin",),
    "asinh": ("arcsinh",),
    "atan": ("arctan",),
    "atan2": ("arctan2",),
    "atanh": ("arctanh",),
    "div": ("divide",),
    "eq": ("__eq__",),
    "ge": ("greater_equal", "__ge__"),
    "gt": ("greater", "__gt__"),
    "le": ("less_equal", "__le__"),
    "lt": ("less", "__lt__"),
    "mul": ("multiply",),
    "ne": ("not_equal", "__ne__"),
    "neg": ("negative",),
    "sign": ("sgn",),
    "sub": ("subtract",),
    "to": ("astype",),
    "trunc": ("fix",),
}

# Arguments that torch's functions take and that mean nothing here, with the values that say so.
TORCH_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "_stacklevel": (3, 2, None),
    "dtype": (None,),
    "inplace": (False,),
    "layout": (None,),
    "memory_format": (None,),
    "out": (None,),
    "reduce": (None,),
    "size_average": (None,),
    "weight": (None,),
}
NUMPY_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "casting": ("same_kind",),
    "dtype": (None,),
    "initial": (None,),
    "order": ("K", "C", None),
    "out": (None, (None,)),
    "subok": (True,),
    "where": (True, None),
}
# NumPy's names of arguments, and its own defaults where they differ from torch's.
NUMPY_KEYWORDS = {
    "axes": "dims",
    "axis": "dim",
    "ddof": "correction",
    "keepdims": "keepdim",
    "a_min": "min",
    "a_max": "max",
}
NUMPY_DEFAULTS: dict[str, dict[str, Any]] = {"std": {"correction": 0}, "var": {"correction": 0}}
# What NumPy gives as float64 for integers, where torch refuses them.
NUMPY_FLOAT = frozenset({"mean", "std", "var"})
# Further functions of NumPy's that are a row's.
_NUMPY_SYNONYMS = {"around": "round", "rint": "round"}


class Op(NamedTuple):
    """A row of the op table."""

    name: str
    params: tuple[str, ...]
    statics: frozenset[str]
    torch: str
    numpy: str


@cache
def ops() -> dict[str, Op]:
    """All public rows."""
    rows = {}
    for name, params, statics, _doc, torch, numpy in _rusttorch._op_table():
        rows[name] = Op(name, tuple(p.split("=")[0] for p in params), frozenset(statics), torch, numpy)
    return rows


@cache
def synonyms() -> dict[str, str]:
    """The op of each second name that torch has as a function."""
    methods = {"astype"}
    return {s: op for op, names in _SYNONYMS.items() for s in names if not s.startswith("_") and s not in methods}


@cache
def op_function(name: str) -> Any:
    """The function of a row. One object for all calls: what is known of a call is kept by its function."""
    return _rusttorch._op_function(name)


@cache
def method(name: str, in_place: bool = False) -> Any:
    """The function that tensors have as a method of this name, or, ``in_place``, of this name and a ``_``; or None."""
    for op, synonyms in _SYNONYMS.items():
        if name in synonyms:
            name = op
    from rusttorch import _methods, _public, _scans, _views

    if name in _methods.METHODS or (in_place and name in _methods.IN_PLACE):
        return (_methods.IN_PLACE if in_place else _methods.METHODS).get(name)
    if name in ops():
        # The shape of a tensor stays what it is.
        return None if in_place and name in _views.NUMPY else op_function(name)
    _public.load()
    if in_place and name not in _public.IN_PLACE | _scans.IN_PLACE:
        return None
    return _public.METHODS.get(name) or _scans.FUNCTIONS.get(name)


def resolve(path: str) -> Any:
    module, *rest = path.split(".")
    value: Any = sys.modules[module]
    for part in rest:
        value = getattr(value, part, None)
    return value


@cache
def torch_functions() -> dict[Callable[..., Any], Op]:
    """torch's functions and tensor methods. torch is imported."""
    torch = sys.modules["torch"]
    homes = (torch, torch.nn.functional, torch.Tensor, torch.special)
    found: dict[Callable[..., Any], Op] = {}
    for op in ops().values():
        candidates = [resolve(op.torch)] if op.torch else []
        for name in (op.name, *_SYNONYMS.get(op.name, ())):
            candidates += [getattr(home, name, None) for home in homes]
        for candidate in candidates:
            if callable(candidate):
                found.setdefault(candidate, op)
    return found


@cache
def functional() -> dict[Callable[..., Any], Callable[..., Any]]:
    """``torch.nn.functional``'s own functions, and ours of the same signature. torch is imported."""
    from rusttorch.nn import functional as ours

    theirs = sys.modules["torch"].nn.functional
    return {getattr(theirs, name): getattr(ours, name) for name in ours.__all__}


@cache
def numpy_functions() -> dict[Callable[..., Any], Op]:
    """NumPy's functions and ufuncs. NumPy is imported."""
    found: dict[Callable[..., Any], Op] = {}
    for op in ops().values():
        function = resolve(op.numpy) if op.numpy else None
        # numpy.true_divide and numpy.divide are one; the op without options is the one meant.
        if callable(function) and found.get(function, op).name != "true_divide":
            found[function] = op
    for name, row in _NUMPY_SYNONYMS.items():
        found[getattr(sys.modules["numpy"], name)] = ops()[row]
    return found
