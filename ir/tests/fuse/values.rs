//! Values: random graphs.

use crate::build::*;
use rusttorch_ir::fuse::FuseOptions;
use rusttorch_ir::graph::TensorMeta;
use rusttorch_ir::graph::random::{Rng, random_graph, random_strides};

#[test]
fn random_graphs() {
    let from: u64 = std::env::var("FUSE_SEED").map_or(0, |s| s.parse().unwrap());
    for seed in from..from + std::env::var("FUSE_RUNS").map_or(2000, |s| s.parse().unwrap()) {
        let g = random_graph(seed);
        let mut rng = Rng::new(!seed);
        let outputs: Vec<TensorMeta> =
            dense(&g).into_iter().map(|m| TensorMeta { strides: random_strides(&mut rng, &m.shape), ..m }).collect();
        let opts = if seed % 2 == 0 { FuseOptions::default() } else { tiny() };
        let failed = std::panic::catch_unwind(|| compare(&g, &outputs, &opts, seed, 0.0)).is_err();
        assert!(!failed, "seed {seed}");
    }
}
