//! Reverse-mode gradients of a graph that is being lowered.
//!
//! The nodes up to the loss are visited from last to first; each hands the gradient of its value (its
//! *adjoint*) on to its operands, by the rule of its primitive, reduction or view. An op call whose row
//! has gradients of its own ([`crate::op::Row::grad`]) is one step instead: its adjoint goes to its
//! arguments, and the nodes of its body see nothing of it. So approximations, made of bit operations,
//! are differentiated as the functions they stand for. A row that says why it has none
//! ([`crate::op::Row::no_grad`]) is an error that ends with its reason.
//!
//! Invariants:
//! - Only nodes of float dtype that depend on what is asked for (*active* nodes) have adjoints.
//! - An adjoint has the shape of its node and the dtype it is computed in: f32 for what was rounded to f16
//!   or bf16, which hands its gradient on as it is.
//! - A call is a step only if its result comes after all its active arguments, so that adjoints are
//!   complete when they are used. Otherwise (its body gave an argument back) primitives decide.
//!
//! At a kink gradients are PyTorch's: `abs` has 0, `maximum` and `minimum` halves, `amax` shares evenly.

use super::lower::{Inlined, LowerError, LowerErrorKind, Lowered, Lowerer, Scope, Value};
use super::{GraphOp, View};
use crate::dtype::{DType, Literal};
use crate::expr::Attr;
use crate::id::NodeId;
use crate::kernel::Reduction;
use crate::op::OpDef;
use crate::prim::Prim;
use std::collections::HashMap;

