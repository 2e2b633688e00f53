"""Cases that are more than a text: they keep state, or are random."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import rusttorch as rt
from rusttorch.bench.cases import Array

if TYPE_CHECKING:
    from rusttorch.bench.peers import Candidate, Operands, Peers

SHARE = 0.1
LR, BETA1, BETA2, EPSILON, DECAY = 1e-3, 0.9, 0.999, 1e-8, 1e-2
ADAMW = """
adamw(w, m, v, g, lr, decay, beta1, beta2, eps, step):
m1 = beta1 * m + (1 - beta1) * g
v1 = beta2 * v + (1 - beta2) * g * g
scale = sqrt(1 - beta2 ** step) / (1 - beta1 ** step)
(1 - lr * decay) * w - lr * scale * m1 / (sqrt(v1) + eps * sqrt(1 - beta2 ** step)), m1, v1
"""


def candidate(peer: str, form: str, call: Callable[[], Any], **more: Any) -> Candidate:
    from rusttorch.bench.peers import Candidate, _arrays

    return Candidate(peer, form, call, more.pop("results", _arrays), **more)


def _check_dropout(x: Array) -> Callable[[tuple[Array, ...]], str]:
    """Kept elements are scaled, and as many are dropped as chance allows."""

    def check(results: tuple[Array, ...]) -> str:
        (y,) = results
        dropped = y == 0
        if not np.allclose(y[~dropped], x[~dropped] / (1 - SHARE), rtol=1e-6):
            return "kept elements have wrong values"
        share = float(dropped.mean())
        # Six standard deviations.
        if abs(share - SHARE) > 6 * math.sqrt(SHARE * (1 - SHARE) / y.size):
            return f"a share of {share:.4f} is dropped, not {SHARE}"
        return ""

    return check


def _dropout_ours(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    x = rt.tensor(operands.arrays["x"])
    yield candidate(
        "ours",
        "fresh",
        lambda: _evaluated(rt.dropout(x, SHARE)),
        results=lambda y: (y.numpy(),),
        check=_check_dropout(operands.arrays["x"]),
    )


def _evaluated(y: Any) -> Any:
    rt.eval(y)
    return y


def _dropout_torch(
    peers: Peers, operands: Operands, wrap: Callable[[Any], Any] = lambda f: f, name: str = "torch"
) -> Iterator[Candidate]:
    x = peers.torch.from_numpy(operands.arrays["x"])
    functional = peers.torch.nn.functional
    dropout = wrap(lambda x: functional.dropout(x, SHARE, True))
    yield candidate(name, "fresh", lambda: dropout(x), check=_check_dropout(operands.arrays["x"]))


def _dropout_compile(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    peers.torch._dynamo.reset()
    return _dropout_torch(peers, operands, lambda f: peers.torch.compile(f, dynamic=False), "compile")


def _dropout_jax(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    jax = peers.modules["jax"]
    jnp = peers.scopes["jax"]["jnp"]
    x = jax.device_put(operands.arrays["x"], may_alias=True)

    def draw(key: Any, x: Any) -> Any:
        key, used = jax.random.split(key)
        return key, jnp.where(jax.random.bernoulli(used, 1 - SHARE, x.shape), x / (1 - SHARE), 0)

    dropout = jax.jit(draw)
    key = jax.random.key(0)

    def call() -> Any:
        nonlocal key
        key, y = dropout(key, x)
        return jax.block_until_ready(y)

    yield candidate("jax", "fresh", call, check=_check_dropout(operands.arrays["x"]))


def _dropout_numpy(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    x = operands.arrays["x"]
    rng = np.random.default_rng(0)
    scale = np.float32(1 / (1 - SHARE))

    def call() -> Any:
        return np.where(rng.random(x.shape, np.float32) >= SHARE, x * scale, np.float32(0))

    yield candidate("numpy", "fresh", call, check=_check_dropout(x))


def _state(operands: Operands) -> list[Array]:
    """Weights and moments of a candidate's own, and the gradient."""
    a = operands.arrays
    return [a["y"].copy(), a["y1"].copy(), a["y2"].copy(), a["g"]]


