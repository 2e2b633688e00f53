//! `moments` written as sums, for emitters that know sums only.
//!
//! A nest with `%m, %q, %n = reduce.moments %v` becomes
//!
//! 1. a nest that sums `%v`,
//! 2. a nest without axes: `%n` from the extents, `%m = sum / %n`,
//! 3. a nest with axes of its own that sums the squares of `%v - %m`,
//! 4. a nest without axes: `%q = sum + 0.0` (the sum of nothing is -0.0).
//!
//! Nests 1 and 3 both compute `%v`; one of them is the nest as it was, with all its other
//! instructions, the other holds only what `%v` needs. Where the nest overwrites what `%v` loads, the
//! copy comes first, otherwise second. A copied `check`, `idiv` or `irem` is a site of its own at the
//! same positions, and brings with it those before it in the text, so the record that wins has the same
//! position, value and size; its site counts the copies.

use super::interp::is_site;
use super::renumber::{map_results, renumber};
use super::{Inst, Kernel, Nest, Op, Order, Reduction};
use crate::dtype::{DType, Literal};
use crate::id::{AxisId, ValueId};
use crate::index::IndexExpr;
use crate::prim::Prim;
use std::collections::HashMap;

/// Rewrites the `moments` of a verified kernel; results keep their bits. One stays as it is when the
/// nest stores to what its operand loads, unless each point loads an element and then replaces it
/// (`simplify` removes loads of what was just stored).
pub fn expand_moments(k: &Kernel) -> Kernel {
    let mut k = k.clone();
    for phase in 0..k.phases.len() {
        let mut nest = 0;
        while nest < k.phases[phase].nests.len() {
            let whole = k.phases[phase].nests[nest].clone();
            match expand_one(&mut k, &whole) {
                // The pieces may hold further moments.
                Some(pieces) => _ = k.phases[phase].nests.splice(nest..=nest, pieces),
                None => nest += 1,
            }
        }
    }
    renumber(&mut k);
    k
}

/// Expands the first `moments` of the nest that can be; None when there is none.
fn expand_one(k: &mut Kernel, nest: &Nest) -> Option<[Nest; 4]> {
    nest.body.iter().enumerate().find_map(|(at, inst)| match &inst.op {
        Op::Reduce { kind: Reduction::Moments, order, args } => {
            let needed = slice(nest, args[0]);
            let copy_first = copy_first(nest, &needed)?;
            let moments = Moments { at, operand: args[0], order: *order, results: inst.results.clone() };
            Some(expand(k, nest, &moments, &needed, copy_first))
        }
        _ => None,
    })
}

struct Moments {
    /// Instruction number.
    at: usize,
    operand: ValueId,
    order: Order,
    results: Vec<ValueId>,
}

fn expand(k: &mut Kernel, nest: &Nest, m: &Moments, needed: &[bool], copy_first: bool) -> [Nest; 4] {
    let t = k.dtype(m.operand);
    let [mean, m2, count] = m.results[..] else { unreachable!("verified: three results") };
    let mut whole = nest.clone();
    let (mut copy, copied_operand) = copy_slice(k, nest, needed, m.operand);
    let sum = k.add_value(t);
    let squares = k.add_value(t);
    let reduce = |result, operand| Inst {
        results: vec![result],
        op: Op::Reduce { kind: Reduction::Sum, order: m.order, args: vec![operand] },
    };
    let prim = |result, p, a, b| Inst { results: vec![result], op: Op::Prim(p, t, vec![a, b]) };
    // v - mean, squared
    let square = |k: &mut Kernel, v| {
        let (d, q) = (k.add_value(t), k.add_value(t));
        vec![prim(d, Prim::Sub, v, mean), prim(q, Prim::Mul, d, d), reduce(squares, q)]
    };
    let (mut first, second) = if copy_first {
        copy.body.push(reduce(sum, copied_operand));
        whole.body.splice(m.at..=m.at, square(k, m.operand));
        (copy, whole)
    } else {
        whole.body[m.at] = reduce(sum, m.operand);
        let squared = square(k, copied_operand);
        copy.body.extend(squared);
        (whole, copy)
    };
    let mut means = points(k, &mut first, m.order, count);
    means.push(prim(mean, Prim::Div, sum, count));
    let zero = k.add_value(t);
    let end =
        vec![Inst { results: vec![zero], op: Op::Const(Literal::float(t, 0.0)) }, prim(m2, Prim::Add, squares, zero)];
    [first, Nest { axes: Vec::new(), body: means }, second, Nest { axes: Vec::new(), body: end }]
}

/// Instructions, to stand behind the nest, that make `count` the number of its points.
fn points(k: &mut Kernel, nest: &mut Nest, order: Order, count: ValueId) -> Vec<Inst> {
    let t = k.dtype(count);
    let ragged = nest.axes.iter().any(|a| nest.axes.iter().any(|b| k.axes[a.index()].uses_axis(*b)));
    let n = k.add_value(DType::I64);
    let convert = Inst { results: vec![count], op: Op::Prim(Prim::Convert, t, vec![n]) };
    if ragged {
        // The sum of a one per point, exact in any order.
        let one = k.add_value(DType::I64);
        nest.body.push(Inst { results: vec![one], op: Op::Const(Literal::int(DType::I64, 1)) });
        let op = Op::Reduce { kind: Reduction::Sum, order, args: vec![one] };
        nest.body.push(Inst { results: vec![n], op });
        return vec![convert];
    }
    let product = nest.axes.iter().fold(IndexExpr::Const(1), |p, a| p * k.axes[a.index()].clone());
    vec![Inst { results: vec![n], op: Op::Index(product) }, convert]
}

