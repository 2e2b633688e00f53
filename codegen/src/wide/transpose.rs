//! Operands that lie across the lanes: a map whose load steps along the lanes but reads neighbours along the
//! loop around them, `x + y.T`.
//!
//! The strip's two loops are cut into blocks of [`ROWS`] rows (a cache line of 4-byte elements) and a tile of
//! lanes. Of every block such a load is first packed into a local array, row by row, by transpositions in
//! registers: 4 rows of 8 lanes at a time, or 2 of 4 with 8-byte elements. Then the body runs over the block's
//! rows as ever and finds its lanes next to each other. What is left of a block's rows is inserted element by element, what
//! is left of the lanes is copied by scalar code.
//!
//! At 512 bits a light body with one such load takes it from registers (`squares.rs`).

use super::strided::{By, Steps};
use super::vcode::{A, INT, VEC};
use super::{Copy, Emitter};
use crate::error::CodegenError;
use crate::lane::{Access, LaneOp, Mode, Segment, Strip};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::id::{AxisId, BufferId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::STEP_MAX;

/// Rows of a block.
const ROWS: i64 = 16;
/// Bytes of all packed operands of a block, on the stack.
const BYTES: usize = 8 << 10;
/// Bytes of a cache line.
pub const LINE: i64 = 64;
/// Operands of which so many are packed; what is beyond them steps.
const MOST: usize = 4;

/// Rows and lanes: the first of each, and one past the last.
pub type Ranges = [(VReg, VReg); 2];

/// A load that is packed.
pub struct Across<'a> {
    pub buffer: BufferId,
    pub e: &'a IndexExpr,
    /// In elements, along the lanes.
    pub step: &'a IndexExpr,
    pub size: usize,
    /// Its local array.
    pub at: i32,
}

/// Where a load finds its lanes.
#[derive(Clone, Copy)]
pub enum Packed {
    /// Address such that adding `k * size` gives lane k.
    Array(VReg),
    /// One vector, which has all lanes in flight.
    Register(VReg),
}

fn has_values(e: &IndexExpr) -> bool {
    let mut found = false;
    e.visit(&mut |e| found |= matches!(e, IndexExpr::Value(_)));
    found
}

