//! Which machine code is made for: the host's Cranelift target, capped.

use crate::error::CodegenError;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use std::fmt;
use target_lexicon::{Architecture, Triple};

/// Instruction-set levels on x86-64; other machines have one level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Isa {
    /// x86-64-v2: 128 bits, `fma` by library call.
    Baseline,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, VL, DQ, BW.
    Avx512,
    /// And AVX512-BF16, which rounds to bfloat16.
    Avx512Bf16,
    /// aarch64 NEON.
    Neon,
}

impl Isa {
    /// All levels with their names.
    pub const NAMES: [(Isa, &'static str); 5] = [
        (Isa::Baseline, "baseline"),
        (Isa::Avx2, "avx2"),
        (Isa::Avx512, "avx512"),
        (Isa::Avx512Bf16, "avx512_bf16"),
        (Isa::Neon, "neon"),
    ];

    /// Name, as in `RUSTTORCH_MAX_ISA`.
    pub fn name(self) -> &'static str {
        Isa::NAMES.iter().find(|(i, _)| *i == self).expect("every level has a name").1
    }

    /// Whether vectors have 512 bits.
    pub fn is_512(self) -> bool {
        matches!(self, Isa::Avx512 | Isa::Avx512Bf16)
    }

    /// The level of this name.
    pub fn parse(name: &str) -> Option<Isa> {
        Isa::NAMES.iter().find(|(_, n)| *n == name).map(|(i, _)| *i)
    }

    /// The best level this machine can run; None where there is no code generator for it.
    pub fn host() -> Option<Isa> {
        #[cfg(target_arch = "x86_64")]
        {
            if !is_x86_feature_detected!("sse4.2")
                || !is_x86_feature_detected!("ssse3")
                || !is_x86_feature_detected!("popcnt")
            {
                return None;
            }
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw");
            Some(if avx512 && is_x86_feature_detected!("avx512bf16") {
                Isa::Avx512Bf16
            } else if avx512 {
                Isa::Avx512
            } else if avx2 {
                Isa::Avx2
            } else {
                Isa::Baseline
            })
        }
        #[cfg(target_arch = "aarch64")]
        {
            Some(Isa::Neon)
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            None
        }
    }

    /// The level to use under a cap: the host's, no wider than `cap`.
    pub fn capped(cap: Option<Isa>) -> Option<Isa> {
        let host = Isa::host()?;
        match cap {
            Some(cap) if host != Isa::Neon && cap != Isa::Neon => Some(host.min(cap)),
            _ => Some(host),
        }
    }

    /// The Cranelift target of this level.
    pub fn target(self) -> Result<OwnedTargetIsa, CodegenError> {
        let mut flags = settings::builder();
        let mut set = |k: &str, v: &str| flags.set(k, v).map_err(CodegenError::internal);
        // Lane code arrives with common values shared and uniform ones hoisted. Cranelift's own pass would
        // place pure values at their uses, inside the lane loops: a row's statistics were computed again
        // for every group of lanes (layer_norm on 1024x1024: 3.1 ms with "speed", 1.0 ms with "none").
        set("opt_level", "none")?;
        set("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" })?;
        set("unwind_info", "false")?;
        // A frame of more than a page is touched page by page, so that none steps over the stack's guard.
        set("enable_probestack", "true")?;
        set("probestack_strategy", "inline")?;
        let triple = match self {
            Isa::Neon => Triple {
                architecture: Architecture::Aarch64(target_lexicon::Aarch64Architecture::Aarch64),
                ..Triple::host()
            },
            _ => Triple { architecture: Architecture::X86_64, ..Triple::host() },
        };
        let mut builder = isa::lookup(triple).map_err(CodegenError::internal)?;
        let mut enable = |f: &str| builder.enable(f).map_err(CodegenError::internal);
        if self != Isa::Neon {
            for f in ["has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt"] {
                enable(f)?;
            }
            if self >= Isa::Avx2 {
                for f in ["has_avx", "has_avx2", "has_fma", "has_bmi1", "has_bmi2", "has_lzcnt"] {
                    enable(f)?;
                }
            }
            if self.is_512() {
                for f in ["has_avx512f", "has_avx512vl", "has_avx512dq"] {
                    enable(f)?;
                }
            }
        }
        builder.finish(settings::Flags::new(flags)).map_err(CodegenError::internal)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
