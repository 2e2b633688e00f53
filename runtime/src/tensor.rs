//! Tensors: strided views of storage.
//!
//! Invariant (T1): every element of a tensor lies within its storage, so that code which holds a tensor
//! needs no further bounds check. Upheld by `from_parts`, the one constructor that takes strides from
//! outside; views reach a subset of what their tensor reaches.

use rusttorch_ir::dtype::DType;
use rusttorch_ir::graph::TensorMeta;

use crate::error::{Detail, Result};
use crate::layout;
use crate::storage::{Plain, Storage, cast_mut};
use crate::view::{View, dense_bytes};

pub use crate::view::wrap_dim;

/// A strided view of storage. Cheap to clone; clones share memory.
#[derive(Clone, Debug)]
pub struct Tensor {
    storage: Storage,
    view: View,
}

/// Rust types that are elements of tensors.
pub trait Element: Copy + Send + Sync + 'static {
    /// The dtype.
    const DTYPE: DType;
    /// Reads `DTYPE.size()` bytes.
    fn decode(bytes: &[u8]) -> Self;
    /// Appends `DTYPE.size()` bytes.
    fn encode(self, out: &mut [u8]);
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn decode(bytes: &[u8]) -> Self {
                <$t>::from_ne_bytes(bytes.try_into().expect("callers cut items of the dtype's size"))
            }
            fn encode(self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_ne_bytes());
            }
        }
    )*};
}
elements!(u8 => U8, i8 => I8, i16 => I16, i32 => I32, i64 => I64, f32 => F32, f64 => F64);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn decode(bytes: &[u8]) -> Self {
        bytes[0] != 0
    }
    fn encode(self, out: &mut [u8]) {
        out[0] = u8::from(self);
    }
}

/// How the memory of two tensors meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meeting {
    /// Not at all.
    Apart,
    /// The same elements at the same indices.
    Same,
    /// Some bytes are shared, under different indices.
    Partial,
    /// Their ranges cross, but whether elements do is as hard as a knapsack.
    Unclear,
}

impl Tensor {
    /// A view of storage; `offset` (of the element at index 0) is in bytes, strides in elements.
    ///
    /// # Errors
    /// When an element would lie outside of the storage.
    pub fn from_parts(storage: Storage, offset: usize, shape: &[i64], strides: &[i64], dtype: DType) -> Result<Tensor> {
        assert_eq!(shape.len(), strides.len(), "one stride per dimension");
        let outside = || Detail::OutOfStorage {
            shape: shape.to_vec(),
            strides: strides.to_vec(),
            offset: offset as i64 / dtype.size() as i64,
            item: dtype.size(),
            storage: storage.len(),
        };
        dense_bytes(shape, dtype)?;
        if shape.contains(&0) {
            if offset > storage.len() {
                return Err(outside().into());
            }
        } else {
            let item = dtype.size() as i64;
            let fits = layout::extent(shape, strides).is_some_and(|(low, high)| {
                let start = i64::try_from(offset).ok().zip(low.checked_mul(item)).and_then(|(o, l)| o.checked_add(l));
                let end = i64::try_from(offset)
                    .ok()
                    .zip(high.checked_mul(item))
                    .and_then(|(o, h)| o.checked_add(h)?.checked_add(item));
                start.is_some_and(|s| s >= 0) && end.is_some_and(|e| e <= storage.len() as i64)
            });
            if !fits {
                return Err(outside().into());
            }
        }
        let view = View { offset, shape: shape.into(), strides: strides.into(), dtype };
        Ok(Tensor { storage, view })
    }

    /// New memory of arbitrary content, row-major.
    pub fn empty(shape: &[i64], dtype: DType) -> Result<Tensor> {
        let storage = Storage::new(dense_bytes(shape, dtype)?)?;
        Ok(Tensor { storage, view: View::contiguous(shape, dtype)? })
    }

    /// New memory of arbitrary content under non-negative strides.
    pub fn empty_strided(shape: &[i64], strides: &[i64], dtype: DType) -> Result<Tensor> {
        let view = View::of_result(&TensorMeta { dtype, shape: shape.to_vec(), strides: strides.to_vec() })?;
        Tensor::of(Storage::new(view.span()?)?, &view)
    }

    /// New zeros, row-major.
    pub fn zeros(shape: &[i64], dtype: DType) -> Result<Tensor> {
        let storage = Storage::zeroed(dense_bytes(shape, dtype)?)?;
        Ok(Tensor { storage, view: View::contiguous(shape, dtype)? })
    }

    /// A row-major tensor of these elements.
    pub fn from_slice<T: Element>(values: &[T], shape: &[i64]) -> Result<Tensor> {
        let mut tensor = Tensor::empty(shape, T::DTYPE)?;
        if tensor.numel() != values.len() as i64 {
            return Err(Detail::WrongLength { expected: tensor.numel(), got: values.len() }.into());
        }
        let bytes = tensor.bytes_mut().expect("new storage has one owner");
        for (item, &value) in bytes.chunks_exact_mut(T::DTYPE.size()).zip(values) {
            value.encode(item);
        }
        Ok(tensor)
    }

