//! argmax and argmin over an index that grows along the lanes: the common case, and the fast one.
//!
//! Within a chunk the accumulators are a value and the number of its element in the chunk, in lanes of
//! the value's width. Elements come in order, so an element is taken only where it is better, or where it
//! is a NaN and what is held is none: ties keep the lower index by themselves. The one exception is an
//! element equal to the identity, which would never be taken: lanes that took nothing hold their first
//! element. At the end of the chunk the lanes are folded, and one number becomes an index: which element is
//! best does not depend on the order in which they meet.

use super::Emitter;
use super::body::count_uses;
use super::reduce::State;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{A, INT, VEC};
use crate::error::CodegenError;
use crate::lane::{Access, LaneInst, LaneOp, Segment, identity};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::AxisId;
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::Reduction;
use rusttorch_ir::prim::Prim;

/// Predicates of vcmpps: not (a >= b), not (a <= b), neither is NaN.
const NOT_GREATER_EQUAL: u8 = 25;
const NOT_LESS_EQUAL: u8 = 22;
const ORDERED: u8 = 7;

/// The index of an arg reduction, where it grows along the lanes.
pub struct Growing<'a> {
    e: &'a IndexExpr,
    step: i64,
    /// The body without it.
    body: Vec<LaneInst>,
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
    Some(Growing { e, step, body })
}

impl Emitter<'_> {
    /// A chunk of at most `LANES_CHUNK` elements.
    pub fn arg_run(
        &mut self,
        seg: &Segment,
        g: &Growing,
        axis: AxisId,
        begin: VReg,
        end: VReg,
        s: &State,
    ) -> Result<(), CodegenError> {
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
        let none = self.int_const(int, -1);
        let none = self.load_pool(none, ty.is_64());
        let first = self.lane_numbers(int, 0);
        let mut from = vec![begin, first];
        from.extend(start);
        from.extend(vec![none; parts]);
        for masked in [false, true] {
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
                    let number = if i == 0 {
                        current
                    } else {
                        let ahead = e.int_const(int, (i * e.lanes_of(ty)) as i64);
                        e.add_int(int, current, ahead)
                    };
                    out.0.push(e.blend(ty, take, Src::Reg(x[i]), best[i]));
                    out.1.push(e.blend(int, take, Src::Reg(number), at[i]));
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
            from = std::iter::once(k).chain(params).collect();
        }
        self.scope.pop();
        let (values, numbers) = from[2..].split_at(parts);
        let lanes = Val::Lanes(Lanes { ty, parts: values.to_vec() });
        let numbers = self.taken_or_first(int, numbers);
        // All lanes at once, while numbers are narrow. Lanes that had no element hold the identity and a
        // number above all others.
        let number_type = if int.is_64() { DType::I64 } else { DType::I32 };
        let best = self.fold_lanes(r.kind, &[t, number_type], s.lanes, vec![lanes, numbers])?;
        self.n = 0;
        let index = self.number_to_index(g, index_type, begin, &best[1])?;
        let old: Vec<Val> = s
            .acc
            .iter()
            .zip(&s.dtypes)
            .map(|(&at, &d)| Ok(Val::Uniform(self.load_uniform(d, A::Local(at))?)))
            .collect::<Result<_, CodegenError>>()?;
        let new = self.combine(r.kind, &s.dtypes, &old, &[best[0].clone(), index])?;
        for ((v, &at), &d) in new.iter().zip(&s.acc).zip(&s.dtypes) {
            self.store_uniform(d, v, A::Local(at))?;
        }
        self.lane_axis = Some(axis);
        Ok(())
    }

    /// Lane numbers of a part, in every lane its own.
    fn lane_numbers(&mut self, int: LaneTy, part: usize) -> VReg {
        let n = self.lanes_of(int);
        let bytes: Vec<u8> = (part * n..(part + 1) * n)
            .flat_map(
                |l| if int.is_64() { (l as i64).to_le_bytes().to_vec() } else { (l as i32).to_le_bytes().to_vec() },
            )
            .collect();
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

    /// Numbers within a chunk; of lanes that took nothing, that of their first element.
    fn taken_or_first(&mut self, int: LaneTy, numbers: &[VReg]) -> Val {
        let parts = numbers
            .iter()
            .enumerate()
            .map(|(i, &number)| {
                let zero = self.int_const(int, 0);
                let unset = self.compare_int(Prim::Lt, int, number, zero);
                let lane = self.lane_numbers(int, i);
                self.blend(int, unset, Src::Reg(lane), number)
            })
            .collect();
        Val::Lanes(Lanes { ty: int, parts })
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
