"""`rusttorch.Tensor` beside `torch.Tensor`: making, printing, protocols, errors, memory, threads."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch

PRINTED: list[Any] = [
    [1.0, 2.5, -3.125],
    [1, 2, 300],
    [True, False],
    [1e-8, 1.0, 1e5],
    [float("nan"), float("inf"), 1.0],
    [0.0, -0.0],
    [1e10],
    3.5,
    7,
    [],
    [[], []],
    [[1.0, 2.0], [3.0, 4.0]],
    np.arange(24.0).reshape(2, 3, 4) / 7,
    np.arange(2000),
    np.linspace(0, 1, 5000).reshape(50, 100),
    np.arange(3000, dtype=np.float32).reshape(10, 10, 30) * 1e-3,
    np.zeros((3, 0), np.float32),
    np.array([1, 2], np.int32),
    np.random.default_rng(0).normal(size=(4, 37)).astype(np.float32),
]


def torch_repr(value: Any) -> list[str]:
    """torch's text under our name, as words: names differ in length, so spaces and line breaks may too."""
    text = repr(torch.tensor(value)).replace("torch.", "rusttorch.")
    return text.replace("tensor(", "RustTorch(", 1).replace("\n", " ").split()


@pytest.mark.parametrize("value", PRINTED, ids=range(len(PRINTED)))
def test_repr_is_torchs(value: Any) -> None:
    options = [{}, {"precision": 2, "edgeitems": 1, "threshold": 5}, {"sci_mode": True}, {"linewidth": 40}]
    try:
        for chosen in options:
            rt.set_printoptions(profile="default")
            rt.set_printoptions(**chosen)
            torch.set_printoptions(profile="default")
            # "RustTorch(" is three letters longer than "tensor(".
            torch.set_printoptions(**{**chosen, "linewidth": chosen.get("linewidth", 80) - 3})
            ours = repr(rt.tensor(value))
            assert ours.split() == torch_repr(value), f"{ours}\n{torch.tensor(value)!r}"
            lines, torch_lines = ours.split("\n"), repr(torch.tensor(value)).split("\n")
            if "dtype" not in ours:
                assert [len(x) - 3 * bool(x) for x in lines] == [len(x) for x in torch_lines]
    finally:
        rt.set_printoptions(profile="default")
        torch.set_printoptions(profile="default")


def test_making() -> None:
    for name, args in [
        ("zeros", (2, 3)),
        ("ones", ((2, 3),)),
        ("full", ((2, 2), 7)),
        ("full", ((2,), 0.5)),
        ("arange", (5,)),
        ("arange", (1, 10, 3)),
        ("arange", (0, 1, 0.1)),
        ("arange", (5, 0, -2)),
        ("linspace", (0, 1, 7)),
        ("linspace", (3, -3, 4)),
        ("eye", (3,)),
        ("eye", (2, 4)),
        ("tensor", ([[1, 2], [3, 4]],)),
        ("tensor", ([1, 2.5],)),
        ("tensor", (True,)),
    ]:
        for dtype in (None, "float64", "int32", "uint8", "bool"):
            if dtype in ("uint8", "bool") and name in ("arange", "linspace"):
                continue
            kwargs = {} if dtype is None else {"dtype": getattr(rt, dtype)}
            theirs = {} if dtype is None else {"dtype": getattr(torch, dtype)}
            a, b = getattr(rt, name)(*args, **kwargs), getattr(torch, name)(*args, **theirs)
            assert (a.shape, str(a.dtype)[10:]) == (tuple(b.shape), str(b.dtype)[6:])
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, atol=1e-7, err_msg=f"{name}{args}")
    x = torch.randn(4, 3, 2).permute(2, 0, 1)
    y = rt.tensor(x)
    assert y.stride() == x.stride()
    assert rt.zeros_like(y).stride() == torch.zeros_like(x).stride()
    assert rt.empty(2, 3, dtype="int64").shape == (2, 3)
    for value, dtype in [(np.arange(3), torch.int64), (np.float32(2), torch.float32), (torch.ones(2), torch.float32)]:
        assert str(rt.tensor(value).dtype)[10:] == str(dtype)[6:]
    for bad in ([[1, 2], [3]], ["a"], [1, [2]], [2**70]):
        errors = []
        for library in (rt, torch):
            with pytest.raises(Exception) as e:
                library.tensor(bad)
            errors.append(e.type)
        assert errors[0] is errors[1], bad
    with pytest.raises(RuntimeError, match="no device cuda"):
        rt.zeros(2, device="cuda")
    with pytest.raises(RuntimeError, match="no CUDA"):
        rt.zeros(2).cuda()


