//! The one module that reads environment variables. What it understands is the table [`VARIABLES`],
//! from which the documentation is made.
//!
//! Variables are read once, at first use. A bad value gives one warning, which the front end shows, and
//! the default.

use std::path::PathBuf;
use std::sync::OnceLock;

/// A documented variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Name.
    pub name: &'static str,
    /// The values it takes.
    pub values: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// Every variable that is read.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "RUSTTORCH_LOG",
        values: "off, error, warn, info, debug",
        default: "warn; in Python, what `logging` says",
        meaning: "Level of the logger `rusttorch`, which then has a handler to standard error.",
    },
    Variable {
        name: "RUSTTORCH_STRICT",
        values: "0 or 1",
        default: "0",
        meaning: "A fallback is an error: to the interpreter, or to torch for tensors that it alone can compute with.",
    },
    Variable {
        name: "RUSTTORCH_DISABLE",
        values: "0 or 1",
        default: "0",
        meaning: "Compile nothing: kernels are interpreted.",
    },
    Variable {
        name: "RUSTTORCH_MAX_ISA",
        values: "baseline, avx2, avx512, avx512_bf16",
        default: "what the CPU has",
        meaning: "The widest instruction set that kernels use. The bits of results do not change.",
    },
    Variable {
        name: "RUSTTORCH_CACHE_SIZE",
        values: "a number from 1",
        default: "1024",
        meaning: "How many compiled kernels are kept, beside the last 16 of each expression that is kept itself.",
    },
    Variable {
        name: "RUSTTORCH_NUM_THREADS",
        values: "a number from 1",
        default: "OMP_NUM_THREADS, else the CPUs this process may use",
        meaning: "Threads of RustTorch's own pool.",
    },
    Variable {
        name: "OMP_NUM_THREADS",
        values: "a number from 1 (of a list, the first)",
        default: "unset",
        meaning: "As RUSTTORCH_NUM_THREADS, which goes before it.",
    },
    Variable {
        name: "RUSTTORCH_DUMP",
        values: "a directory",
        default: "unset",
        meaning: "Write each kernel's .rtir, .clif and .asm there when it is compiled, headed by its formula and the line of the call.",
    },
    Variable {
        name: "RUSTTORCH_PERF_MAP",
        values: "0 or 1",
        default: "0",
        meaning: "Append each kernel to /tmp/perf-PID.map, by which Linux perf names its code.",
    },
];

/// Levels of the logger, from silent to chatty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Failures.
    Error,
    /// And what is surprising.
    Warn,
    /// And what happened.
    Info,
    /// And decisions.
    Debug,
}

/// A cap on the instruction set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum MaxIsa {
    /// x86-64-v2: 128-bit vectors, no fused multiply-add.
    Baseline,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, VL, DQ and BW.
    Avx512,
    /// And AVX512-BF16.
    Avx512Bf16,
}

/// The values of all variables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// `RUSTTORCH_LOG`, where it is set.
    pub log: Option<LogLevel>,
    /// `RUSTTORCH_STRICT`.
    pub strict: bool,
    /// `RUSTTORCH_DISABLE`.
    pub disable: bool,
    /// `RUSTTORCH_MAX_ISA`.
    pub max_isa: MaxIsa,
    /// `RUSTTORCH_CACHE_SIZE`.
    pub cache_size: usize,
    /// `RUSTTORCH_NUM_THREADS`, else `OMP_NUM_THREADS`.
    pub num_threads: Option<usize>,
    /// `RUSTTORCH_DUMP`.
    pub dump: Option<PathBuf>,
    /// `RUSTTORCH_PERF_MAP`.
    pub perf_map: bool,
    /// One text per value that could not be understood.
    pub warnings: Vec<String>,
}

/// The process's configuration, read from its environment at the first call.
pub fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| Config::read(&|name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned())))
}

/// True when `NO_COLOR` is set to anything, or the terminal is a dumb one.
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || std::env::var_os("TERM").is_some_and(|t| t == "dumb")
}

