"""Every function that is in torch's OpInfo database too, beside torch: values, dtypes, shapes, gradients and errors."""

import re

import opinfo
import pytest
import torch
from opinfo import Finding

DTYPES = (torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool)

# Differences by design: kind of finding, what its text says, why.
BY_DESIGN = (
    ("accepts", r"must be Tensor|invalid combination of arguments", "a number is an operand wherever a tensor is"),
    ("class", r"^RuntimeError for TypeError: .* must be Tensor", "the number was taken, its dtype was not"),
    ("refusal", r"memory_format=channels_last is not supported", "there are no such layouts yet"),
    ("missing", r"has no (as_strided|squeeze|t|transpose|unsqueeze)_$", "the shape of a tensor stays what it is"),
    (
        "raises|class",
        r"cannot be resized|out has shape|output with shape",
        "`out` is as large as the result, or refused",
    ),
    ("accepts|class", r"unexpected keyword argument 'out'", "methods take `out` too"),
    ("accepts", r"Expected .*out.* (have|for) ", "`out` may be of a wider dtype"),
)

# What else differs, by op: kinds of findings, and why.
KNOWN: dict[str, dict[str, str]] = {
    "bernoulli": {"raises": "`out` is not taken"},
    "einsum": {"dtype": "small integers stay what they are; torch sums some operands as int64"},
    "gather": {"class": "an index out of range is an IndexError everywhere"},
    "linspace[tensor_overload]": {"type": "what is created is a tensor of ours, whatever its ends are"},
    "logspace[tensor_overload]": {"type": "as linspace"},
    "masked_fill": {"class": "a complex value is a TypeError"},
    "max[binary]": {"class": "the second number is the dimension"},
    "min[binary]": {"class": "the second number is the dimension"},
    "narrow": {"class": "a start of several elements is a TypeError", "accepts": "a start may be a bool"},
    "nextafter": {"grad refusal": "torch records it, and fails in backward()"},
    "nn.functional.multi_margin_loss": {"raises": "operands without dimensions", "grad raises": "as forward"},
    "nn.functional.multilabel_margin_loss": {"raises": "operands without dimensions", "grad raises": "as forward"},
    "nn.functional.triplet_margin_with_distance_loss": {"raises": "a distance function of torch's takes its tensors"},
    "nn.functional.rrelu": {"refusal": "training=True is random"},
    # At x = 5.576 torch gives 0.0189425006 for J0, which is 0.0189426417.
    "special.bessel_j0": {"grad values": "beyond 5 torch's float64 values are right to six digits only"},
    "special.bessel_j1": {"grad values": "as bessel_j0"},
    "special.bessel_y0": {"grad values": "as bessel_j0"},
    "special.bessel_y1": {"grad values": "as bessel_j0"},
}


def explained(finding: Finding) -> bool:
    return any(re.fullmatch(k, finding.kind) and re.search(text, finding.detail) for k, text, _ in BY_DESIGN)


@pytest.mark.parametrize("name", opinfo.ops())
def test_like_torch_or_known(name: str) -> None:
    op, forms = opinfo.ops()[name]
    found = [f for f in opinfo.sweep(op, forms, DTYPES, 2) if not explained(f)]
    assert {f.kind for f in found} == set(KNOWN.get(name, {})), found
