//! Unroll and jam: several rows of a strip that reduces run together.
//!
//! A row of 64 elements is a few vectors; its time is the chain from its first load over the folding of lanes,
//! a division and a square root to its last store, and the instructions around that. Of rows that run together the chains
//! overlap, lanes are folded by fewer instructions, and what a row has once (`1 / sqrt(variance)`) is computed for all of them in
//! one vector. Every pass reads and writes row after row: with several rows in turns, no prefetcher of the machine knows
//! what comes (softmax of rows of 256 over 1 Mi f32, in L3, takes two to three times as long).
//!
//! The bodies of reductions are copied, a copy per row, with values and row scratch of its own. Uniform code is not: its
//! values hold a row in each group of lanes, and the copies read their row's ([`Jammed::picks`]). Maps are not copied either:
//! a loop over the rows runs them.

use crate::lane::{Access, LaneInst, LaneOp, LaneReduce, Mode, Segment, Strip, operands};
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::{AxisId, BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::{BufferKind, Kernel, Order, Reduction};
use rusttorch_ir::prim::Prim;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A strip's code for several rows.
pub struct Jammed {
    /// The strip's kernel, which has the copies' values and row scratch too.
    pub kernel: Kernel,
    /// Rows that run together.
    pub rows: usize,
    /// As the strip's segments.
    pub steps: Vec<Step>,
    /// Uniform values of one row: the value of all rows, and which row.
    pub picks: HashMap<ValueId, (ValueId, usize)>,
    /// The extent of all lane axes.
    pub extent: IndexExpr,
    /// Copies of row scratch, by row.
    pub scratch: BTreeMap<BufferId, Vec<BufferId>>,
}

/// A segment of several rows.
pub enum Step {
    /// Uniform code, for all rows at once, or with copies of values and stores.
    Uniform(Segment),
    /// A segment for each row, one after the other. Their reductions define the same values, which hold all rows.
    Together(Vec<Segment>),
    /// For each row as it is; it reads these uniform values of one row.
    Each(Segment, Vec<ValueId>),
}

/// The strip's code for `rows` rows; None where rows cannot run together, or gain nothing by it.
pub fn jam(kernel: &Kernel, strip: &Strip, rows: usize) -> Option<Jammed> {
    let axis = strip.rows?;
    let reduces = strip.segments.iter().any(|s| !s.reduces.is_empty());
    if strip.mode != Mode::Inner || !reduces {
        return None;
    }
    let lanes = strip.segments.iter().find_map(|s| s.lanes)?;
    let extent = kernel.axes[lanes.index()].clone();
    let mut j = Jam {
        axis,
        by_row: HashSet::new(),
        stored: stored(strip),
        copies: HashMap::new(),
        out: Jammed {
            kernel: kernel.clone(),
            rows,
            steps: Vec::new(),
            picks: HashMap::new(),
            extent,
            scratch: BTreeMap::new(),
        },
    };
    if j.out.extent.uses_axis(axis) {
        return None;
    }
    for seg in &strip.segments {
        match seg.lanes {
            Some(lanes) => j.lanes(seg, lanes)?,
            None => j.uniform(seg)?,
        }
    }
    Some(j.out)
}

/// What a strip writes to.
fn stored(strip: &Strip) -> HashSet<BufferId> {
    let insts = strip.segments.iter().flat_map(|s| s.prelude.iter().chain(&s.body));
    insts.filter_map(|i| if let LaneOp::Store { buffer, .. } = i.op { Some(buffer) } else { None }).collect()
}

struct Jam {
    /// Of the rows.
    axis: AxisId,
    /// Values that differ between rows.
    by_row: HashSet<ValueId>,
    stored: HashSet<BufferId>,
    /// A value's copies, by row.
    copies: HashMap<ValueId, Vec<ValueId>>,
    out: Jammed,
}

/// Values of 32 bits lie in the same lanes whatever is done to them.
fn is_narrow(dtype: DType) -> bool {
    dtype.size() <= 4
}

impl Jam {
    fn value(&mut self, dtype: DType) -> ValueId {
        self.out.kernel.values.push(dtype);
        ValueId::new(self.out.kernel.values.len() - 1)
    }

    /// Whether an instruction is another one for every row; None where it cannot be told apart.
    fn differs(&self, inst: &LaneInst) -> Option<bool> {
        let mut differs = false;
        inst.op.for_operands(&mut |v| differs |= self.by_row.contains(&v));
        let mut values = false;
        let mut index = |e: &IndexExpr| {
            differs |= e.uses_axis(self.axis);
            e.visit(&mut |e| values |= matches!(e, IndexExpr::Value(_)));
        };
        match &inst.op {
            LaneOp::Index(access) => index(access.expr()),
            LaneOp::Load { buffer, access, mask } => {
                index(access.expr());
                // What is written and read again is a row's own.
                differs |= self.owned(*buffer, access, *mask)?;
            }
            LaneOp::Store { buffer, access, mask, add: false, .. } => {
                index(access.expr());
                self.owned(*buffer, access, *mask)?;
                differs = true;
            }
            LaneOp::Cold { body, .. } => {
                for inst in body {
                    differs |= self.differs(inst)?;
                }
            }
            LaneOp::Prim(Prim::IDiv | Prim::IRem, ..) | LaneOp::Call(..) => return None,
            LaneOp::Store { add: true, .. } | LaneOp::Check { .. } => return None,
            LaneOp::Const(_) | LaneOp::Scalar(_) | LaneOp::Prim(..) | LaneOp::Lookup(..) => {}
        }
        (!values).then_some(differs)
    }

    fn is_row(&self, buffer: BufferId) -> bool {
        matches!(self.out.kernel.buffers[buffer.index()].kind, BufferKind::Row(_))
    }

    /// Whether an access is of what each row has for itself; None where rows may meet. Row scratch has an element for each
    /// lane then, whatever row it is.
    fn owned(&self, buffer: BufferId, access: &Access, mask: Option<ValueId>) -> Option<bool> {
        if self.is_row(buffer) {
            return (matches!(access, Access::Unit(IndexExpr::Axis(_))) && mask.is_none()).then_some(true);
        }
        let stored = self.stored.contains(&buffer);
        (!stored || access.expr().uses_axis(self.axis)).then_some(stored)
    }

    /// Uniform code: once for all rows, but for its stores.
    fn uniform(&mut self, seg: &Segment) -> Option<()> {
        let mut stores = Vec::new();
        let mut prelude = Vec::new();
        for inst in &seg.prelude {
            if matches!(inst.op, LaneOp::Store { .. }) {
                self.differs(inst)?;
                stores.push(inst.clone());
            } else {
                self.once(inst)?;
                prelude.push(inst.clone());
            }
        }
        self.out.steps.push(Step::Uniform(Segment { prelude, ..seg.clone() }));
        if !stores.is_empty() {
            let mut prelude = Vec::new();
            for row in 0..self.out.rows {
                for inst in &stores {
                    prelude.push(self.copy(inst, row)?);
                }
            }
            self.out.steps.push(Step::Uniform(Segment { prelude, ..seg.clone() }));
        }
        Some(())
    }

    /// Takes note of an instruction that is computed for all rows at once.
    fn once(&mut self, inst: &LaneInst) -> Option<()> {
        if !self.differs(inst)? {
            return Some(());
        }
        self.is_lanewise(inst).then_some(())?;
        self.by_row.extend(&inst.results);
        Some(())
    }

    /// Whether lanes keep their places.
    fn is_lanewise(&self, inst: &LaneInst) -> bool {
        let narrow = |v: &ValueId| is_narrow(self.out.kernel.dtype(*v));
        let mut all = inst.results.iter().all(narrow);
        inst.op.for_operands(&mut |v| all &= narrow(&v));
        all && match &inst.op {
            LaneOp::Prim(_, dtype, _) => is_narrow(*dtype),
            // Tables of other types are read by the first lane's index.
            LaneOp::Lookup(table, _) => table.len() <= 8 && matches!(table[0].dtype, DType::F32 | DType::I32),
            LaneOp::Cold { body, .. } => body.iter().all(|i| match &i.op {
                LaneOp::Const(_) => true,
                _ => self.is_lanewise(i),
            }),
            _ => false,
        }
    }

    /// The code of lanes: what differs once for each row.
    fn lanes(&mut self, seg: &Segment, lanes: AxisId) -> Option<()> {
        let ours = self.out.kernel.axes[lanes.index()] == self.out.extent;
        (seg.loops.is_empty() && !seg.serial && ours).then_some(())?;
        if seg.reduces.is_empty() {
            return self.each(seg);
        }
        for inst in &seg.prelude {
            self.once(inst)?;
        }
        let mut differ = vec![false; seg.body.len()];
        for (inst, differs) in seg.body.iter().zip(&mut differ) {
            *differs = self.differs(inst)?;
            if *differs {
                self.by_row.extend(&inst.results);
            }
        }
        for r in &seg.reduces {
            let dtype = self.out.kernel.dtype(r.args[0]);
            let kind = matches!(r.kind, Reduction::Sum | Reduction::Prod | Reduction::Max | Reduction::Min);
            let plain = kind && r.order == Order::Lanes && dtype.size() == 4 && r.results.len() == 1;
            plain.then_some(())?;
        }
        let mut rows = Vec::new();
        for row in 0..self.out.rows {
            let mut body = Vec::new();
            for (inst, differs) in seg.body.iter().zip(&differ) {
                body.push(if *differs { self.copy(inst, row)? } else { inst.clone() });
            }
            let mut reduces = Vec::new();
            for r in &seg.reduces {
                let args = r.args.iter().map(|&a| self.operand(a, row)).collect::<Option<_>>()?;
                reduces.push(LaneReduce { args, ..r.clone() });
            }
            rows.push(Segment { body, reduces, ..seg.clone() });
        }
        self.by_row.extend(seg.reduces.iter().flat_map(|r| &r.results));
        self.out.steps.push(Step::Together(rows));
        Some(())
    }

    /// A map, row by row.
    fn each(&mut self, seg: &Segment) -> Option<()> {
        for inst in seg.prelude.iter().chain(&seg.body) {
            self.differs(inst)?;
            if let LaneOp::Load { buffer, .. } | LaneOp::Store { buffer, .. } = &inst.op {
                self.scratch(*buffer, 0);
            }
        }
        let mut used = Vec::new();
        operands(&seg.prelude, &mut used);
        operands(&seg.body, &mut used);
        used.sort();
        used.dedup();
        used.retain(|v| self.by_row.contains(v));
        used.iter().all(|v| self.out.kernel.dtype(*v).size() == 4).then_some(())?;
        self.out.steps.push(Step::Each(seg.clone(), used));
        Some(())
    }

    /// An instruction of one row.
    fn copy(&mut self, inst: &LaneInst, row: usize) -> Option<LaneInst> {
        let results: Vec<ValueId> = inst.results.iter().map(|&v| self.own(v, row)).collect();
        let access = |j: &Jam, access: &Access| {
            let moved = |e: &IndexExpr| {
                e.map_leaves(&mut |l| {
                    (*l == IndexExpr::Axis(j.axis)).then(|| IndexExpr::Axis(j.axis) + IndexExpr::Const(row as i64))
                })
            };
            match access {
                Access::Uniform(e) => Access::Uniform(moved(e)),
                Access::Unit(e) => Access::Unit(moved(e)),
                Access::Strided(e, step) => Access::Strided(moved(e), moved(step)),
                Access::Periodic(e, n) => Access::Periodic(moved(e), *n),
                Access::Row(e) => Access::Row(moved(e)),
                Access::Indexed(e) => Access::Indexed(moved(e)),
            }
        };
        let op = match &inst.op {
            LaneOp::Index(a) => LaneOp::Index(access(self, a)),
            LaneOp::Prim(p, t, args) => {
                LaneOp::Prim(*p, *t, args.iter().map(|&a| self.operand(a, row)).collect::<Option<_>>()?)
            }
            LaneOp::Lookup(table, index) => LaneOp::Lookup(table.clone(), self.operand(*index, row)?),
            LaneOp::Load { buffer, access: a, mask } => LaneOp::Load {
                buffer: self.scratch(*buffer, row),
                access: access(self, a),
                mask: self.mask(*mask, row)?,
            },
            LaneOp::Store { buffer, access: a, value, mask, add } => LaneOp::Store {
                buffer: self.scratch(*buffer, row),
                access: access(self, a),
                value: self.operand(*value, row)?,
                mask: self.mask(*mask, row)?,
                add: *add,
            },
            LaneOp::Cold { mask, body, slow, fast } => {
                let body = body
                    .iter()
                    .map(|i| {
                        // All of it is copied: no value of one row's cold code is another's.
                        self.by_row.extend(&i.results);
                        self.copy(i, row)
                    })
                    .collect::<Option<_>>()?;
                let mut of = |v: &[ValueId]| v.iter().map(|&v| self.operand(v, row)).collect::<Option<Vec<_>>>();
                let (slow, fast) = (of(slow)?, of(fast)?);
                LaneOp::Cold { mask: self.operand(*mask, row)?, body, slow, fast }
            }
            same @ (LaneOp::Const(_) | LaneOp::Scalar(_)) => same.clone(),
            LaneOp::Call(..) | LaneOp::Check { .. } => return None,
        };
        Some(LaneInst { results, op, site: inst.site })
    }

    /// A row's own value in place of one that the code of lanes defines.
    fn own(&mut self, v: ValueId, row: usize) -> ValueId {
        let known = self.copies.get(&v).map_or(0, Vec::len);
        for _ in known..self.out.rows {
            let copy = self.value(self.out.kernel.dtype(v));
            self.copies.entry(v).or_default().push(copy);
        }
        self.copies[&v][row]
    }

    /// What a row reads in place of a value.
    fn operand(&mut self, v: ValueId, row: usize) -> Option<ValueId> {
        if !self.by_row.contains(&v) {
            return Some(v);
        }
        // The code of lanes defines its copies before it reads them.
        let uniform = self.copies.get(&v).is_none_or(|c| self.out.picks.contains_key(&c[0]));
        let own = self.own(v, row);
        if uniform {
            (self.out.kernel.dtype(v).size() == 4).then_some(())?;
            self.out.picks.insert(own, (v, row));
        }
        Some(own)
    }

    fn mask(&mut self, mask: Option<ValueId>, row: usize) -> Option<Option<ValueId>> {
        match mask {
            Some(m) => Some(Some(self.operand(m, row)?)),
            None => Some(None),
        }
    }

    /// A row's own buffer in place of row scratch.
    fn scratch(&mut self, buffer: BufferId, row: usize) -> BufferId {
        if !self.is_row(buffer) {
            return buffer;
        }
        let (kernel, rows) = (&mut self.out.kernel, self.out.rows);
        let copies = self.out.scratch.entry(buffer).or_insert_with(|| {
            let first = kernel.buffers.len();
            let copy = kernel.buffers[buffer.index()].clone();
            kernel.buffers.resize(first + rows, copy);
            (first..first + rows).map(BufferId::new).collect()
        });
        copies[row]
    }
}
