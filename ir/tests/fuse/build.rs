//! Builds graphs, and compares their kernels with the evaluator.

use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::fuse::{FuseOptions, Fused, fuse};
use rusttorch_ir::graph::eval::{Tensor, eval};
use rusttorch_ir::graph::random::{Rng, random_tensor};
use rusttorch_ir::graph::{Graph, GraphOp, TensorMeta, View, broadcast_shapes};
use rusttorch_ir::id::{BufferId, NodeId, ScalarId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::interp::{Array, run};
use rusttorch_ir::kernel::verify::verify;
use rusttorch_ir::kernel::{Inst, Kernel, Op, Order, Phase, Reduction};
use rusttorch_ir::prim::Prim;

#[derive(Default)]
pub struct Build(pub Graph);

impl Build {
    pub fn strided(&mut self, dtype: DType, shape: &[i64], strides: &[i64]) -> NodeId {
        self.0.inputs.push(TensorMeta { dtype, shape: shape.to_vec(), strides: strides.to_vec() });
        self.0.push(GraphOp::Input(self.0.inputs.len() - 1), dtype, shape.to_vec())
    }
    pub fn input(&mut self, shape: &[i64]) -> NodeId {
        let strides = TensorMeta::contiguous(DType::F32, shape).strides;
        self.strided(DType::F32, shape, &strides)
    }
    pub fn number(&mut self, v: f64) -> NodeId {
        self.0.push(GraphOp::Const(Literal::float(DType::F32, v)), DType::F32, vec![])
    }
    pub fn scalar(&mut self) -> NodeId {
        self.0.scalars.push(DType::F32);
        self.0.push(GraphOp::Scalar(ScalarId::new(self.0.scalars.len() - 1)), DType::F32, vec![])
    }
    pub fn prim(&mut self, p: Prim, args: &[NodeId]) -> NodeId {
        let t = self.0.node(*args.last().unwrap()).dtype;
        let shape = args.iter().fold(vec![], |s, &a| broadcast_shapes(&s, &self.0.node(a).shape).unwrap());
        let dtype = if p.is_compare() { DType::Bool } else { t };
        self.0.push(GraphOp::Prim(p, t, args.to_vec()), dtype, shape)
    }
    pub fn view(&mut self, v: View, n: NodeId, shape: &[i64]) -> NodeId {
        let dtype = self.0.node(n).dtype;
        self.0.push(GraphOp::View(v, n), dtype, shape.to_vec())
    }
    pub fn permute(&mut self, n: NodeId, perm: &[usize]) -> NodeId {
        let shape: Vec<i64> = perm.iter().map(|&d| self.0.node(n).shape[d]).collect();
        self.view(View::Permute(perm.to_vec()), n, &shape)
    }
    pub fn result(&mut self, kind: Reduction, n: NodeId, dims: &[usize], result: usize) -> NodeId {
        let from = self.0.node(n);
        let dtype = if result == 1 { DType::I64 } else { from.dtype };
        let shape = (0..from.shape.len()).filter(|d| !dims.contains(d)).map(|d| from.shape[d]).collect();
        self.0.push(GraphOp::Reduce { kind, arg: n, dims: dims.to_vec(), result }, dtype, shape)
    }
    pub fn reduce(&mut self, kind: Reduction, n: NodeId, dims: &[usize]) -> NodeId {
        self.result(kind, n, dims, 0)
    }
    /// Reduces and keeps the dimensions as extents of 1.
    pub fn keep(&mut self, kind: Reduction, n: NodeId, dims: &[usize]) -> NodeId {
        let mut shape = self.0.node(n).shape.clone();
        dims.iter().for_each(|&d| shape[d] = 1);
        let r = self.reduce(kind, n, dims);
        self.view(View::Reshape, r, &shape)
    }
    /// Something with the cost of `exp`, exact on small integers.
    pub fn costly(&mut self, n: NodeId) -> NodeId {
        let half = self.number(2.0);
        let x = self.prim(Prim::Div, &[n, half]);
        self.prim(Prim::Rint, &[x])
    }
    pub fn mean(&mut self, n: NodeId, dims: &[usize]) -> NodeId {
        let sum = self.keep(Reduction::Sum, n, dims);
        let count = self.scalar();
        self.prim(Prim::Div, &[sum, count])
    }
    pub fn softmax(&mut self, x: NodeId, dim: usize) -> NodeId {
        let max = self.keep(Reduction::Max, x, &[dim]);
        let x = self.prim(Prim::Sub, &[x, max]);
        let e = self.costly(x);
        let sum = self.keep(Reduction::Sum, e, &[dim]);
        self.prim(Prim::Div, &[e, sum])
    }
    pub fn log_softmax(&mut self, x: NodeId, dim: usize) -> NodeId {
        let max = self.keep(Reduction::Max, x, &[dim]);
        let x = self.prim(Prim::Sub, &[x, max]);
        let e = self.costly(x);
        let sum = self.keep(Reduction::Sum, e, &[dim]);
        self.prim(Prim::Sub, &[x, sum])
    }
    /// The deviations, and their mean square.
    pub fn var(&mut self, x: NodeId, dims: &[usize]) -> (NodeId, NodeId) {
        let mean = self.mean(x, dims);
        let d = self.prim(Prim::Sub, &[x, mean]);
        let sq = self.prim(Prim::Mul, &[d, d]);
        (d, self.mean(sq, dims))
    }
    pub fn layer_norm(&mut self, x: NodeId, dims: &[usize]) -> NodeId {
        let (d, var) = self.var(x, dims);
        let eps = self.scalar();
        let v = self.prim(Prim::Add, &[var, eps]);
        let sd = self.prim(Prim::Sqrt, &[v]);
        let one = self.number(1.0);
        let rsd = self.prim(Prim::Div, &[one, sd]);
        self.prim(Prim::Mul, &[d, rsd])
    }
    pub fn done(mut self, outputs: &[NodeId]) -> Graph {
        self.0.outputs = outputs.to_vec();
        self.0
    }
}

pub fn dense(g: &Graph) -> Vec<TensorMeta> {
    g.outputs.iter().map(|&n| TensorMeta::contiguous(g.node(n).dtype, &g.node(n).shape)).collect()
}

/// Lowest and one past the highest element of a strided tensor, relative to its first.
fn extent(m: &TensorMeta) -> (i64, i64) {
    if m.numel() == 0 {
        return (0, 0);
    }
    let reach = |sign: i64| -> i64 {
        m.shape.iter().zip(&m.strides).map(|(n, s)| (n - 1) * s).filter(|x| x.signum() == sign).sum()
    };
    (reach(-1), reach(1) + 1)
}

fn elements(m: &TensorMeta) -> impl Iterator<Item = i64> + '_ {
    let dense = TensorMeta::contiguous(m.dtype, &m.shape).strides;
    let lowest = extent(m).0;
    (0..m.numel())
        .map(move |at| (0..m.shape.len()).map(|d| at / dense[d] % m.shape[d] * m.strides[d]).sum::<i64>() - lowest)
}

