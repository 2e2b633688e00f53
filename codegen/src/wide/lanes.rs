//! What runs lane by lane: indirect, strided and masked accesses, checks and library functions (and integer
//! division, in `divide.rs`). A loop of scalar code over the lanes that exist reads its operands from local arrays
//! and leaves its results in one.

use super::memory::{Place, shift};
use super::val::Val;
use super::vcode::{A, INT, VEC};
use super::{Emitter, ScalarLane, encode};
use crate::error::CodegenError;
use crate::frame::{ErrorRecord, FrameLayout};
use crate::host::HostFn;
use crate::lane::Access;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::{BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::Func;
use std::collections::HashMap;
use std::mem::offset_of;

/// What a check found.
#[derive(Clone, Copy)]
pub enum Failure {
    /// An index outside of [0, size).
    Index { value: VReg, size: VReg },
    /// Integer division by zero.
    ZeroDivision,
}

/// How one element of an access is addressed in scalar code.
enum Address<'a> {
    /// base + (first lane + lane) * step, in bytes.
    Strided { base: VReg, step: VReg },
    /// Evaluated for every lane; with a mask, held within the buffer.
    Indexed { e: &'a IndexExpr, mask: Option<i32> },
}

impl Emitter<'_> {
    /// A loop of scalar code over the lanes that exist; `used` are the values it reads as indices.
    pub fn by_lanes(
        &mut self,
        used: &[&IndexExpr],
        body: &mut dyn FnMut(&mut Self, VReg) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        let mut values = HashMap::new();
        for e in used {
            let mut of = Vec::new();
            e.visit(&mut |e| {
                if let IndexExpr::Value(v) = e {
                    of.push(*v);
                }
            });
            for v in of {
                if !values.contains_key(&v) && matches!(self.val(v)?, Val::Lanes(_)) {
                    let x = self.val(v)?;
                    values.insert(v, self.spill_i64(self.k.dtype(v), &x)?);
                }
            }
        }
        let end = match &self.tail {
            Some(t) => t.count,
            None => self.int(self.room() as i64),
        };
        let begin = self.int(0);
        let before = self.scalar_lane.replace(ScalarLane { lane: None, values });
        self.count_loop(begin, end, 1, &mut |e, lane| {
            if let Some(s) = &mut e.scalar_lane {
                s.lane = Some(lane);
            }
            body(e, lane)
        })?;
        self.scalar_lane = before;
        Ok(())
    }

    /// Lanes that a local array has room for: in uniform code, one.
    pub fn room(&self) -> usize {
        self.n.max(1)
    }

    /// Runs `f` as if all lanes in flight existed: for local arrays, which have room for all.
    fn untailed<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        let tail = self.tail.take();
        let r = f(self);
        self.tail = tail;
        r
    }

    /// A local array with the lanes of a value, as its dtype lies in memory.
    pub fn spill(&mut self, dtype: DType, v: &Val) -> Result<i32, CodegenError> {
        let n = self.n;
        if n == 0 {
            self.n = self.width();
        }
        let lanes = self.spread(dtype, v)?;
        let at = self.c.local(self.n * dtype.size());
        self.untailed(|e| e.store_lanes(dtype, &lanes, Place::Local(at)))?;
        self.n = n;
        Ok(at)
    }

    /// The same of an integer, as i64.
    pub fn spill_i64(&mut self, dtype: DType, v: &Val) -> Result<i32, CodegenError> {
        let wide = self.convert(dtype, DType::I64, v)?;
        self.spill(DType::I64, &wide)
    }

    pub fn reload(&mut self, dtype: DType, at: i32) -> Result<Val, CodegenError> {
        if self.n == 0 {
            return Ok(Val::Uniform(self.load_uniform(dtype, A::Local(at))?));
        }
        Ok(Val::Lanes(self.untailed(|e| e.load_lanes(dtype, Place::Local(at)))?))
    }

    /// A local array of zeros.
    pub fn zeros(&mut self, bytes: usize) -> i32 {
        let at = self.c.local(bytes);
        let zero = self.zero();
        let code = self.pick(Code::VEX_Vmovups_ymmm256_ymm, Code::EVEX_Vmovups_zmmm512_k1z_zmm);
        for i in (0..bytes.next_multiple_of(64)).step_by(self.bytes()) {
            self.c.emit(code, &[A::Local(at + i as i32), A::Use(zero)]);
        }
        at
    }

    /// Runs `body` where byte `lane` of a local array is not 0.
    fn when_on(
        &mut self,
        mask: Option<i32>,
        lane: VReg,
        body: &mut dyn FnMut(&mut Self) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        let Some(at) = mask else { return body(self) };
        let on = self.c.vreg(INT);
        self.c.emit(Code::Movzx_r32_rm8, &[A::Def(on), A::LocalIndexed(at, lane, 1)]);
        self.compare_imm(on, 0);
        self.when(Code::Jne_rel32_64, false, body)
    }

    fn address_of<'e>(
        &mut self,
        buffer: BufferId,
        access: &'e Access,
        mask: Option<ValueId>,
    ) -> Result<Address<'e>, CodegenError> {
        let dtype = self.k.buffers[buffer.index()].dtype;
        Ok(match (access, mask) {
            (Access::Strided(e, step), None) => {
                let base = self.base(Some(buffer), e)?;
                let step = self.index(step)?;
                Address::Strided { base, step: self.shift_left(step, shift(dtype)) }
            }
            (Access::Row(_), _) => return Err(CodegenError::unsupported("row scratch by lane")),
            (_, None) => Address::Indexed { e: access.expr(), mask: None },
            (_, Some(m)) => {
                let m = self.val(m)?;
                Address::Indexed { e: access.expr(), mask: Some(self.spill(DType::Bool, &m)?) }
            }
        })
    }

    /// Runs `body` with the address of every lane that exists, is on and lies within its buffer.
    fn for_addresses(
        &mut self,
        buffer: BufferId,
        address: &Address,
        body: &mut dyn FnMut(&mut Self, VReg, VReg) -> Result<(), CodegenError>,
    ) -> Result<(), CodegenError> {
        match *address {
            Address::Strided { base, step } => self.by_lanes(&[], &mut |e, lane| {
                let k = e.first_lane()?;
                let offset = e.mul(k, step);
                let p = e.add(base, offset);
                body(e, lane, p)
            }),
            Address::Indexed { e: index, mask } => self.by_lanes(&[index], &mut |e, lane| {
                e.when_on(mask, lane, &mut |e| {
                    let i = e.index(index)?;
                    let p = e.address(buffer, i);
                    if mask.is_none() {
                        return body(e, lane, p);
                    }
                    // Launch cannot know which lanes are on.
                    let (begin, length) = (e.layout.begin(buffer), e.layout.length(buffer));
                    let (begin, length) = (e.slot(begin), e.slot(length));
                    let from_begin = e.sub(i, begin);
                    e.compare(from_begin, length);
                    e.when(Code::Jb_rel32_64, false, &mut |e| body(e, lane, p))
                })
            }),
        }
    }

    /// Copies an element through a general-purpose register.
    pub fn copy_element(&mut self, size: usize, from: A, to: A) {
        let r = self.c.vreg(INT);
        let (load, store) = match size {
            1 => (Code::Movzx_r32_rm8, Code::Mov_rm8_r8),
            2 => (Code::Movzx_r32_rm16, Code::Mov_rm16_r16),
            4 => (Code::Mov_r32_rm32, Code::Mov_rm32_r32),
            _ => (Code::Mov_r64_rm64, Code::Mov_rm64_r64),
        };
        self.c.emit(load, &[A::Def(r), from]);
        self.c.emit(store, &[to, A::Use(r)]);
    }

    pub fn load_by_lane(
        &mut self,
        buffer: BufferId,
        access: &Access,
        mask: Option<ValueId>,
    ) -> Result<Val, CodegenError> {
        let dtype = self.k.buffers[buffer.index()].dtype;
        let size = dtype.size();
        let address = self.address_of(buffer, access, mask)?;
        let to = if mask.is_some() { self.zeros(self.room() * size) } else { self.c.local(self.room() * size) };
        self.for_addresses(buffer, &address, &mut |e, lane, p| {
            e.copy_element(size, A::Mem(p, 0), A::LocalIndexed(to, lane, size as u32));
            Ok(())
        })?;
        self.reload(dtype, to)
    }

    pub fn store_by_lane(
        &mut self,
        buffer: BufferId,
        access: &Access,
        value: &Val,
        mask: Option<ValueId>,
        add: bool,
    ) -> Result<(), CodegenError> {
        let dtype = self.k.buffers[buffer.index()].dtype;
        let size = dtype.size();
        let from = self.spill(dtype, value)?;
        let address = self.address_of(buffer, access, mask)?;
        self.for_addresses(buffer, &address, &mut |e, lane, p| {
            let from = A::LocalIndexed(from, lane, size as u32);
            if add {
                e.add_element(dtype, from, p);
            } else {
                e.copy_element(size, from, A::Mem(p, 0));
            }
            Ok(())
        })
    }

    /// Adds an element to memory.
    fn add_element(&mut self, dtype: DType, from: A, p: VReg) {
        let to = A::Mem(p, 0);
        if dtype.is_float() {
            let double = dtype == DType::F64;
            let (load, add, store) = match (self.wide512, double) {
                (false, false) => (Code::VEX_Vmovss_xmm_m32, Code::VEX_Vaddss_xmm_xmm_xmmm32, Code::VEX_Vmovss_m32_xmm),
                (false, true) => (Code::VEX_Vmovsd_xmm_m64, Code::VEX_Vaddsd_xmm_xmm_xmmm64, Code::VEX_Vmovsd_m64_xmm),
                (true, false) => (
                    Code::EVEX_Vmovss_xmm_k1z_m32,
                    Code::EVEX_Vaddss_xmm_k1z_xmm_xmmm32_er,
                    Code::EVEX_Vmovss_m32_k1_xmm,
                ),
                (true, true) => (
                    Code::EVEX_Vmovsd_xmm_k1z_m64,
                    Code::EVEX_Vaddsd_xmm_k1z_xmm_xmmm64_er,
                    Code::EVEX_Vmovsd_m64_k1_xmm,
                ),
            };
            let (old, sum) = (self.c.vreg(VEC), self.c.vreg(VEC));
            self.c.emit(load, &[A::Def(old), to]);
            self.c.emit(add, &[A::Def(sum), A::Use(old), from]);
            self.c.emit(store, &[to, A::Use(sum)]);
            return;
        }
        let r = self.c.vreg(INT);
        match dtype.size() {
            8 => {
                self.c.emit(Code::Mov_r64_rm64, &[A::Def(r), from]);
                self.c.emit(Code::Add_rm64_r64, &[to, A::Use(r)]);
            }
            4 => {
                self.c.emit(Code::Mov_r32_rm32, &[A::Def(r), from]);
                self.c.emit(Code::Add_rm32_r32, &[to, A::Use(r)]);
            }
            2 => {
                self.c.emit(Code::Movzx_r32_rm16, &[A::Def(r), from]);
                self.c.emit(Code::Add_rm16_r16, &[to, A::Use(r)]);
            }
            _ if dtype == DType::Bool => {
                // Any byte but 0 is true.
                self.c.emit(Code::Movzx_r32_rm8, &[A::Def(r), from]);
                let (either, one) = (self.c.vreg(INT), self.c.vreg(INT));
                self.c.emit(Code::Or_r8_rm8, &[A::Mod(either, r), to]);
                self.compare_byte_zero(either);
                self.c.emit(Code::Setne_rm8, &[A::Def(one)]);
                self.c.emit(Code::Mov_rm8_r8, &[to, A::Use(one)]);
            }
            _ => {
                self.c.emit(Code::Movzx_r32_rm8, &[A::Def(r), from]);
                self.c.emit(Code::Add_rm8_r8, &[to, A::Use(r)]);
            }
        }
    }

    fn compare_byte_zero(&mut self, r: VReg) {
        self.c.emit(Code::Cmp_rm8_imm8, &[A::Use(r), A::Imm8(0)]);
    }

    /// The value of an index expression, evaluated lane by lane.
    pub fn index_by_lane(&mut self, index: &IndexExpr, dtype: DType) -> Result<Val, CodegenError> {
        let to = self.c.local(self.room() * 8);
        self.by_lanes(&[index], &mut |e, lane| {
            let i = e.index(index)?;
            e.c.emit(Code::Mov_rm64_r64, &[A::LocalIndexed(to, lane, 8), A::Use(i)]);
            Ok(())
        })?;
        let v = self.reload(DType::I64, to)?;
        self.convert(DType::I64, dtype, &v)
    }

    /// A checked index, as i64.
    pub fn check_by_lane(
        &mut self,
        dtype: DType,
        value: &Val,
        size: &IndexExpr,
        wrap: bool,
        mask: Option<ValueId>,
    ) -> Result<Val, CodegenError> {
        let raw = self.spill_i64(dtype, value)?;
        let mask = match mask {
            Some(m) => {
                let m = self.val(m)?;
                Some(self.spill(DType::Bool, &m)?)
            }
            None => None,
        };
        let to = self.zeros(self.room() * 8);
        self.by_lanes(&[size], &mut |e, lane| {
            e.when_on(mask, lane, &mut |e| {
                let size = e.index(size)?;
                let raw = {
                    let v = e.c.vreg(INT);
                    e.c.emit(Code::Mov_r64_rm64, &[A::Def(v), A::LocalIndexed(raw, lane, 8)]);
                    v
                };
                let index = if wrap {
                    let wrapped = e.add(raw, size);
                    e.compare_imm(raw, 0);
                    e.choose(Code::Cmovl_r64_rm64, wrapped, raw)
                } else {
                    raw
                };
                let zero = e.int(0);
                e.compare(index, size);
                let good = e.choose(Code::Cmovb_r64_rm64, index, zero);
                e.c.emit(Code::Mov_rm64_r64, &[A::LocalIndexed(to, lane, 8), A::Use(good)]);
                e.compare(index, size);
                e.when(Code::Jae_rel32_64, true, &mut |e| e.record(Failure::Index { value: raw, size }))
            })
        })?;
        self.reload(DType::I64, to)
    }

    /// A scalar library function of every lane.
    pub fn library_call(&mut self, f: Func, dtype: DType, args: &[Val]) -> Result<Val, CodegenError> {
        let number = Func::ALL.iter().position(|x| *x == f);
        let number = number.ok_or_else(|| CodegenError::internal("an unlisted function"))?;
        let a = self.spill(dtype, &args[0])?;
        let b = match args.get(1) {
            Some(b) => self.spill(dtype, b)?,
            None => a,
        };
        let size = dtype.size() as u32;
        let to = self.c.local(self.room() * dtype.size());
        let single = dtype == DType::F32;
        let callee = (self.host)(if single { HostFn::CallF32 } else { HostFn::CallF64 });
        let (load, store) = match (self.wide512, single) {
            (false, true) => (Code::VEX_Vmovss_xmm_m32, Code::VEX_Vmovss_m32_xmm),
            (false, false) => (Code::VEX_Vmovsd_xmm_m64, Code::VEX_Vmovsd_m64_xmm),
            (true, true) => (Code::EVEX_Vmovss_xmm_k1z_m32, Code::EVEX_Vmovss_m32_k1_xmm),
            (true, false) => (Code::EVEX_Vmovsd_xmm_k1z_m64, Code::EVEX_Vmovsd_m64_k1_xmm),
        };
        self.by_lanes(&[], &mut |e, lane| {
            let id = e.int(number as i64);
            let (x, y, r) = (e.c.vreg(VEC), e.c.vreg(VEC), e.c.vreg(VEC));
            e.c.emit(load, &[A::Def(x), A::LocalIndexed(a, lane, size)]);
            e.c.emit(load, &[A::Def(y), A::LocalIndexed(b, lane, size)]);
            let uses = [(id, encode::int(encode::ARGS[0])), (x, encode::vec(0)), (y, encode::vec(1))];
            e.c.call(callee, &uses, &[(r, encode::vec(0))]);
            e.c.emit(store, &[A::LocalIndexed(to, lane, size), A::Use(r)]);
            Ok(())
        })?;
        self.reload(dtype, to)
    }

    /// The row-major number of the current iteration over the axes in scope.
    fn position(&mut self) -> Result<VReg, CodegenError> {
        let mut position = self.int(0);
        for axis in self.scope.clone() {
            let extent = self.k.axes[axis.index()].clone();
            let extent = self.index(&extent)?;
            let at = self.axis_value(axis)?;
            position = self.mul(position, extent);
            position = self.add(position, at);
        }
        Ok(position)
    }

    /// Notes a failure unless the worker has one of a lower key.
    pub fn record(&mut self, failure: Failure) -> Result<(), CodegenError> {
        let record = self.slot(FrameLayout::ERROR);
        let position = self.position()?;
        let (zero, one, site) = (self.int(0), self.int(1), self.int(i64::from(self.site)));
        let (kind, value, size) = match failure {
            Failure::Index { value, size } => (one, value, size),
            Failure::ZeroDivision => (self.int(2), zero, zero),
        };
        // The key, its least significant part first.
        let key = [
            (offset_of!(ErrorRecord, size), size, Code::Cmovl_r64_rm64),
            (offset_of!(ErrorRecord, value), value, Code::Cmovl_r64_rm64),
            (offset_of!(ErrorRecord, site), site, Code::Cmovb_r64_rm64),
            (offset_of!(ErrorRecord, position), position, Code::Cmovb_r64_rm64),
        ];
        let mut lower = zero;
        for (offset, new, below) in key {
            let old = self.load_i64(record, offset as i32);
            self.compare(new, old);
            lower = self.choose(Code::Cmove_r64_rm64, lower, zero);
            self.compare(new, old);
            lower = self.choose(below, one, lower);
        }
        let old_kind = self.load_i64(record, offset_of!(ErrorRecord, kind) as i32);
        self.compare_imm(old_kind, 0);
        let take = self.choose(Code::Cmove_r64_rm64, one, lower);
        self.compare_imm(take, 0);
        self.when(Code::Jne_rel32_64, true, &mut |e| {
            let kind = (offset_of!(ErrorRecord, kind), kind);
            for (offset, v) in key.iter().map(|&(offset, v, _)| (offset, v)).chain([kind]) {
                e.c.emit(Code::Mov_rm64_r64, &[A::Mem(record, offset as i32), A::Use(v)]);
            }
            Ok(())
        })
    }
}
