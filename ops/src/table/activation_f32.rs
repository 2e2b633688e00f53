//! Bodies of activations at f32: see `math_f32`. Rows that lose an ULP to two roundings in a row (sigmoid, silu, mish, gelu)
//! use one reduction and one polynomial, 2^n(1+q), without rounding exp itself.

// 1/(1+exp(-x)) with exp(-x)=2^n(1+q), r=x-n*ln2 (two-step Cody-Waite with fma), q=expm1(r) of degree 6 (fpminimax, the
// first two coefficients 1), denominator fma(q,2^n,1)+2^n (no rounding of exp itself); |x|>87 cold. Worst error 1.999
// ULP, all inputs.
pub(super) const SIGMOID: &str = "
z = fma(x, -0x1.715476p0, 0x1.8000fep23)
n = z - 0x1.8000fep23
r0 = fma(n, 0x1.62e4p-1, x)
r = fma(n, 0x1.7f7d1cp-20, r0)
q = r * fma(fma(fma(fma(fma(0x1.694cd4p-10, r, -0x1.123988p-7), r, 0x1.555a26p-5), r, -0x1.555492p-3), r, 0x1.fffffap-2), r, -1.0)
t = float_from_bits(bits(z) << 23)
d = fma(q, t, 1.0) + t
cold(abs(x) > 87.0, where(x > 0.0, 1.0, where(x < -104.0, 0.0, scale(1.0 / (1.0 + q), -n))), 1.0 / d)
";

/// What softplus and logsigmoid share: log1p(exp(-|x|)) as s + (c + w^2 Q(w)), see [`SOFTPLUS`].
macro_rules! log1p_exp {
    () => {
        "
a = float_from_bits(bits(x) | -2147483648)
z = fma(a, 0x1.715476p3, 0x1.8p23)
n = z - 0x1.8p23
i = bits(z)
j = i & 7
r = fma(n, 0x1.05c61p-32, fma(n, -0x1.62e43p-4, a))
t = float_from_bits((i << 20) + lookup([1065353216, 1065063874, 1064843248, 1064697559, 1064633587, 1064658730, 1064781053, 1065009351], j))
q = fma(fma(fma(fma(0x1.56b202p-5, r, 0x1.555c7cp-3), r, 0x1.ffffeep-2), r, 1.0), r, lookup([0.0, -0x1.9c0c22p-27, 0x1.125002p-25, -0x1.0a355p-25, 0x1.26055cp-26, 0x1.67a1cap-28, -0x1.f9c304p-27, -0x1.a5217cp-28], j))
cold_n = rint((n - to_float(j)) * 0.125)
cold_t = to_f64(float_from_bits(bits(t) - (to_int(cold_n) << 23)))
e = fma(t, q, t)
d = fma(t, q, t - e)
k = (bits(minimum(e + 1.0, 0x1.fffffep0)) >> 20) & 7
u = e - lookup([0.0, 0x1.67bdcp-3, 0x1.3a96d8p-2, 0x1.bdf8cp-2, 0x1.1cfb28p-1, 0x1.61c3fcp-1, 0x1.a033ap-1, 0x1.dfb438p-1], k)
g = lookup([0x1p0, 0x1.b3808p-1, 0x1.87ac0cp-1, 0x1.64aa56p-1, 0x1.48ebd6p-1, 0x1.2ec9e6p-1, 0x1.1a6bep-1, 0x1.085642p-1], k)
h = lookup([0.0, 0x1.4b6b16p-3, 0x1.12544ep-2, 0x1.723408p-2, 0x1.c5206p-2, 0x1.0cf2cp-1, 0x1.3099eep-1, 0x1.527bb4p-1], k)
s = fma(u, g, h)
c = fma(d, g, fma(u, g, h - s))
w = u * g
"
    };
}

// As softplus: min(x,0) minus the logarithm. Worst error 1.021 ULP, all inputs.
pub(super) const LOGSIGMOID: &str = concat!(
    log1p_exp!(),
    "m = minimum(x, 0.0)
cold(a < -87.0, m - where(a < -104.0, 0.0, to_f32(scale(fma(cold_t, to_f64(q), cold_t), to_f64(cold_n)))), (m - fma(w * w, fma(fma(fma(fma(fma(0x1.e918eep-4, w, -0x1.545aeap-3), w, 0x1.99dceap-3), w, -0x1.0000fp-2), w, 0x1.555548p-2), w, -0x1p-1), c)) - s)
"
);

