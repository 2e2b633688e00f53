//! Machine code for aarch64, run by qemu: the file tests and random cases, bit for bit against the interpreter.
//! `make test-aarch64` runs it; it needs `qemu-aarch64` (Debian: qemu-user).

mod common;

use common::random::{graph_case, kernel_case};
use common::{Case, corpus};
use rusttorch_ir::kernel::Op;
use std::path::PathBuf;

/// What runs the programs.
const QEMU: &str = "qemu-aarch64";

/// True for kernels that call functions of the host other than the one the programs bring.
fn calls(case: &Case) -> bool {
    fn any(body: &[rusttorch_ir::kernel::Inst]) -> bool {
        body.iter().any(|i| match &i.op {
            Op::Call { .. } => true,
            Op::Cold { body, .. } => any(body),
            _ => false,
        })
    }
    case.kernel.phases.iter().flat_map(|p| &p.nests).any(|n| any(&n.body))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().expect("a number"))
}

#[test]
#[ignore = "needs qemu-aarch64: make test-aarch64"]
fn same_bits() {
    let seeds = number("SEEDS", 150);
    let file: PathBuf = std::env::temp_dir().join(format!("rusttorch-aarch64-{}", std::process::id()));
    let files = corpus::files().into_iter().map(|p| {
        let text = std::fs::read_to_string(&p).expect("a readable file");
        (p.display().to_string(), corpus::case(&text).unwrap_or_else(|e| panic!("{}: {e}", p.display())))
    });
    let kernels = (0..seeds).map(|s| (format!("kernel of seed {s}"), kernel_case(s)));
    let graphs = (0..seeds).map(|s| (format!("graph of seed {s}"), graph_case(s)));
    let (mut ran, mut skipped) = (0u64, 0u64);
    for (n, (name, case)) in files.chain(kernels).chain(graphs).enumerate() {
        if calls(&case) {
            skipped += 1;
            continue;
        }
        let tile = 16 * (1 + n % 5);
        case.check_aarch64(QEMU, &file, tile).unwrap_or_else(|e| panic!("{name}: {e}"));
        ran += 1;
    }
    // Nothing is left to clean up when a case fails: its program helps to find out why.
    _ = std::fs::remove_file(&file);
    println!("{ran} cases equal to the interpreter, {skipped} left out for their calls of libm");
    assert!(ran > 2 * skipped, "too few ran");
}
