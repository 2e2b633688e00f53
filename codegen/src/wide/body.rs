//! Straight-line lane code.

use super::Emitter;
use super::roots::roots_gain;
use super::val::{LaneTy, Lanes, Val};
use crate::error::CodegenError;
use crate::lane::{Access, LaneInst, LaneOp, Segment};
use iced_x86::Code;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::ValueId;
use rusttorch_ir::prim::Prim;
use std::collections::{HashMap, HashSet};

/// How often values are still to be read: tells which operand of an `fma` may be overwritten. Wrong
/// counts cost a move, never a result.
pub type Uses = HashMap<ValueId, u32>;

/// True for this constant.
fn is_number(v: &Val, number: i64) -> bool {
    matches!(v, Val::Const(l) if l.as_i64() == number)
}

/// The reads of a segment's body, those of its reductions and of later segments included.
pub fn count_uses(seg: &Segment) -> Uses {
    fn count(body: &[LaneInst], uses: &mut Uses) {
        for inst in body {
            inst.op.for_operands(&mut |v| *uses.entry(v).or_default() += 1);
            if let LaneOp::Cold { body, .. } = &inst.op {
                count(body, uses);
            }
        }
    }
    let mut uses = Uses::new();
    count(&seg.body, &mut uses);
    for v in seg.keeps.iter().chain(seg.reduces.iter().flat_map(|r| &r.args)) {
        *uses.entry(*v).or_default() += 1;
    }
    uses
}

/// What is emitted otherwise than instruction by instruction.
///
/// Selections of floats that are one instruction: `a > b ? a : b` is maxps, which gives b where they are unordered or
/// both zeros, and `a < b ? a : b` is minps.
#[derive(Default)]
struct Found {
    /// By the selection's result: the instruction, and its operands.
    selects: HashMap<ValueId, (Prim, ValueId, ValueId)>,
    /// Values that nothing else reads: they are not emitted.
    unread: HashSet<ValueId>,
    /// Operands of `a & b` by its result: where one is a constant, the result needs no limit to be an index of a table.
    masked: HashMap<ValueId, [ValueId; 2]>,
    /// Of those, what is an index of tables of one length, a power of two, and nothing else. Permutations read as
    /// many bits of it as they need.
    indices: HashMap<ValueId, usize>,
    /// Floats that become 16 bits for one store alone: it writes words.
    words: HashSet<ValueId>,
    /// float16 that becomes floats: its load converts it.
    floats: HashSet<ValueId>,
    /// `a | (b & c)` by its result, one instruction on AVX-512.
    merges: HashMap<ValueId, [ValueId; 3]>,
    /// Half of the square roots go beside the divider.
    roots: bool,
}

