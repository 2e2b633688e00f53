//! The regularised incomplete gamma functions, at f64. Errors are against mpmath's values, in Python's tests.
//!
//! What is computed is the smaller one of P and Q, or about so, and the other is 1 minus it: P by its series where x < a,
//! Q by its continued fraction where x > a, both where a is large and x close to it by Temme's expansion, whose work does
//! not grow with a, and Q of small a and x by a series in which nothing cancels. The values at the edges are PyTorch's.

use std::f64::consts::PI;

/// From here on [`temme`] is used, where x is within 3/10 of a.
const LARGE: f64 = 200.0;

/// P(a, x), the integral of t^(a-1) e^-t from 0 to x, divided by gamma(a).
pub fn igamma(a: f64, x: f64) -> f64 {
    match edge(a, x) {
        Some(upper) => 1.0 - upper,
        None if is_temme(a, x) => temme(a, x).0,
        None if x > 1.0 && x > a => 1.0 - fraction(a, x),
        None => series(a, x),
    }
}

/// Q(a, x) = 1 - P(a, x).
pub fn igammac(a: f64, x: f64) -> f64 {
    match edge(a, x) {
        Some(upper) => upper,
        None if is_temme(a, x) => temme(a, x).1,
        None if x > 1.1 => {
            if x < a {
                1.0 - series(a, x)
            } else {
                fraction(a, x)
            }
        }
        // P is below about 1/2 here.
        None if (if x <= 0.5 { -0.4 / libm::log(x) } else { 1.1 * x }) < a => 1.0 - series(a, x),
        None => upper_series(a, x),
    }
}

/// Q at the edges of the domain and NaN beyond; `None` inside. An edge decides before a NaN, as in PyTorch.
fn edge(a: f64, x: f64) -> Option<f64> {
    let q = if a < 0.0 || x < 0.0 {
        f64::NAN
    } else if a == 0.0 {
        if x > 0.0 { 0.0 } else { f64::NAN }
    } else if x == 0.0 {
        1.0
    } else if a.is_infinite() {
        if x.is_infinite() { f64::NAN } else { 1.0 }
    } else if x.is_infinite() {
        0.0
    } else if a.is_nan() || x.is_nan() {
        f64::NAN
    } else {
        return None;
    };
    Some(q)
}

/// log(1 + u) - u without cancellation: with r = u / (2 + u), log(1 + u) is 2 atanh(r).
fn log1p_minus(u: f64) -> f64 {
    if u.abs() > 0.5 {
        return libm::log1p(u) - u;
    }
    let r = u / (2.0 + u);
    let square = r * r;
    let (mut power, mut n, mut sum) = (r * square, 3.0, 0.0);
    while power.abs() > f64::EPSILON * square * square || n < 7.0 {
        sum += power / n;
        power *= square;
        n += 2.0;
        if power == 0.0 {
            break;
        }
    }
    2.0 * sum - r * u
}

/// x^a e^-x / gamma(a + 1).
fn weight(a: f64, x: f64) -> f64 {
    if a < 16.0 {
        // Beyond, it is below the least number; e^-x in two steps, as it may be smaller than that by itself.
        if x > 1600.0 {
            return 0.0;
        }
        let half = libm::exp(-0.5 * x);
        return libm::pow(x, a) * half * half / libm::tgamma(a + 1.0);
    }
    let u = (x - a) / a;
    // Of u close to -1 little is left of x.
    let exponent = if u < -0.5 { a * libm::log(x / a) - (x - a) } else { a * log1p_minus(u) };
    // An overflow on the way is infinity less infinity.
    if exponent.is_nan() || exponent < -800.0 {
        return 0.0;
    }
    let z = 1.0 / (a * a);
    // Stirling's series of log gamma: B(2k) / (2k (2k - 1)).
    let series = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let rest = series.iter().rev().fold(0.0, |sum, c| sum * z + c) / a;
    libm::exp(exponent - rest) / (2.0 * PI * a).sqrt()
}

