//! Operations that are no kernels against a few naive lines, over lengths on both sides of every threshold.

use rusttorch_ops::host::{
    Pick, Put, first, index_slices, masked_select, nonzero, pick, scatter, search, sort, unique,
};
use rusttorch_runtime::Tensor;

/// Numbers with ties, both zeros, infinities and NaNs.
fn sample(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match state % 37 {
                0 => f32::NAN,
                1 => -0.0,
                2 => f32::INFINITY,
                3 => f32::NEG_INFINITY,
                k if k < 20 => (state >> 32) as f32 % 50.0 - 25.0,
                _ => (state >> 32) as f32 / 1e9 - 2.0,
            }
        })
        .collect()
}

/// The stable order: NaN above all, zeros equal.
fn order(x: &[f32], descending: bool) -> Vec<i64> {
    let mut places: Vec<i64> = (0..x.len() as i64).collect();
    places.sort_by(|&a, &b| {
        let (a, b) = (x[a as usize], x[b as usize]);
        let ascending = match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).expect("none is a NaN"),
            (a, b) => a.cmp(&b),
        };
        if descending { ascending.reverse() } else { ascending }
    });
    places
}

const LENGTHS: [usize; 7] = [1, 2, 63, 1000, 8191, 8192, 20_011];

#[test]
fn elements_by_their_order() {
    for n in LENGTHS {
        let x = sample(n, n as u64);
        let (narrow, wide): (_, Vec<f64>) =
            (Tensor::from_slice(&x, &[n as i64]).unwrap(), x.iter().map(|&v| v.into()).collect());
        let wide = Tensor::from_slice(&wide, &[n as i64]).unwrap();
        for tensor in [&narrow, &wide] {
            for descending in [false, true] {
                let want = order(&x, descending);
                assert_eq!(sort(tensor, 0, descending).unwrap().1.to_vec::<i64>().unwrap(), want, "{n}");
                for k in [0, 1, n / 2, n] {
                    assert_eq!(
                        first(tensor, 0, k, descending).unwrap().1.to_vec::<i64>().unwrap(),
                        want[..k],
                        "{n}, {k}"
                    );
                }
            }
            let (want, numbers) = (order(&x, false), x.iter().filter(|v| !v.is_nan()).count());
            for (which, at) in [
                (Pick::Nth(n / 3), n / 3),
                (Pick::Median, if numbers < n { numbers } else { (n - 1) / 2 }),
                (Pick::NanMedian, numbers.saturating_sub(1) / 2),
            ] {
                assert_eq!(pick(tensor, 0, which).unwrap().1.to_vec::<i64>().unwrap(), [want[at]], "{n}, {which:?}");
            }
            let found = unique(tensor, false).unwrap();
            let (inverse, counts) = (found.inverse.to_vec::<i64>().unwrap(), found.counts.to_vec::<i64>().unwrap());
            let mut counted = vec![0; counts.len()];
            inverse.iter().for_each(|&i| counted[i as usize] += 1);
            assert_eq!(counted, counts);
            for pair in want.windows(2) {
                let [a, b] = [pair[0] as usize, pair[1] as usize];
                assert_eq!(inverse[b] - inverse[a], i64::from(x[a] != x[b]), "{n}");
            }
        }
    }
}

#[test]
fn lines_of_any_dimension() {
    let x = Tensor::from_slice(&sample(3 * 5 * 4, 9), &[3, 5, 4]).unwrap();
    for (dim, n) in [(0, 3), (1, 5), (-1, 4)] {
        let (values, places) = sort(&x, dim, false).unwrap();
        let (head, head_places) = first(&x, dim, 2, false).unwrap();
        for (whole, part) in [(&values, &head), (&places, &head_places)] {
            assert_eq!(part.shape().iter().product::<i64>() * n, 2 * 60);
            let want = whole.narrow(dim, 0, 2).unwrap().contiguous().unwrap();
            let bytes = |t: &Tensor| {
                let mut bytes = vec![0; t.nbytes()];
                t.storage().read(t.byte_offset(), &mut bytes);
                bytes
            };
            assert_eq!(bytes(part), bytes(&want));
        }
    }
}

