//! Ops as data: one [`OpDef`] per operation, built-in or registered by a user.
//!
//! The body is a text of the expression language. In the body of a built-in op, operators and a few
//! dozen names are [intrinsics](crate::graph::intrinsic): primitives, reductions and shape functions
//! over values that have been promoted by the op's [`DTypeRule`]; all other names are ops again. In
//! user text, registered ops included, every operator and name is an op.

use crate::dtype::DType;
use crate::expr::{Attr, Expr, ExprError, Functions, Program, parse};
use crate::graph::intrinsic::is_indirect;
use crate::id::ExprId;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};

/// Text that is static in the op table and owned in a registered op.
pub type Text = Cow<'static, str>;

/// How the dtypes of value arguments are made one before the body sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DTypeRule {
    /// The body promotes by itself.
    Inherit,
    /// PyTorch's `result_type` of all values.
    Promote,
    /// Promote; a 16-bit float is compared with values of its own dtype: others are rounded to it first, as
    /// PyTorch does, so that `x == 0.1` can hold.
    Compare,
    /// Promote; this error (PyTorch's words) for bool.
    NoBool(&'static str),
    /// Promote; integers and bool become the default float dtype.
    ToFloat,
    /// Promote; this kernel (PyTorch's name) is "not implemented for" integers and bool.
    FloatOnly(&'static str),
    /// As `FloatOnly`, but the results are of the first value's dtype, where others are of wider floats, with which the body
    /// computes.
    Mixed(&'static str),
    /// Promote; this kernel (PyTorch's name) is "not implemented for" floats.
    Bitwise(&'static str),
    /// Promote; this kernel (PyTorch's name) is "not implemented for" floats and bool.
    IntOnly(&'static str),
    /// Every value becomes bool.
    Logical,
    /// Sum and prod: integers and bool become i64.
    Accumulate,
    /// Promote; integers and bool are this error (PyTorch's words, `{}` standing for the dtype).
    FloatElse(&'static str),
}

/// What `torch.autocast("cpu")` makes of the float operands of an op, f64 excepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Autocast {
    /// Nothing.
    Keep,
    /// They become f32.
    F32,
    /// They become the dtype that autocast was asked for.
    Lower,
}

/// The class of a promoted dtype, which chooses a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Anything.
    Any,
    /// f32, and f16 and bf16, which are computed in it.
    F32,
    /// f16 and bf16.
    Half,
    /// f64.
    F64,
    /// Any float.
    Float,
    /// Integers, without bool.
    Int,
    /// Integers of 8 and 16 bits.
    Narrow,
    /// i32.
    I32,
    /// u8.
    U8,
    /// bool.
    Bool,
}

impl Class {
    /// True when `dtype` is of this class.
    pub fn contains(self, dtype: DType) -> bool {
        match self {
            Class::Any => true,
            Class::F32 => dtype.compute() == DType::F32,
            Class::Half => dtype.is_half(),
            Class::F64 => dtype == DType::F64,
            Class::Float => dtype.is_float(),
            Class::Int => dtype.is_int(),
            Class::Narrow => dtype.is_int() && dtype.size() < 4,
            Class::I32 => dtype == DType::I32,
            Class::U8 => dtype == DType::U8,
            Class::Bool => dtype == DType::Bool,
        }
    }
}

/// The function an op approximates, in f64 arithmetic.
#[derive(Clone, Copy, Debug)]
pub enum Reference {
    /// One value.
    Unary(fn(f64) -> f64),
    /// Two values.
    Binary(fn(f64, f64) -> f64),
    /// Three values.
    Ternary(fn(f64, f64, f64) -> f64),
    /// A vector to one number; the op is called with `dim=0`.
    Fold(fn(&[f64]) -> f64),
    /// A vector to a vector; the op is called with `dim=0`.
    Along(fn(&[f64]) -> Vec<f64>),
}

/// A parameter of an op.
#[derive(Clone, PartialEq, Debug)]
pub struct OpParam {
    /// Its name.
    pub name: String,
    /// Its value when a call gives none.
    pub default: Option<Attr>,
    /// Known when a call is lowered, and no part of promotion: `dim`, `keepdim`, shapes, modes.
    pub is_static: bool,
}

/// The static form of a built-in op: one row of the op table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name in expressions.
    pub name: &'static str,
    /// Parameters as a header writes them.
    pub params: &'static str,
    /// The parameters that are static, see [`OpParam::is_static`].
    pub statics: &'static [&'static str],
    /// One sentence.
    pub doc: &'static str,
    /// Promotion.
    pub rule: DTypeRule,
    /// The first body whose class holds the promoted dtype is taken.
    pub body: &'static [(Class, &'static str)],
    /// The gradient by parameter: texts over the parameters, `result` and `grad`, the gradient of the
    /// result, or `None` where nothing flows back. Empty: it is derived from the body. Parameters that are not listed have none;
    /// see [`Self::no_grad`].
    pub grad: &'static [(&'static str, &'static str)],
    /// Why there is no gradient, empty when there is one: of anything, or of the parameters that [`Self::grad`] leaves out.
    pub no_grad: &'static str,
    /// What it approximates.
    pub reference: Option<Reference>,
    /// Why there is no reference.
    pub unreferenced: &'static str,
    /// Largest error at f32 within the domain, in units of the last place.
    pub ulp_f32: Option<f64>,
    /// Largest error at f64 within the domain, in units of the last place.
    pub ulp_f64: Option<f64>,
    /// Where the bounds hold. Beyond it the error is below that of a result of 1.
    pub domain: (f64, f64),
    /// PyTorch's function, empty when there is none.
    pub torch: &'static str,
    /// NumPy's function, empty when there is none.
    pub np: &'static str,
    /// How it differs from PyTorch's function, empty when it does not.
    pub differs: &'static str,
    /// Its category under autocast.
    pub autocast: Autocast,
    /// Numbers must be of the promoted dtype's range, else they wrap.
    pub exact_numbers: bool,
    /// Called by other rows only.
    pub internal: bool,
}

