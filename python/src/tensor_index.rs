//! `x[...]` and `x[...] = v`: numbers, slices, None and Ellipsis give views; lists and tensors of integers and
//! bools gather and scatter.

use crate::host::{detached, rows_of};
use crate::tensor::{PyHost, PyTensor, exact, new, run};
use crate::tensor_call::as_tensor;
use crate::tensor_make;
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyFloat, PyInt, PyList, PySlice, PyTuple};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::Attr;
use rusttorch_ops::host;
use rusttorch_ops::lazy::{Operand, Tensor, create, index};

/// A view, and per dimension of it what else picks its elements.
struct Indexed {
    view: Tensor,
    by: Vec<Option<Tensor>>,
}

fn error(text: String) -> PyErr {
    PyIndexError::new_err(text)
}

/// An entry of an index that picks by tensor: a list, an array, a bool.
fn tensor_entry(item: &Bound<'_, PyAny>) -> PyResult<Option<Tensor>> {
    let py = item.py();
    // Bytes are a mask, as in torch.
    let entry = |tensor: Tensor| match tensor.layout().dtype() {
        DType::U8 => run(|| tensor.to_dtype(DType::Bool, &PyHost(py))),
        _ => Ok(tensor),
    };
    if let Some(tensor) = exact(item) {
        return entry(tensor.clone()).map(Some);
    }
    if item.is_instance_of::<PyBool>() || item.is_instance_of::<PyList>() || item.is_instance_of::<PyTuple>() {
        let made = tensor_make::from_data(item, None)?;
        // An empty list is one of indices.
        let made = if made.layout().numel() == 0 && made.layout().dtype().is_float() {
            run(|| made.to_dtype(DType::I64, &PyHost(item.py())))?
        } else {
            made
        };
        return Ok(Some(made));
    }
    let picks =
        item.hasattr("__array__")? && (!item.hasattr("__index__")? || item.getattr("ndim")?.extract::<usize>()? > 0);
    if picks { as_tensor(item, "index").and_then(entry).map(Some) } else { Ok(None) }
}

/// How many dimensions of the tensor an entry stands for, which picks by `picks`.
fn consumed(item: &Bound<'_, PyAny>, picks: Option<&Tensor>) -> usize {
    match picks {
        // A bool is one of no dimensions.
        Some(t) if t.layout().dtype() == DType::Bool => t.layout().rank(),
        Some(_) => 1,
        None => usize::from(!item.is_none() && !item.is_instance_of::<PyEllipsis>()),
    }
}

