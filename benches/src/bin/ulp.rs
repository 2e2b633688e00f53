//! Accuracy of the unary rows at f32 beside torch and NumPy, over all 2^32 inputs: `make ulp`.
//!
//! One Python process evaluates the peers, block by block (it ends when its input does); the references are evaluated once per input for all.

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rusttorch_benches::accuracy::{Function, Kernel, Tally, Truth, fingerprint, functions, inputs};
use rusttorch_benches::report;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

/// Inputs per block.
const BLOCK: usize = 1 << 18;

#[derive(Parser)]
#[command(about = "Measures the accuracy of unary rows at f32 against correctly rounded values")]
struct Cli {
    /// Which functions, by name (all by default).
    #[arg(long, value_delimiter = ',')]
    funcs: Vec<String>,
    /// Measure every STRIDE-th bit pattern; 1 is all of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..1 << 24))]
    stride: u64,
    /// Skip what the record has of the same kernels, of as many inputs or more: continues a run that was stopped.
    #[arg(long, requires = "record")]
    missing: bool,
    /// Threads (all cores by default).
    #[arg(long)]
    threads: Option<usize>,
    /// A Python that has torch and NumPy; without one there are no peers.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The record that the results are put into.
    #[arg(long)]
    record: Option<PathBuf>,
    /// The table that is written from the record.
    #[arg(long, requires = "record")]
    document: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("ulp: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    let all = functions();
    if let Some(unknown) = cli.funcs.iter().find(|n| !all.iter().any(|f| f.name == **n)) {
        let names: Vec<&str> = all.iter().map(|f| f.name.as_str()).collect();
        return Err(format!("no unary row is named {unknown}; there are {}", names.join(", ")));
    }
    let chosen: Vec<&Function> = all.iter().filter(|f| cli.funcs.is_empty() || cli.funcs.contains(&f.name)).collect();
    let chosen = if cli.missing { missing(cli, chosen)? } else { chosen };
    let mut peers = cli.python.as_deref().map(|python| Peers::start(python, cli.stride)).transpose()?;
    for (i, function) in chosen.iter().enumerate() {
        let mut result =
            measure(cli, function, peers.as_mut(), &format!("{:>2}/{} {}", i + 1, chosen.len(), function.name))?;
        println!("{}", report::line(&function.name, &result));
        result["kernel"] = json!(fingerprint(&function.text)?);
        if let Some(path) = &cli.record {
            // After every function: a long run may be stopped at any time.
            let mut record = report::read(path)?;
            report::put(&mut record, &function.name, result);
            report::write(path, &record)?;
            write_document(cli, &record)?;
        }
    }
    match &cli.record {
        // What is known may have come from elsewhere.
        Some(path) if chosen.is_empty() => write_document(cli, &report::read(path)?),
        _ => Ok(()),
    }
}

fn write_document(cli: &Cli, record: &Value) -> Result<(), String> {
    let Some(path) = &cli.document else { return Ok(()) };
    std::fs::write(path, report::document(record)).map_err(|e| format!("{}: {e}", path.display()))
}

/// Those of which the record has not this kernel's results, or of fewer inputs.
fn missing<'a>(cli: &Cli, chosen: Vec<&'a Function>) -> Result<Vec<&'a Function>, String> {
    let record = cli.record.as_deref().map_or(Ok(Value::Null), report::read)?;
    let mut left = Vec::new();
    for function in chosen {
        let known = &record["functions"][&function.name];
        let enough = known["stride"].as_u64().is_some_and(|stride| stride <= cli.stride);
        if !enough || known["kernel"] != json!(fingerprint(&function.text)?) {
            left.push(function);
        }
    }
    Ok(left)
}

/// The Python process that evaluates the peers.
struct Peers {
    input: ChildStdin,
    out: BufReader<ChildStdout>,
    /// One block of one peer.
    raw: Vec<u8>,
    versions: Value,
}

