//! Sums of elements into the places that an index names.

use super::lanes::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, Lane, U8};
use crate::error::{Error, ErrorKind, Result};
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::tensor::{Tensor, wrap_dim};

/// `torch.scatter_add`: a copy of `x` to which every element of `src` at the places of `index` is added, at its own
/// place but along `dim`, where the index says it. In the index's row-major order, one by one, each sum rounded: there is
/// one result for any number of threads.
///
/// `index` is of int64 and of the rank of `x` and `src`, which have one dtype; in every dimension it is no larger than
/// `src`, nor, but along `dim`, than `x`.
///
/// # Errors
/// A dimension or an index out of range; no memory.
pub fn scatter_add(x: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let dim = wrap_dim(dim, x.rank())?;
    let mut part = src.clone();
    for (d, &n) in index.shape().iter().enumerate() {
        part = part.narrow(d as i64, 0, n)?;
    }
    let part = part.contiguous()?;
    let mut added = vec![0; part.nbytes()];
    part.storage().read(part.byte_offset(), &mut added);
    let places = places(x.shape(), dim, &index.to_vec::<i64>()?, index.shape())?;
    let mut result = x.copied()?;
    let bytes = result.bytes_mut().expect("a copy is row-major and has one owner");
    match x.dtype() {
        DType::F64 => add::<F64>(bytes, &places, &added),
        DType::F32 => add::<F32>(bytes, &places, &added),
        DType::F16 => add::<F16>(bytes, &places, &added),
        DType::BF16 => add::<BF16>(bytes, &places, &added),
        DType::I64 => add::<I64>(bytes, &places, &added),
        DType::I32 => add::<I32>(bytes, &places, &added),
        DType::I16 => add::<I16>(bytes, &places, &added),
        DType::I8 => add::<I8>(bytes, &places, &added),
        DType::U8 => add::<U8>(bytes, &places, &added),
        DType::Bool => add::<Bool>(bytes, &places, &added),
    }
    Ok(result)
}

/// The number of the row-major element of `shape` that every element of an index names.
fn places(shape: &[i64], dim: usize, index: &[i64], extents: &[i64]) -> Result<Vec<usize>> {
    let size = shape.get(dim).copied().unwrap_or(1);
    let mut at = vec![0i64; extents.len()];
    let mut places = Vec::with_capacity(index.len());
    for &i in index {
        if i < 0 || i >= size {
            let text = format!("index {i} is out of bounds for dimension {dim} with size {size}");
            return Err(Error::new(ErrorKind::Runtime, text));
        }
        let place = |place, d: usize| place * shape[d] + if d == dim { i } else { at[d] };
        places.push((0..shape.len()).fold(0, place) as usize);
        for d in (0..at.len()).rev() {
            at[d] += 1;
            if at[d] < extents[d] {
                break;
            }
            at[d] = 0;
        }
    }
    Ok(places)
}

fn add<L: Lane>(bytes: &mut [u8], places: &[usize], added: &[u8]) {
    for (&place, value) in places.iter().zip(added.chunks_exact(L::SIZE)) {
        let to = &mut bytes[place * L::SIZE..(place + 1) * L::SIZE];
        L::store(L::add(L::load(to), L::load(value)), to);
    }
}
