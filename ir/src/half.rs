//! The 16-bit floats: conversions to and from f32, in integer arithmetic.
//!
//! These four functions are what f16 and bf16 mean. To f32 is exact. From f32 rounds to nearest, ties to
//! even; subnormals are kept, what is too large becomes an infinity, and a NaN stays a quiet NaN of its
//! sign. All other conversions go by way of f32, as PyTorch's do: f64 rounds to f32 and then again.

/// The value of an IEEE binary16.
pub fn f16_to_f32(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(h >> 10) & 31, u32::from(h) & 0x3ff);
    let magnitude = match (exponent, fraction) {
        (31, 0) => 0x7f80_0000,
        (31, _) => 0x7fc0_0000 | fraction << 13,
        (0, 0) => 0,
        (0, _) => {
            // fraction * 2^-24, normalised: its highest bit becomes the hidden one.
            let top = 31 - fraction.leading_zeros();
            (top + 127 - 24) << 23 | (fraction << (23 - top) & 0x007f_ffff)
        }
        _ => (exponent + 127 - 15) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The nearest IEEE binary16.
pub fn f32_to_f16(v: f32) -> u16 {
    let bits = v.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let exponent = (magnitude >> 23) as i32 - 127;
    if v.is_nan() {
        return sign | 0x7e00;
    }
    if exponent >= 16 {
        return sign | 0x7c00;
    }
    // Below 2^-14 every power of two costs one more bit; below 2^-25 nothing is left.
    let dropped = 13 + (-14 - exponent).max(0) as u32;
    if dropped > 24 {
        return sign;
    }
    let significand = magnitude & 0x007f_ffff | 0x0080_0000;
    let (kept, rest) = (significand >> dropped, significand & ((1 << dropped) - 1));
    let tie = 1 << (dropped - 1);
    let rounded = kept + u32::from(rest > tie || (rest == tie && kept & 1 == 1));
    // A carry runs into the exponent, from the largest number to infinity.
    // The hidden bit counts as one step of the exponent; subnormals have neither.
    let exponent = (exponent + 14).max(0) as u32;
    sign | ((exponent << 10) + rounded) as u16
}

/// The value of a bf16: it is the upper half of its f32.
pub fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits(u32::from(h) << 16)
}

/// The nearest bf16.
pub fn f32_to_bf16(v: f32) -> u16 {
    let bits = v.to_bits();
    if v.is_nan() {
        return (bits >> 16) as u16 | 0x0040;
    }
    // Half a unit less one, and one more where the result would be odd: ties go to even. A carry runs into
    // the exponent, from the largest number to infinity.
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounding is right everywhere when it is right at every value, at every midpoint of neighbours, and
    /// beside those.
    fn check(to_f32: fn(u16) -> f32, from_f32: fn(f32) -> u16, infinity: u16) {
        for sign in [0, 0x8000] {
            for h in 0..=infinity {
                let v = to_f32(h | sign);
                assert_eq!(from_f32(v), h | sign, "{v}");
                if h == infinity {
                    continue;
                }
                // Beyond the largest number the next would be as far again.
                let next = if h + 1 == infinity {
                    2.0 * f64::from(v) - f64::from(to_f32((h - 1) | sign))
                } else {
                    f64::from(to_f32((h + 1) | sign))
                };
                let middle = (f64::from(v) + next) / 2.0;
                assert_eq!(f64::from(middle as f32), middle, "midpoints are f32s");
                let even = h + (h & 1);
                let m = (middle as f32).to_bits();
                assert_eq!(from_f32(f32::from_bits(m)), even | sign, "{middle}");
                assert_eq!(from_f32(f32::from_bits(m - 1)), h | sign, "below {middle}");
                assert_eq!(from_f32(f32::from_bits(m + 1)), (h + 1) | sign, "above {middle}");
            }
            for h in infinity + 1..0x8000 {
                let v = to_f32(h | sign);
                assert!(v.is_nan() && to_f32(from_f32(v)).is_nan());
            }
        }
        assert_eq!(from_f32(f32::MAX), infinity);
        assert_eq!(from_f32(f32::NEG_INFINITY), infinity | 0x8000);
        for payload in [1, 0xffff, 0x0001_0000, 0x003f_ffff, 0x007f_ffff] {
            assert!(to_f32(from_f32(f32::from_bits(0x7f80_0000 | payload))).is_nan());
        }
    }

    #[test]
    fn f16_rounds_to_nearest_even() {
        check(f16_to_f32, f32_to_f16, 0x7c00);
        // Values by their definition, independent of the way back.
        for h in 0..0x7c00u16 {
            let (e, f) = (i32::from(h >> 10), f64::from(h & 0x3ff));
            let v = if e == 0 { f * 2f64.powi(-24) } else { (1024.0 + f) * 2f64.powi(e - 25) };
            assert_eq!(f64::from(f16_to_f32(h)), v);
        }
        assert_eq!(f32_to_f16(f32::from_bits(1)), 0);
    }

    #[test]
    fn bf16_rounds_to_nearest_even() {
        check(bf16_to_f32, f32_to_bf16, 0x7f80);
        // Subnormals round like all others.
        assert_eq!(f32_to_bf16(f32::from_bits(0x0001_8000)), 2);
        assert_eq!(f32_to_bf16(f32::from_bits(0x0000_8000)), 0);
    }
}
