//! Operations on `rusttorch.Tensor`: operators, functions of the op table, methods of the same names, in-place
//! forms, and `out=`.

use crate::borrow::{self, Borrowed, Number, Session};
use crate::dtype;
use crate::errors::runtime_to_py;
use crate::expr::{Expr, op_function};
use crate::tensor::{PyHost, PyTensor, exact, new, run};
use crate::torch;
use crate::vectorcall;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyTuple};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::Attr;
use rusttorch_ops::lazy::{Function, Operand, Tensor};
use rusttorch_runtime::Tensor as Memory;
use rusttorch_runtime::storage::Storage;
use smallvec::SmallVec;

/// The operand that an object is.
fn operand(value: &Bound<'_, PyAny>, name: &dyn Fn() -> String) -> PyResult<Operand> {
    if let Some(tensor) = exact(value) {
        return Ok(Operand::Tensor(tensor.clone()));
    }
    if value.is_exact_instance_of::<PyFloat>() {
        return Ok(number(Number::Float(value.extract()?)));
    }
    match Session::new(value.py()).operand(value, name)? {
        borrow::Operand::Number(n) => Ok(number(n)),
        borrow::Operand::Literal(attr) => Ok(Operand::Literal(attr)),
        borrow::Operand::Array(array) if array.scalar => Ok(number(array.number(value.py())?)),
        borrow::Operand::Array(array) => Ok(Operand::Tensor(foreign(value, array)?)),
    }
}

fn number(n: Number) -> Operand {
    let bits = match n {
        Number::Bool(b) => u64::from(b),
        Number::Int(i) => i as u64,
        Number::Float(f) => f.to_bits(),
    };
    Operand::Number(n.dtype().category(), bits)
}

/// A tensor over the memory of an array, which it keeps.
#[allow(unsafe_code)]
pub fn foreign(object: &Bound<'_, PyAny>, array: Borrowed) -> PyResult<Tensor> {
    let range = array.byte_range();
    let offset = array.data.addr() - range.start;
    let keep = (object.clone().unbind(), array.owner.as_ref().map(|o| o.clone_ref(object.py())));
    let release = Box::new(move || Python::attach(|_| drop(keep)));
    // SAFETY: the array was checked to have these bytes when it was borrowed, and `keep` keeps it.
    let storage =
        unsafe { Storage::from_foreign(array.data.wrapping_sub(offset), range.len(), array.readonly, release) };
    let memory = Memory::from_parts(storage, offset, array.shape(), &array.strides(), array.dtype);
    Ok(Tensor::borrowed(&memory.map_err(runtime_to_py)?))
}

/// The tensor that an object is or can be made: ours, an array, or a number.
pub fn as_tensor(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Tensor> {
    match operand(value, &|| name.to_owned())? {
        Operand::Tensor(tensor) => Ok(tensor),
        Operand::Number(..) => crate::tensor_make::from_number(value),
        Operand::Literal(_) => Err(PyTypeError::new_err(format!("{name} must be Tensor"))),
    }
}

/// What operators take; others may know what to do with the rest.
fn is_operand(value: &Bound<'_, PyAny>) -> bool {
    exact(value).is_some()
        || value.is_instance_of::<PyFloat>()
        || value.is_instance_of::<PyInt>()
        || value.is_instance_of::<PyBool>()
        || (value.hasattr("__array__").unwrap_or(false) && !is_torch(value) && !is_stand_in(value))
}

/// A tracer's stand-in for an array, whose own operators record what is done (`rusttorch/_trace.py`).
pub fn is_stand_in(value: &Bound<'_, PyAny>) -> bool {
    // Asking a tensor of ours would look for an op of that name.
    exact(value).is_none() && value.hasattr(pyo3::intern!(value.py(), "_tracer")).unwrap_or(false)
}

pub fn is_torch(value: &Bound<'_, PyAny>) -> bool {
    torch::loaded(value.py()).is_ok_and(|t| t.is_some_and(|t| t.is_tensor(value)))
}

/// An op of value operands, or what torch does when one is its own.
fn apply<'py>(op: &str, operands: &[&Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyAny>> {
    let py = operands[0].py();
    if operands.iter().any(|o| exact(o).is_none() && is_torch(o)) {
        let function = vectorcall::object(py, op_function(py, op)?)?;
        return function.call1(PyTuple::new(py, operands)?);
    }
    let operands: SmallVec<[Operand; 2]> =
        operands.iter().map(|o| operand(o, &|| format!("{op}(): argument"))).collect::<PyResult<_>>()?;
    new(py, run(|| Tensor::op(op, &operands, dtype::default(), &PyHost(py)))?)
}

