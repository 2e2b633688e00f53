//! Program and operands to a typed graph: dtypes, broadcasting, and ops inlined down to primitives.
//!
//! Every op call binds its arguments, promotes the values by the op's rule, and evaluates the op's body
//! in its place, until only [intrinsics](super::intrinsic) are left. Equal nodes are one node, dead
//! nodes are dropped at the end.
//!
//! Invariants: inlining recurses at most [`MAX_INLINE`] deep and visits at most [`MAX_STEPS`] nodes,
//! whatever ops call each other; within one program nothing recurses.
//!
//! Literals stay literals as long as they meet no tensor, and are folded as Python folds them. A run-time
//! number starts as a slot of 8 bytes (i64, f64 or bool); if all its uses convert it to one dtype, the
//! slot takes that dtype and launch converts.
//!
//! f16 and bf16 are dtypes of values, for promotion and results, and not of nodes: the node of such a
//! value is f32. A row computes in f32 and its result is of the promoted dtype again; nothing is rounded
//! but outputs, the results of `to`, and what is compared ([`DTypeRule::Compare`]).

use super::contract::contract;
use super::{Graph, GraphOp, Node, TensorMeta};
use crate::dtype::{Category, DType, Literal, Priority, result_type};
use crate::expr::{Attr, Expr, Program};
use crate::id::{NodeId, ScalarId};
use crate::op::{OpDef, OpTable};
use crate::prim::Prim;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// Deepest nesting of op bodies.
pub const MAX_INLINE: usize = 64;
/// Most program nodes that one call may visit.
pub const MAX_STEPS: usize = 1 << 22;

/// An argument of a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    /// A tensor: the next [`GraphOp::Input`].
    Tensor(TensorMeta),
    /// A Python number whose value is given at run time: the next [`GraphOp::Scalar`].
    Number(Category),
    /// A value that is part of the call's structure.
    Literal(Attr),
}

/// What lowering depends on beside operands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LowerOptions {
    /// The dtype of Python floats, and of integers where a float is needed.
    pub default_dtype: DType,
    /// The lower dtype of `torch.autocast`, when it is on.
    pub autocast: Option<DType>,
}

impl Default for LowerOptions {
    fn default() -> LowerOptions {
        LowerOptions { default_dtype: DType::F32, autocast: None }
    }
}

/// The Python exception that PyTorch raises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LowerErrorKind {
    /// TypeError
    Type,
    /// ValueError
    Value,
    /// IndexError
    Index,
    /// RuntimeError
    Runtime,
    /// NotImplementedError
    NotImplemented,
    /// NameError
    Name,
    /// A bug in an op's definition.
    Internal,
}

/// Why operands do not fit a program, worded as PyTorch words it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LowerError {
    kind: LowerErrorKind,
    message: String,
}

impl LowerError {
    pub(super) fn new(kind: LowerErrorKind, message: impl Into<String>) -> LowerError {
        LowerError { kind, message: message.into() }
    }

    /// Which exception it is.
    pub fn kind(&self) -> LowerErrorKind {
        self.kind
    }
}

impl fmt::Display for LowerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LowerError {}

pub(super) type Lowered<T> = Result<T, LowerError>;

/// What an expression is worth while it is lowered.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    /// A node. `weak`: it is made of Python numbers only, and promotes as one. `dtype`: what it promotes as;
    /// the node's own dtype is `dtype.compute()`.
    Node { id: NodeId, weak: bool, dtype: DType },
    /// Known now.
    Attr(Attr),
}

impl Value {
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Value::Node { .. } | Value::Attr(Attr::Bool(_) | Attr::Int(_) | Attr::Float(_)))
    }
}

/// Whose text is evaluated.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The op whose body it is; `None` for the program of the call.
    pub(super) op: Option<&'a OpDef>,
    /// The dtype its values were promoted to, that of their nodes.
    pub(super) dtype: DType,
    /// Nesting of bodies.
    pub(super) depth: usize,
}