def test_promotion_and_default_dtype() -> None:
    x = rt.tensor([1, 2])
    assert (x / 2).dtype is rt.float32
    assert (x * 1.5).dtype is rt.float32
    assert (x + True).dtype is rt.int64
    try:
        rt.set_default_dtype(rt.float64)
        assert (x / 2).dtype is rt.float64
        assert rt.zeros(1).dtype is rt.float64
    finally:
        rt.set_default_dtype(rt.float32)
    for name in ("float32", torch.float32, np.float32, np.dtype("float32"), float, "float"):
        assert x.to(name).dtype is rt.float32
    assert pickle.loads(pickle.dumps(rt.int32)) is rt.int32


def test_protocols() -> None:
    x = rt.tensor([[1.0, 2.0], [3.0, 4.0]])
    t = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for f in (bool, float, int, len, iter, hash, lambda v: v.__index__(), lambda v: v.item(), list):
        for a, b in ((x, t), (x[0, 0], t[0, 0]), (rt.tensor(3), torch.tensor(3)), (rt.zeros(0), torch.zeros(0))):
            results = []
            for v in (a, b):
                try:
                    results.append(f(v))
                except Exception as e:
                    results.append((type(e), str(e)))
            if isinstance(results[1], (bool, int, float)) and f is not hash:
                assert results[0] == results[1]
            elif isinstance(results[1], tuple):
                assert results[0] == results[1], f
    assert 3.0 in x
    assert 5.0 not in x
    assert {x: 1}[x] == 1
    assert hash(x) != hash(x.clone())
    assert x.tolist() == t.tolist()
    assert [r.tolist() for r in x] == t.tolist()
    assert f"{x[0, 1]:.2f}" == "2.00"
    a, b = x.unbind(1)
    assert (a.tolist(), b.tolist()) == ([1, 3], [2, 4])
    assert x.device == "cpu"
    assert x.to("cpu") is x
    with pytest.raises(AttributeError, match=r"torch\.Tensor has it"):
        x.backward  # noqa: B018
    assert not hasattr(x, "nonsense")


def test_copies_and_pickles() -> None:
    x = rt.arange(6).reshape(2, 3)
    shallow, deep = copy.copy(x), copy.deepcopy(x)
    x[0, 0] = 9
    assert (shallow[0, 0].item(), deep[0, 0].item()) == (9, 0)
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]
    for protocol in range(2, 6):
        y = pickle.loads(pickle.dumps(x.T, protocol))
        assert (y.tolist(), y.dtype) == (x.T.tolist(), rt.int64)
    buffers: list[Any] = []
    data = pickle.dumps(x, 5, buffer_callback=buffers.append)
    assert len(buffers) == 1
    assert pickle.loads(data, buffers=buffers).tolist() == x.tolist()


def test_memory_is_shared() -> None:
    x = rt.zeros(2, 3)
    before = x + 1
    array = x.numpy()
    array[0, 0] = 5
    assert x[0, 0].item() == 5
    x += 1
    assert array[0, 0] == 6
    assert before[0, 0].item() == 1
    tensor = torch.from_dlpack(x)
    tensor[1, 1] = 7
    assert x[1, 1].item() == 7
    assert array[1, 1] == 7
    assert tensor.data_ptr() == x.data_ptr()
    for source in (np.arange(4.0), torch.arange(4.0), np.arange(8.0)[::2]):
        y = rt.as_tensor(source)
        y.mul_(2)
        assert float(source[3]) == y[3].item()
    z = rt.from_numpy(np.arange(3))
    assert z.tolist() == [0, 1, 2]
    copied = np.array(x)
    copied[:] = 0
    assert x[0, 0].item() == 6
    assert np.asarray(x, dtype="float64").dtype == np.float64
    array = np.zeros(3)
    array.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        rt.from_numpy(array).fill_(1)
    with pytest.raises(ValueError, match="negative"):
        rt.from_numpy(np.arange(3)[::-1])
    del x, tensor, y, z
    gc.collect()
    assert array[0] == 0


