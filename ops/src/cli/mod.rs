//! The `rusttorch` command: `inspect`, `ops`, `bench`, `doctor`. The binary and the Python wheel's
//! console script both enter at [`main`].

mod bench;
mod doctor;
mod last;
mod listing;
mod reference;
mod spec;
mod style;

pub use reference::docstring;

use crate::engine::{self, Layout, PlanOptions};
use crate::error::{Error, ErrorKind, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rusttorch_codegen::Isa;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::{Program, parse};
use rusttorch_ir::graph::{Operand, TensorMeta};
use std::io::Write;
use std::sync::PoisonError;
use style::Style;

#[derive(Parser)]
#[command(name = "rusttorch", version, about = "Fused, JIT-compiled CPU kernels", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// When to colour the output.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    /// Show what an expression becomes: graph, kernel, Cranelift IR, assembly.
    #[command(
        after_help = "Examples:\n  rusttorch inspect \"relu(x*w + b)\" --arg x:f32[1024,1024] --arg w:f32[1024] --arg b:f32[1024] --emit kernel\n  rusttorch inspect gelu\n  rusttorch inspect --import my_ops swiglu\n  RUSTTORCH_DUMP=dump python train.py; RUSTTORCH_DUMP=dump rusttorch inspect --last 3"
    )]
    Inspect {
        /// An expression over the arguments, or an operation's name.
        #[arg(required_unless_present = "last")]
        expr: Option<String>,
        #[command(flatten)]
        args: Operands,
        /// Show the last kernels instead, one without a number: those in the directory RUSTTORCH_DUMP if that
        /// is set, else those that this process compiled.
        #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "1", conflicts_with = "expr")]
        last: Option<usize>,
        /// What to show.
        #[arg(long, value_enum, default_value_t = Emit::Asm)]
        emit: Emit,
        /// Instruction set to compile for: baseline, avx2, avx512, avx512_bf16 or neon (this machine's by default).
        #[arg(long, value_parser = isa)]
        isa: Option<Isa>,
    },
    /// List the operations, or describe one.
    Ops {
        /// Describe this operation.
        name: Option<String>,
        /// Print the reference of all operations, docs/ops.md.
        #[arg(long, conflicts_with = "name")]
        reference: bool,
    },
    /// Time an expression: microseconds, GB/s, and the share of what memory gives (`python -m rusttorch.bench` compares with
    /// other libraries).
    Bench {
        /// An expression over the arguments, or an operation's name.
        expr: String,
        #[command(flatten)]
        args: Operands,
        /// Threads to use at most; of those that there are.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        threads: u32,
    },
    /// Tell what this machine and this installation can do.
    Doctor,
}

#[derive(Args)]
struct Operands {
    /// An argument: NAME:DTYPE[EXTENTS] for a tensor, NAME:float, NAME:int or NAME:bool for a number. Those of an
    /// operation's name that are not given are f32[1024].
    #[arg(long = "arg", value_name = "NAME:DTYPE[EXTENTS]")]
    args: Vec<String>,
    /// Import a Python module first, for the operations that it registers.
    #[arg(long = "import", value_name = "MODULE")]
    import: Vec<String>,
}

/// Imports a Python module; the error is a text.
pub type Import<'a> = &'a dyn Fn(&str) -> std::result::Result<(), String>;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Emit {
    /// The typed graph.
    Graph,
    /// The fused kernel, as .rtir.
    Kernel,
    /// Cranelift's intermediate form.
    Clif,
    /// Machine code.
    Asm,
    /// All of them.
    All,
}

fn isa(text: &str) -> std::result::Result<Isa, String> {
    Isa::parse(text).ok_or_else(|| format!("expected one of {}", Isa::NAMES.map(|(_, n)| n).join(", ")))
}

/// A parsed expression and its operands, in the program's order.
struct Problem {
    program: Program,
    operands: Vec<Operand>,
}

