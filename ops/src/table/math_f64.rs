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

// As expm1 f32, degree 12. Worst error 0.891 ULP, sampled.
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
k0 = float_from_bits(lshr(d, 52) | 0x4330000000000000) - 0x1.00000000003ffp52
k = where(s, k0 - 54.0, k0)
f = float_from_bits((d & 0x000fffffffffffff) + 4604544269498187776) - 1.0
v = f / (f + 2.0)
w = v * v
h = 0.5 * (f * f)
R = w * fma(fma(fma(fma(fma(fma(0x1.2b5f5b2f84a73p-3, w, 0x1.39fdcbbcecb1p-3), w, 0x1.7462b925f9ff5p-3), w, 0x1.c71c62d649d8cp-3), w, 0x1.2492492dfb9b8p-2), w, 0x1.99999999952b9p-2), w, 0x1.5555555555558p-1)
y = fma(k, 0x1.62e42fefap-1, f - (h - fma(v, h + R, k * 0x1.cf79abc9e3b3ap-40)))
cold(~((x > 0.0) & (x <= 0x1.fffffffffffffp1023)), where(x == 0.0, -1.0 / abs(x), where(x > 0.0, x, (x - x) / (x - x))), y)
";

// Log f64 reduction; log(1+f)=a+b with a=f-f^2/2 and b its rounding errors plus the tail, times log2(e)
// as a pair, two-sum with k. Worst error 0.648 ULP, sampled.
pub(super) const LOG2: &str = "
s = x < 0x1p-1022
u = where(s, x * 0x1p54, x)
d = bits(u) + 2638149301829632
k0 = float_from_bits(lshr(d, 52) | 0x4330000000000000) - 0x1.00000000003ffp52
k = where(s, k0 - 54.0, k0)
f = float_from_bits((d & 0x000fffffffffffff) + 4604544269498187776) - 1.0
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
k0 = float_from_bits(lshr(d, 52) | 0x4330000000000000) - 0x1.00000000003ffp52
k = where(s, k0 - 54.0, k0)
f = float_from_bits((d & 0x000fffffffffffff) + 4604544269498187776) - 1.0
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
d = bits(u) - 0x3fe8000000000000
j = d & -4503599627370496
k = float_from_bits(lshr(d + 0x3ff0000000000000, 52) | 0x4330000000000000) - 0x1.00000000003ffp52
f = float_from_bits(bits(x) - j) - fma(float_from_bits(0x4000000000000000 - j), -0.5, 1.0)
v = f / (f + 2.0)
w = v * v
h = 0.5 * (f * f)
R = w * fma(fma(fma(fma(fma(fma(fma(0x1.16ea8853e3eecp-3, w, 0x1.0e8136b53618dp-3), w, 0x1.3b2a7126a1deap-3), w, 0x1.745ca7aa58afdp-3), w, 0x1.c71c72f137c3fp-3), w, 0x1.24924923cccf4p-2), w, 0x1.999999999a008p-2), w, 0x1.5555555555555p-1)
y = fma(k, 0x1.62e42fefap-1, f - (h - fma(v, h + R, k * 0x1.cf79abc9e3b3ap-40)))
cold(~((x > -1.0) & (x <= 0x1.fffffffffffffp1023)), where(x == -1.0, -1.0 / abs(x + 1.0), where(x > 0.0, x, (x - x) / (x - x))), where(x == 0.0, x, y))
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
m = fma(n, 0x1.c1cd129024e08p-107, fma(n, 0x1.1a62633145c06p-54, -v)) + (v - (r0 - r))
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
m = fma(n, 0x1.c1cd129024e08p-107, fma(n, 0x1.1a62633145c06p-54, -v)) + (v - (r0 - r))
s = r * r
a = r - fma(r * s, fma(fma(fma(fma(fma(-0x1.5e0ddfe0fe1c6p-33, s, 0x1.ae6016f95fep-26), s, -0x1.71de37a8762a1p-19), s, 0x1.a01a019e9a701p-13), s, -0x1.1111111110c6bp-7), s, 0x1.5555555555555p-3), m)
h = fma(s, -0.5, 1.0)
b = h + fma(s * s, fma(fma(fma(fma(fma(-0x1.9070812d2c179p-37, s, 0x1.1eeb53c6eb1bdp-29), s, -0x1.27e4f9ff3296dp-22), s, 0x1.a01a019f359cep-16), s, -0x1.6c16c16c168c1p-10), s, 0x1.5555555555555p-5), fma(r, m, fma(s, -0.5, 1.0 - h)))
g = where((i & 1) == 0, b, a)
y = float_from_bits(bits(g) ^ (((i + 1) & 2) << 62))
cold(abs(x) > 0x1p40, call_cos(x), y)
";

