//! Runs a kernel through the interpreter and through machine code, over equal memory, and compares what
//! both leave: every bit of every argument and the error. Random cases are in `random.rs`.
#![allow(dead_code)]

pub mod aarch64;
pub mod corpus;
pub mod emulated;
pub mod random;
pub mod shrink;
pub mod space;

use rusttorch_codegen::{CodegenError, Compiled, Emitters, Isa, compile_by};
use rusttorch_ir::dtype::Literal;
use rusttorch_ir::kernel::expand::expand_moments;
use rusttorch_ir::kernel::interp::{self, Array, IndexError};
use rusttorch_ir::kernel::{Kernel, Op, Reduction};
use rusttorch_runtime::launch::{Arg, LaunchError, Plan};
use rusttorch_runtime::pool::{Parallel, Serial};
use std::sync::Arc;

/// The instruction sets that this machine can run.
pub fn isas() -> Vec<Isa> {
    let host = Isa::host().expect("a supported machine");
    let runs = |i: &Isa| if host == Isa::Neon { *i == host } else { *i <= host && *i != Isa::Neon };
    Isa::NAMES.into_iter().map(|(i, _)| i).filter(runs).collect()
}

/// The choices of emitters that make different code for an instruction set.
pub fn emitters(isa: Isa) -> &'static [Emitters] {
    match isa {
        Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 => &[Emitters::Widest, Emitters::Streaming, Emitters::Cranelift],
        Isa::Baseline | Isa::Neon => &[Emitters::Widest],
    }
}

/// Bytes around an argument that nobody may touch.
const FENCE: usize = 64;
const UNTOUCHED: u8 = 0xa5;

/// Memory of one argument: aligned to its element and to nothing more, with a fence on both sides.
pub struct Memory {
    bytes: Vec<u8>,
    start: usize,
}

impl Memory {
    pub fn new(a: &Array) -> Memory {
        let mut bytes = vec![UNTOUCHED; a.bytes().len() + 2 * FENCE + 64];
        let start = bytes.as_ptr().align_offset(64) + FENCE + a.dtype().size();
        bytes[start..start + a.bytes().len()].copy_from_slice(a.bytes());
        Memory { bytes, start }
    }

    /// The memory as an argument whose first element is number `low`.
    pub fn arg(&mut self, a: &Array, low: i64) -> Arg<'_> {
        let first = self.bytes[self.start..].as_mut_ptr();
        let zero = first.wrapping_offset(-(low as isize) * a.dtype().size() as isize);
        // SAFETY: the callers keep the memory for the run, and it holds as many elements from `first` on.
        unsafe { Arg::new(zero, low, low + a.len() as i64, a.dtype()) }
    }

    /// What the argument holds.
    pub fn array(&self, a: &Array) -> Result<Array, String> {
        let end = self.start + a.bytes().len();
        let fenced = |bytes: &[u8]| bytes.iter().all(|&b| b == UNTOUCHED);
        if !fenced(&self.bytes[..self.start]) || !fenced(&self.bytes[end..]) {
            return Err("memory around an argument was written".to_owned());
        }
        Ok(Array::from_bytes(a.dtype(), self.bytes[self.start..end].to_vec()))
    }
}

/// A kernel with all it takes to run.
#[derive(Clone)]
pub struct Case {
    pub kernel: Kernel,
    /// The kernel over buffers that begin at element 0, where that is another text: for the interpreter.
    pub shifted: Option<Kernel>,
    pub syms: Vec<i64>,
    pub scalars: Vec<Literal>,
    pub args: Vec<Array>,
    /// Number of the first element of every argument.
    pub lows: Vec<i64>,
}

impl Case {
    pub fn new(kernel: &Kernel, syms: &[i64], scalars: &[Literal], args: &[Array]) -> Case {
        Case {
            kernel: kernel.clone(),
            shifted: None,
            syms: syms.to_vec(),
            scalars: scalars.to_vec(),
            args: args.to_vec(),
            lows: vec![0; args.len()],
        }
    }

    /// What the interpreter leaves.
    pub fn interpret(&self) -> Result<(Vec<Array>, Option<IndexError>), String> {
        let mut args = self.args.clone();
        let kernel = self.shifted.as_ref().unwrap_or(&self.kernel);
        let error = interp::run(kernel, &self.syms, &self.scalars, &mut args)
            .map_err(|e| format!("interpreter: {e}\n{kernel}"))?;
        Ok((args, error))
    }

