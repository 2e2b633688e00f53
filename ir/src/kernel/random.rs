//! Random valid kernels with arguments that fit them, for differential tests.
//!
//! What a kernel reads is always determined: addresses lie within their buffers for the symbols that
//! come with it, scratch is read only where it was stored, outer points touch different elements of
//! what they write. The sign and payload of a NaN are not determined, so where they could be seen (a
//! bitcast to an integer, the sign operand of copysign) NaN is replaced by a number first.

mod bytes;
mod memory;
mod rng;

pub use rng::Rng;

use super::interp::Array;
use super::{Func, Inst, Kernel, Nest, Op, Order, Phase, Reduction};
use crate::dtype::{DType, Literal};
use crate::id::{AxisId, BufferId, ScalarId, SymId, ValueId};
use crate::index::IndexExpr;
use crate::prim::{Prim, Typing};

/// The dtypes of most kernels. Half of the random ones keep to them.
const COMMON: [DType; 6] = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::Bool];
/// Those of rows that may run together.
const NARROW: [DType; 5] = [DType::F32, DType::I32, DType::U8, DType::Bool, DType::BF16];
/// Points of all loops around a body.
const MAX_POINTS: i64 = 6000;
/// Elements of an argument.
const MAX_ELEMENTS: i64 = 1 << 16;
/// Ids of scratch buffers until all arguments are known.
const SCRATCH: usize = 1 << 20;

/// A kernel and what to run it with.
#[derive(Clone, Debug)]
pub struct Case {
    /// Valid.
    pub kernel: Kernel,
    /// Its symbols.
    pub syms: Vec<i64>,
    /// Its scalars.
    pub scalars: Vec<Literal>,
    /// Elements of every argument, exactly as many as it may touch.
    pub lengths: Vec<usize>,
}

impl Case {
    /// Random arguments.
    pub fn args(&self, seed: u64) -> Vec<Array> {
        let mut rng = Rng::new(seed);
        self.lengths.iter().zip(&self.kernel.buffers).map(|(&n, b)| rng.array(b.dtype, n)).collect()
    }
}

/// The kernel of a seed; one in eight is a map of bytes.
pub fn random_kernel(seed: u64) -> Case {
    if seed % 8 == 7 {
        return bytes::random_map(seed);
    }
    let mut g = Generator {
        rng: Rng::new(seed),
        dtypes: if seed % 4 < 2 { &COMMON } else { &DType::ALL },
        k: Kernel { name: format!("random_{seed}"), ..Kernel::default() },
        syms: Vec::new(),
        scalars: Vec::new(),
        args: Vec::new(),
        scratch: Vec::new(),
        readable: Vec::new(),
        last: Vec::new(),
        outer: Vec::new(),
        inner: Vec::new(),
        row: None,
        pool: Vec::new(),
        indices: Vec::new(),
        code: Vec::new(),
    };
    for _ in 0..g.rng.pick(&[1, 1, 1, 2, 3]) {
        g.phase();
    }
    g.finish()
}

struct Generator {
    rng: Rng,
    dtypes: &'static [DType],
    k: Kernel,
    syms: Vec<i64>,
    scalars: Vec<Literal>,
    /// Arguments, each with its elements.
    args: Vec<(super::Buffer, i64)>,
    scratch: Vec<super::Buffer>,
    /// Scratch that is stored to everywhere, with its length, for the phase or for later phases.
    readable: Vec<(BufferId, IndexExpr)>,
    /// The largest value of every axis.
    last: Vec<i64>,
    outer: Vec<AxisId>,
    inner: Vec<AxisId>,
    /// The extent of all nests' axes, where rows may run together: what could keep them from it is rare then.
    row: Option<IndexExpr>,
    /// Visible values.
    pool: Vec<ValueId>,
    /// Visible results of `check`, with their largest value.
    indices: Vec<(ValueId, i64)>,
    code: Vec<Inst>,
}

impl Generator {
    fn finish(mut self) -> Case {
        let args = self.args.len();
        for inst in self.k.phases.iter_mut().flat_map(|p| &mut p.nests).flat_map(|n| &mut n.body) {
            if let Op::Load { buffer, .. } | Op::Store { buffer, .. } = &mut inst.op
                && buffer.index() >= SCRATCH
            {
                *buffer = BufferId::new(buffer.index() - SCRATCH + args);
            }
        }
        let lengths = self.args.iter().map(|(_, n)| *n as usize).collect();
        self.k.buffers = self.args.into_iter().map(|(b, _)| b).chain(self.scratch).collect();
        Case { kernel: self.k, syms: self.syms, scalars: self.scalars, lengths }
    }

