//! Threads: one trait, two pools, and serial execution.
//!
//! [`OwnPool`] is a rayon pool of our own, built at first use. The caller takes part: it and the
//! workers draw task numbers from one counter, and the caller never waits for a worker that has not
//! begun, as waking one costs more than a small kernel. [`ForeignPool`] runs tasks in another
//! library's loop (PyTorch's), as two pools on the same CPUs fight.
//!
//! Invariants:
//! - Tasks are named by number; which thread runs one is never visible in results.
//! - A pool belongs to one process (P1). A forked child finds another id, forgets the parent's pool,
//!   whose threads it does not have, and builds its own. No lock is shared between the two.
//! - `run` returns after the last task has ended, also when one panics (P2): tasks may borrow.
//! - A `run` inside a task is serial, in place.
//! - Tasks compute under the default floating-point control word.
//!
//! Unsafe: borrowed closures cross to threads that outlive them (P2), and a C callback.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use crate::env::LogLevel;
use crate::fpu::{self, FpuGuard};
use crate::log::log;

/// Something that runs numbered tasks.
pub trait Parallel: Sync {
    /// How many threads may run tasks at the same time.
    fn threads(&self) -> usize;

    /// Element visits below which a phase is not worth sharing out.
    fn grain(&self) -> i64 {
        1 << 15
    }

    /// Calls `f` once with each number below `tasks`, in any order, and returns when all have ended.
    /// A panic of a task is passed on; tasks that have not begun by then are left out.
    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync));
}

thread_local! {
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Marks the thread as inside a task, under the default control word.
struct InTask {
    before: bool,
    _fpu: FpuGuard,
}

impl InTask {
    fn enter() -> InTask {
        InTask { before: IN_TASK.replace(true), _fpu: FpuGuard::new() }
    }
}

impl Drop for InTask {
    fn drop(&mut self) {
        IN_TASK.set(self.before);
    }
}

/// True inside a task, where further loops are serial.
pub fn in_task() -> bool {
    IN_TASK.get()
}

fn run_serial(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    let _task = InTask::enter();
    (0..tasks).for_each(f);
}

/// Caps the threads of this thread's calls until it drops.
#[must_use = "the cap ends when the guard drops"]
pub struct LimitGuard {
    before: usize,
    _thread: std::marker::PhantomData<*const ()>,
}

/// Lets calls of the current thread use at most `threads` threads, of either pool.
pub fn limit_threads(threads: usize) -> LimitGuard {
    LimitGuard { before: LIMIT.replace(threads.max(1)), _thread: std::marker::PhantomData }
}

impl Drop for LimitGuard {
    fn drop(&mut self) {
        LIMIT.set(self.before);
    }
}

/// Runs everything on the calling thread.
pub struct Serial;

impl Parallel for Serial {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        run_serial(tasks, f);
    }
}

/// Threads asked for by [`set_num_threads`]; zero for none.
static REQUESTED: AtomicUsize = AtomicUsize::new(0);

/// Sets the size of our own pool, which is rebuilt at its next use. Before this, it is
/// `RUSTTORCH_NUM_THREADS`, else `OMP_NUM_THREADS`, else the CPUs that the process may use.
pub fn set_num_threads(threads: usize) {
    REQUESTED.store(threads.max(1), Ordering::Relaxed);
}

/// Forgets what [`set_num_threads`] asked for.
pub fn unset_num_threads() {
    REQUESTED.store(0, Ordering::Relaxed);
}

/// Size of our own pool, without the calling thread's cap.
pub fn num_threads() -> usize {
    match REQUESTED.load(Ordering::Relaxed) {
        0 => default_threads(),
        n => n,
    }
}

/// True when [`set_num_threads`] was called.
pub fn is_num_threads_set() -> bool {
    REQUESTED.load(Ordering::Relaxed) != 0
}

fn default_threads() -> usize {
    static DEFAULT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *DEFAULT.get_or_init(|| {
        crate::env::config().num_threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
    })
}

/// The pool of one process.
struct Process {
    id: u32,
    pool: Mutex<Slot>,
}

/// A pool and the size that was asked for; no pool where so many threads could not be had.
#[derive(Default)]
struct Slot {
    threads: usize,
    pool: Option<Arc<rayon::ThreadPool>>,
}

