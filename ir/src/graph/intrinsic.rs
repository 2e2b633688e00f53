//! What the bodies of built-in ops are made of: primitives, reductions, views, and a few functions of
//! values known at lowering. One table, [`INTRINSICS`], lists them.
//!
//! Lane-wise intrinsics promote weakly, as PyTorch does, so in `x * 1.5` the literal takes the dtype of
//! `x`. On bools `+`, `*`, `maximum`, `minimum` are or, and, or, and.

use super::facts::Fact;
use super::lower::{LowerError, LowerErrorKind, Lowered, Lowerer, Scope, Value};
use super::{GraphOp, shapes};
use crate::dtype::{DType, Literal};
use crate::expr::Attr;
use crate::id::NodeId;
use crate::kernel::{Func, Reduction};
use crate::prim::{Prim, Typing};

/// A function that only bodies of built-in ops can call (but `is_none`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Intrinsic {
    /// A primitive over promoted operands.
    Prim(Prim),
    /// A primitive over bools.
    Logical(Prim),
    /// (x): the bits of a float as an integer of its size.
    Bits,
    /// (i): the reverse.
    FloatFromBits,
    /// (x): float to the integer of its size.
    ToInt,
    /// (i): integer to the float of its size.
    ToFloat,
    /// (x): conversion.
    To(DType),
    /// (x, y): conversion to the dtype of y.
    ToLike,
    /// (x, dtype): conversion to a dtype by name, rounding to a 16-bit float.
    Cast,
    /// (mask, slow, fast): `slow` where mask, evaluated only if any lane needs it.
    Cold,
    /// ([..], i): an element of a small table.
    Lookup,
    /// (x, dim, keepdim)
    Reduce(Reduction),
    /// (x, dim, keepdim): the largest value, -inf of nothing.
    ReduceUpper,
    /// (value, x, dim, keepdim): what x was reduced to, the reduced extents being 1 again.
    Unreduce,
    /// (x, dim): the number of elements.
    Count,
    /// (x, normalized_shape): the last dimensions.
    NormDims,
    /// (x)
    IsNone,
    /// (x): whether it is True or False.
    IsBool,
    /// (n, x): the number, or the next one that the integer dtype of x holds.
    Within,
    /// (exponent): whether `pow_literal` takes it.
    IsSmallPower,
    /// (x, exponent): multiplications and roots for exponents that are small literals.
    PowLiteral,
    /// (x, exponent): integers, by squaring.
    PowInt,
    /// (x, dims)
    Permute,
    /// (x, dim0, dim1)
    Transpose,
    /// (x, dim)
    Unsqueeze,
    /// (x, dim)
    Squeeze,
    /// (x, shape)
    Reshape,
    /// (x, start_dim, end_dim)
    Flatten,
    /// (x, size)
    BroadcastTo,
    /// (x, dim, index): `torch.gather`.
    Gather,
    /// (x, index, dim): gather after broadcasting.
    TakeAlongDim,
    /// (x, dim): the index along dim, in the shape of x.
    Iota,
    /// What is known of a value.
    Fact(Fact),
    /// (x, dim, index)
    SelectAt,
    /// (x, dim, start, length)
    Narrow,
    /// (x, dims)
    Flip,
    /// (x, dim, sizes)
    Unflatten,
    /// (message, values...): fails with it, each `{}` standing for the next value.
    Error(LowerErrorKind),
}

use Intrinsic as I;

/// Any number of arguments from one on.
const ANY: usize = usize::MAX;

