//! Tensors as Python's numbers, lists and text.

use crate::dtype;
use crate::tensor::{PyHost, PyTensor, run};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList};
use rusttorch_ir::dtype::Category;
use rusttorch_ops::lazy::Scalar;
use rusttorch_ops::lazy::print::{PrintOptions, repr};
use std::sync::{Mutex, PoisonError};

pub fn scalar_object(py: Python<'_>, scalar: Scalar) -> Bound<'_, PyAny> {
    match scalar {
        Scalar::Bool(b) => PyBool::new(py, b).to_owned().into_any(),
        Scalar::Int(i) => PyInt::new(py, i).into_any(),
        Scalar::Float(f) => PyFloat::new(py, f).into_any(),
    }
}

/// Nested lists of the elements, which are given in row-major order.
fn nested<'py>(
    py: Python<'py>,
    shape: &[i64],
    items: &mut impl Iterator<Item = Scalar>,
) -> PyResult<Bound<'py, PyAny>> {
    match shape {
        [] => Ok(scalar_object(py, items.next().expect("one item per element"))),
        [n] => {
            let items = (0..*n as usize).map(|_| scalar_object(py, items.next().expect("one item per element")));
            Ok(PyList::new(py, items)?.into_any())
        }
        [n, rest @ ..] => {
            let list = PyList::empty(py);
            for _ in 0..*n {
                list.append(nested(py, rest, items)?)?;
            }
            Ok(list.into_any())
        }
    }
}

static PRINT: Mutex<Option<PrintOptions>> = Mutex::new(None);

fn print_options() -> PrintOptions {
    PRINT.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_default()
}

/// Digits after the point that a number has at most; those of the smallest double end before.
const MAX_PRECISION: usize = 1100;

/// How tensors are printed: as torch.set_printoptions.
#[pyfunction]
#[pyo3(signature = (precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None))]
fn set_printoptions(
    precision: Option<usize>,
    threshold: Option<f64>,
    edgeitems: Option<i64>,
    linewidth: Option<usize>,
    profile: Option<&str>,
    sci_mode: Option<bool>,
) -> PyResult<()> {
    if precision.is_some_and(|p| p > MAX_PRECISION) {
        return Err(PyValueError::new_err(format!("set_printoptions: precision must be at most {MAX_PRECISION}")));
    }
    if edgeitems.is_some_and(|n| n < 0) {
        return Err(PyValueError::new_err("set_printoptions: edgeitems must not be negative"));
    }
    let mut options = match profile {
        None => print_options(),
        Some("default") => PrintOptions::default(),
        Some("short") => PrintOptions { precision: 2, edgeitems: 2, ..PrintOptions::default() },
        Some("full") => PrintOptions { threshold: f64::INFINITY, ..PrintOptions::default() },
        Some(other) => return Err(PyValueError::new_err(format!("{other} is no profile"))),
    };
    options.precision = precision.unwrap_or(options.precision);
    options.threshold = threshold.unwrap_or(options.threshold);
    options.edgeitems = edgeitems.unwrap_or(options.edgeitems);
    options.linewidth = linewidth.unwrap_or(options.linewidth);
    options.sci_mode = sci_mode;
    *PRINT.lock().unwrap_or_else(PoisonError::into_inner) = Some(options);
    Ok(())
}

impl PyTensor {
    /// The value of a tensor of one element.
    fn scalar(&self, py: Python<'_>) -> PyResult<Scalar> {
        let numel = self.0.layout().numel();
        if numel != 1 {
            let text = format!("a Tensor with {numel} elements cannot be converted to Scalar");
            return Err(PyRuntimeError::new_err(text));
        }
        Ok(Scalar::at(&self.memory(py)?, &vec![0; self.0.layout().rank()]))
    }

    /// The value for `float(x)` and `int(x)`.
    fn only(&self, py: Python<'_>) -> PyResult<Scalar> {
        if self.0.layout().numel() != 1 {
            return Err(PyValueError::new_err("only one element tensors can be converted to Python scalars"));
        }
        self.scalar(py)
    }
}

#[pymethods]
impl PyTensor {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let memory = self.memory(py)?;
        run(|| Ok(repr(&memory, &print_options(), dtype::default())))
    }

    fn __format__<'py>(slf: &Bound<'py, Self>, spec: &str) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if slf.get().shape_of().is_empty() {
            return scalar_object(py, slf.get().scalar(py)?).call_method1("__format__", (spec,));
        }
        if spec.is_empty() {
            return Ok(slf.str()?.into_any());
        }
        Err(PyTypeError::new_err("unsupported format string passed to Tensor.__format__"))
    }

    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        match self.0.layout().numel() {
            1 => Ok(match self.scalar(py)? {
                Scalar::Bool(b) => b,
                Scalar::Int(i) => i != 0,
                Scalar::Float(f) => f != 0.0,
            }),
            0 => Err(PyRuntimeError::new_err("Boolean value of Tensor with no values is ambiguous")),
            _ => Err(PyRuntimeError::new_err("Boolean value of Tensor with more than one value is ambiguous")),
        }
    }

    fn __float__(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(match self.only(py)? {
            Scalar::Bool(b) => f64::from(u8::from(b)),
            Scalar::Int(i) => i as f64,
            Scalar::Float(f) => f,
        })
    }

    fn __int__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.get_type::<PyInt>().call1((scalar_object(py, self.only(py)?),))
    }

    fn __index__(&self, py: Python<'_>) -> PyResult<i64> {
        match (self.0.layout().dtype().category(), self.0.layout().numel()) {
            (Category::Float, _) | (_, 0 | 2..) => {
                Err(PyTypeError::new_err("only integer tensors of a single element can be converted to an index"))
            }
            _ => match self.scalar(py)? {
                Scalar::Bool(b) => Ok(i64::from(b)),
                Scalar::Int(i) => Ok(i),
                Scalar::Float(_) => unreachable!("floats are refused"),
            },
        }
    }

    /// The value of a tensor of one element.
    fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(scalar_object(py, self.scalar(py)?))
    }

    /// The elements as nested lists.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let all = run(|| Scalar::all(&self.0.memory(&PyHost(py))?))?;
        nested(py, self.shape_of(), &mut all.into_iter())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(set_printoptions, m)?)
}