impl Row {
    /// What rows leave out.
    pub const DEFAULT: Row = Row {
        name: "",
        params: "x",
        statics: &[],
        doc: "",
        rule: DTypeRule::Promote,
        body: &[],
        grad: &[],
        no_grad: "",
        reference: None,
        unreferenced: "",
        ulp_f32: None,
        ulp_f64: None,
        domain: (f64::NEG_INFINITY, f64::INFINITY),
        torch: "",
        np: "",
        differs: "",
        autocast: Autocast::Keep,
        exact_numbers: false,
        internal: false,
    };
}

/// An operation.
#[derive(Debug)]
pub struct OpDef {
    /// Name in expressions.
    pub name: Text,
    /// Parameters, in positional order.
    pub params: Vec<OpParam>,
    /// One sentence.
    pub doc: Text,
    /// Promotion.
    pub rule: DTypeRule,
    /// Bodies by class; see [`Row::body`].
    pub body: Vec<(Class, Text)>,
    /// Gradients by parameter; see [`Row::grad`].
    pub grad: Vec<(Text, Text)>,
    /// Why there is no gradient; see [`Row::no_grad`].
    pub no_grad: Text,
    /// What it approximates.
    pub reference: Option<Reference>,
    /// Why there is no reference.
    pub unreferenced: Text,
    /// Largest error at f32 within the domain, in units of the last place.
    pub ulp_f32: Option<f64>,
    /// Largest error at f64 within the domain, in units of the last place.
    pub ulp_f64: Option<f64>,
    /// Where the bounds hold. Beyond it the error is below that of a result of 1.
    pub domain: (f64, f64),
    /// PyTorch's function, empty when there is none.
    pub torch: Text,
    /// NumPy's function, empty when there is none.
    pub np: Text,
    /// How it differs from PyTorch's function, empty when it does not.
    pub differs: Text,
    /// Its category under autocast.
    pub autocast: Autocast,
    /// Numbers must be of the promoted dtype's range, else they wrap.
    pub exact_numbers: bool,
    /// Called by other ops only.
    pub internal: bool,
    /// Bodies see intrinsics. False for ops that users register.
    pub builtin: bool,
    parsed: Vec<OnceLock<Result<Arc<Program>, ExprError>>>,
}

