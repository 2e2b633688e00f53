"""Tensors that are more than their memory: torch computes, op by op, what expressions say of them."""

from __future__ import annotations

import subprocess
import sys
from inspect import Parameter
from typing import ClassVar

import numpy as np
import pytest
import rusttorch as rt
import torch
import torch.nn.functional as F
from rusttorch import _names, _rusttorch, _views
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

pytestmark = [
    pytest.mark.usefixtures("torch_path"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]


class Seeing(torch.Tensor):
    """A subclass that notes the functions which are called on it."""

    seen: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(getattr(func, "__name__", str(func)))
        return super().__torch_function__(func, types, args, kwargs or {})


class LoggingMode(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class FunctionMode(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)


X = torch.linspace(-2, 2, 12).reshape(3, 4)
W = torch.linspace(0.5, 1.5, 4)


def test_vmap_grad_jvp_and_functionalize_equal_torchs() -> None:
    close(torch.func.vmap(rt.gelu)(X), torch.func.vmap(F.gelu)(X))
    close(torch.func.vmap(rt.expr("x * w + sum(x)"), (0, None))(X, W), X * W + X.sum(1, keepdim=True))
    close(torch.func.vmap(rt.softmax, (0, None))(X, -1), torch.softmax(X, -1))
    v = torch.tensor(0.7)
    close(torch.func.grad(rt.silu)(v), torch.func.grad(F.silu)(v))
    close(torch.func.grad(torch.func.grad(rt.silu))(v), torch.func.grad(torch.func.grad(F.silu))(v))
    close(torch.func.vmap(torch.func.grad(rt.mish))(X[0]), torch.func.vmap(torch.func.grad(F.mish))(X[0]))
    ours = torch.func.jvp(rt.expr("exp(x) * tanh(x)"), (X,), (X + 1,))
    close(ours, torch.func.jvp(lambda x: torch.exp(x) * torch.tanh(x), (X,), (X + 1,)))
    close(torch.func.hessian(rt.expr("sum(x * x * x)"))(W), torch.diag(6 * W))
    close(torch.func.functionalize(rt.exp)(X), torch.exp(X))


def test_dual_tensors_keep_their_tangents() -> None:
    with forward_ad.dual_level():
        result = forward_ad.unpack_dual(rt.sigmoid(forward_ad.make_dual(X, X + 3)))
    s = torch.sigmoid(X)
    close((result.primal, result.tangent), (s, s * (1 - s) * (X + 3)))


def test_fake_tensors_give_dtype_and_shape() -> None:
    with FakeTensorMode():
        x, h = torch.ones(3, 4), torch.ones(4, dtype=torch.bfloat16)
        for result, shape, dtype in [
            (rt.exp(x), (3, 4), torch.float32),
            (rt.expr("sum(a * b, dim=1)")(x, h), (3,), torch.float32),
            (rt.gelu(h), (4,), torch.bfloat16),
            (rt.argmax(x, dim=0), (4,), torch.int64),
            (rt.add(x, np.ones(4)), (3, 4), torch.float64),
            (rt.fuse(lambda a: torch.sigmoid(a).mean())(x), (), torch.float32),
        ]:
            assert (type(result).__name__, tuple(result.shape), result.dtype) == ("FakeTensor", shape, dtype)
    # It may also outlive its mode.
    assert type(rt.exp(x)).__name__ == "FakeTensor"


def test_modes_see_ops_by_name() -> None:
    with LoggingMode() as mode:
        y = rt.expr("relu(x * w + 1)")(X, W)
    assert mode.seen == ["aten.mul.Tensor", "aten.add.Tensor", "aten.relu.default"]
    close(y, torch.relu(X * W + 1))
    with FunctionMode() as mode:
        y = rt.expr("silu(x) / 2")(X)
    assert mode.seen[:2] == ["silu", "true_divide"]
    close(y, F.silu(X) / 2)
    # Says where new tensors are made: nobody looks on.
    before = rt.stats()["through_torch"]
    with torch.device("cpu"):
        rt.exp(X)
    assert rt.stats()["through_torch"] == before


def test_subclasses_are_asked() -> None:
    x = X.as_subclass(Seeing)
    Seeing.seen.clear()
    y = rt.expr("exp(x) * w")(x, W)
    assert isinstance(y, Seeing) and {"exp", "mul"} <= set(Seeing.seen)
    close(y.as_subclass(torch.Tensor), torch.exp(X) * W)
    assert isinstance(rt.fuse(lambda a, b: torch.tanh(a) + b)(W, x), Seeing)
    assert isinstance(rt.matmul(x, W), Seeing)
    values, indices = rt.max(x, dim=1)
    assert isinstance(values, Seeing)
    close((values.as_subclass(torch.Tensor), indices.as_subclass(torch.Tensor)), tuple(torch.max(X, dim=1)))


@pytest.mark.parametrize(
    "x",
    [
        torch._neg_view(X.clone()),
        torch.complex(X, X + 1).conj().imag,
        torch._efficientzerotensor((3, 4)),
    ],
    ids=["negative", "imaginary", "zero"],
)
def test_bits_and_zero_tensors_are_read_right(x: torch.Tensor) -> None:
    close(rt.exp(x), torch.exp(x.clone()))
    close(rt.expr("a * b + 2")(W, x), W * x.clone() + 2)
    close(rt.matmul(x, W), torch.matmul(x.clone(), W))


def test_every_entrance_goes_through() -> None:
    rt.register("through_swiglu(a, b, beta=1.0) = a * sigmoid(beta * a) * b")
    swiglu = rt._rusttorch._op_function("through_swiglu")
    each = torch.func.vmap
    a, b = X, X + 1
    close(each(swiglu)(a, b), a * torch.sigmoid(a) * b)
    close(each(lambda x: swiglu(x, x, beta=2.0))(a), a * torch.sigmoid(2 * a) * a)
    close(each(lambda x: rt.evaluate("x**2 + exp(0.5) * x"))(a), a**2 + np.exp(0.5) * a)
    close(each(lambda x: rt.nn.functional.layer_norm(x, (4,), W, b[0]))(a), F.layer_norm(a, (4,), W, b[0]))
    close(each(lambda x: rt.nn.functional.mse_loss(x, W, reduction="sum"))(a), ((a - W) ** 2).sum(1))
    close(each(lambda x: rt.nn.functional.cross_entropy(x, torch.tensor(2)))(a), -torch.log_softmax(a, 1)[:, 2])
    close(each(lambda x: rt.add(np.float32(1), x))(a), a + 1)
    close(each(lambda x: rt.add(rt.ones(4), x))(a), a + 1)
    close(each(lambda x: rt.ones(4) + x)(a), a + 1)
    close(each(rt.expr("x if w is None else x * w"), (0, None))(a, None), a)
    two = each(rt.fuse(lambda x, k: {"mean": x.mean(), "out": (x - x.mean()) * k}), (0, None))(a, 3.0)
    close(two, {"mean": a.mean(1), "out": (a - a.mean(1, keepdim=True)) * 3})
    # A trace that asks for shapes and dtypes.
    sized = rt.fuse(lambda x: torch.exp(x) / torch.exp(x).shape[0] if torch.exp(x).dtype == torch.float32 else x)
    close(each(sized)(a), torch.exp(a) / 4)
    value, (da, dk) = each(rt.value_and_grad(lambda x, k: (torch.sin(x) * k).sum(), argnums=(0, 1)))(a, b)
    close((value, da, dk), ((torch.sin(a) * b).sum(1), torch.cos(a) * b, torch.sin(a)))


def test_backward_of_batched_gradients() -> None:
    x = X.clone().requires_grad_()
    y = rt.expr("exp(x) * w")(x, W)
    seeds = torch.stack([torch.ones_like(X), X])
    (ours,) = torch.autograd.grad(y, x, seeds, is_grads_batched=True)
    close(ours, seeds * (torch.exp(X) * W))


def test_out_is_written() -> None:
    out = torch.zeros(3, 4)
    with LoggingMode():
        assert rt.add(X, W, out=out) is out
        with pytest.raises(RuntimeError, match="out has shape"):
            rt.add(X, W, out=torch.zeros(4))
        with pytest.raises(RuntimeError, match="can't be cast"):
            rt.add(X, W, out=torch.zeros(3, 4, dtype=torch.int64))
        with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
            rt.add(X.clone().requires_grad_(), W, out=out)
        x = X.clone()
        assert rt.nn.functional.relu(x, inplace=True) is x
    close(out, X + W)
    close(x, torch.relu(X))


def test_errors_are_raised_where_they_are_used() -> None:
    with LoggingMode():
        with pytest.raises(RuntimeError, match="must match the size"):
            rt.add(X, torch.ones(3))
        with pytest.raises(TypeError, match=r"exp\(\) takes 1 argument"):
            rt.exp(X, X)
        with pytest.raises(IndexError):
            rt.expr("softmax(x, 7)")(X)


def test_it_is_counted_and_refused_when_strict() -> None:
    name = "the dispatch mode LoggingMode"
    before = rt.stats()["through_torch"].get(name, 0)
    with LoggingMode():
        rt.exp(X)
        rt.matmul(X, W)
    assert rt.stats()["through_torch"][name] == before + 2
    code = """
import torch, rusttorch as rt
try:
    torch.func.vmap(rt.exp)(torch.ones(2))
except RuntimeError as e:
    print(e)
"""
    env = {"RUSTTORCH_STRICT": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("RUSTTORCH_STRICT is set and torch would compute exp(), because of torch.func")


# Of every row: operands and options that its defaults do not give. The rest is one tensor per operand.
POSITIVE = X.abs() + 0.5
CLASSES = torch.tensor([1, 0, 3])
SIGNS = torch.tensor([1.0, -1.0, 1.0])
INTEGERS = torch.arange(12).reshape(3, 4) * 5 + 1
SAMPLES: dict[str, tuple[tuple, dict]] = {
    "acosh": ((POSITIVE + 1,), {}),
    "all": ((X > 0,), {"dim": 1, "keepdim": True}),
    "amax": ((X,), {"dim": [0, 1]}),
    "amin": ((X,), {"keepdim": True}),
    "any": ((X > 0,), {"keepdim": True}),
    "argmax": ((X,), {"dim": 1, "keepdim": True}),
    "argmin": ((X,), {"keepdim": True}),
    "atanh": ((X / 3,), {}),
    "batch_norm": ((X, W, W, W, W), {"training": True, "eps": 0.1}),
    "binary_cross_entropy": ((POSITIVE / 3, POSITIVE / 4), {"weight": POSITIVE, "reduction": "sum"}),
    "binary_cross_entropy_with_logits": ((X, POSITIVE / 4), {"pos_weight": W, "reduction": "none"}),
    "bitwise_not": ((INTEGERS,), {}),
    "broadcast_to": ((W, [2, 4]), {}),
    "clamp": ((X,), {"min": -0.5}),
    "clip": ((X, W * -1, W), {}),
    "cosine_embedding_loss": ((X, X + 1, SIGNS), {"margin": 0.2}),
    "cross_entropy": ((X, CLASSES, W), {"label_smoothing": 0.1, "reduction": "sum"}),
    "diff": ((X,), {"dim": 0}),
    "div": ((X, W), {"rounding_mode": "floor"}),
    "dot": ((W, W), {}),
    "flatten": ((X[None],), {"start_dim": 1}),
    "flip": ((X, [0, 1]), {}),
    "gather": ((X, 1, torch.tensor([[0], [3], [1]])), {}),
    "gaussian_nll_loss": ((X, X + 1, POSITIVE), {"full": True, "reduction": "sum"}),
    "group_norm": ((X, 2, W, W), {}),
    "hinge_embedding_loss": ((X, X.sign()), {"margin": 0.3}),
    "huber_loss": ((X, X * 2), {"delta": 0.5, "reduction": "sum"}),
    "instance_norm": ((X[None],), {}),
    "iota": ((X, 1), {}),
    "isclose": ((X, X + 1e-3), {"rtol": 1e-2}),
    "kl_div": ((X, POSITIVE), {"reduction": "batchmean"}),
    "layer_norm": ((X, [4], W), {"eps": 1e-3}),
    "ldexp": ((X, INTEGERS), {}),
    "log_softmax": ((X, 0), {}),
    "logit": ((POSITIVE / 3,), {"eps": 0.3}),
    "logsumexp": ((X, [0, 1]), {"keepdim": True}),
    "margin_ranking_loss": ((W[:3], W[1:], SIGNS), {"reduction": "sum"}),
    "masked_fill": ((X, X > 0, 2.5), {}),
    "mean": ((X,), {"dim": -1, "keepdim": True}),
    "multi_margin_loss": ((X, CLASSES), {"p": 2, "weight": W}),
    "multilabel_margin_loss": ((X, torch.tensor([[1, 2, -1, 0]] * 3)), {}),
    "multilabel_soft_margin_loss": ((X, (X > 0).float()), {"weight": W}),
    "nan_to_num": ((torch.where(X > 1, torch.nan, X),), {"nan": 3.0}),
    "nanmean": ((torch.where(X > 1, torch.nan, X),), {"dim": 0}),
    "nansum": ((torch.where(X > 1, torch.nan, X),), {"keepdim": True}),
    "narrow": ((X, 1, 1, 2), {}),
    "nll_loss": ((X, CLASSES), {"ignore_index": 3}),
    "normalize": ((X,), {"p": 1.0, "dim": 0}),
    "outer": ((W, W), {}),
    "pairwise_distance": ((X, X * 2), {"keepdim": True}),
    "permute": ((X, [1, 0]), {}),
    "poisson_nll_loss": ((X, POSITIVE), {"full": True, "log_input": False}),
    "polygamma": ((1, POSITIVE), {}),
    "igamma": ((POSITIVE, POSITIVE + 1), {}),
    "igammac": ((POSITIVE, POSITIVE + 1), {}),
    "zeta": ((POSITIVE + 1, POSITIVE), {}),
    "prelu": ((X, W), {}),
    "prod": ((X,), {"dim": [0, 1], "keepdim": True}),
    "reshape": ((X, [2, -1]), {}),
    "rms_norm": ((X, [4]), {"eps": 1e-3}),
    "round": ((X,), {}),
    "select": ((X, 1, 2), {}),
    "smooth_l1_loss": ((X, X * 2), {"beta": 0.5}),
    "soft_margin_loss": ((X, X.sign()), {"reduction": "sum"}),
    "softmax": ((X, -1), {}),
    "softmin": ((X, -1), {}),
    "std": ((X,), {"dim": 1, "unbiased": False}),
    "sum": ((X,), {"keepdim": True}),
    "take_along_dim": ((X, torch.tensor([[0], [3], [1]]), 1), {}),
    "threshold": ((X, 0.5, 7.0), {}),
    "to": ((X, torch.float64), {}),
    "transpose": ((X, 0, 1), {}),
    "triplet_margin_loss": ((X, X + 1, X * 3), {"swap": True}),
    "tril": ((X,), {"diagonal": 1}),
    "triu": ((X,), {"diagonal": -1}),
    "unflatten": ((X, 1, [2, 2]), {}),
    "unsqueeze": ((X, 1), {}),
    "var": ((X,), {"correction": 0, "keepdim": True}),
    "vector_norm": ((X,), {"ord": 1, "dim": 1}),
    "where": ((X > 0, X, 2.0), {}),
    **dict.fromkeys(("abs", "square"), ((X,), {})),
    **dict.fromkeys(("gcd", "lcm", "bitwise_and", "bitwise_or", "bitwise_xor"), ((INTEGERS, INTEGERS.flip(0)), {})),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift"), ((INTEGERS, INTEGERS % 7), {})),
    **dict.fromkeys(("add", "sub", "rsub"), ((X, W), {"alpha": 2})),
    **dict.fromkeys(("addcmul", "addcdiv"), ((X, X + 1, W), {"value": 0.5})),
    **dict.fromkeys(("acos", "asin", "erfinv"), ((X / 3,), {})),
    **dict.fromkeys(
        ("bessel_y0", "bessel_y1", "digamma", "entr", "lgamma", "log", "log10", "log2", "rsqrt", "sqrt"),
        ((POSITIVE,), {}),
    ),
    "log1p": ((POSITIVE,), {}),
    "ndtri": ((POSITIVE / 3,), {}),
}


@pytest.mark.parametrize("name", sorted(_names.ops()))
def test_every_row_is_what_torch_says(name: str) -> None:
    function = _rusttorch._op_function(name)
    if name not in SAMPLES:
        required = [p for p in function.__signature__.parameters.values() if p.default is Parameter.empty]
        SAMPLES[name] = ((X, POSITIVE, W)[: len(required)], {})
    args, kwargs = SAMPLES[name]
    before = rt.stats()["through_torch"]
    ours = function(*args, **kwargs)
    assert rt.stats()["through_torch"] == before
    with FunctionMode():
        theirs = function(*args, **kwargs)
    # A view is torch's anyway.
    assert name in _views.NUMPY or rt.stats()["through_torch"] != before
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True)
    # Defaults too, but for the clamp that neither does.
    if kwargs and "clamp" not in name:
        with FunctionMode():
            theirs = function(*args)
        torch.testing.assert_close(function(*args), theirs, rtol=1e-4, atol=1e-5, equal_nan=True)


# A number in the place of any operand, where the row takes one.
TWO = ["add", "atan2", "bitwise_and", "copysign", "div", "eq", "fmax", "fmod", "heaviside", "hypot", "lt", "maximum"]


@pytest.mark.parametrize("name", [*TWO, "pow", "remainder", "sub", "xlogy", "logical_and", "floor_divide"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bfloat16])
def test_numbers_promote_as_in_kernels(name: str, dtype: torch.dtype) -> None:
    x = torch.arange(1, 7).to(dtype)
    for number in (2, 2.5):
        for args in ((x, number), (number, x)):
            try:
                ours = _rusttorch._op_function(name)(*args)
            except (RuntimeError, NotImplementedError):
                continue
            with FunctionMode():
                torch.testing.assert_close(_rusttorch._op_function(name)(*args), ours)


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"])
def test_scans_in_transforms(name: str) -> None:
    x = torch.rand(2, 3)
    ours, theirs = getattr(rt, name), getattr(torch, name)
    for transform in (
        lambda f: torch.vmap(lambda q: f(q, 0))(x),
        lambda f: torch.func.jvp(lambda q: f(q, 0), (x,), (x,)),
        lambda f: torch.func.functionalize(lambda q: f(q, 0))(x),
    ):
        try:
            expected = transform(theirs)
        except RuntimeError:
            continue
        torch.testing.assert_close(transform(ours), expected)
