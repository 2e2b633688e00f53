//! The typed graph of one call: primitives, reductions, views and indexed reads over operands whose
//! dtypes, shapes and strides are known.
//!
//! An expression is polymorphic in rank, dtype and size; `lower` instantiates it for the operands of
//! a call and gives a `Graph`. `fuse` turns a graph into a [`crate::kernel::Kernel`], in which sizes
//! are symbols again, so that another size gives the same kernel text and needs no compile.
//!
//! Types are those of computation: operands of f16 and bf16 are converted to f32 at their `Input`, results
//! converted back where they are outputs, and in between no node has such a dtype but where a program asks
//! to round (`to`). So a value is rounded where its user says, wherever fusion cuts.

use crate::dtype::{DType, Literal, Priority};
use crate::id::{NodeId, ScalarId};
use crate::kernel::{Func, Reduction};
use crate::prim::Prim;

mod call;
mod contract;
pub mod eval;
mod facts;
mod fold;
mod grad;
pub mod intrinsic;
pub mod lower;
mod power;
pub mod random;
mod shapes;
mod slices;

pub use lower::{LowerError, LowerErrorKind, LowerOptions, Operand, lower};

/// What `lower` and `fuse` know of a tensor operand.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TensorMeta {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<i64>,
    /// Strides in elements; may be 0 (broadcast) or negative.
    pub strides: Vec<i64>,
}

impl TensorMeta {
    /// A dense row-major tensor.
    pub fn contiguous(dtype: DType, shape: &[i64]) -> TensorMeta {
        TensorMeta { dtype, shape: shape.to_vec(), strides: contiguous_strides(shape) }
    }

    /// Number of elements.
    pub fn numel(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Promotion priority: 0-d tensors yield to dimensioned ones.
    pub fn priority(&self) -> Priority {
        if self.shape.is_empty() { Priority::ZeroDim } else { Priority::Dim }
    }
}

/// Row-major strides, in elements.
pub fn contiguous_strides(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d].max(1);
    }
    strides
}

/// Typed SSA over whole tensors. Operands of a node have smaller ids.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    /// All nodes, in dependency order.
    pub nodes: Vec<Node>,
    /// Tensor operands, by position.
    pub inputs: Vec<TensorMeta>,
    /// Dtypes of the run-time numbers, by [`ScalarId`].
    pub scalars: Vec<DType>,
    /// Results.
    pub outputs: Vec<NodeId>,
}

/// A whole-tensor value.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What computes it.
    pub op: GraphOp,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<i64>,
}

/// What a node does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum GraphOp {
    /// Tensor operand by position.
    Input(usize),
    /// A run-time number; 0-d.
    Scalar(ScalarId),
    /// A constant; 0-d.
    Const(Literal),
    /// A primitive, lane by lane; operands broadcast by PyTorch's rule to the node's shape. The dtype
    /// is the `T` of [`crate::prim::Typing`]. Includes conversions.
    Prim(Prim, DType, Vec<NodeId>),
    /// A scalar library function, lane by lane.
    Call(Func, Vec<NodeId>),
    /// Element `index` of a small table of constants, lane by lane.
    Lookup(Vec<Literal>, NodeId),
    /// mask ? slow : fast, lane by lane; `slow` is worth skipping when no lane needs it.
    Cold {
        /// bool.
        mask: NodeId,
        /// Rarely needed.
        slow: NodeId,
        /// Mostly needed.
        fast: NodeId,
    },
    /// The index along dimension `dim` of the node's shape, as the node's dtype (i64 or i32).
    Iota {
        /// Dimension of the node's own shape.
        dim: usize,
    },
    /// How many elements `of` has along `dims`, as i64; 0-d. A run-time size, not a constant.
    Extent {
        /// Whose shape.
        of: NodeId,
        /// Dimensions of `of`.
        dims: Vec<usize>,
    },
    /// Result number `result` of a reduction of `args` over `dims` (ascending, of the operand's
    /// shape). The node's shape is the operand's without `dims`: keepdim is a `Reshape`. `ArgMax` and
    /// `ArgMin` have one operand here and give the row-major index over the reduced dims (in i64).
    Reduce {
        /// How.
        kind: Reduction,
        /// What is reduced.
        arg: NodeId,
        /// Over which dimensions.
        dims: Vec<usize>,
        /// Which of the kind's results.
        result: usize,
    },
    /// The same elements under another index.
    View(View, NodeId),
    /// `out[i..] = source[i.. with dim replaced by index[i..]]` (`torch.gather` without its freedom
    /// in the other dims): index has the node's shape, source the same but in `dim`. Negative indices
    /// are errors; out of range is an IndexError.
    Gather {
        /// Read from.
        source: NodeId,
        /// i32 or i64.
        index: NodeId,
        /// The replaced dimension.
        dim: usize,
    },
}

