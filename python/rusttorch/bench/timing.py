"""Results are checked against float64, then all candidates take turns under the clock, and the fastest once more."""

from __future__ import annotations

import gc
import resource
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import rusttorch as rt
from rusttorch.bench.cases import BY_ROW, Array, Case
from rusttorch.bench.peers import Candidate, Operands, Peers
from rusttorch.bench.summary import FORMS


class WrongResult(Exception):
    """A candidate's result is not the case's: it is not timed."""


#: Seconds of a call that is not repeated without being counted.
SLOW = 0.05
#: A peer within this factor of the fastest is one of the finalists.
CLOSE = 1.3
#: Elements of which the reference is computed, where rows do not depend on each other.
SAMPLE = 1 << 17


def _sample(case: Case, arrays: dict[str, Array]) -> tuple[dict[str, Array], Any]:
    """Operands of some rows, the first and the last among them, and the numbers of these rows."""
    rows = [a.shape[0] for name, a in arrays.items() if name in BY_ROW]
    if not case.by_row or not rows:
        return arrays, slice(None)
    wanted = max(2, SAMPLE // case.row)
    if rows[0] <= wanted:
        return arrays, slice(None)
    index = np.unique(np.linspace(0, rows[0] - 1, wanted).astype(np.int64))
    return {name: a[index] if name in BY_ROW else a for name, a in arrays.items()}, index


def _spacing(case: Case, at: Array) -> Any:
    """The distance between neighbours of the result's dtype at some magnitudes; None for integers."""
    at = np.maximum(np.abs(at), case.ulp_floor)
    if case.dtype == "float64":
        return np.spacing(at.astype(np.float64))
    if case.dtype == "float32":
        return np.spacing(np.maximum(at.astype(np.float32), np.finfo(np.float32).tiny))
    if case.dtype == "bfloat16":
        return np.spacing(np.maximum(at.astype(np.float32), np.finfo(np.float32).tiny)) * 2**16
    return None


class Verifier:
    """Compares results of one case with the reference."""

    def __init__(self, peers: Peers, case: Case, operands: Operands) -> None:
        self.case = case
        if case.special != "dropout":
            arrays, self.rows = _sample(case, operands.arrays)
            self.reference = peers.reference(case, arrays)

    def errors(self, candidate: Candidate) -> float | None:
        """Calls it once; the worst error in ULP, or None where that has no meaning.

        Raises:
            WrongResult: the results are wrong.
        """
        for buffer in candidate.buffers:
            buffer[...] = np.nan if buffer.dtype.kind == "f" else -77
        results = candidate.results(candidate.call())
        who = f"{self.case.name}: {candidate.peer} ({candidate.form})"
        if candidate.check:
            wrong = candidate.check(results)
            if wrong:
                raise WrongResult(f"{who}: {wrong}")
            return None
        if len(results) != len(self.reference):
            raise WrongResult(f"{who} has {len(results)} results, not {len(self.reference)}")
        worst = None
        for result, reference in zip(results, self.reference, strict=True):
            # Rows of the results that have them; a gradient of a weight has none.
            got = result[self.rows] if result.ndim else result
            if got.shape != reference.shape:
                raise WrongResult(f"{who} has the shape {result.shape}: {got.shape} against {reference.shape}")
            error = np.abs(got.astype(reference.dtype) - reference)
            # NaN is not within the tolerance.
            if not np.all(error <= self.case.tolerance * (1 + np.abs(reference))):
                raise WrongResult(f"{who} differs from float64 by {float(np.max(error)):.3g}")
            spacing = _spacing(self.case, reference)
            if spacing is not None and error.size:
                worst = max(worst or 0.0, float(np.max(error / spacing)))
        return worst


@dataclass
class Measured:
    """What a candidate took."""

    #: Microseconds of each round's call.
    rounds: list[float] = field(default_factory=list)
    #: Page faults of a call, without those that read or write a disk.
    faults: float = 0.0
    #: Processor seconds per second: 1 for a candidate that keeps to one thread.
    processors: float = 0.0
    #: Seconds of the first call, which compiles.
    first: float = 0.0

    def summary(self) -> dict[str, float]:
        """Median and quartiles, in microseconds."""
        low, median, high = statistics.quantiles(self.rounds, n=4) if len(self.rounds) > 1 else self.rounds * 3
        return {
            "us": _rounded(median),
            "q1": _rounded(low),
            "q3": _rounded(high),
            "faults": round(self.faults, 1),
            "processors": round(self.processors, 2),
            "first_ms": _rounded(self.first * 1e3),
        }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    #: Seconds that one candidate may take, but for the least number of rounds.
    seconds: float
    rounds: int
    #: Seconds of a candidate's turn.
    turn: float

    def heats(self) -> Effort:
        """What it takes to find the peers that are nearly as fast as the fastest."""
        return Effort(self.seconds / 2, self.rounds // 2 + 1, self.turn)


def take_turns(candidates: list[Candidate], effort: Effort, first: list[float], clock: str = "wall") -> list[Measured]:
    """Times each candidate in every round, in an order that is reversed from round to round.

    With the clock ``processor`` what a candidate takes is the processor time of the thread that works for it, which
    leaves out when others ran: on a busy machine a long call is interrupted, a short one is not.
    """
    measured = [Measured(first=f) for f in first]
    repeats, quota, warm = [], [], []
    for candidate in candidates:
        for _ in range(2):
            start = time.perf_counter()
            candidate.call()
            took = max(time.perf_counter() - start, 1e-7)
            if took > SLOW:
                break
        repeats.append(max(1, min(5000, int(effort.turn / took))))
        warm.append(took <= SLOW)
        turn = took * (repeats[-1] + warm[-1])
        quota.append(max(3, min(effort.rounds, int(effort.seconds / turn))))
    totals = [[0.0, 0.0, 0.0, 0.0] for _ in candidates]
    gc.collect()
    gc.disable()
    try:
        for number in range(max(quota)):
            order = range(len(candidates)) if number % 2 == 0 else range(len(candidates) - 1, -1, -1)
            for i in order:
                if number >= quota[i]:
                    continue
                call = candidates[i].call
                own = time.process_time if candidates[i].dispatches else time.thread_time
                # The operands come into the caches, if they fit, by a call that is not counted.
                if warm[i]:
                    call()
                faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                processors, mine = time.process_time(), own()
                start = time.perf_counter()
                for _ in range(repeats[i]):
                    call()
                took = time.perf_counter() - start
                mine = own() - mine
                total = totals[i]
                total[0] += took
                total[1] += time.process_time() - processors
                total[2] += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
                total[3] += repeats[i]
                counted = min(took, mine) if clock == "processor" else took
                measured[i].rounds.append(counted / repeats[i] * 1e6)
    finally:
        gc.enable()
    for m, (seconds, processor, page_faults, calls) in zip(measured, totals, strict=True):
        m.faults, m.processors = page_faults / calls, processor / seconds
    return measured


def run(peers: Peers, case: Case, n: int, effort: Effort, clock: str = "wall") -> dict[str, Any]:
    """One case at one size, as the record has it.

    Raises:
        WrongResult: our result is wrong.
    """
    operands = Operands(case, n)
    before = _compile_ms()
    candidates, lacking = peers.candidates(case, operands)
    result: dict[str, Any] = {"name": case.name, "elements": n, "candidates": {}}
    if lacking:
        result["lacking"] = lacking
    if not candidates:
        return result
    verifier = Verifier(peers, case, operands)
    errors, first = [], []
    kept = []
    for candidate in candidates:
        start = time.perf_counter()
        try:
            errors.append(verifier.errors(candidate))
        except Exception as failure:
            if candidate.peer == "ours":
                raise
            # A peer that is wrong, or fails, is reported, as one that is missing.
            lacking[candidate.peer] = f"{type(failure).__name__}: {failure}".splitlines()[0][:200]
            result["lacking"] = lacking
            continue
        first.append(time.perf_counter() - start)
        kept.append(candidate)
    result["compile_ms"] = _rounded(_compile_ms() - before)
    measured = take_turns(kept, effort.heats(), first, clock)
    over = {form: _ratios(kept, measured, form) for form in FORMS}
    best = list(measured)
    for form in FORMS:
        again = finalists(kept, measured, form)
        if not again:
            continue
        some = [kept[i] for i in again]
        final = take_turns(some, effort, [first[i] for i in again], clock)
        over[form] |= _ratios(some, final, form)
        for i, m in zip(again, final, strict=True):
            if kept[i].form == form:
                best[i] = m
    for candidate, error, m in zip(kept, errors, best, strict=True):
        entry: dict[str, Any] = m.summary()
        if error is not None:
            entry["ulp"] = float(f"{error:.3g}")
        if candidate.note:
            entry["note"] = candidate.note
        result["candidates"].setdefault(candidate.peer, {})[candidate.form] = entry
    result["over"] = {form: ratios for form, ratios in over.items() if ratios}
    return result


def _entrants(candidates: list[Candidate], form: str) -> dict[str, int]:
    """By peer, its candidate of this form or, for one without, of the other; nobody where ours has none."""
    if not any(c.peer == "ours" and c.form == form for c in candidates):
        return {}
    result: dict[str, int] = {}
    for i, candidate in enumerate(candidates):
        if candidate.form == form or candidate.peer not in result:
            result[candidate.peer] = i
    return result


def finalists(candidates: list[Candidate], measured: list[Measured], form: str) -> list[int]:
    """Ours and the peers that are nearly as fast as the fastest.

    They run once more among themselves: a slow candidate between two fast ones takes the operands out of the caches,
    and what comes next pays for it.
    """
    medians = {p: statistics.median(measured[i].rounds) for p, i in _entrants(candidates, form).items()}
    fastest = min((m for p, m in medians.items() if p != "ours"), default=0.0)
    chosen = [p for p, m in medians.items() if p == "ours" or m <= CLOSE * fastest]
    return [_entrants(candidates, form)[p] for p in chosen] if len(chosen) > 1 else []


def _ratios(candidates: list[Candidate], measured: list[Measured], form: str) -> dict[str, float]:
    """By peer, how many times as long it takes: the median of the ratios of rounds."""
    entrants = _entrants(candidates, form)
    return {
        peer: _rounded(
            statistics.median(
                t / o for t, o in zip(measured[i].rounds, measured[entrants["ours"]].rounds, strict=False)
            )
        )
        for peer, i in entrants.items()
        if peer != "ours"
    }


def _compile_ms() -> float:
    """What this process has compiled, in milliseconds."""
    return float(rt.stats()["kernels"]["compile_ms"])
