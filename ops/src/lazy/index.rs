//! Indexing by tensors. Indices are read when the call is made, since their errors are the call's; rows are
//! then copied as bytes.

use super::{Host, Operand, Tensor};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{masked_select, nonzero};
use rusttorch_ir::dtype::DType;
use rusttorch_runtime::Tensor as Memory;
use rusttorch_runtime::tensor::broadcast;
use rusttorch_runtime::write::Places;

fn index_error<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Index, message))
}

/// Where the elements of an advanced index are: per indexed dimension, the positions, all of one shape.
#[derive(Clone, Debug)]
pub struct Positions {
    /// Of the index's result, in place of the indexed dimensions.
    shape: Vec<i64>,
    /// The indexed dimensions, ascending.
    dims: Vec<usize>,
    /// Numbers of rows: over the indexed dimensions in row-major order.
    rows: Vec<usize>,
}

/// One index per dimension of `x`, from the first; none for a dimension that is kept. A bool tensor stands for
/// as many dimensions as it has, and the same number of entries follow from it.
pub fn positions(x: &Tensor, indices: &[Option<Tensor>], host: &dyn Host) -> Result<Positions> {
    let mut by_dim: Vec<(usize, Memory)> = Vec::new();
    let mut dim = 0;
    for index in indices {
        let Some(index) = index else {
            dim += 1;
            continue;
        };
        match index.layout().dtype() {
            DType::Bool => {
                let rank = index.layout().rank();
                let (own, of) = (index.layout().shape(), x.layout().shape());
                for d in 0..rank {
                    if of.get(dim + d) != Some(&own[d]) {
                        return index_error(format!(
                            "The shape of the mask {own:?} at index {d} does not match the shape of the indexed tensor \
                             {of:?} at index {}",
                            dim + d
                        ));
                    }
                }
                let found = nonzero(&index.memory(host)?)?;
                for d in 0..rank {
                    by_dim.push((dim + d, found.select(1, d as i64)?));
                }
                dim += rank;
            }
            DType::I64 | DType::I32 | DType::U8 => {
                by_dim.push((dim, index.to_dtype(DType::I64, host)?.memory(host)?));
                dim += 1;
            }
            _ => {
                return index_error("tensors used as indices must be long, int, byte or bool tensors".to_owned());
            }
        }
    }
    if dim > x.layout().rank() {
        return index_error(format!("too many indices for tensor of dimension {}", x.layout().rank()));
    }
    let mut shape: Vec<i64> = Vec::new();
    for (_, index) in &by_dim {
        shape = broadcast(&shape, index.shape()).map_err(|_| {
            let shapes: Vec<String> = by_dim.iter().map(|(_, i)| format!("{:?}", i.shape())).collect();
            let text = "shape mismatch: indexing tensors could not be broadcast together with shapes";
            Error::new(ErrorKind::Index, format!("{text} {}", shapes.join(", ")))
        })?;
    }
    let mut rows = vec![0usize; shape.iter().product::<i64>() as usize];
    for (d, index) in &by_dim {
        let size = x.layout().shape()[*d];
        for (row, i) in rows.iter_mut().zip(index.expand(&shape)?.to_vec::<i64>()?) {
            if i < -size || i >= size {
                return index_error(format!("index {i} is out of bounds for dimension {d} with size {size}"));
            }
            *row = *row * size as usize + i.rem_euclid(size) as usize;
        }
    }
    Ok(Positions { shape, dims: by_dim.iter().map(|(d, _)| *d).collect(), rows })
}

/// The elements where a mask of the tensor's shape is true.
pub fn select(x: &Tensor, mask: &Tensor, host: &dyn Host) -> Result<Tensor> {
    Ok(Tensor::from(masked_select(&x.memory(host)?, &mask.memory(host)?)?))
}

impl Positions {
    /// Indexed dimensions first, the others behind them.
    fn front(&self, rank: usize) -> Vec<i64> {
        let others = (0..rank).filter(|d| !self.dims.contains(d));
        self.dims.iter().copied().chain(others).map(|d| d as i64).collect()
    }

