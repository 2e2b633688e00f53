//! The file tests of `codegen/filetests` as cases.

use super::Case;
use rusttorch_ir::dtype::Literal;
use rusttorch_ir::kernel::Kernel;
use rusttorch_ir::kernel::interp::Array;
use rusttorch_ir::kernel::parse::parse;
use rusttorch_ir::kernel::random::Rng;
use std::path::{Path, PathBuf};

/// The files, in order.
pub fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../codegen/filetests");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the corpus")
        .map(|f| f.expect("a directory entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "rtir"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Numbers after a word, up to the next word.
fn numbers(words: &str, after: &str) -> Vec<i64> {
    let words = words.split_whitespace().skip_while(|w| *w != after).skip(1);
    words.map_while(|w| w.parse().ok()).collect()
}

fn with_args(kernel: &Kernel, text: &str) -> Option<Case> {
    let header = text.lines().find_map(|l| l.strip_prefix("; args "))?;
    let mut rng = Rng::new(*numbers(header, "seed").first()? as u64);
    let lengths = numbers(header, "lengths");
    if lengths.len() != kernel.args() {
        return None;
    }
    let args: Vec<Array> = lengths.iter().zip(&kernel.buffers).map(|(&n, b)| rng.array(b.dtype, n as usize)).collect();
    let scalars: Vec<Literal> = kernel.scalars.iter().map(|&d| rng.literal(d)).collect();
    Some(Case::new(kernel, &numbers(header, "syms"), &scalars, &args))
}

/// The kernel of a file with the arguments that its header asks for.
pub fn case(text: &str) -> Result<Case, String> {
    let kernel = parse(text).map_err(|e| e.to_string())?;
    with_args(&kernel, text).ok_or_else(|| "no line `; args syms S.. seed N lengths L..` that fits".to_owned())
}
