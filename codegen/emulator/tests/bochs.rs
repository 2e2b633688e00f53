//! The emulator against Bochs, which restates AVX-512 on its own: every form of it that both know, with random
//! operands, on random registers and memory. `make test-avx512` runs it; it needs Debian's `bochs`.
//!
//! A disk image holds a boot sector that enters long mode, a runner, and a slot per case with registers, memory
//! and code. The runner reads a slot, runs it as `tests/native.rs` does, and writes it back; no system is
//! between.
#![cfg(all(target_arch = "x86_64", unix))]

mod cases;
#[path = "cases/run.rs"]
mod run;

use cases::{Case, DATA, Rng, State, cases, is_avx512, random_state};
use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};
use run::{emulator_test_avx512, emulator_test_avx512_end};
use std::arch::global_asm;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

const SECTOR: usize = 512;
/// Where the runner is loaded.
const RUNNER: u64 = 0x8000;
/// Offsets in what is loaded there: interrupt table, number of cases, the code that loads registers.
const TABLE: usize = 0x1000;
const COUNT: usize = 0x1800;
const RUN: usize = 0x2000;
/// First sector of the cases, and sectors of each.
const FIRST: usize = 64;
const SLOT: usize = 8;
/// Where a slot is read to, and its code within.
const BUFFER: u64 = 0x20_0000;
const CODE: usize = 0xe00;
/// In a state's code address when an exception came.
const EXCEPTION: u64 = !0;

global_asm!(
    ".globl bochs_boot, bochs_runner, bochs_exception, bochs_end",
    ".code16",
    "bochs_boot:",
    "cli",
    "cld",
    "xorw %ax, %ax",
    "movw %ax, %ds",
    "movw %ax, %es",
    "movw %ax, %ss",
    "movw $0x7c00, %sp",
    "inb $0x92, %al",
    "orb $2, %al",
    "outb %al, $0x92",
    // The runner: 63 sectors.
    "movw $(8f - bochs_boot + 0x7c00), %si",
    "movb $0x42, %ah",
    "int $0x13",
    // The first GiB, mapped to itself.
    "movw $0x1000, %di",
    "xorl %eax, %eax",
    "movw $0xc00, %cx",
    "rep stosl",
    "movl $0x2003, 0x1000",
    "movl $0x3003, 0x2000",
    "movw $0x3000, %di",
    "movl $0x83, %eax",
    "2: movl %eax, (%di)",
    "addl $0x200000, %eax",
    "addw $8, %di",
    "cmpw $0x4000, %di",
    "jne 2b",
    // PAE, SSE, XSAVE; long mode; paging.
    "movl $0x40620, %eax",
    "movl %eax, %cr4",
    "movl $0x1000, %eax",
    "movl %eax, %cr3",
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x100, %eax",
    "wrmsr",
    "lgdtl (7f - bochs_boot + 0x7c00)",
    "movl $0x80000033, %eax",
    "movl %eax, %cr0",
    "ljmpl $8, $0x8000",
    ".balign 8",
    "6: .quad 0",
    ".quad 0x00af9a000000ffff",
    ".quad 0x00cf92000000ffff",
    "7: .word 23",
    ".long 6b - bochs_boot + 0x7c00",
    "8: .byte 16, 0",
    ".word 63, 0x8000, 0",
    ".quad 1",
    ".org bochs_boot + 510",
    ".word 0xaa55",
    ".code64",
    "bochs_runner:",
    "movw $16, %ax",
    "movw %ax, %ds",
    "movw %ax, %es",
    "movw %ax, %ss",
    "movl $0x7c00, %esp",
    "xorl %ecx, %ecx",
    "xorl %edx, %edx",
    // x87, SSE, AVX, masks, both halves of AVX-512.
    "movl $0xe7, %eax",
    "xsetbv",
    "lidt 9f(%rip)",
    "movl $0, 0x6000",
    "2: movl 0x6000, %eax",
    "cmpl {count}, %eax",
    "jae 5f",
    "movb $0x20, %bl",
    "call 6f",
    "movl ${buffer}, %edi",
    "3: call 7f",
    "movl $256, %ecx",
    "movw $0x1f0, %dx",
    "rep insw",
    "cmpl ${buffer_end}, %edi",
    "jb 3b",
    "movl ${buffer}, %edi",
    "movl ${run}, %eax",
    "call *%rax",
    "4: movl 0x6000, %eax",
    "movb $0x30, %bl",
    "call 6f",
    "movl ${buffer}, %esi",
    "8: call 7f",
    "movl $256, %ecx",
    "movw $0x1f0, %dx",
    "rep outsw",
    "cmpl ${buffer_end}, %esi",
    "jb 8b",
    "incl 0x6000",
    "jmp 2b",
    // The end: the word that Bochs wants to hear.
    "5: leaq 8f(%rip), %rsi",
    "movl $8, %ecx",
    "movw $0x8900, %dx",
    "rep outsb",
    "hlt",
    "8: .ascii \"Shutdown\"",
    // Disk command bl for the slot of case eax.
    "6: shll $3, %eax",
    "addl ${first}, %eax",
    "movl %eax, %ecx",
    "movw $0x1f2, %dx",
    "movb $8, %al",
    "outb %al, %dx",
    "incw %dx",
    "movl %ecx, %eax",
    "outb %al, %dx",
    "incw %dx",
    "shrl $8, %eax",
    "outb %al, %dx",
    "incw %dx",
    "shrl $8, %eax",
    "outb %al, %dx",
    "incw %dx",
    "movb $0xe0, %al",
    "outb %al, %dx",
    "incw %dx",
    "movb %bl, %al",
    "outb %al, %dx",
    "ret",
    // Waits for data.
    "7: movw $0x1f7, %dx",
    "8: inb %dx, %al",
    "testb $0x80, %al",
    "jnz 8b",
    "testb $8, %al",
    "jz 8b",
    "ret",
    ".balign 8",
    "bochs_exception:",
    "movl $0x7c00, %esp",
    "movq $-1, {code}",
    "jmp 4b",
    ".balign 8",
    "9: .word 511",
    ".quad {table}",
    "bochs_end:",
    count = const RUNNER as usize + COUNT,
    table = const RUNNER as usize + TABLE,
    run = const RUNNER as usize + RUN,
    first = const FIRST,
    buffer = const BUFFER,
    buffer_end = const BUFFER as usize + SLOT * SECTOR,
    code = const BUFFER as usize + offset_of!(State, code),
    options(att_syntax)
);

