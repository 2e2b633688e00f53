//! Dimensions, reductions and views of lowering, with PyTorch's errors.

use super::lower::{LowerError, LowerErrorKind, Lowered, Lowerer, Scope, Value};
use super::{GraphOp, View, broadcast_shapes};
use crate::dtype::{DType, Literal};
use crate::expr::Attr;
use crate::id::NodeId;
use crate::kernel::Reduction;
use crate::prim::Prim;

fn error<T>(kind: LowerErrorKind, message: impl Into<String>) -> Lowered<T> {
    Err(LowerError::new(kind, message))
}

/// `[2, 3]`, as PyTorch prints sizes.
fn sizes(shape: &[i64]) -> String {
    format!("{shape:?}")
}

/// A list of integers; `what` names it in the error.
pub(super) fn integers(value: &Value, op: &str, what: &str) -> Lowered<Vec<i64>> {
    let integer = |a: &Attr| if let Attr::Int(i) = a { Some(*i) } else { None };
    let list = match value {
        Value::Attr(Attr::List(l)) => l.iter().map(integer).collect(),
        Value::Attr(a) => integer(a).map(|i| vec![i]),
        Value::Node { .. } => None,
    };
    list.map_or_else(
        || error(LowerErrorKind::Type, format!("{op}(): argument '{what}' must be an int or a tuple of ints")),
        Ok,
    )
}

/// A dimension of a tensor of this rank; negative ones count from the end.
pub(super) fn dimension(dim: i64, rank: usize) -> Lowered<usize> {
    // A 0-d tensor answers to -1 and 0.
    let n = rank.max(1) as i64;
    if !(-n..n).contains(&dim) {
        let message = format!("Dimension out of range (expected to be in range of [{}, {}], but got {dim})", -n, n - 1);
        return error(LowerErrorKind::Index, message);
    }
    Ok((if dim < 0 { dim + n } else { dim }) as usize)
}

/// The broadcast shape of operands.
pub(super) fn broadcast(a: &[i64], b: &[i64]) -> Lowered<Vec<i64>> {
    broadcast_shapes(a, b).or_else(|from_end| {
        let at = |s: &[i64]| s[s.len() - 1 - from_end];
        let dim = a.len().max(b.len()) - 1 - from_end;
        let message = format!(
            "The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension {dim}",
            at(a),
            at(b)
        );
        error(LowerErrorKind::Runtime, message)
    })
}

