//! Index expressions: the integer arithmetic of loop bounds and addresses.
//!
//! All arithmetic is on i64, in elements (never bytes). Division is floor division and the divisor
//! of `FloorDiv` and `Mod` is positive; launch checks that, and that nothing overflows, by
//! evaluating the expression over the box of axis ranges ([`IndexExpr::range`]).

use crate::id::{AxisId, SymId, ValueId};
use std::collections::BTreeMap;
use std::fmt;

/// An integer expression over axes, run-time symbols and checked indices.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum IndexExpr {
    /// A constant.
    Const(i64),
    /// A loop axis.
    Axis(AxisId),
    /// A run-time extent or stride.
    Sym(SymId),
    /// The result of a `check` instruction: an index known to lie within its size.
    Value(ValueId),
    /// a + b
    Add(Box<IndexExpr>, Box<IndexExpr>),
    /// a * b
    Mul(Box<IndexExpr>, Box<IndexExpr>),
    /// floor(a / b), b > 0
    FloorDiv(Box<IndexExpr>, Box<IndexExpr>),
    /// a - floor(a / b) * b, b > 0
    Mod(Box<IndexExpr>, Box<IndexExpr>),
    /// The smaller one.
    Min(Box<IndexExpr>, Box<IndexExpr>),
    /// The larger one.
    Max(Box<IndexExpr>, Box<IndexExpr>),
}

use IndexExpr::*;

/// What an index expression is evaluated over.
pub trait IndexEnv {
    /// The value of an axis.
    fn axis(&self, a: AxisId) -> i64;
    /// The value of a symbol.
    fn sym(&self, s: SymId) -> i64;
    /// The value of a checked index.
    fn value(&self, v: ValueId) -> i64;
}

impl From<i64> for IndexExpr {
    fn from(c: i64) -> Self {
        Const(c)
    }
}
impl From<AxisId> for IndexExpr {
    fn from(a: AxisId) -> Self {
        Axis(a)
    }
}
impl From<SymId> for IndexExpr {
    fn from(s: SymId) -> Self {
        Sym(s)
    }
}

impl std::ops::Add for IndexExpr {
    type Output = IndexExpr;
    fn add(self, rhs: IndexExpr) -> IndexExpr {
        match (self, rhs) {
            // 0 + x => x
            (Const(0), x) | (x, Const(0)) => x,
            (Const(a), Const(b)) => Const(a.wrapping_add(b)),
            // c + x => x + c: constants last
            (c @ Const(_), x) => Add(Box::new(x), Box::new(c)),
            (a, b) => Add(Box::new(a), Box::new(b)),
        }
    }
}

impl std::ops::Mul for IndexExpr {
    type Output = IndexExpr;
    fn mul(self, rhs: IndexExpr) -> IndexExpr {
        match (self, rhs) {
            // 0 * x => 0
            (Const(0), _) | (_, Const(0)) => Const(0),
            // 1 * x => x
            (Const(1), x) | (x, Const(1)) => x,
            (Const(a), Const(b)) => Const(a.wrapping_mul(b)),
            (a, b) => Mul(Box::new(a), Box::new(b)),
        }
    }
}

impl IndexExpr {
    /// Zero.
    pub fn zero() -> IndexExpr {
        Const(0)
    }

    /// floor(self / d); `d` must be positive when evaluated.
    pub fn floor_div(self, d: IndexExpr) -> IndexExpr {
        match (self, d) {
            // x / 1 => x
            (x, Const(1)) => x,
            (Const(a), Const(b)) if b > 0 => Const(a.div_euclid(b)),
            (a, b) => FloorDiv(Box::new(a), Box::new(b)),
        }
    }

    /// self mod d; `d` must be positive when evaluated.
    pub fn modulo(self, d: IndexExpr) -> IndexExpr {
        match (self, d) {
            // x mod 1 => 0
            (_, Const(1)) => Const(0),
            (Const(a), Const(b)) if b > 0 => Const(a.rem_euclid(b)),
            (a, b) => Mod(Box::new(a), Box::new(b)),
        }
    }

    /// The smaller of both.
    pub fn min(self, o: IndexExpr) -> IndexExpr {
        match (self, o) {
            (Const(a), Const(b)) => Const(a.min(b)),
            (a, b) => Min(Box::new(a), Box::new(b)),
        }
    }

    /// The larger of both.
    pub fn max(self, o: IndexExpr) -> IndexExpr {
        match (self, o) {
            (Const(a), Const(b)) => Const(a.max(b)),
            (a, b) => Max(Box::new(a), Box::new(b)),
        }
    }

