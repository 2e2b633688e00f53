//! Contraction of products and sums into `fma`, which programs ask for (`Program::contracted`).
//!
//! Like C's `#pragma STDC FP_CONTRACT`, it is about what the program itself writes: nodes that the bodies
//! of built-in ops compute keep their roundings, which their accuracy rests on. It happens here, before
//! anything is fused, so that no rounding depends on where fusion cuts, on shapes or on the machine.

use super::lower::needed;
use super::{Graph, GraphOp, Node};
use crate::dtype::DType;
use crate::id::NodeId;
use crate::prim::Prim;
use std::collections::HashSet;

/// Rewrites `a*b + c`, `c + a*b`, `a*b - c` and `c - a*b` to one rounding, where both nodes are `written`, of one
/// float dtype and one shape, and nothing else needs the product. Of two products the left one is taken.
pub(super) fn contract(graph: Graph, written: &HashSet<NodeId>) -> Graph {
    let mut uses = vec![0; graph.nodes.len()];
    let live = needed(&graph);
    for node in graph.nodes.iter().zip(&live).filter(|(_, live)| **live).map(|(n, _)| n) {
        node.op.for_operands(&mut |o| uses[o.index()] += 1);
    }
    graph.outputs.iter().for_each(|o| uses[o.index()] += 1);
    let product = |sum: &Node, id: NodeId| {
        let n = graph.node(id);
        match &n.op {
            GraphOp::Prim(Prim::Mul, t, args)
                if written.contains(&id) && uses[id.index()] == 1 && *t == sum.dtype && n.shape == sum.shape =>
            {
                Some([args[0], args[1]])
            }
            _ => None,
        }
    };
    let mut to: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    let mut new = Graph { nodes: Vec::with_capacity(graph.nodes.len()), ..Graph::default() };
    for (i, node) in graph.nodes.iter().enumerate() {
        let found = match &node.op {
            GraphOp::Prim(p @ (Prim::Add | Prim::Sub), DType::F32 | DType::F64, args)
                if written.contains(&NodeId::new(i)) =>
            {
                let left = product(node, args[0]).map(|f| (f, args[1], false, *p == Prim::Sub));
                left.or_else(|| product(node, args[1]).map(|f| (f, args[0], *p == Prim::Sub, false)))
            }
            _ => None,
        };
        let id = match found {
            Some(([a, b], c, minus_product, minus_c)) => {
                let mut operand = |id: NodeId, negated: bool| {
                    let (now, shape) = (to[id.index()], graph.node(id).shape.clone());
                    let neg = GraphOp::Prim(Prim::Neg, node.dtype, vec![now]);
                    if negated { new.push(neg, node.dtype, shape) } else { now }
                };
                let args = vec![operand(a, minus_product), operand(b, false), operand(c, minus_c)];
                new.push(GraphOp::Prim(Prim::Fma, node.dtype, args), node.dtype, node.shape.clone())
            }
            None => {
                let mut op = node.op.clone();
                op.map_operands(&mut |o| to[o.index()]);
                new.push(op, node.dtype, node.shape.clone())
            }
        };
        to.push(id);
    }
    new.outputs = graph.outputs.iter().map(|o| to[o.index()]).collect();
    Graph { inputs: graph.inputs, scalars: graph.scalars, ..new }
}
