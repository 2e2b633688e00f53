//! Elements put or gathered into the places that an index names.

use super::lanes::{I64, Lane, PIECE, Pieces, RowMajor, Source, new_bytes, share_out, threads, with_lane};
use crate::error::{Error, ErrorKind, Result};
use rusttorch_runtime::tensor::{Tensor, wrap_dim};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
}

fn out_of_bounds(index: i64, dim: usize, size: i64) -> Error {
    let text = format!("index {index} is out of bounds for dimension {dim} with size {size}");
    Error::new(ErrorKind::Runtime, text)
}

/// Refuses an index that is out of range.
fn check_all(index: &[<I64 as Lane>::Bytes], dim: usize, n: i64) -> Result<()> {
    // Without leaving early, so that it is vector code.
    let bad = index.iter().fold(false, |bad, &i| bad | (I64::get(i) as u64 >= n as u64));
    match index.iter().map(|&i| I64::get(i)).find(|&i| bad && (i < 0 || i >= n)) {
        Some(wrong) => Err(out_of_bounds(wrong, dim, n)),
        None => Ok(()),
    }
}

/// Refuses an index, of int64, that is out of range for an extent `n` of dimension `dim`.
///
/// # Errors
/// There is one; no memory.
pub fn check_index(index: &Tensor, dim: usize, n: i64) -> Result<()> {
    check_all(I64::items(RowMajor::of(index)?.bytes()), dim, n)
}

