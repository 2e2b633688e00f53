//! Elements of every dtype as bytes, and the numbers they are computed with.

use crate::error::Result;
use rusttorch_ir::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use rusttorch_runtime::Tensor;
use std::ops::{Add, Mul};

/// A dtype's elements in memory, and the number that is carried for them.
pub trait Lane {
    type Number: Copy + PartialOrd + Default + Send + Sync;
    const SIZE: usize;
    /// Bits of [`Lane::key`] that differ.
    const KEY_BITS: u32;
    fn load(bytes: &[u8]) -> Self::Number;
    fn store(number: Self::Number, bytes: &mut [u8]);
    fn add(a: Self::Number, b: Self::Number) -> Self::Number;
    fn mul(a: Self::Number, b: Self::Number) -> Self::Number;
    /// Keys are ordered as the elements are: -0 and 0 are equal, NaNs are equal and above all else, as PyTorch sorts.
    fn key(number: Self::Number) -> u64;

    /// Only a NaN differs from itself, whatever the type.
    #[expect(clippy::eq_op, reason = "as said")]
    fn is_nan(number: Self::Number) -> bool {
        number != number
    }
}

fn key_of_f64(v: f64) -> u64 {
    if v.is_nan() {
        return u64::MAX;
    }
    // -0.0 + 0.0 is 0.0.
    let bits = (v + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn key_of_f32(v: f32) -> u64 {
    if v.is_nan() {
        return u64::from(u32::MAX);
    }
    let bits = (v + 0.0).to_bits();
    u64::from(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
}

fn key_of_i64(v: i64) -> u64 {
    v as u64 ^ 1 << 63
}

fn key_of_i32(v: i64) -> u64 {
    u64::from(v as i32 as u32 ^ 1 << 31)
}

macro_rules! lanes {
    ($($lane:ident: $number:ty, $t:ty, $add:expr, $mul:expr, $bits:literal, |$k:ident| $key:expr, |$v:ident| $wide:expr,
       |$w:ident| $narrow:expr;)*) => {$(
        pub struct $lane;
        impl Lane for $lane {
            type Number = $number;
            const SIZE: usize = size_of::<$t>();
            const KEY_BITS: u32 = $bits;
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
            fn mul(a: $number, b: $number) -> $number {
                $mul(a, b)
            }
            fn key($k: $number) -> u64 {
                $key
            }
        }
    )*};
}

lanes! {
    F64: f64, f64, f64::add, f64::mul, 64, |k| key_of_f64(k), |v| v, |w| w;
    F32: f64, f32, f64::add, f64::mul, 32, |k| key_of_f32(k as f32), |v| f64::from(v), |w| w as f32;
    F16: f32, u16, f32::add, f32::mul, 32, |k| key_of_f32(k), |v| f16_to_f32(v), |w| f32_to_f16(w);
    BF16: f32, u16, f32::add, f32::mul, 32, |k| key_of_f32(k), |v| bf16_to_f32(v), |w| f32_to_bf16(w);
    I64: i64, i64, i64::wrapping_add, i64::wrapping_mul, 64, |k| key_of_i64(k), |v| v, |w| w;
    I32: i64, i32, i64::wrapping_add, i64::wrapping_mul, 32, |k| key_of_i32(k), |v| i64::from(v), |w| w as i32;
    I16: i64, i16, i64::wrapping_add, i64::wrapping_mul, 32, |k| key_of_i32(k), |v| i64::from(v), |w| w as i16;
    I8: i64, i8, i64::wrapping_add, i64::wrapping_mul, 32, |k| key_of_i32(k), |v| i64::from(v), |w| w as i8;
    U8: i64, u8, i64::wrapping_add, i64::wrapping_mul, 32, |k| key_of_i32(k), |v| i64::from(v), |w| w as u8;
    Bool: i64, u8, i64::wrapping_add, i64::wrapping_mul, 32, |k| key_of_i32(k), |v| i64::from(v != 0), |w| u8::from(w != 0);
}

/// An expression of the lane of a dtype.
macro_rules! with_lane {
    ($dtype:expr, $lane:ident => $body:expr) => {{
        use $crate::host::lanes as all;
        match $dtype {
            rusttorch_ir::dtype::DType::F64 => {
                type $lane = all::F64;
                $body
            }
            rusttorch_ir::dtype::DType::F32 => {
                type $lane = all::F32;
                $body
            }
            rusttorch_ir::dtype::DType::F16 => {
                type $lane = all::F16;
                $body
            }
            rusttorch_ir::dtype::DType::BF16 => {
                type $lane = all::BF16;
                $body
            }
            rusttorch_ir::dtype::DType::I64 => {
                type $lane = all::I64;
                $body
            }
            rusttorch_ir::dtype::DType::I32 => {
                type $lane = all::I32;
                $body
            }
            rusttorch_ir::dtype::DType::I16 => {
                type $lane = all::I16;
                $body
            }
            rusttorch_ir::dtype::DType::I8 => {
                type $lane = all::I8;
                $body
            }
            rusttorch_ir::dtype::DType::U8 => {
                type $lane = all::U8;
                $body
            }
            rusttorch_ir::dtype::DType::Bool => {
                type $lane = all::Bool;
                $body
            }
        }
    }};
}
pub(super) use with_lane;

/// The elements in row-major order: a copy, whose memory comes from our allocator and costs no page faults.
pub struct RowMajor(Tensor);

impl RowMajor {
    pub fn of(x: &Tensor) -> Result<RowMajor> {
        Ok(RowMajor(x.copied()?))
    }

    pub fn bytes(&mut self) -> &[u8] {
        new_bytes(&mut self.0)
    }
}

/// The elements in row-major order, a piece after another: they are copied where the caches hold them.
pub struct Pieces {
    elements: Tensor,
    buffer: Vec<u8>,
    /// What was given of what is in the buffer, which starts with byte `start` of the elements.
    given: usize,
    filled: usize,
    start: usize,
}

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 15;

impl Pieces {
    pub fn of(x: &Tensor) -> Result<Pieces> {
        Ok(Pieces { elements: x.contiguous()?, buffer: vec![0; PIECE], given: 0, filled: 0, start: 0 })
    }

    /// The next bytes.
    ///
    /// # Panics
    /// When there are no more so many.
    pub fn next(&mut self, bytes: usize) -> &[u8] {
        if self.given + bytes > self.filled {
            self.start += self.given;
            self.buffer.resize(self.buffer.len().max(bytes), 0);
            (self.given, self.filled) = (0, self.buffer.len().min(self.elements.nbytes() - self.start));
            let from = self.elements.byte_offset() + self.start;
            self.elements.storage().read(from, &mut self.buffer[..self.filled]);
        }
        self.given += bytes;
        &self.buffer[self.given - bytes..self.given]
    }
}

/// The bytes of a tensor that was made here.
pub fn new_bytes(tensor: &mut Tensor) -> &mut [u8] {
    tensor.bytes_mut().expect("new memory is row-major and has one owner")
}
