"""What has to be in the environment before a library is loaded, and what the machine is."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

#: glibc keeps freed memory, so that fresh results of torch, JAX and NumPy cost no page faults once it is there.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "MALLOC_TOP_PAD_": str(1 << 27),
    # XLA allocates from threads of its own, whose heaps would give pages back all the same: x + z over 1 Mi took 20
    # times as long.
    "MALLOC_ARENA_MAX": "1",
}


#: What measures, as arguments of Python.
WORKER = ["-m", "rusttorch.bench.worker"]


def _numpy_features_above_avx2() -> str:
    """The names of NumPy's own dispatch; they differ between its versions."""
    try:
        module: Any = importlib.import_module("numpy._core._multiarray_umath")
    except ImportError:
        module = importlib.import_module("numpy.core._multiarray_umath")
    return " ".join(f for f in module.__cpu_dispatch__ if f.startswith(("AVX512", "X86_V4")))


def variables(threads: int, cap: str | None, tuned_malloc: bool = True) -> dict[str, str]:
    """The environment of a process that measures with so many threads, and no instruction set above ``cap``."""
    n = str(threads)
    result = {
        "OMP_NUM_THREADS": n,
        "NUMBA_NUM_THREADS": n,
        "NUMEXPR_MAX_THREADS": n,
        # The size of XLA's pool.
        "NPROC": n,
        "JAX_PLATFORMS": "cpu",
    }
    flags = [os.environ.get("XLA_FLAGS", "")]
    if threads == 1:
        flags.append("--xla_cpu_multi_thread_eigen=false")
    if tuned_malloc:
        result |= TUNED_MALLOC
    if cap == "avx2":
        flags.append("--xla_cpu_max_isa=AVX2")
        result |= {
            "RUSTTORCH_MAX_ISA": "avx2",
            # Also what torch.compile vectorises for.
            "ATEN_CPU_CAPABILITY": "avx2",
            # Otherwise Inductor finds its code for wider vectors and compiles it for narrower ones: results are NaN.
            "TORCHINDUCTOR_CACHE_DIR": str(Path(tempfile.gettempdir()) / f"rusttorch-bench-inductor-{cap}"),
            # What torch calls for gelu, softmax and others.
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "NPY_DISABLE_CPU_FEATURES": _numpy_features_above_avx2(),
            "NUMBA_CPU_NAME": "x86-64-v3",
            "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt,+sse4.2",
        }
    result["XLA_FLAGS"] = " ".join(filter(None, flags))
    return result


def cpu_name() -> str:
    """The processor's name, as the kernel tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "?"


def machine() -> dict[str, Any]:
    """What a reader of the record has to know of the machine."""
    caches = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if _read(f"{folder}/type") != "Instruction":
            caches[f"L{_read(f'{folder}/level')}"] = _read(f"{folder}/size")
    return {
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "caches": caches,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
    }


def load() -> float:
    """How many processes wanted a processor in the last minute, this one among them."""
    return round(os.getloadavg()[0], 2)


def available_memory() -> int:
    """Bytes, or more than there can be where the system does not tell."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 1 << 62


def start(
    request: str, threads: int, cap: str | None, more: dict[str, str], tuned_malloc: bool
) -> subprocess.Popen[str]:
    """A process that measures; see :mod:`.worker`."""
    environment = os.environ | variables(threads, cap, tuned_malloc) | more
    command = [sys.executable, *WORKER]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(request)
    process.stdin.close()
    return process
