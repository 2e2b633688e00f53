//! `rusttorch inspect --last`: what a program under `RUSTTORCH_DUMP` compiled last, or this process.

use super::Emit;
use super::style::Style;
use crate::error::{Error, ErrorKind, Result};
use crate::journal;
use rusttorch_runtime::env::config;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::SystemTime;

/// A kernel: its name, its comment lines, and the texts asked for by name.
struct Shown {
    name: String,
    head: String,
    texts: Vec<(&'static str, String)>,
}

const PARTS: [(Emit, &str, &str); 3] =
    [(Emit::Kernel, "kernel", "rtir"), (Emit::Clif, "clif", "clif"), (Emit::Asm, "asm", "asm")];

fn wanted(emit: Emit) -> impl Iterator<Item = (Emit, &'static str, &'static str)> {
    PARTS.into_iter().filter(move |(part, ..)| emit == Emit::All || emit == *part)
}

/// The last `count` kernels, oldest first.
pub fn report(count: usize, emit: Emit, json: bool, style: Style) -> Result<String> {
    if emit == Emit::Graph {
        return Err(Error::new(ErrorKind::Value, "--last keeps kernels, no graphs: --emit kernel, clif, asm or all"));
    }
    let shown = match &config().dump {
        Some(dir) => dumped(dir, count, emit)?,
        None => remembered(count, emit)?,
    };
    if json {
        let one = |s: &Shown| {
            let head: Vec<&str> = s.head.lines().map(|l| l.trim_start_matches("; ")).collect();
            let mut map =
                Map::from_iter([("name".to_owned(), s.name.clone().into()), ("head".to_owned(), head.into())]);
            map.extend(s.texts.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into())));
            Value::Object(map)
        };
        return Ok(Value::from(shown.iter().map(one).collect::<Vec<_>>()).to_string());
    }
    let mut out = String::new();
    for s in &shown {
        out += &format!("{}\n{}", style.bold(&format!("== {}", s.name)), style.dim(&s.head));
        for (_, text) in &s.texts {
            out += &format!("{}\n", style.code(text));
        }
    }
    Ok(out)
}

fn remembered(count: usize, emit: Emit) -> Result<Vec<Shown>> {
    let records = journal::last();
    if records.is_empty() {
        return Err(Error::new(
            ErrorKind::Value,
            "this process has compiled nothing; for another program's kernels set RUSTTORCH_DUMP to a directory, run \
             it, and ask again",
        ));
    }
    let from = records.len().saturating_sub(count);
    let show = |r: &std::sync::Arc<journal::Record>| {
        let code = r.artifact().map_err(|e| Error::new(ErrorKind::NotImplemented, e))?;
        let text = |part| match part {
            Emit::Kernel => r.kernel.to_string(),
            Emit::Clif => code.clif.clone(),
            _ => code.asm.clone(),
        };
        let texts = wanted(emit).map(|(part, name, _)| (name, text(part))).collect();
        Ok(Shown { name: r.name.clone(), head: r.head(), texts })
    };
    records[from..].iter().map(show).collect()
}

fn dumped(dir: &Path, count: usize, emit: Emit) -> Result<Vec<Shown>> {
    let failed = |e: std::io::Error| Error::new(ErrorKind::Value, format!("RUSTTORCH_DUMP: {}: {e}", dir.display()));
    let mut kernels: Vec<(SystemTime, String)> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".rtir") {
            let written = entry.metadata().and_then(|m| m.modified()).map_err(failed)?;
            kernels.push((written, stem.to_owned()));
        }
    }
    // Numbers decide where the clock of the file system is too coarse.
    kernels.sort();
    if kernels.is_empty() {
        return Err(Error::new(ErrorKind::Value, format!("RUSTTORCH_DUMP: {} holds no kernels", dir.display())));
    }
    let from = kernels.len().saturating_sub(count);
    let show = |(_, name): &(SystemTime, String)| {
        let read = |extension: &str| std::fs::read_to_string(dir.join(format!("{name}.{extension}"))).map_err(failed);
        let is_head = |l: &&str| l.starts_with("; ") && !l.starts_with("; phase");
        let head: String = read("rtir")?.lines().take_while(is_head).map(|l| format!("{l}\n")).collect();
        let body = |text: String| text.strip_prefix(&head).map_or_else(|| text.clone(), str::to_owned);
        let texts: Result<Vec<_>> = wanted(emit).map(|(_, part, ext)| Ok((part, body(read(ext)?)))).collect();
        Ok(Shown { name: name.clone(), head, texts: texts? })
    };
    kernels[from..].iter().map(show).collect()
}
