//! From a program and the operands of a call to a run: the one place that holds the pipeline, the op
//! table and the kernel cache.
//!
//! The pipeline, in order: `lower` (types, shapes, ops inlined to primitives), `fuse` (one kernel),
//! `simplify`, `verify`, then, once per kernel text and instruction set, `compile`, and last the launch
//! plan, which checks the kernel against the sizes of this call.

use crate::error::{Error, Result};
use crate::journal::{self, Origin};
use rusttorch_codegen::{Artifact, CodegenError, Compiled, Emitters, Isa, compile_by, compile_for, suited};
use rusttorch_ir::dtype::{Category, DType, Literal};
use rusttorch_ir::expr::Program;
use rusttorch_ir::fuse::{FuseOptions, Fused, fuse};
use rusttorch_ir::graph::{Graph, LowerOptions, Operand, TensorMeta, lower};
use rusttorch_ir::kernel::Kernel;
use rusttorch_ir::kernel::simplify::simplify;
use rusttorch_ir::kernel::verify::verify;
use rusttorch_ir::op::OpTable;
use rusttorch_runtime::cache::{Cache, CacheStats};
use rusttorch_runtime::cpu;
use rusttorch_runtime::env::{LogLevel, MaxIsa, config};
use rusttorch_runtime::interpret;
use rusttorch_runtime::launch::{self, Arg};
use rusttorch_runtime::layout;
use rusttorch_runtime::log::log;
use rusttorch_runtime::pool::Parallel;
use rusttorch_runtime::{Storage, Tensor, View};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

/// Built-in and registered ops.
pub fn table() -> &'static RwLock<OpTable> {
    static TABLE: LazyLock<RwLock<OpTable>> = LazyLock::new(|| RwLock::new(crate::table::builtin()));
    &TABLE
}

/// The instruction set that kernels are compiled for: the machine's, capped by `RUSTTORCH_MAX_ISA`.
/// None where there is no code generator, or `RUSTTORCH_DISABLE` is set.
pub fn target() -> Option<Isa> {
    static TARGET: LazyLock<Option<Isa>> = LazyLock::new(|| {
        let config = config();
        let cap = match config.max_isa {
            MaxIsa::Baseline => Isa::Baseline,
            MaxIsa::Avx2 => Isa::Avx2,
            MaxIsa::Avx512 => Isa::Avx512,
            MaxIsa::Avx512Bf16 => Isa::Avx512Bf16,
        };
        if config.disable { None } else { Isa::capped(Some(cap)) }
    });
    *TARGET
}

type Kernels = Cache<(Arc<Kernel>, Isa, Emitters), Compiled, CodegenError>;

fn kernels() -> &'static Kernels {
    static KERNELS: LazyLock<Kernels> = LazyLock::new(|| Cache::new(config().cache_size));
    &KERNELS
}

/// What a kernel is compiled for: [`target`], or what is narrower and faster.
fn target_of(kernel: &Kernel) -> Option<Isa> {
    target().map(|widest| suited(widest, kernel))
}

/// Kernels that no emitter took, by what was missing.
static FALLBACKS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Phases that ran at 128 bits on a machine with wider vectors, by what the full-width emitter lacked.
static NARROW: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn count<S: ToString>(in_: &Mutex<BTreeMap<String, u64>>, what: impl IntoIterator<Item = S>) {
    let mut map = in_.lock().unwrap_or_else(PoisonError::into_inner);
    for w in what {
        *map.entry(w.to_string()).or_default() += 1;
    }
}

/// What the engine did so far.
#[derive(Clone, Debug)]
pub struct Stats {
    /// The kernel cache.
    pub cache: CacheStats,
    /// Kernels that run in the interpreter, by what the emitters lacked.
    pub fallbacks: BTreeMap<String, u64>,
    /// Phases that run at 128 bits although the machine has wider vectors, by what the full-width emitter
    /// lacked.
    pub narrow: BTreeMap<String, u64>,
    /// What kernels are compiled for; None for the interpreter alone.
    pub isa: Option<Isa>,
}

/// What the engine did so far.
pub fn stats() -> Stats {
    let copy = |of: &Mutex<BTreeMap<String, u64>>| of.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Stats { cache: kernels().stats(), fallbacks: copy(&FALLBACKS), narrow: copy(&NARROW), isa: target() }
}

/// How often [`clear_cache`] was called.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Forgets all compiled kernels; those in use live on until their last run.
pub fn clear_cache() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    kernels().clear();
}

