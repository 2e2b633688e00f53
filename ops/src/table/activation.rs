//! Activations.
use super::activation_f32;
use super::math::logistic;
use super::math_f64;
use rusttorch_ir::op::Autocast;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

/// gelu by its argument `approximate`, the exact one as given.
macro_rules! gelu {
    ($exact:literal) => {
        concat!(
            "bad = runtime_error('approximate argument must be either none or tanh.')\n",
            $exact,
            " if approximate == 'none' else (gelu_tanh(x) if approximate == 'tanh' else bad)"
        )
    };
}

const GELU_GRAD: &str = "p = 0.5 * (1.0 + erf(x * 0.7071067811865476))
grad * (p + x * 0.3989422804014327 * exp(-0.5 * x * x))";

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "relu",
        doc: "max(x, 0).",
        rule: NoBool("Boolean inputs not supported for relu"),
        body: &[(Any, "maximum(x, 0)")],
        grad: &[("x", "where(x <= 0, 0, grad)")],
        reference: Some(Unary(|x| if x < 0.0 { 0.0 } else { x })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.relu",
        ..Row::DEFAULT
    },
    Row {
        name: "relu6",
        doc: "x limited to [0, 6].",
        rule: NoBool("Boolean inputs not supported for relu6"),
        body: &[(Any, "minimum(maximum(x, 0), 6)")],
        grad: &[("x", "where((x <= 0) | (x >= 6), 0, grad)")],
        reference: Some(Unary(|x| x.clamp(0.0, 6.0))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.nn.functional.relu6",
        ..Row::DEFAULT
    },
    Row {
        name: "hardtanh",
        params: "x, min_val=-1, max_val=1",
        doc: "x limited to [min_val, max_val].",
        rule: NoBool("Bool inputs not supported for hardtanh"),
        body: &[(Any, "minimum(maximum(x, min_val), max_val)")],
        grad: &[("x", "where((x <= min_val) | (x >= max_val), 0, grad)")],
        reference: Some(Unary(|x| x.clamp(-1.0, 1.0))),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.nn.functional.hardtanh",
        ..Row::DEFAULT
    },
    Row {
        name: "leaky_relu",
        params: "x, negative_slope=0.01",
        doc: "x where positive, else negative_slope * x.",
        rule: FloatElse("\"leaky_relu_cpu\" not implemented for '{}'"),
        body: &[(Any, "where(x > 0, x, x * negative_slope)")],
        reference: Some(Unary(|x| if x > 0.0 { x } else { x * 0.01 })),
        ulp_f32: Some(1.5),
        ulp_f64: Some(1.5),
        torch: "torch.nn.functional.leaky_relu",
        ..Row::DEFAULT
    },
    Row {
        name: "hardsigmoid",
        doc: "relu6(x + 3) / 6.",
        rule: FloatOnly("hardsigmoid_cpu"),
        body: &[(Any, "minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0")],
        grad: &[("x", "where((x > -3.0) & (x < 3.0), grad / 6.0, 0.0)")],
        reference: Some(Unary(|x| (x + 3.0).clamp(0.0, 6.0) / 6.0)),
        torch: "torch.nn.functional.hardsigmoid",
        ..Row::DEFAULT
    },
    Row {
        name: "hardswish",
        doc: "x * relu6(x + 3) / 6.",
        rule: FloatOnly("hardswish_cpu"),
        body: &[(Any, "x * minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0")],
        grad: &[("x", "where(x <= -3.0, 0.0, where(x < 3.0, grad * (x / 3.0 + 0.5), grad))")],
        reference: Some(Unary(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)),
        torch: "torch.nn.functional.hardswish",
        ..Row::DEFAULT
    },
    Row {
        name: "softsign",
        doc: "x / (1 + |x|).",
        rule: ToFloat,
        body: &[(Any, "x / (1.0 + abs(x))")],
        reference: Some(Unary(|x| x / (1.0 + x.abs()))),
        ulp_f32: Some(1.5),
        ulp_f64: Some(1.5),
        torch: "torch.nn.functional.softsign",
        ..Row::DEFAULT
    },
    Row {
        name: "elu",
        params: "x, alpha=1.0",
        doc: "x where positive, else alpha * (exp(x) - 1).",
        rule: FloatOnly("elu_cpu"),
        body: &[(Any, "where(x > 0, x, alpha * expm1(x))")],
        // Derived, it would have 0 times exp(x), which is infinite.
        grad: &[("x", "where(x > 0, grad, grad * (alpha * exp(x)))"), ("alpha", "where(x > 0, 0.0, grad * expm1(x))")],
        reference: Some(Unary(|x| if x > 0.0 { x } else { libm::expm1(x) })),
        ulp_f32: Some(0.82),
        ulp_f64: Some(0.891),
        torch: "torch.nn.functional.elu",
        ..Row::DEFAULT
    },
    Row {
        name: "silu",
        doc: "x * sigmoid(x).",
        rule: FloatOnly("silu_cpu"),
        body: &[(F32, activation_f32::SILU), (F64, math_f64::SILU)],
        grad: &[(
            "x",
            "s = sigmoid(x)
             grad * s * (1.0 + x * (1.0 - s))",
        )],
        reference: Some(Unary(|x| x * logistic(x))),
        ulp_f32: Some(1.998),
        ulp_f64: Some(1.32),
        torch: "torch.nn.functional.silu",
        ..Row::DEFAULT
    },
    Row {
        name: "softplus",
        params: "x, beta=1.0, threshold=20.0",
        doc: "log(1 + exp(beta * x)) / beta; x itself where beta * x is above threshold.",
        rule: FloatOnly("softplus_cpu"),
        body: &[(
            Any,
            "t = x * beta
             where(t > threshold, x, log1p_exp(t) / beta)",
        )],
        reference: Some(Unary(|x| if x > 20.0 { x } else { libm::log1p(libm::exp(x)) })),
        ulp_f32: Some(1.021),
        ulp_f64: Some(1.05),
        torch: "torch.nn.functional.softplus",
        ..Row::DEFAULT
    },
    Row {
        name: "log1p_exp",
        doc: "log(1 + exp(x)), without overflow.",
        body: &[(F32, activation_f32::SOFTPLUS), (F64, math_f64::SOFTPLUS)],
        grad: &[("x", "grad * sigmoid(x)")],
        reference: Some(Unary(|x| x.max(0.0) + libm::log1p(libm::exp(-x.abs())))),
        ulp_f32: Some(1.02),
        ulp_f64: Some(1.05),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "log1p_exp_short",
        doc: "log1p_exp in fewer instructions, for losses.",
        body: &[(F32, activation_f32::SOFTPLUS_SHORT), (F64, math_f64::SOFTPLUS)],
        grad: &[("x", "grad * sigmoid(x)")],
        reference: Some(Unary(|x| x.max(0.0) + libm::log1p(libm::exp(-x.abs())))),
        ulp_f32: Some(1.829),
        ulp_f64: Some(1.05),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "logsigmoid",
        doc: "log(sigmoid(x)).",
        rule: FloatOnly("log_sigmoid_cpu"),
        body: &[(F32, activation_f32::LOGSIGMOID), (F64, math_f64::LOGSIGMOID)],
        grad: &[("x", "grad * sigmoid(-x)")],
        reference: Some(Unary(|x| x.min(0.0) - libm::log1p(libm::exp(-x.abs())))),
        ulp_f32: Some(1.021),
        ulp_f64: Some(1.08),
        torch: "torch.nn.functional.logsigmoid",
        ..Row::DEFAULT
    },
    Row {
        name: "mish",
        doc: "x * tanh(softplus(x)).",
        rule: FloatOnly("mish_cpu"),
        body: &[(F32, activation_f32::MISH), (F64, math_f64::MISH)],
        grad: &[(
            "x",
            "s = sigmoid(x)
             t = tanh(log1p_exp_short(x))
             grad * (t + x * s * (1.0 - t * t))",
        )],
        reference: Some(Unary(|x| x * libm::tanh(libm::log1p(libm::exp(x))))),
        ulp_f32: Some(2.446),
        ulp_f64: Some(1.05),
        torch: "torch.nn.functional.mish",
        ..Row::DEFAULT
    },
    Row {
        name: "gelu",
        params: "x, approximate='none'",
        statics: &["approximate"],
        doc: "x times the normal distribution function of x, or its tanh approximation.",
        rule: FloatOnly("GeluKernelImpl"),
        body: &[(Half, gelu!("gelu_half(x)")), (Any, gelu!("gelu_erf(x)"))],
        unreferenced: "gelu_erf and gelu_tanh have one",
        torch: "torch.nn.functional.gelu",
        ..Row::DEFAULT
    },
    Row {
        name: "gelu_erf",
        doc: "x times the normal distribution function of x.",
        body: &[(F32, activation_f32::GELU_ERF), (F64, math_f64::GELU_ERF)],
        grad: &[("x", GELU_GRAD)],
        reference: Some(Unary(|x| 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2))),
        ulp_f32: Some(2.6),
        ulp_f64: Some(1.31),
        domain: (-1.0, f64::INFINITY),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "gelu_half",
        doc: "gelu_erf for results of 16 bits.",
        body: &[(F32, activation_f32::GELU_HALF)],
        grad: &[("x", GELU_GRAD)],
        unreferenced: "it is as accurate as 16 bits are (a test has all inputs)",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "gelu_tanh",
        doc: "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))).",
        body: &[(F32, activation_f32::GELU_TANH), (F64, math_f64::GELU_TANH)],
        grad: &[(
            "x",
            "t = tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))
             slope = (1.0 - t * t) * 0.7978845608028654 * (1.0 + 0.134145 * x * x)
             grad * (0.5 * (1.0 + t) + 0.5 * x * slope)",
        )],
        reference: Some(Unary(|x| {
            let t = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            x * logistic(2.0 * t)
        })),
        ulp_f32: Some(2.55),
        ulp_f64: Some(1.15),
        domain: (-1.0, f64::INFINITY),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "selu",
        doc: "elu of alpha 1.6732632423543772, times 1.0507009873554805 (Klambauer et al. 2017).",
        rule: FloatOnly("elu_cpu"),
        body: &[
            (F32, activation_f32::SELU),
            (F64, "where(x > 0, 1.0507009873554805 * x, 1.7580993408473766 * expm1(x))"),
        ],
        grad: &[("x", "where(x > 0, grad * 1.0507009873554805, grad * (result + 1.7580993408473766))")],
        reference: Some(Unary(|x| if x > 0.0 { 1.0507009873554805 * x } else { 1.7580993408473766 * libm::expm1(x) })),
        ulp_f32: Some(1.29),
        torch: "torch.selu",
        ..Row::DEFAULT
    },
    Row {
        name: "celu",
        params: "x, alpha=1.0",
        doc: "x where positive, else alpha * (exp(x / alpha) - 1).",
        rule: FloatOnly("elu_cpu"),
        body: &[(Any, "where(x > 0, x, alpha * expm1(x / alpha))")],
        grad: &[
            ("x", "where(x > 0, grad, grad * exp(x / alpha))"),
            ("alpha", "where(x > 0, 0.0, grad * (expm1(x / alpha) - x / alpha * exp(x / alpha)))"),
        ],
        reference: Some(Unary(|x| if x > 0.0 { x } else { libm::expm1(x) })),
        torch: "torch.celu",
        ..Row::DEFAULT
    },
    Row {
        name: "hardshrink",
        params: "x, lambd=0.5",
        doc: "x, and 0 where it is within [-lambd, lambd].",
        rule: FloatOnly("hardshrink_cpu"),
        body: &[(Any, "where((x >= -lambd) & (x <= lambd), 0.0, x)")],
        reference: Some(Unary(|x| if (-0.5..=0.5).contains(&x) { 0.0 } else { x })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.nn.functional.hardshrink",
        ..Row::DEFAULT
    },
    Row {
        name: "softshrink",
        params: "x, lambd=0.5",
        doc: "x moved towards 0 by lambd, and 0 where it is within [-lambd, lambd].",
        rule: FloatOnly("softshrink_cpu"),
        body: &[(Any, "where(x > lambd, x - lambd, where(x < -lambd, x + lambd, x * 0.0))")],
        reference: Some(Unary(|x| {
            if x > 0.5 {
                x - 0.5
            } else if x < -0.5 {
                x + 0.5
            } else {
                x * 0.0
            }
        })),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.nn.functional.softshrink",
        ..Row::DEFAULT
    },
    Row {
        name: "tanhshrink",
        doc: "x - tanh(x).",
        rule: ToFloat,
        body: &[(Any, "x - tanh(x)")],
        unreferenced: "cancels near 0, as in PyTorch: tests compare with torch",
        torch: "torch.nn.functional.tanhshrink",
        ..Row::DEFAULT
    },
    Row {
        name: "threshold",
        params: "x, threshold, value",
        doc: "x where above threshold, else value.",
        body: &[(Any, "where(x <= threshold, value, x)")],
        reference: Some(Ternary(|x, t, v| if x <= t { v } else { x })),
        ulp_f32: Some(0.0),
        ulp_f64: Some(0.0),
        torch: "torch.nn.functional.threshold",
        ..Row::DEFAULT
    },
    Row {
        name: "softmin",
        params: "x, dim, dtype=None",
        statics: &["dim", "dtype"],
        doc: "softmax(-x), of -x as dtype.",
        rule: Inherit,
        body: &[(Any, "softmax(-x, dim, dtype)")],
        unreferenced: "softmax has one",
        torch: "torch.nn.functional.softmin",
        ..Row::DEFAULT
    },
    Row {
        name: "prelu",
        params: "x, weight",
        doc: "x where positive, else weight * x; weight is one number, or one per index of dimension 1.",
        rule: Inherit,
        body: &[(
            Any,
            "channels = size(x, 1) if rank(x) > 1 else 1
             count = size(weight, 0) if rank(weight) == 1 else 1
             y = leak(x, reshape(weight, shape(0) if count == 1 else channel_shape(x, 1)))
             y = runtime_error('Mismatch of parameter numbers and input channel size. Found parameter numbers = {} and channel size = {}.', count, channels) if (count != 1) and (count != channels) else y
             y = runtime_error('prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {}', rank(weight)) if rank(weight) > 1 else y
             bad = runtime_error('prelu: Type promoting not supported. Got {} and {}', dtype_name(x), dtype_name(weight))
             bad if dtype_name(x) != dtype_name(weight) else y",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.prelu",
        autocast: Autocast::Lower,
        ..Row::DEFAULT
    },
    Row {
        name: "leak",
        params: "x, weight",
        doc: "prelu, the weight broadcasting to x.",
        rule: FloatOnly("prelu_cpu"),
        body: &[(Any, "where(x > 0.0, x, weight * x)")],
        unreferenced: "a part of prelu",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "glu",
        params: "x, dim=-1",
        statics: &["dim"],
        doc: "The first half of x along dim, times the sigmoid of the second.",
        rule: FloatOnly("glu_cpu"),
        body: &[(
            Any,
            "d = dim if dim >= 0 else rank(x) + dim
             halves = unflatten(x, dim, list(2, -1))
             y = select(halves, d, 0) * sigmoid(select(halves, d, 1))
             y = runtime_error('Halving dimension must be even, but dimension {} is size {}', d, size(x, dim)) if size(x, dim) % 2 != 0 else y
             runtime_error('glu does not support scalars because halving size must be even') if rank(x) == 0 else y",
        )],
        unreferenced: "halves a dimension: tests compare with torch",
        torch: "torch.nn.functional.glu",
        ..Row::DEFAULT
    },
];
