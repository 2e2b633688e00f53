//! The functions of this process that machine code calls, by address.

use crate::clif;

/// A function that machine code may call, in the C convention of its target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HostFn {
    /// `(record, kind, site, position, value, size)`, six 64-bit words: notes a failed check in the
    /// [`crate::ErrorRecord`] at `record` unless it holds one of a lower key.
    RecordFailure,
    /// `(number, a, b)`: the function `Func::ALL[number]` at f32, `b` being ignored by functions of one operand.
    CallF32,
    /// The same at f64.
    CallF64,
    /// `(a, b, c)`: a * b + c, rounded once. Only targets without the instruction call it.
    FmaF32,
    /// The same at f64.
    FmaF64,
}

impl HostFn {
    /// All of them.
    pub const ALL: [HostFn; 5] =
        [HostFn::RecordFailure, HostFn::CallF32, HostFn::CallF64, HostFn::FmaF32, HostFn::FmaF64];

    /// Where it is in this process.
    pub(crate) fn address(self) -> u64 {
        let pointer = match self {
            HostFn::RecordFailure => clif::record_failure as *const (),
            HostFn::CallF32 => clif::call_f32 as *const (),
            HostFn::CallF64 => clif::call_f64 as *const (),
            HostFn::FmaF32 => fma_f32 as *const (),
            HostFn::FmaF64 => fma_f64 as *const (),
        };
        pointer as u64
    }

    /// The library call of Cranelift's that it stands for, by name.
    pub(crate) fn of_libcall(name: &str) -> Option<HostFn> {
        match name {
            "fma" => Some(HostFn::FmaF64),
            "fmaf" => Some(HostFn::FmaF32),
            _ => None,
        }
    }
}

/// Correctly rounded fma for targets without the instruction, never the system's.
extern "C" fn fma_f64(a: f64, b: f64, c: f64) -> f64 {
    libm::fma(a, b, c)
}

extern "C" fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
    libm::fmaf(a, b, c)
}
