//! Machine code with virtual registers: x86-64 instructions whose register operands are still to be
//! allocated, in blocks with parameters.
//!
//! Invariants (checked by regalloc2 in debug builds, relied on by `encode`):
//! - V1: every virtual register has one definition: an instruction or a block parameter.
//! - V2: a block ends in exactly one [`Inst::Jump`], [`Inst::Branch`] or [`Inst::Ret`].
//! - V3: only jumps carry block arguments. A branch's targets have no parameters and no other
//!   predecessor, so no edge is critical.

use super::constants::Function;
use super::fold::fold_loads;
use iced_x86::Code;
use regalloc2::{Operand, PReg, PRegSet, RegClass, VReg};

/// General-purpose registers, vectors, and (AVX-512) mask registers.
pub const INT: RegClass = RegClass::Int;
pub const VEC: RegClass = RegClass::Float;
pub const MASK: RegClass = RegClass::Vector;

/// A basic block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BlockId(pub u32);

/// An operand as the lowering gives it, in the order of the instruction's encoding.
#[derive(Clone, Copy, Debug)]
pub enum A {
    /// Written.
    Def(VReg),
    /// Read and written: (after, before), in one register.
    Mod(VReg, VReg),
    /// Read, in a register.
    Use(VReg),
    /// Read, in a register or straight from where it was spilled.
    Any(VReg),
    /// `base + disp`.
    Mem(VReg, i32),
    /// `base + index * scale + disp`.
    Indexed(VReg, VReg, u32, i32),
    /// A local array on the stack, at a byte offset.
    Local(i32),
    /// A local array, at `offset + index * scale`.
    LocalIndexed(i32, VReg, u32),
    /// The constant pool, at a byte offset.
    Pool(u32),
    /// An element of the constant pool in all lanes (EVEX).
    Broadcast(u32),
    /// A byte.
    Imm8(u8),
    /// 32 bits, sign-extended to 64.
    Imm32(i32),
    /// 64 bits.
    Imm64(i64),
}

impl A {
    /// The address `bytes` further on.
    pub fn beyond(self, bytes: i32) -> A {
        match self {
            A::Mem(base, disp) => A::Mem(base, disp + bytes),
            A::Indexed(base, index, scale, disp) => A::Indexed(base, index, scale, disp + bytes),
            _ => unreachable!("no address"),
        }
    }
}

/// An operand after registers became numbers into [`VCode::operands`] of the instruction.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    Reg(u8),
    Mem(u8, i32),
    Indexed(u8, u8, u32, i32),
    Local(i32),
    LocalIndexed(i32, u8, u32),
    Pool(u32),
    Broadcast(u32),
    Imm8(u8),
    Imm32(i32),
    Imm64(i64),
}

/// One instruction.
#[derive(Clone, Debug)]
pub enum Inst {
    /// As it is encoded; at most 4 explicit operands.
    X86 {
        code: Code,
        args: [Option<Arg>; 4],
        mask: Option<u8>,
        zeroing: bool,
    },
    /// The address of a local array.
    LocalAddress(i32),
    /// Defines the entry's arguments in their registers.
    Entry,
    /// rax and rdx = rax / operand and rax % operand.
    Divide,
    /// A call of a host function: operands are fixed to its convention.
    Call(u64),
    Jump(BlockId),
    /// A conditional near jump, else the other block.
    Branch(Code, BlockId, BlockId),
    Ret,
}

/// Operands and instructions of one block.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub insts: Vec<(Inst, Vec<Operand>)>,
    pub params: Vec<VReg>,
    /// Arguments of the jump at its end.
    pub jump_args: Vec<VReg>,
    pub cold: bool,
    /// Runs once, as a rule: what is left of a loop.
    pub brief: bool,
}

/// A function under construction.
#[derive(Default)]
pub struct Builder {
    blocks: Vec<Block>,
    order: Vec<BlockId>,
    current: Option<BlockId>,
    vregs: usize,
    /// Whether new blocks are placed behind all others.
    pub cold: bool,
    /// Whether new blocks run once, as a rule.
    pub brief: bool,
    /// Bytes of local arrays.
    pub locals: i32,
    pub pool: Vec<u8>,
}

