//! Random tensors. A call takes its place in the generator's sequence when it is made and its numbers are a
//! function of seed, place and position alone: any number of threads and any fusion give the same ones.

use super::{Function, Host, Operand, Tensor};
use crate::engine;
use crate::error::{Error, ErrorKind, Result};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::parse;
use rusttorch_runtime::pool::Parallel;
use rusttorch_runtime::random::Philox;
use rusttorch_runtime::{Tensor as Memory, View};
use std::sync::{Arc, OnceLock, PoisonError};

/// What numbers are drawn.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Distribution {
    /// In [0, 1).
    Uniform,
    /// Of mean 0 and variance 1.
    Normal,
    /// Integers in `low..high`.
    Integers {
        /// The lowest.
        low: i64,
        /// Above the highest.
        high: i64,
    },
}

/// Counters that a draw takes; four 32-bit words come from each.
pub fn counters(numel: i64, dtype: DType, distribution: Distribution) -> u64 {
    let per_counter = match (distribution, dtype) {
        (Distribution::Integers { .. }, _) | (_, DType::F64) => 2,
        _ => 4,
    };
    numel.unsigned_abs().div_ceil(per_counter)
}

/// New numbers, in row-major order of a dense layout's memory, from `place` on.
pub fn draw(
    shape: &[i64],
    dtype: DType,
    distribution: Distribution,
    mut place: Philox,
    host: &dyn Host,
) -> Result<Tensor> {
    let drawn = match (distribution, dtype) {
        (Distribution::Integers { low, high }, _) if low >= high => {
            return Err(Error::new(
                ErrorKind::Runtime,
                format!("random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"),
            ));
        }
        (Distribution::Integers { .. }, _) => DType::I64,
        (_, DType::F64) => dtype,
        (_, DType::F32 | DType::F16 | DType::BF16) => DType::F32,
        _ => {
            let kernel =
                if distribution == Distribution::Uniform { "check_uniform_bounds" } else { "normal_kernel_cpu" };
            let message = format!("\"{kernel}\" not implemented for '{}'", dtype.c_name());
            return Err(Error::new(ErrorKind::NotImplemented, message));
        }
    };
    if distribution == Distribution::Normal {
        return normal(shape, drawn, place, host)?.to_dtype(dtype, host);
    }
    let mut memory = Memory::empty(shape, drawn)?;
    let numel = memory.numel() as u64;
    let mut fill = |pool: &dyn Parallel| {
        let owned = "new memory is row-major, aligned, and has one owner";
        match (distribution, drawn) {
            (Distribution::Uniform, DType::F32) => {
                let bits = match dtype {
                    DType::F16 => 11,
                    DType::BF16 => 8,
                    _ => 24,
                };
                place.fill_uniform_f32(memory.as_mut_slice().expect(owned), bits, pool);
            }
            (Distribution::Integers { low, high }, _) => {
                place.fill_integers(memory.as_mut_slice().expect(owned), low, high, pool);
            }
            _ => place.fill_uniform_f64(memory.as_mut_slice().expect(owned), pool),
        }
    };
    // About as much work per number as several elementwise operations.
    host.run(numel.saturating_mul(8), &mut |pool| fill(pool));
    Tensor::from(memory).to_dtype(dtype, host)
}

/// Standard normal numbers of random words of shape (2, n), by Box and Muller: a radius from 31 bits of the first row, an
/// angle from 24 of the second; cosines, then sines.
const NORMAL_F32: &str = "normal(w) = sqrt(-2.0 * log(((narrow(w, 0, 0, 1) & 0x7fffffff) + 1.0) * 4.656612873077393e-10)) \
    * cos(((narrow(w, 0, 1, 1) >> 8 & 0xffffff) * 5.960464477539063e-08 - 0.25 * iota(w, 0)) * 6.283185307179586)";
/// With 53 bits for each.
const NORMAL_F64: &str = "normal(w) = \
    sqrt(-2.0 * log(((narrow(w, 0, 0, 1) >> 11 & 0x1fffffffffffff) + 1.0) * 1.1102230246251565e-16)) \
    * cos(((narrow(w, 0, 1, 1) >> 11 & 0x1fffffffffffff) * 1.1102230246251565e-16 - 0.25 * iota(w, 0)) * 6.283185307179586)";

/// Standard normal numbers: one kernel over random words, of which each gives one.
fn normal(shape: &[i64], dtype: DType, mut place: Philox, host: &dyn Host) -> Result<Tensor> {
    let numel: i64 = shape.iter().product();
    let pairs = numel.div_euclid(2) + numel % 2;
    static FUNCTIONS: [OnceLock<Function>; 2] = [const { OnceLock::new() }; 2];
    let wide = dtype == DType::F64;
    let (word, text) = if wide { (DType::I64, NORMAL_F64) } else { (DType::I32, NORMAL_F32) };
    let function = FUNCTIONS[usize::from(wide)].get_or_init(|| {
        let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
        Function(Arc::new(parse(text, Some(&*table)).expect("a text of ours")))
    });
    let mut words = Memory::empty(&[2, pairs], word)?;
    let mut fill = |pool: &dyn Parallel| {
        let owned = "new memory is row-major, aligned, and has one owner";
        match word {
            DType::I64 => place.fill_i64(words.as_mut_slice().expect(owned), pool),
            _ => place.fill_i32(words.as_mut_slice().expect(owned), pool),
        }
    };
    host.run(pairs.unsigned_abs().saturating_mul(16), &mut |pool| fill(pool));
    let numbers = Tensor::call(function, &[Operand::Tensor(words.into())], dtype, host)?;
    numbers.view(&[2 * pairs])?.narrow(0, 0, numel)?.view(shape)
}

/// The same values under the strides of a dense layout.
pub fn laid_out(drawn: &Tensor, view: &View, host: &dyn Host) -> Result<Tensor> {
    if drawn.layout().strides() == view.strides() {
        return Ok(drawn.clone());
    }
    let memory = Memory::empty_strided(view.shape(), view.strides(), view.dtype())?;
    let result = Tensor::from(memory);
    result.assign(drawn, host)?;
    Ok(result)
}
