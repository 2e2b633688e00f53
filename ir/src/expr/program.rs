//! The meaning of a text before types are known: a DAG of calls over parameters and literals.
//!
//! A program is polymorphic in dtype, rank and size; `graph::lower` instantiates it. The parser makes
//! programs, and so does a tracer, by [`Program::param`], [`Program::literal`] and [`Program::call`].
//!
//! Invariants: operands of a node have smaller ids (so nothing here recurses), and equal nodes are one
//! node.

use super::lexer::{Token, lex};
use crate::id::ExprId;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A literal of a text, or a value that is fixed when a call is lowered.
#[derive(Clone, Debug)]
pub enum Attr {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Str(String),
    /// A list or a tuple.
    List(Vec<Attr>),
}

impl Attr {
    /// Equality of kind and bits: `1`, `1.0` and `True` differ, a NaN equals itself.
    fn key(&self) -> (u8, u64) {
        match self {
            Attr::None => (0, 0),
            Attr::Bool(b) => (1, u64::from(*b)),
            Attr::Int(i) => (2, *i as u64),
            Attr::Float(f) => (3, f.to_bits()),
            Attr::Str(s) => (4, s.len() as u64),
            Attr::List(l) => (5, l.len() as u64),
        }
    }
}

impl PartialEq for Attr {
    fn eq(&self, other: &Attr) -> bool {
        match (self, other) {
            (Attr::Str(a), Attr::Str(b)) => a == b,
            (Attr::List(a), Attr::List(b)) => a == b,
            _ => self.key() == other.key(),
        }
    }
}

impl Eq for Attr {}

impl Hash for Attr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
        match self {
            Attr::Str(s) => s.hash(state),
            Attr::List(l) => l.hash(state),
            Attr::None | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) => {}
        }
    }
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attr::None => f.write_str("None"),
            Attr::Bool(b) => f.write_str(if *b { "True" } else { "False" }),
            Attr::Int(i) => write!(f, "{i}"),
            Attr::Float(v) if v.is_nan() => f.write_str("nan"),
            Attr::Float(v) if v.is_infinite() => f.write_str(if *v > 0.0 { "inf" } else { "-inf" }),
            Attr::Float(v) => write!(f, "{v:?}"),
            Attr::Str(s) => write!(f, "'{s}'"),
            Attr::List(l) => {
                f.write_char('[')?;
                for (i, a) in l.iter().enumerate() {
                    write!(f, "{}{a}", if i == 0 { "" } else { ", " })?;
                }
                f.write_char(']')
            }
        }
    }
}

/// A parameter.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value when a call gives none.
    pub default: Option<Attr>,
}

/// A node of a program.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Expr {
    /// Parameter by position.
    Param(usize),
    /// A literal. Numbers are weak in promotion, as Python numbers are.
    Literal(Attr),
    /// An op by name. Operators are ops: `a + b` is `add(a, b)`.
    Call {
        /// Name in the op table.
        op: String,
        /// Positional arguments.
        args: Vec<ExprId>,
        /// Keyword arguments, in the order of the text.
        kwargs: Vec<(String, ExprId)>,
    },
}

/// Parameters, nodes and results; see the module.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The header's name.
    pub name: Option<String>,
    params: Vec<Param>,
    nodes: Vec<Expr>,
    outputs: Vec<ExprId>,
    gradients: Vec<usize>,
    seeds: Vec<usize>,
    valueless: bool,
    contracted: bool,
    /// Nodes by their hash; a colliding node is at the next free number.
    ids: HashMap<u64, ExprId>,
}

impl PartialEq for Program {
    fn eq(&self, o: &Program) -> bool {
        let key = |p: &Program| (p.valueless, p.contracted);
        (&self.name, &self.params, &self.nodes, &self.outputs, &self.gradients, &self.seeds, key(self))
            == (&o.name, &o.params, &o.nodes, &o.outputs, &o.gradients, &o.seeds, key(o))
    }
}

impl Program {
    /// A program without parameters and nodes.
    pub fn new() -> Program {
        Program::default()
    }

    /// Parameters, in positional order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Nodes; operands come first.
    pub fn nodes(&self) -> &[Expr] {
        &self.nodes
    }

    /// Results.
    pub fn outputs(&self) -> &[ExprId] {
        &self.outputs
    }

