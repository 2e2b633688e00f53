//! argmax and argmin over an index that grows along the lanes: the common case, and the fast one.
//!
//! Within a chunk the accumulators are a value and the number of its element in the chunk, in lanes of
//! the value's width; the vectors of an iteration share one vector of numbers, each adds its place at the end.
//! Elements come in order, so an element is taken only where it is better, or where it is a NaN and what is
//! held is none: ties keep the lower index by themselves. An element equal to the identity is never taken:
//! lanes begin at the number of their first element. At the end of the chunk the lanes are folded, and one
//! number becomes an index: which element is best does not depend on the order in which they meet.

use super::Emitter;
use super::body::count_uses;
use super::compare::{EQUAL, NOT_GREATER_EQUAL, NOT_LESS_EQUAL, ORDERED, UNORDERED};
use super::reduce::State;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{INT, VEC};
use crate::error::CodegenError;
use crate::lane::{Access, LaneInst, LaneOp, Segment, identity};
use crate::schedule::visit_insts;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::AxisId;
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::Reduction;
use rusttorch_ir::prim::Prim;

/// The index of an arg reduction, where it grows along the lanes.
pub struct Growing<'a> {
    e: &'a IndexExpr,
    step: i64,
    /// The body without it.
    body: Vec<LaneInst>,
    /// Whether the value is needed too, not the index alone.
    value: bool,
}

/// Whether a segment is one arg reduction over a growing index.
pub fn growing<'a>(k: &rusttorch_ir::kernel::Kernel, seg: &'a Segment) -> Option<Growing<'a>> {
    let [r] = seg.reduces.as_slice() else { return None };
    if !matches!(r.kind, Reduction::ArgMax | Reduction::ArgMin) || k.dtype(r.args[0]) == DType::Bool || seg.serial {
        return None;
    }
    let index = r.args[1];
    let inst = seg.body.iter().find(|i| i.results.contains(&index))?;
    // Nothing else reads it.
    if count_uses(seg).get(&index) != Some(&1) {
        return None;
    }
    let (e, step) = match &inst.op {
        LaneOp::Index(Access::Unit(e)) => (e, 1),
        LaneOp::Index(Access::Strided(e, IndexExpr::Const(c))) if *c > 0 => (e, *c),
        _ => return None,
    };
    let body = seg.body.iter().filter(|i| !i.results.contains(&index)).cloned().collect();
    let mut value = false;
    for nest in k.phases.iter().flat_map(|p| &p.nests) {
        visit_insts(&nest.body, &mut |i| i.op.for_operands(&mut |v| value |= v == r.results[0]));
    }
    Some(Growing { e, step, body, value })
}

