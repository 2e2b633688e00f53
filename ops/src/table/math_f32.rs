//! Bodies of mathematical functions at f32, 128-bit variants. Each states its method and its worst error in
//! units of the last place, against CORE-MATH in f64: over all 2^32 inputs, or over samples of them.
//! Polynomials are our own (Sollya's fpminimax and remez); schemes that are known by a name are named.

// n=round(x/ln2) by magic add whose constant carries the exponent bias (so 2^n is one shift), two-step
// Cody-Waite with fma, degree-6 minimax (fpminimax, c0=c1=1); |x|>87 goes to a cold scale(). Worst error
// 0.891 ULP, all inputs.
pub(super) const EXP: &str = "
z = fma(x, 0x1.715476p0, 0x1.8000fep23)
n = z - 0x1.8000fep23
r0 = fma(n, -0x1.62e4p-1, x)
r = fma(n, -0x1.7f7d1cp-20, r0)
p = fma(fma(fma(fma(fma(fma(0x1.694cd4p-10, r, 0x1.123988p-7), r, 0x1.555a26p-5), r, 0x1.555492p-3), r, 0x1.fffffap-2), r, 1.0), r, 1.0)
cold(abs(x) > 87.0, where(x > 89.0, x * 0x1p127, where(x < -104.0, 0.0, scale(p, n))), p * float_from_bits(bits(z) << 23))
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

// n=round(x/ln2-0.085) (so r in [-0.288,0.406], the split where |expm1(r)|<1/2 and n=1 stays exact),
// Cody-Waite with the rounding error c of r kept, q=r+r^2 P(r)+c, 2^n q+(2^n-1) fused; |x|>16.5 cold.
// Worst error 0.928 ULP, all inputs.
pub(super) const EXPM1: &str = "
z = fma(x, 0x1.715476p0, -0.0849625) + 0x1.8000fep23
n = z - 0x1.8000fep23
r0 = fma(n, -0x1.62e4p-1, x)
r = fma(n, -0x1.7f7d1cp-20, r0)
c = fma(n, 0x1.7f7d1cp-20, r - r0)
w = fma(r * r, fma(fma(fma(fma(fma(-0x1.b4e798p-13, r, -0x1.6cdb8p-10), r, -0x1.11088p-7), r, -0x1.555528p-5), r, -0x1.555558p-3), r, -0x1p-1), c)
q = r - w
t = float_from_bits(bits(z) << 23)
y = fma(t, q, -(1.0 - t))
cold(abs(x) > 16.5, where(x > 60.0, where(x > 89.0, x * 0x1p127, scale(1.0 + q, n)), where(x > 0.0, fma(q, t, -1.0) + t, where(x < -18.0, -1.0, fma(t, 1.0 + q, -1.0)))), y)
";

// x=2^k(1+f), 1+f in [2/3,4/3) by integer subtraction, log(1+f)=f+f^2 Q(f), Q degree 8 (fpminimax), k*ln2+f
// added with an exact-error fma (fast two-sum) so that the k=+-1 zone stays below 1 ULP. Subnormals, scaled
// by 2^23, and specials are cold. Worst error 0.937 ULP, all inputs.
pub(super) const LOG: &str = "
d = bits(x) - 1059760811
k = to_float(d >> 23)
f = float_from_bits(bits(x) - (d & -8388608)) - 1.0
t = fma(k, 0x1.62e43p-1, f)
e = f - fma(k, -0x1.62e43p-1, t)
q = fma(fma(fma(fma(fma(fma(fma(fma(-0x1.06fc5ep-3, f, 0x1.1ef6b4p-3), f, -0x1.f392f6p-4), f, 0x1.1eb624p-3), f, -0x1.5598bep-3), f, 0x1.99d284p-3), f, -0x1.ffff1p-3), f, 0x1.5555p-2), f, -0.5)
y = t + fma(f * f, q, e)
cold_u = x * 0x1p23
cold_d = bits(cold_u) - 1059760811
cold_k = to_float((cold_d >> 23) - 23)
cold_f = float_from_bits(bits(cold_u) - (cold_d & -8388608)) - 1.0
cold_t = fma(cold_k, 0x1.62e43p-1, cold_f)
cold_e = cold_f - fma(cold_k, -0x1.62e43p-1, cold_t)
cold_q = fma(fma(fma(fma(fma(fma(fma(fma(-0x1.06fc5ep-3, cold_f, 0x1.1ef6b4p-3), cold_f, -0x1.f392f6p-4), cold_f, 0x1.1eb624p-3), cold_f, -0x1.5598bep-3), cold_f, 0x1.99d284p-3), cold_f, -0x1.ffff1p-3), cold_f, 0x1.5555p-2), cold_f, -0.5)
cold_y = cold_t + fma(cold_f * cold_f, cold_q, cold_e)
cold((bits(x) < 8388608) | (bits(x) > 2139095039), where(x == 0.0, -1.0 / abs(x), where(x > 0.0, where(x < inf, cold_y, x), (x - x) / (x - x))), y)
";