/// Name, number of arguments, meaning.
const INTRINSICS: &[(&str, usize, Intrinsic)] = &[
    ("add", 2, I::Prim(Prim::Add)),
    ("sub", 2, I::Prim(Prim::Sub)),
    ("mul", 2, I::Prim(Prim::Mul)),
    ("true_divide", 2, I::Prim(Prim::Div)),
    ("fma", 3, I::Prim(Prim::Fma)),
    ("neg", 1, I::Prim(Prim::Neg)),
    ("abs", 1, I::Prim(Prim::Abs)),
    ("minimum", 2, I::Prim(Prim::Min)),
    ("maximum", 2, I::Prim(Prim::Max)),
    ("sqrt", 1, I::Prim(Prim::Sqrt)),
    ("floor", 1, I::Prim(Prim::Floor)),
    ("ceil", 1, I::Prim(Prim::Ceil)),
    ("trunc", 1, I::Prim(Prim::Trunc)),
    ("rint", 1, I::Prim(Prim::Rint)),
    ("copysign", 2, I::Prim(Prim::CopySign)),
    ("scale", 2, I::Prim(Prim::Scale)),
    ("eq", 2, I::Prim(Prim::Eq)),
    ("ne", 2, I::Prim(Prim::Ne)),
    ("lt", 2, I::Prim(Prim::Lt)),
    ("le", 2, I::Prim(Prim::Le)),
    ("gt", 2, I::Prim(Prim::Gt)),
    ("ge", 2, I::Prim(Prim::Ge)),
    // A literal condition chooses one of two values, whatever the other one is.
    ("where", 3, I::Prim(Prim::Select)),
    // What it gives has the shape and dtype of both.
    ("choose", 3, I::Prim(Prim::Select)),
    ("bitwise_and", 2, I::Prim(Prim::And)),
    ("bitwise_or", 2, I::Prim(Prim::Or)),
    ("bitwise_xor", 2, I::Prim(Prim::Xor)),
    ("bitwise_not", 1, I::Prim(Prim::Not)),
    ("bitwise_left_shift", 2, I::Prim(Prim::Shl)),
    ("bitwise_right_shift", 2, I::Prim(Prim::Shr)),
    ("lshr", 2, I::Prim(Prim::Lshr)),
    ("idiv", 2, I::Prim(Prim::IDiv)),
    ("irem", 2, I::Prim(Prim::IRem)),
    ("mulhi", 2, I::Prim(Prim::MulHi)),
    ("logical_and", 2, I::Logical(Prim::And)),
    ("logical_or", 2, I::Logical(Prim::Or)),
    ("logical_xor", 2, I::Logical(Prim::Xor)),
    ("logical_not", 1, I::Logical(Prim::Not)),
    ("isnan", 1, I::Prim(Prim::Ne)),
    ("bits", 1, I::Bits),
    ("float_from_bits", 1, I::FloatFromBits),
    ("to_int", 1, I::ToInt),
    ("to_float", 1, I::ToFloat),
    ("to_f32", 1, I::To(DType::F32)),
    ("to_f64", 1, I::To(DType::F64)),
    ("to_i32", 1, I::To(DType::I32)),
    ("to_i64", 1, I::To(DType::I64)),
    ("to_u8", 1, I::To(DType::U8)),
    ("to_bool", 1, I::To(DType::Bool)),
    ("to_like", 2, I::ToLike),
    ("cast", 2, I::Cast),
    ("cold", 3, I::Cold),
    ("lookup", 2, I::Lookup),
    ("reduce_sum", 3, I::Reduce(Reduction::Sum)),
    ("reduce_prod", 3, I::Reduce(Reduction::Prod)),
    ("reduce_max", 3, I::Reduce(Reduction::Max)),
    ("reduce_upper", 3, I::ReduceUpper),
    ("reduce_min", 3, I::Reduce(Reduction::Min)),
    ("reduce_argmax", 3, I::Reduce(Reduction::ArgMax)),
    ("reduce_argmin", 3, I::Reduce(Reduction::ArgMin)),
    ("reduce_any", 3, I::Reduce(Reduction::Any)),
    ("reduce_all", 3, I::Reduce(Reduction::All)),
    ("reduce_xor", 3, I::Reduce(Reduction::Xor)),
    ("unreduce", 4, I::Unreduce),
    ("count", 2, I::Count),
    ("norm_dims", 2, I::NormDims),
    ("is_none", 1, I::IsNone),
    ("is_bool", 1, I::IsBool),
    ("within", 2, I::Within),
    ("is_small_power", 1, I::IsSmallPower),
    ("pow_literal", 2, I::PowLiteral),
    ("pow_int", 2, I::PowInt),
    ("permute", 2, I::Permute),
    ("transpose", 3, I::Transpose),
    ("unsqueeze", 2, I::Unsqueeze),
    ("squeeze", 2, I::Squeeze),
    ("reshape", 2, I::Reshape),
    ("flatten", 3, I::Flatten),
    ("broadcast_to", 2, I::BroadcastTo),
    ("gather", 3, I::Gather),
    ("take_along_dim", 3, I::TakeAlongDim),
    ("iota", 2, I::Iota),
    ("select", 3, I::SelectAt),
    ("narrow", 4, I::Narrow),
    ("flip", 2, I::Flip),
    ("unflatten", 3, I::Unflatten),
    ("rank", 1, I::Fact(Fact::Rank)),
    ("shape", 1, I::Fact(Fact::Shape)),
    ("size", 2, I::Fact(Fact::Size)),
    ("sizes", 2, I::Fact(Fact::Sizes)),
    ("is_number", 1, I::Fact(Fact::IsNumber)),
    ("is_float", 1, I::Fact(Fact::IsFloat)),
    ("dtype_name", 1, I::Fact(Fact::DTypeName)),
    ("dims_from", 2, I::Fact(Fact::DimsFrom)),
    ("dims_but", 2, I::Fact(Fact::DimsBut)),
    ("channel_shape", 2, I::Fact(Fact::ChannelShape)),
    ("list", ANY, I::Fact(Fact::List)),
    ("runtime_error", ANY, I::Error(LowerErrorKind::Runtime)),
    ("value_error", ANY, I::Error(LowerErrorKind::Value)),
    ("type_error", ANY, I::Error(LowerErrorKind::Type)),
    ("index_error", ANY, I::Error(LowerErrorKind::Index)),
    ("unsupported", ANY, I::Error(LowerErrorKind::NotImplemented)),
];

