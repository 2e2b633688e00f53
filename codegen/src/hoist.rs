//! Moves uniform code that is the same for every row (or tile) of a strip out of its loops: `1 / count` of a
//! mean, terms of scalars. A row of 64 elements takes about as long as one such division with its conversions.

use crate::lane::{Access, LaneInst, LaneOp, Segment, operands};
use rusttorch_ir::id::ValueId;
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::prim::Prim;
use std::collections::HashSet;

/// Takes what does not depend on an axis or on memory from the preludes of `segments`; in order.
///
/// Leaves (constants, run-time numbers, sizes) move only where the segments do not use them as well: to
/// make one again costs less than a register across all loops.
pub fn hoist(segments: &mut [Segment]) -> Vec<LaneInst> {
    let mut leaves: Vec<LaneInst> = Vec::new();
    let mut hoisted: Vec<LaneInst> = Vec::new();
    let mut invariant: HashSet<ValueId> = HashSet::new();
    for seg in segments.iter_mut() {
        seg.prelude.retain(|inst| {
            if is_leaf(&inst.op) {
                invariant.extend(&inst.results);
                leaves.push(inst.clone());
                return true;
            }
            let moves = match &inst.op {
                LaneOp::Prim(Prim::IDiv | Prim::IRem, ..) => false,
                LaneOp::Prim(_, _, args) => args.iter().all(|a| invariant.contains(a)),
                _ => false,
            };
            if moves {
                invariant.extend(&inst.results);
                hoisted.push(inst.clone());
            }
            !moves
        });
    }
    if hoisted.is_empty() {
        return hoisted;
    }
    let mut needed = Vec::new();
    operands(&hoisted, &mut needed);
    leaves.retain(|l| l.results.iter().any(|r| needed.contains(r)));
    let mut used = Vec::new();
    for seg in segments.iter() {
        operands(&seg.prelude, &mut used);
        operands(&seg.body, &mut used);
        used.extend(seg.reduces.iter().flat_map(|r| &r.args));
    }
    let moved = |inst: &LaneInst| leaves.iter().any(|l| l.results == inst.results) && !used.contains(&inst.results[0]);
    for seg in segments.iter_mut() {
        seg.prelude.retain(|inst| !moved(inst));
    }
    leaves.extend(hoisted);
    leaves
}

fn is_leaf(op: &LaneOp) -> bool {
    match op {
        LaneOp::Const(_) | LaneOp::Scalar(_) => true,
        LaneOp::Index(Access::Uniform(e)) => {
            let mut fixed = true;
            e.visit(&mut |e| fixed &= !matches!(e, IndexExpr::Axis(_) | IndexExpr::Value(_)));
            fixed
        }
        _ => false,
    }
}