static PROCESS: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

/// The current process's entry. Entries are never freed: they are few and small, and a forked child may
/// not run the destructors of its parent's pool.
fn process() -> &'static Process {
    let id = std::process::id();
    let mut found = PROCESS.load(Ordering::Acquire);
    loop {
        // SAFETY: the pointer is null or from `Box::into_raw` below and never freed.
        if let Some(process) = unsafe { found.as_ref() }
            && process.id == id
        {
            return process;
        }
        let new = Box::into_raw(Box::new(Process { id, pool: Mutex::default() }));
        match PROCESS.compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: just made, and never freed once published.
            Ok(_) => return unsafe { &*new },
            Err(other) => {
                // SAFETY: it was not published, so it is still ours alone.
                drop(unsafe { Box::from_raw(new) });
                found = other;
            }
        }
    }
}

/// The rayon pool of this process, of the size that is asked for now.
fn rayon_pool() -> Option<Arc<rayon::ThreadPool>> {
    let threads = num_threads();
    let mut slot = process().pool.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.threads == threads {
        return slot.pool.clone();
    }
    let built = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("rusttorch-{i}"))
        .start_handler(|_| fpu::set_default())
        .build();
    // Where threads cannot be had, work stays on the caller; to try at each call would cost more than that.
    let pool = match built {
        Ok(pool) => Some(Arc::new(pool)),
        Err(e) => {
            log(LogLevel::Warn, || format!("{threads} threads cannot be had, work stays on the calling thread: {e}"));
            None
        }
    };
    *slot = Slot { threads, pool: pool.clone() };
    pool
}

/// Our own pool.
pub struct OwnPool;

impl OwnPool {
    /// Runs `f` inside the rayon pool, for code that splits its work with rayon, and tells it how many
    /// threads it may use; in place when that is one.
    pub fn install<R: Send>(&self, f: impl FnOnce(usize) -> R + Send) -> R {
        let threads = self.threads();
        match (threads > 1).then(rayon_pool).flatten() {
            Some(pool) => pool.install(|| {
                let _task = InTask::enter();
                f(threads)
            }),
            None => {
                let _task = InTask::enter();
                f(1)
            }
        }
    }
}

impl Parallel for OwnPool {
    fn threads(&self) -> usize {
        if in_task() { 1 } else { num_threads().min(LIMIT.get()) }
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        let helpers = self.threads().min(tasks).saturating_sub(1);
        let Some(pool) = (helpers > 0).then(rayon_pool).flatten() else {
            return run_serial(tasks, f);
        };
        // SAFETY: only the lifetime is changed. `Shared` calls `f` between a successful `enter` and the
        // matching `leave`; `close_and_wait` below returns when no such call is left and none can begin.
        let f = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(f) };
        let shared = Arc::new(Shared {
            f,
            tasks,
            next: AtomicUsize::new(0),
            helpers: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            payload: Mutex::new(None),
            caller: std::thread::current(),
        });
        for _ in 0..helpers {
            let shared = shared.clone();
            pool.spawn(move || {
                if shared.enter() {
                    shared.work();
                    shared.leave();
                }
            });
        }
        shared.work();
        shared.close_and_wait();
        if shared.panicked.load(Ordering::Acquire) {
            let payload = shared.payload.lock().unwrap_or_else(PoisonError::into_inner).take();
            resume_unwind(payload.expect("a task that panicked left its payload"));
        }
    }
}

/// One call of `run`, as its threads see it. Kept alive by whoever looks at it, as a worker may come after
/// the call has ended; it finds the door closed and does not touch `f`.
struct Shared {
    f: &'static (dyn Fn(usize) + Sync),
    tasks: usize,
    next: AtomicUsize,
    /// Workers inside, and [`CLOSED`] once none may enter.
    helpers: AtomicUsize,
    panicked: AtomicBool,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
    caller: Thread,
}

const CLOSED: usize = 1 << (usize::BITS - 1);

impl Shared {
    fn enter(&self) -> bool {
        self.helpers.try_update(Ordering::Acquire, Ordering::Relaxed, |n| (n & CLOSED == 0).then_some(n + 1)).is_ok()
    }