impl Lowerer<'_> {
    /// The dimensions that `dim` names, ascending; `None` and `[]` are all.
    pub(super) fn dims(&self, x: NodeId, dim: &Value, scope: Scope<'_>) -> Lowered<Vec<usize>> {
        let rank = self.shape(x).len();
        let list = match dim {
            Value::Attr(Attr::None) => vec![],
            other => integers(other, scope.name(), "dim")?,
        };
        let mut dims = list.iter().map(|&d| dimension(d, rank)).collect::<Lowered<Vec<usize>>>()?;
        dims.sort_unstable();
        if let Some(pair) = dims.windows(2).find(|p| p[0] == p[1]) {
            return error(
                LowerErrorKind::Runtime,
                format!("dim {} appears multiple times in the list of dims", pair[0]),
            );
        }
        Ok(if list.is_empty() { (0..rank).collect() } else { dims.into_iter().filter(|&d| d < rank).collect() })
    }

    /// A reduction; with `keepdim` the reduced extents are 1.
    pub(super) fn reduce(
        &mut self,
        kind: Reduction,
        x: NodeId,
        dim: &Value,
        keepdim: bool,
        scope: Scope<'_>,
    ) -> Lowered<NodeId> {
        let dims = self.dims(x, dim, scope)?;
        let shape = self.shape(x).to_vec();
        let is_arg = matches!(kind, Reduction::ArgMax | Reduction::ArgMin);
        if is_arg || matches!(kind, Reduction::Max | Reduction::Min) {
            check_not_empty(&shape, &dims, matches!(dim, Value::Attr(Attr::None)), is_arg, scope.name())?;
        }
        self.reduce_over(kind, x, dims, keepdim)
    }

    /// The largest value, -inf of nothing.
    pub(super) fn reduce_upper(&mut self, x: NodeId, dim: &Value, keepdim: bool, scope: Scope<'_>) -> Lowered<NodeId> {
        let dims = self.dims(x, dim, scope)?;
        self.reduce_over(Reduction::Max, x, dims, keepdim)
    }

    fn reduce_over(&mut self, kind: Reduction, x: NodeId, dims: Vec<usize>, keepdim: bool) -> Lowered<NodeId> {
        let (shape, dtype) = (self.shape(x).to_vec(), self.dtype(x));
        let is_arg = matches!(kind, Reduction::ArgMax | Reduction::ArgMin);
        // A kernel has no sums and extremes of bools; they are these, as `+` and `*` of bools are or and and.
        let kind = match (kind, dtype) {
            (Reduction::Max | Reduction::Sum, DType::Bool) => Reduction::Any,
            (Reduction::Min | Reduction::Prod, DType::Bool) => Reduction::All,
            _ => kind,
        };
        if shape.is_empty() {
            let zero = Literal::int(DType::I64, 0);
            return Ok(if is_arg { self.push(GraphOp::Const(zero), DType::I64, vec![]) } else { x });
        }
        let left = |kept: Option<i64>| -> Vec<i64> {
            let extents = shape.iter().enumerate();
            extents.filter_map(|(d, &n)| if dims.contains(&d) { kept } else { Some(n) }).collect()
        };
        let (result, out) = if is_arg { (1, DType::I64) } else { (0, dtype) };
        let op = GraphOp::Reduce { kind, arg: x, dims: dims.clone(), result };
        let mut value = self.push(op, out, left(None));
        if kind == Reduction::Sum && dtype.is_float() {
            // The sum of nothing is -0.0 in a kernel and +0.0 in PyTorch, and so is that of -0.0s.
            let zero = self.push(GraphOp::Const(Literal::float(dtype, 0.0)), dtype, vec![]);
            value = self.push(GraphOp::Prim(Prim::Add, dtype, vec![value, zero]), dtype, left(None));
        }
        Ok(if keepdim { self.push(GraphOp::View(View::Reshape, value), out, left(Some(1))) } else { value })
    }

    /// What `x` was reduced to over `dim`, the reduced extents being 1 again.
    pub(super) fn unreduce(&mut self, v: NodeId, x: NodeId, dim: &Value, scope: Scope<'_>) -> Lowered<NodeId> {
        let dims = self.dims(x, dim, scope)?;
        let mut shape = self.shape(x).to_vec();
        dims.iter().for_each(|&d| shape[d] = 1);
        Ok(self.reshaped(v, shape))
    }

    /// The number of elements along `dim`.
    pub(super) fn extent(&mut self, x: NodeId, dim: &Value, scope: Scope<'_>) -> Lowered<NodeId> {
        let dims = self.dims(x, dim, scope)?;
        Ok(self.push(GraphOp::Extent { of: x, dims }, DType::I64, vec![]))
    }

    /// The last dimensions, which must have the extents of `normalized_shape`.
    pub(super) fn norm_dims(&self, x: NodeId, normalized_shape: &Value, scope: Scope<'_>) -> Lowered<Value> {
        let wanted = integers(normalized_shape, scope.name(), "normalized_shape")?;
        let shape = self.shape(x);
        if wanted.is_empty() || !shape.ends_with(&wanted) {
            let listed: String = wanted.iter().map(|n| format!(", {n}")).collect();
            let message = format!(
                "Given normalized_shape={}, expected input with shape [*{listed}], but got input of size{}",
                sizes(&wanted),
                sizes(shape)
            );
            return error(LowerErrorKind::Runtime, message);
        }
        let dims = shape.len() - wanted.len()..shape.len();
        Ok(Value::Attr(Attr::List(dims.map(|d| Attr::Int(d as i64)).collect())))
    }

    pub(super) fn permute(&mut self, x: NodeId, dims: &Value) -> Lowered<NodeId> {
        let shape = self.shape(x).to_vec();
        let dims = integers(dims, "permute", "dims")?;
        if dims.len() != shape.len() {
            let message = format!(
                "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired \
                 ordering of dimensions i.e. input.dim() = {} is not equal to len(dims) = {}",
                shape.len(),
                dims.len()
            );
            return error(LowerErrorKind::Runtime, message);
        }
        let perm = dims.iter().map(|&d| dimension(d, shape.len())).collect::<Lowered<Vec<usize>>>()?;
        if (0..perm.len()).any(|d| !perm.contains(&d)) {
            return error(LowerErrorKind::Runtime, "permute(): duplicate dims are not allowed.");
        }
        let out = perm.iter().map(|&d| shape[d]).collect();
        let dtype = self.dtype(x);
        Ok(self.push(GraphOp::View(View::Permute(perm), x), dtype, out))
    }

    pub(super) fn transpose(&mut self, x: NodeId, d0: &Value, d1: &Value) -> Lowered<NodeId> {
        let rank = self.shape(x).len();
        let mut perm: Vec<usize> = (0..rank).collect();
        let [d0, d1] = [(d0, "dim0"), (d1, "dim1")].map(|(d, what)| {
            let list = integers(d, "transpose", what)?;
            dimension(list.first().copied().unwrap_or(0), rank)
        });
        let (d0, d1) = (d0?, d1?);
        if rank == 0 {
            return Ok(x);
        }
        perm.swap(d0, d1);
        let out = perm.iter().map(|&d| self.shape(x)[d]).collect();
        let dtype = self.dtype(x);
        Ok(self.push(GraphOp::View(View::Permute(perm), x), dtype, out))
    }

    pub(super) fn reshaped(&mut self, x: NodeId, shape: Vec<i64>) -> NodeId {
        let dtype = self.dtype(x);
        if self.shape(x) == shape { x } else { self.push(GraphOp::View(View::Reshape, x), dtype, shape) }
    }

    pub(super) fn unsqueeze(&mut self, x: NodeId, dim: &Value) -> Lowered<NodeId> {
        let mut shape = self.shape(x).to_vec();
        for d in integers(dim, "unsqueeze", "dim")? {
            shape.insert(dimension(d, shape.len() + 1)?, 1);
        }
        Ok(self.reshaped(x, shape))
    }

    pub(super) fn squeeze(&mut self, x: NodeId, dim: &Value, scope: Scope<'_>) -> Lowered<NodeId> {
        let dims = self.dims(x, dim, scope)?;
        let extents = self.shape(x).iter().enumerate();
        let shape = extents.filter(|(d, n)| **n != 1 || !dims.contains(d)).map(|(_, &n)| n).collect();
        Ok(self.reshaped(x, shape))
    }

    pub(super) fn reshape(&mut self, x: NodeId, shape: &Value) -> Lowered<NodeId> {
        let mut shape = integers(shape, "reshape", "shape")?;
        let numel: i64 = self.shape(x).iter().product();
        let invalid = |s: &[i64]| {
            error(LowerErrorKind::Runtime, format!("shape '{}' is invalid for input of size {numel}", sizes(s)))
        };
        if let Some(&bad) = shape.iter().find(|&&n| n < -1) {
            return error(LowerErrorKind::Runtime, format!("invalid shape dimension {bad}"));
        }
        let known = shape.iter().filter(|&&n| n != -1).try_fold(1i64, |acc, &n| acc.checked_mul(n));
        let Some(known) = known else { return invalid(&shape) };
        match shape.iter().filter(|&&n| n == -1).count() {
            0 if known == numel => {}
            1 if known > 0 && numel % known == 0 => {
                shape.iter_mut().filter(|n| **n == -1).for_each(|n| *n = numel / known);
            }
            0 | 1 => return invalid(&shape),
            _ => return error(LowerErrorKind::Runtime, "only one dimension can be inferred"),
        }
        Ok(self.reshaped(x, shape))
    }

    pub(super) fn flatten(&mut self, x: NodeId, start: &Value, end: &Value) -> Lowered<NodeId> {
        let shape = self.shape(x).to_vec();
        let at = |v: &Value, what| {
            let list = integers(v, "flatten", what)?;
            dimension(list.first().copied().unwrap_or(0), shape.len())
        };
        let (start, end) = (at(start, "start_dim")?, at(end, "end_dim")?);
        if start > end {
            let message = "flatten() has invalid args: start_dim cannot come after end_dim";
            return error(LowerErrorKind::Runtime, message);
        }
        if shape.is_empty() {
            return Ok(self.reshaped(x, vec![1]));
        }
        let mut out = shape[..start].to_vec();
        out.push(shape[start..=end].iter().product());
        out.extend(&shape[end + 1..]);
        Ok(self.reshaped(x, out))
    }

    pub(super) fn broadcast_to(&mut self, x: NodeId, target: &Value) -> Lowered<NodeId> {
        let target = integers(target, "broadcast_to", "size")?;
        let shape = self.shape(x).to_vec();
        let skip = target.len().saturating_sub(shape.len());
        if target.len() < shape.len() {
            let message = format!(
                "expand: the requested shape has too few dimensions! requested {}, has {}",
                target.len(),
                shape.len()
            );
            return error(LowerErrorKind::Runtime, message);
        }
        let mut out = target.clone();
        for (d, &n) in shape.iter().enumerate() {
            match out[skip + d] {
                -1 => out[skip + d] = n,
                t if t == n || n == 1 => {}
                t => {
                    let message = format!(
                        "The expanded size of the tensor ({t}) must match the existing size ({n}) at non-singleton \
                         dimension {}.  Target sizes: {}.  Tensor sizes: {}",
                        skip + d,
                        sizes(&target),
                        sizes(&shape)
                    );
                    return error(LowerErrorKind::Runtime, message);
                }
            }
        }
        if let Some(&bad) = out.iter().find(|&&n| n < 0) {
            let message =
                format!("The expanded size of the tensor ({bad}) isn't allowed in a leading, non-existing dimension 0");
            return error(LowerErrorKind::Runtime, message);
        }
        let dtype = self.dtype(x);
        Ok(if shape == out { x } else { self.push(GraphOp::View(View::Broadcast, x), dtype, out) })
    }

    /// `x` as this shape, by PyTorch's broadcasting rule.
    fn broadcast_as(&mut self, x: NodeId, shape: &[i64]) -> NodeId {
        let dtype = self.dtype(x);
        if self.shape(x) == shape { x } else { self.push(GraphOp::View(View::Broadcast, x), dtype, shape.to_vec()) }
    }

    /// `torch.gather`: the index may be smaller than `x` in the dimensions that are not replaced.
    pub(super) fn gather(&mut self, x: NodeId, dim: &Value, index: NodeId) -> Lowered<NodeId> {
        if !matches!(self.dtype(index), DType::I32 | DType::I64) {
            return error(LowerErrorKind::Runtime, "gather(): Expected dtype int32/int64 for index");
        }
        let (from, to) = (self.shape(x).to_vec(), self.shape(index).to_vec());
        let dim = dimension(integers(dim, "gather", "dim")?.first().copied().unwrap_or(0), from.len())?;
        if from.len() != to.len() {
            let message = "Index tensor must have the same number of dimensions as input tensor";
            return error(LowerErrorKind::Runtime, message);
        }
        if let Some(d) = (0..to.len()).find(|&d| d != dim && to[d] > from[d]) {
            let (index, own) = (sizes(&to), sizes(&from));
            let message = format!(
                "Size does not match at dimension {d} expected index {index} to be no larger than self {own} apart from \
                 dimension {dim}"
            );
            return error(LowerErrorKind::Runtime, message);
        }
        let dtype = self.dtype(x);
        if from.is_empty() {
            // One element: the index is checked all the same.
            let (x, index) = (self.reshaped(x, vec![1]), self.reshaped(index, vec![1]));
            let one = self.push(GraphOp::Gather { source: x, index, dim: 0 }, dtype, vec![1]);
            return Ok(self.reshaped(one, vec![]));
        }
        let mut part = to.clone();
        part[dim] = from[dim];
        let source = if part == from {
            x
        } else {
            self.push(GraphOp::View(View::Slice(vec![(0, 1); part.len()]), x), dtype, part)
        };
        Ok(self.push(GraphOp::Gather { source, index, dim }, dtype, to))
    }

    /// `torch.take_along_dim`: `x` and the index are broadcast but in `dim`; over all elements without one.
    pub(super) fn take_along_dim(&mut self, x: NodeId, index: NodeId, dim: &Value) -> Lowered<NodeId> {
        if self.dtype(index) != DType::I64 {
            let got = self.dtype(index).c_name();
            let message = format!("torch.take_along_dim(): dtype of indices should be Long but got {got}");
            return error(LowerErrorKind::Runtime, message);
        }
        if matches!(dim, Value::Attr(Attr::None)) {
            let flat = |l: &mut Self, id: NodeId| {
                let numel = l.shape(id).iter().product();
                l.reshaped(id, vec![numel])
            };
            let (x, index) = (flat(self, x), flat(self, index));
            return self.gather(x, &Value::Attr(Attr::Int(0)), index);
        }
        let (mut from, mut to) = (self.shape(x).to_vec(), self.shape(index).to_vec());
        if from.len() != to.len() {
            let message = format!(
                "torch.take_along_dim(): input and indices should have the same number of dimensions, but got {} \
                 dimensions for input, and {} dimensions for indices",
                from.len(),
                to.len()
            );
            return error(LowerErrorKind::Runtime, message);
        }
        let along = dimension(integers(dim, "take_along_dim", "dim")?.first().copied().unwrap_or(0), from.len())?;
        if !from.is_empty() {
            let (own, taken) = (from[along], to[along]);
            from[along] = 1;
            to[along] = 1;
            let mut common = broadcast(&from, &to)?;
            common[along] = own;
            from.clone_from(&common);
            common[along] = taken;
            to = common;
        }
        let (x, index) = (self.broadcast_as(x, &from), self.broadcast_as(index, &to));
        self.gather(x, dim, index)
    }

    /// The index along `dim`, in the shape of `x`.
    pub(super) fn iota(&mut self, x: NodeId, dim: &Value) -> Lowered<NodeId> {
        let shape = self.shape(x).to_vec();
        let dim = dimension(integers(dim, "iota", "dim")?.first().copied().unwrap_or(0), shape.len())?;
        Ok(match shape.is_empty() {
            true => self.push(GraphOp::Const(Literal::int(DType::I64, 0)), DType::I64, vec![]),
            false => self.push(GraphOp::Iota { dim }, DType::I64, shape),
        })
    }
}

/// The extremes of nothing are errors.
fn check_not_empty(shape: &[i64], dims: &[usize], all: bool, is_arg: bool, name: &str) -> Lowered<()> {
    let numel: i64 = shape.iter().product();
    if numel != 0 {
        return Ok(());
    }
    if all {
        let (kind, more) = match is_arg {
            true => (LowerErrorKind::Index, ""),
            false => (LowerErrorKind::Runtime, " Specify the reduction dim with the 'dim' argument."),
        };
        return error(kind, format!("{name}(): Expected reduction dim to be specified for input.numel() == 0.{more}"));
    }
    match dims.iter().find(|&&d| shape[d] == 0) {
        Some(d) => error(LowerErrorKind::Index, format!("{name}(): Expected reduction dim {d} to have non-zero size.")),
        None => Ok(()),
    }
}