    /// A row-major tensor of these bytes, in native order.
    pub fn from_bytes(bytes: &[u8], shape: &[i64], dtype: DType) -> Result<Tensor> {
        let mut tensor = Tensor::empty(shape, dtype)?;
        if tensor.nbytes() != bytes.len() {
            return Err(Detail::WrongLength { expected: tensor.numel(), got: bytes.len() / dtype.size() }.into());
        }
        tensor.bytes_mut().expect("new storage has one owner").copy_from_slice(bytes);
        Ok(tensor)
    }

    /// A tensor of no dimensions.
    pub fn scalar<T: Element>(value: T) -> Result<Tensor> {
        Tensor::from_slice(&[value], &[])
    }

    /// Its storage.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Position of the element at index 0 in the storage, in bytes.
    pub fn byte_offset(&self) -> usize {
        self.view.offset
    }

    /// Address of the element at index 0. Reading and writing through it is subject to rule S1 of
    /// [`crate::storage`].
    pub fn data_ptr(&self) -> *mut u8 {
        self.storage.as_ptr().wrapping_add(self.view.offset)
    }

    /// Extents.
    pub fn shape(&self) -> &[i64] {
        &self.view.shape
    }

    /// Strides in elements.
    pub fn strides(&self) -> &[i64] {
        &self.view.strides
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.view.dtype
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.view.shape.len()
    }

    /// Number of elements.
    pub fn numel(&self) -> i64 {
        self.view.shape.iter().product()
    }

    /// Bytes of its elements.
    pub fn nbytes(&self) -> usize {
        self.numel() as usize * self.view.dtype.size()
    }

    /// Dtype and layout, as the compiler sees them.
    pub fn meta(&self) -> TensorMeta {
        TensorMeta { dtype: self.view.dtype, shape: self.view.shape.to_vec(), strides: self.view.strides.to_vec() }
    }

    /// True when elements are row-major without gaps.
    pub fn is_contiguous(&self) -> bool {
        layout::is_contiguous(&self.view.shape, &self.view.strides)
    }

    /// True when elements lie at multiples of their size.
    pub fn is_aligned(&self) -> bool {
        (self.data_ptr() as usize).is_multiple_of(self.view.dtype.size())
    }

    /// True when two elements share memory for certain.
    pub fn overlaps_itself(&self) -> bool {
        layout::internal_overlap(&self.view.shape, &self.view.strides) == layout::Overlap::Yes
    }

    /// Addresses of the first and past the last byte that elements occupy.
    pub fn address_range(&self) -> (usize, usize) {
        let base = self.data_ptr() as usize;
        match layout::extent(&self.view.shape, &self.view.strides) {
            Some((low, high)) => {
                let item = self.view.dtype.size() as i64;
                (
                    base.wrapping_add_signed((low * item) as isize),
                    base.wrapping_add_signed(((high + 1) * item) as isize),
                )
            }
            None => (base, base),
        }
    }

    /// How the memory of two tensors meets. Compares addresses, so it also sees two imports of the same
    /// foreign memory.
    pub fn meets(&self, other: &Tensor) -> Meeting {
        let (a, b) = (self.address_range(), other.address_range());
        if a.0 == a.1 || b.0 == b.1 || a.1 <= b.0 || b.1 <= a.0 {
            return Meeting::Apart;
        }
        let same_map = self.data_ptr() == other.data_ptr()
            && self.view.dtype.size() == other.view.dtype.size()
            && self.view.shape == other.view.shape
            && (0..self.rank()).all(|d| self.view.shape[d] == 1 || self.view.strides[d] == other.view.strides[d]);
        if same_map {
            return Meeting::Same;
        }
        let dense = |t: &Tensor| layout::is_non_overlapping_and_dense(&t.view.shape, &t.view.strides);
        if dense(self) && dense(other) { Meeting::Partial } else { Meeting::Unclear }
    }

    fn expect_dtype(&self, expected: DType) -> Result<()> {
        if self.view.dtype == expected {
            Ok(())
        } else {
            Err(Detail::ExpectedDType { expected, found: self.view.dtype }.into())
        }
    }

