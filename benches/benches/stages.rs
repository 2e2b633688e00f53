//! What each stage from a text to a run costs.

use criterion::{Criterion, criterion_group, criterion_main};
use rusttorch_codegen::{Isa, compile};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::parse;
use rusttorch_ir::graph::{Operand, TensorMeta};
use rusttorch_ops::engine::{self, Layout, PlanOptions};
use rusttorch_runtime::Tensor;
use rusttorch_runtime::pool::Serial;
use std::hint::black_box;

const OPTIONS: PlanOptions = PlanOptions { default_dtype: DType::F32, layout: Layout::Torch, autocast: None };
const TEXTS: [(&str, &str); 3] =
    [("relu", "relu(x*x + x)"), ("gelu", "gelu(x, approximate='tanh')"), ("softmax", "softmax(x, -1)")];

fn stages(c: &mut Criterion) {
    let operands = [Operand::Tensor(TensorMeta::contiguous(DType::F32, &[64, 64]))];
    let isa = Isa::host().expect("a machine with a code generator");
    for (name, text) in TEXTS {
        c.bench_function(&format!("parse/{name}"), |b| b.iter(|| parse(black_box(text), None)));
        let program = parse(text, None).expect("a good expression");
        c.bench_function(&format!("lower_and_fuse/{name}"), |b| {
            b.iter(|| engine::lower_and_fuse(black_box(&program), &operands, OPTIONS));
        });
        let stages = engine::lower_and_fuse(&program, &operands, OPTIONS).expect("a good program");
        c.bench_function(&format!("compile/{name}"), |b| b.iter(|| compile(black_box(&stages.fused.kernel), isa)));
        let plan = engine::plan(&program, &operands, OPTIONS).expect("a good program");
        let x = Tensor::zeros(&[64, 64], DType::F32).expect("memory");
        let mut out = [Tensor::zeros(&[64, 64], DType::F32).expect("memory")];
        c.bench_function(&format!("run_4096/{name}"), |b| b.iter(|| plan.run_tensors(&[&x], &mut out, &[], &Serial)));
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
