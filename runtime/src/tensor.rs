//! Tensors: strided views of storage.
//!
//! Invariant (T1): every element of a tensor lies within its storage, so that code which holds a tensor
//! needs no further bounds check. Upheld by `from_parts`, the one constructor that takes strides from
//! outside; views reach a subset of what their tensor reaches.

use rusttorch_ir::dtype::DType;
use rusttorch_ir::graph::TensorMeta;

use crate::dims::Dims;
use crate::error::{Detail, Result};
use crate::layout;
use crate::storage::{Plain, Storage, cast_mut};

/// A strided view of storage. Cheap to clone; clones share memory.
#[derive(Clone, Debug)]
pub struct Tensor {
    storage: Storage,
    /// Of the element at index 0, in bytes.
    offset: usize,
    shape: Dims,
    strides: Dims,
    dtype: DType,
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

/// Bytes of a dense tensor.
fn dense_bytes(shape: &[i64], dtype: DType) -> Result<usize> {
    if let Some(dim) = shape.iter().position(|&n| n < 0) {
        return Err(Detail::NegativeExtent { shape: shape.to_vec(), dim }.into());
    }
    layout::checked_numel(shape)
        .and_then(|n| usize::try_from(n).ok()?.checked_mul(dtype.size()))
        .filter(|&n| n <= isize::MAX as usize)
        .ok_or_else(|| Detail::SizeOverflow { shape: shape.to_vec() }.into())
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
        Ok(Tensor { storage, offset, shape: shape.into(), strides: strides.into(), dtype })
    }

    /// New memory of arbitrary content, row-major.
    pub fn empty(shape: &[i64], dtype: DType) -> Result<Tensor> {
        let storage = Storage::new(dense_bytes(shape, dtype)?)?;
        Ok(Tensor { storage, offset: 0, shape: shape.into(), strides: Dims::contiguous(shape), dtype })
    }

    /// New memory of arbitrary content under non-negative strides.
    pub fn empty_strided(shape: &[i64], strides: &[i64], dtype: DType) -> Result<Tensor> {
        dense_bytes(shape, dtype)?;
        let overflow = || Detail::SizeOverflow { shape: shape.to_vec() };
        let bytes = if shape.contains(&0) {
            0
        } else {
            layout::extent(shape, strides)
                .and_then(|(_, high)| usize::try_from(high).ok()?.checked_add(1)?.checked_mul(dtype.size()))
                .ok_or_else(overflow)?
        };
        Tensor::from_parts(Storage::new(bytes)?, 0, shape, strides, dtype)
    }

    /// New zeros, row-major.
    pub fn zeros(shape: &[i64], dtype: DType) -> Result<Tensor> {
        let storage = Storage::zeroed(dense_bytes(shape, dtype)?)?;
        Ok(Tensor { storage, offset: 0, shape: shape.into(), strides: Dims::contiguous(shape), dtype })
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
        self.offset
    }

    /// Address of the element at index 0. Reading and writing through it is subject to rule S1 of
    /// [`crate::storage`].
    pub fn data_ptr(&self) -> *mut u8 {
        self.storage.as_ptr().wrapping_add(self.offset)
    }

