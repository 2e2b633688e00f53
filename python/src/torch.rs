//! libtorch through its stable C ABI and a few of its Python attributes, resolved when torch is
//! already loaded; torch is never imported from here.
//!
//! The fast path takes a handle of the tensor (torch 2.14 and later) and reads everything from it.
//! The functions are in `torch_abi.rs`. Older versions, and whatever lacks a symbol, go by Python attributes: the same checks, slower.
//!
//! What a tensor must be before its pointer is used (grep for T1..T7):
//! T1 exactly `torch.Tensor` or `torch.nn.Parameter`: a subclass may hide anything behind its pointer;
//! T2 no functorch transform, forward-mode level, dispatch mode or function mode is active: a tensor may be
//!    a wrapper, or someone wants to see the call;
//! T3 strided layout, on the CPU, of a dtype we know;
//! T4 memory is there when there are elements (zero tensors and resized storages have none);
//! T5 the storage reaches to the last element;
//! T6 neither the negative nor the conjugate bit is set (complex dtypes, the only ones with the latter,
//!    end at T3);
//! (what fails at T1, T2, T6, or is a zero tensor, is [`Refused::Special`]: calls of expressions are then
//! evaluated by torch, see `through.rs`; all else is an error)
//! T7 it does not require grad while grad mode is on, or the caller sees to the gradient
//!    ([`crate::borrow::Session::recording`]).

use crate::borrow::{Borrowed, Kind, MAX_RANK, torch_too_many_dims};
use crate::torch_abi::{CODES, Handle, Shim, Status, code, library, symbol_in};
use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::Tensor as Memory;
use rusttorch_runtime::pool::{ForeignPool, GetNumThreads, Parallel, ParallelFor};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of the loaded torch.
pub struct Torch {
    tensor: *mut ffi::PyTypeObject,
    parameter: *mut ffi::PyTypeObject,
    /// Found by the first call outside of modes and transforms, in which the sample tensors would be special; None
    /// inside when there is none.
    shim: PyOnceLock<Option<Shim>>,
    module: Py<PyAny>,
    mode_checks: Py<PyAny>,
    pool: Option<ForeignPool>,
    /// The process that loaded it.
    process: u32,
}

// SAFETY: addresses of functions and types of libraries that are never unloaded.
unsafe impl Send for Torch {}
// SAFETY: as above; used with the GIL held only.
unsafe impl Sync for Torch {}

static TORCH: PyOnceLock<Torch> = PyOnceLock::new();
static ATTRIBUTES_ONLY: AtomicBool = AtomicBool::new(false);

