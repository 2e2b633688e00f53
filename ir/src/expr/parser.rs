//! Tokens to [`Program`], by precedence climbing.

use super::error::{ExprError, ExprErrorKind, Span, did_you_mean};
use super::lexer::{Token, lex, too_large};
use super::program::{ANONYMOUS, Attr, OPERATORS, Program};
use crate::id::ExprId;
use std::collections::HashMap;

/// Longest text, in bytes.
pub const MAX_LENGTH: usize = 1 << 20;
/// Deepest nesting of parentheses, signs, powers and conditionals.
pub const MAX_DEPTH: usize = 200;

/// What a parser knows of functions.
pub trait Functions {
    /// Checks the number of positional arguments and the keywords of a call; the error is worded as
    /// Python words it. `None`: no such function.
    fn check_call(&self, name: &str, positional: usize, keywords: &[&str]) -> Option<Result<(), String>>;
    /// Every name, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// Parses a text. Without `functions`, any function name passes.
pub fn parse(text: &str, functions: Option<&dyn Functions>) -> Result<Program, ExprError> {
    if text.len() > MAX_LENGTH {
        let span = Span { start: 0, end: 0 };
        let message = format!("the text has {} bytes, more than {MAX_LENGTH}", text.len());
        return Err(ExprError::new("", ExprErrorKind::TooLarge, span, message));
    }
    let tokens = lex(text)?;
    let mut parser =
        Parser { text, tokens, at: 0, depth: 0, functions, program: Program::new(), names: HashMap::new(), open: true };
    parser.program()?;
    Ok(parser.program)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token<'a>, Span)>,
    at: usize,
    depth: usize,
    functions: Option<&'a dyn Functions>,
    program: Program,
    /// Parameters and assigned names.
    names: HashMap<&'a str, ExprId>,
    /// A free name becomes a parameter (there is no header).
    open: bool,
}

type Parsed<T> = Result<T, ExprError>;

/// Python's keywords that have no meaning here.
const RESERVED: [&str; 22] = [
    "lambda", "for", "in", "while", "def", "return", "class", "import", "from", "with", "try", "except", "yield",
    "await", "async", "del", "global", "nonlocal", "assert", "raise", "pass", "break",
];
const WORDS: [&str; 9] = ["and", "or", "not", "if", "else", "is", "True", "False", "None"];
const CONSTANTS: [(&str, f64); 3] = [("inf", f64::INFINITY), ("nan", f64::NAN), ("pi", std::f64::consts::PI)];

/// How tightly comparisons bind.
const COMPARISON: u8 = 5;
/// How tightly signs bind.
const UNARY: u8 = 12;

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens[self.at].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at].1
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        // `End` stays.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat(&mut self, p: &str) -> bool {
        let found = matches!(self.peek(), Token::Punct(q) if q == p);
        if found {
            self.next();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Token::Name(word);
        if found {
            self.next();
        }
        found
    }

    fn error(&self, kind: ExprErrorKind, span: Span, message: impl Into<String>) -> ExprError {
        ExprError::new(self.text, kind, span, message)
    }

    fn expect(&mut self, p: &str) -> Parsed<()> {
        if self.eat(p) { Ok(()) } else { Err(self.unexpected(&format!("expected `{p}`"))) }
    }

    /// What stands here instead of what was expected.
    fn unexpected(&self, expected: &str) -> ExprError {
        let unsupported = |message: &str| self.error(ExprErrorKind::Unsupported, self.span(), message);
        match self.peek() {
            Token::Punct("@") => unsupported("`@` is not supported in expressions: matrix products do not fuse")
                .hint("compute it outside and pass the result"),
            Token::Punct("[") => {
                unsupported("indexing is not supported in expressions").hint("index outside and pass the result")
            }
            Token::Punct(".") => unsupported("attributes are not supported in expressions")
                .hint("functions are written without a module: `sigmoid(x)`"),
            Token::Punct(p @ ("+=" | "-=" | "*=" | "/=" | "**=" | "//=" | "<<=" | ">>=" | ":=")) => {
                unsupported(&format!("`{p}` is not supported in expressions")).hint("write `name = expression`")
            }
            Token::Name(n) if RESERVED.contains(&n) => unsupported(&format!("`{n}` is not supported in expressions")),
            found => {
                let found = match found {
                    Token::End => "the end of the text".to_string(),
                    Token::Sep => "the end of the statement".to_string(),
                    _ => format!("`{}`", &self.text[self.span().start..self.span().end]),
                };
                self.error(ExprErrorKind::Syntax, self.span(), format!("{expected}, found {found}"))
            }
        }
    }

    fn program(&mut self) -> Parsed<()> {
        self.skip_separators();
        if self.header_follows() {
            self.header()?;
        }
        loop {
            self.skip_separators();
            let assigned = match (self.peek(), self.tokens.get(self.at + 1).map(|t| t.0)) {
                (Token::Name(name), Some(Token::Punct("="))) => {
                    self.check_bindable(name)?;
                    self.next();
                    self.next();
                    Some(name)
                }
                _ => None,
            };
            let value = self.expr()?;
            if let Some(name) = assigned {
                self.names.insert(name, value);
                if !matches!(self.peek(), Token::Sep | Token::End) {
                    return Err(self.unexpected("expected the end of the statement"));
                }
                self.skip_separators();
                if self.peek() == Token::End {
                    let error =
                        self.error(ExprErrorKind::Syntax, self.span(), "the last statement must be an expression");
                    return Err(error.hint(format!("add a line `{name}`")));
                }
                continue;
            }
            self.program.output(value);
            while self.eat(",") {
                let value = self.expr()?;
                self.program.output(value);
            }
            let (ended, span) = (self.peek() == Token::Sep, self.span());
            self.skip_separators();
            return match self.peek() {
                Token::End => Ok(()),
                _ if ended => {
                    let error =
                        self.error(ExprErrorKind::Syntax, span, "only the last statement may be without a name");
                    Err(error.hint("give its value a name: `y = ...`"))
                }
                _ => Err(self.unexpected("expected an operator")),
            };
        }
    }

    fn skip_separators(&mut self) {
        while self.peek() == Token::Sep {
            self.next();
        }
    }

    /// `NAME ( ... ) =` or `NAME ( ... ) :`.
    fn header_follows(&self) -> bool {
        let mut depth = 0usize;
        let starts = matches!(self.tokens[self.at..], [(Token::Name(_), _), (Token::Punct("("), _), ..]);
        for (i, (token, _)) in self.tokens[self.at..].iter().enumerate().skip(1) {
            match token {
                Token::Punct("(" | "[") => depth += 1,
                Token::Punct(")" | "]") => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                let after = self.tokens.get(self.at + i + 1).map(|t| t.0);
                return starts && matches!(after, Some(Token::Punct("=" | ":")));
            }
        }
        false
    }

    fn header(&mut self) -> Parsed<()> {
        if let Token::Name(name) = self.peek() {
            self.check_bindable(name)?;
            self.program.name = (name != ANONYMOUS).then(|| name.to_string());
            self.next();
        }
        self.open = false;
        self.next();
        let mut defaults = false;
        while !self.eat(")") {
            let span = self.span();
            let Token::Name(name) = self.peek() else { return Err(self.unexpected("expected a parameter")) };
            // A parameter may hide a constant: `nan_to_num(x, nan=0.0)`.
            if !CONSTANTS.iter().any(|c| c.0 == name) {
                self.check_bindable(name)?;
            }
            self.next();
            let default = if self.eat("=") { Some(self.literal()?) } else { None };
            if defaults && default.is_none() {
                let message = format!("parameter `{name}` without a default follows parameter with a default");
                return Err(self.error(ExprErrorKind::Syntax, span, message));
            }
            defaults |= default.is_some();
            if self.names.contains_key(name) {
                return Err(self.error(ExprErrorKind::Syntax, span, format!("duplicate parameter `{name}`")));
            }
            let id = self.program.param(name, default);
            self.names.insert(name, id);
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        // `=` or `:`, as `header_follows` saw.
        self.next();
        Ok(())
    }

    fn check_bindable(&self, name: &str) -> Parsed<()> {
        if RESERVED.contains(&name) {
            return Err(self.unexpected("expected a name"));
        }
        if WORDS.contains(&name) || CONSTANTS.iter().any(|c| c.0 == name) {
            return Err(self.error(ExprErrorKind::Syntax, self.span(), format!("cannot assign to `{name}`")));
        }
        Ok(())
    }

    /// A literal of a header or a list.
    fn literal(&mut self) -> Parsed<Attr> {
        let span = self.span();
        let id = self.argument()?;
        match self.program.node(id) {
            super::Expr::Literal(a) => Ok(a.clone()),
            _ => Err(self.error(ExprErrorKind::Syntax, span, "expected a literal")),
        }
    }

    /// One more level of recursion; the matching `depth -= 1` is not run on errors, which end the parse.
    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("the expression is nested more than {MAX_DEPTH} deep");
            let error = self.error(ExprErrorKind::TooLarge, self.span(), message);
            return Err(error.hint("name a part of it: `y = ...; ...`"));
        }
        Ok(())
    }

    fn expr(&mut self) -> Parsed<ExprId> {
        self.enter()?;
        let value = self.binary(0)?;
        let value = if self.eat_word("if") {
            let condition = self.binary(0)?;
            if !self.eat_word("else") {
                return Err(self.unexpected("expected `else`"));
            }
            let other = self.expr()?;
            self.program.call("where", &[condition, value, other], &[])
        } else {
            value
        };
        self.depth -= 1;
        Ok(value)
    }

    /// The binary operator here: its op and how tightly it binds.
    fn operator(&self) -> Option<(&'static str, u8)> {
        let symbol = match self.peek() {
            Token::Punct(p) => p,
            Token::Name(n @ ("and" | "or" | "is")) => n,
            _ => return None,
        };
        if symbol == "is" {
            return Some(("is_none", COMPARISON));
        }
        OPERATORS.iter().find(|o| o.1 == symbol && !o.3).map(|o| (o.0, o.2))
    }

    /// Operators that bind at least as tightly as `least`, all but `**` left-associative.
    fn binary(&mut self, least: u8) -> Parsed<ExprId> {
        let mut left = self.unary(least)?;
        // Of a chain of comparisons: all so far, and the operand they share with the next one.
        let mut chain: Option<(ExprId, ExprId)> = None;
        while let Some((op, binding)) = self.operator() {
            if binding < least || binding > UNARY {
                break;
            }
            self.next();
            if binding != COMPARISON {
                chain = None;
                let right = self.binary(binding + 1)?;
                left = self.program.call(op, &[left, right], &[]);
                continue;
            }
            let shared = chain.map_or(left, |(_, shared)| shared);
            let (comparison, right) = if op == "is_none" {
                let negated = self.eat_word("not");
                if !self.eat_word("None") {
                    return Err(self.unexpected("expected `None` after `is`"));
                }
                let test = self.program.call(op, &[shared], &[]);
                (if negated { self.program.call("logical_not", &[test], &[]) } else { test }, shared)
            } else {
                let right = self.binary(COMPARISON + 1)?;
                (self.program.call(op, &[shared, right], &[]), right)
            };
            left = match chain {
                Some((all, _)) => self.program.call("logical_and", &[all, comparison], &[]),
                None => comparison,
            };
            chain = Some((left, right));
        }
        Ok(left)
    }

    fn unary(&mut self, least: u8) -> Parsed<ExprId> {
        let (op, binding) = match self.peek() {
            Token::Punct("-") => ("neg", UNARY),
            Token::Punct("+") => ("positive", UNARY),
            Token::Punct("~") => ("bitwise_not", UNARY),
            // Python: `not` binds weaker than comparisons, so it is no operand of theirs.
            Token::Name("not") if least <= 4 => ("logical_not", 4),
            _ => return self.power(),
        };
        self.enter()?;
        let span = self.span();
        self.next();
        // -9223372036854775808: the magnitude alone does not fit.
        if let (Token::Int(n), "neg") = (self.peek(), op)
            && n == 1 << 63
            && !matches!(self.tokens[self.at + 1].0, Token::Punct("**"))
        {
            self.next();
            self.depth -= 1;
            return Ok(self.program.literal(Attr::Int(i64::MIN)));
        }
        let operand = self.binary(binding)?;
        self.depth -= 1;
        Ok(match (op, self.program.node(operand).clone()) {
            // A sign before a number is a part of it.
            ("neg", super::Expr::Literal(Attr::Int(i))) => {
                let negated = i.checked_neg().ok_or_else(|| too_large(self.text, span))?;
                self.program.literal(Attr::Int(negated))
            }
            ("neg", super::Expr::Literal(Attr::Float(f))) => self.program.literal(Attr::Float(-f)),
            _ => self.program.call(op, &[operand], &[]),
        })
    }

    fn power(&mut self) -> Parsed<ExprId> {
        let base = self.atom()?;
        if !self.eat("**") {
            return Ok(base);
        }
        self.enter()?;
        let exponent = self.unary(UNARY)?;
        self.depth -= 1;
        Ok(self.program.call("pow", &[base, exponent], &[]))
    }

    fn atom(&mut self) -> Parsed<ExprId> {
        let span = self.span();
        let value = match self.peek() {
            Token::Int(n) => {
                let value = i64::try_from(n).map_err(|_| too_large(self.text, span))?;
                self.next();
                self.program.literal(Attr::Int(value))
            }
            Token::Float(v) => {
                self.next();
                self.program.literal(Attr::Float(v))
            }
            Token::Punct("(") => {
                self.next();
                let value = self.expr()?;
                if matches!(self.peek(), Token::Punct(",")) {
                    return Err(self.error(ExprErrorKind::Syntax, span, "a tuple of numbers is an argument only"));
                }
                self.expect(")")?;
                value
            }
            // A mode is compared in a body: `mode == 'tanh'`.
            Token::Str(s) if self.compared() => {
                self.next();
                self.program.literal(Attr::Str(s.to_string()))
            }
            Token::Str(_) => {
                return Err(self.error(ExprErrorKind::Syntax, span, "a string is an argument only"));
            }
            Token::Punct("[") => {
                return Err(self.error(ExprErrorKind::Syntax, span, "a list is an argument only"));
            }
            Token::Name(name) if !RESERVED.contains(&name) => {
                let constant = self.word(name).filter(|_| !self.names.contains_key(name));
                if let Some(value) = constant {
                    self.next();
                    self.program.literal(value)
                } else if WORDS.contains(&name) {
                    return Err(self.unexpected("expected a value"));
                } else {
                    self.next();
                    if self.eat("(") { self.call(name, span)? } else { self.name(name, span)? }
                }
            }
            _ => return Err(self.unexpected("expected a value")),
        };
        if matches!(self.peek(), Token::Punct("[" | "." | "@" | "(")) {
            return Err(self.unexpected("expected an operator"));
        }
        Ok(value)
    }

    /// An equality stands before or after this token.
    fn compared(&self) -> bool {
        let equality = |at: usize| matches!(self.tokens.get(at), Some((Token::Punct("==" | "!="), _)));
        equality(self.at + 1) || (self.at > 0 && equality(self.at - 1))
    }

    fn word(&self, name: &str) -> Option<Attr> {
        match name {
            "True" => Some(Attr::Bool(true)),
            "False" => Some(Attr::Bool(false)),
            "None" => Some(Attr::None),
            _ => CONSTANTS.iter().find(|c| c.0 == name).map(|c| Attr::Float(c.1)),
        }
    }

    fn name(&mut self, name: &'a str, span: Span) -> Parsed<ExprId> {
        if let Some(&id) = self.names.get(name) {
            return Ok(id);
        }
        if !self.open {
            let error = self.error(ExprErrorKind::Syntax, span, format!("name `{name}` is not defined"));
            let hint = did_you_mean(name, self.names.keys().copied());
            return Err(error.hint(hint.unwrap_or_else(|| "the header lists all parameters".to_string())));
        }
        let id = self.program.param(name, None);
        self.names.insert(name, id);
        Ok(id)
    }

    /// After the opening parenthesis.
    fn call(&mut self, function: &'a str, span: Span) -> Parsed<ExprId> {
        let known = self.functions.map(|f| (f, f.check_call(function, 0, &[])));
        if let Some((functions, None)) = known {
            let names = functions.names();
            let error = self.error(ExprErrorKind::UnknownFunction, span, format!("unknown function `{function}`"));
            return Err(match did_you_mean(function, names.iter().map(String::as_str)) {
                Some(hint) => error.hint(hint),
                None => error,
            });
        }
        let mut args = Vec::new();
        let mut kwargs: Vec<(&str, ExprId)> = Vec::new();
        while !self.eat(")") {
            let keyword = match (self.peek(), self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0) {
                (Token::Name(name), Token::Punct("=")) => {
                    self.next();
                    self.next();
                    Some(match name {
                        "axis" => "dim",
                        "keepdims" => "keepdim",
                        other => other,
                    })
                }
                _ => None,
            };
            let place = self.span();
            let value = self.argument()?;
            match keyword {
                Some(name) if kwargs.iter().any(|k| k.0 == name) => {
                    return Err(self.error(
                        ExprErrorKind::Arguments,
                        place,
                        format!("keyword argument repeated: {name}"),
                    ));
                }
                Some(name) => kwargs.push((name, value)),
                None if !kwargs.is_empty() => {
                    let message = "positional argument follows keyword argument";
                    return Err(self.error(ExprErrorKind::Syntax, place, message));
                }
                None => args.push(value),
            }
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        if let Some(functions) = self.functions {
            let keywords: Vec<&str> = kwargs.iter().map(|k| k.0).collect();
            if let Some(Err(message)) = functions.check_call(function, args.len(), &keywords) {
                return Err(self.error(ExprErrorKind::Arguments, span, message));
            }
        }
        Ok(self.program.call(function, &args, &kwargs))
    }

    /// An expression, a string, or a list or tuple of literals.
    fn argument(&mut self) -> Parsed<ExprId> {
        match self.peek() {
            Token::Str(s) => {
                self.next();
                Ok(self.program.literal(Attr::Str(s.to_string())))
            }
            Token::Punct("[") => self.list("]"),
            Token::Punct("(") if self.tuple_follows() => self.list(")"),
            _ => self.expr(),
        }
    }

    /// `()` or a comma right after the first element; elements of a tuple are literals.
    fn tuple_follows(&self) -> bool {
        let mut at = self.at + 1;
        while matches!(self.tokens[at].0, Token::Punct("-")) {
            at += 1;
        }
        let literal = matches!(self.tokens[at].0, Token::Int(_) | Token::Float(_) | Token::Str(_) | Token::Name(_));
        let after = self.tokens.get(at + 1).map(|t| t.0);
        self.tokens[at].0 == Token::Punct(")") || (literal && after == Some(Token::Punct(",")))
    }

    fn list(&mut self, close: &str) -> Parsed<ExprId> {
        self.enter()?;
        self.next();
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.literal()?);
            if !self.eat(",") {
                self.expect(close)?;
                break;
            }
        }
        self.depth -= 1;
        Ok(self.program.literal(Attr::List(items)))
    }
}
