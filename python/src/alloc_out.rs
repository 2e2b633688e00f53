//! Results: new torch tensors, new NumPy arrays, and arrays that the caller gave as `out=`.
//!
//! Who owns a result's memory: the library whose array it is, up to [`Target::lent_from`] bytes. Above, results are lent
//! from our allocator, which uses the same block again. NumPy gets every block of 32 MiB and more from the system anew,
//! and filling it faults on each of its pages. So does torch, and what it gets from malloc below that size comes from
//! changing places, so out of no cache: its requests are aligned, and a block that was given back is too short for the next
//! one. `x + z` of 4 MiB took 746 us into torch's memory and 407 into ours, `x + 1` of 64 MiB 56 ms and 11 ms (15 ms
//! into NumPy's; November 2026, AMD EPYC, 1 thread). The price: a lent storage cannot be resized.

use crate::borrow::{Borrowed, Kind, Operand};
use crate::errors::runtime_to_py;
use crate::numpy;
use crate::tensor;
use crate::torch::{NewTensor, Torch};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::graph::TensorMeta;
#[cfg(doc)]
use rusttorch_ops::engine::Plan;
use rusttorch_runtime::Tensor as Memory;
use std::sync::Arc;

/// Memory for a result, before it is an object that the user may see.
pub enum NewArray<'py> {
    Torch(NewTensor),
    Numpy(Bound<'py, PyAny>),
    /// An array of either library over our memory.
    Lent(Bound<'py, PyAny>),
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
        if self.lends(meta)
            && let Some(lent) = self.lent(py, meta)?
        {
            return Ok(lent);
        }
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

    /// Bytes from which results are lent: from where on torch's memory is slower, and glibc's largest threshold between
    /// blocks that are kept for the next `malloc` and blocks that are not.
    const fn lent_from(self) -> i64 {
        match self {
            Target::Torch(_) => 2 << 20,
            Target::Numpy => 32 << 20,
        }
    }

    #[inline]
    fn lends(self, meta: &TensorMeta) -> bool {
        // Shapes of results do not overflow: they were planned.
        meta.shape.iter().product::<i64>() >= self.lent_from() / meta.dtype.size() as i64
    }

    /// An array over memory of ours; None where the library would not let it be written.
    #[cold]
    fn lent<'py>(self, py: Python<'py>, meta: &TensorMeta) -> PyResult<Option<(NewArray<'py>, *mut u8)>> {
        let memory = Memory::empty_strided(&meta.shape, &meta.strides, meta.dtype).map_err(runtime_to_py)?;
        let memory = Arc::new(memory);
        let data = memory.data_ptr();
        if let Target::Torch(torch) = self
            && let Some(tensor) = torch.lend(py, &memory)
        {
            return Ok(Some((NewArray::Torch(tensor), data)));
        }
        let memory = Arc::into_inner(memory).expect("nobody else has it");
        let ours = tensor::new(py, memory.into())?;
        let array = match self {
            Target::Torch(torch) => torch.module(py).call_method1("from_dlpack", (ours,))?,
            Target::Numpy => {
                let array = py.import("numpy")?.call_method1("from_dlpack", (ours,))?;
                // NumPy before 2.1 knows no DLPack 1.0, and takes all that it is lent for constant.
                if !array.getattr("flags")?.getattr("writeable")?.is_truthy()? {
                    return Ok(None);
                }
                array
            }
        };
        Ok(Some((NewArray::Lent(array), data)))
    }

    /// The result as users get it: arrays without dimensions of NumPy are scalars.
    #[inline]
    pub fn finish<'py>(self, py: Python<'py>, new: NewArray<'py>, scalar: bool) -> PyResult<Bound<'py, PyAny>> {
        match (self, new) {
            (Target::Torch(torch), NewArray::Torch(tensor)) => torch.finish(py, tensor),
            (_, NewArray::Numpy(array)) if scalar => numpy::api(py)?.to_scalar(array),
            (_, NewArray::Numpy(array) | NewArray::Lent(array)) => Ok(array),
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
    /// `out` is also an operand: the kernel writes there if it reads every element before it writes it
    /// ([`Plan::accepts`]), else a new array.
    InPlace(*mut u8),
    /// The kernel writes a new array, which is then copied: `out` overlaps an operand, or has another dtype
    /// or other strides.
    Copy,
}

/// Gives a tensor of torch's without elements the shape of its result, as torch does; whether it has changed.
pub fn resize(out: &Bound<'_, PyAny>, borrowed: &Borrowed, target: Target, meta: &TensorMeta) -> PyResult<bool> {
    let grows = matches!(target, Target::Torch(_))
        && borrowed.kind == Kind::Torch
        && borrowed.shape().contains(&0)
        && borrowed.shape() != meta.shape
        && can_cast(meta.dtype, borrowed.dtype);
    if grows {
        out.call_method1(pyo3::intern!(out.py(), "resize_"), (meta.shape.clone(),))?;
    }
    Ok(grows)
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
    let is_empty = out.shape().contains(&0);
    if !is_empty && out.shape().iter().zip(&strides).any(|(&n, &s)| n > 1 && s == 0) {
        return Err(PyRuntimeError::new_err(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory \
             location. Please clone() the tensor before performing the operation.",
        ));
    }
    if out.dtype != meta.dtype || !same_steps(&strides, meta) {
        return Ok(Writing::Copy);
    }
    let mut in_place = false;
    for o in operands {
        let Operand::Array(a) = o else { continue };
        if overlaps(out, o) {
            if a.data != out.data {
                return Ok(Writing::Copy);
            }
            in_place = true;
        }
    }
    Ok(if in_place { Writing::InPlace(out.data) } else { Writing::Direct(out.data) })
}

/// The strides of `out`, where they are not the result's but a kernel can write under them: no two elements share
/// memory, and none is an operand's. (The order of a sum may follow them, as it follows the operands' layouts.)
pub fn own_strides(out: &Borrowed, meta: &TensorMeta, operands: &[Operand]) -> Option<Vec<i64>> {
    let strides = out.strides();
    if out.dtype != meta.dtype || out.shape() != meta.shape || same_steps(&strides, meta) {
        return None;
    }
    let mut steps: Vec<(i64, i64)> =
        strides.iter().zip(&meta.shape).filter(|&(_, &n)| n > 1).map(|(&s, &n)| (s, n)).collect();
    steps.sort_unstable();
    let mut reached = 0;
    for (stride, n) in steps {
        if stride <= reached {
            return None;
        }
        reached += stride.checked_mul(n - 1)?;
    }
    (!operands.iter().any(|o| overlaps(out, o))).then_some(strides)
}

/// True when `out` has the dtype, the shape and the strides of the result: with neither read-only nor shared memory,
/// the kernel may write there ([`check_out`] finds more such layouts, and says what is wrong with the others).
#[inline]
pub fn is_like(out: &Borrowed, target: Target, meta: &TensorMeta) -> bool {
    let kind = if matches!(target, Target::Torch(_)) { Kind::Torch } else { Kind::Numpy };
    let unit = if out.in_bytes { meta.dtype.size() as i64 } else { 1 };
    out.kind == kind
        && out.dtype == meta.dtype
        && out.rank == meta.shape.len()
        && out.shape().iter().zip(&meta.shape).all(|(a, b)| a == b)
        && out.raw_strides().iter().zip(&meta.strides).all(|(&a, &b)| a == b * unit)
}

/// True when memory between the first and the last element of both is the same.
fn overlaps(out: &Borrowed, operand: &Operand) -> bool {
    let Operand::Array(a) = operand else { return false };
    let (x, y) = (out.byte_range(), a.byte_range());
    x.start < y.end && y.start < x.end
}

/// True when elements follow each other as in the result; steps of extents of 1 lead nowhere.
fn same_steps(strides: &[i64], meta: &TensorMeta) -> bool {
    (0..meta.shape.len()).all(|d| meta.shape[d] <= 1 || strides[d] == meta.strides[d])
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
