//! Elements put or gathered into the places that an index names.

use super::lanes::{I64, Lane, Pieces, new_bytes, with_lane};
use crate::error::{Error, ErrorKind, Result};
use rusttorch_runtime::tensor::{Tensor, wrap_dim};

/// What becomes of an element and what is put in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// What is put.
    Set,
    /// Their sum.
    Sum,
    /// Their product.
    Prod,
    /// The larger one; NaN, if one is.
    Max,
    /// The smaller one; NaN, if one is.
    Min,
}

impl Put {
    fn of<L: Lane>(self, old: L::Number, new: L::Number) -> L::Number {
        match self {
            Put::Set => new,
            Put::Sum => L::add(old, new),
            Put::Prod => L::mul(old, new),
            Put::Max if old < new || L::is_nan(new) => new,
            Put::Min if old > new || L::is_nan(new) => new,
            Put::Max | Put::Min => old,
        }
    }

    /// Row by row.
    fn rows<L: Lane>(self, to: &mut [u8], from: &[u8]) {
        fn each<L: Lane>(to: &mut [u8], from: &[u8], f: impl Fn(L::Number, L::Number) -> L::Number) {
            for (to, from) in to.chunks_exact_mut(L::SIZE).zip(from.chunks_exact(L::SIZE)) {
                L::store(f(L::load(to), L::load(from)), to);
            }
        }
        match self {
            Put::Set => to.copy_from_slice(from),
            Put::Sum => each::<L>(to, from, L::add),
            _ => each::<L>(to, from, |old, new| self.of::<L>(old, new)),
        }
    }
}

fn out_of_bounds(index: i64, dim: usize, size: i64) -> Error {
    let text = format!("index {index} is out of bounds for dimension {dim} with size {size}");
    Error::new(ErrorKind::Runtime, text)
}

/// `torch.scatter` and its kin: a copy of `x` into which every element of `src` at the places of `index` goes, at its own
/// place but along `dim`, where the index says it. In the index's row-major order, one by one, each result rounded: there is
/// one result for any number of threads.
///
/// `index` is of int64 and of the rank of `x` and `src`, which have one dtype; in every dimension it is no larger than
/// `src`, nor, but along `dim`, than `x`.
///
/// # Errors
/// A dimension or an index out of range; no memory.
pub fn scatter(how: Put, x: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let dim = wrap_dim(dim, x.rank())?;
    let mut part = src.clone();
    for (d, &n) in index.shape().iter().enumerate() {
        part = part.narrow(d as i64, 0, n)?;
    }
    let mut result = x.copied()?;
    let places = Places { shape: x.shape(), dim, extents: index.shape() };
    let (bytes, (mut index, mut added)) = (new_bytes(&mut result), (Pieces::of(index)?, Pieces::of(&part)?));
    with_lane!(x.dtype(), L => match how {
        Put::Set => places.put::<L>(bytes, &mut index, &mut added, |_, new| new),
        Put::Sum => places.put::<L>(bytes, &mut index, &mut added, L::add),
        _ => places.put::<L>(bytes, &mut index, &mut added, |old, new| how.of::<L>(old, new)),
    })?;
    Ok(result)
}

/// Where the elements of an index are to go.
struct Places<'a> {
    /// Of what they go to.
    shape: &'a [i64],
    dim: usize,
    /// Of the index.
    extents: &'a [i64],
}

/// Elements of a row that are taken at a time.
const RUN: usize = 1 << 12;

impl Places<'_> {
    fn put<L: Lane>(
        &self,
        to: &mut [u8],
        index: &mut Pieces,
        from: &mut Pieces,
        f: impl Fn(L::Number, L::Number) -> L::Number,
    ) -> Result<()> {
        let size = self.shape.get(self.dim).copied().unwrap_or(1);
        let mut strides = vec![1usize; self.shape.len()];
        for d in (1..self.shape.len()).rev() {
            strides[d - 1] = strides[d] * self.shape[d] as usize;
        }
        // Along the last dimension an element's place moves by `step`, along `dim` by what its index says.
        let last = self.shape.len().saturating_sub(1);
        let (across, step) = (strides.get(self.dim).copied().unwrap_or(1), usize::from(self.dim != last));
        let (row, outer) = self.extents.split_last().map_or((1, self.extents), |(&n, outer)| (n as usize, outer));
        let rows = if row == 0 { 0 } else { outer.iter().product() };
        let mut at = vec![0i64; outer.len()];
        for _ in 0..rows {
            let base =
                at.iter().zip(&strides).enumerate().map(|(d, (&i, &s))| if d == self.dim { 0 } else { i as usize * s });
            let mut base: usize = base.sum();
            for first in (0..row).step_by(RUN) {
                let count = RUN.min(row - first);
                let index = index.next(count * I64::SIZE).chunks_exact(I64::SIZE).map(I64::load);
                for (i, new) in index.zip(from.next(count * L::SIZE).chunks_exact(L::SIZE)) {
                    if i < 0 || i >= size {
                        return Err(out_of_bounds(i, self.dim, size));
                    }
                    let old = &mut to[(base + i as usize * across) * L::SIZE..][..L::SIZE];
                    L::store(f(L::load(old), L::load(new)), old);
                    base += step;
                }
            }
            for (i, &extent) in at.iter_mut().zip(outer).rev() {
                *i += 1;
                if *i < extent {
                    break;
                }
                *i = 0;
            }
        }
        Ok(())
    }
}

/// `torch.index_add` and its kin: a copy of `x` into whose slices along `dim` those of `src` go, each to the one that
/// `index` names, in their order. `index` is a vector of int64 with an element for each slice of `src`, whose other extents and
/// dtype are those of `x`.
///
/// # Errors
/// A dimension or an index out of range; no memory.
pub fn index_slices(how: Put, x: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let dim = wrap_dim(dim, x.rank())?;
    let (n, index) = (x.shape().get(dim).copied().unwrap_or(1), index.to_vec::<i64>()?);
    if let Some(&wrong) = index.iter().find(|&&i| i < 0 || i >= n) {
        return Err(out_of_bounds(wrong, dim, n));
    }
    let (mut from, mut result) = (Pieces::of(src)?, x.copied()?);
    let inner: i64 = x.shape().iter().skip(dim + 1).product();
    let slice = inner as usize * x.dtype().size();
    if slice == 0 || index.is_empty() || n == 0 {
        return Ok(result);
    }
    with_lane!(x.dtype(), L => {
        for to in new_bytes(&mut result).chunks_exact_mut(n as usize * slice) {
            for &i in &index {
                how.rows::<L>(&mut to[i as usize * slice..][..slice], from.next(slice));
            }
        }
    });
    Ok(result)
}
