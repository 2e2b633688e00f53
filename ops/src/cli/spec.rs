//! Arguments as the command line writes them: `x:f32[1024,1024]`, `c:float`.

use rusttorch_ir::dtype::{Category, DType};
use rusttorch_ir::graph::{Operand, TensorMeta};

/// Largest number of elements that the command line makes up.
const MAX_ELEMENTS: i64 = 1 << 31;

/// Name and operand of one argument.
pub fn parse(text: &str) -> Result<(String, Operand), String> {
    let (name, kind) = text.split_once(':').ok_or_else(|| format!("'{text}' is not NAME:DTYPE[EXTENTS]"))?;
    let number = match kind {
        "float" => Some(Category::Float),
        "int" => Some(Category::Int),
        "bool" => Some(Category::Bool),
        _ => None,
    };
    // `x:bool` is a number, `x:bool[]` a tensor of no dimensions.
    if let Some(category) = number {
        return Ok((name.to_string(), Operand::Number(category)));
    }
    let (dtype, extents) = kind.split_once('[').ok_or_else(|| format!("'{kind}' is not DTYPE[EXTENTS]"))?;
    let dtype = DType::parse(dtype)
        .ok_or_else(|| format!("unknown dtype '{dtype}'; known are {}", DType::ALL.map(DType::name).join(", ")))?;
    let extents = extents.strip_suffix(']').ok_or_else(|| format!("'{kind}' lacks its ]"))?;
    let mut shape = Vec::new();
    for extent in extents.split(',').map(str::trim).filter(|e| !e.is_empty()) {
        match extent.parse::<i64>() {
            Ok(e) if e >= 0 => shape.push(e),
            _ => return Err(format!("'{extent}' is not an extent")),
        }
    }
    let elements = shape.iter().try_fold(1i64, |n, &e| n.checked_mul(e));
    if elements.is_none_or(|n| n > MAX_ELEMENTS) {
        return Err(format!("'{kind}' has more than {MAX_ELEMENTS} elements"));
    }
    Ok((name.to_string(), Operand::Tensor(TensorMeta::contiguous(dtype, &shape))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_and_numbers() {
        let x = parse("x:f32[2, 3]").expect("a tensor");
        assert_eq!(x, ("x".into(), Operand::Tensor(TensorMeta::contiguous(DType::F32, &[2, 3]))));
        let h = parse("h:bf16[4]").expect("a tensor");
        assert_eq!(h, ("h".into(), Operand::Tensor(TensorMeta::contiguous(DType::BF16, &[4]))));
        assert_eq!(parse("c:float"), Ok(("c".into(), Operand::Number(Category::Float))));
        assert!(matches!(parse("x:bool[]"), Ok((_, Operand::Tensor(m))) if m.shape.is_empty()));
        for bad in ["x", "x:f33[1]", "x:f32[1", "x:f32[-1]", "x:f32[9999999999,9999999999]", "x:f32"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
