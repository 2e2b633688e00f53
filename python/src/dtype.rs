//! `rusttorch.dtype`: the element types of tensors, and whatever else names one.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};
use rusttorch_ir::dtype::DType;
use std::sync::atomic::{AtomicU8, Ordering};

/// An element type, as `rusttorch.float32`.
#[pyclass(frozen, name = "dtype", module = "rusttorch", eq, hash)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PyDType(pub DType);

#[pymethods]
impl PyDType {
    fn __repr__(&self) -> String {
        format!("rusttorch.{}", self.0.torch_name())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (&'static str,))> {
        Ok((py.import("rusttorch._rusttorch")?.getattr("_dtype")?, (self.0.torch_name(),)))
    }

    /// True for floats.
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_float()
    }

    /// Bytes of an element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }
}

/// The one object of a dtype.
pub fn object(py: Python<'_>, dtype: DType) -> PyResult<Bound<'_, PyDType>> {
    static OBJECTS: PyOnceLock<Vec<Py<PyDType>>> = PyOnceLock::new();
    let objects = OBJECTS
        .get_or_try_init(py, || DType::ALL.iter().map(|&d| Py::new(py, PyDType(d))).collect::<PyResult<Vec<_>>>())?;
    let at = DType::ALL.iter().position(|&d| d == dtype).expect("all are listed");
    Ok(objects[at].bind(py).clone())
}

/// The dtype that an object names: ours, torch's, NumPy's, a Python type, or a string.
pub fn extract(value: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(dtype) = value.cast::<PyDType>() {
        return Ok(dtype.get().0);
    }
    let py = value.py();
    for (class, dtype) in [
        (py.get_type::<PyBool>(), DType::Bool),
        (py.get_type::<PyInt>(), DType::I64),
        (py.get_type::<PyFloat>(), default()),
    ] {
        if value.is(&class) {
            return Ok(dtype);
        }
    }
    let name = if value.is_instance_of::<PyString>() {
        value.to_string()
    } else if value.is_instance_of::<pyo3::types::PyType>() && value.hasattr("dtype")? {
        py.import("numpy")?.call_method1("dtype", (value,))?.str()?.to_string()
    } else {
        value.str()?.to_string()
    };
    let name = name.trim_start_matches("torch.").trim_start_matches("rusttorch.");
    DType::parse(name).ok_or_else(|| {
        let class = value.get_type().name().map_or_else(|_| "object".to_owned(), |n| n.to_string());
        PyTypeError::new_err(format!("dtype must be rusttorch.dtype, not {class} ({name})"))
    })
}

/// Position in `DType::ALL`.
static DEFAULT: AtomicU8 = AtomicU8::new(8);

/// What Python floats become.
pub fn default() -> DType {
    DType::ALL[usize::from(DEFAULT.load(Ordering::Relaxed))]
}

/// The dtype of tensors made of Python floats, and of integers where a float is needed.
#[pyfunction]
fn get_default_dtype(py: Python<'_>) -> PyResult<Bound<'_, PyDType>> {
    object(py, default())
}

/// Sets the dtype of tensors made of Python floats.
#[pyfunction]
fn set_default_dtype(d: &Bound<'_, PyAny>) -> PyResult<()> {
    let dtype = extract(d)?;
    if !dtype.is_float() {
        return Err(PyTypeError::new_err("only floating-point types are supported as the default type"));
    }
    let at = DType::ALL.iter().position(|&d| d == dtype).expect("all are listed");
    DEFAULT.store(at as u8, Ordering::Relaxed);
    Ok(())
}

#[pyfunction]
fn _dtype<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDType>> {
    let dtype = DType::parse(name).ok_or_else(|| PyTypeError::new_err(format!("{name} is no dtype")))?;
    object(py, dtype)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyDType>()?;
    for dtype in DType::ALL {
        m.add(dtype.torch_name(), object(m.py(), dtype)?)?;
    }
    m.add_function(wrap_pyfunction!(get_default_dtype, m)?)?;
    m.add_function(wrap_pyfunction!(set_default_dtype, m)?)?;
    m.add_function(wrap_pyfunction!(_dtype, m)?)
}
