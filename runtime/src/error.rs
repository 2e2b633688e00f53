//! The error of the runtime: opaque, with a kind, and the op, shapes and dtypes it is about. Texts are
//! PyTorch's.

use std::fmt;

use rusttorch_ir::dtype::DType;

/// The runtime's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as the caller may want to tell it apart. The Python layer maps each kind to the
/// exception class PyTorch raises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Extents or strides that do not fit each other.
    Shape,
    /// A dimension or an index out of range.
    Index,
    /// A dtype where another is needed.
    DType,
    /// A dtype or option that the operation does not have.
    NotImplemented,
    /// An argument's value.
    Value,
    /// Memory that overlaps where it may not.
    Overlap,
    /// No memory.
    OutOfMemory,
    /// Memory of another library that cannot be taken or given.
    Exchange,
}

/// A failure of the runtime. Small: the details are boxed.
#[derive(Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq)]
struct Inner {
    detail: Detail,
    op: Option<&'static str>,
}

/// One variant per failure, with what its text needs.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Detail {
    AllocationFailed { bytes: usize },
    SizeOverflow { shape: Vec<i64> },
    StrideOverflow { shape: Vec<i64> },
    NegativeExtent { shape: Vec<i64>, dim: usize },
    OutOfStorage { shape: Vec<i64>, strides: Vec<i64>, offset: i64, item: usize, storage: usize },
    DimOutOfRange { dim: i64, rank: usize },
    IndexOutOfRange { index: i64, dim: usize, shape: Vec<i64> },
    PermuteRank { rank: usize, dims: usize },
    PermuteDuplicate,
    ReshapeMismatch { shape: Vec<i64>, numel: i64 },
    ReshapeTwoUnknown,
    ReshapeInvalid { shape: Vec<i64>, dim: usize },
    ReshapeAmbiguous { shape: Vec<i64> },
    NotViewable,
    ExpandRank { dtype: DType, shape: Vec<i64>, target: Vec<i64> },
    ExpandMismatch { dim: usize, shape: Vec<i64>, target: Vec<i64> },
    ExpandLeading { dim: usize, target: Vec<i64> },
    Narrow { start: i64, length: i64, size: i64 },
    NarrowNegative,
    DiagonalDims { dim1: i64, dim2: i64 },
    UnfoldBeyond { dim: usize, extent: i64, size: i64 },
    UnfoldSize { size: i64 },
    UnfoldStep { step: i64 },
    NarrowScalar,
    NarrowStart { start: i64, size: i64 },
    SliceStep,
    FlattenOrder,
    Broadcast { dim: usize, a: i64, b: i64 },
    WrongLength { expected: i64, got: usize },
    ExpectedDType { expected: DType, found: DType },
    MatmulRank { a: usize, b: usize },
    Mm { a: [i64; 2], b: [i64; 2] },
    Mv { mat: [i64; 2], vec: i64 },
    Dot { a: i64, b: i64 },
    Bmm { expected: [i64; 2], got: [i64; 2] },
    MatmulDType { rank: [usize; 2], dtypes: [DType; 2] },
    OutDType { expected: DType, got: DType },
    OutShape { expected: Vec<i64>, got: Vec<i64> },
    NoKernel { kernel: &'static str, dtype: DType },
    InternalOverlap,
    InputOverlap,
    ReadOnly,
    Misaligned { dtype: DType },
    Exchange(crate::dlpack::Refusal),
}

impl Error {
    pub(crate) fn new(detail: Detail) -> Error {
        Error(Box::new(Inner { detail, op: None }))
    }

