//! Products, differences and distances; powers and roots of several values.
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Reference::*;
use rusttorch_ir::op::Row;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "hypot",
        params: "a, b",
        doc: "sqrt(a * a + b * b), without overflow and underflow.",
        rule: FloatOnly("hypot_cpu"),
        body: &[
            (
                F32,
                "x = to_f64(a); y = to_f64(b)
                 where((abs(a) == inf) | (abs(b) == inf), inf, to_f32(sqrt(x * x + y * y)))",
            ),
            (
                F64,
                "m = maximum(abs(a), abs(b))
                 s = where(m > 0x1p500, 0x1p-600, where(m < 0x1p-400, 0x1p600, 1.0))
                 x = a * s; y = b * s
                 p = y * y
                 h = sqrt(fma(x, x, p)) * where(m > 0x1p500, 0x1p600, where(m < 0x1p-400, 0x1p-600, 1.0))
                 where((abs(a) == inf) | (abs(b) == inf), inf, h)",
            ),
        ],
        grad: &[("a", "grad * (a / result)"), ("b", "grad * (b / result)")],
        reference: Some(Binary(libm::hypot)),
        ulp_f32: Some(0.501),
        ulp_f64: Some(1.0),
        torch: "torch.hypot",
        np: "numpy.hypot",
        ..Row::DEFAULT
    },
    Row {
        name: "float_power",
        params: "x, exponent",
        doc: "pow in f64.",
        rule: Inherit,
        body: &[(Any, "pow(to_f64(x), to_f64(exponent))")],
        unreferenced: "pow has one",
        torch: "torch.float_power",
        np: "numpy.float_power",
        ..Row::DEFAULT
    },
    Row {
        name: "ldexp",
        params: "x, other",
        doc: "x * 2**other.",
        rule: ToFloat,
        // In three steps: the power itself may be beyond the floats where the result is not.
        body: &[
            (
                F32,
                "n = minimum(maximum(other, -300.0), 300.0)
                 h = round(n / 3.0)
                 p = exp2(h)
                 x * p * p * exp2(n - 2.0 * h)",
            ),
            (
                F64,
                "n = minimum(maximum(other, -2200.0), 2200.0)
                 h = round(n / 3.0)
                 p = exp2(h)
                 x * p * p * exp2(n - 2.0 * h)",
            ),
        ],
        grad: &[("x", "ldexp(grad, other)"), ("other", "grad * result * 0x1.62e42fefa39efp-1")],
        unreferenced: "tests compare with torch",
        torch: "torch.ldexp",
        np: "numpy.ldexp",
        ..Row::DEFAULT
    },
    Row {
        name: "frexp_mantissa",
        doc: "x / 2**frexp_exponent(x), of a magnitude of 0.5 to 1; x itself where it is 0, infinite or NaN.",
        rule: FloatElse("torch.frexp() only supports floating-point dtypes"),
        body: &[
            (
                F32,
                "u = where(abs(x) < 0x1p-126, x * 0x1p24, x)
                 where((x == 0.0) | ~(abs(x) < inf), x, float_from_bits((bits(u) & -2139095041) | 1056964608))",
            ),
            (
                F64,
                "u = where(abs(x) < 0x1p-1022, x * 0x1p54, x)
                 where((x == 0.0) | ~(abs(x) < inf), x, float_from_bits((bits(u) & -9218868437227405313) | 4602678819172646912))",
            ),
        ],
        grad: &[("x", "grad / exp2(to_float(frexp_exponent(x)))")],
        unreferenced: "a part of frexp: tests compare with torch",
        ..Row::DEFAULT
    },
    Row {
        name: "frexp_exponent",
        doc: "The exponent e of x = m * 2**e, m of a magnitude of 0.5 to 1, as int32; 0 where x is 0, infinite or NaN.",
        rule: FloatElse("torch.frexp() only supports floating-point dtypes"),
        body: &[
            (
                F32,
                "s = abs(x) < 0x1p-126
                 e = ((bits(where(s, x * 0x1p24, x)) >> 23) & 255) - where(s, 150, 126)
                 where((x == 0.0) | ~(abs(x) < inf), 0, e)",
            ),
            (
                F64,
                "s = abs(x) < 0x1p-1022
                 e = ((bits(where(s, x * 0x1p54, x)) >> 52) & 2047) - where(s, 1076, 1022)
                 to_i32(where((x == 0.0) | ~(abs(x) < inf), 0, e))",
            ),
        ],
        no_grad: "the result is an integer",
        unreferenced: "a part of frexp: tests compare with torch",
        ..Row::DEFAULT
    },
    Row {
        name: "nextafter",
        params: "a, b",
        doc: "The number after a towards b.",
        rule: Inherit,
        body: &[(
            Any,
            "of = dtype_name(a + b)
             half = nextafter_bits(a, b, 0x10000) if of == 'BFloat16' else nextafter_f16(a, b)
             half if of == 'BFloat16' or of == 'Half' else nextafter_bits(a, b, 1)",
        )],
        reference: None,
        unreferenced: "of bits: tests compare with torch",
        no_grad: "it is made of bits; PyTorch has none either",
        torch: "torch.nextafter",
        np: "numpy.nextafter",
        ..Row::DEFAULT
    },
    Row {
        name: "nextafter_bits",
        params: "a, b, step",
        statics: &["step"],
        doc: "nextafter of numbers whose neighbours are step further as bits: 1, and 65536 for bfloat16, the upper half of a float32.",
        rule: FloatOnly("nextafter_cpu"),
        body: &[(
            Any,
            "i = bits(a)
             away = (a < b) == (a > 0)
             next = float_from_bits(where(away, i + step, i - step))
             least = copysign(float_from_bits(i - i + step), b)
             y = where(a == 0, least, next)
             where(isnan(a) | isnan(b), a + b, where(a == b, b, y))",
        )],
        unreferenced: "a part of nextafter",
        no_grad: "it is made of bits; PyTorch has none either",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "nextafter_f16",
        params: "a, b",
        doc: "nextafter of float16: ten bits of the mantissa, and steps of 2**-24 below 2**-14.",
        rule: FloatOnly("nextafter_cpu"),
        body: &[(
            Any,
            "i = bits(a)
             away = (a < b) == (a > 0)
             next = float_from_bits(where(away, i + 0x2000, i - 0x2000))
             next = where(abs(a) == inf, copysign(65504.0, a), next)
             step = a + copysign(0x1p-24, b - a)
             step = where(step == 0.0, copysign(0.0, a), step)
             y = where(where(away, abs(a) < 0x1p-14, abs(a) <= 0x1p-14), step, next)
             where(isnan(a) | isnan(b), a + b, where(a == b, b, y))",
        )],
        unreferenced: "a part of nextafter",
        no_grad: "it is made of bits; PyTorch has none either",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "rsub",
        params: "x, other, alpha=None",
        doc: "other - alpha * x.",
        rule: NoBool(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.",
        ),
        body: &[(Any, "other - x if alpha is None else other - alpha * x")],
        reference: Some(Binary(|a, b| b - a)),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.rsub",
        ..Row::DEFAULT
    },
    Row {
        name: "angle",
        doc: "0, and pi where x is negative.",
        rule: ToFloat,
        body: &[(Any, "where(isnan(x), x, where(x < 0.0, 3.141592653589793, 0.0))")],
        grad: &[("x", "0.0 * grad")],
        reference: Some(Unary(|x| match x {
            _ if x.is_nan() => x,
            _ if x < 0.0 => std::f64::consts::PI,
            _ => 0.0,
        })),
        ulp_f32: Some(0.5),
        ulp_f64: Some(0.5),
        torch: "torch.angle",
        np: "numpy.angle",
        ..Row::DEFAULT
    },
    Row {
        name: "outer",
        params: "x, vec2",
        doc: "All products of two vectors.",
        body: &[(
            Any,
            "y = unsqueeze(x, 1) * vec2
             y = runtime_error('outer: Expected 1-D argument {}, but got {}-D', 'vec2', rank(vec2)) if rank(vec2) != 1 else y
             runtime_error('outer: Expected 1-D argument {}, but got {}-D', 'self', rank(x)) if rank(x) != 1 else y",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.outer",
        ..Row::DEFAULT
    },
    Row {
        name: "dot",
        params: "x, tensor",
        doc: "The sum of products of two vectors.",
        rule: Inherit,
        body: &[(
            Any,
            "y = sum_of_products(x, tensor)
             y = y if shape(x) == shape(tensor) else runtime_error('inconsistent tensor size, expected tensor {} and src {} to have the same number of elements, but got {} and {} elements respectively', shape(x), shape(tensor), size(x, 0), size(tensor, 0))
             y = runtime_error('dot : expected both vectors to have same dtype, but found {} and {}', dtype_name(x), dtype_name(tensor)) if dtype_name(x) != dtype_name(tensor) else y
             bad = runtime_error('1D tensors expected, but got {}D and {}D tensors', rank(x), rank(tensor))
             bad if (rank(x) != 1) or (rank(tensor) != 1) else y",
        )],
        unreferenced: "tests compare with torch",
        torch: "torch.dot",
        ..Row::DEFAULT
    },
    Row {
        name: "sum_of_products",
        params: "x, y",
        doc: "The sum of x * y.",
        rule: NoBool("\"dot\" not implemented for 'Bool'"),
        body: &[(Any, "reduce_sum(x * y, None, False)")],
        unreferenced: "a part of dot",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "diff",
        params: "x, n=1, dim=-1",
        statics: &["n", "dim"],
        doc: "Differences of neighbours along dim; of bools, whether they differ.",
        body: &[
            (Bool, "later(x, n, dim) ^ earlier(x, dim)"),
            (Any, "later(x, n, dim) - earlier(x, dim)"),
        ],
        unreferenced: "tests compare with torch",
        torch: "torch.diff",
        np: "numpy.diff",
        differs: "n may be 1; prepend and append are not there.",
        ..Row::DEFAULT
    },
    Row {
        name: "later",
        params: "x, n, dim",
        statics: &["n", "dim"],
        doc: "x without its first along dim.",
        body: &[(
            Any,
            "m = size(x, dim)
             y = narrow(x, dim, 1, m - 1) if m > 0 else x
             y = y if n == 1 else unsupported('diff: n is supported as 1, got {}', n)
             runtime_error('diff expects input to be at least one-dimensional') if rank(x) == 0 else y",
        )],
        unreferenced: "a part of diff",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "earlier",
        params: "x, dim",
        statics: &["dim"],
        doc: "x without its last along dim.",
        body: &[(
            Any,
            "m = size(x, dim)
             narrow(x, dim, 0, m - 1) if m > 0 else x",
        )],
        unreferenced: "a part of diff",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "dist",
        params: "x, other, p=2",
        statics: &["p"],
        doc: "The p-norm of x - other.",
        rule: NoBool(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.",
        ),
        body: &[
            (Float, "vector_norm(x - other, p)"),
            (Int, "unsupported('norm(): input dtype should be either floating point or complex. Got {} instead.', dtype_name(x))"),
        ],
        unreferenced: "tests compare with torch",
        torch: "torch.dist",
        ..Row::DEFAULT
    },
    Row {
        name: "pairwise_distance",
        params: "x1, x2, p=2.0, eps=1e-6, keepdim=False",
        statics: &["p", "keepdim"],
        doc: "The p-norm of x1 - x2 + eps along the last dimension.",
        rule: Inherit,
        body: &[(Any, "vector_norm(x1 - x2 + eps, p, -1, keepdim)")],
        unreferenced: "tests compare with torch",
        torch: "torch.nn.functional.pairwise_distance",
        ..Row::DEFAULT
    },
];
