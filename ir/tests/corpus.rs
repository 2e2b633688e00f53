//! Kernels written by hand, against values computed here in plain Rust; each also simplified and with
//! its moments expanded.

use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::kernel::Kernel;
use rusttorch_ir::kernel::expand::expand_moments;
use rusttorch_ir::kernel::interp::{Array, IndexError, run};
use rusttorch_ir::kernel::parse::parse;
use rusttorch_ir::kernel::simplify::simplify;
use rusttorch_ir::kernel::verify::verify;

/// Runs all forms of a kernel, which must agree; gives the arguments as they are afterwards.
fn run_forms(text: &str, syms: &[i64], scalars: &[Literal], args: &[Array]) -> (Vec<Array>, Option<IndexError>) {
    let kernel = parse(text).unwrap_or_else(|e| panic!("{e}"));
    let body = text.find("rtir 1").expect("the header");
    assert_eq!(kernel.to_string(), text[body..], "the text is canonical");
    let mut simple = kernel.clone();
    simplify(&mut simple);
    let forms: [Kernel; 3] = [kernel.clone(), simple, expand_moments(&kernel)];
    let mut outcomes = forms.iter().map(|k| {
        verify(k).unwrap_or_else(|e| panic!("{e:?}\n{k}"));
        let mut args = args.to_vec();
        let error = run(k, syms, scalars, &mut args).unwrap_or_else(|e| panic!("{e}\n{k}"));
        (args, error)
    });
    let first = outcomes.next().expect("three forms");
    for (args, error) in outcomes {
        assert_eq!(error, first.1);
        assert!(args.iter().zip(&first.0).all(|(a, b)| a.same(b)));
    }
    first
}

fn floats(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + 13) % 1009) as f32 / 37.0 - 11.0).collect()
}

fn assert_f32(got: &Array, want: &[f32]) {
    assert!(got.same(&Array::from_f32(want)), "{:?}\n{want:?}", got.to_f64());
}

/// `Order::Lanes` over one run that fits a chunk.
fn lanes_sum(v: &[f32]) -> f32 {
    let mut acc = [-0.0f32; 32];
    v.iter().enumerate().for_each(|(k, x)| acc[k % 32] += x);
    for h in [16, 8, 4, 2, 1] {
        (0..h).for_each(|l| acc[l] += acc[l + h]);
    }
    acc[0]
}

#[test]
fn map() {
    let (rows, columns) = (5, 7);
    let (a, b) = (floats(35), floats(40)[5..].to_vec());
    let args = [Array::from_f32(&a), Array::from_f32(&b), Array::zeros(DType::F32, 35)];
    let c = Literal::float(DType::F32, 0.3);
    let (out, _) = run_forms(include_str!("kernels/map.rtir"), &[rows, columns], &[c], &args);
    let want: Vec<f32> = (0..35)
        .map(|k| {
            let (i, j) = (k / 7, k % 7);
            0.3f32.mul_add(a[j * 5 + i] * b[k], b[k] * 0.5)
        })
        .collect();
    assert_f32(&out[2], &want);
}

#[test]
fn softmax() {
    for columns in [1, 3, 32, 70] {
        let x = floats(3 * columns);
        let args = [Array::from_f32(&x), Array::zeros(DType::F32, x.len())];
        let (out, _) = run_forms(include_str!("kernels/softmax.rtir"), &[3, columns as i64], &[], &args);
        let want: Vec<f32> = x
            .chunks(columns)
            .flat_map(|row| {
                let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let e: Vec<f32> = row.iter().map(|v| 2f32.powi((v - max).round_ties_even() as i32)).collect();
                let sum = lanes_sum(&e);
                e.into_iter().map(move |e| e / sum)
            })
            .collect();
        assert_f32(&out[1], &want);
    }
}

