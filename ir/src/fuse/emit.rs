//! One phase: nests, and the demand-driven emission of their bodies.
//!
//! A phase is cut into *units*: its reductions and its stores. A unit's level is one above the
//! reductions of the phase that it needs; units of one level over the same inner axes share a nest.
//!
//! Emission asks for (node, index) and emits what is needed, once per nest (once per phase when the
//! index does not vary inside a nest: such values go to a nest without axes in front of it).
//!
//! E1: a body under construction is a stack, one level per open `cold` body; nothing but pure
//! instructions is pushed above the lowest level (`hoist` sees to loads and checks).

use super::index::axes_of;
use super::rows::{self, Demands, Rows};
use super::stages::{Needs, PhasePlan, Plan, Root, Target};
use super::{Cx, Idx, RedId, SymKey};
use crate::dtype::{DType, Literal};
use crate::graph::GraphOp;
use crate::id::{AxisId, BufferId, NodeId, ValueId};
use crate::index::IndexExpr;
use crate::kernel::{BufferKind, Inst, Op, Order, Reduction};
use crate::prim::Prim;
use std::collections::{BTreeSet, HashMap, HashSet};

/// A phase over virtual axes; the order of reductions is not chosen yet.
pub(super) struct PhaseBuild {
    pub outer: Vec<AxisId>,
    pub nests: Vec<NestBuild>,
    /// Row scratch and the axes of the nests that use it.
    pub rows: Vec<(BufferId, BTreeSet<AxisId>)>,
}

pub(super) struct NestBuild {
    pub axes: Vec<AxisId>,
    pub body: Vec<Inst>,
    /// Reduces, and is to be blocked.
    pub long: bool,
}

#[derive(Clone, Debug)]
enum Work {
    Reduce(RedId, Idx),
    Store(Root),
}

struct NestPlan {
    level: usize,
    inner: BTreeSet<AxisId>,
    axes: Vec<AxisId>,
    work: Vec<Work>,
}

/// Emits one phase.
pub(super) fn phase(cx: &mut Cx, plan: &Plan, phase: &PhasePlan) -> PhaseBuild {
    let mut units = Units { plan, phase, levels: HashMap::new(), nests: Vec::new() };
    for root in &phase.roots {
        units.add_root(cx, &phase.outer, root);
    }
    let mut nests = units.nests;
    nests.sort_by_key(|n| n.level);

    let outer: BTreeSet<AxisId> = phase.outer.iter().copied().collect();
    let mut demands = Vec::new();
    for nest in &nests {
        let is_long = |w: &Work| matches!(w, Work::Reduce(red, _) if plan.long.contains(red));
        let wanted = nest.work.iter().filter_map(|w| match w {
            Work::Reduce(red, idx) => Some((cx.red(*red).arg, cx.reduced_index(*red, idx).0)),
            Work::Store(root) => match root.target {
                Target::Output(o) => Some((cx.g.outputs[o], root.idx())),
                Target::Temp(_) => None,
            },
        });
        let wanted = wanted.collect();
        demands.push(Demands { inner: nest.inner.clone(), long: nest.work.iter().any(is_long), wanted });
    }
    let rows = rows::find(cx, &outer, &demands);
    let mut emitter = Emitter {
        cx,
        plan,
        outer,
        rows,
        row_buffers: HashMap::new(),
        used_rows: Vec::new(),
        scopes: [Scope::default(), Scope::default()],
        at: OUTER,
        varying: HashSet::new(),
        reduced: HashMap::new(),
        nest: 0,
        axes: BTreeSet::new(),
    };
    let mut built: Vec<NestBuild> = Vec::new();
    for (i, nest) in nests.into_iter().enumerate() {
        emitter.nest(i, nest, &mut built);
    }
    PhaseBuild { outer: phase.outer.clone(), nests: built, rows: emitter.used_rows }
}

/// Sorts the work of a phase into nests.
struct Units<'a> {
    plan: &'a Plan,
    phase: &'a PhasePlan,
    levels: HashMap<(RedId, Idx), usize>,
    nests: Vec<NestPlan>,
}

