//! New memory with values that follow a formula.

use super::scalar::Scalar;
use crate::error::{Error, ErrorKind, Result};
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::Tensor as Memory;

fn filled(shape: &[i64], dtype: DType, mut item: impl FnMut(usize) -> Vec<u8>) -> Result<Memory> {
    let mut memory = Memory::empty(shape, dtype)?;
    let bytes = memory.bytes_mut().expect("new memory is row-major and has one owner");
    for (i, chunk) in bytes.chunks_exact_mut(dtype.size()).enumerate() {
        chunk.copy_from_slice(&item(i));
    }
    Ok(memory)
}

/// Every element is `value`.
pub fn full(shape: &[i64], dtype: DType, value: Scalar) -> Result<Memory> {
    let item = value.encode(dtype);
    if item.iter().all(|b| *b == 0) {
        return Ok(Memory::zeros(shape, dtype)?);
    }
    let mut memory = Memory::empty(shape, dtype)?;
    let bytes = memory.bytes_mut().expect("new memory is row-major and has one owner");
    // Doubling copies run at the speed of memory.
    let mut done = item.len().min(bytes.len());
    bytes[..done].copy_from_slice(&item[..done]);
    while done < bytes.len() {
        let (head, tail) = bytes.split_at_mut(done);
        let n = head.len().min(tail.len());
        tail[..n].copy_from_slice(&head[..n]);
        done += n;
    }
    Ok(memory)
}

/// The elements in row-major order.
pub fn of_scalars(shape: &[i64], dtype: DType, values: &[Scalar]) -> Result<Memory> {
    filled(shape, dtype, |i| values[i].encode(dtype))
}

/// `torch.arange`: from `start` in steps, before `end`. As in torch, where integers are wanted it counts the steps first,
/// and then start and step become integers.
pub fn arange(start: Scalar, end: Scalar, step: Scalar, dtype: DType) -> Result<Memory> {
    let value = |s: Scalar| match s {
        Scalar::Bool(b) => f64::from(u8::from(b)),
        Scalar::Int(i) => i as f64,
        Scalar::Float(f) => f,
    };
    let error = |text: &str| Err(Error::new(ErrorKind::Runtime, text));
    let (from, to, by) = (value(start), value(end), value(step));
    if by == 0.0 {
        return error("step must be nonzero");
    }
    if !from.is_finite() || !to.is_finite() {
        return Err(Error::new(ErrorKind::Runtime, format!("unsupported range: {from} -> {to}")));
    }
    if (by > 0.0 && from > to) || (by < 0.0 && from < to) {
        return error("upper bound and lower bound inconsistent with step sign");
    }
    if let (Scalar::Int(from), Scalar::Int(to), Scalar::Int(by)) = (start, end, step)
        && !dtype.is_float()
    {
        // Exact where f64 is not.
        let (from, to, by) = (i128::from(from), i128::from(to), i128::from(by));
        let n = (to - from + by - by.signum()) / by;
        return filled(&[n as i64], dtype, |i| Scalar::Int((from + by * i as i128) as i64).encode(dtype));
    }
    let n = ((to - from) / by).ceil() as i64;
    let (from, by) = if dtype.is_int() { (from.trunc(), by.trunc()) } else { (from, by) };
    filled(&[n], dtype, |i| Scalar::Float(from + by * i as f64).encode(dtype))
}

/// `torch.linspace`: `steps` numbers with both ends, counted from the nearer one. The ends of integers are integers.
pub fn linspace(start: f64, end: f64, steps: i64, dtype: DType) -> Result<Memory> {
    if steps < 0 {
        return Err(Error::new(ErrorKind::Runtime, "number of steps must be non-negative"));
    }
    let (start, end) = if dtype.is_int() { (start.trunc(), end.trunc()) } else { (start, end) };
    let by = if steps > 1 { (end - start) / (steps - 1) as f64 } else { 0.0 };
    filled(&[steps], dtype, |i| {
        let i = i as i64;
        let value = if i < steps / 2 || steps == 1 { start + by * i as f64 } else { end - by * (steps - 1 - i) as f64 };
        Scalar::Float(value).encode(dtype)
    })
}

/// `torch.eye`.
pub fn eye(rows: i64, columns: i64, dtype: DType) -> Result<Memory> {
    let (zero, one) = (Scalar::Int(0).encode(dtype), Scalar::Int(1).encode(dtype));
    filled(
        &[rows, columns],
        dtype,
        |i| {
            if i as i64 / columns == i as i64 % columns { one.clone() } else { zero.clone() }
        },
    )
}
