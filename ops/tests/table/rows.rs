//! Every row: completeness, and its values against its reference within its bounds.

use super::evaluate_in;
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::graph::eval::Tensor;
use rusttorch_ir::op::{DTypeRule, OpDef, OpTable, Reference, Row};
use rusttorch_ops::table::{builtin, rows};

#[test]
fn every_row_is_complete_and_its_bodies_parse() {
    for row in rows() {
        let name = row.name;
        assert!(!row.doc.is_empty() && row.doc.ends_with('.') && !row.body.is_empty(), "{name}");
        assert_eq!(row.reference.is_none(), !row.unreferenced.is_empty(), "{name}: a reference, or why there is none");
        // `iota` is ours: torch.arange has no operand whose shape it takes. torch has no penalties, and its frexp has
        // two results.
        let ours = ["frexp_exponent", "frexp_mantissa", "iota", "l1_penalty", "l2_penalty"].contains(&name);
        assert!(!row.torch.is_empty() || row.internal || ours, "{name} names no function of torch");
        for dtype in DType::ALL {
            if let Some(Err(e)) = OpDef::from(row).program(dtype) {
                panic!("{name} at {dtype}: {e}");
            }
        }
        let floats = [DType::F32, DType::F64].map(|d| OpDef::from(row).program(d).is_some());
        let of_ints = matches!(row.rule, DTypeRule::Bitwise(_) | DTypeRule::IntOnly(_));
        let part = row.internal && floats.contains(&true);
        assert!(floats == [true; 2] || of_ints || part, "{name}");
    }
}

/// 2^128: what f32 would hold next to its largest value.
const TWO_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

/// Units in the last place between a value and a real number that is given in f64.
fn ulps(dtype: DType, got: f64, want: f64) -> f64 {
    let rounded = if dtype == DType::F32 { f64::from(want as f32) } else { want };
    if got == rounded || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let ulp = match dtype {
        DType::F32 => {
            let m = (rounded.abs() as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
            f64::from(m) - f64::from(f32::from_bits(m.to_bits() - 1))
        }
        _ => {
            let m = rounded.abs().clamp(f64::MIN_POSITIVE, f64::MAX);
            m - f64::from_bits(m.to_bits() - 1)
        }
    };
    // An overflow is as near as the value next to the largest one.
    let clamped = |v: f64| if dtype == DType::F32 { v.clamp(-TWO_128, TWO_128) } else { v };
    (clamped(got) - clamped(want)).abs() / ulp
}

fn specials(dtype: DType) -> Vec<f64> {
    let (tiny, least, max) = match dtype {
        DType::F32 => (f64::from(f32::MIN_POSITIVE), f64::from(f32::from_bits(1)), f64::from(f32::MAX)),
        _ => (f64::MIN_POSITIVE, f64::from_bits(1), f64::MAX),
    };
    let positive = [0.0, least, tiny - least, tiny, 1e-8, 0.5, 1.0, 1.5, 2.0, 3.0, 20.0, 88.7, 104.0, 710.0, 1e6, max];
    let signed = positive.into_iter().chain([f64::INFINITY]).flat_map(|v| [v, -v]);
    signed.chain([f64::NAN]).collect()
}

/// Specials, values of all magnitudes, and a dense set around zero.
fn samples(dtype: DType) -> Vec<f64> {
    let spread = (0..4000u64).map(|i| match dtype {
        DType::F32 => f64::from(f32::from_bits((i as u32).wrapping_mul(1_073_741))),
        _ => f64::from_bits(i.wrapping_mul(4_611_686_018_427_387_907)),
    });
    let near = (0..2000).map(|i| (f64::from(i) - 1000.0) * 0.0173);
    // Near an odd multiple of a quarter turn.
    let hard = [f64::from(f32::from_bits(0x6f79_be45))];
    specials(dtype).into_iter().chain(spread).chain(near).chain(hard).collect()
}

fn tensor(dtype: DType, values: &[f64]) -> Tensor {
    Tensor::from_f64(dtype, &[values.len() as i64], values)
}

/// The values as the dtype holds them.
fn rounded(dtype: DType, values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|v| Literal::from_f64(dtype, v).as_f64()).collect()
}

/// References are of f64 arithmetic and off by some ULP themselves.
const REFERENCE_ERROR: f64 = 3.0;

