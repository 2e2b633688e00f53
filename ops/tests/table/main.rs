//! The op table, through the evaluator of graphs.

mod differentiable;
mod fused;
mod gradients;
mod losses;
mod lowering;
mod rows;

use rusttorch_ir::expr::parse;
use rusttorch_ir::graph::eval::{EvalError, Tensor, eval};
use rusttorch_ir::graph::{Graph, LowerError, LowerOptions, Operand, TensorMeta, lower};
use rusttorch_ir::op::OpTable;
use rusttorch_ops::table::builtin;

/// The graph of a text for these operands.
fn graph(text: &str, operands: &[Operand]) -> Result<Graph, LowerError> {
    let table = builtin();
    let program = parse(text, Some(&table)).unwrap_or_else(|e| panic!("{e}"));
    lower(&program, &table, operands, LowerOptions::default())
}

/// What a text gives for contiguous inputs.
fn evaluate_in(table: &OpTable, text: &str, inputs: &[Tensor]) -> Result<Result<Tensor, EvalError>, LowerError> {
    let metas = inputs.iter().map(|t| Operand::Tensor(TensorMeta::contiguous(t.dtype, &t.shape)));
    let program = parse(text, Some(table)).unwrap_or_else(|e| panic!("{e}"));
    let g = lower(&program, table, &metas.collect::<Vec<_>>(), LowerOptions::default())?;
    Ok(eval(&g, inputs, &[]).map(|mut out| out.remove(0)))
}

fn run(text: &str, inputs: &[Tensor]) -> Result<Tensor, LowerError> {
    Ok(evaluate_in(&builtin(), text, inputs)?.unwrap_or_else(|e| panic!("{text}: {e}")))
}
