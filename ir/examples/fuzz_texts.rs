//! Fuzzes the expression parser and the reader of kernels: `fuzz_texts [SECONDS] [SEED]`. Stops at the first
//! input that panics and prints it.

#[path = "../tests/fuzz_corpus/mod.rs"]
mod corpus;

use rusttorch_ir::fuzzing;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let time = Duration::from_secs(numbers.next().unwrap_or(60));
    let first = numbers.next().unwrap_or(0);
    let kernels = corpus::kernels(Path::new(env!("CARGO_MANIFEST_DIR")));
    type Target = (&'static str, fn(&[u8]), Vec<String>);
    let targets: [Target; 2] =
        [("expression", fuzzing::expression, corpus::expressions()), ("rtir", fuzzing::rtir, kernels)];
    for (name, target, corpus) in targets {
        let (start, mut seed) = (Instant::now(), first);
        while start.elapsed() < time / 2 {
            let bytes = fuzzing::input(seed, &corpus);
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                println!("{name}, seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
                return ExitCode::FAILURE;
            }
            seed += 1;
        }
        println!("{name}: {} inputs from seed {first}, no panic", seed - first);
    }
    ExitCode::SUCCESS
}
