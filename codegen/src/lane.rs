//! Lane code: what the innermost loops of a phase do, one level above machine code.
//!
//! `schedule` turns every phase of a kernel into a [`Program`]: the outer loops (the *nest*), and a
//! [`Strip`], which owns the loops below them. Every emitter takes this form; none sees the kernel's
//! phases. Here every access is resolved against the axis that lanes run along, and what is the same
//! for all lanes has been moved out of the lane loop.
//!
//! Invariants (established by `schedule`, relied on by emitters):
//! - L1: a value defined in a `prelude` is uniform: the same for all lanes of its segment, or of its strip.
//! - L2: a `body` value is used only in its own segment, except for the phase values listed in
//!   [`Segment::keeps`], which outlive it: in [`Mode::Outer`] one per lane of the tile.
//! - L3: `Access::Unit` addresses lanes k, k+1, .. at consecutive elements.
//! - L4: reductions under [`Mode::Outer`] are `Order::Rows`, or run over a short axis ([`short_extent`]) alone.
//! - L5: lanes of a segment may run together, unless it is [`Segment::serial`].
//! - L6: 8- and 16-bit integers are held in 32 bits, extended by their sign (u8 by zeros), and brought back
//!   to their range after every primitive. f16 and bf16 are held as their bits, zero-extended: nothing is
//!   done to them but load, store, `select` and `convert` to and from f32 (`rusttorch_ir::half`).
//! - L7: what a segment stores to, it never reads as [`Access::Periodic`].

use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::id::{AxisId, BufferId, ScalarId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::{Func, Kernel, Order, Reduction, SHORT_MAX};
use rusttorch_ir::prim::Prim;

/// Which axis lanes run along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The innermost axis of each nest: values of the outer point are scalars, reductions of either
    /// order run along the lanes.
    Inner,
    /// The last outer axis, in tiles: values of the outer point are arrays of one tile, reductions are
    /// `Order::Rows`.
    Outer,
}

/// One phase.
#[derive(Clone, Debug)]
pub struct Program {
    /// Loops around the strip, outermost first. Their ranges come with the launch.
    pub nest: Vec<AxisId>,
    /// What runs for every point of the nest.
    pub strip: Strip,
}

/// The innermost loops of a phase.
#[derive(Clone, Debug)]
pub struct Strip {
    /// Which axis lanes run along.
    pub mode: Mode,
    /// The second innermost loop, around the segments, when the phase has one.
    pub rows: Option<AxisId>,
    /// In `Mode::Outer`, the axis of the tile.
    pub tile: Option<AxisId>,
    /// True when tiles must be bounded, as the strip keeps values per lane between segments.
    pub tiled: bool,
    /// Uniform code that is the same for every row (or tile), run once.
    pub prelude: Vec<LaneInst>,
    /// Run one after another for every row (or tile).
    pub segments: Vec<Segment>,
}

/// One nest of the phase.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Loops around the lane loop, outermost first.
    pub loops: Vec<AxisId>,
    /// The axis of the lanes; None for a segment that has uniform code only.
    pub lanes: Option<AxisId>,
    /// Uniform code, run inside `loops`, before the lane loop.
    pub prelude: Vec<LaneInst>,
    /// Run for all lanes.
    pub body: Vec<LaneInst>,
    /// What the body's values are folded into.
    pub reduces: Vec<LaneReduce>,
    /// Body values that later segments use (in `Mode::Outer`), reduction results not included.
    pub keeps: Vec<ValueId>,
    /// True when one lane may read what another one wrote: lanes run one by one.
    pub serial: bool,
    /// Rough cost of the body per lane, in simple instructions.
    pub cost: usize,
}

/// A reduction of a segment.
#[derive(Clone, Debug)]
pub struct LaneReduce {
    /// How values combine. Never `Moments`: that has been expanded.
    pub kind: Reduction,
    /// In which order.
    pub order: Order,
    /// Operands, values of the body or the prelude.
    pub args: Vec<ValueId>,
    /// Defined after the segment.
    pub results: Vec<ValueId>,
}

