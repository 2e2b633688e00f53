//! Writing a part of a tensor's memory: what is left of an in-place operation once its value has been
//! computed into memory of its own.
//!
//! Rule S1 of [`crate::storage`] has one exception here. Memory that has been lent to another library (a
//! NumPy array over a tensor, a tensor over a NumPy array) is written although others hold it, since that is
//! what lending is for. Among our own threads such writes exclude each other and the kernels that read lent
//! memory, by one lock ([`reading_lent`]). What the other library does meanwhile is its user's to order, as
//! between any two libraries; no reference to such bytes is ever made, only copies through raw pointers.
//!
//! Unsafe: strided copies through raw pointers.
#![allow(unsafe_code)]

use crate::error::{Detail, Result};
use crate::layout;
use crate::storage::Storage;
use crate::tensor::Tensor;
use crate::view::View;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

static LENT: RwLock<()> = RwLock::new(());

/// Held while lent memory is read: it is not written by us meanwhile. Not to be taken twice by a thread.
#[must_use = "memory may be written when the guard drops"]
pub fn reading_lent() -> RwLockReadGuard<'static, ()> {
    LENT.read().unwrap_or_else(PoisonError::into_inner)
}

/// What is written: the elements of a view, once or in several places.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The elements of one place.
    pub view: &'a View,
    /// Bytes from the view to each place.
    pub at: &'a [i64],
}

impl<'a> Places<'a> {
    /// The view itself.
    pub fn one(view: &'a View) -> Places<'a> {
        Places { view, at: &[0] }
    }
}

impl Storage {
    /// Copies the parts of `source` along its first dimension, each of the view's shape and dtype, to the places in
    /// this storage, in order, if nobody else owns the storage; else gives false and does nothing.
    ///
    /// # Panics
    /// When a place reaches outside of the storage, or is unlike its part of `source`.
    pub fn overwrite(&mut self, places: Places<'_>, source: &Tensor) -> Result<bool> {
        if !self.is_unique() {
            return Ok(false);
        }
        self.check(places, source)?;
        // SAFETY: `check` has compared the extents; nobody else owns the storage, so `source` has another one and
        // no thread reads this one.
        unsafe { self.copy(places, source) };
        Ok(true)
    }

    /// As `overwrite`, to storage which others may hold: memory that was lent. `source` is memory of its own.
    ///
    /// # Panics
    /// As `overwrite`, and when `source` is of this storage.
    pub fn overwrite_lent(&self, places: Places<'_>, source: &Tensor) -> Result<()> {
        assert!(!self.is_same(source.storage()), "the value of a write has memory of its own");
        self.check(places, source)?;
        let _writing = LENT.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: `check` has compared the extents; the lock keeps our own readers out, see the module for others.
        unsafe { self.copy(places, source) };
        Ok(())
    }

    fn check(&self, Places { view, at }: Places<'_>, source: &Tensor) -> Result<()> {
        assert!(
            source.shape().first() == Some(&(at.len() as i64))
                && view.shape() == &source.shape()[1..]
                && view.dtype == source.dtype(),
            "the value of a write is like what is written"
        );
        if self.is_read_only() {
            return Err(Detail::ReadOnly.into());
        }
        if view.overlaps_itself() {
            return Err(Detail::InternalOverlap.into());
        }
        if let (Some(least), Some(most), true) = (at.iter().min(), at.iter().max(), view.numel() > 0) {
            let (low, high) = layout::extent(&view.shape, &view.byte_strides()).expect("views of storage are small");
            let [first, last] = [(least, low), (most, high)].map(|(at, end)| i128::from(*at) + i128::from(end));
            let (offset, size) = (view.offset as i128, view.dtype.size() as i128);
            let inside = offset + first >= 0 && offset + last + size <= self.len() as i128;
            assert!(inside, "a view reaches outside of its storage");
        }
        Ok(())
    }

