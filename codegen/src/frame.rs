//! The frame: the array of 8-byte slots through which a launch talks to a compiled kernel.
//!
//! Entry of a phase: `extern "C" fn(frame: *const u64)`. A frame belongs to one worker; the ranges of
//! the outer axes in it are that worker's share. Slots, in order:
//!
//! | slots | hold |
//! |---|---|
//! | 1 | pointer to the launch's [`ErrorRecord`] |
//! | 1 | lanes per tile of a tiled strip, a positive multiple of 16 |
//! | one per buffer | pointer to its element 0 |
//! | one per buffer | the index of its first element, below 0 when it goes backwards |
//! | one per buffer | its length in elements (masked accesses are held within begin and length) |
//! | one per symbol | i64 |
//! | one per run-time number | in the low bytes, of its dtype |
//! | two per axis | begin and end of the worker's share (outer axes; others are not read) |
//! | one per value | pointer to a tile of it, for values that live across segments of a tiled strip |

use rusttorch_ir::id::{AxisId, BufferId, ScalarId, SymId, ValueId};
use rusttorch_ir::kernel::Kernel;

/// Where things are in a kernel's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLayout {
    buffers: usize,
    syms: usize,
    scalars: usize,
    axes: usize,
    values: usize,
}

impl FrameLayout {
    /// Slot of the error record's pointer.
    pub const ERROR: usize = 0;
    /// Slot of the tile width.
    pub const TILE: usize = 1;

    /// The layout for a kernel.
    pub fn new(k: &Kernel) -> FrameLayout {
        FrameLayout {
            buffers: k.buffers.len(),
            syms: k.syms,
            scalars: k.scalars.len(),
            axes: k.axes.len(),
            values: k.values.len(),
        }
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.value(ValueId::new(self.values))
    }

    /// Never: a frame has fixed slots.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Slot of a buffer's pointer.
    pub fn buffer(&self, b: BufferId) -> usize {
        2 + b.index()
    }

    /// Slot of the index of a buffer's first element.
    pub fn begin(&self, b: BufferId) -> usize {
        2 + self.buffers + b.index()
    }

    /// Slot of a buffer's length.
    pub fn length(&self, b: BufferId) -> usize {
        2 + 2 * self.buffers + b.index()
    }

    /// Slot of a symbol.
    pub fn sym(&self, s: SymId) -> usize {
        2 + 3 * self.buffers + s.index()
    }

    /// Slot of a run-time number.
    pub fn scalar(&self, s: ScalarId) -> usize {
        2 + 3 * self.buffers + self.syms + s.index()
    }

    /// Slot of the begin of an axis' share; its end is the next slot.
    pub fn axis(&self, a: AxisId) -> usize {
        2 + 3 * self.buffers + self.syms + self.scalars + 2 * a.index()
    }

    /// Slot of the pointer to a value's tile.
    pub fn value(&self, v: ValueId) -> usize {
        2 + 3 * self.buffers + self.syms + self.scalars + 2 * self.axes + v.index()
    }
}

/// Where compiled code notes the first failed check. Every worker has its own record; launch keeps
/// the one of the lowest [`ErrorRecord::key`].
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRecord {
    /// 0: none, 1: index out of range, 2: integer division by zero.
    pub kind: u64,
    /// Which check, numbered in the kernel's text order.
    pub site: u64,
    /// Row-major number of the iteration.
    pub position: u64,
    /// The index that was out of range.
    pub value: i64,
    /// The size it was checked against.
    pub size: i64,
}

impl ErrorRecord {
    /// Of several failures of a phase, that of the lowest key is told.
    pub fn key(&self) -> (u64, u64, i64, i64) {
        (self.position, self.site, self.value, self.size)
    }
}
