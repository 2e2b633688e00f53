//! At 512 bits, a light body with one operand across the lanes (`transpose.rs`): squares of a cache line of each of as many
//! lanes are transposed in registers, whose rows the body takes, or, where it only copies, the result.

use super::body::count_uses;
use super::memory::shift;
use super::strided::Steps;
use super::transpose::{Across, LINE, Packed};
use super::val::Src;
use super::vcode::{A, VEC};
use super::{BaseKey, Copy, Emitter};
use crate::error::CodegenError;
use crate::lane::{Access, LaneInst, LaneOp, Segment};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::id::{AxisId, BufferId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::prim::Prim;

/// Lanes that squares go along before the next rows: as many pages stay at hand. (In C, f32: 2,048 by 2,048 by 512 or 1,024
/// lanes 2.1 ms, by 64 3.6, by all 4.8; 1,024 by 1,024 0.25 for 256 and more.)
const ALONG: i64 = 512;
/// Lanes from those that are read to those that are asked for, of a body of squares.
const AHEAD: i64 = 32;
/// Of a body that each row of a square gets a copy of.
const COST: usize = 16;
/// True when a body stores to a buffer here or not at all: its rows may be loaded before, and stored behind, others.
fn stored_at(seg: &Segment, buffer: BufferId, here: &IndexExpr) -> bool {
    seg.body.iter().all(|i| match &i.op {
        LaneOp::Store { buffer: to, access, .. } => *to != buffer || access.expr() == here,
        _ => true,
    })
}

/// Elements from a row to the next.
fn pitch(index: &IndexExpr, rows: AxisId) -> Result<IndexExpr, CodegenError> {
    index.coefficient(rows).ok_or_else(|| CodegenError::internal("rows without a step"))
}

impl Emitter<'_> {
    /// Where a body goes that does nothing but copy its only load.
    pub fn plain_copy<'a>(
        &self,
        seg: &'a Segment,
        loads: &[Across],
        rows: AxisId,
    ) -> Option<(BufferId, &'a IndexExpr)> {
        let ([load, store], [from]) = (&seg.body[..], loads) else { return None };
        let LaneOp::Store { buffer, access: Access::Unit(e), value, mask: None, add: false } = &store.op else {
            return None;
        };
        let same = load.results == [*value] && self.k.buffers[buffer.index()].dtype.size() == from.size;
        (self.wide512 && same && e.coefficient(rows).is_some()).then_some((*buffer, e))
    }

    /// Copies whole squares of a cache line by as many lanes; gives the first row and the first lane left.
    pub fn squares(
        &mut self,
        l: &Across,
        (to, index): (BufferId, &IndexExpr),
        (rows, tile): (AxisId, AxisId),
        [(row_lo, row_hi), (lane_lo, lane_hi)]: [(VReg, VReg); 2],
    ) -> Result<(VReg, VReg), CodegenError> {
        let side = LINE / l.size as i64;
        let shift = l.size.trailing_zeros();
        let row_end = self.whole_squares(row_lo, row_hi, side);
        let lane_end = self.whole_squares(lane_lo, lane_hi, side);
        let from = self.corner(l.buffer, l.e, (rows, tile))?;
        let (lane_step, lane_steps) = self.once_and_thrice(l.step, shift)?;
        let result = self.corner(to, index, (rows, tile))?;
        let (row_step, row_steps) = self.once_and_thrice(&pitch(index, rows)?, shift)?;
        let store = self.full_store(self.k.buffers[to.index()].dtype);
        let run = |e: &mut Self, store: Code| {
            e.chunk_loop(lane_lo, lane_end, ALONG, &mut |e, first| {
                let last = e.add_imm(first, ALONG);
                let last = e.min(last, lane_end);
                e.count_loop(row_lo, row_end, side, &mut |e, row| {
                    let skip = e.shift_left(row, shift);
                    let from = e.add(from, skip);
                    let skip = e.mul(row, row_step);
                    let result = e.add(result, skip);
                    e.count_loop(first, last, side, &mut |e, lane| {
                        let skip = e.mul(lane, lane_step);
                        let at = e.add(from, skip);
                        let lanes = e.every_fourth(at, side as usize, (lane_step, lane_steps));
                        let turned = e.turn_square(&lanes, l.size);
                        let skip = e.shift_left(lane, shift);
                        let at = e.add(result, skip);
                        let places = e.every_fourth(at, side as usize, (row_step, row_steps));
                        for (row, v) in turned.into_iter().enumerate() {
                            e.c.emit(store, &[places.at(row), A::Use(v)]);
                        }
                        Ok(())
                    })?;
                    Ok(())
                })?;
                Ok(())
            })
        };
        if !self.streamed.contains(&to) {
            run(self, store)?;
            return Ok((row_end, lane_end));
        }
        // Past the caches, where all squares' lines are aligned.
        let first = self.mul(row_lo, row_step);
        let skip = self.shift_left(lane_lo, shift);
        let first = self.add(first, skip);
        let first = self.add(first, result);
        let together = self.int2(Code::Or_r64_rm64, first, row_step);
        self.c.emit(Code::Test_rm64_imm32, &[A::Use(together), A::Imm32(LINE as i32 - 1)]);
        let (aligned, other, join) = (self.c.block(), self.c.block(), self.c.block());
        self.c.branch(Code::Je_rel32_64, aligned, other);
        self.c.enter(aligned);
        run(self, Code::EVEX_Vmovntps_m512_zmm)?;
        self.fences = true;
        self.c.jump(join, &[]);
        self.c.enter(other);
        run(self, store)?;
        self.c.jump(join, &[]);
        self.c.enter(join);
        Ok((row_end, lane_end))
    }

    /// True for a body of which each row of a square gets a copy: few operations on one packed load and on accesses
    /// along the lanes.
    pub fn is_light(&self, seg: &Segment, loads: &[Across], rows: AxisId) -> bool {
        let [from] = loads else { return false };
        let fits = |inst: &LaneInst| match &inst.op {
            LaneOp::Load { buffer, access: Access::Strided(e, _), mask: None } => *buffer == from.buffer && e == from.e,
            LaneOp::Load { buffer, access: Access::Unit(e), mask: None }
            | LaneOp::Store { buffer, access: Access::Unit(e), mask: None, add: false, .. } => {
                e.coefficient(rows).is_some() && stored_at(seg, *buffer, e)
            }
            LaneOp::Prim(p, ..) => !matches!(p, Prim::IDiv | Prim::IRem),
            LaneOp::Const(_) | LaneOp::Scalar(_) => true,
            _ => false,
        };
        let leaf = |inst: &LaneInst| matches!(inst.op, LaneOp::Const(_) | LaneOp::Scalar(_));
        self.wide512 && from.size == 4 && seg.prelude.iter().all(leaf) && seg.cost <= COST && seg.body.iter().all(fits)
    }

    /// Runs a light body over whole squares; gives the first row and the first lane left.
    ///
    /// All rows of a square are computed before the first is stored: where rows lie a power of two apart, a load behind a
    /// store would wait for it, as the lower bits of their addresses are the same.
    pub fn body_of_squares(
        &mut self,
        seg: &Segment,
        l: &Across,
        (rows, tile): (AxisId, AxisId),
        [(row_lo, row_hi), (lane_lo, lane_hi)]: [(VReg, VReg); 2],
    ) -> Result<(VReg, VReg), CodegenError> {
        let side = self.width() as i64;
        let shift = l.size.trailing_zeros();
        let row_end = self.whole_squares(row_lo, row_hi, side);
        let lane_end = self.whole_squares(lane_lo, lane_hi, side);
        let from = self.corner(l.buffer, l.e, (rows, tile))?;
        let (lane_step, lane_steps) = self.once_and_thrice(l.step, shift)?;
        let (stores, others): (Vec<_>, Vec<_>) =
            seg.body.iter().cloned().partition(|i| matches!(i.op, LaneOp::Store { .. }));
        let steps = [self.row_steps(&others, rows)?, self.row_steps(&stores, rows)?];
        self.chunk_loop(lane_lo, lane_end, 2 * ALONG, &mut |e, first| {
            let last = e.add_imm(first, 2 * ALONG);
            let last = e.min(last, lane_end);
            e.count_loop(row_lo, row_end, side, &mut |e, row| {
                e.axes.insert(rows, row);
                e.copy = Copy::default();
                e.lane_axis = Some(tile);
                e.enter(seg)?;
                let skip = e.shift_left(row, shift);
                let from = e.add(from, skip);
                e.n = side as usize;
                e.count_loop(first, last, side, &mut |e, lane| {
                    e.axes.insert(tile, lane);
                    let skip = e.mul(lane, lane_step);
                    let at = e.add(from, skip);
                    e.ask_ahead(at, side as usize, (lane_step, lane_steps));
                    let lanes = e.every_fourth(at, side as usize, (lane_step, lane_steps));
                    let turned = e.turn_square(&lanes, l.size);
                    let block = e.copy.clone();
                    let mut done = Vec::new();
                    for v in turned {
                        e.packed.insert((l.buffer, l.e.clone()), Packed::Register(v));
                        let mut uses = count_uses(seg);
                        e.run(&others, &mut uses)?;
                        done.push((std::mem::replace(&mut e.copy.vals, block.vals.clone()), uses));
                        e.next_row(&steps[0]);
                    }
                    e.copy = block.clone();
                    for (vals, mut uses) in done {
                        e.copy.vals = vals;
                        e.run(&stores, &mut uses)?;
                        e.next_row(&steps[1]);
                    }
                    e.copy = block;
                    Ok(())
                })?;
                e.n = 0;
                Ok(())
            })?;
            Ok(())
        })?;
        self.lane_axis = None;
        self.packed.clear();
        Ok((row_end, lane_end))
    }

    /// Asks for the lines of lanes to come: no prefetcher of the machine sees such steps. (Past the end this asks in vain, and
    /// nothing faults.)
    fn ask_ahead(&mut self, at: VReg, lanes: usize, steps: (VReg, VReg)) {
        let ahead = self.int(AHEAD);
        let skip = self.mul(ahead, steps.0);
        let next = self.add(at, skip);
        let next = self.every_fourth(next, lanes, steps);
        for i in 0..lanes {
            self.c.emit(Code::Prefetcht1_m8, &[next.at(i)]);
        }
    }

    /// Bytes from a row to the next of the accesses along the lanes.
    fn row_steps(&mut self, code: &[LaneInst], rows: AxisId) -> Result<Vec<(BaseKey, VReg)>, CodegenError> {
        let mut steps: Vec<(BaseKey, VReg)> = Vec::new();
        for inst in code {
            let (LaneOp::Load { buffer, access: Access::Unit(e), .. }
            | LaneOp::Store { buffer, access: Access::Unit(e), .. }) = &inst.op
            else {
                continue;
            };
            let key = (Some(*buffer), e.clone());
            if steps.iter().all(|(k, _)| *k != key) {
                let step = self.index(&pitch(e, rows)?)?;
                let step = self.shift_left(step, shift(self.k.buffers[buffer.index()].dtype));
                steps.push((key, step));
            }
        }
        Ok(steps)
    }

    /// Moves accesses on by a row.
    fn next_row(&mut self, steps: &[(BaseKey, VReg)]) {
        for (key, step) in steps {
            let next = self.add(self.copy.bases[key], *step);
            self.copy.bases.insert(key.clone(), next);
        }
    }

    /// The end of the whole squares from `lo` on.
    fn whole_squares(&mut self, lo: VReg, hi: VReg, side: i64) -> VReg {
        let n = self.sub(hi, lo);
        let n = self.int_imm(Code::And_rm64_imm32, n, -(side as i32));
        self.add(lo, n)
    }

    /// A cache line of as many lanes as it has elements, as rows.
    fn turn_square(&mut self, lanes: &Steps, size: usize) -> Vec<VReg> {
        let side = LINE as usize / size;
        let lines: Vec<VReg> = (0..side)
            .map(|l| {
                let v = self.c.vreg(VEC);
                self.c.emit(Code::EVEX_Vmovups_zmm_k1z_zmmm512, &[A::Def(v), lanes.at(l)]);
                v
            })
            .collect();
        let singles = [Code::EVEX_Vunpcklps_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vunpckhps_zmm_k1z_zmm_zmmm512b32];
        let doubles = [Code::EVEX_Vunpcklpd_zmm_k1z_zmm_zmmm512b64, Code::EVEX_Vunpckhpd_zmm_k1z_zmm_zmmm512b64];
        let two = |e: &mut Self, code: Code, a: VReg, b: VReg| e.vec2(code, a, Src::Reg(b));
        // Within every 16 bytes: register r of four (of two) has rows r, r + 4, .. (r, r + 2, ..) of its lanes.
        let mut within: Vec<VReg> = Vec::new();
        for l in lines.chunks(16 / size) {
            if size == 8 {
                within.extend(doubles.map(|code| two(self, code, l[0], l[1])));
                continue;
            }
            for code in singles {
                let (a, b) = (two(self, code, l[0], l[1]), two(self, code, l[2], l[3]));
                within.extend(doubles.map(|code| two(self, code, a, b)));
            }
        }
        // Then 16 bytes of four registers: rows r, r + n, r + 2n, r + 3n.
        let n = 16 / size;
        let mut rows = vec![within[0]; side];
        for r in 0..n {
            let quarters = |e: &mut Self, a: VReg, b: VReg, imm: u8| {
                e.vec2_imm(Code::EVEX_Vshuff32x4_zmm_k1z_zmm_zmmm512b32_imm8, a, Src::Reg(b), imm)
            };
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| within[i * n + r]);
            for (odd, imm) in [0x88, 0xdd].into_iter().enumerate() {
                let (low, high) = (quarters(self, a, b, imm), quarters(self, c, d, imm));
                rows[odd * n + r] = quarters(self, low, high, 0x88);
                rows[(odd + 2) * n + r] = quarters(self, low, high, 0xdd);
            }
        }
        rows
    }
}
