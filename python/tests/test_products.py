"""Products and norms beside torch."""

import pytest
import rusttorch as rt
import torch
from beside_torch import check, ours, sample


def test_norms() -> None:
    x = sample(torch.float32, (3, 4))
    for p in ("fro", None, 1, 2, 3.5, float("inf"), 0):
        check("norm", x, p)
        check("norm", x, p, 1)
        check("norm", x, p, dim=(0, 1), keepdim=True)
    check("norm", x.long())
    check("norm", x, "x")


def test_products() -> None:
    a, b, v = sample(torch.float32, (2, 3)), sample(torch.float32, (3, 4), 1), sample(torch.float32, (3,), 2)
    c, d = sample(torch.float32, (5, 2, 3)), sample(torch.float32, (5, 3, 4), 1)
    check("mm", a, b)
    check("mv", a, v)
    check("bmm", c, d)
    for name, x, y in (
        ("mm", a, v),
        ("mm", v, a),
        ("mm", a, a),
        ("mm", a, b.double()),
        ("bmm", c, b),
        ("bmm", a, d),
        ("bmm", c, c),
        ("bmm", c, d[:2]),
        ("mv", a, b),
        ("mv", a, v[:2]),
    ):
        check(name, x, y)


def test_norms_of_another_dtype() -> None:
    x = sample(torch.float32, (3, 4))
    check("norm", x, dtype=torch.float64)
    check("norm", x, 1, 0, True, dtype=torch.float64)
    check("norm", x.long(), dtype=torch.float32)
    check("norm", x, dtype=torch.int64)


A, B = sample(torch.float32, (2, 4)), sample(torch.float32, (4, 3), 1)
BATCH, OTHER = sample(torch.float32, (5, 2, 4)), sample(torch.float32, (5, 4, 3), 1)


def test_added_products() -> None:
    one = torch.ones
    for scale in ({}, {"beta": 2, "alpha": 0.5}, {"beta": 0}):
        for dtype in (torch.float32, torch.float64):
            for shape in ((3,), (2, 3), (2, 1), ()):
                x = sample(dtype, shape, 2)
                check("addmm", x, A.to(dtype), B.to(dtype), **scale)
                check("baddbmm", x, BATCH.to(dtype), OTHER.to(dtype), **scale)
                check("addbmm", x, BATCH.to(dtype), OTHER.to(dtype), **scale)
                check("addr", x, A[:, 0].to(dtype), B[0].to(dtype), **scale)
            check("addmv", sample(dtype, (2,)), A.to(dtype), B[:, 0].to(dtype), **scale)
            check("addmv", sample(dtype, ()), A.to(dtype), B[:, 0].to(dtype), **scale)
    check("addmm", torch.full((3,), float("nan")), A, B, beta=0)
    for a, b, c in (
        (one(5), A, B),
        (one(3), A, one(3, 3)),
        (one(3), A[0], B),
        (one(3), A, one(4)),
        (one(3).double(), A, B),
        (one(3), A.double(), B),
        (one(2, 2, 3), A, B),
    ):
        check("addmm", a, b, c)
    for a, b, c in ((one(3), A, one(4)), (one(2), A, one(3)), (one(2), A[0], one(3)), (one(2), A, one(4).double())):
        check("addmv", a, b, c)
    for a, b, c in ((one(4), one(2), one(3)), (one(2, 3), one(2, 1), one(3)), (one(2, 3).long(), one(2), one(3))):
        check("addr", a, b, c)
    check("addr", one(2, 3).long(), one(2).long(), one(3).long(), alpha=0.5)
    check("addr", one(2, 3).long(), one(2).long(), one(3).long(), alpha=2)
    check("addr", one(2, 3) > 1, one(2) > 0, one(3) > 0)
    for a, b, c in (
        (one(4), BATCH, OTHER),
        (one(3), A, OTHER),
        (one(3), BATCH, OTHER[:4]),
        (one(3), BATCH, OTHER.double()),
        (one(3).double(), BATCH, OTHER),
    ):
        check("baddbmm", a, b, c)
    for a, b, c in ((one(4), BATCH, OTHER), (one(3), A, OTHER), (one(3), BATCH, one(5, 3, 3))):
        check("addbmm", a, b, c)
    x = rt.zeros(2, 3)
    assert x.addmm_(ours(A), ours(B)) is x
    torch.testing.assert_close(torch.from_dlpack(x), A @ B)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8], ids=str)
