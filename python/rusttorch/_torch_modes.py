"""Names what is active in torch that makes a tensor's memory meaningless."""

from __future__ import annotations


def active() -> str | None:
    """What a call cannot see through, or None."""
    import torch

    if torch._C._functorch.maybe_current_level() is not None:
        return "torch.func transforms (vmap, grad, jvp, functionalize)"
    if torch.autograd.forward_ad._current_level >= 0:
        return "forward-mode differentiation (torch.autograd.forward_ad)"
    if torch._C._len_torch_dispatch_stack() > 0:
        from torch.utils._python_dispatch import _get_current_dispatch_mode

        mode = _get_current_dispatch_mode()
        return f"the dispatch mode {type(mode).__name__}"
    return None