impl From<&Row> for OpDef {
    /// # Panics
    /// When the row's parameters do not parse (a test parses all rows).
    fn from(row: &Row) -> OpDef {
        // A header alone is no program: the body is a zero.
        let program = parse(&format!("_({}) = 0", row.params), None);
        let program = program.expect("rows list their parameters in the grammar of headers");
        let params = program.params().iter().map(|p| OpParam {
            name: p.name.clone(),
            default: p.default.clone(),
            is_static: row.statics.contains(&p.name.as_str()),
        });
        let params = params.collect();
        OpDef {
            name: row.name.into(),
            params,
            doc: row.doc.into(),
            rule: row.rule,
            body: row.body.iter().map(|&(class, text)| (class, text.into())).collect(),
            grad: row.grad.iter().map(|&(param, text)| (param.into(), text.into())).collect(),
            no_grad: row.no_grad.into(),
            reference: row.reference,
            unreferenced: row.unreferenced.into(),
            ulp_f32: row.ulp_f32,
            ulp_f64: row.ulp_f64,
            domain: row.domain,
            torch: row.torch.into(),
            np: row.np.into(),
            differs: row.differs.into(),
            autocast: row.autocast,
            exact_numbers: row.exact_numbers,
            internal: row.internal,
            builtin: true,
            parsed: row.body.iter().map(|_| OnceLock::new()).collect(),
        }
    }
}

impl OpDef {
    /// An op of a user: `program` under `name`, promoting as its text does. `statics` are [`OpTable::statics`].
    pub fn registered(name: &str, text: &str, program: Program, statics: &[bool]) -> OpDef {
        let params = program.params().iter().zip(statics);
        let params =
            params.map(|(p, &is_static)| OpParam { name: p.name.clone(), default: p.default.clone(), is_static });
        OpDef {
            name: Cow::Owned(name.to_string()),
            params: params.collect(),
            doc: Cow::Owned(text.to_string()),
            rule: DTypeRule::Inherit,
            body: vec![(Class::Any, Cow::Owned(text.to_string()))],
            grad: vec![],
            no_grad: Cow::Borrowed(""),
            reference: None,
            unreferenced: Cow::Borrowed("registered"),
            ulp_f32: None,
            ulp_f64: None,
            domain: Row::DEFAULT.domain,
            torch: Cow::Borrowed(""),
            np: Cow::Borrowed(""),
            differs: Cow::Borrowed(""),
            autocast: Autocast::Keep,
            exact_numbers: false,
            internal: false,
            builtin: false,
            parsed: vec![OnceLock::from(Ok(Arc::new(program)))],
        }
    }

    /// Whether programs may call it: it is public, or an underscore before its name says that front ends do.
    pub fn is_callable(&self) -> bool {
        !self.internal || self.name.starts_with('_')
    }

    /// True for a function of its operands' elements.
    pub fn is_elementwise(&self) -> bool {
        matches!(self.reference, Some(Reference::Unary(_) | Reference::Binary(_) | Reference::Ternary(_)))
    }

    /// The program of a registered op.
    ///
    /// # Panics
    /// For a row.
    pub fn definition(&self) -> Arc<Program> {
        let parsed = self.parsed.first().and_then(OnceLock::get).cloned();
        parsed.and_then(Result::ok).filter(|_| !self.builtin).expect("registered ops are made of programs")
    }

    /// The parsed body for a promoted dtype. Its parameters are this op's.
    ///
    /// `None` when the op has no body for the dtype.
    pub fn program(&self, dtype: DType) -> Option<Result<Arc<Program>, ExprError>> {
        let i = self.body.iter().position(|(class, _)| class.contains(dtype))?;
        Some(self.parsed_body(i))
    }