// 1.0507 x for x>0, else k(exp(x)-1), k=1.758: the reduction and polynomial of expm1 with k multiplied into the coefficients, q=k r
// fused with the rest and what k lacks, 2^n q+k(2^n-1) fused. From -18 on it is -k. Worst error 1.279 ULP, 1/61 of all inputs; of
// x>0, 1.055, for 1.0507 has 24 bits.
pub(super) const SELU: &str = "
a = maximum(minimum(x, 0.0), -18.0)
z = fma(a, 0x1.715476p0, -0.0849625) + 0x1.8000fep23
n = z - 0x1.8000fep23
r = fma(n, -0x1.7f7d1cp-20, fma(n, -0x1.62e4p-1, a))
w = fma(r * r, fma(fma(fma(fma(fma(-0x1.800f98p-12, r, -0x1.40ba5p-9), r, -0x1.e004fep-7), r, -0x1.2c0c6p-4), r, -0x1.2c0c8ap-2), r, -0x1.c212ccp-1), r * -0x1.903c0cp-26)
q = fma(r, 0x1.c212ccp0, -w)
t = float_from_bits(bits(z) << 23)
where(x > 0.0, x * 0x1.0cfabep0, fma(t, q, -(0x1.c212ccp0 - t * 0x1.c212ccp0)))
";

// x/(1+exp(-x)) with the sigmoid row denominators; -inf gives NaN as x*sigmoid(x) does. Worst error 1.998
// ULP, all inputs.
pub(super) const SILU: &str = "
z = fma(x, -0x1.715476p0, 0x1.8000fep23)
n = z - 0x1.8000fep23
r0 = fma(n, 0x1.62e4p-1, x)
r = fma(n, 0x1.7f7d1cp-20, r0)
q = r * fma(fma(fma(fma(fma(0x1.694cd4p-10, r, -0x1.123988p-7), r, 0x1.555a26p-5), r, -0x1.555492p-3), r, 0x1.fffffap-2), r, -1.0)
t = float_from_bits(bits(z) << 23)
d = fma(q, t, 1.0) + t
cold(abs(x) > 87.0, where(x > 0.0, x, where(x < -110.0, x * 0.0, scale(x / (1.0 + q), -n))), x / d)
";

// Exp row for e+d=exp(-|x|), d the rounding error of e; log1p(e+d)=s+c+w^2 Q(w): 1+e=z(1+u/z), z of a table of 8 chosen as
// those of log2, s=L+u g with its exact error, w=u g, Q degree 5 (fpminimax). max(x,0) is added to the small part first, which
// counts where x is small. Worst error 1.021 ULP, all inputs.
pub(super) const SOFTPLUS: &str = concat!(
    log1p_exp!(),
    "m = maximum(x, 0.0)
cold(a < -87.0, m + where(a < -104.0, 0.0, to_f32(scale(fma(cold_t, to_f64(q), cold_t), to_f64(cold_n)))), s + (m + fma(w * w, fma(fma(fma(fma(fma(0x1.e918eep-4, w, -0x1.545aeap-3), w, 0x1.99dceap-3), w, -0x1.0000fp-2), w, 0x1.555548p-2), w, -0x1p-1), c)))
"
);

