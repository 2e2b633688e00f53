//! Every row of the op table x dtype x layout x length: machine code leaves the interpreter's bits.

use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::expr::parse;
use rusttorch_ir::graph::{Operand, TensorMeta};
use rusttorch_ir::kernel::interp::Array;
use rusttorch_ops::engine::{self, Layout, PlanOptions};
use rusttorch_ops::table;
use rusttorch_runtime::Tensor;
use rusttorch_runtime::interpret;
use rusttorch_runtime::launch::with_tensors;
use rusttorch_runtime::pool::Serial;

const OPTIONS: PlanOptions = PlanOptions { default_dtype: DType::F32, layout: Layout::Torch, autocast: None };

/// Rows that need more than tensors of one shape: names, sizes and dims, or indices as an operand.
/// `rows_over_dimensions` has some of them.
const NEED_MORE: [&str; 25] = [
    "broadcast_to",
    "cosine_embedding_loss",
    "flip",
    "gather",
    "group_norm",
    "instance_norm",
    "iota",
    "layer_norm",
    "log_softmax",
    "logsumexp",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "narrow",
    "nll_loss",
    "permute",
    "polygamma",
    "reshape",
    "rms_norm",
    "select",
    "softmax",
    "softmin",
    "to",
    "transpose",
    "unflatten",
    "unsqueeze",
];

/// Only loads, stores and conversions of these differ from what other dtypes go through.
const NARROW: [DType; 4] = [DType::I8, DType::I16, DType::F16, DType::BF16];

/// Values of all kinds, as bytes.
fn bytes(dtype: DType, n: usize, seed: u64) -> Vec<u8> {
    let special = [0.0, -0.0, 1.0, -1.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-42, 3e38, -700.0, 88.8];
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::new();
    for _ in 0..n {
        s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let near = (s >> 40) as f64 / 1_048_576.0 - 8.0;
        let v = if (s >> 33).is_multiple_of(8) { special[(s >> 20) as usize % special.len()] } else { near };
        match dtype {
            DType::F16 | DType::BF16 => out.extend((Literal::float(dtype, v).bits as u16).to_ne_bytes()),
            DType::F32 => out.extend((v as f32).to_ne_bytes()),
            DType::F64 => out.extend(v.to_ne_bytes()),
            // No zeros: division by zero is an error, tested elsewhere.
            DType::I32 => out.extend(((s >> 30) as i32 | 1).to_ne_bytes()),
            DType::I64 => out.extend(((s >> 3) as i64 | 1).to_ne_bytes()),
            DType::I16 => out.extend(((s >> 30) as i16 | 1).to_ne_bytes()),
            DType::Bool => out.push((s >> 40) as u8 & 1),
            DType::U8 | DType::I8 => out.push((s >> 40) as u8 | 1),
        }
    }
    out
}

/// A tensor of this shape under one of the layouts.
fn operand(dtype: DType, shape: &[i64], layout: usize, seed: u64) -> Tensor {
    let dense = |shape: &[i64], seed| {
        let n: i64 = shape.iter().product();
        Tensor::from_bytes(&bytes(dtype, n as usize, seed), shape, dtype).expect("memory")
    };
    match (layout, shape) {
        // Every other element.
        (1, [rest @ .., last]) => {
            let mut wide = rest.to_vec();
            wide.push(last * 2);
            dense(&wide, seed).slice(-1, 0, last * 2, 2).expect("a slice")
        }
        // Transposed.
        (2, [a, b]) => dense(&[*b, *a], seed).transpose(0, 1).expect("two dimensions"),
        // One element for all.
        (3, _) => dense(&[], seed).expand(shape).expect("a scalar expands"),
        _ => dense(shape, seed),
    }
}

/// Runs a text over operands both ways; None where the row refuses them.
fn check(text: &str, inputs: &[Tensor]) -> Option<()> {
    let program = {
        let table = engine::table().read().expect("nothing panics with it");
        parse(text, Some(&*table)).unwrap_or_else(|e| panic!("{text}: {e}"))
    };
    let operands: Vec<Operand> = inputs.iter().map(|t| Operand::Tensor(t.meta())).collect();
    let stages = engine::lower_and_fuse(&program, &operands, OPTIONS).ok()?;
    let plan = engine::plan(&program, &operands, OPTIONS).unwrap_or_else(|e| panic!("{text}: {e}"));
    let stats = engine::stats();
    assert!(plan.is_compiled(), "{text} falls back: {:?}", stats.fallbacks);
    assert!(stats.narrow.is_empty(), "{text} is not full-width: {:?}", stats.narrow);
    let fresh = |metas: &[TensorMeta]| -> Vec<Tensor> {
        metas.iter().map(|m| Tensor::empty_strided(&m.shape, &m.strides, m.dtype).expect("memory")).collect()
    };
    let refs: Vec<&Tensor> = inputs.iter().collect();
    let (mut ours, mut theirs) = (fresh(plan.outputs()), fresh(plan.outputs()));
    let machine = plan.run_tensors(&refs, &mut ours, &[], &Serial);
    let slow = interpret::Plan::new(stages.fused.kernel.clone(), stages.fused.syms.clone());
    let meaning = with_tensors(&refs, &mut theirs, |args| slow.run(args, &[])).expect("unshared results");
    assert_eq!(machine.is_err(), meaning.is_err(), "{text}: {machine:?}, {meaning:?}");
    if machine.is_ok() {
        for (a, b) in ours.iter().zip(&theirs) {
            let array = |t: &Tensor| {
                let mut raw = vec![0; t.storage().len().min(t.nbytes())];
                t.storage().read(0, &mut raw);
                Array::from_bytes(t.dtype(), raw)
            };
            let (a, b) = (array(a), array(b));
            if let Some(i) = a.first_difference(&b) {
                panic!("{text} at {:?}: element {i}: {:#x}, interpreter {:#x}", operands, a.get(i), b.get(i));
            }
        }
    }
    Some(())
}

