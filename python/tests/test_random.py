"""Random tensors against Philox4x32-10 written out here, statistics, and any number of threads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rusttorch as rt
import torch


def philox(counter: int, seed: int) -> list[int]:
    """Ten rounds, as the paper has them."""
    c = [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def words(seed: int, first: int, n: int) -> list[int]:
    """The first ``n`` words from counter ``first`` on."""
    return [w for c in range(first, first + (n + 3) // 4) for w in philox(c, seed)][:n]


def test_numbers_follow_from_seed_place_and_position() -> None:
    seed = 0x1234_5678_9ABC_DEF0
    rt.manual_seed(seed)
    a, b = rt.rand(3, 3), rt.rand(5)
    assert a.numpy().ravel().tolist() == [(w >> 8) / 2**24 for w in words(seed, 0, 9)]
    assert b.tolist() == [(w >> 8) / 2**24 for w in words(seed, 3, 5)]
    pairs = np.array(words(seed, 5, 8), "uint64").reshape(-1, 2)
    doubles = ((pairs[:, 1] << np.uint64(32) | pairs[:, 0]) >> np.uint64(11)).astype("float64") / 2**53
    assert rt.rand(4, dtype=rt.float64).tolist() == doubles.tolist()
    u, v = np.array(words(seed, 7, 8)).reshape(2, 4)
    radius, angle = np.sqrt(-2 * np.log(((u & 0x7FFFFFFF) + 1) / 2**31)), 2 * np.pi * (v >> 8) / 2**24
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    np.testing.assert_allclose(rt.randn(8).numpy(), normal, rtol=1e-5, atol=2e-6)
    pairs = np.array(words(seed, 9, 8), "object").reshape(-1, 2)
    assert rt.randint(-5, 100, (4,)).tolist() == [-5 + ((hi << 32 | lo) * 105 >> 64) for lo, hi in pairs]
    assert rt.get_rng_state() == (seed, 11)


def test_any_number_of_threads() -> None:
    results = []
    for n in (1, 2, 5):
        with rt.num_threads(n):
            rt.manual_seed(3)
            x = rt.ones(100_000)
            results.append([rt.randn(100_001).numpy(), rt.dropout(x, 0.3).numpy(), rt.randint(9, (70_000,)).numpy()])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert np.array_equal(a, b)


def test_the_place_is_taken_by_the_call() -> None:
    def run(force: bool) -> list[list[float]]:
        rt.manual_seed(1)
        x = rt.dropout(rt.ones(10) * 2, 0.5)
        if force:
            rt.eval(x)
        y = rt.rand(3) + x[:3]
        return [y.tolist(), x.tolist()]

    assert run(False) == run(True)


def test_statistics() -> None:
    n = 200_000
    rt.manual_seed(0)
    u, z = rt.rand(n).numpy(), rt.randn(n).numpy()
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(u.var() - 1 / 12) < 0.001
    assert 0 <= u.min() < u.max() < 1
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs((z**4).mean() - 3) < 0.1
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.01
    counts = np.bincount(rt.randint(7, (n,)).numpy(), minlength=7)
    assert ((counts - n / 7) ** 2 / (n / 7)).sum() < 30
    p = rt.full((n,), 0.3)
    assert abs(rt.bernoulli(p).numpy().mean() - 0.3) < 0.005
    d = rt.dropout(rt.ones(n), 0.25).numpy()
    assert set(np.unique(d)) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert abs((d == 0).mean() - 0.25) < 0.005
    x = rt.empty(n)
    assert abs(x.uniform_(2, 4).numpy().mean() - 3) < 0.01
    assert abs(x.normal_(5, 2).numpy().std() - 2) < 0.02


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_distributions_of_every_float(dtype: str) -> None:
    n, real = 100_001, getattr(rt, dtype)
    rt.manual_seed(4)
    u, z = (f(n, dtype=real).to(rt.float64).numpy() for f in (rt.rand, rt.randn))
    # The distance of the empirical distribution from the true one (Kolmogorov): beyond 2.2 / sqrt(n) once in 10,000
    # draws. A dtype of 8 bits has steps of its own.
    steps = 2.0**-8 if dtype == "bfloat16" else 2.0**-11 if dtype == "float16" else 0.0
    rank = (np.arange(n) + 0.5) / n
    assert np.abs(np.sort(u) - rank).max() < 2.2 / np.sqrt(n) + steps
    normal = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in np.sort(z)])
    assert np.abs(normal - rank).max() < 2.2 / np.sqrt(n) + steps
    assert 0 <= u.min() < u.max() < 1
    assert abs(np.corrcoef(z[: n // 2], z[n // 2 : n - 1])[0, 1]) < 0.015
    assert [tuple(rt.randn(*s, dtype=real).shape) for s in ((), (0,), (1,), (3, 5))] == [(), (0,), (1,), (3, 5)]


def test_generators() -> None:
    g = rt.Generator().manual_seed(5)
    a = rt.rand(4, generator=g)
    state = g.get_state()
    b = rt.rand(4, generator=g)
    g.set_state(state)
    assert rt.rand(4, generator=g).tolist() == b.tolist() != a.tolist()
    assert g.initial_seed() == 5
    assert g.seed() != g.seed()
    assert rt.rand_like(rt.zeros(2, 3).T, generator=g).stride() == (1, 3)


def test_errors() -> None:
    with pytest.raises(RuntimeError, match="p_in >= 0"):
        rt.bernoulli(rt.tensor([1.5]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        rt.dropout(rt.ones(2), 1.5)
    with pytest.raises(RuntimeError, match="from"):
        rt.randint(5, 5, (2,))
    with pytest.raises(NotImplementedError, match="check_uniform_bounds"):
        rt.rand(2, dtype=rt.int64)
    assert rt.dropout(rt.ones(3), 1.0).tolist() == [0, 0, 0]


def test_results_are_of_the_operands_kind() -> None:
    n = np.ones((40, 50), dtype=np.float32)
    t = torch.ones(40, 50, dtype=torch.float64)
    assert rt.dropout(t.bfloat16(), 0.5).dtype == torch.bfloat16
    for x, kind in ((n, np.ndarray), (t, torch.Tensor), (rt.ones(40, 50), rt.Tensor)):
        rt.manual_seed(3)
        y = rt.dropout(x, 0.25)
        assert type(y) is kind and y.dtype == x.dtype and tuple(y.shape) == (40, 50)
        values = np.unique(np.asarray(y))
        np.testing.assert_allclose(values, [0, 4 / 3], rtol=1e-6)
        assert rt.dropout(x, 0.25, training=False) is x
        z = x * 1
        assert rt.dropout(z, 1.0, inplace=True) is z
        assert (z == 0).all()
        for like in (rt.rand_like, rt.randn_like, rt.bernoulli):
            assert type(like(x)) is kind
    rt.manual_seed(3)
    x = torch.ones(1000, requires_grad=True)
    y = rt.dropout(x, 0.5)
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, y.detach())
