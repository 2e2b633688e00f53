//! The Cranelift emitter: every target, 128 bits.
//!
//! One function per phase holds the nest and its strip. Lanes run in groups of [`GROUP`]; what is
//! left of a loop runs lane by lane with the scalar forms, so that no access ever leaves the extent.
//! `loops.rs` has the loop shapes, `memory.rs` the accesses, `reduce.rs` the reductions, `vector.rs`
//! and `scalar.rs` the primitives, `half.rs` the conversions of 16-bit floats.

mod body;
mod half;
mod loops;
mod memory;
mod record;
mod reduce;
mod scalar;
mod val;
mod vector;

pub(crate) use body::{call_f32, call_f64};
pub(crate) use record::record_failure;

use crate::error::CodegenError;
use crate::frame::FrameLayout;
use crate::host::HostFn;
use crate::lane::Program;
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, FuncRef, Function, InstBuilder, Signature, StackSlot, Type, UserExternalName,
    UserFuncName, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use rusttorch_ir::dtype::Literal;
use rusttorch_ir::id::{AxisId, BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::Kernel;
use std::collections::HashMap;
use val::{FLAGS, Lanes, Val};

/// Lanes of one vector group: two 128-bit parts of 32-bit lanes, four of 64-bit lanes. Bodies with long
/// dependency chains get their parallelism from the out-of-order window over groups.
pub const GROUP: usize = 8;

/// What one copy of a body needs besides the kernel: see [`Emitter::enter_copy`].
#[derive(Clone, Default)]
struct Copy {
    /// Axis values that differ between copies.
    axes: Vec<(AxisId, Value)>,
    /// Values of the prelude, run for this copy.
    vals: HashMap<ValueId, Val>,
    /// Address of lane 0 of every affine access.
    bases: HashMap<(Option<BufferId>, IndexExpr), Value>,
    /// Vector forms of uniform values.
    splats: HashMap<ValueId, Lanes>,
}

/// State of the emission of one phase.
pub(crate) struct Emitter<'a> {
    b: FunctionBuilder<'a>,
    k: &'a Kernel,
    layout: FrameLayout,
    call_conv: CallConv,
    has_fma: bool,
    /// Where the functions are that code calls.
    host: &'a dyn Fn(HostFn) -> u64,
    has_blendv: bool,
    frame: Value,
    /// Current value of every axis in scope; of the lane axis, that of the first lane in flight.
    axes: HashMap<AxisId, Value>,
    /// Axes in scope, outermost first.
    scope: Vec<AxisId>,
    lane_axis: Option<AxisId>,
    /// Lane that scalar code is being emitted for, counted from the first lane in flight.
    current_lane: usize,
    /// Check or division that code is being emitted for.
    site: u32,
    vals: HashMap<ValueId, Val>,
    copy: Copy,
    /// Constants of look-ups, written on entry.
    tables: HashMap<Vec<Literal>, StackSlot>,
    /// Where masked-off lanes read and write; made when first needed.
    dummy: Option<StackSlot>,
    /// First lane of the tile in work.
    tile_begin: Value,
    /// Values that live in tiles: pointer to lane 0 of the tile axis.
    tiles: HashMap<ValueId, Value>,
    /// Constants by value, for what is known of them.
    literals: HashMap<ValueId, Literal>,
    /// Values that were splatted or loaded for the current group.
    group: HashMap<ValueId, Lanes>,
}

/// What runs inside the nest of a phase.
pub(crate) enum Inside {
    /// The strip, emitted here.
    Strip,
    /// A call of a full-width strip: `fn(frame, values of the nest's axes)`.
    Call(FuncRef),
}

/// Emits the function of one phase. `func` has [`entry_signature`], and is otherwise empty but for the
/// import of a strip.
pub(crate) fn emit_phase(
    func: &mut Function,
    ctx: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
    has_fma: bool,
    host: &dyn Fn(HostFn) -> u64,
    k: &Kernel,
    program: &Program,
    inside: &Inside,
) -> Result<(), CodegenError> {
    let call_conv = isa.default_call_conv();
    func.name = UserFuncName::user(0, 0);
    let mut b = FunctionBuilder::new(func, ctx);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let frame = b.block_params(entry)[0];
    let mut e = Emitter {
        b,
        k,
        layout: FrameLayout::new(k),
        call_conv,
        has_fma,
        host,
        has_blendv: isa.triple().architecture == target_lexicon::Architecture::X86_64,
        frame,
        axes: HashMap::new(),
        scope: Vec::new(),
        lane_axis: None,
        current_lane: 0,
        site: 0,
        vals: HashMap::new(),
        copy: Copy::default(),
        tables: HashMap::new(),
        dummy: None,
        tile_begin: frame,
        tiles: HashMap::new(),
        literals: HashMap::new(),
        group: HashMap::new(),
    };
    match inside {
        Inside::Strip => {
            for segment in &program.strip.segments {
                e.make_tables(&segment.prelude);
                e.make_tables(&segment.body);
            }
            e.nest(&program.nest, &mut |e| e.strip(&program.strip))?;
        }
        Inside::Call(strip) => {
            let axes = e.stack_slot(8 * program.nest.len());
            e.nest(&program.nest, &mut |e| {
                let p = e.b.ins().stack_addr(types::I64, axes, 0);
                for (i, &a) in program.nest.iter().enumerate() {
                    let v = e.axis_value(a);
                    e.b.ins().store(FLAGS, v, p, 8 * i as i32);
                }
                let frame = e.frame;
                e.b.ins().call(*strip, &[frame, p]);
                Ok(())
            })?;
        }
    }
    e.b.ins().return_(&[]);
    e.b.seal_all_blocks();
    e.b.finalize(isa.frontend_config());
    Ok(())
}