/// torch, if a call has seen it.
#[inline]
pub fn seen(py: Python<'_>) -> Option<&'static Torch> {
    TORCH.get(py)
}

/// torch, if someone has imported it (to the end: a half-imported torch is none).
#[inline]
pub fn loaded(py: Python<'_>) -> PyResult<Option<&'static Torch>> {
    if let Some(torch) = TORCH.get(py) {
        return Ok(Some(torch));
    }
    let modules = py.import("sys")?.getattr("modules")?;
    match modules.call_method1("get", ("torch",))? {
        module if module.is_none() || !module.hasattr("autograd")? || !module.hasattr("compile")? => Ok(None),
        module => TORCH.get_or_try_init(py, || Torch::load(&module)).map(Some),
    }
}

fn load_pool(torch: &Bound<'_, PyAny>) -> Option<ForeignPool> {
    let cpu = library(torch, "libtorch_cpu")?;
    let parallel_for = symbol_in(cpu, c"torch_parallel_for")?;
    let threads = symbol_in(cpu, c"torch_get_num_threads")?;
    // SAFETY: the stable C ABI's functions, in a library that is never unloaded.
    unsafe {
        let parallel_for = std::mem::transmute::<*mut c_void, ParallelFor>(parallel_for);
        Some(ForeignPool::new(parallel_for, std::mem::transmute::<*mut c_void, GetNumThreads>(threads)))
    }
}

impl Torch {
    fn load(module: &Bound<'_, PyAny>) -> PyResult<Torch> {
        let py = module.py();
        let tensor = module.getattr("Tensor")?;
        let parameter = module.getattr("nn")?.getattr("Parameter")?;
        Ok(Torch {
            tensor: tensor.as_ptr().cast(),
            parameter: parameter.as_ptr().cast(),
            shim: PyOnceLock::new(),
            mode_checks: py.import("rusttorch._torch_modes")?.getattr("active")?.unbind(),
            pool: load_pool(module),
            process: std::process::id(),
            module: module.clone().unbind(),
        })
    }

    /// torch's threads, where it lends them (2.10 and later). Not in a process that was forked after torch was seen: if
    /// its threads (OpenMP's) had been at work, they would be waited for in vain, as they are in torch's own functions.
    pub fn pool(&self) -> Option<&ForeignPool> {
        self.pool.as_ref().filter(|pool| pool.threads() == 1 || self.process == std::process::id())
    }

    fn shim(&self, py: Python<'_>) -> Option<&Shim> {
        if ATTRIBUTES_ONLY.load(Ordering::Relaxed) { None } else { self.shim.get(py)?.as_ref() }
    }

    /// T1.
    #[inline]
    pub fn is_plain(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: any object has a type.
        let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
        class == self.tensor || class == self.parameter
    }

    /// True for tensors of any class.
    pub fn is_tensor(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: `tensor` is a type.
        unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), self.tensor) != 0 }
    }

    /// T2, once per call.
    pub fn check_modes(&self, py: Python<'_>) -> Result<(), Refused> {
        if let Some(s) = self.shim(py) {
            // SAFETY: functions without preconditions.
            let active = unsafe {
                (s.any_modes)(false)
                    || (s.key_included)(s.functorch_key)
                    || (s.any_dual_level)()
                    || (s.function_modes)()
            };
            if !active {
                return Ok(());
            }
        }
        match self.mode_checks.bind(py).call0()?.extract::<Option<String>>()? {
            None => {
                self.shim.get_or_init(py, || Shim::load(self.module.bind(py)));
                Ok(())
            }
            Some(what) => {
                let error = PyRuntimeError::new_err(format!(
                    "rusttorch cannot read the memory of tensors inside {what}; call the torch function here"
                ));
                Err(Refused::Special(what, error))
            }
        }
    }

    /// Whether autograd records.
    #[inline]
    pub fn grad_enabled(&self, py: Python<'_>) -> PyResult<bool> {
        match self.shim(py) {
            // SAFETY: a function without preconditions.
            Some(s) => Ok(unsafe { (s.grad_enabled)() }),
            None => self.module.bind(py).call_method0("is_grad_enabled")?.extract(),
        }
    }

    /// The dtype that `torch.autocast("cpu")` lowers to; None when it is off.
    #[inline]
    pub fn autocast(&self, py: Python<'_>) -> PyResult<Option<DType>> {
        let module = self.module.bind(py);
        let enabled = match self.shim(py) {
            // SAFETY: a function without preconditions; device type 0 is the CPU.
            Some(s) => unsafe { (s.autocast_enabled)(0) },
            None => module.call_method1("is_autocast_enabled", ("cpu",))?.is_truthy()?,
        };
        if !enabled {
            return Ok(None);
        }
        let name = module.call_method1("get_autocast_dtype", ("cpu",))?.str()?.to_string();
        Ok(DType::parse(name.trim_start_matches("torch.")))
    }

    /// Borrows a tensor for which [`Torch::is_plain`] holds, T3 to T6; for T7 it tells. `grad` is [`Torch::grad_enabled`].
    #[inline]
    pub fn borrow(&self, x: &Bound<'_, PyAny>, grad: bool) -> Result<Borrowed, Refused> {
        let Some(s) = self.shim(x.py()) else { return self.borrow_by_attributes(x, grad) };
        let (mut rank, mut dtype, mut layout, mut device, mut bytes, mut offset) = (0i64, 0, 0, 0, 0i64, 0i64);
        let (mut shape, mut strides, mut data) = (ptr::null(), ptr::null(), ptr::null_mut());
        let (negative, requires_grad);
        let Some(handle) = s.handle(x) else { return Err(unusable(x, "it has no handle").into()) };
        let h = handle.1;
        // SAFETY: each function writes one result. What is read from the handle belongs to the tensor that
        // `x` keeps alive.
        unsafe {
            requires_grad = grad && s.handle_requires_grad(h);
            // Device, layout and rank before anything that a tensor without storage refuses.
            if (s.device)(h, &raw mut device) != 0 || (s.layout)(h, &raw mut layout) != 0 || device != 0 || layout != 0
            {
                return self.borrow_by_attributes(x, grad);
            }
            let failed = (s.dtype)(h, &raw mut dtype)
                | (s.dim)(h, &raw mut rank)
                | (s.sizes)(h, &raw mut shape)
                | (s.strides)(h, &raw mut strides)
                | (s.data)(h, &raw mut data)
                | (s.storage_size)(h, &raw mut bytes)
                | (s.storage_offset)(h, &raw mut offset);
            negative = (s.is_neg)(h);
            if failed != 0 {
                return self.borrow_by_attributes(x, grad);
            }
        }
        let Some(dtype) = usize::try_from(dtype).ok().and_then(|d| CODES.get(d).copied().flatten()) else {
            return self.borrow_by_attributes(x, grad);
        };
        let borrowed = Borrowed {
            data: data.cast(),
            dtype,
            rank: rank as usize,
            shape,
            strides,
            in_bytes: false,
            readonly: false,
            requires_grad,
            kind: Kind::Torch,
            scalar: false,
            object: x.as_ptr(),
            owner: None,
        };
        if borrowed.rank > MAX_RANK {
            return Err(torch_too_many_dims(borrowed.rank).into());
        }
        check_memory(x, &borrowed, bytes, offset)?;
        if negative {
            return Err(negative_bit(x));
        }
        Ok(borrowed)
    }

    /// The same as [`Torch::borrow`], by Python attributes; it also words the errors of both.
    #[cold]
    fn borrow_by_attributes(&self, x: &Bound<'_, PyAny>, grad: bool) -> Result<Borrowed, Refused> {
        let requires_grad = grad && x.getattr("requires_grad")?.is_truthy()?;
        let text = |name: &str| -> PyResult<String> { Ok(x.getattr(name)?.str()?.to_string()) };
        if x.getattr("is_nested")?.is_truthy()? {
            return Err(PyNotImplementedError::new_err("rusttorch does not support nested tensors").into());
        }
        let layout = text("layout")?;
        if layout != "torch.strided" {
            let text = format!("rusttorch supports dense (strided) tensors only, got layout {layout}");
            return Err(PyNotImplementedError::new_err(text).into());
        }
        let device = text("device")?;
        if device != "cpu" {
            return Err(
                PyRuntimeError::new_err(format!("rusttorch runs on the CPU, got a tensor on device {device}")).into()
            );
        }
        let dtype = text("dtype")?;
        let Some(known) = DType::parse(dtype.trim_start_matches("torch.")) else {
            return Err(PyNotImplementedError::new_err(format!("rusttorch does not support {dtype}")).into());
        };
        let lens: Vec<i64> = x.getattr("shape")?.extract()?;
        let steps: Vec<i64> = x.call_method0("stride")?.extract()?;
        if lens.len() > MAX_RANK {
            return Err(torch_too_many_dims(lens.len()).into());
        }
        let data: usize = x.call_method0("data_ptr").map_err(|_| without_memory(x))?.extract()?;
        let storage: i64 = x.call_method0("untyped_storage")?.call_method0("nbytes")?.extract()?;
        let offset: i64 = x.call_method0("storage_offset")?.extract()?;
        let mut borrowed = Borrowed::with_copied_extents(x, known, &lens, &steps)?;
        borrowed.data = ptr::with_exposed_provenance_mut(data);
        borrowed.requires_grad = requires_grad;
        check_memory(x, &borrowed, storage, offset)?;
        if x.call_method0("is_neg")?.is_truthy()? {
            return Err(negative_bit(x));
        }
        Ok(borrowed)
    }

    /// The module `torch`.
    pub fn module<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.module.bind(py)
    }

    /// A new tensor and its memory. The strides are dense under some order of the dimensions.
    pub fn empty(
        &self,
        py: Python<'_>,
        dtype: DType,
        shape: &[i64],
        strides: &[i64],
    ) -> PyResult<(NewTensor, *mut u8)> {
        if let Some(s) = self.shim(py) {
            let (mut handle, mut data) = (ptr::null_mut(), ptr::null_mut());
            // SAFETY: both arrays have `shape.len()` entries; device 0 is the CPU.
            unsafe {
                let rank = shape.len() as i64;
                if (s.empty_strided)(rank, shape.as_ptr(), strides.as_ptr(), code(dtype), 0, 0, &raw mut handle) != 0 {
                    return Err(out_of_memory(dtype, shape));
                }
                let tensor = NewTensor::Handle(handle, s.delete);
                if (s.data)(handle, &raw mut data) != 0 {
                    return Err(out_of_memory(dtype, shape));
                }
                return Ok((tensor, data.cast()));
            }
        }
        let module = self.module.bind(py);
        let kwargs = pyo3::types::PyDict::new(py);
        kwargs.set_item("dtype", module.getattr(dtype.torch_name())?)?;
        kwargs.set_item("device", "cpu")?;
        let tensor = module.call_method("empty_strided", (shape.to_vec(), strides.to_vec()), Some(&kwargs))?;
        let data: usize = tensor.call_method0("data_ptr")?.extract()?;
        Ok((NewTensor::Object(tensor.unbind()), ptr::with_exposed_provenance_mut(data)))
    }

    /// A new tensor over memory of ours, of which it is an owner from now on; None where this torch has no function for it,
    /// or failed.
    pub fn lend(&self, py: Python<'_>, memory: &Arc<Memory>) -> Option<NewTensor> {
        let (s, from_blob) = self.shim(py).and_then(|s| Some((s, s.from_blob?)))?;
        let (rank, data) = (memory.rank() as i64, memory.data_ptr().cast());
        let (shape, strides, dtype) = (memory.shape().as_ptr(), memory.strides().as_ptr(), code(memory.dtype()));
        let owners = Arc::strong_count(memory);
        let (owner, mut handle) = (Arc::into_raw(Arc::clone(memory)), ptr::null_mut());
        // SAFETY: both arrays have `rank` entries and live as long as `memory`; device type 0 is the CPU (its index is -1:
        // torch refuses others), layout 0 strided. `give_back` is called once with `owner`, or, where torch failed before
        // it knew of it, never.
        unsafe {
            let (ret, ctx) = (&raw mut handle, owner.cast_mut().cast());
            if from_blob(data, rank, shape, strides, 0, dtype, 0, -1, ret, 0, ptr::null(), 0, give_back, ctx) != 0 {
                if Arc::strong_count(memory) > owners {
                    drop(Arc::from_raw(owner));
                }
                return None;
            }
        }
        Some(NewTensor::Handle(handle, s.delete))
    }

    /// The Python object of a new tensor.
    pub fn finish<'py>(&self, py: Python<'py>, tensor: NewTensor) -> PyResult<Bound<'py, PyAny>> {
        match &tensor {
            NewTensor::Object(object) => Ok(object.clone_ref(py).into_bound(py)),
            NewTensor::Handle(handle, _) => {
                let shim = self.shim.get(py).and_then(Option::as_ref).expect("a handle was made by the shim");
                let mut object = ptr::null_mut();
                // SAFETY: a handle of ours, which is not used again but to be given back; the object is a new
                // reference.
                unsafe {
                    if let Some(wrap) = shim.wrap {
                        return Bound::from_owned_ptr_or_err(py, wrap(*handle));
                    }
                    if (shim.to_py)(*handle, ptr::null_mut(), &raw mut object) != 0 {
                        return Err(PyRuntimeError::new_err("torch could not wrap a result"));
                    }
                    Ok(Bound::from_owned_ptr(py, object.cast()))
                }
            }
        }
    }

    /// Whether a tensor of any class requires grad. Asks the object unless it is a plain one.
    #[inline]
    pub fn requires_grad(&self, x: &Bound<'_, PyAny>) -> PyResult<bool> {
        if self.is_plain(x)
            && let Some(s) = self.shim(x.py())
            && let Some(handle) = s.handle(x)
        {
            // SAFETY: a valid handle.
            return Ok(unsafe { s.handle_requires_grad(handle.1) });
        }
        x.getattr("requires_grad")?.is_truthy()
    }

    /// Tells autograd that `x` was written.
    #[inline]
    pub fn bump_version(&self, x: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.is_plain(x)
            && let Some(s) = self.shim(x.py())
            && let Some(bump) = s.bump_version
            && let Some(handle) = s.handle(x)
        {
            // SAFETY: a valid handle; inference tensors, which have no version, are left out as torch's own function does.
            unsafe {
                if !(s.is_inference)(handle.1) {
                    bump(handle.1);
                }
            }
            return Ok(());
        }
        let graph = self.module.bind(x.py()).getattr("autograd")?.getattr("graph")?;
        graph.call_method1("increment_version", (x,)).map(drop)
    }

    /// `torch.get_default_dtype()`.
    pub fn default_dtype(&self, py: Python<'_>) -> PyResult<DType> {
        let name = self.module.bind(py).call_method0("get_default_dtype")?.str()?.to_string();
        Ok(DType::parse(name.trim_start_matches("torch.")).unwrap_or(DType::F32))
    }
}

