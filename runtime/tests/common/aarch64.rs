//! Runs cases as aarch64 programs: an ELF file whose segments are the regions of a [`Space`] and whose code calls
//! the phases and writes the arguments to its standard output. `qemu-aarch64` of qemu-user runs it anywhere.

use super::Case;
use super::space::{Space, failure, host_address};
use rusttorch_codegen::{Emitters, ErrorRecord, HostFn, Isa};
use rusttorch_emulator::Region;
use rusttorch_ir::kernel::interp::Array;
use rusttorch_runtime::launch::LaunchError;
use std::path::Path;
use std::process::Command;

/// Where the program starts.
const START: u64 = 0x8_0000;
const PAGE: usize = 0x1000;
/// What registers that a call must keep hold across it.
const PATTERN: u64 = 0x1234_5678_9abc_def1;
/// Exit status when one of them was changed.
const NOT_KEPT: i32 = 3;

/// `RecordFailure` as machine code: x0 the record, x1 to x5 kind, site, position, value and size.
const RECORD_FAILURE: [u32; 13] = [
    0xf940_0009, // ldr x9, [x0]
    0xb400_0109, // cbz x9, store
    0xf940_0809, // ldr x9, [x0, #16]
    0xeb09_007f, // cmp x3, x9
    0x5400_00a3, // b.lo store
    0x5400_00e1, // b.ne out
    0xf940_0409, // ldr x9, [x0, #8]
    0xeb09_005f, // cmp x2, x9
    0x5400_0082, // b.hs out
    0xa900_0801, // store: stp x1, x2, [x0]
    0xa901_1003, // stp x3, x4, [x0, #16]
    0xf900_1005, // str x5, [x0, #32]
    0xd65f_03c0, // out: ret
];

/// An assembler of what the program needs.
#[derive(Default)]
struct Code {
    words: Vec<u32>,
    /// Branches to the end that says that a register was not kept.
    checks: Vec<usize>,
}

impl Code {
    fn load(&mut self, register: u32, value: u64) {
        // movz, then movk for the other quarters.
        self.words.push(0xd280_0000 | (value as u32 & 0xffff) << 5 | register);
        for quarter in 1..4 {
            let bits = (value >> (16 * quarter)) as u32 & 0xffff;
            self.words.push(0xf280_0000 | quarter << 21 | bits << 5 | register);
        }
    }

    /// x9 ^ x10, which must be 0.
    fn check(&mut self) {
        self.words.push(0xca0a_012a); // eor x10, x9, x10
        self.checks.push(self.words.len());
        self.words.push(0xb500_000a); // cbnz x10, fail
    }

    fn call(&mut self, entry: u64, frame: u64) {
        self.load(9, PATTERN);
        for r in 19..29 {
            self.words.push(0xaa09_03e0 | r); // mov x<r>, x9
        }
        for v in 0..32 {
            self.words.push(0x9e67_0120 | v); // fmov d<v>, x9
        }
        self.load(0, frame);
        self.load(16, entry);
        self.words.push(0xd63f_0200); // blr x16
        self.load(9, PATTERN);
        for r in 19..29 {
            self.words.push(0xaa00_03ea | r << 16); // mov x10, x<r>
            self.check();
        }
        for v in 8..16 {
            self.words.push(0x9e66_000a | v << 5); // fmov x10, d<v>
            self.check();
        }
    }

    fn write(&mut self, address: u64, len: usize) {
        self.load(0, 1);
        self.load(1, address);
        self.load(2, len as u64);
        self.load(8, 64);
        self.words.push(0xd400_0001); // svc #0
    }

    fn exit(&mut self, status: u64) {
        self.load(0, status);
        self.load(8, 93);
        self.words.push(0xd400_0001); // svc #0
    }
}

fn region(name: &str, start: u64, words: &[u32]) -> Region {
    let bytes = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    Region { start, bytes, writable: false, name: name.to_owned() }
}

/// The program's own code.
fn program(space: &Space, outputs: &[(u64, usize)]) -> Vec<u32> {
    let mut code = Code::default();
    code.load(9, space.stack);
    code.words.push(0x9100_013f); // mov sp, x9
    let mut failed = Vec::new();
    for &(entry, frame) in &space.calls {
        code.call(entry, frame);
        code.load(9, space.record);
        code.words.push(0xf940_0129); // ldr x9, [x9]
        failed.push(code.words.len());
        code.words.push(0xb500_0009); // cbnz x9, done
    }
    let done = code.words.len();
    for &(address, len) in outputs {
        code.write(address, len);
    }
    code.exit(0);
    let fail = code.words.len();
    code.exit(NOT_KEPT as u64);
    for (branches, target) in [(failed, done), (std::mem::take(&mut code.checks), fail)] {
        for at in branches {
            code.words[at] |= ((target - at) as u32) << 5;
        }
    }
    code.words
}

