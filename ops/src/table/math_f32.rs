//! Bodies of mathematical functions at f32, 128-bit variants. Each states its method and its worst error in
//! units of the last place, against CORE-MATH in f64: over all 2^32 inputs, or over samples of them.
//! Polynomials are our own (Sollya's fpminimax and remez); schemes that are known by a name are named.

// n=round(8x/ln2) by magic add, r=x-n*ln2/8 exact (fma, 24 bits of ln2/8). 2^n/8=t(1+d), t of a table of 8 by the low
// bits of n, d its rounding errors; t q+t is the one large rounding, q=expm1(r)+c(1+r) of degree 4 (fpminimax),
// c=d+n*(what ln2/8 lacks). |x|>87 is cold, the same sum in f64. Worst error 0.567 ULP, all inputs.
pub(super) const EXP: &str = "
z = fma(x, 0x1.715476p3, 0x1.8p23)
n = z - 0x1.8p23
i = bits(z)
j = i & 7
r = fma(n, -0x1.62e43p-4, x)
c = fma(n, 0x1.05c61p-32, lookup([0.0, -0x1.9c0c22p-27, 0x1.125002p-25, -0x1.0a355p-25, 0x1.26055cp-26, 0x1.67a1cap-28, -0x1.f9c304p-27, -0x1.a5217cp-28], j))
t = float_from_bits((i << 20) + lookup([1065353216, 1065063874, 1064843248, 1064697559, 1064633587, 1064658730, 1064781053, 1065009351], j))
q = fma(fma(fma(fma(0x1.56b202p-5, r, 0x1.555c7cp-3), r, 0x1.ffffeep-2), r, 1.0), r, fma(c, r, c))
cold_n = floor(n * 0.125)
cold_t = to_f64(float_from_bits(bits(t) - (to_int(cold_n) << 23)))
cold_y = to_f32(scale(fma(cold_t, to_f64(q), cold_t), to_f64(cold_n)))
cold(abs(x) > 87.0, where(x > 89.0, x * 0x1p127, where(x < -104.0, 0.0, cold_y)), fma(t, q, t))
";

// Exp for rows that promise no more than 2 ULP and sum many: softmax, log_softmax, logsumexp, cross_entropy. As exp,
// with 16 points 2^(j/16) and nothing of what they and r lack: r=x-n*ln2/16 (two-step Cody-Waite with fma), q=expm1(r)
// of degree 3 (Lawson's algorithm), t q+t; |x|>87 goes to a cold scale(). Worst error 0.995 ULP, 1/7 of all inputs.
pub(super) const EXP_SHORT: &str = "
z = fma(x, 0x1.715476p4, 0x1.8p23)
n = z - 0x1.8p23
i = bits(z)
r = fma(n, -0x1.7f7d1cp-24, fma(n, -0x1.62e4p-5, x))
q = r * fma(fma(0x1.555748p-3, r, 0x1.00022p-1), r, 1.0)
t = float_from_bits((i << 19) + lookup([1065353216, 1065200323, 1065063874, 1064944595, 1064843248, 1064760626, 1064697559, 1064654911, 1064633587, 1064634532, 1064658730, 1064707212, 1064781053, 1064881375, 1065009351, 1065166205], i & 15))
cold_n = floor(n * 0.0625)
cold_t = float_from_bits(bits(t) - (to_int(cold_n) << 23))
cold(abs(x) > 87.0, where(x > 89.0, x * 0x1p127, where(x < -104.0, 0.0, scale(fma(cold_t, q, cold_t), cold_n))), fma(t, q, t))
";

// n by magic add, f=x-n exact, degree-6 fpminimax with c0=1; |x|>125 cold scale(). Worst error 0.878 ULP,
// all inputs.
pub(super) const EXP2: &str = "
z = x + 0x1.8000fep23
n = z - 0x1.8000fep23
f = x - n
p = fma(fma(fma(fma(fma(fma(0x1.3fa208p-13, f, 0x1.5f0b82p-10), f, 0x1.3b30ap-7), f, 0x1.c6af76p-5), f, 0x1.ebfbd8p-3), f, 0x1.62e43p-1), f, 1.0)
cold(abs(x) > 125.0, where(x > 129.0, x * 0x1p127, where(x < -151.0, 0.0, scale(p, n))), p * float_from_bits(bits(z) << 23))
";

/// For the cold ends of expm1 and sinh: exp(x) = 2^cold_n (cold_e + cold_w) nearly, cold_e = 1 + cold_r0. The magic
/// number rounds.
macro_rules! cold_exp {
    ($x:literal, $magic:literal) => {
        concat!(
            "cold_z = fma(", $x, ", 0x1.715476p0, ", $magic, ")\n",
            "cold_n = cold_z - ", $magic, "\n",
            "cold_r0 = fma(cold_n, -0x1.62e4p-1, ", $x, ")\n",
            "cold_m = cold_n * -0x1.7f7d1cp-20\n",
            "cold_r = cold_r0 + cold_m\n",
            "cold_w = fma(cold_r * cold_r, fma(fma(fma(fma(fma(0x1.b4e798p-13, cold_r, 0x1.6cdb8p-10), cold_r, 0x1.11088p-7), cold_r, 0x1.555528p-5), cold_r, 0x1.555558p-3), cold_r, 0x1p-1), cold_m)\n",
            "cold_e = cold_r0 + 1.0\n",
        )
    };
}

