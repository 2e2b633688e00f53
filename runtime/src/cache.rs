//! The cache of compiled kernels: from a key to something dear to build.
//!
//! - One build per key, however many threads ask at once: the first builds, the others wait (C1). No lock
//!   is held while building. When the build fails, those who waited get the same error and the next
//!   call tries anew; when it panics, one of them builds.
//! - A hit takes one shared lock of one of 16 shards and an increment of the value's count.
//! - Eviction drops the cache's own reference to the value that was used least recently; whoever runs
//!   it keeps it alive. "Recently" is counted in inserts, so that hits write no shared clock.
//! - A build that a parent process had under way when it forked is not waited for in the child.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::ThreadId;
use std::time::Instant;

const SHARDS: usize = 16;

/// A concurrent, bounded cache. `E` is the error of a build, which may go to several threads.
pub struct Cache<K, V, E> {
    shards: Box<[Shard<K, V, E>]>,
    capacity: AtomicUsize,
    /// Ready values in all shards.
    len: AtomicUsize,
    /// Moves by two at each insert: the value inserted has the odd stamp between, later uses the even one.
    clock: AtomicU64,
    /// One thread evicts at a time.
    evicting: Mutex<()>,
    misses: AtomicU64,
    compiles: AtomicU64,
    failures: AtomicU64,
    evictions: AtomicU64,
    compile_ns: AtomicU64,
    last_compile_ns: AtomicU64,
}

#[repr(align(128))]
struct Shard<K, V, E> {
    map: RwLock<HashMap<K, Entry<V, E>, BuildHasherDefault<KeyHasher>>>,
    hits: AtomicU64,
}

enum Entry<V, E> {
    Ready { value: Arc<V>, used: AtomicU64 },
    Building(Arc<Flight<V, E>>),
}

/// A build under way.
struct Flight<V, E> {
    process: u32,
    builder: ThreadId,
    outcome: Mutex<Option<Outcome<V, E>>>,
    landed: Condvar,
}

enum Outcome<V, E> {
    Built(Arc<V>),
    Failed(E),
    Panicked,
}

