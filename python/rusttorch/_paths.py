"""Where arrays lie: in dictionaries, lists and attributes of what a traced function names."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

#: Containers within containers that are looked into (a parameter of a module within a module is six further down), and
#: objects that are looked at in all. Containers of many entries, such as vocabularies, come last.
_DEPTH, _OBJECTS, _MANY = 16, 20_000, 1_000
_Step = tuple[bool, Any]
_Place = tuple[Callable[[], Any], tuple[tuple[Any, ...], ...], Any]


class Changed(LookupError):
    """A container has not the entries that it had: what was read of it may be another one now."""


def places(
    roots: Iterable[tuple[Callable[[], Any], Any]], is_array: Callable[[Any], bool]
) -> dict[int, list[Callable[[], Any]]]:
    """By the ``id`` of every array below the roots (how to read one, and what it is): how to read the places again that
    hold it, nearest first. Reading raises :class:`Changed` where a container on the way has more or fewer entries.

    Looked into are dictionaries, lists, tuples and the attributes of objects, not those of modules, classes and
    functions. No code of theirs is run.
    """
    found: dict[int, list[Callable[[], Any]]] = {}
    seen: set[int] = set()
    left = _OBJECTS
    small: deque[_Place] = deque((read, (), value) for read, value in roots)
    large: deque[_Place] = deque()
    while small or large:
        last = not small
        read, steps, value = (large if last else small).popleft()
        if id(value) in seen:
            continue
        kind, count, parts = _parts(value)
        if count > _MANY and not last:
            large.append((read, steps, value))
            continue
        seen.add(id(value))
        for key, part in parts:
            left -= 1
            if left < 0:
                return found
            way = (*steps, (kind, count, key))
            if is_array(part):
                found.setdefault(id(part), []).append(_reader(read, way))
            elif not isinstance(part, _LEAVES) and len(way) < _DEPTH:
                small.append((read, way, part))
    return found


_LEAVES = (str, bytes, int, float, complex, type(None), type)
_NOTHING: tuple[Any, ...] = ()


def _parts(value: Any) -> tuple[Any, int, Any]:
    """The kind of a container, how many entries it has, and those with their keys."""
    if isinstance(value, dict):
        return dict, dict.__len__(value), dict.items(value)
    if isinstance(value, list):
        return list, list.__len__(value), enumerate(list.__iter__(value))
    if isinstance(value, tuple):
        return tuple, tuple.__len__(value), enumerate(tuple.__iter__(value))
    if type(value).__name__ in ("module", "function", "method", "builtin_function_or_method"):
        return None, 0, _NOTHING
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except Exception:  # Whatever a class makes of it.
        return None, 0, _NOTHING
    if type(attributes) is not dict:
        return None, 0, _NOTHING
    # Attributes come and go, which changes nothing about the others.
    return object, 0, tuple(attributes.items())


def _reader(read: Callable[[], Any], way: tuple[tuple[Any, ...], ...]) -> Callable[[], Any]:
    def value() -> Any:
        found = read()
        for kind, count, key in way:
            if kind is object:
                found = object.__getattribute__(found, "__dict__")[key]
            elif not isinstance(found, kind) or kind.__len__(found) != count:
                raise Changed("a container that a traced function reads has changed")
            else:
                found = kind.__getitem__(found, key)
        return found

    return value
