//! Tensors whose operations wait, so that several become one kernel. Laziness shows only in speed.
//!
//! A [`Tensor`] is a view of a [`Buffer`], as a torch tensor is a view of a storage. A buffer either has
//! memory or is *pending*: a node of the graph of waiting operations will give its value. What happens to a
//! pending node, and when, is in `pending.rs`; how a group of them becomes a kernel in `run.rs`; what an
//! operation's result will be, known when it is called, in `infer.rs`.
//!
//! Invariants:
//!
//! - Z1: a node reads memory (a `Storage`), never a buffer. So an in-place operation over a whole buffer
//!   only gives the buffer a new node: what was called before reads the old memory, or the old node.
//! - Z2: memory that nodes wait to read is not written: a part of a buffer is written when the buffer alone
//!   owns its memory, after the operations that read it have run, or else in a copy.
//! - Z3: memory that we did not allocate, or have lent, is read by no waiting node: such an operation runs
//!   before its call returns.
//! - Z4: a result's bits do not depend on when it was computed, nor with what. Fusing never moves a rounding
//!   (16-bit floats, which kernels hold in f32 registers, are computed at once), and what fixes the order of a
//!   sum does not change: see [`pending::joins`].
//! - Z5: no lock is held while a kernel runs. Locks are taken in the order: the graph's, a buffer's.

pub mod create;
pub mod index;
mod infer;
mod pending;
pub mod print;
pub mod random;
mod run;
mod scalar;
mod tensor;

pub use pending::{Buffer, MAX_BYTES, MAX_NODES, waiting};
pub use scalar::Scalar;
pub use tensor::{Function, Operand, Tensor, eval};

use rusttorch_runtime::pool::{OwnPool, Parallel, Serial};

/// Where kernels run, and how a thread waits for another: the embedding language has locks of its own.
pub trait Host {
    /// Runs a job of about `work` element visits.
    fn run(&self, work: u64, job: &mut (dyn FnMut(&dyn Parallel) + Send));
    /// Calls `wait`, which blocks until another thread has run its job.
    fn wait(&self, wait: &mut (dyn FnMut() + Send));
}

/// Our own pool.
#[derive(Clone, Copy, Debug)]
pub struct Threads;

/// Less work is not shared out.
const SMALL: u64 = 40_000;

impl Host for Threads {
    fn run(&self, work: u64, job: &mut (dyn FnMut(&dyn Parallel) + Send)) {
        if work < SMALL { job(&Serial) } else { job(&OwnPool) }
    }

    fn wait(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }
}
