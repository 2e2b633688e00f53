//! The class `rusttorch.Expr` as Python sees it: [`Expr`] and a place for its vectorcall.
//!
//! For a call of an object of PyO3's classes CPython makes a tuple and a dictionary, which is a fifth of the time of
//! a call on a few elements. The stable ABI has vectorcall for classes made by hand (`__vectorcalloffset__`): so the
//! class is a subclass whose objects have one word more. The fast way takes positional arguments and `out=` that are arrays
//! and numbers; everything else goes to `__call__`. (Before CPython 3.12 an assignment to the class's `__call__` is not seen.)

use crate::expr::Expr;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use smallvec::SmallVec;
use std::ffi::{CStr, c_void};
use std::mem::{size_of, transmute};
use std::os::raw::{c_int, c_ulong};
use std::sync::{Mutex, PoisonError};

static CLASS: PyOnceLock<Class> = PyOnceLock::new();

struct Class {
    class: Py<PyType>,
    /// Of PyO3's class.
    new: ffi::newfunc,
    /// Of the pointer to [`call`] in an object.
    offset: usize,
}

/// `Py_TPFLAGS_HAVE_VECTORCALL`: in the stable ABI's header since 3.12, the same bit since 3.8.
const HAVE_VECTORCALL: c_ulong = 1 << 11;

const DOC: &str = "A formula that is compiled for the arrays it is called with; see `rusttorch.expr`.";

/// An expression on its way into an object: of a class that it has not made PyO3 makes objects by the constructor only.
#[pyclass(frozen, module = "rusttorch._rusttorch")]
pub struct Seed(Mutex<Option<Expr>>);

/// What an expression is made of.
pub enum Source {
    Text(String),
    Made(Expr),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Source {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Source> {
        match object.cast_exact::<Seed>() {
            Ok(seed) => {
                let expr = seed.get().0.lock().unwrap_or_else(PoisonError::into_inner).take();
                expr.map(Source::Made).ok_or_else(|| PyTypeError::new_err("an expression is made once"))
            }
            Err(_) => object.extract().map(Source::Text),
        }
    }
}

/// An attribute that the class and its objects, which are functions of their own, both have.
#[pyclass(frozen, module = "rusttorch._rusttorch")]
enum Attribute {
    Doc,
    Signature,
}

#[pymethods]
impl Attribute {
    fn __get__<'py>(
        &self,
        py: Python<'py>,
        object: Option<&Bound<'py, PyAny>>,
        _class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let expr = object.map(Bound::cast::<Expr>).transpose()?.map(|e| e.get());
        match (self, expr) {
            (Attribute::Doc, Some(expr)) => expr.doc().into_bound_py_any(py),
            (Attribute::Doc, None) => DOC.into_bound_py_any(py),
            (Attribute::Signature, Some(expr)) => expr.signature(py),
            (Attribute::Signature, None) => signature(py, [("text", None), ("contract", Some(false))].into_iter()),
        }
    }
}

/// An `inspect.Signature` of parameters, some with defaults.
pub fn signature<'py, N: IntoPyObject<'py>, D: IntoPyObject<'py>>(
    py: Python<'py>,
    params: impl Iterator<Item = (N, Option<D>)>,
) -> PyResult<Bound<'py, PyAny>> {
    let inspect = py.import("inspect")?;
    let class = inspect.getattr("Parameter")?;
    let list = PyList::empty(py);
    for (name, default) in params {
        let kwargs = PyDict::new(py);
        if let Some(default) = default {
            kwargs.set_item("default", default)?;
        }
        list.append(class.call((name, class.getattr("POSITIONAL_OR_KEYWORD")?), Some(&kwargs))?)?;
    }
    inspect.call_method1("Signature", (list,))
}

/// The object of an expression.
pub fn object(py: Python<'_>, expr: Expr) -> PyResult<Bound<'_, Expr>> {
    let seed = Bound::new(py, Seed(Mutex::new(Some(expr))))?;
    Ok(class(py)?.call1((seed,))?.cast_into::<Expr>()?)
}

/// `rusttorch.Expr`.
pub fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    Ok(CLASS.get_or_try_init(py, || make(py))?.class.bind(py))
}

