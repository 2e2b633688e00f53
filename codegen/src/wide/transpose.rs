//! Operands that lie across the lanes: a map whose load steps along the lanes but reads neighbours along the
//! loop around them, `x + y.T`.
//!
//! The strip's two loops are cut into blocks of [`ROWS`] rows (a cache line of 4-byte elements) and a tile of
//! lanes. Of every block such a load is first packed into a local array, row by row, by transpositions in
//! registers: 4 rows of 8 lanes at a time, or 2 of 4 with 8-byte elements. Then the body runs over the block's
//! rows as ever and finds its lanes next to each other. What is left of a block's rows is inserted element by element, what
//! is left of the lanes is copied by scalar code.
//!
//! At 512 bits a body that only copies goes from registers to its result, a cache line of each lane at a time (`squares`).

use super::strided::{By, Steps};
use super::val::Src;
use super::vcode::{A, VEC};
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
const LINE: i64 = 64;
/// Lanes that squares go along before the next rows: as many pages stay at hand. (In C, f32: 2,048 by 2,048 by 512 or 1,024
/// lanes 2.1 ms, by 64 3.6, by all 4.8; 1,024 by 1,024 0.25 for 256 and more.)
const ALONG: i64 = 512;
/// Operands of which so many are packed; what is beyond them steps.
const MOST: usize = 4;

/// A load that is packed.
struct Across<'a> {
    buffer: BufferId,
    e: &'a IndexExpr,
    /// In elements, along the lanes.
    step: &'a IndexExpr,
    size: usize,
    /// Its local array.
    at: i32,
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
        match self.plain_copy(seg, &loads, rows) {
            Some(to) => {
                let (row_end, lane_end) = self.squares(&loads[0], to, (rows, tile), all)?;
                // The lanes that are left beside the squares, then the rows below.
                let (zero, two) = (self.int(0), self.int(2));
                self.count_loop(zero, two, 1, &mut |e, part| {
                    let mut pick = |beside: VReg, below: VReg| {
                        e.compare_imm(part, 0);
                        e.choose(Code::Cmove_r64_rm64, beside, below)
                    };
                    let ranges = [(pick(row_lo, row_end), pick(row_end, row_hi)), (pick(lane_end, lane_lo), lane_hi)];
                    e.blocks(seg, &loads, (rows, tile), ranges, lanes)
                })?;
            }
            None => self.blocks(seg, &loads, (rows, tile), all, lanes)?,
        }
        self.scope.truncate(self.scope.len() - 2);
        self.packed.clear();
        Ok(true)
    }

    /// The body over ranges of rows and lanes, in blocks of at most `width` lanes.
    fn blocks(
        &mut self,
        seg: &Segment,
        loads: &[Across],
        (rows, tile): (AxisId, AxisId),
        [(row_lo, row_hi), (lane_lo, lane_hi)]: [(VReg, VReg); 2],
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
                        e.packed.insert((l.buffer, l.e.clone()), base);
                    }
                    e.lane_axis = Some(tile);
                    e.enter(seg)?;
                    e.lane_loop(tile, lane, end, vectors, &mut |e| e.body(seg))
                })?;
                Ok(())
            })
        })
    }

    /// Where a body goes that does nothing but copy its only load.
    fn plain_copy<'a>(&self, seg: &'a Segment, loads: &[Across], rows: AxisId) -> Option<(BufferId, &'a IndexExpr)> {
        let ([load, store], [from]) = (&seg.body[..], loads) else { return None };
        let LaneOp::Store { buffer, access: Access::Unit(e), value, mask: None, add: false } = &store.op else {
            return None;
        };
        let same = load.results == [*value] && self.k.buffers[buffer.index()].dtype.size() == from.size;
        (self.wide512 && same && e.coefficient(rows).is_some()).then_some((*buffer, e))
    }

    /// Copies whole squares of a cache line by as many lanes; gives the first row and the first lane left.
    fn squares(
        &mut self,
        l: &Across,
        (to, index): (BufferId, &IndexExpr),
        (rows, tile): (AxisId, AxisId),
        [(row_lo, row_hi), (lane_lo, lane_hi)]: [(VReg, VReg); 2],
    ) -> Result<(VReg, VReg), CodegenError> {
        let side = LINE / l.size as i64;
        let shift = l.size.trailing_zeros();
        let whole = |e: &mut Self, lo: VReg, hi: VReg| {
            let n = e.sub(hi, lo);
            let n = e.int_imm(Code::And_rm64_imm32, n, -(side as i32));
            e.add(lo, n)
        };
        let (row_end, lane_end) = (whole(self, row_lo, row_hi), whole(self, lane_lo, lane_hi));
        let corner = |e: &mut Self, buffer: BufferId, index: &IndexExpr| {
            let origin = index.map_leaves(&mut |leaf| {
                let moves = *leaf == IndexExpr::Axis(rows) || *leaf == IndexExpr::Axis(tile);
                moves.then_some(IndexExpr::Const(0))
            });
            let origin = e.index(&origin)?;
            Ok::<_, CodegenError>(e.address(buffer, origin))
        };
        let steps = |e: &mut Self, step: &IndexExpr| {
            let step = e.index(step)?;
            let once = e.shift_left(step, shift);
            let twice = e.add(once, once);
            Ok::<_, CodegenError>((once, e.add(twice, once)))
        };
        let from = corner(self, l.buffer, l.e)?;
        let (lane_step, lane_steps) = steps(self, l.step)?;
        let result = corner(self, to, index)?;
        let pitch = index.coefficient(rows).ok_or_else(|| CodegenError::internal("a copy without rows"))?;
        let (row_step, row_steps) = steps(self, &pitch)?;
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
        let origin = l.e.map_leaves(&mut |leaf| {
            let moves = *leaf == IndexExpr::Axis(rows) || *leaf == IndexExpr::Axis(tile);
            moves.then_some(IndexExpr::Const(0))
        });
        let origin = self.index(&origin)?;
        let first = self.add(origin, row);
        let corner = self.address(l.buffer, first);
        let step = self.index(l.step)?;
        let once = self.shift_left(step, shift);
        let twice = self.add(once, once);
        let thrice = self.add(twice, once);
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
    fn every_fourth(&mut self, first: VReg, lanes: usize, (once, thrice): (VReg, VReg)) -> Steps {
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
