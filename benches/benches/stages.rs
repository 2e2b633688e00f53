//! What each stage from a text to a run costs: parse, fuse, simplify, emit per instruction set, launch.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rusttorch_codegen::{Emitters, Isa, compile, compile_by, image};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::parse;
use rusttorch_ir::fuse::{FuseOptions, fuse};
use rusttorch_ir::graph::{Operand, TensorMeta};
use rusttorch_ir::kernel::simplify::simplify;
use rusttorch_ops::engine::{self, Layout, PlanOptions};
use rusttorch_runtime::Tensor;
use rusttorch_runtime::pool::Serial;
use std::hint::black_box;
use std::sync::Arc;

const OPTIONS: PlanOptions = PlanOptions { default_dtype: DType::F32, layout: Layout::Torch, autocast: None };
const TEXTS: [(&str, &str); 4] = [
    ("relu", "relu(x*x + x)"),
    ("gelu", "gelu(x, approximate='tanh')"),
    ("softmax", "softmax(x, -1)"),
    ("var", "var(x, 1)"),
];
/// Where code is made for that is looked at by nobody, and host functions within reach of it.
const BASE: u64 = 1 << 28;

fn stages(c: &mut Criterion) {
    let operands = [Operand::Tensor(TensorMeta::contiguous(DType::F32, &[64, 64]))];
    let host = Isa::host().expect("a machine with a code generator");
    for (name, text) in TEXTS {
        c.bench_function(&format!("parse/{name}"), |b| b.iter(|| parse(black_box(text), None)));
        let program = parse(text, None).expect("a good expression");
        c.bench_function(&format!("lower/{name}"), |b| {
            b.iter(|| engine::typed(black_box(&program), &operands, OPTIONS));
        });
        let (graph, outputs) = engine::typed(&program, &operands, OPTIONS).expect("a good program");
        let options = FuseOptions::default();
        c.bench_function(&format!("fuse/{name}"), |b| b.iter(|| fuse(black_box(&graph), &outputs, &options)));
        let fused = fuse(&graph, &outputs, &options).expect("a good graph").kernel;
        c.bench_function(&format!("simplify/{name}"), |b| {
            b.iter_batched_ref(|| fused.clone(), simplify, BatchSize::SmallInput);
        });
        let kernel = engine::lower_and_fuse(&program, &operands, OPTIONS).expect("a good program").fused.kernel;
        // Bytes for any machine, without making them executable.
        for isa in [Isa::Avx2, Isa::Avx512, Isa::Neon] {
            c.bench_function(&format!("emit_{}/{name}", isa.name()), |b| {
                b.iter(|| image(black_box(&kernel), isa, Emitters::Widest, BASE, &|_| BASE + (1 << 24)));
            });
        }
        // Executable code for this one: as users get it, and of Cranelift alone.
        c.bench_function(&format!("compile/{name}"), |b| b.iter(|| compile(black_box(&kernel), host)));
        let kernel = Arc::new(kernel);
        c.bench_function(&format!("compile_cranelift/{name}"), |b| {
            b.iter(|| compile_by(black_box(&kernel), host, Emitters::Cranelift));
        });
        run(c, &format!("run_4096/{name}"), text, &[64, 64]);
    }
    for (name, text) in TEXTS {
        run(c, &format!("launch_16/{name}"), text, &[4, 4]);
    }
}

/// A cached kernel on one thread, results reused.
fn run(c: &mut Criterion, label: &str, text: &str, shape: &[i64]) {
    let program = parse(text, None).expect("a good expression");
    let operands = [Operand::Tensor(TensorMeta::contiguous(DType::F32, shape))];
    let plan = engine::plan(&program, &operands, OPTIONS).expect("a good program");
    let x = Tensor::zeros(shape, DType::F32).expect("memory");
    let mut out = [Tensor::zeros(&plan.outputs()[0].shape, DType::F32).expect("memory")];
    c.bench_function(label, |b| b.iter(|| plan.run_tensors(&[&x], &mut out, &[], &Serial)));
}

criterion_group!(benches, stages);
criterion_main!(benches);
