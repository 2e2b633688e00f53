//! Reductions, and rows over them. `dim` is None (all), an integer or a list.
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "sum",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Sum over dim, of integers as i64.",
        rule: Accumulate,
        body: &[(Any, "reduce_sum(x, dim, keepdim)")],
        torch: "torch.sum",
        np: "numpy.sum",
        ..Row::DEFAULT
    },
    Row {
        name: "prod",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Product over dim, of integers as i64.",
        rule: Accumulate,
        body: &[(Any, "reduce_prod(x, dim, keepdim)")],
        torch: "torch.prod",
        np: "numpy.prod",
        ..Row::DEFAULT
    },
    Row {
        name: "mean",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Mean over dim.",
        rule: FloatElse(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {}",
        ),
        body: &[(Any, "reduce_sum(x, dim, keepdim) / count(x, dim)")],
        torch: "torch.mean",
        np: "numpy.mean",
        ..Row::DEFAULT
    },
    Row {
        name: "amax",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Largest value over dim.",
        body: &[(Any, "reduce_max(x, dim, keepdim)")],
        torch: "torch.amax",
        np: "numpy.amax",
        ..Row::DEFAULT
    },
    Row {
        name: "amin",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Smallest value over dim.",
        body: &[(Any, "reduce_min(x, dim, keepdim)")],
        torch: "torch.amin",
        np: "numpy.amin",
        ..Row::DEFAULT
    },
    Row {
        name: "max",
        doc: "Largest value.",
        body: &[(Any, "reduce_max(x, None, False)")],
        torch: "torch.max",
        np: "numpy.max",
        ..Row::DEFAULT
    },
    Row {
        name: "min",
        doc: "Smallest value.",
        body: &[(Any, "reduce_min(x, None, False)")],
        torch: "torch.min",
        np: "numpy.min",
        ..Row::DEFAULT
    },
    Row {
        name: "argmax",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Index of the largest value over dim, of all elements in row-major order without one.",
        rule: NoBool("argmax(): does not support bool input"),
        body: &[(Any, "reduce_argmax(x, dim, keepdim)")],
        torch: "torch.argmax",
        np: "numpy.argmax",
        ..Row::DEFAULT
    },
    Row {
        name: "argmin",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Index of the smallest value over dim, of all elements in row-major order without one.",
        rule: NoBool("argmin(): does not support bool input"),
        body: &[(Any, "reduce_argmin(x, dim, keepdim)")],
        torch: "torch.argmin",
        np: "numpy.argmin",
        ..Row::DEFAULT
    },
    Row {
        name: "any",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Some value is not zero; u8 gives u8.",
        body: &[(U8, "to_u8(reduce_any(to_bool(x), dim, keepdim))"), (Any, "reduce_any(to_bool(x), dim, keepdim)")],
        torch: "torch.any",
        np: "numpy.any",
        ..Row::DEFAULT
    },
    Row {
        name: "all",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "No value is zero; u8 gives u8.",
        body: &[(U8, "to_u8(reduce_all(to_bool(x), dim, keepdim))"), (Any, "reduce_all(to_bool(x), dim, keepdim)")],
        torch: "torch.all",
        np: "numpy.all",
        ..Row::DEFAULT
    },
    Row {
        name: "var",
        params: "x, dim=None, correction=1, keepdim=False, unbiased=None",
        statics: &["dim", "correction", "keepdim", "unbiased"],
        doc: "Variance over dim, divided by n - correction; two passes.",
        rule: FloatElse("std and var only support floating point and complex dtypes"),
        body: &[(
            Any,
            "c = correction if unbiased is None else (1 if unbiased else 0)
             n = count(x, dim)
             d = x - reduce_sum(x, dim, True) / n
             reduce_sum(d * d, dim, keepdim) / maximum(n - c, 0)",
        )],
        torch: "torch.var",
        np: "numpy.var",
        ..Row::DEFAULT
    },
    Row {
        name: "std",
        params: "x, dim=None, correction=1, keepdim=False, unbiased=None",
        statics: &["dim", "correction", "keepdim", "unbiased"],
        doc: "Square root of the variance.",
        rule: FloatElse("std and var only support floating point and complex dtypes"),
        body: &[(Any, "sqrt(var(x, dim, correction, keepdim, unbiased))")],
        torch: "torch.std",
        np: "numpy.std",
        ..Row::DEFAULT
    },
    Row {
        name: "logsumexp",
        params: "x, dim, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "log(sum(exp(x))) over dim, without overflow.",
        rule: ToFloat,
        body: &[(
            Any,
            "m = reduce_max(x, dim, True)
             m = where(abs(m) == inf, 0.0, m)
             k = reduce_max(x, dim, keepdim)
             k = where(abs(k) == inf, 0.0, k)
             log(reduce_sum(exp(x - m), dim, keepdim)) + k",
        )],
        torch: "torch.logsumexp",
        ..Row::DEFAULT
    },
    Row {
        name: "softmax",
        params: "x, dim",
        statics: &["dim"],
        doc: "exp(x) / sum(exp(x)) over dim.",
        rule: FloatOnly("softmax_lastdim_kernel_impl"),
        body: &[(
            Any,
            "e = exp(x - reduce_max(x, dim, True))
             e / reduce_sum(e, dim, True)",
        )],
        torch: "torch.softmax",
        ..Row::DEFAULT
    },
    Row {
        name: "log_softmax",
        params: "x, dim",
        statics: &["dim"],
        doc: "log(softmax(x)).",
        rule: FloatOnly("log_softmax_lastdim_kernel_impl"),
        body: &[(
            Any,
            "y = x - reduce_max(x, dim, True)
             y - log(reduce_sum(exp(y), dim, True))",
        )],
        torch: "torch.log_softmax",
        ..Row::DEFAULT
    },
];
