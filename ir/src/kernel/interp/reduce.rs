//! The meaning of reductions: the definitions of [`Order`] applied to all values of a nest.
//!
//! The values are collected first, so nothing here resembles the accumulation in an emitter.

use super::prim::{eval, integer};
use crate::dtype::{DType, Literal};
use crate::kernel::{LANES_BYTES, LANES_CHUNK, Order, ROWS_GROUP, Reduction};
use crate::prim::Prim;
use std::cmp::Ordering;

/// A value, and the index beside it for argmax and argmin.
pub(super) type Item = (u64, u64);

/// The values of one reduction over a nest.
#[derive(Default)]
pub(super) struct Collected {
    /// In iteration order.
    pub items: Vec<Item>,
    /// Where each run starts.
    pub runs: Vec<usize>,
}

impl Collected {
    fn runs(&self) -> impl Iterator<Item = &[Item]> {
        self.runs.iter().enumerate().map(|(r, &start)| {
            let end = self.runs.get(r + 1).copied().unwrap_or(self.items.len());
            &self.items[start..end]
        })
    }
}

/// The results of a reduction. `t` is the operand's dtype, `index` that of the index operand.
pub(super) fn reduce(kind: Reduction, order: Order, t: DType, index: DType, values: &Collected) -> Vec<u64> {
    let binary = |p: Prim| move |a: Item, b: Item| (prim(p, t, a.0, b.0), 0);
    let one = |id: u64, p: Prim| vec![combine(order, t, (id, 0), &binary(p), values).0];
    let arg = |id: u64, better: Ordering| {
        let id = (id, index.int_range().1 as u64);
        let (value, index) = combine(order, t, id, &|a, b| arg_best(t, better, a, b), values);
        vec![value, index]
    };
    match kind {
        Reduction::Sum => one(sum_identity(t), Prim::Add),
        Reduction::Prod => one(integer(t, 1), Prim::Mul),
        Reduction::Max => one(extremes(t).0, Prim::Max),
        Reduction::Min => one(extremes(t).1, Prim::Min),
        Reduction::ArgMax => arg(extremes(t).0, Ordering::Greater),
        Reduction::ArgMin => arg(extremes(t).1, Ordering::Less),
        Reduction::Any => one(0, Prim::Or),
        Reduction::All => one(1, Prim::And),
        Reduction::Xor => one(0, Prim::Xor),
        Reduction::Moments => moments(order, t, values),
    }
}

fn prim(p: Prim, t: DType, a: u64, b: u64) -> u64 {
    eval(p, t, t, &[a, b]).expect("no division of integers")
}

fn sum_identity(t: DType) -> u64 {
    if t.is_float() { Literal::float(t, -0.0).bits } else { 0 }
}

/// The least and the largest value of a dtype.
fn extremes(t: DType) -> (u64, u64) {
    if t.is_float() {
        return (Literal::float(t, f64::NEG_INFINITY).bits, Literal::float(t, f64::INFINITY).bits);
    }
    let (low, high) = t.int_range();
    (low as u64, high as u64)
}

/// The better of two; NaN is better than any number, and of equals the lower index wins.
fn arg_best(t: DType, better: Ordering, a: Item, b: Item) -> Item {
    let compare = |p: Prim, x: u64, y: u64| prim(p, t, x, y) != 0;
    let (a_nan, b_nan) = (compare(Prim::Ne, a.0, a.0), compare(Prim::Ne, b.0, b.0));
    let order = if a_nan || b_nan {
        // As if NaN were the best of all.
        if better == Ordering::Greater { a_nan.cmp(&b_nan) } else { b_nan.cmp(&a_nan) }
    } else if compare(Prim::Gt, a.0, b.0) {
        Ordering::Greater
    } else if compare(Prim::Lt, a.0, b.0) {
        Ordering::Less
    } else {
        Ordering::Equal
    };
    let take_b = order == better.reverse() || (order == Ordering::Equal && (b.1 as i64) < (a.1 as i64));
    if take_b { b } else { a }
}

fn moments(order: Order, t: DType, values: &Collected) -> Vec<u64> {
    let add = |a: Item, b: Item| (prim(Prim::Add, t, a.0, b.0), 0);
    let id = (sum_identity(t), 0);
    let count = integer(t, values.items.len() as i64);
    let sum = combine(order, t, id, &add, values).0;
    let mean = prim(Prim::Div, t, sum, count);
    let square = |&(v, _): &Item| {
        let d = prim(Prim::Sub, t, v, mean);
        (prim(Prim::Mul, t, d, d), 0)
    };
    let squares = Collected { items: values.items.iter().map(square).collect(), runs: values.runs.clone() };
    let m2 = combine(order, t, id, &add, &squares).0;
    // The empty sum is -0.0, the promised m2 of nothing +0.
    vec![mean, prim(Prim::Add, t, m2, 0), count]
}