// n=round(x/ln2-0.085) (so that r is in [-0.288,0.406] and 2^n-1 needs no more than 24 bits next to 0), r=r0+m,
// r0=x-n*ln2 exact by its first 16 bits, m what they lack; 2^n r0+(2^n-1) with its rounding error, plus 2^n w, w=r^2
// P(r)+m at most 0.09. |x|>16.5 cold. Worst error 0.928 ULP, all inputs.
pub(super) const EXPM1: &str = concat!(
    "
z = fma(x, 0x1.715476p0, -0.0849625) + 0x1.8000fep23
n = z - 0x1.8000fep23
r0 = fma(n, -0x1.62e4p-1, x)
m = n * -0x1.7f7d1cp-20
r = r0 + m
w = fma(r * r, fma(fma(fma(fma(fma(0x1.b4e798p-13, r, 0x1.6cdb8p-10), r, 0x1.11088p-7), r, 0x1.555528p-5), r, 0x1.555558p-3), r, 0x1p-1), m)
t = float_from_bits(bits(z) << 23)
b = t - 1.0
h = fma(t, r0, b)
y = h + fma(t, w, fma(t, r0, b - h))
",
    cold_exp!("x", "0x1.8000fep23"),
    "cold_t = float_from_bits(bits(cold_z) << 23)
cold_h = fma(cold_t, cold_r0, cold_t)
cold(abs(x) > 16.5, where(x > 60.0, where(x > 89.0, x * 0x1p127, scale(cold_e + (cold_w + (cold_r0 - (cold_e - 1.0))), cold_n)), where(x > 0.0, cold_h + (fma(cold_t, cold_w, fma(cold_t, cold_r0, cold_t - cold_h)) - 1.0), where(x < -18.0, -1.0, fma(cold_t, cold_e + cold_w, -1.0)))), float_from_bits(bits(y) | (bits(x) & -2147483648)))
"
);

// x=2^k(1+f), 1+f in [2/3,4/3) by integer subtraction, log(1+f)=f+f^2 Q(f), Q degree 8 (fpminimax), k*ln2+f added with
// an exact-error fma (fast two-sum) so that the k=+-1 zone stays below 1 ULP, and what ln2 lacks. Subnormals, scaled by
// 2^23, and specials are cold: all else is below -2^24 by a wrapping addition. Worst error 0.874 ULP, all inputs.
pub(super) const LOG: &str = "
d = bits(x) - 1059760811
k = to_float(d >> 23)
f = float_from_bits(bits(x) - (d & -8388608)) - 1.0
t = fma(k, 0x1.62e43p-1, f)
e = f - fma(k, -0x1.62e43p-1, t)
q = fma(fma(fma(fma(fma(fma(fma(fma(-0x1.06fc5ep-3, f, 0x1.1ef6b4p-3), f, -0x1.f392f6p-4), f, 0x1.1eb624p-3), f, -0x1.5598bep-3), f, 0x1.99d284p-3), f, -0x1.ffff1p-3), f, 0x1.5555p-2), f, -0.5)
y = t + fma(f * f, q, fma(k, -0x1.05c61p-29, e))
cold_u = x * 0x1p23
cold_d = bits(cold_u) - 1059760811
cold_k = to_float((cold_d >> 23) - 23)
cold_f = float_from_bits(bits(cold_u) - (cold_d & -8388608)) - 1.0
cold_t = fma(cold_k, 0x1.62e43p-1, cold_f)
cold_e = cold_f - fma(cold_k, -0x1.62e43p-1, cold_t)
cold_q = fma(fma(fma(fma(fma(fma(fma(fma(-0x1.06fc5ep-3, cold_f, 0x1.1ef6b4p-3), cold_f, -0x1.f392f6p-4), cold_f, 0x1.1eb624p-3), cold_f, -0x1.5598bep-3), cold_f, 0x1.99d284p-3), cold_f, -0x1.ffff1p-3), cold_f, 0x1.5555p-2), cold_f, -0.5)
cold_y = cold_t + fma(cold_f * cold_f, cold_q, fma(cold_k, -0x1.05c61p-29, cold_e))
cold(bits(x) + 2139095040 > -16777217, where(x == 0.0, -1.0 / abs(x), where(x > 0.0, where(x < inf, cold_y, x), (x - x) / (x - x))), y)
";