    /// The same error with the name of the op that met it.
    pub fn in_op(mut self, op: &'static str) -> Error {
        self.0.op = Some(op);
        self
    }

    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        use Detail::*;
        match &self.0.detail {
            AllocationFailed { .. } => ErrorKind::OutOfMemory,
            DimOutOfRange { .. } | IndexOutOfRange { .. } | NarrowStart { .. } => ErrorKind::Index,
            SliceStep => ErrorKind::Value,
            ExpectedDType { .. } | MatmulDType { .. } | OutDType { .. } => ErrorKind::DType,
            NoKernel { .. } => ErrorKind::NotImplemented,
            InternalOverlap | InputOverlap => ErrorKind::Overlap,
            ReadOnly | Misaligned { .. } => ErrorKind::Value,
            Exchange(_) => ErrorKind::Exchange,
            SizeOverflow { .. }
            | StrideOverflow { .. }
            | NegativeExtent { .. }
            | OutOfStorage { .. }
            | PermuteRank { .. }
            | PermuteDuplicate
            | ReshapeMismatch { .. }
            | ReshapeTwoUnknown
            | ReshapeInvalid { .. }
            | ReshapeAmbiguous { .. }
            | NotViewable
            | ExpandRank { .. }
            | ExpandMismatch { .. }
            | ExpandLeading { .. }
            | Narrow { .. }
            | NarrowNegative
            | DiagonalDims { .. }
            | UnfoldBeyond { .. }
            | UnfoldSize { .. }
            | UnfoldStep { .. }
            | NarrowScalar
            | FlattenOrder
            | Broadcast { .. }
            | WrongLength { .. }
            | MatmulRank { .. }
            | Mm { .. }
            | Mv { .. }
            | Dot { .. }
            | Bmm { .. }
            | OutShape { .. } => ErrorKind::Shape,
        }
    }

    /// The op that met the failure, where known.
    pub fn op(&self) -> Option<&'static str> {
        self.0.op
    }

    /// The shapes the text speaks of, operands first.
    pub fn shapes(&self) -> Vec<Vec<i64>> {
        use Detail::*;
        match &self.0.detail {
            SizeOverflow { shape }
            | StrideOverflow { shape }
            | NegativeExtent { shape, .. }
            | OutOfStorage { shape, .. }
            | IndexOutOfRange { shape, .. }
            | ReshapeMismatch { shape, .. }
            | ReshapeInvalid { shape, .. }
            | ReshapeAmbiguous { shape } => vec![shape.clone()],
            ExpandRank { shape, target, .. } | ExpandMismatch { shape, target, .. } => {
                vec![shape.clone(), target.clone()]
            }
            ExpandLeading { target, .. } => vec![target.clone()],
            Mm { a, b } => vec![a.to_vec(), b.to_vec()],
            Mv { mat, vec } => vec![mat.to_vec(), vec![*vec]],
            Dot { a, b } => vec![vec![*a], vec![*b]],
            Bmm { expected, got } => vec![expected.to_vec(), got.to_vec()],
            OutShape { expected, got } => vec![expected.clone(), got.clone()],
            _ => Vec::new(),
        }
    }

    /// The dtypes the text speaks of: the expected one, or the operands'.
    pub fn dtypes(&self) -> Vec<DType> {
        use Detail::*;
        match &self.0.detail {
            ExpectedDType { expected, found } => vec![*expected, *found],
            MatmulDType { dtypes, .. } => dtypes.to_vec(),
            OutDType { expected, got } => vec![*expected, *got],
            NoKernel { dtype, .. } | ExpandRank { dtype, .. } | Misaligned { dtype } => vec![*dtype],
            _ => Vec::new(),
        }
    }
}

