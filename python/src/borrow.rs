//! From a Python object to memory that a kernel may read: a torch tensor, a NumPy array, or a number.
//!
//! A [`Borrowed`] points into its object: the memory, and the extents and strides themselves. It is used
//! while the caller's arguments are alive and before control goes back to Python; nothing keeps it. What
//! a launch needs longer, with the GIL released, is the memory alone, which the arguments keep.
//!
//! A conversion may call the user's code (`__array__`, a property of a subclass), which may resize or reshape
//! arrays that were borrowed before it. So once all operands are there, [`Session::settle`] borrows them again
//! if any such code has run, and none runs between that and the launch.

use crate::numpy::{self, ArrayHead};
use crate::{tensor, torch};
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyTuple};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::Attr;
use rusttorch_ops::lazy;
use rusttorch_runtime::Tensor as Memory;
use std::slice;

/// Operands of more dimensions are refused.
pub const MAX_RANK: usize = 32;

/// Whose array it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Torch,
    Numpy,
}

/// An array operand; see the module for how long its pointers hold.
pub struct Borrowed {
    /// The first element, by index (not the lowest address when strides are negative).
    pub data: *mut u8,
    pub dtype: DType,
    pub rank: usize,
    pub(crate) shape: *const i64,
    pub(crate) strides: *const i64,
    /// Strides count bytes (NumPy) instead of elements (torch).
    pub in_bytes: bool,
    pub readonly: bool,
    /// Autograd is to know of what is done with it.
    pub requires_grad: bool,
    pub kind: Kind,
    /// It is made of one of NumPy's scalars.
    pub scalar: bool,
    /// What was borrowed: the caller's object, or one that `owner` is or holds.
    pub(crate) object: *mut ffi::PyObject,
    /// Holds what the pointers point into, when that is not the caller's object.
    pub owner: Option<Py<PyAny>>,
}

/// A Python number: a run-time slot of a kernel.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    Bool(bool),
    Int(i64),
    Float(f64),
}

impl Number {
    /// `bool`, `i64` or `f64`.
    pub fn dtype(self) -> DType {
        match self {
            Number::Bool(_) => DType::Bool,
            Number::Int(_) => DType::I64,
            Number::Float(_) => DType::F64,
        }
    }
}

/// An operand of a call.
pub enum Operand {
    Array(Borrowed),
    Number(Number),
    /// A value that is fixed when a call is planned: a dim, a shape, a mode.
    Literal(Attr),
}

impl Borrowed {
    /// The number that torch takes a scalar of NumPy's for: its integers are ints, all else, bool too, is a float.
    #[cold]
    pub fn number(&self, py: Python<'_>) -> PyResult<Number> {
        // SAFETY: kept by `owner`.
        let value = unsafe { Bound::from_borrowed_ptr(py, self.object) }.call_method0("item")?;
        let is_int = value.is_exact_instance_of::<PyInt>();
        Ok(if is_int { Number::Int(value.extract()?) } else { Number::Float(value.extract::<f64>()?) })
    }

    pub fn shape(&self) -> &[i64] {
        // SAFETY: `rank` entries, alive as long as the operand.
        unsafe { extents(self.shape, self.rank) }
    }

    /// In bytes or elements, see `in_bytes`.
    pub fn raw_strides(&self) -> &[i64] {
        // SAFETY: as in `shape`.
        unsafe { extents(self.strides, self.rank) }
    }

    /// In elements.
    pub fn strides(&self) -> Vec<i64> {
        let unit = if self.in_bytes { self.dtype.size() as i64 } else { 1 };
        self.raw_strides().iter().map(|s| s / unit).collect()
    }

    pub fn numel(&self) -> i64 {
        self.shape().iter().product()
    }

    /// The bytes between the lowest and the end of the highest element; empty without elements.
    pub fn byte_range(&self) -> std::ops::Range<usize> {
        let start = self.data.addr();
        if self.numel() == 0 {
            return start..start;
        }
        let unit = if self.in_bytes { 1 } else { self.dtype.size() as i64 };
        let (mut low, mut high) = (0i64, 0i64);
        for (&n, &s) in self.shape().iter().zip(self.raw_strides()) {
            let reach = (n - 1) * s * unit;
            if reach < 0 { low += reach } else { high += reach }
        }
        start.wrapping_add_signed(low as isize)..start.wrapping_add_signed(high as isize) + self.dtype.size()
    }

