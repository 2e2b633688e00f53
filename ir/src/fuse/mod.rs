//! Fusion: a typed [`Graph`] becomes one [`Kernel`].
//!
//! The graph knows every size; the kernel's text must not, so that another size of the same layout
//! needs no compile. Hence:
//!
//! - F1: extents and strides are symbols, one per axis identity and one per (buffer, axis), never
//!   shared because two values happen to be equal (`Cx::sym`).
//! - F2: what decides the text is structure only: the graph, which extents are 1, which strides are 0
//!   or 1, the order of strides, which axes merge, whether a reduction is long, and the extents of short ones.
//! - F3: an index is a list of expressions over *atoms* (`atoms.rs`): dimensions cut so finely that a
//!   reshape which regroups cleanly maps atoms to atoms.
//!
//! The steps, in order: `atoms` cuts dimensions; `stages` decides which reductions live in which
//! phase; `emit` inlines everything else on demand, over virtual axes; `order` chooses axis orders and
//! the order of reductions; `collapse` merges axes; `short` makes constants of short extents; `block` splits
//! long reductions; `finish` numbers everything densely.

mod atoms;
mod block;
mod collapse;
mod emit;
mod finish;
mod index;
mod order;
mod rows;
mod short;
mod stages;

use crate::graph::{Graph, GraphOp, TensorMeta};
use crate::id::{AxisId, BufferId, NodeId, SymId};
use crate::index::{IndexEnv, IndexExpr};
use crate::kernel::{BufferKind, Kernel, Order, Reduction};
use atoms::{AtomId, Atoms};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Largest rank of a tensor.
pub const MAX_RANK: usize = 16;

/// Where shape classes begin and how long reductions are cut. Part of the meaning of a result: another
/// block size gives other bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuseOptions {
    /// A reduction over more elements than this, in order `lanes`, is blocked; so is what is left of a
    /// phase that would run more than this at one outer point.
    pub long_lanes: i64,
    /// The same for order `rows`, counted in rows.
    pub long_rows: i64,
    /// Elements of a block in order `lanes`: 64 KiB of f32, so that a reduction just above the limit
    /// already has five blocks to run in parallel.
    pub block_lanes: i64,
    /// Rows of a block in order `rows`.
    pub block_rows: i64,
}

impl Default for FuseOptions {
    fn default() -> Self {
        FuseOptions { long_lanes: 65536, long_rows: 8192, block_lanes: 16384, block_rows: 1024 }
    }
}

/// A kernel and the values its symbols have for the operands it was made from.
#[derive(Clone, PartialEq, Debug)]
pub struct Fused {
    /// The kernel. Its arguments are the graph's inputs, all of them and in order, then the outputs.
    pub kernel: Kernel,
    /// The value of every symbol.
    pub syms: Vec<i64>,
}

/// Why a graph is no kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FuseError {
    /// A tensor of more than [`MAX_RANK`] dimensions.
    Rank(usize),
    /// An output's description disagrees with its node.
    Output(usize),
    /// The graph has another number of outputs than were described.
    OutputCount {
        /// Results of the graph.
        graph: usize,
        /// Descriptions given.
        given: usize,
    },
    /// `moments` has no graph form.
    Moments,
}

impl fmt::Display for FuseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FuseError::Rank(r) => {
                write!(f, "tensors of {r} dimensions are not supported, at most {MAX_RANK} are")
            }
            FuseError::Output(i) => write!(f, "output {i} differs in dtype or shape from the graph's result"),
            FuseError::OutputCount { graph, given } => {
                write!(f, "the graph has {graph} outputs but {given} were described")
            }
            FuseError::Moments => write!(f, "the reduction `moments` is not supported in graphs"),
        }
    }
}

impl std::error::Error for FuseError {}

/// Turns a graph into one kernel. `outputs` describes the results: dtype and shape as in the graph,
/// and any strides that do not overlap.
pub fn fuse(g: &Graph, outputs: &[TensorMeta], opts: &FuseOptions) -> Result<Fused, FuseError> {
    check(g, outputs)?;
    let mut cx = Cx::new(g, outputs, *opts);
    let plan = stages::plan(&mut cx);
    for phase in &plan.phases {
        let mut built = emit::phase(&mut cx, &plan, phase);
        order::choose(&mut cx, phase, &mut built);
        let built = collapse::bind(&mut cx, built);
        let mut built = collapse::collapse(&mut cx, built);
        short::pin(&mut cx, &mut built);
        block::push(&mut cx, built);
    }
    Ok(finish::finish(cx))
}