/// What the cache did so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStats {
    /// Values held.
    pub len: usize,
    /// Values held at most.
    pub capacity: usize,
    /// Calls that found their value.
    pub hits: u64,
    /// Calls that had to build or wait for a build.
    pub misses: u64,
    /// Builds that succeeded.
    pub compiles: u64,
    /// Builds that failed or panicked.
    pub failures: u64,
    /// Values dropped to make room.
    pub evictions: u64,
    /// Time of all builds that succeeded, in nanoseconds.
    pub compile_ns: u64,
    /// Time of the latest of them.
    pub last_compile_ns: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash + Clone, V, E: Clone> Cache<K, V, E> {
    /// A cache of at most `capacity` (at least one) values.
    pub fn new(capacity: usize) -> Self {
        let shard = || Shard { map: RwLock::new(HashMap::default()), hits: AtomicU64::new(0) };
        Cache {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            capacity: AtomicUsize::new(capacity.max(1)),
            len: AtomicUsize::new(0),
            clock: AtomicU64::new(0),
            evicting: Mutex::new(()),
            misses: AtomicU64::new(0),
            compiles: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            compile_ns: AtomicU64::new(0),
            last_compile_ns: AtomicU64::new(0),
        }
    }

    fn shard(&self, key: &K) -> &Shard<K, V, E> {
        let mut hasher = KeyHasher::default();
        key.hash(&mut hasher);
        // The map inside uses the low and the top bits.
        &self.shards[(hasher.finish() >> 32) as usize % SHARDS]
    }

    /// The value, if it is there. Counts as a hit, but not as a miss.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        self.find(self.shard(key), key)
    }

    /// Whether the value is there, which is no use of it.
    pub fn contains(&self, key: &K) -> bool {
        let map = self.shard(key).map.read().unwrap_or_else(PoisonError::into_inner);
        matches!(map.get(key), Some(Entry::Ready { .. }))
    }

    fn find(&self, shard: &Shard<K, V, E>, key: &K) -> Option<Arc<V>> {
        let map = shard.map.read().unwrap_or_else(PoisonError::into_inner);
        let Entry::Ready { value, used } = map.get(key)? else { return None };
        let now = self.clock.load(Relaxed);
        if used.load(Relaxed) != now {
            used.store(now, Relaxed);
        }
        shard.hits.fetch_add(1, Relaxed);
        Some(value.clone())
    }

    /// The value, built by `build` when it is not there. A build may ask for other keys; one that asks for
    /// its own gets a value that is not kept.
    pub fn get_or_build(&self, key: &K, build: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let shard = self.shard(key);
        if let Some(value) = self.find(shard, key) {
            return Ok(value);
        }
        self.misses.fetch_add(1, Relaxed);
        loop {
            let me = std::thread::current().id();
            let process = std::process::id();
            let flight = {
                let mut map = shard.map.write().unwrap_or_else(PoisonError::into_inner);
                match map.entry(key.clone()) {
                    MapEntry::Occupied(mut entry) => match entry.get() {
                        Entry::Ready { value, .. } => return Ok(value.clone()),
                        // The builder stayed behind in the parent process.
                        Entry::Building(flight) if flight.process != process => {
                            let own = Flight::new(process, me);
                            entry.insert(Entry::Building(own.clone()));
                            Err(own)
                        }
                        Entry::Building(flight) => Ok(flight.clone()),
                    },
                    MapEntry::Vacant(entry) => {
                        let own = Flight::new(process, me);
                        entry.insert(Entry::Building(own.clone()));
                        Err(own)
                    }
                }
            };
            match flight {
                Err(own) => return self.build(shard, key, own, build),
                Ok(other) if other.builder == me => return self.timed(build).map(Arc::new),
                Ok(other) => match other.wait() {
                    Outcome::Built(value) => return Ok(value),
                    Outcome::Failed(error) => return Err(error),
                    Outcome::Panicked => {}
                },
            }
        }
    }

    fn timed(&self, build: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let start = Instant::now();
        let result = build();
        if result.is_ok() {
            let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.compiles.fetch_add(1, Relaxed);
            self.compile_ns.fetch_add(ns, Relaxed);
            self.last_compile_ns.store(ns, Relaxed);
        } else {
            self.failures.fetch_add(1, Relaxed);
        }
        result
    }

    fn build(
        &self,
        shard: &Shard<K, V, E>,
        key: &K,
        flight: Arc<Flight<V, E>>,
        build: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let mut landing = Landing { cache: self, shard, key, flight, outcome: Outcome::Panicked };
        let result = self.timed(build).map(Arc::new);
        landing.outcome = match &result {
            Ok(value) => Outcome::Built(value.clone()),
            Err(error) => Outcome::Failed(error.clone()),
        };
        drop(landing);
        self.evict();
        result
    }

    /// Drops the least recently used values beyond the capacity.
    fn evict(&self) {
        let capacity = self.capacity.load(Relaxed);
        if self.len.load(Relaxed) <= capacity {
            return;
        }
        let _one = lock(&self.evicting);
        while self.len.load(Relaxed) > capacity {
            let mut oldest: Option<(u64, &Shard<K, V, E>, K)> = None;
            for shard in &self.shards {
                let map = shard.map.read().unwrap_or_else(PoisonError::into_inner);
                for (key, entry) in map.iter() {
                    let Entry::Ready { used, .. } = entry else { continue };
                    let used = used.load(Relaxed);
                    if oldest.as_ref().is_none_or(|o| used < o.0) {
                        oldest = Some((used, shard, key.clone()));
                    }
                }
            }
            let Some((_, shard, key)) = oldest else { return };
            if self.remove_from(shard, &key) {
                self.evictions.fetch_add(1, Relaxed);
            }
        }
    }

    fn remove_from(&self, shard: &Shard<K, V, E>, key: &K) -> bool {
        let removed = {
            let mut map = shard.map.write().unwrap_or_else(PoisonError::into_inner);
            match map.get(key) {
                Some(Entry::Ready { .. }) => map.remove(key),
                _ => None,
            }
        };
        // The value's destructor runs without the lock.
        let found = removed.is_some();
        if found {
            self.len.fetch_sub(1, Relaxed);
        }
        found
    }

    /// Drops the cache's reference to a value; whether there was one.
    pub fn remove(&self, key: &K) -> bool {
        self.remove_from(self.shard(key), key)
    }

    /// Drops the cache's references to all values. Builds under way end as ever and are not kept.
    pub fn clear(&self) {
        for shard in &self.shards {
            let all = std::mem::take(&mut *shard.map.write().unwrap_or_else(PoisonError::into_inner));
            let ready = all.values().filter(|e| matches!(e, Entry::Ready { .. })).count();
            self.len.fetch_sub(ready, Relaxed);
        }
    }

    /// Sets how many values are held at most (at least one).
    pub fn resize(&self, capacity: usize) {
        self.capacity.store(capacity.max(1), Relaxed);
        self.evict();
    }

    /// Every key and value held, in no order.
    pub fn entries(&self) -> Vec<(K, Arc<V>)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let map = shard.map.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(map.iter().filter_map(|(key, entry)| match entry {
                Entry::Ready { value, .. } => Some((key.clone(), value.clone())),
                Entry::Building(_) => None,
            }));
        }
        all
    }

    /// Counts, read one after the other.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            len: self.len.load(Relaxed),
            capacity: self.capacity.load(Relaxed),
            hits: self.shards.iter().map(|s| s.hits.load(Relaxed)).sum(),
            misses: self.misses.load(Relaxed),
            compiles: self.compiles.load(Relaxed),
            failures: self.failures.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            compile_ns: self.compile_ns.load(Relaxed),
            last_compile_ns: self.last_compile_ns.load(Relaxed),
        }
    }
}

