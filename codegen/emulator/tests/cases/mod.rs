//! Every form that the emulator knows, with random operands, and random registers and memory to run it on.

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, Encoder, EncodingKind, Instruction, Mnemonic, OpCodeOperandKind,
    OpKind, Register, RoundingControl,
};
use rusttorch_emulator::{Fault, Flags, Machine, Memory, Region};

/// Bytes of memory that instructions may reach; rbx points to its middle.
pub const DATA: usize = 1024;

/// splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    fn register(&mut self, first: Register, count: u64) -> Register {
        first + self.below(count) as u32
    }

    /// Bytes that are numbers of one kind: f32, f64, small integers or anything, special ones often.
    fn fill(&mut self, bytes: &mut [u8]) {
        let kind = self.below(5);
        for chunk in bytes.chunks_mut(8) {
            let v = match kind {
                0 => u64::from(self.f32()) << 32 | u64::from(self.f32()),
                1 => self.f64(),
                2 => (self.below(300) as i64 - 100) as u64,
                3 => (self.below(80) << 32) | self.below(40),
                _ => self.bits(),
            };
            chunk.copy_from_slice(&v.to_le_bytes()[..chunk.len()]);
        }
    }

    fn f32(&mut self) -> u32 {
        const SPECIAL: [u32; 12] = [
            0,
            0x8000_0000,
            0x7f80_0000,
            0xff80_0000,
            0x7fc0_1234,
            0xff80_0001,
            1,
            0x8070_0000,
            0x7f7f_ffff,
            0x3f80_0000,
            0x4f00_0000,
            0xcf00_0000,
        ];
        match self.below(4) {
            0 => SPECIAL[self.below(12) as usize],
            1 => self.bits() as u32,
            _ => ((self.below(4000) as f32 - 2000.0) * 0.25).to_bits(),
        }
    }

    fn f64(&mut self) -> u64 {
        const SPECIAL: [f64; 12] = [
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            5e-324,
            -1e-310,
            f64::MAX,
            1.0,
            2147483648.0,
            -9223372036854775808.0,
            3.5,
        ];
        match self.below(8) {
            0 | 1 => SPECIAL[self.below(12) as usize].to_bits(),
            // A signalling NaN.
            2 => 0x7ff0_0000_0000_0000 | self.below(1 << 40) | 1,
            3 => self.bits(),
            // Near the range of f32 and of half precision.
            4 => (self.f32_range()).to_bits(),
            _ => ((self.below(4000) as f64 - 2000.0) * 0.25).to_bits(),
        }
    }

    fn f32_range(&mut self) -> f64 {
        let exponent = self.below(310) as i32 - 160;
        let v = (1.0 + self.below(1 << 30) as f64 / f64::from(1 << 30)) * f64::from(exponent).exp2();
        if self.below(2) == 0 { v } else { -v }
    }
}

/// All that an instruction sees and changes; as `tests/native.rs` and `tests/bochs.rs` lay it out.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct State {
    pub zmm: [[u8; 64]; 32],
    pub k: [u64; 8],
    pub gpr: [u64; 16],
    pub flags: u64,
    /// Address of the code that is run.
    pub code: u64,
    pub data: [u8; DATA],
}

/// An instruction with its bytes.
pub struct Case {
    pub instruction: Instruction,
    pub bytes: Vec<u8>,
}

/// True for what needs AVX-512.
pub fn is_avx512(code: Code) -> bool {
    code.cpuid_features().iter().any(|f| format!("{f:?}").starts_with("AVX512"))
}

/// Sets and privileges outside of what the emulator is for.
fn is_candidate(code: Code) -> bool {
    use CpuidFeature::*;
    const SETS: [CpuidFeature; 31] = [
        INTEL8086,
        INTEL186,
        INTEL286,
        INTEL386,
        INTEL486,
        X64,
        CMOV,
        SSE,
        SSE2,
        SSE3,
        SSSE3,
        SSE4_1,
        SSE4_2,
        POPCNT,
        LZCNT,
        BMI1,
        BMI2,
        AVX,
        AVX2,
        FMA,
        F16C,
        AVX512F,
        AVX512VL,
        AVX512DQ,
        AVX512BW,
        CLFSH,
        PREFETCHW,
        PAUSE,
        MULTIBYTENOP,
        CPUID,
        FPU,
    ];
    let op = code.op_code();
    op.mode64() && op.is_instruction() && code.cpuid_features().iter().all(|f| SETS.contains(f))
}

