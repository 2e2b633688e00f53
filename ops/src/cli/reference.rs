//! `docs/ops.md`, made of the op table.

use super::listing::signature;
use crate::table::kinds;
use rusttorch_ir::op::{Class, DTypeRule, OpDef, Row};
use std::fmt::Write as _;

/// Formulas of more lines are approximations, which the command line shows.
const LONGEST: usize = 30;

const HEAD: &str = "\
# Operations

Every row of the op table, made by `rusttorch ops --reference`; a test compares. Each is a function of `rusttorch`, a
name in expressions, and what PyTorch's and NumPy's functions of the row become under `rusttorch.fuse`. What
`torch.nn.functional` has is also in `rusttorch.nn.functional`, with torch's arguments.

- **dtypes**: what operands become before the formula, which then gives results of that dtype, comparisons aside.
  *Float* stands for float32 and float64; integers and bool become the default float dtype where that is said.
- **gradient**: *derived* from the formula, *given* by the row where the formula is an approximation or PyTorch
  chooses at a kink, or none and why.
- **error**: the bound in units of the last place (ULP) within the domain, that the tests hold the row to. Without
  one, the row is exact, or as exact as what it is made of.
- Formulas are in the language of [expressions.md](expressions.md), with the primitives and shape functions that
  `ir/src/graph/intrinsic.rs` lists. Rows that only other rows call are at the end.
";

fn dtypes(rule: DTypeRule) -> &'static str {
    match rule {
        DTypeRule::Inherit => "as the formula says",
        DTypeRule::Promote => "all, promoted",
        DTypeRule::Compare => "all, promoted; values beside a 16-bit float are rounded to it",
        DTypeRule::NoBool(_) => "all but bool, promoted",
        DTypeRule::ToFloat => "all; integers and bool become the default float dtype",
        DTypeRule::Mixed(_) => "float, that of the first",
        DTypeRule::FloatOnly(_) | DTypeRule::FloatElse(_) => "float, promoted",
        DTypeRule::Bitwise(_) => "integers and bool, promoted",
        DTypeRule::IntOnly(_) => "integers, promoted",
        DTypeRule::Logical => "all, as bool",
        DTypeRule::Accumulate => "all; integers and bool become int64",
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Any => "",
        Class::F32 => " (float32 and 16-bit floats)",
        Class::Half => " (16-bit floats)",
        Class::F64 => " (float64)",
        Class::Float => " (float)",
        Class::Int => " (integers)",
        Class::Narrow => " (integers of 8 and 16 bits)",
        Class::I32 => " (int32)",
        Class::U8 => " (uint8)",
        Class::Bool => " (bool)",
    }
}

/// The lines of a body without the indentation of the table's source.
fn lines(body: &str) -> Vec<&str> {
    body.lines().map(str::trim).filter(|l| !l.is_empty()).collect()
}

fn formulas(out: &mut String, row: &Row) {
    for (of, body) in row.body {
        let lines = lines(body);
        if lines.len() > LONGEST {
            let _ = writeln!(out, "- formula{}: {} lines, see `rusttorch ops {}`", class(*of), lines.len(), row.name);
            continue;
        }
        match lines[..] {
            [line] => {
                let _ = writeln!(out, "- formula{}: `{line}`", class(*of));
            }
            _ => {
                let _ = writeln!(out, "- formula{}:\n  ```text\n  {}\n  ```", class(*of), lines.join("\n  "));
            }
        }
    }
}

/// The promised errors.
fn bounds(f32: Option<f64>, f64: Option<f64>, domain: (f64, f64)) -> Option<String> {
    let bounds = [("float32", f32), ("float64", f64)];
    let bounds: Vec<String> = bounds.iter().filter_map(|(d, u)| u.map(|u| format!("{u} at {d}"))).collect();
    let domain = match domain {
        all if all == Row::DEFAULT.domain => String::new(),
        (low, high) => format!(", for x in [{low}, {high}]"),
    };
    (!bounds.is_empty()).then(|| format!("at most {} ULP{domain}", bounds.join(", ")))
}

/// What Python shows as an operation's docstring.
pub fn docstring(op: &OpDef) -> String {
    let mut out = format!("{}\n\n{}\n\nDtypes: {}.\n", signature(op), op.doc, dtypes(op.rule));
    if let Some(bounds) = bounds(op.ulp_f32, op.ulp_f64, op.domain) {
        let _ = writeln!(out, "Error: {bounds}.");
    }
    for (label, text) in [("PyTorch", &op.torch), ("NumPy", &op.np), ("Differs from PyTorch", &op.differs)] {
        if !text.is_empty() {
            let _ = writeln!(out, "{label}: {text}");
        }
    }
    out
}

fn entry(row: &Row) -> String {
    let mut out = format!("### {}\n\n`{}`\n\n{}\n\n", row.name, signature(&OpDef::from(row)), row.doc);
    let _ = writeln!(out, "- dtypes: {}", dtypes(row.rule));
    formulas(&mut out, row);
    let names = |given: &[(&str, &str)]| given.iter().map(|(p, _)| format!("`{p}`")).collect::<Vec<_>>().join(", ");
    let gradient = match (row.no_grad, row.grad) {
        ("", []) => "derived".to_string(),
        ("", given) => {
            format!("given, for {}", names(given))
        }
        (why, []) => format!("none: {why}"),
        (why, given) => format!("given, for {}; for others none: {why}", names(given)),
    };
    let _ = writeln!(out, "- gradient: {gradient}");
    if let Some(bounds) = bounds(row.ulp_f32, row.ulp_f64, row.domain) {
        let _ = writeln!(out, "- error: {bounds}");
    }
    if !row.torch.is_empty() {
        let _ = writeln!(out, "- PyTorch: `{}`", row.torch);
    }
    if !row.np.is_empty() {
        let _ = writeln!(out, "- NumPy: `{}`", row.np);
    }
    if !row.differs.is_empty() {
        let _ = writeln!(out, "- differs from PyTorch: {}", row.differs);
    }
    out
}

/// The whole reference.
pub(super) fn text() -> String {
    let mut out = HEAD.to_string();
    for (title, rows) in kinds() {
        let _ = write!(out, "\n## {title}\n");
        for row in rows.iter().filter(|r| !r.internal) {
            let _ = write!(out, "\n{}", entry(row));
        }
    }
    out += "\n## Parts of others\n";
    for row in kinds().iter().flat_map(|(_, rows)| *rows).filter(|r| r.internal) {
        let _ = write!(out, "\n### {}\n\n`{}`\n\n{}\n\n", row.name, signature(&OpDef::from(row)), row.doc);
        formulas(&mut out, row);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ops.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == super::text(),
            "docs/ops.md is out of date: cargo run -p rusttorch-ops -- ops --reference > docs/ops.md"
        );
    }
}