// Sin f64 reduction; t=r+r^3 T(r^2) degree 14 as a pair, -1/t with one correction in odd quadrants; huge
// |x| cold as sin f64. Worst error 1.100 ULP, sampled.
pub(super) const TAN: &str = "
z = fma(x, 0x1.45f306dc9c883p-1, 0x1.8p52)
n = z - 0x1.8p52
i = bits(z)
r0 = fma(n, -0x1.921fb54442d18p0, x)
v = n * 0x1.1a62633145c06p-54
r = r0 - v
m = fma(n, 0x1.c1cd129024e08p-107, fma(n, 0x1.1a62633145c06p-54, -v)) + (v - (r0 - r))
ss = r * r
uu = fma(r * ss, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.1cfe8adade61ep-17, ss, -0x1.333d3dd277f35p-16), ss, 0x1.3173ca9e1725p-15), ss, -0x1.696733acc1079p-17), ss, 0x1.cfe6fb4bdd18cp-15), ss, 0x1.7a4cdafeb285p-14), ss, 0x1.f9ad1ef5c6b06p-13), ss, 0x1.3520024aa9414p-11), ss, 0x1.7da7765b84e91p-10), ss, 0x1.d6d39e92c1296p-9), ss, 0x1.226e361f16408p-7), ss, 0x1.664f487fab288p-6), ss, 0x1.ba1ba1ba1fda5p-5), ss, 0x1.1111111111142p-3), ss, 0x1.5555555555555p-2), -fma(m, ss, m))
tt = r + uu
ll = uu - (tt - r)
qq = -1.0 / tt
y = where((i & 1) == 0, tt, fma(qq, fma(qq, ll, fma(qq, tt, 1.0)), qq))
cold(abs(x) > 0x1p40, call_tan(x), y)
";

// As asin f32, degree 12. Worst error 1.960 ULP, sampled.
pub(super) const ASIN: &str = "
a = abs(x)
b = a < 0.5
v = where(b, x * x, fma(a, -0.5, 0.5))
q = where(b, a, sqrt(v))
c = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.dc6905434ddcdp-6, v, -0x1.f6744bcdc13b3p-7), v, 0x1.224dcb3a3601dp-6), v, 0x1.5dc12cbedf1a3p-8), v, 0x1.5336524f28db7p-7), v, 0x1.77ff42ab32fa6p-7), v, 0x1.c9d336dfb817cp-7), v, 0x1.1c4d0fc1b660ep-6), v, 0x1.6e8bb383c0f08p-6), v, 0x1.f1c71c1187edcp-6), v, 0x1.6db6db6e48dffp-5), v, 0x1.3333333332d9ep-4), v, 0x1.5555555555556p-3)
d = q + q
y = where(b, fma(q * v, c, q), (0x1.921fb54442d18p0 - d) - fma(d * v, c, -0x1.1a62633145c07p-54))
float_from_bits(bits(y) | (bits(x) & -9223372036854775808))
";

// As acos f32. Worst error 1.053 ULP, sampled.
pub(super) const ACOS: &str = "
a = abs(x)
b = a < 0.5
v = where(b, x * x, fma(a, -0.5, 0.5))
q = where(b, a, sqrt(v))
p = fma(q * v, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.dc6905434ddcdp-6, v, -0x1.f6744bcdc13b3p-7), v, 0x1.224dcb3a3601dp-6), v, 0x1.5dc12cbedf1a3p-8), v, 0x1.5336524f28db7p-7), v, 0x1.77ff42ab32fa6p-7), v, 0x1.c9d336dfb817cp-7), v, 0x1.1c4d0fc1b660ep-6), v, 0x1.6e8bb383c0f08p-6), v, 0x1.f1c71c1187edcp-6), v, 0x1.6db6db6e48dffp-5), v, 0x1.3333333332d9ep-4), v, 0x1.5555555555556p-3), q)
u = where(x < 0.0, p, -p)
where(b, 0x1.921fb54442d18p0 + (u + 0x1.1a62633145c07p-54), where(x < 0.0, 0x1.921fb54442d18p1 - (p + p - 0x1.1a62633145c07p-53), p + p))
";

