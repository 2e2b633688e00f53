//! Memory shared with other libraries: DLPack there and back, NumPy, and pickles.

use crate::dtype;
use crate::errors::runtime_to_py;
use crate::tensor::{PyHost, PyTensor, exact, new, run};
use crate::tensor_call::foreign;
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use rusttorch_ops::lazy::Tensor;
use rusttorch_runtime::Tensor as Memory;
use rusttorch_runtime::dlpack::{self, CAPSULE, CAPSULE_VERSIONED, DLManagedTensor, DLManagedTensorVersioned};
use std::ffi::CStr;

/// `Tensor.__dlpack__`.
#[allow(unsafe_code)]
pub fn export<'py>(
    tensor: &Bound<'py, PyTensor>,
    max_version: Option<(u32, u32)>,
    device: Option<(i32, i32)>,
    copy: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = tensor.py();
    if device.is_some_and(|d| d != (dlpack::DEVICE_CPU, 0)) {
        return Err(PyBufferError::new_err("tensors are on the CPU: cannot export them to another device"));
    }
    let copy = copy == Some(true);
    let this = &tensor.get().0;
    let memory = run(|| if copy { Ok(this.memory(&PyHost(py))?.copied()?) } else { this.lend(&PyHost(py)) })?;
    let versioned = max_version.is_some_and(|(major, _)| major >= dlpack::VERSION.major);
    let (ptr, name, end): (_, _, unsafe extern "C" fn(*mut ffi::PyObject)) = if versioned {
        (dlpack::export_versioned(&memory, copy).cast(), CAPSULE_VERSIONED[0], end_versioned)
    } else {
        (dlpack::export_legacy(&memory).map_err(runtime_to_py)?.cast(), CAPSULE[0], end_legacy)
    };
    // SAFETY: the name is static; the destructor ends the loan if nobody has consumed the capsule.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(ptr, name.as_ptr(), Some(end))) }
}

/// # Safety
/// `capsule` is a capsule that `export` made.
#[allow(unsafe_code)]
unsafe extern "C" fn end_versioned(capsule: *mut ffi::PyObject) {
    // SAFETY: a consumer renames the capsule; under the old name it still holds our loan.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, CAPSULE_VERSIONED[0].as_ptr()) != 0 {
            let managed = ffi::PyCapsule_GetPointer(capsule, CAPSULE_VERSIONED[0].as_ptr());
            let managed = managed.cast::<DLManagedTensorVersioned>();
            (*managed).deleter.into_iter().for_each(|d| d(managed));
        }
    }
}

/// # Safety
/// As `end_versioned`.
#[allow(unsafe_code)]
unsafe extern "C" fn end_legacy(capsule: *mut ffi::PyObject) {
    // SAFETY: as above.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, CAPSULE[0].as_ptr()) != 0 {
            let managed = ffi::PyCapsule_GetPointer(capsule, CAPSULE[0].as_ptr()).cast::<DLManagedTensor>();
            (*managed).deleter.into_iter().for_each(|d| d(managed));
        }
    }
}

/// Consumes a capsule.
#[allow(unsafe_code)]
fn import(capsule: &Bound<'_, PyAny>) -> PyResult<Memory> {
    let take = |names: [&'static CStr; 2]| {
        // SAFETY: the object lives; a capsule of this name holds what the name says until it is renamed, after
        // which its loan is ours.
        unsafe {
            if ffi::PyCapsule_IsValid(capsule.as_ptr(), names[0].as_ptr()) == 0 {
                return None;
            }
            let ptr = ffi::PyCapsule_GetPointer(capsule.as_ptr(), names[0].as_ptr());
            (ffi::PyCapsule_SetName(capsule.as_ptr(), names[1].as_ptr()) == 0).then_some(ptr)
        }
    };
    if let Some(ptr) = take(CAPSULE_VERSIONED) {
        // SAFETY: an unconsumed loan of a producer that keeps DLPack's rules.
        return unsafe { dlpack::import_versioned(ptr.cast()) }.map_err(runtime_to_py);
    }
    if let Some(ptr) = take(CAPSULE) {
        // SAFETY: as above.
        return unsafe { dlpack::import_legacy(ptr.cast()) }.map_err(runtime_to_py);
    }
    Err(PyRuntimeError::new_err(
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you \
         might have already constructed a tensor from it once.",
    ))
}

/// A tensor over the memory of an array of another library.
#[pyfunction]
pub fn from_dlpack<'py>(ext_tensor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = ext_tensor.py();
    if !ext_tensor.hasattr("__dlpack__")? {
        return new(py, Tensor::borrowed(&import(ext_tensor)?));
    }
    if crate::tensor_call::is_torch(ext_tensor) {
        // Of what its memory does not say (a conjugate, a tangent) DLPack knows nothing.
        crate::borrow::Session::recording(py).operand(ext_tensor, &|| "from_dlpack(): argument".to_owned())?;
    }
    let kwargs = PyDict::new(py);
    kwargs.set_item("max_version", (dlpack::VERSION.major, dlpack::VERSION.minor))?;
    let capsule = match ext_tensor.call_method("__dlpack__", (), Some(&kwargs)) {
        // Producers of DLPack 0.x know no versions.
        Err(e) if e.is_instance_of::<PyTypeError>(py) => ext_tensor.call_method0("__dlpack__")?,
        other => other?,
    };
    new(py, Tensor::borrowed(&import(&capsule)?))
}

