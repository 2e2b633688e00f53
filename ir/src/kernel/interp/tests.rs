use super::*;
use crate::kernel::parse::parse;

fn kernel(rest: &str) -> Kernel {
    let head = "rtir 1\nkernel @k(x: i32 in, y: i32 inout) syms 1 {\n";
    parse(&format!("{head}{rest}}}")).unwrap_or_else(|e| panic!("{e}"))
}

fn args(x: &[i64], y: usize) -> [Array; 2] {
    [Array::from_i64(DType::I32, x), Array::zeros(DType::I32, y)]
}

#[test]
fn the_lowest_record_stays() {
    let k = kernel(
        "phase [i0 < s0] { nest [i1 < 2] {
            %0 = load.i32 x[i0*2 + i1]
            %1 = check %0, size 4
            %2 = idiv.i32 %0, %0
            store y[i0*2 + i1], %2
        } }",
    );
    let mut a = args(&[1, 2, 3, 0, -7, 9], 6);
    let error = run(&k, &[3], &[], &mut a).expect("runs");
    assert_eq!(error, Some(IndexError { site: 1, position: 3, value: 0, size: 0 }));
    assert_eq!(a[1].bits(), [1, 1, 1, 0, 1, 1]);
    let mut a = args(&[1, 2, 3, 4, 0, 9], 6);
    let error = run(&k, &[3], &[], &mut a).expect("runs");
    assert_eq!(error, Some(IndexError { site: 0, position: 3, value: 4, size: 4 }));
}

#[test]
fn adding_stores_go_in_order_and_masks_touch_nothing() {
    let k = kernel(
        "phase { nest [i0 < s0] {
            %0 = load.i32 x[i0]
            %1 = const.i32 0
            %2 = gt.i32 %0, %1
            store.add y[0], %0 if %2
            store y[i0 + 1], %0 if %2
        } }",
    );
    let mut a = args(&[5, 6, -1], 3);
    assert_eq!(run(&k, &[3], &[], &mut a), Ok(None));
    assert_eq!(a[1].bits(), [11, 5, 6]);
}

#[test]
fn misuse_is_an_error() {
    let k = kernel("phase [i0 < s0] { nest { %0 = load.i32 x[i0 + -1] store y[floordiv(i0, s0 + -2)], %0 } }");
    let error = |syms: &[i64], a: &mut [Array]| run(&k, syms, &[], a).expect_err("an error").to_string();
    assert_eq!(error(&[1], &mut args(&[1], 1)), "element -1 of buffer x, which has 1");
    assert_eq!(error(&[-1], &mut args(&[1], 1)), "extent s0 is -1");
    assert_eq!(error(&[], &mut args(&[1], 1)), "0 symbols where the kernel has 1");
    assert_eq!(error(&[1], &mut []), "0 arguments where the kernel has 2");
    let mut wrong = [Array::from_f32(&[1.0]), Array::zeros(DType::I32, 1)];
    assert_eq!(error(&[1], &mut wrong), "argument x is f32, not i32");
    assert_eq!(wrong[0].len(), 1, "arguments come back");
    let huge = kernel("temp t: f64[s0] phase { nest { %0 = index.i64 s0*s0 } }");
    for (n, text) in [(i64::MAX, "extent s0 is 9223372036854775807"), (1 << 20, "")] {
        let got = run(&huge, &[n], &[], &mut args(&[], 0));
        assert_eq!(got.err().map(|e| e.to_string()).unwrap_or_default(), text);
    }
    let overflow = kernel("phase { nest { %0 = index.i64 s0*s0 } }");
    let got = run(&overflow, &[i64::MAX], &[], &mut args(&[], 0));
    assert_eq!(got, Err(InterpError::Index("s0*s0".into())));
}
