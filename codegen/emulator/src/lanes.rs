//! Operands as lanes, and results under masks: what all vector instructions share.

use crate::{Machine, Step, Vector, is_memory};
use iced_x86::{Instruction, OpKind, Register};

/// Lane `n` of elements of `size` bytes.
pub(crate) fn get(v: &[u8], size: usize, n: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..size].copy_from_slice(&v[n * size..(n + 1) * size]);
    u64::from_le_bytes(bytes)
}

/// Writes the low bytes of a number into a lane.
pub(crate) fn put(v: &mut [u8], size: usize, n: usize, value: u64) {
    v[n * size..(n + 1) * size].copy_from_slice(&value.to_le_bytes()[..size]);
}

/// Number of operands before immediates.
fn vectors(i: &Instruction) -> u32 {
    (0..i.op_count()).filter(|&o| matches!(i.op_kind(o), OpKind::Register | OpKind::Memory)).count() as u32
}

/// Operand `n` of `arity`: the last ones, so that the destination is the first source of two-operand forms.
fn source(i: &Instruction, arity: u32, n: u32) -> u32 {
    vectors(i) - arity + n
}

/// Bytes of a vector operand; of a broadcast, of what it is broadcast to.
pub(crate) fn width(i: &Instruction, operand: u32) -> usize {
    if !is_memory(i, operand) {
        return i.op_register(operand).size();
    }
    if i.is_broadcast() {
        let name = format!("{:?}", i.memory_size());
        return [128, 256, 512].into_iter().find(|w| name.contains(&format!("Broadcast{w}"))).unwrap_or(0) / 8;
    }
    i.memory_size().size()
}

impl Machine {
    /// Lanes that the instruction's mask leaves on.
    pub(crate) fn enabled(&self, i: &Instruction) -> u64 {
        match i.op_mask() {
            Register::None => !0,
            k => self.k[k.number()],
        }
    }

    pub(crate) fn vector_register(&self, r: Register) -> Vector {
        self.zmm[r.number()]
    }

    /// A vector operand of `count` elements; of memory, only lanes in `on` are read.
    pub(crate) fn lanes(
        &self,
        i: &Instruction,
        legacy: bool,
        operand: u32,
        size: usize,
        count: usize,
        on: u64,
    ) -> Step<Vector> {
        if !is_memory(i, operand) {
            return Ok(self.vector_register(i.op_register(operand)));
        }
        let address = self.address(i);
        let mut v = [0; 64];
        if i.is_broadcast() {
            // All lanes off: the element is not read.
            if on & mask_of(count) != 0 {
                let element = self.memory.read_int(address, size)?;
                (0..count).for_each(|n| put(&mut v, size, n, element));
            }
            return Ok(v);
        }
        if legacy && size * count == 16 && !address.is_multiple_of(16) {
            return Err(format!("an unaligned operand at {address:#x}"));
        }
        if on & mask_of(count) == mask_of(count) {
            v[..size * count].copy_from_slice(self.memory.read(address, size * count)?);
            return Ok(v);
        }
        for n in (0..count).filter(|n| on >> n & 1 == 1) {
            put(&mut v, size, n, self.memory.read_int(address.wrapping_add((n * size) as u64), size)?);
        }
        Ok(v)
    }

    /// Writes the first operand, a register, under the instruction's mask.
    pub(crate) fn write_lanes(&mut self, i: &Instruction, legacy: bool, size: usize, count: usize, value: &Vector) {
        let on = self.enabled(i);
        let old = self.vector_register(i.op0_register());
        let mut new = [0; 64];
        for n in 0..count {
            let lane = match on >> n & 1 {
                1 => get(value, size, n),
                _ if i.zeroing_masking() => 0,
                _ => get(&old, size, n),
            };
            put(&mut new, size, n, lane);
        }
        if legacy {
            new[16..].copy_from_slice(&old[16..]);
        }
        self.zmm[i.op0_register().number()] = new;
    }

    /// Writes the lanes of `on` to memory.
    pub(crate) fn store_lanes(&mut self, address: u64, size: usize, count: usize, on: u64, value: &Vector) -> Step {
        if on & mask_of(count) == mask_of(count) {
            return self.memory.write(address, &value[..size * count]);
        }
        for n in (0..count).filter(|n| on >> n & 1 == 1) {
            self.memory.write(address.wrapping_add((n * size) as u64), &value[n * size..(n + 1) * size])?;
        }
        Ok(())
    }

    /// Lane by lane, as many as the destination has.
    pub(crate) fn each(
        &mut self,
        i: &Instruction,
        legacy: bool,
        size: usize,
        arity: u32,
        f: impl Fn([u64; 3]) -> u64,
    ) -> Step {
        let count = width(i, 0) / size;
        let on = self.enabled(i);
        let mut operands = [[0; 64]; 3];
        for n in 0..arity {
            operands[n as usize] = self.lanes(i, legacy, source(i, arity, n), size, count, on)?;
        }
        let mut r = [0; 64];
        for n in (0..count).filter(|n| on >> n & 1 == 1) {
            put(&mut r, size, n, f([0, 1, 2].map(|o| get(&operands[o], size, n))));
        }
        self.write_lanes(i, legacy, size, count, &r);
        Ok(())
    }

