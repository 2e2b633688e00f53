//! Text to tokens: Python's, and C's hexadecimal floats.

use super::error::{ExprError, ExprErrorKind, Span};

/// A token.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Token<'a> {
    Name(&'a str),
    /// A magnitude; its sign is an operator.
    Int(u64),
    Float(f64),
    /// The text between the quotes; there are no escapes.
    Str(&'a str),
    /// An operator or a bracket.
    Punct(&'static str),
    /// A newline outside of brackets, or `;`.
    Sep,
    End,
}

/// Longest first where one is the beginning of another.
const PUNCTUATION: [&str; 38] = [
    "**=", "//=", "<<=", ">>=", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "->", ":=", "+=", "-=", "*=", "/=",
    "+", "-", "*", "/", "%", "&", "|", "^", "~", "<", ">", "=", "(", ")", "[", "]", ",", ":", "@", ".",
];

/// All tokens with their places, `End` last.
pub(super) fn lex(text: &str) -> Result<Vec<(Token<'_>, Span)>, ExprError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut brackets = 0usize;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, len) = match c {
            '\n' if brackets == 0 => (Some(Token::Sep), 1),
            ';' => (Some(Token::Sep), 1),
            '\\' if rest.starts_with("\\\n") => (None, 2),
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            c if c.is_whitespace() => (None, c.len_utf8()),
            '0'..='9' => number(text, at).map(|(t, n)| (Some(t), n))?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                number(text, at).map(|(t, n)| (Some(t), n))?
            }
            c if c.is_alphabetic() || c == '_' => {
                let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                (Some(Token::Name(&rest[..len])), len)
            }
            '\'' | '"' => {
                let span = Span { start: at, end: at + 1 };
                let error = |m: &str| ExprError::new(text, ExprErrorKind::Syntax, span, m);
                let body = &rest[1..];
                let len = body.find(['\n', c]).filter(|&i| body[i..].starts_with(c));
                let len = len.ok_or_else(|| error("unterminated string"))?;
                if body[..len].contains('\\') {
                    return Err(error("strings have no escapes here"));
                }
                (Some(Token::Str(&body[..len])), len + 2)
            }
            _ => match PUNCTUATION.iter().find(|p| p.starts_with(c) && rest.starts_with(**p)) {
                Some(&p) => {
                    match p {
                        "(" | "[" => brackets += 1,
                        ")" | "]" => brackets = brackets.saturating_sub(1),
                        _ => {}
                    }
                    (Some(Token::Punct(p)), p.len())
                }
                None => {
                    let span = Span { start: at, end: at + c.len_utf8() };
                    return Err(ExprError::new(
                        text,
                        ExprErrorKind::Syntax,
                        span,
                        format!("unexpected character {c:?}"),
                    ));
                }
            },
        };
        if let Some(token) = token {
            tokens.push((token, Span { start: at, end: at + len }));
        }
        at += len;
    }
    tokens.push((Token::End, Span { start: at, end: at }));
    Ok(tokens)
}

/// The number at `at` and its length.
fn number(text: &str, at: usize) -> Result<(Token<'static>, usize), ExprError> {
    let bytes = &text.as_bytes()[at..];
    let radix = match (bytes[0], bytes.get(1).map(u8::to_ascii_lowercase)) {
        (b'0', Some(b'x')) => 16,
        (b'0', Some(b'o')) => 8,
        (b'0', Some(b'b')) => 2,
        _ => 10,
    };
    let exponent = if radix == 16 { b'p' } else { b'e' };
    let mut len = if radix == 10 { 0 } else { 2 };
    let mut is_float = false;
    while let Some(&b) = bytes.get(len) {
        let lower = b.to_ascii_lowercase();
        let next_digit = |skip: usize| bytes.get(len + skip).is_some_and(u8::is_ascii_digit);
        if lower == exponent && (next_digit(1) || (matches!(bytes.get(len + 1), Some(b'+' | b'-')) && next_digit(2))) {
            is_float = true;
            len += 2;
            len += bytes[len..].iter().take_while(|b| b.is_ascii_digit()).count();
            break;
        }
        match lower {
            b'.' if !is_float && matches!(radix, 10 | 16) => is_float = true,
            b'_' => {}
            b if b.is_ascii_alphanumeric() => {}
            _ => break,
        }
        len += 1;
    }
    let span = Span { start: at, end: at + len };
    let bad = || ExprError::new(text, ExprErrorKind::Syntax, span, "invalid number");
    let raw = &text[at..at + len];
    // An underscore stands between digits.
    if raw.ends_with('_')
        || raw.contains("__")
        || radix == 10 && ["_.", "._", "_e", "_E"].iter().any(|w| raw.contains(w))
    {
        return Err(bad());
    }
    let digits: String = raw.chars().filter(|&c| c != '_').collect();
    if digits.contains(|c: char| !c.is_ascii()) {
        return Err(bad());
    }
    let token = match (radix, is_float) {
        (10, true) => Token::Float(digits.parse().map_err(|_| bad())?),
        (16, true) => Token::Float(hex_float(&digits[2..]).ok_or_else(bad)?),
        _ => {
            let digits = if radix == 10 { &digits[..] } else { &digits[2..] };
            if radix == 10 && digits.starts_with('0') && !digits.trim_start_matches('0').is_empty() {
                let why =
                    "leading zeros in decimal integer literals are not permitted; use an 0o prefix for octal integers";
                return Err(ExprError::new(text, ExprErrorKind::Syntax, span, why));
            }
            if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
                return Err(bad());
            }
            Token::Int(u64::from_str_radix(digits, radix).map_err(|_| too_large(text, span))?)
        }
    };
    Ok((token, len))
}

/// An integer that does not fit into 64 bits.
pub(super) fn too_large(text: &str, span: Span) -> ExprError {
    ExprError::new(text, ExprErrorKind::TooLarge, span, "integer is too large: it must fit into 64 bits")
        .hint("write it as a float, such as 1e30")
}

/// `1.8p-3` without its `0x`. Rounds to nearest even; the result is exact when 53 bits suffice.
fn hex_float(s: &str) -> Option<f64> {
    let (mantissa, exponent) = s.split_once(['p', 'P'])?;
    let mut scale: i64 = exponent.parse::<i64>().ok()?.clamp(-1 << 20, 1 << 20);
    let (mut bits, mut seen_point, mut any) = (0u64, false, false);
    for c in mantissa.chars() {
        if c == '.' {
            seen_point = true;
            continue;
        }
        let digit = u64::from(c.to_digit(16)?);
        any = true;
        if bits >> 59 == 0 {
            bits = bits << 4 | digit;
            scale -= if seen_point { 4 } else { 0 };
        } else {
            // Digits beyond 60 bits only decide ties.
            bits |= u64::from(digit != 0);
            scale += if seen_point { 0 } else { 4 };
        }
    }
    any.then(|| libm::scalbn(bits as f64, scale.clamp(-5000, 5000) as i32))
}
