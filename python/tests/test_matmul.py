"""``rusttorch.matmul`` beside NumPy's and torch's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rusttorch as rt
import torch

SHAPES = [
    ((4,), (4,)),
    ((3, 4), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((130, 70), (70, 90)),
]


def operands(shapes: tuple[tuple[int, ...], ...], dtype: str) -> list[Any]:
    rng = np.random.default_rng(0)
    # Integers: exact in any order.
    return [rng.integers(-8, 8, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shapes", SHAPES)
def test_equals_numpy_and_torch(shapes: tuple[tuple[int, ...], ...], dtype: str, torch_path: str) -> None:
    a, b = operands(shapes, dtype)
    result = rt.matmul(a, b)
    expected = np.matmul(a, b)
    assert type(result) is type(expected)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    for other in (y, b):
        product = rt.matmul(x, other)
        assert type(product) is torch.Tensor
        assert torch.equal(product, torch.matmul(x, y))


def test_any_strides() -> None:
    a, b = operands(((8, 6), (10, 12)), "float32")
    np.testing.assert_array_equal(rt.matmul(a.T, b[1:9, ::-2]), a.T @ b[1:9, ::-2])
    np.testing.assert_array_equal(rt.matmul(a[::-1, ::2], b[:3]), a[::-1, ::2] @ b[:3])
    np.testing.assert_array_equal(rt.matmul(np.broadcast_to(a[:1], (8, 6)), b[:6]), np.tile(a[:1], (8, 1)) @ b[:6])
    unaligned = np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(np.float32).reshape(a.shape)
    np.testing.assert_array_equal(rt.matmul(unaligned.T, a), a.T @ a)


def test_out() -> None:
    a, b = operands(((4, 4), (4, 4)), "float64")
    expected = a @ b
    out = np.empty((4, 4))
    assert rt.matmul(a, b, out=out) is out
    np.testing.assert_array_equal(out, expected)
    transposed = np.empty((4, 4)).T
    np.testing.assert_array_equal(rt.matmul(a, b, out=transposed), expected)
    x = torch.from_numpy(a.copy())
    version = x._version
    assert torch.equal(rt.matmul(x, torch.from_numpy(b), out=x), torch.from_numpy(expected))
    assert x._version > version
    with pytest.raises(RuntimeError, match="out has shape"):
        rt.matmul(a, b, out=np.empty((4, 5)))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        rt.matmul(a, b, out=out)


def error_of(call: Callable[[], Any]) -> tuple[type[Exception], str]:
    with pytest.raises(Exception) as caught:
        call()
    return caught.type, str(caught.value)


@pytest.mark.parametrize(
    "shapes", [((2, 3), (4, 5)), ((2, 3), (4,)), ((3,), (4,)), ((2, 3, 4), (3, 4, 5)), ((2, 3, 4), (2, 5, 6))]
)
def test_errors_of_shapes(shapes: tuple[tuple[int, ...], ...]) -> None:
    x, y = (torch.zeros(shape) for shape in shapes)
    ours, theirs = error_of(lambda: rt.matmul(x, y)), error_of(lambda: torch.matmul(x, y))
    assert ours[0] is theirs[0] is RuntimeError
    assert ours[1].removeprefix("mm: ") == theirs[1].removeprefix("mm: ")


def test_errors() -> None:
    x = torch.zeros(2, 2)
    with pytest.raises(RuntimeError, match="both arguments to matmul need to be at least 1D"):
        rt.matmul(x, torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="same dtype"):
        rt.matmul(x, x.double())
    with pytest.raises(NotImplementedError, match="not implemented for 'Bool'"):
        rt.matmul(x.bool(), x.bool())
    with pytest.raises(TypeError, match=r"matmul\(\): argument 'other' \(position 2\) must be Tensor, not float"):
        rt.matmul(x, 2.0)
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        rt.matmul([[1.0]], x)


def test_bits_do_not_depend_on_the_container() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((200, 300)), rng.standard_normal((300, 100))
    product = rt.matmul(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_array_equal(rt.matmul(a, b), product)
    np.testing.assert_allclose(product, a @ b, rtol=1e-10, atol=1e-12)
