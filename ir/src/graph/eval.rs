//! A naive evaluator of graphs: whole arrays, one node after another, plain loops.
//!
//! It is the reference that `fuse` and the op table are tested against, and shares no code with
//! kernels. Primitives follow `prim.rs` in the arithmetic of their own dtype; sums, products and
//! moments of floats accumulate in f64 and round once, so they agree with kernels to rounding only.
//!
//! Invariant: an element is held as the bits of a [`Literal`]: integers sign-extended, f32 in the
//! low half.

use super::{Graph, GraphOp, Node, View, broadcast_shapes};
use crate::dtype::{DType, Literal, wrap_int};
use crate::id::NodeId;
use crate::kernel::{Func, Reduction, ScalarFn};
use crate::prim::{Prim, Typing};
use std::cmp::Ordering;
use std::fmt;

/// A dense row-major array.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<i64>,
    /// Bits of every element, as in [`Literal`].
    pub data: Vec<u64>,
}

/// Why a graph cannot be evaluated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EvalError {
    /// Inputs or scalars do not fit the graph, or the graph breaks its own rules.
    Invalid(String),
    /// An integer division by zero.
    DivisionByZero,
    /// An index outside its dimension.
    Index {
        /// The index.
        value: i64,
        /// The extent it indexes.
        size: i64,
    },
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::Invalid(what) => f.write_str(what),
            EvalError::DivisionByZero => f.write_str("ZeroDivisionError"),
            EvalError::Index { value, size } => {
                write!(f, "index {value} is out of bounds for dimension with size {size}")
            }
        }
    }
}

impl std::error::Error for EvalError {}

impl Tensor {
    /// An array from float64 values, converted to `dtype`.
    pub fn from_f64(dtype: DType, shape: &[i64], values: &[f64]) -> Tensor {
        let data = values.iter().map(|&v| Literal::from_f64(dtype, v).bits).collect();
        Tensor { dtype, shape: shape.to_vec(), data }
    }

    /// All elements as float64 (exact but for large i64).
    pub fn to_f64(&self) -> Vec<f64> {
        self.data.iter().map(|&bits| Literal { dtype: self.dtype, bits }.as_f64()).collect()
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        numel(&self.shape)
    }
}

fn numel(shape: &[i64]) -> usize {
    shape.iter().map(|&n| n as usize).product()
}

/// The outputs of `g` for these operands.
pub fn eval(g: &Graph, inputs: &[Tensor], scalars: &[Literal]) -> Result<Vec<Tensor>, EvalError> {
    if inputs.len() != g.inputs.len() || scalars.len() != g.scalars.len() {
        return Err(EvalError::Invalid("wrong number of operands".into()));
    }
    let mut values: Vec<Tensor> = Vec::with_capacity(g.nodes.len());
    for node in &g.nodes {
        let data = node_data(g, node, &values, inputs, scalars)?;
        if data.len() != numel(&node.shape) {
            return Err(EvalError::Invalid(format!("{:?} has {} elements, not {:?}", node.op, data.len(), node.shape)));
        }
        values.push(Tensor { dtype: node.dtype, shape: node.shape.clone(), data });
    }
    Ok(g.outputs.iter().map(|o| values[o.index()].clone()).collect())
}

