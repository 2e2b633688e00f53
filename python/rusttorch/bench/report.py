"""A record as text for a terminal, and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rusttorch.bench.peers import LABELS, OURS
from rusttorch.bench.summary import BY_NAME, LOOPS, crossovers, is_counted, over_best, ratios, summary

SUFFIXES = (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))


def size(n: int) -> str:
    """``1048576`` as ``1 Mi``."""
    return next((f"{n // unit} {suffix}" for suffix, unit in SUFFIXES if n >= unit and n % unit == 0), str(n))


def label(peer: str) -> str:
    """A candidate's name for readers."""
    return LABELS.get(peer, peer)


def number(value: float | None) -> str:
    """Three digits, or a dash where there is nothing."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """In Markdown, with columns aligned; the first is text."""
    cells = [[c.replace("|", "\\|") for c in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    rule = [("-" * w if i == 0 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]

    def line(row: list[str]) -> str:
        padded = (c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        return "| " + " | ".join(padded) + " |"

    return "\n".join([line(cells[0]), line(rule), *(line(row) for row in cells[1:])])


def progress(case: dict[str, Any], threads: int) -> str:
    """A case in one line, as soon as it is measured."""
    head = f"{case['name']:<36} {size(case['elements']):>6} {threads}t"
    if not case["candidates"]:
        return f"{head}  left out: {case['lacking'][OURS]}"
    parts = []
    for form, ratio in ((f, over_best(case, f)) for f in ("reused", "fresh")):
        if ratio:
            parts.append(f"{form} {ratio[0]:5.2f}x {label(ratio[1])}")
    parts += [f"{label(p)}: {why}" for p, why in case.get("lacking", {}).items() if "Error" in why or "Wrong" in why]
    return f"{head}  {number(microseconds(case, OURS)):>7} us  " + ", ".join(parts)


def microseconds(case: dict[str, Any], peer: str, form: str = "reused") -> float | None:
    """A candidate's time; of the other form where it has not this one."""
    forms = case["candidates"].get(peer)
    if not forms:
        return None
    value: float = (forms.get(form) or next(iter(forms.values())))["us"]
    return value


def _ulp(case: dict[str, Any], peer: str) -> float | None:
    errors = [m["ulp"] for m in case["candidates"].get(peer, {}).values() if "ulp" in m]
    return max(errors) if errors else None


def _faults(case: dict[str, Any], peer: str) -> float | None:
    measured = case["candidates"].get(peer, {}).get("fresh")
    return measured["faults"] if measured else None


def _peers(cases: list[dict[str, Any]]) -> list[str]:
    """Candidates that take part in any of the cases, ours first."""
    return [p for p in dict.fromkeys(p for c in cases for p in c["candidates"]) if p not in LOOPS]


def summary_table(record: dict[str, Any]) -> str:
    """Means over the best peer, and over each."""
    rows = summary(record)
    peers = list(dict.fromkeys(p for r in rows for p in r["over_peers"]))
    head = [
        "threads, size, results",
        "cases",
        "mean",
        "median",
        "worst",
        "worst case",
        *(f"mean over {label(p)}" for p in peers),
    ]
    return table(
        head,
        (
            [
                f"{r['threads']}, {size(r['elements'])}, {r['form']}",
                str(r["cases"]),
                *(f"{r[k]:.2f}" for k in ("geometric_mean", "median", "worst")),
                r["worst_case"],
                *(f"{r['over_peers'][p]:.2f}" if p in r["over_peers"] else "-" for p in peers),
            ]
            for r in rows
        ),
    )


def case_table(cases: list[dict[str, Any]]) -> str:
    """Ratios, errors and page faults of cases at one size."""
    peers = _peers(cases)

    def row(case: dict[str, Any]) -> list[str]:
        cells = [case["name"]]
        for form in ("reused", "fresh"):
            best = over_best(case, form)
            cells += [f"{best[0]:.2f}", label(best[1])] if best else ["-", "-"]
        cells += [number(microseconds(case, p)) for p in peers]
        return cells

    head = ["case", "reused", "best peer", "fresh", "best peer", *(f"{label(p)}, us" for p in peers)]
    return table(head, map(row, cases))


def error_table(cases: list[dict[str, Any]]) -> str:
    """Worst errors of cases at one size."""
    peers = _peers(cases)
    known = [c for c in cases if any(_ulp(c, p) is not None for p in peers)]
    rows = ([c["name"], *(number(_ulp(c, p)) for p in peers)] for c in known)
    return table(["ULP", *map(label, peers)], rows)


