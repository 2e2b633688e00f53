//! Views: extents, strides and an offset, apart from the memory they are of. What `torch.permute`,
//! `torch.narrow` and their like do is here once, for tensors that have memory ([`crate::tensor`]) and
//! for those whose values are still to be computed.
//!
//! Invariant (V1): a view made of another reaches no element that the other does not.

use rusttorch_ir::dtype::DType;
use rusttorch_ir::graph::TensorMeta;

use crate::dims::Dims;
use crate::error::{Detail, Result};
use crate::layout;

/// Which elements of a storage, in which order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct View {
    /// Of the element at index 0, in bytes.
    pub(crate) offset: usize,
    pub(crate) shape: Dims,
    pub(crate) strides: Dims,
    pub(crate) dtype: DType,
}

/// Bytes of a dense tensor.
pub(crate) fn dense_bytes(shape: &[i64], dtype: DType) -> Result<usize> {
    if let Some(dim) = shape.iter().position(|&n| n < 0) {
        return Err(Detail::NegativeExtent { shape: shape.to_vec(), dim }.into());
    }
    layout::checked_numel(shape)
        .and_then(|n| usize::try_from(n).ok()?.checked_mul(dtype.size()))
        .filter(|&n| n <= isize::MAX as usize)
        .ok_or_else(|| Detail::SizeOverflow { shape: shape.to_vec() }.into())
}

impl View {
    /// A row-major view from the start of a storage.
    pub fn contiguous(shape: &[i64], dtype: DType) -> Result<View> {
        dense_bytes(shape, dtype)?;
        let strides = Dims::contiguous(shape);
        // Of an empty tensor: others are that small.
        if strides.contains(&i64::MAX) {
            return Err(Detail::StrideOverflow { shape: shape.to_vec() }.into());
        }
        Ok(View { offset: 0, shape: shape.into(), strides, dtype })
    }

    /// A view of a storage of its own, as a result has it. Strides are not negative.
    pub fn of_result(meta: &TensorMeta) -> Result<View> {
        dense_bytes(&meta.shape, meta.dtype)?;
        let (shape, strides) = (meta.shape.as_slice().into(), meta.strides.as_slice().into());
        Ok(View { offset: 0, shape, strides, dtype: meta.dtype })
    }

