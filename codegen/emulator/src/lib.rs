//! An emulator of the x86-64 instructions that kernels are made of: general registers, SSE to SSE4.2, AVX,
//! AVX2, FMA, F16C, BMI and AVX-512 F, VL, DQ, BW.
//!
//! It is for tests: code for instruction sets that the machine does not have runs here, and any code runs under
//! stricter rules than hardware has. It is independent of what it checks: bytes are decoded by `iced-x86`,
//! whose tables no emitter made, and instructions are restated in the plainest way, lane by lane.
//! `tests/native.rs` compares every form that the machine has with the machine.
//!
//! Rules:
//! - R1: memory is a set of regions ([`Memory`]); an access of a byte outside of them, or a write to a read-only
//!   one, is a [`Fault`]. So is what hardware refuses: an unaligned operand where alignment is asked for, a
//!   division that overflows. Lanes that are masked off access nothing where the manual says so, and only there.
//! - R2: what it does not know is a fault, never a guess. Rounding is to nearest unless an instruction says
//!   otherwise; the control word is the default one.
//! - R3: floating-point lanes are computed by Rust's operators, which are IEEE 754's. Of two NaN operands the
//!   first wins, as on hardware, but for `fma` and `scalef`, where which one is left open.
//! - R4: flags that the manual leaves undefined are false.
#![forbid(unsafe_code)]

mod convert;
mod float;
mod integer;
mod lanes;
mod masks;
mod memory;
mod moves;
mod packed;
mod shuffle;
mod vector;

pub use memory::{Memory, Region};

use iced_x86::{Decoder, DecoderOptions, EncodingKind, Instruction, OpKind, Register};
use std::collections::BTreeMap;
use std::fmt;

/// A vector register or operand; narrower ones fill the first bytes.
pub(crate) type Vector = [u8; 64];

/// Arithmetic flags.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Flags {
    /// Carry.
    pub cf: bool,
    /// Parity of the low byte.
    pub pf: bool,
    /// Zero.
    pub zf: bool,
    /// Sign.
    pub sf: bool,
    /// Signed overflow.
    pub of: bool,
}

/// Why emulation stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What happened.
    pub what: String,
    /// Address of the instruction.
    pub ip: u64,
    /// The instruction, disassembled.
    pub instruction: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}: {}", self.what, self.ip, self.instruction)
    }
}

impl std::error::Error for Fault {}

/// An error inside of one instruction, before its address is known.
pub(crate) type Step<T = ()> = Result<T, String>;

pub(crate) fn unknown<T>(i: &Instruction) -> Step<T> {
    Err(format!("the emulator does not know {:?}", i.code()))
}

/// Registers and memory.
#[derive(Clone, Debug)]
pub struct Machine {
    /// rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    pub gpr: [u64; 16],
    /// zmm0 to zmm31; xmm and ymm are their low bytes.
    pub zmm: [[u8; 64]; 32],
    /// k0 to k7.
    pub k: [u64; 8],
    /// Arithmetic flags.
    pub flags: Flags,
    /// Address of the next instruction.
    pub ip: u64,
    /// All that can be read or written.
    pub memory: Memory,
    /// Instructions run so far.
    pub steps: u64,
    decoded: Vec<Decoded>,
    /// Number in `decoded` plus one of the instruction at every byte from `base` on, 0 for none yet.
    at: Vec<u32>,
    base: u64,
}

#[derive(Clone, Copy, Debug)]
struct Decoded {
    instruction: Instruction,
    /// Legacy SSE, which keeps the bytes of a vector register above 16 and asks for aligned operands.
    legacy: bool,
    /// How often it was run.
    runs: u64,
}

/// Where control goes after an instruction.
pub(crate) enum Flow {
    Next,
    Jump(u64),
}

/// What runs instead of a function at an address; None where there is none of the host's.
pub type HostCalls<'a> = dyn FnMut(u64, &mut Machine) -> Option<Result<(), String>> + 'a;

/// A return to this address ends [`Machine::call`].
const EXIT: u64 = 0xffff_ffff_ffff_0000;

impl Machine {
    /// A machine over this memory, all registers 0.
    pub fn new(memory: Memory) -> Machine {
        Machine {
            gpr: [0; 16],
            zmm: [[0; 64]; 32],
            k: [0; 8],
            flags: Flags::default(),
            ip: 0,
            memory,
            steps: 0,
            decoded: Vec::new(),
            at: Vec::new(),
            base: 0,
        }
    }

