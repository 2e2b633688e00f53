//! The emulator against this machine: every form that both know, with random operands, on random registers
//! and memory. Where the machine has AVX-512, that too; `tests/bochs.rs` is for where it has not.
#![cfg(all(target_arch = "x86_64", unix))]

mod cases;
#[path = "cases/run.rs"]
mod run;

use cases::{Case, Rng, cases, random_state};
use run::{emulator_test_avx2, emulator_test_avx512};

/// Bytes between the starts of two instructions in executable memory.
const SLOT: usize = 32;

/// Executable memory with every case in a slot of its own, followed by `ret`.
fn executable(cases: &[Case]) -> u64 {
    let bytes = (cases.len() * SLOT).next_multiple_of(4096);
    // SAFETY: fresh pages of our own, written before they become executable and never freed.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let at = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert!(at != libc::MAP_FAILED);
        for (n, case) in cases.iter().enumerate() {
            let slot = at.cast::<u8>().add(n * SLOT);
            slot.copy_from_nonoverlapping(case.bytes.as_ptr(), case.bytes.len());
            slot.add(case.bytes.len()).write(0xc3);
        }
        assert_eq!(libc::mprotect(at, bytes, libc::PROT_READ | libc::PROT_EXEC), 0);
        at as u64
    }
}

#[test]
fn every_form_agrees_with_this_machine() {
    if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("fma") {
        eprintln!("no AVX2 on this machine");
        return;
    }
    let avx512 = is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let mut rng = Rng(1);
    let (cases, forms) = cases(&mut rng, 12, avx512);
    assert!(forms > 700, "only {forms} forms");
    let code = executable(&cases);
    let mut failures = Vec::new();
    let mut ran = 0;
    for (n, case) in cases.iter().enumerate() {
        for _ in 0..6 {
            let mut real = Box::new(random_state(&mut rng, case));
            let mut emulated = real.clone();
            let data = (&raw const real.data).addr() as u64;
            if case.emulate(&mut emulated, data).is_err() {
                continue;
            }
            ran += 1;
            real.gpr[3] = data + cases::DATA as u64 / 2;
            real.code = code + (n * SLOT) as u64;
            // SAFETY: the emulator has run the same instruction on the same state, and it reached no other memory
            // than the state's; the rest of the machine is saved and restored.
            unsafe { if avx512 { emulator_test_avx512(&raw mut *real) } else { emulator_test_avx2(&raw mut *real) } }
            if let Some(what) = case.difference(&emulated, &real, if avx512 { 64 } else { 32 }) {
                failures.push(format!("{} ({:?}): {what}", case.instruction, case.instruction.code()));
                break;
            }
        }
    }
    println!("{forms} forms, {} instructions, {ran} runs", cases.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(40)].join("\n"));
}
