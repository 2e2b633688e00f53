//! Machine code as text, for people and for mnemonic checks.

use crate::isa::Isa;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use std::fmt::Write;

/// Disassembles x86-64 code, one instruction per line with its offset. Constants behind the code are
/// shown as data once decoding meets bytes past the last return.
pub fn x86(code: &[u8], isa: Isa) -> String {
    debug_assert!(isa != Isa::Neon);
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_branch_leading_zeros(false);
    let mut out = String::new();
    let mut text = String::new();
    for instruction in Decoder::with_ip(64, code, 0, DecoderOptions::NONE).iter() {
        text.clear();
        formatter.format(&instruction, &mut text);
        // Writing to a String does not fail.
        let _ = writeln!(out, "{:5x}: {text}", instruction.ip());
    }
    out
}
