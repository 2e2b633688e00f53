//! Functions of f32 that have no short form in f32: computed at f64, with relative errors below 2^-33, so that the
//! result is the nearest f32 but where the exact value lies within 0.001 ULP of the middle of two.
//!
//! Polynomials interpolate at Chebyshev nodes, in 60 digits; each text is a function of the f64 `x`, which holds
//! an f32. Powers are summed by twos, evens and odds apart: two chains of half the length. (f64 itself calls library code.)
use super::part;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::Row;

// exp of |x| < 700: 2^n times a polynomial of degree 8. Relative error below 1e-12.
const EXP: &str = "
z = fma(x, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
r = fma(z - 0x1.80000000003ffp52, -0x1.62e42fefa39efp-1, x)
rr = r * r
p = fma(fma(fma(fma(0x1.a1ab4c91bc38fp-13, rr, 0x1.11108019ca1fcp-7), rr, 0x1.555555a2e4bd3p-3), rr, 0x1.ffffffffd330ap-1), r, fma(fma(fma(fma(0x1.a15af3e6562d7p-16, rr, 0x1.6c164d7dbdce2p-10), rr, 0x1.555555745858dp-5), rr, 0x1.fffffffff70abp-2), rr, 0x1p0))
p * float_from_bits(bits(z) << 52)
";

// log of normal numbers above 0 (of nothing else): k log(2) + 2 atanh(f / (f + 2)), degree 5 of the square. Relative error
// below 1e-12.
const LOG: &str = "
d = bits(x) + 2638149301829632
k = float_from_bits(lshr(d, 52) | 4841369599423283200) - 0x1.00000000003ffp52
f = float_from_bits((d & 4503599627370495) + 4604544269498187776) - 1.0
v = f / (f + 2.0)
w = v * v
fma(k, 0x1.62e42fefa39efp-1, v * fma(fma(fma(fma(fma(0x1.91e1660724015p-3, w, 0x1.c61bb59a58456p-3), w, 0x1.2494477cba95cp-2), w, 0x1.99999607b23a1p-2), w, 0x1.5555555680003p-1), w, 0x1.fffffffffff03p0))
";

// log1p of what a + sqrt(1 + a^2) is more than 1, without cancellation; nothing overflows.
const ASINH: &str = "
a = abs(x)
s = a * a
y = log1p(a + s / (1.0 + sqrt(1.0 + s)))
copysign(where(a == inf, a, y), x)
";

const ACOSH: &str = "
t = x - 1.0
y = log1p(t + sqrt(t * (x + 1.0)))
where(x < 1.0, nan, y)
";

const ATANH: &str = "
a = abs(x)
copysign(0.5 * log1p((a + a) / (1.0 - a)), x)
";

// (1 + 2a) erfcx(a) of t = (a - 3) / (a + 3) (Shepherd and Laframboise 1981, doi 10.1090/S0025-5718-1981-0595058-X),
// degree 13 for a < 10.2, from where on erfc is 0.
const ERFC: &str = "
a = minimum(abs(x), 11.0)
d = fma(a, 2.0, 1.0)
r = 1.0 / (d * (a + 3.0))
t = (a - 3.0) * d * r
tt = t * t
p = fma(fma(fma(fma(fma(fma(fma(-0x1.171a826038237p-18, tt, 0x1.f57b36ec10467p-14), tt, -0x1.99fb0c8db40e3p-11), tt, 0x1.4bb6d8c244317p-9), tt, 0x1.17c9e6f1eae58p-4), tt, 0x1.098368c59309dp-3), tt, -0x1.15c084c509ea4p-3), t, fma(fma(fma(fma(fma(fma(0x1.6707d749b446cp-16, tt, -0x1.f62016c76785ep-14), tt, 0x1.f05ca2fed3f1p-10), tt, -0x1.8577d7f02ddd7p-6), tt, -0x1.e88b71ea61e1ep-4), tt, -0x1.85a15d2ee3f3dp-5), tt, 0x1.40c522d7edf21p0))
y = p * ((a + 3.0) * r) * exp_of_f32(-(a * a))
where(x < 0.0, 2.0 - y, y)
";

// As erfc, of t = (a - 3.75) / (a + 3.75), degree 18 for all a; nothing of it overflows in f64, infinity aside.
const ERFCX_POSITIVE: &str = "
a = minimum(x, 0x1p200)
d = fma(a, 2.0, 1.0)
r = 1.0 / (d * (a + 3.75))
t = (a - 3.75) * d * r
tt = t * t
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ba4e4fe7156ffp-27, tt, -0x1.248f08cf0cf2fp-20), tt, 0x1.797abb639c065p-16), tt, -0x1.30529bf6f32dfp-12), tt, 0x1.cc3bd9bc41acep-10), tt, 0x1.d0affd06e3179p-6), tt, 0x1.7a1418bd7bec4p-4), tt, 0x1.510169cdb96d9p-4), tt, -0x1.1f367683f284cp-3), t, fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.192dc5ff6af18p-23, tt, 0x1.9a8415bc8c784p-20), tt, -0x1.7865b280ba75ap-17), tt, 0x1.b014069ad48bcp-15), tt, 0x1.3409afb07ca5ep-12), tt, -0x1.3f605696a2005p-7), tt, -0x1.e0d0f99d41b29p-5), tt, -0x1.bda930a00cc38p-4), tt, 0x1.d5f294847c05p-9), tt, 0x1.3ccda0b5d5dc2p0))
p * ((a + 3.75) * r)
";

