//! Bodies of mathematical functions at f64. Each states its method and its largest error in units of
//! the last place, over all inputs for f32 (against correctly rounded results) and sampled for f64.

// as exp f32: biased magic add, Cody-Waite (36-bit ln2 head), degree 11 fpminimax; |x|>708 cold
// scale(). Worst error 0.859 ULP.
pub(super) const EXP: &str = "
z = fma(x, 0x1.71547652b82fep0, 0x1.80000000003ffp52)
n = z - 0x1.80000000003ffp52
r0 = fma(n, -0x1.62e42fefap-1, x)
r = fma(n, -0x1.cf79abc9e3b3ap-40, r0)
p = fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(fma(0x1.ad92fff286eb4p-26, r, 0x1.28adff1e4370dp-22), r, 0x1.71df18e4e1ff9p-19), r, 0x1.a019995cc2c61p-16), r, 0x1.a01a012ff1913p-13), r, 0x1.6c16c18477b36p-10), r, 0x1.1111111126b32p-7), r, 0x1.55555555506bap-5), r, 0x1.55555555554fep-3), r, 0x1.000000000000ap-1), r, 1.0), r, 1.0)
cold(abs(x) > 708.0, where(x > 710.0, x * 0x1p1023, where(x < -746.0, 0.0, scale(p, n))), p * float_from_bits(bits(z) << 52))
";

// fdlibm e_log scheme with own coefficients: x=2^k(1+f), 1+f in [sqrt1/2,sqrt2), v=f/(2+f),
// log(1+f)=f-(f^2/2-v(f^2/2+R(v^2))), R degree 7 in v^2 (fpminimax); k read by OR-ing the exponent
// into 2^52 (no i64->f64 conversion). Worst error 0.841 ULP.
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
