"""The ``rusttorch`` command, which is the same as the Rust program of that name."""

from __future__ import annotations

import sys

from rusttorch import _rusttorch


def main() -> int:
    """The console script; gives the exit code."""
    return _rusttorch.cli(["rusttorch", *sys.argv[1:]])
