//! Accesses whose lanes lie a step apart, with all lanes in flight existing. (Those of a tail go lane by lane:
//! `lanes.rs`.)
//!
//! A load by a small constant step reads whole vectors and takes them apart with one permutation. The vectors
//! start W - 1 elements apart, W being the lanes of a register, so that the first begins with lane 0 and the
//! last ends with lane W - 1: nothing is read beyond the lanes' own extent. Lane k, at element k * step, is
//! number `k * step - i * (W - 1)` of vector i. Where no two lanes have the same number (W - 1 and the step have no
//! common factor) the vectors are blended first.
//!
//! A load backwards reads whole vectors and reverses their lanes.
//!
//! Any other access inserts or extracts element by element, through registers.

use super::Emitter;
use super::memory::shift;
use super::val::{LaneTy, Lanes, Src};
use super::vcode::{A, INT, VEC};
use crate::error::CodegenError;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::prim::Prim;
use std::ops::Range;

/// Where the lanes in flight are.
pub struct Steps {
    /// Address of every fourth lane; where the step is a constant, what lane 0 of all is at.
    pub pointers: Vec<VReg>,
    pub by: By,
}

pub enum By {
    /// The first lane in flight is at `index * scale`, the others `step` bytes apart.
    Const { index: VReg, scale: u32, step: i32 },
    /// Once and three times, in bytes.
    Times(VReg, VReg),
}

impl Steps {
    pub fn at(&self, lane: usize) -> A {
        match self.by {
            By::Const { index, scale, step } => A::Indexed(self.pointers[0], index, scale, step * lane as i32),
            By::Times(once, thrice) => {
                let p = self.pointers[lane / 4];
                match lane % 4 {
                    0 => A::Mem(p, 0),
                    3 => A::Indexed(p, thrice, 1, 0),
                    k => A::Indexed(p, once, k as u32, 0),
                }
            }
        }
    }
}

/// Vectors of which one is made.
pub struct Parts<'a> {
    pub first: VReg,
    /// Vector i, from 1 on.
    pub others: &'a dyn Fn(usize) -> A,
    /// For each lane of the result its vector and its number in that.
    pub numbers: Vec<(usize, usize)>,
}

/// The number of lane `k` within vector `i` of those that start `apart` elements apart: (i, number).
fn part_of(k: usize, step: usize, apart: usize) -> (usize, usize) {
    let i = (k * step / apart).min(step - 1);
    (i, k * step - i * apart)
}

