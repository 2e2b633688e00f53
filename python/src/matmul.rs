//! `rusttorch.matmul`: matrix products of borrowed operands, over the runtime's.
//!
//! A product is no kernel of an expression: it has no plan, and its bits follow the machine's blocking.

use crate::alloc_out::{Target, Writing, check_out, copy_to};
use crate::borrow::{Borrowed, Operand, Session};
use crate::call::target;
use crate::control::{self, DETACH_FROM};
use crate::errors::{guarded, runtime_to_py};
use crate::{tensor, tensor_call, through, torch};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::graph::TensorMeta;
use rusttorch_runtime::matmul::{matmul_out, matmul_shape};
use rusttorch_runtime::pool;
use rusttorch_runtime::storage::Storage;
use rusttorch_runtime::tensor::Tensor;

/// The product of two matrices, of batches of them, or of vectors: torch.matmul. Autograd records it.
#[pyfunction]
#[pyo3(signature = (a, b, *, out=None))]
fn matmul<'py>(
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let any = |is: &dyn Fn(&Bound<'py, PyAny>) -> bool| is(a) || is(b);
    if any(&tensor_call::is_ours) && !any(&tensor_call::is_torch) {
        let result = tensor_call::product(a, b)?;
        if let Some(value) = tensor::exact(&result) {
            let Some(out) = out else { return Ok(result) };
            let Some(target) = tensor::exact(out) else {
                return Err(PyTypeError::new_err("out must be a rusttorch.Tensor when an operand is one"));
            };
            tensor_call::store(target, value, py)?;
            return Ok(out.clone());
        }
    }
    let mut session = Session::recording(py);
    if let Some(out) = out {
        session.check_result(out)?;
    }
    let mut operands = match operands(&mut session, a, b) {
        Ok(operands) => operands,
        Err(e) => {
            let Some(what) = session.special() else { return Err(e) };
            return through::call("matmul", "matmul", what, (a, b, out), py);
        }
    };
    if out.is_none() && lowered(py, &session, &operands)? {
        return py.import("rusttorch._autograd")?.getattr("matmul_autocast")?.call1((a, b));
    }
    if session.requires_grad() {
        if out.is_some() {
            return Err(torch::grad_of_out("matmul"));
        }
        return py.import("rusttorch._autograd")?.getattr("matmul")?.call1((a, b));
    }
    session.settle(py, &mut operands)?;
    let [Operand::Array(left), Operand::Array(right)] = &operands else {
        unreachable!("`operand` gives arrays");
    };
    if ![left, right].iter().all(|x| tensor_call::is_multiplied(x.dtype)) {
        let options = out.map(|out| [("out", out)].into_py_dict(py)).transpose()?;
        return py.import("rusttorch._products")?.getattr("any_matmul")?.call((a, b), options.as_ref());
    }
    // SAFETY: the arguments live, and are not written, until this function returns, which is when the
    // tensors are gone.
    let (left, right) = unsafe { (view(left)?, view(right)?) };
    let shape = guarded(|| "matmul".to_owned(), || matmul_shape(&left, &right).map_err(runtime_to_py))?;
    let meta = TensorMeta::contiguous(left.dtype(), &shape);
    let target = target(&session, &operands);
    let Some(out) = out else {
        let (new, data) = target.empty(py, &meta)?;
        multiply(py, &left, &right, data, &meta)?;
        return target.finish(py, new, meta.shape.is_empty());
    };
    match check_out(&session.result(out)?, target, &meta, &operands)? {
        Writing::Direct(data) => {
            multiply(py, &left, &right, data, &meta)?;
            target.written(out)?;
        }
        Writing::InPlace(_) | Writing::Copy => {
            let (new, data) = target.empty(py, &meta)?;
            multiply(py, &left, &right, data, &meta)?;
            copy_to(out, &target.finish(py, new, false)?)?;
        }
    }
    Ok(out.clone())
}

/// Whether torch.autocast makes operands of a lower dtype.
fn lowered(py: Python<'_>, session: &Session, operands: &[Operand]) -> PyResult<bool> {
    let Target::Torch(torch) = target(session, operands) else { return Ok(false) };
    let Some(lower) = torch.autocast(py)? else { return Ok(false) };
    let eligible = |d: DType| d.is_float() && d != DType::F64 && d != lower;
    Ok(operands.iter().any(|x| matches!(x, Operand::Array(x) if eligible(x.dtype))))
}

fn operands(session: &mut Session, a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<[Operand; 2]> {
    Ok([operand(session, a, "input", 1)?, operand(session, b, "other", 2)?])
}

/// An array; numbers are refused as torch refuses them.
fn operand(session: &mut Session, object: &Bound<'_, PyAny>, name: &str, position: usize) -> PyResult<Operand> {
    let name = || format!("matmul(): argument '{name}' (position {position})");
    match session.operand(object, &name)? {
        Operand::Number(_) | Operand::Literal(_) => {
            let class = object.get_type().name()?.to_string();
            Err(PyTypeError::new_err(format!("{} must be Tensor, not {class}", name())))
        }
        array @ Operand::Array(_) => Ok(array),
    }
}

/// The runtime's view of an operand, for reading.
///
/// # Safety
/// The operand's memory stays, unwritten, as long as the view.
unsafe fn view(b: &Borrowed) -> PyResult<Tensor> {
    let range = b.byte_range();
    let offset = b.data.addr() - range.start;
    // SAFETY: the operand was checked to have these bytes when it was borrowed.
    let storage = unsafe { Storage::from_foreign(b.data.wrapping_sub(offset), range.len(), true, Box::new(|| ())) };
    Tensor::from_parts(storage, offset, b.shape(), &b.strides(), b.dtype).map_err(runtime_to_py)
}

/// Writes the product to `data`, which is memory as `meta` says that no operand shares.
fn multiply(py: Python<'_>, a: &Tensor, b: &Tensor, data: *mut u8, meta: &TensorMeta) -> PyResult<()> {
    let numel = meta.numel();
    let bytes = numel as usize * meta.dtype.size();
    // SAFETY: made or checked by `alloc_out` to be as `meta` says, and dense.
    let storage = unsafe { Storage::from_foreign(data, bytes, false, Box::new(|| ())) };
    let out = Tensor::from_parts(storage, 0, &meta.shape, &meta.strides, meta.dtype).map_err(runtime_to_py)?;
    let work = (numel as u64).saturating_mul(a.shape().last().map_or(0, |&k| k as u64));
    let threads = control::threads(py)?.0;
    let run = || {
        let _cap = pool::limit_threads(threads);
        // SAFETY: the result is new, or the caller's `out`, which is not to be touched during the call.
        unsafe { matmul_out(a, b, &out) }.map_err(runtime_to_py)
    };
    let what = || format!("matmul of {} {:?} and {:?}", meta.dtype.torch_name(), a.shape(), b.shape());
    guarded(what, || if work < DETACH_FROM { run() } else { py.detach(run) })
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(matmul, m)?)
}
