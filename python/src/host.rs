//! Scans along a dimension, sorting and the like, over the operations of `rusttorch_ops::host`.

use crate::borrow::Session;
use crate::tensor::{PyHost, PyTensor, exact, new, run};
use crate::tensor_call::as_tensor;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use rusttorch_ops::host::{self, Extremes, Pick, Put, Scan, Unique, extremes, scan};
use rusttorch_ops::lazy::Tensor;
use rusttorch_runtime::Tensor as Memory;
use rusttorch_runtime::pool;

/// The scan of this name along `dim`: a tensor of ours, or two of values and indices.
#[pyfunction]
fn _scan<'py>(name: &str, x: &Bound<'py, PyAny>, dim: i64) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = x.py();
    let memory = memory(x, &format!("{name}(): argument 'input' (position 1)"))?;
    let results = detached(py, || match name {
        "cumsum" => scan(Scan::Sum, &memory, dim).map(|y| vec![y]),
        "cumprod" => scan(Scan::Prod, &memory, dim).map(|y| vec![y]),
        "logcumsumexp" => scan(Scan::LogSumExp, &memory, dim).map(|y| vec![y]),
        "cummax" => extremes(Extremes::Max, &memory, dim).map(|(y, i)| vec![y, i]),
        "cummin" => extremes(Extremes::Min, &memory, dim).map(|(y, i)| vec![y, i]),
        _ => Ok(vec![]),
    })?;
    if results.is_empty() {
        return Err(PyValueError::new_err(format!("no scan is named {name}")));
    }
    results.into_iter().map(|y| new(py, Tensor::from(y))).collect()
}

/// What a tensor of torch's is whose memory cannot be read, so that torch has to compute with it; None for any other value.
#[pyfunction]
fn _special(x: &Bound<'_, PyAny>) -> Option<String> {
    let mut session = Session::recording(x.py());
    // What is wrong with other values is said where they are read.
    let _ = session.operand(x, &String::new);
    session.special()
}

/// The value of a tensor argument, whose last dimension is dense.
fn memory(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Memory> {
    rows_of(&as_tensor(value, name)?, value.py())
}

/// The value. Elements that are apart from each other are copied by a kernel, which transposes in registers.
pub fn rows_of(tensor: &Tensor, py: Python<'_>) -> PyResult<Memory> {
    let host = PyHost(py);
    let apart = |(&n, &stride): (&i64, &i64)| n != 1 && stride != 1;
    let layout = tensor.layout();
    run(|| {
        if layout.shape().iter().zip(layout.strides()).next_back().is_some_and(apart) {
            return tensor.copied(true, &host)?.memory(&host);
        }
        tensor.memory(&host)
    })
}

/// `cat` of a list of tensors of ours of one dtype that fit, or `stack` of them; None of what else there is: it is converted, or
/// refused, in Python.
#[pyfunction]
fn _cat<'py>(tensors: &Bound<'py, PyAny>, dim: i64, stack: bool) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = tensors.py();
    let items: Vec<Bound<'py, PyAny>> = match (tensors.cast::<PyList>(), tensors.cast::<PyTuple>()) {
        (Ok(list), _) => list.iter().collect(),
        (_, Ok(tuple)) => tuple.iter().collect(),
        _ => return Ok(None),
    };
    let Some(parts) = items.iter().map(exact).collect::<Option<Vec<&Tensor>>>() else { return Ok(None) };
    let Some(first) = parts.first().map(|t| t.layout()) else { return Ok(None) };
    let rank = first.rank() as i64 + i64::from(stack);
    if dim < -rank || dim >= rank {
        return Ok(None);
    }
    let dim = dim.rem_euclid(rank);
    let fits = |t: &&Tensor| {
        let (own, of) = (t.layout().shape(), first.shape());
        let same = |d: usize| own[d] == of[d] || (!stack && d as i64 == dim);
        t.layout().dtype() == first.dtype() && own.len() == of.len() && (0..own.len()).all(same)
    };
    if !parts.iter().all(fits) {
        return Ok(None);
    }
    let single = |t: &Tensor| if stack { run(|| t.unsqueeze(dim)) } else { Ok(t.clone()) };
    let parts = parts.into_iter().map(|t| rows_of(&single(t)?, py)).collect::<PyResult<Vec<Memory>>>()?;
    let joined = detached(py, || host::cat(&parts, dim))?;
    Ok(Some(new(py, Tensor::from(joined))?))
}

