"""Writes rusttorch/__init__.pyi from the op table, or with --check fails when it is out of date.

Needs an installed rusttorch. A test runs the check.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import rusttorch
from rusttorch import _names, _public, _rusttorch

HEAD = """\
# Generated from the op table by stubs.py; do not edit.
import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor as _TorchTensor

from rusttorch import func as func
from rusttorch import nn as nn
from rusttorch._inspect import Inspection as Inspection
from rusttorch._rusttorch import Expr as Expr
from rusttorch._rusttorch import FallbackWarning as FallbackWarning
from rusttorch._rusttorch import Generator as Generator
from rusttorch._rusttorch import InternalError as InternalError
from rusttorch._rusttorch import Tensor as Tensor
from rusttorch._rusttorch import TraceError as TraceError
from rusttorch._rusttorch import arange as arange
from rusttorch._rusttorch import as_tensor as as_tensor
from rusttorch._rusttorch import bernoulli as bernoulli
from rusttorch._rusttorch import bfloat16 as bfloat16
from rusttorch._rusttorch import bool as bool
from rusttorch._rusttorch import clear_cache as clear_cache
from rusttorch._rusttorch import device as device
from rusttorch._rusttorch import dropout as dropout
from rusttorch._rusttorch import dtype as dtype
from rusttorch._rusttorch import empty as empty
from rusttorch._rusttorch import empty_like as empty_like
from rusttorch._rusttorch import eval as eval
from rusttorch._rusttorch import evaluate as evaluate
from rusttorch._rusttorch import eye as eye
from rusttorch._rusttorch import float16 as float16
from rusttorch._rusttorch import float32 as float32
from rusttorch._rusttorch import float64 as float64
from rusttorch._rusttorch import from_dlpack as from_dlpack
from rusttorch._rusttorch import from_numpy as from_numpy
from rusttorch._rusttorch import full as full
from rusttorch._rusttorch import full_like as full_like
from rusttorch._rusttorch import get_default_dtype as get_default_dtype
from rusttorch._rusttorch import get_rng_state as get_rng_state
from rusttorch._rusttorch import initial_seed as initial_seed
from rusttorch._rusttorch import int16 as int16
from rusttorch._rusttorch import int32 as int32
from rusttorch._rusttorch import int64 as int64
from rusttorch._rusttorch import int8 as int8
from rusttorch._rusttorch import is_tensor as is_tensor
from rusttorch._rusttorch import linspace as linspace
from rusttorch._rusttorch import manual_seed as manual_seed
from rusttorch._rusttorch import ones as ones
from rusttorch._rusttorch import ones_like as ones_like
from rusttorch._rusttorch import rand as rand
from rusttorch._rusttorch import rand_like as rand_like
from rusttorch._rusttorch import randint as randint
from rusttorch._rusttorch import randn as randn
from rusttorch._rusttorch import randn_like as randn_like
from rusttorch._rusttorch import set_default_dtype as set_default_dtype
from rusttorch._rusttorch import empty_cache as empty_cache
from rusttorch._rusttorch import memory_stats as memory_stats
from rusttorch._rusttorch import set_memory_cap as set_memory_cap
from rusttorch._rusttorch import set_num_threads as set_num_threads
from rusttorch._rusttorch import set_printoptions as set_printoptions
from rusttorch._rusttorch import set_rng_state as set_rng_state
from rusttorch._rusttorch import stats as stats
from rusttorch._rusttorch import tensor as tensor
from rusttorch._rusttorch import uint8 as uint8
from rusttorch._rusttorch import zeros as zeros
from rusttorch._rusttorch import zeros_like as zeros_like

__version__: str

_F = TypeVar("_F", bound=Callable[..., Any])
_Any = TypeVar("_Any", Tensor, NDArray[Any], _TorchTensor)
_Array: TypeAlias = NDArray[Any]
_bool: TypeAlias = builtins.bool
_Number: TypeAlias = _bool | int | float
_Numpy: TypeAlias = NDArray[Any] | np.generic | _Number
_Ours: TypeAlias = Tensor | _Array | _Number
_Torch: TypeAlias = _TorchTensor | _Array | _Number
_Dims: TypeAlias = int | list[int] | tuple[int, ...]

