//! Machine code for instruction sets that this machine may not have, run by the emulator of
//! `codegen/emulator`: the file tests and random cases, bit for bit against the interpreter.

mod common;

use common::random::{graph_case, kernel_case};
use common::space::Space;
use rusttorch_codegen::{Emitters, FrameLayout, Isa};
use rusttorch_emulator::{Machine, Region};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::BufferId;
use rusttorch_ir::kernel::interp::Array;
use rusttorch_ir::kernel::parse::parse;
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

/// A result past the caches, unless it is written over an operand.
#[test]
fn nothing_is_streamed_in_place() {
    let text = "rtir 1\nkernel @f(in0: f32 in, out0: f32 out) syms 1 {\n  phase [i0 < s0] {\n    nest {\n      \
                %0 = load.f32 in0[i0]\n      %1 = add.f32 %0, %0\n      store out0[i0], %1\n    }\n  }\n}\n";
    let kernel = parse(text).expect("a kernel");
    let n = 1200;
    let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
    let case = common::Case::new(&kernel, &[n], &[], &[Array::from_f32(&x), Array::zeros(DType::F32, n as usize)]);
    for isa in [Isa::Avx512, Isa::Avx2] {
        let (apart, _, machine) = case.emulate(isa, Emitters::Streaming, 16).expect("it runs");
        assert!(machine.executed().contains_key("Vmovntps"), "{isa}");
        let mut space = Space::new(&case, isa, Emitters::Streaming, 16).expect("code");
        let (entry, frame) = space.calls[0];
        let operand = space.memory.read(space.args[0], 4 * n as usize).expect("an operand").to_vec();
        space.memory.write(space.args[1], &operand).expect("a result");
        // A frame whose operand is where the result is.
        let layout = FrameLayout::new(&kernel);
        let slot = |b: usize| 8 * layout.buffer(BufferId::new(b));
        let mut bytes = space.memory.read(frame, 8 * layout.len()).expect("a frame").to_vec();
        bytes.copy_within(slot(1)..slot(1) + 8, slot(0));
        let frame = 0x7000_0000;
        space.memory.add(Region { name: "in place".into(), start: frame, bytes, writable: false });
        let mut machine = Machine::new(std::mem::take(&mut space.memory));
        machine.gpr[7] = frame;
        machine.call(entry, space.stack, 100_000, &mut |_, _| None).expect("it runs");
        assert!(!machine.executed().contains_key("Vmovntps"), "{isa}");
        let read = |at, len| machine.memory.read(at, len).expect("an argument's region").to_vec();
        assert_eq!(space.arrays(&case, read)[1], apart[1], "{isa}");
    }
}
