//! Special functions that `libm` lacks, at f64. Errors are against mpmath-grade values (SciPy's), in
//! `ops`' row tests.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

/// Horner, highest coefficient first.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

/// The derivative of ln |gamma|: reflection, recurrence up to 10, asymptotic series. Close to its zeros
/// the error is absolute.
pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        if x == x.trunc() {
            return f64::NAN;
        }
        // By the fraction, of which the tangent is exact to the last places.
        let fraction = x - x.trunc();
        return digamma(1.0 - x) - PI / libm::tan(PI * fraction);
    }
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    // B(2k) / 2k.
    let series = [1.0 / 12.0, -691.0 / 32760.0, 1.0 / 132.0, -1.0 / 240.0, 1.0 / 252.0, -1.0 / 120.0, 1.0 / 12.0];
    let tail = if x < 1e17 { z * polynomial(z, &series) } else { 0.0 };
    sum + libm::log(x) - 0.5 / x - tail
}

/// The derivative of digamma.
pub fn trigamma(x: f64) -> f64 {
    if x < 0.5 {
        if x.is_infinite() {
            return f64::NAN;
        }
        let s = libm::sin(PI * (x - x.trunc()));
        return PI * PI / (s * s) - trigamma(1.0 - x);
    }
    let (mut x, mut sum) = (x, 0.0);
    while x < 12.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    // B(2k).
    let series = [7.0 / 6.0, -691.0 / 2730.0, 5.0 / 66.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 1.0 / 6.0];
    sum + 1.0 / x + z * (0.5 + polynomial(z, &series) / x)
}

/// The center and tails of the inverse normal distribution function (Wichura 1988, AS 241, PPND16): `q` is
/// p - 1/2, `tail` the smaller one of p and 1 - p.
fn normal_quantile(q: f64, tail: f64) -> f64 {
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        let above = [
            2.509_080_928_730_122_7e3,
            3.343_057_558_358_813e4,
            6.726_577_092_700_87e4,
            4.592_195_393_154_987e4,
            1.373_169_376_550_946e4,
            1.971_590_950_306_551_3e3,
            1.331_416_678_917_843_8e2,
            3.387_132_872_796_366_5,
        ];
        let below = [
            5.226_495_278_852_854e3,
            2.872_908_573_572_194_3e4,
            3.930_789_580_009_271e4,
            2.121_379_430_158_659_7e4,
            5.394_196_021_424_751e3,
            6.871_870_074_920_579e2,
            4.231_333_070_160_091e1,
            1.0,
        ];
        return q * polynomial(r, &above) / polynomial(r, &below);
    }
    let r = (-libm::log(tail)).sqrt();
    let (above, below, r) = if r <= 5.0 {
        let above = [
            7.745_450_142_783_414e-4,
            2.272_384_498_926_918_4e-2,
            2.417_807_251_774_506e-1,
            1.270_458_252_452_368_4,
            3.647_848_324_763_204_5,
            5.769_497_221_460_691,
            4.630_337_846_156_546,
            1.423_437_110_749_683_5,
        ];
        let below = [
            1.050_750_071_644_416_9e-9,
            5.475_938_084_995_345e-4,
            1.519_866_656_361_645_7e-2,
            1.481_039_764_274_800_8e-1,
            6.897_673_349_851e-1,
            1.676_384_830_183_803_8,
            2.053_191_626_637_759,
            1.0,
        ];
        (above, below, r - 1.6)
    } else {
        let above = [
            2.010_334_399_292_288_1e-7,
            2.711_555_568_743_487_6e-5,
            1.242_660_947_388_078_4e-3,
            2.653_218_952_657_612_4e-2,
            2.965_605_718_285_048_7e-1,
            1.784_826_539_917_291_3,
            5.463_784_911_164_114,
            6.657_904_643_501_103,
        ];
        let below = [
            2.044_263_103_389_939_8e-15,
            1.421_511_758_316_446e-7,
            1.846_318_317_510_054_8e-5,
            7.868_691_311_456_133e-4,
            1.487_536_129_085_061_5e-2,
            1.369_298_809_227_358e-1,
            5.998_322_065_558_88e-1,
            1.0,
        ];
        (above, below, r - 5.0)
    };
    (polynomial(r, &above) / polynomial(r, &below)).copysign(q)
}

/// The inverse of the normal distribution function.
pub fn ndtri(p: f64) -> f64 {
    match p {
        _ if !(0.0..=1.0).contains(&p) => f64::NAN,
        0.0 => f64::NEG_INFINITY,
        1.0 => f64::INFINITY,
        _ => normal_quantile(p - 0.5, p.min(1.0 - p)),
    }
}

/// The inverse of erf.
pub fn erfinv(x: f64) -> f64 {
    match x.abs() {
        1.0 => f64::INFINITY.copysign(x),
        m if m < 1.0 => normal_quantile(0.5 * x, 0.5 * (1.0 - m)) / SQRT_2,
        _ => f64::NAN,
    }
}

