//! The structural rules of kernels.
//!
//! A kernel that passes can be interpreted, printed and emitted without a panic; what it addresses
//! and how large its extents are is known at launch only. A violation is always a bug of whoever
//! built the kernel, so all of them are reported, each with its place.
//!
//! - Ids lie within their arenas; every value and every axis has exactly one definition.
//! - A value is used only where it is visible (see the header of the module above).
//! - Arguments come before the other buffers. Buffer names are identifiers, all different. Lengths of
//!   `temp` and `row` buffers are uniform.
//! - An extent uses symbols and axes listed before it, those of a phase no axes of a nest.
//! - Operands and results have the dtypes that the instruction asks for. Values of f16 and bf16 are loaded,
//!   stored (not added), selected and converted only, to and from f32.
//! - An `in` buffer is not stored to. What an `out`, `temp` or `row` buffer held at first is not read:
//!   a load (or a `store.add`) follows a store in text order. A `row` buffer is used by one phase.
//! - `Value` in an index expression is a result of `check`.
//! - A reduction stands in a nest with axes, and not in a cold body.
//! - The body of `cold` is pure.
//! - Expressions and cold bodies nest at most [`MAX_DEPTH`] deep.

use super::{BufferKind, Inst, Kernel, Nest, Op, Phase, Reduction};
use crate::dtype::{DType, Literal, wrap_int};
use crate::id::{AxisId, BufferId, ValueId};
use crate::index::IndexExpr;
use crate::prim::{Prim, Typing};
use std::collections::HashSet;
use std::fmt;

/// How deep index expressions and cold bodies may nest.
pub const MAX_DEPTH: usize = 64;

/// A broken rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyError {
    /// Where: `phase 0, nest 1, instruction 2`.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl std::error::Error for VerifyError {}

/// Checks every rule.
///
/// # Errors
/// All violations, in text order.
pub fn verify(k: &Kernel) -> Result<(), Vec<VerifyError>> {
    let mut v = Verifier {
        k,
        errors: Vec::new(),
        place: Place::default(),
        values: vec![State::default(); k.values.len()],
        axes: vec![AxisState::Unlisted; k.axes.len()],
        stored: vec![false; k.buffers.len()],
        row_phase: vec![None; k.buffers.len()],
    };
    v.declarations();
    for (p, phase) in k.phases.iter().enumerate() {
        v.place = Place { phase: Some(p), nest: None, inst: Vec::new() };
        v.phase(phase);
    }
    v.place = Place::default();
    for (i, state) in v.values.clone().into_iter().enumerate() {
        if !state.defined {
            v.error(format!("{} is never defined", ValueId::new(i)));
        }
    }
    for i in 0..k.axes.len() {
        if v.axes[i] == AxisState::Unlisted {
            v.error(format!("axis {} belongs to no phase or nest", AxisId::new(i)));
        }
    }
    if v.errors.is_empty() { Ok(()) } else { Err(v.errors) }
}

/// True for names that the text form writes without quotes.
pub(super) fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'.')
}

#[derive(Clone, Default)]
struct Place {
    phase: Option<usize>,
    nest: Option<usize>,
    /// Instruction numbers, outermost first; more than one inside cold bodies.
    inst: Vec<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(phase) = self.phase else { return f.write_str("kernel") };
        write!(f, "phase {phase}")?;
        if let Some(nest) = self.nest {
            write!(f, ", nest {nest}")?;
        }
        for (depth, i) in self.inst.iter().enumerate() {
            f.write_str(if depth == 0 { ", instruction " } else { "." })?;
            write!(f, "{i}")?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Default)]
struct State {
    defined: bool,
    visible: bool,
    /// A result of `check`: fit for index expressions.
    index: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AxisState {
    Unlisted,
    InScope,
    Closed,
}

struct Verifier<'k> {
    k: &'k Kernel,
    errors: Vec<VerifyError>,
    place: Place,
    values: Vec<State>,
    axes: Vec<AxisState>,
    stored: Vec<bool>,
    row_phase: Vec<Option<usize>>,
}

