//! Kernels to machine code. This crate knows no op names, no tensors and no threads.
//!
//! The pipeline of [`compile`], in order: `expand_moments` (ir), `schedule`, then for each phase its strip by the full-width emitter
//! (`wide`, x86-64 with AVX2 or AVX-512) and the nest around it by Cranelift (`clif`), which takes all else, and link.
#![deny(unsafe_code)]

mod clif;
pub mod disasm;
pub mod error;
pub mod frame;
mod hoist;
mod host;
mod image;
pub mod isa;
mod jam;
pub mod lane;
pub mod module;
pub mod schedule;
mod tune;
mod wide;

pub use error::CodegenError;
pub use frame::{ErrorRecord, FrameLayout};
pub use host::HostFn;
pub use image::{Image, image};
pub use isa::Isa;
pub use module::{Artifact, Compiled, Emitters, Symbol, compile, compile_by, compile_for};
pub use tune::suited;
