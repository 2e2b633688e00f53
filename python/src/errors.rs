//! Which Python exception each kind of error becomes: one table, exhaustive, worded by the layer that
//! raised it (as PyTorch words it).

use pyo3::create_exception;
use pyo3::exceptions::{
    PyIndexError, PyMemoryError, PyNameError, PyNotImplementedError, PyRuntimeError, PySyntaxError, PyTypeError,
    PyUserWarning, PyValueError,
};
use pyo3::prelude::*;
use rusttorch_ops::{Error, ErrorKind};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

create_exception!(rusttorch, InternalError, PyRuntimeError, "A bug in RustTorch; please report it with its text.");
create_exception!(
    rusttorch,
    TraceError,
    PyTypeError,
    "A traced function asked for the value of an array, which is only known when the kernel runs."
);
create_exception!(
    rusttorch,
    FallbackWarning,
    PyUserWarning,
    "A large operation ran on the interpreter instead of compiled code."
);

/// The exception for an error of the engine.
pub fn to_py(error: Error) -> PyErr {
    exception(error.kind(), error.to_string())
}

/// The exception for an error of the runtime, of the class that PyTorch raises.
pub fn runtime_to_py(error: rusttorch_runtime::error::Error) -> PyErr {
    use rusttorch_runtime::error::ErrorKind as Runtime;
    let kind = match error.kind() {
        Runtime::Index => ErrorKind::Index,
        Runtime::NotImplemented => ErrorKind::NotImplemented,
        Runtime::Value => ErrorKind::Value,
        Runtime::OutOfMemory => ErrorKind::OutOfMemory,
        _ => ErrorKind::Runtime,
    };
    exception(kind, error.to_string())
}

fn exception(kind: ErrorKind, message: String) -> PyErr {
    match kind {
        ErrorKind::Syntax => PySyntaxError::new_err(message),
        ErrorKind::Name => PyNameError::new_err(message),
        ErrorKind::Type => PyTypeError::new_err(message),
        ErrorKind::Value => PyValueError::new_err(message),
        ErrorKind::Index => PyIndexError::new_err(message),
        ErrorKind::Runtime | ErrorKind::Fallback => PyRuntimeError::new_err(message),
        ErrorKind::NotImplemented => PyNotImplementedError::new_err(message),
        ErrorKind::OutOfMemory => PyMemoryError::new_err(message),
        ErrorKind::Internal => InternalError::new_err(message),
    }
}

/// Runs `f`; a panic in it becomes [`InternalError`], with `what` to tell where it happened.
pub fn guarded<T>(what: impl Fn() -> String, f: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result,
        Err(payload) => Err(InternalError::new_err(format!("{} ({})", panic_text(&*payload), what()))),
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without a text",
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("InternalError", py.get_type::<InternalError>())?;
    m.add("TraceError", py.get_type::<TraceError>())?;
    m.add("FallbackWarning", py.get_type::<FallbackWarning>())
}
