//! Elements of every dtype as bytes, and the numbers they are computed with.

use crate::error::Result;
use rusttorch_ir::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use rusttorch_runtime::Tensor;
use rusttorch_runtime::pool::{OwnPool, Parallel};
use std::ops::{Add, Mul};
use std::sync::{Mutex, PoisonError};

/// A dtype's elements in memory, and the number that is carried for them.
pub trait Lane {
    type Number: Copy + PartialOrd + Default + Send + Sync;
    const SIZE: usize;
    /// Bits of [`Lane::key`] that differ.
    const KEY_BITS: u32;
    /// An element in memory, of any alignment.
    type Bytes: Copy + Send + Sync;
    /// The elements of whole ones. Loops over them need no checks of lengths, so they become vector code.
    fn items(bytes: &[u8]) -> &[Self::Bytes];
    fn items_mut(bytes: &mut [u8]) -> &mut [Self::Bytes];
    fn get(bytes: Self::Bytes) -> Self::Number;
    fn put(number: Self::Number) -> Self::Bytes;
    fn load(bytes: &[u8]) -> Self::Number;
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
            type Bytes = [u8; size_of::<$t>()];
            fn items(bytes: &[u8]) -> &[Self::Bytes] {
                bytes.as_chunks().0
            }
            fn items_mut(bytes: &mut [u8]) -> &mut [Self::Bytes] {
                bytes.as_chunks_mut().0
            }
            #[inline]
            fn get(bytes: Self::Bytes) -> $number {
                let $v = <$t>::from_ne_bytes(bytes);
                $wide
            }
            #[inline]
            fn put($w: $number) -> Self::Bytes {
                <$t>::to_ne_bytes($narrow)
            }
            fn load(bytes: &[u8]) -> $number {
                Self::get(bytes.try_into().expect("elements are cut to their size"))
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

/// The elements in row-major order, of which any bytes can be copied out.
pub struct Source(Tensor);

impl Source {
    pub fn of(x: &Tensor) -> Result<Source> {
        Ok(Source(x.contiguous()?))
    }

    /// The bytes from `at` on.
    pub fn read(&self, at: usize, out: &mut [u8]) {
        self.0.storage().read(self.0.byte_offset() + at, out);
    }
}

/// The elements in row-major order, a piece after another: they are copied where the caches hold them.
pub struct Pieces<'a> {
    source: &'a Source,
    buffer: Vec<u8>,
    /// What was given of what is in the buffer.
    given: usize,
    filled: usize,
    /// Where what is behind the buffer starts, and what is to be given ends.
    next: usize,
    end: usize,
}

/// Bytes that are copied at a time.
pub const PIECE: usize = 1 << 14;

impl Pieces<'_> {
    /// The bytes of a range.
    pub fn of(source: &Source, range: std::ops::Range<usize>) -> Pieces<'_> {
        let buffer = vec![0; PIECE.min(range.len())];
        Pieces { source, buffer, given: 0, filled: 0, next: range.start, end: range.end }
    }

    /// The next bytes.
    ///
    /// # Panics
    /// When there are no more so many.
    pub fn next(&mut self, bytes: usize) -> &[u8] {
        if self.given + bytes > self.filled {
            // What was not given is read again.
            self.next -= self.filled - self.given;
            self.buffer.resize(self.buffer.len().max(bytes), 0);
            (self.given, self.filled) = (0, self.buffer.len().min(self.end - self.next));
            self.source.read(self.next, &mut self.buffer[..self.filled]);
            self.next += self.filled;
        }
        self.given += bytes;
        &self.buffer[self.given - bytes..self.given]
    }
}

/// Calls `f` with each of the parts, on as many threads as calls may have; the caller is one of them.
pub fn share_out<T: Send>(parts: Vec<T>, f: impl Fn(T) + Sync) {
    let parts: Vec<Mutex<Option<T>>> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
    OwnPool.run(parts.len(), &|i| {
        let part = parts[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        f(part.expect("a task is run once"));
    });
}

/// Threads that a call of this thread may use.
pub fn threads() -> usize {
    OwnPool.threads()
}

/// The bytes of a tensor that was made here.
pub fn new_bytes(tensor: &mut Tensor) -> &mut [u8] {
    tensor.bytes_mut().expect("new memory is row-major and has one owner")
}
