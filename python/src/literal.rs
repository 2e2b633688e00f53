//! Literals of programs from and to Python values.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use rusttorch_ir::expr::Attr;

/// The exponents that have kernels of their own.
pub(crate) fn is_structural_exponent(value: &Bound<'_, PyAny>) -> bool {
    let is_int = value.is_exact_instance_of::<PyInt>();
    let few = |v: f64| matches!(v.abs(), 0.5 | 1.0) || matches!(v, 2.0 | 3.0 | 4.0) || is_int && v < 0.0;
    (is_int || value.is_exact_instance_of::<PyFloat>()) && value.extract::<f64>().is_ok_and(few)
}

/// Lists within lists, at most, so that one that holds itself ends.
const MAX_NESTED: usize = 16;

/// A Python value as a literal.
pub(crate) fn attr(value: &Bound<'_, PyAny>) -> PyResult<Attr> {
    nested(value, MAX_NESTED)
}

fn nested(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Attr> {
    if value.is_none() {
        return Ok(Attr::None);
    }
    if let Ok(b) = value.cast::<PyBool>() {
        return Ok(Attr::Bool(b.is_true()));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Attr::Float(value.extract()?));
    }
    if let Ok(s) = value.cast::<PyString>() {
        return Ok(Attr::Str(s.to_cow()?.into_owned()));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        if depth == 0 {
            return Err(PyTypeError::new_err("an argument that shapes the result has too many lists within lists"));
        }
        return value.try_iter()?.map(|v| nested(&v?, depth - 1)).collect::<PyResult<_>>().map(Attr::List);
    }
    // A class of numbers, which has what its numbers have.
    if value.is_instance_of::<PyType>()
        && let Some(name) = dtype_name(value)?
    {
        return Ok(Attr::Str(name));
    }
    // Whatever says that it is an integer: NumPy's integers, torch.Size entries.
    if value.is_instance_of::<PyInt>() || value.hasattr("__index__")? {
        return Ok(Attr::Int(value.call_method0("__index__")?.extract()?));
    }
    if let Some(name) = dtype_name(value)? {
        return Ok(Attr::Str(name));
    }
    let class = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("an argument that shapes the result must be a Python value, not {class}")))
}

/// The name of a dtype: torch's, ours, NumPy's, or the class of its numbers.
fn dtype_name(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if let Ok(class) = value.cast::<PyType>() {
        let name = class.name()?.to_string();
        return Ok(Some(match name.as_str() {
            // Python's float has 64 bits, torch's alias of that name 32.
            "float" => "float64".to_owned(),
            "int" => "int64".to_owned(),
            _ => name,
        }));
    }
    if value.hasattr("isnative")? {
        return value.getattr("name")?.extract().map(Some);
    }
    // torch's and ours, which say torch.float32 and rusttorch.float32.
    let is_dtype = value.get_type().name()? == "dtype";
    Ok(if is_dtype { value.str()?.to_string().rsplit('.').next().map(str::to_owned) } else { None })
}

/// The Python value of a literal.
pub(crate) fn from_attr<'py>(py: Python<'py>, value: &Attr) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Attr::None => py.None().into_bound(py),
        Attr::Bool(b) => PyBool::new(py, *b).to_owned().into_any(),
        Attr::Int(i) => PyInt::new(py, *i).into_any(),
        Attr::Float(f) => PyFloat::new(py, *f).into_any(),
        Attr::Str(s) => PyString::new(py, s).into_any(),
        Attr::List(l) => {
            let items: Vec<_> = l.iter().map(|v| from_attr(py, v)).collect::<PyResult<_>>()?;
            PyTuple::new(py, items)?.into_any()
        }
    })
}
