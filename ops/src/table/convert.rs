//! Conversions.
use rusttorch_ir::op::Class::Any;
use rusttorch_ir::op::DTypeRule::Inherit;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[Row {
    name: "astype",
    params: "x, dtype",
    statics: &["dtype"],
    doc: "The values as another dtype, which is named by a string.",
    rule: Inherit,
    body: &[(
        Any,
        r#"bad = unsupported("astype: kernels do not compute with this dtype")
         a = to_bool(x) if dtype == 'bool' else (to_u8(x) if dtype == 'uint8' else bad)
         b = to_i32(x) if dtype == 'int32' else (to_i64(x) if dtype == 'int64' else a)
         to_f32(x) if dtype == 'float32' else (to_f64(x) if dtype == 'float64' else b)"#,
    )],
    unreferenced: "converts: tests compare with Rust's conversions",
    torch: "torch.Tensor.to",
    np: "numpy.astype",
    ..Row::DEFAULT
}];
