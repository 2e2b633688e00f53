//! Kernel phase -> lane code: chooses the axis that lanes run along, resolves every access against
//! it, and moves what is the same for all lanes out of the lane loop.
//!
//! The choice follows the kernel's text alone, so that the order of every reduction is the same for
//! every emitter.

use crate::error::CodegenError;
use crate::hoist::hoist;
use crate::lane::{Access, LaneInst, LaneOp, LaneReduce, Mode, PERIOD_MAX, Program, Segment, Strip, short_extent};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::{AxisId, BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::interp::is_site;
use rusttorch_ir::kernel::{BufferKind, Inst, Kernel, Nest, Op, Order, Phase, Reduction};
use rusttorch_ir::prim::Prim;
use std::collections::HashSet;

/// Lane code of every phase of a verified kernel whose `moments` have been expanded.
pub fn schedule(kernel: &Kernel) -> Result<Vec<Program>, CodegenError> {
    let mut site = 0;
    kernel.phases.iter().map(|phase| schedule_phase(kernel, phase, &mut site)).collect()
}

fn schedule_phase(kernel: &Kernel, phase: &Phase, site: &mut u32) -> Result<Program, CodegenError> {
    let first = *site;
    if prefers_outer(kernel, phase) {
        match schedule_as(kernel, phase, Mode::Outer, site) {
            // Slower, but it takes everything.
            Err(CodegenError::Unsupported(_)) => *site = first,
            done => return done,
        }
    }
    schedule_as(kernel, phase, Mode::Inner, site)
}

fn schedule_as(kernel: &Kernel, phase: &Phase, mode: Mode, site: &mut u32) -> Result<Program, CodegenError> {
    let mut nest = phase.axes.clone();
    let tile = if mode == Mode::Outer { nest.pop() } else { None };
    if let Some(tile) = tile {
        let mut extents = phase.nests.iter().flat_map(|n| &n.axes).map(|a| &kernel.axes[a.index()]);
        if extents.any(|e| e.uses_axis(tile)) {
            return Err(CodegenError::unsupported("an extent that differs between the lanes of a tile"));
        }
    }
    let mut segments = Vec::new();
    let rows = row_buffers(kernel);
    let mut uniform = Uniform { lanes: None, varying: HashSet::new(), kept: kept_values(phase), rows: &rows, mode };
    for n in &phase.nests {
        segments.push(schedule_nest(n, mode, tile, &mut uniform, site)?);
    }
    let tiled = mode == Mode::Outer
        && (segments.len() > 1 || segments.iter().any(|s| !s.loops.is_empty()) || touches(phase, &rows));
    // A tiled strip walks its columns down all rows: nothing to gain from owning another loop.
    let rows = if tiled { None } else { nest.pop() };
    let prelude = hoist(&mut segments);
    Ok(Program { nest, strip: Strip { mode, rows, tile, tiled, prelude, segments } })
}

/// True when lanes should run along the last outer axis: where no nest has an axis of its own but short ones, and
/// where all reductions are in the order of rows or over a short axis.
fn prefers_outer(kernel: &Kernel, phase: &Phase) -> bool {
    let mut reduces = false;
    let is_short = |n: &Nest| matches!(n.axes[..], [a] if short_extent(kernel, a).is_some());
    let fits = phase.nests.iter().all(|n| {
        let short = is_short(n);
        let orders: HashSet<Order> = n
            .body
            .iter()
            .filter_map(|inst| if let Op::Reduce { order, .. } = inst.op { Some(order) } else { None })
            .collect();
        reduces |= !orders.is_empty();
        !orders.contains(&Order::Lanes) || (short && orders.len() == 1)
    });
    let bare = phase.nests.iter().all(|n| n.axes.is_empty() || is_short(n));
    !phase.axes.is_empty() && fits && (bare || reduces)
}

/// Values that are used outside the nest that defines them.
fn kept_values(phase: &Phase) -> HashSet<ValueId> {
    let mut home = std::collections::HashMap::new();
    let mut kept = HashSet::new();
    for (n, nest) in phase.nests.iter().enumerate() {
        visit_insts(&nest.body, &mut |inst| {
            inst.op.for_operands(&mut |v| {
                if home.get(&v).is_some_and(|&h| h != n) {
                    kept.insert(v);
                }
            });
            for &r in &inst.results {
                home.insert(r, n);
            }
        });
    }
    kept
}

fn row_buffers(kernel: &Kernel) -> HashSet<BufferId> {
    let is_row = |i: &usize| matches!(kernel.buffers[*i].kind, BufferKind::Row(_));
    (0..kernel.buffers.len()).filter(is_row).map(BufferId::new).collect()
}

fn touches(phase: &Phase, buffers: &HashSet<BufferId>) -> bool {
    phase.nests.iter().flat_map(|n| &n.body).any(|inst| match &inst.op {
        Op::Load { buffer, .. } | Op::Store { buffer, .. } => buffers.contains(buffer),
        _ => false,
    })
}

/// Visits instructions, those of cold bodies before the one that has them.
pub(crate) fn visit_insts(body: &[Inst], f: &mut impl FnMut(&Inst)) {
    for inst in body {
        if let Op::Cold { body, .. } = &inst.op {
            visit_insts(body, f);
        }
        f(inst);
    }
}

/// What is known to differ from lane to lane.
struct Uniform<'a> {
    lanes: Option<AxisId>,
    varying: HashSet<ValueId>,
    kept: HashSet<ValueId>,
    rows: &'a HashSet<BufferId>,
    mode: Mode,
}