/// Computes without the GIL, on as many threads as calls of ours may have.
pub fn detached<T: Send>(py: Python<'_>, f: impl FnOnce() -> rusttorch_ops::Result<T> + Send) -> PyResult<T> {
    let threads = crate::control::threads(py)?.0;
    run(|| {
        py.detach(|| {
            let _cap = pool::limit_threads(threads);
            f()
        })
    })
}

fn tensors<'py, const N: usize>(py: Python<'py>, values: [Memory; N]) -> PyResult<Vec<Bound<'py, PyAny>>> {
    values.into_iter().map(|m| new(py, Tensor::from(m))).collect()
}

/// The values of `x` in order along `dim`, and where they were: two tensors of ours.
#[pyfunction]
fn _sort<'py>(x: &Bound<'py, PyAny>, dim: i64, descending: bool) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let memory = memory(x, "sort(): argument 'input' (position 1)")?;
    let (values, indices) = detached(x.py(), || host::sort(&memory, dim, descending))?;
    tensors(x.py(), [values, indices])
}

/// The first `k` of what `_sort` gives.
#[pyfunction]
fn _first<'py>(x: &Bound<'py, PyAny>, dim: i64, k: usize, descending: bool) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let memory = memory(x, "topk(): argument 'input' (position 1)")?;
    let (values, indices) = detached(x.py(), || host::first(&memory, dim, k, descending))?;
    tensors(x.py(), [values, indices])
}

/// One element of every line along `dim`, and where it was: the one of number `which` in order, or that of the name.
#[pyfunction]
fn _pick<'py>(x: &Bound<'py, PyAny>, dim: i64, which: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let pick = match which.extract::<&str>() {
        Ok("median") => Pick::Median,
        Ok("nanmedian") => Pick::NanMedian,
        Ok(name) => return Err(PyValueError::new_err(format!("no element is named {name}"))),
        Err(_) => Pick::Nth(which.extract()?),
    };
    let memory = memory(x, "argument 'input' (position 1)")?;
    let (values, indices) = detached(x.py(), || host::pick(&memory, dim, pick))?;
    tensors(x.py(), [values, indices])
}

/// The different elements of a vector, which of them each element is, and how many there are of each.
#[pyfunction]
fn _unique<'py>(x: &Bound<'py, PyAny>, consecutive: bool) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let memory = memory(x, "unique(): argument 'input' (position 1)")?;
    let Unique { values, inverse, counts } = detached(x.py(), || host::unique(&memory, consecutive))?;
    tensors(x.py(), [values, inverse, counts])
}

/// The order of the rows of a matrix.
#[pyfunction]
fn _order_of_rows<'py>(x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let memory = memory(x, "argument 'input' (position 1)")?;
    let order = detached(x.py(), || host::order_of_rows(&memory))?;
    new(x.py(), Tensor::from(order))
}

/// Where `values` would have to be put into `lines`, which are in order; both are of one dtype.
#[pyfunction]
fn _search<'py>(lines: &Bound<'py, PyAny>, values: &Bound<'py, PyAny>, right: bool) -> PyResult<Bound<'py, PyAny>> {
    let (sorted, wanted) = (memory(lines, "argument 'sorted_sequence'")?, memory(values, "argument 'input'")?);
    let places = detached(lines.py(), || host::search(&sorted, &wanted, right))?;
    new(lines.py(), Tensor::from(places))
}

/// A row of indices for every element of `x` that is not zero.
#[pyfunction]
fn _nonzero<'py>(x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let memory = memory(x, "nonzero(): argument 'input' (position 1)")?;
    let found = detached(x.py(), || host::nonzero(&memory))?;
    new(x.py(), Tensor::from(found))
}

/// The elements of `x` where `mask`, of bool and of its shape, is true.
#[pyfunction]
fn _masked_select<'py>(x: &Bound<'py, PyAny>, mask: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let (x_memory, mask) = (memory(x, "argument 'input'")?, memory(mask, "argument 'mask'")?);
    let found = detached(x.py(), || host::masked_select(&x_memory, &mask))?;
    new(x.py(), Tensor::from(found))
}

/// A copy of `x` whose elements where `mask`, of bool and of its shape, is true are those of `source`; None if they are too few.
#[pyfunction]
fn _masked_scatter<'py>(
    x: &Bound<'py, PyAny>,
    mask: &Bound<'py, PyAny>,
    source: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = x.py();
    let (x, mask, source) =
        (memory(x, "argument 'input'")?, memory(mask, "argument 'mask'")?, memory(source, "argument 'source'")?);
    let result = detached(py, || host::masked_scatter(&x, &mask, &source))?;
    result.map(|r| new(py, Tensor::from(r))).transpose()
}

