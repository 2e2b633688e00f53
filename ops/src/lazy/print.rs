//! Tensors as text, as `torch.Tensor.__repr__` lays them out: the columns of numbers have one width, large
//! tensors are shown by their edges.

use super::scalar::Scalar;
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::Tensor as Memory;

/// `torch.set_printoptions`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PrintOptions {
    /// Digits behind the point.
    pub precision: usize,
    /// Elements from which on a tensor is shown by its edges.
    pub threshold: f64,
    /// Elements at each edge.
    pub edgeitems: i64,
    /// Columns of text.
    pub linewidth: usize,
    /// Powers of ten: always, never, or where needed.
    pub sci_mode: Option<bool>,
}

impl Default for PrintOptions {
    fn default() -> PrintOptions {
        PrintOptions { precision: 4, threshold: 1000.0, edgeitems: 3, linewidth: 80, sci_mode: None }
    }
}

/// What a tensor's text begins with.
const PREFIX: &str = "RustTorch(";

/// The text of a tensor; `default` is the dtype that goes unsaid.
pub fn repr(memory: &Memory, options: &PrintOptions, default: DType) -> String {
    let dtype = memory.dtype();
    let mut suffixes = Vec::new();
    let unsaid = if memory.numel() == 0 { vec![default] } else { vec![default, DType::I64, DType::Bool] };
    let body = if memory.numel() == 0 {
        if memory.rank() != 1 {
            suffixes.push(format!("size={}", tuple(memory.shape())));
        }
        "[]".to_owned()
    } else {
        let layout = Layout::new(memory, options);
        layout.text(&mut Vec::new(), PREFIX.len())
    };
    if !unsaid.contains(&dtype) {
        suffixes.push(format!("dtype=rusttorch.{}", dtype.torch_name()));
    }
    with_suffixes(format!("{PREFIX}{body}"), &suffixes, options.linewidth)
}

/// As Python writes a tuple.
fn tuple(shape: &[i64]) -> String {
    let items: Vec<String> = shape.iter().map(i64::to_string).collect();
    format!("({}{})", items.join(", "), if shape.len() == 1 { "," } else { "" })
}

fn with_suffixes(mut text: String, suffixes: &[String], linewidth: usize) -> String {
    // Counted from the line break, or from one before the text.
    let mut last = text.rfind('\n').map_or(text.len() + 2, |at| text.len() - at + 1);
    for suffix in suffixes {
        if last + suffix.len() + 2 > linewidth {
            text += &format!(",\n{}{suffix}", " ".repeat(PREFIX.len()));
            last = PREFIX.len() + suffix.len();
        } else {
            text += &format!(", {suffix}");
            last += suffix.len() + 2;
        }
    }
    text + ")"
}

/// How all numbers of a tensor are written.
struct Layout<'a> {
    memory: &'a Memory,
    options: &'a PrintOptions,
    summarize: bool,
    width: usize,
    is_int: bool,
    scientific: bool,
}

/// `{:.pe}` as Python writes it: a sign and two digits in the exponent.
fn scientific(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return plain(value, precision);
    }
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `{:.pf}` as Python writes it.
fn plain(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    format!("{value:.precision$}")
}

impl<'a> Layout<'a> {
    fn new(memory: &'a Memory, options: &'a PrintOptions) -> Layout<'a> {
        let summarize = memory.numel() as f64 > options.threshold;
        let mut layout = Layout { memory, options, summarize, width: 0, is_int: true, scientific: false };
        let mut shown = Vec::new();
        layout.for_shown(&mut Vec::new(), &mut |s| shown.push(s));
        let floats: Vec<f64> =
            shown.iter().filter_map(|s| if let Scalar::Float(f) = s { Some(*f) } else { None }).collect();
        if !memory.dtype().is_float() {
            layout.width = shown.iter().map(|&s| layout.number(s).len()).max().unwrap_or(0);
            return layout;
        }
        layout.width = 1;
        let counted: Vec<f64> = floats.into_iter().filter(|v| v.is_finite() && *v != 0.0).collect();
        if counted.is_empty() {
            return layout;
        }
        let (low, high) =
            counted.iter().fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v.abs()), high.max(v.abs())));
        layout.is_int = counted.iter().all(|v| v.ceil() == *v);
        let precision = options.precision;
        layout.scientific = options.sci_mode.unwrap_or(high / low > 1000.0 || high > 1e8 || low < 1e-4);
        let measure = |v: &f64| match (layout.scientific, layout.is_int) {
            (true, _) => scientific(*v, precision).len(),
            (false, true) => plain(*v, 0).len() + 1,
            (false, false) => plain(*v, precision).len(),
        };
        layout.width = counted.iter().map(measure).max().unwrap_or(0).max(1);
        layout
    }

    fn number(&self, scalar: Scalar) -> String {
        match scalar {
            Scalar::Bool(b) => if b { "True" } else { "False" }.to_owned(),
            Scalar::Int(i) => i.to_string(),
            Scalar::Float(v) if self.scientific => scientific(v, self.options.precision),
            Scalar::Float(v) if self.is_int && v.is_finite() => plain(v, 0) + ".",
            Scalar::Float(v) if self.is_int => plain(v, 0),
            Scalar::Float(v) => plain(v, self.options.precision),
        }
    }

    fn padded(&self, scalar: Scalar) -> String {
        format!("{:>1$}", self.number(scalar), self.width)
    }

    /// Indices of a dimension that are shown, and whether some in the middle are left out.
    fn edges(&self, n: i64) -> (Vec<i64>, bool) {
        let edge = self.options.edgeitems;
        if self.summarize && n > edge.saturating_mul(2) {
            ((0..edge).chain(n - edge..n).collect(), true)
        } else {
            ((0..n).collect(), false)
        }
    }

    fn for_shown(&self, index: &mut Vec<i64>, f: &mut impl FnMut(Scalar)) {
        if index.len() == self.memory.rank() {
            return f(Scalar::at(self.memory, index));
        }
        for i in self.edges(self.memory.shape()[index.len()]).0 {
            index.push(i);
            self.for_shown(index, f);
            index.pop();
        }
    }

    /// The part of the tensor under an index.
    fn text(&self, index: &mut Vec<i64>, indent: usize) -> String {
        let left = self.memory.rank() - index.len();
        if left == 0 {
            return self.padded(Scalar::at(self.memory, index));
        }
        let (shown, cut) = self.edges(self.memory.shape()[index.len()]);
        let mut parts: Vec<String> = Vec::with_capacity(shown.len() + 1);
        for (k, &i) in shown.iter().enumerate() {
            if cut && k == shown.len() / 2 {
                parts.push(if left == 1 { " ..." } else { "..." }.to_owned());
            }
            index.push(i);
            parts.push(self.text(index, indent + 1));
            index.pop();
        }
        let newline = |n: usize| format!(",{}{}", "\n".repeat(n), " ".repeat(indent + 1));
        if left > 1 {
            return format!("[{}]", parts.join(&newline(left - 1)));
        }
        let per_line = (self.options.linewidth.saturating_sub(indent) / (self.width + 2)).max(1);
        let lines: Vec<String> = parts.chunks(per_line).map(|line| line.join(", ")).collect();
        format!("[{}]", lines.join(&newline(1)))
    }
}