impl Emitter<'_> {
    /// The best of a chunk of at most `LANES_CHUNK` elements, and its index; both uniform.
    pub fn arg_run(
        &mut self,
        seg: &Segment,
        g: &Growing,
        axis: AxisId,
        begin: VReg,
        end: VReg,
        s: &State,
    ) -> Result<Vec<Val>, CodegenError> {
        let r = &seg.reduces[0];
        let (t, index_type) = (s.dtypes[0], s.dtypes[1]);
        let ty = LaneTy::of(t);
        let int = if ty.is_64() { LaneTy::I64 } else { LaneTy::I32 };
        let inner = Segment { body: g.body.clone(), reduces: vec![], ..seg.clone() };
        self.lane_axis = Some(axis);
        self.scope.push(axis);
        self.n = s.lanes;
        let parts = self.parts(ty);
        let start = self.spread(t, &Val::Const(identity(r.kind, 0, t)))?.parts;
        let first = self.lane_numbers(int);
        let mut from = vec![begin, first];
        from.extend(start);
        from.extend(vec![first; parts]);
        for masked in [false, true] {
            self.c.brief = masked;
            let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
            let k = self.c.param(head, INT);
            let params: Vec<VReg> = (1..from.len()).map(|_| self.c.param(head, VEC)).collect();
            let (current, best, at) = (params[0], params[1..=parts].to_vec(), params[parts + 1..].to_vec());
            let last = if masked { end } else { self.add_imm(end, 1 - s.lanes as i64) };
            self.c.jump(head, &from);
            self.c.enter(head);
            self.compare(k, last);
            self.c.branch(Code::Jl_rel32_64, inside, after);
            self.c.enter(inside);
            self.axes.insert(axis, k);
            let step = |e: &mut Self| -> Result<(Vec<VReg>, Vec<VReg>), CodegenError> {
                e.body(&inner)?;
                let x = e.val(r.args[0])?;
                let x = e.spread(t, &x)?.parts;
                let tail = e.tail.clone().map(|t| e.mask_as(&t.mask, ty.mask()));
                let mut out = (Vec::new(), Vec::new());
                for i in 0..parts {
                    let mut take = e.better(r.kind, t, ty, best[i], x[i]);
                    if let Some(tail) = &tail {
                        take = e.mask_and(take, tail[i]);
                    }
                    out.0.push(e.blend(ty, take, Src::Reg(x[i]), best[i]));
                    out.1.push(e.blend(int, take, Src::Reg(current), at[i]));
                }
                Ok(out)
            };
            let (values, numbers) = if masked {
                let left = self.sub(end, k);
                self.with_tail(s.lanes, left, step)?
            } else {
                step(self)?
            };
            let next = self.add_imm(k, s.lanes as i64);
            let ahead = self.int_const(int, s.lanes as i64);
            let current = self.add_int(int, current, ahead);
            let mut args = vec![next, current];
            args.extend(values);
            args.extend(numbers);
            self.c.jump(head, &args);
            self.c.enter(after);
            from = std::iter::once(k).chain(self.after_loop(&params)).collect();
        }
        self.c.brief = false;
        self.scope.pop();
        let (values, numbers) = from[2..].split_at(parts);
        let lanes = Val::Lanes(Lanes { ty, parts: values.to_vec() });
        let placed = |(i, &number): (usize, &VReg)| match i {
            0 => number,
            _ => {
                let ahead = self.int_const(int, (i * self.lanes_of(ty)) as i64);
                self.add_int(int, number, ahead)
            }
        };
        let numbers = Val::Lanes(Lanes { ty: int, parts: numbers.iter().enumerate().map(placed).collect() });
        // All lanes at once, while numbers are narrow. Lanes that had no element hold the identity and a
        // number above all others.
        let best = match (lanes, numbers) {
            (Val::Lanes(values), Val::Lanes(numbers)) if !int.is_64() => {
                self.best_of_lanes(r.kind, t, s.lanes, (&values, &numbers), g.value)?
            }
            (lanes, numbers) => self.fold_lanes(r.kind, &[t, DType::I64], s.lanes, vec![lanes, numbers])?,
        };
        self.n = 0;
        let index = self.number_to_index(g, index_type, begin, &best[1])?;
        self.lane_axis = Some(axis);
        Ok(vec![best[0].clone(), index])
    }

    /// The best of `n` lanes of 32 bits and the lowest number of those that equal it: folds of one value
    /// each, which are shorter than a fold of pairs. Unless it is to be `exact`, the best is any that equals it.
    fn best_of_lanes(
        &mut self,
        kind: Reduction,
        t: DType,
        n: usize,
        (values, numbers): (&Lanes, &Lanes),
        exact: bool,
    ) -> Result<Vec<Val>, CodegenError> {
        let (ty, int) = (values.ty, numbers.ty);
        let most = if kind == Reduction::ArgMax { Reduction::Max } else { Reduction::Min };
        let most = self.fold_lanes(most, &[t], n, vec![Val::Lanes(values.clone())])?;
        let most = self.part_reg(&most[0], 0);
        let none = self.int_const(int, i64::from(i32::MAX));
        let none = self.load_pool(none, false);
        let each = values.parts.iter().zip(&numbers.parts);
        let hits = each.clone().map(|(&x, &number)| {
            let hit = if t.is_float() {
                // Where one is a NaN, so is the best.
                let equal = self.compare_float(ty, x, Src::Reg(most), EQUAL);
                let nan = self.compare_float(ty, x, Src::Reg(x), UNORDERED);
                self.mask_or(equal, nan)
            } else {
                self.compare_int(Prim::Eq, ty, x, Src::Reg(most))
            };
            self.blend(int, hit, Src::Reg(number), none)
        });
        let hits = Val::Lanes(Lanes { ty: int, parts: hits.collect() });
        let first = self.fold_lanes(Reduction::Min, &[DType::I32], n, vec![hits])?.swap_remove(0);
        if !exact {
            return Ok(vec![Val::Uniform(Lanes { ty, parts: vec![most] }), first]);
        }
        // The value of that lane: -0.0 and 0.0 are equal.
        let (number, zero) = (self.part_reg(&first, 0), self.int_const(int, 0));
        let zero = self.load_pool(zero, false);
        let bits = each.map(|(&x, &at)| {
            let taken = self.compare_int(Prim::Eq, int, at, Src::Reg(number));
            self.blend(ty, taken, Src::Reg(x), zero)
        });
        let bits = Val::Lanes(Lanes { ty: int, parts: bits.collect() });
        let value = self.fold_lanes(Reduction::Xor, &[DType::I32], n, vec![bits])?;
        Ok(vec![Val::Uniform(Lanes { ty, parts: vec![self.part_reg(&value[0], 0)] }), first])
    }

    /// 0, 1, 2 and so on, a number per lane.
    fn lane_numbers(&mut self, int: LaneTy) -> VReg {
        let numbers = 0..self.lanes_of(int) as i64;
        let bytes: Vec<u8> = match int.is_64() {
            true => numbers.flat_map(i64::to_le_bytes).collect(),
            false => numbers.flat_map(|l| (l as i32).to_le_bytes()).collect(),
        };
        self.load_vector_const(&bytes)
    }

    /// Where `x` is to be taken in place of `best`.
    fn better(&mut self, kind: Reduction, t: DType, ty: LaneTy, best: VReg, x: VReg) -> VReg {
        let max = kind == Reduction::ArgMax;
        if !t.is_float() {
            return self.compare_int(if max { Prim::Gt } else { Prim::Lt }, ty, x, Src::Reg(best));
        }
        // Worse than x or unordered with it, but no NaN itself.
        let predicate = if max { NOT_GREATER_EQUAL } else { NOT_LESS_EQUAL };
        let below = self.compare_float(ty, best, Src::Reg(x), predicate);
        let number = self.compare_float(ty, best, Src::Reg(best), ORDERED);
        self.mask_and(below, number)
    }

    /// base + step * (begin + number), uniform.
    fn number_to_index(&mut self, g: &Growing, to: DType, begin: VReg, number: &Val) -> Result<Val, CodegenError> {
        let Val::Uniform(x) = number else { return Err(CodegenError::internal("a number per lane")) };
        let mut number = self.scalar_of(x.parts[0]);
        if !x.ty.is_64() {
            // Of two lanes.
            let low = self.int(i64::from(u32::MAX));
            number = self.int2(Code::And_r64_rm64, number, low);
        }
        let step = self.int(g.step);
        let element = self.add(begin, number);
        let offset = self.mul(element, step);
        let base = self.base(None, g.e)?;
        let index = self.add(base, offset);
        let (ty, v) = (LaneTy::of(to), self.c.vreg(VEC));
        self.broadcast_int(v, index, ty.is_64());
        Ok(Val::Uniform(Lanes { ty, parts: vec![v] }))
    }
}
