//! f16 and bf16 to and from f32, in integer arithmetic: x86-64 in Cranelift has no F16C, and the
//! bf16 instructions of AVX-512 flush subnormals. One text serves a scalar (i32, f32) and a part of a
//! vector (i32x4, f32x4). What the results are is `rusttorch_ir::half`.

use super::Emitter;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use rusttorch_ir::dtype::{DType, Literal};

/// Bits of the f32 infinity.
const INFINITY: u32 = 0x7f80_0000;

impl Emitter<'_> {
    /// A constant of type `ty`, i32 or i32x4.
    fn word(&mut self, ty: Type, v: u32) -> Value {
        if ty.is_vector() {
            self.vector_const(Literal::int(DType::I32, i64::from(v as i32)), 4).parts[0]
        } else {
            self.b.ins().iconst(ty, i64::from(v))
        }
    }

    /// c ? x : y for the result of an `icmp`.
    fn choose(&mut self, c: Value, x: Value, y: Value) -> Value {
        if self.b.func.dfg.value_type(x).is_vector() { self.blend(c, x, y) } else { self.b.ins().select(c, x, y) }
    }

    /// True where x, which is not negative, is below `limit`.
    fn below(&mut self, x: Value, limit: u32) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let limit = self.word(ty, limit);
        self.b.ins().icmp(IntCC::SignedLessThan, x, limit)
    }

    fn masked(&mut self, x: Value, mask: u32) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let mask = self.word(ty, mask);
        self.b.ins().band(x, mask)
    }

    fn plus(&mut self, x: Value, v: u32) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let v = self.word(ty, v);
        self.b.ins().iadd(x, v)
    }

    /// The f32 of 16-bit floats that lie zero-extended in 32 bits.
    pub fn half_to_f32(&mut self, half: DType, h: Value) -> Value {
        let int = self.b.func.dfg.value_type(h);
        let float = if int.is_vector() { types::F32X4 } else { types::F32 };
        if half == DType::BF16 {
            let bits = self.b.ins().ishl_imm_s(h, 16);
            return self.bitcast(float, bits);
        }
        let sign = self.masked(h, 0x8000);
        let sign = self.b.ins().ishl_imm_s(sign, 16);
        let m = self.masked(h, 0x7fff);
        let m = self.b.ins().ishl_imm_s(m, 13);
        // The exponent is moved by 127 - 15, and by as much again for infinity and NaN.
        let normal = self.plus(m, 112 << 23);
        let special = self.plus(m, 224 << 23);
        // A subnormal: with the exponent of the least normal number it counts up from that one.
        let base = self.word(int, 113 << 23);
        let above = self.b.ins().iadd(m, base);
        let (above, least) = (self.bitcast(float, above), self.bitcast(float, base));
        let subnormal = self.b.ins().fsub(above, least);
        let subnormal = self.bitcast(int, subnormal);
        let is_small = self.below(m, 1 << 23);
        let is_finite = self.below(m, 31 << 23);
        let v = self.choose(is_finite, normal, special);
        let v = self.choose(is_small, subnormal, v);
        let v = self.b.ins().bor(v, sign);
        self.bitcast(float, v)
    }

    /// The nearest 16-bit floats, zero-extended in 32 bits.
    pub fn f32_to_half(&mut self, half: DType, v: Value) -> Value {
        let float = self.b.func.dfg.value_type(v);
        let int = if float.is_vector() { types::I32X4 } else { types::I32 };
        let bits = self.bitcast(int, v);
        let magnitude = self.masked(bits, 0x7fff_ffff);
        let is_number = self.below(magnitude, INFINITY + 1);
        if half == DType::BF16 {
            // Half a unit less one, and one more where the result would be odd.
            let high = self.b.ins().ushr_imm_s(bits, 16);
            let odd = self.masked(high, 1);
            let up = self.plus(bits, 0x7fff);
            let up = self.b.ins().iadd(up, odd);
            let rounded = self.b.ins().ushr_imm_s(up, 16);
            let quiet = self.word(int, 0x40);
            let nan = self.b.ins().bor(high, quiet);
            return self.choose(is_number, rounded, nan);
        }
        let sign = self.b.ins().ushr_imm_s(bits, 16);
        let sign = self.masked(sign, 0x8000);
        // The same with the exponent moved by 15 - 127.
        let odd = self.b.ins().ushr_imm_s(magnitude, 13);
        let odd = self.masked(odd, 1);
        let normal = self.plus(magnitude, 0u32.wrapping_sub(112 << 23) + 0xfff);
        let normal = self.b.ins().iadd(normal, odd);
        let normal = self.b.ins().ushr_imm_s(normal, 13);
        // The unit of 0.5 is that of the subnormals: the addition rounds to it.
        let base = self.word(int, 126 << 23);
        let (x, one_half) = (self.bitcast(float, magnitude), self.bitcast(float, base));
        let sum = self.b.ins().fadd(x, one_half);
        let sum = self.bitcast(int, sum);
        let subnormal = self.b.ins().isub(sum, base);
        let is_small = self.below(magnitude, 113 << 23);
        let is_finite = self.below(magnitude, 143 << 23);
        let (infinity, nan) = (self.word(int, 0x7c00), self.word(int, 0x7e00));
        let special = self.choose(is_number, infinity, nan);
        let v = self.choose(is_finite, normal, special);
        let v = self.choose(is_small, subnormal, v);
        self.b.ins().bor(v, sign)
    }
}
