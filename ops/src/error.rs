//! The error of the engine: opaque, with a kind, worded as PyTorch words it.

use rusttorch_ir::expr::{ExprError, ExprErrorKind};
use rusttorch_ir::fuse::FuseError;
use rusttorch_ir::graph::{LowerError, LowerErrorKind};
use rusttorch_runtime::launch::LaunchError;
use std::fmt;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong; the Python layer maps each kind to one exception class.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ErrorKind {
    /// The text is no expression.
    Syntax,
    /// A name that nothing has.
    Name,
    /// An argument of a wrong type, or a wrong number of them.
    Type,
    /// An argument's value.
    Value,
    /// A dimension or an index out of range.
    Index,
    /// Shapes that do not fit, memory that overlaps, what PyTorch calls a RuntimeError.
    Runtime,
    /// An option or dtype that the operation does not have.
    NotImplemented,
    /// No memory.
    OutOfMemory,
    /// A fallback under `RUSTTORCH_STRICT`.
    Fallback,
    /// A bug of ours.
    Internal,
}

/// An error of the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// What kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Error {
        Error { kind, message: message.to_string() }
    }

    pub(crate) fn internal(message: String) -> Error {
        Error { kind: ErrorKind::Internal, message }
    }

    pub(crate) fn fallback(what: String) -> Error {
        Error::new(ErrorKind::Fallback, format!("RUSTTORCH_STRICT is set and a kernel needs the interpreter: {what}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<ExprError> for Error {
    fn from(e: ExprError) -> Error {
        let kind = match e.kind() {
            ExprErrorKind::Syntax | ExprErrorKind::Unsupported | ExprErrorKind::TooLarge => ErrorKind::Syntax,
            ExprErrorKind::UnknownFunction => ErrorKind::Name,
            ExprErrorKind::Arguments => ErrorKind::Type,
        };
        Error::new(kind, e)
    }
}

impl From<LowerError> for Error {
    fn from(e: LowerError) -> Error {
        let kind = match e.kind() {
            LowerErrorKind::Type => ErrorKind::Type,
            LowerErrorKind::Value => ErrorKind::Value,
            LowerErrorKind::Index => ErrorKind::Index,
            LowerErrorKind::Runtime => ErrorKind::Runtime,
            LowerErrorKind::NotImplemented => ErrorKind::NotImplemented,
            LowerErrorKind::Name => ErrorKind::Name,
            LowerErrorKind::Internal => ErrorKind::Internal,
        };
        Error::new(kind, e)
    }
}

impl From<FuseError> for Error {
    fn from(e: FuseError) -> Error {
        let kind = match e {
            FuseError::Rank(_) => ErrorKind::NotImplemented,
            FuseError::Output(_) | FuseError::OutputCount { .. } | FuseError::Moments => ErrorKind::Internal,
        };
        Error::new(kind, e)
    }
}

impl From<LaunchError> for Error {
    fn from(e: LaunchError) -> Error {
        let kind = match e {
            LaunchError::Invalid(_) => ErrorKind::Internal,
            LaunchError::Overlap | LaunchError::ZeroDivision => ErrorKind::Runtime,
            LaunchError::Index { .. } => ErrorKind::Index,
            LaunchError::OutOfMemory(_) => ErrorKind::OutOfMemory,
        };
        Error::new(kind, e)
    }
}