fn resolve(tensor: &Bound<'_, PyTensor>, key: &Bound<'_, PyAny>) -> PyResult<Indexed> {
    let py = tensor.py();
    let items: Vec<Bound<'_, PyAny>> = match key.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter().collect(),
        Err(_) => vec![key.clone()],
    };
    let items = items.into_iter().map(|item| {
        let by_place = item.is_none() || item.is_instance_of::<PyEllipsis>() || item.is_instance_of::<PySlice>();
        let picks = if by_place { None } else { tensor_entry(&item)? };
        Ok((item, picks))
    });
    let items = items.collect::<PyResult<Vec<_>>>()?;
    let rank = tensor.get().0.layout().rank();
    let taken: usize = items.iter().map(|(item, picks)| consumed(item, picks.as_ref())).sum();
    if taken > rank {
        return Err(error(format!("too many indices for tensor of dimension {rank}")));
    }
    let mut view = tensor.get().0.clone();
    let mut by: Vec<Option<Tensor>> = Vec::new();
    // Of `view`, the next dimension; integers have removed some before it.
    let (mut dim, mut removed) = (0, 0);
    let mut seen_ellipsis = false;
    for (item, picks) in items {
        if item.is_none() {
            view = run(|| view.unsqueeze(dim))?;
            by.push(None);
            dim += 1;
        } else if item.is_instance_of::<PyEllipsis>() {
            if seen_ellipsis {
                return Err(error("an index can only have a single ellipsis ('...')".to_owned()));
            }
            seen_ellipsis = true;
            by.extend(std::iter::repeat_n(None, rank - taken));
            dim += (rank - taken) as i64;
        } else if let Ok(slice) = item.cast::<PySlice>() {
            let n = view.layout().shape()[dim as usize];
            let bound = |name: &str| -> PyResult<Option<i64>> {
                let value = slice.getattr(name)?;
                if value.is_none() {
                    return Ok(None);
                }
                if !value.hasattr("__index__")? {
                    let text = "slice indices must be integers or None or have an __index__ method";
                    return Err(PyTypeError::new_err(text));
                }
                saturated(&value.call_method0("__index__")?).map(Some)
            };
            let step = bound("step")?.unwrap_or(1);
            if step <= 0 {
                return Err(PyValueError::new_err("step must be greater than zero"));
            }
            let (start, stop) = (bound("start")?.unwrap_or(0), bound("stop")?.unwrap_or(n));
            view = run(|| view.slice(dim, start, stop, step))?;
            by.push(None);
            dim += 1;
        } else if let Some(picks) = picks {
            if picks.layout().rank() == 0 && picks.layout().dtype() != DType::Bool {
                let at = Bound::new(py, PyTensor(picks))?.into_any().call_method0("__index__")?.extract()?;
                view = select(&view, dim, at, removed)?;
                removed += 1;
                continue;
            }
            if picks.layout().rank() == 0 {
                // A bool stands for a new dimension of one element or none.
                view = run(|| view.unsqueeze(dim))?;
                by.push(Some(run(|| picks.unsqueeze(0))?));
                dim += 1;
                continue;
            }
            dim += if picks.layout().dtype() == DType::Bool { picks.layout().rank() as i64 } else { 1 };
            by.push(Some(picks));
        } else if item.hasattr("__index__")? {
            let at = item.call_method0("__index__")?.extract::<i64>()?;
            view = select(&view, dim, at, removed)?;
            removed += 1;
        } else {
            let class = item.get_type().name()?.to_string();
            let text = "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid \
                        indices (got ";
            return Err(error(format!("{text}{class})")));
        }
    }
    Ok(Indexed { view, by })
}

/// A whole number, or the nearest one of 64 bits.
fn saturated(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    match value.extract() {
        Ok(i) => Ok(i),
        Err(e) if e.is_instance_of::<PyOverflowError>(value.py()) => Ok(if value.gt(0)? { i64::MAX } else { i64::MIN }),
        Err(e) => Err(e),
    }
}

fn select(view: &Tensor, dim: i64, at: i64, removed: i64) -> PyResult<Tensor> {
    let size = view.layout().shape()[dim as usize];
    if at < -size || at >= size {
        let dim = dim + removed;
        return Err(error(format!("index {at} is out of bounds for dimension {dim} with size {size}")));
    }
    run(|| view.select(dim, at))
}

pub fn get<'py>(tensor: &Bound<'py, PyTensor>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = tensor.py();
    let Indexed { view, by } = resolve(tensor, key)?;
    if by.iter().all(Option::is_none) {
        return new(py, view);
    }
    if let [Some(mask)] = &by[..]
        && mask.layout().dtype() == DType::Bool
        && mask.layout().shape() == view.layout().shape()
    {
        return new(py, run(|| index::select(&view, mask, &PyHost(py)))?);
    }
    new(py, run(|| index::positions(&view, &by, &PyHost(py))?.get(&view, &PyHost(py)))?)
}