// Softplus for losses, logaddexp and mish's gradient. e=exp(-|x|) by r and q of sigmoid; log1p(e)=e+e^2 Q(e), Q minimax
// degree 8 on [0,1]; plus max(x,0). Worst error 1.829 ULP, all inputs.
pub(super) const SOFTPLUS_SHORT: &str = "
a = float_from_bits(bits(x) | -2147483648)
z = fma(a, 0x1.715476p0, 0x1.8000fep23)
n = z - 0x1.8000fep23
r0 = fma(n, -0x1.62e4p-1, a)
r = fma(n, -0x1.7f7d1cp-20, r0)
p = fma(fma(fma(fma(fma(fma(0x1.694cd4p-10, r, 0x1.123988p-7), r, 0x1.555a26p-5), r, 0x1.555492p-3), r, 0x1.fffffap-2), r, 1.0), r, 1.0)
e = cold(a < -87.0, where(a < -104.0, 0.0, scale(p, n)), p * float_from_bits(bits(z) << 23))
l = fma(e * e, fma(fma(fma(fma(fma(fma(fma(fma(-0x1.afc06ep-9, e, 0x1.492c9p-6), e, -0x1.d695d8p-5), e, 0x1.b4872ap-4), e, -0x1.3a2fa4p-3), e, 0x1.934142p-3), e, -0x1.ff2136p-3), e, 0x1.554da4p-2), e, -0x1.ffffdp-2), e)
maximum(x, 0.0) + l
";

// x tanh(log1p(e)), e=exp(x), with one division by D=1+e+e^2/2 doubled: for x>-0.4 x-2x/D, else u-u(e+e^2)/D
// with u=x e, so that what cancels is small. u is fma(x 2^n, q, x 2^n), q=expm1(r) of sigmoid: x e
// without the rounding of e. Above 40 the limit of x changes nothing, x<-87 cold. Worst error 2.446 ULP, all inputs.
pub(super) const MISH: &str = "
c = minimum(x, 40.0)
z = fma(c, 0x1.715476p0, 0x1.8000fep23)
n = z - 0x1.8000fep23
r0 = fma(n, -0x1.62e4p-1, c)
r = fma(n, -0x1.7f7d1cp-20, r0)
q = r * fma(fma(fma(fma(fma(0x1.694cd4p-10, r, 0x1.123988p-7), r, 0x1.555a26p-5), r, 0x1.555492p-3), r, 0x1.fffffap-2), r, 1.0)
t = float_from_bits(bits(z) << 23)
e = fma(q, t, t)
d = fma(e, e + 2.0, 2.0)
w = x * t
u = fma(w, q, w)
o = x > -0.4
a = where(o, x, u)
b = where(o, c + c, u * fma(e, e, e))
cold(x < -87.0, where(x < -110.0, x * 0.0, scale(fma(x, q, x), n)), float_from_bits(bits(a - b / d) | (bits(x) & -2147483648)))
";

// x Phi(x) of c = -|x|, t = 2^n and q = 2^f-1; below -4 what the comment of GELU_ERF says.
macro_rules! gelu_end {
    () => {
        "cold_v = x * x
cold_n = rint(cold_v * -0x1.715476p-1)
cold_r = fma(cold_n, -0x1.7f7d1cp-20, fma(fma(x, x, -cold_v), -0.5, fma(cold_n, -0x1.62e4p-1, cold_v * -0.5)))
cold_p = fma(fma(fma(fma(fma(fma(0x1.694cd4p-10, cold_r, 0x1.123988p-7), cold_r, 0x1.555a26p-5), cold_r, 0x1.555492p-3), cold_r, 0x1.fffffap-2), cold_r, 1.0), cold_r, 1.0)
cold_u = 1.0 / cold_v
cold_t = fma(fma(fma(fma(fma(fma(0x1.0aa5bp9, cold_u, -0x1.730062p7), cold_u, 0x1.18fd22p5), cold_u, -0x1.75bb52p2), cold_u, 0x1.31f396p0), cold_u, -0x1.9881d2p-2), cold_u, 0x1.988452p-2)
cold(x < -4.0, where(x < -15.0, x * 0.0, -scale(cold_p * cold_t, cold_n)), fma(c, fma(t, q, t), maximum(x, 0.0)))
"
    };
}

