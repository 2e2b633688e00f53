"""Where an array lies: in a dictionary, a list or an attribute of something that a traced function names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

#: Containers within containers that are looked into, and objects looked at in all.
_DEPTH, _OBJECTS = 5, 20_000
_Step = tuple[bool, Any]


def paths(roots: Iterator[tuple[Callable[[], Any], Any]], array: Any) -> list[Callable[[], Any]]:
    """How to read the places again that hold ``array`` below the roots (how to read one, what it is), nearest first.

    Looked into are dictionaries, lists, tuples and the attributes of objects, not those of modules and classes.
    """
    found = []
    seen: set[int] = set()
    level: list[tuple[Callable[[], Any], tuple[_Step, ...], Any]] = [(read, (), value) for read, value in roots]
    for _ in range(_DEPTH):
        below = []
        for read, steps, value in level:
            if id(value) in seen or len(seen) > _OBJECTS:
                continue
            seen.add(id(value))
            for step, part in _parts(value):
                if part is array:
                    found.append(_reader(read, (*steps, step)))
                else:
                    below.append((read, (*steps, step), part))
        level = below
    return found


def _parts(value: Any) -> Iterator[tuple[_Step, Any]]:
    if isinstance(value, dict):
        yield from (((True, k), v) for k, v in tuple(value.items()))
    elif isinstance(value, (list, tuple)):
        yield from (((True, i), v) for i, v in enumerate(value))
    elif not isinstance(value, type) and type(value).__name__ != "module":
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            yield from (((False, k), v) for k, v in tuple(attributes.items()))


def _reader(read: Callable[[], Any], steps: tuple[_Step, ...]) -> Callable[[], Any]:
    def value() -> Any:
        found = read()
        for is_item, key in steps:
            found = found[key] if is_item else vars(found)[key]
        return found

    return value