impl Uniform<'_> {
    /// True for row scratch of which every lane has its own.
    fn row_per_lane(&self, buffer: BufferId) -> bool {
        self.mode == Mode::Outer && self.rows.contains(&buffer)
    }

    fn buffer_access(&self, buffer: BufferId, e: &IndexExpr, masked: bool) -> Result<Access, CodegenError> {
        if !self.row_per_lane(buffer) {
            return Ok(self.access(e));
        }
        if self.index_varies(e) || masked {
            return Err(CodegenError::unsupported("row scratch indexed by lane under a tile"));
        }
        Ok(Access::Row(e.clone()))
    }

    fn index_varies(&self, e: &IndexExpr) -> bool {
        let mut varies = false;
        e.visit(&mut |e| match e {
            IndexExpr::Axis(a) => varies |= Some(*a) == self.lanes,
            IndexExpr::Value(v) => varies |= self.varying.contains(v),
            _ => {}
        });
        varies
    }

    /// The constant by which the lane axis is taken modulo, wherever it occurs.
    fn period(&self, e: &IndexExpr) -> Option<i64> {
        let lanes = self.lanes?;
        if let IndexExpr::Mod(x, m) = e
            && let (IndexExpr::Axis(x), IndexExpr::Const(p)) = (&**x, &**m)
            && *x == lanes
        {
            return (1..=PERIOD_MAX).contains(p).then_some(*p);
        }
        let (a, b) = e.children()?;
        match (self.index_varies(a), self.index_varies(b)) {
            (true, false) => self.period(a),
            (false, true) => self.period(b),
            _ => None,
        }
    }

    fn access(&self, e: &IndexExpr) -> Access {
        if !self.index_varies(e) {
            return Access::Uniform(e.clone());
        }
        // The rest of the expression may be anything, as long as it is the same for all lanes.
        match lane_step(e, self) {
            Some(IndexExpr::Const(1)) => Access::Unit(e.clone()),
            Some(step) => Access::Strided(e.clone(), step),
            None => match self.period(e) {
                Some(p) => Access::Periodic(e.clone(), p),
                None => Access::Indexed(e.clone()),
            },
        }
    }
}

/// The coefficient of the lane axis in an expression that is linear in it; None where it is not.
fn lane_step(e: &IndexExpr, u: &Uniform) -> Option<IndexExpr> {
    if !u.index_varies(e) {
        return Some(IndexExpr::zero());
    }
    match e {
        IndexExpr::Axis(_) => Some(IndexExpr::Const(1)),
        IndexExpr::Add(a, b) => Some(lane_step(a, u)? + lane_step(b, u)?),
        IndexExpr::Mul(a, b) => {
            let (k, x) = if u.index_varies(a) { (b, a) } else { (a, b) };
            let uniform_factor = !u.index_varies(k);
            // The step is evaluated outside the loops of the segment: symbols and constants only.
            (uniform_factor && k.is_uniform()).then(|| lane_step(x, u).map(|s| (**k).clone() * s))?
        }
        _ => None,
    }
}

