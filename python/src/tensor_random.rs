//! Random tensors and the generators they come from.

use crate::borrow::{self, Session};
use crate::tensor::{PyHost, PyTensor, exact, integers, new, run};
use crate::tensor_call::as_tensor;
use crate::tensor_make::{check, like};
use crate::{dtype, torch};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rusttorch_ir::dtype::{Category, DType};
use rusttorch_ops::lazy::random::{Distribution, counters, draw, laid_out};
use rusttorch_ops::lazy::{Operand, Tensor};
use rusttorch_runtime::View;
use rusttorch_runtime::random::Philox;
use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

static DEFAULT: LazyLock<Mutex<Philox>> = LazyLock::new(|| Mutex::new(Philox::new(fresh_seed())));

/// From the system's entropy.
fn fresh_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// A sequence of random numbers: Philox4x32-10 of a seed, and a place in it.
#[pyclass(frozen, module = "rusttorch")]
pub struct Generator(Mutex<Philox>);

fn seed_of(seed: &Bound<'_, PyAny>) -> PyResult<u64> {
    let seed = seed.call_method0("__index__")?;
    if let Ok(seed) = seed.extract::<i64>() {
        return Ok(seed as u64);
    }
    seed.extract::<u64>().map_err(|_| PyRuntimeError::new_err("Overflow when unpacking long long"))
}

impl Generator {
    fn state(&self) -> std::sync::MutexGuard<'_, Philox> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Generator {
    #[new]
    #[pyo3(signature = (device=None))]
    fn new(device: Option<&Bound<'_, PyAny>>) -> PyResult<Generator> {
        check(device, false)?;
        // The seed of a new generator of torch.
        Ok(Generator(Mutex::new(Philox::new(67_280_421_310_721))))
    }

    /// Starts the sequence of a seed.
    fn manual_seed<'py>(slf: &Bound<'py, Self>, seed: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        *slf.get().state() = Philox::new(seed_of(seed)?);
        Ok(slf.clone())
    }

    /// Starts the sequence of a seed that nobody chose, and returns it.
    fn seed(&self) -> u64 {
        let seed = fresh_seed();
        *self.state() = Philox::new(seed);
        seed
    }

    /// The seed.
    fn initial_seed(&self) -> u64 {
        self.state().seed()
    }

    /// (seed, place).
    fn get_state(&self) -> (u64, u64) {
        let state = self.state();
        (state.seed(), state.offset())
    }

    /// Goes to a place of a sequence.
    fn set_state(&self, new_state: (u64, u64)) {
        *self.state() = Philox::at(new_state.0, new_state.1);
    }

    fn __getstate__(&self) -> (u64, u64) {
        self.get_state()
    }

    fn __setstate__(&self, state: (u64, u64)) {
        self.set_state(state);
    }
}

/// Starts the default generator's sequence of a seed.
#[pyfunction]
fn manual_seed(seed: &Bound<'_, PyAny>) -> PyResult<()> {
    *DEFAULT.lock().unwrap_or_else(PoisonError::into_inner) = Philox::new(seed_of(seed)?);
    Ok(())
}

/// The seed of the default generator.
#[pyfunction]
fn initial_seed() -> u64 {
    DEFAULT.lock().unwrap_or_else(PoisonError::into_inner).seed()
}

/// (seed, place) of the default generator.
#[pyfunction]
fn get_rng_state() -> (u64, u64) {
    let state = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
    (state.seed(), state.offset())
}

/// Takes the default generator to a place of a sequence.
#[pyfunction]
fn set_rng_state(new_state: (u64, u64)) {
    *DEFAULT.lock().unwrap_or_else(PoisonError::into_inner) = Philox::at(new_state.0, new_state.1);
}

/// Takes a draw's place in a sequence.
fn place(generator: Option<&Bound<'_, Generator>>, counters: u64) -> Philox {
    let mut state = match generator {
        Some(g) => g.get().state(),
        None => DEFAULT.lock().unwrap_or_else(PoisonError::into_inner),
    };
    let seed = state.seed();
    Philox::at(seed, state.reserve(counters))
}

fn drawn(
    py: Python<'_>,
    shape: &[i64],
    dtype: DType,
    distribution: Distribution,
    generator: Option<&Bound<'_, Generator>>,
) -> PyResult<Tensor> {
    let numel = run(|| Ok(View::contiguous(shape, dtype)?.numel()))?;
    let place = place(generator, counters(numel, dtype, distribution));
    run(|| draw(shape, dtype, distribution, place, &PyHost(py)))
}

fn of_dtype(dtype: Option<&Bound<'_, PyAny>>) -> PyResult<DType> {
    dtype.map_or(Ok(dtype::default()), dtype::extract)
}