/// Why there is no borrowing a tensor.
pub enum Refused {
    /// Something else than its memory is what it means, which torch can compute with: what that is, and the
    /// error for those who cannot leave the call to torch.
    Special(String, PyErr),
    Error(PyErr),
}

impl From<PyErr> for Refused {
    fn from(error: PyErr) -> Refused {
        Refused::Error(error)
    }
}

/// T4 and T5.
fn check_memory(x: &Bound<'_, PyAny>, b: &Borrowed, bytes: i64, offset: i64) -> Result<(), Refused> {
    if b.numel() == 0 {
        return Ok(());
    }
    if b.data.is_null() {
        return Err(without_memory(x));
    }
    let mut last = offset;
    for d in 0..b.rank {
        last += (b.shape()[d] - 1) * b.raw_strides()[d];
    }
    if !b.data.addr().is_multiple_of(b.dtype.size()) {
        return Err(unusable(x, "its memory is not aligned; use x.clone()").into());
    }
    if (last + 1) * b.dtype.size() as i64 > bytes {
        return Err(unusable(x, "its storage is shorter than its extent").into());
    }
    Ok(())
}

/// T4: of zero tensors and of batches torch knows the elements; emptied storages and tensors that left their
/// transform mean nothing.
#[cold]
fn without_memory(x: &Bound<'_, PyAny>) -> Refused {
    let what = || -> PyResult<Option<&'static str>> {
        if x.call_method0("_is_zerotensor")?.is_truthy()? {
            return Ok(Some("a zero tensor"));
        }
        let functorch = x.py().import("torch")?.getattr("_C")?.getattr("_functorch")?;
        let batched = functorch.call_method1("is_legacy_batchedtensor", (x,))?.is_truthy()?;
        Ok(batched.then_some("a batch of gradients (is_grads_batched=True)"))
    };
    let error = unusable(x, "it has elements but no memory");
    match what() {
        Ok(Some(what)) => Refused::Special(what.to_owned(), error),
        Ok(None) => error.into(),
        Err(e) => e.into(),
    }
}

