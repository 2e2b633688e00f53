//! Integer division and remainder. Quotients of at most 32 bits come from those of doubles, which are exact once
//! truncated: x / y of two such numbers is an integer or 2^-31 of itself away from the next one. Where a lane divides by 0,
//! and for 64 bits, scalar code takes lane after lane.

use super::Emitter;
use super::lanes::Failure;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{A, INT, VEC};
use crate::error::CodegenError;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::prim::Prim;

impl Emitter<'_> {
    /// Integer division or remainder: by 0 gives 0 and an error record, by -1 negates.
    pub fn divide_lanes(&mut self, p: Prim, t: DType, v: &[Val]) -> Result<Val, CodegenError> {
        if self.n == 0 || t == DType::I64 {
            return self.divide_by_lane(p, t, v);
        }
        let (x, y) = (self.registers(t, &v[0])?, self.registers(t, &v[1])?);
        let zero = self.pool_bits(0, false);
        let zeros = y.parts.iter().map(|&y| self.compare_int(Prim::Eq, LaneTy::I32, y, zero)).collect();
        let mut zeros = Lanes { ty: LaneTy::Mask32, parts: zeros };
        if let Some(tail) = self.tail.clone() {
            let exist = self.mask_as(&tail.mask, LaneTy::Mask32);
            for (z, e) in zeros.parts.iter_mut().zip(exist) {
                *z = self.mask_and(*z, e);
            }
        }
        let (slow, fast, join) = (self.c.cold_block(), self.c.block(), self.c.block());
        let parts: Vec<VReg> = x.parts.iter().map(|_| self.c.param(join, VEC)).collect();
        self.test_any(&zeros);
        self.c.branch(Code::Jne_rel32_64, slow, fast);
        self.c.enter(slow);
        let before = self.copy.clone();
        let outer = std::mem::replace(&mut self.c.cold, true);
        let by_lane = self.divide_by_lane(p, t, v)?;
        let by_lane = self.registers(t, &by_lane)?;
        self.c.cold = outer;
        self.copy = before;
        self.c.jump(join, &by_lane.parts);
        self.c.enter(fast);
        let quotients: Vec<VReg> = x
            .parts
            .iter()
            .zip(&y.parts)
            .map(|(&x, &y)| {
                let q = self.quotient(x, y);
                if p == Prim::IDiv {
                    return self.wrap(t, q);
                }
                let product = self.pick(Code::VEX_Vpmulld_ymm_ymm_ymmm256, Code::EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32);
                let whole = self.vec2(product, q, Src::Reg(y));
                self.sub_int(LaneTy::I32, x, Src::Reg(whole))
            })
            .collect();
        self.c.jump(join, &quotients);
        self.c.enter(join);
        Ok(Val::Lanes(Lanes { ty: LaneTy::I32, parts }))
    }

    /// x / y towards 0, in 32 bits: -2^31 / -1 is beyond them, and truncates to -2^31 as it should.
    fn quotient(&mut self, x: VReg, y: VReg) -> VReg {
        let widen = self.pick(Code::VEX_Vcvtdq2pd_ymm_xmmm128, Code::EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er);
        let divide = self.pick(Code::VEX_Vdivpd_ymm_ymm_ymmm256, Code::EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er);
        let narrow = self.pick(Code::VEX_Vcvttpd2dq_xmm_ymmm256, Code::EVEX_Vcvttpd2dq_ymm_k1z_zmmm512b64_sae);
        let [low, high] = [false, true].map(|upper| {
            let [x, y] = [x, y].map(|v| {
                let half = if upper { self.high_half(v) } else { v };
                self.vec_half(widen, half)
            });
            let q = self.vec2(divide, x, Src::Reg(y));
            self.vec1(narrow, Src::Reg(q))
        });
        self.join_halves(low, high)
    }

    /// Scalar code for every lane that exists.
    fn divide_by_lane(&mut self, p: Prim, t: DType, v: &[Val]) -> Result<Val, CodegenError> {
        let (x, y) = (self.spill_i64(t, &v[0])?, self.spill_i64(t, &v[1])?);
        let to = self.zeros(self.room() * 8);
        self.by_lanes(&[], &mut |e, lane| {
            let at = |e: &mut Self, from: i32| {
                let v = e.c.vreg(INT);
                e.c.emit(Code::Mov_r64_rm64, &[A::Def(v), A::LocalIndexed(from, lane, 8)]);
                v
            };
            let (x, y) = (at(e, x), at(e, y));
            let leave = |e: &mut Self, v: VReg| {
                e.c.emit(Code::Mov_rm64_r64, &[A::LocalIndexed(to, lane, 8), A::Use(v)]);
            };
            e.compare_imm(y, 0);
            e.when(Code::Je_rel32_64, true, &mut |e| e.record(Failure::ZeroDivision))?;
            // The remainder by -1 is 0, which is there already.
            if p == Prim::IDiv {
                e.compare_imm(y, -1);
                e.when(Code::Je_rel32_64, true, &mut |e| {
                    let zero = e.int(0);
                    let negated = e.sub(zero, x);
                    leave(e, negated);
                    Ok(())
                })?;
            }
            // Neither 0 nor -1: y + 1 is above 1, unsigned.
            let next = e.add_imm(y, 1);
            e.compare_imm(next, 1);
            e.when(Code::Ja_rel32_64, false, &mut |e| {
                let (q, r) = e.divide(x, y);
                leave(e, if p == Prim::IDiv { q } else { r });
                Ok(())
            })
        })?;
        let v = self.reload(DType::I64, to)?;
        self.convert(DType::I64, t, &v)
    }
}
