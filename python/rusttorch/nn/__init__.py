"""Names of ``torch.nn``: so far its functions, in :mod:`rusttorch.nn.functional`."""

from __future__ import annotations

from rusttorch.nn import functional

__all__ = ["functional"]
