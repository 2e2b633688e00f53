//! Bodies of mathematical functions at f64, 128-bit variants. Each states its method and its worst error in
//! units of the last place, against 113-bit arithmetic on samples.
//! Polynomials are our own (Sollya's fpminimax and remez); schemes that are known by a name are named.

// As exp f32: biased magic add, Cody-Waite (36-bit ln2 head), degree 11 fpminimax; |x|>708 cold scale().
// Worst error 0.859 ULP, sampled.
pub(super) const EXP: &str = "
z = fma(x, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, x)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0), r, 1.0)
cold(abs(x) > 708.0, where(x > 710.0, x * 0x1p1023, where(x < -746.0, 0.0, scale(p, n))), p * float_from_bits(bits(z) << 52))
";

// As exp2 f32, degree 11. Worst error 0.812 ULP, sampled.
pub(super) const EXP2: &str = "
z = x + 0x1.80000000003ffp52
n = z - 0x1.80000000003ffp52
f = x - n
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.e973178f84e2dp-32, f, 0x1.e61d4332c8c78p-28), f, 0x1.b52522bc19eeep-24), f, 0x1.62bfc6596b95ap-20), f, 0x1.ffcbfc6685efdp-17), f, 0x1.4309130f6cbdcp-13), f, 0x1.5d87fe789e96fp-10), f, 0x1.3b2ab6fb9fda6p-7), f, 0x1.c6b08d704a12cp-5), f, 0x1.ebfbdff82c5a6p-3), f, 0x1.62e42fefa39efp-1), f, 1.0)
cold(abs(x) > 1020.0, where(x > 1025.0, x * 0x1p1023, where(x < -1080.0, 0.0, scale(p, n))), p * float_from_bits(bits(z) << 52))
";

// As expm1 f32, degree 12. Worst error 0.917 ULP, sampled.
pub(super) const EXPM1: &str = "
z = fma(x, 0x1.71547652b82fep0, -0.0849625007211562) + 0x1.80000000003ffp52
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, x)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
c = fma(n, 0x1.cf79abc9e3b3ap-40, r - r0)
w = fma(r * r, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.2e14595bf10c2p-29, r, -0x1.aec3279d80df2p-26), r, -0x1.27de8d13daf48p-22), r, -0x1.71de381481557p-19), r, -0x1.a01a039130205p-16), r, -0x1.a01a019e256b3p-13), r, -0x1.6c16c16bd9d9ep-10), r, -0x1.111111111151dp-7), r, -0x1.55555555555a2p-5), r, -0x1.5555555555555p-3), r, -0x1p-1), c)
q = r - w
t = float_from_bits(bits(z) << 52)
y = fma(t, q, -(1.0 - t))
cold(abs(x) > 36.0, where(x > 60.0, where(x > 710.0, x * 0x1p1023, scale(1.0 + q, n)), where(x > 0.0, fma(q, t, -1.0) + t, where(x < -38.0, -1.0, fma(t, 1.0 + q, -1.0)))), y)
";

// Fdlibm e_log scheme with own coefficients: x=2^k(1+f), 1+f in [sqrt1/2,sqrt2), v=f/(2+f),
// log(1+f)=f-(f^2/2-v(f^2/2+R(v^2))), R degree 7 in v^2 (fpminimax); k read by OR-ing the exponent into
// 2^52 (no i64->f64 conversion). Worst error 0.841 ULP, sampled.
pub(super) const LOG: &str = "
s = x < 0x1p-1022
u = where(s, x * 0x1p54, x)
d = bits(u) + 2638149301829632
k0 = float_from_bits(lshr(d, 52) | 4841369599423283200) - 0x1.00000000003ffp52
k = where(s, k0 - 54.0, k0)
f = float_from_bits((d & 4503599627370495) + 4604544269498187776) - 1.0
v = f / (f + 2.0)
w = v * v
h = 0.5 * (f * f)
R = w * fma(fma(fma(fma(fma(fma(0x1.2b5f5b2f84a73p-3, w, 0x1.39fdcbbcecb1p-3), w, 0x1.7462b925f9ff5p-3), w, 0x1.c71c62d649d8cp-3), w, 0x1.2492492dfb9b8p-2), w, 0x1.99999999952b9p-2), w, 0x1.5555555555558p-1)
y = fma(k, 0x1.62e42fefap-1, f - (h - fma(v, h + R, k * 0x1.cf79abc9e3b3ap-40)))
cold(~((x > 0.0) & (x <= 0x1.fffffffffffffp1023)), where(x == 0.0, -1.0 / abs(x), where(x > 0.0, x, (x - x) / (x - x))), y)
";