// x=2^k m, m in [31/32,31/16) by integer subtraction, and m=z(1+u/z), z of a table of 8 by the next bits: log2
// m=L+log2(1+u/z). z are chosen so that L=log2(z) has 16 bits and g=log2(e)/z, less the constant's own low part, 24, to
// 2^-30 (found by search); z=1 around 1. t=k+L+u g with its exact error, plus r^2 Q(r), r=u g, Q degree 4 (fpminimax).
// Cold as in log. Worst error 0.637 ULP, all inputs.
pub(super) const LOG2: &str = "
d = bits(x) - 1064828928
k = to_float(d >> 23)
j = (d >> 20) & 7
u = float_from_bits(bits(x) - (d & -8388608)) - lookup([0x1p0, 0x1.1e6abp0, 0x1.3fb9f4p0, 0x1.5d707ap0, 0x1.801192p0, 0x1.a1f1dep0, 0x1.bf2618p0, 0x1.e70182p0], j)
g = lookup([0x1.715476p0, 0x1.4a1ba6p0, 0x1.27b78p0, 0x1.0e9266p0, 0x1.ec5a16p-1, 0x1.c471dap-1, 0x1.a6e514p-1, 0x1.8448ep-1], j)
h = k + lookup([0.0, 0x1.4bb8p-3, 0x1.4864p-2, 0x1.cbacp-2, 0x1.2ba2p-1, 0x1.6a12p-1, 0x1.9bf6p-1, 0x1.db08p-1], j)
t = fma(u, g, h)
e = fma(u, 0x1.4ae0cp-26, fma(u, g, h - t))
r = u * g
y = t + fma(r * r, fma(fma(fma(fma(-0x1.c433bcp-6, r, 0x1.7be026p-5), r, -0x1.54f928p-4), r, 0x1.47fceep-3), r, -0x1.62e432p-2), e)
cold_x = x * 0x1p23
cold_d = bits(cold_x) - 1064828928
cold_k = to_float((cold_d >> 23) - 23)
cold_j = (cold_d >> 20) & 7
cold_u = float_from_bits(bits(cold_x) - (cold_d & -8388608)) - lookup([0x1p0, 0x1.1e6abp0, 0x1.3fb9f4p0, 0x1.5d707ap0, 0x1.801192p0, 0x1.a1f1dep0, 0x1.bf2618p0, 0x1.e70182p0], cold_j)
cold_g = lookup([0x1.715476p0, 0x1.4a1ba6p0, 0x1.27b78p0, 0x1.0e9266p0, 0x1.ec5a16p-1, 0x1.c471dap-1, 0x1.a6e514p-1, 0x1.8448ep-1], cold_j)
cold_h = cold_k + lookup([0.0, 0x1.4bb8p-3, 0x1.4864p-2, 0x1.cbacp-2, 0x1.2ba2p-1, 0x1.6a12p-1, 0x1.9bf6p-1, 0x1.db08p-1], cold_j)
cold_t = fma(cold_u, cold_g, cold_h)
cold_e = fma(cold_u, 0x1.4ae0cp-26, fma(cold_u, cold_g, cold_h - cold_t))
cold_r = cold_u * cold_g
cold_y = cold_t + fma(cold_r * cold_r, fma(fma(fma(fma(-0x1.c433bcp-6, cold_r, 0x1.7be026p-5), cold_r, -0x1.54f928p-4), cold_r, 0x1.47fceep-3), cold_r, -0x1.62e432p-2), cold_e)
cold(bits(x) + 2139095040 > -16777217, where(x == 0.0, -1.0 / abs(x), where(x > 0.0, where(x < inf, cold_y, x), (x - x) / (x - x))), y)
";

// As log2, with k*log10(2) in two pieces, the first added exactly. Worst error 0.657 ULP, all inputs.
pub(super) const LOG10: &str = "
d = bits(x) - 1064828928
k = to_float(d >> 23)
j = (d >> 20) & 7
u = float_from_bits(bits(x) - (d & -8388608)) - lookup([0x1p0, 0x1.1cbc9ep0, 0x1.42c9bep0, 0x1.60fe42p0, 0x1.7ecf7p0, 0x1.a079bap0, 0x1.bd6e18p0, 0x1.e585cp0], j)
g = lookup([0x1.bcb7b2p-2, 0x1.8fd5bap-2, 0x1.60b37ap-2, 0x1.42855cp-2, 0x1.296658p-2, 0x1.115c22p-2, 0x1.ff2e58p-3, 0x1.d4f848p-3], j)
h = fma(k, 0x1.344p-2, lookup([0.0, 0x1.7a8p-5, 0x1.9c6p-4, 0x1.1dcp-3, 0x1.65ep-3, 0x1.b0d8p-3, 0x1.ecap-3, 0x1.1ca4p-2], j))
t = fma(u, g, h)
e = fma(u, -0x1.5b235ep-27, fma(k, 0x1.3509f8p-18, fma(u, g, h - t)))
r = u * g
y = t + fma(r * r, fma(fma(fma(fma(-0x1.5c95b2p3, r, 0x1.69678cp2), r, -0x1.86a608p1), r, 0x1.c46d4ap0), r, -0x1.26bb1cp0), e)
cold_x = x * 0x1p23
cold_d = bits(cold_x) - 1064828928
cold_k = to_float((cold_d >> 23) - 23)
cold_j = (cold_d >> 20) & 7
cold_u = float_from_bits(bits(cold_x) - (cold_d & -8388608)) - lookup([0x1p0, 0x1.1cbc9ep0, 0x1.42c9bep0, 0x1.60fe42p0, 0x1.7ecf7p0, 0x1.a079bap0, 0x1.bd6e18p0, 0x1.e585cp0], cold_j)
cold_g = lookup([0x1.bcb7b2p-2, 0x1.8fd5bap-2, 0x1.60b37ap-2, 0x1.42855cp-2, 0x1.296658p-2, 0x1.115c22p-2, 0x1.ff2e58p-3, 0x1.d4f848p-3], cold_j)
cold_h = fma(cold_k, 0x1.344p-2, lookup([0.0, 0x1.7a8p-5, 0x1.9c6p-4, 0x1.1dcp-3, 0x1.65ep-3, 0x1.b0d8p-3, 0x1.ecap-3, 0x1.1ca4p-2], cold_j))
cold_t = fma(cold_u, cold_g, cold_h)
cold_e = fma(cold_u, -0x1.5b235ep-27, fma(cold_k, 0x1.3509f8p-18, fma(cold_u, cold_g, cold_h - cold_t)))
cold_r = cold_u * cold_g
cold_y = cold_t + fma(cold_r * cold_r, fma(fma(fma(fma(-0x1.5c95b2p3, cold_r, 0x1.69678cp2), cold_r, -0x1.86a608p1), cold_r, 0x1.c46d4ap0), cold_r, -0x1.26bb1cp0), cold_e)
cold(bits(x) + 2139095040 > -16777217, where(x == 0.0, -1.0 / abs(x), where(x > 0.0, where(x < inf, cold_y, x), (x - x) / (x - x))), y)
";