impl Config {
    /// Reads the variables through `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Config {
        let mut reader = Reader { lookup, warnings: Vec::new() };
        let log = reader.one_of(
            "RUSTTORCH_LOG",
            None,
            &[
                ("off", Some(LogLevel::Off)),
                ("error", Some(LogLevel::Error)),
                ("warn", Some(LogLevel::Warn)),
                ("warning", Some(LogLevel::Warn)),
                ("info", Some(LogLevel::Info)),
                ("debug", Some(LogLevel::Debug)),
            ],
        );
        let max_isa = reader.one_of(
            "RUSTTORCH_MAX_ISA",
            MaxIsa::Avx512Bf16,
            &[
                ("baseline", MaxIsa::Baseline),
                ("avx2", MaxIsa::Avx2),
                ("avx512", MaxIsa::Avx512),
                ("avx512_bf16", MaxIsa::Avx512Bf16),
            ],
        );
        let ours = reader.count("RUSTTORCH_NUM_THREADS");
        let omp = reader.count("OMP_NUM_THREADS");
        Config {
            log,
            strict: reader.flag("RUSTTORCH_STRICT"),
            disable: reader.flag("RUSTTORCH_DISABLE"),
            max_isa,
            cache_size: reader.count("RUSTTORCH_CACHE_SIZE").unwrap_or(1024),
            num_threads: ours.or(omp),
            dump: reader.value("RUSTTORCH_DUMP").map(PathBuf::from),
            perf_map: reader.flag("RUSTTORCH_PERF_MAP"),
            warnings: reader.warnings,
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// An empty value is an unset one.
    fn value(&self, name: &str) -> Option<String> {
        debug_assert!(VARIABLES.iter().any(|v| v.name == name), "{name} is not documented");
        (self.lookup)(name).filter(|v| !v.trim().is_empty())
    }

    fn refuse(&mut self, name: &str, value: &str) {
        let variable = VARIABLES.iter().find(|v| v.name == name).expect("callers name variables of the table");
        self.warnings.push(format!(
            "{name}={value:?} is not understood and is ignored; it takes: {} (default: {})",
            variable.values, variable.default
        ));
    }

    fn one_of<T: Copy>(&mut self, name: &str, default: T, values: &[(&str, T)]) -> T {
        let Some(value) = self.value(name) else { return default };
        match values.iter().find(|(text, _)| value.trim().eq_ignore_ascii_case(text)) {
            Some((_, parsed)) => *parsed,
            None => {
                self.refuse(name, &value);
                default
            }
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        let values = [
            ("0", false),
            ("1", true),
            ("false", false),
            ("true", true),
            ("off", false),
            ("on", true),
            ("no", false),
            ("yes", true),
        ];
        self.one_of(name, false, &values)
    }

    fn count(&mut self, name: &str) -> Option<usize> {
        let value = self.value(name)?;
        // OpenMP takes one number per nesting level.
        let first = if name == "OMP_NUM_THREADS" { value.split(',').next().unwrap_or("") } else { &value };
        match first.trim().parse::<usize>() {
            Ok(n) if n >= 1 => Some(n),
            _ => {
                self.refuse(name, &value);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documented_table_is_this_one() {
        let page = include_str!("../../docs/environment.md");
        for v in super::VARIABLES {
            let row = format!("| `{}` | {} | {} | {} |", v.name, v.values, v.default, v.meaning);
            assert!(page.lines().any(|l| l == row), "docs/environment.md lacks\n{row}");
        }
    }

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Config {
        Config::read(&|name| pairs.iter().find(|p| p.0 == name).map(|p| p.1.to_string()))
    }

    #[test]
    fn defaults_and_values() {
        let c = read(&[]);
        assert_eq!((c.log, c.strict, c.max_isa, c.cache_size), (None, false, MaxIsa::Avx512Bf16, 1024));
        assert!(c.warnings.is_empty() && c.num_threads.is_none() && c.dump.is_none());
        let c = read(&[("RUSTTORCH_MAX_ISA", "AVX2"), ("RUSTTORCH_STRICT", "1"), ("OMP_NUM_THREADS", "4,2")]);
        assert_eq!((c.max_isa, c.strict, c.num_threads), (MaxIsa::Avx2, true, Some(4)));
        let c = read(&[("OMP_NUM_THREADS", "4"), ("RUSTTORCH_NUM_THREADS", "3")]);
        assert_eq!(c.num_threads, Some(3));
        assert!(c.warnings.is_empty());
    }

    #[test]
    fn bad_values_warn_once_and_keep_the_default() {
        let c = read(&[("RUSTTORCH_CACHE_SIZE", "many"), ("RUSTTORCH_NUM_THREADS", "0"), ("OMP_NUM_THREADS", "2")]);
        assert_eq!((c.cache_size, c.num_threads), (1024, Some(2)));
        assert_eq!(c.warnings.len(), 2);
        assert_eq!(
            c.warnings[1],
            "RUSTTORCH_CACHE_SIZE=\"many\" is not understood and is ignored; it takes: a number from 1 (default: 1024)"
        );
    }
}