impl<V, E: Clone> Flight<V, E> {
    fn new(process: u32, builder: ThreadId) -> Arc<Self> {
        Arc::new(Flight { process, builder, outcome: Mutex::new(None), landed: Condvar::new() })
    }

    fn wait(&self) -> Outcome<V, E> {
        let mut outcome = lock(&self.outcome);
        loop {
            match &*outcome {
                Some(Outcome::Built(value)) => return Outcome::Built(value.clone()),
                Some(Outcome::Failed(error)) => return Outcome::Failed(error.clone()),
                Some(Outcome::Panicked) => return Outcome::Panicked,
                None => outcome = self.landed.wait(outcome).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Ends a build: on return and on unwinding alike the entry becomes ready or goes, and waiters wake (C1).
struct Landing<'a, K: Eq + Hash + Clone, V, E: Clone> {
    cache: &'a Cache<K, V, E>,
    shard: &'a Shard<K, V, E>,
    key: &'a K,
    flight: Arc<Flight<V, E>>,
    outcome: Outcome<V, E>,
}

impl<K: Eq + Hash + Clone, V, E: Clone> Drop for Landing<'_, K, V, E> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Panicked);
        if matches!(outcome, Outcome::Panicked) {
            self.cache.failures.fetch_add(1, Relaxed);
        }
        {
            let mut map = self.shard.map.write().unwrap_or_else(PoisonError::into_inner);
            // After a `clear` the entry is gone, or is another thread's.
            let ours = matches!(map.get(self.key), Some(Entry::Building(f)) if Arc::ptr_eq(f, &self.flight));
            if ours {
                if let Outcome::Built(value) = &outcome {
                    let used = AtomicU64::new(self.cache.clock.fetch_add(2, Relaxed) + 1);
                    map.insert(self.key.clone(), Entry::Ready { value: value.clone(), used });
                    self.cache.len.fetch_add(1, Relaxed);
                } else {
                    map.remove(self.key);
                }
            }
        }
        *lock(&self.flight.outcome) = Some(outcome);
        self.flight.landed.notify_all();
    }
}

/// A fast hash of keys that come from the program itself: multiply and rotate over words, one mix at the end.
#[derive(Default)]
struct KeyHasher(u64);

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl KeyHasher {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.word(u64::from_ne_bytes(word.try_into().expect("chunks are of 8 bytes")));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_ne_bytes(last));
        }
    }
    fn write_u8(&mut self, v: u8) {
        self.word(u64::from(v));
    }
    fn write_u32(&mut self, v: u32) {
        self.word(u64::from(v));
    }
    fn write_u64(&mut self, v: u64) {
        self.word(v);
    }
    fn write_usize(&mut self, v: usize) {
        self.word(v as u64);
    }
    fn finish(&self) -> u64 {
        let h = self.0 ^ (self.0 >> 32);
        let h = h.wrapping_mul(MULTIPLIER);
        h ^ (h >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::time::Duration;

    type TestCache = Cache<u64, u64, String>;

    #[test]
    fn one_build_for_many_threads() {
        let cache = TestCache::new(8);
        let barrier = Barrier::new(8);
        let builds = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let value = cache.get_or_build(&1, || {
                        builds.fetch_add(1, Relaxed);
                        std::thread::sleep(Duration::from_millis(20));
                        Ok(10)
                    });
                    assert_eq!(*value.unwrap(), 10);
                });
            }
        });
        assert_eq!(builds.into_inner(), 1);
        let stats = cache.stats();
        assert_eq!((stats.compiles, stats.len, stats.hits + stats.misses), (1, 1, 8));
        assert!(stats.compile_ns >= 20_000_000 && stats.last_compile_ns == stats.compile_ns);
    }

    #[test]
    fn failures_are_shared_and_not_kept() {
        let cache = TestCache::new(8);
        let barrier = Barrier::new(4);
        let errors = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    let result = cache.get_or_build(&1, || {
                        std::thread::sleep(Duration::from_millis(20));
                        Err("no".to_string())
                    });
                    errors.fetch_add(usize::from(result.is_err_and(|e| e == "no")), Relaxed);
                });
            }
        });
        assert_eq!(errors.into_inner(), 4);
        assert_eq!(*cache.get_or_build(&1, || Ok(3)).unwrap(), 3);
    }

    #[test]
    fn after_a_panic_a_waiter_builds() {
        let cache = TestCache::new(8);
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let _ = cache.get_or_build(&1, || {
                        barrier.wait();
                        std::thread::sleep(Duration::from_millis(20));
                        std::panic::resume_unwind(Box::new(()))
                    });
                }));
                assert!(caught.is_err());
            });
            barrier.wait();
            assert_eq!(*cache.get_or_build(&1, || Ok(5)).unwrap(), 5);
        });
        assert_eq!(cache.stats().failures, 1);
    }

    #[test]
    fn eviction_takes_the_least_recently_used_and_frees_nothing_in_use() {
        let cache = TestCache::new(3);
        for k in 0..3 {
            cache.get_or_build(&k, || Ok(k)).unwrap();
        }
        let held = cache.get(&1).unwrap();
        cache.get(&0).unwrap();
        cache.get_or_build(&3, || Ok(3)).unwrap();
        assert!(cache.get(&2).is_none() && cache.get(&0).is_some());
        cache.resize(1);
        assert_eq!((cache.stats().len, cache.stats().evictions), (1, 3));
        assert_eq!(*held, 1);
        cache.clear();
        assert_eq!(cache.stats().len, 0);
        assert!(cache.entries().is_empty());
    }

    #[test]
    fn a_build_may_nest_and_may_ask_for_itself() {
        let cache = TestCache::new(8);
        let value = cache.get_or_build(&1, || {
            let inner = cache.get_or_build(&2, || Ok(20))?;
            let own = cache.get_or_build(&1, || Ok(7))?;
            Ok(*inner + *own)
        });
        assert_eq!(*value.unwrap(), 27);
        assert_eq!(*cache.get(&1).unwrap(), 27);
    }

    #[test]
    fn stress_with_eviction_clear_and_failures() {
        let cache = TestCache::new(16);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut state = thread + 1;
                    for i in 0..20_000 {
                        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        let key = state >> 58;
                        match cache.get_or_build(&key, || if key == 13 { Err("13".into()) } else { Ok(key * 2) }) {
                            Ok(value) => assert_eq!(*value, key * 2),
                            Err(e) => assert_eq!((key, e.as_str()), (13, "13")),
                        }
                        if i % 5000 == 4999 {
                            cache.clear();
                        }
                        if i % 3000 == 0 {
                            cache.resize(8 + (state >> 61) as usize);
                        }
                    }
                });
            }
        });
        let stats = cache.stats();
        assert!(stats.len <= stats.capacity + 4 && stats.len == cache.entries().len(), "{stats:?}");
        assert!(stats.hits > 0 && stats.evictions > 0);
    }
}
