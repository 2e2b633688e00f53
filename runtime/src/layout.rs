//! Strides: which layouts views have, which layouts results get, and which overlap. Pure functions over
//! extents and strides in elements.
//!
//! Results of elementwise operations have the strides that PyTorch's TensorIterator gives
//! ([`elementwise_output_strides`]), or, for NumPy operands, those of `order='K'`
//! ([`numpy_k_strides`]).

use rusttorch_ir::graph::contiguous_strides;

/// One operand of an elementwise operation.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// Strides in elements.
    pub strides: &'a [i64],
    /// Extents.
    pub shape: &'a [i64],
}

/// True when elements lie in row-major order without gaps. Extents of 1 do not count; a tensor of
/// no elements is contiguous.
pub fn is_contiguous(shape: &[i64], strides: &[i64]) -> bool {
    is_dense_in(shape, strides, (0..shape.len()).rev()) || shape.contains(&0)
}

/// True for a 4-d tensor whose elements lie in the order N, H, W, C (`torch.channels_last`).
pub fn is_channels_last(shape: &[i64], strides: &[i64]) -> bool {
    shape.len() == 4 && (is_dense_in(shape, strides, [1, 3, 2, 0].into_iter()) || shape.contains(&0))
}

/// True when the dimensions, the fastest first, are packed without gaps.
fn is_dense_in(shape: &[i64], strides: &[i64], fastest_first: impl Iterator<Item = usize>) -> bool {
    let mut expected = 1;
    for d in fastest_first {
        if shape[d] != 1 {
            if strides[d] != expected {
                return false;
            }
            expected *= shape[d];
        }
    }
    true
}

/// True when some order of the dimensions makes the elements contiguous.
pub fn is_non_overlapping_and_dense(shape: &[i64], strides: &[i64]) -> bool {
    if is_contiguous(shape, strides) {
        return true;
    }
    let mut order: Vec<usize> = (0..shape.len()).filter(|&d| shape[d] != 1).collect();
    order.sort_by_key(|&d| strides[d]);
    is_dense_in(shape, strides, order.into_iter())
}