impl Emitter<'_> {
    /// The loads of a strip to be packed: (loads, tile, rows); None where there is none.
    fn across<'a>(&mut self, strip: &'a Strip) -> Option<(Vec<Across<'a>>, AxisId, AxisId)> {
        let (Mode::Outer, Some(rows), Some(tile), false) = (strip.mode, strip.rows, strip.tile, strip.tiled) else {
            return None;
        };
        let [seg] = &strip.segments[..] else { return None };
        let mut loads: Vec<Across> = Vec::new();
        for inst in &seg.body {
            let LaneOp::Load { buffer, access: Access::Strided(e, step), mask: None } = &inst.op else { continue };
            let size = self.k.buffers[buffer.index()].dtype.size();
            // Small steps are taken apart, and those backwards reversed, as they are (`strided.rs`).
            let small = matches!(step, IndexExpr::Const(c) if *c == -1 || (1..=STEP_MAX).contains(c));
            let neighbours = !small && e.coefficient(rows) == Some(IndexExpr::Const(1));
            let known = loads.iter().any(|l| l.buffer == *buffer && l.e == e);
            if size >= 4 && neighbours && !known && !has_values(e) && !seg.stores_to(*buffer) && loads.len() < MOST {
                loads.push(Across { buffer: *buffer, e, step, size, at: 0 });
            }
        }
        (!loads.is_empty()).then_some((loads, tile, rows))
    }

    /// The strip, if loads of it are to be packed.
    pub fn transposed_strip(&mut self, strip: &Strip) -> Result<bool, CodegenError> {
        let Some((mut loads, tile, rows)) = self.across(strip) else { return Ok(false) };
        let seg = &strip.segments[0];
        // A power of two.
        let row_bytes: usize = loads.iter().map(|l| l.size).sum();
        let lanes = BYTES / (ROWS as usize * row_bytes.next_power_of_two());
        for l in &mut loads {
            l.at = self.c.local(ROWS as usize * lanes * l.size);
        }
        let (row_lo, row_hi) = self.axis_range(rows);
        let (lane_lo, lane_hi) = self.axis_range(tile);
        self.scope.extend([rows, tile]);
        let all = [(row_lo, row_hi), (lane_lo, lane_hi)];
        match self.squares(seg, &loads, (rows, tile), all)? {
            Some(whole) => {
                self.beside(all, whole, &mut |e, ranges| e.blocks(seg, &loads, (rows, tile), ranges, lanes))?;
                // Squares take what registers there are, with any number of vectors in flight.
                self.several = false;
            }
            None => self.blocks(seg, &loads, (rows, tile), all, lanes)?,
        }
        self.scope.truncate(self.scope.len() - 2);
        self.packed.clear();
        Ok(true)
    }

    /// Runs `f` for what lies around the middle of rows and lanes: the rows above, the lanes on both sides, the rows below.
    fn beside(
        &mut self,
        [(row_lo, row_hi), (lane_lo, lane_hi)]: Ranges,
        [(row_first, row_end), (lane_first, lane_end)]: Ranges,
        f: &mut dyn FnMut(&mut Self, Ranges) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        let parts = [
            [row_lo, row_first, lane_lo, lane_hi],
            [row_first, row_end, lane_lo, lane_first],
            [row_first, row_end, lane_end, lane_hi],
            [row_end, row_hi, lane_lo, lane_hi],
        ];
        let array = self.c.local(parts.len() * 32);
        for (i, v) in parts.concat().into_iter().enumerate() {
            self.c.emit(Code::Mov_rm64_r64, &[A::Local(array + 8 * i as i32), A::Use(v)]);
        }
        let (zero, end) = (self.int(0), self.int(32 * parts.len() as i64));
        self.count_loop(zero, end, 32, &mut |e, part| {
            let [row_lo, row_hi, lane_lo, lane_hi] = [0, 8, 16, 24].map(|i| {
                let v = e.c.vreg(INT);
                e.c.emit(Code::Mov_r64_rm64, &[A::Def(v), A::LocalIndexed(array + i, part, 1)]);
                v
            });
            f(e, [(row_lo, row_hi), (lane_lo, lane_hi)])
        })?;
        Ok(())
    }

    /// The body over ranges of rows and lanes, in blocks of at most `width` lanes.
    fn blocks(
        &mut self,
        seg: &Segment,
        loads: &[Across],
        (rows, tile): (AxisId, AxisId),
        [(row_lo, row_hi), (lane_lo, lane_hi)]: Ranges,
        width: usize,
    ) -> Result<(), CodegenError> {
        let vectors = self.unroll(seg);
        // Down all rows of a tile of lanes: lanes lie on pages of their own, and these stay at hand.
        self.chunk_loop(lane_lo, lane_hi, width as i64, &mut |e, lane| {
            let end = e.add_imm(lane, width as i64);
            let end = e.min(end, lane_hi);
            e.chunk_loop(row_lo, row_hi, ROWS, &mut |e, row| {
                let (most, left) = (e.int(ROWS), e.sub(row_hi, row));
                let count = e.min(left, most);
                for l in loads {
                    e.pack(l, (rows, row, count), (tile, lane, end), width)?;
                }
                let zero = e.int(0);
                e.count_loop(zero, count, 1, &mut |e, r| {
                    let axis = e.add(row, r);
                    e.axes.insert(rows, axis);
                    e.copy = Copy::default();
                    e.packed.clear();
                    for l in loads {
                        let array = e.c.local_address(l.at);
                        let array = e.row_of(array, r, (width * l.size) as i32);
                        // Element `lane` of the row is the first.
                        let first = e.shift_left(lane, l.size.trailing_zeros());
                        let base = e.sub(array, first);
                        e.packed.insert((l.buffer, l.e.clone()), Packed::Array(base));
                    }
                    e.lane_axis = Some(tile);
                    e.enter(seg)?;
                    e.lane_loop(tile, lane, end, vectors, &mut |e| e.body(seg))
                })?;
                Ok(())
            })
        })
    }

    /// The address of an access at row 0 and lane 0.
    pub fn corner(
        &mut self,
        buffer: BufferId,
        index: &IndexExpr,
        (rows, tile): (AxisId, AxisId),
    ) -> Result<VReg, CodegenError> {
        let origin = index.map_leaves(&mut |leaf| {
            let moves = *leaf == IndexExpr::Axis(rows) || *leaf == IndexExpr::Axis(tile);
            moves.then_some(IndexExpr::Const(0))
        });
        let origin = self.index(&origin)?;
        Ok(self.address(buffer, origin))
    }

    /// A step of so many elements and three of them, in bytes.
    pub fn once_and_thrice(&mut self, step: &IndexExpr, shift: u32) -> Result<(VReg, VReg), CodegenError> {
        let step = self.index(step)?;
        let once = self.shift_left(step, shift);
        let twice = self.add(once, once);
        Ok((once, self.add(twice, once)))
    }

    /// Copies the elements of rows `[row, row + count)` and lanes `[lane, end)` to the local array.
    fn pack(
        &mut self,
        l: &Across,
        (rows, row, count): (AxisId, VReg, VReg),
        (tile, lane, end): (AxisId, VReg, VReg),
        width: usize,
    ) -> Result<(), CodegenError> {
        let shift = l.size.trailing_zeros();
        let (group, unit) = if l.size == 8 { (4, 2) } else { (8, 4) };
        let pitch = (width * l.size) as i32;
        let corner = self.corner(l.buffer, l.e, (rows, tile))?;
        let skip = self.shift_left(row, shift);
        let corner = self.add(corner, skip);
        let (once, thrice) = self.once_and_thrice(l.step, shift)?;
        let array = self.c.local_address(l.at);
        let zero = self.int(0);
        // Address of the first row of a lane, and of its place in the array.
        let places = |e: &mut Self, k: VReg| {
            let skip = e.mul(k, once);
            let number = e.sub(k, lane);
            let number = e.shift_left(number, shift);
            (e.add(corner, skip), e.add(array, number))
        };
        let rest = self.count_loop(lane, end, group, &mut |e, k| {
            let (from, to) = places(e, k);
            e.prefetch_next(from, group as usize, l.size, once, thrice);
            let rest = e.count_loop(zero, count, unit, &mut |e, r| {
                let steps = e.lane_steps(from, r, l.size, once, thrice);
                let turned = if l.size == 8 { e.turn_pairs(&steps) } else { e.turn_quads(&steps) };
                let to = e.row_of(to, r, pitch);
                for (i, v) in turned.into_iter().enumerate() {
                    e.store_ymm(v, A::Mem(to, i as i32 * pitch));
                }
                Ok(())
            })?;
            e.count_loop(rest, count, 1, &mut |e, r| {
                let steps = e.lane_steps(from, r, l.size, once, thrice);
                let lanes: Vec<A> = (0..group as usize).map(|i| steps.at(i)).collect();
                let v = e.insert_ymm(l.size, &lanes);
                let to = e.row_of(to, r, pitch);
                e.store_ymm(v, A::Mem(to, 0));
                Ok(())
            })?;
            Ok(())
        })?;
        self.count_loop(rest, end, 1, &mut |e, k| {
            let (from, to) = places(e, k);
            e.count_loop(zero, count, 1, &mut |e, r| {
                let to = e.row_of(to, r, pitch);
                e.copy_element(l.size, A::Indexed(from, r, l.size as u32, 0), A::Mem(to, 0));
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(())
    }

    /// Asks for the lanes' elements of the next block: no prefetcher of the machine sees that each lane goes on
    /// where it was left. (Past the end this asks in vain, and nothing faults.)
    fn prefetch_next(&mut self, from: VReg, lanes: usize, size: usize, once: VReg, thrice: VReg) {
        for line in 0..ROWS * size as i64 / LINE {
            let row = self.int(ROWS + line * LINE / size as i64);
            let next = self.lane_steps(from, row, size, once, thrice);
            for i in 0..lanes {
                self.c.emit(Code::Prefetcht0_m8, &[next.at(i)]);
            }
        }
    }

    /// Where the lanes of row `r` are, the first row of lane 0 being at `from`.
    fn lane_steps(&mut self, from: VReg, r: VReg, size: usize, once: VReg, thrice: VReg) -> Steps {
        let skip = self.shift_left(r, size.trailing_zeros());
        let first = self.add(from, skip);
        self.every_fourth(first, 8, (once, thrice))
    }

    /// So many lanes (or rows), from `first` on.
    pub fn every_fourth(&mut self, first: VReg, lanes: usize, (once, thrice): (VReg, VReg)) -> Steps {
        let four = self.shift_left(once, 2);
        let mut pointers = vec![first];
        for i in 1..lanes / 4 {
            let next = self.add(pointers[i - 1], four);
            pointers.push(next);
        }
        Steps { pointers, by: By::Times(once, thrice) }
    }

    fn row_of(&mut self, to: VReg, r: VReg, pitch: i32) -> VReg {
        debug_assert!(pitch.count_ones() == 1);
        let skip = self.shift_left(r, pitch.trailing_zeros());
        self.add(to, skip)
    }

    fn store_ymm(&mut self, v: VReg, to: A) {
        let code = self.pick(Code::VEX_Vmovups_ymmm256_ymm, Code::EVEX_Vmovups_ymmm256_k1z_ymm);
        self.c.emit(code, &[to, A::Use(v)]);
    }

    /// 16 bytes of one lane below 16 bytes of another.
    fn load_halves(&mut self, low: A, high: A) -> VReg {
        let (x, y) = (self.c.vreg(VEC), self.c.vreg(VEC));
        let load = self.pick(Code::VEX_Vmovups_xmm_xmmm128, Code::EVEX_Vmovups_xmm_k1z_xmmm128);
        self.c.emit(load, &[A::Def(x), low]);
        let insert =
            self.pick(Code::VEX_Vinsertf128_ymm_ymm_xmmm128_imm8, Code::EVEX_Vinsertf32x4_ymm_k1z_ymm_xmmm128_imm8);
        self.c.emit(insert, &[A::Def(y), A::Use(x), high, A::Imm8(1)]);
        y
    }

    fn unpack(&mut self, code: (Code, Code), a: VReg, b: VReg) -> VReg {
        let v = self.c.vreg(VEC);
        let code = self.pick(code.0, code.1);
        self.c.emit(code, &[A::Def(v), A::Use(a), A::Any(b)]);
        v
    }

    /// Four rows of eight lanes of 4 bytes.
    fn turn_quads(&mut self, steps: &Steps) -> Vec<VReg> {
        // Row by row: 0 to 3 of lane l, then of lane l + 4.
        let x: Vec<VReg> = (0..4).map(|l| self.load_halves(steps.at(l), steps.at(l + 4))).collect();
        let low = (Code::VEX_Vunpcklps_ymm_ymm_ymmm256, Code::EVEX_Vunpcklps_ymm_k1z_ymm_ymmm256b32);
        let high = (Code::VEX_Vunpckhps_ymm_ymm_ymmm256, Code::EVEX_Vunpckhps_ymm_k1z_ymm_ymmm256b32);
        // Lanes 0 and 1 of rows 0 and 1, lanes 2 and 3 of them; the same of rows 2 and 3.
        let pairs = [
            (self.unpack(low, x[0], x[1]), self.unpack(low, x[2], x[3])),
            (self.unpack(high, x[0], x[1]), self.unpack(high, x[2], x[3])),
        ];
        pairs.into_iter().flat_map(|(a, b)| self.unpack_pairs(a, b)).collect()
    }

    /// Two rows of four lanes of 8 bytes.
    fn turn_pairs(&mut self, steps: &Steps) -> Vec<VReg> {
        let x: Vec<VReg> = (0..2).map(|l| self.load_halves(steps.at(l), steps.at(l + 2))).collect();
        self.unpack_pairs(x[0], x[1]).to_vec()
    }

    fn unpack_pairs(&mut self, a: VReg, b: VReg) -> [VReg; 2] {
        let low = (Code::VEX_Vunpcklpd_ymm_ymm_ymmm256, Code::EVEX_Vunpcklpd_ymm_k1z_ymm_ymmm256b64);
        let high = (Code::VEX_Vunpckhpd_ymm_ymm_ymmm256, Code::EVEX_Vunpckhpd_ymm_k1z_ymm_ymmm256b64);
        [self.unpack(low, a, b), self.unpack(high, a, b)]
    }
}
