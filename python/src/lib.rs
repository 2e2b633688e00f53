//! The Python module: borrowing arrays of NumPy and torch, calling expressions on them, tracing.
//!
//! This crate alone knows Python. A call is: borrow the operands (`borrow.rs`, `torch.rs`, `numpy.rs`),
//! find the plan for their dtypes, shapes and strides (`expr.rs`), make the results (`alloc_out.rs`), run.

mod alloc_out;
mod borrow;
mod builder;
mod call;
mod control;
mod device;
mod dtype;
mod errors;
mod evaluate;
mod exchange;
mod expr;
mod fast;
mod host;
mod literal;
mod matmul;
mod numpy;
mod tensor;
mod tensor_call;
mod tensor_index;
mod tensor_make;
mod tensor_operators;
mod tensor_random;
mod tensor_values;
mod tensor_views;
mod tensor_write;
mod through;
mod torch;
mod torch_abi;
mod vectorcall;

use pyo3::prelude::*;

#[pymodule]
fn _rusttorch(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::register(m)?;
    torch::register(m)?;
    borrow::register(m)?;
    expr::register(m)?;
    evaluate::register(m)?;
    builder::register(m)?;
    fast::register(m)?;
    matmul::register(m)?;
    device::register(m)?;
    host::register(m)?;
    dtype::register(m)?;
    tensor::register(m)?;
    tensor_values::register(m)?;
    tensor_call::register(m)?;
    tensor_make::register(m)?;
    tensor_random::register(m)?;
    exchange::register(m)?;
    control::register(m)
}
