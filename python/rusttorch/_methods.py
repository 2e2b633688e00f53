"""Methods of tensors whose arguments, or whose conditions in place, are not those of the function of the same name."""

from __future__ import annotations

from typing import Any

from rusttorch import _extremes, _names, _public, _special, _statistics


def where(self: Any, condition: Any, other: Any) -> Any:
    """This tensor's elements where the condition is true, else those of ``other``; ``torch.Tensor.where``."""
    return _names.op_function("where")(condition, self, other)


def polygamma(self: Any, n: int) -> Any:
    """The n-th derivative of the digamma function; ``torch.Tensor.polygamma``."""
    return _names.op_function("polygamma")(n, self)


def float_power_(self: Any, exponent: Any) -> Any:
    """This tensor to a power, in float64, which it has to be of; ``torch.Tensor.float_power_``."""
    if str(self.dtype) != "rusttorch.float64":
        raise RuntimeError(
            f"the base given to float_power_ has dtype {_public.title(self)} but the operation's result requires dtype "
            "Double"
        )
    return _names.op_function("float_power")(self, exponent)


METHODS = {
    "aminmax": _extremes.aminmax,
    "diff": _statistics.diff,
    "frexp": _special.frexp,
    "max": _extremes.max,
    "min": _extremes.min,
    "mvlgamma": _special.mvlgamma,
    "polygamma": polygamma,
    "where": where,
}
#: By the name without its ``_``.
IN_PLACE = {"float_power": float_power_, "mvlgamma": _special.mvlgamma_, "polygamma": polygamma}
