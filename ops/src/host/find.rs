//! The elements that are not zero, or not masked: their places, and themselves.

use super::lanes::{Bool, Lane, RowMajor, new_bytes, with_lane};
use crate::error::Result;
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::tensor::Tensor;

/// `torch.nonzero`: a row of indices for every element that is not zero, in row-major order.
///
/// # Errors
/// No memory.
pub fn nonzero(x: &Tensor) -> Result<Tensor> {
    let mut elements = RowMajor::of(x)?;
    with_lane!(x.dtype(), L => nonzero_of::<L>(x.shape(), elements.bytes()))
}

fn nonzero_of<L: Lane>(shape: &[i64], bytes: &[u8]) -> Result<Tensor> {
    let is_some = |bytes: &[u8]| L::load(bytes) != L::Number::default();
    let found = bytes.chunks_exact(L::SIZE).filter(|b| is_some(b)).count();
    let mut rows = Tensor::empty(&[found as i64, shape.len() as i64], DType::I64)?;
    let Some((&n, outer)) = shape.split_last() else { return Ok(rows) };
    let places = rows.as_mut_slice::<i64>().expect("new memory is row-major and has one owner");
    let mut to = places.chunks_exact_mut(shape.len());
    let mut at = vec![0i64; outer.len()];
    let mut columns = vec![0i64; n as usize + 1];
    for line in bytes.chunks((n as usize * L::SIZE).max(1)) {
        // Without a branch that depends on the elements.
        let mut filled = 0;
        for (column, element) in line.chunks_exact(L::SIZE).enumerate() {
            columns[filled] = column as i64;
            filled += usize::from(is_some(element));
        }
        for (&column, row) in columns[..filled].iter().zip(&mut to) {
            row[..at.len()].copy_from_slice(&at);
            row[at.len()] = column;
        }
        for (i, &extent) in at.iter_mut().zip(outer).rev() {
            *i += 1;
            if *i < extent {
                break;
            }
            *i = 0;
        }
    }
    Ok(rows)
}

/// `torch.masked_select`: the elements where `mask`, of bool and of the shape of `x`, is true.
///
/// # Errors
/// No memory.
pub fn masked_select(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (mut elements, mut mask) = (RowMajor::of(x)?, RowMajor::of(mask)?);
    let (bytes, mask) = (elements.bytes(), mask.bytes());
    let found = mask.iter().filter(|&&m| m != 0).count();
    let mut result = Tensor::empty(&[found as i64], x.dtype())?;
    let to = new_bytes(&mut result);
    fn select<const SIZE: usize>(bytes: &[u8], mask: &[u8], to: &mut [u8]) {
        let (from, to) = (bytes.as_chunks::<SIZE>().0, to.as_chunks_mut::<SIZE>().0);
        let mut filled = 0;
        for (element, &mask) in from.iter().zip(mask) {
            // Overwritten unless it is one of them; behind the last one there is no room.
            if let Some(slot) = to.get_mut(filled) {
                *slot = *element;
            }
            filled += usize::from(mask != 0);
        }
    }
    match x.dtype().size() {
        1 => select::<1>(bytes, mask, to),
        2 => select::<2>(bytes, mask, to),
        4 => select::<4>(bytes, mask, to),
        _ => select::<8>(bytes, mask, to),
    }
    Ok(result)
}

/// `torch.masked_scatter`: a copy of `x` whose elements where `mask` is true are those of `source`, in order. The mask is of
/// the shape of `x`. None when the source has too few.
///
/// # Errors
/// No memory.
pub fn masked_scatter(x: &Tensor, mask: &Tensor, source: &Tensor) -> Result<Option<Tensor>> {
    let (mut mask, mut source, size) = (RowMajor::of(mask)?, RowMajor::of(source)?, x.dtype().size());
    let (mask, mut from, mut result) = (mask.bytes(), source.bytes().chunks_exact(size), x.copied()?);
    for (to, _) in new_bytes(&mut result).chunks_exact_mut(size).zip(mask).filter(|(_, m)| Bool::load(&[**m]) != 0) {
        let Some(element) = from.next() else { return Ok(None) };
        to.copy_from_slice(element);
    }
    Ok(Some(result))
}
