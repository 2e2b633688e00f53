//! Calls of a program: borrow, find the plan, make the results, run.
//!
//! The plans of the last few combinations of dtypes, shapes and strides are kept with the program
//! ([`Memo`]), so that a call like the one before costs no more than comparing a few integers.

use crate::alloc_out::{NewArray, Target, Writing, check_out, copy_to};
use crate::borrow::{Kind, Number, Operand, Session};
use crate::engine::{self, Plan};
use crate::errors::guarded;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::{Attr, Program};
use rusttorch_ir::graph::{self, TensorMeta};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Combinations that are kept per program.
const KEPT: usize = 16;
/// Runs of at least so many ns release the GIL; doing so costs about 50.
const DETACH_FROM: u64 = 20_000;

/// A program with its plans.
pub struct Callable {
    pub program: Arc<Program>,
    memos: Mutex<Vec<Arc<Memo>>>,
    pub hits: AtomicU64,
    pub misses: AtomicU64,
}

/// A plan and what it is for.
struct Memo {
    operands: Vec<Seen>,
    /// The default dtype, where it can matter.
    default: Option<DType>,
    plan: Arc<dyn Plan>,
}

/// An operand as far as plans depend on it.
#[derive(PartialEq)]
enum Seen {
    /// With shape, then raw strides.
    Array(Kind, DType, Box<[i64]>),
    Number(DType),
    Literal(Attr),
}

impl Seen {
    fn new(operand: &Operand) -> Seen {
        match operand {
            Operand::Number(n) => Seen::Number(n.dtype()),
            Operand::Literal(attr) => Seen::Literal(attr.clone()),
            Operand::Array(a) => {
                let extents = a.shape().iter().chain(a.raw_strides()).copied().collect();
                Seen::Array(a.kind, a.dtype, extents)
            }
        }
    }

    #[inline]
    fn matches(&self, operand: &Operand) -> bool {
        match (self, operand) {
            (Seen::Array(kind, dtype, extents), Operand::Array(a)) => {
                let rank = a.rank;
                *kind == a.kind
                    && *dtype == a.dtype
                    && extents.len() == 2 * rank
                    && extents[..rank] == *a.shape()
                    && extents[rank..] == *a.raw_strides()
            }
            (Seen::Number(dtype), Operand::Number(n)) => *dtype == n.dtype(),
            (Seen::Literal(a), Operand::Literal(b)) => a == b,
            _ => false,
        }
    }
}

impl Callable {
    pub fn new(program: Arc<Program>) -> Callable {
        Callable { program, memos: Mutex::default(), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Forgets all plans.
    pub fn clear(&self) {
        self.memos.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Number of plans kept.
    pub fn kept(&self) -> usize {
        self.memos.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn memo(&self, py: Python<'_>, target: Target, operands: &[Operand]) -> PyResult<Arc<Memo>> {
        let default = if default_matters(operands) { Some(default_dtype(py, target)?) } else { None };
        let mut memos = self.memos.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |m: &Arc<Memo>| m.default == default && m.operands.iter().zip(operands).all(|(s, o)| s.matches(o));
        if let Some(at) = memos.iter().position(fits) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            memos[..=at].rotate_right(1);
            return Ok(memos[0].clone());
        }
        drop(memos);
        self.misses.fetch_add(1, Ordering::Relaxed);
        let metas: Vec<graph::Operand> = operands.iter().map(meta).collect();
        let default_dtype = default.unwrap_or(DType::F32);
        let numpy = matches!(target, Target::Numpy);
        let plan = guarded(
            || self.program.to_string(),
            || Ok(engine::plan(&self.program, &metas, default_dtype, numpy)?),
        )?;
        let memo = Arc::new(Memo { operands: operands.iter().map(Seen::new).collect(), default, plan });
        memos = self.memos.lock().unwrap_or_else(PoisonError::into_inner);
        memos.truncate(KEPT - 1);
        memos.insert(0, memo.clone());
        Ok(memo)
    }

    /// The plan for these operands.
    pub fn plan(&self, py: Python<'_>, session: &Session, operands: &[Operand]) -> PyResult<Arc<dyn Plan>> {
        Ok(self.memo(py, target(session, operands), operands)?.plan.clone())
    }

    /// A call. There is one operand per parameter.
    pub fn call<'py>(
        &self,
        py: Python<'py>,
        session: &mut Session,
        operands: &[Operand],
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let target = target(session, operands);
        let memo = self.memo(py, target, operands)?;
        let metas = memo.plan.outputs();
        if let Some(out) = out {
            return self.call_out(py, session, operands, out, target, &memo);
        }
        if let [meta] = metas {
            let (new, data) = target.empty(py, meta)?;
            self.run(py, &memo, operands, &[data])?;
            return target.finish(py, new, meta.shape.is_empty());
        }
        let (mut arrays, mut data) = (Vec::with_capacity(metas.len()), Vec::with_capacity(metas.len()));
        for meta in metas {
            let (new, at) = target.empty(py, meta)?;
            arrays.push((new, meta));
            data.push(at);
        }
        self.run(py, &memo, operands, &data)?;
        let results: Vec<_> =
            arrays.into_iter().map(|(a, m)| target.finish(py, a, m.shape.is_empty())).collect::<PyResult<_>>()?;
        Ok(PyTuple::new(py, results)?.into_any())
    }

    fn call_out<'py>(
        &self,
        py: Python<'py>,
        session: &mut Session,
        operands: &[Operand],
        out: &Bound<'py, PyAny>,
        target: Target,
        memo: &Memo,
    ) -> PyResult<Bound<'py, PyAny>> {
        let outs: Vec<Bound<'py, PyAny>> = match out.cast::<PyTuple>() {
            Ok(tuple) => tuple.iter().collect(),
            Err(_) => vec![out.clone()],
        };
        let metas = memo.plan.outputs();
        if outs.len() != metas.len() {
            let text = format!("out has {} arrays, but there are {} results", outs.len(), metas.len());
            return Err(PyRuntimeError::new_err(text));
        }
        let mut copies: Vec<(usize, NewArray<'py>)> = Vec::new();
        let mut data = Vec::with_capacity(outs.len());
        for (i, (out, meta)) in outs.iter().zip(metas).enumerate() {
            let borrowed = session.result(out)?;
            data.push(match check_out(&borrowed, target, meta, operands)? {
                Writing::Direct(at) => at,
                Writing::Copy => {
                    let (new, at) = target.empty(py, meta)?;
                    copies.push((i, new));
                    at
                }
            });
        }
        self.run(py, memo, operands, &data)?;
        if let Target::Torch(torch) = target {
            let copied = |i: usize| copies.iter().any(|&(c, _)| c == i);
            for (_, out) in outs.iter().enumerate().filter(|(i, _)| !copied(*i)) {
                torch.bump_version(out)?;
            }
        }
        for (i, new) in copies {
            copy_to(&outs[i], &target.finish(py, new, false)?)?;
        }
        Ok(out.clone())
    }

