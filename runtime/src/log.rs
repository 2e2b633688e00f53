//! What happened that someone may want to know, in levels; most of it is said when a kernel is compiled.
//!
//! Without a front end a message goes to standard error at once. A front end calls [`keep`] and takes the
//! messages by [`drain`] where it may run its own code: a message is written in places, such as under
//! another thread's wait for the same kernel, where calling Python could block for ever.

use crate::env::{LogLevel, config};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Messages that wait at most; older ones go.
const WAITING: usize = 256;

static KEEP: AtomicBool = AtomicBool::new(false);
/// True while messages wait; written under the lock of `MESSAGES`.
static WAITS: AtomicBool = AtomicBool::new(false);
static MESSAGES: Mutex<VecDeque<(LogLevel, String)>> = Mutex::new(VecDeque::new());

/// From now on messages of all levels wait for [`drain`].
pub fn keep() {
    KEEP.store(true, Relaxed);
}

/// Says `text` at this level.
pub fn log(level: LogLevel, text: impl FnOnce() -> String) {
    if KEEP.load(Relaxed) {
        let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() == WAITING {
            messages.pop_front();
        }
        messages.push_back((level, text()));
        WAITS.store(true, Relaxed);
    } else if level <= config().log.unwrap_or(LogLevel::Warn) {
        eprintln!("rusttorch: {}", text());
    }
}

/// The messages that wait, oldest first.
#[inline]
pub fn drain() -> Vec<(LogLevel, String)> {
    // Asked at every call: no lock where nothing waits.
    if WAITS.load(Relaxed) { drain_all() } else { Vec::new() }
}

#[cold]
fn drain_all() -> Vec<(LogLevel, String)> {
    let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
    WAITS.store(false, Relaxed);
    messages.drain(..).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_messages_are_bounded_and_in_order() {
        keep();
        for i in 0..WAITING + 3 {
            log(LogLevel::Debug, || format!("m{i}"));
        }
        let messages = drain();
        assert_eq!(messages.len(), WAITING);
        assert_eq!(messages[0], (LogLevel::Debug, "m3".to_owned()));
        assert!(drain().is_empty());
    }
}
