//! Moves: whole vectors, single elements, broadcasts, gathers and scatters.

use crate::lanes::{get, mask_of, put, width};
use crate::{Machine, Step, Vector, is_memory, signed, unknown};
use iced_x86::{EncodingKind, Instruction, Mnemonic};

/// Element size of a whole-vector move, and whether it asks for an aligned address.
fn whole(m: Mnemonic) -> Option<(usize, bool)> {
    use Mnemonic::*;
    Some(match m {
        Movups | Vmovups | Movdqu | Vmovdqu | Vmovdqu32 | Lddqu | Vlddqu => (4, false),
        Movupd | Vmovupd | Vmovdqu64 => (8, false),
        Vmovdqu8 => (1, false),
        Vmovdqu16 => (2, false),
        Movaps | Vmovaps | Movdqa | Vmovdqa | Vmovdqa32 => (4, true),
        Movapd | Vmovapd | Vmovdqa64 => (8, true),
        Movntps | Vmovntps | Movntdq | Vmovntdq | Movntdqa | Vmovntdqa => (4, true),
        Movntpd | Vmovntpd => (8, true),
        _ => return None,
    })
}

impl Machine {
    /// Executes a move; false when it is none.
    pub(crate) fn moves(&mut self, i: &Instruction, legacy: bool) -> Step<bool> {
        use Mnemonic::*;
        if let Some((size, aligned)) = whole(i.mnemonic()) {
            self.whole_move(i, legacy, size, aligned)?;
            return Ok(true);
        }
        match i.mnemonic() {
            Movss | Vmovss => self.scalar_move(i, legacy, 4)?,
            Movsd | Vmovsd if i.op_count() >= 2 => self.scalar_move(i, legacy, 8)?,
            Movd | Vmovd => self.register_move(i, legacy, 4)?,
            Movq | Vmovq => self.register_move(i, legacy, 8)?,
            Movlps | Vmovlps | Movlpd | Vmovlpd => self.half_move(i, legacy, 0)?,
            Movhps | Vmovhps | Movhpd | Vmovhpd => self.half_move(i, legacy, 1)?,
            Movhlps | Vmovhlps => {
                self.groups(i, legacy, 8, 16, 2, |[a, b], n| get(if n == 0 { b } else { a }, 8, 1))?
            }
            Movlhps | Vmovlhps => {
                self.groups(i, legacy, 8, 16, 2, |[a, b], n| get(if n == 0 { a } else { b }, 8, 0))?
            }
            Vmaskmovps | Vpmaskmovd => self.vector_mask_move(i, 4)?,
            Vmaskmovpd | Vpmaskmovq => self.vector_mask_move(i, 8)?,
            Vbroadcastss | Vpbroadcastd => self.broadcast(i, 4, 4)?,
            Vbroadcastsd | Vpbroadcastq => self.broadcast(i, 8, 8)?,
            Vpbroadcastb => self.broadcast(i, 1, 1)?,
            Vpbroadcastw => self.broadcast(i, 2, 2)?,
            Vbroadcastf128 | Vbroadcasti128 | Vbroadcastf32x4 | Vbroadcasti32x4 => self.broadcast(i, 4, 16)?,
            Vbroadcastf64x2 | Vbroadcasti64x2 => self.broadcast(i, 8, 16)?,
            Vbroadcastf32x8 | Vbroadcasti32x8 => self.broadcast(i, 4, 32)?,
            Vbroadcastf64x4 | Vbroadcasti64x4 => self.broadcast(i, 8, 32)?,
            Vbroadcastf32x2 | Vbroadcasti32x2 => self.broadcast(i, 4, 8)?,
            Vinsertf128 | Vinserti128 | Vinsertf32x4 | Vinserti32x4 => self.insert(i, 4, 16)?,
            Vinsertf64x2 | Vinserti64x2 => self.insert(i, 8, 16)?,
            Vinsertf32x8 | Vinserti32x8 => self.insert(i, 4, 32)?,
            Vinsertf64x4 | Vinserti64x4 => self.insert(i, 8, 32)?,
            Vextractf128 | Vextracti128 | Vextractf32x4 | Vextracti32x4 => self.extract(i, 4, 16)?,
            Vextractf64x2 | Vextracti64x2 => self.extract(i, 8, 16)?,
            Vextractf32x8 | Vextracti32x8 => self.extract(i, 4, 32)?,
            Vextractf64x4 | Vextracti64x4 => self.extract(i, 8, 32)?,
            Pinsrb | Vpinsrb => self.insert_scalar(i, legacy, 1)?,
            Pinsrw | Vpinsrw => self.insert_scalar(i, legacy, 2)?,
            Pinsrd | Vpinsrd => self.insert_scalar(i, legacy, 4)?,
            Pinsrq | Vpinsrq => self.insert_scalar(i, legacy, 8)?,
            Pextrb | Vpextrb => self.extract_scalar(i, 1)?,
            Pextrw | Vpextrw => self.extract_scalar(i, 2)?,
            Pextrd | Vpextrd | Extractps | Vextractps => self.extract_scalar(i, 4)?,
            Pextrq | Vpextrq => self.extract_scalar(i, 8)?,
            Movmskps | Vmovmskps => self.signs(i, 4),
            Movmskpd | Vmovmskpd => self.signs(i, 8),
            Pmovmskb | Vpmovmskb => self.signs(i, 1),
            Vgatherdps | Vpgatherdd => self.gather(i, 4, 4)?,
            Vgatherdpd | Vpgatherdq => self.gather(i, 4, 8)?,
            Vgatherqps | Vpgatherqd => self.gather(i, 8, 4)?,
            Vgatherqpd | Vpgatherqq => self.gather(i, 8, 8)?,
            Vscatterdps | Vpscatterdd => self.scatter(i, 4, 4)?,
            Vscatterdpd | Vpscatterdq => self.scatter(i, 4, 8)?,
            Vscatterqps | Vpscatterqd => self.scatter(i, 8, 4)?,
            Vscatterqpd | Vpscatterqq => self.scatter(i, 8, 8)?,
            // Both leave registers 16 to 31 alone.
            Vzeroupper => self.zmm[..16].iter_mut().for_each(|v| v[16..].fill(0)),
            Vzeroall => self.zmm[..16].iter_mut().for_each(|v| v.fill(0)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn whole_move(&mut self, i: &Instruction, legacy: bool, size: usize, aligned: bool) -> Step {
        let bytes = width(i, if is_memory(i, 0) { 1 } else { 0 });
        let count = bytes / size;
        let on = self.enabled(i);
        if is_memory(i, 0) || is_memory(i, 1) {
            let address = self.address(i);
            if aligned && !address.is_multiple_of(bytes as u64) {
                return Err(format!("an unaligned operand at {address:#x}"));
            }
            if is_memory(i, 0) {
                let v = self.vector_register(i.op1_register());
                return self.store_lanes(address, size, count, on, &v);
            }
        }
        // The alignment rule of other legacy operands does not hold for unaligned moves.
        let v = self.lanes(i, false, 1, size, count, on)?;
        self.write_lanes(i, legacy, size, count, &v);
        Ok(())
    }

    fn scalar_move(&mut self, i: &Instruction, legacy: bool, size: usize) -> Step {
        let on = self.enabled(i) & 1;
        if is_memory(i, 0) {
            let v = self.vector_register(i.op1_register());
            return self.store_lanes(self.address(i), size, 1, on, &v);
        }
        if is_memory(i, 1) {
            let v = self.lanes(i, legacy, 1, size, 1, on)?;
            let old = self.vector_register(i.op0_register());
            let mut new = [0; 64];
            let lane = if on == 1 {
                get(&v, size, 0)
            } else if i.zeroing_masking() {
                0
            } else {
                get(&old, size, 0)
            };
            put(&mut new, size, 0, lane);
            if legacy {
                new[16..].copy_from_slice(&old[16..]);
            }
            self.zmm[i.op0_register().number()] = new;
            return Ok(());
        }
        let last = i.op_register(i.op_count() - 1);
        let v = get(&self.vector_register(last), size, 0);
        self.set_one(i, legacy, size, 2, v);
        Ok(())
    }

    /// `movd` and `movq`: the rest of the vector register becomes 0.
    fn register_move(&mut self, i: &Instruction, legacy: bool, size: usize) -> Step {
        let to_vector = !is_memory(i, 0) && i.op0_register().is_vector_register();
        let source_is_vector = !is_memory(i, 1) && i.op1_register().is_vector_register();
        let v =
            if source_is_vector { get(&self.vector_register(i.op1_register()), size, 0) } else { self.scalar(i, 1)? };
        if !to_vector {
            return self.set_scalar(i, v);
        }
        let mut new = [0; 64];
        put(&mut new, size, 0, v);
        self.write_lanes(i, legacy, 8, 2, &new);
        Ok(())
    }

    fn half_move(&mut self, i: &Instruction, legacy: bool, half: usize) -> Step {
        if is_memory(i, 0) {
            let v = get(&self.vector_register(i.op1_register()), 8, half);
            return self.memory.write(self.address(i), &v.to_le_bytes());
        }
        let v = self.memory.read_int(self.address(i), 8)?;
        let mut new = self.vector_register(if i.op_count() == 3 { i.op1_register() } else { i.op0_register() });
        put(&mut new, 8, half, v);
        self.write_lanes(i, legacy, 8, 2, &new);
        Ok(())
    }

    /// AVX masks: the top bit of every lane of the middle operand (load) or of the one after memory (store).
    fn vector_mask_move(&mut self, i: &Instruction, size: usize) -> Step {
        let mask = self.vector_register(i.op1_register());
        let count = width(i, 1) / size;
        let on = (0..count).filter(|&n| get(&mask, size, n) >> (8 * size - 1) == 1).fold(0, |k, n| k | 1 << n);
        if is_memory(i, 0) {
            let v = self.vector_register(i.op2_register());
            return self.store_lanes(self.address(i), size, count, on, &v);
        }
        let v = self.lanes(i, false, 2, size, count, on)?;
        self.write_lanes(i, false, size, count, &v);
        Ok(())
    }

    /// Repeats `chunk` bytes of the second operand, masks being per element of `size` bytes.
    fn broadcast(&mut self, i: &Instruction, size: usize, chunk: usize) -> Step {
        let bytes = width(i, 0);
        let on = self.enabled(i);
        let mut v = [0; 64];
        if is_memory(i, 1) {
            let per = chunk / size;
            // An element of the source is read when any of its copies is on.
            let wanted = (0..bytes / size).filter(|n| on >> n & 1 == 1).fold(0u64, |w, n| w | 1 << (n % per));
            v = self.lanes(i, false, 1, size, per, wanted)?;
        } else if i.op1_register().is_vector_register() {
            v[..chunk].copy_from_slice(&self.vector_register(i.op1_register())[..chunk]);
        } else {
            put(&mut v, size, 0, self.register(i.op1_register().full_register()));
        }
        let mut r = [0; 64];
        for at in (0..bytes).step_by(chunk) {
            r[at..at + chunk].copy_from_slice(&v[..chunk]);
        }
        self.write_lanes(i, false, size, bytes / size, &r);
        Ok(())
    }

    fn insert(&mut self, i: &Instruction, size: usize, chunk: usize) -> Step {
        let bytes = width(i, 0);
        let mut v = self.vector_register(i.op1_register());
        let part = self.lanes(i, false, 2, size, chunk / size, !0)?;
        let at = usize::from(i.immediate8()) % (bytes / chunk) * chunk;
        v[at..at + chunk].copy_from_slice(&part[..chunk]);
        self.write_lanes(i, false, size, bytes / size, &v);
        Ok(())
    }

    fn extract(&mut self, i: &Instruction, size: usize, chunk: usize) -> Step {
        let from = self.vector_register(i.op1_register());
        let at = usize::from(i.immediate8()) % (width(i, 1) / chunk) * chunk;
        let mut v = [0; 64];
        v[..chunk].copy_from_slice(&from[at..at + chunk]);
        if is_memory(i, 0) {
            return self.store_lanes(self.address(i), size, chunk / size, self.enabled(i), &v);
        }
        self.write_lanes(i, false, size, chunk / size, &v);
        Ok(())
    }

    fn insert_scalar(&mut self, i: &Instruction, legacy: bool, size: usize) -> Step {
        let operand = i.op_count() - 2;
        let value = self.scalar(i, operand)?;
        let mut v = self.vector_register(if i.op_count() == 4 { i.op1_register() } else { i.op0_register() });
        put(&mut v, size, usize::from(i.immediate8()) % (16 / size), value);
        self.write_lanes(i, legacy, 8, 2, &v);
        Ok(())
    }

    fn extract_scalar(&mut self, i: &Instruction, size: usize) -> Step {
        let v = get(&self.vector_register(i.op1_register()), size, usize::from(i.immediate8()) % (16 / size));
        self.set_scalar(i, v)
    }

    fn signs(&mut self, i: &Instruction, size: usize) {
        let v = self.vector_register(i.op1_register());
        let count = width(i, 1) / size;
        let bits = (0..count).filter(|&n| get(&v, size, n) >> (8 * size - 1) == 1).fold(0, |k, n| k | 1 << n);
        self.set_register(i.op0_register(), bits);
    }

    /// Address of lane `n` of a gather or scatter.
    fn lane_address(&self, i: &Instruction, indices: &Vector, index_size: usize, n: usize) -> u64 {
        let index = signed(get(indices, index_size, n), index_size) as u64;
        self.address(i).wrapping_add(index.wrapping_mul(u64::from(i.memory_index_scale())))
    }

    /// Lanes of a gather or scatter.
    fn lane_count(i: &Instruction, data: u32, index_size: usize, size: usize) -> usize {
        (i.op_register(data).size() / size).min(i.memory_index().size() / index_size)
    }

    fn gather(&mut self, i: &Instruction, index_size: usize, size: usize) -> Step {
        let count = Self::lane_count(i, 0, index_size, size);
        let evex = i.code().encoding() == EncodingKind::EVEX;
        let indices = self.vector_register(i.memory_index());
        let (data, index) = (i.op0_register(), i.memory_index());
        let on = if evex {
            self.enabled(i) & mask_of(count)
        } else {
            let mask = self.vector_register(i.op2_register());
            if data.number() == index.number()
                || data.number() == i.op2_register().number()
                || index.number() == i.op2_register().number()
            {
                return Err("a gather whose registers overlap".to_owned());
            }
            (0..count).filter(|&n| get(&mask, size, n) >> (8 * size - 1) == 1).fold(0, |k, n| k | 1 << n)
        };
        if evex && data.number() == index.number() {
            return Err("a gather whose registers overlap".to_owned());
        }
        let old = self.vector_register(data);
        let mut new = [0; 64];
        for n in 0..count {
            let lane = if on >> n & 1 == 1 {
                self.memory.read_int(self.lane_address(i, &indices, index_size, n), size)?
            } else {
                get(&old, size, n)
            };
            put(&mut new, size, n, lane);
        }
        self.zmm[data.number()] = new;
        if evex {
            self.k[i.op_mask().number()] = 0;
        } else {
            self.zmm[i.op2_register().number()] = [0; 64];
        }
        Ok(())
    }

    /// Lanes are written in order, so that the last of equal addresses stays.
    fn scatter(&mut self, i: &Instruction, index_size: usize, size: usize) -> Step {
        let count = Self::lane_count(i, 1, index_size, size);
        let indices = self.vector_register(i.memory_index());
        let data = self.vector_register(i.op1_register());
        let on = self.enabled(i);
        if !is_memory(i, 0) {
            return unknown(i);
        }
        for n in (0..count).filter(|n| on >> n & 1 == 1) {
            let address = self.lane_address(i, &indices, index_size, n);
            self.memory.write(address, &data[n * size..(n + 1) * size])?;
        }
        self.k[i.op_mask().number()] = 0;
        Ok(())
    }
}
