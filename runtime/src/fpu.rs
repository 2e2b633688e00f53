//! The floating-point control word around kernels.
//!
//! Kernels are defined under IEEE arithmetic: round to nearest, subnormals kept, no traps. A host
//! program may have set flush-to-zero on a thread (`torch.set_flush_denormal`), and threads inherit
//! it, so each thread that runs kernels sets the default word first and restores the old one after.
//!
//! Unsafe: reading and writing the control register has no other form.
#![allow(unsafe_code)]

use std::marker::PhantomData;

/// Holds the default control word on the current thread; dropping it restores the word found.
#[must_use = "the word is restored when the guard drops"]
pub struct FpuGuard {
    /// The word found, when it had to be replaced.
    saved: Option<Word>,
    /// The register belongs to a thread: the guard may not leave it.
    _thread: PhantomData<*const ()>,
}

impl FpuGuard {
    /// Sets the default word. A read and a comparison when it is set already.
    #[inline]
    pub fn new() -> FpuGuard {
        let found = read();
        let replace = found & CONTROL != DEFAULT;
        if replace {
            write(DEFAULT);
        }
        FpuGuard { saved: replace.then_some(found), _thread: PhantomData }
    }
}

impl Default for FpuGuard {
    fn default() -> Self {
        FpuGuard::new()
    }
}

impl Drop for FpuGuard {
    #[inline]
    fn drop(&mut self) {
        if let Some(word) = self.saved {
            write(word);
        }
    }
}

/// Sets the default word for the rest of the thread's life: for threads of our own.
pub fn set_default() {
    std::mem::forget(FpuGuard::new());
}

/// True when the current thread computes under the default word.
pub fn is_default() -> bool {
    read() & CONTROL == DEFAULT
}

#[cfg(target_arch = "x86_64")]
mod word {
    use std::arch::asm;

    pub type Word = u32;
    /// All exceptions masked, round to nearest, subnormals kept.
    pub const DEFAULT: Word = 0x1F80;
    /// All but the six sticky status bits.
    pub const CONTROL: Word = !0x3F;

    #[inline]
    pub fn read() -> Word {
        let mut word: Word = 0;
        // SAFETY: stores four bytes to `word`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
        word
    }

    #[inline]
    pub fn write(word: Word) {
        // SAFETY: `word` is DEFAULT or was read from the register, so no reserved bit is set. Rust assumes the
        // default environment; a non-default word is only ever put back where the host program had set it.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags, readonly)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod word {
    use std::arch::asm;

    pub type Word = u64;
    /// Round to nearest, subnormals kept, no traps.
    pub const DEFAULT: Word = 0;
    /// FPCR holds no status.
    pub const CONTROL: Word = !0;

    #[inline]
    pub fn read() -> Word {
        let word: Word;
        // SAFETY: FPCR is readable from user code.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }

    #[inline]
    pub fn write(word: Word) {
        // SAFETY: `word` is zero or was read from the register; see the other write.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod word {
    pub type Word = u8;
    pub const DEFAULT: Word = 0;
    pub const CONTROL: Word = 0;

    pub fn read() -> Word {
        0
    }

    pub fn write(_: Word) {}
}

use word::{CONTROL, DEFAULT, Word, read, write};

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_guard_restores_what_it_found() {
        const FLUSH: Word = 0x8040;
        let before = read();
        write(DEFAULT | FLUSH);
        {
            let _outer = FpuGuard::new();
            assert!(is_default());
            let _inner = FpuGuard::new();
            // Sticky status bits may change without the word being another.
            assert!(is_default());
        }
        assert_eq!(read() & FLUSH, FLUSH);
        write(before);
    }
}
