//! Conversions between formats.

use crate::float::{Float, round};
use crate::{Machine, Step, is_memory, lanes, signed, unknown};
use iced_x86::{Instruction, Mnemonic, RoundingControl};

/// An integer format.
#[derive(Clone, Copy)]
struct Format {
    size: usize,
    signed: bool,
}

const I32: Format = Format { size: 4, signed: true };
const U32: Format = Format { size: 4, signed: false };
const I64: Format = Format { size: 8, signed: true };
const U64: Format = Format { size: 8, signed: false };

/// To an integer; what does not fit gives the indefinite value.
fn to_int<F: Float>(bits: u64, to: Format, mode: u8) -> u64 {
    let v = round(F::of(bits).wide(), mode);
    let width = 8 * to.size as i32;
    // Both bounds are powers of two, so exact.
    let (low, high) = if to.signed {
        (-f64::from(width - 1).exp2(), f64::from(width - 1).exp2())
    } else {
        (0.0, f64::from(width).exp2())
    };
    if v >= low && v < high {
        return if to.signed { v as i64 as u64 } else { v as u64 };
    }
    if to.signed { 1 << (width - 1) } else { !0 }
}

/// From an integer, to nearest.
fn to_f32(bits: u64, from: Format) -> u64 {
    let v = if from.signed { signed(bits, from.size) as f32 } else { bits as f32 };
    u64::from(v.to_bits())
}

fn to_f64(bits: u64, from: Format) -> u64 {
    let v = if from.signed { signed(bits, from.size) as f64 } else { bits as f64 };
    v.to_bits()
}

fn widen(bits: u64) -> u64 {
    let a = f32::of(bits);
    // The payload of a NaN keeps its place below the point.
    let nan = (bits & 0x8000_0000) << 32 | 0x7ff8_0000_0000_0000 | (bits & 0x003f_ffff) << 29;
    if a.is_nan() { nan } else { f64::from(a).to_bits() }
}

fn narrow(bits: u64) -> u64 {
    let a = f64::of(bits);
    let nan = bits >> 32 & 0x8000_0000 | 0x7fc0_0000 | bits >> 29 & 0x003f_ffff;
    if a.is_nan() { nan } else { (a as f32).bits() }
}

fn half_to_f32(h: u64) -> u64 {
    let sign = (h & 0x8000) << 16;
    let (exponent, fraction) = (h >> 10 & 31, h & 0x3ff);
    let magnitude = match exponent {
        0 => (fraction as f32 * f32::exp2(-24.0)).bits(),
        31 if fraction == 0 => 0x7f80_0000,
        31 => 0x7fc0_0000 | fraction << 13,
        e => (e + 112) << 23 | fraction << 13,
    };
    sign | magnitude
}

