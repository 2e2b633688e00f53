//! `rusttorch ops`.

use super::style::Style;
use crate::engine;
use crate::error::{Error, ErrorKind, Result};
use rusttorch_ir::op::OpDef;
use serde_json::json;
use std::sync::PoisonError;

pub(super) fn signature(op: &OpDef) -> String {
    let params: Vec<String> = op
        .params
        .iter()
        .map(|p| match &p.default {
            Some(d) => format!("{}={d}", p.name),
            None => p.name.clone(),
        })
        .collect();
    format!("{}({})", op.name, params.join(", "))
}

/// The table, or one row of it.
pub fn ops(name: Option<&str>, json: bool, style: Style) -> Result<String> {
    let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
    let describe = |op: &OpDef| {
        let bodies: Vec<String> = op.body.iter().map(|(class, text)| format!("{class:?}: {text}")).collect();
        json!({
            "name": op.name, "signature": signature(op), "doc": op.doc, "torch": op.torch,
            "internal": op.internal, "ulp_f32": op.ulp_f32, "autocast": format!("{:?}", op.autocast).to_lowercase(), "body": bodies,
        })
    };
    let Some(name) = name else {
        if json {
            return Ok(serde_json::Value::from(table.iter().map(|op| describe(op)).collect::<Vec<_>>()).to_string());
        }
        let rows: Vec<(String, &str)> =
            // Those that other operations are made of are found by their names.
            table
                .iter()
                .filter(|op| !op.internal)
                .map(|op| (signature(op), op.doc.lines().next().unwrap_or("")))
                .collect();
        let width = rows.iter().map(|(s, _)| s.len()).max().unwrap_or(0).min(44);
        let lines = rows
            .iter()
            .map(|(s, doc)| format!("{}{:pad$}  {doc}\n", style.bold(s), "", pad = width.saturating_sub(s.len())));
        return Ok(lines.collect::<String>() + &format!("{} operations", rows.len()));
    };
    let Some(op) = table.lookup(name) else {
        let text = format!(
            "there is no operation '{name}'; `rusttorch ops` lists all. Functions over whole arrays (sort, cat, matmul) are \
             Python's alone: help(rusttorch.NAME)"
        );
        return Err(Error::new(ErrorKind::Name, text));
    };
    if json {
        return Ok(describe(&op).to_string());
    }
    let mut text = format!("{}\n{}\n", style.bold(&signature(&op)), op.doc);
    if !op.torch.is_empty() {
        text += &format!("PyTorch: {}\n", op.torch);
    }
    if let Some(ulp) = op.ulp_f32 {
        text += &format!("worst error at f32: {ulp} ULP\n");
    }
    for (class, body) in op.body.iter() {
        text += &format!("\n{}\n{body}\n", style.dim(&format!("body ({class:?})")));
    }
    Ok(text)
}
