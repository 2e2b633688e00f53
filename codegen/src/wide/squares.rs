//! At 512 bits, a light body with one operand across the lanes (`transpose.rs`): squares of a cache line of each of as many
//! lanes are transposed in registers, whose rows the body takes, or, where it only copies, the result.

use super::body::count_uses;
use super::memory::shift;
use super::strided::Steps;
use super::transpose::{Across, LINE, Packed, Ranges};
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

/// Lanes that squares go along before the next rows: as many pages stay at hand. (A copy in C, f32: 2,048 by 2,048 by 512 or
/// 1,024 lanes 2.1 ms, by 64 3.6, by all 4.8; 1,024 by 1,024 0.25 for 256 and more.)
const ALONG: i64 = 512;
/// The same of other bodies, which gain 5 % by it.
const BODY_ALONG: i64 = 1024;
/// Lanes from those that are read to those that are asked for, of other bodies than copies.
const AHEAD: i64 = 32;
/// The most that a body may cost of which each row of a square gets a copy.
const COST: usize = 16;

/// An operand across the lanes whose squares are transposed.
struct Turned<'a> {
    load: &'a Across<'a>,
    /// Its element of row 0 and lane 0.
    origin: VReg,
    /// Bytes from a lane to the next, and three times that.
    steps: (VReg, VReg),
}

/// A transposed square: what `at_row` gave for its rows, its first lane, its rows.
struct Block {
    place: VReg,
    lane: VReg,
    rows: Vec<VReg>,
}

