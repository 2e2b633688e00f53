//! `rusttorch.Expr`: a program that is called from Python, made of a text, of an op, or by a tracer.

use crate::borrow::{Operand, Session, is_exact_array};
use crate::call::{Callable, Operands};
use crate::errors::to_py;
use crate::literal::{attr, from_attr, is_structural_exponent};
use crate::vectorcall::{self, Source};
use crate::{tensor_call, through, torch};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyKeyError, PyNotImplementedError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString, PyTuple};
use rusttorch_ir::expr::{Attr, Expr as Node, Program, parse};
use rusttorch_ir::id::ExprId;
use rusttorch_ops::engine;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// A parameter as calls see it.
pub(crate) struct Param {
    name: Py<PyString>,
    default: Option<Attr>,
    /// Its value is part of the plan.
    is_static: bool,
    /// Of `pow`: a few exponents are part of the plan, see [`is_structural_exponent`].
    is_exponent: bool,
}

/// A formula that is compiled for the arrays it is called with.
///
/// Its objects are of a subclass, see [`vectorcall`].
#[pyclass(frozen, subclass, module = "rusttorch._rusttorch", name = "Expr", weakref)]
pub struct Expr {
    pub(crate) callable: Callable,
    pub(crate) params: Vec<Param>,
    /// The text it was made of, or the program's.
    text: String,
    /// The function's name in errors and in repr: `gelu`.
    label: String,
    /// Made of a row of the op table, whose text would not say which parameters are static.
    is_op: bool,
    /// Such a row whose result is a view, see `rusttorch/_views.py`.
    is_view: bool,
    /// Registered under its label.
    registered: bool,
    /// Parameters up to the last one that has no default.
    required: usize,
    /// No parameter is named `out`: the keyword is where results go.
    out_is_free: bool,
    /// Backward passes by the parameters and the results that they are of.
    pullbacks: Mutex<Vec<Pullback>>,
}

type Pullback = ((Vec<usize>, Vec<usize>), Py<Expr>);

impl Param {
    pub(crate) fn name<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        self.name.bind(py)
    }

    /// What a header gives it.
    pub(crate) fn default(&self) -> Option<&Attr> {
        self.default.as_ref()
    }
}

impl Expr {
    pub(crate) fn new(py: Python<'_>, program: Program, text: String, label: String, is_static: &[bool]) -> Expr {
        // A text's are those that it hands on as such.
        let handed_on = if is_static.is_empty() { engine::static_params(&program) } else { is_static.to_vec() };
        let params = program.params().iter().zip(&handed_on).map(|(p, &of_plan)| Param {
            name: PyString::intern(py, &p.name).unbind(),
            default: p.default.clone(),
            is_static: of_plan,
            is_exponent: !is_static.is_empty() && p.name == "exponent",
        });
        let out_is_free = program.params().iter().all(|p| p.name != "out");
        let required = program.params().iter().rposition(|p| p.default.is_none()).map_or(0, |last| last + 1);
        Expr {
            params: params.collect(),
            required,
            out_is_free,
            callable: Callable::new(Arc::new(program)),
            text,
            label,
            is_op: false,
            is_view: false,
            registered: false,
            pullbacks: Mutex::default(),
        }
    }

    /// The operand of parameter `i`.
    #[inline]
    pub(crate) fn operand(&self, session: &mut Session, i: usize, value: &Bound<'_, PyAny>) -> PyResult<Operand> {
        if self.is_literal(i, value) {
            if !value.is_none() {
                // A list's elements may be the user's.
                session.python_ran();
            }
            return Ok(Operand::Literal(attr(value)?));
        }
        session.operand(value, &|| self.argument_name(value.py(), i))
    }

