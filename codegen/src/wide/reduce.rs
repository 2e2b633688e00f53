//! Reductions, in the order that `rusttorch_ir::kernel::Order` defines.
//!
//! `Order::Lanes`: L accumulators in two levels. `acc` goes from chunk to chunk in registers where a nest is one
//! reduction over one axis, else in memory; `part`, of one chunk, is in registers where the L lanes of a body
//! may be in flight at once, else in memory. `Order::Rows` under a tile: the accumulator of every lane is the
//! result's tile itself.

use super::Emitter;
use super::arg;
use super::memory::Place;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{A, INT, VEC};
use crate::error::CodegenError;
use crate::lane::{LaneReduce, Segment, identity};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::AxisId;
use rusttorch_ir::kernel::{LANES_BYTES, LANES_CHUNK, Order, ROWS_GROUP, Reduction};
use rusttorch_ir::prim::Prim;

/// On AVX2, bodies up to this cost per lane run for all L lanes at once.
const LIGHT: usize = 6;

/// Accumulators of one reduction along the lanes: local arrays of L lanes, one per result.
pub struct State {
    acc: Vec<i32>,
    pub part: Vec<i32>,
    pub dtypes: Vec<DType>,
    pub lanes: usize,
    /// `acc` has one lane: every chunk folds its lanes by itself (`arg.rs`).
    pub single: bool,
}

