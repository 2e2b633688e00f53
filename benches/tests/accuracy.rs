//! A sample of what `make ulp` measures: rows keep their bounds at f32. And the table in the documents is the record's.

use rusttorch_benches::accuracy::{Function, Kernel, Tally, Truth, functions, inputs, promise};
use rusttorch_benches::report;
use std::path::Path;

/// Bit patterns in the sample.
const SAMPLE: usize = 1 << 16;

/// Bounds where a row states none: the negative tails of gelu.
const TAILS: [(&str, f64); 2] = [("gelu_tail", 12.5), ("gelu_tanh_tail", f64::INFINITY)];

/// Bit patterns a prime apart, and numbers where functions turn.
fn sample() -> Vec<f32> {
    let mut x = inputs(0, SAMPLE, 65_521);
    let turns =
        [0.0, f32::from_bits(1), f32::MIN_POSITIVE, 0.25, 0.5, 1.0, 1.5, 5.5, 9.5, 20.0, 40.0, 87.0, 88.73, 104.0];
    for v in turns.into_iter().chain([f32::MAX, f32::INFINITY, f32::NAN]) {
        x.extend([v, -v, v.next_up(), -v.next_up(), v.next_down(), -v.next_down()]);
    }
    x
}

#[test]
fn rows_keep_their_bounds_on_a_sample() {
    let x = sample();
    let broken = |f: &Function| -> Option<String> {
        let got = Kernel::new(&f.text, x.len()).and_then(|k| k.run(&x)).unwrap_or_else(|e| panic!("{}: {e}", f.text));
        let mut tally = Tally::default();
        tally.add(f, &x, &got, &Truth::new(f, &x));
        let bound = f.bound.or_else(|| TAILS.iter().find(|(name, _)| *name == f.name).map(|t| t.1))?;
        // Bounds are rounded to three digits, and a correctly rounded result may be half an ULP off.
        let good = tally.worst <= bound.max(0.5) + 0.001 && tally.mismatched == 0 && tally.zeros == 0;
        (!good).then(|| format!("{}, at most {bound}: {tally:?}", f.text))
    };
    let broken: Vec<String> = functions().iter().filter_map(broken).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_record_keeps_what_is_promised() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let record = report::read(&root.join("records/accuracy.json")).expect("a record");
    let missing = |f: &&Function| promise(&f.name).is_some() && !record["functions"][&f.name].is_object();
    let missing: Vec<String> = functions().iter().filter(missing).map(|f| f.text.clone()).collect();
    assert!(missing.is_empty(), "not measured: {missing:?}");
    let broken = report::broken(&record);
    assert!(broken.is_empty(), "{broken:?}");
    let behind = report::behind(&record);
    assert!(behind.is_empty(), "less accurate than torch: {behind:?}");
}

#[test]
fn the_table_is_the_records() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let record = report::read(&root.join("records/accuracy.json")).expect("a record");
    let written = std::fs::read_to_string(root.join("../docs/accuracy.md")).expect("a document");
    assert_eq!(written, report::document(&record), "run `make ulp`, which writes both");
}