// 2 exp(x^2) - erfcx(-x) below 0; exp is infinite in f32 from its limit here on.
const ERFCX: &str = "
y = erfcx_positive_of_f32(abs(x))
e = exp_of_f32(minimum(x * x, 200.0))
where(x < 0.0, fma(e, 2.0, -y), y)
";

// Below -1, where ndtr is small, log(erfcx(u) / 2) - u^2; else log1p(-erfc(t) / 2). x = t sqrt(2), u = |t|.
const LOG_NDTR: &str = "
t = x * 0.7071067811865476
u = abs(t)
h = 0.5 * erfcx_positive_of_f32(u)
low = log(h) - u * u
c = h * exp_of_f32(-minimum(u * u, 200.0))
where(x < -1.0, low, log1p(where(x < 0.0, c - 1.0, -c)))
";

// erfinv(z) / z of w = -log(1 - z^2) (Giles 2012, GPU Computing Gems, \"Approximating the erfinv function\"), degree 13 for
// w < 5; of 1 / sqrt(w), degree 14, up to 17, which is further than an f32 below 1 goes.
const ERFINV_RATIO: &str = "
t = w - 2.5
tt = t * t
p = fma(fma(fma(fma(fma(fma(fma(-0x1.3ace6574bd4f9p-42, tt, 0x1.1ad437a7cc8b8p-33), tt, -0x1.766c825a004cep-27), tt, 0x1.010dee4262fe4p-21), tt, -0x1.4f4953321e49bp-18), tt, -0x1.4863cd77abe81p-10), tt, 0x1.f91e8993e00d7p-3), t, fma(fma(fma(fma(fma(fma(-0x1.68f6b3af48143p-36, tt, 0x1.c2b5865572ca7p-31), tt, 0x1.d98cbaf0d2408p-27), tt, -0x1.caad4c1e3e33cp-19), tt, 0x1.c9b4a8432cb27p-13), tt, -0x1.11c3c460bbaa9p-8), tt, 0x1.805c5cfd043b8p0))
u = 1.0 / sqrt(w)
uu = u * u
q = fma(fma(fma(fma(fma(fma(fma(-0x1.2f869a0ce0917p27, uu, -0x1.058b1a747d3c6p29), uu, -0x1.79c4524f62622p28), uu, -0x1.535003261a6afp26), uu, -0x1.a5e02724b831cp22), uu, -0x1.5d9cb1446315dp17), uu, -0x1.35f38a8b91758p10), u, fma(fma(fma(fma(fma(fma(fma(0x1.da5787bc86b81p24, uu, 0x1.67aa09c6c723fp28), uu, 0x1.04de844fe1b6ep29), uu, 0x1.99f7220992b94p27), uu, 0x1.afab046f9ea1p24), uu, 0x1.3a0b25c263774p20), uu, 0x1.19a3fab9bb384p14), uu, 0x1.9f3d608c7ccbcp5))
cold(w > 5.0, q, p)
";

