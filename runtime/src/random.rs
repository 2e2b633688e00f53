//! Random numbers that are a function of (seed, offset, index): Philox4x32 of ten rounds (Salmon et al.,
//! "Parallel random numbers: as easy as 1, 2, 3", 2011). A fill gives the same numbers for any number of
//! threads, and is exact but for one rounding, so also on any CPU.
//!
//! A fill of n numbers uses the counters from `offset` on, four 32-bit words each; a generator moves its
//! offset past them, so that the next fill is independent.

use crate::pool::{Parallel, split};

/// Numbers per piece of work: a few microseconds of uniform ones, more of normal ones.
const GRAIN: usize = 1 << 13;
/// Counters at once.
const LANES: usize = 8;

/// The generator's state: a key and a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Philox {
    seed: u64,
    offset: u64,
}

const M: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The ten-round bijection from a counter to four words, under a key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let a = u64::from(M[0]) * u64::from(c[0]);
        let b = u64::from(M[1]) * u64::from(c[2]);
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

/// As [`philox4x32`] of eight counters, by word and then by counter. (Left to itself the compiler shuffles the halves of
/// products at three times the instructions, or does not vectorise at all.)
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn philox4x32_avx2(counters: [[u32; LANES]; 4], key: [u32; 2]) -> [[u32; LANES]; 4] {
    use std::arch::x86_64::*;
    // SAFETY: plain numbers of the same size.
    let mut c = counters.map(|words| unsafe { std::mem::transmute::<[u32; LANES], __m256i>(words) });
    let m = M.map(|m| _mm256_set1_epi32(m.cast_signed()));
    let mut k = key;
    for _ in 0..10 {
        // Products of even lanes and of odd ones, and their halves back in place.
        let halves = |x: __m256i, m: __m256i| {
            let (even, odd) = (_mm256_mul_epu32(x, m), _mm256_mul_epu32(_mm256_srli_epi64::<32>(x), m));
            let low = _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd));
            (low, _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd))
        };
        let ((a, a_high), (b, b_high)) = (halves(c[0], m[0]), halves(c[2], m[1]));
        let key = k.map(|k| _mm256_set1_epi32(k.cast_signed()));
        let mix = |high, word, key| _mm256_xor_si256(_mm256_xor_si256(high, word), key);
        c = [mix(b_high, c[1], key[0]), b, mix(a_high, c[3], key[1]), a];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    // SAFETY: as above.
    c.map(|words| unsafe { std::mem::transmute::<__m256i, [u32; LANES]>(words) })
}

/// A float in [0, 1), of the top `bits` bits, at most 24.
fn unit_f32(word: u32, bits: u32) -> f32 {
    // As a signed number, which vectors convert in one instruction.
    (word >> (32 - bits)).cast_signed() as f32 * (1.0 / (1u32 << bits) as f32)
}

