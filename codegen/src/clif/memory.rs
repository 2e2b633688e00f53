//! Loads and stores. Affine accesses have a base that is computed before the lane loop; the rest is
//! addressed lane by lane. A lane that is masked off reads and writes a dummy in the frame's stead.

use super::val::{FLAGS, LaneTy, Lanes, Val, scalar_type};
use super::{Emitter, GROUP};
use crate::frame::FrameLayout;
use crate::lane::{Access, LaneInst, LaneOp};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, StackSlot, StackSlotData, StackSlotKind, Value, types};
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::id::{BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::prim::Prim;

/// Lanes in flight: a vector group, or one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    One,
    Vector,
}

impl Emitter<'_> {
    fn shift(dtype: DType) -> i64 {
        i64::from(dtype.size().trailing_zeros())
    }

    /// Byte address of element `index` of a buffer.
    fn address(&mut self, buffer: BufferId, index: Value) -> Value {
        let slot = self.layout.buffer(buffer);
        let base = self.slot(slot, types::I64);
        let bytes = self.b.ins().ishl_imm_s(index, Self::shift(self.k.buffers[buffer.index()].dtype));
        self.b.ins().iadd(base, bytes)
    }

    /// Computes what the accesses of a body need before its lane loop.
    pub fn prepare_accesses(&mut self, body: &[LaneInst]) {
        for inst in body {
            match &inst.op {
                LaneOp::Load { buffer, access: Access::Unit(e) | Access::Strided(e, _), mask: None }
                | LaneOp::Store { buffer, access: Access::Unit(e) | Access::Strided(e, _), mask: None, .. } => {
                    self.prepare(Some(*buffer), e);
                }
                LaneOp::Load { buffer, access: Access::Row(e), .. }
                | LaneOp::Store { buffer, access: Access::Row(e), .. } => {
                    self.prepare_row(*buffer, e);
                }
                LaneOp::Index(Access::Unit(e) | Access::Strided(e, _)) => self.prepare(None, e),
                LaneOp::Cold { body, .. } => self.prepare_accesses(body),
                _ => {}
            }
        }
    }

    fn prepare(&mut self, buffer: Option<BufferId>, e: &IndexExpr) {
        let key = (buffer, e.clone());
        if self.copy.bases.contains_key(&key) {
            return;
        }
        let at_zero = match self.lane_axis {
            Some(lanes) => e.map_leaves(&mut |l| (*l == IndexExpr::Axis(lanes)).then_some(IndexExpr::Const(0))),
            None => e.clone(),
        };
        let index = self.index(&at_zero);
        let base = match buffer {
            Some(b) => self.address(b, index),
            None => index,
        };
        self.copy.bases.insert(key, base);
    }

    fn prepare_row(&mut self, buffer: BufferId, e: &IndexExpr) {
        let index = self.index(e);
        let tile = self.slot(FrameLayout::TILE, types::I64);
        let row = self.b.ins().imul(index, tile);
        let row = self.b.ins().isub(row, self.tile_begin);
        let base = self.address(buffer, row);
        self.copy.bases.insert((Some(buffer), e.clone()), base);
    }

    fn base(&self, buffer: Option<BufferId>, e: &IndexExpr) -> Value {
        self.copy.bases[&(buffer, e.clone())]
    }

    fn first_lane(&mut self) -> Value {
        let lanes = self.lane_axis.expect("affine accesses along lanes have a lane axis");
        self.axis_value(lanes)
    }

    /// A slot on the stack, aligned to 16 bytes.
    pub fn stack_slot(&mut self, bytes: usize) -> StackSlot {
        self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes as u32, 4))
    }

    /// Address of a new slot on the stack.
    pub fn stack(&mut self, bytes: usize) -> Value {
        let slot = self.stack_slot(bytes);
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    /// Address of bytes that hold nothing of meaning.
    fn dummy(&mut self) -> Value {
        let slot = match self.dummy {
            Some(slot) => slot,
            None => {
                let slot = self.stack_slot(16);
                *self.dummy.insert(slot)
            }
        };
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    /// One element at an address, in scalar form.
    pub fn load_scalar(&mut self, dtype: DType, p: Value, offset: i32) -> Value {
        match dtype {
            DType::U8 => self.b.ins().uload8(types::I32, FLAGS, p, offset),
            DType::I8 => self.b.ins().sload8(types::I32, FLAGS, p, offset),
            DType::I16 => self.b.ins().sload16(types::I32, FLAGS, p, offset),
            DType::F16 | DType::BF16 => self.b.ins().uload16(types::I32, FLAGS, p, offset),
            DType::Bool => {
                let byte = self.b.ins().uload8(types::I32, FLAGS, p, offset);
                self.b.ins().icmp_imm_s(IntCC::NotEqual, byte, 0)
            }
            _ => self.b.ins().load(scalar_type(dtype), FLAGS, p, offset),
        }
    }

    /// Writes one element in scalar form.
    pub fn store_scalar(&mut self, dtype: DType, v: Value, p: Value, offset: i32) {
        match dtype {
            DType::U8 | DType::I8 => self.b.ins().istore8(FLAGS, v, p, offset),
            DType::I16 | DType::F16 | DType::BF16 => self.b.ins().istore16(FLAGS, v, p, offset),
            _ => self.b.ins().store(FLAGS, v, p, offset),
        };
    }

    /// 16 bytes at any address. Cranelift 0.135 makes a load the memory operand of a float comparison without
    /// asking whether it is aligned, and SSE forms fault where it is not: there the load is of integers (of
    /// floats for integers), which comparisons do not look through.
    fn load_part(&mut self, ty: LaneTy, p: Value, offset: i32) -> Value {
        if self.has_fma {
            return self.b.ins().load(ty.clif(), FLAGS, p, offset);
        }
        let other = match ty {
            LaneTy::F32 => types::I32X4,
            LaneTy::F64 => types::I64X2,
            LaneTy::I32 | LaneTy::Mask32 => types::F32X4,
            LaneTy::I64 | LaneTy::Mask64 => types::F64X2,
        };
        let v = self.b.ins().load(other, FLAGS, p, offset);
        self.bitcast(ty.clif(), v)
    }

    /// A group of consecutive elements.
    pub fn load_group(&mut self, dtype: DType, p: Value, offset: i32) -> Lanes {
        let ty = LaneTy::of(dtype);
        let parts = match dtype {
            DType::U8 | DType::Bool => {
                let wide = self.b.ins().uload8x8(FLAGS, p, offset);
                vec![self.b.ins().uwiden_low(wide), self.b.ins().uwiden_high(wide)]
            }
            DType::I8 => {
                let wide = self.b.ins().sload8x8(FLAGS, p, offset);
                vec![self.b.ins().swiden_low(wide), self.b.ins().swiden_high(wide)]
            }
            DType::I16 => (0..2).map(|i| self.b.ins().sload16x4(FLAGS, p, offset + 8 * i)).collect(),
            DType::F16 | DType::BF16 => (0..2).map(|i| self.b.ins().uload16x4(FLAGS, p, offset + 8 * i)).collect(),
            DType::I32 | DType::I64 | DType::F32 | DType::F64 => {
                let n = (GROUP / ty.lanes()) as i32;
                (0..n).map(|i| self.load_part(ty, p, offset + 16 * i)).collect()
            }
        };
        if dtype == DType::Bool {
            let zero = self.vector_const(Literal::int(DType::I32, 0), 4).parts[0];
            let parts = parts.into_iter().map(|p| self.b.ins().icmp(IntCC::NotEqual, p, zero)).collect();
            return Lanes { ty, parts };
        }
        Lanes { ty, parts }
    }

    /// Writes a group of consecutive elements.
    pub fn store_group(&mut self, dtype: DType, v: &Lanes, p: Value, offset: i32) {
        if dtype.size() == 2 {
            // All lanes are in the range of their dtype, so that nothing saturates.
            let words = if dtype == DType::I16 {
                self.b.ins().snarrow(v.parts[0], v.parts[1])
            } else {
                self.b.ins().unarrow(v.parts[0], v.parts[1])
            };
            self.b.ins().store(FLAGS, words, p, offset);
            return;
        }
        if dtype.size() == 1 {
            let parts = if dtype == DType::Bool { self.mask_as(v, LaneTy::Mask32) } else { v.parts.clone() };
            let words = self.b.ins().snarrow(parts[0], parts[1]);
            let bytes = match dtype {
                DType::U8 => self.b.ins().unarrow(words, words),
                DType::I8 => self.b.ins().snarrow(words, words),
                _ => {
                    // -1 stays -1 through signed narrowing; one bit of it is wanted.
                    let b = self.b.ins().snarrow(words, words);
                    let one = self.b.func.dfg.constants.insert([1u8; 16].as_slice().into());
                    let one = self.b.ins().vconst(types::I8X16, one);
                    self.b.ins().band(b, one)
                }
            };
            let bytes = self.bitcast(types::I64X2, bytes);
            let low = self.b.ins().extractlane(bytes, 0);
            self.b.ins().store(FLAGS, low, p, offset);
            return;
        }
        for (i, &part) in v.parts.iter().enumerate() {
            self.b.ins().store(FLAGS, part, p, offset + 16 * i as i32);
        }
    }

    /// Address of the current lane, or of a dummy when it must not be touched. Masked accesses are
    /// also held within the buffer's elements, as launch cannot know which lanes are on.
    fn masked_address(&mut self, buffer: BufferId, e: &IndexExpr, mask: Option<Value>) -> (Value, Option<Value>) {
        let index = self.index(e);
        let address = self.address(buffer, index);
        let Some(mask) = mask else { return (address, None) };
        let (begin, length) = (self.layout.begin(buffer), self.layout.length(buffer));
        let begin = self.slot(begin, types::I64);
        let length = self.slot(length, types::I64);
        let from_begin = self.b.ins().isub(index, begin);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, from_begin, length);
        let on = self.b.ins().band(mask, inside);
        let dummy = self.dummy();
        (self.b.ins().select(on, address, dummy), Some(on))
    }

    fn lane_mask(&mut self, mask: Option<ValueId>) -> Option<Value> {
        mask.map(|m| match self.val(m) {
            Val::Scalar(s) => s,
            Val::Lanes(l) => self.extract(&l, DType::Bool, self.current_lane),
        })
    }

    fn load_lane(&mut self, buffer: BufferId, e: &IndexExpr, mask: Option<ValueId>) -> Value {
        let dtype = self.k.buffers[buffer.index()].dtype;
        let mask = self.lane_mask(mask);
        let (p, on) = self.masked_address(buffer, e, mask);
        let v = self.load_scalar(dtype, p, 0);
        match on {
            Some(on) => {
                let ty = self.b.func.dfg.value_type(v);
                let zero = match dtype {
                    DType::F32 | DType::F64 => self.fconst(dtype, 0.0),
                    _ => self.b.ins().iconst(ty, 0),
                };
                self.b.ins().select(on, v, zero)
            }
            None => v,
        }
    }

    /// A load, of all lanes in flight.
    pub fn load(&mut self, buffer: BufferId, access: &Access, mask: Option<ValueId>, width: Width) -> Val {
        let dtype = self.k.buffers[buffer.index()].dtype;
        match (access, mask, width) {
            (Access::Uniform(e), None, _) => Val::Scalar(self.load_lane(buffer, e, None)),
            (Access::Unit(e) | Access::Row(e), None, _) => {
                let p = self.unit_address(self.base(Some(buffer), e), dtype);
                match width {
                    Width::One => Val::Scalar(self.load_scalar(dtype, p, 0)),
                    Width::Vector => Val::Lanes(self.load_group(dtype, p, 0)),
                }
            }
            (Access::Strided(e, step), None, _) => {
                let addresses = self.strided_addresses(buffer, e, step, width);
                let lanes: Vec<Value> = addresses.into_iter().map(|p| self.load_scalar(dtype, p, 0)).collect();
                match width {
                    Width::One => Val::Scalar(lanes[0]),
                    Width::Vector => Val::Lanes(self.assemble(dtype, &lanes)),
                }
            }
            (_, _, Width::One) => Val::Scalar(self.load_lane(buffer, access.expr(), mask)),
            (_, _, Width::Vector) => {
                let lanes: Vec<Value> = (0..GROUP)
                    .map(|l| {
                        self.current_lane = l;
                        self.load_lane(buffer, access.expr(), mask)
                    })
                    .collect();
                self.current_lane = 0;
                Val::Lanes(self.assemble(dtype, &lanes))
            }
        }
    }

    /// Address of the first lane in flight of a consecutive access.
    pub fn unit_address(&mut self, base: Value, dtype: DType) -> Value {
        let k = self.first_lane();
        let bytes = self.b.ins().ishl_imm_s(k, Self::shift(dtype));
        self.b.ins().iadd(base, bytes)
    }

    fn strided_addresses(&mut self, buffer: BufferId, e: &IndexExpr, step: &IndexExpr, width: Width) -> Vec<Value> {
        let dtype = self.k.buffers[buffer.index()].dtype;
        let base = self.base(Some(buffer), e);
        let step = self.index(step);
        let step = self.b.ins().ishl_imm_s(step, Self::shift(dtype));
        let k = self.first_lane();
        let offset = self.b.ins().imul(k, step);
        let mut p = self.b.ins().iadd(base, offset);
        let n = if width == Width::One { 1 } else { GROUP };
        let mut out = vec![p];
        for _ in 1..n {
            p = self.b.ins().iadd(p, step);
            out.push(p);
        }
        out
    }

    /// A store, of all lanes in flight, in lane order.
    pub fn store(
        &mut self,
        buffer: BufferId,
        access: &Access,
        value: ValueId,
        mask: Option<ValueId>,
        add: bool,
        width: Width,
    ) {
        let dtype = self.k.buffers[buffer.index()].dtype;
        let v = self.val(value);
        match (access, mask, add, width) {
            (Access::Unit(e) | Access::Row(e), None, _, Width::Vector) => {
                let p = self.unit_address(self.base(Some(buffer), e), dtype);
                let mut lanes = self.as_group(value, &v);
                if add {
                    let old = self.load_group(dtype, p, 0);
                    lanes = self.add_lanes(dtype, Val::Lanes(old), Val::Lanes(lanes));
                }
                self.store_group(dtype, &lanes, p, 0);
            }
            (Access::Strided(e, step), None, _, _) => {
                let addresses = self.strided_addresses(buffer, e, step, width);
                for (l, p) in addresses.into_iter().enumerate() {
                    let x = self.lane_of(&v, dtype, l);
                    self.store_lane(dtype, x, p, add);
                }
            }
            (Access::Unit(e) | Access::Row(e), None, _, Width::One) => {
                let p = self.unit_address(self.base(Some(buffer), e), dtype);
                let x = self.lane_of(&v, dtype, 0);
                self.store_lane(dtype, x, p, add);
            }
            _ => {
                let n = if width == Width::One { 1 } else { GROUP };
                for l in 0..n {
                    self.current_lane = l;
                    let mask = self.lane_mask(mask);
                    let (p, _) = self.masked_address(buffer, access.expr(), mask);
                    let x = self.lane_of(&v, dtype, l);
                    self.store_lane(dtype, x, p, add);
                }
                self.current_lane = 0;
            }
        }
    }

    fn store_lane(&mut self, dtype: DType, x: Value, p: Value, add: bool) {
        let x = if add {
            let old = self.load_scalar(dtype, p, 0);
            let op = if dtype == DType::Bool { Prim::Or } else { Prim::Add };
            self.scalar_prim(op, dtype, dtype, &[old, x])
        } else {
            x
        };
        self.store_scalar(dtype, x, p, 0);
    }

    fn add_lanes(&mut self, dtype: DType, a: Val, b: Val) -> Lanes {
        let op = if dtype == DType::Bool { Prim::Or } else { Prim::Add };
        self.vector_prim(op, dtype, dtype, &[a, b], GROUP)
    }

    /// Lane `l` of a value, in scalar form.
    pub fn lane_of(&mut self, v: &Val, dtype: DType, l: usize) -> Value {
        match v {
            Val::Scalar(s) => *s,
            Val::Lanes(x) => self.extract(x, dtype, l),
        }
    }

    /// The value of an index expression in all lanes in flight.
    pub fn index_value(&mut self, access: &Access, dtype: DType, width: Width) -> Val {
        let narrow = |e: &mut Self, v: Value| if dtype == DType::I32 { e.b.ins().ireduce(types::I32, v) } else { v };
        let (e, step) = match access {
            Access::Uniform(e) => {
                let v = self.index(e);
                return Val::Scalar(narrow(self, v));
            }
            Access::Unit(e) => (e, Some(1)),
            Access::Strided(e, IndexExpr::Const(c)) => (e, Some(*c)),
            Access::Strided(e, _) | Access::Periodic(e, _) | Access::Row(e) | Access::Indexed(e) => (e, None),
        };
        let Some(step) = step else {
            let n = if width == Width::One { 1 } else { GROUP };
            let lanes: Vec<Value> = (0..n)
                .map(|l| {
                    self.current_lane = l;
                    let v = self.index(e);
                    narrow(self, v)
                })
                .collect();
            self.current_lane = 0;
            return match width {
                Width::One => Val::Scalar(lanes[0]),
                Width::Vector => Val::Lanes(self.assemble(dtype, &lanes)),
            };
        };
        let base = self.base(None, e);
        let k = self.first_lane();
        let offset = if step == 1 { k } else { self.b.ins().imul_imm_s(k, step) };
        let first = self.b.ins().iadd(base, offset);
        let first = narrow(self, first);
        if width == Width::One {
            return Val::Scalar(first);
        }
        let ty = LaneTy::of(dtype);
        let start = self.b.ins().splat(ty.clif(), first);
        let parts = (0..GROUP / ty.lanes())
            .map(|p| {
                let mut bytes = Vec::new();
                for l in 0..ty.lanes() {
                    let v = step.wrapping_mul((p * ty.lanes() + l) as i64);
                    if dtype == DType::I32 {
                        bytes.extend((v as i32).to_le_bytes())
                    } else {
                        bytes.extend(v.to_le_bytes())
                    }
                }
                let c = self.b.func.dfg.constants.insert(bytes.into());
                let c = self.b.ins().vconst(ty.clif(), c);
                self.b.ins().iadd(start, c)
            })
            .collect();
        Val::Lanes(Lanes { ty, parts })
    }
}
