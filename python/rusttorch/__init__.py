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

# Functions that are loaded at first use, by the module that has them.
_HOMES = {
    "_arrange": (
        "allclose",
        "argsort",
        "argwhere",
        "diag",
        "equal",
        "fliplr",
        "flipud",
        "kthvalue",
        "masked_select",
        "median",
        "msort",
        "multinomial",
        "randperm",
        "nanmedian",
        "nonzero",
        "roll",
        "sort",
        "tile",
        "topk",
        "trace",
        "unique",
        "unique_consecutive",
    ),
    "_control": (
        "get_num_threads",
        "num_threads",
        "show_config",
    ),
    "_einsum": ("einsum",),
    "_evaluate": ("expr",),
    "_extremes": (
        "aminmax",
        "max",
        "min",
    ),
    "_fuse": ("fuse",),
    "_grad": ("value_and_grad",),
    "_grids": (
        "gradient",
        "histogram",
    ),
    "_indexing": (
        "diagonal_scatter",
        "index_add",
        "index_copy",
        "index_fill",
        "index_put",
        "index_reduce",
        "index_select",
        "masked_scatter",
        "put",
        "scatter",
        "scatter_add",
        "scatter_reduce",
        "select_scatter",
        "slice_scatter",
        "take",
    ),
    "_inspect": ("inspect",),
    "_join": (
        "cat",
        "chunk",
        "split",
        "stack",
    ),
    "_products": (
        "addbmm",
        "addmm",
        "addmv",
        "addr",
        "baddbmm",
        "bmm",
        "cdist",
        "chain_matmul",
        "cross",
        "inner",
        "kron",
        "matrix_power",
        "mm",
        "mv",
        "norm",
        "renorm",
        "tensordot",
        "vdot",
    ),
    "_register": ("register",),
    "_scans": (
        "cummax",
        "cummin",
        "cumprod",
        "cumsum",
        "logcumsumexp",
    ),
    "_shapes": (
        "adjoint",
        "as_strided",
        "channel_shuffle",
        "clone",
        "diag_embed",
        "diagflat",
        "diagonal",
        "dsplit",
        "hsplit",
        "moveaxis",
        "movedim",
        "logspace",
        "numel",
        "pixel_shuffle",
        "pixel_unshuffle",
        "repeat_interleave",
        "rot90",
        "split_with_sizes",
        "swapaxes",
        "swapdims",
        "tensor_split",
        "tril_indices",
        "triu_indices",
        "unbind",
        "unravel_index",
        "vander",
        "vsplit",
    ),
    "_special": (
        "frexp",
        "multigammaln",
        "mvlgamma",
    ),
    "_stacks": (
        "atleast_1d",
        "atleast_2d",
        "atleast_3d",
        "block_diag",
        "broadcast_shapes",
        "broadcast_tensors",
        "cartesian_prod",
        "column_stack",
        "combinations",
        "concat",
        "concatenate",
        "dstack",
        "hstack",
        "meshgrid",
        "row_stack",
        "vstack",
    ),
    "_statistics": (
        "bincount",
        "bucketize",
        "corrcoef",
        "cov",
        "cumulative_trapezoid",
        "diff",
        "histc",
        "isin",
        "mode",
        "nanquantile",
        "quantile",
        "searchsorted",
        "std_mean",
        "trapezoid",
        "trapz",
        "var_mean",
    ),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Expr",
    "FallbackWarning",
    "Generator",
    "InternalError",
    "Tensor",
    "TraceError",
    "__version__",
    "arange",
    "as_tensor",
    "bernoulli",
    "bfloat16",
    "bool",
    "clear_cache",
    "device",
    "dropout",
    "dtype",
    "empty",
    "empty_cache",
    "empty_like",
    "eval",
    "evaluate",
    "eye",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "func",
    "get_default_dtype",
    "get_rng_state",
    "initial_seed",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_tensor",
    "linspace",
    "manual_seed",
    "matmul",
    "memory_stats",
    "nn",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "set_default_dtype",
    "set_memory_cap",
    "set_num_threads",
    "set_printoptions",
    "set_rng_state",
    "stats",
    "tensor",
    "uint8",
    "zeros",
    "zeros_like",
    *_LAZY,
]


def __getattr__(name: str) -> Any:
    if name in ("func", "nn"):
        from importlib import import_module

        value: Any = import_module(f"rusttorch.{name}")
    elif name in _LAZY:
        from importlib import import_module

        value = getattr(import_module(f"rusttorch.{_LAZY[name]}"), name)
    else:
        from rusttorch._names import synonyms

        try:
            value = _rusttorch._op_function(synonyms().get(name, name))
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
