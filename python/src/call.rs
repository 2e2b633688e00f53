//! Calls of a program: borrow, find the plan, make the results, run.
//!
//! The plans of the last few combinations of dtypes, shapes and strides are kept with the program
//! ([`Memo`]), so that a call like the one before costs no more than comparing a few integers.

use crate::alloc_out::{NewArray, Target, Writing, check_out, copy_to, is_like, own_strides, resize};
use crate::borrow::{Borrowed, Kind, Number, Operand, Session};
use crate::control;
use crate::errors::{FallbackWarning, guarded, to_py};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::{Attr, Program};
use rusttorch_ir::graph::{self, TensorMeta};
use rusttorch_ops::engine::{self, Layout, Plan, PlanOptions};
use rusttorch_runtime::launch::Arg;
use rusttorch_runtime::layout::extent;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Calls of at most so many operands do without allocations of ours.
pub const FEW: usize = 6;
/// The operands of a call.
pub type Operands = SmallVec<[Operand; FEW]>;
/// Combinations that are kept per program.
const KEPT: usize = 16;
/// The first interpreted run of at least so much work is warned about.
const WARN_FROM: u64 = 100_000;

/// A program with its plans.
pub struct Callable {
    pub program: Arc<Program>,
    memos: Mutex<Memos>,
    pub hits: AtomicU64,
    pub misses: AtomicU64,
}

/// The plans used last, of one generation of the engine.
#[derive(Default)]
struct Memos {
    generation: u64,
    kept: Vec<Arc<Memo>>,
}

impl Memos {
    #[cold]
    fn forget(&mut self) {
        *self = Memos { generation: engine::generation(), kept: Vec::new() };
    }
}

/// A plan and what it is for.
struct Memo {
    operands: Vec<Seen>,
    /// torch's default dtype, where it matters.
    default: Option<DType>,
    autocast: Option<DType>,
    /// Strides of all results, where they are an `out`'s.
    into: Option<Vec<Vec<i64>>>,
    plan: Plan,
    /// First and one past the last element, of every array operand, then of every result.
    reach: Vec<(i64, i64)>,
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
                    && same(&extents[..rank], a.shape())
                    && same(&extents[rank..], a.raw_strides())
            }
            (Seen::Number(dtype), Operand::Number(n)) => *dtype == n.dtype(),
            (Seen::Literal(a), Operand::Literal(b)) => a == b,
            _ => false,
        }
    }
}

