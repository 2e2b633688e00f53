"""Names what is active in torch that makes a tensor's memory meaningless, or wants to see every call."""

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
    if torch._C._is_torch_function_mode_enabled():
        from torch.utils._device import DeviceContext

        for i in range(torch._C._len_torch_function_stack()):
            mode = torch._C._get_function_stack_at(i)
            # Of set_default_device: it says where new tensors are made, and ours are on the CPU like the operands.
            if not isinstance(mode, DeviceContext):
                return f"the function mode {type(mode).__name__}"
    return None
