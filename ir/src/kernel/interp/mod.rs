//! The interpreter: the meaning of kernels.
//!
//! It is written in the plainest way, so that emitters can be tested against it: points run in order,
//! each instruction by itself, and a reduction collects all its values first (`reduce.rs`). Nothing
//! here is unchecked: a kernel is verified before it runs, and an access outside of a buffer is an
//! error.

pub mod prim;
mod reduce;

use self::reduce::{Collected, reduce};
use super::verify::{VerifyError, verify};
use super::{BufferKind, Func, Inst, Kernel, Nest, Op, Phase, ScalarFn};
use crate::dtype::{DType, Literal, wrap_int};
use crate::id::{AxisId, BufferId, SymId, ValueId};
use crate::index::{IndexEnv, IndexExpr};
use crate::prim::Prim;
use std::fmt;

/// Bytes of `temp` and `row` buffers beyond which a kernel is refused.
const MAX_SCRATCH: usize = 1 << 31;

/// A flat array of elements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Array {
    dtype: DType,
    bytes: Vec<u8>,
    /// The position of the element that kernels call 0: what lies before it has negative indices.
    origin: usize,
}

impl Array {
    /// `len` zeros.
    pub fn zeros(dtype: DType, len: usize) -> Array {
        Array { dtype, bytes: vec![0; len * dtype.size()], origin: 0 }
    }

    /// Elements given as in [`Literal::bits`].
    pub fn from_bits(dtype: DType, elements: &[u64]) -> Array {
        let mut a = Array::zeros(dtype, elements.len());
        elements.iter().enumerate().for_each(|(i, &v)| a.set(i, v));
        a
    }

    /// Elements of `f32`.
    pub fn from_f32(elements: &[f32]) -> Array {
        Array::from_bytes(DType::F32, elements.iter().flat_map(|v| v.to_ne_bytes()).collect())
    }

    /// Elements of `f64`.
    pub fn from_f64(elements: &[f64]) -> Array {
        Array::from_bytes(DType::F64, elements.iter().flat_map(|v| v.to_ne_bytes()).collect())
    }

    /// Elements of an integer dtype or bool, wrapped to its width.
    pub fn from_i64(dtype: DType, elements: &[i64]) -> Array {
        let bits: Vec<u64> = elements.iter().map(|&v| Literal::int(dtype, v).bits).collect();
        Array::from_bits(dtype, &bits)
    }

    /// Elements as memory holds them, `bytes` a multiple of the element size.
    ///
    /// # Panics
    /// When it is not.
    pub fn from_bytes(dtype: DType, bytes: Vec<u8>) -> Array {
        assert!(bytes.len().is_multiple_of(dtype.size()), "whole elements");
        Array { dtype, bytes, origin: 0 }
    }

