//! From a compiled kernel and memory to a run: every check before the jump.
//!
//! A [`Plan`] is made once for a kernel and the values of its symbols. It evaluates every extent and
//! the range of every index over the box of axis ranges, so that a later [`Plan::run`] only compares the
//! ranges with the memory it is given. Machine code is entered at one place, [`run_share`].
//!
//! What is trusted: that an [`Arg`] describes memory that may be read or written (its constructor is
//! unsafe), that the kernel is verified, and the emitters.
#![allow(unsafe_code)]

mod ranges;

use crate::Tensor;
use crate::alloc::Block;
use crate::fpu::FpuGuard;
use crate::pool::Parallel;
use crate::storage::Storage;
use crate::view::View;
use ranges::{Ranges, TILE_STEP, uniform};
use rusttorch_codegen::{Compiled, ErrorRecord, FrameLayout};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::{BufferId, SymId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::{BufferKind, Op};
use smallvec::SmallVec;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// Shares per thread, so that an uneven machine is balanced.
const SHARES_PER_THREAD: usize = 4;
/// Frames up to these many slots live on the stack; it is the zeroing of the larger one that a small call feels.
const SMALL_FRAME: usize = 64;
const STACK_FRAME: usize = 192;
/// Checks of so many arguments allocate nothing.
const FEW_ARGS: usize = 8;

/// Memory for one argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Arg<'a> {
    ptr: *mut u8,
    low: i64,
    high: i64,
    dtype: DType,
    writable: bool,
    memory: PhantomData<&'a mut [u8]>,
}

// SAFETY: an `Arg` is a description; the promise of `Arg::new` covers use from any thread.
unsafe impl Send for Arg<'_> {}
// SAFETY: as above.
unsafe impl Sync for Arg<'_> {}

impl<'a> Arg<'a> {
    /// Memory whose element 0 is at `ptr` and whose elements `low..high` exist.
    ///
    /// # Safety
    /// For the lifetime these elements stay valid for reads and, if a kernel writes the argument, for writes,
    /// from any thread, and nobody else writes them during a run; `ptr` is aligned to the dtype (any value does when the range is empty).
    pub unsafe fn new(ptr: *mut u8, low: i64, high: i64, dtype: DType) -> Arg<'a> {
        Arg { ptr, low, high, dtype, writable: true, memory: PhantomData }
    }

    /// The same memory, refused where a kernel would write it.
    pub fn read_only(self) -> Arg<'a> {
        Arg { writable: false, ..self }
    }

    /// Element 0.
    pub fn ptr(&self) -> *mut u8 {
        self.ptr
    }

    /// First element.
    pub fn low(&self) -> i64 {
        self.low
    }

    /// One past the last element.
    pub fn high(&self) -> i64 {
        self.high
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Byte addresses of all its elements, as a half-open range.
    pub(crate) fn span(&self) -> (usize, usize) {
        self.bytes((self.low, self.high - 1))
    }

    /// Byte addresses from the first to the last of these elements, as a half-open range.
    fn bytes(&self, range: (i64, i64)) -> (usize, usize) {
        let size = self.dtype.size() as isize;
        let at = |i: i64| self.ptr.addr().wrapping_add_signed((i as isize).wrapping_mul(size));
        (at(range.0), at(range.1 + 1))
    }
}

/// Describes tensors as arguments, inputs first, for the time of a call.
///
/// # Errors
/// When an output shares its storage with anybody.
pub fn with_tensors<R>(
    inputs: &[&Tensor],
    outputs: &mut [Tensor],
    f: impl for<'a> FnOnce(&[Arg<'a>]) -> R,
) -> Result<R, LaunchError> {
    let inputs = inputs.iter().map(|t| (t.storage(), t.layout()));
    with_memory(inputs, outputs.iter_mut().map(Tensor::parts_mut), f)
}

