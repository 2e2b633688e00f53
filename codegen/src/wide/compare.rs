//! Comparisons, masks and what is chosen by them. A mask is all bits of a lane on AVX2, and a bit of a k register on
//! AVX-512.

use super::Emitter;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::A;
use crate::error::CodegenError;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::prim::Prim;

/// Predicates of vcmpps: equal; one is NaN; neither is; not (a >= b); not (a <= b); a >= b.
pub const EQUAL: u8 = 0;
pub const UNORDERED: u8 = 3;
pub const ORDERED: u8 = 7;
pub const NOT_GREATER_EQUAL: u8 = 25;
pub const NOT_LESS_EQUAL: u8 = 22;
pub const GREATER_EQUAL: u8 = 29;

fn float_predicate(p: Prim) -> u8 {
    match p {
        Prim::Eq => EQUAL,
        Prim::Ne => 4,
        Prim::Lt => 17,
        Prim::Le => 18,
        Prim::Ge => GREATER_EQUAL,
        _ => 30,
    }
}

/// Predicates of vpcmpd and its like.
pub fn int_predicate(p: Prim) -> u8 {
    match p {
        Prim::Eq => 0,
        Prim::Lt => 1,
        Prim::Le => 2,
        Prim::Ne => 4,
        Prim::Ge => 5,
        _ => 6,
    }
}

