//! Integer arithmetic, logic and comparisons on lanes.

use crate::lanes::{get, mask_of, put, width};
use crate::{Flags, Machine, Step, is_memory, signed, truncate};
use iced_x86::{Instruction, Mnemonic};

/// Keeps a number within a signed or unsigned range of `size` bytes.
fn saturate(v: i128, size: usize, to_signed: bool) -> u64 {
    let bits = 8 * size as u32;
    let (low, high) =
        if to_signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    truncate(v.clamp(low, high) as u64, size)
}

#[derive(Clone, Copy)]
enum Shift {
    Left,
    Right,
    Arithmetic,
}

fn shift(kind: Shift, a: u64, count: u64, size: usize) -> u64 {
    let bits = 8 * size as u64;
    match kind {
        Shift::Left if count < bits => a << count,
        Shift::Right if count < bits => a >> count,
        Shift::Arithmetic => (signed(a, size) >> count.min(bits - 1)) as u64,
        _ => 0,
    }
}

fn rotate_left(a: u64, count: u64, size: usize) -> u64 {
    let bits = 8 * size as u32;
    let n = count as u32 % bits;
    if n == 0 { a } else { a << n | a >> (bits - n) }
}

/// The predicates of `vpcmp`.
fn predicate(imm: u8, order: std::cmp::Ordering) -> bool {
    match imm & 7 {
        0 => order.is_eq(),
        1 => order.is_lt(),
        2 => order.is_le(),
        3 => false,
        4 => order.is_ne(),
        5 => order.is_ge(),
        6 => order.is_gt(),
        _ => true,
    }
}

