//! Primitives on one CLIF value: uniform code, tails, and lanes taken apart.

use super::Emitter;
use super::val::scalar_type;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::prim::Prim;

/// Limits of the exponent that `scale` applies, and the float whose low mantissa bits count integers.
pub struct ScaleConsts {
    pub limit: f64,
    pub magic: f64,
    pub mantissa: i64,
    pub bias: i64,
}

/// Constants of [`Prim::Scale`] by dtype.
pub fn scale_consts(t: DType) -> ScaleConsts {
    if t == DType::F32 {
        ScaleConsts { limit: 252.0, magic: 12_582_912.0, mantissa: 23, bias: 127 }
    } else {
        ScaleConsts { limit: 2044.0, magic: 6_755_399_441_055_744.0, mantissa: 52, bias: 1023 }
    }
}

pub fn int_cc(p: Prim, unsigned: bool) -> IntCC {
    match (p, unsigned) {
        (Prim::Eq, _) => IntCC::Equal,
        (Prim::Ne, _) => IntCC::NotEqual,
        (Prim::Lt, false) => IntCC::SignedLessThan,
        (Prim::Le, false) => IntCC::SignedLessThanOrEqual,
        (Prim::Gt, false) => IntCC::SignedGreaterThan,
        (Prim::Ge, false) => IntCC::SignedGreaterThanOrEqual,
        (Prim::Lt, true) => IntCC::UnsignedLessThan,
        (Prim::Le, true) => IntCC::UnsignedLessThanOrEqual,
        (Prim::Gt, true) => IntCC::UnsignedGreaterThan,
        (Prim::Ge, true) => IntCC::UnsignedGreaterThanOrEqual,
        _ => unreachable!("{p:?} is no comparison"),
    }
}

pub fn float_cc(p: Prim) -> FloatCC {
    match p {
        Prim::Eq => FloatCC::Equal,
        Prim::Ne => FloatCC::NotEqual,
        Prim::Lt => FloatCC::LessThan,
        Prim::Le => FloatCC::LessThanOrEqual,
        Prim::Gt => FloatCC::GreaterThan,
        Prim::Ge => FloatCC::GreaterThanOrEqual,
        _ => unreachable!("{p:?} is no comparison"),
    }
}

