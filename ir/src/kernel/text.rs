//! The text form of kernels, `.rtir`: printing. `parse.rs` reads it back.
//!
//! For a verified kernel `parse(print(k)) == k`, and for text as printed here `print(parse(t)) == t`.
//! Values, axes, symbols and scalars are written by their ids (`%3`, `i1`, `s0`, `c0`), buffers by
//! name. One instruction takes one line; `;` starts a comment.
//!
//! ```text
//! rtir 1
//! kernel @softmax(x: f32 in, y: f32 out) syms 2 scalars (f32) {
//!   row e: f32[s1]
//!   phase [i0 < s0] {
//!     nest [i1 < s1] {
//!       %0 = load.f32 x[s1*i0 + i1]
//!       %1 = reduce.max.f32.lanes %0
//!     }
//!   }
//! }
//! ```
//!
//! Floats are the shortest decimals that read back as the same bits; a NaN other than the canonical one
//! carries its bits: `nan:0xffc00000`.

use super::verify::is_identifier;
use super::{BufferKind, Inst, Kernel, Nest, Op, Phase};
use crate::dtype::{DType, Literal};
use crate::id::{AxisId, BufferId, ValueId};
use std::fmt::{self, Display, Formatter, Write};

/// Version of the format, in the first line of every text.
pub const FORMAT: u64 = 1;

impl Display for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "rtir {FORMAT}\nkernel @")?;
        if is_identifier(&self.name) {
            f.write_str(&self.name)?
        } else {
            quoted(&self.name, f)?
        }
        let (args, locals): (Vec<_>, Vec<_>) = self.buffers.iter().partition(|b| b.kind.is_arg());
        f.write_str("(")?;
        separated(f, &args, |b, f| {
            let access = match b.kind {
                BufferKind::In => "in",
                BufferKind::Out => "out",
                BufferKind::InOut => "inout",
                BufferKind::Temp(_) | BufferKind::Row(_) => unreachable!("partitioned"),
            };
            write!(f, "{}: {} {access}", b.name, b.dtype)
        })?;
        f.write_str(")")?;
        if self.syms > 0 {
            write!(f, " syms {}", self.syms)?;
        }
        if !self.scalars.is_empty() {
            f.write_str(" scalars (")?;
            separated(f, &self.scalars, |d, f| write!(f, "{d}"))?;
            f.write_str(")")?;
        }
        f.write_str(" {\n")?;
        for b in locals {
            if let BufferKind::Temp(length) | BufferKind::Row(length) = &b.kind {
                let kind = if matches!(b.kind, BufferKind::Temp(_)) { "temp" } else { "row" };
                writeln!(f, "  {kind} {}: {}[{length}]", b.name, b.dtype)?;
            }
        }
        self.phases.iter().try_for_each(|p| self.write_phase(p, f))?;
        f.write_str("}\n")
    }
}

impl Kernel {
    fn write_phase(&self, phase: &Phase, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("  phase ")?;
        self.write_axes(&phase.axes, f)?;
        f.write_str("{\n")?;
        phase.nests.iter().try_for_each(|n| self.write_nest(n, f))?;
        f.write_str("  }\n")
    }

    fn write_nest(&self, nest: &Nest, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("    nest ")?;
        self.write_axes(&nest.axes, f)?;
        f.write_str("{\n")?;
        nest.body.iter().try_for_each(|i| self.write_inst(i, 6, f))?;
        f.write_str("    }\n")
    }

    /// `[i0 < s0, i1 < 4] `, nothing for no axes.
    fn write_axes(&self, axes: &[AxisId], f: &mut Formatter<'_>) -> fmt::Result {
        if axes.is_empty() {
            return Ok(());
        }
        f.write_str("[")?;
        separated(f, axes, |a, f| match self.axes.get(a.index()) {
            Some(extent) => write!(f, "{a} < {extent}"),
            None => write!(f, "{a} < ?"),
        })?;
        f.write_str("] ")
    }