impl Builder {
    pub fn vreg(&mut self, class: RegClass) -> VReg {
        self.vregs += 1;
        VReg::new(self.vregs - 1, class)
    }

    pub fn block(&mut self) -> BlockId {
        self.blocks.push(Block { cold: self.cold, brief: self.brief, ..Block::default() });
        BlockId(self.blocks.len() as u32 - 1)
    }

    /// A block that is placed behind all others.
    pub fn cold_block(&mut self) -> BlockId {
        let b = self.block();
        self.blocks[b.0 as usize].cold = true;
        b
    }

    pub fn param(&mut self, b: BlockId, class: RegClass) -> VReg {
        let v = self.vreg(class);
        self.blocks[b.0 as usize].params.push(v);
        v
    }

    /// Goes on in `b`; blocks are laid out in the order in which they are entered.
    pub fn enter(&mut self, b: BlockId) {
        debug_assert!(self.current.is_none(), "the block before has an end");
        self.order.push(b);
        self.current = Some(b);
    }

    /// The open block.
    pub fn here(&self) -> BlockId {
        self.current.expect("a block is open")
    }

    fn push(&mut self, inst: Inst, operands: Vec<Operand>) {
        let b = self.current.expect("a block is open");
        self.blocks[b.0 as usize].insts.push((inst, operands));
    }

    /// Emits instructions at the end of a block that has been left by a jump.
    pub fn before_jump<R>(&mut self, b: BlockId, f: impl FnOnce(&mut Self) -> R) -> R {
        let jump = self.blocks[b.0 as usize].insts.pop().expect("a block that has been left");
        debug_assert!(matches!(jump.0, Inst::Jump(_)));
        let open = self.current.replace(b);
        let result = f(self);
        self.current = open;
        self.blocks[b.0 as usize].insts.push(jump);
        result
    }

    pub fn jump(&mut self, to: BlockId, args: &[VReg]) {
        self.push(Inst::Jump(to), Vec::new());
        let b = self.current.take().expect("a block is open");
        self.blocks[b.0 as usize].jump_args = args.to_vec();
    }

    /// Goes to `then` if the condition of `jcc` holds, else to `other`.
    pub fn branch(&mut self, jcc: Code, then: BlockId, other: BlockId) {
        self.push(Inst::Branch(jcc, then, other), Vec::new());
        self.current = None;
    }

    pub fn ret(&mut self) {
        self.push(Inst::Ret, Vec::new());
        self.current = None;
    }

    /// The arguments of the entry, in the registers that the convention says.
    pub fn entry(&mut self, args: &[(VReg, PReg)]) {
        let operands = args.iter().map(|&(v, p)| Operand::reg_fixed_def(v, p)).collect();
        self.push(Inst::Entry, operands);
    }

    /// Calls the function at `address`; what the convention does not keep is clobbered.
    pub fn call(&mut self, address: u64, uses: &[(VReg, PReg)], defs: &[(VReg, PReg)]) {
        let uses = uses.iter().map(|&(v, p)| Operand::reg_fixed_use(v, p));
        let defs = defs.iter().map(|&(v, p)| Operand::reg_fixed_def(v, p));
        let operands = uses.chain(defs).collect();
        self.push(Inst::Call(address), operands);
    }

    pub fn emit(&mut self, code: Code, args: &[A]) {
        self.emit_masked(code, args, None, false);
    }