    /// The same elements, of which kernels call the one at this position 0.
    pub fn with_origin(self, origin: usize) -> Array {
        Array { origin, ..self }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements as memory holds them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Element `i`, as in [`Literal::bits`]; any byte but 0 is true.
    pub fn get(&self, i: usize) -> u64 {
        let at = i * self.dtype.size();
        match self.dtype.size() {
            1 if self.dtype == DType::Bool => u64::from(self.bytes[at] != 0),
            1 => wrap_int(self.dtype, i64::from(self.bytes[at])) as u64,
            2 => {
                let raw = u16::from_ne_bytes(self.bytes[at..at + 2].try_into().expect("two bytes"));
                if self.dtype.is_float() { u64::from(raw) } else { wrap_int(self.dtype, i64::from(raw)) as u64 }
            }
            4 => {
                let raw = u32::from_ne_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"));
                if self.dtype.is_float() { u64::from(raw) } else { wrap_int(self.dtype, i64::from(raw)) as u64 }
            }
            _ => u64::from_ne_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes")),
        }
    }

    /// Writes element `i`.
    pub fn set(&mut self, i: usize, bits: u64) {
        let at = i * self.dtype.size();
        match self.dtype.size() {
            1 => self.bytes[at] = bits as u8,
            2 => self.bytes[at..at + 2].copy_from_slice(&(bits as u16).to_ne_bytes()),
            4 => self.bytes[at..at + 4].copy_from_slice(&(bits as u32).to_ne_bytes()),
            _ => self.bytes[at..at + 8].copy_from_slice(&bits.to_ne_bytes()),
        }
    }

    /// All elements, as in [`Literal::bits`].
    pub fn bits(&self) -> Vec<u64> {
        (0..self.len()).map(|i| self.get(i)).collect()
    }

    /// All elements as f64 (exact but for large i64).
    pub fn to_f64(&self) -> Vec<f64> {
        (0..self.len()).map(|i| Literal { dtype: self.dtype, bits: self.get(i) }.as_f64()).collect()
    }

    /// True when both hold the same bits, any NaN being the same as any other.
    pub fn same(&self, other: &Array) -> bool {
        self.dtype == other.dtype && self.first_difference(other).is_none() && self.len() == other.len()
    }

    /// The first element of both that differs, any NaN being the same as any other.
    pub fn first_difference(&self, other: &Array) -> Option<usize> {
        let nan = |bits| self.dtype.is_float() && Literal { dtype: self.dtype, bits }.as_f64().is_nan();
        (0..self.len().min(other.len())).find(|&i| {
            let (a, b) = (self.get(i), other.get(i));
            a != b && !(nan(a) && nan(b))
        })
    }
}

/// What a `check` out of range or an integer division by zero leaves behind. A kernel ends with the first
/// phase that leaves one; of several in a phase, the record with the lowest (position, site, value, size)
/// stays. (Where an extent depends on another axis of the nest, points may share a position.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexError {
    /// Which `check`, `idiv` or `irem`, counted in text order over the kernel.
    pub site: usize,
    /// The point, row-major over the axes of the phase and then of the nest: for every axis
    /// `position = position * extent + axis`, in wrapping i64.
    pub position: i64,
    /// The index as it was; 0 for a division.
    pub value: i64,
    /// The size it must lie within; 0 for a division.
    pub size: i64,
}

/// Why a kernel did not run to its end. Never the fault of the data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InterpError {
    /// The kernel breaks rules.
    Invalid(Vec<VerifyError>),
    /// Arguments, symbols or scalars are not those that the kernel asks for.
    Args(String),
    /// An access outside of a buffer.
    OutOfBounds {
        /// Name of the buffer.
        buffer: String,
        /// Element index.
        index: i64,
        /// Elements of the buffer.
        len: usize,
    },
    /// A check of an index into an empty dimension was reached: no element can stand for it.
    EmptyDimension {
        /// Which check, in text order.
        site: usize,
    },
    /// An index expression overflows or divides by less than 1.
    Index(String),
    /// An extent or a length is negative or beyond reason.
    Extent {
        /// The expression.
        expr: String,
        /// Its value.
        value: i64,
    },
}

impl fmt::Display for InterpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InterpError::Invalid(errors) => {
                f.write_str("invalid kernel")?;
                errors.iter().try_for_each(|e| write!(f, "; {e}"))
            }
            InterpError::Args(what) => f.write_str(what),
            InterpError::OutOfBounds { buffer, index, len } => {
                write!(f, "element {index} of buffer {buffer}, which has {len}")
            }
            InterpError::EmptyDimension { .. } => f.write_str("an index into an empty dimension"),
            InterpError::Index(expr) => write!(f, "{expr} overflows or divides by less than 1"),
            InterpError::Extent { expr, value } => write!(f, "extent {expr} is {value}"),
        }
    }
}

impl std::error::Error for InterpError {}

/// Runs a kernel over its arguments, one array for each in call order.
///
/// # Errors
/// When the kernel is invalid, when what it is given does not fit it, and when it leaves its buffers;
/// arguments may have been written to by then.
pub fn run(
    k: &Kernel,
    syms: &[i64],
    scalars: &[Literal],
    args: &mut [Array],
) -> Result<Option<IndexError>, InterpError> {
    verify(k).map_err(InterpError::Invalid)?;
    check_args(k, syms, scalars, args)?;
    let mut buffers: Vec<Array> = Vec::with_capacity(k.buffers.len());
    for a in args.iter_mut() {
        buffers.push(std::mem::replace(a, Array::zeros(a.dtype, 0)));
    }
    let mut m = Machine {
        k,
        syms,
        scalars,
        axes: vec![0; k.axes.len()],
        extents: vec![0; k.axes.len()],
        values: vec![0; k.values.len()],
        buffers,
        collected: Vec::new(),
        sites: 0,
        error: None,
    };
    let result = m.run();
    let error = m.error;
    for (arg, buffer) in args.iter_mut().zip(m.buffers) {
        *arg = buffer;
    }
    result.map(|()| error)
}

