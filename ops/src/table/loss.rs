//! Losses of values; those of classes are in `loss_class`. `reduction` is 'mean', 'sum' or 'none'.
use rusttorch_ir::op::Autocast;
use rusttorch_ir::op::Class::Any;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "mse_loss",
        params: "x, y, reduction='mean', weight=None",
        statics: &["reduction"],
        doc: "(x - y) ** 2, times weight; the mean is divided by the sum of weights.",
        rule: FloatOnly("mse_cpu"),
        body: &[(
            Any,
            "d = x - y
             l = d * d if weight is None else d * d * check_weight(weight, x)
             mean = reduce_sum(l, None, False) / reduce_sum(weight, None, False)
             mean if reduction == 'mean' and not (weight is None) else reduce_loss(l, reduction)",
        )],
        unreferenced: "tests compare with loops",
        torch: "torch.nn.functional.mse_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "l1_loss",
        params: "x, y, reduction='mean', weight=None",
        statics: &["reduction"],
        doc: "|x - y|, times weight; the mean is divided by the sum of weights.",
        rule: FloatOnly("l1_loss_cpu"),
        body: &[(
            Any,
            "d = abs(x - y)
             l = d if weight is None else d * check_weight(weight, x)
             mean = reduce_sum(l, None, False) / reduce_sum(weight, None, False)
             mean if reduction == 'mean' and not (weight is None) else reduce_loss(l, reduction)",
        )],
        unreferenced: "tests compare with loops",
        torch: "torch.nn.functional.l1_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "huber_loss",
        params: "x, y, reduction='mean', delta=1.0, weight=None",
        statics: &["reduction"],
        doc: "(x - y) ** 2 / 2, and beyond delta its tangent; times weight.",
        rule: Mixed("huber_cpu"),
        body: &[(
            Any,
            "l = huber_term(x - y, delta)
             reduce_loss(l if weight is None else l * check_weight(weight, x), reduction)",
        )],
        unreferenced: "tests compare with loops",
        torch: "torch.nn.functional.huber_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "binary_cross_entropy_with_logits",
        params: "x, target, weight=None, reduction='mean', pos_weight=None",
        statics: &["reduction"],
        doc: "-target * log(sigmoid(x)) - (1 - target) * log(1 - sigmoid(x)).",
        rule: FloatOnly("binary_cross_entropy_with_logits"),
        body: &[(
            Any,
            "s = log1p_exp_short(-x)
             s = s if pos_weight is None else (1.0 + (pos_weight - 1.0) * target) * s
             l = (1.0 - target) * x + s
             y = reduce_loss(l if weight is None else l * weight, reduction)
             same = shape(x) == shape(target)
             y if same else value_error('Target size (torch.Size({})) must be the same as input size (torch.Size({}))', shape(target), shape(x))",
        )],
        unreferenced: "tests compare with loops",
        torch: "torch.nn.functional.binary_cross_entropy_with_logits",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "reduce_loss",
        params: "x, reduction",
        statics: &["reduction"],
        doc: "The mean, the sum, or x itself.",
        body: &[(
            Any,
            "total = reduce_sum(x, None, False)
             bad = value_error('{} is not a valid value for reduction', reduction)
             some = total if reduction == 'sum' else (x if reduction == 'none' else bad)
             total / count(x, None) if reduction == 'mean' else some",
        )],
        unreferenced: "a part of losses",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "huber_term",
        params: "d, delta",
        doc: "huber_loss of a difference.",
        body: &[(
            Any,
            "a = abs(d)
             where(a < delta, 0.5 * a * a, delta * (a - 0.5 * delta))",
        )],
        // As PyTorch's: of NaN it is NaN, of infinities finite.
        grad: &[
            ("d", "grad * where(d >= delta, delta, where(d <= -delta, -delta, d))"),
            ("delta", "a = abs(d); where(a < delta, 0.0, grad * (a - delta))"),
        ],
        unreferenced: "a part of huber_loss",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "smooth_l1_term",
        params: "d, beta",
        statics: &["beta"],
        doc: "smooth_l1_loss of a difference; beta is positive.",
        body: &[(
            Any,
            "a = abs(d)
             where(a < beta, 0.5 * a * a / beta, a - 0.5 * beta)",
        )],
        grad: &[("d", "grad * where(d >= beta, 1.0, where(d <= -beta, -1.0, d / beta))")],
        unreferenced: "a part of smooth_l1_loss",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "smooth_l1_loss",
        params: "x, y, reduction='mean', beta=1.0",
        statics: &["reduction", "beta"],
        doc: "(x - y) ** 2 / (2 * beta), and |x - y| - beta / 2 from beta on.",
        rule: FloatOnly("smooth_l1_cpu"),
        body: &[(
            Any,
            "l = abs(x - y) if beta == 0 else smooth_l1_term(x - y, beta)
             bad = runtime_error('smooth_l1_loss does not support negative values for beta.')
             bad if beta < 0 else reduce_loss(l, reduction)",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.smooth_l1_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "binary_cross_entropy",
        params: "x, target, weight=None, reduction='mean'",
        statics: &["reduction"],
        doc: "-target * log(x) - (1 - target) * log(1 - x), logarithms not below -100.",
        rule: FloatOnly("binary_cross_entropy"),
        body: &[(
            Any,
            "l = binary_entropy(x, target)
             y = reduce_loss(l if weight is None else l * weight, reduction)
             same = shape(x) == shape(target)
             y if same else value_error('Using a target size (torch.Size({})) that is different to the input size (torch.Size({})) is deprecated. Please ensure they have the same size.', shape(target), shape(x))",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.binary_cross_entropy",
        differs: "Of x outside of [0, 1] it is NaN, where PyTorch raises; rusttorch.nn.functional.binary_cross_entropy raises.",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "binary_entropy",
        params: "x, target",
        doc: "The terms of binary_cross_entropy.",
        body: &[(Any, "-(target * maximum(log(x), -100.0)) - (1.0 - target) * maximum(log1p(-x), -100.0)")],
        grad: &[
            ("x", "grad * (x - target) / maximum((1.0 - x) * x, 1e-12)"),
            ("target", "grad * (maximum(log1p(-x), -100.0) - maximum(log(x), -100.0))"),
        ],
        unreferenced: "a part of losses",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "kl_div",
        params: "x, target, reduction='mean', log_target=False",
        statics: &["reduction", "log_target"],
        doc: "target * (log(target) - x), x and with log_target also target being logarithms; reduction may be 'batchmean'.",
        rule: FloatOnly("kl_div"),
        body: &[(
            Any,
            "l = exp(target) * (target - x) if log_target else xlogy(target, target) - target * x
             total = reduce_sum(l, None, False)
             batch = total if rank(x) == 0 else total / count(x, 0)
             batch if reduction == 'batchmean' else reduce_loss(l, reduction)",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.kl_div",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "margin_ranking_loss",
        params: "x1, x2, target, margin=0.0, reduction='mean'",
        statics: &["reduction"],
        doc: "max(0, -target * (x1 - x2) + margin).",
        rule: Inherit,
        body: &[(
            Any,
            "d = -target * (x1 - x2) + margin
             y = reduce_loss(where(d < 0.0, 0.0, d), reduction)
             same = rank(x1) == rank(x2) and rank(x1) == rank(target)
             y if same else runtime_error('margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: torch.Size({}), input2: torch.Size({}), target: torch.Size({}) ', shape(x1), shape(x2), shape(target))",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.margin_ranking_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "hinge_embedding_loss",
        params: "x, target, margin=1.0, reduction='mean'",
        statics: &["reduction"],
        doc: "x where target is 1, max(0, margin - x) where it is -1.",
        rule: FloatOnly("hinge_embedding_loss"),
        body: &[(
            Any,
            "d = margin - x
             d = where(d < 0.0, 0.0, d)
             reduce_loss(where(target != 1.0, d, 0.0) + where(target != -1.0, x, 0.0), reduction)",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.hinge_embedding_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "soft_margin_loss",
        params: "x, target, reduction='mean'",
        statics: &["reduction"],
        doc: "log(1 + exp(-target * x)).",
        rule: FloatOnly("soft_margin_loss"),
        body: &[(Any, "reduce_loss(log1p_exp_short(-target * x), reduction)")],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.soft_margin_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "poisson_nll_loss",
        params: "x, target, log_input=True, full=False, eps=1e-8, reduction='mean'",
        statics: &["log_input", "full", "reduction"],
        doc: "exp(x) - target * x, or x - target * log(x + eps) without log_input; full adds the Stirling term where target is above 1.",
        rule: FloatOnly("poisson_nll_loss"),
        body: &[(
            Any,
            "l = exp(x) - target * x if log_input else x - target * log(x + eps)
             s = target * log(target) - target + 0.5 * log(6.283185307179586 * target)
             reduce_loss(l + where(target <= 1.0, 0.0, s) if full else l, reduction)",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.poisson_nll_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "gaussian_nll_loss",
        params: "x, target, var, full=False, eps=1e-6, reduction='mean'",
        statics: &["full", "reduction"],
        doc: "(log(var) + (x - target) ** 2 / var) / 2, var limited to eps from below; var is of the shape of x, or has one value per row. full adds log(2 * pi) / 2.",
        rule: FloatOnly("gaussian_nll_loss"),
        body: &[(
            Any,
            "row = shape(var) == sizes(x, dims_but(x, -1)) if rank(x) > 0 else False
             v = unsqueeze(var, -1) if row and shape(var) != shape(x) else var
             v = limited(v, eps)
             d = x - target
             l = 0.5 * (log(v) + d * d / v)
             y = reduce_loss(l + 0.9189385332046727 if full else l, reduction)
             fits = row or shape(var) == shape(x) or (rank(var) == rank(x)) or rank(var) == 0
             y if fits else value_error('var is of incorrect size')",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.gaussian_nll_loss",
        differs: "Of a negative var it takes eps, where PyTorch raises; rusttorch.nn.functional.gaussian_nll_loss raises.",
        ..Row::DEFAULT
    },
    Row {
        name: "limited",
        params: "x, low",
        doc: "max(x, low), its gradient that of x, as PyTorch limits a variance.",
        body: &[(Any, "maximum(x, low)")],
        grad: &[("x", "grad")],
        unreferenced: "a part of gaussian_nll_loss",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "check_weight",
        params: "weight, x",
        doc: "weight, which must be of the shape of x.",
        rule: Inherit,
        body: &[(
            Any,
            "bad = value_error('Weights and input must have the same size.')
             weight if shape(weight) == shape(x) else bad",
        )],
        unreferenced: "a part of losses",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "l1_penalty",
        doc: "The sum of |x|.",
        rule: FloatOnly("l1_penalty"),
        body: &[(Any, "reduce_sum(abs(x), None, False)")],
        reference: Some(Fold(|x| x.iter().map(|v| v.abs()).sum())),
        ..Row::DEFAULT
    },
    Row {
        name: "l2_penalty",
        doc: "The sum of x * x.",
        rule: FloatOnly("l2_penalty"),
        body: &[(Any, "reduce_sum(x * x, None, False)")],
        reference: Some(Fold(|x| x.iter().map(|v| v * v).sum())),
        ..Row::DEFAULT
    },
];
