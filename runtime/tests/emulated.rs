//! Machine code for instruction sets that this machine may not have, run by the emulator of
//! `codegen/emulator`: the file tests and random cases, bit for bit against the interpreter.

mod common;

use common::random::{graph_case, kernel_case};
use rusttorch_codegen::{Emitters, Isa};
use std::collections::BTreeMap;

/// Instructions that came up, over all cases.
#[derive(Default)]
struct Seen(BTreeMap<String, u64>);

impl Seen {
    fn check(&mut self, case: &common::Case, isa: Isa, seed: u64) {
        // A launch takes any multiple of 16 lanes.
        let tile = 16 * (1 + seed as usize % 5);
        let emitters = if seed.is_multiple_of(2) { Emitters::Widest } else { Emitters::Streaming };
        let machine = case.check_emulated(isa, emitters, tile).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for (m, n) in machine.executed() {
            *self.0.entry(m).or_default() += n;
        }
    }
}

#[test]
fn file_tests() {
    for file in common::corpus::files() {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let case = common::corpus::case(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for isa in [Isa::Avx512, Isa::Avx2, Isa::Baseline] {
            for emitters in [Emitters::Widest, Emitters::Streaming] {
                case.check_emulated(isa, emitters, 16).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            }
        }
    }
}

fn random(isa: Isa, kernels: u64, graphs: u64) -> Seen {
    let mut seen = Seen::default();
    for seed in 0..kernels {
        seen.check(&kernel_case(seed), isa, seed);
    }
    for seed in 0..graphs {
        seen.check(&graph_case(seed), isa, seed);
    }
    seen
}

#[test]
fn avx512() {
    let seen = random(Isa::Avx512, 100, 60);
    // Instructions that only AVX-512 has.
    for name in ["Kmovw", "Vscalefps", "Vpmovdb", "Vmovntps"] {
        assert!(seen.0.contains_key(name), "no {name} among {:?}", seen.0.keys());
    }
}

#[test]
fn avx2() {
    random(Isa::Avx2, 60, 40);
}

#[test]
fn baseline() {
    random(Isa::Baseline, 40, 30);
}
