"""What is timed: one row per case, each a few texts, which are evaluated once per peer that is there.

``text`` is RustTorch's expression. ``formula`` is the same in the words of :mod:`.formula`, for elementwise cases;
peers that have no text of their own are given it. In every text but ``text``, statements are separated by semicolons
and the last one is the result. Names are ``np``; ``torch``, ``F`` (``torch.nn.functional``) and ``aten``; ``jnp``,
``nn`` (``jax.nn``) and ``lax``. ``{row}`` is the length of a row.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One operation."""

    name: str
    text: str
    #: Names of operands, as :func:`make` has them.
    operands: str
    formula: str = ""
    torch: str = ""
    #: Fills ``out`` with PyTorch's ``out=`` and in-place functions; ``tmp`` is a buffer like ``out``.
    torch_out: str = ""
    jax: str = ""
    #: What NumPy computes, and in float64 what results are compared with.
    numpy: str = ""
    numpy_out: str = ""
    #: What results are compared with, where NumPy's text gives no more than float32.
    reference: str = ""
    row: int = 1024
    #: Our text is contracted to fma, as JAX contracts unasked.
    contract: bool = False
    #: Operands that a gradient is taken of: the case is forward and backward, of the text's sum, which ``g`` weighs if
    #: ``upstream``.
    wrt: str = ""
    upstream: bool = True
    #: The operand that we are given as a transposed view; the texts of others transpose it.
    transposed: str = ""
    #: ``big``: as large as an operand, so that it matters who owns the memory; ``small``: no ``out=`` is tried;
    #: ``only``: there is no fresh form. ``strided``: every other element of a buffer.
    out: str = "big"
    dtype: str = "float32"
    #: A row of the result depends on that row of the operands alone: the reference is computed for a sample of rows.
    by_row: bool = True
    #: Results may differ from float64 by ``tolerance * (1 + abs(reference))``.
    tolerance: float = 1e-5
    #: Errors are counted in ULP of the reference, or of this where the reference is less: what cancels has errors of
    #: what it came from.
    ulp_floor: float = 0.0
    #: Sizes at which it runs, where they are not the run's.
    sizes: tuple[int, ...] = ()
    #: Peers that have it in another way than by text; see :mod:`.special`.
    special: str = ""
    #: Beside loops in C, which show what memory allows.
    stream: str = ""
    #: Runs over all sizes.
    sweep: bool = False
    quick: bool = False
    #: What a reader has to know about it.
    note: str = ""


def _horner(x: str, coefficients: list[str]) -> str:
    return f" + {x}*(".join(coefficients) + ")" * (len(coefficients) - 1)


TERMS = [f"{1 / (k + 1):.6f}" for k in range(20)]
POLYNOMIAL = _horner("x", TERMS)


def _state() -> str:
    """All 56 monomials of degree 5 or less in salinity, temperature and pressure, nested as oceanographers do."""
    coefficient = iter(f"{(-1) ** k * 0.9**k + 0.05:.9f}" for k in range(56))
    return _horner(
        "p",
        [
            _horner("a", [_horner("s", [next(coefficient) for _ in range(6 - i - j)]) for j in range(6 - i)])
            for i in range(6)
        ],
    )


def _function(name: str, **more: Any) -> Case:
    return Case(name, f"{name}(x)", "x", f"{name}(x)", torch_out=f"torch.{name}(x, out=out)", **more)


_LAYER_NORM = (
    "m = x.mean(-1, keepdims=True); v = ((x - m)**2).mean(-1, keepdims=True); (x - m) / {0}.sqrt(v + 1e-5) * w + b"
)
_SOFTMAX = "e = np.exp(x - x.max(-1, keepdims=True)); e / e.sum(-1, keepdims=True)"
_LOG_SOFTMAX = "m = x - x.max(-1, keepdims=True); m - np.log(np.exp(m).sum(-1, keepdims=True))"
_TANH = "t = x*w + b; 0.5*t*(1 + tanh(0.7978845608028654*(t + 0.044715*t*t*t)))"


