//! Conversions. To integers: truncating, saturating, NaN gives 0; the instructions give the smallest
//! integer for all of these, which is mended by masks.

use super::Emitter;
use super::compare::{GREATER_EQUAL, ORDERED, UNORDERED};
use super::prim::{FLOOR, TRUNC};
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{A, MASK, VEC};
use crate::error::CodegenError;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::prim::Prim;

const TWO_32: f64 = 4_294_967_296.0;
const TWO_52: f64 = 4_503_599_627_370_496.0;
const TWO_63: f64 = 9_223_372_036_854_775_808.0;
/// Of the classes of `vfpclassps`.
const SUBNORMAL: u8 = 0x20;
/// The upper halves of 64-bit lanes, for `vpblendd`.
const ODD_DWORDS: u8 = 0b1010_1010;

impl Emitter<'_> {
    pub fn convert(&mut self, from: DType, to: DType, x: &Val) -> Result<Val, CodegenError> {
        use DType::*;
        if from == to {
            return Ok(x.clone());
        }
        let (from_ty, ty) = (LaneTy::of(from), LaneTy::of(to));
        let uniform = !matches!(x, Val::Lanes(_));
        if to == Bool {
            let zero = Val::Const(Literal::from_f64(from, 0.0));
            let v = [self.materialise(x, from_ty), zero];
            return self.prim(Prim::Ne, from, from, &v, &[false; 2]);
        }
        if from == Bool {
            return self.convert_mask(to, ty, x);
        }
        let x = match self.materialise(x, from_ty) {
            Val::Uniform(x) | Val::Lanes(x) => x,
            Val::Const(_) => return Err(CodegenError::internal("a constant in no register")),
        };
        let parts = match (from, to) {
            (U8 | I8 | I16 | I32, U8 | I8 | I16 | I32) => x.parts.into_iter().map(|p| self.wrap(to, p)).collect(),
            (U8 | I8 | I16 | I32, F32) => {
                let code = self.pick(Code::VEX_Vcvtdq2ps_ymm_ymmm256, Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er);
                x.parts.into_iter().map(|p| self.vec1(code, Src::Reg(p))).collect()
            }
            (U8 | I8 | I16 | I32, F64) => {
                let code = self.pick(Code::VEX_Vcvtdq2pd_ymm_xmmm128, Code::EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er);
                self.widen(&x, code, uniform)
            }
            (F16 | BF16, F32) => x.parts.into_iter().map(|p| self.half_to_float(from, p)).collect(),
            (F32, F16 | BF16) => self.float_to_half(to, &x.parts),
            (F32, F64) => {
                let code = self.pick(Code::VEX_Vcvtps2pd_ymm_xmmm128, Code::EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae);
                self.widen(&x, code, uniform)
            }
            (U8 | I8 | I16 | I32, I64) => {
                let code = self.pick(Code::VEX_Vpmovsxdq_ymm_xmmm128, Code::EVEX_Vpmovsxdq_zmm_k1z_ymmm256);
                self.widen(&x, code, uniform)
            }
            (F64, F32) => {
                let code = self.pick(Code::VEX_Vcvtpd2ps_xmm_ymmm256, Code::EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er);
                self.narrow(&x, uniform, |e, p| e.vec1(code, Src::Reg(p)))
            }
            (F32, U8 | I8 | I16 | I32) => {
                let code = self.pick(Code::VEX_Vcvttps2dq_ymm_ymmm256, Code::EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae);
                let parts: Vec<VReg> = x.parts.iter().map(|&p| self.vec1(code, Src::Reg(p))).collect();
                let parts = self.saturate(LaneTy::F32, 2_147_483_648.0, &x.parts, parts);
                parts.into_iter().map(|p| self.wrap(to, p)).collect()
            }
            (F64, U8 | I8 | I16 | I32) => self
                .narrow(&x, uniform, |e, p| {
                    // Limited from above; from below the instruction does it; NaN becomes 0 first.
                    let limit = e.float_const(LaneTy::F64, 2_147_483_647.0);
                    let limit = e.load_pool(limit, true);
                    let code = e.pick(Code::VEX_Vminpd_ymm_ymm_ymmm256, Code::EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae);
                    let low = e.vec2(code, limit, Src::Reg(p));
                    let number = e.compare_float(LaneTy::F64, p, Src::Reg(p), ORDERED);
                    let low = e.keep(LaneTy::F64, number, low);
                    let code = e.pick(Code::VEX_Vcvttpd2dq_xmm_ymmm256, Code::EVEX_Vcvttpd2dq_ymm_k1z_zmmm512b64_sae);
                    e.vec1(code, Src::Reg(low))
                })
                .into_iter()
                .map(|p| self.wrap(to, p))
                .collect(),
            (I64, U8 | I8 | I16 | I32) => {
                let parts: Vec<VReg> = if uniform {
                    vec![self.even_dwords(x.parts[0], x.parts[0])]
                } else {
                    x.parts
                        .chunks(2)
                        .map(|p| (p[0], p[1]))
                        .collect::<Vec<_>>()
                        .into_iter()
                        .map(|(a, b)| self.even_dwords(a, b))
                        .collect()
                };
                parts.into_iter().map(|p| self.wrap(to, p)).collect()
            }
            (I64, F64) => self.int64_to_double(&x),
            // By one rounding: not by way of f64.
            (I64, F32) => self.int64_to_float(&x, uniform),
            (F32, I64) => self.float_to_int64(&x, uniform),
            (F64, I64) => self.double_to_int64(&x),
            (a, b) => return Err(CodegenError::internal(format!("conversion of {a} to {b}"))),
        };
        Ok(Self::wrap_parts(ty, parts, uniform))
    }

    fn convert_mask(&mut self, to: DType, ty: LaneTy, x: &Val) -> Result<Val, CodegenError> {
        let one = Val::Const(Literal::from_f64(to, 1.0));
        let zero = Val::Const(Literal::from_f64(to, 0.0));
        if self.wide512 {
            return self.merge(to, x, &one, &zero);
        }
        let (n, uniform) = self.shape(ty, std::slice::from_ref(x));
        let masks = if uniform { vec![self.uniform_mask(x, ty.mask())] } else { self.mask_regs(x, ty.mask()) };
        let parts = (0..n)
            .map(|i| {
                let one = self.part(&one, 0);
                self.and(masks[i], one)
            })
            .collect();
        Ok(Self::wrap_parts(ty, parts, uniform))
    }

    /// Every register of 32-bit lanes to two of 64-bit lanes.
    fn widen(&mut self, x: &Lanes, code: Code, uniform: bool) -> Vec<VReg> {
        let mut out = Vec::with_capacity(2 * x.parts.len());
        for &p in &x.parts {
            out.push(self.vec_half(code, p));
            if !uniform {
                let high = self.high_half(p);
                out.push(self.vec_half(code, high));
            }
        }
        out
    }

    /// An instruction that reads the lower half of a register.
    pub fn vec_half(&mut self, code: Code, p: VReg) -> VReg {
        let v = self.c.vreg(VEC);
        self.c.emit(code, &[A::Def(v), A::Use(p)]);
        v
    }

    /// Two registers of 64-bit lanes to one of 32-bit lanes; `f` makes a lower half.
    fn narrow(&mut self, x: &Lanes, uniform: bool, f: impl Fn(&mut Self, VReg) -> VReg) -> Vec<VReg> {
        let halves: Vec<VReg> = x.parts.iter().map(|&p| f(self, p)).collect();
        if uniform {
            return vec![self.join_halves(halves[0], halves[0])];
        }
        halves
            .chunks(2)
            .map(|h| (h[0], h[1]))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(l, h)| self.join_halves(l, h))
            .collect()
    }

    /// Mends what truncation left: all ones flipped in where `x` is at least `limit`, 0 where it is NaN.
    fn saturate(&mut self, ty: LaneTy, limit: f64, x: &[VReg], parts: Vec<VReg>) -> Vec<VReg> {
        parts
            .into_iter()
            .zip(x)
            .map(|(p, &x)| {
                let limit = self.float_const(ty, limit);
                let above = self.compare_float(ty, x, limit, GREATER_EQUAL);
                let number = self.compare_float(ty, x, Src::Reg(x), ORDERED);
                let p = if self.wide512 {
                    // The largest is the complement of the smallest.
                    let ones = self.pool_bits(u64::MAX, ty.is_64());
                    let v = self.c.vreg(VEC);
                    let code = if ty.is_64() {
                        Code::EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64
                    } else {
                        Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32
                    };
                    let ones = self.src(ones);
                    self.c.emit_masked(code, &[A::Mod(v, p), A::Use(p), ones], Some(above), false);
                    v
                } else {
                    self.xor(p, Src::Reg(above))
                };
                self.keep(ty, number, p)
            })
            .collect()
    }

    // ---- 16-bit floats, as their bits in 32-bit lanes: `rusttorch_ir::half` says what they are ----

    fn half_to_float(&mut self, half: DType, p: VReg) -> VReg {
        if half == DType::BF16 {
            let code = self.pick(Code::VEX_Vpslld_ymm_ymm_imm8, Code::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8);
            return self.vec1_imm(code, Src::Reg(p), 16);
        }
        let words = self.pack_words(DType::F16, p);
        self.vec_half(self.pick(Code::VEX_Vcvtph2ps_ymm_xmmm128, Code::EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae), words)
    }

    fn float_to_half(&mut self, half: DType, parts: &[VReg]) -> Vec<VReg> {
        if half == DType::BF16 && !self.bf16 {
            return self.float_to_bf16(parts);
        }
        let code = self.pick(Code::VEX_Vpmovzxwd_ymm_xmmm128, Code::EVEX_Vpmovzxwd_zmm_k1z_ymmm256);
        self.float_to_words(half, parts).into_iter().map(|w| self.vec_half(code, w)).collect()
    }

    /// Floats as words of a 16-bit type.
    pub fn float_to_words(&mut self, half: DType, parts: &[VReg]) -> Vec<VReg> {
        if half == DType::F16 {
            let code = self.pick(Code::VEX_Vcvtps2ph_xmmm128_ymm_imm8, Code::EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae);
            // 0: to nearest, ties to even.
            return parts.iter().map(|&p| self.vec1_imm(code, Src::Reg(p), 0)).collect();
        }
        if !self.bf16 {
            return self.float_to_bf16(parts).into_iter().map(|p| self.pack_words(half, p)).collect();
        }
        // The instruction flushes subnormals.
        let subnormal = parts
            .iter()
            .map(|&p| {
                let k = self.c.vreg(MASK);
                let code = Code::EVEX_Vfpclassps_kr_k1_zmmm512b32_imm8;
                self.c.emit(code, &[A::Def(k), A::Use(p), A::Imm8(SUBNORMAL)]);
                k
            })
            .collect();
        let fast = parts.iter().map(|&p| self.vec_half(Code::EVEX_Vcvtneps2bf16_ymm_k1z_zmmm512b32, p)).collect();
        self.unless(subnormal, fast, |e| {
            let all: Vec<VReg> = parts.iter().map(|&p| e.bf16_of_number(p)).collect();
            let all = parts.iter().zip(all).map(|(&p, n)| e.bf16_or_nan(p, n)).collect::<Vec<_>>();
            all.into_iter().map(|p| e.pack_words(half, p)).collect()
        })
    }

    /// Floats as the bits of bfloat16 in lanes of 32, by integers.
    fn float_to_bf16(&mut self, parts: &[VReg]) -> Vec<VReg> {
        let numbers: Vec<VReg> = parts.iter().map(|&p| self.bf16_of_number(p)).collect();
        let nan = parts.iter().map(|&p| self.compare_float(LaneTy::F32, p, Src::Reg(p), UNORDERED)).collect();
        self.unless(nan, numbers.clone(), |e| parts.iter().zip(numbers).map(|(&p, n)| e.bf16_or_nan(p, n)).collect())
    }

    /// Of what is no NaN: half a unit less one is added, and one more where the result would be odd.
    fn bf16_of_number(&mut self, p: VReg) -> VReg {
        let right = self.pick(Code::VEX_Vpsrld_ymm_ymm_imm8, Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8);
        let high = self.vec1_imm(right, Src::Reg(p), 16);
        let one = self.pool_bits(1, false);
        let odd = self.and(high, one);
        let most = self.pool_bits(0x7fff, false);
        let up = self.add_int(LaneTy::I32, p, most);
        let up = self.add_int(LaneTy::I32, up, Src::Reg(odd));
        self.vec1_imm(right, Src::Reg(up), 16)
    }

    /// The number, or a quiet NaN where there is none.
    fn bf16_or_nan(&mut self, p: VReg, number: VReg) -> VReg {
        let right = self.pick(Code::VEX_Vpsrld_ymm_ymm_imm8, Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8);
        let high = self.vec1_imm(right, Src::Reg(p), 16);
        let quiet = self.pool_bits(0x40, false);
        let nan = self.or(high, quiet);
        let ordered = self.compare_float(LaneTy::F32, p, Src::Reg(p), ORDERED);
        self.blend(LaneTy::I32, ordered, Src::Reg(number), nan)
    }

    /// `usual`, or what `rare` makes where a lane of the masks is on, out of the way.
    pub fn unless(
        &mut self,
        masks: Vec<VReg>,
        usual: Vec<VReg>,
        rare: impl FnOnce(&mut Self) -> Vec<VReg>,
    ) -> Vec<VReg> {
        let (needed, skip, join) = (self.c.cold_block(), self.c.block(), self.c.block());
        let results: Vec<VReg> = usual.iter().map(|_| self.c.param(join, VEC)).collect();
        self.test_any(&Lanes { ty: LaneTy::Mask32, parts: masks });
        self.c.branch(Code::Jne_rel32_64, needed, skip);
        self.c.enter(needed);
        let outer = std::mem::replace(&mut self.c.cold, true);
        let slow = rare(self);
        self.c.cold = outer;
        self.c.jump(join, &slow);
        self.c.enter(skip);
        self.c.jump(join, &usual);
        self.c.enter(join);
        results
    }

    // ---- 64-bit integers, of which AVX2 has no conversions ----

    /// On AVX2 the halves of each are read as floats: 2^52 plus the lower one, and 2^84 + 2^63 plus 2^32 times the upper
    /// one. What both have too much comes off the latter, which is exact; their sum rounds once.
    fn int64_to_double(&mut self, x: &Lanes) -> Vec<VReg> {
        if self.wide512 {
            let code = Code::EVEX_Vcvtqq2pd_zmm_k1z_zmmm512b64_er;
            return x.parts.iter().map(|&p| self.vec1(code, Src::Reg(p))).collect();
        }
        let [lower, upper, both] = [0x4330_0000_0000_0000, 0x4530_0000_8000_0000, 0x4530_0000_8010_0000]
            .map(|bits| self.pool_bits(bits, true));
        x.parts
            .iter()
            .map(|&p| {
                let low = self.vec2_imm(Code::VEX_Vpblendd_ymm_ymm_ymmm256_imm8, p, lower, ODD_DWORDS);
                let high = self.vec1_imm(Code::VEX_Vpsrlq_ymm_ymm_imm8, Src::Reg(p), 32);
                let high = self.xor(high, upper);
                let high = self.vec2(Code::VEX_Vsubpd_ymm_ymm_ymmm256, high, both);
                self.add_float(LaneTy::F64, high, Src::Reg(low))
            })
            .collect()
    }

    fn int64_to_float(&mut self, x: &Lanes, uniform: bool) -> Vec<VReg> {
        if self.wide512 {
            return self.narrow(x, uniform, |e, p| e.vec1(Code::EVEX_Vcvtqq2ps_ymm_k1z_zmmm512b64_er, Src::Reg(p)));
        }
        if uniform {
            let number = self.scalar_of(x.parts[0]);
            let (one, all) = (self.c.vreg(VEC), self.c.vreg(VEC));
            // It merges into a register; which one is no matter.
            self.c.emit(Code::VEX_Vcvtsi2ss_xmm_xmm_rm64, &[A::Def(one), A::Use(x.parts[0]), A::Use(number)]);
            self.c.emit(Code::VEX_Vbroadcastss_ymm_xmm, &[A::Def(all), A::Use(one)]);
            return vec![all];
        }
        self.narrow(x, false, |e, p| {
            let at = e.c.local(32);
            e.c.emit(Code::VEX_Vmovups_ymmm256_ymm, &[A::Local(at), A::Use(p)]);
            let [a, b, c, d] = [0, 8, 16, 24].map(|lane| {
                // The upper lanes of the first source are copied: zero, so that nothing is waited for.
                let (zero, v) = (e.zero(), e.c.vreg(VEC));
                e.c.emit(Code::VEX_Vcvtsi2ss_xmm_xmm_rm64, &[A::Def(v), A::Use(zero), A::Local(at + lane)]);
                v
            });
            let low = e.vec2(Code::VEX_Vunpcklps_xmm_xmm_xmmm128, a, Src::Reg(b));
            let high = e.vec2(Code::VEX_Vunpcklps_xmm_xmm_xmmm128, c, Src::Reg(d));
            let v = e.c.vreg(VEC);
            e.c.emit(Code::VEX_Vmovlhps_xmm_xmm_xmm, &[A::Def(v), A::Use(low), A::Use(high)]);
            v
        })
    }

    /// On AVX2 the multiple of 2^32 below and what is left, both exact, are read off the lower bits of their sums with
    /// a power of two.
    fn double_to_int64(&mut self, x: &Lanes) -> Vec<VReg> {
        const TY: LaneTy = LaneTy::F64;
        if self.wide512 {
            let code = Code::EVEX_Vcvttpd2qq_zmm_k1z_zmmm512b64_sae;
            let parts = x.parts.iter().map(|&p| self.vec1(code, Src::Reg(p))).collect();
            return self.saturate(TY, TWO_63, &x.parts, parts);
        }
        let [least, limit, down, up] = [-TWO_63, TWO_63, TWO_32.recip(), -TWO_32].map(|v| self.float_const(TY, v));
        // Where the integers 0 have their bits: 1.5 * 2^52 with a sign, 2^52 without.
        let [signed, unsigned] = [1.5 * TWO_52, TWO_52].map(|v| self.float_const(TY, v));
        let most = self.pool_bits(i64::MAX as u64, true);
        x.parts
            .iter()
            .map(|&p| {
                let v = self.vec2(Code::VEX_Vmaxpd_ymm_ymm_ymmm256, p, least);
                let v = self.round(TY, v, TRUNC);
                let high = self.mul_float(TY, v, down);
                let high = self.round(TY, high, FLOOR);
                let low = self.c.vreg(VEC);
                let up = self.src(up);
                self.c.emit(Code::VEX_Vfmadd231pd_ymm_ymm_ymmm256, &[A::Mod(low, v), A::Use(high), up]);
                let low = self.add_float(TY, low, unsigned);
                let high = self.add_float(TY, high, signed);
                let high = self.vec1_imm(Code::VEX_Vpsllq_ymm_ymm_imm8, Src::Reg(high), 32);
                let v = self.vec2_imm(Code::VEX_Vpblendd_ymm_ymm_ymmm256_imm8, low, Src::Reg(high), ODD_DWORDS);
                let above = self.compare_float(TY, p, limit, GREATER_EQUAL);
                let number = self.compare_float(TY, p, Src::Reg(p), ORDERED);
                let v = self.blend(LaneTy::I64, above, most, v);
                self.keep(LaneTy::I64, number, v)
            })
            .collect()
    }

    fn float_to_int64(&mut self, x: &Lanes, uniform: bool) -> Vec<VReg> {
        // Exact as f64.
        let code = self.pick(Code::VEX_Vcvtps2pd_ymm_xmmm128, Code::EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae);
        let parts = self.widen(x, code, uniform);
        self.double_to_int64(&Lanes { ty: LaneTy::F64, parts })
    }
}