    /// An instruction under an opmask: lanes that are off keep the destination, or become 0 (`zeroing`).
    pub fn emit_masked(&mut self, code: Code, args: &[A], mask: Option<VReg>, zeroing: bool) {
        let mut operands = Vec::with_capacity(args.len() + 1);
        let mut out = [None; 4];
        let mut add = |o: Operand| {
            operands.push(o);
            operands.len() as u8 - 1
        };
        for (slot, a) in out.iter_mut().zip(args) {
            *slot = Some(match *a {
                A::Def(v) => Arg::Reg(add(Operand::reg_def(v))),
                A::Mod(after, before) => {
                    let from = add(Operand::reg_use(before));
                    Arg::Reg(add(Operand::reg_reuse_def(after, from as usize)))
                }
                A::Use(v) => Arg::Reg(add(Operand::reg_use(v))),
                A::Any(v) => Arg::Reg(add(Operand::any_use(v))),
                A::Mem(base, disp) => Arg::Mem(add(Operand::reg_use(base)), disp),
                A::Indexed(base, index, scale, disp) => {
                    let base = add(Operand::reg_use(base));
                    Arg::Indexed(base, add(Operand::reg_use(index)), scale, disp)
                }
                A::Local(at) => Arg::Local(at),
                A::LocalIndexed(at, index, scale) => Arg::LocalIndexed(at, add(Operand::reg_use(index)), scale),
                A::Pool(at) => Arg::Pool(at),
                A::Broadcast(at) => Arg::Broadcast(at),
                A::Imm8(i) => Arg::Imm8(i),
                A::Imm32(i) => Arg::Imm32(i),
                A::Imm64(i) => Arg::Imm64(i),
            });
        }
        let mask = mask.map(|k| add(Operand::reg_use(k)));
        debug_assert!(args.len() <= 4);
        self.push(Inst::X86 { code, args: out, mask, zeroing }, operands);
    }

    /// Signed quotient and remainder. The divisor is read after rdx is written.
    pub fn divide(&mut self, a: VReg, b: VReg, rax: PReg, rdx: PReg) -> (VReg, VReg) {
        let (q, r) = (self.vreg(INT), self.vreg(INT));
        let operands = vec![
            Operand::reg_fixed_use(a, rax),
            Operand::reg_use_at_end(b),
            Operand::reg_fixed_def(q, rax),
            Operand::reg_fixed_def(r, rdx),
        ];
        self.push(Inst::Divide, operands);
        (q, r)
    }

    /// The address of a local array in a register.
    pub fn local_address(&mut self, at: i32) -> VReg {
        let v = self.vreg(INT);
        self.push(Inst::LocalAddress(at), vec![Operand::reg_def(v)]);
        v
    }

    /// Room on the stack, aligned to 64 bytes.
    pub fn local(&mut self, bytes: usize) -> i32 {
        let at = self.locals;
        self.locals += (bytes as i32 + 63) & !63;
        at
    }

    /// Offset in the pool of these bytes, aligned to their length (a power of two).
    pub fn constant(&mut self, bytes: &[u8]) -> u32 {
        let n = bytes.len();
        let found = self.pool.chunks_exact(n).position(|c| c == bytes);
        if let Some(i) = found {
            return (i * n) as u32;
        }
        while !self.pool.len().is_multiple_of(n) {
            self.pool.push(0);
        }
        self.pool.extend_from_slice(bytes);
        (self.pool.len() - n) as u32
    }

    /// Decides where operands are read, and puts the blocks in their final order: cold ones last, each kind as it was
    /// entered.
    pub fn finish(mut self, wide512: bool) -> VCode {
        debug_assert!(self.current.is_none());
        fold_loads(&mut self.blocks, self.vregs);
        let (blocks, vregs) = (&mut self.blocks, &mut self.vregs);
        Function { blocks, order: &self.order, vregs, wide512 }.keep_constants();
        let (hot, cold): (Vec<_>, Vec<_>) = self.order.iter().partition(|b| !self.blocks[b.0 as usize].cold);
        let order: Vec<BlockId> = hot.into_iter().chain(cold).collect();
        let mut number = vec![u32::MAX; self.blocks.len()];
        for (n, b) in order.iter().enumerate() {
            number[b.0 as usize] = n as u32;
        }
        let new = |b: BlockId| BlockId(number[b.0 as usize]);
        let mut code = VCode { pool: self.pool, locals: self.locals, vregs: self.vregs, ..VCode::default() };
        code.preds = vec![Vec::new(); order.len()];
        for (n, b) in order.iter().enumerate() {
            let block = std::mem::take(&mut self.blocks[b.0 as usize]);
            let first = code.insts.len();
            for (inst, operands) in block.insts {
                let begin = code.operands.len();
                code.operands.extend(operands);
                code.ranges.push((begin, code.operands.len()));
                code.insts.push(match inst {
                    Inst::Jump(to) => Inst::Jump(new(to)),
                    Inst::Branch(c, a, b) => Inst::Branch(c, new(a), new(b)),
                    other => other,
                });
            }
            code.blocks.push((first, code.insts.len()));
            code.cold.push(block.cold);
            code.params.push(block.params);
            code.jump_args.push(block.jump_args);
            let succs: Vec<regalloc2::Block> = match code.insts.last() {
                Some(Inst::Jump(to)) => vec![*to],
                Some(Inst::Branch(_, a, b)) => vec![*a, *b],
                _ => Vec::new(),
            }
            .into_iter()
            .map(|b| regalloc2::Block::new(b.0 as usize))
            .collect();
            for s in &succs {
                code.preds[s.index()].push(regalloc2::Block::new(n));
            }
            code.succs.push(succs);
        }
        code
    }
}