// Reduction of log f32; t=k+f*log2e with its exact fma error e (+f*log2e_lo), plus f^2 Q(f), Q degree 8
// (fpminimax). Worst error 0.968 ULP, all inputs.
pub(super) const LOG2: &str = "
d = bits(x) - 1059760811
k = to_float(d >> 23)
f = float_from_bits(bits(x) - (d & -8388608)) - 1.0
t = fma(f, 0x1.715476p0, k)
e = fma(f, 0x1.4ae0cp-26, fma(f, 0x1.715476p0, k - t))
w = fma(f * f, fma(fma(fma(fma(fma(fma(fma(fma(-0x1.79e14p-3, f, 0x1.966f6cp-3), f, -0x1.68e5dep-3), f, 0x1.9f419p-3), f, -0x1.ecc2ccp-3), f, 0x1.27926cp-2), f, -0x1.715414p-2), f, 0x1.ec7062p-2), f, -0x1.715476p-1), e)
y = t + w
cold_u = x * 0x1p23
cold_d = bits(cold_u) - 1059760811
cold_k = to_float((cold_d >> 23) - 23)
cold_f = float_from_bits(bits(cold_u) - (cold_d & -8388608)) - 1.0
cold_t = fma(cold_f, 0x1.715476p0, cold_k)
cold_e = fma(cold_f, 0x1.4ae0cp-26, fma(cold_f, 0x1.715476p0, cold_k - cold_t))
cold_w = fma(cold_f * cold_f, fma(fma(fma(fma(fma(fma(fma(fma(-0x1.79e14p-3, cold_f, 0x1.966f6cp-3), cold_f, -0x1.68e5dep-3), cold_f, 0x1.9f419p-3), cold_f, -0x1.ecc2ccp-3), cold_f, 0x1.27926cp-2), cold_f, -0x1.715414p-2), cold_f, 0x1.ec7062p-2), cold_f, -0x1.715476p-1), cold_e)
cold_y = cold_t + cold_w
cold((bits(x) < 8388608) | (bits(x) > 2139095039), where(x == 0.0, -1.0 / abs(x), where(x > 0.0, where(x < inf, cold_y, x), (x - x) / (x - x))), y)
";

// Reduction of log f32; t=k*log10(2)_hi (exact product)+f*log10(e) with its exact fma error, the low parts
// and the rounding error of f^2, plus f^2 Q(f), Q degree 9 (fpminimax). Worst error 0.954 ULP, all inputs.
pub(super) const LOG10: &str = "
d = bits(x) - 1059760811
k = to_float(d >> 23)
f = float_from_bits(bits(x) - (d & -8388608)) - 1.0
o = k * 0x1.344p-2
t = fma(f, 0x1.bcb7b2p-2, o)
e = fma(f, -0x1.5b235ep-27, fma(k, 0x1.3509f8p-18, fma(f, 0x1.bcb7b2p-2, o - t)))
v = f * f
c = fma(fma(f, f, -v), -0x1.bcb7b2p-3, e)
y = t + fma(v, fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.b0b452p-5, f, -0x1.ca4d7cp-5), f, 0x1.7d457ap-5), f, -0x1.b16d6cp-5), f, 0x1.fd0596p-5), f, -0x1.28bc8cp-4), f, 0x1.63c3eep-4), f, -0x1.bcb686p-4), f, 0x1.287a78p-3), f, -0x1.bcb7b2p-3), c)
cold_u = x * 0x1p23
cold_d = bits(cold_u) - 1059760811
cold_k = to_float((cold_d >> 23) - 23)
cold_f = float_from_bits(bits(cold_u) - (cold_d & -8388608)) - 1.0
cold_o = cold_k * 0x1.344p-2
cold_t = fma(cold_f, 0x1.bcb7b2p-2, cold_o)
cold_e = fma(cold_f, -0x1.5b235ep-27, fma(cold_k, 0x1.3509f8p-18, fma(cold_f, 0x1.bcb7b2p-2, cold_o - cold_t)))
cold_v = cold_f * cold_f
cold_c = fma(fma(cold_f, cold_f, -cold_v), -0x1.bcb7b2p-3, cold_e)
cold_y = cold_t + fma(cold_v, fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.b0b452p-5, cold_f, -0x1.ca4d7cp-5), cold_f, 0x1.7d457ap-5), cold_f, -0x1.b16d6cp-5), cold_f, 0x1.fd0596p-5), cold_f, -0x1.28bc8cp-4), cold_f, 0x1.63c3eep-4), cold_f, -0x1.bcb686p-4), cold_f, 0x1.287a78p-3), cold_f, -0x1.bcb7b2p-3), cold_c)
cold((bits(x) < 8388608) | (bits(x) > 2139095039), where(x == 0.0, -1.0 / abs(x), where(x > 0.0, where(x < inf, cold_y, x), (x - x) / (x - x))), y)
";

