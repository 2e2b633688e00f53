//! Sums, products, maxima and the like up to every element of a line.
//!
//! Elements are taken in order, one by one, which is the order of their additions. Floats are added in float64 and
//! 16-bit floats in float32, as PyTorch does on CPU, and rounded where they are stored.

use super::lanes::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, Lane, RowMajor, U8, new_bytes, with_lane};
use crate::error::{Error, ErrorKind, Result};
use rayon::prelude::*;
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::pool::OwnPool;
use rusttorch_runtime::tensor::{Tensor, wrap_dim};

/// Elements below which threads cost more than they bring.
const PARALLEL_FROM: i64 = 1 << 15;

/// What is carried along a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scan {
    /// `torch.cumsum`.
    Sum,
    /// `torch.cumprod`.
    Prod,
    /// `torch.logcumsumexp`, of floats.
    LogSumExp,
}

/// Which element wins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extremes {
    /// `torch.cummax`.
    Max,
    /// `torch.cummin`.
    Min,
}

/// The operand as lines: bytes of `outer` blocks of `n` rows of `inner` elements.
struct Lines<'a> {
    bytes: &'a [u8],
    n: usize,
    inner: usize,
    parallel: bool,
}

fn lines<'a>(elements: &'a mut RowMajor, x: &Tensor, dim: i64) -> Result<Lines<'a>> {
    let dim = wrap_dim(dim, x.rank())?;
    // A number is a line of one element.
    let n = x.shape().get(dim).map_or(1, |&n| n as usize);
    let inner = x.shape().iter().skip(dim + 1).map(|&n| n as usize).product();
    Ok(Lines { bytes: elements.bytes(), n, inner, parallel: x.numel() >= PARALLEL_FROM })
}

impl Lines<'_> {
    /// Bytes of a block of elements of this size.
    fn block(&self, size: usize) -> usize {
        // Of no elements there is no block, but chunks have a size.
        (self.n * self.inner * size).max(1)
    }

    /// Carries a number down a line whose elements are side by side.
    fn carry_line<I: Lane, O: Lane<Number = I::Number>>(
        out: &mut [u8],
        line: &[u8],
        step: impl Fn(I::Number, I::Number) -> I::Number,
    ) {
        let mut items = out.chunks_exact_mut(O::SIZE).zip(line.chunks_exact(I::SIZE).map(I::load));
        let Some((out, mut carried)) = items.next() else { return };
        O::store(carried, out);
        for (out, x) in items {
            carried = step(carried, x);
            O::store(carried, out);
        }
    }

    /// Carries numbers down the rows of every block.
    fn carry<I: Lane, O: Lane<Number = I::Number>>(
        &self,
        out: &mut [u8],
        step: impl Fn(I::Number, I::Number) -> I::Number + Sync,
    ) {
        let row = (self.inner * I::SIZE).max(1);
        let one = |(out, block): (&mut [u8], &[u8])| {
            if self.inner == 1 {
                return Self::carry_line::<I, O>(out, block, &step);
            }
            let mut carried: Vec<I::Number> = Vec::with_capacity(self.inner);
            for (out, row) in out.chunks_exact_mut((self.inner * O::SIZE).max(1)).zip(block.chunks_exact(row)) {
                let items = out.chunks_exact_mut(O::SIZE).zip(row.chunks_exact(I::SIZE).map(I::load));
                if carried.is_empty() {
                    items.for_each(|(out, x)| {
                        carried.push(x);
                        O::store(x, out);
                    });
                } else {
                    items.zip(&mut carried).for_each(|((out, x), c)| {
                        *c = step(*c, x);
                        O::store(*c, out);
                    });
                }
            }
        };
        let (to, from) = (self.block(O::SIZE), self.block(I::SIZE));
        if self.parallel {
            OwnPool.install(|_| out.par_chunks_mut(to).zip(self.bytes.par_chunks(from)).for_each(one));
        } else {
            out.chunks_mut(to).zip(self.bytes.chunks(from)).for_each(one);
        }
    }

    /// Carries the largest element, or the smallest, and where it was, down the rows of every block. The last one of
    /// equal elements wins, and the last NaN over all, as in PyTorch.
    fn extremes<L: Lane>(&self, values: &mut [u8], indices: &mut [u8], which: Extremes) {
        let row = (self.inner * L::SIZE).max(1);
        let wins = |x: L::Number, best: L::Number| {
            let ahead = match which {
                Extremes::Max => x >= best,
                Extremes::Min => x <= best,
            };
            L::is_nan(x) || (ahead && !L::is_nan(best))
        };
        let one = |((values, indices), block): ((&mut [u8], &mut [u8]), &[u8])| {
            if self.inner == 1 {
                let places = values.chunks_exact_mut(L::SIZE).zip(indices.chunks_exact_mut(I64::SIZE));
                let mut best = None;
                for (k, ((value, index), x)) in places.zip(block.chunks_exact(L::SIZE).map(L::load)).enumerate() {
                    best = Some(best.filter(|&(b, _)| !wins(x, b)).unwrap_or((x, k as i64)));
                    let (b, at) = best.unwrap_or((x, 0));
                    L::store(b, value);
                    I64::store(at, index);
                }
                return;
            }
            let mut carried: Vec<(L::Number, i64)> = Vec::with_capacity(self.inner);
            let rows = values.chunks_exact_mut(row).zip(indices.chunks_exact_mut((self.inner * I64::SIZE).max(1)));
            for (k, ((values, indices), from)) in rows.zip(block.chunks_exact(row)).enumerate() {
                for (i, x) in from.chunks_exact(L::SIZE).map(L::load).enumerate() {
                    match carried.get_mut(i) {
                        None => carried.push((x, k as i64)),
                        Some(best) => {
                            if wins(x, best.0) {
                                *best = (x, k as i64);
                            }
                        }
                    }
                }
                let places = values.chunks_exact_mut(L::SIZE).zip(indices.chunks_exact_mut(I64::SIZE));
                for ((value, index), best) in places.zip(&carried) {
                    L::store(best.0, value);
                    I64::store(best.1, index);
                }
            }
        };
        let (size, index) = (self.block(L::SIZE), self.block(I64::SIZE));
        if self.parallel {
            OwnPool.install(|_| {
                let places = values.par_chunks_mut(size).zip(indices.par_chunks_mut(index));
                places.zip(self.bytes.par_chunks(size)).for_each(one);
            });
        } else {
            values.chunks_mut(size).zip(indices.chunks_mut(index)).zip(self.bytes.chunks(size)).for_each(one);
        }
    }
}

