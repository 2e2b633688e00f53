//! Constants of loops: the registers that a loop leaves free hold those that it reads most.
//!
//! An operand in the pool costs a load every time, and a core that starts two `fma` of 256 bits per cycle has two loads
//! for them at best: exp takes 24 loads of constants for the 20 multiplications of two vectors. With four constants in
//! registers exp over 1 Mi floats takes 5 % less time, sigmoid and softmax 7 % (Zen 3).
//!
//! Innermost loops only. The registers in use at every point are counted first, so that none of this makes others spill.

use super::vcode::{Arg, Block, BlockId, Inst, VEC};
use iced_x86::Code;
use regalloc2::{Operand, OperandKind, VReg};
use std::collections::HashMap;

/// Registers left to the allocator's moves.
const SPARE: usize = 2;

/// What is read from the pool.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Constant {
    /// A vector at an offset.
    Vector(u32),
    /// An element of so many bytes in all lanes (EVEX).
    Element(u32, usize),
}

/// The blocks of a function in the order in which they were entered, and its number of registers.
pub struct Function<'a> {
    pub blocks: &'a mut Vec<Block>,
    pub order: &'a [BlockId],
    pub vregs: &'a mut usize,
    pub wide512: bool,
}

impl Function<'_> {
    /// Moves constants out of innermost loops.
    pub fn keep_constants(&mut self) {
        let loops = self.innermost();
        if loops.is_empty() {
            return;
        }
        let after = self.live_after();
        let mut instead = HashMap::new();
        for (first, last) in loops {
            let Some(before) = self.preheader(first, last) else { continue };
            let inside: Vec<usize> =
                (first..=last).map(|p| self.order[p].0 as usize).filter(|&b| !self.blocks[b].cold).collect();
            let used = inside.iter().map(|&b| pressure(&self.blocks[b], &after[b])).max().unwrap_or(0);
            let all: usize = if self.wide512 { 32 } else { 16 };
            let mut held = HashMap::new();
            // The last instruction jumps.
            let end = self.blocks[before].insts.len() - 1;
            for c in self.most_read(&inside, all.saturating_sub(SPARE + used)) {
                *self.vregs += 1;
                let v = VReg::new(*self.vregs - 1, VEC);
                self.blocks[before].insts.insert(end, load(c, v, self.wide512));
                held.insert(c, v);
            }
            for b in inside {
                read_from(&mut self.blocks[b], &held, &mut instead);
            }
        }
        self.rename(&instead);
    }

    fn successors(&self, block: &Block) -> Vec<usize> {
        match block.insts.last() {
            Some((Inst::Jump(to), _)) => vec![to.0 as usize],
            Some((Inst::Branch(_, a, b), _)) => vec![a.0 as usize, b.0 as usize],
            _ => Vec::new(),
        }
    }

    /// First and last position in the order of loops that have no other inside and run more than once. (Blocks of a loop were entered between
    /// its head and its jump back.)
    fn innermost(&self) -> Vec<(usize, usize)> {
        let mut position = vec![usize::MAX; self.blocks.len()];
        for (p, b) in self.order.iter().enumerate() {
            position[b.0 as usize] = p;
        }
        let mut ends: HashMap<usize, usize> = HashMap::new();
        for (p, b) in self.order.iter().enumerate() {
            for to in self.successors(&self.blocks[b.0 as usize]) {
                if position[to] <= p {
                    ends.insert(position[to], p);
                }
            }
        }
        let all: Vec<(usize, usize)> = ends.into_iter().collect();
        let brief = |a: usize| self.blocks[self.order[a].0 as usize].brief;
        let inner = |&(a, b): &(usize, usize)| !all.iter().any(|&(c, d)| (c, d) != (a, b) && a <= c && d <= b);
        let mut found: Vec<_> = all.iter().copied().filter(|l| inner(l) && !brief(l.0)).collect();
        found.sort_unstable();
        found
    }

    /// The one block that a loop is entered from.
    fn preheader(&self, first: usize, last: usize) -> Option<usize> {
        let head = self.order[first].0 as usize;
        let outside = self.order.iter().enumerate().filter(|(p, _)| !(first..=last).contains(p));
        let mut from = outside.map(|(_, b)| b.0 as usize).filter(|&b| self.successors(&self.blocks[b]).contains(&head));
        from.next().filter(|_| from.next().is_none())
    }

    /// The vector registers that are read after each block.
    fn live_after(&self) -> Vec<Set> {
        let empty = Set(vec![0; self.vregs.div_ceil(64)]);
        let mut before = vec![empty.clone(); self.blocks.len()];
        let mut after = vec![empty; self.blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for b in self.order.iter().rev().map(|b| b.0 as usize) {
                let block = &self.blocks[b];
                for s in self.successors(block) {
                    after[b].add_all(&before[s]);
                }
                let mut live = after[b].clone();
                block.jump_args.iter().for_each(|&v| live.add(v));
                for (_, operands) in block.insts.iter().rev() {
                    live.step(operands);
                }
                block.params.iter().for_each(|&v| live.remove(v));
                if live.0 != before[b].0 {
                    before[b] = live;
                    changed = true;
                }
            }
        }
        after
    }

    /// At most `n` constants of these blocks, those that are read most often first.
    fn most_read(&self, inside: &[usize], n: usize) -> Vec<Constant> {
        let mut reads: HashMap<Constant, usize> = HashMap::new();
        for (inst, _) in inside.iter().flat_map(|&b| &self.blocks[b].insts) {
            if let Some((c, _)) = constant(inst) {
                *reads.entry(c).or_default() += 1;
            }
        }
        let mut reads: Vec<_> = reads.into_iter().collect();
        reads.sort_unstable_by_key(|&(c, n)| (std::cmp::Reverse(n), c));
        reads.into_iter().take(n).map(|(c, _)| c).collect()
    }

    fn rename(&mut self, instead: &HashMap<VReg, VReg>) {
        if instead.is_empty() {
            return;
        }
        for block in self.blocks.iter_mut() {
            for o in block.insts.iter_mut().flat_map(|(_, operands)| operands) {
                if let Some(&v) = instead.get(&o.vreg()) {
                    *o = Operand::new(v, o.constraint(), o.kind(), o.pos());
                }
            }
            for v in &mut block.jump_args {
                *v = instead.get(v).copied().unwrap_or(*v);
            }
        }
    }
}