// k from 1+x with 1+x in [3/4,3/2)*2^k, f=2^-k x+(2^-k-1) exact (exponent subtraction on the bits of x),
// then the log row formula with Q degree 9. Worst error 0.940 ULP, all inputs.
pub(super) const LOG1P: &str = "
u = 1.0 + x
d = bits(u) - 1061158913
j = d & -8388608
k = to_float(d >> 23)
f = float_from_bits(bits(x) - j) - fma(float_from_bits(1073741824 - j), -0.5, 1.0)
t = fma(k, 0x1.62e43p-1, f)
e = f - fma(k, -0x1.62e43p-1, t)
y = t + fma(f * f, fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.592644p-5, f, -0x1.8834a6p-4), f, 0x1.e1a2d4p-4), f, -0x1.035326p-3), f, 0x1.2414ap-3), f, -0x1.552a58p-3), f, 0x1.999b3ep-3), f, -0x1.00004ap-2), f, 0x1.555554p-2), f, -0.5), e)
cold(~((x > -1.0) & (x <= 0x1.fffffep127)), where(x == -1.0, -1.0 / abs(x + 1.0), where(x > 0.0, x, (x - x) / (x - x))), where(x == 0.0, x, y))
";

// f64 inside: log2|x| by v=f/(2+f), degree 4 in v^2 (2^-38), times y, exp2 degree 7 (2^-34), one rounding
// to f32 (subnormals right); sign from y odd; the special cases of C99 are the cold side, names cold_*.
// Worst error 0.5060 ULP, sampled.
pub(super) const POW: &str = "
ax = abs(x)
ay = abs(y)
X = to_f64(ax)
d = bits(X) + 2638149301829632
k = float_from_bits(lshr(d, 52) | 4841369599423283200) - 0x1.00000000003ffp52
f = float_from_bits((d & 4503599627370495) + 4604544269498187776) - 1.0
v = f / (f + 2.0)
w = v * v
E = (fma(v, fma(fma(fma(fma(0x1.5cea2f3d3fe8bp-2, w, 0x1.a58d7055d4ad5p-2), w, 0x1.27778019d6acap-1), w, 0x1.ec709d1291a44p-1), w, 0x1.71547652bee21p1), k)) * to_f64(y)
F = where(E < -1000.0, -1000.0, where(E > 1000.0, 1000.0, E))
z = F + 0x1.80000000003ffp52
g = F - (z - 0x1.80000000003ffp52)
p = to_f32((fma(fma(fma(fma(fma(fma(fma(0x1.fe17830106be7p-17, g, 0x1.446a1fd9a7925p-13), g, 0x1.5d8a70891805ep-10), g, 0x1.3b29dc40d898dp-7), g, 0x1.c6b08aaf2e14bp-5), g, 0x1.ebfbe0a4be7ccp-3), g, 0x1.62e42ff116291p-1), g, 0x1.ffffffffabbcep-1)) * float_from_bits(bits(z) << 52))
h = y * 0.5
i = rint(y) == y
o = i & (rint(h) != h)
neg = bits(x) < 0
u = where(neg & o, -p, p)
r = where((x < 0.0) & ~i, float_from_bits(bits(u) | 2143289344), u)
cold_m = where(((ax > 1.0) & (y > 0.0)) | ((ax < 1.0) & (y < 0.0)), float_from_bits((bits(x) & 0) | 2139095040), float_from_bits(bits(x) & 0))
cold_s = where((y == 0.0) | (x == 1.0), 1.0, where(isnan(x) | isnan(y), x + y, where(ax == 1.0, 1.0, where(neg & o, -cold_m, cold_m))))
cold(~((ax > 0.0) & (ax <= 0x1.fffffep127) & (ay <= 0x1.fffffep127)), cold_s, r)
";

