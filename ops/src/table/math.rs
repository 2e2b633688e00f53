//! Mathematical functions; their bodies are approximations, in `math_f32` and `math_f64`.
use super::math_f32;
use super::math_f64;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "exp",
        doc: "e to the power of x.",
        rule: ToFloat,
        body: &[(F32, math_f32::EXP), (F64, math_f64::EXP)],
        reference: Some(Unary(libm::exp)),
        ulp_f32: Some(0.891),
        torch: "torch.exp",
        np: "numpy.exp",
        ..Row::DEFAULT
    },
    Row {
        name: "log",
        doc: "Natural logarithm.",
        rule: ToFloat,
        body: &[(F32, math_f32::LOG), (F64, math_f64::LOG)],
        reference: Some(Unary(libm::log)),
        ulp_f32: Some(0.937),
        torch: "torch.log",
        np: "numpy.log",
        ..Row::DEFAULT
    },
    Row {
        name: "tanh",
        doc: "Hyperbolic tangent.",
        rule: ToFloat,
        body: &[(F32, math_f32::TANH)],
        reference: Some(Unary(libm::tanh)),
        ulp_f32: Some(0.973),
        torch: "torch.tanh",
        np: "numpy.tanh",
        ..Row::DEFAULT
    },
    Row {
        name: "sigmoid",
        doc: "1 / (1 + exp(-x)).",
        rule: ToFloat,
        body: &[(F32, math_f32::SIGMOID)],
        reference: Some(Unary(|x| 1.0 / (1.0 + libm::exp(-x)))),
        ulp_f32: Some(1.999),
        torch: "torch.sigmoid",
        ..Row::DEFAULT
    },
    Row {
        name: "erf",
        doc: "Error function.",
        rule: ToFloat,
        body: &[(F32, math_f32::ERF)],
        reference: Some(Unary(libm::erf)),
        ulp_f32: Some(0.991),
        torch: "torch.erf",
        ..Row::DEFAULT
    },
    Row {
        name: "expm1",
        doc: "exp(x) - 1.",
        rule: ToFloat,
        body: &[(F32, math_f32::EXPM1)],
        reference: Some(Unary(libm::expm1)),
        ulp_f32: Some(0.928),
        torch: "torch.expm1",
        np: "numpy.expm1",
        ..Row::DEFAULT
    },
    Row {
        name: "log1p",
        doc: "log(1 + x).",
        rule: ToFloat,
        body: &[(F32, math_f32::LOG1P)],
        reference: Some(Unary(libm::log1p)),
        ulp_f32: Some(1.268),
        torch: "torch.log1p",
        np: "numpy.log1p",
        ..Row::DEFAULT
    },
];
