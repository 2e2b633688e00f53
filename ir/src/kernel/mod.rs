//! Kernels: verified loop nests, the form that every emitter takes.
//!
//! A [`Kernel`] is a list of phases with a barrier between them. A phase has *outer axes* and a
//! list of nests. For every point of the outer axes, in any order and in parallel, the nests run one
//! after another; a nest loops over its own axes, the last one fastest, and runs its body for every
//! point.
//!
//! Values: a body is in SSA form. A value is visible in the rest of its body. Two kinds are visible
//! in the later nests of the same phase as well, as values of the outer point: results of `reduce`
//! (which are *not* visible in their own nest), and every value of a nest that has no axes.
//!
//! Memory: buffers are flat; an index counts elements. `Temp` buffers live from phase to phase.
//! `Row` buffers are scratch of one outer point: what is stored there is read by later nests of the
//! same phase and the same outer point only. A phase that loads what it stores loads at the same
//! outer point what it stored there (the fuser and importers see to that).
//!
//! The meaning of everything here is `interp.rs`; the rules that hold are listed in `verify.rs`;
//! the text form, `.rtir`, is `text.rs`.

pub mod expand;
mod gamma;
pub mod interp;
pub mod parse;
pub mod random;
pub mod renumber;
pub mod simplify;
mod special;
pub mod text;
pub mod verify;

use crate::dtype::{DType, Literal};
use crate::id::{AxisId, BufferId, ScalarId, SymId, ValueId};
use crate::index::IndexExpr;
use crate::prim::Prim;

/// Elements after which a lane accumulator of [`Order::Lanes`] is folded into the second level.
pub const LANES_CHUNK: usize = 4096;
/// Bytes of accumulator of [`Order::Lanes`]: 32 lanes of 4 bytes, 16 of 8.
pub const LANES_BYTES: usize = 128;
/// Rows that [`Order::Rows`] adds as a tree before they meet the accumulator.
pub const ROWS_GROUP: usize = 8;

/// Extents up to this are *short* when they are constants of the text: such loops may be unrolled. No more than
/// the lanes of an accumulator, whatever its dtype, so that in order `lanes` a short reduction is
/// a halving tree over its values.
pub const SHORT_MAX: i64 = 16;

/// Steps along the lanes up to this are taken apart by whole vectors when they are constants of the text.
pub const STEP_MAX: i64 = 8;

/// A verified (see `verify.rs`) loop program over flat buffers.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Kernel {
    /// A name for people; it takes no part in the kernel's identity.
    pub name: String,
    /// Number of run-time symbols.
    pub syms: usize,
    /// Dtypes of the run-time numbers.
    pub scalars: Vec<DType>,
    /// Arguments in call order, then temporaries and row scratch.
    pub buffers: Vec<Buffer>,
    /// Extent of every axis. A nest axis may depend on outer axes of its phase.
    pub axes: Vec<IndexExpr>,
    /// Dtype of every value.
    pub values: Vec<DType>,
    /// What runs, in order.
    pub phases: Vec<Phase>,
}

/// A flat array of elements.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Buffer {
    /// Name in the text form.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Where it lives.
    pub kind: BufferKind,
}

/// Where a buffer lives and who may touch it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum BufferKind {
    /// An argument that is only read.
    In,
    /// An argument that is written; what it held before is not read.
    Out,
    /// An argument that is read and written.
    InOut,
    /// The kernel's own, for all phases; length in elements.
    Temp(IndexExpr),
    /// Scratch of one outer point; length in elements.
    Row(IndexExpr),
}

impl BufferKind {
    /// True for arguments.
    pub fn is_arg(&self) -> bool {
        matches!(self, BufferKind::In | BufferKind::Out | BufferKind::InOut)
    }
}

/// Nests over the same outer axes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Phase {
    /// Outer axes, outermost first; iterations are independent.
    pub axes: Vec<AxisId>,
    /// What runs at every outer point, in order.
    pub nests: Vec<Nest>,
}

/// A loop nest: a body run for every point of its axes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Nest {
    /// Axes of this nest beyond the phase's, outermost first.
    pub axes: Vec<AxisId>,
    /// Straight-line code.
    pub body: Vec<Inst>,
}

/// One instruction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Inst {
    /// The values it defines.
    pub results: Vec<ValueId>,
    /// What it does.
    pub op: Op,
}