    /// Parameters by position whose gradients are results too, after [`Self::outputs`].
    pub fn gradients(&self) -> &[usize] {
        &self.gradients
    }

    /// The same program that also gives the gradients of its first result, which must be one number,
    /// with respect to these parameters.
    ///
    /// # Panics
    /// When there is no such parameter.
    pub fn with_gradients(mut self, params: &[usize]) -> Program {
        assert!(params.iter().all(|&p| p < self.params.len()), "gradients are of parameters");
        self.gradients = params.to_vec();
        self
    }

    /// The same program without its first result, whose gradients it gives.
    ///
    /// # Panics
    /// When it gives none.
    pub fn without_value(mut self) -> Program {
        assert!(!self.gradients.is_empty(), "without its value a program gives gradients");
        self.valueless = true;
        self
    }

    /// Whether the first of [`Self::outputs`] is differentiated but no result.
    pub fn is_valueless(&self) -> bool {
        self.valueless
    }

    /// The same program with the gradients and the rounding of `other`, whose parameters it has.
    pub(crate) fn marked_as(self, other: &Program) -> Program {
        let (gradients, seeds) = (other.gradients.clone(), other.seeds.clone());
        Program { gradients, seeds, valueless: other.valueless, contracted: other.contracted, ..self }
    }

    /// Whether a product that is added to or subtracted from something is rounded once, with the sum.
    pub fn is_contracted(&self) -> bool {
        self.contracted
    }

    /// The same program, whose own products and sums become `fma`. (The text does not say it.)
    pub fn contracted(mut self) -> Program {
        self.contracted = true;
        self
    }

    /// Parameters by position that hold the gradients of the results, in a [`Self::pullback`]; else empty.
    pub fn seeds(&self) -> &[usize] {
        &self.seeds
    }

    /// The program of a backward pass: its results are the gradients of the parameters `wrt`, given those of
    /// the results `of`, which are further parameters, after all others, in the order of `of`.
    ///
    /// # Panics
    /// When there is no such parameter or result, or the program has gradients already.
    pub fn pullback(&self, wrt: &[usize], of: &[usize]) -> Program {
        assert!(self.gradients.is_empty(), "a program with gradients is not differentiated again");
        let outputs = of.iter().map(|&i| self.outputs[i]).collect();
        let mut program = Program { outputs, ..self.clone() }.with_gradients(wrt);
        for i in 0..of.len() {
            let mut name = format!("grad{i}");
            while program.params.iter().any(|p| p.name == name) {
                name.push('_');
            }
            program.seeds.push(program.params.len());
            program.param(&name, None);
        }
        program
    }

    /// Adds a parameter, the next in positional order.
    pub fn param(&mut self, name: &str, default: Option<Attr>) -> ExprId {
        self.params.push(Param { name: name.to_string(), default });
        self.push(Expr::Param(self.params.len() - 1))
    }

    /// A literal.
    pub fn literal(&mut self, value: Attr) -> ExprId {
        self.push(Expr::Literal(value))
    }

    /// A call of the op of this name.
    ///
    /// # Panics
    /// When an argument is no node of this program.
    pub fn call(&mut self, op: &str, args: &[ExprId], kwargs: &[(&str, ExprId)]) -> ExprId {
        let known = |id: &ExprId| id.index() < self.nodes.len();
        assert!(args.iter().chain(kwargs.iter().map(|(_, id)| id)).all(known), "arguments are nodes of this program");
        let kwargs = kwargs.iter().map(|&(name, id)| (name.to_string(), id)).collect();
        self.push(Expr::Call { op: op.to_string(), args: args.to_vec(), kwargs })
    }

    /// Appends the nodes of `other`, its parameters being `args`; its results.
    ///
    /// # Panics
    /// When there is not one argument per parameter, or one is no node of this program.
    pub fn splice(&mut self, other: &Program, args: &[ExprId]) -> Vec<ExprId> {
        assert_eq!(args.len(), other.params.len(), "one argument per parameter");
        let mut here: Vec<ExprId> = Vec::with_capacity(other.nodes.len());
        for node in &other.nodes {
            let id = match node {
                Expr::Param(i) => args[*i],
                Expr::Literal(a) => self.literal(a.clone()),
                Expr::Call { op, args, kwargs } => {
                    let args: Vec<ExprId> = args.iter().map(|id| here[id.index()]).collect();
                    let kwargs: Vec<_> = kwargs.iter().map(|(k, id)| (k.as_str(), here[id.index()])).collect();
                    self.call(op, &args, &kwargs)
                }
            };
            here.push(id);
        }
        other.outputs.iter().map(|id| here[id.index()]).collect()
    }