// sin(x + 2 pi quarter) in f64 for large f32 x. Payne-Hanek: x/(2 pi) modulo 1 from chunks of 1/(2 pi)
// of 24 bits that are picked by magnitude (their products with x are exact, whole turns drop out), the first
// two summed with their rounding error, then degree 5 in the square of what is left of half turns. Worst
// error as of `SIN`, `COS`, `TAN`.
pub(super) const SIN_HUGE: &str = "
X = to_f64(x)
a = abs(X)
u0 = where(a < 0x1p47, X * 0x1.45f3p-3, where(a < 0x1p71, X * 0x1.b72722p-25, where(a < 0x1p95, X * 0x1.529fcp-54, where(a < 0x1p119, X * 0x1.3abe8p-77, X * 0x1.f534dcp-98))))
u1 = where(a < 0x1p47, X * 0x1.b72722p-25, where(a < 0x1p71, X * 0x1.529fcp-54, where(a < 0x1p95, X * 0x1.3abe8p-77, where(a < 0x1p119, X * 0x1.f534dcp-98, X * 0x1.c0db6p-122))))
u2 = where(a < 0x1p47, X * 0x1.529fcp-54, where(a < 0x1p71, X * 0x1.3abe8p-77, where(a < 0x1p95, X * 0x1.f534dcp-98, where(a < 0x1p119, X * 0x1.c0db6p-122, X * 0x1.4acc9ep-145))))
u3 = where(a < 0x1p47, X * 0x1.3abe8fa9a6eep-77, where(a < 0x1p71, X * 0x1.f534ddc0db629p-98, where(a < 0x1p95, X * 0x1.c0db6295993c4p-122, where(a < 0x1p119, X * 0x1.4acc9e21c821p-145, X * 0x1.0e4107f9458ebp-172))))
f = (u0 - rint(u0)) + to_f64(quarter)
g = u1 - rint(u1)
s = f + g
b = s - f
low = ((f - (s - b)) + (g - b)) + u2
top = s - rint(s)
k = rint((top + low) + (top + low))
h = (fma(k, -0.5, top) + low) + u3
q = h * h
p = h * fma(fma(fma(fma(fma(-0x1.cc2b07b4b0015p3, q, 0x1.500fa1e4c93dcp5), q, -0x1.32d10fd94b527p6), q, 0x1.466bbfb715c61p6), q, -0x1.4abbce4ef19e6p5), q, 0x1.921fb5441deccp2)
half = k * 0.5
where(rint(half) == half, p, -p)
";

// n=round(2x/pi) by magic add, three-constant Cody-Waite (pi/2 rounded down piecewise), the angle being r-m with m the
// rounding error of r; l that of r^2, e that of r^3. sin=r-(r^3/6+(r^3 r^2 U(r^2)+e/6+m cos r)), U of degree 2, and
// cos=h+..., h=1-r^2/2 with its rounding error, degree 4 (fpminimax), selected by n; |x|>2^18 is cold, `sin_huge`.
// Worst error 0.591 ULP, all inputs: of it 0.06 is the sum in brackets, where r is next to pi/4.
pub(super) const SIN: &str = "
z = fma(x, 0x1.45f306p-1, 0x1.8p23)
n = z - 0x1.8p23
i = bits(z)
r0 = fma(n, -0x1.921fb4p0, x)
v = n * 0x1.4442dp-24
r = r0 - v
m = fma(n, 0x1.84698ap-48, fma(n, 0x1.4442dp-24, r - r0))
s = r * r
l = fma(r, r, -s)
h = fma(s, -0.5, 1.0)
ss = s * s
w = r * s
u = w * s
e = fma(r, l, fma(r, s, -w))
a = r - fma(w, 0x1.555556p-3, fma(u, fma(fma(-0x1.875928p-19, s, 0x1.a082dep-13), s, -0x1.111198p-7), fma(e, 0x1.555556p-3, m * h)))
b = h + fma(ss, fma(fma(0x1.9bc37cp-16, s, -0x1.6c1298p-10), s, 0x1.555554p-5), fma(l, -0.5, fma(r, m, fma(s, -0.5, 1.0 - h))))
g = where((i & 1) == 0, a, b)
y = float_from_bits(bits(g) ^ ((i & 2) << 30))
cold(abs(x) > 0x1p18, to_f32(sin_huge(x, 0.0)), y)
";

// As sin, n being one more. Worst error 0.600 ULP, all inputs.
pub(super) const COS: &str = "
z = fma(x, 0x1.45f306p-1, 0x1.8p23)
n = z - 0x1.8p23
i = bits(z)
r0 = fma(n, -0x1.921fb4p0, x)
v = n * 0x1.4442dp-24
r = r0 - v
m = fma(n, 0x1.84698ap-48, fma(n, 0x1.4442dp-24, r - r0))
s = r * r
l = fma(r, r, -s)
h = fma(s, -0.5, 1.0)
ss = s * s
w = r * s
u = w * s
e = fma(r, l, fma(r, s, -w))
a = r - fma(w, 0x1.555556p-3, fma(u, fma(fma(-0x1.875928p-19, s, 0x1.a082dep-13), s, -0x1.111198p-7), fma(e, 0x1.555556p-3, m * h)))
b = h + fma(ss, fma(fma(0x1.9bc37cp-16, s, -0x1.6c1298p-10), s, 0x1.555554p-5), fma(l, -0.5, fma(r, m, fma(s, -0.5, 1.0 - h))))
g = where((i & 1) == 0, b, a)
y = float_from_bits(bits(g) ^ (((i + 1) & 2) << 30))
cold(abs(x) > 0x1p18, to_f32(sin_huge(x, 0.25)), y)
";