    /// Appends the operands in positional order; gives `out`.
    #[inline]
    fn bind<'py>(
        &self,
        session: &mut Session,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        lone_out: Option<Bound<'py, PyAny>>,
        operands: &mut Operands,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let out = lone_out.filter(|_| self.out_is_free);
        if !self.takes(args.len()) || kwargs.is_some() && out.is_none() {
            return self.bind_named(session, args, kwargs, operands);
        }
        for (i, value) in args.iter_borrowed().enumerate() {
            operands.push(self.operand(session, i, &value)?);
        }
        self.bind_defaults(session, args.py(), operands)?;
        Ok(out.filter(|o| !o.is_none()))
    }

    /// Whether so many positional arguments are enough, and not too many.
    #[inline]
    fn takes(&self, count: usize) -> bool {
        (self.required..=self.params.len()).contains(&count)
    }

    /// Appends the operands that are defaults, behind those of as many positional arguments as [`Expr::takes`].
    #[inline]
    fn bind_defaults(&self, session: &mut Session, py: Python<'_>, operands: &mut Operands) -> PyResult<()> {
        let given = operands.len();
        for i in given..self.params.len() {
            operands.push(Operand::Literal(self.default_of(i, py, given)?));
        }
        session.settle(py, operands)
    }

    /// [`Expr::bind`] with keywords or defaults.
    fn bind_named<'py>(
        &self,
        session: &mut Session,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        operands: &mut Operands,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = args.py();
        let (values, out) = self.bind_values(args, kwargs)?;
        for (i, value) in values.iter().enumerate() {
            operands.push(match value {
                Some(value) => self.operand(session, i, value)?,
                None => Operand::Literal(self.default_of(i, py, args.len() + kwargs.map_or(0, |k| k.len()))?),
            });
        }
        session.settle(py, operands)?;
        Ok(out)
    }

    /// The arguments by parameter, and `out`.
    #[allow(clippy::type_complexity)]
    pub(crate) fn bind_values<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Vec<Option<Bound<'py, PyAny>>>, Option<Bound<'py, PyAny>>)> {
        let (py, count) = (args.py(), self.params.len());
        if args.len() > count {
            return Err(self.wrong_count(py, args.len()));
        }
        let mut values: Vec<Option<Bound<'py, PyAny>>> = args.iter().map(Some).collect();
        values.resize(count, None);
        let mut out = None;
        for (key, value) in kwargs.into_iter().flatten() {
            let key = key.cast_into::<PyString>()?;
            let name = key.to_cow()?;
            let find = |name: &str| self.params.iter().position(|p| p.name.to_string_lossy(py) == name);
            // NumPy's names of two arguments of reductions.
            let alias = match &*name {
                "axis" => Some("dim"),
                "keepdims" => Some("keepdim"),
                _ => None,
            };
            match find(&name).or_else(|| alias.and_then(find)) {
                Some(i) if values[i].is_some() => {
                    let text = format!("{}() got multiple values for argument '{name}'", self.label);
                    return Err(PyTypeError::new_err(text));
                }
                Some(i) => values[i] = Some(value),
                None if name == "out" => out = Some(value).filter(|v| !v.is_none()),
                None => {
                    let text = format!("{}() got an unexpected keyword argument '{name}'", self.label);
                    return Err(PyTypeError::new_err(text));
                }
            }
        }
        Ok((values, out))
    }

    /// What parameter `i` is when a call gives nothing for it; `given` is how many arguments the call has.
    pub(crate) fn default_of(&self, i: usize, py: Python<'_>, given: usize) -> PyResult<Attr> {
        self.params[i].default.clone().ok_or_else(|| self.wrong_count(py, given))
    }

    /// True when the argument is part of the plan.
    pub(crate) fn is_literal(&self, i: usize, value: &Bound<'_, PyAny>) -> bool {
        let param = &self.params[i];
        param.is_static || value.is_none() || param.is_exponent && is_structural_exponent(value)
    }

    /// As errors name parameter `i`.
    pub(crate) fn argument_name(&self, py: Python<'_>, i: usize) -> String {
        format!("{}(): argument '{}' (position {})", self.label, self.params[i].name.to_string_lossy(py), i + 1)
    }

    /// The name of the built-in op that it is.
    pub(crate) fn op_name(&self) -> Option<&str> {
        self.is_op.then_some(&self.label)
    }

    /// True for ops, built-in and registered: on tensors of ours they wait. Expressions run when called.
    pub(crate) fn is_lazy(&self) -> bool {
        self.is_op || self.registered
    }

    /// A call with positional arguments.
    pub(crate) fn call<'py>(
        self_: &Bound<'py, Expr>,
        args: &Bound<'py, PyTuple>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let kwargs = match out {
            None => None,
            Some(out) => {
                let kwargs = PyDict::new(args.py());
                kwargs.set_item(pyo3::intern!(args.py(), "out"), out)?;
                Some(kwargs)
            }
        };
        Expr::call_with(self_, args, kwargs.as_ref())
    }

    /// A call of arrays and numbers that nothing else is to know of; none if it is not such a call. No code of the user's runs
    /// before that is known.
    #[inline]
    pub(crate) fn call_directly<'a, 'py: 'a>(
        self_: &Bound<'py, Expr>,
        args: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> Option<PyResult<Bound<'py, PyAny>>> {
        let (this, py) = (self_.get(), self_.py());
        let plain = out.is_none_or(|o| is_exact_array(o) || o.is_none());
        if !plain || this.is_view || !this.takes(args.len()) || out.is_some() && !this.out_is_free {
            return None;
        }
        let (mut session, mut operands) = (Session::recording(py), Operands::new());
        for (i, value) in args.enumerate() {
            if !is_exact_array(&value) && !is_builtin(&value) {
                return None;
            }
            operands.push(this.operand(&mut session, i, &value).ok()?);
        }
        this.bind_defaults(&mut session, py, &mut operands).ok()?;
        if session.requires_grad() {
            return None;
        }
        Some(this.callable.call(py, &mut session, &mut operands, out.filter(|o| !o.is_none())))
    }

    pub(crate) fn call_with<'py>(
        self_: &Bound<'py, Expr>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let out = lone_out(kwargs)?;
        let ours = args.iter_borrowed().any(|a| tensor_call::is_ours(&a))
            || match &out {
                Some(out) => tensor_call::is_ours(out),
                None => kwargs.is_some_and(|k| k.iter().any(|(_, v)| tensor_call::is_ours(&v))),
            };
        if ours
            && !args.iter_borrowed().any(|a| tensor_call::is_stand_in(&a))
            && let Some(result) = tensor_call::call(self_.get(), args, kwargs)?
        {
            return Ok(result);
        }
        if self_.get().is_view {
            let view = py.import("rusttorch._views")?.getattr("call")?.call1((self_, args, kwargs))?;
            if !view.is(py.NotImplemented()) {
                return Ok(view);
            }
        }
        let mut session = Session::recording(py);
        let mut operands = Operands::new();
        let out = match self_.get().bind(&mut session, args, kwargs, out, &mut operands) {
            Ok(out) => out,
            // What is no operand may be a tracer's stand-in, which records the call.
            Err(e) => {
                let traced = py.import("rusttorch._trace")?.getattr("call_expr")?;
                let recorded = traced.call1((self_.clone(), args, kwargs))?;
                if !recorded.is_none() {
                    return Ok(recorded);
                }
                return session.special().map_or(Err(e), |what| through_torch(self_, args, kwargs, what));
            }
        };
        if session.requires_grad() {
            return record(self_, args, kwargs, out.is_some());
        }
        self_.get().callable.call(py, &mut session, &mut operands, out.as_ref())
    }

    /// An `inspect.Signature`.
    pub(crate) fn signature<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let defaults = self.params.iter().map(|p| p.default.as_ref().map(|d| from_attr(py, d)).transpose());
        let defaults = defaults.collect::<PyResult<Vec<_>>>()?;
        vectorcall::signature(py, self.params.iter().map(|p| p.name.bind(py)).zip(defaults))
    }

    /// What `help` shows of an object.
    pub(crate) fn doc(&self) -> String {
        let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
        match table.lookup(&self.label).filter(|_| self.is_op) {
            Some(op) => rusttorch_ops::cli::docstring(&op),
            None => format!("The formula ``{}``, compiled for the arrays it is called with.", self.text),
        }
    }

    fn wrong_count(&self, py: Python<'_>, given: usize) -> PyErr {
        let names: Vec<String> = self.params.iter().map(|p| p.name.to_string_lossy(py).into_owned()).collect();
        let required = self.params.iter().filter(|p| p.default.is_none()).count();
        let takes = match (required, self.params.len()) {
            (r, n) if r == n => format!("{n}"),
            (r, n) => format!("{r} to {n}"),
        };
        let (s, were) = (if names.len() == 1 { "" } else { "s" }, if given == 1 { "was" } else { "were" });
        let text =
            format!("{}() takes {takes} argument{s} ({}) but {given} {were} given", self.label, names.join(", "));
        PyTypeError::new_err(text)
    }
}