// Log f64 reduction; log(1+f)=a+b with a=f-f^2/2 and b its rounding errors plus the tail, times log2(e)
// as a pair, two-sum with k. Worst error 0.656 ULP, sampled.
pub(super) const LOG2: &str = "
s = x < 0x1p-1022
u = where(s, x * 0x1p54, x)
d = bits(u) + 2638149301829632
k0 = float_from_bits(lshr(d, 52) | 4841369599423283200) - 0x1.00000000003ffp52
k = where(s, k0 - 54.0, k0)
f = float_from_bits((d & 4503599627370495) + 4604544269498187776) - 1.0
v = f / (f + 2.0)
w = v * v
h = 0.5 * (f * f)
R = w * fma(fma(fma(fma(fma(fma(0x1.2b5f5b2f84a73p-3, w, 0x1.39fdcbbcecb1p-3), w, 0x1.7462b925f9ff5p-3), w, 0x1.c71c62d649d8cp-3), w, 0x1.2492492dfb9b8p-2), w, 0x1.99999999952b9p-2), w, 0x1.5555555555558p-1)
a = f - h
b = fma(v, h + R, (f - a) - h + fma(f * -0.5, f, h))
p = a * 0x1.71547652b82fep0
e = fma(a, 0x1.71547652b82fep0, -p) + fma(a, 0x1.777d0ffda0d24p-56, b * 0x1.71547652b82fep0)
g = k + p
y = g + ((p - (g - k)) + e)
cold(~((x > 0.0) & (x <= 0x1.fffffffffffffp1023)), where(x == 0.0, -1.0 / abs(x), where(x > 0.0, x, (x - x) / (x - x))), y)
";

// As log2 f64 with log10(e), k*log10(2) as a pair. Worst error 0.632 ULP, sampled.
pub(super) const LOG10: &str = "
s = x < 0x1p-1022
u = where(s, x * 0x1p54, x)
d = bits(u) + 2638149301829632
k0 = float_from_bits(lshr(d, 52) | 4841369599423283200) - 0x1.00000000003ffp52
k = where(s, k0 - 54.0, k0)
f = float_from_bits((d & 4503599627370495) + 4604544269498187776) - 1.0
v = f / (f + 2.0)
w = v * v
h = 0.5 * (f * f)
R = w * fma(fma(fma(fma(fma(fma(0x1.2b5f5b2f84a73p-3, w, 0x1.39fdcbbcecb1p-3), w, 0x1.7462b925f9ff5p-3), w, 0x1.c71c62d649d8cp-3), w, 0x1.2492492dfb9b8p-2), w, 0x1.99999999952b9p-2), w, 0x1.5555555555558p-1)
a = f - h
b = fma(v, h + R, (f - a) - h + fma(f * -0.5, f, h))
p = a * 0x1.bcb7b1526e50ep-2
e = fma(a, 0x1.bcb7b1526e50ep-2, -p) + fma(a, 0x1.95355baaafad3p-57, b * 0x1.bcb7b1526e50ep-2)
o = k * 0x1.34413509f79ffp-2
g = o + p
y = g + ((p - (g - o)) + (fma(k, 0x1.34413509f79ffp-2, -o) + fma(k, -0x1.9dc1da994fd21p-59, e)))
cold(~((x > 0.0) & (x <= 0x1.fffffffffffffp1023)), where(x == 0.0, -1.0 / abs(x), where(x > 0.0, x, (x - x) / (x - x))), y)
";

// f exact as in log1p f32 (1+x in [3/4,3/2)*2^k), then the log f64 formula with R degree 8. Worst error
// 0.829 ULP, sampled.
pub(super) const LOG1P: &str = "
u = 1.0 + x
d = bits(u) - 4604930618986332160
j = d & -4503599627370496
k = float_from_bits(lshr(d + 4607182418800017408, 52) | 4841369599423283200) - 0x1.00000000003ffp52
f = float_from_bits(bits(x) - j) - fma(float_from_bits(4611686018427387904 - j), -0.5, 1.0)
v = f / (f + 2.0)
w = v * v
h = 0.5 * (f * f)
R = w * fma(fma(fma(fma(fma(fma(fma(0x1.16ea8853e3eecp-3, w, 0x1.0e8136b53618dp-3), w, 0x1.3b2a7126a1deap-3), w, 0x1.745ca7aa58afdp-3), w, 0x1.c71c72f137c3fp-3), w, 0x1.24924923cccf4p-2), w, 0x1.999999999a008p-2), w, 0x1.5555555555555p-1)
y = fma(k, 0x1.62e42fefap-1, f - (h - fma(v, h + R, k * 0x1.cf79abc9e3b3ap-40)))
cold(~((x > -1.0) & (x <= 0x1.fffffffffffffp1023)), where(x == -1.0, -1.0 / abs(x + 1.0), where(x > 0.0, x, (x - x) / (x - x))), where(x == 0.0, x, y))
";