    #[inline]
    fn run(&self, py: Python<'_>, memo: &Memo, operands: &[Operand], outputs: &[*mut u8]) -> PyResult<()> {
        let mut arrays = Vec::with_capacity(operands.len());
        let mut numbers = Vec::new();
        for operand in operands {
            match operand {
                Operand::Array(a) => arrays.push(a.data.cast_const()),
                Operand::Number(n) => numbers.push(bits(*n)),
                Operand::Literal(_) => {}
            }
        }
        let job = Job { plan: &*memo.plan, arrays: &arrays, numbers: &numbers, outputs };
        guarded(
            || self.program.to_string(),
            || {
                if memo.plan.estimate() < DETACH_FROM { job.run()? } else { py.detach(|| job.run())? }
                Ok(())
            },
        )
    }
}

/// A run that may go on without the GIL: the operands' memory is kept by the caller's arguments.
struct Job<'a> {
    plan: &'a dyn Plan,
    arrays: &'a [*const u8],
    numbers: &'a [u64],
    outputs: &'a [*mut u8],
}

// SAFETY: see the type; a plan is run from any thread.
unsafe impl Send for Job<'_> {}
// SAFETY: as above.
unsafe impl Sync for Job<'_> {}

impl Job<'_> {
    fn run(&self) -> crate::engine::Result<()> {
        // SAFETY: the plan was found by the dtypes, shapes and strides of these very operands, whose memory
        // was checked when they were borrowed; results were made as the plan's `outputs` say.
        unsafe { self.plan.run(self.arrays, self.numbers, self.outputs) }
    }
}

fn bits(n: Number) -> u64 {
    match n {
        Number::Bool(b) => u64::from(b),
        Number::Int(i) => i as u64,
        Number::Float(f) => f.to_bits(),
    }
}

fn meta(operand: &Operand) -> graph::Operand {
    match operand {
        Operand::Number(n) => graph::Operand::Number(n.dtype().category()),
        Operand::Literal(attr) => graph::Operand::Literal(attr.clone()),
        Operand::Array(a) => {
            graph::Operand::Tensor(TensorMeta { dtype: a.dtype, shape: a.shape().to_vec(), strides: a.strides() })
        }
    }
}

/// torch when any operand is torch's.
#[inline]
fn target(session: &Session, operands: &[Operand]) -> Target {
    let is_tensor = |o: &Operand| matches!(o, Operand::Array(a) if a.kind == Kind::Torch);
    match session.torch() {
        Some(torch) if operands.iter().any(is_tensor) => Target::Torch(torch),
        _ => Target::Numpy,
    }
}

/// False when all arrays are of float dtypes: then every result is of one of them.
#[inline]
fn default_matters(operands: &[Operand]) -> bool {
    let mut arrays = operands.iter().filter_map(|o| match o {
        Operand::Array(a) => Some(a.dtype.is_float()),
        Operand::Number(_) | Operand::Literal(_) => None,
    });
    match arrays.next() {
        None => true,
        Some(first) => !(first && arrays.all(|float| float)),
    }
}

/// float64 for NumPy, so that `int / int` is what NumPy gives.
fn default_dtype(py: Python<'_>, target: Target) -> PyResult<DType> {
    match target {
        Target::Torch(torch) => torch.default_dtype(py),
        Target::Numpy => Ok(DType::F64),
    }
}
