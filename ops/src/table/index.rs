//! Reads by index.
use rusttorch_ir::op::Class::Any;
use rusttorch_ir::op::DTypeRule::Inherit;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "gather",
        params: "x, dim, index",
        statics: &["dim"],
        doc: "x read at index along dim, at the place of the index in the other dimensions.",
        rule: Inherit,
        body: &[(Any, "gather(x, dim, index)")],
        unreferenced: "reads by index: tests compare with loops",
        torch: "torch.gather",
        ..Row::DEFAULT
    },
    Row {
        name: "take_along_dim",
        params: "x, indices, dim=None",
        statics: &["dim"],
        doc: "As gather, x and indices being broadcast but in dim; of all elements when dim is None. Negative indices count from the end of dim.",
        rule: Inherit,
        body: &[(
            Any,
            "at = where(indices < 0, indices + size(x, dim), indices)
             take_along_dim(x, indices if (dim is None) or (dtype_name(indices) == 'Bool') else at, dim)",
        )],
        unreferenced: "reads by index: tests compare with loops",
        torch: "torch.take_along_dim",
        np: "numpy.take_along_axis",
        ..Row::DEFAULT
    },
    Row {
        name: "iota",
        params: "x, dim",
        statics: &["dim"],
        doc: "The index along dim in the shape of x, as i64: `iota(x, 1) == unsqueeze(target, 1)` is one-hot.",
        rule: Inherit,
        body: &[(Any, "iota(x, dim)")],
        no_grad: "the result is an index, whatever the values of x",
        unreferenced: "reads no values",
        ..Row::DEFAULT
    },
];
