"""Arguments that torch's functions have beside those of an op, beside torch: dtypes, old forms, limits, layouts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch
from beside_torch import check, ours, same, sample
from rusttorch.nn import functional as F

X = sample(torch.float32, (3, 4))
INTS = torch.tensor([[3, -1, 2], [200, 7, -9]])
BYTES = torch.tensor([[1, 200, 7], [2, 100, 9]], dtype=torch.uint8)

#: Functions of ``torch``, on torch's tensors and on ours.
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("sum", (X, 1), {"dtype": torch.float64}),
    ("sum", (BYTES,), {"dtype": torch.uint8}),
    ("prod", (INTS,), {"dtype": torch.float32}),
    ("mean", (INTS, 0), {"dtype": torch.float32}),
    ("mean", (INTS,), {}),
    ("softmax", (INTS, 0), {"dtype": torch.float64}),
    ("softmax", (INTS, 0), {}),
    ("log_softmax", (X, 1), {"dtype": torch.float64}),
    ("round", (X * 100,), {"decimals": 2}),
    ("round", (X * 100,), {"decimals": -1}),
    ("logit", (X.sigmoid(), 0.6), {}),
    ("logit", (X, 0.2), {}),
    ("take_along_dim", (X, torch.tensor([[-1], [0], [-4]]), 1), {}),
    ("take_along_dim", (X, torch.tensor([1, 11, 3])), {}),
    ("diff", (X, 2), {}),
    ("diff", (X, 0), {}),
    ("diff", (X, 1, 0, X[:1], X[:2]), {}),
    ("diff", (X, -1), {}),
    ("diff", (X,), {"append": X[0]}),
    ("diff", (X,), {"append": X[:2]}),
    ("squeeze", (X[:1, :, None], (0, 2)), {}),
    ("squeeze", (X[:1, :, None], ()), {}),
    ("squeeze", (X[:1], (0, -2)), {}),
    ("squeeze", (X, 2), {}),
    ("corrcoef", (X[:1],), {}),
    ("cov", (X.half(),), {"aweights": torch.tensor([1.0, 2.0, 0.5, 1.0])}),
    ("trapezoid", (BYTES, BYTES), {}),
    ("cumulative_trapezoid", (BYTES, BYTES), {}),
    ("tensordot", (X[:1], X, ([0], [0])), {}),
    ("einsum", ("ij->j", BYTES), {}),
    ("einsum", ("ij,kj->ik", BYTES, BYTES), {}),
    ("max", (X > 0, 1), {}),
    ("matmul", (X.half(), X.half().T), {}),
    ("matmul", (INTS, INTS[0]), {}),
    ("matmul", (INTS[0], INTS.T), {}),
    ("matmul", (INTS[0], INTS[1]), {}),
    ("matmul", (INTS, INTS), {}),
    ("matmul", (INTS.expand(4, 2, 3), BYTES.long().T), {}),
    ("matmul", (X > 0, X > 0), {}),
]


def beside(theirs: Callable[[], Any], mine: Callable[[], Any], tensor: type) -> None:
    try:
        want = theirs()
    except Exception as error:
        kind = next(k for k in (IndexError, TypeError, ValueError, RuntimeError) if isinstance(error, k))
        with pytest.raises(kind):
            mine()
        return
    got = mine()
    if tensor is torch.Tensor:
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3, equal_nan=True)
    else:
        same(got, want)


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(CALLS)])
def test_functions(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    theirs, mine = getattr(torch, name), getattr(rt, name)
    beside(lambda: theirs(*args, **kwargs), lambda: mine(*args, **kwargs), torch.Tensor)
    options = {k: ours(v) for k, v in kwargs.items()}
    beside(lambda: theirs(*args, **kwargs), lambda: mine(*ours(args), **options), rt.Tensor)


def test_methods() -> None:
    for x in (X, INTS, BYTES, X > 0):
        same(ours(x).where(ours(x == x[0]), ours(x.flip(0))), x.where(x == x[0], x.flip(0)))
        check("max", x, 1, True)
        check("min", x, 0)
        check("max", x, x.flip(1))
        check("sum_to_size", x, 1, x.shape[1])
        check("sum_to_size", x, ())
    check("float_power_", X, 2)
    check("float_power_", X.double(), 2)
    for name in ("std_mean", "var_mean"):
        check(name, X, True)
        check(name, X, 1, unbiased=False)
    own = ours(X.T)
    for format in (torch.preserve_format, torch.contiguous_format):
        for name in ("float", "double", "half", "clone"):
            got = getattr(own, name)(memory_format=format)
            assert got.stride() == getattr(X.T, name)(memory_format=format).stride()
    with pytest.raises(NotImplementedError, match="memory_format=channels_last is not supported"):
        own.float(memory_format=torch.channels_last)
    with pytest.raises(AttributeError, match=r"torch\.Tensor has it, rusttorch does not"):
        own.unsqueeze_(0)


@pytest.mark.parametrize("name", ["empty_like", "zeros_like", "ones_like"])
def test_tensors_like_others_are_of_their_kind(name: str) -> None:
    like = getattr(rt, name)
    got = like(X.T)
    assert isinstance(got, torch.Tensor)
    assert (got.dtype, got.shape, got.stride()) == (X.dtype, X.T.shape, X.T.stride())
    assert isinstance(like(X.numpy(), dtype=rt.int8), np.ndarray)
    assert isinstance(like(ours(X)), rt.Tensor)
    assert torch.equal(rt.full_like(INTS, 7), torch.full_like(INTS, 7))


#: Functions of ``torch.nn.functional`` on torch's tensors and on ours.
LOSSES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("softmin", (BYTES, 0), {"dtype": torch.float64}),
    ("threshold", (INTS, 1.7, -2.5), {}),
    ("threshold", (X > 0, 1, 2), {}),
    ("hardtanh", (INTS, -1.5, 3.5), {}),
    ("hardtanh", (BYTES, -1.5, 3.5), {}),
    ("rrelu", (X, 0.3, 0.1), {}),
    ("pairwise_distance", (BYTES, BYTES.flip(0)), {}),
    ("triplet_margin_loss", (BYTES, BYTES.flip(0), BYTES.flip(1)), {}),
    ("margin_ranking_loss", (BYTES, BYTES.flip(0), BYTES.flip(1)), {"margin": 0.5}),
    ("group_norm", (X[None, :0], 1), {}),
    ("group_norm", (X[None, :, :0], 3), {}),
    ("multi_margin_loss", (X, X[0]), {"reduction": "abc"}),
    ("multilabel_margin_loss", (X, X), {"reduction": "abc"}),
    ("gaussian_nll_loss", (X, X, X[:, :2].abs()), {}),
    ("gaussian_nll_loss", (X, X, X[:, :1].abs() + 1), {}),
    ("gaussian_nll_loss", (X, X, X[:, 0].abs() + 1), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), LOSSES, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(LOSSES)])
def test_functional(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    theirs, mine = getattr(torch.nn.functional, name), getattr(F, name)
    beside(lambda: theirs(*args, **kwargs), lambda: mine(*args, **kwargs), torch.Tensor)
    options = {k: ours(v) for k, v in kwargs.items()}
    beside(lambda: theirs(*args, **kwargs), lambda: mine(*ours(args), **options), rt.Tensor)


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_running_statistics_of_a_training_step(name: str) -> None:
    def step(f: Any) -> tuple[torch.Tensor, ...]:
        x = sample(torch.float64, (4, 3, 5)).requires_grad_()
        weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
        mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        f(x, mean, var, weight, None, True, 0.3).pow(3).sum().backward()
        assert x.grad is not None
        assert weight.grad is not None
        assert not mean.requires_grad
        return mean, var, x.grad, weight.grad

    for got, want in zip(step(getattr(F, name)), step(getattr(torch.nn.functional, name)), strict=True):
        torch.testing.assert_close(got, want)


def test_ends_of_linspace_are_numbers() -> None:
    for name in ("linspace", "logspace"):
        with pytest.raises(RuntimeError, match="only supports 0-dimensional start and end tensors"):
            getattr(rt, name)(INTS[0], INTS[1], 2)
        assert getattr(rt, name)(torch.tensor(1), torch.tensor(2.0), 3, device="cpu").shape == (3,)
    assert rt.tril_indices(2, 2, device="cpu").shape == (2, 3)


def test_polygamma_of_a_tensor_takes_the_order() -> None:
    x = torch.tensor([0.5, 1.5, 4.0])
    torch.testing.assert_close(torch.from_numpy(rt.tensor(x).polygamma(2).numpy()), x.polygamma(2))
    one = rt.tensor(3)
    assert float(one.polygamma(1)) == pytest.approx(float(torch.tensor(3).polygamma(1)))
    mine = rt.tensor(x)
    mine.polygamma_(1)
    torch.testing.assert_close(torch.from_numpy(mine.numpy()), x.polygamma(1))


@pytest.mark.parametrize("args", [(True,), (False,), (1, False), (1, True, True), ((0, 1), True)])
@pytest.mark.parametrize("name", ["var", "std"])
def test_a_bool_as_dim_of_var_and_std_is_unbiased(name: str, args: tuple[Any, ...]) -> None:
    x = sample(torch.float64, (3, 5))
    beside(lambda: getattr(torch, name)(x, *args), lambda: getattr(rt, name)(x, *args), torch.Tensor)
    beside(lambda: getattr(x, name)(*args), lambda: getattr(ours(x), name)(*args), rt.Tensor)
    mine = getattr(rt, name)(x, dim=None, correction=None)
    torch.testing.assert_close(mine, getattr(torch, name)(x, dim=None, correction=None))


def test_sums_and_products_of_bools_as_bools() -> None:
    x = sample(torch.bool, (4, 6))
    for name in ("sum", "prod"):
        for dim in (None, 0, 1):
            options = {} if dim is None else {"dim": dim}
            mine = getattr(rt, name)(x, dtype=torch.bool, **options)
            torch.testing.assert_close(mine, getattr(torch, name)(x, dtype=torch.bool, **options))


LIMITS = [(-1, 5), (0, 300), (-300, 5), (-(2**40), 2**40), (-1, None), (None, 300), (3, 3)]


@pytest.mark.parametrize(("low", "high"), LIMITS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64], ids=str)
def test_limits_that_a_narrow_integer_does_not_hold_are_none(dtype: torch.dtype, low: Any, high: Any) -> None:
    x = sample(dtype, (70,))
    beside(lambda: torch.clamp(x, low, high), lambda: rt.clamp(x, low, high), torch.Tensor)
    beside(lambda: x.clamp(low, high), lambda: ours(x).clamp(low, high), rt.Tensor)
    fused = rt.fuse(lambda v: rt.clamp(v, low, high) + 1)
    torch.testing.assert_close(fused(x), torch.clamp(x, low, high) + 1)


@pytest.mark.parametrize("value", [-9, -255, -256, 255, 256, 2.7, -2.7, float("nan"), True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int64], ids=str)
def test_numbers_that_an_integer_dtype_holds(dtype: torch.dtype, value: Any) -> None:
    def stored(x: Any) -> Any:
        x[1] = value
        return x

    mine = ours(dtype)
    beside(lambda: torch.full((2,), value, dtype=dtype), lambda: rt.full((2,), value, dtype=mine), rt.Tensor)
    beside(lambda: torch.zeros(2, dtype=dtype).fill_(value), lambda: rt.zeros(2, dtype=mine).fill_(value), rt.Tensor)
    beside(lambda: stored(torch.zeros(2, dtype=dtype)), lambda: stored(rt.zeros(2, dtype=mine)), rt.Tensor)


@pytest.mark.parametrize("index", [[0], [1], [0, 0], []])
def test_index_select_of_a_number(index: list[int]) -> None:
    x, at = torch.tensor(3.0), torch.tensor(index, dtype=torch.int64)
    beside(lambda: x.index_select(0, at), lambda: ours(x).index_select(0, ours(at)), rt.Tensor)


def test_aminmax_is_a_method() -> None:
    x = sample(torch.float32, (3, 5))
    beside(lambda: x.aminmax(dim=1), lambda: ours(x).aminmax(dim=1), rt.Tensor)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("args", [(-0.9, 2.1, 2.0), (5, 0, -0.5), (0.5, 5, 1.5), (-2.7, 2.7, 1), (7,), (2, 5)], ids=str)
def test_arange(args: tuple[float, ...], dtype: torch.dtype) -> None:
    beside(lambda: torch.arange(*args, dtype=dtype), lambda: rt.arange(*args, dtype=ours(dtype)), rt.Tensor)
    named = dict(zip(("start", "end", "step"), args, strict=False)) if len(args) > 1 else {"end": args[0]}
    beside(lambda: torch.arange(**named, dtype=dtype), lambda: rt.arange(**named, dtype=ours(dtype)), rt.Tensor)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.float64], ids=str)
@pytest.mark.parametrize("args", [(4.3, -3, 50), (0, 1.2, 2), (-0.9, 2.9, 4), (3, 3, 1), (0, 4.7, 5)], ids=str)
def test_ends_of_integers_are_integers(args: tuple[float, float, int], dtype: torch.dtype) -> None:
    for name in ("linspace", "logspace"):
        base = {"base": 3.0} if name == "logspace" else {}
        want = getattr(torch, name)(*args, dtype=dtype, **base)
        same(getattr(rt, name)(*args, dtype=ours(dtype), **base), want)


def test_arange_takes_an_end() -> None:
    for args, kwargs in (((), {}), ((1, 2, 3, 4), {}), ((1, 2), {"end": 3}), ((1,), {"start": 0}), ((), {"start": 1})):
        with pytest.raises(TypeError, match=r"arange\(\)"):
            rt.arange(*args, **kwargs)


@pytest.mark.parametrize("shapes", [((1, 2, 3), (2, 1, 3)), ((2, 3), (1, 3)), ((4, 1), (1, 5))], ids=str)
def test_cosine_similarity_broadcasts_first(shapes: tuple[tuple[int, ...], ...]) -> None:
    a, b = (sample(torch.float64, s, i) for i, s in enumerate(shapes))
    for dim in range(-a.ndim, a.ndim):
        want = torch.nn.functional.cosine_similarity(a, b, dim)
        torch.testing.assert_close(F.cosine_similarity(a, b, dim), want)


def test_diff_of_order_none_joins_nothing() -> None:
    x, more = sample(torch.int64, (5, 5)), sample(torch.int64, (1, 5))
    torch.testing.assert_close(rt.diff(x, 0, 0, more), torch.diff(x, 0, 0, more))


def test_powers_of_float64_are_exact_where_they_can_be() -> None:
    for base in (2.0, 3.0, 7.0, 10.0, 1.5):
        exponents = torch.arange(0, 16, dtype=torch.float64)
        assert rt.pow(base, exponents).tolist() == [base**k for k in range(16)]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("i ** 0", lambda i, b: i**0),
        ("sum(i ** 0)", lambda i, b: (i**0).sum()),
        ("i ** 0 + b", lambda i, b: i**0 + b),
        ("heaviside(1.0, b)", lambda i, b: torch.heaviside(torch.ones_like(b), b)),
        ("where(1 > 0, 2, b)", lambda i, b: torch.where(torch.tensor(True), 2, b)),
        ("where(True, i, b)", lambda i, b: torch.where(torch.tensor(True), i, b)),
        ("where(False, i, b)", lambda i, b: torch.where(torch.tensor(False), i, b)),
        ("masked_fill(b, True, 2)", lambda i, b: b.masked_fill(torch.tensor(True), 2)),
        ("i > -1 if True else i", lambda i, b: torch.where(torch.tensor(True), i > -1, i)),
    ],
)
def test_a_literal_leaves_no_operand_out(text: str, want: Callable[..., torch.Tensor]) -> None:
    """Shape and dtype are those of all operands, whichever one a literal has chosen."""
    operands = {"i": torch.arange(3).reshape(3, 1), "b": torch.tensor([0.5, -1.0])}
    f = rt.expr(text)
    args = [operands[name] for name in f.args]
    expected = want(**operands)
    got = f(*args)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    torch.testing.assert_close(got, expected)
    if "heaviside" not in text:  # There a number's dtype, float64 for NumPy, must be the other one's.
        np.testing.assert_array_equal(f(*(a.numpy() for a in args)), expected.numpy())


@pytest.mark.parametrize("exponent", [-1, -2, -7])
def test_integers_have_no_negative_powers(exponent: int) -> None:
    x = torch.arange(1, 4)
    for call in (
        lambda: rt.pow(x, exponent),
        lambda: rt.pow(x.numpy(), exponent),
        lambda: rt.tensor([1, 2]) ** exponent,
        lambda: rt.expr(f"x ** {exponent}")(x),
        lambda: rt.fuse(lambda a: a**exponent)(x),
    ):
        with pytest.raises(RuntimeError, match="Integers to negative integer powers are not allowed"):
            call()
    torch.testing.assert_close(rt.pow(x.double(), exponent), x.double() ** exponent)
    # A tensor's elements are not looked at.
    torch.testing.assert_close(rt.pow(x, torch.tensor(exponent)), torch.pow(x, torch.tensor(exponent)))


def test_literals_wrap_as_numbers_do() -> None:
    for dtype, number in ((torch.uint8, -1), (torch.uint8, 300), (torch.int8, 200), (torch.int32, 3_000_000_000)):
        x = torch.tensor([3, 100], dtype=dtype)
        for op in ("+", "-", "*", ">", "<=", "=="):
            want = eval(f"x {op} {number}")
            for got in (rt.expr(f"x {op} {number}")(x), rt.expr(f"x {op} n")(x, number)):
                assert got.dtype == want.dtype
                torch.testing.assert_close(got, want, msg=f"{dtype} {op} {number}")
    with pytest.raises(RuntimeError, match="value cannot be converted to type uint8_t without overflow"):
        rt.expr("x ** 300")(torch.tensor([3], dtype=torch.uint8))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32])
def test_none_is_no_exponent(dtype: torch.dtype) -> None:
    x = torch.tensor([2], dtype=dtype)
    for args in ((x, None), (None, x)):
        with pytest.raises(TypeError, match="expected a tensor or a number, but got None"):
            rt.pow(*args)
