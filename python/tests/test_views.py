"""Views, parts and joined tensors, of all three libraries: torch's results, memory and errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import rusttorch as rt
import torch

X = torch.arange(24.0).reshape(2, 1, 3, 4)
VIEWS = [
    ("broadcast_to", ([5, 2, 1, 3, 4],)),
    ("flatten", (1, 2)),
    ("narrow", (2, -2, 1)),
    ("narrow", (-1, 1, 3)),
    ("permute", ([3, 0, -2, 1],)),
    ("ravel", ()),
    ("reshape", ([4, -1],)),
    ("select", (2, -1)),
    ("squeeze", ()),
    ("squeeze", (1,)),
    ("squeeze", (0,)),
    ("transpose", (0, -1)),
    ("unflatten", (3, [2, 2])),
    ("unsqueeze", (-1,)),
]


@pytest.mark.parametrize(("name", "args"), VIEWS)
def test_views_share_memory(name: str, args: tuple) -> None:
    function = getattr(rt, name)
    expected = getattr(torch, name)(X, *args)
    x = X.clone().requires_grad_()
    ours = function(x * 1, *args)
    torch.testing.assert_close(ours, expected)
    assert ours._is_view() or name in ("ravel", "squeeze")
    ours.sum().backward()
    assert x.grad is not None
    base = X.clone()
    version = base._version
    function(base, *args).data_ptr()
    if name != "broadcast_to":
        function(base, *args).mul_(2)
        assert base._version > version
    array = X.numpy().copy()
    view = function(array, *args)
    np.testing.assert_array_equal(view, expected)
    assert np.shares_memory(view, array)
    if name != "narrow":
        np.testing.assert_array_equal(function(rt.tensor(array), *args).numpy(), expected)


def test_views_of_matrices_and_errors() -> None:
    a = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(rt.t(a), a) and rt.t(a).shape == (3, 2)
    assert isinstance(rt.select(a[0], 0, 1), np.float64)
    for call in (
        lambda m, x: m.permute(x, [0, 0]),
        lambda m, x: m.transpose(x, 0, 2),
        lambda m, x: m.narrow(x, 0, 1, 5),
        lambda m, x: m.reshape(x, [4]),
        lambda m, x: m.unsqueeze(x, 5),
    ):
        with pytest.raises((RuntimeError, IndexError)) as theirs:
            call(torch, torch.tensor(a))
        for x in (a, torch.tensor(a)):
            with pytest.raises(theirs.type):
                call(rt, x)


def of(kind: str, x: torch.Tensor):
    return {"torch": lambda: x, "numpy": x.numpy, "ours": lambda: rt.tensor(x.numpy())}[kind]()


def read(x) -> torch.Tensor:
    return x if isinstance(x, torch.Tensor) else torch.as_tensor(np.asarray(x))


KINDS = ("torch", "numpy", "ours")


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_views(kind: str) -> None:
    x = torch.arange(20.0).reshape(10, 2)
    for call in (
        lambda m, v: m.chunk(v, 3),
        lambda m, v: m.chunk(v, 7, 1),
        lambda m, v: m.split(v, 4),
        lambda m, v: m.split(v, [1, 0, 9]),
        lambda m, v: m.split(v, 1, dim=-1),
        lambda m, v: m.chunk(v[:0], 3),
        lambda m, v: m.split(v[:0], 0),
    ):
        ours, theirs = call(rt, of(kind, x)), call(torch, x)
        assert type(ours) is tuple
        torch.testing.assert_close([read(o) for o in ours], list(theirs))
    whole = of(kind, x.clone())
    rt.split(whole, 3)[1][0] = -1.0
    assert read(whole)[3].tolist() == [-1, -1]
    if kind == "ours":
        assert [tuple(p.shape) for p in whole.chunk(4)] == [(3, 2), (3, 2), (3, 2), (1, 2)]
        assert [tuple(p.shape) for p in whole.split([4, 6])] == [(4, 2), (6, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_joined_is_what_torch_joins(kind: str) -> None:
    f, i, b = torch.ones(2, 3), torch.arange(6).reshape(2, 3), torch.tensor([[True, False, True]])
    for parts, dim in (([f], 0), ([f, f], 1), ([f, i, b], 0), ([i, b], 0), ([b, b], -2), ([torch.zeros(0), f], 1)):
        ours = rt.cat([of(kind, p) for p in parts], dim)
        assert isinstance(ours, {"torch": torch.Tensor, "numpy": np.ndarray, "ours": rt.Tensor}[kind])
        torch.testing.assert_close(read(ours), torch.cat(parts, dim))
    for parts, dim in (([f, f], 0), ([f, i], -1), ([i, i, i], 1), ([torch.tensor(1), torch.tensor(2)], 0)):
        torch.testing.assert_close(read(rt.stack([of(kind, p) for p in parts], dim)), torch.stack(parts, dim))
    out = of(kind, torch.zeros(4, 3))
    assert rt.cat([of(kind, f), of(kind, f)], out=out) is out
    torch.testing.assert_close(read(out), torch.ones(4, 3))


def test_joined_of_kinds_and_gradients() -> None:
    x = torch.ones(2, requires_grad=True)
    y = rt.cat([x, np.zeros(1, np.float32), rt.ones(1)])
    assert y.tolist() == [1, 1, 0, 1]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert isinstance(rt.stack([np.zeros(1), rt.ones(1)]), rt.Tensor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "call",
    [
        lambda m, v: m.cat([]),
        lambda m, v: m.cat([v, v[0]]),
        lambda m, v: m.cat([v, v[:, :1]]),
        lambda m, v: m.cat([v], 2),
        lambda m, v: m.cat(v),
        lambda m, v: m.cat([v, 1]),
        lambda m, v: m.stack([]),
        lambda m, v: m.stack([v, v[:1]]),
        lambda m, v: m.stack([v], 3),
        lambda m, v: m.chunk(v, 0),
        lambda m, v: m.chunk(v, 2, 5),
        lambda m, v: m.chunk(v, "a"),
        lambda m, v: m.split(v, 0),
        lambda m, v: m.split(v, -1),
        lambda m, v: m.split(v, [1, 5]),
        lambda m, v: m.split(v, [-1, 3]),
    ],
)
def test_errors_are_torchs(kind: str, call) -> None:
    x = torch.ones(2, 3)
    with pytest.raises(Exception) as theirs:
        call(torch, x)
    with pytest.raises(theirs.type) as ours:
        call(rt, of(kind, x))
    assert str(ours.value).replace("rusttorch.", "") == str(theirs.value).replace("not ndarray", "not Tensor") or (
        "must be tuple of Tensors" in str(ours.value)
    )


def test_devices() -> None:
    x = rt.ones(2)
    d = x.device
    assert (d.type, d.index, str(d), repr(d)) == ("cpu", None, "cpu", "device(type='cpu')")
    assert d == "cpu" and d == rt.device("cpu") and d == torch.device("cpu") and d != "cuda"
    assert d != rt.device("cpu", 0) and repr(rt.device("cpu:0")) == repr(torch.device("cpu:0"))
    assert hash(d) == hash(rt.device("cpu")) and pickle.loads(pickle.dumps(d)) == d == copy.deepcopy(d)
    assert rt.zeros(1, device=d).to(d).to(torch.device("cpu")).device == d
    assert rt.device(d) == d and rt.device(torch.device("cpu")) == d
    with pytest.raises(RuntimeError, match="no device cuda"):
        rt.device("cuda")
    with pytest.raises(RuntimeError, match="must not include an index"):
        rt.device("cpu:0", 1)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize(
    "widths", [(1, 2, 1), (2, 1, 1), (1, 1, 2), (3, 1), (1, 1), (2, 2), (0, 2, 2, 0), (1, 2, 4, 1), (17, 3)]
)
def test_parts_of_any_width_are_joined(dtype: str, widths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for rows in (1, 3, 700):
        parts = [rng.integers(0, 100, (rows, 2 * w)).astype(dtype) for w in widths]
        for step in (1, 2):
            # Dense rows, and every other column of rows.
            some = [p[:, ::step] for p in parts]
            ours = [rt.tensor(p)[:, ::step] for p in parts]
            np.testing.assert_array_equal(rt.cat(ours, 1).numpy(), np.concatenate(some, 1))
            np.testing.assert_array_equal(rt.cat([o.T for o in ours]).numpy(), np.concatenate([s.T for s in some]))
            columns = [o[0] for o in ours]
            np.testing.assert_array_equal(rt.cat(columns).numpy(), np.concatenate([s[0] for s in some]))


def test_a_flattened_extent_that_overflows() -> None:
    for lib in (rt, torch):
        with pytest.raises(RuntimeError, match="Stride calculation overflowed"):
            lib.zeros(0, 2**40, 2**40)
    with pytest.raises(RuntimeError, match="overflowed"):
        rt.zeros(0, 1, 1).expand(0, 2**40, 2**40).flatten(1, 2)
