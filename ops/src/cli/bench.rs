//! `rusttorch bench`: the median of repeated runs, and how that compares with copying as many bytes.

use super::style::Style;
use super::{OPTIONS, Problem};
use crate::engine::{self, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::journal;
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::expr::parse;
use rusttorch_ir::graph::{Operand, TensorMeta};
use rusttorch_runtime::Tensor;
use rusttorch_runtime::pool::{OwnPool, Parallel, limit_threads};
use rusttorch_runtime::random::Philox;
use serde_json::json;
use std::time::{Duration, Instant};

/// How long to measure.
const BUDGET: Duration = Duration::from_millis(400);
/// Runs at the least and at the most.
const RUNS: std::ops::Range<usize> = 5..20_000;

/// Times the problem over made-up data.
pub fn run(problem: &Problem, threads: usize, json: bool, style: Style) -> Result<String> {
    let _limit = limit_threads(threads);
    let start = Instant::now();
    let plan = engine::plan(&problem.program, &problem.operands, OPTIONS)?;
    let planned = start.elapsed();
    let inputs = inputs(&problem.operands)?;
    let mut outputs = results(&plan)?;
    let bytes: usize = inputs.iter().chain(&outputs).map(Tensor::nbytes).sum();
    // Of this kernel: before another one is compiled to compare with.
    let compile = journal::last().last().map_or(0.0, |kernel| kernel.compile_ms);
    let median = measure(&plan, &inputs, &mut outputs, &problem.operands)?;
    let roof = roofline(bytes)?;
    let threads = OwnPool.threads();
    let gbs = bytes as f64 / median.as_secs_f64() / 1e9;
    let share = gbs / roof;
    let us = median.as_secs_f64() * 1e6;
    if json {
        return Ok(json!({
            "microseconds": us, "gb_per_s": gbs, "copy_gb_per_s": roof, "share_of_copy": share, "bytes": bytes,
            "compile_ms": compile, "plan_ms": planned.as_secs_f64() * 1e3, "threads": threads,
            "compiled": plan.is_compiled(),
        })
        .to_string());
    }
    Ok(format!(
        "{}   {gbs:.1} GB/s, {:.0} % of a copy of as many bytes ({roof:.1} GB/s)\n{}",
        style.bold(&format!("{us:.1} us")),
        share * 100.0,
        style.dim(&format!("compiled in {compile:.2} ms; {threads} thread(s), {bytes} bytes touched, median")),
    ))
}

fn out_of_memory(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::OutOfMemory, e)
}

/// Numbers in [0, 1) for floats, zeros for the rest.
fn inputs(operands: &[Operand]) -> Result<Vec<Tensor>> {
    let tensors = operands.iter().filter_map(|o| match o {
        Operand::Tensor(m) => Some(m),
        Operand::Number(_) | Operand::Literal(_) => None,
    });
    tensors.map(|m| made_up(m).map_err(out_of_memory)).collect()
}

fn made_up(m: &TensorMeta) -> rusttorch_runtime::Result<Tensor> {
    let n = m.numel() as usize;
    match m.dtype {
        DType::F32 => {
            let mut v = vec![0f32; n];
            Philox::new(1).fill_uniform_f32(&mut v, 24, &OwnPool);
            Tensor::from_slice(&v, &m.shape)
        }
        DType::F16 | DType::BF16 => {
            let mut v = vec![0f32; n];
            Philox::new(1).fill_uniform_f32(&mut v, 24, &OwnPool);
            let bits = v.iter().map(|&x| Literal::float(m.dtype, f64::from(x)).bits as u16);
            Tensor::from_bytes(&bits.flat_map(u16::to_ne_bytes).collect::<Vec<u8>>(), &m.shape, m.dtype)
        }
        DType::F64 => {
            let mut v = vec![0f64; n];
            Philox::new(1).fill_uniform_f64(&mut v, &OwnPool);
            Tensor::from_slice(&v, &m.shape)
        }
        dtype => Tensor::zeros(&m.shape, dtype),
    }
}

fn results(plan: &Plan) -> Result<Vec<Tensor>> {
    plan.outputs().iter().map(|m| Tensor::zeros(&m.shape, m.dtype).map_err(out_of_memory)).collect()
}

fn measure(plan: &Plan, inputs: &[Tensor], outputs: &mut [Tensor], operands: &[Operand]) -> Result<Duration> {
    let numbers: Vec<u64> = operands.iter().filter(|o| matches!(o, Operand::Number(_))).map(|_| 0).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < RUNS.start || (start.elapsed() < BUDGET && times.len() < RUNS.end) {
        let t = Instant::now();
        plan.run_tensors(&inputs, outputs, &numbers, &OwnPool)?;
        times.push(t.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// What copying moves, in GB/s, counting reads and writes, over as many bytes in all.
fn roofline(bytes: usize) -> Result<f64> {
    let n = (bytes / 8).max(16) as i64;
    let operands = [Operand::Tensor(TensorMeta::contiguous(DType::F32, &[n]))];
    let program = parse("x + 0.0", None)?;
    let plan = engine::plan(&program, &operands, OPTIONS)?;
    let time = measure(&plan, &inputs(&operands)?, &mut results(&plan)?, &operands)?;
    Ok(8.0 * n as f64 / time.as_secs_f64() / 1e9)
}
