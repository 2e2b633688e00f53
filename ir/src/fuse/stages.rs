//! Which reductions are computed where.
//!
//! A *root* is what must reach memory: an output, or a reduction that is *materialised*. A root has
//! axes, one per atom of its shape. A subset of them is the outer axes of its phase; reductions that
//! the root needs at exactly those axes live in the same phase and stay in registers. All others are
//! materialised: computed by an earlier phase, whose outer axes are their kept atoms, and loaded. Where a root
//! of the same outer axes needs one at the very same point, both are of one phase all the same, and the value is at hand:
//! the rows of layer_norm's backward are read once, though the mean goes to memory for the gradient of the weight.
//!
//! Materialising a reduction can change what others see, so planning starts again with one more known
//! until nothing changes (M1: the set only grows, hence this ends).

use super::index::{axes_of, bare_axes};
use super::order::votes;
use super::{Cx, Idx, RedId, SymKey};
use crate::graph::GraphOp;
use crate::id::{AxisId, NodeId};
use crate::index::IndexExpr;
use crate::kernel::Order;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a phase leaves in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Target {
    Output(usize),
    Temp(RedId),
}

/// A target and the axes of its shape, in order of its atoms.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub target: Target,
    pub axes: Vec<AxisId>,
}

impl Root {
    pub fn idx(&self) -> Idx {
        self.axes.iter().map(|&a| a.into()).collect()
    }
}

/// Roots that run at the same outer axes.
#[derive(Clone, Debug)]
pub(super) struct PhasePlan {
    /// In the order of the first root's axes.
    pub outer: Vec<AxisId>,
    pub roots: Vec<Root>,
}

impl PhasePlan {
    /// Whether the phase computes this reduction, though it goes to memory.
    pub fn leaves(&self, red: RedId) -> bool {
        self.roots.iter().any(|r| r.target == Target::Temp(red))
    }
}

pub(super) struct Plan {
    pub phases: Vec<PhasePlan>,
    pub materialised: BTreeSet<RedId>,
    /// Reductions that are blocked.
    pub long: BTreeSet<RedId>,
}

/// A root with its outer axes, and what it needs.
struct Staged {
    root: Root,
    outer: BTreeSet<AxisId>,
    /// Materialised reductions, and whether all that is needed is their value at the point at hand: these may be of
    /// the same phase.
    temps: BTreeMap<RedId, bool>,
    /// Reductions of the phase that were followed.
    followed: HashSet<(RedId, Idx)>,
    /// Axes of nests inside the phase.
    inner: BTreeSet<BTreeSet<AxisId>>,
}

impl Staged {
    /// Notes a materialised reduction that is needed, `here` or somewhere else too.
    fn needs(&mut self, red: RedId, here: bool) {
        *self.temps.entry(red).or_insert(true) &= here;
    }
}

/// What a node needs at an index, without looking behind reductions.
#[derive(Default)]
pub(super) struct Needs {
    seen: HashSet<(NodeId, Idx)>,
    pub reds: Vec<(RedId, Idx)>,
    loads: Vec<IndexExpr>,
}

impl Needs {
    pub fn of(cx: &mut Cx, node: NodeId, idx: Idx) -> Needs {
        let mut needs = Needs::default();
        needs.visit(cx, node, idx);
        needs
    }

    fn visit(&mut self, cx: &mut Cx, node: NodeId, idx: Idx) {
        let mut open = vec![(node, idx)];
        while let Some((node, idx)) = open.pop() {
            if !self.seen.insert((node, idx.clone())) {
                continue;
            }
            if let Some(red) = cx.red_of[node.index()].filter(|&r| !cx.is_trivial(r)) {
                if !self.reds.contains(&(red, idx.clone())) {
                    self.reds.push((red, idx));
                }
                continue;
            }
            if let GraphOp::Input(i) = cx.g.node(node).op {
                let element = cx.element(cx.in_buffer(i), node, &cx.g.inputs[i].strides, &idx);
                self.loads.push(element);
            }
            open.extend(cx.operands(node, &idx).into_iter().rev());
        }
    }
}

/// Plans the phases of a graph.
pub(super) fn plan(cx: &mut Cx) -> Plan {
    let mut planner = Planner { materialised: BTreeSet::new(), orders: BTreeMap::new() };
    loop {
        let known = planner.materialised.len();
        let staged = planner.stage_all(cx);
        if planner.materialised.len() == known {
            let phases = group(cx, staged);
            let long = (0..cx.reds.len()).map(RedId).filter(|&r| planner.is_long(cx, r)).collect();
            return Plan { phases, materialised: planner.materialised, long };
        }
    }
}

struct Planner {
    materialised: BTreeSet<RedId>,
    orders: BTreeMap<RedId, Order>,
}

