"""In-place operations on stand-ins: ``y += 1``, ``y.add_(1)``.

A stand-in that is written stands for the new value from then on, under all names that it has. Its views do not see
that (nor it what is written to them), so one that is used after a write, and a write to a view, are refused; writes to
arguments and to arrays that the function closes over are, too: a kernel writes results alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rusttorch._log import where as _where
from rusttorch._public import TITLES
from rusttorch._rusttorch import TraceError

if TYPE_CHECKING:
    from rusttorch._trace import Traced, Tracer

#: Ops whose result may share the memory of their first operand.
VIEWS = frozenset(
    (
        *("permute", "transpose", "t", "unsqueeze", "squeeze", "reshape", "flatten", "unflatten", "broadcast_to"),
        *("ravel", "detach", "select", "narrow", "flip", "to", "positive"),
    )
)
_KINDS = ("bool", "int", "float")


class Writes:
    """What is known of a stand-in's memory."""

    __slots__ = ("_array", "_base", "_id", "_op", "_seen", "_tracer", "_version")
    _tracer: Tracer
    _id: int
    # False for a Python number, and for what is made of such: it is a value, not memory.
    _array: bool
    # What it may be a view of, by which op, and how often that had been written then.
    _base: Traced | None
    _op: str
    _seen: int
    # How often it was written.
    _version: int

    def _shares(self) -> bool:
        """Whether it shares the memory of ``_base``: a conversion does if there was nothing to convert."""
        if self._base is None:
            return False
        tracer = self._tracer
        if self._op in ("flip", "positive"):
            return tracer.of_torch == (self._op == "positive")
        if self._op == "to":
            tracer.read_dtypes = True
            return tracer.meta(self)[0] == tracer.meta(self._base)[0]  # type: ignore[arg-type]
        return True

    def _again(self) -> Any:
        """A copy, as far as memory is concerned: the same value."""
        return type(self)(self._tracer, self._id, self._array)  # type: ignore[call-arg]

    def _as_view_of(self, base: Any) -> Any:
        """This value, which may share the memory of another."""
        self._base, self._op, self._seen = base, "", base._version
        return self

    def _check_views(self) -> None:
        """Raises TraceError: the stand-in is a view of one that has been written since."""
        view: Any = self
        while view._base is not None:
            if view._base._version != view._seen and view._shares():
                raise TraceError(
                    "a view of an array that was then written in place cannot be fused: take the view afterwards, or "
                    f"make a new array ({_where()})"
                )
            view = view._base

    def _write(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], said: str) -> Any:
        """Makes the stand-in that of ``op`` of it; of a number, and of a NumPy scalar, a new one."""
        tracer = self._tracer
        if not self._array:
            return tracer.call(op, (self, *args), kwargs, said)
        if not tracer.of_torch:
            tracer.read_ranks = True
            if tracer.meta(self)[1] == ():  # type: ignore[arg-type]
                return tracer.call(op, (self, *args), kwargs, said)
        root: Any = self
        while root._base is not None and root._shares():
            root = root._base
        if tracer.parameter_index(root) is not None or tracer.is_hidden(root):
            what = "an argument" if tracer.parameter_index(root) is not None else "an array from outside"
            raise TraceError(f"writing to {what} in place ({said}) cannot be fused; make a new array ({_where()})")
        if root is not self:
            raise TraceError(f"writing to a view in place ({said}) cannot be fused; make a new array ({_where()})")
        # What the dtypes are decides what is written; shapes are compared at each call.
        tracer.read_dtypes = True
        result = tracer.call(op, (self, *args), kwargs, said)
        (dtype, shape), (now, of) = tracer.meta(self), tracer.meta(result)
        if shape != of:
            raise RuntimeError(f"output with shape {[*shape]} doesn't match the broadcast shape {[*of]}")
        if dtype != now:
            if _kind(now) > _kind(dtype):
                raise RuntimeError(
                    f"result type {TITLES[now]} can't be cast to the desired output type {TITLES[dtype]}"
                )
            result = tracer.call("to", (result, dtype), {}, said)
        self._id = tracer.call("_written", (self, result), {}, said)._id
        self._version += 1
        return self


def _kind(dtype: str) -> int:
    name = dtype.replace("u", "", 1) if dtype.startswith("u") else dtype
    return next((i for i, kind in enumerate(_KINDS) if name.startswith(kind)), 2)