    fn phase(&mut self) {
        let rank = self.rng.pick(&[0, 1, 1, 1, 2, 2]);
        self.outer.clear();
        self.row = None;
        for _ in 0..rank {
            let a = self.axis(&[]);
            self.outer.push(a);
        }
        let n: i64 = self.rng.pick(&[31, 32, 32, 64, 96, 128]);
        self.row = (rank > 0 && self.rng.one_in(4) && self.points() * n <= MAX_POINTS)
            .then(|| if self.rng.one_in(2) { IndexExpr::Sym(self.sym(n)) } else { IndexExpr::Const(n) });
        self.pool.clear();
        self.indices.clear();
        let (mut nests, mut stored) = (Vec::new(), Vec::new());
        let before = self.readable.len();
        let count = self.rng.pick(&[1, 1, 2, 3, 4]);
        for n in 0..count {
            nests.push(self.nest(n + 1 == count, &mut stored));
        }
        // Rows go out of scope, temporaries of this phase can be read from the next on.
        self.readable.truncate(before);
        self.readable.append(&mut stored);
        self.k.phases.push(Phase { axes: self.outer.clone(), nests });
    }

    fn nest(&mut self, last: bool, temps: &mut Vec<(BufferId, IndexExpr)>) -> Nest {
        let rank = self.rng.pick(if self.row.is_some() { &[0, 1, 1, 1, 1] } else { &[0, 1, 1, 1, 2] });
        self.inner.clear();
        for _ in 0..rank {
            let around = [self.outer.clone(), self.inner.clone()].concat();
            let a = self.axis(&around);
            self.inner.push(a);
        }
        let (pool, indices) = (self.pool.len(), self.indices.len());
        for _ in 0..2 + self.rng.below(12) {
            self.step();
        }
        self.store();
        if !last && self.rng.one_in(2) {
            self.store_row();
        } else if self.rng.one_in(4) {
            temps.extend(self.store_temp());
        }
        let mut reduced = Vec::new();
        if rank > 0 {
            for _ in 0..self.rng.pick(&[0, 1, 1, 2]) {
                reduced.extend(self.reduce());
            }
            self.pool.truncate(pool);
            self.indices.truncate(indices);
        }
        self.pool.append(&mut reduced);
        Nest { axes: self.inner.clone(), body: std::mem::take(&mut self.code) }
    }

    /// Points of the loops around the current place, at most.
    fn points(&self) -> i64 {
        self.outer.iter().chain(&self.inner).map(|a| self.last[a.index()] + 1).product()
    }

    /// A new axis inside of these.
    fn axis(&mut self, around: &[AxisId]) -> AxisId {
        if let Some(extent) = self.row.clone() {
            let (_, high) = self.range(&extent).expect("small numbers");
            self.last.push(high - 1);
            return self.k.add_axis(extent);
        }
        let n: i64 = self.rng.pick(&[1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 33, 40, 64, 70, 100]);
        let n = if self.rng.one_in(40) { 0 } else { n.min(MAX_POINTS / self.points().max(1)).max(1) };
        let n = if self.rng.one_in(60) && self.points() == 1 { 4096 + n } else { n };
        let extent = match self.rng.below(8) {
            0..=3 => IndexExpr::Sym(self.sym(n)),
            4 if n > 1 => IndexExpr::Sym(self.sym(n)).min(IndexExpr::Const(n - 1)),
            5 if !around.is_empty() => {
                // Not beyond n: a triangle.
                let a = self.rng.pick(around);
                (IndexExpr::Axis(a) + IndexExpr::Const(1)).min(IndexExpr::Const(n))
            }
            _ => IndexExpr::Const(n),
        };
        let (_, high) = self.range(&extent).expect("small numbers");
        self.last.push((high - 1).max(0));
        self.k.add_axis(extent)
    }

    fn sym(&mut self, value: i64) -> SymId {
        if let Some(s) = self.syms.iter().position(|v| *v == value) {
            return SymId::new(s);
        }
        self.syms.push(value);
        self.k.add_sym()
    }

    fn range(&self, e: &IndexExpr) -> Option<(i64, i64)> {
        e.range(&|a| (0, self.last[a.index()]), &|s| self.syms[s.index()], &|v| {
            (0, self.indices.iter().find(|(i, _)| *i == v).map_or(0, |(_, last)| *last))
        })
    }

    fn axes(&self) -> Vec<AxisId> {
        [&self.outer[..], &self.inner].concat()
    }

