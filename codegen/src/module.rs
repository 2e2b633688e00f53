//! A compiled kernel and the memory its code lives in.
//!
//! Every kernel is a `JITModule` of its own: the code is freed when the last owner of the
//! [`Compiled`] drops. This is the only module of the crate that turns bytes into something callable.
#![allow(unsafe_code)]

use crate::clif::{self, Inside, entry_signature, strip_signature};
use crate::disasm;
use crate::error::CodegenError;
use crate::frame::FrameLayout;
use crate::host::HostFn;
use crate::isa::Isa;
use crate::lane::Program;
use crate::schedule::schedule;
use crate::wide;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};
use rusttorch_ir::id::ValueId;
use rusttorch_ir::kernel::{Kernel, Op, Reduction, expand};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Entry = unsafe extern "C" fn(*const u64);

/// What `inspect` shows of a compilation.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Cranelift's intermediate form, per phase.
    pub clif: String,
    /// Assembly, per phase.
    pub asm: String,
}

/// A function of a kernel: a phase, or its full-width strip.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// `phase0`, `strip0`.
    pub name: String,
    /// Where its code begins.
    pub address: usize,
    /// Bytes of code.
    pub size: usize,
}

/// A kernel in executable memory.
pub struct Compiled {
    /// What was compiled (after expansion): launch reads extents, buffers and scratch from it.
    pub kernel: Arc<Kernel>,
    /// Where things are in the frame.
    pub layout: FrameLayout,
    /// Per phase, the values that its strip keeps in tiles; None for a strip without tiles.
    pub tiles: Vec<Option<Vec<ValueId>>>,
    /// The instruction set it was made for.
    pub isa: Isa,
    /// Bytes of code and constants.
    pub code_size: usize,
    /// How long compilation took.
    pub compile_time: Duration,
    /// What the full-width emitter lacked, for every phase that Cranelift took in its stead.
    pub narrow: Vec<Cow<'static, str>>,
    entries: Vec<Entry>,
    symbols: Vec<Symbol>,
    /// Keeps the code alive.
    _code: Code,
}

/// A module whose memory is freed with it: Cranelift's own drop leaks it.
struct Code(Option<JITModule>);

impl Code {
    fn module(&mut self) -> &mut JITModule {
        self.0.as_mut().expect("taken by drop alone")
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.0.take() {
            // SAFETY: entries are private to the `Compiled` that owns this and called through `&self`
            // only, so none is running, and none can be called after the drop.
            unsafe { module.free_memory() }
        }
    }
}

// SAFETY: after `finalize_definitions` the module is never touched again but to be freed, by the one
// thread that drops the last owner; the code it holds is read-only.
unsafe impl Send for Compiled {}
// SAFETY: as above; `call` takes the frame from its caller and shares nothing.
unsafe impl Sync for Compiled {}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("kernel", &self.kernel.name)
            .field("isa", &self.isa)
            .field("code_size", &self.code_size)
            .finish_non_exhaustive()
    }
}

impl Compiled {
    /// Number of phases.
    pub fn phases(&self) -> usize {
        self.entries.len()
    }

    /// The functions it is made of, for profilers.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// Runs one phase over the share that the frame describes.
    ///
    /// # Safety
    /// `frame` follows `self.layout`: every buffer pointer is valid, for reads or writes as its kind
    /// says, over all elements that the kernel's accesses reach for the axis ranges and symbols in the
    /// frame, is aligned to its dtype, and nobody else writes what is read or touches what is written
    /// meanwhile; begin and length slots tell where masked accesses may go; row and tile scratch is as
    /// large as the kernel and the tile width ask; divisors of index expressions are positive, no index
    /// overflows and no extent is below `i64::MIN / 2`; the error slot points to an `ErrorRecord` of this worker.
    pub unsafe fn call(&self, phase: usize, frame: &[u64]) {
        debug_assert!(frame.len() >= self.layout.len());
        // SAFETY: the caller's promise is what the entry needs.
        unsafe { (self.entries[phase])(frame.as_ptr()) }
    }
}

/// Contexts that are reused from compilation to compilation of a thread.
struct Scratch {
    context: Context,
    builder: FunctionBuilderContext,
    targets: HashMap<Isa, OwnedTargetIsa>,
}