/// How often [`clear_cache`] was called. Who keeps plans, which keep kernels, forgets them when this has changed.
#[inline]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whose rules the strides of elementwise results follow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Layout {
    /// PyTorch's TensorIterator.
    Torch,
    /// NumPy's `order='K'`.
    Numpy,
}

/// How a program is planned.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions {
    /// Dtype of Python floats, and of integers where a float is needed.
    pub default_dtype: DType,
    /// Strides of results.
    pub layout: Layout,
    /// The lower dtype of `torch.autocast`, when it is on.
    pub autocast: Option<DType>,
}

/// The stages from a program to a kernel, for plans and for `inspect`.
pub struct Stages {
    /// Typed, in primitives.
    pub graph: Graph,
    /// Dtypes, shapes and strides of the results.
    pub outputs: Vec<TensorMeta>,
    /// The kernel and the values of its symbols.
    pub fused: Fused,
}

/// A program typed for these operands, and its results with the strides that an operation's results have.
pub fn typed(program: &Program, operands: &[Operand], options: PlanOptions) -> Result<(Graph, Vec<TensorMeta>)> {
    let graph = {
        let table = table().read().unwrap_or_else(PoisonError::into_inner);
        lower(
            program,
            &table,
            operands,
            LowerOptions { default_dtype: options.default_dtype, autocast: options.autocast },
        )?
    };
    let outputs: Vec<TensorMeta> = graph
        .outputs
        .iter()
        .map(|&id| {
            let node = graph.node(id);
            let strides = result_strides(&graph, &node.shape, options.layout);
            TensorMeta { dtype: node.dtype, shape: node.shape.clone(), strides }
        })
        .collect();
    Ok((graph, outputs))
}

/// Whether another default dtype would have made another graph than this of the program: then a boolean or an integer meets
/// a number that is a float.
pub fn depends_on_default(program: &Program, operands: &[Operand], options: PlanOptions, graph: &Graph) -> bool {
    let default_dtype = if options.default_dtype == DType::F64 { DType::F32 } else { DType::F64 };
    typed(program, operands, PlanOptions { default_dtype, ..options }).map_or(true, |(other, _)| other != *graph)
}

/// The front half of the pipeline: everything that does not depend on the machine.
pub fn lower_and_fuse(program: &Program, operands: &[Operand], options: PlanOptions) -> Result<Stages> {
    let (graph, outputs) = typed(program, operands, options)?;
    fused(graph, outputs)
}

fn fused(graph: Graph, outputs: Vec<TensorMeta>) -> Result<Stages> {
    let mut fused = fuse(&graph, &outputs, &FuseOptions::default())?;
    simplify(&mut fused.kernel);
    if cfg!(debug_assertions)
        && let Err(errors) = verify(&fused.kernel)
    {
        return Err(Error::internal(format!("fusion made an invalid kernel: {}\n{}", errors[0], fused.kernel)));
    }
    Ok(Stages { graph, outputs, fused })
}

fn result_strides(graph: &Graph, shape: &[i64], rules: Layout) -> Vec<i64> {
    let inputs: Vec<layout::Operand<'_>> = graph
        .inputs
        .iter()
        .map(|m| layout::Operand { strides: &m.strides, shape: &m.shape })
        .filter(|o| o.shape.len() <= shape.len())
        // What does not broadcast to the result took part in a reduction, whose results are dense.
        .filter(|o| o.shape.iter().rev().zip(shape.iter().rev()).all(|(&a, &b)| a == b || a == 1))
        .collect();
    match rules {
        Layout::Torch => layout::elementwise_output_strides(&inputs, shape),
        Layout::Numpy => layout::numpy_k_strides(&inputs, shape),
    }
}

enum Executable {
    Machine(launch::Plan),
    Interpreter(interpret::Plan),
}

