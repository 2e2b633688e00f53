//! Scans along a dimension, sorting and the like, over the operations of `rusttorch_ops::host`.

use crate::tensor::{PyHost, new, run};
use crate::tensor_call::as_tensor;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rusttorch_ops::host::{Extremes, Scan, extremes, nonzero, scan, scatter_add, sort};
use rusttorch_ops::lazy::Tensor;
use rusttorch_runtime::pool;

/// The scan of this name along `dim`: a tensor of ours, or two of values and indices.
#[pyfunction]
fn _scan<'py>(name: &str, x: &Bound<'py, PyAny>, dim: i64) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = x.py();
    let host = PyHost(py);
    let tensor = as_tensor(x, &format!("{name}(): argument 'input' (position 1)"))?;
    let memory = run(|| tensor.memory(&host))?;
    let threads = crate::control::threads(py)?.0;
    let results = py.detach(|| {
        let _cap = pool::limit_threads(threads);
        match name {
            "cumsum" => scan(Scan::Sum, &memory, dim).map(|y| vec![y]),
            "cumprod" => scan(Scan::Prod, &memory, dim).map(|y| vec![y]),
            "logcumsumexp" => scan(Scan::LogSumExp, &memory, dim).map(|y| vec![y]),
            "cummax" => extremes(Extremes::Max, &memory, dim).map(|(y, i)| vec![y, i]),
            "cummin" => extremes(Extremes::Min, &memory, dim).map(|(y, i)| vec![y, i]),
            _ => Ok(vec![]),
        }
    });
    let results = run(|| results)?;
    if results.is_empty() {
        return Err(PyValueError::new_err(format!("no scan is named {name}")));
    }
    results.into_iter().map(|y| new(py, Tensor::from(y))).collect()
}

/// The values of `x` in order along `dim`, and where they were: two tensors of ours.
#[pyfunction]
fn _sort<'py>(x: &Bound<'py, PyAny>, dim: i64, descending: bool) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = x.py();
    let tensor = as_tensor(x, "sort(): argument 'input' (position 1)")?;
    let memory = run(|| tensor.memory(&PyHost(py)))?;
    let threads = crate::control::threads(py)?.0;
    let sorted = py.detach(|| {
        let _cap = pool::limit_threads(threads);
        sort(&memory, dim, descending)
    });
    let (values, indices) = run(|| sorted)?;
    Ok(vec![new(py, Tensor::from(values))?, new(py, Tensor::from(indices))?])
}

/// A row of indices for every element of `x` that is not zero.
#[pyfunction]
fn _nonzero<'py>(x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let tensor = as_tensor(x, "nonzero(): argument 'input' (position 1)")?;
    let found = run(|| nonzero(&tensor.memory(&PyHost(py))?))?;
    new(py, Tensor::from(found))
}

/// `x` with elements of `src` added at the places of `index`, which is of int64; all are tensors of ours that fit.
#[pyfunction]
fn _scatter_add<'py>(
    x: &Bound<'py, PyAny>,
    dim: i64,
    index: &Bound<'py, PyAny>,
    src: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let memory = |x, name: &str| {
        let tensor = as_tensor(x, &format!("scatter_add(): argument '{name}'"))?;
        run(|| tensor.memory(&PyHost(py)))
    };
    let (x, index, src) = (memory(x, "input")?, memory(index, "index")?, memory(src, "src")?);
    new(py, Tensor::from(run(|| scatter_add(&x, dim, &index, &src))?))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_scan, m)?)?;
    m.add_function(wrap_pyfunction!(_sort, m)?)?;
    m.add_function(wrap_pyfunction!(_nonzero, m)?)?;
    m.add_function(wrap_pyfunction!(_scatter_add, m)?)
}