impl Lowerer<'_> {
    /// Gradients of `loss`, one number, with respect to these tensor operands, as nodes of such values.
    pub(super) fn gradients_of_number(&mut self, loss: NodeId, wrt: &[Value]) -> Lowered<Vec<NodeId>> {
        let rank = self.shape(loss).len();
        if rank != 0 {
            let message = format!("Expected f(*args) to return a scalar tensor, got tensor with {rank} dims");
            return Err(LowerError::new(LowerErrorKind::Runtime, message));
        }
        if !self.dtype(loss).is_float() {
            return Err(self.no_float(loss));
        }
        let dtype = self.dtype(loss);
        let one = self.push(GraphOp::Const(Literal::float(dtype, 1.0)), dtype, vec![]);
        self.gradients(&[(loss, one)], wrt)
    }

    /// Gradients with respect to `wrt`, those of `results` being the operands `seeds`.
    pub(super) fn pullback(&mut self, results: &[NodeId], seeds: &[Value], wrt: &[Value]) -> Lowered<Vec<NodeId>> {
        let mut pairs = Vec::with_capacity(results.len());
        for (i, (&result, seed)) in results.iter().zip(seeds).enumerate() {
            let error = |m: String| Err(LowerError::new(LowerErrorKind::Runtime, m));
            if !self.dtype(result).is_float() {
                return Err(self.no_float(result));
            }
            let Value::Node { id: seed, weak: false, .. } = *seed else {
                return error("gradients can be either Tensors or None, but got a number".to_owned());
            };
            if self.shape(seed) != self.shape(result) {
                return error(format!(
                    "Mismatch in shape: grad_output[{i}] has a shape of {:?} and output[{i}] has a shape of {:?}.",
                    self.shape(seed),
                    self.shape(result)
                ));
            }
            pairs.push((result, seed));
        }
        self.gradients(&pairs, wrt)
    }

    /// The error that asking for the gradient of a result raises which is no float: its row's reason, if it has one.
    fn no_float(&self, result: NodeId) -> LowerError {
        // The outermost call comes last.
        let mut calls = self.calls.iter().flatten();
        match calls.rfind(|c| c.result == result && !c.op.no_grad.is_empty()) {
            Some(call) => not_differentiable(&call.op),
            None => {
                LowerError::new(LowerErrorKind::Runtime, "grad can be implicitly created only for real scalar outputs")
            }
        }
    }

    /// Gradients with respect to `wrt`; each result comes with its adjoint.
    fn gradients(&mut self, seeds: &[(NodeId, NodeId)], wrt: &[Value]) -> Lowered<Vec<NodeId>> {
        let mut inputs = Vec::with_capacity(wrt.len());
        for value in wrt {
            match value {
                Value::Node { id, weak: false, .. } if self.dtype(*id).is_float() => inputs.push(*id),
                _ => {
                    let message = "only Tensors of floating point dtype can require gradients";
                    return Err(LowerError::new(LowerErrorKind::Runtime, message));
                }
            }
        }
        let calls = self.calls.take().unwrap_or_default();
        let last = seeds.iter().map(|(result, _)| result.index()).max().unwrap_or(0);
        let mut active = vec![false; last + 1];
        for id in &inputs {
            if let Some(a) = active.get_mut(id.index()) {
                *a = true;
            }
        }
        for i in 0..active.len() {
            let op = &self.graph.nodes[i].op;
            // An extent depends on a shape, not on values.
            if !matches!(op, GraphOp::Extent { .. }) {
                let mut any = active[i];
                op.for_operands(&mut |o| any |= active[o.index()]);
                active[i] = any;
            }
        }
        // The outermost call that gave a node comes last.
        let steps: HashMap<NodeId, &Inlined> =
            calls.iter().filter(|c| !c.op.grad.is_empty() || !c.op.no_grad.is_empty()).map(|c| (c.result, c)).collect();
        let mut reverse = Reverse { l: self, active, adjoints: HashMap::new(), calls: &calls };
        for &(result, seed) in seeds {
            reverse.give(result, seed)?;
        }
        for i in (0..=last).rev() {
            let id = NodeId::new(i);
            // The adjoint of what is asked for is kept; an input has no operands.
            let Some(&adjoint) = reverse.adjoints.get(&id) else { continue };
            match steps.get(&id) {
                Some(call) if reverse.comes_after_arguments(call) => reverse.call(call, adjoint)?,
                _ => reverse.node(id, adjoint)?,
            }
        }
        let adjoints = reverse.adjoints;
        let gradients = inputs.iter().map(|id| match adjoints.get(id) {
            Some(&adjoint) => Ok(adjoint),
            None => {
                let (dtype, shape) = (self.dtype(*id), self.shape(*id).to_vec());
                let zero = self.push(GraphOp::Const(Literal::float(dtype, 0.0)), dtype, vec![]);
                Ok(self.broadcast_node(zero, shape))
            }
        });
        gradients.collect()
    }

    /// The node in this shape.
    fn broadcast_node(&mut self, id: NodeId, shape: Vec<i64>) -> NodeId {
        let dtype = self.dtype(id);
        if self.shape(id) == shape { id } else { self.push(GraphOp::View(View::Broadcast, id), dtype, shape) }
    }
}

/// The error that asking for the gradient of such an op raises.
fn not_differentiable(op: &OpDef) -> LowerError {
    let message = format!("the derivative for '{}' is not implemented: {}", op.name, op.no_grad);
    LowerError::new(LowerErrorKind::NotImplemented, message)
}

struct Reverse<'a, 'b> {
    l: &'a mut Lowerer<'b>,
    active: Vec<bool>,
    adjoints: HashMap<NodeId, NodeId>,
    calls: &'a [Inlined],
}

impl Reverse<'_, '_> {
    fn constant(&mut self, dtype: DType, value: f64) -> NodeId {
        self.l.push(GraphOp::Const(Literal::float(dtype, value)), dtype, vec![])
    }

    fn is_active(&self, id: NodeId) -> bool {
        self.active.get(id.index()).is_some_and(|a| *a) && self.l.dtype(id).is_float()
    }

    fn lanes(&mut self, prim: Prim, ids: &[NodeId]) -> Lowered<NodeId> {
        self.l.lanes(prim, ids)
    }

