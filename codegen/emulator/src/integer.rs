//! General registers, flags, control flow.

use crate::{Flags, Flow, Machine, RAX, RCX, RDX, Step, is_memory, signed, truncate};
use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind, Register};

impl Machine {
    /// A general register's value.
    pub(crate) fn register(&self, r: Register) -> u64 {
        let full = self.gpr[r.full_register().number()];
        match r {
            Register::AH | Register::CH | Register::DH | Register::BH => full >> 8 & 0xff,
            _ => truncate(full, r.size()),
        }
    }

    /// Writes a general register; 32 bits clear the upper half.
    pub(crate) fn set_register(&mut self, r: Register, value: u64) {
        let full = &mut self.gpr[r.full_register().number()];
        *full = match r.size() {
            1 if matches!(r, Register::AH | Register::CH | Register::DH | Register::BH) => {
                *full & !0xff00 | (value & 0xff) << 8
            }
            1 => *full & !0xff | value & 0xff,
            2 => *full & !0xffff | value & 0xffff,
            4 => value & 0xffff_ffff,
            _ => value,
        };
    }

    /// Bytes of a scalar operand.
    fn size(i: &Instruction, operand: u32) -> usize {
        match i.op_kind(operand) {
            OpKind::Register => i.op_register(operand).size(),
            OpKind::Memory => i.memory_size().size(),
            _ => 8,
        }
    }

    /// A general register, memory of at most 8 bytes or an immediate.
    pub(crate) fn scalar(&self, i: &Instruction, operand: u32) -> Step<u64> {
        match i.op_kind(operand) {
            OpKind::Register => Ok(self.register(i.op_register(operand))),
            OpKind::Memory => self.memory.read_int(self.address(i), i.memory_size().size()),
            _ => Ok(i.immediate(operand)),
        }
    }

    /// Writes the first operand.
    pub(crate) fn set_scalar(&mut self, i: &Instruction, value: u64) -> Step {
        if is_memory(i, 0) {
            let size = i.memory_size().size();
            return self.memory.write(self.address(i), &value.to_le_bytes()[..size]);
        }
        self.set_register(i.op_register(0), value);
        Ok(())
    }

    fn condition(&self, cc: ConditionCode) -> bool {
        let f = self.flags;
        match cc {
            ConditionCode::None => true,
            ConditionCode::o => f.of,
            ConditionCode::no => !f.of,
            ConditionCode::b => f.cf,
            ConditionCode::ae => !f.cf,
            ConditionCode::e => f.zf,
            ConditionCode::ne => !f.zf,
            ConditionCode::be => f.cf || f.zf,
            ConditionCode::a => !f.cf && !f.zf,
            ConditionCode::s => f.sf,
            ConditionCode::ns => !f.sf,
            ConditionCode::p => f.pf,
            ConditionCode::np => !f.pf,
            ConditionCode::l => f.sf != f.of,
            ConditionCode::ge => f.sf == f.of,
            ConditionCode::le => f.zf || f.sf != f.of,
            ConditionCode::g => !f.zf && f.sf == f.of,
        }
    }

    /// Flags of a result without carry and overflow.
    fn logic_flags(&mut self, value: u64, bytes: usize) {
        self.flags = Flags {
            cf: false,
            pf: (value as u8).count_ones().is_multiple_of(2),
            zf: truncate(value, bytes) == 0,
            sf: signed(value, bytes) < 0,
            of: false,
        };
    }

    fn add(&mut self, a: u64, b: u64, carry: bool, bytes: usize) -> u64 {
        let wide = u128::from(truncate(a, bytes)) + u128::from(truncate(b, bytes)) + u128::from(carry);
        let exact = i128::from(signed(a, bytes)) + i128::from(signed(b, bytes)) + i128::from(carry);
        let r = truncate(wide as u64, bytes);
        self.logic_flags(r, bytes);
        self.flags.cf = wide >> (8 * bytes) != 0;
        self.flags.of = i128::from(signed(r, bytes)) != exact;
        r
    }

    fn sub(&mut self, a: u64, b: u64, borrow: bool, bytes: usize) -> u64 {
        let (a, b) = (truncate(a, bytes), truncate(b, bytes));
        let exact = i128::from(signed(a, bytes)) - i128::from(signed(b, bytes)) - i128::from(borrow);
        let r = truncate(a.wrapping_sub(b).wrapping_sub(u64::from(borrow)), bytes);
        self.logic_flags(r, bytes);
        self.flags.cf = u128::from(a) < u128::from(b) + u128::from(borrow);
        self.flags.of = i128::from(signed(r, bytes)) != exact;
        r
    }

