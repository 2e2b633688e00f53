//! `rusttorch.Tensor`: the Python class over lazy tensors (`rusttorch_ops::lazy`). What it does itself is to
//! read Python's arguments. Its methods are here (protocols, what it is), in `tensor_operators.rs`, `tensor_values.rs`
//! (Python's numbers and text), `tensor_views.rs` and `tensor_write.rs`; what they call is in `tensor_call.rs` (operations),
//! `tensor_index.rs`, `tensor_make.rs` (new tensors) and `exchange.rs` (memory shared with other libraries).

use crate::control;
use crate::device::{self, PyDevice};
use crate::dtype::{self, PyDType};
use crate::errors::{guarded, to_py};
use crate::tensor_call::{self, compare, unary};
use crate::tensor_write::is_contiguous_format;
use crate::{exchange, tensor_index};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyAttributeError, PyIndexError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyTuple};
use rusttorch_ops::lazy::{self, Host};
use rusttorch_runtime::Tensor as Memory;
use rusttorch_runtime::pool::Parallel;

/// Runs kernels for Python: on torch's threads when torch is there, the GIL released for long ones.
#[derive(Clone, Copy)]
pub struct PyHost<'py>(pub Python<'py>);

impl Host for PyHost<'_> {
    fn run(&self, work: u64, job: &mut (dyn FnMut(&dyn Parallel) + Send)) {
        control::on_threads(self.0, work, job);
    }

    fn wait(&self, wait: &mut (dyn FnMut() + Send)) {
        self.0.detach(wait);
    }
}

/// Runs something of the engine; panics and errors become exceptions.
pub fn run<T>(f: impl FnOnce() -> rusttorch_ops::Result<T>) -> PyResult<T> {
    guarded(|| "a lazy tensor".to_owned(), || f().map_err(to_py))
}

/// A multi-dimensional array of numbers of one dtype, whose operations run when a value is needed.
#[pyclass(frozen, weakref, name = "Tensor", module = "rusttorch")]
pub struct PyTensor(pub lazy::Tensor);

/// The tensor that an object is.
pub fn exact<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a lazy::Tensor> {
    object.cast_exact::<PyTensor>().ok().map(|t| &t.get().0)
}

pub fn new(py: Python<'_>, tensor: lazy::Tensor) -> PyResult<Bound<'_, PyAny>> {
    Ok(Bound::new(py, PyTensor(tensor))?.into_any())
}

/// Integers given one by one, or as one list or tuple.
pub fn integers(args: &Bound<'_, PyTuple>) -> PyResult<Vec<i64>> {
    if args.len() == 1
        && let first = args.get_item(0)?
        && (first.is_instance_of::<PyList>() || first.is_instance_of::<PyTuple>())
    {
        return first.extract();
    }
    args.extract::<Bound<'_, PyAny>>()?.extract()
}

impl PyTensor {
    pub fn memory(&self, py: Python<'_>) -> PyResult<Memory> {
        run(|| self.0.memory(&PyHost(py)))
    }

    pub(crate) fn shape_of(&self) -> &[i64] {
        self.0.layout().shape()
    }

    pub(crate) fn viewed<'py>(
        &self,
        py: Python<'py>,
        view: impl FnOnce(&lazy::Tensor) -> rusttorch_ops::Result<lazy::Tensor>,
    ) -> PyResult<Bound<'py, PyAny>> {
        new(py, run(|| view(&self.0))?)
    }

    pub(crate) fn rank(&self) -> i64 {
        self.0.layout().rank() as i64
    }
}

#[pymethods]
impl PyTensor {
    fn __hash__(slf: &Bound<'_, Self>) -> isize {
        // The address, rotated as object.__hash__ does.
        (slf.as_ptr().addr().rotate_right(4)) as isize
    }

