//! The Bessel functions of the first and second kind of orders 0 and 1: one text of f64 for both types.
//!
//! Up to 8, polynomials of 1 - x^2 / 64, of which those of J have coefficients of one sign; zeros, in two pieces, are
//! factors, which keeps errors relative next to them (two zeros of each J, the first of each Y). Above 8
//! J + iY = sqrt(2 M / (pi x)) exp(i (x - (2n + 1) pi / 4 + T / x)), M and T polynomials of 1 / x^2 (Abramowitz and
//! Stegun 9.2.17). All of them interpolate at Chebyshev nodes, in 50 digits. Worst errors against 40 digits, sampled from
//! 1e-6 to 1e7, as parts of the amplitude sqrt(2 / (pi x)): j0 6.7e-16, j1 5.5e-16, y0 1.1e-15, y1 1.4e-15.
use super::part;
use rusttorch_ir::op::Class::*;
use rusttorch_ir::op::Row;

// bessel_wave above 2^18, where T and M are their first terms. Of cos a + sin a and sin a - cos a, whose product is
// -cos(2a), the one that cancels is computed by the other (fdlibm's e_j0.c).
const HUGE: &str = "
s = sin(a)
c = cos(a)
r = 1.0 / a
h = r * lead
w = fma(h * h, -0.5, 1.0)
e = cos(a + a)
far = a > 0x1p1000
plus = where(far | (s * c > 0.0), c + s, e / (c - s))
minus = where(far | (s * c < 0.0), s - c, -e / (c + s))
u = fma(plus, w, -(h * minus))
v = fma(minus, w, h * plus)
y = where(turn == 0.0, u, where(turn < 0.0, v, -u))
where(a == inf, 0.0, y * sqrt(r * fma(r * r, lead, 1.0)) * 0.5641895835477563)
";

// sqrt(m) cos(a - pi/4 + h + turn pi/2), h small, m the square of the amplitude: a less an odd multiple of pi/4, which is a
// product without error (33 bits) and a rest, then the polynomials of sin and cos, of which turn selects.
const WAVE: &str = "
z = fma(a, 0x1.45f306dc9c883p-1, -0.5) + 0x1.8p52
n = (z - 0x1.8p52) + 0.5
p = fma(n, -0x1.0b4611a626331p-34, fma(n, -0x1.921fb544p0, a)) + h
s = p * p
ss = s * s
i = bits(z + turn)
c = fma(ss, fma(fma(fma(-0x1.939464103e9a7p-37, ss, -0x1.27e4fb76f18d7p-22), ss, -0x1.6c16c16c16c16p-10), s, fma(fma(fma(0x1.ab473b0809a28p-45, ss, 0x1.1eed8db3999bcp-29), ss, 0x1.a01a01a019bfp-16), ss, 0x1.5555555555555p-5)), fma(s, -0.5, 1.0))
g = where((i & 1) == 0, c, fma(-(p * s), fma(fma(fma(-0x1.61211e62d2a36p-33, ss, -0x1.71de3a5415c08p-19), ss, -0x1.111111111111p-7), s, fma(fma(fma(0x1.aae09b3e59826p-41, ss, 0x1.ae645394e2fcap-26), ss, 0x1.a01a01a0196bcp-13), ss, 0x1.5555555555555p-3)), p))
y = float_from_bits(bits(g) ^ (((i + 1) & 2) << 62)) * sqrt(m)
cold(a > 0x1p18, bessel_huge(a, turn, lead), y)
";

const LARGE_0: &str = "
r = 1.0 / a
u = r * r
uu = u * u
bessel_wave(a, r * fma(fma(fma(fma(fma(0x1.1cd01bcd8419bp28, uu, 0x1.0369456d43a2ep19), uu, 0x1.07a1158a953d9p9), uu, 0x1.a355450687e0bp0), uu, 0x1.0aaaaaa982144p-4), u, fma(fma(fma(fma(fma(-0x1.4f9f1d1830ac7p31, uu, -0x1.d13055da644b5p23), uu, -0x1.f3f9fa39f7801p13), uu, -0x1.7732b7e708b3ap4), uu, -0x1.ad332d461d447p-3), uu, -0x1.fffffffffffb2p-4)), r * fma(fma(fma(fma(fma(-0x1.9b180355f38fep25, uu, -0x1.9a39f5c88c35ap16), uu, -0x1.0e999f82de9b3p7), uu, -0x1.661846d022a71p-1), uu, -0x1.45f306dc6c8f3p-4), u, fma(fma(fma(fma(fma(0x1.db2fc3ef81283p28, uu, 0x1.5af2590d45664p21), uu, 0x1.b5a5f74ec7656p11), uu, 0x1.df89a4febaeb9p2), uu, 0x1.13050cd5324a8p-3), uu, 0x1.45f306dc9c881p-1)), turn, -0.125)
";