impl Scope<'_> {
    /// The op's name, for errors.
    pub(super) fn name(&self) -> &str {
        self.op.map_or("expression", |op| &op.name)
    }
}

/// Instantiates `program` for these operands. Tensors are the graph's inputs and numbers its scalars,
/// each in order.
pub fn lower(
    program: &Program,
    table: &OpTable,
    operands: &[Operand],
    options: LowerOptions,
) -> Result<Graph, LowerError> {
    let mut l = Lowerer {
        graph: Graph::default(),
        known: HashMap::new(),
        table,
        default: options.default_dtype,
        autocast: options.autocast,
        steps: 0,
        calls: (!program.gradients().is_empty()).then(Vec::new),
        written: program.is_contracted().then(HashSet::new),
    };
    let params = l.operands(program, operands)?;
    let scope = Scope { op: None, dtype: options.default_dtype.compute(), depth: 0 };
    let mut outputs: Vec<(NodeId, DType)> = Vec::new();
    for value in l.program(program, &params, scope)? {
        if let Value::Attr(Attr::Str(_) | Attr::List(_) | Attr::None) = value {
            return Err(LowerError::new(LowerErrorKind::Type, "an expression must give a tensor or a number"));
        }
        let dtype = l.promote(std::slice::from_ref(&value));
        outputs.push((l.node(&value, dtype)?, dtype));
    }
    if !program.gradients().is_empty() {
        // Casts are operations like others now; the texts of gradients are ours.
        l.autocast = None;
        let wrt: Vec<Value> = program.gradients().iter().map(|&p| params[p].clone()).collect();
        let dtypes: Vec<DType> = wrt.iter().map(|v| l.promote(std::slice::from_ref(v))).collect();
        if program.seeds().is_empty() {
            let gradients = l.gradients_of_number(outputs[0].0, &wrt)?;
            if program.is_valueless() {
                outputs.remove(0);
            }
            outputs.extend(gradients.into_iter().zip(dtypes));
        } else {
            let seeds = program.seeds().iter().map(|&p| params[p].clone()).collect::<Vec<_>>();
            let results: Vec<NodeId> = outputs.iter().map(|(id, _)| *id).collect();
            let gradients = l.pullback(&results, &seeds, &wrt)?;
            outputs = gradients.into_iter().zip(dtypes).collect();
        }
    }
    for (id, dtype) in outputs {
        let id = l.stored(id, dtype);
        l.graph.outputs.push(id);
    }
    narrow_scalars(&mut l.graph);
    Ok(compact(match &l.written {
        Some(written) => contract(l.graph, written),
        None => l.graph,
    }))
}

pub(super) struct Lowerer<'a> {
    pub(super) graph: Graph,
    known: HashMap<(GraphOp, DType, Vec<i64>), NodeId>,
    pub(super) table: &'a OpTable,
    pub(super) default: DType,
    /// See [`LowerOptions::autocast`]; None within a built-in op, as in torch's own kernels.
    pub(super) autocast: Option<DType>,
    steps: usize,
    /// Calls in the order of their ends, kept when a gradient is asked for.
    pub(super) calls: Option<Vec<Inlined>>,
    /// Results of what is called outside of built-in bodies, kept when products and sums are contracted.
    pub(super) written: Option<HashSet<NodeId>>,
}

/// A call of an op that has been inlined.
pub(super) struct Inlined {
    pub(super) op: Arc<OpDef>,
    /// Arguments, promoted.
    pub(super) params: Vec<Value>,
    pub(super) dtype: DType,
    pub(super) result: NodeId,
}

