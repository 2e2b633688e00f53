//! The expression language: one formula as text, in Python's grammar and precedence.
//!
//! ```text
//! program   = [ header ] statements
//! header    = NAME "(" [ param { "," param } ] ")" ( "=" | ":" )
//! param     = NAME [ "=" literal ]
//! statements = { [ NAME "=" expr ] sep } expr { "," expr }          sep = newline | ";"
//! expr      = or [ "if" or "else" expr ]
//! or        = and { "or" and }
//! and       = not { "and" not }
//! not       = "not" not | comparison
//! comparison = bits { ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) bits | "is" [ "not" ] "None" }
//! bits      = sum with | ^ & << >> , each binding tighter than the one before
//! sum       = product { ( "+" | "-" ) product }
//! product   = unary { ( "*" | "/" | "//" | "%" ) unary }
//! unary     = ( "+" | "-" | "~" ) unary | power
//! power     = atom [ "**" unary ]
//! atom      = NAME | literal | "(" expr ")" | NAME "(" [ arg { "," arg } ] ")"
//! arg       = [ NAME "=" ] ( expr | STRING | "[" literals "]" | "(" literals ")" )
//! literal   = INT | FLOAT | HEXFLOAT | STRING | "True" | "False" | "None" | "inf" | "nan" | "pi" | list
//! ```
//!
//! A name that is not assigned before is a parameter; without a header, parameters are in the order of
//! their first appearance. Functions are a namespace of their own. `a < b < c` is both comparisons,
//! `and`, `or`, `not` are the logical ops, `a if c else b` is `where(c, a, b)`: on arrays nothing is
//! skipped. `axis` and `keepdims` are `dim` and `keepdim`. Strings are arguments, or sides of
//! `==` and `!=`. Indexing and `@` are refused by name.
//!
//! Text may be hostile: its length, its nesting and its numbers are limited, the parser is linear,
//! and its recursion is bounded by [`MAX_DEPTH`].

pub mod error;
mod lexer;
mod parser;
pub mod program;

pub use error::{ExprError, ExprErrorKind, Span};
pub use parser::{Functions, MAX_DEPTH, MAX_LENGTH, parse};
pub use program::{Attr, Expr, Param, Program};