/// Buffers of the interpreter begin at element 0: moves the accesses of backward tensors.
fn shift(k: &mut Kernel, buffer: usize, by: i64) {
    let shift = |inst: &mut Inst| match &mut inst.op {
        Op::Load { buffer: b, index, .. } | Op::Store { buffer: b, index, .. } if *b == BufferId::new(buffer) => {
            *index = index.clone() + IndexExpr::Const(by);
        }
        _ => {}
    };
    k.phases.iter_mut().flat_map(|p| &mut p.nests).flat_map(|n| &mut n.body).for_each(shift);
}

fn scalars(g: &Graph) -> Vec<Literal> {
    g.scalars.iter().map(|&d| Literal::from_f64(d, 4.0)).collect()
}

/// Fuses, verifies, interprets and compares with the evaluator. `tolerance` is relative; random
/// graphs are exact.
pub fn compare(g: &Graph, outputs: &[TensorMeta], opts: &FuseOptions, seed: u64, tolerance: f64) -> Fused {
    let fused = fuse(g, outputs, opts).unwrap();
    let text = fused.kernel.to_string();
    let context = || format!("{text}\n{:?}\n{g:#?}\n{outputs:?}", fused.syms);
    verify(&fused.kernel).unwrap_or_else(|e| panic!("{e:?}\n{}", context()));
    let mut rng = Rng::new(seed);
    let inputs: Vec<Tensor> = g.inputs.iter().map(|m| random_tensor(&mut rng, m)).collect();
    let wanted = eval(g, &inputs, &scalars(g)).unwrap_or_else(|e| panic!("{e:?}\n{}", context()));
    let mut kernel = fused.kernel.clone();
    let mut args = Vec::new();
    for (i, m) in g.inputs.iter().chain(outputs).enumerate() {
        let (low, high) = extent(m);
        let mut a = Array::zeros(m.dtype, (high - low) as usize);
        if let Some(t) = inputs.get(i) {
            elements(m).zip(&t.data).for_each(|(at, &bits)| a.set(at as usize, bits));
        }
        if low < 0 {
            shift(&mut kernel, i, -low);
        }
        args.push(a);
    }
    let error = run(&kernel, &fused.syms, &scalars(g), &mut args).unwrap_or_else(|e| panic!("{e:?}\n{}", context()));
    assert!(error.is_none(), "{error:?}\n{}", context());
    for (o, (m, t)) in outputs.iter().zip(&wanted).enumerate() {
        let got = &args[g.inputs.len() + o];
        for (i, (at, &bits)) in elements(m).zip(&t.data).enumerate() {
            let value = |bits| Literal { dtype: m.dtype, bits }.as_f64();
            let (a, b) = (value(got.get(at as usize)), value(bits));
            let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs().max(1.0);
            assert!(same, "output {o}, element {i}: {a} is not {b}\n{}", context());
        }
    }
    fused
}

pub fn check_with(g: &Graph, opts: &FuseOptions) -> Kernel {
    compare(g, &dense(g), opts, 1, 1e-5).kernel
}

pub fn check(g: &Graph) -> Kernel {
    check_with(g, &FuseOptions::default())
}

/// Blocks everything that has more than a few elements.
pub fn tiny() -> FuseOptions {
    FuseOptions { long_lanes: 5, long_rows: 5, block_lanes: 4, block_rows: 4 }
}

/// Per phase: outer axes, then the axes of every nest that has some, then how many have none.
pub fn shape_of(k: &Kernel) -> String {
    let phase = |p: &Phase| {
        let bare = p.nests.iter().filter(|n| n.axes.is_empty()).count();
        let own: Vec<usize> = p.nests.iter().filter(|n| !n.axes.is_empty()).map(|n| n.axes.len()).collect();
        format!("{}:{own:?}+{bare}", p.axes.len())
    };
    k.phases.iter().map(phase).collect::<Vec<_>>().join(" ")
}

pub fn orders(k: &Kernel) -> Vec<Order> {
    let all = k.phases.iter().flat_map(|p| &p.nests).flat_map(|n| &n.body);
    all.filter_map(|i| if let Op::Reduce { order, .. } = i.op { Some(order) } else { None }).collect()
}