impl Planner {
    /// Stages every root. When that materialises a reduction the result is void.
    fn stage_all(&mut self, cx: &mut Cx) -> Vec<Staged> {
        let mut staged = Vec::new();
        for red in self.materialised.clone() {
            let node = cx.result_of(red);
            let axes = cx.own_axes(node);
            let root = Root { target: Target::Temp(red), axes };
            let outer = root.axes.iter().copied().collect();
            staged.push(self.stage(cx, root, outer, vec![(red, None)]));
        }
        for (i, &node) in cx.g.outputs.iter().enumerate() {
            let axes = cx.own_axes(node);
            let root = Root { target: Target::Output(i), axes };
            let needs = Needs::of(cx, node, root.idx());
            let outer = self.outer_axes(cx, &root, &needs.reds);
            let reds = needs.reds.into_iter().map(|(r, idx)| (r, Some(idx))).collect();
            staged.push(self.stage(cx, root, outer, reds));
        }
        staged
    }

    /// The outer axes that keep most of the needed reductions in the root's phase; among equals the
    /// larger set, then the first.
    fn outer_axes(&mut self, cx: &mut Cx, root: &Root, reds: &[(RedId, Idx)]) -> BTreeSet<AxisId> {
        let mut votes: Vec<(BTreeSet<AxisId>, usize)> = Vec::new();
        for (red, idx) in reds {
            let Some(axes) = bare_axes(idx).filter(|_| !self.materialised.contains(red)) else { continue };
            // What runs at one outer point besides the reduction must not be long either.
            let rest = root.axes.iter().filter(|a| !axes.contains(a));
            let serial = rest.fold(1_i64, |n, &a| n.saturating_mul(cx.axis_len(a)));
            let limit = self.limit(cx, *red);
            let alone = axes.len() == root.axes.len();
            if serial > limit || (!alone && self.is_long(cx, *red)) {
                self.materialised.insert(*red);
                continue;
            }
            match votes.iter_mut().find(|(a, _)| *a == axes) {
                Some((_, n)) => *n += 1,
                None => votes.push((axes, 1)),
            }
        }
        let best = votes.iter().rev().max_by_key(|(axes, n)| (*n, axes.len()));
        best.map_or_else(|| root.axes.iter().copied().collect(), |(axes, _)| axes.clone())
    }

    /// Follows the reductions of a root and materialises those that cannot stay.
    fn stage(&mut self, cx: &mut Cx, root: Root, outer: BTreeSet<AxisId>, reds: Vec<(RedId, Option<Idx>)>) -> Staged {
        let mut staged =
            Staged { root, outer, temps: BTreeMap::new(), followed: HashSet::new(), inner: BTreeSet::new() };
        let rest: BTreeSet<AxisId> = staged.root.axes.iter().copied().filter(|a| !staged.outer.contains(a)).collect();
        for (red, idx) in reds {
            // No index: the root is the reduction itself.
            let idx = match idx {
                None => staged.root.idx(),
                Some(idx) => {
                    let stays = bare_axes(&idx).is_some_and(|a| a == staged.outer)
                        && (rest.is_empty() || !self.is_long(cx, red));
                    if !stays {
                        self.materialised.insert(red);
                    }
                    if self.materialised.contains(&red) {
                        staged.needs(red, stays && idx == cx.own_index(red));
                        continue;
                    }
                    idx
                }
            };
            self.follow(cx, &mut staged, red, &idx);
        }
        if !rest.is_empty() {
            staged.inner.insert(rest);
        }
        staged
    }

    fn follow(&mut self, cx: &mut Cx, staged: &mut Staged, red: RedId, idx: &[IndexExpr]) {
        if !staged.followed.insert((red, idx.to_vec())) {
            return;
        }
        let (at, axes) = cx.reduced_index(red, idx);
        staged.inner.insert(axes.into_iter().collect());
        let arg = cx.red(red).arg;
        for (needed, at) in Needs::of(cx, arg, at).reds {
            // A long reduction runs in phases of its own: nothing of its phase is there.
            let stays = bare_axes(&at).is_some_and(|a| a == staged.outer)
                && !self.is_long(cx, red)
                && !self.is_long(cx, needed);
            if !stays {
                self.materialised.insert(needed);
            }
            if self.materialised.contains(&needed) {
                staged.needs(needed, stays && at == cx.own_index(needed));
            } else {
                self.follow(cx, staged, needed, &at);
            }
        }
    }

    fn limit(&mut self, cx: &mut Cx, red: RedId) -> i64 {
        match self.order(cx, red) {
            Order::Lanes => cx.opts.long_lanes,
            Order::Rows => cx.opts.long_rows,
        }
    }

    fn is_long(&mut self, cx: &mut Cx, red: RedId) -> bool {
        let (arg, dims) = (cx.red(red).arg, cx.red(red).dims.clone());
        let count = dims.iter().fold(1_i64, |n, &d| n.saturating_mul(cx.g.node(arg).shape[d]));
        count > self.limit(cx, red)
    }