fn schedule_nest(
    nest: &Nest,
    mode: Mode,
    tile: Option<AxisId>,
    uniform: &mut Uniform,
    site: &mut u32,
) -> Result<Segment, CodegenError> {
    let mut loops = nest.axes.clone();
    let lanes = match mode {
        Mode::Inner => loops.pop(),
        Mode::Outer => tile,
    };
    uniform.lanes = lanes;
    let mut stored = HashSet::new();
    visit_insts(&nest.body, &mut |inst| {
        if let Op::Store { buffer, .. } = inst.op {
            stored.insert(buffer);
        }
    });
    // Lanes of a tile are outer points, which are independent.
    let serial = mode == Mode::Inner && lanes.is_some() && carries(nest, uniform);
    let mut seg =
        Segment { loops, lanes, prelude: vec![], body: vec![], reduces: vec![], keeps: vec![], serial, cost: 0 };
    for inst in &nest.body {
        if let Op::Reduce { kind, order, args } = &inst.op {
            if *kind == Reduction::Moments {
                return Err(CodegenError::unsupported("moments of what the nest overwrites"));
            }
            if mode == Mode::Outer {
                uniform.varying.extend(&inst.results);
            }
            seg.reduces.push(LaneReduce {
                kind: *kind,
                order: *order,
                args: args.clone(),
                results: inst.results.clone(),
            });
            continue;
        }
        let varies = instruction_varies(&inst.op, uniform, &stored);
        let mut lane = lower_inst(inst, uniform, site, varies)?;
        if let LaneOp::Load { buffer, access, .. } = &mut lane.op
            && let Access::Periodic(e, _) = access
            && stored.contains(buffer)
        {
            *access = Access::Indexed(e.clone());
        }
        if varies {
            uniform.varying.extend(&inst.results);
            seg.cost += cost(&lane.op);
            seg.keeps.extend(inst.results.iter().filter(|r| uniform.kept.contains(r)));
            seg.body.push(lane);
        } else {
            seg.prelude.push(lane);
        }
    }
    // Without lanes there is no lane loop: everything is uniform (L1 holds trivially) and stays in order.
    if seg.lanes.is_none() {
        debug_assert!(seg.body.is_empty() && seg.reduces.is_empty());
    }
    Ok(seg)
}

/// True when a lane may touch what another lane of the same run stores, so that the order of lanes can
/// be seen. Strides that are known at run time only are taken to be other than 0.
fn carries(nest: &Nest, u: &mut Uniform) -> bool {
    let mut accesses: Vec<(BufferId, &IndexExpr, bool)> = Vec::new();
    let (mut stores, mut varying) = (HashSet::new(), Vec::new());
    for inst in &nest.body {
        match &inst.op {
            Op::Store { buffer, index, add, .. } => {
                stores.insert(*buffer);
                accesses.push((*buffer, index, *add));
            }
            Op::Load { buffer, index, .. } => accesses.push((*buffer, index, true)),
            // Only these occur in indices, and here they differ between lanes.
            Op::Check { .. } => varying.extend(inst.results.iter().copied()),
            _ => {}
        }
    }
    u.varying.extend(varying);
    accesses.iter().enumerate().any(|(n, &(buffer, index, reads))| {
        stores.contains(&buffer)
            && accesses[n + 1..].iter().any(|&(other, other_index, other_reads)| {
                buffer == other && {
                    let only_written = !reads && !other_reads && index == other_index;
                    !only_written && may_meet(index, other_index, u)
                }
            })
    })
}

/// True when two lanes of a run may address the same element, one by each expression.
fn may_meet(a: &IndexExpr, b: &IndexExpr, u: &Uniform) -> bool {
    let (Some(step), Some(other)) = (lane_step(a, u), lane_step(b, u)) else { return true };
    if step != other || step == IndexExpr::zero() {
        return true;
    }
    if a == b {
        return false;
    }
    // Interleaved: offsets that differ by no multiple of the step.
    let split = |e: &IndexExpr| match e {
        IndexExpr::Add(rest, c) => match **c {
            IndexExpr::Const(c) => ((**rest).clone(), c),
            _ => (e.clone(), 0),
        },
        _ => (e.clone(), 0),
    };
    let ((a, x), (b, y)) = (split(a), split(b));
    !matches!(step, IndexExpr::Const(s) if a == b && x.wrapping_sub(y).wrapping_rem(s) != 0)
}