/// Combines in the order that the kernel states.
fn combine(order: Order, t: DType, id: Item, op: &dyn Fn(Item, Item) -> Item, values: &Collected) -> Item {
    match order {
        Order::Lanes => {
            let lanes = LANES_BYTES / t.size().max(4);
            let mut acc = vec![id; lanes];
            for chunk in values.runs().flat_map(|run| run.chunks(LANES_CHUNK)) {
                let mut part = vec![id; lanes];
                // A chunk starts at a multiple of the lane count, so k mod L counts from its start.
                for (k, &v) in chunk.iter().enumerate() {
                    part[k % lanes] = op(part[k % lanes], v);
                }
                for l in 0..lanes {
                    acc[l] = op(acc[l], part[l]);
                }
            }
            let mut h = lanes / 2;
            while h >= 1 {
                for l in 0..h {
                    acc[l] = op(acc[l], acc[l + h]);
                }
                h /= 2;
            }
            acc[0]
        }
        Order::Rows => {
            let mut acc = id;
            for run in values.runs() {
                let groups = run.chunks_exact(ROWS_GROUP);
                let rest = groups.remainder();
                for group in groups {
                    acc = op(acc, tree(group, op));
                }
                acc = rest.iter().fold(acc, |acc, &v| op(acc, v));
            }
            acc
        }
    }
}

/// Adjacent pairs, then pairs of these, and so on.
fn tree(group: &[Item], op: &dyn Fn(Item, Item) -> Item) -> Item {
    match group {
        [one] => *one,
        _ => {
            let (a, b) = group.split_at(group.len() / 2);
            op(tree(a, op), tree(b, op))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(runs: &[&[f32]]) -> Collected {
        let mut c = Collected::default();
        for run in runs {
            c.runs.push(c.items.len());
            c.items.extend(run.iter().zip(0..).map(|(v, i)| (u64::from(v.to_bits()), i)));
        }
        c
    }

    fn f32s(bits: Vec<u64>) -> Vec<f32> {
        bits.into_iter().map(|b| f32::from_bits(b as u32)).collect()
    }

    #[test]
    fn nothing_gives_the_identity() {
        for order in [Order::Lanes, Order::Rows] {
            for c in [floats(&[]), floats(&[&[], &[]])] {
                let of = |kind| f32s(reduce(kind, order, DType::F32, DType::I64, &c));
                assert!(of(Reduction::Sum)[0] == 0.0 && of(Reduction::Sum)[0].is_sign_negative());
                assert_eq!(of(Reduction::Max), [f32::NEG_INFINITY]);
                let m = of(Reduction::Moments);
                assert!(m[0].is_nan() && m[1].to_bits() == 0 && m[2] == 0.0);
            }
        }
    }

    #[test]
    fn rows_adds_trees_of_eight() {
        let v: Vec<f32> = (0..11).map(|i| 1.0 + (i as f32) * 1e-7).collect();
        let tree = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
        let want = (((-0.0 + tree) + v[8]) + v[9]) + v[10];
        assert_eq!(f32s(reduce(Reduction::Sum, Order::Rows, DType::F32, DType::I64, &floats(&[&v]))), [want]);
    }

    #[test]
    fn lanes_restart_with_every_run() {
        let v: Vec<f32> = (0..40).map(|i| (i as f32).sin()).collect();
        // Lane 1 takes v[1], v[33] of each run; fold by hand.
        let lane = |l: usize| -> f32 {
            let part = if l < 8 { -0.0 + v[l] + v[l + 32] } else { -0.0 + v[l] };
            (-0.0 + part) + part
        };
        let mut acc: Vec<f32> = (0..32).map(lane).collect();
        for h in [16, 8, 4, 2, 1] {
            for l in 0..h {
                acc[l] += acc[l + h];
            }
        }
        let got = f32s(reduce(Reduction::Sum, Order::Lanes, DType::F32, DType::I64, &floats(&[&v, &v])));
        assert_eq!(got, [acc[0]]);
    }

    #[test]
    fn argmax_takes_the_first_nan_and_the_lower_index() {
        let of = |kind, v: &[f32]| reduce(kind, Order::Lanes, DType::F32, DType::I64, &floats(&[v]))[1];
        assert_eq!(of(Reduction::ArgMax, &[1.0, 3.0, 3.0]), 1);
        assert_eq!(of(Reduction::ArgMax, &[1.0, f32::NAN, 5.0, f32::NAN]), 1);
        assert_eq!(of(Reduction::ArgMin, &[1.0, f32::NAN, 5.0, f32::NAN]), 1);
        assert_eq!(of(Reduction::ArgMax, &[f32::NEG_INFINITY]), 0);
        assert_eq!(of(Reduction::ArgMin, &[2.0, -0.0, 0.0]), 1);
        assert_eq!(of(Reduction::ArgMax, &[]), i64::MAX as u64);
    }
}