/// An instruction over lanes.
#[derive(Clone, Debug)]
pub struct LaneInst {
    /// Values defined.
    pub results: Vec<ValueId>,
    /// Operation.
    pub op: LaneOp,
    /// Number of a check or an integer division among those of the kernel, in text order; 0 for others.
    pub site: u32,
}

/// The extent of a short axis: a constant of at most [`SHORT_MAX`].
pub fn short_extent(kernel: &Kernel, axis: AxisId) -> Option<i64> {
    match kernel.axes[axis.index()] {
        IndexExpr::Const(n) if (1..=SHORT_MAX).contains(&n) => Some(n),
        _ => None,
    }
}

/// Longest period of [`Access::Periodic`].
pub const PERIOD_MAX: i64 = 16;

/// How an access moves along the lanes.
#[derive(Clone, Debug)]
pub enum Access {
    /// Every lane at the same element.
    Uniform(IndexExpr),
    /// Lane k at element `base + k`; the expression is the index with the lane axis in it.
    Unit(IndexExpr),
    /// Lane k at element `base + k * step`, step uniform; (index with the lane axis, step).
    Strided(IndexExpr, IndexExpr),
    /// As [`Access::Indexed`], for a read that repeats: the lane axis occurs only in `mod` by this constant, at
    /// most [`PERIOD_MAX`].
    Periodic(IndexExpr, i64),
    /// Row scratch under a tile: every lane has a row of its own, element `index` of all of them side
    /// by side. The index is the same for all lanes.
    Row(IndexExpr),
    /// Anything else: evaluated lane by lane.
    Indexed(IndexExpr),
}

/// Operations over lanes. Operand types are those of the kernel's values.
#[derive(Clone, Debug)]
pub enum LaneOp {
    /// A constant.
    Const(Literal),
    /// A run-time number.
    Scalar(ScalarId),
    /// The value of an index expression.
    Index(Access),
    /// A primitive at type T.
    Prim(Prim, DType, Vec<ValueId>),
    /// A scalar library function, lane by lane.
    Call(Func, Vec<ValueId>),
    /// A table look-up.
    Lookup(Vec<Literal>, ValueId),
    /// A read.
    Load {
        /// From.
        buffer: BufferId,
        /// Where.
        access: Access,
        /// Lanes that are off read nothing and give 0.
        mask: Option<ValueId>,
    },
    /// A write.
    Store {
        /// To.
        buffer: BufferId,
        /// Where.
        access: Access,
        /// What.
        value: ValueId,
        /// Lanes that are off write nothing.
        mask: Option<ValueId>,
        /// Adds to what is there, lane after lane.
        add: bool,
    },
    /// A checked index.
    Check {
        /// i32 or i64.
        value: ValueId,
        /// Exclusive upper bound.
        size: IndexExpr,
        /// Negative values count from the end.
        wrap: bool,
        /// Lanes that are off give 0 and no record.
        mask: Option<ValueId>,
    },
    /// `mask ? slow : fast`, the body runs when any lane needs it.
    Cold {
        /// bool.
        mask: ValueId,
        /// Makes `slow`.
        body: Vec<LaneInst>,
        /// Where the mask is on.
        slow: Vec<ValueId>,
        /// Where it is off.
        fast: Vec<ValueId>,
    },
}

impl Strip {
    /// The values that live in tiles between segments; None when the strip is not tiled.
    pub fn tile_values(&self) -> Option<Vec<ValueId>> {
        self.tiled.then(|| {
            let of = |s: &Segment| {
                let results = s.reduces.iter().flat_map(|r| r.results.clone());
                s.keeps.iter().copied().chain(results).collect::<Vec<_>>()
            };
            self.segments.iter().flat_map(of).collect()
        })
    }
}

impl Segment {
    /// True when the body writes to a buffer: what it reads of it must be read where the text says.
    pub fn stores_to(&self, buffer: BufferId) -> bool {
        self.body.iter().any(|i| matches!(i.op, LaneOp::Store { buffer: to, .. } if to == buffer))
    }