pub fn set(tensor: &Bound<'_, PyTensor>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let host = PyHost(tensor.py());
    let Indexed { view, by } = resolve(tensor, key)?;
    let value = match exact(value) {
        Some(value) => value.clone(),
        None => {
            if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>() {
                tensor_make::check_fits(tensor_make::number(value)?, view.layout().dtype())?;
            }
            if value.is_instance_of::<PyFloat>() {
                // Rounded once, to the dtype that it is written as.
                tensor_make::from_data(value, Some(DType::F64))?
            } else {
                as_tensor(value, "can't assign the value: it")?
            }
        }
    };
    if by.iter().all(Option::is_none) {
        return run(|| view.assign_part(&value, &host));
    }
    if let [Some(mask)] = &by[..]
        && mask.layout().dtype() == DType::Bool
        && mask.layout().shape() == view.layout().shape()
        && value.layout().rank() == 0
    {
        let value = run(|| value.to_dtype(view.layout().dtype(), &host))?;
        return run(|| index::fill_where(&view, mask, Operand::Tensor(value), &host));
    }
    run(|| index::positions(&view, &by, &host)?.set(&view, &value, &host))
}

pub fn index_select<'py>(
    tensor: &Bound<'py, PyTensor>,
    dim: i64,
    index: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = tensor.py();
    let this = &tensor.get().0;
    let picks = as_tensor(index, "index_select(): argument 'index' (position 2)")?;
    if !matches!(picks.layout().dtype(), DType::I64 | DType::I32) {
        return Err(PyTypeError::new_err("index_select(): Expected dtype int32 or int64 for index"));
    }
    if picks.layout().rank() > 1 {
        return Err(error("index_select(): Index is supposed to be a vector".to_owned()));
    }
    let host = PyHost(py);
    if this.layout().rank() == 0 {
        // A vector of one element, but for its shape.
        let n = picks.layout().numel();
        if n != 1 {
            let text = format!("index_select(): Index to scalar can have only 1 value, got {n} value(s)");
            return Err(PyRuntimeError::new_err(text));
        }
        let line = run(|| this.reshape(&[1], &host))?;
        let selected = index_select(&Bound::new(py, PyTensor(line))?, dim, index)?;
        let selected = exact(&selected).expect("made of ours").clone();
        return new(py, run(|| selected.reshape(&[], &host))?);
    }
    let d = tensor.get().dimension(dim)?;
    let picks = run(|| picks.to_dtype(DType::I64, &host)?.reshape(&[-1], &host))?;
    let layout = this.layout();
    let size = layout.shape().get(d).copied().unwrap_or(1);
    let index = run(|| picks.memory(&host))?;
    run(|| host::check_index(&index, d, size).map_err(|_| rusttorch_ops::Error::index("index out of range in self")))?;
    let slice = layout.shape().iter().skip(d + 1).product::<i64>() * layout.dtype().size() as i64;
    if layout.rank() > 0 && slice < SHORT_SLICE && index.numel() > 0 && layout.numel() > 0 {
        // Element by element, by a kernel.
        let mut shape = layout.shape().to_vec();
        shape[d] = index.numel();
        let mut line = vec![1; shape.len()];
        line[d] = shape[d];
        let gathered = run(|| {
            let places = picks.view(&line)?.expand(&shape)?;
            let dim = Operand::Literal(Attr::Int(d as i64));
            Tensor::op("gather", &[Operand::Tensor(this.clone()), dim, Operand::Tensor(places)], DType::F32, &host)
        })?;
        return new(py, gathered);
    }
    let memory = rows_of(this, py)?;
    let selected = detached(py, || host::select_slices(&memory, d as i64, &index))?;
    new(py, Tensor::from(selected))
}

/// Bytes of a slice below which it is not worth a copy of its own.
const SHORT_SLICE: i64 = 64;

/// Every element becomes one number.
pub fn fill(tensor: &Bound<'_, PyTensor>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let this = &tensor.get().0;
    let host = PyHost(tensor.py());
    if let Some(value) = exact(value) {
        if value.layout().rank() != 0 {
            let text = "fill_ only supports 0-dimension value tensor but got tensor with";
            let text = format!("{text} {} dimensions.", value.layout().rank());
            return Err(PyRuntimeError::new_err(text));
        }
        return run(|| this.fill(value, &host));
    }
    let value = tensor_make::number(value)?;
    tensor_make::check_fits(value, this.layout().dtype())?;
    run(|| this.fill(&create::full(&[], this.layout().dtype(), value)?.into(), &host))
}
