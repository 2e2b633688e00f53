//! Calls that torch computes, op by op, because an operand is more than its memory: a tensor of a transform, a
//! mode or a subclass. [`crate::torch`] says which these are, `rusttorch/_through_torch.py` how they are computed.
//!
//! Each such call is counted by what made it necessary (`rusttorch.stats()["through_torch"]`), and the first of each
//! kind is told to the log.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rusttorch_runtime::env::{LogLevel, config};
use rusttorch_runtime::log::log;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

static COUNTS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// `function(*args, **kwargs)` of `_through_torch.py`, `name` being called on `what`.
#[cold]
pub fn call<'py>(
    function: &str,
    name: &str,
    what: String,
    args: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error: Into<PyErr>>,
    py: Python<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    if config().strict {
        let text = format!("RUSTTORCH_STRICT is set and torch would compute {name}(), because of {what}");
        return Err(PyRuntimeError::new_err(text));
    }
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    if !counts.contains_key(&what) {
        log(LogLevel::Info, || format!("torch computes {name}(), and whatever else meets {what}"));
    }
    *counts.entry(what).or_default() += 1;
    drop(counts);
    let args = args.into_pyobject(py).map_err(Into::into)?;
    py.import("rusttorch._through_torch")?.getattr(function)?.call1(args)
}

/// The calls so far by what made them necessary.
pub fn counts(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    for (what, count) in COUNTS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        all.set_item(what, count)?;
    }
    Ok(all)
}