    fn select(&mut self, mask: NodeId, a: NodeId, b: NodeId) -> Lowered<NodeId> {
        let shape = [a, b]
            .iter()
            .try_fold(self.l.shape(mask).to_vec(), |s, id| super::shapes::broadcast(&s, self.l.shape(*id)))?;
        let dtype = self.l.dtype(a);
        Ok(self.l.push(GraphOp::Prim(Prim::Select, dtype, vec![mask, a, b]), dtype, shape))
    }

    /// mask ? a : 0
    fn where_on(&mut self, mask: NodeId, a: NodeId) -> Lowered<NodeId> {
        let zero = self.constant(self.l.dtype(a), 0.0);
        self.select(mask, a, zero)
    }

    /// Adds `part` to the adjoint of `id`, summed over the dimensions along which `id` was repeated.
    fn give(&mut self, id: NodeId, part: NodeId) -> Lowered<()> {
        if !self.is_active(id) {
            return Ok(());
        }
        let dtype = self.l.dtype(id);
        let shape = self.l.shape(id).to_vec();
        let mut part = part;
        let from = self.l.shape(part).to_vec();
        if from != shape {
            let lead = from.len().saturating_sub(shape.len());
            let repeated = |d: &usize| *d < lead || (shape[d - lead] == 1 && from[*d] != 1);
            let dims: Vec<usize> = (0..from.len()).filter(repeated).collect();
            if !dims.is_empty() {
                part = self.sum(part, dims);
            }
            // Extents of 1 come back, and what the rule left out is repeated.
            let kept: i64 = self.l.shape(part).iter().product();
            part = if kept == shape.iter().product::<i64>() && from.len() >= shape.len() {
                self.l.reshaped(part, shape)
            } else {
                self.l.broadcast_node(part, shape)
            };
        }
        part = self.l.convert(part, dtype);
        let total = match self.adjoints.get(&id) {
            Some(&sum) => self.lanes(Prim::Add, &[sum, part])?,
            None => part,
        };
        self.adjoints.insert(id, total);
        Ok(())
    }

    fn sum(&mut self, x: NodeId, dims: Vec<usize>) -> NodeId {
        let dtype = self.l.dtype(x);
        let extents = self.l.shape(x).iter().enumerate();
        let shape: Vec<i64> = extents.filter(|(d, _)| !dims.contains(d)).map(|(_, &n)| n).collect();
        let op = GraphOp::Reduce { kind: Reduction::Sum, arg: x, dims, result: 0 };
        let sum = self.l.push(op, dtype, shape.clone());
        // The sum of nothing is -0.0 in a kernel and 0.0 to a user.
        let zero = self.constant(dtype, 0.0);
        self.l.push(GraphOp::Prim(Prim::Add, dtype, vec![sum, zero]), dtype, shape)
    }

    fn comes_after_arguments(&self, call: &Inlined) -> bool {
        call.params.iter().all(|p| match p {
            Value::Node { id, .. } => *id < call.result || !self.is_active(*id),
            Value::Attr(_) => true,
        })
    }

    /// One step over an op call, by its row's gradients or its reason for none.
    fn call(&mut self, call: &Inlined, adjoint: NodeId) -> Lowered<()> {
        let given = |i: usize| call.op.grad.iter().any(|(param, _)| *param == call.op.params[i].name);
        let active = |(i, p): (usize, &Value)| matches!(p, Value::Node { id, .. } if self.is_active(*id)) && !given(i);
        if !call.op.no_grad.is_empty() && call.params.iter().enumerate().any(active) {
            return Err(not_differentiable(&call.op));
        }
        let internal = |e: &dyn std::fmt::Display| {
            LowerError::new(LowerErrorKind::Internal, format!("in the gradient of {}: {e}", call.op.name))
        };
        let scope = Scope { op: Some(&call.op), dtype: call.dtype, depth: 1 };
        let mut params = call.params.clone();
        params.extend([call.result, adjoint].map(|id| Value::Node { id, weak: false, dtype: self.l.dtype(id) }));
        for (i, text) in call.op.gradients().map_err(|e| internal(&e))? {
            let Value::Node { id, .. } = call.params[i] else { continue };
            if self.is_active(id) {
                let value = self.l.program(&text, &params, scope)?;
                if matches!(value[0], Value::Attr(Attr::None)) {
                    continue;
                }
                let part = self.l.node(&value[0], self.l.dtype(id))?;
                self.give(id, part)?;
            }
        }
        Ok(())
    }

