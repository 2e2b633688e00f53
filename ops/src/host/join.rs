//! Tensors one after another: runs of bytes, copied whole.

use super::lanes::{new_bytes, share_out};
use crate::error::Result;
use rusttorch_runtime::tensor::{Tensor, wrap_dim};

/// Bytes of a result that one thread copies at a time.
const SHARE: usize = 1 << 18;
/// Runs below this length are copied by way of a buffer: they are too short for a copy of their own.
const SHORT: usize = 64;
/// Bytes of that buffer.
const BUFFER: usize = 1 << 14;

/// `torch.cat`: the tensors, which have one dtype and, but along `dim`, equal extents, one after another along `dim`.
///
/// # Errors
/// A dimension out of range; no memory.
///
/// # Panics
/// When there are no tensors.
pub fn cat(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    let first = tensors.first().expect("callers have refused an empty list");
    let dim = wrap_dim(dim, first.rank())?;
    let parts: Vec<Part> = tensors.iter().map(|t| Part::of(t, dim)).collect::<Result<_>>()?;
    let mut shape = first.shape().to_vec();
    shape[dim] = tensors.iter().map(|t| t.shape()[dim]).sum();
    let mut result = Tensor::empty(&shape, first.dtype())?;
    let row: usize = parts.iter().map(|p| p.run).sum();
    let out = new_bytes(&mut result);
    if out.is_empty() {
        return Ok(result);
    }
    if parts.iter().any(|p| p.run >= SHARE) {
        // Few long runs: each is cut.
        let mut cuts = Vec::new();
        for (number, row) in out.chunks_mut(row).enumerate() {
            let mut rest = row;
            for part in &parts {
                let (run, behind) = rest.split_at_mut(part.run);
                rest = behind;
                cuts.extend(run.chunks_mut(SHARE).enumerate().map(|(i, cut)| (part, number, i * SHARE, cut)));
            }
        }
        share_out(cuts, |(part, number, start, cut)| part.read(number, start, cut));
    } else {
        let rows = SHARE.div_ceil(row);
        let blocks = out.chunks_mut(rows * row).enumerate().collect();
        share_out(blocks, |(i, block): (usize, &mut [u8])| {
            let mut column = 0;
            for part in &parts {
                part.copy_rows(i * rows, block, row, column);
                column += part.run;
            }
        });
    }
    Ok(result)
}

/// A tensor as runs of bytes, one for each index of the dimensions in front of the one that is joined.
struct Part {
    tensor: Tensor,
    /// Bytes of a run.
    run: usize,
    /// Extents and strides, in bytes, of the dimensions in front.
    outer: Vec<(usize, i64)>,
}

impl Part {
    fn of(tensor: &Tensor, dim: usize) -> Result<Part> {
        let size = tensor.dtype().size();
        let mut run = size as i64;
        let mut whole = true;
        for (&n, &stride) in tensor.shape().iter().zip(tensor.strides()).skip(dim).rev() {
            whole &= n == 1 || stride * size as i64 == run;
            run *= n;
        }
        let tensor = if whole { tensor.clone() } else { tensor.copied()? };
        // What is evenly spaced is one dimension.
        let mut outer: Vec<(usize, i64)> = Vec::new();
        for (&n, &stride) in tensor.shape().iter().zip(tensor.strides()).take(dim).filter(|&(&n, _)| n != 1) {
            let stride = stride * size as i64;
            match outer.last_mut() {
                Some((m, step)) if *step == stride * n => (*m, *step) = (*m * n as usize, stride),
                _ => outer.push((n as usize, stride)),
            }
        }
        Ok(Part { tensor, run: run as usize, outer })
    }

    /// Where run `number` starts in the storage.
    fn start(&self, mut number: usize) -> usize {
        let mut at = self.tensor.byte_offset();
        for &(n, stride) in self.outer.iter().rev() {
            at = at.wrapping_add_signed((number % n) as isize * stride as isize);
            number /= n;
        }
        at
    }

    /// Bytes of run `number` from `start` on.
    fn read(&self, number: usize, start: usize, out: &mut [u8]) {
        self.tensor.storage().read(self.start(number) + start, out);
    }

    /// The runs from `first` on to place `column` of every row of the block.
    fn copy_rows(&self, first: usize, block: &mut [u8], row: usize, column: usize) {
        let dense = match self.outer[..] {
            [] => true,
            [(_, stride)] => stride == self.run as i64,
            _ => false,
        };
        if self.run == 0 {
        } else if self.run == row && dense {
            self.read(first, 0, block);
        } else if self.run < SHORT && dense {
            let (mut buffer, group) = ([0; BUFFER], BUFFER / self.run);
            for (i, rows) in block.chunks_mut(group * row).enumerate() {
                let runs = &mut buffer[..rows.len() / row * self.run];
                self.read(first + i * group, 0, runs);
                match self.run {
                    1 => put_runs::<1>(runs, rows, row, column),
                    2 => put_runs::<2>(runs, rows, row, column),
                    4 => put_runs::<4>(runs, rows, row, column),
                    8 => put_runs::<8>(runs, rows, row, column),
                    16 => put_runs::<16>(runs, rows, row, column),
                    run => {
                        for (to, from) in rows.chunks_exact_mut(row).zip(runs.chunks_exact(run)) {
                            to[column..column + run].copy_from_slice(from);
                        }
                    }
                }
            }
        } else {
            for (i, row) in block.chunks_exact_mut(row).enumerate() {
                self.read(first + i, 0, &mut row[column..column + self.run]);
            }
        }
    }
}

fn put_runs<const RUN: usize>(runs: &[u8], rows: &mut [u8], row: usize, column: usize) {
    if row == 2 * RUN && column.is_multiple_of(RUN) {
        for (to, from) in rows.as_chunks_mut::<RUN>().0.chunks_exact_mut(2).zip(runs.as_chunks::<RUN>().0) {
            to[column / RUN] = *from;
        }
        return;
    }
    for (to, from) in rows.chunks_exact_mut(row).zip(runs.as_chunks::<RUN>().0) {
        to[column..column + RUN].copy_from_slice(from);
    }
}