/// The kinds of instruction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// A constant.
    Const(Literal),
    /// A run-time number.
    Scalar(ScalarId),
    /// The value of an index expression, as i32 (wrapping) or i64.
    Index(IndexExpr),
    /// A primitive; the dtype is the `T` of [`crate::prim::Typing`].
    Prim(Prim, DType, Vec<ValueId>),
    /// An element. With a mask, lanes that are off touch no memory and give 0.
    Load {
        /// Read from.
        buffer: BufferId,
        /// Element index.
        index: IndexExpr,
        /// bool.
        mask: Option<ValueId>,
    },
    /// Writes an element. With a mask, lanes that are off touch no memory.
    Store {
        /// Written to.
        buffer: BufferId,
        /// Element index.
        index: IndexExpr,
        /// What is written; of the buffer's dtype.
        value: ValueId,
        /// bool.
        mask: Option<ValueId>,
        /// Adds to what is there, in iteration order (integers wrap, bool is or).
        add: bool,
    },
    /// Makes an index of a value: i64 in `[0, size)`. With `wrap`, negative values count from the end.
    /// Out of range gives 0 and an error record (see [`interp::IndexError`]) with the value as it was;
    /// where `mask` is off, 0 and no record.
    Check {
        /// i32 or i64.
        value: ValueId,
        /// Exclusive upper bound.
        size: IndexExpr,
        /// Python's negative indices.
        wrap: bool,
        /// bool.
        mask: Option<ValueId>,
    },
    /// Element `index` (i32 or i64) of a table of 1 to 32 constants of one dtype; the index is
    /// limited to the table.
    Lookup {
        /// The constants.
        table: Vec<Literal>,
        /// i32 or i64.
        index: ValueId,
    },
    /// A scalar function, lane by lane.
    Call {
        /// Which.
        func: Func,
        /// Operands, of the result's dtype.
        args: Vec<ValueId>,
    },
    /// Combines the values of all points of the nest.
    Reduce {
        /// How.
        kind: Reduction,
        /// In which order.
        order: Order,
        /// One operand, two (value, index) for argmax and argmin.
        args: Vec<ValueId>,
    },
    /// `mask ? slow : fast`, where the body that makes `slow` runs only if any lane needs it. The body
    /// has no memory access, no reduction and no check.
    Cold {
        /// bool.
        mask: ValueId,
        /// Makes the slow values; sees everything visible here.
        body: Vec<Inst>,
        /// Taken where the mask is on, one per result.
        slow: Vec<ValueId>,
        /// Taken where the mask is off, one per result.
        fast: Vec<ValueId>,
    },
}

/// How values combine. Identities: sum -0.0 (integers 0), prod 1, max and min the infinities
/// (integers: their extremes), argmax and argmin those with the largest index of the index's dtype.
/// The results have the dtype of the operand, an index that of the index operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Reduction {
    /// Addition.
    Sum,
    /// Multiplication.
    Prod,
    /// [`Prim::Max`].
    Max,
    /// [`Prim::Min`].
    Min,
    /// (largest value, its index): ties go to the lower index, the first NaN wins.
    ArgMax,
    /// (smallest value, its index): ties go to the lower index, the first NaN wins.
    ArgMin,
    /// Logical or of bools.
    Any,
    /// Logical and of bools.
    All,
    /// Bitwise exclusive or of integers.
    Xor,
    /// (mean, sum of squared deviations, count) of floats, in two passes: `mean` is the sum in the
    /// given order divided by the count, `m2` the sum, in the same order, of `fma`-free squared
    /// differences from it. No points: (NaN, +0, 0).
    Moments,
}

impl Reduction {
    /// All kinds, with their names in kernel text.
    pub const NAMES: [(Reduction, &'static str); 10] = [
        (Reduction::Sum, "sum"),
        (Reduction::Prod, "prod"),
        (Reduction::Max, "max"),
        (Reduction::Min, "min"),
        (Reduction::ArgMax, "argmax"),
        (Reduction::ArgMin, "argmin"),
        (Reduction::Any, "any"),
        (Reduction::All, "all"),
        (Reduction::Xor, "xor"),
        (Reduction::Moments, "moments"),
    ];

    /// Name in kernel text.
    pub fn name(self) -> &'static str {
        Reduction::NAMES.iter().find(|(r, _)| *r == self).expect("every kind has a name").1
    }