// k from 1+x with 1+x in [3/4,3/2)*2^k, f=2^-k x+(2^-k-1) exact (exponent subtraction on the bits of x),
// then the log row formula with Q degree 9. Worst error 0.939 ULP, all inputs.
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

// n=round(2x/pi) by magic add, three-constant Cody-Waite (pi/2 rounded down piecewise) with the rounding
// error of r kept in m, sin and cos kernels of degree 4 and 3 in r^2 (fpminimax), selected by n; |x|>2^18
// is cold, `sin_huge`. Worst error 0.847 ULP, sampled.
pub(super) const SIN: &str = "
z = fma(x, 0x1.45f306p-1, 0x1.8p23)
n = z - 0x1.8p23
i = bits(z)
r0 = fma(n, -0x1.921fb4p0, x)
v = n * 0x1.4442dp-24
r = r0 - v
m = (v - (r0 - r)) - fma(n, -0x1.84698ap-48, fma(n, -0x1.4442dp-24, v))
s = r * r
a = r - fma(r * s, fma(fma(fma(-0x1.875928p-19, s, 0x1.a082dep-13), s, -0x1.111198p-7), s, 0x1.555556p-3), m)
h = fma(s, -0.5, 1.0)
b = h + fma(s * s, fma(fma(0x1.9bc37cp-16, s, -0x1.6c1298p-10), s, 0x1.555554p-5), fma(r, m, fma(s, -0.5, 1.0 - h)))
g = where((i & 1) == 0, a, b)
y = float_from_bits(bits(g) ^ ((i & 2) << 30))
cold(abs(x) > 0x1p18, to_f32(sin_huge(x, 0.0)), y)
";

// n=round(2x/pi) by magic add, three-constant Cody-Waite (pi/2 rounded down piecewise) with the rounding
// error of r kept in m, sin and cos kernels of degree 4 and 3 in r^2 (fpminimax), selected by n; |x|>2^18
// is cold, `sin_huge`. Worst error 0.847 ULP, sampled.
pub(super) const COS: &str = "
z = fma(x, 0x1.45f306p-1, 0x1.8p23)
n = z - 0x1.8p23
i = bits(z)
r0 = fma(n, -0x1.921fb4p0, x)
v = n * 0x1.4442dp-24
r = r0 - v
m = (v - (r0 - r)) - fma(n, -0x1.84698ap-48, fma(n, -0x1.4442dp-24, v))
s = r * r
a = r - fma(r * s, fma(fma(fma(-0x1.875928p-19, s, 0x1.a082dep-13), s, -0x1.111198p-7), s, 0x1.555556p-3), m)
h = fma(s, -0.5, 1.0)
b = h + fma(s * s, fma(fma(0x1.9bc37cp-16, s, -0x1.6c1298p-10), s, 0x1.555554p-5), fma(r, m, fma(s, -0.5, 1.0 - h)))
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
// there. Worst error 0.672 ULP, all inputs from 1/4 on.
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

