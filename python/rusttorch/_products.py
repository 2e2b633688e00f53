"""Products of matrices and vectors, and norms: ``mm``, ``addmm``, ``inner``, ``tensordot``, ``kron``, ``norm`` and
their kin, as functions and as methods of ``rusttorch.Tensor``, with torch's arguments and errors.
"""

from __future__ import annotations

from typing import Any

from rusttorch import _rusttorch
from rusttorch._names import op_function as op
from rusttorch._public import c_name, call_of, dtype_name, promoted, public, title, wrap
from rusttorch._scans import _dtype_name as scan_dtype_name


@public()
def norm(
    input: Any, p: float | str | None = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The ``p``-norm of the elements, of all or along ``dim``, converted to ``dtype`` first, or with ``"nuc"`` the sum
    of the singular values of a matrix, or of the matrices in two dimensions ``dim``, which NumPy computes;
    ``torch.norm``.
    """
    if p == "nuc":
        return _nuclear(input if dtype is None else input.to(scan_dtype_name(dtype)), dim, keepdim)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
    if not input.is_floating_point():
        raise NotImplementedError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {title(input)}"
        )
    if dtype is not None:
        name = scan_dtype_name(dtype)
        if name not in ("float16", "bfloat16", "float32", "float64"):
            said = title(_rusttorch.empty(0, dtype=name))
            raise RuntimeError(f"linalg.vector_norm: dtype should be floating point or complex, but got {said}")
        input = input.to(name)
    return op("vector_norm")(input, 2 if p in ("fro", None) else p, dim, keepdim)


def _dense_linalg(name: str, x: Any) -> Any:
    """The array of NumPy, whose LAPACK computes what there are no kernels for."""
    if not x.is_floating_point():
        raise NotImplementedError(f"{name}: Expected a floating point or complex tensor as input. Got {title(x)}")
    if title(x) not in ("Float", "Double"):
        raise NotImplementedError(f"{name}: Low precision dtypes not supported. Got {title(x)}")
    return x.numpy()


def _nuclear(input: Any, dim: Any, keepdim: bool) -> Any:
    name = "linalg.matrix_norm"
    if input.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    given = list(range(input.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if len(given) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {' '.join(map(str, given))}")
    rows, columns = (wrap(d, input.ndim) for d in given)
    if rows == columns:
        raise RuntimeError(f"{name}: dims must be different. Got ({given[0]}, {given[1]})")
    values = _dense_linalg(name, input)
    import numpy

    sums = numpy.linalg.svd(numpy.moveaxis(values, (rows, columns), (-2, -1)), compute_uv=False).sum(-1)
    result = _rusttorch.tensor(numpy.asarray(sums), dtype=input.dtype)
    shape = [1 if d in (rows, columns) else n for d, n in enumerate(input.shape)]
    return result.reshape(shape) if keepdim else result


@public(in_place=True)
def renorm(input: Any, p: float, dim: int, maxnorm: float) -> Any:
    """A copy whose slices along ``dim`` have ``p``-norms of at most ``maxnorm``: those above are scaled down;
    ``torch.renorm``.

    Raises:
        RuntimeError: there are less than two dimensions, ``p`` is not positive, or ``maxnorm`` is negative.

    >>> import numpy as np, rusttorch as rt
    >>> rt.renorm(np.array([[3.0, 4.0], [0.0, 0.5]]), 1, 0, 1)[1]
    array([0. , 0.5])
    """
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    dim = wrap(dim, input.ndim)
    if not input.is_floating_point():
        raise NotImplementedError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {title(input)}"
        )
    wide = input.to("float32") if title(input) in ("Half", "BFloat16") else input
    norms = op("vector_norm")(wide, p, [d for d in range(input.ndim) if d != dim], True)
    scale = op("where")(op("gt")(norms, maxnorm), op("true_divide")(maxnorm, norms + 1e-7), 1.0)
    return op("mul")(wide, scale.to(wide.dtype)).to(input.dtype)


def matmul(a: Any, b: Any) -> Any:
    """``rusttorch.matmul`` of other tensors than of float32 and float64 alone, with torch's errors."""
    for x in (a, b):
        if x.ndim == 0:
            raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if a.ndim == 1 and b.ndim == 1:
        return vdot(a, b)
    _same_dtype(a, b)
    if title(a) == "Bool":
        raise NotImplementedError("\"addmm_impl_cpu_\" not implemented for 'Bool'")
    if a.ndim == 2 and b.ndim == 1:
        return mv(a, b)
    left = a.unsqueeze(0) if a.ndim == 1 else a
    right = b.unsqueeze(-1) if b.ndim == 1 else b
    k, (rows, m) = left.shape[-1], right.shape[-2:]
    if k != rows:
        if right.ndim == 2 or left.ndim == 2:
            count = 1
            for extent in left.shape[:-1]:
                count *= extent
            raise RuntimeError(f"mm: mat1 and mat2 shapes cannot be multiplied ({count}x{k} and {rows}x{m})")
        size = left.shape[0] if left.ndim == 3 else 1
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{size}, {k}] but got: [{size}, {rows}]."
        )
    result = product(left, right)
    result = result.squeeze(-2) if a.ndim == 1 else result
    return result.squeeze(-1) if b.ndim == 1 else result


