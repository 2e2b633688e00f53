//! Losses of classes, labels and pairs: a class is an index along dimension 1, or the only dimension.
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
        doc: "The entropy of target relative to softmax(x), along dimension 1 (or the only one). target holds class indices, or probabilities when it has the shape of x; weight is per class.",
        rule: Inherit,
        body: &[(
            Any,
            "c = 1 if rank(x) > 1 else 0
             smoothing = label_smoothing if label_smoothing > 0 else 0
             s = scores(x)
             t = class_indices(x, target, weight)
             l = class_loss(s, where(t == ignore_index, 0, t), c)
             of_class = reduce_classes(s, l, t, weight, c, ignore_index, reduction, smoothing)
             of_probabilities = probability_loss(x, target, weight, c, reduction, smoothing)
             bad = runtime_error('ignore_index is not supported for floating point target')
             of_probabilities = bad if ignore_index >= 0 else of_probabilities
             bad = runtime_error('Expected floating point type for target with class probabilities, got {}', dtype_name(target))
             of_probabilities = of_probabilities if is_float(target) else bad
             y = of_probabilities if shape(x) == shape(target) else of_class
             runtime_error('label_smoothing must be between 0.0 and 1.0. Got: {}', label_smoothing) if label_smoothing > 1 else y",
        )],
        unreferenced: "reads by index: tests compare with loops and with torch",
        torch: "torch.nn.functional.cross_entropy",
        differs: "A class that is none is an IndexError in other words; rusttorch.nn.functional.cross_entropy has PyTorch's.",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "nll_loss",
        params: "x, target, weight=None, ignore_index=-100, reduction='mean'",
        statics: &["ignore_index", "reduction"],
        doc: "-x at the class target, of log-probabilities x along dimension 1 (or the only one); weight is per class.",
        rule: Inherit,
        body: &[(
            Any,
            "c = 1 if rank(x) > 1 else 0
             s = log_probabilities(x)
             t = class_indices(x, target, weight)
             l = -squeeze(gather(s, c, unsqueeze(where(t == ignore_index, 0, t), c)), c)
             reduce_classes(s, l, t, weight, c, ignore_index, reduction, 0)",
        )],
        unreferenced: "reads by index: tests compare with loops and with torch",
        torch: "torch.nn.functional.nll_loss",
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
        name: "log_probabilities",
        doc: "x, which must be of a float dtype.",
        rule: FloatOnly("nll_loss_out_frame"),
        body: &[(Any, "x")],
        reference: Some(Unary(|x| x)),
        ulp_f32: Some(0.0),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "class_indices",
        params: "x, target, weight",
        doc: "target as i64, if it holds a class per place of x and weight a number per class.",
        rule: Inherit,
        body: &[(
            Any,
            "c = 1 if rank(x) > 1 else 0
             t = to_i64(target)
             t = reshape(t, shape(0)) if rank(x) == 1 else t
             w = t if weight is None else (t if dtype_name(weight) == dtype_name(x) else runtime_error('expected scalar type {} but found {}', dtype_name(x), dtype_name(weight)))
             w = w if weight is None else (w if shape(weight) == sizes(x, c) else runtime_error('weight tensor should be defined either for all {} classes or no classes but got weight tensor of shape: {}', size(x, c), shape(weight)))
             bad = runtime_error('expected target dtype to be Long or Byte, but got {}', dtype_name(target))
             y = w if dtype_name(target) == 'Long' or dtype_name(target) == 'Byte' else bad
             others = sizes(x, dims_but(x, c))
             fits = shape(target) == others
             flat = runtime_error('0D or 1D target tensor expected, multi-target not supported')
             image = runtime_error('only batches of spatial targets supported (3D tensors) but got targets of dimension: {}', rank(target))
             image = runtime_error('size mismatch (got input: {} , target: {}', shape(x), shape(target)) if rank(target) == 3 else image
             deep = runtime_error('Expected target size {}, got {}', others, shape(target))
             misfit = flat if rank(x) == 2 else (image if rank(x) == 4 else deep)
             batch = value_error('Expected input batch_size ({}) to match target batch_size ({}).', size(x, 0), size(target, 0))
             misfit = misfit if sizes(x, 0) == sizes(target, 0) else batch
             one = value_error('For 1D input, 1D target must have size 1, but got target size: {}', size(target, 0))
             one = y if rank(target) == 0 else (y if shape(target) == list(1) else (one if rank(target) == 1 else flat))
             y = one if rank(x) == 1 else (y if fits else misfit)
             value_error('Expected 1 or more dimensions (got 0)') if rank(x) == 0 else y",
        )],
        unreferenced: "a part of losses",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "class_loss",
        params: "x, target, c",
        statics: &["c"],
        doc: "log(sum(exp(x))) - x at the class target, along dimension c. Nothing of the size of x is stored.",
        rule: Inherit,
        body: &[(
            Any,
            "d = x - reduce_upper(x, c, True)
             log(reduce_sum(exp_short(d), c, False)) - squeeze(gather(d, c, unsqueeze(target, c)), c)",
        )],
        grad: &[(
            "x",
            "p = softmax(x, c)
             unsqueeze(grad, c) * where(iota(x, c) == unsqueeze(target, c), p - 1.0, p)",
        )],
        unreferenced: "a part of losses",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "reduce_classes",
        params: "x, l, t, weight, c, ignore_index, reduction, smoothing",
        statics: &["c", "ignore_index", "reduction", "smoothing"],
        doc: "Losses l of classes t weighted, smoothed over all classes, without ignored ones, and reduced.",
        rule: Inherit,
        body: &[(
            Any,
            "kept = t != ignore_index
             w = x if weight is None else broadcast_to(reshape(weight, channel_shape(x, c)), shape(x))
             at = unsqueeze(where(kept, t, 0), c)
             wt = to_like(1, l) if weight is None else squeeze(gather(w, c, at), c)
             l = l if weight is None else l * wt
             lp = x if smoothing == 0 else log_softmax(x, c)
             even = -reduce_sum(lp if weight is None else lp * w, c, False)
             l = l if smoothing == 0 else (1 - smoothing) * l + (even / count(x, c)) * smoothing
             y = where(kept, l, 0.0)
             share = to_i64(kept) if weight is None else where(kept, wt, 0.0)
             mean = reduce_sum(y, None, False) / reduce_sum(share, None, False)
             mean if reduction == 'mean' else reduce_loss(y, reduction)",
        )],
        unreferenced: "a part of losses",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "probability_loss",
        params: "x, target, weight, c, reduction, smoothing",
        statics: &["c", "reduction", "smoothing"],
        doc: "cross_entropy of probabilities.",
        rule: FloatOnly("log_softmax_lastdim_kernel_impl"),
        body: &[(
            Any,
            "t = target if smoothing == 0 else target * (1 - smoothing) + smoothing / to_like(count(x, c), x)
             l = log_softmax(x, c) * t
             l = l if weight is None else l * reshape(weight, channel_shape(x, c))
             l = -reduce_sum(l, c, False)
             mean = reduce_sum(l, None, False) / (to_like(count(x, None), x) / to_like(count(x, c), x))
             y = mean if reduction == 'mean' else reduce_loss(l, reduction)
             y if weight is None else (y if shape(weight) == sizes(x, c) else runtime_error('cross_entropy: weight tensor should be defined either for all {} classes or no classes but got weight tensor of shape: {}', size(x, c), shape(weight)))",
        )],
        unreferenced: "a part of cross_entropy",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "multi_margin_loss",
        params: "x, target, p=1, margin=1.0, weight=None, reduction='mean'",
        statics: &["p", "reduction"],
        doc: "The sum of max(0, margin - x[target] + x) ** p over all classes but target, divided by their number; p is 1 or 2, weight is per class.",
        rule: Inherit,
        body: &[(
            Any,
            "w = margin_scores(x)
             t = unsqueeze(target, -1)
             at = t if rank(t) == rank(x) else reshape(target, [1])
             z = margin - gather(w, -1, at) + w
             z = where((iota(x, -1) == at) | (z <= 0.0), 0.0, z)
             z = z if p == 1 else z * z
             wt = x if weight is None else gather(broadcast_to(weight, shape(x)), -1, at)
             l = reduce_sum(z if weight is None else z * wt, -1, False) / count(x, -1)
             l = reshape(l, [1]) if (rank(x) == 1) and (rank(target) == 1) else l
             y = reduce_loss(l, reduction)
             bad = runtime_error('inconsistent weight size, expected {} but got {}', size(x, -1), shape(0) if weight is None else shape(weight))
             y = y if weight is None else (y if shape(weight) == sizes(x, -1) else bad)
             y = y if dtype_name(target) == 'Long' else runtime_error('expected scalar type Long but found {}', dtype_name(target))
             n = sizes(x, 0) if rank(x) == 2 else list(1)
             fits = shape(target) == n or (rank(target) == 0 and rank(x) == 1)
             y = y if fits else runtime_error('multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). Expected target size {}, but got {}. Input has shape {}.', n, shape(target), shape(x))
             y = runtime_error('Expected non-empty vector or matrix with optional 0-dim batch size, but got: {}', shape(x)) if rank(x) > 2 or rank(x) == 0 else y
             y if p == 1 or p == 2 else value_error('only p == 1 and p == 2 supported')",
        )],
        unreferenced: "reads by index: tests compare with torch",
        torch: "torch.nn.functional.multi_margin_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "margin_scores",
        doc: "x, which must be of a float dtype.",
        rule: FloatOnly("multi_margin_loss_cpu_kernel"),
        body: &[(Any, "x")],
        reference: Some(Unary(|x| x)),
        ulp_f32: Some(0.0),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "multilabel_margin_loss",
        params: "x, target, reduction='mean'",
        statics: &["reduction"],
        doc: "The sum of max(0, 1 - x[j] + x[i]) over the classes j that target lists up to its first negative number and the classes i that it does not list, divided by the number of classes.",
        rule: Inherit,
        body: &[(
            Any,
            "place = iota(target, -1)
             first = reduce_min(where(target < 0, place, count(target, -1)), -1, True)
             listed = place < first
             at = where(listed, target, 0)
             kind = iota(unsqueeze(x, -2), -1)
             on = unsqueeze(listed, -1)
             is_target = reduce_any(on & (unsqueeze(at, -1) == kind), -2, True)
             z = 1.0 - unsqueeze(gather(label_scores(x), -1, at), -1) + unsqueeze(x, -2)
             z = where(on & (~is_target) & (z > 0.0), z, 0.0)
             y = reduce_loss(reduce_sum(z, [-2, -1], False) / count(x, -1), reduction)
             y = y if dtype_name(target) == 'Long' else runtime_error('expected scalar type Long but found {}', dtype_name(target))
             bad = runtime_error('inconsistent target size: {} for input of size: {}', shape(target), shape(x))
             y = y if shape(x) == shape(target) else bad
             runtime_error('Expected non-empty vector or matrix with optional 0-dim batch size, but got: {}', shape(x)) if rank(x) > 2 or rank(x) == 0 else y",
        )],
        unreferenced: "reads by index: tests compare with torch",
        torch: "torch.nn.functional.multilabel_margin_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "label_scores",
        doc: "x, which must be of a float dtype.",
        rule: FloatOnly("multilabel_margin_loss_forward_out_frame"),
        body: &[(Any, "x")],
        reference: Some(Unary(|x| x)),
        ulp_f32: Some(0.0),
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "multilabel_soft_margin_loss",
        params: "x, target, weight=None, reduction='mean'",
        statics: &["reduction"],
        doc: "The mean over the last dimension of -target * log(sigmoid(x)) - (1 - target) * log(sigmoid(-x)), times weight.",
        rule: FloatOnly("log_sigmoid_cpu"),
        body: &[(
            Any,
            "l = -(target * logsigmoid(x) + (1.0 - target) * logsigmoid(-x))
             l = l if weight is None else l * weight
             reduce_loss(reduce_sum(l, -1, False) / count(x, -1), reduction)",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.multilabel_soft_margin_loss",
        ..Row::DEFAULT
    },
    Row {
        name: "cosine_embedding_loss",
        params: "x1, x2, target, margin=0.0, reduction='mean'",
        statics: &["reduction"],
        doc: "1 - the cosine of x1 and x2 along the last dimension where target is 1, and max(0, cosine - margin) where it is -1.",
        rule: ToFloat,
        body: &[(
            Any,
            "product = reduce_sum(x1 * x2, -1, False)
             m1 = reduce_sum(x1 * x1, -1, False) + 1e-12
             m2 = reduce_sum(x2 * x2, -1, False) + 1e-12
             cosine = product / sqrt(m1 * m2)
             d = cosine - margin
             l = where(target == 1.0, 1.0 - cosine, 0.0) + where(target == -1.0, where(d < 0.0, 0.0, d), 0.0)
             y = reduce_loss(l, reduction)
             y = y if (rank(x1) == rank(target) + 1) and (rank(x2) == rank(target) + 1) else runtime_error('{}D target tensor expects {}D input tensors, but found inputs with sizes {} and {}.', rank(target), rank(target) + 1, shape(x1), shape(x2))
             runtime_error('0D or 1D target tensor expected, multi-target not supported') if rank(target) > 1 else y",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.cosine_embedding_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
    Row {
        name: "triplet_margin_loss",
        params: "anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction='mean'",
        statics: &["p", "swap", "reduction"],
        doc: "max(0, margin + the distance of anchor to positive - that to negative), p-norms along the last dimension; with swap, positive's distance to negative counts if it is smaller.",
        rule: Inherit,
        body: &[(
            Any,
            "near = pairwise_distance(anchor, positive, p, eps)
             far = pairwise_distance(anchor, negative, p, eps)
             far = minimum(far, pairwise_distance(positive, negative, p, eps)) if swap else far
             d = margin + near - far
             y = reduce_loss(where(d < 0.0, 0.0, d), reduction)
             same = rank(anchor) == rank(positive) and rank(anchor) == rank(negative)
             y if same else runtime_error('The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor {}D, positive {}D, and negative {}D inputs', rank(anchor), rank(positive), rank(negative))",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.triplet_margin_loss",
        autocast: Autocast::F32,
        ..Row::DEFAULT
    },
];
