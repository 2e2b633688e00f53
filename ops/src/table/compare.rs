//! Comparisons, logic and bits: results are bool but for `bitwise_*`.
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "lt",
        params: "a, b",
        doc: "a < b.",
        body: &[(Any, "a < b")],
        reference: Some(Binary(|a, b| f64::from(u8::from(a < b)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.lt",
        np: "numpy.less",
        ..Row::DEFAULT
    },
    Row {
        name: "le",
        params: "a, b",
        doc: "a <= b.",
        body: &[(Any, "a <= b")],
        reference: Some(Binary(|a, b| f64::from(u8::from(a <= b)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.le",
        np: "numpy.less_equal",
        ..Row::DEFAULT
    },
    Row {
        name: "gt",
        params: "a, b",
        doc: "a > b.",
        body: &[(Any, "a > b")],
        reference: Some(Binary(|a, b| f64::from(u8::from(a > b)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.gt",
        np: "numpy.greater",
        ..Row::DEFAULT
    },
    Row {
        name: "ge",
        params: "a, b",
        doc: "a >= b.",
        body: &[(Any, "a >= b")],
        reference: Some(Binary(|a, b| f64::from(u8::from(a >= b)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.ge",
        np: "numpy.greater_equal",
        ..Row::DEFAULT
    },
    Row {
        name: "eq",
        params: "a, b",
        doc: "a == b.",
        body: &[(Any, "a == b")],
        reference: Some(Binary(|a, b| f64::from(u8::from(a == b)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.eq",
        np: "numpy.equal",
        ..Row::DEFAULT
    },
    Row {
        name: "ne",
        params: "a, b",
        doc: "a != b.",
        body: &[(Any, "a != b")],
        reference: Some(Binary(|a, b| f64::from(u8::from(a != b)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.ne",
        np: "numpy.not_equal",
        ..Row::DEFAULT
    },
    Row {
        name: "logical_and",
        params: "a, b",
        doc: "Both are not zero.",
        rule: Logical,
        body: &[(Any, "a & b")],
        reference: Some(Binary(|a, b| f64::from(u8::from(a != 0.0 && b != 0.0)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.logical_and",
        np: "numpy.logical_and",
        ..Row::DEFAULT
    },
    Row {
        name: "logical_or",
        params: "a, b",
        doc: "One is not zero.",
        rule: Logical,
        body: &[(Any, "a | b")],
        reference: Some(Binary(|a, b| f64::from(u8::from(a != 0.0 || b != 0.0)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.logical_or",
        np: "numpy.logical_or",
        ..Row::DEFAULT
    },
    Row {
        name: "logical_xor",
        params: "a, b",
        doc: "Exactly one is not zero.",
        rule: Logical,
        body: &[(Any, "a ^ b")],
        reference: Some(Binary(|a, b| f64::from(u8::from((a != 0.0) != (b != 0.0))))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.logical_xor",
        np: "numpy.logical_xor",
        ..Row::DEFAULT
    },
    Row {
        name: "logical_not",
        doc: "x is zero.",
        rule: Logical,
        body: &[(Any, "~x")],
        reference: Some(Unary(|x| f64::from(u8::from(x == 0.0)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.logical_not",
        np: "numpy.logical_not",
        ..Row::DEFAULT
    },
    Row {
        name: "bitwise_and",
        params: "a, b",
        doc: "Bits set in both.",
        rule: Bitwise("bitwise_and_cpu"),
        body: &[(Any, "a & b")],
        unreferenced: "of integers",
        torch: "torch.bitwise_and",
        np: "numpy.bitwise_and",
        ..Row::DEFAULT
    },
    Row {
        name: "bitwise_or",
        params: "a, b",
        doc: "Bits set in one.",
        rule: Bitwise("bitwise_or_cpu"),
        body: &[(Any, "a | b")],
        unreferenced: "of integers",
        torch: "torch.bitwise_or",
        np: "numpy.bitwise_or",
        ..Row::DEFAULT
    },
    Row {
        name: "bitwise_xor",
        params: "a, b",
        doc: "Bits set in exactly one.",
        rule: Bitwise("bitwise_xor_cpu"),
        body: &[(Any, "a ^ b")],
        unreferenced: "of integers",
        torch: "torch.bitwise_xor",
        np: "numpy.bitwise_xor",
        ..Row::DEFAULT
    },
    Row {
        name: "bitwise_not",
        doc: "Complement.",
        rule: Bitwise("bitwise_not_cpu"),
        body: &[(Any, "~x")],
        unreferenced: "of integers",
        torch: "torch.bitwise_not",
        np: "numpy.bitwise_not",
        ..Row::DEFAULT
    },
    Row {
        name: "bitwise_left_shift",
        params: "a, b",
        doc: "a << b.",
        rule: Bitwise("lshift_cpu"),
        body: &[(Int, "a << b")],
        unreferenced: "of integers",
        torch: "torch.bitwise_left_shift",
        np: "numpy.left_shift",
        ..Row::DEFAULT
    },
    Row {
        name: "bitwise_right_shift",
        params: "a, b",
        doc: "a >> b, arithmetic.",
        rule: Bitwise("rshift_cpu"),
        body: &[(Int, "a >> b")],
        unreferenced: "of integers",
        torch: "torch.bitwise_right_shift",
        np: "numpy.right_shift",
        ..Row::DEFAULT
    },
    Row {
        name: "isnan",
        doc: "x is NaN.",
        body: &[(Any, "x != x")],
        reference: Some(Unary(|x| f64::from(u8::from(x.is_nan())))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.isnan",
        np: "numpy.isnan",
        ..Row::DEFAULT
    },
    Row {
        name: "isinf",
        doc: "x is an infinity.",
        body: &[(Float, "abs(x) == inf"), (Any, "x != x")],
        reference: Some(Unary(|x| f64::from(u8::from(x.is_infinite())))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.isinf",
        np: "numpy.isinf",
        ..Row::DEFAULT
    },
    Row {
        name: "isfinite",
        doc: "x is neither infinite nor NaN.",
        body: &[(Float, "abs(x) < inf"), (Any, "x == x")],
        reference: Some(Unary(|x| f64::from(u8::from(x.is_finite())))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.isfinite",
        np: "numpy.isfinite",
        ..Row::DEFAULT
    },
    Row {
        name: "signbit",
        doc: "The sign bit is set.",
        body: &[(Float, "bits(x) < 0"), (Int, "x < 0"), (Bool, "x != x")],
        reference: Some(Unary(|x| f64::from(u8::from(x.is_sign_negative())))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.signbit",
        np: "numpy.signbit",
        ..Row::DEFAULT
    },
];