    fn undefined<T>(&self, id: NodeId) -> Lowered<T> {
        let call = self.calls.iter().filter(|c| c.result >= id).min_by_key(|c| c.result);
        let name = call.map_or("this operation", |c| &c.op.name);
        let message = format!("the derivative for '{name}' is not implemented");
        Err(LowerError::new(LowerErrorKind::NotImplemented, message))
    }

    fn node(&mut self, id: NodeId, g: NodeId) -> Lowered<()> {
        match self.l.graph.node(id).op.clone() {
            // Functions of nothing, and of indices only.
            GraphOp::Input(_)
            | GraphOp::Scalar(_)
            | GraphOp::Const(_)
            | GraphOp::Iota { .. }
            | GraphOp::Extent { .. }
            | GraphOp::Lookup(..) => Ok(()),
            GraphOp::Prim(prim, _, args) => self.prim(id, prim, &args, g),
            GraphOp::Call(..) => self.undefined(id),
            GraphOp::Cold { mask, slow, fast } => self.choice(mask, slow, fast, g),
            GraphOp::Reduce { kind, arg, dims, .. } => self.reduce(id, kind, arg, &dims, g),
            GraphOp::View(view, arg) => self.view(&view, arg, g),
            GraphOp::Gather { source, index, dim } => self.gather(source, index, dim, g),
        }
    }

    fn choice(&mut self, mask: NodeId, a: NodeId, b: NodeId, g: NodeId) -> Lowered<()> {
        if self.is_active(a) {
            let part = self.where_on(mask, g)?;
            self.give(a, part)?;
        }
        if self.is_active(b) {
            let zero = self.constant(self.l.dtype(g), 0.0);
            let part = self.select(mask, zero, g)?;
            self.give(b, part)?;
        }
        Ok(())
    }

