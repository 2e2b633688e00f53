//! What a plan knows before it sees memory: the range of every index over the box of axis ranges, and the layout of a
//! worker's scratch.

use super::{LaunchError, PhasePlan, invalid};
use rusttorch_codegen::FrameLayout;
use rusttorch_ir::id::{AxisId, BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::interp::is_site;
use rusttorch_ir::kernel::{BufferKind, Inst, Kernel, Op, Phase};

/// Scratch that one worker may use per phase; a strip's tiles shrink until it suffices.
const SCRATCH_BYTES: usize = 192 << 10;
/// Widest tile, in lanes.
const MAX_TILE: usize = 2048;
/// Smallest tile and its step: 64 bytes of 32-bit lanes.
pub(super) const TILE_STEP: usize = 16;

pub(super) fn uniform(e: &IndexExpr, syms: &[i64]) -> Result<i64, LaunchError> {
    let r = e.range(&|_| (0, 0), &|s| syms[s.index()], &|_| (0, 0));
    match r {
        Some((a, b)) if a == b && a >= 0 => Ok(a),
        _ => Err(invalid(format_args!("extent {e} is not a size"))),
    }
}

/// Evaluates the ranges of all indices of a kernel.
pub(super) struct Ranges<'a> {
    pub k: &'a Kernel,
    pub syms: &'a [i64],
    pub touched: &'a mut Vec<Option<(i64, i64)>>,
    pub masked: &'a mut Vec<Option<(i64, i64)>>,
    /// Checks and divisions before the current instruction.
    pub sites: usize,
}