#[test]
fn machine_code_leaves_the_interpreters_bits() {
    let mut refused = Vec::new();
    for row in table::builtin().iter() {
        let needed = row.params.iter().filter(|p| p.default.is_none()).count();
        // Helpers of other rows are no functions for users; their callers cover them.
        if row.internal {
            continue;
        }
        let names = ["a", "b", "c", "d", "e", "f"];
        assert!(needed <= names.len(), "{} takes more operands than this test has", row.name);
        let mut accepted = false;
        let bounds = if row.name == "clamp" || row.name == "clip" { ", -0.5, 0.5" } else { "" };
        let text = format!("{}({}{bounds})", row.name, names[..needed].join(", "));
        let all = [vec![], vec![0], vec![1], vec![7], vec![8], vec![9], vec![17], vec![3, 0], vec![5, 33]];
        for dtype in DType::ALL {
            let first = if NARROW.contains(&dtype) { 6 } else { 0 };
            for (n, shape) in all.iter().enumerate().skip(first) {
                for layout in 0..if shape.len() == 2 { 4 } else { 2 } {
                    let inputs: Vec<Tensor> = (0..needed)
                        .map(|i| operand(dtype, shape, if i == 0 { layout } else { 0 }, (n * 7 + i) as u64))
                        .collect();
                    match check(&text, &inputs) {
                        Some(()) => accepted = true,
                        // A dtype that one shape refuses, all refuse (but for empty and 0-d reductions).
                        None if shape.len() == 1 && shape[0] > 0 => break,
                        None => {}
                    }
                }
            }
        }
        if !accepted {
            refused.push(row.name.to_string());
        }
    }
    assert_eq!(refused, NEED_MORE, "rows that no operands fit");
}

#[test]
fn rows_over_dimensions() {
    for text in [
        "softmax(a, -1)",
        "softmax(a, 0)",
        "log_softmax(a, -1)",
        "log_softmax(a, 0)",
        "logsumexp(a, 1)",
        "sum(a, dim=0)",
        "sum(a, dim=1)",
        "mean(a, dim=0)",
        "var(a, dim=1)",
        "std(a, dim=0)",
        "amax(a, dim=0)",
        "argmax(a, dim=1)",
        "argmin(a, dim=0)",
        "prod(a, dim=1)",
        "any(a > 1, dim=1)",
        "all(a > -100, dim=0)",
        "layer_norm(a, [33])",
        "rms_norm(a, [33])",
        "group_norm(a, 3)",
        "instance_norm(unflatten(a, 1, [3, 11]))",
        "glu(narrow(a, 1, 0, 32), 1)",
        "flip(a, [0, 1])",
        "select(a, 1, -2) * 2",
        "cross_entropy(a, softmax(a, 1))",
        "a - mean(a, dim=1, keepdim=True)",
        "a * 2 + 1",
    ] {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            for rows in [0, 1, 2, 7, 8, 9, 65] {
                for layout in 0..4 {
                    let ran = check(text, &[operand(dtype, &[rows, 33], layout, rows as u64)]);
                    // Of no rows some reductions have no result: an error, as in PyTorch.
                    assert!(ran.is_some() || rows == 0, "{text} refuses {rows} rows");
                }
            }
        }
    }
}

/// Reductions over a few columns run lanes along the rows and take the columns apart.
#[test]
fn short_rows() {
    for (n, text) in ["sum(a, 1)", "softmax(a, 1)", "argmax(a, 1)", "var(a, 1)", "amin(a, 1)", "any(a > 1, 1)"]
        .into_iter()
        .enumerate()
    {
        for columns in 2..=17 {
            for dtype in DType::ALL {
                // All dtypes are loaded alike whatever the function.
                if n > 0 && !matches!(dtype, DType::F32 | DType::F64) {
                    continue;
                }
                for rows in [15, 16, 17, 39] {
                    for layout in 0..3 {
                        check(text, &[operand(dtype, &[rows, columns], layout, rows as u64)]).unwrap_or_else(|| {
                            panic!("{text} refuses {dtype:?}");
                        });
                    }
                }
            }
        }
    }
}

