//! Hand-written kernels: machine code against the interpreter, bit for bit, at every instruction set
//! this machine has, over lengths around the vector width.

mod common;

use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::kernel::interp::Array;
use rusttorch_ir::kernel::parse::parse;

fn values(n: usize, seed: u64) -> Vec<f32> {
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-42, f32::MAX, -1.0];
    let mut s = seed | 1;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let r = (s >> 40) as f32 / 16777216.0;
            if s >> 33 & 31 == 0 { special[(s >> 20) as usize & 7] } else { (r - 0.5) * 20.0 }
        })
        .collect()
}

const LENGTHS: [usize; 10] = [0, 1, 3, 7, 8, 9, 31, 33, 100, 4500];

#[test]
fn map_of_one_axis() {
    let k = parse(
        "rtir 1
kernel @relu(x: f32 in, w: f32 in, y: f32 out) syms 1 scalars (f32) {
  phase [i0 < s0] {
    nest {
      %0 = load.f32 x[i0]
      %1 = load.f32 w[i0]
      %2 = scalar.f32 c0
      %3 = fma.f32 %0, %1, %2
      %4 = const.f32 0.0
      %5 = max.f32 %3, %4
      store y[i0], %5
    }
  }
}
",
    )
    .unwrap_or_else(|e| panic!("{e}"));
    for n in LENGTHS {
        let args = [Array::from_f32(&values(n, 1)), Array::from_f32(&values(n, 2)), Array::from_f32(&vec![0.0; n])];
        let c = [Literal::float(DType::F32, 0.5)];
        common::check(&k, &[n as i64], &c, &args);
    }
}

/// As many rows as run together, more and fewer; lengths that let them and others.
#[test]
fn rows_that_run_together() {
    let text = include_str!("../../codegen/filetests/rows-together.rtir");
    let k = parse(text).unwrap_or_else(|e| panic!("{e}"));
    for rows in [0, 1, 2, 3, 4, 5, 8, 11] {
        for n in [0, 1, 31, 32, 33, 64, 96, 128, 129, 160] {
            let pitch = n + 3;
            let (x, w) = (values(rows * pitch, 1), values(n, 2));
            let outs = [rows * n, rows].map(|n| Array::from_f32(&vec![0.0; n]));
            let args = [Array::from_f32(&x), Array::from_f32(&w), outs[0].clone(), outs[1].clone()];
            common::check(&k, &[rows as i64, n as i64, pitch as i64, n as i64], &[], &args);
        }
    }
}

#[test]
fn softmax_over_rows_and_over_columns() {
    let text = |order: &str, at: &str| {
        format!(
            "rtir 1
kernel @softmax(x: f32 in, y: f32 out) syms 4 {{
  row e: f32[s1]
  phase [i0 < s0] {{
    nest [i1 < s1] {{
      %0 = load.f32 x[{at}]
      %1 = reduce.max.f32.{order} %0
    }}
    nest [i2 < s1] {{
      %2 = load.f32 x[{at2}]
      %3 = sub.f32 %2, %1
      %4 = mul.f32 %3, %3
      store e[i2], %4
      %5 = reduce.sum.f32.{order} %4
    }}
    nest [i3 < s1] {{
      %6 = load.f32 e[i3]
      %7 = div.f32 %6, %5
      store y[{at3}], %7
    }}
  }}
}}
",
            at2 = at.replace("i1", "i2"),
            at3 = at.replace("i1", "i3")
        )
    };
    for (order, at) in [("lanes", "s2*i0 + i1"), ("rows", "i0 + s2*i1")] {
        let k = parse(&text(order, at)).unwrap_or_else(|e| panic!("{e}"));
        for (rows, cols) in [(3, 1), (1, 40), (5, 33), (9, 129), (70, 17), (2, 5000), (600, 5)] {
            let n = rows * cols;
            let args = [Array::from_f32(&values(n, 7)), Array::from_f32(&vec![0.0; n])];
            let (outer, inner, stride) = if order == "lanes" { (rows, cols, cols) } else { (cols, rows, cols) };
            common::check(&k, &[outer as i64, inner as i64, stride as i64, 0], &[], &args);
        }
    }
}

#[test]
fn what_a_nest_stores_it_reads_where_the_text_says() {
    // Of rows of three that are read as a whole (found by the fuzzer), and of a read that repeats.
    let short = "rtir 1
kernel @short(x: f32 in, y: f32 inout, all: f32 out) syms 1 {
  phase [i0 < s0, i1 < 17] {
    nest [i2 < 3] {
      %0 = load.f32 x[(i0*17 + i1)*3 + i2]
      store y[(i0*17 + i1)*3 + i2], %0
      %1 = load.f32 y[(i0*17 + i1)*3 + i2]
      %2 = reduce.sum.f32.lanes %1
    }
    nest {
      store all[i1*s0 + i0], %2
    }
  }
}
";
    let periodic = "rtir 1
kernel @periodic(x: f32 in, y: f32 inout, z: f32 out) syms 1 {
  phase [i0 < s0] {
    nest {
      %0 = load.f32 x[i0]
      store y[i0], %0
      %1 = load.f32 y[mod(i0, 5)]
      store z[i0], %1
    }
  }
}
";
    // An outer point may read what it has written itself, and no other: no more rows than the period.
    for (text, rows, each) in [(short, 9, 17 * 3), (short, 1, 17 * 3), (periodic, 5, 1), (periodic, 3, 1)] {
        let k = parse(text).unwrap_or_else(|e| panic!("{e}"));
        let args =
            [values(rows * each, 3), values(rows * each, 4), vec![0.0; rows * each]].map(|v| Array::from_f32(&v));
        common::check(&k, &[rows as i64], &[], &args);
    }
}
