//! Sums, products, maxima and the like up to every element of a line.
//!
//! Elements are taken in order, one by one, which is the order of their additions. Floats are added in float64 and
//! 16-bit floats in float32, as PyTorch does on CPU, and rounded where they are stored.

use super::lanes::{
    BF16, Bool, F16, F32, F64, I8, I16, I32, I64, Lane, PIECE, Source, U8, new_bytes, share_out, threads, with_lane,
};
use crate::error::{Error, ErrorKind, Result};
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::tensor::{Tensor, wrap_dim};

/// Elements below which threads cost more than they bring.
const PARALLEL_FROM: usize = 1 << 15;
/// Lines that are under way at a time: each waits for its last addition.
const ABREAST: usize = 4;
/// Columns that are carried at a time, at most and, where threads share them, at least.
const COLUMNS: usize = 1 << 12;
const FEWEST_COLUMNS: usize = 1 << 8;

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

/// The operand as lines: `outer` blocks of `n` rows of `inner` elements.
struct Lines {
    source: Source,
    outer: usize,
    n: usize,
    inner: usize,
    threads: usize,
}

impl Lines {
    fn of(x: &Tensor, dim: i64) -> Result<Lines> {
        let dim = wrap_dim(dim, x.rank())?;
        let extent = |range: &[i64]| range.iter().map(|&n| n as usize).product::<usize>();
        // A number is a line of one element.
        let n = x.shape().get(dim).map_or(1, |&n| n as usize);
        let (outer, inner) = (extent(&x.shape()[..dim]), extent(x.shape().get(dim + 1..).unwrap_or(&[])));
        let threads = if outer * n * inner < PARALLEL_FROM { 1 } else { threads() };
        Ok(Lines { source: Source::of(x)?, outer, n, inner, threads })
    }

    /// Carries numbers down the lines of every block; `out` has an element for each of the operand's.
    fn carry<I: Lane, O: Lane<Number = I::Number>>(
        &self,
        out: &mut [u8],
        step: impl Fn(I::Number, I::Number) -> I::Number + Sync,
    ) {
        if out.is_empty() {
        } else if self.inner == 1 {
            self.carry_lines::<I, O>(out, step);
        } else {
            self.carry_columns::<I, O>(out, step);
        }
    }

    /// Lines whose elements are side by side.
    fn carry_lines<I: Lane, O: Lane<Number = I::Number>>(
        &self,
        out: &mut [u8],
        step: impl Fn(I::Number, I::Number) -> I::Number + Sync,
    ) {
        let (line, share) = (self.n * O::SIZE, self.outer.div_ceil(self.threads).next_multiple_of(ABREAST));
        let shares = out.chunks_mut(share * line).enumerate().collect();
        share_out(shares, |(i, out): (usize, &mut [u8])| {
            let mut buffer = vec![0; PIECE.min(ABREAST * self.n * I::SIZE)];
            for (j, out) in out.chunks_mut(ABREAST * line).enumerate() {
                let first = (i * share + j * ABREAST) * self.n;
                if out.len() == ABREAST * line {
                    self.carry_abreast::<I, O, ABREAST>(first, out, &mut buffer, &step);
                } else {
                    for (k, out) in out.chunks_exact_mut(line).enumerate() {
                        self.carry_abreast::<I, O, 1>(first + k * self.n, out, &mut buffer, &step);
                    }
                }
            }
        });
    }

