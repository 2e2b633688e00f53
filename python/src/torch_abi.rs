//! The functions of libtorch that are used, found by name in the loaded libraries and compared with what Python says
//! before they are trusted.

use pyo3::ffi;
use pyo3::prelude::*;
use rusttorch_ir::dtype::DType;
use std::ffi::{CStr, c_void};
use std::ptr;

pub(crate) type Handle = *mut c_void;
/// Of every function of the C ABI: 0 is success.
pub(crate) type Status = i32;

/// `torch_from_blob`: data, rank, sizes, strides, offset, dtype, device type and index, the result, layout, metadata and
/// their size, what gives the data back, and what it is told beside the data.
pub(crate) type FromBlob = unsafe extern "C" fn(
    *mut c_void,
    i64,
    *const i64,
    *const i64,
    i64,
    i32,
    i32,
    i32,
    *mut Handle,
    i32,
    *const u8,
    i64,
    unsafe extern "C" fn(*mut c_void, *mut c_void),
    *mut c_void,
) -> Status;

/// The C ABI's functions, and a few C++ ones that have no C counterpart yet. Their mangled names fix the
/// arguments; a handle is documented to be an `at::Tensor*`, which holds one `TensorImpl*`. What they say
/// of a few tensors made for it is compared with Python's answers before they are used
/// ([`Shim::agrees`]), else the attribute path is taken.
pub(crate) struct Shim {
    pub(crate) from_py: unsafe extern "C" fn(*mut c_void, *mut Handle) -> Status,
    pub(crate) to_py: unsafe extern "C" fn(Handle, *mut c_void, *mut *mut c_void) -> Status,
    pub(crate) delete: unsafe extern "C" fn(Handle) -> Status,
    pub(crate) dim: unsafe extern "C" fn(Handle, *mut i64) -> Status,
    pub(crate) sizes: unsafe extern "C" fn(Handle, *mut *const i64) -> Status,
    pub(crate) strides: unsafe extern "C" fn(Handle, *mut *const i64) -> Status,
    pub(crate) dtype: unsafe extern "C" fn(Handle, *mut i32) -> Status,
    pub(crate) layout: unsafe extern "C" fn(Handle, *mut i32) -> Status,
    pub(crate) device: unsafe extern "C" fn(Handle, *mut i32) -> Status,
    pub(crate) data: unsafe extern "C" fn(Handle, *mut *mut c_void) -> Status,
    pub(crate) storage_size: unsafe extern "C" fn(Handle, *mut i64) -> Status,
    pub(crate) storage_offset: unsafe extern "C" fn(Handle, *mut i64) -> Status,
    pub(crate) empty_strided: unsafe extern "C" fn(i64, *const i64, *const i64, i32, i32, i32, *mut Handle) -> Status,
    /// Of 2.11 and later: a tensor over memory that is given back by a function of ours.
    pub(crate) from_blob: Option<FromBlob>,
    pub(crate) grad_enabled: unsafe extern "C" fn() -> bool,
    pub(crate) any_modes: unsafe extern "C" fn(bool) -> bool,
    pub(crate) key_included: unsafe extern "C" fn(u16) -> bool,
    pub(crate) functorch_key: u16,
    pub(crate) any_dual_level: unsafe extern "C" fn() -> bool,
    pub(crate) function_modes: unsafe extern "C" fn() -> bool,
    pub(crate) autocast_enabled: unsafe extern "C" fn(i8) -> bool,
    pub(crate) is_neg: unsafe extern "C" fn(Handle) -> bool,
    pub(crate) requires_grad: unsafe extern "C" fn(*mut c_void) -> bool,
    /// Makes a Python object of what a handle holds, which is moved out of it; None where it does not do so.
    pub(crate) wrap: Option<unsafe extern "C" fn(Handle) -> *mut ffi::PyObject>,
    /// `torch::autograd::impl::bump_version`, if it does; only for tensors that [`Shim::is_inference`] denies.
    pub(crate) bump_version: Option<unsafe extern "C" fn(Handle)>,
    pub(crate) is_inference: unsafe extern "C" fn(Handle) -> bool,
    /// Where a Python tensor holds its `at::Tensor`, which then is a handle that nobody needs to make and
    /// give back; None where [`Shim::find_payload`] does not find it.
    pub(crate) payload: Option<usize>,
}

