//! The operations of RustTorch, as data.
#![forbid(unsafe_code)]

pub mod table;
