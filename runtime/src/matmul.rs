//! Matrix products of f32 and f64, over crate `gemm`: `torch.matmul` with its broadcasting, for operands of
//! any strides.
//!
//! The blocking follows the CPU, so bits differ between machines (DESIGN.md 5). Large products use our own
//! pool; inside a task of any pool a product is serial.
//!
//! Unsafe: `gemm` takes pointers.
#![allow(unsafe_code)]

use rusttorch_ir::dtype::DType;

use crate::error::{Detail, Result};
use crate::fpu::FpuGuard;
use crate::pool::{OwnPool, Parallel, split};
use crate::tensor::{Meeting, Tensor, broadcast};

/// Multiply-adds below which threads cost more than they bring: about 50 us of one core.
const PARALLEL_FROM: i64 = 1 << 20;

/// A batch of products (m, k) x (k, n).
struct Plan {
    batch: Vec<i64>,
    m: i64,
    n: i64,
    k: i64,
    /// `(batch.., m, k)` and `(batch.., k, n)`.
    a: Tensor,
    b: Tensor,
    /// Which operands are of one dimension, and so add none to the result.
    vector: [bool; 2],
    /// Of the result.
    shape: Vec<i64>,
}

/// `torch.matmul(a, b)` into new row-major memory.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let plan = plan(a, b)?;
    let out = Tensor::empty(&plan.shape, a.dtype())?;
    // SAFETY: the memory is new, so nobody else has it.
    unsafe { plan.run(&out)? };
    Ok(out)
}

/// `torch.matmul(a, b, out=out)`, for an `out` that has the result's shape.
///
/// # Safety
/// No other thread accesses the elements of `out` meanwhile (rule S1 of [`crate::storage`]).
pub unsafe fn matmul_out(a: &Tensor, b: &Tensor, out: &Tensor) -> Result<()> {
    let plan = plan(a, b)?;
    if out.dtype() != a.dtype() {
        return Err(Detail::OutDType { expected: a.dtype(), got: out.dtype() }.into());
    }
    if out.shape() != plan.shape {
        return Err(Detail::OutShape { expected: plan.shape, got: out.shape().to_vec() }.into());
    }
    if out.storage().is_read_only() {
        return Err(Detail::ReadOnly.into());
    }
    if crate::layout::internal_overlap(out.shape(), out.strides()) != crate::layout::Overlap::No {
        return Err(Detail::InternalOverlap.into());
    }
    if [a, b].into_iter().any(|t| t.meets(out) != Meeting::Apart) {
        return Err(Detail::InputOverlap.into());
    }
    // SAFETY: the caller's promise; operands are apart from the output.
    unsafe { plan.run(out) }
}

/// Shape and dtype of `matmul(a, b)`, or the error it gives.
pub fn matmul_shape(a: &Tensor, b: &Tensor) -> Result<Vec<i64>> {
    plan(a, b).map(|p| p.shape)
}

