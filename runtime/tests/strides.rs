//! Strides of elementwise results against recorded ones of PyTorch and NumPy.

use rusttorch_runtime::layout::{Operand, elementwise_output_strides, numpy_k_strides};

fn list(text: &str) -> Vec<i64> {
    if text == "-" { Vec::new() } else { text.split(',').map(|n| n.parse().unwrap()).collect() }
}

#[test]
fn results_have_the_recorded_strides() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for line in include_str!("data/strides.txt").lines().filter(|l| !l.starts_with('#')) {
        let mut fields = line.split(';');
        let rule = fields.next().unwrap();
        let shape = list(fields.next().unwrap());
        let expected = list(fields.next().unwrap());
        let operands: Vec<(Vec<i64>, Vec<i64>)> = fields
            .map(|f| {
                let (shape, strides) = f.split_once('/').unwrap();
                (list(shape), list(strides))
            })
            .collect();
        let operands: Vec<Operand<'_>> = operands.iter().map(|(shape, strides)| Operand { shape, strides }).collect();
        let strides = match rule {
            "torch" => elementwise_output_strides(&operands, &shape),
            "numpy" => numpy_k_strides(&operands, &shape),
            other => panic!("unknown rule {other}"),
        };
        // NumPy leaves strides of extents of 1 to chance.
        let same = if rule == "torch" {
            strides == expected
        } else {
            (0..shape.len()).all(|d| shape[d] == 1 || strides[d] == expected[d])
        };
        cases += 1;
        if !same {
            wrong.push(format!("{line}\n    gives {strides:?}"));
        }
    }
    assert!(cases >= 900);
    assert!(wrong.is_empty(), "{} of {cases} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
