//! The op table: one row per op, and nothing else. A row's body is a text of the expression language
//! over intrinsics (`rusttorch_ir::graph::intrinsic`) and other rows; see `rusttorch_ir::op::Row` for
//! its fields. To add an op, add a row to the file of its kind.

mod activation;
mod arithmetic;
mod compare;
mod convert;
mod index;
mod loss;
mod math;
mod math_f32;
mod math_f64;
mod norm;
mod reduce;
mod view;

use rusttorch_ir::op::{OpDef, OpTable, Row};

/// Every row, by kind.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let kinds = [
        arithmetic::ROWS,
        compare::ROWS,
        convert::ROWS,
        math::ROWS,
        activation::ROWS,
        reduce::ROWS,
        norm::ROWS,
        loss::ROWS,
        view::ROWS,
        index::ROWS,
    ];
    kinds.into_iter().flatten()
}

/// A table of all built-in ops.
pub fn builtin() -> OpTable {
    let mut table = OpTable::new();
    for row in rows() {
        let replaced = table.insert(OpDef::from(row));
        debug_assert!(replaced.is_none(), "two rows are named {}", row.name);
    }
    table
}
