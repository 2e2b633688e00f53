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
];
