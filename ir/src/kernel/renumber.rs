//! Dense ids in text order.

use super::{Inst, Kernel, Op};
use crate::id::{AxisId, BufferId, ValueId};
use crate::index::IndexExpr;

/// Numbers values and axes in text order and drops those that nothing defines, and drops `temp` and
/// `row` buffers that nothing uses. Symbols, scalars and arguments are the caller's and stay.
pub fn renumber(k: &mut Kernel) {
    drop_unused_buffers(k);
    let mut values = Order::new(k.values.len());
    let mut axes = Order::new(k.axes.len());
    for phase in &k.phases {
        phase.axes.iter().for_each(|a| axes.push(a.index()));
        for nest in &phase.nests {
            nest.axes.iter().for_each(|a| axes.push(a.index()));
            for_results(&nest.body, &mut |v| values.push(v.index()));
        }
    }
    k.values = values.old.iter().map(|&v| k.values[v]).collect();
    let map_axis = |e: &IndexExpr| {
        e.map_leaves(&mut |leaf| match leaf {
            IndexExpr::Axis(a) => Some(IndexExpr::Axis(AxisId::new(axes.new_id(a.index())))),
            _ => None,
        })
    };
    k.axes = axes.old.iter().map(|&a| map_axis(&k.axes[a])).collect();
    let mut value = |v: ValueId| ValueId::new(values.new_id(v.index()));
    for phase in &mut k.phases {
        let nests = &mut phase.nests;
        for a in phase.axes.iter_mut().chain(nests.iter_mut().flat_map(|n| &mut n.axes)) {
            *a = AxisId::new(axes.new_id(a.index()));
        }
        for inst in nests.iter_mut().flat_map(|n| &mut n.body) {
            inst.op.map_operands(&mut value);
            inst.op.map_indices(&mut |e| map_axis(e));
            map_results(inst, &mut value);
        }
    }
}

/// Old ids in their new order.
struct Order {
    old: Vec<usize>,
    new: Vec<Option<usize>>,
}

impl Order {
    fn new(len: usize) -> Order {
        Order { old: Vec::new(), new: vec![None; len] }
    }

    fn push(&mut self, old: usize) {
        self.new[old] = Some(self.old.len());
        self.old.push(old);
    }

    fn new_id(&self, old: usize) -> usize {
        self.new[old].expect("what is used is defined")
    }
}

/// Calls `f` on every result in text order, those in cold bodies included.
pub(super) fn for_results(body: &[Inst], f: &mut impl FnMut(ValueId)) {
    for inst in body {
        inst.results.iter().for_each(|&r| f(r));
        if let Op::Cold { body, .. } = &inst.op {
            for_results(body, f);
        }
    }
}

/// Replaces every result, those in cold bodies included.
pub(super) fn map_results(inst: &mut Inst, f: &mut impl FnMut(ValueId) -> ValueId) {
    inst.results.iter_mut().for_each(|r| *r = f(*r));
    if let Op::Cold { body, .. } = &mut inst.op {
        body.iter_mut().for_each(|i| map_results(i, f));
    }
}

fn drop_unused_buffers(k: &mut Kernel) {
    let mut used: Vec<bool> = k.buffers.iter().map(|b| b.kind.is_arg()).collect();
    for inst in k.phases.iter().flat_map(|p| &p.nests).flat_map(|n| &n.body) {
        if let Op::Load { buffer, .. } | Op::Store { buffer, .. } = inst.op {
            used[buffer.index()] = true;
        }
    }
    let mut order = Order::new(used.len());
    (0..used.len()).filter(|&b| used[b]).for_each(|b| order.push(b));
    let mut keep = used.iter();
    k.buffers.retain(|_| *keep.next().expect("one mark per buffer"));
    for inst in k.phases.iter_mut().flat_map(|p| &mut p.nests).flat_map(|n| &mut n.body) {
        if let Op::Load { buffer, .. } | Op::Store { buffer, .. } = &mut inst.op {
            *buffer = BufferId::new(order.new_id(buffer.index()));
        }
    }
}