    /// An array whose extents are kept by a Python object of ours. The memory is `source`'s.
    pub(crate) fn with_copied_extents(
        source: &Bound<'_, PyAny>,
        dtype: DType,
        shape: &[i64],
        strides: &[i64],
    ) -> PyResult<Borrowed> {
        let extents: Box<[i64]> = shape.iter().chain(strides).copied().collect();
        let keeper = Extents { extents, _source: source.clone().unbind(), _memory: None };
        Borrowed::kept_by(source.py(), keeper, dtype, shape.len())
    }

    fn kept_by(py: Python<'_>, keeper: Extents, dtype: DType, rank: usize) -> PyResult<Borrowed> {
        let keeper = Bound::new(py, keeper)?;
        let start = keeper.get().extents.as_ptr();
        Ok(Borrowed {
            data: std::ptr::null_mut(),
            dtype,
            rank,
            shape: start,
            strides: start.wrapping_add(rank),
            in_bytes: false,
            readonly: false,
            requires_grad: false,
            kind: Kind::Torch,
            scalar: false,
            object: keeper.get()._source.as_ptr(),
            owner: Some(keeper.into_any().unbind()),
        })
    }
}

/// # Safety
/// `start` has `rank` entries unless `rank` is 0.
unsafe fn extents<'a>(start: *const i64, rank: usize) -> &'a [i64] {
    if rank == 0 {
        return &[];
    }
    // SAFETY: by contract.
    unsafe { slice::from_raw_parts(start, rank) }
}

/// Keeps extents that no array has in the form we need.
#[pyclass(frozen)]
struct Extents {
    extents: Box<[i64]>,
    _source: Py<PyAny>,
    /// Memory that is not the source's for as long as it lives.
    _memory: Option<Memory>,
}

/// A tensor of ours among arrays of another library: its value now, which nobody writes meanwhile.
fn ours(object: &Bound<'_, PyAny>, tensor: &lazy::Tensor) -> PyResult<Borrowed> {
    let py = object.py();
    let memory = tensor::run(|| tensor.memory(&tensor::PyHost(py)))?;
    if memory.rank() > MAX_RANK {
        return Err(torch_too_many_dims(memory.rank()));
    }
    let extents = memory.shape().iter().chain(memory.strides()).copied().collect();
    let (data, dtype, rank) = (memory.data_ptr(), memory.dtype(), memory.rank());
    let keeper = Extents { extents, _source: object.clone().unbind(), _memory: Some(memory) };
    let borrowed = Borrowed::kept_by(py, keeper, dtype, rank)?;
    Ok(Borrowed { data, readonly: true, kind: Kind::Numpy, ..borrowed })
}

/// What a call looks up once for all its operands.
#[derive(Default)]
pub struct Session {
    torch: Option<&'static torch::Torch>,
    modes_checked: bool,
    grad_enabled: bool,
    /// There is a scalar of NumPy's among the operands.
    scalars: bool,
    /// Code of the user's may have run since the first operand was borrowed.
    python_ran: bool,
    /// The caller asks [`Session::requires_grad`]; else such operands are refused.
    recording: bool,
    requires_grad: bool,
    /// What the first tensor is that torch alone can compute with.
    special: Option<String>,
}

impl Session {
    /// The operand that `object` is; `name` names it in errors.
    #[inline]
    pub fn operand(&mut self, object: &Bound<'_, PyAny>, name: &dyn Fn() -> String) -> PyResult<Operand> {
        let py = object.py();
        if let Some(torch) = self.torch
            && torch.is_plain(object)
        {
            return self.tensor(torch, object).map(Operand::Array);
        }
        if let Some(numpy) = numpy::api_if_seen(py) {
            // SAFETY: any object has a type.
            if unsafe { ffi::Py_TYPE(object.as_ptr()) } == numpy.array {
                return ndarray(object).map(Operand::Array);
            }
        }
        if object.is_exact_instance_of::<PyFloat>() {
            return Ok(Operand::Number(Number::Float(object.extract()?)));
        }
        self.other(object, name)
    }

