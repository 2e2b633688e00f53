//! Benchmarks of RustTorch; the programs are under `benches/`, side-by-side runs in `compare.py`.
#![forbid(unsafe_code)]
