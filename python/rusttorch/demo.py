"""``python -m rusttorch.demo``: trains a classifier of handwritten digits with RustTorch alone.

A network of one hidden layer. Products are ``rt.matmul``; all the rest is formulas: bias and gelu, the loss and
its gradients, which are derived, and AdamW's update, each compiled to one kernel. NumPy trains beside it with the
same arithmetic, its gradients written by hand, from the same weights. The exit code is 1 when the test
accuracy is below 97 %, and 2 when something is not installed.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import rusttorch as rt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

INSTALL = 'pip install "rusttorch[demo]"'
CLASSES = 10
HIDDEN = 128
BATCH = 128
LEARNING_RATE = 2e-3
DECAY = 1e-2
BETAS = (0.9, 0.999)
EPSILON = 1e-8
WANTED = 0.97

ACTIVATION = rt.expr("gelu(z + b, approximate='tanh')")
HITS = rt.expr("sum(eq(argmax(z + b, 1), t))")
ADAMW = rt.expr(
    """
    adamw(w, m, v, g, lr, decay, beta1, beta2, eps, step):
    m1 = beta1 * m + (1 - beta1) * g
    v1 = beta2 * v + (1 - beta2) * g * g
    scale = sqrt(1 - beta2 ** step) / (1 - beta1 ** step)
    (1 - lr * decay) * w - lr * scale * m1 / (sqrt(v1) + eps * sqrt(1 - beta2 ** step)), m1, v1
    """
)
MEAN = rt.expr("mean(x, 0)")
VARIANCE = rt.expr("var(x, 0, correction=0)")
# A column that never changes tells nothing: it becomes zero.
STANDARDISE = rt.expr("(x - mean) * where(variance > 0, rsqrt(variance), 0)")


@rt.fuse
def loss(z: Any, b: Any, t: Any) -> Any:
    """Cross-entropy of a batch."""
    return rt.cross_entropy(z + b, t)


# The loss, and its gradients with respect to z and b.
LOSS_AND_GRADIENTS = rt.value_and_grad(loss, argnums=(0, 1))
# The gradients of z and b from that of the activation: a sum of products is what derives to them.
ACTIVATION_GRADIENTS = rt.func.grad(
    lambda z, b, g: (rt.gelu(z + b, approximate="tanh") * g).sum(),
    argnums=(0, 1),
)


@dataclass
class Data:
    """Digits as rows of 64 pixels, standardised, with their classes."""

    train: Array
    train_classes: Array
    test: Array
    test_classes: Array

    def batches(self) -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(self.train), BATCH):
            yield self.train[start : start + BATCH], self.train_classes[start : start + BATCH]


@dataclass
class Model:
    """Weights and biases of both layers, and what AdamW remembers of their gradients."""

    parameters: list[Array]
    moments: list[tuple[Array, Array]]
    steps: int = 0
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def new(cls, inputs: int) -> Model:
        import numpy as np

        rng = np.random.default_rng(1)
        parameters: list[Array] = []
        for rows, columns in ((inputs, HIDDEN), (HIDDEN, CLASSES)):
            parameters.append(rng.standard_normal((rows, columns)).astype(np.float32) / np.float32(rows**0.5))
            parameters.append(np.zeros(columns, np.float32))
        return cls(parameters, [(np.zeros_like(p), np.zeros_like(p)) for p in parameters])

    def step(self, x: Array, classes: Array) -> None:
        """One batch."""
        self.steps += 1
        gradients = self.gradients(x, classes)
        for i, (p, (m, v), g) in enumerate(zip(self.parameters, self.moments, gradients, strict=True)):
            self.parameters[i], m, v = self.update(p, m, v, g)
            self.moments[i] = (m, v)

    def gradients(self, x: Array, classes: Array) -> tuple[Array, Array, Array, Array]:
        """Of the loss, with respect to the parameters."""
        raise NotImplementedError

    def update(self, p: Array, m: Array, v: Array, g: Array) -> tuple[Array, Array, Array]:
        """A parameter and its two moments after a step of AdamW."""
        raise NotImplementedError

    def score(self, x: Array, classes: Array) -> tuple[float, float]:
        """Loss and accuracy."""
        raise NotImplementedError

    def epoch(self, data: Data) -> None:
        """All batches, timed."""
        start = time.perf_counter()
        for x, classes in data.batches():
            self.step(x, classes)
        self.seconds.append(time.perf_counter() - start)


class RustTorch(Model):
    """Trained by rusttorch alone."""

    def gradients(self, x: Array, classes: Array) -> tuple[Array, Array, Array, Array]:
        w1, b1, w2, b2 = self.parameters
        z1 = rt.matmul(x, w1)
        h = ACTIVATION(z1, b1)
        _, (gz2, gb2) = LOSS_AND_GRADIENTS(rt.matmul(h, w2), b2, classes)
        gz1, gb1 = ACTIVATION_GRADIENTS(z1, b1, rt.matmul(gz2, w2.T))
        return rt.matmul(x.T, gz1), gb1, rt.matmul(h.T, gz2), gb2

    def update(self, p: Array, m: Array, v: Array, g: Array) -> tuple[Array, Array, Array]:
        updated: tuple[Array, Array, Array] = ADAMW(
            p, m, v, g, LEARNING_RATE, DECAY, *BETAS, EPSILON, float(self.steps)
        )
        return updated

    def score(self, x: Array, classes: Array) -> tuple[float, float]:
        w1, b1, w2, b2 = self.parameters
        z = rt.matmul(ACTIVATION(rt.matmul(x, w1), b1), w2)
        return float(loss(z, b2, classes)), int(HITS(z, b2, classes)) / len(x)


class NumPy(Model):
    """The same arithmetic in NumPy."""

    def gradients(self, x: Array, classes: Array) -> tuple[Array, Array, Array, Array]:
        import numpy as np

        w1, b1, w2, b2 = self.parameters
        z1 = x @ w1 + b1
        t, h = self._gelu(z1)
        z2 = h @ w2 + b2
        e = np.exp(z2 - z2.max(1, keepdims=True))
        g2 = e / e.sum(1, keepdims=True)
        g2[np.arange(len(x)), classes] -= 1
        g2 /= len(x)
        c = (2 / np.pi) ** 0.5
        slope = 0.5 * (1 + t) + 0.5 * z1 * (1 - t * t) * c * (1 + 3 * 0.044715 * z1 * z1)
        g1 = g2 @ w2.T * slope
        return x.T @ g1, g1.sum(0), h.T @ g2, g2.sum(0)

    @staticmethod
    def _gelu(z: Array) -> tuple[Array, Array]:
        import numpy as np

        t = np.tanh((2 / np.pi) ** 0.5 * (z + 0.044715 * z * z * z))
        return t, 0.5 * z * (1 + t)

    def update(self, p: Array, m: Array, v: Array, g: Array) -> tuple[Array, Array, Array]:
        import numpy as np

        beta1, beta2 = BETAS
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        root = (1 - beta2**self.steps) ** 0.5
        scale = root / (1 - beta1**self.steps)
        p = (1 - LEARNING_RATE * DECAY) * p - LEARNING_RATE * scale * m / (np.sqrt(v) + EPSILON * root)
        return p, m, v

    def score(self, x: Array, classes: Array) -> tuple[float, float]:
        import numpy as np

        w1, b1, w2, b2 = self.parameters
        z = self._gelu(x @ w1 + b1)[1] @ w2 + b2
        top = z.max(1)
        losses = top + np.log(np.exp(z - top[:, None]).sum(1)) - z[np.arange(len(x)), classes]
        return float(losses.mean()), float((z.argmax(1) == classes).mean())


def load() -> Data:
    """scikit-learn's digits, which come with it; a quarter is for tests."""
    import numpy as np

    packed = resources.files("sklearn").joinpath("datasets/data/digits.csv.gz").read_bytes()
    table = np.loadtxt(gzip.decompress(packed).decode().splitlines(), delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(0).permutation(len(table))]
    x, classes = np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64)
    tests = len(x) // 4
    mean, variance = MEAN(x[tests:]), VARIANCE(x[tests:])
    x = STANDARDISE(x, mean, variance)
    return Data(x[tests:], classes[tests:], x[:tests], classes[:tests])


