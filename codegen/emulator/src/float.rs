//! Floating-point arithmetic.

use crate::{Machine, Step, lanes, unknown};
use iced_x86::{Instruction, Mnemonic, RoundingControl};

/// A floating-point format as bits.
pub(crate) trait Float: Copy + PartialOrd {
    /// Bytes.
    const SIZE: usize;
    /// What an invalid operation gives.
    const INDEFINITE: u64;
    const QUIET: u64;
    fn of(bits: u64) -> Self;
    fn bits(self) -> u64;
    fn is_nan(self) -> bool;
    fn wide(self) -> f64;
    fn narrow(v: f64) -> Self;
    fn binary(op: Arith, a: Self, b: Self) -> Self;
    fn fma(a: Self, b: Self, c: Self) -> Self;
    fn sqrt(self) -> Self;
    fn neg(self) -> Self;
}

/// The operators.
#[derive(Clone, Copy)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
}

macro_rules! float {
    ($t:ident, $bits:ident, $indefinite:literal, $quiet:literal) => {
        impl Float for $t {
            const SIZE: usize = size_of::<$t>();
            const INDEFINITE: u64 = $indefinite;
            const QUIET: u64 = $quiet;
            fn of(bits: u64) -> Self {
                $t::from_bits(bits as $bits)
            }
            fn bits(self) -> u64 {
                u64::from(self.to_bits())
            }
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            fn wide(self) -> f64 {
                f64::from(self)
            }
            fn narrow(v: f64) -> Self {
                v as $t
            }
            fn binary(op: Arith, a: Self, b: Self) -> Self {
                match op {
                    Arith::Add => a + b,
                    Arith::Sub => a - b,
                    Arith::Mul => a * b,
                    Arith::Div => a / b,
                }
            }
            fn fma(a: Self, b: Self, c: Self) -> Self {
                a.mul_add(b, c)
            }
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            fn neg(self) -> Self {
                -self
            }
        }
    };
}
float!(f32, u32, 0xffc0_0000, 0x0040_0000);
float!(f64, u64, 0xfff8_0000_0000_0000, 0x0008_0000_0000_0000);

/// R3: the first NaN operand, made quiet; else the result, an invalid operation giving the default NaN.
fn settle<F: Float>(operands: &[u64], result: F) -> u64 {
    match operands.iter().find(|&&o| F::of(o).is_nan()) {
        Some(nan) => nan | F::QUIET,
        None if result.is_nan() => F::INDEFINITE,
        None => result.bits(),
    }
}

fn arith<F: Float>(op: Arith, a: u64, b: u64) -> u64 {
    settle(&[a, b], F::binary(op, F::of(a), F::of(b)))
}

fn sqrt<F: Float>(a: u64) -> u64 {
    settle(&[a], F::of(a).sqrt())
}

/// A number within the architecture's 2^-14 of 1/sqrt(a), as far from it as 14 bits cut off can be: code may not depend on
/// which one a processor gives.
fn rsqrt14(a: u64) -> u64 {
    let exact = 1.0 / f64::from(f32::of(a)).sqrt();
    settle(&[a], f32::from_bits((exact as f32).to_bits() & !0x1ff))
}

/// The second operand unless the first is below (above) it.
fn minmax<F: Float>(max: bool, a: u64, b: u64) -> u64 {
    let (x, y) = (F::of(a), F::of(b));
    if if max { x > y } else { x < y } { a } else { b }
}

/// Rounds to an integer: 0 nearest even, 1 down, 2 up, 3 towards zero.
pub(crate) fn round(v: f64, mode: u8) -> f64 {
    match mode & 3 {
        0 => v.round_ties_even(),
        1 => v.floor(),
        2 => v.ceil(),
        _ => v.trunc(),
    }
}

/// Rounding of an immediate: bit 2 asks for the control word's, which is nearest.
fn immediate_mode(imm: u8) -> u8 {
    if imm & 4 != 0 { 0 } else { imm & 3 }
}

/// `vrndscale`: to a multiple of 2^-m; `round` is m = 0.
fn round_scale<F: Float>(a: u64, imm: u8) -> u64 {
    let v = F::of(a);
    let m = i32::from(imm >> 4);
    let x = v.wide();
    // Within f64: 2^m is exact, and a product that overflows belongs to an integer.
    let scaled = x * f64::from(m).exp2();
    let r = if scaled.is_infinite() { x } else { round(scaled, immediate_mode(imm)) * f64::from(-m).exp2() };
    // A zero keeps the operand's sign.
    let r = if r == 0.0 { r.copysign(x) } else { r };
    settle(&[a], F::narrow(r))
}

