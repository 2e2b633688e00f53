//! Primitives on vectors. Every lane operation is the IEEE one that the interpreter defines; the two
//! instruction sets differ in how masks are made and in what 64-bit integer forms exist.

use super::Emitter;
use super::compare::UNORDERED;
use super::val::{LaneTy, Src, Val};
use super::vcode::{A, VEC};
use crate::error::CodegenError;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::prim::Prim;

/// Limits of the exponent that `scale` applies.
fn scale_limit(ty: LaneTy) -> f64 {
    if ty.is_64() { 2044.0 } else { 252.0 }
}

// Modes of `round`, which raise no exceptions.
pub const RINT: u8 = 8;
pub const FLOOR: u8 = 9;
pub const CEIL: u8 = 10;
pub const TRUNC: u8 = 11;

// Functions of three bits.
/// `a | (b & c)`.
const OR_AND: u8 = 0b1111_1000;
/// `c ? b : a`.
const COPY_SIGN: u8 = 0b1101_1000;

impl Emitter<'_> {
    /// One primitive. `from` is the dtype of the first operand where it is not `t`; `dies` tells which
    /// operands are not used again.
    pub fn prim(&mut self, p: Prim, t: DType, from: DType, v: &[Val], dies: &[bool]) -> Result<Val, CodegenError> {
        match p {
            Prim::Convert => return self.convert(from, t, &v[0]),
            Prim::Eq | Prim::Ne | Prim::Lt | Prim::Le | Prim::Gt | Prim::Ge => return self.compare_lanes(p, t, v),
            Prim::Select => return self.select(t, v),
            Prim::And | Prim::Or | Prim::Xor | Prim::Not if t == DType::Bool => return Ok(self.mask_logic(p, v)),
            _ => {}
        }
        let ty = LaneTy::of(t);
        let (n, uniform) = self.shape(ty, v);
        let mut v = v.to_vec();
        // A constant comes second, where it may stay in memory.
        if matches!(p, Prim::Add | Prim::Mul | Prim::And | Prim::Or | Prim::Xor) && matches!(v[0], Val::Const(_)) {
            v.swap(0, 1);
        }
        // Min and max need theirs in a register.
        if matches!(p, Prim::Min | Prim::Max) && t.is_float() && matches!(&v[1], Val::Const(l) if !l.as_f64().is_nan())
        {
            return Ok(self.min_max_number(p, ty, &v, n, uniform));
        }
        let first = if p == Prim::Fma { v[0].clone() } else { self.materialise(&v[0], ty) };
        let mut parts = Vec::with_capacity(n);
        for i in 0..n {
            let part = match p {
                Prim::Fma => self.fma(ty, &v, i, dies),
                Prim::Bitcast => self.part_reg(&first, i),
                _ => {
                    let a = self.part_reg(&first, i);
                    match &v[1..] {
                        [] => self.unary(p, t, ty, a),
                        [b] => {
                            let b = b.clone();
                            self.binary(p, t, ty, a, &b, i)?
                        }
                        _ => return Err(CodegenError::internal(format!("{} operands", v.len()))),
                    }
                }
            };
            parts.push(part);
        }
        Ok(Self::wrap_parts(ty, parts, uniform))
    }

    /// `a | (b & c)` of integers of 32 bits, on AVX-512.
    pub fn or_and(&mut self, a: Val, b: Val, c: Val) -> Val {
        let (b, c) = if matches!(b, Val::Const(_)) { (c, b) } else { (b, c) };
        let (n, uniform) = self.shape(LaneTy::I32, &[a.clone(), b.clone(), c.clone()]);
        let (a, b) = (self.materialise(&a, LaneTy::I32), self.materialise(&b, LaneTy::I32));
        let parts = (0..n)
            .map(|i| {
                let (a, b, c) = (self.part_reg(&a, i), self.part_reg(&b, i), self.part(&c, i));
                self.ternary(LaneTy::I32, OR_AND, a, b, c)
            })
            .collect();
        Self::wrap_parts(LaneTy::I32, parts, uniform)
    }

    /// Any function of three bits (AVX-512): bit `4a + 2b + c` of the table.
    fn ternary(&mut self, ty: LaneTy, table: u8, a: VReg, b: VReg, c: Src) -> VReg {
        let v = self.c.vreg(VEC);
        let code = if ty.is_64() {
            Code::EVEX_Vpternlogq_zmm_k1z_zmm_zmmm512b64_imm8
        } else {
            Code::EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8
        };
        let c = self.src(c);
        self.c.emit(code, &[A::Mod(v, a), A::Use(b), c, A::Imm8(table)]);
        v
    }

    /// Brings 8- and 16-bit integers back to their range (L6).
    pub fn wrap(&mut self, t: DType, a: VReg) -> VReg {
        match t {
            DType::U8 => self.zero_extended(t, a),
            DType::I8 | DType::I16 => {
                let unused = 32 - 8 * t.size() as u8;
                let left = self.pick(Code::VEX_Vpslld_ymm_ymm_imm8, Code::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8);
                let right = self.pick(Code::VEX_Vpsrad_ymm_ymm_imm8, Code::EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8);
                let up = self.vec1_imm(left, Src::Reg(a), unused);
                self.vec1_imm(right, Src::Reg(up), unused)
            }
            _ => a,
        }
    }

    /// The bits of an integer of 8 or 16 bits, zero-extended.
    fn zero_extended(&mut self, t: DType, a: VReg) -> VReg {
        if t.size() >= 4 {
            return a;
        }
        let m = self.pool_bits((1 << (8 * t.size())) - 1, false);
        self.and(a, m)
    }

    fn unary(&mut self, p: Prim, t: DType, ty: LaneTy, a: VReg) -> VReg {
        let float = t.is_float();
        match p {
            Prim::Neg if float => {
                let sign = self.float_const(ty, -0.0);
                if ty.is_64() { self.xor64(a, sign) } else { self.xor(a, sign) }
            }
            Prim::Abs if float => self.magnitude(ty, a),
            Prim::Neg => {
                let zero = self.zero();
                let v = self.sub_int(ty, zero, Src::Reg(a));
                self.wrap(t, v)
            }
            Prim::Abs if ty.is_64() && !self.wide512 => {
                let zero = self.zero();
                let sign = self.vec2(Code::VEX_Vpcmpgtq_ymm_ymm_ymmm256, zero, Src::Reg(a));
                let flipped = self.xor(a, Src::Reg(sign));
                self.sub_int(ty, flipped, Src::Reg(sign))
            }
            Prim::Abs => {
                let code = if ty.is_64() {
                    Code::EVEX_Vpabsq_zmm_k1z_zmmm512b64
                } else {
                    self.pick(Code::VEX_Vpabsd_ymm_ymmm256, Code::EVEX_Vpabsd_zmm_k1z_zmmm512b32)
                };
                let v = self.vec1(code, Src::Reg(a));
                self.wrap(t, v)
            }
            Prim::Sqrt => {
                let code = codes!(self, ty, VEX_Vsqrtps_ymm_ymmm256 EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er
                    VEX_Vsqrtpd_ymm_ymmm256 EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er);
                self.vec1(code, Src::Reg(a))
            }
            Prim::Rint => self.round(ty, a, RINT),
            Prim::Floor => self.round(ty, a, FLOOR),
            Prim::Ceil => self.round(ty, a, CEIL),
            Prim::Trunc => self.round(ty, a, TRUNC),
            _ => {
                // Not: the one left.
                let ones = self.pool_bits(u64::MAX, false);
                let v = self.xor(a, ones);
                self.wrap(t, v)
            }
        }
    }

    pub fn zero(&mut self) -> VReg {
        let v = self.c.vreg(VEC);
        // A register's exclusive or with itself would read it: xor an undefined register is no definition
        // for the allocator, a load is.
        let zero = self.pool_bits(0, false);
        let code = self.pick(Code::VEX_Vmovups_ymm_ymmm256, Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32);
        if let Src::Pool(at) = zero {
            self.c.emit(code, &[A::Def(v), A::Pool(at)]);
        }
        v
    }

    fn magnitude(&mut self, ty: LaneTy, a: VReg) -> VReg {
        let mask = if ty.is_64() { i64::MAX as u64 } else { 0x7fff_ffff };
        let mask = self.pool_bits(mask, ty.is_64());
        if ty.is_64() { self.and64(a, mask) } else { self.and(a, mask) }
    }

    pub fn round(&mut self, ty: LaneTy, a: VReg, mode: u8) -> VReg {
        let code = codes!(self, ty, VEX_Vroundps_ymm_ymmm256_imm8 EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae
            VEX_Vroundpd_ymm_ymmm256_imm8 EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae);
        self.vec1_imm(code, Src::Reg(a), mode)
    }

    pub fn add_float(&mut self, ty: LaneTy, a: VReg, b: Src) -> VReg {
        let code = codes!(self, ty, VEX_Vaddps_ymm_ymm_ymmm256 EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er
            VEX_Vaddpd_ymm_ymm_ymmm256 EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er);
        self.vec2(code, a, b)
    }

    pub fn mul_float(&mut self, ty: LaneTy, a: VReg, b: Src) -> VReg {
        let code = codes!(self, ty, VEX_Vmulps_ymm_ymm_ymmm256 EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er
            VEX_Vmulpd_ymm_ymm_ymmm256 EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er);
        self.vec2(code, a, b)
    }

    pub fn add_int(&mut self, ty: LaneTy, a: VReg, b: Src) -> VReg {
        let code = codes!(self, ty, VEX_Vpaddd_ymm_ymm_ymmm256 EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32
            VEX_Vpaddq_ymm_ymm_ymmm256 EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64);
        self.vec2(code, a, b)
    }

    pub fn sub_int(&mut self, ty: LaneTy, a: VReg, b: Src) -> VReg {
        let code = codes!(self, ty, VEX_Vpsubd_ymm_ymm_ymmm256 EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32
            VEX_Vpsubq_ymm_ymm_ymmm256 EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64);
        self.vec2(code, a, b)
    }

    /// minps or maxps of (b, a): the second operand where they are equal or unordered.
    fn min_max_float(&mut self, p: Prim, ty: LaneTy, b: VReg, a: Src) -> VReg {
        let code = if p == Prim::Min {
            codes!(self, ty, VEX_Vminps_ymm_ymm_ymmm256 EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae
                VEX_Vminpd_ymm_ymm_ymmm256 EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae)
        } else {
            codes!(self, ty, VEX_Vmaxps_ymm_ymm_ymmm256 EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae
                VEX_Vmaxpd_ymm_ymm_ymmm256 EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae)
        };
        self.vec2(code, b, a)
    }

    /// Min or max with a constant that is no NaN: one instruction, the constant its first operand.
    fn min_max_number(&mut self, p: Prim, ty: LaneTy, v: &[Val], n: usize, uniform: bool) -> Val {
        let b = self.part_reg(&v[1], 0);
        let parts = (0..n)
            .map(|i| {
                let a = self.part(&v[0], i);
                self.min_max_float(p, ty, b, a)
            })
            .collect();
        Self::wrap_parts(ty, parts, uniform)
    }

    /// minps or maxps of (a, b).
    pub fn extreme(&mut self, p: Prim, ty: LaneTy, a: Val, b: Val) -> Val {
        let (n, uniform) = self.shape(ty, &[a.clone(), b.clone()]);
        let a = self.materialise(&a, ty);
        let parts = (0..n)
            .map(|i| {
                let (a, b) = (self.part_reg(&a, i), self.part(&b, i));
                self.min_max_float(p, ty, a, b)
            })
            .collect();
        Self::wrap_parts(ty, parts, uniform)
    }

    fn binary(&mut self, p: Prim, t: DType, ty: LaneTy, a: VReg, b: &Val, i: usize) -> Result<VReg, CodegenError> {
        let float = t.is_float();
        Ok(match p {
            Prim::Shl | Prim::Shr | Prim::Lshr => self.shift(p, t, ty, a, b, i),
            Prim::Min | Prim::Max if float => {
                let b = self.part_reg(b, i);
                let m = self.min_max_float(p, ty, b, Src::Reg(a));
                // A NaN in b wins; one in a already has.
                let nan = self.compare_float(ty, b, Src::Reg(b), UNORDERED);
                self.blend(ty, nan, Src::Reg(b), m)
            }
            Prim::CopySign if self.wide512 => {
                let sign = self.float_const(ty, -0.0);
                let b = self.part_reg(b, i);
                self.ternary(ty, COPY_SIGN, a, b, sign)
            }
            Prim::CopySign => {
                let sign = self.float_const(ty, -0.0);
                let m = self.magnitude(ty, a);
                let b = self.part_reg(b, i);
                let s = if ty.is_64() { self.and64(b, sign) } else { self.and(b, sign) };
                self.or(m, Src::Reg(s))
            }
            Prim::Scale => {
                let n = self.part_reg(b, i);
                self.scale(ty, a, n)
            }
            Prim::Add if float => {
                let b = self.part(b, i);
                self.add_float(ty, a, b)
            }
            Prim::Sub if float => {
                let code = codes!(self, ty, VEX_Vsubps_ymm_ymm_ymmm256 EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er
                    VEX_Vsubpd_ymm_ymm_ymmm256 EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er);
                let b = self.part(b, i);
                self.vec2(code, a, b)
            }
            Prim::Mul if float => {
                let b = self.part(b, i);
                self.mul_float(ty, a, b)
            }
            Prim::Div => {
                let code = codes!(self, ty, VEX_Vdivps_ymm_ymm_ymmm256 EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er
                    VEX_Vdivpd_ymm_ymm_ymmm256 EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er);
                let b = self.part(b, i);
                self.vec2(code, a, b)
            }
            Prim::Add => {
                let b = self.part(b, i);
                let v = self.add_int(ty, a, b);
                self.wrap(t, v)
            }
            Prim::Sub => {
                let b = self.part(b, i);
                let v = self.sub_int(ty, a, b);
                self.wrap(t, v)
            }
            Prim::Mul => {
                let v = self.mul_int(ty, a, b, i);
                self.wrap(t, v)
            }
            Prim::MulHi => {
                let b = self.part_reg(b, i);
                self.mul_high(t, ty, a, b)
            }
            Prim::Min | Prim::Max => self.min_max_int(p, ty, a, b, i),
            Prim::And | Prim::Or | Prim::Xor => {
                let code = match p {
                    Prim::And => codes!(self, ty, VEX_Vpand_ymm_ymm_ymmm256 EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32
                        VEX_Vpand_ymm_ymm_ymmm256 EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64),
                    Prim::Or => codes!(self, ty, VEX_Vpor_ymm_ymm_ymmm256 EVEX_Vpord_zmm_k1z_zmm_zmmm512b32
                        VEX_Vpor_ymm_ymm_ymmm256 EVEX_Vporq_zmm_k1z_zmm_zmmm512b64),
                    _ => codes!(self, ty, VEX_Vpxor_ymm_ymm_ymmm256 EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32
                        VEX_Vpxor_ymm_ymm_ymmm256 EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64),
                };
                let b = self.part(b, i);
                self.vec2(code, a, b)
            }
            _ => return Err(CodegenError::internal(format!("{} is not binary", p.name()))),
        })
    }

    fn fma(&mut self, ty: LaneTy, v: &[Val], i: usize, dies: &[bool]) -> VReg {
        let constant = |v: &Val| matches!(v, Val::Const(_));
        let (mut a, mut b, mut a_dies) = (&v[0], &v[1], dies[0]);
        // The overwritten factor is no constant, and preferably one that is not used again.
        if constant(a) || (!constant(b) && dies[1] && !a_dies) {
            (a, b) = (b, a);
            a_dies = dies[1];
        }
        let out = self.c.vreg(VEC);
        let (c, c_dies) = (&v[2], dies[2]);
        if constant(c) {
            // With a constant factor too, what is overwritten is its register, which nothing else reads.
            if constant(b) {
                (a, b) = (b, a);
            }
            // 213: a = b * a + [c]
            let code = codes!(self, ty, VEX_Vfmadd213ps_ymm_ymm_ymmm256 EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er
                VEX_Vfmadd213pd_ymm_ymm_ymmm256 EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er);
            let (a, b) = (self.part_reg(a, i), self.part_reg(b, i));
            let c = self.part(c, i);
            let c = self.src(c);
            self.c.emit(code, &[A::Mod(out, a), A::Use(b), c]);
        } else if a_dies && !c_dies {
            // 132: a = a * [b] + c
            let code = codes!(self, ty, VEX_Vfmadd132ps_ymm_ymm_ymmm256 EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er
                VEX_Vfmadd132pd_ymm_ymm_ymmm256 EVEX_Vfmadd132pd_zmm_k1z_zmm_zmmm512b64_er);
            let (a, c) = (self.part_reg(a, i), self.part_reg(c, i));
            let b = self.part(b, i);
            let b = self.src(b);
            self.c.emit(code, &[A::Mod(out, a), A::Use(c), b]);
        } else {
            // 231: c = a * [b] + c
            let code = codes!(self, ty, VEX_Vfmadd231ps_ymm_ymm_ymmm256 EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er
                VEX_Vfmadd231pd_ymm_ymm_ymmm256 EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er);
            let (a, c) = (self.part_reg(a, i), self.part_reg(c, i));
            let b = self.part(b, i);
            let b = self.src(b);
            self.c.emit(code, &[A::Mod(out, c), A::Use(a), b]);
        }
        out
    }

    /// The definition of [`Prim::Scale`], two multiplications.
    fn scale(&mut self, ty: LaneTy, x: VReg, n: VReg) -> VReg {
        let limit = scale_limit(ty);
        // The second operand wins when unordered: a NaN becomes the lower limit.
        let low = self.float_const(ty, -limit);
        let n = self.min_max_float(Prim::Max, ty, n, low);
        let high = self.float_const(ty, limit);
        let n = self.min_max_float(Prim::Min, ty, n, high);
        if self.wide512 {
            // The same halves, as floats: vscalef by an integer in range is that multiplication.
            let n = self.round(ty, n, RINT);
            let half = self.float_const(ty, 0.5);
            let h = self.mul_float(ty, n, half);
            let h = self.round(ty, h, FLOOR);
            let code = if ty.is_64() {
                Code::EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er
            } else {
                Code::EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er
            };
            let rest = self.vec2(code, n, Src::Reg(h));
            let code = if ty.is_64() {
                Code::EVEX_Vscalefpd_zmm_k1z_zmm_zmmm512b64_er
            } else {
                Code::EVEX_Vscalefps_zmm_k1z_zmm_zmmm512b32_er
            };
            let x = self.vec2(code, x, Src::Reg(h));
            return self.vec2(code, x, Src::Reg(rest));
        }
        let (magic, mantissa, bias) =
            if ty.is_64() { (6_755_399_441_055_744.0, 52u8, 1023i64) } else { (12_582_912.0, 23, 127) };
        let int = if ty.is_64() { LaneTy::I64 } else { LaneTy::I32 };
        let m = self.float_const(ty, magic);
        let k = self.add_float(ty, n, m);
        let k = self.sub_int(int, k, m);
        let k1 = if ty.is_64() {
            // No arithmetic shift of 64-bit lanes: (k + 2^32 >> 1) - 2^31, logically.
            let up = self.int_const(int, 1 << 32);
            let up = self.add_int(int, k, up);
            let half = self.vec1_imm(Code::VEX_Vpsrlq_ymm_ymm_imm8, Src::Reg(up), 1);
            let down = self.int_const(int, 1 << 31);
            self.sub_int(int, half, down)
        } else {
            self.vec1_imm(Code::VEX_Vpsrad_ymm_ymm_imm8, Src::Reg(k), 1)
        };
        let k2 = self.sub_int(int, k, Src::Reg(k1));
        let bias = self.int_const(int, bias);
        let shift = if ty.is_64() { Code::VEX_Vpsllq_ymm_ymm_imm8 } else { Code::VEX_Vpslld_ymm_ymm_imm8 };
        let mut x = x;
        for k in [k1, k2] {
            let e = self.add_int(int, k, bias);
            let f = self.vec1_imm(shift, Src::Reg(e), mantissa);
            x = self.mul_float(ty, x, Src::Reg(f));
        }
        x
    }

    fn mul_int(&mut self, ty: LaneTy, a: VReg, b: &Val, i: usize) -> VReg {
        if !ty.is_64() || self.wide512 {
            let code = if ty.is_64() {
                Code::EVEX_Vpmullq_zmm_k1z_zmm_zmmm512b64
            } else {
                self.pick(Code::VEX_Vpmulld_ymm_ymm_ymmm256, Code::EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32)
            };
            let b = self.part(b, i);
            return self.vec2(code, a, b);
        }
        // a_lo*b_lo + ((a_hi*b_lo + a_lo*b_hi) << 32)
        let b = self.part_reg(b, i);
        let (ah, bh) = (self.upper_dwords(a), self.upper_dwords(b));
        let low = self.mul_u32(a, b);
        let x = self.mul_u32(ah, b);
        let y = self.mul_u32(a, bh);
        let cross = self.add_int(ty, x, Src::Reg(y));
        let cross = self.vec1_imm(Code::VEX_Vpsllq_ymm_ymm_imm8, Src::Reg(cross), 32);
        self.add_int(ty, low, Src::Reg(cross))
    }

    /// The upper 32 bits of 64-bit lanes.
    fn upper_dwords(&mut self, a: VReg) -> VReg {
        let code = self.pick(Code::VEX_Vpsrlq_ymm_ymm_imm8, Code::EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8);
        self.vec1_imm(code, Src::Reg(a), 32)
    }

    /// 64-bit products of the low 32 bits of 64-bit lanes.
    fn mul_u32(&mut self, a: VReg, b: VReg) -> VReg {
        let code = self.pick(Code::VEX_Vpmuludq_ymm_ymm_ymmm256, Code::EVEX_Vpmuludq_zmm_k1z_zmm_zmmm512b64);
        self.vec2(code, a, Src::Reg(b))
    }

    fn mul_high(&mut self, t: DType, ty: LaneTy, a: VReg, b: VReg) -> VReg {
        if t.size() < 4 {
            let (a, b) = (self.zero_extended(t, a), self.zero_extended(t, b));
            let code = self.pick(Code::VEX_Vpmulld_ymm_ymm_ymmm256, Code::EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32);
            let v = self.vec2(code, a, Src::Reg(b));
            let code = self.pick(Code::VEX_Vpsrld_ymm_ymm_imm8, Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8);
            let v = self.vec1_imm(code, Src::Reg(v), 8 * t.size() as u8);
            return self.wrap(t, v);
        }
        let (ah, bh) = (self.upper_dwords(a), self.upper_dwords(b));
        let low = self.mul_u32(a, b);
        let upper = |e: &mut Self, v: VReg| e.upper_dwords(v);
        if !ty.is_64() {
            // Even lanes' upper halves from the low products, odd lanes' in place.
            let odd = self.mul_u32(ah, bh);
            let even = upper(self, low);
            let keep = self.pool_bits(0xffff_ffff_0000_0000, true);
            let odd = self.and64(odd, keep);
            return self.or(even, Src::Reg(odd));
        }
        let mask = self.pool_bits(0xffff_ffff, true);
        let w = upper(self, low);
        let t1 = self.mul_u32(ah, b);
        let t1 = self.add_int(ty, t1, Src::Reg(w));
        let carry = upper(self, t1);
        let t1 = self.and64(t1, mask);
        let t2 = self.mul_u32(a, bh);
        let t2 = self.add_int(ty, t2, Src::Reg(t1));
        let t2 = upper(self, t2);
        let high = self.mul_u32(ah, bh);
        let high = self.add_int(ty, high, Src::Reg(carry));
        self.add_int(ty, high, Src::Reg(t2))
    }

    fn min_max_int(&mut self, p: Prim, ty: LaneTy, a: VReg, b: &Val, i: usize) -> VReg {
        let min = p == Prim::Min;
        if ty.is_64() && !self.wide512 {
            let b = self.part_reg(b, i);
            let above = self.vec2(Code::VEX_Vpcmpgtq_ymm_ymm_ymmm256, a, Src::Reg(b));
            return if min { self.blend(ty, above, Src::Reg(b), a) } else { self.blend(ty, above, Src::Reg(a), b) };
        }
        let code = match (min, ty.is_64()) {
            (true, false) => self.pick(Code::VEX_Vpminsd_ymm_ymm_ymmm256, Code::EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32),
            (false, false) => self.pick(Code::VEX_Vpmaxsd_ymm_ymm_ymmm256, Code::EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32),
            (true, true) => Code::EVEX_Vpminsq_zmm_k1z_zmm_zmmm512b64,
            (false, true) => Code::EVEX_Vpmaxsq_zmm_k1z_zmm_zmmm512b64,
        };
        let b = self.part(b, i);
        self.vec2(code, a, b)
    }

    /// The variable shifts give 0 (the sign) for counts out of range, as the primitives do; of a narrow
    /// value, which is held in 32 bits, counts from its own width on leave nothing but the sign.
    fn shift(&mut self, p: Prim, t: DType, ty: LaneTy, a: VReg, b: &Val, i: usize) -> VReg {
        let arithmetic = p == Prim::Shr && t != DType::U8;
        let a = if p == Prim::Lshr { self.zero_extended(t, a) } else { a };
        let width = if ty.is_64() { 64 } else { 32 };
        if let Val::Const(l) = b
            && (0..width).contains(&l.as_i64())
            && !(arithmetic && ty.is_64() && !self.wide512)
        {
            let code = match p {
                Prim::Shl => codes!(self, ty, VEX_Vpslld_ymm_ymm_imm8 EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8
                    VEX_Vpsllq_ymm_ymm_imm8 EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8),
                Prim::Shr if arithmetic => {
                    codes!(self, ty, VEX_Vpsrad_ymm_ymm_imm8 EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8
                        VEX_Vpsrad_ymm_ymm_imm8 EVEX_Vpsraq_zmm_k1z_zmmm512b64_imm8)
                }
                _ => codes!(self, ty, VEX_Vpsrld_ymm_ymm_imm8 EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8
                    VEX_Vpsrlq_ymm_ymm_imm8 EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8),
            };
            let v = self.vec1_imm(code, Src::Reg(a), l.as_i64() as u8);
            return self.wrap(t, v);
        }
        if arithmetic && ty.is_64() && !self.wide512 {
            // (x ^ s) >> n ^ s, s the sign in all bits.
            let b = self.part_reg(b, i);
            let zero = self.zero();
            let s = self.vec2(Code::VEX_Vpcmpgtq_ymm_ymm_ymmm256, zero, Src::Reg(a));
            let x = self.xor(a, Src::Reg(s));
            let x = self.vec2(Code::VEX_Vpsrlvq_ymm_ymm_ymmm256, x, Src::Reg(b));
            return self.xor(x, Src::Reg(s));
        }
        let code = match p {
            Prim::Shl => codes!(self, ty, VEX_Vpsllvd_ymm_ymm_ymmm256 EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32
                VEX_Vpsllvq_ymm_ymm_ymmm256 EVEX_Vpsllvq_zmm_k1z_zmm_zmmm512b64),
            Prim::Shr if arithmetic => codes!(self, ty, VEX_Vpsravd_ymm_ymm_ymmm256 EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32
                VEX_Vpsravd_ymm_ymm_ymmm256 EVEX_Vpsravq_zmm_k1z_zmm_zmmm512b64),
            _ => codes!(self, ty, VEX_Vpsrlvd_ymm_ymm_ymmm256 EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32
                VEX_Vpsrlvq_ymm_ymm_ymmm256 EVEX_Vpsrlvq_zmm_k1z_zmm_zmmm512b64),
        };
        let b = self.part(b, i);
        let v = self.vec2(code, a, b);
        self.wrap(t, v)
    }
}