def optional(module: str) -> Any:
    """The module, or None."""
    try:
        return import_module(module)
    except ImportError:
        return None


def progress(epochs: int) -> Iterator[int]:
    """The numbers of the epochs, with a bar on a terminal."""
    tqdm = optional("tqdm")
    if tqdm is not None:
        yield from tqdm.tqdm(range(epochs), desc="training", unit="epoch", leave=False)
        return
    for epoch in range(epochs):
        if sys.stderr.isatty():
            done = 40 * (epoch + 1) // epochs
            print(f"\rtraining [{'#' * done:<40}] {epoch + 1}/{epochs}", end="", file=sys.stderr, flush=True)
        yield epoch
    if sys.stderr.isatty():
        print(file=sys.stderr)


def write_curve(output: Path, curve: list[tuple[float, float]]) -> None:
    """``loss.txt``, and ``loss.png`` where matplotlib is installed."""
    output.mkdir(parents=True, exist_ok=True)
    lines = ["epoch  loss     accuracy"]
    lines += [f"{epoch:5}  {loss:.5f}  {accuracy:.4f}" for epoch, (loss, accuracy) in enumerate(curve, 1)]
    text = output / "loss.txt"
    text.write_text("\n".join(lines) + "\n")
    if optional("matplotlib") is None:
        print(f"Curve: {text} (with matplotlib there is a picture too: {INSTALL})")
        return
    figure = import_module("matplotlib.figure").Figure(figsize=(6, 4))
    left = figure.add_subplot()
    right = left.twinx()
    epochs = range(1, len(curve) + 1)
    left.plot(epochs, [loss for loss, _ in curve], color="tab:blue")
    left.set(xlabel="epoch", yscale="log")
    left.set_ylabel("training loss", color="tab:blue")
    right.plot(epochs, [accuracy for _, accuracy in curve], color="tab:orange")
    right.set_ylabel("test accuracy", color="tab:orange")
    figure.tight_layout()
    figure.savefig(output / "loss.png", dpi=120)
    print(f"Curve: {text} and {output / 'loss.png'}")