/// What cannot be run by itself: control flow, the stack, other registers than those of a [`State`].
fn stands_alone(i: &Instruction) -> bool {
    use Mnemonic::*;
    let control = !matches!(i.flow_control(), iced_x86::FlowControl::Next);
    // Of an approximation only the error is laid down.
    let exact = !matches!(i.mnemonic(), Vrsqrt14ps);
    let plain = !i.is_stack_instruction() && !matches!(i.mnemonic(), Leave | Ud2) && !i.is_string_instruction();
    !control && exact && plain
}

/// A random instruction of this form.
fn random_instruction(rng: &mut Rng, code: Code) -> Option<Instruction> {
    use OpCodeOperandKind::*;
    // One of those is called None, too.
    use Option::None;
    let op = code.op_code();
    let mut i = Instruction::default();
    i.set_code(code);
    let vectors = if op.encoding() == EncodingKind::EVEX { 32 } else { 16 };
    let mut memory = None;
    for n in 0..op.op_count() {
        let kind = op.op_kind(n);
        // rsp and r15 are taken; rbx is the base of memory.
        let number = [0, 1, 2, 5, 6, 7, 8, 9, 12, 14][rng.below(10) as usize];
        let general = |first: Register| first + number;
        let register = match kind {
            r8_reg | r8_opcode => {
                Some([Register::AL, Register::CL, Register::SIL, Register::R9L][rng.below(4) as usize])
            }
            r16_reg | r16_reg_mem | r16_rm | r16_opcode => Some(general(Register::AX)),
            r32_reg | r32_reg_mem | r32_rm | r32_opcode | r32_vvvv => Some(general(Register::EAX)),
            r64_reg | r64_reg_mem | r64_rm | r64_opcode | r64_vvvv => Some(general(Register::RAX)),
            k_reg | k_rm | k_vvvv => Some(rng.register(Register::K0, 8)),
            xmm_reg | xmm_rm | xmm_vvvv | xmm_is4 => Some(rng.register(Register::XMM0, vectors)),
            ymm_reg | ymm_rm | ymm_vvvv | ymm_is4 => Some(rng.register(Register::YMM0, vectors)),
            zmm_reg | zmm_rm | zmm_vvvv => Some(rng.register(Register::ZMM0, vectors)),
            al => Some(Register::AL),
            cl => Some(Register::CL),
            ax => Some(Register::AX),
            eax => Some(Register::EAX),
            rax => Some(Register::RAX),
            r8_or_mem | r16_or_mem | r32_or_mem | r64_or_mem | xmm_or_mem | ymm_or_mem | zmm_or_mem | k_or_mem
                if rng.below(3) != 0 =>
            {
                Some(match kind {
                    r8_or_mem => Register::DL,
                    r16_or_mem => general(Register::AX),
                    r32_or_mem => general(Register::EAX),
                    r64_or_mem => general(Register::RAX),
                    xmm_or_mem => rng.register(Register::XMM0, vectors),
                    ymm_or_mem => rng.register(Register::YMM0, vectors),
                    zmm_or_mem => rng.register(Register::ZMM0, vectors),
                    _ => rng.register(Register::K0, 8),
                })
            }
            _ => None,
        };
        if let Some(r) = register {
            i.set_op_kind(n, OpKind::Register);
            i.set_op_register(n, r);
            continue;
        }
        let immediate = match kind {
            imm8 | imm8_const_1 => Some(OpKind::Immediate8),
            imm8sex16 => Some(OpKind::Immediate8to16),
            imm8sex32 => Some(OpKind::Immediate8to32),
            imm8sex64 => Some(OpKind::Immediate8to64),
            imm16 => Some(OpKind::Immediate16),
            imm32 => Some(OpKind::Immediate32),
            imm32sex64 => Some(OpKind::Immediate32to64),
            imm64 => Some(OpKind::Immediate64),
            _ => None,
        };
        if let Some(k) = immediate {
            i.set_op_kind(n, k);
            let bits = rng.bits();
            // Legacy comparisons have 8 predicates.
            let predicate =
                matches!(code.mnemonic(), Mnemonic::Cmpps | Mnemonic::Cmppd | Mnemonic::Cmpss | Mnemonic::Cmpsd);
            let v = match k {
                _ if kind == imm8_const_1 => 1,
                OpKind::Immediate8 if predicate => bits as i64 & 7,
                OpKind::Immediate8 => bits as i64 & 0xff,
                OpKind::Immediate8to16 | OpKind::Immediate8to32 | OpKind::Immediate8to64 => i64::from(bits as i8),
                OpKind::Immediate16 => bits as i64 & 0xffff,
                OpKind::Immediate32 => bits as i64 & 0xffff_ffff,
                OpKind::Immediate32to64 => i64::from(bits as i32),
                _ => bits as i64,
            };
            i.set_immediate_i64(n, v);
            continue;
        }
        let index = match kind {
            mem | r8_or_mem | r16_or_mem | r32_or_mem | r64_or_mem | xmm_or_mem | ymm_or_mem | zmm_or_mem
            | k_or_mem => Register::None,
            mem_vsib32x | mem_vsib64x => rng.register(Register::XMM0, vectors),
            mem_vsib32y | mem_vsib64y => rng.register(Register::YMM0, vectors),
            mem_vsib32z | mem_vsib64z => rng.register(Register::ZMM0, vectors),
            _ => return None,
        };
        i.set_op_kind(n, OpKind::Memory);
        i.set_memory_base(Register::RBX);
        i.set_memory_index(index);
        i.set_memory_index_scale(if index == Register::None { 1 } else { 4 });
        let step = if rng.below(4) == 0 { 1 } else { 64 };
        i.set_memory_displacement64(((rng.below(5) as i64 - 2) * step) as u64);
        i.set_memory_displ_size(8);
        memory = Some(n);
    }
    if op.can_use_op_mask_register() && (op.require_op_mask_register() || rng.below(3) != 0) {
        i.set_op_mask(rng.register(Register::K1, 7));
        i.set_zeroing_masking(op.can_use_zeroing_masking() && memory != Some(0) && rng.below(2) == 0);
    }
    if op.can_broadcast() && memory.is_some() {
        i.set_is_broadcast(rng.below(2) == 0);
    }
    let sae = memory.is_none() && rng.below(3) == 0;
    if sae && op.can_use_rounding_control() {
        const MODES: [RoundingControl; 4] = [
            RoundingControl::RoundToNearest,
            RoundingControl::RoundDown,
            RoundingControl::RoundUp,
            RoundingControl::RoundTowardZero,
        ];
        i.set_rounding_control(MODES[rng.below(4) as usize]);
    } else if sae && op.can_suppress_all_exceptions() {
        i.set_suppress_all_exceptions(true);
    }
    Some(i)
}

