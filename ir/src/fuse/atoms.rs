//! Atoms: the finest common cutting of dimensions.
//!
//! Dimensions that an elementwise operation aligns are of one *class* and have the same extent. A
//! reshape that regroups dimensions cuts classes at the other side's boundaries; cuts travel through
//! classes until nothing changes. An *atom* is a piece of a dimension; pieces that a reshape aligns
//! are the same atom. A reshape whose cuts do not nest, or which would cut a dimension that a slice or
//! a gather indexes (a *rigid* one), stays as flat index arithmetic.
//!
//! Invariants: an extent of 1 has no atoms; an atom's extent is never 1; equal atoms have equal
//! extents by structure of the graph (never by chance).

use crate::graph::{Graph, GraphOp, Node, View};
use crate::id::NodeId;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

/// A piece of a dimension.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct AtomId(usize);

/// One group of a reshape: operand dimensions and result dimensions of the same number of elements.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub operand: Range<usize>,
    pub result: Range<usize>,
    /// Atoms map to atoms.
    pub clean: bool,
}

pub(super) struct Atoms {
    /// Per node: its atoms, outermost first.
    atoms: Vec<Vec<AtomId>>,
    /// Per node and dimension: where its atoms are in the above.
    ranges: Vec<Vec<Range<usize>>>,
    extents: Vec<i64>,
    groups: Vec<Vec<Group>>,
}

impl Atoms {
    /// All atoms of a node's shape.
    pub fn of(&self, n: NodeId) -> &[AtomId] {
        &self.atoms[n.index()]
    }

    /// The positions of a dimension's atoms in [`Atoms::of`].
    pub fn range(&self, n: NodeId, dim: usize) -> Range<usize> {
        self.ranges[n.index()][dim].clone()
    }

    /// The positions of the atoms of several dimensions.
    pub fn span(&self, n: NodeId, dims: &Range<usize>) -> Range<usize> {
        if dims.is_empty() {
            return 0..0;
        }
        self.range(n, dims.start).start..self.range(n, dims.end - 1).end
    }

    pub fn extent(&self, a: AtomId) -> i64 {
        self.extents[a.0]
    }

    /// The groups of a reshape; none when it has no elements.
    pub fn groups(&self, n: NodeId) -> &[Group] {
        &self.groups[n.index()]
    }

    /// For every atom of dimensions `d` in order: the strides its pieces have, given one per dimension.
    pub fn strides(&self, n: NodeId, strides: &[i64]) -> Vec<i64> {
        let mut out = vec![0; self.of(n).len()];
        for (d, &stride) in strides.iter().enumerate() {
            let mut step = stride;
            for at in self.range(n, d).rev() {
                out[at] = step;
                step *= self.extent(self.of(n)[at]);
            }
        }
        out
    }

    pub fn new(g: &Graph) -> Atoms {
        let mut classes = Classes::new(g);
        classes.align(g);
        let groups: Vec<Vec<Group>> = g.nodes.iter().map(|n| reshape_groups(g, n)).collect();
        let mut regroupings = Vec::new();
        for (i, node_groups) in groups.iter().enumerate() {
            let GraphOp::View(_, operand) = g.nodes[i].op else { continue };
            for (k, group) in node_groups.iter().enumerate() {
                let a = classes.vars_of(operand.index(), &group.operand);
                let b = classes.vars_of(i, &group.result);
                if let ([a], [b]) = (&a[..], &b[..]) {
                    classes.uf.union(*a, *b);
                } else if !a.is_empty() {
                    regroupings.push(Regrouping { node: i, group: k, sides: [a, b] });
                }
            }
        }
        let mut unclean = HashSet::new();
        let cuts = loop {
            match classes.cut(&regroupings, &unclean) {
                Ok(cuts) => break cuts,
                Err(at) => unclean.insert(at),
            };
        };
        classes.atoms(g, groups, &regroupings, &unclean, &cuts)
    }
}

/// A reshape group with more than one dimension on a side, as variables.
struct Regrouping {
    node: usize,
    group: usize,
    sides: [Vec<usize>; 2],
}

/// Union-find; the representative is the smallest member.
struct UnionFind(Vec<usize>);