// Double-double log2: v=f/(2+f) with its remainder, 2/ln2 v + 2/(3 ln2) v^3 as pairs plus v^5 R(v^2);
// y*log2 as a pair; 2^h as 1 + h ln2, that product exact, plus h^2 times degree 9, and the pair's low part; specials as pow
// f32. (Where |y| is so large that the low part is NaN, |E0| > 2000.) Worst error 0.744 ULP, sampled.
pub(super) const POW: &str = "
ax = abs(x)
ay = abs(y)
sb = ax < 0x1p-1022
X = where(sb, ax * 0x1p54, ax)
d = bits(X) + 2638149301829632
k0 = float_from_bits(lshr(d, 52) | 4841369599423283200) - 0x1.00000000003ffp52
k = where(sb, k0 - 54.0, k0)
f = float_from_bits((d & 4503599627370495) + 4604544269498187776) - 1.0
g = f + 2.0
gl = f - (g - 2.0)
rg = 1.0 / g
v = f * rg
vl = fma(-v, gl, fma(-v, g, f)) * rg
w = v * v
wl = fma(v, v, -w) + (v + v) * vl
R = fma(fma(fma(fma(fma(fma(0x1.7d9a799201058p-3, w, 0x1.888c373b3387bp-3), w, 0x1.c696a1616822ep-3), w, 0x1.0c9a7aea7a098p-2), w, 0x1.484b13e3f81fp-2), w, 0x1.a61762a7a8287p-2), w, 0x1.2776c50ef9c02p-1)
s = w * 0x1.ec709dc3a03fdp-1
sl = fma(w, 0x1.ec709dc3a03fdp-1, -s) + fma(w, 0x1.d27f05548af0cp-55, fma(wl, 0x1.ec709dc3a03fdp-1, (w * w) * R))
c = 0x1.71547652b82fep1 + s
cl = ((0x1.71547652b82fep1 - c) + s) + (0x1.777d0ffda0d24p-55 + sl)
p = v * c
pl = fma(v, c, -p) + fma(v, cl, vl * c)
L = k + p
Lb = L - k
Le = (k - (L - Lb)) + (p - Lb)
Ll = Le + pl
H = L + Ll
Hl = Ll - (H - L)
E0 = y * H
E = where(E0 < -3000.0, -3000.0, where(E0 > 3000.0, 3000.0, E0))
el = fma(y, H, -E0) + y * Hl
z = E + 0x1.80000000003ffp52
n = z - 0x1.80000000003ffp52
h = (E - n)
q = (h * h) * fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.e973178f84e2dp-32, h, 0x1.e61d4332c8c78p-28), h, 0x1.b52522bc19eeep-24), h, 0x1.62bfc6596b95ap-20), h, 0x1.ffcbfc6685efdp-17), h, 0x1.4309130f6cbdcp-13), h, 0x1.5d87fe789e96fp-10), h, 0x1.3b2ab6fb9fda6p-7), h, 0x1.c6b08d704a12cp-5), h, 0x1.ebfbdff82c5a6p-3)
a = h * 0x1.62e42fefa39efp-1
al = fma(h, 0x1.62e42fefa39efp-1, -a)
b = 1.0 + a
ml = (a - (b - 1.0)) + (q + fma(b + q, el * 0x1.62e42fefa39efp-1, al))
m = b + ml
u0 = cold(abs(E0) > 1020.0, scale(where(abs(E0) > 2000.0, 1.0 + (y - y), m), n), m * float_from_bits(bits(z) << 52))
i = rint(y) == y
o = i & (rint(y * 0.5) != y * 0.5)
neg = bits(x) < 0
u = where(neg & o, -u0, u0)
r = where((x < 0.0) & ~i, float_from_bits(bits(u) | 9221120237041090560), u)
cold_m = where(((ax > 1.0) & (y > 0.0)) | ((ax < 1.0) & (y < 0.0)), float_from_bits((bits(x) & 0) | 9218868437227405312), float_from_bits(bits(x) & 0))
cold_s = where((y == 0.0) | (x == 1.0), 1.0, where(isnan(x) | isnan(y), x + y, where(ax == 1.0, 1.0, where(neg & o, -cold_m, cold_m))))
cold(~((ax > 0.0) & (ax <= 0x1.fffffffffffffp1023) & (ay <= 0x1.fffffffffffffp1023)), cold_s, r)
";

// As sin f32, kernels of degree 6 in r^2; |x|>2^40 is cold: library code, which reduces by Payne and
// Hanek. Worst error 0.909 ULP, sampled.
pub(super) const SIN: &str = "
z = fma(x, 0x1.45f306dc9c883p-1, 0x1.8p52)
n = z - 0x1.8p52
i = bits(z)
r0 = fma(n, -0x1.921fb54442d18p0, x)
v = n * 0x1.1a62633145c06p-54
r = r0 - v
m = (v - (r0 - r)) - fma(n, -0x1.c1cd129024e08p-107, fma(n, -0x1.1a62633145c06p-54, v))
s = r * r
a = r - fma(r * s, fma(fma(fma(fma(fma(-0x1.5e0ddfe0fe1c6p-33, s, 0x1.ae6016f95fep-26), s, -0x1.71de37a8762a1p-19), s, 0x1.a01a019e9a701p-13), s, -0x1.1111111110c6bp-7), s, 0x1.5555555555555p-3), m)
h = fma(s, -0.5, 1.0)
b = h + fma(s * s, fma(fma(fma(fma(fma(-0x1.9070812d2c179p-37, s, 0x1.1eeb53c6eb1bdp-29), s, -0x1.27e4f9ff3296dp-22), s, 0x1.a01a019f359cep-16), s, -0x1.6c16c16c168c1p-10), s, 0x1.5555555555555p-5), fma(r, m, fma(s, -0.5, 1.0 - h)))
g = where((i & 1) == 0, a, b)
y = float_from_bits(bits(g) ^ ((i & 2) << 62))
cold(abs(x) > 0x1p40, call_sin(x), y)
";