pub fn binary<'py>(op: &str, a: &Bound<'py, PyAny>, b: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if !is_operand(a) && !is_torch(a) || !is_operand(b) && !is_torch(b) {
        return Ok(a.py().NotImplemented().into_bound(a.py()));
    }
    if op == "pow"
        && exact(b).is_none()
        && let Ok(exponent) = b.extract::<f64>()
        && crate::literal::is_structural_exponent(b)
    {
        let literal =
            if b.is_exact_instance_of::<PyInt>() { Attr::Int(exponent as i64) } else { Attr::Float(exponent) };
        let operands = [operand(a, &|| "pow(): argument".to_owned())?, Operand::Literal(literal)];
        return new(a.py(), run(|| Tensor::op(op, &operands, dtype::default(), &PyHost(a.py())))?);
    }
    apply(op, &[a, b])
}

pub fn unary<'py>(op: &str, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    apply(op, &[x])
}

pub fn compare<'py>(a: &Bound<'py, PyAny>, b: &Bound<'py, PyAny>, op: CompareOp) -> PyResult<Bound<'py, PyAny>> {
    let op = match op {
        CompareOp::Lt => "lt",
        CompareOp::Le => "le",
        CompareOp::Eq => "eq",
        CompareOp::Ne => "ne",
        CompareOp::Gt => "gt",
        CompareOp::Ge => "ge",
    };
    binary(op, a, b)
}

/// `a op= b`.
pub fn in_place(op: &str, a: &Bound<'_, PyTensor>, b: &Bound<'_, PyAny>) -> PyResult<()> {
    let value = binary(op, a.as_any(), b)?;
    let Some(value) = exact(&value) else {
        return Err(PyTypeError::new_err(format!("unsupported operand of {op} in place")));
    };
    store(&a.get().0, value, a.py())
}

/// Writes an operation's result to the operand or to `out`: its dtype may not be of a lower category, its
/// shape has to be the result's.
pub fn store(target: &Tensor, value: &Tensor, py: Python<'_>) -> PyResult<()> {
    let (from, to) = (value.layout().dtype(), target.layout().dtype());
    if from.category() > to.category() {
        return Err(PyRuntimeError::new_err(format!(
            "result type {} can't be cast to the desired output type {}",
            from.c_name(),
            to.c_name()
        )));
    }
    if value.layout().shape() != target.layout().shape() {
        return Err(PyRuntimeError::new_err(format!(
            "output with shape {:?} doesn't match the broadcast shape {:?}",
            target.layout().shape(),
            value.layout().shape()
        )));
    }
    run(|| target.assign(value, &PyHost(py)))
}

