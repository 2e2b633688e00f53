//! Results: new torch tensors, new NumPy arrays, and arrays that the caller gave as `out=`.

use crate::borrow::{Borrowed, Kind, Operand};
use crate::numpy;
use crate::torch::{NewTensor, Torch};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::graph::TensorMeta;

/// Memory for a result, before it is an object that the user may see.
pub enum NewArray<'py> {
    Torch(NewTensor),
    Numpy(Bound<'py, PyAny>),
}

/// Where results go.
#[derive(Clone, Copy)]
pub enum Target {
    Torch(&'static Torch),
    Numpy,
}

impl Target {
    /// Memory for a result of this dtype, shape and strides.
    #[inline]
    pub fn empty<'py>(self, py: Python<'py>, meta: &TensorMeta) -> PyResult<(NewArray<'py>, *mut u8)> {
        match self {
            Target::Torch(torch) => {
                let (tensor, data) = torch.empty(py, meta.dtype, &meta.shape, &meta.strides)?;
                Ok((NewArray::Torch(tensor), data))
            }
            Target::Numpy => {
                let (array, data) = numpy::api(py)?.empty(py, meta.dtype, &meta.shape, &meta.strides)?;
                Ok((NewArray::Numpy(array), data))
            }
        }
    }

    /// The result as users get it: arrays without dimensions of NumPy are scalars.
    #[inline]
    pub fn finish<'py>(self, py: Python<'py>, new: NewArray<'py>, scalar: bool) -> PyResult<Bound<'py, PyAny>> {
        match (self, new) {
            (Target::Torch(torch), NewArray::Torch(tensor)) => torch.finish(py, tensor),
            (_, NewArray::Numpy(array)) if scalar => numpy::api(py)?.to_scalar(array),
            (_, NewArray::Numpy(array)) => Ok(array),
            (Target::Numpy, NewArray::Torch(_)) => unreachable!("a target makes results of its own kind"),
        }
    }

    /// To be told when a kernel has written an array of the caller's.
    pub fn written(self, out: &Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Target::Torch(torch) => torch.bump_version(out),
            Target::Numpy => Ok(()),
        }
    }
}

/// What writing a result to `out` takes.
pub enum Writing {
    /// The kernel writes there.
    Direct(*mut u8),
    /// The kernel writes a new array, which is then copied: `out` overlaps an operand, or has another dtype
    /// or other strides.
    Copy,
}

/// Checks `out` for a result like `meta`, before anything is computed.
pub fn check_out(out: &Borrowed, target: Target, meta: &TensorMeta, operands: &[Operand]) -> PyResult<Writing> {
    let kind = if matches!(target, Target::Torch(_)) { Kind::Torch } else { Kind::Numpy };
    if out.kind != kind {
        return Err(PyTypeError::new_err(match kind {
            Kind::Torch => "out must be a torch.Tensor when an operand is one",
            Kind::Numpy => "out must be a numpy.ndarray when no operand is a torch.Tensor",
        }));
    }
    if out.readonly {
        return Err(PyValueError::new_err("output array is read-only"));
    }
    if !can_cast(meta.dtype, out.dtype) {
        return Err(PyRuntimeError::new_err(format!(
            "result type {} can't be cast to the desired output type {}",
            meta.dtype.c_name(),
            out.dtype.c_name()
        )));
    }
    if out.shape() != meta.shape {
        return Err(PyRuntimeError::new_err(format!(
            "out has shape {:?}, but the result has shape {:?}",
            out.shape(),
            meta.shape
        )));
    }
    let strides = out.strides();
    if out.shape().iter().zip(&strides).any(|(&n, &s)| n > 1 && s == 0) {
        return Err(PyRuntimeError::new_err(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory \
             location. Please clone() the tensor before performing the operation.",
        ));
    }
    let same_steps = (0..out.rank).all(|d| meta.shape[d] <= 1 || strides[d] == meta.strides[d]);
    let range = out.byte_range();
    let overlaps = |o: &Operand| match o {
        Operand::Array(a) => {
            let r = a.byte_range();
            r.start < range.end && range.start < r.end
        }
        Operand::Number(_) | Operand::Literal(_) => false,
    };
    if out.dtype == meta.dtype && same_steps && !operands.iter().any(overlaps) {
        return Ok(Writing::Direct(out.data));
    }
    Ok(Writing::Copy)
}

/// torch's `can_cast`: never to a lower category.
fn can_cast(from: DType, to: DType) -> bool {
    from.category() <= to.category()
}

/// `out[...] = result`.
pub fn copy_to(out: &Bound<'_, PyAny>, result: &Bound<'_, PyAny>) -> PyResult<()> {
    if out.hasattr("copy_")? {
        return out.call_method1("copy_", (result,)).map(drop);
    }
    let numpy = out.py().import("numpy")?;
    let kwargs = pyo3::types::PyDict::new(out.py());
    kwargs.set_item("casting", "same_kind")?;
    numpy.call_method("copyto", (out, result), Some(&kwargs)).map(drop)
}