fn check_args(k: &Kernel, syms: &[i64], scalars: &[Literal], args: &[Array]) -> Result<(), InterpError> {
    let fail = |what| Err(InterpError::Args(what));
    if syms.len() != k.syms {
        return fail(format!("{} symbols where the kernel has {}", syms.len(), k.syms));
    }
    if !scalars.iter().map(|s| s.dtype).eq(k.scalars.iter().copied()) {
        return fail("scalars of other dtypes than the kernel's".into());
    }
    if args.len() != k.args() {
        return fail(format!("{} arguments where the kernel has {}", args.len(), k.args()));
    }
    for (a, b) in args.iter().zip(&k.buffers) {
        if a.dtype != b.dtype {
            return fail(format!("argument {} is {}, not {}", b.name, a.dtype, b.dtype));
        }
    }
    Ok(())
}

struct Machine<'k> {
    k: &'k Kernel,
    syms: &'k [i64],
    scalars: &'k [Literal],
    /// Where every axis in scope is, and how far it goes.
    axes: Vec<i64>,
    extents: Vec<i64>,
    values: Vec<u64>,
    buffers: Vec<Array>,
    /// For every reduction of the current nest.
    collected: Vec<Collected>,
    /// Sites before the current nest.
    sites: usize,
    error: Option<IndexError>,
}

impl IndexEnv for Machine<'_> {
    fn axis(&self, a: AxisId) -> i64 {
        self.axes[a.index()]
    }
    fn sym(&self, s: SymId) -> i64 {
        self.syms[s.index()]
    }
    fn value(&self, v: ValueId) -> i64 {
        self.values[v.index()] as i64
    }
}

/// The axes around the current point, outermost first.
#[derive(Clone, Copy)]
struct Loops<'k> {
    outer: &'k [AxisId],
    inner: &'k [AxisId],
}

