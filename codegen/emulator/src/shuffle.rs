//! Permutations, interleaving and blends.

use crate::lanes::{get, put, width};
use crate::{Machine, Step, Vector, is_memory};
use iced_x86::{Instruction, Mnemonic};

impl Machine {
    /// Executes a permutation or a blend; false when it is none.
    pub(crate) fn shuffle(&mut self, i: &Instruction, legacy: bool) -> Step<bool> {
        use Mnemonic::*;
        let imm = if i.op_count() > 0 { usize::from(i.immediate8()) } else { 0 };
        let two = |n: usize| imm >> (2 * n) & 3;
        match i.mnemonic() {
            Shufps | Vshufps => {
                self.groups(i, legacy, 4, 16, 2, |[a, b], n| get(if n < 2 { a } else { b }, 4, two(n)))?
            }
            Shufpd | Vshufpd => {
                // A bit of the immediate per element of the whole vector.
                self.with_two(i, legacy, 8, |[a, b], n, r| {
                    let at = (n & !1) + (imm >> n & 1);
                    put(r, 8, n, get(if n & 1 == 0 { a } else { b }, 8, at));
                })?;
            }
            Pshufd | Vpshufd => self.groups(i, legacy, 4, 16, 1, |[a, _], n| get(a, 4, two(n)))?,
            Vpermilps if self.has_immediate(i) => self.groups(i, legacy, 4, 16, 1, |[a, _], n| get(a, 4, two(n)))?,
            Vpermilpd if self.has_immediate(i) => {
                self.with_one(i, legacy, 8, |a, n, r| put(r, 8, n, get(a, 8, (n & !1) + (imm >> n & 1))))?;
            }
            Vpermilps => self.groups(i, legacy, 4, 16, 2, |[a, b], n| get(a, 4, get(b, 4, n) as usize & 3))?,
            Vpermilpd => self.groups(i, legacy, 8, 16, 2, |[a, b], n| get(a, 8, get(b, 8, n) as usize >> 1 & 1))?,
            Pshuflw | Vpshuflw => {
                self.groups(i, legacy, 2, 16, 1, |[a, _], n| get(a, 2, if n < 4 { two(n) } else { n }))?;
            }
            Pshufhw | Vpshufhw => {
                self.groups(i, legacy, 2, 16, 1, |[a, _], n| get(a, 2, if n < 4 { n } else { 4 + two(n - 4) }))?;
            }
            Pshufb | Vpshufb => self.groups(i, legacy, 1, 16, 2, |[a, b], n| match b[n] {
                c if c & 0x80 != 0 => 0,
                c => u64::from(a[usize::from(c & 15)]),
            })?,
            Palignr | Vpalignr => self.groups(i, legacy, 1, 16, 2, |[a, b], n| {
                let at = n + imm;
                let whole = b.get(at).or_else(|| a.get(at.checked_sub(16)?));
                whole.copied().map_or(0, u64::from)
            })?,
            Psrldq | Vpsrldq => {
                self.groups(i, legacy, 1, 16, 1, |[a, _], n| a.get(n + imm).copied().map_or(0, u64::from))?;
            }
            Pslldq | Vpslldq => {
                self.groups(i, legacy, 1, 16, 1, |[a, _], n| n.checked_sub(imm).map_or(0, |at| u64::from(a[at])))?
            }
            Unpcklps | Vunpcklps | Punpckldq | Vpunpckldq => self.interleave(i, legacy, 4, 0)?,
            Unpckhps | Vunpckhps | Punpckhdq | Vpunpckhdq => self.interleave(i, legacy, 4, 2)?,
            Unpcklpd | Vunpcklpd | Punpcklqdq | Vpunpcklqdq => self.interleave(i, legacy, 8, 0)?,
            Unpckhpd | Vunpckhpd | Punpckhqdq | Vpunpckhqdq => self.interleave(i, legacy, 8, 1)?,
            Punpcklbw | Vpunpcklbw => self.interleave(i, legacy, 1, 0)?,
            Punpckhbw | Vpunpckhbw => self.interleave(i, legacy, 1, 8)?,
            Punpcklwd | Vpunpcklwd => self.interleave(i, legacy, 2, 0)?,
            Punpckhwd | Vpunpckhwd => self.interleave(i, legacy, 2, 4)?,
            Movddup | Vmovddup => {
                // The 128-bit form reads 8 bytes.
                if is_memory(i, 1) && width(i, 0) == 16 {
                    let v = self.memory.read_int(self.address(i), 8)?;
                    let mut r = [0; 64];
                    put(&mut r, 8, 0, v);
                    put(&mut r, 8, 1, v);
                    self.write_lanes(i, legacy, 8, 2, &r);
                } else {
                    self.groups(i, legacy, 8, 16, 1, |[a, _], _| get(a, 8, 0))?;
                }
            }
            Movsldup | Vmovsldup => self.groups(i, legacy, 4, 16, 1, |[a, _], n| get(a, 4, n & !1))?,
            Movshdup | Vmovshdup => self.groups(i, legacy, 4, 16, 1, |[a, _], n| get(a, 4, n | 1))?,
            Insertps | Vinsertps => self.insert_ps(i, legacy, imm)?,
            Vpermps | Vpermd => self.permute(i, 4)?,
            Vpermw => self.permute(i, 2)?,
            Vpermpd | Vpermq if self.has_immediate(i) => {
                self.groups(i, legacy, 8, 32, 1, |[a, _], n| get(a, 8, two(n)))?
            }
            Vpermpd | Vpermq => self.permute(i, 8)?,
            Vpermt2ps | Vpermt2d => self.permute_two(i, 4, false)?,
            Vpermt2pd | Vpermt2q => self.permute_two(i, 8, false)?,
            Vpermt2w => self.permute_two(i, 2, false)?,
            Vpermi2ps | Vpermi2d => self.permute_two(i, 4, true)?,
            Vpermi2pd | Vpermi2q => self.permute_two(i, 8, true)?,
            Vpermi2w => self.permute_two(i, 2, true)?,
            Vperm2f128 | Vperm2i128 => self.groups(i, legacy, 8, 32, 2, |[a, b], n| {
                let control = imm >> (4 * (n / 2));
                let from = if control & 2 == 0 { a } else { b };
                if control & 8 != 0 { 0 } else { get(from, 8, 2 * (control & 1) + n % 2) }
            })?,
            Vshuff32x4 | Vshufi32x4 => self.shuffle_quarters(i, 4, imm)?,
            Vshuff64x2 | Vshufi64x2 => self.shuffle_quarters(i, 8, imm)?,
            Valignd => self.align(i, 4, imm)?,
            Valignq => self.align(i, 8, imm)?,
            Blendps | Vblendps | Vpblendd => self.blend_immediate(i, legacy, 4, imm)?,
            Blendpd | Vblendpd => self.blend_immediate(i, legacy, 8, imm)?,
            Pblendw | Vpblendw => self.blend_immediate(i, legacy, 2, imm)?,
            Blendvps | Vblendvps => self.blend_variable(i, legacy, 4)?,
            Blendvpd | Vblendvpd => self.blend_variable(i, legacy, 8)?,
            Pblendvb | Vpblendvb => self.blend_variable(i, legacy, 1)?,
            Vblendmps | Vpblendmd => self.blend_mask(i, 4)?,
            Vblendmpd | Vpblendmq => self.blend_mask(i, 8)?,
            Vpblendmb => self.blend_mask(i, 1)?,
            Vpblendmw => self.blend_mask(i, 2)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn has_immediate(&self, i: &Instruction) -> bool {
        i.op_kind(i.op_count() - 1) == iced_x86::OpKind::Immediate8
    }

    /// Element by element over the whole of one source.
    fn with_one(&mut self, i: &Instruction, legacy: bool, size: usize, f: impl Fn(&[u8], usize, &mut Vector)) -> Step {
        let count = width(i, 0) / size;
        let a = self.lanes(i, legacy, 1, size, count, !0)?;
        let mut r = [0; 64];
        (0..count).for_each(|n| f(&a, n, &mut r));
        self.write_lanes(i, legacy, size, count, &r);
        Ok(())
    }

    /// Element by element over the whole of two sources.
    fn with_two(
        &mut self,
        i: &Instruction,
        legacy: bool,
        size: usize,
        f: impl Fn([&[u8]; 2], usize, &mut Vector),
    ) -> Step {
        let count = width(i, 0) / size;
        let first = if legacy { 0 } else { 1 };
        let a = self.lanes(i, legacy, first, size, count, !0)?;
        let b = self.lanes(i, legacy, first + 1, size, count, !0)?;
        let mut r = [0; 64];
        (0..count).for_each(|n| f([&a, &b], n, &mut r));
        self.write_lanes(i, legacy, size, count, &r);
        Ok(())
    }

    fn interleave(&mut self, i: &Instruction, legacy: bool, size: usize, start: usize) -> Step {
        self.groups(i, legacy, size, 16, 2, |[a, b], n| get(if n % 2 == 0 { a } else { b }, size, start + n / 2))
    }

    /// Across the whole vector: the second operand indexes the third.
    fn permute(&mut self, i: &Instruction, size: usize) -> Step {
        let count = width(i, 0) / size;
        self.with_two(i, false, size, |[index, v], n, r| {
            put(r, size, n, get(v, size, get(index, size, n) as usize % count));
        })
    }

    /// From two tables. The destination is the index (`vpermi2`) or the first table (`vpermt2`).
    fn permute_two(&mut self, i: &Instruction, size: usize, destination_is_index: bool) -> Step {
        let count = width(i, 0) / size;
        let destination = self.vector_register(i.op0_register());
        self.with_two(i, false, size, |[middle, last], n, r| {
            let (index, first) =
                if destination_is_index { (&destination[..], middle) } else { (middle, &destination[..]) };
            let at = get(index, size, n) as usize % (2 * count);
            put(r, size, n, get(if at < count { first } else { last }, size, at % count));
        })
    }

    fn shuffle_quarters(&mut self, i: &Instruction, size: usize, imm: usize) -> Step {
        let quarters = width(i, 0) / 16;
        let (per, bits) = (16 / size, if quarters == 4 { 2 } else { 1 });
        self.with_two(i, false, size, |[a, b], n, r| {
            let q = n / per;
            let from = imm >> (bits * q) & (quarters - 1);
            put(r, size, n, get(if q < quarters / 2 { a } else { b }, size, from * per + n % per));
        })
    }

    fn align(&mut self, i: &Instruction, size: usize, imm: usize) -> Step {
        let count = width(i, 0) / size;
        self.with_two(i, false, size, |[a, b], n, r| {
            let at = n + imm % count;
            put(r, size, n, get(if at < count { b } else { a }, size, at % count));
        })
    }

    fn insert_ps(&mut self, i: &Instruction, legacy: bool, imm: usize) -> Step {
        let last = i.op_count() - 2;
        let element = if is_memory(i, last) {
            self.memory.read_int(self.address(i), 4)?
        } else {
            get(&self.vector_register(i.op_register(last)), 4, imm >> 6)
        };
        let mut v = self.vector_register(i.op_register(last - 1));
        put(&mut v, 4, imm >> 4 & 3, element);
        (0..4).filter(|n| imm >> n & 1 == 1).for_each(|n| put(&mut v, 4, n, 0));
        self.write_lanes(i, legacy, 4, 4, &v);
        Ok(())
    }

    fn blend_immediate(&mut self, i: &Instruction, legacy: bool, size: usize, imm: usize) -> Step {
        // 16-bit elements repeat the immediate in every 128 bits.
        self.with_two(i, legacy, size, |[a, b], n, r| {
            put(r, size, n, get(if imm >> (n % 8) & 1 == 1 { b } else { a }, size, n));
        })
    }

    /// By the top bit of every element of the last operand; in legacy forms of xmm0.
    fn blend_variable(&mut self, i: &Instruction, legacy: bool, size: usize) -> Step {
        let mask = if legacy { self.zmm[0] } else { self.vector_register(i.op3_register()) };
        self.with_two(i, legacy, size, |[a, b], n, r| {
            let take = get(&mask, size, n) >> (8 * size - 1) == 1;
            put(r, size, n, get(if take { b } else { a }, size, n));
        })
    }

    /// Lanes that the mask leaves off are the first source's, or 0.
    fn blend_mask(&mut self, i: &Instruction, size: usize) -> Step {
        let count = width(i, 0) / size;
        let on = self.enabled(i);
        let a = self.vector_register(i.op1_register());
        let b = self.lanes(i, false, 2, size, count, on)?;
        let mut r = [0; 64];
        for n in 0..count {
            let lane = match on >> n & 1 {
                1 => get(&b, size, n),
                _ if i.zeroing_masking() => 0,
                _ => get(&a, size, n),
            };
            put(&mut r, size, n, lane);
        }
        self.zmm[i.op0_register().number()] = r;
        Ok(())
    }
}
