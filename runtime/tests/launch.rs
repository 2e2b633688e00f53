//! Launches that must be refused: whatever is wrong with an argument is an error, never a fault.

mod common;

use rusttorch_codegen::{Isa, compile};
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::kernel::interp::Array;
use rusttorch_ir::kernel::parse::parse;
use rusttorch_ir::kernel::random::Rng;
use rusttorch_runtime::launch::{Arg, LaunchError, Plan};
use rusttorch_runtime::pool::Serial;
use std::sync::Arc;

fn compiled(text: &str) -> Arc<rusttorch_codegen::Compiled> {
    let kernel = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    Arc::new(compile(&kernel, Isa::host().expect("a supported machine")).unwrap_or_else(|e| panic!("{e}")))
}

fn plan(text: &str, syms: &[i64]) -> Result<Plan, LaunchError> {
    Plan::new(compiled(text), syms)
}

const ADD: &str = "rtir 1
kernel @add(x: f32 in, m: f32 in, y: f32 out) syms 3 scalars (f32) {
  phase [i0 < s0] {
    nest {
      %0 = load.f32 x[s1*i0]
      %1 = scalar.f32 c0
      %2 = lt.f32 %0, %1
      %3 = load.f32 m[s1*i0] if %2
      %4 = add.f32 %0, %3
      store y[s2*i0], %4
    }
  }
}
";

/// An argument over a slice.
fn arg(memory: &mut [f32], low: i64, high: i64) -> Arg<'static> {
    // SAFETY: the tests below give ranges within the slice, or ranges that launch must refuse to touch.
    unsafe { Arg::new(memory.as_mut_ptr().cast(), low, high, DType::F32) }
}

fn is_invalid<T>(r: Result<T, LaunchError>) -> bool {
    matches!(r, Err(LaunchError::Invalid(_)))
}

#[test]
fn symbols_are_checked() {
    assert!(is_invalid(plan(ADD, &[])));
    assert!(is_invalid(plan(ADD, &[1, 1])));
    assert!(is_invalid(plan(ADD, &[-1, 1, 1])));
    assert!(is_invalid(plan(ADD, &[i64::MAX, i64::MAX, 1])));
    assert!(is_invalid(plan(ADD, &[3, i64::MIN, 1])));
    assert!(plan(ADD, &[0, i64::MAX, 1]).is_ok());
    let divide = ADD.replace("s1*i0", "floordiv(i0, s1)");
    assert!(is_invalid(plan(&divide, &[4, 0, 1])));
    assert!(is_invalid(plan(&divide, &[4, -1, 1])));
    assert!(plan(&divide, &[4, 2, 1]).is_ok());
}

#[test]
fn a_negative_extent_of_a_nest_is_refused() {
    let text = "rtir 1
kernel @rows(x: f32 in, y: f32 out) syms 1 {
  phase {
    nest [i0 < s0] {
      %0 = load.f32 x[i0]
      %1 = reduce.sum.f32.rows %0
    }
    nest {
      store y[0], %1
    }
  }
}
";
    for s in [-1, i64::MIN, i64::MIN + 7] {
        assert!(is_invalid(plan(text, &[s])));
    }
    assert!(plan(text, &[0]).is_ok());
}

#[test]
fn arguments_are_checked() {
    let p = plan(ADD, &[8, 1, 1]).expect("a good plan");
    let (mut x, mut m, mut y) = ([1.0f32; 9], [2.0f32; 9], [0.0f32; 9]);
    let half = [Literal::float(DType::F32, 2.0).bits];
    let good = [arg(&mut x, 0, 8), arg(&mut m, 0, 8), arg(&mut y, 0, 8)];
    assert_eq!(p.run(&good, &half, &Serial), Ok(()));
    assert!(is_invalid(p.run(&good[..2], &half, &Serial)));
    assert!(is_invalid(p.run(&good, &[], &Serial)));
    assert!(is_invalid(p.run(&good, &[0, 0], &Serial)));
    let with = |at: usize, a: Arg| {
        let mut args = good;
        args[at] = a;
        p.run(&args, &half, &Serial)
    };
    let other = |m: &mut [f32], low, high, d, skip: usize| {
        // SAFETY: refused before it is touched.
        unsafe { Arg::new(m.as_mut_ptr().cast::<u8>().wrapping_add(skip), low, high, d) }
    };
    for at in [0, 2] {
        let m = &mut [0.0f32; 9];
        assert!(is_invalid(with(at, arg(m, 0, 7))), "too small");
        assert!(is_invalid(with(at, arg(m, 1, 9))), "begins late");
        assert!(is_invalid(with(at, arg(m, 0, -5))), "negative");
        assert!(is_invalid(with(at, arg(m, 5, 0))), "reversed");
    }
    for at in 0..3 {
        let m = &mut [0.0f32; 9];
        assert!(is_invalid(with(at, other(m, 0, 8, DType::I32, 0))), "dtype");
        assert!(is_invalid(with(at, other(m, 0, 4, DType::F64, 0))), "dtype");
        assert!(is_invalid(with(at, other(m, 0, 8, DType::F32, 2))), "misaligned");
        // SAFETY: refused before it is touched.
        let null = unsafe { Arg::new(std::ptr::null_mut(), 0, 8, DType::F32) };
        assert!(is_invalid(with(at, null)), "null");
    }
    // Masked lanes stay within what there is.
    let empty = arg(&mut [], 0, 0);
    assert_eq!(with(1, empty), Ok(()));
    assert!(y[..8].iter().all(|&v| v == 1.0));
    assert_eq!(y[8], 0.0);
}