/// Operands that step along the lanes and are consecutive along the rows, and maps over a few columns.
#[test]
fn operands_across_the_lanes() {
    for dtype in [DType::F32, DType::F64, DType::I64, DType::U8, DType::BF16] {
        for shape in [[37, 300], [16, 256], [33, 19], [3, 50], [50, 3], [17, 2], [40, 16], [5, 16], [20, 17]] {
            for (first, second) in [(0, 2), (2, 0), (1, 2), (2, 2)] {
                let inputs = [operand(dtype, &shape, first, 1), operand(dtype, &shape, second, 2)];
                assert!(check("a * 2 + b", &inputs).is_some(), "{dtype:?} {shape:?}");
            }
            // Permutations of three dimensions, and every third column.
            for text in ["permute(a, [2, 0, 1]) + c", "permute(a, [2, 1, 0]) - d"] {
                let [n, m] = shape;
                let a = operand(dtype, &[5, n, m], 0, 3);
                let (c, d) = (operand(dtype, &[m, 5, n], 0, 4), operand(dtype, &[m, n, 5], 0, 5));
                check(text, &[a, if text.ends_with('c') { c } else { d }]).expect("a permutation");
            }
            let [n, m] = shape;
            let wide = operand(dtype, &[n, 3 * m], 0, 6).slice(1, 0, 3 * m, 3).expect("a slice");
            check("a + b", &[wide, operand(dtype, &shape, 2, 7)]).expect("a slice");
        }
    }
}

/// A row has the same result alone, among a few, and among many.
#[test]
fn results_of_rows_do_not_depend_on_the_batch() {
    for text in ["sum(a, 1)", "softmax(a, 1)", "var(a, 1)", "logsumexp(a, 1)"] {
        for columns in [2, 3, 10, 16] {
            let all = operand(DType::F32, &[100, columns], 0, 5);
            let of = |rows: i64| {
                let part = all.slice(0, 0, rows, 1).expect("a slice");
                let program = parse(text, Some(&*engine::table().read().expect("nothing panics with it")));
                let operands = [Operand::Tensor(part.meta())];
                let plan = engine::plan(&program.expect("a text"), &operands, OPTIONS).expect("a plan");
                let mut out: Vec<Tensor> = plan
                    .outputs()
                    .iter()
                    .map(|m| Tensor::empty_strided(&m.shape, &m.strides, m.dtype).expect("memory"))
                    .collect();
                plan.run_tensors(&[&part], &mut out, &[], &Serial).expect("no error");
                let mut raw = vec![0; out[0].nbytes()];
                out[0].storage().read(0, &mut raw);
                raw
            };
            let many = of(100);
            for rows in [1, 2, 15, 16, 40] {
                let few = of(rows);
                let (few, many) = (Array::from_bytes(DType::F32, few.clone()), {
                    Array::from_bytes(DType::F32, many[..few.len()].to_vec())
                });
                assert_eq!(few.first_difference(&many), None, "{text} of {rows} rows of {columns}");
            }
        }
    }
}

#[test]
fn operands_of_several_dtypes() {
    use DType::*;
    let cases: [(&str, &[DType]); 12] = [
        ("a * b + c", &[BF16, F16, F32]),
        ("a * b + c", &[BF16, I8, Bool]),
        ("where(a > b, c, a)", &[F16, I16, BF16]),
        ("where(a, b, c)", &[Bool, BF16, F64]),
        ("a + b * c", &[U8, I8, I16]),
        ("to(a * b, 'bfloat16') + c", &[F32, BF16, F64]),
        ("to(a, 'float16') * 2 - to(b, 'int8')", &[F64, F32]),
        ("to(to(a, 'int16'), 'bfloat16') == b", &[F16, I64]),
        ("sum(a * b, dim=-1, keepdim=True) + c", &[BF16, F16, I8]),
        ("softmax(a + b, -1) * c", &[F16, F16, BF16]),
        ("layer_norm(a, [33], b, c)", &[BF16, BF16, F32]),
        ("a // b + c % a", &[I8, I16, U8]),
    ];
    for (text, dtypes) in cases {
        for layout in 0..4 {
            let operand = |(i, &d): (usize, &DType)| operand(d, &[5, 33], if i == 0 { layout } else { 0 }, i as u64);
            let mut inputs: Vec<Tensor> = dtypes.iter().enumerate().map(operand).collect();
            if text.starts_with("layer_norm") {
                inputs.iter_mut().skip(1).for_each(|t| *t = t.select(0, 0).expect("a row"));
            }
            assert!(check(text, &inputs).is_some(), "{text} refuses {dtypes:?}");
        }
    }
}