macro_rules! draws {
    ($($name:ident $like:ident $distribution:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[pyfunction]
        #[pyo3(signature = (*size, generator=None, dtype=None, device=None, requires_grad=false))]
        fn $name<'py>(
            size: &Bound<'py, PyTuple>,
            generator: Option<&Bound<'py, Generator>>,
            dtype: Option<&Bound<'py, PyAny>>,
            device: Option<&Bound<'py, PyAny>>,
            requires_grad: bool,
        ) -> PyResult<Bound<'py, PyAny>> {
            check(device, requires_grad)?;
            let (py, shape) = (size.py(), integers(size)?);
            new(py, drawn(py, &shape, of_dtype(dtype)?, $distribution, generator)?)
        }

        #[doc = $doc]
        #[pyfunction]
        #[pyo3(signature = (input, *, generator=None, dtype=None, device=None, requires_grad=false))]
        fn $like<'py>(
            input: &Bound<'py, PyAny>,
            generator: Option<&Bound<'py, Generator>>,
            dtype: Option<&Bound<'py, PyAny>>,
            device: Option<&Bound<'py, PyAny>>,
            requires_grad: bool,
        ) -> PyResult<Bound<'py, PyAny>> {
            check(device, requires_grad)?;
            let (py, view) = (input.py(), like(input, dtype)?);
            let values = drawn(py, view.shape(), view.dtype(), $distribution, generator)?;
            in_kind(input, new(py, run(|| laid_out(&values, &view, &PyHost(py)))?)?)
        }
    )*};
}

draws! {
    rand rand_like Distribution::Uniform, "Random numbers, uniform in [0, 1).";
    randn randn_like Distribution::Normal, "Random numbers, normal with mean 0 and variance 1.";
}

/// Random integers in low..high.
#[pyfunction]
#[pyo3(signature = (*args, low=None, high=None, size=None, generator=None, dtype=None, device=None, requires_grad=false))]
fn randint<'py>(
    args: &Bound<'py, PyTuple>,
    low: Option<i64>,
    high: Option<i64>,
    size: Option<Vec<i64>>,
    generator: Option<&Bound<'py, Generator>>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
) -> PyResult<Bound<'py, PyAny>> {
    check(device, requires_grad)?;
    let mut items: Vec<Bound<'py, PyAny>> = args.iter().collect();
    let size = match size {
        Some(size) => size,
        None => {
            items.pop().ok_or_else(|| PyTypeError::new_err("randint() missing required argument: 'size'"))?.extract()?
        }
    };
    let numbers: Vec<i64> = items.iter().map(|i| i.extract()).collect::<PyResult<_>>()?;
    let (low, high) = match (&numbers[..], low, high) {
        ([high], low, None) => (low.unwrap_or(0), *high),
        ([low, high], None, None) => (*low, *high),
        ([low], None, Some(high)) => (*low, high),
        ([], low, Some(high)) => (low.unwrap_or(0), high),
        _ => return Err(PyTypeError::new_err("randint() takes (high, size) or (low, high, size)")),
    };
    let dtype = dtype.map_or(Ok(DType::I64), dtype::extract)?;
    let py = args.py();
    new(py, drawn(py, &size, dtype, Distribution::Integers { low, high }, generator)?)
}

/// Ones and zeros; each is one with the probability that the input says.
#[pyfunction]
#[pyo3(signature = (input, *, generator=None))]
fn bernoulli<'py>(input: &Bound<'py, PyAny>, generator: Option<&Bound<'py, Generator>>) -> PyResult<Bound<'py, PyAny>> {
    let py = input.py();
    let host = PyHost(py);
    let p = as_tensor(input, "bernoulli(): argument 'input' (position 1)")?;
    let dtype = p.layout().dtype();
    if !dtype.is_float() {
        let text = format!("\"bernoulli_tensor_cpu_p_\" not implemented for '{}'", dtype.c_name());
        return Err(pyo3::exceptions::PyNotImplementedError::new_err(text));
    }
    let op = |name: &str, operands: &[Operand]| Tensor::op(name, operands, dtype::default(), &host);
    let (zero, one) = (Operand::Number(Category::Int, 0), Operand::Number(Category::Int, 1));
    let inside = run(|| {
        let (low, high) =
            (op("ge", &[Operand::Tensor(p.clone()), zero])?, op("le", &[Operand::Tensor(p.clone()), one])?);
        op("all", &[Operand::Tensor(op("logical_and", &[Operand::Tensor(low), Operand::Tensor(high)])?)])
    })?;
    if !new(py, inside)?.is_truthy()? {
        return Err(PyRuntimeError::new_err("Expected p_in >= 0 && p_in <= 1 to be true, but got false."));
    }
    let u = drawn(py, p.layout().shape(), dtype, Distribution::Uniform, generator)?;
    let result = run(|| op("lt", &[Operand::Tensor(u), Operand::Tensor(p.clone())])?.to_dtype(dtype, &host))?;
    in_kind(input, new(py, result)?)
}

