//! Random cases: kernels of `rusttorch_ir::kernel::random`, and fused graphs.

use super::{Case, has_moments};
use rusttorch_ir::dtype::Literal;
use rusttorch_ir::fuse::{FuseOptions, fuse};
use rusttorch_ir::graph::TensorMeta;
use rusttorch_ir::graph::random::{Rng as GraphRng, random_graph, random_strides};
use rusttorch_ir::id::BufferId;
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::random::{Rng, random_kernel};
use rusttorch_ir::kernel::simplify::simplify;
use rusttorch_ir::kernel::{Kernel, Op};

/// The random kernel of a seed. Every second one is simplified, and all that have `moments`: those of what
/// a nest has just stored are expanded only after `simplify`.
pub fn kernel_case(seed: u64) -> Case {
    let mut case = random_kernel(seed);
    let args = case.args(seed);
    if has_moments(&case.kernel) || seed % 2 == 1 {
        simplify(&mut case.kernel);
    }
    Case::new(&case.kernel, &case.syms, &case.scalars, &args)
}

/// The random graph of a seed, fused and simplified, over random layouts. Every second one cuts its
/// reductions into small blocks.
pub fn graph_case(seed: u64) -> Case {
    let g = random_graph(seed);
    let mut layout = GraphRng::new(!seed);
    let outputs: Vec<TensorMeta> = g
        .outputs
        .iter()
        .map(|&n| {
            let node = g.node(n);
            let strides = random_strides(&mut layout, &node.shape);
            TensorMeta { dtype: node.dtype, shape: node.shape.clone(), strides }
        })
        .collect();
    let tiny = FuseOptions { long_lanes: 5, long_rows: 5, block_lanes: 4, block_rows: 4 };
    let options = if seed.is_multiple_of(2) { FuseOptions::default() } else { tiny };
    let fused = fuse(&g, &outputs, &options).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let mut kernel = fused.kernel;
    simplify(&mut kernel);
    let mut shifted = kernel.clone();
    let mut rng = Rng::new(seed);
    let (mut args, mut lows) = (Vec::new(), Vec::new());
    for (i, m) in g.inputs.iter().chain(&outputs).enumerate() {
        let (low, high) = extent(m);
        args.push(rng.array(m.dtype, (high - low) as usize));
        lows.push(low);
        shift(&mut shifted, i, -low);
    }
    let scalars = g.scalars.iter().map(|&d| Literal::from_f64(d, 4.0)).collect();
    Case { kernel, shifted: Some(shifted), syms: fused.syms, scalars, args, lows }
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

/// Moves the accesses of a buffer, as the interpreter's begin at element 0.
fn shift(k: &mut Kernel, buffer: usize, by: i64) {
    for inst in k.phases.iter_mut().flat_map(|p| &mut p.nests).flat_map(|n| &mut n.body) {
        match &mut inst.op {
            Op::Load { buffer: b, index, .. } | Op::Store { buffer: b, index, .. } if *b == BufferId::new(buffer) => {
                *index = index.clone() + IndexExpr::Const(by);
            }
            _ => {}
        }
    }
}
