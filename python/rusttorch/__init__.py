"""RustTorch: fused, JIT-compiled CPU kernels for PyTorch and NumPy users.

Functions take torch tensors or NumPy arrays and give back the same kind. Importing this package imports
neither torch, nor numba, nor NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rusttorch import _rusttorch
from rusttorch._rusttorch import (
    Expr,
    FallbackWarning,
    Generator,
    InternalError,
    Tensor,
    TraceError,
    __version__,
    arange,
    as_tensor,
    bernoulli,
    bfloat16,
    bool,
    clear_cache,
    device,
    dropout,
    dtype,
    empty,
    empty_cache,
    empty_like,
    eval,
    evaluate,
    eye,
    float16,
    float32,
    float64,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    get_default_dtype,
    get_rng_state,
    initial_seed,
    int8,
    int16,
    int32,
    int64,
    is_tensor,
    linspace,
    manual_seed,
    matmul,
    memory_stats,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    set_default_dtype,
    set_memory_cap,
    set_num_threads,
    set_printoptions,
    set_rng_state,
    stats,
    tensor,
    uint8,
    zeros,
    zeros_like,
)

if TYPE_CHECKING:
    from rusttorch import func, nn
    from rusttorch._arrange import (
        allclose,
        argsort,
        bmm,
        diag,
        equal,
        fliplr,
        flipud,
        index_add,
        kthvalue,
        masked_select,
        median,
        mm,
        mv,
        nonzero,
        norm,
        roll,
        scatter,
        scatter_add,
        sort,
        tile,
        topk,
        trace,
        unique,
    )
    from rusttorch._control import get_num_threads, num_threads, show_config
    from rusttorch._evaluate import expr
    from rusttorch._extremes import aminmax, max, min
    from rusttorch._fuse import fuse
    from rusttorch._grad import value_and_grad
    from rusttorch._inspect import inspect
    from rusttorch._join import cat, chunk, split, stack
    from rusttorch._register import register
    from rusttorch._scans import cummax, cummin, cumprod, cumsum, logcumsumexp

# Where the functions live that are loaded at first use.
_LAZY = {
    "allclose": "_arrange",
    "argsort": "_arrange",
    "bmm": "_arrange",
    "diag": "_arrange",
    "equal": "_arrange",
    "fliplr": "_arrange",
    "flipud": "_arrange",
    "kthvalue": "_arrange",
    "masked_select": "_arrange",
    "median": "_arrange",
    "mm": "_arrange",
    "mv": "_arrange",
    "nonzero": "_arrange",
    "norm": "_arrange",
    "roll": "_arrange",
    "scatter": "_arrange",
    "scatter_add": "_arrange",
    "index_add": "_arrange",
    "sort": "_arrange",
    "tile": "_arrange",
    "topk": "_arrange",
    "trace": "_arrange",
    "unique": "_arrange",
    "cat": "_join",
    "chunk": "_join",
    "aminmax": "_extremes",
    "cummax": "_scans",
    "cummin": "_scans",
    "cumprod": "_scans",
    "cumsum": "_scans",
    "expr": "_evaluate",
    "fuse": "_fuse",
    "get_num_threads": "_control",
    "inspect": "_inspect",
    "logcumsumexp": "_scans",
    "max": "_extremes",
    "min": "_extremes",
    "num_threads": "_control",
    "register": "_register",
    "show_config": "_control",
    "split": "_join",
    "stack": "_join",
    "value_and_grad": "_grad",
}

__all__ = [
    "Expr",
    "FallbackWarning",
    "Generator",
    "InternalError",
    "Tensor",
    "TraceError",
    "__version__",
    "allclose",
    "aminmax",
    "arange",
    "argsort",
    "as_tensor",
    "bernoulli",
    "bfloat16",
    "bmm",
    "bool",
    "cat",
    "chunk",
    "clear_cache",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "device",
    "diag",
    "dropout",
    "dtype",
    "empty",
    "empty_cache",
    "empty_like",
    "equal",
    "eval",
    "evaluate",
    "expr",
    "eye",
    "fliplr",
    "flipud",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "func",
    "fuse",
    "get_default_dtype",
    "get_num_threads",
    "get_rng_state",
    "index_add",
    "initial_seed",
    "inspect",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_tensor",
    "kthvalue",
    "linspace",
    "logcumsumexp",
    "manual_seed",
    "masked_select",
    "matmul",
    "max",
    "median",
    "memory_stats",
    "min",
    "mm",
    "mv",
    "nn",
    "nonzero",
    "norm",
    "num_threads",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "register",
    "roll",
    "scatter",
    "scatter_add",
    "set_default_dtype",
    "set_memory_cap",
    "set_num_threads",
    "set_printoptions",
    "set_rng_state",
    "show_config",
    "sort",
    "split",
    "stack",
    "stats",
    "tensor",
    "tile",
    "topk",
    "trace",
    "uint8",
    "unique",
    "value_and_grad",
    "zeros",
    "zeros_like",
]


def __getattr__(name: str) -> Any:
    if name in ("func", "nn"):
        from importlib import import_module

        value: Any = import_module(f"rusttorch.{name}")
    elif name in _LAZY:
        from importlib import import_module

        value = getattr(import_module(f"rusttorch.{_LAZY[name]}"), name)
    else:
        try:
            value = _rusttorch._op_function(name)
        except KeyError:
            raise AttributeError(_missing(name), name=name, obj=None) from None
    globals()[name] = value
    return value


def _missing(name: str) -> str:
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and not name.startswith("_"):
        for path, module in (("torch", torch), ("torch.nn.functional", torch.nn.functional)):
            if hasattr(module, name):
                return f"module 'rusttorch' has no attribute '{name}': torch has {path}.{name}, rusttorch does not"
    return f"module 'rusttorch' has no attribute '{name}'"


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *(row[0] for row in _rusttorch._op_table())})