/// A tensor over the memory of a NumPy array.
#[pyfunction]
fn from_numpy<'py>(ndarray: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = ndarray.py();
    if !ndarray.is_instance(&py.import("numpy")?.getattr("ndarray")?)? {
        let class = ndarray.get_type().name()?.to_string();
        return Err(PyTypeError::new_err(format!("expected np.ndarray (got {class})")));
    }
    match crate::borrow::Session::new(py).operand(ndarray, &|| "from_numpy(): argument".to_owned())? {
        crate::borrow::Operand::Array(array) if array.raw_strides().iter().any(|&s| s < 0) => {
            Err(PyValueError::new_err(
                "At least one stride in the given numpy array is negative, and tensors with negative strides are not \
                 currently supported. (You can probably work around this by making a copy of your array with \
                 array.copy().)",
            ))
        }
        crate::borrow::Operand::Array(array) => new(py, foreign(ndarray, array)?),
        _ => unreachable!("an ndarray is an array"),
    }
}

/// `Tensor.__array__` and `Tensor.numpy`.
pub fn array<'py>(
    tensor: &Bound<'py, PyTensor>,
    dtype: Option<&Bound<'py, PyAny>>,
    copy: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = tensor.py();
    let numpy = py.import("numpy")?;
    if tensor.get().0.layout().dtype() == rusttorch_ir::dtype::DType::BF16 {
        return Err(PyTypeError::new_err("Got unsupported ScalarType BFloat16"));
    }
    let copies = copy == Some(true);
    let wanted = dtype.map(|d| numpy.call_method1("dtype", (d,))).transpose()?;
    let own = numpy.call_method1("dtype", (tensor.get().0.layout().dtype().torch_name(),))?;
    let converts = match &wanted {
        Some(d) => !d.eq(&own)?,
        None => false,
    };
    if converts && copy == Some(false) {
        return Err(PyValueError::new_err("Unable to avoid copy while creating an array as requested."));
    }
    // A copy leaves the memory ours alone.
    let source = if copies || converts { copied(tensor)? } else { tensor.clone().into_any() };
    let array = numpy.call_method1("from_dlpack", (source,))?;
    match wanted {
        Some(wanted) if converts => array.call_method1("astype", (wanted,)),
        _ => Ok(array),
    }
}

fn copied<'py>(tensor: &Bound<'py, PyTensor>) -> PyResult<Bound<'py, PyAny>> {
    let memory = tensor.get().memory(tensor.py())?;
    new(tensor.py(), Tensor::from(memory.copied().map_err(runtime_to_py)?))
}

/// Pickled by value: the elements in row-major order, out of band with protocol 5.
pub fn reduce<'py>(tensor: &Bound<'py, PyTensor>, protocol: i32) -> PyResult<Bound<'py, PyAny>> {
    let py = tensor.py();
    let module = py.import("rusttorch._rusttorch")?;
    let memory = tensor.get().memory(py)?;
    let dense = memory.copied().map_err(runtime_to_py)?;
    let shape = PyTuple::new(py, dense.shape())?;
    let dtype = dtype::object(py, dense.dtype())?;
    let mut bytes = vec![0; dense.nbytes()];
    dense.storage().read(dense.byte_offset(), &mut bytes);
    let bytes = PyBytes::new(py, &bytes);
    let data =
        if protocol >= 5 { py.import("pickle")?.call_method1("PickleBuffer", (bytes,))? } else { bytes.into_any() };
    Ok((module.getattr("_rebuild")?, (data, shape, dtype)).into_pyobject(py)?.into_any())
}

#[pyfunction]
fn _rebuild<'py>(data: &Bound<'py, PyAny>, shape: Vec<i64>, dtype: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    let bytes = py.get_type::<PyBytes>().call1((data,))?.cast_into::<PyBytes>()?;
    let memory = Memory::from_bytes(bytes.as_bytes(), &shape, dtype::extract(dtype)?).map_err(runtime_to_py)?;
    new(py, Tensor::from(memory))
}

/// The tensor that an array of any library is: one over its memory; ours as it is.
pub fn shared<'py>(data: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if exact(data).is_some() {
        return Ok(Some(data.clone()));
    }
    if data.hasattr("__dlpack__")? { from_dlpack(data).map(Some) } else { Ok(None) }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(from_dlpack, m)?)?;
    m.add_function(wrap_pyfunction!(from_numpy, m)?)?;
    m.add_function(wrap_pyfunction!(_rebuild, m)?)
}
