//! Parts of tensors: `select`, `narrow`, `flip`, `unflatten`, with PyTorch's errors, and the gradient of
//! a slice.

use super::lower::{LowerError, LowerErrorKind, Lowered, Lowerer, Value};
use super::shapes::{dimension, integers};
use super::{GraphOp, View};
use crate::dtype::{DType, Literal};
use crate::id::NodeId;
use crate::prim::Prim;

fn error<T>(kind: LowerErrorKind, message: impl Into<String>) -> Lowered<T> {
    Err(LowerError::new(kind, message))
}

/// One integer; `what` names it in the error.
fn integer(value: &Value, op: &str, what: &str) -> Lowered<i64> {
    match integers(value, op, what)?[..] {
        [i] => Ok(i),
        _ => error(LowerErrorKind::Type, format!("{op}(): argument '{what}' must be int")),
    }
}

impl Lowerer<'_> {
    /// Elements `start + step * i` along `dim`, `length` of them.
    fn slice(&mut self, x: NodeId, dim: usize, start: i64, step: i64, length: i64) -> NodeId {
        let (mut shape, dtype) = (self.shape(x).to_vec(), self.dtype(x));
        if (start, step, length) == (0, 1, shape[dim]) {
            return x;
        }
        shape[dim] = length;
        let mut steps = vec![(0, 1); shape.len()];
        steps[dim] = (start, step);
        self.push(GraphOp::View(View::Slice(steps), x), dtype, shape)
    }

    pub(super) fn select_at(&mut self, x: NodeId, dim: &Value, index: &Value) -> Lowered<NodeId> {
        let mut shape = self.shape(x).to_vec();
        if shape.is_empty() {
            return error(LowerErrorKind::Index, "select() cannot be applied to a 0-dim tensor.");
        }
        let dim = dimension(integer(dim, "select", "dim")?, shape.len())?;
        let index = integer(index, "select", "index")?;
        let extent = shape[dim];
        if !(-extent..extent).contains(&index) {
            let message =
                format!("select(): index {index} out of range for tensor of size {shape:?} at dimension {dim}");
            return error(LowerErrorKind::Index, message);
        }
        let part = self.slice(x, dim, index.rem_euclid(extent), 1, 1);
        shape.remove(dim);
        Ok(self.reshaped(part, shape))
    }

    pub(super) fn narrow(&mut self, x: NodeId, dim: &Value, start: &Value, length: &Value) -> Lowered<NodeId> {
        let shape = self.shape(x).to_vec();
        if shape.is_empty() {
            return error(LowerErrorKind::Runtime, "narrow() cannot be applied to a 0-dim tensor.");
        }
        let (start, length) = (integer(start, "narrow", "start")?, integer(length, "narrow", "length")?);
        if length < 0 {
            return error(LowerErrorKind::Runtime, "narrow(): length must be non-negative.");
        }
        let dim = dimension(integer(dim, "narrow", "dim")?, shape.len())?;
        let extent = shape[dim];
        if !(-extent..=extent).contains(&start) {
            let message =
                format!("start out of range (expected to be in range of [-{extent}, {extent}], but got {start})");
            return error(LowerErrorKind::Index, message);
        }
        let start = if start < 0 { start + extent } else { start };
        if start > extent - length {
            let message = format!("start ({start}) + length ({length}) exceeds dimension size ({extent}).");
            return error(LowerErrorKind::Runtime, message);
        }
        Ok(self.slice(x, dim, start, 1, length))
    }

    pub(super) fn flip(&mut self, x: NodeId, dims: &Value) -> Lowered<NodeId> {
        let rank = self.shape(x).len();
        let dims = integers(dims, "flip", "dims")?;
        let dims = dims.into_iter().map(|d| dimension(d, rank)).collect::<Lowered<Vec<usize>>>()?;
        let repeated = dims.iter().enumerate().find(|(i, d)| dims[..*i].contains(d));
        if let Some((_, d)) = repeated {
            return error(LowerErrorKind::Runtime, format!("dim {d} appears multiple times in the list of dims"));
        }
        Ok(dims.into_iter().filter(|&d| d < rank).fold(x, |x, d| match self.shape(x)[d] {
            0 | 1 => x,
            n => self.slice(x, d, n - 1, -1, n),
        }))
    }

    /// `dim` as dimensions of these extents, of which one may be -1.
    pub(super) fn unflatten(&mut self, x: NodeId, dim: &Value, given: &Value) -> Lowered<NodeId> {
        let shape = self.shape(x).to_vec();
        let dim = dimension(integer(dim, "unflatten", "dim")?, shape.len())?;
        let given = integers(given, "unflatten", "sizes")?;
        if given.is_empty() {
            return error(LowerErrorKind::Runtime, "unflatten: sizes must be non-empty");
        }
        if given.iter().filter(|&&n| n == -1).count() > 1 {
            return error(LowerErrorKind::Runtime, "only one dimension can be inferred");
        }
        let extent = shape.get(dim).copied().unwrap_or(1);
        let known = given.iter().filter(|&&n| n != -1).try_fold(1i64, |acc, &n| acc.checked_mul(n));
        let inferred = known.filter(|&k| k > 0 && extent % k == 0).map(|k| extent / k);
        let fits = if given.contains(&-1) { inferred.is_some() } else { known == Some(extent) };
        if !fits || given.iter().any(|&n| n < -1) {
            let message = format!(
                "unflatten: Provided sizes {given:?} don't multiply up to the size of dim {dim} ({extent}) in the input tensor"
            );
            return error(LowerErrorKind::Runtime, message);
        }
        let sizes = given.iter().map(|&n| if n == -1 { inferred.unwrap_or(1) } else { n });
        let mut out = shape;
        out.splice(dim..(dim + 1).min(out.len()), sizes);
        Ok(self.reshaped(x, out))
    }

    /// The gradient of a slice of a tensor of this shape: `g` at the places that were read, 0 elsewhere.
    ///
    /// A reversed dimension is reversed again; one place is compared with; several are read back by index.
    pub(super) fn unsliced(&mut self, g: NodeId, steps: &[(i64, i64)], shape: &[i64]) -> Lowered<NodeId> {
        let mut g = g;
        for (d, &(start, step)) in steps.iter().enumerate() {
            let (length, extent) = (self.shape(g)[d], shape[d]);
            if (start, step, length) == (0, 1, extent) {
                continue;
            }
            if (step, length) == (-1, extent) {
                g = self.slice(g, d, extent - 1, -1, extent);
                continue;
            }
            let dtype = self.dtype(g);
            let mut to = self.shape(g).to_vec();
            to[d] = extent;
            let zero = self.push(GraphOp::Const(Literal::float(dtype, 0.0)), dtype, vec![]);
            if length == 0 {
                g = self.push(GraphOp::View(View::Broadcast, zero), dtype, to);
                continue;
            }
            let int = |l: &mut Self, i: i64| l.push(GraphOp::Const(Literal::int(DType::I64, i)), DType::I64, vec![]);
            let place = self.push(GraphOp::Iota { dim: d }, DType::I64, to.clone());
            let (first, none) = (int(self, start), int(self, 0));
            let (read, here) = if length == 1 {
                (g, self.lanes(Prim::Eq, &[place, first])?)
            } else {
                let (stride, end) = (int(self, step), int(self, length));
                let offset = self.lanes(Prim::Sub, &[place, first])?;
                let index = self.lanes(Prim::IDiv, &[offset, stride])?;
                let back = self.lanes(Prim::Mul, &[index, stride])?;
                let on = self.lanes(Prim::Eq, &[back, offset])?;
                let above = self.lanes(Prim::Ge, &[index, none])?;
                let below = self.lanes(Prim::Lt, &[index, end])?;
                let here = self.lanes(Prim::And, &[on, above])?;
                let here = self.lanes(Prim::And, &[here, below])?;
                let index =
                    self.push(GraphOp::Prim(Prim::Select, DType::I64, vec![here, index, none]), DType::I64, to.clone());
                (self.push(GraphOp::Gather { source: g, index, dim: d }, dtype, to.clone()), here)
            };
            g = self.push(GraphOp::Prim(Prim::Select, dtype, vec![here, read, zero]), dtype, to);
        }
        Ok(g)
    }
}