impl Emitter<'_> {
    /// A float constant of type `t`.
    pub fn fconst(&mut self, t: DType, v: f64) -> Value {
        if t == DType::F32 { self.b.ins().f32const(v as f32) } else { self.b.ins().f64const(v) }
    }

    /// Brings an integer result back to the range of its dtype.
    fn wrap(&mut self, t: DType, v: Value) -> Value {
        match t {
            DType::U8 => self.b.ins().band_imm_s(v, 0xff),
            DType::I8 | DType::I16 => {
                let low = self.b.ins().ireduce(if t == DType::I8 { types::I8 } else { types::I16 }, v);
                self.b.ins().sextend(types::I32, low)
            }
            _ => v,
        }
    }

    /// The bits of an integer of 8 or 16 bits, zero-extended.
    fn zero_extended(&mut self, t: DType, v: Value) -> Value {
        if t.size() < 4 { self.b.ins().band_imm_s(v, (1 << (8 * t.size())) - 1) } else { v }
    }

    /// One primitive. `from` is the dtype of the first operand where it is not `t`.
    pub fn scalar_prim(&mut self, p: Prim, t: DType, from: DType, a: &[Value]) -> Value {
        let float = t.is_float();
        let b = &mut self.b;
        match p {
            Prim::Add if float => b.ins().fadd(a[0], a[1]),
            Prim::Sub if float => b.ins().fsub(a[0], a[1]),
            Prim::Mul if float => b.ins().fmul(a[0], a[1]),
            Prim::Neg if float => b.ins().fneg(a[0]),
            Prim::Abs if float => b.ins().fabs(a[0]),
            Prim::Add => {
                let v = b.ins().iadd(a[0], a[1]);
                self.wrap(t, v)
            }
            Prim::Sub => {
                let v = b.ins().isub(a[0], a[1]);
                self.wrap(t, v)
            }
            Prim::Mul => {
                let v = b.ins().imul(a[0], a[1]);
                self.wrap(t, v)
            }
            Prim::Neg => {
                let v = b.ins().ineg(a[0]);
                self.wrap(t, v)
            }
            Prim::Abs => {
                let v = b.ins().iabs(a[0]);
                self.wrap(t, v)
            }
            Prim::Div => b.ins().fdiv(a[0], a[1]),
            Prim::Fma => b.ins().fma(a[0], a[1], a[2]),
            Prim::Min | Prim::Max if float => {
                // min: a > b ? b : a, and a NaN in b wins; max with <.
                let cc = if p == Prim::Min { FloatCC::GreaterThan } else { FloatCC::LessThan };
                let better = b.ins().fcmp(cc, a[0], a[1]);
                let nan = b.ins().fcmp(FloatCC::Unordered, a[1], a[1]);
                let take = b.ins().bor(better, nan);
                b.ins().select(take, a[1], a[0])
            }
            Prim::Min => b.ins().smin(a[0], a[1]),
            Prim::Max => b.ins().smax(a[0], a[1]),
            Prim::Sqrt => b.ins().sqrt(a[0]),
            Prim::Floor => b.ins().floor(a[0]),
            Prim::Ceil => b.ins().ceil(a[0]),
            Prim::Trunc => b.ins().trunc(a[0]),
            Prim::Rint => b.ins().nearest(a[0]),
            Prim::CopySign => b.ins().fcopysign(a[0], a[1]),
            Prim::Scale => self.scalar_scale(t, a[0], a[1]),
            Prim::Eq | Prim::Ne | Prim::Lt | Prim::Le | Prim::Gt | Prim::Ge if float => {
                b.ins().fcmp(float_cc(p), a[0], a[1])
            }
            Prim::Eq | Prim::Ne | Prim::Lt | Prim::Le | Prim::Gt | Prim::Ge => {
                b.ins().icmp(int_cc(p, t == DType::Bool), a[0], a[1])
            }
            Prim::Select => b.ins().select(a[0], a[1], a[2]),
            Prim::And => b.ins().band(a[0], a[1]),
            Prim::Or => b.ins().bor(a[0], a[1]),
            Prim::Xor => b.ins().bxor(a[0], a[1]),
            Prim::Not if t == DType::Bool => b.ins().bxor_imm_s(a[0], 1),
            Prim::Not => {
                let v = b.ins().bnot(a[0]);
                self.wrap(t, v)
            }
            Prim::Shl | Prim::Shr | Prim::Lshr => self.scalar_shift(p, t, a[0], a[1]),
            Prim::IDiv | Prim::IRem => self.scalar_divide(p, t, a[0], a[1]),
            Prim::MulHi if t.size() < 4 => {
                let (x, y) = (self.zero_extended(t, a[0]), self.zero_extended(t, a[1]));
                let v = self.b.ins().imul(x, y);
                let v = self.b.ins().ushr_imm_s(v, 8 * t.size() as i64);
                self.wrap(t, v)
            }
            Prim::MulHi => b.ins().umulhi(a[0], a[1]),
            Prim::Convert => self.scalar_convert(from, t, a[0]),
            Prim::Bitcast => self.bitcast(scalar_type(t), a[0]),
        }
    }

    fn scalar_scale(&mut self, t: DType, x: Value, n: Value) -> Value {
        let c = scale_consts(t);
        let lo = self.fconst(t, -c.limit);
        let hi = self.fconst(t, c.limit);
        let above = self.b.ins().fcmp(FloatCC::GreaterThan, n, lo);
        let n = self.b.ins().select(above, n, lo);
        let below = self.b.ins().fcmp(FloatCC::LessThan, n, hi);
        let n = self.b.ins().select(below, n, hi);
        let magic = self.fconst(t, c.magic);
        let k = self.b.ins().fadd(n, magic);
        let int = if t == DType::F32 { types::I32 } else { types::I64 };
        let k = self.bitcast(int, k);
        let base = self.bitcast(int, magic);
        let k = self.b.ins().isub(k, base);
        let k1 = self.b.ins().sshr_imm_s(k, 1);
        let k2 = self.b.ins().isub(k, k1);
        let mut x = x;
        for k in [k1, k2] {
            let e = self.b.ins().iadd_imm_s(k, c.bias);
            let e = self.b.ins().ishl_imm_s(e, c.mantissa);
            let f = self.bitcast(scalar_type(t), e);
            x = self.b.ins().fmul(x, f);
        }
        x
    }

    fn scalar_shift(&mut self, p: Prim, t: DType, x: Value, n: Value) -> Value {
        let width = 8 * t.size() as i64;
        let x = if p == Prim::Lshr { self.zero_extended(t, x) } else { x };
        let b = &mut self.b;
        let ok = b.ins().icmp_imm_s(IntCC::UnsignedLessThan, n, width);
        let shifted = match p {
            Prim::Shl => b.ins().ishl(x, n),
            // A u8 is never negative in its 32 bits.
            Prim::Shr => b.ins().sshr(x, n),
            _ => b.ins().ushr(x, n),
        };
        let out_of_range = if p == Prim::Shr && t != DType::U8 {
            b.ins().sshr_imm_s(x, width - 1)
        } else {
            b.ins().iconst(scalar_type(t), 0)
        };
        let v = b.ins().select(ok, shifted, out_of_range);
        self.wrap(t, v)
    }

    /// Division that cannot trap: by 0 gives 0 and an error record, by -1 negates.
    fn scalar_divide(&mut self, p: Prim, t: DType, x: Value, y: Value) -> Value {
        let ty = scalar_type(t);
        let zero = self.b.ins().icmp_imm_s(IntCC::Equal, y, 0);
        self.record_if(zero, super::record::Failure::ZeroDivision);
        let one = self.b.ins().iconst(ty, 1);
        let nothing = self.b.ins().iconst(ty, 0);
        let minus = self.b.ins().icmp_imm_s(IntCC::Equal, y, -1);
        let special = self.b.ins().bor(zero, minus);
        let safe = self.b.ins().select(special, one, y);
        let (q, by_minus) = if p == Prim::IDiv {
            (self.b.ins().sdiv(x, safe), self.b.ins().ineg(x))
        } else {
            (self.b.ins().srem(x, safe), nothing)
        };
        let v = self.b.ins().select(minus, by_minus, q);
        let v = self.b.ins().select(zero, nothing, v);
        self.wrap(t, v)
    }

    pub fn scalar_convert(&mut self, from: DType, to: DType, x: Value) -> Value {
        use DType::*;
        let b = &mut self.b;
        match (from, to) {
            (a, b) if a == b => x,
            (F32, F64) => b.ins().fpromote(types::F64, x),
            (F64, F32) => b.ins().fdemote(types::F32, x),
            (F32 | F64, Bool) => {
                let zero = self.fconst(from, 0.0);
                self.b.ins().fcmp(FloatCC::NotEqual, x, zero)
            }
            (F32 | F64, I64) => b.ins().fcvt_to_sint_sat(types::I64, x),
            (F32 | F64, U8 | I8 | I16 | I32) => {
                let i = b.ins().fcvt_to_sint_sat(types::I32, x);
                self.wrap(to, i)
            }
            (F16 | BF16, F32) => self.half_to_f32(from, x),
            (F32, F16 | BF16) => self.f32_to_half(to, x),
            (Bool, F32 | F64) => {
                let i = b.ins().uextend(types::I32, x);
                b.ins().fcvt_from_sint(scalar_type(to), i)
            }
            (U8 | I8 | I16 | I32 | I64, F32 | F64) => b.ins().fcvt_from_sint(scalar_type(to), x),
            (Bool, U8 | I8 | I16 | I32) => b.ins().uextend(types::I32, x),
            (Bool, I64) => b.ins().uextend(types::I64, x),
            (U8 | I8 | I16 | I32 | I64, Bool) => b.ins().icmp_imm_s(IntCC::NotEqual, x, 0),
            (U8 | I8 | I16 | I32, U8 | I8 | I16 | I32) => self.wrap(to, x),
            (U8 | I8 | I16 | I32, I64) => b.ins().sextend(types::I64, x),
            (I64, U8 | I8 | I16 | I32) => {
                let i = b.ins().ireduce(types::I32, x);
                self.wrap(to, i)
            }
            (a, b) => unreachable!("the verifier refuses {a} to {b}"),
        }
    }
}
