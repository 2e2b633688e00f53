//! Operations that are no kernels, in safe Rust over memory: what the loops of a kernel, whose reductions have one
//! result per line, cannot say.
//!
//! They take tensors and give new, row-major ones; work is shared out over lines by rayon in our own pool, and no
//! result depends on the number of threads.

mod accumulate;
mod find;
mod join;
mod lanes;
mod order;
mod scan;

pub use accumulate::{Put, check_index, from_start, index_slices, scatter, select_slices};
pub use find::{masked_scatter, masked_select, nonzero};
pub use join::cat;
pub use order::{Pick, Unique, first, order_of_rows, pick, search, sort, unique};
pub use scan::{Extremes, Scan, extremes, scan};
