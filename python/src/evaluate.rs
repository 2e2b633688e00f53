//! `rusttorch.evaluate`: a formula over arrays that are looked up by name.

use crate::expr::Expr;
use crate::literal::from_attr;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

/// Formulas by their text: as written, and contracted.
static FORMULAS: [PyOnceLock<Py<PyDict>>; 2] = [PyOnceLock::new(), PyOnceLock::new()];
/// Beyond so many formulas all are forgotten.
const KEPT: usize = 256;

fn formula<'py>(text: &Bound<'py, PyString>, contract: bool) -> PyResult<Bound<'py, Expr>> {
    let py = text.py();
    let known = FORMULAS[usize::from(contract)].get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    if let Some(found) = known.get_item(text)? {
        // SAFETY: nothing else is put there, and nobody else has the dictionary.
        return Ok(unsafe { found.cast_into_unchecked() });
    }
    let made = py.import("rusttorch._evaluate")?.getattr("_parsed")?.call1((text, contract))?.cast_into::<Expr>()?;
    if known.len() >= KEPT {
        known.clear();
    }
    known.set_item(text, &made)?;
    Ok(made)
}

/// Forgets all formulas: an op was registered anew.
#[pyfunction]
fn _forget_formulas(py: Python<'_>) {
    for known in FORMULAS.iter().filter_map(|f| f.get(py)) {
        known.bind(py).clear();
    }
}

/// A mapping in which names are looked for.
enum Scope<'a, 'py> {
    Dict(Bound<'py, PyDict>),
    Mapping(&'a Bound<'py, PyAny>),
}

impl<'py> Scope<'_, 'py> {
    fn get(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Scope::Dict(dict) => dict.get_item(name),
            Scope::Mapping(mapping) => {
                // Any object that no mapping holds.
                let missing = name.py().NotImplemented();
                let value = mapping.call_method1(pyo3::intern!(name.py(), "get"), (name, &missing))?;
                Ok((!value.is(&missing)).then_some(value))
            }
        }
    }
}

/// The caller's variables, unless `given`.
fn scope<'a, 'py>(
    py: Python<'py>,
    given: Option<&'a Bound<'py, PyAny>>,
    of_caller: unsafe extern "C" fn() -> *mut ffi::PyObject,
) -> Scope<'a, 'py> {
    if let Some(mapping) = given {
        return match mapping.cast_exact::<PyDict>() {
            Ok(dict) => Scope::Dict(dict.clone()),
            Err(_) => Scope::Mapping(mapping),
        };
    }
    // SAFETY: the functions give a borrowed mapping of the frame that called us, or NULL without one; a class body's
    // locals may be any mapping, which is then read as its items.
    let found = unsafe { Bound::from_borrowed_ptr_or_opt(py, of_caller()) };
    let dict = found.and_then(|m| match m.cast_into::<PyDict>() {
        Ok(dict) => Some(dict),
        Err(other) => {
            let dict = PyDict::new(py);
            dict.update(other.into_inner().cast().ok()?).ok()?;
            Some(dict)
        }
    });
    Scope::Dict(dict.unwrap_or_else(|| PyDict::new(py)))
}

/// Evaluates a formula over arrays that are looked up by name.
///
/// A name is looked for in the keywords, then in ``local_dict``, the caller's locals if that is not given,
/// then in ``global_dict``, or the caller's globals, and is else what a header gives it. Functions are a namespace of their own. ``contract``: as
/// for :func:`fuse`.
///
/// Raises:
///     NameError, KeyError: a name that is nowhere (one exception that is both).
#[pyfunction]
#[pyo3(signature = (expr, local_dict=None, global_dict=None, *, out=None, casting="same_kind", order="K", contract=false, **names))]
#[allow(clippy::too_many_arguments)]
fn evaluate<'py>(
    py: Python<'py>,
    expr: &Bound<'py, PyString>,
    local_dict: Option<&Bound<'py, PyAny>>,
    global_dict: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
    casting: &str,
    order: &str,
    contract: bool,
    names: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    if casting != "same_kind" || order != "K" {
        return Err(PyNotImplementedError::new_err("evaluate() supports casting='same_kind' and order='K' only"));
    }
    let formula = formula(expr, contract)?;
    let params = &formula.get().params;
    let (mut locals, mut globals) = (None, None);
    let mut values: smallvec::SmallVec<[Bound<'py, PyAny>; 6]> = smallvec::SmallVec::new();
    let mut named = 0;
    for param in params {
        let name = param.name(py);
        if let Some(names) = names
            && let Some(value) = names.get_item(name)?
        {
            named += 1;
            values.push(value);
            continue;
        }
        let locals = locals.get_or_insert_with(|| scope(py, local_dict, ffi::PyEval_GetLocals));
        if let Some(value) = locals.get(name)? {
            values.push(value);
            continue;
        }
        let globals = globals.get_or_insert_with(|| scope(py, global_dict, ffi::PyEval_GetGlobals));
        match (globals.get(name)?, param.default()) {
            (Some(value), _) => values.push(value),
            (None, Some(default)) => values.push(from_attr(py, default)?),
            (None, None) => return Err(unknown(expr, name)?),
        }
    }
    if let Some(names) = names
        && names.len() > named
    {
        let known: Vec<String> = params.iter().map(|p| p.name(py).to_string()).collect();
        let mut unused: Vec<String> =
            names.keys().iter().map(|n| n.to_string()).filter(|n| !known.contains(n)).collect();
        unused.sort();
        let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let text = format!("the expression has no name {}; it has {has}", unused.join(", "));
        return Err(PyTypeError::new_err(text));
    }
    Expr::call(&formula, &PyTuple::new(py, values)?, out)
}

#[cold]
fn unknown(text: &Bound<'_, PyString>, name: &Bound<'_, PyString>) -> PyResult<PyErr> {
    let class = text.py().import("rusttorch._evaluate")?.getattr("UnknownNameError")?;
    let message = format!(
        "name '{name}' of the expression is not defined. Only the caller's own locals and globals are \
         searched: a variable of an enclosing function is visible only if the caller mentions it. \
         Pass it: evaluate({}, {name}=...)",
        text.repr()?
    );
    Ok(PyErr::from_value(class.call1((message,))?))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(evaluate, m)?)?;
    m.add_function(wrap_pyfunction!(_forget_formulas, m)?)
}
