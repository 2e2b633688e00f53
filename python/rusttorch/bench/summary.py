"""What follows from a record's figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rusttorch.bench.cases import CASES

LOOPS = ("plain loop", "non-temporal loop")
BY_NAME = {case.name: case for case in CASES}
FORMS = ("reused", "fresh")


@dataclass(frozen=True)
class Ratio:
    """One case over its best peer: above one, we are faster."""

    name: str
    threads: int
    elements: int
    form: str
    ratio: float
    peer: str


def over_best(case: dict[str, Any], form: str) -> tuple[float, str] | None:
    """How many times as long the fastest peer takes, and which it is."""
    peers = {p: r for p, r in case.get("over", {}).get(form, {}).items() if p not in LOOPS}
    if not peers:
        return None
    best = min(peers, key=lambda p: peers[p])
    return peers[best], best


def ratios(record: dict[str, Any]) -> Iterator[Ratio]:
    """Of all that was measured."""
    for run in record["runs"]:
        for case in run["cases"]:
            for form in FORMS:
                best = over_best(case, form)
                if best:
                    yield Ratio(case["name"], run["threads"], case["elements"], form, *best)


def is_counted(name: str) -> bool:
    """Whether a case is one of those that means are of: not the tiny calls, nor what is there for the loops in C."""
    return not BY_NAME[name].sizes


def geometric_mean(values: list[float]) -> float:
    """Of positive numbers."""
    return math.exp(statistics.fmean(map(math.log, values)))


def summary(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A row per number of threads, size and form.

    A case without the form, as reductions that have no memory to reuse, counts by the other in both.
    """
    rows: list[dict[str, Any]] = []
    for run in record["runs"]:
        cases = [c for c in run["cases"] if is_counted(c["name"]) and c.get("over")]
        for elements in sorted({c["elements"] for c in cases}):
            for form in FORMS:
                found: dict[str, tuple[float, str]] = {}
                by_peer: dict[str, list[float]] = {}
                for case in (c for c in cases if c["elements"] == elements):
                    used = form if form in case["over"] else next(iter(case["over"]))
                    best = over_best(case, used)
                    if best:
                        found[case["name"]] = best
                    for peer, ratio in case["over"][used].items():
                        by_peer.setdefault(peer, []).append(ratio)
                if not found:
                    continue
                values = [r for r, _ in found.values()]
                worst = min(found, key=lambda name: found[name])
                rows.append(
                    {
                        "threads": run["threads"],
                        "elements": elements,
                        "form": form,
                        "cases": len(found),
                        "geometric_mean": round(geometric_mean(values), 3),
                        "median": round(statistics.median(values), 3),
                        "worst": round(found[worst][0], 3),
                        "worst_case": worst,
                        "over_peers": {p: round(geometric_mean(v), 3) for p, v in by_peer.items()},
                    }
                )
    return rows


def crossovers(record: dict[str, Any], threads: int, form: str) -> dict[str, list[tuple[int, float, str]]]:
    """By case that ran at three sizes or more: size, ratio over the best peer, and which that is, in order of size."""
    result: dict[str, list[tuple[int, float, str]]] = {}
    for r in ratios(record):
        if r.threads == threads and r.form == form and is_counted(r.name):
            result.setdefault(r.name, []).append((r.elements, r.ratio, r.peer))
    return {name: sorted(points) for name, points in result.items() if len(points) >= 3}
