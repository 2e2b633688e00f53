//! The operations of RustTorch, as data, and the engine that runs them: the public Rust API.
#![forbid(unsafe_code)]

pub mod cli;
pub mod engine;
pub mod error;
pub mod host;
pub mod journal;
pub mod lazy;
pub mod table;

pub use error::{Error, ErrorKind, Result};
