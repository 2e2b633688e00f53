//! Reductions whose accumulators stay in registers from chunk to chunk: a nest that is one reduction over
//! one axis, the common case. The two loads, two stores and the wait for them that accumulators in memory cost
//! are a third of the time of a row of 64 elements.

use super::arg;
use super::reduce::State;
use super::val::{Lanes, Val};
use super::vcode::{BlockId, INT};
use super::{Copy, Emitter};
use crate::error::CodegenError;
use crate::lane::{Segment, identity};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::AxisId;
use rusttorch_ir::kernel::{LANES_CHUNK, Reduction};

impl Emitter<'_> {
    /// A nest that is one reduction over one axis, whose accumulators stay in registers; false for others.
    pub fn carried_reduce(&mut self, seg: &Segment, lanes: AxisId) -> Result<bool, CodegenError> {
        let [r] = seg.reduces.as_slice() else { return Ok(false) };
        let pairs = r.results.len() > 1 && arg::growing(self.k, seg).is_none();
        if !seg.loops.is_empty() || seg.serial || pairs {
            return Ok(false);
        }
        let s = self.state(seg, r)?;
        let mut identities = Vec::new();
        for (i, &d) in s.dtypes.iter().enumerate() {
            identities.push(self.held(&s, d, &Val::Const(identity(r.kind, i, d)))?);
        }
        let start: Vec<VReg> = identities.iter().flat_map(|l| l.parts.clone()).collect();
        let (some, none, done) = (self.c.block(), self.c.block(), self.c.block());
        let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
        let extent = self.k.axes[lanes.index()].clone();
        let n = self.index(&extent)?;
        // A prelude may read memory that is there only if some lane runs.
        self.compare_imm(n, 0);
        self.c.branch(Code::Jg_rel32_64, some, none);
        self.c.enter(some);
        self.copy = Copy::default();
        self.lane_axis = Some(lanes);
        self.enter(seg)?;
        let zero = self.int(0);
        let begin = self.c.param(head, INT);
        let acc = self.like(head, &identities);
        self.c.jump(head, &[&[zero], &start[..]].concat());
        self.c.enter(head);
        self.compare(begin, n);
        self.c.branch(Code::Jl_rel32_64, inside, after);
        self.c.enter(inside);
        let full = self.add_imm(begin, LANES_CHUNK as i64);
        let end = self.min(full, n);
        let part = self.chunk(seg, lanes, begin, end, std::slice::from_ref(&s))?.swap_remove(0);
        let next = self.add_imm(begin, LANES_CHUNK as i64);
        let again = |new: Vec<Lanes>| -> Vec<VReg> {
            std::iter::once(next).chain(new.into_iter().flat_map(|l| l.parts)).collect()
        };
        // Identities change nothing: the first chunk is the accumulator.
        let (first, others) = (self.c.block(), self.c.block());
        self.compare_imm(begin, 0);
        self.c.branch(Code::Je_rel32_64, first, others);
        self.c.enter(first);
        let new = part.iter().zip(&s.dtypes).map(|(v, &d)| self.held(&s, d, v)).collect::<Result<_, _>>()?;
        self.c.jump(head, &again(new));
        self.c.enter(others);
        let new = self.folded(r.kind, &s, &self.values_of(&s, &acc), &part)?;
        self.c.jump(head, &again(new));
        self.c.enter(after);
        let last: Vec<VReg> = acc.iter().flat_map(|l| l.parts.clone()).collect();
        let result = self.like(done, &identities);
        self.c.jump(done, &last);
        self.c.enter(none);
        self.c.jump(done, &start);
        self.c.enter(done);
        self.lane_axis = None;
        self.copy = Copy::default();
        let v = self.values_of(&s, &result);
        let v = if s.single { v } else { self.fold_lanes(r.kind, &s.dtypes, s.lanes, v)? };
        self.vals.extend(r.results.iter().copied().zip(v));
        Ok(true)
    }

    /// Block parameters of the shape of these registers.
    fn like(&mut self, block: BlockId, of: &[Lanes]) -> Vec<Lanes> {
        of.iter()
            .map(|l| Lanes { ty: l.ty, parts: l.parts.iter().map(|p| self.c.param(block, p.class())).collect() })
            .collect()
    }

    /// Accumulators that registers hold.
    fn values_of(&self, s: &State, acc: &[Lanes]) -> Vec<Val> {
        acc.iter().map(|l| if s.single { Val::Uniform(l.clone()) } else { Val::Lanes(l.clone()) }).collect()
    }

    /// A value of an accumulator in registers: one for all of a single one's, else of all L lanes.
    fn held(&mut self, s: &State, d: DType, v: &Val) -> Result<Lanes, CodegenError> {
        let before = (std::mem::replace(&mut self.n, if s.single { 0 } else { s.lanes }), self.tail.take());
        let held = self.registers(d, v);
        (self.n, self.tail) = before;
        held
    }

    /// op(acc, part), in registers.
    pub fn folded(
        &mut self,
        kind: Reduction,
        s: &State,
        acc: &[Val],
        part: &[Val],
    ) -> Result<Vec<Lanes>, CodegenError> {
        let before = (std::mem::replace(&mut self.n, if s.single { 0 } else { s.lanes }), self.tail.take());
        let v = self.combine(kind, &s.dtypes, acc, part)?;
        let held = v.iter().zip(&s.dtypes).map(|(v, &d)| self.registers(d, v)).collect();
        (self.n, self.tail) = before;
        held
    }
}
