//! Times a kernel text over generated memory: `kernel_time FILE.rtir SYM,SYM.. REPEAT`.

use rusttorch_codegen::{Emitters, Isa, compile};
use rusttorch_ir::kernel::parse::parse;
use rusttorch_runtime::launch::{Arg, Plan};
use rusttorch_runtime::pool::Serial;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&args[1]).expect("a readable file");
    let kernel = parse(&text).unwrap_or_else(|e| panic!("{e}"));
    let syms: Vec<i64> = args[2].split(',').map(|s| s.parse().expect("an integer")).collect();
    let isa = Isa::host().expect("a supported machine");
    for _ in 0..3 {
        let t = Instant::now();
        let c = compile(&kernel, isa).unwrap_or_else(|e| panic!("{e}"));
        println!("compile {:?}, {} bytes of code", t.elapsed(), c.code_size);
    }
    let compiled = Arc::new(compile(&kernel, isa).unwrap_or_else(|e| panic!("{e}")));
    if args.len() > 4 {
        println!("{}", rusttorch_codegen::compile_for(&kernel, isa, Emitters::Widest).expect("it compiled before").asm);
    }
    let plan = Plan::new(compiled, &syms).unwrap_or_else(|e| panic!("{e}"));
    let mut memory: Vec<Vec<f64>> = plan
        .touched()
        .iter()
        .map(|t| {
            (0..t.map_or(0, |t| t.1 + 1))
                .map(|i| f64::from_bits((((i % 1000) as f32 / 500.0 - 1.0).to_bits() as u64) * 0x1_0000_0001))
                .collect()
        })
        .collect();
    let views: Vec<Arg> = memory
        .iter_mut()
        .zip(&kernel.buffers)
        // SAFETY: eight bytes per element suffice for every dtype, and the memory outlives the runs.
        .map(|(m, b)| unsafe { Arg::new(m.as_mut_ptr().cast(), 0, m.len() as i64, b.dtype) })
        .collect();
    let repeat: usize = args[3].parse().expect("an integer");
    let mut times: Vec<f64> = (0..repeat)
        .map(|_| {
            let t = Instant::now();
            plan.run(&views, &vec![0; kernel.scalars.len()], &Serial).unwrap_or_else(|e| panic!("{e}"));
            t.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("median {:.1} us, best {:.1} us", times[repeat / 2], times[0]);
}
