//! The record of accuracies and the table made from it.

use crate::accuracy::{Promise, functions, promise};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::Path;

/// Who is measured, in the order of columns.
const WHO: [&str; 3] = ["rusttorch", "torch", "numpy"];

/// The record at `path`, or an empty one.
pub fn read(path: &Path) -> Result<Value, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(json!({ "functions": {} })),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// Replaces a function's results; versions and instruction set of the peers go to the top.
pub fn put(record: &mut Value, name: &str, mut result: Value) {
    if let Some(versions) = result.as_object_mut().and_then(|r| r.remove("versions")) {
        record["versions"] = versions;
    }
    if !record["functions"].is_object() {
        record["functions"] = Value::Object(Map::new());
    }
    record["functions"][name] = result;
}

/// Writes the record.
pub fn write(path: &Path, record: &Value) -> Result<(), String> {
    let text = serde_json::to_string_pretty(record).map_err(|e| e.to_string())?;
    std::fs::write(path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))
}

fn number(v: f64) -> String {
    if v >= 1000.0 { format!("{v:.1e}") } else { format!("{v:.3}") }
}

/// Worst, where, mean; a dash for who has no such function.
fn cells(result: &Value) -> [String; 3] {
    match (result["worst"].as_f64(), result["at"].as_str(), result["mean"].as_f64()) {
        (Some(worst), Some(at), Some(mean)) => {
            let at = at.parse::<f64>().map_or_else(|_| at.to_string(), |v| format!("{v:.5e}"));
            [number(worst), at, if mean >= 1000.0 { number(mean) } else { format!("{mean:.5}") }]
        }
        _ => ["–".into(), "–".into(), "–".into()],
    }
}

/// One line for the terminal.
pub fn line(name: &str, result: &Value) -> String {
    let mut line = format!("{name}:");
    for who in WHO.iter().filter(|w| result[**w].is_object()) {
        let r = &result[*who];
        let [worst, at, mean] = cells(r);
        let _ = write!(line, "  {who} worst {worst} at {at}, mean {mean}");
        if r["mismatched"] != 0 || r["zeros"] != 0 {
            let _ = write!(line, ", {} mismatched ({}), {} zeros", r["mismatched"], r["mismatch"], r["zeros"]);
        }
    }
    line
}

/// The rows that break what is promised of them on the inputs measured, and how.
pub fn broken(record: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for function in functions() {
        let result = &record["functions"][&function.name];
        let worst = |who: &str| result[who]["worst"].as_f64();
        let (Some(promise), Some(ours)) = (promise(&function.name), worst("rusttorch")) else { continue };
        let limit = match promise {
            Promise::One => 1.0,
            Promise::TwoOrTorch => worst("torch").map_or(2.0, |torch| torch.max(2.0)),
        };
        if ours > limit || result["rusttorch"]["mismatched"] != 0 {
            broken.push(format!("`{}` ({}, at most {})", function.text, number(ours), number(limit)));
        }
    }
    broken
}

/// The rows whose worst or mean error is above torch's on the same inputs.
pub fn behind(record: &Value) -> Vec<String> {
    let all = functions().into_iter().filter_map(|function| {
        let result = &record["functions"][&function.name];
        let above = |what: &str| Some(result["rusttorch"][what].as_f64()? > result["torch"][what].as_f64()?);
        (above("worst")? || above("mean")?).then(|| format!("`{}`", function.text))
    });
    all.collect()
}

/// Names in a row, or that there are none.
fn listed(rows: &[String]) -> String {
    if rows.is_empty() { "none".to_string() } else { rows.join(", ") }
}

/// `docs/accuracy.md`.
pub fn document(record: &Value) -> String {
    let v = &record["versions"];
    let version = |key: &str| v[key].as_str().unwrap_or("?").to_string();
    let mut out = format!(
        "# Accuracy\n\n\
         <!-- Written by `make ulp` from benches/records/accuracy.json; not to be edited. -->\n\n\
         Errors of float32 results in units of the last place (ULP), measured by `make ulp` from the exact value: a correctly \
         rounded result has at most 0.5. Beside ours are those of torch {} and NumPy {} on the same inputs and machine \
         ({}, where torch takes many functions from MKL). Inputs are all 2^32 bit patterns, or every n-th one where the \
         column says 1/n. The reference is the crate `core-math` (CORE-MATH, correctly rounded) or, where it has no such \
         function, f64 arithmetic. Results that should be infinite or NaN, and zeros of the other sign, are counted apart, as \
         \"special\". Our results are the same bits on every machine and instruction set.\n\n\
         Promised are at most 1 ULP for exp, exp2, expm1, log, log2, log10, log1p, sin, cos, tan, tanh and erf, and at most 2 ULP \
         or torch's worst, whichever is more, for sigmoid, silu, gelu in both forms (x >= -1; the tail below is a row of its \
         own), softplus, mish and rsqrt. Rows that break it on the inputs measured: {}.\n\n\
         Rows whose worst or mean error is above torch's: {}.\n\n\
         | function | inputs | reference | ours: worst | at | mean | special | torch: worst | at | mean | special | NumPy: worst | at | mean | special |\n\
         |---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        version("torch"),
        version("numpy"),
        version("torch_isa"),
        listed(&broken(record)),
        listed(&behind(record)),
    );
    for function in functions() {
        let result = &record["functions"][&function.name];
        if !result.is_object() {
            continue;
        }
        let mut inputs = match result["stride"].as_u64() {
            Some(1) | None => "all".to_string(),
            Some(n) => format!("1/{n}"),
        };
        match (result["domain"][0].as_f64(), result["domain"][1].as_f64()) {
            (Some(low), _) => _ = write!(inputs, ", x >= {low}"),
            (None, Some(high)) => _ = write!(inputs, ", x < {}", high.next_up()),
            (None, None) => {}
        }
        let _ = write!(out, "| `{}` | {inputs} | {} |", function.text, result["reference"].as_str().unwrap_or("?"));
        for who in WHO {
            let r = &result[who];
            let [worst, at, mean] = cells(r);
            let special = r["mismatched"]
                .as_u64()
                .zip(r["zeros"].as_u64())
                .map_or("–".to_string(), |(m, z)| (m + z).to_string());
            let _ = write!(out, " {worst} | {at} | {mean} | {special} |");
        }
        out.push('\n');
    }
    out
}
