//! Single elements, as Python numbers see them.

use crate::error::Result;
use rusttorch_ir::dtype::{Category, DType, Literal};
use rusttorch_ir::half;
use rusttorch_runtime::Tensor as Memory;
use smallvec::SmallVec;

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
            DType::F16 => Scalar::Float(f64::from(half::f16_to_f32(bits as u16))),
            DType::BF16 => Scalar::Float(f64::from(half::bf16_to_f32(bits as u16))),
            DType::F32 => Scalar::Float(f64::from(f32::from_bits(bits as u32))),
            DType::F64 => Scalar::Float(f64::from_bits(bits)),
        }
    }

    /// The bytes of an element of this dtype with the value, converted as PyTorch fills tensors.
    pub fn encode(self, dtype: DType) -> SmallVec<[u8; 8]> {
        let literal = match self {
            Scalar::Bool(b) => Literal::from_f64(dtype, f64::from(u8::from(b))),
            Scalar::Int(i) if dtype.is_float() => Literal::float(dtype, i as f64),
            Scalar::Int(i) => Literal::int(dtype, i),
            Scalar::Float(f) if dtype == DType::Bool => Literal::int(dtype, i64::from(f != 0.0)),
            Scalar::Float(f) => Literal::from_f64(dtype, f),
        };
        let bytes = literal.bits.to_ne_bytes();
        let size = dtype.size();
        SmallVec::from_slice(if cfg!(target_endian = "little") { &bytes[..size] } else { &bytes[8 - size..] })
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