/// `vscalef`: a * 2^floor(b), rounded once.
fn scalef<F: Float>(a: u64, b: u64) -> u64 {
    let (x, y) = (F::of(a), F::of(b));
    if x.is_nan() || y.is_nan() {
        // An infinite exponent wins over a quiet NaN.
        let quiet = x.is_nan() && a & F::QUIET != 0;
        if quiet && y.wide() == f64::INFINITY {
            return F::narrow(f64::INFINITY).bits();
        }
        if quiet && y.wide() == f64::NEG_INFINITY {
            return 0;
        }
        return settle::<F>(&[a, b], x);
    }
    let (v, n) = (x.wide(), y.wide());
    let invalid = (v == 0.0 && n == f64::INFINITY) || (v.is_infinite() && n == f64::NEG_INFINITY);
    if invalid {
        return F::INDEFINITE;
    }
    if v == 0.0 || v.is_infinite() {
        return a;
    }
    let n = n.floor().clamp(-5000.0, 5000.0) as i32;
    F::narrow_scaled(v, n)
}

/// v * 2^n rounded once, to the format.
trait Scaled: Float {
    fn narrow_scaled(v: f64, n: i32) -> u64;
}

impl<F: Float> Scaled for F {
    fn narrow_scaled(v: f64, n: i32) -> u64 {
        let bits = v.to_bits();
        let sign = bits >> 63;
        // v = m * 2^e with m an integer of at most 53 bits.
        let field = (bits >> 52 & 0x7ff) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (m, e) = if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field - 1075) };
        let (digits, least, most) = if F::SIZE == 4 { (24, -149, 127) } else { (53, -1074, 1023) };
        let e = e + n;
        let length = 64 - m.leading_zeros() as i32;
        // The exponent of the last digit that the format keeps.
        let last = (e + length - digits).max(least);
        let shift = last - e;
        let kept = match shift {
            ..=0 => u128::from(m) << (-shift).min(64),
            1..=63 => {
                let (q, rest, half) = (m >> shift, m & ((1 << shift) - 1), 1u64 << (shift - 1));
                u128::from(q + u64::from(rest > half || (rest == half && q & 1 == 1)))
            }
            _ => 0,
        };
        let top = last + 127 - kept.leading_zeros() as i32;
        let r = if kept == 0 {
            0.0
        } else if top > most {
            f64::INFINITY
        } else {
            // Exact in two steps: the first has no digit below 2^-1074 and the second is the last digit's place.
            let half = last / 2;
            kept as f64 * f64::from(half).exp2() * f64::from(last - half).exp2()
        };
        F::narrow(if sign == 1 { -r } else { r }).bits()
    }
}

fn getexp<F: Float>(a: u64) -> u64 {
    let v = F::of(a).wide();
    let r = if v.is_nan() {
        v
    } else if v.is_infinite() {
        f64::INFINITY
    } else if v == 0.0 {
        f64::NEG_INFINITY
    } else {
        let bits = v.abs().to_bits();
        let field = (bits >> 52) as i32;
        // Of a subnormal, the place of the first digit.
        f64::from(if field == 0 { 63 - bits.leading_zeros() as i32 - 1074 } else { field - 1023 })
    };
    settle(&[a], F::narrow(r))
}

/// The predicates of `vcmpps`, of which the upper half differ in signalling alone.
fn predicate<F: Float>(imm: u8, a: u64, b: u64) -> bool {
    let (x, y) = (F::of(a), F::of(b));
    let unordered = x.is_nan() || y.is_nan();
    match imm & 15 {
        0 => x == y,
        1 => x < y,
        2 => x <= y,
        3 => unordered,
        4 => unordered || x != y,
        5 => unordered || x >= y,
        6 => unordered || x > y,
        7 => !unordered,
        8 => unordered || x == y,
        9 => unordered || x < y,
        10 => unordered || x <= y,
        11 => false,
        12 => !unordered && x != y,
        13 => x >= y,
        14 => x > y,
        _ => true,
    }
}

fn class<F: Float>(imm: u8, a: u64) -> bool {
    let v = F::of(a);
    let w = v.wide();
    let magnitude = a & (if F::SIZE == 4 { 0x7fff_ffff } else { !(1 << 63) });
    let least = if F::SIZE == 4 { 0x0080_0000 } else { 1 << 52 };
    let subnormal = magnitude != 0 && magnitude < least;
    let kinds = [
        v.is_nan() && a & F::QUIET != 0,
        a == 0,
        magnitude == 0 && a != 0,
        w == f64::INFINITY,
        w == f64::NEG_INFINITY,
        subnormal,
        w < 0.0 && w.is_finite(),
        v.is_nan() && a & F::QUIET == 0,
    ];
    kinds.iter().enumerate().any(|(n, &k)| k && imm >> n & 1 == 1)
}

