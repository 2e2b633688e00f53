//! Encodings, through a disassembler that shares nothing with the encoder.

use super::emit_strip;
use crate::error::CodegenError;
use crate::host::HostFn;
use crate::isa::Isa;
use crate::jam::jam;
use crate::module::{compile, expanded};
use crate::schedule::schedule;
use capstone::prelude::*;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};
use rusttorch_ir::kernel::parse::parse;
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
    // (Capstone does not know AVX512-BF16.)
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

/// Rows of random kernels run together often enough for `make fuzz` to mean something.
#[test]
fn rows_of_random_kernels_run_together() {
    let together = |seed: &u64| {
        let kernel = random_kernel(*seed).kernel;
        let kernel = expanded(&kernel);
        let programs = schedule(&kernel).unwrap_or_default();
        programs.iter().any(|p| jam(&kernel, &p.strip, 4).is_some())
    };
    let count = (0..400).filter(together).count();
    assert!(count >= 12, "{count} of 400");
}

/// What a row has once is computed for four rows at once: a root in the code of four rows, one in that of the rest.
#[test]
fn uniform_code_of_rows_runs_once() {
    let kernel = parse(include_str!("../../filetests/rows-together.rtir")).expect("a kernel");
    let programs = schedule(&kernel).expect("lane code");
    let strip = emit_strip(&kernel, &programs[0], Isa::Avx512, false, &HostFn::address).expect("a strip");
    let code: Vec<Instruction> =
        Decoder::with_ip(64, &strip.bytes[..strip.code], 0, DecoderOptions::NONE).iter().collect();
    assert_eq!(count(&code, Mnemonic::Vsqrtps), 2);
}

/// Names of comparisons carry their predicate in one of the two.
fn alias(ours: &str, theirs: &str) -> bool {
    let compares = ["vcmp", "vpcmp"].iter().any(|p| ours.starts_with(p) && theirs.starts_with(p));
    compares || matches!((ours, theirs), ("mov", "movabs") | ("cmovb", "cmovb"))
}

/// The instructions of the first loop of a strip at AVX2, which runs whole vectors: from the target of a jump back to that
/// jump.
fn first_loop(text: &str) -> Vec<Instruction> {
    first_loop_at(text, Isa::Avx2)
}

fn first_loop_at(text: &str, isa: Isa) -> Vec<Instruction> {
    let kernel = parse(text).expect("a kernel");
    let kernel = expanded(&kernel);
    let programs = schedule(&kernel).expect("a schedule");
    let strip = emit_strip(&kernel, &programs[0], isa, false, &HostFn::address).expect("a strip");
    let code = Decoder::with_ip(64, &strip.bytes[..strip.code], 0, DecoderOptions::NONE).iter().collect::<Vec<_>>();
    let back = |j: &&Instruction| j.is_jcc_short_or_near() && j.near_branch_target() < j.ip();
    let body = |j: &Instruction| {
        let inside = |i: &&Instruction| (j.near_branch_target()..j.ip()).contains(&i.ip());
        code.iter().filter(inside).copied().collect::<Vec<_>>()
    };
    code.iter().find(back).map(body).expect("a loop")
}

fn reads_memory(i: &Instruction) -> bool {
    (1..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory)
}

fn map(body: &str) -> String {
    format!(
        "rtir 1\nkernel @f(in0: f32 in, in1: f32 in, out0: f32 out, out1: f32 out) syms 1 {{\n  phase [i0 < s0] {{\n    \
         nest {{\n{body}    }}\n  }}\n}}\n"
    )
}

/// A load is an operand of what reads it, and a loop tests at its end: four vectors of `out = x + y` are a load, an
/// addition and a store each.
#[test]
fn loads_are_operands() {
    let text = map("      %0 = load.f32 in0[i0]\n      %1 = load.f32 in1[i0]\n      %2 = add.f32 %0, %1\n      \
                    store out0[i0], %2\n      store out1[i0], %2\n");
    let names: Vec<_> = first_loop(&text).iter().map(|i| (i.mnemonic(), reads_memory(i))).collect();
    use Mnemonic::{Add, Cmp, Vaddps, Vmovups};
    let times = |n: usize, what| std::iter::repeat_n(what, n);
    let expected = times(4, (Vmovups, true)).chain(times(4, (Vaddps, true))).chain(times(8, (Vmovups, false)));
    let expected: Vec<_> = expected.chain([(Add, false), (Cmp, false)]).collect();
    assert_eq!(names, expected);
}