/// Strides of PyTorch's result of an elementwise operation over `inputs` that broadcast to `shape`.
/// A Python number takes part as an operand of no dimensions.
///
/// The rule: operands that all have the result's shape and share one dense layout give it to the
/// result. Else dimensions are sorted by the strides of the first operand that can tell two of them
/// apart (a broadcast dimension cannot; equal strides are told apart by extents), and the result is
/// dense in that order. Operands that PyTorch converts to another dtype first count with the strides
/// of the converted copy, [`preserve_format_strides`].
pub fn elementwise_output_strides(inputs: &[Operand<'_>], shape: &[i64]) -> Vec<i64> {
    if inputs.iter().all(|op| op.shape == shape)
        && let Some(strides) = shared_dense_strides(inputs, shape)
    {
        return strides;
    }
    let strides: Vec<Vec<i64>> = inputs.iter().map(|op| broadcast_for_order(op, shape)).collect();
    dense_strides(shape, &torch_order(&strides, shape))
}

/// The layout that operands of the result's own shape agree on.
fn shared_dense_strides(inputs: &[Operand<'_>], shape: &[i64]) -> Option<Vec<i64>> {
    if inputs.iter().all(|op| is_contiguous(op.shape, op.strides)) {
        return Some(contiguous_strides(shape));
    }
    if inputs.iter().all(|op| is_channels_last(op.shape, op.strides)) {
        let (c, h, w) = (shape[1], shape[2], shape[3]);
        return Some(vec![c * h * w, 1, c * w, c]);
    }
    let last = inputs.last()?;
    let agree =
        inputs.iter().all(|op| op.strides == last.strides && is_non_overlapping_and_dense(op.shape, op.strides));
    agree.then(|| last.strides.to_vec())
}

/// Strides over the result's dimensions, 0 where the operand is broadcast.
fn broadcast_for_order(op: &Operand<'_>, shape: &[i64]) -> Vec<i64> {
    let lead = shape.len() - op.shape.len();
    let own = (0..op.shape.len()).map(|d| if op.shape[d] == 1 && shape[lead + d] != 1 { 0 } else { op.strides[d] });
    std::iter::repeat_n(0, lead).chain(own).collect()
}

/// Dimensions from the fastest to the slowest, as TensorIterator sorts them.
fn torch_order(operands: &[Vec<i64>], shape: &[i64]) -> Vec<usize> {
    use std::cmp::Ordering::{self, Equal, Greater, Less};
    let compare = |a: usize, b: usize| -> Ordering {
        for strides in operands {
            if strides[a] == 0 || strides[b] == 0 {
                continue;
            }
            match strides[a].cmp(&strides[b]) {
                Equal if shape[a] > shape[b] => return Greater,
                Equal => {}
                decided => return decided,
            }
        }
        Equal
    };
    let mut order: Vec<usize> = (0..shape.len()).rev().collect();
    // The comparison is no total order, so the result depends on this very insertion sort: ambiguous
    // neighbours are passed over while looking for a decided one.
    for i in 1..order.len() {
        let mut moving = i;
        for other in (0..i).rev() {
            match compare(order[other], order[moving]) {
                Greater => {
                    order.swap(other, moving);
                    moving = other;
                }
                Less => break,
                Equal => {}
            }
        }
    }
    order
}

/// Strides of a dense tensor whose dimensions are in this order, the fastest first.
fn dense_strides(shape: &[i64], fastest_first: &[usize]) -> Vec<i64> {
    if fastest_first.iter().rev().copied().eq(0..shape.len()) {
        return contiguous_strides(shape);
    }
    let mut strides = vec![0; shape.len()];
    let mut next = 1;
    for &d in fastest_first {
        strides[d] = next;
        next *= shape[d];
    }
    strides
}

/// Strides of `torch.empty_like(x)` and of a dtype conversion: dense layouts are kept, others are made
/// dense in the order of their strides.
pub fn preserve_format_strides(shape: &[i64], strides: &[i64]) -> Vec<i64> {
    if is_non_overlapping_and_dense(shape, strides) {
        return strides.to_vec();
    }
    dense_strides(shape, &torch_order(&[strides.to_vec()], shape))
}

/// Strides of NumPy's result of a ufunc with `order='K'`. In conflicts between operands C order wins;
/// the direction of negative strides is not kept.
pub fn numpy_k_strides(inputs: &[Operand<'_>], shape: &[i64]) -> Vec<i64> {
    let operands: Vec<Vec<i64>> = inputs
        .iter()
        .map(|op| {
            let lead = shape.len() - op.shape.len();
            let own = (0..op.shape.len()).map(|d| if op.shape[d] == 1 { 0 } else { op.strides[d].abs() });
            std::iter::repeat_n(0, lead).chain(own).collect()
        })
        .collect();
    // None: no operand tells the two apart. Some(true): b must come before a.
    let swapped = |a: usize, b: usize| -> Option<bool> {
        let mut told = operands.iter().filter(|s| s[a] != 0 && s[b] != 0).map(|s| s[a] > s[b]).peekable();
        told.peek()?;
        Some(told.all(|swap| swap))
    };
    let mut order: Vec<usize> = (0..shape.len()).rev().collect();
    for i in 1..order.len() {
        let mut position = i;
        for other in (0..i).rev() {
            match swapped(order[other], order[i]) {
                Some(true) => position = other,
                Some(false) => break,
                None => {}
            }
        }
        order[position..=i].rotate_right(1);
    }
    let mut strides = vec![0; shape.len()];
    let mut next = 1;
    for &d in &order {
        strides[d] = next;
        next *= shape[d].max(1);
    }
    strides
}

/// Strides of a view of the same elements under another shape, or none where a copy is needed.
/// Both shapes have the same number of elements.
pub fn view_strides(shape: &[i64], strides: &[i64], target: &[i64]) -> Option<Vec<i64>> {
    if shape.contains(&0) {
        return Some(if shape == target { strides.to_vec() } else { contiguous_strides(target) });
    }
    let mut out = vec![1; target.len()];
    let mut t = target.len();
    // A chunk is a run of dimensions that is one strided dimension; target dimensions are cut from it.
    let mut chunk_base = strides.last().copied().unwrap_or(1);
    let mut chunk_numel = 1;
    let mut view_numel = 1;
    for d in (0..shape.len()).rev() {
        chunk_numel *= shape[d];
        let ends = d == 0 || (shape[d - 1] != 1 && strides[d - 1] != chunk_numel * chunk_base);
        if !ends {
            continue;
        }
        while t > 0 && (view_numel < chunk_numel || target[t - 1] == 1) {
            t -= 1;
            out[t] = view_numel * chunk_base;
            view_numel *= target[t];
        }
        if view_numel != chunk_numel {
            return None;
        }
        if d > 0 {
            chunk_base = strides[d - 1];
            chunk_numel = 1;
            view_numel = 1;
        }
    }
    // Only extents of 1 can be left, when the operand has no dimensions.
    (t == 0 || shape.is_empty()).then_some(out)
}

/// The lowest and highest element offset that is reached, or none for no elements or on overflow.
pub fn extent(shape: &[i64], strides: &[i64]) -> Option<(i64, i64)> {
    let (mut low, mut high) = (0i64, 0i64);
    for (&n, &stride) in shape.iter().zip(strides) {
        let reach = n.checked_sub(1).filter(|&r| r >= 0)?.checked_mul(stride)?;
        if reach < 0 {
            low = low.checked_add(reach)?;
        } else {
            high = high.checked_add(reach)?;
        }
    }
    Some((low, high))
}

/// Number of elements; none on overflow or a negative extent.
pub fn checked_numel(shape: &[i64]) -> Option<i64> {
    if shape.contains(&0) {
        // PyTorch counts the other extents too, but a product with zero cannot overflow memory.
        return shape.iter().all(|&n| n >= 0).then_some(0);
    }
    shape.iter().try_fold(1i64, |product, &n| if n < 0 { None } else { product.checked_mul(n) })
}

/// Whether two elements may be one in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overlap {
    /// They are not.
    No,
    /// Some are.
    Yes,
    /// Deciding is as hard as a knapsack.
    TooHard,
}

/// Whether elements of one tensor share memory among themselves. Decided as PyTorch decides.
pub fn internal_overlap(shape: &[i64], strides: &[i64]) -> Overlap {
    if is_non_overlapping_and_dense(shape, strides) {
        Overlap::No
    } else if shape.iter().zip(strides).any(|(&n, &stride)| n > 1 && stride == 0) {
        Overlap::Yes
    } else if is_nested(shape, strides) {
        Overlap::No
    } else {
        Overlap::TooHard
    }
}

/// True when each dimension steps over all that faster ones reach: enough for no two elements to be one.
fn is_nested(shape: &[i64], strides: &[i64]) -> bool {
    let mut dims: Vec<(i64, i64)> =
        shape.iter().zip(strides).filter(|d| *d.0 > 1).map(|(&n, &stride)| (stride.saturating_abs(), n)).collect();
    dims.sort_unstable();
    let mut reach = 0i64;
    for (stride, n) in dims {
        if stride <= reach {
            return false;
        }
        reach = reach.saturating_add(stride.saturating_mul(n - 1));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op<'a>(shape: &'a [i64], strides: &'a [i64]) -> Operand<'a> {
        Operand { strides, shape }
    }

    #[test]
    fn torch_output_strides() {
        // channels_last is kept, also against a 0-d operand.
        let (shape, nhwc) = ([2, 3, 4, 5], [60, 1, 15, 3]);
        assert_eq!(elementwise_output_strides(&[op(&shape, &nhwc)], &shape), nhwc);
        assert_eq!(elementwise_output_strides(&[op(&shape, &nhwc), op(&[], &[])], &shape), nhwc);
        // The first operand of a disagreement wins.
        let nchw = [60, 20, 5, 1];
        assert_eq!(elementwise_output_strides(&[op(&shape, &nchw), op(&shape, &nhwc)], &shape), nchw);
        assert_eq!(elementwise_output_strides(&[op(&shape, &nhwc), op(&shape, &nchw)], &shape), nhwc);
        // Transposed, and a slice of it, which becomes dense.
        assert_eq!(elementwise_output_strides(&[op(&[3, 4], &[1, 3])], &[3, 4]), [1, 3]);
        assert_eq!(elementwise_output_strides(&[op(&[3, 4], &[2, 12])], &[3, 4]), [1, 3]);
        assert_eq!(elementwise_output_strides(&[op(&[3, 4], &[8, 1])], &[3, 4]), [4, 1]);
        // Expanded.
        assert_eq!(elementwise_output_strides(&[op(&[3, 4], &[1, 0])], &[3, 4]), [4, 1]);
        assert_eq!(elementwise_output_strides(&[op(&[4], &[1]), op(&[3, 1], &[1, 1])], &[3, 4]), [4, 1]);
        assert_eq!(elementwise_output_strides(&[], &[]), [0; 0]);
    }

    #[test]
    fn views() {
        assert_eq!(view_strides(&[2, 3, 4], &[12, 4, 1], &[6, 4]), Some(vec![4, 1]));
        assert_eq!(view_strides(&[2, 3, 4], &[12, 4, 1], &[2, 2, 6]), Some(vec![12, 6, 1]));
        assert_eq!(view_strides(&[3, 2], &[1, 3], &[6]), None);
        assert_eq!(view_strides(&[3, 2], &[1, 3], &[3, 1, 2]), Some(vec![1, 6, 3]));
        assert_eq!(view_strides(&[4], &[-1], &[2, 2]), Some(vec![-2, -1]));
        assert_eq!(view_strides(&[], &[], &[1, 1]), Some(vec![1, 1]));
        assert_eq!(view_strides(&[1], &[7], &[]), Some(vec![]));
        assert_eq!(view_strides(&[4, 1], &[0, 0], &[2, 2]), Some(vec![0, 0]));
    }

    #[test]
    fn overlap_within_a_tensor() {
        assert_eq!(internal_overlap(&[3, 4], &[4, 1]), Overlap::No);
        assert_eq!(internal_overlap(&[3, 4], &[8, 2]), Overlap::No);
        assert_eq!(internal_overlap(&[3, 4], &[0, 1]), Overlap::Yes);
        assert_eq!(internal_overlap(&[3, 1], &[1, 0]), Overlap::No);
        assert_eq!(internal_overlap(&[3, 4], &[1, 1]), Overlap::TooHard);
    }
}