/// Which of three operands are multiplied and added, and with which signs.
#[derive(Clone, Copy)]
struct Fma {
    order: [usize; 3],
    negate_product: bool,
    negate_addend: bool,
    scalar: bool,
    double: bool,
}

fn fma_form(m: Mnemonic) -> Option<Fma> {
    use Mnemonic::*;
    let of = |order: u16, negate_product, negate_addend, kind: u8| {
        let order = match order {
            132 => [0, 2, 1],
            213 => [1, 0, 2],
            _ => [1, 2, 0],
        };
        Some(Fma { order, negate_product, negate_addend, scalar: kind >= 2, double: kind % 2 == 1 })
    };
    macro_rules! family {
        ($($product:literal $addend:literal $order:literal: $ps:ident $pd:ident $ss:ident $sd:ident;)*) => {
            match m {
                $($ps => of($order, $product, $addend, 0),
                $pd => of($order, $product, $addend, 1),
                $ss => of($order, $product, $addend, 2),
                $sd => of($order, $product, $addend, 3),)*
                _ => None,
            }
        };
    }
    family! {
        false false 132: Vfmadd132ps Vfmadd132pd Vfmadd132ss Vfmadd132sd;
        false false 213: Vfmadd213ps Vfmadd213pd Vfmadd213ss Vfmadd213sd;
        false false 231: Vfmadd231ps Vfmadd231pd Vfmadd231ss Vfmadd231sd;
        false true 132: Vfmsub132ps Vfmsub132pd Vfmsub132ss Vfmsub132sd;
        false true 213: Vfmsub213ps Vfmsub213pd Vfmsub213ss Vfmsub213sd;
        false true 231: Vfmsub231ps Vfmsub231pd Vfmsub231ss Vfmsub231sd;
        true false 132: Vfnmadd132ps Vfnmadd132pd Vfnmadd132ss Vfnmadd132sd;
        true false 213: Vfnmadd213ps Vfnmadd213pd Vfnmadd213ss Vfnmadd213sd;
        true false 231: Vfnmadd231ps Vfnmadd231pd Vfnmadd231ss Vfnmadd231sd;
        true true 132: Vfnmsub132ps Vfnmsub132pd Vfnmsub132ss Vfnmsub132sd;
        true true 213: Vfnmsub213ps Vfnmsub213pd Vfnmsub213ss Vfnmsub213sd;
        true true 231: Vfnmsub231ps Vfnmsub231pd Vfnmsub231ss Vfnmsub231sd;
    }
}

fn fma<F: Float>(form: Fma, operands: [u64; 3]) -> u64 {
    let [a, b, c] = form.order.map(|o| F::of(operands[o]));
    let a = if form.negate_product { a.neg() } else { a };
    let c = if form.negate_addend { c.neg() } else { c };
    settle(&operands, F::fma(a, b, c))
}

