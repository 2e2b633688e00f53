//! Sorting lines, and the places of the elements that are not zero.

use crate::error::Result;
use crate::lazy::Scalar;
use rayon::prelude::*;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::half::{bf16_to_f32, f16_to_f32};
use rusttorch_runtime::pool::OwnPool;
use rusttorch_runtime::tensor::{Tensor, wrap_dim};

/// Elements below which threads cost more than they bring.
const PARALLEL_FROM: i64 = 1 << 13;

/// The place of a float among all: -0 and 0 are equal, NaNs are equal and above all else, as PyTorch sorts.
fn float_key(v: f64) -> u64 {
    if v.is_nan() {
        return u64::MAX;
    }
    // -0.0 + 0.0 is 0.0.
    let bits = (v + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn int_key(v: i64) -> u64 {
    v as u64 ^ 1 << 63
}

/// The key of an element from its bytes; keys are ordered as the elements are.
fn key(dtype: DType, bytes: &[u8]) -> u64 {
    macro_rules! of {
        ($t:ty) => {
            <$t>::from_ne_bytes(bytes.try_into().expect("elements are cut to their size"))
        };
    }
    match dtype {
        DType::F64 => float_key(of!(f64)),
        DType::F32 => float_key(f64::from(of!(f32))),
        DType::F16 => float_key(f64::from(f16_to_f32(of!(u16)))),
        DType::BF16 => float_key(f64::from(bf16_to_f32(of!(u16)))),
        DType::I64 => int_key(of!(i64)),
        DType::I32 => int_key(i64::from(of!(i32))),
        DType::I16 => int_key(i64::from(of!(i16))),
        DType::I8 => int_key(i64::from(of!(i8))),
        DType::U8 => int_key(i64::from(of!(u8))),
        DType::Bool => u64::from(of!(u8) != 0),
    }
}

/// `torch.sort`: the elements of every line of `x` along `dim` in order, and where each was. Equal elements keep their
/// order, descending too; NaN is larger than all.
///
/// # Errors
/// A dimension out of range; no memory.
pub fn sort(x: &Tensor, dim: i64, descending: bool) -> Result<(Tensor, Tensor)> {
    let (dtype, size) = (x.dtype(), x.dtype().size());
    let dim = wrap_dim(dim, x.rank())?;
    // Lines last.
    let mut order: Vec<i64> = (0..x.rank() as i64).filter(|&d| d != dim as i64).collect();
    order.extend((x.rank() > 0).then_some(dim as i64));
    let lines = x.permute(&order)?.contiguous()?;
    let n = lines.shape().last().map_or(1, |&n| n as usize);
    let mut bytes = vec![0; lines.nbytes()];
    lines.storage().read(lines.byte_offset(), &mut bytes);
    let (mut values, mut places) = (Tensor::empty(lines.shape(), dtype)?, Tensor::empty(lines.shape(), DType::I64)?);
    let one = |((values, places), line): ((&mut [u8], &mut [u8]), &[u8])| {
        let keyed = line.chunks_exact(size).enumerate();
        let mut keyed: Vec<(u64, usize)> = keyed
            .map(|(i, bytes)| {
                let key = key(dtype, bytes);
                (if descending { !key } else { key }, i)
            })
            .collect();
        // With their numbers all are different: this is the stable order.
        keyed.sort_unstable();
        for ((value, place), (_, i)) in values.chunks_exact_mut(size).zip(places.chunks_exact_mut(8)).zip(keyed) {
            value.copy_from_slice(&line[i * size..(i + 1) * size]);
            place.copy_from_slice(&(i as i64).to_ne_bytes());
        }
    };
    let whole = "new memory has one owner";
    // Of no elements there is no line, but chunks have a size.
    let (line, index) = ((n * size).max(1), (n * 8).max(1));
    let (to, at) = (values.bytes_mut().expect(whole), places.bytes_mut().expect(whole));
    if x.numel() >= PARALLEL_FROM {
        OwnPool.install(|_| {
            let results = to.par_chunks_mut(line).zip(at.par_chunks_mut(index));
            results.zip(bytes.par_chunks(line)).for_each(one);
        });
    } else {
        to.chunks_mut(line).zip(at.chunks_mut(index)).zip(bytes.chunks(line)).for_each(one);
    }
    let mut back = vec![0; order.len()];
    for (i, &d) in order.iter().enumerate() {
        back[d as usize] = i as i64;
    }
    Ok((values.permute(&back)?.contiguous()?, places.permute(&back)?.contiguous()?))
}

/// `torch.nonzero`: a row of indices for every element that is not zero, in row-major order.
///
/// # Errors
/// No memory.
pub fn nonzero(x: &Tensor) -> Result<Tensor> {
    let mut rows: Vec<i64> = Vec::new();
    let mut found = 0;
    for (i, value) in Scalar::all(x)?.into_iter().enumerate() {
        if matches!(value, Scalar::Bool(false) | Scalar::Int(0)) || value == Scalar::Float(0.0) {
            continue;
        }
        found += 1;
        let (mut rest, start) = (i as i64, rows.len());
        for &n in x.shape().iter().rev() {
            rows.push(rest % n);
            rest /= n;
        }
        rows[start..].reverse();
    }
    Ok(Tensor::from_slice(&rows, &[found, x.rank() as i64])?)
}