impl Operands {
    fn problem(&self, expr: &str, import: Option<Import<'_>>) -> Result<Problem> {
        for module in &self.import {
            let import = import.ok_or_else(|| {
                Error::new(ErrorKind::NotImplemented, "--import needs the Python package's rusttorch command")
            })?;
            import(module).map_err(|e| Error::new(ErrorKind::Value, format!("--import {module}: {e}")))?;
        }
        // A name that would be an expression of itself alone is an operation.
        let op = engine::op_program(expr).filter(|_| !self.args.iter().any(|a| a.split(':').next() == Some(expr)));
        let is_op = op.is_some();
        let program = match op {
            Some((program, _)) => program,
            None => {
                let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
                let program = parse(expr, Some(&*table))?;
                table.inlined(&program).map_err(|e| Error::new(ErrorKind::Type, e))?.unwrap_or(program)
            }
        };
        let mut given = Vec::new();
        for text in &self.args {
            let (name, operand) = spec::parse(text).map_err(|e| Error::new(ErrorKind::Value, e))?;
            if given.iter().any(|(n, _)| *n == name) {
                return Err(Error::new(ErrorKind::Value, format!("--arg {name} is given twice")));
            }
            given.push((name, operand));
        }
        let mut operands = Vec::new();
        for p in program.params() {
            let found = given.iter().position(|(name, _)| *name == p.name).map(|i| given.remove(i).1);
            let made_up = || is_op.then(|| Operand::Tensor(TensorMeta::contiguous(DType::F32, &[1024])));
            let default = || p.default.clone().map(Operand::Literal).or_else(made_up);
            let missing = || Error::new(ErrorKind::Type, format!("missing --arg {}:DTYPE[EXTENTS]", p.name));
            operands.push(found.or_else(default).ok_or_else(missing)?);
        }
        match given.first() {
            Some((name, _)) => Err(Error::new(ErrorKind::Type, format!("the expression has no argument {name}"))),
            None => Ok(Problem { program, operands }),
        }
    }
}

const OPTIONS: PlanOptions = PlanOptions { default_dtype: DType::F32, layout: Layout::Torch, autocast: None };

/// Runs the command line `args` (with the program's name first) and gives the exit code: 0, 1 for an
/// error of the work asked for, 2 for a wrong command line.
pub fn main<I: IntoIterator<Item = String>>(args: I) -> i32 {
    main_with(args, None)
}

/// As [`main`], within a Python interpreter that imports modules.
pub fn main_with<I: IntoIterator<Item = String>>(args: I, import: Option<Import<'_>>) -> i32 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // A closed pipe leaves nobody to tell.
            let _ = e.print();
            return e.exit_code();
        }
    };
    let style = Style::new(matches!(cli.color, Color::Always), matches!(cli.color, Color::Never) || cli.json);
    let result = match &cli.command {
        Command::Inspect { last: Some(count), emit, .. } => last::report(*count, *emit, cli.json, style),
        Command::Inspect { expr, args, emit, isa, .. } => args
            .problem(expr.as_deref().unwrap_or_default(), import)
            .and_then(|p| inspect(&p, *emit, *isa, cli.json, style)),
        Command::Ops { reference: true, .. } => Ok(reference::text()),
        Command::Ops { name, .. } => listing::ops(name.as_deref(), cli.json, style),
        Command::Bench { expr, args, threads } => {
            args.problem(expr, import).and_then(|p| bench::run(&p, *threads as usize, cli.json, style))
        }
        Command::Doctor => Ok(doctor::report(cli.json, style)),
    };
    match result {
        Ok(text) => {
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
            0
        }
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "{} {e}", style.red("error:"));
            1
        }
    }
}

fn inspect(problem: &Problem, emit: Emit, isa: Option<Isa>, json: bool, style: Style) -> Result<String> {
    let seen = engine::inspect(&problem.program, &problem.operands, OPTIONS, isa)?;
    let code = || seen.code.clone().map_err(|e| Error::new(ErrorKind::NotImplemented, e));
    let sections = match emit {
        Emit::Graph => vec![("graph", seen.graph.clone())],
        Emit::Kernel => vec![("kernel", seen.kernel.clone())],
        Emit::Clif => vec![("clif", code()?.clif)],
        Emit::Asm => vec![("asm", code()?.asm)],
        Emit::All => {
            let code = code()?;
            vec![("graph", seen.graph.clone()), ("kernel", seen.kernel.clone()), ("clif", code.clif), ("asm", code.asm)]
        }
    };
    if json {
        let map: serde_json::Map<String, serde_json::Value> =
            sections.into_iter().map(|(k, v)| (k.to_string(), v.into())).collect();
        return Ok(serde_json::Value::Object(map).to_string());
    }
    let many = sections.len() > 1;
    Ok(sections
        .into_iter()
        .map(|(name, text)| {
            let head = if many { format!("{}\n", style.bold(&format!("== {name}"))) } else { String::new() };
            format!("{head}{}\n", style.code(&text))
        })
        .collect())
}
