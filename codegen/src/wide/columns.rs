//! Short rows that are read as a whole: a reduction along an axis of `n` adjacent elements has a copy of its body per
//! column, and a register's lanes are rows. Taken column by column (`strided.rs`), every element is read in the vectors of
//! up to `n` columns. Instead, the `n` vectors that hold the rows of all lanes are read once, and each column is blended
//! and permuted out of them. They hold nothing but elements that some column reads.

use super::strided::Parts;
use super::val::{LaneTy, Lanes};
use super::vcode::{A, VEC};
use super::{Copy, Emitter};
use crate::error::CodegenError;
use crate::lane::{Access, LaneOp, Segment};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::id::{AxisId, BufferId};
use rusttorch_ir::index::IndexExpr;
use std::collections::HashMap;

/// By load, for each register of lanes the vectors that its rows are in.
pub type Rows = HashMap<(BufferId, IndexExpr), Vec<Vec<VReg>>>;

impl Emitter<'_> {
    /// The loads of a body that read all of a row of `n` adjacent elements, one in each copy for the values of `axis`.
    pub fn whole_rows(&self, seg: &Segment, axis: AxisId, n: usize) -> Vec<(BufferId, IndexExpr)> {
        let mut found = Vec::new();
        for inst in &seg.body {
            let LaneOp::Load { buffer, access: Access::Strided(e, IndexExpr::Const(step)), mask: None } = &inst.op
            else {
                continue;
            };
            let dtype = self.k.buffers[buffer.index()].dtype;
            // Two lanes of a column that have one number in their vectors cannot be blended.
            let blends = self.wide512 || n % 2 == 1;
            let stride = e.affine().map(|affine| affine.stride(axis));
            let adjacent = stride == Some(IndexExpr::Const(1)) && *step == n as i64;
            let early = adjacent && !seg.stores_to(*buffer);
            if early && blends && self.takes_apart(dtype, n) && !found.contains(&(*buffer, e.clone())) {
                found.push((*buffer, e.clone()));
            }
        }
        found
    }

    /// Reads the rows of all lanes in flight, which all exist; `first` is the copy of column 0.
    pub fn load_rows(&mut self, loads: &[(BufferId, IndexExpr)], first: &Copy, n: usize) -> Result<(), CodegenError> {
        let load = self.pick(Code::VEX_Vmovups_ymm_ymmm256, Code::EVEX_Vmovups_zmm_k1z_zmmm512);
        let k = self.first_lane()?;
        for (buffer, e) in loads {
            let key = (Some(*buffer), e.clone());
            let base = *first.bases.get(&key).ok_or_else(|| CodegenError::internal(format!("no base of {e}")))?;
            let dtype = self.k.buffers[buffer.index()].dtype;
            let (index, scale) = self.scaled(k, (n * dtype.size()) as i32);
            let vectors = self.parts(LaneTy::of(dtype)) * n;
            let read: Vec<VReg> = (0..vectors)
                .map(|i| {
                    let v = self.c.vreg(VEC);
                    self.c.emit(load, &[A::Def(v), A::Indexed(base, index, scale, (i * self.bytes()) as i32)]);
                    v
                })
                .collect();
            self.rows.insert((*buffer, e.clone()), read.chunks(n).map(<[VReg]>::to_vec).collect());
        }
        Ok(())
    }

    /// The lanes in flight of the column at hand, of rows that were read.
    pub fn column(&mut self, buffer: BufferId, e: &IndexExpr) -> Option<Lanes> {
        let parts = self.rows.get(&(buffer, e.clone()))?.clone();
        let dtype = self.k.buffers[buffer.index()].dtype;
        let w = self.bytes() / dtype.size();
        let parts = parts
            .iter()
            .map(|vectors| {
                let at = |k: usize| k * vectors.len() + self.copy.column;
                let numbers = (0..w).map(|k| (at(k) / w, at(k) % w)).collect();
                self.take_apart(dtype, Parts { first: vectors[0], others: &|i| A::Use(vectors[i]), numbers })
            })
            .collect();
        Some(Lanes { ty: LaneTy::of(dtype), parts })
    }
}