/// A program, ready to run over operands of known dtypes, shapes and strides, from any thread.
pub struct Plan {
    outputs: Vec<TensorMeta>,
    inputs: Vec<DType>,
    numbers: Vec<(Category, DType)>,
    executable: Executable,
    work: u64,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

/// The plan of a program for these operands, one per parameter.
pub fn plan(program: &Program, operands: &[Operand], options: PlanOptions) -> Result<Plan> {
    let (graph, outputs) = typed(program, operands, options)?;
    plan_typed(program, operands, graph, outputs)
}

/// As [`plan`], the strides of the results being given.
pub fn plan_into(
    program: &Program,
    operands: &[Operand],
    options: PlanOptions,
    outputs: Vec<TensorMeta>,
) -> Result<Plan> {
    let (graph, _) = typed(program, operands, options)?;
    plan_typed(program, operands, graph, outputs)
}

/// The plan of a program that is [`typed`], for results like these.
pub fn plan_typed(program: &Program, operands: &[Operand], graph: Graph, outputs: Vec<TensorMeta>) -> Result<Plan> {
    let Stages { graph, outputs, fused } = fused(graph, outputs)?;
    let categories = operands.iter().filter_map(|o| match o {
        Operand::Number(category) => Some(*category),
        Operand::Tensor(_) | Operand::Literal(_) => None,
    });
    let numbers = categories.zip(graph.scalars.iter().copied()).collect();
    let emitters = emitters_for(&graph, &outputs);
    let elements: i64 = graph.inputs.iter().chain(&outputs).map(TensorMeta::numel).sum();
    let instructions: usize = fused.kernel.phases.iter().flat_map(|p| &p.nests).map(|n| n.body.len()).sum();
    Ok(Plan {
        inputs: graph.inputs.iter().map(|m| m.dtype).collect(),
        outputs,
        numbers,
        work: elements.unsigned_abs().saturating_mul(1 + instructions as u64 / 8),
        executable: executable(fused, emitters, program)?,
    })
}

/// Results go past the caches where these cannot hold all that a call touches.
fn emitters_for(graph: &Graph, outputs: &[TensorMeta]) -> Emitters {
    let bytes: u64 = graph.inputs.iter().chain(outputs).map(footprint).sum();
    if bytes > cpu::last_level_cache() { Emitters::Streaming } else { Emitters::Widest }
}

/// Bytes of memory that a tensor's elements are in; broadcast ones are one.
fn footprint(m: &TensorMeta) -> u64 {
    let distinct = m.shape.iter().zip(&m.strides).filter(|&(_, &stride)| stride != 0).map(|(&n, _)| n.unsigned_abs());
    distinct.fold(m.dtype.size() as u64, u64::saturating_mul)
}

fn executable(fused: Fused, emitters: Emitters, program: &Program) -> Result<Executable> {
    let Fused { mut kernel, syms } = fused;
    // The name takes no part in the identity.
    kernel.name = "fused".into();
    let kernel = Arc::new(kernel);
    let lacking = match target_of(&kernel) {
        None => CodegenError::unsupported("no code generator (RUSTTORCH_DISABLE, or an unknown machine)"),
        Some(isa) => {
            let key = (kernel.clone(), isa, emitters);
            // The front end is asked here, not while other threads wait for the kernel.
            let origin = if kernels().contains(&key) { Origin::default() } else { Origin::here(program) };
            let build = || {
                let compiled = compile_by(&key.0, isa, emitters)?;
                count(&NARROW, &compiled.narrow);
                journal::compiled(&key.0, emitters, &compiled, origin);
                Ok(compiled)
            };
            match kernels().get_or_build(&key, build) {
                Ok(compiled) => return Ok(Executable::Machine(launch::Plan::new(compiled, &syms)?)),
                Err(e @ CodegenError::Internal(_)) => return Err(Error::internal(format!("{e}\n{kernel}"))),
                Err(e) => e,
            }
        }
    };
    if config().strict {
        return Err(Error::fallback(lacking.to_string()));
    }
    log(LogLevel::Info, || format!("the interpreter runs {program}: {lacking}"));
    count(&FALLBACKS, [&lacking]);
    Ok(Executable::Interpreter(interpret::Plan::new((*kernel).clone(), syms)))
}

impl Plan {
    /// Dtypes, shapes and strides of the results; the strides are dense under some order of dimensions.
    pub fn outputs(&self) -> &[TensorMeta] {
        &self.outputs
    }

    /// Dtypes of the tensor operands.
    pub fn inputs(&self) -> &[DType] {
        &self.inputs
    }

    /// A rough number of element visits: what it costs to run, for deciding about threads and locks.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// True when machine code runs; false for the interpreter.
    pub fn is_compiled(&self) -> bool {
        matches!(self.executable, Executable::Machine(_))
    }