    /// The lines from element `first` of the operand on, a piece of each at a time.
    fn carry_abreast<I: Lane, O: Lane<Number = I::Number>, const COUNT: usize>(
        &self,
        first: usize,
        out: &mut [u8],
        buffer: &mut [u8],
        step: impl Fn(I::Number, I::Number) -> I::Number,
    ) {
        let mut carried = [I::Number::default(); COUNT];
        let piece = buffer.len() / I::SIZE / COUNT;
        for start in (0..self.n).step_by(piece) {
            let count = piece.min(self.n - start);
            let buffer = &mut buffer[..COUNT * count * I::SIZE];
            for (k, part) in buffer.chunks_exact_mut(count * I::SIZE).enumerate() {
                self.source.read((first + k * self.n + start) * I::SIZE, part);
            }
            let mut lines = I::items(buffer).chunks_exact(count);
            let from: [&[I::Bytes]; COUNT] = std::array::from_fn(|_| lines.next().expect("there are as many"));
            let mut lines = O::items_mut(out).chunks_exact_mut(self.n);
            let to: [&mut [O::Bytes]; COUNT] =
                std::array::from_fn(|_| &mut lines.next().expect("there are as many")[start..start + count]);
            // The first element is carried as it is: 0 + -0 is another one.
            if start == 0 {
                for line in 0..COUNT {
                    carried[line] = I::get(from[line][0]);
                    to[line][0] = O::put(carried[line]);
                }
            }
            for k in usize::from(start == 0)..count {
                for line in 0..COUNT {
                    carried[line] = step(carried[line], I::get(from[line][k]));
                    to[line][k] = O::put(carried[line]);
                }
            }
        }
    }