    /// What machine code leaves.
    pub fn run(
        &self,
        compiled: &Arc<Compiled>,
        pool: &dyn Parallel,
    ) -> Result<(Vec<Array>, Option<LaunchError>), String> {
        let plan = match Plan::new(compiled.clone(), &self.syms) {
            Ok(plan) => plan,
            Err(e) => return Ok((self.args.clone(), Some(e))),
        };
        let mut memory: Vec<Memory> = self.args.iter().map(Memory::new).collect();
        let views: Vec<Arg> =
            memory.iter_mut().zip(&self.args).zip(&self.lows).map(|((m, a), &low)| m.arg(a, low)).collect();
        let bits: Vec<u64> = self.scalars.iter().map(|l| l.bits).collect();
        let error = plan.run(&views, &bits, pool).err();
        let args: Result<Vec<Array>, String> = memory.iter().zip(&self.args).map(|(m, a)| m.array(a)).collect();
        Ok((args?, error))
    }

    /// True for the one form of kernel that the interpreter runs and no emitter does: moments that are
    /// read again in place, where a nest stores to what it takes them of. Nothing that fuses makes it.
    pub fn is_refused(&self) -> bool {
        let refused = CodegenError::unsupported("moments of what the nest overwrites");
        let kernel = Arc::new(self.kernel.clone());
        has_moments(&self.kernel)
            && isas()
                .into_iter()
                .flat_map(|isa| emitters(isa).iter().map(move |&e| (isa, e)))
                .all(|(isa, emitters)| compile_by(&kernel, isa, emitters).is_err_and(|e| e == refused))
    }

    /// Compares machine code with the interpreter at every instruction set, by each emitter, on one
    /// thread and on several. Gives the number of comparisons; the error is a report.
    pub fn check(&self) -> Result<u64, String> {
        let (want, error) = self.interpret()?;
        let mut comparisons = 0;
        let kernel = Arc::new(self.kernel.clone());
        for (isa, emitters) in isas().into_iter().flat_map(|isa| emitters(isa).iter().map(move |&e| (isa, e))) {
            let compiled = compile_by(&kernel, isa, emitters);
            let compiled = Arc::new(compiled.map_err(|e| format!("{isa}: {e}\n{}", self.kernel))?);
            for pool in [&Serial as &dyn Parallel, &Spawning(3)] {
                let report = |what: String| {
                    let (syms, threads) = (&self.syms, pool.threads());
                    format!("{isa} ({emitters:?}), {threads} threads: {what}; symbols {syms:?}\n{}", self.kernel)
                };
                let (got, got_error) = self.run(&compiled, pool).map_err(report)?;
                self.compare(&want, &error, &got, &got_error).map_err(report)?;
                comparisons += 1;
            }
        }
        Ok(comparisons)
    }

    /// Compares what machine code left with what the interpreter did.
    pub fn compare(
        &self,
        want: &[Array],
        error: &Option<IndexError>,
        got: &[Array],
        got_error: &Option<LaunchError>,
    ) -> Result<(), String> {
        // Copies of a check are sites of their own.
        let sites = !has_moments(&self.kernel) || sites(&expand_moments(&self.kernel)) == sites(&self.kernel);
        if !same_error(error, got_error, sites) {
            return Err(format!("interpreter {error:?}, machine {got_error:?}"));
        }
        for (i, (w, g)) in want.iter().zip(got).enumerate() {
            if let Some(at) = w.first_difference(g) {
                let name = &self.kernel.buffers[i].name;
                let (w, g) = (w.get(at), g.get(at));
                return Err(format!("{name}[{at}]: interpreter {w:#x}, machine {g:#x}"));
            }
        }
        Ok(())
    }
}

/// True for kernels that `expand_moments` changes.
pub fn has_moments(k: &Kernel) -> bool {
    let mut insts = k.phases.iter().flat_map(|p| &p.nests).flat_map(|n| &n.body);
    insts.any(|i| matches!(i.op, Op::Reduce { kind: Reduction::Moments, .. }))
}

fn sites(k: &Kernel) -> usize {
    k.phases.iter().flat_map(|p| &p.nests).flat_map(|n| &n.body).filter(|i| interp::is_site(&i.op)).count()
}

/// A division leaves a record without value and size.
fn same_error(interpreter: &Option<IndexError>, machine: &Option<LaunchError>, sites: bool) -> bool {
    match (interpreter, machine) {
        (None, None) => true,
        (Some(e), Some(LaunchError::Index { value, size, site })) => {
            (e.value, e.size) == (*value, *size) && (e.site == *site || !sites)
        }
        (Some(e), Some(LaunchError::ZeroDivision)) => e.size == 0,
        _ => false,
    }
}

/// Asserts that machine code leaves the interpreter's bits, at every instruction set.
pub fn check(kernel: &Kernel, syms: &[i64], scalars: &[Literal], args: &[Array]) {
    Case::new(kernel, syms, scalars, args).check().unwrap_or_else(|e| panic!("{e}"));
}

/// A thread per task, however small the work is.
pub struct Spawning(pub usize);

impl Parallel for Spawning {
    fn threads(&self) -> usize {
        self.0
    }

    fn grain(&self) -> i64 {
        2
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|s| {
            for t in 0..tasks {
                s.spawn(move || f(t));
            }
        });
    }
}