    /// A random expression in `[0, MAX_ELEMENTS)`, and its largest value.
    fn index(&mut self) -> (IndexExpr, i64) {
        let mut e = IndexExpr::Const(self.rng.pick(&[0, 0, 0, 1, 5]));
        // Often the axes row-major, so that the last one is contiguous.
        if self.rng.one_in(2) {
            e = e + self.flat(&self.axes()).0;
        } else {
            for a in self.axes() {
                let c = self.rng.pick(&[0, 1, 1, 2, 3, 7, -1, 17]);
                let c = if self.rng.one_in(4) && c > 0 { IndexExpr::Sym(self.sym(c)) } else { IndexExpr::Const(c) };
                e = e + c * IndexExpr::Axis(a);
            }
        }
        let last_index = self.indices.last().copied();
        if let Some((v, _)) = last_index
            && self.rng.one_in(2)
        {
            e = e + IndexExpr::Value(v);
        }
        let d = IndexExpr::Const(self.rng.pick(&[1, 2, 3, 4, 8]));
        match self.rng.below(10) {
            0 => e = e.floor_div(d),
            1 => e = e.modulo(d * IndexExpr::Const(4)),
            2 => e = e.min(IndexExpr::Const(20)),
            3 => e = e.max(d),
            _ => {}
        }
        let (mut low, mut high) = self.range(&e).expect("small numbers");
        if low < 0 && self.rng.one_in(2) {
            // The same steps, from far enough up.
            e = e + IndexExpr::Const(-low);
            (low, high) = (0, high - low);
        }
        if low < 0 || high >= MAX_ELEMENTS {
            e = e.modulo(IndexExpr::Const(101));
            return (e, 100);
        }
        (e, high)
    }

    /// The axes row-major: the index, and the number of elements it covers without gaps; None when
    /// an extent depends on an axis.
    fn flat(&self, axes: &[AxisId]) -> (IndexExpr, Option<IndexExpr>) {
        let (mut index, mut length) = (IndexExpr::Const(0), Some(IndexExpr::Const(1)));
        for &a in axes {
            let extent = &self.k.axes[a.index()];
            let step = if extent.is_uniform() { extent.clone() } else { IndexExpr::Const(self.last[a.index()] + 1) };
            index = index * step.clone() + IndexExpr::Axis(a);
            length = length.filter(|_| extent.is_uniform()).map(|l| l * step);
        }
        (index, length)
    }

    fn emit(&mut self, dtype: DType, op: Op) -> ValueId {
        let v = self.k.add_value(dtype);
        self.code.push(Inst { results: vec![v], op });
        self.pool.push(v);
        v
    }

    fn prim(&mut self, p: Prim, t: DType, args: Vec<ValueId>) -> ValueId {
        self.emit(if p.is_compare() { DType::Bool } else { t }, Op::Prim(p, t, args))
    }

    fn constant(&mut self, l: Literal) -> ValueId {
        self.emit(l.dtype, Op::Const(l))
    }

    /// A visible value of this dtype, lately made ones more often; made when there is none.
    fn value(&mut self, dtype: DType) -> ValueId {
        let fit: Vec<ValueId> = self.pool.iter().copied().filter(|v| self.k.dtype(*v) == dtype).collect();
        if !fit.is_empty() && !self.rng.one_in(10) {
            let from = if self.rng.one_in(2) { fit.len().saturating_sub(3) } else { 0 };
            return self.rng.pick(&fit[from..]);
        }
        match self.rng.below(3) {
            0 => {
                let l = self.rng.literal(dtype);
                self.constant(l)
            }
            1 if !self.pool.is_empty() => {
                let v = self.rng.pick(&self.pool.clone());
                self.converted(v, dtype)
            }
            _ => {
                self.k.scalars.push(dtype);
                let l = self.rng.literal(dtype);
                self.scalars.push(l);
                self.emit(dtype, Op::Scalar(ScalarId::new(self.scalars.len() - 1)))
            }
        }
    }

    /// The value as this dtype; between f16, bf16 and others by way of f32.
    fn converted(&mut self, v: ValueId, dtype: DType) -> ValueId {
        let from = self.k.dtype(v);
        let by_f32 = (from.is_half() || dtype.is_half()) && from != dtype;
        let v = if by_f32 && from != DType::F32 { self.prim(Prim::Convert, DType::F32, vec![v]) } else { v };
        if by_f32 && dtype == DType::F32 { v } else { self.prim(Prim::Convert, dtype, vec![v]) }
    }