#: Of arrays of every library.
any_matmul = call_of(matmul)


def product(a: Any, b: Any) -> Any:
    """``matmul`` of two tensors of one dtype, of every dtype but bool: 16-bit floats by way of float32, integers as one
    kernel of products and sums.
    """
    kind = dtype_name(a.dtype)
    if kind in ("float32", "float64", "bool"):
        return _rusttorch.matmul(a, b)
    fits = a.ndim and b.ndim and a.shape[-1] == b.shape[max(b.ndim - 2, 0)]
    if a.is_floating_point() or not fits:
        return _rusttorch.matmul(a.to("float32"), b.to("float32")).to(kind)
    if b.ndim == 1:
        return op("sum")(op("mul")(a, b), -1).to(kind)
    rows = a.unsqueeze(0) if a.ndim == 1 else a
    result = op("sum")(op("mul")(rows.unsqueeze(-1), b.unsqueeze(-3)), -2).to(kind)
    return result.squeeze(-2) if a.ndim == 1 else result


def _same_dtype(a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {c_name(a)} != {c_name(b)}")


@public()
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices; ``torch.mm``."""
    for said, x in (("self", input), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"mm: {said} must be a matrix, got {x.ndim}-D tensor")
    (n, k), (rows, m) = input.shape, mat2.shape
    if k != rows:
        raise RuntimeError(f"mm: mat1 and mat2 shapes cannot be multiplied ({n}x{k} and {rows}x{m})")
    _same_dtype(input, mat2)
    return product(input, mat2)


@public()
def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices; ``torch.bmm``."""
    for said, x in (("batch1", input), ("batch2", mat2)):
        if x.ndim != 3:
            raise RuntimeError(f"{said} must be a 3D tensor")
    want, own = [input.shape[0], input.shape[2]], list(mat2.shape[:2])
    if want != own:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: {want} but got: {own}.")
    _same_dtype(input, mat2)
    return product(input, mat2)


@public()
def mv(input: Any, vec: Any) -> Any:
    """The product of a matrix and a vector; ``torch.mv``."""
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    if input.shape[1] != vec.shape[0]:
        (n, k), m = input.shape, vec.shape[0]
        raise RuntimeError(f"size mismatch, got input ({n}), mat ({n}x{k}), vec ({m})")
    _same_dtype(input, vec)
    return product(input, vec)


def expanded(input: Any, shape: list[int]) -> Any:
    """To the shape of a product, which it is added to."""
    own = list(input.shape)
    if len(own) > len(shape):
        raise RuntimeError(
            f"expand(torch.{title(input)}Tensor{{{own}}}, size={shape}): the number of sizes provided "
            f"({len(shape)}) must be "
            f"greater or equal to the number of dimensions in the tensor ({len(own)})"
        )
    for d in range(len(own)):
        at = d + len(shape) - len(own)
        if own[d] not in (1, shape[at]):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[at]}) must match the existing size ({own[d]}) at "
                f"non-singleton "
                f"dimension {at}.  Target sizes: {shape}.  Tensor sizes: {own}"
            )
    return input.expand(shape)


