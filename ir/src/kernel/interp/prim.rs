//! The meaning of the primitives on bit patterns.
//!
//! A value is 64 bits, as in [`crate::dtype::Literal`]: IEEE bits of a float (the narrow ones in the
//! low bits), an integer sign-extended (u8 zero-extended), 0 or 1 for bool. All integer arithmetic is done
//! on i64 and wrapped to the width of `T`.

use crate::dtype::{DType, wrap_int};
use crate::half;
use crate::prim::Prim;

/// The value of `prim` at type `t`; `source` is the dtype of the first operand, which matters for
/// conversions. None where an integer is divided by zero.
///
/// # Panics
/// When operands and types break the rules of `verify`.
pub fn eval(prim: Prim, t: DType, source: DType, args: &[u64]) -> Option<u64> {
    let arg = |i: usize| args[i];
    let (a, b) = (arg(0), args.get(1).copied().unwrap_or(0));
    Some(match prim {
        Prim::Add => number2(t, a, b, |x, y| x + y, |x, y| x + y, i64::wrapping_add),
        Prim::Sub => number2(t, a, b, |x, y| x - y, |x, y| x - y, i64::wrapping_sub),
        Prim::Mul => number2(t, a, b, |x, y| x * y, |x, y| x * y, i64::wrapping_mul),
        Prim::Div => float2(t, a, b, |x, y| x / y, |x, y| x / y),
        Prim::Fma => {
            let c = arg(2);
            float2(t, a, b, |x, y| libm::fmaf(x, y, f32_of(c)), |x, y| libm::fma(x, y, f64::from_bits(c)))
        }
        Prim::Neg => number1(t, a, |x| -x, |x| -x, i64::wrapping_neg),
        Prim::Abs => number1(t, a, f32::abs, f64::abs, i64::wrapping_abs),
        Prim::Min => number2(
            t,
            a,
            b,
            |x, y| if x > y || y.is_nan() { y } else { x },
            |x, y| if x > y || y.is_nan() { y } else { x },
            |x, y| if x > y { y } else { x },
        ),
        Prim::Max => number2(
            t,
            a,
            b,
            |x, y| if x < y || y.is_nan() { y } else { x },
            |x, y| if x < y || y.is_nan() { y } else { x },
            |x, y| if x < y { y } else { x },
        ),
        Prim::Sqrt => float1(t, a, f32::sqrt, f64::sqrt),
        Prim::Floor => float1(t, a, f32::floor, f64::floor),
        Prim::Ceil => float1(t, a, f32::ceil, f64::ceil),
        Prim::Trunc => float1(t, a, f32::trunc, f64::trunc),
        Prim::Rint => float1(t, a, f32::round_ties_even, f64::round_ties_even),
        Prim::CopySign => float2(t, a, b, f32::copysign, f64::copysign),
        Prim::Scale => float2(t, a, b, scale_f32, scale_f64),
        Prim::Eq => compare(t, a, b, |x, y| x == y, |x, y| x == y),
        Prim::Ne => compare(t, a, b, |x, y| x != y, |x, y| x != y),
        Prim::Lt => compare(t, a, b, |x, y| x < y, |x, y| x < y),
        Prim::Le => compare(t, a, b, |x, y| x <= y, |x, y| x <= y),
        Prim::Gt => compare(t, a, b, |x, y| x > y, |x, y| x > y),
        Prim::Ge => compare(t, a, b, |x, y| x >= y, |x, y| x >= y),
        Prim::Select => {
            if a != 0 {
                b
            } else {
                arg(2)
            }
        }
        Prim::And => a & b,
        Prim::Or => a | b,
        Prim::Xor => a ^ b,
        Prim::Not if t == DType::Bool => a ^ 1,
        Prim::Not => wrap(t, !(a as i64)),
        Prim::Shl => shift(t, b).map_or(0, |n| wrap(t, (a as i64) << n)),
        // Operands are sign-extended, so an i64 shift is right at every width.
        Prim::Shr => (a as i64 >> shift(t, b).unwrap_or(63)) as u64,
        Prim::Lshr => shift(t, b).map_or(0, |n| wrap(t, (unsigned(t, a) >> n) as i64)),
        Prim::IDiv if b == 0 => return None,
        Prim::IDiv => wrap(t, (a as i64).wrapping_div(b as i64)),
        Prim::IRem if b == 0 => return None,
        Prim::IRem => wrap(t, (a as i64).wrapping_rem(b as i64)),
        Prim::MulHi => {
            let product = u128::from(unsigned(t, a)) * u128::from(unsigned(t, b));
            wrap(t, (product >> (8 * t.size())) as i64)
        }
        Prim::Convert => convert(source, t, a),
        Prim::Bitcast if t == DType::I32 => wrap(t, a as i64),
        Prim::Bitcast if t == DType::F32 => u64::from(a as u32),
        Prim::Bitcast => a,
    })
}

/// The constant `v` of type `t`.
pub(super) fn integer(t: DType, v: i64) -> u64 {
    convert(DType::I64, t, v as u64)
}

