//! Fusion against the naive evaluator of graphs.

mod build;
mod class;
mod values;