    /// Operands.
    pub fn arity(self) -> usize {
        if matches!(self, Reduction::ArgMax | Reduction::ArgMin) { 2 } else { 1 }
    }

    /// Results.
    pub fn results(self) -> usize {
        match self {
            Reduction::ArgMax | Reduction::ArgMin => 2,
            Reduction::Moments => 3,
            _ => 1,
        }
    }
}

/// The order in which a reduction combines, part of a kernel's meaning. `op` is the kind's
/// combination, `id` its identity, v(k) the value at innermost index k of a nest.
///
/// A *run* is one pass of the nest's innermost axis, cut into chunks of [`LANES_CHUNK`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Order {
    /// L = [`LANES_BYTES`] / size lanes (size of the operand's dtype, at least 4). `acc[l] = id`. For
    /// every chunk of every run, in order: `part[l] = id`; for k in the chunk
    /// `part[k mod L] = op(part[k mod L], v(k))`; then `acc[l] = op(acc[l], part[l])`. At the end, for
    /// h = L/2, L/4, .. 1: `acc[l] = op(acc[l], acc[l + h])` for l < h. The result is `acc[0]`.
    /// Vectorised along the innermost nest axis.
    Lanes,
    /// `acc = id`. In every run, groups of [`ROWS_GROUP`] consecutive values combine as a tree of
    /// adjacent pairs and then `acc = op(acc, tree)`; the values left over follow one by one. The
    /// result is `acc`. Vectorised along the last outer axis.
    Rows,
}

impl Order {
    /// Name in kernel text.
    pub fn name(self) -> &'static str {
        match self {
            Order::Lanes => "lanes",
            Order::Rows => "rows",
        }
    }
}

macro_rules! funcs {
    ($($variant:ident $name:literal $arity:literal $f64:expr, $f32:expr;)*) => {
        /// A scalar function of crate `libm` (never the system's), for rare special functions.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Func {
            $(#[doc = concat!("`", $name, "`, of `libm`, of `special` or of `gamma`.")] $variant),*
        }
        impl Func {
            /// All functions.
            pub const ALL: &'static [Func] = &[$(Func::$variant),*];
            /// Name in kernel text.
            pub fn name(self) -> &'static str { match self { $(Func::$variant => $name),* } }
            /// Operands: 1 or 2.
            pub fn arity(self) -> usize { match self { $(Func::$variant => $arity),* } }
            /// The function at f64.
            pub fn f64(self) -> ScalarFn<f64> { match self { $(Func::$variant => $f64),* } }
            /// The function at f32.
            pub fn f32(self) -> ScalarFn<f32> { match self { $(Func::$variant => $f32),* } }
        }
    };
}

/// A scalar function by arity.
#[derive(Clone, Copy)]
pub enum ScalarFn<T> {
    /// One operand.
    Unary(fn(T) -> T),
    /// Two operands.
    Binary(fn(T, T) -> T),
}

