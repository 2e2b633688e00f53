//! Rows that run together (`crate::jam`), where they are short and of whole iterations; others run one by one.
//!
//! A reduction goes over its rows one by one; the lanes of all are folded together, so that a group of 128 bits of one register
//! has what a row folds to. Uniform code, which is lane by lane anyway, then computes with all rows at once.

use super::loops::LIGHT;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{A, INT, VEC};
use super::{BaseKey, Copy, Emitter};
use crate::error::CodegenError;
use crate::jam::Step;
use crate::lane::{LaneReduce, Segment, identity, operands};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::id::{AxisId, BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::LANES_BYTES;
use std::collections::BTreeMap;

/// The lanes of a reduction over elements of 32 bits.
const LANES: usize = LANES_BYTES / 4;
/// The longest row that runs together with others: their scratch is on the stack.
const LONGEST: i32 = 512;
/// Bytes of a cache line.
const LINE: i32 = 64;

/// How many rows run together: one in each 128 bits.
pub fn rows(wide512: bool) -> usize {
    if wide512 { 4 } else { 2 }
}

impl Emitter<'_> {
    /// The rows in `[lo, hi)` that run together; gives the first that is left.
    pub fn jammed_rows(&mut self, axis: AxisId, lo: VReg, hi: VReg) -> Result<VReg, CodegenError> {
        let Some(jammed) = self.jammed else { return Ok(lo) };
        let n = self.index(&jammed.extent)?;
        let rest = self.int_imm(Code::And_rm64_imm32, n, LANES as i32 - 1);
        self.compare_imm(rest, 0);
        let end = self.choose(Code::Cmove_r64_rm64, hi, lo);
        self.compare_imm(n, LONGEST);
        let end = self.choose(Code::Cmovle_r64_rm64, end, lo);
        self.compare_imm(n, 0);
        let end = self.choose(Code::Cmovg_r64_rm64, end, lo);
        let mut places = BTreeMap::new();
        for (&buffer, copies) in &jammed.scratch {
            let pitch = self.pitch(buffer);
            let at = self.c.local(jammed.rows * pitch as usize);
            places.insert(buffer, at);
            for (row, &copy) in copies.iter().enumerate() {
                self.scratch.insert(copy, at + row as i32 * pitch);
            }
        }
        self.scope.push(axis);
        let left = self.count_loop(lo, end, jammed.rows as i64, &mut |e, i| {
            for step in &jammed.steps {
                e.axes.insert(axis, i);
                e.copy = Copy::default();
                match step {
                    Step::Uniform(seg) => {
                        e.pick_rows(seg)?;
                        e.run_uniform(&seg.prelude)?;
                        let vals = std::mem::take(&mut e.copy.vals);
                        e.vals.extend(vals);
                    }
                    Step::Together(rows) => e.together(rows)?,
                    Step::Each(seg, values) => e.each_row(seg, values, (axis, i), jammed.rows, &places)?,
                }
            }
            e.copy = Copy::default();
            Ok(())
        })?;
        self.scope.pop();
        Ok(left)
    }

    /// Bytes from a row's scratch to the next's: a line more than they need keeps them out of each other's sets of the cache.
    fn pitch(&self, buffer: BufferId) -> i32 {
        LONGEST * self.k.buffers[buffer.index()].dtype.size() as i32 + LINE
    }

    /// A map, row by row; its uniform values are read from memory, where a row's lie 16 bytes after those of the row before.
    fn each_row(
        &mut self,
        seg: &Segment,
        values: &[ValueId],
        (axis, first): (AxisId, VReg),
        rows: usize,
        scratch: &BTreeMap<BufferId, i32>,
    ) -> Result<(), CodegenError> {
        let mut stored = Vec::new();
        for &v in values {
            let dtype = self.k.dtype(v);
            let at = self.c.local(self.bytes());
            let x = self.val(v)?;
            let part = self.part_reg(&x, 0);
            self.c.emit(self.full_store(dtype), &[A::Local(at), A::Use(part)]);
            stored.push((v, at));
        }
        let lanes = seg.lanes.ok_or_else(|| CodegenError::internal("a map without lanes"))?;
        let n = self.index(&self.k.axes[lanes.index()].clone())?;
        let (zero, end) = (self.int(0), self.int(rows as i64));
        self.scratch.extend(scratch.iter().map(|(&b, &at)| (b, at)));
        self.copy = Copy::default();
        self.lane_axis = Some(lanes);
        let starts = self.row_starts(seg, axis)?;
        self.count_loop(zero, end, 1, &mut |e, row| {
            let at = e.add(first, row);
            e.axes.insert(axis, at);
            e.copy = Copy::default();
            for (key, start, step) in &starts {
                let skip = step.map(|s| e.mul(row, s));
                let base = skip.map_or(*start, |s| e.add(*start, s));
                e.copy.bases.insert(key.clone(), base);
            }
            let skip = e.shift_left(row, 4);
            for &(v, at) in &stored {
                let x = e.load_uniform(e.k.dtype(v), A::LocalIndexed(at, skip, 1))?;
                e.define(v, Val::Uniform(x));
            }
            e.lane_axis = Some(lanes);
            e.run_uniform(&seg.prelude)?;
            e.prepare_accesses(&seg.body)?;
            let vectors = e.unroll(seg).min(LANES / e.width());
            if e.streamed.is_empty() {
                e.scope.push(lanes);
                e.whole_vectors(lanes, zero, n, vectors, &mut |e| e.body(seg))?;
                e.scope.pop();
                e.n = 0;
            } else {
                e.map_loop(lanes, zero, n, vectors, seg)?;
            }
            e.lane_axis = None;
            Ok(())
        })?;
        self.scratch.retain(|b, _| !scratch.contains_key(b));
        Ok(())
    }

    /// Where the lanes of the first row are, and the bytes from there to the next row's, of accesses that have such: an
    /// index for each row would be half of what a short row takes.
    fn row_starts(&mut self, seg: &Segment, axis: AxisId) -> Result<Vec<(BaseKey, VReg, Option<VReg>)>, CodegenError> {
        self.prepare_accesses(&seg.body)?;
        let mut bases: Vec<(BaseKey, VReg)> = std::mem::take(&mut self.copy.bases).into_iter().collect();
        bases.sort();
        let mut starts = Vec::new();
        for (key, start) in bases {
            let (Some(buffer), Some(step)) = (key.0, key.1.coefficient(axis)) else { continue };
            let bytes = match self.scratch.contains_key(&buffer) {
                true => IndexExpr::Const(self.pitch(buffer).into()),
                false => step * IndexExpr::Const(self.k.buffers[buffer.index()].dtype.size() as i64),
            };
            let step = if bytes == IndexExpr::zero() { None } else { Some(self.index(&bytes)?) };
            starts.push((key, start, step));
        }
        Ok(starts)
    }

    /// The rows' reductions, one row after the other; then all fold their lanes.
    fn together(&mut self, rows: &[Segment]) -> Result<(), CodegenError> {
        let mut folded: Vec<Vec<VReg>> = vec![vec![]; rows[0].reduces.len()];
        for (row, seg) in rows.iter().enumerate() {
            let lanes = seg.lanes.ok_or_else(|| CodegenError::internal("a reduction without lanes"))?;
            self.lane_axis = Some(lanes);
            if row == 0 {
                self.run_uniform(&seg.prelude)?;
            }
            self.pick_rows(seg)?;
            self.prepare_accesses(&seg.body)?;
            let n = self.index(&self.k.axes[lanes.index()].clone())?;
            self.scope.push(lanes);
            let sums = self.row_reduces(seg, lanes, n)?;
            self.scope.pop();
            self.lane_axis = None;
            folded.iter_mut().zip(sums).for_each(|(f, sum)| f.push(sum));
        }
        for (r, sums) in rows[0].reduces.iter().zip(folded) {
            let v = self.fold_rows(r, sums)?;
            self.vals.insert(r.results[0], v);
        }
        Ok(())
    }

    /// What a row folds to in the lanes of one register, for every reduction.
    fn row_reduces(&mut self, seg: &Segment, lanes: AxisId, n: VReg) -> Result<Vec<VReg>, CodegenError> {
        let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
        let k = self.c.param(head, INT);
        self.n = LANES;
        let mut from = vec![self.int(0)];
        for r in &seg.reduces {
            let d = self.k.dtype(r.results[0]);
            from.extend(self.spread(d, &Val::Const(identity(r.kind, 0, d)))?.parts);
        }
        let per_row = LANES / self.width();
        let acc: Vec<Vec<VReg>> =
            seg.reduces.iter().map(|_| (0..per_row).map(|_| self.c.param(head, VEC)).collect()).collect();
        self.c.jump(head, &from);
        self.c.enter(head);
        self.compare(k, n);
        self.c.branch(Code::Jl_rel32_64, inside, after);
        self.c.enter(inside);
        // In flight at once: two vectors of a long body would spill with AVX2 (softmax of rows of 64: 37.5 us, by one 35.9).
        let vectors = if self.wide512 || seg.cost <= LIGHT { per_row } else { 1 };
        self.n = vectors * self.width();
        let mut new: Vec<Vec<VReg>> = vec![vec![]; acc.len()];
        for first in (0..per_row).step_by(vectors) {
            let at = self.add_imm(k, (first * self.width()) as i64);
            self.axes.insert(lanes, at);
            self.body(seg)?;
            let values = self.reduce_operands(seg)?;
            for (i, (r, v)) in seg.reduces.iter().zip(values).enumerate() {
                let d = self.k.dtype(r.results[0]);
                let old = Lanes { ty: LaneTy::of(d), parts: acc[i][first..first + vectors].to_vec() };
                let v = self.combine(r.kind, &[d], &[Val::Lanes(old)], &v)?;
                new[i].extend(self.registers(d, &v[0])?.parts);
            }
        }
        let mut next = vec![self.add_imm(k, LANES as i64)];
        next.extend(new.concat());
        self.c.jump(head, &next);
        self.c.enter(after);
        let mut sums = Vec::new();
        for (r, acc) in seg.reduces.iter().zip(&acc) {
            let d = self.k.dtype(r.results[0]);
            let mut parts = self.after_loop(acc);
            while parts.len() > 1 {
                let high = parts.split_off(parts.len() / 2);
                self.n = parts.len() * self.width();
                let halves = [parts, high].map(|parts| Val::Lanes(Lanes { ty: LaneTy::of(d), parts }));
                let v = self.combine(r.kind, &[d], &halves[..1], &halves[1..])?;
                parts = self.registers(d, &v[0])?.parts;
            }
            sums.push(parts[0]);
        }
        self.n = 0;
        Ok(sums)
    }

    /// The halving trees of all rows, from a register each on; row j's result is in the lanes of group j of 128 bits.
    fn fold_rows(&mut self, r: &LaneReduce, mut rows: Vec<VReg>) -> Result<Val, CodegenError> {
        let d = self.k.dtype(r.results[0]);
        let ty = LaneTy::of(d);
        let lanes = |parts: Vec<VReg>| Val::Lanes(Lanes { ty, parts });
        self.n = self.width();
        // Two rows' halves, or a half of what two rows have left, in one register.
        let mut selectors: &[(u8, u8)] = if self.wide512 { &[(0x44, 0xee), (0x88, 0xdd)] } else { &[(0x20, 0x31)] };
        while let [(low, high), rest @ ..] = selectors {
            let mut folded = Vec::new();
            for pair in rows.chunks(2) {
                let halves = [low, high].map(|&imm| lanes(vec![self.groups(pair[0], pair[1], imm)]));
                let v = self.combine(r.kind, &[d], &halves[..1], &halves[1..])?;
                folded.push(self.registers(d, &v[0])?.parts[0]);
            }
            rows = folded;
            selectors = rest;
        }
        let mut v = rows[0];
        // Lanes 2 and 3 of a group, lane 1, and lane 0 for all.
        for imm in [0b11_10_11_10, 0b11_11_01_01] {
            let high = self.quad(v, imm);
            let sum = self.combine(r.kind, &[d], &[lanes(vec![v])], &[lanes(vec![high])])?;
            v = self.registers(d, &sum[0])?.parts[0];
        }
        self.n = 0;
        Ok(Val::Uniform(Lanes { ty, parts: vec![self.quad(v, 0)] }))
    }

    /// Lanes of each group of four.
    fn quad(&mut self, v: VReg, imm: u8) -> VReg {
        let code = self.pick(Code::VEX_Vpshufd_ymm_ymmm256_imm8, Code::EVEX_Vpshufd_zmm_k1z_zmmm512b32_imm8);
        self.vec1_imm(code, Src::Reg(v), imm)
    }

    /// Groups of 128 bits of two registers.
    fn groups(&mut self, a: VReg, b: VReg, imm: u8) -> VReg {
        let code =
            self.pick(Code::VEX_Vperm2f128_ymm_ymm_ymmm256_imm8, Code::EVEX_Vshuff32x4_zmm_k1z_zmm_zmmm512b32_imm8);
        self.vec2_imm(code, a, Src::Reg(b), imm)
    }

    /// Defines what a segment reads of single rows.
    fn pick_rows(&mut self, seg: &Segment) -> Result<(), CodegenError> {
        let Some(jammed) = self.jammed else { return Ok(()) };
        let mut used: Vec<ValueId> = Vec::new();
        operands(if seg.lanes.is_some() { &seg.body } else { &seg.prelude }, &mut used);
        used.extend(seg.reduces.iter().flat_map(|r| r.args.iter().copied()));
        for v in used {
            let Some(&(of, row)) = jammed.picks.get(&v) else { continue };
            if self.copy.vals.contains_key(&v) {
                continue;
            }
            let picked = match self.val(of)? {
                Val::Uniform(l) => {
                    let imm = if self.wide512 { 0x55 * row as u8 } else { 0x11 * row as u8 };
                    Val::Uniform(Lanes { ty: l.ty, parts: vec![self.groups(l.parts[0], l.parts[0], imm)] })
                }
                constant => constant,
            };
            self.define(v, picked);
        }
        Ok(())
    }
}