impl Units<'_> {
    fn add_root(&mut self, cx: &mut Cx, outer: &[AxisId], root: &Root) {
        let level = match root.target {
            Target::Temp(red) => self.add_red(cx, red, root.idx()) + 1,
            Target::Output(o) => self.level_of(cx, cx.g.outputs[o], root.idx()),
        };
        let axes = root.axes.iter().copied().filter(|a| !outer.contains(a)).collect();
        self.push(level, axes, Work::Store(root.clone()));
    }

    fn add_red(&mut self, cx: &mut Cx, red: RedId, idx: Idx) -> usize {
        if let Some(&level) = self.levels.get(&(red, idx.clone())) {
            return level;
        }
        let (at, axes) = cx.reduced_index(red, &idx);
        let level = self.level_of(cx, cx.red(red).arg, at);
        self.levels.insert((red, idx.clone()), level);
        self.push(level, axes, Work::Reduce(red, idx));
        level
    }

    /// The level of what demands `node` at `idx`.
    fn level_of(&mut self, cx: &mut Cx, node: NodeId, idx: Idx) -> usize {
        let mut level = 0;
        for (red, at) in Needs::of(cx, node, idx).reds {
            if !self.plan.materialised.contains(&red) || self.phase.leaves(red) {
                level = level.max(self.add_red(cx, red, at) + 1);
            }
        }
        level
    }

    fn push(&mut self, level: usize, axes: Vec<AxisId>, work: Work) {
        let inner: BTreeSet<AxisId> = axes.iter().copied().collect();
        match self.nests.iter_mut().find(|n| n.level == level && n.inner == inner) {
            Some(nest) => nest.work.push(work),
            None => self.nests.push(NestPlan { level, inner, axes, work: vec![work] }),
        }
    }
}

type Memo = HashMap<(NodeId, Idx), ValueId>;

/// A body under construction, see E1.
struct Scope {
    insts: Vec<Vec<Inst>>,
    memo: Vec<Memo>,
}

impl Default for Scope {
    fn default() -> Self {
        Scope { insts: vec![Vec::new()], memo: vec![Memo::new()] }
    }
}

/// The scope of values of the outer point.
const OUTER: usize = 0;
/// The scope of a nest with axes.
const INNER: usize = 1;

struct Emitter<'a, 'g> {
    cx: &'a mut Cx<'g>,
    plan: &'a Plan,
    outer: BTreeSet<AxisId>,
    rows: Rows,
    row_buffers: HashMap<(NodeId, Idx), BufferId>,
    used_rows: Vec<(BufferId, BTreeSet<AxisId>)>,
    scopes: [Scope; 2],
    /// Where instructions go: `OUTER` or `INNER`.
    at: usize,
    /// Checked indices defined inside a nest with axes.
    varying: HashSet<ValueId>,
    /// Results of the phase's reductions so far.
    reduced: HashMap<(RedId, Idx), Vec<ValueId>>,
    nest: usize,
    axes: BTreeSet<AxisId>,
}

impl Emitter<'_, '_> {
    fn nest(&mut self, i: usize, nest: NestPlan, built: &mut Vec<NestBuild>) {
        self.nest = i;
        self.at = if nest.inner.is_empty() { OUTER } else { INNER };
        self.axes = nest.inner;
        self.scopes[INNER] = Scope::default();
        let mut done = Vec::new();
        let mut long = false;
        for work in nest.work {
            match work {
                Work::Reduce(red, idx) => {
                    let values = self.reduce(red, &idx);
                    long |= self.plan.long.contains(&red);
                    done.push(((red, idx), values));
                }
                Work::Store(root) => self.store(&root),
            }
        }
        self.reduced.extend(done);
        let before = std::mem::take(&mut self.scopes[OUTER].insts[0]);
        if !before.is_empty() {
            match built.last_mut().filter(|n| n.axes.is_empty()) {
                Some(last) => last.body.extend(before),
                None => built.push(NestBuild { axes: Vec::new(), body: before, long: false }),
            }
        }
        let body = std::mem::take(&mut self.scopes[INNER].insts[0]);
        if !body.is_empty() {
            built.push(NestBuild { axes: nest.axes, body, long });
        }
    }