#[pymethods]
impl Expr {
    /// Of a text.
    #[new]
    #[pyo3(signature = (text, contract = false))]
    fn parse(py: Python<'_>, text: Source, contract: bool) -> PyResult<Expr> {
        let text = match text {
            Source::Made(expr) => return Ok(expr),
            Source::Text(text) => text,
        };
        let program = parsed(&text)?;
        let program = if contract { program.contracted() } else { program };
        let label = program.name.clone().unwrap_or_else(|| "expr".to_owned());
        Ok(Expr::new(py, program, text, label, &[]))
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        self_: &Bound<'py, Expr>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Expr::call_with(self_, args, kwargs)
    }

    /// The expression of a backward pass: the gradients of parameters `wrt`, given those of the results `of`
    /// after the arguments.
    fn _pullback(&self, py: Python<'_>, wrt: Vec<usize>, of: Vec<usize>) -> PyResult<Py<Expr>> {
        let program = &*self.callable.program;
        if !program.gradients().is_empty() {
            let text = format!("{}() gives gradients; it has no derivative of its own", self.label);
            return Err(PyNotImplementedError::new_err(text));
        }
        let (params, results) = (self.params.len(), program.outputs().len());
        if of.is_empty() || wrt.iter().any(|&p| p >= params) || of.iter().any(|&r| r >= results) {
            return Err(PyValueError::new_err("a backward pass is of parameters and results"));
        }
        let key = (wrt, of);
        let known = |all: &[Pullback]| all.iter().find(|(k, _)| *k == key).map(|(_, e)| e.clone_ref(py));
        let lock = || self.pullbacks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known(&lock()) {
            return Ok(found);
        }
        let pullback = program.pullback(&key.0, &key.1);
        let text = pullback.to_string();
        let mut expr = Expr::new(py, pullback, text, format!("{}_backward", self.label), &[]);
        for (ours, theirs) in expr.params.iter_mut().zip(&self.params) {
            (ours.is_static, ours.is_exponent) = (theirs.is_static, theirs.is_exponent);
        }
        let expr = vectorcall::object(py, expr)?.unbind();
        lock().push((key, expr.clone_ref(py)));
        Ok(expr)
    }