/// Random forms that the emulator knows, `per` of each code, and their number of codes.
pub fn cases(rng: &mut Rng, per: usize, avx512: bool) -> (Vec<Case>, usize) {
    let mut cases = Vec::new();
    let mut forms = 0;
    for code in Code::values().filter(|&c| is_candidate(c) && (avx512 || !is_avx512(c))) {
        let before = cases.len();
        for _ in 0..per {
            let Some(built) = random_instruction(rng, code) else { continue };
            let mut encoder = Encoder::new(64);
            if encoder.encode(&built, 0).is_err() {
                continue;
            }
            let bytes = encoder.take_buffer();
            let instruction = Decoder::new(64, &bytes, DecoderOptions::NONE).decode();
            if instruction.code() != code || !stands_alone(&instruction) {
                continue;
            }
            let case = Case { instruction, bytes };
            let mut state = random_state(rng, &case);
            match case.emulate(&mut state, 0x10_0000) {
                // Faults are the rules' business, not the processor's.
                Err(f) if f.what.contains("does not know") => continue,
                _ => cases.push(case),
            }
        }
        forms += usize::from(cases.len() > before);
    }
    (cases, forms)
}

/// Random registers and memory.
pub fn random_state(rng: &mut Rng, case: &Case) -> State {
    let mut s = State { zmm: [[0; 64]; 32], k: [0; 8], gpr: [0; 16], flags: 0, code: 0, data: [0; DATA] };
    s.zmm.iter_mut().for_each(|v| rng.fill(v));
    s.k.iter_mut().for_each(|k| *k = if rng.below(4) == 0 { !0 } else { rng.bits() });
    s.gpr.iter_mut().for_each(|r| {
        let mut bytes = [0; 8];
        rng.fill(&mut bytes);
        *r = u64::from_le_bytes(bytes);
    });
    s.flags = rng.bits() & FLAGS;
    s.data.chunks_mut(64).for_each(|c| rng.fill(c));
    let index = case.instruction.memory_index();
    if index.is_vector_register() {
        // Lanes of 32 or 64 bits that stay within memory.
        let wide = case.instruction.code().op_code().op_kinds().iter().any(|k| {
            use OpCodeOperandKind::*;
            matches!(k, mem_vsib64x | mem_vsib64y | mem_vsib64z)
        });
        let size = if wide { 8 } else { 4 };
        for lane in s.zmm[index.number()].chunks_mut(size) {
            let v = rng.below(100) as i64 - 50;
            lane.copy_from_slice(&v.to_le_bytes()[..size]);
        }
    }
    s
}

