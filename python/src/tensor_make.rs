//! New tensors: of data, of a formula, like others.

use crate::borrow::{self, Session};
use crate::exchange;
use crate::tensor::{PyHost, PyTensor, exact, integers, new, run};
use crate::tensor_call::foreign;
use crate::tensor_random::in_kind;
use crate::{device, dtype};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};
use rusttorch_ir::dtype::{DType, wrap_int};
use rusttorch_ops::lazy::{Scalar, Tensor, create};
use rusttorch_runtime::{Tensor as Memory, View};

/// A Python number.
pub fn number(value: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    if value.is_exact_instance_of::<PyFloat>() {
        return Ok(Scalar::Float(value.extract()?));
    }
    if let Some(t) = exact(value) {
        return number(&Bound::new(value.py(), PyTensor(t.clone()))?.into_any().call_method0("item")?);
    }
    if let Ok(b) = value.cast::<PyBool>() {
        return Ok(Scalar::Bool(b.is_true()));
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Scalar::Float(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() || value.hasattr("__index__")? {
        let int =
            if value.is_exact_instance_of::<PyInt>() { value.clone() } else { value.call_method0("__index__")? };
        let overflow = |_| PyValueError::new_err("Overflow when unpacking long long");
        return int.extract::<i64>().map(Scalar::Int).map_err(overflow);
    }
    if value.hasattr("__float__")? {
        return Ok(Scalar::Float(value.extract()?));
    }
    let class = value.get_type().name()?.to_string();
    Err(PyTypeError::new_err(format!("new(): data must be a number, not {class}")))
}

/// A tensor of no dimensions.
pub fn from_number(value: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    from_data(value, None)
}

/// torch's refusal of numbers that an integer dtype does not hold.
pub fn check_fits(value: Scalar, dtype: DType) -> PyResult<()> {
    let fits = match value {
        // Negative numbers wrap, but not twice.
        Scalar::Int(i) if dtype == DType::U8 => i.unsigned_abs() <= u64::from(u8::MAX),
        Scalar::Int(i) if dtype.is_int() => wrap_int(dtype, i) == i,
        Scalar::Float(f) if dtype.is_int() => {
            let (low, high) = dtype.int_range();
            (low as f64..=high as f64).contains(&f)
        }
        _ => true,
    };
    if fits {
        return Ok(());
    }
    let c = match dtype {
        DType::U8 => "uint8_t",
        DType::I8 => "int8_t",
        DType::I16 => "int16_t",
        DType::I32 => "int",
        _ => "int64_t",
    };
    Err(PyRuntimeError::new_err(format!("value cannot be converted to type {c} without overflow")))
}

/// Lists within lists, at most: as many as torch takes, so that one that holds itself ends.
const MAX_NESTED: usize = 128;

/// The extents of nested lists, and their numbers.
fn flatten(data: &Bound<'_, PyAny>, depth: usize, shape: &mut Vec<i64>, out: &mut Vec<Scalar>) -> PyResult<()> {
    if depth == shape.len() && (data.is_exact_instance_of::<PyFloat>() || data.is_exact_instance_of::<PyInt>()) {
        out.push(number(data)?);
        return Ok(());
    }
    let is_list = data.is_instance_of::<PyList>() || data.is_instance_of::<PyTuple>();
    if is_list || (data.hasattr("__len__")? && data.hasattr("__getitem__")? && !is_scalar_like(data)?) {
        if depth == MAX_NESTED {
            let class = data.get_type().name()?.to_string();
            return Err(PyValueError::new_err(format!("too many dimensions '{class}'")));
        }
        if data.is_instance_of::<PyString>() {
            return Err(PyValueError::new_err("too many dimensions 'str'"));
        }
        let n = data.len()? as i64;
        if shape.len() == depth && !out.is_empty() {
            let class = data.get_type().name()?.to_string();
            return Err(PyTypeError::new_err(format!("'{class}' object cannot be interpreted as an integer")));
        }
        if shape.len() == depth {
            shape.push(n);
        } else if shape.get(depth) != Some(&n) {
            let expected = shape.get(depth).copied().unwrap_or(0);
            return Err(PyValueError::new_err(format!(
                "expected sequence of length {expected} at dim {depth} (got {n})"
            )));
        }
        for item in data.try_iter()? {
            flatten(&item?, depth + 1, shape, out)?;
        }
        return Ok(());
    }
    if depth != shape.len() {
        let class = data.get_type().name()?.to_string();
        return Err(PyTypeError::new_err(format!("not a sequence: {class} at dim {depth}")));
    }
    out.push(number(data)?);
    Ok(())
}

/// Tensors and arrays without dimensions count as numbers inside lists.
fn is_scalar_like(data: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(data.hasattr("ndim")? && data.getattr("ndim")?.extract::<usize>()? == 0)
}

/// `rusttorch.tensor`: a copy.
pub fn from_data(data: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Tensor> {
    let py = data.py();
    let host = PyHost(py);
    let is_list = data.is_instance_of::<PyList>() || data.is_instance_of::<PyTuple>();
    if let Some(tensor) = exact(data) {
        let copy = run(|| tensor.copied(false, &host))?;
        return dtype.map_or(Ok(copy.clone()), |d| run(|| copy.to_dtype(d, &host)));
    }
    if !is_list
        && (data.hasattr("__array__")? || data.hasattr("__dlpack__")?)
        && let borrow::Operand::Array(array) = Session::new(py).operand(data, &|| "tensor(): argument".to_owned())?
    {
        let tensor = foreign(data, array)?;
        let copy = run(|| Ok(Tensor::from(in_order(&tensor.memory(&host)?)?)))?;
        return dtype.map_or(Ok(copy.clone()), |d| run(|| copy.to_dtype(d, &host)));
    }
    let (mut shape, mut values) = (Vec::new(), Vec::new());
    flatten(data, 0, &mut shape, &mut values)?;
    let inferred = values.iter().map(|v| match v {
        Scalar::Bool(_) => DType::Bool,
        Scalar::Int(_) => DType::I64,
        Scalar::Float(_) => dtype::default(),
    });
    let inferred = inferred.reduce(rusttorch_ir::dtype::promote_types).unwrap_or(dtype::default());
    let dtype = dtype.unwrap_or(inferred);
    values.iter().try_for_each(|v| check_fits(*v, dtype))?;
    Ok(run(|| create::of_scalars(&shape, dtype, &values))?.into())
}

/// A copy in the order of the strides.
fn in_order(memory: &Memory) -> rusttorch_ops::Result<Memory> {
    let strides = rusttorch_runtime::layout::preserve_format_strides(memory.shape(), memory.strides());
    let mut order: Vec<i64> = (0..memory.rank() as i64).collect();
    order.sort_by_key(|&d| (std::cmp::Reverse(strides[d as usize]), d));
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, &d)| back[d as usize] = i as i64);
    Ok(memory.permute(&order)?.copied()?.permute(&back)?)
}

/// A tensor with a copy of the data.
#[pyfunction]
#[pyo3(signature = (data, *, dtype=None, device=None, requires_grad=false))]
fn tensor<'py>(
    data: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
) -> PyResult<Bound<'py, PyAny>> {
    check(device, requires_grad)?;
    new(data.py(), from_data(data, dtype.map(dtype::extract).transpose()?)?)
}