/// But it never moves over a store, which may be to where it reads.
#[test]
fn loads_stay_before_stores() {
    let text = map("      %0 = load.f32 in0[i0]\n      %1 = load.f32 in1[i0]\n      store out0[i0], %0\n      \
                    %2 = add.f32 %0, %1\n      store out1[i0], %2\n");
    let body = first_loop(&text);
    let first_store = body.iter().position(|i| i.op_kind(0) == OpKind::Memory).expect("stores");
    assert!(body[first_store..].iter().all(|i| !reads_memory(i)));
}

/// Constants that a loop reads come from registers, as many as are free.
#[test]
fn constants_stay_in_registers() {
    let mut body = "      %0 = load.f32 in0[i0]\n      %1 = const.f32 1.5\n      %2 = mul.f32 %0, %1\n".to_owned();
    for k in 0..20 {
        let (v, c) = (3 + 2 * k, 0.25 + f64::from(k));
        body += &format!("      %{v} = const.f32 {c}\n      %{} = add.f32 %{}, %{v}\n", v + 1, v - 1);
    }
    body += "      store out0[i0], %42\n      store out1[i0], %42\n";
    let code = first_loop(&map(&body));
    let pool = |i: &&Instruction| reads_memory(i) && i.is_ip_rel_memory_operand();
    let (vectors, constants) = (code.iter().filter(|i| i.mnemonic() == Mnemonic::Vmulps).count(), 21);
    // All but two registers hold a value or a constant.
    let held = 16 - 2 - vectors;
    assert_eq!(code.iter().filter(pool).count(), vectors * (constants - held));
}

/// The columns of a short row are taken out of vectors that are read once; a row of 4 conflicts when it is blended.
#[test]
fn short_rows_are_read_once() {
    let reads = |columns: usize| {
        let text = format!(
            "rtir 1\nkernel @f(in0: f32 in, out0: f32 out) syms 1 {{\n  phase [i0 < s0] {{\n    nest [i1 < {columns}] {{\n      \
             %0 = load.f32 in0[{columns}*i0 + i1]\n      %1 = reduce.sum.f32.lanes %0\n    }}\n    nest {{\n      \
             store out0[i0], %1\n    }}\n  }}\n}}\n"
        );
        let read = |i: &&Instruction| reads_memory(i) && i.mnemonic() != Mnemonic::Lea && !i.is_ip_rel_memory_operand();
        first_loop(&text).iter().filter(read).count()
    };
    assert_eq!([3, 4, 5].map(reads), [3, 16, 5]);
}

/// What is read backwards is read by whole vectors, of which each is reversed by one instruction.
#[test]
fn backwards_is_reversed() {
    for (dtype, reverse) in [("f32", Mnemonic::Vpermps), ("f64", Mnemonic::Vpermpd), ("u8", Mnemonic::Vpermps)] {
        let text = format!(
            "rtir 1\nkernel @f(in0: {dtype} in, out0: {dtype} out) syms 2 {{\n  phase [i0 < s0] {{\n    nest {{\n      \
             %0 = load.{dtype} in0[s1 + -1*i0]\n      store out0[i0], %0\n    }}\n  }}\n}}\n"
        );
        let code = first_loop(&text);
        let count = |m: Mnemonic| code.iter().filter(|i| i.mnemonic() == m).count();
        assert!(count(reverse) > 0, "{dtype}");
        assert_eq!([Mnemonic::Vpinsrb, Mnemonic::Vpinsrd, Mnemonic::Vpinsrq].map(count), [0; 3], "{dtype}");
    }
}

fn count(code: &[Instruction], m: Mnemonic) -> usize {
    code.iter().filter(|i| i.mnemonic() == m).count()
}