unsafe extern "C" {
    fn bochs_boot();
    fn bochs_runner();
    fn bochs_exception();
    fn bochs_end();
}

/// The machine code between two labels.
fn between(from: unsafe extern "C" fn(), to: unsafe extern "C" fn()) -> &'static [u8] {
    let (from, to) = (from as *const u8, to as *const u8);
    // SAFETY: both labels are in this program's text, in this order, which is never written.
    unsafe { std::slice::from_raw_parts(from, to.addr() - from.addr()) }
}

/// What Bochs 2.7 has wrong by the manual: vector indices in registers 16 to 31 are taken for 0 to 15; gathers of
/// 4 bytes by 8-byte indices keep the upper half of the destination; shifts of 8-byte lanes by an immediate 64
/// shift nothing; `vextractps` with the ignored bit W set is refused; under a mask, `vpbroadcastb` of a byte in memory to 512 bits
/// does not reach all lanes (a Zen 4 agrees with the emulator).
fn bochs_is_wrong(i: &Instruction) -> bool {
    use Mnemonic::*;
    if i.code() == Code::EVEX_Vextractps_r64m32_xmm_imm8 {
        return true;
    }
    let shift = matches!(i.mnemonic(), Vpsllq | Vpsrlq) && i.immediate8() == 64;
    let index = i.memory_index().is_vector_register() && i.memory_index().number() >= 16;
    let byte = i.code() == Code::EVEX_Vpbroadcastb_zmm_k1z_xmmm8
        && i.op1_kind() == OpKind::Memory
        && i.op_mask() != Register::None;
    index || shift || byte || matches!(i.mnemonic(), Vgatherqps | Vpgatherqd)
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The part of the disk before the cases.
fn boot_image(count: usize) -> Vec<u8> {
    let mut image = vec![0; FIRST * SECTOR];
    put(&mut image, 0, between(bochs_boot, bochs_runner));
    put(&mut image, SECTOR, between(bochs_runner, bochs_end));
    let exception = RUNNER + (bochs_exception as *const u8).addr() as u64 - (bochs_runner as *const u8).addr() as u64;
    for vector in 0..32 {
        // A 64-bit interrupt gate.
        let gate = exception & 0xffff | 8 << 16 | 0x8e00 << 32 | (exception >> 16 & 0xffff) << 48;
        put(&mut image, SECTOR + TABLE + 16 * vector, &gate.to_le_bytes());
    }
    put(&mut image, SECTOR + COUNT, &(count as u32).to_le_bytes());
    // SAFETY: the two are labels; a pointer to a function of another signature is not called.
    let run = unsafe {
        std::mem::transmute::<unsafe extern "C" fn(*mut State), unsafe extern "C" fn()>(emulator_test_avx512)
    };
    put(&mut image, SECTOR + RUN, between(run, emulator_test_avx512_end));
    image
}

fn state_bytes(s: &State) -> &[u8] {
    // SAFETY: a State is plain numbers; its padding at the end is behind `data`, which is not read here.
    unsafe { std::slice::from_raw_parts((&raw const *s).cast(), offset_of!(State, data) + DATA) }
}

fn state_of(bytes: &[u8]) -> Box<State> {
    let mut s = Box::new(State { zmm: [[0; 64]; 32], k: [0; 8], gpr: [0; 16], flags: 0, code: 0, data: [0; DATA] });
    let len = offset_of!(State, data) + DATA;
    // SAFETY: any bytes are a State, which is as long.
    unsafe { std::ptr::copy_nonoverlapping(bytes[..len].as_ptr(), (&raw mut *s).cast(), len) };
    s
}

fn run_bochs(folder: &Path, image: &mut Vec<u8>) -> Result<Vec<u8>, String> {
    let cylinder = 16 * 63 * SECTOR;
    image.resize(image.len().next_multiple_of(cylinder), 0);
    let disk = folder.join("disk.img");
    std::fs::write(&disk, &*image).map_err(|e| e.to_string())?;
    let config = format!(
        "megs: 32\n\
         romimage: file=/usr/share/bochs/BIOS-bochs-latest\n\
         vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest\n\
         boot: disk\n\
         ata0-master: type=disk, path=\"{}\", mode=flat, cylinders={}, heads=16, spt=63\n\
         cpu: model=corei7_skylake_x, count=1, ips=400000000, reset_on_triple_fault=0\n\
         clock: sync=none\n\
         display_library: rfb, options=\"timeout=0\"\n\
         plugin_ctrl: speaker=0, sb16=0, es1370=0\n\
         log: \"{}\"\n\
         panic: action=fatal\n\
         error: action=report\n\
         info: action=report\n",
        disk.display(),
        image.len() / cylinder,
        folder.join("log").display(),
    );
    let rc = folder.join("bochsrc");
    std::fs::write(&rc, config).map_err(|e| e.to_string())?;
    // Debian's build starts in its debugger.
    let commands = folder.join("commands");
    std::fs::write(&commands, "c\nq\n").map_err(|e| e.to_string())?;
    let out = Command::new("bochs")
        .arg("-q")
        .arg("-f")
        .arg(&rc)
        .arg("-rc")
        .arg(&commands)
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| format!("bochs: {e}"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    println!("bochs: {}", out.status);
    if out.status.code().is_none() {
        return Err(format!("bochs broke off: {}", text.lines().last().unwrap_or_default()));
    }
    std::fs::read(&disk).map_err(|e| e.to_string())
}

#[test]
#[ignore = "needs bochs: make test-avx512"]
fn every_form_agrees_with_bochs() {
    let mut rng = Rng(2);
    let per = std::env::var("CASES").map_or(4, |v| v.parse().expect("a number"));
    let (all, _) = cases(&mut rng, per, true);
    let data = BUFFER + offset_of!(State, data) as u64;
    let mut runs: Vec<(&Case, Box<State>)> = Vec::new();
    let mut slots = Vec::new();
    for case in all.iter().filter(|c| is_avx512(c.instruction.code()) && !bochs_is_wrong(&c.instruction)) {
        let mut before = random_state(&mut rng, case);
        let mut after = Box::new(before.clone());
        if case.emulate(&mut after, data).is_err() {
            continue;
        }
        before.gpr[3] = data + DATA as u64 / 2;
        before.code = BUFFER + CODE as u64;
        let mut slot = vec![0; SLOT * SECTOR];
        put(&mut slot, 0, state_bytes(&before));
        put(&mut slot, CODE, &case.bytes);
        slot[CODE + case.bytes.len()] = 0xc3;
        slots.extend(slot);
        runs.push((case, after));
    }
    let mut image = boot_image(runs.len());
    image.extend(slots);
    let folder = std::env::temp_dir().join(format!("rusttorch-bochs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the disk");
    let disk = run_bochs(&folder, &mut image).unwrap_or_else(|e| panic!("{e}"));
    let mut failures = Vec::new();
    for (n, (case, emulated)) in runs.iter().enumerate() {
        let at = (FIRST + n * SLOT) * SECTOR;
        if disk[at..at + SLOT * SECTOR] == image[at..at + SLOT * SECTOR] && n + 1 == runs.len() {
            failures.push("the last case did not run".to_owned());
        }
        let real = state_of(&disk[at..]);
        let name = format!("{} ({:?})", case.instruction, case.instruction.code());
        if real.code == EXCEPTION {
            failures.push(format!("{name}: an exception"));
        } else if let Some(what) = case.difference(emulated, &real, 64) {
            failures.push(format!("{name}: {what}"));
        }
    }
    let mut forms: Vec<_> = runs.iter().map(|(c, _)| c.instruction.code() as usize).collect();
    forms.sort_unstable();
    forms.dedup();
    println!("{} forms, {} instructions", forms.len(), runs.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(60)].join("\n"));
    _ = std::fs::remove_dir_all(&folder);
}
