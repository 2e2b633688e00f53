//! The text form of kernels, `.rtir`: reading. See `text.rs` for the form.
//!
//! The reader takes any text without a panic, in time linear in its length: expressions and cold
//! bodies nest at most [`MAX_DEPTH`] deep, and nothing is allocated by a number that stands in the
//! text. It checks the form only; `verify` checks the rules.

mod token;

use super::text::FORMAT;
use super::verify::MAX_DEPTH;
use super::{Buffer, BufferKind, Func, Inst, Kernel, Nest, Op, Order, Phase, Reduction};
use crate::dtype::DType;
use crate::id::{AxisId, BufferId, ScalarId, SymId, ValueId};
use crate::index::IndexExpr;
use crate::prim::Prim;
use std::collections::HashMap;
use std::fmt;
use token::parse_dtype;

/// Symbols that a text may ask for.
const MAX_SYMS: u64 = 1 << 16;

/// Where and why a text is not a kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads a kernel.
///
/// # Errors
/// At the first place where the text does not have the form.
pub fn parse(text: &str) -> Result<Kernel, ParseError> {
    let mut p = Parser {
        text,
        pos: 0,
        kernel: Kernel::default(),
        buffers: HashMap::new(),
        values: HashMap::new(),
        axes: HashMap::new(),
    };
    p.kernel().map_err(|failure| {
        let before = &text[..failure.pos];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        ParseError {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: failure.message,
        }
    })?;
    Ok(p.kernel)
}

struct Failure {
    pos: usize,
    message: String,
}

type Result1<T> = Result<T, Failure>;

struct Parser<'t> {
    text: &'t str,
    /// Always at a character boundary.
    pos: usize,
    kernel: Kernel,
    buffers: HashMap<&'t str, BufferId>,
    /// What the text has defined; moved to the kernel's arenas at the end, where ids prove dense.
    values: HashMap<u32, DType>,
    axes: HashMap<u32, IndexExpr>,
}

impl<'t> Parser<'t> {
    fn kernel(&mut self) -> Result1<()> {
        self.expect_word("rtir")?;
        let at = self.pos;
        let format = self.number("the format's number")?;
        if format != FORMAT {
            self.pos = at;
            return self.fail(format!("format {format} is not known; this reader knows {FORMAT}"));
        }
        self.expect_word("kernel")?;
        self.expect(b'@')?;
        self.kernel.name = if self.peek() == Some(b'"') { self.quoted()? } else { self.identifier("a name")?.into() };
        self.parenthesised(|p| {
            let name = p.identifier("an argument's name")?;
            p.expect(b':')?;
            let dtype = p.dtype()?;
            let kind = match p.peek_word() {
                "in" => BufferKind::In,
                "out" => BufferKind::Out,
                "inout" => BufferKind::InOut,
                _ => return p.fail("expected `in`, `out` or `inout`"),
            };
            p.pos += p.peek_word().len();
            p.buffer(name, dtype, kind)
        })?;
        if self.accept_word("syms") {
            let n = self.number("a number of symbols")?;
            if n > MAX_SYMS {
                return self.fail(format!("more than {MAX_SYMS} symbols"));
            }
            self.kernel.syms = n as usize;
        }
        if self.accept_word("scalars") {
            self.kernel.scalars = self.parenthesised(Self::dtype)?;
        }
        self.expect(b'{')?;
        while !self.accept(b'}') {
            match self.peek_word() {
                "phase" => self.phase()?,
                "temp" => self.local(BufferKind::Temp)?,
                "row" => self.local(BufferKind::Row)?,
                _ => return self.fail("expected `phase`, `temp`, `row` or `}`"),
            }
        }
        if self.peek().is_some() {
            return self.fail("text after the kernel");
        }
        let (values, axes) = (std::mem::take(&mut self.values), std::mem::take(&mut self.axes));
        self.kernel.values = self.dense(values, "value")?;
        self.kernel.axes = self.dense(axes, "axis")?;
        let bodies = self.kernel.phases.iter().flat_map(|p| &p.nests).map(|n| &n.body);
        match bodies.filter_map(|b| self.undefined(b)).next() {
            Some(v) => self.fail(format!("{v} is not defined")),
            None => Ok(()),
        }
    }

