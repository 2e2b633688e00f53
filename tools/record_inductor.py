"""Records kernels from Inductor for ir/tests/inductor: `python tools/record_inductor.py [--all] [MODEL..]`.

Compiles small models with a scheduling class of our own, runs them forward and backward, checks the
results against eager torch, writes each fused node as a kernel, and keeps about 60 with the widest variety of
features. Beside NAME.rtir stands NAME.bin with the data of one run:

    u32 number of symbols, i64 each; u32 number of arguments; for each argument in call order
    u8 kind (0 in, 1 out, 2 inout), u32 elements, elements before (not for out), elements after (not for in)

all little-endian. A comment in the text says whether results agree bit for bit ("exact") or how closely.
"""

import argparse
import collections
import re
import struct
import sys
from pathlib import Path

import inductor_nodes
import torch
import torch.nn.functional as F
from inductor_kernel import import_node
from torch import nn

TARGET = Path(__file__).resolve().parent.parent / "ir" / "tests" / "inductor"
TOLERANCE = 1e-5
MAX_BYTES = 100_000
MODELS = {}
# Recorded a second time as Inductor treats large sizes: reductions stay loops, variance by Welford.
LARGE = (
    "mlp",
    "cnn",
    "resnet",
    "transformer",
    "transformer_dynamic",
    "mlp_dynamic",
    "doubles",
    "norms",
    "losses",
)


def model(f):
    MODELS[f.__name__] = f
    return f


@model
def mlp():
    net = nn.Sequential(
        nn.Linear(12, 32),
        nn.ReLU(),
        nn.Linear(32, 24),
        nn.Tanh(),
        nn.Linear(24, 16),
        nn.SiLU(),
        nn.Linear(16, 5),
    )
    target = torch.randint(0, 5, (9,))
    return lambda x: F.cross_entropy(net(x), target), [torch.randn(9, 12)], net


@model
def mlp_regression():
    net = nn.Sequential(nn.Linear(7, 24), nn.GELU(), nn.Linear(24, 24), nn.Sigmoid(), nn.Linear(24, 3), nn.Softplus())
    y = torch.randn(11, 3)
    return lambda x: F.smooth_l1_loss(net(x), y) + F.mse_loss(net(x), y), [torch.randn(11, 7)], net


@model
def cnn():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.c1, self.b1 = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
            self.c2, self.b2 = nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8, eps=1e-3)
            self.out = nn.Linear(8 * 4, 4)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.b1(self.c1(x))), 3, 2, 1)
            x = F.avg_pool2d(F.leaky_relu(self.b2(self.c2(x)), 0.1), 2)
            return F.log_softmax(self.out(x.flatten(1)), -1)

    net = Net()
    return lambda x: F.nll_loss(net(x), torch.tensor([0, 3, 1])), [torch.randn(3, 2, 12, 12)], net


@model
def cnn_eval():
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3),
        nn.BatchNorm2d(6),
        nn.ELU(),
        nn.Upsample(scale_factor=2),
        nn.AdaptiveAvgPool2d(5),
        nn.Hardswish(),
    )
    net[1].running_mean.normal_()
    net[1].running_var.uniform_(0.5, 2)
    return lambda x: net(x), [torch.randn(2, 2, 8, 8)], net.eval()


@model
def resnet():
    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.c1, self.b1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
            self.c2, self.b2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
            same = stride == 1 and i == o
            self.down = (
                nn.Identity() if same else nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))
            )

        def forward(self, x):
            y = F.relu(self.b1(self.c1(x)))
            return F.relu(self.b2(self.c2(y)) + self.down(x))

    widths = [4, 4, 6, 8, 10]
    stages = [
        b
        for i in range(4)
        for b in (Block(widths[i], widths[i + 1], 1 + (i > 0)), Block(widths[i + 1], widths[i + 1], 1))
    ]
    stem = [nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    net = nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 6))
    return lambda x: F.cross_entropy(net(x), torch.tensor([1, 5])), [torch.randn(2, 3, 32, 32)], net