const LARGE_1: &str = "
r = 1.0 / a
u = r * r
uu = u * u
bessel_wave(a, r * fma(fma(fma(fma(fma(-0x1.48c156b92d15ep28, uu, -0x1.2fc76dfbbf83bp19), uu, -0x1.44d70ea351128p9), uu, -0x1.2f46b71f0a04p1), uu, -0x1.4fffffff57699p-3), u, fma(fma(fma(fma(fma(0x1.824dcbfe4a6dep31, uu, 0x1.0dd3f50fd68d3p24), uu, 0x1.2a0eeac7f0e8fp14), uu, 0x1.e9868fc1d19a5p4), uu, 0x1.7bccc96ea7491p-2), uu, 0x1.7ffffffffffeap-2)), r * fma(fma(fma(fma(fma(0x1.d84f34ab2d7c7p25, uu, 0x1.de20741307ce2p16), uu, 0x1.4afa5f8810928p7), uu, 0x1.f5557285eb251p-1), uu, 0x1.e8ec8a4acfa1p-3), u, fma(fma(fma(fma(fma(-0x1.1035cba79297fp29, uu, -0x1.909a1bde2e04bp21), uu, -0x1.039162cf254d6p12), uu, -0x1.344b4f14b62a8p3), uu, -0x1.ca5dc090d87b1p-3), uu, 0x1.45f306dc9c884p-1)), turn, 0.375)
";

const SMALL_J0: &str = "
t = fma(a * a, -0x1p-6, 1.0)
tt = t * t
(((a - 0x1.33d152e971b4p1) + 0x1.0f539d7da258ep-53) * (a + 0x1.33d152e971b4p1)) * (((a - 0x1.6148f5b2c2e45p2) - 0x1.75054cd60a517p-54) * (a + 0x1.6148f5b2c2e45p2)) * fma(fma(fma(fma(fma(fma(fma(0x1.ef58c45e74c15p-35, tt, 0x1.5066324dbc3e3p-27), tt, 0x1.a7dc643803048p-21), tt, 0x1.f0aff3acda9f9p-16), tt, 0x1.bd3c2ed68b157p-12), tt, 0x1.ae528ba679fa7p-10), tt, 0x1.86c89ec148fc1p-11), t, fma(fma(fma(fma(fma(fma(fma(0x1.cde1834d41769p-38, tt, 0x1.e08f017ca539cp-31), tt, 0x1.9c3732a2def89p-24), tt, 0x1.6893386640941p-18), tt, 0x1.0d97876b9ea0dp-13), tt, 0x1.0a698d0a18237p-10), tt, 0x1.a1fee49614fd7p-10), tt, 0x1.70d77f560145cp-14))
";

const SMALL_J1: &str = "
t = fma(a * a, -0x1p-6, 1.0)
tt = t * t
(((a - 0x1.ea75575af6f09p1) + 0x1.60155a9d1b256p-53) * (a + 0x1.ea75575af6f09p1)) * (((a - 0x1.c0ff5f3b4725p2) + 0x1.b226d9d243827p-54) * (a + 0x1.c0ff5f3b4725p2)) * fma(fma(fma(fma(fma(fma(fma(0x1.04394f143219bp-39, tt, 0x1.900166ba5b334p-32), tt, 0x1.29bd06993095bp-25), tt, 0x1.abca72ba193e8p-20), tt, 0x1.f27e2f165cfap-16), tt, 0x1.5dc281b8910c7p-13), tt, 0x1.3848b9914d387p-13), t, fma(fma(fma(fma(fma(fma(fma(0x1.b3b24954f8236p-43, tt, 0x1.083e8d1c105adp-35), tt, 0x1.094f52f6ce46p-28), tt, 0x1.16e74509b6f8p-22), tt, 0x1.064151334933p-17), tt, 0x1.606db335e236dp-14), tt, 0x1.bdc39549724f3p-13), tt, 0x1.517f30234baa5p-15))
";

const J0: &str = "
a = abs(x)
cold(a > 8.0, bessel_large_0(a, 0.0), bessel_small_j0(a))
";

const J1: &str = "
a = abs(x)
y = bessel_large_1(a, -1.0)
cold(a > 8.0, where(x < 0.0, -y, y), bessel_small_j1(a) * x)
";

