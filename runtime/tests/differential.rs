//! Random kernels and random fused graphs: machine code against the interpreter, bit for bit. More of
//! them: `make fuzz`.

mod common;

use common::random::{graph_case, kernel_case};

#[test]
fn random_kernels() {
    for seed in 0..200 {
        kernel_case(seed).check().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

#[test]
fn random_graphs() {
    for seed in 0..150 {
        graph_case(seed).check().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

/// Cases that once failed by seed. The first two: a load of a float comparison became its memory operand, which SSE
/// wants aligned. Then two failed checks of one position, in a nest whose extent depends on another axis; and moments
/// whose operand needs the second of two failed checks. The last: rows that run together read each other's scratch, at an
/// index that is the row's.
#[test]
fn seeds_that_failed() {
    for seed in [20832, 20833, 20_021_862, 40_012_658, 20_279_844] {
        kernel_case(seed).check().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        graph_case(seed).check().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}