fn node_data(
    g: &Graph,
    node: &Node,
    values: &[Tensor],
    inputs: &[Tensor],
    scalars: &[Literal],
) -> Result<Vec<u64>, EvalError> {
    let at = |id: NodeId| &values[id.index()];
    // The operands of a lane-wise node, as the node's shape sees them.
    let lanes = |ids: &[NodeId]| -> Result<Vec<Vec<u64>>, EvalError> {
        ids.iter().map(|&id| broadcast(at(id), &node.shape)).collect()
    };
    let map = |ids: &[NodeId], f: &dyn Fn(&[u64]) -> Result<u64, EvalError>| {
        let columns = lanes(ids)?;
        let mut row = vec![0; ids.len()];
        (0..numel(&node.shape))
            .map(|i| {
                row.iter_mut().zip(&columns).for_each(|(r, c)| *r = c[i]);
                f(&row)
            })
            .collect()
    };
    match &node.op {
        GraphOp::Input(i) => {
            let (meta, t) = (&g.inputs[*i], &inputs[*i]);
            if meta.dtype != t.dtype || meta.shape != t.shape || node.dtype != t.dtype || t.data.len() != t.numel() {
                return Err(EvalError::Invalid(format!("input {i} does not fit the graph")));
            }
            Ok(t.data.clone())
        }
        GraphOp::Scalar(id) => {
            let s = scalars[id.index()];
            if s.dtype != node.dtype {
                return Err(EvalError::Invalid(format!("scalar {id} is {}, not {}", s.dtype, node.dtype)));
            }
            Ok(vec![s.bits])
        }
        GraphOp::Const(c) => Ok(vec![c.bits]),
        GraphOp::Prim(p, t, args) => {
            let from = at(args[0]).dtype;
            map(args, &|row| eval_prim(*p, *t, from, row))
        }
        GraphOp::Call(func, args) => map(args, &|row| Ok(eval_func(*func, node.dtype, row))),
        GraphOp::Lookup(table, index) => map(&[*index], &|row| {
            let i = (row[0] as i64).clamp(0, table.len() as i64 - 1);
            Ok(table[i as usize].bits)
        }),
        GraphOp::Cold { mask, slow, fast } => {
            map(&[*mask, *slow, *fast], &|row| Ok(if row[0] != 0 { row[1] } else { row[2] }))
        }
        GraphOp::Iota { dim } => Ok(points(&node.shape).map(|p| p[*dim] as u64).collect()),
        GraphOp::Extent { of, dims } => Ok(vec![dims.iter().map(|&d| at(*of).shape[d]).product::<i64>() as u64]),
        GraphOp::Reduce { kind, arg, dims, result } => reduce(*kind, at(*arg), dims, *result),
        GraphOp::View(view, source) => {
            let source = at(*source);
            match view {
                View::Broadcast => broadcast(source, &node.shape),
                View::Reshape => Ok(source.data.clone()),
                View::Permute(perm) => Ok(points(&node.shape)
                    .map(|p| {
                        let mut q = vec![0; p.len()];
                        perm.iter().zip(&p).for_each(|(&d, &i)| q[d] = i);
                        source.data[flat(&source.shape, &q)]
                    })
                    .collect()),
                View::Slice(steps) => Ok(points(&node.shape)
                    .map(|p| {
                        let q: Vec<i64> = p.iter().zip(steps).map(|(i, (start, step))| start + i * step).collect();
                        source.data[flat(&source.shape, &q)]
                    })
                    .collect()),
            }
        }
        GraphOp::Gather { source, index, dim } => {
            let source = at(*source);
            let index = broadcast(at(*index), &node.shape)?;
            let size = source.shape[*dim];
            points(&node.shape)
                .zip(index)
                .map(|(mut p, i)| {
                    let value = i as i64;
                    if !(0..size).contains(&value) {
                        return Err(EvalError::Index { value, size });
                    }
                    p[*dim] = value;
                    Ok(source.data[flat(&source.shape, &p)])
                })
                .collect()
        }
    }
}

/// Every index of a shape, row-major.
fn points(shape: &[i64]) -> impl Iterator<Item = Vec<i64>> {
    let shape = shape.to_vec();
    (0..numel(&shape)).map(move |mut i| {
        let mut p = vec![0; shape.len()];
        for d in (0..shape.len()).rev() {
            p[d] = (i % shape[d] as usize) as i64;
            i /= shape[d] as usize;
        }
        p
    })
}

fn flat(shape: &[i64], p: &[i64]) -> usize {
    shape.iter().zip(p).fold(0, |acc, (&n, &i)| acc * n as usize + i as usize)
}

fn broadcast(t: &Tensor, shape: &[i64]) -> Result<Vec<u64>, EvalError> {
    if t.shape == shape {
        return Ok(t.data.clone());
    }
    if broadcast_shapes(&t.shape, shape).as_deref() != Ok(shape) {
        return Err(EvalError::Invalid(format!("{:?} does not broadcast to {shape:?}", t.shape)));
    }
    let skip = shape.len() - t.shape.len();
    Ok(points(shape)
        .map(|p| {
            let q: Vec<i64> = t.shape.iter().zip(&p[skip..]).map(|(&n, &i)| if n == 1 { 0 } else { i }).collect();
            t.data[flat(&t.shape, &q)]
        })
        .collect())
}

fn reduce(kind: Reduction, t: &Tensor, dims: &[usize], result: usize) -> Result<Vec<u64>, EvalError> {
    let outer: Vec<usize> = (0..t.shape.len()).filter(|d| !dims.contains(d)).collect();
    let extents = |ds: &[usize]| ds.iter().map(|&d| t.shape[d]).collect::<Vec<_>>();
    let (outer_shape, inner_shape) = (extents(&outer), extents(dims));
    points(&outer_shape)
        .map(|o| {
            let group: Vec<u64> = points(&inner_shape)
                .map(|i| {
                    let mut p = vec![0; t.shape.len()];
                    outer.iter().zip(&o).for_each(|(&d, &x)| p[d] = x);
                    dims.iter().zip(&i).for_each(|(&d, &x)| p[d] = x);
                    t.data[flat(&t.shape, &p)]
                })
                .collect();
            reduce_group(kind, t.dtype, &group, result)
        })
        .collect()
}

