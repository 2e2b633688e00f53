//! Every row has a gradient or says why it has none. All are asked: gradients are compared with differences
//! of the row itself, operand by operand, and reasons are read from the errors.

use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::parse;
use rusttorch_ir::graph::eval::{Tensor, eval};
use rusttorch_ir::graph::{LowerError, LowerOptions, Operand, TensorMeta, lower};
use rusttorch_ir::op::{OpDef, OpTable, Row};
use rusttorch_ops::table::{builtin, rows};

/// Calls of rows that take more than tensors of one shape, or have kinks and steps among values from 0 to 1. `t` is a
/// vector of classes, `a` to `f` are matrices of floats.
const CALLS: &[(&str, &str)] = &[
    ("acosh", "acosh(a + 1.5)"),
    ("batch_norm", "batch_norm(a, select(b, 0, 0), select(c, 0, 1), training=True)"),
    ("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits(a, b, pos_weight=c)"),
    ("broadcast_to", "broadcast_to(a, [3, 4, 6])"),
    ("clamp", "clamp(a, 0.2, 0.7)"),
    ("clip", "clip(a, 0.2, 0.7)"),
    ("cosine_embedding_loss", "cosine_embedding_loss(a, b, to(t, 'float64') - 0.5)"),
    ("cross_entropy", "cross_entropy(a, t)"),
    ("dot", "dot(select(a, 0, 0), select(b, 0, 1))"),
    ("floor_divide", "floor_divide(0.3 * a + 1.06, 0.3 * b + 0.7)"),
    ("fmod", "fmod(0.3 * a + 1.06, 0.3 * b + 0.7)"),
    ("flip", "flip(a, [0, 1])"),
    ("gather", "gather(a, 1, unsqueeze(t, 1))"),
    ("glu", "glu(a)"),
    ("group_norm", "group_norm(a, 2)"),
    ("instance_norm", "instance_norm(unflatten(a, 1, [2, 3]))"),
    ("iota", "iota(a, 0)"),
    ("layer_norm", "layer_norm(a, [6])"),
    ("log_softmax", "log_softmax(a, 1)"),
    ("logsumexp", "logsumexp(a, 1)"),
    ("masked_fill", "masked_fill(a, b > 0.5, 2.0)"),
    ("multi_margin_loss", "multi_margin_loss(a, t)"),
    ("multilabel_margin_loss", "multilabel_margin_loss(a, iota(a, 1))"),
    ("narrow", "narrow(a, 1, 1, 3)"),
    ("nll_loss", "nll_loss(a, t)"),
    ("outer", "outer(select(a, 0, 0), select(b, 0, 1))"),
    ("permute", "permute(a, [1, 0])"),
    ("polygamma", "polygamma(2, a + 0.5)"),
    ("prelu", "prelu(a - 0.5, select(b, 0, 0))"),
    ("remainder", "remainder(-0.3 * a - 1.06, 0.3 * b + 0.7)"),
    ("reshape", "reshape(a, [3, 8])"),
    ("rms_norm", "rms_norm(a, [6])"),
    ("select", "select(a, 1, -2)"),
    ("softmax", "softmax(a, 1)"),
    ("softmin", "softmin(a, 0)"),
    ("take_along_dim", "take_along_dim(a, unsqueeze(t, 1), 1)"),
    ("threshold", "threshold(a, 0.5, 0.25)"),
    ("to", "to(a, 'float64')"),
    ("transpose", "transpose(a, 0, 1)"),
    ("unflatten", "unflatten(a, 1, [2, 3])"),
    ("unsqueeze", "unsqueeze(a, 0)"),
    ("where", "where(a > 0.5, b, c)"),
    ("zeta", "zeta(a + 1.5, b + 0.5)"),
];

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SHAPE: [i64; 2] = [4, 6];

/// The call of a row, and how many matrices it is of.
fn call(row: &Row) -> String {
    if let Some((_, text)) = CALLS.iter().find(|(name, _)| *name == row.name) {
        return (*text).to_string();
    }
    let op = OpDef::from(row);
    let needed = op.params.iter().filter(|p| p.default.is_none()).count();
    format!("{}({})", row.name, NAMES[..needed].join(", "))
}

/// A matrix of distinct values from 0.03 to 0.97, for each operand in another order.
fn matrix(operand: usize) -> Vec<f64> {
    (0..24)
        .map(|i| 0.03 + 0.94 / 23.0 * f64::from((i * 7 + operand as u32 * 5) % 24) + 0.001 * operand as f64)
        .collect()
}

fn values(operand: usize, name: &str) -> Tensor {
    match name {
        "t" => Tensor::from_f64(DType::I64, &[4], &[2.0, 0.0, 5.0, 1.0]),
        _ => Tensor::from_f64(DType::F64, &SHAPE, &matrix(operand)),
    }
}