// As cos f32, kernels of degree 6 in r^2; |x|>2^40 is cold: library code, which reduces by Payne and
// Hanek. Worst error 0.848 ULP, sampled.
pub(super) const COS: &str = "
z = fma(x, 0x1.45f306dc9c883p-1, 0x1.8p52)
n = z - 0x1.8p52
i = bits(z)
r0 = fma(n, -0x1.921fb54442d18p0, x)
v = n * 0x1.1a62633145c06p-54
r = r0 - v
m = (v - (r0 - r)) - fma(n, -0x1.c1cd129024e08p-107, fma(n, -0x1.1a62633145c06p-54, v))
s = r * r
a = r - fma(r * s, fma(fma(fma(fma(fma(-0x1.5e0ddfe0fe1c6p-33, s, 0x1.ae6016f95fep-26), s, -0x1.71de37a8762a1p-19), s, 0x1.a01a019e9a701p-13), s, -0x1.1111111110c6bp-7), s, 0x1.5555555555555p-3), m)
h = fma(s, -0.5, 1.0)
b = h + fma(s * s, fma(fma(fma(fma(fma(-0x1.9070812d2c179p-37, s, 0x1.1eeb53c6eb1bdp-29), s, -0x1.27e4f9ff3296dp-22), s, 0x1.a01a019f359cep-16), s, -0x1.6c16c16c168c1p-10), s, 0x1.5555555555555p-5), fma(r, m, fma(s, -0.5, 1.0 - h)))
g = where((i & 1) == 0, b, a)
y = float_from_bits(bits(g) ^ (((i + 1) & 2) << 62))
cold(abs(x) > 0x1p40, call_cos(x), y)
";

// Sin f64 reduction; t=r+r^3 T(r^2) degree 14 as a pair, -1/t with one correction in odd quadrants; huge
// |x| cold as sin f64. Worst error 1.227 ULP, sampled.
pub(super) const TAN: &str = "
z = fma(x, 0x1.45f306dc9c883p-1, 0x1.8p52)
n = z - 0x1.8p52
i = bits(z)
r0 = fma(n, -0x1.921fb54442d18p0, x)
v = n * 0x1.1a62633145c06p-54
r = r0 - v
m = (v - (r0 - r)) - fma(n, -0x1.c1cd129024e08p-107, fma(n, -0x1.1a62633145c06p-54, v))
ss = r * r
uu = fma(r * ss, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.1cfe8adade61ep-17, ss, -0x1.333d3dd277f35p-16), ss, 0x1.3173ca9e1725p-15), ss, -0x1.696733acc1079p-17), ss, 0x1.cfe6fb4bdd18cp-15), ss, 0x1.7a4cdafeb285p-14), ss, 0x1.f9ad1ef5c6b06p-13), ss, 0x1.3520024aa9414p-11), ss, 0x1.7da7765b84e91p-10), ss, 0x1.d6d39e92c1296p-9), ss, 0x1.226e361f16408p-7), ss, 0x1.664f487fab288p-6), ss, 0x1.ba1ba1ba1fda5p-5), ss, 0x1.1111111111142p-3), ss, 0x1.5555555555555p-2), -fma(m, ss, m))
tt = r + uu
ll = uu - (tt - r)
qq = -1.0 / tt
y = where((i & 1) == 0, tt, fma(qq, fma(qq, ll, fma(qq, tt, 1.0)), qq))
cold(abs(x) > 0x1p40, call_tan(x), y)
";

// |x|<1/2: x+x^3 P(x^2), degree 12 (fpminimax); else q=sqrt((1-|x|)/2), pi/4-((2q^3 P+lo)-(pi/4-2q)), the
// inner difference mostly exact (fdlibm idea). Worst error 1.216 ULP, sampled.
pub(super) const ASIN: &str = "
a = abs(x)
b = a < 0.5
v = where(b, x * x, fma(a, -0.5, 0.5))
q = where(b, a, sqrt(v))
c = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.dc6905434ddcdp-6, v, -0x1.f6744bcdc13b3p-7), v, 0x1.224dcb3a3601dp-6), v, 0x1.5dc12cbedf1a3p-8), v, 0x1.5336524f28db7p-7), v, 0x1.77ff42ab32fa6p-7), v, 0x1.c9d336dfb817cp-7), v, 0x1.1c4d0fc1b660ep-6), v, 0x1.6e8bb383c0f08p-6), v, 0x1.f1c71c1187edcp-6), v, 0x1.6db6db6e48dffp-5), v, 0x1.3333333332d9ep-4), v, 0x1.5555555555556p-3)
d = q + q
y = where(b, fma(q * v, c, q), 0x1.921fb54442d18p-1 - (fma(d * v, c, -0x1.1a62633145c07p-54) - (0x1.921fb54442d18p-1 - d)))
float_from_bits(bits(y) | (bits(x) & -9223372036854775808))
";

// As acos f32. Worst error 1.088 ULP, sampled.
pub(super) const ACOS: &str = "
a = abs(x)
b = a < 0.5
v = where(b, x * x, fma(a, -0.5, 0.5))
q = where(b, a, sqrt(v))
p = fma(q * v, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.dc6905434ddcdp-6, v, -0x1.f6744bcdc13b3p-7), v, 0x1.224dcb3a3601dp-6), v, 0x1.5dc12cbedf1a3p-8), v, 0x1.5336524f28db7p-7), v, 0x1.77ff42ab32fa6p-7), v, 0x1.c9d336dfb817cp-7), v, 0x1.1c4d0fc1b660ep-6), v, 0x1.6e8bb383c0f08p-6), v, 0x1.f1c71c1187edcp-6), v, 0x1.6db6db6e48dffp-5), v, 0x1.3333333332d9ep-4), v, 0x1.5555555555556p-3), q)
u = where(x < 0.0, p, -p)
where(b, 0x1.921fb54442d18p0 + (u + 0x1.1a62633145c07p-54), where(x < 0.0, 0x1.921fb54442d18p1 - (p + p - 0x1.1a62633145c07p-53), p + p))
";