/// A tensor over the memory of an array where that is possible, else with a copy of the data.
#[pyfunction]
#[pyo3(signature = (data, *, dtype=None, device=None))]
fn as_tensor<'py>(
    data: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    check(device, false)?;
    let py = data.py();
    let dtype = dtype.map(dtype::extract).transpose()?;
    if let Some(shared) = exchange::shared(data)? {
        let tensor = exact(&shared).expect("shared() gives ours");
        return match dtype {
            Some(d) if d != tensor.layout().dtype() => new(py, run(|| tensor.to_dtype(d, &PyHost(py)))?),
            _ => Ok(shared),
        };
    }
    new(py, from_data(data, dtype)?)
}

pub fn check(device: Option<&Bound<'_, PyAny>>, requires_grad: bool) -> PyResult<()> {
    if requires_grad {
        let text = "requires_grad=True: tensors of rusttorch record no gradients; use rusttorch.value_and_grad";
        return Err(pyo3::exceptions::PyNotImplementedError::new_err(text));
    }
    device.map_or(Ok(()), device::check)
}

fn dtype_or_default(dtype: Option<&Bound<'_, PyAny>>) -> PyResult<DType> {
    dtype.map_or(Ok(dtype::default()), dtype::extract)
}

/// The dtype and the strides of a tensor like `like`, an array of any library.
pub fn like<'py>(like: &Bound<'py, PyAny>, dtype: Option<&Bound<'py, PyAny>>) -> PyResult<View> {
    // Nothing is read, so that nothing is lost where autograd records.
    let session = &mut Session::recording(like.py());
    let (own, shape, strides) = match exact(like) {
        Some(tensor) => {
            let view = tensor.layout();
            (view.dtype(), view.shape().to_vec(), view.strides().to_vec())
        }
        None => match session.operand(like, &|| "like".to_owned())? {
            borrow::Operand::Array(a) => (a.dtype, a.shape().to_vec(), a.strides()),
            borrow::Operand::Number(_) | borrow::Operand::Literal(_) => {
                let tensor = from_number(like)?;
                (tensor.layout().dtype(), vec![], vec![])
            }
        },
    };
    let dtype = dtype.map_or(Ok(own), dtype::extract)?;
    let strides = rusttorch_runtime::layout::preserve_format_strides(&shape, &strides);
    run(|| Ok(View::of_result(&rusttorch_ir::graph::TensorMeta { dtype, shape, strides })?))
}

