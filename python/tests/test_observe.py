"""What people see of kernels: the log, dumps, perf maps, the command line's view of them, memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rusttorch as rt

PROGRAM = """
import numpy as np, rusttorch as rt
f = rt.expr("relu(x*w + b)")
f(*(np.ones(8, np.float32),) * 3)  # line 4
"""


def run(args: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=120, env=os.environ | env)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


def test_dump_and_inspect_last(program: str, tmp_path: Path) -> None:
    dump = str(tmp_path / "dump")
    run([program], RUSTTORCH_DUMP=dump)
    for extension, text in (("rtir", "kernel @"), ("clif", "; phase 0"), ("asm", "phase 0")):
        (file,) = Path(dump).glob(f"*.{extension}")
        lines = file.read_text()
        assert lines.startswith(f"; relu(x * w + b)\n; from {program}:4\n")
        assert text in lines
    shown = run(["-m", "rusttorch", "inspect", "--last", "--emit", "kernel"], RUSTTORCH_DUMP=dump).stdout
    assert f"{program}:4" in shown
    assert "kernel @" in shown
    (record,) = json.loads(run(["-m", "rusttorch", "inspect", "--last", "5", "--json"], RUSTTORCH_DUMP=dump).stdout)
    assert record["head"][0] == "relu(x * w + b)"
    assert record["asm"].strip()


def test_inspect_last_of_this_process() -> None:
    code = f"""
import sys
{PROGRAM}
from rusttorch import _cli
sys.argv = ["rusttorch", "inspect", "--last", "--emit", "kernel"]
sys.exit(_cli.main())
"""
    shown = run(["-c", code], RUSTTORCH_DUMP="").stdout
    assert "; relu(x * w + b)" in shown
    assert "; from <string>:" in shown
    assert "kernel @" in shown


def test_inspect_last_needs_a_kernel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rusttorch", "inspect", "--last"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"RUSTTORCH_DUMP": ""})
    assert done.returncode == 1
    assert "RUSTTORCH_DUMP" in done.stderr


def test_inspect_of_imported_ops(tmp_path: Path) -> None:
    (tmp_path / "my_ops.py").write_text(
        'import rusttorch as rt\nrt.register("my_gate(a, b, k=2.0) = a * sigmoid(k*b)")\n'
    )
    command = [sys.executable, "-m", "rusttorch", "inspect", "--import", "my_ops", "--emit", "kernel"]
    done = subprocess.run([*command, "my_gate"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "f32 in" in done.stdout
    done = subprocess.run(
        [*command, "1 + my_gate(x, x)", "--arg", "x:f64[3,4]"], capture_output=True, text=True, cwd=tmp_path
    )
    assert "f64 in" in done.stdout, done.stderr
    done = subprocess.run([*command[:-3], "no_such_module", "my_gate"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "no_such_module" in done.stderr


def test_log(program: str) -> None:
    logged = run([program], RUSTTORCH_LOG="info").stderr
    assert re.search(rf"rusttorch: INFO: relu\(x \* w \+ b\), from {re.escape(program)}:4, kernel-\d+-0000: ", logged)
    assert run([program], RUSTTORCH_LOG="warn").stderr == ""
    assert run([program]).stderr == ""
    listening = f"import logging; logging.basicConfig(level=logging.INFO)\n{PROGRAM}"
    assert "INFO:rusttorch:relu" in run(["-c", listening]).stderr
    wrong = run([program], RUSTTORCH_LOG="info", RUSTTORCH_CACHE_SIZE="many").stderr
    assert "WARNING: RUSTTORCH_CACHE_SIZE='many' is not understood" in wrong.replace('"', "'")


@pytest.mark.skipif(sys.platform != "linux", reason="perf is Linux's")
def test_perf_map() -> None:
    code = PROGRAM + "import os; print(os.getpid())"
    pid = run(["-c", code], RUSTTORCH_PERF_MAP="1").stdout.strip()
    path = Path(f"/tmp/perf-{pid}.map")
    try:
        lines = path.read_text().splitlines()
    finally:
        path.unlink()
    assert lines
    for line in lines:
        start, size, name = line.split(" ")
        assert int(start, 16) > 0
        assert 0 < int(size, 16) < 1 << 20
        assert re.fullmatch(rf"rusttorch:kernel-{pid}-0000:(phase|strip)0", name)


def test_fallback_warning_comes_once_and_only_for_large_work() -> None:
    code = """
