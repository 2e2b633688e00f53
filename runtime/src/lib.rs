//! What a kernel needs to run: storage, tensors and views, DLPack, threads, the kernel cache, matrix
//! products and random numbers. This crate knows neither op names nor Python.
//!
//! Unsafe code is denied but in the modules whose job it is; each of them says why at its head.
#![deny(unsafe_code)]

pub mod alloc;
pub mod cache;
pub mod cpu;
pub mod dims;
pub mod dlpack;
pub mod env;
pub mod error;
pub mod fpu;
pub mod interpret;
pub mod launch;
pub mod layout;
pub mod log;
pub mod matmul;
pub mod pool;
pub mod random;
pub mod storage;
pub mod tensor;
pub mod view;
pub mod write;

pub use error::{Error, ErrorKind, Result};
pub use storage::Storage;
pub use tensor::{Element, Tensor};
pub use view::View;