    fn write_inst(&self, inst: &Inst, indent: usize, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:indent$}", "")?;
        if !inst.results.is_empty() {
            values(&inst.results, f)?;
            f.write_str(" = ")?;
        }
        let dtype = |v: Option<&ValueId>| Optional(v.and_then(|v| self.values.get(v.index())).copied());
        let result = || dtype(inst.results.first());
        match &inst.op {
            Op::Const(l) => {
                write!(f, "const.{} ", l.dtype)?;
                literal(l, f)?;
            }
            Op::Scalar(c) => write!(f, "scalar.{} {c}", result())?,
            Op::Index(e) => write!(f, "index.{} {e}", result())?,
            Op::Prim(p, t, args) => {
                write!(f, "{}.{t} ", p.name())?;
                values(args, f)?;
            }
            Op::Load { buffer, index, mask } => {
                write!(f, "load.{} {}[{index}]", result(), self.buffer_name(*buffer))?;
                write_mask(*mask, f)?;
            }
            Op::Store { buffer, index, value, mask, add } => {
                let op = if *add { "store.add" } else { "store" };
                write!(f, "{op} {}[{index}], {value}", self.buffer_name(*buffer))?;
                write_mask(*mask, f)?;
            }
            Op::Check { value, size, wrap, mask } => {
                write!(f, "check {value}, size {size}{}", if *wrap { " wrap" } else { "" })?;
                write_mask(*mask, f)?;
            }
            Op::Lookup { table, index } => {
                write!(f, "lookup.{} [", Optional(table.first().map(|l| l.dtype)))?;
                separated(f, table, literal)?;
                write!(f, "], {index}")?;
            }
            Op::Call { func, args } => {
                write!(f, "call.{}.{} ", func.name(), result())?;
                values(args, f)?;
            }
            Op::Reduce { kind, order, args } => {
                write!(f, "reduce.{}.{}.{} ", kind.name(), dtype(args.first()), order.name())?;
                values(args, f)?;
            }
            Op::Cold { mask, body, slow, fast } => {
                writeln!(f, "cold {mask} {{")?;
                body.iter().try_for_each(|i| self.write_inst(i, indent + 2, f))?;
                write!(f, "{:indent$}}} slow (", "")?;
                values(slow, f)?;
                f.write_str(") fast (")?;
                values(fast, f)?;
                f.write_str(")")?;
            }
        }
        f.write_str("\n")
    }

    fn buffer_name(&self, b: BufferId) -> String {
        self.buffers.get(b.index()).map_or_else(|| format!("?{b}"), |b| b.name.clone())
    }
}

/// A dtype, or `?` where a kernel that is not valid has none.
struct Optional(Option<DType>);

impl Display for Optional {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("?", DType::name))
    }
}

fn separated<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    mut write: impl FnMut(&T, &mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write(item, f)?;
    }
    Ok(())
}

fn values(values: &[ValueId], f: &mut Formatter<'_>) -> fmt::Result {
    separated(f, values, |v, f| write!(f, "{v}"))
}

fn write_mask(mask: Option<ValueId>, f: &mut Formatter<'_>) -> fmt::Result {
    mask.map_or(Ok(()), |m| write!(f, " if {m}"))
}

fn quoted(s: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in s.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// The bits of the canonical NaN of a float dtype.
pub(super) fn canonical_nan(dtype: DType) -> u64 {
    match dtype {
        DType::F16 => 0x7e00,
        DType::BF16 => 0x7fc0,
        DType::F32 => 0x7fc0_0000,
        _ => 0x7ff8_0000_0000_0000,
    }
}

fn literal(l: &Literal, f: &mut Formatter<'_>) -> fmt::Result {
    match l.dtype {
        _ if l.dtype.is_float() && l.as_f64().is_nan() => {
            f.write_str("nan")?;
            if l.bits == canonical_nan(l.dtype) { Ok(()) } else { write!(f, ":{:#x}", l.bits) }
        }
        DType::F32 => write!(f, "{:?}", f32::from_bits(l.bits as u32)),
        DType::F16 | DType::BF16 | DType::F64 => write!(f, "{:?}", l.as_f64()),
        DType::Bool => f.write_str(if l.bits == 0 { "false" } else { "true" }),
        _ => write!(f, "{}", l.bits as i64),
    }
}