def _blended(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """``beta * input + alpha * product``; what is multiplied by 0 is not looked at, so that NaNs of it go."""
    if not product.is_floating_point():
        beta, alpha = int(beta), int(alpha)
    scaled = product if alpha == 1 else product * alpha
    if beta == 0:
        return scaled
    return ((input if beta == 1 else input * beta) + scaled).to(product.dtype)


@public(in_place=True)
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta * input + alpha * (mat1 @ mat2)``, of matrices, ``input`` broadcast; ``torch.addmm``.

    Raises:
        RuntimeError: the shapes do not fit, or the dtypes differ.

    >>> import numpy as np, rusttorch as rt
    >>> rt.addmm(np.ones(2), np.eye(2), np.eye(2), alpha=3)
    array([[4., 1.],
           [1., 4.]])
    """
    for said, x in (("self", mat1), ("mat2", mat2)):
        if x.ndim != 2:
            raise RuntimeError(f"addmm: {said} must be a matrix, got {x.ndim}-D tensor")
    (n, k), (rows, m) = mat1.shape, mat2.shape
    if k != rows:
        raise RuntimeError(f"addmm: mat1 and mat2 shapes cannot be multiplied ({n}x{k} and {rows}x{m})")
    if mat1.dtype != mat2.dtype:
        raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {title(mat1)} and {title(mat2)}")
    added = expanded(input, [n, m])
    if input.dtype != mat2.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {title(input)} and {title(mat2)}")
    return _blended(added, product(mat1, mat2), beta, alpha)


@public(in_place=True)
def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta * input + alpha * (mat @ vec)``, of a matrix and a vector; ``torch.addmv``."""
    if mat.ndim != 2 or vec.ndim != 1 or input.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input.ndim}, {mat.ndim}, {vec.ndim}")
    n, k = mat.shape
    if k != vec.shape[0] or input.numel() not in (1, n):
        raise RuntimeError(f"size mismatch, got input ({input.numel()}), mat ({n}x{k}), vec ({vec.shape[0]})")
    if not input.dtype == mat.dtype == vec.dtype:
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {title(input)}, {title(mat)}, and {title(vec)}"
        )
    return _blended(expanded(input, [n]), product(mat, vec), beta, alpha)


@public(in_place=True)
def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta * input + alpha * outer(vec1, vec2)``, of vectors, ``input`` broadcast; ``torch.addr``."""
    for said, x in (("vec1", vec1), ("vec2", vec2)):
        if x.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {said}, but got {x.ndim}-D")
    added = expanded(input, [vec1.shape[0], vec2.shape[0]])
    added, vec1, vec2 = promoted([added, vec1, vec2])
    kind = title(added)
    for said, number in (("beta", beta), ("alpha", alpha)):
        if isinstance(number, float) and not added.is_floating_point():
            raise RuntimeError(f"For integral input tensors, argument {said} must not be a floating point number.")
    outer = op("outer")(vec1, vec2)
    if kind == "Bool":
        outer = op("logical_and")(outer, bool(alpha))
        return op("logical_or")(op("logical_and")(added, bool(beta)), outer)
    return _blended(added, outer, beta, alpha)


@public(in_place=True)
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta * input + alpha * (batch1 @ batch2)``, of batches of matrices, ``input`` broadcast; ``torch.baddbmm``."""
    _check_batches(batch1, batch2)
    want, own = [batch1.shape[0], batch1.shape[2]], list(batch2.shape[:2])
    if want != own:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: {want} but got: {own}.")
    added = expanded(input, [batch1.shape[0], batch1.shape[1], batch2.shape[2]])
    if input.dtype != batch1.dtype:
        raise RuntimeError(
            f"Input dtypes must be the same, got: input {c_name(input)}, batch1: {c_name(batch1)}, "
            f"batch2: {c_name(batch2)}"
        )
    _check_scalar_type(batch1, batch2)
    return _blended(added, product(batch1, batch2), beta, alpha)


