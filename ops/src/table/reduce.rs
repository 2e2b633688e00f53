//! Reductions, and rows over them. `dim` is None (all), an integer or a list.
use super::NO_GRAD_OF_BOOL;
use rusttorch_ir::op::Autocast;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

fn negated(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| -v).collect()
}

/// NaN if there is one.
fn largest(x: &[f64]) -> f64 {
    x.iter().fold(f64::NEG_INFINITY, |m, &v| if v > m || v.is_nan() { v } else { m })
}

fn position_of_largest(x: &[f64]) -> f64 {
    let m = largest(x);
    x.iter().position(|&v| v == m || v.is_nan()).unwrap_or(0) as f64
}

fn variance(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0)
}

fn log_sum_exp(x: &[f64]) -> f64 {
    let m = largest(x);
    m + libm::log(x.iter().map(|v| libm::exp(v - m)).sum())
}

/// The gradient of the extreme of everything: in equal parts to all elements that are it, NaN among them, as PyTorch's (`amax`
/// and `amin` give every element NaN then, as PyTorch's do).
const EVEN_SHARES: &str = "
hit = where(isnan(result), isnan(x), x == result)
where(hit, grad / sum(where(hit, 1, 0)), 0.0)
";

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "sum",
        params: "x, dim=None, keepdim=False, dtype=None",
        statics: &["dim", "keepdim", "dtype"],
        doc: "Sum over dim, of x as dtype, or of integers as i64.",
        rule: Inherit,
        body: &[(
            Any,
            "accumulated_sum(x, dim, keepdim) if dtype is None else cast(accumulated_sum(cast(x, dtype), dim, keepdim), dtype)",
        )],
        reference: Some(Fold(|x| x.iter().sum())),
        torch: "torch.sum",
        np: "numpy.sum",
        ..Row::DEFAULT
    },
    Row {
        name: "accumulated_sum",
        params: "x, dim, keepdim",
        statics: &["dim", "keepdim"],
        doc: "Sum over dim in the dtype of x, of integers in i64.",
        rule: Accumulate,
        body: &[(Any, "reduce_sum(x, dim, keepdim)")],
        unreferenced: "sum has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "prod",
        params: "x, dim=None, keepdim=False, dtype=None",
        statics: &["dim", "keepdim", "dtype"],
        doc: "Product over dim, of x as dtype, or of integers as i64.",
        rule: Inherit,
        body: &[(
            Any,
            "accumulated_prod(x, dim, keepdim) if dtype is None else cast(accumulated_prod(cast(x, dtype), dim, keepdim), dtype)",
        )],
        reference: Some(Fold(|x| x.iter().product())),
        torch: "torch.prod",
        np: "numpy.prod",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "accumulated_prod",
        params: "x, dim, keepdim",
        statics: &["dim", "keepdim"],
        doc: "Product over dim in the dtype of x, of integers in i64.",
        rule: Accumulate,
        body: &[(Any, "reduce_prod(x, dim, keepdim)")],
        unreferenced: "prod has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "mean",
        params: "x, dim=None, keepdim=False, dtype=None",
        statics: &["dim", "keepdim", "dtype"],
        doc: "Mean over dim, of x as dtype.",
        rule: Inherit,
        body: &[(Any, "float_mean(x if dtype is None else cast(x, dtype), dim, keepdim)")],
        reference: Some(Fold(|x| x.iter().sum::<f64>() / x.len() as f64)),
        torch: "torch.mean",
        np: "numpy.mean",
        ..Row::DEFAULT
    },
    Row {
        name: "float_mean",
        params: "x, dim, keepdim",
        statics: &["dim", "keepdim"],
        doc: "Mean over dim of floats.",
        rule: FloatElse(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {}",
        ),
        body: &[(Any, "reduce_sum(x, dim, keepdim) / count(x, dim)")],
        unreferenced: "mean has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "amax",
        params: "x, dim=None, keepdim=False",
        statics: &["dim", "keepdim"],
        doc: "Largest value over dim.",
        body: &[(Any, "reduce_max(x, dim, keepdim)")],
        reference: Some(Fold(largest)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
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
        reference: Some(Fold(|x| -largest(&negated(x)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.amin",
        np: "numpy.amin",
        ..Row::DEFAULT
    },
    Row {
        name: "max",
        doc: "Largest value.",
        body: &[(Any, "reduce_max(x, None, False)")],
        grad: &[("x", EVEN_SHARES)],
        reference: Some(Fold(largest)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.max",
        np: "numpy.max",
        ..Row::DEFAULT
    },
    Row {
        name: "min",
        doc: "Smallest value.",
        body: &[(Any, "reduce_min(x, None, False)")],
        grad: &[("x", EVEN_SHARES)],
        reference: Some(Fold(|x| -largest(&negated(x)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
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
        no_grad: "the result is an index",
        reference: Some(Fold(position_of_largest)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
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
        no_grad: "the result is an index",
        reference: Some(Fold(|x| position_of_largest(&negated(x)))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
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
        no_grad: NO_GRAD_OF_BOOL,
        reference: Some(Fold(|x| f64::from(u8::from(x.iter().any(|v| *v != 0.0))))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
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
        no_grad: NO_GRAD_OF_BOOL,
        reference: Some(Fold(|x| f64::from(u8::from(x.iter().all(|v| *v != 0.0))))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.all",
        np: "numpy.all",
        ..Row::DEFAULT
    },
    Row {
        name: "var",
        params: "x, dim=None, correction=1, keepdim=False, unbiased=None",
        statics: &["dim", "correction", "keepdim", "unbiased"],
        doc: "Variance over dim, divided by n - correction; two passes. A bool as dim is unbiased, as in torch's old form.",
        rule: FloatElse("std and var only support floating point and complex dtypes"),
        body: &[(
            Any,
            "flag = dim if is_bool(dim) else unbiased
             over = None if is_bool(dim) else dim
             c = (1 if correction is None else correction) if flag is None else (1 if flag else 0)
             n = count(x, over)
             d = x - reduce_sum(x, over, True) / n
             reduce_sum(d * d, over, keepdim) / maximum(n - c, 0)",
        )],
        reference: Some(Fold(variance)),
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
        body: &[(Any, "deviation(var(x, dim, correction, keepdim, unbiased))")],
        reference: Some(Fold(|x| variance(x).sqrt())),
        torch: "torch.std",
        np: "numpy.std",
        ..Row::DEFAULT
    },
    Row {
        name: "deviation",
        params: "v",
        doc: "Square root of a variance: where that is 0 there is no slope, and PyTorch's gradient is 0.",
        rule: ToFloat,
        body: &[(Any, "sqrt(v)")],
        grad: &[("v", "where(result == 0.0, 0.0, grad / (2.0 * result))")],
        reference: Some(Unary(f64::sqrt)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        internal: true,
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
            "m = reduce_upper(x, dim, True)
             m = where(abs(m) == inf, 0.0, m)
             k = reduce_upper(x, dim, keepdim)
             k = where(abs(k) == inf, 0.0, k)
             log(reduce_sum(exp_short(x - m), dim, keepdim)) + k",
        )],
        grad: &[("x", "unreduce(grad, x, dim, keepdim) * exp(x - logsumexp(x, dim, True))")],
        reference: Some(Fold(|x| if largest(x).is_infinite() { largest(x) } else { log_sum_exp(x) })),
        torch: "torch.logsumexp",
        ..Row::DEFAULT
    },
    Row {
        name: "softmax",
        params: "x, dim, dtype=None",
        statics: &["dim", "dtype"],
        doc: "exp(x) / sum(exp(x)) over dim, of x as dtype.",
        rule: Inherit,
        body: &[(Any, "float_softmax(x if dtype is None else cast(x, dtype), dim)")],
        reference: Some(Along(|x| x.iter().map(|v| libm::exp(v - log_sum_exp(x))).collect())),
        torch: "torch.softmax",
        ..Row::DEFAULT
    },
    Row {
        name: "float_softmax",
        params: "x, dim",
        statics: &["dim"],
        doc: "softmax of floats.",
        rule: FloatOnly("softmax_lastdim_kernel_impl"),
        body: &[(
            Any,
            "e = exp_short(x - reduce_upper(x, dim, True))
             e * (1.0 / reduce_sum(e, dim, True))",
        )],
        grad: &[("x", "(grad - reduce_sum(grad * result, dim, True)) * result")],
        unreferenced: "softmax has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "log_softmax",
        params: "x, dim, dtype=None",
        statics: &["dim", "dtype"],
        doc: "log(softmax(x)), of x as dtype.",
        rule: Inherit,
        body: &[(Any, "float_log_softmax(x if dtype is None else cast(x, dtype), dim)")],
        reference: Some(Along(|x| x.iter().map(|v| v - log_sum_exp(x)).collect())),
        torch: "torch.log_softmax",
        ..Row::DEFAULT
    },
    Row {
        name: "float_log_softmax",
        params: "x, dim",
        statics: &["dim"],
        doc: "log_softmax of floats.",
        rule: FloatOnly("log_softmax_lastdim_kernel_impl"),
        body: &[(
            Any,
            "y = x - reduce_upper(x, dim, True)
             y - log(reduce_sum(exp_short(y), dim, True))",
        )],
        grad: &[("x", "grad - exp(result) * reduce_sum(grad, dim, True)")],
        unreferenced: "log_softmax has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "count_nonzero",
        params: "x, dim=None",
        statics: &["dim"],
        doc: "How many values over dim are not zero.",
        body: &[(Any, "reduce_sum(to_i64(to_bool(x)), dim, False)")],
        no_grad: "the result is a count",
        reference: Some(Fold(|x| x.iter().filter(|v| **v != 0.0).count() as f64)),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.count_nonzero",
        np: "numpy.count_nonzero",
        ..Row::DEFAULT
    },
    Row {
        name: "nansum",
        params: "x, dim=None, keepdim=False, dtype=None",
        statics: &["dim", "keepdim", "dtype"],
        doc: "Sum over dim without NaN, of x as dtype, or of integers as i64.",
        rule: Inherit,
        body: &[(
            Any,
            "accumulated_nansum(x, dim, keepdim) if dtype is None else cast(accumulated_nansum(cast(x, dtype), dim, keepdim), dtype)",
        )],
        reference: Some(Fold(|x| x.iter().filter(|v| !v.is_nan()).sum())),
        torch: "torch.nansum",
        np: "numpy.nansum",
        ..Row::DEFAULT
    },
    Row {
        name: "accumulated_nansum",
        params: "x, dim, keepdim",
        statics: &["dim", "keepdim"],
        doc: "Sum over dim without NaN in the dtype of x, of integers in i64.",
        rule: Accumulate,
        body: &[(Float, "reduce_sum(where(isnan(x), 0.0, x), dim, keepdim)"), (Any, "reduce_sum(x, dim, keepdim)")],
        unreferenced: "nansum has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "nanmean",
        params: "x, dim=None, keepdim=False, dtype=None",
        statics: &["dim", "keepdim", "dtype"],
        doc: "Mean over dim without NaN, of x as dtype.",
        rule: Inherit,
        body: &[(Any, "float_nanmean(x if dtype is None else cast(x, dtype), dim, keepdim)")],
        reference: Some(Fold(|x| {
            let kept: Vec<f64> = x.iter().copied().filter(|v| !v.is_nan()).collect();
            kept.iter().sum::<f64>() / kept.len() as f64
        })),
        torch: "torch.nanmean",
        np: "numpy.nanmean",
        ..Row::DEFAULT
    },
    Row {
        name: "float_nanmean",
        params: "x, dim, keepdim",
        statics: &["dim", "keepdim"],
        doc: "Mean over dim of floats without NaN.",
        rule: FloatElse("nanmean(): expected input to have floating point or complex dtype but got {}"),
        body: &[(
            Any,
            "n = reduce_sum(to_i64(x == x), dim, keepdim)
             reduce_sum(where(isnan(x), 0.0, x), dim, keepdim) / n",
        )],
        unreferenced: "nanmean has one",
        internal: true,
        ..Row::DEFAULT
    },
];