/// P: the weight times the sum of x^n / ((a + 1) .. (a + n)).
fn series(a: f64, x: f64) -> f64 {
    let weight = weight(a, x);
    if weight == 0.0 {
        return 0.0;
    }
    let (mut term, mut sum, mut n) = (1.0, 1.0, a);
    while term > 0.25 * f64::EPSILON * sum {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    weight * sum
}

/// Q by Legendre's continued fraction, a weight / (x+1-a - 1(1-a)/(x+3-a - 2(2-a)/(x+5-a - ..))) (Lentz's method as
/// Thompson and Barnett changed it).
fn fraction(a: f64, x: f64) -> f64 {
    let weight = a * weight(a, x);
    if weight == 0.0 {
        return 0.0;
    }
    let apart = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut b = x + 1.0 - a;
    let mut h = 1.0 / apart(b);
    let (mut c, mut d, mut i) = (1e300, h, 0.0);
    loop {
        i += 1.0;
        let numerator = -i * (i - a);
        b += 2.0;
        d = 1.0 / apart(numerator * d + b);
        c = apart(b + numerator / c);
        let step = c * d;
        h *= step;
        if (step - 1.0).abs() <= f64::EPSILON || i > 1e4 {
            return weight * h;
        }
    }
}

/// Q of small x and a: with P = x^a / gamma(a + 1) times 1 + s, it is 1 - x^a / gamma(a + 1), which does not cancel as a
/// power of e, less s times that.
fn upper_series(a: f64, x: f64) -> f64 {
    let (mut power, mut sum, mut n) = (1.0, 0.0, 0.0);
    loop {
        n += 1.0;
        power *= -x / n;
        let term = power / (a + n);
        sum += term;
        if term.abs() <= 0.25 * f64::EPSILON * sum.abs() {
            break;
        }
    }
    let log = a * libm::log(x) - log_gamma1p(a);
    -libm::expm1(log) - a * sum * libm::exp(log)
}

/// zeta(k) - 1 from k = 2 on.
const ZETA: [f64; 28] = [
    0.6449340668482264,
    0.2020569031595943,
    0.08232323371113819,
    0.03692775514336993,
    0.01734306198444914,
    0.008349277381922827,
    0.00407735619794434,
    0.0020083928260822143,
    0.0009945751278180853,
    0.0004941886041194645,
    0.0002460865533080483,
    0.00012271334757848915,
    6.124813505870483e-05,
    3.058823630702049e-05,
    1.528225940865187e-05,
    7.637197637899763e-06,
    3.81729326499984e-06,
    1.908212716553939e-06,
    9.539620338727962e-07,
    4.769329867878064e-07,
    2.38450502727733e-07,
    1.1921992596531106e-07,
    5.960818905125948e-08,
    2.980350351465228e-08,
    1.4901554828365043e-08,
    7.45071178983543e-09,
    3.725334024788457e-09,
    1.862659723513049e-09,
];

/// log(gamma(1 + a)) for a in [0, 1.5], with small relative errors about its zeros.
fn log_gamma1p(a: f64) -> f64 {
    if a > 0.5 {
        // gamma(1 + a) = a gamma(a)
        return libm::log1p(a - 1.0) + log_gamma1p(a - 1.0);
    }
    let sum = ZETA.iter().rev().enumerate().fold(0.0, |sum, (i, zeta)| {
        let k = (ZETA.len() + 1 - i) as f64;
        sum * -a + zeta / k
    });
    // 1 - gamma, Euler's.
    a * 0.422_784_335_098_467_13 + a * a * sum - libm::log1p(a)
}

/// True where a is large and x close to it.
fn is_temme(a: f64, x: f64) -> bool {
    a > LARGE && (x - a).abs() < 0.3 * a
}

/// P and Q (Temme 1979; DLMF 8.12): erfc(y) / 2 and a correction that is a double series in 1 / a and eta, where
/// eta^2 / 2 = u - log(1 + u), u = x / a - 1, and y = eta sqrt(a / 2).
fn temme(a: f64, x: f64) -> (f64, f64) {
    let u = (x - a) / a;
    let half_square = -log1p_minus(u);
    let eta = (2.0 * half_square).sqrt().copysign(u);
    let sum = TEMME.iter().rev().fold(0.0, |sum, row| {
        let c = row.iter().rev().fold(0.0, |sum, d| sum * eta + d);
        sum / a + c
    });
    let correction = sum * libm::exp(-a * half_square) / (2.0 * PI * a).sqrt();
    let y = (a * half_square).sqrt().copysign(u);
    (0.5 * libm::erfc(-y) - correction, 0.5 * libm::erfc(y) + correction)
}

/// Coefficients of eta^n / a^k (DLMF 8.12.12), as many as count at a = 200 and |eta| = 0.35.
const TEMME: [&[f64]; 7] = [
    &[
        -0.3333333333333333,
        0.08333333333333333,
        -0.014814814814814815,
        0.0011574074074074073,
        0.0003527336860670194,
        -0.0001787551440329218,
        3.919263178522438e-05,
        -2.185448510679992e-06,
        -1.85406221071516e-06,
        8.296711340953087e-07,
        -1.7665952736826078e-07,
        6.707853543401498e-09,
        1.0261809784240309e-08,
        -4.382036018453353e-09,
        9.14769958223679e-10,
        -2.5514193994946248e-11,
        -5.830772132550426e-11,
    ],
    &[
        -0.001851851851851852,
        -0.003472222222222222,
        0.0026455026455026454,
        -0.0009902263374485596,
        0.00020576131687242798,
        -4.018775720164609e-07,
        -1.8098550334489977e-05,
        7.64916091608111e-06,
        -1.6120900894563446e-06,
        4.647127802807434e-09,
        1.378633446915721e-07,
        -5.752545603517705e-08,
        1.1951628599778148e-08,
        -1.7543241719747647e-11,
        -1.0091543710600413e-09,
    ],
    &[
        0.004133597883597883,
        -0.0026813271604938273,
        0.0007716049382716049,
        2.0093878600823047e-06,
        -0.0001073665322636516,
        5.2923448829120125e-05,
        -1.2760635188618728e-05,
        3.423578734096138e-08,
        1.3721957309062934e-06,
        -6.298992138380055e-07,
        1.4280614206064242e-07,
        -2.0477098421990866e-10,
        -1.409252991086752e-08,
    ],
    &[
        0.0006494341563786008,
        0.00022947209362139917,
        -0.0004691894943952557,
        0.00026772063206283885,
        -7.561801671883977e-05,
        -2.396505113867297e-07,
        1.1082654115347302e-05,
        -5.6749528269915965e-06,
        1.4230900732435883e-06,
    ],
    &[
        -0.0008618882909167117,
        0.0007840392217200666,
        -0.0002990724803031902,
        -1.4638452578843418e-06,
        6.641498215465122e-05,
        -3.968365047179435e-05,
        1.1375726970678419e-05,
    ],
    &[
        -0.00033679855336635813,
        -6.972813758365857e-05,
        0.0002772753244959392,
        -0.00019932570516188847,
        6.797780477937208e-05,
    ],
    &[0.0005313079364639922, -0.0005921664373536939],
];