/// log(exp(a) + exp(b)), exact where both are the same infinity.
fn log_add(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    let (low, high) = (a.min(b), a.max(b));
    if low == high && low.is_infinite() { high } else { libm::log1p(libm::exp(low - high)) + high }
}

/// The dtype that a scan of `dtype` gives: of integers and bool, int64.
fn scanned(kind: Scan, dtype: DType) -> Result<DType> {
    match kind {
        _ if dtype.is_float() => Ok(dtype),
        Scan::Sum | Scan::Prod => Ok(DType::I64),
        Scan::LogSumExp => {
            let message = format!("\"logcumsumexp_out_cpu\" not implemented for '{}'", dtype.c_name());
            Err(Error::new(ErrorKind::NotImplemented, message))
        }
    }
}

/// The scan of every line of `x` along `dim`.
///
/// # Errors
/// A dimension out of range; `LogSumExp` of integers; no memory.
pub fn scan(kind: Scan, x: &Tensor, dim: i64) -> Result<Tensor> {
    let to = scanned(kind, x.dtype())?;
    let mut elements = RowMajor::of(x)?;
    let lines = lines(&mut elements, x, dim)?;
    let mut result = Tensor::empty(x.shape(), to)?;
    let out = new_bytes(&mut result);
    macro_rules! floats {
        ($lane:ident, $wide:expr, $narrow:expr) => {
            match kind {
                Scan::Sum => lines.carry::<$lane, $lane>(out, |c, x| c + x),
                Scan::Prod => lines.carry::<$lane, $lane>(out, |c, x| c * x),
                Scan::LogSumExp => lines.carry::<$lane, $lane>(out, |c, x| $narrow(log_add($wide(c), $wide(x)))),
            }
        };
    }
    macro_rules! integers {
        ($lane:ident) => {
            match kind {
                Scan::Prod => lines.carry::<$lane, I64>(out, i64::wrapping_mul),
                Scan::Sum | Scan::LogSumExp => lines.carry::<$lane, I64>(out, i64::wrapping_add),
            }
        };
    }
    match x.dtype() {
        DType::F64 => floats!(F64, f64::from, f64::from),
        DType::F32 => floats!(F32, f64::from, f64::from),
        DType::F16 => floats!(F16, f64::from, |v: f64| v as f32),
        DType::BF16 => floats!(BF16, f64::from, |v: f64| v as f32),
        DType::I64 => integers!(I64),
        DType::I32 => integers!(I32),
        DType::I16 => integers!(I16),
        DType::I8 => integers!(I8),
        DType::U8 => integers!(U8),
        DType::Bool => integers!(Bool),
    }
    Ok(result)
}

/// The largest or smallest element up to every element of every line of `x` along `dim`, and where it is.
///
/// # Errors
/// A dimension out of range; no memory.
pub fn extremes(which: Extremes, x: &Tensor, dim: i64) -> Result<(Tensor, Tensor)> {
    let mut elements = RowMajor::of(x)?;
    let lines = lines(&mut elements, x, dim)?;
    let (mut values, mut indices) = (Tensor::empty(x.shape(), x.dtype())?, Tensor::empty(x.shape(), DType::I64)?);
    let (v, i) = (new_bytes(&mut values), new_bytes(&mut indices));
    with_lane!(x.dtype(), L => lines.extremes::<L>(v, i, which));
    Ok((values, indices))
}
