"""What fused functions read and write beside their arguments: in-place operations, containers, outer arrays."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch


def _alias(x: Any) -> Any:
    y = x * 1
    z = y
    z += 10
    return y


def _part_written(x: Any) -> Any:
    y = x * 1
    z = y[0]
    z += 10
    return y


def _stale_part(x: Any) -> Any:
    y = x * 1
    z = y[0]
    y += 1
    return z


def _late_part(x: Any) -> Any:
    y = x * 1
    y += 1
    return y[0]


def _argument(x: Any) -> Any:
    z = x[0]
    z += 1
    return z


def _scalar(x: Any) -> Any:
    s = x.sum()
    t = s
    t += 1
    return s


def _converted(x: Any) -> Any:
    y = x.astype("float32") if isinstance(x, np.ndarray) or not hasattr(x, "float") else x.float()
    y += 1
    return y


@pytest.mark.parametrize("function", [_alias, _part_written, _stale_part, _late_part, _argument, _scalar])
@pytest.mark.parametrize("library", [np, torch, rt], ids=lambda m: m.__name__)
def test_in_place_operations_are_seen_under_all_names_or_refused(function: Any, library: Any) -> None:
    x = np.arange(4.0).reshape(2, 2)
    make = {np: np.array, torch: torch.tensor, rt: rt.tensor}[library]
    refused = function in (_part_written, _stale_part, _argument)
    if refused:
        with pytest.raises(rt.TraceError, match="in place"):
            rt.fuse(function)(make(x))
    else:
        np.testing.assert_array_equal(np.asarray(rt.fuse(function)(make(x))), np.asarray(function(make(x))))


def test_in_place_operations_of_numbers_make_new_ones() -> None:
    @rt.fuse
    def f(x: Any, k: float) -> Any:
        s = k * 2
        t = s
        t += 1
        return x * s

    assert f(np.ones(1), 3.0)[0] == 6


def test_in_place_operations_keep_the_dtype_and_the_shape() -> None:
    x = torch.arange(4)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        rt.fuse(_added)(x, 1.5)
    assert rt.fuse(_added)(x.float(), torch.ones(4, dtype=torch.float64)).dtype == torch.float32
    assert rt.fuse(_added)(x.double(), torch.ones(4)).dtype == torch.float64
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        rt.fuse(_added)(x, torch.ones(2, 4, dtype=torch.long))
    # A conversion that converts is a copy.
    half = torch.ones(3).half()
    assert rt.fuse(_converted)(half).tolist() == [2, 2, 2]
    with pytest.raises(rt.TraceError, match="writing to an argument in place"):
        rt.fuse(_converted)(half.float())


def _added(x: Any, v: Any) -> Any:
    y = x * 1
    y += v
    return y


def test_methods_in_place() -> None:
    f = rt.fuse(lambda x: (x + 1).mul_(x).clamp_(0, 3).sub_(1, alpha=2))
    x = torch.tensor([-1.0, 1.0, 5.0])
    assert f(x).tolist() == (x + 1).mul_(x).clamp_(0, 3).sub_(1, alpha=2).tolist()


def test_gradients_through_in_place_operations() -> None:
    def f(x: Any) -> Any:
        y = x * 1
        z = y
        z += x
        return y.sum()

    value, gradient = rt.value_and_grad(f)(np.ones(2))
    assert value == 4 and gradient.tolist() == [2, 2]


CONTAINER = {"w": np.ones(3), "deep": [{"v": np.ones(3)}]}


def test_arrays_in_containers_are_read_at_each_call() -> None:
    deep: Any = CONTAINER["deep"]
    f = rt.fuse(lambda x: x * CONTAINER["w"] + deep[0]["v"])
    x = np.ones(3)
    assert f(x).tolist() == [2, 2, 2]
    CONTAINER["w"] = np.full(3, 5.0)
    assert f(x).tolist() == [6, 6, 6]
    deep[0]["v"] = np.zeros(3)
    assert f(x).tolist() == [5, 5, 5]
    del deep[0]["v"]
    with pytest.raises(KeyError):
        f(x)


def test_parameters_of_modules_are_read_at_each_call() -> None:
    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm(3)
            self.scales = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(3))])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x) * self.scales[0]

    block = Block()
    f = rt.fuse(block.forward)
    x = torch.randn(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(f(x), block(x))
        block.norm.weight = torch.nn.Parameter(torch.full((3,), 2.0))
        block.scales[0] = torch.nn.Parameter(torch.full((3,), 3.0))
        torch.testing.assert_close(f(x), block(x))


@pytest.mark.parametrize("draw", [lambda: rt.rand(3), lambda: torch.rand(3), random.random, lambda: np.random.rand(3)])
def test_random_numbers_are_not_drawn_once_for_all(draw: Any) -> None:
    with pytest.raises(rt.TraceError, match="draws random numbers"):
        rt.fuse(lambda x: x + draw())(torch.zeros(3))


@pytest.mark.parametrize("dtype", ["f8", "<f4", "float32", "d", np.float64, np.dtype("f4")])
def test_dtypes_by_any_text_of_numpy(dtype: Any) -> None:
    x = np.ones(3, np.float32)
    assert rt.fuse(lambda q: np.sum(q, dtype=dtype))(x).dtype == np.dtype(dtype)
    assert rt.fuse(lambda q: q.sum(dtype=dtype))(x).dtype == np.dtype(dtype)


def test_attributes_of_tensors() -> None:
    def f(x: Any) -> Any:
        y = x.mT * 2 if x.is_floating_point() else x.mT
        return y + torch.arange(y.shape[-1], device=x.device)

    for x in (torch.arange(6.0).reshape(2, 3), torch.arange(6).reshape(2, 3)):
        assert torch.equal(rt.fuse(f)(x), f(x))
    with pytest.raises(RuntimeError, match="only supported on matrices"):
        rt.fuse(lambda x: x.mT)(torch.ones(3))


def test_what_is_computed_of_outer_arrays_follows_them() -> None:
    scale, table, weights = torch.ones(3), [np.ones(3)], np.ones(3)
    for x, f, change in (
        (torch.ones(3), lambda x: x + scale * 2, lambda: scale.fill_(5)),
        (torch.ones(3), lambda x: x * torch.rsqrt(scale + 1e-5), lambda: scale.mul_(2)),
        (np.ones(3), lambda x: x * np.exp(weights), lambda: weights.fill(0)),
        (np.ones(3), lambda x: x * -table[0].sum(), lambda: table.__setitem__(0, np.zeros(3))),
    ):
        fused: Any = rt.fuse(f)
        for _ in range(3):
            np.testing.assert_allclose(np.asarray(fused(x)), np.asarray(f(x)), rtol=1e-6)
            change()
        np.testing.assert_allclose(np.asarray(fused(x)), np.asarray(f(x)), rtol=1e-6)


def test_training_by_what_is_computed_of_a_parameter() -> None:
    class Decay(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Parameter(torch.zeros(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * -torch.exp(self.a)

    eager, fused = Decay(), Decay()
    f = rt.fuse(fused.forward)
    x = torch.arange(3.0)
    for module, function in ((eager, eager.forward), (fused, f)):
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        for _ in range(4):
            optimizer.zero_grad()
            function(x).sum().backward()
            function(x).sum().backward()
            optimizer.step()
    torch.testing.assert_close(fused.a, eager.a)


def test_containers_that_grow_are_read_again() -> None:
    rows = [np.ones(2)]

    def total(x: Any) -> Any:
        for row in rows:
            x = x + row
        return x - rows[-1]

    f = rt.fuse(total)
    for _ in range(3):
        assert f(np.zeros(2)).tolist() == total(np.zeros(2)).tolist()
        rows.append(rows[-1] * 2)


def test_large_containers_beside_arrays() -> None:
    class Model:
        def __init__(self) -> None:
            self.words = {str(i): i for i in range(100_000)}
            self.layers = [{"w": np.ones(2)}]

        def forward(self, x: Any) -> Any:
            return x * self.layers[0]["w"]

    model = Model()
    f = rt.fuse(model.forward)
    assert f(np.ones(2)).tolist() == [1, 1]
    model.layers[0]["w"] = np.full(2, 3.0)
    assert f(np.ones(2)).tolist() == [3, 3]


def test_in_place_operations_are_traced_by_dtype_rank_and_shape() -> None:
    f = rt.fuse(_added)
    x = torch.ones(3)
    assert f(x, x).dtype == torch.float32
    assert f(x, x.double()).dtype == torch.float32
    with pytest.raises(RuntimeError, match="can't be cast"):
        f(x.long(), x)
    with pytest.raises(RuntimeError, match=r"output with shape \[3\] doesn't match the broadcast shape \[2, 3\]"):
        f(x, torch.ones(2, 3))
    assert f(torch.ones(5), torch.ones(1)).tolist() == [2] * 5
    # NumPy's scalars are values, its arrays are not.
    g = rt.fuse(_alias)
    for y in (np.array(1.0), np.ones(3), np.array(2.0)):
        np.testing.assert_array_equal(g(y), _alias(y))


@pytest.mark.parametrize(
    "function",
    [
        lambda y: (y, y[::2]),
        lambda y: (y, +y),
        lambda y: (y, y.contiguous()),
        lambda y: (y, y.view(-1)),
    ],
)
def test_other_names_for_the_same_memory_are_refused(function: Any) -> None:
    def f(x: Any) -> Any:
        y, z = function(x * 2)
        z += 1
        return y

    with pytest.raises(rt.TraceError, match="writing to a view"):
        rt.fuse(f)(torch.ones(5))


def test_copies_may_be_written() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        z = y.to("cpu", copy=True)
        z += 1
        return y + z

    assert rt.fuse(f)(torch.ones(2)).tolist() == [5, 5]


def test_random_numbers_of_other_threads_do_not_matter() -> None:
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            random.random()
            time.sleep(1e-5)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for _ in range(30):
            assert rt.fuse(lambda x: x + torch.arange(3))(torch.zeros(3)).tolist() == [0, 1, 2]
    finally:
        stop.set()
        thread.join()


def test_traces_that_go_may_call_the_function() -> None:
    class Box:
        def __init__(self, fused: Any) -> None:
            self.fused = fused

        def __del__(self) -> None:
            self.fused(None, np.ones(2))

    f = rt.fuse(lambda box, x: x * 2)
    for _ in range(70):
        f(Box(f), np.ones(2))
    f.cache_clear()  # type: ignore[attr-defined]


def test_numbers_in_what_an_object_holds_are_traced_anew() -> None:
    class Config:
        def __init__(self) -> None:
            self.scale = 2.0

    class Model:
        def __init__(self) -> None:
            self.config = Config()
            self.weights = [1.0, 2.0]
            self.table = {"shift": 1.0}

        def forward(self, x: Any) -> Any:
            return x * self.config.scale * self.weights[1] + self.table["shift"]

    model, x = Model(), np.ones(2)
    f = rt.fuse(Model.forward)
    for change in (
        lambda: setattr(model.config, "scale", model.config.scale + 1),
        lambda: model.weights.__setitem__(1, model.weights[1] + 1),
        lambda: model.table.update(shift=model.table["shift"] + 1),
        lambda: setattr(model, "config", Config()),
        lambda: None,
    ):
        assert f(model, x).tolist() == model.forward(x).tolist()
        change()
    assert f(model, x).tolist() == model.forward(x).tolist()
