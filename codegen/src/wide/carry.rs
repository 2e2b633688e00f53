//! Reductions whose accumulators stay in registers: within a chunk, where the L lanes of a body may be in flight at once
//! or one vector after the other, and from chunk to chunk, where a nest's reductions are over one axis, the common case. The two loads, two
//! stores and the wait for them that accumulators in memory cost are a third of the time of a row of 64 elements.

use super::arg;
use super::memory::Place;
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
use rusttorch_ir::kernel::{LANES_BYTES, LANES_CHUNK, Reduction};

/// Registers that the accumulators of several reductions may take.
const ACCUMULATORS: usize = 8;

impl Emitter<'_> {
    /// A nest of reductions over one axis, whose accumulators stay in registers; false for others.
    pub fn carried_reduce(&mut self, seg: &Segment, lanes: AxisId) -> Result<bool, CodegenError> {
        let argument = arg::growing(self.k, seg).is_some();
        if !seg.loops.is_empty() || seg.serial || !(argument || self.fits_registers(seg)) {
            return Ok(false);
        }
        let states = seg.reduces.iter().map(|r| self.state(seg, r)).collect::<Result<Vec<_>, _>>()?;
        let mut identities = Vec::new();
        for (r, s) in seg.reduces.iter().zip(&states) {
            let of = |(i, &d): (usize, &DType)| self.held(s, d, &Val::Const(identity(r.kind, i, d)));
            identities.push(s.dtypes.iter().enumerate().map(of).collect::<Result<Vec<_>, _>>()?);
        }
        let start = registers_of(&identities);
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
        let acc: Vec<Vec<Lanes>> = identities.iter().map(|of| self.like(head, of)).collect();
        self.c.jump(head, &[&[zero], &start[..]].concat());
        self.c.enter(head);
        self.compare(begin, n);
        self.c.branch(Code::Jl_rel32_64, inside, after);
        self.c.enter(inside);
        let full = self.add_imm(begin, LANES_CHUNK as i64);
        let end = self.min(full, n);
        let parts = self.chunk(seg, lanes, begin, end, &states)?;
        let next = self.add_imm(begin, LANES_CHUNK as i64);
        // Identities change nothing: the first chunk is the accumulator.
        let (first, others) = (self.c.block(), self.c.block());
        self.compare_imm(begin, 0);
        self.c.branch(Code::Je_rel32_64, first, others);
        self.c.enter(first);
        let mut new = Vec::new();
        for (s, part) in states.iter().zip(&parts) {
            new.push(part.iter().zip(&s.dtypes).map(|(v, &d)| self.held(s, d, v)).collect::<Result<Vec<_>, _>>()?);
        }
        self.c.jump(head, &[&[next], &registers_of(&new)[..]].concat());
        self.c.enter(others);
        let mut new = Vec::new();
        for (((r, s), acc), part) in seg.reduces.iter().zip(&states).zip(&acc).zip(&parts) {
            new.push(self.folded(r.kind, s, &self.values_of(s, acc), part)?);
        }
        self.c.jump(head, &[&[next], &registers_of(&new)[..]].concat());
        self.c.enter(after);
        let result: Vec<Vec<Lanes>> = identities.iter().map(|of| self.like(done, of)).collect();
        self.c.jump(done, &registers_of(&acc));
        self.c.enter(none);
        self.c.jump(done, &start);
        self.c.enter(done);
        self.lane_axis = None;
        self.copy = Copy::default();
        for ((r, s), result) in seg.reduces.iter().zip(&states).zip(&result) {
            let v = self.values_of(s, result);
            let v = if s.single { v } else { self.fold_lanes(r.kind, &s.dtypes, s.lanes, v)? };
            self.vals.extend(r.results.iter().copied().zip(v));
        }
        Ok(true)
    }

    /// Whether the accumulators of a segment's reductions, of one value each, are few enough for registers.
    pub fn fits_registers(&self, seg: &Segment) -> bool {
        let sizes: Vec<usize> = seg.reduces.iter().map(|r| self.k.dtype(r.results[0]).size().max(4)).collect();
        let plain = !sizes.is_empty()
            && seg.reduces.iter().all(|r| r.results.len() == 1)
            && sizes.windows(2).all(|s| s[0] == s[1]);
        plain && !seg.serial && (sizes.len() == 1 || sizes.len() * LANES_BYTES / self.bytes() <= ACCUMULATORS)
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
        states: &[State],
    ) -> Result<Vec<Val>, CodegenError> {
        let lanes = states[0].lanes;
        self.lane_axis = Some(axis);
        self.scope.push(axis);
        let mut from: Vec<Lanes> = Vec::new();
        for (r, s) in seg.reduces.iter().zip(states) {
            from.push(self.held(s, s.dtypes[0], &Val::Const(identity(r.kind, 0, s.dtypes[0])))?);
        }
        self.n = lanes;
        let mut at = begin;
        // Whole rounds, then what is left under a mask.
        for masked in [false, true] {
            self.c.brief = masked;
            let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
            let k = self.c.param(head, INT);
            let acc = self.like(head, &from);
            let last = if masked { end } else { self.add_imm(end, 1 - lanes as i64) };
            self.c.jump(head, &[&[at], &registers_of(&[from])[..]].concat());
            self.c.enter(head);
            self.compare(k, last);
            self.c.branch(Code::Jl_rel32_64, inside, after);
            self.c.enter(inside);
            self.axes.insert(axis, k);
            let step = |e: &mut Self| -> Result<Vec<Lanes>, CodegenError> {
                e.body(seg)?;
                let new = e.reduce_operands(seg)?;
                let mut out = Vec::new();
                for (((r, s), old), new) in seg.reduces.iter().zip(states).zip(&acc).zip(new) {
                    let (d, old) = (s.dtypes[0], Val::Lanes(old.clone()));
                    let mut v = e.combine(r.kind, &s.dtypes, std::slice::from_ref(&old), &new)?.swap_remove(0);
                    if let Some(t) = e.tail.clone() {
                        v = e.merge(d, &Val::Lanes(t.mask), &v, &old)?;
                    }
                    out.push(e.registers(d, &v)?);
                }
                Ok(out)
            };
            let new = if masked {
                let left = self.sub(end, k);
                self.with_tail(lanes, left, step)?
            } else {
                step(self)?
            };
            let next = self.add_imm(k, lanes as i64);
            self.c.jump(head, &[&[next], &registers_of(&[new])[..]].concat());
            self.c.enter(after);
            at = k;
            from = acc.iter().map(|l| Lanes { ty: l.ty, parts: self.after_loop(&l.parts) }).collect();
        }
        self.c.brief = false;
        self.n = 0;
        self.scope.pop();
        self.lane_axis = Some(axis);
        Ok(from.into_iter().map(Val::Lanes).collect())
    }

    /// A chunk of a heavy body: L lanes per iteration, a vector at a time (two would spill), the accumulators in registers. What is
    /// left goes by masked vectors over accumulators in memory.
    pub fn vectors_run(
        &mut self,
        seg: &Segment,
        axis: AxisId,
        begin: VReg,
        end: VReg,
        states: &[State],
    ) -> Result<Vec<Val>, CodegenError> {
        let lanes = states[0].lanes;
        let mut start = Vec::new();
        for (r, s) in seg.reduces.iter().zip(states) {
            start.push(self.held(s, s.dtypes[0], &Val::Const(identity(r.kind, 0, s.dtypes[0])))?);
        }
        let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
        let (rest, done) = (self.c.block(), self.c.block());
        let k = self.c.param(head, INT);
        let acc = self.like(head, &start);
        let last = self.add_imm(end, 1 - lanes as i64);
        self.c.jump(head, &[&[begin], &registers_of(std::slice::from_ref(&start))[..]].concat());
        self.c.enter(head);
        self.compare(k, last);
        self.c.branch(Code::Jl_rel32_64, inside, after);
        self.c.enter(inside);
        self.lane_axis = Some(axis);
        self.scope.push(axis);
        self.n = self.width();
        let mut new: Vec<Vec<VReg>> = vec![vec![]; acc.len()];
        for i in 0..lanes / self.n {
            let at = self.add_imm(k, (i * self.n) as i64);
            self.axes.insert(axis, at);
            self.body(seg)?;
            let values = self.reduce_operands(seg)?;
            for (j, ((r, s), value)) in seg.reduces.iter().zip(states).zip(values).enumerate() {
                let (ty, per) = (acc[j].ty, self.parts(acc[j].ty));
                let old = Val::Lanes(Lanes { ty, parts: acc[j].parts[i * per..(i + 1) * per].to_vec() });
                let v = self.combine(r.kind, &s.dtypes, &[old], &value)?;
                new[j].extend(self.registers(s.dtypes[0], &v[0])?.parts);
            }
        }
        let next = self.add_imm(k, lanes as i64);
        self.n = 0;
        self.scope.pop();
        self.c.jump(head, &[&[next], &new.concat()[..]].concat());
        self.c.enter(after);
        let whole: Vec<Lanes> = acc.iter().map(|l| Lanes { ty: l.ty, parts: self.after_loop(&l.parts) }).collect();
        let result = self.like(done, &start);
        let skip = self.c.block();
        self.compare(k, end);
        self.c.branch(Code::Jl_rel32_64, rest, skip);
        self.c.enter(skip);
        self.c.jump(done, &registers_of(std::slice::from_ref(&whole)));
        self.c.enter(rest);
        for (s, whole) in states.iter().zip(&whole) {
            self.whole(s, |e| e.store_lanes(s.dtypes[0], whole, Place::Local(s.part[0])))?;
        }
        self.masked_loop(axis, k, end, &mut |e| {
            e.body(seg)?;
            let operands = e.reduce_operands(seg)?;
            let each = seg.reduces.iter().zip(states).zip(&operands);
            each.into_iter().try_for_each(|((r, s), new)| e.fold_part(r.kind, s, new))
        })?;
        let mut parts = Vec::new();
        for s in states {
            let v = self.load_arrays(s, &s.part)?.swap_remove(0);
            parts.extend(self.held(s, s.dtypes[0], &v)?.parts);
        }
        self.c.jump(done, &parts);
        self.c.enter(done);
        self.lane_axis = Some(axis);
        Ok(result.into_iter().map(Val::Lanes).collect())
    }
}

/// All registers, in order.
fn registers_of(of: &[Vec<Lanes>]) -> Vec<VReg> {
    of.iter().flatten().flat_map(|l| l.parts.clone()).collect()
}
