"""Dtypes, strides, results and errors of calls, against torch and NumPy."""

import inspect
import itertools
import pickle
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch

INTEGERS = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
DTYPES = [*INTEGERS, torch.float16, torch.bfloat16, torch.float32, torch.float64]
BINARY = ["add", "mul", "true_divide", "maximum", "lt", "eq"]


def operand(dtype: torch.dtype, dims: int) -> torch.Tensor:
    x = torch.tensor([1, 0, 3]).to(dtype)
    return x if dims else x[2].clone()


@pytest.mark.parametrize("name", BINARY)
def test_promotion_is_torchs(name: str) -> None:
    ours, theirs = getattr(rt, name), getattr(torch, name)
    for a, b in itertools.product(DTYPES, DTYPES):
        for da, db in ((1, 1), (1, 0), (0, 1), (0, 0)):
            x, y = operand(a, da), operand(b, db)
            want = theirs(x, y)
            got = ours(x, y)
            assert got.dtype == want.dtype, (name, a, da, b, db)
            torch.testing.assert_close(got, want, equal_nan=True)


@pytest.mark.parametrize("number", [True, 2, 2.5])
def test_python_numbers_are_weak(number: float) -> None:
    for dtype, dims in itertools.product(DTYPES, (1, 0)):
        x = operand(dtype, dims)
        for got, want in ((rt.add(x, number), x + number), (rt.mul(x, number), x * number)):
            assert got.dtype == want.dtype, (dtype, dims, number)
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_default_dtype_is_torchs(default: torch.dtype) -> None:
    before = torch.get_default_dtype()
    i = torch.tensor([1, 2, 3])
    try:
        torch.set_default_dtype(default)
        assert rt.true_divide(i, 2).dtype == default
        assert rt.exp(i).dtype == default
        assert rt.add(i, 1.5).dtype == default
    finally:
        torch.set_default_dtype(before)


def test_default_dtype_is_float64_for_numpy() -> None:
    i = np.array([1, 2, 3])
    assert rt.true_divide(i, 2).dtype == np.float64
    assert rt.exp(i).dtype == np.float64
    assert rt.exp(i.astype(np.float32)).dtype == np.float32


LAYOUTS = {
    "contiguous": lambda: torch.randn(2, 3, 4, 5),
    "channels last": lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "permuted": lambda: torch.randn(5, 4, 3, 2).permute(3, 2, 1, 0),
    "slice": lambda: torch.randn(2, 3, 4, 10)[..., ::2],
    "expanded": lambda: torch.randn(2, 1, 4, 5).expand(2, 3, 4, 5),
    "ones": lambda: torch.randn(1, 3, 1, 5).transpose(0, 2),
}