    /// All elements in row-major order.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.expect_dtype(T::DTYPE)?;
        let dense = self.contiguous()?;
        let mut bytes = vec![0; dense.nbytes()];
        dense.storage.read(dense.view.offset, &mut bytes);
        Ok(bytes.chunks_exact(T::DTYPE.size()).map(T::decode).collect())
    }

    /// The value of a tensor of one element.
    pub fn item<T: Element>(&self) -> Result<T> {
        if self.numel() != 1 {
            return Err(Detail::WrongLength { expected: self.numel(), got: 1 }.into());
        }
        Ok(self.to_vec()?[0])
    }

    /// The bytes, for a row-major tensor over storage of ours that has no other owner.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if !self.is_contiguous() {
            return None;
        }
        let (offset, len) = (self.view.offset, self.nbytes());
        self.storage.unique_bytes().map(|all| &mut all[offset..offset + len])
    }

    /// The memory and which elements of it.
    pub(crate) fn parts_mut(&mut self) -> (&mut Storage, &View) {
        (&mut self.storage, &self.view)
    }

    /// True when nobody else owns the memory and it may be written.
    pub fn is_unique(&mut self) -> bool {
        !self.storage.is_read_only() && self.storage.is_unique()
    }

    /// The elements, under the conditions of [`Tensor::bytes_mut`].
    pub fn as_mut_slice<T: Element + Plain>(&mut self) -> Option<&mut [T]> {
        if self.view.dtype != T::DTYPE {
            return None;
        }
        self.bytes_mut().and_then(cast_mut)
    }

    /// The same elements under another view of the storage.
    fn with(&self, view: View) -> Tensor {
        debug_assert!(Tensor::of(self.storage.clone(), &view).is_ok(), "T1: a view reaches outside of its tensor");
        Tensor { storage: self.storage.clone(), view }
    }

    /// A view of storage.
    ///
    /// # Errors
    /// When an element would lie outside of the storage.
    pub fn of(storage: Storage, view: &View) -> Result<Tensor> {
        Tensor::from_parts(storage, view.offset, &view.shape, &view.strides, view.dtype)
    }

    /// Which elements of the storage it has.
    pub fn layout(&self) -> &View {
        &self.view
    }

    /// `torch.permute`: dimension d of the result is dimension `dims[d]` of the tensor.
    pub fn permute(&self, dims: &[i64]) -> Result<Tensor> {
        self.view.permute(dims).map(|v| self.with(v))
    }

    /// `torch.transpose`.
    pub fn transpose(&self, a: i64, b: i64) -> Result<Tensor> {
        self.view.transpose(a, b).map(|v| self.with(v))
    }

    /// `torch.select`: index `index` of dimension `dim`, which goes.
    pub fn select(&self, dim: i64, index: i64) -> Result<Tensor> {
        self.view.select(dim, index).map(|v| self.with(v))
    }

    /// `torch.narrow`.
    pub fn narrow(&self, dim: i64, start: i64, length: i64) -> Result<Tensor> {
        self.view.narrow(dim, start, length).map(|v| self.with(v))
    }

    /// `x[start:end:step]` along `dim`, with Python's clamping; the step is positive.
    pub fn slice(&self, dim: i64, start: i64, end: i64, step: i64) -> Result<Tensor> {
        self.view.slice(dim, start, end, step).map(|v| self.with(v))
    }

    /// `torch.Tensor.expand`; -1 keeps an extent.
    pub fn expand(&self, target: &[i64]) -> Result<Tensor> {
        self.view.expand(target).map(|v| self.with(v))
    }

    /// `torch.Tensor.view`: the same elements in row-major order under another shape, never a copy.
    pub fn view(&self, target: &[i64]) -> Result<Tensor> {
        self.view.view(target).map(|v| self.with(v))
    }

    /// `torch.squeeze`: without dimensions of extent 1, or without `dim` if its extent is 1.
    pub fn squeeze(&self, dim: Option<i64>) -> Result<Tensor> {
        self.view.squeeze(dim).map(|v| self.with(v))
    }

    /// `torch.unsqueeze`.
    pub fn unsqueeze(&self, dim: i64) -> Result<Tensor> {
        self.view.unsqueeze(dim).map(|v| self.with(v))
    }

    /// `torch.reshape`: a view where there is one, else a copy.
    pub fn reshape(&self, target: &[i64]) -> Result<Tensor> {
        let shape = self.view.resolve(target)?;
        match layout::view_strides(&self.view.shape, &self.view.strides, &shape) {
            Some(_) => self.view(&shape),
            None => self.contiguous()?.view(&shape),
        }
    }

    /// `torch.flatten`.
    pub fn flatten(&self, start_dim: i64, end_dim: i64) -> Result<Tensor> {
        self.reshape(&self.view.flattened(start_dim, end_dim)?)
    }

    /// A row-major tensor of the same elements: itself, or a copy.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        self.copied()
    }

    /// A row-major copy.
    pub fn copied(&self) -> Result<Tensor> {
        let view = &self.view;
        let storage = self.storage.gather(view.offset, &view.shape, &view.byte_strides(), view.dtype.size())?;
        Ok(Tensor { storage, view: View::contiguous(&view.shape, view.dtype)? })
    }
}

/// The shape that two shapes broadcast to.
pub fn broadcast(a: &[i64], b: &[i64]) -> Result<Vec<i64>> {
    rusttorch_ir::graph::broadcast_shapes(a, b).map_err(|from_end| {
        let rank = a.len().max(b.len());
        Detail::Broadcast { dim: rank - 1 - from_end, a: a[a.len() - 1 - from_end], b: b[b.len() - 1 - from_end] }
            .into()
    })
}
