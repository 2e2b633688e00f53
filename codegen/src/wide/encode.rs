//! Virtual registers to registers (regalloc2), and instructions to bytes (iced-x86).
//!
//! The frame: callee-saved registers are pushed, `rbp` holds the stack pointer of the caller's side,
//! `rsp` is aligned to 64 bytes; local arrays lie at its bottom, spill slots above them. Code is
//! followed by the constant pool, at a multiple of 64 bytes.

use super::vcode::{Arg, BlockId, INT, Inst, MASK, VCode, VEC};
use crate::error::CodegenError;
use iced_x86::{Code, Encoder, Instruction, MemoryOperand, OpKind, Register};
use regalloc2::{
    Algorithm, Allocation, Edit, Function, InstOrEdit, MachineEnv, Output, PReg, PRegSet, RegClass, RegallocOptions,
};

/// Stack memory is touched page by page, so that none steps over the guard page.
const PAGE: i32 = 4096;
const POOL_ALIGN: usize = 64;

/// rbx, r12 to r15: the callee's to save. (rbp and rsp are not allocated.)
const SAVED: [usize; 5] = [3, 12, 13, 14, 15];
const UNSAVED: [usize; 9] = [0, 1, 2, 6, 7, 8, 9, 10, 11];

pub fn int(n: usize) -> PReg {
    PReg::new(n, INT)
}

pub fn vec(n: usize) -> PReg {
    PReg::new(n, VEC)
}

/// The registers of the System V convention's first integer arguments.
pub const ARGS: [usize; 6] = [7, 6, 2, 1, 8, 9];