// As atan f32, degree 19. Worst error 1.553 ULP, sampled.
pub(super) const ATAN: &str = "
a = abs(x)
b = a > 1.0
v = where(b, 1.0 / a, a)
s = v * v
p = fma(v * s, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.40850a90334b4p-16, s, -0x1.b82dcfd6cb902p-13), s, 0x1.1e928b74d0d8p-10), s, -0x1.d9860bac39976p-9), s, 0x1.193ce7df82474p-7), s, -0x1.0329a099c2cb2p-6), s, 0x1.88d42f2ebb999p-6), s, -0x1.01f23a18baa2cp-5), s, 0x1.342771d774ea3p-5), s, -0x1.5d73a7b24ba3fp-5), s, 0x1.84449221d8641p-5), s, -0x1.aec5c05b00e1bp-5), s, 0x1.e1d2171a868fbp-5), s, -0x1.111022acfd3p-4), s, 0x1.3b139d554fce8p-4), s, -0x1.745d1629d2d2ap-4), s, 0x1.c71c71bd6d43ap-4), s, -0x1.249249247bfe2p-3), s, 0x1.9999999999717p-3), s, -0x1.5555555555555p-2), v)
y = where(b, 0x1.921fb54442d18p0 - (p - 0x1.1a62633145c07p-54), p)
float_from_bits(bits(y) | (bits(x) & -9223372036854775808))
";

// As sinh f32. Worst error 1.569 ULP, sampled.
pub(super) const SINH: &str = "
a = abs(x)
z = fma(a, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, a)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0), r, 1.0)
h = cold(a > 708.0, where(a > 712.0, a * 0x1p1023, scale(p, n - 1.0)), p * (float_from_bits(bits(z) << 52) * 0.5))
s = x * x
m = fma(a * s, fma(fma(fma(fma(fma(fma(fma(0x1.d00af3920fd11p-47, s, 0x1.9942af1d32467p-41), s, 0x1.61443f2855b6fp-33), s, 0x1.ae6425c73bccbp-26), s, 0x1.71de3a7d51307p-19), s, 0x1.a01a019ff8777p-13), s, 0x1.11111111111d8p-7), s, 0x1.5555555555555p-3), a)
y = where(a < 1.0, m, h - 0.25 / h)
float_from_bits(bits(y) | (bits(x) & -9223372036854775808))
";

// As cosh f32. Worst error 1.271 ULP, sampled.
pub(super) const COSH: &str = "
a = abs(x)
z = fma(a, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, a)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0), r, 1.0)
h = cold(a > 708.0, where(a > 712.0, a * 0x1p1023, scale(p, n - 1.0)), p * (float_from_bits(bits(z) << 52) * 0.5))
h + 0.25 / h
";

// As tanh f32: |x|<0.65 degree-11 odd polynomial, else 1-2/(exp(2a)+1). Worst error 1.147 ULP, sampled.
pub(super) const TANH: &str = "
a = abs(x)
c = where(a > 20.0, 20.0, a)
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

// As sigmoid f32 with the exp f64 pieces. Worst error 1.987 ULP, sampled.
pub(super) const SIGMOID: &str = "
z = fma(x, -0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, 0x1.62e42fefap-1, x)
r = fma(n, 0x1.cf79abc9e3b3ap-40, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, -0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, -0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, -0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, -0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, -1.0)
t = float_from_bits(bits(z) << 52)
d = fma(q, t, 1.0) + t
cold(abs(x) > 708.0, where(x > 0.0, 1.0, where(x < -746.0, 0.0, scale(1.0 / (1.0 + q), -n))), 1.0 / d)
";