@public(in_place=True)
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """``beta * input + alpha * (batch1 @ batch2).sum(0)``, of batches of matrices, ``input`` broadcast;
    ``torch.addbmm``."""
    _check_batches(batch1, batch2)
    if batch1.shape[0] != batch2.shape[0]:
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {batch1.shape[0]} and {batch2.shape[0]}"
        )
    (count, n, k), (_, rows, m) = batch1.shape, batch2.shape
    if k != rows:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({n}x{k} and {rows}x{m})")
    added = expanded(input, [n, m])
    _check_scalar_type(batch1, batch2)
    _check_scalar_type(batch1, input)
    # One product of all batches side by side.
    wide = batch1.transpose(0, 1).reshape(n, count * k)
    return _blended(added, product(wide, batch2.reshape(count * k, m)), beta, alpha)


def _check_batches(batch1: Any, batch2: Any) -> None:
    for said, x in (("batch1", batch1), ("batch2", batch2)):
        if x.ndim != 3:
            raise RuntimeError(f"{said} must be a 3D tensor")


def _check_scalar_type(a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(f"expected scalar type {title(a)} but found {title(b)}")


@public()
def inner(input: Any, other: Any) -> Any:
    """Sums of products along the last dimension of both, for all pairs of lines; a number multiplies. ``torch.inner``.

    >>> import numpy as np, rusttorch as rt
    >>> float(rt.inner(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    if input.ndim == 0 or other.ndim == 0:
        return op("mul")(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    return tensordot(input, other, ([-1], [-1]))


@public()
def vdot(input: Any, other: Any) -> Any:
    """The sum of the products of two vectors; ``torch.vdot`` of real numbers."""
    if input.ndim != 1 or other.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {other.ndim}D tensors")
    if input.dtype != other.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {title(input)} and {title(other)}"
        )
    n, m = input.shape[0], other.shape[0]
    if n != m:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same number of "
            f"elements, but got "
            f"{n} and {m} elements respectively"
        )
    return product(input, other)


@public(method=False)
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Sums of products over dimensions of both: the last ``dims`` of ``a`` and the first of ``b``, or the listed ones;
    ``torch.tensordot``.

    Raises:
        RuntimeError: the extents, or the dtypes, differ.

    >>> import numpy as np, rusttorch as rt
    >>> rt.tensordot(np.ones((2, 3)), np.ones((3, 4)), dims=1).shape
    (2, 4)
    """
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        first, second = list(range(-dims, 0)), list(range(dims))
    else:
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    if a.dtype != b.dtype:
        raise RuntimeError("both inputs should have same dtype")
    for d, e in zip(first, second, strict=True):
        n, m = a.shape[d], b.shape[e]
        # An extent of 1 is broadcast: the other one's elements are summed first.
        if n == 1:
            b = op("sum")(b, e, True).to(dtype_name(b.dtype))
        elif m == 1:
            a = op("sum")(a, d, True).to(dtype_name(a.dtype))
        elif n != m:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {d} and second has size "
                f"{m} in dim {e}"
            )
    first, second = [d % a.ndim for d in first], [d % b.ndim for d in second]
    if len(set(first)) != len(first) or len(set(second)) != len(second):
        raise RuntimeError("dim appears multiple times in the list of dims")
    rows, columns = ([d for d in range(x.ndim) if d not in gone] for x, gone in ((a, first), (b, second)))
    shape = [a.shape[d] for d in rows] + [b.shape[d] for d in columns]
    depth = 1
    for d in first:
        depth *= a.shape[d]
    count = 1
    for d in rows:
        count *= a.shape[d]
    width = 1
    for d in columns:
        width *= b.shape[d]
    left = a.permute(rows + first).reshape(count, depth)
    right = b.permute(second + columns).reshape(depth, width)
    return product(left, right).reshape(shape)


