//! Square roots beside the divider, at 512 bits.
//!
//! The divider takes 10 cycles for a vector's roots (Zen 4; 19 on Intel's), and bounds bodies that do little else. So
//! every other vector in flight takes its roots from multiplications: sqrt(x*x + z*z) over 64 Ki f32 11.1 us -> 8.4.
//!
//! They are rounded correctly, whatever the seed, so bits stay the same on every processor. With a seed of relative error e,
//! |e| <= 2^-14, one step leaves g = sqrt(x) (1 + d) and h = (1 + d') / (2 sqrt(x)) with |d|, |d'| < 2^-22.9, and
//! g + h (x - g^2) is sqrt(x) but for a relative error below 2^-45, before its only rounding. That is another number than the
//! root rounded only where the root is as close to the middle of two floats; for the 6,101 x of [1, 4) where it is within 2^-36,
//! `hard_roots_for_any_seed` tries all seeds. (P. Markstein, "Computation of elementary functions on the IBM RISC System/6000
//! processor", IBM J. Res. Dev. 34, 1990.) From 2^-100 on nothing underflows; what is smaller, infinite, negative or NaN is the
//! divider's.

use super::Emitter;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{A, MASK, VEC};
use crate::error::CodegenError;
use crate::lane::{LaneInst, LaneOp};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::prim::Prim;

/// Bits of 2^-100, and as many floats as there are from there to infinity, less one.
const LEAST: u64 = 0x0d80_0000;
const FINITE: u64 = 0x7f7f_ffff - LEAST;
/// Cycles of the divider for a vector of quotients or roots, and of the multipliers for a vector of roots.
const DIVIDER: usize = 10;
const STEPS: usize = 10;
/// Predicate of vpcmpud: above.
const ABOVE: u8 = 6;

/// Whether the divider has more to do in a body than the multipliers would have with half of its roots.
pub fn roots_gain(code: &[LaneInst]) -> bool {
    let (mut roots, mut quotients, mut others) = (0, 0, 0);
    for inst in code {
        match &inst.op {
            LaneOp::Prim(Prim::Sqrt, DType::F32, _) => roots += 1,
            LaneOp::Prim(Prim::Div, DType::F32, _) => quotients += 1,
            // These have units of their own.
            LaneOp::Prim(Prim::Add | Prim::Sub, ..) => {}
            LaneOp::Prim(..) => others += 1,
            LaneOp::Load { .. } | LaneOp::Store { .. } | LaneOp::Const(_) | LaneOp::Scalar(_) => {}
            _ => return false,
        }
    }
    roots > 0 && 2 * others + STEPS * roots < 2 * DIVIDER * (roots + quotients)
}

impl Emitter<'_> {
    /// Roots of float32, half of them by multiplications; None where a single vector is in flight.
    pub fn roots_by_turns(&mut self, x: &Val) -> Result<Option<Val>, CodegenError> {
        if !self.wide512 || self.c.cold || self.n <= self.width() {
            return Ok(None);
        }
        let x = self.registers(DType::F32, x)?;
        let divider = |e: &mut Self, p: VReg| e.vec1(Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er, Src::Reg(p));
        let mut parts = Vec::new();
        for pair in x.parts.chunks(2) {
            parts.push(divider(self, pair[0]));
            if let Some(&p) = pair.get(1) {
                let far = self.far_from_one(p);
                let root = self.root_by_steps(p);
                parts.extend(self.unless(vec![far], vec![root], |e| vec![divider(e, p)]));
            }
        }
        Ok(Some(Val::Lanes(Lanes { ty: LaneTy::F32, parts })))
    }

    /// A mask of what has no root by steps.
    fn far_from_one(&mut self, x: VReg) -> VReg {
        let least = self.pool_bits(LEAST, false);
        let bits = self.sub_int(LaneTy::I32, x, least);
        let most = self.pool_bits(FINITE, false);
        let most = self.src(most);
        let far = self.c.vreg(MASK);
        self.c.emit(Code::EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8, &[A::Def(far), A::Use(bits), most, A::Imm8(ABOVE)]);
        far
    }

    fn root_by_steps(&mut self, x: VReg) -> VReg {
        let half = self.float_const(LaneTy::F32, 0.5);
        let half = self.load_pool(half, false);
        let seed = self.vec1(Code::EVEX_Vrsqrt14ps_zmm_k1z_zmmm512b32, Src::Reg(x));
        let g = self.mul_float(LaneTy::F32, x, Src::Reg(seed));
        let h = self.mul_float(LaneTy::F32, seed, Src::Reg(half));
        let (minus, plus) =
            (Code::EVEX_Vfnmadd231ps_zmm_k1z_zmm_zmmm512b32_er, Code::EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er);
        // 1/2 - g h; then both come closer by it.
        let r = self.sum(minus, half, g, h);
        let (g, h) = (self.sum(plus, g, g, r), self.sum(plus, h, h, r));
        let left = self.sum(minus, x, g, g);
        self.sum(plus, g, left, h)
    }

    /// `c + a b`, or `c - a b`.
    fn sum(&mut self, code: Code, c: VReg, a: VReg, b: VReg) -> VReg {
        let v = self.c.vreg(VEC);
        self.c.emit(code, &[A::Mod(v, c), A::Use(a), A::Use(b)]);
        v
    }
}

#[cfg(test)]
mod tests {
    /// The steps above, from a seed on.
    fn by_steps(x: f32, seed: f32) -> f32 {
        let (g, h) = (x * seed, seed * 0.5);
        let r = (-g).mul_add(h, 0.5);
        let (g, h) = (g.mul_add(r, g), h.mul_add(r, h));
        (-g).mul_add(g, x).mul_add(h, g)
    }

    #[test]
    fn hard_roots_for_any_seed() {
        let mut hard = 0;
        for bits in 1f32.to_bits()..4f32.to_bits() {
            let x = f32::from_bits(bits);
            let root = x.sqrt();
            // Exact: the middle of two floats has 25 bits, its square 50.
            let far = [root.next_up(), root.next_down()].iter().all(|&next| {
                let middle = (f64::from(root) + f64::from(next)) / 2.0;
                (f64::from(x) - middle * middle).abs() > 2f64.powi(-35) * f64::from(x)
            });
            if far {
                continue;
            }
            hard += 1;
            let exact = 1.0 / f64::from(x).sqrt();
            let seed = |e: f64| ((exact * (1.0 + e)) as f32).to_bits();
            for seed in seed(-1.0 / 16384.0) - 1..=seed(1.0 / 16384.0) + 1 {
                assert_eq!(by_steps(x, f32::from_bits(seed)), root, "{x:e} from {seed:#x}");
            }
        }
        assert!(hard > 5000);
    }
}
