//! Short axes: of at most [`SHORT_MAX`] points, inside a longer one. Their extents and the strides of the axis around
//! them become part of the text, so that code generation can run lanes along the longer axis, unroll the short one, and
//! take apart what lies interleaved.
//!
//! - A reduction over a short axis: `(N, 3)` summed over its columns. Its order stays what it is, `lanes`: a row
//!   has the same result in any batch.
//! - A map whose innermost axis is short, and which did not merge (`collapse.rs`): `(N, 3) + (3, N).T`. The axis
//!   becomes the nest's own. (Not where it is long enough to run along it.)
//! - Small steps of any map along its innermost axis: `x[::2]`; backwards, `x[::-1]`, also in reductions.

use super::Cx;
use super::collapse::{Bound, for_exprs};
use crate::id::{AxisId, BufferId};
use crate::index::IndexExpr;
use crate::kernel::{Inst, Nest, Op, Order, SHORT_MAX, STEP_MAX};

/// Fewer outer points fill no vector.
const OUTER_MIN: i64 = 16;
/// Rows that are rows, however short.
const ROW_MIN: i64 = 8;

/// Pins the short extents and the small strides of a phase.
pub(super) fn pin(cx: &mut Cx, phase: &mut Bound) {
    if phase.nests.iter().all(|(n, _)| n.axes.is_empty()) {
        pin_map(cx, phase);
    } else {
        pin_reductions(cx, phase);
        let innermost: Vec<AxisId> = phase.nests.iter().filter_map(|(n, _)| n.axes.last().copied()).collect();
        innermost.into_iter().chain(phase.outer.last().copied()).for_each(|a| pin_strides(cx, phase, a, 0));
    }
}

fn length(cx: &Cx, a: AxisId) -> i64 {
    cx.value(&cx.kernel.axes[a.index()])
}

fn pin_reductions(cx: &mut Cx, phase: &mut Bound) {
    let Some(&lanes) = phase.outer.last() else { return };
    let short = phase.nests.iter().all(|(nest, long)| match nest.axes[..] {
        [] => true,
        [a] => !long && (2..=SHORT_MAX).contains(&length(cx, a)),
        _ => false,
    });
    let along_lanes = |i: &Inst| matches!(i.op, Op::Reduce { order: Order::Lanes, .. });
    let reduces = phase.nests.iter().any(|(n, _)| n.body.iter().any(along_lanes));
    if !short || !reduces || length(cx, lanes) < OUTER_MIN {
        return;
    }
    for (nest, _) in &phase.nests {
        for a in &nest.axes {
            cx.kernel.axes[a.index()] = IndexExpr::Const(length(cx, *a));
        }
    }
    pin_strides(cx, phase, lanes, SHORT_MAX);
}

fn pin_map(cx: &mut Cx, phase: &mut Bound) {
    let Some(&last) = phase.outer.last() else { return };
    let around = phase.outer.len().checked_sub(2).map(|i| phase.outer[i]);
    if let (Some(lanes), [(nest, _)]) = (around, &mut phase.nests[..])
        && (2..=SHORT_MAX).contains(&length(cx, last))
        && !long_enough(cx, nest, length(cx, last))
        && length(cx, lanes) >= OUTER_MIN
    {
        phase.outer.pop();
        nest.axes.push(last);
        cx.kernel.axes[last.index()] = IndexExpr::Const(length(cx, last));
        pin_strides(cx, phase, lanes, SHORT_MAX);
    } else if length(cx, last) >= OUTER_MIN {
        pin_strides(cx, phase, last, STEP_MAX);
    }
}

/// True where lanes along rows of this length are worth more than lanes along the axis around them, whose results are
/// stored element by element: `(N, 16) * (N, 1)` took 93 us for 64 Ki floats, row by row 13; `(N, 9) * (N, 1)` 56 and 32
/// (NumPy 38 and 60; November 2026, AMD EPYC, AVX2). Bytes are widened before they are computed with, and lanes of more
/// rows are better.
fn long_enough(cx: &Cx, nest: &Nest, length: i64) -> bool {
    let size = |b: BufferId| cx.kernel.buffers[b.index()].dtype.size();
    length >= ROW_MIN && nest.body.iter().all(|i| !matches!(i.op, Op::Load { buffer, .. } if size(buffer) < 4))
}

/// Makes constants of the symbols up to `most`, or -1, that an axis is multiplied by.
fn pin_strides(cx: &mut Cx, phase: &mut Bound, axis: AxisId, most: i64) {
    let mut found = Vec::new();
    for inst in phase.nests.iter_mut().flat_map(|(n, _)| &mut n.body) {
        for_exprs(inst, &mut |e| {
            e.visit(&mut |e| {
                if let IndexExpr::Mul(a, b) = e {
                    match (&**a, &**b) {
                        (IndexExpr::Sym(s), IndexExpr::Axis(x)) | (IndexExpr::Axis(x), IndexExpr::Sym(s))
                            if *x == axis =>
                        {
                            found.push(*s);
                        }
                        _ => {}
                    }
                }
            });
        });
    }
    for s in found {
        let value = cx.syms[s.index()];
        if value == -1 || (2..=most).contains(&value) {
            cx.pinned.insert(s, value);
        }
    }
}
