"""Threads, and what this installation is."""

from __future__ import annotations

from types import TracebackType

from rusttorch import _rusttorch


class ThreadCount(int):
    """A number of threads that knows whose they are."""

    pool: str

    def __repr__(self) -> str:
        return f"{int(self)} ({self.pool}'s threads)"


def get_num_threads() -> ThreadCount:
    """The threads that a call may use; ``.pool`` is ``"torch"`` or ``"rusttorch"``."""
    count, pool = _rusttorch._threads()
    result = ThreadCount(count)
    result.pool = pool
    return result


class num_threads:
    """``with num_threads(n):`` caps the threads of the calls inside."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __enter__(self) -> None:
        self._before = _rusttorch._requested_threads()
        _rusttorch.set_num_threads(self._n)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None:
            _rusttorch._unset_num_threads()
        else:
            _rusttorch.set_num_threads(self._before)


def show_config() -> str:
    """A few lines about this installation, for bug reports."""
    import platform
    import sys

    threads = get_num_threads()
    lines = [
        f"rusttorch {_rusttorch.__version__}",
        f"python    {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"isa       {_rusttorch.stats()['isa'] or 'none (interpreter)'}",
        f"threads   {threads!r}",
    ]
    for name in ("numpy", "torch"):
        module = sys.modules.get(name)
        lines.append(f"{name:<9} {module.__version__ if module else 'not loaded'}")
    lines += [f"warning   {text}" for text in _rusttorch._config_warnings()]
    return "\n".join(lines)