    /// Lines side by side: row by row, all columns or some of them.
    fn carry_columns<I: Lane, O: Lane<Number = I::Number>>(
        &self,
        out: &mut [u8],
        step: impl Fn(I::Number, I::Number) -> I::Number + Sync,
    ) {
        /// Bytes of the result, one row or many, and which element of the operand is the first of them.
        type Place<'a> = (usize, &'a mut [u8]);
        let row = self.inner * O::SIZE;
        let wanted = if self.outer < self.threads { self.inner.div_ceil(self.threads) } else { self.inner };
        let width = wanted.clamp(FEWEST_COLUMNS, COLUMNS).min(self.inner);
        let mut columns: Vec<(usize, Vec<Place>)> = Vec::new();
        for (i, block) in out.chunks_exact_mut(self.n * row).enumerate() {
            let first = i * self.n * self.inner;
            if width == self.inner {
                let rows = (PIECE / I::SIZE / width).max(1);
                let places = block.chunks_mut(rows * row).enumerate();
                columns.push((width, places.map(|(k, place)| (first + k * rows * width, place)).collect()));
                continue;
            }
            let behind = columns.len();
            columns.extend((0..self.inner).step_by(width).map(|c| (width.min(self.inner - c), Vec::new())));
            for (k, row) in block.chunks_exact_mut(row).enumerate() {
                for (c, (place, column)) in row.chunks_mut(width * O::SIZE).zip(&mut columns[behind..]).enumerate() {
                    column.1.push((first + k * self.inner + c * width, place));
                }
            }
        }
        let carry = |(width, places): (usize, Vec<Place>)| {
            let mut carried: Vec<I::Number> = Vec::with_capacity(width);
            let mut buffer = vec![0; PIECE.max(width * I::SIZE)];
            for (at, place) in places {
                let from = &mut buffer[..place.len() / O::SIZE * I::SIZE];
                self.source.read(at * I::SIZE, from);
                let mut rows = O::items_mut(place).chunks_exact_mut(width).zip(I::items(from).chunks_exact(width));
                if carried.is_empty()
                    && let Some((out, row)) = rows.next()
                {
                    carried.extend(row.iter().map(|&x| I::get(x)));
                    out.iter_mut().zip(&carried).for_each(|(out, &c)| *out = O::put(c));
                }
                for (out, row) in rows {
                    for ((out, &x), c) in out.iter_mut().zip(row).zip(&mut carried) {
                        *c = step(*c, I::get(x));
                        *out = O::put(*c);
                    }
                }
            }
        };
        if self.threads == 1 {
            // For the control word; tasks of few rows each are not worth their names.
            share_out(vec![columns], |columns| columns.into_iter().for_each(&carry));
        } else {
            let share = columns.len().div_ceil(8 * self.threads);
            let mut shares = Vec::new();
            let mut columns = columns.into_iter().peekable();
            while columns.peek().is_some() {
                shares.push(columns.by_ref().take(share).collect::<Vec<_>>());
            }
            share_out(shares, |columns| columns.into_iter().for_each(&carry));
        }
    }

    /// Carries the largest element, or the smallest, and where it was, down the rows of every block. The last one of
    /// equal elements wins, and the last NaN over all, as in PyTorch.
    fn extremes<L: Lane>(&self, values: &mut [u8], indices: &mut [u8], which: Extremes) {
        if values.is_empty() {
            return;
        }
        match which {
            Extremes::Max => self.extremes_by::<L>(values, indices, |x, best| x >= best),
            Extremes::Min => self.extremes_by::<L>(values, indices, |x, best| x <= best),
        }
    }

    fn extremes_by<L: Lane>(
        &self,
        values: &mut [u8],
        indices: &mut [u8],
        ahead: impl Fn(L::Number, L::Number) -> bool + Sync,
    ) {
        let wins = |x: L::Number, best: L::Number| L::is_nan(x) || (ahead(x, best) && !L::is_nan(best));
        let (row, rows) = (self.inner * L::SIZE, (PIECE / L::SIZE / self.inner).clamp(1, self.n));
        let one = |first: usize, values: &mut [u8], indices: &mut [u8], buffer: &mut [u8], carried: &mut Vec<_>| {
            carried.clear();
            let places = values.chunks_mut(rows * row).zip(indices.chunks_mut(rows * self.inner * I64::SIZE));
            for (piece, (values, indices)) in places.enumerate() {
                let from = &mut buffer[..values.len()];
                self.source.read((first + piece * rows * self.inner) * L::SIZE, from);
                let start = piece * rows;
                if self.inner == 1 {
                    let items = L::items(from);
                    let (mut best, mut at) = carried.pop().unwrap_or((L::get(items[0]), 0));
                    let places = L::items_mut(values).iter_mut().zip(I64::items_mut(indices));
                    for (k, ((value, index), &x)) in (start as i64..).zip(places.zip(items)) {
                        let x = L::get(x);
                        if wins(x, best) {
                            (best, at) = (x, k);
                        }
                        *value = L::put(best);
                        *index = I64::put(at);
                    }
                    carried.push((best, at));
                    continue;
                }
                let places = values.chunks_exact_mut(row).zip(indices.chunks_exact_mut(self.inner * I64::SIZE));
                for (k, ((values, indices), from)) in (start as i64..).zip(places.zip(from.chunks_exact(row))) {
                    let items = L::items(from).iter().map(|&x| L::get(x));
                    if k == 0 {
                        carried.extend(items.map(|x| (x, 0)));
                    } else {
                        for (x, best) in items.zip(carried.iter_mut()) {
                            *best = if wins(x, best.0) { (x, k) } else { *best };
                        }
                    }
                    let places = L::items_mut(values).iter_mut().zip(I64::items_mut(indices));
                    for ((value, index), best) in places.zip(carried.iter()) {
                        *value = L::put(best.0);
                        *index = I64::put(best.1);
                    }
                }
            }
        };
        let (block, share) = (self.n * self.inner, self.outer.div_ceil(self.threads * 4).max(1));
        let shares = values.chunks_mut(share * block * L::SIZE).zip(indices.chunks_mut(share * block * I64::SIZE));
        share_out(shares.enumerate().collect(), |(i, (values, indices)): (usize, (&mut [u8], &mut [u8]))| {
            let (mut buffer, mut carried) = (vec![0; rows * row], Vec::with_capacity(self.inner));
            let blocks = values.chunks_mut(block * L::SIZE).zip(indices.chunks_mut(block * I64::SIZE));
            for (j, (values, indices)) in blocks.enumerate() {
                one((i * share + j) * block, values, indices, &mut buffer, &mut carried);
            }
        });
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
    let lines = Lines::of(x, dim)?;
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
    let lines = Lines::of(x, dim)?;
    let (mut values, mut indices) = (Tensor::empty(x.shape(), x.dtype())?, Tensor::empty(x.shape(), DType::I64)?);
    let (v, i) = (new_bytes(&mut values), new_bytes(&mut indices));
    with_lane!(x.dtype(), L => lines.extremes::<L>(v, i, which));
    Ok((values, indices))
}
