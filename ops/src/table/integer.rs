//! Number theory.
use super::NO_GRAD_OF_INTEGERS;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Row;

/// Steps of Euclid's algorithm on a and b, five per token. The remainder of least magnitude divides the
/// numbers by 1 + sqrt(2) per step: 7, 25 and 50 steps are enough for 8, 32 and 64 bits. The divisor of a
/// finished lane is 1, since division by zero is an error.
macro_rules! steps {
    (@five $five:tt) => { concat!(steps!(@), steps!(@), steps!(@), steps!(@), steps!(@)) };
    (@) => {
        "r = where(b == 0, 0, abs(irem(a, where(b == 0, 1, b))))
         a = where(b == 0, a, b)
         s = abs(b) - r
         b = where((s < r) & (s > 0), s, r)\n"
    };
    ($($five:tt)*) => { concat!($(steps!(@five $five)),*) };
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "gcd",
        params: "a, b",
        doc: "The greatest common divisor, 0 of zeros.",
        rule: IntOnly("gcd_cpu"),
        body: &[
            (U8, concat!(steps!(1 2), "a")),
            (
                Int,
                concat!(
                    steps!(1 2 3 4 5),
                    "found = abs(a); more = b != 0\n",
                    steps!(6 7 8 9 10),
                    "cold(more, abs(a), found)"
                ),
            ),
        ],
        no_grad: NO_GRAD_OF_INTEGERS,
        unreferenced: "of integers",
        torch: "torch.gcd",
        np: "numpy.gcd",
        ..Row::DEFAULT
    },
    Row {
        name: "lcm",
        params: "a, b",
        doc: "The least common multiple, 0 if one is 0; it wraps.",
        rule: IntOnly("lcm_cpu"),
        body: &[(
            Int,
            "g = gcd(a, b)
             abs(idiv(a, where(g == 0, 1, g)) * b)",
        )],
        no_grad: NO_GRAD_OF_INTEGERS,
        unreferenced: "of integers",
        torch: "torch.lcm",
        np: "numpy.lcm",
        ..Row::DEFAULT
    },
];
