"""What memory allows: the loops of the STREAM benchmark in C, plain and with stores that pass the caches by."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from rusttorch.bench.cases import Array

#: One part of an array per thread. Plain loops are the compiler's to vectorise.
SOURCE = r"""
#include <stddef.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

void add(float *restrict o, const float *restrict x, const float *restrict z, size_t n) {
  for (size_t i = 0; i < n; i++) o[i] = x[i] + z[i];
}
void copy(float *restrict o, const float *restrict x, const float *z, size_t n) {
  for (size_t i = 0; i < n; i++) o[i] = x[i];
}
/* Eight vectors of sums: as many as hide the latency of an addition. */
void sum(float *o, const float *x, const float *z, size_t n) {
  float s[64] = {0};
  for (size_t i = 0; i + 64 <= n; i += 64)
    for (int k = 0; k < 64; k++) s[k] += x[i + k];
  float t = 0;
  for (int k = 0; k < 64; k++) t += s[k];
  for (size_t i = n / 64 * 64; i < n; i++) t += x[i];
  *o = t;
}
#if defined(__AVX__)
void add_nt(float *restrict o, const float *restrict x, const float *restrict z, size_t n) {
  for (size_t i = 0; i < n; i += 8)
    _mm256_stream_ps(o + i, _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(z + i)));
  _mm_sfence();
}
void copy_nt(float *restrict o, const float *restrict x, const float *z, size_t n) {
  for (size_t i = 0; i < n; i += 8) _mm256_stream_ps(o + i, _mm256_loadu_ps(x + i));
  _mm_sfence();
}
#endif
"""


class NoCompiler(Exception):
    """There is no C compiler, or it fails."""


class Loops:
    """The loops, compiled when the benchmark starts."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if not compiler:
            raise NoCompiler("no C compiler")
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder, "loops.c"), Path(folder, "loops.so")
            source.write_text(SOURCE)
            command = [compiler, "-O3", "-march=native", "-fno-tree-loop-distribute-patterns", "-shared", "-fPIC"]
            done = subprocess.run([*command, str(source), "-o", str(library)], capture_output=True, text=True)
            if done.returncode:
                raise NoCompiler(f"{compiler} fails: {done.stderr.strip().splitlines()[-1]}")
            self.library = ctypes.CDLL(str(library))
        if threads > 1:
            from concurrent.futures import ThreadPoolExecutor

            self.pool = ThreadPoolExecutor(threads)

    def calls(self, name: str, values: list[Array], out: Array | None) -> Iterator[tuple[str, Callable[[], Any]]]:
        """A call of each kind of loop; a sum returns its value."""
        import numpy as np

        n = values[0].size
        if n % 16:
            return
        for kind, suffix in (("plain loop", ""), ("non-temporal loop", "_nt")):
            function = getattr(self.library, name + suffix, None)
            if function is None:
                continue
            function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_size_t]
            sums = np.zeros(16 * self.threads, np.float32)
            target = sums if out is None else out
            bounds = [n // 16 * t // self.threads * 16 for t in range(self.threads + 1)]
            parts = []
            for t, (start, end) in enumerate(pairwise(bounds)):
                at = [target.ctypes.data + 4 * (16 * t if out is None else start)]
                at += [
                    (values[k].ctypes.data if k < len(values) else values[0].ctypes.data) + 4 * start for k in (0, 1)
                ]
                parts.append((*at, end - start))
            # The arrays stay alive with the call.
            yield kind, self._call(function, parts, sums if out is None else None, (values, target))

    def _call(self, function: Any, parts: list[Any], sums: Array | None, keep: Any) -> Callable[[], Any]:
        def call(keep: Any = keep) -> Any:
            if len(parts) == 1:
                function(*parts[0])
            else:
                for done in [self.pool.submit(function, *p) for p in parts]:
                    done.result()
            return None if sums is None else sums[::16].sum()

        return call
