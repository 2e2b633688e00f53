//! Stores past the caches, for results that no cache can hold (`Emitters::Streaming`): a line is written without
//! being read first. Such a store takes a full vector at an aligned address, so a lane loop first runs masked up
//! to the next one; where several results are not aligned there together, or one is written over an operand, all are stored as usual.

use super::Emitter;
use super::vcode::{A, INT};
use crate::error::CodegenError;
use crate::lane::{Access, LaneInst, LaneOp};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::{AxisId, BufferId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::{BufferKind, Kernel, Op};

/// Buffers that are written once and never read, of elements that fill vectors as they are.
pub fn streamed(k: &Kernel) -> Vec<BufferId> {
    let insts = || k.phases.iter().flat_map(|p| &p.nests).flat_map(|n| &n.body);
    (0..k.buffers.len())
        .map(BufferId::new)
        .filter(|&b| {
            let buffer = &k.buffers[b.index()];
            let stores = insts().filter(|i| matches!(&i.op, Op::Store { buffer, .. } if *buffer == b)).count();
            let read = insts().any(|i| match &i.op {
                Op::Load { buffer, .. } => *buffer == b,
                Op::Store { buffer, add, .. } => *buffer == b && *add,
                _ => false,
            });
            buffer.kind == BufferKind::Out && buffer.dtype.size() >= 4 && stores == 1 && !read
        })
        .collect()
}

/// A row of fewer elements has not lines enough to leave its ends out.
const SHORT: i32 = 1024;

impl Emitter<'_> {
    /// Runs a lane loop's body up to the address from which its results can be streamed, and then over whole
    /// vectors, streaming or not. Gives the first lane left.
    pub fn streaming_loop(
        &mut self,
        axis: AxisId,
        (lo, hi): (VReg, VReg),
        vectors: usize,
        stores: &[(BufferId, IndexExpr)],
        f: &mut dyn FnMut(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<VReg, CodegenError> {
        let address = |e: &mut Self, (buffer, index): &(BufferId, IndexExpr), k: VReg| {
            let base = e.base(Some(*buffer), index)?;
            let skip = e.shift_left(k, super::memory::shift(e.k.buffers[buffer.index()].dtype));
            Ok::<_, CodegenError>(e.add(base, skip))
        };
        let first = address(self, &stores[0], lo)?;
        let zero = self.int(0);
        let before = self.sub(zero, first);
        let before = self.int_imm(Code::And_rm64_imm32, before, self.bytes() as i32 - 1);
        let size = self.k.buffers[stores[0].0.index()].dtype;
        let before = self.shift_right(before, super::memory::shift(size));
        let left = self.sub(hi, lo);
        let before = self.min(before, left);
        let w = self.width();
        self.compare_imm(before, 0);
        self.n = w;
        self.when(Code::Jg_rel32_64, false, &mut |e| {
            e.axes.insert(axis, lo);
            e.with_tail(w, before, |e| f(e))
        })?;
        let at = self.add(lo, before);
        let mut together = self.int(0);
        for s in stores {
            let a = address(self, s, at)?;
            together = self.int2(Code::Or_r64_rm64, together, a);
        }
        together = self.or_in_place(together, stores);
        // A line of which a part is stored as usual and a part past the caches costs more than reading it: a short row
        // must have none. (layer_norm of 64 Ki rows of 64 f32 2.6 ms, with such lines 15.7.)
        let parts = self.int_imm(Code::And_rm64_imm32, left, w as i32 - 1);
        let parts = self.int2(Code::Or_r64_rm64, parts, before);
        self.compare_imm(left, SHORT);
        let parts = self.choose(Code::Cmovl_r64_rm64, parts, zero);
        together = self.int2(Code::Or_r64_rm64, together, parts);
        self.c.emit(Code::Test_rm64_imm32, &[A::Use(together), A::Imm32(self.bytes() as i32 - 1)]);
        let (aligned, other, join) = (self.c.block(), self.c.block(), self.c.block());
        let end = self.c.param(join, INT);
        self.c.branch(Code::Je_rel32_64, aligned, other);
        self.c.enter(aligned);
        self.streaming = true;
        let i = self.whole_vectors(axis, at, hi, vectors, f)?;
        self.streaming = false;
        self.fences = true;
        self.c.jump(join, &[i]);
        self.c.enter(other);
        let i = self.whole_vectors(axis, at, hi, vectors, f)?;
        self.c.jump(join, &[i]);
        self.c.enter(join);
        Ok(end)
    }

    /// `together`, or what is no multiple of a vector where a result is written over an operand, whose lines are in the caches: a
    /// store past these drives them out.
    fn or_in_place(&mut self, mut together: VReg, stores: &[(BufferId, IndexExpr)]) -> VReg {
        let odd = self.int(1);
        for (to, _) in stores {
            let result = self.slot(self.layout.buffer(*to));
            let k = self.k;
            let buffers = (0..k.buffers.len()).map(BufferId::new);
            for from in buffers.filter(|b| k.buffers[b.index()].kind == BufferKind::In) {
                let operand = self.slot(self.layout.buffer(from));
                self.compare(result, operand);
                together = self.choose(Code::Cmove_r64_rm64, odd, together);
            }
        }
        together
    }

    /// The stores of a body that can be streamed.
    pub fn streamed_stores(&self, body: &[LaneInst]) -> Vec<(BufferId, IndexExpr)> {
        let mut out = Vec::new();
        for inst in body {
            if let LaneOp::Store { buffer, access: Access::Unit(e), mask: None, add: false, .. } = &inst.op
                && self.streamed.contains(buffer)
            {
                out.push((*buffer, e.clone()));
            }
        }
        out
    }

    /// The store of a whole register.
    pub fn full_store(&self, dtype: DType) -> Code {
        match (self.streaming, dtype) {
            (true, _) => self.pick(Code::VEX_Vmovntps_m256_ymm, Code::EVEX_Vmovntps_m512_zmm),
            (false, DType::I64 | DType::F64) => {
                self.pick(Code::VEX_Vmovups_ymmm256_ymm, Code::EVEX_Vmovupd_zmmm512_k1z_zmm)
            }
            (false, _) => self.pick(Code::VEX_Vmovups_ymmm256_ymm, Code::EVEX_Vmovups_zmmm512_k1z_zmm),
        }
    }
}
