//! Every argument flush against pages that must not be touched, behind it or before it: machine code
//! that reads or writes past an end dies here. Sanitizers cannot see into generated code. Results are
//! compared with the interpreter's on the way.
#![cfg(unix)]

mod common;

use common::{Case, Spawning, isas};
use rusttorch_codegen::compile;
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::kernel::Kernel;
use rusttorch_ir::kernel::interp::Array;
use rusttorch_ir::kernel::parse::parse;
use rusttorch_ir::kernel::random::Rng;
use rusttorch_runtime::launch::{Arg, Plan};
use rusttorch_runtime::pool::{Parallel, Serial};
use std::sync::Arc;

const PAGE: usize = 16384;

/// Pages that may be used between two that may not.
struct Guarded {
    base: *mut u8,
    usable: usize,
}

impl Guarded {
    fn new(bytes: usize) -> Guarded {
        let usable = bytes.div_ceil(PAGE).max(1) * PAGE;
        // SAFETY: an anonymous mapping at an address of the system's choice; the part between the first and
        // the last page, all of it inside the mapping, is then made accessible.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let p = libc::mmap(std::ptr::null_mut(), usable + 2 * PAGE, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(p, libc::MAP_FAILED);
            let base = p.cast::<u8>().add(PAGE);
            assert_eq!(libc::mprotect(base.cast(), usable, libc::PROT_READ | libc::PROT_WRITE), 0);
            Guarded { base, usable }
        }
    }

    /// Where an array of so many bytes begins, at the end of the pages or at their start.
    fn place(&self, bytes: usize, at_end: bool) -> *mut u8 {
        self.base.wrapping_add(if at_end { self.usable - bytes } else { 0 })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, which nothing refers to any more.
        unsafe { libc::munmap(self.base.sub(PAGE).cast(), self.usable + 2 * PAGE) };
    }
}

fn run(case: &Case, plan: &Plan, pool: &dyn Parallel, memory: &[Guarded], at_end: bool) -> Vec<Array> {
    let starts: Vec<*mut u8> = case.args.iter().zip(memory).map(|(a, m)| m.place(a.bytes().len(), at_end)).collect();
    let args: Vec<Arg> = case
        .args
        .iter()
        .zip(&starts)
        .map(|(a, &p)| {
            let bytes = a.bytes();
            // SAFETY: `place` gives room for that many bytes, and for the run nothing else uses it.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), p, bytes.len());
                Arg::new(p, 0, a.len() as i64, a.dtype())
            }
        })
        .collect();
    let bits: Vec<u64> = case.scalars.iter().map(|l| l.bits).collect();
    plan.run(&args, &bits, pool).unwrap_or_else(|e| panic!("{e}\n{}", case.kernel));
    let read = |(a, &p): (&Array, &*mut u8)| {
        // SAFETY: as above; the run is over.
        let bytes = unsafe { std::slice::from_raw_parts(p, a.bytes().len()) };
        Array::from_bytes(a.dtype(), bytes.to_vec())
    };
    case.args.iter().zip(&starts).map(read).collect()
}

/// Runs a kernel for all lengths. `fit` gives symbols and the elements of every argument.
fn check(text: &str, fit: impl Fn(usize) -> (Vec<i64>, Vec<usize>)) {
    let kernel: Kernel = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let compiled: Vec<_> =
        isas().into_iter().map(|isa| Arc::new(compile(&kernel, isa).unwrap_or_else(|e| panic!("{e}")))).collect();
    let memory: Vec<Guarded> =
        fit(70).1.iter().enumerate().map(|(i, n)| Guarded::new(n * kernel.buffers[i].dtype.size())).collect();
    let mut rng = Rng::new(1);
    for n in 0..=70 {
        let (syms, lengths) = fit(n);
        let args: Vec<Array> = lengths.iter().zip(&kernel.buffers).map(|(&n, b)| rng.array(b.dtype, n)).collect();
        let scalars: Vec<Literal> = kernel.scalars.iter().map(|&d| rng.literal(d)).collect();
        let case = Case::new(&kernel, &syms, &scalars, &args);
        let (want, error) = case.interpret().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(error, None);
        for c in &compiled {
            let plan = Plan::new(c.clone(), &syms).unwrap_or_else(|e| panic!("{e}"));
            for (pool, at_end) in [(&Serial as &dyn Parallel, true), (&Serial, false), (&Spawning(2), n % 2 == 0)] {
                let got = run(&case, &plan, pool, &memory, at_end);
                for (i, (w, g)) in want.iter().zip(&got).enumerate() {
                    assert_eq!(w.first_difference(g), None, "{}, length {n}, argument {i}\n{text}", c.isa);
                }
            }
        }
    }
}