def test_with_other_libraries() -> None:
    x, n, t = rt.tensor([1.0, 2.0]), np.array([3.0, 4.0], np.float32), torch.tensor([5.0, 6.0])
    for a, b in ((x, n), (n, x)):
        assert type(rt.add(a, b)) is rt.Tensor
        assert type(a + b) is rt.Tensor
    for a, b in ((x, t), (t, x)):
        assert type(rt.add(a, b)) is torch.Tensor
    assert type(x + t) is torch.Tensor
    assert rt.evaluate("x * 2 + n", {"x": x, "n": n}).tolist() == [5, 8]
    assert not rt.expr("x + 1")(x)._is_pending()
    assert rt.add(x, 1)._is_pending()

    @rt.fuse
    def f(a: Any, b: Any) -> Any:
        return (a * b).sum() + a.mean()

    assert f(x, x + 1).item() == 9.5
    assert rt.matmul(x, rt.tensor([1.0, 1.0])).item() == 3
    assert type(rt.eye(2) @ rt.ones(2, 2)) is rt.Tensor
    out = rt.zeros(2)
    assert rt.add(x, 1, out=out) is out
    assert out.tolist() == [2, 3]
    with pytest.raises(RuntimeError, match="can't be cast"):
        rt.add(x, 1, out=rt.zeros(2, dtype=rt.int64))
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x += rt.ones(3, 2)
    with pytest.raises(TypeError):
        x + "a"
    assert x.exp_() is x
    rt.register("tripled(a) = a * 3")
    assert (rt.tripled(rt.ones(2)) + 1)._is_pending()


def test_a_loop_holds_little_memory() -> None:
    x = rt.ones(1 << 16)
    acc = rt.zeros(1 << 16)
    low = rt.stats()["kernels"]["compiles"]
    for _ in range(2000):
        acc = acc + x
    assert acc[0].item() == 2000
    assert rt.stats()["kernels"]["compiles"] - low <= 3


def test_threads_evaluate_at_once() -> None:
    x = rt.ones(200_000)
    failures: list[BaseException] = []

    def work(k: int) -> None:
        try:
            for i in range(30):
                y = x * k + i
                z = y.sum() if i % 3 else (y - y).sum()
                assert z.item() == (200_000 * (k + i) if i % 3 else 0)
                shared.add_(0)
                assert shared[5].item() == 1
        except BaseException as e:
            failures.append(e)

    shared = rt.ones(100_000)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_print_options_that_cannot_be() -> None:
    for wrong in ({"precision": 100_000}, {"edgeitems": -5}):
        with pytest.raises(ValueError, match="set_printoptions"):
            rt.set_printoptions(**wrong)  # type: ignore[arg-type]
    try:
        rt.set_printoptions(edgeitems=2**62, threshold=1)
        assert repr(rt.arange(3)) == "RustTorch([0, 1, 2])"
    finally:
        rt.set_printoptions(profile="default")


def test_lists_that_hold_themselves() -> None:
    own: list[Any] = []
    own.append(own)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for nested in (own, deep):
        with pytest.raises(ValueError, match="too many dimensions 'list'"):
            rt.tensor(nested)
        with pytest.raises((TypeError, ValueError, IndexError)):
            rt.ones(3)[nested]
        with pytest.raises(TypeError):
            rt.sum(torch.ones(3), nested)
    while deep:  # Or its destructor recurses.
        deep = deep[0]


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
)
def test_sequences_of_every_dtype(dtype: str) -> None:
    ours, theirs = getattr(rt, dtype), getattr(torch, dtype)
    for of in (
        lambda lib, d: lib.arange(7, dtype=d),
        lambda lib, d: lib.arange(-3, 300, 7, dtype=d),
        lambda lib, d: lib.arange(10, -5, -3, dtype=d),
        lambda lib, d: lib.arange(0.5, 9, 0.75, dtype=d),
        lambda lib, d: lib.linspace(0, 5, 9, dtype=d),
        lambda lib, d: lib.linspace(3.5, -2, 1, dtype=d),
        lambda lib, d: lib.eye(3, 5, dtype=d),
        lambda lib, d: lib.eye(4, 2, dtype=d),
        lambda lib, d: lib.eye(0, 2, dtype=d),
    ):
        try:
            expected = of(torch, theirs)
        except RuntimeError:
            continue
        got = of(rt, ours)
        assert got.tolist() == expected.tolist()
        assert got.shape == tuple(expected.shape)


def test_reversed_and_the_modulus_of_powers() -> None:
    x = rt.arange(6).reshape(3, 2)
    assert [r.tolist() for r in reversed(x)] == x.tolist()[::-1]
    with pytest.raises(TypeError):
        pow(x, 2, 5)


def test_functions_that_view_our_tensors() -> None:
    for view in (
        lambda m, x: m.t(x),
        lambda m, x: m.narrow(x, 1, 0, 2),
        lambda m, x: m.select(x, 0, 1),
        lambda m, x: m.ravel(x),
        lambda m, x: m.positive(x),
        lambda m, x: m.transpose(x, 0, 1),
    ):
        ours, theirs = rt.zeros(2, 3), torch.zeros(2, 3)
        view(rt, ours).fill_(5)
        view(torch, theirs).fill_(5)
        assert ours.tolist() == theirs.tolist()