    /// The arguments by parameter as a call takes them, defaults in place and those that are part of the plan as
    /// Python values; and `out`.
    #[pyo3(signature = (*args, **kwargs))]
    #[allow(clippy::type_complexity)]
    fn _bound<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Vec<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>)> {
        let py = args.py();
        let (values, out) = self.bind_values(args, kwargs)?;
        let given = args.len() + kwargs.map_or(0, |k| k.len());
        let bound = values.into_iter().enumerate().map(|(i, value)| match value {
            None => from_attr(py, &self.default_of(i, py, given)?),
            Some(value) if self.params[i].is_static => from_attr(py, &attr(&value)?),
            Some(value) => Ok(value),
        });
        Ok((bound.collect::<PyResult<_>>()?, out))
    }

    /// The program: nodes, results, parameters whose gradients are results, parameters that hold those of the results,
    /// whether the first result is left out.
    /// A node is a parameter's number, a literal in a tuple, or (op, arguments, (keyword, argument)...), arguments
    /// being nodes by number.
    #[allow(clippy::type_complexity)]
    fn _program<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Vec<Bound<'py, PyAny>>, Vec<usize>, Vec<usize>, Vec<usize>, bool)> {
        let program = &*self.callable.program;
        let index = |id: &ExprId| id.index();
        let nodes = program.nodes().iter().map(|node| match node {
            Node::Param(i) => Ok(PyInt::new(py, *i).into_any()),
            Node::Literal(value) => Ok(PyTuple::new(py, [from_attr(py, value)?])?.into_any()),
            Node::Call { op, args, kwargs } => {
                let args: Vec<usize> = args.iter().map(index).collect();
                let kwargs: Vec<(&str, usize)> = kwargs.iter().map(|(k, v)| (&**k, v.index())).collect();
                (op, args, kwargs).into_bound_py_any(py)
            }
        });
        let outputs = program.outputs().iter().map(index).collect();
        let (gradients, seeds) = (program.gradients().to_vec(), program.seeds().to_vec());
        Ok((nodes.collect::<PyResult<_>>()?, outputs, gradients, seeds, program.is_valueless()))
    }

    /// The representations of the kernel for these arguments: (name, text).
    #[pyo3(signature = (*args, **kwargs))]
    fn _inspect<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Vec<(&'static str, String)>> {
        let mut session = Session::recording(args.py());
        let mut operands = Operands::new();
        self.bind(&mut session, args, kwargs, lone_out(kwargs)?, &mut operands)?;
        let seen = self.callable.inspect(args.py(), &session, &operands)?;
        let mut stages = vec![("expr", seen.expr), ("graph", seen.graph), ("kernel", seen.kernel)];
        match seen.code {
            Ok(code) => stages.extend([("clif", code.clif), ("asm", code.asm)]),
            Err(lacking) => stages.push(("fallback", lacking)),
        }
        Ok(stages)
    }

    /// (dtype, shape) of every result for these arguments, without running anything.
    #[pyo3(signature = (*args))]
    fn _result_meta<'py>(slf: &Bound<'py, Expr>, args: &Bound<'py, PyTuple>) -> PyResult<Vec<(String, Vec<i64>)>> {
        let (py, this) = (args.py(), slf.get());
        let mut session = Session::recording(py);
        let mut operands = Operands::new();
        if let Err(e) = this.bind(&mut session, args, None, None, &mut operands) {
            let Some(what) = session.special() else { return Err(e) };
            let meta = through::call("result_meta", &this.label, what, (slf, args), py)?;
            return meta.extract();
        }
        let results = this.callable.results(py, &session, &operands)?;
        Ok(results.into_iter().map(|m| (m.dtype.torch_name().to_owned(), m.shape)).collect())
    }

    /// Names of the parameters, in positional order.
    #[getter]
    fn args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.params.iter().map(|p| p.name.bind(py)))
    }

    /// The formula.
    #[getter]
    fn text(&self) -> &str {
        &self.text
    }

    #[getter]
    fn __name__(&self) -> &str {
        &self.label
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        if self.registered {
            return format!("rusttorch.register({:?})", self.text);
        }
        if self.is_op {
            return format!("<rusttorch function {}>", self.label);
        }
        let names: Vec<_> = self.params.iter().map(|p| p.name.to_string_lossy(py).into_owned()).collect();
        format!("rusttorch.expr({:?}, args=({}))", self.text, names.join(", "))
    }

    /// Pickled as its text, or as the op's name.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        if self.registered {
            let function = py.import("rusttorch._register")?.getattr("_restore")?;
            return Ok((function, (&self.text,).into_pyobject(py)?));
        }
        if self.is_op {
            let function = py.import("rusttorch._rusttorch")?.getattr("_op_function")?;
            return Ok((function, (&self.label,).into_pyobject(py)?));
        }
        // Where registered ops were called, the text alone would need them.
        let program = &*self.callable.program;
        let contract = program.is_contracted();
        let same = |p: Program| if contract { p.contracted() == *program } else { p == *program };
        let portable = parse(&self.text, None).is_ok_and(same);
        let text = if portable { self.text.clone() } else { program.to_string() };
        Ok((vectorcall::class(py)?.clone().into_any(), (text, contract).into_pyobject(py)?))
    }

    /// (hits, misses, plans kept).
    fn cache_info(&self) -> (u64, u64, usize) {
        let c = &self.callable;
        (c.hits.load(Ordering::Relaxed), c.misses.load(Ordering::Relaxed), c.kept())
    }

    /// Forgets all plans.
    fn cache_clear(&self) {
        self.callable.clear();
    }
}

