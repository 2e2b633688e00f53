//! Failed checks: compiled code branches to a cold block that calls back here.

use super::Emitter;
use crate::frame::{ErrorRecord, FrameLayout};
use crate::host::HostFn;
use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, Value, types};

/// What a check found.
#[derive(Clone, Copy)]
pub enum Failure {
    /// An index (i64) outside of [0, size).
    Index { value: Value, size: Value },
    /// Integer division by zero.
    ZeroDivision,
}

/// Notes a failure unless the worker has one of a lower key.
///
/// # Safety
/// `record` is the pointer of the frame's error slot: valid, and written by this worker alone.
#[allow(unsafe_code)]
pub unsafe extern "C" fn record_failure(
    record: *mut ErrorRecord,
    kind: u64,
    site: u64,
    position: u64,
    value: i64,
    size: i64,
) {
    // SAFETY: the caller's promise.
    let record = unsafe { &mut *record };
    let failure = ErrorRecord { kind, site, position, value, size };
    if record.kind == 0 || failure.key() < record.key() {
        *record = failure;
    }
}

impl Emitter<'_> {
    /// The row-major number of the current iteration over the axes in scope.
    fn position(&mut self) -> Value {
        let mut position = self.b.ins().iconst(types::I64, 0);
        for i in 0..self.scope.len() {
            let axis = self.scope[i];
            let extent = self.k.axes[axis.index()].clone();
            let extent = self.index(&extent);
            let mut at = self.axis_value(axis);
            if Some(axis) == self.lane_axis && self.current_lane != 0 {
                at = self.b.ins().iadd_imm_s(at, self.current_lane as i64);
            }
            position = self.b.ins().imul(position, extent);
            position = self.b.ins().iadd(position, at);
        }
        position
    }

    /// Notes `failure` where `condition` holds, in a block out of the way.
    pub fn record_if(&mut self, condition: Value, failure: Failure) {
        let bad = self.b.create_block();
        let go_on = self.b.create_block();
        self.b.set_cold_block(bad);
        self.b.ins().brif(condition, bad, &[], go_on, &[]);
        self.b.switch_to_block(bad);
        let zero = self.b.ins().iconst(types::I64, 0);
        let (kind, value, size) = match failure {
            Failure::Index { value, size } => (1, value, size),
            Failure::ZeroDivision => (2, zero, zero),
        };
        let kind = self.b.ins().iconst(types::I64, kind);
        let site = self.b.ins().iconst(types::I64, i64::from(self.site));
        let position = self.position();
        let record = self.slot(FrameLayout::ERROR, types::I64);
        self.call_host(HostFn::RecordFailure, &[types::I64; 6], None, &[record, kind, site, position, value, size]);
        self.b.ins().jump(go_on, &[]);
        self.b.switch_to_block(go_on);
    }

    /// Calls a function of this process by its address.
    pub fn call_host(
        &mut self,
        callee: HostFn,
        params: &[cranelift_codegen::ir::Type],
        result: Option<cranelift_codegen::ir::Type>,
        args: &[Value],
    ) -> Option<Value> {
        let mut sig = Signature::new(self.call_conv);
        sig.params.extend(params.iter().map(|t| AbiParam::new(*t)));
        sig.returns.extend(result.map(AbiParam::new));
        let sig = self.b.import_signature(sig);
        let callee = self.b.ins().iconst(types::I64, (self.host)(callee) as i64);
        let call = self.b.ins().call_indirect(sig, callee, args);
        self.b.inst_results(call).first().copied()
    }
}
