"""float16, bfloat16, int8 and int16: conversions bit for bit, every elementwise row, mixtures, gradients."""

from collections.abc import Callable

import numpy as np
import pytest
import rusttorch as rt
import torch
from rusttorch import _rusttorch

HALVES = [torch.float16, torch.bfloat16]
NARROW = [torch.int8, torch.int16]
ALL_HALVES = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int16)


def same_bits(got: torch.Tensor, want: torch.Tensor) -> None:
    assert got.dtype == want.dtype
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[want.element_size()]
    differ = (got.view(integer) != want.view(integer)) & ~(got.isnan() & want.isnan())
    assert not differ.any(), (got[differ][:5], want[differ][:5])


def to(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return rt.to(x, dtype)


@pytest.mark.parametrize("half", HALVES)
def test_every_half_becomes_the_float_that_torch_makes(half: torch.dtype) -> None:
    x = ALL_HALVES.view(half)
    for dtype in (torch.float32, torch.float64, *HALVES):
        same_bits(to(x, dtype), x.to(dtype))
    in_range = x[x.float().abs() < 2**31]
    for dtype in (torch.int32, torch.int64):
        assert torch.equal(to(in_range, dtype), in_range.to(dtype))
    small = x[x.float().abs() < 128]
    for dtype in (*NARROW, torch.uint8):
        assert torch.equal(to(small, dtype), small.to(torch.int32).to(dtype))
    assert torch.equal(to(x, torch.bool), x.bool())


@pytest.mark.parametrize("half", HALVES)
def test_floats_round_as_in_torch(half: torch.dtype) -> None:
    # Every value of the dtype, every midpoint of neighbours, and the floats beside them.
    finite = ALL_HALVES.view(half)
    finite = finite[finite.isfinite()].float()
    middle = (
        (finite.double() + torch.nextafter(finite.to(half), torch.tensor(torch.inf, dtype=half)).double()) / 2
    ).float()
    base = torch.cat([finite, middle])
    base = torch.cat(
        [base, torch.nextafter(base, torch.tensor(torch.inf)), torch.nextafter(base, torch.tensor(-torch.inf))]
    )
    spread = (
        torch.randint(-(1 << 31), 1 << 31, (1 << 18,), generator=torch.manual_seed(1))
        .to(torch.int32)
        .view(torch.float32)
    )
    odd = torch.tensor([65519.0, 65520.0, 65536.0, 3.4e38, 1e-45, 1e-40, torch.inf, -torch.inf, torch.nan, -0.0])
    x = torch.cat([base, spread, odd])
    same_bits(to(x, half), x.to(half))
    d = x.double()
    # Beside ties: float64 rounds to float32 first, in torch as well.
    d = torch.cat([d, d * (1 + 2.0**-40), d * (1 - 2.0**-40), d * 1e300])
    same_bits(to(d, half), d.to(half))
    i = torch.cat([torch.arange(-70000, 70000), torch.tensor([2**62 + 2**38, -(2**53) - 1, 2**24 + 1])])
    same_bits(to(i, half), i.to(half))


def test_integers_wrap_as_in_torch() -> None:
    i = torch.arange(-(1 << 17), 1 << 17, 7)
    for dtype in (*NARROW, torch.uint8):
        for source in (i, i.to(torch.int32), i.to(torch.int16)):
            assert torch.equal(to(source, dtype), source.to(dtype))
        f = torch.linspace(-120.75, 120.75, 999) if dtype == torch.int8 else torch.linspace(0, 250.5, 999)
        assert torch.equal(to(f, dtype), f.to(dtype))
    a, b = torch.arange(-128, 128, dtype=torch.int8).reshape(2, 128)
    for name in ("add", "sub", "mul", "bitwise_xor", "maximum"):
        assert torch.equal(getattr(rt, name)(a, b), getattr(torch, name)(a, b)), name
    c = torch.tensor([-32768, 32767, 181, -1], dtype=torch.int16)
    for got, want in ((rt.mul(c, c), c * c), (rt.neg(c), -c), (rt.abs(c), c.abs()), (rt.sum(c), c.sum())):
        assert got.dtype == want.dtype and torch.equal(got, want)


def resolve(path: str) -> Callable[..., torch.Tensor]:
    value = torch
    for part in path.split(".")[1:]:
        value = getattr(value, part)
    return value


def elementwise_rows() -> list[tuple[str, str, int]]:
    """Rows that take tensors of one shape: name, torch's function, operands."""
    rows = []
    for name, params, statics, _doc, path, _np in _rusttorch._op_table():
        needed = [p for p in params if "=" not in p]
        over_all = "reduction='mean'" in params or "dim=None" in params or "dim=1" in params
        if path and not set(needed) & set(statics) and not over_all and name not in NOT_ELEMENTWISE:
            rows.append((name, path, len(needed)))
    return rows


# Rows over all elements, and those that ask for more than tensors of one shape: numbers, a mask, limits, channels.
NOT_ELEMENTWISE = {
    *("clamp", "clip", "max", "min", "normalize", "threshold", "where"),
    *("batch_norm", "glu", "instance_norm", "masked_fill", "pairwise_distance", "prelu", "tril", "triu"),
    # Computed in float64, whatever the operands are.
    "float_power",
    # torch is NaN at infinity (i0 and i1 from 89 on; zeta for an infinite q), where the functions have limits.
    *("bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "i0", "i1", "zeta"),
    # torch takes the absolute value before it wraps.
    "lcm",
    # The neighbour of a 16-bit float is one: see test_mixed.py.
    "nextafter",
}


def operands(dtype: torch.dtype, n: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    if dtype.is_floating_point:
        x = [torch.randn(4001, generator=generator) * 3 for _ in range(n)]
        for i, v in enumerate(x):
            v[:10] = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, torch.inf, -torch.inf, torch.nan, 88.0, 2.0]).roll(i)
        return [v.to(dtype) for v in x]
    x = [torch.randint(-100, 100, (4001,), generator=generator) for _ in range(n)]
    # No divisor of zero.
    return [torch.where(v == 0, 3, v).to(dtype) for v in x]


@pytest.mark.parametrize(("name", "path", "count"), elementwise_rows(), ids=lambda v: v if isinstance(v, str) else "")
def test_rows_of_half_precision_round_float32_once(name: str, path: str, count: int) -> None:
    theirs, ours = resolve(path), getattr(rt, name)
    for dtype in HALVES:
        x = operands(dtype, count)
        try:
            want = theirs(*[v.float() for v in x])
        except RuntimeError:
            # Of integers only.
            with pytest.raises(NotImplementedError):
                ours(*x)
            continue
        got = ours(*x)
        try:
            expected = theirs(*x).dtype
        except RuntimeError:
            expected = dtype if want.dtype == torch.float32 else want.dtype
        assert got.dtype == expected, (name, dtype)
        if not got.dtype.is_floating_point:
            assert torch.equal(got, want), name
            continue
        # torch's vectors of 512 bits make NaN of gelu(inf), and no others do.
        want = torch.where(want.isnan(), theirs(*[v.double() for v in x]).float(), want)
        # float32 arithmetic of either side differs in its last bits, then both round.
        rounded = want.to(dtype)
        finite = rounded.isfinite()
        assert torch.equal(got.isnan(), rounded.isnan()), name
        step = torch.nextafter(rounded.abs(), torch.tensor(torch.inf, dtype=dtype)).float() - rounded.abs().float()
        off = (got.float() - rounded.float()).abs()
        slack = step + 5e-6 if name in CANCELS else step
        assert (off[finite] <= slack[finite]).all(), (name, dtype, off[finite].max())
        assert torch.equal(got[~finite & ~rounded.isnan()], rounded[~finite & ~rounded.isnan()]), name


# Rows that cancel: errors of float32 are large beside small results.
CANCELS = {"gelu", "logaddexp", "logit", "ndtr"}


@pytest.mark.parametrize(("name", "path", "count"), elementwise_rows(), ids=lambda v: v if isinstance(v, str) else "")
def test_rows_of_narrow_integers(name: str, path: str, count: int) -> None:
    theirs, ours = resolve(path), getattr(rt, name)
    for dtype in NARROW:
        x = operands(dtype, count)
        if "shift" in name:
            x[1] = x[1].abs() % 7
        if name == "pow":
            x[1] = x[1].abs() % 5
        try:
            want = theirs(*x)
        except (RuntimeError, TypeError):
            # What torch refuses may be refused, or be there.
            continue
        try:
            got = ours(*x)
        except NotImplementedError as e:
            assert "int" not in str(e), f"{name} lacks a dtype: {e}"
            raise
        assert got.dtype == want.dtype, (name, dtype)
        torch.testing.assert_close(got, want, equal_nan=True, rtol=2e-5, atol=1e-6)


def test_mixtures_in_one_kernel() -> None:
    generator = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    a, b, c = draw(31, 65).bfloat16(), draw(31, 65).half(), draw(65)
    i = torch.randint(-90, 90, (31, 65), generator=generator).to(torch.int8)
    mask = draw(31, 1) > 0

    @rt.fuse
    def f(a, b, c, i, mask):  # type: ignore[no-untyped-def]
        return torch.where(mask, a * b + c, i * a), a * i, b + i

    got = f(a, b, c, i, mask)
    wide = [a.float(), b.float(), c, i.float(), mask]
    want = (
        torch.where(mask, wide[0] * wide[1] + c, wide[3] * wide[0]),
        (wide[0] * wide[3]).bfloat16(),
        (wide[1] + wide[3]).half(),
    )
    for g, w in zip(got, want, strict=True):
        assert g.dtype == w.dtype
        torch.testing.assert_close(g, w, rtol=1e-6 if w.dtype == torch.float32 else 0, atol=0)


@pytest.mark.parametrize("half", HALVES)
def test_reductions_accumulate_in_float32(half: torch.dtype) -> None:
    x = (torch.randn(37, 1500, generator=torch.manual_seed(5)) + 1).to(half)
    step = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}[half]
    exact = x.double()
    cases = [
        (rt.sum(x), exact.sum()),
        (rt.sum(x, 0), exact.sum(0)),
        (rt.mean(x, 1), exact.mean(1)),
        (rt.var(x, 1), exact.var(1)),
        (rt.amax(x, 1), exact.amax(1)),
        (rt.softmax(x, 1), exact.softmax(1)),
        (rt.logsumexp(x, 0), exact.logsumexp(0)),
        (rt.layer_norm(x, [1500]), torch.nn.functional.layer_norm(exact, [1500])),
        (rt.mse_loss(x, x + 1), torch.nn.functional.mse_loss(exact, (x + 1).double())),
    ]
    for got, want in cases:
        assert got.dtype == half
        torch.testing.assert_close(got.double(), want, rtol=0.51 * step, atol=2.0**-20)
    assert torch.equal(rt.argmax(x, 1), x.argmax(1))
    assert rt.sum(torch.full((3, 1000), 100, dtype=torch.int8)).item() == 300_000