// Asin kernel; pi/2-asin, 2p or pi-2p. Worst error 1.068 ULP (of 0.5 that the root's rounding adds), all |x|>1/4.
pub(super) const ACOS: &str = "
a = abs(x)
b = a < 0.5
v = where(b, x * x, fma(a, -0.5, 0.5))
q = where(b, a, sqrt(v))
p = fma(q * v, fma(fma(fma(fma(fma(0x1.1acb92p-5, v, 0x1.0fe1b2p-6), v, 0x1.ffbf34p-6), v, 0x1.6d3e6ap-5), v, 0x1.3334cep-4), v, 0x1.555554p-3), q)
u = where(x < 0.0, p, -p)
y = where(b, 0x1.921fb6p0 + (u - 0x1.777a5cp-25), where(x < 0.0, 0x1.921fb6p1 - (p + p + 0x1.777a5cp-24), p + p))
y
";

// v=1/|x| for |x|>1, v+v^3 P(v^2) degree 9 (fpminimax), h-(v^3 P+lo), h=pi/2-v with its rounding error. Worst error
// 1.22 ULP, where v is next to 1; that of v itself is not worth its instructions.
pub(super) const ATAN: &str = "
a = abs(x)
b = a > 1.0
v = where(b, 1.0 / a, a)
s = v * v
u = v * s
c = fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.c78b04p-10, s, -0x1.51c7dap-7), s, 0x1.d462d8p-6), s, -0x1.a516p-5), s, 0x1.265b42p-4), s, -0x1.704154p-4), s, 0x1.c6b586p-4), s, -0x1.24917p-3), s, 0x1.9999c4p-3), s, -0x1.555556p-2)
h = 0x1.921fb6p0 - v
y = where(b, h - (fma(u, c, 0x1.777a5cp-25) - ((0x1.921fb6p0 - h) - v)), fma(u, c, v))
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

// |x|<1: odd polynomial degree 3 in x^2; else t+(q t-g), t=2^(n-1), q=expm1(r) of the exp row, g=1/(4h),
// h=exp(|x|)/2. Worst error 1.273 ULP, sampled.
pub(super) const SINH: &str = "
a = abs(x)
z = fma(a, 0x1.715476p0, 0x1.8000fcp23)
n = z - 0x1.8000fcp23
r0 = fma(n, -0x1.62e4p-1, a)
r = fma(n, -0x1.7f7d1cp-20, r0)
q = r * fma(fma(fma(fma(fma(0x1.694cd4p-10, r, 0x1.123988p-7), r, 0x1.555a26p-5), r, 0x1.555492p-3), r, 0x1.fffffap-2), r, 1.0)
t = float_from_bits(bits(z) << 23)
g = 0.25 / fma(q, t, t)
s = a * a
m = fma(a * s, fma(fma(fma(0x1.725236p-19, s, 0x1.a03554p-13), s, 0x1.1110c6p-7), s, 0x1.555556p-3), a)
y = cold(a > 87.0, where(a > 90.0, a * 0x1p127, scale(1.0 + q, n - 1.0)), where(a < 1.0, m, t + fma(q, t, -g)))
float_from_bits(bits(y) | (bits(x) & -2147483648))
";

// t+(q t+g), as sinh. Worst error 1.299 ULP, sampled.
pub(super) const COSH: &str = "
a = abs(x)
z = fma(a, 0x1.715476p0, 0x1.8000fcp23)
n = z - 0x1.8000fcp23
r0 = fma(n, -0x1.62e4p-1, a)
r = fma(n, -0x1.7f7d1cp-20, r0)
q = r * fma(fma(fma(fma(fma(0x1.694cd4p-10, r, 0x1.123988p-7), r, 0x1.555a26p-5), r, 0x1.555492p-3), r, 0x1.fffffap-2), r, 1.0)
t = float_from_bits(bits(z) << 23)
g = 0.25 / fma(q, t, t)
cold(a > 87.0, where(a > 90.0, a * 0x1p127, scale(1.0 + q, n - 1.0)), t + fma(q, t, g))
";