impl Machine {
    /// Executes a floating-point instruction; false when it is none.
    pub(crate) fn float(&mut self, i: &Instruction, legacy: bool) -> Step<bool> {
        use Mnemonic::*;
        if let Some(form) = fma_form(i.mnemonic()) {
            nearest(i)?;
            match (form.scalar, form.double) {
                (false, false) => self.each(i, legacy, 4, 3, |o| fma::<f32>(form, o)),
                (false, true) => self.each(i, legacy, 8, 3, |o| fma::<f64>(form, o)),
                (true, false) => self.one(i, legacy, 4, 3, |o| fma::<f32>(form, o)),
                (true, true) => self.one(i, legacy, 8, 3, |o| fma::<f64>(form, o)),
            }?;
            return Ok(true);
        }
        let imm = if i.op_count() > 0 { i.immediate8() } else { 0 };
        macro_rules! packed {
            ($t:ty, $arity:literal, $f:expr) => {{
                nearest(i)?;
                self.each(i, legacy, <$t>::SIZE, $arity, $f)?
            }};
        }
        macro_rules! scalar {
            ($t:ty, $arity:literal, $f:expr) => {{
                nearest(i)?;
                self.one(i, legacy, <$t>::SIZE, $arity, $f)?
            }};
        }
        match i.mnemonic() {
            Addps | Vaddps => packed!(f32, 2, |[a, b, _]| arith::<f32>(Arith::Add, a, b)),
            Addpd | Vaddpd => packed!(f64, 2, |[a, b, _]| arith::<f64>(Arith::Add, a, b)),
            Addss | Vaddss => scalar!(f32, 2, |[a, b, _]| arith::<f32>(Arith::Add, a, b)),
            Addsd | Vaddsd => scalar!(f64, 2, |[a, b, _]| arith::<f64>(Arith::Add, a, b)),
            Subps | Vsubps => packed!(f32, 2, |[a, b, _]| arith::<f32>(Arith::Sub, a, b)),
            Subpd | Vsubpd => packed!(f64, 2, |[a, b, _]| arith::<f64>(Arith::Sub, a, b)),
            Subss | Vsubss => scalar!(f32, 2, |[a, b, _]| arith::<f32>(Arith::Sub, a, b)),
            Subsd | Vsubsd => scalar!(f64, 2, |[a, b, _]| arith::<f64>(Arith::Sub, a, b)),
            Mulps | Vmulps => packed!(f32, 2, |[a, b, _]| arith::<f32>(Arith::Mul, a, b)),
            Mulpd | Vmulpd => packed!(f64, 2, |[a, b, _]| arith::<f64>(Arith::Mul, a, b)),
            Mulss | Vmulss => scalar!(f32, 2, |[a, b, _]| arith::<f32>(Arith::Mul, a, b)),
            Mulsd | Vmulsd => scalar!(f64, 2, |[a, b, _]| arith::<f64>(Arith::Mul, a, b)),
            Divps | Vdivps => packed!(f32, 2, |[a, b, _]| arith::<f32>(Arith::Div, a, b)),
            Divpd | Vdivpd => packed!(f64, 2, |[a, b, _]| arith::<f64>(Arith::Div, a, b)),
            Divss | Vdivss => scalar!(f32, 2, |[a, b, _]| arith::<f32>(Arith::Div, a, b)),
            Divsd | Vdivsd => scalar!(f64, 2, |[a, b, _]| arith::<f64>(Arith::Div, a, b)),
            Minps | Vminps => packed!(f32, 2, |[a, b, _]| minmax::<f32>(false, a, b)),
            Minpd | Vminpd => packed!(f64, 2, |[a, b, _]| minmax::<f64>(false, a, b)),
            Minss | Vminss => scalar!(f32, 2, |[a, b, _]| minmax::<f32>(false, a, b)),
            Minsd | Vminsd => scalar!(f64, 2, |[a, b, _]| minmax::<f64>(false, a, b)),
            Maxps | Vmaxps => packed!(f32, 2, |[a, b, _]| minmax::<f32>(true, a, b)),
            Maxpd | Vmaxpd => packed!(f64, 2, |[a, b, _]| minmax::<f64>(true, a, b)),
            Maxss | Vmaxss => scalar!(f32, 2, |[a, b, _]| minmax::<f32>(true, a, b)),
            Maxsd | Vmaxsd => scalar!(f64, 2, |[a, b, _]| minmax::<f64>(true, a, b)),
            Sqrtps | Vsqrtps => packed!(f32, 1, |[a, ..]| sqrt::<f32>(a)),
            Sqrtpd | Vsqrtpd => packed!(f64, 1, |[a, ..]| sqrt::<f64>(a)),
            Sqrtss | Vsqrtss => scalar!(f32, 1, |[a, ..]| sqrt::<f32>(a)),
            Sqrtsd | Vsqrtsd => scalar!(f64, 1, |[a, ..]| sqrt::<f64>(a)),
            Vrsqrt14ps => packed!(f32, 1, |[a, ..]| rsqrt14(a)),
            Roundps | Vroundps => packed!(f32, 1, |[a, ..]| round_scale::<f32>(a, imm & 15)),
            Roundpd | Vroundpd => packed!(f64, 1, |[a, ..]| round_scale::<f64>(a, imm & 15)),
            Roundss | Vroundss => scalar!(f32, 1, |[a, ..]| round_scale::<f32>(a, imm & 15)),
            Roundsd | Vroundsd => scalar!(f64, 1, |[a, ..]| round_scale::<f64>(a, imm & 15)),
            Vrndscaleps => packed!(f32, 1, |[a, ..]| round_scale::<f32>(a, imm)),
            Vrndscalepd => packed!(f64, 1, |[a, ..]| round_scale::<f64>(a, imm)),
            Vrndscaless => scalar!(f32, 1, |[a, ..]| round_scale::<f32>(a, imm)),
            Vrndscalesd => scalar!(f64, 1, |[a, ..]| round_scale::<f64>(a, imm)),
            Vscalefps => packed!(f32, 2, |[a, b, _]| scalef::<f32>(a, b)),
            Vscalefpd => packed!(f64, 2, |[a, b, _]| scalef::<f64>(a, b)),
            Vscalefss => scalar!(f32, 2, |[a, b, _]| scalef::<f32>(a, b)),
            Vscalefsd => scalar!(f64, 2, |[a, b, _]| scalef::<f64>(a, b)),
            Vgetexpps => packed!(f32, 1, |[a, ..]| getexp::<f32>(a)),
            Vgetexppd => packed!(f64, 1, |[a, ..]| getexp::<f64>(a)),
            Vgetexpss => scalar!(f32, 1, |[a, ..]| getexp::<f32>(a)),
            Vgetexpsd => scalar!(f64, 1, |[a, ..]| getexp::<f64>(a)),
            Cmpps | Vcmpps => self.compare(i, legacy, 4, |a, b| predicate::<f32>(imm, a, b))?,
            Cmppd | Vcmppd => self.compare(i, legacy, 8, |a, b| predicate::<f64>(imm, a, b))?,
            Cmpss | Vcmpss => self.compare_one(i, legacy, 4, |a, b| predicate::<f32>(imm, a, b))?,
            Cmpsd | Vcmpsd => self.compare_one(i, legacy, 8, |a, b| predicate::<f64>(imm, a, b))?,
            Vfpclassps => self.classify(i, 4, |a| class::<f32>(imm, a))?,
            Vfpclasspd => self.classify(i, 8, |a| class::<f64>(imm, a))?,
            Ucomiss | Comiss | Vucomiss | Vcomiss => self.compare_flags::<f32>(i, legacy)?,
            Ucomisd | Comisd | Vucomisd | Vcomisd => self.compare_flags::<f64>(i, legacy)?,
            Haddps | Vhaddps => self.horizontal::<f32>(i, legacy, Arith::Add)?,
            Haddpd | Vhaddpd => self.horizontal::<f64>(i, legacy, Arith::Add)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn compare_one(&mut self, i: &Instruction, legacy: bool, size: usize, f: impl Fn(u64, u64) -> bool) -> Step {
        if !i.op0_register().is_k() {
            return self.one(i, legacy, size, 2, |[a, b, _]| if f(a, b) { !0 } else { 0 });
        }
        let on = self.enabled(i) & 1;
        let a = lanes::get(&self.lanes(i, legacy, 1, size, 1, on)?, size, 0);
        let b = lanes::get(&self.lanes(i, legacy, 2, size, 1, on)?, size, 0);
        self.k[i.op0_register().number()] = u64::from(on == 1 && f(a, b));
        Ok(())
    }

    fn classify(&mut self, i: &Instruction, size: usize, f: impl Fn(u64) -> bool) -> Step {
        let count = lanes::width(i, 1) / size;
        let on = self.enabled(i);
        let v = self.lanes(i, false, 1, size, count, on)?;
        let bits = (0..count).filter(|&n| on >> n & 1 == 1 && f(lanes::get(&v, size, n)));
        self.k[i.op0_register().number()] = bits.fold(0, |k, n| k | 1 << n);
        Ok(())
    }

    fn compare_flags<F: Float>(&mut self, i: &Instruction, legacy: bool) -> Step {
        let a = F::of(lanes::get(&self.lanes(i, legacy, 0, F::SIZE, 1, 1)?, F::SIZE, 0));
        let b = F::of(lanes::get(&self.lanes(i, legacy, 1, F::SIZE, 1, 1)?, F::SIZE, 0));
        let unordered = a.is_nan() || b.is_nan();
        self.flags =
            crate::Flags { zf: unordered || a == b, pf: unordered, cf: unordered || a < b, ..crate::Flags::default() };
        Ok(())
    }

    fn horizontal<F: Float>(&mut self, i: &Instruction, legacy: bool, op: Arith) -> Step {
        let half = 16 / F::SIZE / 2;
        self.groups(i, legacy, F::SIZE, 16, 2, |[a, b], n| {
            let v = if n < half { a } else { b };
            let at = 2 * (n % half);
            arith::<F>(op, lanes::get(v, F::SIZE, at), lanes::get(v, F::SIZE, at + 1))
        })
    }
}

/// R2: no other rounding of arithmetic is known here.
fn nearest(i: &Instruction) -> Step {
    match i.rounding_control() {
        RoundingControl::None | RoundingControl::RoundToNearest => Ok(()),
        _ => unknown(i),
    }
}
