//! Random numbers that are a function of (seed, offset, index): Philox4x32 of ten rounds (Salmon et al.,
//! "Parallel random numbers: as easy as 1, 2, 3", 2011). A fill gives the same numbers for any number of
//! threads, and logarithms and angles come from `libm`, so also on any CPU.
//!
//! A fill of n numbers uses the counters from `offset` on, four 32-bit words each; a generator moves its
//! offset past them, so that the next fill is independent.

use crate::pool::{Parallel, split};

/// Numbers per piece of work: tens of microseconds of uniform ones, more of normal ones.
const GRAIN: usize = 1 << 13;

/// The generator's state: a key and a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Philox {
    seed: u64,
    offset: u64,
}

/// The ten-round bijection from a counter to four words, under a key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    const M: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let a = u64::from(M[0]) * u64::from(c[0]);
        let b = u64::from(M[1]) * u64::from(c[2]);
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

/// A float in [0, 1), of the top 24 bits.
fn unit_f32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

/// A float in [0, 1), of 53 bits.
fn unit_f64(low: u32, high: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
    bits as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Two independent standard normal numbers from two uniform ones (Box and Muller).
fn normal_pair(u: f64, v: f64) -> [f64; 2] {
    // 1 - u is in (0, 1], so the logarithm is finite.
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - u));
    let (sin, cos) = libm::sincos(2.0 * std::f64::consts::PI * v);
    [radius * cos, radius * sin]
}

impl Philox {
    /// The start of a seed's sequence.
    pub fn new(seed: u64) -> Philox {
        Philox { seed, offset: 0 }
    }

    /// A position of a seed's sequence.
    pub fn at(seed: u64, offset: u64) -> Philox {
        Philox { seed, offset }
    }

    /// The key.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The counter of the next number.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Claims `counters` counters and returns the first, for kernels that draw numbers themselves.
    pub fn reserve(&mut self, counters: u64) -> u64 {
        let first = self.offset;
        self.offset = self.offset.wrapping_add(counters);
        first
    }

    fn words(&self, counter: u64) -> [u32; 4] {
        philox4x32([counter as u32, (counter >> 32) as u32, 0, 0], [self.seed as u32, (self.seed >> 32) as u32])
    }

    /// Fills `out` with `N` numbers per counter.
    fn fill<T: Copy + Send, const N: usize>(
        &mut self,
        out: &mut [T],
        pool: &dyn Parallel,
        from: impl Fn([u32; 4]) -> [T; N] + Sync,
    ) {
        let counters = out.len().div_ceil(N);
        let start = *self;
        self.reserve(counters as u64);
        let first = start.offset;
        // Each piece takes its own part of the output out of its slot.
        let pieces = counters.div_ceil(GRAIN / N).max(1);
        let per_piece = counters.div_ceil(pieces).max(1) * N;
        let parts: Vec<_> = out.chunks_mut(per_piece).map(|part| std::sync::Mutex::new(Some(part))).collect();
        split(pool, parts.len(), 1, &|range| {
            for piece in range {
                let mut slot = parts[piece].lock().expect("nothing panics while it holds this lock");
                let part = slot.take().expect("a pool runs each task once");
                let base = first.wrapping_add((piece * per_piece / N) as u64);
                for (i, chunk) in part.chunks_mut(N).enumerate() {
                    let values = from(start.words(base.wrapping_add(i as u64)));
                    chunk.copy_from_slice(&values[..chunk.len()]);
                }
            }
        });
    }

    /// Uniform 32-bit words.
    pub fn fill_u32(&mut self, out: &mut [u32], pool: &dyn Parallel) {
        self.fill(out, pool, |w| w);
    }

    /// Uniform in [0, 1).
    pub fn fill_uniform_f32(&mut self, out: &mut [f32], pool: &dyn Parallel) {
        self.fill(out, pool, |w| w.map(unit_f32));
    }

