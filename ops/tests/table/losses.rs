//! Losses and reads by index, against loops.

use super::{evaluate_in, run};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::graph::eval::{EvalError, Tensor};
use rusttorch_ops::table::builtin;

const X: [f64; 12] = [0.5, -1.0, 2.0, 0.25, 3.0, 1.0, -2.0, 0.0, 1.5, 80.0, -80.0, 4.0];
const TARGETS: [f64; 3] = [2.0, 0.0, 3.0];

fn scores(dtype: DType) -> Tensor {
    Tensor::from_f64(dtype, &[3, 4], &X)
}

fn targets(values: &[f64; 3]) -> Tensor {
    Tensor::from_f64(DType::I64, &[3], values)
}

fn close(text: &str, inputs: &[Tensor], want: &[f64]) {
    let got = run(text, inputs).unwrap_or_else(|e| panic!("{text}: {e}"));
    let tolerance = if got.dtype == DType::F32 { 1e-5 } else { 1e-12 };
    let near = |(g, w): (&f64, &f64)| (g - w).abs() <= tolerance * w.abs().max(1.0);
    let got = got.to_f64();
    assert!(got.len() == want.len() && got.iter().zip(want).all(near), "{text}: {got:?}, not {want:?}");
}

fn log_probability(row: usize, class: usize) -> f64 {
    let x = &X[4 * row..4 * row + 4];
    x[class] - x.iter().map(|v| v.exp()).sum::<f64>().ln()
}

#[test]
fn cross_entropy_is_minus_the_log_probability_of_the_class() {
    let losses: Vec<f64> = (0..3).map(|i| -log_probability(i, TARGETS[i] as usize)).collect();
    let sum: f64 = losses.iter().sum();
    for dtype in [DType::F32, DType::F64] {
        let inputs = [scores(dtype), targets(&TARGETS)];
        close("cross_entropy(x, t)", &inputs, &[sum / 3.0]);
        close("cross_entropy(x, t, reduction='sum')", &inputs, &[sum]);
        close("cross_entropy(x, t, reduction='none')", &inputs, &losses);
        close("nll_loss(log_softmax(x, 1), t)", &inputs, &[sum / 3.0]);
        let even: f64 = (0..3).map(|i| (0..4).map(|c| -log_probability(i, c)).sum::<f64>() / 4.0).sum();
        close("cross_entropy(x, t, label_smoothing=0.25)", &inputs, &[(0.75 * sum + 0.25 * even) / 3.0]);
        let ignored = [scores(dtype), targets(&[2.0, -100.0, 3.0])];
        close("cross_entropy(x, t)", &ignored, &[(losses[0] + losses[2]) / 2.0]);
        close("cross_entropy(x, t, ignore_index=0)", &inputs, &[(losses[0] + losses[2]) / 2.0]);
    }
}

#[test]
fn the_gradient_of_cross_entropy_is_an_expression() {
    let text = "(softmax(x, 1) - (iota(x, 1) == unsqueeze(t, 1))) / 3";
    let want: Vec<f64> = (0..12)
        .map(|i| (log_probability(i / 4, i % 4).exp() - f64::from(u8::from(TARGETS[i / 4] == (i % 4) as f64))) / 3.0)
        .collect();
    close(text, &[scores(DType::F64), targets(&TARGETS)], &want);
}

#[test]
fn losses_of_two_tensors() {
    let (a, b) = ([1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 1.0, 0.0]);
    let inputs = [Tensor::from_f64(DType::F64, &[4], &a), Tensor::from_f64(DType::F64, &[4], &b)];
    let each = |f: fn(f64, f64) -> f64| a.iter().zip(&b).map(|(a, b)| f(*a, *b)).collect::<Vec<f64>>();
    let mean = |v: Vec<f64>| [v.iter().sum::<f64>() / 4.0];
    close("mse_loss(x, y, reduction='none')", &inputs, &each(|a, b| (a - b) * (a - b)));
    close("mse_loss(x, y)", &inputs, &mean(each(|a, b| (a - b) * (a - b))));
    close("l1_loss(x, y, 'sum')", &inputs, &[each(|a, b| (a - b).abs()).iter().sum()]);
    let huber = |a: f64, b: f64| {
        if (a - b).abs() < 1.0 { 0.5 * (a - b) * (a - b) } else { (a - b).abs() - 0.5 }
    };
    close("huber_loss(x, y)", &inputs, &mean(each(huber)));
    let bce = |x: f64, t: f64| (1.0 - t) * x + (-x).exp().ln_1p();
    close("binary_cross_entropy_with_logits(x, y)", &inputs, &mean(each(bce)));
}

#[test]
fn gather_reads_at_the_index() {
    let x = Tensor::from_f64(DType::F32, &[2, 3], &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
    let index = |shape: &[i64], v: &[f64]| Tensor::from_f64(DType::I64, shape, v);
    let of = |text: &str, i: Tensor| run(text, &[x.clone(), i]).map(|t| (t.shape.clone(), t.to_f64()));
    assert_eq!(of("gather(x, 1, i)", index(&[2, 2], &[2.0, 0.0, 1.0, 1.0])).expect("fits").1, [2.0, 0.0, 11.0, 11.0]);
    // An index that is smaller in the other dimensions, and longer in its own.
    assert_eq!(
        of("gather(x, 0, i)", index(&[3, 1], &[1.0, 0.0, 1.0])).expect("fits"),
        (vec![3, 1], vec![10.0, 0.0, 10.0])
    );
    let taken = of("take_along_dim(x, i, -1)", index(&[1, 2], &[2.0, 0.0])).expect("fits");
    assert_eq!(taken, (vec![2, 2], vec![2.0, 0.0, 12.0, 10.0]));
    assert_eq!(of("take_along_dim(x, i)", index(&[2], &[5.0, 1.0])).expect("fits").1, [12.0, 1.0]);
    let wide = index(&[3, 1], &[0.0; 3]);
    let message = of("gather(x, 1, i)", wide).expect_err("too large").to_string();
    assert!(message.starts_with("Size does not match at dimension 0 expected index [3, 1]"), "{message}");
    let outside = evaluate_in(&builtin(), "gather(x, 1, i)", &[x.clone(), index(&[1, 1], &[3.0])]).expect("lowers");
    assert_eq!(outside, Err(EvalError::Index { value: 3, size: 3 }));
    let float = run("gather(x, 1, x)", &[x]).expect_err("a float index").to_string();
    assert_eq!(float, "gather(): Expected dtype int32/int64 for index");
}

#[test]
fn losses_refuse_what_they_cannot_take() {
    let fails = |text: &str, x: Tensor, t: Tensor, wording: &str| {
        assert_eq!(run(text, &[x, t]).expect_err(text).to_string(), wording, "{text}");
    };
    let (x, t) = (scores(DType::F32), targets(&TARGETS));
    fails("cross_entropy(x, t, reduction='avg')", x.clone(), t.clone(), "avg is not a valid value for reduction");
    let four = Tensor::from_f64(DType::I64, &[4], &[0.0; 4]);
    fails("cross_entropy(x, t)", x.clone(), four, "Expected input batch_size (3) to match target batch_size (4).");
    let narrow = Tensor::from_f64(DType::I32, &[3], &TARGETS);
    fails("nll_loss(x, t)", x, narrow, "expected target dtype to be Long or Byte, but got Int");
    let whole = Tensor::from_f64(DType::I64, &[3, 4], &X);
    fails("cross_entropy(x, t)", whole, t, "\"log_softmax_lastdim_kernel_impl\" not implemented for 'Long'");
}
