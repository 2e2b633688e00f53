"""fuse: unchanged function bodies, their structures, and what cannot be traced."""

import copy
import dataclasses
import pickle
import subprocess
import sys
import threading
import time
import typing
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch
import torch.nn.functional as F

BODIES = {
    "functions": lambda x, y: torch.sigmoid(x) * torch.exp(y) + torch.where(x > 0, x, y),
    "functional": lambda x, y: F.gelu(x, approximate="tanh") + F.silu(y) + F.relu(x, inplace=False),
    "methods": lambda x, y: x.sigmoid().mul(y).clamp(min=-1, max=1).sum(dim=-1, keepdim=True),
    "operators": lambda x, y: (2 - x) / (y * y + 1) - abs(x) ** 2 + (-y) // 3 + x % 2,
    "comparisons": lambda x, y: ((x < y) | (x >= 0.5)) & ~(y != x),
    "reductions": lambda x, y: x - x.mean(-1, keepdim=True) + y.amax(0) + torch.var(x, dim=1, keepdim=True),
    "softmax": lambda x, y: F.softmax(x + y, dim=-1),
    "layer norm": lambda x, y: F.layer_norm(x, (4,)) * y,
    "synonyms": lambda x, y: torch.multiply(torch.absolute(x), torch.negative(y)).subtract(1).divide(2),
    "keywords": lambda x, y: torch.add(input=x, other=y) + torch.clamp(input=x, min=0),
}


@pytest.mark.parametrize("name", BODIES)
def test_torch_bodies(name: str) -> None:
    body = BODIES[name]
    x, y = torch.randn(3, 4), torch.randn(3, 4)
    got = rt.fuse(body)(x, y)
    want = body(x, y)
    assert got.dtype == want.dtype
    torch.testing.assert_close(got, want)


NUMPY_BODIES = {
    "ufuncs": lambda a, b: np.exp(a) + np.floor(b) * np.sqrt(np.abs(a)) - np.maximum(a, b),
    "functions": lambda a, b: np.where(a > b, a, b) + np.clip(a, 0.2, 0.7) + np.sum(a, axis=1, keepdims=True),
    "methods": lambda a, b: a.sum(axis=0) + b.mean() + a.std() + b.var(axis=0, ddof=1),
    "reduce": lambda a, b: np.add.reduce(a) + np.maximum.reduce(b, axis=0),
    "moments": lambda a, b: np.std(a) + np.var(b, axis=1, keepdims=True),
    "divide": lambda a, b: np.divide(a, b) + np.true_divide(b, a) + np.power(a, 2),
    "array first": lambda a, b: np.float64(2.0) * a + np.array([1.0, 2.0, 3.0, 4.0]) * b,
}


@pytest.mark.parametrize("name", NUMPY_BODIES)
def test_numpy_bodies(name: str) -> None:
    body = NUMPY_BODIES[name]
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 4)), rng.random((3, 4)) + 0.1
    np.testing.assert_allclose(rt.fuse(body)(a, b), body(a, b), rtol=1e-12)


def test_numbers_are_run_time_values() -> None:
    f = rt.fuse(lambda x, k: x * k + 1)
    x = np.arange(3.0)
    for k in (2.0, 3.0, 0.5):
        np.testing.assert_array_equal(f(x, k), x * k + 1)
    assert f.cache_info()[:2] in ((0, 1), (2, 1))
    np.testing.assert_array_equal(f(x, 2), x * 2 + 1)
    np.testing.assert_array_equal(f(x, x), x * x + 1)
    np.testing.assert_array_equal(f(torch.arange(3.0), 2.0), [1, 3, 5])


def test_closed_over_arrays_are_read_at_each_call() -> None:
    w = np.ones(3)
    f = rt.fuse(lambda x: x * w)
    x = np.arange(3.0)
    np.testing.assert_array_equal(f(x), x)
    w *= 2
    np.testing.assert_array_equal(f(x), 2 * x)
    w = np.full(3, 5.0)
    np.testing.assert_array_equal(f(x), 5 * x)


