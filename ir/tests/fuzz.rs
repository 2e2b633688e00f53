//! The fuzz targets of `rusttorch_ir::fuzzing`, a second each; longer by
//! `cargo run --release -p rusttorch-ir --example fuzz_texts`.

use rusttorch_ir::fuzzing;
use std::path::Path;
use std::time::{Duration, Instant};

fn run(target: fn(&[u8]), corpus: &[String]) {
    assert!(corpus.len() > 10, "a corpus of {} texts", corpus.len());
    let start = Instant::now();
    let mut seed = 0;
    while start.elapsed() < Duration::from_secs(1) {
        let bytes = fuzzing::input(seed, corpus);
        let result = std::panic::catch_unwind(|| target(&bytes));
        assert!(result.is_ok(), "seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
        seed += 1;
    }
    assert!(seed > 100, "only {seed} inputs in a second");
}

#[test]
fn expressions() {
    run(fuzzing::expression, &common::expressions());
}

#[test]
fn kernels() {
    run(fuzzing::rtir, &common::kernels(Path::new(env!("CARGO_MANIFEST_DIR"))));
}

#[path = "fuzz_corpus/mod.rs"]
mod common;