/// A static executable of these regions.
fn elf(regions: &[Region]) -> Vec<u8> {
    const HEADER: usize = 64;
    const ENTRY: usize = 56;
    let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |out: &mut Vec<u8>, v: u16| out.extend(v.to_le_bytes());
    let word = |out: &mut Vec<u8>, v: u32| out.extend(v.to_le_bytes());
    let long = |out: &mut Vec<u8>, v: u64| out.extend(v.to_le_bytes());
    half(&mut header, 2); // executable
    half(&mut header, 183); // aarch64
    word(&mut header, 1);
    long(&mut header, START);
    long(&mut header, HEADER as u64);
    long(&mut header, 0);
    word(&mut header, 0);
    half(&mut header, HEADER as u16);
    half(&mut header, ENTRY as u16);
    half(&mut header, regions.len() as u16);
    [0; 3].iter().for_each(|&v| half(&mut header, v));
    let mut data = vec![0; (HEADER + ENTRY * regions.len()).next_multiple_of(PAGE)];
    for r in regions {
        // An offset in the file is the address, modulo pages.
        data.resize(data.len().next_multiple_of(PAGE) + r.start as usize % PAGE, 0);
        let (offset, len) = (data.len() as u64, r.bytes.len() as u64);
        word(&mut header, 1); // loaded
        word(&mut header, if r.writable { 6 } else { 5 });
        long(&mut header, offset);
        [r.start, r.start, len, len, PAGE as u64].iter().for_each(|&v| long(&mut header, v));
        data.extend(&r.bytes);
    }
    data.resize(data.len().next_multiple_of(PAGE), 0);
    data[..header.len()].copy_from_slice(&header);
    data
}

impl Case {
    /// What machine code for aarch64 leaves under `qemu`; tiles are `tile` lanes wide. `file` is written.
    fn run_aarch64(&self, qemu: &str, file: &Path, tile: usize) -> Result<(Vec<Array>, Option<LaunchError>), String> {
        let space = Space::new(self, Isa::Neon, Emitters::Widest, tile).map_err(|e| e.to_string())?;
        let lengths: Vec<usize> = self.args.iter().map(|a| a.bytes().len()).collect();
        let mut outputs = vec![(space.record, size_of::<ErrorRecord>())];
        outputs.extend(space.args.iter().copied().zip(lengths));
        let mut regions: Vec<Region> = space.memory.regions().iter().filter(|r| !r.bytes.is_empty()).cloned().collect();
        regions.push(region("program", START, &program(&space, &outputs)));
        regions.push(region("host", host_address(HostFn::RecordFailure), &RECORD_FAILURE));
        regions.sort_by_key(|r| r.start);
        std::fs::write(file, elf(&regions)).map_err(|e| e.to_string())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let rights = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(file, rights).map_err(|e| e.to_string())?;
        }
        let run = Command::new(qemu).arg(file).output().map_err(|e| format!("{qemu}: {e}"))?;
        if run.status.code() == Some(NOT_KEPT) {
            return Err("a register that calls keep was changed".to_owned());
        }
        if !run.status.success() {
            return Err(format!("{}: {}", run.status, String::from_utf8_lossy(&run.stderr)));
        }
        let wanted: usize = outputs.iter().map(|(_, len)| len).sum();
        if run.stdout.len() != wanted {
            return Err(format!("{} bytes came out, not {wanted}", run.stdout.len()));
        }
        let error = failure(&run.stdout);
        let mut at = size_of::<ErrorRecord>();
        let arrays = self.args.iter().map(|a| {
            let bytes = run.stdout[at..at + a.bytes().len()].to_vec();
            at += bytes.len();
            Array::from_bytes(a.dtype(), bytes)
        });
        Ok((arrays.collect(), error))
    }

    /// Compares machine code for aarch64 with the interpreter.
    pub fn check_aarch64(&self, qemu: &str, file: &Path, tile: usize) -> Result<(), String> {
        let (want, error) = self.interpret()?;
        let checked = self.run_aarch64(qemu, file, tile).and_then(|(got, e)| self.compare(&want, &error, &got, &e));
        checked.map_err(|what| format!("aarch64: {what}; symbols {:?}\n{}", self.syms, self.kernel))
    }
}