    /// Appends a result.
    pub fn output(&mut self, id: ExprId) {
        self.outputs.push(id);
    }

    /// The node of this id.
    pub fn node(&self, id: ExprId) -> &Expr {
        &self.nodes[id.index()]
    }

    fn push(&mut self, node: Expr) -> ExprId {
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        let mut key = hasher.finish();
        while let Some(&id) = self.ids.get(&key) {
            if self.nodes[id.index()] == node {
                return id;
            }
            key = key.wrapping_add(1);
        }
        let id = ExprId::new(self.nodes.len());
        self.ids.insert(key, id);
        self.nodes.push(node);
        id
    }
}

/// Operators by op name: symbol, how tightly it binds (Python's order), and whether it is unary.
pub(super) const OPERATORS: [(&str, &str, u8, bool); 24] = [
    ("logical_or", "or", 2, false),
    ("logical_and", "and", 3, false),
    ("logical_not", "not ", 4, true),
    ("lt", "<", 5, false),
    ("le", "<=", 5, false),
    ("gt", ">", 5, false),
    ("ge", ">=", 5, false),
    ("eq", "==", 5, false),
    ("ne", "!=", 5, false),
    ("bitwise_or", "|", 6, false),
    ("bitwise_xor", "^", 7, false),
    ("bitwise_and", "&", 8, false),
    ("bitwise_left_shift", "<<", 9, false),
    ("bitwise_right_shift", ">>", 9, false),
    ("add", "+", 10, false),
    ("sub", "-", 10, false),
    ("mul", "*", 11, false),
    ("true_divide", "/", 11, false),
    ("floor_divide", "//", 11, false),
    ("remainder", "%", 11, false),
    ("neg", "-", 12, true),
    ("positive", "+", 12, true),
    ("bitwise_not", "~", 12, true),
    ("pow", "**", 13, false),
];

/// The header's name of a program without one.
pub(super) const ANONYMOUS: &str = "_";
/// Names and literals bind tightest.
const ATOM: u8 = 14;
/// Deeper texts are cut into statements when printed.
const PRINTED_DEPTH: usize = 24;

/// One node as text.
struct Printed {
    text: String,
    binding: u8,
    depth: usize,
}

impl Printed {
    fn atom(text: String) -> Printed {
        Printed { text, binding: ATOM, depth: 0 }
    }

    fn within(&self, out: &mut String, binding: u8) {
        if self.binding < binding {
            let _ = write!(out, "({})", self.text);
        } else {
            out.push_str(&self.text);
        }
    }
}

/// The text of the program. Parsing it gives an equal program; several results print as a tuple.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What no result needs is not printed, and uses nothing. Operands come before their uses.
        let mut uses = vec![0usize; self.nodes.len()];
        self.outputs.iter().for_each(|id| uses[id.index()] += 1);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if let (Expr::Call { args, kwargs, .. }, true) = (node, uses[i] > 0) {
                args.iter().chain(kwargs.iter().map(|(_, id)| id)).for_each(|id| uses[id.index()] += 1);
            }
        }
        let single = self.outputs.len() == 1;
        let mut statements: Vec<String> = Vec::new();
        let mut printed: Vec<Printed> = Vec::with_capacity(self.nodes.len());
        for (i, node) in self.nodes.iter().enumerate() {
            let p = match node {
                Expr::Param(i) => Printed::atom(self.params[*i].name.clone()),
                Expr::Literal(a) => {
                    let text = a.to_string();
                    // -1 is a literal again wherever a unary minus may stand.
                    Printed { binding: if text.starts_with('-') { 12 } else { ATOM }, text, depth: 0 }
                }
                Expr::Call { .. } if uses[i] == 0 => Printed::atom(String::new()),
                Expr::Call { op, args, kwargs } => self.print_call(op, args, kwargs, &mut printed, &uses),
            };
            let last = single && self.outputs[0].index() == i;
            let named = matches!(node, Expr::Call { .. }) && !last && (uses[i] > 1 || p.depth >= PRINTED_DEPTH);
            printed.push(if named {
                let name = self.fresh_name(statements.len() + 1);
                statements.push(format!("{name} = {}", p.text));
                Printed::atom(name)
            } else {
                p
            });
        }
        let results: Vec<&str> = self.outputs.iter().map(|id| printed[id.index()].text.as_str()).collect();
        statements.push(results.join(", "));
        let body = statements.join("; ");
        // A header is needed where the body does not say the same: a name, a default, another order.
        let defaults = self.params.iter().any(|p| p.default.is_some());
        if self.name.is_some() || defaults || !self.appear_in_order(&body) {
            write!(f, "{}({}) = ", self.name.as_deref().unwrap_or(ANONYMOUS), ParamList(&self.params))?;
        }
        f.write_str(&body)
    }
}