    /// An operand of the body that the text defines nowhere. (Whether it is defined in time is for `verify`.)
    fn undefined(&self, body: &[Inst]) -> Option<ValueId> {
        let mut found = None;
        for inst in body {
            inst.op.for_operands(&mut |v| {
                if v.index() >= self.kernel.values.len() {
                    found = Some(v);
                }
            });
            if let Op::Cold { body, .. } = &inst.op {
                found = found.or_else(|| self.undefined(body));
            }
        }
        found
    }

    /// The arena of ids 0, 1, .. that the text has defined.
    fn dense<T>(&self, mut defined: HashMap<u32, T>, what: &str) -> Result1<Vec<T>> {
        (0..defined.len() as u32)
            .map(|i| match defined.remove(&i) {
                Some(t) => Ok(t),
                None => self.fail(format!("{what} number {i} is not defined, but later ones are")),
            })
            .collect()
    }

    fn buffer(&mut self, name: &'t str, dtype: DType, kind: BufferKind) -> Result1<()> {
        let id = BufferId::new(self.kernel.buffers.len());
        if self.buffers.insert(name, id).is_some() {
            return self.fail(format!("two buffers are named {name}"));
        }
        self.kernel.buffers.push(Buffer { name: name.into(), dtype, kind });
        Ok(())
    }

    fn local(&mut self, kind: fn(IndexExpr) -> BufferKind) -> Result1<()> {
        if !self.kernel.phases.is_empty() {
            return self.fail("buffers come before the phases");
        }
        self.pos += self.peek_word().len();
        let name = self.identifier("a buffer's name")?;
        self.expect(b':')?;
        let dtype = self.dtype()?;
        let length = self.bracketed()?;
        self.buffer(name, dtype, kind(length))
    }

    fn phase(&mut self) -> Result1<()> {
        self.expect_word("phase")?;
        let mut phase = Phase { axes: self.axes()?, nests: Vec::new() };
        self.expect(b'{')?;
        while !self.accept(b'}') {
            self.expect_word("nest")?;
            let axes = self.axes()?;
            self.expect(b'{')?;
            let body = self.body(0)?;
            phase.nests.push(Nest { axes, body });
        }
        self.kernel.phases.push(phase);
        Ok(())
    }

    fn axes(&mut self) -> Result1<Vec<AxisId>> {
        if !self.accept(b'[') {
            return Ok(Vec::new());
        }
        let axes = self.list(|p| {
            let a = p.id('i', "an axis")?;
            p.expect(b'<')?;
            let extent = p.expr()?;
            if p.axes.insert(a, extent).is_some() {
                return p.fail(format!("axis i{a} is listed twice"));
            }
            Ok(AxisId(a))
        })?;
        self.expect(b']')?;
        Ok(axes)
    }

    /// Instructions up to and with the closing brace.
    fn body(&mut self, depth: usize) -> Result1<Vec<Inst>> {
        if depth > MAX_DEPTH {
            return self.fail(format!("cold bodies are more than {MAX_DEPTH} deep"));
        }
        let mut body = Vec::new();
        while !self.accept(b'}') {
            body.push(self.inst(depth)?);
        }
        Ok(body)
    }

    fn inst(&mut self, depth: usize) -> Result1<Inst> {
        let results = if self.peek() == Some(b'%') {
            let results = self.list(Self::value)?;
            self.expect(b'=')?;
            results
        } else {
            Vec::new()
        };
        let at = self.pos;
        let word = self.identifier("an instruction")?;
        let (op, dtypes) = match self.op(word, depth)? {
            Some(parsed) => parsed,
            None => {
                self.pos = at;
                self.blanks();
                return self.fail(format!("no instruction is called {word}"));
            }
        };
        if results.len() != dtypes.len() {
            return self.fail(format!("{} results where {word} has {}", results.len(), dtypes.len()));
        }
        for (r, d) in results.iter().zip(dtypes) {
            if self.values.insert(r.0, d).is_some() {
                return self.fail(format!("{r} is defined twice"));
            }
        }
        Ok(Inst { results, op })
    }