    /// Whatever is not the commonest.
    #[cold]
    fn other(&mut self, object: &Bound<'_, PyAny>, name: &dyn Fn() -> String) -> PyResult<Operand> {
        let py = object.py();
        if let Some(tensor) = tensor::exact(object) {
            return ours(object, tensor).map(Operand::Array);
        }
        if let Ok(b) = object.cast_exact::<PyBool>() {
            return Ok(Operand::Number(Number::Bool(b.is_true())));
        }
        if object.is_exact_instance_of::<PyInt>() {
            let value = object
                .extract::<i64>()
                .map_err(|_| PyOverflowError::new_err(format!("{}: the integer does not fit into 64 bits", name())))?;
            return Ok(Operand::Number(Number::Int(value)));
        }
        if let Some(numpy) = numpy::api_if_seen(py)
            && numpy.is_scalar(object)
        {
            self.scalars = true;
            return Ok(Operand::Array(Borrowed { scalar: true, ..made(numpy.scalar_array(object)?)? }));
        }
        self.python_ran = true;
        if self.torch.is_none() {
            self.torch = torch::loaded(py)?;
        }
        if let Some(torch) = self.torch {
            if torch.is_plain(object) {
                return self.tensor(torch, object).map(Operand::Array);
            }
            if torch.is_tensor(object) {
                return Err(self.refused(torch::subclass(object)));
            }
        }
        // A list is no tensor for torch; arrays are made of it explicitly.
        if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
            return Err(not_a_tensor(object, name));
        }
        let Some(numpy) = numpy::api_if_loaded(py)? else { return Err(not_a_tensor(object, name)) };
        // SAFETY: both are types.
        let (is_array, is_scalar) = unsafe {
            let p = object.as_ptr();
            (ffi::PyObject_TypeCheck(p, numpy.array) != 0, ffi::PyObject_TypeCheck(p, numpy.generic) != 0)
        };
        if is_array {
            // SAFETY: any object has a type.
            if unsafe { ffi::Py_TYPE(object.as_ptr()) } == numpy.array {
                return ndarray(object).map(Operand::Array);
            }
            return array_subclass(object).map(Operand::Array);
        }
        if is_scalar || object.hasattr("__array__")? {
            self.scalars |= is_scalar;
            let array = py.import("numpy")?.call_method1("asarray", (object,))?;
            return Ok(Operand::Array(Borrowed { scalar: is_scalar, ..made(array)? }));
        }
        if object.is_instance_of::<PyFloat>() || object.is_instance_of::<PyInt>() {
            return Ok(Operand::Number(Number::Float(object.extract()?)));
        }
        Err(not_a_tensor(object, name))
    }

    #[inline]
    fn tensor(&mut self, torch: &'static torch::Torch, object: &Bound<'_, PyAny>) -> PyResult<Borrowed> {
        if !self.modes_checked {
            torch.check_modes(object.py()).map_err(|r| self.refused(r))?;
            self.grad_enabled = torch.grad_enabled(object.py())?;
            self.modes_checked = true;
        }
        let borrowed = torch.borrow(object, self.grad_enabled).map_err(|r| self.refused(r))?;
        if borrowed.requires_grad {
            if !self.recording {
                return Err(torch::grad_error());
            }
            self.requires_grad = true;
        }
        Ok(borrowed)
    }

    #[cold]
    fn refused(&mut self, why: torch::Refused) -> PyErr {
        match why {
            torch::Refused::Error(error) => error,
            torch::Refused::Special(what, error) => {
                self.special.get_or_insert(what);
                error
            }
        }
    }

    /// After an error: what an operand is that torch can compute with and we cannot.
    pub fn special(&mut self) -> Option<String> {
        self.special.take()
    }

    /// A session, with torch if it has been seen.
    #[inline]
    pub fn new(py: Python<'_>) -> Session {
        Session { torch: torch::seen(py), ..Session::default() }
    }

    /// A session that lets operands require grad: the caller asks [`Session::requires_grad`] and sees to it that
    /// no result is detached.
    #[inline]
    pub fn recording(py: Python<'_>) -> Session {
        Session { torch: torch::seen(py), recording: true, ..Session::default() }
    }

    /// Whether grad mode is on and an operand so far requires grad.
    #[inline]
    pub fn requires_grad(&self) -> bool {
        self.requires_grad
    }

    /// To be told that code of the user's may have run.
    pub fn python_ran(&mut self) {
        self.python_ran = true;
    }

    /// Borrows the arrays again if code of the user's may have changed them meanwhile; beside tensors of torch's, NumPy's
    /// scalars become numbers.
    #[inline]
    pub fn settle(&mut self, py: Python<'_>, operands: &mut [Operand]) -> PyResult<()> {
        if self.scalars {
            scalars_to_numbers(py, operands)?;
        }
        if !self.python_ran {
            return Ok(());
        }
        for operand in operands {
            if let Operand::Array(b) = operand {
                self.borrow_again(py, b)?;
            }
        }
        self.python_ran = false;
        Ok(())
    }

    #[cold]
    fn borrow_again(&mut self, py: Python<'_>, b: &mut Borrowed) -> PyResult<()> {
        // SAFETY: the caller's argument, or kept by `owner`.
        let object = unsafe { Bound::from_borrowed_ptr(py, b.object) };
        // Of a tensor of ours the keeper holds the memory, whatever becomes of the tensor; the object is no array.
        if tensor::exact(&object).is_some() {
            return Ok(());
        }
        let mut again = match (b.kind, self.torch) {
            (Kind::Torch, Some(torch)) if torch.is_plain(&object) => self.tensor(torch, &object)?,
            (Kind::Torch, _) => return Err(self.refused(torch::subclass(&object))),
            (Kind::Numpy, _) => ndarray(&object)?,
        };
        // A copy that was made for this call is still the one that is read.
        again.readonly |= b.readonly;
        again.owner = again.owner.or_else(|| b.owner.take());
        *b = again;
        Ok(())
    }

    /// Refuses an array for a result that autograd would have to follow. May run code of the user's.
    pub fn check_result(&mut self, out: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = out.py();
        // SAFETY: any object has a type.
        if numpy::api_if_seen(py).is_some_and(|n| n.array == unsafe { ffi::Py_TYPE(out.as_ptr()) }) {
            return Ok(());
        }
        if let Some(torch) = torch::loaded(py)? {
            self.python_ran |= !torch.is_plain(out);
            if torch.is_tensor(out) && torch.requires_grad(out)? && torch.grad_enabled(py)? {
                return Err(PyRuntimeError::new_err(
                    "functions with out=... arguments don't support automatic differentiation, but one of the \
                     arguments requires grad.",
                ));
            }
        }
        Ok(())
    }

    /// An array that the caller wants a result in, after [`Session::check_result`]. Of the user's code only that of
    /// what is no array runs, which is then refused.
    pub fn result(&mut self, out: &Bound<'_, PyAny>) -> PyResult<Borrowed> {
        match self.operand(out, &|| "out".to_owned())? {
            // An unaligned array was copied: what is written there would be lost.
            Operand::Array(b) if b.owner.is_none() => Ok(b),
            Operand::Array(_) => Err(PyTypeError::new_err("out must be an aligned array in native byte order")),
            Operand::Number(_) | Operand::Literal(_) => Err(PyTypeError::new_err("out must be an array")),
        }
    }

    /// torch, when a tensor took part.
    pub fn torch(&self) -> Option<&'static torch::Torch> {
        self.torch
    }
}

