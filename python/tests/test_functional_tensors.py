"""``linear``, ``embedding``, ``one_hot``, ``pad`` and their kin of ``rusttorch.nn.functional``, and ``frexp`` and
``mvlgamma``: our tensors and NumPy's arrays beside torch, results and errors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch
import torch.nn.functional as TF
from rusttorch.nn import functional as F

torch.manual_seed(11)
X = torch.randn(2, 3)
INDEX = torch.tensor([[0, 1], [1, 1]])


def numbers(*shape: int) -> torch.Tensor:
    return torch.arange(math.prod(shape)).reshape(shape).float()


def linears() -> list[tuple]:
    shapes: list[tuple] = [
        ((2, 3), (4, 3), (4,)),
        ((3,), (4, 3), (4,)),
        ((2, 5, 3), (4, 3), None),
        ((2, 3), (3,), ()),
        ((2, 3), (3,), (3,)),
        ((), (4, 3), None),
        ((2, 3), (2, 4, 3), None),
        ((2, 3), (4, 2), None),
        ((2, 3), (4, 3), (3,)),
        ((0, 3), (4, 3), (4,)),
        ((2, 3), (4, 3), ()),
        ((2, 2, 3), (4, 2), None),
        ((2, 2, 3), (4, 3), (2, 4)),
        ((3,), (3,), None),
        ((3,), (3,), ()),
        ((2, 0), (4, 0), (4,)),
    ]
    calls = [("linear", *(None if s is None else torch.randn(s) for s in case)) for case in shapes]
    calls += [("linear", X, torch.randn(4, 3, dtype=torch.float64)), ("linear", X, torch.randn(4, 3), X[0].double())]
    return [*calls, ("linear", X.long(), numbers(4, 3).long(), numbers(4).long())]


def others() -> list[tuple]:
    classes = [([0, 2], -1), ([0, 2], 2), ([0, -2], -1), ([], -1), ([], 3), ([0], -5), ([[0, 1], [2, 0]], 5), (2, -1)]
    calls: list[tuple] = [("one_hot", torch.tensor(t, dtype=torch.int64), n) for t, n in classes]
    calls += [("one_hot", torch.tensor([1], dtype=torch.int32))]
    calls += [("embedding", i, X) for i in (INDEX, INDEX.int(), INDEX[0, 1], INDEX[:0], INDEX + 5, INDEX - 2, X)]
    calls += [("embedding", INDEX, X[0]), ("embedding", INDEX, X, 3), ("embedding", INDEX, X, -2)]
    calls += [("channel_shuffle", torch.randn(s), g) for s, g in (((2, 4, 3), 2), ((2, 3, 4), 2), ((2, 3), 3))]
    return [*calls, ("pixel_shuffle", numbers(1, 4, 2, 2), 2), ("pixel_unshuffle", numbers(1, 1, 4, 4), 2)]


PADS = (
    *((1,), (1, 1), (2, 0), (0, 2), (-1, 1), (1, -1), (-1, -1), (3, 1), (4, 4), (-4, 0), (1, 2, 1, 2), (1, 0, -1, 1)),
    *((0, 0, 2, 2), (1, 1, 1, 1, 1, 1), (1, 2, 0, 1, 1, 0), (), (-2, -2), (0, -3)),
)


def pads() -> list[tuple]:
    shapes = ((3,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 0), (0, 3, 4))
    modes = ("constant", "reflect", "replicate", "circular")
    calls: list[tuple] = [("pad", numbers(*s), p, m) for s, p, m in itertools.product(shapes, PADS, modes)]
    calls += [("pad", x, (1, 1), "constant", 2.5) for x in (X, X.long(), X > 1)]
    return [*calls, ("pad", X, (1, 1), "unknown"), ("pad", X, (1, 1), "reflect", 1.0)]


def outcome(f: Callable[..., Any], args: list[Any]) -> Any:
    try:
        return f(*args)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return error


@pytest.mark.parametrize("call", [*linears(), *others(), *pads()], ids=lambda c: c[0])
@pytest.mark.parametrize("convert", [lambda x: rt.as_tensor(x.numpy()), lambda x: x.numpy()], ids=["own", "numpy"])
def test_like_torch(call: tuple, convert: Callable[[torch.Tensor], Any]) -> None:
    name, *args = call
    want = outcome(getattr(TF, name), args)
    got = outcome(getattr(F, name), [convert(x) if isinstance(x, torch.Tensor) else x for x in args])
    if isinstance(want, Exception):
        assert isinstance(got, type(want)), (want, got)
        # Where dimensions are too small torch names the kernel's argument.
        assert str(got).split(".")[0][:60] == str(want).split(".")[0][:60] or str(want).startswith("Argument #")
        return
    assert not isinstance(got, Exception), got
    array = got.numpy() if isinstance(got, rt.Tensor) else np.asarray(got)
    assert isinstance(got, rt.Tensor) == isinstance(convert(X), rt.Tensor)
    torch.testing.assert_close(torch.from_numpy(np.array(array)), want)


def test_gradients_are_torchs() -> None:
    w = torch.randn(4, 3, requires_grad=True)
    F.linear(X, w, torch.zeros(4)).sum().backward()
    assert torch.allclose(w.grad, X.sum(0).expand(4, 3))
    assert F.embedding(INDEX, w).grad_fn is not None and F.pad(w, (1, 1)).grad_fn is not None


def test_embedding_scales_rows_down_in_place() -> None:
    own = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 9.0]])
    theirs = torch.from_numpy(own.copy())
    got = F.embedding(np.array([0, 0, 1]), own, max_norm=2.0)
    want = TF.embedding(torch.tensor([0, 0, 1]), theirs, max_norm=2.0)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-12)
    np.testing.assert_allclose(own, theirs.numpy(), rtol=1e-12)


def test_pad_reads_nothing_that_is_not_there() -> None:
    # torch returns what its memory holds.
    with pytest.raises(RuntimeError, match="resulting in an empty dimension"):
        F.pad(rt.ones(2, 3), (-3, 1), "circular")


def test_dropout_is_no_kernel() -> None:
    with pytest.raises(rt.TraceError, match=r"dropout\(\) is no kernel"):
        rt.fuse(lambda x: F.dropout(x) * 2)(np.ones(3))
    rt.manual_seed(0)
    once = F.dropout(np.ones(1000), 0.25)
    assert set(np.unique(once)) == {0.0, 1 / 0.75} and 200 < (once == 0).sum() < 300
    assert F.dropout(X, training=False) is X or torch.equal(F.dropout(X, training=False), X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_frexp(dtype: torch.dtype) -> None:
    info = torch.finfo(dtype)
    special = [0.0, -0.0, math.inf, -math.inf, math.nan, 1, -1, info.max, info.tiny, info.tiny / 2, -info.tiny / 4]
    x = torch.cat([torch.randn(500) * 10.0 ** torch.randint(-4, 4, (500,)), torch.tensor(special)]).to(dtype)
    want = torch.frexp(x)
    got = rt.frexp(x)
    assert type(got) is torch.return_types.frexp
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.signbit(got.mantissa)[~x.isnan()], torch.signbit(x)[~x.isnan()])
    own = rt.from_dlpack(x).frexp()
    assert own.exponent.tolist() == want.exponent.tolist()
    with pytest.raises(NotImplementedError, match="only supports floating-point dtypes"):
        rt.frexp(np.array([1]))


def test_frexp_and_mvlgamma_are_kernels() -> None:
    x = np.array([3.0, 4.5])
    value, grad = rt.value_and_grad(lambda x: (rt.frexp(x).mantissa + rt.mvlgamma(x, 3)).sum())(x)
    t = torch.tensor(x, requires_grad=True)
    want = (torch.frexp(t).mantissa + torch.mvlgamma(t, 3)).sum()
    want.backward()
    np.testing.assert_allclose(value, want.item(), rtol=1e-13)
    np.testing.assert_allclose(grad, t.grad.numpy(), rtol=1e-12)


def test_mvlgamma() -> None:
    x = torch.tensor([0.2, 1.0, 3.0, 40.0])
    for p in (1, 2, 5):
        torch.testing.assert_close(rt.mvlgamma(x, p), torch.mvlgamma(x, p), equal_nan=True)
        torch.testing.assert_close(rt.multigammaln(x.long() + 3, p), torch.special.multigammaln(x.long() + 3, p))
    own = rt.tensor([4.0, 5.0])
    own.mvlgamma_(2)
    assert own.tolist() == pytest.approx(torch.mvlgamma(torch.tensor([4.0, 5.0]), 2).tolist())
    with pytest.raises(RuntimeError, match="p has to be greater than or equal to 1"):
        rt.mvlgamma(x, 0)
    with pytest.raises(RuntimeError, match="may not be a boolean tensor"):
        rt.mvlgamma(x > 1, 2)


def test_triplet_margin_with_distance_loss() -> None:
    a, b, c = torch.randn(3, 4, 5).unbind()
    for swap, reduction in itertools.product((False, True), ("mean", "sum", "none")):
        want = TF.triplet_margin_with_distance_loss(a, b, c, swap=swap, reduction=reduction)
        arrays = (x.numpy() for x in (a, b, c))
        got = F.triplet_margin_with_distance_loss(*arrays, swap=swap, reduction=reduction)
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5)
    got = F.triplet_margin_with_distance_loss(a, b, c, distance_function=lambda x, y: rt.amax(rt.abs(x - y), -1))
    want = TF.triplet_margin_with_distance_loss(a, b, c, distance_function=lambda x, y: (x - y).abs().amax(-1))
    torch.testing.assert_close(got, want)
    with pytest.raises(RuntimeError, match="the same number of dimensions, but got: anchor 2D, positive 1D"):
        F.triplet_margin_with_distance_loss(a, b[0], c)
    with pytest.raises(ValueError, match="margin must be greater than 0"):
        F.triplet_margin_with_distance_loss(a, b, c, margin=0.0)