    /// Whether the results may be where `args` has them: none shares memory with another argument, but to be
    /// written element by element after that was read.
    pub fn accepts(&self, args: &[Arg<'_>]) -> bool {
        match &self.executable {
            Executable::Machine(p) => p.may_share(args),
            // It works on copies.
            Executable::Interpreter(_) => true,
        }
    }

    /// Runs. `args` are the tensor operands in positional order, then the results; `numbers` the bits of
    /// the Python numbers: of an i64, an f64, or 0 and 1.
    pub fn run(&self, args: &[Arg<'_>], numbers: &[u64], pool: &dyn Parallel) -> Result<()> {
        if numbers.len() != self.numbers.len() {
            return Err(Error::internal(format!("{} numbers given, {} wanted", numbers.len(), self.numbers.len())));
        }
        let mut few = [0u64; 8];
        let mut many;
        let scalars = match few.get_mut(..numbers.len()) {
            Some(s) => s,
            None => {
                many = vec![0; numbers.len()];
                &mut many[..]
            }
        };
        for ((slot, &bits), &(category, dtype)) in scalars.iter_mut().zip(numbers).zip(&self.numbers) {
            *slot = match category {
                Category::Float => Literal::from_f64(dtype, f64::from_bits(bits)).bits,
                _ if dtype.is_float() => Literal::float(dtype, bits as i64 as f64).bits,
                _ => Literal::int(dtype, bits as i64).bits,
            };
        }
        match &self.executable {
            Executable::Machine(p) => p.run(args, scalars, pool)?,
            Executable::Interpreter(p) => p.run(args, scalars)?,
        }
        Ok(())
    }
}

impl Plan {
    /// Runs over tensors. Nobody else may own the memory of the results.
    pub fn run_tensors(
        &self,
        inputs: &[&Tensor],
        outputs: &mut [Tensor],
        numbers: &[u64],
        pool: &dyn Parallel,
    ) -> Result<()> {
        launch::with_tensors(inputs, outputs, |args| self.run(args, numbers, pool))?
    }

    /// Runs over views of storage. Nobody else may own that of the results.
    pub fn run_memory<'m>(
        &self,
        inputs: impl Iterator<Item = (&'m Storage, &'m View)>,
        outputs: impl Iterator<Item = (&'m mut Storage, &'m View)>,
        numbers: &[u64],
        pool: &dyn Parallel,
    ) -> Result<()> {
        launch::with_memory(inputs, outputs, |args| self.run(args, numbers, pool))?
    }
}

/// Which parameters of a program are part of its plans.
pub fn static_params(program: &Program) -> Vec<bool> {
    table().read().unwrap_or_else(PoisonError::into_inner).statics(program)
}

/// The program that calls an op with its parameters, and which of these are static; None when there is no
/// such op for users.
pub fn op_program(name: &str) -> Option<(Program, Vec<bool>)> {
    let table = table().read().unwrap_or_else(PoisonError::into_inner);
    let op = table.lookup(name).filter(|op| !op.internal)?;
    if !op.builtin {
        return Some(((*op.definition()).clone(), vec![]));
    }
    let mut program = Program::new();
    let args: Vec<_> = op.params.iter().map(|p| program.param(&p.name, p.default.clone())).collect();
    let result = program.call(name, &args, &[]);
    program.output(result);
    Some((program, op.params.iter().map(|p| p.is_static).collect()))
}

/// What became of a program on the way to machine code.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The program, in the expression language.
    pub expr: String,
    /// The typed graph, one node per line.
    pub graph: String,
    /// The kernel, as `.rtir`.
    pub kernel: String,
    /// Cranelift's form and the assembly; the error's text where an emitter lacks something.
    pub code: std::result::Result<Artifact, String>,
}

/// Shows the stages of a program for these operands, for any instruction set.
pub fn inspect(program: &Program, operands: &[Operand], options: PlanOptions, isa: Option<Isa>) -> Result<Inspection> {
    let stages = lower_and_fuse(program, operands, options)?;
    let code = match isa.or_else(|| target_of(&stages.fused.kernel)) {
        Some(isa) => {
            let emitters = emitters_for(&stages.graph, &stages.outputs);
            compile_for(&stages.fused.kernel, isa, emitters).map_err(|e| e.to_string())
        }
        None => Err("no code generator for this machine".to_string()),
    };
    let graph =
        stages.graph.nodes.iter().enumerate().map(|(i, n)| format!("n{i}: {}{:?} = {:?}\n", n.dtype, n.shape, n.op));
    Ok(Inspection { expr: program.to_string(), graph: graph.collect(), kernel: stages.fused.kernel.to_string(), code })
}