/// Equality of a few numbers, which a call of `memcmp` makes slower.
#[inline]
fn same(a: &[i64], b: &[i64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}

impl Callable {
    pub fn new(program: Arc<Program>) -> Callable {
        Callable { program, memos: Mutex::default(), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    #[inline]
    fn memos(&self) -> MutexGuard<'_, Memos> {
        let mut memos = self.memos.lock().unwrap_or_else(PoisonError::into_inner);
        if memos.generation != engine::generation() {
            memos.forget();
        }
        memos
    }

    /// Forgets all plans.
    pub fn clear(&self) {
        self.memos().kept.clear();
    }

    /// Number of plans kept.
    pub fn kept(&self) -> usize {
        self.memos().kept.len()
    }

    fn memo(&self, py: Python<'_>, target: Target, operands: &[Operand]) -> PyResult<Arc<Memo>> {
        self.memo_into(py, target, operands, None)
    }

    /// As `memo`; with `into`, for results like these, which differ from the program's own in their strides.
    fn memo_into(
        &self,
        py: Python<'_>,
        target: Target,
        operands: &[Operand],
        into: Option<&[TensorMeta]>,
    ) -> PyResult<Arc<Memo>> {
        let autocast = autocast(py, target)?;
        let like = |m: &Memo| match (&m.into, into) {
            (None, None) => true,
            (Some(a), Some(b)) => a.iter().eq(b.iter().map(|b| &b.strides)),
            _ => false,
        };
        let fits =
            |m: &Memo| m.autocast == autocast && like(m) && m.operands.iter().zip(operands).all(|(s, o)| s.matches(o));
        let known = |default: Option<DType>| {
            let memos = &mut self.memos().kept;
            let at = memos.iter().position(|m| m.default == default && fits(m))?;
            self.hits.fetch_add(1, Ordering::Relaxed);
            memos[..=at].rotate_right(1);
            Some(memos[0].clone())
        };
        if let Some(memo) = known(None) {
            return Ok(memo);
        }
        // Code of torch's, which runs while nothing is locked.
        let default_dtype = default_dtype(py, target)?;
        if let Some(memo) = known(Some(default_dtype)) {
            return Ok(memo);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let metas: Vec<graph::Operand> = operands.iter().map(meta).collect();
        let layout = if matches!(target, Target::Numpy) { Layout::Numpy } else { Layout::Torch };
        let options = PlanOptions { default_dtype, layout, autocast };
        let make = || {
            let (graph, outputs) = engine::typed(&self.program, &metas, options)?;
            // NumPy's is always the same.
            let matters = matches!(target, Target::Torch(_))
                && engine::depends_on_default(&self.program, &metas, options, &graph);
            let outputs = into.map_or(outputs, <[_]>::to_vec);
            Ok((engine::plan_typed(&self.program, &metas, graph, outputs)?, matters.then_some(default_dtype)))
        };
        let (plan, default) = guarded(|| self.program.to_string(), || make().map_err(to_py))?;
        let arrays = metas.iter().filter_map(|m| match m {
            graph::Operand::Tensor(t) => Some(t),
            graph::Operand::Number(_) | graph::Operand::Literal(_) => None,
        });
        let reach = arrays.chain(plan.outputs()).map(reach).collect();
        let into = into.map(|metas| metas.iter().map(|m| m.strides.clone()).collect());
        let memo =
            Arc::new(Memo { operands: operands.iter().map(Seen::new).collect(), default, autocast, into, plan, reach });
        let memos = &mut self.memos().kept;
        memos.truncate(KEPT - 1);
        memos.insert(0, memo.clone());
        Ok(memo)
    }

    /// Dtypes and shapes of the results for these operands.
    pub fn results(&self, py: Python<'_>, session: &Session, operands: &[Operand]) -> PyResult<Vec<TensorMeta>> {
        Ok(self.memo(py, target(session, operands), operands)?.plan.outputs().to_vec())
    }

    /// What becomes of the program for these operands.
    pub fn inspect(&self, py: Python<'_>, session: &Session, operands: &[Operand]) -> PyResult<engine::Inspection> {
        let target = target(session, operands);
        let metas: Vec<graph::Operand> = operands.iter().map(meta).collect();
        let layout = if matches!(target, Target::Numpy) { Layout::Numpy } else { Layout::Torch };
        let options =
            PlanOptions { default_dtype: default_dtype(py, target)?, layout, autocast: autocast(py, target)? };
        guarded(|| self.program.to_string(), || engine::inspect(&self.program, &metas, options, None).map_err(to_py))
    }

    /// The memo of a call that writes its results to `outs`, which are laid out exactly as its plan's.
    fn memo_of_outs(
        &self,
        py: Python<'_>,
        target: Target,
        operands: &[Operand],
        outs: &[Borrowed],
    ) -> PyResult<Option<Arc<Memo>>> {
        let autocast = autocast(py, target)?;
        let fits = |m: &Memo| {
            let results = m.plan.outputs();
            m.autocast == autocast
                && results.len() == outs.len()
                && outs.iter().zip(results).all(|(out, meta)| is_like(out, target, meta))
                && m.operands.iter().zip(operands).all(|(s, o)| s.matches(o))
        };
        let known =
            |default: Option<DType>| self.memos().kept.iter().find(|m| m.default == default && fits(m)).cloned();
        let found = match known(None) {
            None => known(Some(default_dtype(py, target)?)),
            found => found,
        };
        if found.is_some() {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(found)
    }

    /// A call. There is one operand per parameter.
    pub fn call<'py>(
        &self,
        py: Python<'py>,
        session: &mut Session,
        operands: &mut [Operand],
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (memo, result) = match out {
            Some(out) => {
                let several: SmallVec<[Bound<'py, PyAny>; 2]>;
                let outs = match out.cast::<PyTuple>() {
                    Ok(tuple) => {
                        several = tuple.iter().collect();
                        &several[..]
                    }
                    Err(_) => std::slice::from_ref(out),
                };
                for out in outs {
                    session.check_result(out)?;
                }
                session.settle(py, operands)?;
                let operands = &*operands;
                let target = target(session, operands);
                let mut borrowed: SmallVec<[Borrowed; 2]> =
                    outs.iter().map(|o| session.result(o)).collect::<PyResult<_>>()?;
                match self.memo_of_outs(py, target, operands, &borrowed)? {
                    Some(memo) if borrowed.iter().all(|o| !o.readonly) && are_apart(&memo, operands, &borrowed) => {
                        let data: SmallVec<[*mut u8; 2]> = borrowed.iter().map(|o| o.data).collect();
                        self.run(py, &memo, operands, &data)?;
                        for out in outs {
                            target.written(out)?;
                        }
                        (memo, Ok(out.clone()))
                    }
                    _ => {
                        let memo = self.memo(py, target, operands)?;
                        for ((out, borrowed), meta) in outs.iter().zip(&mut borrowed).zip(memo.plan.outputs()) {
                            if resize(out, borrowed, target, meta)? {
                                *borrowed = session.result(out)?;
                            }
                        }
                        let done = self.call_out(py, operands, outs, &borrowed, target, &memo);
                        (memo, done.map(|()| out.clone()))
                    }
                }
            }
            None => {
                session.settle(py, operands)?;
                let operands = &*operands;
                let target = target(session, operands);
                let memo = self.memo(py, target, operands)?;
                let result = self.call_new(py, operands, target, &memo);
                (memo, result)
            }
        };
        // Warnings and the log run code of the user's: only when the operands are done with.
        control::flush_log(py)?;
        if !memo.plan.is_compiled() && memo.plan.work() >= WARN_FROM {
            warn_of_fallback(py, &self.program)?;
        }
        result
    }

    /// A call with new results.
    #[inline]
    fn call_new<'py>(
        &self,
        py: Python<'py>,
        operands: &[Operand],
        target: Target,
        memo: &Memo,
    ) -> PyResult<Bound<'py, PyAny>> {
        let metas = memo.plan.outputs();
        if let [meta] = metas {
            let (new, data) = target.empty(py, meta)?;
            self.run(py, memo, operands, &[data])?;
            return target.finish(py, new, meta.shape.is_empty());
        }
        let (mut arrays, mut data) = (Vec::with_capacity(metas.len()), Vec::with_capacity(metas.len()));
        for meta in metas {
            let (new, at) = target.empty(py, meta)?;
            arrays.push((new, meta));
            data.push(at);
        }
        self.run(py, memo, operands, &data)?;
        let results: Vec<_> =
            arrays.into_iter().map(|(a, m)| target.finish(py, a, m.shape.is_empty())).collect::<PyResult<_>>()?;
        Ok(PyTuple::new(py, results)?.into_any())
    }

    /// A call with given results, whatever their layout and wherever they are.
    fn call_out<'py>(
        &self,
        py: Python<'py>,
        operands: &[Operand],
        outs: &[Bound<'py, PyAny>],
        borrowed: &[Borrowed],
        target: Target,
        memo: &Memo,
    ) -> PyResult<()> {
        let metas = memo.plan.outputs();
        if outs.len() != metas.len() {
            let text = format!("out has {} arrays, but there are {} results", outs.len(), metas.len());
            return Err(PyRuntimeError::new_err(text));
        }
        let strides: SmallVec<[Option<Vec<i64>>; 2]> =
            borrowed.iter().zip(metas).map(|(out, meta)| own_strides(out, meta, operands)).collect();
        let other = if strides.iter().any(Option::is_some) {
            let of = |(own, meta): (Option<Vec<i64>>, &TensorMeta)| {
                let strides = own.unwrap_or_else(|| meta.strides.clone());
                TensorMeta { strides, ..meta.clone() }
            };
            let wanted: Vec<TensorMeta> = strides.into_iter().zip(metas).map(of).collect();
            Some(self.memo_into(py, target, operands, Some(&wanted))?)
        } else {
            None
        };
        let memo = other.as_deref().unwrap_or(memo);
        let metas = memo.plan.outputs();
        let mut copies: Vec<(usize, NewArray<'py>)> = Vec::new();
        let mut data = Vec::with_capacity(outs.len());
        let mut in_place: SmallVec<[usize; 2]> = SmallVec::new();
        for (i, (out, meta)) in borrowed.iter().zip(metas).enumerate() {
            data.push(match check_out(out, target, meta, operands)? {
                Writing::Direct(at) => at,
                Writing::InPlace(at) => {
                    in_place.push(i);
                    at
                }
                Writing::Copy => {
                    let (new, at) = target.empty(py, meta)?;
                    copies.push((i, new));
                    at
                }
            });
        }
        if !in_place.is_empty() && !memo.plan.accepts(&args_of(memo, operands, &data).0) {
            for i in in_place {
                let (new, at) = target.empty(py, &metas[i])?;
                copies.push((i, new));
                data[i] = at;
            }
        }
        self.run(py, memo, operands, &data)?;
        let copied = |i: usize| copies.iter().any(|&(c, _)| c == i);
        for (_, out) in outs.iter().enumerate().filter(|(i, _)| !copied(*i)) {
            target.written(out)?;
        }
        for (i, new) in copies {
            copy_to(&outs[i], &target.finish(py, new, false)?)?;
        }
        Ok(())
    }

    #[inline]
    fn run(&self, py: Python<'_>, memo: &Memo, operands: &[Operand], outputs: &[*mut u8]) -> PyResult<()> {
        let (args, numbers) = args_of(memo, operands, outputs);
        let (args, numbers) = (&args[..], &numbers[..]);
        guarded(
            || self.program.to_string(),
            || control::on_threads(py, memo.plan.work(), |pool| memo.plan.run(args, numbers, pool)).map_err(to_py),
        )
    }
}

/// What a plan runs over: the tensors' memory, and the bits of numbers.
#[inline]
fn args_of<'a>(
    memo: &Memo,
    operands: &'a [Operand],
    outputs: &[*mut u8],
) -> (SmallVec<[Arg<'a>; FEW]>, SmallVec<[u64; FEW]>) {
    let mut args: SmallVec<[Arg<'_>; FEW]> = SmallVec::new();
    let mut numbers: SmallVec<[u64; FEW]> = SmallVec::new();
    for operand in operands {
        match operand {
            // SAFETY: the memory was checked to reach that far when the operand was borrowed, and the
            // caller's arguments keep it; the plan was found by these very extents.
            Operand::Array(a) => args.push(unsafe { arg(a.data, memo.reach[args.len()], a.dtype) }.read_only()),
            Operand::Number(n) => numbers.push(bits(*n)),
            Operand::Literal(_) => {}
        }
    }
    for (meta, &data) in memo.plan.outputs().iter().zip(outputs) {
        // SAFETY: made or checked by `alloc_out` to be as the plan says.
        args.push(unsafe { arg(data, memo.reach[args.len()], meta.dtype) });
    }
    (args, numbers)
}

/// True when no result shares memory with an operand or another result, by the memo's reach of each.
#[inline]
fn are_apart(memo: &Memo, operands: &[Operand], outs: &[Borrowed]) -> bool {
    let arrays = operands.iter().filter_map(|o| match o {
        Operand::Array(a) => Some(a),
        Operand::Number(_) | Operand::Literal(_) => None,
    });
    let bytes = |a: &Borrowed, (low, high): (i64, i64)| {
        let size = a.dtype.size() as isize;
        let at = |i: i64| a.data.addr().wrapping_add_signed(i as isize * size);
        (at(low), at(high))
    };
    let inputs = memo.reach.len() - outs.len();
    outs.iter().enumerate().all(|(i, out)| {
        let (start, end) = bytes(out, memo.reach[inputs + i]);
        let others = arrays.clone().chain(&outs[..i]).zip(memo.reach.iter().take(inputs).chain(&memo.reach[inputs..]));
        others.into_iter().all(|(a, &reach)| {
            let (low, high) = bytes(a, reach);
            end <= low || high <= start
        })
    })
}

/// # Safety
/// As for [`Arg::new`].
#[inline]
unsafe fn arg<'a>(data: *mut u8, (low, high): (i64, i64), dtype: DType) -> Arg<'a> {
    // SAFETY: by contract.
    unsafe { Arg::new(data, low, high, dtype) }
}

/// First and one past the last element.
fn reach(meta: &TensorMeta) -> (i64, i64) {
    extent(&meta.shape, &meta.strides).map_or((0, 0), |(low, high)| (low, high + 1))
}

/// Once per process.
fn warn_of_fallback(py: Python<'_>, program: &Program) -> PyResult<()> {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if WARNED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let text = format!("{program} runs on the interpreter: rusttorch.stats() says what the compiler lacks");
    let text = std::ffi::CString::new(text).expect("a program has no NUL");
    PyErr::warn(py, &py.get_type::<FallbackWarning>(), &text, 2)
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
pub fn target(session: &Session, operands: &[Operand]) -> Target {
    let is_tensor = |o: &Operand| matches!(o, Operand::Array(a) if a.kind == Kind::Torch);
    match session.torch() {
        Some(torch) if operands.iter().any(is_tensor) => Target::Torch(torch),
        _ => Target::Numpy,
    }
}

/// The lower dtype of torch's autocast, which NumPy's arrays do not see.
#[inline]
fn autocast(py: Python<'_>, target: Target) -> PyResult<Option<DType>> {
    match target {
        Target::Torch(torch) => torch.autocast(py),
        Target::Numpy => Ok(None),
    }
}

/// float64 for NumPy, so that `int / int` is what NumPy gives.
fn default_dtype(py: Python<'_>, target: Target) -> PyResult<DType> {
    match target {
        Target::Torch(torch) => torch.default_dtype(py),
        Target::Numpy => Ok(DType::F64),
    }
}