#[cold]
fn unusable(x: &Bound<'_, PyAny>, why: &str) -> PyErr {
    let class = x.get_type().name().map_or_else(|_| "Tensor".to_owned(), |n| n.to_string());
    PyRuntimeError::new_err(format!("rusttorch cannot use this torch.{class}: {why}"))
}

/// T6
#[cold]
fn negative_bit(x: &Bound<'_, PyAny>) -> Refused {
    let error = unusable(x, "its negative bit is set; use x.resolve_neg()");
    Refused::Special("a tensor with the negative bit".to_owned(), error)
}

/// T7
pub fn grad_error() -> PyErr {
    PyRuntimeError::new_err(
        "an operand requires grad, and this call has no backward: its result would be detached. \
         Call it under torch.no_grad(), or pass x.detach()",
    )
}

/// T7, of a function that has a backward.
pub fn grad_of_out(function: &str) -> PyErr {
    PyRuntimeError::new_err(format!(
        "{function}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments \
         requires grad."
    ))
}

fn out_of_memory(dtype: DType, shape: &[i64]) -> PyErr {
    let text = format!("torch could not allocate a tensor of {} {:?}", dtype.torch_name(), shape);
    pyo3::exceptions::PyMemoryError::new_err(text)
}

/// A result that has no Python object yet.
pub enum NewTensor {
    /// Of the C ABI, with the function that gives it back.
    Handle(Handle, unsafe extern "C" fn(Handle) -> Status),
    /// Made in Python.
    Object(Py<PyAny>),
}