def expr(text: str, *, contract: _bool = ...) -> Expr: ...
@overload
def fuse(function: _F, /) -> _F: ...
@overload
def fuse(*, static_argnames: str | Iterable[str] = (), contract: _bool = ...) -> Callable[[_F], _F]: ...
def inspect(function: Any, *args: Any, **kwargs: Any) -> Inspection: ...
def aminmax(x: Any, *, dim: int | None = ..., keepdim: _bool = ..., axis: int | None = ...) -> Any: ...
def cummax(x: Any, dim: int | None = ..., *, out: Any = ..., axis: int | None = ...) -> Any: ...
def cummin(x: Any, dim: int | None = ..., *, out: Any = ..., axis: int | None = ...) -> Any: ...
def cumprod(x: Any, dim: int | None = ..., *, dtype: Any = ..., out: Any = ..., axis: int | None = ...) -> Any: ...
def cumsum(x: Any, dim: int | None = ..., *, dtype: Any = ..., out: Any = ..., axis: int | None = ...) -> Any: ...
def logcumsumexp(x: Any, dim: int | None = ..., *, out: Any = ..., axis: int | None = ...) -> Any: ...
@overload
def matmul(a: _Array, b: _Array, *, out: _Array | None = ...) -> Any: ...
@overload
def matmul(a: Tensor, b: Tensor | _Array, *, out: Tensor | None = ...) -> Tensor: ...
@overload
def matmul(
    a: _TorchTensor | _Array, b: _TorchTensor | _Array, *, out: _TorchTensor | None = ...
) -> _TorchTensor: ...
def cat(tensors: Sequence[Any], dim: int = ..., *, out: Any = ...) -> Any: ...
def stack(tensors: Sequence[Any], dim: int = ..., *, out: Any = ...) -> Any: ...
def chunk(input: _Any, chunks: int, dim: int = ...) -> tuple[_Any, ...]: ...
def split(tensor: _Any, split_size_or_sections: int | Sequence[int], dim: int = ...) -> tuple[_Any, ...]: ...
def register(name_or_definition: str, expression: str | None = ..., /) -> Expr: ...
def show_config() -> str: ...
def value_and_grad(
    fun: Callable[..., Any], argnums: int | Sequence[int] = ..., has_aux: _bool = ...
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
    "atol": "float",
    "beta": "float",
    "correction": "int | float",
    "decimals": "int",
    "diagonal": "int",
    "dtype": "Any",
    "equal_nan": "_bool",
    "full": "_bool",
    "ignore_index": "int",
    "index": "int",
    "keepdim": "_bool",
    "label_smoothing": "float",
    "length": "int",
    "log_input": "_bool",
    "log_target": "_bool",
    "momentum": "float",
    "n": "int",
    "nan": "float | None",
    "neginf": "float | None",
    "num_groups": "int",
    "ord": "float",
    "p": "float",
    "posinf": "float | None",
    "reduction": "str",
    "rounding_mode": "str | None",
    "rtol": "float",
    "start": "int",
    "swap": "_bool",
    "training": "_bool",
    "unbiased": "_bool | None",
    "use_input_stats": "_bool",
}


# Of everything, or with a dimension or another array.
EXTREME = """\
@overload
def {name}(x: _Array, *, out: _Array | None = ...) -> Any: ...
@overload
def {name}(x: Tensor, *, out: Tensor | None = ...) -> Tensor: ...
@overload
def {name}(x: _TorchTensor, *, out: _TorchTensor | None = ...) -> _TorchTensor: ...
@overload
def {name}(
    x: Any,
    dim: Any = ...,
    keepdim: _bool = ...,
    *,
    other: Any = ...,
    axis: int | None = ...,
    keepdims: _bool = ...,
    out: Any = ...,
) -> Any: ...
"""


def signature(params: list[str], statics: set[str], operands: list[str], out: str) -> str:
    """The arguments of one overload; the last of ``operands`` is the type of all further ones."""
    parts = []
    values = 0
    for param in params:
        name, _, default = param.partition("=")
        kind = STATIC_TYPES.get(name, "_Dims | None" if default == "None" else "_Dims")
        if name not in statics:
            kind = operands[min(values, len(operands) - 1)]
            values += 1
            if default == "None":
                kind += " | None"
        parts.append(f"{name}: {kind}" + (" = ..." if default else ""))
    if "keepdim" in statics:
        parts += ["*", "axis: _Dims | None = ...", "keepdims: _bool = ..."]
    else:
        parts.append("*")
    parts.append(f"out: {out} | None = ...")
    return ", ".join(parts)


def stub(name: str, params: list[str], statics: set[str]) -> str:
    """The overloads of an op: NumPy in, NumPy out; ours in, ours out; torch in, torch out."""
    if name in ("max", "min"):
        return EXTREME.format(name=name)
    # A reduction over everything is a scalar in NumPy, so its type cannot be told.
    result = "Any" if "dim=None" in params else "_Array"
    forms = [(["_Array", "_Numpy"], "_Array", result)]
    two_values = len(params) > 1 and "=" not in params[1] and not statics.intersection(params[:2])
    if two_values:
        forms.append((["np.generic | _Number", "_Array", "_Numpy"], "_Array", result))
    forms.append((["Tensor", "_Ours"], "Tensor", "Tensor"))
    if len(forms) == 3:
        forms.append((["_Array | np.generic | _Number", "Tensor", "_Ours"], "Tensor", "Tensor"))
    forms.append((["_Torch"], "_TorchTensor", "_TorchTensor"))
    return "".join(
        f"@overload\ndef {name}({signature(params, statics, operands, out)}) -> {result}: ...\n"
        for operands, out, result in forms
    )


def plain() -> list[Callable[..., Any]]:
    """The functions over whole tensors that are no rows."""
    found = []
    for module in map(import_module, (f"rusttorch.{name}" for name in _public.MODULES)):
        names = sorted(rusttorch._HOMES[module.__name__.removeprefix("rusttorch.")])
        found += [getattr(module, name) for name in names]
    return found


def plain_stub(function: Callable[..., Any]) -> str:
    """As it is written, but for defaults."""
    signature = inspect.signature(function)
    params = [
        p.replace(
            annotation=re.sub(r"\bbool\b", "_bool", p.annotation),
            default=p.empty if p.default is p.empty else ...,
        )
        for p in signature.parameters.values()
    ]
    arguments = re.sub(r"'([^']*)'", r"\1", str(inspect.Signature(params))).replace("Ellipsis", "...")
    result = re.sub(r"\bbool\b", "_bool", signature.return_annotation)
    return f"def {function.__name__}{arguments} -> {result}: ...\n"


def text() -> str:
    """The whole stub."""
    functions = plain()
    # A function may take more than the row of its name.
    taken = {f.__name__ for f in functions}
    table = [row for row in _rusttorch._op_table() if row[0] not in taken]
    rows = [stub(name, params, set(statics)) for name, params, statics, *_ in table]
    second = [f"{name} = {op}\n" for name, op in sorted(_names.synonyms().items())]
    return HEAD + "".join((*map(plain_stub, functions), *rows, *second))


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
