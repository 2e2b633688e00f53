"""torch's OpInfo database, run over our functions, methods and methods in place: how each sample differs from torch.

Complex and sparse operands, other devices than the CPU, and functions that we do not have, are out of scope.

``test_opinfo.py`` runs a part. As a program it runs all samples of all dtypes, and prints every difference:

    python python/tests/opinfo.py [--few N] [op ...]
"""

from __future__ import annotations

import argparse
import functools
import itertools
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import rusttorch as rt
import torch
from rusttorch import _names

with warnings.catch_warnings():
    # It would use hypothesis.
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.opinfo.core import OpInfo, SampleInput

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
DTYPES = (*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
TOLERANCES = {
    torch.float64: (1e-7, 1e-9),
    torch.float32: (2e-5, 1e-5),
    torch.float16: (2e-3, 1e-3),
    torch.bfloat16: (1.6e-2, 1e-2),
}
# Their values are random, or whatever memory holds, or depend on which of equal elements comes first.
VALUELESS = (
    "argsort",
    "bernoulli",
    "empty",
    "multinomial",
    "new_empty",
    "nn.functional.dropout",
    "nn.functional.rrelu",
    "normal",
    "rand",
    "uniform",
)


class Form(NamedTuple):
    """A way to call an op, beside torch's: ``torch`` and ``own`` are the function on torch's tensors and on ours."""

    what: str
    call: Callable[..., Any]
    theirs: Callable[..., Any]


class Finding(NamedTuple):
    """One difference. Kinds are ``refusal`` (NotImplementedError, or no gradient), ``missing`` (no such method),
    ``raises`` (another error where torch has a result), ``accepts`` (the other way round), ``class`` (of error),
    ``type``, ``dtype``, ``shape`` and ``values``; of gradients they begin with ``grad ``.
    """

    kind: str
    form: str
    dtype: str
    detail: str
    sample: str


class _OutOfScope(Exception):
    pass


class _NoMethod(Exception):
    pass


def name_of(op: OpInfo) -> str:
    return f"{op.name}[{op.variant_test_name}]" if op.variant_test_name else str(op.name)


@functools.cache
def ops() -> dict[str, tuple[OpInfo, list[Form]]]:
    """The ops that we have."""
    return {name_of(op): (op, found) for op in op_db if (found := _forms(op))}


class _Package:
    """``torch`` as wrappers in the database name it, with our functions."""

    def __getattr__(self, name: str) -> Any:
        return self if name == "special" else getattr(rt, name)


def _function(path: str) -> Any:
    home, _, name = path.rpartition(".")
    if home in ("", "special"):
        return getattr(rt, name, None)
    if home == "nn.functional":
        return getattr(rt.nn.functional, name, None)
    return next((getattr(rt, op.name) for op in _names.ops().values() if op.torch == f"torch.{path}"), None)


def _forms(op: OpInfo) -> list[Form]:
    found = []
    function, theirs = _function(op.name), op.op
    if function is not None:
        if isinstance(theirs, types.FunctionType) and theirs.__module__.startswith("torch.testing"):
            names = {**theirs.__globals__, "torch": _Package(), "F": rt.nn.functional}
            function = types.FunctionType(theirs.__code__, names, None, theirs.__defaults__, theirs.__closure__)
            function.__kwdefaults__ = theirs.__kwdefaults__
        found += [Form("torch", function, theirs), Form("own", function, theirs)]
    tensor = rt.zeros(1)
    for what, method in (("method", op.get_method()), ("in place", op.get_inplace())):
        name = getattr(method, "__name__", "")
        known = hasattr(tensor, name.removesuffix("_") if what == "in place" else name)
        if name and not isinstance(method, types.FunctionType) and (found or known):
            found.append(Form(what, _method(name) if hasattr(tensor, name) else _missing(name), method))
    return found


def _method(name: str) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def _missing(name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise _NoMethod(f"rusttorch.Tensor has no {name}")

    return call


def _each(f: Callable[[Any], Any], x: Any) -> Any:
    if isinstance(x, torch.Size):
        return x
    if isinstance(x, (list, tuple)):
        return type(x)(_each(f, y) for y in x)
    if isinstance(x, dict):
        return {k: _each(f, v) for k, v in x.items()}
    return slice(*(_each(f, y) for y in (x.start, x.stop, x.step))) if isinstance(x, slice) else f(x)


def _leaves(x: Any) -> Iterator[Any]:
    """Whatever is within lists, tuples and dictionaries."""
    if isinstance(x, (list, tuple, dict)):
        for y in x.values() if isinstance(x, dict) else x:
            yield from _leaves(y)
    else:
        yield x


def _cloned(x: Any) -> Any:
    return x.detach().clone().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x


def _own(x: Any) -> Any:
    if isinstance(x, torch.dtype):
        return getattr(rt, str(x).removeprefix("torch."))
    if not isinstance(x, torch.Tensor):
        return x
    if x.layout != torch.strided or x.dtype not in DTYPES or x.device.type != "cpu" or x.ndim > 64:
        raise _OutOfScope
    return rt.from_dlpack(x.detach().clone())


def _doubled(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.detach().double() if x.is_floating_point() else x.detach().clone()
    return torch.float64 if x in FLOATS[:1] + FLOATS[2:] else x


def _shown(x: Any) -> str:
    def one(y: Any) -> Any:
        return f"{str(y.dtype).removeprefix('torch.')}{list(y.shape)}" if isinstance(y, torch.Tensor) else y

    return str(_each(one, x))


def family(error: BaseException) -> type:
    kinds = (IndexError, TypeError, ValueError, RuntimeError)
    return next((k for k in kinds if isinstance(error, k)), type(error))


def _run(form: Form, call: Callable[..., Any], convert: Callable[[Any], Any], sample: SampleInput) -> Any:
    """The result, or the error."""
    args, kwargs = _each(convert, (sample.input, *sample.args)), _each(convert, sample.kwargs)
    try:
        result = call(*args, **kwargs)
    except _OutOfScope:
        raise
    except Exception as error:
        return error
    if form.what == "in place":
        return args[0] if result is args[0] else (result, args[0])
    return tuple(result) if isinstance(result, types.GeneratorType) else result


def _difference(got: Any, want: Any, tensor: type, values: bool) -> tuple[str, str] | None:
    if isinstance(want, torch.Tensor):
        if not isinstance(got, tensor):
            return "type", f"{type(got).__name__} for Tensor"
        got = torch.from_dlpack(got) if isinstance(got, rt.Tensor) else got.detach()
        want = want.detach()
        if got.dtype != want.dtype:
            return "dtype", f"{got.dtype} for {want.dtype}"
        if got.shape != want.shape:
            return "shape", f"{list(got.shape)} for {list(want.shape)}"
        if want.is_floating_point():
            close = torch.allclose(got.double(), want.double(), *TOLERANCES[want.dtype], equal_nan=True)
        else:
            close = torch.equal(got, want)
        return None if close or not values else ("values", "")
    if isinstance(want, (tuple, list)) and not isinstance(want, torch.Size):
        if not isinstance(got, (tuple, list)) or len(got) != len(want):
            return "type", f"{type(got).__name__} for {type(want).__name__}"
        fields = getattr(want, "__match_args__", ("",) * len(want))
        for g, w, field in zip(got, want, fields, strict=True):
            # Which one of equal elements comes first is free.
            found = _difference(g, w, tensor, values and field != "indices")
            if found:
                return found
        return None
    if isinstance(want, torch.dtype):
        return None if str(got).rpartition(".")[2] == str(want).rpartition(".")[2] else ("values", str(got))
    equal = got == want or (isinstance(want, float) and ((got != got and want != want) or abs(got - want) < 1e-6))
    return None if equal else ("values", f"{got} for {want}")


def _no_worse(got: Any, want: Any, exact: Any) -> bool:
    """Our error is at most three times torch's, or two units in the last place of the largest value."""
    mine = [torch.from_dlpack(x).double() if isinstance(x, rt.Tensor) else x.detach().double() for x in _leaves(got)]
    for g, w, x in zip(mine, _leaves(want), _leaves(exact), strict=True):
        if not w.is_floating_point():
            return False
        finite = w.isfinite()
        if not torch.equal(g.isfinite(), finite) and w.dtype is not torch.float16:
            return False
        if finite.any():
            ours, theirs = ((v.detach().double() - x)[finite].abs().max() for v in (g, w))
            if ours > max(3 * theirs, 2 * torch.finfo(w.dtype).eps * x[finite].abs().max()):
                return False
    return True


def compare(op: OpInfo, form: Form, dtype: Any, sample: SampleInput) -> Finding | None:
    values = [sample.input, *sample.args, *sample.kwargs.values()]
    if not any(isinstance(x, torch.Tensor) for x in _leaves(values)) and form.what != "own":
        return None
    if form.what in ("method", "in place") and not isinstance(sample.input, torch.Tensor):
        return None

    def finding(kind: str, detail: str) -> Finding:
        return Finding(kind, form.what, str(dtype).removeprefix("torch."), detail, f"{_shown(values)}"[:200])

    try:
        got = _run(form, form.call, _cloned if form.what == "torch" else _own, sample)
    except _OutOfScope:
        return None
    want = _run(form, form.theirs, _cloned, sample)
    if isinstance(want, Exception):
        if not isinstance(got, Exception):
            return finding("accepts", f"{type(want).__name__}: {want}")
        same = family(got) is family(want) or isinstance(got, (NotImplementedError, _NoMethod))
        return None if same else finding("class", f"{type(got).__name__} for {type(want).__name__}: {got} | {want}")
    if isinstance(got, Exception):
        kind = "refusal" if isinstance(got, NotImplementedError) else "raises"
        return finding("missing" if isinstance(got, _NoMethod) else kind, f"{type(got).__name__}: {got}")
    tensor = torch.Tensor if form.what == "torch" else rt.Tensor
    different = _difference(got, want, tensor, not op.name.startswith(VALUELESS))
    if different and different[0] == "values" and dtype in FLOATS and dtype is not torch.float64:
        exact = _run(form, form.theirs, _doubled, sample)
        if not isinstance(exact, Exception) and _no_worse(got, want, exact):
            return None
    return finding(*different) if different else None


def compare_gradients(form: Form, sample: SampleInput) -> Finding | None:
    def gradients(call: Callable[..., Any]) -> Any:
        args, kwargs = _each(_cloned, (sample.input, *sample.args)), _each(_cloned, sample.kwargs)
        wrt = [x for x in _leaves([args, kwargs]) if isinstance(x, torch.Tensor) and x.requires_grad]
        result = sample.output_process_fn_grad(call(*args, **kwargs))
        outputs = [x for x in _leaves(result) if isinstance(x, torch.Tensor) and x.requires_grad]
        if not wrt or not outputs:
            return []
        seeds = [torch.arange(1, y.numel() + 1, dtype=y.dtype).cos().reshape(y.shape) for y in outputs]
        found = torch.autograd.grad(outputs, wrt, seeds, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g for g, x in zip(found, wrt, strict=True)]

    try:
        want = gradients(form.theirs)
    except RuntimeError:
        return None
    about = ("grad", "float64")
    try:
        got = gradients(form.call)
    except Exception as error:
        refused = isinstance(error, NotImplementedError) or "torch.no_grad()" in str(error)
        kind = "grad refusal" if refused else "grad raises"
        return Finding(kind, *about, f"{type(error).__name__}: {error}", _shown([sample.input, *sample.args]))
    different = _difference(got, want, torch.Tensor, values=True)
    return Finding(f"grad {different[0]}", *about, different[1], _shown(sample.input)) if different else None


def spread(samples: Iterator[Any], few: int | None) -> list[Any]:
    """``few`` of the first hundred samples, from the first to the last."""
    found = list(itertools.islice(samples, None if few is None else 100))
    if few is None or len(found) <= few:
        return found
    return [found[i * (len(found) - 1) // (few - 1)] for i in range(few)]


def sweep(op: OpInfo, forms: list[Form], dtypes: tuple[Any, ...], few: int | None) -> list[Finding]:
    """The differences of an op; of ``few`` samples for each dtype, or of all."""
    # In a thread of its own: of every sample the database takes the whole stack, and that of a test is deep.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_sweep, op, forms, dtypes, few).result()


def _sweep(op: OpInfo, forms: list[Form], dtypes: tuple[Any, ...], few: int | None) -> list[Finding]:
    found: list[Finding | None] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in sorted(op.supported_dtypes("cpu") & set(dtypes), key=str):
            torch.manual_seed(0)
            samples = spread(op.sample_inputs("cpu", dtype), few)
            found += [compare(op, f, dtype, s) for s in samples for f in forms]
        recording = [f for f in forms if f.what == "torch" and op.supports_autograd]
        if recording and torch.float64 in op.supported_dtypes("cpu") and not op.name.startswith(VALUELESS):
            torch.manual_seed(0)
            samples = spread(op.sample_inputs("cpu", torch.float64, requires_grad=True), few)
            found += [compare_gradients(f, s) for s in samples for f in recording]
        if op.error_inputs_func is not None:
            errors = [e.sample_input for e in op.error_inputs("cpu")]
            found += [compare(op, f, "error", s) for s in errors for f in forms]
    return [f for f in found if f]


def main() -> None:
    parser = argparse.ArgumentParser(description="Differences from torch over its OpInfo database.")
    parser.add_argument("ops", nargs="*", help="names of ops; default: all that rusttorch has")
    parser.add_argument("--few", type=int, help="samples per dtype; default: all")
    args = parser.parse_args()
    chosen = {name: found for name, found in ops().items() if not args.ops or name in args.ops}
    same = 0
    for name, (op, forms) in chosen.items():
        found = sweep(op, forms, DTYPES, args.few)
        same += not found
        kinds: dict[str, list[Finding]] = {}
        for f in found:
            kinds.setdefault(f.kind, []).append(f)
        for kind, group in kinds.items():
            first = group[0]
            detail = first.detail.split("\n")[0][:160]
            as_what = ", ".join(sorted({f.form for f in group}))
            print(f"{name}: {kind}, {len(group)} times as {as_what}: {detail} | {first.sample}")
    print(f"{same} of {len(chosen)} ops like torch in everything")


if __name__ == "__main__":
    main()