#[test]
fn overlap_is_refused_but_for_the_same_elements() {
    let p = plan(ADD, &[8, 1, 1]).expect("a good plan");
    let (mut m, mut memory) = ([2.0f32; 8], [1.0f32; 40]);
    let c = [0];
    let m = arg(&mut m, 0, 8);
    let at = |memory: &mut [f32; 40], i: usize| arg(&mut memory[i..], 0, 8);
    let (a, b, c8) = (at(&mut memory, 0), at(&mut memory, 4), at(&mut memory, 8));
    assert_eq!(p.run(&[a, m, c8], &c, &Serial), Ok(()));
    assert_eq!(p.run(&[a, m, a], &c, &Serial), Ok(()), "in place");
    assert_eq!(p.run(&[a, m, b], &c, &Serial), Err(LaunchError::Overlap));
    assert_eq!(p.run(&[b, m, a], &c, &Serial), Err(LaunchError::Overlap));
    assert_eq!(p.run(&[c8, b, a], &c, &Serial), Err(LaunchError::Overlap), "under a mask");
    // The same memory by other strides, and an output whose points share an element.
    let strided = plan(ADD, &[8, 2, 1]).expect("a good plan");
    let long = arg(&mut memory, 0, 16);
    assert_eq!(strided.run(&[long, m, a], &c, &Serial), Err(LaunchError::Overlap));
    let zero = plan(ADD, &[8, 0, 0]).expect("a good plan");
    assert_eq!(zero.run(&[a, m, a], &c, &Serial), Err(LaunchError::Overlap));
    let two = "rtir 1
kernel @two(y: f32 out, z: f32 out) {
  phase [i0 < 8] {
    nest {
      %0 = const.f32 1.0
      store y[i0], %0
      store z[i0], %0
    }
  }
}
";
    let p = plan(two, &[]).expect("a good plan");
    assert_eq!(p.run(&[a, a], &[], &Serial), Err(LaunchError::Overlap));
    assert_eq!(p.run(&[a, c8], &[], &Serial), Ok(()));
}

#[test]
fn a_store_before_a_load_is_not_in_place() {
    let text = "rtir 1
kernel @late(x: f32 in, y: f32 out) {
  phase [i0 < 8] {
    nest {
      %0 = const.f32 1.0
      store y[i0], %0
      %1 = load.f32 x[i0]
      store y[i0], %1
    }
  }
}
";
    let p = plan(text, &[]).expect("a good plan");
    let mut memory = [0.0f32; 8];
    let a = arg(&mut memory, 0, 8);
    assert_eq!(p.run(&[a, a], &[], &Serial), Err(LaunchError::Overlap));
}

#[test]
fn backward_views_reach_below_their_pointer() {
    let p = plan(ADD, &[4, -1, 1]).expect("a good plan");
    let (mut x, mut m, mut y) = ([1.0f32, 2.0, 3.0, 4.0], [10.0f32; 4], [0.0f32; 4]);
    let two = [Literal::float(DType::F32, 2.5).bits];
    let args = [
        // SAFETY: elements -3..1 from the last one are the whole slice.
        unsafe { Arg::new(x.as_mut_ptr().wrapping_add(3).cast(), -3, 1, DType::F32) },
        // SAFETY: as above.
        unsafe { Arg::new(m.as_mut_ptr().wrapping_add(3).cast(), -3, 1, DType::F32) },
        arg(&mut y, 0, 4),
    ];
    assert_eq!(p.run(&args, &two, &Serial), Ok(()));
    assert_eq!(y, [4.0, 3.0, 12.0, 11.0]);
}

/// Random damage to the launch of random kernels: an error or a run, and memory around stays as it was.
#[test]
fn damaged_launches_do_not_fault() {
    for seed in 0..100 {
        let case = common::random::kernel_case(seed);
        let compiled = compile(&case.kernel, Isa::host().expect("a supported machine"));
        let compiled = Arc::new(compiled.unwrap_or_else(|e| panic!("{e}")));
        let mut rng = Rng::new(seed);
        for _ in 0..20 {
            let mut damaged = case.clone();
            for _ in 0..1 + rng.below(2) {
                damage(&mut rng, &mut damaged);
            }
            // Loops may be that long and touch nothing: the checks only.
            if damaged.syms.iter().any(|s| *s > 4096) {
                _ = Plan::new(compiled.clone(), &damaged.syms);
                continue;
            }
            damaged.run(&compiled, &Serial).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
    }
}

fn damage(rng: &mut Rng, case: &mut common::Case) {
    if rng.one_in(3) && !case.syms.is_empty() {
        let at = rng.below(case.syms.len());
        let near = case.syms[at].saturating_add(rng.below(9) as i64 - 4);
        case.syms[at] = rng.pick(&[0, -1, near, near, 100, i64::MAX, i64::MIN, 1 << 62]);
        return;
    }
    if case.args.is_empty() {
        return;
    }
    let at = rng.below(case.args.len());
    let (dtype, len) = (case.args[at].dtype(), case.args[at].len());
    match rng.below(5) {
        0 => case.args[at] = Array::zeros(dtype, len.saturating_sub(1 + rng.below(3))),
        1 => case.args[at] = Array::zeros(dtype, 0),
        2 => case.args[at] = Array::zeros(if dtype == DType::F32 { DType::I32 } else { DType::F32 }, len),
        3 => case.lows[at] = rng.below(5) as i64 - 2,
        _ => {
            case.args.pop();
            case.lows.pop();
        }
    }
}
