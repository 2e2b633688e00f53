"""Functions of numbers, integers and bits against torch, and SciPy for the special ones: values, dtypes, gradients."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import rusttorch as rt
import scipy.special
import torch

D = torch.float64
DTYPES = [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32, torch.float64]
SPECIAL = torch.tensor(
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 1e-30, 3.7, -3.3, 12.5, 1e30, torch.inf, -torch.inf, torch.nan],
    dtype=D,
)
torch.manual_seed(3)

UNARY = [
    "angle",
    "digamma",
    "erfinv",
    "i0",
    "sinc",
    "isneginf",
    "isposinf",
    "nan_to_num",
    "count_nonzero",
    "nansum",
    "ravel",
    "t",
]
UNARY_SPECIAL = [
    "entr",
    "erfcx",
    "i0e",
    "i1",
    "i1e",
    "ndtr",
    "log_ndtr",
    "ndtri",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
]
BINARY = [
    "float_power",
    "gcd",
    "lcm",
    "heaviside",
    "hypot",
    "isclose",
    "ldexp",
    "logaddexp2",
    "nextafter",
    "rsub",
    "clamp_min",
    "clamp_max",
    "outer",
    "dot",
    "dist",
]


def theirs(name):
    return getattr(torch, name, None) or getattr(torch.special, name)


def sample(dtype, n=64):
    if dtype == torch.bool:
        return torch.rand(n) > 0.5
    if dtype.is_floating_point:
        return torch.cat([SPECIAL, torch.randn(n - len(SPECIAL), dtype=D) * 3]).to(dtype)
    return torch.randint(0 if dtype == torch.uint8 else -90, 90, (n,)).to(dtype)


def same(ours, theirs, *args, tol=None, **keywords):
    """Equal results, or errors of the same class and words."""
    try:
        want = theirs(*args, **keywords)
    except Exception as e:
        with pytest.raises(type(e)) as raised:
            ours(*args, **keywords)
        assert str(raised.value) == str(e)
        return
    got = ours(*args, **keywords)
    assert got.dtype == want.dtype and got.shape == want.shape, (got.dtype, want.dtype)
    default = 2e-6 if want.dtype == torch.float32 else 1e-13
    tol = default if tol is None or want.dtype == torch.float32 else tol
    torch.testing.assert_close(got, want, rtol=tol, atol=tol, equal_nan=True, check_stride=False)
    if want.is_floating_point():
        zeros = want == 0
        assert torch.equal(torch.signbit(got[zeros]), torch.signbit(want[zeros]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", UNARY + UNARY_SPECIAL)
def test_unary(name, dtype):
    x = sample(dtype)
    if dtype.is_floating_point and name == "nansum":
        x = torch.nan_to_num(x, posinf=1.0, neginf=1.0) / 1e30
    # The asymptotic parts of torch's own differ by some ULP: accuracy is `test_special_functions`.
    tol = 3e-12 if name in ("digamma", "i0", "i1", "log_ndtr", "erfcx") else None
    if name.startswith("bessel"):
        tol = 1e-5  # torch's are off by up to 1e-6, at f64 too
    if name.startswith("bessel") or name in ("i0", "i1", "digamma", "erfcx"):
        x = x[(x.abs() < 30) | (x != x)] if dtype.is_floating_point else x // 8 if dtype != torch.bool else x
    same(getattr(rt, name), theirs(name), x, tol=tol)
    for shape in ((), (0,)):
        y = torch.ones(shape, dtype=dtype)
        same(getattr(rt, name), theirs(name), y, tol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype):
    x, y = sample(dtype), sample(dtype).flip(0)
    if name in ("outer", "dot", "dist"):
        x, y = x[16:], y[:-16]
    if name == "ldexp":
        y = (y.float().nan_to_num(0.0, 9.0, 9.0).clamp(-20, 20)).to(dtype)
    if name == "float_power" and not dtype.is_floating_point:
        y = y % 5 if dtype != torch.bool else y
    same(getattr(rt, name), theirs(name), x, y, tol=1e-12)
    if name not in ("outer", "dot"):
        same(getattr(rt, name), theirs(name), x[:, None], y[:3], tol=1e-12)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_number_theory(dtype):
    # NumPy's: torch's process ends by a signal where the smallest number is divided by -1.
    info = np.iinfo(dtype)
    rng = np.random.default_rng(2)
    some = [0, 1, 2, 3, 4, 6, 12, 97, 120, info.max, info.max - 1, info.max // 2 + 1]
    some += [info.min, info.min + 1, -1, -2, -6, -97] if info.min else []
    x = np.concatenate([np.array(some, dtype), rng.integers(info.min, info.max, 100, dtype, endpoint=True)])
    x = np.concatenate([x, (x // 7).astype(dtype), x & 24])
    for name in ("gcd", "lcm"):
        got, want = getattr(rt, name)(x[:, None], x), getattr(np, name)(x[:, None], x)
        if name == "lcm" and info.bits >= 32:
            want = np.abs(want)  # as PyTorch, where the product has wrapped
        assert got.dtype == want.dtype and np.array_equal(got, want), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_remainders_are_exact(dtype):
    rng = np.random.default_rng(3)
    tiny, huge = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    limit = 2.0 ** (23 if dtype == "float32" else 52)
    some = [0.0, -0.0, 1, -1, 3, -3, 0.1, -0.1, 7.5, tiny, -tiny, huge, -huge, np.inf, -np.inf, np.nan]
    some += [limit - 1, limit - 0.5, limit, limit + 1, 2 * limit - 1, 2 * limit, 3 * limit]
    x = np.concatenate([some, rng.normal(size=200), rng.normal(size=100) * 1e6, 10.0 ** rng.uniform(-30, 30, 100)])
    x = x.astype(dtype)
    a, b = np.broadcast_arrays(x[:, None], x)
    with np.errstate(all="ignore"):
        fmod = np.fmod(a, b)
        # The quotients of the product and of its neighbours are integers, or just not.
        product = (np.trunc(a) * b).astype(dtype)
        near = [product, np.nextafter(product, np.inf, dtype=dtype), np.nextafter(product, -np.inf, dtype=dtype)]
        wants = [np.fmod(p, b) for p in near]
        shifted = np.where((fmod != 0) & ((b < 0) != (fmod < 0)), fmod + b, fmod)
    for got, want in [(rt.fmod(a, b), fmod), (rt.remainder(a, b), shifted)]:
        assert np.array_equal(got, want, equal_nan=True)
        assert np.array_equal(np.signbit(got), np.signbit(want) & ~np.isnan(want) | np.signbit(got) & np.isnan(want))
    for p, want in zip(near, wants, strict=True):
        assert np.array_equal(rt.fmod(p, b), want, equal_nan=True)
    quotients = torch.from_numpy(a.copy()), torch.from_numpy(b.copy())
    same(rt.floor_divide, torch.floor_divide, *quotients)


SCIPY = {
    "erfinv": (scipy.special.erfinv, (-1, 1)),
    "ndtri": (scipy.special.ndtri, (0, 1)),
    "erfcx": (scipy.special.erfcx, (-4, 1e3)),
    "ndtr": (scipy.special.ndtr, (-6, 8)),
    "log_ndtr": (scipy.special.log_ndtr, (-200, 5)),
    "i0": (scipy.special.i0, (-60, 60)),
    "i0e": (scipy.special.i0e, (-1e4, 1e4)),
    "i1": (scipy.special.i1, (-60, 60)),
    "i1e": (scipy.special.i1e, (-1e4, 1e4)),
    "digamma": (scipy.special.digamma, (2, 1e4)),
    "bessel_j0": (scipy.special.j0, (0, 2)),
    "bessel_y1": (scipy.special.y1, (0.1, 2)),
}


@pytest.mark.parametrize("name", SCIPY)
def test_special_functions(name):
    f, (low, high) = SCIPY[name]
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(low, high, 4000), rng.uniform(max(low, -3), min(high, 3), 2000)])
    if name in ("ndtri", "erfinv"):
        x = np.concatenate([x, 10.0 ** rng.uniform(-12, -0.01, 1000)])
    got, want = getattr(rt, name)(x), f(x)
    assert np.max(np.abs(got - want) / np.maximum(np.abs(want), 1e-300)) < 4e-15
    single = x.astype(np.float32)
    want = f(single.astype(np.float64))
    # Rounded once from f64.
    ulp = np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(getattr(rt, name)(single) - want) / ulp) < 0.51


@pytest.mark.parametrize(
    ("name", "f", "low", "high"),
    [
        ("asinh", np.arcsinh, 1e-30, 1e38),
        ("acosh", np.arccosh, 1.0001, 1e38),
        ("atanh", np.arctanh, 1e-30, 0.9999),
        ("erfc", scipy.special.erfc, 1e-30, 10.1),
        ("erfcx", scipy.special.erfcx, 1e-30, 1e37),
        ("ndtri", scipy.special.ndtri, 1e-37, 0.9),
        ("lgamma", scipy.special.gammaln, 1e-37, 1e36),
        ("digamma", scipy.special.digamma, 1e-37, 1e36),
        ("i0e", scipy.special.i0e, 1e-30, 1e37),
        ("i1e", scipy.special.i1e, 1e-30, 1e37),
        ("i0", scipy.special.i0, 1e-30, 88.0),
        ("i1", scipy.special.i1, 1e-30, 88.0),
    ],
)
def test_special_functions_of_any_magnitude(name, f, low, high):
    rng = np.random.default_rng(4)
    x = np.exp(rng.uniform(np.log(low), np.log(high), 6000))
    x = np.concatenate([x, np.clip(rng.uniform(0.5, 9, 6000), low, high)]).astype(np.float32)
    x = np.concatenate([x, -x[x <= 0.9]]) if name in ("erfc", "asinh", "atanh", "i1e", "i1", "i0") else x
    want = f(x.astype(np.float64))
    ulp = np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(getattr(rt, name)(x) - want) / ulp) < 0.51


@pytest.mark.parametrize("name", ["bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1"])
def test_bessel_functions(name):
    """Against 30 digits: next to zeros, at the seams of the method and far out, where SciPy loses digits."""
    kind, order = name[-2], int(name[-1])
    exact = mpmath.besselj if kind == "j" else mpmath.bessely
    zero = mpmath.besseljzero if kind == "j" else mpmath.besselyzero
    rng = np.random.default_rng(7)
    x = np.concatenate(
        [np.exp(rng.uniform(-88, 88, 150)), rng.uniform(0.01, 30, 300), [8.0, 262144.0], 2.0 ** np.arange(-140, 128, 9)]
    )
    with mpmath.workdps(30):
        zeros = np.array([float(zero(order, k)) for k in (1, 2, 3, 4, 9, 30)])
        for dtype in (np.float32, np.float64):
            points = np.concatenate([x, zeros]).astype(dtype)
            points = np.concatenate([points, np.nextafter(points, dtype(0)), np.nextafter(points, dtype(np.inf))])
            wants = [exact(order, mpmath.mpf(float(p))) for p in points]
            got = getattr(rt, name)(points)
            for p, value, want in zip(points, got, wants, strict=True):
                if abs(want) > float(np.finfo(dtype).max):
                    assert value == -np.inf
                    continue
                unit = np.spacing(dtype(abs(want)))
                error = float(abs(mpmath.mpf(float(value)) - want))
                amplitude = max(abs(float(want)), math.sqrt(2 / (math.pi * p))) if p > 1 else max(1.0, abs(float(want)))
                assert error <= (0.51 * unit if dtype == np.float32 else 2e-15 * amplitude), (p, value, want)
    for dtype in (np.float32, np.float64):
        points = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.5, 5e-324], dtype=dtype)
        wants = {
            "bessel_j0": [1, 1, 0, 0, np.nan, 0.5118276717359181, 1],
            "bessel_j1": [0, 0, 0, 0, np.nan, -0.5579365079100996, 0],
            "bessel_y0": [-np.inf, -np.inf, 0, np.nan, np.nan, np.nan, -473.999073423004],
            "bessel_y1": [-np.inf, -np.inf, 0, np.nan, np.nan, np.nan, -np.inf],
        }[name]
        wants[-1] = -np.inf if name == "bessel_y0" and dtype == np.float32 else wants[-1]
        got = getattr(rt, name)(points)
        np.testing.assert_allclose(got, np.array(wants, dtype), rtol=1e-6, atol=1e-40)
        assert name != "bessel_j1" or np.array_equal(np.signbit(got[:2]), [False, True])


def test_zeta_and_polygamma():
    rng = np.random.default_rng(1)
    x, q = rng.uniform(1.01, 30, 2000), 10.0 ** rng.uniform(-2, 10, 2000)
    near = lambda a, b: np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-300))  # noqa: E731
    assert near(rt.zeta(x, q), scipy.special.zeta(x, q)) < 1e-13
    for n in (0, 1, 2, 3, 7, 20):
        y = rng.uniform(2, 60, 1000)
        assert near(rt.polygamma(n, y), scipy.special.polygamma(n, y)) < 4e-14
        z = torch.tensor([0.5, 1.25, -0.3, -2.75, -7.5, 0.0, -1.0, float("nan")], dtype=D)
        if n in (2, 3, 7):  # of 20, torch loses all digits at -7.5
            same(rt.polygamma, torch.polygamma, n, z, tol=1e-9)
    x = torch.tensor([1.0, 0.5, 2.0, 3.0, 2.5, 4.0, float("nan"), 2.0], dtype=D)
    q = torch.tensor([2.0, 2.0, -3.0, -2.5, -2.5, 0.0, 1.0, 1e9], dtype=D)
    for dtype in (D, torch.float32):
        same(rt.zeta, torch.special.zeta, x.to(dtype), q.to(dtype), tol=1e-12)
    # The limit, of which torch makes NaN.
    assert float(rt.zeta(torch.tensor(2.0), torch.tensor(float("inf")))) == 0.0
    # A term of a number below 1 has no bound.
    below = torch.tensor([-36.28, -2.7, -1e-45, -0.5], dtype=D)
    assert torch.equal(rt.zeta(torch.tensor(torch.inf, dtype=D), below), torch.full((4,), torch.inf, dtype=D))
    # However far below zero, no loop runs there.
    assert abs(float(rt.zeta(2.0, torch.tensor(-1e15 - 0.5, dtype=D))) - np.pi**2) < 1e-12
    x = x.requires_grad_()
    with pytest.raises(NotImplementedError, match="the derivative by the exponent"):
        rt.zeta(x, q).sum().backward()


def test_incomplete_gamma():
    rng = np.random.default_rng(2)
    a = 10.0 ** rng.uniform(-8, 6, 4000)
    x = a * np.concatenate([rng.uniform(0.5, 2, 1000), 10.0 ** rng.uniform(-3, 3, 1000), np.ones(2000)])
    x[2000:] += rng.normal(size=2000) * np.sqrt(a[2000:])
    x = np.abs(x)
    for ours, theirs in ((rt.igamma, scipy.special.gammainc), (rt.igammac, scipy.special.gammaincc)):
        got, want = ours(a, x), theirs(a, x)
        # SciPy's own error grows with the exponent of e.
        assert np.max(np.abs(got - want) / np.maximum(want, 1e-100)) < 2e-11
        single = [v.astype(np.float32) for v in (a, x)]
        want = ours(*(v.astype(np.float64) for v in single))
        ulp = np.spacing(want.astype(np.float32)).astype(np.float64)
        assert np.max(np.abs(ours(*single) - want) / ulp) < 0.51
    # Of mpmath, by sums of 370 digits: both tails, next to a, small a, and Temme's expansion.
    exact = [
        (1e-10, 0.25, 0.9999999998955718, 1.0442826344499779e-10),
        (1e-10, 3.0, 0.9999999999986952, 1.3048381096671611e-12),
        (0.5, 1e-12, 1.1283791670951364e-06, 0.9999988716208329),
        (0.75, 0.5, 0.5279371098346718, 0.4720628901653282),
        (1.5, 40.0, 1.0, 3.069277486172417e-17),
        (3.0, 2.5, 0.45618688411667047, 0.5438131158833295),
        (15.9, 60.0, 0.9999999999963679, 3.6321175583082646e-12),
        (20.0, 20.0, 0.52974273316076, 0.47025726683923996),
        (30.0, 1.0, 1.4330814167223182e-33, 1.0),
        (60.0, 75.0, 0.9669265190886953, 0.033073480911304666),
        (199.0, 180.0, 0.08558219112569447, 0.9144178088743056),
        (200.5, 150.0, 4.903318993286559e-05, 0.9999509668100671),
        (250.0, 330.0, 0.9999981106125596, 1.8893874404113586e-06),
        (400.0, 401.0, 0.5265589208494638, 0.4734410791505362),
        (1000.0, 700.5, 1.2603663425739508e-26, 1.0),
        (1500.0, 2600.0, 1.0, 5.569460071325763e-122),
        (5000.0, 4990.0, 0.4455940887896612, 0.5544059112103388),
        (20000.0, 20500.0, 0.9997749719643576, 0.0002250280356423413),
    ]
    a, x, p, q = np.array(exact).T
    assert np.max(np.abs(rt.igamma(a, x) / p - 1)) < 2e-13
    assert np.max(np.abs(rt.igammac(a, x) / q - 1)) < 2e-13
    pairs = torch.cartesian_prod(SPECIAL, SPECIAL)
    pairs = torch.cat(
        [pairs, torch.cartesian_prod(torch.logspace(-3, 2, 12, dtype=D), torch.logspace(-3, 2, 15, dtype=D))]
    )
    for dtype, tol in ((D, 1e-8), (torch.float32, 1e-4)):
        y, z = pairs.to(dtype).T.contiguous()
        same(rt.igamma, torch.special.gammainc, y, z, tol=tol)
        same(rt.igammac, torch.special.gammaincc, y, z, tol=tol)
    y, z = torch.rand(8, dtype=D) * 5, (torch.rand(8, dtype=D) * 5).requires_grad_()
    for ours, theirs in ((rt.igamma, torch.special.gammainc), (rt.igammac, torch.special.gammaincc)):
        (got,) = torch.autograd.grad(ours(y, z).sum(), z)
        (want,) = torch.autograd.grad(theirs(y, z).sum(), z)
        assert torch.allclose(got, want, rtol=1e-13)
        with pytest.raises(NotImplementedError, match=f"the derivative for '{ours.__name__}"):
            ours(y.clone().requires_grad_(), z.detach()).sum().backward()


GRADIENTS = {
    "polygamma": (lambda x: torch.polygamma(2, x.abs() + 1), 1),
    "angle": (torch.angle, 1),
    "digamma": (torch.digamma, 1),
    "lgamma": (torch.lgamma, 1),
    "erfinv": (lambda x: torch.erfinv(x / 4), 1),
    "erfcx": (torch.special.erfcx, 1),
    "ndtr": (torch.special.ndtr, 1),
    "ndtri": (lambda x: torch.special.ndtri(torch.sigmoid(x)), 1),
    "log_ndtr": (torch.special.log_ndtr, 1),
    "i0": (torch.i0, 1),
    "i0e": (torch.special.i0e, 1),
    "i1": (torch.special.i1, 1),
    "i1e": (torch.special.i1e, 1),
    "sinc": (torch.sinc, 1),
    "entr": (lambda x: torch.special.entr(x.abs()), 1),
    "xlog1py": (lambda x, y: torch.special.xlog1py(x, y.abs()), 2),
    "logaddexp2": (torch.logaddexp2, 2),
    "hypot": (torch.hypot, 2),
    "float_power": (lambda x, y: torch.float_power(x.abs(), y), 2),
    "ldexp": (torch.ldexp, 2),
    "rsub": (lambda x, y: torch.rsub(x, y, alpha=2), 2),
    "clamp_min": (torch.clamp_min, 2),
    "clamp_max": (torch.clamp_max, 2),
    "clamp": (lambda x, y: torch.clamp(x, y, y + 0.5), 2),
    "clamp_swapped": (lambda x, y: torch.clamp(x, y, y - 0.5), 2),
    "clamp_numbers": (lambda x: torch.clamp(x, 0.0, 0.5) + torch.clamp_min(x, 0.0) * torch.clamp(x, max=0.0), 1),
    "nan_to_num": (torch.nan_to_num, 1),
    "masked_fill": (lambda x: torch.masked_fill(x, x > 0.25, 1.5), 1),
    "tril": (lambda x: torch.tril(x, -1), 1),
    "triu": (lambda x: torch.triu(x, 1), 1),
    "outer": (lambda x, y: torch.outer(torch.select(x, 0, 1), torch.select(y, 1, -1)), 2),
    "dot": (lambda x, y: torch.dot(torch.ravel(x), torch.ravel(torch.t(y))), 2),
    "diff": (lambda x: torch.diff(x, dim=0), 1),
    "dist": (torch.dist, 2),
    "narrow": (lambda x: torch.narrow(x, 1, 1, 2), 1),
    "narrow_0": (lambda x: torch.narrow(x, 1, 2, 0), 1),
    "select": (lambda x: torch.select(x, 1, 2), 1),
    "flip": (lambda x: torch.flip(x, (0, 1)), 1),
    "unflatten": (lambda x: torch.unflatten(torch.narrow(x, 1, 0, 4), 1, (2, -1)), 1),
    "nansum": (lambda x: torch.nansum(x, 1), 1),
    "nanmean": (lambda x: torch.nanmean(x, 0, keepdim=True), 1),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    f, count = GRADIENTS[name]
    args = [torch.randn(6, 6, dtype=D)[:, :5] for _ in range(count)]
    if name == "dot":
        args[1] = args[1][:5]
        args[0] = args[0][:5]
    args[0][0, 0] = 0.5 if name in ("digamma", "lgamma", "entr", "float_power") else 0.0
    if name.startswith("clamp") and count == 2:
        args[1][1] = args[0][1]  # ties

    def g(*a):
        return (f(*a) * f(*a) * 0.5 + f(*a)).sum()

    leaves = [a.clone().requires_grad_() for a in args]
    wanted = torch.autograd.grad(g(*leaves), leaves, allow_unused=True)
    value, grads = rt.value_and_grad(g, tuple(range(count)))(*args)
    torch.testing.assert_close(value, g(*args), rtol=1e-11, atol=1e-12)
    for got, want in zip(grads, wanted, strict=True):
        want = torch.zeros_like(got) if want is None else want
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11, equal_nan=True, check_stride=False)


def test_views_and_masks():
    x = torch.arange(60.0).reshape(3, 4, 5)
    for f in (
        lambda m: m.select(x, 1, -1),
        lambda m: m.select(x, 0, 3),
        lambda m: m.narrow(x, 2, 1, 3),
        lambda m: m.narrow(x, 2, -2, 1),
        lambda m: m.narrow(x, 2, 3, 3),
        lambda m: m.narrow(x, 2, 9, 1),
        lambda m: m.narrow(x, 2, 0, -1),
        lambda m: m.flip(x, (0, 2)),
        lambda m: m.flip(x, (0, 0)),
        lambda m: m.unflatten(x, 1, (2, -1)),
        lambda m: m.unflatten(x, 1, (3, -1)),
        lambda m: m.t(x),
        lambda m: m.tril(x, 1),
        lambda m: m.triu(x, -1),
        lambda m: m.tril(x[0, 0]),
        lambda m: m.diff(x, dim=1),
        lambda m: m.diff(x > 7),
        lambda m: m.masked_fill(x, x > 30, 2),
        lambda m: m.masked_fill(x.long(), x > 30, 2.7),
        lambda m: m.masked_fill(x, x > 30, torch.ones(2)),
        lambda m: m.count_nonzero(x, dim=(0, 2)),
        lambda m: m.amax(x, (0, 2)),
        lambda m: m.nanmean(x.long()),
        lambda m: m.isclose(x, x.double()),
        lambda m: m.isclose(x, x, rtol=-1),
        lambda m: m.isclose(x * torch.nan, x * torch.nan, equal_nan=True),
        lambda m: m.nan_to_num(SPECIAL, nan=7.0, posinf=8.0),
        lambda m: m.heaviside(x, x.double()),
        lambda m: m.polygamma(1, x),
        lambda m: m.polygamma(-1, x),
        lambda m: m.outer(x, x),
        lambda m: m.dot(x, x),
        lambda m: m.dot(x[0, 0], x[0, :, 0]),
    ):
        same(lambda f=f: f(rt), lambda f=f: f(torch), tol=1e-12)
    assert rt.l1_penalty(x) == x.abs().sum() and rt.l2_penalty(x) == (x * x).sum()


def test_numbers_are_computed_as_python_computes_them():
    x = torch.randn(5, dtype=D)
    torch.testing.assert_close(rt.expr("(1 - k) * x")(0.1, x), (1 - 0.1) * x, rtol=1e-15, atol=0)
    torch.testing.assert_close(rt.expr("x + log(k)")(x, 0.3), x + np.log(0.3), rtol=1e-15, atol=1e-15)
    assert rt.expr("x * log(k)")(x.float(), 0.3).dtype == torch.float32


def test_scaled_bessel_functions_of_the_largest_numbers() -> None:
    x = torch.tensor([2.8e307, 2.9e307, 1.7e308, -1.7e308, torch.inf], dtype=D)
    for ours, theirs in ((rt.i0e, torch.special.i0e), (rt.i1e, torch.special.i1e)):
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-14, atol=0)
