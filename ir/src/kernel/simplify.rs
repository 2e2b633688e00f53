//! Simplification that changes no bits.
//!
//! Runs until nothing changes, so it is idempotent: constants fold through the interpreter, equal
//! pure instructions and equal loads of a nest become one, a stored value goes to the loads of the
//! same element in the same iteration, exact identities apply, what nothing uses goes away, adjacent
//! nests without axes become one, and ids become dense in text order.
//!
//! Not touched: `check`, `idiv` and `irem`, since error records count them; the order of operands of
//! min and max; and sums with +0.0 (x + 0.0 turns -0.0 into +0.0).

use super::interp::{self, is_site, prim};
use super::renumber::renumber;
use super::text::canonical_nan;
use super::{Inst, Kernel, Nest, Op, Phase};
use crate::dtype::{DType, Literal, wrap_int};
use crate::id::{BufferId, ValueId};
use crate::index::IndexExpr;
use crate::prim::Prim;
use std::collections::HashMap;

/// Simplifies a verified kernel.
pub fn simplify(k: &mut Kernel) {
    loop {
        let before = k.clone();
        k.phases.iter_mut().for_each(merge_axis_free_nests);
        rewrite(k);
        remove_unread_stores(k);
        remove_dead(k);
        renumber(k);
        if *k == before {
            return;
        }
    }
}

/// Adjacent nests without axes => one.
fn merge_axis_free_nests(phase: &mut Phase) {
    let mut merged: Vec<Nest> = Vec::with_capacity(phase.nests.len());
    for nest in std::mem::take(&mut phase.nests) {
        match merged.last_mut() {
            Some(last) if last.axes.is_empty() && nest.axes.is_empty() => last.body.extend(nest.body),
            _ => merged.push(nest),
        }
    }
    phase.nests = merged;
}

fn rewrite(k: &mut Kernel) {
    let n = k.values.len();
    let mut r = Rewriter {
        dtypes: &k.values,
        replaced: (0..n).map(ValueId::new).collect(),
        constants: vec![None; n],
        prims: vec![None; n],
        available: HashMap::new(),
        stored: HashMap::new(),
        scope: Vec::new(),
    };
    for nest in k.phases.iter_mut().flat_map(|p| &mut p.nests) {
        r.available.clear();
        r.stored.clear();
        r.scope.clear();
        let mut body = Vec::with_capacity(nest.body.len());
        for inst in std::mem::take(&mut nest.body) {
            r.inst(inst, &mut body);
        }
        nest.body = body;
    }
}

/// An instruction without its results: two with the same key make the same values.
type Key = (Op, Vec<DType>);

struct Rewriter<'k> {
    dtypes: &'k [DType],
    /// What stands for a value now; never itself replaced.
    replaced: Vec<ValueId>,
    constants: Vec<Option<Literal>>,
    /// The primitive of one operand that makes a value, and its operand.
    prims: Vec<Option<(Prim, ValueId)>>,
    /// Results of the nest's instructions so far.
    available: HashMap<Key, Vec<ValueId>>,
    /// What the nest has stored in this iteration and not overwritten since.
    stored: HashMap<(BufferId, IndexExpr), ValueId>,
    /// Keys of `available` in order of entry, so that those of a cold body can leave it again.
    scope: Vec<Key>,
}

/// What becomes of an instruction.
enum Outcome {
    Keep(Op),
    /// Its only result equals this value.
    Same(ValueId),
    Constant(u64),
}