const ERFINV: &str = "
a = abs(x)
y = x * erfinv_ratio_of_f32(-log_of_f32((1.0 - a) * (1.0 + a)))
where(a < 1.0, y, where(a == 1.0, copysign(inf, x), nan))
";

// sqrt(2) erfinv(2x - 1), without cancellation in its w; below 1e-8 library code.
const NDTRI: &str = "
w = -log_of_f32(4.0 * (x * (1.0 - x)))
z = fma(x, 2.0, -1.0)
y = 1.4142135623730951 * (z * erfinv_ratio_of_f32(w))
cold(~((w <= 17.0) & (x > 0.0) & (x < 1.0)), call_ndtri(x), y)
";

// On [1, 3] (x - 1) (x - 2) P(x - 2), degree 17; below 1 one step down; from 3 on Stirling's formula with x times its
// remainder as a polynomial of 1 / x^2, degree 6. Below 0 library code.
const LGAMMA: &str = "
v = minimum(x, 0x1p130)
s = v < 1.0
t = where(s, v - 1.0, v - 2.0)
l = log(v)
tt = t * t
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.3e287c80cacbbp-21, tt, 0x1.ff79df87c5399p-25), tt, -0x1.4633d059d15dfp-18), tt, -0x1.1dbae6f5e1dcep-16), tt, -0x1.5d796f0e3529bp-14), tt, -0x1.a95e2f4faa8acp-12), tt, -0x1.1451481b48ad7p-9), tt, -0x1.95ce21de6e169p-7), tt, -0x1.9ae6509eb3461p-4), t, fma(fma(fma(fma(fma(fma(fma(fma(0x1.4d463ea22db4fp-20, tt, -0x1.a1f4d573c0929p-24), tt, 0x1.5ae0bb4b3da4bp-17), tt, 0x1.3523b0ca03e3cp-15), tt, 0x1.7fd475da91848p-13), tt, 0x1.dfdf38f4c7653p-11), tt, 0x1.4797701bdcb77p-8), tt, 0x1.0e0c9dc27d93dp-5), tt, 0x1.b0ee607212bfep-2))
a = fma(t * (t + 1.0), p, 0.0)
r = 1.0 / v
u = r * r
uu = u * u
g = fma(fma(fma(-0x1.751ce09a393d3p-10, uu, -0x1.377c9899fb21ap-11), uu, -0x1.6c16c044e745bp-9), u, fma(fma(fma(0x1.d548f367fca18p-10, uu, 0x1.a8bc8dee1b3efp-11), uu, 0x1.a01758de5c09bp-11), uu, 0x1.5555555552ab4p-4))
b = fma(v - 0.5, l, fma(r, g, 0.9189385332046728 - v))
y = where(v < 3.0, where(s, a - l, a), b)
cold(x < 0.0, call_lgamma(x), y)
";

// Below 6, six steps of the recurrence at once: the sum of 1 / (x + k) is Q'(x) / Q(x), Q the product of all x + k. Then the
// asymptotic series, its remainder as a polynomial of 1 / y^2, degree 5. From 0 down library code.
const DIGAMMA: &str = "
s = x < 6.0
y = where(s, x + 6.0, x)
r = 1.0 / y
u = r * r
p = fma(fma(fma(fma(fma(-0x1.0060e39b7e3ecp-6, u, 0x1.e6365842718c4p-8), u, -0x1.10ec9b180e3ep-8), u, 0x1.0410056fa4d1cp-8), u, -0x1.111110ff14ac9p-7), u, 0x1.55555555551c9p-4)
m = log(y) - fma(u, p, 0.5 * r)
q = fma(fma(fma(fma(fma(6.0, x, 75.0), x, 340.0), x, 675.0), x, 548.0), x, 120.0) / (x * fma(fma(fma(fma(x + 15.0, x, 85.0), x, 225.0), x, 274.0), x, 120.0))
cold(x <= 0.0, call_digamma(x), where(s, m - q, m))
";