// 2 / pi log(x / z) J0 has the zero of Y0, z, and so has what is left.
const Y0: &str = "
d = bits(x) + 3315961383130154
k = float_from_bits(lshr(d, 52) | 4841369599423283200) - 0x1.00000000003ffp52
m = float_from_bits((d & 4503599627370495) + 4603866457416887254)
v = ((m - 0x1.c982eb8d417eap-1) - 0x1.ea9d270347f83p-56) / (m + 0x1.c982eb8d417eap-1)
w = v * v
ww = w * w
l = fma(k, 0x1.62e42fefa39efp-1, v * fma(fma(fma(fma(fma(0x1.0c039c49989c6p-3, ww, 0x1.3b1c355a8f7a2p-3), ww, 0x1.c71c720159177p-3), ww, 0x1.9999999999a38p-2), w, fma(fma(fma(0x1.0fbe95d71602p-3, ww, 0x1.745cf9048dd95p-3), ww, 0x1.2492492476cccp-2), ww, 0x1.5555555555555p-1)), w, 2.0))
t = fma(x * x, -0x1p-6, 1.0)
tt = t * t
y = fma(0.6366197723675814 * l, bessel_small_j0(x), ((x - 0x1.c982eb8d417eap-1) - 0x1.ea9d270347f83p-56) * (x + 0x1.c982eb8d417eap-1) * fma(fma(fma(fma(fma(fma(fma(0x1.92f662b55331bp-24, tt, 0x1.92d6268aa33a2p-17), tt, 0x1.437adf88692d7p-11), tt, 0x1.a345b83476adcp-7), tt, 0x1.36f89bc0c6e1p-4), tt, 0x1.05f9798f428ccp-5), tt, -0x1.ed742d80439b2p-6), t, fma(fma(fma(fma(fma(fma(fma(0x1.f93d33ffd590cp-27, tt, 0x1.62cc90bb5f724p-20), tt, 0x1.8fdf355bcf3acp-14), tt, 0x1.a2d3194baba53p-9), tt, 0x1.354107222b3bep-5), tt, 0x1.6bd3652d93d29p-4), tt, -0x1.3cd59e4f9484dp-5), tt, -0x1.0997ca1be4067p-12)))
n = 0.6366197723675814 * (log(x) - 0.11593151565841245)
cold(~(x >= 0x1p-1022), n, cold(x > 8.0, bessel_large_0(x, -1.0), y))
";

const Y1: &str = "
d = bits(x) + -2493253691296175
k = float_from_bits(lshr(d, 52) | 4841369599423283200) - 0x1.00000000003ffp52
m = float_from_bits((d & 4503599627370495) + 4609675672491313583)
v = ((m - 0x1.193bed4dff243p1) + 0x1.bd1e50d219bfdp-55) / (m + 0x1.193bed4dff243p1)
w = v * v
ww = w * w
l = fma(k, 0x1.62e42fefa39efp-1, v * fma(fma(fma(fma(fma(0x1.0c039c49989c6p-3, ww, 0x1.3b1c355a8f7a2p-3), ww, 0x1.c71c720159177p-3), ww, 0x1.9999999999a38p-2), w, fma(fma(fma(0x1.0fbe95d71602p-3, ww, 0x1.745cf9048dd95p-3), ww, 0x1.2492492476cccp-2), ww, 0x1.5555555555555p-1)), w, 2.0))
t = fma(x * x, -0x1p-6, 1.0)
tt = t * t
y = fma(0.6366197723675814 * l, bessel_small_j1(x) * x, ((x - 0x1.193bed4dff243p1) + 0x1.bd1e50d219bfdp-55) * (x + 0x1.193bed4dff243p1) * (fma(fma(fma(fma(fma(fma(fma(-0x1.bd2cade8dc7e8p-20, tt, -0x1.7976ccec1053ep-13), tt, -0x1.cab6e0f32da54p-8), tt, -0x1.8375040c0b736p-4), tt, -0x1.966688811def1p-3), tt, 0x1.bf7a15d8ccd3bp-2), tt, -0x1.5f3dab5fc352cp-4), t, fma(fma(fma(fma(fma(fma(fma(-0x1.4f01f3d9425dap-22, tt, -0x1.796ec6b38d016p-16), tt, -0x1.4a416ca3370fep-10), tt, -0x1.ed1f76f11d94dp-6), tt, -0x1.9135b7f879526p-3), tt, 0x1.7d62f36d0ed41p-4), tt, 0x1.0cca420d0e34ep-2), tt, -0x1.84d9e0e6ad3cfp-5)) / x))
n = where(x < 0.0, nan, -0.6366197723675814 / abs(x))
cold(~(x >= 0x1p-1022), n, cold(x > 8.0, bessel_large_1(x, 2.0), y))
";

const DOC: &str = "A part of the Bessel functions.";

pub(super) const ROWS: &[Row] = &[
    part("bessel_huge", "a, turn, lead", DOC, &[(F64, HUGE)]),
    part("bessel_wave", "a, h, m, turn, lead", DOC, &[(F64, WAVE)]),
    part("bessel_large_0", "a, turn", DOC, &[(F64, LARGE_0)]),
    part("bessel_large_1", "a, turn", DOC, &[(F64, LARGE_1)]),
    part("bessel_small_j0", "a", DOC, &[(F64, SMALL_J0)]),
    part("bessel_small_j1", "a", DOC, &[(F64, SMALL_J1)]),
    part("bessel_j0_f64", "x", DOC, &[(F64, J0)]),
    part("bessel_j1_f64", "x", DOC, &[(F64, J1)]),
    part("bessel_y0_f64", "x", DOC, &[(F64, Y0)]),
    part("bessel_y1_f64", "x", DOC, &[(F64, Y1)]),
];
