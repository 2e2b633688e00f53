use super::*;

const EVERYTHING: &str = "\
rtir 1
kernel @all(x: f32 in, n: i64 in, y: f32 out, z: f64 inout) syms 2 scalars (f32, bool) {
  temp t: f32[s0*4 + 1]
  row r: f32[max(s0, 1)]
  phase [i0 < s0] {
    nest {
      %0 = scalar.f32 c0
      %1 = scalar.bool c1
      %2 = const.f32 -0.0
      %3 = const.f32 nan
      %4 = const.f32 nan:0xffc00001
      %5 = const.f64 1e-310
      %6 = const.bool true
      %7 = const.i32 -2147483648
      %8 = const.f16 -65504.0
      %9 = const.bf16 nan:0xff81
      %10 = const.i8 -128
      %11 = lookup.i16 [-1, 32767], %7
    }
    nest [i1 < 4, i2 < min(s1, i0 + -3 + 2*(i1 + 1))] {
      %12 = load.f32 x[floordiv(i0 + i1*s1*(-1), 3) + (i2 + 2)] if %6
      %13 = load.i64 n[mod(i2, 7)]
      %14 = check %13, size s0 wrap if %6
      %15 = load.f32 x[%14]
      %16 = index.i32 i2
      %17 = lookup.f32 [1.5, -inf], %16
      %18 = call.pow.f32 %17, %15
      %19 = lt.f32 %12, %18
      %20, %21 = cold %19 {
        %22 = sqrt.f32 %12
        %23 = cold %1 {
        } slow (%22) fast (%18)
      } slow (%23, %6) fast (%18, %19)
      store t[i2], %20
      store.add t[i2], %2 if %21
      %24, %25 = reduce.argmax.f32.rows %12, %16
      %26, %27, %28 = reduce.moments.f32.lanes %12
      %29 = convert.f64 %12
    }
  }
}
";

#[test]
fn every_form_round_trips() {
    let k = parse(EVERYTHING).expect("well formed");
    super::super::verify::verify(&k).expect("valid");
    assert_eq!(k.to_string(), EVERYTHING);
    assert_eq!(k.values[25], DType::I32);
    for inexact in ["f16 0.1", "bf16 1.001", "f16 65520.0", "i8 128", "i16 -32769"] {
        let text = format!("rtir 1\nkernel @k() {{ phase {{ nest {{ %0 = const.{inexact} }} }} }}");
        assert!(parse(&text).is_err(), "{inexact}");
    }
    let odd = Kernel { name: "a \"b\"\\\nc;".into(), ..Kernel::default() };
    assert_eq!(parse(&odd.to_string()).expect("well formed"), odd);
}

#[test]
fn comments_and_layout_do_not_matter() {
    let k = parse("rtir 1 ; one\nkernel@k()syms 1{phase[i0<s0]{nest{%0=index.i64 i0 * 2}}}; end").expect("well formed");
    assert_eq!(parse(&k.to_string()), Ok(k));
}

#[test]
fn errors_have_places() {
    let error = |text: &str| parse(text).expect_err("not well formed").to_string();
    assert_eq!(error("rtir 2"), "1:5: format 2 is not known; this reader knows 1");
    let body = |inst: &str| {
        format!("rtir 1\nkernel @k(x: f32 in) {{\n  phase {{\n    nest {{\n      {inst}\n    }}\n  }}\n}}")
    };
    assert_eq!(error(&body("%0 = frob.f32 %1")), "5:12: no instruction is called frob.f32");
    assert_eq!(error(&body("%0 = load.f32 y[0]")), "5:21: no buffer is called y");
    assert_eq!(error(&body("%0 = const.u8 256")), "5:21: expected a constant of u8");
    assert_eq!(error(&body("%0 = load.f32 x[99999999999999999999]")), "5:23: expected a 64-bit integer");
    assert!(error(&body("%1 = const.u8 2")).contains("value number 0 is not defined"));
    assert!(error(&body("%4294967296 = const.u8 2")).contains("expected a value"));
}

#[test]
fn hostile_texts_are_refused() {
    let prefix = "rtir 1\nkernel @k(x: f32 in) { phase { nest { %0 = index.i64 ";
    let n = 1_000_000;
    for tail in ["(".repeat(n), "1 + ".repeat(n), "min(".repeat(n), "1*".repeat(n), "9".repeat(n), "-".repeat(n)] {
        assert!(parse(&format!("{prefix}{tail}")).is_err());
    }
    let cold = "%0 = cold %1 { ".repeat(n / 10);
    assert!(parse(&format!("rtir 1 kernel @k() {{ phase {{ nest {{ {cold}")).is_err());
    for text in ["", "é", "rtir", "rtir 1 kernel @\"", "rtir 1 kernel @\"\\", "rtir 1 kernel @k(é"] {
        assert!(parse(text).is_err());
    }
    assert!(parse(&"(".repeat(n)).is_err());
}

#[test]
fn truncations_and_mutations_never_panic() {
    for end in 0..EVERYTHING.len() {
        let _ = parse(&EVERYTHING[..end]);
        for c in *b"%[(-9. ;i" {
            let mut bytes = EVERYTHING.as_bytes().to_vec();
            bytes[end] = c;
            if let Ok(text) = std::str::from_utf8(&bytes)
                && let Ok(k) = parse(text)
                && super::super::verify::verify(&k).is_ok()
            {
                assert_eq!(parse(&k.to_string()), Ok(k));
            }
        }
    }
}