thread_local! {
    /// None while a compilation is running, so that one which panics leaves nothing half-built behind.
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

impl Scratch {
    fn new() -> Scratch {
        Scratch { context: Context::new(), builder: FunctionBuilderContext::new(), targets: HashMap::new() }
    }
}

fn target(scratch: &mut Scratch, isa: Isa) -> Result<OwnedTargetIsa, CodegenError> {
    if let Some(t) = scratch.targets.get(&isa) {
        return Ok(t.clone());
    }
    let t = isa.target()?;
    scratch.targets.insert(isa, t.clone());
    Ok(t)
}

pub(crate) fn expanded(kernel: &Kernel) -> Cow<'_, Kernel> {
    let moments = kernel
        .phases
        .iter()
        .flat_map(|p| &p.nests)
        .flat_map(|n| &n.body)
        .any(|i| matches!(i.op, Op::Reduce { kind: Reduction::Moments, .. }));
    if moments { Cow::Owned(expand::expand_moments(kernel)) } else { Cow::Borrowed(kernel) }
}

/// Which emitters may take a phase.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Emitters {
    /// The widest that has what the phase needs.
    Widest,
    /// The same; results go past the caches, which pays when all a call touches is larger than these.
    Streaming,
    /// Cranelift alone, at 128 bits: for comparisons.
    Cranelift,
}

/// Compiles a verified kernel for this machine.
pub fn compile(kernel: &Kernel, isa: Isa) -> Result<Compiled, CodegenError> {
    compile_by(&Arc::new(kernel.clone()), isa, Emitters::Widest)
}

/// Compiles a verified kernel, which is kept with the code, for this machine by the given emitters.
pub fn compile_by(kernel: &Arc<Kernel>, isa: Isa, emitters: Emitters) -> Result<Compiled, CodegenError> {
    let mut scratch = SCRATCH.take().unwrap_or_else(Scratch::new);
    let result = compile_with(&mut scratch, kernel, isa, emitters);
    if result.is_err() {
        (scratch.context, scratch.builder) = (Context::new(), FunctionBuilderContext::new());
    }
    SCRATCH.set(Some(scratch));
    result
}

/// The full-width strip of a phase, or why Cranelift must take it; an error is a bug.
pub(crate) fn wide_strip(
    kernel: &Kernel,
    program: &Program,
    isa: Isa,
    host: &dyn Fn(HostFn) -> u64,
    emitters: Emitters,
) -> Result<Result<wide::Bytes, Option<Cow<'static, str>>>, CodegenError> {
    if emitters == Emitters::Cranelift || !(isa == Isa::Avx2 || isa.is_512()) {
        return Ok(Err(None));
    }
    match wide::emit_strip(kernel, program, isa, emitters == Emitters::Streaming, host) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(CodegenError::Unsupported(what)) => Ok(Err(Some(what))),
        Err(e) => Err(e),
    }
}

