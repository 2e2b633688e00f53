//! Characters, words, numbers and literals of the text form.

use super::super::text::canonical_nan;
use super::super::verify::is_identifier;
use super::{Failure, Parser, Result1};
use crate::dtype::{DType, Literal, wrap_int};
use crate::id::ValueId;

impl<'t> Parser<'t> {
    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Result1<T> {
        Err(Failure { pos: self.pos, message: message.into() })
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.pos..]
    }

    /// Skips blanks and comments.
    pub(super) fn blanks(&mut self) {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.pos) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.pos += 1,
                Some(b';') => self.pos += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ => return,
            }
        }
    }

    pub(super) fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.text.as_bytes().get(self.pos).copied()
    }

    /// Takes a punctuation character if it comes next.
    pub(super) fn accept(&mut self, c: u8) -> bool {
        let found = self.peek() == Some(c);
        self.pos += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, c: u8) -> Result1<()> {
        if self.accept(c) { Ok(()) } else { self.fail(format!("expected `{}`", char::from(c))) }
    }

    /// The word that comes next, not taken; empty when none does.
    pub(super) fn peek_word(&mut self) -> &'t str {
        self.blanks();
        let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'.';
        let len = self.rest().bytes().take_while(|&c| is_word(c)).count();
        &self.rest()[..len]
    }

    pub(super) fn accept_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == word;
        self.pos += if found { word.len() } else { 0 };
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result1<()> {
        if self.accept_word(word) { Ok(()) } else { self.fail(format!("expected `{word}`")) }
    }

    pub(super) fn identifier(&mut self, what: &str) -> Result1<&'t str> {
        let word = self.peek_word();
        if !is_identifier(word) {
            return self.fail(format!("expected {what}"));
        }
        self.pos += word.len();
        Ok(word)
    }

    pub(super) fn number(&mut self, what: &str) -> Result1<u64> {
        let word = self.peek_word();
        // A sign would pass `parse`, a word never holds one.
        let Ok(n) = word.parse() else { return self.fail(format!("expected {what}")) };
        self.pos += word.len();
        Ok(n)
    }

    /// An id such as `i3`: `prefix`, then the number.
    pub(super) fn id(&mut self, prefix: char, what: &str) -> Result1<u32> {
        self.blanks();
        let start = self.pos;
        if self.rest().starts_with(prefix) {
            self.pos += prefix.len_utf8();
            let digits = self.rest().bytes().take_while(u8::is_ascii_alphanumeric).count();
            if let Some(id) = parse_id(&self.rest()[..digits]) {
                self.pos += digits;
                return Ok(id);
            }
        }
        self.pos = start;
        self.fail(format!("expected {what}"))
    }

    pub(super) fn value(&mut self) -> Result1<ValueId> {
        self.id('%', "a value").map(ValueId)
    }

    /// Items between commas, at least one.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result1<T>) -> Result1<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.accept(b',') {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Items between commas and parentheses, perhaps none.
    pub(super) fn parenthesised<T>(&mut self, item: impl FnMut(&mut Self) -> Result1<T>) -> Result1<Vec<T>> {
        self.expect(b'(')?;
        if self.accept(b')') {
            return Ok(Vec::new());
        }
        let items = self.list(item)?;
        self.expect(b')')?;
        Ok(items)
    }

    pub(super) fn dtype(&mut self) -> Result1<DType> {
        let Some(d) = parse_dtype(self.peek_word()) else { return self.fail("expected a dtype") };
        self.pos += d.name().len();
        Ok(d)
    }

    pub(super) fn quoted(&mut self) -> Result1<String> {
        self.expect(b'"')?;
        let mut name = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.pos += at + 1;
                    return Ok(name);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => name.push('\n'),
                    Some((_, c @ ('"' | '\\'))) => name.push(c),
                    _ => return self.fail("an escape other than \\n, \\\" and \\\\ in the name"),
                },
                c => name.push(c),
            }
        }
        self.fail("the name does not end")
    }

    pub(super) fn literal(&mut self, t: DType) -> Result1<Literal> {
        self.blanks();
        let rest = self.rest();
        let mut previous = b' ';
        // A sign belongs to the number at its start and after the `e` of an exponent.
        let len = rest
            .bytes()
            .take_while(|&c| {
                let sign = matches!(c, b'-' | b'+') && matches!(previous, b' ' | b'e' | b'E');
                previous = c;
                sign || c.is_ascii_alphanumeric() || matches!(c, b'.' | b':')
            })
            .count();
        let Some(l) = parse_literal(&rest[..len], t) else {
            return self.fail(format!("expected a constant of {t}"));
        };
        self.pos += len;
        Ok(l)
    }
}

/// The number of an id, without leading zeros.
fn parse_id(digits: &str) -> Option<u32> {
    let plain = digits == "0" || !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain && digits.bytes().all(|c| c.is_ascii_digit()))
}

/// A dtype by its short name only.
pub(super) fn parse_dtype(name: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|d| d.name() == name)
}

fn parse_literal(text: &str, t: DType) -> Option<Literal> {
    let bits = match t {
        DType::Bool => match text {
            "true" => 1,
            "false" => 0,
            _ => return None,
        },
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
            if text == "nan" {
                canonical_nan(t)
            } else if let Some(hex) = text.strip_prefix("nan:0x") {
                let bits = u64::from_str_radix(hex, 16).ok()?;
                let fits = bits <= u64::MAX >> (64 - 8 * t.size());
                return Some(Literal { dtype: t, bits }).filter(|l| fits && l.as_f64().is_nan());
            } else {
                let digits = text.strip_prefix('-').unwrap_or(text);
                if digits != "inf" && !digits.starts_with(|c: char| c.is_ascii_digit()) {
                    return None;
                }
                // f32 is read as such: by way of f64 it would round twice. 16-bit floats are exact or wrong.
                match t {
                    DType::F32 => u64::from(text.parse::<f32>().ok()?.to_bits()),
                    DType::F64 => text.parse::<f64>().ok()?.to_bits(),
                    half => {
                        let v = text.parse::<f64>().ok()?;
                        return Some(Literal::float(half, v)).filter(|l| l.as_f64() == v);
                    }
                }
            }
        }
        DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            let v: i64 = text.parse().ok()?;
            return Some(Literal { dtype: t, bits: v as u64 }).filter(|_| wrap_int(t, v) == v);
        }
    };
    Some(Literal { dtype: t, bits })
}