fn check(g: &Graph, outputs: &[TensorMeta]) -> Result<(), FuseError> {
    if g.outputs.len() != outputs.len() {
        return Err(FuseError::OutputCount { graph: g.outputs.len(), given: outputs.len() });
    }
    for node in &g.nodes {
        if node.shape.len() > MAX_RANK {
            return Err(FuseError::Rank(node.shape.len()));
        }
        if matches!(node.op, GraphOp::Reduce { kind: Reduction::Moments, .. }) {
            return Err(FuseError::Moments);
        }
    }
    for (i, (meta, &n)) in outputs.iter().zip(&g.outputs).enumerate() {
        let node = g.node(n);
        if meta.dtype != node.dtype || meta.shape != node.shape || meta.strides.len() != meta.shape.len() {
            return Err(FuseError::Output(i));
        }
    }
    Ok(())
}

/// An index into a node: one expression per atom of its shape, over virtual axes.
type Idx = Vec<IndexExpr>;

/// A reduction; several nodes may be its results.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct RedId(usize);

struct Red {
    kind: Reduction,
    arg: NodeId,
    dims: Vec<usize>,
    /// By number of the result: a node that is it.
    results: Vec<Option<NodeId>>,
}

/// What a symbol stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum SymKey {
    /// Extent of an atom.
    Extent(AtomId),
    /// Stride of a buffer along an atom, by position.
    Stride(BufferId, usize),
    /// Start of a slice.
    Start(NodeId, usize),
    /// Step of a slice.
    Step(NodeId, usize),
    /// Stride of the temporaries of a reduction along a kept atom.
    TempStride(RedId, usize),
    /// Number of elements of the temporaries of a reduction.
    TempLen(RedId),
    /// Stride of row scratch along an axis.
    RowStride(BufferId, AxisId),
    /// Number of elements of row scratch.
    RowLen(BufferId),
    /// Product of two extents.
    Merged(SymId, SymId),
    /// Number of blocks of an extent, blocked alone and for an order.
    Blocks(SymId, Order),
    /// Number of blocks of a blocked axis that is not alone.
    BlocksOf(AxisId),
    /// Iterations per block of a blocked axis that is not alone.
    Block(AxisId),
    /// Stride and length (by position) of a buffer of partial results.
    Partial(BufferId, usize),
    /// Number of elements that a node counts.
    Count(NodeId),
}

/// State of one fusion. Axes are *virtual* here: (atom, occurrence) pairs, the same in every phase,
/// so that indices of different nests compare; `collapse::bind` replaces them by axes of the kernel.
struct Cx<'g> {
    g: &'g Graph,
    outputs: &'g [TensorMeta],
    opts: FuseOptions,
    atoms: Atoms,
    kernel: Kernel,
    /// Values of symbols.
    syms: Vec<i64>,
    keys: HashMap<SymKey, SymId>,
    /// Symbols whose value is structure: constants of the text.
    pinned: BTreeMap<SymId, i64>,
    virtual_axes: Vec<(AtomId, usize)>,
    axis_of: HashMap<(AtomId, usize), AxisId>,
    reds: Vec<Red>,
    red_of: Vec<Option<RedId>>,
    /// Buffers of materialised results, by number of the result.
    temps: HashMap<(RedId, usize), BufferId>,
    /// Row scratch made so far, for names.
    row_count: usize,
    /// Buffers of partial results made so far, for names.
    partial_count: usize,
}

impl<'g> Cx<'g> {
    fn new(g: &'g Graph, outputs: &'g [TensorMeta], opts: FuseOptions) -> Self {
        let mut kernel = Kernel { scalars: g.scalars.clone(), ..Kernel::default() };
        for (i, m) in g.inputs.iter().enumerate() {
            kernel.add_buffer(format!("in{i}"), m.dtype, BufferKind::In);
        }
        for (i, m) in outputs.iter().enumerate() {
            kernel.add_buffer(format!("out{i}"), m.dtype, BufferKind::Out);
        }
        let mut cx = Cx {
            g,
            outputs,
            opts,
            atoms: Atoms::new(g),
            kernel,
            syms: Vec::new(),
            keys: HashMap::new(),
            pinned: BTreeMap::new(),
            virtual_axes: Vec::new(),
            axis_of: HashMap::new(),
            reds: Vec::new(),
            red_of: vec![None; g.nodes.len()],
            temps: HashMap::new(),
            row_count: 0,
            partial_count: 0,
        };
        cx.find_reductions();
        cx
    }

