//! Values during emission, and the vector operations they are made of.
//!
//! A vector value has one register per [`Emitter::width`] lanes of 32 bits, two of 64 bits. Everything of 8
//! or 16 bits rides in 32-bit lanes (L6). Masks are a type of their own: on AVX2 all-ones or all-zero lanes of 32
//! or 64 bits, on AVX-512 one k register per vector of 32-bit (16 lanes) or 64-bit lanes (8 lanes); of
//! the latter only the low 8 bits mean something.

use super::Emitter;
use super::vcode::{A, INT, MASK, VEC};
use crate::error::CodegenError;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::id::ValueId;

/// How the lanes of a vector value are typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneTy {
    F32,
    F64,
    I32,
    I64,
    Mask32,
    Mask64,
    /// Words of 16 bits, in the lower half of a register: what a narrow store writes as it is.
    Words,
}

impl LaneTy {
    /// The lane type of a dtype; masks are made 32 bits wide.
    pub fn of(dtype: DType) -> LaneTy {
        match dtype {
            DType::F32 => LaneTy::F32,
            DType::F64 => LaneTy::F64,
            DType::I32 | DType::U8 | DType::I8 | DType::I16 | DType::F16 | DType::BF16 => LaneTy::I32,
            DType::I64 => LaneTy::I64,
            DType::Bool => LaneTy::Mask32,
        }
    }

    pub fn is_mask(self) -> bool {
        matches!(self, LaneTy::Mask32 | LaneTy::Mask64)
    }

    /// True for lanes of 64 bits.
    pub fn is_64(self) -> bool {
        matches!(self, LaneTy::F64 | LaneTy::I64 | LaneTy::Mask64)
    }

    /// The mask with lanes of this width.
    pub fn mask(self) -> LaneTy {
        if self.is_64() { LaneTy::Mask64 } else { LaneTy::Mask32 }
    }
}

/// A vector value: registers for the lanes in flight; one register for a uniform value.
#[derive(Clone, Debug)]
pub struct Lanes {
    pub ty: LaneTy,
    pub parts: Vec<VReg>,
}

/// A value in emission.
#[derive(Clone, Debug)]
pub enum Val {
    /// A constant: read from the pool where it is used, which costs no register across a loop.
    Const(Literal),
    /// The same in all lanes, one register with the value in every lane.
    Uniform(Lanes),
    /// One per lane.
    Lanes(Lanes),
}

/// An operand of a vector instruction.
#[derive(Clone, Copy)]
pub enum Src {
    Reg(VReg),
    /// Offset of a full vector in the pool; AVX-512 has one element there and broadcasts.
    Pool(u32),
}

