//! Errors of the expression language, rendered with the source line and a caret.

use std::fmt;

/// A range of the text, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What is wrong with a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExprErrorKind {
    /// Not in the grammar.
    Syntax,
    /// Python that this language leaves out (`@`, indexing, lambda).
    Unsupported,
    /// No function of this name.
    UnknownFunction,
    /// A function called with arguments it does not take.
    Arguments,
    /// Too long, too deep, or a number too large.
    TooLarge,
}

/// An error in a text, with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExprError {
    kind: ExprErrorKind,
    span: Span,
    message: String,
    hint: Option<String>,
    line: usize,
    column: usize,
    source_line: String,
}

/// Longest part of a source line that an error shows, in characters.
const SHOWN: usize = 100;

impl ExprError {
    pub(super) fn new(text: &str, kind: ExprErrorKind, span: Span, message: impl Into<String>) -> ExprError {
        let start = span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        ExprError {
            kind,
            span,
            message: message.into(),
            hint: None,
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source_line: text[line_start..line_end].to_string(),
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> ExprError {
        self.hint = Some(hint.into());
        self
    }

    /// What kind of error.
    pub fn kind(&self) -> ExprErrorKind {
        self.kind
    }

    /// Where in the text.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, without place and hint.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A window of a long line, the caret inside it.
        let skip = (self.column - 1).saturating_sub(SHOWN / 2);
        let shown: String = self.source_line.chars().skip(skip).take(SHOWN).collect();
        let width = self.span.end.saturating_sub(self.span.start).clamp(1, SHOWN);
        let caret = self.column - 1 - skip;
        let width = width.min(shown.chars().count().saturating_sub(caret).max(1));
        writeln!(f, "{} (line {}, column {})", self.message, self.line, self.column)?;
        writeln!(f, "    {shown}")?;
        write!(f, "    {}{}", " ".repeat(caret), "^".repeat(width))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ExprError {}

/// The names of `candidates` nearest to `name`, at most three, best first.
pub fn suggest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let limit = 1 + name.chars().count().min(64) / 3;
    let mut near: Vec<(usize, &str)> = candidates
        .filter(|c| c.len().abs_diff(name.len()) <= limit)
        .map(|c| (edit_distance(name, c), c))
        .filter(|&(d, _)| d <= limit)
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, c)| c.to_string()).collect()
}

/// "did you mean `a` or `b`?", if anything is near.
pub fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let near: Vec<String> = suggest(name, candidates).into_iter().map(|n| format!("`{n}`")).collect();
    (!near.is_empty()).then(|| format!("did you mean {}?", near.join(" or ")))
}

/// Levenshtein distance in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    row[b.len()]
}
