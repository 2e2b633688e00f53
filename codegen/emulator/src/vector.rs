//! The order in which the vector instructions are looked for.

use crate::{Machine, Step, unknown};
use iced_x86::Instruction;

impl Machine {
    pub(crate) fn vector(&mut self, i: &Instruction, legacy: bool) -> Step {
        let known = self.moves(i, legacy)?
            || self.float(i, legacy)?
            || self.packed(i, legacy)?
            || self.shuffle(i, legacy)?
            || self.convert(i, legacy)?
            || self.masks(i)?;
        if known { Ok(()) } else { unknown(i) }
    }
}