    /// The operation that `word` starts and the dtypes of its results; None for an unknown word.
    fn op(&mut self, word: &str, depth: usize) -> Result1<Option<(Op, Vec<DType>)>> {
        let (name, rest) = word.split_once('.').unwrap_or((word, ""));
        let typed = parse_dtype(rest);
        Ok(Some(match (name, typed) {
            ("const", Some(t)) => (Op::Const(self.literal(t)?), vec![t]),
            ("scalar", Some(t)) => (Op::Scalar(ScalarId(self.id('c', "a scalar")?)), vec![t]),
            ("index", Some(t)) => (Op::Index(self.expr()?), vec![t]),
            ("load", Some(t)) => {
                let (buffer, index) = self.element()?;
                (Op::Load { buffer, index, mask: self.mask()? }, vec![t])
            }
            ("store", None) if rest.is_empty() || rest == "add" => {
                let (buffer, index) = self.element()?;
                self.expect(b',')?;
                let value = self.value()?;
                (Op::Store { buffer, index, value, mask: self.mask()?, add: rest == "add" }, vec![])
            }
            ("check", None) if rest.is_empty() => {
                let value = self.value()?;
                self.expect(b',')?;
                self.expect_word("size")?;
                let size = self.expr()?;
                let wrap = self.accept_word("wrap");
                (Op::Check { value, size, wrap, mask: self.mask()? }, vec![DType::I64])
            }
            ("lookup", Some(t)) => {
                self.expect(b'[')?;
                let table = self.list(|p| p.literal(t))?;
                self.expect(b']')?;
                self.expect(b',')?;
                (Op::Lookup { table, index: self.value()? }, vec![t])
            }
            ("call", None) => {
                let Some((func, t)) = rest.split_once('.') else { return Ok(None) };
                let (Some(func), Some(t)) = (Func::parse(func), parse_dtype(t)) else { return Ok(None) };
                (Op::Call { func, args: self.list(Self::value)? }, vec![t])
            }
            ("reduce", None) => return self.reduce(rest),
            ("cold", None) if rest.is_empty() => self.cold(depth)?,
            (name, Some(t)) => {
                let Some(prim) = Prim::parse(name) else { return Ok(None) };
                let result = if prim.is_compare() { DType::Bool } else { t };
                (Op::Prim(prim, t, self.list(Self::value)?), vec![result])
            }
            _ => return Ok(None),
        }))
    }

    /// A reduction; `suffix` is `kind.dtype.order`.
    fn reduce(&mut self, suffix: &str) -> Result1<Option<(Op, Vec<DType>)>> {
        let mut parts = suffix.split('.');
        let (kind, t, order) = (parts.next(), parts.next(), parts.next());
        let kind = Reduction::NAMES.iter().find(|(_, name)| Some(*name) == kind);
        let order = [Order::Lanes, Order::Rows].into_iter().find(|o| Some(o.name()) == order);
        let (Some(&(kind, _)), Some(t), Some(order)) = (kind, t.and_then(parse_dtype), order) else {
            return Ok(None);
        };
        if parts.next().is_some() {
            return Ok(None);
        }
        let args = self.list(Self::value)?;
        let dtypes = match kind {
            Reduction::ArgMax | Reduction::ArgMin => {
                let Some(&index) = args.get(1) else { return self.fail("expected a value and an index") };
                vec![t, self.dtype_of(index)?]
            }
            _ => vec![t; kind.results()],
        };
        Ok(Some((Op::Reduce { kind, order, args }, dtypes)))
    }

    fn cold(&mut self, depth: usize) -> Result1<(Op, Vec<DType>)> {
        let mask = self.value()?;
        self.expect(b'{')?;
        let body = self.body(depth + 1)?;
        self.expect_word("slow")?;
        let slow = self.parenthesised(Self::value)?;
        self.expect_word("fast")?;
        let fast = self.parenthesised(Self::value)?;
        let dtypes = slow.iter().map(|&v| self.dtype_of(v)).collect::<Result1<_>>()?;
        Ok((Op::Cold { mask, body, slow, fast }, dtypes))
    }

