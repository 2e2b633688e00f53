//! The last emitter: the interpreter, over the same memory as machine code. Right and slow; every use
//! is counted by name where it is chosen.
#![allow(unsafe_code)]

use crate::launch::{Arg, LaunchError};
use rusttorch_ir::dtype::Literal;
use rusttorch_ir::kernel::interp::{self, Array};
use rusttorch_ir::kernel::{BufferKind, Kernel};
use std::ops::Range;

/// A kernel with the values of its symbols.
#[derive(Debug)]
pub struct Plan {
    kernel: Kernel,
    syms: Vec<i64>,
}

impl Plan {
    /// A kernel with the values of its symbols.
    pub fn new(kernel: Kernel, syms: Vec<i64>) -> Plan {
        Plan { kernel, syms }
    }

    /// Runs over memory, as `launch::Plan::run` does.
    pub fn run(&self, args: &[Arg<'_>], scalars: &[u64]) -> Result<(), LaunchError> {
        let k = &self.kernel;
        if args.len() != k.args() || scalars.len() != k.scalars.len() {
            return Err(LaunchError::Invalid("a wrong number of arguments".into()));
        }
        let mut arrays = Vec::new();
        for (arg, buffer) in args.iter().zip(&k.buffers) {
            let origin = usize::try_from(-arg.low()).ok().filter(|_| arg.dtype() == buffer.dtype);
            let Some(origin) = origin else {
                return Err(LaunchError::Invalid(format!("the interpreter cannot take buffer {}", buffer.name)));
            };
            arrays.push(Array::from_bytes(buffer.dtype, bytes_of(arg)).with_origin(origin));
        }
        // Operands are copied; of two results in one place one would be lost.
        let outputs = || args.iter().zip(&k.buffers).enumerate().filter(|(_, (_, b))| b.kind != BufferKind::In);
        for (i, (a, _)) in outputs() {
            let range = span(a);
            if outputs().any(|(j, (b, _))| j > i && span(b).start < range.end && range.start < span(b).end) {
                return Err(LaunchError::Overlap);
            }
        }
        let literals: Vec<Literal> =
            k.scalars.iter().zip(scalars).map(|(&dtype, &bits)| Literal { dtype, bits }).collect();
        let before = arrays.clone();
        let error =
            interp::run(k, &self.syms, &literals, &mut arrays).map_err(|e| LaunchError::Invalid(e.to_string()))?;
        for (((arg, array), before), buffer) in args.iter().zip(&arrays).zip(&before).zip(&k.buffers) {
            // What the kernel did not write may be another's, who writes it now.
            let size = buffer.dtype.size();
            for (i, (new, old)) in array.bytes().chunks_exact(size).zip(before.bytes().chunks_exact(size)).enumerate() {
                if buffer.kind != BufferKind::In && new != old {
                    let at = (arg.low() as isize + i as isize) * size as isize;
                    // SAFETY: `Arg::new` promises elements low..high, writable for what the kernel writes.
                    unsafe { std::ptr::copy_nonoverlapping(new.as_ptr(), arg.ptr().offset(at), size) };
                }
            }
        }
        match error {
            None => Ok(()),
            Some(e) if e.size == 0 => Err(LaunchError::ZeroDivision),
            Some(e) => Err(LaunchError::Index { value: e.value, size: e.size, site: e.site }),
        }
    }
}

/// A copy of the elements from the first to the last.
fn bytes_of(arg: &Arg<'_>) -> Vec<u8> {
    let size = arg.dtype().size();
    let mut bytes = vec![0u8; usize::try_from(arg.high() - arg.low()).unwrap_or(0) * size];
    if !bytes.is_empty() {
        // SAFETY: `Arg::new` promises elements low..high, readable; a copy needs no alignment.
        unsafe {
            let first = arg.ptr().offset(arg.low() as isize * size as isize);
            std::ptr::copy_nonoverlapping(first, bytes.as_mut_ptr(), bytes.len());
        }
    }
    bytes
}

/// The addresses of its elements.
fn span(arg: &Arg<'_>) -> Range<usize> {
    let at = |i: i64| arg.ptr().addr().wrapping_add_signed(i as isize * arg.dtype().size() as isize);
    at(arg.low())..at(arg.high())
}