/// True for plain tensors and arrays of a library that a call has seen.
#[inline]
pub fn is_exact_array(object: &Bound<'_, PyAny>) -> bool {
    let py = object.py();
    // SAFETY: any object has a type.
    let class = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    torch::seen(py).is_some_and(|t| t.is_plain(object)) || numpy::api_if_seen(py).is_some_and(|n| n.array == class)
}

/// The operand's error of torch for what is no tensor.
fn not_a_tensor(object: &Bound<'_, PyAny>, name: &dyn Fn() -> String) -> PyErr {
    let class = object.get_type().name().map_or_else(|_| "object".to_owned(), |n| n.to_string());
    PyTypeError::new_err(format!("{} must be Tensor, not {class}", name()))
}

pub(crate) fn torch_too_many_dims(rank: usize) -> PyErr {
    PyRuntimeError::new_err(format!("tensors of {rank} dimensions are not supported: at most {MAX_RANK}"))
}

/// An exact `numpy.ndarray`.
#[inline]
fn ndarray(object: &Bound<'_, PyAny>) -> PyResult<Borrowed> {
    // SAFETY: the caller has checked the type; the fields are those of the array, which stays alive.
    let (head, descr) = unsafe {
        let head = &*object.as_ptr().cast::<ArrayHead>();
        (head, &*head.descr)
    };
    let Some(dtype) = descr.dtype().filter(|_| !descr.is_byte_swapped()) else {
        return Err(unsupported_dtype(object));
    };
    let borrowed = Borrowed {
        data: head.data,
        dtype,
        rank: head.nd as usize,
        shape: head.dimensions.cast(),
        strides: head.strides.cast(),
        in_bytes: true,
        readonly: !head.is_writeable(),
        requires_grad: false,
        kind: Kind::Numpy,
        scalar: false,
        object: object.as_ptr(),
        owner: None,
    };
    if borrowed.rank > MAX_RANK {
        return Err(torch_too_many_dims(borrowed.rank));
    }
    let size = dtype.size() as i64;
    if !head.is_aligned() || borrowed.raw_strides().iter().any(|s| s & (size - 1) != 0) {
        let copy = object.call_method1("copy", ("K",))?;
        let mut aligned = ndarray(&copy)?;
        aligned.owner = Some(copy.unbind());
        aligned.readonly = true;
        return Ok(aligned);
    }
    Ok(borrowed)
}