class TransformerBlock(nn.Module):
    def __init__(self, words, width, heads, approximate):
        super().__init__()
        self.heads, self.approximate = heads, approximate
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(16, width)
        self.n1, self.n2, self.n3 = (nn.LayerNorm(width) for _ in range(3))
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.out = (
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
            nn.Linear(width, words),
        )

    def forward(self, tokens):
        b, t = tokens.shape
        x = F.dropout(self.words(tokens) + self.places(torch.arange(t)), 0.0)
        q, k, v = (a.view(b, t, self.heads, -1).transpose(1, 2) for a in self.qkv(self.n1(x)).chunk(3, -1))
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), float("-inf"))
        x = x + self.mix((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
        x = x + self.down(F.gelu(self.up(self.n2(x)), approximate=self.approximate))
        return self.out(self.n3(x))


def language(net, b, t, words):
    tokens, target = torch.randint(0, words, (b, t)), torch.randint(0, words, (b * t,))
    target[3] = -100
    return (
        lambda x: F.cross_entropy(net(x).flatten(0, 1), target[: x.numel()], label_smoothing=0.1),
        [tokens],
        net,
    )


@model
def transformer():
    return language(TransformerBlock(17, 12, 3, "none"), 2, 7, 17)


@model
def transformer_tanh():
    return language(TransformerBlock(13, 8, 2, "tanh"), 3, 5, 13)


@model
def transformer_dynamic():
    _, inputs, net = language(TransformerBlock(11, 8, 2, "none"), 2, 6, 11)
    torch._dynamo.mark_dynamic(inputs[0], 0)
    torch._dynamo.mark_dynamic(inputs[0], 1)
    return lambda x: net(x).square().mean(), inputs, net


@model
def mlp_dynamic():
    net = nn.Sequential(nn.Linear(6, 10), nn.LayerNorm(10), nn.Mish(), nn.Linear(10, 4))
    x = torch.randn(7, 6)
    torch._dynamo.mark_dynamic(x, 0)
    return lambda x: F.binary_cross_entropy_with_logits(net(x), (x[:, :4] > 0).float()), [x], net


@model
def indices():
    def f(x, y):
        pooled, where = F.max_pool2d(x, 3, 2, return_indices=True)
        top = x.permute(2, 0, 3, 1).argmax(), x.permute(0, 2, 1, 3).argmin(-1), y.argmax(0), y.argmax(1)
        value, index = y.max(1)
        return pooled, where, *top, value, index, x.amin((0, 2)), y.transpose(0, 1).contiguous().sum(1)

    return f, [torch.randn(2, 3, 9, 8), torch.randn(13, 21)], None


@model
def views():
    def f(x, y, i):
        parts = torch.cat([x[:, 1:4], y.relu(), x.flip(1)], 1)
        padded = F.pad(x, (2, 1), value=0.5)
        rolled = torch.roll(y, (1, 2), (0, 1))
        shuffled = x.view(6, 2, 5).transpose(1, 2).reshape(6, 10) * 2
        picked = x[i % 6, i % 10] + x.gather(1, (i % 10).unsqueeze(0).expand(6, -1).contiguous())[:, : i.numel()].sum(0)
        return parts, padded, rolled, shuffled, picked, F.pixel_shuffle(y.view(1, 4, 3, 5), 2), x.diagonal()

    return f, [torch.randn(6, 10), torch.randn(6, 10), torch.tensor([3, -2, 11, 7, 0])], None


@model
def scatters():
    def f(x, i, v):
        a = torch.zeros(8, 5).index_add(0, i, v)
        b = x.index_put((i, i % 5), v[:, 0], accumulate=True)
        c = x.scatter_add(0, i.unsqueeze(1).expand(-1, 5), v)
        d = x.scatter_reduce(0, i.unsqueeze(1).expand(-1, 5), v, "sum")
        counts = torch.zeros(8, dtype=torch.int64).index_add(0, i, torch.ones_like(i))
        return a, b, c, d, counts

    return f, [torch.randn(8, 5), torch.tensor([1, 5, 1, 0, 7, 5]), torch.randn(6, 5)], None


@model
def integers():
    def f(a, b, u):
        q = a // b, a % b, torch.div(a, b, rounding_mode="trunc"), torch.fmod(a, b)
        bits = (a & 12) | (b << 2), (a ^ b) >> 1, ~a
        tests = (a > b) & (u > 100), (a > 0).any(1), (b != 0).all(), torch.isnan(a / 3.0)
        return (
            *q,
            *bits,
            *tests,
            a.sum(1),
            u.sum(),
            a.prod(1),
            u.float() / 255 - 0.5,
            (a * 1.5).to(torch.int32),
            a.double().mean(),
        )

    a = torch.randint(-50, 50, (6, 9))
    return (
        f,
        [a, torch.tensor([3, -4, 7, 5, -1, 2, 9, -8, 6]), torch.randint(0, 256, (6, 9), dtype=torch.uint8)],
        None,
    )


@model
def doubles():
    net = nn.Sequential(nn.Linear(8, 12), nn.LayerNorm(12), nn.GELU("tanh"), nn.Linear(12, 6)).double()
    return (
        lambda x: F.kl_div(net(x).log_softmax(-1), x[:, :6].softmax(-1), reduction="batchmean"),
        [torch.randn(5, 8).double()],
        net,
    )


@model
def norms():
    net = nn.Sequential(nn.GroupNorm(2, 6), nn.PReLU(6), nn.InstanceNorm2d(6), nn.Softmax(1))
    return (
        lambda x: (net(x).std((2, 3)) + x.var(1).logsumexp((1, 2)).unsqueeze(1)).pow(1.7).mean() + x.norm(),
        [torch.randn(2, 6, 5, 7)],
        net,
    )


@model
def losses():
    def f(x, y):
        unit = F.normalize(x, dim=1), F.normalize(y, dim=1)
        cosine = F.cosine_similarity(*unit)
        return (
            (1 - cosine).clamp_min(0).mean()
            + F.huber_loss(x, y)
            + F.l1_loss(x, y)
            + x.sin().mul(y.cos()).sum()
            + F.logsigmoid(x).sum()
        )

    return f, [torch.randn(7, 10, requires_grad=True), torch.randn(7, 10)], None


@model
def interpolate():
    def f(x):
        big = F.interpolate(x, size=(9, 11), mode="bilinear", align_corners=False)
        return (
            F.interpolate(big, scale_factor=0.5, mode="nearest"),
            F.pad(x, (1, 2, 2, 1), mode="reflect"),
            F.avg_pool2d(x, 3, 2, 1),
        )

    return f, [torch.randn(1, 2, 5, 6, requires_grad=True)], None


@model
def optimizer():
    def f(p, g, m, v, step):
        step += 1
        m.lerp_(g, 0.1)
        v.mul_(0.999).addcmul_(g, g, value=0.001)
        scale = (1 - 0.999**step).sqrt() / (1 - 0.9**step)
        p.mul_(1 - 1e-4).sub_(1e-3 * scale * m / (v.sqrt() + 1e-8))
        return g.square().sum().sqrt()

    shapes = [torch.randn(5, 8) for _ in range(3)]
    return f, [*shapes, torch.rand(5, 8), torch.tensor(3.0)], None


def record(name, large):
    """Runs the model compiled, forward and backward, against eager torch."""
    config = torch._inductor.config
    config.unroll_reductions_threshold = 1 if large else 8
    config.cpp.use_two_step_variance_threshold = 0 if large else 1024
    inductor_nodes.Scheduling.epilogues = large
    torch.manual_seed(1)
    torch._dynamo.reset()
    f, inputs, net = MODELS[name]()
    inductor_nodes.Scheduling.model = name + " large" * large
    parameters = [*(net.parameters() if net else []), *(x for x in inputs if x.requires_grad)]
    state = {k: v.clone() for k, v in net.state_dict().items()} if net else {}

    def run(g):
        if net:
            net.load_state_dict(state)
        for p in parameters:
            p.grad = None
        # Some inputs are mutated; a clone would lose the mark of a dynamic dimension.
        out = g(*(x if x.requires_grad or hasattr(x, "_dynamo_dynamic_indices") else x.clone() for x in inputs))
        outs = list(out) if isinstance(out, tuple) else [out]
        weighted = [(o * torch.linspace(-1, 2, o.numel()).view(o.shape)).sum() for o in outs if o.requires_grad]
        if weighted:
            sum(weighted).backward()
        return [*(o.detach() for o in outs), *(p.grad for p in parameters if p.grad is not None)]

    for a, b in zip(run(f), run(torch.compile(f)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, msg=lambda m: f"{name}: {m}")


def text_of(node):
    """(name, text, tolerance text, argument kinds) or the reason why there is none."""
    name = "_".join([*node.model.split(), str(node.number)])
    try:
        text, kinds, inexact = import_node(node, name)
    except NotImplementedError as e:
        return name, None, str(e)
    header = f"; {node.model}: {', '.join(node.origins)}\n; {'within ' + str(TOLERANCE) if inexact else 'exact'}\n"
    return name, header + text, kinds


def data_of(node, kinds):
    before, after, sizes = node.runs[0]
    out = [
        struct.pack("<I", len(sizes)),
        *(struct.pack("<q", s) for s in sizes),
        struct.pack("<I", len(kinds)),
    ]

    def raw(t):
        return t.contiguous().view(torch.uint8).numpy().tobytes() if t.numel() else b""

    for key, kind in zip(node.args, kinds, strict=True):
        out.append(struct.pack("<BI", ("in", "out", "inout").index(kind), before[key].numel()))
        out += [raw(before[key])] if kind != "out" else []
        out += [raw(after[key])] if kind != "in" else []
    return b"".join(out)


# Of the features of a kernel, what is hard and therefore wanted more than once.
HARD = re.compile(
    r"store\.add|check|row|temp|[2-9] phases|floordiv|mod|if|wrap|syms.*|cold|inout|u8"
    r"|reduce\.(moments|arg).*"
)


def features(text):
    """What a kernel exercises, for the choice."""
    text = text.split("rtir 1")[1]
    found = {a or b for a, b in re.findall(r"= ([a-z]+\w*(?:\.\w+)*)|\b(store(?:\.add)?) ", text)}
    found |= set(re.findall(r"\b(floordiv|mod|min|max|row|temp|inout|bool|u8|syms \d+|if|wrap)\b", text))
    phases = text.split("  phase ")[1:]
    found.add(f"{len(phases)} phases")
    for p in phases:
        inner = [line.count("<") for line in re.findall(r"nest (.*)", p)]
        found.add(f"{p.split('{')[0].count('<')} outer axes, nests of {inner[:4]}")
    return found


def choose(kernels, count):
    """Greedy: always the kernel whose features were seen least, models with few kernels first."""
    seen, models, chosen = collections.Counter(), collections.Counter(), []
    rest = [(features(k[1]), k) for k in sorted(kernels, key=lambda k: len(k[1]))]

    def gain(item):
        wanted = (1 / (1 + seen[f]) ** (1 if HARD.fullmatch(f) else 3) for f in sorted(item[0]))
        return sum(wanted) / (2 + models[item[1][3].model])

    while rest and len(chosen) < count:
        best = max(rest, key=gain)
        rest.remove(best)
        chosen.append(best[1])
        seen.update(best[0])
        models[best[1][3].model] += 1
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS), help="which to record (all)")
    parser.add_argument("--all", action="store_true", help="keep every kernel")
    parser.add_argument("--count", type=int, default=64, help="how many to keep")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch._inductor.config.force_disable_caches = True
    torch._inductor.config.fallback_random = True
    torch._inductor.config.compile_threads = 1
    # oneDNN crashes in the backward pass of ResNet's first convolution at these sizes.
    torch.backends.mkldnn.enabled = False
    inductor_nodes.install()
    for name in options.models:
        for large in (False, True)[: 1 + (name in LARGE)]:
            print(name + " large" * large, file=sys.stderr, flush=True)
            record(name, large)
    kernels, seen, refused = [], set(), {}
    for node in inductor_nodes.Scheduling.nodes:
        name, text, kinds = text_of(node)
        if text is None:
            refused.setdefault(kinds, []).append(name)
            continue
        body = re.sub(r"@\w+", "@", text.split("rtir 1")[1])
        body = re.sub(
            r"\b(buf|primals_|tangents_|arg|getitem_|convert_element_type_|\w*?)\d+(_\d+)?(?=[:\[])",
            "b",
            body,
        )
        if not node.runs or body in seen:
            continue
        seen.add(body)
        data = data_of(node, kinds)
        if len(data) <= MAX_BYTES:
            kernels.append((name, text, data, node))
    for reason, names in refused.items():
        print(f"not expressed: {reason}: {', '.join(names)}")
    chosen = kernels if options.all else choose(kernels, options.count)
    TARGET.mkdir(parents=True, exist_ok=True)
    for old in [*TARGET.glob("*.rtir"), *TARGET.glob("*.bin")]:
        old.unlink()
    for name, text, data, _ in chosen:
        (TARGET / f"{name}.rtir").write_text(text)
        (TARGET / f"{name}.bin").write_bytes(data)
    print(f"{len(inductor_nodes.Scheduling.nodes)} nodes, {len(kernels)} different kernels, {len(chosen)} kept")


if __name__ == "__main__":
    main()
