//! `rusttorch.Tensor`: the Python class over lazy tensors (`rusttorch_ops::lazy`). What it does itself is to
//! read Python's arguments; operations are in `tensor_call.rs`, indexing in `tensor_index.rs`, new tensors in
//! `tensor_make.rs`, memory shared with other libraries in `exchange.rs`.

use crate::call::DETACH_FROM;
use crate::dtype::{self, PyDType};
use crate::errors::{guarded, to_py};
use crate::tensor_call::{self, binary, compare, in_place, unary};
use crate::tensor_random::{self, Generator};
use crate::{exchange, tensor_index, tensor_make, torch};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyAttributeError, PyIndexError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyTuple};
use rusttorch_ir::dtype::{Category, DType};
use rusttorch_ops::lazy::print::{PrintOptions, repr};
use rusttorch_ops::lazy::random::Distribution;
use rusttorch_ops::lazy::{self, Host, Scalar};
use rusttorch_runtime::Tensor as Memory;
use rusttorch_runtime::pool::{self, Parallel};
use std::sync::{Mutex, PoisonError};

/// Runs kernels for Python: on torch's threads when torch is there, the GIL released for long ones.
#[derive(Clone, Copy)]
pub struct PyHost<'py>(pub Python<'py>);

impl Host for PyHost<'_> {
    fn run(&self, work: u64, job: &mut (dyn FnMut(&dyn Parallel) + Send)) {
        if work < DETACH_FROM {
            return job(&pool::Serial);
        }
        let foreign = torch::seen(self.0).and_then(|t| t.pool());
        self.0.detach(|| {
            let _cap = pool::is_num_threads_set().then(|| pool::limit_threads(pool::num_threads()));
            match foreign {
                Some(foreign) => job(foreign),
                None => job(&pool::OwnPool),
            }
        });
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

static PRINT: Mutex<Option<PrintOptions>> = Mutex::new(None);

fn print_options() -> PrintOptions {
    PRINT.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_default()
}

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

pub fn scalar_object(py: Python<'_>, scalar: Scalar) -> Bound<'_, PyAny> {
    match scalar {
        Scalar::Bool(b) => PyBool::new(py, b).to_owned().into_any(),
        Scalar::Int(i) => PyInt::new(py, i).into_any(),
        Scalar::Float(f) => PyFloat::new(py, f).into_any(),
    }
}

impl PyTensor {
    pub fn memory(&self, py: Python<'_>) -> PyResult<Memory> {
        run(|| self.0.memory(&PyHost(py)))
    }

    fn shape_of(&self) -> &[i64] {
        self.0.layout().shape()
    }

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

    fn viewed<'py>(
        &self,
        py: Python<'py>,
        view: impl FnOnce(&lazy::Tensor) -> rusttorch_ops::Result<lazy::Tensor>,
    ) -> PyResult<Bound<'py, PyAny>> {
        new(py, run(|| view(&self.0))?)
    }

    fn rank(&self) -> i64 {
        self.0.layout().rank() as i64
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
        [n, rest @ ..] => {
            let list = PyList::empty(py);
            for _ in 0..*n {
                list.append(nested(py, rest, items)?)?;
            }
            Ok(list.into_any())
        }
    }
}

