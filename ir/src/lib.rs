//! The representations of RustTorch and their meaning: dtypes, graphs, the expression language,
//! fusion into kernels, and the interpreter. This crate knows no machine.
#![forbid(unsafe_code)]

pub mod dtype;
pub mod expr;
pub mod fuse;
pub mod fuzzing;
pub mod graph;
pub mod half;
pub mod id;
pub mod index;
pub mod kernel;
pub mod op;
pub mod prim;