// n=round(2x/pi), r by two fma and tan(r)/r of degree 7 in r^2, all in f64; odd quadrants -1/t; |x|>2^18
// is cold, `sin_huge`. Worst error 0.520 ULP, all inputs.
pub(super) const TAN: &str = "
X = to_f64(x)
z = fma(X, 0x1.45f306dc9c883p-1, 0x1.8p52)
n = z - 0x1.8p52
r = fma(n, -0x1.1a62633145c07p-54, fma(n, -0x1.921fb54442d18p0, X))
s = r * r
t = r * fma(fma(fma(fma(fma(fma(fma(0x1.23a6dd6d64ea9p-8, s, -0x1.2e3968180db53p-14), s, 0x1.67ac1aa2e721fp-7), s, 0x1.5bac8ad1f0944p-6), s, 0x1.bafa31799ddb2p-5), s, 0x1.110ca792e8995p-3), s, 0x1.5555663f0af5cp-2), s, 0x1.fffffff56fdd4p-1)
y = to_f32(where((bits(z) & 1) == 0, t, -1.0 / t))
cold(abs(x) > 0x1p28, to_f32(sin_huge(x, 0.0) / sin_huge(x, 0.25)), y)
";

// |x|<1/2: x+x^3 P(x^2), degree 5 (fpminimax); else pi/2-2q-2q^3 P(q^2), q=sqrt((1-|x|)/2): h=pi/2-2q with its rounding
// error, and 2q with that of the root, (q^2-v)/q, of which only q in [1/4,1/2] matters and a few bits do: 1/q is a chord
// there. Worst error 0.671 ULP, all inputs.
pub(super) const ASIN: &str = "
a = abs(x)
b = a < 0.5
v = where(b, x * x, fma(a, -0.5, 0.5))
q = where(b, a, sqrt(v))
c = fma(fma(fma(fma(fma(0x1.1acb92p-5, v, 0x1.0fe1b2p-6), v, 0x1.ffbf34p-6), v, 0x1.6d3e6ap-5), v, 0x1.3334cep-4), v, 0x1.555554p-3)
d = q + q
h = 0x1.921fb6p0 - d
l = fma(fma(q, q, -v), fma(q, -8.0, 5.8), (0x1.921fb6p0 - h) - d)
y = where(b, fma(q * v, c, q), h - (fma(d * v, c, 0x1.777a5cp-25) - l))
float_from_bits(bits(y) | (bits(x) & -2147483648))
";

// Asin kernel; pi/2-asin(x), 2 asin(q) or pi-2 asin(q): h=k-d, k of 0, pi/2 and pi in two pieces, d=x or 2q, with its
// rounding error, less the rest and what the root lacks, (v-q^2)/q. Worst error 0.604 ULP, all inputs.
pub(super) const ACOS: &str = "
a = abs(x)
b = a < 0.5
v = where(b, x * x, fma(a, -0.5, 0.5))
q = where(b, a, sqrt(v))
c = fma(fma(fma(fma(fma(0x1.1acb92p-5, v, 0x1.0fe1b2p-6), v, 0x1.ffbf34p-6), v, 0x1.6d3e6ap-5), v, 0x1.3334cep-4), v, 0x1.555554p-3)
n = x < 0.0
g = fma(q, -q, v) / (q + 0x1p-60)
d = where(b, x, where(n, q + q, -2.0 * q))
k = where(b, 0x1.921fb6p0, where(n, 0x1.921fb6p1, 0.0))
l = where(b, 0x1.777a5cp-25, where(n, 0x1.777a5cp-24 + g, -g))
h = k - d
h - (fma(d * v, c, l) - ((k - h) - d))
";

// atan|x|=A+atan(v), A=atan(c), v=(|x|-c)/(1+|x|c), with 0 for c below 0.275 and one c from 6.4 on. |x|+0.6 in [0.5,8)
// has 4 intervals in every octave, its exponent and two bits are the index, and |v| is at most 0.1 in them. Each c was
// searched in the middle of its interval such that A has 24 bits to within 2^-14 of a unit. A+v keeps its rounding
// error; v^3 P(v^2), degree 3 for |v| up to 0.275 (Lawson's algorithm). Worst error 0.771 ULP, all inputs.
pub(super) const ATAN: &str = "
a = minimum(abs(x), 0x1p60)
i = (bits(minimum(a, 7.25) + 0.6) >> 21) & 15
c = lookup([0x1.9f229p0, 0x1.0fc854p1, 0x1.502444p1, 0x1.90760ap1, 0x1.ec0236p1, 0x1.362582p2, 0x1.76cc24p2, 0x1.99d2ecp3, 0.0, 0.0, 0.0, 0x1.5812eep-2, 0x1.098a34p-1, 0x1.88f35ap-1, 0x1.047b9cp0, 0x1.43f73ep0], i)
k = lookup([0x1.04a988p0, 0x1.2171fcp0, 0x1.34fb2cp0, 0x1.42ececp0, 0x1.50f7bep0, 0x1.5e0748p0, 0x1.66d3c2p0, 0x1.7e2cdep0, 0.0, 0.0, 0.0, 0x1.4befe8p-2, 0x1.e9ecc6p-2, 0x1.4f272ep-1, 0x1.969154p-1, 0x1.cdda34p-1], i)
v = (a - c) / fma(a, c, 1.0)
s = v * v
h = k + v
y = h + fma(v * s, fma(fma(fma(0x1.890e36p-4, s, -0x1.22ab1ap-3), s, 0x1.998dap-3), s, -0x1.55554ap-2), (k - h) + v)
float_from_bits(bits(y) | (bits(x) & -2147483648))
";

