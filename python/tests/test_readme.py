"""The examples in the README and in docs/migration.md run, and print what their comments say."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import rusttorch as rt

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("page", "count"), [("README.md", 3), ("docs/migration.md", 2)])
def test_python_blocks_print_what_they_say(page: str, count: int) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(blocks) == count
    scope: dict[str, object] = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block, scope)
        for line in block.splitlines():
            said = re.match(r"print\(.*\)\s+# (True|\[.*\]|RustTorch\(.*\)|[a-z0-9. ]+)$", line)
            if said:
                assert said[1] in printed.getvalue()


def test_what_differs_from_numpy() -> None:
    """The table of docs/migration.md."""
    f4, f2 = np.ones(3, np.float32), np.ones(3, np.float16)
    for x, integers, wide in ((f4, "int64", "float64"), (f2, "int32", "float64"), (f2, "int16", "float32")):
        n = np.ones(3, integers)
        assert (x + n).dtype == wide and rt.evaluate("x + n").dtype == x.dtype
    for dtype, narrow in (("int8", "float16"), ("uint8", "float16"), ("int16", "float32"), ("int32", "float64")):
        n = np.ones(3, dtype)
        assert np.exp(n).dtype == narrow and rt.fuse(lambda n: np.exp(n))(n).dtype == np.float64
    u = np.ones(3, np.uint8)
    assert rt.fuse(lambda u: np.sum(u))(u).dtype == np.int64 and np.sum(u).dtype == np.uint64
    assert rt.fuse(lambda u: np.any(u))(u).dtype == np.uint8 and np.any(u).dtype == np.bool_
    assert rt.evaluate("reciprocal(u)").dtype == np.float64 and np.reciprocal(u).dtype == np.uint8
    for text in ("u // 0", "u % (u - u)"):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            rt.evaluate(text)
    nan = np.full(1, np.nan, np.float32)
    assert rt.evaluate("sign(x)", x=nan) == 0 and np.isnan(np.sign(nan))
    assert rt.evaluate("heaviside(x, x)", x=nan) == 0 and np.isnan(np.heaviside(nan, nan))
    for text in ("hypot(u, u)", "logaddexp(u, u)", "abs(u > 0)", "floor(u > 0)", "round(u > 0)"):
        with pytest.raises(NotImplementedError):
            rt.evaluate(text)


@pytest.mark.parametrize("function", [np.mean, np.var, np.std], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", "float32", "float64"])
def test_numpy_means_of_every_dtype_fuse(function, dtype: str) -> None:
    x = np.arange(12).reshape(3, 4).astype(dtype)
    for body in (lambda x: function(x), lambda x: function(x, axis=1), lambda x: getattr(x, function.__name__)(0)):
        got, wanted = rt.fuse(body)(x), body(x)
        assert got.dtype == wanted.dtype and got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=2e-3 if dtype == "float16" else 1e-6)


def test_numpy_rounds() -> None:
    x = np.array([-2.5, -1.5, 0.5, 1.5, 2.4], np.float32)
    for function in (np.rint, np.around, np.round):
        np.testing.assert_array_equal(rt.fuse(lambda x, f=function: f(x))(x), function(x))


def test_large_results_cannot_be_resized() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError, match="not resizable"):
        rt.expr("x + 1")(torch.zeros(1 << 19)).resize_(1 << 20)
