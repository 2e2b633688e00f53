"""What a function that is traced computes of arrays that are no arguments: ``x * self.a.exp()``.

The result is a constant of the trace, which holds while those arrays are what they were. Functions of torch are seen by
a function mode, and torch counts the writes to a tensor. NumPy's are not seen: where a trace has such a constant, small
arrays that the function names are compared with what they held.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rusttorch._trace import Tracer

#: Bytes up to which an array of NumPy's is compared at each call, and how many at most.
_SMALL, _MANY = 1 << 16, 64


class Unwritten(NamedTuple):
    """A tensor that a trace has computed with: it holds while the variable is the tensor, not written since."""

    read: Callable[[], Any]
    value: Any
    # None where the trace has a view of it.
    version: int | None

    def holds(self) -> bool:
        """Whether it is."""
        now = self.read()
        return now is self.value and (self.version is None or now._version == self.version)


class Content(NamedTuple):
    """A small array that a trace may have computed with, and what it held."""

    read: Callable[[], Any]
    value: Any
    copy: bytes

    def holds(self) -> bool:
        """Whether it still does."""
        return self.read() is self.value and self.value.tobytes() == self.copy


class Never(NamedTuple):
    """Of a trace with a constant that autograd follows, and whose backward may have run."""

    read: Callable[[], Any] = lambda: None
    value: Any = None

    def holds(self) -> bool:
        """A trace for one call."""
        return False


class Outside:
    """What was computed of arrays from outside while a function was traced."""

    def __init__(self) -> None:
        self._seen: list[tuple[Any, int | None]] = []
        self._followed = False

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Sees what torch computes."""
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "overrides"):
            yield
            return
        with _mode()(self):
            yield

    def saw(self, tensors: list[Any], results: list[Any]) -> None:
        """Torch has computed these of those."""
        self._followed |= any(r.requires_grad and r.grad_fn is not None for r in results)
        for tensor in tensors:
            computed = not all(_shares(tensor, r) for r in results)
            self._seen.append((tensor, tensor._version if computed and not tensor.is_inference() else None))

    def guards(self, tracer: Tracer) -> Iterator[Any]:
        """What the trace holds by."""
        outside = False
        for tensor, version in self._seen:
            for read in tracer.sources.of(tensor):
                outside = True
                yield Unwritten(read, tensor, version)
        if outside and self._followed:
            yield Never()
        if any(h.is_constant for h in tracer.hidden):
            numpy = sys.modules.get("numpy")
            for read, value in islice(tracer.sources.everywhere(), _MANY):
                if numpy is not None and isinstance(value, numpy.ndarray) and value.nbytes <= _SMALL:
                    yield Content(read, value, value.tobytes())


def _shares(a: Any, b: Any) -> bool:
    try:
        return bool(a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr())
    except Exception:  # Of a tensor that is more than its memory.
        return False


_made: list[Any] = []


def _mode() -> Any:
    """The class of the function mode, made when torch is there."""
    if not _made:
        import torch
        from torch.overrides import TorchFunctionMode

        from rusttorch._trace import Traced

        class Watch(TorchFunctionMode):  # type: ignore[misc]
            def __init__(self, outside: Outside) -> None:
                super().__init__()
                self.outside = outside

            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                kwargs = kwargs or {}
                result = func(*args, **kwargs)
                tensors = list(_tensors((*args, *kwargs.values()), torch.Tensor))
                results = list(_tensors((result,), torch.Tensor))
                if tensors and results and not any(isinstance(a, Traced) for a in args):
                    self.outside.saw(tensors, results)
                return result

        _made.append(Watch)
    return _made[0]


def _tensors(values: Any, kind: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, kind):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value, kind)