    fn push(&mut self, op: Op, dtypes: &[DType]) -> Vec<ValueId> {
        let results: Vec<ValueId> = dtypes.iter().map(|&d| self.cx.kernel.add_value(d)).collect();
        let inst = Inst { results: results.clone(), op };
        self.scopes[self.at].insts.last_mut().expect("a scope has a body").push(inst);
        results
    }

    fn push1(&mut self, op: Op, dtype: DType) -> ValueId {
        self.push(op, &[dtype])[0]
    }

    fn reduce(&mut self, red: RedId, idx: &[IndexExpr]) -> Vec<ValueId> {
        let (at, axes) = self.cx.reduced_index(red, idx);
        let (kind, arg) = (self.cx.red(red).kind, self.cx.red(red).arg);
        let dtype = self.cx.g.node(arg).dtype;
        let mut args = vec![self.demand(arg, at)];
        let mut dtypes = vec![dtype];
        if matches!(kind, Reduction::ArgMax | Reduction::ArgMin) {
            let position = self.cx.position(&axes);
            args.push(self.push1(Op::Index(position), DType::I64));
            dtypes.push(DType::I64);
        }
        // `order.rs` chooses the order.
        self.push(Op::Reduce { kind, order: Order::Lanes, args }, &dtypes)
    }

    fn store(&mut self, root: &Root) {
        let idx = root.idx();
        match root.target {
            Target::Output(o) => {
                let (node, buffer) = (self.cx.g.outputs[o], self.cx.out_buffer(o));
                let value = self.demand(node, idx.clone());
                let index = self.cx.element(buffer, node, &self.cx.outputs[o].strides, &idx);
                self.push(Op::Store { buffer, index, value, mask: None, add: false }, &[]);
            }
            Target::Temp(red) => {
                let values = self.reduced[&(red, idx.clone())].clone();
                for (result, value) in values.into_iter().enumerate() {
                    let Some(&buffer) = self.cx.temps.get(&(red, result)) else { continue };
                    let index = self.cx.temp_element(red, &idx);
                    self.push(Op::Store { buffer, index, value, mask: None, add: false }, &[]);
                }
            }
        }
    }

    fn varies(&self, idx: &[IndexExpr]) -> bool {
        let mut varies = !axes_of(idx).is_subset(&self.outer);
        for e in idx {
            e.visit(&mut |e| varies |= matches!(e, IndexExpr::Value(v) if self.varying.contains(v)));
        }
        varies
    }

    /// The value of `node` at `idx`, emitting what is not there yet. Chains of lane-wise nodes are
    /// followed on a stack of our own: they may be thousands long.
    fn demand(&mut self, node: NodeId, idx: Idx) -> ValueId {
        let mut open = vec![(node, idx)];
        loop {
            let (node, idx) = open.last().expect("returns when the first is done");
            let missing = self.missing(*node, idx);
            if missing.is_empty() {
                let (node, idx) = open.pop().expect("seen above");
                let value = self.emit(node, idx);
                if open.is_empty() {
                    return value;
                }
            }
            open.extend(missing.into_iter().rev());
        }
    }

    /// The operands of a lane-wise node that were not emitted yet; none when the node itself was.
    fn missing(&mut self, node: NodeId, idx: &Idx) -> Vec<(NodeId, Idx)> {
        use GraphOp::*;
        let plain = matches!(self.cx.g.node(node).op, Prim(..) | Call(..) | Lookup(..) | View(..));
        let here = self.at == OUTER || self.varies(idx);
        if !plain || !here || self.find(&(node, idx.clone())).is_some() {
            return Vec::new();
        }
        if self.at == INNER && self.rows.get(&(node, idx.clone())).is_some_and(|&first| first < self.nest) {
            return Vec::new();
        }
        let mut operands = self.cx.operands(node, idx);
        operands.retain(|key| self.find(key).is_none());
        operands
    }

