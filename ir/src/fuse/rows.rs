//! Which values of a phase are kept in row scratch.
//!
//! Nests over the same inner axes may need the same node at the same index. Cheap ones are computed
//! again; expensive ones are stored by the first nest and loaded by the later ones.

use super::index::{axes_of, bare_axes};
use super::{Cx, Idx};
use crate::graph::GraphOp;
use crate::id::{AxisId, NodeId};
use crate::prim::Prim;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Primitives above which computing again costs more than a store and a load.
const CHEAP: usize = 6;

/// Stored values, by the nest that stores them.
pub(super) type Rows = HashMap<(NodeId, Idx), usize>;

/// A nest as seen here.
pub(super) struct Demands {
    pub inner: BTreeSet<AxisId>,
    /// Will run in a phase of its own: it shares nothing.
    pub long: bool,
    pub wanted: Vec<(NodeId, Idx)>,
}

/// The values that nests, in this order, share.
pub(super) fn find(cx: &mut Cx, outer: &BTreeSet<AxisId>, nests: &[Demands]) -> Rows {
    let mut rows = Rows::new();
    let mut computed = HashMap::new();
    for (nest, Demands { inner, wanted, .. }) in nests.iter().enumerate().filter(|(_, n)| !n.long) {
        let mut search = Search { outer, inner, nests, nest, computed: &mut computed, rows: &mut rows };
        for (node, idx) in wanted {
            search.visit(cx, *node, idx.clone());
        }
    }
    rows
}

struct Search<'a> {
    outer: &'a BTreeSet<AxisId>,
    inner: &'a BTreeSet<AxisId>,
    nests: &'a [Demands],
    nest: usize,
    computed: &'a mut HashMap<(NodeId, Idx), usize>,
    rows: &'a mut Rows,
}

impl Search<'_> {
    fn visit(&mut self, cx: &mut Cx, node: NodeId, idx: Idx) {
        let mut open = vec![(node, idx)];
        while let Some(key) = open.pop() {
            if axes_of(&key.1).is_subset(self.outer) {
                continue;
            }
            match self.computed.get(&key) {
                Some(&first) if first == self.nest => continue,
                Some(&first) if self.nests[first].inner == *self.inner && self.is_worth(cx, &key) => {
                    self.rows.insert(key, first);
                    continue;
                }
                Some(_) => {}
                None => {
                    self.computed.insert(key.clone(), self.nest);
                }
            }
            open.extend(cx.operands(key.0, &key.1).into_iter().rev());
        }
    }

    /// Only values at every point of the nest are stored: their element is the point.
    fn is_worth(&self, cx: &mut Cx, (node, idx): &(NodeId, Idx)) -> bool {
        let storable = bare_axes(idx).is_some_and(|a| a.is_superset(self.inner));
        storable && !matches!(cx.g.node(*node).op, GraphOp::View(..)) && self.is_costly(cx, *node, idx.clone())
    }

    fn is_costly(&self, cx: &mut Cx, node: NodeId, idx: Idx) -> bool {
        let (mut seen, mut cost) = (HashSet::new(), 0);
        let mut open = vec![(node, idx)];
        while let Some((node, idx)) = open.pop() {
            if axes_of(&idx).is_subset(self.outer) || !seen.insert((node, idx.clone())) {
                continue;
            }
            cost += match &cx.g.node(node).op {
                GraphOp::Prim(Prim::Convert, ..) => 0,
                GraphOp::Prim(Prim::Div | Prim::Sqrt | Prim::IDiv | Prim::IRem, ..) | GraphOp::Call(..) => CHEAP + 1,
                GraphOp::Prim(..) | GraphOp::Lookup(..) | GraphOp::Gather { .. } => 1,
                _ => 0,
            };
            if cost > CHEAP {
                return true;
            }
            open.extend(cx.operands(node, &idx));
        }
        false
    }
}