// v=1/|x| for |x|>1, v+v^3 P(v^2) degree 19 (fpminimax), (pi/2-v)-(v^3 P+lo). Worst error 1.311 ULP,
// sampled.
pub(super) const ATAN: &str = "
a = abs(x)
b = a > 1.0
v = where(b, 1.0 / a, a)
s = v * v
u = v * s
c = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.40850a90334b4p-16, s, -0x1.b82dcfd6cb902p-13), s, 0x1.1e928b74d0d8p-10), s, -0x1.d9860bac39976p-9), s, 0x1.193ce7df82474p-7), s, -0x1.0329a099c2cb2p-6), s, 0x1.88d42f2ebb999p-6), s, -0x1.01f23a18baa2cp-5), s, 0x1.342771d774ea3p-5), s, -0x1.5d73a7b24ba3fp-5), s, 0x1.84449221d8641p-5), s, -0x1.aec5c05b00e1bp-5), s, 0x1.e1d2171a868fbp-5), s, -0x1.111022acfd3p-4), s, 0x1.3b139d554fce8p-4), s, -0x1.745d1629d2d2ap-4), s, 0x1.c71c71bd6d43ap-4), s, -0x1.249249247bfe2p-3), s, 0x1.9999999999717p-3), s, -0x1.5555555555555p-2)
y = where(b, (0x1.921fb54442d18p0 - v) - fma(u, c, -0x1.1a62633145c07p-54), fma(u, c, v))
float_from_bits(bits(y) | (bits(x) & -9223372036854775808))
";

// v=min/max of |x|,|y| and its remainder e, atan(v+e) as v+w with the kernel of the atan row, degree 19; the
// quadrant is a sign and a multiple of pi/2 in two pieces, added with its rounding error. Equal magnitudes
// (0/0, inf/inf) cold. Worst error 1.05 ULP, sampled.
pub(super) const ATAN2: &str = "
ax = abs(x)
ay = abs(y)
g = ay > ax
hi = where(g, ay, where(isnan(ay), ay, ax))
lo = where(g, ax, ay)
v = cold(lo == hi, where(hi == 0.0, hi, 1.0), lo / hi)
s = v * v
e = cold((lo == hi) | ~(hi < 0x1p1000) | (lo < 0x1p-900), 0.0, fma(-v, hi, lo) / hi)
w = fma(v * s, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.40850a90334b4p-16, s, -0x1.b82dcfd6cb902p-13), s, 0x1.1e928b74d0d8p-10), s, -0x1.d9860bac39976p-9), s, 0x1.193ce7df82474p-7), s, -0x1.0329a099c2cb2p-6), s, 0x1.88d42f2ebb999p-6), s, -0x1.01f23a18baa2cp-5), s, 0x1.342771d774ea3p-5), s, -0x1.5d73a7b24ba3fp-5), s, 0x1.84449221d8641p-5), s, -0x1.aec5c05b00e1bp-5), s, 0x1.e1d2171a868fbp-5), s, -0x1.111022acfd3p-4), s, 0x1.3b139d554fce8p-4), s, -0x1.745d1629d2d2ap-4), s, 0x1.c71c71bd6d43ap-4), s, -0x1.249249247bfe2p-3), s, 0x1.9999999999717p-3), s, -0x1.5555555555555p-2), fma(e * s, -0.5, e))
m = bits(x) < 0
b = where(g, 0x1.921fb54442d18p0, where(m, 0x1.921fb54442d18p1, 0.0))
c = where(g, 0x1.1a62633145c07p-54, where(m, 0x1.1a62633145c07p-53, 0.0))
k = where(g != m, -v, v)
t = b + k
r = t + ((b - t) + k + (where(g != m, -w, w) + c))
float_from_bits(bits(r) | (bits(y) & -9223372036854775808))
";

// |x|<1: odd polynomial degree 7 in x^2; else t+(q t-g), t=2^(n-1), q=expm1(r) of the exp row, g=1/(4h),
// h=exp(|x|)/2. Worst error 1.267 ULP, sampled.
pub(super) const SINH: &str = "
a = abs(x)
z = fma(a, 0x1.71547652b82fep0, 0x1.80000000003fep52)
n = z - 0x1.80000000003fep52
r0 = fma(n, -0x1.62e42fefap-1, a)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0)
t = float_from_bits(bits(z) << 52)
g = 0.25 / fma(q, t, t)
s = a * a
m = fma(a * s, fma(fma(fma(fma(fma(fma(fma(0x1.d00af3920fd11p-47, s, 0x1.9942af1d32467p-41), s, 0x1.61443f2855b6fp-33), s, 0x1.ae6425c73bccbp-26), s, 0x1.71de3a7d51307p-19), s, 0x1.a01a019ff8777p-13), s, 0x1.11111111111d8p-7), s, 0x1.5555555555555p-3), a)
y = cold(a > 708.0, where(a > 712.0, a * 0x1p1023, scale(1.0 + q, n - 1.0)), where(a < 1.0, m, t + fma(q, t, -g)))
float_from_bits(bits(y) | (bits(x) & -9223372036854775808))
";

