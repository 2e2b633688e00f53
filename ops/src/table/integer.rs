//! Number theory.
use super::NO_GRAD_OF_INTEGERS;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::DTypeRule::*;
use rusttorch_ir::op::Row;

/// Steps of the binary algorithm (Stein 1967, J. Comput. Phys. 1) on two odd numbers, eight per token: the larger one becomes
/// the odd part of the difference, which halves the product at least, so that 62 steps are enough for 32 bits and 126
/// for 64. Equal numbers stay as they are. `odd_part` is exact for every power of two as a float.
macro_rules! steps {
    (@eight $eight:tt) => {
        concat!(steps!(@), steps!(@), steps!(@), steps!(@), steps!(@), steps!(@), steps!(@), steps!(@))
    };
    (@) => {
        "d = abs(a - b)
         b = minimum(a, b)
         a = where(d == 0, a, odd_part(d))\n"
    };
    ($($eight:tt)*) => { concat!($(steps!(@eight $eight)),*) };
}

/// gcd where `more` steps are enough.
macro_rules! gcd {
    ($($more:tt)*) => {
        concat!(
            "u = abs(where(a == 0, b, a))
             v = abs(where(b == 0, a, b))
             power = low_zeros(u | v)
             a = odd_part(u)
             b = odd_part(v)\n",
            steps!(1 2),
            "more = a != b; found = a\n",
            steps!($($more)*),
            "abs(cold(more, a, found) << power)"
        )
    };
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "gcd",
        params: "a, b",
        doc: "The greatest common divisor, 0 of zeros.",
        rule: IntOnly("gcd_cpu"),
        body: &[
            (Narrow, "to_like(gcd(to_i32(a), to_i32(b)), a)"),
            (I32, gcd!(3 4 5 6 7 8)),
            (Int, gcd!(3 4 5 6 7 8 9 10 11 12 13 14 15 16)),
        ],
        no_grad: NO_GRAD_OF_INTEGERS,
        unreferenced: "of integers",
        torch: "torch.gcd",
        np: "numpy.gcd",
        ..Row::DEFAULT
    },
    Row {
        name: "low_zeros",
        doc: "The number of zero bits below the lowest one of an integer that is not 0.",
        rule: IntOnly("gcd_cpu"),
        body: &[
            (I32, "(lshr(bits(to_float(x & -x)), 23) & 255) - 127"),
            (Int, "(lshr(bits(to_float(x & -x)), 52) & 2047) - 1023"),
        ],
        no_grad: NO_GRAD_OF_INTEGERS,
        unreferenced: "a part of gcd",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "odd_part",
        doc: "An integer without its factors of two, by its bits: of the least one 1.",
        rule: IntOnly("gcd_cpu"),
        body: &[(Int, "lshr(x, low_zeros(x))")],
        no_grad: NO_GRAD_OF_INTEGERS,
        unreferenced: "a part of gcd",
        internal: true,
        ..Row::DEFAULT
    },
    Row {
        name: "lcm",
        params: "a, b",
        doc: "The least common multiple, 0 if one is 0; it wraps.",
        rule: IntOnly("lcm_cpu"),
        body: &[
            (Narrow, "to_like(lcm(to_i32(a), to_i32(b)), a)"),
            (
                Int,
                "g = gcd(a, b)
                 abs(idiv(a, where(g == 0, 1, g)) * b)",
            ),
        ],
        no_grad: NO_GRAD_OF_INTEGERS,
        unreferenced: "of integers",
        torch: "torch.lcm",
        np: "numpy.lcm",
        ..Row::DEFAULT
    },
];