fn put(name: &str) -> PyResult<Put> {
    Ok(match name {
        "set" => Put::Set,
        "sum" => Put::Sum,
        "prod" => Put::Prod,
        "amax" => Put::Max,
        "amin" => Put::Min,
        _ => return Err(PyValueError::new_err(format!("no way to put elements is named {name}"))),
    })
}

/// `x` with the elements of `src` put to the places of `index`, which is of int64; all are tensors of ours that fit.
#[pyfunction]
fn _scatter<'py>(
    x: &Bound<'py, PyAny>,
    dim: i64,
    index: &Bound<'py, PyAny>,
    src: &Bound<'py, PyAny>,
    how: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, how) = (x.py(), put(how)?);
    let (x, index, src) =
        (memory(x, "argument 'input'")?, memory(index, "argument 'index'")?, memory(src, "argument 'src'")?);
    let result = detached(py, || host::scatter(how, &x, dim, &index, &src))?;
    new(py, Tensor::from(result))
}

/// `x` with the slices of `src` along `dim` put to those that `index` names; all are tensors of ours that fit.
#[pyfunction]
fn _index_slices<'py>(
    x: &Bound<'py, PyAny>,
    dim: i64,
    index: &Bound<'py, PyAny>,
    src: &Bound<'py, PyAny>,
    how: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, how) = (x.py(), put(how)?);
    let (x, index, src) =
        (memory(x, "argument 'input'")?, memory(index, "argument 'index'")?, memory(src, "argument 'source'")?);
    let result = detached(py, || host::index_slices(how, &x, dim, &index, &src))?;
    new(py, Tensor::from(result))
}

/// Numbers of elements of `n`, those below 0 counted from the end, as numbers from the start.
#[pyfunction]
fn _from_start<'py>(index: &Bound<'py, PyAny>, n: i64) -> PyResult<Bound<'py, PyAny>> {
    let memory = memory(index, "argument 'index'")?;
    let places = detached(index.py(), || host::from_start(&memory, n))?;
    new(index.py(), Tensor::from(places))
}

/// The diagonal of two dimensions: a view.
#[pyfunction]
fn _diagonal<'py>(x: &Bound<'py, PyTensor>, offset: i64, dim1: i64, dim2: i64) -> PyResult<Bound<'py, PyAny>> {
    x.get().viewed(x.py(), |t| t.diagonal(offset, dim1, dim2))
}

/// A view of the tensor's memory by extents and strides.
#[pyfunction]
fn _as_strided<'py>(
    x: &Bound<'py, PyTensor>,
    size: Vec<i64>,
    stride: Vec<i64>,
    offset: Option<i64>,
) -> PyResult<Bound<'py, PyAny>> {
    let own = x.get().0.layout();
    let offset = offset.unwrap_or((own.byte_offset() / own.dtype().size()) as i64);
    x.get().viewed(x.py(), |t| t.as_strided(&size, &stride, offset, &PyHost(x.py())))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_scan, m)?)?;
    m.add_function(wrap_pyfunction!(_special, m)?)?;
    m.add_function(wrap_pyfunction!(_cat, m)?)?;
    m.add_function(wrap_pyfunction!(_sort, m)?)?;
    m.add_function(wrap_pyfunction!(_first, m)?)?;
    m.add_function(wrap_pyfunction!(_pick, m)?)?;
    m.add_function(wrap_pyfunction!(_unique, m)?)?;
    m.add_function(wrap_pyfunction!(_order_of_rows, m)?)?;
    m.add_function(wrap_pyfunction!(_search, m)?)?;
    m.add_function(wrap_pyfunction!(_nonzero, m)?)?;
    m.add_function(wrap_pyfunction!(_masked_select, m)?)?;
    m.add_function(wrap_pyfunction!(_masked_scatter, m)?)?;
    m.add_function(wrap_pyfunction!(_scatter, m)?)?;
    m.add_function(wrap_pyfunction!(_index_slices, m)?)?;
    m.add_function(wrap_pyfunction!(_as_strided, m)?)?;
    m.add_function(wrap_pyfunction!(_from_start, m)?)?;
    m.add_function(wrap_pyfunction!(_diagonal, m)?)
}