/// Describes views of storage as arguments, inputs first, for the time of a call. Whether the storage has all
/// elements of its view is for [`Plan::run`] to check.
///
/// # Errors
/// When an output shares its storage with anybody, or a view starts outside of its storage.
pub fn with_memory<'m, R>(
    inputs: impl Iterator<Item = (&'m Storage, &'m View)>,
    outputs: impl Iterator<Item = (&'m mut Storage, &'m View)>,
    f: impl for<'a> FnOnce(&[Arg<'a>]) -> R,
) -> Result<R, LaunchError> {
    let describe = |storage: &Storage, view: &View| {
        let (size, offset) = (view.dtype().size(), view.byte_offset());
        let after = storage.len().checked_sub(offset).ok_or_else(|| invalid("a view outside of its storage"))?;
        let (before, after) = (offset / size, after / size);
        // SAFETY: `before` and `after` elements around the offset lie within the storage, which is borrowed
        // for 'm, beyond `f`; outputs are unshared and borrowed mutably, and inputs are made read-only below.
        Ok(unsafe { Arg::new(storage.as_ptr().wrapping_add(offset), -(before as i64), after as i64, view.dtype()) })
    };
    let mut args: SmallVec<[Arg<'_>; FEW_ARGS]> = SmallVec::new();
    for (storage, view) in inputs {
        args.push(describe(storage, view)?.read_only());
    }
    for (storage, view) in outputs {
        if storage.is_read_only() || !storage.is_unique() {
            return Err(invalid("an output that shares its memory"));
        }
        args.push(describe(storage, view)?);
    }
    Ok(f(&args))
}

/// Why a launch was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchError {
    /// A bug of ours or of an importer: the kernel and its symbols do not fit, or an argument is too
    /// small for what the kernel touches.
    Invalid(String),
    /// An output overlaps an operand other than element by element.
    Overlap,
    /// An index was out of range.
    Index {
        /// The index.
        value: i64,
        /// Size of the dimension.
        size: i64,
        /// Which check or division, in the text order of [`Compiled::kernel`]: where that differs from the
        /// kernel that was given, the copies of `expand_moments` count.
        site: usize,
    },
    /// Integer division by zero.
    ZeroDivision,
    /// No memory for temporaries.
    OutOfMemory(String),
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaunchError::Invalid(what) => write!(f, "invalid launch: {what}"),
            LaunchError::Overlap => f.write_str(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a \
                 single memory location. Please clone() the tensor before performing the operation.",
            ),
            LaunchError::Index { value, size, .. } => {
                write!(f, "index {value} is out of bounds for dimension with size {size}")
            }
            LaunchError::ZeroDivision => f.write_str("ZeroDivisionError"),
            LaunchError::OutOfMemory(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for LaunchError {}

/// One phase, measured.
#[derive(Debug)]
struct PhasePlan {
    /// Extents of the phase's axes.
    extents: Vec<i64>,
    /// Points of the phase times what its nests do per point.
    work: i64,
    /// Which of the phase's axes is shared out; None for one share.
    split: Option<usize>,
    /// Whether shares of the split axis start at multiples of [`TILE_STEP`].
    lanes: bool,
    /// Lanes per tile.
    tile: usize,
    /// Worker scratch: (frame slot, offset in bytes).
    scratch: Vec<(usize, usize)>,
    scratch_bytes: usize,
}

/// A kernel with the values of its symbols: ready to run over memory.
pub struct Plan {
    compiled: Arc<Compiled>,
    frame: Vec<u64>,
    phases: Vec<PhasePlan>,
    /// Element range that is touched, per argument; None when nothing is.
    touched: Vec<Option<(i64, i64)>>,
    /// Element range that masked accesses may touch, as far as the argument holds it.
    masked: Vec<Option<(i64, i64)>>,
    temps: Vec<(BufferId, usize)>,
    /// The arguments that are written.
    outputs: Vec<usize>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("compiled", &self.compiled).field("phases", &self.phases).finish_non_exhaustive()
    }
}

fn invalid(what: impl fmt::Display) -> LaunchError {
    LaunchError::Invalid(what.to_string())
}

impl Plan {
    /// Checks a kernel against the values of its symbols.
    pub fn new(compiled: Arc<Compiled>, syms: &[i64]) -> Result<Plan, LaunchError> {
        let k = &compiled.kernel;
        let layout = compiled.layout;
        if syms.len() != k.syms {
            return Err(invalid(format_args!("{} symbols given, {} wanted", syms.len(), k.syms)));
        }
        let mut frame = vec![0u64; layout.len()];
        for (i, &s) in syms.iter().enumerate() {
            frame[layout.sym(SymId::new(i))] = s as u64;
        }
        let mut touched: Vec<Option<(i64, i64)>> = vec![None; k.buffers.len()];
        let mut masked = touched.clone();
        let mut ranges = Ranges { k, syms, touched: &mut touched, masked: &mut masked, sites: 0 };
        let mut phases = Vec::new();
        for (n, phase) in k.phases.iter().enumerate() {
            phases.push(ranges.phase(phase, compiled.tiles[n].as_deref(), &layout)?);
        }
        let mut temps = Vec::new();
        for (i, b) in k.buffers.iter().enumerate() {
            if let BufferKind::Temp(len) | BufferKind::Row(len) = &b.kind {
                let len = uniform(len, syms)?;
                if let Some((low, high)) = touched[i]
                    && (low < 0 || high >= len)
                {
                    return Err(invalid(format_args!(
                        "buffer {} of {len} elements is accessed at {low}..={high}",
                        b.name
                    )));
                }
                let id = BufferId::new(i);
                frame[layout.length(id)] = len as u64;
                if matches!(b.kind, BufferKind::Temp(_)) {
                    let bytes = usize::try_from(len).ok().and_then(|l| l.checked_mul(b.dtype.size()));
                    temps.push((id, bytes.ok_or_else(|| invalid("a temporary's size overflows"))?));
                }
            }
        }
        touched.truncate(k.args());
        masked.truncate(k.args());
        let outputs = (0..k.args()).filter(|&i| k.buffers[i].kind != BufferKind::In).collect();
        Ok(Plan { frame, phases, touched, masked, temps, outputs, compiled })
    }

    /// The kernel.
    pub fn compiled(&self) -> &Arc<Compiled> {
        &self.compiled
    }

    /// Element range that a run touches whatever its masks are, per argument; None where there is none.
    pub fn touched(&self) -> &[Option<(i64, i64)>] {
        &self.touched
    }

    /// Runs over memory. `scalars` are the bits of the run-time numbers, of their dtypes.
    pub fn run(&self, args: &[Arg<'_>], scalars: &[u64], pool: &dyn Parallel) -> Result<(), LaunchError> {
        self.check(args, scalars)?;
        let len = self.frame.len();
        if len <= SMALL_FRAME {
            self.run_in(&mut [0; SMALL_FRAME][..len], args, scalars, pool)
        } else if len <= STACK_FRAME {
            self.run_in(&mut [0; STACK_FRAME][..len], args, scalars, pool)
        } else {
            self.run_in(&mut vec![0; len], args, scalars, pool)
        }
    }

    /// Runs in this frame, the arguments being checked.
    fn run_in(
        &self,
        frame: &mut [u64],
        args: &[Arg<'_>],
        scalars: &[u64],
        pool: &dyn Parallel,
    ) -> Result<(), LaunchError> {
        let layout = self.compiled.layout;
        frame.copy_from_slice(&self.frame);
        for (i, arg) in args.iter().enumerate() {
            frame[layout.buffer(BufferId::new(i))] = arg.ptr.addr() as u64;
            frame[layout.begin(BufferId::new(i))] = arg.low as u64;
            frame[layout.length(BufferId::new(i))] = arg.high.saturating_sub(arg.low).max(0) as u64;
            // The address goes through an integer into the frame; compiled code turns it back.
            let _ = arg.ptr.expose_provenance();
        }
        for (i, &s) in scalars.iter().enumerate() {
            frame[layout.scalar(rusttorch_ir::id::ScalarId::new(i))] = s;
        }
        let mut temps = Vec::new();
        for &(id, bytes) in &self.temps {
            let block = Block::new(bytes).map_err(|e| LaunchError::OutOfMemory(e.to_string()))?;
            frame[layout.buffer(id)] = block.as_ptr().expose_provenance() as u64;
            temps.push(block);
        }
        let mut failure: Option<ErrorRecord> = None;
        for (n, phase) in self.phases.iter().enumerate() {
            self.run_phase(n, phase, frame, pool, &mut failure)?;
            if let Some(r) = failure {
                return Err(match r.kind {
                    1 => LaunchError::Index { value: r.value, size: r.size, site: r.site as usize },
                    _ => LaunchError::ZeroDivision,
                });
            }
        }
        drop(temps);
        Ok(())
    }

    fn check(&self, args: &[Arg<'_>], scalars: &[u64]) -> Result<(), LaunchError> {
        let k = &self.compiled.kernel;
        if args.len() != self.touched.len() || scalars.len() != k.scalars.len() {
            return Err(invalid(format_args!(
                "{} buffers and {} numbers given, {} and {} wanted",
                args.len(),
                scalars.len(),
                self.touched.len(),
                k.scalars.len()
            )));
        }
        let mut few = [(0, 0); FEW_ARGS];
        let mut many;
        let reached = match few.get_mut(..args.len()) {
            Some(few) => few,
            None => {
                many = vec![(0, 0); args.len()];
                &mut many[..]
            }
        };
        for (i, (arg, touched)) in args.iter().zip(&self.touched).enumerate() {
            let buffer = &k.buffers[i];
            if arg.dtype != buffer.dtype {
                return Err(invalid(format_args!("buffer {} is {}, {} given", buffer.name, buffer.dtype, arg.dtype)));
            }
            if buffer.kind != BufferKind::In && !arg.writable {
                return Err(invalid(format_args!("buffer {} is written, but its memory is read-only", buffer.name)));
            }
            if let Some((low, high)) = *touched
                && (low < arg.low || high >= arg.high)
            {
                return Err(invalid(format_args!(
                    "buffer {} is accessed at {low}..={high}, but holds {}..{}",
                    buffer.name, arg.low, arg.high
                )));
            }
            let Some(range) = self.reach(i, arg) else { continue };
            reached[i] = arg.bytes(range);
            if arg.ptr.is_null() {
                return Err(invalid(format_args!("buffer {} is null", buffer.name)));
            }
            if !arg.ptr.addr().is_multiple_of(buffer.dtype.size()) {
                return Err(invalid(format_args!("buffer {} is not aligned", buffer.name)));
            }
        }
        self.check_overlap(args, reached)
    }

    /// Whether [`Plan::run`] would not refuse these arguments, one per buffer of the kernel's, for sharing memory.
    pub fn may_share(&self, args: &[Arg<'_>]) -> bool {
        let bytes = |(i, arg): (usize, &Arg<'_>)| self.reach(i, arg).map_or((0, 0), |range| arg.bytes(range));
        let reached: Vec<_> = args.iter().enumerate().map(bytes).collect();
        self.check_overlap(args, &reached).is_ok()
    }

    /// Elements of an argument that a run may touch, those under masks included.
    fn reach(&self, i: usize, arg: &Arg<'_>) -> Option<(i64, i64)> {
        let masked =
            self.masked[i].map(|(a, b)| (a.max(arg.low), b.min(arg.high.saturating_sub(1)))).filter(|(a, b)| a <= b);
        match (self.touched[i], masked) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        }
    }

    /// An output may share memory with another argument only if both are the same elements under the
    /// same accesses (in-place, element by element). `reached` are the bytes of each; none when empty.
    fn check_overlap(&self, args: &[Arg<'_>], reached: &[(usize, usize)]) -> Result<(), LaunchError> {
        let is_input = |i: usize| self.compiled.kernel.buffers[i].kind == BufferKind::In;
        for &o in &self.outputs {
            let (a0, a1) = reached[o];
            for (i, &(b0, b1)) in reached.iter().enumerate() {
                // Two outputs are compared once.
                if a0 < b1
                    && b0 < a1
                    && i != o
                    && (is_input(i) || i > o)
                    && !(is_input(i) && args[o].ptr == args[i].ptr && self.same_accesses(o, i))
                {
                    return Err(LaunchError::Overlap);
                }
            }
        }
        Ok(())
    }

    /// True when every point reads its element of `input` before it writes the same element of `out`.
    fn same_accesses(&self, out: usize, input: usize) -> bool {
        let k = &self.compiled.kernel;
        if k.buffers[out].dtype.size() != k.buffers[input].dtype.size() || k.phases.len() != 1 {
            return false;
        }
        // Only straight-line maps: in a loop another iteration may read what this one writes.
        if k.phases[0].nests.iter().any(|n| !n.axes.is_empty()) {
            return false;
        }
        // Strides are symbols: compare accesses with the symbols replaced by their values.
        let value = |e: &IndexExpr| {
            e.map_leaves(&mut |l| match l {
                IndexExpr::Sym(s) => Some(IndexExpr::Const(self.frame[self.compiled.layout.sym(*s)] as i64)),
                _ => None,
            })
        };
        let mut at: Option<IndexExpr> = None;
        let mut written = false;
        for inst in k.phases[0].nests.iter().flat_map(|n| &n.body) {
            let index = match &inst.op {
                Op::Store { buffer, index, .. } if buffer.index() == out => {
                    written = true;
                    value(index)
                }
                Op::Load { buffer, .. } if buffer.index() == input && written => return false,
                Op::Load { buffer, index, .. } if buffer.index() == input || buffer.index() == out => value(index),
                _ => continue,
            };
            if *at.get_or_insert_with(|| index.clone()) != index {
                return false;
            }
        }
        // The same expression is the same element for one point only if no two points share it.
        at.is_some_and(|e| self.is_injective(&e))
    }

    /// True when the points of the first phase's axes all give different values of an affine index.
    fn is_injective(&self, e: &IndexExpr) -> bool {
        let Some(affine) = e.affine() else { return false };
        let axes = &self.compiled.kernel.phases[0].axes;
        let mut steps: Vec<(u64, i64)> = Vec::new();
        for (a, &extent) in axes.iter().zip(&self.phases[0].extents) {
            match affine.stride(*a) {
                _ if extent <= 1 => {}
                IndexExpr::Const(0) => return false,
                IndexExpr::Const(c) => steps.push((c.unsigned_abs(), extent)),
                _ => return false,
            }
        }
        steps.sort_unstable();
        // Every step goes beyond all that the smaller ones reach.
        let mut reach = 0u64;
        steps.into_iter().all(|(step, extent)| {
            let beyond = step > reach;
            reach = reach.saturating_add(step.saturating_mul(extent as u64 - 1));
            beyond
        })
    }

    fn run_phase(
        &self,
        n: usize,
        phase: &PhasePlan,
        frame: &mut [u64],
        pool: &dyn Parallel,
        failure: &mut Option<ErrorRecord>,
    ) -> Result<(), LaunchError> {
        let axes = &self.compiled.kernel.phases[n].axes;
        let layout = self.compiled.layout;
        if phase.extents.contains(&0) {
            return Ok(());
        }
        for (a, &e) in axes.iter().zip(&phase.extents) {
            frame[layout.axis(*a)] = 0;
            frame[layout.axis(*a) + 1] = e as u64;
        }
        frame[FrameLayout::TILE] = phase.tile as u64;
        let threads = pool.threads();
        let grain = pool.grain().max(2);
        let (Some(split), true) = (phase.split, threads > 1 && phase.work >= grain) else {
            *failure = run_share(&self.compiled, n, phase, frame)?;
            return Ok(());
        };
        let extent = phase.extents[split];
        let step = if phase.lanes { TILE_STEP as i64 * 4 } else { 1 };
        let units = extent / step + i64::from(extent % step != 0);
        let by_work = phase.work / (grain / 2);
        let shares = units.min((threads * SHARES_PER_THREAD) as i64).min(by_work).max(1);
        // An extent that costs no memory may be near the end of i64.
        let bound = |share: i64| {
            let unit = i128::from(units) * i128::from(share) / i128::from(shares);
            (unit * i128::from(step)).min(i128::from(extent)) as u64
        };
        let slot = layout.axis(axes[split]);
        let frame = &*frame;
        let found: Mutex<Result<Option<ErrorRecord>, LaunchError>> = Mutex::new(Ok(None));
        pool.run(shares as usize, &|share| {
            let mut mine = frame.to_vec();
            mine[slot] = bound(share as i64);
            mine[slot + 1] = bound(share as i64 + 1);
            let result = run_share(&self.compiled, n, phase, &mut mine);
            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (result, &mut *found) {
                (Err(e), slot) => *slot = Err(e),
                (Ok(Some(r)), Ok(slot)) if slot.is_none_or(|s| r.key() < s.key()) => {
                    *slot = Some(r);
                }
                _ => {}
            }
        });
        *failure = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
        Ok(())
    }
}

/// Runs one share of a phase: the only place where machine code is entered.
fn run_share(
    compiled: &Compiled,
    n: usize,
    phase: &PhasePlan,
    frame: &mut [u64],
) -> Result<Option<ErrorRecord>, LaunchError> {
    let mut record = ErrorRecord::default();
    frame[FrameLayout::ERROR] = (&raw mut record).expose_provenance() as u64;
    let scratch = if phase.scratch_bytes == 0 {
        None
    } else {
        let block = Block::new(phase.scratch_bytes).map_err(|e| LaunchError::OutOfMemory(e.to_string()))?;
        let base = block.as_ptr().expose_provenance();
        for &(slot, offset) in &phase.scratch {
            frame[slot] = (base + offset) as u64;
        }
        Some(block)
    };
    let guard = FpuGuard::new();
    // SAFETY: `Plan::new` derived every access range from the kernel and its symbols, and `Plan::check`
    // compared them with what the arguments hold, aligned and without forbidden overlap; shares of a
    // phase are disjoint in a parallel axis; scratch and temporaries are as large as `Plan::new`
    // computed; the record is this call's.
    unsafe { compiled.call(n, frame) };
    drop(guard);
    drop(scratch);
    Ok((record.kind != 0).then_some(record))
}