fn compile_with(
    scratch: &mut Scratch,
    kernel: &Arc<Kernel>,
    isa: Isa,
    emitters: Emitters,
) -> Result<Compiled, CodegenError> {
    let start = Instant::now();
    let target = target(scratch, isa)?;
    let kernel = match expanded(kernel) {
        Cow::Borrowed(_) => kernel.clone(),
        Cow::Owned(expanded) => Arc::new(expanded),
    };
    let programs = schedule(&kernel)?;
    let mut builder = JITBuilder::with_isa(target.clone(), default_libcall_names());
    builder.symbol_lookup_fn(Box::new(|name| HostFn::of_libcall(name).map(|f| f.address() as *const u8)));
    let mut code = Code(Some(JITModule::new(builder)));
    let module = code.module();
    let mut ids = Vec::new();
    let mut pieces: Vec<(String, FuncId, usize)> = Vec::new();
    let mut narrow = Vec::new();
    for (i, program) in programs.iter().enumerate() {
        let context = &mut scratch.context;
        context.clear();
        context.func.signature = entry_signature(target.default_call_conv());
        let inside = match wide_strip(&kernel, program, isa, &HostFn::address, emitters)? {
            Ok(bytes) => {
                let signature = strip_signature(target.default_call_conv());
                let name = format!("strip{i}");
                let id = module.declare_function(&name, Linkage::Local, &signature).map_err(CodegenError::internal)?;
                module.define_function_bytes(id, wide::ALIGN, &bytes.bytes, &[]).map_err(CodegenError::internal)?;
                pieces.push((name, id, bytes.bytes.len()));
                if program.nest.is_empty() {
                    // Without a nest the strip reads the frame alone: it is the entry.
                    ids.push(id);
                    continue;
                }
                let strip = module.declare_func_in_func(id, &mut context.func);
                // Functions of one module may lie anywhere, a small one in the heap and a large one in a mapping of its
                // own: beyond the 2 GiB of a near call.
                context.func.dfg.ext_funcs[strip].colocated = false;
                Inside::Call(strip)
            }
            Err(why) => {
                narrow.extend(why);
                Inside::Strip
            }
        };
        let fma = isa != Isa::Baseline;
        clif::emit_phase(
            &mut context.func,
            &mut scratch.builder,
            &*target,
            fma,
            &HostFn::address,
            &kernel,
            program,
            &inside,
        )?;
        let name = format!("phase{i}");
        let id =
            module.declare_function(&name, Linkage::Local, &context.func.signature).map_err(CodegenError::internal)?;
        module.define_function(id, context).map_err(|e| CodegenError::internal(format!("{e:?}")))?;
        pieces.push((name, id, context.compiled_code().map_or(0, |c| c.code_buffer().len())));
        ids.push(id);
    }
    module.finalize_definitions().map_err(CodegenError::internal)?;
    let symbols: Vec<Symbol> = pieces
        .into_iter()
        .map(|(name, id, size)| Symbol { name, address: module.get_finalized_function(id).addr(), size })
        .collect();
    let entries = ids
        .into_iter()
        .map(|id| {
            let p = module.get_finalized_function(id);
            // SAFETY: `emit_phase` gives every phase this signature, in the host's convention; a strip
            // without a nest takes one more argument, which it does not read.
            unsafe { std::mem::transmute::<*const u8, Entry>(p) }
        })
        .collect();
    Ok(Compiled {
        layout: FrameLayout::new(&kernel),
        tiles: programs.iter().map(|p| p.strip.tile_values()).collect(),
        kernel,
        isa,
        code_size: symbols.iter().map(|s| s.size).sum(),
        compile_time: start.elapsed(),
        narrow,
        entries,
        symbols,
        _code: code,
    })
}

/// Compiles for any instruction set without linking, and shows what came out.
pub fn compile_for(kernel: &Kernel, isa: Isa, emitters: Emitters) -> Result<Artifact, CodegenError> {
    let target = isa.target()?;
    let kernel = expanded(kernel);
    let mut artifact = Artifact { clif: String::new(), asm: String::new() };
    for (i, program) in schedule(&kernel)?.iter().enumerate() {
        let mut context = Context::new();
        context.set_disasm(isa == Isa::Neon);
        context.func.signature = entry_signature(target.default_call_conv());
        let inside = match wide_strip(&kernel, program, isa, &HostFn::address, emitters)? {
            Ok(bytes) => {
                artifact.asm += &format!("; phase {i}, strip\n{}\n", disasm::x86(&bytes.bytes[..bytes.code], isa));
                if program.nest.is_empty() {
                    artifact.clif += &format!("; phase {i} is one strip: no nest around it\n");
                    continue;
                }
                Inside::Call(clif::import_strip(&mut context.func, target.default_call_conv()))
            }
            Err(_) => Inside::Strip,
        };
        let mut builder = FunctionBuilderContext::new();
        clif::emit_phase(
            &mut context.func,
            &mut builder,
            &*target,
            isa != Isa::Baseline,
            &HostFn::address,
            &kernel,
            program,
            &inside,
        )?;
        artifact.clif += &format!("; phase {i}\n{}\n", context.func.display());
        let code = context
            .compile(&*target, &mut ControlPlane::default())
            .map_err(|e| CodegenError::internal(format!("{:?}", e.inner)))?;
        let text = match &code.vcode {
            Some(v) if isa == Isa::Neon => v.clone(),
            _ => disasm::x86(code.code_buffer(), isa),
        };
        artifact.asm += &format!("; phase {i}\n{text}\n");
    }
    Ok(artifact)
}
