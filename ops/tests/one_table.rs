//! Ops are named in the op table alone: the code generator and the runtime know primitives, not ops.

use rusttorch_ir::kernel::Func;
use rusttorch_ir::prim::Prim;
use rusttorch_ops::table::rows;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Row names that are words of Rust and its library, or mean other things there: a reduction of kernels, a
/// sign bit, a mean of random numbers, an instruction, an outer loop, the word of an error.
const WORDS: [&str; 13] = [
    "where",
    "clamp",
    "round",
    "prod",
    "sign",
    "positive",
    "remainder",
    "mean",
    "gather",
    "outer",
    "above",
    "below",
    "maximum",
];

/// `layer_norm` as `LayerNorm`.
fn camel(name: &str) -> String {
    let part = |p: &str| p.chars().take(1).flat_map(char::to_uppercase).chain(p.chars().skip(1)).collect::<String>();
    name.split('_').map(part).collect()
}

fn check(dir: &Path, names: &BTreeSet<String>, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            check(&path, names, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            for (i, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or("");
                let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                let named = words.filter(|w| names.contains(*w));
                found.extend(named.map(|w| format!("{}:{}: {w}", path.display(), i + 1)));
            }
        }
    }
}

#[test]
fn only_the_table_names_ops() {
    let known = |name: &str| Prim::parse(name).is_some() || Func::parse(name).is_some() || WORDS.contains(&name);
    // Tensors of the runtime have views.
    let rows = rows().filter(|row| row.unreferenced != "moves elements");
    let names = rows.map(|row| row.name).filter(|n| n.len() >= 4 && !known(n));
    let names: BTreeSet<String> = names.flat_map(|n| [n.to_string(), camel(n)]).collect();
    for name in ["gelu", "silu", "mish", "softmax", "LayerNorm", "cross_entropy"] {
        assert!(names.contains(name), "{name}");
    }
    let mut found = Vec::new();
    for dir in ["codegen/src", "runtime/src"] {
        check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(dir), &names, &mut found);
    }
    assert!(found.is_empty(), "ops are named outside of the table:\n{}", found.join("\n"));
}
