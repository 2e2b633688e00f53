//! Bodies of mathematical functions at f32. Each states its method and its largest error in units of
//! the last place, over all inputs for f32 (against correctly rounded results) and sampled for f64.

// n=round(x/ln2) by magic add whose constant carries the exponent bias (so 2^n is one shift), two-step
// Cody-Waite with fma, degree-6 minimax (sollya fpminimax, c0=c1=1); |x|>87 goes to a cold scale().
// Worst error 0.891 ULP.
pub(super) const EXP: &str = "
z = fma(x, 0x1.715476p0, 0x1.8000fep23)
n = z - 0x1.8000fep23
r0 = fma(n, -0x1.62e4p-1, x)
r = fma(n, -0x1.7f7d1cp-20, r0)
p = fma(fma(fma(fma(fma(fma(0x1.694cd4p-10, r, 0x1.123988p-7), r, 0x1.555a26p-5), r, 0x1.555492p-3), r, 0x1.fffffap-2), r, 1.0), r, 1.0)
cold(abs(x) > 87.0, where(x > 89.0, x * 0x1p127, where(x < -104.0, 0.0, scale(p, n))), p * float_from_bits(bits(z) << 23))
";

// x=2^k(1+f), 1+f in [2/3,4/3) by integer subtraction, log(1+f)=f+f^2 Q(f), Q degree 8 (sollya
// fpminimax), k*ln2+f added with an exact-error fma (fast two-sum) so that the k=+-1 zone stays below
// 1 ULP; subnormals pre-scaled by 2^23 branch-free, specials cold. Worst error 0.937 ULP.
pub(super) const LOG: &str = "
s = x < 0x1p-126
u = where(s, x * 0x1p23, x)
d = bits(u) - 1059760811
k = to_float(where(s, d - 192937984, d) >> 23)
f = float_from_bits(bits(u) - (d & -8388608)) - 1.0
t = fma(k, 0x1.62e43p-1, f)
e = f + fma(k, 0x1.62e43p-1, -t)
q = fma(fma(fma(fma(fma(fma(fma(fma(-0x1.06fc5ep-3, f, 0x1.1ef6b4p-3), f, -0x1.f392f6p-4), f, 0x1.1eb624p-3), f, -0x1.5598bep-3), f, 0x1.99d284p-3), f, -0x1.ffff1p-3), f, 0x1.5555p-2), f, -0.5)
y = t + fma(f * f, q, e)
cold(~((x > 0.0) & (x <= 0x1.fffffep127)), where(x == 0.0, -1.0 / abs(x), where(x > 0.0, x, (x - x) / (x - x))), y)
";

// two branch-free halves: |x|<0.95 a+a^3 P(a^2) (degree 6, sollya fpminimax); else 1-2/(exp(2a)+1),
// exp(2a)=2^n(1+q) as in the exp row with r=a-n*ln2/2 (coefficients times 2^i), denominator
// fma(q,2^n,1)+2^n; sign ORed in. Worst error 0.973 ULP.
pub(super) const TANH: &str = "
a = abs(x)
c = where(a > 9.5, 9.5, a)
z = fma(c, 0x1.715476p1, 0x1.8000fep23)
n = z - 0x1.8000fep23
r0 = fma(n, -0x1.62e4p-2, c)
r = fma(n, -0x1.7f7d1cp-21, r0)
q = r * fma(fma(fma(fma(fma(0x1.694cd4p-4, r, 0x1.123988p-2), r, 0x1.555a26p-1), r, 0x1.555492p0), r, 0x1.fffffap0), r, 2.0)
t = float_from_bits(bits(z) << 23)
g = fma(q, t, 1.0) + t
l = 1.0 - 2.0 / g
s = a * a
m = fma(a * s, fma(fma(fma(fma(fma(fma(-0x1.eb24b8p-12, s, 0x1.59566p-9), s, -0x1.113fep-7), s, 0x1.63bdp-6), s, -0x1.b9ea64p-5), s, 0x1.111052p-3), s, -0x1.555554p-2), a)
y = where(a < 0.95, m, l)
float_from_bits(bits(y) | (bits(x) & -2147483648))
";

// 1/(1+exp(-x)) with exp(-x)=2^n(1+q), q=expm1(r) of the exp row, denominator fma(q,2^n,1)+2^n (no
// rounding of exp itself); |x|>87 cold. Worst error 1.999 ULP.
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

// |x|<1: x+x P(x^2), degree 6 (fpminimax); else 1-2^(g-2), g(|x|-1)=minimax degree-6 polynomial of
// log2(erfc)+2 weighted by erfc (sollya remez, coefficients rounded one at a time; the shift keeps g
// small near 1, so its rounding is harmless), 2^g by magic add and a degree-5 minimax polynomial.
// Worst error 0.991 ULP.
pub(super) const ERF: &str = "
a = abs(x)
c = where(a > 3.93, 3.93, a) - 1.0
g = fma(fma(fma(fma(fma(fma(0x1.18bb54p-12, c, -0x1.595264p-9), c, 0x1.d39596p-7), c, -0x1.ea7a7p-5), c, -0x1.37638ap0), c, -0x1.e7532p1), c, -0x1.563ab8p-1)
z = g + 0x1.8000fap23
f = g - (z - 0x1.8000fap23)
p = fma(fma(fma(fma(fma(0x1.5d39ap-10, f, 0x1.3d21b2p-7), f, 0x1.c6b3d8p-5), f, 0x1.ebf8aep-3), f, 0x1.62e42cp-1), f, 0x1.000002p0)
l = fma(-p, float_from_bits(bits(z) << 23), 1.0)
s = x * x
m = fma(x, fma(fma(fma(fma(fma(fma(0x1.4c5cb4p-14, s, -0x1.a5197ap-11), s, 0x1.542fecp-8), s, -0x1.b7fec4p-6), s, 0x1.ce2d52p-4), s, -0x1.81274p-2), s, 0x1.06eba8p-3), x)
where(a < 1.0, m, float_from_bits(bits(l) | (bits(x) & -2147483648)))
";

// n=round(x/ln2-0.085) (so r in [-0.288,0.406], the split where |expm1(r)|<1/2 and n=1 stays exact),
// Cody-Waite with the rounding error c of r kept, q=r+r^2 P(r)+c, 2^n q+(2^n-1) fused; |x|>16.5 cold.
// Worst error 0.928 ULP.
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

// k from 1+x with 1+x in [3/4,3/2)*2^k, f=2^-k x+(2^-k-1) exact (exponent subtraction on the bits of
// x), then the log row formula with Q degree 9. Worst error 1.268 ULP.
pub(super) const LOG1P: &str = "
u = 1.0 + x
d = bits(u) - 1061158912
j = d & -8388608
k = to_float(d >> 23)
f = float_from_bits(bits(x) - j) - fma(float_from_bits(1073741824 - j), -0.5, 1.0)
t = fma(k, 0x1.62e43p-1, f)
e = f + fma(k, 0x1.62e43p-1, -t)
y = t + fma(f * f, fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.592644p-5, f, -0x1.8834a6p-4), f, 0x1.e1a2d4p-4), f, -0x1.035326p-3), f, 0x1.2414ap-3), f, -0x1.552a58p-3), f, 0x1.999b3ep-3), f, -0x1.00004ap-2), f, 0x1.555554p-2), f, -0.5), e)
cold(~((x > -1.0) & (x <= 0x1.fffffep127)), where(x == -1.0, -1.0 / abs(x + 1.0), where(x > 0.0, x, (x - x) / (x - x))), where(x == 0.0, x, y))
";