// -softplus(-x). Worst error 2.022 ULP, sampled.
pub(super) const LOGSIGMOID: &str = "
a = -abs(x)
z = fma(a, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, a)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0), r, 1.0)
e = cold(a < -708.0, where(a < -746.0, 0.0, scale(p, n)), p * float_from_bits(bits(z) << 52))
fma(-e, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.a79a01f98cacp-16, e, -0x1.31119e01f26bdp-12), e, 0x1.a14c59038be11p-10), e, -0x1.6a8a5a41700a1p-8), e, 0x1.c4bc7703b756ap-7), e, -0x1.b5a5d9efc04b1p-6), e, 0x1.5a3c82a01f805p-5), e, -0x1.d6d10eff29da1p-5), e, 0x1.2018fd33c8ecbp-4), e, -0x1.4af77284365fep-4), e, 0x1.7129b5bf1ceb2p-4), e, -0x1.98d146322ddd7p-4), e, 0x1.c6f65845fa37ap-4), e, -0x1.fffa7d75cbdefp-4), e, 0x1.2491fde6d47b8p-3), e, -0x1.55554fa78d944p-3), e, 0x1.9999995088aefp-3), e, -0x1.fffffffdc61d3p-3), e, 0x1.5555555550de2p-2), e, -0x1.fffffffffff9ap-2), e, 0x1p0), where(x > 0.0, 0.0, x))
";

// As silu f32. Worst error 1.925 ULP, sampled.
pub(super) const SILU: &str = "
z = fma(x, -0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, 0x1.62e42fefap-1, x)
r = fma(n, 0x1.cf79abc9e3b3ap-40, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, -0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, -0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, -0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, -0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, -1.0)
t = float_from_bits(bits(z) << 52)
d = fma(q, t, 1.0) + t
cold(abs(x) > 708.0, where(x > 0.0, x, where(x < -760.0, x * 0.0, scale(x / (1.0 + q), -n))), x / d)
";

// As softplus f32, log1p(e)/e degree 20. Worst error 1.884 ULP, sampled.
pub(super) const SOFTPLUS: &str = "
a = -abs(x)
z = fma(a, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, a)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0), r, 1.0)
e = cold(a < -708.0, where(a < -746.0, 0.0, scale(p, n)), p * float_from_bits(bits(z) << 52))
fma(e, fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.a79a01f98cacp-16, e, -0x1.31119e01f26bdp-12), e, 0x1.a14c59038be11p-10), e, -0x1.6a8a5a41700a1p-8), e, 0x1.c4bc7703b756ap-7), e, -0x1.b5a5d9efc04b1p-6), e, 0x1.5a3c82a01f805p-5), e, -0x1.d6d10eff29da1p-5), e, 0x1.2018fd33c8ecbp-4), e, -0x1.4af77284365fep-4), e, 0x1.7129b5bf1ceb2p-4), e, -0x1.98d146322ddd7p-4), e, 0x1.c6f65845fa37ap-4), e, -0x1.fffa7d75cbdefp-4), e, 0x1.2491fde6d47b8p-3), e, -0x1.55554fa78d944p-3), e, 0x1.9999995088aefp-3), e, -0x1.fffffffdc61d3p-3), e, 0x1.5555555550de2p-2), e, -0x1.fffffffffff9ap-2), e, 0x1p0), where(x < 0.0, 0.0, x))
";

// As gelu_tanh f32. Worst error 2.305 ULP for x >= -1, sampled.
pub(super) const GELU_TANH: &str = "
v = x * x
w = x * fma(v, 0x1.2444f2a4d8b4bp-4, 0x1.9884533d43651p0)
z = fma(w, -0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, 0x1.62e42fefap-1, w)
r = fma(n, 0x1.cf79abc9e3b3ap-40, r0)
q = r * fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(-0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, -0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, -0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, -0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, -0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, -1.0)
t = float_from_bits(bits(z) << 52)
d = fma(q, t, 1.0) + t
cold(abs(w) > 708.0, where(x > 0.0, x, where(w < -760.0, x * 0.0, scale(x / (1.0 + q), -n))), x / d)
";
