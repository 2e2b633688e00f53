//! Single elements, as Python numbers see them.

use crate::error::{Error, ErrorKind, Result};
use rusttorch_ir::dtype::{Category, DType, Literal};
use rusttorch_runtime::Tensor as Memory;

/// The value of an element.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar {
    /// Of a bool tensor.
    Bool(bool),
    /// Of an integer tensor.
    Int(i64),
    /// Of a float tensor.
    Float(f64),
}

impl Scalar {
    /// The element whose bytes these are.
    pub fn decode(dtype: DType, bytes: &[u8]) -> Scalar {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(if cfg!(target_endian = "little") { word } else { reversed(word, bytes.len()) });
        match dtype {
            DType::Bool => Scalar::Bool(bits != 0),
            DType::U8 => Scalar::Int(bits as i64),
            DType::I8 => Scalar::Int(i64::from(bits as i8)),
            DType::I16 => Scalar::Int(i64::from(bits as i16)),
            DType::I32 => Scalar::Int(i64::from(bits as i32)),
            DType::I64 => Scalar::Int(bits as i64),
            DType::F16 => Scalar::Float(half(bits as u16)),
            DType::BF16 => Scalar::Float(f64::from(f32::from_bits((bits as u32) << 16))),
            DType::F32 => Scalar::Float(f64::from(f32::from_bits(bits as u32))),
            DType::F64 => Scalar::Float(f64::from_bits(bits)),
        }
    }

    /// The bytes of an element of this dtype with the value, converted as PyTorch fills tensors.
    ///
    /// # Errors
    /// For dtypes that kernels do not compute with.
    pub fn encode(self, dtype: DType) -> Result<Vec<u8>> {
        if !dtype.is_computed() {
            let message = format!("\"fill_cpu\" not implemented for '{}'", dtype.c_name());
            return Err(Error::new(ErrorKind::NotImplemented, message));
        }
        let literal = match self {
            Scalar::Bool(b) => Literal::from_f64(dtype, f64::from(u8::from(b))),
            Scalar::Int(i) if dtype.is_float() => Literal::float(dtype, i as f64),
            Scalar::Int(i) => Literal::int(dtype, i),
            Scalar::Float(f) if dtype == DType::Bool => Literal::int(dtype, i64::from(f != 0.0)),
            Scalar::Float(f) => Literal::from_f64(dtype, f),
        };
        let bytes = literal.bits.to_ne_bytes();
        let size = dtype.size();
        Ok(if cfg!(target_endian = "little") { bytes[..size].to_vec() } else { bytes[8 - size..].to_vec() })
    }

    /// Category and bits, as an operand of a call.
    pub fn number(self) -> (Category, u64) {
        match self {
            Scalar::Bool(b) => (Category::Bool, u64::from(b)),
            Scalar::Int(i) => (Category::Int, i as u64),
            Scalar::Float(f) => (Category::Float, f.to_bits()),
        }
    }

    /// The element at an index, which is within the tensor.
    pub fn at(memory: &Memory, index: &[i64]) -> Scalar {
        let steps: i64 = index.iter().zip(memory.strides()).map(|(i, s)| i * s).sum();
        let size = memory.dtype().size();
        let mut bytes = [0; 8];
        let offset = memory.byte_offset().wrapping_add_signed(steps as isize * size as isize);
        memory.storage().read(offset, &mut bytes[..size]);
        Scalar::decode(memory.dtype(), &bytes[..size])
    }

    /// All elements in row-major order.
    pub fn all(memory: &Memory) -> Result<Vec<Scalar>> {
        let dense = memory.contiguous()?;
        let mut bytes = vec![0; dense.nbytes()];
        dense.storage().read(dense.byte_offset(), &mut bytes);
        Ok(bytes.chunks_exact(dense.dtype().size()).map(|b| Scalar::decode(dense.dtype(), b)).collect())
    }
}

fn reversed(mut word: [u8; 8], len: usize) -> [u8; 8] {
    word[..len].reverse();
    word
}

/// The value of an IEEE binary16.
fn half(bits: u16) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * (1.0 / 16_777_216.0),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1.0 + fraction / 1024.0) * libm::exp2(f64::from(e - 15)),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        let cases: [(u16, f64); 7] = [
            (0, 0.0),
            (1, 5.960464477539063e-8),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0xfc00, f64::NEG_INFINITY),
            (0x3555, 0.333251953125),
        ];
        for (bits, value) in cases {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7c01).is_nan());
    }
}
