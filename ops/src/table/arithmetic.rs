//! Arithmetic, rounding and selection.
use super::math_f32;
use super::math_f64;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

/// fmod of floats, exact: where |a / b| is below `limit`, half of the integers that the format holds, its rounded quotient
/// is right or one too large; what an fma leaves of `a` is a multiple of the last place of `b`, and b is added once where
/// it is negative. Other quotients are rare: library code.
macro_rules! fmod {
    ($limit:literal) => {
        concat!(
            "u = abs(a)
             v = abs(b)
             q = u / v
             r = fma(-trunc(q), v, u)
             r = where(u < v, u, where(r < 0.0, r + v, r))
             copysign(cold((q >= ",
            $limit,
            ") & (u < inf) & (v > 0.0), call_fmod(u, v), r), a)"
        )
    };
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "add",
        params: "a, b, alpha=None",
        doc: "a + alpha * b.",
        body: &[(Any, "a + b if alpha is None else a + alpha * b")],
        reference: Some(Binary(|a, b| a + b)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.add",
        np: "numpy.add",
        ..Row::DEFAULT
    },
    Row {
        name: "sub",
        params: "a, b, alpha=None",
        doc: "a - alpha * b.",
        rule: NoBool(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.",
        ),
        body: &[(Any, "a - b if alpha is None else a - alpha * b")],
        reference: Some(Binary(|a, b| a - b)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.sub",
        np: "numpy.subtract",
        ..Row::DEFAULT
    },
    Row {
        name: "mul",
        params: "a, b",
        doc: "a * b.",
        body: &[(Any, "a * b")],
        reference: Some(Binary(|a, b| a * b)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.mul",
        np: "numpy.multiply",
        ..Row::DEFAULT
    },
    Row {
        name: "true_divide",
        params: "a, b",
        doc: "a / b as floats.",
        rule: ToFloat,
        body: &[(Any, "a / b")],
        reference: Some(Binary(|a, b| a / b)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.true_divide",
        np: "numpy.true_divide",
        ..Row::DEFAULT
    },
    Row {
        name: "div",
        params: "a, b, rounding_mode=None",
        statics: &["rounding_mode"],
        doc: "a / b as floats; rounded by rounding_mode 'trunc' or 'floor', which keep integers.",
        rule: Inherit,
        body: &[(
            Any,
            r#"bad = runtime_error("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{}'", rounding_mode)
             rounded = trunc_divide(a, b) if rounding_mode == 'trunc' else (floor_divide(a, b) if rounding_mode == 'floor' else bad)
             float_divide(a, b) if rounding_mode is None else rounded"#,
        )],
        reference: Some(Binary(|a, b| a / b)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.div",
        np: "numpy.divide",
        ..Row::DEFAULT
    },
    Row {
        name: "float_divide",
        params: "a, b",
        doc: "`true_divide` for bodies, in which that name is the primitive.",
        rule: ToFloat,
        body: &[(Any, "a / b")],
        unreferenced: "that of div",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "trunc_divide",
        params: "a, b",
        doc: "a / b towards zero.",
        rule: NoBool("\"div_trunc_cpu\" not implemented for 'Bool'"),
        body: &[(Float, "trunc(a / b)"), (Int, "idiv(a, b)")],
        reference: Some(Binary(|a, b| (a / b).trunc())),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "floor_divide",
        params: "a, b",
        doc: "Largest integer not above a / b.",
        rule: NoBool("\"div_floor_cpu\" not implemented for 'Bool'"),
        body: &[
            (
                Float,
                "m = fmod(a, b)
             d = (a - m) / b
             d = where((m != 0) & ((b < 0) != (m < 0)), d - 1, d)
             f = floor(d)
             f = where(d - f > 0.5, f + 1, f)
             where(b == 0, a / b, where(d == 0, copysign(0.0, a / b), f))",
            ),
            (
                Int,
                "q = idiv(a, b)
             r = a - q * b
             where((r != 0) & ((r < 0) != (b < 0)), q - 1, q)",
            ),
        ],
        reference: Some(Binary(|a, b| (a / b).floor())),
        torch: "torch.floor_divide",
        np: "numpy.floor_divide",
        ..Row::DEFAULT
    },
    Row {
        name: "remainder",
        params: "a, b",
        doc: "a - b * floor(a / b): the sign of b.",
        rule: NoBool("\"remainder_cpu\" not implemented for 'Bool'"),
        body: &[
            (
                Float,
                "m = fmod(a, b)
             where((m != 0) & ((b < 0) != (m < 0)), m + b, m)",
            ),
            (
                Int,
                "r = irem(a, b)
             where((r != 0) & ((r < 0) != (b < 0)), r + b, r)",
            ),
        ],
        grad: &[("a", "grad"), ("b", "-(grad * floor(a / b))")],
        reference: Some(Binary(|a, b| a - b * (a / b).floor())),
        torch: "torch.remainder",
        np: "numpy.remainder",
        ..Row::DEFAULT
    },
    Row {
        name: "fmod",
        params: "a, b",
        doc: "a - b * trunc(a / b): the sign of a.",
        rule: NoBool("\"fmod_cpu\" not implemented for 'Bool'"),
        body: &[(F32, fmod!("0x1p23")), (F64, fmod!("0x1p52")), (Int, "irem(a, b)")],
        grad: &[("a", "grad"), ("b", "-(grad * trunc(a / b))")],
        reference: Some(Binary(libm::fmod)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.fmod",
        np: "numpy.fmod",
        ..Row::DEFAULT
    },
    Row {
        name: "pow",
        params: "x, exponent",
        doc: "a to the power of b.",
        body: &[
            (Float, "pow_literal(x, exponent) if is_small_power(exponent) else pow_float(x, exponent)"),
            (Int, "pow_literal(x, exponent) if is_small_power(exponent) else pow_int(x, exponent)"),
        ],
        reference: Some(Binary(libm::pow)),
        ulp_f32: Some(0.506),
        ulp_f64: Some(0.8),
        torch: "torch.pow",
        np: "numpy.power",
        exact_numbers: true,
        ..Row::DEFAULT
    },
    Row {
        name: "pow_float",
        params: "x, y",
        doc: "The general power of floats.",
        body: &[(F32, math_f32::POW), (F64, math_f64::POW)],
        grad: &[
            ("x", "where(y == 0.0, 0.0, grad * y * pow_float(x, y - 1.0))"),
            ("y", "where((x == 0.0) & (y >= 0.0), 0.0, grad * result * log(x))"),
        ],
        reference: Some(Binary(libm::pow)),
        ulp_f32: Some(0.506),
        ulp_f64: Some(0.8),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "neg",
        doc: "-x.",
        rule: NoBool(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.",
        ),
        body: &[(Any, "-x")],
        reference: Some(Unary(|x| -x)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.neg",
        np: "numpy.negative",
        ..Row::DEFAULT
    },
    Row {
        name: "positive",
        doc: "x.",
        body: &[(Any, "x")],
        reference: Some(Unary(|x| x)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.positive",
        np: "numpy.positive",
        ..Row::DEFAULT
    },
    Row {
        name: "abs",
        doc: "Magnitude.",
        rule: NoBool("\"abs_cpu\" not implemented for 'Bool'"),
        body: &[(Any, "abs(x)")],
        reference: Some(Unary(f64::abs)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.abs",
        np: "numpy.abs",
        ..Row::DEFAULT
    },
    Row {
        name: "sign",
        doc: "-1, 0 or 1; 0 for NaN.",
        body: &[
            (Float, "where(x > 0, 1.0, where(x < 0, -1.0, 0.0))"),
            (Int, "where(x > 0, 1, where(x < 0, -1, 0))"),
            (Bool, "x"),
        ],
        reference: Some(Unary(|x| if x == 0.0 || x.is_nan() { 0.0 } else { x.signum() })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.sign",
        np: "numpy.sign",
        ..Row::DEFAULT
    },
    Row {
        name: "square",
        doc: "x * x.",
        body: &[(Bool, "to_i64(x)"), (Any, "x * x")],
        reference: Some(Unary(|x| x * x)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.square",
        np: "numpy.square",
        ..Row::DEFAULT
    },
    Row {
        name: "reciprocal",
        doc: "1 / x.",
        rule: ToFloat,
        body: &[(Any, "1.0 / x")],
        reference: Some(Unary(|x| 1.0 / x)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.reciprocal",
        np: "numpy.reciprocal",
        ..Row::DEFAULT
    },
    Row {
        name: "sqrt",
        doc: "Square root.",
        rule: ToFloat,
        body: &[(Any, "sqrt(x)")],
        reference: Some(Unary(f64::sqrt)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.sqrt",
        np: "numpy.sqrt",
        ..Row::DEFAULT
    },
    Row {
        name: "rsqrt",
        doc: "1 / sqrt(x).",
        rule: ToFloat,
        body: &[(Any, "1.0 / sqrt(x)")],
        reference: Some(Unary(|x| 1.0 / x.sqrt())),
        ulp_f32: Some(1.5),
        ulp_f64: Some(1.5),
        torch: "torch.rsqrt",
        ..Row::DEFAULT
    },
    Row {
        name: "minimum",
        params: "a, b",
        doc: "The smaller one; NaN if any is.",
        body: &[(Any, "minimum(a, b)")],
        reference: Some(Binary(|a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.minimum",
        np: "numpy.minimum",
        ..Row::DEFAULT
    },
    Row {
        name: "maximum",
        params: "a, b",
        doc: "The larger one; NaN if any is.",
        body: &[(Any, "maximum(a, b)")],
        reference: Some(Binary(|a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.maximum",
        np: "numpy.maximum",
        ..Row::DEFAULT
    },
    Row {
        name: "fmin",
        params: "a, b",
        doc: "The smaller one, ignoring NaN.",
        body: &[(Float, "where(isnan(a), b, where(isnan(b), a, minimum(a, b)))"), (Any, "minimum(a, b)")],
        reference: Some(Binary(f64::min)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.fmin",
        np: "numpy.fmin",
        ..Row::DEFAULT
    },
    Row {
        name: "fmax",
        params: "a, b",
        doc: "The larger one, ignoring NaN.",
        body: &[(Float, "where(isnan(a), b, where(isnan(b), a, maximum(a, b)))"), (Any, "maximum(a, b)")],
        reference: Some(Binary(f64::max)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.fmax",
        np: "numpy.fmax",
        ..Row::DEFAULT
    },
    Row {
        name: "clamp",
        params: "x, min=None, max=None",
        doc: "x limited to [min, max]; either may be None.",
        rule: Inherit,
        body: &[(
            Any,
            r#"low = x if min is None else clamp_min(x, min)
y = low if max is None else clamp_max(low, max)
runtime_error("torch.clamp: At least one of 'min' or 'max' must not be None") if (min is None) and (max is None) else y"#,
        )],
        unreferenced: "an error without a limit",
        torch: "torch.clamp",
        ..Row::DEFAULT
    },
    Row {
        name: "clip",
        params: "x, min=None, max=None",
        doc: "x limited to [min, max]; either may be None.",
        rule: Inherit,
        body: &[(Any, "clamp(x, min, max)")],
        unreferenced: "an error without a limit",
        torch: "torch.clip",
        np: "numpy.clip",
        ..Row::DEFAULT
    },
    Row {
        name: "where",
        params: "condition, a, b",
        doc: "a where the condition is true, else b.",
        rule: Inherit,
        body: &[(Any, "choose(condition, a, b)")],
        unreferenced: "its condition is of another dtype",
        torch: "torch.where",
        np: "numpy.where",
        ..Row::DEFAULT
    },
    Row {
        name: "lerp",
        params: "a, b, weight",
        doc: "a + weight * (b - a).",
        rule: FloatOnly("lerp_kernel_scalar"),
        body: &[(Any, "where(abs(weight) < 0.5, a + weight * (b - a), b - (b - a) * (1.0 - weight))")],
        reference: Some(Ternary(|a, b, w| a + w * (b - a))),
        torch: "torch.lerp",
        ..Row::DEFAULT
    },
    Row {
        name: "addcmul",
        params: "x, a, b, value=None",
        doc: "x + value * a * b.",
        body: &[(Any, "x + a * b if value is None else x + value * a * b")],
        reference: Some(Ternary(|x, a, b| x + a * b)),
        torch: "torch.addcmul",
        ..Row::DEFAULT
    },
    Row {
        name: "addcdiv",
        params: "x, a, b, value=None",
        doc: "x + value * a / b.",
        rule: FloatElse("Integer division with addcdiv is no longer supported"),
        body: &[(Any, "x + a / b if value is None else x + value * (a / b)")],
        reference: Some(Ternary(|x, a, b| x + a / b)),
        torch: "torch.addcdiv",
        ..Row::DEFAULT
    },
    Row {
        name: "floor",
        doc: "Largest integer not above x.",
        rule: NoBool("\"floor_vml_cpu\" not implemented for 'Bool'"),
        body: &[(Float, "floor(x)"), (Int, "x")],
        reference: Some(Unary(f64::floor)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.floor",
        np: "numpy.floor",
        ..Row::DEFAULT
    },
    Row {
        name: "ceil",
        doc: "Smallest integer not below x.",
        rule: NoBool("\"ceil_vml_cpu\" not implemented for 'Bool'"),
        body: &[(Float, "ceil(x)"), (Int, "x")],
        reference: Some(Unary(f64::ceil)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.ceil",
        np: "numpy.ceil",
        ..Row::DEFAULT
    },
    Row {
        name: "trunc",
        doc: "Towards zero.",
        rule: NoBool("\"trunc_vml_cpu\" not implemented for 'Bool'"),
        body: &[(Float, "trunc(x)"), (Int, "x")],
        reference: Some(Unary(f64::trunc)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.trunc",
        np: "numpy.trunc",
        ..Row::DEFAULT
    },
    Row {
        name: "round",
        params: "x, decimals=0",
        statics: &["decimals"],
        doc: "Nearest integer, ties to even, or number of so many decimals, of tens, hundreds where negative.",
        rule: NoBool("\"round_vml_cpu\" not implemented for 'Bool'"),
        body: &[
            (
                Float,
                "s = 10.0 ** decimals
                 t = 10.0 ** -decimals
                 y = rint(x * s) / s if decimals > 0 else rint(x / t) * t
                 rint(x) if decimals == 0 else y",
            ),
            (Int, "x if decimals == 0 else unsupported('round: decimals of {} are not supported', dtype_name(x))"),
        ],
        reference: Some(Unary(f64::round_ties_even)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.round",
        np: "numpy.round",
        ..Row::DEFAULT
    },
    Row {
        name: "frac",
        doc: "x - trunc(x).",
        rule: FloatOnly("frac_cpu"),
        body: &[(Any, "x - trunc(x)")],
        reference: Some(Unary(|x| x - x.trunc())),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.frac",
        ..Row::DEFAULT
    },
];
