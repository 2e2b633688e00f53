//! `rusttorch doctor`.

use super::style::Style;
use crate::engine;
use rusttorch_codegen::Isa;
use rusttorch_ir::kernel::parse::parse;
use rusttorch_runtime::env;
use rusttorch_runtime::pool;
use serde_json::json;

/// A kernel small enough to be the smallest proof that code can be made and run here.
const PROBE: &str = "rtir 1
kernel @probe(x: f32 in, y: f32 out) syms 1 {
  phase [i0 < s0] {
    nest {
      %0 = load.f32 x[i0]
      store y[i0], %0
    }
  }
}
";

/// What this machine can do, and what stands in the way.
pub fn report(json: bool, style: Style) -> String {
    let host = Isa::host();
    let probe = match (engine::target(), parse(PROBE)) {
        (Some(isa), Ok(kernel)) => rusttorch_codegen::compile(&kernel, isa)
            .map(|c| format!("compiled a probe kernel in {:.2} ms", c.compile_time.as_secs_f64() * 1e3))
            .map_err(|e| e.to_string()),
        (None, _) => Err("no code generator: kernels run in the interpreter, which is slow".to_string()),
        (_, Err(e)) => Err(e.to_string()),
    };
    let config = env::config();
    if json {
        return json!({
            "version": env!("CARGO_PKG_VERSION"),
            "machine_isa": host.map(Isa::name),
            "isa": engine::target().map(Isa::name),
            "threads": pool::num_threads(),
            "jit": probe.as_ref().map_or_else(|e| json!({"ok": false, "error": e}), |m| json!({"ok": true, "message": m})),
            "warnings": config.warnings,
        })
        .to_string();
    }
    let name = |i: Option<Isa>| i.map_or("none", Isa::name);
    let mut text = format!("{} {}\n", style.bold("rusttorch"), env!("CARGO_PKG_VERSION"));
    text += &format!("machine        {}\n", name(host));
    text += &format!("compiling for  {}\n", name(engine::target()));
    text += &format!("threads        {}\n", pool::num_threads());
    text += &match probe {
        Ok(m) => format!("jit            {} ({m})\n", style.green("ok")),
        Err(e) => format!("jit            {} {e}\n", style.red("not available:")),
    };
    if engine::target() == Some(Isa::Baseline) {
        text += "note: without FMA instructions `fma` is emulated exactly, which is slow\n";
    }
    for w in &config.warnings {
        text += &format!("{} {w}\n", style.red("warning:"));
    }
    text
}