    fn dtype(&mut self) -> DType {
        // f32 is what most kernels are made of.
        match (&self.row, self.rng.one_in(2)) {
            (_, true) => DType::F32,
            (None, false) => self.rng.pick(self.dtypes),
            (Some(_), false) => self.rng.pick(&NARROW),
        }
    }

    /// One more instruction, and what it needs.
    fn step(&mut self) {
        let what = self.rng.below(16);
        match what {
            6 if self.row.is_some() => self.lookup(),
            7..=8 if self.row.is_some() => self.any_prim(false),
            0..=3 => self.load(),
            4 => self.masked_load(),
            5 => self.scratch_load(),
            6 => self.indirect_load(),
            7 => {
                let (e, _) = self.index();
                let d = self.rng.pick(&[DType::I32, DType::I64]);
                self.emit(d, Op::Index(e));
            }
            8 => self.call_or_lookup(),
            9 => self.cold(),
            _ => self.any_prim(self.row.is_none()),
        }
    }

    fn any_prim(&mut self, sites: bool) {
        let p = self.rng.pick(Prim::ALL);
        let t = self.dtype();
        let fits = match p.typing() {
            Typing::Select | Typing::Convert => true,
            _ if t.is_half() => false,
            Typing::Float => t.is_float(),
            Typing::Number => t != DType::Bool,
            Typing::Bits => !t.is_float(),
            Typing::Int => t.is_int(),
            Typing::Compare => true,
            Typing::Bitcast => t.size() >= 4,
        };
        if !fits || (!sites && matches!(p, Prim::IDiv | Prim::IRem)) {
            return;
        }
        let mut args: Vec<ValueId> = match p.typing() {
            Typing::Select => vec![self.value(DType::Bool), self.value(t), self.value(t)],
            Typing::Convert => {
                let from = self.dtype();
                let v = self.value(from);
                self.converted(v, t);
                return;
            }
            Typing::Bitcast => {
                let from = match t {
                    DType::F32 => DType::I32,
                    DType::I32 => DType::F32,
                    DType::F64 => DType::I64,
                    _ => DType::F64,
                };
                vec![self.value(from)]
            }
            Typing::Float | Typing::Number | Typing::Bits | Typing::Int | Typing::Compare => {
                (0..p.arity()).map(|_| self.value(t)).collect()
            }
        };
        match p {
            Prim::Bitcast if !t.is_float() => args[0] = self.no_nan(args[0]),
            Prim::CopySign => args[1] = self.no_nan(args[1]),
            Prim::Or if t == DType::I32 && self.rng.one_in(2) => {
                let b = self.value(t);
                args[0] = self.prim(Prim::And, t, vec![args[0], b]);
            }
            Prim::Shl | Prim::Shr | Prim::Lshr if !self.rng.one_in(4) => {
                let n = self.rng.below(8 * t.size());
                args[1] = self.constant(Literal::int(t, n as i64));
            }
            // Mostly no division by zero.
            Prim::IDiv | Prim::IRem if !self.rng.one_in(6) => {
                let one = self.constant(Literal::int(t, 1));
                args[1] = self.prim(Prim::Or, t, vec![args[1], one]);
            }
            _ => {}
        }
        self.prim(p, t, args);
    }

    /// The float, or -1.5 for NaN.
    fn no_nan(&mut self, v: ValueId) -> ValueId {
        let t = self.k.dtype(v);
        let is_nan = self.prim(Prim::Ne, t, vec![v, v]);
        let number = self.constant(Literal::float(t, -1.5));
        self.prim(Prim::Select, t, vec![is_nan, number, v])
    }

    fn call_or_lookup(&mut self) {
        if self.rng.one_in(2) {
            let t = self.rng.pick(&[DType::F32, DType::F64]);
            let func = self.rng.pick(Func::ALL);
            let args = (0..func.arity()).map(|_| self.value(t)).collect();
            self.emit(t, Op::Call { func, args });
        } else {
            self.lookup();
        }
    }

    /// Tables of any length, by any index; or one or two whose length is a power of two, by a remainder.
    fn lookup(&mut self) {
        let d = self.rng.pick(&[DType::I32, DType::I64]);
        let mut index = self.value(d);
        let (mut n, mut tables) = (1 + self.rng.below(32), 1);
        if self.rng.one_in(2) {
            n = 1 << self.rng.below(6);
            tables += self.rng.below(2);
            let last = self.constant(Literal::int(d, n as i64 - 1));
            index = self.prim(Prim::And, d, vec![index, last]);
        }
        for _ in 0..tables {
            let t = self.dtype();
            let table = (0..n).map(|_| self.rng.literal(t)).collect();
            self.emit(t, Op::Lookup { table, index });
        }
    }