def _softmax(row: int, **more: Any) -> Case:
    return Case(
        "softmax" if row == 1024 else f"softmax, rows of {row}",
        "softmax(x, -1)",
        "x",
        torch="torch.softmax(x, -1)",
        torch_out="torch.softmax(x, -1, out=out)",
        jax="nn.softmax(x, -1)",
        numpy=_SOFTMAX,
        row=row,
        **more,
    )


def _layer_norm(row: int, **more: Any) -> Case:
    return Case(
        "layer_norm" if row == 1024 else f"layer_norm, rows of {row}",
        "layer_norm(x, [{row}], w, b)",
        "x w b",
        torch="F.layer_norm(x, ({row},), w, b)",
        jax=_LAYER_NORM.format("jnp"),
        numpy=_LAYER_NORM.format("np"),
        row=row,
        ulp_floor=1.0,
        **more,
    )


CASES = [
    # Elementwise.
    Case("x + z", "x + z", "x z", "x + z", torch_out="torch.add(x, z, out=out)", sweep=True, quick=True),
    Case(
        "relu(x*w + b)",
        "relu(x*w + b)",
        "x w b",
        "t = x*w + b; where(t > 0, t, 0)",
        torch="torch.relu(x*w + b)",
        torch_out="torch.mul(x, w, out=out); out.add_(b).relu_()",
        jax="nn.relu(x*w + b)",
        numpy="np.maximum(x*w + b, 0)",
        numpy_out="np.multiply(x, w, out=out); np.add(out, b, out=out); np.maximum(out, 0, out=out)",
        ulp_floor=1.0,
        sweep=True,
        quick=True,
    ),
    Case(
        "gelu_tanh(x*w + b)",
        "gelu(x*w + b, approximate='tanh')",
        "x w b",
        _TANH,
        torch="F.gelu(x*w + b, approximate='tanh')",
        torch_out="torch.mul(x, w, out=out); out.add_(b); aten.gelu.out(out, approximate='tanh', out=out)",
        jax="nn.gelu(x*w + b, approximate=True)",
        ulp_floor=1.0,
        sweep=True,
        quick=True,
    ),
    Case(
        "gelu",
        "gelu(x)",
        "x",
        "0.5*x*(1 + erf(x*0.7071067811865476))",
        torch="F.gelu(x)",
        torch_out="aten.gelu.out(x, out=out)",
        jax="nn.gelu(x, approximate=False)",
        quick=True,
    ),
    Case(
        "bias + gelu",
        "gelu(x + b)",
        "x b",
        "0.5*(x + b)*(1 + erf((x + b)*0.7071067811865476))",
        torch="F.gelu(x + b)",
        torch_out="torch.add(x, b, out=out); aten.gelu.out(out, out=out)",
        jax="nn.gelu(x + b, approximate=False)",
        ulp_floor=1.0,
    ),
    Case(
        "silu(x)*z",
        "silu(x)*z",
        "x z",
        "x / (1 + exp(-x)) * z",
        torch="F.silu(x) * z",
        torch_out="aten.silu.out(x, out=out); out.mul_(z)",
        jax="nn.silu(x) * z",
        sweep=True,
        quick=True,
    ),
    Case(
        "x*sigmoid(x)*z",
        "x * sigmoid(x) * z",
        "x z",
        "x * (1 / (1 + exp(-x))) * z",
        torch="x * torch.sigmoid(x) * z",
        torch_out="torch.sigmoid(x, out=out); out.mul_(x).mul_(z)",
        jax="x * nn.sigmoid(x) * z",
    ),
    _function("tanh", sweep=True, quick=True),
    _function("exp", sweep=True, quick=True),
    _function("exp2"),
    _function("expm1"),
    _function("sinh"),
    Case("arctan", "atan(x)", "x", "arctan(x)", torch_out="torch.atan(x, out=out)"),
    Case(
        "sigmoid",
        "sigmoid(x)",
        "x",
        "1 / (1 + exp(-x))",
        torch="torch.sigmoid(x)",
        torch_out="torch.sigmoid(x, out=out)",
        jax="nn.sigmoid(x)",
        quick=True,
    ),
    Case(
        "softplus",
        "softplus(x)",
        "x",
        "log1p(exp(x))",
        torch="F.softplus(x)",
        torch_out="aten.softplus.out(x, out=out)",
        jax="nn.softplus(x)",
    ),
    Case(
        "mish",
        "mish(x)",
        "x",
        "x * tanh(log1p(exp(x)))",
        torch="F.mish(x)",
        torch_out="aten.mish.out(x, out=out)",
        jax="nn.mish(x)",
        quick=True,
    ),
    Case(
        "hardswish",
        "hardswish(x)",
        "x",
        "x * where(x > -3, where(x < 3, x + 3, 6), 0) / 6",
        torch="F.hardswish(x)",
        torch_out="aten.hardswish.out(x, out=out)",
        jax="nn.hard_swish(x)",
        numpy="x * np.clip(x + 3, 0, 6) / 6",
        numpy_out="np.add(x, 3, out=out); np.clip(out, 0, 6, out=out); np.multiply(out, x, out=out); "
        "np.divide(out, 6, out=out)",
    ),
    Case(
        "where(x > 0, x, exp(x) - 1)",
        "where(x > 0, x, exp(x) - 1)",
        "x",
        "where(x > 0, x, exp(x) - 1)",
        torch_out="torch.exp(x, out=out); out.sub_(1); torch.where(x > 0, x, out, out=out)",
        ulp_floor=1.0,
    ),
    Case(
        "polynomial of 20 terms",
        POLYNOMIAL,
        "x",
        POLYNOMIAL,
        torch_out=f"torch.mul(x, {TERMS[-1]}, out=out); "
        + "; ".join(f"out.add_({c}).mul_(x)" for c in TERMS[-2:0:-1])
        + f"; out.add_({TERMS[0]})",
        contract=True,
        tolerance=1e-4,
        ulp_floor=1.0,
        note="ours with contract=True: JAX contracts products and sums to fma unasked, others do not",
    ),
    Case(
        "sin(x)*cos(x)",
        "sin(x)*cos(x)",
        "x",
        "sin(x)*cos(x)",
        torch_out="torch.sin(x, out=out); torch.cos(x, out=tmp); out.mul_(tmp)",
        quick=True,
    ),
    Case(
        "sqrt(x*x + z*z)",
        "sqrt(x*x + z*z)",
        "x z",
        "sqrt(x*x + z*z)",
        torch_out="torch.mul(x, x, out=out); out.addcmul_(z, z).sqrt_()",
    ),
    Case(
        "(N, 1) + (1, M)",
        "col + line",
        "col line",
        "col + line",
        torch_out="torch.add(col, line, out=out)",
    ),
    Case("(N, 3) * (3,)", "n3 * v3", "n3 v3", "n3 * v3", torch_out="torch.mul(n3, v3, out=out)", quick=True),
    Case(
        "x + z.T",
        "x + zt",
        "x zt",
        transposed="zt",
        torch="x + zt.T",
        torch_out="torch.add(x, zt.T, out=out)",
        jax="x + zt.T",
        numpy="x + zt.T",
        numpy_out="np.add(x, zt.T, out=out)",
        by_row=False,
    ),
    Case(
        "copy of x.T",
        "xt",
        "xt",
        transposed="xt",
        torch="xt.T.contiguous()",
        torch_out="out.copy_(xt.T)",
        jax="xt.T",
        numpy="xt.T.copy()",
        numpy_out="np.copyto(out, xt.T)",
        out="only",
        by_row=False,
        quick=True,
    ),
    Case(
        "strided out",
        "x + z",
        "x z",
        "x + z",
        torch_out="torch.add(x, z, out=out)",
        out="strided",
        note="every other element of the output's memory is written",
    ),
    Case("exp, float64", "exp(d)", "d", "exp(d)", torch_out="torch.exp(d, out=out)", dtype="float64", tolerance=1e-12),
    Case(
        "equation of state, float64",
        _state(),
        "s a p",
        _state(),
        dtype="float64",
        tolerance=1e-12,
        ulp_floor=1.0,
        contract=True,
        note="56 terms of degree 5 or less in three variables, with coefficients of no meaning; contract=True",
    ),
    Case(
        "gelu, bfloat16",
        "gelu(h)",
        "h",
        torch="F.gelu(h)",
        torch_out="aten.gelu.out(h, out=out)",
        jax="nn.gelu(h, approximate=False)",
        numpy="0.5*h*(1 + erf(h*0.7071067811865476))",
        dtype="bfloat16",
        tolerance=1e-2,
    ),
    Case(
        "quantise to int8",
        "to(clamp(round(x*20.0) + 3, -128, 127), 'int8')",
        "x",
        torch="torch.clamp(torch.round(x*20.0) + 3, -128, 127).to(torch.int8)",
        torch_out="torch.mul(x, 20.0, out=tmp); out.copy_(tmp.round_().add_(3).clamp_(-128, 127))",
        jax="jnp.clip(jnp.round(x*20.0) + 3, -128, 127).astype(jnp.int8)",
        numpy="np.clip(np.rint(x*np.float32(20.0)) + 3, -128, 127).astype(np.int8)",
        dtype="int8",
        tolerance=1.0,
    ),
    Case(
        "dequantise from int8",
        "(to(q, 'float32') - 3.0) * 0.05",
        "q",
        torch="(q.float() - 3.0) * 0.05",
        torch_out="out.copy_(q); out.sub_(3.0).mul_(0.05)",
        jax="(q.astype(jnp.float32) - 3.0) * 0.05",
        numpy="(q.astype(np.float32) - np.float32(3)) * np.float32(0.05)",
        numpy_out="np.copyto(out, q); np.subtract(out, 3, out=out); np.multiply(out, np.float32(0.05), out=out)",
        reference="(q - 3.0) * 0.05",
    ),
    Case(
        "dropout",
        "",
        "x",
        special="dropout",
        out="small",
        note="random; checked by its share of zeros and the values of the rest",
    ),
    Case(
        "AdamW",
        "",
        "y y1 y2 g",
        numpy="m = 0.9*y1 + 0.1*g; v = 0.999*y2 + 0.001*g*g; "
        "(1 - 1e-5)*y - 1e-3*(m / 0.1)/(np.sqrt(v / 0.001) + 1e-8), m, v",
        special="adamw",
        out="only",
        ulp_floor=1.0,
        note="in place on both sides; torch is `optim.AdamW(fused=True).step()`",
    ),
    # Rows.
    _softmax(1024, sweep=True, quick=True),
    _softmax(128),
    _softmax(64),
    Case(
        "log_softmax",
        "log_softmax(x, -1)",
        "x",
        torch="torch.log_softmax(x, -1)",
        torch_out="torch.log_softmax(x, -1, out=out)",
        jax="nn.log_softmax(x, -1)",
        numpy=_LOG_SOFTMAX,
    ),
    _layer_norm(1024, sweep=True, quick=True),
    _layer_norm(128),
    _layer_norm(64),
    Case(
        "rms_norm",
        "rms_norm(x, [{row}], w)",
        "x w",
        torch="F.rms_norm(x, ({row},), w)",
        jax="x * lax.rsqrt((x*x).mean(-1, keepdims=True) + 1.1920929e-07) * w",
        numpy="x / np.sqrt((x*x).mean(-1, keepdims=True) + 1.1920929e-07) * w",
    ),
    # Reductions.
    Case(
        "sum",
        "sum(x)",
        "x",
        "sum(x)",
        torch="torch.sum(x)",
        jax="jnp.sum(x)",
        numpy="np.sum(x)",
        out="small",
        by_row=False,
        # numexpr adds one by one.
        tolerance=1e-3,
        sweep=True,
        quick=True,
    ),
    Case(
        "sum(dim=0)",
        "sum(x, 0)",
        "x",
        torch="x.sum(0)",
        jax="x.sum(0)",
        numpy="x.sum(0)",
        out="small",
        by_row=False,
        ulp_floor=1.0,
    ),
    Case(
        "sum(dim=1)",
        "sum(x, 1)",
        "x",
        torch="x.sum(1)",
        jax="x.sum(1)",
        numpy="x.sum(1)",
        out="small",
        ulp_floor=1.0,
        quick=True,
    ),
    Case(
        "sum of (N, 3)",
        "sum(n3, 1)",
        "n3",
        torch="n3.sum(1)",
        jax="n3.sum(1)",
        numpy="n3.sum(1)",
        out="small",
        ulp_floor=1.0,
    ),
    Case(
        "var(dim=1)", "var(x, 1)", "x", torch="x.var(1)", jax="x.var(1, ddof=1)", numpy="x.var(1, ddof=1)", out="small"
    ),
    Case(
        "argmax(dim=1)",
        "argmax(x, 1)",
        "x",
        torch="x.argmax(1)",
        jax="x.argmax(1)",
        numpy="x.argmax(1)",
        dtype="int64",
        out="small",
        tolerance=0.0,
        quick=True,
    ),
    Case(
        "logsumexp(dim=1)",
        "logsumexp(x, 1)",
        "x",
        torch="torch.logsumexp(x, 1)",
        jax="nn.logsumexp(x, 1)",
        numpy="m = x.max(1); m + np.log(np.exp(x - m[:, None]).sum(1))",
        out="small",
    ),
    Case(
        "mse_loss",
        "mse_loss(x, z)",
        "x z",
        torch="F.mse_loss(x, z)",
        jax="((x - z)**2).mean()",
        numpy="d = x - z; np.mean(d*d)",
        out="small",
        by_row=False,
    ),
    Case(
        "cross_entropy",
        "cross_entropy(x, t)",
        "x t",
        torch="F.cross_entropy(x, t)",
        jax="-jnp.take_along_axis(nn.log_softmax(x), t[:, None], 1).mean()",
        numpy="m = x - x.max(1, keepdims=True); "
        "(np.log(np.exp(m).sum(1)) - np.take_along_axis(m, t[:, None], 1)[:, 0]).mean()",
        out="small",
        by_row=False,
        sweep=True,
        quick=True,
    ),
    # Backwards.
    Case(
        "layer_norm, forward and backward",
        "layer_norm(x, [{row}], w, b)",
        "x w b g",
        torch="F.layer_norm(x, ({row},), w, b)",
        jax=_LAYER_NORM.format("jnp"),
        numpy="n = x - x.mean(-1, keepdims=True); r = 1 / np.sqrt((n*n).mean(-1, keepdims=True) + 1e-5); "
        "n = n * r; h = g * w; "
        "(h - h.mean(-1, keepdims=True) - n * (h*n).mean(-1, keepdims=True)) * r, (g*n).sum(0), g.sum(0)",
        wrt="x w b",
        by_row=False,
        tolerance=1e-4,
        ulp_floor=1.0,
        note="forward included on all sides",
    ),
    Case(
        "softmax, forward and backward",
        "softmax(x, -1)",
        "x g",
        torch="torch.softmax(x, -1)",
        jax="nn.softmax(x, -1)",
        numpy="e = np.exp(x - x.max(-1, keepdims=True)); y = e / e.sum(-1, keepdims=True); "
        "y * (g - (g*y).sum(-1, keepdims=True))",
        wrt="x",
        ulp_floor=1e-3,
        note="forward included on all sides",
    ),
    Case(
        "cross_entropy, forward and backward",
        "cross_entropy(x, t)",
        "x t",
        torch="F.cross_entropy(x, t)",
        jax="-jnp.take_along_axis(nn.log_softmax(x), t[:, None], 1).mean()",
        numpy="e = np.exp(x - x.max(1, keepdims=True)); s = e / e.sum(1, keepdims=True); "
        "s[np.arange(len(t)), t] -= 1; s / len(t)",
        wrt="x",
        upstream=False,
        by_row=False,
        ulp_floor=1e-4,
        note="forward included on all sides",
    ),
    Case(
        "softmax, backward alone",
        "(g - sum(g*u, -1, keepdim=True)) * u",
        "g u",
        torch="aten._softmax_backward_data(g, u, -1, torch.float32)",
        torch_out="aten._softmax_backward_data.out(g, u, -1, torch.float32, grad_input=out)",
        jax="(g - (g*u).sum(-1, keepdims=True)) * u",
        numpy="(g - (g*u).sum(-1, keepdims=True)) * u",
        ulp_floor=1e-4,
        note="from the forward's result, which is given; torch is the kernel that its autograd calls",
    ),
    # What memory allows.
    Case(
        "add of 16 Mi",
        "x + z",
        "x z",
        "x + z",
        torch_out="torch.add(x, z, out=out)",
        out="only",
        sizes=(1 << 24,),
        stream="add",
    ),
    Case(
        "copy of 16 Mi",
        "x",
        "x",
        torch="x.clone()",
        torch_out="out.copy_(x)",
        jax="jnp.copy(x)",
        numpy="x.copy()",
        numpy_out="np.copyto(out, x)",
        out="only",
        sizes=(1 << 24,),
        stream="copy",
    ),
    Case(
        "sum of 16 Mi",
        "sum(x)",
        "x",
        "sum(x)",
        torch="torch.sum(x)",
        jax="jnp.sum(x)",
        numpy="np.sum(x)",
        out="small",
        by_row=False,
        tolerance=1e-3,
        sizes=(1 << 24,),
        stream="sum",
    ),
    # A call on next to nothing.
    Case(
        "x + z on 16 elements",
        "x + z",
        "x z",
        "x + z",
        torch_out="torch.add(x, z, out=out)",
        row=16,
        sizes=(16,),
        quick=True,
    ),
    Case(
        "relu(x*w + b) on 16 elements",
        "relu(x*w + b)",
        "x w b",
        "t = x*w + b; where(t > 0, t, 0)",
        torch="torch.relu(x*w + b)",
        torch_out="torch.mul(x, w, out=out); out.add_(b).relu_()",
        jax="nn.relu(x*w + b)",
        numpy="np.maximum(x*w + b, 0)",
        numpy_out="np.multiply(x, w, out=out); np.add(out, b, out=out); np.maximum(out, 0, out=out)",
        row=16,
        sizes=(16,),
        ulp_floor=1.0,
        quick=True,
    ),
]


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Memory at a multiple of 64 bytes, so that JAX reads it in place; NumPy asks for huge pages for what is large."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    result: Array = memory[start : start + size].view(dtype).reshape(shape)
    return result


