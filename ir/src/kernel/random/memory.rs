//! Random loads and stores, of arguments and scratch.

use super::{Generator, SCRATCH};
use crate::dtype::{DType, Literal};
use crate::id::{AxisId, BufferId};
use crate::index::IndexExpr;
use crate::kernel::{Buffer, BufferKind, Inst, Op};
use crate::prim::Prim;

impl Generator {
    /// A new argument.
    pub(super) fn arg(&mut self, dtype: DType, kind: BufferKind, len: i64) -> BufferId {
        let name = format!("a{}", self.args.len());
        self.args.push((Buffer { name, dtype, kind }, len));
        BufferId::new(self.args.len() - 1)
    }

    pub(super) fn scratch(&mut self, dtype: DType, kind: BufferKind) -> BufferId {
        let name = format!("t{}", self.scratch.len());
        self.scratch.push(Buffer { name, dtype, kind });
        BufferId::new(SCRATCH + self.scratch.len() - 1)
    }

    pub(super) fn load(&mut self) {
        let dtype = self.dtype();
        let (index, high) = self.index();
        self.load_at(dtype, index, high);
    }

    pub(super) fn load_at(&mut self, dtype: DType, index: IndexExpr, high: i64) {
        let old = self.args.iter().position(|(b, _)| b.dtype == dtype && b.kind == BufferKind::In);
        let buffer = match old {
            Some(b) if self.rng.one_in(2) => BufferId::new(b),
            _ => self.arg(dtype, BufferKind::In, 0),
        };
        let len = &mut self.args[buffer.index()].1;
        *len = (*len).max(high + 1);
        self.emit(dtype, Op::Load { buffer, index, mask: None });
    }

    /// A load whose mask keeps it within a buffer that is shorter than the index goes.
    pub(super) fn masked_load(&mut self) {
        let dtype = self.dtype();
        let (index, high) = self.index();
        let len = 1 + high / 2;
        let buffer = self.arg(dtype, BufferKind::In, len);
        let at = self.emit(DType::I64, Op::Index(index.clone()));
        let end = self.constant(Literal::int(DType::I64, len));
        let mut mask = self.prim(Prim::Lt, DType::I64, vec![at, end]);
        if self.rng.one_in(3) {
            let other = self.value(DType::Bool);
            mask = self.prim(Prim::And, DType::Bool, vec![mask, other]);
        }
        self.emit(dtype, Op::Load { buffer, index, mask: Some(mask) });
    }

    pub(super) fn scratch_load(&mut self) {
        if self.readable.is_empty() {
            return;
        }
        let at = self.rng.below(self.readable.len());
        let (buffer, length) = self.readable[at].clone();
        let (_, len) = self.range(&length).expect("small numbers");
        if len == 0 {
            return;
        }
        let (mut index, mut high) = self.index();
        // Where the shapes agree, the load of what was stored.
        let (flat, flat_length) = self.flat(&self.inner);
        if flat_length.as_ref() == Some(&length) && !self.rng.one_in(4) {
            (index, high) = (flat, len - 1);
        }
        if high >= len {
            index = index.modulo(length);
        }
        let dtype = self.scratch[buffer.index() - SCRATCH].dtype;
        self.emit(dtype, Op::Load { buffer, index, mask: None });
    }

    /// A check of a value, and a load through it.
    pub(super) fn indirect_load(&mut self) {
        let d = self.rng.pick(&[DType::I32, DType::I64]);
        let mut value = self.value(d);
        let n = self.rng.pick(&[1, 8, 8, 10]);
        if !self.rng.one_in(4) {
            let seven = self.constant(Literal::int(d, 7));
            value = self.prim(Prim::And, d, vec![value, seven]);
        }
        let size = if self.rng.one_in(2) { IndexExpr::Sym(self.sym(n)) } else { IndexExpr::Const(n) };
        let mask = if self.rng.one_in(3) { Some(self.value(DType::Bool)) } else { None };
        let wrap = self.rng.one_in(2);
        let index = self.emit(DType::I64, Op::Check { value, size, wrap, mask });
        self.indices.push((index, n - 1));
        let e = IndexExpr::Const(self.rng.pick(&[1, 3])) * IndexExpr::Value(index);
        let e = match self.axes().last() {
            Some(&a) if self.rng.one_in(2) => e + IndexExpr::Axis(a),
            _ => e,
        };
        let (_, high) = self.range(&e).expect("small numbers");
        let dtype = self.dtype();
        self.load_at(dtype, e, high);
    }

    /// Stores a value to an argument, each point its own element, or adds up over a nest.
    pub(super) fn store(&mut self) {
        let dtype = self.dtype();
        let value = self.value(dtype);
        let mask = if self.rng.one_in(4) { Some(self.value(DType::Bool)) } else { None };
        // Nothing is added to 16-bit floats.
        let kind = if dtype.is_half() { 1 + self.rng.below(4) } else { self.rng.below(5) };
        let axes = if kind == 0 { self.outer.clone() } else { self.axes() };
        let (mut index, _) = self.flat(&axes);
        if self.rng.one_in(4) {
            // The axes column-major.
            let reversed: Vec<AxisId> = axes.into_iter().rev().collect();
            index = self.flat(&reversed).0;
        }
        let scale = self.rng.pick(&[1, 1, 1, 2]);
        index = index * IndexExpr::Const(scale) + IndexExpr::Const(self.rng.pick(&[0, 0, 1]));
        let (low, high) = self.range(&index).expect("small numbers");
        debug_assert!(low >= 0, "strides are not negative");
        let argument = if kind <= 1 { BufferKind::InOut } else { BufferKind::Out };
        let buffer = self.arg(dtype, argument, high + 1);
        let store = |value, add| Op::Store { buffer, index: index.clone(), value, mask, add };
        match kind {
            0 => self.code.push(Inst { results: Vec::new(), op: store(value, true) }),
            1 => {
                // In place.
                let old = self.emit(dtype, Op::Load { buffer, index: index.clone(), mask });
                let is_new = self.value(DType::Bool);
                let new = self.prim(Prim::Select, dtype, vec![is_new, value, old]);
                self.code.push(Inst { results: Vec::new(), op: store(new, false) });
            }
            _ => {
                self.code.push(Inst { results: Vec::new(), op: store(value, false) });
                if mask.is_none() && self.rng.one_in(3) {
                    self.emit(dtype, Op::Load { buffer, index: index.clone(), mask });
                }
            }
        }
    }

    /// Stores a value for later nests of the outer point.
    pub(super) fn store_row(&mut self) {
        let (index, Some(length)) = self.flat(&self.inner) else { return };
        let dtype = self.dtype();
        let buffer = self.scratch(dtype, BufferKind::Row(length.clone()));
        self.store_scratch(buffer, dtype, index);
        self.readable.push((buffer, length));
    }

    /// Stores a value for later phases.
    pub(super) fn store_temp(&mut self) -> Option<(BufferId, IndexExpr)> {
        let (index, length) = self.flat(&self.axes());
        let length = length?;
        let dtype = self.dtype();
        let buffer = self.scratch(dtype, BufferKind::Temp(length.clone()));
        self.store_scratch(buffer, dtype, index);
        Some((buffer, length))
    }

    pub(super) fn store_scratch(&mut self, buffer: BufferId, dtype: DType, index: IndexExpr) {
        let value = self.value(dtype);
        self.code.push(Inst { results: Vec::new(), op: Op::Store { buffer, index, value, mask: None, add: false } });
    }
}
