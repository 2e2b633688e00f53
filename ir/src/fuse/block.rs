//! Long reductions are split into blocks: a phase whose outer axes also run over blocks stores partial
//! results, and the phase proper reduces those.
//!
//! Of several nest axes the one that gives most blocks is cut, the outermost among equals. In order
//! `lanes` the block axis comes last, so that partial results lie next to each other for the second
//! step; in order `rows` it comes first, so that both steps run lanes along the same axis.
//!
//! B1: a long reduction needs no other of its phase (`stages.rs`), so that values its nest uses from
//! in front can be computed again.

use super::collapse::{Bound, for_exprs, substitute};
use super::index::sym_of;
use super::{Cx, SymKey};
use crate::id::{AxisId, BufferId, ValueId};
use crate::index::IndexExpr;
use crate::kernel::{BufferKind, Inst, Nest, Op, Order, Phase};
use std::collections::{HashMap, HashSet};

/// Appends a phase to the kernel, long reductions of it in phases before.
pub(super) fn push(cx: &mut Cx, bound: Bound) {
    let Bound { outer, nests } = bound;
    let blocked = nests.iter().any(|(_, long)| *long);
    let mut phase = Phase { axes: outer, nests: Vec::new() };
    for (nest, long) in nests {
        let nest = if long { block(cx, &phase, nest) } else { nest };
        phase.nests.push(nest);
    }
    if blocked {
        drop_unused(&mut phase);
    }
    cx.kernel.phases.push(phase);
}

/// Pushes the phase of partial results; returns the nest that combines them.
fn block(cx: &mut Cx, phase: &Phase, nest: Nest) -> Nest {
    let order = nest.body.iter().find_map(|i| match i.op {
        Op::Reduce { order, .. } => Some(order),
        _ => None,
    });
    let order = order.expect("a long nest reduces");
    let size = if order == Order::Lanes { cx.opts.block_lanes } else { cx.opts.block_rows };
    let extents: Vec<i64> = nest.axes.iter().map(|a| cx.value(&cx.kernel.axes[a.index()])).collect();
    let total: i64 = extents.iter().product();
    let step = |k: usize| (size / (total / extents[k])).max(1);
    let blocks = |k: usize| (extents[k] + step(k) - 1) / step(k);
    let cut = (0..extents.len()).rev().max_by_key(|&k| blocks(k)).expect("a long nest has axes");

    let long = nest.axes[cut];
    let extent = cx.kernel.axes[long.index()].clone();
    // Alone, the block is a constant of the text.
    let (width, count) = match extents.len() {
        1 => {
            let extent = sym_of(&extent).expect("extents are symbols before blocking");
            (IndexExpr::Const(size), cx.sym(SymKey::Blocks(extent, order), blocks(cut)))
        }
        _ => (cx.sym(SymKey::Block(long), step(cut)).into(), cx.sym(SymKey::BlocksOf(long), blocks(cut))),
    };
    let count = IndexExpr::from(count);
    let b = cx.kernel.add_axis(count.clone());
    let start = width.clone() * b.into();
    let rest = extent + IndexExpr::Const(-1) * width.clone() * b.into();
    let r = cx.kernel.add_axis(width.min(rest));

    let mut partial = Phase { axes: phase.axes.clone(), nests: Vec::new() };
    match order {
        Order::Lanes => partial.axes.push(b),
        Order::Rows => partial.axes.insert(0, b),
    }
    // Outer axes belong to one phase: this one has its own.
    let mut own: HashMap<AxisId, IndexExpr> = HashMap::from([(long, start + r.into())]);
    for a in partial.axes.iter_mut().filter(|a| **a != b) {
        let copy = cx.kernel.add_axis(cx.kernel.axes[a.index()].clone());
        own.insert(*a, copy.into());
        *a = copy;
    }
    let mut body = recompute(phase, &nest);
    let in_front = body.len();
    body.extend(nest.body.iter().cloned());
    let fresh = rename(cx, &mut body);
    for inst in &mut body {
        for_exprs(inst, &mut |e| substitute(e, &|a| own.get(&a).cloned()));
    }
    let body_of_nest = body.split_off(in_front);
    if !body.is_empty() {
        partial.nests.push(Nest { axes: Vec::new(), body });
    }
    let mut axes = nest.axes.clone();
    axes[cut] = r;
    partial.nests.push(Nest { axes, body: body_of_nest });

    let b2 = cx.kernel.add_axis(count);
    let own_axes = partial.axes.iter().copied().filter(|a| *a != b);
    let here: HashMap<AxisId, AxisId> = own_axes.zip(phase.axes.iter().copied()).chain([(b, b2)]).collect();
    let mut combine = Nest { axes: vec![b2], body: Vec::new() };
    let mut stores = Nest::default();
    for inst in nest.body {
        let Op::Reduce { kind, order, .. } = inst.op else { continue };
        let mut args = Vec::new();
        for &result in &inst.results {
            let dtype = cx.kernel.dtype(result);
            let name = format!("p{}", cx.partial_count);
            cx.partial_count += 1;
            let buffer = cx.kernel.add_buffer(name, dtype, BufferKind::Temp(IndexExpr::zero()));
            let index = layout(cx, buffer, &partial.axes);
            stores.body.push(store(buffer, index.clone(), fresh[&result]));
            let mut index = index;
            substitute(&mut index, &|a| here.get(&a).map(|&a| a.into()));
            let value = cx.kernel.add_value(dtype);
            combine.body.push(Inst { results: vec![value], op: Op::Load { buffer, index, mask: None } });
            args.push(value);
        }
        combine.body.push(Inst { results: inst.results, op: Op::Reduce { kind, order, args } });
    }
    partial.nests.push(stores);
    cx.kernel.phases.push(partial);
    combine
}

