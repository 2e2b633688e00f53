//! Chooses the order of axes and of reductions of a phase.
//!
//! Axes go by falling stride of the phase's stores, then of its loads; a later access decides only what
//! the earlier leave open (strides of 0 decide nothing). Reductions of one phase share one order: `rows`
//! when more operands of its reducing nests are contiguous along an outer axis than along the innermost
//! nest axis; that outer axis then comes last, since lanes run along it. An operand of more axes counts before any
//! number of smaller ones ([`votes`]).
//!
//! With the axis order known, temporaries and row scratch get their layout: dense, in that order.

use super::emit::PhaseBuild;
use super::index::{axes_of, coefficient};
use super::stages::{PhasePlan, Target};
use super::{Cx, SymKey};
use crate::id::AxisId;
use crate::index::IndexExpr;
use crate::kernel::{BufferKind, Inst, Op, Order};
use std::collections::BTreeSet;

/// Sets axis orders, reduction orders and layouts.
pub(super) fn choose(cx: &mut Cx, plan: &PhasePlan, phase: &mut PhaseBuild) {
    let bodies: Vec<&[Inst]> = phase.nests.iter().map(|n| &n.body[..]).collect();
    let mut outer = phase.outer.clone();
    sort(cx, &mut outer, &bodies);

    let inner: BTreeSet<BTreeSet<AxisId>> =
        phase.nests.iter().filter(|n| !n.axes.is_empty()).map(|n| n.axes.iter().copied().collect()).collect();
    for set in inner {
        let same = |axes: &[AxisId]| axes.len() == set.len() && axes.iter().all(|a| set.contains(a));
        let nests = phase.nests.iter().filter(|n| same(&n.axes));
        let bodies: Vec<&[Inst]> = nests.clone().map(|n| &n.body[..]).collect();
        let mut axes = nests.clone().next().expect("the set is a nest's").axes.clone();
        sort(cx, &mut axes, &bodies);
        for nest in phase.nests.iter_mut().filter(|n| same(&n.axes)) {
            nest.axes.clone_from(&axes);
        }
        for (buffer, of) in phase.rows.iter().filter(|(_, of)| *of == set) {
            debug_assert_eq!(of.len(), axes.len());
            let mut stride = 1;
            for (k, &a) in axes.iter().rev().enumerate() {
                let sym = cx.sym(SymKey::RowStride(*buffer, a), 0);
                cx.syms[sym.index()] = stride;
                if k == 0 {
                    cx.pinned.insert(sym, 1);
                }
                stride *= cx.axis_len(a);
            }
        }
    }

    let reducing = |body: &[Inst]| body.iter().any(|i| matches!(i.op, Op::Reduce { .. }));
    let all_votes = |axis: &dyn Fn(&[AxisId]) -> Option<AxisId>| -> usize {
        let count = |n: &super::emit::NestBuild| {
            let Some(axis) = axis(&n.axes) else { return 0 };
            accesses(cx, &n.body, Kind::Loads).map(|e| votes(e, axis, &cx.syms)).sum::<usize>()
        };
        phase.nests.iter().filter(|n| reducing(&n.body)).map(count).sum()
    };
    let lanes = all_votes(&|axes| axes.last().copied());
    // Later axes first: among equals the innermost.
    let rows = outer.iter().rev().map(|&a| (all_votes(&|_| Some(a)), a)).reduce(|x, y| if y.0 > x.0 { y } else { x });
    let mut order = Order::Lanes;
    if let Some((_, axis)) = rows.filter(|(n, _)| *n > lanes) {
        order = Order::Rows;
        outer.retain(|a| *a != axis);
        outer.push(axis);
    }
    for inst in phase.nests.iter_mut().flat_map(|n| &mut n.body) {
        if let Op::Reduce { order: o, .. } = &mut inst.op {
            *o = order;
        }
    }
    for root in &plan.roots {
        let Target::Temp(red) = root.target else { continue };
        let mut stride = 1;
        for (k, a) in outer.iter().rev().enumerate() {
            let at = root.axes.iter().position(|b| a == b).expect("a materialised reduction is kept along outer axes");
            let sym = cx.sym(SymKey::TempStride(red, at), 0);
            cx.syms[sym.index()] = stride;
            if k == 0 {
                cx.pinned.insert(sym, 1);
            }
            stride *= cx.axis_len(*a);
        }
    }
    phase.outer = outer;
}

/// How much an access wants lanes along an axis: nothing, unless it is contiguous there; else more than
/// seven accesses that move along one axis less.
pub(super) fn votes(e: &IndexExpr, axis: AxisId, syms: &[i64]) -> usize {
    if coefficient(e, axis, syms) != Some(1) {
        return 0;
    }
    let moving = axes_of(std::slice::from_ref(e)).into_iter().filter(|&a| coefficient(e, a, syms) != Some(0)).count();
    8usize.saturating_pow(moving as u32)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Loads,
    Stores,
}

/// Index expressions of a body's accesses to memory whose layout is known.
fn accesses<'a>(cx: &'a Cx, body: &'a [Inst], kind: Kind) -> impl Iterator<Item = &'a IndexExpr> {
    body.iter().filter_map(move |inst| {
        let (buffer, index) = match &inst.op {
            Op::Load { buffer, index, .. } if kind == Kind::Loads => (buffer, index),
            Op::Store { buffer, index, .. } if kind == Kind::Stores => (buffer, index),
            _ => return None,
        };
        let known = match cx.kernel.buffers[buffer.index()].kind {
            BufferKind::In | BufferKind::Out | BufferKind::InOut => true,
            BufferKind::Temp(_) => kind == Kind::Loads,
            BufferKind::Row(_) => false,
        };
        known.then_some(index)
    })
}

/// Sorts axes outermost first. An insertion sort, since "decides nothing" makes this no total order.
fn sort(cx: &Cx, axes: &mut [AxisId], bodies: &[&[Inst]]) {
    let indices: Vec<&IndexExpr> =
        [Kind::Stores, Kind::Loads].iter().flat_map(|&k| bodies.iter().flat_map(move |b| accesses(cx, b, k))).collect();
    let is_inside = |a: AxisId, b: AxisId| {
        for e in &indices {
            let stride = |axis| coefficient(e, axis, &cx.syms).map_or(0, i64::abs);
            let (x, y) = (stride(a), stride(b));
            if x != 0 && y != 0 && x != y {
                return Some(x < y);
            }
        }
        None
    };
    for i in 1..axes.len() {
        let mut at = i;
        for k in (0..i).rev() {
            match is_inside(axes[k], axes[at]) {
                Some(true) => {
                    axes.swap(k, at);
                    at = k;
                }
                Some(false) => break,
                None => {}
            }
        }
    }
}
