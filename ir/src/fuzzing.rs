//! Bodies of fuzz targets, as library functions: any bytes go in, and what they find is a panic. Tests run
//! each for a second over random bytes and mutated texts; `make fuzz` runs them longer.

use crate::expr;
use crate::kernel::parse;
use crate::kernel::random::Rng;
use crate::kernel::simplify::simplify;
use crate::kernel::verify::verify;

/// Longest input that [`input`] makes.
const LONGEST: usize = 4096;

/// The expression parser: what it accepts prints as a text that means the same; what it refuses has an error
/// that lies within the text.
pub fn expression(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match expr::parse(&text, None) {
        Ok(program) => {
            let printed = program.to_string();
            let again = expr::parse(&printed, None).unwrap_or_else(|e| panic!("{text:?} prints as {printed:?}: {e}"));
            assert_eq!(again.to_string(), printed, "of {text:?}");
            assert_eq!(again.outputs().len(), program.outputs().len(), "of {text:?}");
            assert_eq!(again.params(), program.params(), "of {text:?}");
        }
        Err(error) => {
            let span = error.span();
            assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {text:?}");
            let _ = error.to_string();
        }
    }
}

/// The reader of `.rtir`: what it accepts prints, and what is verified prints as a text that is the same kernel
/// and stays valid under `simplify`. (Before `verify`, dtypes may contradict each other; the text says each once.)
pub fn rtir(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(kernel) = parse::parse(&text) else { return };
    let printed = kernel.to_string();
    if verify(&kernel).is_err() {
        return;
    }
    let again = parse::parse(&printed).unwrap_or_else(|e| panic!("{printed}\n{e}"));
    assert_eq!(again, kernel, "{printed}");
    let mut simpler = kernel;
    simplify(&mut simpler);
    if let Err(errors) = verify(&simpler) {
        panic!("simplify made an invalid kernel: {}\n{simpler}of\n{printed}", errors[0]);
    }
}

/// The input of a seed: random bytes, or a text of the corpus with a few places changed.
pub fn input(seed: u64, corpus: &[String]) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    if corpus.is_empty() || rng.one_in(8) {
        let len = rng.below(64);
        return (0..len).map(|_| rng.bits() as u8).collect();
    }
    let mut bytes = rng.pick(corpus).into_bytes();
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        let len = rng.below(12).min(bytes.len() - at);
        match rng.below(6) {
            0 => drop(bytes.drain(at..at + len)),
            1 => bytes.truncate(at),
            // Another place's bytes, of this text or another one.
            2 | 3 => {
                let from = rng.pick(corpus).into_bytes();
                let start = rng.below(from.len() + 1);
                let end = (start + rng.below(24)).min(from.len());
                bytes.splice(at..at + len, from[start..end].iter().copied());
            }
            4 if at < bytes.len() => bytes[at] = rng.bits() as u8,
            _ => {
                const WORDS: [&str; 16] = [
                    "0",
                    "-1",
                    "9223372036854775807",
                    "1e999",
                    "nan",
                    "(",
                    ")",
                    ",",
                    "=",
                    " if ",
                    "**",
                    "i0",
                    "s0",
                    "%0",
                    "0x",
                    "not ",
                ];
                bytes.splice(at..at, rng.pick(&WORDS).bytes());
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
