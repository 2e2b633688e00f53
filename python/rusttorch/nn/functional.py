"""The functions of ``torch.nn.functional``, with torch's signatures, defaults and errors.

Each takes torch tensors, NumPy arrays or tensors of ours and gives back the same kind. Inside of a function
under ``rusttorch.fuse`` activations, losses and norms become part of its kernel, and so do torch's own functions of
these names.
"""

from __future__ import annotations

from typing import NoReturn

from rusttorch.nn import _activation, _loss, _norm, _tensors
from rusttorch.nn._activation import *  # noqa: F403
from rusttorch.nn._loss import *  # noqa: F403
from rusttorch.nn._norm import *  # noqa: F403
from rusttorch.nn._tensors import *  # noqa: F403

__all__ = [*_activation.__all__, *_loss.__all__, *_norm.__all__, *_tensors.__all__]


def __getattr__(name: str) -> NoReturn:
    import sys

    torch = sys.modules.get("torch")
    known = torch is not None and not name.startswith("_") and hasattr(torch.nn.functional, name)
    more = f": torch has torch.nn.functional.{name}, rusttorch does not" if known else ""
    raise AttributeError(f"module 'rusttorch.nn.functional' has no attribute '{name}'{more}", name=name, obj=None)