/// A map of bytes takes 32 lanes to a register: `a & (b < c)` loads, compares and stores four of them.
#[test]
fn bytes_fill_registers() {
    let text = "rtir 1\nkernel @f(a: bool in, b: u8 in, c: u8 in, out: bool out) syms 1 {\n  phase [i0 < s0] {\n    nest {\n      \
                %0 = load.bool a[i0]\n      %1 = load.u8 b[i0]\n      %2 = load.u8 c[i0]\n      %3 = lt.u8 %1, %2\n      \
                %4 = and.bool %0, %3\n      store out[i0], %4\n    }\n  }\n}\n";
    let code = first_loop(text);
    assert_eq!([Mnemonic::Vpmaxub, Mnemonic::Vpcmpeqb].map(|m| count(&code, m)), [4; 2]);
    assert_eq!([Mnemonic::Vpmovzxbd, Mnemonic::Vpackuswb].map(|m| count(&code, m)), [0; 2]);
}

/// Tables of up to 32 elements are permuted in registers, and what is a remainder by their length needs no `and`.
#[test]
fn tables_are_permuted() {
    use Mnemonic::{Vblendvps, Vpand, Vpandd, Vpermi2ps, Vpermps, Vpslld};
    let table = |n: usize| (0..n).map(|i| format!("{i}.5")).collect::<Vec<_>>().join(", ");
    // A remainder by the length of two tables, each of which it reads.
    let text = |n: usize| {
        map(&format!(
            "      %0 = load.f32 in0[i0]\n      %1 = bitcast.i32 %0\n      %2 = const.i32 {}\n      %3 = and.i32 %1, %2\n      \
             %4 = lookup.f32 [{}], %3\n      %5 = lookup.f32 [{}], %3\n      %6 = add.f32 %4, %5\n      \
             store out0[i0], %6\n",
            n - 1,
            table(n),
            table(n),
        ))
    };
    for (n, avx2, avx512) in [(8, [2, 0, 0], [2, 0]), (16, [4, 2, 1], [2, 0]), (32, [8, 6, 2], [0, 2])] {
        let code = first_loop_at(&text(n), Isa::Avx2);
        let vectors = count(&code, Mnemonic::Vaddps);
        assert_eq!([Vpermps, Vblendvps, Vpslld].map(|m| count(&code, m)), avx2.map(|k| k * vectors), "{n}");
        assert_eq!(count(&code, Vpand), 0, "{n}");
        let code = first_loop_at(&text(n), Isa::Avx512);
        let vectors = count(&code, Mnemonic::Vaddps);
        assert_eq!([Vpermps, Vpermi2ps].map(|m| count(&code, m)), avx512.map(|k| k * vectors), "{n}");
        assert_eq!(count(&code, Vpandd), 0, "{n}");
    }
}

/// The sign of one value on another is one instruction of AVX-512, however it is written.
#[test]
fn signs_are_merged() {
    let bits = "      %0 = load.f32 in0[i0]\n      %1 = load.f32 in1[i0]\n      %2 = bitcast.i32 %0\n      %3 = bitcast.i32 %1\n      \
                %4 = const.i32 -2147483648\n      %5 = and.i32 %3, %4\n      %6 = or.i32 %2, %5\n      %7 = bitcast.f32 %6\n      \
                store out0[i0], %7\n";
    let copysign = "      %0 = load.f32 in0[i0]\n      %1 = load.f32 in1[i0]\n      %2 = copysign.f32 %0, %1\n      \
                    store out0[i0], %2\n";
    for body in [bits, copysign] {
        let code = first_loop_at(&map(body), Isa::Avx512);
        assert_eq!(count(&code, Mnemonic::Vpternlogd), 4, "{body}");
        assert_eq!([Mnemonic::Vpandd, Mnemonic::Vpord].map(|m| count(&code, m)), [0, 0], "{body}");
    }
}

