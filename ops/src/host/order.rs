//! Elements of lines chosen by their order: sorted lines, the first ones, those in the middle.
//!
//! An element is packed with its place into one integer, its key above. So all are different, any way to sort or select
//! keeps equal elements in their order, and none compares floats.

use super::lanes::{Lane, RowMajor, new_bytes, with_lane};
use crate::error::Result;
use rayon::prelude::*;
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::pool::OwnPool;
use rusttorch_runtime::tensor::{Tensor, wrap_dim};

/// Elements below which threads cost more than they bring.
const PARALLEL_FROM: i64 = 1 << 13;
/// Elements from which a radix sort is faster than one by comparisons: 1 Mi float32 take 15 ms in place of 30.
const RADIX_FROM: usize = 1 << 13;
/// Bits of a digit.
const DIGIT: u32 = 11;

/// A key and a place.
trait Packed: Copy + Ord + Send {
    /// Bits of the place, which are the lower ones.
    const PLACE_BITS: u32;
    const ZERO: Self;
    fn new(key: u64, place: usize) -> Self;
    fn place(self) -> usize;
    fn key(self) -> u64;
    /// The bits from `shift` on, as many as a digit has.
    fn digit(self, shift: u32) -> usize;
}

macro_rules! packed {
    ($($t:ty, $bits:literal, $half:ty;)*) => {$(
        impl Packed for $t {
            const PLACE_BITS: u32 = $bits;
            const ZERO: Self = 0;
            fn new(key: u64, place: usize) -> $t {
                <$t>::from(key as $half) << $bits | place as $t
            }
            fn place(self) -> usize {
                self as $half as usize
            }
            fn key(self) -> u64 {
                (self >> $bits) as u64
            }
            fn digit(self, shift: u32) -> usize {
                (self >> shift) as usize & ((1 << DIGIT) - 1)
            }
        }
    )*};
}
packed! {
    u64, 32, u32;
    u128, 64, u64;
}

fn packed<L: Lane, P: Packed>(line: &[u8], descending: bool) -> Vec<P> {
    let flip = if descending { u64::MAX } else { 0 };
    let items = line.chunks_exact(L::SIZE).enumerate();
    items.map(|(place, bytes)| P::new(L::key(L::load(bytes)) ^ flip, place)).collect()
}

/// Sorts what is in order of place already.
fn sort_packed<P: Packed>(items: &mut Vec<P>) {
    if items.len() < RADIX_FROM {
        items.sort_unstable();
        return;
    }
    // From the lowest digit of the keys; each pass keeps the order of the one before.
    let mut other = vec![P::ZERO; items.len()];
    for shift in (P::PLACE_BITS..2 * P::PLACE_BITS).step_by(DIGIT as usize) {
        let mut starts = vec![0usize; 1 << DIGIT];
        for item in items.iter() {
            starts[item.digit(shift)] += 1;
        }
        if starts[items[0].digit(shift)] == items.len() {
            continue;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for item in items.iter() {
            let at = &mut starts[item.digit(shift)];
            other[*at] = *item;
            *at += 1;
        }
        std::mem::swap(items, &mut other);
    }
}

/// What is chosen of a line.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Sorted,
    /// The first ones in order.
    First,
    /// The one of this number in order.
    Nth(usize),
    /// The lower one of those in the middle: of all, unless one is a NaN, or of those that are none.
    Median {
        skip_nan: bool,
    },
}

impl Choice {
    fn of<L: Lane>(self, line: &[u8], descending: bool, places: &mut [i64]) {
        let n = line.len() / L::SIZE;
        if L::KEY_BITS <= 32 && u32::try_from(n).is_ok() {
            self.packed::<L, u64>(line, descending, places);
        } else {
            self.packed::<L, u128>(line, descending, places);
        }
    }

    fn packed<L: Lane, P: Packed>(self, line: &[u8], descending: bool, places: &mut [i64]) {
        if places.is_empty() {
            return;
        }
        let mut items = packed::<L, P>(line, descending);
        let n = items.len();
        match self {
            Choice::Sorted => sort_packed(&mut items),
            Choice::First => {
                if places.len() < n {
                    items.select_nth_unstable(places.len() - 1);
                    items.truncate(places.len());
                }
                items.sort_unstable();
            }
            Choice::Nth(k) => {
                let (_, item, _) = items.select_nth_unstable(k);
                items = vec![*item];
            }
            Choice::Median { skip_nan } => {
                let is_nan = |bytes: &[u8]| L::is_nan(L::load(bytes));
                let nans = line.chunks_exact(L::SIZE).filter(|bytes| is_nan(bytes)).count();
                // NaNs are behind all numbers, the first of them foremost.
                let k = match (nans, skip_nan) {
                    (0, _) => (n - 1) / 2,
                    (_, false) => n - nans,
                    (_, true) => (n - nans).saturating_sub(1) / 2,
                };
                let (_, item, _) = items.select_nth_unstable(k);
                items = vec![*item];
            }
        }
        for (place, item) in places.iter_mut().zip(&items) {
            *place = item.place() as i64;
        }
    }
}

