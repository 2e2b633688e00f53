//! Tensors converted and written in place.

use crate::tensor::{PyHost, PyTensor, exact, run};
use crate::tensor_random::{self, Generator};
use crate::{device, tensor_call, tensor_index};
use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyTuple};
use rusttorch_ir::dtype::DType;
use rusttorch_ops::lazy::random::Distribution;

/// The tensor as this dtype: itself, or a copy.
fn converted<'py>(
    tensor: &Bound<'py, PyTensor>,
    dtype: DType,
    memory_format: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (this, host) = (tensor.get(), PyHost(tensor.py()));
    let row_major = is_contiguous_format(memory_format)?;
    if this.0.layout().dtype() == dtype {
        // As torch's, whatever its layout.
        return Ok(tensor.clone().into_any());
    }
    this.viewed(tensor.py(), |t| {
        let result = t.to_dtype(dtype, &host)?;
        if row_major && !result.layout().is_contiguous() { result.copied(true, &host) } else { Ok(result) }
    })
}

/// Whether torch's `memory_format` asks for rows; that strides be kept is the default.
pub(crate) fn is_contiguous_format(memory_format: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let Some(format) = memory_format else { return Ok(false) };
    match format.str()?.to_string().trim_start_matches("torch.") {
        "preserve_format" => Ok(false),
        "contiguous_format" => Ok(true),
        other => Err(PyNotImplementedError::new_err(format!("memory_format={other} is not supported"))),
    }
}

#[pymethods]
impl PyTensor {
    /// Another dtype, or the device "cpu".
    #[pyo3(signature = (*args, dtype=None, device=None, copy=false, non_blocking=false, memory_format=None))]
    fn to<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        dtype: Option<&Bound<'py, PyAny>>,
        device: Option<&Bound<'py, PyAny>>,
        mut copy: bool,
        non_blocking: bool,
        memory_format: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = non_blocking;
        let mut target = dtype.map(crate::dtype::extract).transpose()?;
        if let Some(device) = device {
            device::check(device)?;
        }
        let mut flags = 0;
        for arg in args {
            if arg.is_exact_instance_of::<PyBool>() {
                // Of the two flags at the end, the second one is `copy`.
                flags += 1;
                copy |= flags == 2 && arg.is_truthy()?;
            } else if let Some(like) = exact(&arg) {
                target = Some(like.layout().dtype());
            } else if device::is_device(&arg)? {
                device::check(&arg)?;
            } else {
                target = Some(crate::dtype::extract(&arg)?);
            }
        }
        let this = slf.get();
        let target = target.unwrap_or(this.0.layout().dtype());
        if copy && target == this.0.layout().dtype() {
            return this.clone_(slf.py(), memory_format);
        }
        converted(slf, target, memory_format)
    }

    #[pyo3(signature = (memory_format=None))]
    fn float<'py>(slf: &Bound<'py, Self>, memory_format: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        converted(slf, DType::F32, memory_format)
    }

    #[pyo3(signature = (memory_format=None))]
    fn double<'py>(slf: &Bound<'py, Self>, memory_format: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        converted(slf, DType::F64, memory_format)
    }

    #[pyo3(signature = (memory_format=None))]
    fn int<'py>(slf: &Bound<'py, Self>, memory_format: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        converted(slf, DType::I32, memory_format)
    }

    #[pyo3(signature = (memory_format=None))]
    fn long<'py>(slf: &Bound<'py, Self>, memory_format: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        converted(slf, DType::I64, memory_format)
    }

    #[pyo3(signature = (memory_format=None))]
    fn bool<'py>(slf: &Bound<'py, Self>, memory_format: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        converted(slf, DType::Bool, memory_format)
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
}