// t+(q t+g), as sinh. Worst error 1.210 ULP, sampled.
pub(super) const COSH: &str = "
a = abs(x)
z = fma(a, 0x1.71547652b82fep0, 0x1.80000000003fep52)
n = z - 0x1.80000000003fep52
r0 = fma(n, -0x1.62e42fefap-1, a)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0)
t = float_from_bits(bits(z) << 52)
g = 0.25 / fma(q, t, t)
cold(a > 708.0, where(a > 712.0, a * 0x1p1023, scale(1.0 + q, n - 1.0)), t + fma(q, t, g))
";

// As tanh f32: |x|<0.65 degree-11 odd polynomial, else 1-2/(exp(2a)+1). Worst error 1.197 ULP, sampled.
pub(super) const TANH: &str = "
a = abs(x)
c = minimum(a, 20.0)
z = fma(c, 0x1.71547652b82fep1, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-2, c)
r = fma(n, -0x1.cf79abc9e3b3ap-41, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-15, r, 0x1.28adff1e4370dp-12), r, 0x1.71df18e4e1ff9p-10), r, 0x1.a019995cc2c61p-8), r, 0x1.a01a012ff1913p-6), r, 0x1.6c16c18477b36p-4), r, 0x1.1111111126b32p-2), r, 0x1.55555555506bap-1), r, 0x1.55555555554fep0), r, 0x1.000000000000ap1), r, 0x1p1)
t = float_from_bits(bits(z) << 52)
g = fma(q, t, 1.0) + t
l = 1.0 - 2.0 / g
s = a * a
m = fma(a * s, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.95df4ed12faf5p-18, s, -0x1.fbbcbe3da0f6ap-16), s, 0x1.80a1a0c9b11b7p-14), s, -0x1.f14fd25ceb12bp-13), s, 0x1.35131fea9f03ep-11), s, -0x1.7d9d5dfe14e3cp-10), s, 0x1.d6d3774b8430dp-9), s, -0x1.226e33b3a3dedp-7), s, 0x1.664f48793f398p-6), s, -0x1.ba1ba1b9fee2dp-5), s, 0x1.1111111110feep-3), s, -0x1.5555555555555p-2), a)
y = where(a < 0.65, m, l)
float_from_bits(bits(y) | (bits(x) & -9223372036854775808))
";

// As erf f32: degree 12 in x^2 below 1; else 1-2^(g-2), g degree 18 (weighted Lawson/Chebyshev fit,
// wfit.py), 2^ degree 11. Worst error 0.949 ULP, sampled.
pub(super) const ERF: &str = "
a = abs(x)
c = minimum(a, 5.95) - 1.0
g = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.a543bf9931cf7p-40, c, -0x1.6d1e32a430104p-35), c, 0x1.23ac506d45e6ep-31), c, -0x1.1b9be5a4bc079p-28), c, 0x1.713510e69f1d2p-26), c, -0x1.4225453c05393p-24), c, 0x1.2de090bf53813p-23), c, 0x1.bb39380917ce6p-23), c, -0x1.8ee3946cfa939p-19), c, 0x1.d12a6d1f6ea2cp-17), c, -0x1.48afd518572c1p-15), c, 0x1.3e05641e428f7p-15), c, 0x1.6703fc76c302cp-12), c, -0x1.7603ea1dce2ffp-9), c, 0x1.da5764a5c5e6ap-7), c, -0x1.eb31368919c88p-5), c, -0x1.37627e9b5c6c3p0), c, -0x1.e75328fe78c53p1), c, -0x1.563ab6998dfccp-1)
z = g + 0x1.80000000003fdp52
f = g - (z - 0x1.80000000003fdp52)
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.e973178f84e2dp-32, f, 0x1.e61d4332c8c78p-28), f, 0x1.b52522bc19eeep-24), f, 0x1.62bfc6596b95ap-20), f, 0x1.ffcbfc6685efdp-17), f, 0x1.4309130f6cbdcp-13), f, 0x1.5d87fe789e96fp-10), f, 0x1.3b2ab6fb9fda6p-7), f, 0x1.c6b08d704a12cp-5), f, 0x1.ebfbdff82c5a6p-3), f, 0x1.62e42fefa39efp-1), f, 1.0)
l = fma(-p, float_from_bits(bits(z) << 52), 1.0)
s = x * x
m = fma(x, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.29783048052bbp-34, s, -0x1.46794fecbb4b8p-30), s, 0x1.fc78cbcd5b242p-27), s, -0x1.5f9828c564078p-23), s, 0x1.b9ee95850fe1bp-20), s, -0x1.f4d333884b60dp-17), s, 0x1.f9a335388d2f6p-14), s, -0x1.c02db49b09506p-11), s, 0x1.565bcd12991cp-8), s, -0x1.b82ce312abf08p-6), s, 0x1.ce2f21a04362dp-4), s, -0x1.812746b0379fdp-2), s, 0x1.06eba8214db69p-3), x)
where(a < 1.0, m, float_from_bits(bits(l) | (bits(x) & -9223372036854775808)))
";

// As sigmoid f32 with the exp f64 pieces; the denominator as a pair and one correction of its reciprocal.
// Worst error 1.03 ULP, sampled.
pub(super) const SIGMOID: &str = "
z = fma(x, -0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, 0x1.62e42fefap-1, x)
r = fma(n, 0x1.cf79abc9e3b3ap-40, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, -0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, -0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, -0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, -0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, -1.0)
t = float_from_bits(bits(z) << 52)
s = 1.0 + t
d = fma(q, t, s)
l = fma(q, t, s - d) + where(t > 1.0, 1.0 - (s - t), t - (s - 1.0))
y = 1.0 / d
cold(abs(x) > 708.0, where(x > 0.0, 1.0, where(x < -746.0, 0.0, scale(1.0 / (1.0 + q), -n))), fma(y, fma(-y, l, fma(-y, d, 1.0)), y))
";