def fault_table(cases: list[dict[str, Any]]) -> str:
    """Page faults of a call with fresh results, of cases in which somebody has some."""
    peers = _peers(cases)
    known = [c for c in cases if any((_faults(c, p) or 0) >= 1 for p in peers)]
    if not known:
        return "No call had a page fault."
    rows = ([c["name"], *(number(_faults(c, p)) for p in peers)] for c in known)
    return table(["page faults", *map(label, peers)], rows)


def where_not(record: dict[str, Any]) -> list[str]:
    """Every case below the best peer at some size, as a list per number of threads."""
    lines: list[str] = []
    for run in record["runs"]:
        threads = run["threads"]
        found: dict[str, list[str]] = {}
        seen = set()
        for r in sorted(ratios(record), key=lambda r: (r.elements, r.form == "fresh")):
            # Where there are both forms, the reused one is the comparison; the fresh one has a column of its own.
            if r.threads != threads or (r.name, r.elements) in seen:
                continue
            seen.add((r.name, r.elements))
            if r.ratio < 1:
                found.setdefault(r.name, []).append(f"{r.ratio:.2f} at {size(r.elements)} ({label(r.peer)})")
        if found:
            lines += ["", f"Threads: {threads}.", ""]
            lines += [f"- `{name}`: " + ", ".join(where) for name, where in sorted(found.items())]
    return lines


def memory_lines(record: dict[str, Any]) -> list[list[str]]:
    """What part of the faster loop's speed each candidate has."""
    result = []
    for run in record["runs"]:
        for case in run["cases"]:
            if not BY_NAME[case["name"]].stream:
                continue
            loops = [microseconds(case, p) for p in LOOPS if p in case["candidates"]]
            if not loops:
                continue
            best = min(t for t in loops if t)
            ours = microseconds(case, OURS) or 0.0
            others = {p: t for p in case["candidates"] if p != OURS and p not in LOOPS and (t := microseconds(case, p))}
            fastest = min(others, key=lambda p: others[p]) if others else None
            cells = [f"{case['name']}, threads: {run['threads']}"]
            cells += [number(microseconds(case, p)) for p in (*LOOPS, OURS)]
            cells += [f"{100 * best / ours:.0f} %"]
            cells += [f"{label(fastest)} {number(others[fastest])}" if fastest else "-"]
            result.append(cells)
    return result


def headline(record: dict[str, Any]) -> list[str]:
    """What was run, where."""
    machine, versions = record["machine"], record["versions"]
    caches = ", ".join(f"{k} {v}" for k, v in machine["caches"].items())
    said = ", ".join(f"{label(p)} {v}" for p, v in versions.items() if p != "compile")
    lines = [
        f"{machine['cpu']}, {machine['cpus']} CPUs, {caches}; kernels for {record['isa']}"
        + (f", all sides capped to {record['cap']}" if record["cap"] else "")
        + f"; load {record['load'][0]} before and {record['load'][1]} after, this run's own processes included.",
        f"{said}.",
    ]
    if any(run["clock"] == "processor" for run in record["runs"]):
        lines.append(
            "Times with one thread are processor time: the machine had other work, which interrupts long calls and not"
            " short ones."
        )
    lines += [f"Missing: {label(p)} ({why})." for p, why in record["missing"].items()]
    crowded = max(record["load"]) > machine["cpus"] + 1
    if crowded and any(run["clock"] == "wall" for run in record["runs"]):
        counts = ", ".join(str(run["threads"]) for run in record["runs"] if run["clock"] == "wall")
        lines.append(
            f"Times with threads: {counts} are wall time on a machine that had more work than CPUs: whoever waits for"
            " all its threads waits for others' turns. They do not compare the candidates; run it on a quiet machine."
        )
    left: dict[tuple[int, int, str], list[str]] = {}
    for run in record["runs"]:
        for o in run["left_out"]:
            left.setdefault((run["threads"], o["elements"], o["why"]), []).append(o["name"])
    for (threads, n, why), names in left.items():
        lines.append(f"Left out with threads: {threads}, at {size(n)} ({why}): {', '.join(names)}.")
    return lines


def text(record: dict[str, Any]) -> str:
    """The end of a run, for a terminal."""
    parts = ["", *headline(record), "", "Over the fastest peer of each case (above 1, RustTorch is faster):", ""]
    parts.append(summary_table(record))
    for run in record["runs"]:
        for n in sorted({c["elements"] for c in run["cases"]}):
            cases = [c for c in run["cases"] if c["elements"] == n and c["candidates"]]
            if cases:
                parts += [
                    "",
                    f"{run['threads']} thread(s), {size(n)} elements:",
                    "",
                    case_table(cases),
                    "",
                    error_table(cases),
                    "",
                    fault_table(cases),
                ]
    parts += ["", *_speed_of_compilation(record)]
    below = where_not(record)
    if below:
        parts += ["", "Where it does not help:", *below]
    return "\n".join(parts)