fn reduce_group(kind: Reduction, dtype: DType, group: &[u64], result: usize) -> Result<u64, EvalError> {
    let value = |bits: u64| Literal { dtype, bits }.as_f64();
    let float = |v: f64| Literal::float(dtype, v).bits;
    let fold = |p: Prim| -> Result<u64, EvalError> {
        let mut all = group.iter().copied();
        let first = all.next().unwrap_or_else(|| extreme(dtype, p == Prim::Min));
        all.try_fold(first, |acc, v| eval_prim(p, dtype, dtype, &[acc, v]))
    };
    Ok(match kind {
        Reduction::Sum if dtype.is_float() => float(group.iter().fold(-0.0, |acc, &b| acc + value(b))),
        Reduction::Sum => wrap_int(dtype, group.iter().fold(0, |acc: i64, &b| acc.wrapping_add(b as i64))) as u64,
        Reduction::Prod if dtype.is_float() => float(group.iter().fold(1.0, |acc, &b| acc * value(b))),
        Reduction::Prod => wrap_int(dtype, group.iter().fold(1, |acc: i64, &b| acc.wrapping_mul(b as i64))) as u64,
        Reduction::Max => fold(Prim::Max)?,
        Reduction::Min => fold(Prim::Min)?,
        Reduction::ArgMax | Reduction::ArgMin => {
            let better = if kind == Reduction::ArgMax { Ordering::Greater } else { Ordering::Less };
            let mut best = None;
            for (i, &bits) in group.iter().enumerate() {
                let wins = match best {
                    None => true,
                    Some((_, b)) => compare(dtype, bits, b).map_or_else(
                        // Unordered: a NaN beats a number, and no later NaN beats it.
                        || !value(b).is_nan(),
                        |o| o == better,
                    ),
                };
                if wins {
                    best = Some((i as u64, bits));
                }
            }
            let (index, bits) = best.unwrap_or((0, extreme(dtype, kind == Reduction::ArgMin)));
            if result == 0 { bits } else { index }
        }
        Reduction::Any => u64::from(group.iter().any(|&b| b != 0)),
        Reduction::All => u64::from(group.iter().all(|&b| b != 0)),
        Reduction::Xor => group.iter().fold(0, |acc, b| acc ^ b),
        Reduction::Moments => {
            let n = group.len() as f64;
            let mean = group.iter().map(|&b| value(b)).sum::<f64>() / n;
            match result {
                0 => float(mean),
                1 => float(group.iter().map(|&b| (value(b) - mean).powi(2)).fold(0.0, |a, b| a + b)),
                _ => float(n),
            }
        }
    })
}

/// The identity of max, or of min.
fn extreme(dtype: DType, of_min: bool) -> u64 {
    let sign = if of_min { 1.0 } else { -1.0 };
    if dtype.is_float() {
        return Literal::float(dtype, sign * f64::INFINITY).bits;
    }
    let (low, high) = dtype.int_range();
    (if of_min { high } else { low }) as u64
}

fn compare(dtype: DType, a: u64, b: u64) -> Option<Ordering> {
    match dtype {
        DType::F32 => f32::from_bits(a as u32).partial_cmp(&f32::from_bits(b as u32)),
        DType::F64 => f64::from_bits(a).partial_cmp(&f64::from_bits(b)),
        _ => (a as i64).partial_cmp(&(b as i64)),
    }
}

fn eval_func(func: Func, dtype: DType, a: &[u64]) -> u64 {
    let (x, y) = (a[0], a.get(1).copied().unwrap_or(0));
    if dtype == DType::F32 {
        let [x, y] = [x, y].map(|b| f32::from_bits(b as u32));
        u64::from(
            match func.f32() {
                ScalarFn::Unary(f) => f(x),
                ScalarFn::Binary(f) => f(x, y),
            }
            .to_bits(),
        )
    } else {
        let [x, y] = [x, y].map(f64::from_bits);
        match func.f64() {
            ScalarFn::Unary(f) => f(x),
            ScalarFn::Binary(f) => f(x, y),
        }
        .to_bits()
    }
}

