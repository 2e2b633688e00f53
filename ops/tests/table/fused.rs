//! Texts that users write become one kernel, whose values are those of their graph.

use super::graph;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::fuse::{FuseOptions, fuse};
use rusttorch_ir::graph::eval::{Tensor, eval};
use rusttorch_ir::graph::{Operand, TensorMeta};
use rusttorch_ir::kernel::interp::{Array, run};
use rusttorch_ir::kernel::simplify::simplify;
use rusttorch_ir::kernel::verify::verify;

/// Fuses a text for these inputs and runs the kernel; sums are in another order than the graph's.
fn same(text: &str, inputs: &[Tensor]) {
    let metas: Vec<TensorMeta> = inputs.iter().map(|t| TensorMeta::contiguous(t.dtype, &t.shape)).collect();
    let operands: Vec<Operand> = metas.iter().cloned().map(Operand::Tensor).collect();
    let g = graph(text, &operands).unwrap_or_else(|e| panic!("{text}: {e}"));
    let out = g.node(g.outputs[0]);
    let out = TensorMeta::contiguous(out.dtype, &out.shape);
    let mut fused = fuse(&g, std::slice::from_ref(&out), &FuseOptions::default()).expect(text);
    simplify(&mut fused.kernel);
    verify(&fused.kernel).unwrap_or_else(|e| panic!("{text}: {e:?}\n{}", fused.kernel));
    let mut args: Vec<Array> = inputs.iter().map(|t| Array::from_bits(t.dtype, &t.data)).collect();
    args.push(Array::zeros(out.dtype, out.numel() as usize));
    let error = run(&fused.kernel, &fused.syms, &[], &mut args).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert!(error.is_none(), "{text}");
    let want = eval(&g, inputs, &[]).unwrap_or_else(|e| panic!("{text}: {e}"))[0].to_f64();
    let tolerance = if out.dtype == DType::F64 { 1e-13 } else { 1e-5 };
    for (got, want) in args[inputs.len()].to_f64().into_iter().zip(want) {
        let equal = got == want || (got.is_nan() && want.is_nan());
        assert!(equal || (got - want).abs() <= tolerance * want.abs().max(1.0), "{text}: {got}, not {want}");
    }
}

#[test]
fn texts_are_one_kernel() {
    let texts = [
        "exp(x) + log(abs(x)) + tanh(x) - erf(x)",
        "sin(x) * cos(x) + sin(x * 1e6)",
        "sigmoid(x) + sqrt(abs(x)) + rsqrt(abs(x) + 1) + log1p(abs(x)) + expm1(x)",
        "pow(abs(x), y) + x ** 2 + x ** -0.5",
        "relu(x) + silu(x) + softplus(x, beta=2, threshold=3) + mish(x) + logsigmoid(x)",
        "gelu(x) - gelu(x, approximate='tanh')",
        "softmax(x, 1)",
        "log_softmax(x, -1) + softmax(y, 0)",
        "layer_norm(x, [17]) * y",
        "layer_norm(x, [17], amax(x, 0), amin(y, 0), eps=1e-3)",
        "where(x < y, clamp(x, -1, 1), y / 3 - x) * (x >= 0)",
        "div(x, y, rounding_mode='floor') + div(x, y, rounding_mode='trunc')",
        "mse_loss(x, y) + l1_loss(x, y, 'sum')",
        "mean(x, 1, keepdim=True) - var(y, 1, keepdim=True)",
        "take_along_dim(x, argmax(y, 1, keepdim=True), 1)",
        "softmax(x, 1) - (iota(x, 1) == argmax(y, 1, keepdim=True))",
    ];
    let values = |seed: u64| -> Vec<f64> {
        (0..5 * 17u64).map(|i| ((i * 37 + seed * 11) % 101) as f64 / 16.0 - 3.0 + 0.01).collect()
    };
    for dtype in [DType::F32, DType::F64] {
        let [x, y] = [1, 2].map(|seed| Tensor::from_f64(dtype, &[5, 17], &values(seed)));
        for text in texts {
            same(&format!("f(x, y) = {text}"), &[x.clone(), y.clone()]);
        }
        let target = Tensor::from_f64(DType::I64, &[5], &[3.0, 0.0, 16.0, 8.0, -100.0]);
        for reduction in ["mean", "sum", "none"] {
            let text = format!("cross_entropy(x, t, reduction='{reduction}', label_smoothing=0.1)");
            same(&text, &[x.clone(), target.clone()]);
            same(&format!("nll_loss(x, t, reduction='{reduction}')"), &[x.clone(), target.clone()]);
        }
        same("cross_entropy(x, t)", &[x.clone(), target.clone()]);
    }
}
