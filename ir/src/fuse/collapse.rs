//! From virtual axes to axes of the kernel, as few as possible.
//!
//! Axes `a` and `b`, next to each other in one list, merge when every index of their scope is linear
//! in both and steps along `a` by the extent of `b` times its step along `b`: by value, since that is
//! what "contiguous" means. The merged extent is a symbol of its own, so that a contiguous operand of
//! any rank gives the same text.
//!
//! In a map, a short inner axis (`PERIOD_MAX`) merges as well when some loads do not move along the outer
//! one: `(N, 3) * (3,)` is one long loop whose second operand repeats. Its index then holds `mod` by
//! the extent, which becomes part of the text.

use super::emit::PhaseBuild;
use super::index::{coefficient, sym_of};
use super::{Cx, SymKey};
use crate::id::AxisId;
use crate::index::IndexExpr;
use crate::kernel::{Inst, Nest, Op};
use std::collections::HashMap;

/// Longest period of an operand that repeats along a merged axis.
const PERIOD_MAX: i64 = 16;

/// A phase over axes of the kernel, each listed once.
pub(super) struct Bound {
    pub outer: Vec<AxisId>,
    /// With: is to be blocked.
    pub nests: Vec<(Nest, bool)>,
}

/// Calls `f` on every index expression of an instruction, those inside a `cold` body included.
pub(super) fn for_exprs(inst: &mut Inst, f: &mut impl FnMut(&mut IndexExpr)) {
    match &mut inst.op {
        Op::Index(e) | Op::Load { index: e, .. } | Op::Store { index: e, .. } | Op::Check { size: e, .. } => f(e),
        Op::Cold { body, .. } => body.iter_mut().for_each(|i| for_exprs(i, f)),
        Op::Const(_) | Op::Scalar(_) | Op::Prim(..) | Op::Lookup { .. } | Op::Call { .. } | Op::Reduce { .. } => {}
    }
}

/// Replaces axes in an expression.
pub(super) fn substitute(e: &mut IndexExpr, f: &impl Fn(AxisId) -> Option<IndexExpr>) {
    *e = e.map_leaves(&mut |leaf| match leaf {
        IndexExpr::Axis(a) => f(*a),
        _ => None,
    });
}

/// Gives the phase and each of its nests axes of their own.
pub(super) fn bind(cx: &mut Cx, phase: PhaseBuild) -> Bound {
    let real = |cx: &mut Cx, axes: &[AxisId]| -> Vec<(AxisId, AxisId)> {
        let bind = |&a: &AxisId| {
            let extent = cx.extent(cx.virtual_axes[a.index()].0);
            (a, cx.kernel.add_axis(extent))
        };
        axes.iter().map(bind).collect()
    };
    let outer = real(cx, &phase.outer);
    let mut nests = Vec::new();
    for mut nest in phase.nests {
        let own = real(cx, &nest.axes);
        let map: HashMap<AxisId, AxisId> = outer.iter().chain(&own).copied().collect();
        for inst in &mut nest.body {
            for_exprs(inst, &mut |e| substitute(e, &|a| map.get(&a).map(|&r| r.into())));
        }
        let axes = own.into_iter().map(|(_, r)| r).collect();
        nests.push((Nest { axes, body: nest.body }, nest.long));
    }
    Bound { outer: outer.into_iter().map(|(_, r)| r).collect(), nests }
}

/// Merges axes where all accesses allow.
pub(super) fn collapse(cx: &mut Cx, mut phase: Bound) -> Bound {
    let map = phase.nests.iter().all(|(n, _)| n.axes.is_empty());
    let mut bodies: Vec<&mut Nest> = phase.nests.iter_mut().map(|(n, _)| n).collect();
    merge_list(cx, &mut phase.outer, &mut bodies, map);
    for (nest, _) in &mut phase.nests {
        let mut axes = std::mem::take(&mut nest.axes);
        merge_list(cx, &mut axes, &mut [&mut *nest], false);
        nest.axes = axes;
    }
    phase
}

/// How an index moves along two axes that are to merge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Move {
    /// As along one axis.
    On,
    /// Along the inner one only: again and again.
    Repeats,
    /// Otherwise.
    Apart,
}

/// `a` outside `b`, whose extent is `extent`.
fn movement(cx: &Cx, e: &IndexExpr, a: AxisId, b: AxisId, extent: i64) -> Move {
    match (coefficient(e, a, &cx.syms), coefficient(e, b, &cx.syms)) {
        (Some(x), Some(y)) if y.checked_mul(extent) == Some(x) => Move::On,
        (Some(0), Some(_)) if (2..=PERIOD_MAX).contains(&extent) => Move::Repeats,
        (Some(0), None) if only_repeats(e, b) => Move::Repeats,
        _ => Move::Apart,
    }
}

/// True when `b` occurs only in a `mod` by a constant that an earlier merge put there: the extent of `b` is
/// a multiple of it.
fn only_repeats(e: &IndexExpr, b: AxisId) -> bool {
    if let IndexExpr::Mod(x, m) = e
        && matches!((&**x, &**m), (IndexExpr::Axis(x), IndexExpr::Const(_)) if *x == b)
    {
        return true;
    }
    match e.children() {
        None => *e != IndexExpr::Axis(b),
        Some((x, y)) => only_repeats(x, b) && only_repeats(y, b),
    }
}

fn merge_list(cx: &mut Cx, axes: &mut Vec<AxisId>, scope: &mut [&mut Nest], map: bool) {
    let mut k = axes.len();
    // From the inside out: the inner of two is final when it is looked at.
    while k > 1 {
        k -= 1;
        let (a, b) = (axes[k - 1], axes[k]);
        let (ea, eb) = (cx.kernel.axes[a.index()].clone(), cx.kernel.axes[b.index()].clone());
        let extent = cx.value(&eb);
        let mut merges = true;
        for inst in scope.iter_mut().flat_map(|n| &mut n.body) {
            let repeats = map && matches!(inst.op, Op::Load { mask: None, .. });
            for_exprs(inst, &mut |e| {
                let m = movement(cx, e, a, b, extent);
                merges &= m == Move::On || (m == Move::Repeats && repeats);
            });
        }
        if !merges {
            continue;
        }
        for inst in scope.iter_mut().flat_map(|n| &mut n.body) {
            for_exprs(inst, &mut |e| {
                if movement(cx, e, a, b, extent) == Move::Repeats && !only_repeats(e, b) {
                    let again = IndexExpr::Axis(b).modulo(IndexExpr::Const(extent));
                    substitute(e, &|x| (x == b).then(|| again.clone()));
                }
                substitute(e, &|x| (x == a).then(IndexExpr::zero));
            });
        }
        let (sa, sb) = sym_of(&ea).zip(sym_of(&eb)).expect("extents are symbols before blocking");
        let merged = cx.value(&ea) * extent;
        cx.kernel.axes[b.index()] = cx.sym(SymKey::Merged(sa, sb), merged).into();
        axes.remove(k - 1);
    }
}
