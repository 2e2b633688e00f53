//! Elements of every dtype as bytes, and the numbers they are computed with.

use rusttorch_ir::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use std::ops::Add;

/// A dtype's elements in memory, and the number that is carried for them.
pub trait Lane {
    type Number: Copy + PartialOrd + Send + Sync;
    const SIZE: usize;
    fn load(bytes: &[u8]) -> Self::Number;
    fn store(number: Self::Number, bytes: &mut [u8]);
    fn add(a: Self::Number, b: Self::Number) -> Self::Number;
}

macro_rules! lanes {
    ($($lane:ident: $number:ty, $t:ty, $add:expr, |$v:ident| $wide:expr, |$w:ident| $narrow:expr;)*) => {$(
        pub struct $lane;
        impl Lane for $lane {
            type Number = $number;
            const SIZE: usize = size_of::<$t>();
            fn load(bytes: &[u8]) -> $number {
                let $v = <$t>::from_ne_bytes(bytes.try_into().expect("elements are cut to their size"));
                $wide
            }
            fn store($w: $number, bytes: &mut [u8]) {
                bytes.copy_from_slice(&<$t>::to_ne_bytes($narrow));
            }
            fn add(a: $number, b: $number) -> $number {
                $add(a, b)
            }
        }
    )*};
}

lanes! {
    F64: f64, f64, f64::add, |v| v, |w| w;
    F32: f64, f32, f64::add, |v| f64::from(v), |w| w as f32;
    F16: f32, u16, f32::add, |v| f16_to_f32(v), |w| f32_to_f16(w);
    BF16: f32, u16, f32::add, |v| bf16_to_f32(v), |w| f32_to_bf16(w);
    I64: i64, i64, i64::wrapping_add, |v| v, |w| w;
    I32: i64, i32, i64::wrapping_add, |v| i64::from(v), |w| w as i32;
    I16: i64, i16, i64::wrapping_add, |v| i64::from(v), |w| w as i16;
    I8: i64, i8, i64::wrapping_add, |v| i64::from(v), |w| w as i8;
    U8: i64, u8, i64::wrapping_add, |v| i64::from(v), |w| w as u8;
    Bool: i64, u8, i64::wrapping_add, |v| i64::from(v != 0), |w| u8::from(w != 0);
}
