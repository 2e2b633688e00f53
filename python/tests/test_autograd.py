"""Operands that require grad: results are attached, with the derived backward."""

from __future__ import annotations

import weakref

import pytest
import rusttorch as rt
import torch
from torch.autograd import gradcheck

pytestmark = pytest.mark.usefixtures("torch_path")


def leaf(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def test_rows_pass_gradcheck() -> None:
    x, y, w = leaf(3, 4), leaf(3, 4, seed=1), leaf(4, seed=2)
    assert gradcheck(rt.silu, (x,))
    assert gradcheck(lambda a: rt.gelu(a, approximate="tanh"), (x,))
    assert gradcheck(lambda a, b: rt.mul(a, b), (x, w)), "a broadcast operand's gradient is summed"
    assert gradcheck(lambda a: rt.softmax(a, -1), (x,))
    assert gradcheck(lambda a, b, c: rt.layer_norm(a, [4], b, c), (x, w, leaf(4, seed=3)))
    assert gradcheck(lambda a: rt.sum(a, dim=0), (x,))
    assert gradcheck(lambda a, b: rt.mse_loss(a, b), (x, y))
    assert gradcheck(lambda a: rt.pow(a, 3), (x,))
    target = torch.tensor([0, 3, 1])
    assert gradcheck(lambda a: rt.cross_entropy(a, target), (x,))


def test_expressions_functions_and_registered_ops() -> None:
    x, w, b = leaf(3, 4), leaf(4, seed=1), leaf(4, seed=2)
    assert gradcheck(rt.expr("tanh(x*w + b)"), (x, w, b))
    fused = rt.fuse(lambda x, w, b: torch.sigmoid(x * w + b) * x)
    for _ in range(2):  # traced, then by the fast path
        assert gradcheck(fused, (x, w, b))
    op = rt.register("gated_for_grad(a, c, k=2.0) = a * sigmoid(k * c)")
    assert gradcheck(op, (x, w))
    assert gradcheck(lambda a, c: op(a, k=0.5, c=c), (x, w))
    several = rt.expr("y = exp(a); y, y * b, argmax(a, 1)")
    assert gradcheck(lambda a, b: several(a, b)[:2], (x, leaf(3, 4, seed=5)))
    assert not several(x, w)[2].requires_grad


def test_gradients_equal_torchs() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(64, 32, generator=generator)
    w = torch.randn(32, generator=generator)
    ours, theirs = [(x.clone().requires_grad_(), w.clone().requires_grad_()) for _ in range(2)]
    rt.expr("gelu(x * w)")(*ours).square().mean().backward()
    torch.nn.functional.gelu(theirs[0] * theirs[1]).square().mean().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    # An expanded gradient has strides of 0.
    y = x.clone().requires_grad_()
    rt.exp(y).sum().backward()
    torch.testing.assert_close(y.grad, torch.exp(x))
    # Only what is asked for.
    (g,) = torch.autograd.grad(rt.mul(ours[0], ours[1]).sum(), [ours[1]])
    torch.testing.assert_close(g, x.sum(0))


def test_parameters_train() -> None:
    model = torch.nn.Linear(4, 3)
    before = model.weight.detach().clone()
    rt.sum(rt.relu(model(torch.ones(2, 4)) + 10)).backward()
    assert model.weight.grad is not None
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not torch.equal(before, model.weight)


def test_closed_over_parameters_get_gradients() -> None:
    w = leaf(4)
    fused = rt.fuse(lambda x: x * w)
    assert gradcheck(lambda v, _: fused(v), (leaf(3, 4, seed=1), w))


def test_second_derivatives_are_refused_by_name() -> None:
    x = leaf(3)
    (g,) = torch.autograd.grad(rt.silu(x).sum(), [x], create_graph=True)
    with torch.no_grad():
        s = torch.sigmoid(x)
        torch.testing.assert_close(g.detach(), s * (1 + x * (1 - s)))
    with pytest.raises(RuntimeError, match=r"backward of rusttorch's silu\(\) is not differentiable"):
        g.sum().backward()


def test_second_derivatives_with_respect_to_inputs_are_refused() -> None:
    x, w = leaf(3), leaf(3, seed=1)
    refused = r"backward of rusttorch's \S+\(\) is not differentiable"
    fused = rt.fuse(lambda v: torch.exp(v) * v)
    held = rt.fuse(lambda v: torch.exp(w) * v)
    for f, wrt in (
        (lambda: rt.exp(x), x),
        (lambda: rt.exp(x**2), x),  # through what is no leaf
        (lambda: rt.exp(x) ** 2, x),
        (lambda: fused(x), x),
        (lambda: held(x), w),
        (lambda: rt.mul(x, w), w),  # linear in each
    ):
        for unused in (False, True):
            (g,) = torch.autograd.grad(f().sum(), x, create_graph=True)
            with pytest.raises(RuntimeError, match=refused):
                torch.autograd.grad(g.sum() + (wrt**3).sum(), wrt, allow_unused=unused)
    with pytest.raises(RuntimeError, match=refused):
        torch.autograd.functional.hessian(lambda v: rt.exp(v).sum() + (v**3).sum(), x)
    # Also of what came from above.
    seed = leaf(3, seed=2)
    (g,) = torch.autograd.grad(rt.exp(x), x, seed, create_graph=True)
    with pytest.raises(RuntimeError, match=refused):
        torch.autograd.grad(g.sum(), seed)


def test_a_graph_of_gradients_may_be_made_and_left() -> None:
    x, w = leaf(3), leaf(3, seed=1)
    y = rt.mul(x, w)
    gx, gw = torch.autograd.grad(y.sum(), (x, w), create_graph=True)
    torch.testing.assert_close((gx.detach(), gw.detach()), (w.detach(), x.detach()))
    assert gx.requires_grad
    gx.detach().add_(1)
    y.sum().backward()
    torch.testing.assert_close(x.grad, w.detach())
    # What does not lead there is differentiated.
    (of_other,) = torch.autograd.grad(gx.sum() + (s := leaf(3, seed=2)).square().sum(), s)
    torch.testing.assert_close(of_other, 2 * s.detach())
    made = weakref.ref(gx.grad_fn)
    del gx, gw, y
    assert made() is None


def test_what_has_no_backward_says_so() -> None:
    x = leaf(3)
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        rt.exp(x, out=torch.empty(3, dtype=torch.float64))
    with pytest.raises(RuntimeError, match=r"torch\.no_grad\(\)"):
        rt.value_and_grad(lambda v: rt.sum(v * v))(x)
    with torch.no_grad():
        _, g = rt.value_and_grad(lambda v: rt.sum(v * v))(x)
    torch.testing.assert_close(g, 2 * x.detach())


SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((2, 5, 3), (3, 4)),
    ((2, 5, 3), (3,)),
    ((3,), (2, 3, 4)),
    ((4, 1, 5, 3), (2, 3, 4)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul_has_gradients_of_any_order(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = leaf(*left), leaf(*right)
    ours, theirs = rt.matmul(a, b), torch.matmul(a, b)
    seed = torch.randn_like(theirs).requires_grad_()
    first = [torch.autograd.grad(y, (a, b), seed, create_graph=True) for y in (ours, theirs)]
    torch.testing.assert_close(*first)
    second = [torch.autograd.grad(sum(g.square().sum() for g in gs), (a, b, seed)) for gs in first]
    torch.testing.assert_close(*second)


def test_matmul_records_what_requires_grad_only() -> None:
    a, b = leaf(2, 3), leaf(3, 2).detach()
    rt.matmul(a, b).sum().backward()
    torch.testing.assert_close(a.grad, b.sum(1).expand(2, 3))
    assert not rt.matmul(b, a.detach()).requires_grad
    with torch.no_grad():
        assert not rt.matmul(a, b).requires_grad
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        rt.matmul(a, b, out=torch.empty(2, 2, dtype=a.dtype))
    mixed = rt.matmul(a, rt.from_dlpack(b))
    torch.testing.assert_close(torch.autograd.grad(mixed.sum(), a)[0], b.sum(1).expand(2, 3))


def test_max_and_min_along_a_dimension_give_the_winner_the_gradient() -> None:
    x = torch.tensor([[1.0, 3.0, 3.0], [2.0, -1.0, 2.0]])
    for ours, theirs in ((rt.max, torch.max), (rt.min, torch.min)):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        ours(a, 1).values.sum().backward()
        theirs(b, 1).values.sum().backward()
        torch.testing.assert_close(a.grad, b.grad)
