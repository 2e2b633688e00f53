//! Accuracy of the unary rows, measured: machine code over all f32 inputs, or a sample of them, against
//! functions that are correctly rounded or of f64 arithmetic.
//!
//! An error is the distance from the exact value, not from its rounding, in units of the last place of
//! the exact value (2^(e-23) where 2^e is its binade, 2^-149 below the normal numbers), so a correctly
//! rounded result has at most 0.5. Where the exact value rounds to a NaN, an infinity or a zero, there is no
//! distance: the result must be that very value, else it counts as a mismatch.

use core_math as cr;
use rusttorch_ir::dtype::DType;
use rusttorch_ir::expr::{Program, parse};
use rusttorch_ir::graph::{Operand, TensorMeta};
use rusttorch_ir::op::Reference;
use rusttorch_ops::engine::{self, Layout, Plan, PlanOptions};
use rusttorch_ops::table::rows;
use rusttorch_runtime::Tensor;
use rusttorch_runtime::pool::Serial;
use serde_json::{Value, json};

/// A unary function and what is known of it without us.
#[derive(Clone)]
pub struct Function {
    /// The row's name; `gelu` has two.
    pub name: String,
    /// The expression of `x` that is measured.
    pub text: String,
    /// Its value in f64.
    pub exact: fn(f64) -> f64,
    /// Its correctly rounded f32; otherwise `exact` is rounded.
    pub rounded: Option<fn(f32) -> f32>,
    /// Where the row's bound holds.
    pub domain: (f64, f64),
    /// The row's bound at f32.
    pub bound: Option<f64>,
    /// The same function elsewhere, as a Python expression of `x`; empty where there is none.
    pub torch: String,
    /// See `torch`.
    pub numpy: String,
}

impl Function {
    /// Whether the row's bound holds at `x`; NaN is within.
    fn contains(&self, x: f32) -> bool {
        !(f64::from(x) < self.domain.0 || f64::from(x) > self.domain.1)
    }
}

/// CORE-MATH: name, f64, f32; all correctly rounded.
type Rounded = (&'static str, fn(f64) -> f64, fn(f32) -> f32);
const CORE_MATH: &[Rounded] = &[
    ("acos", cr::acos, cr::acosf),
    ("acosh", cr::acosh, cr::acoshf),
    ("asin", cr::asin, cr::asinf),
    ("asinh", cr::asinh, cr::asinhf),
    ("atan", cr::atan, cr::atanf),
    ("atanh", cr::atanh, cr::atanhf),
    ("cos", cr::cos, cr::cosf),
    ("cosh", cr::cosh, cr::coshf),
    ("erf", cr::erf, cr::erff),
    ("erfc", cr::erfc, cr::erfcf),
    ("exp", cr::exp, cr::expf),
    ("exp2", cr::exp2, cr::exp2f),
    ("expm1", cr::expm1, cr::expm1f),
    ("lgamma", cr::lgamma, cr::lgammaf),
    ("log", cr::log, cr::logf),
    ("log10", cr::log10, cr::log10f),
    ("log1p", cr::log1p, cr::log1pf),
    ("log2", cr::log2, cr::log2f),
    ("rsqrt", cr::rsqrt, cr::rsqrtf),
    ("sin", cr::sin, cr::sinf),
    ("sinh", cr::sinh, cr::sinhf),
    ("tan", cr::tan, cr::tanf),
    ("tanh", cr::tanh, cr::tanhf),
];

/// Most used first: the order of measurement and of the table.
const FIRST: &[&str] = &[
    "exp",
    "log",
    "tanh",
    "sigmoid",
    "silu",
    "gelu",
    "gelu_tanh",
    "erf",
    "sin",
    "cos",
    "softplus",
    "mish",
    "rsqrt",
    "log1p",
    "expm1",
];

/// Every row of one float operand that has a reference and gives floats.
pub fn functions() -> Vec<Function> {
    let mut all: Vec<Function> = Vec::new();
    for row in rows() {
        let Some(Reference::Unary(reference)) = row.reference else { continue };
        // gelu is two functions, its helper rows.
        let (name, text, torch) = match row.name {
            "gelu_erf" => ("gelu", "gelu(x)".to_string(), "torch.nn.functional.gelu(x)".to_string()),
            "gelu_tanh" => (
                "gelu_tanh",
                "gelu(x, approximate='tanh')".to_string(),
                "torch.nn.functional.gelu(x, approximate='tanh')".to_string(),
            ),
            _ if row.internal => continue,
            name => (name, format!("{name}(x)"), format!("{}(x)", row.torch)),
        };
        let library = CORE_MATH.iter().find(|(n, ..)| *n == name);
        let function = Function {
            name: name.to_string(),
            text,
            exact: library.map_or(reference, |l| l.1),
            rounded: library.map(|l| l.2),
            domain: row.domain,
            bound: row.ulp_f32,
            torch: if row.torch.is_empty() && !row.internal { String::new() } else { torch },
            numpy: if row.np.is_empty() { String::new() } else { format!("{}(x)", row.np) },
        };
        if Kernel::new(&function.text, 8).is_err() {
            continue;
        }
        // Where the bound does not hold is measured all the same, apart.
        if function.domain.0.is_finite() {
            let (name, domain) = (format!("{name}_tail"), (f64::NEG_INFINITY, function.domain.0.next_down()));
            all.push(Function { name, domain, bound: None, ..function.clone() });
        }
        all.push(function);
    }
    let rank = |f: &Function| FIRST.iter().position(|n| *n == f.name).unwrap_or(FIRST.len());
    all.sort_by_key(|f| (rank(f), f.name.clone()));
    all
}

/// What is promised of rows at f32 within their domains, in ULP. Less is promised of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// At most 1.
    One,
    /// At most 2, or torch's worst on the same inputs if that is more.
    TwoOrTorch,
}