#[pymethods]
impl PyTensor {
    fn __add__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("add", slf.as_any(), other)
    }

    fn __radd__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("add", other, slf.as_any())
    }

    fn __iadd__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("add", slf, other)
    }

    fn __sub__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("sub", slf.as_any(), other)
    }

    fn __rsub__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("sub", other, slf.as_any())
    }

    fn __isub__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("sub", slf, other)
    }

    fn __mul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("mul", slf.as_any(), other)
    }

    fn __rmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("mul", other, slf.as_any())
    }

    fn __imul__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("mul", slf, other)
    }

    fn __truediv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("true_divide", slf.as_any(), other)
    }

    fn __rtruediv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("true_divide", other, slf.as_any())
    }

    fn __itruediv__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("true_divide", slf, other)
    }

    fn __floordiv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("floor_divide", slf.as_any(), other)
    }

    fn __rfloordiv__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("floor_divide", other, slf.as_any())
    }

    fn __ifloordiv__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("floor_divide", slf, other)
    }

    fn __mod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("remainder", slf.as_any(), other)
    }

    fn __rmod__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("remainder", other, slf.as_any())
    }

    fn __imod__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("remainder", slf, other)
    }

    fn __and__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_and", slf.as_any(), other)
    }

    fn __rand__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_and", other, slf.as_any())
    }

    fn __iand__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("bitwise_and", slf, other)
    }

    fn __or__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_or", slf.as_any(), other)
    }

    fn __ror__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_or", other, slf.as_any())
    }

    fn __ior__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("bitwise_or", slf, other)
    }

    fn __xor__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_xor", slf.as_any(), other)
    }

    fn __rxor__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_xor", other, slf.as_any())
    }

    fn __ixor__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("bitwise_xor", slf, other)
    }

    fn __lshift__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_left_shift", slf.as_any(), other)
    }

    fn __rlshift__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_left_shift", other, slf.as_any())
    }

    fn __ilshift__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("bitwise_left_shift", slf, other)
    }

    fn __rshift__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_right_shift", slf.as_any(), other)
    }

    fn __rrshift__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        binary("bitwise_right_shift", other, slf.as_any())
    }

    fn __irshift__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place("bitwise_right_shift", slf, other)
    }

    fn __pow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        _modulo: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        binary("pow", slf.as_any(), other)
    }

    fn __rpow__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        _modulo: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        binary("pow", other, slf.as_any())
    }

    fn __ipow__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>, _modulo: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        in_place("pow", slf, other)
    }

    fn __matmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        tensor_call::product(slf.as_any(), other)
    }

    fn __rmatmul__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        tensor_call::product(other, slf.as_any())
    }

    /// torch.matmul.
    fn matmul<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        tensor_call::product(slf.as_any(), other)
    }

    fn __richcmp__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        compare(slf.as_any(), other, op)
    }

    fn __neg__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        unary("neg", slf.as_any())
    }

    fn __pos__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        unary("positive", slf.as_any())
    }

    fn __abs__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        unary("abs", slf.as_any())
    }

    fn __invert__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        unary("bitwise_not", slf.as_any())
    }

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
        let copy = slf.get().clone_(slf.py())?;
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
    fn device(&self) -> &'static str {
        "cpu"
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

    /// Dimensions reversed.
    #[getter(T)]
    fn reversed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dims: Vec<i64> = (0..self.rank()).rev().collect();
        self.viewed(py, |t| t.permute(&dims))
    }

    /// The last two dimensions swapped.
    #[getter(mT)]
    fn matrix_transposed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.rank() == 0 {
            return self.viewed(py, |t| Ok(t.clone()));
        }
        if self.rank() == 1 {
            let text = format!(
                "tensor.mT is only supported on matrices or batches of matrices. Got {}-D tensor.",
                self.rank()
            );
            return Err(PyRuntimeError::new_err(text));
        }
        self.viewed(py, |t| t.transpose(-2, -1))
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
    fn is_contiguous(&self) -> bool {
        self.0.layout().is_contiguous()
    }

    /// True for floats.
    fn is_floating_point(&self) -> bool {
        self.0.layout().dtype().is_float()
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

    /// A row-major tensor of the same elements: itself, or a copy.
    fn contiguous<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().is_contiguous() {
            return Ok(slf.clone().into_any());
        }
        slf.get().viewed(slf.py(), |t| t.copied(true, &PyHost(slf.py())))
    }

    /// A copy.
    #[pyo3(name = "clone")]
    fn clone_<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.copied(false, &PyHost(py)))
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

    /// Another dtype, or the device "cpu".
    #[pyo3(signature = (*args, dtype=None, device=None, copy=false, non_blocking=false))]
    fn to<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        dtype: Option<&Bound<'py, PyAny>>,
        device: Option<&Bound<'py, PyAny>>,
        copy: bool,
        non_blocking: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = non_blocking;
        let mut target = dtype.map(crate::dtype::extract).transpose()?;
        if let Some(device) = device {
            tensor_make::check_device(device)?;
        }
        for arg in args {
            if let Some(like) = exact(&arg) {
                target = Some(like.layout().dtype());
            } else if tensor_make::is_device(&arg)? {
                tensor_make::check_device(&arg)?;
            } else {
                target = Some(crate::dtype::extract(&arg)?);
            }
        }
        let this = slf.get();
        let target = target.unwrap_or(this.0.layout().dtype());
        if target == this.0.layout().dtype() {
            return if copy { this.clone_(slf.py()) } else { Ok(slf.clone().into_any()) };
        }
        this.viewed(slf.py(), |t| t.to_dtype(target, &PyHost(slf.py())))
    }

    fn float<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().viewed(slf.py(), |t| t.to_dtype(DType::F32, &PyHost(slf.py())))
    }

    fn double<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().viewed(slf.py(), |t| t.to_dtype(DType::F64, &PyHost(slf.py())))
    }

    fn int<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().viewed(slf.py(), |t| t.to_dtype(DType::I32, &PyHost(slf.py())))
    }

    fn long<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().viewed(slf.py(), |t| t.to_dtype(DType::I64, &PyHost(slf.py())))
    }

    fn bool<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().viewed(slf.py(), |t| t.to_dtype(DType::Bool, &PyHost(slf.py())))
    }

    /// The same memory under another shape.
    #[pyo3(signature = (*shape))]
    fn view<'py>(&self, py: Python<'py>, shape: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let shape = integers(shape)?;
        self.viewed(py, |t| t.view(&shape))
    }

    /// The same elements under another shape: a view where there is one, else a copy.
    #[pyo3(signature = (*shape))]
    fn reshape<'py>(&self, py: Python<'py>, shape: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let shape = integers(shape)?;
        self.viewed(py, |t| t.reshape(&shape, &PyHost(py)))
    }

    /// The dimensions from start_dim to end_dim as one.
    #[pyo3(signature = (start_dim=0, end_dim=-1))]
    fn flatten<'py>(&self, py: Python<'py>, start_dim: i64, end_dim: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.flatten(start_dim, end_dim, &PyHost(py)))
    }

    /// The dimensions in another order.
    #[pyo3(signature = (*dims))]
    fn permute<'py>(&self, py: Python<'py>, dims: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let dims = integers(dims)?;
        self.viewed(py, |t| t.permute(&dims))
    }

    /// Two dimensions swapped.
    fn transpose<'py>(&self, py: Python<'py>, dim0: i64, dim1: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.transpose(dim0, dim1))
    }

    /// The transpose of a matrix.
    fn t<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.rank() {
            0 | 1 => self.viewed(py, |t| Ok(t.clone())),
            2 => self.viewed(py, |t| t.transpose(0, 1)),
            n => Err(PyRuntimeError::new_err(format!("t() expects a tensor with <= 2 dimensions, but self is {n}D"))),
        }
    }

    /// Without dimensions of extent 1.
    #[pyo3(signature = (dim=None))]
    fn squeeze<'py>(&self, py: Python<'py>, dim: Option<i64>) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.squeeze(dim))
    }

    /// With a dimension of extent 1.
    fn unsqueeze<'py>(&self, py: Python<'py>, dim: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.unsqueeze(dim))
    }

    /// Dimensions of extent 1 repeated, without a copy.
    #[pyo3(signature = (*sizes))]
    fn expand<'py>(&self, py: Python<'py>, sizes: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let sizes = integers(sizes)?;
        self.viewed(py, |t| t.expand(&sizes))
    }

    /// Expanded to the shape of another tensor.
    fn expand_as<'py>(&self, py: Python<'py>, other: &PyTensor) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.expand(other.shape_of()))
    }

    /// A range of a dimension.
    fn narrow<'py>(&self, py: Python<'py>, dim: i64, start: i64, length: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.narrow(dim, start, length))
    }

    /// One index of a dimension.
    fn select<'py>(&self, py: Python<'py>, dim: i64, index: i64) -> PyResult<Bound<'py, PyAny>> {
        if self.rank() == 0 {
            return Err(PyIndexError::new_err("select() cannot be applied to a 0-dim tensor."));
        }
        self.viewed(py, |t| t.select(dim, index))
    }

    /// All indices of a dimension, one by one.
    #[pyo3(name = "unbind", signature = (dim=0))]
    fn unbind_<'py>(slf: &Bound<'py, Self>, dim: i64) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        let n = this.shape_of()[this.dimension(dim)?];
        let parts: Vec<_> = (0..n).map(|i| this.select(slf.py(), dim, i)).collect::<PyResult<_>>()?;
        Ok(PyTuple::new(slf.py(), parts)?.into_any())
    }

    /// Rows by their numbers.
    fn index_select<'py>(slf: &Bound<'py, Self>, dim: i64, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        tensor_index::index_select(slf, dim, index)
    }

    /// Overwrites the elements with those of another tensor.
    #[pyo3(signature = (src, non_blocking=false))]
    fn copy_<'py>(slf: &Bound<'py, Self>, src: &Bound<'py, PyAny>, non_blocking: bool) -> PyResult<Bound<'py, Self>> {
        let _ = non_blocking;
        let value = tensor_call::as_tensor(src, "copy_(): argument 'other' (position 1)")?;
        run(|| slf.get().0.assign(&value, &PyHost(slf.py())))?;
        Ok(slf.clone())
    }

    /// Overwrites the elements with a number.
    fn fill_<'py>(slf: &Bound<'py, Self>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        tensor_index::fill(slf, value)?;
        Ok(slf.clone())
    }

    /// Overwrites the elements with zeros.
    fn zero_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        tensor_index::fill(slf, &PyInt::new(slf.py(), 0))?;
        Ok(slf.clone())
    }

    /// Overwrites the elements with random numbers, uniform in [from, to).
    #[pyo3(signature = (from_=0.0, to=1.0, *, generator=None))]
    fn uniform_<'py>(
        slf: &Bound<'py, Self>,
        from_: f64,
        to: f64,
        generator: Option<&Bound<'py, Generator>>,
    ) -> PyResult<Bound<'py, Self>> {
        if from_ > to {
            let text = "uniform_ expects to return a [from, to) range, but found";
            return Err(PyRuntimeError::new_err(format!("{text} from={from_} > to={to}")));
        }
        tensor_random::overwrite(slf, Distribution::Uniform, from_, to - from_, generator)?;
        Ok(slf.clone())
    }

    /// Overwrites the elements with random numbers, normal with this mean and standard deviation.
    #[pyo3(signature = (mean=0.0, std=1.0, *, generator=None))]
    fn normal_<'py>(
        slf: &Bound<'py, Self>,
        mean: f64,
        std: f64,
        generator: Option<&Bound<'py, Generator>>,
    ) -> PyResult<Bound<'py, Self>> {
        if std < 0.0 {
            return Err(PyRuntimeError::new_err(format!("normal expects std >= 0.0, but found std {std}")));
        }
        tensor_random::overwrite(slf, Distribution::Normal, mean, std, generator)?;
        Ok(slf.clone())
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
    m.add_function(wrap_pyfunction!(eval, m)?)?;
    m.add_function(wrap_pyfunction!(set_printoptions, m)?)
}
