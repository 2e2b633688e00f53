//! Primitives on 128-bit parts. What x86-64 has no vector form of is taken apart into lanes by one
//! helper ([`Emitter::lane_by_lane`]), which uses the scalar forms.

use super::Emitter;
use super::scalar::{float_cc, int_cc, scale_consts};
use super::val::{LaneTy, Lanes, Val, scalar_type};
use cranelift_codegen::ir::condcodes::{CondCode, FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::prim::Prim;

impl Emitter<'_> {
    /// A constant in every lane, from the constant pool.
    pub fn vector_const(&mut self, l: Literal, lanes: usize) -> Lanes {
        let ty = LaneTy::of(l.dtype);
        let mut bytes = Vec::with_capacity(16);
        while bytes.len() < 16 {
            match l.dtype {
                DType::Bool => bytes.extend((0i32.wrapping_sub(l.bits as i32)).to_le_bytes()),
                DType::I64 | DType::F64 => bytes.extend(l.bits.to_le_bytes()),
                _ => bytes.extend((l.bits as u32).to_le_bytes()),
            }
        }
        let c = self.b.func.dfg.constants.insert(bytes.into());
        let part = self.b.ins().vconst(ty.clif(), c);
        Lanes { ty, parts: vec![part; lanes / ty.lanes()] }
    }

    fn float_const_part(&mut self, t: DType, v: f64) -> Value {
        self.vector_const(Literal::float(t, v), LaneTy::of(t).lanes()).parts[0]
    }

    fn int_const_part(&mut self, t: DType, v: i64) -> Value {
        self.vector_const(Literal::int(t, v), LaneTy::of(t).lanes()).parts[0]
    }

    /// c ? x : y, lane by lane; c is all ones or all zeros in every lane.
    pub fn blend(&mut self, c: Value, x: Value, y: Value) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let int: Type = if ty.lane_bits() == 64 { types::I64X2 } else { types::I32X4 };
        let (c, x, y) = (self.bitcast(int, c), self.bitcast(int, x), self.bitcast(int, y));
        let v = if self.has_blendv { self.b.ins().blendv(c, x, y) } else { self.b.ins().bitselect(c, x, y) };
        self.bitcast(ty, v)
    }

    fn zip(&mut self, a: &Lanes, b: &Lanes, f: impl Fn(&mut Self, Value, Value) -> Value) -> Lanes {
        let parts = a.parts.iter().zip(&b.parts).map(|(&x, &y)| f(self, x, y)).collect();
        Lanes { ty: a.ty, parts }
    }

    fn map(&mut self, a: &Lanes, f: impl Fn(&mut Self, Value) -> Value) -> Lanes {
        let parts = a.parts.iter().map(|&x| f(self, x)).collect();
        Lanes { ty: a.ty, parts }
    }

    /// Brings 8- and 16-bit integers back to their range (L6).
    fn wrap_lanes(&mut self, t: DType, v: Lanes) -> Lanes {
        match t {
            DType::U8 => {
                let mask = self.int_const_part(DType::I32, 0xff);
                self.map(&v, |e, x| e.b.ins().band(x, mask))
            }
            DType::I8 | DType::I16 => {
                let unused = 32 - 8 * t.size() as i64;
                self.map(&v, |e, x| {
                    let x = e.b.ins().ishl_imm_s(x, unused);
                    e.b.ins().sshr_imm_s(x, unused)
                })
            }
            _ => v,
        }
    }

    /// Operand masks in one width, the first one's.
    fn same_masks(&mut self, a: &[Lanes]) -> Vec<Lanes> {
        let ty = a[0].ty;
        a.iter().map(|m| Lanes { ty, parts: self.mask_as(m, ty) }).collect()
    }

    /// One primitive. `from` is the dtype of the first operand where it is not `t`.
    pub fn vector_prim(&mut self, p: Prim, t: DType, from: DType, a: &[Val], lanes: usize) -> Lanes {
        // A shift by the same count in every lane is one instruction.
        let shift = matches!(p, Prim::Shl | Prim::Shr | Prim::Lshr);
        if shift
            && t.size() >= 4
            && !(p == Prim::Shr && t == DType::I64)
            && let [Val::Lanes(x), Val::Scalar(n)] = a
        {
            return self.vector_shift(p, t, x, *n);
        }
        let v: Vec<Lanes> = a
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let dtype = match (p, i) {
                    (Prim::Select, 0) => DType::Bool,
                    (Prim::Convert | Prim::Bitcast, _) => from,
                    _ => t,
                };
                self.as_lanes(x, dtype, lanes)
            })
            .collect();
        let float = t.is_float();
        match p {
            Prim::Add if float => self.zip(&v[0], &v[1], |e, x, y| e.b.ins().fadd(x, y)),
            Prim::Sub if float => self.zip(&v[0], &v[1], |e, x, y| e.b.ins().fsub(x, y)),
            Prim::Mul if float => self.zip(&v[0], &v[1], |e, x, y| e.b.ins().fmul(x, y)),
            Prim::Neg if float => self.map(&v[0], |e, x| e.b.ins().fneg(x)),
            Prim::Abs if float => self.map(&v[0], |e, x| e.b.ins().fabs(x)),
            Prim::Add => {
                let r = self.zip(&v[0], &v[1], |e, x, y| e.b.ins().iadd(x, y));
                self.wrap_lanes(t, r)
            }
            Prim::Sub => {
                let r = self.zip(&v[0], &v[1], |e, x, y| e.b.ins().isub(x, y));
                self.wrap_lanes(t, r)
            }
            Prim::Mul => {
                let r = self.zip(&v[0], &v[1], |e, x, y| e.b.ins().imul(x, y));
                self.wrap_lanes(t, r)
            }
            Prim::Neg => {
                let r = self.map(&v[0], |e, x| e.b.ins().ineg(x));
                self.wrap_lanes(t, r)
            }
            Prim::Abs if t == DType::I64 => self.lane_by_lane(p, t, from, &v, lanes),
            Prim::Abs => {
                let r = self.map(&v[0], |e, x| e.b.ins().iabs(x));
                self.wrap_lanes(t, r)
            }
            Prim::Div => self.zip(&v[0], &v[1], |e, x, y| e.b.ins().fdiv(x, y)),
            // Without the instruction this is a library call per lane.
            Prim::Fma if !self.has_fma => self.lane_by_lane(p, t, from, &v, lanes),
            Prim::Fma => {
                let parts = (0..v[0].parts.len())
                    .map(|i| self.b.ins().fma(v[0].parts[i], v[1].parts[i], v[2].parts[i]))
                    .collect();
                Lanes { ty: v[0].ty, parts }
            }
            Prim::Min | Prim::Max if float => self.zip(&v[0], &v[1], |e, x, y| e.vector_minmax(p, x, y)),
            Prim::Min | Prim::Max if t == DType::I64 => {
                let cc = if p == Prim::Min { IntCC::SignedGreaterThan } else { IntCC::SignedLessThan };
                self.zip(&v[0], &v[1], |e, x, y| {
                    let take = e.b.ins().icmp(cc, x, y);
                    e.blend(take, y, x)
                })
            }
            Prim::Min => self.zip(&v[0], &v[1], |e, x, y| e.b.ins().smin(x, y)),
            Prim::Max => self.zip(&v[0], &v[1], |e, x, y| e.b.ins().smax(x, y)),
            Prim::Sqrt => self.map(&v[0], |e, x| e.b.ins().sqrt(x)),
            Prim::Floor => self.map(&v[0], |e, x| e.b.ins().floor(x)),
            Prim::Ceil => self.map(&v[0], |e, x| e.b.ins().ceil(x)),
            Prim::Trunc => self.map(&v[0], |e, x| e.b.ins().trunc(x)),
            Prim::Rint => self.map(&v[0], |e, x| e.b.ins().nearest(x)),
            Prim::CopySign => {
                let sign = self.float_const_part(t, -0.0);
                self.zip(&v[0], &v[1], |e, x, y| {
                    let m = e.b.ins().band_not(x, sign);
                    let s = e.b.ins().band(y, sign);
                    e.b.ins().bor(m, s)
                })
            }
            Prim::Scale => self.zip(&v[0], &v[1], |e, x, n| e.vector_scale(t, x, n)),
            Prim::Eq | Prim::Ne | Prim::Lt | Prim::Le | Prim::Gt | Prim::Ge => self.vector_compare(p, t, &v),
            Prim::Select => self.vector_select(t, &v),
            Prim::And | Prim::Or | Prim::Xor => {
                let v = if t == DType::Bool { self.same_masks(&v) } else { v };
                self.zip(&v[0], &v[1], |e, x, y| match p {
                    Prim::And => e.b.ins().band(x, y),
                    Prim::Or => e.b.ins().bor(x, y),
                    _ => e.b.ins().bxor(x, y),
                })
            }
            Prim::Not => {
                let r = self.map(&v[0], |e, x| e.b.ins().bnot(x));
                self.wrap_lanes(t, r)
            }
            Prim::Shl | Prim::Shr | Prim::Lshr | Prim::IDiv | Prim::IRem | Prim::MulHi => {
                self.lane_by_lane(p, t, from, &v, lanes)
            }
            Prim::Convert => self.vector_convert(from, t, &v[0], lanes),
            Prim::Bitcast => {
                let ty = LaneTy::of(t);
                let r = self.map(&v[0], |e, x| e.bitcast(ty.clif(), x));
                Lanes { ty, parts: r.parts }
            }
        }
    }

    /// Min or max whose second operand is no NaN.
    pub fn minmax_number(&mut self, p: Prim, v: &[Val]) -> Lanes {
        match v {
            [Val::Lanes(a), Val::Lanes(b)] => self.zip(a, b, |e, x, y| e.ordered_minmax(p, x, y)),
            _ => unreachable!("the caller made lanes of both"),
        }
    }

    /// b < a ? b : a or a < b ? b : a, by the pattern that selects minps and maxps.
    fn ordered_minmax(&mut self, p: Prim, a: Value, b: Value) -> Value {
        let ty = self.b.func.dfg.value_type(a);
        let c = if p == Prim::Min {
            self.b.ins().fcmp(FloatCC::LessThan, b, a)
        } else {
            self.b.ins().fcmp(FloatCC::LessThan, a, b)
        };
        let c = self.bitcast(ty, c);
        self.b.ins().bitselect(c, b, a)
    }

    fn vector_minmax(&mut self, p: Prim, a: Value, b: Value) -> Value {
        let m = self.ordered_minmax(p, a, b);
        let nan = self.b.ins().fcmp(FloatCC::Unordered, b, b);
        self.blend(nan, b, m)
    }

    fn vector_scale(&mut self, t: DType, x: Value, n: Value) -> Value {
        let c = scale_consts(t);
        let ty = LaneTy::of(t).clif();
        let int = if t == DType::F32 { DType::I32 } else { DType::I64 };
        let lo = self.float_const_part(t, -c.limit);
        let hi = self.float_const_part(t, c.limit);
        // n > lo ? n : lo, so that a NaN becomes lo; then n < hi ? n : hi.
        let above = self.b.ins().fcmp(FloatCC::LessThan, lo, n);
        let above = self.bitcast(ty, above);
        let n = self.b.ins().bitselect(above, n, lo);
        let below = self.b.ins().fcmp(FloatCC::LessThan, n, hi);
        let below = self.bitcast(ty, below);
        let n = self.b.ins().bitselect(below, n, hi);
        let magic = self.float_const_part(t, c.magic);
        let k = self.b.ins().fadd(n, magic);
        let k = self.bitcast(LaneTy::of(int).clif(), k);
        let base = self.bitcast(LaneTy::of(int).clif(), magic);
        let k = self.b.ins().isub(k, base);
        let k1 = if t == DType::F32 {
            self.b.ins().sshr_imm_s(k, 1)
        } else {
            // SSE has no arithmetic shift of 64-bit lanes: (k + 2^32 >> 1) - 2^31, logically.
            let bias = self.int_const_part(DType::I64, 1 << 32);
            let half = self.int_const_part(DType::I64, 1 << 31);
            let up = self.b.ins().iadd(k, bias);
            let up = self.b.ins().ushr_imm_s(up, 1);
            self.b.ins().isub(up, half)
        };
        let k2 = self.b.ins().isub(k, k1);
        let bias = self.int_const_part(int, c.bias);
        let mut x = x;
        for k in [k1, k2] {
            let e = self.b.ins().iadd(k, bias);
            let e = self.b.ins().ishl_imm_s(e, c.mantissa);
            let f = self.bitcast(ty, e);
            x = self.b.ins().fmul(x, f);
        }
        x
    }

    fn vector_shift(&mut self, p: Prim, t: DType, x: &Lanes, n: Value) -> Lanes {
        let width = 8 * t.size() as i64;
        let ok = self.b.ins().icmp_imm_s(IntCC::UnsignedLessThan, n, width);
        let fill = self.b.ins().iconst(types::I8, 0);
        // Cranelift takes counts modulo the width; a count outside keeps the sign, or nothing.
        let last = self.b.ins().iconst(scalar_type(t), width - 1);
        let count = self.b.ins().select(ok, n, last);
        self.map(x, |e, x| match p {
            Prim::Shr => e.b.ins().sshr(x, count),
            _ => {
                let s = if p == Prim::Shl { e.b.ins().ishl(x, n) } else { e.b.ins().ushr(x, n) };
                let keep = e.b.ins().select(ok, ok, fill);
                let wide = e.b.ins().uextend(scalar_type(t), keep);
                let mask = e.b.ins().ineg(wide);
                let mask = e.b.ins().splat(LaneTy::of(t).clif(), mask);
                e.b.ins().band(s, mask)
            }
        })
    }

    fn vector_compare(&mut self, p: Prim, t: DType, v: &[Lanes]) -> Lanes {
        let mask = if matches!(t, DType::F64 | DType::I64) { LaneTy::Mask64 } else { LaneTy::Mask32 };
        if t == DType::Bool {
            let v = self.same_masks(v);
            // Masks are 0 and -1: as signed numbers true is below false.
            let cc = int_cc(p, false).swap_args();
            return self.zip(&v[0], &v[1], |e, x, y| e.b.ins().icmp(cc, x, y));
        }
        let r = self.zip(&v[0], &v[1], |e, x, y| {
            if t.is_float() { e.b.ins().fcmp(float_cc(p), x, y) } else { e.b.ins().icmp(int_cc(p, false), x, y) }
        });
        Lanes { ty: mask, parts: r.parts }
    }

    fn vector_select(&mut self, t: DType, v: &[Lanes]) -> Lanes {
        if t == DType::Bool {
            let v = self.same_masks(v);
            let parts =
                (0..v[0].parts.len()).map(|i| self.blend(v[0].parts[i], v[1].parts[i], v[2].parts[i])).collect();
            return Lanes { ty: v[0].ty, parts };
        }
        let ty = LaneTy::of(t);
        let mask = if ty.lanes() == 2 { LaneTy::Mask64 } else { LaneTy::Mask32 };
        let m = self.mask_as(&v[0], mask);
        let parts = (0..m.len()).map(|i| self.blend(m[i], v[1].parts[i], v[2].parts[i])).collect();
        Lanes { ty, parts }
    }

    fn vector_convert(&mut self, from: DType, to: DType, x: &Lanes, lanes: usize) -> Lanes {
        use DType::*;
        let ty = LaneTy::of(to);
        match (from, to) {
            (a, b) if a == b => x.clone(),
            (F32, F64) => {
                let mut parts = Vec::with_capacity(2 * x.parts.len());
                for &p in &x.parts {
                    let high = self.shuffle32(p, p, [2, 3, 2, 3], types::F32X4);
                    parts.push(self.b.ins().fvpromote_low(p));
                    parts.push(self.b.ins().fvpromote_low(high));
                }
                Lanes { ty, parts }
            }
            (F64, F32) => {
                let half: Vec<Value> = x.parts.iter().map(|&p| self.b.ins().fvdemote(p)).collect();
                let parts = half.chunks(2).map(|c| self.shuffle32(c[0], c[1], [0, 1, 4, 5], types::F32X4)).collect();
                Lanes { ty, parts }
            }
            (F16 | BF16, F32) => {
                let parts = x.parts.iter().map(|&p| self.half_to_f32(from, p)).collect();
                Lanes { ty, parts }
            }
            (F32, F16 | BF16) => {
                let parts = x.parts.iter().map(|&p| self.f32_to_half(to, p)).collect();
                Lanes { ty, parts }
            }
            (U8 | I8 | I16 | I32, F32) => {
                let parts = x.parts.iter().map(|&p| self.b.ins().fcvt_from_sint(types::F32X4, p)).collect();
                Lanes { ty, parts }
            }
            (U8 | I8 | I16 | I32, F64) => {
                let mut parts = Vec::with_capacity(2 * x.parts.len());
                for &p in &x.parts {
                    let high = self.shuffle32(p, p, [2, 3, 2, 3], types::I32X4);
                    for h in [p, high] {
                        let w = self.b.ins().swiden_low(h);
                        parts.push(self.b.ins().fcvt_from_sint(types::F64X2, w));
                    }
                }
                Lanes { ty, parts }
            }
            (F32, U8 | I8 | I16 | I32) => {
                let parts: Vec<Value> =
                    x.parts.iter().map(|&p| self.b.ins().fcvt_to_sint_sat(types::I32X4, p)).collect();
                self.wrap_lanes(to, Lanes { ty, parts })
            }
            (Bool, _) => {
                let one = self.vector_const(Literal::from_f64(to, 1.0), ty.lanes()).parts[0];
                let m = self.mask_as(x, if ty.lanes() == 2 { LaneTy::Mask64 } else { LaneTy::Mask32 });
                let one = if to.is_float() {
                    self.bitcast(if ty.lanes() == 2 { types::I64X2 } else { types::I32X4 }, one)
                } else {
                    one
                };
                let parts = m
                    .into_iter()
                    .map(|m| {
                        let v = self.b.ins().band(m, one);
                        self.bitcast(ty.clif(), v)
                    })
                    .collect();
                Lanes { ty, parts }
            }
            (_, Bool) => {
                let zero = self.vector_const(Literal::from_f64(from, 0.0), lanes);
                self.vector_compare(Prim::Ne, from, &[x.clone(), zero])
            }
            (U8 | I8 | I16 | I32, U8 | I8 | I16 | I32) => self.wrap_lanes(to, x.clone()),
            (U8 | I8 | I16 | I32, I64) => Lanes { ty, parts: self.widen(&x.parts) },
            (I64, U8 | I8 | I16 | I32) => {
                let parts = self.narrow(&x.parts, types::I32X4);
                self.wrap_lanes(to, Lanes { ty, parts })
            }
            // No vector forms on x86-64 below AVX-512.
            (I64, F32 | F64) | (F32 | F64, I64) | (F64, U8 | I8 | I16 | I32) => {
                self.lane_by_lane(Prim::Convert, to, from, std::slice::from_ref(x), lanes)
            }
            (a, b) => unreachable!("the verifier refuses {a} to {b}"),
        }
    }

    /// Takes the lanes apart, applies the scalar form, and puts them together.
    fn lane_by_lane(&mut self, p: Prim, t: DType, from: DType, v: &[Lanes], lanes: usize) -> Lanes {
        let operand = if p == Prim::Convert { from } else { t };
        let result = if p.is_compare() { DType::Bool } else { t };
        let scalars: Vec<Value> = (0..lanes)
            .map(|l| {
                let args: Vec<Value> = v.iter().map(|x| self.extract(x, operand, l)).collect();
                self.current_lane = l;
                let r = self.scalar_prim(p, t, from, &args);
                self.current_lane = 0;
                r
            })
            .collect();
        self.assemble(result, &scalars)
    }

    /// The vector form of a value.
    pub fn as_lanes(&mut self, v: &Val, dtype: DType, lanes: usize) -> Lanes {
        match v {
            Val::Scalar(s) => self.splat(dtype, *s, lanes),
            Val::Lanes(l) => l.clone(),
        }
    }

    /// True when every operand is the same for all lanes.
    pub fn all_scalar(v: &[Val]) -> bool {
        v.iter().all(|v| matches!(v, Val::Scalar(_)))
    }
}
