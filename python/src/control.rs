//! Threads, the kernel cache, and what the engine reports of itself.

use crate::{through, torch};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rusttorch_ops::{engine, journal};
use rusttorch_runtime::alloc;
use rusttorch_runtime::env::{self, LogLevel};
use rusttorch_runtime::log;
use rusttorch_runtime::pool::{self, Parallel};

/// Caps the threads of this package's calls.
#[pyfunction]
fn set_num_threads(n: i64) -> PyResult<()> {
    match usize::try_from(n) {
        Ok(n) if n > 0 => {
            pool::set_num_threads(n);
            Ok(())
        }
        _ => Err(PyValueError::new_err("set_num_threads expects a positive integer")),
    }
}

/// The `rusttorch` command; `argv` begins with the program's name. Gives the exit code.
#[pyfunction]
fn cli(py: Python<'_>, argv: Vec<String>) -> i32 {
    let import = |module: &str| {
        Python::attach(|py| {
            // As `python -m` does: modules beside the user are found.
            py.import("sys")?.getattr("path")?.call_method1("insert", (0, ""))?;
            py.import("importlib")?.call_method1("import_module", (module,)).map(drop)
        })
        .map_err(|e: PyErr| e.to_string())
    };
    py.detach(|| rusttorch_ops::cli::main_with(argv, Some(&import)))
}

#[pyfunction]
fn _threads(py: Python<'_>) -> PyResult<(usize, &'static str)> {
    threads(py)
}

/// (threads that a call may use, whose they are: "rusttorch" or "torch").
pub fn threads(py: Python<'_>) -> PyResult<(usize, &'static str)> {
    Ok(match torch::loaded(py)?.and_then(|t| t.pool()) {
        Some(foreign) if pool::is_num_threads_set() => (foreign.threads().min(pool::num_threads()), "torch"),
        Some(foreign) => (foreign.threads(), "torch"),
        None => (pool::num_threads(), "rusttorch"),
    })
}

/// Runs of less work than this (about a microsecond) are not worth a look at how many threads there are.
const SHARE_FROM: u64 = 40_000;
/// Runs of at least so much work (10 to 20 us) on one thread release the GIL: it costs a tenth of a microsecond, and whoever else
/// waits for the GIL may wait so long.
pub const DETACH_FROM: u64 = 500_000;

/// Runs kernels of so much work ([`engine::Plan::work`]) for a call: on torch's threads when torch is there, on our own else, without the GIL
/// when others may want it meanwhile.
#[inline]
pub fn on_threads<R: Send>(py: Python<'_>, work: u64, run: impl FnOnce(&dyn Parallel) -> R + Send) -> R {
    if work < SHARE_FROM { run(&pool::Serial) } else { on_threads_there_are(py, work, run) }
}

#[inline(never)]
fn on_threads_there_are<R: Send>(py: Python<'_>, work: u64, run: impl FnOnce(&dyn Parallel) -> R + Send) -> R {
    let _cap = pool::is_num_threads_set().then(|| pool::limit_threads(pool::num_threads()));
    let pool: &dyn Parallel = match torch::seen(py).and_then(|t| t.pool()) {
        Some(foreign) => foreign,
        None => &pool::OwnPool,
    };
    if work < DETACH_FROM && pool.threads() == 1 { run(&pool::Serial) } else { py.detach(|| run(pool)) }
}

/// What was asked for by `set_num_threads`, if anything was.
#[pyfunction]
fn _requested_threads() -> Option<usize> {
    pool::is_num_threads_set().then(pool::num_threads)
}

/// Forgets what was asked for by `set_num_threads`.
#[pyfunction]
fn _unset_num_threads() {
    pool::unset_num_threads();
}

