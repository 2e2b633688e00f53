//! What the runtime costs per call: allocator, cache, threads. `cargo run --release --example overheads`.

use std::hint::black_box;
use std::time::Instant;

use rusttorch_ir::dtype::DType;
use rusttorch_runtime::pool::{OwnPool, Parallel, Serial};
use rusttorch_runtime::random::Philox;
use rusttorch_runtime::{Tensor, alloc, cache::Cache, fpu::FpuGuard, matmul::matmul};

/// Median over ten rounds, in nanoseconds per call.
fn time(name: &str, calls: usize, mut f: impl FnMut()) {
    f();
    let mut rounds: Vec<f64> = (0..10)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| f());
            start.elapsed().as_nanos() as f64 / calls as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:44} {:12.1} ns", rounds[5]);
}

fn main() {
    for size in [64, 4096, 16 << 10, 1 << 20, 64 << 20] {
        time(&format!("allocate and free {size} bytes"), 20_000, || {
            black_box(alloc::Block::new(size).expect("memory"));
        });
    }
    time("Tensor::empty(32, 32)", 20_000, || drop(black_box(Tensor::empty(&[32, 32], DType::F32).expect("memory"))));
    let tensor = Tensor::zeros(&[32, 32], DType::F32).expect("memory");
    time("clone of a tensor", 20_000, || drop(black_box(tensor.clone())));
    let cache = Cache::<(u64, u64), u64, ()>::new(64);
    cache.get_or_build(&(1, 2), || Ok(3)).expect("built");
    time("cache hit", 20_000, || drop(black_box(cache.get_or_build(&(1, 2), || Ok(3)))));
    time("floating-point guard", 20_000, || drop(black_box(FpuGuard::new())));
    println!("threads: {}", OwnPool.threads());
    for tasks in [1, 2, 8] {
        time(&format!("run {tasks} empty tasks"), 2_000, || OwnPool.run(tasks, &|i| _ = black_box(i)));
    }
    time("install of nothing", 2_000, || OwnPool.install(|n| _ = black_box(n)));
    let mut data = vec![1.0f32; 200_000];
    let cell = data.as_mut_ptr() as usize;
    let body = |part: usize, parts: usize| {
        let n = 200_000 / parts;
        // Reading is enough to see how the work is shared.
        let sum: f32 = (part * n..(part + 1) * n).map(|i| (i ^ cell) as f32).sum();
        black_box(sum);
    };
    time("200k floats, serial", 200, || Serial.run(2, &|i| body(i, 2)));
    time("200k floats, pool", 200, || OwnPool.run(2, &|i| body(i, 2)));
    for n in [16i64, 128, 512] {
        let a = Tensor::zeros(&[n, n], DType::F32).expect("memory");
        time(&format!("matmul {n}x{n}x{n} f32"), (1 << 22) / (n * n * n) as usize + 3, || {
            drop(black_box(matmul(&a, &a)));
        });
    }
    let mut z = vec![0.0f32; 1 << 20];
    time("1 Mi uniform f32", 3, || Philox::new(1).fill_uniform_f32(&mut z, 24, &OwnPool));
}