// v=min/max of |x|,|y|, v+v^3 P(v^2) degree 8 (fpminimax), quadrant by pi/2 and pi in two pieces; equal magnitudes (0/0,
// inf/inf) cold. Worst error 1.4305 ULP, sampled.
pub(super) const ATAN2: &str = "
ax = abs(x)
ay = abs(y)
g = ay > ax
hi = where(g, ay, where(isnan(ay), ay, ax))
lo = where(g, ax, ay)
v = cold(lo == hi, where(hi == 0.0, hi, 1.0), lo / hi)
s = v * v
p = fma(v * s, fma(fma(fma(fma(fma(fma(fma(fma(-0x1.449a16p-9, s, 0x1.c62ea6p-7), s, -0x1.2a759ap-5), s, 0x1.01e514p-4), s, -0x1.636df2p-4), s, 0x1.c423eep-4), s, -0x1.246f74p-3), s, 0x1.99984cp-3), s, -0x1.555554p-2), v)
q = where(g, 0x1.921fb6p0 - (p + 0x1.777a5cp-25), p)
r = where(bits(x) < 0, 0x1.921fb6p1 - (q + 0x1.777a5cp-24), q)
float_from_bits(bits(r) | (bits(y) & -2147483648))
";

// (t-u) cosh(r)+(t+u) sinh(r), t=2^n/2, u=2^-n/2, n=round(|x|/ln2), r=r0+m as in expm1: no division, and for n=0
// sinh(r) alone. (t+u) r0+(t-u) keeps its rounding error; cosh(r)-1=r^2 C(r^2), sinh(r)-r0=m+r^3 S(r^2), degrees 2 and
// 1 (Lawson's algorithm). Worst error 0.969 ULP, all inputs.
pub(super) const SINH: &str = concat!(
    "
a = abs(x)
z = fma(a, 0x1.715476p0, 0x1.8000fcp23)
n = z - 0x1.8000fcp23
r0 = fma(n, -0x1.62e4p-1, a)
m = n * -0x1.7f7d1cp-20
r = r0 + m
s = r * r
t = float_from_bits(bits(z) << 23)
u = float_from_bits(2113929216 - bits(t))
b = t - u
e = t + u
h = fma(e, r0, b)
c = s * fma(fma(0x1.6d99bap-10, s, 0x1.55547cp-5), s, 0.5)
y = h + fma(b, c, fma(e, fma(r * s, fma(0x1.12299p-7, s, 0x1.5554aep-3), m), fma(e, r0, b - h)))
",
    cold_exp!("a", "0x1.8p23"),
    "y = cold(a > 87.0, where(a > 90.0, a * 0x1p127, scale(cold_e + (cold_w + (cold_r0 - (cold_e - 1.0))), cold_n - 1.0)), y)
float_from_bits(bits(y) | (bits(x) & -2147483648))
"
);

// Exp row for t(1+q)=exp(|x|)/2, g=1/(4t(1+q)); t+g with its rounding error, plus q t. Worst error 0.875 ULP, all
// inputs; 1.25 in units of the place below, next to 1.
pub(super) const COSH: &str = "
a = abs(x)
z = fma(a, 0x1.715476p3, 0x1.8p23)
n = z - 0x1.8p23
i = bits(z)
j = i & 7
r = fma(n, 0x1.05c61p-32, fma(n, -0x1.62e43p-4, a))
t = float_from_bits((i << 20) + lookup([1056964608, 1056675266, 1056454640, 1056308951, 1056244979, 1056270122, 1056392445, 1056620743], j))
q = fma(fma(fma(fma(0x1.56b202p-5, r, 0x1.555c7cp-3), r, 0x1.ffffeep-2), r, 1.0), r, lookup([0.0, -0x1.9c0c22p-27, 0x1.125002p-25, -0x1.0a355p-25, 0x1.26055cp-26, 0x1.67a1cap-28, -0x1.f9c304p-27, -0x1.a5217cp-28], j))
g = 0.25 / fma(q, t, t)
h = t + g
cold(a > 87.0, where(a > 90.0, a * 0x1p127, 0x1p64 * fma(float_from_bits(bits(t) - 536870912), q, float_from_bits(bits(t) - 536870912))), h + fma(t, q, (t - h) + g))
";