    fn cold(&mut self) {
        let t = self.dtype();
        let (mask, fast) = (self.value(DType::Bool), self.value(t));
        let visible = self.pool.len();
        let outside = std::mem::take(&mut self.code);
        for _ in 0..1 + self.rng.below(5) {
            if self.rng.one_in(6) {
                self.lookup();
            } else {
                self.any_prim(false);
            }
        }
        if self.rng.one_in(6) {
            self.cold();
        }
        let slow = self.value(t);
        let body = std::mem::replace(&mut self.code, outside);
        self.pool.truncate(visible);
        self.emit(t, Op::Cold { mask, body, slow: vec![slow], fast: vec![fast] });
    }

    /// A reduction; its results are visible after the nest.
    fn reduce(&mut self) -> Vec<ValueId> {
        let (mut kind, mut order) = (self.rng.pick(&Reduction::NAMES).0, self.rng.pick(&[Order::Lanes, Order::Rows]));
        if self.row.is_some() && !self.rng.one_in(20) {
            kind =
                self.rng.pick(&[Reduction::Sum, Reduction::Prod, Reduction::Max, Reduction::Min, Reduction::Moments]);
            order = Order::Lanes;
        }
        let t = match kind {
            Reduction::Any | Reduction::All => DType::Bool,
            Reduction::Xor => match self.dtype() {
                t if t.is_float() => DType::I32,
                t => t,
            },
            Reduction::Moments if self.row.is_some() => DType::F32,
            Reduction::Moments => self.rng.pick(&[DType::F32, DType::F64]),
            Reduction::Sum
            | Reduction::Prod
            | Reduction::Max
            | Reduction::Min
            | Reduction::ArgMax
            | Reduction::ArgMin => match self.dtype().compute() {
                DType::Bool => DType::I32,
                t => t,
            },
        };
        let mut args = vec![self.value(t)];
        let mut dtypes = vec![t; kind.results()];
        if kind.arity() == 2 {
            let d = self.rng.pick(&[DType::I32, DType::I64]);
            let flat = self.flat(&self.inner).0;
            args.push(self.emit(d, Op::Index(flat)));
            dtypes[1] = d;
        }
        let results: Vec<ValueId> = dtypes.into_iter().map(|d| self.k.add_value(d)).collect();
        self.code.push(Inst { results: results.clone(), op: Op::Reduce { kind, order, args } });
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::expand::expand_moments;
    use crate::kernel::interp::run;
    use crate::kernel::parse::parse;
    use crate::kernel::simplify::simplify;
    use crate::kernel::verify::verify;

    /// What the kernel leaves of random arguments, and the error record without its site.
    fn outcome(case: &Case, k: &Kernel, seed: u64) -> (Vec<Array>, Option<(i64, i64, i64)>) {
        let mut args = case.args(seed);
        let error = run(k, &case.syms, &case.scalars, &mut args).unwrap_or_else(|e| panic!("{e}\n{k}"));
        (args, error.map(|e| (e.position, e.value, e.size)))
    }

    fn assert_same(case: &Case, changed: &Kernel, seed: u64) {
        verify(changed).unwrap_or_else(|e| panic!("{e:?}\n{}\n{changed}", case.kernel));
        let (want, error) = outcome(case, &case.kernel, seed);
        let (got, got_error) = outcome(case, changed, seed);
        assert_eq!(error, got_error, "{}\n{changed}", case.kernel);
        for (i, (w, g)) in want.iter().zip(&got).enumerate() {
            if let Some(at) = w.first_difference(g) {
                panic!("a{i}[{at}]: {:#x} became {:#x}\n{}\n{changed}", w.get(at), g.get(at), case.kernel);
            }
        }
    }

    #[test]
    fn random_kernels_are_valid_and_changes_keep_their_bits() {
        for seed in 0..150 {
            let case = random_kernel(seed);
            verify(&case.kernel).unwrap_or_else(|e| panic!("{e:?}\n{}", case.kernel));
            let text = case.kernel.to_string();
            assert_eq!(parse(&text).as_ref(), Ok(&case.kernel), "{text}");

            let mut simple = case.kernel.clone();
            simplify(&mut simple);
            assert_same(&case, &simple, seed);
            let mut twice = simple.clone();
            simplify(&mut twice);
            assert_eq!(simple, twice, "{simple}\n{twice}");

            assert_same(&case, &expand_moments(&case.kernel), seed);
            assert_same(&case, &expand_moments(&simple), seed);
        }
    }
}
