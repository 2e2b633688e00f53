//! Differential fuzzing of the code generator: `fuzz [CASES] [SEED] [emulate]`. Every seed makes a random kernel and a
//! random fused graph, of random dtypes, sizes and layouts; machine code is compared with the interpreter, bit for
//! bit, at every instruction set of this machine, by each emitter, on one thread and on several, with `emulate` also
//! under the emulator at AVX-512. Each such comparison is a case. Runs on all cores, stops at the first difference, of which it
//! shows the smallest kernel that it finds.
//! Kernels that no emitter takes are counted.

#[path = "../tests/common/mod.rs"]
mod common;

use common::random::{graph_case, kernel_case};
use rusttorch_codegen::{Emitters, Isa};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Seconds between two lines of progress.
const PROGRESS: u64 = 10;

fn main() -> ExitCode {
    let emulate = std::env::args().any(|a| a == "emulate");
    let mut numbers = std::env::args().skip(1).filter(|a| a != "emulate").map(|a| a.parse::<u64>().expect("a number"));
    let wanted = numbers.next().unwrap_or(100_000);
    let first = numbers.next().unwrap_or(0);
    let (next, cases, refused) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let report = Mutex::new(None);
    let begin = Instant::now();
    let work = || {
        while !stop.load(Relaxed) && cases.load(Relaxed) < wanted {
            let seed = next.fetch_add(1, Relaxed);
            for (kind, case) in [("kernel", kernel_case(seed)), ("graph", graph_case(seed))] {
                let start = Instant::now();
                let tile = 16 * (1 + seed as usize % 5);
                let emitters = if seed.is_multiple_of(2) { Emitters::Widest } else { Emitters::Streaming };
                let emulated = || match emulate {
                    true => case.check_emulated(Isa::Avx512, emitters, tile).map(|_| 1),
                    false => Ok(0),
                };
                match case.check().and_then(|done| Ok(done + emulated()?)) {
                    Ok(comparisons) => {
                        cases.fetch_add(comparisons, Relaxed);
                    }
                    Err(_) if case.is_refused() => {
                        refused.fetch_add(1, Relaxed);
                    }
                    Err(difference) => {
                        let difference = case.shrink().check().err().unwrap_or(difference);
                        *report.lock().expect("nobody panics under it") =
                            Some(format!("{kind} of seed {seed}: {difference}"));
                        stop.store(true, Relaxed);
                        return;
                    }
                }
                if start.elapsed() > Duration::from_secs(5) {
                    println!("{kind} of seed {seed} took {:.0} s", start.elapsed().as_secs_f64());
                }
            }
        }
    };
    let say = || {
        let (done, seconds) = (cases.load(Relaxed), begin.elapsed().as_secs_f64());
        let seeds = next.load(Relaxed) - first;
        let refused = refused.load(Relaxed);
        println!(
            "{done} cases of {seeds} seeds in {seconds:.0} s, {:.0} a second; {refused} kernels that no emitter takes",
            done as f64 / seconds
        );
    };
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..thread::available_parallelism().map_or(1, |n| n.get())).map(|_| scope.spawn(work)).collect();
        let mut last = 0;
        while workers.iter().any(|w| !w.is_finished()) {
            thread::sleep(Duration::from_millis(50));
            let now = begin.elapsed().as_secs() / PROGRESS;
            if now != last {
                last = now;
                say();
            }
        }
    });
    say();
    match report.into_inner().expect("nobody panics under it") {
        Some(difference) => {
            println!("{difference}");
            ExitCode::FAILURE
        }
        None => {
            println!("no difference, seeds from {first}");
            ExitCode::SUCCESS
        }
    }
}