def blas_threads() -> str:
    """How many threads NumPy's products use, where that can be told."""
    threadpoolctl = optional("threadpoolctl")
    pools = threadpoolctl.threadpool_info() if threadpoolctl else []
    counts = [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]
    return str(counts[0]) if counts else "its own number of"


def train(output: Path, epochs: int) -> bool:
    """Trains both models, tells how they did, and whether ours is good enough."""
    data = load()
    print(f"Digits: {len(data.train)} to train on, {len(data.test)} to test with, {data.train.shape[1]} pixels each.")
    ours, theirs = RustTorch.new(data.train.shape[1]), NumPy.new(data.train.shape[1])
    curve = []
    for _ in progress(epochs):
        ours.epoch(data)
        theirs.epoch(data)
        curve.append((ours.score(data.train, data.train_classes)[0], ours.score(data.test, data.test_classes)[1]))
    kernels = rt.stats()["kernels"]
    print(f"Kernels compiled: {kernels['compiles']}, in {kernels['compile_ms']:.1f} ms in all.")
    print(f"\n{'':10} loss     test accuracy  time per epoch (median of {epochs})")
    for model, name in ((ours, "rusttorch"), (theirs, "numpy")):
        loss = model.score(data.train, data.train_classes)[0]
        accuracy = model.score(data.test, data.test_classes)[1]
        print(f"{name:10} {loss:.5f}  {accuracy:8.2%}       {statistics.median(model.seconds) * 1e6:8.0f} us")
    print(f"Threads: rusttorch {int(rt.get_num_threads())}, NumPy's BLAS {blas_threads()}.\n")
    write_curve(output, curve)
    x, classes = next(data.batches())
    w1, b1, w2, b2 = ours.parameters
    seen = rt.inspect(LOSS_AND_GRADIENTS, rt.matmul(ACTIVATION(rt.matmul(x, w1), b1), w2), b2, classes)
    lines = seen.asm.splitlines()
    print("\nThe loss and its gradients, derived from cross_entropy(z + b, t),")
    print(f"are one kernel; it begins (of {len(lines)} lines):")
    print("\n".join("  " + line for line in lines[:25]))
    accuracy = curve[-1][1]
    if accuracy < WANTED:
        print(f"\nThe test accuracy is {accuracy:.2%}, below {WANTED:.0%}.", file=sys.stderr)
    return accuracy >= WANTED


def best(call: Callable[[], Any], seconds: float = 0.3) -> float:
    """The fastest of many calls, in seconds."""
    fastest = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def compare(title: str, ours: Callable[[], Any], theirs: Callable[[], Any], name: str) -> None:
    """Runs both, compares the results, prints the times."""
    import numpy as np

    worst = float(np.max(np.abs(np.asarray(ours()) - np.asarray(theirs()))))
    mine, other = best(ours), best(theirs)
    print(
        f"{title:<28} {name} {other * 1e6:7.0f} us, rusttorch {mine * 1e6:7.0f} us: {other / mine:.1f}x"
        f" (largest difference {worst:.0e})"
    )


def formulas() -> None:
    """Functions as anyone would write them, under ``@rt.fuse``."""
    import numpy as np

    def swiglu(a: Any, b: Any) -> Any:
        return a / (1 + np.exp(-a)) * b

    fused = rt.fuse(swiglu)
    a, b = np.random.default_rng(0).standard_normal((2, 1_000_000)).astype(np.float32)
    print("\nUnchanged functions under @rt.fuse, a million float32, best times:")
    compare("a / (1 + np.exp(-a)) * b", lambda: fused(a, b), lambda: swiglu(a, b), "numpy")
    torch = optional("torch")
    if torch is None:
        return

    def gated(x: Any, y: Any) -> Any:
        return torch.nn.functional.silu(x) * y

    body = rt.fuse(gated)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    torch.set_num_threads(1)
    with torch.no_grad(), rt.num_threads(1):
        compare("F.silu(x) * y, one thread", lambda: body(x, y), lambda: gated(x, y), "torch")


def main(argv: list[str] | None = None) -> int:
    """The demonstration; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rusttorch.demo", description="Trains a classifier of digits.")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for the loss curve")
    parser.add_argument("--epochs", type=int, default=24, help="times through the data (24)")
    options = parser.parse_args(argv)
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")
    for module, package in (("numpy", "NumPy"), ("sklearn", "scikit-learn")):
        if optional(module) is None:
            print(f"The demo needs {package}, which is not installed: {INSTALL}", file=sys.stderr)
            return 2
    print(rt.show_config() + "\n")
    good = train(options.output, options.epochs)
    formulas()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