    fn find_reductions(&mut self) {
        for (i, node) in self.g.nodes.iter().enumerate() {
            let GraphOp::Reduce { kind, arg, dims, result } = &node.op else { continue };
            let known = self.reds.iter().position(|r| r.kind == *kind && r.arg == *arg && r.dims == *dims);
            let red = known.unwrap_or_else(|| {
                let results = vec![None; kind.results()];
                self.reds.push(Red { kind: *kind, arg: *arg, dims: dims.clone(), results });
                self.reds.len() - 1
            });
            self.reds[red].results[*result] = Some(NodeId::new(i));
            self.red_of[i] = Some(RedId(red));
        }
    }

    fn red(&self, r: RedId) -> &Red {
        &self.reds[r.0]
    }

    fn in_buffer(&self, input: usize) -> BufferId {
        BufferId::new(input)
    }

    fn out_buffer(&self, output: usize) -> BufferId {
        BufferId::new(self.g.inputs.len() + output)
    }

    /// The symbol of this identity.
    fn sym(&mut self, key: SymKey, value: i64) -> SymId {
        if let Some(&s) = self.keys.get(&key) {
            return s;
        }
        let s = self.kernel.add_sym();
        self.syms.push(value);
        self.keys.insert(key, s);
        s
    }

    /// The extent of an atom.
    fn extent(&mut self, atom: AtomId) -> IndexExpr {
        let value = self.atoms.extent(atom);
        self.sym(SymKey::Extent(atom), value).into()
    }

    /// A stride: 0 and 1 are structure.
    fn stride(&mut self, key: SymKey, value: i64) -> IndexExpr {
        if matches!(value, 0 | 1) { IndexExpr::Const(value) } else { self.sym(key, value).into() }
    }

    /// The virtual axis of an atom's `occurrence` in one index.
    fn axis(&mut self, atom: AtomId, occurrence: usize) -> AxisId {
        *self.axis_of.entry((atom, occurrence)).or_insert_with(|| {
            self.virtual_axes.push((atom, occurrence));
            AxisId::new(self.virtual_axes.len() - 1)
        })
    }

    /// The extent of a virtual axis in this call.
    fn axis_len(&self, axis: AxisId) -> i64 {
        self.atoms.extent(self.virtual_axes[axis.index()].0)
    }

    /// One axis per atom of a node.
    fn own_axes(&mut self, node: NodeId) -> Vec<AxisId> {
        let atoms = self.atoms.of(node).to_vec();
        (0..atoms.len())
            .map(|i| {
                let occurrence = atoms[..i].iter().filter(|a| **a == atoms[i]).count();
                self.axis(atoms[i], occurrence)
            })
            .collect()
    }

    /// A node that is a result of a reduction.
    fn result_of(&self, red: RedId) -> NodeId {
        self.red(red).results.iter().flatten().next().copied().expect("a reduction has a node")
    }

    /// The index of a reduction's results over their own axes.
    fn own_index(&mut self, red: RedId) -> Idx {
        let node = self.result_of(red);
        self.own_axes(node).into_iter().map(IndexExpr::from).collect()
    }

    /// The value of an expression without axes.
    fn value(&self, e: &IndexExpr) -> i64 {
        e.eval(&Uniform(&self.syms)).expect("sizes of existing tensors do not overflow")
    }
}

struct Uniform<'a>(&'a [i64]);

impl IndexEnv for Uniform<'_> {
    fn axis(&self, _: AxisId) -> i64 {
        unreachable!("the expression is uniform")
    }
    fn sym(&self, s: SymId) -> i64 {
        self.0[s.index()]
    }
    fn value(&self, _: crate::id::ValueId) -> i64 {
        unreachable!("the expression is uniform")
    }
}