fn evaluated(text: &str, table: &OpTable, inputs: &[Tensor]) -> Result<Tensor, LowerError> {
    let program = parse(text, Some(table)).unwrap_or_else(|e| panic!("{text}: {e}"));
    let metas: Vec<Operand> = inputs.iter().map(meta).collect();
    let graph = lower(&program, table, &metas, LowerOptions { default_dtype: DType::F64, autocast: None })?;
    Ok(eval(&graph, inputs, &[]).unwrap_or_else(|e| panic!("{text}: {e}")).remove(0))
}

fn meta(t: &Tensor) -> Operand {
    Operand::Tensor(TensorMeta::contiguous(t.dtype, &t.shape))
}

/// The gradient of `inputs[wrt]`, that of the result being `seed`.
fn gradient(text: &str, table: &OpTable, inputs: &[Tensor], wrt: usize, seed: &Tensor) -> Result<Vec<f64>, LowerError> {
    let program = parse(text, Some(table)).unwrap_or_else(|e| panic!("{text}: {e}")).pullback(&[wrt], &[0]);
    let mut inputs = inputs.to_vec();
    inputs.push(seed.clone());
    let metas: Vec<Operand> = inputs.iter().map(meta).collect();
    let graph = lower(&program, table, &metas, LowerOptions { default_dtype: DType::F64, autocast: None })?;
    Ok(eval(&graph, &inputs, &[]).unwrap_or_else(|e| panic!("{text}: {e}")).remove(0).to_f64())
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What is wrong with the gradient of a row, or with its reason for none.
fn fault(row: &Row, table: &OpTable) -> Option<String> {
    let text = call(row);
    let program = parse(&text, Some(table)).unwrap_or_else(|e| panic!("{text}: {e}"));
    let names: Vec<&str> = program.params().iter().map(|p| p.name.as_str()).collect();
    let inputs: Vec<Tensor> = names.iter().enumerate().map(|(i, name)| values(i, name)).collect();
    let result = match evaluated(&text, table, &inputs) {
        Ok(result) => result,
        // It takes no floats, and integers have no gradients: there is nothing to ask.
        Err(_) if !row.no_grad.is_empty() => return None,
        Err(e) => return Some(format!("{text}: {e}")),
    };
    let weights: Vec<f64> = (0..result.data.len()).map(|i| ((i * 5 + 3) % 11) as f64 / 4.0 - 1.0).collect();
    let seed = Tensor::from_f64(DType::F64, &result.shape, &weights);
    for (i, input) in inputs.iter().enumerate().filter(|(_, t)| t.dtype.is_float()) {
        let (name, asked) = (names[i], gradient(&text, table, &inputs, i, &seed));
        let ours = match asked {
            Ok(_) if !row.no_grad.is_empty() && row.grad.is_empty() => {
                return Some(format!("{text}: has a gradient, and a reason for none"));
            }
            Ok(gradient) => gradient,
            Err(e) if !row.no_grad.is_empty() && e.to_string().ends_with(row.no_grad) => continue,
            Err(e) => return Some(format!("{text} by {name}: {e}")),
        };
        // Along one direction, by Richardson's extrapolation of central differences.
        let direction: Vec<f64> = (0..input.data.len()).map(|j| ((j * 3 + 2) % 7) as f64 / 3.0 - 0.9).collect();
        let value = |step: f64| {
            let mut moved = inputs.clone();
            let at = input.to_f64().iter().zip(&direction).map(|(x, d)| x + step * d).collect::<Vec<f64>>();
            moved[i] = Tensor::from_f64(DType::F64, &SHAPE, &at);
            evaluated(&text, table, &moved).map(|y| inner(&y.to_f64(), &weights))
        };
        let slope = |h: f64| Ok::<f64, LowerError>((value(h)? - value(-h)?) / (2.0 * h));
        let wanted = slope(1e-4).and_then(|fine| Ok((4.0 * fine - slope(2e-4)?) / 3.0));
        // Nothing flows back where the row says so.
        let stops = row.grad.iter().any(|(_, text)| *text == "None");
        let wanted = if stops { 0.0 } else { wanted.unwrap_or_else(|e| panic!("{text}: {e}")) };
        let got = inner(&ours, &direction);
        let scale = inner(&ours.iter().map(|v| v.abs()).collect::<Vec<f64>>(), &[1.0; 24]).max(1.0);
        // Not a NaN either.
        if (got - wanted).abs() <= 1e-7 * scale {
            continue;
        }
        return Some(format!("{text} by {name}: {got}, and differences are {wanted}"));
    }
    None
}

#[test]
fn every_row_has_a_gradient_or_a_reason() {
    let table = builtin();
    let faults: Vec<String> = rows().filter(|r| !r.internal).filter_map(|row| fault(row, &table)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
