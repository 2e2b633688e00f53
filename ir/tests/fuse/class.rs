//! What kernels look like: phases, nests, orders, and texts that know no sizes.

use crate::build::*;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::fuse::{FuseError, FuseOptions, fuse};
use rusttorch_ir::graph::{Graph, GraphOp, TensorMeta, View};
use rusttorch_ir::id::NodeId;
use rusttorch_ir::kernel::{Kernel, Order, Reduction};
use rusttorch_ir::prim::Prim;

/// Fuses for two sizes; the texts must be equal.
fn same_text(sizes: [&[i64]; 2], opts: &FuseOptions, make: impl Fn(&mut Build, NodeId) -> NodeId) -> Kernel {
    let [a, b] = sizes.map(|shape| {
        let mut b = Build::default();
        let x = b.input(shape);
        let y = make(&mut b, x);
        check_with(&b.done(&[y]), opts)
    });
    assert_eq!(a.to_string(), b.to_string());
    a
}

const RANK3: [&[i64]; 2] = [&[3, 4, 5], &[7, 2, 9]];

fn usual(make: impl Fn(&mut Build, NodeId) -> NodeId) -> Kernel {
    same_text(RANK3, &FuseOptions::default(), make)
}

#[test]
fn contiguous_maps_of_any_rank_are_one_loop() {
    let text = |shape: &[i64]| {
        let mut b = Build::default();
        let (x, y) = (b.input(shape), b.input(shape));
        let s = b.prim(Prim::Add, &[x, y]);
        let k = check(&b.done(&[s]));
        assert_eq!(shape_of(&k), "1:[]+1");
        k.to_string()
    };
    assert_eq!(text(&[7]), text(&[3, 5]));
    assert_eq!(text(&[7]), text(&[2, 3, 1, 5]));
}

#[test]
fn a_short_operand_repeats_along_one_loop() {
    let text = |x: &[i64], v: &[i64]| {
        let mut b = Build::default();
        let (x, v) = (b.input(x), b.input(v));
        let p = b.prim(Prim::Mul, &[x, v]);
        check(&b.done(&[p])).to_string()
    };
    let repeats = text(&[50, 3], &[3]);
    assert!(repeats.contains("phase [i0 < s0] {") && repeats.contains("in1[mod(i0, 3)]"), "{repeats}");
    // The period is in the text, other sizes are not.
    assert_eq!(repeats, text(&[4, 9, 3], &[3]));
    assert_ne!(repeats, text(&[50, 4], &[4]));
    // A long operand, and one that moves along the outer axis alone, keep two loops.
    assert!(text(&[50, 17], &[17]).contains("i1 < "));
    assert!(text(&[50, 3], &[50, 1]).contains("i1 < "));
}

#[test]
fn softmax_is_one_phase_over_each_dim() {
    let shapes = ["1:[1, 1, 1]+0", "2:[1, 1, 1]+0", "1:[1, 1, 1]+0"];
    for dim in 0..3 {
        let k = usual(|b, x| b.softmax(x, dim));
        assert_eq!(shape_of(&k), shapes[dim], "{k}");
        let order = if dim == 2 { Order::Lanes } else { Order::Rows };
        assert_eq!(orders(&k), [order; 2], "{k}");
    }
}

#[test]
fn norms_and_variances_are_one_phase() {
    let k = usual(|b, x| b.log_softmax(x, 2));
    assert_eq!(shape_of(&k), "1:[1, 1, 1]+0", "{k}");
    // What depends on the row only is computed between the loops.
    let k = usual(|b, x| b.layer_norm(x, &[2]));
    assert_eq!(shape_of(&k), "1:[1, 1, 1]+2", "{k}");
    let k = usual(|b, x| b.layer_norm(x, &[1, 2]));
    assert_eq!(shape_of(&k), "1:[1, 1, 1]+2", "{k}");
    let k = usual(|b, x| b.var(x, &[2]).1);
    assert_eq!(shape_of(&k), "1:[1, 1]+2", "{k}");
    let k = usual(|b, x| b.var(x, &[0]).1);
    assert_eq!(orders(&k), [Order::Rows; 2], "{k}");
}

/// `(N, C, H, W)`, groups of channels: the reshapes cut the channels and disappear.
#[test]
fn group_norm_is_one_phase() {
    let k = same_text([&[2, 6, 3, 2], &[3, 4, 2, 5]], &FuseOptions::default(), |b, x| {
        let s = b.0.node(x).shape.clone();
        let groups = b.view(View::Reshape, x, &[s[0], 2, s[1] / 2 * s[2] * s[3]]);
        let normal = b.layer_norm(groups, &[2]);
        let back = b.view(View::Reshape, normal, &s);
        let w = b.input(&[s[1], 1, 1]);
        b.prim(Prim::Mul, &[back, w])
    });
    // The row is (channel of the group, pixel) where the weight takes part.
    assert_eq!(k.phases.len(), 1, "{k}");
    assert_eq!(k.phases[0].nests.iter().filter(|n| !n.axes.is_empty()).count(), 3, "{k}");
}

#[test]
fn batch_norm_reduces_around_the_channel() {
    let k = same_text([&[2, 3, 4, 5], &[4, 2, 3, 7]], &FuseOptions::default(), |b, x| b.layer_norm(x, &[0, 2, 3]));
    assert_eq!(shape_of(&k), "1:[2, 2, 2]+2", "{k}");
}

#[test]
fn full_reductions_have_one_axis() {
    let k = usual(|b, x| b.reduce(Reduction::Sum, x, &[0, 1, 2]));
    assert_eq!(shape_of(&k), "0:[1]+1", "{k}");
    let k = usual(|b, x| b.result(Reduction::ArgMax, x, &[0, 1, 2], 1));
    assert_eq!(shape_of(&k), "0:[1]+1", "{k}");
}

