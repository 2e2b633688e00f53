"""Gradients, against torch's autograd in float64 and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch
import torch.nn.functional as F
from rusttorch import func

UNARY = [
    "exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc",
    "sigmoid sqrt rsqrt reciprocal square abs neg floor frac sign",
]
ACTIVATIONS = """
    selu celu hardshrink softshrink tanhshrink relu relu6 hardtanh leaky_relu hardsigmoid
    hardswish softsign elu silu softplus logsigmoid mish gelu
"""


def torch_gradients(f, *args):
    args = [a.clone().requires_grad_() for a in args]
    value = f(*args)
    # The functions under test are f(args).sum(); torch's answer is unconnected only for steps.
    grads = torch.autograd.grad(value, args, allow_unused=True)
    return value.detach(), [torch.zeros_like(a) if g is None else g for a, g in zip(args, grads, strict=True)]


def flat(value_and_grads):
    value, grads = value_and_grads
    return [value, *grads]


def check(ours, theirs, *args, tol=1e-12):
    derived = rt.value_and_grad(ours, argnums=tuple(range(len(args))))
    value, grads = derived(*args)
    # Tensors of ours and NumPy's arrays: the same bits (torch's, where the function reads a tensor of its own).
    for convert in (rt.from_dlpack, lambda x: x.numpy()):
        for x, y in zip(flat(derived(*map(convert, args))), flat((value, grads)), strict=True):
            assert x.shape == y.shape and np.array_equal(np.asarray(x), y.numpy(), equal_nan=True)
    expected, wanted = torch_gradients(theirs, *args)
    torch.testing.assert_close(value, expected, rtol=tol, atol=tol, check_stride=False)
    for g, w in zip(grads, wanted, strict=True):
        assert g.shape == w.shape and g.dtype == w.dtype
        torch.testing.assert_close(g, w, rtol=tol, atol=tol, equal_nan=True, check_stride=False)


def points(name):
    torch.manual_seed(0)
    x = torch.randn(7, 9, dtype=torch.float64)
    if name in ("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal"):
        return x.abs() + 0.1
    if name == "acosh":
        return x.abs() + 1.1
    if name in ("asin", "acos", "atanh"):
        return torch.tanh(x) * 0.9
    return x.abs() if name == "log1p" else x


@pytest.mark.parametrize("name", " ".join(UNARY).split())
def test_unary(name):
    weights = torch.linspace(-1, 2, 63, dtype=torch.float64).reshape(7, 9)
    f = getattr(torch, name)
    check(lambda x, w: (f(x) * w).sum(), lambda x, w: (f(x) * w).sum(), points(name), weights, tol=1e-11)


@pytest.mark.parametrize("name", ACTIVATIONS.split())
def test_activations(name):
    x = torch.linspace(-8, 8, 65, dtype=torch.float64)  # with kinks at -3, 0, 1, 3, 6
    f = getattr(F, name)
    # torch's hardsigmoid has 1/6 in float32 whatever the dtype.
    tol = 1e-7 if name == "hardsigmoid" else 1e-11
    check(lambda x: (f(x) * x).sum(), lambda x: (f(x) * x).sum(), x, tol=tol)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gelu(approximate, dtype):
    x = torch.linspace(-6, 6, 101, dtype=dtype)
    f = lambda x: F.gelu(x, approximate=approximate).sum()  # noqa: E731
    check(f, f, x, tol=1e-11 if dtype == torch.float64 else 2e-6)


BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: torch.pow(a, b),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "atan2": torch.atan2,
    "remainder": torch.remainder,
    "fmod": torch.fmod,
    "where": lambda a, b: torch.where(a > b, a, b * b),
}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", [((5, 4), (5, 4)), ((5, 4), (4,)), ((5, 1), (1, 4)), ((), (3,)), ((2, 0), (2, 1))])
def test_binary_broadcast(name, shapes):
    torch.manual_seed(1)
    a, b = (torch.rand(s, dtype=torch.float64) + 0.5 for s in shapes)
    f = lambda a, b: (BINARY[name](a, b) * 1.5).sum()  # noqa: E731
    check(f, f, a, b)


def test_ties():
    a = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
    b = torch.tensor([1.0, 1.0, 3.0], dtype=torch.float64)
    for f in (lambda a, b: torch.maximum(a, b).sum(), lambda a, b: torch.minimum(a, b).sum()):
        check(f, f, a, b)
    for f in (lambda a: torch.amax(a), lambda a: torch.amin(a), lambda a: a.abs().sum()):
        check(f, f, a)


REDUCTIONS = {
    "sum": lambda x: (torch.sum(x, 1) ** 2).sum(),
    "sum0": lambda x: (torch.sum(x, 0, keepdim=True) * x).sum(),
    "mean": lambda x: (torch.mean(x, 1) ** 2).sum(),
    "var": lambda x: (torch.var(x, 1) ** 2).sum(),
    "std": lambda x: torch.std(x, 0).sum(),
    "prod": lambda x: torch.prod(x, 1).sum(),
    "amax": lambda x: (torch.amax(x, 1) ** 2).sum(),
    "logsumexp": lambda x: (torch.logsumexp(x, 1) ** 2).sum(),
    "logsumexp_keep": lambda x: (torch.logsumexp(x, 0, keepdim=True) * x).sum(),
    "softmax": lambda x: (torch.softmax(x, 1) * x).sum(),
    "log_softmax": lambda x: (torch.log_softmax(x, 0) * x).sum(),
    "layer_norm": lambda x: (F.layer_norm(x, [6]) ** 3).sum(),
    "permute": lambda x: (torch.permute(x, (1, 0)) * 2.0).exp().sum(),
    "reshape": lambda x: (torch.reshape(x, (3, 10)) ** 3).sum(),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_and_views(name):
    torch.manual_seed(2)
    f = REDUCTIONS[name]
    check(f, f, torch.randn(5, 6, dtype=torch.float64), tol=1e-11)


def test_prod_with_zeros():
    for values in ([1.0, 0.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]):
        f = lambda x: torch.prod(x)  # noqa: E731
        check(f, f, torch.tensor(values, dtype=torch.float64))


SIGNS = torch.ones(6, 5, dtype=torch.float64) * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
LOSSES = {
    "smooth_l1": lambda x, y: F.smooth_l1_loss(x, y, beta=0.5),
    "smooth_l1_0": lambda x, y: F.smooth_l1_loss(x, y, beta=0.0, reduction="sum"),
    "bce": lambda x, y: F.binary_cross_entropy(torch.sigmoid(x), torch.sigmoid(y)),
    "kl_div": lambda x, y: F.kl_div(x, torch.softmax(y, 1), reduction="batchmean"),
    "kl_div_log": lambda x, y: F.kl_div(x, torch.log_softmax(y, 1), log_target=True, reduction="sum"),
    "margin_ranking": lambda x, y: F.margin_ranking_loss(x, y, torch.sign(x), margin=0.25),
    "hinge_embedding": lambda x, y: F.hinge_embedding_loss(x * y, torch.sign(y)),
    "soft_margin": lambda x, y: F.soft_margin_loss(x * y, SIGNS),
    "poisson": lambda x, y: F.poisson_nll_loss(x, torch.exp(y), full=True),
    "poisson_rate": lambda x, y: F.poisson_nll_loss(torch.exp(x), torch.exp(y), log_input=False),
    "cosine": lambda x, y: F.cosine_similarity(x, y).sum(),
    "normalize": lambda x, y: (F.normalize(x) * y).sum(),
    "norm": lambda x, y: torch.linalg.vector_norm(x - y, dim=1).sum(),
    "norm1": lambda x, y: torch.linalg.vector_norm(x - y, 1),
    "norm3": lambda x, y: torch.linalg.vector_norm(x * y, 3, dim=0).sum(),
    "norm_inf": lambda x, y: torch.linalg.vector_norm(x - y, float("inf"), dim=1).sum(),
    "logaddexp": lambda x, y: torch.logaddexp(x, y).sum(),
    "xlogy": lambda x, y: torch.special.xlogy(x, torch.exp(y)).sum(),
    "logit": lambda x, y: (torch.logit(torch.sigmoid(x)) * y).sum(),
    "copysign": lambda x, y: (torch.copysign(x, y) * y).sum(),
    "degrees": lambda x, y: (torch.deg2rad(x) * torch.rad2deg(y)).sum(),
    "softmin": lambda x, y: (F.softmin(x, 1) * y).sum(),
    "threshold": lambda x, y: (F.threshold(x, 0.25, 3.0) * y).sum(),
    "mse": lambda x, y: F.mse_loss(x, y),
    "l1": lambda x, y: F.l1_loss(x, y, reduction="sum"),
    "huber": lambda x, y: F.huber_loss(x, y, delta=0.75),
    "bce_logits": lambda x, y: F.binary_cross_entropy_with_logits(x, torch.sigmoid(y)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    torch.manual_seed(3)
    f = LOSSES[name]
    check(f, f, torch.randn(6, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64), tol=1e-11)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing):
    torch.manual_seed(4)
    x = torch.randn(6, 5, dtype=torch.float64)
    target = torch.tensor([0, 4, 2, -100, 1, 1])
    f = lambda x: F.cross_entropy(x, target, label_smoothing=smoothing)  # noqa: E731
    check(f, f, x)


def test_gather_sums_what_is_read_twice():
    x = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    index = torch.tensor([[0, 0, 3], [1, 2, 1], [3, 3, 3]])
    f = lambda x: (torch.gather(x, 1, index) ** 2).sum()  # noqa: E731
    check(f, f, x)


def test_numbers_keep_the_precision_of_the_tensors():
    a, b = torch.linspace(0, 1, 5, dtype=torch.float64), torch.linspace(2, 5, 5, dtype=torch.float64)
    for weight in (0.3, 0.7):
        torch.testing.assert_close(rt.lerp(a, b, weight), torch.lerp(a, b, weight), rtol=1e-15, atol=0)


def test_finite_differences():
    # A chain through every kind of rule, by central differences: independent of torch.
    def f(x, w):
        h = np.tanh(x * w + 0.3)
        return (np.log(np.exp(h) + 1.0) / np.sqrt(w * w + 1.0)).sum()

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 3)), rng.normal(size=3)
    value, (gx, gw) = rt.value_and_grad(f, argnums=(0, 1))(x, w)
    np.testing.assert_allclose(value, f(x, w), rtol=1e-13)
    for array, gradient in ((x, gx), (w, gw)):
        for i in np.ndindex(array.shape):
            kept, eps = array[i], 1e-6
            array[i] = kept + eps
            above = f(x, w)
            array[i] = kept - eps
            below = f(x, w)
            array[i] = kept
            assert abs((above - below) / (2 * eps) - gradient[i]) < 1e-7


def test_orders_of_results():
    x = np.array([1.0, 2.0])
    loss = lambda x: (x * x).sum()  # noqa: E731
    aux = lambda x: ((x * x).sum(), x + 1.0)  # noqa: E731
    value, g = rt.value_and_grad(loss)(x)
    assert value == 5.0 and g.tolist() == [2.0, 4.0]
    (value, more), g = rt.value_and_grad(aux, has_aux=True)(x)
    assert value == 5.0 and more.tolist() == [2.0, 3.0] and g.tolist() == [2.0, 4.0]
    assert func.grad(loss)(x).tolist() == [2.0, 4.0]
    g, value = func.grad_and_value(loss)(x)
    assert value == 5.0 and g.tolist() == [2.0, 4.0]
    g, (value, more) = func.grad_and_value(aux, has_aux=True)(x)
    assert value == 5.0 and more.tolist() == [2.0, 3.0]
    g, more = rt.func.grad(aux, has_aux=True)(x)
    assert g.tolist() == [2.0, 4.0] and more.tolist() == [2.0, 3.0]


def test_tensors_of_our_own():
    """Their own results, of any layout, of one tensor twice, beside numbers and arrays."""
    x, y = rt.tensor([1.0, 3.0, 3.0]), rt.tensor([2.0, 5.0, 7.0])
    lists = lambda r: [r.tolist() if isinstance(r, rt.Tensor) else [lists(v) for v in r]][0]  # noqa: E731
    f = lambda x, y: (x * x * y).sum()  # noqa: E731
    assert lists(rt.value_and_grad(f, argnums=(0, 1))(x, y)) == [110.0, [[4.0, 30.0, 42.0], [1.0, 9.0, 9.0]]]
    assert lists(rt.value_and_grad(f, argnums=(0, 1))(x, x)) == [55.0, [[2.0, 18.0, 18.0], [1.0, 9.0, 9.0]]]
    assert [lists(rt.value_and_grad(f)(x, s)) for s in (3.0, 4.0)] == [[57.0, [6, 18, 18]], [76.0, [8, 24, 24]]]
    assert lists(rt.value_and_grad(f)(x, np.ones(3, np.float32))) == [19.0, [2.0, 6.0, 6.0]]
    square = lambda x: (x * x).sum()  # noqa: E731
    z = rt.arange(12.0).reshape(3, 4)
    for view in (z.T, z[1:, ::2], z[0, 0], z[:0], z.unsqueeze(0).expand(2, 3, 4), z + 1):
        value, grad = rt.value_and_grad(square)(view)
        assert grad.shape == view.shape and value.tolist() == square(view).tolist()
        assert grad.tolist() == (view * 2).tolist()
    assert lists(func.grad(square)(x)) == [2.0, 6.0, 6.0] and lists(func.grad_and_value(square)(x))[1] == 19.0
    grads, aux = func.grad(lambda x: (square(x), x * 3), has_aux=True)(x)
    assert (grads.tolist(), aux.tolist()) == ([2.0, 6.0, 6.0], [3.0, 9.0, 9.0])
    value, grads = rt.value_and_grad(lambda p: (p["a"] * p["b"][0]).sum())({"a": x, "b": [y]})
    assert grads["a"].tolist() == y.tolist() and grads["b"][0].tolist() == x.tolist()


def test_structures_and_one_kernel():
    params = {"w": np.ones((3, 2)), "b": [np.zeros(2)]}
    f = rt.value_and_grad(lambda p, x: (x * p["w"] + p["b"][0]).sum())
    x = np.arange(6.0).reshape(3, 2)
    value, g = f(params, x)
    assert value == 15.0
    np.testing.assert_array_equal(g["w"], x)
    assert g["b"][0].tolist() == [3.0, 3.0]
    assert f.cache_info().misses == 1
    f(params, x + 1)
    assert f.cache_info().hits == 1


def test_unconnected_is_zero():
    g = func.grad(lambda x, y: (x * 2.0).sum(), argnums=1)(np.ones(3), np.ones((2, 2)))
    assert g.shape == (2, 2) and not g.any()


def test_errors():
    with pytest.raises(RuntimeError, match="return a scalar tensor, got tensor with 1 dims"):
        rt.value_and_grad(lambda x: x * 2.0)(np.ones(3))
    with pytest.raises(RuntimeError, match="floating point dtype"):
        rt.value_and_grad(lambda x: (x * 2.0).sum())(np.ones(3, dtype=np.int64))
    with pytest.raises(RuntimeError, match="argnum=2, but only 1"):
        rt.value_and_grad(lambda x: x.sum(), argnums=2)(np.ones(3))
    with pytest.raises(RuntimeError, match="single tensor"):
        rt.value_and_grad(lambda x: 1.0)(np.ones(3))
    with pytest.raises(NotImplementedError, match="derivative for 'nextafter'"):
        rt.value_and_grad(lambda x: torch.nextafter(x, x).sum())(torch.ones(3))


def test_a_gradient_alone_computes_nothing_else():
    x, g = np.random.default_rng(3).standard_normal((2, 6, 40)).astype(np.float32)
    f = func.grad(lambda x, g: (rt.softmax(x, -1) * g).sum())
    t = torch.from_numpy(x).requires_grad_()
    (torch.softmax(t, -1) * torch.from_numpy(g)).sum().backward()
    np.testing.assert_allclose(f(x, g), t.grad.numpy(), rtol=1e-5, atol=1e-7)
    # One loop over the rows and exp once: the sum is not there.
    kernel = str(f.inspect(x, g).kernel)
    assert kernel.count("phase") == 1 and kernel.count("cold") == 1
    grads, doubled = func.grad(lambda x: ((x * x).sum(), x * 2), has_aux=True)(x)
    np.testing.assert_array_equal(grads, doubled)


@pytest.mark.parametrize(
    "f", [lambda x, at: rt.gather(x, 1, at).sum(), lambda x, at: F.cross_entropy(x, at.reshape(3))]
)
def test_a_gradient_alone_finds_an_index_out_of_range(f):
    x = torch.ones(3, 5)
    with pytest.raises(IndexError, match="out of bounds"):
        func.grad(f)(x, torch.tensor([[0], [7], [2]]))
    at = torch.tensor([[0], [4], [2]])
    torch.testing.assert_close(func.grad(f)(x, at), torch_gradients(lambda x: f(x, at), x)[1][0])


@pytest.mark.parametrize("dim", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_std_of_equal_values_has_no_slope(dim: Any, keepdim: bool) -> None:
    for rows in ([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]], [[2.0, 2.0], [2.0, 2.0]]):
        theirs, ours = (torch.tensor(rows, dtype=torch.float64, requires_grad=True) for _ in range(2))
        seed = torch.randn_like(torch.std(theirs, dim, keepdim=keepdim))
        torch.std(theirs, dim, keepdim=keepdim).backward(seed)
        rt.std(ours, dim, keepdim=keepdim).backward(seed)
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_gradients_where_there_is_a_nan() -> None:
    nan = float("nan")
    a, b = torch.tensor([nan, 1.0, 2.0, 3.0]), torch.tensor([1.0, nan, 2.0, 4.0])
    for name in ("maximum", "minimum"):
        pairs = [[x.clone().requires_grad_() for x in (a, b)] for _ in range(2)]
        getattr(torch, name)(*pairs[0]).sum().backward()
        getattr(rt, name)(*pairs[1]).sum().backward()
        for theirs, ours in zip(*pairs, strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, equal_nan=True)
    rows = torch.tensor([[nan, 1.0, 2.0], [1.0, 3.0, 3.0]])
    for name in ("amax", "amin"):
        theirs, ours = rows.clone().requires_grad_(), rows.clone().requires_grad_()
        getattr(torch, name)(theirs, 1).sum().backward()
        getattr(rt, name)(ours, 1).sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, equal_nan=True)


@pytest.mark.parametrize("name", ["max", "min"])
def test_the_extreme_of_everything_is_shared_evenly(name):
    nan, inf = float("nan"), float("inf")
    for values in ([1.0, nan, 3.0, nan, -1.0], [1.0, 3.0, 3.0, 1.0], [2.0], [inf] * 3):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            grads = []
            for f in (getattr(torch, name), getattr(rt, name)):
                x = torch.tensor(values, dtype=dtype, requires_grad=True)
                (f(x) * 2).backward()
                grads.append(x.grad)
            assert torch.equal(*grads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_at_the_ends(dtype: torch.dtype) -> None:
    """Where one branch of a choice is infinite or undefined, the other's gradient is the gradient."""
    import rusttorch.nn.functional as RF

    big = torch.tensor([-200.0, -1.0, 0.0, 0.3, 1.5, 89.0, 1e4, float("inf")], dtype=dtype)
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.5, 3.0], dtype=dtype)
    unit = torch.tensor([0.0, 1.0, 0.3, 1.5, -0.2], dtype=dtype)
    zero = torch.tensor([0.0, 0.0, 1.0, -0.0], dtype=dtype)
    for ours, theirs, x in (
        (RF.elu, F.elu, big),
        (lambda x: RF.elu(x, 0.5), lambda x: F.elu(x, 0.5), big),
        (lambda x: rt.celu(x, 0.1), lambda x: torch.celu(x, 0.1), big),
        (rt.logit, torch.logit, unit),
        (lambda x: rt.logit(x, 0.25), lambda x: torch.logit(x, 0.25), unit),
        (lambda x: rt.atan2(x, zero), lambda x: torch.atan2(x, zero), zero),
        (lambda x: rt.atan2(zero, x), lambda x: torch.atan2(zero, x), zero),
        (
            lambda x: RF.huber_loss(x, odd * 0, reduction="sum"),
            lambda x: F.huber_loss(x, odd * 0, reduction="sum"),
            odd,
        ),
        (lambda x: RF.smooth_l1_loss(x, x * 0), lambda x: F.smooth_l1_loss(x, x * 0), odd[3:]),
    ):
        gradients = []
        for f in (ours, theirs):
            leaf = x.clone().requires_grad_()
            f(leaf).sum().backward()
            gradients.append(leaf.grad)
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6, equal_nan=True)


def test_ldexp_beyond_the_powers_that_are_floats() -> None:
    x = torch.tensor([0.0, 0.5, 1e-38, 3e38, 1.0, 1e-30, 7.0])
    n = torch.tensor([255, 128, 200, -300, 3, 2000, 0])
    torch.testing.assert_close(rt.ldexp(x, n), torch.ldexp(x, n))
