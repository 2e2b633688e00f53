//! Operations that are no kernels, in safe Rust over memory: what the loops of a kernel, whose reductions have one
//! result per line, cannot say.
//!
//! They take tensors and give new, row-major ones; work is shared out over lines by rayon in our own pool, and no
//! result depends on the number of threads.

mod accumulate;
mod lanes;
mod order;
mod scan;

pub use accumulate::scatter_add;
pub use order::{nonzero, sort};
pub use scan::{Extremes, Scan, extremes, scan};
