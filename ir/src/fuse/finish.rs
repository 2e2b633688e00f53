//! Numbers symbols, axes and values densely, in order of first appearance, so that the text says
//! nothing of how the kernel was made.

use super::{Cx, Fused};
use crate::dtype::DType;
use crate::id::{AxisId, SymId, ValueId};
use crate::index::IndexExpr;
use crate::kernel::{BufferKind, Inst, Kernel, Op};
use std::collections::{BTreeMap, HashMap};

/// The finished kernel.
pub(super) fn finish(cx: Cx) -> Fused {
    let mut old = cx.kernel;
    let mut n = Numbering {
        pinned: cx.pinned,
        old: std::mem::take(&mut old.values),
        syms: HashMap::new(),
        axes: HashMap::new(),
        values: HashMap::new(),
        dtypes: Vec::new(),
    };
    let mut phases = std::mem::take(&mut old.phases);
    let mut axes = Vec::new();
    for phase in &mut phases {
        let lists = std::iter::once(&mut phase.axes).chain(phase.nests.iter_mut().map(|n| &mut n.axes));
        for a in lists.flatten() {
            axes.push(old.axes[a.index()].clone());
            let fresh = AxisId::new(n.axes.len());
            n.axes.insert(*a, fresh);
            *a = fresh;
        }
    }
    axes.iter_mut().for_each(|e| n.expr(e));
    for inst in phases.iter_mut().flat_map(|p| &mut p.nests).flat_map(|nest| &mut nest.body) {
        n.inst(inst);
    }
    for buffer in &mut old.buffers {
        if let BufferKind::Temp(len) | BufferKind::Row(len) = &mut buffer.kind {
            n.expr(len);
        }
    }
    let Numbering { syms, dtypes, .. } = n;
    let kernel = Kernel {
        name: old.name,
        syms: syms.len(),
        scalars: old.scalars,
        buffers: old.buffers,
        axes,
        values: dtypes,
        phases,
    };
    let mut values = vec![0; syms.len()];
    for (old, new) in syms {
        values[new.index()] = cx.syms[old.index()];
    }
    Fused { kernel, syms: values }
}

struct Numbering {
    /// Symbols that are constants by structure.
    pinned: BTreeMap<SymId, i64>,
    /// Dtypes of values by old number.
    old: Vec<DType>,
    syms: HashMap<SymId, SymId>,
    axes: HashMap<AxisId, AxisId>,
    values: HashMap<ValueId, ValueId>,
    /// Dtypes of values by new number.
    dtypes: Vec<DType>,
}

impl Numbering {
    fn expr(&mut self, e: &mut IndexExpr) {
        *e = e.map_leaves(&mut |leaf| match leaf {
            IndexExpr::Sym(s) if self.pinned.contains_key(s) => Some(IndexExpr::Const(self.pinned[s])),
            IndexExpr::Sym(s) => {
                let fresh = SymId::new(self.syms.len());
                Some(IndexExpr::Sym(*self.syms.entry(*s).or_insert(fresh)))
            }
            IndexExpr::Axis(a) => Some(IndexExpr::Axis(self.axes[a])),
            IndexExpr::Value(v) => Some(IndexExpr::Value(self.values[v])),
            _ => None,
        });
    }

    fn inst(&mut self, inst: &mut Inst) {
        match &mut inst.op {
            Op::Index(e) | Op::Load { index: e, .. } | Op::Store { index: e, .. } | Op::Check { size: e, .. } => {
                self.expr(e);
            }
            _ => {}
        }
        match &mut inst.op {
            Op::Const(_) | Op::Scalar(_) | Op::Index(_) => {}
            Op::Prim(_, _, args) | Op::Call { args, .. } | Op::Reduce { args, .. } => self.operands(args),
            Op::Load { mask, .. } => self.operands(mask),
            Op::Store { value, mask, .. } | Op::Check { value, mask, .. } => {
                self.operands([value]);
                self.operands(mask);
            }
            Op::Lookup { index, .. } => self.operands([index]),
            Op::Cold { mask, body, slow, fast } => {
                body.iter_mut().for_each(|i| self.inst(i));
                self.operands([mask]);
                self.operands(slow);
                self.operands(fast);
            }
        }
        for v in &mut inst.results {
            let fresh = ValueId::new(self.dtypes.len());
            self.dtypes.push(self.old[v.index()]);
            self.values.insert(*v, fresh);
            *v = fresh;
        }
    }

    fn operands<'a>(&self, values: impl IntoIterator<Item = &'a mut ValueId>) {
        for v in values {
            *v = self.values[v];
        }
    }
}