/// For every line of `x` along `dim`, `count` elements of it: their values, and their places in the line.
fn chosen(x: &Tensor, dim: usize, count: usize, choice: Choice, descending: bool) -> Result<(Tensor, Tensor)> {
    let (dtype, size) = (x.dtype(), x.dtype().size());
    // Lines last.
    let mut order: Vec<i64> = (0..x.rank() as i64).filter(|&d| d != dim as i64).collect();
    order.extend((x.rank() > 0).then_some(dim as i64));
    let lines = x.permute(&order)?;
    let mut elements = RowMajor::of(&lines)?;
    let bytes = elements.bytes();
    let n = lines.shape().last().map_or(1, |&n| n as usize);
    let mut shape = lines.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = count as i64;
    }
    let (mut values, mut places) = (Tensor::empty(&shape, dtype)?, Tensor::empty(&shape, DType::I64)?);
    let one = |((values, places), line): ((&mut [u8], &mut [i64]), &[u8])| {
        with_lane!(dtype, L => choice.of::<L>(line, descending, places));
        for (value, &place) in values.chunks_exact_mut(size).zip(places.iter()) {
            value.copy_from_slice(&line[place as usize * size..][..size]);
        }
    };
    // Of no elements there is no line, but chunks have a size.
    let (line, to, at) = ((n * size).max(1), (count * size).max(1), count.max(1));
    let (values_of, places_of) = (new_bytes(&mut values), places.as_mut_slice::<i64>());
    let places_of = places_of.expect("new memory is row-major and has one owner");
    if x.numel() >= PARALLEL_FROM {
        OwnPool.install(|_| {
            let results = values_of.par_chunks_mut(to).zip(places_of.par_chunks_mut(at));
            results.zip(bytes.par_chunks(line)).for_each(one);
        });
    } else {
        values_of.chunks_mut(to).zip(places_of.chunks_mut(at)).zip(bytes.chunks(line)).for_each(one);
    }
    let mut back = vec![0; order.len()];
    for (i, &d) in order.iter().enumerate() {
        back[d as usize] = i as i64;
    }
    Ok((values.permute(&back)?.contiguous()?, places.permute(&back)?.contiguous()?))
}

fn extent(x: &Tensor, dim: usize) -> usize {
    x.shape().get(dim).map_or(1, |&n| n as usize)
}

/// `torch.sort`: the elements of every line of `x` along `dim` in order, and where each was. Equal elements keep their
/// order, descending too; NaN is larger than all.
///
/// # Errors
/// A dimension out of range; no memory.
pub fn sort(x: &Tensor, dim: i64, descending: bool) -> Result<(Tensor, Tensor)> {
    let dim = wrap_dim(dim, x.rank())?;
    chosen(x, dim, extent(x, dim), Choice::Sorted, descending)
}

/// `torch.topk`: the first `k` of what [`sort`] gives, `k` being no more than there are.
///
/// # Errors
/// As for `sort`.
pub fn first(x: &Tensor, dim: i64, k: usize, descending: bool) -> Result<(Tensor, Tensor)> {
    let dim = wrap_dim(dim, x.rank())?;
    chosen(x, dim, k.min(extent(x, dim)), Choice::First, descending)
}

/// Which element of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    /// The one of this number in order, counted from 0.
    Nth(usize),
    /// `torch.median`: the lower one of two in the middle; the first NaN, where there is one.
    Median,
    /// `torch.nanmedian`: of those that are no NaN; a NaN when there is nothing else.
    NanMedian,
}

/// One element of every line of `x` along `dim`, which has elements, and its place; the dimension's extent becomes 1.
///
/// # Errors
/// As for `sort`.
///
/// # Panics
/// When there is no such element.
pub fn pick(x: &Tensor, dim: i64, which: Pick) -> Result<(Tensor, Tensor)> {
    let dim = wrap_dim(dim, x.rank())?;
    let choice = match which {
        Pick::Nth(k) => Choice::Nth(k),
        Pick::Median => Choice::Median { skip_nan: false },
        Pick::NanMedian => Choice::Median { skip_nan: true },
    };
    chosen(x, dim, 1, choice, false)
}