    fn parsed_body(&self, i: usize) -> Result<Arc<Program>, ExprError> {
        let parsed = self.parsed[i].get_or_init(|| {
            let names: Vec<&str> = self.params.iter().map(|p| p.name.as_str()).collect();
            parse(&format!("{}({}) = {}", self.name, names.join(", "), self.body[i].1), None).map(Arc::new)
        });
        parsed.clone()
    }

    /// Parsed gradients: position of the parameter, and a program of this op's parameters, `result`
    /// and `grad`.
    pub fn gradients(&self) -> Result<Vec<(usize, Program)>, ExprError> {
        let names: Vec<&str> = self.params.iter().map(|p| p.name.as_str()).collect();
        let header = format!("{}({}, result, grad)", self.name, names.join(", "));
        let parsed = self.grad.iter().map(|(param, text)| {
            let i = names.iter().position(|n| n == param).expect("gradients are of parameters (a test looks)");
            parse(&format!("{header} = {text}"), None).map(|p| (i, p))
        });
        parsed.collect()
    }

    /// Which parameter takes which argument of a call: per parameter `Ok(position)` of a positional
    /// argument, `Err(index)` of a keyword, or none. Errors are worded as Python words them.
    pub fn bind(&self, positional: usize, keywords: &[&str]) -> Result<Vec<Option<Bound>>, String> {
        let name = &self.name;
        if positional > self.params.len() {
            let (takes, s) = (self.params.len(), if self.params.len() == 1 { "" } else { "s" });
            return Err(format!("{name}() takes {takes} positional argument{s} but {positional} were given"));
        }
        let mut bound: Vec<Option<Bound>> =
            (0..self.params.len()).map(|i| (i < positional).then_some(Bound::Positional(i))).collect();
        for (k, keyword) in keywords.iter().enumerate() {
            let Some(i) = self.params.iter().position(|p| p.name == *keyword) else {
                return Err(format!("{name}() got an unexpected keyword argument '{keyword}'"));
            };
            if bound[i].is_some() {
                return Err(format!("{name}() got multiple values for argument '{keyword}'"));
            }
            bound[i] = Some(Bound::Keyword(k));
        }
        let missing: Vec<String> = (self.params.iter().zip(&bound))
            .filter(|(p, b)| b.is_none() && p.default.is_none())
            .map(|(p, _)| format!("'{}'", p.name))
            .collect();
        if missing.is_empty() {
            return Ok(bound);
        }
        let s = if missing.len() == 1 { "" } else { "s" };
        Err(format!("{name}() missing {} required argument{s}: {}", missing.len(), missing.join(", ")))
    }
}

/// The argument of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// Positional argument number.
    Positional(usize),
    /// Keyword argument number.
    Keyword(usize),
}

/// All ops by name.
#[derive(Clone, Default, Debug)]
pub struct OpTable {
    ops: BTreeMap<String, Arc<OpDef>>,
}

impl OpTable {
    /// No ops.
    pub fn new() -> OpTable {
        OpTable::default()
    }

    /// Adds an op, or replaces the one of the same name.
    pub fn insert(&mut self, op: OpDef) -> Option<Arc<OpDef>> {
        self.ops.insert(op.name.to_string(), Arc::new(op))
    }

    /// The op of this name.
    pub fn lookup(&self, name: &str) -> Option<Arc<OpDef>> {
        self.ops.get(name).cloned()
    }

    /// Which parameters of a program are static: it hands them to static parameters of ops.
    pub fn statics(&self, program: &Program) -> Vec<bool> {
        let mut found = vec![false; program.params().len()];
        for node in program.nodes() {
            let Expr::Call { op, args, kwargs } = node else { continue };
            let Some(op) = self.lookup(op) else { continue };
            let named = kwargs.iter().filter_map(|(k, id)| Some((op.params.iter().find(|p| p.name == *k)?, id)));
            for (param, id) in op.params.iter().zip(args).chain(named) {
                if let (true, Expr::Param(i)) = (param.is_static, program.node(*id)) {
                    found[*i] = true;
                }
            }
        }
        found
    }

