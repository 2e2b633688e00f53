//! Memory that tensors view: a block of our allocator, or memory of another library with what gives it
//! back. It lives until its last owner drops, which may be a consumer in another library.
//!
//! The rule that keeps safe code sound (S1): whoever writes storage that someone else may hold does so
//! in an `unsafe` function or block, and ensures there that no other thread accesses those bytes
//! meanwhile. Safe functions read, or write storage that has one owner; the one exception is lent memory, see
//! [`crate::write`].
//!
//! Unsafe: `Send` and `Sync` of raw memory, and its lending as slices.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::alloc::Block;
use crate::error::Result;

/// Shared memory of fixed length.
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    ptr: NonNull<u8>,
    len: usize,
    read_only: bool,
    owner: Owner,
}

enum Owner {
    Block(#[expect(dead_code, reason = "held for its drop")] Block),
    Foreign(Option<Release>),
}

/// Gives foreign memory back; runs once, on the thread of the last owner.
type Release = Box<dyn FnOnce() + Send + Sync>;

// SAFETY: the memory is reached by raw pointer only, under rule S1; the owners are Send and Sync.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Owner::Foreign(release) = &mut self.owner
            && let Some(release) = release.take()
        {
            release();
        }
    }
}

impl Storage {
    /// New memory of arbitrary content.
    pub fn new(bytes: usize) -> Result<Storage> {
        Ok(Storage::from_block(Block::new(bytes)?))
    }

    /// New memory of zeros.
    pub fn zeroed(bytes: usize) -> Result<Storage> {
        Ok(Storage::from_block(Block::zeroed(bytes)?))
    }

    fn from_block(block: Block) -> Storage {
        let ptr = NonNull::new(block.as_ptr()).expect("blocks are never at address 0");
        Storage(Arc::new(Inner { ptr, len: block.len(), read_only: false, owner: Owner::Block(block) }))
    }

    /// Memory of another library. `release` runs when the last owner drops.
    ///
    /// # Safety
    /// Until `release` runs, `len` bytes from `ptr` are readable, initialised, and written (by whomever)
    /// only under rule S1; writable too unless `read_only`. `ptr` may be anything for `len == 0`.
    pub unsafe fn from_foreign(ptr: *mut u8, len: usize, read_only: bool, release: Release) -> Storage {
        let ptr = NonNull::new(ptr).unwrap_or(NonNull::dangling());
        Storage(Arc::new(Inner { ptr, len, read_only, owner: Owner::Foreign(Some(release)) }))
    }

    /// The first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.ptr.as_ptr()
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// True for no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// True when nobody may write it.
    pub fn is_read_only(&self) -> bool {
        self.0.read_only
    }

    /// True for memory of our allocator.
    pub fn is_ours(&self) -> bool {
        matches!(self.0.owner, Owner::Block(_))
    }

    /// True when both are the same memory object.
    pub fn is_same(&self, other: &Storage) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// True when this is the only owner.
    pub fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    /// All bytes, for storage that is ours and has one owner.
    pub fn unique_bytes(&mut self) -> Option<&mut [u8]> {
        if !self.is_ours() {
            return None;
        }
        let inner = Arc::get_mut(&mut self.0)?;
        // SAFETY: a block is `len` initialised bytes (alloc.rs), and the exclusive borrow of the only owner
        // excludes every other access for the slice's life.
        Some(unsafe { std::slice::from_raw_parts_mut(inner.ptr.as_ptr(), inner.len) })
    }
}

impl Storage {
    /// Copies bytes out, from `offset`.
    ///
    /// # Panics
    /// When they reach past the end.
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        assert!(offset.checked_add(out.len()).is_some_and(|end| end <= self.len()), "read past the end of storage");
        // SAFETY: in bounds by the assertion; initialised by construction; unwritten meanwhile by S1.
        unsafe { self.as_ptr().add(offset).copy_to_nonoverlapping(out.as_mut_ptr(), out.len()) };
    }

    /// New storage with the elements of a strided view in row-major order. `strides` are in bytes.
    ///
    /// # Panics
    /// When the view reaches outside the storage.
    pub fn gather(&self, offset: usize, shape: &[i64], strides: &[i64], item: usize) -> Result<Storage> {
        let numel: i64 = shape.iter().product();
        let out = Storage::new(numel as usize * item)?;
        if numel == 0 {
            return Ok(out);
        }
        let (low, high) = crate::layout::extent(shape, strides).expect("views of storage have small extents");
        let offset = offset as i64;
        assert!(offset + low >= 0 && offset + high + item as i64 <= self.len() as i64, "view outside of its storage");
        // Row-major runs are copied whole.
        let mut run = item as i64;
        let mut outer = shape.len();
        while outer > 0 && (shape[outer - 1] == 1 || strides[outer - 1] == run) {
            run *= shape[outer - 1];
            outer -= 1;
        }
        let mut writer = Writer { to: out.as_ptr() };
        // SAFETY: every element lies between `low` and `high`, checked above; the output is new and has room
        // for `numel` items, and each is visited once.
        unsafe { writer.copy(self.as_ptr().offset(offset as isize), &shape[..outer], strides, run as usize) };
        Ok(out)
    }
}

