//! Extents or strides of one tensor, without a heap allocation up to rank six: a tensor is cloned
//! and viewed in tens of nanoseconds.

use std::ops::{Deref, DerefMut};

const INLINE: usize = 6;

/// A short list of `i64`; dereferences to a slice.
#[derive(Clone)]
pub struct Dims(Repr);

#[derive(Clone)]
enum Repr {
    Inline(u8, [i64; INLINE]),
    Heap(Box<[i64]>),
}

impl Dims {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Dims {
        if len <= INLINE {
            Dims(Repr::Inline(len as u8, [0; INLINE]))
        } else {
            Dims(Repr::Heap(vec![0; len].into_boxed_slice()))
        }
    }

    /// Row-major strides of these extents; saturated, where the extents of an empty tensor are that large.
    pub fn contiguous(shape: &[i64]) -> Dims {
        let mut strides = Dims::zeros(shape.len());
        let mut next = 1i64;
        for d in (0..shape.len()).rev() {
            strides[d] = next;
            next = shape[d].max(1).saturating_mul(next);
        }
        strides
    }
}

impl From<&[i64]> for Dims {
    fn from(values: &[i64]) -> Dims {
        let mut dims = Dims::zeros(values.len());
        dims.copy_from_slice(values);
        dims
    }
}

impl From<Vec<i64>> for Dims {
    fn from(values: Vec<i64>) -> Dims {
        if values.len() <= INLINE { values.as_slice().into() } else { Dims(Repr::Heap(values.into_boxed_slice())) }
    }
}

impl FromIterator<i64> for Dims {
    fn from_iter<I: IntoIterator<Item = i64>>(iter: I) -> Dims {
        let mut inline = [0; INLINE];
        let mut len = 0;
        let mut iter = iter.into_iter();
        while let Some(v) = iter.next() {
            if len == INLINE {
                let mut all = inline.to_vec();
                all.push(v);
                all.extend(iter);
                return Dims(Repr::Heap(all.into_boxed_slice()));
            }
            inline[len] = v;
            len += 1;
        }
        Dims(Repr::Inline(len as u8, inline))
    }
}

impl Deref for Dims {
    type Target = [i64];
    fn deref(&self) -> &[i64] {
        match &self.0 {
            Repr::Inline(len, values) => &values[..usize::from(*len)],
            Repr::Heap(values) => values,
        }
    }
}

impl DerefMut for Dims {
    fn deref_mut(&mut self) -> &mut [i64] {
        match &mut self.0 {
            Repr::Inline(len, values) => &mut values[..usize::from(*len)],
            Repr::Heap(values) => values,
        }
    }
}

impl PartialEq for Dims {
    fn eq(&self, other: &Dims) -> bool {
        **self == **other
    }
}

impl Eq for Dims {}

impl std::hash::Hash for Dims {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl std::fmt::Debug for Dims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_and_heap_agree() {
        for n in 0..10i64 {
            let v: Vec<i64> = (0..n).collect();
            assert_eq!(&*Dims::from(v.clone()), &v[..]);
            assert_eq!(&*Dims::from(&v[..]), &v[..]);
            assert_eq!(&*Dims::contiguous(&v), &rusttorch_ir::graph::contiguous_strides(&v)[..]);
            assert_eq!(&*v.iter().copied().collect::<Dims>(), &v[..]);
        }
    }
}