    /// The value of something emitted in this scope.
    fn find(&self, key: &(NodeId, Idx)) -> Option<ValueId> {
        self.scopes[self.at].memo.iter().rev().find_map(|m| m.get(key)).copied()
    }

    fn emit(&mut self, node: NodeId, idx: Idx) -> ValueId {
        let constant = matches!(self.cx.g.node(node).op, GraphOp::Const(_) | GraphOp::Scalar(_));
        if self.at == INNER && !constant && !self.varies(&idx) {
            self.at = OUTER;
            let value = self.demand(node, idx.clone());
            self.at = INNER;
            self.scopes[INNER].memo.last_mut().expect("a scope has a memo").insert((node, idx), value);
            return value;
        }
        let key = (node, idx);
        if let Some(v) = self.find(&key) {
            return v;
        }
        let value = match self.rows.get(&key) {
            Some(&first) if self.at == INNER && first < self.nest => self.load_row(&key),
            Some(&first) if self.at == INNER && first == self.nest => {
                let value = self.compute(key.0, &key.1);
                self.store_row(&key, value);
                value
            }
            _ => self.compute(key.0, &key.1),
        };
        self.scopes[self.at].memo.last_mut().expect("a scope has a memo").insert(key, value);
        value
    }

    /// The element of row scratch at the point of the nest; strides are set by `order.rs`.
    fn row_element(&mut self, buffer: BufferId) -> IndexExpr {
        let mut at = IndexExpr::zero();
        for a in self.axes.clone() {
            at = at + IndexExpr::from(self.cx.sym(SymKey::RowStride(buffer, a), 0)) * a.into();
        }
        at
    }

    fn store_row(&mut self, key: &(NodeId, Idx), value: ValueId) {
        let len = self.axes.iter().map(|&a| self.cx.axis_len(a)).product();
        let dtype = self.cx.kernel.dtype(value);
        let name = format!("r{}", self.cx.row_count);
        self.cx.row_count += 1;
        let buffer = self.cx.kernel.add_buffer(name, dtype, BufferKind::Row(IndexExpr::zero()));
        let len = self.cx.sym(SymKey::RowLen(buffer), len);
        self.cx.kernel.buffers[buffer.index()].kind = BufferKind::Row(len.into());
        self.row_buffers.insert(key.clone(), buffer);
        self.used_rows.push((buffer, self.axes.clone()));
        let index = self.row_element(buffer);
        self.push(Op::Store { buffer, index, value, mask: None, add: false }, &[]);
    }

    fn load_row(&mut self, key: &(NodeId, Idx)) -> ValueId {
        let buffer = self.row_buffers[key];
        let index = self.row_element(buffer);
        let dtype = self.cx.kernel.buffers[buffer.index()].dtype;
        self.push1(Op::Load { buffer, index, mask: None }, dtype)
    }

    fn operand(&mut self, node: NodeId, operand: NodeId, idx: &[IndexExpr]) -> ValueId {
        let at = self.cx.broadcast_index(node, operand, idx);
        self.demand(operand, at)
    }

