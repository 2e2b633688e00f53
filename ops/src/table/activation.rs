//! Activations.
use rusttorch_ir::op::Class::Any;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "relu",
        doc: "max(x, 0).",
        rule: NoBool("Boolean inputs not supported for relu"),
        body: &[(Any, "maximum(x, 0)")],
        reference: Some(Unary(|x| if x < 0.0 { 0.0 } else { x })),
        ulp_f32: Some(0.0),
        torch: "torch.relu",
        ..Row::DEFAULT
    },
    Row {
        name: "relu6",
        doc: "x limited to [0, 6].",
        rule: NoBool("Boolean inputs not supported for relu6"),
        body: &[(Any, "minimum(maximum(x, 0), 6)")],
        reference: Some(Unary(|x| x.clamp(0.0, 6.0))),
        ulp_f32: Some(0.0),
        torch: "torch.nn.functional.relu6",
        ..Row::DEFAULT
    },
    Row {
        name: "hardtanh",
        params: "x, min_val=-1, max_val=1",
        doc: "x limited to [min_val, max_val].",
        rule: NoBool("Bool inputs not supported for hardtanh"),
        body: &[(Any, "minimum(maximum(x, min_val), max_val)")],
        torch: "torch.nn.functional.hardtanh",
        ..Row::DEFAULT
    },
    Row {
        name: "leaky_relu",
        params: "x, negative_slope=0.01",
        doc: "x where positive, else negative_slope * x.",
        rule: FloatElse("\"leaky_relu_cpu\" not implemented for '{}'"),
        body: &[(Any, "where(x > 0, x, x * negative_slope)")],
        torch: "torch.nn.functional.leaky_relu",
        ..Row::DEFAULT
    },
    Row {
        name: "hardsigmoid",
        doc: "relu6(x + 3) / 6.",
        rule: FloatOnly("hardsigmoid_cpu"),
        body: &[(Any, "minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0")],
        reference: Some(Unary(|x| (x + 3.0).clamp(0.0, 6.0) / 6.0)),
        torch: "torch.nn.functional.hardsigmoid",
        ..Row::DEFAULT
    },
    Row {
        name: "hardswish",
        doc: "x * relu6(x + 3) / 6.",
        rule: FloatOnly("hardswish_cpu"),
        body: &[(Any, "x * minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0")],
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
        torch: "torch.nn.functional.softsign",
        ..Row::DEFAULT
    },
    Row {
        name: "silu",
        doc: "x * sigmoid(x).",
        rule: FloatOnly("silu_cpu"),
        body: &[(Any, "x * sigmoid(x)")],
        reference: Some(Unary(|x| x / (1.0 + libm::exp(-x)))),
        torch: "torch.nn.functional.silu",
        ..Row::DEFAULT
    },
    Row {
        name: "elu",
        params: "x, alpha=1.0",
        doc: "x where positive, else alpha * (exp(x) - 1).",
        rule: FloatOnly("elu_cpu"),
        body: &[(Any, "where(x > 0, x, alpha * expm1(x))")],
        torch: "torch.nn.functional.elu",
        ..Row::DEFAULT
    },
    Row {
        name: "softplus",
        params: "x, beta=1.0, threshold=20.0",
        doc: "log(1 + exp(beta * x)) / beta; x itself above threshold / beta.",
        rule: FloatOnly("softplus_cpu"),
        body: &[(Any, "where(x * beta > threshold, x, log1p(exp(x * beta)) / beta)")],
        torch: "torch.nn.functional.softplus",
        ..Row::DEFAULT
    },
    Row {
        name: "mish",
        doc: "x * tanh(softplus(x)).",
        rule: FloatOnly("mish_cpu"),
        body: &[(Any, "x * tanh(softplus(x))")],
        reference: Some(Unary(|x| x * libm::tanh(libm::log1p(libm::exp(x))))),
        torch: "torch.nn.functional.mish",
        ..Row::DEFAULT
    },
    Row {
        name: "gelu",
        params: "x, approximate='none'",
        statics: &["approximate"],
        doc: "x times the normal distribution function of x, or its tanh approximation.",
        rule: FloatOnly("GeluKernelImpl"),
        body: &[(
            Any,
            "exact = 0.5 * x * (1.0 + erf(x * 0x1.6a09e667f3bcdp-1))
             tanh_form = 0.5 * x * (1.0 + tanh(0x1.988453365f0f4p-1 * (x + 0.044715 * x * x * x)))
             bad = runtime_error('approximate argument must be either none or tanh.')
             exact if approximate == 'none' else (tanh_form if approximate == 'tanh' else bad)",
        )],
        reference: Some(Unary(|x| 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2)))),
        torch: "torch.nn.functional.gelu",
        ..Row::DEFAULT
    },
];