const BITS: [u64; 5] = [1, 1 << 2, 1 << 6, 1 << 7, 1 << 11];
/// The arithmetic flags that are looked at.
pub const FLAGS: u64 = 1 | 1 << 2 | 1 << 6 | 1 << 7 | 1 << 11;

impl Case {
    /// Runs the emulator on a state whose data is at an address.
    pub fn emulate(&self, s: &mut State, data: u64) -> Result<(), Fault> {
        const CODE: u64 = 0x7000_0000_0000;
        let mut memory = Memory::default();
        let region = |start, bytes: &[u8], writable, name: &str| Region {
            start,
            bytes: bytes.to_vec(),
            writable,
            name: name.to_owned(),
        };
        memory.add(region(CODE, &self.bytes, false, "code"));
        memory.add(region(data, &s.data, true, "data"));
        let mut m = Machine::new(memory);
        (m.gpr, m.zmm, m.k, m.ip) = (s.gpr, s.zmm, s.k, CODE);
        m.gpr[3] = data + DATA as u64 / 2;
        let f = BITS.map(|b| s.flags & b != 0);
        m.flags = Flags { cf: f[0], pf: f[1], zf: f[2], sf: f[3], of: f[4] };
        m.step()?;
        (s.gpr, s.zmm, s.k) = (m.gpr, m.zmm, m.k);
        let f = [m.flags.cf, m.flags.pf, m.flags.zf, m.flags.sf, m.flags.of];
        s.flags = f.iter().zip(BITS).filter(|(f, _)| **f).map(|(_, b)| b).sum();
        s.data.copy_from_slice(m.memory.read(data, DATA).expect("a region"));
        Ok(())
    }

    /// What differs between the emulator's state and another's; vector registers as far as `bytes`.
    pub fn difference(&self, emulated: &State, real: &State, bytes: usize) -> Option<String> {
        let i = &self.instruction;
        let undefined = i.rflags_undefined();
        let defined: u64 = [
            (iced_x86::RflagsBits::CF, BITS[0]),
            (iced_x86::RflagsBits::PF, BITS[1]),
            (iced_x86::RflagsBits::ZF, BITS[2]),
            (iced_x86::RflagsBits::SF, BITS[3]),
            (iced_x86::RflagsBits::OF, BITS[4]),
        ]
        .iter()
        .filter(|(b, _)| undefined & b == 0)
        .map(|(_, bit)| bit)
        .sum();
        if (emulated.flags ^ real.flags) & defined != 0 {
            return Some(format!("flags {:#x}, really {:#x}", emulated.flags, real.flags & FLAGS));
        }
        for n in (0..16).filter(|n| ![3, 4, 15].contains(n)) {
            if emulated.gpr[n] != real.gpr[n] {
                return Some(format!("register {n} {:#x}, really {:#x}", emulated.gpr[n], real.gpr[n]));
            }
        }
        if bytes == 64 && emulated.k != real.k {
            return Some(format!("masks {:x?}, really {:x?}", emulated.k, real.k));
        }
        let registers = if bytes == 64 { 32 } else { 16 };
        for n in 0..registers {
            let (a, b) = (&emulated.zmm[n][..bytes], &real.zmm[n][..bytes]);
            if a != b && !self.same_but_nan(a, b) {
                return Some(format!("vector {n}\n {a:x?}, really\n {b:x?}"));
            }
        }
        (emulated.data != real.data).then(|| "memory".to_owned())
    }

    /// R3: which NaN comes out of `fma` and `scalef` is left open.
    fn same_but_nan(&self, a: &[u8], b: &[u8]) -> bool {
        let name = format!("{:?}", self.instruction.mnemonic());
        if !["Vfm", "Vfnm", "Vscalef"].iter().any(|p| name.starts_with(p)) {
            return false;
        }
        let single = name.ends_with('s') && !name.ends_with("sd");
        let size = if single { 4 } else { 8 };
        a.chunks(size).zip(b.chunks(size)).all(|(x, y)| {
            let nan = |v: &[u8]| match v.try_into() {
                Ok(wide) => f64::from_le_bytes(wide).is_nan(),
                Err(_) => f32::from_le_bytes(v.try_into().expect("four bytes")).is_nan(),
            };
            x == y || nan(x) && nan(y)
        })
    }
}
