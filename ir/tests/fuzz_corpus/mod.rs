//! Texts that inputs of the fuzz targets are made of: the corpora of other tests.

use std::path::Path;

/// Expressions, among them bodies with statements and headers.
pub fn expressions() -> Vec<String> {
    let lines = include_str!("../precedence.txt").lines().filter_map(|l| l.split_once("  =>  "));
    let mut texts: Vec<String> = lines.map(|l| l.0.to_owned()).collect();
    texts.extend(
        [
            "swiglu(a, b, beta=1.0) = a * sigmoid(beta*a) * b",
            "f(x, dim=[1, -2], mode='a'): t = exp(-x); u = t * t\n t / (1 + u), sum(x, axis=-1, keepdims=True)",
            "layer_norm(x, [1024], w, b) if 0 < a < 1 else nan  # comment",
            "-0x1.8p3 + 1_000 - .5e-5 ** -x ** 2, None, True",
        ]
        .map(str::to_owned),
    );
    texts
}

/// Kernels: the corpus of this crate and the file tests of the code generator.
pub fn kernels(manifest: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["tests/kernels", "tests/inductor", "../codegen/filetests"] {
        collect(&manifest.join(folder), &mut files);
    }
    files.sort();
    files.iter().map(|f| std::fs::read_to_string(f).expect("a readable corpus file")).collect()
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rtir") {
            files.push(path);
        }
    }
}
