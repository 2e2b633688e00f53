//! Element types and PyTorch's promotion rules.
//!
//! There are ten. Kernels do arithmetic in eight of them; `f16` and `bf16` are formats of memory, which
//! kernels load, store, select and convert, and compute in f32 ([`DType::compute`]).

use crate::half;
use std::fmt;

/// An element type. The order is the order of PyTorch's promotion lattice within a category.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
}

use DType::*;

impl DType {
    /// Every dtype, in declaration order.
    pub const ALL: [DType; 10] = [Bool, U8, I8, I16, I32, I64, F16, BF16, F32, F64];

    /// Short name, as in kernel text and on the command line: `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Bool => "bool",
            U8 => "u8",
            I8 => "i8",
            I16 => "i16",
            I32 => "i32",
            I64 => "i64",
            F16 => "f16",
            BF16 => "bf16",
            F32 => "f32",
            F64 => "f64",
        }
    }

    /// PyTorch's name: `float32`.
    pub fn torch_name(self) -> &'static str {
        match self {
            Bool => "bool",
            U8 => "uint8",
            I8 => "int8",
            I16 => "int16",
            I32 => "int32",
            I64 => "int64",
            F16 => "float16",
            BF16 => "bfloat16",
            F32 => "float32",
            F64 => "float64",
        }
    }

    /// The C++ name PyTorch uses in error messages: `Float`.
    pub fn c_name(self) -> &'static str {
        match self {
            Bool => "Bool",
            U8 => "Byte",
            I8 => "Char",
            I16 => "Short",
            I32 => "Int",
            I64 => "Long",
            F16 => "Half",
            BF16 => "BFloat16",
            F32 => "Float",
            F64 => "Double",
        }
    }

    /// Reads a short name, PyTorch's name, or one of PyTorch's aliases (`float`, `double`, `long`, ...).
    pub fn parse(name: &str) -> Option<DType> {
        let alias = match name {
            "float" => Some(F32),
            "double" => Some(F64),
            "half" => Some(F16),
            "long" => Some(I64),
            "int" => Some(I32),
            "short" => Some(I16),
            _ => None,
        };
        alias.or_else(|| DType::ALL.into_iter().find(|d| d.name() == name || d.torch_name() == name))
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Bool | U8 | I8 => 1,
            I16 | F16 | BF16 => 2,
            I32 | F32 => 4,
            I64 | F64 => 8,
        }
    }

    /// True for the four floating-point dtypes.
    pub fn is_float(self) -> bool {
        matches!(self, F16 | BF16 | F32 | F64)
    }

    /// True for integer dtypes, without bool.
    pub fn is_int(self) -> bool {
        matches!(self, U8 | I8 | I16 | I32 | I64)
    }

    /// True for the two 16-bit floats.
    pub fn is_half(self) -> bool {
        matches!(self, F16 | BF16)
    }

    /// The dtype that arithmetic on this one is done in: f32 for the 16-bit floats, else itself.
    pub fn compute(self) -> DType {
        if self.is_half() { F32 } else { self }
    }

    /// The least and the largest integer of an integer dtype or bool.
    ///
    /// # Panics
    /// For a float dtype.
    pub fn int_range(self) -> (i64, i64) {
        match self {
            Bool => (0, 1),
            U8 => (0, i64::from(u8::MAX)),
            I8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
            I16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
            I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            I64 => (i64::MIN, i64::MAX),
            F16 | BF16 | F32 | F64 => panic!("{self} is no integer dtype"),
        }
    }

    /// The dtype's promotion category.
    pub fn category(self) -> Category {
        match self {
            Bool => Category::Bool,
            U8 | I8 | I16 | I32 | I64 => Category::Int,
            F16 | BF16 | F32 | F64 => Category::Float,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// PyTorch's three promotion categories, in rising order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Category {
    /// `bool`.
    Bool,
    /// Any integer.
    Int,
    /// Any float.
    Float,
}

/// `torch.promote_types(a, b)`.
pub fn promote_types(a: DType, b: DType) -> DType {
    if a == b {
        return a;
    }
    let (lo, hi) = if a < b { (a, b) } else { (b, a) };
    match (lo, hi) {
        // Unsigned and signed of the same width widen.
        (U8, I8) => I16,
        // Two 16-bit floats of different kinds meet in f32.
        (F16, BF16) => F32,
        _ => hi,
    }
}

/// How strongly an operand takes part in promotion: dimensioned tensors before 0-d tensors before
/// Python numbers (PyTorch's "wrapped numbers").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Priority {
    /// A Python number or a literal of an expression.
    Number,
    /// A tensor of no dimensions.
    ZeroDim,
    /// A tensor with dimensions.
    Dim,
}