fn store(buffer: BufferId, index: IndexExpr, value: ValueId) -> Inst {
    Inst { results: Vec::new(), op: Op::Store { buffer, index, value, mask: None, add: false } }
}

/// Lays a buffer out densely over axes and sets its length; gives the element at their point.
fn layout(cx: &mut Cx, buffer: BufferId, axes: &[AxisId]) -> IndexExpr {
    let mut at = IndexExpr::zero();
    let mut stride = 1;
    for (k, &a) in axes.iter().enumerate().rev() {
        let step = match k + 1 == axes.len() {
            true => IndexExpr::Const(1),
            false => cx.sym(SymKey::Partial(buffer, k), stride).into(),
        };
        at = step * a.into() + at;
        stride *= cx.value(&cx.kernel.axes[a.index()]);
    }
    let len = cx.sym(SymKey::Partial(buffer, axes.len()), stride);
    cx.kernel.buffers[buffer.index()].kind = BufferKind::Temp(len.into());
    at
}

/// The instructions in front of a nest that make what it uses, in order.
fn recompute(phase: &Phase, nest: &Nest) -> Vec<Inst> {
    let mut wanted = HashSet::new();
    nest.body.iter().for_each(|i| add_operands(i, &mut wanted));
    let mut out = Vec::new();
    for inst in phase.nests.iter().rev().flat_map(|n| n.body.iter().rev()) {
        if inst.results.iter().any(|v| wanted.contains(v)) {
            add_operands(inst, &mut wanted);
            out.push(inst.clone());
        }
    }
    out.reverse();
    out
}

/// The values an instruction uses, those inside a `cold` body included.
fn add_operands(inst: &Inst, wanted: &mut HashSet<ValueId>) {
    inst.op.for_operands(&mut |v| {
        wanted.insert(v);
    });
    if let Op::Cold { body, .. } = &inst.op {
        body.iter().for_each(|i| add_operands(i, wanted));
    }
}

/// Gives every value defined here a new name.
fn rename(cx: &mut Cx, body: &mut [Inst]) -> HashMap<ValueId, ValueId> {
    fn define(cx: &mut Cx, inst: &mut Inst, names: &mut HashMap<ValueId, ValueId>) {
        for v in &mut inst.results {
            let fresh = cx.kernel.add_value(cx.kernel.dtype(*v));
            names.insert(*v, fresh);
            *v = fresh;
        }
        if let Op::Cold { body, .. } = &mut inst.op {
            body.iter_mut().for_each(|i| define(cx, i, names));
        }
    }
    let mut names = HashMap::new();
    body.iter_mut().for_each(|i| define(cx, i, &mut names));
    for inst in body {
        inst.op.map_operands(&mut |v| names.get(&v).copied().unwrap_or(v));
    }
    names
}

/// Removes what only the blocked nests used.
fn drop_unused(phase: &mut Phase) {
    let mut used = HashSet::new();
    for nest in phase.nests.iter_mut().rev() {
        let mut kept = Vec::new();
        for inst in std::mem::take(&mut nest.body).into_iter().rev() {
            let removable = inst.op.is_pure() || matches!(inst.op, Op::Load { .. });
            if !removable || inst.results.iter().any(|v| used.contains(v)) {
                add_operands(&inst, &mut used);
                kept.push(inst);
            }
        }
        kept.reverse();
        nest.body = kept;
    }
    phase.nests.retain(|n| !n.body.is_empty());
}