/// Sums of one nest are carried in registers, two of them on AVX2: their loop stores nothing.
#[test]
fn several_sums_stay_in_registers() {
    let text = "rtir 1\nkernel @f(in0: f32 in, out0: f32 out) syms 1 {\n  phase {\n    nest [i0 < s0] {\n      \
                %0 = load.f32 in0[i0]\n      %1 = reduce.sum.f32.lanes %0\n      %2 = mul.f32 %0, %0\n      \
                %3 = reduce.sum.f32.lanes %2\n    }\n    nest {\n      store out0[0], %1\n      store out0[1], %3\n    \
                }\n  }\n}\n";
    for (isa, sums) in [(Isa::Avx2, 8), (Isa::Avx512, 4)] {
        let code = first_loop_at(text, isa);
        let stores = code.iter().filter(|i| i.op0_kind() == OpKind::Memory).count();
        assert_eq!((count(&code, Mnemonic::Vaddps), stores), (sums, 0), "{isa}");
    }
}

/// A 16-bit float that is stored is words at once, and one that is read is converted by its load.
#[test]
fn halves_are_converted_where_they_are_read_and_written() {
    let text = |half: &str| {
        format!(
            "rtir 1\nkernel @f(in0: {half} in, out0: {half} out) syms 1 {{\n  phase [i0 < s0] {{\n    nest {{\n      \
             %0 = load.{half} in0[i0]\n      %1 = convert.f32 %0\n      %2 = mul.f32 %1, %1\n      \
             %3 = convert.{half} %2\n      store out0[i0], %3\n    }}\n  }}\n}}\n"
        )
    };
    use Mnemonic::{Vcvtneps2bf16, Vcvtph2ps, Vcvtps2ph, Vpmovdw, Vpmovzxwd};
    let names = [Vcvtph2ps, Vcvtps2ph, Vcvtneps2bf16, Vpmovzxwd, Vpmovdw];
    for (half, isa, want) in [
        ("f16", Isa::Avx512, [2, 2, 0, 0, 0]),
        ("f16", Isa::Avx2, [2, 2, 0, 0, 0]),
        ("bf16", Isa::Avx512Bf16, [0, 0, 2, 2, 0]),
        ("bf16", Isa::Avx512, [0, 0, 0, 2, 2]),
    ] {
        let code = first_loop_at(&text(half), isa);
        assert_eq!(names.map(|m| count(&code, m)), want, "{half} {isa}");
    }
}

/// Eight quotients of 32 bits are two divisions of doubles.
#[test]
fn integers_are_divided_by_vectors() {
    let text = "rtir 1\nkernel @f(a: i32 in, b: i32 in, out: i32 out) syms 1 {\n  phase [i0 < s0] {\n    nest {\n      \
                %0 = load.i32 a[i0]\n      %1 = load.i32 b[i0]\n      %2 = idiv.i32 %0, %1\n      store out[i0], %2\n    \
                }\n  }\n}\n";
    let code = first_loop(text);
    assert_eq!([Mnemonic::Vdivpd, Mnemonic::Idiv].map(|m| count(&code, m)), [2, 0]);
}

/// A nest calls its strip wherever that lies: no near call, which reaches 2 GiB.
#[test]
#[allow(unsafe_code)]
fn a_nest_calls_its_strip_at_any_distance() {
    let text = "rtir 1\nkernel @f(in0: f32 in, out0: f32 out) syms 5 {\n  phase [i0 < s0, i1 < s1, i2 < s2] {\n    nest {\n      \
                %0 = load.f32 in0[s3*i0 + s4*i1 + i2]\n      store out0[s1*s2*i0 + s2*i1 + i2], %0\n    }\n  }\n}\n";
    let compiled = compile(&parse(text).expect("a kernel"), Isa::Avx2).expect("code");
    let phase = compiled.symbols().iter().find(|s| s.name == "phase0").expect("a nest around the strip");
    // SAFETY: the code lives as long as `compiled`.
    let code = unsafe { std::slice::from_raw_parts(phase.address as *const u8, phase.size) };
    let code: Vec<Instruction> = Decoder::with_ip(64, code, 0, DecoderOptions::NONE).into_iter().collect();
    assert_eq!(code.iter().filter(|i| i.is_call_near_indirect()).count(), 1);
    assert_eq!(code.iter().filter(|i| i.is_call_near()).count(), 0);
}