impl Ranges<'_> {
    pub fn phase(
        &mut self,
        phase: &Phase,
        tiles: Option<&[ValueId]>,
        layout: &FrameLayout,
    ) -> Result<PhasePlan, LaunchError> {
        let mut boxes = vec![(0i64, 0i64); self.k.axes.len()];
        let mut extents = Vec::new();
        for a in &phase.axes {
            let e = uniform(&self.k.axes[a.index()], self.syms)?;
            boxes[a.index()] = (0, e - 1);
            extents.push(e);
        }
        let points =
            extents.iter().try_fold(1i64, |p, &e| p.checked_mul(e)).ok_or_else(|| invalid("too many points"))?;
        let mut work = 0i64;
        let before = self.sites;
        if points > 0 {
            // Extents that depend on outer axes (the last block is shorter) are exact when the last
            // iteration of those axes is looked at by itself.
            let controlling: Vec<AxisId> = phase
                .axes
                .iter()
                .copied()
                .filter(|&a| phase.nests.iter().flat_map(|n| &n.axes).any(|n| self.k.axes[n.index()].uses_axis(a)))
                .collect();
            self.corners(phase, &controlling, &mut boxes, &mut work)?;
        }
        let sites = phase.nests.iter().flat_map(|n| &n.body).filter(|i| is_site(&i.op)).count();
        self.sites = before + sites;
        let lane_axis = phase
            .axes
            .len()
            .checked_sub(1)
            .filter(|_| tiles.is_some() || phase.nests.iter().all(|n| n.axes.is_empty()));
        // The outermost axis that is long enough, else the longest.
        let split = (0..extents.len())
            .find(|&i| extents[i] >= 64)
            .or_else(|| (0..extents.len()).max_by_key(|&i| (extents[i], std::cmp::Reverse(i))))
            .filter(|&i| extents[i] > 1);
        let mut plan = PhasePlan {
            lanes: split.is_some() && split == lane_axis,
            extents,
            work: work.max(points),
            split,
            tile: MAX_TILE,
            scratch: Vec::new(),
            scratch_bytes: 0,
        };
        self.scratch(phase, tiles, layout, &mut plan)?;
        Ok(plan)
    }

    fn corners(
        &mut self,
        phase: &Phase,
        controlling: &[AxisId],
        boxes: &mut Vec<(i64, i64)>,
        work: &mut i64,
    ) -> Result<(), LaunchError> {
        let Some((a, rest)) = controlling.split_first() else {
            let before = self.sites;
            self.nests(phase, boxes, work)?;
            self.sites = before;
            return Ok(());
        };
        let (lo, hi) = boxes[a.index()];
        boxes[a.index()] = (hi, hi);
        self.corners(phase, rest, boxes, work)?;
        if hi > lo {
            boxes[a.index()] = (lo, hi - 1);
            self.corners(phase, rest, boxes, work)?;
        }
        boxes[a.index()] = (lo, hi);
        Ok(())
    }

    fn range(&self, e: &IndexExpr, boxes: &[(i64, i64)], checks: &[(ValueId, i64)]) -> Result<(i64, i64), LaunchError> {
        let value = |v: ValueId| {
            let size = checks.iter().find(|(c, _)| *c == v).map_or(1, |(_, s)| *s);
            (0, (size - 1).max(0))
        };
        e.range(&|a| boxes[a.index()], &|s| self.syms[s.index()], &value)
            .ok_or_else(|| invalid(format_args!("index {e} overflows or divides by less than 1")))
    }

    fn nests(&mut self, phase: &Phase, boxes: &mut [(i64, i64)], work: &mut i64) -> Result<(), LaunchError> {
        let mut points = 1i64;
        for a in &phase.axes {
            let (lo, hi) = boxes[a.index()];
            points = points.saturating_mul(hi - lo + 1);
        }
        let mut checks = Vec::new();
        for nest in &phase.nests {
            let mut inner = 1i64;
            for a in &nest.axes {
                let e = &self.k.axes[a.index()];
                let (least, extent) = self.range(e, boxes, &checks)?;
                // The range of an extent that depends on axes may be too wide, so that it goes below 0
                // where the extent does not; loops count in i64 and need some room.
                if least < if e.is_uniform() { 0 } else { i64::MIN / 2 } {
                    return Err(invalid(format_args!("extent {e} is not a size")));
                }
                boxes[a.index()] = (0, extent.saturating_sub(1));
                inner = inner.saturating_mul(extent.max(0));
            }
            *work = work.saturating_add(points.saturating_mul(inner).saturating_mul(1 + nest.body.len() as i64 / 8));
            if inner > 0 {
                self.body(&nest.body, boxes, &mut checks)?;
            }
            self.sites += nest.body.iter().filter(|i| is_site(&i.op)).count();
        }
        Ok(())
    }

    fn body(
        &mut self,
        body: &[Inst],
        boxes: &[(i64, i64)],
        checks: &mut Vec<(ValueId, i64)>,
    ) -> Result<(), LaunchError> {
        let mut site = self.sites;
        for inst in body {
            match &inst.op {
                Op::Load { buffer, index, mask } | Op::Store { buffer, index, mask, .. } => {
                    let (lo, hi) = self.range(index, boxes, checks)?;
                    // Masked accesses are held within the buffer by the code itself.
                    let ranges = if mask.is_none() { &mut self.touched } else { &mut self.masked };
                    let t = &mut ranges[buffer.index()];
                    *t = Some(t.map_or((lo, hi), |(a, b)| (a.min(lo), b.max(hi))));
                }
                Op::Index(e) => {
                    self.range(e, boxes, checks)?;
                }
                Op::Check { size, .. } => {
                    let (lo, hi) = self.range(size, boxes, checks)?;
                    if lo < 0 {
                        return Err(invalid(format_args!("size {size} may be negative")));
                    }
                    // Index 0 is read where the check fails: of an empty dimension there is none.
                    if hi == 0 {
                        return Err(LaunchError::Index { value: 0, size: 0, site });
                    }
                    checks.push((inst.results[0], hi));
                }
                Op::Cold { body, .. } => self.body(body, boxes, checks)?,
                Op::Const(_)
                | Op::Scalar(_)
                | Op::Prim(..)
                | Op::Lookup { .. }
                | Op::Call { .. }
                | Op::Reduce { .. } => {}
            }
            site += usize::from(is_site(&inst.op));
        }
        Ok(())
    }

    /// Lays out row buffers and tiles in a worker's scratch.
    fn scratch(
        &self,
        phase: &Phase,
        tiles: Option<&[ValueId]>,
        layout: &FrameLayout,
        plan: &mut PhasePlan,
    ) -> Result<(), LaunchError> {
        let values = tiles.unwrap_or_default();
        let tiled = tiles.is_some();
        let mut rows: Vec<(BufferId, usize, usize)> = Vec::new();
        for inst in phase.nests.iter().flat_map(|n| &n.body) {
            if let Op::Load { buffer, .. } | Op::Store { buffer, .. } = &inst.op {
                let b = &self.k.buffers[buffer.index()];
                if let BufferKind::Row(len) = &b.kind
                    && !rows.iter().any(|(id, ..)| id == buffer)
                {
                    let len =
                        usize::try_from(uniform(len, self.syms)?).map_err(|_| invalid("a row's size overflows"))?;
                    rows.push((*buffer, len, b.dtype.size()));
                }
            }
        }
        let row_bytes = |(_, len, size): &(BufferId, usize, usize)| len.checked_mul(*size);
        if tiled {
            let mut per_lane = values.iter().map(|v| self.k.dtype(*v).size()).sum::<usize>();
            for r in &rows {
                per_lane =
                    row_bytes(r).and_then(|b| b.checked_add(per_lane)).ok_or_else(|| invalid("scratch overflows"))?;
            }
            let fit = SCRATCH_BYTES / per_lane.max(1) / TILE_STEP * TILE_STEP;
            plan.tile = fit.clamp(TILE_STEP, MAX_TILE);
        }
        let lanes = if tiled { plan.tile } else { 1 };
        let mut at = 0usize;
        let mut place = |slot: usize, bytes: Option<usize>| -> Result<(), LaunchError> {
            plan.scratch.push((slot, at));
            // Lines apart, and a little more, so that equal offsets of two rows do not share a cache set.
            let end = bytes.and_then(|b| b.checked_add(at + 63 + 64)).ok_or_else(|| invalid("scratch overflows"))?;
            at = end & !63;
            Ok(())
        };
        for r in &rows {
            place(layout.buffer(r.0), row_bytes(r).and_then(|b| b.checked_mul(lanes)))?;
        }
        for v in values {
            place(layout.value(*v), Some(lanes * self.k.dtype(*v).size()))?;
        }
        plan.scratch_bytes = at;
        Ok(())
    }
}