#[test]
fn layer_norm() {
    let x: Vec<f64> = floats(2 * 9).into_iter().map(f64::from).collect();
    let args = [Array::from_f64(&x), Array::zeros(DType::F64, x.len())];
    let eps = Literal::float(DType::F64, 1e-5);
    let (out, _) = run_forms(include_str!("kernels/layer_norm.rtir"), &[2, 9], &[eps], &args);
    // Nine values have a lane each of the sixteen.
    let sum = |v: &[f64]| ((v[0] + v[8]) + v[4] + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
    let want: Vec<f64> = x
        .chunks(9)
        .flat_map(|row| {
            let mean = sum(row) / 9.0;
            let squares: Vec<f64> = row.iter().map(|v| (v - mean) * (v - mean)).collect();
            let d = (sum(&squares) / 9.0 + 1e-5).sqrt();
            row.iter().map(move |v| (v - mean) / d)
        })
        .collect();
    assert!(out[1].same(&Array::from_f64(&want)), "{:?}\n{want:?}", out[1].to_f64());
}

#[test]
fn sums() {
    let (rows, columns) = (21, 100);
    let x = floats(rows * columns);
    let syms = [rows as i64, columns as i64];
    let args = |n| [Array::from_f32(&x), Array::zeros(DType::F32, n)];
    let (out, _) = run_forms(include_str!("kernels/sum_rows.rtir"), &syms, &[], &args(rows));
    assert_f32(&out[1], &x.chunks(columns).map(lanes_sum).collect::<Vec<_>>());

    let (out, _) = run_forms(include_str!("kernels/sum_columns.rtir"), &syms, &[], &args(columns));
    let column = |c: usize| {
        let v: Vec<f32> = (0..rows).map(|r| x[r * columns + c]).collect();
        let tree = |v: &[f32]| ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
        v[16..].iter().fold(tree(&v[..8]) + tree(&v[8..16]), |acc, v| acc + v)
    };
    assert_f32(&out[1], &(0..columns).map(column).collect::<Vec<_>>());

    for n in [0, 1, 1000, 2345] {
        let x: Vec<i64> = (0..n).map(|i| i * i - 5000).collect();
        let args = [Array::from_i64(DType::I32, &x), Array::zeros(DType::I64, 1)];
        let (out, _) = run_forms(include_str!("kernels/sum_all.rtir"), &[n], &[], &args);
        assert_eq!(out[1].get(0) as i64, x.iter().sum::<i64>());
    }
}

#[test]
fn argmax() {
    let mut x = floats(3 * 50);
    x[60] = 99.0;
    x[70] = 99.0;
    x[130] = f32::NAN;
    x[140] = f32::INFINITY;
    let args = [Array::from_f32(&x), Array::zeros(DType::F32, 3), Array::zeros(DType::I64, 3)];
    let (out, _) = run_forms(include_str!("kernels/argmax.rtir"), &[3, 50], &[], &args);
    let first = (0..50).max_by(|&a, &b| x[a].total_cmp(&x[b]).then(b.cmp(&a))).expect("not empty");
    assert_f32(&out[1], &[x[first], 99.0, f32::NAN]);
    assert_eq!(out[2].bits(), [first as u64, 10, 30]);
}

#[test]
fn gather() {
    let table = floats(4 * 3);
    let gather = |index: &[i64]| {
        let args = [Array::from_f32(&table), Array::from_i64(DType::I64, index), Array::zeros(DType::F32, 12)];
        run_forms(include_str!("kernels/gather.rtir"), &[4, 4, 3], &[], &args)
    };
    let (out, error) = gather(&[2, -1, 0, 3]);
    assert_eq!(error, None);
    let want: Vec<f32> = [2, 3, 0, 3].iter().flat_map(|r| table[r * 3..r * 3 + 3].to_vec()).collect();
    assert_f32(&out[2], &want);

    let (out, error) = gather(&[1, -5, 4, 0]);
    assert_eq!(error, Some(IndexError { site: 0, position: 1, value: -5, size: 4 }));
    assert_eq!(out[2].to_f64()[3..6], out[2].to_f64()[9..12]);
}

#[test]
fn cold() {
    let x = floats(20);
    let args = [Array::from_f32(&x), Array::from_f32(&[7.0; 20])];
    let from = Literal::int(DType::I64, 4);
    let (out, _) = run_forms(include_str!("kernels/cold.rtir"), &[20], &[from], &args);
    let value = |(i, v): (usize, &f32)| match (i < 4, *v < 0.0) {
        (true, _) => 7.0,
        (_, true) => v.abs().sqrt(),
        _ => *v,
    };
    assert_f32(&out[1], &x.iter().enumerate().map(value).collect::<Vec<_>>());
}
