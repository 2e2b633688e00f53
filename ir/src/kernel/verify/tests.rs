use super::*;
use crate::kernel::parse::parse;

const HEAD: &str =
    "rtir 1\nkernel @k(x: f32 in, y: f32 out, z: f32 inout, n: i64 in) syms 1 scalars (f32) {\n  row r: f32[s0]\n";

fn errors(rest: &str) -> String {
    let k = parse(&format!("{HEAD}{rest}}}")).unwrap_or_else(|e| panic!("{e}"));
    let list = verify(&k).err().unwrap_or_default();
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn body(insts: &str) -> String {
    errors(&format!("phase [i0 < s0] {{ nest [i1 < 4] {{ {insts} }} }}"))
}

const HERE: &str = "phase 0, nest 0, instruction";

#[test]
fn operands_are_typed() {
    assert_eq!(body("%0 = load.f32 x[i0] %1 = neg.f32 %0 store z[i0], %1"), "");
    assert_eq!(body("%0 = const.f32 1.0 %1 = and.f32 %0, %0"), format!("{HERE} 1: and of f32"));
    assert_eq!(
        body("%0 = const.f32 1.0 %1 = add.f64 %0, %0").lines().next(),
        Some(&*format!("{HERE} 1: operand %0 is f32, not f64"))
    );
    assert_eq!(body("%0 = const.f32 1.0 %1 = select.f32 %0, %0, %0"), format!("{HERE} 1: mask %0 is f32, not bool"));
    assert_eq!(body("%0 = const.i32 1 %1 = bitcast.f64 %0"), format!("{HERE} 1: bitcast of i32 to f64"));
    assert_eq!(body("%0 = load.f64 x[0]"), format!("{HERE} 0: result %0 is f64, not f32"));
    assert_eq!(body("%0 = const.f32 1.0 %1 = reduce.any.f32.lanes %0"), format!("{HERE} 1: any of f32"));
    assert_eq!(
        body("%0 = const.f32 1.0 %1 = lookup.f32 [1.0], %0"),
        format!("{HERE} 1: %0 is f32, neither i32 nor i64")
    );
}

#[test]
fn sixteen_bit_floats_are_moved_and_converted() {
    let bf16 = |rest: &str| body(&format!("%0 = const.bf16 1.5 {rest}"));
    assert_eq!(bf16("%1 = convert.f32 %0 %2 = convert.bf16 %1 %3 = const.bool true %4 = select.bf16 %3, %0, %2"), "");
    assert_eq!(bf16("%1 = neg.bf16 %0"), format!("{HERE} 1: neg of bf16"));
    assert_eq!(bf16("%1 = lt.bf16 %0, %0"), format!("{HERE} 1: lt of bf16"));
    assert_eq!(bf16("%1 = convert.f64 %0"), format!("{HERE} 1: conversion of bf16 to f64"));
    assert_eq!(bf16("%1 = convert.f16 %0"), format!("{HERE} 1: conversion of bf16 to f16"));
    assert_eq!(bf16("%1 = call.erf.bf16 %0"), format!("{HERE} 1: erf of bf16"));
    assert_eq!(bf16("%1 = reduce.sum.bf16.lanes %0"), format!("{HERE} 1: sum of bf16"));
    let add = "rtir 1\nkernel @k(z: f16 inout) { phase { nest { %0 = const.f16 1.0 store.add z[0], %0 } } }";
    let errors = verify(&parse(add).expect("well formed")).expect_err("an addition");
    assert_eq!(errors[0].what, "store.add of f16");
}

#[test]
fn values_are_visible_where_the_module_says() {
    assert_eq!(body("%0 = neg.f32 %1 %1 = const.f32 1.0"), format!("{HERE} 0: %1 is not visible here"));
    assert_eq!(
        body("%0 = const.f32 1.0 %1 = reduce.sum.f32.rows %0 %2 = neg.f32 %1"),
        format!("{HERE} 2: %1 is not visible here")
    );
    let two = |second: &str| {
        errors(&format!(
            "phase {{ nest {{ %0 = const.f32 1.0 }} nest [i0 < 2] {{ %1 = neg.f32 %0 %2 = reduce.sum.f32.rows %1 }} {second}"
        ))
    };
    assert_eq!(two("nest { %3 = add.f32 %0, %2 } }"), "");
    assert_eq!(two("nest { %3 = neg.f32 %1 } }"), "phase 0, nest 2, instruction 0: %1 is not visible here");
    assert_eq!(two("} phase { nest { %3 = neg.f32 %2 } }"), "phase 1, nest 0, instruction 0: %2 is not visible here");
    assert_eq!(
        body("%0 = const.bool true %1 = cold %0 { %2 = not.bool %0 } slow (%2) fast (%0) %3 = not.bool %2"),
        format!("{HERE} 2: %2 is not visible here")
    );
    assert_eq!(
        body("%0 = const.i64 1 %1 = load.f32 x[%0]"),
        format!("{HERE} 1: %0 in an index is not the result of a check")
    );
}

#[test]
fn memory_rules_hold() {
    assert_eq!(body("%0 = const.f32 1.0 store x[0], %0"), format!("{HERE} 1: x is only read"));
    assert_eq!(body("%0 = load.f32 y[0]"), format!("{HERE} 0: y is read before it is stored to"));
    assert_eq!(body("%0 = const.f32 1.0 store.add y[0], %0"), format!("{HERE} 1: y is read before it is stored to"));
    assert_eq!(body("%0 = const.f32 1.0 store r[0], %0 %1 = load.f32 r[0]"), "");
    assert_eq!(
        errors("phase { nest { %0 = const.f32 1.0 store r[0], %0 } } phase { nest { %1 = load.f32 r[0] } }"),
        "phase 1, nest 0, instruction 0: row buffer r is used by phase 0 already"
    );
    assert_eq!(
        body("%0 = const.bool true %1 = cold %0 { %2 = load.f32 x[0] %3 = const.bool true } slow (%3) fast (%0)"),
        format!("{HERE} 1.0: an instruction in a cold body that does more than compute")
    );
}

#[test]
fn axes_are_in_scope() {
    assert_eq!(body("%0 = load.f32 x[i7]"), format!("{HERE} 0: axis i7 is not in scope"));
    assert_eq!(body("%0 = load.f32 x[s1]"), format!("{HERE} 0: symbol s1 does not exist"));
    assert_eq!(errors("phase [i0 < i1, i1 < 4] { }"), "phase 0: axis i1 is not in scope");
    assert_eq!(errors("phase [i0 < 4] { nest [i1 < i0 + 1, i2 < i1] { } }"), "");
    assert_eq!(
        errors("phase { nest { %0 = const.f32 1.0 %1 = reduce.sum.f32.lanes %0 } }"),
        format!("{HERE} 1: a reduction in a nest without axes")
    );
}

#[test]
fn arenas_are_used_up() {
    let mut k = Kernel::default();
    k.add_value(DType::F16);
    k.add_axis(IndexExpr::Const(1));
    k.add_buffer("t", DType::F32, BufferKind::Temp(IndexExpr::Const(1)));
    k.add_buffer("t", DType::F32, BufferKind::In);
    let all: Vec<String> = verify(&k).expect_err("invalid").into_iter().map(|e| e.what).collect();
    assert_eq!(
        all,
        [
            "two buffers are named t",
            "argument t stands after a buffer that is none",
            "%0 is never defined",
            "axis i0 belongs to no phase or nest",
        ]
    );
}
