//! Loads and stores. Affine accesses have a base that is computed before the lane loop. Lanes that do
//! not exist are masked off: by k registers on AVX-512; on AVX2 by vmaskmov for loads of elements of 32 and 64
//! bits, through a bounce buffer for smaller ones and for stores. What lies a step apart is in `strided.rs`;
//! anything else goes lane by lane (`lanes.rs`).

use super::Emitter;
use super::transpose::Packed;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{A, INT, VEC};
use crate::error::CodegenError;
use crate::frame::FrameLayout;
use crate::lane::{Access, LaneInst, LaneOp};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::{BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::prim::Prim;

/// Registers of 32-bit lanes that are ever in flight.
const LANES_MAX: usize = 4;

/// Where consecutive elements are.
#[derive(Clone, Copy)]
pub enum Place {
    /// base + index * scale + disp
    At(VReg, VReg, u32, i32),
    /// A local array.
    Local(i32),
    /// A local array, from an element on: offset, index, scale.
    Within(i32, VReg, u32),
}

impl Place {
    pub fn a(self, offset: i32) -> A {
        match self {
            Place::At(base, index, scale, disp) => A::Indexed(base, index, scale, disp + offset),
            Place::Local(at) => A::Local(at + offset),
            Place::Within(at, index, scale) => A::LocalIndexed(at + offset, index, scale),
        }
    }
}

pub fn shift(dtype: DType) -> u32 {
    dtype.size().trailing_zeros()
}

impl Emitter<'_> {
    /// Byte address of element `index` of a buffer.
    pub fn address(&mut self, buffer: BufferId, index: VReg) -> VReg {
        let base = self.first_element(buffer);
        let bytes = self.shift_left(index, shift(self.k.buffers[buffer.index()].dtype));
        self.add(base, bytes)
    }

    /// Address of a buffer's element 0.
    fn first_element(&mut self, buffer: BufferId) -> VReg {
        if let Some(&at) = self.scratch.get(&buffer) {
            return self.c.local_address(at);
        }
        let slot = self.layout.buffer(buffer);
        self.slot(slot)
    }

    /// Computes what the accesses of a body need before its lane loop.
    pub fn prepare_accesses(&mut self, body: &[LaneInst]) -> Result<(), CodegenError> {
        for inst in body {
            match &inst.op {
                LaneOp::Load { buffer, access: Access::Unit(e) | Access::Strided(e, _), mask: None }
                | LaneOp::Store { buffer, access: Access::Unit(e) | Access::Strided(e, _), mask: None, .. } => {
                    self.prepare(Some(*buffer), e)?;
                }
                LaneOp::Load { buffer, access: Access::Periodic(e, p), mask: None } => {
                    self.prepare_period(*buffer, e, *p)?;
                }
                LaneOp::Load { buffer, access: Access::Row(e), .. }
                | LaneOp::Store { buffer, access: Access::Row(e), .. } => self.prepare_row(*buffer, e)?,
                LaneOp::Index(Access::Unit(e) | Access::Strided(e, _)) => self.prepare(None, e)?,
                LaneOp::Cold { body, .. } => self.prepare_accesses(body)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn prepare(&mut self, buffer: Option<BufferId>, e: &IndexExpr) -> Result<(), CodegenError> {
        let key = (buffer, e.clone());
        if self.copy.bases.contains_key(&key) {
            return Ok(());
        }
        let at_zero = match self.lane_axis {
            Some(lanes) => e.map_leaves(&mut |l| (*l == IndexExpr::Axis(lanes)).then_some(IndexExpr::Const(0))),
            None => e.clone(),
        };
        let base = match (buffer, at_zero) {
            (Some(b), IndexExpr::Const(0)) => self.first_element(b),
            (Some(b), e) => {
                let index = self.index(&e)?;
                self.address(b, index)
            }
            (None, e) => self.index(&e)?,
        };
        self.copy.bases.insert(key, base);
        Ok(())
    }

    /// Reads one period into a local array, and repeats it there for as many lanes as are ever in flight, so
    /// that a read from any phase on is a plain one.
    fn prepare_period(&mut self, buffer: BufferId, e: &IndexExpr, period: i64) -> Result<(), CodegenError> {
        let key = (buffer, e.clone());
        if self.copy.periods.contains_key(&key) {
            return Ok(());
        }
        let lanes = self.lane_axis.ok_or_else(|| CodegenError::internal("no lane axis"))?;
        let size = self.k.buffers[buffer.index()].dtype.size();
        let at = self.c.local((period as usize + LANES_MAX * self.width()) * size);
        // An axis shorter than the period reaches a part of it only.
        let extent = self.k.axes[lanes.index()].clone();
        let (extent, period_value, zero) = (self.index(&extent)?, self.int(period), self.int(0));
        let reached = self.min(extent, period_value);
        let before = self.axes.get(&lanes).copied();
        self.count_loop(zero, reached, 1, &mut |s, i| {
            s.axes.insert(lanes, i);
            let index = s.index(e)?;
            let p = s.address(buffer, index);
            s.copy_element(size, A::Mem(p, 0), A::LocalIndexed(at, i, size as u32));
            Ok(())
        })?;
        if let Some(v) = before {
            self.axes.insert(lanes, v);
        }
        let (from, to) = (self.int(0), self.int((LANES_MAX * self.width()) as i64));
        let again = at + period as i32 * size as i32;
        self.count_loop(from, to, 1, &mut |e, i| {
            e.copy_element(size, A::LocalIndexed(at, i, size as u32), A::LocalIndexed(again, i, size as u32));
            Ok(())
        })?;
        self.copy.periods.insert(key, at);
        Ok(())
    }

    /// The lanes in flight of a periodic read.
    fn load_period(&mut self, buffer: BufferId, e: &IndexExpr, period: i64) -> Result<Lanes, CodegenError> {
        let dtype = self.k.buffers[buffer.index()].dtype;
        let found = self.copy.periods.get(&(buffer, e.clone())).copied();
        let at = found.ok_or_else(|| CodegenError::internal(format!("no array of {e}")))?;
        let k = self.first_lane()?;
        let p = self.int(period);
        let (_, phase) = self.divide(k, p);
        // All of the array is there, whichever lanes exist.
        let tail = self.tail.take();
        let v = self.load_lanes(dtype, Place::Within(at, phase, dtype.size() as u32));
        self.tail = tail;
        v
    }

    fn prepare_row(&mut self, buffer: BufferId, e: &IndexExpr) -> Result<(), CodegenError> {
        let index = self.index(e)?;
        let tile = self.slot(FrameLayout::TILE);
        let row = self.mul(index, tile);
        let begin = self.tile_begin.ok_or_else(|| CodegenError::internal("row scratch outside of a tile"))?;
        let row = self.sub(row, begin);
        let base = self.address(buffer, row);
        self.copy.bases.insert((Some(buffer), e.clone()), base);
        Ok(())
    }

    pub fn base(&self, buffer: Option<BufferId>, e: &IndexExpr) -> Result<VReg, CodegenError> {
        let found = self.copy.bases.get(&(buffer, e.clone()));
        found.copied().ok_or_else(|| CodegenError::internal(format!("no base of {e}")))
    }

    pub fn first_lane(&mut self) -> Result<VReg, CodegenError> {
        let lanes = self.lane_axis.ok_or_else(|| CodegenError::internal("no lane axis"))?;
        self.axis_value(lanes)
    }

    /// The lanes in flight of consecutive elements whose lane 0 of all is at `base`.
    pub fn unit_place(&mut self, base: VReg, dtype: DType) -> Result<Place, CodegenError> {
        let k = self.first_lane()?;
        Ok(Place::At(base, k, dtype.size() as u32, 0))
    }

    /// A part of the tail's mask for lanes of type `ty`.
    fn tail_mask(&mut self, ty: LaneTy) -> Option<Vec<VReg>> {
        let tail = self.tail.clone()?;
        Some(self.mask_as(&tail.mask, ty.mask()))
    }

    /// Reads the lanes in flight from consecutive elements.
    pub fn load_lanes(&mut self, dtype: DType, at: Place) -> Result<Lanes, CodegenError> {
        let ty = LaneTy::of(dtype);
        let size = dtype.size() as i32;
        let masks = self.tail_mask(if ty.is_mask() { LaneTy::Mask32 } else { ty });
        let at = match &masks {
            Some(_) if size < 4 && !self.wide512 => self.bounce_in(at, size as usize)?,
            _ => at,
        };
        let per_part = self.lanes_of(ty) as i32;
        let parts = (0..self.parts(ty))
            .map(|i| {
                let a = at.a(i as i32 * per_part * size);
                let mask = masks.as_ref().map(|m| m[i]);
                self.load_part(dtype, a, mask)
            })
            .collect();
        Ok(Lanes { ty, parts })
    }

    pub fn load_part(&mut self, dtype: DType, a: A, mask: Option<VReg>) -> VReg {
        let v = self.c.vreg(VEC);
        // Narrow elements are widened by the load.
        let code = match dtype {
            DType::U8 | DType::Bool => self.pick(Code::VEX_Vpmovzxbd_ymm_xmmm64, Code::EVEX_Vpmovzxbd_zmm_k1z_xmmm128),
            DType::I8 => self.pick(Code::VEX_Vpmovsxbd_ymm_xmmm64, Code::EVEX_Vpmovsxbd_zmm_k1z_xmmm128),
            DType::I16 => self.pick(Code::VEX_Vpmovsxwd_ymm_xmmm128, Code::EVEX_Vpmovsxwd_zmm_k1z_ymmm256),
            DType::F16 | DType::BF16 => {
                self.pick(Code::VEX_Vpmovzxwd_ymm_xmmm128, Code::EVEX_Vpmovzxwd_zmm_k1z_ymmm256)
            }
            DType::I32 | DType::F32 => self.pick(Code::VEX_Vmovups_ymm_ymmm256, Code::EVEX_Vmovups_zmm_k1z_zmmm512),
            DType::I64 | DType::F64 => self.pick(Code::VEX_Vmovupd_ymm_ymmm256, Code::EVEX_Vmovupd_zmm_k1z_zmmm512),
        };
        match mask {
            Some(m) if !self.wide512 && dtype.size() >= 4 => {
                let code = if dtype.size() == 8 {
                    Code::VEX_Vmaskmovpd_ymm_ymm_m256
                } else {
                    Code::VEX_Vmaskmovps_ymm_ymm_m256
                };
                self.c.emit(code, &[A::Def(v), A::Use(m), a]);
            }
            // Narrow ones come from a bounce buffer on AVX2.
            Some(_) if !self.wide512 => self.c.emit(code, &[A::Def(v), a]),
            _ => self.c.emit_masked(code, &[A::Def(v), a], mask, mask.is_some()),
        }
        if dtype == DType::Bool {
            let zero = self.pool_bits(0, false);
            return self.compare_int(Prim::Ne, LaneTy::I32, v, zero);
        }
        v
    }

    /// Reads float16 from consecutive elements as floats; all lanes in flight exist.
    pub fn load_floats(&mut self, buffer: BufferId, e: &IndexExpr) -> Result<Val, CodegenError> {
        let base = self.base(Some(buffer), e)?;
        let at = self.unit_place(base, DType::F16)?;
        let code = self.pick(Code::VEX_Vcvtph2ps_ymm_xmmm128, Code::EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae);
        let parts = (0..self.parts(LaneTy::F32))
            .map(|i| {
                let v = self.c.vreg(VEC);
                self.c.emit(code, &[A::Def(v), at.a((2 * i * self.width()) as i32)]);
                v
            })
            .collect();
        Ok(Val::Lanes(Lanes { ty: LaneTy::F32, parts }))
    }

    /// Writes the lanes in flight to consecutive elements.
    pub fn store_lanes(&mut self, dtype: DType, v: &Lanes, at: Place) -> Result<(), CodegenError> {
        let size = dtype.size() as i32;
        let v = if v.ty == LaneTy::Mask64 {
            Lanes { ty: LaneTy::Mask32, parts: self.mask_as(v, LaneTy::Mask32) }
        } else {
            v.clone()
        };
        let bounce = self.tail.is_some() && !self.wide512;
        let masks = if bounce { None } else { self.tail_mask(if v.ty.is_mask() { LaneTy::Mask32 } else { v.ty }) };
        let to = if bounce { Place::Local(self.c.local(self.n * dtype.size())) } else { at };
        let per_part = self.lanes_of(v.ty) as i32;
        for (i, &p) in v.parts.iter().enumerate() {
            let a = to.a(i as i32 * per_part * size);
            let mask = masks.as_ref().map(|m| m[i]);
            if v.ty == LaneTy::Words {
                let code = self.pick(Code::VEX_Vmovups_xmmm128_xmm, Code::EVEX_Vmovups_ymmm256_k1z_ymm);
                self.c.emit(code, &[a, A::Use(p)]);
                continue;
            }
            self.store_part(dtype, p, a, mask);
        }
        if bounce {
            self.copy_existing(to, at, dtype.size())?;
        }
        Ok(())
    }

    /// Words of 32-bit lanes that hold 16 bits, in the lower half of a register.
    pub fn pack_words(&mut self, dtype: DType, p: VReg) -> VReg {
        let v = self.c.vreg(VEC);
        if self.wide512 {
            self.c.emit(Code::EVEX_Vpmovdw_ymmm256_k1z_zmm, &[A::Def(v), A::Use(p)]);
            return v;
        }
        let high = self.high_half(p);
        // All lanes are in the range of their dtype: nothing saturates.
        let signed = !matches!(dtype, DType::U8 | DType::F16 | DType::BF16);
        let code = if signed { Code::VEX_Vpackssdw_xmm_xmm_xmmm128 } else { Code::VEX_Vpackusdw_xmm_xmm_xmmm128 };
        self.c.emit(code, &[A::Def(v), A::Use(p), A::Any(high)]);
        v
    }

    fn store_part(&mut self, dtype: DType, p: VReg, a: A, mask: Option<VReg>) {
        if self.wide512 {
            let (code, p) = match dtype {
                DType::Bool => {
                    let one = self.pool_bits(1, false);
                    let one = self.load_pool(one, false);
                    (Code::EVEX_Vpmovdb_xmmm128_k1z_zmm, self.keep(LaneTy::I32, p, one))
                }
                DType::U8 | DType::I8 => (Code::EVEX_Vpmovdb_xmmm128_k1z_zmm, p),
                DType::I16 | DType::F16 | DType::BF16 => (Code::EVEX_Vpmovdw_ymmm256_k1z_zmm, p),
                _ => (self.full_store(dtype), p),
            };
            return self.c.emit_masked(code, &[a, A::Use(p)], mask, false);
        }
        match dtype.size() {
            2 => {
                let words = self.pack_words(dtype, p);
                self.c.emit(Code::VEX_Vmovups_xmmm128_xmm, &[a, A::Use(words)]);
            }
            1 => {
                let words = self.pack_words(dtype, p);
                let bytes = self.c.vreg(VEC);
                let code = if dtype == DType::U8 {
                    Code::VEX_Vpackuswb_xmm_xmm_xmmm128
                } else {
                    Code::VEX_Vpacksswb_xmm_xmm_xmmm128
                };
                self.c.emit(code, &[A::Def(bytes), A::Use(words), A::Use(words)]);
                let bytes = if dtype == DType::Bool {
                    // One bit of a mask's -1 is wanted.
                    let ones = self.pool_bits(0x0101_0101, false);
                    let (v, ones) = (self.c.vreg(VEC), self.src(ones));
                    self.c.emit(Code::VEX_Vpand_xmm_xmm_xmmm128, &[A::Def(v), A::Use(bytes), ones]);
                    v
                } else {
                    bytes
                };
                self.c.emit(Code::VEX_Vmovq_xmmm64_xmm, &[a, A::Use(bytes)]);
            }
            _ => self.c.emit(self.full_store(dtype), &[a, A::Use(p)]),
        }
    }

    /// Copies the elements of lanes that exist to a local array.
    fn bounce_in(&mut self, at: Place, size: usize) -> Result<Place, CodegenError> {
        let to = Place::Local(self.c.local(self.n * size));
        self.copy_existing(at, to, size)?;
        Ok(to)
    }

    /// Copies the elements of lanes that exist, in pieces of powers of two: where all rows have the same
    /// length, the branches are predicted. (`vmaskmov` stores take 12 cycles and more on AMD's processors.)
    fn copy_existing(&mut self, from: Place, to: Place, size: usize) -> Result<(), CodegenError> {
        let Some(tail) = self.tail.clone() else { return Err(CodegenError::internal("a bounce without a tail")) };
        let address = |e: &mut Self, p: Place| match p {
            Place::Local(at) => e.c.local_address(at),
            Place::At(..) | Place::Within(..) => {
                let v = e.c.vreg(INT);
                e.c.emit(Code::Lea_r64_m, &[A::Def(v), p.a(0)]);
                v
            }
        };
        let (from, to) = (address(self, from), address(self, to));
        let mut piece = self.n;
        while piece > 0 {
            // What has been copied: the bits of the count above this one.
            let done = self.int_imm(Code::And_rm64_imm32, tail.count, -2 * piece as i32);
            let done = self.shift_left(done, size.trailing_zeros());
            self.c.emit(Code::Test_rm64_imm32, &[A::Use(tail.count), A::Imm32(piece as i32)]);
            self.when(Code::Jne_rel32_64, false, &mut |e| {
                e.copy_piece(from, to, done, piece * size);
                Ok(())
            })?;
            piece /= 2;
        }
        Ok(())
    }

    /// Copies a power of two of bytes at an offset.
    fn copy_piece(&mut self, from: VReg, to: VReg, offset: VReg, bytes: usize) {
        let (class, load, store, size) = match bytes {
            1 => (INT, Code::Movzx_r32_rm8, Code::Mov_rm8_r8, 1),
            2 => (INT, Code::Movzx_r32_rm16, Code::Mov_rm16_r16, 2),
            4 => (INT, Code::Mov_r32_rm32, Code::Mov_rm32_r32, 4),
            8 => (INT, Code::Mov_r64_rm64, Code::Mov_rm64_r64, 8),
            16 => (VEC, Code::VEX_Vmovups_xmm_xmmm128, Code::VEX_Vmovups_xmmm128_xmm, 16),
            _ => (VEC, Code::VEX_Vmovups_ymm_ymmm256, Code::VEX_Vmovups_ymmm256_ymm, 32),
        };
        for at in (0..bytes).step_by(size) {
            let v = self.c.vreg(class);
            self.c.emit(load, &[A::Def(v), A::Indexed(from, offset, 1, at as i32)]);
            self.c.emit(store, &[A::Indexed(to, offset, 1, at as i32), A::Use(v)]);
        }
    }

    /// One element in all lanes.
    pub fn load_uniform(&mut self, dtype: DType, a: A) -> Result<Lanes, CodegenError> {
        let ty = LaneTy::of(dtype);
        let v = self.c.vreg(VEC);
        match dtype.size() {
            8 => {
                let code = self.pick(Code::VEX_Vbroadcastsd_ymm_m64, Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64);
                self.c.emit(code, &[A::Def(v), a]);
            }
            4 => {
                let code = self.pick(Code::VEX_Vbroadcastss_ymm_m32, Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32);
                self.c.emit(code, &[A::Def(v), a]);
            }
            _ => {
                let code = match dtype {
                    DType::I8 => Code::Movsx_r32_rm8,
                    DType::I16 => Code::Movsx_r32_rm16,
                    DType::F16 | DType::BF16 => Code::Movzx_r32_rm16,
                    _ => Code::Movzx_r32_rm8,
                };
                let r = self.c.vreg(INT);
                self.c.emit(code, &[A::Def(r), a]);
                self.broadcast_int(v, r, false);
            }
        }
        if dtype == DType::Bool {
            let zero = self.pool_bits(0, false);
            let m = self.compare_int(Prim::Ne, LaneTy::I32, v, zero);
            return Ok(Lanes { ty: LaneTy::Mask32, parts: vec![m] });
        }
        Ok(Lanes { ty, parts: vec![v] })
    }

    /// Writes a uniform value to one element.
    pub fn store_uniform(&mut self, dtype: DType, v: &Val, a: A) -> Result<(), CodegenError> {
        let ty = LaneTy::of(dtype);
        if !ty.is_mask() {
            let p = self.part_reg(v, 0);
            match dtype.size() {
                8 => self.c.emit(self.pick(Code::VEX_Vmovq_xmmm64_xmm, Code::EVEX_Vmovq_xmmm64_xmm), &[a, A::Use(p)]),
                4 => self.c.emit(self.pick(Code::VEX_Vmovd_rm32_xmm, Code::EVEX_Vmovd_rm32_xmm), &[a, A::Use(p)]),
                size => {
                    let r = self.scalar_of(p);
                    let code = if size == 2 { Code::Mov_rm16_r16 } else { Code::Mov_rm8_r8 };
                    self.c.emit(code, &[a, A::Use(r)]);
                }
            }
            return Ok(());
        }
        let p = self.uniform_mask(v, ty);
        let r = if self.wide512 {
            let r = self.c.vreg(INT);
            self.c.emit(Code::VEX_Kmovw_r32_kr, &[A::Def(r), A::Use(p)]);
            r
        } else {
            self.scalar_of(p)
        };
        let bit = self.int_imm(Code::And_rm64_imm32, r, 1);
        self.c.emit(Code::Mov_rm8_r8, &[a, A::Use(bit)]);
        Ok(())
    }

    /// A general-purpose register in all lanes of `v`.
    pub fn broadcast_int(&mut self, v: VReg, r: VReg, is_64: bool) {
        match (self.wide512, is_64) {
            (true, true) => self.c.emit(Code::EVEX_Vpbroadcastq_zmm_k1z_r64, &[A::Def(v), A::Use(r)]),
            (true, false) => self.c.emit(Code::EVEX_Vpbroadcastd_zmm_k1z_r32, &[A::Def(v), A::Use(r)]),
            (false, true) => {
                let x = self.c.vreg(VEC);
                self.c.emit(Code::VEX_Vmovq_xmm_rm64, &[A::Def(x), A::Use(r)]);
                self.c.emit(Code::VEX_Vpbroadcastq_ymm_xmmm64, &[A::Def(v), A::Use(x)]);
            }
            (false, false) => {
                let x = self.c.vreg(VEC);
                self.c.emit(Code::VEX_Vmovd_xmm_rm32, &[A::Def(x), A::Use(r)]);
                self.c.emit(Code::VEX_Vpbroadcastd_ymm_xmmm32, &[A::Def(v), A::Use(x)]);
            }
        }
    }

    /// A load, of all lanes in flight.
    pub fn load(&mut self, buffer: BufferId, access: &Access, mask: Option<ValueId>) -> Result<Val, CodegenError> {
        let dtype = self.k.buffers[buffer.index()].dtype;
        match (access, mask) {
            // In uniform code every access is one element.
            (Access::Uniform(_), None) | (_, None) if self.n == 0 || matches!(access, Access::Uniform(_)) => {
                let index = self.index(access.expr())?;
                let p = self.address(buffer, index);
                Ok(Val::Uniform(self.load_uniform(dtype, A::Mem(p, 0))?))
            }
            (Access::Unit(e) | Access::Row(e), None) => {
                let base = self.base(Some(buffer), e)?;
                let at = self.unit_place(base, dtype)?;
                Ok(Val::Lanes(self.load_lanes(dtype, at)?))
            }
            (Access::Strided(e, _), None) if let Some(&packed) = self.packed.get(&(buffer, e.clone())) => {
                let lanes = match packed {
                    Packed::Array(base) => {
                        let at = self.unit_place(base, dtype)?;
                        self.load_lanes(dtype, at)?
                    }
                    Packed::Register(v) => Lanes { ty: LaneTy::of(dtype), parts: vec![v] },
                };
                Ok(Val::Lanes(lanes))
            }
            (Access::Strided(e, step), None) if self.tail.is_none() => {
                if let Some(column) = self.column(buffer, e) {
                    return Ok(Val::Lanes(column));
                }
                let base = self.base(Some(buffer), e)?;
                Ok(Val::Lanes(self.load_strided(dtype, base, step)?))
            }
            (Access::Periodic(e, p), None) => Ok(Val::Lanes(self.load_period(buffer, e, *p)?)),
            _ => {
                if let Access::Indexed(e) | Access::Unit(e) | Access::Strided(e, _) | Access::Periodic(e, _) = access
                    && let Some(v) = self.gather(buffer, e, mask)?
                {
                    return Ok(v);
                }
                self.load_by_lane(buffer, access, mask)
            }
        }
    }

    /// A store, of all lanes in flight.
    pub fn store(
        &mut self,
        buffer: BufferId,
        access: &Access,
        value: &Val,
        mask: Option<ValueId>,
        add: bool,
    ) -> Result<(), CodegenError> {
        let dtype = self.k.buffers[buffer.index()].dtype;
        if self.n == 0 && mask.is_none() && !add {
            let index = self.index(access.expr())?;
            let p = self.address(buffer, index);
            return self.store_uniform(dtype, value, A::Mem(p, 0));
        }
        if let (Access::Strided(e, step), None, false, true) = (access, mask, add, self.tail.is_none()) {
            let base = self.base(Some(buffer), e)?;
            let lanes = self.spread(dtype, value)?;
            return self.store_strided(dtype, &lanes, base, step);
        }
        let (Access::Unit(e) | Access::Row(e), None) = (access, mask) else {
            return self.store_by_lane(buffer, access, value, mask, add);
        };
        let base = self.base(Some(buffer), e)?;
        let at = self.unit_place(base, dtype)?;
        let mut lanes = self.spread(dtype, value)?;
        if add {
            let old = self.load_lanes(dtype, at)?;
            let op = if dtype == DType::Bool { Prim::Or } else { Prim::Add };
            let sum = self.prim(op, dtype, dtype, &[Val::Lanes(old), Val::Lanes(lanes)], &[false; 2])?;
            lanes = self.spread(dtype, &sum)?;
        }
        let streaming = self.streaming;
        self.streaming &= self.streamed.contains(&buffer) && self.tail.is_none();
        let stored = self.store_lanes(dtype, &lanes, at);
        self.streaming = streaming;
        stored
    }

    /// The value of an index expression in all lanes in flight.
    pub fn index_value(&mut self, access: &Access, dtype: DType) -> Result<Val, CodegenError> {
        let ty = LaneTy::of(dtype);
        let (e, step) = match access {
            Access::Uniform(e) => {
                let r = self.index(e)?;
                let v = self.c.vreg(VEC);
                self.broadcast_int(v, r, ty.is_64());
                return Ok(Val::Uniform(Lanes { ty, parts: vec![v] }));
            }
            Access::Unit(e) => (e, 1),
            Access::Strided(e, IndexExpr::Const(c)) => (e, *c),
            Access::Strided(e, _) | Access::Periodic(e, _) | Access::Row(e) | Access::Indexed(e) => {
                return match self.index_of_lanes(e, dtype)? {
                    Some(v) => Ok(v),
                    None => self.index_by_lane(e, dtype),
                };
            }
        };
        let base = self.base(None, e)?;
        let k = self.first_lane()?;
        let offset = if step == 1 {
            k
        } else {
            let s = self.int(step);
            self.mul(k, s)
        };
        let first = self.add(base, offset);
        let start = self.c.vreg(VEC);
        self.broadcast_int(start, first, ty.is_64());
        let per_part = self.lanes_of(ty);
        let parts = (0..self.parts(ty))
            .map(|p| {
                let mut bytes = Vec::new();
                for l in 0..per_part {
                    let v = step.wrapping_mul((p * per_part + l) as i64);
                    if ty.is_64() {
                        bytes.extend(v.to_le_bytes());
                    } else {
                        bytes.extend((v as i32).to_le_bytes());
                    }
                }
                let c = self.load_vector_const(&bytes);
                self.add_int(ty, start, Src::Reg(c))
            })
            .collect();
        Ok(Val::Lanes(Lanes { ty, parts }))
    }
}