/// One lane of a primitive of type `t`; `from` is the dtype of the first operand, for conversions.
pub fn eval_prim(p: Prim, t: DType, from: DType, a: &[u64]) -> Result<u64, EvalError> {
    match p.typing() {
        Typing::Convert => return Ok(convert(from, t, a[0])),
        // Integers are kept sign-extended.
        Typing::Bitcast if t == DType::I32 => return Ok(a[0] as i32 as i64 as u64),
        Typing::Bitcast if t == DType::F32 => return Ok(a[0] & 0xffff_ffff),
        Typing::Bitcast => return Ok(a[0]),
        Typing::Select => return Ok(if a[0] != 0 { a[1] } else { a[2] }),
        Typing::Compare => {
            let order = compare(t, a[0], a[1]);
            return Ok(u64::from(match p {
                Prim::Eq => order == Some(Ordering::Equal),
                Prim::Ne => order != Some(Ordering::Equal),
                Prim::Lt => order == Some(Ordering::Less),
                Prim::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                Prim::Gt => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }));
        }
        Typing::Float | Typing::Number | Typing::Bits | Typing::Int => {}
    }
    let float = match t {
        DType::F32 => {
            let f = |i: usize| a.get(i).map_or(0.0, |&b| f32::from_bits(b as u32));
            float_f32(p, f(0), f(1), f(2)).map(|v| u64::from(v.to_bits()))
        }
        DType::F64 => {
            let f = |i: usize| a.get(i).map_or(0.0, |&b| f64::from_bits(b));
            float_f64(p, f(0), f(1), f(2)).map(f64::to_bits)
        }
        _ => {
            return integer(p, t, a[0] as i64, a.get(1).map_or(0, |&b| b as i64)).map(|v| wrap_int(t, v) as u64);
        }
    };
    float.ok_or_else(|| EvalError::Invalid(format!("{} is not defined on {t}", p.name())))
}

fn convert(from: DType, to: DType, bits: u64) -> u64 {
    let source = Literal { dtype: from, bits };
    if from.is_float() {
        let v = source.as_f64();
        match to {
            _ if to.is_float() => Literal::float(to, v).bits,
            DType::Bool => u64::from(v != 0.0),
            DType::I64 => v as i64 as u64,
            // Narrow integers go by way of i32.
            _ => wrap_int(to, i64::from(v as i32)) as u64,
        }
    } else {
        let v = bits as i64;
        match to {
            // Not by way of f64: one rounding.
            DType::F32 => u64::from((v as f32).to_bits()),
            DType::F64 => (v as f64).to_bits(),
            DType::F16 | DType::BF16 => Literal::float(to, f64::from(v as f32)).bits,
            _ => wrap_int(to, v) as u64,
        }
    }
}

macro_rules! float_prims {
    ($name:ident, $t:ident, $bits:ident, $limit:literal, $mantissa:literal, $bias:literal) => {
        fn $name(p: Prim, a: $t, b: $t, c: $t) -> Option<$t> {
            Some(match p {
                Prim::Add => a + b,
                Prim::Sub => a - b,
                Prim::Mul => a * b,
                Prim::Div => a / b,
                Prim::Fma => a.mul_add(b, c),
                Prim::Neg => -a,
                Prim::Abs => a.abs(),
                Prim::Min => {
                    if a > b || b.is_nan() {
                        b
                    } else {
                        a
                    }
                }
                Prim::Max => {
                    if a < b || b.is_nan() {
                        b
                    } else {
                        a
                    }
                }
                Prim::Sqrt => a.sqrt(),
                Prim::Floor => a.floor(),
                Prim::Ceil => a.ceil(),
                Prim::Trunc => a.trunc(),
                Prim::Rint => a.round_ties_even(),
                Prim::CopySign => a.copysign(b),
                Prim::Scale => {
                    let m = if b.is_nan() { -$limit } else { b.clamp(-$limit, $limit) };
                    let m = m.round_ties_even() as i64;
                    let exp2 = |e: i64| $t::from_bits(((e + $bias) as $bits) << $mantissa);
                    (a * exp2(m >> 1)) * exp2(m - (m >> 1))
                }
                _ => return None,
            })
        }
    };
}

float_prims!(float_f32, f32, u32, 252.0, 23, 127);
float_prims!(float_f64, f64, u64, 2044.0, 52, 1023);