impl Emitter<'_> {
    /// The constant step of an access in bytes, where displacements can hold it.
    fn constant_step(&self, step: &IndexExpr, size: usize) -> Option<i32> {
        let IndexExpr::Const(c) = step else { return None };
        let bytes = i32::try_from(c.checked_mul(size as i64)?).ok()?;
        bytes.checked_mul(self.n as i32).map(|_| bytes)
    }

    fn steps(&mut self, base: VReg, step: &IndexExpr, dtype: DType) -> Result<Steps, CodegenError> {
        let k = self.first_lane()?;
        if let Some(step) = self.constant_step(step, dtype.size()) {
            let (index, scale) = self.scaled(k, step);
            return Ok(Steps { pointers: vec![base], by: By::Const { index, scale, step } });
        }
        let step = self.index(step)?;
        let once = self.shift_left(step, shift(dtype));
        let twice = self.add(once, once);
        let thrice = self.add(twice, once);
        let offset = self.mul(k, once);
        let mut pointers = vec![self.add(base, offset)];
        let four = self.shift_left(once, 2);
        while pointers.len() < self.n.div_ceil(4) {
            let last = pointers[pointers.len() - 1];
            pointers.push(self.add(last, four));
        }
        Ok(Steps { pointers, by: By::Times(once, thrice) })
    }

    /// `k * bytes` as an index and its scale in an address.
    pub fn scaled(&mut self, k: VReg, bytes: i32) -> (VReg, u32) {
        let scale = 1 << bytes.trailing_zeros().min(3);
        let v = match bytes / scale {
            1 => return (k, scale as u32),
            times @ (3 | 5 | 9) => {
                let v = self.c.vreg(INT);
                self.c.emit(Code::Lea_r64_m, &[A::Def(v), A::Indexed(k, k, times as u32 - 1, 0)]);
                v
            }
            times => {
                let v = self.c.vreg(INT);
                self.c.emit(Code::Imul_r64_rm64_imm32, &[A::Def(v), A::Any(k), A::Imm32(times)]);
                v
            }
        };
        (v, scale as u32)
    }

    /// The lanes in flight, all of which exist.
    pub fn load_strided(&mut self, dtype: DType, base: VReg, step: &IndexExpr) -> Result<Lanes, CodegenError> {
        let steps = self.steps(base, step, dtype)?;
        let ty = LaneTy::of(dtype);
        let per_part = self.lanes_of(ty);
        let constant = match (step, &steps.by) {
            (IndexExpr::Const(c), By::Const { .. }) => Some(*c),
            _ => None,
        };
        let parts = (0..self.parts(ty))
            .map(|part| {
                let first = part * per_part;
                match constant.map(usize::try_from) {
                    Some(Ok(step)) if self.takes_apart(dtype, step) => self.load_apart(dtype, steps.at(first), step),
                    Some(Err(_)) if constant == Some(-1) => self.load_reversed(dtype, steps.at(first + per_part - 1)),
                    _ => self.insert_lanes(dtype, first..first + per_part, &mut |_, l| steps.at(l)),
                }
            })
            .collect();
        Ok(Lanes { ty, parts })
    }

    /// True for steps that whole vectors serve better than single elements.
    pub fn takes_apart(&self, dtype: DType, step: usize) -> bool {
        match (self.wide512, dtype.size()) {
            (false, 4) => (2..7).contains(&step),
            (false, 8) => step == 2,
            (true, 4) => (2..9).contains(&step),
            (true, 8) => (2..5).contains(&step),
            _ => false,
        }
    }

    /// A register of elements, the last one of them at an address and the others behind it.
    fn load_reversed(&mut self, dtype: DType, at: A) -> VReg {
        // Bools are bytes until their lanes are in order.
        let raw = if dtype == DType::Bool { DType::U8 } else { dtype };
        let v = self.load_part(raw, at, None);
        let per_part = self.lanes_of(LaneTy::of(raw));
        let backwards: Vec<usize> = (0..per_part).rev().collect();
        let v = match (self.wide512, dtype.size()) {
            (false, 8) => self.vec1_imm(Code::VEX_Vpermpd_ymm_ymmm256_imm8, Src::Reg(v), 0b00_01_10_11),
            (true, 8) => {
                let order = self.order_vector(8, &backwards);
                self.vec2(Code::EVEX_Vpermpd_zmm_k1z_zmm_zmmm512b64, order, Src::Reg(v))
            }
            (wide512, _) => {
                let order = self.order_vector(4, &backwards);
                let permute =
                    if wide512 { Code::EVEX_Vpermps_zmm_k1z_zmm_zmmm512b32 } else { Code::VEX_Vpermps_ymm_ymm_ymmm256 };
                self.vec2(permute, order, Src::Reg(v))
            }
        };
        if dtype != DType::Bool {
            return v;
        }
        let zero = self.pool_bits(0, false);
        self.compare_int(Prim::Ne, LaneTy::I32, v, zero)
    }

    /// A register of elements `step` apart, of 4 or 8 bytes, the first one at an address.
    fn load_apart(&mut self, dtype: DType, at: A, step: usize) -> VReg {
        let size = dtype.size();
        let w = self.bytes() / size;
        let vector = |i: usize| at.beyond((i * (w - 1) * size) as i32);
        let load = match (self.wide512, size) {
            (false, _) => Code::VEX_Vmovups_ymm_ymmm256,
            (true, 8) => Code::EVEX_Vmovupd_zmm_k1z_zmmm512,
            (true, _) => Code::EVEX_Vmovups_zmm_k1z_zmmm512,
        };
        let first = self.c.vreg(VEC);
        self.c.emit(load, &[A::Def(first), vector(0)]);
        let numbers = (0..w).map(|k| part_of(k, step, w - 1)).collect();
        self.take_apart(dtype, Parts { first, others: &vector, numbers })
    }

    /// Elements of 4 or 8 bytes out of several vectors; at 256 bits no two of them have the same number.
    pub fn take_apart(&mut self, dtype: DType, Parts { first, others, numbers }: Parts<'_>) -> VReg {
        let size = dtype.size();
        let w = numbers.len();
        let vectors = 1 + numbers.iter().map(|n| n.0).max().unwrap_or(0);
        let mut v = first;
        if !self.wide512 {
            let blend = if size == 8 {
                Code::VEX_Vblendpd_ymm_ymm_ymmm256_imm8
            } else {
                Code::VEX_Vblendps_ymm_ymm_ymmm256_imm8
            };
            for i in 1..vectors {
                let mask = numbers.iter().filter(|n| n.0 == i).fold(0u8, |m, n| m | 1 << n.1);
                let blended = self.c.vreg(VEC);
                self.c.emit(blend, &[A::Def(blended), A::Use(v), others(i), A::Imm8(mask)]);
                v = blended;
            }
            if size == 8 {
                let order = numbers.iter().enumerate().fold(0u8, |m, (k, n)| m | (n.1 as u8) << (2 * k));
                return self.vec1_imm(Code::VEX_Vpermpd_ymm_ymmm256_imm8, Src::Reg(v), order);
            }
            let order = self.order_vector(size, &numbers.iter().map(|n| n.1).collect::<Vec<_>>());
            return self.vec2(Code::VEX_Vpermps_ymm_ymm_ymmm256, order, Src::Reg(v));
        }
        let permute = if size == 8 {
            Code::EVEX_Vpermi2pd_zmm_k1z_zmm_zmmm512b64
        } else {
            Code::EVEX_Vpermi2ps_zmm_k1z_zmm_zmmm512b32
        };
        for i in 1..vectors {
            // The first permutation brings the lanes of vector 0 to their places.
            let from = |(k, &(of, number)): (usize, &(usize, usize))| match of {
                _ if of == i => w + number,
                0 if i == 1 => number,
                _ => k,
            };
            let order = self.order_vector(size, &numbers.iter().enumerate().map(from).collect::<Vec<_>>());
            let merged = self.c.vreg(VEC);
            self.c.emit(permute, &[A::Mod(merged, order), A::Use(v), others(i)]);
            v = merged;
        }
        v
    }

    /// A vector of lane numbers.
    fn order_vector(&mut self, size: usize, numbers: &[usize]) -> VReg {
        let bytes: Vec<u8> = numbers.iter().flat_map(|&n| (n as u64).to_le_bytes()[..size].to_vec()).collect();
        self.load_vector_const(&bytes)
    }

    /// A register of elements at these addresses.
    pub fn insert_lanes(
        &mut self,
        dtype: DType,
        lanes: Range<usize>,
        place: &mut dyn FnMut(&mut Self, usize) -> A,
    ) -> VReg {
        let size = dtype.size();
        let numbers: Vec<usize> = lanes.collect();
        let quarters: Vec<VReg> = numbers
            .chunks(16 / size)
            .map(|q| {
                let lanes: Vec<A> = q.iter().map(|&l| place(self, l)).collect();
                self.insert_xmm(size, &lanes)
            })
            .collect();
        let halves: Vec<VReg> = quarters.chunks(2).map(|h| self.join(h, false)).collect();
        let v = self.join(&halves, true);
        match size {
            4 | 8 => v,
            // Narrow ones are widened.
            _ => self.load_part(dtype, A::Use(v), None),
        }
    }

    /// Up to 32 bytes of elements.
    pub fn insert_ymm(&mut self, size: usize, lanes: &[A]) -> VReg {
        let quarters: Vec<VReg> = lanes.chunks(16 / size).map(|q| self.insert_xmm(size, q)).collect();
        self.join(&quarters, false)
    }

    /// Two registers of 128 bits, or (`upper`) 256 bits, in one; or the only one.
    fn join(&mut self, of: &[VReg], upper: bool) -> VReg {
        let &[low, high] = of else { return of[0] };
        if upper || !self.wide512 {
            return self.join_halves(low, high);
        }
        let v = self.c.vreg(VEC);
        let code = Code::EVEX_Vinserti32x4_ymm_k1z_ymm_xmmm128_imm8;
        self.c.emit(code, &[A::Def(v), A::Use(low), A::Any(high), A::Imm8(1)]);
        v
    }

    /// Up to 16 bytes of elements.
    fn insert_xmm(&mut self, size: usize, lanes: &[A]) -> VReg {
        let (first, insert) = match size {
            8 => (
                self.pick(Code::VEX_Vmovq_xmm_xmmm64, Code::EVEX_Vmovq_xmm_xmmm64),
                self.pick(Code::VEX_Vpinsrq_xmm_xmm_rm64_imm8, Code::EVEX_Vpinsrq_xmm_xmm_rm64_imm8),
            ),
            4 => (
                self.pick(Code::VEX_Vmovd_xmm_rm32, Code::EVEX_Vmovd_xmm_rm32),
                self.pick(Code::VEX_Vpinsrd_xmm_xmm_rm32_imm8, Code::EVEX_Vpinsrd_xmm_xmm_rm32_imm8),
            ),
            2 => {
                let insert = self.pick(Code::VEX_Vpinsrw_xmm_xmm_r32m16_imm8, Code::EVEX_Vpinsrw_xmm_xmm_r32m16_imm8);
                return self.insert_from(0, None, insert, lanes);
            }
            _ => {
                let insert = self.pick(Code::VEX_Vpinsrb_xmm_xmm_r32m8_imm8, Code::EVEX_Vpinsrb_xmm_xmm_r32m8_imm8);
                return self.insert_from(0, None, insert, lanes);
            }
        };
        let v = self.c.vreg(VEC);
        self.c.emit(first, &[A::Def(v), lanes[0]]);
        self.insert_from(1, Some(v), insert, lanes)
    }

    fn insert_from(&mut self, first: usize, v: Option<VReg>, insert: Code, lanes: &[A]) -> VReg {
        let mut v = v.unwrap_or_else(|| self.zero());
        for (i, &a) in lanes.iter().enumerate().skip(first) {
            let more = self.c.vreg(VEC);
            self.c.emit(insert, &[A::Def(more), A::Use(v), a, A::Imm8(i as u8)]);
            v = more;
        }
        v
    }

    /// Writes the lanes in flight, all of which exist, in their order.
    pub fn store_strided(&mut self, dtype: DType, v: &Lanes, base: VReg, step: &IndexExpr) -> Result<(), CodegenError> {
        let size = dtype.size();
        let steps = self.steps(base, step, dtype)?;
        if size < 4 || v.ty.is_mask() {
            let at = self.c.local(self.n * size);
            self.store_lanes(dtype, v, super::memory::Place::Local(at))?;
            for lane in 0..self.n {
                self.copy_element(size, A::Local(at + (lane * size) as i32), steps.at(lane));
            }
            return Ok(());
        }
        let mut lane = 0;
        for &part in &v.parts {
            for quarter in self.quarters(part) {
                for i in 0..16 / size {
                    self.extract(size, quarter, i, steps.at(lane));
                    lane += 1;
                }
            }
        }
        Ok(())
    }

    /// A register in pieces of 128 bits.
    fn quarters(&mut self, part: VReg) -> Vec<VReg> {
        if !self.wide512 {
            return vec![part, self.high_half(part)];
        }
        let upper = self.high_half(part);
        [part, upper]
            .into_iter()
            .flat_map(|half| {
                let high = self.c.vreg(VEC);
                let code = Code::EVEX_Vextracti32x4_xmmm128_k1z_ymm_imm8;
                self.c.emit(code, &[A::Def(high), A::Use(half), A::Imm8(1)]);
                [half, high]
            })
            .collect()
    }

    /// Writes element `i` of the low 128 bits.
    fn extract(&mut self, size: usize, v: VReg, i: usize, to: A) {
        let code = match (size, i) {
            (8, 0) => self.pick(Code::VEX_Vmovq_xmmm64_xmm, Code::EVEX_Vmovq_xmmm64_xmm),
            (8, _) => self.pick(Code::VEX_Vmovhps_m64_xmm, Code::EVEX_Vmovhps_m64_xmm),
            (_, 0) => self.pick(Code::VEX_Vmovd_rm32_xmm, Code::EVEX_Vmovd_rm32_xmm),
            _ => {
                let code = self.pick(Code::VEX_Vpextrd_rm32_xmm_imm8, Code::EVEX_Vpextrd_rm32_xmm_imm8);
                return self.c.emit(code, &[to, A::Use(v), A::Imm8(i as u8)]);
            }
        };
        self.c.emit(code, &[to, A::Use(v)]);
    }
}