/// Appends to fresh memory.
struct Writer {
    to: *mut u8,
}

impl Writer {
    /// Copies the runs of `run` bytes at every index of `shape`.
    ///
    /// # Safety
    /// All runs are readable, and the rest of the output has room for them.
    unsafe fn copy(&mut self, from: *const u8, shape: &[i64], strides: &[i64], run: usize) {
        // SAFETY: the caller's promise, handed down.
        unsafe {
            match *shape {
                [] => self.run(from, run),
                [n] => match run {
                    1 => self.items::<u8>(from, n, strides[0]),
                    2 => self.items::<u16>(from, n, strides[0]),
                    4 => self.items::<u32>(from, n, strides[0]),
                    8 => self.items::<u64>(from, n, strides[0]),
                    _ => (0..n).for_each(|i| self.run(from.offset((i * strides[0]) as isize), run)),
                },
                [n, ref inner @ ..] => (0..n).for_each(|i| {
                    self.copy(from.offset((i * strides[0]) as isize), inner, &strides[1..], run);
                }),
            }
        }
    }

    /// # Safety
    /// As `copy`.
    unsafe fn run(&mut self, from: *const u8, len: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            self.to.copy_from_nonoverlapping(from, len);
            self.to = self.to.add(len);
        }
    }

    /// # Safety
    /// As `copy`.
    unsafe fn items<T: Copy>(&mut self, from: *const u8, n: i64, stride: i64) {
        for i in 0..n {
            // SAFETY: the caller's promise; foreign memory need not be aligned.
            unsafe {
                let value = from.offset((i * stride) as isize).cast::<T>().read_unaligned();
                self.to.cast::<T>().write_unaligned(value);
                self.to = self.to.add(size_of::<T>());
            }
        }
    }
}

/// Types whose every bit pattern is a value.
///
/// # Safety
/// No padding, no invalid values.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

macro_rules! plain {
    ($($t:ty),*) => {$(
        // SAFETY: a primitive number.
        unsafe impl Plain for $t {}
    )*};
}
plain!(u8, i8, i16, u16, i32, u32, i64, u64, f32, f64);

/// Bytes as numbers, where their address and length allow.
pub fn cast_mut<T: Plain>(bytes: &mut [u8]) -> Option<&mut [T]> {
    // SAFETY: every bit pattern is a value of T, and of u8.
    let (head, middle, tail) = unsafe { bytes.align_to_mut::<T>() };
    (head.is_empty() && tail.is_empty()).then_some(middle)
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Storage({:p}, {} bytes{})", self.as_ptr(), self.len(), if self.is_ours() { "" } else { ", foreign" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn foreign_memory_is_released_once_by_the_last_owner() {
        static RELEASED: AtomicUsize = AtomicUsize::new(0);
        let mut memory = vec![7u8; 100];
        let ptr = memory.as_mut_ptr();
        let release = Box::new(move || {
            drop(memory);
            RELEASED.fetch_add(1, Ordering::SeqCst);
        });
        // SAFETY: the closure owns the memory.
        let storage = unsafe { Storage::from_foreign(ptr, 100, true, release) };
        let other = storage.clone();
        std::thread::spawn(move || drop(other)).join().unwrap();
        assert_eq!(RELEASED.load(Ordering::SeqCst), 0);
        assert!(storage.is_read_only() && !storage.is_ours());
        drop(storage);
        assert_eq!(RELEASED.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn bytes_of_one_owner_only() {
        let mut a = Storage::zeroed(10).unwrap();
        a.unique_bytes().unwrap()[3] = 1;
        let b = a.clone();
        assert!(a.unique_bytes().is_none());
        drop(b);
        assert_eq!(a.unique_bytes().unwrap()[3], 1);
    }
}
