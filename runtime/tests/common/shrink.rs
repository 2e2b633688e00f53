//! A smaller kernel that still shows a difference: for reports of the fuzzer.

use super::Case;
use rusttorch_ir::id::ValueId;
use rusttorch_ir::kernel::renumber::renumber;
use rusttorch_ir::kernel::verify::verify;
use rusttorch_ir::kernel::{Inst, Kernel, Op};
use std::collections::HashSet;

impl Case {
    /// Takes out phases, nests and instructions one by one, as long as machine code differs from the interpreter. (Graphs over
    /// shifted buffers stay as they are.)
    pub fn shrink(&self) -> Case {
        let mut best = self.clone();
        if self.shifted.is_some() {
            return best;
        }
        loop {
            let smaller = cuts(&best.kernel).into_iter().filter(is_closed).find_map(|mut kernel| {
                renumber(&mut kernel);
                let case = Case { kernel, shifted: None, ..best.clone() };
                let differs = verify(&case.kernel).is_ok() && case.interpret().is_ok() && case.check().is_err();
                differs.then_some(case)
            });
            match smaller {
                Some(case) => best = case,
                None => return best,
            }
        }
    }
}

/// True when all that is read is defined.
fn is_closed(k: &Kernel) -> bool {
    fn results(body: &[Inst], out: &mut HashSet<ValueId>) {
        for inst in body {
            out.extend(&inst.results);
            if let Op::Cold { body, .. } = &inst.op {
                results(body, out);
            }
        }
    }
    let (mut defined, mut closed) = (HashSet::new(), true);
    for nest in k.phases.iter().flat_map(|p| &p.nests) {
        results(&nest.body, &mut defined);
    }
    for mut inst in k.phases.iter().flat_map(|p| &p.nests).flat_map(|n| n.body.clone()) {
        inst.op.map_operands(&mut |v| {
            closed &= defined.contains(&v);
            v
        });
    }
    closed
}

/// The kernel with one thing less, the largest first; most are no valid kernels.
fn cuts(k: &Kernel) -> Vec<Kernel> {
    let mut all = Vec::new();
    let mut cut = |f: &dyn Fn(&mut Kernel)| {
        let mut smaller = k.clone();
        f(&mut smaller);
        all.push(smaller);
    };
    for p in 0..k.phases.len() {
        cut(&|k| drop(k.phases.remove(p)));
        for n in 0..k.phases[p].nests.len() {
            cut(&|k| drop(k.phases[p].nests.remove(n)));
        }
    }
    for p in 0..k.phases.len() {
        for n in 0..k.phases[p].nests.len() {
            for i in (0..k.phases[p].nests[n].body.len()).rev() {
                let body = |k: &mut Kernel, f: &dyn Fn(&mut Vec<Inst>)| f(&mut k.phases[p].nests[n].body);
                cut(&|k| body(k, &|b| drop(b.remove(i))));
                // A result by one of the operands, or by what is known before.
                let inst = &k.phases[p].nests[n].body[i];
                if let [result] = inst.results[..] {
                    let mut operands = Vec::new();
                    inst.op.for_operands(&mut |v| operands.push(v));
                    for v in operands {
                        cut(&|k| {
                            body(k, &|b| drop(b.remove(i)));
                            k.phases.iter_mut().flat_map(|p| &mut p.nests).flat_map(|n| &mut n.body).for_each(|inst| {
                                inst.op.map_operands(&mut |x| if x == result { v } else { x });
                            });
                        });
                    }
                }
                if let Op::Load { mask: Some(_), .. } | Op::Store { mask: Some(_), .. } = inst.op {
                    cut(&|k| {
                        body(k, &|b| match &mut b[i].op {
                            Op::Load { mask, .. } | Op::Store { mask, .. } => *mask = None,
                            _ => {}
                        });
                    });
                }
            }
        }
    }
    all
}