    fn __getattr__<'py>(slf: &Bound<'py, Self>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match tensor_call::method(slf, name)? {
            Some(method) => Ok(method),
            None => Err(PyAttributeError::new_err(tensor_call::missing(slf.py(), name)?)),
        }
    }

    fn __len__(&self) -> PyResult<usize> {
        match self.shape_of().first() {
            Some(&n) => Ok(n as usize),
            None => Err(PyTypeError::new_err("len() of a 0-d tensor")),
        }
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().shape_of().is_empty() {
            return Err(PyTypeError::new_err("iteration over a 0-d tensor"));
        }
        Ok(Self::unbind_(slf, 0)?.try_iter()?.into_any())
    }

    /// Turned round along the first dimension, as torch's.
    fn __reversed__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().shape_of().is_empty() {
            return Ok(slf.clone().into_any());
        }
        slf.as_any().call_method1("flip", ((0,),))
    }

    fn __contains__(slf: &Bound<'_, Self>, element: &Bound<'_, PyAny>) -> PyResult<bool> {
        let equal = compare(slf.as_any(), element, CompareOp::Eq)?;
        unary("any", &equal)?.is_truthy()
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        tensor_index::get(slf, index)
    }

    fn __setitem__(slf: &Bound<'_, Self>, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        tensor_index::set(slf, index, value)
    }

    /// The elements as an array of NumPy; shares memory unless another dtype or a copy is asked for.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        exchange::array(slf, dtype, copy)
    }

    #[getter]
    fn __array_priority__(&self) -> f64 {
        1000.0
    }

    /// The tensor's memory as an array of NumPy.
    #[pyo3(signature = (*, force=false))]
    fn numpy<'py>(slf: &Bound<'py, Self>, force: bool) -> PyResult<Bound<'py, PyAny>> {
        let _ = force;
        exchange::array(slf, None, None)
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        slf: &Bound<'py, Self>,
        stream: Option<&Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = stream;
        exchange::export(slf, max_version, dl_device, copy)
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        (rusttorch_runtime::dlpack::DEVICE_CPU, 0)
    }

    /// Address of the first element. From now on the memory counts as shared.
    fn data_ptr(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(run(|| self.0.lend(&PyHost(py)))?.data_ptr().addr())
    }

    fn __copy__(&self) -> PyTensor {
        PyTensor(self.0.clone())
    }

    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, memo: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let key = slf.as_ptr().addr();
        if let Some(known) = memo.get_item(key)? {
            return Ok(known);
        }
        let copy = slf.get().clone_(slf.py(), None)?;
        memo.set_item(key, &copy)?;
        Ok(copy)
    }

    fn __reduce_ex__<'py>(slf: &Bound<'py, Self>, protocol: i32) -> PyResult<Bound<'py, PyAny>> {
        exchange::reduce(slf, protocol)
    }

    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDType>> {
        dtype::object(py, self.0.layout().dtype())
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.shape_of())
    }

    #[getter]
    fn ndim(&self) -> usize {
        self.0.layout().rank()
    }

    #[getter]
    fn device<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDevice>> {
        device::cpu(py)
    }

    #[getter]
    fn itemsize(&self) -> usize {
        self.0.layout().dtype().size()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.layout().nbytes()
    }

    #[getter]
    fn requires_grad(&self) -> bool {
        false
    }

    /// The shape, or one extent.
    #[pyo3(signature = (dim=None))]
    fn size<'py>(&self, py: Python<'py>, dim: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        match dim {
            None => Ok(self.shape(py)?.into_any()),
            Some(dim) => Ok(PyInt::new(py, self.shape_of()[self.dimension(dim)?]).into_any()),
        }
    }

    /// The strides in elements, or one of them.
    #[pyo3(signature = (dim=None))]
    fn stride<'py>(&self, py: Python<'py>, dim: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        let strides = self.0.layout().strides();
        match dim {
            None => Ok(PyTuple::new(py, strides)?.into_any()),
            Some(dim) => Ok(PyInt::new(py, strides[self.dimension(dim)?]).into_any()),
        }
    }

    /// Number of dimensions.
    fn dim(&self) -> usize {
        self.0.layout().rank()
    }

    /// Number of elements.
    fn numel(&self) -> i64 {
        self.0.layout().numel()
    }

    /// Number of elements.
    fn nelement(&self) -> i64 {
        self.0.layout().numel()
    }

    /// Bytes of an element.
    fn element_size(&self) -> usize {
        self.0.layout().dtype().size()
    }

    /// Position of the first element in the memory, in elements.
    fn storage_offset(&self) -> usize {
        self.0.layout().byte_offset() / self.0.layout().dtype().size()
    }

    /// True when elements are row-major without gaps.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.0.layout().is_contiguous()
    }

    /// True for floats.
    fn is_floating_point(&self) -> bool {
        self.0.layout().dtype().is_float()
    }

    /// A row-major tensor of the same elements: itself, or a copy.
    #[pyo3(signature = (memory_format=None))]
    fn contiguous<'py>(
        slf: &Bound<'py, Self>,
        memory_format: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        is_contiguous_format(memory_format)?;
        if slf.get().is_contiguous() {
            return Ok(slf.clone().into_any());
        }
        slf.get().viewed(slf.py(), |t| t.copied(true, &PyHost(slf.py())))
    }

    /// A copy.
    #[pyo3(name = "clone", signature = (*, memory_format=None))]
    pub(crate) fn clone_<'py>(
        &self,
        py: Python<'py>,
        memory_format: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let row_major = is_contiguous_format(memory_format)?;
        self.viewed(py, |t| t.copied(row_major, &PyHost(py)))
    }

    /// The same tensor: there are no gradients to be cut off from.
    fn detach(&self) -> PyTensor {
        PyTensor(self.0.clone())
    }

    /// The same tensor: it is on the CPU.
    fn cpu(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_args, **_kwargs))]
    fn cuda(&self, _args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("rusttorch has no CUDA: tensors are on the CPU"))
    }

    /// True when the value is still to be computed.
    fn _is_pending(&self) -> bool {
        self.0.is_pending()
    }
}

impl PyTensor {
    /// The index of a possibly negative dimension.
    pub fn dimension(&self, dim: i64) -> PyResult<usize> {
        let rank = self.0.layout().rank();
        rusttorch_runtime::tensor::wrap_dim(dim, rank).map_err(crate::errors::runtime_to_py).and_then(|d| {
            if rank == 0 {
                return Err(PyIndexError::new_err("Dimension specified as 0 but tensor has no dimensions"));
            }
            Ok(d)
        })
    }
}

/// Computes the values of tensors now, those that belong together as one kernel.
#[pyfunction]
#[pyo3(signature = (*tensors))]
fn eval(tensors: &Bound<'_, PyTuple>) -> PyResult<()> {
    let py = tensors.py();
    let tensors: Vec<lazy::Tensor> = tensors
        .iter()
        .map(|t| exact(&t).cloned().ok_or_else(|| PyTypeError::new_err("eval() takes tensors of rusttorch")))
        .collect::<PyResult<_>>()?;
    run(|| lazy::eval(&tensors, &PyHost(py)))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyTensor>()?;
    m.add_function(wrap_pyfunction!(eval, m)?)
}
