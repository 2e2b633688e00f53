//! Reductions whose accumulators stay in registers: within a chunk, where the L lanes of a body may be in flight at once
//! or one vector after the other, and from chunk to chunk, where a nest is one reduction over one axis, the common case. The two loads, two
//! stores and the wait for them that accumulators in memory cost are a third of the time of a row of 64 elements.

use super::arg;
use super::memory::Place;
use super::reduce::State;
use super::val::{LaneTy, Lanes, Val};
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
    pub fn like(&mut self, block: BlockId, of: &[Lanes]) -> Vec<Lanes> {
        of.iter()
            .map(|l| Lanes { ty: l.ty, parts: l.parts.iter().map(|p| self.c.param(block, p.class())).collect() })
            .collect()
    }

    /// Accumulators that registers hold.
    fn values_of(&self, s: &State, acc: &[Lanes]) -> Vec<Val> {
        acc.iter().map(|l| if s.single { Val::Uniform(l.clone()) } else { Val::Lanes(l.clone()) }).collect()
    }

    /// A value of an accumulator in registers: one for all of a single one's, else of all L lanes.
    pub fn held(&mut self, s: &State, d: DType, v: &Val) -> Result<Lanes, CodegenError> {
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

    /// A chunk with all L lanes in flight and the accumulators in registers.
    pub fn register_run(
        &mut self,
        seg: &Segment,
        axis: AxisId,
        begin: VReg,
        end: VReg,
        s: &State,
    ) -> Result<Val, CodegenError> {
        let (kind, d) = (seg.reduces[0].kind, s.dtypes[0]);
        let ty = LaneTy::of(d);
        let class = self.class(ty);
        let count = s.lanes / self.lanes_of(ty);
        self.lane_axis = Some(axis);
        self.scope.push(axis);
        self.n = s.lanes;
        let start = self.spread(d, &Val::Const(identity(kind, 0, d)))?.parts;
        let mut from: Vec<VReg> = std::iter::once(begin).chain(start).collect();
        // Whole rounds, then what is left under a mask.
        for masked in [false, true] {
            self.c.brief = masked;
            let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
            let k = self.c.param(head, INT);
            let acc: Vec<VReg> = (0..count).map(|_| self.c.param(head, class)).collect();
            let last = if masked { end } else { self.add_imm(end, 1 - s.lanes as i64) };
            self.c.jump(head, &from);
            self.c.enter(head);
            self.compare(k, last);
            self.c.branch(Code::Jl_rel32_64, inside, after);
            self.c.enter(inside);
            self.axes.insert(axis, k);
            let old = Lanes { ty, parts: acc.clone() };
            let step = |e: &mut Self| -> Result<Lanes, CodegenError> {
                e.body(seg)?;
                let new = e.reduce_operands(seg)?;
                let v = e.combine(kind, &s.dtypes, &[Val::Lanes(old.clone())], &new[0])?;
                let v = match e.tail.clone() {
                    None => v[0].clone(),
                    Some(t) => e.merge(d, &Val::Lanes(t.mask), &v[0], &Val::Lanes(old.clone()))?,
                };
                let lanes = e.spread(d, &v)?;
                Ok(Lanes { ty, parts: if ty.is_mask() { e.mask_as(&lanes, ty) } else { lanes.parts } })
            };
            let new = if masked {
                let left = self.sub(end, k);
                self.with_tail(s.lanes, left, step)?
            } else {
                step(self)?
            };
            let next = self.add_imm(k, s.lanes as i64);
            let args: Vec<VReg> = std::iter::once(next).chain(new.parts).collect();
            self.c.jump(head, &args);
            self.c.enter(after);
            from = std::iter::once(k).chain(self.after_loop(&acc)).collect();
        }
        self.c.brief = false;
        self.n = 0;
        self.scope.pop();
        self.lane_axis = Some(axis);
        Ok(Val::Lanes(Lanes { ty, parts: from[1..].to_vec() }))
    }

    /// A chunk of a heavy body: L lanes per iteration, a vector at a time (two would spill), the accumulators in registers. What is
    /// left goes by masked vectors over accumulators in memory.
    pub fn vectors_run(
        &mut self,
        seg: &Segment,
        axis: AxisId,
        begin: VReg,
        end: VReg,
        s: &State,
    ) -> Result<Val, CodegenError> {
        let (kind, d) = (seg.reduces[0].kind, s.dtypes[0]);
        let start = self.held(s, d, &Val::Const(identity(kind, 0, d)))?;
        let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
        let (rest, done) = (self.c.block(), self.c.block());
        let k = self.c.param(head, INT);
        let acc = self.like(head, std::slice::from_ref(&start)).swap_remove(0);
        let last = self.add_imm(end, 1 - s.lanes as i64);
        self.c.jump(head, &[&[begin], &start.parts[..]].concat());
        self.c.enter(head);
        self.compare(k, last);
        self.c.branch(Code::Jl_rel32_64, inside, after);
        self.c.enter(inside);
        self.lane_axis = Some(axis);
        self.scope.push(axis);
        self.n = self.width();
        let mut next = vec![self.add_imm(k, s.lanes as i64)];
        let count = s.lanes / self.n;
        for (i, parts) in acc.parts.chunks(acc.parts.len() / count).enumerate() {
            let at = self.add_imm(k, (i * self.n) as i64);
            self.axes.insert(axis, at);
            self.body(seg)?;
            let new = self.reduce_operands(seg)?;
            let old = Val::Lanes(Lanes { ty: acc.ty, parts: parts.to_vec() });
            let v = self.combine(kind, &s.dtypes, &[old], &new[0])?;
            next.extend(self.registers(d, &v[0])?.parts);
        }
        self.n = 0;
        self.scope.pop();
        self.c.jump(head, &next);
        self.c.enter(after);
        let whole = Lanes { ty: acc.ty, parts: self.after_loop(&acc.parts) };
        let result = self.like(done, std::slice::from_ref(&start)).swap_remove(0);
        let skip = self.c.block();
        self.compare(k, end);
        self.c.branch(Code::Jl_rel32_64, rest, skip);
        self.c.enter(skip);
        self.c.jump(done, &whole.parts);
        self.c.enter(rest);
        self.whole(s, |e| e.store_lanes(d, &whole, Place::Local(s.part[0])))?;
        self.masked_loop(axis, k, end, &mut |e| {
            e.body(seg)?;
            let operands = e.reduce_operands(seg)?;
            e.fold_part(kind, s, &operands[0])
        })?;
        let parts = self.load_arrays(s, &s.part)?.swap_remove(0);
        let parts = self.held(s, d, &parts)?.parts;
        self.c.jump(done, &parts);
        self.c.enter(done);
        self.lane_axis = Some(axis);
        Ok(Val::Lanes(result))
    }
}