impl Turned<'_> {
    /// Rows and lanes of a square.
    fn side(&self) -> i64 {
        LINE / self.load.size as i64
    }
}

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
    /// Runs a body over whole squares, if it is one for them; gives their rows and lanes.
    pub fn squares(
        &mut self,
        seg: &Segment,
        loads: &[Across],
        axes: (AxisId, AxisId),
        all: Ranges,
    ) -> Result<Option<Ranges>, CodegenError> {
        let [load] = loads else { return Ok(None) };
        let copy = self.plain_copy(seg, load, axes.0);
        let to = match copy {
            Some(to) => to,
            None if self.is_light(seg, load, axes.0) => {
                let store = seg.body.iter().find_map(|i| match &i.op {
                    LaneOp::Store { buffer, access, .. } => Some((*buffer, access.expr())),
                    _ => None,
                });
                let Some(to) = store else { return Ok(None) };
                to
            }
            None => return Ok(None),
        };
        let origin = self.corner(load.buffer, load.e, axes)?;
        let steps = self.once_and_thrice(load.step, load.size.trailing_zeros())?;
        let turned = Turned { load, origin, steps };
        let size = shift(self.k.buffers[to.0.index()].dtype);
        let result = self.corner(to.0, to.1, axes)?;
        let row_steps = self.once_and_thrice(&pitch(to.1, axes.0)?, size)?;
        let whole = self.whole_squares(&turned, (result, row_steps.0, size), all);
        match copy {
            Some((to, _)) => self.copy_squares(&turned, (to, result, row_steps), whole)?,
            None => self.body_of_squares(seg, &turned, axes, whole)?,
        }
        Ok(Some(whole))
    }

    /// Whole squares, from the row on with which the operand's lines begin, and from the lane on with which the result's do,
    /// where they begin alike in all lanes and rows. A load or store of two lines takes as long as two, and where rows lie a
    /// power of two apart, their lines push each other out of the cache before they are read again.
    fn whole_squares(&mut self, t: &Turned, (result, row_step, size): (VReg, VReg, u32), all: Ranges) -> Ranges {
        let [(row_lo, row_hi), (lane_lo, lane_hi)] = all;
        let skip = self.mul(lane_lo, t.steps.0);
        let lane = self.add(t.origin, skip);
        let rows = self.whole_lines((lane, t.load.size.trailing_zeros()), t.steps.0, (row_lo, row_hi), t.side());
        let skip = self.mul(row_lo, row_step);
        let row = self.add(result, skip);
        let lanes = self.whole_lines((row, size), row_step, (lane_lo, lane_hi), t.side());
        [rows, lanes]
    }

    /// The multiples of `side` elements in `[lo, hi)` from the first one on that begins a cache line, if all elements a step
    /// further on do; of a line at `at`, element 0, by the shift of an element's size.
    fn whole_lines(&mut self, (at, size): (VReg, u32), step: VReg, (lo, hi): (VReg, VReg), side: i64) -> (VReg, VReg) {
        let skip = self.shift_left(lo, size);
        let first = self.add(at, skip);
        let zero = self.int(0);
        let before = self.sub(zero, first);
        let before = self.int_imm(Code::And_rm64_imm32, before, LINE as i32 - 1);
        let before = self.shift_right(before, size);
        self.c.emit(Code::Test_rm64_imm32, &[A::Use(step), A::Imm32(LINE as i32 - 1)]);
        let before = self.choose(Code::Cmove_r64_rm64, before, zero);
        let first = self.add(lo, before);
        let first = self.min(first, hi);
        let n = self.sub(hi, first);
        let n = self.int_imm(Code::And_rm64_imm32, n, -(side as i32));
        (first, self.add(first, n))
    }

    /// Runs `f` for each square, `along` so many lanes before the next rows; `at_row` runs before, once for all of those.
    fn each_square(
        &mut self,
        t: &Turned,
        [(row_lo, row_hi), (lane_lo, lane_hi)]: Ranges,
        (along, asks): (i64, bool),
        at_row: &mut dyn FnMut(&mut Self, VReg) -> Result<VReg, CodegenError>,
        f: &mut dyn FnMut(&mut Self, Block) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        let ahead = asks.then(|| {
            let ahead = self.int(AHEAD);
            self.mul(ahead, t.steps.0)
        });
        self.chunk_loop(lane_lo, lane_hi, along, &mut |e, first| {
            let last = e.add_imm(first, along);
            let last = e.min(last, lane_hi);
            e.count_loop(row_lo, row_hi, t.side(), &mut |e, row| {
                let place = at_row(e, row)?;
                let skip = e.shift_left(row, t.load.size.trailing_zeros());
                let from = e.add(t.origin, skip);
                e.count_loop(first, last, t.side(), &mut |e, lane| {
                    let skip = e.mul(lane, t.steps.0);
                    let at = e.add(from, skip);
                    if let Some(ahead) = ahead {
                        e.ask_for(at, ahead, t);
                    }
                    let lines = e.every_fourth(at, t.side() as usize, t.steps);
                    let rows = e.turn_square(&lines, t.load.size);
                    f(e, Block { place, lane, rows })
                })?;
                Ok(())
            })?;
            Ok(())
        })
    }

    /// Asks for the lines of lanes to come: no prefetcher of the machine sees such steps. (Past the end this asks in vain, and
    /// nothing faults.)
    fn ask_for(&mut self, at: VReg, ahead: VReg, t: &Turned) {
        let next = self.add(at, ahead);
        let next = self.every_fourth(next, t.side() as usize, t.steps);
        for i in 0..t.side() as usize {
            self.c.emit(Code::Prefetcht1_m8, &[next.at(i)]);
        }
    }

    /// Where a body goes that does nothing but copy its only load.
    fn plain_copy<'a>(&self, seg: &'a Segment, from: &Across, rows: AxisId) -> Option<(BufferId, &'a IndexExpr)> {
        let [load, store] = &seg.body[..] else { return None };
        let LaneOp::Store { buffer, access: Access::Unit(e), value, mask: None, add: false } = &store.op else {
            return None;
        };
        let same = load.results == [*value] && self.k.buffers[buffer.index()].dtype.size() == from.size;
        (self.wide512 && same && e.coefficient(rows).is_some()).then_some((*buffer, e))
    }

    /// Copies whole squares to where element 0 is at `result`, rows a step apart.
    fn copy_squares(
        &mut self,
        t: &Turned,
        (to, result, row_steps): (BufferId, VReg, (VReg, VReg)),
        whole: Ranges,
    ) -> Result<(), CodegenError> {
        let size = t.load.size.trailing_zeros();
        let run = |e: &mut Self, store: Code| {
            let at_row = &mut |e: &mut Self, row| {
                let skip = e.mul(row, row_steps.0);
                Ok(e.add(result, skip))
            };
            e.each_square(t, whole, (ALONG, false), at_row, &mut |e, block| {
                let skip = e.shift_left(block.lane, size);
                let at = e.add(block.place, skip);
                let places = e.every_fourth(at, block.rows.len(), row_steps);
                for (row, v) in block.rows.into_iter().enumerate() {
                    e.c.emit(store, &[places.at(row), A::Use(v)]);
                }
                Ok(())
            })
        };
        let store = self.full_store(self.k.buffers[to.index()].dtype);
        if !self.streamed.contains(&to) {
            return run(self, store);
        }
        // Past the caches, where all squares' lines are aligned.
        let [(row, _), (lane, _)] = whole;
        let first = self.mul(row, row_steps.0);
        let skip = self.shift_left(lane, size);
        let first = self.add(first, skip);
        let first = self.add(first, result);
        let together = self.int2(Code::Or_r64_rm64, first, row_steps.0);
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
        Ok(())
    }

    /// True for a body of which each row of a square gets a copy: few operations on one packed load and on accesses
    /// along the lanes, all loads before all stores.
    fn is_light(&self, seg: &Segment, from: &Across, rows: AxisId) -> bool {
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
        let cheap = from.size == 4 && seg.cost <= COST && seg.prelude.iter().all(leaf);
        self.wide512 && cheap && seg.loads_first() && seg.body.iter().all(fits)
    }

    /// Runs a light body over whole squares.
    ///
    /// All rows of a square are computed before the first is stored: where rows lie a power of two apart, a load behind a
    /// store would wait for it, as the lower bits of their addresses are the same.
    fn body_of_squares(
        &mut self,
        seg: &Segment,
        t: &Turned,
        (rows, tile): (AxisId, AxisId),
        whole: Ranges,
    ) -> Result<(), CodegenError> {
        let packed = (t.load.buffer, t.load.e.clone());
        let (stores, others) = seg.split_stores();
        let steps = [self.row_steps(&others, rows)?, self.row_steps(&stores, rows)?];
        let uses = count_uses(seg);
        let at_row = &mut |e: &mut Self, row| {
            e.axes.insert(rows, row);
            e.copy = Copy::default();
            e.lane_axis = Some(tile);
            e.enter(seg)?;
            Ok(row)
        };
        self.each_square(t, whole, (BODY_ALONG, true), at_row, &mut |e, block| {
            e.axes.insert(tile, block.lane);
            e.n = e.width();
            let start = e.copy.clone();
            let mut done = Vec::new();
            for v in block.rows {
                e.packed.insert(packed.clone(), Packed::Register(v));
                let mut uses = uses.clone();
                e.run(&others, &mut uses)?;
                done.push((std::mem::replace(&mut e.copy.vals, start.vals.clone()), uses));
                e.next_row(&steps[0]);
            }
            e.copy.bases.clone_from(&start.bases);
            for (vals, mut uses) in done {
                e.copy.vals = vals;
                e.run(&stores, &mut uses)?;
                e.next_row(&steps[1]);
            }
            e.copy = start;
            e.n = 0;
            Ok(())
        })?;
        self.lane_axis = None;
        self.packed.clear();
        Ok(())
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