fn environment(wide512: bool) -> MachineEnv {
    let set = |regs: &mut dyn Iterator<Item = PReg>| {
        let mut s = PRegSet::empty();
        regs.for_each(|r| s.add(r));
        s
    };
    let vectors = if wide512 { 32 } else { 16 };
    // k0 means "no mask" where an instruction takes one.
    let masks = if wide512 { 1..8 } else { 0..0 };
    MachineEnv {
        preferred_regs_by_class: [
            set(&mut UNSAVED.iter().map(|&n| int(n))),
            set(&mut (0..vectors).map(vec)),
            set(&mut masks.map(|n| PReg::new(n, MASK))),
        ],
        non_preferred_regs_by_class: [set(&mut SAVED.iter().map(|&n| int(n))), PRegSet::empty(), PRegSet::empty()],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}

/// What a call of the System V convention does not keep.
pub fn call_clobbers(wide512: bool) -> PRegSet {
    let mut s = PRegSet::empty();
    UNSAVED.iter().for_each(|&n| s.add(int(n)));
    (0..if wide512 { 32 } else { 16 }).for_each(|n| s.add(vec(n)));
    if wide512 {
        (1..8).for_each(|n| s.add(PReg::new(n, MASK)));
    }
    s
}

fn gpr(n: usize) -> Register {
    use Register::*;
    [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15][n]
}

fn gpr32(n: usize) -> Register {
    use Register::*;
    [EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, R8D, R9D, R10D, R11D, R12D, R13D, R14D, R15D][n]
}

fn gpr8(n: usize) -> Register {
    use Register::*;
    [AL, CL, DL, BL, SPL, BPL, SIL, DIL, R8L, R9L, R10L, R11L, R12L, R13L, R14L, R15L][n]
}

fn gpr16(n: usize) -> Register {
    use Register::*;
    [AX, CX, DX, BX, SP, BP, SI, DI, R8W, R9W, R10W, R11W, R12W, R13W, R14W, R15W][n]
}

/// The register that operand `i` of an instruction form names.
fn named(code: Code, i: usize, p: PReg) -> Register {
    use iced_x86::OpCodeOperandKind as K;
    let n = p.hw_enc();
    let kind = code.op_code().op_kind(i as u32);
    match p.class() {
        RegClass::Vector => Register::K0 + n as u32,
        RegClass::Int => match kind {
            K::r32_reg | K::r32_or_mem | K::r32_rm | K::r32_opcode | K::r32_vvvv => gpr32(n),
            K::r8_reg | K::r8_or_mem => gpr8(n),
            K::r16_reg | K::r16_or_mem => gpr16(n),
            _ => gpr(n),
        },
        RegClass::Float => {
            let base = match kind {
                K::zmm_reg | K::zmm_rm | K::zmm_vvvv | K::zmm_or_mem => Register::ZMM0,
                K::ymm_reg | K::ymm_rm | K::ymm_vvvv | K::ymm_or_mem | K::ymm_is4 => Register::YMM0,
                _ => Register::XMM0,
            };
            base + n as u32
        }
    }
}

struct Assembler {
    encoder: Encoder,
    out: Vec<u8>,
    /// (position of 4 bytes, end of the instruction, block) to patch.
    jumps: Vec<(usize, usize, usize)>,
    /// (position of 4 bytes, end of the instruction, offset in the pool) to patch.
    pools: Vec<(usize, usize, u32)>,
    locals: i32,
    wide512: bool,
}

impl Assembler {
    fn put(&mut self, i: &Instruction) -> Result<(), CodegenError> {
        let rip = self.out.len() as u64;
        self.encoder.encode(i, rip).map_err(|e| CodegenError::internal(format!("{e}: {:?}", i.code())))?;
        let bytes = self.encoder.take_buffer();
        self.out.extend_from_slice(&bytes);
        // The encoder is reused with its buffer's capacity.
        let mut bytes = bytes;
        bytes.clear();
        self.encoder.set_buffer(bytes);
        Ok(())
    }

    fn put1(&mut self, code: Code, ops: &[Register]) -> Result<(), CodegenError> {
        let mut i = Instruction::new();
        i.set_code(code);
        for (n, &r) in ops.iter().enumerate() {
            i.set_op_kind(n as u32, OpKind::Register);
            i.set_op_register(n as u32, r);
        }
        self.put(&i)
    }

    fn jump(&mut self, code: Code, block: usize) -> Result<(), CodegenError> {
        // Any target in reach will do until blocks have addresses.
        let here = self.out.len() as u64;
        let i = Instruction::with_branch(code, here + 0x1000).map_err(CodegenError::internal)?;
        self.put(&i)?;
        let end = self.out.len();
        self.jumps.push((end - 4, end, block));
        Ok(())
    }

    /// A branch at the end of block `b`.
    fn branch(&mut self, ends: &Ends, b: usize, jcc: Code, then: BlockId, other: BlockId) -> Result<(), CodegenError> {
        if ends.meet(b, then) {
            return self.jump(jcc.negate_condition_code(), ends.of(other));
        }
        self.jump(jcc, ends.of(then))?;
        if ends.meet(b, other) { Ok(()) } else { self.jump(Code::Jmp_rel32_64, ends.of(other)) }
    }

    fn slot(&self, a: Allocation) -> Option<i32> {
        a.as_stack().map(|s| self.locals + 8 * s.index() as i32)
    }

    fn stack(at: i32) -> MemoryOperand {
        MemoryOperand::with_base_displ(Register::RSP, i64::from(at))
    }

    fn edit(&mut self, from: Allocation, to: Allocation) -> Result<(), CodegenError> {
        let class = from.as_reg().or(to.as_reg()).map(|r| r.class());
        let (load, store, copy) = match (class, self.wide512) {
            (Some(RegClass::Int), _) => (Code::Mov_r64_rm64, Code::Mov_rm64_r64, Code::Mov_r64_rm64),
            (Some(RegClass::Vector), _) => (Code::VEX_Kmovq_kr_km64, Code::VEX_Kmovq_m64_kr, Code::VEX_Kmovq_kr_km64),
            (_, true) => (
                Code::EVEX_Vmovups_zmm_k1z_zmmm512,
                Code::EVEX_Vmovups_zmmm512_k1z_zmm,
                Code::EVEX_Vmovaps_zmm_k1z_zmmm512,
            ),
            (_, false) => (Code::VEX_Vmovups_ymm_ymmm256, Code::VEX_Vmovups_ymmm256_ymm, Code::VEX_Vmovaps_ymm_ymmm256),
        };
        let i = match (from.as_reg(), to.as_reg(), self.slot(from), self.slot(to)) {
            (Some(f), Some(t), ..) => Instruction::with2(copy, named(copy, 0, t), named(copy, 1, f)),
            (Some(f), None, _, Some(at)) => Instruction::with2(store, Self::stack(at), named(store, 1, f)),
            (None, Some(t), Some(at), _) => Instruction::with2(load, named(load, 0, t), Self::stack(at)),
            _ => return Err(CodegenError::internal("a move between stack slots")),
        };
        self.put(&i.map_err(CodegenError::internal)?)
    }

    fn x86(&mut self, inst: &Inst, allocs: &[Allocation]) -> Result<(), CodegenError> {
        let Inst::X86 { code, args, mask, zeroing } = inst else { return Err(CodegenError::internal("not x86")) };
        let reg = |n: u8| {
            allocs[n as usize].as_reg().map(|p| gpr(p.hw_enc())).ok_or_else(|| CodegenError::internal("spilled base"))
        };
        let mut i = Instruction::new();
        i.set_code(*code);
        let mut pool = None;
        let memory = |i: &mut Instruction, n: u32, base, index, scale, disp: i32| {
            i.set_op_kind(n, OpKind::Memory);
            i.set_memory_base(base);
            i.set_memory_index(index);
            i.set_memory_index_scale(scale);
            // 1: a byte where the displacement fits (in units of the vector with EVEX), else four.
            i.set_memory_displ_size(u32::from(disp != 0));
            i.set_memory_displacement64(i64::from(disp) as u64);
        };
        for (n, arg) in args.iter().enumerate() {
            let (n, Some(arg)) = (n as u32, arg) else { break };
            match *arg {
                Arg::Reg(r) => match (allocs[r as usize].as_reg(), self.slot(allocs[r as usize])) {
                    (Some(p), _) => {
                        i.set_op_kind(n, OpKind::Register);
                        i.set_op_register(n, named(*code, n as usize, p));
                    }
                    (None, Some(at)) => memory(&mut i, n, Register::RSP, Register::None, 1, at),
                    (None, None) => return Err(CodegenError::internal("an operand without a place")),
                },
                Arg::Mem(b, d) => memory(&mut i, n, reg(b)?, Register::None, 1, d),
                Arg::Indexed(b, x, s, d) => memory(&mut i, n, reg(b)?, reg(x)?, s, d),
                Arg::Local(at) => memory(&mut i, n, Register::RSP, Register::None, 1, at),
                Arg::LocalIndexed(at, x, s) => memory(&mut i, n, Register::RSP, reg(x)?, s, at),
                Arg::Pool(at) | Arg::Broadcast(at) => {
                    memory(&mut i, n, Register::RIP, Register::None, 1, 0);
                    i.set_memory_displ_size(8);
                    i.set_memory_displacement64(self.out.len() as u64 + 0x1000);
                    i.set_is_broadcast(matches!(arg, Arg::Broadcast(_)));
                    pool = Some(at);
                }
                Arg::Imm8(v) => {
                    use iced_x86::OpCodeOperandKind as K;
                    if code.op_code().op_kind(n) == K::imm8sex64 {
                        i.set_op_kind(n, OpKind::Immediate8to64);
                        i.set_immediate8to64(i64::from(v as i8));
                    } else {
                        i.set_op_kind(n, OpKind::Immediate8);
                        i.set_immediate8(v);
                    }
                }
                Arg::Imm32(v) => {
                    use iced_x86::OpCodeOperandKind as K;
                    if code.op_code().op_kind(n) == K::imm32sex64 {
                        i.set_op_kind(n, OpKind::Immediate32to64);
                        i.set_immediate32to64(i64::from(v));
                    } else {
                        i.set_op_kind(n, OpKind::Immediate32);
                        i.set_immediate32(v as u32);
                    }
                }
                Arg::Imm64(v) => {
                    i.set_op_kind(n, OpKind::Immediate64);
                    i.set_immediate64(v as u64);
                }
            }
        }
        if let Some(k) = mask {
            let k = allocs[*k as usize].as_reg().ok_or_else(|| CodegenError::internal("a spilled mask"))?;
            i.set_op_mask(Register::K0 + k.hw_enc() as u32);
            i.set_zeroing_masking(*zeroing);
        }
        let start = self.out.len();
        self.put(&i)?;
        if let Some(at) = pool {
            let displacement = start + self.encoder.get_constant_offsets().displacement_offset();
            self.pools.push((displacement, self.out.len(), at));
        }
        Ok(())
    }
}

/// The bytes of a function.
pub struct Bytes {
    /// Code, padding, constant pool.
    pub bytes: Vec<u8>,
    /// Length of the code.
    pub code: usize,
    /// Stores of vectors to the stack in loops, for want of registers.
    pub spills: usize,
}

fn spills(code: &VCode, output: &Output) -> usize {
    let stores = |b: &usize| {
        let items = output.block_insts_and_edits(code, regalloc2::Block::new(*b));
        let spilled = items.filter(|i| {
            matches!(i, InstOrEdit::Edit(Edit::Move { from, to })
                if from.as_reg().is_some_and(|r| r.class() == VEC) && to.as_stack().is_some())
        });
        spilled.count()
    };
    code.looping().iter().map(stores).sum()
}

/// Allocates and encodes.
pub fn encode(mut code: VCode, wide512: bool) -> Result<Bytes, CodegenError> {
    code.vector_bytes = if wide512 { 64 } else { 32 };
    code.clobbers = call_clobbers(wide512);
    let options =
        RegallocOptions { verbose_log: false, validate_ssa: cfg!(debug_assertions), algorithm: Algorithm::Ion };
    let output = regalloc2::run(&code, &environment(wide512), &options)
        .map_err(|e| CodegenError::internal(format!("register allocation: {e}")))?;
    assemble(&code, &output, wide512)
}

fn used_saved(code: &VCode, output: &Output) -> Vec<usize> {
    let mut used = PRegSet::empty();
    let mut add = |a: Allocation| {
        if let Some(p) = a.as_reg()
            && p.class() == INT
        {
            used.add(p);
        }
    };
    output.allocs.iter().copied().for_each(&mut add);
    for (_, Edit::Move { from, to }) in &output.edits {
        add(*from);
        add(*to);
    }
    debug_assert!(code.num_insts() > 0);
    SAVED.into_iter().filter(|&n| used.contains(int(n))).collect()
}

/// Where a jump to a block ends: blocks that only jump on are passed over.
struct Ends(Vec<usize>);

impl Ends {
    fn new(code: &VCode, output: &Output) -> Ends {
        let mut ends: Vec<usize> = (0..code.blocks.len()).collect();
        // Such a block jumps forward; loops go back from blocks that do something.
        for b in (0..ends.len()).rev() {
            let mut items = output.block_insts_and_edits(code, regalloc2::Block::new(b));
            if let (Some(InstOrEdit::Inst(i)), None) = (items.next(), items.next())
                && let Inst::Jump(to) = code.insts[i.index()]
                && to.0 as usize > b
            {
                ends[b] = ends[to.0 as usize];
            }
        }
        Ends(ends)
    }

    fn of(&self, block: BlockId) -> usize {
        self.0[block.0 as usize]
    }

    /// True when what follows block `b` leads to `block` without a jump: nothing but blocks that go there.
    fn meet(&self, b: usize, block: BlockId) -> bool {
        let end = self.of(block);
        b < end && (b + 1..end).all(|n| self.0[n] == end)
    }
}

/// The comparison of a loop's head, when that is all the head does but branch: the jump back from `b` repeats it
/// instead of going there, which saves a taken branch per iteration.
fn loop_test(code: &VCode, output: &Output, b: usize, head: usize) -> Option<regalloc2::Inst> {
    if head > b {
        return None;
    }
    let mut items = output.block_insts_and_edits(code, regalloc2::Block::new(head));
    let (Some(InstOrEdit::Inst(test)), Some(InstOrEdit::Inst(end)), None) = (items.next(), items.next(), items.next())
    else {
        return None;
    };
    let branches = matches!(code.insts[end.index()], Inst::Branch(..));
    (branches && matches!(code.insts[test.index()], Inst::X86 { .. })).then_some(test)
}

fn assemble(code: &VCode, output: &Output, wide512: bool) -> Result<Bytes, CodegenError> {
    use Register::{RBP, RSP};
    let mut a = Assembler {
        encoder: Encoder::new(64),
        out: Vec::with_capacity(16 * code.insts.len()),
        jumps: Vec::new(),
        pools: Vec::new(),
        locals: code.locals,
        wide512,
    };
    let saved = used_saved(code, output);
    // A call finds its stack aligned only in a frame.
    let calls = code.insts.iter().any(|i| matches!(i, Inst::Call(_)));
    let locals = if calls { code.locals.max(64) } else { code.locals };
    let frame = (locals + 8 * output.num_spillslots as i32 + 63) & !63;
    let internal = |e: iced_x86::IcedError| CodegenError::internal(e);
    a.put1(Code::Push_r64, &[RBP])?;
    for &n in &saved {
        a.put1(Code::Push_r64, &[gpr(n)])?;
    }
    if frame > 0 {
        a.put1(Code::Mov_r64_rm64, &[RBP, RSP])?;
        a.put(&Instruction::with2(Code::And_rm64_imm8, RSP, -64i32).map_err(internal)?)?;
        let mut rest = frame;
        while rest > 0 {
            let step = rest.min(PAGE);
            a.put(&Instruction::with2(Code::Sub_rm64_imm32, RSP, step).map_err(internal)?)?;
            rest -= step;
            if frame >= PAGE {
                let top = MemoryOperand::with_base(RSP);
                a.put(&Instruction::with2(Code::Or_rm64_imm8, top, 0i32).map_err(internal)?)?;
            }
        }
    }
    let ends = Ends::new(code, output);
    let mut starts = vec![0usize; code.blocks.len()];
    for b in 0..code.blocks.len() {
        starts[b] = a.out.len();
        if ends.0[b] != b {
            // Nothing comes here any more.
            continue;
        }
        for item in output.block_insts_and_edits(code, regalloc2::Block::new(b)) {
            let i = match item {
                InstOrEdit::Edit(Edit::Move { from, to }) => {
                    a.edit(*from, *to)?;
                    continue;
                }
                InstOrEdit::Inst(i) => i,
            };
            let allocs = output.inst_allocs(i);
            match &code.insts[i.index()] {
                x @ Inst::X86 { .. } => a.x86(x, allocs)?,
                Inst::LocalAddress(at) => {
                    let to = allocs[0].as_reg().ok_or_else(|| CodegenError::internal("a spilled address"))?;
                    let m = Assembler::stack(*at);
                    a.put(&Instruction::with2(Code::Lea_r64_m, gpr(to.hw_enc()), m).map_err(internal)?)?;
                }
                Inst::Entry => {}
                Inst::Divide => {
                    let by = allocs[1].as_reg().ok_or_else(|| CodegenError::internal("a spilled divisor"))?;
                    a.put1(Code::Cqo, &[])?;
                    a.put1(Code::Idiv_rm64, &[gpr(by.hw_enc())])?;
                }
                Inst::Call(address) => {
                    // The callee may be SSE code, which is slow after wide vectors. rax is clobbered anyway.
                    a.put1(Code::VEX_Vzeroupper, &[])?;
                    a.put(&Instruction::with2(Code::Mov_r64_imm64, Register::RAX, *address).map_err(internal)?)?;
                    a.put1(Code::Call_rm64, &[Register::RAX])?;
                }
                Inst::Jump(to) => match loop_test(code, output, b, ends.of(*to)) {
                    Some(test) => {
                        a.x86(&code.insts[test.index()], output.inst_allocs(test))?;
                        let Inst::Branch(jcc, then, other) = &code.insts[test.index() + 1] else {
                            return Err(CodegenError::internal("a loop's test without a branch"));
                        };
                        a.branch(&ends, b, *jcc, *then, *other)?;
                    }
                    None if ends.meet(b, *to) => {}
                    None => a.jump(Code::Jmp_rel32_64, ends.of(*to))?,
                },
                Inst::Branch(jcc, then, other) => a.branch(&ends, b, *jcc, *then, *other)?,
                Inst::Ret => {
                    a.put1(Code::VEX_Vzeroupper, &[])?;
                    if frame > 0 {
                        a.put1(Code::Mov_r64_rm64, &[RSP, RBP])?;
                    }
                    for &n in saved.iter().rev() {
                        a.put1(Code::Pop_r64, &[gpr(n)])?;
                    }
                    a.put1(Code::Pop_r64, &[RBP])?;
                    a.put1(Code::Retnq, &[])?;
                }
            }
        }
    }
    let mut out = a.out;
    let length = out.len();
    while !out.len().is_multiple_of(POOL_ALIGN) {
        out.push(0xcc);
    }
    let pool = out.len();
    out.extend_from_slice(&code.pool);
    let mut patch = |at: usize, end: usize, target: usize| {
        let d = (target as i64 - end as i64) as i32;
        out[at..at + 4].copy_from_slice(&d.to_le_bytes());
    };
    for &(at, end, block) in &a.jumps {
        patch(at, end, starts[block]);
    }
    for &(at, end, offset) in &a.pools {
        patch(at, end, pool + offset as usize);
    }
    Ok(Bytes { bytes: out, code: length, spills: spills(code, output) })
}