/// True when the instruction must run lane by lane: its value differs between lanes, or it has an
/// effect that belongs to every lane.
fn instruction_varies(op: &Op, u: &Uniform, stored: &HashSet<BufferId>) -> bool {
    let Some(_) = u.lanes else { return false };
    let mut varies = false;
    op.for_operands(&mut |v| varies |= u.varying.contains(&v));
    match op {
        Op::Index(e) => varies || u.index_varies(e),
        // What the segment itself writes is read where the text says.
        Op::Load { buffer, index, .. } => {
            varies || u.index_varies(index) || stored.contains(buffer) || u.row_per_lane(*buffer)
        }
        // Effects happen once per lane.
        Op::Store { .. } | Op::Check { .. } | Op::Reduce { .. } => true,
        Op::Prim(Prim::IDiv | Prim::IRem, ..) => true,
        Op::Cold { body, .. } => {
            visit_insts(body, &mut |i| {
                i.op.for_operands(&mut |v| varies |= u.varying.contains(&v));
                varies |= matches!(&i.op, Op::Index(e) if u.index_varies(e));
            });
            varies
        }
        Op::Const(_) | Op::Scalar(_) | Op::Prim(..) | Op::Lookup { .. } | Op::Call { .. } => varies,
    }
}

fn lower_inst(inst: &Inst, u: &mut Uniform, site: &mut u32, varies: bool) -> Result<LaneInst, CodegenError> {
    let op = match &inst.op {
        Op::Const(l) => LaneOp::Const(*l),
        Op::Scalar(s) => LaneOp::Scalar(*s),
        Op::Index(e) => LaneOp::Index(u.access(e)),
        Op::Prim(p, t, args) => LaneOp::Prim(*p, *t, args.clone()),
        Op::Load { buffer, index, mask } => {
            LaneOp::Load { buffer: *buffer, access: u.buffer_access(*buffer, index, mask.is_some())?, mask: *mask }
        }
        Op::Store { buffer, index, value, mask, add } => LaneOp::Store {
            buffer: *buffer,
            access: u.buffer_access(*buffer, index, mask.is_some())?,
            value: *value,
            mask: *mask,
            add: *add,
        },
        Op::Check { value, size, wrap, mask } => {
            LaneOp::Check { value: *value, size: size.clone(), wrap: *wrap, mask: *mask }
        }
        Op::Lookup { table, index } => LaneOp::Lookup(table.clone(), *index),
        Op::Call { func, args } => LaneOp::Call(*func, args.clone()),
        Op::Reduce { .. } => unreachable!("handled by the caller"),
        Op::Cold { mask, body, slow, fast } => {
            let body = body
                .iter()
                .map(|i| {
                    let lane = lower_inst(i, u, site, varies)?;
                    if varies {
                        u.varying.extend(&i.results);
                    }
                    Ok(lane)
                })
                .collect::<Result<_, CodegenError>>()?;
            LaneOp::Cold { mask: *mask, body, slow: slow.clone(), fast: fast.clone() }
        }
    };
    let mut number = 0;
    if is_site(&inst.op) {
        number = *site;
        *site += 1;
    }
    Ok(LaneInst { results: inst.results.clone(), op, site: number })
}

fn cost(op: &LaneOp) -> usize {
    match op {
        LaneOp::Const(_) | LaneOp::Scalar(_) => 0,
        LaneOp::Prim(Prim::Div | Prim::Sqrt | Prim::Scale, ..) => 5,
        LaneOp::Prim(Prim::Convert, DType::F16 | DType::BF16, _) => 5,
        LaneOp::Prim(..) | LaneOp::Index(_) | LaneOp::Store { .. } => 1,
        LaneOp::Load {
            access: Access::Unit(_) | Access::Uniform(_) | Access::Periodic(..) | Access::Row(_),
            mask: None,
            ..
        } => 1,
        LaneOp::Load { .. } | LaneOp::Check { .. } | LaneOp::Lookup(..) => 4,
        LaneOp::Call(..) => 40,
        LaneOp::Cold { body, .. } => 2 + body.len() / 2,
    }
}
