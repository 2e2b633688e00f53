//! A kernel laid out in an address space of its own, as a launch of one share would lay it out here: for
//! running under an emulator what this machine cannot run. Every buffer, tile and table is a region by itself
//! with nothing after it, so that an access past its end is seen.

use super::Case;
use rusttorch_codegen::{CodegenError, Emitters, ErrorRecord, FrameLayout, HostFn, Image, Isa, image};
use rusttorch_emulator::{Memory, Region};
use rusttorch_ir::id::{AxisId, BufferId, ScalarId, SymId, ValueId};
use rusttorch_ir::index::IndexExpr;
use rusttorch_ir::kernel::interp::Array;
use rusttorch_ir::kernel::{BufferKind, Kernel, Op};
use rusttorch_runtime::launch::LaunchError;

/// Where code is; the functions that it calls follow.
pub const CODE: u64 = 0x10_0000;
const HOST: u64 = 0x1000_0000;
const FIRST: u64 = 0x2000_0000;
const PAGE: u64 = 0x1000;
const STACK: usize = 256 << 10;

/// Where machine code finds a function of the host.
pub fn host_address(f: HostFn) -> u64 {
    HOST + 64 * f as u64
}

/// The function at an address.
pub fn host_at(address: u64) -> Option<HostFn> {
    HostFn::ALL.into_iter().find(|&f| host_address(f) == address)
}

/// A kernel with its memory.
pub struct Space {
    pub image: Image,
    pub memory: Memory,
    /// Entry and frame of every phase that has work, in order.
    pub calls: Vec<(u64, u64)>,
    /// Upper end of the stack.
    pub stack: u64,
    /// Address of the error record.
    pub record: u64,
    /// Address of every argument's first byte.
    pub args: Vec<u64>,
}

/// Gives regions addresses, each on pages of its own and flush with the end of the last one.
struct Placer {
    memory: Memory,
    next: u64,
}

impl Placer {
    fn place(&mut self, name: &str, bytes: Vec<u8>, align: u64, writable: bool) -> u64 {
        let len = bytes.len() as u64;
        let end = (self.next + len).next_multiple_of(PAGE);
        let start = (end - len) / align * align;
        self.next = end + PAGE;
        self.memory.add(Region { start, bytes, writable, name: name.to_owned() });
        start
    }
}

fn value_of(e: &IndexExpr, syms: &[i64]) -> i64 {
    match e.range(&|_| (0, 0), &|s| syms[s.index()], &|_| (0, 0)) {
        Some((a, b)) if a == b && a >= 0 => a,
        _ => panic!("{e} is no size"),
    }
}

fn rows(k: &Kernel, phase: usize) -> Vec<BufferId> {
    let mut rows = Vec::new();
    for inst in k.phases[phase].nests.iter().flat_map(|n| &n.body) {
        if let Op::Load { buffer, .. } | Op::Store { buffer, .. } = &inst.op
            && matches!(k.buffers[buffer.index()].kind, BufferKind::Row(_))
            && !rows.contains(buffer)
        {
            rows.push(*buffer);
        }
    }
    rows
}

impl Space {
    /// Lays out a case for an instruction set and a choice of emitters, tiles being `tile` lanes wide.
    pub fn new(case: &Case, isa: Isa, emitters: Emitters, tile: usize) -> Result<Space, CodegenError> {
        let image = image(&case.kernel, isa, emitters, CODE, &host_address)?;
        let k = &image.kernel;
        let layout = image.layout;
        let mut p = Placer { memory: Memory::default(), next: FIRST };
        p.memory.add(Region { start: CODE, bytes: image.code.clone(), writable: false, name: "code".to_owned() });
        let record = p.place("error record", vec![0; size_of::<ErrorRecord>()], 8, true);
        let stack = p.place("stack", vec![0; STACK], 16, true) + STACK as u64;
        let mut frame = vec![0u64; layout.len()];
        frame[FrameLayout::ERROR] = record;
        frame[FrameLayout::TILE] = tile as u64;
        let mut args = Vec::new();
        for (i, (array, low)) in case.args.iter().zip(&case.lows).enumerate() {
            let b = &k.buffers[i];
            let size = b.dtype.size() as i64;
            let at = p.place(&b.name, array.bytes().to_vec(), size as u64, b.kind != BufferKind::In);
            let id = BufferId::new(i);
            frame[layout.buffer(id)] = at.wrapping_add_signed(-low * size);
            frame[layout.begin(id)] = *low as u64;
            frame[layout.length(id)] = array.len() as u64;
            args.push(at);
        }
        for (i, b) in k.buffers.iter().enumerate() {
            if let BufferKind::Temp(len) | BufferKind::Row(len) = &b.kind {
                let len = value_of(len, &case.syms) as usize;
                let id = BufferId::new(i);
                frame[layout.length(id)] = len as u64;
                if matches!(b.kind, BufferKind::Temp(_)) {
                    frame[layout.buffer(id)] = p.place(&b.name, vec![0; len * b.dtype.size()], 64, true);
                }
            }
        }
        for (i, &s) in case.syms.iter().enumerate() {
            frame[layout.sym(SymId::new(i))] = s as u64;
        }
        for (i, s) in case.scalars.iter().enumerate() {
            frame[layout.scalar(ScalarId::new(i))] = s.bits;
        }
        let mut calls = Vec::new();
        for n in 0..k.phases.len() {
            let mut frame = frame.clone();
            let mut work = true;
            for &a in &k.phases[n].axes {
                let extent = value_of(&k.axes[AxisId::index(a)], &case.syms);
                work &= extent > 0;
                frame[layout.axis(a)] = 0;
                frame[layout.axis(a) + 1] = extent as u64;
            }
            if !work {
                continue;
            }
            let tiles: Option<&[ValueId]> = image.tiles[n].as_deref();
            let lanes = if tiles.is_some() { tile } else { 1 };
            for id in rows(k, n) {
                let b = &k.buffers[id.index()];
                let len = frame[layout.length(id)] as usize * lanes * b.dtype.size();
                frame[layout.buffer(id)] = p.place(&b.name, vec![0xa5; len], 64, true);
            }
            for &v in tiles.unwrap_or_default() {
                let len = lanes * k.dtype(v).size();
                frame[layout.value(v)] = p.place(&format!("tile of {v}"), vec![0xa5; len], 64, true);
            }
            let bytes = frame.iter().flat_map(|w| w.to_le_bytes()).collect();
            let at = p.place(&format!("frame of phase {n}"), bytes, 8, false);
            calls.push((CODE + image.entries[n] as u64, at));
        }
        Ok(Space { memory: p.memory, calls, stack, record, args, image })
    }

    /// What the arguments hold, read from memory by `read`.
    pub fn arrays(&self, case: &Case, read: impl Fn(u64, usize) -> Vec<u8>) -> Vec<Array> {
        let read = |(a, &at): (&Array, &u64)| Array::from_bytes(a.dtype(), read(at, a.bytes().len()));
        case.args.iter().zip(&self.args).map(read).collect()
    }
}

/// An error record as memory holds it.
pub fn failure(bytes: &[u8]) -> Option<LaunchError> {
    let word = |n: usize| u64::from_le_bytes(bytes[8 * n..8 * n + 8].try_into().expect("eight bytes"));
    match word(0) {
        0 => None,
        1 => Some(LaunchError::Index { value: word(3) as i64, size: word(4) as i64, site: word(1) as usize }),
        _ => Some(LaunchError::ZeroDivision),
    }
}