def test_numbers_are_compared_in_the_dtype() -> None:
    for half in HALVES:
        x = torch.tensor([0.1, 0.3, -1.7]).to(half)
        for number in (0.1, 0.3, -1.7):
            for name in ("eq", "le", "ge", "lt", "gt", "ne"):
                assert torch.equal(getattr(rt, name)(x, number), getattr(torch, name)(x, number)), (name, number)
        f = rt.expr("x == c")
        assert f(x, 0.1).tolist() == [True, False, False]


def test_to_rounds_where_it_stands() -> None:
    x = torch.linspace(0.9, 1.1, 999).bfloat16()
    once = rt.fuse(lambda x: x * x - 1)(x)
    twice = rt.fuse(lambda x: (x * x).to(torch.bfloat16) - 1)(x)
    assert torch.equal(once, (x.float() * x.float() - 1).bfloat16())
    assert torch.equal(twice, x * x - 1)
    assert not torch.equal(once, twice)
    for cast, dtype in (("half", torch.float16), ("float", torch.float32), ("bfloat16", torch.bfloat16)):
        got = rt.fuse(lambda x, cast=cast: getattr(x * 3, cast)())(x)
        assert got.dtype == dtype
    n = np.linspace(-3, 3, 50)
    got = rt.fuse(lambda n: n.astype(np.float16) * 2)(n)
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, n.astype(np.float16) * np.float16(2))
    assert rt.to(n, float).dtype == np.float64
    with pytest.raises(TypeError, match="name of a dtype"):
        rt.to(x, "cpu")