@pytest.mark.parametrize(("first", "second"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_strides_are_torchs(first: str, second: str) -> None:
    x, y = LAYOUTS[first](), LAYOUTS[second]()
    want = x + y
    got = rt.add(x, y)
    assert got.stride() == want.stride()
    torch.testing.assert_close(got, want, rtol=0, atol=0)
    assert rt.exp(x).stride() == torch.exp(x).stride()


def test_strides_are_numpys() -> None:
    a = np.random.default_rng(0).random((3, 4, 5))
    for x in (a, a.T, np.asfortranarray(a), a[:, ::2], a[::-1], a.transpose(1, 0, 2)):
        assert rt.exp(x).strides == np.exp(x).strides
        np.testing.assert_allclose(rt.exp(x), np.exp(x), rtol=1e-14)
        want = x + x[:1]
        got = rt.add(x, x[:1])
        assert got.strides == want.strides
        np.testing.assert_array_equal(got, want)


def test_results_without_dimensions() -> None:
    a = np.arange(4.0)
    assert isinstance(rt.sum(a), np.float64)
    assert isinstance(rt.add(np.float32(1), np.float32(2)), np.float32)
    x = rt.sum(torch.arange(4.0))
    assert isinstance(x, torch.Tensor)
    assert x.shape == ()


def test_several_results_are_a_tuple() -> None:
    a = np.arange(4.0)
    low, high = rt.expr("a - 1, a + 1")(a)
    np.testing.assert_array_equal(low, a - 1)
    np.testing.assert_array_equal(high, a + 1)


def test_empty_arrays() -> None:
    assert rt.exp(np.zeros((0, 3))).shape == (0, 3)
    assert rt.add(torch.zeros(0, 3), torch.zeros(3)).shape == (0, 3)
    assert rt.sum(torch.zeros(0, 3)) == 0


def test_out() -> None:
    for make in (lambda: np.arange(12.0).reshape(3, 4), lambda: torch.arange(12.0).reshape(3, 4)):
        x, out = make(), make()
        assert rt.mul(x, 2.0, out=out) is out
        assert (out == x * 2).all()
        # Every operand counts as read before the first write.
        want = x + x[:1]
        assert rt.add(x, x[:1], out=x) is x
        assert (x == want).all()
        # Other strides.
        out, square = make().T[:, :3], x[:3, :3]
        rt.add(square, 1.0, out=out[:3])
        assert (out[:3] == square + 1.0).all()


@pytest.mark.parametrize("torch_operands", [False, True])
def test_out_that_is_an_operand(torch_operands: bool) -> None:
    rng = np.random.default_rng(0)
    texts = {"x*2 + y": True, "x + y, x - y": False, "x*y, y - x*y": True, "x + sum(x, 1, keepdim=True)": False}
    for rows, columns in ((1, 5), (37, 41), (300, 1000)):
        for text, in_place in texts.items():
            f = rt.expr(text)
            a, b = (rng.random((rows, columns), dtype=np.float32) for _ in range(2))
            x, y = (torch.from_numpy(a), torch.from_numpy(b)) if torch_operands else (a, b)
            results = f(x, y) if "y" in text else f(x)
            want = [torch.asarray(r).numpy() for r in (results if isinstance(results, tuple) else [results])]
            out = (x, y)[: len(want)]
            tracemalloc.start()
            f(*((x, y) if "y" in text else (x,)), out=out if len(want) > 1 else x)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            for got, wanted in zip((a, b), want, strict=False):
                np.testing.assert_array_equal(got, wanted, err_msg=text)
            # NumPy reports its memory: in place there is none.
            if in_place and not torch_operands and rows == 300:
                assert peak < a.nbytes // 8, text


def test_out_that_overlaps_an_operand() -> None:
    memory = np.arange(1000.0)
    want = memory[:-1] * 2
    rt.mul(memory[:-1], 2.0, out=memory[1:])
    np.testing.assert_array_equal(memory[1:], want)
    square = np.arange(10_000.0).reshape(100, 100)
    want = square + square.T
    rt.add(square, square.T, out=square)
    np.testing.assert_array_equal(square, want)


def test_out_errors() -> None:
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        rt.exp(x, out=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="shape"):
        rt.exp(x, out=torch.zeros(4))
    with pytest.raises(RuntimeError, match="single memory location"):
        rt.exp(x, out=torch.zeros(1).expand(3))
    with pytest.raises(RuntimeError, match=r"out=\.\.\. arguments don't support automatic differentiation"):
        rt.exp(x, out=torch.zeros(3, requires_grad=True))
    with pytest.raises(TypeError, match=r"torch\.Tensor"):
        rt.exp(x, out=np.zeros(3, dtype=np.float32))
    readonly = np.zeros(3)
    readonly.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        rt.exp(np.ones(3), out=readonly)
    nothing = torch.zeros(1, 0).expand(3, 0)
    assert rt.exp(torch.zeros(3, 0), out=nothing) is nothing, "no two elements share memory"
    wide = torch.zeros(3, dtype=torch.float64)
    rt.exp(x, out=wide)
    torch.testing.assert_close(wide, torch.exp(x).double())


def test_out_without_elements_is_resized() -> None:
    """As by torch, silently; one with elements is not."""
    x = torch.arange(6.0).reshape(2, 3)
    for call, want in (
        (lambda out: rt.add(x, 1, out=out), x + 1),
        (lambda out: rt.expr("x + 1")(x.T, out=out), x.T + 1),
        (lambda out: rt.sum(x, 1, out=out), x.sum(1)),
        (lambda out: rt.fuse(lambda a: a * 2)(x, out=out), x * 2),
    ):
        for out in (torch.empty(0), torch.empty(0, dtype=torch.float64)):
            assert call(out) is out
            torch.testing.assert_close(out, want.to(out.dtype))
    with pytest.raises(RuntimeError, match=r"out has shape \[4\], but the result has shape \[2, 3\]"):
        rt.add(x, 1, out=torch.empty(4))
    with pytest.raises(RuntimeError, match="can't be cast"):
        rt.add(x, 1, out=torch.empty(0, dtype=torch.int64))
    with pytest.raises(RuntimeError, match=r"out has shape \[0\], but the result has shape \[2, 3\]"):
        rt.add(x.numpy(), 1, out=np.empty(0, np.float32))


def test_out_counts_as_a_write_for_autograd() -> None:
    x = torch.ones(3)
    before = x._version
    rt.exp(torch.zeros(3), out=x)
    assert x._version > before


ERRORS = [
    (lambda: rt.add(torch.ones(3), torch.ones(4)), lambda: torch.add(torch.ones(3), torch.ones(4))),
    (lambda: rt.sum(torch.ones(3), 1), lambda: torch.sum(torch.ones(3), 1)),
    (lambda: rt.sum(torch.ones(3, 3), [0, 0]), lambda: torch.sum(torch.ones(3, 3), [0, 0])),
    (lambda: rt.bitwise_and(torch.ones(3), 1), lambda: torch.bitwise_and(torch.ones(3), torch.tensor(1))),
    (lambda: rt.mean(torch.ones(3).long()), lambda: torch.mean(torch.ones(3).long())),
    (lambda: rt.clamp(torch.ones(3)), lambda: torch.clamp(torch.ones(3))),
    (lambda: rt.sub(torch.ones(3).bool(), torch.ones(3).bool()), lambda: torch.ones(3).bool() - torch.ones(3).bool()),
]


@pytest.mark.parametrize("i", range(len(ERRORS)))
def test_errors_are_torchs(i: int) -> None:
    ours, theirs = ERRORS[i]
    with pytest.raises(Exception) as want:
        theirs()
    with pytest.raises(Exception) as got:
        ours()
    assert isinstance(got.value, type(want.value)), (got.value, want.value)
    assert str(got.value) == str(want.value)


def test_wrong_calls() -> None:
    f = rt.expr("b - a")
    assert f.args == ("b", "a")
    assert str(f.__signature__) == "(b, a)"
    with pytest.raises(TypeError, match=r"takes 2 arguments \(b, a\) but 1 was given"):
        f(np.ones(3))
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        f(np.ones(3), c=1)
    with pytest.raises(TypeError, match="multiple values for argument 'b'"):
        f(np.ones(3), b=1)
    np.testing.assert_array_equal(f(a=np.ones(3), b=np.zeros(3)), -np.ones(3))
    with pytest.raises(SyntaxError):
        rt.expr("a +* b")
    with pytest.raises(NameError, match="did you mean"):
        rt.expr("simgoid(a)")


@pytest.mark.parametrize("make", [lambda: rt.expr("x - y"), lambda: rt.sub], ids=["expr", "op"])
def test_vectorcall_and_call_are_one(make: Callable[[], rt.Expr]) -> None:
    """CPython calls an object by vectorcall, `type.__call__` by a tuple and a dictionary."""
    function = make()
    x, y = np.arange(5.0), np.ones(5)
    names = function.args[:2]
    out = np.empty(5)
    accepted: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((x, y), {}),
        ((x, y), {"out": None}),
        ((x, y), {"out": out}),
        ((x, y), {"out": (out,)}),
        ((x,), {names[1]: y}),
        ((), {names[1]: y, names[0]: x}),
        ((rt.tensor(x), y), {}),
        ((rt.tensor(x), y), {"out": rt.empty(5, dtype="float64")}),
        ((torch.from_numpy(x), 1), {}),
    ]
    refused: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        ((x,), {}),
        ((x, y, 1, 1, 1), {}),
        ((x, y), {names[1]: y}),
        ((x, y), {"nothing": y}),
        ((x, y), {"out": 3}),
        ((x, y), {"out": np.empty(4)}),
        ((x, [1.0]), {}),
        ((x, None), {}),
        ((x, "y"), {}),
    ]
    for args, kwargs in accepted:
        a, b = function(*args, **kwargs), type(function).__call__(function, *args, **kwargs)
        assert type(a) is type(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    for args, kwargs in refused:
        with pytest.raises(Exception) as one:
            function(*args, **kwargs)
        with pytest.raises(type(one.value)) as other:
            type(function).__call__(function, *args, **kwargs)
        assert str(one.value) == str(other.value)


def test_a_parameter_named_out_is_one() -> None:
    f = rt.expr("out * 2 + x")
    x, y = np.arange(3.0), np.ones(3)
    np.testing.assert_array_equal(f(y, x), y * 2 + x)
    np.testing.assert_array_equal(f(x=x, out=y), y * 2 + x)
    with pytest.raises(TypeError, match="multiple values for argument 'out'"):
        f(y, x, out=x)


def test_expr_is_a_final_class() -> None:
    assert type(rt.expr("x + 1")) is type(rt.add) is rt.Expr
    assert isinstance(rt.Expr("x + 1"), rt.Expr)
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Derived", (rt.Expr,), {})
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'text'"):
        rt.Expr()  # type: ignore[call-arg]


def test_calls_leave_no_references() -> None:
    f = rt.Expr("x + y")
    x, y, out = np.ones(4), np.ones(4), np.empty(4)
    f(x, y, out=out)
    before = [sys.getrefcount(o) for o in (f, x, y, out, rt.Expr)]
    for _ in range(1000):
        f(x, y, out=out)
        f(x, y=y)
        with pytest.raises(TypeError):
            f(x, y, out=3)
    assert [sys.getrefcount(o) for o in (f, x, y, out, rt.Expr)] == before
    gone = weakref.ref(f)
    del f
    assert gone() is None


def test_header_gives_order_and_defaults() -> None:
    f = rt.expr("scaled(x, k=2.0) = x * k")
    assert f.__name__ == "scaled"
    np.testing.assert_array_equal(f(np.ones(3)), [2, 2, 2])
    np.testing.assert_array_equal(f(np.ones(3), k=3.0), [3, 3, 3])


def test_numpy_names_of_arguments() -> None:
    a = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(rt.sum(a, axis=0, keepdims=True), a.sum(axis=0, keepdims=True))


def test_a_repeated_call_plans_once() -> None:
    f = rt.expr("a * 2.25 + b")  # nobody else has this text
    x = np.ones(4)
    for _ in range(5):
        f(x, 1.0)
    assert f.cache_info() == (4, 1, 1)
    f(x, 2.0)
    assert f.cache_info()[1] == 1, "numbers are run-time values"
    f(np.ones((2, 4)), 1.0)
    assert f.cache_info() == (5, 2, 2)
    f.cache_clear()
    assert f.cache_info()[2] == 0


def test_pickles() -> None:
    f = pickle.loads(pickle.dumps(rt.expr("a * 2 + b")))
    np.testing.assert_array_equal(f(np.ones(2), 1.0), [3, 3])
    g = pickle.loads(pickle.dumps(rt.sum))
    np.testing.assert_array_equal(g(np.ones((2, 3)), 1), [3, 3])


def test_evaluate_finds_names() -> None:
    a, b = np.arange(3.0), 2.0
    np.testing.assert_array_equal(rt.evaluate("a * b + GLOBAL"), a * b + GLOBAL)
    np.testing.assert_array_equal(rt.evaluate("a * b", b=5.0), a * 5)
    np.testing.assert_array_equal(rt.evaluate("p + q", {"p": a, "q": 1.0}), a + 1)
    np.testing.assert_array_equal(rt.evaluate("p + GLOBAL", {"p": a}, {"GLOBAL": 10}), a + 10)
    sin_is_no_name = 1.0
    np.testing.assert_allclose(rt.evaluate("exp(a) * sin_is_no_name"), np.exp(a) * sin_is_no_name)
    for text in ("a + nowhere", "a + len"):
        with pytest.raises(NameError, match="not defined") as error:
            rt.evaluate(text)
        assert isinstance(error.value, KeyError)
    with pytest.raises(TypeError, match="no name c"):
        rt.evaluate("a + b", c=1)
    with pytest.raises(NotImplementedError):
        rt.evaluate("a + b", casting="unsafe")
    out = np.empty(3)
    assert rt.evaluate("a + b", out=out) is out


GLOBAL = 7.0


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_out_is_written_under_its_own_strides(kind: str) -> None:
    f, total = rt.expr("x * 2 + y"), rt.expr("sum(x * y, 1)")
    x = np.arange(35 * 21, dtype=np.float32).reshape(35, 21)
    y = np.flip(x, 0).copy()
    want, want_total = x * 2 + y, (x * y).astype(np.float64).sum(1)

    def check(buffer: np.ndarray, view: Callable[[Any], Any], wanted: np.ndarray, g: Any = f) -> None:
        a, b, whole = x, y, buffer
        if kind == "torch":
            a, b, whole = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(buffer)
        out = view(whole)
        untouched = buffer.copy()
        view(untouched)[...] = wanted
        assert g(a, b, out=out) is out
        np.testing.assert_allclose(buffer, untouched, rtol=1e-6)

    for _ in range(2):
        check(np.zeros((35, 60), np.float32), lambda b: b[:, 3:24], want)
        check(np.zeros((35, 60), np.float32), lambda b: b[:, 1:43:2], want)
        check(np.zeros((21, 35), np.float32), lambda b: b.T, want)
        check(np.zeros((21, 80), np.float32), lambda b: b.T[5:75:2], want)
        check(np.zeros((35, 21), np.float32), lambda b: b, want)
        check(np.zeros(80, np.float32), lambda b: b[1:71:2], want_total, total)
    if kind == "numpy":
        check(np.zeros((35, 21), np.float32), lambda b: b[::-1], want)
        check(np.zeros((21, 35), np.float32), lambda b: b.T[:, ::-1], want)
    # Where it overlaps an operand, all is read before anything is written.
    both = np.arange(40, dtype=np.float32)
    view = both if kind == "numpy" else torch.from_numpy(both)
    rt.expr("x + 1")(view[:20], out=view[::2])
    assert both[::2].tolist() == list(range(1, 21))
    assert both[1::2].tolist() == list(range(1, 40, 2))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_a_known_out_is_checked_at_every_call(kind: str) -> None:
    f, both = rt.expr("x * 2 + y"), rt.expr("x + y, x - y")

    def make() -> Any:
        x = np.arange(24, dtype=np.float32)
        return x if kind == "numpy" else torch.from_numpy(x)

    x, y, out = make(), make(), make()
    f.cache_clear()
    hits, misses, _ = f.cache_info()
    for _ in range(3):
        assert f(x, y, out=out) is out
        assert (out == x * 2 + y).all()
    assert f.cache_info() == (hits + 2, misses + 1, 1)
    # The same layouts, but memory that is shared with an operand, or with another result.
    memory = make()
    want = memory[:12] * 2 + y[:12]
    for view in (memory[4:16], memory[:12]):
        memory[:] = make()
        f(memory[:12], y[:12], out=make()[:12])
        f(memory[:12], y[:12], out=view)
        assert (view == want).all()
    outs = (make(), make())
    both(x, y, out=outs)
    assert (outs[0] == x + y).all()
    assert (outs[1] == x - y).all()
    with pytest.raises(RuntimeError, match="single memory location"):
        both(x, y, out=(outs[0], outs[0]))
    if kind == "numpy":
        out.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            f(x, y, out=out)
    else:
        with pytest.raises(RuntimeError, match=r"out=\.\.\. arguments don't support automatic differentiation"):
            f(x, y, out=make().requires_grad_())
        with torch.no_grad():
            f(x, y, out=make().requires_grad_())
        with torch.inference_mode():
            unversioned = torch.empty(24)
        assert f(x, y, out=unversioned) is unversioned
        assert (unversioned == x * 2 + y).all()
        before = out._version
        f(x, y, out=out)
        assert out._version == before + 1
    with pytest.raises((TypeError, RuntimeError)):
        f(x, y, out=np.zeros(24, np.float64) if kind == "torch" else torch.zeros(24))


def test_defaults_are_not_given() -> None:
    x = np.arange(3.0)
    np.testing.assert_array_equal(rt.add(x, x), rt.add(x, x, 1))
    np.testing.assert_array_equal(rt.add(x, x, out=np.empty(3)), rt.add(x, x, alpha=1))
    with pytest.raises(TypeError, match="takes 2 to 3 arguments"):
        rt.add(x)


def test_evaluate_takes_a_headers_defaults() -> None:
    x = np.arange(3.0)
    np.testing.assert_array_equal(rt.evaluate("f(x, factor=2.0) = x * factor"), x * 2)
    np.testing.assert_array_equal(rt.evaluate("f(x, factor=2.0) = x * factor", factor=3.0), x * 3)
    np.testing.assert_array_equal(rt.evaluate("f(x, factor=2.0) = x * factor", {"x": x, "factor": 4.0}), x * 4)


def test_evaluate_in_odd_scopes() -> None:
    a = np.arange(3.0)

    class Body:
        b = a + 1
        c = rt.evaluate("b * 2")

    np.testing.assert_array_equal(Body.c, (a + 1) * 2)
    np.testing.assert_array_equal(eval("rt.evaluate('b * GLOBAL')", {"rt": rt, "GLOBAL": 3.0}, {"b": a}), a * 3)

    class Mapping(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            return a if key == "computed" else default

    np.testing.assert_array_equal(rt.evaluate("computed + 1", Mapping()), a + 1)
    with pytest.raises(NameError, match="nowhere"):
        rt.evaluate("nowhere + 1", Mapping(), {})


def test_operations_have_docstrings_and_signatures() -> None:
    assert str(inspect.signature(rt.Expr)) == "(text, contract=False)"
    assert str(inspect.signature(rt.softmax)) == "(x, dim, dtype=None)"
    assert str(inspect.signature(rt.expr("f(x, k=2.0) = x * k"))) == "(x, k=2.0)"
    assert rt.softmax.__doc__ is not None
    assert rt.softmax.__doc__.startswith("softmax(x, dim, dtype=None)\n\nexp(x) / sum(exp(x)) over dim")
    assert "torch.nn.functional.gelu" in (rt.gelu.__doc__ or "")
    assert "x + 1" in (rt.expr("x + 1").__doc__ or "")
    assert "see `rusttorch.expr`" in (rt.Expr.__doc__ or "")
