//! New memory with values that follow a formula.

use super::scalar::Scalar;
use crate::error::{Error, ErrorKind, Result};
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::Tensor as Memory;
use rusttorch_runtime::storage::Plain;
use rusttorch_runtime::tensor::Element;

/// New memory of numbers, by number.
fn filled<T: Element + Plain>(shape: &[i64], item: impl FnMut(i64) -> T) -> Result<Memory> {
    let mut memory = Memory::empty(shape, T::DTYPE)?;
    let items = memory.as_mut_slice::<T>().expect("new memory is row-major and has one owner");
    items.iter_mut().zip((0..).map(item)).for_each(|(slot, item)| *slot = item);
    Ok(memory)
}

/// As `filled`, for any dtype.
fn encoded(shape: &[i64], dtype: DType, item: impl Fn(i64) -> Scalar) -> Result<Memory> {
    let mut memory = Memory::empty(shape, dtype)?;
    let bytes = memory.bytes_mut().expect("new memory is row-major and has one owner");
    bytes.chunks_exact_mut(dtype.size()).zip(0..).for_each(|(slot, i)| slot.copy_from_slice(&item(i).encode(dtype)));
    Ok(memory)
}

/// New memory of floats, by number, converted as PyTorch fills tensors.
fn floats(shape: &[i64], dtype: DType, item: impl Fn(i64) -> f64) -> Result<Memory> {
    match dtype {
        DType::F32 => filled(shape, |i| item(i) as f32),
        DType::F64 => filled(shape, item),
        _ => encoded(shape, dtype, |i| Scalar::Float(item(i))),
    }
}

/// New memory of integers, by number, converted as PyTorch fills tensors: they wrap.
fn integers(shape: &[i64], dtype: DType, item: impl Fn(i64) -> i64) -> Result<Memory> {
    match dtype {
        DType::I64 => filled(shape, item),
        DType::I32 => filled(shape, |i| item(i) as i32),
        DType::F32 => filled(shape, |i| item(i) as f64 as f32),
        DType::F64 => filled(shape, |i| item(i) as f64),
        _ => encoded(shape, dtype, |i| Scalar::Int(item(i))),
    }
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
    encoded(shape, dtype, |i| values[i as usize])
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
        return integers(&[n as i64], dtype, |i| (from as i64).wrapping_add((by as i64).wrapping_mul(i)));
    }
    let n = ((to - from) / by).ceil() as i64;
    let (from, by) = if dtype.is_int() { (from.trunc(), by.trunc()) } else { (from, by) };
    floats(&[n], dtype, |i| from + by * i as f64)
}

/// `torch.linspace`: `steps` numbers with both ends, counted from the nearer one. The ends of integers are integers.
pub fn linspace(start: f64, end: f64, steps: i64, dtype: DType) -> Result<Memory> {
    if steps < 0 {
        return Err(Error::new(ErrorKind::Runtime, "number of steps must be non-negative"));
    }
    let (start, end) = if dtype.is_int() { (start.trunc(), end.trunc()) } else { (start, end) };
    let by = if steps > 1 { (end - start) / (steps - 1) as f64 } else { 0.0 };
    floats(&[steps], dtype, |i| {
        if i < steps / 2 || steps == 1 { start + by * i as f64 } else { end - by * (steps - 1 - i) as f64 }
    })
}

/// `torch.eye`.
pub fn eye(rows: i64, columns: i64, dtype: DType) -> Result<Memory> {
    let mut memory = Memory::zeros(&[rows, columns], dtype)?;
    let (one, size) = (Scalar::Int(1).encode(dtype), dtype.size());
    let bytes = memory.bytes_mut().expect("new memory is row-major and has one owner");
    for i in 0..rows.min(columns) as usize {
        let at = i * (columns as usize + 1) * size;
        bytes[at..at + size].copy_from_slice(&one);
    }
    Ok(memory)
}
