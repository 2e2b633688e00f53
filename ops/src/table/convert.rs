//! Conversions of dtype.
use rusttorch_ir::op::Class::Any;
use rusttorch_ir::op::DTypeRule::Inherit;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[Row {
    name: "to",
    params: "x, dtype",
    statics: &["dtype"],
    doc: "x as this dtype, given by name. To float16 and bfloat16 it rounds, wherever it stands; other values of these dtypes are rounded when they are results.",
    rule: Inherit,
    body: &[(Any, "cast(x, dtype)")],
    unreferenced: "takes the name of a dtype: tests compare with torch",
    torch: "torch.Tensor.to",
    ..Row::DEFAULT
}];