// b-b b^2/max(D,E), b=x limited to [-1,1], one division for both halves: D(b^2), degree 3 (fpminimax), is the minimax
// polynomial of a^3/(a-tanh a), which has no singularity next to it, E=(exp(2a)+1)/2, and D>E just where a=|x|<1, as both
// would give tanh exactly. exp(2a)=2^n(1+q), r=a-n*ln2/2, q=2r P(r) with P(0)=P'(0)=1; one constant for ln2 does: n is at
// most 27, and its error n*2e-9 counts less the larger n is. D, E and 2^n are negative, by a sign bit in the constant of the
// magic add, and b^2 is lessened by 2^-126: so is the quotient, but for +2^-126/3 at 0, which keeps the sign of zero. Worst
// error 0.979 ULP, all inputs of [1/2,3/2], where it is largest; sampled elsewhere.
pub(super) const TANH: &str = "
b = maximum(minimum(x, 1.0), -1.0)
w = fma(b, b, -0x1p-126)
c = minimum(abs(x), 9.5)
z = fma(c, 0x1.715476p1, 0x1.8002fep23)
n = z - 0x1.8002fep23
r = fma(n, -0x1.62e43p-2, c)
t = float_from_bits(bits(z) << 23)
s = r * r
p = fma(fma(fma(0x1.6d5426p-5, r, 0x1.122a2ap-3), s, fma(0x1.5554e2p-2, r, 0x1.5554acp-1)), s, r + 1.0)
e = fma(p, r * t, fma(t, 0.5, -0.5))
d = fma(fma(fma(-0x1.e7495p-13, w, 0x1.75b386p-8), w, -0x1.33330ep0), w, -0x1.800002p1)
fma(b, w / where(e < d, e, d), b)
";

// |x|<1: x+x P(x^2), degree 6 (fpminimax); else 1-2^(g-2), g(|x|-1)=minimax degree-6 polynomial of
// log2(erfc)+2 weighted by erfc (remez, coefficients rounded one at a time; the shift keeps g small near
// 1, so its rounding is harmless), 2^g by magic add and a degree-5 minimax polynomial. Worst error 0.991
// ULP, all inputs.
pub(super) const ERF: &str = "
a = abs(x)
c = minimum(a, 3.93) - 1.0
g = fma(fma(fma(fma(fma(fma(0x1.18bb54p-12, c, -0x1.595264p-9), c, 0x1.d39596p-7), c, -0x1.ea7a7p-5), c, -0x1.37638ap0), c, -0x1.e7532p1), c, -0x1.563ab8p-1)
z = g + 0x1.8000fap23
f = g - (z - 0x1.8000fap23)
p = fma(fma(fma(fma(fma(0x1.5d39ap-10, f, 0x1.3d21b2p-7), f, 0x1.c6b3d8p-5), f, 0x1.ebf8aep-3), f, 0x1.62e42cp-1), f, 0x1.000002p0)
l = fma(-p, float_from_bits(bits(z) << 23), 1.0)
s = x * x
m = fma(x, fma(fma(fma(fma(fma(fma(0x1.4c5cb4p-14, s, -0x1.a5197ap-11), s, 0x1.542fecp-8), s, -0x1.b7fec4p-6), s, 0x1.ce2d52p-4), s, -0x1.81274p-2), s, 0x1.06eba8p-3), x)
where(a < 1.0, m, float_from_bits(bits(l) | (bits(x) & -2147483648)))
";

// 1/(1+exp(-x)) with exp(-x)=2^n(1+q), q=expm1(r) of the exp row, denominator fma(q,2^n,1)+2^n (no
// rounding of exp itself); |x|>87 cold. Worst error 1.999 ULP, all inputs.
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

// Exp row for e=exp(-|x|); log1p(e)=e+e^2 Q(e), Q minimax degree 8 on [0,1]; min(x,0) minus it. Worst
// error 1.829 ULP, all inputs.
pub(super) const LOGSIGMOID: &str = "
a = float_from_bits(bits(x) | -2147483648)
z = fma(a, 0x1.715476p0, 0x1.8000fep23)
n = z - 0x1.8000fep23
r0 = fma(n, -0x1.62e4p-1, a)
r = fma(n, -0x1.7f7d1cp-20, r0)
p = fma(fma(fma(fma(fma(fma(0x1.694cd4p-10, r, 0x1.123988p-7), r, 0x1.555a26p-5), r, 0x1.555492p-3), r, 0x1.fffffap-2), r, 1.0), r, 1.0)
e = cold(a < -87.0, where(a < -104.0, 0.0, scale(p, n)), p * float_from_bits(bits(z) << 23))
l = fma(e * e, fma(fma(fma(fma(fma(fma(fma(fma(-0x1.afc06ep-9, e, 0x1.492c9p-6), e, -0x1.d695d8p-5), e, 0x1.b4872ap-4), e, -0x1.3a2fa4p-3), e, 0x1.934142p-3), e, -0x1.ff2136p-3), e, 0x1.554da4p-2), e, -0x1.ffffdp-2), e)
minimum(x, 0.0) - l
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

