//! Random graphs and operands for differential tests.
//!
//! Every float is a small integer: results are brought back to [-8, 8] after everything that grows
//! them, and halves are rounded. So sums and products are exact in any order, and whatever computes
//! the graph gives the same bits, comparisons and argmax included.

use super::eval::Tensor;
use super::{Graph, GraphOp, TensorMeta, View, broadcast_shapes, contiguous_strides};
use crate::dtype::{DType, Literal};
use crate::id::{NodeId, ScalarId};
use crate::kernel::Reduction;
pub use crate::kernel::random::Rng;
use crate::prim::Prim;

/// A random graph of at most about 20 nodes, with one to three outputs.
pub fn random_graph(seed: u64) -> Graph {
    let mut b = Builder { g: Graph::default(), rng: Rng::new(seed), only_f32: seed % 4 < 2 };
    let dims: Vec<i64> = (0..4).map(|_| b.rng.pick(&[1, 2, 3, 4, 6, 7, 12])).collect();
    let rank = b.rng.below(5);
    let shape: Vec<i64> = if b.rng.below(25) == 0 { vec![3, 0] } else { dims[..rank].to_vec() };
    for i in 0..=b.rng.below(3) {
        b.input(&shape, i > 0);
    }
    if b.rng.below(3) == 0 {
        b.g.scalars.push(DType::F32);
        b.g.push(GraphOp::Scalar(ScalarId(0)), DType::F32, Vec::new());
    }
    for _ in 0..2 + b.rng.below(7) {
        b.step();
    }
    for _ in 0..=b.rng.below(3) {
        let n = if b.g.outputs.is_empty() { b.g.nodes.len() - 1 } else { b.rng.below(b.g.nodes.len()) };
        let (n, dtype) = (NodeId::new(n), b.narrow());
        let n = if b.g.node(n).dtype == DType::F32 && dtype != DType::F32 { b.convert(n, dtype) } else { n };
        b.g.outputs.push(n);
    }
    b.g
}

/// Operands for a graph of [`random_graph`]: small integers.
pub fn random_tensor(rng: &mut Rng, meta: &TensorMeta) -> Tensor {
    let values: Vec<f64> = (0..meta.numel())
        .map(|_| match meta.dtype {
            DType::Bool => rng.below(2) as f64,
            _ => rng.below(9) as f64 - 4.0,
        })
        .collect();
    // What lies under a stride of 0 is one element.
    let dense = contiguous_strides(&meta.shape);
    let data = (0..meta.numel())
        .map(|at| {
            let index = (0..meta.shape.len())
                .map(|d| if meta.strides[d] == 0 { 0 } else { at / dense[d] % meta.shape[d] * dense[d] });
            values[index.sum::<i64>() as usize]
        })
        .collect::<Vec<f64>>();
    Tensor::from_f64(meta.dtype, &meta.shape, &data)
}

/// Random strides that do not overlap: dense in a random order, perhaps with gaps or backwards.
pub fn random_strides(rng: &mut Rng, shape: &[i64]) -> Vec<i64> {
    if rng.below(2) == 0 {
        return contiguous_strides(shape);
    }
    let mut order: Vec<usize> = (0..shape.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, rng.below(i + 1));
    }
    let mut strides = vec![0; shape.len()];
    let mut step = if rng.below(5) == 0 { 2 } else { 1 };
    for d in order {
        strides[d] = step;
        step *= shape[d].max(1);
        if rng.below(6) == 0 {
            step += 3;
        }
        if rng.below(8) == 0 {
            strides[d] = -strides[d];
        }
    }
    strides
}

struct Builder {
    g: Graph,
    rng: Rng,
    /// Of operands and results.
    only_f32: bool,
}

impl Builder {
    fn shape(&self, n: NodeId) -> Vec<i64> {
        self.g.node(n).shape.clone()
    }

    fn input(&mut self, shape: &[i64], vary: bool) {
        let mut shape = shape.to_vec();
        if vary && self.rng.below(3) == 0 && !shape.is_empty() {
            let from = self.rng.below(shape.len() + 1);
            shape.drain(..from);
        }
        if vary && self.rng.below(3) == 0 && !shape.is_empty() {
            let d = self.rng.below(shape.len());
            shape[d] = 1;
        }
        let mut strides = random_strides(&mut self.rng, &shape);
        if self.rng.below(6) == 0 && !shape.is_empty() {
            let d = self.rng.below(shape.len());
            strides[d] = 0;
        }
        let dtype = self.narrow();
        self.g.inputs.push(TensorMeta { dtype, shape: shape.clone(), strides });
        let id = self.g.push(GraphOp::Input(self.g.inputs.len() - 1), dtype, shape);
        if dtype != DType::F32 {
            self.convert(id, DType::F32);
        }
    }