impl Emitter<'_> {
    pub fn define(&mut self, v: ValueId, x: Val) {
        self.copy.vals.insert(v, x);
    }

    /// Emits uniform code: values the same for all lanes, effects once.
    pub fn run_uniform(&mut self, code: &[LaneInst]) -> Result<(), CodegenError> {
        let n = std::mem::take(&mut self.n);
        let tail = self.tail.take();
        self.run(code, &mut Uses::new())?;
        (self.n, self.tail) = (n, tail);
        Ok(())
    }

    /// Emits a segment's body for the lanes in flight.
    pub fn body(&mut self, seg: &Segment) -> Result<(), CodegenError> {
        self.run(&seg.body, &mut count_uses(seg))
    }

    pub fn run(&mut self, code: &[LaneInst], uses: &mut Uses) -> Result<(), CodegenError> {
        let found = self.find(code, uses);
        code.iter().try_for_each(|inst| self.run_inst(inst, uses, &found))
    }

    /// The finds in `code`, of which `uses` has the reads to come. (Uniform code counts none.)
    fn find(&self, code: &[LaneInst], uses: &Uses) -> Found {
        let mut found = Found { roots: roots_gain(code), ..Found::default() };
        let mut compares = HashMap::new();
        let mut reads = Uses::new();
        let mut indexed = Uses::new();
        let whole = self.n > 0 && self.tail.is_none();
        let (mut loads, mut halves) = (HashSet::new(), HashSet::new());
        for inst in code {
            match &inst.op {
                LaneOp::Load { buffer, access: Access::Unit(_), mask: None }
                    if whole
                        && self.k.buffers[buffer.index()].dtype == DType::F16
                        && uses.get(&inst.results[0]) == Some(&1) =>
                {
                    loads.insert(inst.results[0]);
                }
                LaneOp::Prim(Prim::Convert, DType::F32, args) if loads.contains(&args[0]) => {
                    found.floats.insert(args[0]);
                }
                LaneOp::Prim(Prim::Convert, DType::F16 | DType::BF16, args)
                    if whole && self.k.dtype(args[0]) == DType::F32 && uses.get(&inst.results[0]) == Some(&1) =>
                {
                    halves.insert(inst.results[0]);
                }
                LaneOp::Store { access: Access::Unit(_), value, mask: None, add: false, .. }
                    if halves.contains(value) =>
                {
                    found.words.insert(*value);
                }
                LaneOp::Prim(p @ (Prim::Gt | Prim::Lt), t, args) if t.is_float() => {
                    compares.insert(inst.results[0], (*p, args[0], args[1]));
                }
                LaneOp::Prim(Prim::Select, _, args) => {
                    if let Some(&(p, a, b)) = compares.get(&args[0])
                        && args[1..] == [a, b]
                    {
                        let extreme = if p == Prim::Gt { Prim::Max } else { Prim::Min };
                        found.selects.insert(inst.results[0], (extreme, a, b));
                        *reads.entry(args[0]).or_default() += 1;
                    }
                }
                LaneOp::Prim(Prim::And, DType::I32, args) => {
                    found.masked.insert(inst.results[0], [args[0], args[1]]);
                }
                LaneOp::Prim(Prim::Or, DType::I32, args) if self.wide512 => {
                    let once = |v: &&ValueId| found.masked.contains_key(*v) && uses.get(*v) == Some(&1);
                    if let Some(&v) = args.iter().find(once) {
                        let [b, c] = found.masked[&v];
                        let a = if args[0] == v { args[1] } else { args[0] };
                        found.merges.insert(inst.results[0], [a, b, c]);
                        found.unread.insert(v);
                    }
                }
                LaneOp::Lookup(table, index)
                    if found.masked.contains_key(index)
                        && self.is_permutation(table, self.k.dtype(*index))
                        && table.len().is_power_of_two() =>
                {
                    let length = *found.indices.entry(*index).or_insert(table.len());
                    *indexed.entry(*index).or_default() += u32::from(length == table.len());
                }
                _ => {}
            }
        }
        found.unread.extend(reads.iter().filter(|(mask, n)| uses.get(mask) == Some(n)).map(|(mask, _)| *mask));
        found.indices.retain(|v, _| indexed.get(v) == uses.get(v));
        found
    }

    fn run_inst(&mut self, inst: &LaneInst, uses: &mut Uses, found: &Found) -> Result<(), CodegenError> {
        self.site = inst.site;
        inst.op.for_operands(&mut |v| {
            if let Some(n) = uses.get_mut(&v) {
                *n -= 1;
            }
        });
        if inst.results.first().is_some_and(|r| found.unread.contains(r)) {
            return Ok(());
        }
        let result = match &inst.op {
            LaneOp::Const(l) => Val::Const(*l),
            LaneOp::Scalar(s) => {
                let dtype = self.k.scalars[s.index()];
                let disp = 8 * self.layout.scalar(*s) as i32;
                Val::Uniform(self.load_uniform(dtype, super::vcode::A::Mem(self.frame, disp))?)
            }
            LaneOp::Index(access) => {
                let dtype = self.k.dtype(inst.results[0]);
                self.index_value(access, dtype)?
            }
            LaneOp::Prim(p, t, args) => {
                let from = self.k.dtype(args[0]);
                if let Some(&(extreme, a, b)) = found.selects.get(&inst.results[0]) {
                    let (a, b) = (self.val(a)?, self.val(b)?);
                    let x = self.extreme(extreme, LaneTy::of(*t), a, b);
                    self.define(inst.results[0], x);
                    return Ok(());
                }
                if let Some(merge) = found.merges.get(&inst.results[0]) {
                    let [a, b, c] = merge.map(|v| self.val(v));
                    let x = self.or_and(a?, b?, c?);
                    self.define(inst.results[0], x);
                    return Ok(());
                }
                let vals = args.iter().map(|&a| self.val(a)).collect::<Result<Vec<_>, _>>()?;
                if *p == Prim::Convert && found.floats.contains(&args[0]) {
                    self.define(inst.results[0], vals[0].clone());
                    return Ok(());
                }
                if found.words.contains(&inst.results[0]) {
                    let floats = self.registers(from, &vals[0])?;
                    let parts = self.float_to_words(*t, &floats.parts);
                    self.define(inst.results[0], Val::Lanes(Lanes { ty: LaneTy::Words, parts }));
                    return Ok(());
                }
                if let Some(&length) = found.indices.get(&inst.results[0])
                    && let Some(i) = vals.iter().position(|v| is_number(v, length as i64 - 1))
                {
                    self.define(inst.results[0], vals[1 - i].clone());
                    return Ok(());
                }
                if found.roots
                    && (*p, *t) == (Prim::Sqrt, DType::F32)
                    && let Some(roots) = self.roots_by_turns(&vals[0])?
                {
                    roots
                } else if matches!(p, Prim::IDiv | Prim::IRem) {
                    self.divide_lanes(*p, *t, &vals)?
                } else {
                    let dead = |a: &ValueId| uses.get(a) == Some(&0);
                    let dies: Vec<bool> =
                        args.iter().zip(&vals).map(|(a, v)| matches!(v, Val::Lanes(_)) && dead(a)).collect();
                    self.prim(*p, *t, from, &vals, &dies)?
                }
            }
            LaneOp::Call(f, args) => {
                let vals = args.iter().map(|&a| self.val(a)).collect::<Result<Vec<_>, _>>()?;
                self.library_call(*f, self.k.dtype(inst.results[0]), &vals)?
            }
            LaneOp::Lookup(table, index) => {
                let v = self.val(*index)?;
                let last = table.len() as i64 - 1;
                let limits =
                    |a: &ValueId| matches!(self.val(*a), Ok(Val::Const(l)) if (0..=last).contains(&l.as_i64()));
                let inside = found.masked.get(index).is_some_and(|args| args.iter().any(limits));
                self.lookup(table, self.k.dtype(*index), &v, inside)?
            }
            LaneOp::Load { buffer, access: Access::Unit(e), .. } if found.floats.contains(&inst.results[0]) => {
                self.load_floats(*buffer, e)?
            }
            LaneOp::Load { buffer, access, mask } => self.load(*buffer, access, *mask)?,
            LaneOp::Store { buffer, access, value, mask, add } => {
                let v = self.val(*value)?;
                return self.store(*buffer, access, &v, *mask, *add);
            }
            LaneOp::Check { value, size, wrap, mask } => {
                let v = self.val(*value)?;
                self.check(self.k.dtype(*value), &v, size, *wrap, *mask)?
            }
            LaneOp::Cold { mask, body, slow, fast } => return self.cold(inst, *mask, body, slow, fast, uses),
        };
        self.define(inst.results[0], result);
        Ok(())
    }

    /// A value with a register for every part; with one, in uniform code.
    pub fn registers(&mut self, dtype: DType, v: &Val) -> Result<Lanes, CodegenError> {
        let ty = LaneTy::of(dtype);
        if self.n > 0 {
            let lanes = self.spread(dtype, v)?;
            let parts = if ty.is_mask() { self.mask_as(&lanes, ty) } else { lanes.parts };
            return Ok(Lanes { ty, parts });
        }
        let part = if ty.is_mask() { self.uniform_mask(v, ty) } else { self.part_reg(v, 0) };
        Ok(Lanes { ty, parts: vec![part] })
    }

    fn cold(
        &mut self,
        inst: &LaneInst,
        mask: ValueId,
        body: &[LaneInst],
        slow: &[ValueId],
        fast: &[ValueId],
        uses: &mut Uses,
    ) -> Result<(), CodegenError> {
        let mask = self.val(mask)?;
        let flags = match &mask {
            Val::Lanes(m) | Val::Uniform(m) => m.clone(),
            Val::Const(_) => Lanes { ty: LaneTy::Mask32, parts: vec![self.uniform_mask(&mask, LaneTy::Mask32)] },
        };
        let mut fast_lanes = Vec::new();
        for &v in fast {
            let x = self.val(v)?;
            fast_lanes.push(self.registers(self.k.dtype(v), &x)?);
        }
        let (needed, skip, join) = (self.c.cold_block(), self.c.block(), self.c.block());
        let results: Vec<Lanes> = fast_lanes
            .iter()
            .map(|l| {
                let class = self.class(l.ty);
                Lanes { ty: l.ty, parts: l.parts.iter().map(|_| self.c.param(join, class)).collect() }
            })
            .collect();
        self.test_any(&flags);
        self.c.branch(Code::Jne_rel32_64, needed, skip);
        self.c.enter(needed);
        let outer = std::mem::replace(&mut self.c.cold, true);
        // The results' reads are still to come for what is found in the body.
        let reads = |uses: &mut Uses, by: fn(u32) -> u32| {
            for v in slow {
                uses.entry(*v).and_modify(|n| *n = by(*n));
            }
        };
        reads(uses, |n| n + 1);
        self.run(body, uses)?;
        reads(uses, |n| n - 1);
        self.c.cold = outer;
        let mut merged = Vec::new();
        for (&s, f) in slow.iter().zip(&fast_lanes) {
            let dtype = self.k.dtype(s);
            let x = self.val(s)?;
            let f = if self.n > 0 { Val::Lanes(f.clone()) } else { Val::Uniform(f.clone()) };
            let v = self.merge(dtype, &mask, &x, &f)?;
            merged.extend(self.registers(dtype, &v)?.parts);
        }
        self.c.jump(join, &merged);
        // What the cold block made does not reach beyond it. (A copy of all values would take long, where there are many such blocks.)
        for v in body.iter().flat_map(|i| &i.results) {
            self.copy.vals.remove(v);
        }
        self.c.enter(skip);
        let parts: Vec<_> = fast_lanes.iter().flat_map(|l| l.parts.clone()).collect();
        self.c.jump(join, &parts);
        self.c.enter(join);
        for (&r, lanes) in inst.results.iter().zip(results) {
            self.define(r, if self.n > 0 { Val::Lanes(lanes) } else { Val::Uniform(lanes) });
        }
        Ok(())
    }
}
