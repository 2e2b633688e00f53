"""Arguments, processes and files of ``python -m rusttorch.bench``."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rusttorch.bench as package
from rusttorch.bench import environment
from rusttorch.bench.cases import CASES, Case
from rusttorch.bench.peers import PEERS
from rusttorch.bench.report import document, progress, text
from rusttorch.bench.summary import summary

SCHEMA = 1
SIZES = [1 << k for k in (12, 14, 16, 18, 20, 22, 24, 26)]
#: What the figures of a first call are of.
LATENCY = ("relu(x*w + b)", "gelu_tanh(x*w + b)", "silu(x)*z", "layer_norm", "softmax")
EFFORTS = {
    "quick": {"seconds": 0.06, "rounds": 15, "turn": 0.001},
    "full": {"seconds": 0.25, "rounds": 31, "turn": 0.002},
}
#: So that --quick keeps its promise on a machine of two cores.
QUICK_SECONDS = 100


class Failed(Exception):
    """A process that measures has found a wrong result of ours, or died."""


def parse_size(word: str) -> int:
    """``64Ki`` as a number."""
    for suffix, unit in (("Ki", 1 << 10), ("Mi", 1 << 20)):
        if word.endswith(suffix):
            return int(word[: -len(suffix)]) * unit
    return int(word)


def _list_of(convert: Any) -> Any:
    def parse(words: str) -> list[Any]:
        return [convert(w.strip()) for w in words.split(",") if w.strip()]

    parse.__name__ = "list"
    return parse


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m rusttorch.bench",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--quick", action="store_true", help="some cases, 1 Mi elements, one thread, two minutes (the default)"
    )
    effort.add_argument("--full", action="store_true", help="all cases, sizes from 4 Ki to 64 Mi, one and two threads")
    parser.add_argument("--threads", type=_list_of(int), metavar="1,2", help="numbers of threads")
    parser.add_argument("--sizes", type=_list_of(parse_size), metavar="64Ki,1Mi", help="elements, for every case")
    parser.add_argument("--cap", choices=["avx2"], help="the widest instruction set, for all candidates")
    parser.add_argument(
        "--peers", type=_list_of(str), metavar=",".join(PEERS), help="who takes part; all that are installed"
    )
    parser.add_argument(
        "--clock",
        choices=["wall", "processor"],
        default="wall",
        help="processor: of one thread, count processor time, for a machine that is busy with other work",
    )
    parser.add_argument("--each", type=float, metavar="N", help="measure each candidate for about so many seconds")
    parser.add_argument("--untuned-malloc", action="store_true", help="leave glibc to give memory back at every call")
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="begin no case after so many seconds, and say which are left out"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write pictures; needs matplotlib")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the page of the documentation")
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help="cases by name, or a part of it; all when none is given"
    )
    args = parser.parse_args(argv)
    unknown = set(args.peers or ()) - PEERS.keys()
    if unknown:
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if any(t < 1 for t in args.threads or ()):
        parser.error("numbers of threads are positive")
    for part in args.cases:
        if not any(part in c.name for c in CASES):
            parser.error(f"no case {part!r}; there are {', '.join(c.name for c in CASES)}")
    return args


def plan(args: argparse.Namespace, threads: int) -> list[tuple[Case, int]]:
    """What one process measures: what matters most goes first, in case that time is short."""
    exact = {c.name for c in CASES} & set(args.cases)

    def wanted(case: Case) -> bool:
        if args.cases:
            return case.name in exact or any(p in case.name for p in args.cases if p not in exact)
        return args.full or case.quick

    cases = [c for c in CASES if wanted(c)]
    fixed = [(c, n) for c in cases if c.sizes for n in c.sizes]
    cases = [c for c in cases if not c.sizes]
    if args.sizes:
        return [(c, n) for n in args.sizes for c in cases] + fixed
    result = [(c, 1 << 20) for c in cases] + fixed
    if args.full:
        # Two threads are of no use for what is small.
        sizes = [n for n in SIZES if threads == 1 or n >= 1 << 16]
        if threads == 1:
            result += [(c, 1 << 16) for c in cases if not c.sweep]
        result += [(c, n) for n in sizes if n != 1 << 20 for c in cases if c.sweep]
    return result


def measure(
    args: argparse.Namespace, threads: int, request: dict[str, Any], more: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """The events of a process that measures."""
    process = environment.start(json.dumps(request), threads, args.cap, more, not args.untuned_malloc)
    assert process.stdout
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "wrong":
            process.wait()
            raise Failed(f"wrong result: {event['message']}")
        yield event
    if process.wait():
        raise Failed(f"the process that measures ended with {process.returncode}")


def clock(args: argparse.Namespace, threads: int) -> str:
    """Processor time is of one thread."""
    result: str = args.clock
    return result if threads == 1 else "wall"


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Everything; gives the record."""
    effort = dict(EFFORTS["full" if args.full else "quick"])
    if args.each is not None:
        effort["seconds"] = args.each
    seconds = args.seconds or (QUICK_SECONDS if not (args.full or args.cases or args.sizes) else None)
    cpus = environment.machine()["cpus"]
    counts = args.threads or ([1, 2] if args.full and cpus > 1 else [1])
    peers = args.peers or list(PEERS)
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "machine": environment.machine(),
        "cap": args.cap,
        "malloc": "untuned" if args.untuned_malloc else "tuned",
        "effort": effort,
        "load": [environment.load()],
        "runs": [],
    }
    if args.clock == "wall" and record["load"][0] > 0.5 * cpus:
        print(
            f"the machine is busy (load {record['load'][0]}): long calls are interrupted; see --clock", file=sys.stderr
        )
    started = time.monotonic()
    for i, threads in enumerate(counts):
        # One thread goes first, and has the larger part.
        left = seconds and (seconds - (time.monotonic() - started)) * (1.0 if i == len(counts) - 1 else 0.7)
        request = {
            "threads": threads,
            "peers": peers,
            "plan": [(c.name, n) for c, n in plan(args, threads)],
            "effort": effort,
            "clock": clock(args, threads),
            "seconds": left,
        }
        cases: list[dict[str, Any]] = []
        result: dict[str, Any] = {"threads": threads, "clock": request["clock"], "cases": cases, "left_out": []}
        for event in measure(args, threads, request, {}):
            kind = event.pop("event")
            if kind == "start":
                if i == 0:
                    record |= event
                    for peer, why in event["missing"].items():
                        print(f"{peer} is missing: {why}")
            elif kind == "case":
                cases.append(event)
                print(progress(event, threads), flush=True)
            else:
                result["left_out"] = event["left_out"]
        record["runs"].append(result)
    if args.full or not (args.cases or args.sizes):
        (event,) = measure(args, 1, {"plan": "compile"}, {})
        times = event["milliseconds"]
        if times:
            record["compile"] = {"median_ms": statistics.median(times), "worst_ms": times[-1], "ops": len(times)}
    if args.full and not args.cases:
        record["latency"] = latency(args, peers)
    record["load"].append(environment.load())
    record["summary"] = summary(record)
    return record


