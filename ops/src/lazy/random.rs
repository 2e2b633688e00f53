//! Random tensors. A call takes its place in the generator's sequence when it is made and its numbers are a
//! function of seed, place and position alone: any number of threads and any fusion give the same ones.

use super::{Host, Tensor};
use crate::error::{Error, ErrorKind, Result};
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::pool::Parallel;
use rusttorch_runtime::random::Philox;
use rusttorch_runtime::{Tensor as Memory, View};

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
        (_, DType::F32 | DType::F64) => dtype,
        _ => {
            let kernel =
                if distribution == Distribution::Uniform { "check_uniform_bounds" } else { "normal_kernel_cpu" };
            let message = format!("\"{kernel}\" not implemented for '{}'", dtype.c_name());
            return Err(Error::new(ErrorKind::NotImplemented, message));
        }
    };
    let mut memory = Memory::empty(shape, drawn)?;
    let numel = memory.numel() as u64;
    let mut fill = |pool: &dyn Parallel| {
        let owned = "new memory is row-major, aligned, and has one owner";
        match (distribution, drawn) {
            (Distribution::Uniform, DType::F32) => place.fill_uniform_f32(memory.as_mut_slice().expect(owned), pool),
            (Distribution::Uniform, _) => place.fill_uniform_f64(memory.as_mut_slice().expect(owned), pool),
            (Distribution::Normal, DType::F32) => place.fill_normal_f32(memory.as_mut_slice().expect(owned), pool),
            (Distribution::Normal, _) => place.fill_normal_f64(memory.as_mut_slice().expect(owned), pool),
            (Distribution::Integers { low, high }, _) => {
                place.fill_integers(memory.as_mut_slice().expect(owned), low, high, pool);
            }
        }
    };
    // About as much work per number as dozens of elementwise operations.
    host.run(numel.saturating_mul(16), &mut |pool| fill(pool));
    Tensor::from(memory).to_dtype(dtype, host)
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