    fn compute(&mut self, node: NodeId, idx: &[IndexExpr]) -> ValueId {
        let g = self.cx.g;
        let dtype = g.node(node).dtype;
        match &g.node(node).op {
            GraphOp::Input(i) => {
                let buffer = self.cx.in_buffer(*i);
                let index = self.cx.element(buffer, node, &g.inputs[*i].strides, idx);
                self.push1(Op::Load { buffer, index, mask: None }, dtype)
            }
            GraphOp::Scalar(c) => self.push1(Op::Scalar(*c), dtype),
            GraphOp::Const(literal) => self.push1(Op::Const(*literal), dtype),
            GraphOp::Prim(prim, t, args) => {
                let args = args.iter().map(|&a| self.operand(node, a, idx)).collect();
                self.push1(Op::Prim(*prim, *t, args), dtype)
            }
            GraphOp::Call(func, args) => {
                let args = args.iter().map(|&a| self.operand(node, a, idx)).collect();
                self.push1(Op::Call { func: *func, args }, dtype)
            }
            GraphOp::Lookup(table, index) => {
                let index = self.operand(node, *index, idx);
                self.push1(Op::Lookup { table: table.clone(), index }, dtype)
            }
            GraphOp::Cold { mask, slow, fast } => self.cold(node, [*mask, *slow, *fast], idx),
            GraphOp::Iota { dim } => {
                let e = self.cx.iota(node, *dim, idx);
                self.push1(Op::Index(e), dtype)
            }
            GraphOp::Extent { of, dims } => {
                let count = dims.iter().map(|&d| g.node(*of).shape[d]).product();
                let count = self.cx.sym(SymKey::Count(node), count);
                self.push1(Op::Index(count.into()), dtype)
            }
            GraphOp::View(view, operand) => {
                let at = self.cx.view_index(node, view, *operand, idx);
                self.demand(*operand, at)
            }
            GraphOp::Gather { source, index, dim } => {
                let value = self.demand(*index, idx.to_vec());
                let size = match self.cx.atoms.range(*source, *dim).next() {
                    Some(at) => self.cx.extent(self.cx.atoms.of(*source)[at]),
                    None => IndexExpr::Const(1),
                };
                let at = self.push1(Op::Check { value, size, wrap: false, mask: None }, DType::I64);
                if self.at == INNER {
                    self.varying.insert(at);
                }
                let at = self.cx.gather_index(node, *source, *dim, idx, at);
                self.demand(*source, at)
            }
            GraphOp::Reduce { arg, result, kind, .. } => {
                let red = self.cx.red_of[node.index()].expect("every reduction was found");
                if self.cx.is_trivial(red) {
                    return match (kind, result) {
                        (Reduction::ArgMax | Reduction::ArgMin, 1) => {
                            self.push1(Op::Const(Literal::int(DType::I64, 0)), DType::I64)
                        }
                        _ => self.demand(*arg, idx.to_vec()),
                    };
                }
                match self.reduced.get(&(red, idx.to_vec())) {
                    Some(values) => values[*result],
                    _ => {
                        let (buffer, index) = (self.cx.temps[&(red, *result)], self.cx.temp_element(red, idx));
                        self.push1(Op::Load { buffer, index, mask: None }, dtype)
                    }
                }
            }
        }
    }

    fn cold(&mut self, node: NodeId, [mask, slow, fast]: [NodeId; 3], idx: &[IndexExpr]) -> ValueId {
        let dtype = self.cx.g.node(node).dtype;
        let mask = self.operand(node, mask, idx);
        let fast = self.operand(node, fast, idx);
        let at = self.cx.broadcast_index(node, slow, idx);
        self.hoist(slow, at.clone());
        let here = self.at;
        self.scopes[here].insts.push(Vec::new());
        self.scopes[here].memo.push(Memo::new());
        let slow = self.demand(slow, at);
        self.scopes[here].memo.pop();
        let body = self.scopes[here].insts.pop().expect("pushed above");
        match body.is_empty() {
            true => self.push1(Op::Prim(Prim::Select, dtype, vec![mask, slow, fast]), dtype),
            false => self.push1(Op::Cold { mask, body, slow: vec![slow], fast: vec![fast] }, dtype),
        }
    }

    /// Emits what `node` needs and a `cold` body may not hold.
    fn hoist(&mut self, node: NodeId, idx: Idx) {
        let mut seen = HashSet::new();
        let mut open = vec![(node, idx)];
        while let Some((node, idx)) = open.pop() {
            // What is there already has all it needs.
            if self.find(&(node, idx.clone())).is_some() || !seen.insert((node, idx.clone())) {
                continue;
            }
            let outside = match self.cx.g.node(node).op {
                GraphOp::Input(_) | GraphOp::Gather { .. } => true,
                GraphOp::Prim(Prim::IDiv | Prim::IRem, ..) => true,
                GraphOp::Reduce { .. } => !self.cx.is_trivial(self.cx.red_of[node.index()].expect("was found")),
                _ => self.rows.contains_key(&(node, idx.clone())),
            };
            if outside {
                self.demand(node, idx);
            } else {
                open.extend(self.cx.operands(node, &idx).into_iter().rev());
            }
        }
    }
}
