"""The package itself: what importing it costs and needs, its names, threads, stubs."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import rusttorch as rt
import torch
from rusttorch import _rusttorch


def run(code: str) -> str:
    """The output of a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "numba"):
            raise ImportError(f"{name} is out of reach")

sys.meta_path.insert(0, Refuse())
import rusttorch as rt
"""


def test_import_brings_in_nothing() -> None:
    out = run("import sys, rusttorch; print([m for m in ('torch', 'numba', 'numpy') if m in sys.modules])")
    assert out == "[]"


def test_import_is_fast() -> None:
    # Processor time: the machine may be busy.
    code = "import time; t = time.process_time(); import rusttorch; print(time.process_time() - t)"
    assert min(float(run(code)) for _ in range(5)) < 0.05


def test_works_without_torch() -> None:
    code = (
        WITHOUT_TORCH
        + """
import numpy as np
a = np.arange(6.0).reshape(2, 3)
assert np.allclose(rt.exp(a), np.exp(a))
assert np.allclose(rt.evaluate("a * 2 + 1"), a * 2 + 1)
f = rt.fuse(lambda x, k: np.exp(x) * k)
assert np.allclose(f(a, 2.0), np.exp(a) * 2)
assert rt.get_num_threads().pool == "rusttorch"
try:
    rt.conv2d
except AttributeError as e:
    print(e)
"""
    )
    assert run(code) == "module 'rusttorch' has no attribute 'conv2d'"


@pytest.mark.parametrize("order", [("torch", "rusttorch"), ("rusttorch", "torch")])
def test_import_order_does_not_matter(order: tuple[str, str]) -> None:
    code = f"import {order[0]}, {order[1]}, torch, rusttorch; print(rusttorch.add(torch.ones(2), 1).tolist())"
    assert run(code) == "[2.0, 2.0]"


def test_every_row_is_a_function() -> None:
    for name, params, *_ in _rusttorch._op_table():
        function = getattr(rt, name)
        assert function.__name__ == name
        assert function.args == tuple(p.split("=")[0] for p in params)
        assert name in dir(rt)


def test_names_of_torch_and_numpy_exist() -> None:
    from rusttorch import _names

    for op in _names.ops().values():
        for path in (op.torch, op.numpy):
            if path:
                assert callable(_names.resolve(path)), path
    assert _names.torch_functions()[torch.nn.functional.gelu].name == "gelu"
    assert _names.torch_functions()[torch.Tensor.add].name == "add"
    assert _names.numpy_functions()[np.divide].name == "true_divide"


def test_second_names() -> None:
    from rusttorch import _names

    x = rt.tensor([0.5, 0.25])
    for name, op in _names.synonyms().items():
        assert callable(getattr(torch, name))
        assert getattr(rt, name).__name__ == op
        assert hasattr(x, name)


def test_lazily_loaded_functions() -> None:
    from rusttorch import _public

    _public.load()
    for name in _public.FUNCTIONS:
        function = getattr(rt, name)
        assert function.__doc__, name
        assert name in rt.__all__
        assert callable(getattr(torch, name)), name
    for name in _public.METHODS:
        assert callable(getattr(torch.Tensor, name)), name
    for name in _public.IN_PLACE:
        assert callable(getattr(torch.Tensor, f"{name}_")), name
    assert set(rt._LAZY) <= set(dir(rt))


def test_unlisted_names() -> None:
    assert not hasattr(rt, "conv2d")
    with pytest.raises(AttributeError, match=r"torch has torch\.conv2d, rusttorch does not"):
        rt.conv2d  # noqa: B018
    with pytest.raises(AttributeError, match=r"torch\.nn\.functional\.interpolate"):
        rt.interpolate  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        rt.nonsense  # noqa: B018


def test_threads() -> None:
    before = rt.get_num_threads()
    with rt.num_threads(1):
        assert rt.get_num_threads() == 1
        x = np.random.default_rng(0).random(100_000)
        one = rt.sum(x)
    assert rt.get_num_threads() == before
    assert rt.sum(x) == one, "the same bits for any number of threads"
    with pytest.raises(ValueError, match="positive"):
        rt.set_num_threads(0)


def test_calls_from_many_threads() -> None:
    x = np.arange(200_000, dtype=np.float64)
    f = rt.expr("a * 2 + b")
    failures = []

    def work(k: int) -> None:
        sizes = (10, 1_000, 200_000)
        failures.extend(n for n in sizes if not np.array_equal(f(x[:n], float(k)), x[:n] * 2 + k))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_stats_and_config() -> None:
    rt.exp(np.ones(3))
    stats = rt.stats()
    assert stats["kernels"]["compiles"] + sum(stats["fallbacks"].values()) > 0
    assert f"rusttorch {rt.__version__}" in rt.show_config()
    rt.clear_cache()
    assert rt.stats()["kernels"]["size"] == 0


def test_errors_are_ordinary_exceptions() -> None:
    assert issubclass(rt.InternalError, RuntimeError)
    assert issubclass(rt.TraceError, TypeError)
    assert issubclass(rt.FallbackWarning, UserWarning)
    assert rt.InternalError.__module__ == "rusttorch"


STUBS = Path(__file__).parent.parent / "stubs.py"


def test_stub_is_up_to_date() -> None:
    # -P: the script stands beside the sources, which hold no compiled module.
    subprocess.run([sys.executable, "-P", str(STUBS), "--check"], check=True)


def test_stub_of_the_compiled_module(tmp_path: Path) -> None:
    # PyO3 lists the module's names; the stub has them as functions and classes. Ops as methods are found by
    # `__getattr__`, a slot that PyO3 gives no name, and are of a class that nobody names.
    allowed = tmp_path / "allowed"
    names = ["__all__", "_Method", "Tensor.__getattr__"]
    allowed.write_text("".join(f"rusttorch._rusttorch.{name}\n" for name in names))
    command = [sys.executable, "-m", "mypy.stubtest", "--allowlist", str(allowed), "--ignore-unused-allowlist"]
    done = subprocess.run([*command, "rusttorch._rusttorch"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