/// The rows of which something is promised.
pub fn promise(name: &str) -> Option<Promise> {
    match name {
        "exp" | "exp2" | "expm1" | "log" | "log2" | "log10" | "log1p" | "sin" | "cos" | "tan" | "tanh" | "erf" => {
            Some(Promise::One)
        }
        "sigmoid" | "silu" | "gelu" | "gelu_tanh" | "softplus" | "mish" | "rsqrt" => Some(Promise::TwoOrTorch),
        _ => None,
    }
}

/// What a function's kernel is, as a number: results measured of one kernel say nothing of another.
pub fn fingerprint(text: &str) -> Result<String, String> {
    let (program, operands) = call(text, 8)?;
    let stages = engine::lower_and_fuse(&program, &operands, OPTIONS).map_err(|e| e.to_string())?;
    // FNV-1a.
    let hash = stages
        .fused
        .kernel
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h: u64, byte| (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    Ok(format!("{hash:016x}"))
}

const OPTIONS: PlanOptions = PlanOptions { default_dtype: DType::F32, layout: Layout::Torch, autocast: None };

/// An expression of `x`, and a block as its operand.
fn call(text: &str, len: usize) -> Result<(Program, [Operand; 1]), String> {
    let table = engine::table().read().map_err(|e| e.to_string())?;
    let program = parse(text, Some(&*table)).map_err(|e| e.to_string())?;
    Ok((program, [Operand::Tensor(TensorMeta::contiguous(DType::F32, &[len as i64]))]))
}

/// Compiled code of one function over blocks of one length.
pub struct Kernel {
    plan: Plan,
}

impl Kernel {
    /// The machine code of an expression of `x`; an error also where it is no function from f32 to f32.
    pub fn new(text: &str, len: usize) -> Result<Kernel, String> {
        let (program, operands) = call(text, len)?;
        let plan = engine::plan(&program, &operands, OPTIONS).map_err(|e| e.to_string())?;
        let float = matches!(plan.outputs(), [out] if out.dtype == DType::F32);
        if float && plan.is_compiled() { Ok(Kernel { plan }) } else { Err(format!("{text} is no compiled f32")) }
    }

    /// The function of every element.
    pub fn run(&self, x: &[f32]) -> Result<Vec<f32>, String> {
        let message = |e: &dyn std::fmt::Display| e.to_string();
        let shape = [x.len() as i64];
        let input = Tensor::from_slice(x, &shape).map_err(|e| message(&e))?;
        let mut out = [Tensor::empty_strided(&shape, &[1], DType::F32).map_err(|e| message(&e))?];
        self.plan.run_tensors(&[&input], &mut out, &[], &Serial).map_err(|e| message(&e))?;
        out[0].to_vec::<f32>().map_err(|e| message(&e))
    }
}

/// The exact values of a function over a block.
pub struct Truth {
    exact: Vec<f64>,
    rounded: Vec<f32>,
    /// What the correctly rounded results make.
    best: Tally,
}

impl Truth {
    /// Evaluates the references.
    pub fn new(function: &Function, x: &[f32]) -> Truth {
        let exact: Vec<f64> = x.iter().map(|&x| (function.exact)(f64::from(x))).collect();
        let rounded: Vec<f32> = match function.rounded {
            Some(f) => x.iter().map(|&x| f(x)).collect(),
            None => exact.iter().map(|&v| v as f32).collect(),
        };
        let mut best = Tally::default();
        for ((&x, &exact), &rounded) in x.iter().zip(&exact).zip(&rounded) {
            if function.contains(x) && rounded.is_finite() {
                best.add_error(ulps(rounded, exact), x);
                best.count += 1;
            }
        }
        Truth { exact, rounded, best }
    }
}

/// Errors of one implementation, summed up.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Tally {
    /// The largest error, in ULP.
    pub worst: f64,
    /// The input it is at.
    pub at: f32,
    /// The sum of all errors.
    pub sum: f64,
    /// The number of errors summed.
    pub count: u64,
    /// Results that are not the nearest f32.
    pub misrounded: u64,
    /// Results that are no NaN, infinity or finite number where the exact value rounds to one.
    pub mismatched: u64,
    /// An input of those.
    pub mismatch: f32,
    /// Zeros of the other sign.
    pub zeros: u64,
}

