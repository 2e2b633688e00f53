"""Every kind of operand whose memory is not simply there is refused by name, or works (some through torch, see
test_through_torch.py)."""

import warnings

import numpy as np
import pytest
import rusttorch as rt
import torch
from rusttorch import _rusttorch

pytestmark = pytest.mark.usefixtures("torch_path")


def shortened() -> torch.Tensor:
    x = torch.ones(8)
    x.untyped_storage().resize_(16)
    return x


def emptied() -> torch.Tensor:
    x = torch.ones(8)
    x.untyped_storage().resize_(0)
    return x


def leaked(transform) -> torch.Tensor:
    kept = []

    def keep(x):
        kept.append(x)
        return x * 1

    transform(keep)(torch.ones(3, 2))
    return kept[0]


def nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


def quantized() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


SPECIAL = {
    "conjugate": (lambda: torch.ones(3, dtype=torch.cfloat).conj(), NotImplementedError, "complex64"),
    "complex": (lambda: torch.ones(3, dtype=torch.cdouble), NotImplementedError, "complex128"),
    "emptied storage": (emptied, RuntimeError, "no memory"),
    "shortened storage": (shortened, RuntimeError, "shorter than its extent"),
    "meta": (lambda: torch.ones(3, device="meta"), RuntimeError, "on device meta"),
    "sparse": (lambda: torch.eye(3).to_sparse(), NotImplementedError, "sparse_coo"),
    "mkldnn": (lambda: torch.ones(3).to_mkldnn(), NotImplementedError, "_mkldnn"),
    "nested": (nested, NotImplementedError, "nested"),
    "quantized": (quantized, NotImplementedError, "qint8"),
    "escaped vmap": (lambda: leaked(torch.func.vmap), RuntimeError, "no memory"),
    "escaped functionalize": (lambda: leaked(torch.func.functionalize), RuntimeError, "no memory"),
    "unaligned": (lambda: torch.frombuffer(bytearray(13), dtype=torch.float32, offset=1), RuntimeError, "aligned"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_special_tensors_are_refused_by_name(kind: str) -> None:
    make, error, text = SPECIAL[kind]
    x = make()
    with pytest.raises(error, match=text):
        rt.exp(x)
    with pytest.raises(error, match=text):
        rt.expr("a * b")(torch.ones(3), x)


def test_no_result_is_detached() -> None:
    leaf = torch.ones(3, requires_grad=True)
    plain = torch.ones(3)
    operands = (leaf, torch.nn.Parameter(torch.ones(3)), leaf * 2)
    for x in operands:
        for result in (rt.exp(x), rt.add(plain, x), rt.expr("a * b + 1")(plain, x), rt.matmul(plain, x)):
            assert result.grad_fn is not None
        # What has no backward.
        with pytest.raises(RuntimeError, match=r"detached.*torch\.no_grad\(\)"):
            rt.func.grad(rt.sum)(x)
    with torch.no_grad():
        assert not rt.exp(leaf).requires_grad
    with torch.inference_mode():
        assert rt.exp(plain).is_inference()
    assert rt.exp(leaf.detach()).requires_grad is False


def test_views_of_all_kinds_work() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    views = [x.permute(2, 0, 1), x[:, ::2], x[1:, 1:, 1:], x.expand(5, 2, 3, 4), x[0, 0, 0], x[:0], x.unfold(2, 2, 1)]
    for v in views:
        torch.testing.assert_close(rt.add(v, 1.5), v + 1.5)


def test_numpy_arrays_are_borrowed_exactly() -> None:
    a = np.arange(24.0).reshape(4, 6)
    views = [a, a.T, a[::-1], a[:, ::-2], a[1:3, 2:], a[:0], np.broadcast_to(a[0], (3, 6)), a[1, 1], np.float64(3)]
    for v in views:
        np.testing.assert_array_equal(rt.add(v, 1.5), v + 1.5)
    unaligned = np.frombuffer(bytearray(33), dtype=np.uint8)[1:].view(np.float64)
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(rt.add(unaligned, 1.0), unaligned + 1.0)
    packed = np.zeros(3, dtype=[("flag", "u1"), ("value", "f8")])["value"]
    np.testing.assert_array_equal(rt.add(packed, 1.0), packed + 1.0)
    readonly = a.copy()
    readonly.flags.writeable = False
    np.testing.assert_array_equal(rt.add(readonly, 1.0), a + 1.0)


REFUSED_ARRAYS = {
    "byte-swapped": (lambda: np.ones(3, dtype=">f8"), "byte-swapped"),
    "object": (lambda: np.ones(3, dtype=object), "object"),
    "datetime": (lambda: np.zeros(3, dtype="M8[s]"), "datetime64"),
    "string": (lambda: np.zeros(3, dtype="U3"), "<U3"),
    "structured": (lambda: np.zeros(3, dtype="f4,f4"), "f4"),
    "complex": (lambda: np.zeros(3, dtype=complex), "complex128"),
    "uint16": (lambda: np.zeros(3, dtype=np.uint16), "uint16"),
    "longdouble": (lambda: np.zeros(3, dtype=np.longdouble), "float128"),
    "masked": (lambda: np.ma.masked_array([1.0, 2.0], [True, False]), "MaskedArray"),
}


@pytest.mark.parametrize("kind", REFUSED_ARRAYS)
def test_other_arrays_are_refused_by_name(kind: str) -> None:
    make, text = REFUSED_ARRAYS[kind]
    with pytest.raises(TypeError, match=text):
        rt.exp(make())


def test_what_is_no_array_is_torchs_type_error() -> None:
    for value, name in (([1.0, 2.0], "list"), ("text", "str"), ({}, "dict"), (object(), "object")):
        with pytest.raises(TypeError, match=rf"exp\(\): argument 'x' \(position 1\) must be Tensor, not {name}"):
            rt.exp(value)


def test_array_protocol_is_read() -> None:
    class Series:
        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return self.values

    a = np.arange(5.0)
    np.testing.assert_array_equal(rt.add(Series(a), 1.0), a + 1.0)
    memmap = np.ndarray.view(a, np.memmap)
    np.testing.assert_array_equal(rt.add(memmap, 1.0), a + 1.0)


def test_mixed_operands_give_torch() -> None:
    a, x = np.arange(3.0), torch.arange(3.0)
    out = rt.add(a, x)
    assert isinstance(out, torch.Tensor)
    assert out.dtype == torch.float64


def test_a_tensor_of_ours_beside_code_of_the_users() -> None:
    """Arrays are borrowed again when an operand ran code of the user's; a tensor of ours is no array."""
    f, own, memmap = rt.expr("x * y + z"), rt.tensor([1.0, 2.0]), np.ndarray.view(np.ones(2, np.float32), np.memmap)
    assert f(own, torch.tensor([3.0, 4.0]), memmap).tolist() == [4.0, 9.0]
    assert f(memmap, torch.tensor([3.0, 4.0]), own + 0).tolist() == [4.0, 6.0]
    assert f(own, memmap, memmap).tolist() == [2.0, 3.0]
    for x in (own, own.to("bfloat16"), own.reshape(1, 2).T, rt.ones(0, 3), rt.tensor(1.0)):
        assert "softmax" in str(rt.inspect(rt.softmax, x, 0))
        assert f(x, torch.ones(1), np.ndarray.view(np.ones(1, np.float32), np.memmap)).shape == (x + rt.ones(1)).shape


def test_c_abi_is_found() -> None:
    _rusttorch._borrow(torch.ones(1))
    before = _rusttorch._attributes_only(False)
    try:
        assert _rusttorch._torch_c_abi() is True, "torch 2.14 and later have the C ABI"
    finally:
        _rusttorch._attributes_only(before)