// Exp row for e=exp(-|x|); log1p(e)=e+e^2 Q(e), Q minimax degree 8 on [0,1]; plus max(x,0). Worst error
// 1.829 ULP, all inputs.
pub(super) const SOFTPLUS: &str = "
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
// with u=x e, so that what cancels is small. u is fma(x 2^n, q, x 2^n), q=expm1(r) of the exp row: x e
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

// max(x,0)-a*Phi(-a), a=|x|, for x>-4 with Phi(-a)=2^(H-C a^2-2), C=log2(e)/2 in f32 and
// H=log2(Phi(-a))+2+C a^2 = 1-a K, K degree 9 in 2.5-a (minimax by linear programming on [0,5.5], weighted by what it
// does to the result, which beyond 4 is next to nothing; centred, for its powers cancel at the ends). 2^ by magic
// add and degree 6. x<-4 is cold: exp(-x^2/2) with x^2 as a pair, times a minimax polynomial in 1/x^2, degree 6 on
// [-14.7,-4]. No division on the fast side, no erf. Worst error 2.12 ULP for x>=-1; below, where C a^2 grows to 12
// and is rounded, 11.4 at -3.7, and 2.1 for x<-4 again.
pub(super) const GELU_ERF: &str = "
c = maximum(float_from_bits(bits(x) | -2147483648), -5.5)
v = c * c
u = c + 2.5
h = fma(c, fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.d41222p-25, u, -0x1.0aedc4p-23), u, -0x1.f231dcp-24), u, 0x1.3ebed2p-19), u, 0x1.357de8p-15), u, 0x1.5e28fp-12), u, 0x1.440656p-9), u, 0x1.0e2cb8p-6), u, 0x1.afbec4p-4), u, 0x1.7551acp-1), 1.0)
g = fma(v, -0x1.715476p-1, h)
z = g + 0x1.8000fap23
f = g - (z - 0x1.8000fap23)
p = fma(fma(fma(fma(fma(fma(0x1.3f9068p-13, f, 0x1.5f0a66p-10), f, 0x1.3b30bp-7), f, 0x1.c6af78p-5), f, 0x1.ebfbd8p-3), f, 0x1.62e43p-1), f, 1.0)
cold_v = x * x
cold_n = rint(cold_v * -0x1.715476p-1)
cold_r = fma(cold_n, -0x1.7f7d1cp-20, fma(fma(x, x, -cold_v), -0.5, fma(cold_n, -0x1.62e4p-1, cold_v * -0.5)))
cold_p = fma(fma(fma(fma(fma(fma(0x1.694cd4p-10, cold_r, 0x1.123988p-7), cold_r, 0x1.555a26p-5), cold_r, 0x1.555492p-3), cold_r, 0x1.fffffap-2), cold_r, 1.0), cold_r, 1.0)
cold_u = 1.0 / cold_v
cold_t = fma(fma(fma(fma(fma(fma(0x1.0aa5bp9, cold_u, -0x1.730062p7), cold_u, 0x1.18fd22p5), cold_u, -0x1.75bb52p2), cold_u, 0x1.31f396p0), cold_u, -0x1.9881d2p-2), cold_u, 0x1.988452p-2)
cold(x < -4.0, where(x < -15.0, x * 0.0, -scale(cold_p * cold_t, cold_n)), fma(c, p * float_from_bits(bits(z) << 23), maximum(x, 0.0)))
";

// x/(1+2^w), w=-2u log2(e)=x(A+Bx^2): in base 2 nothing is left to reduce, for the rounding of w is there in any base;
// 2^w=2^n(1+q), q=expm1(f ln2) of degree 6 as in the exp2 row, 1+2^n rounded once where 2^n<2^24. The error of w grows as w
// does: worst error 2.55 ULP for x>=-1, all of [-1,-1/4]; 53 ULP at -6, 157 at -10.
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
