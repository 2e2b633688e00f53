//! Losses. `reduction` is 'mean', 'sum' or 'none'.
use rusttorch_ir::op::Autocast;
use rusttorch_ir::op::Class::Any;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "cross_entropy",
        params: "x, target, weight=None, ignore_index=-100, reduction='mean', label_smoothing=0.0",
        statics: &["ignore_index", "reduction", "label_smoothing"],
        doc: "logsumexp(x, 1) - x[i, target[i]] of scores (N, C) and class indices (N).",
        rule: Inherit,
        body: &[(
            Any,
            "s = scores(x)
             t = class_targets(s, target)
             kept = t != ignore_index
             lse = logsumexp(s, 1)
             l = lse - squeeze(gather(s, 1, unsqueeze(where(kept, t, 0), 1)), 1)
             even = lse - reduce_sum(s, 1, False) / count(s, 1)
             l = l if label_smoothing == 0 else (1 - label_smoothing) * l + label_smoothing * even
             l = l if weight is None else unsupported('cross_entropy: weight is not supported')
             reduce_kept(l, kept, reduction)",
        )],
        unreferenced: "reads by index: tests compare with loops",
        torch: "torch.nn.functional.cross_entropy",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "nll_loss",
        params: "x, target, weight=None, ignore_index=-100, reduction='mean'",
        statics: &["ignore_index", "reduction"],
        doc: "-x[i, target[i]] of log-probabilities (N, C) and class indices (N).",
        rule: Inherit,
        body: &[(
            Any,
            "t = class_targets(x, target)
             kept = t != ignore_index
             l = -squeeze(gather(scores(x), 1, unsqueeze(where(kept, t, 0), 1)), 1)
             l = l if weight is None else unsupported('nll_loss: weight is not supported')
             reduce_kept(l, kept, reduction)",
        )],
        unreferenced: "reads by index: tests compare with loops",
        torch: "torch.nn.functional.nll_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "mse_loss",
        params: "x, y, reduction='mean'",
        statics: &["reduction"],
        doc: "(x - y) ** 2.",
        rule: FloatOnly("mse_cpu"),
        body: &[(
            Any,
            "d = x - y
             reduce_loss(d * d, reduction)",
        )],
        unreferenced: "tests compare with loops",
        torch: "torch.nn.functional.mse_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "l1_loss",
        params: "x, y, reduction='mean'",
        statics: &["reduction"],
        doc: "|x - y|.",
        rule: FloatOnly("l1_loss_cpu"),
        body: &[(Any, "reduce_loss(abs(x - y), reduction)")],
        unreferenced: "tests compare with loops",
        torch: "torch.nn.functional.l1_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "huber_loss",
        params: "x, y, reduction='mean', delta=1.0",
        statics: &["reduction"],
        doc: "(x - y) ** 2 / 2, and beyond delta its tangent.",
        rule: FloatOnly("huber_cpu"),
        body: &[(
            Any,
            "d = abs(x - y)
             reduce_loss(where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)",
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
            "s = log1p_exp(-x)
             s = s if pos_weight is None else (1.0 + (pos_weight - 1.0) * target) * s
             l = (1.0 - target) * x + s
             reduce_loss(l if weight is None else l * weight, reduction)",
        )],
        unreferenced: "tests compare with loops",
        torch: "torch.nn.functional.binary_cross_entropy_with_logits",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "scores",
        doc: "x, which must be of a float dtype.",
        rule: FloatOnly("log_softmax_lastdim_kernel_impl"),
        body: &[(Any, "x")],
        reference: Some(Unary(|x| x)),
        ulp_f32: Some(0.0),
        internal: true,
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
        name: "reduce_kept",
        params: "x, kept, reduction",
        statics: &["reduction"],
        doc: "As reduce_loss, of the elements that are kept; the others are 0.",
        rule: Inherit,
        body: &[(
            Any,
            "y = where(kept, x, 0.0)
             mean = reduce_sum(y, None, False) / reduce_sum(to_i64(kept), None, False)
             mean if reduction == 'mean' else reduce_loss(y, reduction)",
        )],
        unreferenced: "a part of losses",
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
            "d = abs(x - y)
             l = d if beta == 0 else where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)
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
        doc: "-target * log(x) - (1 - target) * log(1 - x), logarithms not below -100. Of x outside of [0, 1] it is NaN; PyTorch raises.",
        rule: FloatOnly("binary_cross_entropy"),
        body: &[(
            Any,
            "l = binary_entropy(x, target)
             reduce_loss(l if weight is None else l * weight, reduction)",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.binary_cross_entropy",
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
             reduce_sum(l, None, False) / count(x, 0) if reduction == 'batchmean' else reduce_loss(l, reduction)",
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
        rule: FloatOnly("margin_ranking_loss"),
        body: &[(
            Any,
            "d = -target * (x1 - x2) + margin
             reduce_loss(where(d < 0.0, 0.0, d), reduction)",
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
        body: &[(Any, "reduce_loss(log1p_exp(-target * x), reduction)")],
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
];