@public()
def kron(input: Any, other: Any) -> Any:
    """The tensor of blocks ``x * other``, one for each element of ``input``; ``torch.kron``."""
    rank = max(input.ndim, other.ndim)
    one, two = ([1] * (rank - x.ndim) + list(x.shape) for x in (input, other))
    left = input.reshape([e for n in one for e in (n, 1)])
    right = other.reshape([e for n in two for e in (1, n)])
    return op("mul")(left, right).reshape([n * m for n, m in zip(one, two, strict=True)])


@public()
def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """The cross products of the vectors of three elements along ``dim``, by default the first dimension of that extent;
    both are broadcast. ``torch.cross``.
    """
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if dim is None:
        if 3 not in input.shape:
            raise RuntimeError("no dimension of size 3 in input")
        dim = list(input.shape).index(3)
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        n, m = input.shape[dim], other.shape[dim]
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {n} and {m}")
    _check_scalar_type(input, other)
    mul, sub = op("mul"), op("sub")
    (a, b, c), (x, y, z) = ([v.select(dim, i) for i in range(3)] for v in (input, other))
    parts = [sub(mul(b, z), mul(c, y)), sub(mul(c, x), mul(a, z)), sub(mul(a, y), mul(b, x))]
    from rusttorch._join import stack

    return stack(parts, dim)


@public(method=False)
def chain_matmul(*matrices: Any) -> Any:
    """The product of matrices, from the left; ``torch.chain_matmul``."""
    result = matrices[0]
    for m in matrices[1:]:
        result = mm(result, m)
    return result


@public()
def matrix_power(input: Any, n: int) -> Any:
    """The product of ``n`` times the square matrices, or their inverses, which NumPy computes, where ``n`` is negative;
    ``torch.matrix_power``.

    Raises:
        RuntimeError: the matrices are not square, or to be inverted and singular.
        NotImplementedError: matrices of other dtypes than float32 and float64 are to be inverted.
    """
    if input.ndim < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    rows, columns = input.shape[-2:]
    if rows != columns:
        raise RuntimeError(
            f"linalg.matrix_power: A must be batches of square matrices, but they are {rows} by {columns} matrices"
        )
    if n < 0:
        import numpy

        try:
            inverse = numpy.linalg.inv(_dense_linalg("linalg.inv", input))
        except numpy.linalg.LinAlgError as singular:
            raise RuntimeError(
                "linalg.inv: The inversion could not be completed because the input matrix is singular."
            ) from singular
        input, n = _rusttorch.tensor(inverse), -n
    result, square = None, input
    while n:
        if n % 2:
            result = square if result is None else product(result, square)
        n //= 2
        square = product(square, square) if n else square
    if result is None:
        return _rusttorch.eye(rows, dtype=input.dtype).expand(input.shape).clone()
    return result.clone() if result is input else result


@public(method=False)
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """The ``p``-norms of the differences of all rows of ``x1`` and all of ``x2``, matrices or batches of them;
    ``torch.cdist``. Never computed by a product of matrices.
    """
    for said, x in (("X1", x1), ("X2", x2)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {said} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    for said, x in (("X1", x1), ("X2", x2)):
        if not x.is_floating_point():
            raise RuntimeError(f"cdist only supports floating-point dtypes, {said} got: {title(x)}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    _check_scalar_type(x1, x2)
    return op("vector_norm")(op("sub")(x1.unsqueeze(-2), x2.unsqueeze(-3)), p, -1)
