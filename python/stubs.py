"""Writes rusttorch/__init__.pyi from the op table, or with --check fails when it is out of date.

Needs an installed rusttorch. A test runs the check.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rusttorch import _rusttorch

HEAD = """\
# Generated from the op table by stubs.py; do not edit.
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rusttorch import func as func
from rusttorch._inspect import Inspection as Inspection
from rusttorch._rusttorch import Expr as Expr
from rusttorch._rusttorch import FallbackWarning as FallbackWarning
from rusttorch._rusttorch import InternalError as InternalError
from rusttorch._rusttorch import TraceError as TraceError
from rusttorch._rusttorch import clear_cache as clear_cache
from rusttorch._rusttorch import empty_cache as empty_cache
from rusttorch._rusttorch import memory_stats as memory_stats
from rusttorch._rusttorch import set_memory_cap as set_memory_cap
from rusttorch._rusttorch import set_num_threads as set_num_threads
from rusttorch._rusttorch import stats as stats

__version__: str

_F = TypeVar("_F", bound=Callable[..., Any])
_Array: TypeAlias = NDArray[Any]
_Number: TypeAlias = bool | int | float
_Numpy: TypeAlias = NDArray[Any] | np.generic | _Number
_Torch: TypeAlias = Tensor | _Array | _Number
_Dims: TypeAlias = int | list[int] | tuple[int, ...]

def expr(text: str) -> Expr: ...
def evaluate(
    expr: str,
    local_dict: Mapping[str, Any] | None = None,
    global_dict: Mapping[str, Any] | None = None,
    *,
    out: Any = None,
    casting: str = "same_kind",
    order: str = "K",
    **names: Any,
) -> Any: ...
@overload
def fuse(function: _F, /) -> _F: ...
@overload
def fuse(*, static_argnames: str | Iterable[str] = ()) -> Callable[[_F], _F]: ...
def inspect(function: Any, *args: Any, **kwargs: Any) -> Inspection: ...
@overload
def matmul(a: _Array, b: _Array, *, out: _Array | None = ...) -> Any: ...
@overload
def matmul(a: Tensor | _Array, b: Tensor | _Array, *, out: Tensor | None = ...) -> Tensor: ...
def register(name_or_definition: str, expression: str | None = ..., /) -> Expr: ...
def show_config() -> str: ...
def value_and_grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = ..., has_aux: bool = ...
) -> Callable[..., Any]: ...

class ThreadCount(int):
    pool: str

def get_num_threads() -> ThreadCount: ...

class num_threads:
    def __init__(self, n: int) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

"""

# Types of static arguments by name.
STATIC_TYPES = {
    "approximate": "str",
    "correction": "int | float",
    "decimals": "int",
    "keepdim": "bool",
    "rounding_mode": "str | None",
    "unbiased": "bool | None",
}


# Of everything, or with a dimension or another array.
EXTREME = """\
@overload
def {name}(x: _Array, *, out: _Array | None = ...) -> Any: ...
@overload
def {name}(x: Tensor, *, out: Tensor | None = ...) -> Tensor: ...
@overload
def {name}(
    x: Any,
    dim: Any = ...,
    keepdim: bool = ...,
    *,
    other: Any = ...,
    axis: int | None = ...,
    keepdims: bool = ...,
    out: Any = ...,
) -> Any: ...
"""


def signature(params: list[str], statics: set[str], operands: list[str], out: str) -> str:
    """The arguments of one overload; the last of ``operands`` is the type of all further ones."""
    parts = []
    for i, param in enumerate(params):
        name, _, default = param.partition("=")
        kind = STATIC_TYPES.get(name, "_Dims | None" if default == "None" else "_Dims")
        if name not in statics:
            kind = operands[min(i, len(operands) - 1)]
            if default == "None":
                kind += " | None"
        parts.append(f"{name}: {kind}" + (" = ..." if default else ""))
    if "keepdim" in statics:
        parts += ["*", "axis: _Dims | None = ...", "keepdims: bool = ..."]
    else:
        parts.append("*")
    parts.append(f"out: {out} | None = ...")
    return ", ".join(parts)


def stub(name: str, params: list[str], statics: set[str]) -> str:
    """The overloads of an op: NumPy in, NumPy out; torch in, torch out."""
    if name in ("max", "min"):
        return EXTREME.format(name=name)
    # A reduction over everything is a scalar in NumPy, so its type cannot be told.
    result = "Any" if "dim=None" in params else "_Array"
    forms = [(["_Array", "_Numpy"], "_Array", result)]
    if len(params) > 1 and params[1].partition("=")[0] not in statics and "=" not in params[1]:
        forms.append((["np.generic | _Number", "_Array", "_Numpy"], "_Array", result))
    forms.append((["_Torch"], "Tensor", "Tensor"))
    return "".join(
        f"@overload\ndef {name}({signature(params, statics, operands, out)}) -> {result}: ...\n"
        for operands, out, result in forms
    )


def text() -> str:
    """The whole stub."""
    rows = _rusttorch._op_table()
    return HEAD + "".join(stub(name, params, set(statics)) for name, params, statics, *_ in rows)


def main() -> None:
    """Command line."""
    path = Path(__file__).parent / "rusttorch" / "__init__.pyi"
    if "--check" in sys.argv:
        if not path.exists() or path.read_text() != text():
            sys.exit(f"{path.name} is out of date: run python/stubs.py")
    else:
        path.write_text(text())


if __name__ == "__main__":
    main()