    fn prim(&mut self, y: NodeId, prim: Prim, args: &[NodeId], g: NodeId) -> Lowered<()> {
        let at = |i: usize| args[i];
        let dtype = self.l.dtype(y);
        match prim {
            Prim::Add => {
                self.give(at(0), g)?;
                self.give(at(1), g)
            }
            Prim::Sub => {
                self.give(at(0), g)?;
                if self.is_active(at(1)) {
                    let part = self.lanes(Prim::Neg, &[g])?;
                    self.give(at(1), part)?;
                }
                Ok(())
            }
            Prim::Mul | Prim::Fma => {
                for (i, other) in [(0, 1), (1, 0)] {
                    if self.is_active(at(i)) {
                        let part = self.lanes(Prim::Mul, &[g, at(other)])?;
                        self.give(at(i), part)?;
                    }
                }
                if prim == Prim::Fma { self.give(at(2), g) } else { Ok(()) }
            }
            Prim::Div => {
                // a / b: g / b, and -(g * y) / b
                let part = self.lanes(Prim::Div, &[g, at(1)])?;
                self.give(at(0), part)?;
                if self.is_active(at(1)) {
                    let part = self.lanes(Prim::Mul, &[part, y])?;
                    let part = self.lanes(Prim::Neg, &[part])?;
                    self.give(at(1), part)?;
                }
                Ok(())
            }
            Prim::Neg => {
                let part = self.lanes(Prim::Neg, &[g])?;
                self.give(at(0), part)
            }
            Prim::Abs => {
                let zero = self.constant(dtype, 0.0);
                let (above, below) = (self.lanes(Prim::Gt, &[at(0), zero])?, self.lanes(Prim::Lt, &[at(0), zero])?);
                let minus = self.lanes(Prim::Neg, &[g])?;
                let part = self.where_on(below, minus)?;
                let part = self.select(above, g, part)?;
                self.give(at(0), part)
            }
            Prim::Min | Prim::Max => {
                // Both get half where they are equal, and all where one is NaN: as PyTorch.
                let zero = self.constant(dtype, 0.0);
                let half = self.constant(dtype, 0.5);
                let half = self.lanes(Prim::Mul, &[g, half])?;
                let equal = self.lanes(Prim::Eq, &[at(0), at(1)])?;
                for (i, other) in [(0, 1), (1, 0)] {
                    if self.is_active(at(i)) {
                        let loses = if prim == Prim::Max { Prim::Lt } else { Prim::Gt };
                        let loses = self.lanes(loses, &[at(i), at(other)])?;
                        let part = self.select(loses, zero, g)?;
                        let part = self.select(equal, half, part)?;
                        self.give(at(i), part)?;
                    }
                }
                Ok(())
            }
            Prim::Sqrt => {
                let two = self.constant(dtype, 2.0);
                let twice = self.lanes(Prim::Mul, &[y, two])?;
                let part = self.lanes(Prim::Div, &[g, twice])?;
                self.give(at(0), part)
            }
            // Steps: 0 but at the steps.
            Prim::Floor | Prim::Ceil | Prim::Trunc | Prim::Rint => Ok(()),
            Prim::CopySign => {
                // y / a, which is 1 or -1; 0 where a is.
                let zero = self.constant(dtype, 0.0);
                let ratio = self.lanes(Prim::Div, &[y, at(0)])?;
                let part = self.lanes(Prim::Mul, &[g, ratio])?;
                let not_zero = self.lanes(Prim::Ne, &[at(0), zero])?;
                let part = self.where_on(not_zero, part)?;
                self.give(at(0), part)
            }
            Prim::Scale => {
                let part = self.lanes(Prim::Scale, &[g, at(1)])?;
                self.give(at(0), part)
            }
            Prim::Select => self.choice(at(0), at(1), at(2), g),
            Prim::Convert => self.give(at(0), g),
            // The bits of a float are no smooth function of anything.
            Prim::Bitcast => self.undefined(y),
            // Their results are no floats.
            Prim::Eq | Prim::Ne | Prim::Lt | Prim::Le | Prim::Gt | Prim::Ge => Ok(()),
            Prim::And | Prim::Or | Prim::Xor | Prim::Not => Ok(()),
            Prim::Shl | Prim::Shr | Prim::Lshr | Prim::IDiv | Prim::IRem | Prim::MulHi => Ok(()),
        }
    }