impl Verifier<'_> {
    fn error(&mut self, what: impl Into<String>) {
        self.errors.push(VerifyError { place: self.place.to_string(), what: what.into() });
    }

    fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.error(what());
        }
    }

    fn declarations(&mut self) {
        let k = self.k;
        let mut names = HashSet::new();
        for (i, b) in k.buffers.iter().enumerate() {
            self.require(is_identifier(&b.name), || format!("buffer name {:?} is no identifier", b.name));
            self.require(names.insert(&b.name), || format!("two buffers are named {}", b.name));
            self.require(!b.kind.is_arg() || i < k.args(), || {
                format!("argument {} stands after a buffer that is none", b.name)
            });
            if let BufferKind::Temp(length) | BufferKind::Row(length) = &b.kind {
                self.require(length.is_uniform(), || format!("the length of {} is not uniform: {length}", b.name));
                self.index(length);
            }
        }
    }

    fn phase(&mut self, phase: &Phase) {
        self.open_axes(&phase.axes);
        let mut visible = Vec::new();
        for (n, nest) in phase.nests.iter().enumerate() {
            self.place.nest = Some(n);
            self.place.inst.clear();
            visible.extend(self.nest(nest));
        }
        self.place.nest = None;
        for v in visible {
            self.values[v.index()].visible = false;
        }
        self.close_axes(&phase.axes);
    }

    /// Returns the values that later nests of the phase see.
    fn nest(&mut self, nest: &Nest) -> Vec<ValueId> {
        self.open_axes(&nest.axes);
        let (mut local, mut reduced) = (Vec::new(), Vec::new());
        for (i, inst) in nest.body.iter().enumerate() {
            self.place.inst = vec![i];
            let is_reduce = matches!(inst.op, Op::Reduce { .. });
            self.require(!is_reduce || !nest.axes.is_empty(), || "a reduction in a nest without axes".into());
            self.inst(inst, !is_reduce, if is_reduce { &mut reduced } else { &mut local });
        }
        self.place.inst.clear();
        self.close_axes(&nest.axes);
        if nest.axes.is_empty() {
            reduced.append(&mut local);
        }
        for v in local {
            self.values[v.index()].visible = false;
        }
        for v in &reduced {
            self.values[v.index()].visible = true;
        }
        reduced
    }

    fn open_axes(&mut self, axes: &[AxisId]) {
        for &a in axes {
            let Some(extent) = self.k.axes.get(a.index()) else {
                self.error(format!("axis {a} does not exist"));
                continue;
            };
            self.require(!has_value(extent), || format!("the extent of {a} uses a value: {extent}"));
            self.index(extent);
            self.require(self.axes[a.index()] == AxisState::Unlisted, || format!("axis {a} is listed twice"));
            self.axes[a.index()] = AxisState::InScope;
        }
    }

    fn close_axes(&mut self, axes: &[AxisId]) {
        for a in axes {
            if let Some(state) = self.axes.get_mut(a.index()) {
                *state = AxisState::Closed;
            }
        }
    }

    /// Ids, visibility and depth of an index expression.
    fn index(&mut self, e: &IndexExpr) {
        if !is_shallow(e, MAX_DEPTH) {
            self.error(format!("an index expression is more than {MAX_DEPTH} deep"));
            return;
        }
        e.visit(&mut |e| match e {
            IndexExpr::Axis(a) if self.axes.get(a.index()) != Some(&AxisState::InScope) => {
                self.error(format!("axis {a} is not in scope"));
            }
            IndexExpr::Sym(s) if s.index() >= self.k.syms => self.error(format!("symbol {s} does not exist")),
            IndexExpr::Value(v) => {
                self.operand(*v);
                let fit = self.values.get(v.index()).is_none_or(|s| s.index);
                self.require(fit, || format!("{v} in an index is not the result of a check"));
            }
            _ => {}
        });
    }

    /// Checks visibility; None for a value that does not exist.
    fn operand(&mut self, v: ValueId) -> Option<DType> {
        let Some(state) = self.values.get(v.index()) else {
            self.error(format!("{v} does not exist"));
            return None;
        };
        self.require(state.visible, || format!("{v} is not visible here"));
        Some(self.k.dtype(v))
    }

    fn operand_is(&mut self, v: ValueId, role: &str, want: DType) {
        if let Some(d) = self.operand(v) {
            self.require(d == want, || format!("{role} {v} is {d}, not {want}"));
        }
    }

    fn mask(&mut self, mask: Option<ValueId>) {
        if let Some(m) = mask {
            self.operand_is(m, "mask", DType::Bool);
        }
    }

    fn integer(&mut self, v: ValueId) {
        if let Some(d) = self.operand(v) {
            self.require(matches!(d, DType::I32 | DType::I64), || format!("{v} is {d}, neither i32 nor i64"));
        }
    }

    fn literal(&mut self, l: &Literal) {
        self.require(is_canonical(l), || format!("{:#x} is no pattern of {}", l.bits, l.dtype));
    }

    fn inst(&mut self, inst: &Inst, visible: bool, defs: &mut Vec<ValueId>) {
        match &inst.op {
            Op::Const(l) => {
                self.literal(l);
                self.results(inst, &[l.dtype]);
            }
            Op::Scalar(c) => match self.k.scalars.get(c.index()) {
                Some(&d) => self.results(inst, &[d]),
                None => self.error(format!("scalar {c} does not exist")),
            },
            Op::Index(e) => {
                self.index(e);
                let d = self.result_dtype(inst);
                self.require(matches!(d, None | Some(DType::I32 | DType::I64)), || "an index is i32 or i64".into());
                self.count(inst, 1);
            }
            Op::Prim(p, t, args) => self.prim(inst, *p, *t, args),
            Op::Load { buffer, index, mask } => {
                self.index(index);
                self.mask(*mask);
                if let Some(d) = self.access(*buffer, true, false) {
                    self.results(inst, &[d]);
                }
            }
            Op::Store { buffer, index, value, mask, add } => {
                self.index(index);
                self.mask(*mask);
                match self.access(*buffer, *add, true) {
                    Some(d) => {
                        self.require(!add || !d.is_half(), || format!("store.add of {d}"));
                        self.operand_is(*value, "stored value", d);
                    }
                    None => _ = self.operand(*value),
                }
                self.results(inst, &[]);
            }
            Op::Check { value, size, mask, .. } => {
                self.integer(*value);
                self.index(size);
                self.mask(*mask);
                self.results(inst, &[DType::I64]);
            }
            Op::Lookup { table, index } => {
                self.require((1..=32).contains(&table.len()), || format!("a table of {} constants", table.len()));
                table.iter().for_each(|l| self.literal(l));
                self.integer(*index);
                if let Some(first) = table.first() {
                    self.require(table.iter().all(|l| l.dtype == first.dtype), || "a table of several dtypes".into());
                    self.results(inst, &[first.dtype]);
                }
            }
            Op::Call { func, args } => {
                self.require(args.len() == func.arity(), || format!("{} takes {} operands", func.name(), func.arity()));
                if let Some(d) = self.result_dtype(inst) {
                    self.require(d.is_float() && !d.is_half(), || format!("{} of {d}", func.name()));
                    args.iter().for_each(|&a| self.operand_is(a, "operand", d));
                }
                self.count(inst, 1);
            }
            Op::Reduce { kind, args, .. } => self.reduce(inst, *kind, args),
            Op::Cold { mask, body, slow, fast } => self.cold(inst, *mask, body, slow, fast),
        }
        for &r in &inst.results {
            let Some(state) = self.values.get_mut(r.index()) else {
                self.error(format!("{r} does not exist"));
                continue;
            };
            let again = state.defined;
            *state = State { defined: true, visible, index: matches!(inst.op, Op::Check { .. }) };
            self.require(!again, || format!("{r} is defined twice"));
            defs.push(r);
        }
    }

    fn count(&mut self, inst: &Inst, want: usize) {
        self.require(inst.results.len() == want, || format!("{} results where {want} are due", inst.results.len()));
    }

    /// Dtype of the first result, when there is one.
    fn result_dtype(&self, inst: &Inst) -> Option<DType> {
        inst.results.first().and_then(|r| self.k.values.get(r.index())).copied()
    }

    fn results(&mut self, inst: &Inst, want: &[DType]) {
        self.count(inst, want.len());
        for (&r, &w) in inst.results.iter().zip(want) {
            if let Some(&d) = self.k.values.get(r.index()) {
                self.require(d == w, || format!("result {r} is {d}, not {w}"));
            }
        }
    }

    fn prim(&mut self, inst: &Inst, p: Prim, t: DType, args: &[ValueId]) {
        let name = p.name();
        self.require(args.len() == p.arity(), || format!("{name} takes {} operands, not {}", p.arity(), args.len()));
        let fits = match p.typing() {
            Typing::Float => t.is_float(),
            Typing::Number => t != DType::Bool,
            Typing::Bits => !t.is_float(),
            Typing::Int => t.is_int(),
            Typing::Compare | Typing::Select | Typing::Convert => true,
            Typing::Bitcast => t.size() >= 4,
        };
        let moves = matches!(p.typing(), Typing::Select | Typing::Convert);
        self.require(fits && (moves || !t.is_half()), || format!("{name} of {t}"));
        for (i, &a) in args.iter().enumerate() {
            match p.typing() {
                Typing::Select if i == 0 => self.operand_is(a, "mask", DType::Bool),
                Typing::Convert => {
                    if let Some(d) = self.operand(a) {
                        let by_f32 = |half: DType, other| !half.is_half() || other == half || other == DType::F32;
                        self.require(by_f32(t, d) && by_f32(d, t), || format!("conversion of {d} to {t}"));
                    }
                }
                Typing::Bitcast => {
                    if let Some(d) = self.operand(a) {
                        self.require(d.size() == t.size(), || format!("bitcast of {d} to {t}"));
                    }
                }
                Typing::Float | Typing::Number | Typing::Bits | Typing::Int | Typing::Compare | Typing::Select => {
                    self.operand_is(a, "operand", t);
                }
            }
        }
        self.results(inst, &[if p.is_compare() { DType::Bool } else { t }]);
    }

    /// Checks a use of a buffer and gives its dtype.
    fn access(&mut self, b: BufferId, reads: bool, writes: bool) -> Option<DType> {
        let k = self.k;
        let Some(buffer) = k.buffers.get(b.index()) else {
            self.error(format!("buffer {b} does not exist"));
            return None;
        };
        let name = &buffer.name;
        match buffer.kind {
            BufferKind::In => self.require(!writes, || format!("{name} is only read")),
            BufferKind::InOut => {}
            BufferKind::Out | BufferKind::Temp(_) | BufferKind::Row(_) => {
                self.require(!reads || self.stored[b.index()], || format!("{name} is read before it is stored to"));
            }
        }
        if matches!(buffer.kind, BufferKind::Row(_)) {
            let phase = self.place.phase;
            let first = *self.row_phase[b.index()].get_or_insert(phase.expect("instructions are in phases"));
            self.require(Some(first) == phase, || format!("row buffer {name} is used by phase {first} already"));
        }
        self.stored[b.index()] |= writes;
        Some(buffer.dtype)
    }

    fn reduce(&mut self, inst: &Inst, kind: Reduction, args: &[ValueId]) {
        let name = kind.name();
        if args.len() != kind.arity() {
            self.error(format!("{name} takes {} operands, not {}", kind.arity(), args.len()));
            return;
        }
        let Some(d) = self.operand(args[0]) else { return };
        let fits = match kind {
            Reduction::Sum | Reduction::Prod | Reduction::Max | Reduction::Min => d != DType::Bool,
            Reduction::ArgMax | Reduction::ArgMin => d != DType::Bool,
            Reduction::Any | Reduction::All => d == DType::Bool,
            Reduction::Xor => !d.is_float(),
            Reduction::Moments => d.is_float(),
        };
        self.require(fits && !d.is_half(), || format!("{name} of {d}"));
        match kind {
            Reduction::ArgMax | Reduction::ArgMin => {
                self.integer(args[1]);
                if let Some(&i) = self.k.values.get(args[1].index()) {
                    self.results(inst, &[d, i]);
                }
            }
            Reduction::Moments => self.results(inst, &[d; 3]),
            Reduction::Sum
            | Reduction::Prod
            | Reduction::Max
            | Reduction::Min
            | Reduction::Any
            | Reduction::All
            | Reduction::Xor => self.results(inst, &[d]),
        }
    }

    fn cold(&mut self, inst: &Inst, mask: ValueId, body: &[Inst], slow: &[ValueId], fast: &[ValueId]) {
        self.operand_is(mask, "mask", DType::Bool);
        if self.place.inst.len() > MAX_DEPTH {
            self.error(format!("cold bodies are more than {MAX_DEPTH} deep"));
            return;
        }
        // The fast values come from outside of the body.
        let fast: Vec<_> = fast.iter().map(|&v| self.operand(v)).collect();
        let mut local = Vec::new();
        for (i, inner) in body.iter().enumerate() {
            self.place.inst.push(i);
            self.require(inner.op.is_pure(), || "an instruction in a cold body that does more than compute".into());
            self.inst(inner, true, &mut local);
            self.place.inst.pop();
        }
        let slow: Vec<_> = slow.iter().map(|&v| self.operand(v)).collect();
        for v in local {
            self.values[v.index()].visible = false;
        }
        self.require(!inst.results.is_empty(), || "a cold body without results".into());
        self.require(slow.len() == inst.results.len() && fast.len() == slow.len(), || {
            format!("{} results of {} slow and {} fast values", inst.results.len(), slow.len(), fast.len())
        });
        for (&r, (slow, fast)) in inst.results.iter().zip(slow.iter().zip(&fast)) {
            let want = self.k.values.get(r.index()).copied();
            let same = |d: &Option<DType>| d.is_none() || want.is_none() || *d == want;
            self.require(same(slow) && same(fast), || format!("{r} and its slow and fast values differ in dtype"));
        }
    }
}

fn has_value(e: &IndexExpr) -> bool {
    let mut found = false;
    e.visit(&mut |e| found |= matches!(e, IndexExpr::Value(_)));
    found
}

fn is_shallow(e: &IndexExpr, depth: usize) -> bool {
    match e.children() {
        Some((a, b)) => depth > 1 && is_shallow(a, depth - 1) && is_shallow(b, depth - 1),
        None => true,
    }
}

/// True when the bits are as [`Literal`] says.
fn is_canonical(l: &Literal) -> bool {
    match l.dtype {
        DType::F64 => true,
        DType::F32 => l.bits <= u64::from(u32::MAX),
        DType::F16 | DType::BF16 => l.bits <= u64::from(u16::MAX),
        d => wrap_int(d, l.bits as i64) as u64 == l.bits,
    }
}

#[cfg(test)]
mod tests;
