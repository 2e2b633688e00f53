//! How an index into a node becomes an index into its operands.

use super::atoms::is_whole;
use super::{Cx, Idx, Red, RedId, SymKey};
use crate::graph::{GraphOp, View};
use crate::id::{AxisId, BufferId, NodeId, SymId, ValueId};
use crate::index::IndexExpr;
use std::collections::BTreeSet;

impl Cx<'_> {
    /// The index into an operand that broadcasts to the node.
    pub fn broadcast_index(&self, node: NodeId, operand: NodeId, idx: &[IndexExpr]) -> Idx {
        let (rank, from) = (self.g.node(node).shape.len(), self.g.node(operand).shape.len());
        let mut out = Vec::new();
        for d in 0..from {
            if self.g.node(operand).shape[d] != 1 {
                out.extend_from_slice(&idx[self.atoms.range(node, d + rank - from)]);
            }
        }
        out
    }

    /// The index into a view's operand.
    pub fn view_index(&mut self, node: NodeId, view: &View, operand: NodeId, idx: &[IndexExpr]) -> Idx {
        let mut out = vec![IndexExpr::zero(); self.atoms.of(operand).len()];
        match view {
            View::Broadcast => return self.broadcast_index(node, operand, idx),
            View::Permute(perm) => {
                for (d, &from) in perm.iter().enumerate() {
                    let (to, at) = (self.atoms.range(operand, from), self.atoms.range(node, d));
                    out[to].clone_from_slice(&idx[at]);
                }
            }
            View::Slice(steps) => {
                for (d, &(start, step)) in steps.iter().enumerate() {
                    let (to, at) = (self.atoms.range(operand, d), self.atoms.range(node, d));
                    if is_whole((start, step), self.g.node(node).shape[d], self.g.node(operand).shape[d]) {
                        out[to].clone_from_slice(&idx[at]);
                    } else if let Some(to) = to.into_iter().next() {
                        let start = match start {
                            0 => IndexExpr::zero(),
                            _ => self.sym(SymKey::Start(node, d), start).into(),
                        };
                        let i = idx[at].first().cloned().unwrap_or(IndexExpr::zero());
                        let step = self.stride(SymKey::Step(node, d), step);
                        out[to] = start + step * i;
                    }
                }
            }
            View::Reshape => {
                // Without elements any index will do that stays inside the loop that never runs.
                let empty = self.atoms.of(node).iter().position(|&a| self.atoms.extent(a) == 0);
                if let Some(at) = empty {
                    out.fill(idx[at].clone());
                }
                for group in self.atoms.groups(node).to_vec() {
                    let to = self.atoms.span(operand, &group.operand);
                    let at = self.atoms.span(node, &group.result);
                    if group.clean {
                        out[to].clone_from_slice(&idx[at]);
                        continue;
                    }
                    let mut flat = IndexExpr::zero();
                    for i in at {
                        flat = flat * self.extent(self.atoms.of(node)[i]) + idx[i].clone();
                    }
                    let mut inner = IndexExpr::Const(1);
                    for i in to.clone().rev() {
                        let extent = self.extent(self.atoms.of(operand)[i]);
                        let piece = flat.clone().floor_div(inner.clone());
                        out[i] = if i == to.start { piece } else { piece.modulo(extent.clone()) };
                        inner = extent * inner;
                    }
                }
            }
        }
        out
    }

    /// The index into a gather's source, given the checked index along the gathered dimension.
    pub fn gather_index(&self, node: NodeId, source: NodeId, dim: usize, idx: &[IndexExpr], at: ValueId) -> Idx {
        let mut out = Vec::new();
        for d in 0..self.g.node(source).shape.len() {
            match d == dim {
                true => out.extend(self.atoms.range(source, d).map(|_| IndexExpr::Value(at))),
                false if self.g.node(source).shape[d] != 1 => {
                    out.extend_from_slice(&idx[self.atoms.range(node, d)]);
                }
                false => {}
            }
        }
        out
    }

    /// The index into a reduction's operand when its result is wanted at `kept`, and the axes that
    /// run over the reduced atoms. Those axes are chosen by a rule that gives nests of one phase the
    /// same axes for the same atoms.
    pub fn reduced_index(&mut self, red: RedId, kept: &[IndexExpr]) -> (Idx, Vec<AxisId>) {
        let Red { arg, dims, .. } = self.red(red);
        let (arg, dims) = (*arg, dims.clone());
        let mut used = axes_of(kept);
        let mut kept = kept.iter();
        let (mut out, mut axes) = (Vec::new(), Vec::new());
        for d in 0..self.g.node(arg).shape.len() {
            for i in self.atoms.range(arg, d) {
                if !dims.contains(&d) {
                    out.push(kept.next().expect("a result has the kept atoms").clone());
                    continue;
                }
                let atom = self.atoms.of(arg)[i];
                let axis = (0..)
                    .map(|occurrence| self.axis(atom, occurrence))
                    .find(|a| !used.contains(a))
                    .expect("occurrences are endless");
                used.insert(axis);
                axes.push(axis);
                out.push(axis.into());
            }
        }
        (out, axes)
    }

    /// True when a reduction is over extents of 1 only: its result is its operand.
    pub fn is_trivial(&self, red: RedId) -> bool {
        let Red { arg, dims, .. } = self.red(red);
        dims.iter().all(|&d| self.atoms.range(*arg, d).is_empty())
    }

    /// Row-major position over axes.
    pub fn position(&mut self, axes: &[AxisId]) -> IndexExpr {
        let mut flat = IndexExpr::zero();
        for &a in axes {
            flat = flat * self.extent(self.virtual_axes[a.index()].0) + a.into();
        }
        flat
    }

    /// The index along one dimension of a node.
    pub fn iota(&mut self, node: NodeId, dim: usize, idx: &[IndexExpr]) -> IndexExpr {
        let mut flat = IndexExpr::zero();
        for i in self.atoms.range(node, dim) {
            flat = flat * self.extent(self.atoms.of(node)[i]) + idx[i].clone();
        }
        flat
    }

    /// The element of a strided buffer that holds `node` at `idx`.
    pub fn element(&mut self, buffer: BufferId, node: NodeId, strides: &[i64], idx: &[IndexExpr]) -> IndexExpr {
        let strides = self.atoms.strides(node, strides);
        let mut at = IndexExpr::zero();
        for (i, (&stride, e)) in strides.iter().zip(idx).enumerate() {
            at = at + self.stride(SymKey::Stride(buffer, i), stride) * e.clone();
        }
        at
    }

    /// The element of a reduction's temporaries for its result at `kept`.
    pub fn temp_element(&mut self, red: RedId, kept: &[IndexExpr]) -> IndexExpr {
        let mut at = IndexExpr::zero();
        for (i, e) in kept.iter().enumerate() {
            // The value is set when the phase that stores has its axis order (`order.rs`).
            at = at + IndexExpr::from(self.sym(SymKey::TempStride(red, i), 0)) * e.clone();
        }
        at
    }

    /// What a node at an index needs, reductions that are none aside. Below a gather the index holds a
    /// placeholder.
    pub fn operands(&mut self, node: NodeId, idx: &[IndexExpr]) -> Vec<(NodeId, Idx)> {
        let g = self.g;
        let broadcast = |o: &NodeId| (*o, self.broadcast_index(node, *o, idx));
        match &g.node(node).op {
            GraphOp::Input(_)
            | GraphOp::Scalar(_)
            | GraphOp::Const(_)
            | GraphOp::Iota { .. }
            | GraphOp::Extent { .. } => Vec::new(),
            GraphOp::Prim(_, _, args) | GraphOp::Call(_, args) => args.iter().map(broadcast).collect(),
            GraphOp::Lookup(_, a) => vec![broadcast(a)],
            GraphOp::Cold { mask, slow, fast } => [mask, fast, slow].map(broadcast).to_vec(),
            GraphOp::View(view, a) => vec![(*a, self.view_index(node, view, *a, idx))],
            GraphOp::Gather { source, index, dim } => {
                let placeholder = ValueId(u32::MAX - node.0);
                vec![(*index, idx.to_vec()), (*source, self.gather_index(node, *source, *dim, idx, placeholder))]
            }
            GraphOp::Reduce { arg, .. } => {
                let red = self.red_of[node.index()].expect("every reduction was found");
                if self.is_trivial(red) { vec![(*arg, idx.to_vec())] } else { Vec::new() }
            }
        }
    }
}