    /// Calls the function at `entry`, the stack ending at `stack` (a multiple of 16), until it returns. A call of
    /// an address in `hosts` runs the closure instead, which finds arguments in registers. Stops with a fault
    /// after `limit` instructions, and when the function returns with other callee-saved registers.
    pub fn call(&mut self, entry: u64, stack: u64, limit: u64, hosts: &mut HostCalls<'_>) -> Result<(), Fault> {
        const SAVED: [usize; 6] = [3, 5, 12, 13, 14, 15];
        self.gpr[RSP] = stack;
        self.push(EXIT).map_err(|what| self.fault(what))?;
        let saved: Vec<u64> = SAVED.iter().map(|&r| self.gpr[r]).collect();
        self.ip = entry;
        let end = self.steps.saturating_add(limit);
        while self.ip != EXIT {
            if self.steps >= end {
                return Err(self.fault(format!("still running after {limit} instructions")));
            }
            if let Some(result) = hosts(self.ip, self) {
                result.map_err(|what| self.fault(what))?;
                self.ip = self.pop().map_err(|what| self.fault(what))?;
                continue;
            }
            self.step()?;
        }
        if self.gpr[RSP] != stack || SAVED.iter().zip(&saved).any(|(&r, &s)| self.gpr[r] != s) {
            return Err(self.fault("a callee-saved register was changed".to_owned()));
        }
        Ok(())
    }

    /// Runs one instruction.
    pub fn step(&mut self) -> Result<(), Fault> {
        let n = self.decode().map_err(|what| self.fault(what))?;
        self.decoded[n].runs += 1;
        self.steps += 1;
        let decoded = self.decoded[n];
        let i = &decoded.instruction;
        match self.execute(i, decoded.legacy) {
            Ok(Flow::Next) => self.ip = i.next_ip(),
            Ok(Flow::Jump(to)) => self.ip = to,
            Err(what) => return Err(self.fault(what)),
        }
        Ok(())
    }

    /// The number of the instruction at the current address.
    fn decode(&mut self) -> Step<usize> {
        let slot = self.ip.checked_sub(self.base).and_then(|o| self.at.get(o as usize));
        if let Some(&n) = slot
            && n != 0
        {
            return Ok(n as usize - 1);
        }
        let (start, len) = self.memory.code_region(self.ip)?;
        if (start, len) != (self.base, self.at.len()) {
            // Another stretch of code: what was decoded stays, for its counts.
            (self.base, self.at) = (start, vec![0; len]);
        }
        let offset = (self.ip - start) as usize;
        let bytes = self.memory.read(self.ip, (len - offset).min(15))?;
        let instruction = Decoder::with_ip(64, bytes, self.ip, DecoderOptions::NONE).decode();
        let legacy = instruction.code().encoding() == EncodingKind::Legacy;
        self.decoded.push(Decoded { instruction, legacy, runs: 0 });
        self.at[offset] = self.decoded.len() as u32;
        Ok(self.decoded.len() - 1)
    }

    /// How often each instruction was run.
    pub fn executed(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for d in &self.decoded {
            *counts.entry(format!("{:?}", d.instruction.mnemonic())).or_default() += d.runs;
        }
        counts
    }

    fn execute(&mut self, i: &Instruction, legacy: bool) -> Step<Flow> {
        if i.is_invalid() {
            return Err("bytes that are no instruction".to_owned());
        }
        if let Some(flow) = self.integer(i)? {
            return Ok(flow);
        }
        self.vector(i, legacy)?;
        Ok(Flow::Next)
    }

    fn fault(&self, what: String) -> Fault {
        let at = self.decoded.iter().rev().find(|d| d.instruction.ip() == self.ip);
        Fault { what, ip: self.ip, instruction: at.map(|d| d.instruction.to_string()).unwrap_or_default() }
    }

    /// Address of the memory operand.
    pub(crate) fn address(&self, i: &Instruction) -> u64 {
        if i.is_ip_rel_memory_operand() {
            return i.ip_rel_memory_address();
        }
        let base = match i.memory_base() {
            Register::None => 0,
            r => self.gpr[r.number()],
        };
        // A vector index is added lane by lane by gathers and scatters.
        let index = match i.memory_index() {
            r if r.is_gpr() => self.gpr[r.number()].wrapping_mul(u64::from(i.memory_index_scale())),
            _ => 0,
        };
        base.wrapping_add(index).wrapping_add(i.memory_displacement64())
    }

    pub(crate) fn push(&mut self, value: u64) -> Step {
        self.gpr[RSP] = self.gpr[RSP].wrapping_sub(8);
        self.memory.write(self.gpr[RSP], &value.to_le_bytes())
    }

    pub(crate) fn pop(&mut self) -> Step<u64> {
        let value = self.memory.read_int(self.gpr[RSP], 8)?;
        self.gpr[RSP] = self.gpr[RSP].wrapping_add(8);
        Ok(value)
    }
}

pub(crate) const RAX: usize = 0;
pub(crate) const RCX: usize = 1;
pub(crate) const RDX: usize = 2;
pub(crate) const RSP: usize = 4;

/// True when this operand is memory.
pub(crate) fn is_memory(i: &Instruction, operand: u32) -> bool {
    i.op_kind(operand) == OpKind::Memory
}

/// The low `bytes` of a number.
pub(crate) fn truncate(value: u64, bytes: usize) -> u64 {
    if bytes == 8 { value } else { value & ((1 << (8 * bytes)) - 1) }
}

/// A number of `bytes` as signed.
pub(crate) fn signed(value: u64, bytes: usize) -> i64 {
    let shift = 64 - 8 * bytes as u32;
    (value << shift) as i64 >> shift
}