    /// The low half of a product; carry and overflow tell that it is not all of it.
    fn multiply(&mut self, a: u64, b: u64, bytes: usize) -> u64 {
        let exact = i128::from(signed(a, bytes)) * i128::from(signed(b, bytes));
        let r = truncate(exact as u64, bytes);
        let over = i128::from(signed(r, bytes)) != exact;
        self.flags = Flags { cf: over, of: over, ..Flags::default() };
        r
    }

    fn shift(&mut self, i: &Instruction, bytes: usize) -> Step {
        let bits = 8 * bytes as u32;
        let count = self.scalar(i, 1)? as u32 & if bytes == 8 { 63 } else { 31 };
        let a = truncate(self.scalar(i, 0)?, bytes);
        if count == 0 {
            // Nothing changes, but a 32-bit register's upper half.
            return self.set_scalar(i, a);
        }
        let old = self.flags;
        let top = |v: u64| v >> (bits - 1) & 1 == 1;
        let wide = u128::from(a);
        let (r, cf) = match i.mnemonic() {
            Mnemonic::Shl => {
                let w = wide << count;
                (w as u64, w >> bits & 1 == 1)
            }
            Mnemonic::Shr => ((wide >> count) as u64, wide >> (count - 1) & 1 == 1),
            Mnemonic::Sar => {
                let s = i128::from(signed(a, bytes));
                ((s >> count) as u64, s >> (count - 1) & 1 == 1)
            }
            Mnemonic::Rol | Mnemonic::Ror => {
                let n = count % bits;
                let n = if i.mnemonic() == Mnemonic::Rol { n } else { (bits - n) % bits };
                let w = truncate((wide << n | wide >> (bits - n)) as u64, bytes);
                let cf = if i.mnemonic() == Mnemonic::Rol { w & 1 == 1 } else { top(w) };
                let of = if i.mnemonic() == Mnemonic::Rol { top(w) != cf } else { top(w) != top(w << 1) };
                self.flags = Flags { cf, of: count == 1 && of, ..old };
                return self.set_scalar(i, w);
            }
            _ => return crate::unknown(i),
        };
        let r = truncate(r, bytes);
        self.logic_flags(r, bytes);
        self.flags.cf = cf;
        self.flags.of = count == 1
            && match i.mnemonic() {
                Mnemonic::Shl => top(r) != cf,
                Mnemonic::Shr => top(a),
                _ => false,
            };
        self.set_scalar(i, r)
    }

    fn divide(&mut self, i: &Instruction, bytes: usize) -> Step {
        let d = self.scalar(i, 0)?;
        let bits = 8 * bytes as u32;
        if bytes < 4 {
            return crate::unknown(i);
        }
        let (high, low) = (truncate(self.gpr[RDX], bytes), truncate(self.gpr[RAX], bytes));
        let n = u128::from(high) << bits | u128::from(low);
        let (q, r) = if i.mnemonic() == Mnemonic::Div {
            let d = u128::from(truncate(d, bytes));
            let q = n.checked_div(d).filter(|q| q >> bits == 0).ok_or("a division that overflows")?;
            (q as u64, (n % d) as u64)
        } else {
            let n = (n << (128 - 2 * bits)) as i128 >> (128 - 2 * bits);
            let d = i128::from(signed(d, bytes));
            let fits = |q: &i128| i128::from(signed(*q as u64, bytes)) == *q;
            let q = n.checked_div(d).filter(fits).ok_or("a division that overflows")?;
            (q as u64, (n % d) as u64)
        };
        let (a, d) = if bytes == 8 { (Register::RAX, Register::RDX) } else { (Register::EAX, Register::EDX) };
        self.set_register(a, truncate(q, bytes));
        self.set_register(d, truncate(r, bytes));
        self.flags = Flags::default();
        Ok(())
    }

    fn wide_multiply(&mut self, i: &Instruction, bytes: usize) -> Step {
        let b = self.scalar(i, 0)?;
        let bits = 8 * bytes as u32;
        if bytes < 4 {
            return crate::unknown(i);
        }
        let (full, over) = if i.mnemonic() == Mnemonic::Mul {
            let p = u128::from(truncate(self.gpr[RAX], bytes)) * u128::from(truncate(b, bytes));
            (p, p >> bits != 0)
        } else {
            let p = i128::from(signed(self.gpr[RAX], bytes)) * i128::from(signed(b, bytes));
            (p as u128, i128::from(signed(p as u64, bytes)) != p)
        };
        let (a, d) = if bytes == 8 { (Register::RAX, Register::RDX) } else { (Register::EAX, Register::EDX) };
        self.set_register(a, truncate(full as u64, bytes));
        self.set_register(d, truncate((full >> bits) as u64, bytes));
        self.flags = Flags { cf: over, of: over, ..Flags::default() };
        Ok(())
    }

