//! Tables in registers: `lookup` by permutations of vectors, where its elements have 32 bits and are at most 32, else
//! lane by lane from memory.

use super::Emitter;
use super::val::{LaneTy, Src, Val};
use super::vcode::{A, INT, VEC};
use crate::error::CodegenError;
use iced_x86::Code;
use regalloc2::VReg;
use rusttorch_ir::dtype::{DType, Literal};

use rusttorch_ir::prim::Prim;

/// Vectors that a table may take up: four of 256 bits, two of 512.
const TABLE_BYTES: usize = 128;

impl Emitter<'_> {
    /// True for tables that permutations read.
    pub fn is_permutation(&self, table: &[Literal], index: DType) -> bool {
        let dtype = table[0].dtype;
        matches!(dtype, DType::F32 | DType::I32) && 4 * table.len() <= TABLE_BYTES && !LaneTy::of(index).is_64()
    }

    /// A table in registers, permuted by the indices; those that are `inside` need no limits.
    fn permute_table(
        &mut self,
        table: &[Literal],
        from: DType,
        index: &Val,
        inside: bool,
    ) -> Result<Val, CodegenError> {
        let ty = LaneTy::of(table[0].dtype);
        let mut index = index.clone();
        if !inside {
            for (p, limit) in [(Prim::Max, 0), (Prim::Min, table.len() as i64 - 1)] {
                let limit = Val::Const(Literal::int(DType::I32, limit));
                index = self.prim(p, DType::I32, from, &[index, limit], &[false; 2])?;
            }
        }
        // Repeated, for what is a remainder by its length to need no `and`.
        let lanes = table.len().next_power_of_two().max(self.bytes() / 4);
        let mut bytes: Vec<u8> = table.iter().flat_map(|l| (l.bits as u32).to_le_bytes()).collect();
        bytes.resize(4 * table.len().next_power_of_two(), 0);
        let bytes: Vec<u8> = bytes.iter().copied().cycle().take(4 * lanes).collect();
        let vectors: Vec<&[u8]> = bytes.chunks(self.bytes()).collect();
        let (n, uniform) = self.shape(LaneTy::I32, std::slice::from_ref(&index));
        let parts = (0..n)
            .map(|i| {
                let index = self.part_reg(&index, i);
                if self.wide512 { self.permute512(&vectors, index) } else { self.permute256(&vectors, index) }
            })
            .collect();
        Ok(Self::wrap_parts(ty, parts, uniform))
    }

    /// Elements of one vector, or of two by one instruction. (It reads as many bits of an index as it needs.)
    fn permute512(&mut self, vectors: &[&[u8]], index: VReg) -> VReg {
        // `Src::Pool` would be one element for all lanes.
        let table: Vec<VReg> = vectors.iter().map(|v| self.load_vector_const(v)).collect();
        match table[..] {
            [one] => self.vec2(Code::EVEX_Vpermps_zmm_k1z_zmm_zmmm512b32, index, Src::Reg(one)),
            [low, high] => {
                let out = self.c.vreg(VEC);
                let code = Code::EVEX_Vpermi2ps_zmm_k1z_zmm_zmmm512b32;
                self.c.emit(code, &[A::Mod(out, index), A::Use(low), A::Any(high)]);
                out
            }
            _ => unreachable!("a table of {} vectors", table.len()),
        }
    }

    /// Elements of one vector; or of two or four, between which the next bits of the index choose, as signs.
    fn permute256(&mut self, vectors: &[&[u8]], index: VReg) -> VReg {
        let mut found: Vec<VReg> = Vec::new();
        for v in vectors {
            let at = self.pool_vector(v);
            found.push(self.vec2(Code::VEX_Vpermps_ymm_ymm_ymmm256, index, Src::Pool(at)));
        }
        let mut bit = 3;
        while found.len() > 1 {
            let sign = self.as_sign(index, bit);
            found = found.chunks(2).map(|pair| self.blend(LaneTy::F32, sign, Src::Reg(pair[1]), pair[0])).collect();
            bit += 1;
        }
        found[0]
    }

    /// A bit of an index as a sign; several tables with one index share it.
    fn as_sign(&mut self, index: VReg, bit: u8) -> VReg {
        let key = (self.c.here(), index, bit);
        if let Some(&sign) = self.signs.get(&key) {
            return sign;
        }
        let sign = self.vec1_imm(Code::VEX_Vpslld_ymm_ymm_imm8, Src::Reg(index), 31 - bit);
        self.signs.insert(key, sign);
        sign
    }

    /// Element `index` of a table, the index limited to it; `inside`: it is known to be.
    pub fn lookup(&mut self, table: &[Literal], from: DType, index: &Val, inside: bool) -> Result<Val, CodegenError> {
        if self.is_permutation(table, from) {
            return self.permute_table(table, from, index, inside);
        }
        let dtype = table[0].dtype;
        let mut bytes: Vec<u8> = table.iter().flat_map(|l| l.bits.to_le_bytes()[..dtype.size()].to_vec()).collect();
        bytes.resize(bytes.len().next_power_of_two().max(8), 0);
        let at = self.c.constant(&bytes);
        let base = self.c.vreg(INT);
        self.c.emit(Code::Lea_r64_m, &[A::Def(base), A::Pool(at)]);
        let index = self.convert(from, DType::I64, index)?;
        let limit = |v: i64| Val::Const(Literal::int(DType::I64, v));
        let index = self.i64_prim(Prim::Max, &index, &limit(0))?;
        let index = self.i64_prim(Prim::Min, &index, &limit(table.len() as i64 - 1))?;
        if self.n == 0 {
            let number = self.part_reg(&index, 0);
            let number = self.scalar_of(number);
            return Ok(Val::Uniform(self.load_uniform(dtype, A::Indexed(base, number, dtype.size() as u32, 0))?));
        }
        let index = Val::Lanes(self.spread(DType::I64, &index)?);
        Ok(Val::Lanes(self.insert_at(dtype, base, &index)?))
    }
}