/// `torch.result_type` over any number of operands. `default` is the default float dtype, which
/// a Python float takes when no stronger operand is of its category.
///
/// Returns `Bool` for no operands.
pub fn result_type(operands: &[(DType, Priority)], default: DType) -> DType {
    let mut by_priority: [Option<DType>; 3] = [None; 3];
    for &(dtype, priority) in operands {
        let dtype = match (priority, dtype.category()) {
            (Priority::Number, Category::Float) => default,
            (Priority::Number, Category::Int) => I64,
            _ => dtype,
        };
        let slot = &mut by_priority[priority as usize];
        *slot = Some(slot.map_or(dtype, |s| promote_types(s, dtype)));
    }
    // A weaker class takes part only where it is of a higher category than all stronger ones.
    let [number, zero, dim] = by_priority;
    combine(combine(dim, zero), number).unwrap_or(Bool)
}

fn combine(strong: Option<DType>, weak: Option<DType>) -> Option<DType> {
    match (strong, weak) {
        (Some(s), Some(w)) if w.category() > s.category() => Some(promote_types(s, w)),
        (None, w) => w,
        (s, _) => s,
    }
}

/// A constant: its dtype and its bits (IEEE bits of a float, two's complement of an integer
/// sign-extended to 64 bits, 0 or 1 for bool).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Literal {
    /// Element type.
    pub dtype: DType,
    /// Bits, see the type.
    pub bits: u64,
}

impl Literal {
    /// A constant of a float dtype, rounded once, but to a 16-bit one by way of f32, as PyTorch rounds.
    ///
    /// # Panics
    /// When `dtype` is no float dtype.
    pub fn float(dtype: DType, value: f64) -> Literal {
        let bits = match dtype {
            F16 => u64::from(half::f32_to_f16(value as f32)),
            BF16 => u64::from(half::f32_to_bf16(value as f32)),
            F32 => u64::from((value as f32).to_bits()),
            F64 => value.to_bits(),
            other => panic!("no float literals of {other}"),
        };
        Literal { dtype, bits }
    }

    /// A constant of an integer dtype or bool, wrapped to its width.
    pub fn int(dtype: DType, value: i64) -> Literal {
        Literal { dtype, bits: wrap_int(dtype, value) as u64 }
    }

    /// A constant of any dtype from a float64 value.
    pub fn from_f64(dtype: DType, value: f64) -> Literal {
        if dtype.is_float() { Literal::float(dtype, value) } else { Literal::int(dtype, value as i64) }
    }

    /// The value as float64 (exact but for large i64).
    pub fn as_f64(self) -> f64 {
        match self.dtype {
            F16 => f64::from(half::f16_to_f32(self.bits as u16)),
            BF16 => f64::from(half::bf16_to_f32(self.bits as u16)),
            F32 => f64::from(f32::from_bits(self.bits as u32)),
            F64 => f64::from_bits(self.bits),
            _ => self.bits as i64 as f64,
        }
    }

    /// The value as an integer.
    pub fn as_i64(self) -> i64 {
        if self.dtype.is_float() { self.as_f64() as i64 } else { self.bits as i64 }
    }
}

/// Wraps an integer to the width of `dtype` (bool: `!= 0`).
pub fn wrap_int(dtype: DType, v: i64) -> i64 {
    match dtype {
        Bool => i64::from(v != 0),
        U8 => i64::from(v as u8),
        I8 => i64::from(v as i8),
        I16 => i64::from(v as i16),
        I32 => i64::from(v as i32),
        _ => v,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_follows_categories() {
        let d = |t| (t, Priority::Dim);
        let z = |t| (t, Priority::ZeroDim);
        let n = |t| (t, Priority::Number);
        assert_eq!(result_type(&[d(I32), n(F64)], F32), F32);
        assert_eq!(result_type(&[d(F32), n(F64)], F32), F32);
        assert_eq!(result_type(&[d(F64), n(F64)], F32), F64);
        assert_eq!(result_type(&[d(F32), z(F64)], F32), F32);
        assert_eq!(result_type(&[d(I32), z(F64)], F32), F64);
        assert_eq!(result_type(&[d(U8), n(I64)], F32), U8);
        assert_eq!(result_type(&[d(Bool), n(I64)], F32), I64);
        assert_eq!(result_type(&[z(F32), z(F64)], F32), F64);
        assert_eq!(result_type(&[n(F64)], F64), F64);
        assert_eq!(result_type(&[d(U8), d(I8)], F32), I16);
        assert_eq!(result_type(&[d(F16), d(BF16)], F32), F32);
    }
}