/// The engine's counters.
#[pyfunction]
fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let s = engine::stats();
    let cache = PyDict::new(py);
    let counters = [("hits", s.cache.hits), ("misses", s.cache.misses), ("compiles", s.cache.compiles)];
    for (name, value) in counters.into_iter().chain([("failures", s.cache.failures), ("evictions", s.cache.evictions)])
    {
        cache.set_item(name, value)?;
    }
    cache.set_item("compile_ms", s.cache.compile_ns as f64 / 1e6)?;
    cache.set_item("size", s.cache.len)?;
    cache.set_item("capacity", s.cache.capacity)?;
    let all = PyDict::new(py);
    all.set_item("kernels", cache)?;
    all.set_item("fallbacks", s.fallbacks)?;
    all.set_item("narrow", s.narrow)?;
    all.set_item("through_torch", through::counts(py)?)?;
    all.set_item("isa", s.isa.map(|isa| isa.to_string()))?;
    all.set_item("memory", memory_stats(py)?)?;
    Ok(all)
}

/// The allocator of temporaries and of RustTorch's own tensors; sizes are bytes. NumPy and torch own the memory
/// of their arrays.
#[pyfunction]
fn memory_stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let s = alloc::memory_stats();
    let all = PyDict::new(py);
    let sizes = [("allocated", s.allocated), ("reserved", s.reserved), ("peak", s.peak), ("cap", alloc::cap())];
    for (name, value) in sizes {
        all.set_item(name, value)?;
    }
    all.set_item("hits", s.hits)?;
    all.set_item("misses", s.misses)?;
    Ok(all)
}

/// Gives the memory that is kept for later back to the system.
#[pyfunction]
fn empty_cache() {
    alloc::empty_cache();
}

/// Bounds the bytes that are kept for later; 0 keeps none.
#[pyfunction]
fn set_memory_cap(bytes: i64) -> PyResult<()> {
    let bytes =
        usize::try_from(bytes).map_err(|_| PyValueError::new_err("set_memory_cap expects bytes, at least 0"))?;
    alloc::set_cap(bytes);
    Ok(())
}

/// The level of `RUSTTORCH_LOG`, as `logging` numbers levels; None when it is not set.
#[pyfunction]
fn _log_level() -> Option<u8> {
    env::config().log.map(level)
}

fn level(level: LogLevel) -> u8 {
    match level {
        LogLevel::Off => 100,
        LogLevel::Error => 40,
        LogLevel::Warn => 30,
        LogLevel::Info => 20,
        LogLevel::Debug => 10,
    }
}

/// Hands the messages that wait to the logger.
pub fn flush_log(py: Python<'_>) -> PyResult<()> {
    let messages = log::drain();
    if messages.is_empty() {
        return Ok(());
    }
    let messages: Vec<(u8, String)> = messages.into_iter().map(|(l, text)| (level(l), text)).collect();
    py.import("rusttorch._log")?.getattr("emit")?.call1((messages,)).map(drop)
}

/// `file:line` of the user's code that is running.
fn locate() -> Option<String> {
    Python::attach(|py| py.import("rusttorch._log")?.getattr("where")?.call0()?.extract()).ok()
}

/// Forgets all compiled kernels. One that runs is freed after its last run; those that an expression or a fused
/// function has used, when it is called next or is gone itself.
#[pyfunction]
fn clear_cache() {
    engine::clear_cache();
}

/// Texts about environment variables that could not be understood.
#[pyfunction]
fn _config_warnings() -> Vec<String> {
    env::config().warnings.clone()
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    log::keep();
    journal::set_locator(locate);
    m.add_function(wrap_pyfunction!(memory_stats, m)?)?;
    m.add_function(wrap_pyfunction!(empty_cache, m)?)?;
    m.add_function(wrap_pyfunction!(set_memory_cap, m)?)?;
    m.add_function(wrap_pyfunction!(_log_level, m)?)?;
    m.add_function(wrap_pyfunction!(cli, m)?)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_requested_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_unset_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(stats, m)?)?;
    m.add_function(wrap_pyfunction!(clear_cache, m)?)?;
    m.add_function(wrap_pyfunction!(_config_warnings, m)?)
}