impl Emitter<'_> {
    /// Lanes of 32 bits in a register.
    pub fn width(&self) -> usize {
        if self.wide512 { 16 } else { 8 }
    }

    /// Bytes of a register.
    pub fn bytes(&self) -> usize {
        4 * self.width()
    }

    /// Lanes in one part.
    pub fn lanes_of(&self, ty: LaneTy) -> usize {
        if ty.is_64() { self.width() / 2 } else { self.width() }
    }

    /// Parts of a value for the lanes in flight.
    pub fn parts(&self, ty: LaneTy) -> usize {
        self.n / self.lanes_of(ty)
    }

    pub fn class(&self, ty: LaneTy) -> regalloc2::RegClass {
        if self.wide512 && ty.is_mask() { MASK } else { VEC }
    }

    /// The code of the machine in use.
    pub fn pick(&self, avx2: Code, avx512: Code) -> Code {
        if self.wide512 { avx512 } else { avx2 }
    }

    pub fn val(&self, v: ValueId) -> Result<Val, CodegenError> {
        let found = self.copy.vals.get(&v).or_else(|| self.vals.get(&v));
        found.cloned().ok_or_else(|| CodegenError::internal(format!("{v} is used before it is defined")))
    }

    // ---- constants ----

    /// The bits of one lane of a constant, and whether it has 64 of them.
    fn lane_bits(l: Literal) -> (u64, bool) {
        match l.dtype {
            DType::I64 | DType::F64 => (l.bits, true),
            DType::Bool => (u64::from(if l.bits != 0 { u32::MAX } else { 0 }), false),
            _ => (l.bits & 0xffff_ffff, false),
        }
    }

    /// A vector of equal lanes, as a memory operand.
    pub fn pool_bits(&mut self, bits: u64, is_64: bool) -> Src {
        let lane = if is_64 { bits.to_le_bytes().to_vec() } else { (bits as u32).to_le_bytes().to_vec() };
        let n = if self.wide512 { 1 } else { self.bytes() / lane.len() };
        Src::Pool(self.c.constant(&lane.repeat(n)))
    }

    /// A full vector in the pool, lane by lane.
    pub fn pool_vector(&mut self, bytes: &[u8]) -> u32 {
        debug_assert_eq!(bytes.len(), self.bytes());
        self.c.constant(bytes)
    }

    pub fn float_const(&mut self, ty: LaneTy, v: f64) -> Src {
        if ty.is_64() {
            self.pool_bits(v.to_bits(), true)
        } else {
            self.pool_bits(u64::from((v as f32).to_bits()), false)
        }
    }

    pub fn int_const(&mut self, ty: LaneTy, v: i64) -> Src {
        self.pool_bits(v as u64, ty.is_64())
    }

    /// A vector constant in a register.
    pub fn load_pool(&mut self, s: Src, is_64: bool) -> VReg {
        match s {
            Src::Reg(v) => v,
            Src::Pool(at) => {
                let v = self.c.vreg(VEC);
                let code = match (self.wide512, is_64) {
                    (false, _) => Code::VEX_Vmovups_ymm_ymmm256,
                    (true, false) => Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32,
                    (true, true) => Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64,
                };
                self.c.emit(code, &[A::Def(v), A::Pool(at)]);
                v
            }
        }
    }

    /// A full vector of the pool in a register.
    pub fn load_vector_const(&mut self, bytes: &[u8]) -> VReg {
        let at = self.pool_vector(bytes);
        let v = self.c.vreg(VEC);
        let code = self.pick(Code::VEX_Vmovups_ymm_ymmm256, Code::EVEX_Vmovups_zmm_k1z_zmmm512);
        self.c.emit(code, &[A::Def(v), A::Pool(at)]);
        v
    }

    /// The last operand of a vector instruction.
    pub fn src(&self, s: Src) -> A {
        match s {
            Src::Reg(v) => A::Any(v),
            Src::Pool(at) if self.wide512 => A::Broadcast(at),
            Src::Pool(at) => A::Pool(at),
        }
    }

    // ---- values as operands ----

    /// Operand number `i` of the parts of a value of lane type `ty`, which may be a constant in memory.
    pub fn part(&mut self, v: &Val, i: usize) -> Src {
        match v {
            Val::Const(l) if l.dtype == DType::Bool => Src::Reg(self.const_mask(l.bits != 0)),
            Val::Const(l) => {
                let (bits, is_64) = Self::lane_bits(*l);
                self.pool_bits(bits, is_64)
            }
            Val::Uniform(x) => Src::Reg(x.parts[0]),
            Val::Lanes(x) => Src::Reg(x.parts[i]),
        }
    }

    /// The same in a register.
    pub fn part_reg(&mut self, v: &Val, i: usize) -> VReg {
        let is_64 = matches!(v, Val::Const(l) if matches!(l.dtype, DType::I64 | DType::F64));
        let s = self.part(v, i);
        self.load_pool(s, is_64)
    }

    /// A mask of equal lanes.
    pub fn const_mask(&mut self, on: bool) -> VReg {
        if !self.wide512 {
            let s = self.pool_bits(if on { u64::MAX } else { 0 }, false);
            return self.load_pool(s, false);
        }
        let (r, k) = (self.int(if on { -1 } else { 0 }), self.c.vreg(MASK));
        self.c.emit(Code::VEX_Kmovd_kr_r32, &[A::Def(k), A::Use(r)]);
        k
    }

    /// All parts of a value in registers, for the lanes in flight.
    pub fn regs(&mut self, v: &Val, ty: LaneTy) -> Vec<VReg> {
        match v {
            Val::Lanes(x) => x.parts.clone(),
            Val::Uniform(x) => vec![x.parts[0]; self.parts(ty)],
            Val::Const(_) => vec![self.part_reg(v, 0); self.parts(ty)],
        }
    }

    /// A value in registers: constants become uniform.
    pub fn materialise(&mut self, v: &Val, ty: LaneTy) -> Val {
        match v {
            Val::Const(_) => Val::Uniform(Lanes { ty, parts: vec![self.part_reg(v, 0)] }),
            _ => v.clone(),
        }
    }

    /// The number of parts an operation on these operands has to make, and whether its result is uniform.
    pub fn shape(&self, ty: LaneTy, operands: &[Val]) -> (usize, bool) {
        let uniform = operands.iter().all(|v| !matches!(v, Val::Lanes(_)));
        (if uniform { 1 } else { self.parts(ty) }, uniform)
    }

    pub fn wrap_parts(ty: LaneTy, parts: Vec<VReg>, uniform: bool) -> Val {
        let lanes = Lanes { ty, parts };
        if uniform { Val::Uniform(lanes) } else { Val::Lanes(lanes) }
    }

    /// The low 64 bits of a vector.
    pub fn scalar_of(&mut self, v: VReg) -> VReg {
        let r = self.c.vreg(INT);
        let code = self.pick(Code::VEX_Vmovq_rm64_xmm, Code::EVEX_Vmovq_rm64_xmm);
        self.c.emit(code, &[A::Def(r), A::Use(v)]);
        r
    }

    // ---- instructions ----

    /// `a op b`.
    pub fn vec2(&mut self, code: Code, a: VReg, b: Src) -> VReg {
        let v = self.c.vreg(VEC);
        let b = self.src(b);
        self.c.emit(code, &[A::Def(v), A::Use(a), b]);
        v
    }

    /// `op a`.
    pub fn vec1(&mut self, code: Code, a: Src) -> VReg {
        let v = self.c.vreg(VEC);
        let a = self.src(a);
        self.c.emit(code, &[A::Def(v), a]);
        v
    }

    /// The same values under new names, at the end of a loop. What a loop keeps in registers would
    /// otherwise be one live range with what comes after, which is long and used rarely: regalloc2 spills such
    /// ranges, inside the loop too.
    pub fn after_loop(&mut self, carried: &[VReg]) -> Vec<VReg> {
        let copy = self.pick(Code::VEX_Vmovaps_ymm_ymmm256, Code::EVEX_Vmovaps_zmm_k1z_zmmm512);
        carried.iter().map(|&v| if v.class() == VEC { self.vec1(copy, Src::Reg(v)) } else { v }).collect()
    }

    /// `op a` with a byte. (The shifts of AVX2 take no memory.)
    pub fn vec1_imm(&mut self, code: Code, a: Src, imm: u8) -> VReg {
        let v = self.c.vreg(VEC);
        let a = match a {
            Src::Reg(r) => A::Use(r),
            pool => self.src(pool),
        };
        self.c.emit(code, &[A::Def(v), a, A::Imm8(imm)]);
        v
    }

    /// `a op b` with a byte.
    pub fn vec2_imm(&mut self, code: Code, a: VReg, b: Src, imm: u8) -> VReg {
        let v = self.c.vreg(VEC);
        let b = self.src(b);
        self.c.emit(code, &[A::Def(v), A::Use(a), b, A::Imm8(imm)]);
        v
    }

    pub fn and(&mut self, a: VReg, b: Src) -> VReg {
        self.vec2(self.pick(Code::VEX_Vpand_ymm_ymm_ymmm256, Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32), a, b)
    }

    pub fn or(&mut self, a: VReg, b: Src) -> VReg {
        self.vec2(self.pick(Code::VEX_Vpor_ymm_ymm_ymmm256, Code::EVEX_Vpord_zmm_k1z_zmm_zmmm512b32), a, b)
    }

    pub fn xor(&mut self, a: VReg, b: Src) -> VReg {
        self.vec2(self.pick(Code::VEX_Vpxor_ymm_ymm_ymmm256, Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32), a, b)
    }

    /// The same with constants of 64-bit lanes.
    pub fn and64(&mut self, a: VReg, b: Src) -> VReg {
        self.vec2(self.pick(Code::VEX_Vpand_ymm_ymm_ymmm256, Code::EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64), a, b)
    }

    pub fn xor64(&mut self, a: VReg, b: Src) -> VReg {
        self.vec2(self.pick(Code::VEX_Vpxor_ymm_ymm_ymmm256, Code::EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64), a, b)
    }

    /// Lane-wise `mask ? a : b`.
    pub fn blend(&mut self, ty: LaneTy, mask: VReg, a: Src, b: VReg) -> VReg {
        let v = self.c.vreg(VEC);
        let a = self.src(a);
        if self.wide512 {
            let code = if ty.is_64() {
                Code::EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64
            } else {
                Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32
            };
            self.c.emit_masked(code, &[A::Def(v), A::Use(b), a], Some(mask), false);
        } else {
            self.c.emit(Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm, &[A::Def(v), A::Use(b), a, A::Use(mask)]);
        }
        v
    }

    /// Lanes of `a` where the mask is on, else 0.
    pub fn keep(&mut self, ty: LaneTy, mask: VReg, a: VReg) -> VReg {
        if !self.wide512 {
            return self.and(a, Src::Reg(mask));
        }
        let v = self.c.vreg(VEC);
        let code = if ty.is_64() { Code::EVEX_Vmovapd_zmm_k1z_zmmm512 } else { Code::EVEX_Vmovaps_zmm_k1z_zmmm512 };
        self.c.emit_masked(code, &[A::Def(v), A::Any(a)], Some(mask), true);
        v
    }

    // ---- masks ----

    fn mask2(&mut self, avx2: Code, avx512: Code, a: VReg, b: VReg) -> VReg {
        let v = self.c.vreg(self.class(LaneTy::Mask32));
        if self.wide512 {
            self.c.emit(avx512, &[A::Def(v), A::Use(a), A::Use(b)]);
        } else {
            self.c.emit(avx2, &[A::Def(v), A::Use(a), A::Any(b)]);
        }
        v
    }

    pub fn mask_and(&mut self, a: VReg, b: VReg) -> VReg {
        self.mask2(Code::VEX_Vpand_ymm_ymm_ymmm256, Code::VEX_Kandw_kr_kr_kr, a, b)
    }

    pub fn mask_or(&mut self, a: VReg, b: VReg) -> VReg {
        self.mask2(Code::VEX_Vpor_ymm_ymm_ymmm256, Code::VEX_Korw_kr_kr_kr, a, b)
    }

    pub fn mask_xor(&mut self, a: VReg, b: VReg) -> VReg {
        self.mask2(Code::VEX_Vpxor_ymm_ymm_ymmm256, Code::VEX_Kxorw_kr_kr_kr, a, b)
    }

    /// `!a & b`.
    pub fn mask_andn(&mut self, a: VReg, b: VReg) -> VReg {
        self.mask2(Code::VEX_Vpandn_ymm_ymm_ymmm256, Code::VEX_Kandnw_kr_kr_kr, a, b)
    }

    pub fn mask_not(&mut self, a: VReg) -> VReg {
        if self.wide512 {
            let v = self.c.vreg(MASK);
            self.c.emit(Code::VEX_Knotw_kr_kr, &[A::Def(v), A::Use(a)]);
            return v;
        }
        let ones = self.pool_bits(u64::MAX, false);
        self.xor(a, ones)
    }

    /// A mask of 32-bit lanes as one of 64-bit lanes, or the other way round.
    pub fn mask_as(&mut self, m: &Lanes, ty: LaneTy) -> Vec<VReg> {
        match (m.ty, ty) {
            (a, b) if a == b => m.parts.clone(),
            (LaneTy::Mask32, _) => m.parts.clone().into_iter().flat_map(|p| self.mask_widen(p)).collect(),
            _ => m.parts.clone().chunks(2).map(|p| self.mask_narrow(p[0], p[1])).collect(),
        }
    }

    fn mask_widen(&mut self, m: VReg) -> [VReg; 2] {
        if self.wide512 {
            let high = self.c.vreg(MASK);
            self.c.emit(Code::VEX_Kshiftrw_kr_kr_imm8, &[A::Def(high), A::Use(m), A::Imm8(8)]);
            return [m, high];
        }
        let high = self.high_half(m);
        [m, high].map(|h| self.vec1(Code::VEX_Vpmovsxdq_ymm_xmmm128, Src::Reg(h)))
    }

    fn mask_narrow(&mut self, low: VReg, high: VReg) -> VReg {
        if self.wide512 {
            let v = self.c.vreg(MASK);
            self.c.emit(Code::VEX_Kunpckbw_kr_kr_kr, &[A::Def(v), A::Use(high), A::Use(low)]);
            return v;
        }
        self.even_dwords(low, high)
    }

    /// The mask of a uniform bool in lanes of either width: all lanes are alike.
    pub fn mask_regs(&mut self, v: &Val, ty: LaneTy) -> Vec<VReg> {
        match v {
            Val::Const(l) => vec![self.const_mask(l.bits != 0); self.parts(ty)],
            // Comparisons of 64-bit lanes leave 8 bits in a k register; 32-bit lanes need 16.
            Val::Uniform(x) if self.wide512 && x.ty == LaneTy::Mask64 && ty == LaneTy::Mask32 => {
                vec![self.mask_narrow(x.parts[0], x.parts[0]); self.parts(ty)]
            }
            Val::Uniform(x) => vec![x.parts[0]; self.parts(ty)],
            Val::Lanes(x) => self.mask_as(x, ty),
        }
    }

    /// Sets the zero flag when no lane is on.
    pub fn test_any(&mut self, m: &Lanes) {
        let mut any = m.parts[0];
        for &p in &m.parts[1..] {
            any = self.mask_or(any, p);
        }
        if self.wide512 {
            let code = if m.ty.is_64() { Code::VEX_Kortestb_kr_kr } else { Code::VEX_Kortestw_kr_kr };
            self.c.emit(code, &[A::Use(any), A::Use(any)]);
        } else {
            self.c.emit(Code::VEX_Vptest_ymm_ymmm256, &[A::Use(any), A::Use(any)]);
        }
    }

    // ---- halves ----

    /// The upper half of a register, in the lower half of another.
    pub fn high_half(&mut self, a: VReg) -> VReg {
        let v = self.c.vreg(VEC);
        let code = self.pick(Code::VEX_Vextracti128_xmmm128_ymm_imm8, Code::EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8);
        self.c.emit(code, &[A::Def(v), A::Use(a), A::Imm8(1)]);
        v
    }

    /// Two lower halves in one register.
    pub fn join_halves(&mut self, low: VReg, high: VReg) -> VReg {
        let v = self.c.vreg(VEC);
        let code =
            self.pick(Code::VEX_Vinserti128_ymm_ymm_xmmm128_imm8, Code::EVEX_Vinserti64x4_zmm_k1z_zmm_ymmm256_imm8);
        self.c.emit(code, &[A::Def(v), A::Use(low), A::Any(high), A::Imm8(1)]);
        v
    }

    /// The low 32 bits of the 64-bit lanes of two registers.
    pub fn even_dwords(&mut self, low: VReg, high: VReg) -> VReg {
        if self.wide512 {
            let halves = [low, high].map(|h| {
                let v = self.c.vreg(VEC);
                self.c.emit(Code::EVEX_Vpmovqd_ymmm256_k1z_zmm, &[A::Def(v), A::Use(h)]);
                v
            });
            return self.join_halves(halves[0], halves[1]);
        }
        let v = self.vec2_imm(Code::VEX_Vshufps_ymm_ymm_ymmm256_imm8, low, Src::Reg(high), 0x88);
        self.vec1_imm(Code::VEX_Vpermq_ymm_ymmm256_imm8, Src::Reg(v), 0xd8)
    }
}
