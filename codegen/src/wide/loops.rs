//! The shapes of loops: rows, tiles, and the lane loop with its tail.

use super::reduce::State;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{INT, VEC};
use super::{Copy, Emitter, Tail};
use crate::error::CodegenError;
use crate::frame::FrameLayout;
use crate::lane::{Access, LaneInst, LaneOp, Mode, Segment, Strip, operands, short_extent};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::id::{AxisId, ValueId};
use rusttorch_ir::kernel::{Order, ROWS_GROUP};
use rusttorch_ir::prim::Prim;

/// Bodies up to this cost per lane run four vectors per iteration, others two.
pub const LIGHT: usize = 8;

impl Emitter<'_> {
    pub fn axis_range(&mut self, a: AxisId) -> (VReg, VReg) {
        let slot = self.layout.axis(a);
        (self.slot(slot), self.slot(slot + 1))
    }

    /// `for i in (lo..hi).step_by(step)`: the last chunk may be short.
    pub fn chunk_loop(
        &mut self,
        lo: VReg,
        hi: VReg,
        step: i64,
        body: &mut dyn FnMut(&mut Self, VReg) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
        let i = self.c.param(head, INT);
        self.c.jump(head, &[lo]);
        self.c.enter(head);
        self.compare(i, hi);
        self.c.branch(Code::Jl_rel32_64, inside, after);
        self.c.enter(inside);
        body(self, i)?;
        let next = self.add_imm(i, step);
        self.c.jump(head, &[next]);
        self.c.enter(after);
        Ok(())
    }

    /// A loop that puts an axis in scope.
    fn axis_loop(
        &mut self,
        a: AxisId,
        lo: VReg,
        hi: VReg,
        body: &mut dyn FnMut(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        self.scope.push(a);
        self.count_loop(lo, hi, 1, &mut |e, i| {
            e.axes.insert(a, i);
            body(e)
        })?;
        self.scope.pop();
        Ok(())
    }

    pub fn strip(&mut self, strip: &Strip) -> Result<(), CodegenError> {
        self.copy = Copy::default();
        self.run_uniform(&strip.prelude)?;
        self.vals = std::mem::take(&mut self.copy.vals);
        if self.transposed_strip(strip)? {
            return Ok(());
        }
        match strip.rows {
            Some(a) => {
                let (lo, hi) = self.axis_range(a);
                let lo = self.jammed_rows(a, lo, hi)?;
                let light = strip.segments.iter().all(|s| s.cost <= LIGHT && s.reduces.is_empty());
                let rows = |e: &mut Self| e.axis_loop(a, lo, hi, &mut |e| e.segments(strip));
                if light { self.with_kept_slots(rows) } else { rows(self) }
            }
            None => self.segments(strip),
        }
    }

    fn segments(&mut self, strip: &Strip) -> Result<(), CodegenError> {
        match (strip.mode, strip.tile) {
            (Mode::Inner, _) => strip.segments.iter().try_for_each(|s| self.inner_segment(s)),
            (Mode::Outer, Some(tile)) => {
                self.scope.push(tile);
                self.tiles(tile, strip)?;
                self.scope.pop();
                Ok(())
            }
            (Mode::Outer, None) => Err(CodegenError::internal("a tiled strip without a tile axis")),
        }
    }

    /// Runs a body's prelude for the axes in scope and prepares its lane loop.
    pub fn enter(&mut self, seg: &Segment) -> Result<(), CodegenError> {
        self.copy.bases.clear();
        self.copy.periods.clear();
        self.run_uniform(&seg.prelude)?;
        self.prepare_accesses(&seg.body)
    }

    /// True when something of a body runs lane by lane: several vectors in flight gain nothing then.
    fn has_lane_loops(&self, body: &[LaneInst]) -> bool {
        body.iter().any(|i| match &i.op {
            LaneOp::Load { access, mask, .. } => mask.is_some() || matches!(access, Access::Indexed(_)),
            LaneOp::Store { access, mask, add, .. } => {
                mask.is_some() || !(is_unit(access) || is_strided(access) && !add)
            }
            LaneOp::Lookup(table, index) => !self.is_permutation(table, self.k.dtype(*index)),
            LaneOp::Check { .. } | LaneOp::Call(..) => true,
            LaneOp::Prim(Prim::IDiv | Prim::IRem, ..) => true,
            LaneOp::Cold { body, .. } => self.has_lane_loops(body),
            LaneOp::Index(Access::Indexed(_) | Access::Periodic(..)) => true,
            LaneOp::Const(_) | LaneOp::Scalar(_) | LaneOp::Index(_) | LaneOp::Prim(..) => false,
        })
    }

    /// Vectors of 32-bit lanes per iteration.
    pub fn unroll(&mut self, seg: &Segment) -> usize {
        let wide = seg.body.iter().any(|i| i.results.iter().any(|&r| self.k.dtype(r).size() == 8));
        let by_lane = self.has_lane_loops(&seg.body);
        match (seg.cost <= LIGHT, wide, by_lane) {
            (_, _, true) => 1,
            (true, false, _) if !has_strides(&seg.body) => 4,
            (true, ..) => 2,
            (false, false, _) => {
                self.several = true;
                self.heavy
            }
            (false, true, _) => 1,
        }
    }

    /// Runs `f` with a mask of the lanes `[at, hi)`, of which `n` are in flight.
    pub fn with_tail<R>(
        &mut self,
        n: usize,
        count: VReg,
        f: impl FnOnce(&mut Self) -> Result<R, CodegenError>,
    ) -> Result<R, CodegenError> {
        let before = (std::mem::replace(&mut self.n, n), self.tail.take());
        let all = self.c.vreg(VEC);
        self.broadcast_int(all, count, false);
        let parts = (0..self.parts(LaneTy::I32))
            .map(|p| {
                let w = self.width();
                let bytes: Vec<u8> = (0..w).flat_map(|l| ((p * w + l) as i32).to_le_bytes()).collect();
                let lanes = self.load_vector_const(&bytes);
                self.compare_int(Prim::Gt, LaneTy::I32, all, Src::Reg(lanes))
            })
            .collect();
        self.tail = Some(Tail { count, mask: Lanes { ty: LaneTy::Mask32, parts } });
        let r = f(self);
        (self.n, self.tail) = before;
        r
    }

    /// Runs `f` for the lanes in `[lo, hi)`, `vectors` registers of 32-bit lanes per iteration, then for
    /// what is left under a mask; with `vectors` 0, for every lane by itself.
    pub fn lane_loop(
        &mut self,
        axis: AxisId,
        lo: VReg,
        hi: VReg,
        vectors: usize,
        f: &mut dyn FnMut(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        self.along(axis, |e| {
            let at = if vectors > 0 { e.whole_vectors(axis, lo, hi, vectors, f)? } else { lo };
            e.masked_steps(axis, (at, hi), if vectors == 0 { 1 } else { e.width() }, f)
        })
    }

    /// As `lane_loop`, for a segment without reductions: its results may be streamed.
    pub fn map_loop(
        &mut self,
        axis: AxisId,
        lo: VReg,
        hi: VReg,
        vectors: usize,
        seg: &Segment,
    ) -> Result<(), CodegenError> {
        if vectors == 0 {
            return self.lane_loop(axis, lo, hi, 0, &mut |e| e.body(seg));
        }
        let streamed = self.streamed_stores(&seg.body);
        self.along(axis, |e| {
            let (lo, vectors) = if e.fits_bytes(seg) { (e.byte_loop(axis, lo, hi, seg)?, 1) } else { (lo, vectors) };
            let f = &mut |e: &mut Self| e.body(seg);
            let mut at = if streamed.is_empty() && e.may_delay(seg) {
                e.delayed_vectors(axis, (lo, hi), vectors, seg)?
            } else if streamed.is_empty() {
                e.whole_vectors(axis, lo, hi, vectors, f)?
            } else {
                e.streaming_loop(axis, (lo, hi), vectors, &streamed, f)?
            };
            // A mask costs more than such a body does, and in a short row this is most of it. (Heavier ones would compile
            // a fifth longer.)
            if vectors > 1 && seg.cost <= LIGHT {
                at = e.whole_vectors(axis, at, hi, 1, f)?;
            }
            e.masked_steps(axis, (at, hi), e.width(), f)
        })
    }

    /// Runs `f` with lanes along an axis.
    fn along(
        &mut self,
        axis: AxisId,
        f: impl FnOnce(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        self.lane_axis = Some(axis);
        // A tile's axis is in scope already, before the axes of the nests.
        let enters = !self.scope.contains(&axis);
        if enters {
            self.scope.push(axis);
        }
        f(self)?;
        if enters {
            self.scope.pop();
        }
        self.lane_axis = None;
        Ok(())
    }

    /// Runs `f` for the lanes in `[lo, hi)`, a masked vector at a time.
    pub fn masked_loop(
        &mut self,
        axis: AxisId,
        lo: VReg,
        hi: VReg,
        f: &mut dyn FnMut(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        self.along(axis, |e| e.masked_steps(axis, (lo, hi), e.width(), f))
    }

    /// At most `step` lanes of a vector at a time.
    fn masked_steps(
        &mut self,
        axis: AxisId,
        (lo, hi): (VReg, VReg),
        step: usize,
        f: &mut dyn FnMut(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        self.n = self.width();
        self.c.brief = step == self.n;
        self.chunk_loop(lo, hi, step as i64, &mut |e, i| {
            e.axes.insert(axis, i);
            let most = e.int(step as i64);
            let left = e.sub(hi, i);
            let count = e.min(left, most);
            e.with_tail(e.width(), count, |e| f(e))
        })?;
        self.c.brief = false;
        self.n = 0;
        Ok(())
    }

    /// The part of a lane loop that has `vectors` registers of 32-bit lanes at hand; gives the first lane left.
    pub fn whole_vectors(
        &mut self,
        axis: AxisId,
        lo: VReg,
        hi: VReg,
        vectors: usize,
        f: &mut dyn FnMut(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<VReg, CodegenError> {
        self.n = vectors * self.width();
        self.count_loop(lo, hi, self.n as i64, &mut |e, i| {
            e.axes.insert(axis, i);
            f(e)
        })
    }

    // ---- lanes along the nests' own axes ----

    fn inner_segment(&mut self, seg: &Segment) -> Result<(), CodegenError> {
        let Some(lanes) = seg.lanes else {
            // Everything is uniform, and visible from here on.
            self.copy = Copy::default();
            self.enter(seg)?;
            let vals = std::mem::take(&mut self.copy.vals);
            self.vals.extend(vals);
            return Ok(());
        };
        if self.carried_reduce(seg, lanes)? {
            return Ok(());
        }
        let states = self.begin_reduces(seg)?;
        self.inner_loops(seg, &seg.loops, lanes, &states)?;
        self.finish_reduces(seg, &states)
    }

    fn inner_loops(
        &mut self,
        seg: &Segment,
        loops: &[AxisId],
        lanes: AxisId,
        states: &[State],
    ) -> Result<(), CodegenError> {
        if let [a, rest @ ..] = loops {
            let lo = self.int(0);
            let extent = self.k.axes[a.index()].clone();
            let hi = self.index(&extent)?;
            return self.axis_loop(*a, lo, hi, &mut |e| e.inner_loops(seg, rest, lanes, states));
        }
        let extent = self.k.axes[lanes.index()].clone();
        let n = self.index(&extent)?;
        // A prelude may read memory that is there only if some lane runs.
        self.compare_imm(n, 0);
        self.when(Code::Jg_rel32_64, false, &mut |e| {
            e.copy = Copy::default();
            e.lane_axis = Some(lanes);
            e.enter(seg)?;
            let zero = e.int(0);
            if seg.reduces.is_empty() {
                let vectors = if seg.serial { 0 } else { e.unroll(seg) };
                e.map_loop(lanes, zero, n, vectors, seg)?;
            } else {
                e.reduce_run(seg, lanes, n, states)?;
            }
            e.lane_axis = None;
            e.copy = Copy::default();
            Ok(())
        })
    }

    // ---- lanes along the last outer axis ----

    fn tiles(&mut self, tile: AxisId, strip: &Strip) -> Result<(), CodegenError> {
        let (lo, hi) = self.axis_range(tile);
        if !strip.tiled {
            // One segment of straight-line code: any number of lanes.
            let seg = &strip.segments[0];
            self.copy = Copy::default();
            self.lane_axis = Some(tile);
            self.enter(seg)?;
            let vectors = self.unroll(seg);
            return self.map_loop(tile, lo, hi, vectors, seg);
        }
        let width = self.slot(FrameLayout::TILE);
        let (head, inside, after) = (self.c.block(), self.c.block(), self.c.block());
        let begin = self.c.param(head, INT);
        self.c.jump(head, &[lo]);
        self.c.enter(head);
        self.compare(begin, hi);
        self.c.branch(Code::Jl_rel32_64, inside, after);
        self.c.enter(inside);
        let full = self.add(begin, width);
        let end = self.min(full, hi);
        self.tiles.clear();
        self.tile_begin = Some(begin);
        for seg in &strip.segments {
            self.tiled_segment(tile, begin, end, seg)?;
        }
        self.c.jump(head, &[end]);
        self.c.enter(after);
        Ok(())
    }

    fn tiled_segment(&mut self, tile: AxisId, begin: VReg, end: VReg, seg: &Segment) -> Result<(), CodegenError> {
        let results: Vec<ValueId> = seg.reduces.iter().flat_map(|r| r.results.iter().copied()).collect();
        for &v in seg.keeps.iter().chain(&results) {
            let p = self.tile_base(v, begin);
            self.tiles.insert(v, p);
        }
        if !seg.reduces.is_empty() && !seg.is_short(self.k) {
            self.lane_loop(tile, begin, end, 1, &mut |e| seg.reduces.iter().try_for_each(|r| e.store_identity(r)))?;
        }
        self.tiled_loops(tile, begin, end, seg, &seg.loops)
    }

    fn tiled_loops(
        &mut self,
        tile: AxisId,
        begin: VReg,
        end: VReg,
        seg: &Segment,
        loops: &[AxisId],
    ) -> Result<(), CodegenError> {
        match loops {
            [] => self.tile_pass(tile, begin, end, seg, &[]),
            [a] if seg.is_short(self.k) => {
                let n = short_extent(self.k, *a).unwrap_or(0);
                let rows: Vec<(AxisId, VReg)> = (0..n).map(|i| (*a, self.int(i))).collect();
                self.scope.push(*a);
                self.tile_pass(tile, begin, end, seg, &rows)?;
                self.scope.pop();
                Ok(())
            }
            [a] if !seg.reduces.is_empty() => {
                let extent = self.k.axes[a.index()].clone();
                let n = self.index(&extent)?;
                let zero = self.int(0);
                self.scope.push(*a);
                let rest = self.count_loop(zero, n, ROWS_GROUP as i64, &mut |e, i| {
                    let rows: Vec<(AxisId, VReg)> = (0..ROWS_GROUP).map(|r| (*a, e.add_imm(i, r as i64))).collect();
                    e.tile_pass(tile, begin, end, seg, &rows)
                })?;
                self.count_loop(rest, n, 1, &mut |e, i| e.tile_pass(tile, begin, end, seg, &[(*a, i)]))?;
                self.scope.pop();
                Ok(())
            }
            [a, rest @ ..] => {
                let extent = self.k.axes[a.index()].clone();
                let n = self.index(&extent)?;
                let zero = self.int(0);
                self.axis_loop(*a, zero, n, &mut |e| e.tiled_loops(tile, begin, end, seg, rest))
            }
        }
    }

    /// One pass over a tile: the body once per row in `rows` (once, if there are none), then the
    /// reductions.
    fn tile_pass(
        &mut self,
        tile: AxisId,
        begin: VReg,
        end: VReg,
        seg: &Segment,
        rows: &[(AxisId, VReg)],
    ) -> Result<(), CodegenError> {
        self.lane_axis = Some(tile);
        let mut copies = Vec::new();
        let each: Vec<Option<(AxisId, VReg)>> =
            if rows.is_empty() { vec![None] } else { rows.iter().map(|r| Some(*r)).collect() };
        for (column, row) in each.into_iter().enumerate() {
            self.copy = Copy { axes: row.into_iter().collect(), column, ..Copy::default() };
            self.enter(seg)?;
            copies.push(std::mem::take(&mut self.copy));
        }
        if seg.loops.is_empty() {
            // Uniform values of an axis-free nest are visible from here on.
            self.vals.extend(copies[0].vals.clone());
        }
        // A group of rows reads lines that often lie a power of two apart, in one set of the cache: two vectors take a
        // line of 4-byte elements at once.
        let merges = seg.reduces.iter().all(|r| r.order == Order::Rows) && copies.len() == ROWS_GROUP;
        let vectors = if seg.reduces.is_empty() || merges { self.unroll(seg).min(2) } else { 1 };
        let whole = match rows {
            [(axis, _), ..] if seg.is_short(self.k) => self.whole_rows(seg, *axis, rows.len()),
            _ => vec![],
        };
        self.lane_loop(tile, begin, end, vectors, &mut |e| {
            let kept = e.load_kept(seg)?;
            if e.tail.is_none() {
                e.load_rows(&whole, &copies[0], copies.len())?;
            }
            let mut rows = Vec::new();
            for (row, c) in copies.iter().enumerate() {
                e.copy = c.clone();
                e.copy.vals.extend(kept.clone());
                e.body(seg)?;
                for &v in &seg.keeps {
                    let x = e.val(v)?;
                    e.store_tile(v, &x)?;
                }
                rows.push(e.reduce_operands(seg)?);
                if merges {
                    e.merge_rows(seg, &mut rows, row + 1)?;
                }
            }
            e.rows.clear();
            e.fold_tile(seg, rows)
        })?;
        self.copy = Copy::default();
        Ok(())
    }

    /// Address such that adding `k * size` gives lane k of a value's tile.
    fn tile_base(&mut self, v: ValueId, begin: VReg) -> VReg {
        let slot = self.layout.value(v);
        let p = self.slot(slot);
        let skip = self.shift_left(begin, super::memory::shift(self.k.dtype(v)));
        self.sub(p, skip)
    }

    /// Values of earlier segments that this one uses, for the lanes in flight.
    fn load_kept(&mut self, seg: &Segment) -> Result<Vec<(ValueId, Val)>, CodegenError> {
        let mut used = Vec::new();
        operands(&seg.body, &mut used);
        used.extend(seg.reduces.iter().flat_map(|r| r.args.iter().copied()));
        let own: Vec<ValueId> =
            seg.keeps.iter().copied().chain(seg.reduces.iter().flat_map(|r| r.results.iter().copied())).collect();
        let mut out: Vec<(ValueId, Val)> = Vec::new();
        for v in used {
            if own.contains(&v) || out.iter().any(|(x, _)| *x == v) || !self.tiles.contains_key(&v) {
                continue;
            }
            let x = self.load_tile(v)?;
            out.push((v, x));
        }
        Ok(out)
    }

    /// A value's tile at the lanes in flight.
    pub fn load_tile(&mut self, v: ValueId) -> Result<Val, CodegenError> {
        let dtype = self.k.dtype(v);
        let at = self.unit_place(self.tiles[&v], dtype)?;
        Ok(Val::Lanes(self.load_lanes(dtype, at)?))
    }

    /// Writes a value's tile at the lanes in flight.
    pub fn store_tile(&mut self, v: ValueId, x: &Val) -> Result<(), CodegenError> {
        let dtype = self.k.dtype(v);
        let at = self.unit_place(self.tiles[&v], dtype)?;
        let lanes = self.spread(dtype, x)?;
        self.store_lanes(dtype, &lanes, at)
    }
}

fn is_unit(access: &Access) -> bool {
    matches!(access, Access::Unit(_) | Access::Row(_))
}

fn is_strided(access: &Access) -> bool {
    matches!(access, Access::Strided(..))
}

/// True when elements of a body are gathered or scattered one by one: long code.
fn has_strides(body: &[LaneInst]) -> bool {
    body.iter().any(|i| match &i.op {
        LaneOp::Load { access, .. } | LaneOp::Store { access, .. } => is_strided(access),
        LaneOp::Cold { body, .. } => has_strides(body),
        _ => false,
    })
}