fn word64(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// A float in [0, 1), of 53 bits.
fn unit_f64(low: u32, high: u32) -> f64 {
    (word64(low, high) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
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

    /// `LANES` counters from `counter` on, by word, and the key.
    fn block(&self, counter: u64) -> ([[u32; LANES]; 4], [u32; 2]) {
        let at = std::array::from_fn(|l| counter.wrapping_add(l as u64));
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        ([at.map(|c: u64| c as u32), at.map(|c| (c >> 32) as u32), [0; LANES], [0; LANES]], key)
    }

    /// Numbers from `counter` on, `N` per counter, from the words that `words` makes of blocks.
    #[inline(always)]
    fn piece<T: Copy, const N: usize>(
        &self,
        counter: u64,
        out: &mut [T],
        from: &impl Fn([u32; 4]) -> [T; N],
        words: impl Fn([[u32; LANES]; 4], [u32; 2]) -> [[u32; LANES]; 4],
    ) {
        for (i, chunk) in out.chunks_mut(N * LANES).enumerate() {
            let (counters, key) = self.block(counter.wrapping_add((i * LANES) as u64));
            let words = words(counters, key);
            let values: [[T; N]; LANES] =
                std::array::from_fn(|l| from([words[0][l], words[1][l], words[2][l], words[3][l]]));
            chunk.copy_from_slice(&values.as_flattened()[..chunk.len()]);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn piece_avx2<T: Copy, const N: usize>(&self, counter: u64, out: &mut [T], from: &impl Fn([u32; 4]) -> [T; N]) {
        self.piece(counter, out, from, |counters, key| philox4x32_avx2(counters, key));
    }

    #[allow(unsafe_code)]
    fn numbers<T: Copy, const N: usize>(&self, counter: u64, out: &mut [T], from: &impl Fn([u32; 4]) -> [T; N]) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has AVX2.
            return unsafe { self.piece_avx2(counter, out, from) };
        }
        self.piece(counter, out, from, |counters, key| {
            let all: [[u32; 4]; LANES] = std::array::from_fn(|l| philox4x32(counters.map(|words| words[l]), key));
            std::array::from_fn(|word| all.map(|words| words[word]))
        });
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
                start.numbers(first.wrapping_add((piece * per_piece / N) as u64), part, &from);
            }
        });
    }

    /// Uniform 32-bit words.
    pub fn fill_i32(&mut self, out: &mut [i32], pool: &dyn Parallel) {
        self.fill(out, pool, |w| w.map(u32::cast_signed));
    }

    /// Uniform 64-bit words.
    pub fn fill_i64(&mut self, out: &mut [i64], pool: &dyn Parallel) {
        self.fill(out, pool, |w| [word64(w[0], w[1]).cast_signed(), word64(w[2], w[3]).cast_signed()]);
    }

    /// Uniform in [0, 1), multiples of 2 to the power of -`bits`: as many as the significand of the dtype has that is
    /// wanted in the end, at most the 24 of f32.
    pub fn fill_uniform_f32(&mut self, out: &mut [f32], bits: u32, pool: &dyn Parallel) {
        assert!((1..=24).contains(&bits), "f32 has 24 bits");
        self.fill(out, pool, |w| w.map(|word| unit_f32(word, bits)));
    }

    /// Uniform in [0, 1).
    pub fn fill_uniform_f64(&mut self, out: &mut [f64], pool: &dyn Parallel) {
        self.fill(out, pool, |w| [unit_f64(w[0], w[1]), unit_f64(w[2], w[3])]);
    }

    /// Uniform integers in `low..high`, which is not empty. A multiply-shift of 64 bits: the bias is below
    /// (high - low) / 2^64.
    pub fn fill_integers(&mut self, out: &mut [i64], low: i64, high: i64, pool: &dyn Parallel) {
        assert!(low < high, "an empty range has no numbers");
        let span = high.wrapping_sub(low) as u64;
        let pick = |a: u32, b: u32| low.wrapping_add(((u128::from(word64(a, b)) * u128::from(span)) >> 64) as i64);
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

    /// What a machine's vectors give, and what is left of a block, are the words of single counters.
    #[test]
    fn vectors_give_the_words_of_single_counters() {
        let mut words = vec![0i32; 4 * 1027 + 2];
        let place = Philox::at(u64::MAX - 5, (1 << 32) - 515);
        { place }.fill_i32(&mut words, &Serial);
        for (i, some) in words.chunks(4).enumerate() {
            let counter = place.offset + i as u64;
            let key = [place.seed as u32, (place.seed >> 32) as u32];
            let expected = philox4x32([counter as u32, (counter >> 32) as u32, 0, 0], key).map(u32::cast_signed);
            assert_eq!(some, &expected[..some.len()]);
        }
    }

    #[test]
    fn threads_do_not_show_and_fills_continue() {
        let n = 5 * GRAIN + 3;
        let (mut a, mut b) = (vec![0.0f32; n], vec![0.0f32; n]);
        let mut generator = Philox::new(42);
        generator.fill_uniform_f32(&mut a, 24, &OwnPool);
        assert_eq!(generator.offset(), n.div_ceil(4) as u64);
        Philox::new(42).fill_uniform_f32(&mut b, 24, &Serial);
        assert_eq!(a, b);
        let mut c = vec![0.0f32; 8];
        Philox::at(42, 5).fill_uniform_f32(&mut c, 24, &Serial);
        assert_eq!(c, a[20..28]);
        generator.fill_uniform_f32(&mut [], 24, &Serial);
    }

    #[test]
    fn moments_and_ranges() {
        let n = 1 << 18;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let mut u = vec![0.0f64; n];
        Philox::new(1).fill_uniform_f64(&mut u, &OwnPool);
        assert!(u.iter().all(|x| (0.0..1.0).contains(x)) && (mean(&u) - 0.5).abs() < 0.003);
        let mut f = vec![0.0f32; n];
        Philox::new(3).fill_uniform_f32(&mut f, 24, &OwnPool);
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