    /// Whether a program reads elements by index, which fails for an index out of range.
    pub fn reads_indirectly(&self, program: &Program) -> bool {
        // With: whether names may be intrinsics.
        let mut open = vec![(Arc::new(program.clone()), false)];
        let mut seen = HashSet::new();
        while let Some((program, builtin)) = open.pop() {
            for node in program.nodes() {
                let Expr::Call { op, .. } = node else { continue };
                if builtin && is_indirect(op) {
                    return true;
                }
                if let Some(def) = self.ops.get(op).filter(|_| seen.insert(op.clone())) {
                    open.extend((0..def.body.len()).filter_map(|i| Some((def.parsed_body(i).ok()?, def.builtin))));
                }
            }
        }
        false
    }

    /// The program with the definitions of registered ops in place of their calls, so that it means the
    /// same when they are replaced; `None` when it calls none. Registered ops hold no such calls
    /// themselves, when they were made of inlined programs.
    ///
    /// # Errors
    /// A call that does not fit, worded as Python words it.
    pub fn inlined(&self, program: &Program) -> Result<Option<Program>, String> {
        let registered = |name: &str| self.ops.get(name).filter(|op| !op.builtin);
        let calls = |node: &Expr| matches!(node, Expr::Call { op, .. } if registered(op).is_some());
        if !program.nodes().iter().any(calls) {
            return Ok(None);
        }
        let mut out = Program::new();
        out.name = program.name.clone();
        let params: Vec<ExprId> = program.params().iter().map(|p| out.param(&p.name, p.default.clone())).collect();
        let mut here: Vec<ExprId> = Vec::with_capacity(program.nodes().len());
        for node in program.nodes() {
            let id = match node {
                Expr::Param(i) => params[*i],
                Expr::Literal(a) => out.literal(a.clone()),
                Expr::Call { op, args, kwargs } => {
                    let args: Vec<ExprId> = args.iter().map(|id| here[id.index()]).collect();
                    let kwargs: Vec<_> = kwargs.iter().map(|(k, id)| (k.as_str(), here[id.index()])).collect();
                    self.call_in(&mut out, op, &args, &kwargs)?
                }
            };
            here.push(id);
        }
        program.outputs().iter().for_each(|id| out.output(here[id.index()]));
        Ok(Some(out.marked_as(program)))
    }

    /// Appends a call: of a registered op, its definition.
    ///
    /// # Errors
    /// A call that does not fit, worded as Python words it.
    pub fn call_in(
        &self,
        program: &mut Program,
        name: &str,
        args: &[ExprId],
        kwargs: &[(&str, ExprId)],
    ) -> Result<ExprId, String> {
        let Some(op) = self.ops.get(name).filter(|op| !op.builtin) else {
            return Ok(program.call(name, args, kwargs));
        };
        let keywords: Vec<&str> = kwargs.iter().map(|k| k.0).collect();
        let bound = op.bind(args.len(), &keywords)?;
        let given = bound.iter().zip(&op.params).map(|(bound, param)| match bound {
            Some(Bound::Positional(i)) => args[*i],
            Some(Bound::Keyword(k)) => kwargs[*k].1,
            None => program.literal(param.default.clone().expect("bind requires the others")),
        });
        let given: Vec<ExprId> = given.collect();
        let body = op.definition();
        Ok(program.splice(&body, &given)[0])
    }

    /// Every op, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<OpDef>> {
        self.ops.values()
    }
}

impl Functions for OpTable {
    fn check_call(&self, name: &str, positional: usize, keywords: &[&str]) -> Option<Result<(), String>> {
        let op = self.ops.get(name).filter(|op| op.is_callable())?;
        Some(op.bind(positional, keywords).map(|_| ()))
    }

    fn names(&self) -> Vec<String> {
        self.ops.values().filter(|op| !op.internal).map(|op| op.name.to_string()).collect()
    }
}