impl Peers {
    fn start(python: &Path, stride: u64) -> Result<Peers, String> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ulp_peers.py");
        let mut command = Command::new(python);
        command.arg(script).args([BLOCK.to_string(), stride.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", python.display()))?;
        let input = child.stdin.take().ok_or("no pipe to Python")?;
        let mut out = BufReader::new(child.stdout.take().ok_or("no pipe from Python")?);
        let mut line = String::new();
        out.read_line(&mut line).map_err(|e| e.to_string())?;
        let versions = serde_json::from_str(&line).map_err(|_| "the peers did not start".to_string())?;
        Ok(Peers { input, out, raw: vec![], versions })
    }

    /// Asks for all blocks of a function; the names of those who have it.
    fn request(&mut self, function: &Function) -> Result<Vec<&'static str>, String> {
        let both = [("torch", &function.torch), ("numpy", &function.numpy)];
        let (names, texts): (Vec<_>, Vec<_>) = both.into_iter().filter(|(_, e)| !e.is_empty()).unzip();
        writeln!(self.input, "{}", json!(texts)).map_err(|e| format!("the peers stopped: {e}"))?;
        Ok(names)
    }

    /// The results of block number `block`, one vector per peer.
    fn next(&mut self, block: u64, peers: usize, len: usize) -> Result<Vec<Vec<f32>>, String> {
        let mut number = [0; 8];
        self.out.read_exact(&mut number).map_err(|e| format!("the peers stopped: {e}"))?;
        if u64::from_ne_bytes(number) != block {
            return Err(format!("the peers are out of step at block {block}"));
        }
        self.raw.resize(len * 4, 0);
        let read = |_| {
            self.out.read_exact(&mut self.raw).map_err(|e| format!("the peers stopped: {e}"))?;
            Ok(self.raw.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        (0..peers).map(read).collect()
    }
}

/// Where the next block comes from: blocks are taken in order, as the peers give them.
struct Source<'a> {
    next: u64,
    peers: Option<&'a mut Peers>,
}

fn measure(cli: &Cli, function: &Function, mut peers: Option<&mut Peers>, label: &str) -> Result<Value, String> {
    let mut names = vec!["rusttorch"];
    let mut result = Map::new();
    if let Some(peers) = &mut peers {
        names.extend(peers.request(function)?);
        result.insert("versions".into(), peers.versions.clone());
    }
    let blocks = (1u64 << 32).div_ceil(BLOCK as u64 * cli.stride);
    let style =
        ProgressStyle::with_template("{msg:18} {wide_bar} {percent:>3} %  {eta} left").map_err(|e| e.to_string())?;
    let bar = ProgressBar::new(blocks).with_style(style).with_message(label.to_string());
    let source = Mutex::new(Source { next: 0, peers });
    let totals = Mutex::new(vec![Tally::default(); names.len()]);
    let work = || -> Result<(), String> {
        let kernel = Kernel::new(&function.text, BLOCK)?;
        let mut tallies = vec![Tally::default(); names.len()];
        loop {
            let (x, theirs) = {
                let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
                if source.next == blocks {
                    break;
                }
                let (block, x) = (source.next, inputs(source.next, BLOCK, cli.stride));
                source.next += 1;
                let theirs = source.peers.as_mut().map_or(Ok(vec![]), |p| p.next(block, names.len() - 1, x.len()))?;
                (x, theirs)
            };
            let truth = Truth::new(function, &x);
            // The last block may be short: another shape, so another kernel.
            let ours =
                if x.len() == BLOCK { kernel.run(&x)? } else { Kernel::new(&function.text, x.len())?.run(&x)? };
            for (tally, got) in tallies.iter_mut().zip(std::iter::once(&ours).chain(&theirs)) {
                tally.add(function, &x, got, &truth);
            }
            bar.inc(1);
        }
        let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.iter_mut().zip(&tallies).for_each(|(total, t)| total.merge(t));
        Ok(())
    };
    let threads = cli.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| w.join().map_err(|_| "a worker panicked".to_string())?)
    })?;
    bar.finish_and_clear();
    result.insert("text".into(), json!(function.text));
    result.insert("stride".into(), json!(cli.stride));
    result.insert("bound".into(), json!(function.bound));
    let library = if function.rounded.is_some() { "CORE-MATH" } else { "f64" };
    result.insert("reference".into(), json!(library));
    let limits = [function.domain.0, function.domain.1].map(|v| v.is_finite().then_some(v));
    result.insert("domain".into(), json!(limits));
    let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, tally) in names.iter().zip(&totals) {
        result.insert((*name).to_string(), tally.to_json());
    }
    Ok(Value::Object(result))
}
