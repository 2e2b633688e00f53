//! Dtypes, errors, scalars, registered ops and reductions, through the evaluator of graphs.

use super::{graph, run};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::parse;
use rusttorch_ir::graph::eval::{Tensor, eval};
use rusttorch_ir::graph::{GraphOp, LowerOptions, Operand, TensorMeta, lower};
use rusttorch_ir::op::OpDef;
use rusttorch_ops::table::builtin;

/// Result dtypes as torch 2.15 gives them.
#[test]
fn dtypes_are_those_of_torch() {
    let of = |d| Tensor::from_f64(d, &[2, 3], &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    let cases: &[(&str, DType, DType)] = &[
        ("x + 1", DType::U8, DType::U8),
        ("x + 1.5", DType::I64, DType::F32),
        ("x + True", DType::Bool, DType::Bool),
        ("x + x", DType::Bool, DType::Bool),
        ("x / 2", DType::I64, DType::F32),
        ("x // 2", DType::I64, DType::I64),
        ("x ** 2", DType::Bool, DType::I64),
        ("x ** 0.5", DType::F64, DType::F64),
        ("x < 1", DType::U8, DType::Bool),
        ("exp(x)", DType::I64, DType::F32),
        ("sum(x)", DType::Bool, DType::I64),
        ("prod(x, 1)", DType::U8, DType::I64),
        ("amax(x)", DType::Bool, DType::Bool),
        ("argmax(x, dim=1)", DType::F32, DType::I64),
        ("any(x)", DType::U8, DType::U8),
        ("all(x)", DType::F32, DType::Bool),
        ("floor(x)", DType::I64, DType::I64),
        ("clamp(x, 0.5)", DType::I64, DType::F32),
        ("clamp(x, 0, 1)", DType::Bool, DType::I64),
        ("square(x)", DType::Bool, DType::I64),
        ("where(x, 1.0, 2)", DType::Bool, DType::F32),
        ("logical_not(x)", DType::F64, DType::Bool),
        ("reciprocal(x)", DType::I64, DType::F32),
        ("mean(x, axis=0, keepdims=True)", DType::F64, DType::F64),
        ("x + 1.5", DType::BF16, DType::BF16),
        ("x + 1", DType::F16, DType::F16),
        ("x + 1", DType::I8, DType::I8),
        ("x / 2", DType::I16, DType::F32),
        ("x < 0.5", DType::F16, DType::Bool),
        ("exp(x)", DType::BF16, DType::BF16),
        ("silu(x)", DType::F16, DType::F16),
        ("sum(x)", DType::BF16, DType::BF16),
        ("sum(x)", DType::I8, DType::I64),
        ("prod(x)", DType::I16, DType::I64),
        ("amax(x, 0)", DType::F16, DType::F16),
        ("argmax(x)", DType::BF16, DType::I64),
        ("any(x)", DType::I8, DType::Bool),
        ("where(x > 1, x, 0.5)", DType::BF16, DType::BF16),
        ("softmax(x, 1) * 2", DType::F16, DType::F16),
        ("where(x, 1.0, 2)", DType::Bool, DType::F32),
        ("to(x, 'bfloat16') + to(x, 'float16')", DType::F64, DType::F32),
        ("to(x, 'half') * x", DType::I64, DType::F16),
        ("to(x, 'float64')", DType::BF16, DType::F64),
    ];
    for &(text, from, to) in cases {
        let out = run(text, &[of(from)]).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(out.dtype, to, "{text} of {from}");
    }
}

#[test]
fn errors_are_worded_as_torch_words_them() {
    let meta = |d, s: &[i64]| Operand::Tensor(TensorMeta::contiguous(d, s));
    let fails = |text: &str, operands: &[Operand], wording: &str| {
        let error = graph(text, operands).expect_err(text).to_string();
        assert_eq!(error, wording, "{text}");
    };
    let (f, i, b) = (meta(DType::F32, &[2, 3]), meta(DType::I64, &[2, 3]), meta(DType::Bool, &[2, 3]));
    let one = std::slice::from_ref;
    fails("sum(x, 2)", one(&f), "Dimension out of range (expected to be in range of [-2, 1], but got 2)");
    fails("sum(x, [0, -2])", one(&f), "dim 0 appears multiple times in the list of dims");
    fails(
        "a + b",
        &[f.clone(), meta(DType::F32, &[2, 4])],
        "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1",
    );
    fails(
        "mean(x)",
        one(&i),
        "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: Long",
    );
    fails("gelu(x)", one(&i), "\"GeluKernelImpl\" not implemented for 'Long'");
    fails("x & 1", one(&f), "\"bitwise_and_cpu\" not implemented for 'Float'");
    fails("x ** -1", one(&i), "Integers to negative integer powers are not allowed.");
    fails("amax(x, 0)", &[meta(DType::F32, &[0, 3])], "amax(): Expected reduction dim 0 to have non-zero size.");
    fails("to(x, 'float17')", one(&f), "to(): argument 'dtype' must be the name of a dtype");
    fails("gelu(x)", &[meta(DType::I8, &[2])], "\"GeluKernelImpl\" not implemented for 'Char'");
    fails("x & 1", &[meta(DType::BF16, &[2])], "\"bitwise_and_cpu\" not implemented for 'BFloat16'");
    fails("x ** 300", &[meta(DType::I8, &[2])], "value cannot be converted to type int8_t without overflow");
    fails("clamp(x)", one(&f), "torch.clamp: At least one of 'min' or 'max' must not be None");
    fails(
        "a if c else b",
        &[f.clone(), i.clone(), f.clone()],
        "where expected condition to be a boolean tensor, but got a tensor with dtype Long",
    );
    fails(
        "layer_norm(x, [4])",
        one(&f),
        "Given normalized_shape=[4], expected input with shape [*, 4], but got input of size[2, 3]",
    );
    assert!(graph("b - b", one(&b)).expect_err("bools").to_string().starts_with("Subtraction, the `-` operator"));
}

#[test]
fn division_rounds_as_asked() {
    let of = |dtype, v: &[f64]| Tensor::from_f64(dtype, &[4], v);
    let (a, b) = ([7.0, -7.0, 7.0, -7.0], [2.0, 2.0, -2.0, -2.0]);
    let cases: [(&str, [f64; 4]); 3] =
        [("'floor'", [3.0, -4.0, -4.0, 3.0]), ("'trunc'", [3.0, -3.0, -3.0, 3.0]), ("None", [3.5, -3.5, -3.5, 3.5])];
    for (mode, want) in cases {
        for dtype in [DType::I64, DType::F32] {
            let text = format!("div(a, b, rounding_mode={mode})");
            let out = run(&text, &[of(dtype, &a), of(dtype, &b)]).unwrap_or_else(|e| panic!("{text}: {e}"));
            let to = if mode == "None" { DType::F32 } else { dtype };
            assert_eq!((out.dtype, out.to_f64()), (to, want.to_vec()), "{text}");
        }
    }
    let error = run("div(a, b, rounding_mode='up')", &[of(DType::F32, &a), of(DType::F32, &b)]).expect_err("up");
    let wording = "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found 'up'";
    assert_eq!(error.to_string(), wording);
}

#[test]
fn numbers_are_slots_and_literals_are_structure() {
    use rusttorch_ir::dtype::{Category, Literal};
    use rusttorch_ir::prim::Prim;
    let x = Operand::Tensor(TensorMeta::contiguous(DType::F32, &[2]));
    let g = graph("x * s + n", &[x.clone(), Operand::Number(Category::Float), Operand::Number(Category::Int)]);
    let g = g.expect("lowers");
    assert_eq!(g.scalars, [DType::F32, DType::F32]);
    let input = Tensor::from_f64(DType::F32, &[2], &[1.0, -2.0]);
    let scalars = [Literal::float(DType::F32, 0.5), Literal::float(DType::F32, 3.0)];
    assert_eq!(eval(&g, std::slice::from_ref(&input), &scalars).expect("valid")[0].to_f64(), [3.5, 2.0]);
    // A slot alone is a Python number: its result takes no part in promotion.
    let i = Operand::Tensor(TensorMeta::contiguous(DType::U8, &[2]));
    let g = graph("(s * 2 + 1) * x", &[Operand::Number(Category::Int), i]).expect("lowers");
    assert_eq!(g.node(g.outputs[0]).dtype, DType::U8);
    let g = graph("x ** 3 + x ** -0.5", &[x]).expect("lowers");
    let prims = |p: Prim| g.nodes.iter().filter(|n| matches!(n.op, GraphOp::Prim(q, ..) if q == p)).count();
    assert_eq!((prims(Prim::Mul), prims(Prim::Sqrt), prims(Prim::Div)), (2, 1, 1));
}

#[test]
fn registered_ops_are_ops_and_may_not_be_circular() {
    let mut table = builtin();
    let mut register = |text: &str| {
        let program = parse(text, Some(&table)).unwrap_or_else(|e| panic!("{e}"));
        let name = program.name.clone().expect("a header");
        let statics = table.statics(&program);
        table.insert(OpDef::registered(&name, text, program, &statics));
    };
    register("swiglu(a, b, beta=1.0) = a * sigmoid(beta*a) * b");
    register("f(x) = x");
    register("g(x) = f(x) + 1");
    register("f(x) = g(x) * 2");
    let lowered = |text: &str| {
        let program = parse(text, Some(&table)).unwrap_or_else(|e| panic!("{e}"));
        let x = Operand::Tensor(TensorMeta::contiguous(DType::I64, &[3]));
        lower(&program, &table, &[x], LowerOptions::default())
    };
    assert!(lowered("swiglu(x, 2, beta=0.5)").is_ok());
    assert!(lowered("f(x)").expect_err("circular").to_string().contains("defined by itself"));
    // A deep graph is no deep recursion.
    let mut text = String::from("y = x\n");
    (0..60).for_each(|i| text.push_str(&format!("y = tanh(y + {i}) * swiglu(y, y - 1)\n")));
    assert!(lowered(&format!("{text}y")).is_ok());
}

#[test]
fn reductions_compute() {
    let x = Tensor::from_f64(DType::F64, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 6.0, 11.0]);
    let close = |text: &str, want: &[f64]| {
        let got = run(text, std::slice::from_ref(&x)).unwrap_or_else(|e| panic!("{text}: {e}")).to_f64();
        assert_eq!(got.len(), want.len(), "{text}");
        got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-12, "{text}: {got:?}"));
    };
    close("mean(x, 1)", &[2.0, 7.0]);
    close("var(x, 1)", &[1.0, 13.0]);
    close("std(x, 1, unbiased=False)", &[(2f64 / 3.0).sqrt(), (26f64 / 3.0).sqrt()]);
    close("argmax(x)", &[5.0]);
    close("sum(permute(x, [1, 0]), -1)", &[5.0, 8.0, 14.0]);
    close("max(x) - min(x)", &[10.0]);
    close("layer_norm(x, [3], eps=0.0)", &{
        let (s, t) = ((2f64 / 3.0).sqrt(), (26f64 / 3.0).sqrt());
        [-1.0 / s, 0.0, 1.0 / s, -3.0 / t, -1.0 / t, 4.0 / t]
    });
    close("x ** 3 // 5 % 4", &[0.0, 1.0, 1.0, 0.0, 3.0, 2.0]);
}