def test_closed_over_variables_may_become_anything() -> None:
    k = np.float32(2)
    f = rt.fuse(lambda x: x * k)
    x = np.arange(3, dtype=np.float32)
    for value in (np.float32(2), np.float64(3), np.int8(-1), x, x.astype(np.float64), 4.0, True):
        k = value
        np.testing.assert_array_equal(f(x), x * value)
    k = rt.tensor([1.0, 2.0, 3.0])
    assert type(f(x)) is rt.Tensor
    k = torch.ones(3, requires_grad=True)
    assert f(x).grad_fn is not None
    f(x).sum().backward()
    np.testing.assert_array_equal(k.grad, x)


def test_a_closed_over_array_may_become_a_number_whatever_was_asked_of_it() -> None:
    held: Any = np.ones(3)
    f = rt.fuse(lambda x: x * held / x.shape[0])
    x = np.arange(3.0)
    for value in (held, 5.0, 5.0, np.full(3, 2.0), 7, 8, np.ones((2, 3)), -1.0, torch.ones(3), True):
        held = value
        np.testing.assert_array_equal(f(x), x * np.asarray(held) / 3)
    mean = rt.fuse(lambda x: np.mean(x * held))
    n = np.arange(4)
    for value in (np.full(4, 0.5), 3, 0.5, np.full(4, 2)):
        held = value
        assert mean(n) == np.mean(n * held)


def test_an_attribute_that_was_an_array_may_be_none() -> None:
    model, x = Counted(), np.ones(3)
    for offset in (np.ones(3), None, np.full(3, 2.0), 1.5, None):
        model.offset = offset
        np.testing.assert_array_equal(model.forward(x), Counted.forward.__wrapped__(copy.copy(model), x))


