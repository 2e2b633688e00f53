//! `rusttorch.device`: where tensors are, which is the CPU.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};
use rusttorch_ir::dtype::DType;

/// A device, as `torch.device`; equal to its text and to torch's of the same text, too.
#[pyclass(frozen, name = "device", module = "rusttorch")]
pub struct PyDevice {
    index: Option<u32>,
}

#[pymethods]
impl PyDevice {
    #[new]
    #[pyo3(signature = (r#type, index=None))]
    fn new(r#type: &Bound<'_, PyAny>, index: Option<u32>) -> PyResult<PyDevice> {
        check(r#type)?;
        let text = r#type.str()?.to_string();
        let own = text.split_once(':').and_then(|(_, index)| index.parse().ok());
        if own.is_some() && index.is_some() {
            let text = format!("type (string) must not include an index because index was passed explicitly: {text}");
            return Err(PyRuntimeError::new_err(text));
        }
        Ok(PyDevice { index: own.or(index) })
    }

    #[getter]
    fn r#type(&self) -> &'static str {
        "cpu"
    }

    #[getter]
    fn index(&self) -> Option<u32> {
        self.index
    }

    fn __str__(&self) -> String {
        self.index.map_or_else(|| "cpu".to_owned(), |i| format!("cpu:{i}"))
    }

    fn __repr__(&self) -> String {
        self.index.map_or_else(|| "device(type='cpu')".to_owned(), |i| format!("device(type='cpu', index={i})"))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(device) = other.cast::<PyDevice>() {
            return Ok(device.get().index == self.index);
        }
        let is_named = other.is_instance_of::<PyString>() || other.get_type().name()? == "device";
        Ok(is_named && other.str()?.to_string() == self.__str__())
    }

    /// That of its text, which it is equal to.
    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, &self.__str__()).hash()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        Ok((py.get_type::<PyDevice>().into_any(), PyTuple::new(py, [self.__str__()])?))
    }
}

/// The device of every tensor.
pub fn cpu(py: Python<'_>) -> PyResult<Bound<'_, PyDevice>> {
    static CPU: PyOnceLock<Py<PyDevice>> = PyOnceLock::new();
    Ok(CPU.get_or_try_init(py, || Py::new(py, PyDevice { index: None }))?.bind(py).clone())
}

/// True for what names a device rather than a dtype.
pub fn is_device(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if value.is_instance_of::<PyString>() {
        return Ok(DType::parse(&value.to_string()).is_none());
    }
    Ok(value.get_type().name()? == "device")
}

/// Refuses all devices but the CPU.
pub fn check(device: &Bound<'_, PyAny>) -> PyResult<()> {
    let name = device.str()?.to_string();
    if name == "cpu" || name == "cpu:0" {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!("rusttorch has no device {name}: tensors are on the CPU")))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyDevice>()
}
