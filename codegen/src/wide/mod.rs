//! The full-width emitter: x86-64 at 256 bits (AVX2) and 512 bits (AVX-512).
//!
//! It takes a [`Strip`] and makes one leaf function of it, `fn(frame, axes)`: `axes` points to the
//! current values of the phase's nest axes, outermost first. A strip without a nest is the phase's
//! entry itself; otherwise Cranelift compiles the nest around it (`clif::emit_nest`).
//!
//! Lanes: a vector register holds [`Emitter::width`] lanes of 32 bits; 64-bit values take two registers
//! ([`val`]). A loop over lanes runs `n` lanes per iteration, a multiple of the width, so that several
//! vectors are in flight; what is left runs under a mask of the lanes that exist ([`Emitter::tail`]).
//! Lanes that are off read no memory and write none; their values are finite garbage or zero, and
//! reductions leave them out.
//!
//! What this emitter lacks it answers with `Unsupported`, and Cranelift takes the phase.
//!
//! Files: `vcode` (instructions over virtual registers), `fold` and `constants` (loads as operands, constants in registers), `encode` (registers and bytes), `val` (values
//! and vector operations), `prim`, `compare`, `convert` and `roots` (primitives), `memory`, `strided`, `gather`, `table`, `transpose`, `squares` and `stream`
//! (accesses), `lanes` (what runs lane by lane), `body` (straight-line code), `loops` (loop shapes), `reduce`, `carry` and `arg`
//! (reductions), `jam` (rows that run together).

/// An instruction's form by width and by the size of its lanes.
macro_rules! codes {
    ($self:ident, $ty:ident, $f32_2:ident $f32_5:ident $f64_2:ident $f64_5:ident) => {
        if $ty.is_64() { $self.pick(Code::$f64_2, Code::$f64_5) } else { $self.pick(Code::$f32_2, Code::$f32_5) }
    };
}

mod arg;
mod body;
mod bytes;
mod carry;
mod columns;
mod compare;
mod constants;
mod convert;
mod delay;
mod divide;
mod encode;
mod fold;
mod gather;
mod gpr;
mod jam;
mod lanes;
mod loops;
mod memory;
mod prim;
mod reduce;
mod roots;
mod squares;
mod stream;
mod strided;
mod table;
#[cfg(test)]
mod tests;
mod transpose;
mod val;
mod vcode;

use crate::error::CodegenError;
use crate::frame::FrameLayout;
use crate::host::HostFn;
use crate::isa::Isa;
use crate::jam::{Jammed, jam};
use crate::lane::Program;
pub use encode::Bytes;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::id::{AxisId, BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::Kernel;
use std::collections::HashMap;
use val::{Lanes, Val};
use vcode::{BlockId, Builder, INT};

/// Alignment of the code, for its constants.
pub const ALIGN: u64 = 64;

/// An affine access, or an index without a buffer.
type BaseKey = (Option<BufferId>, IndexExpr);

/// What one copy of a body needs besides the kernel: its row's axis value, prelude and addresses.
#[derive(Clone, Default)]
struct Copy {
    axes: Vec<(AxisId, VReg)>,
    /// Its number among the copies.
    column: usize,
    vals: HashMap<ValueId, Val>,
    /// Address of lane 0 of every affine access.
    bases: HashMap<BaseKey, VReg>,
    /// Local arrays of periodic reads: see `memory.rs`.
    periods: HashMap<(BufferId, IndexExpr), i32>,
}

/// Which lanes of an iteration exist, when not all do.
#[derive(Clone)]
struct Tail {
    /// Number of lanes that exist, at most the lanes in flight.
    count: VReg,
    /// As a mask of 32-bit lanes.
    mask: Lanes,
}

/// State of the emission of one strip.
struct Emitter<'a> {
    c: Builder,
    k: &'a Kernel,
    layout: FrameLayout,
    /// Addresses of host functions.
    host: &'a dyn Fn(HostFn) -> u64,
    /// AVX-512, else AVX2.
    wide512: bool,
    /// AVX512-BF16.
    bf16: bool,
    frame: VReg,
    /// Slots of the frame that are in registers, inside of a loop over rows.
    kept: Option<gpr::Kept>,
    /// Current value of every axis in scope; of the lane axis, that of the first lane in flight.
    axes: HashMap<AxisId, VReg>,
    /// Axes in scope, outermost first.
    scope: Vec<AxisId>,
    lane_axis: Option<AxisId>,
    /// The lane that scalar code is being emitted for, counted from the first lane in flight, with the
    /// values it sees as scalars.
    scalar_lane: Option<ScalarLane>,
    /// Check or division that code is being emitted for.
    site: u32,
    /// Results whose stores may go past the caches; none unless asked for.
    streamed: Vec<BufferId>,
    /// They do so now.
    streaming: bool,
    /// They did.
    fences: bool,
    /// Vectors per iteration of a loop whose body is long.
    heavy: usize,
    /// Whether there is such a loop.
    several: bool,
    /// Lanes in flight.
    n: usize,
    tail: Option<Tail>,
    vals: HashMap<ValueId, Val>,
    copy: Copy,
    tile_begin: Option<VReg>,
    /// Loads that have been packed for the row at hand (`transpose.rs`).
    packed: HashMap<(BufferId, IndexExpr), transpose::Packed>,
    /// Loads whose rows have been read, for the lanes in flight (`columns.rs`).
    rows: columns::Rows,
    /// The strip's code for several rows, where they run together (`jam.rs`).
    jammed: Option<&'a Jammed>,
    /// Local arrays in place of row scratch, of rows that run together.
    scratch: HashMap<BufferId, i32>,
    /// Bits of indices as signs, by the block that has them (`table.rs`).
    signs: HashMap<(BlockId, VReg, u8), VReg>,
    /// Values that live in tiles: pointer to lane 0 of the tile axis.
    tiles: HashMap<ValueId, VReg>,
}