@pytest.mark.parametrize("asks", [False, True], ids=["any shape", "this shape"])
def test_a_closed_over_array_that_is_deleted_is_pythons_error(asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, held = np.ones(3), np.ones(3)
    of_cell = rt.fuse(lambda x: x * held / (x.shape[0] if asks else 1))
    of_global = rt.fuse(lambda x: x * HELD / (x.shape[0] if asks else 1))
    for f in (of_cell, of_global):
        f(x), f(x)
    del held
    monkeypatch.delattr(sys.modules[__name__], "HELD")
    for f, name in ((of_cell, "held"), (of_global, "HELD")):
        with pytest.raises(NameError, match=name):
            f(x)
    held = np.full(3, 2.0)
    assert of_cell(x).tolist() == (x * 2 / (3 if asks else 1)).tolist()


def test_the_first_fused_call_of_a_process_is_remembered() -> None:
    code = """
import numpy as np, rusttorch as rt
f = rt.fuse(lambda x: x + 1)
for _ in range(3):
    f(np.ones(2))
print(f.cache_info().hits)
"""
    env = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    # Later calls do not come to Python.
    assert done.stdout == "0\n"


class Model:
    def __init__(self) -> None:
        self.w = np.full(3, 2.0)

    @rt.fuse
    def forward(self, x, bias=1.0, *, scale=1.0):
        """Doc."""
        return x * self.w * scale + bias


def test_methods_keywords_and_defaults() -> None:
    m, x = Model(), np.arange(3.0)
    np.testing.assert_array_equal(m.forward(x), x * 2 + 1)
    np.testing.assert_array_equal(m.forward(x, bias=3.0, scale=2.0), x * 4 + 3)
    np.testing.assert_array_equal(m.forward(bias=x, x=x), x * 2 + x)
    m.w = np.full(3, 4.0)
    np.testing.assert_array_equal(m.forward(x), x * 4 + 1)
    assert Model.forward.__doc__ == "Doc."
    assert Model.forward.__wrapped__.__name__ == "forward"


class Pair(typing.NamedTuple):
    first: typing.Any
    second: typing.Any


@dataclasses.dataclass
class State:
    x: typing.Any
    rest: typing.Any


class Counted:
    held = np.ones(3)
    k: Any = 2.0
    offset: Any = None
    calls = 0

    @property
    def twice(self) -> Any:
        return self.k * 2

    def _moved(self, x: Any) -> Any:
        return x if self.offset is None else x + self.offset

    @rt.fuse
    def forward(self, x: Any) -> Any:
        self.calls += 1
        return self._moved(x * self.held) * self.twice


def test_attributes_of_self_are_read_at_each_call() -> None:
    model, x = Counted(), np.arange(3.0)
    steps: list[tuple[str, Any]] = [
        ("k", 2.0),
        ("k", 5.0),
        ("k", 5),
        ("k", np.full(3, 7.0)),
        ("k", -0.0),
        ("k", 0.0),
        ("k", 3.0),
        ("offset", 1.0),
        ("offset", np.full(3, 2.0)),
        ("held", np.full(3, 4.0)),
        ("k", 2.0),
    ]
    for name, value in steps:
        setattr(model, name, value)
        for _ in range(2):
            got, want = model.forward(x), Counted.forward.__wrapped__(copy.copy(model), x)
            np.testing.assert_array_equal(got, want, strict=True)
            np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
    del model.held
    np.testing.assert_array_equal(model.forward(x), (x + 2) * 4)
    # What the function counts while it is traced, and what it does not name, is no reason to trace it again.
    Counted.forward.cache_clear()
    other = Counted()
    other.unnamed = 1  # type: ignore[attr-defined]
    for i in range(3):
        other.unnamed = i  # type: ignore[attr-defined]
        other.forward(x)
    assert Counted.forward.cache_info() == (2, 1, 1)
    # A number at each step: no more traces than are kept.
    for i in range(70):
        other.k = float(i)
        np.testing.assert_array_equal(other.forward(x), x * 2 * i)
    assert Counted.forward.cache_info().currsize == 64


def test_a_bound_methods_numbers_are_closed_over() -> None:
    model, x = Counted(), np.ones(3)
    model.offset = np.ones(3)
    bound = rt.fuse(model._moved)
    assert bound(x).tolist() == [2, 2, 2]
    model.offset = np.full(3, 2.0)
    assert bound(x).tolist() == [3, 3, 3]
    model.offset = 2.0
    frozen = rt.fuse(model._moved)
    assert frozen(x).tolist() == [3, 3, 3]
    model.offset = 5.0
    assert frozen(x).tolist() == [3, 3, 3]


def test_structures() -> None:
    @rt.fuse
    def f(tree, state, pair):
        total = tree["a"][0] + tree["b"] * state.x + pair.second
        return {"total": total, "state": State(total - 1, [state.rest, None]), "pair": Pair(pair.first, "text")}

    a = np.arange(3.0)
    state = State(a + 2, (a,))
    out = f({"a": (a, 5), "b": a + 1}, state, Pair(a, 2.0))
    total = a + (a + 1) * (a + 2) + 2.0
    np.testing.assert_array_equal(out["total"], total)
    np.testing.assert_array_equal(out["state"].x, total - 1)
    assert out["state"].rest[0][0] is a
    assert out["state"].rest[1] is None
    assert out["pair"].first is a
    assert out["pair"].second == "text"


def test_static_arguments_choose_the_course() -> None:
    @rt.fuse(static_argnames=("n", "flag"))
    def power(x, n, flag=False):
        out = x
        for _ in range(n - 1):
            out = out * x
        return -out if flag else out

    x = np.arange(4.0)
    np.testing.assert_array_equal(power(x, 3), x**3)
    np.testing.assert_array_equal(power(x, n=2, flag=True), -(x**2))
    assert power.cache_info().misses == 2
    with pytest.raises(ValueError, match="no argument m"):
        rt.fuse(static_argnames="m")(lambda x: x)


def test_none_and_arrays_take_different_courses() -> None:
    f = rt.fuse(lambda x, w: x * 2 if w is None else x * w)
    x = np.arange(3.0)
    np.testing.assert_array_equal(f(x, x), x * x)
    np.testing.assert_array_equal(f(x, None), x * 2)
    np.testing.assert_array_equal(f(x, x), x * x)


def test_shapes_and_dtypes_may_be_read() -> None:
    @rt.fuse
    def center(x):
        assert x.ndim == 2
        assert (x * 2).shape == x.shape
        return x / x.shape[0] if x.dtype == np.float64 else x

    a = np.ones((4, 2))
    np.testing.assert_array_equal(center(a), a / 4)
    np.testing.assert_array_equal(center(np.ones((2, 2))), np.full((2, 2), 0.5))
    b = np.ones((4, 2), dtype=np.float32)
    assert center(b) is b


UNTRACEABLE = {
    "if": lambda x: x if x.sum() > 0 else -x,
    "int": lambda x: x * int(x.sum()),
    "float": lambda x: x * float(x.sum()),
    "range": lambda x: [x for _ in range(x.sum())],
    "item": lambda x: x * x.sum().item(),
    "iteration": lambda x: sum(v for v in x),
    "asarray": lambda x: np.asarray(x) + 1,
    "while": lambda x: next(iter(x)),
}


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_values_cannot_be_asked_for(name: str) -> None:
    with pytest.raises(rt.TraceError, match="static_argnames") as error:
        rt.fuse(UNTRACEABLE[name])(np.ones(3))
    assert "test_fuse.py:" in str(error.value)


def test_what_has_no_op_raises_by_name() -> None:
    x = torch.ones(3, 3)
    with pytest.raises(rt.TraceError, match="cholesky"):
        rt.fuse(torch.linalg.cholesky)(x)
    with pytest.raises(rt.TraceError, match=r"numpy\.interp"):
        rt.fuse(lambda a: np.interp(a, [0, 1], [0, 1]))(np.ones(3))
    with pytest.raises(rt.TraceError, match="indexing by list cannot be fused"):
        rt.fuse(lambda a: a[[0]])(np.ones(3))
    with pytest.raises(rt.TraceError, match="@"):
        rt.fuse(lambda a: a @ a)(np.ones((3, 3)))
    with pytest.raises(NotImplementedError, match="dtype="):
        rt.fuse(lambda a: np.exp(a, dtype=np.float64))(np.ones(3, np.float32))
    assert rt.fuse(lambda a: torch.sum(a, dtype=torch.float64))(x).dtype is torch.float64


def test_a_stand_in_must_not_escape() -> None:
    kept = []
    rt.fuse(lambda x: kept.append(x) or x * 2)(np.ones(2))
    with pytest.raises(rt.TraceError, match="another trace"):
        rt.fuse(lambda x: x + kept[0])(np.ones(2))


def test_grad_is_never_lost() -> None:
    f = rt.fuse(lambda x: x * 2)
    f(torch.ones(3))
    x = torch.ones(3, requires_grad=True)
    f(x).sum().backward()
    assert torch.equal(x.grad, torch.full((3,), 2.0))


@rt.fuse
def at_module_level(x):
    return x * 2 + 1


def test_pickles_and_inspects() -> None:
    f = pickle.loads(pickle.dumps(at_module_level))
    np.testing.assert_array_equal(f(np.ones(2)), [3, 3])
    seen = at_module_level.inspect(np.ones(2))
    assert seen.expr
    assert "store" in seen.kernel
    assert seen.asm or seen.fallback
    assert "<pre>" in seen._repr_html_()
    at_module_level(np.ones(2))
    at_module_level.cache_clear()
    assert at_module_level.cache_info() == (0, 0, 0)
    assert "at_module_level" in repr(at_module_level)


@pytest.mark.parametrize("dtype", [torch.float64, rt.float64, np.float64, np.dtype("float64"), "float64"], ids=repr)
def test_conversions_take_any_librarys_dtype(dtype: Any) -> None:
    convert: Any = rt.fuse(lambda x: x.to(dtype) * 2)
    assert convert(torch.ones(2)).dtype == torch.float64
    assert convert(rt.ones(2)).dtype == rt.float64


@pytest.mark.parametrize("dtype", ["int", "float", "f4", "single", "f8", "i8", "?", "u1", None, float, np.int16, "<f2"])
def test_astype_takes_what_numpy_takes(dtype: Any) -> None:
    x = np.array([0, 1.5], np.float32)
    for body in (lambda v: v.astype(dtype), lambda v: (v * 2).astype(dtype=dtype, copy=False)):
        np.testing.assert_array_equal(rt.fuse(body)(x), body(x), strict=True)


def test_astype_names_the_dtype_that_there_is_not() -> None:
    for dtype, name in (("c16", "complex128"), (np.uint16, "uint16"), (">f4", ">f4"), (torch.complex64, "complex64")):
        with pytest.raises(TypeError, match=f"there is no dtype {name} in rusttorch"):
            rt.fuse(lambda v, d=dtype: v.astype(d))(np.ones(2))
    with pytest.raises(TypeError, match="data type 'no' not understood"):
        rt.fuse(lambda v: v.astype("no"))(np.ones(2))
    for dtype in (rt.float64, torch.float64, "bfloat16"):
        assert rt.fuse(lambda v, d=dtype: v.astype(d))(rt.ones(2)).dtype in (rt.float64, rt.bfloat16)


@pytest.mark.parametrize("of_torch", [False, True])
def test_out(of_torch: bool) -> None:
    def make(n: int) -> Any:
        x = np.arange(n, dtype=np.float32)
        return torch.from_numpy(x) if of_torch else x

    scale = make(6) + 1

    f: Any = rt.fuse(lambda x, k: x * k)
    hidden: Any = rt.fuse(lambda x: x * scale)
    several: Any = rt.fuse(lambda x: (x + 1, x - 1))
    same: Any = rt.fuse(lambda x, k: x)
    own: Any = rt.fuse(lambda x, out: x + out)
    x = make(6)
    for _ in range(3):
        out = make(6)
        assert f(x, 2.0, out=out) is out
        assert (out == x * 2).all()
        assert hidden(x, out=out) is out
        assert (out == x * scale).all()
        outs = (make(6), make(6))
        assert several(x, out=outs) is outs
        assert (outs[0] == x + 1).all()
        assert (outs[1] == x - 1).all()
        assert (own(x, out=out) == x + out).all()
        assert (f(x, k=2.0, out=None) == x * 2).all()
    with pytest.raises(TypeError, match="must return an array that it computes"):
        same(x, 1.0, out=make(6))
    with pytest.raises(RuntimeError, match="shape"):
        f(x, 2.0, out=make(5))
    mine = rt.zeros(6)
    assert f(rt.tensor(np.arange(6.0, dtype=np.float32)), 2.0, out=mine) is mine
    assert mine.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_methods_mean_what_the_arrays_of_the_call_mean() -> None:
    a = np.array([1.0, 2.0, 3.0, 4.0])
    t = torch.tensor(a)
    for first, second in ((t, a), (a, t)):
        f = rt.fuse(lambda x: x.std())
        for x in (first, second, first):
            assert float(f(x)) == pytest.approx(float(x.std()))
    scaled = rt.fuse(lambda k: (t * k).std())
    assert float(scaled(2.0)) == pytest.approx(float((t * 2).std()))


def test_static_arguments_that_are_equal_and_not_the_same() -> None:
    f = rt.fuse(static_argnames="k")(lambda x, k: np.copysign(x, k))
    ones = np.ones(2)
    assert f(ones, 0.0).tolist() == [1, 1]
    assert f(ones, -0.0).tolist() == [-1, -1]
    g = rt.fuse(static_argnames="k")(lambda x, k: x * k[0])
    whole = np.arange(3)
    assert g(whole, (2,)).dtype == np.int64
    assert g(whole, (2.0,)).dtype == np.float64


def test_an_argument_is_not_written_to_in_place() -> None:
    def step(x: Any) -> Any:
        x += 1
        return x * 2

    with pytest.raises(rt.TraceError, match="writing to an argument in place"):
        rt.fuse(step)(np.zeros(3))

    def local(x: Any, k: float) -> Any:
        y = x * 2
        y += 1
        k *= 3
        return y * k

    np.testing.assert_array_equal(rt.fuse(local)(np.ones(3), 2.0), np.full(3, 18.0))


def test_a_fused_function_inside_of_another_is_part_of_it() -> None:
    double = rt.fuse(lambda x: x * 2)
    outer = rt.fuse(lambda x: double(x) + 1)
    np.testing.assert_array_equal(outer(np.ones(2)), np.full(2, 3.0))
    value, grad = rt.value_and_grad(lambda x: double(x * x).sum())(np.array([1.0, 3.0]))
    assert value == 20
    np.testing.assert_array_equal(grad, [4, 12])
    with pytest.raises(rt.TraceError, match="gradients inside of a function"):
        rt.fuse(lambda x: rt.func.grad(lambda v: (v * v).sum())(x) + 1)(np.ones(2))


def test_modules_and_functions_of_c_are_fused() -> None:
    x = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(rt.fuse(torch.nn.GELU())(x), torch.nn.functional.gelu(x))
    torch.testing.assert_close(rt.fuse(torch.maximum)(x, -x), x.abs())
    gelu = rt.fuse(torch.nn.functional.gelu)
    torch.testing.assert_close(gelu(x, approximate="tanh"), torch.nn.functional.gelu(x, approximate="tanh"))


HELD = np.ones(3)
TWIN = HELD


def _helper(x: Any) -> Any:
    return x * HELD


def test_arrays_beside_the_arguments_are_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    through = rt.fuse(lambda x: _helper(x) + 1)
    total = rt.fuse(lambda x: (x * HELD).sum() / (x * HELD).shape[0])
    twins = rt.fuse(lambda x: x * HELD + TWIN)
    one = np.ones(1)
    assert (through(one).tolist(), float(total(one)), twins(one).tolist()) == ([2, 2, 2], 1, [2, 2, 2])
    monkeypatch.setattr(here, "TWIN", np.zeros(3))
    assert twins(one).tolist() == [1, 1, 1]
    monkeypatch.setattr(here, "HELD", np.full(6, 5.0))
    assert through(one).tolist() == [6] * 6
    assert float(total(one)) == 5


def test_an_array_in_a_list_is_not_looked_for_by_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [HELD]
    f = rt.fuse(lambda x: x * listed[0])
    assert f(np.ones(3)).tolist() == [1, 1, 1]
    # Another variable that had the array is none of the function's.
    monkeypatch.setattr(sys.modules[__name__], "HELD", np.full(3, 5.0))
    assert f(np.ones(3)).tolist() == [1, 1, 1]


def test_where_of_numpy_is_named_in_the_error() -> None:
    with pytest.raises(NotImplementedError, match="where= cannot be fused"):
        rt.fuse(lambda x: np.sum(x, where=x > 0))(np.ones(3))


def test_a_tensor_of_ours_that_it_closes_over_may_come_first() -> None:
    held, x = rt.tensor([1.0, -2.0, 3.0]), rt.tensor([0.5, 0.5, 4.0])
    for f in (
        lambda v: held * v,
        lambda v: held - v,
        lambda v: held > v,
        lambda v: held.add(v),
        lambda v: rt.maximum(held, v),
    ):
        assert rt.fuse(f)(x).tolist() == f(x).tolist()


def test_the_length_is_known_as_the_shape_is() -> None:
    mean = rt.fuse(lambda x: x.sum(0) / len(x))
    for n in (2, 5):
        np.testing.assert_array_equal(mean(np.ones((n, 3))), np.ones(3))
    with pytest.raises(TypeError, match="len\\(\\) of a 0-d tensor"):
        rt.fuse(lambda x: x * len(x))(np.float64(1))


def test_traces_may_go_while_others_are_made() -> None:
    @rt.fuse
    def scaled(x: object, k: object) -> object:
        return x * k if k is not None else x + 1  # type: ignore[operator]

    errors: list[BaseException] = []
    stop = threading.Event()

    def call(kinds: list[object]) -> None:
        try:
            while not stop.is_set():
                for k in kinds:
                    scaled(np.ones(2), k)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=call, args=([2.0, None, 3, True, [1.0][0]],)) for _ in range(3)]
    for t in threads:
        t.start()
    until = time.monotonic() + 1
    while time.monotonic() < until and not errors:
        scaled.cache_clear()  # type: ignore[attr-defined]
    stop.set()
    for t in threads:
        t.join()
    assert not errors
