//! NumPy's C API, loaded when the first array is seen or made, never before.
//!
//! Only parts whose layout NumPy keeps for every release since 1.7 are used: the head of an array, the
//! first fields of a dtype, and a few entries of the function table.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use rusttorch_ir::dtype::DType;
use std::ffi::{c_int, c_void};
use std::ptr;

/// The head of NumPy's `PyArrayObject`.
#[repr(C)]
pub struct ArrayHead {
    base: ffi::PyObject,
    pub data: *mut u8,
    pub nd: c_int,
    pub dimensions: *const isize,
    /// In bytes.
    pub strides: *const isize,
    _owner: *mut ffi::PyObject,
    pub descr: *const Descr,
    flags: c_int,
}

/// The first fields of NumPy's `PyArray_Descr`.
#[repr(C)]
pub struct Descr {
    base: ffi::PyObject,
    scalar_type: *mut ffi::PyTypeObject,
    kind: u8,
    code: u8,
    byte_order: u8,
    flags: u8,
    type_num: c_int,
}

const ALIGNED: c_int = 0x100;
const WRITEABLE: c_int = 0x400;

impl ArrayHead {
    pub fn is_aligned(&self) -> bool {
        self.flags & ALIGNED != 0
    }

    pub fn is_writeable(&self) -> bool {
        self.flags & WRITEABLE != 0
    }
}

impl Descr {
    pub fn is_byte_swapped(&self) -> bool {
        self.byte_order == if cfg!(target_endian = "little") { b'>' } else { b'<' }
    }

    /// Our dtype, of a native-endian one.
    pub fn dtype(&self) -> Option<DType> {
        let sized = |size: usize| match size {
            1 => DType::I8,
            2 => DType::I16,
            4 => DType::I32,
            _ => DType::I64,
        };
        Some(match self.type_num {
            0 => DType::Bool,
            1 => DType::I8,
            2 => DType::U8,
            3 => DType::I16,
            5 => DType::I32,
            7 => sized(size_of::<std::ffi::c_long>()),
            9 => DType::I64,
            11 => DType::F32,
            12 => DType::F64,
            23 => DType::F16,
            _ => return None,
        })
    }
}

/// NumPy's number of a dtype; NumPy has no bfloat16.
fn type_num(dtype: DType) -> Option<c_int> {
    Some(match dtype {
        DType::Bool => 0,
        DType::I8 => 1,
        DType::U8 => 2,
        DType::I16 => 3,
        DType::I32 => 5,
        // The C long is NumPy's int64 wherever it has 8 bytes.
        DType::I64 if size_of::<std::ffi::c_long>() == 8 => 7,
        DType::I64 => 9,
        DType::F32 => 11,
        DType::F64 => 12,
        DType::F16 => 23,
        DType::BF16 => return None,
    })
}