// As digamma: the sum of (x + k)^-2 is (Q'^2 - Q Q'') / Q^2.
const TRIGAMMA: &str = "
s = x < 6.0
y = where(s, x + 6.0, x)
r = 1.0 / y
u = r * r
p = fma(fma(fma(fma(fma(-0x1.6f1378fc553c8p-3, u, 0x1.2db05d9b0af19p-4), u, -0x1.10d43cc3a540ap-5), u, 0x1.86179b42b182ap-6), u, -0x1.111110d54ae9fp-5), u, 0x1.5555555553dc5p-3)
m = fma(u, fma(r, p, 0.5), r)
d = x * fma(fma(fma(fma(x + 15.0, x, 85.0), x, 225.0), x, 274.0), x, 120.0)
q = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(6.0, x, 150.0), x, 1635.0), x, 10200.0), x, 40208.0), x, 104370.0), x, 180455.0), x, 205800.0), x, 150152.0), x, 65760.0), x, 14400.0) / (d * d)
cold(x <= 0.0, call_trigamma(x), where(s, m + q, m))
";

// exp(-a) I0(a), degree 22 up to 8; sqrt(a) times it, degree 10 of 16 / a - 1 from there on. (I0 is infinite in f32
// well before a = 100.)
const I0E: &str = "
a = abs(x)
s = fma(a, 0.25, -1.0)
ss = s * s
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.2f94b763c17bcp-16, ss, -0x1.5859007bf28c7p-15), ss, -0x1.b7e1fac2e22cbp-12), ss, -0x1.d223e5a3e4913p-10), ss, -0x1.be75937e0e228p-8), ss, -0x1.425a8247854a6p-6), ss, -0x1.6028194e604bp-5), ss, -0x1.1cd6ecb81fa8fp-4), ss, -0x1.5c029669bfa3dp-4), ss, -0x1.6cb8d088c9ef1p-4), ss, -0x1.cedda005415ddp-4), s, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.95155af42a1f3p-18, ss, 0x1.26169fa3bb185p-16), ss, 0x1.6c8f2da180618p-13), ss, 0x1.bb738b0695f1bp-11), ss, 0x1.daebaa050124p-9), ss, 0x1.87d430342e181p-7), ss, 0x1.ee71d6ec38755p-6), ss, 0x1.d11de0a34503fp-5), ss, 0x1.44b61b6feb33bp-4), ss, 0x1.65c235abf7cdep-4), ss, 0x1.8322d1d8ddd2dp-4), ss, 0x1.a7f09f8eedf5ap-3))
r = 1.0 / a
v = fma(r, 16.0, -1.0)
vv = v * v
q = fma(fma(fma(fma(fma(-0x1.1875620ec70c8p-27, vv, 0x1.ad64aa9d72e97p-25), vv, 0x1.3b335f55742b5p-22), vv, 0x1.75eb2cbbc8e6p-17), vv, 0x1.b879697b53c1p-9), v, fma(fma(fma(fma(fma(-0x1.ea40bb501e1bep-28, vv, 0x1.4c84c83d64f89p-26), vv, 0x1.82b19d70f4e41p-24), vv, 0x1.8e3f6e7fdf997p-20), vv, 0x1.1daa748ce5c44p-13), vv, 0x1.9bd428ad249a5p-2))
where(a <= 8.0, p, q * sqrt(r))
";

const I0: &str = "
a = minimum(abs(x), 100.0)
i0e_of_f32(a) * exp_of_f32(a)
";

