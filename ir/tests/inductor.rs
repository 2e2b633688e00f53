//! Kernels made of loop bodies that PyTorch's Inductor fused, with the data of one run each, recorded
//! by `tools/record_inductor.py` (which describes the files). They show that kernels are general enough for
//! the loops of real models, forward and backward.

use rusttorch_ir::dtype::DType;
use rusttorch_ir::kernel::expand::expand_moments;
use rusttorch_ir::kernel::interp::{Array, run};
use rusttorch_ir::kernel::parse::parse;
use rusttorch_ir::kernel::simplify::simplify;
use rusttorch_ir::kernel::verify::verify;
use rusttorch_ir::kernel::{BufferKind, Kernel};
use std::path::Path;

/// One recorded run.
struct Recorded {
    syms: Vec<i64>,
    args: Vec<Array>,
    /// None for arguments that are only read.
    expected: Vec<Option<Array>>,
}

/// Reads the data file of `kernel`.
fn recorded(kernel: &Kernel, bytes: &[u8]) -> Recorded {
    let mut rest = bytes;
    let mut take = |n: usize| {
        let (head, tail) = rest.split_at(n);
        rest = tail;
        head
    };
    let u32_of = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap()) as usize;
    let syms = u32_of(take(4));
    let syms = (0..syms).map(|_| i64::from_le_bytes(take(8).try_into().unwrap())).collect();
    assert_eq!(u32_of(take(4)), kernel.args());
    let (mut args, mut expected) = (Vec::new(), Vec::new());
    for buffer in &kernel.buffers[..kernel.args()] {
        let kind = take(1)[0];
        let want = match buffer.kind {
            BufferKind::In => 0,
            BufferKind::Out => 1,
            _ => 2,
        };
        assert_eq!(kind, want, "kind of {}", buffer.name);
        let len = u32_of(take(4));
        let mut array = || little_endian(buffer.dtype, take(len * buffer.dtype.size()));
        args.push(if kind == 1 { Array::zeros(buffer.dtype, len) } else { array() });
        expected.push((kind != 0).then(array));
    }
    assert!(rest.is_empty(), "{} bytes are left over", rest.len());
    Recorded { syms, args, expected }
}

fn little_endian(dtype: DType, bytes: &[u8]) -> Array {
    let elements: Vec<u64> =
        bytes.chunks(dtype.size()).map(|c| c.iter().rev().fold(0, |bits, &b| bits << 8 | u64::from(b))).collect();
    Array::from_bits(dtype, &elements)
}

/// Equality up to `tolerance`, relative to the element or to the largest one of the array: a sum in
/// another order differs relative to its terms.
fn assert_close(name: &str, buffer: &str, got: &Array, want: &Array, tolerance: f64) {
    if tolerance == 0.0 || !got.dtype().is_float() {
        // Which NaN, and the sign of a zero (torch's relu and maximum leave it open), do not count.
        let same = got.to_f64().iter().zip(want.to_f64()).position(|(g, w)| *g != w && !(g.is_nan() && w.is_nan()));
        assert_eq!(same, None, "{name}: {buffer}\n{:?}\n{:?}", got.to_f64(), want.to_f64());
        return;
    }
    let (got, want) = (got.to_f64(), want.to_f64());
    let scale = want.iter().filter(|w| w.is_finite()).fold(0.0, |m: f64, w| m.max(w.abs()));
    for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
        let close = g == w || g.is_nan() && w.is_nan() || (g - w).abs() <= tolerance * scale;
        assert!(close, "{name}: element {i} of {buffer} is {g}, torch has {w}");
    }
}

fn check(path: &Path) {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let kernel = parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    verify(&kernel).unwrap_or_else(|e| panic!("{name}: {e:?}\n{kernel}"));
    let (comment, body) = text.split_at(text.find("rtir 1").expect("the header"));
    assert_eq!(kernel.to_string(), body, "{name} is canonical");
    let tolerance = match comment.lines().last().expect("a comment") {
        "; exact" => 0.0,
        line => line.strip_prefix("; within ").and_then(|t| t.parse().ok()).expect("a tolerance"),
    };

    let data = recorded(&kernel, &std::fs::read(path.with_extension("bin")).unwrap());
    let mut simple = kernel.clone();
    simplify(&mut simple);
    let expanded = expand_moments(&kernel);
    let outcomes = [&kernel, &simple, &expanded].map(|k| {
        verify(k).unwrap_or_else(|e| panic!("{name}: {e:?}\n{k}"));
        let mut args = data.args.clone();
        let error = run(k, &data.syms, &[], &mut args).unwrap_or_else(|e| panic!("{name}: {e}\n{k}"));
        assert_eq!(error, None, "{name}");
        args
    });
    for (i, want) in data.expected.iter().enumerate() {
        let got = outcomes.each_ref().map(|args| &args[i]);
        assert!(got[0].same(got[1]), "{name}: simplify changes {}\n{simple}", kernel.buffers[i].name);
        assert!(got[0].same(got[2]), "{name}: expansion changes {}\n{expanded}", kernel.buffers[i].name);
        match want {
            Some(want) => assert_close(name, &kernel.buffers[i].name, got[0], want, tolerance),
            None => assert!(got[0].same(&data.args[i]), "{name} writes to {}", kernel.buffers[i].name),
        }
    }
}

#[test]
fn kernels_of_inductor_compute_what_torch_computes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inductor");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "rtir"));
    paths.sort();
    assert!(paths.len() >= 50, "{} recorded kernels", paths.len());
    let failed: Vec<_> = paths.iter().filter(|p| std::panic::catch_unwind(|| check(p)).is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