type DescrFromType = unsafe extern "C" fn(c_int) -> *mut Descr;
type NewFromDescr = unsafe extern "C" fn(
    *mut ffi::PyTypeObject,
    *mut Descr,
    c_int,
    *const isize,
    *const isize,
    *mut c_void,
    c_int,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;
type FromScalar = unsafe extern "C" fn(*mut ffi::PyObject, *mut Descr) -> *mut ffi::PyObject;
type Return = unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject;

/// What we use of the function table.
pub struct NumpyApi {
    pub array: *mut ffi::PyTypeObject,
    pub generic: *mut ffi::PyTypeObject,
    descr_from_type: DescrFromType,
    from_scalar: FromScalar,
    new_from_descr: NewFromDescr,
    to_scalar: Return,
}

// SAFETY: addresses of NumPy's statics and functions, which live as long as the process.
unsafe impl Send for NumpyApi {}
// SAFETY: as above; the functions are only called with the GIL held.
unsafe impl Sync for NumpyApi {}

static API: PyOnceLock<NumpyApi> = PyOnceLock::new();

/// NumPy, imported if it was not.
#[inline]
pub fn api(py: Python<'_>) -> PyResult<&'static NumpyApi> {
    API.get_or_try_init(py, || load(py))
}

/// NumPy if an array has been seen or made.
#[inline]
pub fn api_if_seen(py: Python<'_>) -> Option<&'static NumpyApi> {
    API.get(py)
}

/// NumPy if anyone has imported it: without that there are no arrays.
#[inline]
pub fn api_if_loaded(py: Python<'_>) -> PyResult<Option<&'static NumpyApi>> {
    if let Some(api) = API.get(py) {
        return Ok(Some(api));
    }
    let modules = py.import("sys")?.getattr("modules")?;
    if modules.contains("numpy")? { api(py).map(Some) } else { Ok(None) }
}

fn load(py: Python<'_>) -> PyResult<NumpyApi> {
    py.import("numpy")?;
    // NumPy 2 renamed its private package.
    let module = py.import("numpy._core._multiarray_umath").or_else(|_| py.import("numpy.core._multiarray_umath"))?;
    let capsule = module.getattr("_ARRAY_API")?;
    // SAFETY: the table has several hundred entries; these numbers are fixed by NumPy's ABI.
    unsafe {
        let table = ffi::PyCapsule_GetPointer(capsule.as_ptr(), ptr::null()).cast::<*mut c_void>();
        if table.is_null() {
            return Err(PyErr::fetch(py));
        }
        Ok(NumpyApi {
            array: (*table.add(2)).cast(),
            generic: (*table.add(10)).cast(),
            descr_from_type: std::mem::transmute::<*mut c_void, DescrFromType>(*table.add(45)),
            from_scalar: std::mem::transmute::<*mut c_void, FromScalar>(*table.add(61)),
            to_scalar: std::mem::transmute::<*mut c_void, Return>(*table.add(76)),
            new_from_descr: std::mem::transmute::<*mut c_void, NewFromDescr>(*table.add(94)),
        })
    }
}

impl NumpyApi {
    /// A new array with these strides (in elements, dense under some order of the dimensions), and its memory.
    pub fn empty<'py>(
        &self,
        py: Python<'py>,
        dtype: DType,
        shape: &[i64],
        strides: &[i64],
    ) -> PyResult<(Bound<'py, PyAny>, *mut u8)> {
        let Some(num) = type_num(dtype) else {
            let text = format!("NumPy has no dtype for {}", dtype.torch_name());
            return Err(pyo3::exceptions::PyTypeError::new_err(text));
        };
        let mut dims = [0isize; crate::borrow::MAX_RANK];
        let mut steps = [0isize; crate::borrow::MAX_RANK];
        let rank = shape.len();
        for d in 0..rank {
            dims[d] = shape[d] as isize;
            steps[d] = strides[d] as isize * dtype.size() as isize;
        }
        // SAFETY: `descr` is a new reference that `new_from_descr` takes. It allocates room for the
        // product of the extents, which is what dense strides address.
        unsafe {
            let descr = (self.descr_from_type)(num);
            let array = (self.new_from_descr)(
                self.array,
                descr,
                rank as c_int,
                dims.as_ptr(),
                steps.as_ptr(),
                ptr::null_mut(),
                0,
                ptr::null_mut(),
            );
            let array = Bound::from_owned_ptr_or_err(py, array)?;
            let data = (*array.as_ptr().cast::<ArrayHead>()).data;
            Ok((array, data))
        }
    }

    /// True for NumPy's own scalars (a class of the user's may be a subclass of theirs).
    pub fn is_scalar(&self, object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: any object has a type.
        unsafe {
            let class = ffi::Py_TYPE(object.as_ptr());
            ffi::PyType_GetFlags(class) & ffi::Py_TPFLAGS_HEAPTYPE == 0
                && ffi::PyType_IsSubtype(class, self.generic) != 0
        }
    }

    /// The array without dimensions of a scalar.
    pub fn scalar_array<'py>(&self, scalar: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: a scalar; without a dtype the array is of the scalar's.
        unsafe {
            let array = (self.from_scalar)(scalar.as_ptr(), ptr::null_mut());
            Bound::from_owned_ptr_or_err(scalar.py(), array)
        }
    }

    /// An array of no dimensions as a NumPy scalar; any other array as it is.
    pub fn to_scalar<'py>(&self, array: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = array.py();
        // SAFETY: the function takes our reference and gives a new one.
        unsafe { Bound::from_owned_ptr_or_err(py, (self.to_scalar)(array.into_ptr())) }
    }
}