def latency(args: argparse.Namespace, peers: list[str]) -> dict[str, dict[str, float]]:
    """Milliseconds of the first calls of a process, with no cache on disk."""
    request = {
        "threads": 1,
        "peers": [p for p in peers if p != "loops"],
        "plan": [(name, 1 << 12) for name in LATENCY],
        "effort": {"seconds": 0.0, "rounds": 3, "turn": 0.0},
        "clock": "wall",
        "seconds": None,
    }
    firsts: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for event in measure(args, 1, request, {"TORCHINDUCTOR_CACHE_DIR": cache}):
            if event["event"] == "case":
                for peer, forms in event["candidates"].items():
                    # Ours has a kernel for either form, the others compile at the first of them.
                    firsts.setdefault(peer, []).append(next(iter(forms.values()))["first_ms"])
                firsts["ours"][-1] = max(event["compile_ms"], firsts["ours"][-1])
    return {p: {"first_ms": t[0], "next_ms": statistics.median(t[1:] or t)} for p, t in firsts.items() if p != "torch"}


def main(argv: list[str] | None = None) -> int:
    """Gives the exit code: 1 for a wrong result of ours, 2 for what is missing."""
    args = arguments(argv)
    if args.plots:
        try:
            from rusttorch.bench import plots

            __import__("matplotlib")
        except ImportError as error:
            print(f"--plots needs matplotlib: {error}", file=sys.stderr)
            return 2
    try:
        record = run(args)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    if args.record:
        args.record.parent.mkdir(parents=True, exist_ok=True)
        args.record.write_text(json.dumps(record, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    pictures = plots.draw(record, args.plots) if args.plots else []
    if args.document:
        beside = args.document.parent
        names = [os.path.relpath(args.plots / p, beside) for p in pictures]
        args.document.write_text(document(record, "make bench", names))
    print(text(record))
    return 0