/// Signature of a phase's entry.
pub(crate) fn entry_signature(call_conv: CallConv) -> Signature {
    let mut sig = Signature::new(call_conv);
    sig.params.push(AbiParam::new(types::I64));
    sig
}

/// The import of a strip by a function that is not part of a module.
pub(crate) fn import_strip(func: &mut Function, call_conv: CallConv) -> FuncRef {
    let signature = func.import_signature(strip_signature(call_conv));
    let name = func.declare_imported_user_function(UserExternalName::new(0, 0));
    let name = ExternalName::user(name);
    func.import_function(ExtFuncData { name, signature, colocated: true, patchable: false })
}

/// Signature of a full-width strip.
pub(crate) fn strip_signature(call_conv: CallConv) -> Signature {
    let mut sig = entry_signature(call_conv);
    sig.params.push(AbiParam::new(types::I64));
    sig
}

impl Emitter<'_> {
    /// Reads a slot of the frame. Slots never change during a call, so the read may move freely.
    fn slot(&mut self, slot: usize, ty: Type) -> Value {
        let flags = FLAGS.with_readonly().with_can_move();
        self.b.ins().load(ty, flags, self.frame, (8 * slot) as i32)
    }

    fn axis_value(&mut self, a: AxisId) -> Value {
        let copies = self.copy.axes.iter().find(|(x, _)| *x == a).map(|(_, v)| *v);
        copies.or_else(|| self.axes.get(&a).copied()).expect("verified: axes are in scope where they are used")
    }

    fn int(&mut self, v: i64) -> Value {
        self.b.ins().iconst(types::I64, v)
    }

    /// An index expression as i64, for the current lane.
    fn index(&mut self, e: &IndexExpr) -> Value {
        match e {
            IndexExpr::Const(c) => self.int(*c),
            IndexExpr::Sym(s) => {
                let slot = self.layout.sym(*s);
                self.slot(slot, types::I64)
            }
            IndexExpr::Axis(a) => {
                let v = self.axis_value(*a);
                if Some(*a) == self.lane_axis && self.current_lane != 0 {
                    self.b.ins().iadd_imm_s(v, self.current_lane as i64)
                } else {
                    v
                }
            }
            IndexExpr::Value(v) => {
                let dtype = self.k.dtype(*v);
                match self.val(*v) {
                    Val::Scalar(s) => s,
                    Val::Lanes(l) => self.extract(&l, dtype, self.current_lane),
                }
            }
            _ => {
                let (a, b) = e.children().expect("not a leaf");
                let x = self.index(a);
                if let (IndexExpr::FloorDiv(..) | IndexExpr::Mod(..), IndexExpr::Const(c)) = (e, b)
                    && let Some(v) = self.divide_by_power_of_two(e, x, *c)
                {
                    return v;
                }
                let y = self.index(b);
                match e {
                    IndexExpr::Add(..) => self.b.ins().iadd(x, y),
                    IndexExpr::Mul(..) => self.b.ins().imul(x, y),
                    IndexExpr::Min(..) => self.b.ins().smin(x, y),
                    IndexExpr::Max(..) => self.b.ins().smax(x, y),
                    _ => self.floor_division(matches!(e, IndexExpr::FloorDiv(..)), x, y),
                }
            }
        }
    }

    fn divide_by_power_of_two(&mut self, e: &IndexExpr, x: Value, c: i64) -> Option<Value> {
        if c <= 0 || c.count_ones() != 1 {
            return None;
        }
        Some(if matches!(e, IndexExpr::FloorDiv(..)) {
            self.b.ins().sshr_imm_s(x, i64::from(c.trailing_zeros()))
        } else {
            self.b.ins().band_imm_s(x, c - 1)
        })
    }

    /// Floor division or modulo; launch has checked that the divisor is positive.
    fn floor_division(&mut self, quotient: bool, x: Value, y: Value) -> Value {
        let q = self.b.ins().sdiv(x, y);
        let product = self.b.ins().imul(q, y);
        let r = self.b.ins().isub(x, product);
        let sign = self.b.ins().sshr_imm_s(r, 63);
        if quotient {
            self.b.ins().iadd(q, sign)
        } else {
            let fix = self.b.ins().band(sign, y);
            self.b.ins().iadd(r, fix)
        }
    }
}