def test_products_of_other_dtypes(dtype: torch.dtype) -> None:
    a, b, v = sample(dtype, (2, 3)), sample(dtype, (3, 4), 1), sample(dtype, (3,), 2)
    c, d = sample(dtype, (5, 2, 3)), sample(dtype, (5, 3, 4), 1)
    check("mm", a, b)
    check("mv", a, v)
    check("bmm", c, d)
    check("inner", a, v)
    check("vdot", v, v)
    check("tensordot", c, d, ([2], [1]))
    check("chain_matmul", a, b)
    check("einsum", "bij,bjk->ik", c, d)
    check("mm", a[:, :0], b[:0])
    if not dtype.is_floating_point:
        check("addmm", a[:, :1], a, b, beta=2, alpha=3)
        check("addmm", a[:, :1], a, b, alpha=0.5)
        check("matrix_power", a[:, :2], 5)
    check("mm", a > 0, b > 0)


def test_contractions() -> None:
    x, v, number = sample(torch.float32, (2, 3)), sample(torch.float32, (3,), 1), torch.tensor(2.0)
    check("inner", x, v)
    check("inner", x, x)
    check("inner", x, number)
    check("inner", x, torch.ones(4))
    check("inner", x, v.double())
    check("vdot", v, v)
    check("vdot", v, x)
    check("vdot", v, v[:2])
    check("vdot", v, v.long())
    cube = sample(torch.float32, (4, 3, 2))
    for dims in (0, 1, 2, 3, -1, ([1], [1]), ([0, 1], [0, 1]), ([-1], [1]), ([1], [0, 1]), ([0], [1])):
        check("tensordot", x, x, dims=dims)
        check("tensordot", cube, cube, dims=dims)
        check("tensordot", cube, x, dims=dims)
    check("tensordot", x, x.double(), dims=2)
    check("kron", x, v)
    check("kron", x, v.long())
    check("kron", number, x)
    check("cross", v, v.flip(0))
    check("cross", x, x.flip(1))
    check("cross", x, x.flip(1), dim=-1)
    check("cross", x, v)
    check("cross", v, v.double())
    check("cross", x, x, dim=0)
    check("chain_matmul", x, x.t(), x)
    square = sample(torch.float64, (2, 3, 3))
    for n in range(6):
        check("matrix_power", square, n)
    check("matrix_power", x, 2)


def test_distances() -> None:
    x, y = sample(torch.float32, (5, 3)), sample(torch.float32, (4, 3), 1)
    for p in (0.0, 1.0, 2.0, 3.5, float("inf")):
        check("cdist", x, y, p=p)
        check("cdist", x.expand(2, 5, 3), y.expand(2, 4, 3), p)
    check("cdist", x[:0], y)
    check("cdist", x, y[:, :2])
    check("cdist", x, y[0])
    check("cdist", x, y, p=-1)
    check("cdist", x, y.double())
    check("cdist", x.long(), y.long())


def test_einsum(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where opt_einsum is installed, its errors come before torch's.
    monkeypatch.setattr(torch.backends.opt_einsum, "enabled", False)
    x, v, cube = sample(torch.float64, (2, 3)), sample(torch.float64, (3,), 1), sample(torch.float64, (4, 3, 3), 2)
    for equation, *operands in (
        ("ij,kj->ik", x, x),
        ("ij,kj", x, x),
        ("ij->ji", x),
        ("ij->", x),
        ("ij", x),
        ("ba", x),
        ("i,j->ij", v, v),
        ("i,i", v, v),
        ("bij,bjk->bik", cube, cube),
        ("bij,bjk->ki", cube, cube),
        ("bii->b", cube),
        ("bii->bi", cube),
        ("bii", cube),
        ("...i,...i->...", x, x),
        ("...ij,jk->...ik", cube, cube[0]),
        ("i...,...", x, v),
        ("i...->...", cube),
        ("...", x),
        ("ij,jk,kl->il", x, cube[0], cube[1]),
        ("ij , jk -> ik", x, cube[0]),
        ("ij,bjk,bl,k->il", x, cube, cube[:, 0], v),
        ("ij,ij->ij", x, x[:1]),
        ("ij,ij->i", x, x[:, :1]),
        ("Ab,bA->bA", x, x.t()),
        ("ij,jk->ik", x[:0], cube[0]),
        ("", torch.tensor(1.5)),
        ("ij,jk", x, x),
        ("ii", x),
        ("i,j->ij", v, v, v),
        ("i,,", v),
        ("i->ij", v),
        ("i.->i", v),
        ("...i...->i", v),
        ("ij,ij->ii", x, x),
        ("ijk->i", x),
        ("ijk...->i", x),
        ("i1", x),
        ("ij->ij->", x),
        ("ij,kj->ik", x, x.float()),
    ):
        check("einsum", equation, *operands)
        check("einsum", equation, operands)
    check("einsum", "ij,kj->ik", x.long(), x.long())
