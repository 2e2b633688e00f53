"""``contract=True``: products and sums become one rounding, in what the program itself writes."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import rusttorch as rt


def operands(dtype: str, n: int = 1003) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.standard_normal(n).astype(dtype) for _ in range(3)]


def primitives(formula: object, *args: object) -> list[str]:
    """What is computed, in order."""
    return re.findall(r"= (add|sub|mul|fma|neg)\.", rt.inspect(formula, *args).kernel)


# Products of float32 are exact in float64, where the sums are rounded far below float32.
@pytest.mark.parametrize("text", ["x*y + z", "z + x*y", "x*y - z", "z - x*y", "x*x + y", "2*x - 3.0", "1 - y*y"])
def test_a_product_and_its_sum_are_rounded_once(text: str) -> None:
    names = dict(zip("xyz", operands("float32"), strict=True))
    exact = eval(text, {k: v.astype(np.float64) for k, v in names.items()}).astype(np.float32)
    formula = rt.expr(text, contract=True)
    np.testing.assert_array_equal(formula(**{n: names[n] for n in formula.args}), exact)
    fused = rt.fuse(eval(f"lambda x, y, z: {text}"), contract=True)
    np.testing.assert_array_equal(fused(*names.values()), exact)
    np.testing.assert_array_equal(rt.evaluate(text, names, {}, contract=True), exact)


def test_without_it_nothing_is_contracted() -> None:
    x, y, z = operands("float32")
    np.testing.assert_array_equal(rt.evaluate("x*y + z"), x * y + z)
    assert primitives("x*y + z", x, y, z) == ["mul", "add"]


def test_two_products_and_a_chain() -> None:
    x, y, z = operands("float64")
    assert primitives(rt.expr("x*y + y*z", contract=True), x, y, z) == ["mul", "fma"]
    assert primitives(rt.expr("((x + 1)*x + 2)*x + 3", contract=True), x) == ["add", "fma", "fma"]


def test_a_product_that_is_needed_elsewhere_is_rounded() -> None:
    x, y, _ = operands("float32")
    f = rt.expr("(x*y + 1) * (x*y)", contract=True)
    np.testing.assert_array_equal(f(x, y), (x * y + np.float32(1)) * (x * y))
    difference = rt.expr("x*y - x*y", contract=True)
    assert not difference(x, y).any()


def test_a_product_of_other_shape_is_computed_once() -> None:
    x, y, _ = operands("float32", 7)
    f = rt.expr("a*b + x", contract=True)
    got = f(x[:, None], y[:, None], x[None, :])
    np.testing.assert_array_equal(got, x[:, None] * y[:, None] + x[None, :])


def test_functions_keep_their_own_roundings() -> None:
    x, y, z = operands("float32")
    for text in ("exp(x)", "tanh(x)", "addcmul(x, y, z)", "softmax(x, 0)", "lerp(x, y, z)"):
        plain, contracted = rt.expr(text), rt.expr(text, contract=True)
        values = [{"x": x, "y": y, "z": z}[n] for n in plain.args]
        np.testing.assert_array_equal(contracted(*values), plain(*values), err_msg=text)


def test_integers_stay_as_they_are() -> None:
    i = np.arange(-5, 6)
    np.testing.assert_array_equal(rt.evaluate("i*i + 3", contract=True), i * i + 3)


def test_pickles_and_redecorating_keep_it() -> None:
    x, y, z = operands("float32")
    formula = rt.expr("x*y + z", contract=True)
    again = pickle.loads(pickle.dumps(formula))
    np.testing.assert_array_equal(again(x, y, z), formula(x, y, z))
    assert (again(x, y, z) != rt.expr("x*y + z")(x, y, z)).any()
    plain = rt.fuse(lambda x, y, z: x * y + z)
    assert rt.fuse(plain) is plain
    np.testing.assert_array_equal(rt.fuse(plain, contract=True)(x, y, z), formula(x, y, z))
    np.testing.assert_array_equal(plain(x, y, z), x * y + z)