    /// The order a reduction would like, alone: by how many operands are contiguous along reduced
    /// axes, and how many along the best kept one.
    fn order(&mut self, cx: &mut Cx, red: RedId) -> Order {
        if let Some(&order) = self.orders.get(&red) {
            return order;
        }
        let node = cx.result_of(red);
        let kept = cx.own_axes(node);
        let kept_idx: Idx = kept.iter().map(|&a| a.into()).collect();
        let (at, reduced) = cx.reduced_index(red, &kept_idx);
        let arg = cx.red(red).arg;
        let loads = Needs::of(cx, arg, at).loads;
        let all_votes = |axis: AxisId| loads.iter().map(|e| votes(e, axis, &cx.syms)).sum::<usize>();
        let lanes: usize = reduced.iter().map(|&a| all_votes(a)).sum();
        let rows = kept.iter().map(|&a| all_votes(a)).max().unwrap_or(0);
        let order = if rows > lanes { Order::Rows } else { Order::Lanes };
        self.orders.insert(red, order);
        order
    }
}

/// Groups roots into phases: same outer axes, same distance from the inputs counted in phases.
fn group(cx: &mut Cx, staged: Vec<Staged>) -> Vec<PhasePlan> {
    let mut levels: BTreeMap<RedId, usize> = BTreeMap::new();
    let temps: BTreeMap<RedId, BTreeMap<RedId, bool>> = staged
        .iter()
        .filter_map(|s| match s.root.target {
            Target::Temp(red) => Some((red, s.temps.clone())),
            Target::Output(_) => None,
        })
        .collect();
    type Temps = BTreeMap<RedId, bool>;
    fn level(needed: &Temps, temps: &BTreeMap<RedId, Temps>, levels: &mut BTreeMap<RedId, usize>) -> usize {
        let mut above = 0;
        for (red, &here) in needed {
            let l = match levels.get(red) {
                Some(&l) => l,
                None => level(&temps[red], temps, levels),
            };
            levels.insert(*red, l);
            above = above.max(l + usize::from(!here));
        }
        above
    }
    let mut staged: Vec<(usize, Staged)> =
        staged.into_iter().map(|s| (level(&s.temps, &temps, &mut levels), s)).collect();
    staged.sort_by_key(|(level, _)| *level);

    // An output without reductions of its own joins a phase that has a nest over its other axes.
    for i in 0..staged.len() {
        let (at, s) = &staged[i];
        if !s.inner.is_empty() {
            continue;
        }
        let all: BTreeSet<AxisId> = s.root.axes.iter().copied().collect();
        let host = staged.iter().find(|(level, host)| {
            level == at && host.outer.is_subset(&all) && {
                let rest: BTreeSet<AxisId> = all.difference(&host.outer).copied().collect();
                host.inner.contains(&rest)
            }
        });
        if let Some(outer) = host.map(|(_, h)| h.outer.clone()) {
            staged[i].1.outer = outer;
        }
    }

    // Nobody waits for an output: it joins the last phase of its outer axes, whose operands it may share; unless it has
    // what it needs at hand where it is.
    for i in 0..staged.len() {
        let (_, s) = &staged[i];
        if matches!(s.root.target, Target::Output(_)) && !s.temps.values().any(|&here| here) {
            let same = staged.iter().filter(|(_, other)| other.outer == s.outer);
            staged[i].0 = same.map(|(level, _)| *level).max().unwrap_or(0);
        }
    }
    staged.sort_by_key(|(level, _)| *level);

    let mut phases: Vec<(usize, BTreeSet<AxisId>, PhasePlan)> = Vec::new();
    for (level, s) in staged {
        let outer: Vec<AxisId> = s.root.axes.iter().copied().filter(|a| s.outer.contains(a)).collect();
        debug_assert!(axes_of(&s.root.idx()).is_superset(&s.outer), "outer axes are the root's");
        match phases.iter_mut().find(|(l, o, _)| *l == level && *o == s.outer) {
            Some((_, _, phase)) => phase.roots.push(s.root),
            None => phases.push((level, s.outer, PhasePlan { outer, roots: vec![s.root] })),
        }
    }
    for (_, _, phase) in &phases {
        for root in &phase.roots {
            let Target::Temp(red) = root.target else { continue };
            add_temps(cx, red);
        }
    }
    phases.into_iter().map(|(_, _, phase)| phase).collect()
}

/// Makes the buffers of a materialised reduction's results that are wanted.
fn add_temps(cx: &mut Cx, red: RedId) {
    for (result, node) in cx.red(red).results.clone().into_iter().enumerate() {
        let Some(node) = node else { continue };
        let len = cx.g.node(node).shape.iter().product();
        let len = cx.sym(SymKey::TempLen(red), len);
        let (name, dtype) = (format!("t{}", cx.temps.len()), cx.g.node(node).dtype);
        let buffer = cx.kernel.add_buffer(name, dtype, crate::kernel::BufferKind::Temp(len.into()));
        cx.temps.insert((red, result), buffer);
    }
}