/// Marks the instructions that `operand` needs, and the sites that come before one of those.
fn slice(nest: &Nest, operand: ValueId) -> Vec<bool> {
    let mut wanted = vec![operand];
    let mut needed = vec![false; nest.body.len()];
    let mut sites = false;
    for (i, inst) in nest.body.iter().enumerate().rev() {
        let site = has_site(&inst.op);
        let is_needed = inst.results.iter().any(|r| wanted.contains(r)) || site && sites;
        if !is_needed {
            continue;
        }
        needed[i] = true;
        sites |= site;
        uses(&inst.op, &mut wanted);
    }
    needed
}

fn has_site(op: &Op) -> bool {
    match op {
        Op::Cold { body, .. } => body.iter().any(|i| has_site(&i.op)),
        op => is_site(op),
    }
}

/// Adds all operands, those inside a cold body included.
fn uses(op: &Op, into: &mut Vec<ValueId>) {
    op.for_operands(&mut |v| into.push(v));
    if let Op::Cold { body, .. } = op {
        body.iter().for_each(|i| uses(&i.op, into));
    }
}

/// Whether the copy must come before the nest, which overwrites what the copy loads; None when it
/// would load other values at either place.
fn copy_first(nest: &Nest, needed: &[bool]) -> Option<bool> {
    let mut first = false;
    for (l, load) in nest.body.iter().enumerate().filter(|(l, _)| needed[*l]) {
        let Op::Load { buffer, index: loaded, .. } = &load.op else { continue };
        for (s, inst) in nest.body.iter().enumerate() {
            let Op::Store { buffer: b, index, .. } = &inst.op else { continue };
            if b != buffer {
                continue;
            }
            // Every point replaces the element it has loaded, and no other.
            if s < l || index != loaded || !nest.axes.iter().all(|a| index.uses_axis(*a)) {
                return None;
            }
            first = true;
        }
    }
    Some(first)
}

/// The marked instructions over axes and values of their own, and the copy of `operand`.
fn copy_slice(k: &mut Kernel, nest: &Nest, needed: &[bool], operand: ValueId) -> (Nest, ValueId) {
    let mut axes: HashMap<AxisId, AxisId> = HashMap::new();
    for &a in &nest.axes {
        let extent = map_axes(&k.axes[a.index()], &axes);
        axes.insert(a, k.add_axis(extent));
    }
    let mut values: HashMap<ValueId, ValueId> = HashMap::new();
    let mut body = Vec::new();
    for (inst, _) in nest.body.iter().zip(needed).filter(|(_, needed)| **needed) {
        let mut inst = inst.clone();
        map_results(&mut inst, &mut |v| {
            let new = k.add_value(k.dtype(v));
            values.insert(v, new);
            new
        });
        inst.op.map_operands(&mut |v| *values.get(&v).unwrap_or(&v));
        inst.op.map_indices(&mut |e| map_axes(e, &axes));
        body.push(inst);
    }
    let axes = nest.axes.iter().map(|a| axes[a]).collect();
    (Nest { axes, body }, *values.get(&operand).unwrap_or(&operand))
}

fn map_axes(e: &IndexExpr, axes: &HashMap<AxisId, AxisId>) -> IndexExpr {
    e.map_leaves(&mut |leaf| match leaf {
        IndexExpr::Axis(a) => axes.get(a).map(|&a| IndexExpr::Axis(a)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::interp::{Array, run};
    use crate::kernel::parse::parse;
    use crate::kernel::verify::verify;

    fn expanded(text: &str) -> (Kernel, Kernel) {
        let k = parse(text).expect("well formed");
        verify(&k).expect("valid");
        let e = expand_moments(&k);
        verify(&e).unwrap_or_else(|errors| panic!("{errors:?}\n{e}"));
        assert!(!e.to_string().contains("moments"), "{e}");
        (k, e)
    }

    const IN_PLACE: &str = "\
rtir 1
kernel @in_place(x: f32 inout, y: f32 out) syms 2 {
  phase [i0 < s0] {
    nest [i1 < s1, i2 < i1 + i0] {
      %0 = load.f32 x[i1*4 + i2]
      %1 = neg.f32 %0
      %2 = mul.f32 %0, %0
      store x[i1*4 + i2], %1
      %3, %4, %5 = reduce.moments.f32.lanes %2
      %6, %7, %8 = reduce.moments.f32.rows %1
    }
    nest {
      store y[i0*6], %3
      store y[i0*6 + 1], %4
      store y[i0*6 + 2], %5
      store y[i0*6 + 3], %6
      store y[i0*6 + 4], %7
      store y[i0*6 + 5], %8
    }
  }
}
";

    #[test]
    fn sums_have_the_bits_of_moments() {
        for text in [
            IN_PLACE.to_string(),
            IN_PLACE.replace("i1 + i0", "3"),
            IN_PLACE.replace("      store x[i1*4 + i2], %1\n", ""),
        ] {
            let (k, e) = expanded(&text);
            for n in 0..4 {
                let x = Array::from_f32(&(0..16).map(|i| (i as f32 * 0.7).sin() * 10.0).collect::<Vec<_>>());
                let mut direct = [x, Array::zeros(DType::F32, 6)];
                let mut summed = direct.clone();
                run(&k, &[1, n], &[], &mut direct).expect("runs");
                run(&e, &[1, n], &[], &mut summed).expect("runs");
                for (a, b) in direct.iter().zip(&summed) {
                    assert!(a.same(b), "{n}: {a:?} {b:?}\n{e}");
                }
            }
        }
    }
}