/// Exponents that are structure: they become multiplications and roots.
const SMALL_POWERS: [f64; 8] = [-2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0];

/// Whether an intrinsic of this name reads elements by index.
pub(crate) fn is_indirect(name: &str) -> bool {
    INTRINSICS.iter().any(|&(n, _, i)| n == name && matches!(i, Intrinsic::Gather | Intrinsic::TakeAlongDim))
}

pub(super) fn internal<T>(message: String) -> Lowered<T> {
    Err(LowerError::new(LowerErrorKind::Internal, message))
}

/// The integer of a float's size, and the reverse.
fn companion(dtype: DType) -> Option<DType> {
    match dtype {
        DType::F32 => Some(DType::I32),
        DType::F64 => Some(DType::I64),
        DType::I32 => Some(DType::F32),
        DType::I64 => Some(DType::F64),
        _ => None,
    }
}

impl Lowerer<'_> {
    /// The value of an intrinsic; `None` when the name is none.
    pub(super) fn intrinsic(&mut self, name: &str, args: &[Value], scope: Scope<'_>) -> Lowered<Option<Value>> {
        if let Some(func) = name.strip_prefix("call_").and_then(Func::parse) {
            return self.library_call(func, args, scope).map(Some);
        }
        let takes = |arity: usize| arity == args.len() || (arity == ANY && !args.is_empty());
        let Some(&(_, _, intrinsic)) = INTRINSICS.iter().find(|(n, arity, _)| *n == name && takes(*arity)) else {
            return Ok(None);
        };
        let weak = args.iter().filter(|v| v.is_number()).all(|v| !matches!(v, Value::Node { weak: false, .. }));
        let promoted = self.promote(args);
        let first = |l: &mut Self| {
            let dtype = l.promote(&args[..1]);
            l.node(&args[0], dtype)
        };
        let id = match intrinsic {
            I::Prim(Prim::Ne) if name == "isnan" => {
                let x = first(self)?;
                self.lanes(Prim::Ne, &[x, x])?
            }
            I::Prim(prim) => self.primitive(prim, args, scope)?,
            I::Logical(prim) => {
                let args = args.iter().map(|a| self.as_bool(a)).collect::<Lowered<Vec<NodeId>>>()?;
                self.lanes(prim, &args)?
            }
            I::Bits | I::FloatFromBits => {
                let x = first(self)?;
                let dtype = self.dtype(x);
                match companion(dtype) {
                    Some(to) if dtype.is_float() == (intrinsic == I::Bits) => {
                        let shape = self.shape(x).to_vec();
                        self.push(GraphOp::Prim(Prim::Bitcast, to, vec![x]), to, shape)
                    }
                    _ => return internal(format!("{name} of {dtype} in {}", scope.name())),
                }
            }
            I::ToInt | I::ToFloat => {
                let x = first(self)?;
                let dtype = self.dtype(x);
                let to = companion(dtype).filter(|to| to.is_float() == (intrinsic == I::ToFloat));
                let to = to.unwrap_or(if intrinsic == I::ToInt { dtype } else { self.default });
                self.convert(x, to)
            }
            // A number has more digits than the default dtype.
            I::To(dtype) if !matches!(&args[0], Value::Node { weak: false, .. }) => self.node(&args[0], dtype)?,
            I::To(dtype) => {
                let x = first(self)?;
                self.convert(x, dtype)
            }
            I::ToLike => {
                let dtype = self.promote(&args[1..]);
                self.node(&args[0], dtype)?
            }
            I::Cast => {
                let x = first(self)?;
                let dtype = match &args[1] {
                    Value::Attr(Attr::Str(name)) => DType::parse(name),
                    _ => None,
                };
                let Some(dtype) = dtype else {
                    let message = format!("{}(): argument 'dtype' must be the name of a dtype", scope.name());
                    return Err(LowerError::new(LowerErrorKind::Type, message));
                };
                let id = if dtype.is_half() { self.rounded(x, dtype) } else { self.convert(x, dtype) };
                return Ok(Some(Value::Node { id, weak: false, dtype }));
            }
            I::Cold => {
                let mask = self.as_bool(&args[0])?;
                let dtype = self.promote_in(&args[1..], scope);
                let (slow, fast) = (self.node(&args[1], dtype)?, self.node(&args[2], dtype)?);
                let shape = self.common_shape(&[mask, slow, fast])?;
                self.push(GraphOp::Cold { mask, slow, fast }, dtype.compute(), shape)
            }
            I::Lookup => self.lookup(&args[0], &args[1], scope)?,
            I::Reduce(kind) => {
                let keepdim = matches!(args[2], Value::Attr(Attr::Bool(true)));
                let x = first(self)?;
                self.reduce(kind, x, &args[1], keepdim, scope)?
            }
            I::ReduceUpper => {
                let keepdim = matches!(args[2], Value::Attr(Attr::Bool(true)));
                let x = first(self)?;
                self.reduce_upper(x, &args[1], keepdim, scope)?
            }
            I::Unreduce => {
                let v = first(self)?;
                let dtype = self.promote(&args[1..2]);
                let x = self.node(&args[1], dtype)?;
                let keepdim = matches!(args[3], Value::Attr(Attr::Bool(true)));
                if keepdim { v } else { self.unreduce(v, x, &args[2], scope)? }
            }
            I::Count => {
                let x = first(self)?;
                // The extent promotes as a Python number does.
                let id = self.extent(x, &args[1], scope)?;
                return Ok(Some(Value::Node { id, weak: true, dtype: self.dtype(id) }));
            }
            I::NormDims => {
                let x = first(self)?;
                return self.norm_dims(x, &args[1], scope).map(Some);
            }
            I::IsNone => return Ok(Some(Value::Attr(Attr::Bool(args[0] == Value::Attr(Attr::None))))),
            I::IsBool => return Ok(Some(Value::Attr(Attr::Bool(matches!(args[0], Value::Attr(Attr::Bool(_))))))),
            I::Within => return self.within(&args[0], &args[1]).map(Some),
            I::IsSmallPower => {
                let e = self.constant(&args[0]);
                let small = e.is_some_and(|(e, float)| SMALL_POWERS.contains(&e) || (!float && e < 0.0));
                return Ok(Some(Value::Attr(Attr::Bool(small))));
            }
            I::PowLiteral => self.pow_literal(&args[0], &args[1], scope)?,
            I::PowInt => self.pow_int(&args[0], &args[1], scope)?,
            I::Permute => {
                let x = first(self)?;
                self.permute(x, &args[1])?
            }
            I::Transpose => {
                let x = first(self)?;
                self.transpose(x, &args[1], &args[2])?
            }
            I::Unsqueeze => {
                let x = first(self)?;
                self.unsqueeze(x, &args[1])?
            }
            I::Squeeze => {
                let x = first(self)?;
                self.squeeze(x, &args[1], scope)?
            }
            I::Reshape => {
                let x = first(self)?;
                self.reshape(x, &args[1])?
            }
            I::Flatten => {
                let x = first(self)?;
                self.flatten(x, &args[1], &args[2])?
            }
            I::BroadcastTo => {
                let x = first(self)?;
                self.broadcast_to(x, &args[1])?
            }
            I::Gather | I::TakeAlongDim => {
                let (dim, index) = if intrinsic == I::Gather { (1, 2) } else { (2, 1) };
                let x = first(self)?;
                let index_dtype = self.promote(&args[index..=index]);
                let index = self.node(&args[index], index_dtype)?;
                if intrinsic == I::Gather {
                    self.gather(x, &args[dim], index)?
                } else {
                    self.take_along_dim(x, index, &args[dim])?
                }
            }
            I::Iota => {
                let x = first(self)?;
                self.iota(x, &args[1])?
            }
            I::SelectAt => {
                let x = first(self)?;
                self.select_at(x, &args[1], &args[2])?
            }
            I::Narrow => {
                let x = first(self)?;
                self.narrow(x, &args[1], &args[2], &args[3])?
            }
            I::Flip => {
                let x = first(self)?;
                self.flip(x, &args[1])?
            }
            I::Unflatten => {
                let x = first(self)?;
                self.unflatten(x, &args[1], &args[2])?
            }
            I::Fact(fact) => return self.fact(fact, args, scope).map(|a| Some(Value::Attr(a))),
            I::Error(kind) => {
                let Value::Attr(Attr::Str(message)) = &args[0] else {
                    return internal(format!("{name} takes a string"));
                };
                let message = args[1..].iter().fold(message.clone(), |message, value| {
                    let value = match value {
                        Value::Attr(Attr::Str(s)) => s.clone(),
                        // As C++ prints it: 2, not 2.0.
                        Value::Attr(Attr::Float(f)) => f.to_string(),
                        Value::Attr(a) => a.to_string(),
                        Value::Node { .. } => "a value".to_string(),
                    };
                    message.replacen("{}", &value, 1)
                });
                return Err(LowerError::new(kind, message));
            }
        };
        // In a body that promotes by itself, what is computed of 16-bit floats is of their dtype.
        let of = self.dtype(id);
        let converts = matches!(intrinsic, I::To(_) | I::ToFloat | I::FloatFromBits);
        let dtype = if promoted.is_half() && of == DType::F32 && !converts { promoted } else { of };
        Ok(Some(Value::Node { id, weak, dtype }))
    }

    fn as_bool(&mut self, value: &Value) -> Lowered<NodeId> {
        self.node(value, DType::Bool)
    }

    pub(super) fn common_shape(&self, ids: &[NodeId]) -> Lowered<Vec<i64>> {
        ids.iter().try_fold(vec![], |shape, id| shapes::broadcast(&shape, self.shape(*id)))
    }

    /// A primitive over promoted operands.
    fn primitive(&mut self, prim: Prim, args: &[Value], scope: Scope<'_>) -> Lowered<NodeId> {
        if prim == Prim::Select {
            let mask = match args[0] {
                Value::Node { id, .. } => id,
                Value::Attr(_) => self.as_bool(&args[0])?,
            };
            if self.dtype(mask) != DType::Bool {
                let c = self.dtype(mask).c_name();
                let message =
                    format!("where expected condition to be a boolean tensor, but got a tensor with dtype {c}");
                return Err(LowerError::new(LowerErrorKind::Runtime, message));
            }
            let dtype = self.promote_in(&args[1..], scope);
            let (a, b) = (self.node(&args[1], dtype)?, self.node(&args[2], dtype)?);
            return self.select(mask, a, b);
        }
        let dtype = self.promote_in(args, scope);
        let prim = match (prim, dtype) {
            (Prim::Add | Prim::Max, DType::Bool) => Prim::Or,
            (Prim::Mul | Prim::Min, DType::Bool) => Prim::And,
            _ => prim,
        };
        let defined = match prim.typing() {
            Typing::Float => dtype.is_float(),
            Typing::Number => dtype != DType::Bool,
            Typing::Bits => !dtype.is_float(),
            Typing::Int => dtype.is_int(),
            Typing::Compare | Typing::Select | Typing::Convert | Typing::Bitcast => true,
        };
        if !defined {
            let message = format!("\"{}\" not implemented for '{}'", scope.name(), dtype.c_name());
            return Err(LowerError::new(LowerErrorKind::NotImplemented, message));
        }
        let ids = args.iter().map(|a| self.node(a, dtype)).collect::<Lowered<Vec<NodeId>>>()?;
        self.lanes(prim, &ids)
    }

    /// A primitive over operands of one dtype.
    pub(super) fn lanes(&mut self, prim: Prim, ids: &[NodeId]) -> Lowered<NodeId> {
        let t = self.dtype(ids[0]);
        let shape = self.common_shape(ids)?;
        Ok(self.push(GraphOp::Prim(prim, t, ids.to_vec()), if prim.is_compare() { DType::Bool } else { t }, shape))
    }

    /// Narrow integers take part of a number; what is outside of their range is no limit to them.
    fn within(&mut self, number: &Value, x: &Value) -> Lowered<Value> {
        let dtype = self.promote(std::slice::from_ref(x));
        if !dtype.is_int() || dtype == DType::I64 {
            return Ok(number.clone());
        }
        let (low, high) = dtype.int_range();
        match number {
            Value::Attr(Attr::Int(i)) => Ok(Value::Attr(Attr::Int(*i.clamp(&low, &high)))),
            Value::Node { id, weak, dtype: DType::I64 } => {
                let [low, high] =
                    [low, high].map(|l| self.push(GraphOp::Const(Literal::int(DType::I64, l)), DType::I64, vec![]));
                let id = self.lanes(Prim::Max, &[*id, low])?;
                Ok(Value::Node { id: self.lanes(Prim::Min, &[id, high])?, weak: *weak, dtype: DType::I64 })
            }
            _ => Ok(number.clone()),
        }
    }

    fn library_call(&mut self, func: Func, args: &[Value], scope: Scope<'_>) -> Lowered<Value> {
        let dtype = self.promote(args);
        if args.len() != func.arity() || !dtype.is_float() {
            return internal(format!("call_{} of {} values of {dtype} in {}", func.name(), args.len(), scope.name()));
        }
        let ids = args.iter().map(|a| self.node(a, dtype)).collect::<Lowered<Vec<NodeId>>>()?;
        let shape = self.common_shape(&ids)?;
        let weak = args.iter().all(|v| !matches!(v, Value::Node { weak: false, .. }));
        let id = self.push(GraphOp::Call(func, ids), dtype.compute(), shape);
        Ok(Value::Node { id, weak, dtype })
    }

    /// Floats are of the body's dtype, integers of its size.
    fn lookup(&mut self, table: &Value, index: &Value, scope: Scope<'_>) -> Lowered<NodeId> {
        let bad = || internal(format!("lookup takes a list of 1 to 32 numbers, and an integer, in {}", scope.name()));
        let (Value::Attr(Attr::List(items)), Value::Node { id: index, .. }) = (table, index) else {
            return bad();
        };
        let integers = items.iter().all(|a| matches!(a, Attr::Int(_)));
        let dtype = if integers { companion(scope.dtype).unwrap_or(DType::I64) } else { scope.dtype };
        let literals: Option<Vec<Literal>> = items
            .iter()
            .map(|a| match a {
                Attr::Int(i) if integers => Some(Literal::int(dtype, *i)),
                Attr::Int(i) => Some(Literal::float(dtype, *i as f64)),
                Attr::Float(f) => Some(Literal::float(dtype, *f)),
                _ => None,
            })
            .collect();
        let Some(literals) = literals.filter(|l| (1..=32).contains(&l.len())) else { return bad() };
        let shape = self.shape(*index).to_vec();
        Ok(self.push(GraphOp::Lookup(literals, *index), dtype, shape))
    }

    pub(super) fn select(&mut self, mask: NodeId, a: NodeId, b: NodeId) -> Lowered<NodeId> {
        let (dtype, shape) = (self.dtype(a), self.common_shape(&[mask, a, b])?);
        Ok(self.push(GraphOp::Prim(Prim::Select, dtype, vec![mask, a, b]), dtype, shape))
    }
}
