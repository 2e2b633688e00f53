//! Machine code for addresses that the caller chooses, not linked into this process: what an emulator
//! runs, for instruction sets that this machine does not have.

use crate::clif::{self, Inside};
use crate::error::CodegenError;
use crate::frame::FrameLayout;
use crate::host::HostFn;
use crate::isa::Isa;
use crate::module::{self, Emitters};
use crate::schedule::schedule;
use cranelift_codegen::Context;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::ExternalName;
use cranelift_codegen::{FinalizedMachReloc, FinalizedRelocTarget};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::default_libcall_names;
use rusttorch_ir::id::ValueId;
use rusttorch_ir::kernel::Kernel;

/// A compiled kernel as bytes.
#[derive(Clone, Debug)]
pub struct Image {
    /// What was compiled (after expansion).
    pub kernel: Kernel,
    /// Where things are in the frame.
    pub layout: FrameLayout,
    /// Per phase, the values that its strip keeps in tiles; None for a strip without tiles.
    pub tiles: Vec<Option<Vec<ValueId>>>,
    /// The instruction set it was made for.
    pub isa: Isa,
    /// Code and constants, read-only, to be put at the base address.
    pub code: Vec<u8>,
    /// Per phase, the offset of its entry in `code`.
    pub entries: Vec<usize>,
}

/// Compiles a verified kernel for any instruction set, to run at `base` (a multiple of 64) among host
/// functions at the addresses that `host` tells.
pub fn image(
    kernel: &Kernel,
    isa: Isa,
    emitters: Emitters,
    base: u64,
    host: &dyn Fn(HostFn) -> u64,
) -> Result<Image, CodegenError> {
    let target = isa.target()?;
    let kernel = module::expanded(kernel).into_owned();
    let programs = schedule(&kernel)?;
    let (mut code, mut entries) = (Vec::new(), Vec::new());
    for program in &programs {
        let mut context = Context::new();
        context.func.signature = clif::entry_signature(target.default_call_conv());
        let mut strip = None;
        let inside = match module::wide_strip(&kernel, program, isa, host, emitters)? {
            Ok(bytes) => {
                code.resize(code.len().next_multiple_of(64), 0);
                let at = code.len();
                code.extend_from_slice(&bytes.bytes);
                if program.nest.is_empty() {
                    entries.push(at);
                    continue;
                }
                strip = Some(base + at as u64);
                Inside::Call(clif::import_strip(&mut context.func, target.default_call_conv()))
            }
            Err(_) => Inside::Strip,
        };
        let mut builder = FunctionBuilderContext::new();
        let has_fma = isa != Isa::Baseline;
        clif::emit_phase(&mut context.func, &mut builder, &*target, has_fma, host, &kernel, program, &inside)?;
        let compiled = context
            .compile(&*target, &mut ControlPlane::default())
            .map_err(|e| CodegenError::internal(format!("{:?}", e.inner)))?;
        code.resize(code.len().next_multiple_of(64), 0);
        entries.push(code.len());
        let at = base + code.len() as u64;
        let mut bytes = compiled.code_buffer().to_vec();
        for reloc in compiled.buffer.relocs() {
            relocate(&mut bytes, at, reloc, host, strip)?;
        }
        code.append(&mut bytes);
    }
    let tiles = programs.iter().map(|p| p.strip.tile_values()).collect();
    Ok(Image { layout: FrameLayout::new(&kernel), tiles, kernel, isa, code, entries })
}

/// Writes the address that a relocation of a function at `at` asks for; `strip` is what it calls inside its
/// nest.
fn relocate(
    bytes: &mut [u8],
    at: u64,
    reloc: &FinalizedMachReloc,
    host: &dyn Fn(HostFn) -> u64,
    strip: Option<u64>,
) -> Result<(), CodegenError> {
    let unknown = || CodegenError::internal(format!("a relocation of an image: {reloc:?}"));
    let target = match &reloc.target {
        FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) => {
            host(HostFn::of_libcall(&default_libcall_names()(*call)).ok_or_else(unknown)?)
        }
        FinalizedRelocTarget::Func(offset) => at + u64::from(*offset),
        FinalizedRelocTarget::ExternalName(ExternalName::User(_)) => strip.ok_or_else(unknown)?,
        FinalizedRelocTarget::ExternalName(_) => return Err(unknown()),
    };
    let target = target.wrapping_add_signed(reloc.addend);
    let field = &mut bytes[reloc.offset as usize..];
    let distance = target.wrapping_sub(at + u64::from(reloc.offset)) as i64;
    match reloc.kind {
        Reloc::Abs8 => field[..8].copy_from_slice(&target.to_le_bytes()),
        Reloc::X86PCRel4 | Reloc::X86CallPCRel4 => {
            let near = i32::try_from(distance).map_err(|_| unknown())?;
            field[..4].copy_from_slice(&near.to_le_bytes());
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusttorch_ir::kernel::parse::parse;

    /// Code differs only where it holds an address, so that what runs in an emulator is what runs here.
    #[test]
    fn host_functions_are_where_the_caller_says() {
        let text = "rtir 1
kernel @calls(x: f32 in, i: i64 in, y: f32 out) syms 1 {
  phase [i0 < s0] {
    nest {
      %0 = load.i64 i[i0]
      %1 = check %0, size s0
      %2 = load.f32 x[%1]
      %3 = call.erf.f32 %2
      %4 = fma.f32 %3, %2, %2
      store y[i0], %4
    }
  }
}
";
        let kernel = parse(text).unwrap_or_else(|e| panic!("{e}"));
        for (isa, _) in Isa::NAMES {
            let at = |place: u64| {
                let host = move |f: HostFn| place + 16 * f as u64;
                image(&kernel, isa, Emitters::Widest, 0x40_0000, &host).unwrap_or_else(|e| panic!("{isa}: {e}"))
            };
            let (one, other) = (at(0x1111_1111_0000), at(0x2222_2222_0000));
            assert_eq!((one.entries.as_slice(), one.code.len()), ([0].as_slice(), other.code.len()), "{isa}");
            let differ = one.code.iter().zip(&other.code).filter(|(a, b)| a != b).count();
            assert!(differ > 0 && differ.is_multiple_of(2), "{isa}: {differ} bytes");
            let wanted = |f: HostFn| (0x1111_1111_0000 + 16 * f as u64).to_le_bytes();
            let holds = |f| one.code.windows(8).any(|w| w == wanted(f));
            // Full-width strips note failures themselves; aarch64 builds addresses in pieces.
            assert_eq!(holds(HostFn::RecordFailure), isa == Isa::Baseline, "{isa}");
            assert_eq!(holds(HostFn::CallF32), isa != Isa::Neon, "{isa}");
            assert_eq!(holds(HostFn::FmaF32), isa == Isa::Baseline, "{isa}");
        }
    }
}