/// By how much a value breaks its row's bound, and how to say so.
fn broken(row: &Row, dtype: DType, args: &[f64], got: f64, want: f64) -> Option<(f64, String)> {
    let (bound, epsilon) = match dtype {
        DType::F32 => (row.ulp_f32?.max(0.501), f64::from(f32::EPSILON)),
        _ => (row.ulp_f64.map(|bound| if bound == 0.0 { 0.0 } else { bound + REFERENCE_ERROR })?, f64::EPSILON),
    };
    let inside = args[0].is_nan() || (args[0] >= row.domain.0 && args[0] <= row.domain.1);
    let error = match inside {
        true => ulps(dtype, got, want),
        false if got.is_nan() && want.is_nan() => 0.0,
        false => (got - want).abs() / epsilon,
    };
    let same_zero = args[0] != 0.0 || want != 0.0 || got.is_sign_negative() == want.is_sign_negative();
    let message = format!("{} of {args:?} at {dtype} is {got:e}, not {want:e}: {error} ULP", row.name);
    (error.is_nan() || error > bound || !same_zero).then_some((error, message))
}

/// Internal rows are ops of bodies: here they are open to texts.
fn opened() -> OpTable {
    let mut table = builtin();
    for row in rows().filter(|row| row.internal) {
        table.insert(OpDef::from(&Row { internal: false, ..*row }));
    }
    table
}

fn run(table: &OpTable, text: &str, inputs: &[Tensor]) -> Tensor {
    let out = evaluate_in(table, text, inputs).unwrap_or_else(|e| panic!("{text}: {e}"));
    out.unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn rows_keep_their_bounds_against_their_references() {
    let table = opened();
    let mut errors: Vec<String> = Vec::new();
    let worst = |found: &mut dyn Iterator<Item = (f64, String)>| {
        found.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, message)| message)
    };
    for dtype in [DType::F32, DType::F64] {
        let x = rounded(dtype, samples(dtype));
        // Two operands: all against their mirror image, and specials against each other.
        let s = rounded(dtype, specials(dtype));
        let pairs = x.iter().copied().zip(x.iter().rev().copied());
        let pairs = pairs.chain(s.iter().flat_map(|a| s.iter().map(move |b| (*a, *b))));
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
        for row in rows() {
            let name = row.name;
            match row.reference {
                Some(Reference::Unary(f)) => {
                    let out = run(&table, &format!("{name}(x)"), &[tensor(dtype, &x)]).to_f64();
                    errors.extend(worst(
                        &mut out.iter().zip(&x).filter_map(|(got, &x)| broken(row, dtype, &[x], *got, f(x))),
                    ));
                }
                Some(Reference::Binary(f)) => {
                    let inputs = [tensor(dtype, &a), tensor(dtype, &b)];
                    let out = run(&table, &format!("{name}(x, y)"), &inputs).to_f64();
                    let at = |i: usize| broken(row, dtype, &[a[i], b[i]], out[i], f(a[i], b[i]));
                    errors.extend(worst(&mut (0..out.len()).filter_map(at)));
                }
                // Their bounds hold for small numbers only.
                Some(Reference::Ternary(f)) => {
                    let v: Vec<f64> = (0..60).map(|i| f64::from(i - 30) / 8.0).collect();
                    let (w, z): (Vec<f64>, Vec<f64>) = (v.iter().map(|v| 2.0 - v).collect(), vec![0.375; v.len()]);
                    let inputs = [&v, &w, &z].map(|c| tensor(dtype, c));
                    let out = run(&table, &format!("{name}(x, y, z)"), &inputs).to_f64();
                    for i in 0..out.len() {
                        let want = f(v[i], w[i], z[i]);
                        assert!((out[i] - want).abs() < 1e-5, "{name}: {} {want}", out[i]);
                    }
                }
                Some(Reference::Fold(f)) => {
                    for v in vectors(dtype) {
                        let dim = if row.params == "x" { "" } else { ", 0" };
                        let got = run(&table, &format!("{name}(x{dim})"), &[tensor(dtype, &v)]).to_f64();
                        assert!(close(got[0], f(&v)), "{name} of {v:?} at {dtype}: {} {}", got[0], f(&v));
                    }
                }
                Some(Reference::Along(f)) => {
                    for v in vectors(dtype) {
                        let got = run(&table, &format!("{name}(x, 0)"), &[tensor(dtype, &v)]).to_f64();
                        let want = f(&v);
                        assert!(got.iter().zip(&want).all(|(g, w)| close(*g, *w)), "{name} of {v:?}: {got:?} {want:?}");
                    }
                }
                None => {}
            }
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

fn vectors(dtype: DType) -> Vec<Vec<f64>> {
    let v: Vec<f64> = (0..37).map(|i| f64::from(i * i % 23) / 4.0 - 2.0).collect();
    let with = |i: usize, x: f64| {
        let mut v = v.clone();
        v[i] = x;
        v
    };
    let all = [v.clone(), with(5, f64::NAN), with(9, f64::INFINITY), with(9, f64::NEG_INFINITY), with(0, 0.0)];
    all.into_iter().map(|v| rounded(dtype, v)).collect()
}

fn close(got: f64, want: f64) -> bool {
    got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= 1e-6 * want.abs().max(1.0)
}