/// Numbers of elements of `n`, of int64, those below 0 counted from the end, as numbers from the start.
///
/// # Errors
/// One is out of range, as `torch.take` says it; no memory.
pub fn from_start(index: &Tensor, n: i64) -> Result<Tensor> {
    let mut result = index.copied()?;
    for item in I64::items_mut(new_bytes(&mut result)) {
        let i = I64::get(*item);
        if i < -n || i >= n {
            return Err(Error::index(format!("out of range: tried to access index {i} on a tensor of {n} elements.")));
        }
        *item = I64::put(if i < 0 { i + n } else { i });
    }
    Ok(result)
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
    let (bytes, (index, added)) = (new_bytes(&mut result), (Source::of(index)?, Source::of(&part)?));
    let wrong = with_lane!(x.dtype(), L => match how {
        Put::Set => places.share::<L>(bytes, &index, &added, |_, new| new),
        Put::Sum => places.share::<L>(bytes, &index, &added, L::add),
        _ => places.share::<L>(bytes, &index, &added, |old, new| how.of::<L>(old, new)),
    });
    wrong.map_or(Ok(result), |i| Err(out_of_bounds(i, dim, x.shape().get(dim).copied().unwrap_or(1))))
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
const RUN: usize = 1 << 10;
/// Elements below which threads cost more than they bring.
const PARALLEL_FROM: i64 = 1 << 15;

impl Places<'_> {
    /// Puts all elements; an index that is out of range, if one is: the first one.
    fn share<L: Lane>(
        &self,
        to: &mut [u8],
        index: &Source,
        from: &Source,
        f: impl Fn(L::Number, L::Number) -> L::Number + Sync,
    ) -> Option<i64> {
        let count: i64 = self.extents.iter().product();
        if self.dim == 0 || count < PARALLEL_FROM || threads() == 1 {
            let wrong = Mutex::new(None);
            share_out(vec![to], |to| *lock(&wrong) = self.put::<L>(self.extents, 0, to, index, from, &f));
            return wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        // Nothing goes from one index of the first dimension to another.
        let inner: i64 = self.shape[1..].iter().product();
        let share = (PARALLEL_FROM / 4 * self.extents[0] / count).max(1);
        let used = &mut to[..(self.extents[0] * inner) as usize * L::SIZE];
        let wrong = Mutex::new(None::<(usize, i64)>);
        share_out(used.chunks_mut((share * inner) as usize * L::SIZE).enumerate().collect(), |(i, to)| {
            let mut extents = self.extents.to_vec();
            extents[0] = share.min(self.extents[0] - i as i64 * share);
            let first = i * (share * count / self.extents[0]) as usize;
            if let Some(index) = self.put::<L>(&extents, first, to, index, from, &f) {
                let mut wrong = lock(&wrong);
                *wrong = Some(wrong.map_or((i, index), |known| known.min((i, index))));
            }
        });
        wrong.into_inner().unwrap_or_else(PoisonError::into_inner).map(|(_, index)| index)
    }

    /// Puts the elements from number `first` on, as many as these extents have.
    fn put<L: Lane>(
        &self,
        extents: &[i64],
        first: usize,
        to: &mut [u8],
        index: &Source,
        from: &Source,
        f: impl Fn(L::Number, L::Number) -> L::Number,
    ) -> Option<i64> {
        let size = self.shape.get(self.dim).copied().unwrap_or(1);
        let mut strides = vec![1usize; self.shape.len()];
        for d in (1..self.shape.len()).rev() {
            strides[d - 1] = strides[d] * self.shape[d] as usize;
        }
        // Along the last dimension an element's place moves by `step`, along `dim` by what its index says.
        let last = self.shape.len().saturating_sub(1);
        let (across, step) = (strides.get(self.dim).copied().unwrap_or(1), usize::from(self.dim != last));
        let (row, outer) = extents.split_last().map_or((1, extents), |(&n, outer)| (n as usize, outer));
        let rows = if row == 0 { 0 } else { outer.iter().product() };
        let end = first + rows as usize * row;
        let to = L::items_mut(to);
        let mut index = Pieces::of(index, first * I64::SIZE..end * I64::SIZE);
        let mut from = Pieces::of(from, first * L::SIZE..end * L::SIZE);
        let mut at = vec![0i64; outer.len()];
        for _ in 0..rows {
            let base =
                at.iter().zip(&strides).enumerate().map(|(d, (&i, &s))| if d == self.dim { 0 } else { i as usize * s });
            let mut base: usize = base.sum();
            for first in (0..row).step_by(RUN) {
                let count = RUN.min(row - first);
                let index = I64::items(index.next(count * I64::SIZE));
                for (&i, &new) in index.iter().zip(L::items(from.next(count * L::SIZE))) {
                    let i = I64::get(i);
                    if i < 0 || i >= size {
                        return Some(i);
                    }
                    let old = &mut to[base + i as usize * across];
                    *old = L::put(f(L::get(*old), L::get(new)));
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
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `torch.index_add` and its kin: a copy of `x` into whose slices along `dim` those of `src` go, each to the one that
/// `index` names, in their order. `index` is a vector of int64 with an element for each slice of `src`, whose other extents and
/// dtype are those of `x`.
///
/// # Errors
/// A dimension or an index out of range; no memory.
pub fn index_slices(how: Put, x: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let dim = wrap_dim(dim, x.rank())?;
    let n = x.shape().get(dim).copied().unwrap_or(1);
    let mut index = RowMajor::of(index)?;
    let index = I64::items(index.bytes());
    check_all(index, dim, n)?;
    let (from, mut result) = (Source::of(src)?, x.copied()?);
    let inner: i64 = x.shape().iter().skip(dim + 1).product();
    let slice = inner as usize * x.dtype().size();
    if slice == 0 || index.is_empty() || n == 0 {
        return Ok(result);
    }
    let out = new_bytes(&mut result);
    let n = n as usize;
    with_lane!(x.dtype(), L => match how {
        Put::Set => put_slices::<L>(out, n, slice, index, &from, |to, new| to.copy_from_slice(new)),
        Put::Sum => put_slices::<L>(out, n, slice, index, &from, |to, new| each::<L>(to, new, L::add)),
        _ => put_slices::<L>(out, n, slice, index, &from, |to, new| each::<L>(to, new, |a, b| how.of::<L>(a, b))),
    });
    Ok(result)
}

#[inline]
fn each<L: Lane>(to: &mut [u8], new: &[u8], f: impl Fn(L::Number, L::Number) -> L::Number) {
    for (to, &new) in L::items_mut(to).iter_mut().zip(L::items(new)) {
        *to = L::put(f(L::get(*to), L::get(new)));
    }
}

/// Bytes of slices from which threads share them, each having some of the places.
const WIDE: usize = 1 << 8;

/// Puts slices of `slice` bytes into blocks of `n` such, as `one` does it.
fn put_slices<L: Lane>(
    out: &mut [u8],
    n: usize,
    slice: usize,
    index: &[<I64 as Lane>::Bytes],
    from: &Source,
    one: impl Fn(&mut [u8], &[u8]) + Sync,
) {
    let (size, block) = (L::SIZE, index.len() * slice);
    let blocks = out.len() / (n * slice);
    let threads = if blocks * block / size < PARALLEL_FROM as usize { 1 } else { threads() };
    if blocks == 1 && threads > 1 && slice >= WIDE {
        // Each thread has some of the places and what goes there, in its order.
        let share = n.div_ceil(threads * 2);
        share_out(out.chunks_mut(share * slice).enumerate().collect(), |(part, to): (usize, &mut [u8])| {
            let mut buffer = vec![0; slice];
            for (k, i) in index.iter().map(|&i| I64::get(i) as usize).enumerate() {
                if i / share == part {
                    from.read(k * slice, &mut buffer);
                    one(&mut to[i % share * slice..][..slice], &buffer);
                }
            }
        });
        return;
    }
    let share = blocks.div_ceil(threads * 4).max(1);
    share_out(out.chunks_mut(share * n * slice).enumerate().collect(), |(part, to): (usize, &mut [u8])| {
        let first = part * share * block;
        let mut from = Pieces::of(from, first..first + to.len() / (n * slice) * block);
        for to in to.chunks_exact_mut(n * slice) {
            if slice == size {
                for index in index.chunks(RUN) {
                    for (&i, new) in index.iter().zip(from.next(index.len() * size).chunks_exact(size)) {
                        one(&mut to[I64::get(i) as usize * size..][..size], new);
                    }
                }
            } else {
                for &i in index {
                    one(&mut to[I64::get(i) as usize * slice..][..slice], from.next(slice));
                }
            }
        }
    });
}

/// `torch.index_select`: the slices of `x` along `dim` that `index`, a vector of int64, names.
///
/// # Errors
/// A dimension or an index out of range; no memory.
pub fn select_slices(x: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let dim = wrap_dim(dim, x.rank())?;
    let (n, source, mut index) = (x.shape().get(dim).copied().unwrap_or(1), Source::of(x)?, RowMajor::of(index)?);
    let index = I64::items(index.bytes());
    check_all(index, dim, n)?;
    let mut shape = x.shape().to_vec();
    let inner: i64 = shape.iter().skip(dim + 1).product();
    if let Some(extent) = shape.get_mut(dim) {
        *extent = index.len() as i64;
    }
    let slice = inner as usize * x.dtype().size();
    let mut result = Tensor::empty(&shape, x.dtype())?;
    let out = new_bytes(&mut result);
    if !out.is_empty() {
        let share = (PIECE * 16 / slice).max(1);
        share_out(out.chunks_mut(share * slice).enumerate().collect(), |(part, out): (usize, &mut [u8])| {
            for (row, out) in (part * share..).zip(out.chunks_exact_mut(slice)) {
                let (block, i) = (row / index.len(), I64::get(index[row % index.len()]) as usize);
                source.read((block * n as usize + i) * slice, out);
            }
        });
    }
    Ok(result)
}