// As softplus f64 of -x, negated. Worst error 1.07 ULP, sampled.
pub(super) const LOGSIGMOID: &str = "
a = float_from_bits(bits(x) | -9223372036854775808)
z = fma(a, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, a)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
P = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0)
p = fma(P, r, 1.0)
t = float_from_bits(bits(z) << 52)
e = cold(a < -708.0, where(a < -746.0, 0.0, scale(p, n)), p * t)
k = fma(P, r, 1.0 - p) * t
s = (e * 0.5) * e
m = maximum(-x, 0.0)
h = m + e
d = h - s
w = fma((e + e) * s, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.6ac3c6da5d06cp-16, e, -0x1.060f35ba5279cp-12), e, 0x1.678b457413093p-10), e, -0x1.393c23bb421c7p-8), e, 0x1.8812bd3b1686cp-7), e, -0x1.7b92325f296d7p-6), e, 0x1.2c536917bbd3ep-5), e, -0x1.979989c7ae91fp-5), e, 0x1.f081496ca140bp-5), e, -0x1.1af35e6051319p-4), e, 0x1.3812debb847c1p-4), e, -0x1.5496d5e6ade2cp-4), e, 0x1.743842c93f5dfp-4), e, -0x1.999429e16025cp-4), e, 0x1.c71bd95d94f4bp-4), e, -0x1.fffff416e1334p-4), e, 0x1.249248d41b63p-3), e, -0x1.55555552b0f53p-3), e, 0x1.999999998d80ep-3), e, -0x1.ffffffffffe87p-3), e, 0x1.5555555555555p-2), fma(k * e, -0.5, k) - fma(e * 0.5, e, -s) + ((h - d) - s))
0.0 - cold(a < -708.0, h, d + (w + (m - (h - e))))
";

// x/(1+exp(-x)), the denominator as a pair, one division, the quotient corrected by its remainder. Worst
// error 1.31 ULP, sampled.
pub(super) const SILU: &str = "
z = fma(x, -0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, 0x1.62e42fefap-1, x)
r = fma(n, 0x1.cf79abc9e3b3ap-40, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, -0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, -0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, -0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, -0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, -1.0)
t = float_from_bits(bits(z) << 52)
s = 1.0 + t
d = fma(q, t, s)
l = fma(q, t, s - d) + where(t > 1.0, 1.0 - (s - t), t - (s - 1.0))
i = 1.0 / d
y = x * i
cold_d = 1.0 + q
cold_i = 1.0 / cold_d
cold_y = x * cold_i
cold_s = scale(fma(cold_i, fma(-cold_y, q - (cold_d - 1.0), fma(-cold_y, cold_d, x)), cold_y), -n)
cold(abs(x) > 600.0, where(x > 0.0, x, where(x < -760.0, x * 0.0, cold_s)), float_from_bits(bits(fma(i, fma(-y, l, fma(-y, d, x)), y)) | (bits(x) & -9223372036854775808)))
";

// max(x,0)+log1p(e), e=exp(-|x|) of the exp row as a pair; log1p(e)=e-e^2/2+e^3 R(e), R degree 20 on [0,1]
// (fpminimax); the sums of max(x,0), e and e^2/2 carry their rounding errors. Worst error 1.04 ULP, sampled.
pub(super) const SOFTPLUS: &str = "
a = float_from_bits(bits(x) | -9223372036854775808)
z = fma(a, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, a)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
P = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0)
p = fma(P, r, 1.0)
t = float_from_bits(bits(z) << 52)
e = cold(a < -708.0, where(a < -746.0, 0.0, scale(p, n)), p * t)
k = fma(P, r, 1.0 - p) * t
s = (e * 0.5) * e
m = maximum(x, 0.0)
h = m + e
d = h - s
w = fma((e + e) * s, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.6ac3c6da5d06cp-16, e, -0x1.060f35ba5279cp-12), e, 0x1.678b457413093p-10), e, -0x1.393c23bb421c7p-8), e, 0x1.8812bd3b1686cp-7), e, -0x1.7b92325f296d7p-6), e, 0x1.2c536917bbd3ep-5), e, -0x1.979989c7ae91fp-5), e, 0x1.f081496ca140bp-5), e, -0x1.1af35e6051319p-4), e, 0x1.3812debb847c1p-4), e, -0x1.5496d5e6ade2cp-4), e, 0x1.743842c93f5dfp-4), e, -0x1.999429e16025cp-4), e, 0x1.c71bd95d94f4bp-4), e, -0x1.fffff416e1334p-4), e, 0x1.249248d41b63p-3), e, -0x1.55555552b0f53p-3), e, 0x1.999999998d80ep-3), e, -0x1.ffffffffffe87p-3), e, 0x1.5555555555555p-2), fma(k * e, -0.5, k) - fma(e * 0.5, e, -s) + ((h - d) - s))
cold(a < -708.0, h, d + (w + (m - (h - e))))
";