    /// Counts and selects bits.
    fn bits(&mut self, i: &Instruction, bytes: usize) -> Step {
        let bits = 8 * bytes as u32;
        let last = i.op_count() - 1;
        let a = truncate(self.scalar(i, last)?, bytes);
        let zeros = |v: u64| u64::from(if v == 0 { bits } else { v.leading_zeros() - (64 - bits) });
        let trailing = |v: u64| u64::from(if v == 0 { bits } else { v.trailing_zeros() });
        let blank = Flags::default();
        let (r, flags) = match i.mnemonic() {
            Mnemonic::Popcnt => (u64::from(a.count_ones()), Flags { zf: a == 0, ..blank }),
            Mnemonic::Lzcnt => (zeros(a), Flags { cf: a == 0, zf: zeros(a) == 0, ..blank }),
            Mnemonic::Tzcnt => (trailing(a), Flags { cf: a == 0, zf: trailing(a) == 0, ..blank }),
            Mnemonic::Bsf | Mnemonic::Bsr => {
                // Of 0 the destination is undefined by the manual and unchanged by every processor.
                if a == 0 {
                    self.flags = Flags { zf: true, ..blank };
                    return Ok(());
                }
                let n = if i.mnemonic() == Mnemonic::Bsf { trailing(a) } else { 63 - u64::from(a.leading_zeros()) };
                (n, blank)
            }
            Mnemonic::Andn => {
                let r = truncate(!self.scalar(i, 1)? & a, bytes);
                (r, Flags { zf: r == 0, sf: signed(r, bytes) < 0, ..blank })
            }
            Mnemonic::Blsr | Mnemonic::Blsi | Mnemonic::Blsmsk => {
                let r = match i.mnemonic() {
                    Mnemonic::Blsr => a & a.wrapping_sub(1),
                    Mnemonic::Blsi => a & a.wrapping_neg(),
                    _ => a ^ a.wrapping_sub(1),
                };
                let r = truncate(r, bytes);
                let cf = (a == 0) != (i.mnemonic() == Mnemonic::Blsi);
                (r, Flags { cf, zf: r == 0, sf: signed(r, bytes) < 0, ..blank })
            }
            _ => return crate::unknown(i),
        };
        self.flags = flags;
        self.set_scalar(i, r)
    }

    /// Shifts that leave flags alone, and a multiplication that does.
    fn flagless(&mut self, i: &Instruction, bytes: usize) -> Step {
        let bits = 8 * bytes as u32;
        if i.mnemonic() == Mnemonic::Mulx {
            let p = u128::from(truncate(self.gpr[RDX], bytes)) * u128::from(truncate(self.scalar(i, 2)?, bytes));
            // Where both are one register, it holds the upper half.
            self.set_register(i.op_register(1), truncate(p as u64, bytes));
            self.set_register(i.op_register(0), truncate((p >> bits) as u64, bytes));
            return Ok(());
        }
        let a = truncate(self.scalar(i, 1)?, bytes);
        let count = self.scalar(i, 2)? as u32 & (bits - 1);
        let r = match i.mnemonic() {
            Mnemonic::Shlx => a << count,
            Mnemonic::Shrx => a >> count,
            Mnemonic::Sarx => (signed(a, bytes) >> count) as u64,
            _ => (u128::from(a) >> count | u128::from(a) << (bits - count)) as u64,
        };
        self.set_scalar(i, truncate(r, bytes))
    }