// As i0e; up to 8 divided by a.
const I1E: &str = "
a = abs(x)
s = fma(a, 0.25, -1.0)
ss = s * s
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.171060a6741c4p-19, ss, -0x1.b7b5cfee006ap-18), ss, -0x1.11c3b3bcbd1ffp-14), ss, -0x1.620ba0748a5c4p-12), ss, -0x1.93f4bad0f3b73p-10), ss, -0x1.6aa90b74cef7p-8), ss, -0x1.fe3f4ab84747cp-7), ss, -0x1.13d5e31a5588ap-5), ss, -0x1.c4daa66f1b3b4p-5), ss, -0x1.1881379946ecp-4), ss, -0x1.f4bb071a9e5eep-5), s, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.6268c4f49300dp-21, ss, 0x1.52897af6df57p-19), ss, 0x1.a9ca646adb5c1p-16), ss, 0x1.350f6c76f62f6p-13), ss, 0x1.86aa4024d1d66p-11), ss, 0x1.89f0955938925p-9), ss, 0x1.3a0c99bb69326p-7), ss, 0x1.8412516bcdd45p-6), ss, 0x1.6df95ef2f6b8ap-5), ss, 0x1.0530f81603087p-4), ss, 0x1.16c390ddb657bp-4), ss, 0x1.6e14eb8e5d319p-5))
r = 1.0 / a
v = fma(r, 16.0, -1.0)
vv = v * v
q = fma(fma(fma(fma(fma(0x1.21b1a7c512031p-27, vv, -0x1.d64696ef8afb4p-25), vv, -0x1.719441c7cdd4ap-22), vv, -0x1.f8a1f04d22d29p-17), vv, -0x1.3f7961871d69ep-7), v, fma(fma(fma(fma(fma(0x1.052aebac8618ap-27, vv, -0x1.7023c59b1253bp-26), vv, -0x1.b2e10543c215ap-24), vv, -0x1.ec7cf39e2f21cp-20), vv, -0x1.cbc54fb943d4fp-13), vv, 0x1.8ebe783a8403p-2))
where(x == 0.0, 0.0, copysign(where(a <= 8.0, p * a, q * sqrt(r)), x))
";

const I1: &str = "
a = minimum(abs(x), 100.0)
y = i1e_of_f32(a) * exp_of_f32(a)
where(x == 0.0, 0.0, copysign(y, x))
";

const DOC: &str = "A function of f32, computed at f64.";

pub(super) const ROWS: &[Row] = &[
    part("exp_of_f32", "x", DOC, &[(F64, EXP)]),
    part("log_of_f32", "x", DOC, &[(F64, LOG)]),
    part("asinh_of_f32", "x", DOC, &[(F64, ASINH)]),
    part("acosh_of_f32", "x", DOC, &[(F64, ACOSH)]),
    part("atanh_of_f32", "x", DOC, &[(F64, ATANH)]),
    part("erfc_of_f32", "x", DOC, &[(F64, ERFC)]),
    part("erfcx_positive_of_f32", "x", DOC, &[(F64, ERFCX_POSITIVE)]),
    part("erfcx_of_f32", "x", DOC, &[(F64, ERFCX)]),
    part("log_ndtr_of_f32", "x", DOC, &[(F64, LOG_NDTR)]),
    part("erfinv_ratio_of_f32", "w", DOC, &[(F64, ERFINV_RATIO)]),
    part("erfinv_of_f32", "x", DOC, &[(F64, ERFINV)]),
    part("ndtri_of_f32", "x", DOC, &[(F64, NDTRI)]),
    part("lgamma_of_f32", "x", DOC, &[(F64, LGAMMA)]),
    part("digamma_of_f32", "x", DOC, &[(F64, DIGAMMA)]),
    part("trigamma_of_f32", "x", DOC, &[(F64, TRIGAMMA)]),
    part("i0e_of_f32", "x", DOC, &[(F64, I0E)]),
    part("i0_of_f32", "x", DOC, &[(F64, I0)]),
    part("i1e_of_f32", "x", DOC, &[(F64, I1E)]),
    part("i1_of_f32", "x", DOC, &[(F64, I1)]),
];