    fn leave(&self) {
        // Release: what the tasks wrote is seen by the caller, which acquires in `close_and_wait`.
        if self.helpers.fetch_sub(1, Ordering::Release) == CLOSED | 1 {
            self.caller.unpark();
        }
    }

    /// Never unwinds.
    fn work(&self) {
        let _task = InTask::enter();
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if task >= self.tasks {
                return;
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (self.f)(task))) {
                // The first panic is passed on; later tasks are left out.
                if !self.panicked.swap(true, Ordering::AcqRel) {
                    *self.payload.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
                }
                self.next.store(self.tasks, Ordering::Relaxed);
            }
        }
    }

    fn close_and_wait(&self) {
        let mut inside = self.helpers.fetch_or(CLOSED, Ordering::AcqRel);
        let mut spins = 0u32;
        while inside & !CLOSED != 0 {
            // Tasks are of like size, so the last helper is about to end.
            if spins < 2000 {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::park();
            }
            inside = self.helpers.load(Ordering::Acquire);
        }
    }
}

/// `torch_parallel_for`: calls `callback` on sub-ranges of `begin..end`; zero for success.
pub type ParallelFor = unsafe extern "C" fn(
    begin: i64,
    end: i64,
    grain: i64,
    callback: unsafe extern "C" fn(i64, i64, *mut c_void),
    context: *mut c_void,
) -> i32;

/// `torch_get_num_threads`: zero for success.
pub type GetNumThreads = unsafe extern "C" fn(out: *mut u32) -> i32;

/// Another library's threads, through its C functions.
pub struct ForeignPool {
    parallel_for: ParallelFor,
    get_num_threads: GetNumThreads,
}

impl ForeignPool {
    /// A pool over two C functions.
    ///
    /// # Safety
    /// They are what their types say: `parallel_for` calls its callback only before it returns, at most once
    /// for any index of the range, and both may be called from any thread for the life of the process.
    pub unsafe fn new(parallel_for: ParallelFor, get_num_threads: GetNumThreads) -> ForeignPool {
        ForeignPool { parallel_for, get_num_threads }
    }
}

struct ForeignCall<'a> {
    f: &'a (dyn Fn(usize) + Sync),
    /// One per task, as the library does not promise to run all of them.
    done: Vec<AtomicBool>,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

unsafe extern "C" fn run_range(begin: i64, end: i64, context: *mut c_void) {
    // SAFETY: `context` is the `ForeignCall` of the `run` that is still in `parallel_for`.
    let call = unsafe { &*context.cast::<ForeignCall<'_>>() };
    let _task = InTask::enter();
    // Unwinding into C is undefined.
    let result = catch_unwind(AssertUnwindSafe(|| {
        for task in begin as usize..end as usize {
            call.done[task].store(true, Ordering::Relaxed);
            (call.f)(task);
        }
    }));
    if let Err(payload) = result {
        call.payload.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
    }
}

impl Parallel for ForeignPool {
    fn threads(&self) -> usize {
        if in_task() {
            return 1;
        }
        let mut threads = 1;
        // SAFETY: the promise of `new`.
        let status = unsafe { (self.get_num_threads)(&mut threads) };
        if status == 0 { (threads as usize).clamp(1, LIMIT.get()) } else { 1 }
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        let threads = self.threads();
        if tasks <= 1 || threads <= 1 {
            return run_serial(tasks, f);
        }
        let done = (0..tasks).map(|_| AtomicBool::new(false)).collect();
        let call = ForeignCall { f, done, payload: Mutex::new(None) };
        // A grain of more than one task keeps the cap: the range is cut into at most `threads` pieces.
        let grain = tasks.div_ceil(threads) as i64;
        let context = (&raw const call).cast_mut().cast();
        // SAFETY: the promise of `new`; the callback reads `call`, which outlives `parallel_for`.
        unsafe { (self.parallel_for)(0, tasks as i64, grain, run_range, context) };
        if let Some(payload) = call.payload.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(payload);
        }
        // What the library left out, for whatever reason, is done here.
        let _task = InTask::enter();
        call.done.iter().enumerate().filter(|(_, done)| !done.load(Ordering::Relaxed)).for_each(|(task, _)| f(task));
    }
}