impl Rewriter<'_> {
    fn inst(&mut self, mut inst: Inst, out: &mut Vec<Inst>) {
        inst.op.map_operands(&mut |v| self.replaced[v.index()]);
        let op = match inst.op {
            Op::Store { buffer, index, value, mask, add } => {
                out.extend(self.store(buffer, index, value, mask, add));
                return;
            }
            Op::Cold { mask, body, slow, fast } => {
                self.cold(inst.results, mask, body, slow, fast, out);
                return;
            }
            op => op,
        };
        let op = match self.outcome(op, &inst.results) {
            Outcome::Keep(op) => op,
            Outcome::Same(v) => {
                self.replaced[inst.results[0].index()] = v;
                return;
            }
            Outcome::Constant(bits) => Op::Const(self.canonical(inst.results[0], bits)),
        };
        self.define(Inst { results: inst.results, op }, out);
    }

    /// Adds an instruction unless its results are available.
    fn define(&mut self, inst: Inst, out: &mut Vec<Inst>) {
        match &inst.op {
            Op::Const(l) => self.constants[inst.results[0].index()] = Some(*l),
            Op::Prim(p, _, args) if args.len() == 1 => self.prims[inst.results[0].index()] = Some((*p, args[0])),
            _ => {}
        }
        if !is_site(&inst.op) {
            let dtypes = inst.results.iter().map(|r| self.dtypes[r.index()]).collect();
            let key = (inst.op.clone(), dtypes);
            if let Some(same) = self.available.get(&key) {
                for (r, s) in inst.results.iter().zip(same) {
                    self.replaced[r.index()] = *s;
                }
                return;
            }
            self.scope.push(key.clone());
            self.available.insert(key, inst.results.clone());
        }
        out.push(inst);
    }

    fn constant(&self, v: ValueId) -> Option<Literal> {
        self.constants[v.index()]
    }

    /// The constant mask of an access; no mask is always on.
    fn mask(&self, mask: Option<ValueId>) -> Option<bool> {
        mask.map_or(Some(true), |m| self.constant(m).map(|l| l.bits != 0))
    }

    /// A folded result; the bits of NaN depend on the machine, so they become the canonical ones.
    fn canonical(&self, result: ValueId, bits: u64) -> Literal {
        let l = Literal { dtype: self.dtypes[result.index()], bits };
        let nan = l.dtype.is_float() && l.as_f64().is_nan();
        if nan { Literal { bits: canonical_nan(l.dtype), ..l } } else { l }
    }

    fn store(
        &mut self,
        buffer: BufferId,
        index: IndexExpr,
        value: ValueId,
        mask: Option<ValueId>,
        add: bool,
    ) -> Option<Inst> {
        let mask = match self.mask(mask) {
            Some(true) => None,
            Some(false) => return None,
            None => mask,
        };
        self.available.retain(|(op, _), _| !matches!(op, Op::Load { buffer: b, .. } if *b == buffer));
        self.stored.retain(|(b, _), _| *b != buffer);
        if mask.is_none() && !add {
            self.stored.insert((buffer, index.clone()), value);
        }
        Some(Inst { results: Vec::new(), op: Op::Store { buffer, index, value, mask, add } })
    }

    fn cold(
        &mut self,
        results: Vec<ValueId>,
        mask: ValueId,
        body: Vec<Inst>,
        slow: Vec<ValueId>,
        fast: Vec<ValueId>,
        out: &mut Vec<Inst>,
    ) {
        // cold true b s f => b, s; cold false b s f => f
        if let Some(on) = self.constant(mask) {
            if on.bits != 0 {
                body.into_iter().for_each(|i| self.inst(i, out));
            }
            let take = if on.bits != 0 { &slow } else { &fast };
            for (r, v) in results.iter().zip(take) {
                self.replaced[r.index()] = self.replaced[v.index()];
            }
            return;
        }
        let entered = self.scope.len();
        let mut inner = Vec::with_capacity(body.len());
        body.into_iter().for_each(|i| self.inst(i, &mut inner));
        for key in self.scope.drain(entered..) {
            self.available.remove(&key);
        }
        // m ? a : a => a
        let mut kept = (Vec::new(), Vec::new(), Vec::new());
        for (r, (s, f)) in results.into_iter().zip(slow.into_iter().zip(fast)) {
            let s = self.replaced[s.index()];
            if s == f {
                self.replaced[r.index()] = f;
            } else {
                kept.0.push(r);
                kept.1.push(s);
                kept.2.push(f);
            }
        }
        let (results, slow, fast) = kept;
        if !results.is_empty() {
            out.push(Inst { results, op: Op::Cold { mask, body: inner, slow, fast } });
        }
    }

    fn outcome(&self, op: Op, results: &[ValueId]) -> Outcome {
        match op {
            Op::Prim(p, t, args) => self.prim(p, t, args),
            Op::Index(IndexExpr::Const(c)) => Outcome::Constant(wrap_int(self.dtypes[results[0].index()], c) as u64),
            Op::Load { buffer, index, mask } => {
                let mask = match self.mask(mask) {
                    Some(true) => None,
                    Some(false) => return Outcome::Constant(0),
                    None => mask,
                };
                match self.stored.get(&(buffer, index.clone())) {
                    Some(v) if mask.is_none() => Outcome::Same(*v),
                    _ => Outcome::Keep(Op::Load { buffer, index, mask }),
                }
            }
            Op::Check { value, size, wrap, mask } => {
                let mask = if self.mask(mask) == Some(true) { None } else { mask };
                Outcome::Keep(Op::Check { value, size, wrap, mask })
            }
            Op::Lookup { table, index } => match (self.constant(index), &table[..]) {
                (_, [only]) => Outcome::Constant(only.bits),
                (Some(i), _) => Outcome::Constant(table[i.as_i64().clamp(0, table.len() as i64 - 1) as usize].bits),
                _ => Outcome::Keep(Op::Lookup { table, index }),
            },
            Op::Call { func, args } => match self.all_constant(&args) {
                Some(bits) => Outcome::Constant(interp::call(func, self.dtypes[results[0].index()], &bits)),
                None => Outcome::Keep(Op::Call { func, args }),
            },
            op => Outcome::Keep(op),
        }
    }

    fn all_constant(&self, args: &[ValueId]) -> Option<Vec<u64>> {
        args.iter().map(|&a| self.constant(a).map(|l| l.bits)).collect()
    }

    fn prim(&self, p: Prim, t: DType, args: Vec<ValueId>) -> Outcome {
        if matches!(p, Prim::IDiv | Prim::IRem) {
            return Outcome::Keep(Op::Prim(p, t, args));
        }
        let source = self.dtypes[args[0].index()];
        if let Some(bits) = self.all_constant(&args) {
            return Outcome::Constant(prim::eval(p, t, source, &bits).expect("not a division of integers"));
        }
        match self.identity(p, t, source, &args) {
            Some(v) => Outcome::Same(v),
            None => Outcome::Keep(Op::Prim(p, t, args)),
        }
    }

    /// The value that an identity puts for the result.
    fn identity(&self, p: Prim, t: DType, source: DType, args: &[ValueId]) -> Option<ValueId> {
        let (a, b) = (args[0], *args.get(1).unwrap_or(&args[0]));
        // True when `v` is the constant `c`, a zero with its sign.
        let is = |v: ValueId, c: f64| self.constant(v).is_some_and(|l| l == Literal::from_f64(t, c));
        let ones = Literal::int(t, if t == DType::Bool { 1 } else { -1 });
        let all_ones = |v: ValueId| self.constant(v) == Some(ones);
        let neutral_of_sum = if t.is_float() { -0.0 } else { 0.0 };
        match p {
            // x * 1 => x; integers: x * 0 => 0
            Prim::Mul if is(b, 1.0) => Some(a),
            Prim::Mul if is(a, 1.0) => Some(b),
            Prim::Mul if t.is_int() && is(b, 0.0) => Some(b),
            Prim::Mul if t.is_int() && is(a, 0.0) => Some(a),
            // x / 1 => x
            Prim::Div if is(b, 1.0) => Some(a),
            // x + -0.0 => x; integers: x + 0 => x
            Prim::Add if is(b, neutral_of_sum) => Some(a),
            Prim::Add if is(a, neutral_of_sum) => Some(b),
            // x - 0 => x
            Prim::Sub if is(b, 0.0) => Some(a),
            // -(-x) => x; !(!x) => x
            Prim::Neg | Prim::Not => self.prims[a.index()].filter(|(inner, _)| *inner == p).map(|(_, x)| x),
            // x op x => x
            Prim::Min | Prim::Max | Prim::And | Prim::Or if a == b => Some(a),
            // x & ones => x; x | 0 => x; x ^ 0 => x
            Prim::And if all_ones(b) => Some(a),
            Prim::And if all_ones(a) => Some(b),
            Prim::Or | Prim::Xor if is(b, 0.0) => Some(a),
            Prim::Or | Prim::Xor if is(a, 0.0) => Some(b),
            // x << 0 => x, and so on
            Prim::Shl | Prim::Shr | Prim::Lshr if is(b, 0.0) => Some(a),
            // m ? x : x => x; true ? x : y => x; false ? x : y => y
            Prim::Select if b == args[2] => Some(b),
            Prim::Select => self.constant(a).map(|m| if m.bits != 0 { b } else { args[2] }),
            // A conversion to the same type => x
            Prim::Convert | Prim::Bitcast if t == source => Some(a),
            // f16 -> f32 -> f16 => x, and bf16: the way there is exact
            Prim::Convert if t.is_half() => {
                let inner = self.prims[a.index()].filter(|(inner, _)| *inner == Prim::Convert);
                inner.map(|(_, x)| x).filter(|x| self.dtypes[x.index()] == t)
            }
            _ => None,
        }
    }
}