#[cold]
fn scalars_to_numbers(py: Python<'_>, operands: &mut [Operand]) -> PyResult<()> {
    if !operands.iter().any(|o| matches!(o, Operand::Array(b) if b.kind == Kind::Torch)) {
        return Ok(());
    }
    for operand in operands {
        if let Operand::Array(b) = operand
            && b.scalar
        {
            *operand = Operand::Number(b.number(py)?);
        }
    }
    Ok(())
}

/// An array that was made for this call, which keeps it.
fn made(array: Bound<'_, PyAny>) -> PyResult<Borrowed> {
    let mut borrowed = ndarray(&array)?;
    borrowed.owner.get_or_insert(array.unbind());
    Ok(borrowed)
}

// Extents are read in place: NumPy's are `npy_intp`, torch's `int64_t`.
const _: () = assert!(size_of::<isize>() == size_of::<i64>(), "rusttorch needs a 64-bit platform");

#[cold]
fn array_subclass(object: &Bound<'_, PyAny>) -> PyResult<Borrowed> {
    let py = object.py();
    let memmap = py.import("numpy")?.getattr("memmap")?;
    // By its real type: `isinstance` would ask the object.
    // SAFETY: `memmap` is a type.
    if unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), memmap.as_ptr().cast()) } != 0 {
        return ndarray(object);
    }
    let name = object.get_type().fully_qualified_name()?;
    Err(PyTypeError::new_err(format!(
        "rusttorch does not support {name}: only plain numpy.ndarray (numpy.asarray(x) drops what the class adds)"
    )))
}

#[cold]
fn unsupported_dtype(object: &Bound<'_, PyAny>) -> PyErr {
    let describe = || -> PyResult<String> {
        let dtype = object.getattr("dtype")?;
        let native = dtype.getattr("isnative")?.is_truthy()?;
        let name = dtype.str()?.to_string();
        Ok(if native {
            format!("rusttorch does not support NumPy arrays of dtype {name}")
        } else {
            format!(
                "rusttorch does not support byte-swapped NumPy arrays (dtype {name}); use x.astype(x.dtype.newbyteorder('='))"
            )
        })
    };
    describe().map_or_else(|e| e, PyTypeError::new_err)
}

/// What a borrow sees of its arguments, for tests: (kind, dtype, shape, strides, read-only, address).
#[pyfunction]
#[pyo3(signature = (*args))]
#[allow(clippy::type_complexity)]
fn _borrow(args: &Bound<'_, PyTuple>) -> PyResult<Vec<(String, &'static str, Vec<i64>, Vec<i64>, bool, usize)>> {
    let mut session = Session::new(args.py());
    let mut seen = Vec::new();
    for (i, a) in args.iter_borrowed().enumerate() {
        seen.push(match session.operand(&a, &|| format!("argument {i}"))? {
            Operand::Array(b) => {
                let kind = format!("{:?}", b.kind);
                (kind, b.dtype.torch_name(), b.shape().to_vec(), b.strides(), b.readonly, b.data.addr())
            }
            Operand::Number(n) => ("Number".into(), n.dtype().torch_name(), vec![], vec![], true, 0),
            Operand::Literal(_) => ("Literal".into(), "", vec![], vec![], true, 0),
        });
    }
    Ok(seen)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_borrow, m)?)
}