/// Reads constants of a block from the registers that hold them; plain loads go, and `instead` tells what to read for
/// what they defined.
fn read_from(block: &mut Block, held: &HashMap<Constant, VReg>, instead: &mut HashMap<VReg, VReg>) {
    block.insts.retain_mut(|(inst, operands)| {
        let Some((v, slot)) = constant(inst).and_then(|(c, slot)| Some((*held.get(&c)?, slot))) else { return true };
        if let Some(to) = loaded(inst, operands) {
            instead.insert(to, v);
            return false;
        }
        if let Inst::X86 { args, .. } = inst {
            operands.push(Operand::any_use(v));
            args[slot] = Some(Arg::Reg(operands.len() as u8 - 1));
        }
        true
    });
}

/// The constant that an instruction of whole vectors reads, and which of its arguments that is.
fn constant(inst: &Inst) -> Option<(Constant, usize)> {
    use iced_x86::OpCodeOperandKind as K;
    let Inst::X86 { code, args, .. } = inst else { return None };
    let slot = (1..4).find(|&s| matches!(args[s], Some(Arg::Pool(_) | Arg::Broadcast(_))))?;
    let info = code.op_code();
    let found = match (args[slot]?, code) {
        (Arg::Pool(at), Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32) => Constant::Element(at, 4),
        (Arg::Pool(at), Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64) => Constant::Element(at, 8),
        (Arg::Pool(at), _) if matches!(info.op_kind(slot as u32), K::ymm_or_mem | K::zmm_or_mem) => {
            Constant::Vector(at)
        }
        (Arg::Broadcast(at), _) => Constant::Element(at, info.broadcast_memory_size().element_size()),
        _ => return None,
    };
    Some((found, slot))
}

/// What a plain load of a constant defines.
fn loaded(inst: &Inst, operands: &[Operand]) -> Option<VReg> {
    let Inst::X86 { code, args: [Some(Arg::Reg(to)), Some(Arg::Pool(_)), None, None], mask: None, .. } = inst else {
        return None;
    };
    let whole = matches!(
        code,
        Code::VEX_Vmovups_ymm_ymmm256
            | Code::EVEX_Vmovups_zmm_k1z_zmmm512
            | Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32
            | Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64
    );
    whole.then(|| operands[*to as usize].vreg())
}

fn load(c: Constant, to: VReg, wide512: bool) -> (Inst, Vec<Operand>) {
    let (code, at) = match (c, wide512) {
        (Constant::Vector(at), false) => (Code::VEX_Vmovups_ymm_ymmm256, at),
        (Constant::Vector(at), true) => (Code::EVEX_Vmovups_zmm_k1z_zmmm512, at),
        (Constant::Element(at, 8), _) => (Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64, at),
        (Constant::Element(at, _), _) => (Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, at),
    };
    let args = [Some(Arg::Reg(0)), Some(Arg::Pool(at)), None, None];
    (Inst::X86 { code, args, mask: None, zeroing: false }, vec![Operand::reg_def(to)])
}

/// The most vector registers that are in use at a point of a block.
fn pressure(block: &Block, after: &Set) -> usize {
    let mut live = after.clone();
    block.jump_args.iter().for_each(|&v| live.add(v));
    let mut most = live.len();
    for (_, operands) in block.insts.iter().rev() {
        live.step(operands);
        most = most.max(live.len());
    }
    most
}

/// Vector registers, by number.
#[derive(Clone)]
struct Set(Vec<u64>);

impl Set {
    fn add(&mut self, v: VReg) {
        if v.class() == VEC {
            self.0[v.vreg() / 64] |= 1 << (v.vreg() % 64);
        }
    }

    fn remove(&mut self, v: VReg) {
        self.0[v.vreg() / 64] &= !(1 << (v.vreg() % 64));
    }

    fn add_all(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    fn len(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// From after an instruction to before it.
    fn step(&mut self, operands: &[Operand]) {
        for o in operands.iter().filter(|o| o.kind() == OperandKind::Def) {
            self.remove(o.vreg());
        }
        for o in operands.iter().filter(|o| o.kind() == OperandKind::Use) {
            self.add(o.vreg());
        }
    }
}
