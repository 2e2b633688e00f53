//! Gradients of rows, through the evaluator of graphs, against differences of the rows' references.

use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::parse;
use rusttorch_ir::graph::eval::{Tensor, eval};
use rusttorch_ir::graph::{LowerErrorKind, LowerOptions, Operand, TensorMeta, lower};
use rusttorch_ir::op::Reference;
use rusttorch_ops::table::{builtin, rows};

/// Steps have derivative 0 wherever they have one.
const STEPS: [&str; 6] = ["floor", "ceil", "trunc", "round", "sign", "rint"];
fn derivative(f: fn(f64) -> f64, x: f64) -> f64 {
    // Richardson's extrapolation of central differences.
    let d = |h: f64| (f(x + h) - f(x - h)) / (2.0 * h);
    (4.0 * d(1e-4) - d(2e-4)) / 3.0
}

#[test]
fn unary_rows_have_the_derivative_of_their_reference() {
    let table = builtin();
    let points = [-2.6, -1.3, -0.7, -0.3, 0.2, 0.6, 0.9, 1.4, 2.2, 5.7];
    let mut checked = 0;
    for row in rows().filter(|r| !r.internal) {
        let Some(Reference::Unary(f)) = row.reference else { continue };
        let text = format!("sum({}(x))", row.name);
        let program = parse(&text, Some(&table)).expect("a call of a row").with_gradients(&[0]);
        let operand = Operand::Tensor(TensorMeta::contiguous(DType::F64, &[points.len() as i64]));
        let graph = match lower(&program, &table, &[operand], LowerOptions::default()) {
            Ok(graph) => graph,
            // A result that is no float, as of isnan; or an op of integers.
            Err(e) if e.kind() == LowerErrorKind::Runtime || row.name.starts_with("bitwise") => continue,
            Err(e) => panic!("{}: {e}", row.name),
        };
        let inputs = [Tensor::from_f64(DType::F64, &[points.len() as i64], &points)];
        let results = eval(&graph, &inputs, &[]).expect("no index is out of range");
        for (x, ours) in points.iter().zip(results[1].to_f64()) {
            let wanted = if STEPS.contains(&row.name) { 0.0 } else { derivative(f, *x) };
            let close = (ours - wanted).abs() <= 1e-7 * wanted.abs().max(1.0);
            assert!(close || wanted.is_nan(), "{} at {x}: {ours} for {wanted}", row.name);
        }
        checked += 1;
    }
    assert!(checked >= 40, "only {checked} rows");
}

#[test]
fn gradients_are_of_parameters_and_parse() {
    for op in builtin().iter() {
        for (param, _) in &op.grad {
            assert!(op.params.iter().any(|p| p.name == *param), "{}: {param}", op.name);
        }
        if let Err(e) = op.gradients() {
            panic!("the gradient of {}: {e}", op.name);
        }
    }
}