/// Splits `0..n` into ranges of at least `grain`, at most one per thread, and runs `f` on each.
/// Results must not depend on where the cuts are.
pub fn split(pool: &dyn Parallel, n: usize, grain: usize, f: &(dyn Fn(std::ops::Range<usize>) + Sync)) {
    let pieces = if n <= grain { 1 } else { pool.threads().min(n.div_ceil(grain.max(1))).max(1) };
    let at = |piece: usize| (n as u128 * piece as u128 / pieces as u128) as usize;
    pool.run(pieces, &|piece| f(at(piece)..at(piece + 1)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn each_once(pool: &dyn Parallel, tasks: usize) {
        let seen: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
        pool.run(tasks, &|i| {
            assert!(in_task() && fpu::is_default());
            seen[i].fetch_add(1, Ordering::Relaxed);
        });
        assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
        assert!(!in_task());
    }

    unsafe extern "C" fn fake_for(
        begin: i64,
        end: i64,
        grain: i64,
        callback: unsafe extern "C" fn(i64, i64, *mut c_void),
        context: *mut c_void,
    ) -> i32 {
        let context = context as usize;
        std::thread::scope(|scope| {
            let mut at = begin;
            while at < end {
                let to = (at + grain).min(end);
                // SAFETY: as `run` wishes.
                scope.spawn(move || unsafe { callback(at, to, context as *mut c_void) });
                at = to;
            }
        });
        0
    }

    unsafe extern "C" fn broken_for(
        _: i64,
        _: i64,
        _: i64,
        _: unsafe extern "C" fn(i64, i64, *mut c_void),
        _: *mut c_void,
    ) -> i32 {
        1
    }

    unsafe extern "C" fn three(out: *mut u32) -> i32 {
        // SAFETY: `threads` gives a place.
        unsafe { *out = 3 };
        0
    }

    fn foreign(parallel_for: ParallelFor) -> ForeignPool {
        // SAFETY: the fakes keep the promise.
        unsafe { ForeignPool::new(parallel_for, three) }
    }

    #[test]
    fn every_task_runs_once_in_every_pool() {
        for tasks in [0, 1, 2, 3, 100, 1000] {
            each_once(&Serial, tasks);
            each_once(&OwnPool, tasks);
            each_once(&foreign(fake_for), tasks);
            each_once(&foreign(broken_for), tasks);
        }
    }

    #[test]
    fn many_callers_and_nesting() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..500 {
                        let sum = AtomicUsize::new(0);
                        OwnPool.run(round % 7, &|i| {
                            OwnPool.run(3, &|j| {
                                sum.fetch_add(i * 3 + j, Ordering::Relaxed);
                            });
                        });
                        let n = round % 7 * 3;
                        assert_eq!(sum.into_inner(), n * n.saturating_sub(1) / 2);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_harms_nothing() {
        for pool in [&OwnPool as &dyn Parallel, &foreign(fake_for), &Serial] {
            for _ in 0..50 {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    pool.run(8, &|i| {
                        if i == 5 {
                            std::panic::resume_unwind(Box::new("task 5"));
                        }
                    });
                }));
                assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "task 5");
                assert!(!in_task());
                each_once(pool, 10);
            }
        }
    }

    #[test]
    fn limits_nest_and_end() {
        let all = foreign(fake_for).threads();
        assert_eq!(all, 3);
        {
            let _two = limit_threads(2);
            assert_eq!(foreign(fake_for).threads(), 2);
            {
                let _one = limit_threads(1);
                assert_eq!(foreign(fake_for).threads(), 1);
                assert_eq!(OwnPool.threads(), 1);
            }
            assert_eq!(foreign(fake_for).threads(), 2);
        }
        assert_eq!(foreign(fake_for).threads(), all);
    }

    #[test]
    fn split_covers_the_range() {
        for n in [0usize, 1, 10, 1001] {
            let seen: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
            split(&foreign(fake_for), n, 4, &|range| {
                range.for_each(|i| {
                    seen[i].fetch_add(1, Ordering::Relaxed);
                });
            });
            assert!(seen.iter().all(|s| s.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn install_gives_its_result() {
        assert!(OwnPool.install(|threads| in_task() && threads >= 1));
    }
}
