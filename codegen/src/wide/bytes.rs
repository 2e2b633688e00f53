//! Maps of bytes: a body that reads, computes and writes nothing but u8, i8 and bool, next to each other, runs on
//! lanes of 8 bits, four times as many to a register as the lanes of 32 bits that hold them elsewhere (L6). What
//! is left of less than a register goes by those. A bool is 0 or 1 here; integers wrap by themselves.

use super::Emitter;
use super::val::{LaneTy, Src, Val};
use super::vcode::{A, MASK, VEC};
use crate::error::CodegenError;
use crate::lane::{Access, LaneOp, Segment};
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::id::{AxisId, BufferId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::prim::Prim;
use std::collections::HashMap;

/// Registers per iteration.
const UNROLL: usize = 4;

/// The primitives that have a form of 8 bits.
fn has_form(p: Prim) -> bool {
    use Prim::*;
    matches!(p, Add | Sub | Mul | Neg | Abs | Min | Max | And | Or | Xor | Not | Select | Convert) || p.is_compare()
}

/// What is in registers around the loop.
struct Around {
    zero: VReg,
    one: VReg,
    ones: VReg,
    /// Operands that are the same for all lanes.
    uniform: HashMap<ValueId, VReg>,
}

impl Emitter<'_> {
    /// True for a body that runs on lanes of 8 bits.
    pub fn fits_bytes(&self, seg: &Segment) -> bool {
        let is_byte = |v: &ValueId| self.k.dtype(*v).size() == 1;
        let in_bytes = |b: &BufferId| self.k.buffers[b.index()].dtype.size() == 1;
        seg.reduces.is_empty()
            && seg.keeps.is_empty()
            && seg.body.iter().all(|inst| match &inst.op {
                LaneOp::Load { buffer, access: Access::Unit(_), mask: None }
                | LaneOp::Store { buffer, access: Access::Unit(_), mask: None, add: false, .. } => in_bytes(buffer),
                LaneOp::Prim(p, _, args) => has_form(*p) && args.iter().chain(&inst.results).all(is_byte),
                _ => false,
            })
    }

    /// Runs a body that fits for whole registers of the lanes in `[lo, hi)`; gives the first lane left.
    pub fn byte_loop(&mut self, axis: AxisId, lo: VReg, hi: VReg, seg: &Segment) -> Result<VReg, CodegenError> {
        let around = self.around(seg)?;
        let mut at = lo;
        for registers in [UNROLL, 1] {
            at = self.count_loop(at, hi, (registers * self.bytes()) as i64, &mut |e, i| {
                e.axes.insert(axis, i);
                e.byte_body(seg, registers, &around)
            })?;
        }
        Ok(at)
    }

    fn around(&mut self, seg: &Segment) -> Result<Around, CodegenError> {
        let [zero, one, ones] = [0, 1, 0xff].map(|byte| self.load_vector_const(&vec![byte; self.bytes()]));
        let mut uniform = HashMap::new();
        let inside: Vec<ValueId> = seg.body.iter().flat_map(|i| i.results.iter().copied()).collect();
        for inst in &seg.body {
            let mut operands = Vec::new();
            if let LaneOp::Prim(_, _, args) = &inst.op {
                operands.extend(args);
            } else if let LaneOp::Store { value, .. } = &inst.op {
                operands.push(*value);
            }
            for v in operands {
                if !inside.contains(&v) && !uniform.contains_key(&v) {
                    uniform.insert(v, self.uniform_byte(v)?);
                }
            }
        }
        Ok(Around { zero, one, ones, uniform })
    }

    /// A uniform value in every byte.
    fn uniform_byte(&mut self, v: ValueId) -> Result<VReg, CodegenError> {
        let part = match self.val(v)? {
            Val::Const(l) => {
                let byte = if l.dtype == DType::Bool { u8::from(l.bits != 0) } else { l.bits as u8 };
                return Ok(self.load_vector_const(&vec![byte; self.bytes()]));
            }
            Val::Uniform(x) if x.ty.is_mask() => {
                let one = self.pool_bits(1, false);
                let one = self.load_pool(one, false);
                self.keep(LaneTy::I32, x.parts[0], one)
            }
            Val::Uniform(x) => x.parts[0],
            Val::Lanes(_) => return Err(CodegenError::internal(format!("{v} is defined in no body"))),
        };
        let all = self.c.vreg(VEC);
        let code = self.pick(Code::VEX_Vpbroadcastb_ymm_xmmm8, Code::EVEX_Vpbroadcastb_zmm_k1z_xmmm8);
        self.c.emit(code, &[A::Def(all), A::Use(part)]);
        Ok(all)
    }

    /// Address of a register's bytes.
    fn byte_at(&mut self, buffer: BufferId, e: &IndexExpr, register: usize) -> Result<A, CodegenError> {
        let base = self.base(Some(buffer), e)?;
        let place = self.unit_place(base, DType::U8)?;
        Ok(place.a((register * self.bytes()) as i32))
    }

    fn byte_body(&mut self, seg: &Segment, registers: usize, around: &Around) -> Result<(), CodegenError> {
        let mut vals: HashMap<ValueId, Vec<VReg>> = HashMap::new();
        let get = |vals: &HashMap<ValueId, Vec<VReg>>, v: &ValueId, i: usize| {
            let found = vals.get(v).map(|parts| parts[i]).or_else(|| around.uniform.get(v).copied());
            found.ok_or_else(|| CodegenError::internal(format!("{v} is used before it is defined")))
        };
        for inst in &seg.body {
            let mut parts = Vec::with_capacity(registers);
            for i in 0..registers {
                match &inst.op {
                    LaneOp::Load { buffer, access, .. } => {
                        let a = self.byte_at(*buffer, access.expr(), i)?;
                        let v = self.c.vreg(VEC);
                        if self.k.buffers[buffer.index()].dtype == DType::Bool {
                            // Any byte but 0 is true.
                            let least =
                                self.pick(Code::VEX_Vpminub_ymm_ymm_ymmm256, Code::EVEX_Vpminub_zmm_k1z_zmm_zmmm512);
                            self.c.emit(least, &[A::Def(v), A::Use(around.one), a]);
                        } else {
                            let code = self.pick(Code::VEX_Vmovups_ymm_ymmm256, Code::EVEX_Vmovups_zmm_k1z_zmmm512);
                            self.c.emit(code, &[A::Def(v), a]);
                        }
                        parts.push(v);
                    }
                    LaneOp::Store { buffer, access, value, .. } => {
                        let v = get(&vals, value, i)?;
                        let a = self.byte_at(*buffer, access.expr(), i)?;
                        let code = self.pick(Code::VEX_Vmovups_ymmm256_ymm, Code::EVEX_Vmovups_zmmm512_k1z_zmm);
                        self.c.emit(code, &[a, A::Use(v)]);
                    }
                    LaneOp::Prim(p, t, args) => {
                        let operands = args.iter().map(|v| get(&vals, v, i)).collect::<Result<Vec<_>, _>>()?;
                        parts.push(self.byte_prim(*p, *t, &operands, around)?);
                    }
                    _ => return Err(CodegenError::internal("no lanes of 8 bits")),
                }
            }
            if let Some(&result) = inst.results.first() {
                vals.insert(result, parts);
            }
        }
        Ok(())
    }

    fn byte_prim(&mut self, p: Prim, t: DType, v: &[VReg], around: &Around) -> Result<VReg, CodegenError> {
        let signed = t == DType::I8;
        if p.is_compare() {
            return Ok(self.byte_compare(p, signed, v[0], v[1], around));
        }
        let b = || Src::Reg(v[1]);
        Ok(match p {
            Prim::Add => {
                self.vec2(self.pick(Code::VEX_Vpaddb_ymm_ymm_ymmm256, Code::EVEX_Vpaddb_zmm_k1z_zmm_zmmm512), v[0], b())
            }
            Prim::Sub => self.byte_sub(v[0], v[1]),
            Prim::Neg => self.byte_sub(around.zero, v[0]),
            Prim::Mul => self.byte_mul(v[0], v[1]),
            Prim::Abs if signed => {
                let code = self.pick(Code::VEX_Vpabsb_ymm_ymmm256, Code::EVEX_Vpabsb_zmm_k1z_zmmm512);
                self.vec1(code, Src::Reg(v[0]))
            }
            Prim::Abs => v[0],
            Prim::Min | Prim::Max => self.byte_extreme(p == Prim::Max, signed, v[0], v[1]),
            Prim::And => self.and(v[0], b()),
            Prim::Or => self.or(v[0], b()),
            Prim::Xor => self.xor(v[0], b()),
            Prim::Not if t == DType::Bool => self.xor(v[0], Src::Reg(around.one)),
            Prim::Not => self.xor(v[0], Src::Reg(around.ones)),
            Prim::Convert if t == DType::Bool => self.byte_extreme(false, false, v[0], around.one),
            Prim::Convert => v[0],
            Prim::Select => {
                let out = self.c.vreg(VEC);
                if self.wide512 {
                    let k = self.c.vreg(MASK);
                    self.c.emit(Code::EVEX_Vptestmb_kr_k1_zmm_zmmm512, &[A::Def(k), A::Use(v[0]), A::Use(v[0])]);
                    let blend = Code::EVEX_Vpblendmb_zmm_k1z_zmm_zmmm512;
                    self.c.emit_masked(blend, &[A::Def(out), A::Use(v[2]), A::Any(v[1])], Some(k), false);
                } else {
                    let mask = self.byte_sub(around.zero, v[0]);
                    let blend = Code::VEX_Vpblendvb_ymm_ymm_ymmm256_ymm;
                    self.c.emit(blend, &[A::Def(out), A::Use(v[2]), A::Any(v[1]), A::Use(mask)]);
                }
                out
            }
            _ => return Err(CodegenError::internal(format!("{} of 8 bits", p.name()))),
        })
    }

    fn byte_sub(&mut self, a: VReg, b: VReg) -> VReg {
        self.vec2(self.pick(Code::VEX_Vpsubb_ymm_ymm_ymmm256, Code::EVEX_Vpsubb_zmm_k1z_zmm_zmmm512), a, Src::Reg(b))
    }

    fn byte_extreme(&mut self, max: bool, signed: bool, a: VReg, b: VReg) -> VReg {
        let code = match (max, signed) {
            (false, false) => self.pick(Code::VEX_Vpminub_ymm_ymm_ymmm256, Code::EVEX_Vpminub_zmm_k1z_zmm_zmmm512),
            (false, true) => self.pick(Code::VEX_Vpminsb_ymm_ymm_ymmm256, Code::EVEX_Vpminsb_zmm_k1z_zmm_zmmm512),
            (true, false) => self.pick(Code::VEX_Vpmaxub_ymm_ymm_ymmm256, Code::EVEX_Vpmaxub_zmm_k1z_zmm_zmmm512),
            (true, true) => self.pick(Code::VEX_Vpmaxsb_ymm_ymm_ymmm256, Code::EVEX_Vpmaxsb_zmm_k1z_zmm_zmmm512),
        };
        self.vec2(code, a, Src::Reg(b))
    }

    /// There is no product of bytes: the even ones are the lower halves of products of words, and the odd ones, with nothing
    /// below them, the upper halves.
    fn byte_mul(&mut self, a: VReg, b: VReg) -> VReg {
        let product = self.pick(Code::VEX_Vpmullw_ymm_ymm_ymmm256, Code::EVEX_Vpmullw_zmm_k1z_zmm_zmmm512);
        let right = self.pick(Code::VEX_Vpsrlw_ymm_ymm_imm8, Code::EVEX_Vpsrlw_zmm_k1z_zmmm512_imm8);
        let (lower, upper) = (self.pool_bits(0x00ff_00ff, false), self.pool_bits(0xff00_ff00, false));
        let even = self.vec2(product, a, Src::Reg(b));
        let even = self.and(even, lower);
        let (odd_a, odd_b) = (self.and(a, upper), self.vec1_imm(right, Src::Reg(b), 8));
        let odd = self.vec2(product, odd_a, Src::Reg(odd_b));
        self.or(even, Src::Reg(odd))
    }

    /// 1 where it holds. AVX2 knows equality and, of signed bytes, above; of unsigned ones a <= b where a is the lesser one.
    fn byte_compare(&mut self, p: Prim, signed: bool, a: VReg, b: VReg, around: &Around) -> VReg {
        if self.wide512 {
            let (k, out) = (self.c.vreg(MASK), self.c.vreg(VEC));
            let code = if signed {
                Code::EVEX_Vpcmpb_kr_k1_zmm_zmmm512_imm8
            } else {
                Code::EVEX_Vpcmpub_kr_k1_zmm_zmmm512_imm8
            };
            self.c.emit(code, &[A::Def(k), A::Use(a), A::Any(b), A::Imm8(super::compare::int_predicate(p))]);
            let keep = Code::EVEX_Vmovdqu8_zmm_k1z_zmmm512;
            self.c.emit_masked(keep, &[A::Def(out), A::Any(around.one)], Some(k), true);
            return out;
        }
        let equal = Code::VEX_Vpcmpeqb_ymm_ymm_ymmm256;
        // The mask, and whether it is of the opposite.
        let (mask, opposite) = match p {
            Prim::Eq | Prim::Ne => (self.vec2(equal, a, Src::Reg(b)), p == Prim::Ne),
            Prim::Gt | Prim::Le if signed => {
                (self.vec2(Code::VEX_Vpcmpgtb_ymm_ymm_ymmm256, a, Src::Reg(b)), p == Prim::Le)
            }
            _ if signed => (self.vec2(Code::VEX_Vpcmpgtb_ymm_ymm_ymmm256, b, Src::Reg(a)), p == Prim::Ge),
            Prim::Le | Prim::Gt => {
                let least = self.byte_extreme(false, false, a, b);
                (self.vec2(equal, least, Src::Reg(a)), p == Prim::Gt)
            }
            _ => {
                let most = self.byte_extreme(true, false, a, b);
                (self.vec2(equal, most, Src::Reg(a)), p == Prim::Lt)
            }
        };
        if opposite {
            return self.vec2(Code::VEX_Vpandn_ymm_ymm_ymmm256, mask, Src::Reg(around.one));
        }
        self.and(mask, Src::Reg(around.one))
    }
}
