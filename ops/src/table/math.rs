//! Mathematical functions; their bodies are approximations, in `math_f32` and `math_f64`.
use super::math_f32;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "exp",
        doc: "e to the power of x.",
        rule: ToFloat,
        body: &[(F32, math_f32::EXP)],
        reference: Some(Unary(libm::exp)),
        ulp_f32: Some(0.891),
        torch: "torch.exp",
        np: "numpy.exp",
        ..Row::DEFAULT
    },
];
