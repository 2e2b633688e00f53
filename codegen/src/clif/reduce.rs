//! Reductions, in the order that `rusttorch_ir::kernel::Order` defines.
//!
//! `Order::Lanes`: L accumulators in two levels (`part` for a chunk, `acc` for all), in memory, or in
//! registers where the body is light. `Order::Rows` under a tile: the accumulator of every lane is the
//! result's tile itself; along the lanes: one accumulator in memory, and the tree of eight rows is a tree
//! over the lanes of one group.

use super::memory::Width;
use super::val::{LaneTy, Lanes, Val, scalar_type};
use super::{Emitter, GROUP};
use crate::error::CodegenError;
use crate::lane::{LaneReduce, Segment, identity};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::id::AxisId;
use rusttorch_ir::kernel::{LANES_BYTES, LANES_CHUNK, Order, ROWS_GROUP, Reduction};
use rusttorch_ir::prim::Prim;

const _: () = assert!(GROUP == ROWS_GROUP, "a group of lanes is a group of rows");

/// Accumulators of one reduction along the lanes. `Order::Lanes`: arrays of L lanes, one per result.
/// `Order::Rows`: lane 0 of `acc`.
pub struct State {
    order: Order,
    acc: Vec<Value>,
    part: Vec<Value>,
    dtypes: Vec<DType>,
    lanes: usize,
}

/// Bodies up to this cost per lane are repeated for all L lanes, with accumulators in registers.
const LIGHT: usize = 6;