@pytest.mark.parametrize("half", HALVES)
def test_gradients_have_the_dtype_of_their_operand(half: torch.dtype) -> None:
    x, w = torch.randn(64, generator=torch.manual_seed(2)).to(half), torch.randn(64).double()
    value, grads = rt.value_and_grad(lambda x, w: rt.sum(rt.tanh(x).to(half) * w), argnums=(0, 1))(x, w)
    assert value.dtype == torch.float64 and grads[0].dtype == half and grads[1].dtype == torch.float64
    y = x.float().tanh()
    torch.testing.assert_close(grads[0].float(), (1 - y * y) * w.float(), rtol=2.0**-7, atol=2.0**-9)
    torch.testing.assert_close(grads[1], y.to(half).double())


def test_numpy_dtypes() -> None:
    h, i, s = (
        np.linspace(-2, 2, 41).astype(np.float16),
        np.arange(-20, 21, dtype=np.int8),
        np.arange(41, dtype=np.int16),
    )
    assert rt.exp(h).dtype == np.float16
    np.testing.assert_array_equal(rt.add(h, h), h + h)
    np.testing.assert_array_equal(rt.mul(i, i), i * i)
    assert rt.mul(i, s).dtype == np.int16
    out = np.empty(41, dtype=np.float16)
    assert rt.mul(h, 2.0, out=out) is out
    np.testing.assert_array_equal(out, h * np.float16(2))
    # Strided, negative and unaligned.
    np.testing.assert_array_equal(rt.neg(h[::-2]), -h[::-2])
    odd = np.frombuffer(b"\0" + h.tobytes(), dtype=np.uint8)[1:].view(np.float16)
    np.testing.assert_array_equal(rt.neg(odd), -h)
    with pytest.raises(TypeError, match="bfloat16"):
        rt.to(h, "bfloat16")


@pytest.mark.parametrize("half", HALVES)
def test_gelu_is_rounded_nearly_correctly(half: torch.dtype) -> None:
    """All inputs, against float64: for 16 bits gelu has a text of its own, shorter than float32's."""
    x = ALL_HALVES.view(half)
    x = x[x.isfinite()]
    got = rt.gelu(x)
    want = torch.special.erfc(x.double() * -(0.5**0.5)) * x.double() / 2
    fits = want.abs() <= torch.finfo(half).max
    ulp = 2.0 ** (torch.frexp(want)[1] - 1) * torch.finfo(half).eps
    ulp = ulp.clamp(min=torch.finfo(half).smallest_normal * torch.finfo(half).eps)
    error = ((got.double() - want).abs() / ulp)[fits]
    assert error.max() < 0.51, (x[fits][error.argmax()], error.max())
    specials = rt.gelu(torch.tensor([torch.inf, -torch.inf, torch.nan, -0.0], dtype=half))
    same_bits(specials, torch.tensor([torch.inf, torch.nan, torch.nan, -0.0], dtype=half))