    /// Executes an instruction of general registers; None when it is none.
    pub(crate) fn integer(&mut self, i: &Instruction) -> Step<Option<Flow>> {
        use Mnemonic::*;
        let bytes = if i.op_count() > 0 { Self::size(i, 0) } else { 8 };
        match i.mnemonic() {
            Mov | Movzx => {
                let v = self.scalar(i, 1)?;
                self.set_scalar(i, v)?;
            }
            Movsx | Movsxd => {
                let v = signed(self.scalar(i, 1)?, Self::size(i, 1)) as u64;
                self.set_scalar(i, v)?;
            }
            Lea => self.set_scalar(i, self.address(i))?,
            Add | Adc | Sub | Sbb | Cmp => {
                let (a, b) = (self.scalar(i, 0)?, self.scalar(i, 1)?);
                let carry = matches!(i.mnemonic(), Adc | Sbb) && self.flags.cf;
                let r = match i.mnemonic() {
                    Add | Adc => self.add(a, b, carry, bytes),
                    _ => self.sub(a, b, carry, bytes),
                };
                if i.mnemonic() != Cmp {
                    self.set_scalar(i, r)?;
                }
            }
            And | Or | Xor | Test => {
                let (a, b) = (self.scalar(i, 0)?, self.scalar(i, 1)?);
                let r = match i.mnemonic() {
                    Or => a | b,
                    Xor => a ^ b,
                    _ => a & b,
                };
                self.logic_flags(r, bytes);
                if i.mnemonic() != Test {
                    self.set_scalar(i, r)?;
                }
            }
            Inc | Dec => {
                let a = self.scalar(i, 0)?;
                let carry = self.flags.cf;
                let r = if i.mnemonic() == Inc { self.add(a, 1, false, bytes) } else { self.sub(a, 1, false, bytes) };
                self.flags.cf = carry;
                self.set_scalar(i, r)?;
            }
            Neg => {
                let a = self.scalar(i, 0)?;
                let r = self.sub(0, a, false, bytes);
                self.set_scalar(i, r)?;
            }
            Not => {
                let a = self.scalar(i, 0)?;
                self.set_scalar(i, !a)?;
            }
            Imul if i.op_count() > 1 => {
                let last = i.op_count() - 1;
                let (a, b) = (self.scalar(i, last - 1)?, self.scalar(i, last)?);
                let r = self.multiply(a, b, bytes);
                self.set_scalar(i, r)?;
            }
            Imul | Mul => self.wide_multiply(i, bytes)?,
            Idiv | Div => self.divide(i, bytes)?,
            Cdq => self.set_register(Register::EDX, (signed(self.gpr[RAX], 4) >> 63) as u64),
            Cqo => self.gpr[RDX] = (self.gpr[RAX] as i64 >> 63) as u64,
            Cwde => self.set_register(Register::EAX, signed(self.gpr[RAX], 2) as u64),
            Cdqe => self.gpr[RAX] = signed(self.gpr[RAX], 4) as u64,
            Shl | Shr | Sar | Rol | Ror => self.shift(i, bytes)?,
            Popcnt | Lzcnt | Tzcnt | Bsf | Bsr | Andn | Blsr | Blsi | Blsmsk => self.bits(i, bytes)?,
            Shlx | Shrx | Sarx | Rorx | Mulx => self.flagless(i, bytes)?,
            Bt => {
                if is_memory(i, 0) {
                    return crate::unknown(i);
                }
                let n = self.scalar(i, 1)? & (8 * bytes as u64 - 1);
                self.flags = Flags { cf: self.scalar(i, 0)? >> n & 1 == 1, zf: self.flags.zf, ..Flags::default() };
            }
            Bswap if bytes > 2 => {
                let a = self.scalar(i, 0)?;
                self.set_scalar(i, a.swap_bytes() >> (64 - 8 * bytes))?;
            }
            Xchg => {
                let (a, b) = (self.scalar(i, 0)?, self.scalar(i, 1)?);
                self.set_scalar(i, b)?;
                self.set_register(i.op_register(1), a);
            }
            Push => {
                let v = self.scalar(i, 0)?;
                self.push(v)?;
            }
            Pop => {
                let v = self.pop()?;
                self.set_scalar(i, v)?;
            }
            Leave => {
                self.gpr[crate::RSP] = self.gpr[5];
                self.gpr[5] = self.pop()?;
            }
            Call => {
                let to = self.target(i)?;
                self.push(i.next_ip())?;
                return Ok(Some(Flow::Jump(to)));
            }
            Ret if i.op_count() == 0 => return Ok(Some(Flow::Jump(self.pop()?))),
            Jmp => return Ok(Some(Flow::Jump(self.target(i)?))),
            Jrcxz => return Ok(Some(if self.gpr[RCX] == 0 { Flow::Jump(self.target(i)?) } else { Flow::Next })),
            Nop | Endbr64 | Lfence | Mfence | Sfence | Pause => {}
            Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2 | Prefetchw => {}
            Ud2 => return Err("a trap".to_owned()),
            _ if i.is_jcc_short_or_near() => {
                let taken = self.condition(i.condition_code());
                return Ok(Some(if taken { Flow::Jump(i.near_branch_target()) } else { Flow::Next }));
            }
            m if i.condition_code() != ConditionCode::None => {
                let holds = self.condition(i.condition_code());
                if Self::is_cmov(m) {
                    // Memory is read in any case, and a 32-bit register's upper half cleared.
                    let (old, new) = (self.scalar(i, 0)?, self.scalar(i, 1)?);
                    self.set_scalar(i, if holds { new } else { old })?;
                } else if i.op_count() == 1 {
                    self.set_scalar(i, u64::from(holds))?;
                } else {
                    return crate::unknown(i);
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(Flow::Next))
    }

    fn is_cmov(m: Mnemonic) -> bool {
        use Mnemonic::*;
        matches!(
            m,
            Cmova
                | Cmovae
                | Cmovb
                | Cmovbe
                | Cmove
                | Cmovg
                | Cmovge
                | Cmovl
                | Cmovle
                | Cmovne
                | Cmovno
                | Cmovnp
                | Cmovns
                | Cmovo
                | Cmovp
                | Cmovs
        )
    }

    fn target(&self, i: &Instruction) -> Step<u64> {
        match i.op0_kind() {
            OpKind::NearBranch64 => Ok(i.near_branch_target()),
            _ => self.scalar(i, 0),
        }
    }
}