/// 2^128: what f32 would hold next to its largest value.
const TWO_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

/// The distance of `got` from `exact` in units of the last place of `exact`.
fn ulps(got: f32, exact: f64) -> f64 {
    let binade = exact.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() & 0x7ff0_0000_0000_0000;
    // 1 / (binade * 2^-23), a power of two: as good as a division, and a third of its time.
    let per_ulp = f64::from_bits(((2 * 1023 + 23) << 52) - binade);
    (f64::from(got).clamp(-TWO_128, TWO_128) - exact).abs() * per_ulp
}

impl Tally {
    /// Adds the results of a block: those of the correctly rounded function, corrected where they differ.
    pub fn add(&mut self, function: &Function, x: &[f32], got: &[f32], truth: &Truth) {
        self.merge(&truth.best);
        for (i, (&got, &rounded)) in got.iter().zip(&truth.rounded).enumerate() {
            if got.to_bits() == rounded.to_bits() {
                continue;
            }
            let (x, exact) = (x[i], truth.exact[i]);
            if !function.contains(x) {
                continue;
            }
            let nearest = if rounded.is_finite() { ulps(rounded, exact) } else { 0.0 };
            if !rounded.is_finite() || got.is_nan() {
                let same = got == rounded || (got.is_nan() && rounded.is_nan());
                if !same {
                    (self.mismatched, self.mismatch) = (self.mismatched + 1, x);
                    self.sum -= nearest;
                    self.count -= u64::from(rounded.is_finite());
                }
                continue;
            }
            self.zeros += u64::from(got == 0.0 && exact == 0.0 && got.is_sign_negative() != exact.is_sign_negative());
            self.misrounded += u64::from(got != rounded);
            self.sum -= nearest;
            // No less than the nearest number's, so the worst error of those is never too large.
            self.add_error(ulps(got, exact), x);
        }
    }

    fn add_error(&mut self, error: f64, x: f32) {
        self.sum += error;
        if error > self.worst {
            (self.worst, self.at) = (error, x);
        }
    }

    /// Adds what another thread found.
    pub fn merge(&mut self, other: &Tally) {
        if other.worst > self.worst || (other.worst == self.worst && other.at.to_bits() < self.at.to_bits()) {
            (self.worst, self.at) = (other.worst, other.at);
        }
        if other.mismatched > 0 {
            self.mismatch = other.mismatch;
        }
        self.sum += other.sum;
        self.count += other.count;
        self.misrounded += other.misrounded;
        self.mismatched += other.mismatched;
        self.zeros += other.zeros;
    }

    /// The mean error.
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    /// As the record keeps it.
    pub fn to_json(&self) -> Value {
        let digits = |v: f64| if v < 1e6 { (v * 1e5).round() / 1e5 } else { v.round() };
        json!({
            "worst": digits(self.worst), "at": format!("{:e}", self.at), "mean": digits(self.mean()),
            "misrounded": self.misrounded, "mismatched": self.mismatched,
            "mismatch": if self.mismatched > 0 { format!("{:e}", self.mismatch) } else { String::new() },
            "zeros": self.zeros, "count": self.count,
        })
    }
}

/// The inputs of block number `block`: bit patterns `stride` apart.
pub fn inputs(block: u64, len: usize, stride: u64) -> Vec<f32> {
    let first = block * len as u64 * stride;
    let left = ((1u64 << 32) - first).div_ceil(stride);
    (0..left.min(len as u64)).map(|i| f32::from_bits((first + i * stride) as u32)).collect()
}
