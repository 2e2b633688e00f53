//! Which Python exception each kind of error becomes: one table, exhaustive, worded by the layer that
//! raised it (as PyTorch words it).

use pyo3::exceptions::{
    PyIndexError, PyKeyError, PyMemoryError, PyNotImplementedError, PyOSError, PyRuntimeError, PySyntaxError,
    PyTypeError, PyUserWarning, PyValueError,
};
use pyo3::prelude::*;
use pyo3::{create_exception, panic::PanicException};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

create_exception!(
    rusttorch,
    InternalError,
    PyRuntimeError,
    "A bug in RustTorch; please report it with its text."
);
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

/// What went wrong, as far as the choice of an exception class goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The text of an expression.
    Syntax,
    /// An unknown op, dtype or parameter.
    Name,
    /// Shapes that do not fit each other, and whatever else torch raises RuntimeError for.
    Runtime,
    /// A dimension or an index out of range.
    Index,
    /// A wrong kind of argument or a wrong number of them.
    Type,
    /// An argument whose value is not allowed.
    Value,
    /// A listed op's option, or a dtype, that we do not have.
    Unsupported,
    /// No memory for a result.
    Memory,
    /// A file.
    Os,
    /// A bug.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [ErrorKind; 10] = [
        ErrorKind::Syntax,
        ErrorKind::Name,
        ErrorKind::Runtime,
        ErrorKind::Index,
        ErrorKind::Type,
        ErrorKind::Value,
        ErrorKind::Unsupported,
        ErrorKind::Memory,
        ErrorKind::Os,
        ErrorKind::Internal,
    ];
}

/// The exception for an error of this kind.
pub fn to_py(kind: ErrorKind, message: String) -> PyErr {
    match kind {
        ErrorKind::Syntax => PySyntaxError::new_err(message),
        ErrorKind::Name => PyKeyError::new_err(message),
        ErrorKind::Runtime => PyRuntimeError::new_err(message),
        ErrorKind::Index => PyIndexError::new_err(message),
        ErrorKind::Type => PyTypeError::new_err(message),
        ErrorKind::Value => PyValueError::new_err(message),
        ErrorKind::Unsupported => PyNotImplementedError::new_err(message),
        ErrorKind::Memory => PyMemoryError::new_err(message),
        ErrorKind::Os => PyOSError::new_err(message),
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

/// The names of the kinds with their exception classes, for the test that the table is complete.
#[pyfunction]
fn _error_table(py: Python<'_>) -> Vec<(String, Py<PyAny>)> {
    let class = |kind| to_py(kind, String::new()).get_type(py).into_any().unbind();
    ErrorKind::ALL.iter().map(|&kind| (format!("{kind:?}"), class(kind))).collect()
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("InternalError", py.get_type::<InternalError>())?;
    m.add("TraceError", py.get_type::<TraceError>())?;
    m.add("FallbackWarning", py.get_type::<FallbackWarning>())?;
    debug_assert!(!py.get_type::<InternalError>().is_subclass_of::<PanicException>()?);
    m.add_function(wrap_pyfunction!(_error_table, m)?)
}
