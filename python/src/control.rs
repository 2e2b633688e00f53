//! Threads, the kernel cache, and what the engine reports of itself.

use crate::torch;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rusttorch_ops::engine;
use rusttorch_runtime::env;
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
    py.detach(|| rusttorch_ops::cli::main(argv))
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
    all.set_item("isa", s.isa.map(|isa| isa.to_string()))?;
    Ok(all)
}

/// Forgets all compiled kernels.
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
    m.add_function(wrap_pyfunction!(cli, m)?)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_requested_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_unset_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(stats, m)?)?;
    m.add_function(wrap_pyfunction!(clear_cache, m)?)?;
    m.add_function(wrap_pyfunction!(_config_warnings, m)?)
}