// tanh(c-d)=T+M(d+T d^2 E+d^3 O), T=tanh(c), M=T^2-1: Taylor's polynomials of d to degree 7, whose coefficients are
// polynomials of T and M, their constants moved to lessen what is left over (linear programming over all intervals).
// Points c by a table: |x|+0.65 in [0.625,10) has 8 intervals in every octave, its exponent and three bits are the
// index, and |d| is at most 1/32 below |x|=0.35, twice that below 1.35 and so on. Each c was searched near the middle
// of its interval such that T and M have 24 bits to within 2^-10 of a unit. T+M d keeps its rounding error; what comes
// after is below 0.006 of the sum. Worst error 0.512 ULP, all inputs.
pub(super) const TANH: &str = "
a = minimum(abs(x), 9.25)
i = (bits(a + 0x1.4cccccp-1) >> 20) & 31
c = lookup([0x1.79e5f4p0, 0x1.b9cdc2p0, 0x1.f9d3bp0, 0x1.1cb65ap1, 0x1.3cadcap1, 0x1.5d329ap1, 0x1.7c4658p1, 0x1.9c4c54p1, 0x1.cbcbd2p1, 0x1.06724p2, 0x1.26b8eep2, 0x1.45d1ep2, 0x1.66634p2, 0x1.865c5ep2, 0x1.a6730ap2, 0x1.c62e92p2, 0x1.f70406p2, 0x1.154246p3, 0.0, 0x1.15ea18p-4, 0x1.0e54f4p-3, 0x1.8aa5c8p-3, 0x1.06b68cp-2, 0x1.47e91p-2, 0x1.a908b4p-2, 0x1.125bd6p-1, 0x1.51e17cp-1, 0x1.9436bap-1, 0x1.d4d9a8p-1, 0x1.08f822p0, 0x1.2a0f2ap0, 0x1.49e07ap0], i)
t = lookup([0x1.cd2eb6p-1, 0x1.e08a9p-1, 0x1.ecb074p-1, 0x1.f429c6p-1, 0x1.f8c8b8p-1, 0x1.fba57cp-1, 0x1.fd5112p-1, 0x1.fe5f14p-1, 0x1.ff3958p-1, 0x1.ffb82p-1, 0x1.ffe5c8p-1, 0x1.fff614p-1, 0x1.fffc6ap-1, 0x1.fffeaep-1, 0x1.ffff84p-1, 0x1.ffffd2p-1, 0x1.fffff6p-1, 0x1.fffffep-1, 0.0, 0x1.157d1ep-4, 0x1.0cc5cep-3, 0x1.85d592p-3, 0x1.0118cep-2, 0x1.3d24b6p-2, 0x1.92328ep-2, 0x1.f59a08p-2, 0x1.281892p-1, 0x1.50f45ep-1, 0x1.729ecep-1, 0x1.8d456ep-1, 0x1.a5161cp-1, 0x1.b7aeaep-1], i)
d = c - a
m = fma(t, t, -1.0)
q = d * d
u = m + 0x1.55556cp-1
o = fma(fma(0x1.7fa57p-6, q, fma(m, m + 0x1.ffc3bep-1, 0x1.0f77b8p-3)), q, u)
e = fma(fma(fma(m, u, 0x1.69eff6p-5), q, m + 0x1.555602p-2), q, 1.0)
h = fma(m, d, t)
y = h + fma(m, q * fma(t, e, d * o), fma(m, d, t - h))
float_from_bits(bits(y) | (bits(x) & -2147483648))
";

// |x|<3/4: x+x P(x^2), degree 5; else 1-2^(g-2), g(|x|-1)=degree-6 polynomial of log2(erfc)+2 weighted by erfc (both
// minimax by linear programming, coefficients rounded one at a time; the shift keeps g small near 1, so its rounding is
// harmless), 2^g=2^n(1+q) by magic add and the polynomial of exp2, (1-2^n)-2^n q fused; coefficients of P moved by some
// units to lower the worst case. Worst error 0.750 ULP, all inputs.
pub(super) const ERF: &str = "
a = abs(x)
c = minimum(a, 3.93) - 1.0
g = fma(fma(fma(fma(fma(fma(0x1.40c02p-12, c, -0x1.6bbc46p-9), c, 0x1.d96eb8p-7), c, -0x1.eb3e66p-5), c, -0x1.376256p0), c, -0x1.e75328p1), c, -0x1.563ab8p-1)
z = g + 0x1.8000fap23
f = g - (z - 0x1.8000fap23)
q = f * fma(fma(fma(fma(fma(0x1.3fa208p-13, f, 0x1.5f0b82p-10), f, 0x1.3b30ap-7), f, 0x1.c6af76p-5), f, 0x1.ebfbd8p-3), f, 0x1.62e43p-1)
t = float_from_bits(bits(z) << 23)
l = fma(-t, q, 1.0 - t)
s = x * x
m = fma(x, fma(fma(fma(fma(fma(-0x1.62f246p-11, s, 0x1.4f6296p-8), s, -0x1.b7b00ep-6), s, 0x1.ce2b38p-4), s, -0x1.81273cp-2), s, 0x1.06eba8p-3), x)
where(a < 0.75, m, float_from_bits(bits(l) | (bits(x) & -2147483648)))
";
