//! Normalisations.
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "layer_norm",
        params: "x, normalized_shape, weight=None, bias=None, eps=1e-5",
        statics: &["normalized_shape"],
        doc: "(x - mean) / sqrt(var + eps) over the last dimensions, times weight, plus bias.",
        rule: Mixed("LayerNormKernelImpl"),
        body: &[(
            Any,
            "dim = norm_dims(x, normalized_shape)
             n = count(x, dim)
             d = x - reduce_sum(x, dim, True) / n
             y = d * (1.0 / sqrt(reduce_sum(d * d, dim, True) / n + eps))
             y = y if weight is None else (y * weight if shape(weight) == sizes(x, dim) else runtime_error('Expected weight to be of same shape as normalized_shape, but got weight of shape {} and normalized_shape = {}', shape(weight), sizes(x, dim)))
             y if bias is None else (y + bias if shape(bias) == sizes(x, dim) else runtime_error('Expected bias to be of same shape as normalized_shape, but got bias of shape {} and normalized_shape = {}', shape(bias), sizes(x, dim)))",
        )],
        unreferenced: "takes a shape: tests compare with loops",
        torch: "torch.nn.functional.layer_norm",
        ..Row::DEFAULT
    },
    Row {
        name: "rms_norm",
        params: "x, normalized_shape, weight=None, eps=None",
        statics: &["normalized_shape"],
        doc: "x / sqrt(mean(x * x) + eps) over the last dimensions, times weight; eps is the dtype's when None.",
        rule: Mixed("rms_norm"),
        body: &[
            (
                F32,
                "dim = norm_dims(x, normalized_shape)
             y = x * (1.0 / sqrt(reduce_sum(x * x, dim, True) / count(x, dim) + (0x1p-23 if eps is None else eps)))
             y if weight is None else (y * weight if shape(weight) == sizes(x, dim) else runtime_error('Expected weight to be of same shape as normalized_shape, but got weight of shape {} and normalized_shape = {}', shape(weight), sizes(x, dim)))",
            ),
            (
                F64,
                "dim = norm_dims(x, normalized_shape)
             y = x * (1.0 / sqrt(reduce_sum(x * x, dim, True) / count(x, dim) + (0x1p-52 if eps is None else eps)))
             y if weight is None else (y * weight if shape(weight) == sizes(x, dim) else runtime_error('Expected weight to be of same shape as normalized_shape, but got weight of shape {} and normalized_shape = {}', shape(weight), sizes(x, dim)))",
            ),
        ],
        unreferenced: "takes a shape: tests compare with loops",
        torch: "torch.nn.functional.rms_norm",
        ..Row::DEFAULT
    },
    Row {
        name: "vector_norm",
        params: "x, ord=2, dim=None, keepdim=False, dtype=None",
        statics: &["ord", "dim", "keepdim", "dtype"],
        doc: "(sum |x|^ord)^(1/ord) over dim, of x as dtype; ord may be 0, inf and -inf.",
        rule: Inherit,
        body: &[(Any, "float_vector_norm(x if dtype is None else cast(x, dtype), ord, dim, keepdim)")],
        unreferenced: "tests compare with torch",
        torch: "torch.linalg.vector_norm",
        ..Row::DEFAULT
    },
    Row {
        name: "float_vector_norm",
        params: "x, ord, dim, keepdim",
        statics: &["ord", "dim", "keepdim"],
        doc: "vector_norm of floats.",
        rule: FloatElse("linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}"),
        body: &[(
            Any,
            "a = abs(x)
             general = pow_float(reduce_sum(pow_float(a, ord + 0.0), dim, keepdim), 1.0 / ord) if ord != 0 else a
             low = reduce_min(a, dim, keepdim) if ord == -inf else general
             high = reduce_max(a, dim, keepdim) if ord == inf else low
             zero = reduce_sum(where(x != 0.0, 1.0, 0.0), dim, keepdim) if ord == 0 else high
             one = reduce_sum(a, dim, keepdim) if ord == 1 else zero
             norm2(x, dim, keepdim) if ord == 2 else one",
        )],
        unreferenced: "vector_norm has one",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "norm2",
        params: "x, dim, keepdim",
        statics: &["dim", "keepdim"],
        doc: "sqrt(sum(x * x)) over dim.",
        body: &[(Any, "sqrt(reduce_sum(x * x, dim, keepdim))")],
        grad: &[(
            "x",
            "r = unreduce(result, x, dim, keepdim)
             where(r == 0.0, 0.0, x * (unreduce(grad, x, dim, keepdim) / r))",
        )],
        unreferenced: "a part of norms",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "normalize",
        params: "x, p=2.0, dim=1, eps=1e-12",
        statics: &["p", "dim"],
        doc: "x divided by its p-norm over dim, or by eps if that is larger.",
        rule: FloatElse("linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}"),
        body: &[(Any, "x / maximum(vector_norm(x, p, dim, True), eps)")],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.normalize",
        ..Row::DEFAULT
    },
    Row {
        name: "cosine_similarity",
        params: "x1, x2, dim=1, eps=1e-8",
        statics: &["dim"],
        doc: "sum(x1 * x2) over dim, each divided by its norm or by eps if that is larger.",
        rule: FloatElse("expected common dtype to be floating point, yet common dtype is {}"),
        body: &[(
            Any,
            "p = x1 * x2
             n1 = maximum(norm2(broadcast_to(x1, shape(p)), dim, False), eps)
             n2 = maximum(norm2(broadcast_to(x2, shape(p)), dim, False), eps)
             reduce_sum(p, dim, False) / (n1 * n2)",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.cosine_similarity",
        ..Row::DEFAULT
    },
    Row {
        name: "group_norm",
        params: "x, num_groups, weight=None, bias=None, eps=1e-5",
        statics: &["num_groups"],
        doc: "(x - mean) / sqrt(var + eps) over each of num_groups groups of channels (dimension 1), times weight, plus bias, per channel.",
        rule: Mixed("GroupNormKernelImpl"),
        body: &[(
            Any,
            "g = unflatten(x, 1, list(num_groups, -1))
             dim = dims_from(g, 2)
             n = count(g, dim)
             d = g - reduce_sum(g, dim, True) / n
             y = d * (1.0 / sqrt(reduce_sum(d * d, dim, True) / n + eps))
             c = channel_shape(x, 1)
             y = y if weight is None else y * unflatten(reshape(weight, c), 0, list(num_groups, -1))
             y = y if bias is None else y + unflatten(reshape(bias, c), 0, list(num_groups, -1))
             y = reshape(y, shape(x))
             y = y if bias is None else (y if shape(bias) == sizes(x, 1) else runtime_error('Expected {} to be a vector of size equal to the number of channels in input, but got {} of shape {} and input of shape {}', 'bias', 'bias', shape(bias), shape(x)))
             y = y if weight is None else (y if shape(weight) == sizes(x, 1) else runtime_error('Expected {} to be a vector of size equal to the number of channels in input, but got {} of shape {} and input of shape {}', 'weight', 'weight', shape(weight), shape(x)))
             y = runtime_error('Expected number of channels in input to be divisible by num_groups, but got input of shape {} and num_groups={}', shape(x), num_groups) if size(x, 1) % num_groups != 0 else y
             y = runtime_error('Expected num groups to be greater than 0, got {}', num_groups) if num_groups <= 0 else y
             bad = runtime_error('Expected at least 2 dimensions for input tensor but received {}', rank(x))
             bad if rank(x) < 2 else y",
        )],
        unreferenced: "of groups: tests compare with torch",
        torch: "torch.nn.functional.group_norm",
        ..Row::DEFAULT
    },
    Row {
        name: "batch_norm",
        params: "x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5",
        statics: &["training", "momentum"],
        doc: "(x - mean) / sqrt(var + eps) per channel (dimension 1), times weight, plus bias. Mean and variance are those of x when training, and the running ones otherwise.",
        rule: Mixed("batch_norm"),
        body: &[(
            Any,
            "channels = size(x, 1) if rank(x) > 1 else 0
             rm = check_channels(running_mean, 'running_mean', channels)
             rv = check_channels(running_var, 'running_var', channels)
             w = check_channels(weight, 'weight', channels)
             b = check_channels(bias, 'bias', channels)
             dim = dims_but(x, 1)
             n = count(x, dim)
             c = channel_shape(x, 1)
             mean = reduce_sum(x, dim, True) / n if training else reshape(rm, c)
             d = x - mean
             var = reduce_sum(d * d, dim, True) / n if training else reshape(rv, c)
             y = d * (1.0 / sqrt(var + eps))
             y = y if weight is None else y * reshape(w, c)
             y = y if bias is None else y + reshape(b, c)
             y = y if training else (runtime_error('{} must be defined in evaluation mode', 'running_var') if running_var is None else y)
             y = y if training else (runtime_error('{} must be defined in evaluation mode', 'running_mean') if running_mean is None else y)
             one = training and size(x, dims_but(x, 1)) == 1
             value_error('Expected more than 1 value per channel when training, got input size torch.Size({})', shape(x)) if one else y",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.batch_norm",
        differs: "It updates no running statistics; rusttorch.nn.functional.batch_norm does.",
        ..Row::DEFAULT
    },
    Row {
        name: "check_channels",
        params: "x, name, channels",
        statics: &["name", "channels"],
        doc: "x, if it is None or has one element per channel.",
        rule: Inherit,
        body: &[(
            Any,
            "numel = 0 if x is None else size(x, dims_from(x, 0))
             bad = runtime_error('{} should contain {} elements not {}', name, channels, numel)
             x if x is None else (x if numel == channels else bad)",
        )],
        unreferenced: "a part of norms",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "instance_norm",
        params: "x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5",
        statics: &["use_input_stats", "momentum"],
        doc: "(x - mean) / sqrt(var + eps) per sample and channel, times weight, plus bias; with the running statistics when use_input_stats is False.",
        rule: Mixed("batch_norm"),
        body: &[(
            Any,
            "w = check_channels(weight, 'weight', size(x, 1))
             b = check_channels(bias, 'bias', size(x, 1))
             dim = dims_from(x, 2)
             n = count(x, dim)
             c = channel_shape(x, 1)
             d = x - reduce_sum(x, dim, True) / n
             y = d * (1.0 / sqrt(reduce_sum(d * d, dim, True) / n + eps))
             y = y if weight is None else y * reshape(w, c)
             y = y if bias is None else y + reshape(b, c)
             bad = runtime_error('Expected running_mean and running_var to be defined when use_input_stats is false')
             y = y if use_input_stats else batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
             y = y if use_input_stats or not ((running_mean is None) or (running_var is None)) else bad
             one = use_input_stats and size(x, dims_from(x, 2)) == 1
             value_error('Expected more than 1 spatial element when training, got input size torch.Size({})', shape(x)) if one else y",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.instance_norm",
        differs: "It updates no running statistics; rusttorch.nn.functional.instance_norm does.",
        ..Row::DEFAULT
    },
];