import warnings
import numpy as np, rusttorch as rt
f = rt.expr("a * 2 + 1")
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    f(np.ones(10))
    small = len(seen)
    f(np.ones(60_000))
    f(np.ones((2, 60_000)))
print(small, [w.category.__name__ for w in seen], "interpreter" in str(seen[0].message))
"""
    assert run(["-c", code], RUSTTORCH_DISABLE="1").stdout.strip() == "0 ['FallbackWarning'] True"


def test_the_interpreter_takes_every_view_and_refuses_what_kernels_refuse() -> None:
    code = """
import numpy as np, rusttorch as rt
x, f, memory = np.arange(12.0).reshape(3, 4), rt.expr("x * 2 + 1"), np.zeros((3, 8))
assert np.array_equal(f(x[::-1, ::-2]), x[::-1, ::-2] * 2 + 1)
out = memory[:, ::2][:, ::-1]
assert f(x[::-1], out=out) is out and np.array_equal(out, x[::-1] * 2 + 1) and not memory[:, 1::2].any()
t = rt.arange(12.0).reshape(3, 4)
t[1:, 1:] *= t[:-1, :-1]
assert t[1:, 1:].sum().item() == (x[1:, 1:] * x[:-1, :-1]).sum() and rt.stats()["isa"] is None
both, z = rt.expr("x + y, x - y"), np.zeros(4)
try:
    both(x[0], x[1], out=(z, z))
except RuntimeError as error:
    print(error)
"""
    assert "single memory location" in run(["-c", code], RUSTTORCH_DISABLE="1").stdout


def test_html_of_an_inspection() -> None:
    html = rt.inspect("where(a < b, a, b)", np.ones(3), np.ones(3))._repr_html_()
    assert "<summary>kernel</summary>" in html
    assert "a &lt; b" in html
    assert "<pre>" in html


def test_memory() -> None:
    rows = np.ones((1 << 12, 300), np.float32)
    rt.sum(rows)  # partial sums are the kernel's temporaries
    stats = rt.memory_stats()
    assert stats == rt.stats()["memory"]
    assert 0 <= stats["allocated"] <= stats["peak"]
    assert stats["allocated"] <= stats["reserved"]
    assert stats["hits"] + stats["misses"] > 0
    rt.empty_cache()
    after = rt.memory_stats()
    assert after["reserved"] <= stats["reserved"]
    before = after["cap"]
    rt.set_memory_cap(0)
    try:
        assert rt.memory_stats()["cap"] == 0
        rt.sum(rows)
        with pytest.raises(ValueError, match="at least 0"):
            rt.set_memory_cap(-1)
    finally:
        rt.set_memory_cap(before)


@pytest.mark.skipif(not str(rt.stats()["isa"]).startswith("avx"), reason="full-width code is for AVX2 and AVX-512")
def test_dumps_show_the_code_that_runs_where_results_go_past_the_caches(tmp_path: Path) -> None:
    code = """
import numpy as np, rusttorch as rt
x = np.zeros(300 << 20, np.uint8).view(np.float32)
f = rt.expr("x + z")
f(x, x)
print(rt.inspect(f, x, x).asm)
"""
    asm = run(["-c", code], RUSTTORCH_DUMP=str(tmp_path)).stdout
    assert "vmovntps" in asm
    (file,) = tmp_path.glob("*.asm")
    assert "vmovntps" in file.read_text()


def test_clear_cache_forgets_what_expressions_keep() -> None:
    code = """
import numpy as np, rusttorch as rt
x = np.ones(8)
f = rt.expr("x * 3")
t = rt.ones(8)
def compiles():
    f(x), rt.eval(t * 3 + 1)
    return rt.stats()["kernels"]["compiles"]
n = compiles()
assert compiles() == n
rt.clear_cache()
print(compiles() - n)
"""
    assert run(["-c", code], RUSTTORCH_DISABLE="0").stdout.strip() == "2"


def test_an_empty_dimension_is_refused_by_the_interpreter_too() -> None:
    code = """
import numpy as np, rusttorch as rt
try:
    rt.gather(np.zeros(0, np.float32), 0, np.zeros(1, np.int64))
except IndexError as e:
    print(e)
"""
    texts = [run(["-W", "ignore", "-c", code], RUSTTORCH_DISABLE=d).stdout for d in "01"]
    assert texts[0] == texts[1]
    assert "out of" in texts[0]
