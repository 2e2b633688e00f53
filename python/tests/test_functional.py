"""``rusttorch.nn.functional`` against ``torch.nn.functional``: signatures, values, gradients, errors."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
import rusttorch as rt
import torch
import torch.nn.functional as TF
from rusttorch.nn import functional as F

D = torch.float64
REDUCTIONS = ("mean", "sum", "none")
torch.manual_seed(7)
X = torch.randn(6, 5, dtype=D)
Y = torch.randn(6, 5, dtype=D)
Z = torch.randn(6, 5, dtype=D)
P = torch.rand(6, 5, dtype=D) * 0.9 + 0.05
Q = torch.softmax(Y, 1)
SIGN = torch.sign(Z)
T = torch.tensor([0, 4, 2, 1, 1, 3])
W = torch.rand(5, dtype=D) + 0.5
IMAGE = torch.randn(2, 3, 4, 5, dtype=D)
IMAGE_T = torch.randint(0, 3, (2, 4, 5))
C = torch.rand(3, dtype=D) + 0.5
LABELS = torch.tensor(
    [[3, 0, -1, 1, 1], [-1, 0, 0, 0, 0], [0, 1, 2, 3, 4], [2, -1, 2, 2, 2], [4, 4, 1, -1, 0], [1, 3, -1, 3, 3]]
)


def pow2(x: torch.Tensor) -> torch.Tensor:
    return (x * x).sum()


# name, floating arguments (differentiated), the rest, keywords
CASES: list[tuple[str, tuple, tuple, dict]] = [
    ("prelu", (X, torch.tensor([0.3], dtype=D)), (), {}),
    ("prelu", (X, W), (), {}),
    ("prelu", (IMAGE, C), (), {}),
    ("prelu", (X, torch.tensor(0.3, dtype=D)), (), {}),
    ("glu", (IMAGE,), (2,), {}),
    ("glu", (torch.cat([X, Y], 1),), (), {}),
    ("rrelu", (X,), (), {}),
    ("leaky_relu", (X,), (0.2,), {}),
    ("hardtanh", (X,), (), {"min_val": -0.5, "max_val": 0.25}),
    ("threshold", (X,), (0.25, -3.0), {}),
    ("gelu", (X,), (), {"approximate": "tanh"}),
    ("softplus", (X,), (2.0, 1.0), {}),
    ("softmax", (X,), (1,), {}),
    ("softmin", (X,), (), {"dim": 0}),
    ("log_softmax", (IMAGE,), (1,), {}),
    ("normalize", (X,), (), {"p": 3.0}),
    ("cosine_similarity", (X, Y), (), {}),
    ("pairwise_distance", (X, Y), (), {"p": 1.0, "keepdim": True}),
    ("layer_norm", (X,), ([5],), {}),
    ("rms_norm", (X,), ([5],), {}),
    ("group_norm", (torch.randn(2, 6, 4, 3, dtype=D),), (3,), {}),
    ("group_norm", (torch.randn(3, 4, dtype=D),), (2,), {"eps": 1e-3}),
    ("batch_norm", (IMAGE,), (None, None), {"training": True}),
    ("batch_norm", (IMAGE,), (C, C + 1), {"weight": C * 2, "bias": C - 1}),
    ("batch_norm", (X,), (W, W + 1), {}),
    ("instance_norm", (IMAGE,), (), {"weight": C, "bias": C * 2}),
    ("instance_norm", (IMAGE,), (C, C + 1), {"use_input_stats": False}),
    ("mse_loss", (X, Y), (), {"weight": P}),
    ("l1_loss", (X, Y), (), {"weight": P}),
    ("huber_loss", (X, Y), (), {"delta": 0.5}),
    ("huber_loss", (X, Y), (), {"weight": P}),
    ("smooth_l1_loss", (X, Y), (), {"beta": 0.25}),
    ("cross_entropy", (X,), (T,), {}),
    ("cross_entropy", (X * 1e3,), (T,), {}),
    ("cross_entropy", (X,), (T.to(torch.uint8),), {"weight": W}),
    ("cross_entropy", (X,), (T,), {"weight": W, "ignore_index": 1}),
    ("cross_entropy", (X,), (T,), {"weight": W, "ignore_index": 1, "label_smoothing": 0.2}),
    ("cross_entropy", (X,), (T,), {"label_smoothing": 0.2, "ignore_index": 4}),
    ("cross_entropy", (IMAGE,), (IMAGE_T,), {"weight": C, "label_smoothing": 0.1}),
    ("cross_entropy", (IMAGE[0],), (torch.randint(0, 4, (3, 5)),), {}),
    ("cross_entropy", (IMAGE[..., None],), (IMAGE_T[..., None],), {}),
    ("cross_entropy", (X[0],), (T[1],), {}),
    ("cross_entropy", (X, Q), (), {}),
    ("cross_entropy", (X, Q), (), {"weight": W, "label_smoothing": 0.3}),
    ("cross_entropy", (X[0], Q[0]), (), {}),
    ("cross_entropy", (IMAGE, torch.softmax(IMAGE, 1)), (), {"weight": C}),
    ("nll_loss", (X,), (T,), {}),
    ("nll_loss", (X,), (T,), {"weight": W, "ignore_index": 1}),
    ("nll_loss", (IMAGE,), (IMAGE_T,), {"weight": C}),
    ("nll_loss", (X[0],), (T[1],), {}),
    ("binary_cross_entropy", (P, torch.sigmoid(Y)), (), {}),
    ("binary_cross_entropy", (P,), (torch.sigmoid(Y),), {"weight": W}),
    ("binary_cross_entropy_with_logits", (X, torch.sigmoid(Y)), (), {}),
    ("binary_cross_entropy_with_logits", (X,), (P,), {"weight": P[:, :1], "pos_weight": W}),
    ("kl_div", (X, Q), (), {}),
    ("kl_div", (X, torch.log(Q)), (), {"log_target": True}),
    ("gaussian_nll_loss", (X, Y, P), (), {"full": True}),
    ("gaussian_nll_loss", (X, Y, P[:, 0]), (), {}),
    ("gaussian_nll_loss", (X, Y, P[:, :1] - 0.04), (), {"eps": 0.3}),
    ("gaussian_nll_loss", (X, Y), (0.5,), {}),
    ("poisson_nll_loss", (X, Y.exp()), (), {"full": True}),
    ("poisson_nll_loss", (P, Y.exp()), (), {"log_input": False, "eps": 1e-3}),
    ("margin_ranking_loss", (X, Y), (SIGN,), {"margin": 0.25}),
    ("hinge_embedding_loss", (X,), (SIGN,), {"margin": 0.5}),
    ("soft_margin_loss", (X,), (SIGN,), {}),
    ("multi_margin_loss", (X,), (T,), {}),
    ("multi_margin_loss", (X,), (T,), {"p": 2, "margin": 0.5, "weight": W}),
    ("multi_margin_loss", (X[0],), (T[1],), {}),
    ("multi_margin_loss", (X[0],), (T[1:2],), {}),
    ("multilabel_margin_loss", (X,), (LABELS,), {}),
    ("multilabel_margin_loss", (X[0],), (LABELS[0],), {}),
    ("multilabel_soft_margin_loss", (X,), ((Y > 0).to(D),), {"weight": W}),
    ("cosine_embedding_loss", (X, Y), (SIGN[:, 0],), {"margin": 0.1}),
    ("cosine_embedding_loss", (X[0], Y[0]), (torch.tensor(-1),), {}),
    ("triplet_margin_loss", (X, Y, Z), (), {}),
    ("triplet_margin_loss", (X, Y, Z), (), {"p": 1.0, "swap": True, "margin": 0.5}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_values_and_gradients(case):
    name, floats, rest, keywords = case
    ours, theirs = getattr(F, name), getattr(TF, name)
    reductions = REDUCTIONS if "reduction" in inspect.signature(ours).parameters else (None,)
    if name == "kl_div":
        reductions += ("batchmean",)
    for reduction in reductions:
        more = keywords if reduction is None else {**keywords, "reduction": reduction}
        got, want = ours(*floats, *rest, **more), theirs(*floats, *rest, **more)
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12, check_stride=False)
        single = [a.float() if torch.is_tensor(a) and a.dtype == D else a for a in (*floats, *rest)]
        narrow = {k: v.float() if torch.is_tensor(v) else v for k, v in more.items()}
        got = ours(*single, **narrow)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), want, rtol=3e-4, atol=3e-5, check_stride=False)

        leaves = [x.clone().requires_grad_() for x in floats]
        wanted = torch.autograd.grad(pow2(theirs(*leaves, *rest, **more)), leaves, allow_unused=True)
        argnums = tuple(range(len(floats)))
        grads = rt.func.grad(lambda *a, more=more: rt.sum(ours(*a, *rest, **more) ** 2), argnums)(*floats)
        for g, w in zip(grads, wanted, strict=True):
            w = torch.zeros_like(g) if w is None else w
            torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-11, check_stride=False)


def _numpy(value):
    return value.numpy() if torch.is_tensor(value) else value


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_numpy_arrays():
    for name, floats, rest, keywords in CASES:
        args = [_numpy(a) for a in (*floats, *rest)]
        got = getattr(F, name)(*args, **{k: _numpy(v) for k, v in keywords.items()})
        assert isinstance(got, (np.ndarray, np.generic)), name
        want = getattr(TF, name)(*floats, *rest, **keywords)
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-11, atol=1e-12, err_msg=name)


def test_signatures_are_those_of_torch():
    checked = 0
    for name in F.__all__:
        try:
            wanted = inspect.signature(getattr(TF, name)).parameters
        except ValueError:  # built in
            continue
        if list(wanted) == ["args", "kwargs"]:  # a dispatcher
            continue
        got = inspect.signature(getattr(F, name)).parameters
        assert list(got) == list(wanted), name
        for key, parameter in wanted.items():
            assert got[key].default == parameter.default, (name, key)
        checked += 1
    assert checked >= 45
    with pytest.raises(AttributeError, match=r"torch has torch.nn.functional.conv2d, rusttorch does not"):
        _ = F.conv2d


L = torch.long
ONES = torch.ones
ERRORS = {
    "glu odd": lambda f: f.glu(ONES(2, 3)),
    "glu 0-d": lambda f: f.glu(torch.tensor(1.0)),
    "glu int": lambda f: f.glu(ONES(2, 4, dtype=L)),
    "prelu count": lambda f: f.prelu(ONES(3, 4), ONES(2)),
    "prelu rank": lambda f: f.prelu(ONES(3, 4), ONES(2, 2)),
    "prelu dtype": lambda f: f.prelu(ONES(3, 4), ONES(4, dtype=D)),
    "group_norm groups": lambda f: f.group_norm(ONES(2, 5, 3), 2),
    "group_norm weight": lambda f: f.group_norm(ONES(2, 4, 3), 2, ONES(3)),
    "group_norm bias": lambda f: f.group_norm(ONES(2, 4, 3), 2, None, ONES(3)),
    "group_norm rank": lambda f: f.group_norm(ONES(4), 2),
    "batch_norm mean": lambda f: f.batch_norm(ONES(2, 3, 4), None, None),
    "batch_norm mean size": lambda f: f.batch_norm(ONES(2, 3, 4), ONES(2), ONES(3)),
    "batch_norm var size": lambda f: f.batch_norm(ONES(2, 3, 4), ONES(3), ONES(2)),
    "batch_norm var": lambda f: f.batch_norm(ONES(2, 3, 4), ONES(3), None),
    "batch_norm weight": lambda f: f.batch_norm(ONES(2, 3, 4), ONES(3), ONES(3), ONES(2)),
    "batch_norm one": lambda f: f.batch_norm(ONES(1, 3), None, None, training=True),
    "batch_norm eps": lambda f: f.batch_norm(ONES(2, 3), None, None, training=True, eps=0.0),
    "instance_norm one": lambda f: f.instance_norm(ONES(2, 3, 1)),
    "instance_norm stats": lambda f: f.instance_norm(ONES(2, 3, 4), use_input_stats=False),
    "ce batch": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(4, dtype=L)),
    "ce int": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(3, dtype=torch.int32)),
    "ce float": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(3)),
    "ce weight": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(3, dtype=L), weight=ONES(3)),
    "ce weight dtype": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(3, dtype=L), weight=ONES(4, dtype=D)),
    "ce probabilities": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(3, 4, dtype=L)),
    "ce multi": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(3, 1, dtype=L)),
    "ce 1-d": lambda f: f.cross_entropy(ONES(4), torch.zeros(3, dtype=L)),
    "ce image": lambda f: f.cross_entropy(ONES(2, 3, 4, 5), torch.zeros(2, 4, 4, dtype=L)),
    "ce image rank": lambda f: f.cross_entropy(ONES(2, 3, 4, 5), torch.zeros(2, 4, dtype=L)),
    "ce deep": lambda f: f.cross_entropy(ONES(2, 3, 4, 5, 6), torch.zeros(2, 4, 5, 7, dtype=L)),
    "ce bounds": lambda f: f.cross_entropy(ONES(3, 4), torch.tensor([0, 4, 1])),
    "ce negative": lambda f: f.cross_entropy(ONES(3, 4), torch.tensor([0, -1, 1])),
    "ce reduction": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(3, dtype=L), reduction="avg"),
    "ce of ints": lambda f: f.cross_entropy(ONES(3, 4, dtype=L), torch.zeros(3, dtype=L)),
    "ce ignore": lambda f: f.cross_entropy(ONES(3, 4), ONES(3, 4), ignore_index=1),
    "ce probability weight": lambda f: f.cross_entropy(ONES(3, 4), ONES(3, 4), weight=ONES(3)),
    "ce smoothing": lambda f: f.cross_entropy(ONES(3, 4), torch.zeros(3, dtype=L), label_smoothing=2.0),
    "nll 0-d": lambda f: f.nll_loss(torch.tensor(1.0), torch.tensor(1)),
    "nll of ints": lambda f: f.nll_loss(ONES(3, 4, dtype=L), torch.zeros(3, dtype=L)),
    "bce range": lambda f: f.binary_cross_entropy(ONES(3) * 2, ONES(3)),
    "bce nan": lambda f: f.binary_cross_entropy(ONES(3) * torch.nan, ONES(3)),
    "bce size": lambda f: f.binary_cross_entropy(ONES(3, 4), ONES(4)),
    "bce logits size": lambda f: f.binary_cross_entropy_with_logits(ONES(3, 4), ONES(4)),
    "bce int": lambda f: f.binary_cross_entropy(ONES(3, dtype=L), ONES(3, dtype=L)),
    "huber delta": lambda f: f.huber_loss(ONES(3), ONES(3), delta=0.0),
    "huber weight": lambda f: f.huber_loss(ONES(3), ONES(3), weight=ONES(2)),
    "mse weight": lambda f: f.mse_loss(ONES(3), ONES(3), weight=ONES(2)),
    "mse int": lambda f: f.mse_loss(ONES(3, dtype=L), ONES(3, dtype=L)),
    "smooth_l1 beta": lambda f: f.smooth_l1_loss(ONES(3), ONES(3), beta=-1.0),
    "multi_margin target": lambda f: f.multi_margin_loss(ONES(3, 4), torch.zeros(4, dtype=L)),
    "multi_margin rank": lambda f: f.multi_margin_loss(ONES(2, 3, 4), torch.zeros(2, dtype=L)),
    "multi_margin weight": lambda f: f.multi_margin_loss(ONES(3, 4), torch.zeros(3, dtype=L), weight=ONES(3)),
    "multi_margin p": lambda f: f.multi_margin_loss(ONES(3, 4), torch.zeros(3, dtype=L), p=3),
    "multi_margin bounds": lambda f: f.multi_margin_loss(ONES(3, 4), torch.tensor([0, 4, 1])),
    "multi_margin int": lambda f: f.multi_margin_loss(ONES(3, 4), torch.zeros(3, dtype=torch.int32)),
    "multilabel shape": lambda f: f.multilabel_margin_loss(ONES(3, 4), torch.zeros(3, 3, dtype=L)),
    "multilabel int": lambda f: f.multilabel_margin_loss(ONES(3, 4), torch.zeros(3, 4, dtype=torch.int32)),
    "multilabel_soft reduction": lambda f: f.multilabel_soft_margin_loss(ONES(3, 4), ONES(3, 4), reduction="avg"),
    "cosine target": lambda f: f.cosine_embedding_loss(ONES(3, 4), ONES(3, 4), ONES(3, 1)),
    "cosine rank": lambda f: f.cosine_embedding_loss(ONES(4), ONES(4), ONES(1)),
    "triplet rank": lambda f: f.triplet_margin_loss(ONES(3, 4), ONES(3, 4), ONES(4)),
    "triplet margin": lambda f: f.triplet_margin_loss(ONES(3, 4), ONES(3, 4), ONES(3, 4), margin=-1),
    "gaussian size": lambda f: f.gaussian_nll_loss(ONES(3, 4), ONES(3, 4), ONES(5)),
    "gaussian var": lambda f: f.gaussian_nll_loss(ONES(3, 4), ONES(3, 4), -ONES(3, 4)),
    "gaussian reduction": lambda f: f.gaussian_nll_loss(ONES(3), ONES(3), 0.5, reduction="avg"),
    "ranking": lambda f: f.margin_ranking_loss(ONES(3, 4), ONES(3, 4), ONES(4)),
    "poisson reduction": lambda f: f.poisson_nll_loss(ONES(3), ONES(3), reduction="avg"),
    "hardtanh": lambda f: f.hardtanh(ONES(3), 1.0, -1.0),
    "softmax dim": lambda f: f.softmax(ONES(3), 1),
    "layer_norm": lambda f: f.layer_norm(ONES(3, 4), [3]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_those_of_torch(case):
    with pytest.raises(Exception) as theirs:
        ERRORS[case](TF)
    with pytest.raises(Exception) as ours:
        ERRORS[case](F)
    assert type(ours.value) is type(theirs.value), ours.value
    assert str(ours.value) == str(theirs.value)


def test_running_statistics_are_updated_in_place():
    for name, x in (("batch_norm", IMAGE), ("batch_norm", X[:, :3]), ("instance_norm", IMAGE)):
        stats = [(C.clone(), (C + 1).clone()) for _ in range(2)]
        keywords = {"momentum": 0.3, "training" if name == "batch_norm" else "use_input_stats": True}
        for f, (mean, var) in zip((F, TF), stats, strict=True):
            getattr(f, name)(x, mean, var, **keywords)
        torch.testing.assert_close(stats[0], stats[1], rtol=1e-12, atol=1e-12)
    mean, var = np.zeros(3), np.ones(3)
    F.batch_norm(IMAGE.numpy(), mean, var, training=True)
    np.testing.assert_allclose(mean, 0.1 * IMAGE.mean((0, 2, 3)).numpy())
    with pytest.raises(NotImplementedError, match="running statistics"):
        rt.fuse(lambda x, m, v: F.batch_norm(x, m, v, training=True))(IMAGE, C, C)


def test_inplace_writes_to_the_input():
    x = torch.tensor([-1.0, 2.0])
    assert F.relu(x, inplace=True) is x
    assert x.tolist() == [0.0, 2.0]
    with pytest.raises(NotImplementedError, match="inplace"):
        rt.fuse(lambda x: F.relu(x, inplace=True))(x)


def test_old_reduction_arguments_warn_and_mean_what_they_mean_in_torch():
    for size_average in (None, True, False):
        for reduce in (None, True, False):
            if size_average is None and reduce is None:
                continue
            with pytest.warns(UserWarning) as theirs:
                want = TF.l1_loss(X, Y, size_average, reduce)
            with pytest.warns(UserWarning) as ours:
                got = F.l1_loss(X, Y, size_average, reduce)
            torch.testing.assert_close(got, want)
            assert str(ours[0].message) == str(theirs[0].message)
    with pytest.warns(UserWarning, match="Using a target size"):
        F.mse_loss(X, Y[0])
    with pytest.warns(UserWarning, match="batchmean"):
        F.kl_div(X, Q)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        torch.testing.assert_close(F.softmax(IMAGE), torch.softmax(IMAGE, 1))


def test_torch_functions_fuse_by_these_definitions():
    def loss(f):
        return lambda x, t: f.cross_entropy(f.softmax(x, dim=1, dtype=D), t, label_smoothing=0.1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (F, TF):
            torch.testing.assert_close(rt.fuse(loss(f))(X.float(), T), loss(TF)(X.float(), T))
        old = rt.fuse(lambda x, y: TF.l1_loss(x, y, None, None, "sum"))
        torch.testing.assert_close(old(X, Y), TF.l1_loss(X, Y, reduction="sum"))


def test_empty_and_special_values():
    for f in (F.softmax, F.log_softmax, F.softmin):
        assert f(torch.ones(2, 0), 1).shape == (2, 0)
    assert rt.logsumexp(torch.ones(2, 0), 1).tolist() == [-torch.inf, -torch.inf]
    assert torch.isnan(F.cross_entropy(torch.ones(0, 4), torch.zeros(0, dtype=L)))
    assert F.cross_entropy(torch.ones(0, 4), torch.zeros(0, dtype=L), reduction="none").shape == (0,)
    assert torch.isnan(F.cross_entropy(ONES(2, 3), torch.tensor([-100, -100])))
    assert F.group_norm(torch.ones(0, 4, 3), 2).shape == (0, 4, 3)
    # torch's own gradient fails for these.
    one = F.cross_entropy(X[0], T[1:2], weight=W, reduction="none")
    torch.testing.assert_close(one, TF.cross_entropy(X[0], T[1:2], weight=W, reduction="none"))
    x = torch.tensor([[1e4, -torch.inf, 0.0], [torch.nan, 1.0, 2.0]])
    torch.testing.assert_close(
        F.cross_entropy(x, torch.tensor([1, 0]), reduction="none"),
        TF.cross_entropy(x, torch.tensor([1, 0]), reduction="none"),
        equal_nan=True,
    )
    big = torch.tensor([[10000.0, 10000.5, 9999.0]])
    torch.testing.assert_close(
        F.cross_entropy(big, torch.tensor([1])), TF.cross_entropy(big, torch.tensor([1])), rtol=1e-6, atol=0
    )