/// The axes that occur in an index.
pub(super) fn axes_of(idx: &[IndexExpr]) -> BTreeSet<AxisId> {
    let mut axes = BTreeSet::new();
    for e in idx {
        e.visit(&mut |e| {
            if let IndexExpr::Axis(a) = e {
                axes.insert(*a);
            }
        });
    }
    axes
}

/// The axes of an index that is nothing but distinct axes.
pub(super) fn bare_axes(idx: &[IndexExpr]) -> Option<BTreeSet<AxisId>> {
    let mut axes = BTreeSet::new();
    for e in idx {
        let IndexExpr::Axis(a) = e else { return None };
        if !axes.insert(*a) {
            return None;
        }
    }
    Some(axes)
}

/// The coefficient of `axis` by value; None where the expression is not linear in it.
pub(super) fn coefficient(e: &IndexExpr, axis: AxisId, syms: &[i64]) -> Option<i64> {
    use IndexExpr::*;
    Some(match e {
        Const(_) | Sym(_) | Value(_) => 0,
        Axis(a) => i64::from(*a == axis),
        Add(a, b) => coefficient(a, axis, syms)?.checked_add(coefficient(b, axis, syms)?)?,
        _ if !e.uses_axis(axis) => 0,
        Mul(a, b) => {
            let (k, e) = if a.is_uniform() { (a, b) } else { (b, a) };
            let k = k.is_uniform().then(|| k.eval(&super::Uniform(syms)))??;
            k.checked_mul(coefficient(e, axis, syms)?)?
        }
        FloorDiv(..) | Mod(..) | Min(..) | Max(..) => return None,
    })
}

/// The value of a symbol or a constant.
pub(super) fn sym_of(e: &IndexExpr) -> Option<SymId> {
    match e {
        IndexExpr::Sym(s) => Some(*s),
        _ => None,
    }
}