impl Lowerer<'_> {
    fn operands(&mut self, program: &Program, operands: &[Operand]) -> Lowered<Vec<Value>> {
        let params = program.params();
        let names = || params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        let required = params.iter().take_while(|p| p.default.is_none()).count();
        if operands.len() > params.len() || operands.len() < required {
            let name = program.name.as_deref().unwrap_or("expression");
            let message =
                format!("{name}({}) takes {} arguments but {} were given", names(), params.len(), operands.len());
            return Err(LowerError::new(LowerErrorKind::Type, message));
        }
        let given = operands.iter().map(|operand| {
            Ok(match operand {
                Operand::Tensor(meta) => {
                    self.graph.inputs.push(meta.clone());
                    let op = GraphOp::Input(self.graph.inputs.len() - 1);
                    let id = self.push(op, meta.dtype, meta.shape.clone());
                    Value::Node { id: self.convert(id, meta.dtype), weak: false, dtype: meta.dtype }
                }
                Operand::Number(category) => {
                    let dtype = match category {
                        Category::Bool => DType::Bool,
                        Category::Int => DType::I64,
                        Category::Float => DType::F64,
                    };
                    self.graph.scalars.push(dtype);
                    let op = GraphOp::Scalar(ScalarId::new(self.graph.scalars.len() - 1));
                    Value::Node { id: self.push(op, dtype, vec![]), weak: true, dtype }
                }
                Operand::Literal(attr) => Value::Attr(attr.clone()),
            })
        });
        let mut values = given.collect::<Lowered<Vec<Value>>>()?;
        let defaults = params[values.len()..].iter();
        values.extend(defaults.map(|p| Value::Attr(p.default.clone().expect("counted above"))));
        Ok(values)
    }

    /// Appends a node, or finds the equal one.
    pub(super) fn push(&mut self, op: GraphOp, dtype: DType, shape: Vec<i64>) -> NodeId {
        let key = (op, dtype, shape);
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        let (op, dtype, shape) = key.clone();
        let id = self.graph.push(op, dtype, shape);
        self.known.insert(key, id);
        id
    }

    pub(super) fn dtype(&self, id: NodeId) -> DType {
        self.graph.node(id).dtype
    }

    pub(super) fn shape(&self, id: NodeId) -> &[i64] {
        &self.graph.node(id).shape
    }

    /// PyTorch's result type of the values that are numbers or tensors.
    pub(super) fn promote(&self, values: &[Value]) -> DType {
        let operands: Vec<(DType, Priority)> = values
            .iter()
            .filter_map(|v| match v {
                Value::Node { id, weak, dtype } => {
                    let strong = if self.shape(*id).is_empty() { Priority::ZeroDim } else { Priority::Dim };
                    Some((*dtype, if *weak { Priority::Number } else { strong }))
                }
                Value::Attr(Attr::Bool(_)) => Some((DType::Bool, Priority::Number)),
                Value::Attr(Attr::Int(_)) => Some((DType::I64, Priority::Number)),
                Value::Attr(Attr::Float(_)) => Some((DType::F64, Priority::Number)),
                Value::Attr(_) => None,
            })
            .collect();
        result_type(&operands, self.default)
    }

    /// As [`Self::promote`], but in a body, where literals that meet no value are of the body's dtype:
    /// floats are, and integers have its size.
    pub(super) fn promote_in(&self, values: &[Value], scope: Scope<'_>) -> DType {
        let is = |v: &Value, f: fn(&Attr) -> bool| matches!(v, Value::Attr(a) if f(a));
        // Numbers that the rule made of the body's dtype stay so among themselves: `1 - weight` is f64 in an
        // op over f64 tensors, whatever the default dtype.
        let weak = |v: &Value| !matches!(v, Value::Node { weak: false, .. });
        let made = |v: &Value| matches!(v, Value::Node { id, .. } if self.dtype(*id) == scope.dtype);
        if scope.dtype.is_float() && values.iter().all(weak) && values.iter().any(made) {
            return scope.dtype;
        }
        if values.iter().any(|v| matches!(v, Value::Node { .. }))
            || values.iter().all(|v| is(v, |a| matches!(a, Attr::Bool(_))))
        {
            return self.promote(values);
        }
        match scope.dtype {
            DType::F32 if values.iter().all(|v| is(v, |a| matches!(a, Attr::Int(_)))) => DType::I32,
            DType::F64 if values.iter().all(|v| is(v, |a| matches!(a, Attr::Int(_)))) => DType::I64,
            DType::Bool => self.promote(values),
            dtype => dtype,
        }
    }

    /// The value as the node of a value of this dtype.
    pub(super) fn node(&mut self, value: &Value, dtype: DType) -> Lowered<NodeId> {
        let dtype = dtype.compute();
        let literal = match value {
            Value::Node { id, .. } => return Ok(self.convert(*id, dtype)),
            Value::Attr(Attr::Bool(b)) => Literal::from_f64(dtype, f64::from(u8::from(*b))),
            Value::Attr(Attr::Int(i)) if dtype == DType::Bool => Literal::int(dtype, *i),
            Value::Attr(Attr::Int(i)) if !dtype.is_float() => Literal::int(dtype, *i),
            Value::Attr(Attr::Int(i)) if dtype == DType::F32 => {
                Literal { dtype, bits: u64::from((*i as f32).to_bits()) }
            }
            Value::Attr(Attr::Int(i)) => Literal::float(dtype, *i as f64),
            Value::Attr(Attr::Float(f)) if dtype == DType::Bool => Literal::int(dtype, i64::from(*f != 0.0)),
            Value::Attr(Attr::Float(f)) => Literal::from_f64(dtype, *f),
            Value::Attr(other) => {
                let message = format!("expected a tensor or a number, but got {other}");
                return Err(LowerError::new(LowerErrorKind::Type, message));
            }
        };
        Ok(self.push(GraphOp::Const(literal), dtype, vec![]))
    }

    /// The node as that of a value of this dtype; constants are converted now.
    pub(super) fn convert(&mut self, id: NodeId, dtype: DType) -> NodeId {
        self.stored(id, dtype.compute())
    }

    /// The node of a value of f16 or bf16, rounded to it.
    pub(super) fn rounded(&mut self, id: NodeId, dtype: DType) -> NodeId {
        let stored = self.stored(id, dtype);
        self.convert(stored, dtype)
    }

    /// The node in this dtype itself, as memory has it.
    fn stored(&mut self, id: NodeId, dtype: DType) -> NodeId {
        let from = self.dtype(id);
        if from == dtype {
            return id;
        }
        // Kernels convert 16-bit floats to and from f32 only.
        let id =
            if dtype.is_half() || from.is_half() && dtype != DType::F32 { self.stored(id, DType::F32) } else { id };
        let node = self.graph.node(id);
        if let GraphOp::Const(c) = node.op {
            let bits = super::eval::eval_prim(Prim::Convert, dtype, c.dtype, &[c.bits]).expect("conversions are total");
            return self.push(GraphOp::Const(Literal { dtype, bits }), dtype, vec![]);
        }
        let shape = node.shape.clone();
        self.push(GraphOp::Prim(Prim::Convert, dtype, vec![id]), dtype, shape)
    }

    /// The program's results for these parameters.
    pub(super) fn program(&mut self, program: &Program, params: &[Value], scope: Scope<'_>) -> Lowered<Vec<Value>> {
        // An error counts only where its value is used: a static condition may discard it.
        let mut values: Vec<Result<Value, Arc<LowerError>>> = Vec::with_capacity(program.nodes().len());
        for node in program.nodes() {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(LowerError::new(
                    LowerErrorKind::Runtime,
                    "the expression is too large once its ops are inlined",
                ));
            }
            let value = match node {
                Expr::Param(i) => Ok(params[*i].clone()),
                Expr::Literal(a) => Ok(Value::Attr(a.clone())),
                Expr::Call { op, args, kwargs } => {
                    let at = |id: &crate::id::ExprId| values[id.index()].clone();
                    // In an op's body it is a static choice; what users write has the shape and dtype of both.
                    let of_both = || {
                        let values: Vec<_> = args[1..].iter().map(at).collect();
                        let is_node = |v: &Result<Value, _>| matches!(v, Ok(Value::Node { .. }));
                        !scope.op.is_some_and(|op| op.builtin)
                            && values.iter().any(is_node)
                            && values.iter().all(|v| v.as_ref().is_ok_and(Value::is_number))
                    };
                    match args.first().map(at) {
                        Some(Ok(Value::Attr(Attr::Bool(c)))) if op == "where" && args.len() == 3 && !of_both() => {
                            at(&args[if c { 1 } else { 2 }])
                        }
                        _ => {
                            let args: Result<Vec<Value>, _> = args.iter().map(at).collect();
                            let named: Result<Vec<(&str, Value)>, _> =
                                kwargs.iter().map(|(k, id)| at(id).map(|v| (k.as_str(), v))).collect();
                            match (args, named) {
                                (Ok(args), Ok(named)) => self.call(op, &args, &named, scope).map_err(Arc::new),
                                (Err(e), _) | (_, Err(e)) => Err(e),
                            }
                        }
                    }
                }
            };
            values.push(value);
        }
        let outputs = program.outputs().iter();
        outputs.map(|id| values[id.index()].clone().map_err(Arc::unwrap_or_clone)).collect()
    }
}