#[test]
fn layouts_run_in_memory_order() {
    // channels_last in and out
    let mut b = Build::default();
    let x = b.strided(DType::F32, &[2, 3, 4, 5], &[60, 1, 15, 3]);
    let y = b.prim(Prim::Neg, &[x]);
    let g = b.done(&[y]);
    let out = TensorMeta { strides: vec![60, 1, 15, 3], ..dense(&g).remove(0) };
    let k = compare(&g, &[out], &FuseOptions::default(), 1, 0.0).kernel;
    assert_eq!(shape_of(&k), "1:[]+1", "{k}");

    let mut b = Build::default();
    let x = b.input(&[4, 4]);
    let t = b.permute(x, &[1, 0]);
    let y = b.prim(Prim::Add, &[x, t]);
    let k = check(&b.done(&[y]));
    assert_eq!(shape_of(&k), "2:[]+1", "{k}");
}

#[test]
fn long_reductions_are_blocked() {
    let long = [&[2, 3, 9][..], &[3, 2, 14][..]];
    let k = same_text(long, &tiny(), |b, x| b.softmax(x, 2));
    // Partial and final step of max and of sum, then the quotient.
    assert_eq!(shape_of(&k), "2:[1]+1 1:[1]+1 2:[1]+2 1:[1]+1 2:[]+1", "{k}");
    let k = same_text(long, &tiny(), |b, x| b.mean(x, &[0, 1, 2]));
    assert_eq!(shape_of(&k), "1:[1]+1 0:[1]+1", "{k}");
    let tall = [&[9, 3][..], &[14, 2][..]];
    let k = same_text(tall, &tiny(), |b, x| b.reduce(Reduction::Sum, x, &[0]));
    assert_eq!(orders(&k), [Order::Rows; 2], "{k}");
    let k = same_text(tall, &tiny(), |b, x| b.result(Reduction::ArgMin, x, &[0], 1));
    assert_eq!(shape_of(&k), "2:[1]+1 1:[1]+1", "{k}");
    // Two axes that do not merge: one is cut.
    let k = same_text([&[9, 4, 3], &[14, 5, 2]], &tiny(), |b, x| b.reduce(Reduction::Sum, x, &[0, 2]));
    assert_eq!(k.phases.len(), 2, "{k}");
}

#[test]
fn two_reductions_over_different_dims() {
    let k = usual(|b, x| {
        let (r, c) = (b.mean(x, &[2]), b.mean(x, &[0]));
        let d = b.prim(Prim::Sub, &[x, r]);
        b.prim(Prim::Sub, &[d, c])
    });
    assert_eq!(k.phases.len(), 2, "{k}");
    let k = usual(|b, x| {
        let s = b.reduce(Reduction::Sum, x, &[2]);
        b.reduce(Reduction::Max, s, &[1])
    });
    assert_eq!(k.phases.len(), 2, "{k}");
}

#[test]
fn gather_of_log_softmax_is_one_phase() {
    let mut b = Build::default();
    let x = b.input(&[6, 9]);
    let index = b.0.push(GraphOp::Iota { dim: 0 }, DType::I64, vec![6, 1]);
    let y = b.log_softmax(x, 1);
    let y = b.0.push(GraphOp::Gather { source: y, index, dim: 1 }, DType::F32, vec![6, 1]);
    let k = check(&b.done(&[y]));
    assert_eq!(shape_of(&k), "1:[1, 1]+1", "{k}");
}

#[test]
fn outputs_share_what_they_can() {
    let mut b = Build::default();
    let x = b.input(&[5, 7]);
    let y = b.softmax(x, 1);
    let twice = b.prim(Prim::Add, &[x, x]);
    let k = check(&b.done(&[y, twice, y, x]));
    assert_eq!(k.phases.len(), 1, "{k}");
    let mut b = Build::default();
    let x = b.input(&[5, 1]);
    let sum = b.reduce(Reduction::Sum, x, &[1]);
    let at = b.result(Reduction::ArgMax, x, &[1], 1);
    let k = check(&b.done(&[sum, at]));
    assert_eq!(shape_of(&k), "1:[]+1", "{k}");
}

#[test]
fn refusals_say_why() {
    let options = FuseOptions::default();
    let mut b = Build::default();
    let x = b.input(&[1; 17]);
    assert_eq!(fuse(&b.done(&[x]), &[], &options).unwrap_err(), FuseError::OutputCount { graph: 1, given: 0 });
    let mut b = Build::default();
    let x = b.input(&[1; 17]);
    let g: Graph = b.done(&[x]);
    assert_eq!(fuse(&g, &dense(&g), &options).unwrap_err(), FuseError::Rank(17));
    let mut b = Build::default();
    let x = b.input(&[2]);
    let g = b.done(&[x]);
    let other = TensorMeta::contiguous(DType::F32, &[3]);
    assert_eq!(fuse(&g, &[other], &options).unwrap_err(), FuseError::Output(0));
}

#[test]
fn deep_graphs_need_no_deep_stack() {
    let mut b = Build::default();
    let mut x = b.input(&[2, 3]);
    for _ in 0..5000 {
        x = b.prim(Prim::Neg, &[x]);
    }
    assert_eq!(shape_of(&check(&b.done(&[x]))), "1:[]+1");
    // Every reduction needs all before it.
    let mut b = Build::default();
    let mut x = b.input(&[2, 3]);
    for _ in 0..20 {
        x = b.softmax(x, 1);
    }
    assert_eq!(check(&b.done(&[x])).phases.len(), 1);
}