/// torch.matmul, which is computed at once.
pub fn product<'py>(a: &Bound<'py, PyAny>, b: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if [a, b].iter().any(|v| exact(v).is_none() && !v.hasattr("__array__").unwrap_or(false)) {
        return Ok(a.py().NotImplemented().into_bound(a.py()));
    }
    let py = a.py();
    if is_torch(a) || is_torch(b) {
        return py.import("rusttorch")?.call_method1("matmul", (a, b));
    }
    let host = PyHost(py);
    let [a, b] = [a, b].map(|v| as_tensor(v, "matmul(): argument").and_then(|t| run(|| t.memory(&host))));
    let (a, b) = (a?, b?);
    if !(is_multiplied(a.dtype()) && is_multiplied(b.dtype())) {
        let [a, b] = [a, b].map(|m| new(py, Tensor::from(m)));
        return py.import("rusttorch._products")?.call_method1("any_matmul", (a?, b?));
    }
    let threads = crate::control::threads(py)?.0;
    let result = py.detach(|| {
        let _cap = rusttorch_runtime::pool::limit_threads(threads);
        rusttorch_runtime::matmul::matmul(&a, &b)
    });
    new(py, Tensor::from(result.map_err(runtime_to_py)?))
}

/// True for the dtypes whose products the runtime computes.
pub fn is_multiplied(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

/// True for a tensor of ours.
pub fn is_ours(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyTensor>()
}

/// The call of an expression or an op, an operand being a tensor of ours; none when torch's tensors take part,
/// whose rules win.
pub fn call<'py>(
    expr: &Expr,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = args.py();
    let (values, out) = expr.bind_values(args, kwargs)?;
    if values.iter().flatten().any(is_torch) {
        return Ok(None);
    }
    let mut operands = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        operands.push(match value {
            None => Operand::Literal(expr.default_of(i, py, args.len())?),
            Some(value) if expr.is_literal(i, value) => Operand::Literal(crate::literal::attr(value)?),
            Some(value) => operand(value, &|| expr.argument_name(py, i))?,
        });
    }
    if let Some(view) = expr.op_name().and_then(|name| view(name, &operands, py).transpose()) {
        return new(py, view?).map(Some);
    }
    let function = Function(expr.callable.program.clone());
    let host = PyHost(py);
    let results = run(|| {
        if function.0.outputs().len() == 1 && function.0.gradients().is_empty() {
            let result = Tensor::call(&function, &operands, dtype::default(), &host)?;
            if !expr.is_lazy() {
                rusttorch_ops::lazy::eval(std::slice::from_ref(&result), &host)?;
            }
            return Ok(vec![result]);
        }
        Tensor::call_now(&function, &operands, dtype::default(), &host)
    })?;
    if let Some(out) = out {
        let outs: Vec<Bound<'py, PyAny>> = match out.cast::<PyTuple>() {
            Ok(tuple) => tuple.iter().collect(),
            Err(_) => vec![out.clone()],
        };
        if outs.len() != results.len() {
            let text = format!("out has {} arrays, but there are {} results", outs.len(), results.len());
            return Err(PyRuntimeError::new_err(text));
        }
        for (out, value) in outs.iter().zip(&results) {
            let Some(target) = exact(out) else {
                return Err(PyTypeError::new_err("out must be a rusttorch.Tensor when an operand is one"));
            };
            store(target, value, py)?;
        }
        return Ok(Some(out));
    }
    let mut results: Vec<_> = results.into_iter().map(|t| new(py, t)).collect::<PyResult<_>>()?;
    Ok(Some(if results.len() == 1 { results.remove(0) } else { PyTuple::new(py, results)?.into_any() }))
}