    /// Uniform in [0, 1).
    pub fn fill_uniform_f64(&mut self, out: &mut [f64], pool: &dyn Parallel) {
        self.fill(out, pool, |w| [unit_f64(w[0], w[1]), unit_f64(w[2], w[3])]);
    }

    /// Standard normal.
    pub fn fill_normal_f32(&mut self, out: &mut [f32], pool: &dyn Parallel) {
        self.fill(out, pool, |w| {
            // 32 bits of each word, computed in f64 and rounded once.
            let unit = |word: u32| f64::from(word) * (1.0 / (1u64 << 32) as f64);
            let (a, b) = (normal_pair(unit(w[0]), unit(w[1])), normal_pair(unit(w[2]), unit(w[3])));
            [a[0] as f32, a[1] as f32, b[0] as f32, b[1] as f32]
        });
    }

    /// Standard normal.
    pub fn fill_normal_f64(&mut self, out: &mut [f64], pool: &dyn Parallel) {
        self.fill(out, pool, |w| normal_pair(unit_f64(w[0], w[1]), unit_f64(w[2], w[3])));
    }

    /// Uniform integers in `low..high`, which is not empty. A multiply-shift of 64 bits: the bias is below
    /// (high - low) / 2^64.
    pub fn fill_integers(&mut self, out: &mut [i64], low: i64, high: i64, pool: &dyn Parallel) {
        assert!(low < high, "an empty range has no numbers");
        let span = high.wrapping_sub(low) as u64;
        let pick = |a: u32, b: u32| {
            let word = u64::from(b) << 32 | u64::from(a);
            low.wrapping_add(((u128::from(word) * u128::from(span)) >> 64) as i64)
        };
        self.fill(out, pool, |w| [pick(w[0], w[1]), pick(w[2], w[3])]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{OwnPool, Serial};

    #[test]
    fn known_answers_of_the_paper() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox4x32([!0; 4], [!0; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        assert_eq!(
            philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn threads_do_not_show_and_fills_continue() {
        let n = 5 * GRAIN + 3;
        let (mut a, mut b) = (vec![0.0f32; n], vec![0.0f32; n]);
        let mut generator = Philox::new(42);
        generator.fill_normal_f32(&mut a, &OwnPool);
        assert_eq!(generator.offset(), n.div_ceil(4) as u64);
        Philox::new(42).fill_normal_f32(&mut b, &Serial);
        assert_eq!(a, b);
        let mut c = vec![0.0f32; 8];
        Philox::at(42, 5).fill_normal_f32(&mut c, &Serial);
        assert_eq!(c, a[20..28]);
        generator.fill_uniform_f32(&mut [], &Serial);
    }

    #[test]
    fn moments_and_ranges() {
        let n = 1 << 18;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let mut u = vec![0.0f64; n];
        Philox::new(1).fill_uniform_f64(&mut u, &OwnPool);
        assert!(u.iter().all(|x| (0.0..1.0).contains(x)) && (mean(&u) - 0.5).abs() < 0.003);
        let mut z = vec![0.0f64; n];
        Philox::new(2).fill_normal_f64(&mut z, &OwnPool);
        let squares: Vec<f64> = z.iter().map(|x| x * x).collect();
        let fourth: Vec<f64> = z.iter().map(|x| x.powi(4)).collect();
        assert!(mean(&z).abs() < 0.01 && (mean(&squares) - 1.0).abs() < 0.02 && (mean(&fourth) - 3.0).abs() < 0.1);
        let mut f = vec![0.0f32; n];
        Philox::new(3).fill_uniform_f32(&mut f, &OwnPool);
        assert!(f.iter().all(|x| (0.0..1.0).contains(x)));
        let mut i = vec![0i64; n];
        Philox::new(4).fill_integers(&mut i, -3, 4, &OwnPool);
        for k in -3..4 {
            let count = i.iter().filter(|&&x| x == k).count() as f64;
            assert!((count / n as f64 - 1.0 / 7.0).abs() < 0.005);
        }
        Philox::new(4).fill_integers(&mut i[..2], i64::MIN, i64::MAX, &Serial);
    }
}