funcs! {
    Erf "erf" 1 ScalarFn::Unary(libm::erf), ScalarFn::Unary(libm::erff);
    Erfc "erfc" 1 ScalarFn::Unary(libm::erfc), ScalarFn::Unary(libm::erfcf);
    Sin "sin" 1 ScalarFn::Unary(libm::sin), ScalarFn::Unary(libm::sinf);
    Cos "cos" 1 ScalarFn::Unary(libm::cos), ScalarFn::Unary(libm::cosf);
    Tan "tan" 1 ScalarFn::Unary(libm::tan), ScalarFn::Unary(libm::tanf);
    Asin "asin" 1 ScalarFn::Unary(libm::asin), ScalarFn::Unary(libm::asinf);
    Acos "acos" 1 ScalarFn::Unary(libm::acos), ScalarFn::Unary(libm::acosf);
    Atan "atan" 1 ScalarFn::Unary(libm::atan), ScalarFn::Unary(libm::atanf);
    Sinh "sinh" 1 ScalarFn::Unary(libm::sinh), ScalarFn::Unary(libm::sinhf);
    Cosh "cosh" 1 ScalarFn::Unary(libm::cosh), ScalarFn::Unary(libm::coshf);
    Asinh "asinh" 1 ScalarFn::Unary(libm::asinh), ScalarFn::Unary(libm::asinhf);
    Acosh "acosh" 1 ScalarFn::Unary(libm::acosh), ScalarFn::Unary(libm::acoshf);
    Atanh "atanh" 1 ScalarFn::Unary(libm::atanh), ScalarFn::Unary(libm::atanhf);
    Lgamma "lgamma" 1 ScalarFn::Unary(libm::lgamma), ScalarFn::Unary(libm::lgammaf);
    Tgamma "tgamma" 1 ScalarFn::Unary(libm::tgamma), ScalarFn::Unary(libm::tgammaf);
    Pow "pow" 2 ScalarFn::Binary(libm::pow), ScalarFn::Binary(libm::powf);
    Atan2 "atan2" 2 ScalarFn::Binary(libm::atan2), ScalarFn::Binary(libm::atan2f);
    Fmod "fmod" 2 ScalarFn::Binary(libm::fmod), ScalarFn::Binary(libm::fmodf);
    NextAfter "nextafter" 2 ScalarFn::Binary(libm::nextafter), ScalarFn::Binary(libm::nextafterf);
    Digamma "digamma" 1 ScalarFn::Unary(special::digamma), ScalarFn::Unary(|x| special::digamma(f64::from(x)) as f32);
    Trigamma "trigamma" 1 ScalarFn::Unary(special::trigamma), ScalarFn::Unary(|x| special::trigamma(f64::from(x)) as f32);
    Ndtri "ndtri" 1 ScalarFn::Unary(special::ndtri), ScalarFn::Unary(|x| special::ndtri(f64::from(x)) as f32);
    Erfinv "erfinv" 1 ScalarFn::Unary(special::erfinv), ScalarFn::Unary(|x| special::erfinv(f64::from(x)) as f32);
    Erfcx "erfcx" 1 ScalarFn::Unary(special::erfcx), ScalarFn::Unary(|x| special::erfcx(f64::from(x)) as f32);
    I0 "i0" 1 ScalarFn::Unary(special::i0), ScalarFn::Unary(|x| special::i0(f64::from(x)) as f32);
    I0e "i0e" 1 ScalarFn::Unary(special::i0e), ScalarFn::Unary(|x| special::i0e(f64::from(x)) as f32);
    I1 "i1" 1 ScalarFn::Unary(special::i1), ScalarFn::Unary(|x| special::i1(f64::from(x)) as f32);
    Zeta "zeta" 2 ScalarFn::Binary(special::zeta), ScalarFn::Binary(|x, q| special::zeta(f64::from(x), f64::from(q)) as f32);
    Igamma "igamma" 2 ScalarFn::Binary(gamma::igamma), ScalarFn::Binary(|a, x| gamma::igamma(f64::from(a), f64::from(x)) as f32);
    Igammac "igammac" 2 ScalarFn::Binary(gamma::igammac), ScalarFn::Binary(|a, x| gamma::igammac(f64::from(a), f64::from(x)) as f32);
    I1e "i1e" 1 ScalarFn::Unary(special::i1e), ScalarFn::Unary(|x| special::i1e(f64::from(x)) as f32);
}

impl Func {
    /// The function of this name.
    pub fn parse(name: &str) -> Option<Func> {
        Func::ALL.iter().copied().find(|f| f.name() == name)
    }
}

impl Op {
    /// Calls `f` on every value operand (not on those inside a `cold` body).
    pub fn for_operands(&self, f: &mut impl FnMut(ValueId)) {
        let index = |e: &IndexExpr, f: &mut dyn FnMut(ValueId)| {
            e.visit(&mut |e| {
                if let IndexExpr::Value(v) = e {
                    f(*v);
                }
            });
        };
        match self {
            Op::Const(_) | Op::Scalar(_) => {}
            Op::Index(e) => index(e, f),
            Op::Prim(_, _, args) | Op::Call { args, .. } | Op::Reduce { args, .. } => {
                args.iter().copied().for_each(f);
            }
            Op::Load { index: e, mask, .. } => {
                index(e, f);
                mask.iter().copied().for_each(f);
            }
            Op::Store { index: e, value, mask, .. } => {
                index(e, f);
                f(*value);
                mask.iter().copied().for_each(f);
            }
            Op::Check { value, size, mask, .. } => {
                f(*value);
                index(size, f);
                mask.iter().copied().for_each(f);
            }
            Op::Lookup { index, .. } => f(*index),
            Op::Cold { mask, slow, fast, .. } => {
                f(*mask);
                slow.iter().chain(fast).copied().for_each(f);
            }
        }
    }