/// Parameters as a header lists them.
struct ParamList<'a>(&'a [Param]);

impl fmt::Display for ParamList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, p.name)?;
            if let Some(d) = &p.default {
                write!(f, "={d}")?;
            }
        }
        Ok(())
    }
}

impl Program {
    /// True when the first appearances of the parameters in `body` are all of them, in order.
    fn appear_in_order(&self, body: &str) -> bool {
        let tokens = lex(body).unwrap_or_default();
        let mut next = 0;
        for pair in tokens.windows(2) {
            let Token::Name(name) = pair[0].0 else { continue };
            if matches!(pair[1].0, Token::Punct("(" | "=")) {
                continue;
            }
            match self.params.iter().position(|p| p.name == name) {
                Some(i) if i == next => next += 1,
                Some(i) if i > next => return false,
                _ => {}
            }
        }
        next == self.params.len()
    }

    /// A name for statement `i` that no parameter has.
    fn fresh_name(&self, i: usize) -> String {
        let mut name = format!("t{i}");
        while self.params.iter().any(|p| p.name == name) {
            name.push('_');
        }
        name
    }

    fn print_call(
        &self,
        op: &str,
        args: &[ExprId],
        kwargs: &[(String, ExprId)],
        printed: &mut [Printed],
        uses: &[usize],
    ) -> Printed {
        let operands = || args.iter().chain(kwargs.iter().map(|(_, id)| id));
        let depth = 1 + operands().map(|id| printed[id.index()].depth).max().unwrap_or(0);
        let operator =
            OPERATORS.iter().find(|o| o.0 == op && kwargs.is_empty() && args.len() == if o.3 { 1 } else { 2 });
        let mut text = String::new();
        let at = |i: usize| &printed[args[i].index()];
        // A sign before a literal would be read as a part of it.
        let signed_literal = op == "neg" && args.iter().any(|id| matches!(self.node(*id), Expr::Literal(_)));
        let binding = match operator {
            Some(&(_, symbol, binding, true)) if !signed_literal => {
                text.push_str(symbol);
                at(0).within(&mut text, binding);
                binding
            }
            // The base of a power binds tighter than a sign before it, its exponent as a sign does.
            Some(&(_, symbol, binding, false)) if op == "pow" => {
                at(0).within(&mut text, ATOM);
                text.push_str(symbol);
                at(1).within(&mut text, 12);
                binding
            }
            Some(&(_, symbol, binding, false)) => {
                // Comparisons chain, so both sides of one bind tighter.
                at(0).within(&mut text, if binding == 5 { 6 } else { binding });
                let _ = write!(text, " {symbol} ");
                at(1).within(&mut text, binding + 1);
                binding
            }
            _ => {
                text.push_str(op);
                text.push('(');
                let mut comma = "";
                for id in args {
                    let _ = write!(text, "{comma}{}", printed[id.index()].text);
                    comma = ", ";
                }
                for (name, id) in kwargs {
                    let _ = write!(text, "{comma}{name}={}", printed[id.index()].text);
                    comma = ", ";
                }
                text.push(')');
                ATOM
            }
        };
        // An operand with one use is not needed again.
        for id in args.iter().chain(kwargs.iter().map(|(_, id)| id)) {
            if uses[id.index()] == 1 {
                printed[id.index()].text = String::new();
            }
        }
        Printed { text, binding, depth }
    }
}