/// exp(x^2) erfc(x): the square with its rounding error, and from 25 on the asymptotic series.
pub fn erfcx(x: f64) -> f64 {
    if x < 25.0 {
        let square = x * x;
        let rest = libm::fma(x, x, -square);
        let scaled = libm::exp(square) * libm::erfc(x);
        return if scaled.is_finite() { scaled + scaled * rest } else { scaled };
    }
    let z = 0.5 / (x * x);
    let series = polynomial(z, &[945.0, -105.0, 15.0, -3.0, 1.0]);
    0.5 * FRAC_2_SQRT_PI / x * (1.0 - z * series)
}

/// exp(-|x|) I_n(x) for n of 0 and 1: the power series, whose terms are positive, or the asymptotic one.
fn bessel_scaled(order: f64, x: f64) -> f64 {
    let m = x.abs();
    if m <= 20.0 {
        return libm::exp(-m) * bessel_series(order, m);
    }
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        let (k, odd) = (f64::from(k), f64::from(2 * k - 1));
        let next = term * (odd * odd - 4.0 * order * order) / (8.0 * k * m);
        if next.abs() >= f64::abs(term) || next.abs() < 1e-18 {
            break;
        }
        term = next;
        sum += term;
    }
    // A part of m, where 2 pi m would overflow.
    let (part, root) = if m > 1e300 { (0.0625 * m, 0.25) } else { (m, 1.0) };
    root * (sum / (2.0 * PI * part).sqrt())
}

/// I_n of 0 <= x <= 20.
fn bessel_series(order: f64, x: f64) -> f64 {
    let quarter = 0.25 * x * x;
    let mut term = if order == 0.0 { 1.0 } else { 0.5 * x };
    let (mut sum, mut k) = (term, 1.0);
    while term > 1e-18 * sum {
        term *= quarter / (k * (k + order));
        sum += term;
        k += 1.0;
    }
    sum
}

fn bessel(order: f64, x: f64) -> f64 {
    let m = x.abs();
    if m <= 20.0 {
        return bessel_series(order, m);
    }
    // In halves, so that exp does not overflow before the product does.
    let half = libm::exp(0.5 * m);
    bessel_scaled(order, m) * half * half
}

/// The modified Bessel function of the first kind of order 0.
pub fn i0(x: f64) -> f64 {
    if x.is_infinite() { f64::INFINITY } else { bessel(0.0, x) }
}

/// exp(-|x|) i0(x).
pub fn i0e(x: f64) -> f64 {
    bessel_scaled(0.0, x)
}

/// The modified Bessel function of the first kind of order 1.
pub fn i1(x: f64) -> f64 {
    match x {
        // As PyTorch: no negative zero.
        0.0 => 0.0,
        _ if x.is_infinite() => x,
        _ => bessel(1.0, x).copysign(x),
    }
}

/// exp(-|x|) i1(x).
pub fn i1e(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { bessel_scaled(1.0, x).copysign(x) }
}

/// (2k)! / B(2k).
const ZETA: [f64; 12] = [
    12.0,
    -720.0,
    30240.0,
    -1_209_600.0,
    47_900_160.0,
    -1_307_674_368_000.0 / 691.0,
    74_724_249_600.0,
    -10_670_622_842_880_000.0 / 3617.0,
    5_109_094_217_170_944_000.0 / 43867.0,
    -802_857_662_698_291_200_000.0 / 174_611.0,
    14_101_100_039_391_805_440_000.0 / 77683.0,
    -1_693_824_136_731_743_669_452_800_000.0 / 236_364_091.0,
];

/// The Hurwitz zeta function: nine terms, or as many as make the argument exceed 9, and Euler-Maclaurin's sum of the
/// rest (as Moshier's Cephes does, which PyTorch and SciPy took it from, with its values where the sum has none).
pub fn zeta(x: f64, q: f64) -> f64 {
    if x.is_nan() || q.is_nan() || x < 1.0 {
        return f64::NAN;
    }
    if x == 1.0 {
        return f64::INFINITY;
    }
    if q <= 0.0 {
        if q == q.floor() || x.is_infinite() {
            return f64::INFINITY;
        }
        // A power of a negative number.
        if x != x.floor() {
            return f64::NAN;
        }
        // The terms of positive numbers, and those of negative ones from the least on.
        let fraction = q - q.floor();
        let negative = zeta(x, 1.0 - fraction) - zeta(x, 1.0 - q);
        return zeta(x, fraction) + if x % 2.0 == 0.0 { negative } else { -negative };
    }
    if q > 1e8 {
        return (1.0 / (x - 1.0) + 0.5 / q) * libm::pow(q, 1.0 - x);
    }
    let (mut a, mut b) = (q, libm::pow(q, -x));
    let (mut sum, mut terms) = (b, 0);
    while terms < 9 || a <= 9.0 {
        terms += 1;
        a += 1.0;
        b = libm::pow(a, -x);
        sum += b;
        if b / sum < 0.5 * f64::EPSILON {
            return sum;
        }
    }
    sum += b * a / (x - 1.0) - 0.5 * b;
    let (mut rising, mut k) = (1.0, 0.0);
    for factor in ZETA {
        rising *= x + k;
        b /= a;
        let term = rising * b / factor;
        sum += term;
        if (term / sum).abs() < 0.5 * f64::EPSILON {
            break;
        }
        rising *= x + k + 1.0;
        b /= a;
        k += 2.0;
    }
    sum
}
