//! Benchmarks and measurements of RustTorch. Timings are programs under `benches/` and `python -m rusttorch.bench`;
//! accuracy is `accuracy` here, the program `ulp` and the record it leaves.
#![forbid(unsafe_code)]

pub mod accuracy;
pub mod report;