/// Memory of one value under a layout.
fn full_view(view: &View, value: Scalar) -> PyResult<Tensor> {
    check_fits(value, view.dtype())?;
    run(|| {
        let dense = create::full(&[(view.span()? / view.dtype().size()) as i64], view.dtype(), value)?;
        Ok(Memory::of(dense.storage().clone(), view)?.into())
    })
}

macro_rules! constants {
    ($($name:ident $like:ident $value:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[pyfunction]
        #[pyo3(signature = (*size, dtype=None, device=None, requires_grad=false))]
        fn $name<'py>(
            size: &Bound<'py, PyTuple>,
            dtype: Option<&Bound<'py, PyAny>>,
            device: Option<&Bound<'py, PyAny>>,
            requires_grad: bool,
        ) -> PyResult<Bound<'py, PyAny>> {
            check(device, requires_grad)?;
            let (shape, dtype) = (integers(size)?, dtype_or_default(dtype)?);
            new(size.py(), run(|| Ok(create::full(&shape, dtype, $value)?.into()))?)
        }

        #[doc = $doc]
        #[pyfunction]
        #[pyo3(signature = (input, *, dtype=None, device=None, requires_grad=false))]
        fn $like<'py>(
            input: &Bound<'py, PyAny>,
            dtype: Option<&Bound<'py, PyAny>>,
            device: Option<&Bound<'py, PyAny>>,
            requires_grad: bool,
        ) -> PyResult<Bound<'py, PyAny>> {
            check(device, requires_grad)?;
            in_kind(input, new(input.py(), full_view(&like(input, dtype)?, $value)?)?)
        }
    )*};
}

constants! {
    // Zeros are what memory of the system is, so they cost nothing more.
    empty empty_like Scalar::Int(0), "A tensor of some values.";
    zeros zeros_like Scalar::Int(0), "A tensor of zeros.";
    ones ones_like Scalar::Int(1), "A tensor of ones.";
}

/// A tensor of one value.
#[pyfunction]
#[pyo3(signature = (size, fill_value, *, dtype=None, device=None, requires_grad=false))]
fn full<'py>(
    size: &Bound<'py, PyAny>,
    fill_value: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
) -> PyResult<Bound<'py, PyAny>> {
    check(device, requires_grad)?;
    let value = number(fill_value)?;
    let dtype = match dtype {
        Some(d) => dtype::extract(d)?,
        None => match value {
            Scalar::Bool(_) => DType::Bool,
            Scalar::Int(_) => DType::I64,
            Scalar::Float(_) => dtype::default(),
        },
    };
    let shape: Vec<i64> = size.extract()?;
    check_fits(value, dtype)?;
    new(size.py(), run(|| Ok(create::full(&shape, dtype, value)?.into()))?)
}

/// A tensor of one value, like another.
#[pyfunction]
#[pyo3(signature = (input, fill_value, *, dtype=None, device=None, requires_grad=false))]
fn full_like<'py>(
    input: &Bound<'py, PyAny>,
    fill_value: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
) -> PyResult<Bound<'py, PyAny>> {
    check(device, requires_grad)?;
    in_kind(input, new(input.py(), full_view(&like(input, dtype)?, number(fill_value)?)?)?)
}

