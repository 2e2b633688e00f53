//! The op table: one row per op, and nothing else. A row's body is a text of the expression language
//! over intrinsics (`rusttorch_ir::graph::intrinsic`) and other rows; see `rusttorch_ir::op::Row` for
//! its fields. To add an op, add a row to the file of its kind.

mod activation;
mod activation_f32;
mod arithmetic;
mod bessel;
mod choice;
mod compare;
mod convert;
mod distance;
mod index;
mod integer;
mod loss;
mod loss_class;
mod math;
mod math_f32;
mod math_f64;
mod norm;
mod reduce;
mod special;
mod special_f32;
mod view;

use rusttorch_ir::op::{Class, OpDef, OpTable, Row};

/// Why rows have no gradient whose results are bool.
const NO_GRAD_OF_BOOL: &str = "the result is bool";
/// Why rows have no gradient that take no floats.
const NO_GRAD_OF_INTEGERS: &str = "integers have no gradients";

/// A text that other rows are made of, which nobody calls by itself.
const fn part(
    name: &'static str,
    params: &'static str,
    doc: &'static str,
    body: &'static [(Class, &'static str)],
) -> Row {
    Row {
        name,
        params,
        doc,
        body,
        unreferenced: "a part of other rows",
        no_grad: "the rows that it is a part of have one",
        internal: true,
        ..Row::DEFAULT
    }
}

/// Every row under the heading of its kind.
pub fn kinds() -> [(&'static str, &'static [Row]); 17] {
    [
        ("Arithmetic", arithmetic::ROWS),
        ("Products, differences and distances", distance::ROWS),
        ("Number theory", integer::ROWS),
        ("Comparisons, logic and bits", compare::ROWS),
        ("Choices", choice::ROWS),
        ("Conversions", convert::ROWS),
        ("Mathematical functions", math::ROWS),
        ("Special functions", special::ROWS),
        ("Parts of Bessel functions", bessel::ROWS),
        ("Parts of functions of f32", special_f32::ROWS),
        ("Activations", activation::ROWS),
        ("Reductions", reduce::ROWS),
        ("Norms", norm::ROWS),
        ("Losses", loss::ROWS),
        ("Losses of classes and pairs", loss_class::ROWS),
        ("Views", view::ROWS),
        ("Reads by index", index::ROWS),
    ]
}

/// Every row.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    kinds().into_iter().flat_map(|(_, rows)| rows)
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