// max(x,0)-a*Phi(-a), a=|x|, for x>-4 with Phi(-a)=2^(H-C a^2-2), C=log2(e)/2 in f32 and
// H=log2(Phi(-a))+2+C a^2 = 1-a K, K degree 9 in 2.5-a (minimax by linear programming on [0,5.5], weighted by what it
// does to the result, which beyond 4 is next to nothing; centred, for its powers cancel at the ends). 2^ by 16
// points as in `exp_short`. x<-4 is cold: exp(-x^2/2) with x^2 as a pair, times a minimax polynomial in 1/x^2, degree 6 on
// [-14.7,-4]. No division on the fast side, no erf. Worst error 2.60 ULP for x>=-1; below, where C a^2 grows to 12
// and is rounded, 12.5 at -3.4, and 2.1 for x<-4 again.
pub(super) const GELU_ERF: &str = concat!(
    "
c = maximum(float_from_bits(bits(x) | -2147483648), -5.5)
v = c * c
u = c + 2.5
h = fma(c, fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.d41222p-25, u, -0x1.0aedc4p-23), u, -0x1.f231dcp-24), u, 0x1.3ebed2p-19), u, 0x1.357de8p-15), u, 0x1.5e28fp-12), u, 0x1.440656p-9), u, 0x1.0e2cb8p-6), u, 0x1.afbec4p-4), u, 0x1.7551acp-1), 1.0)
g = fma(v, -0x1.715476p-1, h)
z = g + 0x1.8p19
i = bits(z)
f = g - (z - 0x1.8p19)
q = f * fma(fma(0x1.c6b46cp-5, f, 0x1.ebfff6p-3), f, 0x1.62e43p-1)
t = float_from_bits((i << 19) + lookup([1048576000, 1048423107, 1048286658, 1048167379, 1048066032, 1047983410, 1047920343, 1047877695, 1047856371, 1047857316, 1047881514, 1047929996, 1048003837, 1048104159, 1048232135, 1048388989], i & 15))
",
    gelu_end!()
);

// The same at f16 and bf16, for which errors of 2^-16 are next to nothing: log2(Phi(-a)) itself is a polynomial of degree 6 in
// 2.25-a (minimax by linear programming on [0,4.5], 2^-17), and 2^f-1 one of degree 2. Worst error in ULP of the results, all
// inputs: f16 0.509, bf16 0.501 (torch 2.05; NaN near the largest bf16).
pub(super) const GELU_HALF: &str = concat!(
    "
c = maximum(float_from_bits(bits(x) | -2147483648), -4.5)
u = c + 2.25
g = fma(fma(fma(fma(fma(fma(0x1.12265ap-15, u, 0x1.452ab6p-12), u, 0x1.042ea8p-9), u, 0x1.8b837ep-7), u, -0x1.4c2f6p-1), u, 0x1.df779ep1), u, -0x1.96a942p2)
z = g + 0x1.8p19
i = bits(z)
f = g - (z - 0x1.8p19)
q = f * fma(0x1.ebfbep-3, f, 0x1.62e43p-1)
t = float_from_bits((i << 19) + lookup([1065353216, 1065200323, 1065063874, 1064944595, 1064843248, 1064760626, 1064697559, 1064654911, 1064633587, 1064634532, 1064658730, 1064707212, 1064781053, 1064881375, 1065009351, 1065166205], i & 15))
",
    gelu_end!()
);

// x/(1+2^w), w=-2u log2(e)=x(A+Bx^2): in base 2 nothing is left to reduce, for the rounding of w is there in any base;
// 2^w=2^n(1+q), q=expm1(f ln2) of degree 6 as in the exp2 row, 1+2^n rounded once where 2^n<2^24. The error of w grows as w
// does: worst error 2.55 ULP for x>=-1, all inputs; 53 ULP at -6, 157 at -10.
pub(super) const GELU_TANH: &str = "
v = x * x
w = x * fma(v, -0x1.a5a7dp-4, -0x1.26aec2p+1)
z = w + 0x1.8000fep23
n = z - 0x1.8000fep23
f = w - n
q = f * fma(fma(fma(fma(fma(0x1.3fa208p-13, f, 0x1.5f0b82p-10), f, 0x1.3b30ap-7), f, 0x1.c6af76p-5), f, 0x1.ebfbd8p-3), f, 0x1.62e43p-1)
t = float_from_bits(bits(z) << 23)
d = fma(q, t, t + 1.0)
cold(abs(w) > 125.0, where(x > 0.0, x, where(w > 160.0, x * 0.0, scale(x / (1.0 + q), -n))), x / d)
";