/// Zeros elements with probability p while training, and scales the others by 1 / (1 - p).
#[pyfunction]
#[pyo3(signature = (input, p=0.5, training=true, inplace=false, *, generator=None))]
fn dropout<'py>(
    input: &Bound<'py, PyAny>,
    p: f64,
    training: bool,
    inplace: bool,
    generator: Option<&Bound<'py, Generator>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = input.py();
    let host = PyHost(py);
    if !(0.0..=1.0).contains(&p) {
        let text = format!("dropout probability has to be between 0 and 1, but got {p:?}");
        return Err(PyValueError::new_err(text));
    }
    if !training || p == 0.0 {
        return Ok(input.clone());
    }
    let (shape, dtype) = described(input, "dropout(): argument 'input' (position 1)")?;
    let op = |name: &str, operands: &[Operand]| Tensor::op(name, operands, dtype::default(), &host);
    let u = drawn(py, &shape, DType::F32, Distribution::Uniform, generator)?;
    let noise = run(|| {
        let number = |v: f64| Operand::Number(Category::Float, v.to_bits());
        let kept = op("lt", &[Operand::Tensor(u), number(1.0 - p)])?.to_dtype(dtype, &host)?;
        let scale = if p == 1.0 { 1.0 } else { 1.0 / (1.0 - p) };
        op("mul", &[Operand::Tensor(kept), number(scale)])
    })?;
    // The product is the operand's library's, and its autograd's.
    let noise = in_kind(input, new(py, noise)?)?;
    let product = crate::expr::op_function(py, "mul")?.into_pyobject(py)?;
    let kwargs = PyDict::new(py);
    if inplace {
        kwargs.set_item("out", input)?;
    }
    product.call((input, noise), Some(&kwargs))
}

/// Shape and dtype of an operand whose values are not read, so that it may require grad.
fn described(input: &Bound<'_, PyAny>, name: &str) -> PyResult<(Vec<i64>, DType)> {
    if let Some(tensor) = exact(input) {
        return Ok((tensor.layout().shape().to_vec(), tensor.layout().dtype()));
    }
    match Session::recording(input.py()).operand(input, &|| name.to_owned())? {
        borrow::Operand::Array(array) => Ok((array.shape().to_vec(), array.dtype)),
        _ => {
            let tensor = as_tensor(input, name)?;
            Ok((tensor.layout().shape().to_vec(), tensor.layout().dtype()))
        }
    }
}

/// A new tensor of ours as an array of the library of `like`.
pub fn in_kind<'py>(like: &Bound<'py, PyAny>, result: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = like.py();
    if exact(like).is_some() {
        return Ok(result);
    }
    if let Some(torch) = torch::loaded(py)?
        && torch.is_tensor(like)
    {
        return torch.module(py).call_method1("from_dlpack", (result,));
    }
    if like.hasattr("__array__")? { result.call_method0("numpy") } else { Ok(result) }
}

/// `Tensor.uniform_` and `Tensor.normal_`: `a + (b - a) * u`, `mean + std * z`.
pub fn overwrite(
    tensor: &Bound<'_, PyTensor>,
    distribution: Distribution,
    shift: f64,
    scale: f64,
    generator: Option<&Bound<'_, Generator>>,
) -> PyResult<()> {
    let py = tensor.py();
    let host = PyHost(py);
    let x = &tensor.get().0;
    let drawn = drawn(py, x.layout().shape(), x.layout().dtype(), distribution, generator)?;
    let op = |name: &str, operands: &[Operand]| Tensor::op(name, operands, dtype::default(), &host);
    let number = |v: f64| Operand::Number(Category::Float, v.to_bits());
    run(|| {
        let scaled = op("mul", &[Operand::Tensor(drawn), number(scale)])?;
        x.assign(&op("add", &[Operand::Tensor(scaled), number(shift)])?, &host)
    })
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Generator>()?;
    m.add_function(wrap_pyfunction!(manual_seed, m)?)?;
    m.add_function(wrap_pyfunction!(initial_seed, m)?)?;
    m.add_function(wrap_pyfunction!(get_rng_state, m)?)?;
    m.add_function(wrap_pyfunction!(set_rng_state, m)?)?;
    m.add_function(wrap_pyfunction!(rand, m)?)?;
    m.add_function(wrap_pyfunction!(rand_like, m)?)?;
    m.add_function(wrap_pyfunction!(randn, m)?)?;
    m.add_function(wrap_pyfunction!(randn_like, m)?)?;
    m.add_function(wrap_pyfunction!(randint, m)?)?;
    m.add_function(wrap_pyfunction!(bernoulli, m)?)?;
    m.add_function(wrap_pyfunction!(dropout, m)?)
}
