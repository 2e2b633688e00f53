//! Values during emission: one CLIF value for all lanes, or 128-bit parts.

use super::Emitter;
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value, types};
use rusttorch_ir::dtype::DType;

/// How the lanes of a vector value are typed. Everything of 8 or 16 bits rides in 32-bit lanes (L6);
/// masks are all-ones or all-zero lanes of either width, whichever they were made in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneTy {
    F32,
    F64,
    I32,
    I64,
    Mask32,
    Mask64,
}

impl LaneTy {
    /// The lane type of a dtype; masks are made 32 bits wide.
    pub fn of(dtype: DType) -> LaneTy {
        match dtype {
            DType::F32 => LaneTy::F32,
            DType::F64 => LaneTy::F64,
            DType::I32 | DType::U8 | DType::I8 | DType::I16 | DType::F16 | DType::BF16 => LaneTy::I32,
            DType::I64 => LaneTy::I64,
            DType::Bool => LaneTy::Mask32,
        }
    }

    /// The CLIF type of one part.
    pub fn clif(self) -> Type {
        match self {
            LaneTy::F32 => types::F32X4,
            LaneTy::F64 => types::F64X2,
            LaneTy::I32 | LaneTy::Mask32 => types::I32X4,
            LaneTy::I64 | LaneTy::Mask64 => types::I64X2,
        }
    }

    /// Lanes in one part.
    pub fn lanes(self) -> usize {
        match self {
            LaneTy::F32 | LaneTy::I32 | LaneTy::Mask32 => 4,
            LaneTy::F64 | LaneTy::I64 | LaneTy::Mask64 => 2,
        }
    }
}

/// CLIF type of a scalar: bool is an i8 of 0 or 1; all else of 8 or 16 bits is an i32, as in lanes.
pub fn scalar_type(dtype: DType) -> Type {
    match dtype {
        DType::F32 => types::F32,
        DType::F64 => types::F64,
        DType::I32 | DType::U8 | DType::I8 | DType::I16 | DType::F16 | DType::BF16 => types::I32,
        DType::I64 => types::I64,
        DType::Bool => types::I8,
    }
}

/// A vector value: enough parts for the lanes in flight.
#[derive(Clone, Debug)]
pub struct Lanes {
    pub ty: LaneTy,
    pub parts: Vec<Value>,
}

/// A value in emission.
#[derive(Clone, Debug)]
pub enum Val {
    /// The same for all lanes.
    Scalar(Value),
    /// One per lane.
    Lanes(Lanes),
}

/// No access traps, as launch has checked it. None is said to be aligned: SSE code would then address
/// memory where 16-byte vectors must lie at multiples of 16.
pub const FLAGS: MemFlagsData = MemFlagsData::new().with_notrap();

/// Byte order matters where the number of lanes changes: lane 0 holds the lowest bytes.
const BITCAST: MemFlagsData = MemFlagsData::new().with_endianness(Endianness::Little);

impl Emitter<'_> {
    pub fn bitcast(&mut self, ty: Type, v: Value) -> Value {
        if self.b.func.dfg.value_type(v) == ty { v } else { self.b.ins().bitcast(ty, BITCAST, v) }
    }

    /// The parts of a scalar in every lane.
    pub fn splat(&mut self, dtype: DType, v: Value, lanes: usize) -> Lanes {
        let ty = LaneTy::of(dtype);
        let v = if dtype == DType::Bool {
            let wide = self.b.ins().uextend(types::I32, v);
            self.b.ins().ineg(wide)
        } else {
            v
        };
        let part = self.b.ins().splat(ty.clif(), v);
        Lanes { ty, parts: vec![part; lanes / ty.lanes()] }
    }

    /// A mask in lanes of the asked width.
    pub fn mask_as(&mut self, m: &Lanes, ty: LaneTy) -> Vec<Value> {
        match (m.ty, ty) {
            (a, b) if a == b => m.parts.clone(),
            (LaneTy::Mask32, LaneTy::Mask64) => self.widen(&m.parts),
            (LaneTy::Mask64, LaneTy::Mask32) => self.narrow(&m.parts, types::I32X4),
            (a, b) => unreachable!("mask of {a:?} as {b:?}"),
        }
    }

    /// i32 lanes to i64 lanes, with sign.
    pub fn widen(&mut self, parts: &[Value]) -> Vec<Value> {
        let mut out = Vec::with_capacity(2 * parts.len());
        for &p in parts {
            out.push(self.b.ins().swiden_low(p));
            out.push(self.b.ins().swiden_high(p));
        }
        out
    }

    /// The low halves of 64-bit lanes, two parts to one of type `ty`.
    pub fn narrow(&mut self, parts: &[Value], ty: Type) -> Vec<Value> {
        parts.chunks(2).map(|p| self.shuffle32(p[0], p[1], [0, 2, 4, 6], ty)).collect()
    }

    /// 32-bit lanes picked from two vectors: 0..4 from `a`, 4..8 from `b`.
    pub fn shuffle32(&mut self, a: Value, b: Value, pick: [u8; 4], ty: Type) -> Value {
        let a = self.bitcast(types::I8X16, a);
        let b = self.bitcast(types::I8X16, b);
        let bytes: Vec<u8> = pick.iter().flat_map(|l| (0..4).map(move |i| 4 * l + i)).collect();
        let imm = self.b.func.dfg.immediates.push(bytes.as_slice().into());
        let s = self.b.ins().shuffle(a, b, imm);
        self.bitcast(ty, s)
    }

    /// The scalar in lane `i`, in the scalar form of `dtype`.
    pub fn extract(&mut self, v: &Lanes, dtype: DType, i: usize) -> Value {
        let n = v.ty.lanes();
        let lane = self.b.ins().extractlane(v.parts[i / n], (i % n) as u8);
        if dtype == DType::Bool {
            let low = self.b.ins().ireduce(types::I8, lane);
            self.b.ins().band_imm_s(low, 1)
        } else {
            lane
        }
    }

    /// A vector of scalars in the scalar form of `dtype`.
    pub fn assemble(&mut self, dtype: DType, scalars: &[Value]) -> Lanes {
        let ty = LaneTy::of(dtype);
        let parts = scalars
            .chunks(ty.lanes())
            .map(|c| {
                let lane = |e: &mut Self, v: Value| {
                    if dtype == DType::Bool {
                        let wide = e.b.ins().uextend(types::I32, v);
                        e.b.ins().ineg(wide)
                    } else {
                        v
                    }
                };
                let first = lane(self, c[0]);
                let mut part = self.b.ins().scalar_to_vector(ty.clif(), first);
                for (i, &s) in c.iter().enumerate().skip(1) {
                    let s = lane(self, s);
                    part = self.b.ins().insertlane(part, s, i as u8);
                }
                part
            })
            .collect();
        Lanes { ty, parts }
    }
}