impl Emitter<'_> {
    fn op2(&mut self, p: Prim, t: DType, a: &Val, b: &Val) -> Result<Val, CodegenError> {
        self.prim(p, t, t, &[a.clone(), b.clone()], &[true; 2])
    }

    /// op(a, b) of a reduction; operands and results by result number.
    pub fn combine(
        &mut self,
        kind: Reduction,
        dtypes: &[DType],
        a: &[Val],
        b: &[Val],
    ) -> Result<Vec<Val>, CodegenError> {
        let t = dtypes[0];
        let prim = match kind {
            Reduction::Sum => Prim::Add,
            Reduction::Prod => Prim::Mul,
            Reduction::Max => Prim::Max,
            Reduction::Min => Prim::Min,
            Reduction::Any => Prim::Or,
            Reduction::All => Prim::And,
            Reduction::Xor => Prim::Xor,
            Reduction::ArgMax => return self.combine_arg(Prim::Gt, dtypes, a, b),
            Reduction::ArgMin => return self.combine_arg(Prim::Lt, dtypes, a, b),
            Reduction::Moments => return Err(CodegenError::internal("moments were to be expanded")),
        };
        Ok(vec![self.op2(prim, t, &a[0], &b[0])?])
    }

    /// Takes b where it is better, where it is the only NaN, or where it ties at a lower index.
    fn combine_arg(&mut self, better: Prim, dtypes: &[DType], a: &[Val], b: &[Val]) -> Result<Vec<Val>, CodegenError> {
        let t = dtypes[0];
        let mut take = self.op2(better, t, &b[0], &a[0])?;
        let mut tie = self.op2(Prim::Eq, t, &a[0], &b[0])?;
        if t.is_float() {
            let nan_a = self.op2(Prim::Ne, t, &a[0], &a[0])?;
            let nan_b = self.op2(Prim::Ne, t, &b[0], &b[0])?;
            // nan_b and not nan_a
            let only_b = self.op2(Prim::Gt, DType::Bool, &nan_b, &nan_a)?;
            take = self.op2(Prim::Or, DType::Bool, &take, &only_b)?;
            let both = self.op2(Prim::And, DType::Bool, &nan_a, &nan_b)?;
            tie = self.op2(Prim::Or, DType::Bool, &tie, &both)?;
        }
        let lower = self.op2(Prim::Lt, dtypes[1], &b[1], &a[1])?;
        let tie = self.op2(Prim::And, DType::Bool, &tie, &lower)?;
        let take = self.op2(Prim::Or, DType::Bool, &take, &tie)?;
        (0..2).map(|i| self.merge(dtypes[i], &take, &b[i], &a[i])).collect()
    }

    fn result_dtypes(&self, r: &LaneReduce) -> Vec<DType> {
        r.results.iter().map(|&v| self.k.dtype(v)).collect()
    }

    // ---- along the lanes ----

    /// The accumulators of a reduction, of which only `part` has memory, where it needs that.
    pub fn state(&mut self, seg: &Segment, r: &LaneReduce) -> Result<State, CodegenError> {
        if r.order == Order::Rows {
            return Err(CodegenError::unsupported("full-width rows along the lanes"));
        }
        let dtypes = self.result_dtypes(r);
        let lanes = LANES_BYTES / dtypes[0].size().max(4);
        let single = arg::growing(self.k, seg).is_some();
        let part = if single || self.in_registers(seg) {
            vec![]
        } else {
            dtypes.iter().map(|d| self.c.local(lanes * d.size())).collect()
        };
        Ok(State { acc: vec![], part, dtypes, lanes, single })
    }

    /// Whether all L lanes of a body run at once, folded in registers.
    fn in_registers(&self, seg: &Segment) -> bool {
        self.fits_registers(seg) && (self.wide512 || seg.cost <= LIGHT && seg.reduces.len() == 1)
    }

    /// Makes accumulators in memory, holding identities.
    pub fn begin_reduces(&mut self, seg: &Segment) -> Result<Vec<State>, CodegenError> {
        seg.reduces
            .iter()
            .map(|r| {
                let mut s = self.state(seg, r)?;
                s.acc = s.dtypes.iter().map(|d| self.c.local(s.lanes * d.size())).collect();
                if s.single {
                    for (i, (&at, &d)) in s.acc.iter().zip(&s.dtypes).enumerate() {
                        self.store_uniform(d, &Val::Const(identity(r.kind, i, d)), A::Local(at))?;
                    }
                } else {
                    self.fill(r.kind, &s, &s.acc)?;
                }
                Ok(s)
            })
            .collect()
    }

    /// All L lanes of arrays, with nothing masked.
    pub fn whole<R>(
        &mut self,
        s: &State,
        f: impl FnOnce(&mut Self) -> Result<R, CodegenError>,
    ) -> Result<R, CodegenError> {
        let before = (std::mem::replace(&mut self.n, s.lanes), self.tail.take());
        let r = f(self);
        (self.n, self.tail) = before;
        r
    }

    fn fill(&mut self, kind: Reduction, s: &State, arrays: &[i32]) -> Result<(), CodegenError> {
        self.whole(s, |e| {
            for (i, (&at, &d)) in arrays.iter().zip(&s.dtypes).enumerate() {
                let id = e.spread(d, &Val::Const(identity(kind, i, d)))?;
                e.store_lanes(d, &id, Place::Local(at))?;
            }
            Ok(())
        })
    }

    pub fn load_arrays(&mut self, s: &State, arrays: &[i32]) -> Result<Vec<Val>, CodegenError> {
        self.whole(s, |e| {
            arrays.iter().zip(&s.dtypes).map(|(&at, &d)| Ok(Val::Lanes(e.load_lanes(d, Place::Local(at))?))).collect()
        })
    }

    /// The operands of all reductions, for the lanes in flight.
    pub fn reduce_operands(&mut self, seg: &Segment) -> Result<Vec<Vec<Val>>, CodegenError> {
        seg.reduces
            .iter()
            .map(|r| {
                r.args
                    .iter()
                    .map(|&a| {
                        let v = self.val(a)?;
                        Ok(Val::Lanes(self.spread(self.k.dtype(a), &v)?))
                    })
                    .collect()
            })
            .collect()
    }

    /// One run of the innermost axis, over accumulators in memory.
    pub fn reduce_run(&mut self, seg: &Segment, lanes: AxisId, n: VReg, states: &[State]) -> Result<(), CodegenError> {
        let zero = self.int(0);
        self.chunk_loop(zero, n, LANES_CHUNK as i64, &mut |e, begin| {
            let full = e.add_imm(begin, LANES_CHUNK as i64);
            let end = e.min(full, n);
            let parts = e.chunk(seg, lanes, begin, end, states)?;
            for ((r, s), part) in seg.reduces.iter().zip(states).zip(parts) {
                e.fold_acc(r.kind, s, &part)?;
            }
            Ok(())
        })
    }

    /// What a chunk of at most `LANES_CHUNK` elements folds to, for every reduction of a segment.
    pub fn chunk(
        &mut self,
        seg: &Segment,
        lanes: AxisId,
        begin: VReg,
        end: VReg,
        states: &[State],
    ) -> Result<Vec<Vec<Val>>, CodegenError> {
        let each = |v: Vec<Val>| v.into_iter().map(|v| vec![v]).collect();
        if self.in_registers(seg) {
            return Ok(each(self.register_run(seg, lanes, begin, end, states)?));
        }
        if let Some(g) = arg::growing(self.k, seg) {
            return Ok(vec![self.arg_run(seg, &g, lanes, begin, end, &states[0])?]);
        }
        if self.fits_registers(seg) {
            return Ok(each(self.vectors_run(seg, lanes, begin, end, states)?));
        }
        // The lanes in flight are a part of the L accumulators.
        let most = states.iter().map(|s| s.lanes / self.width()).min().unwrap_or(1);
        let vectors = if seg.serial { 0 } else { self.unroll(seg).min(2) };
        for (r, s) in seg.reduces.iter().zip(states) {
            self.fill(r.kind, s, &s.part)?;
        }
        self.lane_loop(lanes, begin, end, vectors.min(most), &mut |e| {
            e.body(seg)?;
            let operands = e.reduce_operands(seg)?;
            for ((r, s), new) in seg.reduces.iter().zip(states).zip(operands) {
                e.fold_part(r.kind, s, &new)?;
            }
            Ok(())
        })?;
        self.lane_axis = Some(lanes);
        states.iter().map(|s| self.load_arrays(s, &s.part)).collect()
    }

    /// acc[l] = op(acc[l], part[l])
    fn fold_acc(&mut self, kind: Reduction, s: &State, part: &[Val]) -> Result<(), CodegenError> {
        let acc = self.load_acc(s)?;
        let new = self.folded(kind, s, &acc, part)?;
        for ((lanes, &d), &at) in new.iter().zip(&s.dtypes).zip(&s.acc) {
            if s.single {
                self.store_uniform(d, &Val::Uniform(lanes.clone()), A::Local(at))?;
            } else {
                self.whole(s, |e| e.store_lanes(d, lanes, Place::Local(at)))?;
            }
        }
        Ok(())
    }

    fn load_acc(&mut self, s: &State) -> Result<Vec<Val>, CodegenError> {
        if !s.single {
            return self.load_arrays(s, &s.acc);
        }
        let loads = s.acc.iter().zip(&s.dtypes);
        loads.map(|(&at, &d)| Ok(Val::Uniform(self.load_uniform(d, A::Local(at))?))).collect()
    }

    /// part[k mod L] = op(part[k mod L], new) for the lanes in flight that exist. The first lane in flight
    /// is a multiple of their number, unless they run one by one.
    pub fn fold_part(&mut self, kind: Reduction, s: &State, new: &[Val]) -> Result<(), CodegenError> {
        let k = self.first_lane()?;
        let last = self.int(s.lanes as i64 - 1);
        let lane = self.int2(Code::And_r64_rm64, k, last);
        let places: Vec<Place> = s
            .part
            .iter()
            .zip(&s.dtypes)
            .map(|(&at, d)| Place::At(self.c.local_address(at), lane, d.size() as u32, 0))
            .collect();
        let mut old = Vec::new();
        for (&p, &d) in places.iter().zip(&s.dtypes) {
            old.push(Val::Lanes(self.load_lanes(d, p)?));
        }
        let v = self.combine(kind, &s.dtypes, &old, new)?;
        for ((v, &d), &p) in v.iter().zip(&s.dtypes).zip(&places) {
            let lanes = self.spread(d, v)?;
            self.store_lanes(d, &lanes, p)?;
        }
        Ok(())
    }

    /// The halving tree over L lanes; defines the results, uniform at the outer point.
    pub fn finish_reduces(&mut self, seg: &Segment, states: &[State]) -> Result<(), CodegenError> {
        for (r, s) in seg.reduces.iter().zip(states) {
            let acc = self.load_acc(s)?;
            let v = if s.single { acc } else { self.fold_lanes(r.kind, &s.dtypes, s.lanes, acc)? };
            self.vals.extend(r.results.iter().copied().zip(v));
        }
        Ok(())
    }

    /// The halving tree over `n` lanes, all of them there; what it gives is uniform.
    pub fn fold_lanes(
        &mut self,
        kind: Reduction,
        dtypes: &[DType],
        n: usize,
        mut v: Vec<Val>,
    ) -> Result<Vec<Val>, CodegenError> {
        let before = (std::mem::replace(&mut self.n, n), self.tail.take());
        while self.n > self.width() {
            self.n /= 2;
            let halves: Vec<(Val, Val)> = v.iter().map(split).collect();
            let (low, high): (Vec<Val>, Vec<Val>) = halves.into_iter().unzip();
            v = self.combine(kind, dtypes, &low, &high)?;
        }
        let mut h = self.width() / 2;
        while h > 0 {
            let high: Vec<Val> = v.iter().map(|v| self.shift_lanes(v, h)).collect();
            v = self.combine(kind, dtypes, &v, &high)?;
            h /= 2;
        }
        (self.n, self.tail) = before;
        v.iter().map(|v| self.broadcast_lane0(v)).collect()
    }

    /// Lane l of the result is lane l + h; the lanes above hold anything. `h` is below the width.
    fn shift_lanes(&mut self, v: &Val, h: usize) -> Val {
        let Val::Lanes(x) = v else { return v.clone() };
        let per_part = self.lanes_of(x.ty);
        if h >= per_part {
            let parts = x.parts.iter().cycle().skip(h / per_part).take(x.parts.len()).copied().collect();
            return Val::Lanes(Lanes { ty: x.ty, parts });
        }
        let bytes = h * if x.ty.is_64() { 8 } else { 4 };
        let parts = x
            .parts
            .iter()
            .map(|&p| {
                if self.class(x.ty) != VEC {
                    let k = self.c.vreg(self.class(x.ty));
                    self.c.emit(Code::VEX_Kshiftrw_kr_kr_imm8, &[A::Def(k), A::Use(p), A::Imm8(h as u8)]);
                    return k;
                }
                let shuffle = self.pick(Code::VEX_Vpshufd_ymm_ymmm256_imm8, Code::EVEX_Vpshufd_zmm_k1z_zmmm512b32_imm8);
                match bytes {
                    4 => self.vec1_imm(shuffle, Src::Reg(p), 0b11_10_11_01),
                    8 => self.vec1_imm(shuffle, Src::Reg(p), 0b11_10_11_10),
                    16 if self.wide512 => {
                        let v = self.c.vreg(VEC);
                        self.c.emit(Code::EVEX_Vextracti32x4_xmmm128_k1z_zmm_imm8, &[A::Def(v), A::Use(p), A::Imm8(1)]);
                        v
                    }
                    _ => self.high_half(p),
                }
            })
            .collect();
        Val::Lanes(Lanes { ty: x.ty, parts })
    }

    fn broadcast_lane0(&mut self, v: &Val) -> Result<Val, CodegenError> {
        let Val::Lanes(x) = v else { return Ok(v.clone()) };
        let p = x.parts[0];
        if self.class(x.ty) != VEC {
            // Bit 0 to all bits.
            let r = self.c.vreg(INT);
            self.c.emit(Code::VEX_Kmovw_r32_kr, &[A::Def(r), A::Use(p)]);
            let r = self.int_imm(Code::And_rm64_imm32, r, 1);
            let zero = self.int(0);
            let r = self.sub(zero, r);
            let k = self.c.vreg(self.class(x.ty));
            self.c.emit(Code::VEX_Kmovd_kr_r32, &[A::Def(k), A::Use(r)]);
            return Ok(Val::Uniform(Lanes { ty: LaneTy::Mask32, parts: vec![k] }));
        }
        let b = self.c.vreg(VEC);
        let code = match (self.wide512, x.ty.is_64()) {
            (false, false) => Code::VEX_Vbroadcastss_ymm_xmm,
            (false, true) => Code::VEX_Vbroadcastsd_ymm_xmm,
            (true, false) => Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32,
            (true, true) => Code::EVEX_Vbroadcastsd_zmm_k1z_xmmm64,
        };
        self.c.emit(code, &[A::Def(b), A::Use(p)]);
        Ok(Val::Uniform(Lanes { ty: x.ty, parts: vec![b] }))
    }

    // ---- under a tile ----

    /// Starts a result's tile with the identity.
    pub fn store_identity(&mut self, r: &LaneReduce) -> Result<(), CodegenError> {
        for (i, &v) in r.results.iter().enumerate() {
            self.store_tile(v, &Val::Const(identity(r.kind, i, self.k.dtype(v))))?;
        }
        Ok(())
    }

    /// Folds pairs of a group of rows of which `count` have been computed, so that few are held at once.
    pub fn merge_rows(
        &mut self,
        seg: &Segment,
        rows: &mut Vec<Vec<Vec<Val>>>,
        count: usize,
    ) -> Result<(), CodegenError> {
        for _ in 0..count.trailing_zeros() {
            let (Some(high), Some(low)) = (rows.pop(), rows.pop()) else {
                return Err(CodegenError::internal("a pair of rows without two"));
            };
            let pairs = seg.reduces.iter().zip(low.iter().zip(&high));
            let both = pairs.map(|(r, (a, b))| self.combine(r.kind, &self.result_dtypes(r), a, b));
            rows.push(both.collect::<Result<_, _>>()?);
        }
        Ok(())
    }

    /// Folds the operands of one or of a group of rows into the results' tiles.
    pub fn fold_tile(&mut self, seg: &Segment, rows: Vec<Vec<Vec<Val>>>) -> Result<(), CodegenError> {
        let short = seg.is_short(self.k);
        for (n, r) in seg.reduces.iter().enumerate() {
            let values: Vec<Vec<Val>> = rows.iter().map(|row| row[n].clone()).collect();
            let mut new = self.fold(r, &values)?;
            if !short {
                let old = r.results.iter().map(|&v| self.load_tile(v)).collect::<Result<Vec<_>, _>>()?;
                new = self.combine(r.kind, &self.result_dtypes(r), &old, &new)?;
            }
            for (&v, x) in r.results.iter().zip(&new) {
                self.store_tile(v, x)?;
            }
        }
        Ok(())
    }

    /// One value of several, in the reduction's order: those of a group of rows, or all of a short axis. (The
    /// identities that the order also has change no value.)
    fn fold(&mut self, r: &LaneReduce, values: &[Vec<Val>]) -> Result<Vec<Val>, CodegenError> {
        let dtypes = self.result_dtypes(r);
        let mut tree = values.to_vec();
        match r.order {
            Order::Lanes => {
                while tree.len() > 1 {
                    let half = tree.len().next_power_of_two() / 2;
                    for (l, high) in tree.split_off(half).iter().enumerate() {
                        tree[l] = self.combine(r.kind, &dtypes, &tree[l], high)?;
                    }
                }
            }
            Order::Rows if tree.len() <= ROWS_GROUP => {
                debug_assert!(matches!(tree.len(), 1 | ROWS_GROUP));
                while tree.len() > 1 {
                    let pairs = tree.chunks(2);
                    tree = pairs.map(|p| self.combine(r.kind, &dtypes, &p[0], &p[1])).collect::<Result<_, _>>()?;
                }
            }
            Order::Rows => return Err(CodegenError::internal("both orders of reductions over one short axis")),
        }
        Ok(tree.swap_remove(0))
    }
}

fn split(v: &Val) -> (Val, Val) {
    match v {
        Val::Lanes(x) => {
            let (low, high) = x.parts.split_at(x.parts.len() / 2);
            let half = |p: &[VReg]| Val::Lanes(Lanes { ty: x.ty, parts: p.to_vec() });
            (half(low), half(high))
        }
        same => (same.clone(), same.clone()),
    }
}