    /// Position of the element at index 0 in the storage, in bytes.
    pub fn byte_offset(&self) -> usize {
        self.offset
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

    /// True when two elements share memory for certain.
    pub fn overlaps_itself(&self) -> bool {
        layout::internal_overlap(&self.shape, &self.strides) == layout::Overlap::Yes
    }

    /// Strides in bytes.
    pub fn byte_strides(&self) -> Dims {
        self.strides.iter().map(|s| s.saturating_mul(self.dtype.size() as i64)).collect()
    }

    /// The same layout from the start of a storage.
    pub fn at_start(&self) -> View {
        View { offset: 0, ..self.clone() }
    }

    /// Bytes that storage needs for a view at its start, whose strides are not negative.
    pub fn span(&self) -> Result<usize> {
        if self.shape.contains(&0) {
            return Ok(0);
        }
        layout::extent(&self.shape, &self.strides)
            .and_then(|(_, high)| usize::try_from(high).ok()?.checked_add(1)?.checked_mul(self.dtype.size()))
            .ok_or_else(|| Detail::SizeOverflow { shape: self.shape.to_vec() }.into())
    }

    /// Each element once: what is repeated, by a stride of 0, is there one time.
    pub fn without_repeats(&self) -> View {
        let shape = self.shape.iter().zip(self.strides.iter()).map(|(&n, &s)| if s == 0 { n.min(1) } else { n });
        View { shape: shape.collect(), ..self.clone() }
    }

    /// True when some order of the dimensions makes the elements contiguous.
    pub fn is_dense(&self) -> bool {
        layout::is_non_overlapping_and_dense(&self.shape, &self.strides)
    }

    /// The index of a possibly negative dimension.
    fn dim(&self, dim: i64) -> Result<usize> {
        wrap_dim(dim, self.rank())
    }

    /// The same elements under extents and strides that reach no others.
    fn view_as(&self, shape: impl Into<Dims>, strides: impl Into<Dims>, offset: usize) -> View {
        View { offset, shape: shape.into(), strides: strides.into(), dtype: self.dtype }
    }

    /// `torch.permute`: dimension d of the result is dimension `dims[d]` of the tensor.
    pub fn permute(&self, dims: &[i64]) -> Result<View> {
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
    pub fn transpose(&self, a: i64, b: i64) -> Result<View> {
        let (a, b) = (self.dim(a)?, self.dim(b)?);
        let mut view = self.clone();
        if self.rank() > 0 {
            view.shape.swap(a, b);
            view.strides.swap(a, b);
        }
        Ok(view)
    }

    /// `torch.select`: index `index` of dimension `dim`, which goes.
    pub fn select(&self, dim: i64, index: i64) -> Result<View> {
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
    pub fn narrow(&self, dim: i64, start: i64, length: i64) -> Result<View> {
        if self.rank() == 0 {
            return Err(Detail::NarrowScalar.into());
        }
        let d = self.dim(dim)?;
        let size = *self.shape.get(d).ok_or(Detail::DimOutOfRange { dim, rank: 0 })?;
        if length < 0 {
            return Err(Detail::NarrowNegative.into());
        }
        if !(-size..=size).contains(&start) {
            return Err(Detail::NarrowStart { start, size }.into());
        }
        let first = if start < 0 { start + size } else { start };
        if first < 0 || first.checked_add(length).is_none_or(|end| end > size) {
            return Err(Detail::Narrow { start, length, size }.into());
        }
        self.slice(dim, first, first + length, 1)
    }

    /// `x[start:end:step]` along `dim`, with Python's clamping; the step is positive.
    pub fn slice(&self, dim: i64, start: i64, end: i64, step: i64) -> Result<View> {
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

    /// `torch.diagonal`: the elements of two dimensions whose indices differ by `offset`, as a last dimension.
    pub fn diagonal(&self, offset: i64, dim1: i64, dim2: i64) -> Result<View> {
        let (a, b) = (self.dim(dim1)?, self.dim(dim2)?);
        if a == b || self.rank() == 0 {
            return Err(Detail::DiagonalDims { dim1, dim2 }.into());
        }
        let (rows, columns) = (self.shape[a], self.shape[b]);
        let length = rows.min(rows.saturating_add(offset)).min(columns).min(columns.saturating_sub(offset)).max(0);
        let place = if length == 0 {
            self.offset
        } else if offset >= 0 {
            self.moved(b, offset)
        } else {
            self.moved(a, -offset)
        };
        let rest = |from: &[i64], last: i64| {
            (0..from.len()).filter(|&d| d != a && d != b).map(|d| from[d]).chain([last]).collect::<Dims>()
        };
        // A saturated stride belongs to an extent of at most 1.
        let stride = self.strides[a].saturating_add(self.strides[b]);
        Ok(self.view_as(rest(&self.shape, length), rest(&self.strides, stride), place))
    }

    /// `torch.Tensor.unfold`: every `step`-th range of `size` elements along `dim`, as a last dimension.
    pub fn unfold(&self, dim: i64, size: i64, step: i64) -> Result<View> {
        let d = self.dim(dim)?;
        let (n, stride) = (self.shape.get(d).map_or(1, |&n| n), self.strides.get(d).map_or(1, |&s| s));
        if size < 0 {
            return Err(Detail::UnfoldSize { size }.into());
        }
        if size > n {
            return Err(Detail::UnfoldBeyond { dim: d, extent: n, size }.into());
        }
        if step <= 0 {
            return Err(Detail::UnfoldStep { step }.into());
        }
        let (mut shape, mut strides) = (self.shape.to_vec(), self.strides.to_vec());
        if d < shape.len() {
            shape[d] = (n - size) / step + 1;
            // A saturated stride belongs to an extent of at most 1.
            strides[d] = stride.saturating_mul(step);
        }
        shape.push(size);
        strides.push(stride);
        Ok(self.view_as(shape, strides, self.offset))
    }

    /// Offset of index `at` of dimension `d`; inside the tensor, so inside the storage.
    fn moved(&self, d: usize, at: i64) -> usize {
        if self.shape.contains(&0) {
            return self.offset;
        }
        self.offset.wrapping_add_signed((at * self.strides[d]) as isize * self.dtype.size() as isize)
    }

    /// `torch.Tensor.expand`; -1 keeps an extent.
    pub fn expand(&self, target: &[i64]) -> Result<View> {
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
    pub fn view(&self, target: &[i64]) -> Result<View> {
        let shape = self.resolve(target)?;
        match layout::view_strides(&self.shape, &self.strides, &shape) {
            Some(strides) => Ok(self.view_as(shape, strides, self.offset)),
            None => Err(Detail::NotViewable.into()),
        }
    }

    /// A reshape's target with its -1 replaced.
    pub fn resolve(&self, target: &[i64]) -> Result<Vec<i64>> {
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

    /// The shape of `torch.flatten`.
    pub fn flattened(&self, start_dim: i64, end_dim: i64) -> Result<Vec<i64>> {
        let (start, end) = (self.dim(start_dim)?, self.dim(end_dim)?);
        if start > end {
            return Err(Detail::FlattenOrder.into());
        }
        if self.rank() == 0 {
            return Ok(vec![1]);
        }
        let mut shape = self.shape[..start].to_vec();
        // Of an empty tensor, it may be too large.
        let joined = self.shape[start..=end].iter().try_fold(1i64, |product, &n| product.checked_mul(n));
        shape.push(joined.ok_or_else(|| Detail::SizeOverflow { shape: self.shape.to_vec() })?);
        shape.extend_from_slice(&self.shape[end + 1..]);
        Ok(shape)
    }

    /// `torch.squeeze`: without dimensions of extent 1, or without `dim` if its extent is 1.
    pub fn squeeze(&self, dim: Option<i64>) -> Result<View> {
        let only = dim.map(|d| self.dim(d)).transpose()?;
        let kept = |d: &usize| self.shape[*d] != 1 || only.is_some_and(|o| o != *d);
        let pick = |from: &[i64]| (0..self.rank()).filter(kept).map(|d| from[d]).collect::<Dims>();
        Ok(self.view_as(pick(&self.shape), pick(&self.strides), self.offset))
    }

    /// `torch.unsqueeze`.
    pub fn unsqueeze(&self, dim: i64) -> Result<View> {
        let d = wrap_dim(dim, self.rank() + 1)?;
        let stride = if d < self.rank() { self.strides[d].saturating_mul(self.shape[d]) } else { 1 };
        let insert = |from: &[i64], v: i64| {
            from[..d].iter().copied().chain([v]).chain(from[d..].iter().copied()).collect::<Dims>()
        };
        Ok(self.view_as(insert(&self.shape, 1), insert(&self.strides, stride), self.offset))
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
