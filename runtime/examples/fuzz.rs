//! Differential fuzzing of the code generator: `fuzz [SEEDS] [START] [emulate]`. Every seed makes a random kernel
//! and a random fused graph; machine code is compared with the interpreter at every instruction set of
//! this machine, with `emulate` also under the emulator at AVX-512. Stops at the first difference.

#[path = "../tests/common/mod.rs"]
mod common;

use common::random::{graph_case, kernel_case};
use rusttorch_codegen::Isa;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let emulate = std::env::args().any(|a| a == "emulate");
    let mut numbers = std::env::args().skip(1).filter(|a| a != "emulate").map(|a| a.parse::<u64>().expect("a number"));
    let seeds = numbers.next().unwrap_or(10_000);
    let start = numbers.next().unwrap_or(0);
    let begin = Instant::now();
    for seed in start..start + seeds {
        for (kind, case) in [("kernel", kernel_case(seed)), ("graph", graph_case(seed))] {
            let start = Instant::now();
            let tile = 16 * (1 + seed as usize % 5);
            let emulated = || if emulate { case.check_emulated(Isa::Avx512, tile).map(|_| ()) } else { Ok(()) };
            if let Err(report) = case.check().and_then(|()| emulated()) {
                println!("{kind} of seed {seed}: {report}");
                return ExitCode::FAILURE;
            }
            let seconds = start.elapsed().as_secs_f64();
            if seconds > 5.0 {
                println!("{kind} of seed {seed} took {seconds:.0} s");
            }
        }
        let done = seed + 1 - start;
        if done.is_multiple_of(500) {
            println!("{done} seeds, {:.0} s", begin.elapsed().as_secs_f64());
        }
    }
    println!("{seeds} seeds from {start}: no difference");
    ExitCode::SUCCESS
}
