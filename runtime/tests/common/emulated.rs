//! Runs cases under the emulator of `codegen/emulator`.

use super::Case;
use super::space::{Space, failure, host_at};
use rusttorch_codegen::{Emitters, ErrorRecord, HostFn, Isa};
use rusttorch_emulator::Machine;
use rusttorch_ir::kernel::interp::Array;
use rusttorch_ir::kernel::random::Rng;
use rusttorch_ir::kernel::{Func, ScalarFn};
use rusttorch_runtime::launch::LaunchError;

/// Instructions that one phase may run.
const LIMIT: u64 = 200_000_000;

/// What a call may not leave alone: everything that the convention does not save.
fn scramble(m: &mut Machine, rng: &mut Rng, registers: &[usize]) {
    registers.iter().for_each(|&r| m.gpr[r] = rng.bits());
    m.k.iter_mut().for_each(|k| *k = rng.bits());
    for v in &mut m.zmm {
        v[..8].copy_from_slice(&rng.bits().to_le_bytes());
        v[8..16].copy_from_slice(&rng.bits().to_le_bytes());
        // As after `vzeroupper`.
        v[16..].fill(0);
    }
}

fn f32_of(m: &Machine, n: usize) -> f32 {
    f32::from_le_bytes(m.zmm[n][..4].try_into().expect("four bytes"))
}

fn f64_of(m: &Machine, n: usize) -> f64 {
    f64::from_le_bytes(m.zmm[n][..8].try_into().expect("eight bytes"))
}

/// The functions of the host, over the machine's registers and memory.
fn call_host(f: HostFn, m: &mut Machine, rng: &mut Rng) -> Result<(), String> {
    const RDI: usize = 7;
    let mut result = [0u8; 8];
    match f {
        HostFn::RecordFailure => {
            let record = m.gpr[RDI];
            let [kind, site, position, value, size] = [6, 2, 1, 8, 9].map(|r| m.gpr[r]);
            let old = |n: u64| m.memory.read_int(record + 8 * n, 8);
            if old(0)? == 0 || (position, site) < (old(2)?, old(1)?) {
                let bytes: Vec<u8> = [kind, site, position, value, size].iter().flat_map(|w| w.to_le_bytes()).collect();
                m.memory.write(record, &bytes)?;
            }
        }
        HostFn::CallF32 => {
            let (a, b) = (f32_of(m, 0), f32_of(m, 1));
            let v = match Func::ALL[m.gpr[RDI] as usize].f32() {
                ScalarFn::Unary(f) => f(a),
                ScalarFn::Binary(f) => f(a, b),
            };
            result[..4].copy_from_slice(&v.to_le_bytes());
        }
        HostFn::CallF64 => {
            let (a, b) = (f64_of(m, 0), f64_of(m, 1));
            let v = match Func::ALL[m.gpr[RDI] as usize].f64() {
                ScalarFn::Unary(f) => f(a),
                ScalarFn::Binary(f) => f(a, b),
            };
            result = v.to_le_bytes();
        }
        HostFn::FmaF32 => {
            let v = f32_of(m, 0).mul_add(f32_of(m, 1), f32_of(m, 2));
            result[..4].copy_from_slice(&v.to_le_bytes());
        }
        HostFn::FmaF64 => result = f64_of(m, 0).mul_add(f64_of(m, 1), f64_of(m, 2)).to_le_bytes(),
    }
    scramble(m, rng, &[0, 1, 2, 6, 7, 8, 9, 10, 11]);
    m.zmm[0][..8].copy_from_slice(&result);
    Ok(())
}

impl Case {
    /// What machine code of an instruction set leaves under the emulator; tiles are `tile` lanes wide.
    pub fn emulate(
        &self,
        isa: Isa,
        emitters: Emitters,
        tile: usize,
    ) -> Result<(Vec<Array>, Option<LaunchError>, Machine), String> {
        let mut space = Space::new(self, isa, emitters, tile).map_err(|e| format!("{isa}: {e}\n{}", self.kernel))?;
        let mut machine = Machine::new(std::mem::take(&mut space.memory));
        let mut rng = Rng::new(7);
        let mut error = None;
        for &(entry, frame) in &space.calls {
            let all: Vec<usize> = (0..16).filter(|&r| r != 4).collect();
            scramble(&mut machine, &mut rng, &all);
            machine.gpr[7] = frame;
            let mut hosts = |address, m: &mut Machine| host_at(address).map(|f| call_host(f, m, &mut rng));
            machine
                .call(entry, space.stack, LIMIT, &mut hosts)
                .map_err(|fault| format!("{isa}: {fault}\n{}", self.kernel))?;
            // Code that others run next is slow while upper halves are in use.
            if machine.zmm[..16].iter().any(|v| v[16..].iter().any(|&b| b != 0)) {
                return Err(format!("{isa}: upper halves of vector registers are left in use\n{}", self.kernel));
            }
            let record = machine.memory.read(space.record, size_of::<ErrorRecord>())?;
            error = failure(record);
            if error.is_some() {
                break;
            }
        }
        let read = |at, len| machine.memory.read(at, len).expect("an argument's region").to_vec();
        Ok((space.arrays(self, read), error, machine))
    }

    /// Compares machine code under the emulator with the interpreter.
    pub fn check_emulated(&self, isa: Isa, emitters: Emitters, tile: usize) -> Result<Machine, String> {
        let (want, error) = self.interpret()?;
        let (got, got_error, machine) = self.emulate(isa, emitters, tile)?;
        self.compare(&want, &error, &got, &got_error)
            .map_err(|what| format!("{isa}, emulated: {what}; symbols {:?}\n{}", self.syms, self.kernel))?;
        Ok(machine)
    }
}