#[test]
fn maps_of_all_dtypes() {
    for from in DType::ALL {
        for to in DType::ALL {
            // 16-bit floats have conversions to and from f32 only.
            let by = if to.is_half() { DType::F32 } else { from.compute() };
            let text = format!(
                "rtir 1
kernel @map(x: {from} in, y: {to} out) syms 1 {{
  phase [i0 < s0] {{
    nest {{
      %0 = load.{from} x[i0]
      %1 = convert.{by} %0
      %2 = convert.{to} %1
      store y[i0], %2
    }}
  }}
}}
"
            );
            check(&text, |n| (vec![n as i64], vec![n, n]));
        }
    }
}

#[test]
fn strided_and_masked_maps() {
    for d in DType::ALL {
        let compared = d.compute();
        let text = format!(
            "rtir 1
kernel @strided(x: {d} in, w: {d} in, m: {d} in, y: {d} out, z: {d} inout) syms 4 {{
  phase [i0 < s0, i1 < s1] {{
    nest {{
      %0 = load.{d} x[3*i0 + s2*i1]
      %1 = load.{d} w[i0*s1 + floordiv(i1, 2)]
      %2 = index.i64 i1
      %3 = const.i64 5
      %4 = lt.i64 %2, %3
      %5 = load.{d} m[5*i0 + i1] if %4
      %6 = convert.{compared} %1
      %7 = convert.{compared} %5
      %8 = eq.{compared} %6, %7
      %9 = select.{d} %8, %0, %5
      store y[2*i0*s1 + 2*i1], %9
      store z[5*i0 + i1], %1 if %4
    }}
  }}
}}
"
        );
        check(&text, |n| {
            let rows = 3;
            let w = if n == 0 { 0 } else { (rows - 1) * n + (n - 1) / 2 + 1 };
            let x = if n == 0 { 0 } else { 3 * (rows - 1) + 2 * (n - 1) + 1 };
            let y = if n == 0 { 0 } else { 2 * rows * n - 1 };
            (vec![rows as i64, n as i64, 2, 0], vec![x, w, 5 * (rows - 1) + n.min(5), y, 5 * (rows - 1) + n.min(5)])
        });
    }
}

/// Reductions over rows that are contiguous (`lanes`) or strided (`rows`), with scratch and a map after.
fn reduction(d: DType, order: &str, kind: &str, at: &str) -> String {
    format!(
        "rtir 1
kernel @reduce(x: {d} in, r: {d} out, y: {d} out) syms 2 {{
  row t: {d}[s1]
  phase [i0 < s0] {{
    nest [i1 < s1] {{
      %0 = load.{d} x[{}]
      store t[i1], %0
      %1 = reduce.{kind}.{d}.{order} %0
    }}
    nest {{
      store r[i0], %1
    }}
    nest [i2 < s1] {{
      %2 = load.{d} t[i2]
      %3 = xor_or_add %2, %1
      store y[{}], %3
    }}
  }}
}}
",
        at.replace("AX", "i1"),
        at.replace("AX", "i2")
    )
    .replace("xor_or_add", &if d == DType::Bool { format!("xor.{d}") } else { format!("add.{d}") })
}

#[test]
fn reductions_of_rows_and_columns() {
    for d in DType::ALL.into_iter().filter(|d| !d.is_half()) {
        let kind = if d == DType::Bool { "any" } else { "sum" };
        // Few rows of n, n rows of few; the last outer axis contiguous, or the inner one.
        for order in ["lanes", "rows"] {
            for outer in [3usize, 11] {
                check(&reduction(d, order, kind, "i0*s1 + AX"), |n| {
                    (vec![outer as i64, n as i64], vec![outer * n, outer, outer * n])
                });
                check(&reduction(d, order, kind, "AX*s0 + i0"), |n| {
                    (vec![n as i64, outer as i64], vec![outer * n, n, outer * n])
                });
            }
        }
    }
}

#[test]
fn indirect_loads() {
    for d in DType::ALL {
        let text = format!(
            "rtir 1
kernel @gather(i: i64 in, x: {d} in, y: {d} out) syms 2 {{
  phase [i0 < s0] {{
    nest [i1 < s1] {{
      %0 = load.i64 i[i0]
      %1 = const.i64 3
      %2 = and.i64 %0, %1
      %3 = check %2, size 4 wrap
      %4 = load.{d} x[%3*s1 + i1]
      store y[i0*s1 + i1], %4
    }}
  }}
}}
"
        );
        check(&text, |n| (vec![5, n as i64], vec![5, 4 * n, 5 * n]));
    }
}
