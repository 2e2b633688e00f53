//! Programs made from Python: a tracer's builder, registered ops, and the table of what there is.

use crate::expr::{Expr, parsed};
use crate::literal::attr;
use crate::vectorcall;
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use rusttorch_ir::expr::{Expr as Node, Program, parse};
use rusttorch_ir::id::ExprId;
use rusttorch_ir::op::OpDef;
use rusttorch_ops::engine;
use std::sync::{Mutex, PoisonError};

/// Registers a text with a header; true when it replaces another definition.
#[pyfunction]
fn _register_op(text: &str) -> PyResult<bool> {
    let mut program = parsed(text)?;
    let Some(name) = program.name.clone() else {
        return Err(PyValueError::new_err("a registered op needs a name: register(\"name\", \"a * b\")"));
    };
    let calls =
        parse(text, None).is_ok_and(|p| p.nodes().iter().any(|n| matches!(n, Node::Call { op, .. } if *op == name)));
    if calls {
        return Err(PyValueError::new_err(format!("{name} is defined by itself")));
    }
    if program.outputs().len() != 1 || matches!(program.node(program.outputs()[0]), Node::Literal(_)) {
        return Err(PyValueError::new_err("a registered op gives one tensor"));
    }
    program.name = Some(name.clone());
    let mut table = engine::table().write().unwrap_or_else(PoisonError::into_inner);
    match table.lookup(&name) {
        Some(op) if op.builtin => {
            Err(PyValueError::new_err(format!("{name} is a built-in op: register yours under another name")))
        }
        Some(op) if *op.definition() == program => Ok(false),
        replaced => {
            let definition = program.to_string();
            let statics = table.statics(&program);
            table.insert(OpDef::registered(&name, &definition, program, &statics));
            Ok(replaced.is_some())
        }
    }
}

/// The public rows: (name, parameters, static ones, doc, torch name, NumPy name).
#[pyfunction]
#[allow(clippy::type_complexity)]
fn _op_table(py: Python<'_>) -> PyResult<Vec<(String, Vec<String>, Vec<String>, String, String, String)>> {
    let _ = py;
    let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
    let rows = table.iter().filter(|op| !op.internal).map(|op| {
        let header = |p: &rusttorch_ir::op::OpParam| match &p.default {
            Some(d) => format!("{}={d}", p.name),
            None => p.name.clone(),
        };
        let statics = op.params.iter().filter(|p| p.is_static).map(|p| p.name.clone());
        (
            op.name.to_string(),
            op.params.iter().map(header).collect(),
            statics.collect(),
            op.doc.to_string(),
            op.torch.to_string(),
            op.np.to_string(),
        )
    });
    Ok(rows.collect())
}

/// Makes an [`Expr`] call by call: a tracer's side of the engine.
#[pyclass(frozen, module = "rusttorch")]
struct Builder(Mutex<Program>);

impl Builder {
    fn program(&self) -> std::sync::MutexGuard<'_, Program> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Builder {
    #[new]
    fn new() -> Builder {
        Builder(Mutex::new(Program::new()))
    }

    /// Adds a parameter; gives its value.
    fn param(&self, name: &str) -> usize {
        self.program().param(name, None).index()
    }

    /// Adds a literal; gives its value.
    fn literal(&self, value: &Bound<'_, PyAny>) -> PyResult<usize> {
        Ok(self.program().literal(attr(value)?).index())
    }

    /// Adds a call of an op; gives its value.
    fn call(&self, op: &str, args: Vec<usize>, kwargs: Vec<(String, usize)>) -> PyResult<usize> {
        let mut program = self.program();
        let names: Vec<&str> = kwargs.iter().map(|(k, _)| k.as_str()).collect();
        let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
        match rusttorch_ir::expr::Functions::check_call(&*table, op, args.len(), &names) {
            None => return Err(PyKeyError::new_err(op.to_owned())),
            Some(checked) => checked.map_err(PyTypeError::new_err)?,
        }
        if args.iter().chain(kwargs.iter().map(|(_, v)| v)).any(|&v| v >= program.nodes().len()) {
            return Err(PyValueError::new_err("an argument is no value of this program"));
        }
        let args: Vec<ExprId> = args.into_iter().map(ExprId::new).collect();
        let kwargs: Vec<(&str, ExprId)> = kwargs.iter().map(|(k, v)| (k.as_str(), ExprId::new(*v))).collect();
        Ok(table.call_in(&mut program, op, &args, &kwargs).map_err(PyTypeError::new_err)?.index())
    }

    /// The results of an expression for these arguments, one per parameter.
    fn splice(&self, expr: &Expr, args: Vec<usize>) -> PyResult<Vec<usize>> {
        let mut program = self.program();
        if args.len() != expr.params.len() || args.iter().any(|&v| v >= program.nodes().len()) {
            return Err(PyValueError::new_err("an argument is no value of this program"));
        }
        let args: Vec<ExprId> = args.into_iter().map(ExprId::new).collect();
        Ok(program.splice(&expr.callable.program, &args).iter().map(|id| id.index()).collect())
    }

    /// Whether a value is read by index, which fails for an index out of range.
    fn reads_indirectly(&self) -> bool {
        engine::table().read().unwrap_or_else(PoisonError::into_inner).reads_indirectly(&self.program())
    }

    /// The expression with these results, then the gradients of the first with respect to parameters; without `value`
    /// the first is no result.
    #[pyo3(signature = (label, outputs, gradients = Vec::new(), contract = false, value = true))]
    fn finish<'py>(
        &self,
        py: Python<'py>,
        label: String,
        outputs: Vec<usize>,
        gradients: Vec<usize>,
        contract: bool,
        value: bool,
    ) -> PyResult<Bound<'py, Expr>> {
        let mut program = self.program().clone();
        if contract {
            program = program.contracted();
        }
        if gradients.iter().any(|&p| p >= program.params().len()) || (outputs.is_empty() && !gradients.is_empty()) {
            return Err(PyValueError::new_err("gradients are of a result, with respect to parameters"));
        }
        if outputs.iter().any(|&v| v >= program.nodes().len()) {
            return Err(PyValueError::new_err("a result is no value of this program"));
        }
        // A literal alone is no result of a kernel; the caller keeps those.
        if outputs.iter().any(|&v| matches!(program.node(ExprId::new(v)), Node::Literal(_))) {
            return Err(PyValueError::new_err("a result is a literal"));
        }
        outputs.into_iter().for_each(|v| program.output(ExprId::new(v)));
        program = program.with_gradients(&gradients);
        if !value && !gradients.is_empty() {
            program = program.without_value();
        }
        let text = program.to_string();
        vectorcall::object(py, Expr::new(py, program, text, label, &[]))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Builder>()?;
    m.add_function(wrap_pyfunction!(_register_op, m)?)?;
    m.add_function(wrap_pyfunction!(_op_table, m)?)
}