def _adamw_ours(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    state = _state(operands)
    update = rt.expr(ADAMW)
    values = [peers.torch.from_numpy(a) for a in state] if peers.torch else state
    out = tuple(values[:3])
    yield candidate(
        "ours",
        "reused",
        lambda: update(*values, LR, DECAY, BETA1, BETA2, EPSILON, 1.0, out=out),
        results=lambda _: tuple(state[:3]),
    )


def _adamw_torch(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    torch = peers.torch
    state = _state(operands)
    w, m, v, g = (torch.from_numpy(a) for a in state)
    parameter = torch.nn.Parameter(w)
    parameter.grad = g
    optimizer = torch.optim.AdamW([parameter], lr=LR, betas=(BETA1, BETA2), eps=EPSILON, weight_decay=DECAY, fused=True)
    optimizer.state[parameter] = {"step": torch.tensor(0.0), "exp_avg": m, "exp_avg_sq": v}
    yield candidate("torch", "reused", optimizer.step, results=lambda _: tuple(state[:3]))


def _adamw_compile(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    torch = peers.torch
    torch._dynamo.reset()
    state = _state(operands)
    values = [torch.from_numpy(a) for a in state]

    def step(w: Any, m: Any, v: Any, g: Any) -> None:
        m.mul_(BETA1).add_(g, alpha=1 - BETA1)
        v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
        w.mul_(1 - LR * DECAY).sub_(LR * (m / (1 - BETA1)) / ((v / (1 - BETA2)).sqrt() + EPSILON))

    update = torch.compile(step, dynamic=False)
    yield candidate("compile", "reused", lambda: update(*values), results=lambda _: tuple(state[:3]))


def _adamw_jax(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    jax = peers.modules["jax"]
    jnp = peers.scopes["jax"]["jnp"]
    *state, g = (jnp.array(a) for a in _state(operands))

    def step(w: Any, m: Any, v: Any, g: Any) -> Any:
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g * g
        return (1 - LR * DECAY) * w - LR * (m / (1 - BETA1)) / (jnp.sqrt(v / (1 - BETA2)) + EPSILON), m, v

    update = jax.jit(step, donate_argnums=(0, 1, 2))

    def call() -> Any:
        nonlocal state
        state = jax.block_until_ready(update(*state, g))
        return state

    yield candidate("jax", "reused", call, note="donates the old values")


def _adamw_numpy(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    w, m, v, g = _state(operands)
    t, u = np.empty_like(w), np.empty_like(w)

    def update() -> None:
        np.multiply(m, BETA1, out=m)
        np.multiply(g, 1 - BETA1, out=t)
        np.add(m, t, out=m)
        np.multiply(v, BETA2, out=v)
        np.multiply(g, g, out=t)
        np.multiply(t, 1 - BETA2, out=t)
        np.add(v, t, out=v)
        np.divide(v, 1 - BETA2, out=t)
        np.sqrt(t, out=t)
        np.add(t, EPSILON, out=t)
        np.multiply(m, LR / (1 - BETA1), out=u)
        np.divide(u, t, out=t)
        np.multiply(w, 1 - LR * DECAY, out=w)
        np.subtract(w, t, out=w)

    yield candidate("numpy", "reused", update, results=lambda _: (w, m, v))


def _adamw_numexpr(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    evaluate = peers.modules["numexpr"].evaluate
    w, m, v, g = _state(operands)
    constants = {
        "b1": BETA1,
        "b2": BETA2,
        "a1": 1 - BETA1,
        "a2": 1 - BETA2,
        "lr": LR,
        "k": 1 - LR * DECAY,
        "eps": EPSILON,
    }
    names = {"w": w, "m": m, "v": v, "g": g} | {k: np.float32(x) for k, x in constants.items()}

    def update() -> None:
        evaluate("b1*m + a1*g", names, {}, out=m)
        evaluate("b2*v + a2*g*g", names, {}, out=v)
        evaluate("k*w - lr*(m/a1)/(sqrt(v/a2) + eps)", names, {}, out=w)

    yield candidate("numexpr", "reused", update, results=lambda _: (w, m, v))


def _adamw_numba(peers: Peers, operands: Operands) -> Iterator[Candidate]:
    numba = peers.modules["numba"]
    sqrt = math.sqrt
    b1, b2, a1, a2 = (np.float32(c) for c in (BETA1, BETA2, 1 - BETA1, 1 - BETA2))
    lr, k, eps = (np.float32(c) for c in (LR, 1 - LR * DECAY, EPSILON))
    prange = numba.prange

    @numba.njit(error_model="numpy", parallel=peers.threads > 1 and operands.n >= 1 << 16)  # type: ignore[untyped-decorator]
    def update(w: Any, m: Any, v: Any, g: Any) -> None:
        for i in prange(w.shape[0]):
            for j in range(w.shape[1]):
                m1 = b1 * m[i, j] + a1 * g[i, j]
                v1 = b2 * v[i, j] + a2 * g[i, j] * g[i, j]
                m[i, j] = m1
                v[i, j] = v1
                w[i, j] = k * w[i, j] - lr * (m1 / a1) / (sqrt(v1 / a2) + eps)

    state = _state(operands)
    yield candidate("numba", "reused", lambda: update(*state), results=lambda _: tuple(state[:3]))


#: By a case's ``special``, who has it.
SPECIAL: dict[str, dict[str, Callable[[Peers, Operands], Iterator[Candidate]]]] = {
    "dropout": {
        "ours": _dropout_ours,
        "torch": _dropout_torch,
        "compile": _dropout_compile,
        "jax": _dropout_jax,
        "numpy": _dropout_numpy,
    },
    "adamw": {
        "ours": _adamw_ours,
        "torch": _adamw_torch,
        "compile": _adamw_compile,
        "jax": _adamw_jax,
        "numpy": _adamw_numpy,
        "numexpr": _adamw_numexpr,
        "numba": _adamw_numba,
    },
}