    /// f32 mostly, or a dtype that holds all integers of these graphs in 8 or 16 bits.
    fn narrow(&mut self) -> DType {
        if self.only_f32 {
            return DType::F32;
        }
        self.rng.pick(&[DType::F32, DType::F32, DType::F32, DType::F16, DType::BF16, DType::I8, DType::I16])
    }

    fn convert(&mut self, n: NodeId, dtype: DType) -> NodeId {
        let shape = self.shape(n);
        self.g.push(GraphOp::Prim(Prim::Convert, dtype, vec![n]), dtype, shape)
    }

    fn number(&mut self, value: f64) -> NodeId {
        self.g.push(GraphOp::Const(Literal::float(DType::F32, value)), DType::F32, Vec::new())
    }

    fn prim(&mut self, prim: Prim, args: &[NodeId]) -> NodeId {
        let t = self.g.node(*args.last().expect("primitives have operands")).dtype;
        let shape = args
            .iter()
            .fold(Vec::new(), |s, &a| broadcast_shapes(&s, &self.shape(a)).expect("operands were chosen to broadcast"));
        let dtype = if prim.is_compare() { DType::Bool } else { t };
        self.g.push(GraphOp::Prim(prim, t, args.to_vec()), dtype, shape)
    }

    fn bounded(&mut self, n: NodeId) -> NodeId {
        let (lo, hi) = (self.number(-8.0), self.number(8.0));
        let n = self.prim(Prim::Max, &[n, lo]);
        self.prim(Prim::Min, &[n, hi])
    }

    fn any_float(&mut self) -> NodeId {
        let floats: Vec<usize> = (0..self.g.nodes.len()).filter(|&i| self.g.nodes[i].dtype == DType::F32).collect();
        // Prefer what is new, so that graphs become deep.
        let at = self.rng.below(floats.len()).max(self.rng.below(floats.len()));
        NodeId::new(floats[at])
    }

    /// A node that broadcasts with `n`.
    fn partner(&mut self, n: NodeId) -> NodeId {
        for _ in 0..8 {
            let m = self.any_float();
            if broadcast_shapes(&self.shape(n), &self.shape(m)).is_ok_and(|s| s.iter().product::<i64>() <= 4096) {
                return m;
            }
        }
        n
    }

    fn view(&mut self, view: View, n: NodeId, shape: Vec<i64>) -> NodeId {
        let dtype = self.g.node(n).dtype;
        self.g.push(GraphOp::View(view, n), dtype, shape)
    }