/// A slot that is only ever converted to one dtype takes that dtype.
fn narrow_scalars(graph: &mut Graph) {
    for s in 0..graph.nodes.len() {
        let GraphOp::Scalar(slot) = graph.nodes[s].op else { continue };
        let id = NodeId::new(s);
        let mut target = None;
        let mut unique = !graph.outputs.contains(&id);
        for node in &graph.nodes {
            let mut uses = false;
            node.op.for_operands(&mut |o| uses |= o == id);
            match node.op {
                GraphOp::Prim(Prim::Convert, to, _) if uses => {
                    unique &= to != DType::Bool && target.is_none_or(|t| t == to);
                    target = Some(to);
                }
                _ => unique &= !uses,
            }
        }
        let Some(dtype) = target.filter(|_| unique) else { continue };
        graph.scalars[slot.index()] = dtype;
        graph.nodes[s].dtype = dtype;
        // Converts of the slot are the slot; `compact` drops them.
        let converts: Vec<bool> =
            graph.nodes.iter().map(|n| n.op == GraphOp::Prim(Prim::Convert, dtype, vec![id])).collect();
        let redirect = |o: NodeId| if converts[o.index()] { id } else { o };
        graph.nodes.iter_mut().for_each(|n| n.op.map_operands(&mut |o| redirect(o)));
        graph.outputs.iter_mut().for_each(|o| *o = redirect(*o));
    }
}

/// Which nodes some output needs.
pub(super) fn needed(graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    graph.outputs.iter().for_each(|o| live[o.index()] = true);
    for i in (0..graph.nodes.len()).rev() {
        if live[i] {
            graph.nodes[i].op.for_operands(&mut |o| live[o.index()] = true);
        }
    }
    live
}

/// Drops nodes that no output needs.
fn compact(graph: Graph) -> Graph {
    let live = needed(&graph);
    let mut renumbered = vec![NodeId(0); graph.nodes.len()];
    let mut nodes: Vec<Node> = Vec::new();
    for (i, mut node) in graph.nodes.into_iter().enumerate().filter(|(i, _)| live[*i]) {
        node.op.map_operands(&mut |o| renumbered[o.index()]);
        renumbered[i] = NodeId::new(nodes.len());
        nodes.push(node);
    }
    let outputs = graph.outputs.iter().map(|o| renumbered[o.index()]).collect();
    Graph { nodes, outputs, inputs: graph.inputs, scalars: graph.scalars }
}
