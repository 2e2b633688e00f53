//! Special functions. Those that `call_` library code do so at f64, also for f32.
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "digamma",
        doc: "The derivative of lgamma. Near its zeros the error is that of a result of 1.",
        rule: ToFloat,
        body: &[(F32, "to_f32(digamma_of_f32(to_f64(x)))"), (F64, "call_digamma(x)")],
        grad: &[("x", "grad * trigamma(x)")],
        unreferenced: "tests compare with torch",
        torch: "torch.digamma",
        ..Row::DEFAULT
    },
    Row {
        name: "trigamma",
        doc: "The derivative of digamma.",
        rule: ToFloat,
        body: &[(F32, "to_f32(trigamma_of_f32(to_f64(x)))"), (F64, "call_trigamma(x)")],
        unreferenced: "polygamma(1, x)",
        grad: &[("x", "grad * polygamma(2, x)")],
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "polygamma",
        params: "n, x",
        statics: &["n"],
        doc: "The derivative of digamma, n times.",
        rule: ToFloat,
        body: &[
            (
                F32,
                "negative = runtime_error('polygamma(n, x) does not support negative n.')
                 other = negative if n < 0 else to_f32(higher_polygamma(n, to_f64(x)))
                 digamma(x) if n == 0 else (trigamma(x) if n == 1 else other)",
            ),
            (
                F64,
                "negative = runtime_error('polygamma(n, x) does not support negative n.')
                 other = negative if n < 0 else higher_polygamma(n, x)
                 digamma(x) if n == 0 else (trigamma(x) if n == 1 else other)",
            ),
        ],
        grad: &[("x", "grad * polygamma(n + 1, x)")],
        unreferenced: "tests compare with torch and SciPy",
        torch: "torch.polygamma",
        differs: "0, the limit, at infinity for n above 1, where PyTorch has NaN.",
        ..Row::DEFAULT
    },
    Row {
        name: "higher_polygamma",
        params: "n, x",
        statics: &["n"],
        doc: "polygamma of f64 for n from 2 on: (-1)**(n + 1) * n! * zeta(n + 1, x).",
        body: &[(
            Any,
            "order = where(x == x, n + 1.0, n + 1.0)
             (2.0 * (n % 2) - 1.0) * call_tgamma(order) * call_zeta(order, x)",
        )],
        unreferenced: "a part of polygamma",
        no_grad: "polygamma has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "zeta",
        params: "x, q",
        doc: "The Hurwitz zeta function: the sum of (k + q)**-x over k from 0 on.",
        rule: ToFloat,
        body: &[(F32, "to_f32(call_zeta(to_f64(x), to_f64(q)))"), (F64, "call_zeta(x, q)")],
        grad: &[("q", "-(grad * x * zeta(x + 1.0, q))")],
        no_grad: "the derivative by the exponent has no closed form; PyTorch has none either",
        unreferenced: "tests compare with torch and SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.special.zeta",
        differs: "0, the limit, at an infinite q, where PyTorch has NaN.",
        ..Row::DEFAULT
    },
    Row {
        name: "igamma",
        params: "a, x",
        doc: "The regularised lower incomplete gamma function: the integral of t**(a - 1) * exp(-t) from 0 to x, divided by gamma(a).",
        rule: FloatOnly("igamma_cpu"),
        body: &[(F32, "to_f32(call_igamma(to_f64(a), to_f64(x)))"), (F64, "call_igamma(a, x)")],
        grad: &[("x", "grad * exp((a - 1.0) * log(x) - x - lgamma(a))")],
        no_grad: "that by a has no closed form; PyTorch has none either",
        unreferenced: "tests compare with torch, SciPy and mpmath's values",
        ulp_f32: Some(0.501),
        torch: "torch.special.gammainc",
        ..Row::DEFAULT
    },
    Row {
        name: "igammac",
        params: "a, x",
        doc: "The regularised upper incomplete gamma function, 1 - igamma(a, x).",
        rule: FloatOnly("igammac_cpu"),
        body: &[(F32, "to_f32(call_igammac(to_f64(a), to_f64(x)))"), (F64, "call_igammac(a, x)")],
        grad: &[("x", "-(grad * exp((a - 1.0) * log(x) - x - lgamma(a)))")],
        no_grad: "that by a has no closed form; PyTorch has none either",
        unreferenced: "tests compare with torch, SciPy and mpmath's values",
        ulp_f32: Some(0.501),
        torch: "torch.special.gammaincc",
        ..Row::DEFAULT
    },
    Row {
        name: "erfinv",
        doc: "The inverse of erf.",
        rule: ToFloat,
        body: &[(F32, "to_f32(erfinv_of_f32(to_f64(x)))"), (F64, "call_erfinv(x)")],
        grad: &[("x", "grad * 0.886226925452758 * exp(result * result)")],
        unreferenced: "tests compare with SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.erfinv",
        ..Row::DEFAULT
    },
    Row {
        name: "erfcx",
        doc: "exp(x * x) * erfc(x).",
        rule: ToFloat,
        body: &[(F32, "to_f32(erfcx_of_f32(to_f64(x)))"), (F64, "call_erfcx(x)")],
        grad: &[("x", "grad * (2.0 * x * result - 1.1283791670955126)")],
        unreferenced: "tests compare with SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.special.erfcx",
        ..Row::DEFAULT
    },
    Row {
        name: "ndtr",
        doc: "The normal distribution function.",
        rule: ToFloat,
        body: &[
            (F32, "to_f32(0.5 * erfc_of_f32(to_f64(x) * -0.7071067811865476))"),
            (F64, "0.5 * call_erfc(x * -0.7071067811865476)"),
        ],
        grad: &[("x", "grad * (0.3989422804014327 * exp(-0.5 * x * x))")],
        reference: Some(Unary(normal)),
        ulp_f32: Some(0.501),
        torch: "torch.special.ndtr",
        ..Row::DEFAULT
    },
    Row {
        name: "ndtri",
        doc: "The inverse of the normal distribution function.",
        rule: ToFloat,
        body: &[(F32, "to_f32(ndtri_of_f32(to_f64(x)))"), (F64, "call_ndtri(x)")],
        grad: &[("x", "grad * (2.5066282746310002 * exp(0.5 * result * result))")],
        unreferenced: "tests compare with SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.special.ndtri",
        ..Row::DEFAULT
    },
    Row {
        name: "log_ndtr",
        doc: "log(ndtr(x)), without underflow.",
        rule: ToFloat,
        body: &[(F32, "to_f32(log_ndtr_of_f32(to_f64(x)))"), (F64, "log_normal(x)")],
        grad: &[("x", "grad / erfcx(x * -0.7071067811865476) * 0.7978845608028654")],
        unreferenced: "tests compare with SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.special.log_ndtr",
        ..Row::DEFAULT
    },
    Row {
        name: "log_normal",
        doc: "log_ndtr of f64.",
        body: &[(
            Any,
            "t = x * 0.7071067811865476
             where(x < -1.0, log(0.5 * call_erfcx(-t)) - t * t, log1p(-0.5 * call_erfc(t)))",
        )],
        unreferenced: "a part of log_ndtr",
        no_grad: "log_ndtr has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "i0",
        doc: "The modified Bessel function of the first kind of order 0.",
        rule: ToFloat,
        body: &[(F32, "to_f32(i0_of_f32(to_f64(x)))"), (F64, "call_i0(x)")],
        grad: &[("x", "grad * i1(x)")],
        unreferenced: "tests compare with SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.i0",
        np: "numpy.i0",
        ..Row::DEFAULT
    },
    Row {
        name: "i0e",
        doc: "exp(-|x|) * i0(x).",
        rule: ToFloat,
        body: &[(F32, "to_f32(i0e_of_f32(to_f64(x)))"), (F64, "call_i0e(x)")],
        grad: &[("x", "grad * (i1e(x) - where(x > 0.0, 1.0, where(x < 0.0, -1.0, 0.0)) * result)")],
        unreferenced: "tests compare with SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.special.i0e",
        ..Row::DEFAULT
    },
    Row {
        name: "i1",
        doc: "The modified Bessel function of the first kind of order 1.",
        rule: ToFloat,
        body: &[(F32, "to_f32(i1_of_f32(to_f64(x)))"), (F64, "call_i1(x)")],
        grad: &[("x", "grad * where(x == 0.0, 0.5, i0(x) - result / x)")],
        unreferenced: "tests compare with SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.special.i1",
        ..Row::DEFAULT
    },
    Row {
        name: "i1e",
        doc: "exp(-|x|) * i1(x).",
        rule: ToFloat,
        body: &[(F32, "to_f32(i1e_of_f32(to_f64(x)))"), (F64, "call_i1e(x)")],
        grad: &[(
            "x",
            "sign = where(x > 0.0, 1.0, where(x < 0.0, -1.0, 0.0))
             grad * where(x == 0.0, 0.5, i0e(x) - result * (sign + 1.0 / x))",
        )],
        unreferenced: "tests compare with SciPy",
        ulp_f32: Some(0.501),
        torch: "torch.special.i1e",
        ..Row::DEFAULT
    },
    Row {
        name: "bessel_j0",
        doc: "The Bessel function of the first kind of order 0. Errors at float64 are below 2e-15 of its amplitude.",
        rule: ToFloat,
        body: &[(F32, "to_f32(bessel_j0_f64(to_f64(x)))"), (F64, "bessel_j0_f64(x)")],
        grad: &[("x", "-(grad * bessel_j1(x))")],
        reference: Some(Unary(libm::j0)),
        ulp_f32: Some(0.501),
        torch: "torch.special.bessel_j0",
        ..Row::DEFAULT
    },
    Row {
        name: "bessel_j1",
        doc: "The Bessel function of the first kind of order 1. Errors at float64 are below 2e-15 of its amplitude.",
        rule: ToFloat,
        body: &[(F32, "to_f32(bessel_j1_f64(to_f64(x)))"), (F64, "bessel_j1_f64(x)")],
        grad: &[("x", "grad * where(x == 0.0, 0.5, bessel_j0(x) - result / x)")],
        // Odd at infinity too.
        reference: Some(Unary(|x| if x < 0.0 { -libm::j1(-x) } else { libm::j1(x) })),
        ulp_f32: Some(0.501),
        torch: "torch.special.bessel_j1",
        ..Row::DEFAULT
    },
    Row {
        name: "bessel_y0",
        doc: "The Bessel function of the second kind of order 0. Errors at float64 are below 2e-15 of its amplitude.",
        rule: ToFloat,
        body: &[(F32, "to_f32(bessel_y0_f64(to_f64(x)))"), (F64, "bessel_y0_f64(x)")],
        grad: &[("x", "-(grad * bessel_y1(x))")],
        reference: Some(Unary(libm::y0)),
        ulp_f32: Some(0.501),
        torch: "torch.special.bessel_y0",
        ..Row::DEFAULT
    },
    Row {
        name: "bessel_y1",
        doc: "The Bessel function of the second kind of order 1. Errors at float64 are below 2e-15 of its amplitude.",
        rule: ToFloat,
        body: &[(F32, "to_f32(bessel_y1_f64(to_f64(x)))"), (F64, "bessel_y1_f64(x)")],
        grad: &[("x", "grad * (bessel_y0(x) - result / x)")],
        reference: Some(Unary(libm::y1)),
        ulp_f32: Some(0.501),
        torch: "torch.special.bessel_y1",
        ..Row::DEFAULT
    },
    Row {
        name: "sinc",
        doc: "sin(pi * x) / (pi * x), and 1 at 0.",
        rule: ToFloat,
        body: &[(
            Any,
            "t = x * 3.141592653589793
             where(x == 0.0, 1.0, sin(t) / t)",
        )],
        grad: &[(
            "x",
            "t = x * 3.141592653589793
             where(x == 0.0, 0.0, grad * ((t * cos(t) - sin(t)) / (t * x)))",
        )],
        reference: Some(Unary(|x| if x == 0.0 { 1.0 } else { libm::sin(PI * x) / (PI * x) })),
        torch: "torch.sinc",
        np: "numpy.sinc",
        ..Row::DEFAULT
    },
    Row {
        name: "entr",
        doc: "-x * log(x), 0 at 0 and -inf below.",
        rule: ToFloat,
        body: &[
            (
                F32,
                "u = to_f64(x)
                 where(isnan(x), x, where((x > 0.0) & (x < inf), to_f32(-u * log_of_f32(u)), where(x == 0.0, 0.0, -inf)))",
            ),
            (Any, "where(isnan(x), x, where(x > 0.0, -x * log(x), where(x == 0.0, 0.0, -inf)))"),
        ],
        grad: &[("x", "grad * (-1.0 - log(x))")],
        reference: Some(Unary(|x| match x {
            _ if x.is_nan() => x,
            0.0 => 0.0,
            _ if x < 0.0 => f64::NEG_INFINITY,
            _ => -x * libm::log(x),
        })),
        ulp_f32: Some(0.501),
        torch: "torch.special.entr",
        ..Row::DEFAULT
    },
    Row {
        name: "xlog1py",
        params: "x, y",
        doc: "x * log1p(y), and 0 where x is 0 and y no NaN.",
        rule: ToFloat,
        body: &[(Any, "where(isnan(y), y, where(x == 0.0, 0.0, x * log1p(y)))")],
        grad: &[("x", "where((x == 0.0) & (y <= -1.0), 0.0, grad * log1p(y))"), ("y", "grad * x / (y + 1.0)")],
        reference: Some(Binary(|x, y| match x {
            _ if y.is_nan() => y,
            0.0 => 0.0,
            _ => x * libm::log1p(y),
        })),
        torch: "torch.special.xlog1py",
        ..Row::DEFAULT
    },
    Row {
        name: "logaddexp2",
        params: "a, b",
        doc: "log2(2**a + 2**b), without overflow.",
        rule: FloatOnly("logaddexp2_cpu"),
        body: &[(
            Any,
            "d = log1p(exp2(-abs(a - b))) * 1.4426950408889634
             where((a == b) & (abs(a) == inf), a, maximum(a, b) + d)",
        )],
        grad: &[
            ("a", "where((a == b) & (abs(a) == inf), 0.5 * grad, grad / (1.0 + exp2(b - a)))"),
            ("b", "where((a == b) & (abs(a) == inf), 0.5 * grad, grad / (1.0 + exp2(a - b)))"),
        ],
        unreferenced: "cancels where the result is near 0, as in PyTorch: tests compare with torch",
        torch: "torch.logaddexp2",
        np: "numpy.logaddexp2",
        ..Row::DEFAULT
    },
];