fn plan(a: &Tensor, b: &Tensor) -> Result<Plan> {
    let rank = [a.rank(), b.rank()];
    if rank.contains(&0) {
        return Err(Detail::MatmulRank { a: rank[0], b: rank[1] }.into());
    }
    if a.dtype() != b.dtype() {
        return Err(Detail::MatmulDType { rank, dtypes: [a.dtype(), b.dtype()] }.into());
    }
    let matrix = |t: &Tensor| [t.shape()[t.rank() - 2], t.shape()[t.rank() - 1]];
    let (lead_a, lead_b) = (&a.shape()[..rank[0].saturating_sub(2)], &b.shape()[..rank[1].saturating_sub(2)]);
    // PyTorch folds the batch of an operand into rows where the other is one matrix, and speaks of that.
    let folded = |t: &Tensor| {
        let cols = *t.shape().last().expect("no operand is 0-d");
        [t.shape()[..t.rank() - 1].iter().product(), cols]
    };
    match rank {
        [1, 1] if a.shape() != b.shape() => {
            return Err(Detail::Dot { a: a.shape()[0], b: b.shape()[0] }.into());
        }
        [1, 1] => {}
        [_, 1] if folded(a)[1] != b.shape()[0] => {
            return Err(Detail::Mv { mat: folded(a), vec: b.shape()[0] }.into());
        }
        [1, 2] if a.shape()[0] != b.shape()[0] => {
            return Err(Detail::Mm { a: [1, a.shape()[0]], b: matrix(b) }.into());
        }
        [_, 2] if a.shape()[rank[0] - 1] != b.shape()[0] => {
            return Err(Detail::Mm { a: folded(a), b: matrix(b) }.into());
        }
        _ => {}
    }
    let batch = broadcast(lead_a, lead_b)?;
    let a2 = if rank[0] == 1 { a.unsqueeze(0)? } else { a.clone() };
    let b2 = if rank[1] == 1 { b.unsqueeze(1)? } else { b.clone() };
    let ([m, k], [k2, n]) = (matrix(&a2), matrix(&b2));
    if k != k2 {
        let batches: i64 = batch.iter().product();
        return Err(Detail::Bmm { expected: [batches, k], got: [batches, k2] }.into());
    }
    if !matches!(a.dtype(), DType::F32 | DType::F64) {
        let kernel = match rank {
            [1, 1] => "dot",
            [_, 1] => "addmv_impl_cpu",
            [_, 2] => "addmm_impl_cpu_",
            _ => "bmm",
        };
        return Err(Detail::NoKernel { kernel, dtype: a.dtype() }.into());
    }
    let with = |rows: i64, cols: i64| batch.iter().copied().chain([rows, cols]).collect::<Vec<i64>>();
    let mut shape = batch.clone();
    shape.extend((rank[0] > 1).then_some(m));
    shape.extend((rank[1] > 1).then_some(n));
    Ok(Plan {
        a: a2.expand(&with(m, k))?,
        b: b2.expand(&with(k, n))?,
        vector: rank.map(|r| r == 1),
        batch,
        m,
        n,
        k,
        shape,
    })
}

/// The pointers of a product, for the threads that share it.
struct Pointers {
    a: *const u8,
    b: *const u8,
    out: *mut u8,
}

// SAFETY: `Plan::run` keeps the tensors alive; operands are only read, and threads write distinct elements.
unsafe impl Sync for Pointers {}
// SAFETY: as above.
unsafe impl Send for Pointers {}

impl Plan {
    /// # Safety
    /// `out` has the plan's shape and dtype, its elements are distinct, no operand shares them, and no other
    /// thread accesses them.
    unsafe fn run(mut self, out: &Tensor) -> Result<()> {
        let mut out = out.clone();
        if self.vector[1] {
            out = out.unsqueeze(-1)?;
        }
        if self.vector[0] {
            out = out.unsqueeze(-2)?;
        }
        if out.numel() == 0 {
            return Ok(());
        }
        if !out.is_aligned() {
            return Err(Detail::Misaligned { dtype: out.dtype() }.into());
        }
        for operand in [&mut self.a, &mut self.b] {
            if !operand.is_aligned() {
                *operand = operand.copied()?;
            }
        }
        self.fold(&mut out)?;
        let pointers = Pointers { a: self.a.data_ptr(), b: self.b.data_ptr(), out: out.data_ptr() };
        let batches = self.batch.iter().product::<i64>();
        let work = self.m.saturating_mul(self.n).saturating_mul(self.k);
        let each = |range: std::ops::Range<usize>, parallelism: gemm::Parallelism| {
            for index in range {
                // SAFETY: by the caller's promise, and T1 of tensor.rs, as `index` is a batch.
                unsafe { self.product(&pointers, &out, index as i64, parallelism) };
            }
        };
        let batches = batches as usize;
        let threads = OwnPool.threads();
        if threads > 1 && work < PARALLEL_FROM && batches > 1 {
            let grain = (PARALLEL_FROM / work.max(1)) as usize;
            split(&OwnPool, batches, grain.max(1), &|range| each(range, gemm::Parallelism::None));
        } else if threads > 1 && work >= PARALLEL_FROM {
            OwnPool.install(|threads| each(0..batches, gemm::Parallelism::Rayon(threads)));
        } else {
            let _fpu = FpuGuard::new();
            each(0..batches, gemm::Parallelism::None);
        }
        Ok(())
    }

