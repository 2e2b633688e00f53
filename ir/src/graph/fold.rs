//! Literals computed with as Python does.

use super::lower::{LowerError, LowerErrorKind, Lowered, Value};
use crate::expr::Attr;

/// Python's result of an operator on literals, if it is one and has one.
pub(super) fn fold(name: &str, args: &[Value]) -> Option<Lowered<Attr>> {
    let attr = |i: usize| match args.get(i) {
        Some(Value::Attr(a)) => Some(a),
        _ => None,
    };
    let (a, b) = (attr(0)?, attr(1));
    if let (2, "eq" | "ne", Some(b)) = (args.len(), name, b)
        && matches!(
            (a, b),
            (Attr::Str(_) | Attr::None | Attr::List(_), _) | (_, Attr::Str(_) | Attr::None | Attr::List(_))
        )
    {
        return Some(Ok(Attr::Bool((a == b) == (name == "eq"))));
    }
    let integer = |a: &Attr| match a {
        Attr::Int(i) => Some(*i),
        Attr::Bool(b) => Some(i64::from(*b)),
        _ => None,
    };
    let float = |a: &Attr| match a {
        Attr::Float(f) => Some(*f),
        other => integer(other).map(|i| i as f64),
    };
    match (args.len(), name) {
        (1, "logical_not") => return if let Attr::Bool(v) = a { Some(Ok(Attr::Bool(!v))) } else { None },
        (1, "neg") => {
            let negated = integer(a).and_then(i64::checked_neg).map(Attr::Int);
            return negated.or_else(|| float(a).map(|f| Attr::Float(-f))).map(Ok);
        }
        (2, _) => {}
        _ => return None,
    }
    let b = b?;
    if let (Attr::Bool(x), Attr::Bool(y)) = (a, b) {
        match name {
            "logical_and" => return Some(Ok(Attr::Bool(*x && *y))),
            "logical_or" => return Some(Ok(Attr::Bool(*x || *y))),
            _ => {}
        }
    }
    if let (Some(x), Some(y)) = (integer(a), integer(b)) {
        let exact = match name {
            "add" => x.checked_add(y),
            "sub" => x.checked_sub(y),
            "mul" => x.checked_mul(y),
            "floor_divide" if y != 0 => {
                x.checked_div_euclid(y).map(|q| if y < 0 && x.rem_euclid(y) != 0 { q - 1 } else { q })
            }
            "remainder" if y != 0 => x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }),
            "pow" if y >= 0 => u32::try_from(y).ok().and_then(|e| x.checked_pow(e)),
            _ => None,
        };
        if let Some(exact) = exact {
            return Some(Ok(Attr::Int(exact)));
        }
    }
    let (x, y) = (float(a)?, float(b)?);
    let zero_division = |what: &str| Some(Err(LowerError::new(LowerErrorKind::Value, what)));
    let number = match name {
        "add" => x + y,
        "sub" => x - y,
        "mul" => x * y,
        "true_divide" | "floor_divide" | "remainder" if y == 0.0 => return zero_division("division by zero"),
        "true_divide" => x / y,
        "floor_divide" => {
            let r = libm::fmod(x, y);
            let q = (x - r) / y;
            (if r != 0.0 && (r < 0.0) != (y < 0.0) { q - 1.0 } else { q }).round_ties_even()
        }
        "remainder" => {
            let r = libm::fmod(x, y);
            if r != 0.0 && (r < 0.0) != (y < 0.0) { r + y } else { r }
        }
        "pow" => libm::pow(x, y),
        "lt" => return Some(Ok(Attr::Bool(x < y))),
        "le" => return Some(Ok(Attr::Bool(x <= y))),
        "gt" => return Some(Ok(Attr::Bool(x > y))),
        "ge" => return Some(Ok(Attr::Bool(x >= y))),
        "eq" => return Some(Ok(Attr::Bool(x == y))),
        "ne" => return Some(Ok(Attr::Bool(x != y))),
        _ => return None,
    };
    Some(Ok(Attr::Float(number)))
}
