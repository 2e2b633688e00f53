"""Registered ops: equal to built-in ones wherever a name can be used."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import rusttorch as rt
import torch

A = np.linspace(-2.0, 2.0, 9)
B = np.linspace(1.0, 3.0, 9)


@pytest.fixture(autouse=True)
def swiglu() -> Iterator[rt.Expr]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield rt.register("swiglu(a, b, beta=1.0) = a * sigmoid(beta*a) * b")


def reference(a, b, beta=1.0):
    return a / (1.0 + np.exp(-beta * a)) * b


def test_calls(swiglu):
    np.testing.assert_allclose(swiglu(A, B), reference(A, B), rtol=1e-14)
    np.testing.assert_allclose(swiglu(A, B, beta=2.0), reference(A, B, 2.0), rtol=1e-14)
    np.testing.assert_allclose(rt.swiglu(b=B, a=A), reference(A, B), rtol=1e-14)
    assert isinstance(swiglu(torch.from_numpy(A), torch.from_numpy(B)), torch.Tensor)
    assert swiglu.args == ("a", "b", "beta")
    assert str(swiglu.__signature__) == "(a, b, beta=1.0)"
    assert repr(swiglu).startswith("rusttorch.register(")
    with pytest.raises(TypeError, match="swiglu"):
        swiglu(A)


def test_in_expressions_and_other_ops():
    np.testing.assert_allclose(rt.expr("swiglu(x, y, 2.0) + 1")(A, B), reference(A, B, 2.0) + 1, rtol=1e-14)
    np.testing.assert_allclose(rt.evaluate("swiglu(A, beta=0.5, b=B)"), reference(A, B, 0.5), rtol=1e-14)
    twice = rt.register("twice_swiglu", "2 * swiglu(a, b)")
    np.testing.assert_allclose(twice(A, B), 2 * reference(A, B), rtol=1e-14)
    assert "swiglu" in dir(rt)


def test_in_fuse_and_gradients(swiglu):
    fused = rt.fuse(lambda x, y: np.exp(swiglu(x, y, beta=2.0)) + rt.swiglu(x, y) + rt.tanh(x))
    wanted = np.exp(reference(A, B, 2.0)) + reference(A, B) + np.tanh(A)
    np.testing.assert_allclose(fused(A, B), wanted, rtol=1e-13)
    _, g = rt.value_and_grad(lambda x: rt.swiglu(x, B).sum())(A)
    x = torch.from_numpy(A).requires_grad_()
    (x * torch.sigmoid(x) * torch.from_numpy(B)).sum().backward()
    np.testing.assert_allclose(g, x.grad.numpy(), rtol=1e-13)
    assert fused.inspect(A, B).kernel


def test_text_expressions_in_fuse():
    scaled = rt.expr("x * k")
    np.testing.assert_array_equal(rt.fuse(lambda x: scaled(x, 3.0) + 1.0)(A), A * 3.0 + 1.0)
    np.testing.assert_array_equal(rt.fuse(lambda x: rt.sum(x, axis=0))(A), A.sum())


def test_same_definition_is_the_same_op():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rt.register("swiglu(a, b, beta=1.0) = a * sigmoid(beta*a) * b")
    assert rt.register("agz2", "a + 1") is rt.register("agz2", "a + 1") is rt.agz2


def test_redefinition(swiglu):
    uses = rt.expr("swiglu(x, y)")
    with pytest.warns(UserWarning, match="swiglu is defined anew"):
        new = rt.register("swiglu", "a + b")
    np.testing.assert_array_equal(new(A, B), A + B)
    np.testing.assert_array_equal(rt.swiglu(A, B), A + B)
    np.testing.assert_array_equal(rt.expr("swiglu(x, y)")(A, B), A + B)
    # What was made before keeps its definition, for new dtypes and shapes too.
    for dtype in (np.float64, np.float32):
        a, b = A[:5].astype(dtype), B[:5].astype(dtype)
        np.testing.assert_allclose(swiglu(a, b), reference(a, b), rtol=1e-6)
        np.testing.assert_allclose(uses(a, b), reference(a, b), rtol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="built-in"):
        rt.register("gelu", "x + 1")
    with pytest.raises(ValueError, match="something else"):
        rt.register("fuse", "x + 1")
    with pytest.raises(ValueError, match="no name for an op"):
        rt.register("two words", "x + 1")
    with pytest.raises(ValueError, match="no name for an op"):
        rt.register("lambda", "x + 1")
    with pytest.raises(ValueError, match="needs a name"):
        rt.register("x + 1")
    with pytest.raises(ValueError, match="defined by itself"):
        rt.register("swiglu", "swiglu(a, a)")
    with pytest.raises(Exception, match="unknown function"):
        rt.register("broken", "no_such_function(x)")
    with pytest.raises(SyntaxError):
        rt.register("broken", "x +")
    assert not hasattr(rt, "broken")


def _in_child(payload: bytes, queue) -> None:
    function, expression = pickle.loads(payload)
    queue.put((function(A, B), rt.swiglu(A, B), expression(A, B)))


def test_pickle_into_a_spawned_process(swiglu):
    payload = pickle.dumps((swiglu, rt.expr("swiglu(x, y) + 1")))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(payload, queue))
    child.start()
    function, attribute, expression = queue.get(timeout=120)
    child.join()
    np.testing.assert_allclose(function, reference(A, B), rtol=1e-14)
    np.testing.assert_array_equal(attribute, function)
    np.testing.assert_array_equal(expression, function + 1)


def test_pickle_does_not_redefine(swiglu):
    payload = pickle.dumps(swiglu)
    with pytest.warns(UserWarning):
        rt.register("swiglu", "a + b")
    old = pickle.loads(payload)
    np.testing.assert_allclose(old(A, B), reference(A, B), rtol=1e-14)
    np.testing.assert_array_equal(rt.swiglu(A, B), A + B)
    assert copy.deepcopy(old).args == ("a", "b", "beta")
