"""``out=``: results written to arrays that the caller gives, for functions that are no kernels.

What torch's tensors are given to is torch's own. Here results are made first and written then, so an ``out`` that
shares memory with an operand is no special case. Arrays of NumPy and tensors of ours cannot be resized: where torch
resizes ``out``, with a warning, they are refused.
"""

from __future__ import annotations

from typing import Any

from rusttorch import _rusttorch
from rusttorch._rusttorch import Tensor

_SAME = "Expected out tensor to have dtype {want_c}, but got {got_c} instead"
_SCALAR_TYPE = "{name}(): self and result must have the same scalar type"
_SEARCH = (
    "torch.searchsorted(): output tensor's dtype is wrong, it can only be Int(int32) or Long(int64) depending on "
    "whether out_int32 flag is True, but we got output tensor's dtype {got} and out_int32 flag is {is_int32}"
)
_PRODUCT = "tensordot: Expected the output tensor to have dtype {want}, but got an output tensor with dtype {got}"
_QUANTILE = "quantile() out tensor must be same dtype as the input tensor"
_HISTOGRAM = (
    "torch.histogram: input tensor and hist tensor should have the same dtype, but got input {want_c} and hist {got_c}"
)
#: Any dtype of the result's category and above.
_CAST = "result type {want} can't be cast to the desired output type {got}"
_CAT = "torch.cat(): input types can't be cast to the desired output type {got}"
#: Every dtype.
_ANY = ""

#: The functions that have ``out=``, and what torch says to one of another dtype than the result's.
FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(("addmm", "addmv", "baddbmm", "bmm", "cross", "index_add", "index_copy"), _SAME),
    **dict.fromkeys(("index_reduce", "isin", "diag", "matmul", "matrix_power", "mm", "msort", "norm", "renorm"), _SAME),
    **dict.fromkeys(("scatter", "scatter_add", "scatter_reduce", "slice_scatter", "sort", "topk"), _SAME),
    **dict.fromkeys(("cat", "column_stack", "dstack", "hstack", "stack", "vstack"), _CAT),
    **dict.fromkeys(("addr", "kron"), _CAST),
    **dict.fromkeys(("cumprod", "cumsum", "logspace", "randperm"), _ANY),
    **dict.fromkeys(("cummax", "cummin", "logcumsumexp"), "expected scalar_type {want} but found {got}"),
    **dict.fromkeys(("index_select", "masked_select"), _SCALAR_TYPE),
    **dict.fromkeys(("bucketize", "searchsorted"), _SEARCH),
    **dict.fromkeys(("inner", "tensordot"), _PRODUCT),
    **dict.fromkeys(("nanquantile", "quantile"), _QUANTILE),
    "addbmm": "self and mat2 must have the same dtype, but got {got} and {want}",
    "aminmax": _SAME,
    "chain_matmul": "multi_dot(): expected out tensor to have dtype {want_c} but got {got_c}",
    "histc": _HISTOGRAM,
    "histogram": _HISTOGRAM,
    "kthvalue": "output values must be of same type as input",
    "median": "Expected tensor for 'values' to have the same type as tensor for argument #2 'self'; but type "
    "torch.{got}Tensor does not equal torch.{want}Tensor (while checking arguments for median)",
    "mode": "expected scalar type '{want}' but got '{got}' for values output",
    "multinomial": "multinomial expects Long tensor out, got: {got}",
    "mv": "addmv input tensors must have the same dtype, but got {got}, {want}, and {want}",
    "nonzero": "nonzero: Expected out tensor to have scalar type {want} but got scalar type{got}",
    "take": "take(): self and out expected to have the same dtype, but got self.dtype = {want} and out.dtype = {got}",
    "vdot": "result dtype {got} does not match input dtype {want}",
}
FUNCTIONS["nanmedian"] = FUNCTIONS["median"]

#: What torch says first, where the result's category is above that of ``out``.
_UNCASTABLE = {
    "diag": "diag: result type {want} can't be cast to the desired out= type {got}",
    "matrix_power": "matrix_power: Expected result to be safely castable from {want} dtype, but got result with dtype "
    "{got}",
}

#: What torch says of the second output.
_INDICES = {
    "kthvalue": "output indices must be of scalar type Long",
    "mode": "expected scalar type 'Long' but got '{got}' for indices output",
}
_INDICES["median"] = _INDICES["nanmedian"] = (
    "Expected tensor for argument #1 'indices' to have scalar type Long; but got torch.{got}Tensor instead "
    "(while checking arguments for median)"
)

_CATEGORIES = ("bool", "uint8 int8 int16 int32 int64", "float16 bfloat16 float32 float64")


def written(name: str, result: Any, out: Any, ours: bool) -> Any:
    """``out``, with ``result`` in it, which is a tensor of ours or a tuple of such; with ``ours`` so is ``out``, else
    it is of NumPy.
    """
    if not isinstance(result, tuple):
        _check(name, result, out, ours, FUNCTIONS[name])
        _write(result, out)
        return out
    if not isinstance(out, (tuple, list)):
        raise TypeError(f"{name}(): argument 'out' must be tuple of Tensors, not {type(out).__name__}")
    if len(out) != len(result):
        raise TypeError(f"{name}(): argument 'out' must have {len(result)} elements, not {len(out)}")
    checks = [(result[0], out[0], FUNCTIONS[name]), (result[1], out[1], _INDICES.get(name, FUNCTIONS[name]))]
    for r, o, said in reversed(checks) if name in ("median", "nanmedian") else checks:
        _check(name, r, o, ours, said)
    for r, o in zip(result, out, strict=True):
        _write(r, o)
    return type(result)(*out) if hasattr(result, "_fields") else tuple(out)


def _check(name: str, result: Any, out: Any, ours: bool, said: str) -> None:
    from rusttorch._public import c_name, dtype_name, title

    if ours:
        if not isinstance(out, Tensor):
            raise TypeError("out must be a rusttorch.Tensor when an operand is one")
        like = out
    else:
        import numpy

        if type(out) is not numpy.ndarray:
            raise TypeError("out must be a numpy.ndarray when no operand is a torch.Tensor")
        if not out.flags.writeable:
            raise ValueError("output array is read-only")
        like = _rusttorch.as_tensor(out)
    want, got = dtype_name(result.dtype), dtype_name(like.dtype)
    # Into a wider one of the category, or of a later one, numbers are converted where torch does.
    casts = said in (_CAST, _CAT) and _category(want) <= _category(got)
    if want != got and said != _ANY and not casts:
        names = {"want": title(result), "got": title(like), "want_c": c_name(result)}
        names |= {"got_c": c_name(like), "name": name, "is_int32": str(want == "int32")}
        if _category(want) > _category(got):
            said = _UNCASTABLE.get(name, said)
        raise (TypeError if said == _CAT else RuntimeError)(said.format(**names))
    if tuple(out.shape) != tuple(result.shape):
        have, need = list(out.shape), list(result.shape)
        raise RuntimeError(f"{name}(): out has shape {have}, but the result has shape {need}; it cannot be resized")


def _category(dtype: str) -> int:
    return next(i for i, names in enumerate(_CATEGORIES) if dtype in names.split())


def _write(result: Any, out: Any) -> None:
    if isinstance(out, Tensor):
        out.copy_(result)
    else:
        import numpy

        numpy.copyto(out, result.to(dtype_of(out)).numpy())


def dtype_of(array: Any) -> str:
    """The name of our dtype of an array of NumPy."""
    return str(_rusttorch.as_tensor(array).dtype).removeprefix("rusttorch.")