/// An index map.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum View {
    /// To the node's shape by PyTorch's broadcasting rule.
    Broadcast,
    /// Dimension d of the result is dimension `perm[d]` of the operand.
    Permute(Vec<usize>),
    /// The same elements in row-major order under the node's shape.
    Reshape,
    /// Per dimension: start and step (not 0; may be negative) in the operand.
    Slice(Vec<(i64, i64)>),
}

impl GraphOp {
    /// Calls `f` on every operand.
    pub fn for_operands(&self, f: &mut impl FnMut(NodeId)) {
        match self {
            GraphOp::Input(_) | GraphOp::Scalar(_) | GraphOp::Const(_) | GraphOp::Iota { .. } => {}
            GraphOp::Prim(_, _, args) | GraphOp::Call(_, args) => args.iter().copied().for_each(f),
            GraphOp::Lookup(_, id)
            | GraphOp::Extent { of: id, .. }
            | GraphOp::Reduce { arg: id, .. }
            | GraphOp::View(_, id) => f(*id),
            GraphOp::Cold { mask, slow, fast } => [*mask, *slow, *fast].into_iter().for_each(f),
            GraphOp::Gather { source, index, .. } => [*source, *index].into_iter().for_each(f),
        }
    }

    /// Replaces every operand.
    pub fn map_operands(&mut self, f: &mut impl FnMut(NodeId) -> NodeId) {
        match self {
            GraphOp::Input(_) | GraphOp::Scalar(_) | GraphOp::Const(_) | GraphOp::Iota { .. } => {}
            GraphOp::Prim(_, _, args) | GraphOp::Call(_, args) => args.iter_mut().for_each(|id| *id = f(*id)),
            GraphOp::Lookup(_, id)
            | GraphOp::Extent { of: id, .. }
            | GraphOp::Reduce { arg: id, .. }
            | GraphOp::View(_, id) => *id = f(*id),
            GraphOp::Cold { mask, slow, fast } => [mask, slow, fast].into_iter().for_each(|id| *id = f(*id)),
            GraphOp::Gather { source, index, .. } => [source, index].into_iter().for_each(|id| *id = f(*id)),
        }
    }
}

impl Graph {
    /// Appends a node.
    pub fn push(&mut self, op: GraphOp, dtype: DType, shape: Vec<i64>) -> NodeId {
        self.nodes.push(Node { op, dtype, shape });
        NodeId::new(self.nodes.len() - 1)
    }

    /// The node of this id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }
}

/// The broadcast shape of two shapes, or the offending dimension counted from the end.
pub fn broadcast_shapes(a: &[i64], b: &[i64]) -> Result<Vec<i64>, usize> {
    let rank = a.len().max(b.len());
    let mut out = vec![0; rank];
    for d in 0..rank {
        let at = |s: &[i64]| if d < s.len() { s[s.len() - 1 - d] } else { 1 };
        out[rank - 1 - d] = match (at(a), at(b)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return Err(d),
        };
    }
    Ok(out)
}