    fn dtype_of(&self, v: ValueId) -> Result1<DType> {
        match self.values.get(&v.0) {
            Some(d) => Ok(*d),
            None => self.fail(format!("{v} is not defined yet")),
        }
    }

    fn element(&mut self) -> Result1<(BufferId, IndexExpr)> {
        self.blanks();
        let at = self.pos;
        let name = self.identifier("a buffer")?;
        let Some(&buffer) = self.buffers.get(name) else {
            self.pos = at;
            return self.fail(format!("no buffer is called {name}"));
        };
        Ok((buffer, self.bracketed()?))
    }

    fn bracketed(&mut self) -> Result1<IndexExpr> {
        self.expect(b'[')?;
        let e = self.expr()?;
        self.expect(b']')?;
        Ok(e)
    }

    fn mask(&mut self) -> Result1<Option<ValueId>> {
        if self.accept_word("if") { self.value().map(Some) } else { Ok(None) }
    }

    fn expr(&mut self) -> Result1<IndexExpr> {
        Ok(self.sum(MAX_DEPTH)?.0)
    }

    // The three levels of expressions return the height of the tree beside it. `depth` bounds the
    // recursion here, the height that of everyone who walks the tree (`a + b + c + ..` is a deep one).

    fn sum(&mut self, depth: usize) -> Result1<(IndexExpr, usize)> {
        let mut left = self.product(depth)?;
        while self.accept(b'+') {
            let right = self.product(depth)?;
            left = self.node(IndexExpr::Add, left, right)?;
        }
        Ok(left)
    }

    fn product(&mut self, depth: usize) -> Result1<(IndexExpr, usize)> {
        let mut left = self.atom(depth)?;
        while self.accept(b'*') {
            let right = self.atom(depth)?;
            left = self.node(IndexExpr::Mul, left, right)?;
        }
        Ok(left)
    }

    fn atom(&mut self, depth: usize) -> Result1<(IndexExpr, usize)> {
        let Some(depth) = depth.checked_sub(1) else {
            return self.fail(format!("an index expression is more than {MAX_DEPTH} deep"));
        };
        match self.peek() {
            Some(b'(') => {
                self.pos += 1;
                let inner = self.sum(depth)?;
                self.expect(b')')?;
                return Ok(inner);
            }
            Some(b'%') => return Ok((IndexExpr::Value(self.value()?), 1)),
            Some(b'-' | b'0'..=b'9') => {
                let len = 1 + self.rest()[1..].bytes().take_while(u8::is_ascii_alphanumeric).count();
                let Ok(c) = self.rest()[..len].parse() else { return self.fail("expected a 64-bit integer") };
                self.pos += len;
                return Ok((IndexExpr::Const(c), 1));
            }
            _ => {}
        }
        let node = match self.peek_word() {
            "floordiv" => IndexExpr::FloorDiv,
            "mod" => IndexExpr::Mod,
            "min" => IndexExpr::Min,
            "max" => IndexExpr::Max,
            word if word.starts_with('i') => {
                return Ok((IndexExpr::Axis(AxisId(self.id('i', "an axis")?)), 1));
            }
            _ => return Ok((IndexExpr::Sym(SymId(self.id('s', "an index expression")?)), 1)),
        };
        self.pos += self.peek_word().len();
        self.expect(b'(')?;
        let left = self.sum(depth)?;
        self.expect(b',')?;
        let right = self.sum(depth)?;
        self.expect(b')')?;
        self.node(node, left, right)
    }

    fn node(
        &self,
        node: fn(Box<IndexExpr>, Box<IndexExpr>) -> IndexExpr,
        (a, a_height): (IndexExpr, usize),
        (b, b_height): (IndexExpr, usize),
    ) -> Result1<(IndexExpr, usize)> {
        let height = 1 + a_height.max(b_height);
        if height > MAX_DEPTH {
            return self.fail(format!("an index expression is more than {MAX_DEPTH} deep"));
        }
        Ok((node(Box::new(a), Box::new(b)), height))
    }
}

#[cfg(test)]
mod tests;