    /// Lane 0 alone, the rest of 16 bytes being that of the first source.
    pub(crate) fn one(
        &mut self,
        i: &Instruction,
        legacy: bool,
        size: usize,
        arity: u32,
        f: impl Fn([u64; 3]) -> u64,
    ) -> Step {
        let on = self.enabled(i) & 1;
        let mut operands = [0; 3];
        for n in 0..arity {
            operands[n as usize] = get(&self.lanes(i, legacy, source(i, arity, n), size, 1, on)?, size, 0);
        }
        self.set_one(i, legacy, size, arity, f(operands));
        Ok(())
    }

    /// Writes lane 0 of the first operand as [`Machine::one`] does.
    pub(crate) fn set_one(&mut self, i: &Instruction, legacy: bool, size: usize, arity: u32, value: u64) {
        let old = self.vector_register(i.op0_register());
        let rest = if arity == 3 || vectors(i) == 2 { 0 } else { 1 };
        let rest = self.vector_register(i.op_register(rest));
        let mut new = [0; 64];
        new[..16].copy_from_slice(&rest[..16]);
        let lane = match self.enabled(i) & 1 {
            1 => value,
            _ if i.zeroing_masking() => 0,
            _ => get(&old, size, 0),
        };
        put(&mut new, size, 0, lane);
        if legacy {
            new[16..].copy_from_slice(&old[16..]);
        }
        self.zmm[i.op0_register().number()] = new;
    }

    /// Lane by lane from elements of `from` bytes to elements of `to` bytes, of the last operand; the first may
    /// be memory.
    pub(crate) fn change(
        &mut self,
        i: &Instruction,
        legacy: bool,
        from: usize,
        to: usize,
        f: impl Fn(u64) -> u64,
    ) -> Step {
        let operand = source(i, 1, 0);
        let count = if is_memory(i, 0) || to < from { width(i, operand) / from } else { width(i, 0) / to };
        let on = self.enabled(i);
        // No 16-byte operand of a form that widens is checked: its memory operand is narrower.
        let v = self.lanes(i, legacy, operand, from, count, on)?;
        let mut r = [0; 64];
        for n in (0..count).filter(|n| on >> n & 1 == 1) {
            put(&mut r, to, n, f(get(&v, from, n)));
        }
        if is_memory(i, 0) {
            return self.store_lanes(self.address(i), to, count, on, &r);
        }
        self.write_lanes(i, legacy, to, count, &r);
        Ok(())
    }

    /// A comparison: a mask register gets a bit per lane, a vector register all ones or none.
    pub(crate) fn compare(&mut self, i: &Instruction, legacy: bool, size: usize, f: impl Fn(u64, u64) -> bool) -> Step {
        if !i.op0_register().is_k() {
            return self.each(i, legacy, size, 2, |[a, b, _]| if f(a, b) { !0 } else { 0 });
        }
        let count = width(i, 1) / size;
        let on = self.enabled(i);
        let a = self.lanes(i, legacy, 1, size, count, on)?;
        let b = self.lanes(i, legacy, 2, size, count, on)?;
        let bits = (0..count).filter(|&n| on >> n & 1 == 1 && f(get(&a, size, n), get(&b, size, n)));
        self.k[i.op0_register().number()] = bits.fold(0, |k, n| k | 1 << n);
        Ok(())
    }

    /// Within groups of `group` bytes: element `n` of the result is what `f` makes of the group's sources.
    pub(crate) fn groups(
        &mut self,
        i: &Instruction,
        legacy: bool,
        size: usize,
        group: usize,
        arity: u32,
        f: impl Fn([&[u8]; 2], usize) -> u64,
    ) -> Step {
        let bytes = width(i, 0);
        let mut operands = [[0; 64]; 2];
        for n in 0..arity {
            operands[n as usize] = self.lanes(i, legacy, source(i, arity, n), size, bytes / size, !0)?;
        }
        let mut r = [0; 64];
        for g in (0..bytes).step_by(group.min(bytes)) {
            let end = (g + group).min(bytes);
            for n in 0..(end - g) / size {
                let value = f([&operands[0][g..end], &operands[1][g..end]], n);
                put(&mut r[g..end], size, n, value);
            }
        }
        self.write_lanes(i, legacy, size, bytes / size, &r);
        Ok(())
    }
}

/// The lowest `count` bits.
pub(crate) fn mask_of(count: usize) -> u64 {
    if count >= 64 { !0 } else { (1 << count) - 1 }
}
