//! Normalisations.
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "layer_norm",
        params: "x, normalized_shape, weight=None, bias=None, eps=1e-5",
        statics: &["normalized_shape"],
        doc: "(x - mean) / sqrt(var + eps) over the last dimensions, times weight, plus bias.",
        rule: FloatOnly("LayerNormKernelImpl"),
        body: &[(
            Any,
            "dim = norm_dims(x, normalized_shape)
             n = count(x, dim)
             d = x - reduce_sum(x, dim, True) / n
             y = d / sqrt(reduce_sum(d * d, dim, True) / n + eps)
             y = y if weight is None else y * weight
             y if bias is None else y + bias",
        )],
        unreferenced: "takes a shape: tests compare with loops",
        torch: "torch.nn.functional.layer_norm",
        ..Row::DEFAULT
    },
    Row {
        name: "rms_norm",
        params: "x, normalized_shape, weight=None, eps=None",
        statics: &["normalized_shape"],
        doc: "x / sqrt(mean(x * x) + eps) over the last dimensions, times weight; eps is the dtype's when None.",
        rule: FloatOnly("rms_norm"),
        body: &[
            (
                F32,
                "dim = norm_dims(x, normalized_shape)
             y = x / sqrt(reduce_sum(x * x, dim, True) / count(x, dim) + (0x1p-23 if eps is None else eps))
             y if weight is None else y * weight",
            ),
            (
                F64,
                "dim = norm_dims(x, normalized_shape)
             y = x / sqrt(reduce_sum(x * x, dim, True) / count(x, dim) + (0x1p-52 if eps is None else eps))
             y if weight is None else y * weight",
            ),
        ],
        unreferenced: "takes a shape: tests compare with loops",
        torch: "torch.nn.functional.rms_norm",
        ..Row::DEFAULT
    },
    Row {
        name: "vector_norm",
        params: "x, ord=2, dim=None, keepdim=False",
        statics: &["ord", "dim", "keepdim"],
        doc: "(sum |x|^ord)^(1/ord) over dim; ord may be 0, inf and -inf.",
        rule: FloatElse("linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}"),
        body: &[(
            Any,
            "a = abs(x)
             general = pow_float(reduce_sum(pow_float(a, ord + 0.0), dim, keepdim), 1.0 / ord) if ord != 0 else a
             low = reduce_min(a, dim, keepdim) if ord == -inf else general
             high = reduce_max(a, dim, keepdim) if ord == inf else low
             zero = reduce_sum(where(x != 0.0, 1.0, 0.0), dim, keepdim) if ord == 0 else high
             one = reduce_sum(a, dim, keepdim) if ord == 1 else zero
             norm2(x, dim, keepdim) if ord == 2 else one",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.linalg.vector_norm",
        ..Row::DEFAULT
    },
    Row {
        name: "norm2",
        params: "x, dim, keepdim",
        statics: &["dim", "keepdim"],
        doc: "sqrt(sum(x * x)) over dim.",
        body: &[(Any, "sqrt(reduce_sum(x * x, dim, keepdim))")],
        grad: &[(
            "x",
            "r = unreduce(result, x, dim, keepdim)
             where(r == 0.0, 0.0, x * (unreduce(grad, x, dim, keepdim) / r))",
        )],
        unreferenced: "a part of norms",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "normalize",
        params: "x, p=2.0, dim=1, eps=1e-12",
        statics: &["p", "dim"],
        doc: "x divided by its p-norm over dim, or by eps if that is larger.",
        rule: FloatElse("linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}"),
        body: &[(Any, "x / maximum(vector_norm(x, p, dim, True), eps)")],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.normalize",
        ..Row::DEFAULT
    },
    Row {
        name: "cosine_similarity",
        params: "x1, x2, dim=1, eps=1e-8",
        statics: &["dim"],
        doc: "sum(x1 * x2) over dim, each divided by its norm or by eps if that is larger.",
        rule: FloatElse("expected common dtype to be floating point, yet common dtype is {}"),
        body: &[(
            Any,
            "n1 = maximum(norm2(x1, dim, False), eps)
             n2 = maximum(norm2(x2, dim, False), eps)
             reduce_sum(x1 * x2, dim, False) / (n1 * n2)",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.cosine_similarity",
        ..Row::DEFAULT
    },
];
