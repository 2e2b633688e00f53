//! Random maps of u8, i8 and bool, which have code of their own: few bodies of [`super::random_kernel`] keep to bytes.

use super::{Case, Rng};
use crate::dtype::{DType, Literal};
use crate::kernel::parse::parse;
use std::fmt::Write;

const BYTES: [DType; 3] = [DType::U8, DType::I8, DType::Bool];
/// Of bits and bools; of integers; of which the result is bool. A shift has no lanes of 8 bits, so a body with one
/// runs on others.
const BITS: [&str; 3] = ["and", "or", "xor"];
const NUMBERS: [&str; 7] = ["add", "sub", "mul", "min", "max", "add", "lshr"];
const COMPARES: [&str; 6] = ["eq", "ne", "lt", "le", "gt", "ge"];
const LENGTHS: [usize; 17] = [0, 1, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 255, 257, 1000];

struct Map {
    rng: Rng,
    body: String,
    values: Vec<DType>,
}

impl Map {
    fn emit(&mut self, dtype: DType, op: &str) -> usize {
        let n = self.values.len();
        let _ = writeln!(self.body, "      %{n} = {op}");
        self.values.push(dtype);
        n
    }

    /// A value of a dtype, lately made ones more often.
    fn value(&mut self, dtype: DType) -> usize {
        let found = (0..4).find_map(|_| {
            let back = self.rng.below(self.values.len().min(6));
            let v = self.values.len() - 1 - back;
            (self.values[v] == dtype).then_some(v)
        });
        match found {
            Some(v) => v,
            None if self.rng.one_in(3) => {
                let l = self.rng.literal(dtype).as_i64();
                let l = if dtype == DType::Bool { (l != 0).to_string() } else { l.to_string() };
                self.emit(dtype, &format!("const.{dtype} {l}"))
            }
            None => {
                let v = self.rng.below(self.values.len());
                self.emit(dtype, &format!("convert.{dtype} %{v}"))
            }
        }
    }

    fn step(&mut self) {
        let t = self.rng.pick(&BYTES);
        let (a, b) = (self.value(t), self.value(t));
        match self.rng.below(8) {
            0 => {
                let mask = self.value(DType::Bool);
                self.emit(t, &format!("select.{t} %{mask}, %{a}, %{b}"));
            }
            1 | 2 => {
                let p = self.rng.pick(&COMPARES);
                self.emit(DType::Bool, &format!("{p}.{t} %{a}, %{b}"));
            }
            3 => {
                self.emit(t, &format!("not.{t} %{a}"));
            }
            4 if t != DType::Bool => {
                let p = self.rng.pick(&["neg", "abs"]);
                self.emit(t, &format!("{p}.{t} %{a}"));
            }
            5 | 6 if t != DType::Bool => {
                let p = self.rng.pick(&NUMBERS);
                self.emit(t, &format!("{p}.{t} %{a}, %{b}"));
            }
            _ => {
                let p = self.rng.pick(&BITS);
                self.emit(t, &format!("{p}.{t} %{a}, %{b}"));
            }
        }
    }
}

/// The map of a seed: rows of bytes, the last operand the same for a row or for all.
pub(super) fn random_map(seed: u64) -> Case {
    let mut m = Map { rng: Rng::new(seed), body: String::new(), values: Vec::new() };
    let (rows, len) = (1 + m.rng.below(3), m.rng.pick(&LENGTHS));
    let inputs: Vec<DType> = (0..1 + m.rng.below(3)).map(|_| m.rng.pick(&BYTES)).collect();
    let [uniform, number] = [(); 2].map(|()| m.rng.pick(&BYTES));
    for (i, t) in inputs.iter().enumerate() {
        m.emit(*t, &format!("load.{t} a{i}[s1*i0 + i1]"));
    }
    let at = m.rng.pick(&["i0", "0"]);
    m.emit(uniform, &format!("load.{uniform} row[{at}]"));
    m.emit(number, &format!("scalar.{number} c0"));
    for _ in 0..1 + m.rng.below(10) {
        m.step();
    }
    let out = m.rng.pick(&BYTES);
    let result = m.value(out);
    // In place, one time in four.
    let to = match inputs.iter().position(|t| *t == out) {
        Some(i) if m.rng.one_in(4) => Some(i),
        _ => None,
    };
    let name = to.map_or("out".to_string(), |i| format!("a{i}"));
    let _ = writeln!(m.body, "      store {name}[s1*i0 + i1], %{result}");
    let mut head = String::new();
    for (i, t) in inputs.iter().enumerate() {
        let _ = write!(head, "a{i}: {t} {}, ", if to == Some(i) { "inout" } else { "in" });
    }
    let _ = write!(head, "row: {uniform} in");
    if to.is_none() {
        let _ = write!(head, ", out: {out} out");
    }
    // Lanes along the last axis of a nest, or of the phase.
    let (phase, nest) = m.rng.pick(&[("i0 < s0", " [i1 < s1]"), ("i0 < s0, i1 < s1", "")]);
    let text = format!(
        "rtir 1\nkernel @bytes_{seed}({head}) syms 2 scalars ({number}) {{\n  phase [{phase}] {{\n    nest{nest} {{\n{}    }}\n  }}\n}}\n",
        m.body
    );
    let kernel = parse(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let each = rows * len;
    let lengths = kernel.buffers.iter().map(|b| if b.name == "row" { rows } else { each }).collect();
    let scalars: Vec<Literal> = vec![m.rng.literal(number)];
    Case { kernel, syms: vec![rows as i64, len as i64], scalars, lengths }
}
