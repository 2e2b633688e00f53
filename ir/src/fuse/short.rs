//! Short reductions: over one axis of at most [`SHORT_MAX`] points, with an outer axis around it. The axis'
//! extent and the strides of the outer one become part of the text, so that code generation can run lanes
//! along the outer axis, the short one unrolled, and take apart what lies interleaved: `(N, 3)` summed over its
//! columns. The order of the reduction stays what it is, `lanes`: a row has the same result in any batch.

use super::Cx;
use super::collapse::{Bound, for_exprs};
use crate::id::AxisId;
use crate::index::IndexExpr;
use crate::kernel::{Op, Order, SHORT_MAX};

/// Fewer outer points fill no vector.
const OUTER_MIN: i64 = 16;

/// Pins extents and strides of a phase whose reductions are all short.
pub(super) fn pin(cx: &mut Cx, phase: &mut Bound) {
    let Some(&lanes) = phase.outer.last() else { return };
    let length = |cx: &Cx, a: AxisId| cx.value(&cx.kernel.axes[a.index()]);
    let short = phase.nests.iter().all(|(nest, long)| match nest.axes[..] {
        [] => true,
        [a] => !long && (2..=SHORT_MAX).contains(&length(cx, a)),
        _ => false,
    });
    let along_lanes = |i: &crate::kernel::Inst| matches!(i.op, Op::Reduce { order: Order::Lanes, .. });
    let reduces = phase.nests.iter().any(|(n, _)| n.body.iter().any(along_lanes));
    if !short || !reduces || length(cx, lanes) < OUTER_MIN {
        return;
    }
    for (nest, _) in &mut phase.nests {
        for a in &nest.axes {
            cx.kernel.axes[a.index()] = IndexExpr::Const(length(cx, *a));
        }
        for inst in &mut nest.body {
            for_exprs(inst, &mut |e| pin_strides(cx, e, lanes));
        }
    }
}

/// Makes constants of the symbols that an axis is multiplied by.
fn pin_strides(cx: &mut Cx, e: &IndexExpr, axis: AxisId) {
    let mut found = Vec::new();
    e.visit(&mut |e| {
        if let IndexExpr::Mul(a, b) = e {
            match (&**a, &**b) {
                (IndexExpr::Sym(s), IndexExpr::Axis(x)) | (IndexExpr::Axis(x), IndexExpr::Sym(s)) if *x == axis => {
                    found.push(*s);
                }
                _ => {}
            }
        }
    });
    for s in found {
        let value = cx.syms[s.index()];
        if (2..=SHORT_MAX).contains(&value) {
            cx.pinned.insert(s, value);
        }
    }
}