/// The different elements of a vector.
pub struct Unique {
    /// One of each: the first.
    pub values: Tensor,
    /// For every element, which of `values` it is.
    pub inverse: Tensor,
    /// How many there are of each.
    pub counts: Tensor,
}

/// `torch.unique` of a vector, or `torch.unique_consecutive`, which compares neighbours alone. NaNs are all different.
///
/// # Errors
/// No memory.
pub fn unique(x: &Tensor, consecutive: bool) -> Result<Unique> {
    let mut elements = RowMajor::of(x)?;
    let bytes = elements.bytes();
    with_lane!(x.dtype(), L => if L::KEY_BITS <= 32 && u32::try_from(bytes.len()).is_ok() {
        unique_of::<L, u64>(x.dtype(), bytes, consecutive)
    } else {
        unique_of::<L, u128>(x.dtype(), bytes, consecutive)
    })
}

fn unique_of<L: Lane, P: Packed>(dtype: DType, bytes: &[u8], consecutive: bool) -> Result<Unique> {
    let mut items = packed::<L, P>(bytes, false);
    if !consecutive {
        sort_packed(&mut items);
    }
    let (mut values, mut inverse, mut counts) = (Vec::new(), vec![0i64; items.len()], Vec::<i64>::new());
    let mut last = None;
    for item in items {
        let element = &bytes[item.place() * L::SIZE..][..L::SIZE];
        match counts.last_mut() {
            Some(count) if last == Some(item.key()) && !L::is_nan(L::load(element)) => *count += 1,
            _ => {
                values.extend_from_slice(element);
                counts.push(1);
            }
        }
        last = Some(item.key());
        inverse[item.place()] = counts.len() as i64 - 1;
    }
    let found = counts.len() as i64;
    Ok(Unique {
        values: Tensor::from_bytes(&values, &[found], dtype)?,
        inverse: Tensor::from_slice(&inverse, &[inverse.len() as i64])?,
        counts: Tensor::from_slice(&counts, &[found])?,
    })
}

/// The order of the rows of a matrix, compared element by element; equal rows keep theirs.
///
/// # Errors
/// No memory.
pub fn order_of_rows(x: &Tensor) -> Result<Tensor> {
    let (mut elements, rows) = (RowMajor::of(x)?, x.shape()[0] as usize);
    let bytes = elements.bytes();
    let keys: Vec<u64> = with_lane!(x.dtype(), L => bytes.chunks_exact(L::SIZE).map(|b| L::key(L::load(b))).collect());
    let columns = keys.len().checked_div(rows).unwrap_or(0);
    let mut order: Vec<i64> = (0..rows as i64).collect();
    order.sort_by_key(|&row| &keys[row as usize * columns..][..columns]);
    Ok(Tensor::from_slice(&order, &[rows as i64])?)
}

/// `torch.searchsorted`: where every element of `values` would have to be put into its line of `lines`, which are in
/// order; before elements that are equal to it, or, with `right`, behind them. Both have one dtype, and the extents before the
/// last are the same, unless `lines` is a vector.
///
/// # Errors
/// No memory.
pub fn search(lines: &Tensor, values: &Tensor, right: bool) -> Result<Tensor> {
    let (mut sorted, mut wanted) = (RowMajor::of(lines)?, RowMajor::of(values)?);
    let (sorted, wanted) = (sorted.bytes(), wanted.bytes());
    let n = lines.shape().last().map_or(0, |&n| n as usize);
    let each = if lines.rank() == 1 {
        wanted.len()
    } else {
        values.shape().last().map_or(1, |&n| n as usize) * values.dtype().size()
    };
    let mut places: Vec<i64> = Vec::with_capacity(values.numel() as usize);
    with_lane!(lines.dtype(), L => {
        for (row, wanted) in wanted.chunks(each.max(1)).enumerate() {
            let line = &sorted[row * n * L::SIZE..][..n * L::SIZE];
            let at = |i: usize| L::load(&line[i * L::SIZE..][..L::SIZE]);
            for value in wanted.chunks_exact(L::SIZE).map(L::load) {
                let (mut low, mut high) = (0, n);
                while low < high {
                    let middle = usize::midpoint(low, high);
                    // What a NaN is compared with is before it, as in PyTorch.
                    let order = at(middle).partial_cmp(&value);
                    let before = order.is_none_or(|o| if right { o.is_le() } else { o.is_lt() });
                    (low, high) = if before { (middle + 1, high) } else { (low, middle) };
                }
                places.push(low as i64);
            }
        }
    });
    Ok(Tensor::from_slice(&places, values.shape())?)
}