/// Stores to scratch that nothing loads.
fn remove_unread_stores(k: &mut Kernel) {
    let mut read: Vec<bool> = k.buffers.iter().map(|b| b.kind.is_arg()).collect();
    for inst in k.phases.iter().flat_map(|p| &p.nests).flat_map(|n| &n.body) {
        if let Op::Load { buffer, .. } = inst.op {
            read[buffer.index()] = true;
        }
    }
    for nest in k.phases.iter_mut().flat_map(|p| &mut p.nests) {
        nest.body.retain(|i| !matches!(i.op, Op::Store { buffer, .. } if !read[buffer.index()]));
    }
}

/// Instructions without use and without effect, nests and phases without instructions.
fn remove_dead(k: &mut Kernel) {
    let mut live = vec![false; k.values.len()];
    for nest in k.phases.iter_mut().flat_map(|p| &mut p.nests).rev() {
        sweep(&mut nest.body, &mut live);
    }
    for phase in &mut k.phases {
        phase.nests.retain(|n| !n.body.is_empty());
    }
    k.phases.retain(|p| !p.nests.is_empty());
}

/// Uses are below definitions, so one walk from the end finds all.
fn sweep(body: &mut Vec<Inst>, live: &mut [bool]) {
    let mut kept = Vec::with_capacity(body.len());
    for mut inst in std::mem::take(body).into_iter().rev() {
        let has_effect = matches!(inst.op, Op::Store { .. }) || is_site(&inst.op);
        if !has_effect && !inst.results.iter().any(|r| live[r.index()]) {
            continue;
        }
        if let Op::Cold { slow, fast, .. } = &mut inst.op {
            let used: Vec<bool> = inst.results.iter().map(|r| live[r.index()]).collect();
            for values in [&mut inst.results, slow, fast] {
                let mut used = used.iter();
                values.retain(|_| *used.next().expect("as many slow and fast values as results"));
            }
        }
        inst.op.for_operands(&mut |v| live[v.index()] = true);
        if let Op::Cold { body, .. } = &mut inst.op {
            sweep(body, live);
        }
        kept.push(inst);
    }
    kept.reverse();
    *body = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::parse::parse;
    use crate::kernel::verify::verify;

    fn simplified(text: &str) -> String {
        let mut k = parse(text).expect("well formed");
        verify(&k).expect("valid");
        simplify(&mut k);
        verify(&k).expect("still valid");
        k.to_string()
    }

    /// Wraps a body over `x`, `y` of f32 and `e`, row scratch.
    fn map(body: &str) -> String {
        let body: String = body.lines().map(|l| format!("      {}\n", l.trim())).collect();
        format!(
            "rtir 1\nkernel @k(x: f32 in, y: f32 out) syms 1 {{\n  row e: f32[1]\n  phase [i0 < s0] {{\n    nest {{\n{body}    }}\n  }}\n}}\n"
        )
    }

    fn check(before: &str, after: &str) {
        let want = map(after);
        let want = if after.contains(" e[") { want } else { want.replace("  row e: f32[1]\n", "") };
        assert_eq!(simplified(&map(before)), want);
    }

    #[test]
    fn equal_instructions_and_loads_become_one() {
        check(
            "%0 = load.f32 x[i0]\n%1 = load.f32 x[i0]\n%2 = neg.f32 %0\n%3 = neg.f32 %1\n%4 = add.f32 %2, %3\nstore y[i0], %4",
            "%0 = load.f32 x[i0]\n%1 = neg.f32 %0\n%2 = add.f32 %1, %1\nstore y[i0], %2",
        );
    }

    #[test]
    fn identities_respect_signed_zeros() {
        check(
            "%0 = load.f32 x[i0]\n%1 = const.f32 -0.0\n%2 = add.f32 %0, %1\n%3 = const.f32 1.0\n%4 = mul.f32 %3, %2\n%5 = neg.f32 %4\n%6 = neg.f32 %5\nstore y[i0], %6",
            "%0 = load.f32 x[i0]\nstore y[i0], %0",
        );
        let kept = "%0 = load.f32 x[i0]\n%1 = const.f32 0.0\n%2 = add.f32 %0, %1\nstore y[i0], %2";
        check(kept, kept);
        let kept = "%0 = load.f32 x[i0]\n%1 = const.f32 -0.0\n%2 = sub.f32 %0, %1\nstore y[i0], %2";
        check(kept, kept);
    }

    #[test]
    fn half_precision_is_converted_there_and_back_for_nothing() {
        let map = |body: &str| {
            format!(
                "rtir 1\nkernel @k(x: f16 in, y: f16 out) {{\n  phase [i0 < 9] {{\n    nest {{\n{body}    }}\n  }}\n}}\n"
            )
        };
        let there_and_back =
            "      %0 = load.f16 x[i0]\n      %1 = convert.f32 %0\n      %2 = convert.f16 %1\n      store y[i0], %2\n";
        let copy = "      %0 = load.f16 x[i0]\n      store y[i0], %0\n";
        assert_eq!(simplified(&map(there_and_back)), map(copy));
        // The other way round it rounds.
        let rounds = map(there_and_back).replace("f16", "h").replace("f32", "f16").replace('h', "f32");
        let rounds = rounds.replace("pf32ase", "phase");
        assert!(simplified(&rounds).contains("convert.f16"), "{rounds}");
    }

    #[test]
    fn stored_values_reach_their_loads() {
        check(
            "%0 = load.f32 x[i0]\nstore e[0], %0\n%1 = load.f32 e[0]\nstore y[i0], %1",
            "%0 = load.f32 x[i0]\nstore y[i0], %0",
        );
        // Another store to the buffer may hit the element.
        let kept = "%0 = load.f32 x[i0]\nstore y[i0], %0\nstore y[0], %0\n%1 = load.f32 y[i0]\nstore.add y[i0], %1";
        check(kept, kept);
    }

    #[test]
    fn constants_fold_and_cold_bodies_open() {
        check(
            "%0 = const.f32 2.0\n%1 = const.f32 -1.0\n%2 = sqrt.f32 %1\n%3 = ge.f32 %0, %1\n%5 = cold %3 {\n%4 = mul.f32 %0, %1\n} slow (%4) fast (%0)\nstore y[i0], %5\nstore e[0], %2\n%6 = load.f32 e[0]\nstore y[0], %6",
            "%0 = const.f32 nan\n%1 = const.f32 -2.0\nstore y[i0], %1\nstore y[0], %0",
        );
    }

    #[test]
    fn cold_values_stay_inside() {
        let kept = "%0 = load.f32 x[i0]\n%1 = ne.f32 %0, %0\n%2 = cold %1 {\n  %3 = sqrt.f32 %0\n} slow (%3) fast (%0)\n%4 = sqrt.f32 %0\n%5 = add.f32 %2, %4\nstore y[i0], %5";
        let k = parse(&map(kept)).expect("well formed");
        let mut s = k.clone();
        simplify(&mut s);
        verify(&s).expect("valid");
        assert_eq!(s.phases, k.phases);
    }
}