    /// # Safety
    /// The places lie within this storage, and `source` has a part of the view's shape and dtype for each; no other thread
    /// accesses the elements meanwhile.
    unsafe fn copy(&self, Places { view, at }: Places<'_>, source: &Tensor) {
        let (to_steps, from_steps) = (view.byte_strides(), source.layout().byte_strides());
        let copy = Copy { shape: view.shape(), to: &to_steps, from: &from_steps[1..], item: view.dtype.size() };
        if view.numel() == 0 {
            return;
        }
        for (i, &place) in at.iter().enumerate() {
            let (to, from) = ((view.offset as i64 + place) as usize, (i as i64 * from_steps[0]) as isize);
            // SAFETY: the caller's promise, and T1 for `source`.
            unsafe { copy.dims(self.as_ptr().add(to), source.data_ptr().offset(from), 0) };
        }
    }
}

/// A copy between two layouts; steps are in bytes.
struct Copy<'a> {
    shape: &'a [i64],
    to: &'a [i64],
    from: &'a [i64],
    item: usize,
}

impl Copy<'_> {
    /// Copies what lies under the dimensions from `d` on.
    ///
    /// # Safety
    /// All elements are readable at `from` and writable at `to`.
    unsafe fn dims(&self, to: *mut u8, from: *const u8, d: usize) {
        let at = |i: i64, step: &[i64]| (i * step[d]) as isize;
        // SAFETY: the caller's promise.
        unsafe {
            match self.shape.len() - d {
                0 => to.copy_from_nonoverlapping(from, self.item),
                1 if self.to[d] == self.item as i64 && self.from[d] == self.item as i64 => {
                    to.copy_from_nonoverlapping(from, self.shape[d] as usize * self.item);
                }
                1 => match self.item {
                    1 => self.items::<u8>(to, from, d),
                    2 => self.items::<u16>(to, from, d),
                    4 => self.items::<u32>(to, from, d),
                    _ => self.items::<u64>(to, from, d),
                },
                _ => (0..self.shape[d])
                    .for_each(|i| self.dims(to.offset(at(i, self.to)), from.offset(at(i, self.from)), d + 1)),
            }
        }
    }

    /// # Safety
    /// As `dims`, for the last dimension.
    unsafe fn items<T: std::marker::Copy>(&self, to: *mut u8, from: *const u8, d: usize) {
        for i in 0..self.shape[d] {
            let (to_step, from_step) = ((i * self.to[d]) as isize, (i * self.from[d]) as isize);
            // SAFETY: the caller's promise; foreign memory need not be aligned.
            unsafe {
                to.offset(to_step).cast::<T>().write_unaligned(from.offset(from_step).cast::<T>().read_unaligned())
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusttorch_ir::dtype::DType;

    #[test]
    fn a_part_is_written_and_sharing_is_refused() {
        let whole = Tensor::from_slice(&[0i32; 12], &[3, 4]).unwrap();
        let view = whole.layout().transpose(0, 1).unwrap().slice(0, 1, 4, 2).unwrap();
        let source = Tensor::from_slice(&[1i32, 2, 3, 4, 5, 6], &[1, 2, 3]).unwrap();
        let layout = whole.layout().clone();
        let mut storage = whole.storage().clone();
        assert!(!storage.overwrite(Places::one(&view), &source).unwrap(), "two own the memory");
        drop(whole);
        assert!(storage.overwrite(Places::one(&view), &source).unwrap());
        let whole = Tensor::of(storage, &layout).unwrap();
        assert_eq!(whole.to_vec::<i32>().unwrap(), [0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6]);
        let expanded = View::contiguous(&[1], DType::I32).unwrap().expand(&[3]).unwrap();
        let error =
            whole.storage().overwrite_lent(Places::one(&expanded), &Tensor::from_slice(&[1i32; 3], &[1, 3]).unwrap());
        assert!(error.unwrap_err().to_string().starts_with("unsupported operation: more than one element"));
        whole
            .storage()
            .overwrite_lent(
                Places::one(&layout.select(0, 0).unwrap()),
                &Tensor::from_slice(&[9i32; 4], &[1, 4]).unwrap(),
            )
            .unwrap();
        assert_eq!(whole.to_vec::<i32>().unwrap()[..5], [9, 9, 9, 9, 0]);
        // Columns 3, 0 and again 3, of which the last one stays.
        let column = layout.select(1, 0).unwrap();
        let source = Tensor::from_slice(&[1i32, 2, 3, 4, 5, 6, 7, 8, 9], &[3, 3]).unwrap();
        whole.storage().overwrite_lent(Places { view: &column, at: &[12, 0, 12] }, &source).unwrap();
        assert_eq!(whole.to_vec::<i32>().unwrap(), [4, 9, 9, 7, 5, 2, 0, 8, 6, 3, 0, 9]);
    }
}
