"""Variables that a traced function reads beside its arguments: where an array was found, what a number was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NamedTuple

from rusttorch._paths import places

#: What a kernel has as a constant, or what decides the course of a function, and is compared by value.
_PLAIN = frozenset((float, int, bool, str, type(None)))


class Hidden:
    """An array that the traced function did not get as an argument, and where to find it at each call."""

    def __init__(self, value: Any, getters: list[Callable[[], Any]]) -> None:
        # It is made by the function, or found in no way that is known.
        self.is_constant = not getters
        # Gives the array now.
        self.read: Callable[[], Any] = getters[0] if getters else lambda: value
        #: One array under several names, which the trace takes for one.
        self.others = getters[1:]
        self.shape = tuple(value.shape)
        self.dtype = value.dtype


class Known(NamedTuple):
    """A variable that a trace has as a constant: it holds while the variable is that."""

    read: Callable[[], Any]
    value: Any

    def holds(self) -> bool:
        """Whether it is; raises what reading a variable that is gone raises."""
        now, value = self.read(), self.value
        if now is value:
            return True
        if type(now) is not type(value) or type(now) not in _PLAIN:
            return False
        # 0.0 is not -0.0, and nan is nan.
        return bool(now.hex() == value.hex() if type(now) is float else now == value)


class Sources:
    """How to read the variables again that hold arrays: a closure's cells, globals that the function names, or a
    function of its module that it names, attributes of self and of modules that it names; where there is none, the
    places in what these hold (see :mod:`._paths`).
    """

    def __init__(self, function: Callable[..., Any], owners: list[Any], is_array: Callable[[Any], bool]) -> None:
        self.variables = list(_variables(function, owners))
        self._is_array = is_array
        self._places: dict[int, list[Callable[[], Any]]] | None = None

    def of(self, array: Any) -> list[Callable[[], Any]]:
        """The variables of an array, or its places."""
        found = [read for read, value in self.variables if value is array]
        if found:
            return found
        # What lay there may be another object by now.
        return [read for read in self._lying().get(id(array), ()) if _reads(read, array)]

    def everywhere(self) -> Iterator[tuple[Callable[[], Any], Any]]:
        """How to read every array again, and what it is."""
        yield from ((read, value) for read, value in self.variables if self._is_array(value))
        for read, *_ in self._lying().values():
            with contextlib.suppress(LookupError):
                yield read, read()

    def _lying(self) -> dict[int, list[Callable[[], Any]]]:
        if self._places is None:
            self._places = places(self.variables, self._is_array)
        return self._places


def _reads(read: Callable[[], Any], array: Any) -> bool:
    try:
        return read() is array
    except LookupError:
        return False


def _variables(function: Callable[..., Any], owners: list[Any]) -> Iterator[tuple[Callable[[], Any], Any]]:
    """Variables that a function may read: how to read each again, and what it is."""
    # Of a method that is bound, and of an object that can be called, too.
    owners = [*owners, getattr(function, "__self__", function)]
    function = getattr(function, "__func__", function)
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(function.__code__.co_freevars if cells else (), cells, strict=True):
        # An empty cell is a variable that is not assigned yet.
        with contextlib.suppress(ValueError):
            yield _cell(name, cell), cell.cell_contents
    scope = getattr(function, "__globals__", {})
    names = {n: None for code, of in _codes(function, owners) if of is scope for n in code.co_names}
    for name in names:
        if name in scope:
            yield _global(name, scope), scope[name]
            if isinstance(scope[name], ModuleType):
                within = vars(scope[name])
                yield from ((partial(getattr, scope[name], n), within[n]) for n in names if n in within)
    for owner in owners:
        # Of a function its own, not what it is made of.
        attributes = vars(owner) if isinstance(owner, FunctionType) else _attributes(owner)
        yield from ((partial(getattr, owner, name), value) for name, value in attributes.items())


class Entries(NamedTuple):
    """A small container of numbers, strings and None: a trace holds while they are what they were."""

    read: Callable[[], Any]
    value: Any

    def holds(self) -> bool:
        """Whether they are."""
        return bool(_entries(self.read()) == self.value)


#: Entries of a container that are compared at most, and attributes of attributes that are looked at.
_FEW, _DEPTH = 64, 3


def known(function: Callable[..., Any], owners: list[Any], constant: Callable[[Any], bool]) -> list[Any]:
    """Attributes of ``owners``, and of objects that these are, that the function, or a method of theirs that it calls,
    names, and that are constants of its trace: numbers, strings, None, small containers of such, and what else
    ``constant`` says.
    """
    names = {n: None for code, _ in _codes(getattr(function, "__func__", function), owners) for n in code.co_names}
    found: list[Any] = []

    def look(owner: Any, read_owner: Callable[[], Any], depth: int) -> None:
        attributes = _attributes(owner)
        for name in names:
            if name not in attributes:
                continue
            read, value = _attribute(read_owner, name), attributes[name]
            if type(value) in _PLAIN or constant(value):
                found.append(Known(read, read()))
            elif (entries := _entries(value)) is not None:
                found.append(Entries(read, entries))
            elif depth and isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, _NO_OWNERS):
                look(value, read, depth - 1)

    for owner in owners:
        look(owner, partial(_itself, owner), _DEPTH)
    return found


_NO_OWNERS = (type, FunctionType, ModuleType, MethodType, property, classmethod, staticmethod)


def _itself(value: Any) -> Any:
    return value


def _attribute(read_owner: Callable[[], Any], name: str) -> Callable[[], Any]:
    return lambda: getattr(read_owner(), name)


def _entries(value: Any) -> Any:
    """The entries of a container that has few and plain ones, with their types; None of anything else."""
    if type(value) not in (list, tuple, dict) or not 0 < len(value) <= _FEW:
        return None
    values = value.values() if type(value) is dict else value
    if not all(type(v) in _PLAIN for v in values):
        return None
    # 0.0 is not -0.0, nor 1 True.
    kept = tuple((type(v), v.hex() if type(v) is float else v) for v in values)
    return (*value, kept) if type(value) is dict else kept


def _cell(name: str, cell: Any) -> Callable[[], Any]:
    """Reads a closure's variable as its function does: the error of one that is deleted is Python's."""
    return FunctionType(_OF_CELL.replace(co_freevars=(name,)), {}, name, (), (cell,))


def _global(name: str, scope: dict[str, Any]) -> Callable[[], Any]:
    """Reads a global as a function of ``scope`` does."""
    return FunctionType(_OF_GLOBAL.replace(co_names=(name,)), scope, name)


def _readers(variable: Any) -> tuple[CodeType, CodeType]:
    return (lambda: variable).__code__, (lambda: Any).__code__


_OF_CELL, _OF_GLOBAL = _readers(None)


def _attributes(owner: Any) -> dict[str, Any]:
    """The attributes of an object, with those of its class; properties as such, for their code is not to run."""
    spaces = (getattr(owner, "__dict__", {}), *map(vars, owner.__mro__ if isinstance(owner, type) else ()))
    found: dict[str, Any] = {}
    for space in reversed((*spaces, *map(vars, type(owner).__mro__))):
        found.update(space)
    for name, value in found.items():
        if type(value) is MemberDescriptorType:
            # A slot; one that is empty is itself.
            found[name] = getattr(owner, name, value)
    return found


def _codes(function: Any, owners: list[Any]) -> Iterator[tuple[CodeType, dict[str, Any]]]:
    """The code of a function and that of what it names: functions within it and of its module, methods and properties
    of ``owners``; each with its globals.
    """
    classes = [_attributes(o) for o in owners]
    seen = set()
    scope = getattr(function, "__globals__", {})
    pending = [(function.__code__, scope)] if hasattr(function, "__code__") else []
    while pending:
        code, of = pending.pop()
        if code in seen:
            continue
        seen.add(code)
        yield code, of
        pending += [(c, of) for c in code.co_consts if isinstance(c, CodeType)]
        called = [_function(scope.get(n)) for n in code.co_names if of is scope]
        pending += [(f.__code__, scope) for f in called if f is not None and f.__globals__ is scope]
        methods = [_function(a.get(n)) for a in classes for n in code.co_names]
        pending += [(f.__code__, f.__globals__) for f in methods if f is not None]


def _function(value: Any) -> FunctionType | None:
    """The function of Python's that a function, a method or a property is made of."""
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    # Any object may have any attribute by `__getattr__`.
    value = vars(value).get("__wrapped__", value) if hasattr(value, "__dict__") else value
    return value if isinstance(value, FunctionType) else None
