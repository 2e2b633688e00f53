//! Encodings, through a disassembler that shares nothing with the encoder.

use super::emit_strip;
use crate::error::CodegenError;
use crate::host::HostFn;
use crate::isa::Isa;
use crate::module::expanded;
use crate::schedule::schedule;
use capstone::prelude::*;
use iced_x86::{Decoder, DecoderOptions};
use rusttorch_ir::kernel::random::random_kernel;

/// Strips of random kernels, as code without constants.
fn strips(isa: Isa, seeds: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for seed in seeds {
        let kernel = random_kernel(seed).kernel;
        let kernel = expanded(&kernel);
        // What no emitter takes is no business of this test.
        let Ok(programs) = schedule(&kernel) else { continue };
        for p in &programs {
            match emit_strip(&kernel, p, isa, seed % 2 == 1, &HostFn::address) {
                Ok(b) => out.push(b.bytes[..b.code].to_vec()),
                Err(CodegenError::Unsupported(_)) => {}
                Err(e) => panic!("seed {seed}: {e}\n{kernel}"),
            }
        }
    }
    out
}

/// Both disassemblers see the same instructions: their places, lengths and names.
#[test]
fn an_independent_disassembler_reads_the_same_instructions() {
    let cs = Capstone::new().x86().mode(arch::x86::ArchMode::Mode64).build().expect("x86 is built in");
    for isa in [Isa::Avx2, Isa::Avx512] {
        let mut seen = 0;
        let mut vectors = 0;
        for code in strips(isa, 0..60) {
            let theirs = cs.disasm_all(&code, 0).expect("code disassembles");
            let mut theirs = theirs.iter();
            for ours in Decoder::with_ip(64, &code, 0, DecoderOptions::NONE).iter() {
                let other = theirs.next().unwrap_or_else(|| panic!("{isa}: {ours} is not read"));
                let name = format!("{:?}", ours.mnemonic()).to_lowercase();
                let same = |a: &str, b: &str| a == b || alias(a, b);
                assert!(
                    other.address() == ours.ip()
                        && other.bytes().len() == ours.len()
                        && same(&name, other.mnemonic().unwrap_or_default()),
                    "{isa}: {ours} ({name}) is read as {other}"
                );
                seen += 1;
                vectors += usize::from(
                    other.op_str().is_some_and(|o| o.contains(if isa == Isa::Avx512 { "zmm" } else { "ymm" })),
                );
            }
            assert!(theirs.next().is_none(), "{isa}: bytes after the last instruction");
        }
        assert!(seen > 5_000 && vectors > 1_000, "{isa}: {seen} instructions, {vectors} of full width");
    }
}

/// Names of comparisons carry their predicate in one of the two.
fn alias(ours: &str, theirs: &str) -> bool {
    let compares = ["vcmp", "vpcmp"].iter().any(|p| ours.starts_with(p) && theirs.starts_with(p));
    compares || matches!((ours, theirs), ("mov", "movabs") | ("cmovb", "cmovb"))
}