/// Numbers from start in steps, before end.
#[pyfunction]
#[pyo3(signature = (*args, start=None, end=None, step=None, dtype=None, device=None, requires_grad=false))]
fn arange<'py>(
    args: &Bound<'py, PyTuple>,
    start: Option<&Bound<'py, PyAny>>,
    end: Option<&Bound<'py, PyAny>>,
    step: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
) -> PyResult<Bound<'py, PyAny>> {
    check(device, requires_grad)?;
    let given: Vec<Scalar> = args.iter().map(|a| number(&a)).collect::<PyResult<_>>()?;
    let [start, end, step] = [start, end, step].map(|a| a.map(number).transpose());
    let (start, end, step) = match (&given[..], start?, end?, step?) {
        (&[], start, Some(end), step) => (start, end, step),
        (&[end], None, None, step) => (None, end, step),
        (&[start], None, Some(end), step) | (&[start, end], None, None, step) => (Some(start), end, step),
        (&[start, end, step], None, None, None) => (Some(start), end, Some(step)),
        _ => {
            return Err(PyTypeError::new_err(
                "arange() takes an end, a start and an end, or a start, an end and a step",
            ));
        }
    };
    let (start, step) = (start.unwrap_or(Scalar::Int(0)), step.unwrap_or(Scalar::Int(1)));
    let is_float = |s: &Scalar| matches!(s, Scalar::Float(_));
    let dtype = match dtype {
        Some(d) => dtype::extract(d)?,
        None if [start, end, step].iter().any(is_float) => dtype::default(),
        None => DType::I64,
    };
    new(args.py(), run(|| Ok(create::arange(start, end, step, dtype)?.into()))?)
}

/// Numbers from start to end, both among them, at equal distances.
#[pyfunction]
#[pyo3(signature = (start, end, steps, *, dtype=None, device=None, requires_grad=false))]
fn linspace<'py>(
    py: Python<'py>,
    start: &Bound<'py, PyAny>,
    end: &Bound<'py, PyAny>,
    steps: i64,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
) -> PyResult<Bound<'py, PyAny>> {
    check(device, requires_grad)?;
    let dtype = dtype_or_default(dtype)?;
    let rank = |at: &Bound<'_, PyAny>| match at.is_instance_of::<PyFloat>() || at.is_instance_of::<PyInt>() {
        true => 0,
        false => at.getattr("ndim").and_then(|n| n.extract::<usize>()).unwrap_or(0),
    };
    let (a, b) = (rank(start), rank(end));
    if a + b > 0 {
        let text = format!(
            "linspace only supports 0-dimensional start and end tensors, but got start with {a} dimension(s) and end \
             with {b} dimension(s)."
        );
        return Err(PyRuntimeError::new_err(text));
    }
    let (start, end) = (start.extract()?, end.extract()?);
    new(py, run(|| Ok(create::linspace(start, end, steps, dtype)?.into()))?)
}

/// Ones on the diagonal of a matrix of zeros.
#[pyfunction]
#[pyo3(signature = (n, m=None, *, dtype=None, device=None, requires_grad=false))]
fn eye<'py>(
    py: Python<'py>,
    n: i64,
    m: Option<i64>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
) -> PyResult<Bound<'py, PyAny>> {
    check(device, requires_grad)?;
    let dtype = dtype_or_default(dtype)?;
    for size in [n, m.unwrap_or(n)] {
        if size < 0 {
            return Err(PyRuntimeError::new_err(format!("n must be greater or equal to 0, got {size}")));
        }
    }
    new(py, run(|| Ok(create::eye(n, m.unwrap_or(n), dtype)?.into()))?)
}

/// True for tensors of this package.
#[pyfunction]
fn is_tensor(obj: &Bound<'_, PyAny>) -> bool {
    exact(obj).is_some()
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(tensor, m)?)?;
    m.add_function(wrap_pyfunction!(as_tensor, m)?)?;
    m.add_function(wrap_pyfunction!(empty, m)?)?;
    m.add_function(wrap_pyfunction!(empty_like, m)?)?;
    m.add_function(wrap_pyfunction!(zeros, m)?)?;
    m.add_function(wrap_pyfunction!(zeros_like, m)?)?;
    m.add_function(wrap_pyfunction!(ones, m)?)?;
    m.add_function(wrap_pyfunction!(ones_like, m)?)?;
    m.add_function(wrap_pyfunction!(full, m)?)?;
    m.add_function(wrap_pyfunction!(full_like, m)?)?;
    m.add_function(wrap_pyfunction!(arange, m)?)?;
    m.add_function(wrap_pyfunction!(linspace, m)?)?;
    m.add_function(wrap_pyfunction!(eye, m)?)?;
    m.add_function(wrap_pyfunction!(is_tensor, m)?)
}