    /// Where the index's dimensions stand in the result: at the first indexed one if those are neighbours,
    /// else in front. As the permutation from "in front".
    fn placed(&self, rank: usize) -> Vec<i64> {
        let n = self.shape.len();
        let neighbours = self.dims.windows(2).all(|d| d[1] == d[0] + 1);
        let before = if neighbours { self.dims[0] } else { 0 };
        let kept = rank - self.dims.len();
        let order = (n..n + before).chain(0..n).chain(n + before..n + kept);
        order.map(|d| d as i64).collect()
    }

    /// The elements.
    pub fn get(&self, x: &Tensor, host: &dyn Host) -> Result<Tensor> {
        let rank = x.layout().rank();
        let source = x.permute(&self.front(rank))?.memory(host)?.contiguous()?;
        let rest = &source.shape()[self.dims.len()..];
        let row = rest.iter().product::<i64>() as usize * source.dtype().size();
        let shape: Vec<i64> = self.shape.iter().chain(rest).copied().collect();
        let mut result = Memory::empty(&shape, source.dtype())?;
        let bytes = result.bytes_mut().expect("new memory is row-major and has one owner");
        if row > 0 {
            for (out, &at) in bytes.chunks_exact_mut(row).zip(&self.rows) {
                source.storage().read(source.byte_offset() + at * row, out);
            }
        }
        let placed = self.placed(rank);
        if placed.iter().enumerate().all(|(i, &d)| i as i64 == d) {
            return Ok(result.into());
        }
        Ok(Tensor::from(result.permute(&placed)?.copied()?))
    }

    /// Overwrites the elements with `value`, broadcast.
    pub fn set(&self, x: &Tensor, value: &Tensor, host: &dyn Host) -> Result<()> {
        let rank = x.layout().rank();
        let front = self.front(rank);
        let placed = self.placed(rank);
        let whole = x.permute(&front)?;
        let rest = whole.layout().shape()[self.dims.len()..].to_vec();
        let in_front: Vec<i64> = self.shape.iter().chain(&rest).copied().collect();
        let shape: Vec<i64> = placed.iter().map(|&d| in_front[d as usize]).collect();
        let mut value = value.for_rank(shape.len())?.to_dtype(x.layout().dtype(), host)?;
        if value.layout().shape() != shape {
            value = value.expand(&shape).map_err(|_| {
                let text = format!(
                    "shape mismatch: value tensor of shape {:?} cannot be broadcast to indexing result of shape {shape:?}",
                    value.layout().shape()
                );
                Error::new(ErrorKind::Runtime, text)
            })?;
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        let parts: Vec<i64> = std::iter::once(self.rows.len() as i64).chain(rest).collect();
        let value = value.permute(&inverse(&placed))?.memory(host)?.contiguous()?.view(&parts)?;
        // There are rows, so every indexed dimension has an element 0.
        let mut row = whole.layout().clone();
        for _ in &self.dims {
            row = row.select(0, 0)?;
        }
        let (sizes, steps) = (whole.layout().shape(), whole.layout().byte_strides());
        let place = |&at: &usize| {
            let mut left = at as i64;
            let inner: i64 = (1..self.dims.len())
                .rev()
                .map(|d| {
                    let digit = left % sizes[d];
                    left /= sizes[d];
                    digit * steps[d]
                })
                .sum();
            inner + left * steps[0]
        };
        let at: Vec<i64> = self.rows.iter().map(place).collect();
        x.refuse_overlap()?;
        x.write_to(Places { view: &row, at: &at }, value, host)
    }
}

fn inverse(permutation: &[i64]) -> Vec<i64> {
    let mut inverse = vec![0; permutation.len()];
    for (i, &d) in permutation.iter().enumerate() {
        inverse[d as usize] = i as i64;
    }
    inverse
}

/// `x[mask] = value` for one value: a selection, which waits like any operation.
pub fn fill_where(x: &Tensor, mask: &Tensor, value: Operand, host: &dyn Host) -> Result<()> {
    let operands = [Operand::Tensor(mask.clone()), value, Operand::Tensor(x.clone())];
    let chosen = Tensor::op("where", &operands, DType::F32, host)?;
    x.assign(&chosen, host)
}