    /// Turns a batch of products with one right operand into a single product, where the left operand and
    /// the result can be viewed as one matrix.
    fn fold(&mut self, out: &mut Tensor) -> Result<()> {
        let lead = self.batch.len();
        let one_b = (0..lead).all(|d| self.batch[d] == 1 || self.b.strides()[d] == 0);
        if lead == 0 || !one_b {
            return Ok(());
        }
        let rows = self.batch.iter().product::<i64>() * self.m;
        if let (Ok(a), Ok(folded)) = (self.a.view(&[rows, self.k]), out.view(&[rows, self.n])) {
            for _ in 0..lead {
                self.b = self.b.select(0, 0)?;
            }
            (self.a, *out) = (a, folded);
            self.batch.clear();
            self.m = rows;
        }
        Ok(())
    }

    /// # Safety
    /// As `run`, and `index` is below the number of batches.
    unsafe fn product(&self, p: &Pointers, out: &Tensor, index: i64, parallelism: gemm::Parallelism) {
        let at = |t: &Tensor| {
            let mut rest = index;
            let mut offset = 0;
            for d in (0..self.batch.len()).rev() {
                offset += rest % self.batch[d] * t.strides()[d];
                rest /= self.batch[d];
            }
            offset as isize
        };
        let steps = |t: &Tensor| {
            let s = t.strides();
            (s[s.len() - 1] as isize, s[s.len() - 2] as isize)
        };
        macro_rules! call {
            ($t:ty) => {{
                let (out_cols, out_rows) = steps(out);
                let (a_cols, a_rows) = steps(&self.a);
                let (b_cols, b_rows) = steps(&self.b);
                // SAFETY: all elements that the strides reach are within the tensors' storage, aligned, and of
                // this type; the output is apart from the operands.
                unsafe {
                    gemm::gemm::<$t>(
                        self.m as usize,
                        self.n as usize,
                        self.k as usize,
                        p.out.cast::<$t>().offset(at(out)),
                        out_cols,
                        out_rows,
                        false,
                        p.a.cast::<$t>().offset(at(&self.a)),
                        a_cols,
                        a_rows,
                        p.b.cast::<$t>().offset(at(&self.b)),
                        b_cols,
                        b_rows,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        parallelism,
                    )
                }
            }};
        }
        match out.dtype() {
            DType::F32 => call!(f32),
            _ => call!(f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn numbers(shape: &[i64]) -> Tensor {
        let n = shape.iter().product::<i64>();
        let values: Vec<f64> = (0..n).map(|i| ((i * 37 + 11) % 19) as f64 - 9.0).collect();
        Tensor::from_slice(&values, shape).unwrap()
    }

    fn at(t: &Tensor, index: &[i64]) -> f64 {
        index.iter().fold(t.clone(), |t, &i| t.select(0, i).unwrap()).item().unwrap()
    }

    /// Integers, so that sums are exact in any order.
    fn check(a: &Tensor, b: &Tensor) {
        let out = matmul(a, b).unwrap();
        let a2 = if a.rank() == 1 { a.unsqueeze(0).unwrap() } else { a.clone() };
        let b2 = if b.rank() == 1 { b.unsqueeze(1).unwrap() } else { b.clone() };
        let (ra, rb) = (a2.rank(), b2.rank());
        let (m, k, n) = (a2.shape()[ra - 2], a2.shape()[ra - 1], b2.shape()[rb - 1]);
        let batch = broadcast(&a2.shape()[..ra - 2], &b2.shape()[..rb - 2]).unwrap();
        let full = |rows, cols| [&batch[..], &[rows, cols]].concat();
        let count = batch.iter().product::<i64>();
        let a3 = a2.expand(&full(m, k)).unwrap().reshape(&[count, m, k]).unwrap();
        let b3 = b2.expand(&full(k, n)).unwrap().reshape(&[count, k, n]).unwrap();
        let o3 = out.reshape(&[count, m, n]).unwrap();
        for i in 0..count {
            for r in 0..m {
                for c in 0..n {
                    let expected: f64 = (0..k).map(|x| at(&a3, &[i, r, x]) * at(&b3, &[i, x, c])).sum();
                    assert_eq!(at(&o3, &[i, r, c]), expected, "{:?} @ {:?}", a.shape(), b.shape());
                }
            }
        }
    }

    #[test]
    fn ranks_batches_and_strides() {
        let shapes: [(&[i64], &[i64]); 13] = [
            (&[4], &[4]),
            (&[3, 4], &[4]),
            (&[4], &[4, 5]),
            (&[3, 4], &[4, 5]),
            (&[1, 1], &[1, 1]),
            (&[2, 3, 4], &[4]),
            (&[4], &[2, 4, 3]),
            (&[2, 3, 4], &[4, 5]),
            (&[3, 4], &[2, 4, 5]),
            (&[2, 1, 3, 4], &[3, 4, 2]),
            (&[2, 3, 4], &[1, 4, 5]),
            (&[17, 9], &[9, 33]),
            (&[2, 2, 3, 4], &[4, 3]),
        ];
        for (sa, sb) in shapes {
            let (a, b) = (numbers(sa), numbers(sb));
            check(&a, &b);
            // Transposed in memory, and every other element.
            let swapped = |t: &Tensor| {
                let last = t.rank() as i64 - 1;
                t.transpose(0, last).unwrap().copied().unwrap().transpose(0, last).unwrap()
            };
            check(&swapped(&a), &swapped(&b));
            let sparse = |t: &Tensor| {
                let doubled: Vec<i64> = t.shape().iter().map(|n| n * 2).collect();
                (0..t.rank()).fold(numbers(&doubled), |t, d| t.slice(d as i64, 0, i64::MAX, 2).unwrap())
            };
            check(&sparse(&a), &sparse(&b));
        }
    }

    #[test]
    fn no_elements_and_no_terms() {
        let empty = |shape: &[i64]| Tensor::zeros(shape, DType::F32).unwrap();
        assert_eq!(matmul(&empty(&[2, 0]), &empty(&[0, 3])).unwrap().to_vec::<f32>().unwrap(), [0.0; 6]);
        assert_eq!(matmul(&empty(&[0]), &empty(&[0])).unwrap().item::<f32>().unwrap(), 0.0);
        assert_eq!(matmul(&empty(&[0, 3]), &empty(&[3, 4])).unwrap().shape(), [0, 4]);
        assert_eq!(matmul(&empty(&[0, 2, 3]), &empty(&[3, 4])).unwrap().shape(), [0, 2, 4]);
    }

    #[test]
    fn large_products_use_threads() {
        let ones = |shape: &[i64]| Tensor::from_slice(&vec![1.0f32; shape.iter().product::<i64>() as usize], shape);
        let out = matmul(&ones(&[300, 200]).unwrap(), &ones(&[200, 310]).unwrap()).unwrap();
        assert!(out.to_vec::<f32>().unwrap().iter().all(|&v| v == 200.0));
        let out = matmul(&ones(&[500, 20, 30]).unwrap(), &ones(&[500, 30, 10]).unwrap()).unwrap();
        assert!(out.to_vec::<f32>().unwrap().iter().all(|&v| v == 30.0));
    }

    #[test]
    fn outputs_are_checked() {
        let (a, b) = (numbers(&[2, 3]), numbers(&[3, 2]));
        // SAFETY: nobody else has these tensors.
        let into = |out: &Tensor| unsafe { matmul_out(&a, &b, out) };
        let out = Tensor::zeros(&[2, 2], DType::F64).unwrap().transpose(0, 1).unwrap();
        into(&out).unwrap();
        assert_eq!(out.to_vec::<f64>().unwrap(), matmul(&a, &b).unwrap().to_vec::<f64>().unwrap());
        let shared = Tensor::zeros(&[1, 2], DType::F64).unwrap().expand(&[2, 2]).unwrap();
        assert_eq!(into(&shared).unwrap_err().kind(), ErrorKind::Overlap);
        assert_eq!(into(&a.narrow(1, 0, 2).unwrap()).unwrap_err().kind(), ErrorKind::Overlap);
        assert_eq!(into(&Tensor::zeros(&[4], DType::F64).unwrap()).unwrap_err().kind(), ErrorKind::Shape);
        let error = into(&Tensor::zeros(&[2, 2], DType::F32).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "Expected out tensor to have dtype double, but got float instead");
    }

    #[test]
    fn errors_are_worded_as_torch_words_them() {
        let z = |shape: &[i64], dtype| Tensor::zeros(shape, dtype).unwrap();
        let text = |a: Tensor, b: Tensor| matmul(&a, &b).unwrap_err().to_string();
        let f = |shape: &[i64]| z(shape, DType::F32);
        let d = |shape: &[i64]| z(shape, DType::F64);
        let l = |shape: &[i64]| z(shape, DType::I64);
        let cases = [
            (text(f(&[2, 3]), f(&[4, 5])), "mm: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
            (text(f(&[3]), f(&[4, 5])), "mm: mat1 and mat2 shapes cannot be multiplied (1x3 and 4x5)"),
            (text(f(&[2, 3, 4]), f(&[5, 6])), "mm: mat1 and mat2 shapes cannot be multiplied (6x4 and 5x6)"),
            (text(f(&[2, 3]), f(&[4])), "size mismatch, got input (2), mat (2x3), vec (4)"),
            (
                text(f(&[3]), f(&[4])),
                "inconsistent tensor size, expected tensor [3] and src [4] to have the same number of elements, but \
                 got 3 and 4 elements respectively",
            ),
            (
                text(f(&[2, 3, 4]), f(&[3, 4, 5])),
                "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0",
            ),
            (
                text(f(&[2, 3, 4]), f(&[2, 5, 6])),
                "Expected size for first two dimensions of batch2 tensor to be: [2, 4] but got: [2, 5].",
            ),
            (text(f(&[]), f(&[2, 3])), "both arguments to matmul need to be at least 1D, but they are 0D and 2D"),
            (text(f(&[2, 3]), d(&[3, 5])), "expected m1 and m2 to have the same dtype, but got: float != double"),
            (text(f(&[3]), d(&[3])), "dot : expected both vectors to have same dtype, but found Float and Double"),
            (
                text(f(&[2, 3]), d(&[3])),
                "addmv input tensors must have the same dtype, but got Double, Float, and Double",
            ),
            (text(f(&[2, 3, 4]), d(&[2, 4, 3])), "expected scalar type Float but found Double"),
            (text(l(&[2, 3]), l(&[3, 2])), "\"addmm_impl_cpu_\" not implemented for 'Long'"),
            (text(l(&[2, 3]), l(&[3])), "\"addmv_impl_cpu\" not implemented for 'Long'"),
            (text(l(&[3]), l(&[3])), "\"dot\" not implemented for 'Long'"),
            (text(l(&[2, 2, 3]), l(&[2, 3, 2])), "\"bmm\" not implemented for 'Long'"),
        ];
        for (got, expected) in cases {
            assert_eq!(got, expected);
        }
    }
}