/// The functions whose result is a view of their tensor.
fn view(name: &str, operands: &[Operand], py: Python<'_>) -> PyResult<Option<Tensor>> {
    let (Some(Operand::Tensor(x)), host) = (operands.first(), PyHost(py)) else { return Ok(None) };
    let int = |i: usize| match operands.get(i) {
        Some(Operand::Literal(Attr::Int(n))) => Some(*n),
        _ => None,
    };
    let list = |i: usize| match operands.get(i) {
        Some(Operand::Literal(Attr::Int(n))) => Some(vec![*n]),
        Some(Operand::Literal(Attr::List(items))) => {
            items.iter().map(|a| if let Attr::Int(n) = a { Some(*n) } else { None }).collect()
        }
        _ => None,
    };
    // Arguments that are none of these are refused by the op.
    let result = match name {
        "detach" => Some(Ok(x.clone())),
        "permute" => list(1).map(|dims| x.permute(&dims)),
        "transpose" => int(1).zip(int(2)).map(|(a, b)| x.transpose(a, b)),
        "unsqueeze" => int(1).map(|dim| x.unsqueeze(dim)),
        "squeeze" if matches!(operands[1], Operand::Literal(Attr::None)) => Some(x.squeeze(None)),
        "squeeze" => list(1).map(|dims| x.squeeze_dims(&dims)),
        "reshape" => list(1).map(|shape| x.reshape(&shape, &host)),
        "flatten" => int(1).zip(int(2)).map(|(a, b)| x.flatten(a, b, &host)),
        "broadcast_to" => list(1).map(|shape| x.expand(&shape)),
        "t" if x.layout().rank() < 2 => Some(Ok(x.clone())),
        "t" if x.layout().rank() == 2 => Some(x.transpose(0, 1)),
        "narrow" => int(1).zip(int(2)).zip(int(3)).map(|((dim, start), length)| x.narrow(dim, start, length)),
        "select" => int(1).zip(int(2)).map(|(dim, index)| x.select(dim, index)),
        "ravel" => Some(x.reshape(&[-1], &host)).filter(|_| x.layout().numel() > 0),
        "positive" if x.layout().dtype() != DType::Bool => Some(Ok(x.clone())),
        _ => None,
    };
    result.map(|r| run(|| r)).transpose()
}

/// An op bound to a tensor: `x.relu`, `x.relu_`.
#[pyclass(frozen, module = "rusttorch", name = "_Method")]
struct Method {
    tensor: Py<PyTensor>,
    function: Py<PyAny>,
    in_place: bool,
}

#[pymethods]
impl Method {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let tensor = self.tensor.bind(py);
        let all: Vec<Bound<'py, PyAny>> = std::iter::once(tensor.clone().into_any()).chain(args.iter()).collect();
        let result = self.function.bind(py).call(PyTuple::new(py, all)?, kwargs)?;
        if !self.in_place {
            return Ok(result);
        }
        let Some(value) = exact(&result) else {
            return Err(PyTypeError::new_err("an in-place operation needs operands of rusttorch, NumPy or Python"));
        };
        store(&tensor.get().0, value, py)?;
        Ok(tensor.clone().into_any())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<bound method of {}>", self.function.bind(py).repr()?))
    }
}

/// The method of an op of this name, or of this name and a `_`.
pub fn method<'py>(tensor: &Bound<'py, PyTensor>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = tensor.py();
    if name.starts_with('_') {
        return Ok(None);
    }
    static FIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let find =
        FIND.get_or_try_init(py, || Ok::<_, PyErr>(py.import("rusttorch._names")?.getattr("method")?.unbind()))?;
    let find = find.bind(py);
    let mut in_place = false;
    let mut function = find.call1((name,))?;
    if function.is_none()
        && let Some(base) = name.strip_suffix('_')
    {
        in_place = true;
        function = find.call1((base, in_place))?;
    }
    if function.is_none() {
        return Ok(None);
    }
    let method = Method { tensor: tensor.clone().unbind(), function: function.unbind(), in_place };
    Ok(Some(Bound::new(py, method)?.into_any()))
}

/// Why there is no such attribute.
pub fn missing(py: Python<'_>, name: &str) -> PyResult<String> {
    let text = format!("'Tensor' object has no attribute '{name}'");
    let there = match torch::loaded(py)? {
        Some(_) if !name.starts_with('_') => py.import("torch")?.getattr("Tensor")?.hasattr(name)?,
        _ => false,
    };
    Ok(if there { format!("{text}: torch.Tensor has it, rusttorch does not") } else { text })
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Method>()
}