    /// Replaces every value operand, those inside a `cold` body included.
    pub fn map_operands(&mut self, f: &mut impl FnMut(ValueId) -> ValueId) {
        fn index(e: &mut IndexExpr, f: &mut impl FnMut(ValueId) -> ValueId) {
            *e = e.map_leaves(&mut |leaf| match leaf {
                IndexExpr::Value(v) => Some(IndexExpr::Value(f(*v))),
                _ => None,
            });
        }
        match self {
            Op::Const(_) | Op::Scalar(_) => {}
            Op::Index(e) => index(e, f),
            Op::Prim(_, _, args) | Op::Call { args, .. } | Op::Reduce { args, .. } => {
                args.iter_mut().for_each(|v| *v = f(*v));
            }
            Op::Load { index: e, mask, .. } => {
                index(e, f);
                mask.iter_mut().for_each(|v| *v = f(*v));
            }
            Op::Store { index: e, value, mask, .. } => {
                index(e, f);
                *value = f(*value);
                mask.iter_mut().for_each(|v| *v = f(*v));
            }
            Op::Check { value, size, mask, .. } => {
                *value = f(*value);
                index(size, f);
                mask.iter_mut().for_each(|v| *v = f(*v));
            }
            Op::Lookup { index, .. } => *index = f(*index),
            Op::Cold { mask, body, slow, fast } => {
                *mask = f(*mask);
                for inst in body {
                    inst.op.map_operands(f);
                }
                slow.iter_mut().chain(fast).for_each(|v| *v = f(*v));
            }
        }
    }

    /// Replaces every index expression, those inside a `cold` body included.
    pub fn map_indices(&mut self, f: &mut impl FnMut(&IndexExpr) -> IndexExpr) {
        match self {
            Op::Index(e) | Op::Load { index: e, .. } | Op::Store { index: e, .. } | Op::Check { size: e, .. } => {
                *e = f(e)
            }
            Op::Cold { body, .. } => body.iter_mut().for_each(|i| i.op.map_indices(f)),
            Op::Const(_) | Op::Scalar(_) | Op::Prim(..) | Op::Lookup { .. } | Op::Call { .. } | Op::Reduce { .. } => {}
        }
    }

    /// True when the instruction only computes: no memory, no error record, no reduction.
    pub fn is_pure(&self) -> bool {
        match self {
            Op::Const(_) | Op::Scalar(_) | Op::Index(_) | Op::Lookup { .. } | Op::Call { .. } | Op::Cold { .. } => true,
            Op::Prim(p, ..) => !matches!(p, Prim::IDiv | Prim::IRem),
            Op::Load { .. } | Op::Store { .. } | Op::Check { .. } | Op::Reduce { .. } => false,
        }
    }
}

impl Kernel {
    /// Adds a run-time symbol.
    pub fn add_sym(&mut self) -> SymId {
        self.syms += 1;
        SymId::new(self.syms - 1)
    }

    /// Adds an axis of this extent; a phase or a nest must list it.
    pub fn add_axis(&mut self, extent: IndexExpr) -> AxisId {
        self.axes.push(extent);
        AxisId::new(self.axes.len() - 1)
    }

    /// Adds a buffer; arguments come before all others.
    pub fn add_buffer(&mut self, name: impl Into<String>, dtype: DType, kind: BufferKind) -> BufferId {
        self.buffers.push(Buffer { name: name.into(), dtype, kind });
        BufferId::new(self.buffers.len() - 1)
    }

    /// Adds a value of this dtype, to be defined by one instruction.
    pub fn add_value(&mut self, dtype: DType) -> ValueId {
        self.values.push(dtype);
        ValueId::new(self.values.len() - 1)
    }

    /// Dtype of a value.
    pub fn dtype(&self, v: ValueId) -> DType {
        self.values[v.index()]
    }

    /// Number of arguments; they are the first buffers.
    pub fn args(&self) -> usize {
        self.buffers.iter().take_while(|b| b.kind.is_arg()).count()
    }
}
