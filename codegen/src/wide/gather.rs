//! Indirect reads of all lanes at once: checks and index arithmetic in lanes of 64 bits, then one insertion per
//! element. What is not of this form, or lies in a tail, goes lane by lane (`lanes.rs`).
//!
//! Gather instructions are not used. On AMD's processors they are microcode that takes as long as the insertions, and
//! Intel's are several times slower where their data sampling is mitigated, which a library cannot know.

use super::Emitter;
use super::val::{LaneTy, Lanes, Src, Val};
use super::vcode::{A, INT, VEC};
use crate::error::CodegenError;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::id::{BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::prim::Prim;

/// An index: a part that is the same for all lanes, and the others, as i64.
struct Split {
    uniform: VReg,
    lanes: Option<Val>,
}

impl Emitter<'_> {
    fn varies(&self, e: &IndexExpr) -> bool {
        let mut varies = false;
        e.visit(&mut |e| match e {
            IndexExpr::Axis(a) => varies |= Some(*a) == self.lane_axis,
            IndexExpr::Value(v) => varies |= matches!(self.val(*v), Ok(Val::Lanes(_))),
            _ => {}
        });
        varies
    }

    pub fn i64_prim(&mut self, p: Prim, a: &Val, b: &Val) -> Result<Val, CodegenError> {
        self.prim(p, DType::I64, DType::I64, &[a.clone(), b.clone()], &[false; 2])
    }

    fn broadcast_i64(&mut self, r: VReg) -> Val {
        let v = self.c.vreg(VEC);
        self.broadcast_int(v, r, true);
        Val::Uniform(Lanes { ty: LaneTy::I64, parts: vec![v] })
    }

    /// The sum of an index's terms; None where it has more than sums and products of what differs by lane.
    fn split(&mut self, e: &IndexExpr) -> Result<Option<Split>, CodegenError> {
        if !self.varies(e) {
            return Ok(Some(Split { uniform: self.index(e)?, lanes: None }));
        }
        if let IndexExpr::Add(a, b) = e {
            let (Some(a), Some(b)) = (self.split(a)?, self.split(b)?) else { return Ok(None) };
            let lanes = match (a.lanes, b.lanes) {
                (Some(a), Some(b)) => Some(self.i64_prim(Prim::Add, &a, &b)?),
                (a, b) => a.or(b),
            };
            return Ok(Some(Split { uniform: self.add(a.uniform, b.uniform), lanes }));
        }
        let Some(lanes) = self.lanes_of_term(e)? else { return Ok(None) };
        Ok(Some(Split { uniform: self.int(0), lanes: Some(lanes) }))
    }

    fn lanes_of_term(&mut self, e: &IndexExpr) -> Result<Option<Val>, CodegenError> {
        if !self.varies(e) {
            let r = self.index(e)?;
            return Ok(Some(self.broadcast_i64(r)));
        }
        Ok(match e {
            IndexExpr::Axis(_) => {
                let first = self.first_lane()?;
                let first = self.broadcast_i64(first);
                let n = self.lanes_of(LaneTy::I64);
                let numbers = (0..self.parts(LaneTy::I64))
                    .map(|p| {
                        let bytes: Vec<u8> = (p * n..(p + 1) * n).flat_map(|l| (l as i64).to_le_bytes()).collect();
                        self.load_vector_const(&bytes)
                    })
                    .collect();
                let numbers = Val::Lanes(Lanes { ty: LaneTy::I64, parts: numbers });
                Some(self.i64_prim(Prim::Add, &first, &numbers)?)
            }
            IndexExpr::Value(v) => {
                let x = self.val(*v)?;
                Some(self.convert(self.k.dtype(*v), DType::I64, &x)?)
            }
            IndexExpr::Add(a, b) | IndexExpr::Mul(a, b) => {
                let (Some(x), Some(y)) = (self.lanes_of_term(a)?, self.lanes_of_term(b)?) else { return Ok(None) };
                let p = if matches!(e, IndexExpr::Add(..)) { Prim::Add } else { Prim::Mul };
                Some(self.i64_prim(p, &x, &y)?)
            }
            _ => None,
        })
    }

    /// Lanes x of i64 with 0 <= x < size, size not negative, as masks.
    fn within(&mut self, x: &Lanes, size: VReg) -> Vec<VReg> {
        let size = self.broadcast_i64(size);
        let size = self.part_reg(&size, 0);
        let zero = self.int_const(LaneTy::I64, 0);
        x.parts
            .iter()
            .map(|&p| {
                let below = self.compare_int(Prim::Gt, LaneTy::I64, size, Src::Reg(p));
                let negative = self.compare_int(Prim::Lt, LaneTy::I64, p, zero);
                self.mask_andn(negative, below)
            })
            .collect()
    }

    /// The masks of a bool value, for lanes of 64 bits.
    fn masks_of(&mut self, mask: ValueId) -> Result<Vec<VReg>, CodegenError> {
        let m = self.val(mask)?;
        let m = self.spread(DType::Bool, &m)?;
        Ok(self.mask_as(&m, LaneTy::Mask64))
    }

    /// A checked index of all lanes in flight, as i64: 0 where it is out of range or masked off. Failures are
    /// found again lane by lane, out of the way.
    pub fn check(
        &mut self,
        dtype: DType,
        value: &Val,
        size: &IndexExpr,
        wrap: bool,
        mask: Option<ValueId>,
    ) -> Result<Val, CodegenError> {
        if self.n == 0 || self.varies(size) {
            return self.check_by_lane(dtype, value, size, wrap, mask);
        }
        let extent = self.index(size)?;
        let raw = self.convert(dtype, DType::I64, value)?;
        let mut index = self.spread(DType::I64, &raw)?;
        if wrap {
            let extent = self.broadcast_i64(extent);
            let extent = self.part_reg(&extent, 0);
            let zero = self.int_const(LaneTy::I64, 0);
            for p in &mut index.parts {
                let negative = self.compare_int(Prim::Lt, LaneTy::I64, *p, zero);
                let wrapped = self.add_int(LaneTy::I64, *p, Src::Reg(extent));
                *p = self.blend(LaneTy::I64, negative, Src::Reg(wrapped), *p);
            }
        }
        let good = self.within(&index, extent);
        let mut bad: Vec<VReg> = good.iter().map(|&m| self.mask_not(m)).collect();
        let mut used = good;
        let on = mask.map(|m| self.masks_of(m)).transpose()?;
        let exist = self.tail.clone().map(|t| self.mask_as(&t.mask, LaneTy::Mask64));
        for only in [&on, &exist].into_iter().flatten() {
            for ((b, u), &o) in bad.iter_mut().zip(&mut used).zip(only) {
                (*b, *u) = (self.mask_and(*b, o), self.mask_and(*u, o));
            }
        }
        self.test_any(&Lanes { ty: LaneTy::Mask64, parts: bad });
        self.when(Code::Jne_rel32_64, true, &mut |e| e.check_by_lane(dtype, value, size, wrap, mask).map(|_| ()))?;
        let parts = used.iter().zip(&index.parts).map(|(&m, &p)| self.keep(LaneTy::I64, m, p)).collect();
        Ok(Val::Lanes(Lanes { ty: LaneTy::I64, parts }))
    }

    /// An indirect read; None where it must go lane by lane.
    pub fn gather(
        &mut self,
        buffer: BufferId,
        e: &IndexExpr,
        mask: Option<ValueId>,
    ) -> Result<Option<Val>, CodegenError> {
        if self.n == 0 || self.tail.is_some() {
            return Ok(None);
        }
        let Some(Split { uniform, lanes: Some(lanes) }) = self.split(e)? else { return Ok(None) };
        let dtype = self.k.buffers[buffer.index()].dtype;
        let Some(mask) = mask else {
            let base = self.address(buffer, uniform);
            let v = self.insert_at(dtype, base, &lanes)?;
            return Ok(Some(Val::Lanes(v)));
        };
        // Launch cannot know which lanes are on: those that are not, and any beyond the buffer, read its first
        // element, or if it has none, zeros on the stack.
        let (begin, length) = (self.layout.begin(buffer), self.layout.length(buffer));
        let (begin, length) = (self.slot(begin), self.slot(length));
        let from_begin = self.sub(uniform, begin);
        let from_begin = self.broadcast_i64(from_begin);
        let number = self.i64_prim(Prim::Add, &lanes, &from_begin)?;
        let number = self.spread(DType::I64, &number)?;
        let on = self.masks_of(mask)?;
        let inside = self.within(&number, length);
        let masks: Vec<VReg> = inside.iter().zip(&on).map(|(&a, &b)| self.mask_and(a, b)).collect();
        let parts = masks.iter().zip(&number.parts).map(|(&m, &p)| self.keep(LaneTy::I64, m, p)).collect();
        let number = Val::Lanes(Lanes { ty: LaneTy::I64, parts });
        let first = self.address(buffer, begin);
        let nothing = self.zeros(8);
        let nothing = self.c.local_address(nothing);
        self.compare_imm(length, 0);
        let base = self.choose(Code::Cmove_r64_rm64, nothing, first);
        let v = Val::Lanes(self.insert_at(dtype, base, &number)?);
        let masks = Val::Lanes(Lanes { ty: LaneTy::Mask64, parts: masks });
        let zero = Val::Const(Literal::from_f64(dtype, 0.0));
        Ok(Some(self.merge(dtype, &masks, &v, &zero)?))
    }

    /// The elements at `base + lane * size`, for lanes of i64.
    pub fn insert_at(&mut self, dtype: DType, base: VReg, lanes: &Val) -> Result<Lanes, CodegenError> {
        let (ty, size) = (LaneTy::of(dtype), dtype.size() as u32);
        let at = self.spill(DType::I64, lanes)?;
        let per_part = self.lanes_of(ty);
        let parts = (0..self.parts(ty))
            .map(|p| {
                self.insert_lanes(dtype, p * per_part..(p + 1) * per_part, &mut |e, l| {
                    let r = e.c.vreg(INT);
                    e.c.emit(Code::Mov_r64_rm64, &[A::Def(r), A::Local(at + 8 * l as i32)]);
                    A::Indexed(base, r, size, 0)
                })
            })
            .collect();
        Ok(Lanes { ty, parts })
    }

    /// The value of an index expression in all lanes in flight; None where it must be evaluated lane by lane.
    pub fn index_of_lanes(&mut self, e: &IndexExpr, dtype: DType) -> Result<Option<Val>, CodegenError> {
        if self.n == 0 {
            return Ok(None);
        }
        let Some(v) = self.lanes_of_term(e)? else { return Ok(None) };
        Ok(Some(self.convert(DType::I64, dtype, &v)?))
    }
}
