//! Views: the same elements under another index.
use rusttorch_ir::op::Class::{Any, Float};
use rusttorch_ir::op::{DTypeRule, Row};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "permute",
        params: "x, dims",
        statics: &["dims"],
        doc: "Dimension d of the result is dimension dims[d] of x.",
        body: &[(Any, "permute(x, dims)")],
        unreferenced: "moves elements",
        torch: "torch.permute",
        np: "numpy.transpose",
        ..Row::DEFAULT
    },
    Row {
        name: "_written",
        params: "x, value",
        doc: "What x is after value was written to it, which is of its dtype and has to be of its shape.",
        rule: DTypeRule::Inherit,
        body: &[(
            Any,
            "bad = runtime_error(\"output with shape {} doesn't match the broadcast shape {}\", shape(x), shape(value))
             value if shape(x) == shape(value) else bad",
        )],
        unreferenced: "a part of in-place operations in traces",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "transpose",
        params: "x, dim0, dim1",
        statics: &["dim0", "dim1"],
        doc: "Two dimensions swapped.",
        body: &[(Any, "transpose(x, dim0, dim1)")],
        unreferenced: "moves elements",
        torch: "torch.transpose",
        np: "numpy.swapaxes",
        ..Row::DEFAULT
    },
    Row {
        name: "unsqueeze",
        params: "x, dim",
        statics: &["dim"],
        doc: "A dimension of extent 1 inserted.",
        body: &[(Any, "unsqueeze(x, dim)")],
        unreferenced: "moves elements",
        torch: "torch.unsqueeze",
        np: "numpy.expand_dims",
        ..Row::DEFAULT
    },
    Row {
        name: "squeeze",
        params: "x, dim=None",
        statics: &["dim"],
        doc: "Dimensions of extent 1 removed.",
        body: &[(Any, "squeeze(x, dim)")],
        unreferenced: "moves elements",
        torch: "torch.squeeze",
        np: "numpy.squeeze",
        ..Row::DEFAULT
    },
    Row {
        name: "reshape",
        params: "x, shape",
        statics: &["shape"],
        doc: "The same elements in row-major order; one extent may be -1.",
        body: &[(Any, "reshape(x, shape)")],
        unreferenced: "moves elements",
        torch: "torch.reshape",
        np: "numpy.reshape",
        ..Row::DEFAULT
    },
    Row {
        name: "flatten",
        params: "x, start_dim=0, end_dim=-1",
        statics: &["start_dim", "end_dim"],
        doc: "Dimensions start_dim to end_dim as one.",
        body: &[(Any, "flatten(x, start_dim, end_dim)")],
        unreferenced: "moves elements",
        torch: "torch.flatten",
        ..Row::DEFAULT
    },
    Row {
        name: "broadcast_to",
        params: "x, size",
        statics: &["size"],
        doc: "Repeated along dimensions of extent 1.",
        body: &[(Any, "broadcast_to(x, size)")],
        unreferenced: "moves elements",
        torch: "torch.broadcast_to",
        np: "numpy.broadcast_to",
        ..Row::DEFAULT
    },
    Row {
        name: "ravel",
        doc: "All elements in row-major order, as one dimension.",
        body: &[(Any, "reshape(x, [-1])")],
        unreferenced: "moves elements",
        torch: "torch.ravel",
        np: "numpy.ravel",
        ..Row::DEFAULT
    },
    Row {
        name: "detach",
        doc: "x itself, as a constant.",
        body: &[(Float, "float_from_bits(bits(x))"), (Any, "x")],
        grad: &[("x", "None")],
        unreferenced: "moves elements",
        torch: "torch.detach",
        ..Row::DEFAULT
    },
    Row {
        name: "t",
        doc: "A matrix transposed; x itself of fewer dimensions.",
        body: &[(
            Any,
            "bad = runtime_error('t() expects a tensor with <= 2 dimensions, but self is {}D', rank(x))
             bad if rank(x) > 2 else (transpose(x, 0, 1) if rank(x) == 2 else x)",
        )],
        unreferenced: "moves elements",
        torch: "torch.t",
        ..Row::DEFAULT
    },
    Row {
        name: "select",
        params: "x, dim, index",
        statics: &["dim", "index"],
        doc: "x at one index along dim, without dim.",
        body: &[(Any, "select(x, dim, index)")],
        unreferenced: "moves elements",
        torch: "torch.select",
        ..Row::DEFAULT
    },
    Row {
        name: "narrow",
        params: "x, dim, start, length",
        statics: &["dim", "start", "length"],
        doc: "length elements along dim, from start on.",
        body: &[(Any, "narrow(x, dim, start, length)")],
        unreferenced: "moves elements",
        torch: "torch.narrow",
        ..Row::DEFAULT
    },
    Row {
        name: "flip",
        params: "x, dims",
        statics: &["dims"],
        doc: "The order of elements along dims reversed.",
        body: &[(Any, "flip(x, dims)")],
        unreferenced: "moves elements",
        torch: "torch.flip",
        np: "numpy.flip",
        ..Row::DEFAULT
    },
    Row {
        name: "unflatten",
        params: "x, dim, sizes",
        statics: &["dim", "sizes"],
        doc: "dim as dimensions of these extents, of which one may be -1.",
        body: &[(Any, "unflatten(x, dim, sizes)")],
        unreferenced: "moves elements",
        torch: "torch.unflatten",
        ..Row::DEFAULT
    },
];