    /// The operands, for traversals.
    pub fn children(&self) -> Option<(&IndexExpr, &IndexExpr)> {
        match self {
            Const(_) | Axis(_) | Sym(_) | Value(_) => None,
            Add(a, b) | Mul(a, b) | FloorDiv(a, b) | Mod(a, b) | Min(a, b) | Max(a, b) => Some((a, b)),
        }
    }

    /// Calls `f` on every sub-expression, outermost first.
    pub fn visit(&self, f: &mut impl FnMut(&IndexExpr)) {
        f(self);
        if let Some((a, b)) = self.children() {
            a.visit(f);
            b.visit(f);
        }
    }

    /// True when no axis and no checked index occurs: the value is fixed for a launch.
    pub fn is_uniform(&self) -> bool {
        let mut uniform = true;
        self.visit(&mut |e| uniform &= !matches!(e, Axis(_) | Value(_)));
        uniform
    }

    /// True when `axis` occurs.
    pub fn uses_axis(&self, axis: AxisId) -> bool {
        let mut found = false;
        self.visit(&mut |e| found |= *e == Axis(axis));
        found
    }

    /// Rebuilds the expression with leaves replaced by `f` (None keeps a leaf).
    pub fn map_leaves(&self, f: &mut impl FnMut(&IndexExpr) -> Option<IndexExpr>) -> IndexExpr {
        let Some((a, b)) = self.children() else { return f(self).unwrap_or_else(|| self.clone()) };
        let (a, b) = (a.map_leaves(f), b.map_leaves(f));
        match self {
            Add(..) => a + b,
            Mul(..) => a * b,
            FloorDiv(..) => a.floor_div(b),
            Mod(..) => a.modulo(b),
            Min(..) => a.min(b),
            Max(..) => a.max(b),
            Const(_) | Axis(_) | Sym(_) | Value(_) => unreachable!("leaves have no children"),
        }
    }

    /// The coefficient of an axis in an expression that is linear in it; None where it is not.
    pub fn coefficient(&self, axis: AxisId) -> Option<IndexExpr> {
        match self {
            Axis(a) if *a == axis => Some(Const(1)),
            Add(a, b) => Some(a.coefficient(axis)? + b.coefficient(axis)?),
            Mul(a, b) if a.is_uniform() => Some((**a).clone() * b.coefficient(axis)?),
            Mul(a, b) if b.is_uniform() => Some((**b).clone() * a.coefficient(axis)?),
            e if !e.uses_axis(axis) => Some(IndexExpr::zero()),
            _ => None,
        }
    }

    /// The value under `env`; None on overflow or a divisor that is not positive.
    pub fn eval(&self, env: &impl IndexEnv) -> Option<i64> {
        match self {
            Const(c) => Some(*c),
            Axis(a) => Some(env.axis(*a)),
            Sym(s) => Some(env.sym(*s)),
            Value(v) => Some(env.value(*v)),
            _ => {
                let (a, b) = self.children().expect("not a leaf");
                let (a, b) = (a.eval(env)?, b.eval(env)?);
                match self {
                    Add(..) => a.checked_add(b),
                    Mul(..) => a.checked_mul(b),
                    FloorDiv(..) => (b > 0).then(|| a.div_euclid(b)),
                    Mod(..) => (b > 0).then(|| a.rem_euclid(b)),
                    Min(..) => Some(a.min(b)),
                    Max(..) => Some(a.max(b)),
                    _ => unreachable!("leaves were handled"),
                }
            }
        }
    }

    /// The interval of values over a box: `axis` and `value` give inclusive ranges. Exact for
    /// expressions affine in independent axes, otherwise an over-approximation. None on overflow or a
    /// divisor that may be below 1.
    pub fn range(
        &self,
        axis: &impl Fn(AxisId) -> (i64, i64),
        sym: &impl Fn(SymId) -> i64,
        value: &impl Fn(ValueId) -> (i64, i64),
    ) -> Option<(i64, i64)> {
        let hull = |a: i64, b: i64, c: i64, d: i64| (a.min(b).min(c).min(d), a.max(b).max(c).max(d));
        Some(match self {
            Const(c) => (*c, *c),
            Axis(a) => axis(*a),
            Sym(s) => (sym(*s), sym(*s)),
            Value(v) => value(*v),
            _ => {
                let (a, b) = self.children().expect("not a leaf");
                let (a0, a1) = a.range(axis, sym, value)?;
                let (b0, b1) = b.range(axis, sym, value)?;
                match self {
                    Add(..) => (a0.checked_add(b0)?, a1.checked_add(b1)?),
                    Mul(..) => hull(a0.checked_mul(b0)?, a0.checked_mul(b1)?, a1.checked_mul(b0)?, a1.checked_mul(b1)?),
                    FloorDiv(..) if b0 > 0 => {
                        hull(a0.div_euclid(b0), a0.div_euclid(b1), a1.div_euclid(b0), a1.div_euclid(b1))
                    }
                    // A range inside one period keeps its shape.
                    Mod(..) if b0 > 0 && b0 == b1 && a0.div_euclid(b0) == a1.div_euclid(b0) => {
                        (a0.rem_euclid(b0), a1.rem_euclid(b0))
                    }
                    Mod(..) if b0 > 0 => (0, b1 - 1),
                    FloorDiv(..) | Mod(..) => return None,
                    Min(..) => (a0.min(b0), a1.min(b1)),
                    Max(..) => (a0.max(b0), a1.max(b1)),
                    _ => unreachable!("leaves were handled"),
                }
            }
        })
    }