impl<'k> Machine<'k> {
    fn run(&mut self) -> Result<(), InterpError> {
        let k = self.k;
        for b in &k.buffers {
            if let BufferKind::Temp(length) | BufferKind::Row(length) = &b.kind {
                let n = self.length(length, b.dtype)?;
                self.buffers.push(Array::from_bytes(b.dtype, vec![UNSTORED; n * b.dtype.size()]));
            }
        }
        let mut sites = 0;
        for phase in &k.phases {
            let rows: Vec<BufferId> = row_buffers(k, phase);
            let before: Vec<usize> = phase
                .nests
                .iter()
                .map(|nest| {
                    let before = sites;
                    sites += nest.body.iter().filter(|i| is_site(&i.op)).count();
                    before
                })
                .collect();
            self.phase(phase, 0, &before, &rows)?;
            if self.error.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Runs the outer axes from `depth` on.
    fn phase(&mut self, phase: &'k Phase, depth: usize, sites: &[usize], rows: &[BufferId]) -> Result<(), InterpError> {
        if let Some(&axis) = phase.axes.get(depth) {
            for i in 0..self.enter(axis)? {
                self.axes[axis.index()] = i;
                self.phase(phase, depth + 1, sites, rows)?;
            }
            return Ok(());
        }
        for b in rows {
            self.buffers[b.index()].bytes.fill(UNSTORED);
        }
        for (nest, &before) in phase.nests.iter().zip(sites) {
            self.sites = before;
            let reductions = nest.body.iter().filter(|i| matches!(i.op, Op::Reduce { .. })).count();
            self.collected.clear();
            self.collected.resize_with(reductions, Collected::default);
            self.nest(nest, 0, Loops { outer: &phase.axes, inner: &nest.axes })?;
            self.finish_reductions(nest);
        }
        Ok(())
    }

    /// Runs the nest's axes from `depth` on.
    fn nest(&mut self, nest: &'k Nest, depth: usize, loops: Loops<'k>) -> Result<(), InterpError> {
        let Some(&axis) = nest.axes.get(depth) else { return self.body(&nest.body, loops) };
        if depth + 1 == nest.axes.len() {
            for c in &mut self.collected {
                c.runs.push(c.items.len());
            }
        }
        for i in 0..self.enter(axis)? {
            self.axes[axis.index()] = i;
            self.nest(nest, depth + 1, loops)?;
        }
        Ok(())
    }

    fn finish_reductions(&mut self, nest: &Nest) {
        let collected = std::mem::take(&mut self.collected);
        let reductions = nest.body.iter().filter(|i| matches!(i.op, Op::Reduce { .. }));
        for (inst, collected) in reductions.zip(collected) {
            let Op::Reduce { kind, order, args } = &inst.op else { unreachable!("filtered") };
            let last = *args.last().expect("verified: one operand or two");
            let results = reduce(*kind, *order, self.k.dtype(args[0]), self.k.dtype(last), &collected);
            for (r, bits) in inst.results.iter().zip(results) {
                self.values[r.index()] = bits;
            }
        }
    }

    fn body(&mut self, body: &[Inst], loops: Loops) -> Result<(), InterpError> {
        let (mut site, mut reduction) = (self.sites, 0);
        for inst in body {
            let bits = match &inst.op {
                Op::Store { buffer, index, value, mask, add } => {
                    self.store(*buffer, index, *value, *mask, *add)?;
                    continue;
                }
                Op::Reduce { args, .. } => {
                    let item = (self.get(args[0]), self.get(*args.last().expect("verified: one operand or two")));
                    self.collected[reduction].items.push(item);
                    reduction += 1;
                    continue;
                }
                Op::Cold { mask, body, slow, fast } => {
                    let take = if self.get(*mask) != 0 {
                        self.body(body, loops)?;
                        slow
                    } else {
                        fast
                    };
                    for (r, &v) in inst.results.iter().zip(take) {
                        self.values[r.index()] = self.get(v);
                    }
                    continue;
                }
                Op::Const(l) => l.bits,
                Op::Scalar(c) => self.scalars[c.index()].bits,
                Op::Index(e) => wrap_int(self.k.dtype(inst.results[0]), self.eval(e)?) as u64,
                Op::Prim(p, t, args) => self.prim(*p, *t, args, site, loops),
                Op::Load { buffer, index, mask } => {
                    if self.is_on(*mask) {
                        let at = self.element(*buffer, index)?;
                        self.buffers[buffer.index()].get(at)
                    } else {
                        0
                    }
                }
                Op::Check { value, size, wrap, mask } => self.check(*value, size, *wrap, *mask, site, loops)?,
                Op::Lookup { table, index } => {
                    let last = table.len() as i64 - 1;
                    table[(self.get(*index) as i64).clamp(0, last) as usize].bits
                }
                Op::Call { func, args } => {
                    let args: Vec<u64> = args.iter().map(|&a| self.get(a)).collect();
                    call(*func, self.k.dtype(inst.results[0]), &args)
                }
            };
            site += usize::from(is_site(&inst.op));
            self.values[inst.results[0].index()] = bits;
        }
        Ok(())
    }

    fn prim(&mut self, p: Prim, t: DType, args: &[ValueId], site: usize, loops: Loops) -> u64 {
        let mut bits = [0; 3];
        for (b, &a) in bits.iter_mut().zip(args) {
            *b = self.get(a);
        }
        prim::eval(p, t, self.k.dtype(args[0]), &bits[..args.len()]).unwrap_or_else(|| {
            self.record(site, 0, 0, loops);
            0
        })
    }

    fn check(
        &mut self,
        value: ValueId,
        size: &IndexExpr,
        wrap: bool,
        mask: Option<ValueId>,
        site: usize,
        loops: Loops,
    ) -> Result<u64, InterpError> {
        if !self.is_on(mask) {
            return Ok(0);
        }
        let (value, size) = (self.get(value) as i64, self.eval(size)?);
        let index = if wrap && value < 0 { value.wrapping_add(size) } else { value };
        if (0..size).contains(&index) {
            return Ok(index as u64);
        }
        if size == 0 {
            return Err(InterpError::EmptyDimension { site });
        }
        self.record(site, value, size, loops);
        Ok(0)
    }

    fn record(&mut self, site: usize, value: i64, size: i64, loops: Loops) {
        let position = loops.outer.iter().chain(loops.inner).fold(0i64, |position, a| {
            position.wrapping_mul(self.extents[a.index()]).wrapping_add(self.axes[a.index()])
        });
        if self.error.is_none_or(|e| (position, site, value, size) < (e.position, e.site, e.value, e.size)) {
            self.error = Some(IndexError { site, position, value, size });
        }
    }

    fn store(
        &mut self,
        buffer: BufferId,
        index: &IndexExpr,
        value: ValueId,
        mask: Option<ValueId>,
        add: bool,
    ) -> Result<(), InterpError> {
        if !self.is_on(mask) {
            return Ok(());
        }
        let at = self.element(buffer, index)?;
        let mut bits = self.get(value);
        let array = &mut self.buffers[buffer.index()];
        if add {
            let p = if array.dtype == DType::Bool { Prim::Or } else { Prim::Add };
            let sum = prim::eval(p, array.dtype, array.dtype, &[array.get(at), bits]);
            bits = sum.expect("not a division of integers");
        }
        array.set(at, bits);
        Ok(())
    }

    fn get(&self, v: ValueId) -> u64 {
        self.values[v.index()]
    }

    fn is_on(&self, mask: Option<ValueId>) -> bool {
        mask.is_none_or(|m| self.get(m) != 0)
    }

    fn eval(&self, e: &IndexExpr) -> Result<i64, InterpError> {
        e.eval(self).ok_or_else(|| InterpError::Index(e.to_string()))
    }

    /// The element number of an access, known to lie within the buffer.
    fn element(&self, buffer: BufferId, index: &IndexExpr) -> Result<usize, InterpError> {
        let i = self.eval(index)?;
        let (len, origin) = (self.buffers[buffer.index()].len(), self.buffers[buffer.index()].origin);
        let at = i.checked_add(origin as i64).and_then(|at| usize::try_from(at).ok());
        at.filter(|&at| at < len).ok_or_else(|| InterpError::OutOfBounds {
            buffer: self.k.buffers[buffer.index()].name.clone(),
            index: i,
            len,
        })
    }

    /// Evaluates the extent of an axis that a loop is about to run.
    fn enter(&mut self, axis: AxisId) -> Result<i64, InterpError> {
        let extent = &self.k.axes[axis.index()];
        let n = self.eval(extent)?;
        if n < 0 {
            return Err(InterpError::Extent { expr: extent.to_string(), value: n });
        }
        self.extents[axis.index()] = n;
        Ok(n)
    }

    fn length(&self, e: &IndexExpr, dtype: DType) -> Result<usize, InterpError> {
        let value = self.eval(e)?;
        usize::try_from(value)
            .ok()
            .filter(|n| *n <= MAX_SCRATCH / dtype.size())
            .ok_or_else(|| InterpError::Extent { expr: e.to_string(), value })
    }
}

/// What scratch holds until it is stored to: NaN and -1, so that a read of it is seen in results.
const UNSTORED: u8 = 0xff;

fn row_buffers(k: &Kernel, phase: &Phase) -> Vec<BufferId> {
    let used = |b: BufferId| {
        phase.nests.iter().flat_map(|n| &n.body).any(|i| match i.op {
            Op::Load { buffer, .. } | Op::Store { buffer, .. } => buffer == b,
            _ => false,
        })
    };
    (0..k.buffers.len())
        .map(BufferId::new)
        .filter(|b| matches!(k.buffers[b.index()].kind, BufferKind::Row(_)) && used(*b))
        .collect()
}

/// True for instructions that may leave an error record.
pub fn is_site(op: &Op) -> bool {
    matches!(op, Op::Check { .. } | Op::Prim(Prim::IDiv | Prim::IRem, ..))
}

/// The value of a scalar function.
///
/// # Panics
/// When operands and dtype break the rules of `verify`.
pub fn call(func: Func, dtype: DType, args: &[u64]) -> u64 {
    let f32_of = |i: usize| f32::from_bits(args[i] as u32);
    let f64_of = |i: usize| f64::from_bits(args[i]);
    match dtype {
        DType::F32 => u64::from(match func.f32() {
            ScalarFn::Unary(f) => f(f32_of(0)).to_bits(),
            ScalarFn::Binary(f) => f(f32_of(0), f32_of(1)).to_bits(),
        }),
        DType::F64 => match func.f64() {
            ScalarFn::Unary(f) => f(f64_of(0)).to_bits(),
            ScalarFn::Binary(f) => f(f64_of(0), f64_of(1)).to_bits(),
        },
        _ => unreachable!("verified: a float dtype"),
    }
}

#[cfg(test)]
mod tests;
