//! Choices by comparison: limits, masks, replaced values, closeness.
use super::NO_GRAD_OF_BOOL;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

// Both branches of a condition are lowered; the error keeps a tensor from `at_least`, whose gradient would count.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "clamp_min",
        params: "x, min",
        doc: "The larger one of x and min; NaN if any is. A number that the integer dtype of x does not hold counts as the next one that it holds.",
        rule: Inherit,
        body: &[(Any, "at_least(x, within(min, x) if is_number(min) else type_error('a number')) if is_number(min) else maximum(x, min)")],
        reference: Some(Binary(|a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.clamp_min",
        ..Row::DEFAULT
    },
    Row {
        name: "clamp_max",
        params: "x, max",
        doc: "The smaller one of x and max; NaN if any is. A number that the integer dtype of x does not hold counts as the next one that it holds.",
        rule: Inherit,
        body: &[(Any, "at_most(x, within(max, x) if is_number(max) else type_error('a number')) if is_number(max) else minimum(x, max)")],
        reference: Some(Binary(|a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.clamp_max",
        ..Row::DEFAULT
    },
    Row {
        name: "at_least",
        params: "x, low",
        doc: "max(x, low) of a number low: where they are equal there is no gradient, as in PyTorch.",
        body: &[(Any, "maximum(x, low)")],
        grad: &[("x", "where(x > low, grad, 0.0)")],
        unreferenced: "a part of clamp_min",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "at_most",
        params: "x, high",
        doc: "min(x, high) of a number high: where they are equal there is no gradient, as in PyTorch.",
        body: &[(Any, "minimum(x, high)")],
        grad: &[("x", "where(x < high, grad, 0.0)")],
        unreferenced: "a part of clamp_max",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "nan_to_num",
        params: "x, nan=0.0, posinf=None, neginf=None",
        statics: &["nan", "posinf", "neginf"],
        doc: "x with NaN and the infinities replaced: by nan, posinf and neginf, the last two being the dtype's extremes when None.",
        body: &[
            (
                F32,
                "finite(x, nan, 0x1.fffffep127 if posinf is None else posinf, -0x1.fffffep127 if neginf is None else neginf)",
            ),
            (
                F64,
                "finite(x, nan, 0x1.fffffffffffffp1023 if posinf is None else posinf, -0x1.fffffffffffffp1023 if neginf is None else neginf)",
            ),
            (Int, "x"),
            (Bool, "x"),
        ],
        reference: Some(Unary(|x| if x.is_nan() { 0.0 } else { x })),
        unreferenced: "",
        torch: "torch.nan_to_num",
        np: "numpy.nan_to_num",
        ..Row::DEFAULT
    },
    Row {
        name: "finite",
        params: "x, nan, posinf, neginf",
        statics: &["nan", "posinf", "neginf"],
        doc: "nan_to_num of floats; a nan of None is 0.",
        body: &[(
            Any,
            "zero = 0.0 if nan is None else nan
             where(isnan(x), zero, where(x == inf, posinf, where(x == -inf, neginf, x)))",
        )],
        grad: &[("x", "where(abs(x) < inf, grad, 0.0)")],
        unreferenced: "a part of nan_to_num",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "masked_fill",
        params: "x, mask, value",
        doc: "value where mask, else x; of x's dtype.",
        rule: Inherit,
        body: &[(
            Any,
            "y = choose(mask, to_like(value, x), x)
             runtime_error('masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).', rank(value)) if rank(value) != 0 else y",
        )],
        unreferenced: "its mask is of another dtype",
        torch: "torch.masked_fill",
        ..Row::DEFAULT
    },
    Row {
        name: "heaviside",
        params: "x, values",
        doc: "0 below 0, 1 above it, and values at it.",
        rule: Inherit,
        body: &[(
            Any,
            "y = where(x == 0, values, to_like(x > 0, x))
             bad = runtime_error('heaviside is not yet implemented for tensors with different dtypes.')
             bad if dtype_name(x) != dtype_name(values) and not (is_number(values) and is_float(x)) else y",
        )],
        reference: Some(Binary(|x, v| if x == 0.0 { v } else { f64::from(u8::from(x > 0.0)) })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.heaviside",
        np: "numpy.heaviside",
        ..Row::DEFAULT
    },
    Row {
        name: "isposinf",
        doc: "x is the positive infinity.",
        body: &[(Float, "x == inf"), (Any, "x != x")],
        no_grad: NO_GRAD_OF_BOOL,
        reference: Some(Unary(|x| f64::from(u8::from(x == f64::INFINITY)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.isposinf",
        np: "numpy.isposinf",
        ..Row::DEFAULT
    },
    Row {
        name: "isneginf",
        doc: "x is the negative infinity.",
        body: &[(Float, "x == -inf"), (Any, "x != x")],
        no_grad: NO_GRAD_OF_BOOL,
        reference: Some(Unary(|x| f64::from(u8::from(x == f64::NEG_INFINITY)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.isneginf",
        np: "numpy.isneginf",
        ..Row::DEFAULT
    },
    Row {
        name: "isclose",
        params: "a, b, rtol=1e-5, atol=1e-8, equal_nan=False",
        statics: &["rtol", "atol", "equal_nan"],
        doc: "|a - b| <= atol + |rtol * b|, or equal; with equal_nan also where both are NaN.",
        rule: Inherit,
        body: &[(
            Any,
            "near = close_floats(a, b, rtol, atol)
             y = near | (isnan(a) & isnan(b)) if equal_nan else near
             y = runtime_error('atol must be greater than or equal to zero, but got {}', atol) if atol < 0 else y
             y = runtime_error('rtol must be greater than or equal to zero, but got {}', rtol) if rtol < 0 else y
             bad = runtime_error('{} did not match {}', dtype_name(a), dtype_name(b))
             bad if dtype_name(a) != dtype_name(b) else y",
        )],
        no_grad: NO_GRAD_OF_BOOL,
        reference: Some(Binary(|a, b| {
            f64::from(u8::from(a == b || ((a - b).is_finite() && (a - b).abs() <= 1e-8 + (1e-5 * b).abs())))
        })),
        torch: "torch.isclose",
        np: "numpy.isclose",
        ..Row::DEFAULT
    },
    Row {
        name: "close_floats",
        params: "a, b, rtol, atol",
        statics: &["rtol", "atol"],
        doc: "isclose of one dtype: differences of floats, and of integers as floats.",
        body: &[
            (Bool, "a == b"),
            (Float, "d = abs(a - b); (a == b) | ((d < inf) & (d <= atol + abs(rtol * b)))"),
            (
                Int,
                // The difference, or nearly, where it is beyond an integer.
                "d = abs(to_f64(a) - to_f64(b))
                 d = where(d > 0x1p62, d, to_f64(abs(to_i64(a) - to_i64(b))))
                 (a == b) | (to_f32(d) <= atol + abs(rtol * to_f32(b)))",
            ),
        ],
        unreferenced: "a part of isclose",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "tril",
        params: "x, diagonal=0",
        statics: &["diagonal"],
        doc: "The lower triangle of the last two dimensions: 0 where column - row > diagonal.",
        body: &[(
            Any,
            "y = where(iota(x, -1) - iota(x, -2) <= diagonal, x, to_like(0, x))
             runtime_error('tril: input tensor must have at least 2 dimensions') if rank(x) < 2 else y",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.tril",
        np: "numpy.tril",
        ..Row::DEFAULT
    },
    Row {
        name: "triu",
        params: "x, diagonal=0",
        statics: &["diagonal"],
        doc: "The upper triangle of the last two dimensions: 0 where column - row < diagonal.",
        body: &[(
            Any,
            "y = where(iota(x, -1) - iota(x, -2) >= diagonal, x, to_like(0, x))
             runtime_error('triu: input tensor must have at least 2 dimensions') if rank(x) < 2 else y",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.triu",
        np: "numpy.triu",
        ..Row::DEFAULT
    },
];