impl Emitter<'_> {
    /// A mask of float lanes.
    pub fn compare_float(&mut self, ty: LaneTy, a: VReg, b: Src, predicate: u8) -> VReg {
        let v = self.c.vreg(self.class(LaneTy::Mask32));
        let code = codes!(self, ty, VEX_Vcmpps_ymm_ymm_ymmm256_imm8 EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae
            VEX_Vcmppd_ymm_ymm_ymmm256_imm8 EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae);
        let b = self.src(b);
        self.c.emit(code, &[A::Def(v), A::Use(a), b, A::Imm8(predicate)]);
        v
    }

    /// A mask of integer lanes.
    pub fn compare_int(&mut self, p: Prim, ty: LaneTy, a: VReg, b: Src) -> VReg {
        if self.wide512 {
            let v = self.c.vreg(self.class(LaneTy::Mask32));
            let code = if ty.is_64() {
                Code::EVEX_Vpcmpq_kr_k1_zmm_zmmm512b64_imm8
            } else {
                Code::EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8
            };
            let b = self.src(b);
            self.c.emit(code, &[A::Def(v), A::Use(a), b, A::Imm8(int_predicate(p))]);
            return v;
        }
        let equal = if ty.is_64() { Code::VEX_Vpcmpeqq_ymm_ymm_ymmm256 } else { Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256 };
        let above = if ty.is_64() { Code::VEX_Vpcmpgtq_ymm_ymm_ymmm256 } else { Code::VEX_Vpcmpgtd_ymm_ymm_ymmm256 };
        let v = match p {
            Prim::Eq | Prim::Ne => self.vec2(equal, a, b),
            Prim::Gt | Prim::Le => self.vec2(above, a, b),
            _ => {
                let b = self.load_pool(b, ty.is_64());
                self.vec2(above, b, Src::Reg(a))
            }
        };
        if matches!(p, Prim::Ne | Prim::Le | Prim::Ge) { self.mask_not(v) } else { v }
    }

    pub fn compare_lanes(&mut self, p: Prim, t: DType, v: &[Val]) -> Result<Val, CodegenError> {
        if t == DType::Bool {
            return Ok(self.mask_logic(p, v));
        }
        let ty = LaneTy::of(t);
        let (n, uniform) = self.shape(ty, v);
        let (mut p, mut v) = (p, v.to_vec());
        if matches!(v[0], Val::Const(_)) {
            v.swap(0, 1);
            p = match p {
                Prim::Lt => Prim::Gt,
                Prim::Le => Prim::Ge,
                Prim::Gt => Prim::Lt,
                Prim::Ge => Prim::Le,
                same => same,
            };
        }
        let a = self.materialise(&v[0], ty);
        let parts = (0..n)
            .map(|i| {
                let (a, b) = (self.part_reg(&a, i), self.part(&v[1], i));
                if t.is_float() {
                    self.compare_float(ty, a, b, float_predicate(p))
                } else {
                    self.compare_int(p, ty, a, b)
                }
            })
            .collect();
        Ok(Self::wrap_parts(ty.mask(), parts, uniform))
    }

    /// Logic and comparisons of bools; false is below true.
    pub fn mask_logic(&mut self, p: Prim, v: &[Val]) -> Val {
        let ty = v.iter().find_map(|v| if let Val::Lanes(x) = v { Some(x.ty) } else { None });
        let uniform = ty.is_none();
        let ty = ty.unwrap_or(LaneTy::Mask32);
        let n = if uniform { 1 } else { self.parts(ty) };
        let operands: Vec<Vec<VReg>> =
            v.iter().map(|v| if uniform { vec![self.uniform_mask(v, ty)] } else { self.mask_regs(v, ty) }).collect();
        let parts = (0..n)
            .map(|i| {
                let a = operands[0][i];
                let b = operands.get(1).map_or(a, |b| b[i]);
                match p {
                    Prim::And => self.mask_and(a, b),
                    Prim::Or => self.mask_or(a, b),
                    Prim::Xor | Prim::Ne => self.mask_xor(a, b),
                    Prim::Not => self.mask_not(a),
                    Prim::Lt => self.mask_andn(a, b),
                    Prim::Gt => self.mask_andn(b, a),
                    Prim::Eq => {
                        let d = self.mask_xor(a, b);
                        self.mask_not(d)
                    }
                    Prim::Le => {
                        let d = self.mask_andn(b, a);
                        self.mask_not(d)
                    }
                    _ => {
                        let d = self.mask_andn(a, b);
                        self.mask_not(d)
                    }
                }
            })
            .collect();
        Self::wrap_parts(ty, parts, uniform)
    }

    pub fn select(&mut self, t: DType, v: &[Val]) -> Result<Val, CodegenError> {
        if t == DType::Bool {
            let on = self.mask_logic(Prim::And, &v[..2]);
            let off = self.mask_logic(Prim::Gt, &[v[2].clone(), v[0].clone()]);
            return Ok(self.mask_logic(Prim::Or, &[on, off]));
        }
        let ty = LaneTy::of(t);
        let (n, uniform) = self.shape(ty, v);
        let mask = if uniform { vec![self.uniform_mask(&v[0], ty.mask())] } else { self.mask_regs(&v[0], ty.mask()) };
        let off = self.materialise(&v[2], ty);
        let parts = (0..n)
            .map(|i| {
                let (a, b) = (self.part(&v[1], i), self.part_reg(&off, i));
                self.blend(ty, mask[i], a, b)
            })
            .collect();
        Ok(Self::wrap_parts(ty, parts, uniform))
    }

    /// The one register of a mask that is the same in all lanes.
    pub fn uniform_mask(&mut self, v: &Val, ty: LaneTy) -> VReg {
        let n = self.n;
        self.n = self.lanes_of(ty);
        let m = self.mask_regs(v, ty)[0];
        self.n = n;
        m
    }

    /// Lane-wise `mask ? a : b` of values of any dtype.
    pub fn merge(&mut self, t: DType, mask: &Val, a: &Val, b: &Val) -> Result<Val, CodegenError> {
        self.select(t, &[mask.clone(), a.clone(), b.clone()])
    }

    /// A value with a register for every part.
    pub fn spread(&mut self, t: DType, v: &Val) -> Result<Lanes, CodegenError> {
        let ty = LaneTy::of(t);
        Ok(match v {
            Val::Lanes(x) => x.clone(),
            _ if t == DType::Bool => Lanes { ty, parts: self.mask_regs(v, ty) },
            _ => Lanes { ty, parts: self.regs(v, ty) },
        })
    }
}