/// A finished function, as regalloc2 sees it.
#[derive(Default)]
pub struct VCode {
    pub insts: Vec<Inst>,
    operands: Vec<Operand>,
    ranges: Vec<(usize, usize)>,
    /// First instruction and one past the last, per block.
    pub blocks: Vec<(usize, usize)>,
    /// Whether a block is cold; those that are come last.
    cold: Vec<bool>,
    params: Vec<Vec<VReg>>,
    jump_args: Vec<Vec<VReg>>,
    succs: Vec<Vec<regalloc2::Block>>,
    preds: Vec<Vec<regalloc2::Block>>,
    vregs: usize,
    pub locals: i32,
    pub pool: Vec<u8>,
    /// Bytes of a vector register.
    pub vector_bytes: usize,
    /// What a call does not keep.
    pub clobbers: PRegSet,
}

impl VCode {
    /// The blocks of loops, cold ones left out.
    pub fn looping(&self) -> Vec<usize> {
        let hot: Vec<usize> = (0..self.blocks.len()).filter(|&b| !self.cold[b]).collect();
        let ends = hot.iter().flat_map(|&b| self.succs[b].iter().map(move |s| (s.index(), b)));
        let loops: Vec<_> = ends.filter(|(head, end)| head <= end).collect();
        hot.iter().copied().filter(|b| loops.iter().any(|(head, end)| (head..=end).contains(&b))).collect()
    }
}

impl regalloc2::Function for VCode {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn entry_block(&self) -> regalloc2::Block {
        regalloc2::Block::new(0)
    }

    fn block_insns(&self, b: regalloc2::Block) -> regalloc2::InstRange {
        let (first, last) = self.blocks[b.index()];
        regalloc2::InstRange::new(regalloc2::Inst::new(first), regalloc2::Inst::new(last))
    }

    fn block_succs(&self, b: regalloc2::Block) -> &[regalloc2::Block] {
        &self.succs[b.index()]
    }

    fn block_preds(&self, b: regalloc2::Block) -> &[regalloc2::Block] {
        &self.preds[b.index()]
    }

    fn block_params(&self, b: regalloc2::Block) -> &[VReg] {
        &self.params[b.index()]
    }

    fn is_ret(&self, i: regalloc2::Inst) -> bool {
        matches!(self.insts[i.index()], Inst::Ret)
    }

    fn is_branch(&self, i: regalloc2::Inst) -> bool {
        matches!(self.insts[i.index()], Inst::Jump(_) | Inst::Branch(..))
    }

    fn branch_blockparams(&self, b: regalloc2::Block, _: regalloc2::Inst, _: usize) -> &[VReg] {
        // V3: a branch has none, and neither have its targets.
        &self.jump_args[b.index()]
    }

    fn inst_operands(&self, i: regalloc2::Inst) -> &[Operand] {
        let (begin, end) = self.ranges[i.index()];
        &self.operands[begin..end]
    }

    fn inst_clobbers(&self, i: regalloc2::Inst) -> PRegSet {
        match self.insts[i.index()] {
            Inst::Call(_) => {
                // What the call defines is no clobber.
                let mut set = self.clobbers;
                for o in self.inst_operands(i) {
                    if let (regalloc2::OperandKind::Def, regalloc2::OperandConstraint::FixedReg(p)) =
                        (o.kind(), o.constraint())
                    {
                        set.remove(p);
                    }
                }
                set
            }
            _ => PRegSet::empty(),
        }
    }

    fn num_vregs(&self) -> usize {
        self.vregs
    }

    fn spillslot_size(&self, class: RegClass) -> usize {
        if class == VEC { self.vector_bytes / 8 } else { 1 }
    }
}