/// The value of `out=` where that is the only keyword.
#[inline]
pub(crate) fn lone_out<'py>(kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match kwargs {
        Some(kwargs) if kwargs.len() == 1 => kwargs.get_item(pyo3::intern!(kwargs.py(), "out")),
        _ => Ok(None),
    }
}

/// A number of Python's own, a name or None: what is read without code of the user's.
#[inline]
fn is_builtin(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyString>()
}

/// A call that autograd is to know of (`rusttorch/_autograd.py`).
#[cold]
fn record<'py>(
    expr: &Bound<'py, Expr>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    out: bool,
) -> PyResult<Bound<'py, PyAny>> {
    if out {
        return Err(torch::grad_of_out(&expr.get().label));
    }
    if !expr.get().callable.program.gradients().is_empty() {
        return Err(torch::grad_error());
    }
    expr.py().import("rusttorch._autograd")?.getattr("call")?.call1((expr, args, kwargs))
}

/// A call that torch computes, because an operand is `what`.
#[cold]
fn through_torch<'py>(
    expr: &Bound<'py, Expr>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    what: String,
) -> PyResult<Bound<'py, PyAny>> {
    let py = expr.py();
    through::call("call", &expr.get().label, what, (expr, args, kwargs), py)
}

/// The function of an op: its parameters, defaults and static arguments are the row's.
#[pyfunction]
fn _op_function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, Expr>> {
    vectorcall::object(py, op_function(py, name)?)
}

pub(crate) fn op_function(py: Python<'_>, name: &str) -> PyResult<Expr> {
    let Some((program, is_static)) = engine::op_program(name) else {
        return Err(PyKeyError::new_err(name.to_owned()));
    };
    let text = program.to_string();
    // A registered op is its definition.
    let registered = is_static.is_empty() && program.name.is_some();
    let expr = Expr::new(py, program, text, name.to_owned(), &is_static);
    let is_view = !registered && VIEWS.contains(&name);
    Ok(Expr { registered, is_op: !registered, is_view, ..expr })
}

/// The rows whose result is a view of their tensor.
const VIEWS: [&str; 13] = [
    "broadcast_to",
    "detach",
    "flatten",
    "narrow",
    "permute",
    "ravel",
    "reshape",
    "select",
    "squeeze",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
];

/// The program of a text, registered ops in place.
pub(crate) fn parsed(text: &str) -> PyResult<Program> {
    let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
    let program = parse(text, Some(&*table)).map_err(|e| to_py(e.into()))?;
    Ok(table.inlined(&program).map_err(PyTypeError::new_err)?.unwrap_or(program))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("Expr", vectorcall::class(m.py())?)?;
    m.add_function(wrap_pyfunction!(_op_function, m)?)
}