impl Emitter<'_> {
    /// A constant in scalar form.
    pub fn literal(&mut self, l: Literal) -> Value {
        match l.dtype {
            DType::F32 | DType::F64 => self.fconst(l.dtype, l.as_f64()),
            d => self.b.ins().iconst(scalar_type(d), l.bits as i64),
        }
    }

    fn op(&mut self, p: Prim, t: DType, args: &[Val]) -> Val {
        if Self::all_scalar(args) {
            let s: Vec<Value> = args.iter().map(|v| self.lane_of(v, t, 0)).collect();
            return Val::Scalar(self.scalar_prim(p, t, t, &s));
        }
        Val::Lanes(self.vector_prim(p, t, t, args, GROUP))
    }

    /// op(a, b) of a reduction; operands and results by result number.
    fn combine(&mut self, kind: Reduction, dtypes: &[DType], a: &[Val], b: &[Val]) -> Vec<Val> {
        let t = dtypes[0];
        let prim = match kind {
            Reduction::Sum => Some(Prim::Add),
            Reduction::Prod => Some(Prim::Mul),
            Reduction::Max => Some(Prim::Max),
            Reduction::Min => Some(Prim::Min),
            Reduction::Any => Some(Prim::Or),
            Reduction::All => Some(Prim::And),
            Reduction::Xor => Some(Prim::Xor),
            Reduction::ArgMax | Reduction::ArgMin => None,
            Reduction::Moments => unreachable!("expanded before scheduling"),
        };
        if let Some(p) = prim {
            return vec![self.op(p, t, &[a[0].clone(), b[0].clone()])];
        }
        // Take b where it is better, where it is the only NaN, or where it ties at a lower index.
        let better = if kind == Reduction::ArgMax { Prim::Gt } else { Prim::Lt };
        let pair = |x: &Val, y: &Val| [x.clone(), y.clone()];
        let mut take = self.op(better, t, &pair(&b[0], &a[0]));
        let mut tie = self.op(Prim::Eq, t, &pair(&a[0], &b[0]));
        if t.is_float() {
            let nan_a = self.op(Prim::Ne, t, &pair(&a[0], &a[0]));
            let nan_b = self.op(Prim::Ne, t, &pair(&b[0], &b[0]));
            let number_a = self.op(Prim::Not, DType::Bool, std::slice::from_ref(&nan_a));
            let only_b = self.op(Prim::And, DType::Bool, &[nan_b.clone(), number_a]);
            take = self.op(Prim::Or, DType::Bool, &[take, only_b]);
            let both = self.op(Prim::And, DType::Bool, &[nan_a, nan_b]);
            tie = self.op(Prim::Or, DType::Bool, &[tie, both]);
        }
        let lower = self.op(Prim::Lt, dtypes[1], &pair(&b[1], &a[1]));
        let tie = self.op(Prim::And, DType::Bool, &[tie, lower]);
        let take = self.op(Prim::Or, DType::Bool, &[take, tie]);
        (0..2).map(|i| self.op(Prim::Select, dtypes[i], &[take.clone(), b[i].clone(), a[i].clone()])).collect()
    }

    fn result_dtypes(&self, r: &LaneReduce) -> Vec<DType> {
        r.results.iter().map(|&v| self.k.dtype(v)).collect()
    }

    // ---- along the lanes ----

    /// Makes the accumulators, holding identities.
    pub fn begin_reduces(&mut self, seg: &Segment) -> Vec<State> {
        seg.reduces
            .iter()
            .map(|r| {
                let dtypes = self.result_dtypes(r);
                let lanes = LANES_BYTES / dtypes[0].size().max(4);
                let array = |e: &mut Self, d: DType| e.stack(lanes * d.size());
                let acc: Vec<Value> = dtypes.iter().map(|&d| array(self, d)).collect();
                let part = dtypes.iter().map(|&d| array(self, d)).collect();
                let state = State { order: r.order, acc, part, dtypes, lanes };
                self.fill(r.kind, &state, true);
                state
            })
            .collect()
    }

    fn fill(&mut self, kind: Reduction, s: &State, acc: bool) {
        for (i, &d) in s.dtypes.iter().enumerate() {
            let id = self.vector_const(identity(kind, i, d), GROUP);
            let array = if acc { s.acc[i] } else { s.part[i] };
            for g in 0..s.lanes / GROUP {
                self.store_group(d, &id, array, (g * GROUP * d.size()) as i32);
            }
        }
    }

    fn load_arrays(&mut self, arrays: &[Value], dtypes: &[DType], g: usize) -> Vec<Val> {
        arrays
            .iter()
            .zip(dtypes)
            .map(|(&p, &d)| Val::Lanes(self.load_group(d, p, (g * GROUP * d.size()) as i32)))
            .collect()
    }

    /// The operands of all reductions, for the lanes in flight.
    pub fn reduce_operands(&mut self, seg: &Segment, width: Width) -> Vec<Vec<Val>> {
        seg.reduces
            .iter()
            .map(|r| {
                r.args
                    .iter()
                    .map(|&a| {
                        let v = self.val(a);
                        if width == Width::Vector { Val::Lanes(self.as_group(a, &v)) } else { v }
                    })
                    .collect()
            })
            .collect()
    }

    /// One run of the innermost axis.
    pub fn reduce_run(&mut self, seg: &Segment, lanes: AxisId, n: Value, states: &[State]) -> Result<(), CodegenError> {
        let head = self.b.create_block();
        let inside = self.b.create_block();
        let after = self.b.create_block();
        let begin = self.b.append_block_param(head, types::I64);
        let zero = self.int(0);
        self.b.ins().jump(head, &[zero.into()]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, begin, n);
        self.b.ins().brif(more, inside, &[], after, &[]);
        self.b.switch_to_block(inside);
        let full = self.b.ins().iadd_imm_s(begin, LANES_CHUNK as i64);
        let end = self.b.ins().smin(full, n);
        for (r, s) in seg.reduces.iter().zip(states) {
            self.fill(r.kind, s, false);
        }
        let plain = seg.reduces.iter().all(|r| r.results.len() == 1 && r.order == Order::Lanes);
        let at = if plain && seg.reduces.len() == 1 && seg.cost <= LIGHT && !seg.serial {
            self.register_loop(seg, lanes, begin, end, &states[0])?
        } else {
            begin
        };
        self.lane_loop(lanes, at, end, 1, &mut |e, width| {
            let operands = if seg.serial { e.serial_operands(seg, lanes, width) } else { e.body_operands(seg, width) };
            for ((r, s), new) in seg.reduces.iter().zip(states).zip(operands) {
                match s.order {
                    Order::Lanes => e.fold_part(r.kind, s, lanes, &new, width),
                    Order::Rows => e.fold_rows(r.kind, s, &new, width),
                }
            }
            Ok(())
        })?;
        self.lane_axis = Some(lanes);
        for (r, s) in seg.reduces.iter().zip(states).filter(|(_, s)| s.order == Order::Lanes) {
            for g in 0..s.lanes / GROUP {
                let a = self.load_arrays(&s.acc, &s.dtypes, g);
                let p = self.load_arrays(&s.part, &s.dtypes, g);
                let v = self.combine(r.kind, &s.dtypes, &a, &p);
                for (i, (v, &d)) in v.iter().zip(&s.dtypes).enumerate() {
                    if let Val::Lanes(l) = v {
                        self.store_group(d, l, s.acc[i], (g * GROUP * d.size()) as i32);
                    }
                }
            }
        }
        self.b.ins().jump(head, &[end.into()]);
        self.b.switch_to_block(after);
        Ok(())
    }

    /// Whole rounds of L lanes with the accumulators in registers; gives the first lane not done.
    fn register_loop(
        &mut self,
        seg: &Segment,
        axis: AxisId,
        begin: Value,
        end: Value,
        s: &State,
    ) -> Result<Value, CodegenError> {
        let (kind, d) = (seg.reduces[0].kind, s.dtypes[0]);
        let ty = LaneTy::of(d);
        let groups = s.lanes / GROUP;
        let head = self.b.create_block();
        let inside = self.b.create_block();
        let after = self.b.create_block();
        let per_group = GROUP / ty.lanes();
        let k = self.b.append_block_param(head, types::I64);
        let acc: Vec<Value> = (0..groups * per_group).map(|_| self.b.append_block_param(head, ty.clif())).collect();
        let mut args: Vec<BlockArg> = vec![begin.into()];
        let id = self.vector_const(identity(kind, 0, d), ty.lanes()).parts[0];
        args.extend(acc.iter().map(|_| BlockArg::from(id)));
        let last = self.b.ins().iadd_imm_s(end, 1 - s.lanes as i64);
        self.b.ins().jump(head, &args);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, k, last);
        self.b.ins().brif(more, inside, &[], after, &[]);
        self.b.switch_to_block(inside);
        self.lane_axis = Some(axis);
        self.scope.push(axis);
        let next = self.b.ins().iadd_imm_s(k, s.lanes as i64);
        let mut args: Vec<BlockArg> = vec![next.into()];
        for g in 0..groups {
            let at = self.b.ins().iadd_imm_s(k, (g * GROUP) as i64);
            self.axes.insert(axis, at);
            self.body(seg, Width::Vector);
            let new = self.reduce_operands(seg, Width::Vector);
            let old = Lanes { ty, parts: acc[g * per_group..(g + 1) * per_group].to_vec() };
            let v = self.combine(kind, &s.dtypes, &[Val::Lanes(old)], &new[0]);
            if let Val::Lanes(l) = &v[0] {
                let parts = if d == DType::Bool { self.mask_as(l, ty) } else { l.parts.clone() };
                args.extend(parts.into_iter().map(BlockArg::from));
            }
        }
        self.scope.pop();
        self.b.ins().jump(head, &args);
        self.b.switch_to_block(after);
        for g in 0..groups {
            let l = Lanes { ty, parts: acc[g * per_group..(g + 1) * per_group].to_vec() };
            self.store_group(d, &l, s.part[0], (g * GROUP * d.size()) as i32);
        }
        Ok(k)
    }

    /// part[k mod L] = op(part[k mod L], new) for the lanes in flight.
    fn fold_part(&mut self, kind: Reduction, s: &State, axis: AxisId, new: &[Val], width: Width) {
        let k = self.axis_value(axis);
        let lane = self.b.ins().band_imm_s(k, s.lanes as i64 - 1);
        let addresses: Vec<Value> = s
            .part
            .iter()
            .zip(&s.dtypes)
            .map(|(&p, d)| {
                let bytes = self.b.ins().ishl_imm_s(lane, i64::from(d.size().trailing_zeros()));
                self.b.ins().iadd(p, bytes)
            })
            .collect();
        self.fold_memory(kind, &s.dtypes, &addresses, new, width);
    }

    /// acc = op(acc, new), where the lanes of a group combine as a tree of adjacent pairs first.
    fn fold_rows(&mut self, kind: Reduction, s: &State, new: &[Val], width: Width) {
        let n = if width == Width::One { 1 } else { GROUP };
        let mut tree: Vec<Vec<Val>> = (0..n)
            .map(|l| new.iter().zip(&s.dtypes).map(|(v, &d)| Val::Scalar(self.lane_of(v, d, l))).collect())
            .collect();
        while tree.len() > 1 {
            tree = tree.chunks(2).map(|p| self.combine(kind, &s.dtypes, &p[0], &p[1])).collect();
        }
        self.fold_memory(kind, &s.dtypes, &s.acc, &tree[0], Width::One);
    }

    fn body_operands(&mut self, seg: &Segment, width: Width) -> Vec<Vec<Val>> {
        self.body(seg, width);
        self.reduce_operands(seg, width)
    }

    /// The operands of all reductions for a group of lanes that must run one by one.
    fn serial_operands(&mut self, seg: &Segment, axis: AxisId, width: Width) -> Vec<Vec<Val>> {
        if width == Width::One {
            return self.body_operands(seg, width);
        }
        let first = self.axis_value(axis);
        let lanes: Vec<Vec<Vec<Val>>> = (0..GROUP)
            .map(|l| {
                let at = self.b.ins().iadd_imm_s(first, l as i64);
                self.axes.insert(axis, at);
                self.body_operands(seg, Width::One)
            })
            .collect();
        self.axes.insert(axis, first);
        let operand = |e: &mut Self, n: usize, i: usize| {
            let dtype = e.k.dtype(seg.reduces[n].args[i]);
            let scalars: Vec<Value> = lanes.iter().map(|lane| e.lane_of(&lane[n][i], dtype, 0)).collect();
            Val::Lanes(e.assemble(dtype, &scalars))
        };
        (0..seg.reduces.len()).map(|n| (0..seg.reduces[n].args.len()).map(|i| operand(self, n, i)).collect()).collect()
    }

    fn fold_memory(&mut self, kind: Reduction, dtypes: &[DType], at: &[Value], new: &[Val], width: Width) {
        let old: Vec<Val> = at
            .iter()
            .zip(dtypes)
            .map(|(&p, &d)| match width {
                Width::One => Val::Scalar(self.load_scalar(d, p, 0)),
                Width::Vector => Val::Lanes(self.load_group(d, p, 0)),
            })
            .collect();
        let v = self.combine(kind, dtypes, &old, new);
        for ((v, &d), &p) in v.iter().zip(dtypes).zip(at) {
            match v {
                Val::Scalar(s) => self.store_scalar(d, *s, p, 0),
                Val::Lanes(l) => self.store_group(d, l, p, 0),
            }
        }
    }

    /// The halving tree over L lanes; defines the results as scalars of the outer point.
    pub fn finish_reduces(&mut self, seg: &Segment, states: &[State]) {
        for (r, s) in seg.reduces.iter().zip(states) {
            if s.order == Order::Rows {
                for (i, (&v, &d)) in r.results.iter().zip(&s.dtypes).enumerate() {
                    let x = self.load_scalar(d, s.acc[i], 0);
                    self.vals.insert(v, Val::Scalar(x));
                }
                continue;
            }
            let mut groups: Vec<Vec<Val>> =
                (0..s.lanes / GROUP).map(|g| self.load_arrays(&s.acc, &s.dtypes, g)).collect();
            while groups.len() > 1 {
                let high = groups.split_off(groups.len() / 2);
                groups = groups.iter().zip(&high).map(|(a, b)| self.combine(r.kind, &s.dtypes, a, b)).collect();
            }
            let mut lanes: Vec<Vec<Val>> = (0..GROUP)
                .map(|l| {
                    groups[0].clone().iter().zip(&s.dtypes).map(|(v, &d)| Val::Scalar(self.lane_of(v, d, l))).collect()
                })
                .collect();
            while lanes.len() > 1 {
                let high = lanes.split_off(lanes.len() / 2);
                lanes = lanes.iter().zip(&high).map(|(a, b)| self.combine(r.kind, &s.dtypes, a, b)).collect();
            }
            for (&v, x) in r.results.iter().zip(lanes.swap_remove(0)) {
                self.vals.insert(v, x);
            }
        }
    }

    // ---- under a tile ----

    /// Starts a result's tile with the identity.
    pub fn store_identity(&mut self, r: &LaneReduce, width: Width) {
        for (i, &v) in r.results.iter().enumerate() {
            let id = identity(r.kind, i, self.k.dtype(v));
            let x = match width {
                Width::One => Val::Scalar(self.literal(id)),
                Width::Vector => Val::Lanes(self.vector_const(id, GROUP)),
            };
            self.store_tile(v, &x, width);
        }
    }

    /// Folds the operands of one or of a group of rows into the results' tiles.
    pub fn fold_tile(&mut self, seg: &Segment, rows: Vec<Vec<Vec<Val>>>, width: Width) -> Result<(), CodegenError> {
        let short = seg.is_short(self.k);
        for (n, r) in seg.reduces.iter().enumerate() {
            let dtypes = self.result_dtypes(r);
            let values: Vec<Vec<Val>> = rows.iter().map(|row| row[n].clone()).collect();
            let new = self.fold(r, &dtypes, &values)?;
            if short {
                for (&v, x) in r.results.iter().zip(&new) {
                    self.store_tile(v, x, width);
                }
                continue;
            }
            let at: Vec<Value> = r
                .results
                .iter()
                .map(|v| {
                    let base = self.tiles[v];
                    let d = self.k.dtype(*v);
                    self.unit_address(base, d)
                })
                .collect();
            self.fold_memory(r.kind, &dtypes, &at, &new, width);
        }
        Ok(())
    }

    /// One value of several, in the reduction's order: those of a group of rows, or all of a short axis. (The
    /// identities that the order also has change no value.)
    fn fold(&mut self, r: &LaneReduce, dtypes: &[DType], values: &[Vec<Val>]) -> Result<Vec<Val>, CodegenError> {
        let mut tree = values.to_vec();
        match r.order {
            Order::Lanes => {
                while tree.len() > 1 {
                    let half = tree.len().next_power_of_two() / 2;
                    for (l, high) in tree.split_off(half).iter().enumerate() {
                        tree[l] = self.combine(r.kind, dtypes, &tree[l], high);
                    }
                }
            }
            Order::Rows if tree.len() <= ROWS_GROUP => {
                debug_assert!(matches!(tree.len(), 1 | ROWS_GROUP));
                while tree.len() > 1 {
                    tree = tree.chunks(2).map(|p| self.combine(r.kind, dtypes, &p[0], &p[1])).collect();
                }
            }
            Order::Rows => return Err(CodegenError::internal("both orders of reductions over one short axis")),
        }
        Ok(tree.swap_remove(0))
    }
}