#: Operands with a row per row of the result.
BY_ROW = frozenset({"x", "y", "y1", "y2", "z", "g", "u", "t", "col", "n3", "h", "d", "s", "a", "p", "q"})


def make(name: str, n: int, row: int) -> Array:
    """An operand of a case over ``n`` elements in rows of ``row``: normal numbers unless said, from a fixed seed.

    ``h`` is float32, rounded to bfloat16 by whoever has that dtype.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    rows = max(1, n // row)
    if name == "t":
        return rng.integers(0, row, rows)
    if name == "q":
        return rng.integers(-128, 128, (rows, row), dtype=np.int8)
    shapes = {"w": (row,), "b": (row,), "v3": (3,), "col": (rows, 1), "line": (1, row), "n3": (n, 3)}
    shapes |= {"xt": (row, rows), "zt": (row, rows)}
    shape = shapes.get(name, (rows, row))
    if name in ("d", "s", "a", "p"):
        result = aligned(shape, np.float64)
        rng.standard_normal(out=result, dtype=np.float64)
        if name != "d":
            np.tanh(result, out=result)
        return result
    result = aligned(shape, np.float32)
    rng.standard_normal(out=result, dtype=np.float32)
    if name in ("u", "y2"):  # A softmax, and a second moment.
        np.square(result, out=result)
        result /= result.sum(-1, keepdims=True)
    if name == "h":
        bits = result.view(np.uint32)
        bits &= np.uint32(0xFFFF0000)
    return result
