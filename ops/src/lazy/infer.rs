//! What an operation's result will be, before it runs: dtype, shape and strides, and the errors of the call.
//! Lowering tells; its answers are kept by operation and operands, so that a loop asks once.

use super::tensor::{Function, Operand};
use crate::engine::{self, Layout, PlanOptions};
use crate::error::Result;
use rustc_hash::{FxHashMap, FxHasher};
use rusttorch_ir::dtype::{Category, DType};
use rusttorch_ir::expr::Attr;
use rusttorch_ir::graph::{self, Graph, GraphOp};
use rusttorch_ir::kernel::Reduction;
use rusttorch_ir::prim::Prim;
use rusttorch_runtime::View;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Answers kept; beyond that all are forgotten.
const KEPT: usize = 4096;

/// What is known of a call.
pub(super) struct Signature {
    /// The results' layouts, each in memory of its own.
    pub results: Vec<Arc<View>>,
    /// A value may be an error (an index, an integer division), or needs its own rounding: runs in the call.
    pub eager: bool,
    /// Its bits depend on an order of summation.
    pub ordered: bool,
}

/// An operand as far as the result depends on it.
#[derive(PartialEq)]
enum Seen {
    /// Offsets do not matter.
    Tensor(Arc<View>),
    Number(Category),
    Literal(Attr),
}

struct Entry {
    function: Function,
    default: DType,
    operands: Vec<Seen>,
    signature: Arc<Signature>,
}

type Known = FxHashMap<u64, Vec<Entry>>;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

fn same_layout(a: &View, b: &View) -> bool {
    a.dtype() == b.dtype() && a.shape() == b.shape() && a.strides() == b.strides()
}

fn matches(seen: &Seen, operand: &Operand) -> bool {
    match (seen, operand) {
        (Seen::Tensor(view), Operand::Tensor(t)) => {
            Arc::ptr_eq(view, t.shared_layout()) || same_layout(view, t.layout())
        }
        (Seen::Number(a), Operand::Number(b, _)) => a == b,
        (Seen::Literal(a), Operand::Literal(b)) => a == b,
        _ => false,
    }
}

fn key(function: &Function, operands: &[Operand], default: DType) -> u64 {
    let mut hasher = FxHasher::default();
    (Arc::as_ptr(&function.0).addr(), default).hash(&mut hasher);
    for operand in operands {
        match operand {
            Operand::Tensor(t) => (t.layout().dtype(), t.layout().shape(), t.layout().strides()).hash(&mut hasher),
            Operand::Number(category, _) => category.hash(&mut hasher),
            Operand::Literal(attr) => attr.hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// What a call of `function` gives, or why it is refused.
pub(super) fn signature(function: &Function, operands: &[Operand], default: DType) -> Result<Arc<Signature>> {
    let key = key(function, operands, default);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |e: &&Entry| {
        Arc::ptr_eq(&e.function.0, &function.0)
            && e.default == default
            && e.operands.len() == operands.len()
            && e.operands.iter().zip(operands).all(|(s, o)| matches(s, o))
    };
    if let Some(entry) = known().get(&key).and_then(|entries| entries.iter().find(fits)) {
        return Ok(entry.signature.clone());
    }
    let metas: Vec<graph::Operand> = operands.iter().map(meta).collect();
    let options = PlanOptions { default_dtype: default, layout: Layout::Torch, autocast: None };
    let (graph, outputs) = engine::typed(&function.0, &metas, options)?;
    let results: Vec<Arc<View>> = outputs.iter().map(|m| Ok(Arc::new(View::of_result(m)?))).collect::<Result<_>>()?;
    let half = |v: &Arc<View>| matches!(v.dtype(), DType::F16 | DType::BF16);
    let signature = Arc::new(Signature {
        eager: results.len() != 1 || results.iter().any(half) || may_fail(&graph),
        ordered: is_ordered(&graph),
        results,
    });
    let seen = operands.iter().map(|o| match o {
        Operand::Tensor(t) => Seen::Tensor(t.shared_layout().clone()),
        Operand::Number(category, _) => Seen::Number(*category),
        Operand::Literal(attr) => Seen::Literal(attr.clone()),
    });
    let entry = Entry { function: function.clone(), default, operands: seen.collect(), signature: signature.clone() };
    let mut known = known();
    if known.len() >= KEPT {
        known.clear();
    }
    known.entry(key).or_default().push(entry);
    Ok(signature)
}

/// The operand as lowering sees it.
fn meta(operand: &Operand) -> graph::Operand {
    match operand {
        Operand::Tensor(t) => graph::Operand::Tensor(t.layout().meta()),
        Operand::Number(category, _) => graph::Operand::Number(*category),
        Operand::Literal(attr) => graph::Operand::Literal(attr.clone()),
    }
}

fn may_fail(graph: &Graph) -> bool {
    let fails = |op: &GraphOp| matches!(op, GraphOp::Gather { .. } | GraphOp::Prim(Prim::IDiv | Prim::IRem, ..));
    graph.nodes.iter().any(|n| fails(&n.op))
}

fn is_ordered(graph: &Graph) -> bool {
    graph.nodes.iter().any(|n| {
        let sums = matches!(n.op, GraphOp::Reduce { kind: Reduction::Sum | Reduction::Prod, .. });
        sums && n.dtype.is_float()
    })
}