def _speed_of_compilation(record: dict[str, Any]) -> list[str]:
    lines = []
    if record.get("compile"):
        c = record["compile"]
        lines.append(
            f"A kernel compiles in {c['median_ms']:.2f} ms (median of {c['ops']} ops; worst {c['worst_ms']:.2f} ms)."
        )
    if record.get("latency"):
        rows = [[label(p), number(v["first_ms"]), number(v["next_ms"])] for p, v in record["latency"].items()]
        head = ["first call, ms", "first kernel of a process", "median of the next"]
        lines += ["", table(head, rows)]
    return lines


def document(record: dict[str, Any], command: str, plots: list[str]) -> str:
    """The page ``docs/speed.md``."""
    parts = ["# Speed", "", f"Written by `{command}`; do not edit.", "", *headline(record), ""]
    parts += [
        "Ratios say how many times as long the fastest peer takes: above 1, RustTorch is faster. *reused*: every",
        "candidate that can writes its results to memory that is there; *fresh*: results are new memory, from an",
        "allocator that is told to keep what it has. A candidate without the one form is compared by the other. Times",
        "are medians, in microseconds, of the reused form where there is one. All candidates are in one process, read",
        "the same operands and take turns, the fastest peers and ours once more among themselves; results were",
        "compared with float64 before.",
        "",
        "## Over the fastest peer",
        "",
        summary_table(record),
    ]
    parts += [part for plot in plots for part in ("", f"![{plot}]({plot})")]
    parts += [
        "",
        "## Where it does not help",
        "",
        "Everything below its fastest peer in this run:",
        *where_not(record),
    ]
    for run in record["runs"]:
        for n in sorted({c["elements"] for c in run["cases"]}):
            cases = [c for c in run["cases"] if c["elements"] == n and is_counted(c["name"]) and c["candidates"]]
            if len(cases) > 12:
                parts += ["", f"## Cases of {size(n)} elements, threads: {run['threads']}", "", case_table(cases)]
    first = record["runs"][0]
    largest = max(
        (c["elements"] for c in first["cases"] if is_counted(c["name"])),
        key=lambda n: sum(c["elements"] == n for c in first["cases"]),
    )
    cases = [c for c in first["cases"] if c["elements"] == largest and c["candidates"]]
    parts += [
        "",
        "## Errors and page faults",
        "",
        f"Worst error of the results that were compared, in ULP of float64's result, at {size(largest)} elements.",
        "Where results cancel (`x*w + b`, sums) errors are in ULP of 1 at least.",
        "",
        error_table(cases),
        "",
        "Page faults of a call that gives fresh results, where there are any:",
        "",
        fault_table(cases),
    ]
    parts += ["", "## Sizes", "", *size_lines(record)]
    memory = memory_lines(record)
    if memory:
        head = ["microseconds", *LOOPS, "RustTorch", "of the faster loop", "fastest peer"]
        parts += ["", "## What memory allows", "", table(head, memory)]
    small = [c for run in record["runs"] for c in run["cases"] if c["elements"] <= 64]
    if small:
        parts += ["", "## A call on next to nothing", "", case_table(small[: len({c["name"] for c in small})])]
    parts += ["", "## Compilation", "", *_speed_of_compilation(record)]
    notes = [f"- `{c['name']}`: {BY_NAME[c['name']].note}." for c in cases if BY_NAME[c["name"]].note]
    parts += ["", "## Notes", "", *notes]
    parts += [
        "- torch.compile with reused results is a function that ends in `out.copy_`, which Inductor fuses. torch",
        "  eager with reused results is a chain of `out=` and in-place calls. numba's loops and numexpr's texts are",
        "  made from the case's formula.",
        "- NumPy asks for huge pages for what it allocates, torch does not. Operands and reused results are memory of",
        "  NumPy's for all candidates; JAX reads operands in place, but for the copies that the record's notes name.",
    ]
    return "\n".join(parts).rstrip() + "\n"


def size_lines(record: dict[str, Any]) -> list[str]:
    """The ratio over the best peer from size to size."""
    lines = []
    for run in record["runs"]:
        by_case = crossovers(record, run["threads"], "reused") | {
            k: v for k, v in crossovers(record, run["threads"], "fresh").items() if BY_NAME[k].out == "small"
        }
        sizes = sorted({n for points in by_case.values() for n, _, _ in points})
        if not sizes:
            continue
        rows = []
        for name, points in by_case.items():
            at = {n: f"{ratio:.2f} {label(peer)}" for n, ratio, peer in points}
            rows.append([name, *(at.get(n, "-") for n in sizes)])
        lines += [
            f"Over the fastest peer by size, threads: {run['threads']}:",
            "",
            table(["case", *map(size, sizes)], rows),
            "",
        ]
    return lines[:-1]
