"""What ``compare.py`` times: one row per case, with the same function for every candidate.

Operands are made once from a seed: ``x``, ``y``, ``z`` 1024x1024, ``w``, ``b`` 1024, ``t`` 1024 class numbers,
``n3`` 1Mi x 3 and ``v3`` 3, ``h`` 1024x1024 bfloat16, ``d`` 1024x1024 float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]


@dataclass
class Case:
    """One operation; ``torch``, ``numpy`` and ``jax`` take the operands named by ``args``."""

    name: str
    #: In RustTorch's expression language, over the names in ``args``.
    text: str
    args: str
    torch: Function
    numpy: Function | None = None
    jax: Function | None = None
    numexpr: str | None = None
    #: Greatest difference from each peer that is let pass; results are of order 1 but for sums.
    tolerance: float = 1e-5
    #: What the issue that asked for it wants.
    target: str = ""


def cases(torch: Any, np: Any, jax: Any) -> list[Case]:
    """All cases. ``jax`` is None where it is missing."""
    f = torch.nn.functional
    # Looked up late, so that a missing peer costs nothing.
    nn = jax.nn if jax else None
    jnp = jax.numpy if jax else None
    return [
        Case("x + z", "x + z", "x z", lambda x, z: x + z, lambda x, z: x + z, lambda x, z: x + z, "x + z"),
        Case(
            "relu(x*w + b)",
            "relu(x*w + b)",
            "x w b",
            lambda x, w, b: torch.relu(x * w + b),
            lambda x, w, b: np.maximum(x * w + b, np.float32(0)),
            lambda x, w, b: nn.relu(x * w + b),
            "where(x*w + b > 0, x*w + b, 0)",
            tolerance=1e-5,
            target=">= 0.85x the best",
        ),
        Case(
            "gelu_tanh(x*w + b)",
            "gelu(x*w + b, approximate='tanh')",
            "x w b",
            lambda x, w, b: f.gelu(x * w + b, approximate="tanh"),
            jax=lambda x, w, b: nn.gelu(x * w + b, approximate=True),
            target=">= 1.9x the best",
        ),
        Case("gelu (erf)", "gelu(x)", "x", f.gelu, jax=lambda x: nn.gelu(x, approximate=False)),
        Case(
            "silu(x)*z",
            "silu(x)*z",
            "x z",
            lambda x, z: f.silu(x) * z,
            lambda x, z: x / (1 + np.exp(-x)) * z,
            lambda x, z: nn.silu(x) * z,
            "x / (1 + exp(-x)) * z",
            target=">= 1.35x",
        ),
        Case("tanh", "tanh(x)", "x", torch.tanh, np.tanh, lambda x: jnp.tanh(x), "tanh(x)", target=">= 1.3x"),
        Case("exp", "exp(x)", "x", torch.exp, np.exp, lambda x: jnp.exp(x), "exp(x)", 1e-4, target=">= 1.3x"),
        Case(
            "sigmoid",
            "sigmoid(x)",
            "x",
            torch.sigmoid,
            lambda x: 1 / (1 + np.exp(-x)),
            lambda x: nn.sigmoid(x),
            "1 / (1 + exp(-x))",
            target=">= 1.3x",
        ),
        Case("softplus", "softplus(x)", "x", f.softplus, jax=lambda x: nn.softplus(x)),
        Case("mish", "mish(x)", "x", f.mish, jax=lambda x: nn.mish(x), target=">= 8x"),
        Case("hardswish", "hardswish(x)", "x", f.hardswish, jax=lambda x: nn.hard_swish(x)),
        Case(
            "sin(x)*cos(x)",
            "sin(x)*cos(x)",
            "x",
            lambda x: torch.sin(x) * torch.cos(x),
            lambda x: np.sin(x) * np.cos(x),
            lambda x: jnp.sin(x) * jnp.cos(x),
            "sin(x)*cos(x)",
            target=">= 1.6x",
        ),
        Case(
            "sqrt(x*x + z*z)",
            "sqrt(x*x + z*z)",
            "x z",
            lambda x, z: torch.sqrt(x * x + z * z),
            lambda x, z: np.sqrt(x * x + z * z),
            lambda x, z: jnp.sqrt(x * x + z * z),
            "sqrt(x*x + z*z)",
            target=">= 1.2x",
        ),
        Case(
            "where(x>0, x, exp(x)-1)",
            "where(x > 0, x, exp(x) - 1)",
            "x",
            lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
            lambda x: np.where(x > 0, x, np.exp(x) - 1),
            lambda x: jnp.where(x > 0, x, jnp.exp(x) - 1),
            "where(x > 0, x, exp(x) - 1)",
        ),
        Case(
            "20-term polynomial",
            " + x*(".join(f"{1 / (k + 1):.6f}" for k in range(20)) + ")" * 19,
            "x",
            lambda x: _horner(x),
            lambda x: _horner(x),
            lambda x: _horner(x),
            " + x*(".join(f"{1 / (k + 1):.6f}" for k in range(20)) + ")" * 19,
            tolerance=1e9,
        ),
        Case(
            "softmax(dim=-1)",
            "softmax(x, -1)",
            "x",
            lambda x: torch.softmax(x, -1),
            jax=lambda x: nn.softmax(x, -1),
            tolerance=1e-6,
            target=">= 1.5x",
        ),
        Case(
            "log_softmax(dim=-1)",
            "log_softmax(x, -1)",
            "x",
            lambda x: torch.log_softmax(x, -1),
            jax=lambda x: nn.log_softmax(x, -1),
            target=">= 1.9x",
        ),
        Case("logsumexp(dim=1)", "logsumexp(x, 1)", "x", lambda x: torch.logsumexp(x, 1)),
        Case("layer_norm", "layer_norm(x, [1024], w, b)", "x w b", lambda x, w, b: f.layer_norm(x, (1024,), w, b)),
        Case("rms_norm", "rms_norm(x, [1024], w)", "x w", lambda x, w: f.rms_norm(x, (1024,), w)),
        Case(
            "sum",
            "sum(x)",
            "x",
            torch.sum,
            np.sum,
            lambda x: jnp.sum(x),
            "sum(x)",
            tolerance=1e-1,
            target=">= 0.97x the best",
        ),
        Case(
            "sum(dim=0)",
            "sum(x, 0)",
            "x",
            lambda x: x.sum(0),
            lambda x: x.sum(0),
            lambda x: x.sum(0),
            tolerance=1e-3,
            target=">= 0.97x the best",
        ),
        Case(
            "sum(dim=1)",
            "sum(x, 1)",
            "x",
            lambda x: x.sum(1),
            lambda x: x.sum(1),
            lambda x: x.sum(1),
            tolerance=1e-3,
            target=">= 0.97x the best",
        ),
        Case("var(dim=1)", "var(x, 1)", "x", lambda x: x.var(1), lambda x: x.var(1, ddof=1), target=">= 1.6x"),
        Case("argmax(dim=1)", "argmax(x, 1)", "x", lambda x: x.argmax(1), lambda x: x.argmax(1), target=">= 5x"),
        Case("mse_loss", "mse_loss(x, z)", "x z", f.mse_loss, target=">= 1.15x"),
        Case("cross_entropy", "cross_entropy(x, t)", "x t", f.cross_entropy, target=">= 1.8x"),
        Case("(1Mi, 3) * (3,)", "n3 * v3", "n3 v3", lambda a, b: a * b, lambda a, b: a * b, lambda a, b: a * b),
        Case("sum of (1Mi, 3)", "sum(n3, 1)", "n3", lambda a: a.sum(1), lambda a: a.sum(1), lambda a: a.sum(1)),
        Case("gelu, bfloat16", "gelu(h)", "h", f.gelu, tolerance=5e-2),
        Case("exp, float64", "exp(d)", "d", torch.exp, np.exp, numexpr="exp(d)"),
    ]


def _horner(x: Any) -> Any:
    y = 1 / 20
    for k in range(18, -1, -1):
        y = 1 / (k + 1) + x * y
    return y
