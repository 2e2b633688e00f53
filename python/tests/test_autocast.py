"""``torch.autocast("cpu")``: the categories of ops are torch's, and what they make of operands."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import rusttorch as rt
import torch

pytestmark = pytest.mark.usefixtures("torch_path")

# What torch's dispatcher calls them.
ATEN = {"cross_entropy": "cross_entropy_loss"}


def category(name: str) -> str:
    """torch's category of a function: what it makes of two dtypes tells."""
    registered = {n.split(".")[0] for n in torch._C._dispatch_get_all_op_names()}
    aten = f"aten::{ATEN.get(name, name)}"
    if aten not in registered:
        return "keep"
    overloads = [n for n in torch._C._dispatch_get_all_op_names() if n.split(".")[0] == aten]
    if not any(torch._C._dispatch_has_kernel_for_dispatch_key(n, "AutocastCPU") for n in overloads):
        return "keep"
    lowered = ("prelu", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "linalg_vecdot")
    return "lower" if name in lowered else "f32"


def test_categories_are_torchs() -> None:
    command = [sys.executable, "-m", "rusttorch", "ops", "--json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ours = {row["name"]: row["autocast"] for row in rows if row["torch"]}
    assert sum(c != "keep" for c in ours.values()) > 10
    assert ours == {name: category(name) for name in ours}


def test_float64_integers_and_numpy_are_left_alone() -> None:
    x, y = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    with torch.autocast("cpu"):
        assert rt.mse_loss(x, y).dtype == torch.float64
        assert rt.prod(torch.tensor([2, 3])).dtype == torch.int64
        assert rt.mse_loss(x.numpy(), y.numpy()).dtype == np.float64
        assert rt.exp(x.float()).dtype == torch.exp(x.float()).dtype == torch.float32
        assert rt.mse_loss(x.float(), y.float()).dtype == torch.float32


def test_operands_are_cast_as_torch_casts_them() -> None:
    x, y, w = torch.randn(8, 5), torch.randn(8, 5), torch.rand(5)
    functional = torch.nn.functional
    with torch.autocast("cpu"):
        for a, b in ((x, y), (x.bfloat16(), y.bfloat16())):
            for name in ("mse_loss", "l1_loss"):
                ours, theirs = getattr(rt, name)(a, b), getattr(functional, name)(a, b)
                assert ours.dtype == theirs.dtype == torch.float32
                torch.testing.assert_close(ours, theirs)
        ours, theirs = rt.prelu(x, w), functional.prelu(x, w)
        assert ours.dtype == theirs.dtype == torch.bfloat16
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
def test_matmul_follows(lower: torch.dtype) -> None:
    a, b = torch.randn(3, 5, requires_grad=True), torch.randn(5, 4)
    with torch.autocast("cpu", dtype=lower):
        ours, theirs = rt.matmul(a, b), torch.matmul(a, b)
        assert ours.dtype is theirs.dtype is lower
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)
        assert rt.matmul(a.double(), b.double()).dtype is torch.float64
    ours.float().sum().backward()
    torch.testing.assert_close(a.grad, b.sum(1).expand(3, 5), rtol=2e-2, atol=2e-2)