impl UnionFind {
    fn new(n: usize) -> Self {
        UnionFind((0..n).collect())
    }
    fn find(&self, mut a: usize) -> usize {
        while self.0[a] != a {
            a = self.0[a];
        }
        a
    }
    fn union(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// One variable per (node, dimension) whose extent is not 1.
struct Classes {
    var: Vec<Vec<Option<usize>>>,
    extent: Vec<i64>,
    rigid: Vec<bool>,
    uf: UnionFind,
}

impl Classes {
    fn new(g: &Graph) -> Self {
        let mut extent = Vec::new();
        let var = g
            .nodes
            .iter()
            .map(|n| {
                n.shape
                    .iter()
                    .map(|&e| {
                        (e != 1).then(|| {
                            extent.push(e);
                            extent.len() - 1
                        })
                    })
                    .collect()
            })
            .collect();
        Classes { var, rigid: vec![false; extent.len()], uf: UnionFind::new(extent.len()), extent }
    }

    fn vars_of(&self, node: usize, dims: &Range<usize>) -> Vec<usize> {
        dims.clone().filter_map(|d| self.var[node][d]).collect()
    }

    fn same(&mut self, a: (NodeId, usize), b: (NodeId, usize)) {
        if let (Some(a), Some(b)) = (self.var[a.0.index()][a.1], self.var[b.0.index()][b.1]) {
            self.uf.union(a, b);
        }
    }

    fn make_rigid(&mut self, node: NodeId, dim: usize) {
        if let Some(v) = self.var[node.index()][dim] {
            self.rigid[v] = true;
        }
    }

    /// Unites the dimensions that nodes align, and marks the rigid ones.
    fn align(&mut self, g: &Graph) {
        for (i, node) in g.nodes.iter().enumerate() {
            let n = NodeId::new(i);
            match &node.op {
                GraphOp::Input(_)
                | GraphOp::Scalar(_)
                | GraphOp::Const(_)
                | GraphOp::Iota { .. }
                | GraphOp::Extent { .. } => {}
                GraphOp::Prim(_, _, args) | GraphOp::Call(_, args) => {
                    args.iter().for_each(|&a| self.align_right(g, n, a));
                }
                GraphOp::Lookup(_, a) | GraphOp::View(View::Broadcast, a) => self.align_right(g, n, *a),
                GraphOp::Cold { mask, slow, fast } => {
                    [mask, slow, fast].into_iter().for_each(|&a| self.align_right(g, n, a));
                }
                GraphOp::Reduce { arg, dims, .. } => {
                    let kept = (0..g.node(*arg).shape.len()).filter(|d| !dims.contains(d));
                    for (d, from) in kept.enumerate() {
                        self.same((n, d), (*arg, from));
                    }
                }
                GraphOp::View(View::Permute(perm), a) => {
                    for (d, &from) in perm.iter().enumerate() {
                        self.same((n, d), (*a, from));
                    }
                }
                GraphOp::View(View::Reshape, _) => {}
                GraphOp::View(View::Slice(steps), a) => {
                    for (d, &step) in steps.iter().enumerate() {
                        if is_whole(step, node.shape[d], g.node(*a).shape[d]) {
                            self.same((n, d), (*a, d));
                        } else {
                            self.make_rigid(n, d);
                            self.make_rigid(*a, d);
                        }
                    }
                }
                GraphOp::Gather { source, index, dim } => {
                    for d in 0..node.shape.len() {
                        self.same((n, d), (*index, d));
                        if d != *dim {
                            self.same((n, d), (*source, d));
                        }
                    }
                    self.make_rigid(*source, *dim);
                }
            }
        }
    }

    fn align_right(&mut self, g: &Graph, n: NodeId, operand: NodeId) {
        let (rank, from) = (g.node(n).shape.len(), g.node(operand).shape.len());
        for d in 0..from {
            self.same((n, d + rank - from), (operand, d));
        }
    }

    /// The cuts of every class: inner sizes, each dividing the next. `Err` names a regrouping that
    /// cannot be made clean.
    fn cut(
        &self,
        regroupings: &[Regrouping],
        unclean: &HashSet<(usize, usize)>,
    ) -> Result<Vec<BTreeSet<i64>>, (usize, usize)> {
        let mut rigid = vec![false; self.rigid.len()];
        for v in 0..rigid.len() {
            let root = self.uf.find(v);
            rigid[root] |= self.rigid[v];
        }
        let mut cuts = vec![BTreeSet::new(); self.extent.len()];
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for r in regroupings.iter().filter(|r| !unclean.contains(&(r.node, r.group))) {
                let conflict = (r.node, r.group);
                let mut flat = BTreeSet::new();
                let mut total = 1;
                for side in &r.sides {
                    total = 1;
                    for &v in side.iter().rev() {
                        flat.extend(cuts[self.uf.find(v)].iter().map(|c| c * total));
                        total *= self.extent[v];
                        flat.insert(total);
                    }
                }
                if flat.iter().zip(flat.iter().skip(1)).any(|(a, b)| b % a != 0) {
                    return Err(conflict);
                }
                debug_assert_eq!(flat.last(), Some(&total), "groups have equal products");
                for side in &r.sides {
                    let mut inner = 1;
                    for &v in side.iter().rev() {
                        let outer = inner * self.extent[v];
                        let root = self.uf.find(v);
                        for &f in flat.iter().filter(|&&f| inner < f && f < outer) {
                            if cuts[root].insert(f / inner) {
                                changed = true;
                                let nested = cuts[root].iter().zip(cuts[root].iter().skip(1)).all(|(a, b)| b % a == 0);
                                if rigid[root] || !nested {
                                    return Err(conflict);
                                }
                            }
                        }
                        inner = outer;
                    }
                }
            }
        }
        Ok(cuts)
    }

    fn atoms(
        &self,
        g: &Graph,
        mut groups: Vec<Vec<Group>>,
        regroupings: &[Regrouping],
        unclean: &HashSet<(usize, usize)>,
        cuts: &[BTreeSet<i64>],
    ) -> Atoms {
        // Atoms of a class are consecutive, outermost first.
        let mut first = vec![0; self.extent.len()];
        let mut extents = Vec::new();
        for v in (0..self.extent.len()).filter(|&v| self.uf.find(v) == v) {
            first[v] = extents.len();
            let mut outer = self.extent[v];
            for &c in cuts[v].iter().rev() {
                extents.push(outer / c);
                outer = c;
            }
            extents.push(outer);
        }
        let of_var = |v: usize| {
            let root = self.uf.find(v);
            first[root]..first[root] + cuts[root].len() + 1
        };
        let mut uf = UnionFind::new(extents.len());
        for r in regroupings {
            let clean = !unclean.contains(&(r.node, r.group));
            groups[r.node][r.group].clean = clean;
            if clean {
                let [a, b] = &r.sides;
                for (a, b) in a.iter().copied().flat_map(of_var).zip(b.iter().copied().flat_map(of_var)) {
                    uf.union(a, b);
                }
            }
        }
        let mut atoms = Vec::new();
        let mut ranges = Vec::new();
        for i in 0..g.nodes.len() {
            let mut all = Vec::new();
            let mut at = Vec::new();
            for var in &self.var[i] {
                let start = all.len();
                all.extend(var.iter().copied().flat_map(of_var).map(|a| AtomId(uf.find(a))));
                at.push(start..all.len());
            }
            atoms.push(all);
            ranges.push(at);
        }
        Atoms { atoms, ranges, extents, groups }
    }
}

/// True when a slice takes all of a dimension in order.
pub(super) fn is_whole((start, step): (i64, i64), result: i64, operand: i64) -> bool {
    start == 0 && step == 1 && result == operand
}

/// Splits a reshape into the smallest groups of dimensions with equal products.
fn reshape_groups(g: &Graph, node: &Node) -> Vec<Group> {
    let GraphOp::View(View::Reshape, operand) = node.op else { return Vec::new() };
    let (from, to) = (&g.node(operand).shape, &node.shape);
    let mut groups = Vec::new();
    if to.contains(&0) {
        return groups;
    }
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let start = (i, j);
        let (mut a, mut b) = (1, 1);
        if i < from.len() {
            a *= from[i];
            i += 1;
        }
        if j < to.len() {
            b *= to[j];
            j += 1;
        }
        while a != b {
            if a < b {
                a *= from[i];
                i += 1;
            } else {
                b *= to[j];
                j += 1;
            }
        }
        groups.push(Group { operand: start.0..i, result: start.1..j, clean: true });
    }
    groups
}