// x n/(n+2), n=w(w+2), w=exp(x), where w, n, x n and the quotient carry their rounding errors; |x|>300 cold.
// Worst error 1.04 ULP, sampled.
pub(super) const MISH: &str = "
z = fma(x, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, x)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0)
t = float_from_bits(bits(z) << 52)
w = fma(q, t, t)
w2 = w + w
b = fma(w, w, w2)
wl = fma(q, t, t - w)
bl = fma(w2 + 2.0, wl, fma(w, w, w2 - b))
d = b + 2.0
dl = (b - (d - 2.0)) + bl
N = x * b
Nl = fma(x, b, -N) + x * bl
y0 = N / d
yn = y0 + (fma(-y0, d, N) + (Nl - y0 * dl)) / d
cold(~(abs(x) <= 300.0), where(x > 0.0, x, where(x < -760.0, x * 0.0, scale(fma(x, q, x), n))), float_from_bits(bits(yn) | (bits(x) & -9223372036854775808)))
";

// As gelu_erf f32, the exponent 1+a h, h degree 23 on [0,8.4] (weighted by the result's absolute error beyond 1), its last
// sum with its rounding error; 2^f without the 1 is multiplied by a 2^n. 0 for x<-8.4 (true value above -2e-16). Worst error
// 1.31 ULP for x >= -1, sampled.
pub(super) const GELU_ERF: &str = "
a = abs(x)
o = a > 8.4
c = where(o, 8.4, a)
q = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.a5c59193bfef7p-61, c, -0x1.aaf11df7aba47p-55), c, 0x1.8f94f3717a78bp-50), c, -0x1.c9022061b7b8bp-46), c, 0x1.6279cbfcbe477p-42), c, -0x1.84a01488025b0p-39), c, 0x1.2b0f880447062p-36), c, -0x1.23466fa654d43p-34), c, 0x1.26df21c0272b8p-34), c, 0x1.33a9e9fa5a353p-30), c, -0x1.3c90a7b4337a9p-27), c, 0x1.4af15544c4fc7p-25), c, -0x1.5cafed30ce302p-24), c, -0x1.72e3e9f76ff39p-24), c, 0x1.61972142a23c9p-20), c, -0x1.12b502e8617c3p-18), c, -0x1.3abcc247c9c12p-19), c, 0x1.3ba653b033dc8p-14), c, -0x1.40bfd8c49c7bep-12), c, 0x1.bf8d6abd4c921p-15), c, 0x1.c4242cb5880b7p-8), c, -0x1.ad6f35ddd961dp-5), c, -0x1.d63ed749972aap-2)
h = fma(q, c, -0x1.26aec21bce73cp0)
l = fma(q, c, -0x1.26aec21bce73cp0 - h)
z = fma(h, c, 1.0) + 0x1.80000000003fdp52
n = z - 0x1.80000000003fdp52
f = fma(l, c, fma(h, c, 1.0 - n))
u = f * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.e973178f84e2dp-32, f, 0x1.e61d4332c8c78p-28), f, 0x1.b52522bc19eeep-24), f, 0x1.62bfc6596b95ap-20), f, 0x1.ffcbfc6685efdp-17), f, 0x1.4309130f6cbdcp-13), f, 0x1.5d87fe789e96fp-10), f, 0x1.3b2ab6fb9fda6p-7), f, 0x1.c6b08d704a12cp-5), f, 0x1.ebfbdff82c5a6p-3), f, 0x1.62e42fefa39efp-1)
t = where(o, 0.0, a) * float_from_bits(bits(z) << 52)
where(x > 0.0, x, x * 0.0) - fma(t, u, t)
";

// x/(1+exp(-2u)) as silu f64; 2u=x(A+Bx^2) as a pair, A and B too, so that the error does not grow with u.
// Worst error 1.14 ULP, all x, sampled.
pub(super) const GELU_TANH: &str = "
v = x * x
g = v * 0x1.2444f2a4d8b4bp-4
h = g + 0x1.9884533d43651p0
b = h - g
e = (g - (h - b)) + (0x1.9884533d43651p0 - b) + fma(v, 0x1.2444f2a4d8b4bp-4, -g)
w = x * h
k = fma(x, h, -w) + x * (e + fma(fma(x, x, -v), 0x1.2444f2a4d8b4bp-4, fma(v, -0x1.6c843a29d1c7p-61, -0x1.cbc0d30ebfd15p-54)))
z = fma(w, -0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, 0x1.62e42fefap-1, w)
r = r0 + fma(n, 0x1.cf79abc9e3b3ap-40, k)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, -0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, -0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, -0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, -0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, -1.0)
t = float_from_bits(bits(z) << 52)
s = 1.0 + t
d = fma(q, t, s)
l = fma(q, t, s - d) + where(t > 1.0, 1.0 - (s - t), t - (s - 1.0))
i = 1.0 / d
y = x * i
cold_d = 1.0 + q
cold_i = 1.0 / cold_d
cold_y = x * cold_i
cold_s = scale(fma(cold_i, fma(-cold_y, q - (cold_d - 1.0), fma(-cold_y, cold_d, x)), cold_y), -n)
cold(~(abs(w) <= 600.0), where(x > 0.0, x, where(~(w >= -760.0), x * 0.0, cold_s)), float_from_bits(bits(fma(i, fma(-y, l, fma(-y, d, x)), y)) | (bits(x) & -9223372036854775808)))
";
