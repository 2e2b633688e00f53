//! Mathematical functions; their bodies are approximations, in `math_f32` and `math_f64`, or calls of
//! library code for the rare ones.
use super::activation_f32;
use super::math_f32;
use super::math_f64;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

/// 1 / (1 + exp(-x)), without overflow.
pub(super) fn logistic(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "exp",
        doc: "e to the power of x.",
        rule: ToFloat,
        body: &[(F32, math_f32::EXP), (F64, math_f64::EXP)],
        grad: &[("x", "grad * result")],
        reference: Some(Unary(libm::exp)),
        ulp_f32: Some(0.567),
        ulp_f64: Some(0.859),
        torch: "torch.exp",
        np: "numpy.exp",
        ..Row::DEFAULT
    },
    Row {
        name: "exp_short",
        doc: "exp in fewer instructions, for rows that sum many.",
        body: &[(F32, math_f32::EXP_SHORT), (F64, math_f64::EXP)],
        grad: &[("x", "grad * result")],
        reference: Some(Unary(libm::exp)),
        ulp_f32: Some(0.996),
        ulp_f64: Some(0.859),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "exp2",
        doc: "2 to the power of x.",
        rule: ToFloat,
        body: &[(F32, math_f32::EXP2), (F64, math_f64::EXP2)],
        grad: &[("x", "grad * result * 0.6931471805599453")],
        reference: Some(Unary(libm::exp2)),
        ulp_f32: Some(0.878),
        ulp_f64: Some(0.812),
        torch: "torch.exp2",
        np: "numpy.exp2",
        ..Row::DEFAULT
    },
    Row {
        name: "expm1",
        doc: "exp(x) - 1.",
        rule: ToFloat,
        body: &[(F32, math_f32::EXPM1), (F64, math_f64::EXPM1)],
        grad: &[("x", "grad * (result + 1.0)")],
        reference: Some(Unary(libm::expm1)),
        ulp_f32: Some(0.928),
        ulp_f64: Some(0.917),
        torch: "torch.expm1",
        np: "numpy.expm1",
        ..Row::DEFAULT
    },
    Row {
        name: "log",
        doc: "Natural logarithm.",
        rule: ToFloat,
        body: &[(F32, math_f32::LOG), (F64, math_f64::LOG)],
        grad: &[("x", "grad / x")],
        reference: Some(Unary(libm::log)),
        ulp_f32: Some(0.874),
        ulp_f64: Some(0.841),
        torch: "torch.log",
        np: "numpy.log",
        ..Row::DEFAULT
    },
    Row {
        name: "log2",
        doc: "Logarithm to base 2.",
        rule: ToFloat,
        body: &[(F32, math_f32::LOG2), (F64, math_f64::LOG2)],
        grad: &[("x", "grad / (x * 0.6931471805599453)")],
        reference: Some(Unary(libm::log2)),
        ulp_f32: Some(0.637),
        ulp_f64: Some(0.656),
        torch: "torch.log2",
        np: "numpy.log2",
        ..Row::DEFAULT
    },
    Row {
        name: "log10",
        doc: "Logarithm to base 10.",
        rule: ToFloat,
        body: &[(F32, math_f32::LOG10), (F64, math_f64::LOG10)],
        grad: &[("x", "grad / (x * 2.302585092994046)")],
        reference: Some(Unary(libm::log10)),
        ulp_f32: Some(0.657),
        ulp_f64: Some(0.632),
        torch: "torch.log10",
        np: "numpy.log10",
        ..Row::DEFAULT
    },
    Row {
        name: "log1p",
        doc: "log(1 + x).",
        rule: ToFloat,
        body: &[(F32, math_f32::LOG1P), (F64, math_f64::LOG1P)],
        grad: &[("x", "grad / (x + 1.0)")],
        reference: Some(Unary(libm::log1p)),
        ulp_f32: Some(0.94),
        ulp_f64: Some(0.829),
        torch: "torch.log1p",
        np: "numpy.log1p",
        ..Row::DEFAULT
    },
    Row {
        name: "sin",
        doc: "Sine.",
        rule: ToFloat,
        body: &[(F32, math_f32::SIN), (F64, math_f64::SIN)],
        grad: &[("x", "grad * cos(x)")],
        reference: Some(Unary(libm::sin)),
        ulp_f32: Some(0.6),
        ulp_f64: Some(0.909),
        torch: "torch.sin",
        np: "numpy.sin",
        ..Row::DEFAULT
    },
    Row {
        name: "cos",
        doc: "Cosine.",
        rule: ToFloat,
        body: &[(F32, math_f32::COS), (F64, math_f64::COS)],
        grad: &[("x", "-(grad * sin(x))")],
        reference: Some(Unary(libm::cos)),
        ulp_f32: Some(0.6),
        ulp_f64: Some(0.848),
        torch: "torch.cos",
        np: "numpy.cos",
        ..Row::DEFAULT
    },
    Row {
        name: "tan",
        doc: "Tangent.",
        rule: ToFloat,
        body: &[(F32, math_f32::TAN), (F64, math_f64::TAN)],
        grad: &[("x", "grad * (1.0 + result * result)")],
        reference: Some(Unary(libm::tan)),
        ulp_f32: Some(0.52),
        ulp_f64: Some(1.227),
        torch: "torch.tan",
        np: "numpy.tan",
        ..Row::DEFAULT
    },
    Row {
        name: "asin",
        doc: "Inverse sine.",
        rule: ToFloat,
        body: &[(F32, math_f32::ASIN), (F64, math_f64::ASIN)],
        grad: &[("x", "grad / sqrt(1.0 - x * x)")],
        reference: Some(Unary(libm::asin)),
        ulp_f32: Some(0.672),
        ulp_f64: Some(1.216),
        torch: "torch.asin",
        np: "numpy.arcsin",
        ..Row::DEFAULT
    },
    Row {
        name: "acos",
        doc: "Inverse cosine.",
        rule: ToFloat,
        body: &[(F32, math_f32::ACOS), (F64, math_f64::ACOS)],
        grad: &[("x", "-(grad / sqrt(1.0 - x * x))")],
        reference: Some(Unary(libm::acos)),
        ulp_f32: Some(0.605),
        ulp_f64: Some(1.088),
        torch: "torch.acos",
        np: "numpy.arccos",
        ..Row::DEFAULT
    },
    Row {
        name: "atan",
        doc: "Inverse tangent.",
        rule: ToFloat,
        body: &[(F32, math_f32::ATAN), (F64, math_f64::ATAN)],
        grad: &[("x", "grad / (1.0 + x * x)")],
        reference: Some(Unary(libm::atan)),
        ulp_f32: Some(0.772),
        ulp_f64: Some(1.311),
        torch: "torch.atan",
        np: "numpy.arctan",
        ..Row::DEFAULT
    },
    Row {
        name: "sinh",
        doc: "Hyperbolic sine.",
        rule: ToFloat,
        body: &[(F32, math_f32::SINH), (F64, math_f64::SINH)],
        grad: &[("x", "grad * cosh(x)")],
        reference: Some(Unary(libm::sinh)),
        ulp_f32: Some(0.97),
        ulp_f64: Some(1.267),
        torch: "torch.sinh",
        np: "numpy.sinh",
        ..Row::DEFAULT
    },
    Row {
        name: "cosh",
        doc: "Hyperbolic cosine.",
        rule: ToFloat,
        body: &[(F32, math_f32::COSH), (F64, math_f64::COSH)],
        grad: &[("x", "grad * sinh(x)")],
        reference: Some(Unary(libm::cosh)),
        ulp_f32: Some(1.26),
        ulp_f64: Some(1.21),
        torch: "torch.cosh",
        np: "numpy.cosh",
        ..Row::DEFAULT
    },
    Row {
        name: "tanh",
        doc: "Hyperbolic tangent.",
        rule: ToFloat,
        body: &[(F32, math_f32::TANH), (F64, math_f64::TANH)],
        grad: &[("x", "grad * (1.0 - result * result)")],
        reference: Some(Unary(libm::tanh)),
        ulp_f32: Some(0.513),
        ulp_f64: Some(1.197),
        torch: "torch.tanh",
        np: "numpy.tanh",
        ..Row::DEFAULT
    },
    Row {
        name: "asinh",
        doc: "Inverse hyperbolic sine.",
        rule: ToFloat,
        body: &[(F32, "to_f32(asinh_of_f32(to_f64(x)))"), (F64, "call_asinh(x)")],
        grad: &[("x", "grad / sqrt(x * x + 1.0)")],
        reference: Some(Unary(libm::asinh)),
        ulp_f32: Some(0.501),
        ulp_f64: Some(1.0),
        torch: "torch.asinh",
        np: "numpy.arcsinh",
        ..Row::DEFAULT
    },
    Row {
        name: "acosh",
        doc: "Inverse hyperbolic cosine.",
        rule: ToFloat,
        // libm's is finite for some negative numbers.
        body: &[(F32, "to_f32(acosh_of_f32(to_f64(x)))"), (F64, "call_acosh(where(x < 1.0, 0.0, x))")],
        grad: &[("x", "grad / (sqrt(x - 1.0) * sqrt(x + 1.0))")],
        reference: Some(Unary(|x| if x < 1.0 { f64::NAN } else { libm::acosh(x) })),
        ulp_f32: Some(0.501),
        ulp_f64: Some(1.0),
        torch: "torch.acosh",
        np: "numpy.arccosh",
        ..Row::DEFAULT
    },
    Row {
        name: "atanh",
        doc: "Inverse hyperbolic tangent.",
        rule: ToFloat,
        body: &[(F32, "to_f32(atanh_of_f32(to_f64(x)))"), (F64, "call_atanh(x)")],
        grad: &[("x", "grad / (1.0 - x * x)")],
        reference: Some(Unary(libm::atanh)),
        ulp_f32: Some(0.501),
        ulp_f64: Some(1.0),
        torch: "torch.atanh",
        np: "numpy.arctanh",
        ..Row::DEFAULT
    },
    Row {
        name: "erf",
        doc: "Error function.",
        rule: ToFloat,
        body: &[(F32, math_f32::ERF), (F64, math_f64::ERF)],
        grad: &[("x", "grad * 1.1283791670955126 * exp(-(x * x))")],
        reference: Some(Unary(libm::erf)),
        ulp_f32: Some(0.75),
        ulp_f64: Some(0.949),
        torch: "torch.erf",
        ..Row::DEFAULT
    },
    Row {
        name: "erfc",
        doc: "1 - erf(x).",
        rule: ToFloat,
        body: &[(F32, "to_f32(erfc_of_f32(to_f64(x)))"), (F64, "call_erfc(x)")],
        grad: &[("x", "-(grad * 1.1283791670955126 * exp(-(x * x)))")],
        reference: Some(Unary(libm::erfc)),
        ulp_f32: Some(0.501),
        ulp_f64: Some(1.0),
        torch: "torch.erfc",
        ..Row::DEFAULT
    },
    Row {
        name: "lgamma",
        doc: "Logarithm of the magnitude of the gamma function.",
        rule: ToFloat,
        body: &[(F32, "to_f32(lgamma_of_f32(to_f64(x)))"), (F64, "call_lgamma(x)")],
        grad: &[("x", "grad * digamma(x)")],
        reference: Some(Unary(libm::lgamma)),
        ulp_f32: Some(0.501),
        ulp_f64: Some(4.0),
        torch: "torch.lgamma",
        ..Row::DEFAULT
    },
    Row {
        name: "sigmoid",
        doc: "1 / (1 + exp(-x)).",
        rule: ToFloat,
        body: &[(F32, activation_f32::SIGMOID), (F64, math_f64::SIGMOID)],
        grad: &[("x", "grad * (1.0 - result) * result")],
        reference: Some(Unary(logistic)),
        ulp_f32: Some(1.999),
        ulp_f64: Some(1.05),
        torch: "torch.sigmoid",
        ..Row::DEFAULT
    },
    Row {
        name: "atan2",
        params: "y, x",
        doc: "Angle of the point (x, y).",
        rule: ToFloat,
        body: &[(F32, math_f32::ATAN2), (F64, math_f64::ATAN2)],
        grad: &[
            ("y", "s = x * x + y * y; grad * where(s == 0.0, 0.0, x / s)"),
            ("x", "s = x * x + y * y; -(grad * where(s == 0.0, 0.0, y / s))"),
        ],
        reference: Some(Binary(libm::atan2)),
        ulp_f32: Some(1.4305),
        ulp_f64: Some(1.06),
        torch: "torch.atan2",
        np: "numpy.arctan2",
        ..Row::DEFAULT
    },
    Row {
        name: "sin_huge",
        params: "x, quarter",
        doc: "sin(x + 2 pi quarter) of large x, as f64.",
        body: &[(F32, math_f32::SIN_HUGE)],
        unreferenced: "a part of sin, cos and tan",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "logaddexp",
        params: "a, b",
        doc: "log(exp(a) + exp(b)), without overflow.",
        rule: FloatOnly("logaddexp_cpu"),
        body: &[(Any, "where((a == b) & (abs(a) == inf), a, maximum(a, b) + log1p_exp_short(-abs(a - b)))")],
        unreferenced: "cancels where the result is near 0, as in PyTorch: tests compare with torch",
        torch: "torch.logaddexp",
        np: "numpy.logaddexp",
        ..Row::DEFAULT
    },
    Row {
        name: "xlogy",
        params: "x, y",
        doc: "x * log(y), and 0 where x is 0 and y no NaN.",
        rule: ToFloat,
        body: &[(Any, "where(isnan(y), y, where(x == 0.0, 0.0, x * log(y)))")],
        grad: &[("x", "where((x == 0.0) & (y <= 0.0), 0.0, grad * log(y))"), ("y", "grad * x / y")],
        reference: Some(Binary(|x, y| {
            if y.is_nan() {
                y
            } else if x == 0.0 {
                0.0
            } else {
                x * libm::log(y)
            }
        })),
        torch: "torch.special.xlogy",
        ..Row::DEFAULT
    },
    Row {
        name: "deg2rad",
        doc: "x * pi / 180.",
        rule: ToFloat,
        body: &[(Any, "x * 0.017453292519943295")],
        reference: Some(Unary(f64::to_radians)),
        torch: "torch.deg2rad",
        np: "numpy.deg2rad",
        ..Row::DEFAULT
    },
    Row {
        name: "rad2deg",
        doc: "x * 180 / pi.",
        rule: ToFloat,
        body: &[(Any, "x * 57.29577951308232")],
        reference: Some(Unary(f64::to_degrees)),
        torch: "torch.rad2deg",
        np: "numpy.rad2deg",
        ..Row::DEFAULT
    },
    Row {
        name: "logit",
        params: "x, eps=None",
        doc: "log(x / (1 - x)), x limited to [eps, 1 - eps] first.",
        rule: ToFloat,
        body: &[(
            Any,
            "z = x if eps is None else where(x < eps, eps, where(x > 1.0 - eps, 1.0 - eps, x))
             log(z / (1.0 - z))",
        )],
        grad: &[(
            "x",
            "inside = grad / (x * (1.0 - x))
             where((x < 0.0) | (x > 1.0), nan, inside) if eps is None else where((x < eps) | (x > 1.0 - eps), 0.0, inside)",
        )],
        unreferenced: "cancels near 1/2, as in PyTorch: tests compare with torch",
        torch: "torch.logit",
        ..Row::DEFAULT
    },
    Row {
        name: "copysign",
        params: "a, b",
        doc: "The magnitude of a with the sign of b.",
        rule: ToFloat,
        body: &[(Any, "copysign(a, b)")],
        reference: Some(Binary(f64::copysign)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.copysign",
        np: "numpy.copysign",
        ..Row::DEFAULT
    },
];
