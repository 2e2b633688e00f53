//! Powers of tensors: by a literal that few products make, and of integers.

use super::GraphOp;
use super::intrinsic::internal;
use super::lower::{LowerError, LowerErrorKind, Lowered, Lowerer, Scope, Value};
use crate::dtype::{DType, Literal};
use crate::id::NodeId;
use crate::prim::Prim;

const NEGATIVE: &str = "Integers to negative integer powers are not allowed.";

impl Lowerer<'_> {
    /// The value of a constant, and whether it is a float.
    pub(super) fn constant(&self, value: &Value) -> Option<(f64, bool)> {
        let Value::Node { id, .. } = value else { return None };
        match self.graph.node(*id).op {
            GraphOp::Const(c) => Some((c.as_f64(), c.dtype.is_float())),
            _ => None,
        }
    }

    /// x^e for the exponents of `SMALL_POWERS`; integers have no inverses.
    pub(super) fn pow_literal(&mut self, x: &Value, exponent: &Value, scope: Scope<'_>) -> Lowered<NodeId> {
        let (Value::Node { id: x, .. }, Some((e, is_float))) = (x, self.constant(exponent)) else {
            return internal(format!("pow_literal without a literal, in {}", scope.name()));
        };
        let (x, dtype) = (*x, self.dtype(*x));
        if !is_float && e < 0.0 {
            return Err(LowerError::new(LowerErrorKind::Runtime, NEGATIVE));
        }
        let mut power = x;
        if e.abs() == 0.5 {
            power = self.lanes(Prim::Sqrt, &[x])?;
        } else if e.abs() > 1.0 {
            power = self.lanes(Prim::Mul, &[x, x])?;
        }
        if e > 2.0 {
            power = self.lanes(Prim::Mul, &[power, if e == 3.0 { x } else { power }])?;
        }
        if e < 0.0 {
            let one = self.push(GraphOp::Const(Literal::float(dtype, 1.0)), dtype, vec![]);
            power = self.lanes(Prim::Div, &[one, power])?;
        }
        Ok(power)
    }

    /// By squaring, one step per bit of the exponent; negative exponents in tensors as PyTorch: 1 and -1 keep their
    /// powers, all else is 0.
    pub(super) fn pow_int(&mut self, x: &Value, exponent: &Value, scope: Scope<'_>) -> Lowered<NodeId> {
        let dtype = scope.dtype;
        let (x, e) = (self.node(x, dtype)?, self.node(exponent, dtype)?);
        let number = |l: &mut Self, i: i64| l.push(GraphOp::Const(Literal::int(dtype, i)), dtype, vec![]);
        let known = if let GraphOp::Const(c) = self.graph.node(e).op { Some(c.as_i64()) } else { None };
        if known.is_some_and(|e| e < 0) {
            return Err(LowerError::new(LowerErrorKind::Runtime, NEGATIVE));
        }
        let (zero, one) = (number(self, 0), number(self, 1));
        let (mut result, mut base) = (one, x);
        let bits = 8 * dtype.size() as i64 - i64::from(dtype != DType::U8);
        for bit in 0..bits {
            // Beyond a literal's highest bit nothing changes.
            if known.is_some_and(|e| e >> bit == 0) {
                break;
            }
            if bit > 0 {
                base = self.lanes(Prim::Mul, &[base, base])?;
            }
            let product = self.lanes(Prim::Mul, &[result, base])?;
            let mask = number(self, 1 << bit);
            let taken = self.lanes(Prim::And, &[e, mask])?;
            let taken = self.lanes(Prim::Ne, &[taken, zero])?;
            result = self.select(taken, product, result)?;
        }
        if known.is_some() || dtype == DType::U8 {
            return Ok(result);
        }
        let minus_one = number(self, -1);
        let odd = self.lanes(Prim::And, &[e, one])?;
        let odd = self.lanes(Prim::Ne, &[odd, zero])?;
        let (is_one, is_minus) = (self.lanes(Prim::Eq, &[x, one])?, self.lanes(Prim::Eq, &[x, minus_one])?);
        let sign = self.select(odd, minus_one, one)?;
        let other = self.select(is_minus, sign, zero)?;
        let inverse = self.select(is_one, one, other)?;
        let negative = self.lanes(Prim::Lt, &[e, zero])?;
        self.select(negative, inverse, result)
    }
}
