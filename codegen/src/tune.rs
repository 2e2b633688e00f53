//! How wide the code of a kernel is, where wider is not faster.

use crate::isa::Isa;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::{Kernel, Op, Phase};
use rusttorch_ir::prim::Prim;
use std::sync::LazyLock;

/// Operations per buffer up to which memory bounds a kernel, not the operations.
const FREE: usize = 2;

/// What a square root counts.
const ROOT: usize = 5;

/// The instruction set for a kernel on this machine, which may be narrower than `isa`, the widest that is allowed.
///
/// AMD's family 19h (Zen 4) takes 512 bits apart, in halves: it gains by them where instructions bound a kernel, and
/// loses where memory does. 1 Mi f32, 512 and 256 bits, medians of three runs: `x + z` 184 and 152 us, argmax of rows 110 and 79, a
/// softmax's backward 181 and 157, `x + z` over 16 Mi 5897 and 5475; layer_norm 181 and 243. Calls of 3 to 16,384 elements take the same time.
pub fn suited(isa: Isa, kernel: &Kernel) -> Isa {
    if isa.is_512() && *HALVES && bound_by_memory(kernel) { Isa::Avx2 } else { isa }
}

static HALVES: LazyLock<bool> = LazyLock::new(halves);

#[cfg(target_arch = "x86_64")]
fn halves() -> bool {
    use std::arch::x86_64::__cpuid;
    let vendor = __cpuid(0);
    let text = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat();
    let signature = __cpuid(1).eax;
    // The base family saturates at 15; the extended one adds to it.
    let family = (signature >> 8 & 0xf) + (signature >> 20 & 0xff);
    text == b"AuthenticAMD" && family == 0x19
}

#[cfg(not(target_arch = "x86_64"))]
fn halves() -> bool {
    false
}

/// Whether a kernel has few operations per element that it reads or writes, all of which AVX2 has, too.
fn bound_by_memory(kernel: &Kernel) -> bool {
    let mut operations = 0;
    for inst in kernel.phases.iter().flat_map(|p| &p.nests).flat_map(|n| &n.body) {
        operations += match &inst.op {
            Op::Const(_) | Op::Scalar(_) | Op::Index(_) => 0,
            Op::Load { mask: None, .. } | Op::Store { mask: None, .. } => 0,
            Op::Reduce { .. } => 1,
            // Roots go beside the divider at 512 bits alone (1 Mi f32, `sqrt(x*x + z*z)` 187 us by AVX2).
            Op::Prim(Prim::Sqrt, DType::F32, _) => ROOT,
            Op::Prim(Prim::Convert, DType::F32 | DType::F64 | DType::I32, _) => 1,
            Op::Prim(p, t, _) => match (p, t) {
                (Prim::Add | Prim::Sub, DType::I64) => 1,
                (_, DType::I64) | (Prim::Scale | Prim::Convert, _) => return false,
                _ => 1,
            },
            Op::Load { .. } | Op::Store { .. } | Op::Check { .. } => return false,
            Op::Lookup { .. } | Op::Call { .. } | Op::Cold { .. } => return false,
        };
    }
    // What lies across the lanes goes through registers at 512 bits alone (1 Mi f32: `x.T` 398 us, 284; `x + z.T` 380, 303).
    let words = operations == 0 || kernel.buffers.iter().all(|b| b.dtype.size() == 4);
    if words && kernel.phases.iter().any(turns_squares) {
        return false;
    }
    // Where stores alone go beyond L1, halves are no gain (`x + z` of (8192, 1) and (1, 128) f32, 54.0 us by AVX2, 45.9).
    if kernel.phases.iter().all(reads_little) {
        return false;
    }
    operations <= FREE * kernel.buffers.len() && kernel.buffers.iter().all(|b| b.dtype.size() >= 4)
}

/// Whether a map has one operand across the lanes, whose neighbours lie along the axis around it, and none that is the same
/// for all lanes of a row.
fn turns_squares(phase: &Phase) -> bool {
    let [.., rows, lanes] = phase.axes[..] else { return false };
    let mut across = None;
    for inst in phase.nests.iter().filter(|n| n.axes.is_empty()).flat_map(|n| &n.body) {
        let Op::Load { buffer, index, .. } = &inst.op else { continue };
        match index.coefficient(lanes) {
            Some(IndexExpr::Const(0)) if index.uses_axis(rows) => return false,
            None | Some(IndexExpr::Const(_)) => {}
            Some(_) if index.coefficient(rows) != Some(IndexExpr::Const(1)) => return false,
            Some(_) if across.is_none_or(|a| a == (*buffer, index)) => across = Some((*buffer, index)),
            Some(_) => return false,
        }
    }
    across.is_some()
}

/// Whether a map of rows reads nothing but one row, the same for all rows, and what is the same for all lanes of a row.
fn reads_little(phase: &Phase) -> bool {
    let [.., rows, lanes] = phase.axes[..] else { return false };
    phase.nests.iter().all(|n| n.axes.is_empty())
        && phase.nests.iter().flat_map(|n| &n.body).all(|inst| match &inst.op {
            Op::Load { index, .. } => !(index.uses_axis(rows) && index.uses_axis(lanes)),
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use super::bound_by_memory;
    use rusttorch_ir::kernel::parse::parse;

    fn bound(body: &str) -> bool {
        let text = format!(
            "rtir 1\nkernel @k(in0: f32 in, out0: f32 out) syms 1 {{\n phase [i0 < s0] {{\n nest {{\n%0 = load.f32 in0[i0]\n{body}\n}}\n}}\n}}\n"
        );
        bound_by_memory(&parse(&text).expect("a kernel"))
    }

    #[test]
    fn few_operations_are_bound_by_memory() {
        assert!(bound("%1 = add.f32 %0, %0\nstore out0[i0], %1"));
        let long: String = (1..8).map(|i| format!("%{i} = mul.f32 %{}, %0\n", i - 1)).collect();
        assert!(!bound(&format!("{long}store out0[i0], %7")));
    }

    #[test]
    fn sums_of_a_column_and_a_row_are_not() {
        let sum = |column: &str, row: &str| {
            let text = format!(
                "rtir 1\nkernel @k(in0: f32 in, in1: f32 in, out0: f32 out) syms 2 {{\n phase [i0 < s0, i1 < s1] {{\n nest {{\n\
                 %0 = load.f32 in0[{column}]\n%1 = load.f32 in1[{row}]\n%2 = add.f32 %0, %1\nstore out0[(i0 * s1) + i1], %2\n}}\n}}\n}}\n"
            );
            bound_by_memory(&parse(&text).expect("a kernel"))
        };
        assert!(!sum("i0", "i1"));
        assert!(sum("(i0 * s1) + i1", "i1"));
    }
}