    /// The body's stores, and the rest.
    pub fn split_stores(&self) -> (Vec<LaneInst>, Vec<LaneInst>) {
        self.body.iter().cloned().partition(|i| matches!(i.op, LaneOp::Store { .. }))
    }

    /// True when nothing is read behind the first store: lanes and rows may be stored late.
    pub fn loads_first(&self) -> bool {
        let mut behind = self.body.iter().skip_while(|i| !matches!(i.op, LaneOp::Store { .. }));
        behind.all(|i| !matches!(i.op, LaneOp::Load { .. } | LaneOp::Cold { .. }))
    }

    /// True for reductions over a short axis, in order `lanes` under a tile: the axis is unrolled, and nothing
    /// accumulates.
    pub fn is_short(&self, kernel: &Kernel) -> bool {
        let lanes = |r: &LaneReduce| r.order == Order::Lanes;
        matches!(self.loops[..], [a] if short_extent(kernel, a).is_some()) && self.reduces.iter().any(lanes)
    }
}

impl LaneOp {
    /// Calls `f` on every value operand (not on those inside a `cold` body).
    pub fn for_operands(&self, f: &mut impl FnMut(ValueId)) {
        fn index(e: &IndexExpr, f: &mut impl FnMut(ValueId)) {
            e.visit(&mut |e| {
                if let IndexExpr::Value(v) = e {
                    f(*v);
                }
            });
        }
        match self {
            LaneOp::Const(_) | LaneOp::Scalar(_) => {}
            LaneOp::Index(a) => index(a.expr(), f),
            LaneOp::Prim(_, _, args) | LaneOp::Call(_, args) => args.iter().copied().for_each(f),
            LaneOp::Lookup(_, i) => f(*i),
            LaneOp::Load { access, mask, .. } => {
                index(access.expr(), f);
                mask.iter().copied().for_each(f);
            }
            LaneOp::Store { access, value, mask, .. } => {
                index(access.expr(), f);
                f(*value);
                mask.iter().copied().for_each(f);
            }
            LaneOp::Check { value, size, mask, .. } => {
                f(*value);
                index(size, f);
                mask.iter().copied().for_each(f);
            }
            LaneOp::Cold { mask, slow, fast, .. } => {
                f(*mask);
                slow.iter().chain(fast).copied().for_each(f);
            }
        }
    }
}

impl Access {
    /// The index, with the lane axis in it.
    pub fn expr(&self) -> &IndexExpr {
        match self {
            Access::Uniform(e)
            | Access::Unit(e)
            | Access::Strided(e, _)
            | Access::Periodic(e, _)
            | Access::Row(e)
            | Access::Indexed(e) => e,
        }
    }
}

/// The identity of a reduction's result number `result`.
pub fn identity(kind: Reduction, result: usize, dtype: DType) -> Literal {
    let extreme = |largest: bool| {
        if dtype.is_float() {
            return Literal::float(dtype, if largest { f64::INFINITY } else { f64::NEG_INFINITY });
        }
        let (low, high) = dtype.int_range();
        Literal::int(dtype, if largest { high } else { low })
    };
    match (kind, result) {
        (Reduction::Sum, _) => Literal::from_f64(dtype, -0.0),
        (Reduction::Prod, _) => Literal::from_f64(dtype, 1.0),
        (Reduction::Max, _) | (Reduction::ArgMax, 0) => extreme(false),
        (Reduction::Min, _) | (Reduction::ArgMin, 0) => extreme(true),
        // An index above every real one: ties go to the lower.
        (Reduction::ArgMax | Reduction::ArgMin, _) => extreme(true),
        (Reduction::Any | Reduction::Xor, _) => Literal::int(dtype, 0),
        (Reduction::All, _) => Literal::int(dtype, 1),
        (Reduction::Moments, _) => unreachable!("expanded before scheduling"),
    }
}

/// Value operands of a body, those of cold bodies included.
pub fn operands(body: &[LaneInst], out: &mut Vec<ValueId>) {
    for inst in body {
        inst.op.for_operands(&mut |v| out.push(v));
        if let LaneOp::Cold { body, .. } = &inst.op {
            operands(body, out);
        }
    }
}