/// The C++ type's name in PyTorch's newer messages: `float`, `c10::Half`.
fn cpp_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::U8 => "unsigned char",
        DType::I8 => "signed char",
        DType::I16 => "short",
        DType::I32 => "int",
        DType::I64 => "long",
        DType::F16 => "c10::Half",
        DType::BF16 => "c10::BFloat16",
        DType::F32 => "float",
        DType::F64 => "double",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Detail::*;
        match &self.0.detail {
            AllocationFailed { bytes } => {
                write!(f, "DefaultCPUAllocator: can't allocate memory: you tried to allocate {bytes} bytes.")
            }
            StrideOverflow { .. } => f.write_str("Stride calculation overflowed"),
            SizeOverflow { shape } => write!(f, "Storage size calculation overflowed with sizes={shape:?}"),
            NegativeExtent { shape, dim } => {
                write!(f, "Trying to create tensor with negative dimension {}: {shape:?}", shape[*dim])
            }
            OutOfStorage { shape, strides, offset, item, storage } => write!(
                f,
                "setStorage: sizes {shape:?}, strides {strides:?}, storage offset {offset}, and itemsize {item} \
                 are out of bounds for storage of size {storage}"
            ),
            DimOutOfRange { dim, rank } => {
                let n = (*rank).max(1) as i64;
                write!(f, "Dimension out of range (expected to be in range of [{}, {}], but got {dim})", -n, n - 1)
            }
            IndexOutOfRange { index, dim, shape } => {
                write!(f, "select(): index {index} out of range for tensor of size {shape:?} at dimension {dim}")
            }
            PermuteRank { rank, dims } => write!(
                f,
                "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the \
                 desired ordering of dimensions i.e. input.dim() = {rank} is not equal to len(dims) = {dims}"
            ),
            PermuteDuplicate => f.write_str("permute(): duplicate dims are not allowed."),
            ReshapeMismatch { shape, numel } => write!(f, "shape '{shape:?}' is invalid for input of size {numel}"),
            ReshapeTwoUnknown => f.write_str("only one dimension can be inferred"),
            ReshapeInvalid { shape, dim } => {
                write!(f, "invalid shape dimension {} at index {dim} of shape {shape:?}", shape[*dim])
            }
            ReshapeAmbiguous { shape } => write!(
                f,
                "cannot reshape tensor of 0 elements into shape {shape:?} because the unspecified dimension size -1 \
                 can be any value and is ambiguous"
            ),
            NotViewable => f.write_str(
                "view size is not compatible with input tensor's size and stride (at least one dimension spans \
                 across two contiguous subspaces). Use .reshape(...) instead.",
            ),
            ExpandRank { dtype, shape, target } => write!(
                f,
                "expand(torch.{}Tensor{{{shape:?}}}, size={target:?}): the number of sizes provided ({}) must be \
                 greater or equal to the number of dimensions in the tensor ({})",
                dtype.c_name(),
                target.len(),
                shape.len()
            ),
            ExpandMismatch { dim, shape, target } => write!(
                f,
                "The expanded size of the tensor ({}) must match the existing size ({}) at non-singleton dimension \
                 {dim}.  Target sizes: {target:?}.  Tensor sizes: {shape:?}",
                target[*dim],
                shape[*dim + shape.len() - target.len()]
            ),
            ExpandLeading { dim, target } => write!(
                f,
                "The expanded size of the tensor ({}) isn't allowed in a leading, non-existing dimension {dim}",
                target[*dim]
            ),
            Narrow { start, length, size } => {
                write!(f, "start ({start}) + length ({length}) exceeds dimension size ({size}).")
            }
            NarrowStart { start, size } => {
                write!(f, "start out of range (expected to be in range of [{}, {size}], but got {start})", -size)
            }
            NarrowScalar => f.write_str("narrow() cannot be applied to a 0-dim tensor."),
            DiagonalDims { dim1, dim2 } => write!(f, "diagonal dimensions cannot be identical {dim1}, {dim2}"),
            UnfoldBeyond { dim, extent, size } => {
                write!(f, "maximum size for tensor at dimension {dim} is {extent} but size is {size}")
            }
            UnfoldSize { size } => write!(f, "size is {size} but must be >= 0"),
            UnfoldStep { step } => write!(f, "step is {step} but must be > 0"),
            NarrowNegative => f.write_str("narrow(): length must be non-negative."),
            SliceStep => f.write_str("slice step must be positive"),
            FlattenOrder => f.write_str("flatten() has invalid args: start_dim cannot come after end_dim"),
            Broadcast { dim, a, b } => write!(
                f,
                "The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension {dim}"
            ),
            WrongLength { expected, got } => {
                write!(f, "expected {expected} elements for the tensor's shape, but got {got}")
            }
            ExpectedDType { expected, found } => {
                write!(f, "expected scalar type {} but found {}", expected.c_name(), found.c_name())
            }
            MatmulRank { a, b } => {
                write!(f, "both arguments to matmul need to be at least 1D, but they are {a}D and {b}D")
            }
            Mm { a, b } => {
                write!(f, "mm: mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})", a[0], a[1], b[0], b[1])
            }
            Mv { mat, vec } => {
                write!(f, "size mismatch, got input ({}), mat ({}x{}), vec ({vec})", mat[0], mat[0], mat[1])
            }
            Dot { a, b } => write!(
                f,
                "inconsistent tensor size, expected tensor [{a}] and src [{b}] to have the same number of elements, \
                 but got {a} and {b} elements respectively"
            ),
            Bmm { expected, got } => write!(
                f,
                "Expected size for first two dimensions of batch2 tensor to be: {expected:?} but got: {got:?}."
            ),
            MatmulDType { rank, dtypes: [a, b] } => match rank {
                [1, 1] => write!(
                    f,
                    "dot : expected both vectors to have same dtype, but found {} and {}",
                    a.c_name(),
                    b.c_name()
                ),
                [2, 1] => write!(
                    f,
                    "addmv input tensors must have the same dtype, but got {}, {}, and {}",
                    b.c_name(),
                    a.c_name(),
                    b.c_name()
                ),
                [1 | 2, 2] => write!(
                    f,
                    "expected m1 and m2 to have the same dtype, but got: {} != {}",
                    cpp_name(*a),
                    cpp_name(*b)
                ),
                _ => write!(f, "expected scalar type {} but found {}", a.c_name(), b.c_name()),
            },
            OutDType { expected, got } => {
                write!(
                    f,
                    "Expected out tensor to have dtype {}, but got {} instead",
                    cpp_name(*expected),
                    cpp_name(*got)
                )
            }
            OutShape { expected, got } => {
                write!(f, "output with shape {got:?} doesn't match the broadcast shape {expected:?}")
            }
            NoKernel { kernel, dtype } => write!(f, "\"{kernel}\" not implemented for '{}'", dtype.c_name()),
            InternalOverlap => f.write_str(
                "unsupported operation: more than one element of the written-to tensor refers to a single memory \
                 location. Please clone() the tensor before performing the operation.",
            ),
            InputOverlap => f.write_str(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a \
                 single memory location. Please clone() the tensor before performing the operation.",
            ),
            ReadOnly => f.write_str("assignment destination is read-only"),
            Misaligned { dtype } => {
                write!(f, "the output's memory is not aligned to elements of {}", dtype.torch_name())
            }
            Exchange(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind())
    }
}

impl std::error::Error for Error {}

impl From<Detail> for Error {
    fn from(detail: Detail) -> Error {
        Error::new(detail)
    }
}
