//! Mask registers.

use crate::lanes::{get, mask_of, put, width};
use crate::{Flags, Machine, Step, is_memory, truncate};
use iced_x86::{Instruction, Mnemonic};

impl Machine {
    fn mask_source(&self, i: &Instruction, operand: u32, bytes: usize) -> Step<u64> {
        let v = if !is_memory(i, operand) && i.op_register(operand).is_k() {
            self.k[i.op_register(operand).number()]
        } else {
            self.scalar(i, operand)?
        };
        Ok(truncate(v, bytes))
    }

    /// Executes an instruction of mask registers; false when it is none.
    pub(crate) fn masks(&mut self, i: &Instruction) -> Step<bool> {
        use Mnemonic::*;
        macro_rules! width {
            ($($b:ident $w:ident $d:ident $q:ident)*) => {
                match i.mnemonic() {
                    $($b => 1, $w => 2, $d => 4, $q => 8,)*
                    Kunpckbw => 1,
                    Kunpckwd => 2,
                    Kunpckdq => 4,
                    _ => return self.mask_vectors(i),
                }
            };
        }
        let bytes: usize = width!(
            Kmovb Kmovw Kmovd Kmovq
            Kandb Kandw Kandd Kandq
            Kandnb Kandnw Kandnd Kandnq
            Korb Korw Kord Korq
            Kxorb Kxorw Kxord Kxorq
            Kxnorb Kxnorw Kxnord Kxnorq
            Kaddb Kaddw Kaddd Kaddq
            Knotb Knotw Knotd Knotq
            Kshiftlb Kshiftlw Kshiftld Kshiftlq
            Kshiftrb Kshiftrw Kshiftrd Kshiftrq
            Kortestb Kortestw Kortestd Kortestq
            Ktestb Ktestw Ktestd Ktestq
        );
        let all = mask_of(8 * bytes);
        let second = self.mask_source(i, 1, bytes)?;
        match i.mnemonic() {
            Kmovb | Kmovw | Kmovd | Kmovq => {
                if is_memory(i, 0) {
                    self.memory.write(self.address(i), &second.to_le_bytes()[..bytes])?;
                } else if i.op0_register().is_k() {
                    self.k[i.op0_register().number()] = second;
                } else {
                    self.set_register(i.op0_register(), second);
                }
                return Ok(true);
            }
            Kortestb | Kortestw | Kortestd | Kortestq => {
                let r = self.mask_source(i, 0, bytes)? | second;
                self.flags = Flags { zf: r == 0, cf: r == all, ..Flags::default() };
                return Ok(true);
            }
            Ktestb | Ktestw | Ktestd | Ktestq => {
                let first = self.mask_source(i, 0, bytes)?;
                self.flags = Flags { zf: first & second == 0, cf: !first & second == 0, ..Flags::default() };
                return Ok(true);
            }
            _ => {}
        }
        let count = u32::from(i.immediate8());
        let within = count < 8 * bytes as u32;
        let r = match i.mnemonic() {
            Knotb | Knotw | Knotd | Knotq => !second,
            Kshiftlb | Kshiftlw | Kshiftld | Kshiftlq => {
                if within {
                    second << count
                } else {
                    0
                }
            }
            Kshiftrb | Kshiftrw | Kshiftrd | Kshiftrq => {
                if within {
                    second >> count
                } else {
                    0
                }
            }
            _ => {
                let third = self.mask_source(i, 2, bytes)?;
                match i.mnemonic() {
                    Kandb | Kandw | Kandd | Kandq => second & third,
                    Kandnb | Kandnw | Kandnd | Kandnq => !second & third,
                    Korb | Korw | Kord | Korq => second | third,
                    Kxorb | Kxorw | Kxord | Kxorq => second ^ third,
                    Kxnorb | Kxnorw | Kxnord | Kxnorq => !(second ^ third),
                    Kaddb | Kaddw | Kaddd | Kaddq => second.wrapping_add(third),
                    _ => {
                        self.k[i.op0_register().number()] = second << (8 * bytes) | third;
                        return Ok(true);
                    }
                }
            }
        };
        self.k[i.op0_register().number()] = r & all;
        Ok(true)
    }

    /// Between mask and vector registers, and tests of vectors into masks.
    fn mask_vectors(&mut self, i: &Instruction) -> Step<bool> {
        use Mnemonic::*;
        let size = match i.mnemonic() {
            Vpmovb2m | Vpmovm2b | Vptestmb | Vptestnmb => 1,
            Vpmovw2m | Vpmovm2w | Vptestmw | Vptestnmw => 2,
            Vpmovd2m | Vpmovm2d | Vptestmd | Vptestnmd => 4,
            Vpmovq2m | Vpmovm2q | Vptestmq | Vptestnmq => 8,
            _ => return Ok(false),
        };
        match i.mnemonic() {
            Vpmovb2m | Vpmovw2m | Vpmovd2m | Vpmovq2m => {
                let v = self.vector_register(i.op1_register());
                let on = |n: &usize| get(&v, size, *n) >> (8 * size - 1) == 1;
                self.k[i.op0_register().number()] = (0..width(i, 1) / size).filter(on).fold(0, |k, n| k | 1 << n);
            }
            Vpmovm2b | Vpmovm2w | Vpmovm2d | Vpmovm2q => {
                let k = self.k[i.op1_register().number()];
                let count = width(i, 0) / size;
                let mut v = [0; 64];
                (0..count).filter(|n| k >> n & 1 == 1).for_each(|n| put(&mut v, size, n, !0));
                self.write_lanes(i, false, size, count, &v);
            }
            Vptestmb | Vptestmw | Vptestmd | Vptestmq => self.compare(i, false, size, |a, b| a & b != 0)?,
            _ => self.compare(i, false, size, |a, b| a & b == 0)?,
        }
        Ok(true)
    }
}