/// Ends a loan, on whichever thread.
unsafe extern "C" fn give_back(_data: *mut c_void, owner: *mut c_void) {
    // SAFETY: a count of an `Arc` that `lend` took for this; torch calls it once.
    drop(unsafe { Arc::from_raw(owner.cast::<Memory>().cast_const()) });
}

impl Drop for NewTensor {
    fn drop(&mut self) {
        if let NewTensor::Handle(handle, delete) = *self {
            // SAFETY: ours, given back once.
            unsafe { delete(handle) };
        }
    }
}

/// T1
pub fn subclass(x: &Bound<'_, PyAny>) -> Refused {
    let name =
        x.get_type().fully_qualified_name().map_or_else(|_| "?".to_owned(), |n: Bound<'_, PyString>| n.to_string());
    let error = PyTypeError::new_err(format!(
        "rusttorch does not support the torch.Tensor subclass {name}: only torch.Tensor and torch.nn.Parameter"
    ));
    Refused::Special(format!("the torch.Tensor subclass {name}"), error)
}

/// Makes this process use the attribute path only, as under an older torch (for tests).
#[pyfunction]
fn _attributes_only(on: bool) -> bool {
    ATTRIBUTES_ONLY.swap(on, Ordering::Relaxed)
}

/// Whether the C ABI of the loaded torch is in use; None without torch.
#[pyfunction]
fn _torch_c_abi(py: Python<'_>) -> PyResult<Option<bool>> {
    Ok(loaded(py)?.map(|t| t.shim(py).is_some()))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_attributes_only, m)?)?;
    m.add_function(wrap_pyfunction!(_torch_c_abi, m)?)
}