    /// Splits the expression into a part without axes and checked indices, and one uniform
    /// coefficient per axis. None when an axis or a checked index occurs otherwise.
    pub fn affine(&self) -> Option<Affine> {
        if self.is_uniform() {
            return Some(Affine { base: self.clone(), terms: BTreeMap::new() });
        }
        match self {
            Axis(a) => Some(Affine { base: Const(0), terms: BTreeMap::from([(*a, Const(1))]) }),
            Add(a, b) => {
                let (mut a, b) = (a.affine()?, b.affine()?);
                for (axis, c) in b.terms {
                    let old = a.terms.remove(&axis).unwrap_or(Const(0));
                    a.terms.insert(axis, old + c);
                }
                a.base = a.base + b.base;
                Some(a)
            }
            Mul(a, b) => {
                let (k, e) = if a.is_uniform() { (a, b) } else { (b, a) };
                if !k.is_uniform() {
                    return None;
                }
                let e = e.affine()?;
                let times = |x: IndexExpr| (**k).clone() * x;
                Some(Affine { base: times(e.base), terms: e.terms.into_iter().map(|(a, c)| (a, times(c))).collect() })
            }
            _ => None,
        }
    }
}

/// `base + sum(coefficient * axis)`; everything but the axes is uniform.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Affine {
    /// The part without axes.
    pub base: IndexExpr,
    /// The coefficient of every axis that occurs.
    pub terms: BTreeMap<AxisId, IndexExpr>,
}

impl Affine {
    /// The coefficient of `axis`, zero when it does not occur.
    pub fn stride(&self, axis: AxisId) -> IndexExpr {
        self.terms.get(&axis).cloned().unwrap_or(Const(0))
    }
}

impl fmt::Display for IndexExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Products bind tighter than sums; the other forms are written as calls.
        let factor = |e: &IndexExpr, f: &mut fmt::Formatter<'_>| match e {
            Add(..) => write!(f, "({e})"),
            Const(c) if *c < 0 => write!(f, "({c})"),
            _ => write!(f, "{e}"),
        };
        match self {
            Const(c) => write!(f, "{c}"),
            Axis(a) => write!(f, "{a}"),
            Sym(s) => write!(f, "{s}"),
            Value(v) => write!(f, "{v}"),
            Add(a, b) => {
                write!(f, "{a} + ")?;
                match **b {
                    // a + (b + c) keeps its shape through the text
                    Add(..) => write!(f, "({b})"),
                    _ => write!(f, "{b}"),
                }
            }
            Mul(a, b) => {
                factor(a, f)?;
                f.write_str("*")?;
                match **b {
                    Mul(..) => write!(f, "({b})"),
                    _ => factor(b, f),
                }
            }
            FloorDiv(a, b) => write!(f, "floordiv({a}, {b})"),
            Mod(a, b) => write!(f, "mod({a}, {b})"),
            Min(a, b) => write!(f, "min({a}, {b})"),
            Max(a, b) => write!(f, "max({a}, {b})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affine_splits_sums_and_products() {
        let (i, j) = (AxisId(0), AxisId(1));
        let e = (IndexExpr::from(i) * Sym(SymId(0)) + j.into() + Const(3)) * Const(2) + i.into();
        let a = e.affine().expect("affine");
        assert_eq!(a.stride(j), Const(2));
        assert_eq!(a.stride(i).to_string(), "2*s0 + 1");
        assert_eq!(a.base, Const(6));
        assert!(IndexExpr::from(i).floor_div(Const(2)).affine().is_none());
    }

    #[test]
    fn range_is_exact_for_affine() {
        let i = AxisId(0);
        let e = IndexExpr::from(i) * Const(-4) + Const(100);
        let r = e.range(&|_| (0, 25), &|_| 0, &|_| (0, 0));
        assert_eq!(r, Some((0, 100)));
        let m = IndexExpr::from(i).modulo(Const(8));
        assert_eq!(m.range(&|_| (8, 10), &|_| 0, &|_| (0, 0)), Some((0, 2)));
        assert_eq!(m.range(&|_| (8, 17), &|_| 0, &|_| (0, 0)), Some((0, 7)));
    }
}