#[test]
fn what_is_found() {
    for n in LENGTHS {
        let x = sample(n, 5);
        let rows = if n % 2 == 0 { 2 } else { 1 };
        let tensor = Tensor::from_slice(&x, &[rows, n as i64 / rows]).unwrap();
        let want: Vec<i64> = (0..n as i64).filter(|&i| x[i as usize] != 0.0).collect();
        let found = nonzero(&tensor).unwrap().to_vec::<i64>().unwrap();
        let flat: Vec<i64> = found.chunks(2).map(|at| at[0] * (n as i64 / rows) + at[1]).collect();
        assert_eq!(flat, want);
        let mask: Vec<bool> = x.iter().map(|&v| v > 0.5).collect();
        let chosen = masked_select(&tensor, &Tensor::from_slice(&mask, tensor.shape()).unwrap()).unwrap();
        let want: Vec<f32> = x.iter().copied().filter(|&v| v > 0.5).collect();
        assert_eq!(chosen.to_vec::<f32>().unwrap(), want);
        if n > 1000 {
            continue;
        }
        let mut sorted: Vec<f32> = x.iter().copied().filter(|v| !v.is_nan()).collect();
        sorted.sort_by(f32::total_cmp);
        let lines = Tensor::from_slice(&sorted, &[sorted.len() as i64]).unwrap();
        for right in [false, true] {
            let places = search(&lines, &tensor, right).unwrap().to_vec::<i64>().unwrap();
            let before = |v: f32, s: &&f32| v.is_nan() || if right { **s <= v } else { **s < v };
            let want: Vec<i64> = x.iter().map(|&v| sorted.iter().filter(|s| before(v, s)).count() as i64).collect();
            assert_eq!(places, want, "{n}, {right}");
        }
    }
}

#[test]
fn what_is_put_into_places() {
    let n = 5000;
    let (x, src) = (sample(n, 1), sample(n, 2));
    let index: Vec<i64> = (0..n as i64).map(|i| i * 7919 % 97).collect();
    let fold = |old: f32, new: f32, how| match how {
        Put::Set => new,
        Put::Sum => old + new,
        Put::Prod => old * new,
        Put::Max => {
            if old.is_nan() || new.is_nan() {
                f32::NAN
            } else {
                old.max(new)
            }
        }
        Put::Min => {
            if old.is_nan() || new.is_nan() {
                f32::NAN
            } else {
                old.min(new)
            }
        }
    };
    let same = |got: Vec<f32>, want: &[f32]| got.iter().zip(want).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
    let shape = [1, n as i64];
    let tensor = |v: &[f32]| Tensor::from_slice(v, &shape).unwrap();
    for how in [Put::Set, Put::Sum, Put::Prod, Put::Max, Put::Min] {
        let mut want = x.clone();
        for (&i, &new) in index.iter().zip(&src) {
            want[i as usize] = fold(want[i as usize], new, how);
        }
        let places = Tensor::from_slice(&index, &shape).unwrap();
        let got = scatter(how, &tensor(&x), 1, &places, &tensor(&src)).unwrap();
        assert!(same(got.to_vec().unwrap(), &want), "{how:?}");
        let places = Tensor::from_slice(&index, &[n as i64]).unwrap();
        let got = index_slices(how, &tensor(&x), 1, &places, &tensor(&src)).unwrap();
        assert!(same(got.to_vec().unwrap(), &want), "{how:?}");
    }
    let wrong = Tensor::from_slice(&[0i64, n as i64], &[1, 2]).unwrap();
    let error = scatter(Put::Sum, &tensor(&x), 1, &wrong, &tensor(&src)).unwrap_err();
    assert_eq!(error.to_string(), "index 5000 is out of bounds for dimension 1 with size 5000");
}