/// What is rounded to a 16-bit float, and what is not.
#[test]
fn half_precision_rounds_once() {
    let of = |dtype, v: &[f64]| Tensor::from_f64(dtype, &[v.len() as i64], v);
    let value = |text: &str, inputs: &[Tensor]| run(text, inputs).unwrap_or_else(|e| panic!("{text}: {e}")).to_f64()[0];
    let bf16 = |v: f64| rusttorch_ir::dtype::Literal::float(DType::BF16, v).as_f64();
    let (x, y) = (of(DType::BF16, &[1.0234375]), of(DType::BF16, &[-1.0]));
    // 1.0234375^2 has 14 bits: the square is not rounded before the sum is.
    let square = 1.0234375f64 * 1.0234375;
    assert_eq!(value("x * x + y", &[x.clone(), y.clone()]), bf16(square - 1.0));
    assert_eq!(value("to(x * x, 'bfloat16') + y", &[x.clone(), y]), bf16(square) - 1.0);
    assert_ne!(bf16(square - 1.0), bf16(square) - 1.0);
    // Numbers meet the f32 value, and are compared in the dtype.
    assert_eq!(value("x * 0.1", &[x]), bf16(1.0234375 * f64::from(0.1f32)));
    let tenth = of(DType::F16, &[0.1]);
    assert_eq!(value("x == 0.1", std::slice::from_ref(&tenth)), 1.0);
    assert_eq!(value("x <= y", &[tenth.clone(), Tensor { shape: vec![], ..of(DType::F32, &[0.1]) }]), 1.0);
    assert_eq!(value("x == y", &[tenth, of(DType::F32, &[0.1])]), 0.0);
    // Sums are of f32, as is what overflows on the way.
    let big = of(DType::F16, &[60000.0, 60000.0, -60000.0]);
    assert_eq!(value("sum(x)", std::slice::from_ref(&big)), 60000.0);
    assert_eq!(value("mean(x * 2)", &[big]), 40000.0);
    // PyTorch rounds f64 to f32 first: 1 + 2^-11 + 2^-40 is a tie then, and goes to even.
    let twice = of(DType::F64, &[1.0 + 2f64.powi(-11) + 2f64.powi(-40)]);
    assert_eq!(value("to(x, 'float16')", &[twice]), 1.0);
}