impl Machine {
    /// Executes an integer instruction; false when it is none.
    pub(crate) fn packed(&mut self, i: &Instruction, legacy: bool) -> Step<bool> {
        use Mnemonic::*;
        let imm = if i.op_count() > 0 { i.immediate8() } else { 0 };
        macro_rules! two {
            ($size:literal, |$a:ident, $b:ident| $f:expr) => {
                self.each(i, legacy, $size, 2, |[$a, $b, _]| $f)?
            };
        }
        macro_rules! wide {
            ($size:literal, $signed:literal, $op:tt) => {
                self.each(i, legacy, $size, 2, |[a, b, _]| {
                    let v = |x| if $signed { i128::from(signed(x, $size)) } else { i128::from(x) };
                    saturate(v(a) $op v(b), $size, $signed)
                })?
            };
        }
        macro_rules! pick {
            ($size:literal, $max:literal, $signed:literal) => {
                self.each(i, legacy, $size, 2, |[a, b, _]| {
                    let less = if $signed { signed(a, $size) < signed(b, $size) } else { a < b };
                    if less != $max { a } else { b }
                })?
            };
        }
        macro_rules! compare {
            ($size:literal, $signed:literal, $imm:expr) => {
                self.compare(i, legacy, $size, |a, b| {
                    let order = if $signed { signed(a, $size).cmp(&signed(b, $size)) } else { a.cmp(&b) };
                    predicate($imm, order)
                })?
            };
        }
        match i.mnemonic() {
            Paddb | Vpaddb => two!(1, |a, b| a.wrapping_add(b)),
            Paddw | Vpaddw => two!(2, |a, b| a.wrapping_add(b)),
            Paddd | Vpaddd => two!(4, |a, b| a.wrapping_add(b)),
            Paddq | Vpaddq => two!(8, |a, b| a.wrapping_add(b)),
            Psubb | Vpsubb => two!(1, |a, b| a.wrapping_sub(b)),
            Psubw | Vpsubw => two!(2, |a, b| a.wrapping_sub(b)),
            Psubd | Vpsubd => two!(4, |a, b| a.wrapping_sub(b)),
            Psubq | Vpsubq => two!(8, |a, b| a.wrapping_sub(b)),
            Paddsb | Vpaddsb => wide!(1, true, +),
            Paddsw | Vpaddsw => wide!(2, true, +),
            Paddusb | Vpaddusb => wide!(1, false, +),
            Paddusw | Vpaddusw => wide!(2, false, +),
            Psubsb | Vpsubsb => wide!(1, true, -),
            Psubsw | Vpsubsw => wide!(2, true, -),
            Psubusb | Vpsubusb => wide!(1, false, -),
            Psubusw | Vpsubusw => wide!(2, false, -),
            Pavgb | Vpavgb => two!(1, |a, b| (a + b + 1) >> 1),
            Pavgw | Vpavgw => two!(2, |a, b| (a + b + 1) >> 1),
            Pmullw | Vpmullw => two!(2, |a, b| a.wrapping_mul(b)),
            Pmulld | Vpmulld => two!(4, |a, b| a.wrapping_mul(b)),
            Vpmullq => two!(8, |a, b| a.wrapping_mul(b)),
            Pmulhw | Vpmulhw => two!(2, |a, b| ((signed(a, 2) * signed(b, 2)) >> 16) as u64),
            Pmulhuw | Vpmulhuw => two!(2, |a, b| (a * b) >> 16),
            Pmuludq | Vpmuludq => two!(8, |a, b| truncate(a, 4) * truncate(b, 4)),
            Pmuldq | Vpmuldq => two!(8, |a, b| (signed(a, 4) * signed(b, 4)) as u64),
            Pmaddwd | Vpmaddwd => two!(4, |a, b| {
                let part = |n: u32| signed(a >> n, 2).wrapping_mul(signed(b >> n, 2));
                part(0).wrapping_add(part(16)) as u64
            }),
            Pabsb | Vpabsb => self.each(i, legacy, 1, 1, |[a, ..]| signed(a, 1).unsigned_abs())?,
            Pabsw | Vpabsw => self.each(i, legacy, 2, 1, |[a, ..]| signed(a, 2).unsigned_abs())?,
            Pabsd | Vpabsd => self.each(i, legacy, 4, 1, |[a, ..]| signed(a, 4).unsigned_abs())?,
            Vpabsq => self.each(i, legacy, 8, 1, |[a, ..]| signed(a, 8).unsigned_abs())?,
            Pminsb | Vpminsb => pick!(1, false, true),
            Pminsw | Vpminsw => pick!(2, false, true),
            Pminsd | Vpminsd => pick!(4, false, true),
            Vpminsq => pick!(8, false, true),
            Pminub | Vpminub => pick!(1, false, false),
            Pminuw | Vpminuw => pick!(2, false, false),
            Pminud | Vpminud => pick!(4, false, false),
            Vpminuq => pick!(8, false, false),
            Pmaxsb | Vpmaxsb => pick!(1, true, true),
            Pmaxsw | Vpmaxsw => pick!(2, true, true),
            Pmaxsd | Vpmaxsd => pick!(4, true, true),
            Vpmaxsq => pick!(8, true, true),
            Pmaxub | Vpmaxub => pick!(1, true, false),
            Pmaxuw | Vpmaxuw => pick!(2, true, false),
            Pmaxud | Vpmaxud => pick!(4, true, false),
            Vpmaxuq => pick!(8, true, false),
            Pcmpeqb | Vpcmpeqb => compare!(1, true, 0),
            Pcmpeqw | Vpcmpeqw => compare!(2, true, 0),
            Pcmpeqd | Vpcmpeqd => compare!(4, true, 0),
            Pcmpeqq | Vpcmpeqq => compare!(8, true, 0),
            Pcmpgtb | Vpcmpgtb => compare!(1, true, 6),
            Pcmpgtw | Vpcmpgtw => compare!(2, true, 6),
            Pcmpgtd | Vpcmpgtd => compare!(4, true, 6),
            Pcmpgtq | Vpcmpgtq => compare!(8, true, 6),
            Vpcmpb => compare!(1, true, imm),
            Vpcmpw => compare!(2, true, imm),
            Vpcmpd => compare!(4, true, imm),
            Vpcmpq => compare!(8, true, imm),
            Vpcmpub => compare!(1, false, imm),
            Vpcmpuw => compare!(2, false, imm),
            Vpcmpud => compare!(4, false, imm),
            Vpcmpuq => compare!(8, false, imm),
            Andps | Vandps | Pand | Vpand | Vpandd => two!(4, |a, b| a & b),
            Andpd | Vandpd | Vpandq => two!(8, |a, b| a & b),
            Andnps | Vandnps | Pandn | Vpandn | Vpandnd => two!(4, |a, b| !a & b),
            Andnpd | Vandnpd | Vpandnq => two!(8, |a, b| !a & b),
            Orps | Vorps | Por | Vpor | Vpord => two!(4, |a, b| a | b),
            Orpd | Vorpd | Vporq => two!(8, |a, b| a | b),
            Xorps | Vxorps | Pxor | Vpxor | Vpxord => two!(4, |a, b| a ^ b),
            Xorpd | Vxorpd | Vpxorq => two!(8, |a, b| a ^ b),
            Vpternlogd => self.each(i, legacy, 4, 3, |o| ternary(imm, o))?,
            Vpternlogq => self.each(i, legacy, 8, 3, |o| ternary(imm, o))?,
            Psllw | Vpsllw => self.shifts(i, legacy, Shift::Left, 2)?,
            Pslld | Vpslld => self.shifts(i, legacy, Shift::Left, 4)?,
            Psllq | Vpsllq => self.shifts(i, legacy, Shift::Left, 8)?,
            Psrlw | Vpsrlw => self.shifts(i, legacy, Shift::Right, 2)?,
            Psrld | Vpsrld => self.shifts(i, legacy, Shift::Right, 4)?,
            Psrlq | Vpsrlq => self.shifts(i, legacy, Shift::Right, 8)?,
            Psraw | Vpsraw => self.shifts(i, legacy, Shift::Arithmetic, 2)?,
            Psrad | Vpsrad => self.shifts(i, legacy, Shift::Arithmetic, 4)?,
            Vpsraq => self.shifts(i, legacy, Shift::Arithmetic, 8)?,
            Vpsllvw => two!(2, |a, b| shift(Shift::Left, a, b, 2)),
            Vpsllvd => two!(4, |a, b| shift(Shift::Left, a, b, 4)),
            Vpsllvq => two!(8, |a, b| shift(Shift::Left, a, b, 8)),
            Vpsrlvw => two!(2, |a, b| shift(Shift::Right, a, b, 2)),
            Vpsrlvd => two!(4, |a, b| shift(Shift::Right, a, b, 4)),
            Vpsrlvq => two!(8, |a, b| shift(Shift::Right, a, b, 8)),
            Vpsravw => two!(2, |a, b| shift(Shift::Arithmetic, a, b, 2)),
            Vpsravd => two!(4, |a, b| shift(Shift::Arithmetic, a, b, 4)),
            Vpsravq => two!(8, |a, b| shift(Shift::Arithmetic, a, b, 8)),
            Vprold => self.each(i, legacy, 4, 1, |[a, ..]| rotate_left(a, u64::from(imm), 4))?,
            Vprolq => self.each(i, legacy, 8, 1, |[a, ..]| rotate_left(a, u64::from(imm), 8))?,
            Vprord => self.each(i, legacy, 4, 1, |[a, ..]| rotate_left(a, 32 - u64::from(imm) % 32, 4))?,
            Vprorq => self.each(i, legacy, 8, 1, |[a, ..]| rotate_left(a, 64 - u64::from(imm) % 64, 8))?,
            Vprolvd => two!(4, |a, b| rotate_left(a, b % 32, 4)),
            Vprolvq => two!(8, |a, b| rotate_left(a, b % 64, 8)),
            Vprorvd => two!(4, |a, b| rotate_left(a, 32 - b % 32, 4)),
            Vprorvq => two!(8, |a, b| rotate_left(a, 64 - b % 64, 8)),
            Ptest | Vptest => self.test(i, legacy, !0)?,
            Psadbw | Vpsadbw => {
                two!(8, |a, b| (0..8).map(|n| (a >> (8 * n) & 0xff).abs_diff(b >> (8 * n) & 0xff)).sum())
            }
            _ => return self.widths(i, legacy),
        }
        Ok(true)
    }

