//! What can go wrong in code generation, and whose fault it is.

use std::borrow::Cow;
use std::fmt;

/// An error of code generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodegenError {
    /// This emitter lacks something, named here. Take the next emitter, and count it by this name.
    Unsupported(Cow<'static, str>),
    /// A bug of ours; the text says what was being done.
    Internal(String),
}

impl CodegenError {
    /// Something an emitter lacks.
    pub fn unsupported(what: impl Into<Cow<'static, str>>) -> CodegenError {
        CodegenError::Unsupported(what.into())
    }

    /// A bug.
    pub fn internal(what: impl fmt::Display) -> CodegenError {
        CodegenError::Internal(what.to_string())
    }
}

impl fmt::Display for CodegenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodegenError::Unsupported(what) => write!(f, "not supported by this emitter: {what}"),
            CodegenError::Internal(what) => write!(f, "internal error in code generation: {what}"),
        }
    }
}

impl std::error::Error for CodegenError {}