    fn reduce(&mut self, y: NodeId, kind: Reduction, x: NodeId, dims: &[usize], g: NodeId) -> Lowered<()> {
        let shape = self.l.shape(x).to_vec();
        let dtype = self.l.dtype(x);
        let mut kept = shape.clone();
        dims.iter().for_each(|&d| kept[d] = 1);
        let g = self.l.reshaped(g, kept.clone());
        match kind {
            Reduction::Sum => {
                let part = self.l.broadcast_node(g, shape);
                self.give(x, part)
            }
            Reduction::Max | Reduction::Min => {
                let y = self.l.reshaped(y, kept.clone());
                let hit = self.lanes(Prim::Eq, &[x, y])?;
                let number = self.l.push(GraphOp::Prim(Prim::Convert, dtype, vec![hit]), dtype, shape);
                let hits = self.sum(number, dims.to_vec());
                let hits = self.l.reshaped(hits, kept);
                let share = self.lanes(Prim::Div, &[g, hits])?;
                // NaN is nowhere found, and goes to all, as in PyTorch.
                let (zero, nan) = (self.constant(dtype, 0.0), self.constant(dtype, f64::NAN));
                let lost = self.lanes(Prim::Eq, &[hits, zero])?;
                let rest = self.select(lost, nan, zero)?;
                let part = self.select(hit, share, rest)?;
                self.give(x, part)
            }
            Reduction::Prod => {
                // Without zeros y / x. With one zero, the others' product at its place and 0 elsewhere.
                let (zero, one) = (self.constant(dtype, 0.0), self.constant(dtype, 1.0));
                let is_zero = self.lanes(Prim::Eq, &[x, zero])?;
                let others = self.select(is_zero, one, x)?;
                let (op, out) = match self.l.graph.node(y).op {
                    GraphOp::Reduce { result, .. } => {
                        let op = GraphOp::Reduce { kind, arg: others, dims: dims.to_vec(), result };
                        (op, self.l.shape(y).to_vec())
                    }
                    _ => return self.undefined(y),
                };
                let product = self.l.push(op, dtype, out);
                let product = self.l.reshaped(product, kept.clone());
                let number = self.l.push(GraphOp::Prim(Prim::Convert, dtype, vec![is_zero]), dtype, shape);
                let zeros = self.sum(number, dims.to_vec());
                let zeros = self.l.reshaped(zeros, kept);
                let here = self.lanes(Prim::Sub, &[zeros, number])?;
                let alone = self.lanes(Prim::Eq, &[here, zero])?;
                let ratio = self.lanes(Prim::Div, &[product, others])?;
                let ratio = self.where_on(alone, ratio)?;
                let part = self.lanes(Prim::Mul, &[g, ratio])?;
                self.give(x, part)
            }
            Reduction::ArgMax | Reduction::ArgMin | Reduction::Any | Reduction::All | Reduction::Xor => Ok(()),
            Reduction::Moments => self.undefined(y),
        }
    }

    fn view(&mut self, view: &View, x: NodeId, g: NodeId) -> Lowered<()> {
        let shape = self.l.shape(x).to_vec();
        match view {
            View::Broadcast => self.give(x, g),
            View::Reshape => {
                let part = self.l.reshaped(g, shape);
                self.give(x, part)
            }
            View::Permute(perm) => {
                let mut inverse = vec![0; perm.len()];
                perm.iter().enumerate().for_each(|(d, &p)| inverse[p] = d);
                let dtype = self.l.dtype(g);
                let part = self.l.push(GraphOp::View(View::Permute(inverse), g), dtype, shape);
                self.give(x, part)
            }
            View::Slice(steps) => {
                let part = self.l.unsliced(g, steps, &shape)?;
                self.give(x, part)
            }
        }
    }

    /// The source gets, at every place, the sum of what was read there: a comparison of places with
    /// indices, so that nothing is scattered and the sum has an order.
    fn gather(&mut self, source: NodeId, index: NodeId, dim: usize, g: NodeId) -> Lowered<()> {
        if !self.is_active(source) {
            return Ok(());
        }
        let dtype = self.l.dtype(index);
        let (mut places, mut reads) = (self.l.shape(source).to_vec(), self.l.shape(index).to_vec());
        places.insert(dim + 1, 1);
        reads.insert(dim, 1);
        let (index, g) = (self.l.reshaped(index, reads.clone()), self.l.reshaped(g, reads));
        let place = self.l.push(GraphOp::Iota { dim }, dtype, places);
        let here = self.lanes(Prim::Eq, &[place, index])?;
        let part = self.where_on(here, g)?;
        let part = match self.l.shape(part)[dim + 1] {
            1 => {
                let shape = self.l.shape(source).to_vec();
                self.l.reshaped(part, shape)
            }
            _ => self.sum(part, vec![dim + 1]),
        };
        self.give(source, part)
    }
}