/// Scalar code inside a loop over the lanes in flight.
#[derive(Clone, Default)]
struct ScalarLane {
    lane: Option<VReg>,
    /// Offsets of local arrays that hold lane values as i64.
    values: HashMap<ValueId, i32>,
}

/// Emits the strip of a phase; `streaming`, its results go past the caches where they can.
///
/// Long bodies take two vectors per iteration, for the latencies of one to be filled by the other; where that takes more
/// registers than there are, one: sin(x)*cos(x) over 64 Ki f32 at 512 bits 58 us by two (16 stores to the stack), 48 by one (2);
/// lgamma 204 and 171; without such stores gelu 30 and 34, mish 28 and 31.
pub fn emit_strip(
    k: &Kernel,
    program: &Program,
    isa: Isa,
    streaming: bool,
    host: &dyn Fn(HostFn) -> u64,
) -> Result<Bytes, CodegenError> {
    let (two, several) = emit_by(k, program, isa, streaming, host, 2)?;
    if !isa.is_512() || !several || two.spills <= SPILLS {
        return Ok(two);
    }
    let (one, _) = emit_by(k, program, isa, streaming, host, 1)?;
    Ok(if 2 * one.spills < two.spills { one } else { two })
}

/// Stores of vectors to the stack, in loops, that two vectors per iteration are worth.
const SPILLS: usize = 5;

/// By `heavy` vectors per iteration of a long body, and whether there is one.
fn emit_by(
    k: &Kernel,
    program: &Program,
    isa: Isa,
    streaming: bool,
    host: &dyn Fn(HostFn) -> u64,
    heavy: usize,
) -> Result<(Bytes, bool), CodegenError> {
    let wide512 = match isa {
        _ if cfg!(windows) => return Err(CodegenError::unsupported("full-width strips on Windows")),
        Isa::Avx2 => false,
        Isa::Avx512 | Isa::Avx512Bf16 => true,
        Isa::Baseline | Isa::Neon => return Err(CodegenError::unsupported("full-width strips")),
    };
    let layout = FrameLayout::new(k);
    let jammed = jam(k, &program.strip, jam::rows(wide512));
    let k = jammed.as_ref().map_or(k, |j| &j.kernel);
    let mut c = Builder::default();
    let entry = c.block();
    c.enter(entry);
    let (frame, axes) = (c.vreg(INT), c.vreg(INT));
    c.entry(&[(frame, encode::int(encode::ARGS[0])), (axes, encode::int(encode::ARGS[1]))]);
    let mut e = Emitter {
        c,
        k,
        layout,
        host,
        wide512,
        bf16: isa == Isa::Avx512Bf16,
        frame,
        kept: None,
        axes: HashMap::new(),
        scope: Vec::new(),
        lane_axis: None,
        scalar_lane: None,
        site: 0,
        streamed: if streaming { stream::streamed(k) } else { Vec::new() },
        streaming: false,
        fences: false,
        heavy,
        several: false,
        n: 0,
        tail: None,
        vals: HashMap::new(),
        copy: Copy::default(),
        tile_begin: None,
        packed: HashMap::new(),
        rows: HashMap::new(),
        jammed: jammed.as_ref(),
        scratch: HashMap::new(),
        signs: HashMap::new(),
        tiles: HashMap::new(),
    };
    for (i, &a) in program.nest.iter().enumerate() {
        let v = e.load_i64(axes, 8 * i as i32);
        e.axes.insert(a, v);
        e.scope.push(a);
    }
    e.strip(&program.strip)?;
    if e.fences {
        // Stores past the caches are in no order with others before this.
        e.c.emit(Code::Sfence, &[]);
    }
    e.c.ret();
    let several = e.several;
    Ok((encode::encode(e.c.finish(wide512), wide512)?, several))
}
