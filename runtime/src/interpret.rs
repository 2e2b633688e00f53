//! The last emitter: the interpreter, over the same memory as machine code. Right and slow; every use
//! is counted by name where it is chosen.
#![allow(unsafe_code)]

use crate::launch::{Arg, LaunchError};
use rusttorch_ir::dtype::Literal;
use rusttorch_ir::kernel::interp::{self, Array, InterpError};
use rusttorch_ir::kernel::{Buffer, BufferKind, Kernel};

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
        let is_result = |b: &Buffer| b.kind != BufferKind::In;
        // Operands are copied; of two results in one place one would be lost.
        let outputs: Vec<_> = args.iter().zip(&k.buffers).filter(|(_, b)| is_result(b)).collect();
        for (i, (a, _)) in outputs.iter().enumerate() {
            let (start, end) = a.span();
            if outputs[i + 1..].iter().any(|(b, _)| b.span().0 < end && start < b.span().1) {
                return Err(LaunchError::Overlap);
            }
        }
        let literals: Vec<Literal> =
            k.scalars.iter().zip(scalars).map(|(&dtype, &bits)| Literal { dtype, bits }).collect();
        // What is in the results before; operands stay as they are.
        let before: Vec<Vec<u8>> = arrays
            .iter()
            .zip(&k.buffers)
            .map(|(a, b)| if is_result(b) { a.bytes().to_vec() } else { vec![] })
            .collect();
        let error = interp::run(k, &self.syms, &literals, &mut arrays).map_err(|e| match e {
            // As by `launch`.
            InterpError::EmptyDimension { site } => LaunchError::Index { value: 0, size: 0, site },
            e => LaunchError::Invalid(e.to_string()),
        })?;
        for ((arg, array), before) in args.iter().zip(&arrays).zip(&before) {
            let size = array.dtype().size();
            for (i, (new, old)) in array.bytes().chunks_exact(size).zip(before.chunks_exact(size)).enumerate() {
                // What the kernel did not write may be another's, who writes it now.
                if new != old {
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
