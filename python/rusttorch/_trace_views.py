"""Views of stand-ins for arrays: indexing, parts, shapes by methods of torch. They move no memory in a kernel."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

from rusttorch import _rusttorch
from rusttorch._log import where as _where
from rusttorch._rusttorch import TraceError

if TYPE_CHECKING:
    from rusttorch._trace import Tracer


class Views:
    """What a stand-in can be viewed as. Extents are known, so the trace holds for calls with equal shapes only."""

    __slots__ = ()
    if TYPE_CHECKING:
        _tracer: Tracer

        def _again(self) -> Any:
            """A copy."""

        @property
        def shape(self) -> tuple[int, ...]:
            """The shape."""

    def __getitem__(self, key: Any) -> Any:
        """Integers, slices, ``None`` and ``...``; a step that no group of elements fits reads by index."""
        keys = list(key) if isinstance(key, tuple) else [key]
        for k in keys:
            if not (k is None or isinstance(k, slice) or k is Ellipsis or _is_integer(k)):
                raise TraceError(
                    f"indexing by {type(k).__name__} cannot be fused: integers, slices, None and ... can, and "
                    f"take_along_dim() and where() ({_where()})"
                )
        rank = len(self.shape)
        used = sum(k is not None and k is not Ellipsis for k in keys)
        if used > rank:
            raise IndexError(f"too many indices for tensor of dimension {rank}")
        dots = [i for i, k in enumerate(keys) if k is Ellipsis]
        if len(dots) > 1:
            raise IndexError("an index can only have a single ellipsis ('...')")
        at = dots[0] if dots else len(keys)
        keys[at : at + 1] = [slice(None)] * (rank - used)
        x: Any = self
        dim = 0
        for k in keys:
            if k is None:
                x = x._view("unsqueeze", dim)
            elif isinstance(k, slice):
                x = x._slice(dim, k)
            else:
                x = x._select(dim, operator.index(k))
                continue
            dim += 1
        return x

    def _view(self, op: str, *args: Any) -> Any:
        return self._tracer.call(op, (self, *args), {}, "indexing")

    def _select(self, dim: int, index: int) -> Any:
        n = self.shape[dim]
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
        return self._view("select", dim, index % n)

    def _slice(self, dim: int, s: slice) -> Any:
        if s.step is not None and operator.index(s.step) <= 0 and (s.step == 0 or self._tracer.of_torch):
            raise ValueError("slice step must be positive" if self._tracer.of_torch else "slice step cannot be zero")
        n = self.shape[dim]
        taken = range(n)[s]
        if taken == range(n):
            return self
        if taken.step < 0:
            # The same elements forwards, then turned round.
            return self._slice(dim, slice(taken[-1], taken[0] + 1, -taken.step) if taken else slice(0, 0))._view(
                "flip", [dim]
            )
        if taken.step == 1 or len(taken) <= 1:
            return self._view("narrow", dim, taken.start if taken else 0, len(taken))
        # Groups of `step` elements, of which one each is taken, from as far before the first as need be.
        step, reach = taken.step, taken.step * len(taken)
        for before in range(step):
            begin = taken.start - before
            if begin >= 0 and begin + reach <= n:
                groups: Any = self._view("narrow", dim, begin, reach)
                groups = groups._view("unflatten", dim, [len(taken), step])
                return groups._view("select", dim + 1, before)
        index = self._view("narrow", dim, 0, len(taken))._view("iota", dim)
        return self._view("take_along_dim", index * step + taken.start, dim)._as_view_of(self)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Any, ...]:
        """At most ``chunks`` parts of equal extent along ``dim``; ``torch.Tensor.chunk``."""
        from rusttorch import _join

        return _join.chunk(self, chunks, dim)

    def split(self, split_size: Any, dim: int = 0) -> tuple[Any, ...]:
        """Parts of an extent, or of these extents, along ``dim``; ``torch.Tensor.split``."""
        from rusttorch import _join

        return _join.split(self, split_size, dim)

    def unbind(self, dim: int = 0) -> tuple[Any, ...]:
        """What ``dim`` counts, without it; ``torch.Tensor.unbind``."""
        from rusttorch import _join

        dim = _join._wrap(dim, len(self.shape))
        return tuple(self._view("select", dim, i) for i in range(self.shape[dim]))

    def view(self, *shape: Any) -> Any:
        """As ``reshape``; ``torch.Tensor.view``."""
        from rusttorch import _shapes

        sizes = _shapes._size("view", shape)
        if not all(hasattr(n, "__index__") for n in sizes):
            raise TraceError(f"view() as another dtype cannot be fused ({_where()})")
        return self._tracer.call("reshape", (self, sizes), {}, ".view()")

    def expand(self, *sizes: Any) -> Any:
        """Extents of 1 repeated, -1 for those that stay; ``torch.Tensor.expand``."""
        from rusttorch import _shapes

        to = _shapes._size("expand", sizes)
        new = len(to) - len(self.shape)
        to = [self.shape[i - new] if n == -1 and i >= new else n for i, n in enumerate(to)]
        return self._tracer.call("broadcast_to", (self, to), {}, ".expand()")

    def view_as(self, other: Any) -> Any:
        """``torch.Tensor.view_as``."""
        return self.view(*other.shape)

    def expand_as(self, other: Any) -> Any:
        """``torch.Tensor.expand_as``."""
        return self.expand(*other.shape)

    def contiguous(self, memory_format: Any = None) -> Any:
        """The values: a kernel's operands may have any layout; ``torch.Tensor.contiguous``."""
        torch = sys.modules.get("torch")
        if memory_format is not None and (torch is None or memory_format is not torch.contiguous_format):
            raise NotImplementedError(f".contiguous() with memory_format= cannot be fused ({_where()})")
        # The same elements, or a copy, by their layout.
        return self._again()._as_view_of(self)

    def cpu(self) -> Any:
        """The values, which are on the CPU; ``torch.Tensor.cpu``."""
        return self

    @property
    def device(self) -> Any:
        """The CPU, as a device of torch where the arguments are torch's."""
        torch = sys.modules.get("torch")
        if not self._tracer.of_torch or torch is None:
            return "cpu"
        return torch.device("cpu")

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Another dtype, that of another array, or the device that all are on; ``torch.Tensor.to``."""
        from rusttorch._trace import is_array

        kwargs.pop("non_blocking", None)
        copies = kwargs.pop("copy", False)
        if kwargs.pop("memory_format", None) not in (None, *_kept_formats()):
            raise NotImplementedError(f".to() with memory_format= cannot be fused ({_where()})")
        dtype: Any = None
        for a in (*args, *kwargs.values()):
            if isinstance(a, Views) or is_array(a):
                dtype = a.dtype
                continue
            device = a if isinstance(a, str) else getattr(a, "type", None)
            kind = device.partition(":")[0] if isinstance(device, str) else ""
            if kind in _DEVICES and kind != "cpu":
                raise TraceError(f"arrays are on the CPU: .to({a!r}) cannot be fused ({_where()})")
            if kind not in _DEVICES and a is not None and not isinstance(a, bool):  # those are non_blocking and copy
                dtype = a
        if dtype is None:
            return self._again() if copies else self
        converted = self._tracer.call("to", (self, dtype), {}, ".to()")
        return converted._again() if copies else converted

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """Another dtype, said as to ``numpy.dtype``, or a dtype of ours or torch's; ``numpy.ndarray.astype``.

        Raises:
            TypeError: a dtype that NumPy does not know, or that there are no kernels for.
        """
        if order not in ("K", "C") or casting not in ("unsafe", "same_kind"):
            said = f"order={order!r}, casting={casting!r}"
            raise NotImplementedError(f".astype() with {said} cannot be fused ({_where()})")
        converted = self._tracer.call("to", (self, _dtype_name(dtype)), {}, ".astype()")
        return converted._again() if copy else converted


def _dtype_name(dtype: Any) -> str:
    import numpy

    name = str(dtype).rpartition(".")[2]
    # Those of ours and torch's, and bfloat16, which NumPy does not have.
    if not (str(dtype) in (f"torch.{name}", f"rusttorch.{name}") or name == "bfloat16"):
        given = numpy.dtype(dtype)
        name = given.name if given.isnative else str(given)
    if not isinstance(getattr(_rusttorch, name, None), _rusttorch.dtype):
        raise TypeError(f"there is no dtype {name} in rusttorch ({_where()})")
    return name


def _is_integer(key: Any) -> bool:
    """True for integers of any library, not for bools and arrays, of which the latter may be integers too."""
    known = not isinstance(key, (Views, bool)) and hasattr(key, "__index__") and getattr(key, "shape", ()) == ()
    return known and str(getattr(key, "dtype", "int")).rpartition(".")[2] != "bool"


_DEVICES = ("cpu", "cuda", "mps", "xpu", "meta", "hpu", "xla", "vulkan")


def _kept_formats() -> tuple[Any, ...]:
    torch = sys.modules.get("torch")
    return () if torch is None else (torch.preserve_format, torch.contiguous_format)