    /// Extents.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Strides in elements.
    pub fn strides(&self) -> &[i64] {
        &self.strides
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn numel(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Bytes of its elements.
    pub fn nbytes(&self) -> usize {
        self.numel() as usize * self.dtype.size()
    }

    /// Dtype and layout, as the compiler sees them.
    pub fn meta(&self) -> TensorMeta {
        TensorMeta { dtype: self.dtype, shape: self.shape.to_vec(), strides: self.strides.to_vec() }
    }

    /// True when elements are row-major without gaps.
    pub fn is_contiguous(&self) -> bool {
        layout::is_contiguous(&self.shape, &self.strides)
    }

    /// True when elements lie at multiples of their size.
    pub fn is_aligned(&self) -> bool {
        (self.data_ptr() as usize).is_multiple_of(self.dtype.size())
    }

    /// True when two elements share memory for certain.
    pub fn overlaps_itself(&self) -> bool {
        layout::internal_overlap(&self.shape, &self.strides) == layout::Overlap::Yes
    }

    /// Addresses of the first and past the last byte that elements occupy.
    pub fn address_range(&self) -> (usize, usize) {
        let base = self.data_ptr() as usize;
        match layout::extent(&self.shape, &self.strides) {
            Some((low, high)) => {
                let item = self.dtype.size() as i64;
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
            && self.dtype.size() == other.dtype.size()
            && self.shape == other.shape
            && (0..self.rank()).all(|d| self.shape[d] == 1 || self.strides[d] == other.strides[d]);
        if same_map {
            return Meeting::Same;
        }
        let dense = |t: &Tensor| layout::is_non_overlapping_and_dense(&t.shape, &t.strides);
        if dense(self) && dense(other) { Meeting::Partial } else { Meeting::Unclear }
    }

    fn expect_dtype(&self, expected: DType) -> Result<()> {
        if self.dtype == expected { Ok(()) } else { Err(Detail::ExpectedDType { expected, found: self.dtype }.into()) }
    }

    /// All elements in row-major order.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.expect_dtype(T::DTYPE)?;
        let dense = self.contiguous()?;
        let mut bytes = vec![0; dense.nbytes()];
        dense.storage.read(dense.offset, &mut bytes);
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
        let (offset, len) = (self.offset, self.nbytes());
        self.storage.unique_bytes().map(|all| &mut all[offset..offset + len])
    }

    /// True when nobody else owns the memory and it may be written.
    pub fn is_unique(&mut self) -> bool {
        !self.storage.is_read_only() && self.storage.is_unique()
    }

    /// The elements, under the conditions of [`Tensor::bytes_mut`].
    pub fn as_mut_slice<T: Element + Plain>(&mut self) -> Option<&mut [T]> {
        if self.dtype != T::DTYPE {
            return None;
        }
        self.bytes_mut().and_then(cast_mut)
    }

    /// The index of a possibly negative dimension.
    fn dim(&self, dim: i64) -> Result<usize> {
        wrap_dim(dim, self.rank())
    }

    /// The same elements under extents and strides that reach no others.
    fn view_as(&self, shape: impl Into<Dims>, strides: impl Into<Dims>, offset: usize) -> Tensor {
        let view = Tensor {
            storage: self.storage.clone(),
            offset,
            shape: shape.into(),
            strides: strides.into(),
            dtype: self.dtype,
        };
        debug_assert!(
            Tensor::from_parts(view.storage.clone(), offset, &view.shape, &view.strides, view.dtype).is_ok(),
            "T1: a view reaches outside of its tensor"
        );
        view
    }

    /// `torch.permute`: dimension d of the result is dimension `dims[d]` of the tensor.
    pub fn permute(&self, dims: &[i64]) -> Result<Tensor> {
        if dims.len() != self.rank() {
            return Err(Detail::PermuteRank { rank: self.rank(), dims: dims.len() }.into());
        }
        let dims: Vec<usize> = dims.iter().map(|&d| self.dim(d)).collect::<Result<_>>()?;
        if (0..dims.len()).any(|d| dims[..d].contains(&dims[d])) {
            return Err(Detail::PermuteDuplicate.into());
        }
        let pick = |from: &[i64]| dims.iter().map(|&d| from[d]).collect::<Dims>();
        Ok(self.view_as(pick(&self.shape), pick(&self.strides), self.offset))
    }

    /// `torch.transpose`.
    pub fn transpose(&self, a: i64, b: i64) -> Result<Tensor> {
        let (a, b) = (self.dim(a)?, self.dim(b)?);
        let mut view = self.clone();
        if self.rank() > 0 {
            view.shape.swap(a, b);
            view.strides.swap(a, b);
        }
        Ok(view)
    }

    /// `torch.select`: index `index` of dimension `dim`, which goes.
    pub fn select(&self, dim: i64, index: i64) -> Result<Tensor> {
        let d = self.dim(dim)?;
        let n = *self.shape.get(d).ok_or(Detail::DimOutOfRange { dim, rank: 0 })?;
        let at = if index < 0 { index + n } else { index };
        if !(0..n).contains(&at) {
            return Err(Detail::IndexOutOfRange { index, dim: d, shape: self.shape.to_vec() }.into());
        }
        let without = |from: &[i64]| (0..from.len()).filter(|&i| i != d).map(|i| from[i]).collect::<Dims>();
        Ok(self.view_as(without(&self.shape), without(&self.strides), self.moved(d, at)))
    }

    /// `torch.narrow`.
    pub fn narrow(&self, dim: i64, start: i64, length: i64) -> Result<Tensor> {
        let d = self.dim(dim)?;
        let size = *self.shape.get(d).ok_or(Detail::DimOutOfRange { dim, rank: 0 })?;
        if length < 0 {
            return Err(Detail::NarrowNegative.into());
        }
        let first = if start < 0 { start + size } else { start };
        if first < 0 || first.checked_add(length).is_none_or(|end| end > size) {
            return Err(Detail::Narrow { start, length, size }.into());
        }
        self.slice(dim, first, first + length, 1)
    }

    /// `x[start:end:step]` along `dim`, with Python's clamping; the step is positive.
    pub fn slice(&self, dim: i64, start: i64, end: i64, step: i64) -> Result<Tensor> {
        let d = self.dim(dim)?;
        let n = *self.shape.get(d).ok_or(Detail::DimOutOfRange { dim, rank: 0 })?;
        if step <= 0 {
            return Err(Detail::SliceStep.into());
        }
        let clamp = |i: i64| if i < 0 { i.saturating_add(n) } else { i }.clamp(0, n);
        let (start, end) = (clamp(start), clamp(end));
        let length = (end - start).max(0);
        let length = length / step + i64::from(length % step != 0);
        let (mut shape, mut strides) = (self.shape.clone(), self.strides.clone());
        shape[d] = length;
        // A saturated stride belongs to an extent of at most 1.
        strides[d] = strides[d].saturating_mul(step);
        let offset = if length > 0 { self.moved(d, start) } else { self.offset };
        Ok(self.view_as(shape, strides, offset))
    }

    /// Offset of index `at` of dimension `d`; inside the tensor, so inside the storage.
    fn moved(&self, d: usize, at: i64) -> usize {
        if self.shape.contains(&0) {
            return self.offset;
        }
        self.offset.wrapping_add_signed((at * self.strides[d]) as isize * self.dtype.size() as isize)
    }

    /// `torch.Tensor.expand`; -1 keeps an extent.
    pub fn expand(&self, target: &[i64]) -> Result<Tensor> {
        let Some(lead) = target.len().checked_sub(self.rank()) else {
            let (dtype, shape) = (self.dtype, self.shape.to_vec());
            return Err(Detail::ExpandRank { dtype, shape, target: target.to_vec() }.into());
        };
        let mut shape = Dims::from(target);
        let mut strides = Dims::zeros(target.len());
        for d in 0..target.len() {
            if d < lead {
                if target[d] < 0 {
                    return Err(Detail::ExpandLeading { dim: d, target: target.to_vec() }.into());
                }
                continue;
            }
            let own = self.shape[d - lead];
            shape[d] = if target[d] == -1 { own } else { target[d] };
            strides[d] = self.strides[d - lead];
            if shape[d] != own {
                if own != 1 || shape[d] < 0 {
                    let shape = self.shape.to_vec();
                    return Err(Detail::ExpandMismatch { dim: d, shape, target: target.to_vec() }.into());
                }
                strides[d] = 0;
            }
        }
        dense_bytes(&shape, self.dtype)?;
        Ok(self.view_as(shape, strides, self.offset))
    }

    /// `torch.Tensor.view`: the same elements in row-major order under another shape, never a copy.
    pub fn view(&self, target: &[i64]) -> Result<Tensor> {
        let shape = self.resolve(target)?;
        match layout::view_strides(&self.shape, &self.strides, &shape) {
            Some(strides) => Ok(self.view_as(shape, strides, self.offset)),
            None => Err(Detail::NotViewable.into()),
        }
    }

    /// `torch.reshape`: a view where there is one, else a copy.
    pub fn reshape(&self, target: &[i64]) -> Result<Tensor> {
        let shape = self.resolve(target)?;
        match layout::view_strides(&self.shape, &self.strides, &shape) {
            Some(strides) => Ok(self.view_as(shape, strides, self.offset)),
            None => self.contiguous()?.view(&shape),
        }
    }

    /// A reshape's target with its -1 replaced.
    fn resolve(&self, target: &[i64]) -> Result<Vec<i64>> {
        let numel = self.numel();
        let mut unknown = None;
        for (dim, &n) in target.iter().enumerate() {
            match n {
                -1 if unknown.is_some() => return Err(Detail::ReshapeTwoUnknown.into()),
                -1 => unknown = Some(dim),
                n if n < 0 => return Err(Detail::ReshapeInvalid { shape: target.to_vec(), dim }.into()),
                _ => {}
            }
        }
        let mut shape = target.to_vec();
        let mismatch = || Detail::ReshapeMismatch { shape: target.to_vec(), numel };
        if let Some(dim) = unknown {
            shape[dim] = 1;
            let known = layout::checked_numel(&shape).ok_or_else(mismatch)?;
            if known == 0 && numel == 0 {
                return Err(Detail::ReshapeAmbiguous { shape: target.to_vec() }.into());
            }
            if known == 0 || numel % known != 0 {
                return Err(mismatch().into());
            }
            shape[dim] = numel / known;
        }
        if layout::checked_numel(&shape) != Some(numel) {
            return Err(mismatch().into());
        }
        Ok(shape)
    }

    /// `torch.flatten`.
    pub fn flatten(&self, start_dim: i64, end_dim: i64) -> Result<Tensor> {
        let (start, end) = (self.dim(start_dim)?, self.dim(end_dim)?);
        if start > end {
            return Err(Detail::FlattenOrder.into());
        }
        if self.rank() == 0 {
            return self.reshape(&[1]);
        }
        let mut shape = self.shape[..start].to_vec();
        shape.push(self.shape[start..=end].iter().product());
        shape.extend_from_slice(&self.shape[end + 1..]);
        self.reshape(&shape)
    }

    /// `torch.squeeze`: without dimensions of extent 1, or without `dim` if its extent is 1.
    pub fn squeeze(&self, dim: Option<i64>) -> Result<Tensor> {
        let only = dim.map(|d| self.dim(d)).transpose()?;
        let kept = |d: &usize| self.shape[*d] != 1 || only.is_some_and(|o| o != *d);
        let pick = |from: &[i64]| (0..self.rank()).filter(kept).map(|d| from[d]).collect::<Dims>();
        Ok(self.view_as(pick(&self.shape), pick(&self.strides), self.offset))
    }

    /// `torch.unsqueeze`.
    pub fn unsqueeze(&self, dim: i64) -> Result<Tensor> {
        let d = wrap_dim(dim, self.rank() + 1)?;
        let stride = if d < self.rank() { self.strides[d].saturating_mul(self.shape[d]) } else { 1 };
        let insert = |from: &[i64], v: i64| {
            from[..d].iter().copied().chain([v]).chain(from[d..].iter().copied()).collect::<Dims>()
        };
        Ok(self.view_as(insert(&self.shape, 1), insert(&self.strides, stride), self.offset))
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
        let item = self.dtype.size();
        let strides: Dims = self.strides.iter().map(|s| s.saturating_mul(item as i64)).collect();
        let storage = self.storage.gather(self.offset, &self.shape, &strides, item)?;
        let strides = Dims::contiguous(&self.shape);
        Ok(Tensor { storage, offset: 0, shape: self.shape.clone(), strides, dtype: self.dtype })
    }
}

/// The index of a possibly negative dimension among `rank`; a rank of 0 counts as 1.
pub fn wrap_dim(dim: i64, rank: usize) -> Result<usize> {
    let n = rank.max(1) as i64;
    if !(-n..n).contains(&dim) {
        return Err(Detail::DimOutOfRange { dim, rank }.into());
    }
    Ok(dim.rem_euclid(n) as usize)
}

/// The shape that two shapes broadcast to.
pub fn broadcast(a: &[i64], b: &[i64]) -> Result<Vec<i64>> {
    rusttorch_ir::graph::broadcast_shapes(a, b).map_err(|from_end| {
        let rank = a.len().max(b.len());
        Detail::Broadcast { dim: rank - 1 - from_end, a: a[a.len() - 1 - from_end], b: b[b.len() - 1 - from_end] }
            .into()
    })
}
