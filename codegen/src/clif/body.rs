//! Straight-line lane code.

use super::memory::Width;
use super::record::Failure;
use super::val::{LaneTy, Lanes, Val, scalar_type};
use super::{Emitter, GROUP};
use crate::host::HostFn;
use crate::lane::{LaneInst, LaneOp};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use rusttorch_ir::dtype::{DType, Literal};
use rusttorch_ir::id::ValueId;
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::{Func, ScalarFn};
use rusttorch_ir::prim::Prim;

/// [`Func`] number `func` at f64.
pub(crate) extern "C" fn call_f64(func: u64, a: f64, b: f64) -> f64 {
    match Func::ALL[func as usize].f64() {
        ScalarFn::Unary(f) => f(a),
        ScalarFn::Binary(f) => f(a, b),
    }
}

/// [`Func`] number `func` at f32.
pub(crate) extern "C" fn call_f32(func: u64, a: f32, b: f32) -> f32 {
    match Func::ALL[func as usize].f32() {
        ScalarFn::Unary(f) => f(a),
        ScalarFn::Binary(f) => f(a, b),
    }
}

impl Emitter<'_> {
    /// The current form of a value: of the group in flight, of this copy of the body, or of the phase.
    pub fn val(&mut self, v: ValueId) -> Val {
        if let Some(x) = self.copy.vals.get(&v).or_else(|| self.vals.get(&v)) {
            return x.clone();
        }
        panic!("verified: {v} is defined before it is used")
    }

    pub fn define(&mut self, v: ValueId, x: Val) {
        self.copy.vals.insert(v, x);
    }

    /// The vector form of a value; uniform ones are splatted once per copy.
    pub fn as_group(&mut self, id: ValueId, v: &Val) -> Lanes {
        match v {
            Val::Lanes(l) => l.clone(),
            Val::Scalar(s) => {
                if let Some(l) = self.copy.splats.get(&id).or_else(|| self.group.get(&id)) {
                    return l.clone();
                }
                let l = self.splat(self.k.dtype(id), *s, GROUP);
                self.group.insert(id, l.clone());
                l
            }
        }
    }

    /// An operand in the width asked for.
    fn operand(&mut self, id: ValueId, width: Width) -> Val {
        let v = self.val(id);
        match (width, &v) {
            (Width::Vector, Val::Scalar(_)) => Val::Lanes(self.as_group(id, &v)),
            _ => v,
        }
    }

    /// Emits uniform code.
    pub fn run_uniform(&mut self, code: &[LaneInst]) {
        self.run(code, Width::One);
    }

    /// Emits code for the lanes in flight.
    pub fn run(&mut self, code: &[LaneInst], width: Width) {
        for inst in code {
            self.run_inst(inst, width);
        }
    }

    fn run_inst(&mut self, inst: &LaneInst, width: Width) {
        self.site = inst.site;
        let result = match &inst.op {
            LaneOp::Const(l) => self.constant(*l, inst.results[0], width),
            LaneOp::Scalar(s) => {
                let dtype = self.k.scalars[s.index()];
                let p = self.b.ins().iadd_imm_s(self.frame, 8 * self.layout.scalar(*s) as i64);
                Val::Scalar(self.load_scalar(dtype, p, 0))
            }
            LaneOp::Index(access) => {
                let dtype = self.k.dtype(inst.results[0]);
                self.index_value(access, dtype, width)
            }
            LaneOp::Prim(p, t, args) => self.prim(*p, *t, args, width),
            LaneOp::Call(f, args) => self.library_call(*f, inst.results[0], args, width),
            LaneOp::Lookup(table, index) => self.lookup(table, *index, width),
            LaneOp::Load { buffer, access, mask } => self.load(*buffer, access, *mask, width),
            LaneOp::Store { buffer, access, value, mask, add } => {
                self.store(*buffer, access, *value, *mask, *add, width);
                return;
            }
            LaneOp::Check { value, size, wrap, mask } => self.check(*value, size, *wrap, *mask, width),
            LaneOp::Cold { mask, body, slow, fast } => {
                self.cold(inst, *mask, body, slow, fast, width);
                return;
            }
        };
        self.define(inst.results[0], result);
    }

    fn constant(&mut self, l: Literal, id: ValueId, width: Width) -> Val {
        self.literals.insert(id, l);
        if width == Width::Vector {
            let v = self.vector_const(l, GROUP);
            self.group.insert(id, v);
        }
        Val::Scalar(self.literal(l))
    }

    fn prim(&mut self, p: Prim, t: DType, args: &[ValueId], width: Width) -> Val {
        let from = self.k.dtype(args[0]);
        let vals: Vec<Val> = args.iter().map(|&a| self.val(a)).collect();
        if width == Width::One || (Self::all_scalar(&vals) && !matches!(p, Prim::IDiv | Prim::IRem)) {
            let scalars: Vec<Value> = vals.iter().map(|v| self.lane_of(v, t, 0)).collect();
            return Val::Scalar(self.scalar_prim(p, t, from, &scalars));
        }
        // A shift count stays scalar; everything else takes its lanes.
        let shift = matches!(p, Prim::Shl | Prim::Shr | Prim::Lshr);
        let vals: Vec<Val> = args
            .iter()
            .zip(vals)
            .enumerate()
            .map(|(i, (&id, v))| if shift && i == 1 { v } else { Val::Lanes(self.as_group(id, &v)) })
            .collect();
        // A constant that is no NaN needs no check for one.
        let second = args.get(1).and_then(|b| self.literals.get(b));
        if let (Prim::Min | Prim::Max, true, Some(l)) = (p, t.is_float(), second)
            && !l.as_f64().is_nan()
        {
            return Val::Lanes(self.minmax_number(p, &vals));
        }
        Val::Lanes(self.vector_prim(p, t, from, &vals, GROUP))
    }

    /// Applies a scalar form to every lane in flight.
    fn per_lane(&mut self, result: DType, width: Width, mut f: impl FnMut(&mut Self, usize) -> Value) -> Val {
        let n = if width == Width::One { 1 } else { GROUP };
        let lanes: Vec<Value> = (0..n)
            .map(|l| {
                self.current_lane = l;
                f(self, l)
            })
            .collect();
        self.current_lane = 0;
        match width {
            Width::One => Val::Scalar(lanes[0]),
            Width::Vector => Val::Lanes(self.assemble(result, &lanes)),
        }
    }

    fn library_call(&mut self, f: Func, result: ValueId, args: &[ValueId], width: Width) -> Val {
        let dtype = self.k.dtype(result);
        let ty = scalar_type(dtype);
        let callee = if dtype == DType::F32 { HostFn::CallF32 } else { HostFn::CallF64 };
        let vals: Vec<Val> = args.iter().map(|&a| self.val(a)).collect();
        let width = if Self::all_scalar(&vals) { Width::One } else { width };
        let number = Func::ALL.iter().position(|x| *x == f).expect("every function is listed");
        self.per_lane(dtype, width, |e, l| {
            let a = e.lane_of(&vals[0], dtype, l);
            let b = vals.get(1).map_or(a, |v| e.lane_of(v, dtype, l));
            let id = e.int(number as i64);
            e.call_host(callee, &[types::I64, ty, ty], Some(ty), &[id, a, b]).expect("it has a result")
        })
    }

    /// Puts the tables of all look-ups of this code on the stack.
    pub fn make_tables(&mut self, code: &[LaneInst]) {
        for inst in code {
            match &inst.op {
                LaneOp::Cold { body, .. } => self.make_tables(body),
                LaneOp::Lookup(table, _) if !self.tables.contains_key(table) => {
                    let dtype = table[0].dtype;
                    let slot = self.stack_slot(table.len() * dtype.size());
                    let base = self.b.ins().stack_addr(types::I64, slot, 0);
                    for (i, l) in table.iter().enumerate() {
                        let v = self.literal(*l);
                        self.store_scalar(dtype, v, base, (i * dtype.size()) as i32);
                    }
                    self.tables.insert(table.clone(), slot);
                }
                _ => {}
            }
        }
    }

    fn lookup(&mut self, table: &[Literal], index: ValueId, width: Width) -> Val {
        let dtype = table[0].dtype;
        let size = dtype.size();
        if let (Width::Vector, Val::Lanes(v)) = (width, self.val(index))
            && is_small(table)
            && v.ty == LaneTy::I32
        {
            return Val::Lanes(self.permute_table(table, &v));
        }
        let slot = self.tables[table];
        let slot = self.b.ins().stack_addr(types::I64, slot, 0);
        let v = self.val(index);
        let width = if matches!(v, Val::Scalar(_)) { Width::One } else { width };
        let from = self.k.dtype(index);
        self.per_lane(dtype, width, |e, l| {
            let i = e.lane_of(&v, from, l);
            let i = e.scalar_convert(from, DType::I64, i);
            let zero = e.int(0);
            let last = e.int(table.len() as i64 - 1);
            let i = e.b.ins().smax(i, zero);
            let i = e.b.ins().smin(i, last);
            let offset = e.b.ins().imul_imm_s(i, size as i64);
            let p = e.b.ins().iadd(slot, offset);
            e.load_scalar(dtype, p, 0)
        })
    }

    /// Element `index` of a table of at most 32 elements of 32 bits, in vectors of 16 bytes: the bytes of each are
    /// permuted by the index in its vector, and the other bits of the index choose among the vectors.
    fn permute_table(&mut self, table: &[Literal], index: &Lanes) -> Lanes {
        let ty = LaneTy::of(table[0].dtype);
        let mut bytes: Vec<u8> = table.iter().flat_map(|l| (l.bits as u32).to_le_bytes()).collect();
        bytes.resize(4 * table.len().next_power_of_two().max(4), 0);
        let vectors: Vec<Value> = bytes.chunks(16).map(|v| self.byte_vector(v)).collect();
        let first_of_lane = self.byte_vector(&[0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12]);
        let number = self.byte_vector(&[0, 1, 2, 3].repeat(4));
        let number_of = |e: &mut Self, n: i64| e.vector_const(Literal::int(DType::I32, n), 4).parts[0];
        let limits = [0, table.len() as i64 - 1, 3].map(|n| number_of(self, n));
        let parts = (index.parts.iter())
            .map(|&i| {
                let i = self.b.ins().smax(i, limits[0]);
                let i = self.b.ins().smin(i, limits[1]);
                let within = self.b.ins().band(i, limits[2]);
                let at = self.b.ins().ishl_imm_s(within, 2);
                let at = self.bitcast(types::I8X16, at);
                let at = self.b.ins().swizzle(at, first_of_lane);
                let at = self.b.ins().iadd(at, number);
                let permuted = |e: &mut Self, v: Value| {
                    let v = e.b.ins().swizzle(v, at);
                    e.bitcast(ty.clif(), v)
                };
                let mut found: Vec<Value> = vectors.iter().map(|&v| permuted(self, v)).collect();
                let mut bit = 4;
                while found.len() > 1 {
                    let bits = number_of(self, bit);
                    let bits = self.b.ins().band(i, bits);
                    let on = self.b.ins().icmp(IntCC::NotEqual, bits, limits[0]);
                    found = found.chunks(2).map(|pair| self.blend(on, pair[1], pair[0])).collect();
                    bit *= 2;
                }
                found[0]
            })
            .collect();
        Lanes { ty, parts }
    }

    fn byte_vector(&mut self, bytes: &[u8]) -> Value {
        let c = self.b.func.dfg.constants.insert(bytes.to_vec().into());
        self.b.ins().vconst(types::I8X16, c)
    }

    fn check(&mut self, value: ValueId, size: &IndexExpr, wrap: bool, mask: Option<ValueId>, width: Width) -> Val {
        let dtype = self.k.dtype(value);
        let v = self.val(value);
        let mask = mask.map(|m| self.val(m));
        self.per_lane(DType::I64, width, |e, l| {
            let size = e.index(size);
            let raw = e.lane_of(&v, dtype, l);
            let raw = e.scalar_convert(dtype, DType::I64, raw);
            let zero = e.int(0);
            let index = if wrap {
                let negative = e.b.ins().icmp(IntCC::SignedLessThan, raw, zero);
                let wrapped = e.b.ins().iadd(raw, size);
                e.b.ins().select(negative, wrapped, raw)
            } else {
                raw
            };
            let inside = e.b.ins().icmp(IntCC::UnsignedLessThan, index, size);
            let outside = e.b.ins().bxor_imm_s(inside, 1);
            let (bad, good) = match &mask {
                Some(m) => {
                    let on = e.lane_of(m, DType::Bool, l);
                    (e.b.ins().band(outside, on), e.b.ins().band(inside, on))
                }
                None => (outside, inside),
            };
            e.record_if(bad, Failure::Index { value: raw, size });
            e.b.ins().select(good, index, zero)
        })
    }

    fn cold(
        &mut self,
        inst: &LaneInst,
        mask: ValueId,
        body: &[LaneInst],
        slow: &[ValueId],
        fast: &[ValueId],
        width: Width,
    ) {
        let m = self.val(mask);
        let any = match (&m, width) {
            (Val::Scalar(s), _) => *s,
            (Val::Lanes(l), _) => {
                let mut any = l.parts[0];
                for &p in &l.parts[1..] {
                    any = self.b.ins().bor(any, p);
                }
                self.b.ins().vany_true(any)
            }
        };
        let needed = self.b.create_block();
        let join = self.b.create_block();
        self.b.set_cold_block(needed);
        // Masks travel 32 bits wide, so that both ways agree on types.
        let flatten = |e: &mut Self, id: ValueId| -> (Vec<Value>, LaneTy) {
            let ty = LaneTy::of(e.k.dtype(id));
            match e.operand(id, width) {
                Val::Scalar(s) => (vec![s], ty),
                Val::Lanes(l) if ty == LaneTy::Mask32 => (e.mask_as(&l, ty), ty),
                Val::Lanes(l) => (l.parts, ty),
            }
        };
        let fast_parts: Vec<(Vec<Value>, LaneTy)> = fast.iter().map(|&v| flatten(self, v)).collect();
        let args: Vec<BlockArg> = fast_parts.iter().flat_map(|(p, _)| p.iter().map(|&v| v.into())).collect();
        for (p, _) in &fast_parts {
            for &v in p {
                let ty = self.b.func.dfg.value_type(v);
                self.b.append_block_param(join, ty);
            }
        }
        self.b.ins().brif(any, needed, &[], join, &args);

        self.b.switch_to_block(needed);
        let group = self.group.clone();
        self.run(body, width);
        let mut args: Vec<BlockArg> = Vec::new();
        for (&s, (f, ty)) in slow.iter().zip(&fast_parts) {
            let (s, _) = flatten(self, s);
            if width == Width::One {
                // `any` was this lane's mask.
                args.push(s[0].into());
                continue;
            }
            let lanes = match &m {
                Val::Lanes(l) => l.clone(),
                Val::Scalar(c) => self.splat(DType::Bool, *c, GROUP),
            };
            let wide = if ty.lanes() == 2 { LaneTy::Mask64 } else { LaneTy::Mask32 };
            let parts = self.mask_as(&lanes, wide);
            for (i, &p) in parts.iter().enumerate() {
                let v = self.blend(p, s[i], f[i]);
                args.push(v.into());
            }
        }
        self.b.ins().jump(join, &args);
        self.b.switch_to_block(join);
        // Splats made inside the cold block do not dominate what follows.
        self.group = group;
        let params: Vec<Value> = self.b.block_params(join).to_vec();
        let mut at = 0;
        for (&r, (parts, ty)) in inst.results.iter().zip(&fast_parts) {
            let mine = params[at..at + parts.len()].to_vec();
            at += parts.len();
            let v = if width == Width::One { Val::Scalar(mine[0]) } else { Val::Lanes(Lanes { ty: *ty, parts: mine }) };
            self.define(r, v);
        }
    }
}

/// True for tables that permutations of bytes read.
fn is_small(table: &[Literal]) -> bool {
    table.len() <= 32 && matches!(table[0].dtype, DType::F32 | DType::I32)
}