    fn step(&mut self) -> NodeId {
        let n = self.any_float();
        let shape = self.shape(n);
        match self.rng.below(13) {
            0..=2 => {
                let m = self.partner(n);
                let prim = self.rng.pick(&[Prim::Add, Prim::Sub, Prim::Mul, Prim::Max, Prim::Min]);
                let r = self.prim(prim, &[n, m]);
                self.bounded(r)
            }
            3 => {
                let prim = self.rng.pick(&[Prim::Neg, Prim::Abs]);
                self.prim(prim, &[n])
            }
            // Expensive to compute again.
            4 => {
                let two = self.number(2.0);
                let half = self.prim(Prim::Div, &[n, two]);
                self.prim(Prim::Rint, &[half])
            }
            5 => {
                let (m, k) = (self.partner(n), self.partner(n));
                let prim = self.rng.pick(&[Prim::Lt, Prim::Eq, Prim::Ge]);
                let mask = self.prim(prim, &[n, m]);
                let joint = broadcast_shapes(&self.shape(mask), &self.shape(k));
                let Ok(joint) = joint else { return mask };
                if self.rng.below(2) == 0 {
                    return self.prim(Prim::Select, &[mask, n, k]);
                }
                let slow = self.prim(Prim::Abs, &[n]);
                self.g.push(GraphOp::Cold { mask, slow, fast: k }, DType::F32, joint)
            }
            6..=8 if !shape.is_empty() => self.reduce(n, &shape),
            9 if !shape.is_empty() => {
                let mut perm: Vec<usize> = (0..shape.len()).collect();
                for i in (1..perm.len()).rev() {
                    perm.swap(i, self.rng.below(i + 1));
                }
                let to = perm.iter().map(|&d| shape[d]).collect();
                self.view(View::Permute(perm), n, to)
            }
            10 if !shape.is_empty() => {
                let mut steps = vec![(0, 1); shape.len()];
                let mut to = shape.clone();
                let d = self.rng.below(shape.len());
                if shape[d] > 1 {
                    (steps[d], to[d]) = match self.rng.below(3) {
                        0 => ((shape[d] - 1, -1), shape[d]),
                        1 => ((1, 1), shape[d] - 1),
                        _ => ((0, 2), (shape[d] + 1) / 2),
                    };
                }
                self.view(View::Slice(steps), n, to)
            }
            11 => self.reshape(n, &shape),
            12 if !shape.is_empty() => {
                let dim = self.rng.below(shape.len());
                let dtype = self.rng.pick(&[DType::I32, DType::I64]);
                let iota = self.g.push(GraphOp::Iota { dim }, dtype, shape.clone());
                if self.rng.below(2) == 0 {
                    let r = self.g.push(GraphOp::Prim(Prim::Convert, DType::F32, vec![iota]), DType::F32, shape);
                    return self.bounded(r);
                }
                // The last element along the dimension first.
                let last = self.g.push(GraphOp::Const(Literal::int(dtype, shape[dim] - 1)), dtype, Vec::new());
                let index = self.g.push(GraphOp::Prim(Prim::Sub, dtype, vec![last, iota]), dtype, shape.clone());
                self.g.push(GraphOp::Gather { source: n, index, dim }, DType::F32, shape)
            }
            _ => n,
        }
    }

    fn reduce(&mut self, n: NodeId, shape: &[i64]) -> NodeId {
        let mut dims: Vec<usize> = (0..shape.len()).filter(|_| self.rng.below(2) == 0).collect();
        if dims.is_empty() {
            dims = vec![self.rng.below(shape.len())];
        }
        let to: Vec<i64> = (0..shape.len()).filter(|d| !dims.contains(d)).map(|d| shape[d]).collect();
        let keep: Vec<i64> = (0..shape.len()).map(|d| if dims.contains(&d) { 1 } else { shape[d] }).collect();
        let kind = self.rng.pick(&[
            Reduction::Sum,
            Reduction::Sum,
            Reduction::Max,
            Reduction::Min,
            Reduction::ArgMax,
            Reduction::ArgMin,
            Reduction::Any,
        ]);
        let empty = shape.iter().product::<i64>() == 0;
        let r = match kind {
            Reduction::ArgMax | Reduction::ArgMin if !empty => {
                let result = self.rng.below(2);
                let dtype = [DType::F32, DType::I64][result];
                let r = self.g.push(GraphOp::Reduce { kind, arg: n, dims, result }, dtype, to.clone());
                match result {
                    0 => r,
                    _ => self.g.push(GraphOp::Prim(Prim::Convert, DType::F32, vec![r]), DType::F32, to),
                }
            }
            Reduction::Any => {
                let zero = self.number(0.0);
                let arg = self.prim(Prim::Gt, &[n, zero]);
                let r = self.g.push(GraphOp::Reduce { kind, arg, dims, result: 0 }, DType::Bool, to.clone());
                self.g.push(GraphOp::Prim(Prim::Convert, DType::F32, vec![r]), DType::F32, to)
            }
            _ => {
                let kind = if kind.arity() == 2 { Reduction::Sum } else { kind };
                self.g.push(GraphOp::Reduce { kind, arg: n, dims, result: 0 }, DType::F32, to)
            }
        };
        let r = self.bounded(r);
        if self.rng.below(3) > 0 { self.view(View::Reshape, r, keep) } else { r }
    }

    fn reshape(&mut self, n: NodeId, shape: &[i64]) -> NodeId {
        let total: i64 = shape.iter().product();
        if total == 0 {
            return n;
        }
        let mut rest = total;
        let mut to = Vec::new();
        for _ in 0..self.rng.below(4) {
            let f = self.rng.pick(&[1, 2, 3, 4, 6]);
            if rest % f == 0 {
                to.push(f);
                rest /= f;
            }
        }
        let at = self.rng.below(to.len() + 1);
        to.insert(at, rest);
        self.view(View::Reshape, n, to)
    }
}
