//! The first stage of a traced function's call: when the arguments are arrays and numbers as the last
//! time, its expression is called at once; all else is left to Python (`rusttorch/_fuse.py`).

use crate::borrow::is_exact_array;
use crate::expr::{Expr, lone_out};
use crate::{numpy, torch};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyTuple};
use std::sync::{Arc, Mutex, PoisonError};

/// What an argument must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Array,
    Bool,
    Int,
    Float,
    /// For the Python side; never matches.
    Other,
}

struct Entry {
    pattern: Vec<Class>,
    expr: Py<Expr>,
    /// Read the arrays that the function closes over, which are operands after the arguments.
    readers: Vec<Py<PyAny>>,
    /// `out=` is no argument of the function's: the result goes there.
    takes_out: bool,
}

/// The base class of `rusttorch.FusedFunction`.
#[pyclass(subclass, frozen, dict, weakref, module = "rusttorch")]
pub struct FastCall(Mutex<Option<Arc<Entry>>>);

impl FastCall {
    fn entry(&self) -> Option<Arc<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[pymethods]
impl FastCall {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> FastCall {
        FastCall(Mutex::new(None))
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let out = lone_out(kwargs)?;
        if (kwargs.is_none() || out.is_some())
            && let Some(entry) = slf.get().entry()
            && (entry.takes_out || out.is_none())
            && entry.pattern.len() == args.len()
            && entry
                .pattern
                .iter()
                .zip(args.iter_borrowed())
                .all(|(&class, a)| class != Class::Other && class_of(&a) == class)
        {
            if entry.readers.is_empty() {
                let expr = entry.expr.bind(py);
                return Expr::call_directly(expr, args.iter_borrowed(), out.as_ref())
                    .unwrap_or_else(|| Expr::call_with(expr, args, kwargs));
            }
            let mut operands: Vec<_> = args.iter().collect();
            operands.extend(entry.readers.iter().map_while(|reader| reader.bind(py).call0().ok()));
            // What was read may be anything now. What is gone, Python tells, or does without.
            if operands.len() == args.len() + entry.readers.len() {
                return entry.expr.bind(py).call(PyTuple::new(py, operands)?, kwargs);
            }
        }
        slf.call_method(pyo3::intern!(py, "_slow"), args.clone(), kwargs)
    }

    /// From now on, arguments like these go to `expr` in this order, then what `readers` give, and its result is the
    /// result.
    /// `takes_out`: so may `out=`.
    fn _install(
        &self,
        args: &Bound<'_, PyTuple>,
        expr: Py<Expr>,
        readers: Vec<Py<PyAny>>,
        takes_out: bool,
    ) -> PyResult<()> {
        // The first call of a process has borrowed nothing yet, and no array would be known as one.
        torch::loaded(args.py())?;
        numpy::api_if_loaded(args.py())?;
        let pattern = args.iter_borrowed().map(|a| class_of(&a)).collect();
        let entry = Entry { pattern, expr, readers, takes_out };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(entry));
        Ok(())
    }

    fn _uninstall(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[inline]
fn class_of(value: &Bound<'_, PyAny>) -> Class {
    if is_exact_array(value) {
        Class::Array
    } else if value.is_exact_instance_of::<PyFloat>() {
        Class::Float
    } else if value.is_exact_instance_of::<PyInt>() {
        Class::Int
    } else if value.is_exact_instance_of::<PyBool>() {
        Class::Bool
    } else {
        Class::Other
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<FastCall>()
}