/// The address of `name` in `library` (an already loaded one).
pub(crate) fn symbol_in(library: *mut c_void, name: &CStr) -> Option<*mut c_void> {
    // SAFETY: `library` is a handle of dlopen.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// One of torch's libraries, which is loaded.
pub(crate) fn library(torch: &Bound<'_, PyAny>, name: &str) -> Option<*mut c_void> {
    let file: String = torch.getattr("__file__").ok()?.extract().ok()?;
    let suffix = if cfg!(target_os = "macos") { "dylib" } else { "so" };
    let path = std::path::Path::new(&file).parent()?.join("lib").join(format!("{name}.{suffix}"));
    let path = std::ffi::CString::new(path.to_str()?).ok()?;
    // SAFETY: RTLD_NOLOAD only looks for a library that is loaded.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    (!handle.is_null()).then_some(handle)
}

impl Shim {
    // Each type is written once, at the field.
    #[allow(clippy::missing_transmute_annotations)]
    pub(crate) fn load(torch: &Bound<'_, PyAny>) -> Option<Shim> {
        let cpu = library(torch, "libtorch_cpu")?;
        let c10 = library(torch, "libc10")?;
        let key = torch.getattr("_C").ok()?.getattr("DispatchKey").ok()?;
        let functorch_key = key.getattr("FuncTorchDynamicLayerFrontMode").ok()?;
        let functorch_key: u16 = functorch_key.call_method0("__int__").ok()?.extract().ok()?;
        macro_rules! function {
            ($library:expr, $name:literal) => {
                // SAFETY: the signature in `Shim` is that of the symbol.
                unsafe { std::mem::transmute(symbol_in($library, $name)?) }
            };
        }
        let mut shim = Shim {
            from_py: function!(cpu, c"torch_tensor_from_pyobject"),
            to_py: function!(cpu, c"torch_tensor_to_pyobject"),
            delete: function!(cpu, c"aoti_torch_delete_tensor_object"),
            dim: function!(cpu, c"aoti_torch_get_dim"),
            sizes: function!(cpu, c"aoti_torch_get_sizes"),
            strides: function!(cpu, c"aoti_torch_get_strides"),
            dtype: function!(cpu, c"aoti_torch_get_dtype"),
            layout: function!(cpu, c"aoti_torch_get_layout"),
            device: function!(cpu, c"aoti_torch_get_device_type"),
            data: function!(cpu, c"aoti_torch_get_data_ptr"),
            storage_size: function!(cpu, c"aoti_torch_get_storage_size"),
            storage_offset: function!(cpu, c"aoti_torch_get_storage_offset"),
            empty_strided: function!(cpu, c"aoti_torch_empty_strided"),
            // SAFETY: the signature is that of the symbol.
            from_blob: symbol_in(cpu, c"torch_from_blob").map(|f| unsafe { std::mem::transmute(f) }),
            grad_enabled: function!(cpu, c"aoti_torch_grad_mode_is_enabled"),
            any_modes: function!(c10, c"_ZN3c104impl20TorchDispatchModeTLS13any_modes_setEb"),
            key_included: function!(c10, c"_ZN3c104impl28tls_is_dispatch_key_includedENS_11DispatchKeyE"),
            functorch_key,
            any_dual_level: function!(cpu, c"_ZN5torch8autograd14ForwardADLevel13has_any_levelEv"),
            function_modes: function!(cpu, c"_ZN2at4impl27torch_function_mode_enabledEv"),
            autocast_enabled: function!(cpu, c"_ZN2at8autocast19is_autocast_enabledEN3c1010DeviceTypeE"),
            is_neg: function!(cpu, c"_ZN2at6native6is_negERKNS_6TensorE"),
            requires_grad: function!(c10, c"_ZNK3c1010TensorImpl13requires_gradEv"),
            is_inference: function!(cpu, c"_ZN2at6native12is_inferenceERKNS_6TensorE"),
            wrap: None,
            bump_version: None,
            payload: None,
        };
        if !shim.agrees(torch).ok()? {
            return None;
        }
        shim.wrap = shim.find_wrap(torch).ok()?;
        shim.payload = shim.find_payload(torch).ok()?;
        shim.bump_version = shim.find_bump_version(torch).ok()?;
        Some(shim)
    }

    /// `THPVariable_Wrap(at::TensorBase&&)`, if it gives the plain tensor that a new handle holds. It spares the
    /// counting of references that giving back the handle of a tensor with an object costs.
    fn find_wrap(
        &self,
        torch: &Bound<'_, PyAny>,
    ) -> PyResult<Option<unsafe extern "C" fn(Handle) -> *mut ffi::PyObject>> {
        let symbol = library(torch, "libtorch_python")
            .and_then(|python| symbol_in(python, c"_Z16THPVariable_WrapON2at10TensorBaseE"));
        let Some(symbol) = symbol else { return Ok(None) };
        let (py, mut handle, shape) = (torch.py(), ptr::null_mut(), [2i64, 3]);
        // SAFETY: the signature is that of the symbol, the handle is new and given back; an object is a new reference.
        unsafe {
            let wrap: unsafe extern "C" fn(Handle) -> *mut ffi::PyObject = std::mem::transmute(symbol);
            if (self.empty_strided)(2, shape.as_ptr(), [3i64, 1].as_ptr(), code(DType::I64), 0, 0, &raw mut handle) != 0
            {
                return Ok(None);
            }
            let handle = Owned(self, handle);
            let object = Bound::from_owned_ptr_or_err(py, wrap(handle.1))?;
            drop(handle);
            let plain = object.get_type().is(torch.getattr("Tensor")?) && ffi::Py_REFCNT(object.as_ptr()) == 1;
            let same = object.getattr("shape")?.eq(shape)? && object.getattr("dtype")?.eq(torch.getattr("int64")?)?;
            Ok((plain && same).then_some(wrap))
        }
    }

    /// The function that counts a write, if it does so by one and [`Shim::is_inference`] tells which tensors have no
    /// such count (they would make it throw).
    fn find_bump_version(&self, torch: &Bound<'_, PyAny>) -> PyResult<Option<unsafe extern "C" fn(Handle)>> {
        let symbol = library(torch, "libtorch_cpu")
            .and_then(|cpu| symbol_in(cpu, c"_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE"));
        let Some(symbol) = symbol else { return Ok(None) };
        // SAFETY: the signature is that of the symbol.
        let bump = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(Handle)>(symbol) };
        for inference in [true, false] {
            let mode = torch.call_method1("inference_mode", (inference,))?;
            mode.call_method0("__enter__")?;
            let x = torch.call_method1("empty", (1i64,));
            mode.call_method1("__exit__", (torch.py().None(), torch.py().None(), torch.py().None()))?;
            let x = x?;
            let Some(handle) = self.handle(&x) else { return Ok(None) };
            // SAFETY: a valid handle.
            if unsafe { (self.is_inference)(handle.1) } != inference {
                return Ok(None);
            }
            if !inference {
                let before: i64 = x.getattr("_version")?.extract()?;
                // SAFETY: a valid handle of a tensor that has a version.
                unsafe { bump(handle.1) };
                if x.getattr("_version")?.extract::<i64>()? != before + 1 {
                    return Ok(None);
                }
            }
        }
        Ok(Some(bump))
    }

    /// Tensors are `{ PyObject, at::Tensor, hooks }`, and were `{ PyObject, MaybeOwned<at::Tensor>, hooks }` until
    /// 2.9: the first place after the head where several tensors all hold what their handles hold.
    fn find_payload(&self, torch: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let parameter = torch.getattr("nn")?.getattr("Parameter")?;
        let mut places = vec![size_of::<ffi::PyObject>(), size_of::<ffi::PyObject>() + size_of::<usize>()];
        for n in 1..4i64 {
            let x = torch.call_method1("empty", (n,))?;
            for x in [parameter.call1((&x,))?, x] {
                let mut handle = ptr::null_mut();
                // SAFETY: `x` is a tensor, whose object is larger than both places and is read as words; a handle
                // points to a `TensorImpl*`.
                unsafe {
                    if (self.from_py)(x.as_ptr().cast(), &raw mut handle) != 0 {
                        return Ok(None);
                    }
                    let handle = Owned(self, handle);
                    let inner = *handle.1.cast::<*mut c_void>();
                    places.retain(|&p| *x.as_ptr().byte_add(p).cast::<*mut c_void>() == inner);
                }
            }
        }
        Ok(places.first().copied())
    }

    /// The handle of a tensor, as long as the tensor lives.
    #[inline]
    pub(crate) fn handle(&self, x: &Bound<'_, PyAny>) -> Option<Lent<'_>> {
        if let Some(at) = self.payload {
            // SAFETY: an exact tensor or parameter (T1) holds its `at::Tensor` there.
            return Some(Lent(self, unsafe { x.as_ptr().byte_add(at).cast() }, false));
        }
        let mut handle = ptr::null_mut();
        // SAFETY: `x` is a tensor.
        let failed = unsafe { (self.from_py)(x.as_ptr().cast(), &raw mut handle) } != 0;
        (!failed).then_some(Lent(self, handle, true))
    }

    /// Whether the functions see in sample tensors what Python sees.
    fn agrees(&self, torch: &Bound<'_, PyAny>) -> PyResult<bool> {
        let plain = torch.call_method1("empty", ((2i64, 3i64),))?.call_method0("t")?;
        let leaf = torch.call_method1("empty", (1i64,))?.call_method1("requires_grad_", (true,))?;
        let negative = torch.call_method1("_neg_view", (&plain,))?;
        for x in [plain, leaf, negative] {
            let expected = (x.getattr("requires_grad")?.is_truthy()?, x.call_method0("is_neg")?.is_truthy()?);
            let mut handle = ptr::null_mut();
            // SAFETY: `x` is a tensor; see the type for what a handle is.
            let seen = unsafe {
                if (self.from_py)(x.as_ptr().cast(), &raw mut handle) != 0 {
                    return Ok(false);
                }
                let handle = Owned(self, handle);
                (self.handle_requires_grad(handle.1), (self.is_neg)(handle.1))
            };
            if seen != expected {
                return Ok(false);
            }
        }
        let level = torch.getattr("autograd")?.getattr("forward_ad")?.getattr("_current_level")?;
        // SAFETY: functions without preconditions.
        let seen = unsafe { ((self.any_dual_level)(), (self.any_modes)(false), (self.function_modes)()) };
        let c = torch.getattr("_C")?;
        let stack: i64 = c.call_method0("_len_torch_dispatch_stack")?.extract()?;
        let function_modes = c.call_method0("_is_torch_function_mode_enabled")?.is_truthy()?;
        Ok(seen == (level.extract::<i64>()? >= 0, stack > 0, function_modes))
    }

    /// # Safety
    /// A valid handle.
    pub(crate) unsafe fn handle_requires_grad(&self, handle: Handle) -> bool {
        // SAFETY: a handle points to an `at::Tensor`, which is one pointer.
        unsafe { (self.requires_grad)(*handle.cast::<*mut c_void>()) }
    }
}

/// The C ABI's number of a dtype.
pub(crate) fn code(dtype: DType) -> i32 {
    match dtype {
        DType::U8 => 0,
        DType::I8 => 1,
        DType::I16 => 2,
        DType::I32 => 3,
        DType::I64 => 4,
        DType::F16 => 5,
        DType::F32 => 6,
        DType::F64 => 7,
        DType::Bool => 11,
        DType::BF16 => 15,
    }
}

pub(crate) const CODES: [Option<DType>; 16] = {
    use DType::*;
    let (u, i, f) = (Some(U8), Some(I8), Some(F16));
    [
        u,
        i,
        Some(I16),
        Some(I32),
        Some(I64),
        f,
        Some(F32),
        Some(F64),
        None,
        None,
        None,
        Some(Bool),
        None,
        None,
        None,
        Some(BF16),
    ]
};

/// A handle that is given back if it was made.
pub(crate) struct Lent<'a>(&'a Shim, pub(crate) Handle, bool);

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.2 {
            // SAFETY: a handle that the shim made and nobody else gives back.
            unsafe { (self.0.delete)(self.1) };
        }
    }
}

/// A handle that is given back.
struct Owned<'a>(&'a Shim, Handle);

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: a handle that the shim made and nobody else gives back.
        unsafe { (self.0.delete)(self.1) };
    }
}
