//! What the engine compiled, for people: the last kernels with where they came from, the files of
//! `RUSTTORCH_DUMP`, the map of `RUSTTORCH_PERF_MAP`, and the log.
//!
//! Nothing here may fail a program: what cannot be written is a warning in the log.

use rusttorch_codegen::{Artifact, CodegenError, Compiled, Emitters, Isa, Symbol, compile_for};
use rusttorch_ir::expr::Program;
use rusttorch_ir::kernel::Kernel;
use rusttorch_runtime::env::{LogLevel, config};
use rusttorch_runtime::log::log;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Kernels that are remembered.
const REMEMBERED: usize = 32;

/// What a kernel was compiled for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The program's text.
    pub expr: String,
    /// `file:line` of the call, where the front end knows it.
    pub source: Option<String>,
}

/// A kernel that was compiled.
#[derive(Debug)]
pub struct Record {
    /// `kernel-PID-NUMBER`: the name of its files and its symbol in a profile.
    pub name: String,
    /// Where it came from.
    pub origin: Origin,
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// What it was compiled for.
    pub isa: Isa,
    /// Who emitted it.
    pub emitters: Emitters,
    /// Bytes of machine code.
    pub code_size: usize,
    /// How long it took.
    pub compile_ms: f64,
}

static LAST: Mutex<VecDeque<Arc<Record>>> = Mutex::new(VecDeque::new());
static LOCATE: OnceLock<fn() -> Option<String>> = OnceLock::new();

/// The front end's way to tell the line of the user's code that is running. It is asked before a kernel is
/// compiled, while no lock is held.
pub fn set_locator(locate: fn() -> Option<String>) {
    // The first one stays.
    let _ = LOCATE.set(locate);
}

impl Origin {
    /// Of a program that is called now.
    pub(crate) fn here(program: &Program) -> Origin {
        Origin { expr: program.to_string(), source: LOCATE.get().and_then(|locate| locate()) }
    }
}

impl Record {
    /// Cranelift's form and the assembly.
    pub fn artifact(&self) -> Result<Artifact, CodegenError> {
        compile_for(&self.kernel, self.isa, self.emitters)
    }

    /// Comment lines that say what it is; `.rtir`, `.clif` and `.asm` all take them.
    pub fn head(&self) -> String {
        let mut text = format!("; {}\n", self.origin.expr.replace('\n', "; "));
        if let Some(source) = &self.origin.source {
            let _ = writeln!(text, "; from {source}");
        }
        let _ = writeln!(text, "; {}: {}, {} bytes, {:.2} ms", self.name, self.isa, self.code_size, self.compile_ms);
        text
    }
}

/// The kernels that this process compiled last, oldest first.
pub fn last() -> Vec<Arc<Record>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Remembers a compiled kernel and leaves what the environment asks for.
pub(crate) fn compiled(kernel: &Arc<Kernel>, emitters: Emitters, compiled: &Compiled, origin: Origin) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let record = Arc::new(Record {
        name: format!("kernel-{}-{:04}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)),
        origin,
        kernel: kernel.clone(),
        isa: compiled.isa,
        emitters,
        code_size: compiled.code_size,
        compile_ms: compiled.compile_time.as_secs_f64() * 1e3,
    });
    if let Some(dir) = &config().dump {
        dump(&record, dir);
    }
    if config().perf_map {
        let path = PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
        append(&path, &perf_lines(&record.name, compiled));
    }
    log(LogLevel::Info, || record.head().trim_start_matches("; ").trim_end().replace("\n; ", ", "));
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.len() == REMEMBERED {
        last.pop_front();
    }
    last.push_back(record);
}

/// One line per function, as `perf` reads them: start and size in hexadecimal, and a name.
fn perf_lines(name: &str, compiled: &Compiled) -> String {
    let line = |s: &Symbol| format!("{:x} {:x} rusttorch:{name}:{}\n", s.address, s.size, s.name);
    compiled.symbols().iter().map(line).collect()
}

fn append(path: &Path, text: &str) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    if let Err(e) = file.and_then(|mut f| f.write_all(text.as_bytes())) {
        log(LogLevel::Warn, || format!("{}: {e}", path.display()));
    }
}

fn dump(record: &Record, dir: &Path) {
    let mut parts = vec![("rtir", record.kernel.to_string())];
    match record.artifact() {
        Ok(artifact) => parts.extend([("clif", artifact.clif), ("asm", artifact.asm)]),
        Err(e) => log(LogLevel::Warn, || format!("{}: {e}", record.name)),
    }
    for (extension, text) in parts {
        let path = dir.join(format!("{}.{extension}", record.name));
        let text = record.head() + &text;
        if let Err(e) = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, text)) {
            log(LogLevel::Warn, || format!("{}: {e}", path.display()));
        }
    }
}
