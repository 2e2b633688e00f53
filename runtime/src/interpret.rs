//! The last emitter: the interpreter, over the same memory as machine code. Right and slow; every use
//! is counted by name where it is chosen.
#![allow(unsafe_code)]

use crate::launch::{Arg, LaunchError};
use rusttorch_ir::dtype::Literal;
use rusttorch_ir::kernel::interp::{self, Array};
use rusttorch_ir::kernel::{BufferKind, Kernel};

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

    /// Runs over memory, as `launch::Plan::run` does. Arguments with elements before their first (negative
    /// strides) are refused.
    pub fn run(&self, args: &[Arg<'_>], scalars: &[u64]) -> Result<(), LaunchError> {
        let k = &self.kernel;
        if args.len() != k.args() || scalars.len() != k.scalars.len() {
            return Err(LaunchError::Invalid("a wrong number of arguments".into()));
        }
        let mut arrays = Vec::new();
        for (arg, buffer) in args.iter().zip(&k.buffers) {
            if arg.dtype() != buffer.dtype || arg.low() < 0 {
                return Err(LaunchError::Invalid(format!("the interpreter cannot take buffer {}", buffer.name)));
            }
            let len = usize::try_from(arg.high()).unwrap_or(0) * buffer.dtype.size();
            let mut bytes = vec![0u8; len];
            if len > 0 {
                // SAFETY: `Arg::new` promises elements 0..high, readable; a copy needs no alignment.
                unsafe { std::ptr::copy_nonoverlapping(arg.ptr(), bytes.as_mut_ptr(), len) };
            }
            arrays.push(Array::from_bytes(buffer.dtype, bytes));
        }
        let literals: Vec<Literal> =
            k.scalars.iter().zip(scalars).map(|(&dtype, &bits)| Literal { dtype, bits }).collect();
        let error =
            interp::run(k, &self.syms, &literals, &mut arrays).map_err(|e| LaunchError::Invalid(e.to_string()))?;
        for ((arg, array), buffer) in args.iter().zip(&arrays).zip(&k.buffers) {
            if buffer.kind != BufferKind::In && !array.is_empty() {
                // SAFETY: `Arg::new` promises elements 0..high, writable for what the kernel writes.
                unsafe { std::ptr::copy_nonoverlapping(array.bytes().as_ptr(), arg.ptr(), array.bytes().len()) };
            }
        }
        match error {
            None => Ok(()),
            Some(e) if e.size == 0 => Err(LaunchError::ZeroDivision),
            Some(e) => Err(LaunchError::Index { value: e.value, size: e.size, site: e.site }),
        }
    }
}