/// On values sign-extended to 64 bits (u8: zero-extended); the caller wraps the result.
fn integer(p: Prim, t: DType, a: i64, b: i64) -> Result<i64, EvalError> {
    let width = if t == DType::Bool { 1 } else { 8 * t.size() as i64 };
    let in_range = (0..width).contains(&b);
    // The value as an unsigned number of its own width.
    let unsigned = |v: i64| if width == 64 { v as u64 } else { v as u64 & ((1 << width) - 1) };
    Ok(match p {
        Prim::Add => a.wrapping_add(b),
        Prim::Sub => a.wrapping_sub(b),
        Prim::Mul => a.wrapping_mul(b),
        Prim::Neg => a.wrapping_neg(),
        Prim::Abs => a.wrapping_abs(),
        Prim::Min => a.min(b),
        Prim::Max => a.max(b),
        Prim::And => a & b,
        Prim::Or => a | b,
        Prim::Xor => a ^ b,
        Prim::Not if t == DType::Bool => a ^ 1,
        Prim::Not => !a,
        Prim::Shl => {
            if in_range {
                a << b
            } else {
                0
            }
        }
        Prim::Shr => a >> if in_range { b } else { 63 },
        Prim::Lshr => {
            if in_range {
                (unsigned(a) >> b) as i64
            } else {
                0
            }
        }
        Prim::IDiv | Prim::IRem if b == 0 => return Err(EvalError::DivisionByZero),
        Prim::IDiv => a.wrapping_div(b),
        Prim::IRem => a.wrapping_rem(b),
        Prim::MulHi => ((u128::from(unsigned(a)) * u128::from(unsigned(b))) >> width) as i64,
        _ => return Err(EvalError::Invalid(format!("{} is not defined on {t}", p.name()))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorMeta;

    #[test]
    fn reductions_views_and_lanes() {
        let mut g = Graph { inputs: vec![TensorMeta::contiguous(DType::F32, &[2, 3])], ..Graph::default() };
        let x = g.push(GraphOp::Input(0), DType::F32, vec![2, 3]);
        let reduce = |kind, result| GraphOp::Reduce { kind, arg: x, dims: vec![1], result };
        let sum = g.push(reduce(Reduction::Sum, 0), DType::F32, vec![2]);
        let arg = g.push(reduce(Reduction::ArgMax, 1), DType::I64, vec![2]);
        let kept = g.push(GraphOp::View(View::Reshape, sum), DType::F32, vec![2, 1]);
        let diff = g.push(GraphOp::Prim(Prim::Sub, DType::F32, vec![x, kept]), DType::F32, vec![2, 3]);
        let t = g.push(GraphOp::View(View::Permute(vec![1, 0]), diff), DType::F32, vec![3, 2]);
        g.outputs = vec![t, arg];
        let input = Tensor::from_f64(DType::F32, &[2, 3], &[1.0, 2.0, 3.0, 5.0, f64::NAN, 4.0]);
        let out = eval(&g, &[input], &[]).expect("valid");
        assert_eq!([0, 2, 4].map(|i| out[0].to_f64()[i]), [-5.0, -4.0, -3.0]);
        assert_eq!(out[1].data, [2, 1]);
    }

    #[test]
    fn integer_primitives_wrap_to_their_width() {
        let prim = |p, t, a: i64, b: i64| eval_prim(p, t, t, &[a as u64, b as u64]).map(|v| v as i64);
        assert_eq!(prim(Prim::Shr, DType::I32, -8, 40), Ok(-1));
        assert_eq!(prim(Prim::Lshr, DType::I32, -8, 28), Ok(15));
        assert_eq!(prim(Prim::Shl, DType::U8, 3, 7), Ok(128));
        assert_eq!(prim(Prim::MulHi, DType::I32, -1, -1), Ok(-2));
        assert_eq!(prim(Prim::IDiv, DType::I64, i64::MIN, -1), Ok(i64::MIN));
        assert_eq!(prim(Prim::IDiv, DType::I64, 1, 0), Err(EvalError::DivisionByZero));
        assert_eq!(prim(Prim::Not, DType::Bool, 1, 0), Ok(0));
    }

    #[test]
    fn scale_reaches_subnormals_and_saturates() {
        let scale = |a: f32, n: f32| {
            let bits = [a, n].map(|v| u64::from(v.to_bits()));
            f32::from_bits(eval_prim(Prim::Scale, DType::F32, DType::F32, &bits).expect("defined") as u32)
        };
        assert_eq!(scale(1.0, -149.0), f32::from_bits(1));
        assert_eq!(scale(1.0, 1e9), f32::INFINITY);
        assert_eq!(scale(1.0, f32::NAN), 0.0);
        assert_eq!(scale(1.5, 3.0), 12.0);
    }
}