#[allow(unsafe_code)]
fn make(py: Python<'_>) -> PyResult<Class> {
    let base = py.get_type::<Expr>();
    let size: usize = base.getattr("__basicsize__")?.extract()?;
    let offset = size.next_multiple_of(size_of::<ffi::vectorcallfunc>());
    let member = |name: Option<&'static CStr>| ffi::PyMemberDef {
        name: name.map_or(std::ptr::null(), CStr::as_ptr),
        type_code: if name.is_some() { ffi::Py_T_PYSSIZET } else { 0 },
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: std::ptr::null(),
    };
    let mut members = [member(Some(c"__vectorcalloffset__")), member(None)];
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    // SAFETY: a class of the heap has slots; vectorcall's flag asks for a `tp_call` of the class's own.
    let call = unsafe { ffi::PyType_GetSlot(base.as_type_ptr(), ffi::Py_tp_call) };
    let mut slots = [
        slot(ffi::Py_tp_call, call),
        slot(ffi::Py_tp_new, new as ffi::newfunc as *mut c_void),
        slot(ffi::Py_tp_members, members.as_mut_ptr().cast()),
        slot(0, std::ptr::null_mut()),
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"rusttorch.Expr".as_ptr(),
        basicsize: (offset + size_of::<ffi::vectorcallfunc>()) as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | HAVE_VECTORCALL) as _,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the specification is complete and ends in a zero; CPython copies what it points to but for the name,
    // which is static. PyO3's classes have a `tp_new`, where they have a constructor, of this type.
    unsafe {
        let class = Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&raw mut spec, base.as_ptr()))?;
        class.setattr("__doc__", Attribute::Doc)?;
        class.setattr("__signature__", Attribute::Signature)?;
        let new = ffi::PyType_GetSlot(base.as_type_ptr(), ffi::Py_tp_new);
        let new = transmute::<*mut c_void, Option<ffi::newfunc>>(new);
        let new = new.ok_or_else(|| PyTypeError::new_err("an expression has a constructor"))?;
        Ok(Class { class: class.cast_into::<PyType>()?.unbind(), new, offset })
    }
}

/// # Safety
/// As CPython calls a class's `tp_new`.
#[allow(unsafe_code)]
unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with the interpreter attached.
    let py = unsafe { Python::assume_attached() };
    let Some(ours) = CLASS.get(py) else {
        PyTypeError::new_err("the class is not there yet").restore(py);
        return std::ptr::null_mut();
    };
    // SAFETY: the base's constructor makes an object of `class`, which has a word at the offset, for this class has no
    // subclasses. The allocator has made it zero, with which CPython takes `tp_call`.
    unsafe {
        let object = (ours.new)(class, args, kwargs);
        if !object.is_null() {
            object.byte_add(ours.offset).cast::<ffi::vectorcallfunc>().write(call);
        }
        object
    }
}

/// # Safety
/// As CPython calls by vectorcall, with an object of the class.
#[allow(unsafe_code)]
unsafe extern "C" fn call(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // The highest bit says that the caller has a word before the arguments.
    let count = nargsf & (usize::MAX >> 1);
    // PyO3's way in for functions of as many arguments: it knows that the interpreter is attached, also at its end, and turns
    // panics into exceptions.
    let entry = pyo3::get_trampoline_function!(fastcall_cfunction_with_keywords, called);
    // SAFETY: as this function.
    unsafe { entry(callable, args, count as ffi::Py_ssize_t, names) }
}

/// # Safety
/// As `call`.
#[allow(unsafe_code)]
unsafe fn called(
    py: Python<'_>,
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> PyResult<*mut ffi::PyObject> {
    let count = count as usize;
    // SAFETY: an object of the class, `count` arguments and one for each name, all alive as long as the call.
    unsafe {
        let expr = Borrowed::from_ptr(py, callable).cast_unchecked::<Expr>();
        let names = Borrowed::from_ptr_or_opt(py, names).map(|n| n.cast_unchecked::<PyTuple>());
        let all = count + names.map_or(0, |n| n.len());
        let mut given = SmallVec::<[Borrowed<'_, '_, PyAny>; 8]>::new();
        for i in 0..all {
            given.push(Borrowed::from_ptr(py, *args.add(i)));
        }
        call_with(&expr, &given, count, names.as_deref()).map(Bound::into_ptr)
    }
}

/// A call with `count` positional arguments and one for each of the names.
#[inline]
fn call_with<'py>(
    expr: &Bound<'py, Expr>,
    args: &[Borrowed<'_, 'py, PyAny>],
    count: usize,
    names: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = expr.py();
    let (positional, named) = args.split_at(count);
    let out = match (names, named) {
        (None, []) => Some(None),
        (Some(names), [out]) if is_out(&*names.get_borrowed_item(0)?) => Some(Some(&**out)),
        _ => None,
    };
    if let Some(out) = out
        && let Some(result) = Expr::call_directly(expr, positional.iter().copied(), out)
    {
        return result;
    }
    let kwargs = match names {
        None => None,
        Some(names) => {
            let kwargs = PyDict::new(py);
            for (name, value) in names.iter_borrowed().zip(named) {
                kwargs.set_item(name, value)?;
            }
            Some(kwargs)
        }
    };
    Expr::call_with(expr, &PyTuple::new(py, positional)?, kwargs.as_ref())
}

/// Names in calls are interned, as a rule.
#[inline]
fn is_out(name: &Bound<'_, PyAny>) -> bool {
    let out = pyo3::intern!(name.py(), "out");
    name.is(out) || name.cast::<PyString>().is_ok_and(|name| name == "out")
}
