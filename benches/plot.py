"""Draws a record of ``compare.py`` as a picture: ``python benches/plot.py RECORD.json OUT.png``."""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    """One group of bars per case: the speed of each candidate over torch eager's."""
    source, target = sys.argv[1:3]
    record = json.loads(Path(source).read_text())
    cases = {name: times for name, times in record["cases"].items() if "eager" in times}
    names = ["ours", "eager", "inductor", "jax"]
    height = 0.8 / len(names)
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.36 * len(cases)))
    for i, name in enumerate(names):
        at = [j + (i - 1.5) * height for j, times in enumerate(cases.values()) if name in times]
        speed = [times["eager"] / times[name] for times in cases.values() if name in times]
        bars = axes.barh(
            at,
            speed,
            height=height,
            label={"ours": "RustTorch", "inductor": "torch.compile", "jax": "JAX"}.get(name, name),
        )
        axes.bar_label(bars, fmt="%.2f", fontsize=6, padding=2)
    axes.set_yticks(range(len(cases)), list(cases), fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set_xlabel("speed over torch eager, 1 thread, float32, 1024x1024 unless said (longer is faster)", fontsize=8)
    axes.set_title(f"{record['cpu']}, {record['isa']}, torch {record['torch']}", fontsize=9)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main()