fn f32_of(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn bits_of(v: f32) -> u64 {
    u64::from(v.to_bits())
}

fn wrap(t: DType, v: i64) -> u64 {
    wrap_int(t, v) as u64
}

/// The bits of an integer of type `t`, zero-extended.
fn unsigned(t: DType, v: u64) -> u64 {
    v & (u64::MAX >> (64 - 8 * t.size()))
}

/// A shift count that is within the width.
fn shift(t: DType, count: u64) -> Option<u32> {
    (count < 8 * t.size() as u64).then_some(count as u32)
}

fn float1(t: DType, a: u64, f: fn(f32) -> f32, d: fn(f64) -> f64) -> u64 {
    match t {
        DType::F32 => bits_of(f(f32_of(a))),
        DType::F64 => d(f64::from_bits(a)).to_bits(),
        _ => unreachable!("verified: a float dtype"),
    }
}

fn float2(t: DType, a: u64, b: u64, f: impl Fn(f32, f32) -> f32, d: impl Fn(f64, f64) -> f64) -> u64 {
    match t {
        DType::F32 => bits_of(f(f32_of(a), f32_of(b))),
        DType::F64 => d(f64::from_bits(a), f64::from_bits(b)).to_bits(),
        _ => unreachable!("verified: a float dtype"),
    }
}

fn number1(t: DType, a: u64, f: fn(f32) -> f32, d: fn(f64) -> f64, i: fn(i64) -> i64) -> u64 {
    if t.is_float() { float1(t, a, f, d) } else { wrap(t, i(a as i64)) }
}

fn number2(t: DType, a: u64, b: u64, f: fn(f32, f32) -> f32, d: fn(f64, f64) -> f64, i: fn(i64, i64) -> i64) -> u64 {
    if t.is_float() { float2(t, a, b, f, d) } else { wrap(t, i(a as i64, b as i64)) }
}

/// f32 compares as f64, which is exact.
fn compare(t: DType, a: u64, b: u64, d: fn(f64, f64) -> bool, i: fn(i64, i64) -> bool) -> u64 {
    u64::from(match t {
        DType::F32 => d(f64::from(f32_of(a)), f64::from(f32_of(b))),
        DType::F64 => d(f64::from_bits(a), f64::from_bits(b)),
        _ => i(a as i64, b as i64),
    })
}

fn scale_f32(a: f32, n: f32) -> f32 {
    let n = if n.is_nan() { -252.0 } else { n.clamp(-252.0, 252.0) };
    let m = n.round_ties_even() as i32;
    let power = |e: i32| f32::from_bits(((e + 127) as u32) << 23);
    (a * power(m >> 1)) * power(m - (m >> 1))
}

fn scale_f64(a: f64, n: f64) -> f64 {
    let n = if n.is_nan() { -2044.0 } else { n.clamp(-2044.0, 2044.0) };
    let m = n.round_ties_even() as i64;
    let power = |e: i64| f64::from_bits(((e + 1023) as u64) << 52);
    (a * power(m >> 1)) * power(m - (m >> 1))
}

fn convert(from: DType, to: DType, a: u64) -> u64 {
    match (from, to) {
        _ if from == to => a,
        // By way of f32: `verify` allows no shorter cut.
        (DType::F16, _) => convert(DType::F32, to, bits_of(half::f16_to_f32(a as u16))),
        (DType::BF16, _) => convert(DType::F32, to, bits_of(half::bf16_to_f32(a as u16))),
        (_, DType::F16) => u64::from(half::f32_to_f16(f32_of(convert(from, DType::F32, a)))),
        (_, DType::BF16) => u64::from(half::f32_to_bf16(f32_of(convert(from, DType::F32, a)))),
        (DType::F32, DType::F64) => f64::from(f32_of(a)).to_bits(),
        (DType::F64, DType::F32) => bits_of(f64::from_bits(a) as f32),
        (_, DType::F32) => bits_of(a as i64 as f32),
        (_, DType::F64) => (a as i64 as f64).to_bits(),
        (DType::F32 | DType::F64, _) => {
            // f32 widens exactly, and the cast from float to integer truncates and saturates.
            let v = if from == DType::F32 { f64::from(f32_of(a)) } else { f64::from_bits(a) };
            match to {
                DType::Bool => u64::from(v != 0.0),
                DType::I64 => v as i64 as u64,
                _ => wrap(to, i64::from(v as i32)),
            }
        }
        _ => wrap(to, a as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DType::*;

    fn f(prim: Prim, args: &[f32]) -> f32 {
        let bits: Vec<u64> = args.iter().map(|&v| bits_of(v)).collect();
        f32_of(eval(prim, F32, F32, &bits).expect("not a division of integers"))
    }

    fn i(prim: Prim, t: DType, args: &[i64]) -> i64 {
        let bits: Vec<u64> = args.iter().map(|&v| v as u64).collect();
        eval(prim, t, t, &bits).expect("no division by zero") as i64
    }

    #[test]
    fn integers_wrap_at_their_width() {
        assert_eq!(i(Prim::Add, I32, &[i64::from(i32::MAX), 1]), i64::from(i32::MIN));
        assert_eq!(i(Prim::Mul, U8, &[200, 2]), 144);
        assert_eq!(i(Prim::Neg, U8, &[1]), 255);
        assert_eq!(i(Prim::Abs, I64, &[i64::MIN]), i64::MIN);
        assert_eq!(i(Prim::Not, U8, &[1]), 254);
        assert_eq!(i(Prim::Not, Bool, &[1]), 0);
        assert_eq!(i(Prim::IDiv, I32, &[i64::from(i32::MIN), -1]), i64::from(i32::MIN));
        assert_eq!(i(Prim::IRem, I64, &[i64::MIN, -1]), 0);
        assert_eq!(i(Prim::IRem, I32, &[-7, 3]), -1);
        assert_eq!(eval(Prim::IDiv, I32, I32, &[1, 0]), None);
        assert_eq!(i(Prim::MulHi, I32, &[-1, -1]), -2);
        assert_eq!(i(Prim::MulHi, I64, &[-1, 2]), 1);
        assert_eq!(i(Prim::Add, I8, &[127, 1]), -128);
        assert_eq!(i(Prim::Abs, I8, &[-128]), -128);
        assert_eq!(i(Prim::IDiv, I16, &[-32768, -1]), -32768);
        assert_eq!(i(Prim::MulHi, I16, &[-1, -1]), -2);
        assert_eq!(i(Prim::Lshr, I8, &[-1, 4]), 15);
    }

    #[test]
    fn shifts_past_the_width_are_defined() {
        assert_eq!(i(Prim::Shl, I32, &[1, 31]), i64::from(i32::MIN));
        assert_eq!(i(Prim::Shl, I32, &[1, 32]), 0);
        assert_eq!(i(Prim::Shl, I64, &[1, -1]), 0);
        assert_eq!(i(Prim::Shr, I32, &[-8, 1]), -4);
        assert_eq!(i(Prim::Shr, I32, &[-8, 99]), -1);
        assert_eq!(i(Prim::Shr, U8, &[255, 8]), 0);
        assert_eq!(i(Prim::Lshr, I32, &[-1, 31]), 1);
        assert_eq!(i(Prim::Lshr, I32, &[-1, 0]), -1);
        assert_eq!(i(Prim::Lshr, I32, &[-1, 32]), 0);
    }

    #[test]
    fn min_and_max_keep_nan_and_their_order() {
        assert!(f(Prim::Max, &[f32::NAN, 1.0]).is_nan());
        assert!(f(Prim::Min, &[1.0, f32::NAN]).is_nan());
        assert!(f(Prim::Max, &[-0.0, 0.0]).is_sign_negative());
        assert!(f(Prim::Min, &[0.0, -0.0]).is_sign_positive());
    }

    #[test]
    fn scale_rounds_once_where_it_can() {
        assert_eq!(f(Prim::Scale, &[1.0, 127.0]), 2f32.powi(127));
        assert_eq!(f(Prim::Scale, &[1.0, -149.0]), f32::from_bits(1));
        assert_eq!(f(Prim::Scale, &[1.0, 128.0]), f32::INFINITY);
        assert_eq!(f(Prim::Scale, &[f32::from_bits(1), 252.0]), 2f32.powi(103));
        assert_eq!(f(Prim::Scale, &[1.0, f32::NAN]), 0.0);
        assert_eq!(f(Prim::Scale, &[3.0, 2.5]), 12.0);
    }

    #[test]
    fn conversions_saturate_or_wrap() {
        let from_f32 = |t, v: f32| eval(Prim::Convert, t, F32, &[bits_of(v)]).expect("no division") as i64;
        assert_eq!(from_f32(I32, 3e9), i64::from(i32::MAX));
        assert_eq!(from_f32(I64, f32::NEG_INFINITY), i64::MIN);
        assert_eq!(from_f32(I32, f32::NAN), 0);
        assert_eq!(from_f32(U8, 300.5), 44);
        assert_eq!(from_f32(U8, -1.0), 255);
        assert_eq!(from_f32(U8, 1e20), 255);
        assert_eq!(from_f32(I8, 200.9), -56);
        assert_eq!(from_f32(I16, 1e20), -1);
        assert_eq!(from_f32(Bool, f32::NAN), 1);
        assert_eq!(from_f32(Bool, -0.0), 0);
        let big = (1i64 << 24) + 1;
        assert_eq!(eval(Prim::Convert, F32, I64, &[big as u64]), Some(bits_of(16_777_216.0)));
        assert_eq!(eval(Prim::Bitcast, I32, F32, &[bits_of(-0.0)]), Some(i64::from(i32::MIN) as u64));
        assert_eq!(eval(Prim::Bitcast, F32, I32, &[u64::MAX]), Some(0xffff_ffff));
    }
}
