//! Random numbers, literals and arrays.

use crate::dtype::{DType, Literal};
use crate::kernel::interp::Array;

/// A small generator of random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, n)`, n > 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A constant of a computed dtype, special values often.
    pub fn literal(&mut self, dtype: DType) -> Literal {
        if !dtype.is_float() {
            let v = match self.below(4) {
                0 if matches!(dtype, DType::I8 | DType::I16) => {
                    let (low, high) = dtype.int_range();
                    self.pick(&[0, 1, -1, low, high])
                }
                0 => self.pick(&[0, 1, -1, 2, 255, i64::from(i32::MIN), i64::from(i32::MAX), i64::MIN, i64::MAX]),
                1 | 2 => self.below(40) as i64 - 10,
                _ => self.bits() as i64,
            };
            return Literal::int(dtype, if dtype == DType::Bool { v & 1 } else { v });
        }
        let value = |bits| Literal { dtype, bits }.as_f64();
        let (tiny, least, huge) = match dtype {
            DType::F16 => (value(0x0400), value(1), value(0x7bff)),
            DType::BF16 => (value(0x0080), value(1), value(0x7f7f)),
            DType::F32 => (f64::from(f32::MIN_POSITIVE), value(1), f64::from(f32::MAX)),
            _ => (f64::MIN_POSITIVE, value(1), f64::MAX),
        };
        let magnitude = match self.below(8) {
            0 => self.pick(&[0.0, 0.0, tiny, least, tiny * 0.75, huge, f64::INFINITY, f64::NAN]),
            1 => self.pick(&[1.0, 0.5, 2.0, 3.0, 1e-3, 88.7, 127.0, 0.1]),
            2 => self.below(300) as f64,
            3 => {
                let bits = self.bits();
                let raw = Literal { dtype, bits: bits >> (64 - 8 * dtype.size()) };
                return Literal {
                    bits: if raw.as_f64().is_nan() { Literal::float(dtype, 1.5).bits } else { raw.bits },
                    dtype,
                };
            }
            _ => (self.bits() >> 11) as f64 * 2f64.powi(-50),
        };
        Literal::float(dtype, if self.one_in(2) { -magnitude } else { magnitude })
    }

    /// `len` elements, special values among them.
    pub fn array(&mut self, dtype: DType, len: usize) -> Array {
        let bits: Vec<u64> = (0..len).map(|_| self.literal(dtype).bits).collect();
        Array::from_bits(dtype, &bits)
    }
}
