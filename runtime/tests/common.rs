//! Runs a kernel through the interpreter and through machine code, over the same memory.
#![allow(dead_code)]

use rusttorch_codegen::{Isa, compile};
use rusttorch_ir::dtype::Literal;
use rusttorch_ir::kernel::interp::{self, Array};
use rusttorch_ir::kernel::{BufferKind, Kernel};
use rusttorch_runtime::launch::{Arg, LaunchError, Plan};
use rusttorch_runtime::pool::Parallel;
use std::sync::Arc;

/// What both sides left behind.
pub fn run_compiled(
    kernel: &Kernel,
    syms: &[i64],
    scalars: &[Literal],
    args: &mut [Array],
    isa: Isa,
    pool: &dyn Parallel,
) -> Result<(), LaunchError> {
    let compiled = compile(kernel, isa).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    let plan = Plan::new(Arc::new(compiled), syms)?;
    let mut memory: Vec<Vec<u64>> = args
        .iter()
        .map(|a| {
            let mut words = vec![0u64; a.bytes().len().div_ceil(8).max(1)];
            for (w, chunk) in words.iter_mut().zip(a.bytes().chunks(8)) {
                let mut b = [0; 8];
                b[..chunk.len()].copy_from_slice(chunk);
                *w = u64::from_ne_bytes(b);
            }
            words
        })
        .collect();
    let views: Vec<Arg> = memory
        .iter_mut()
        .zip(args.iter())
        // SAFETY: the words outlive the run and hold that many elements.
        .map(|(m, a)| unsafe { Arg::new(m.as_mut_ptr().cast(), 0, a.len() as i64, a.dtype()) })
        .collect();
    let bits: Vec<u64> = scalars.iter().map(|l| l.bits).collect();
    let result = plan.run(&views, &bits, pool);
    for (a, m) in args.iter_mut().zip(&memory) {
        let bytes: Vec<u8> = m.iter().flat_map(|w| w.to_ne_bytes()).take(a.bytes().len()).collect();
        *a = Array::from_bytes(a.dtype(), bytes);
    }
    result
}

/// Asserts that machine code leaves the interpreter's bits.
pub fn check(kernel: &Kernel, syms: &[i64], scalars: &[Literal], args: &[Array], isa: Isa, pool: &dyn Parallel) {
    let mut expected = args.to_vec();
    let error = interp::run(kernel, syms, scalars, &mut expected).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    let mut got = args.to_vec();
    let result = run_compiled(kernel, syms, scalars, &mut got, isa, pool);
    match (error, result) {
        (None, Ok(())) => {}
        (Some(e), Err(LaunchError::Index { value, site, .. })) => {
            assert_eq!((e.value, e.site), (value, site), "{kernel}");
            return;
        }
        (Some(_), Err(LaunchError::ZeroDivision)) => return,
        (e, r) => panic!("interpreter {e:?}, machine {r:?}\n{kernel}"),
    }
    for (i, (e, g)) in expected.iter().zip(&got).enumerate() {
        if kernel.buffers[i].kind == BufferKind::In {
            continue;
        }
        if let Some(at) = e.first_difference(g) {
            panic!(
                "{isa}: buffer {} differs at {at} of {}: interpreter {:#x}, machine {:#x}, syms {syms:?}\n{kernel}",
                kernel.buffers[i].name,
                e.len(),
                e.get(at),
                g.get(at)
            );
        }
    }
}

/// A thread per task.
pub struct Spawning(pub usize);

impl Parallel for Spawning {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|s| {
            for t in 0..tasks {
                s.spawn(move || f(t));
            }
        });
    }
}
