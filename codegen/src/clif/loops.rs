//! The shapes of loops: nest, rows, tiles, and the lane loop with its tail.

use super::memory::Width;
use super::reduce::State;
use super::val::Val;
use super::{Copy, Emitter, GROUP};
use crate::error::CodegenError;
use crate::frame::FrameLayout;
use crate::lane::{LaneOp, Mode, Segment, Strip, operands, short_extent};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use rusttorch_ir::id::{AxisId, ValueId};
use rusttorch_ir::kernel::ROWS_GROUP;
use std::collections::HashSet;

/// Bodies below this cost per lane run two groups per iteration.
const LIGHT: usize = 8;

impl Emitter<'_> {
    /// `for i in (lo..).step_by(step)` while `i + step <= hi`, in steps of `step`; gives the value of i after.
    pub fn count_loop(
        &mut self,
        lo: Value,
        hi: Value,
        step: i64,
        body: &mut dyn FnMut(&mut Self, Value) -> Result<(), CodegenError>,
    ) -> Result<Value, CodegenError> {
        let head = self.b.create_block();
        let inside = self.b.create_block();
        let after = self.b.create_block();
        let i = self.b.append_block_param(head, types::I64);
        let last = self.b.ins().iadd_imm_s(hi, 1 - step);
        self.b.ins().jump(head, &[lo.into()]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, i, last);
        self.b.ins().brif(more, inside, &[], after, &[]);
        self.b.switch_to_block(inside);
        body(self, i)?;
        let next = self.b.ins().iadd_imm_s(i, step);
        self.b.ins().jump(head, &[next.into()]);
        self.b.switch_to_block(after);
        Ok(i)
    }

    fn axis_range(&mut self, a: AxisId) -> (Value, Value) {
        let slot = self.layout.axis(a);
        (self.slot(slot, types::I64), self.slot(slot + 1, types::I64))
    }

    /// A loop that puts an axis in scope.
    fn axis_loop(
        &mut self,
        a: AxisId,
        lo: Value,
        hi: Value,
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

    /// The outer loops, over the worker's share.
    pub fn nest(
        &mut self,
        axes: &[AxisId],
        inside: &mut dyn FnMut(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        match axes {
            [] => inside(self),
            [a, rest @ ..] => {
                let (lo, hi) = self.axis_range(*a);
                self.axis_loop(*a, lo, hi, &mut |e| e.nest(rest, inside))
            }
        }
    }

    pub fn strip(&mut self, strip: &Strip) -> Result<(), CodegenError> {
        self.copy = Copy::default();
        self.run_uniform(&strip.prelude);
        self.vals = std::mem::take(&mut self.copy.vals);
        match strip.rows {
            Some(a) => {
                let (lo, hi) = self.axis_range(a);
                self.axis_loop(a, lo, hi, &mut |e| e.segments(strip))
            }
            None => self.segments(strip),
        }
    }

    fn segments(&mut self, strip: &Strip) -> Result<(), CodegenError> {
        match (strip.mode, strip.tile) {
            (Mode::Inner, _) => {
                for s in &strip.segments {
                    self.inner_segment(s)?;
                }
                Ok(())
            }
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
    fn enter(&mut self, seg: &Segment) {
        self.copy.bases.clear();
        self.copy.splats.clear();
        self.group.clear();
        self.run_uniform(&seg.prelude);
        self.group.clear();
        self.prepare_accesses(&seg.body);
        self.prepare_splats(seg);
    }

    /// Vector forms of what the body uses and does not make, constants excepted: those come from
    /// the constant pool where they are used, which costs no register across the loop.
    fn prepare_splats(&mut self, seg: &Segment) {
        let mut used = Vec::new();
        operands(&seg.body, &mut used);
        used.extend(seg.reduces.iter().flat_map(|r| r.args.iter().copied()));
        let constant: HashSet<ValueId> =
            seg.prelude.iter().filter(|i| matches!(i.op, LaneOp::Const(_))).map(|i| i.results[0]).collect();
        for v in used {
            if constant.contains(&v) || self.copy.splats.contains_key(&v) {
                continue;
            }
            let known = self.copy.vals.get(&v).or_else(|| self.vals.get(&v)).cloned();
            if let Some(Val::Scalar(s)) = known {
                let l = self.splat(self.k.dtype(v), s, GROUP);
                self.copy.splats.insert(v, l);
            }
        }
    }

    /// Puts the vector forms of constants at hand for one group.
    fn group_constants(&mut self, seg: &Segment) {
        self.group.clear();
        for inst in &seg.prelude {
            if let LaneOp::Const(l) = inst.op {
                let v = self.vector_const(l, GROUP);
                self.group.insert(inst.results[0], v);
            }
        }
    }

    /// Runs `f` for every group of lanes in `[lo, hi)`, `groups` of them per iteration where there are
    /// as many, then for every lane left; with `groups` 0, for every lane by itself.
    pub fn lane_loop(
        &mut self,
        axis: AxisId,
        lo: Value,
        hi: Value,
        groups: usize,
        f: &mut dyn FnMut(&mut Self, Width) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        self.lane_axis = Some(axis);
        // A tile's axis is in scope already, before the axes of the nests.
        let enters = !self.scope.contains(&axis);
        if enters {
            self.scope.push(axis);
        }
        let mut at = lo;
        if groups > 1 {
            at = self.count_loop(at, hi, (groups * GROUP) as i64, &mut |e, i| {
                for g in 0..groups {
                    let k = e.b.ins().iadd_imm_s(i, (g * GROUP) as i64);
                    e.axes.insert(axis, k);
                    f(e, Width::Vector)?;
                }
                Ok(())
            })?;
        }
        if groups > 0 {
            at = self.count_loop(at, hi, GROUP as i64, &mut |e, i| {
                e.axes.insert(axis, i);
                f(e, Width::Vector)
            })?;
        }
        self.count_loop(at, hi, 1, &mut |e, i| {
            e.axes.insert(axis, i);
            f(e, Width::One)
        })?;
        if enters {
            self.scope.pop();
        }
        self.lane_axis = None;
        Ok(())
    }

    /// Emits a segment's body for the lanes in flight.
    pub fn body(&mut self, seg: &Segment, width: Width) {
        if width == Width::Vector {
            self.group_constants(seg);
        } else {
            self.group.clear();
        }
        self.run(&seg.body, width);
    }

    // ---- lanes along the nests' own axes ----

    fn inner_segment(&mut self, seg: &Segment) -> Result<(), CodegenError> {
        let Some(lanes) = seg.lanes else {
            // Everything is uniform, and visible from here on.
            self.copy = Copy::default();
            self.enter(seg);
            let vals = std::mem::take(&mut self.copy.vals);
            self.vals.extend(vals);
            return Ok(());
        };
        let states = self.begin_reduces(seg);
        self.inner_loops(seg, &seg.loops, lanes, &states)?;
        self.finish_reduces(seg, &states);
        Ok(())
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
            let hi = self.index(&extent);
            return self.axis_loop(*a, lo, hi, &mut |e| e.inner_loops(seg, rest, lanes, states));
        }
        let extent = self.k.axes[lanes.index()].clone();
        let n = self.index(&extent);
        // A prelude may read memory that is there only if some lane runs.
        let run = self.b.create_block();
        let done = self.b.create_block();
        let some = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, n, 0);
        self.b.ins().brif(some, run, &[], done, &[]);
        self.b.switch_to_block(run);
        self.copy = Copy::default();
        self.lane_axis = Some(lanes);
        self.enter(seg);
        let zero = self.int(0);
        if seg.reduces.is_empty() {
            let groups = match (seg.serial, seg.cost <= LIGHT) {
                (true, _) => 0,
                (false, true) => 2,
                (false, false) => 1,
            };
            self.lane_loop(lanes, zero, n, groups, &mut |e, width| {
                e.body(seg, width);
                Ok(())
            })?;
        } else {
            self.reduce_run(seg, lanes, n, states)?;
        }
        self.lane_axis = None;
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
        self.copy = Copy::default();
        Ok(())
    }

    // ---- lanes along the last outer axis ----

    fn tiles(&mut self, tile: AxisId, strip: &Strip) -> Result<(), CodegenError> {
        let (lo, hi) = self.axis_range(tile);
        if !strip.tiled {
            // One segment of straight-line code: any number of lanes.
            let seg = &strip.segments[0];
            self.copy = Copy::default();
            self.lane_axis = Some(tile);
            self.enter(seg);
            let groups = if seg.cost <= LIGHT { 2 } else { 1 };
            return self.lane_loop(tile, lo, hi, groups, &mut |e, width| {
                e.body(seg, width);
                Ok(())
            });
        }
        let width = self.slot(FrameLayout::TILE, types::I64);
        let head = self.b.create_block();
        let inside = self.b.create_block();
        let after = self.b.create_block();
        let begin = self.b.append_block_param(head, types::I64);
        self.b.ins().jump(head, &[lo.into()]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, begin, hi);
        self.b.ins().brif(more, inside, &[], after, &[]);
        self.b.switch_to_block(inside);
        let full = self.b.ins().iadd(begin, width);
        let end = self.b.ins().smin(full, hi);
        self.tiles.clear();
        self.tile_begin = begin;
        for seg in &strip.segments {
            self.tiled_segment(tile, begin, end, seg)?;
        }
        self.b.ins().jump(head, &[end.into()]);
        self.b.switch_to_block(after);
        Ok(())
    }

    fn tiled_segment(&mut self, tile: AxisId, begin: Value, end: Value, seg: &Segment) -> Result<(), CodegenError> {
        let results: Vec<ValueId> = seg.reduces.iter().flat_map(|r| r.results.iter().copied()).collect();
        for &v in seg.keeps.iter().chain(&results) {
            let p = self.tile_base(v, begin);
            self.tiles.insert(v, p);
        }
        if !seg.reduces.is_empty() && !seg.is_short(self.k) {
            self.lane_loop(tile, begin, end, 1, &mut |e, width| {
                for r in &seg.reduces {
                    e.store_identity(r, width);
                }
                Ok(())
            })?;
        }
        self.tiled_loops(tile, begin, end, seg, &seg.loops)?;
        Ok(())
    }

    fn tiled_loops(
        &mut self,
        tile: AxisId,
        begin: Value,
        end: Value,
        seg: &Segment,
        loops: &[AxisId],
    ) -> Result<(), CodegenError> {
        match loops {
            [] => self.tile_pass(tile, begin, end, seg, &[]),
            [a] if seg.is_short(self.k) => {
                let n = short_extent(self.k, *a).unwrap_or(0);
                let rows: Vec<(AxisId, Value)> = (0..n).map(|i| (*a, self.int(i))).collect();
                self.scope.push(*a);
                self.tile_pass(tile, begin, end, seg, &rows)?;
                self.scope.pop();
                Ok(())
            }
            [a] if !seg.reduces.is_empty() => {
                let extent = self.k.axes[a.index()].clone();
                let n = self.index(&extent);
                let zero = self.int(0);
                self.scope.push(*a);
                let rest = self.count_loop(zero, n, ROWS_GROUP as i64, &mut |e, i| {
                    let rows: Vec<Value> = (0..ROWS_GROUP).map(|r| e.b.ins().iadd_imm_s(i, r as i64)).collect();
                    let rows: Vec<(AxisId, Value)> = rows.into_iter().map(|v| (*a, v)).collect();
                    e.tile_pass(tile, begin, end, seg, &rows)
                })?;
                self.count_loop(rest, n, 1, &mut |e, i| e.tile_pass(tile, begin, end, seg, &[(*a, i)]))?;
                self.scope.pop();
                Ok(())
            }
            [a, rest @ ..] => {
                let extent = self.k.axes[a.index()].clone();
                let n = self.index(&extent);
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
        begin: Value,
        end: Value,
        seg: &Segment,
        rows: &[(AxisId, Value)],
    ) -> Result<(), CodegenError> {
        self.lane_axis = Some(tile);
        let mut copies = Vec::new();
        let none = [None];
        let each: Vec<Option<(AxisId, Value)>> =
            if rows.is_empty() { none.to_vec() } else { rows.iter().map(|r| Some(*r)).collect() };
        for row in each {
            self.copy = Copy { axes: row.into_iter().collect(), ..Copy::default() };
            self.enter(seg);
            copies.push(std::mem::take(&mut self.copy));
        }
        if seg.loops.is_empty() {
            // Uniform values of an axis-free nest are visible from here on.
            self.vals.extend(copies[0].vals.clone());
        }
        self.lane_loop(tile, begin, end, 1, &mut |e, width| {
            let kept = e.load_kept(seg, width);
            let mut rows = Vec::new();
            for c in &copies {
                e.copy = c.clone();
                e.copy.vals.extend(kept.clone());
                e.body(seg, width);
                for &v in &seg.keeps {
                    e.store_kept(v, width);
                }
                rows.push(e.reduce_operands(seg, width));
            }
            e.fold_tile(seg, rows, width)
        })?;
        self.copy = Copy::default();
        Ok(())
    }

    /// Address such that adding `k * size` gives lane k of a value's tile.
    fn tile_base(&mut self, v: ValueId, begin: Value) -> Value {
        let slot = self.layout.value(v);
        let p = self.slot(slot, types::I64);
        let skip = self.b.ins().ishl_imm_s(begin, i64::from(self.k.dtype(v).size().trailing_zeros()));
        self.b.ins().isub(p, skip)
    }

    /// Values of earlier segments that this one uses, for the lanes in flight.
    fn load_kept(&mut self, seg: &Segment, width: Width) -> Vec<(ValueId, Val)> {
        let mut used = Vec::new();
        operands(&seg.body, &mut used);
        used.extend(seg.reduces.iter().flat_map(|r| r.args.iter().copied()));
        let own: HashSet<ValueId> =
            seg.keeps.iter().copied().chain(seg.reduces.iter().flat_map(|r| r.results.iter().copied())).collect();
        let mut out: Vec<(ValueId, Val)> = Vec::new();
        for v in used {
            if own.contains(&v) || out.iter().any(|(x, _)| *x == v) {
                continue;
            }
            if let Some(&base) = self.tiles.get(&v) {
                out.push((v, self.load_tile(v, base, width)));
            }
        }
        out
    }

    /// A value's tile at the lanes in flight.
    pub fn load_tile(&mut self, v: ValueId, base: Value, width: Width) -> Val {
        let dtype = self.k.dtype(v);
        let p = self.unit_address(base, dtype);
        match width {
            Width::One => Val::Scalar(self.load_scalar(dtype, p, 0)),
            Width::Vector => Val::Lanes(self.load_group(dtype, p, 0)),
        }
    }

    /// Writes a value's tile at the lanes in flight.
    pub fn store_tile(&mut self, v: ValueId, x: &Val, width: Width) {
        let dtype = self.k.dtype(v);
        let base = self.tiles[&v];
        let p = self.unit_address(base, dtype);
        match (width, x) {
            (Width::One, _) => {
                let s = self.lane_of(x, dtype, 0);
                self.store_scalar(dtype, s, p, 0);
            }
            (Width::Vector, Val::Lanes(l)) => self.store_group(dtype, l, p, 0),
            (Width::Vector, Val::Scalar(s)) => {
                let l = self.splat(dtype, *s, GROUP);
                self.store_group(dtype, &l, p, 0);
            }
        }
    }

    fn store_kept(&mut self, v: ValueId, width: Width) {
        let x = self.val(v);
        self.store_tile(v, &x, width);
    }
}
