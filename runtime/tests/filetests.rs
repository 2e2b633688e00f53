//! The corpus `codegen/filetests/*.rtir`: every file runs through the interpreter and through machine
//! code at every instruction set of this machine, compiles for every other one, and must leave what
//! stands in its trailing comments.
//!
//! A header, in comments:
//!
//! - `args syms S.. seed N lengths L..`: symbols, the seed of arguments and scalars, elements per argument;
//! - `check ISA: TEXT`, any number of times: the assembly for ISA contains TEXT.
//!
//! The expectation is in lines that begin with `; =`: an argument that may be written per line, its elements
//! or, beyond [`SHOWN`], a hash of their bits (any NaN as one NaN), and the error record if there is one.
//! With `RUSTTORCH_BLESS=1` set the expectations are written anew.

mod common;

use common::corpus;
use rusttorch_codegen::{Emitters, Isa, compile_for};
use rusttorch_ir::kernel::interp::{Array, IndexError};
use rusttorch_ir::kernel::{BufferKind, Kernel};
use std::fmt::Write;
use std::path::Path;

/// Elements that are written out.
const SHOWN: usize = 40;
const MARK: &str = "; =";

fn expectation(kernel: &Kernel, args: &[Array], error: Option<IndexError>) -> String {
    let mut out = String::new();
    for (a, b) in args.iter().zip(&kernel.buffers).filter(|(_, b)| b.kind != BufferKind::In) {
        let values: Vec<String> = a.to_f64().iter().map(|v| format!("{v:?}")).collect();
        let shown = if values.len() <= SHOWN {
            values.join(" ")
        } else {
            let hash = values
                .iter()
                .flat_map(|v| v.bytes())
                .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
            format!("{} elements, {hash:016x}", values.len())
        };
        _ = writeln!(out, "{MARK} {}: {shown}", b.name);
    }
    if let Some(e) = error {
        _ = writeln!(out, "{MARK} error: site {}, position {}, value {}, size {}", e.site, e.position, e.value, e.size);
    }
    out
}

fn run(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let case = corpus::case(&text)?;
    let kernel = &case.kernel;
    case.check()?;
    for (isa, name) in Isa::NAMES {
        let asm = compile_for(kernel, isa, Emitters::Widest).map_err(|e| format!("{isa}: {e}"))?.asm;
        let prefix = format!("; check {name}: ");
        for want in text.lines().filter_map(|l| l.strip_prefix(&prefix)) {
            if !asm.contains(want.trim()) {
                return Err(format!("no {want} for {isa}:\n{asm}"));
            }
        }
    }
    let (args, error) = case.interpret()?;
    let want = expectation(kernel, &args, error);
    let is_mark = |l: &&str| l.starts_with(MARK);
    let have: String = text.lines().filter(is_mark).flat_map(|l| [l, "\n"]).collect();
    if have == want {
        return Ok(());
    }
    if std::env::var_os("RUSTTORCH_BLESS").is_some_and(|v| v == "1") {
        let rest: String = text.lines().filter(|l| !is_mark(l)).flat_map(|l| [l, "\n"]).collect();
        return std::fs::write(path, rest + &want).map_err(|e| e.to_string());
    }
    Err(format!("expected\n{have}but it is\n{want}Set RUSTTORCH_BLESS=1 to take it over."))
}

#[test]
fn corpus() {
    let failures: Vec<String> = corpus::files()
        .iter()
        .filter_map(|p| run(p).err().map(|e| format!("{}: {e}", p.file_name().expect("a file").display())))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