    /// Sign and zero extensions, truncations with and without saturation.
    fn widths(&mut self, i: &Instruction, legacy: bool) -> Step<bool> {
        use Mnemonic::*;
        macro_rules! extend {
            ($from:literal, $to:literal, $signed:literal) => {
                self.change(i, legacy, $from, $to, |a| if $signed { signed(a, $from) as u64 } else { a })?
            };
        }
        macro_rules! shrink {
            ($from:literal, $to:literal, cut) => {
                self.change(i, legacy, $from, $to, |a| a)?
            };
            ($from:literal, $to:literal, signed) => {
                self.change(i, legacy, $from, $to, |a| saturate(i128::from(signed(a, $from)), $to, true))?
            };
            ($from:literal, $to:literal, unsigned) => {
                self.change(i, legacy, $from, $to, |a| saturate(i128::from(a), $to, false))?
            };
        }
        match i.mnemonic() {
            Pmovsxbw | Vpmovsxbw => extend!(1, 2, true),
            Pmovsxbd | Vpmovsxbd => extend!(1, 4, true),
            Pmovsxbq | Vpmovsxbq => extend!(1, 8, true),
            Pmovsxwd | Vpmovsxwd => extend!(2, 4, true),
            Pmovsxwq | Vpmovsxwq => extend!(2, 8, true),
            Pmovsxdq | Vpmovsxdq => extend!(4, 8, true),
            Pmovzxbw | Vpmovzxbw => extend!(1, 2, false),
            Pmovzxbd | Vpmovzxbd => extend!(1, 4, false),
            Pmovzxbq | Vpmovzxbq => extend!(1, 8, false),
            Pmovzxwd | Vpmovzxwd => extend!(2, 4, false),
            Pmovzxwq | Vpmovzxwq => extend!(2, 8, false),
            Pmovzxdq | Vpmovzxdq => extend!(4, 8, false),
            Vpmovwb => shrink!(2, 1, cut),
            Vpmovdb => shrink!(4, 1, cut),
            Vpmovdw => shrink!(4, 2, cut),
            Vpmovqb => shrink!(8, 1, cut),
            Vpmovqw => shrink!(8, 2, cut),
            Vpmovqd => shrink!(8, 4, cut),
            Vpmovswb => shrink!(2, 1, signed),
            Vpmovsdb => shrink!(4, 1, signed),
            Vpmovsdw => shrink!(4, 2, signed),
            Vpmovsqb => shrink!(8, 1, signed),
            Vpmovsqw => shrink!(8, 2, signed),
            Vpmovsqd => shrink!(8, 4, signed),
            Vpmovuswb => shrink!(2, 1, unsigned),
            Vpmovusdb => shrink!(4, 1, unsigned),
            Vpmovusdw => shrink!(4, 2, unsigned),
            Vpmovusqb => shrink!(8, 1, unsigned),
            Vpmovusqw => shrink!(8, 2, unsigned),
            Vpmovusqd => shrink!(8, 4, unsigned),
            Packsswb | Vpacksswb => self.pack(i, legacy, 2, true)?,
            Packssdw | Vpackssdw => self.pack(i, legacy, 4, true)?,
            Packuswb | Vpackuswb => self.pack(i, legacy, 2, false)?,
            Packusdw | Vpackusdw => self.pack(i, legacy, 4, false)?,
            Phaddd | Vphaddd => self.groups(i, legacy, 4, 16, 2, |[a, b], n| {
                let v = if n < 2 { a } else { b };
                get(v, 4, 2 * (n % 2)).wrapping_add(get(v, 4, 2 * (n % 2) + 1))
            })?,
            Vtestps => self.test(i, legacy, 1 << 31 | 1 << 63)?,
            Vtestpd => self.test(i, legacy, 1 << 63)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Within every 16 bytes, the lanes of both sources at half their width. A broadcast operand repeats whole
    /// source elements.
    fn pack(&mut self, i: &Instruction, legacy: bool, from: usize, to_signed: bool) -> Step {
        let count = width(i, 0) / from;
        let first = if legacy { 0 } else { 1 };
        let a = self.lanes(i, legacy, first, from, count, !0)?;
        let b = self.lanes(i, legacy, first + 1, from, count, !0)?;
        let per = 16 / from;
        let mut r = [0; 64];
        for n in 0..2 * count {
            let source = if n % (2 * per) < per { &a } else { &b };
            let lane = signed(get(source, from, n / (2 * per) * per + n % per), from);
            put(&mut r, from / 2, n, saturate(i128::from(lane), from / 2, to_signed));
        }
        self.write_lanes(i, legacy, from / 2, 2 * count, &r);
        Ok(())
    }

    /// A count for all lanes: an immediate, or the low 64 bits of a 128-bit operand.
    fn shifts(&mut self, i: &Instruction, legacy: bool, kind: Shift, size: usize) -> Step {
        let last = i.op_count() - 1;
        let memory_count = is_memory(i, last);
        if !memory_count && !matches!(i.op_kind(last), iced_x86::OpKind::Register) {
            let count = u64::from(i.immediate8());
            return self.each(i, legacy, size, 1, |[a, ..]| shift(kind, a, count, size));
        }
        let count = get(&self.lanes(i, legacy, last, 8, 2, !0)?, 8, 0);
        let a = self.vector_register(if last == 2 { i.op1_register() } else { i.op0_register() });
        let lanes = width(i, 0) / size;
        let mut r = [0; 64];
        (0..lanes).for_each(|n| put(&mut r, size, n, shift(kind, get(&a, size, n), count, size)));
        self.write_lanes(i, legacy, size, lanes, &r);
        Ok(())
    }

    /// `ptest` and `vtestps`: of the bits in `mask` of every 64.
    fn test(&mut self, i: &Instruction, legacy: bool, mask: u64) -> Step {
        let count = width(i, 0) / 8;
        let a = self.lanes(i, legacy, 0, 8, count, mask_of(count))?;
        let b = self.lanes(i, legacy, 1, 8, count, mask_of(count))?;
        let none = |f: fn(u64, u64) -> u64| (0..count).all(|n| f(get(&a, 8, n), get(&b, 8, n)) & mask == 0);
        self.flags = Flags { zf: none(|a, b| a & b), cf: none(|a, b| !a & b), ..Flags::default() };
        Ok(())
    }
}

/// Bit by bit, the immediate's bit whose number the three operands' bits are.
fn ternary(imm: u8, [a, b, c]: [u64; 3]) -> u64 {
    (0..8).filter(|n| imm >> n & 1 == 1).fold(0, |r, n| {
        let side = |v: u64, bit: u32| if n >> bit & 1 == 1 { v } else { !v };
        r | side(a, 2) & side(b, 1) & side(c, 0)
    })
}