fn f32_to_half(bits: u64, imm: u8) -> u64 {
    let v = f32::of(bits);
    let sign = bits >> 16 & 0x8000;
    if v.is_nan() {
        return sign | 0x7e00 | bits >> 13 & 0x3ff;
    }
    let mode = if imm & 4 != 0 { 0 } else { imm & 3 };
    let a = v.wide();
    // The place of the last digit: 2^-24 below the normal numbers.
    let exponent = if a == 0.0 { 0 } else { ((a.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(-14) };
    let scale = f64::from(exponent - 10).exp2();
    let r = (round(a / scale, mode) * scale).abs();
    let magnitude = if r < f64::from(-14).exp2() {
        (r * f64::from(24).exp2()) as u64
    } else if r >= 65536.0 {
        // Rounding towards zero, or away from this sign, stops at the largest number.
        let to_largest = v.wide().is_finite() && matches!((mode, sign != 0), (3, _) | (1, false) | (2, true));
        if to_largest { 0x7bff } else { 0x7c00 }
    } else {
        let b = r.to_bits();
        ((b >> 52) + 15 - 1023) << 10 | b >> 42 & 0x3ff
    };
    sign | magnitude
}

/// The rounding that the instruction itself states; the control word's is nearest.
fn mode(i: &Instruction) -> u8 {
    match i.rounding_control() {
        RoundingControl::RoundDown => 1,
        RoundingControl::RoundUp => 2,
        RoundingControl::RoundTowardZero => 3,
        _ => 0,
    }
}

impl Machine {
    /// Executes a conversion; false when it is none.
    pub(crate) fn convert(&mut self, i: &Instruction, legacy: bool) -> Step<bool> {
        use Mnemonic::*;
        let m = mode(i);
        // From integers and between floating-point formats only nearest is known; to integers, all.
        let to_nearest = || if m == 0 { Ok(()) } else { unknown(i) };
        macro_rules! ints {
            ($from:ty, $to:expr, $mode:expr) => {
                self.change(i, legacy, <$from>::SIZE, $to.size, |a| to_int::<$from>(a, $to, $mode))?
            };
        }
        macro_rules! floats {
            ($from:expr, $size:literal, $f:ident) => {{
                to_nearest()?;
                self.change(i, legacy, $from.size, $size, |a| $f(a, $from))?
            }};
        }
        match i.mnemonic() {
            Cvtps2dq | Vcvtps2dq => ints!(f32, I32, m),
            Cvttps2dq | Vcvttps2dq => ints!(f32, I32, 3),
            Cvtpd2dq | Vcvtpd2dq => ints!(f64, I32, m),
            Cvttpd2dq | Vcvttpd2dq => ints!(f64, I32, 3),
            Vcvtps2udq => ints!(f32, U32, m),
            Vcvttps2udq => ints!(f32, U32, 3),
            Vcvtpd2udq => ints!(f64, U32, m),
            Vcvttpd2udq => ints!(f64, U32, 3),
            Vcvtps2qq => ints!(f32, I64, m),
            Vcvttps2qq => ints!(f32, I64, 3),
            Vcvtpd2qq => ints!(f64, I64, m),
            Vcvttpd2qq => ints!(f64, I64, 3),
            Vcvtps2uqq => ints!(f32, U64, m),
            Vcvttps2uqq => ints!(f32, U64, 3),
            Vcvtpd2uqq => ints!(f64, U64, m),
            Vcvttpd2uqq => ints!(f64, U64, 3),
            Cvtdq2ps | Vcvtdq2ps => floats!(I32, 4, to_f32),
            Cvtdq2pd | Vcvtdq2pd => floats!(I32, 8, to_f64),
            Vcvtudq2ps => floats!(U32, 4, to_f32),
            Vcvtudq2pd => floats!(U32, 8, to_f64),
            Vcvtqq2ps => floats!(I64, 4, to_f32),
            Vcvtqq2pd => floats!(I64, 8, to_f64),
            Vcvtuqq2ps => floats!(U64, 4, to_f32),
            Vcvtuqq2pd => floats!(U64, 8, to_f64),
            Cvtps2pd | Vcvtps2pd => self.change(i, legacy, 4, 8, widen)?,
            Cvtpd2ps | Vcvtpd2ps => {
                to_nearest()?;
                self.change(i, legacy, 8, 4, narrow)?;
            }
            Vcvtph2ps => self.change(i, legacy, 2, 4, half_to_f32)?,
            Vcvtps2ph => {
                let imm = i.immediate8();
                // The source is operand 1, before the immediate.
                self.change(i, legacy, 4, 2, |a| f32_to_half(a, imm))?;
            }
            Cvtss2sd | Vcvtss2sd => self.convert_one(i, legacy, 4, 8, widen)?,
            Cvtsd2ss | Vcvtsd2ss => {
                to_nearest()?;
                self.convert_one(i, legacy, 8, 4, narrow)?;
            }
            Cvtsi2ss | Vcvtsi2ss | Cvtsi2sd | Vcvtsi2sd | Vcvtusi2ss | Vcvtusi2sd => {
                to_nearest()?;
                let last = i.op_count() - 1;
                let size = if is_memory(i, last) { i.memory_size().size() } else { i.op_register(last).size() };
                let from = Format { size, signed: !matches!(i.mnemonic(), Vcvtusi2ss | Vcvtusi2sd) };
                let a = self.scalar(i, last)?;
                // The count of vector operands tells whose upper lanes stay.
                match i.mnemonic() {
                    Cvtsi2ss | Vcvtsi2ss | Vcvtusi2ss => self.set_one(i, legacy, 4, 2, to_f32(a, from)),
                    _ => self.set_one(i, legacy, 8, 2, to_f64(a, from)),
                }
            }
            Cvtss2si | Vcvtss2si => self.set_converted::<f32>(i, legacy, true, m)?,
            Cvttss2si | Vcvttss2si => self.set_converted::<f32>(i, legacy, true, 3)?,
            Cvtsd2si | Vcvtsd2si => self.set_converted::<f64>(i, legacy, true, m)?,
            Cvttsd2si | Vcvttsd2si => self.set_converted::<f64>(i, legacy, true, 3)?,
            Vcvtss2usi => self.set_converted::<f32>(i, legacy, false, m)?,
            Vcvttss2usi => self.set_converted::<f32>(i, legacy, false, 3)?,
            Vcvtsd2usi => self.set_converted::<f64>(i, legacy, false, m)?,
            Vcvttsd2usi => self.set_converted::<f64>(i, legacy, false, 3)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn convert_one(&mut self, i: &Instruction, legacy: bool, from: usize, to: usize, f: fn(u64) -> u64) -> Step {
        let on = self.enabled(i) & 1;
        let last = i.op_count() - 1;
        let a = lanes::get(&self.lanes(i, legacy, last, from, 1, on)?, from, 0);
        self.set_one(i, legacy, to, 2, f(a));
        Ok(())
    }

    fn set_converted<F: Float>(&mut self, i: &Instruction, legacy: bool, signed: bool, mode: u8) -> Step {
        let a = lanes::get(&self.lanes(i, legacy, 1, F::SIZE, 1, 1)?, F::SIZE, 0);
        let to = Format { size: i.op0_register().size(), signed };
        self.set_register(i.op0_register(), to_int::<F>(a, to, mode));
        Ok(())
    }
}
