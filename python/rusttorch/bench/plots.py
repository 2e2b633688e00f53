"""A record as pictures; needs matplotlib."""

from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path
from typing import Any

from rusttorch.bench.peers import OURS
from rusttorch.bench.report import label, microseconds, size
from rusttorch.bench.summary import LOOPS, crossovers, is_counted, over_best

#: One colour per candidate in all pictures.
COLOURS = {
    OURS: "#c1121f",
    "torch": "#e9a03b",
    "compile": "#7a5195",
    "jax": "#2f6690",
    "numpy": "#3a9d5d",
    "numexpr": "#9a9a9a",
    "numba": "#4cc9f0",
}


def draw(record: dict[str, Any], folder: Path) -> list[str]:
    """Writes ``speed.png`` and ``speed-sizes.png``; gives the names of those that the record has figures for."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, function in (("speed.png", _cases), ("speed-sizes.png", _sizes)):
        figure = function(record, pyplot)
        if figure is not None:
            figure.savefig(folder / name, dpi=110)
            written.append(name)
    return written


def _title(record: dict[str, Any], threads: int) -> str:
    return f"{record['machine']['cpu']}, {record['isa']}, threads: {threads}"


def _cases(record: dict[str, Any], pyplot: Any) -> Any:
    """A line of dots per case: how long each peer takes, over our time."""
    run = record["runs"][0]
    counted = [c for c in run["cases"] if is_counted(c["name"]) and c.get("over")]
    if not counted:
        return None
    sizes = [c["elements"] for c in counted]
    n = max(set(sizes), key=lambda s: (sizes.count(s), s))
    chosen = [(c, "reused" if "reused" in c["over"] else "fresh") for c in counted if c["elements"] == n]
    chosen.sort(key=lambda pair: (over_best(*pair) or (0.0, ""))[0])
    figure, axes = pyplot.subplots(figsize=(9, 1.4 + 0.22 * len(chosen)))
    for y, (case, form) in enumerate(chosen):
        times = {p: r for p, r in case["over"][form].items() if p not in LOOPS}
        axes.plot([min(times.values()), max(times.values())], [y, y], color="#dddddd", linewidth=1, zorder=1)
        for peer, ratio in times.items():
            axes.scatter(ratio, y, s=16, color=COLOURS[peer], zorder=2)
    for peer in dict.fromkeys(p for c, f in chosen for p in c["over"][f] if p not in LOOPS):
        axes.scatter([], [], s=16, color=COLOURS[peer], label=label(peer))
    axes.axvline(1, color=COLOURS[OURS], linewidth=1, label="RustTorch")
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    low, high = axes.get_xlim()
    axes.set_xticks([t for t in ticks if low <= t <= high], [f"{t:g}x" for t in ticks if low <= t <= high])
    axes.minorticks_off()
    axes.set_yticks(range(len(chosen)), [c["name"] for c, _ in chosen], fontsize=7)
    axes.set_ylim(-0.7, len(chosen) - 0.3)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_xlabel(f"time over RustTorch's, {size(n)} elements (right of the line RustTorch is faster)", fontsize=8)
    axes.set_title(_title(record, run["threads"]), fontsize=9)
    axes.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    return figure


def _sizes(record: dict[str, Any], pyplot: Any) -> Any:
    """Nanoseconds per element over sizes; a ring where we begin or cease to be the fastest."""
    run = record["runs"][0]
    points = crossovers(record, run["threads"], "fresh") | crossovers(record, run["threads"], "reused")
    if not points:
        return None
    columns = min(3, len(points))
    rows = -(-len(points) // columns)
    figure, grid = pyplot.subplots(rows, columns, figsize=(3.6 * columns, 2.7 * rows), squeeze=False)
    for axes in grid.flat[len(points) :]:
        axes.axis("off")
    for axes, (name, series) in zip(grid.flat, points.items(), strict=False):
        by_size = {c["elements"]: c for c in run["cases"] if c["name"] == name}
        sizes = sorted(by_size)
        for peer in dict.fromkeys(p for c in by_size.values() for p in c["candidates"] if p not in LOOPS):
            line = [(n, t / n * 1e3) for n in sizes if (t := microseconds(by_size[n], peer))]
            width = 1.8 if peer == OURS else 1.0
            axes.plot(
                *zip(*line, strict=True),
                color=COLOURS[peer],
                label=label(peer),
                linewidth=width,
                marker=".",
                markersize=3,
            )
        for (_, before, _), (b, after, _) in pairwise(series):
            if (before < 1) != (after < 1):
                ours = microseconds(by_size[b], OURS) or 0.0
                axes.plot(
                    b, ours / b * 1e3, "o", markersize=9, markerfacecolor="none", color="black", markeredgewidth=0.9
                )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        shown = sizes[:: max(1, len(sizes) // 4)]
        axes.set_xticks(shown, [size(n) for n in shown], fontsize=6)
        axes.tick_params(axis="y", labelsize=6, which="both")
        axes.set_title(name, fontsize=8)
        axes.grid(color="#eeeeee")
    grid[0][0].legend(fontsize=5)
    figure.suptitle(f"{_title(record, run['threads'])}: ns per element (lower is faster)", fontsize=9)
    figure.tight_layout()
    return figure
