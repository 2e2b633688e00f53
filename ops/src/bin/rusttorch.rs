//! The `rusttorch` command. See `rusttorch --help`.
#![forbid(unsafe_code)]

fn main() {
    std::process::exit(rusttorch_ops::cli::main(std::env::args()));
}
