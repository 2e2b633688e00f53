//! Temporary until the pool lands.
/// Parallel execution.
pub trait Parallel: Sync {
    /// Threads.
    fn threads(&self) -> usize;
    /// Runs tasks.
    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync));
}
/// One thread.
pub struct Serial;
impl Parallel for Serial {
    fn threads(&self) -> usize { 1 }
    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) { (0..tasks).for_each(f) }
}
/// Scoped threads, for tests.
pub struct Spawning(pub usize);
impl Parallel for Spawning {
    fn threads(&self) -> usize { self.0 }
    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|s| { for t in 0..tasks { s.spawn(move || f(t)); } });
    }
}
