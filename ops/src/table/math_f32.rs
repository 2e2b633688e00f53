//! Bodies of mathematical functions at f32. Each states its method and its largest error in units of
//! the last place, over all inputs for f32 (against correctly rounded results) and sampled for f64.

// n=round(x/ln2-0.085) (so r in [-0.288,0.406], the split where |expm1(r)|<1/2 and n=1 stays exact),
// Cody-Waite with the rounding error c of r kept, q=r+r^2 P(r)+c, 2^n q+(2^n-1) fused; |x|>16.5 cold.
// Worst error 0.891 ULP.
pub(super) const EXP: &str = "
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
