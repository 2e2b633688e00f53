//! Views of tensors, and their shapes changed.

use crate::tensor::{PyHost, PyTensor, integers};
use crate::tensor_index;
use pyo3::exceptions::{PyIndexError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

#[pymethods]
impl PyTensor {
    /// Dimensions reversed.
    #[getter(T)]
    fn reversed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dims: Vec<i64> = (0..self.rank()).rev().collect();
        self.viewed(py, |t| t.permute(&dims))
    }

    /// The last two dimensions swapped.
    #[getter(mT)]
    fn matrix_transposed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.rank() == 0 {
            return self.viewed(py, |t| Ok(t.clone()));
        }
        if self.rank() == 1 {
            let text = format!(
                "tensor.mT is only supported on matrices or batches of matrices. Got {}-D tensor.",
                self.rank()
            );
            return Err(PyRuntimeError::new_err(text));
        }
        self.viewed(py, |t| t.transpose(-2, -1))
    }

    /// The same memory under another shape.
    #[pyo3(signature = (*shape))]
    fn view<'py>(&self, py: Python<'py>, shape: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let shape = integers(shape)?;
        self.viewed(py, |t| t.view(&shape))
    }

    /// The same elements under another shape: a view where there is one, else a copy.
    #[pyo3(signature = (*shape))]
    fn reshape<'py>(&self, py: Python<'py>, shape: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let shape = integers(shape)?;
        self.viewed(py, |t| t.reshape(&shape, &PyHost(py)))
    }

    /// The dimensions from start_dim to end_dim as one.
    #[pyo3(signature = (start_dim=0, end_dim=-1))]
    fn flatten<'py>(&self, py: Python<'py>, start_dim: i64, end_dim: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.flatten(start_dim, end_dim, &PyHost(py)))
    }

    /// The dimensions in another order.
    #[pyo3(signature = (*dims))]
    fn permute<'py>(&self, py: Python<'py>, dims: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let dims = integers(dims)?;
        self.viewed(py, |t| t.permute(&dims))
    }

    /// Two dimensions swapped.
    fn transpose<'py>(&self, py: Python<'py>, dim0: i64, dim1: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.transpose(dim0, dim1))
    }

    /// The transpose of a matrix.
    fn t<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.rank() {
            0 | 1 => self.viewed(py, |t| Ok(t.clone())),
            2 => self.viewed(py, |t| t.transpose(0, 1)),
            n => Err(PyRuntimeError::new_err(format!("t() expects a tensor with <= 2 dimensions, but self is {n}D"))),
        }
    }

    /// Without dimensions of extent 1.
    #[pyo3(signature = (dim=None))]
    fn squeeze<'py>(&self, py: Python<'py>, dim: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let dims = dim.map(|d| integers(&PyTuple::new(py, [d])?)).transpose()?;
        self.viewed(py, |t| dims.map_or_else(|| t.squeeze(None), |dims| t.squeeze_dims(&dims)))
    }

    /// With a dimension of extent 1.
    fn unsqueeze<'py>(&self, py: Python<'py>, dim: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.unsqueeze(dim))
    }

    /// Dimensions of extent 1 repeated, without a copy.
    #[pyo3(signature = (*sizes))]
    fn expand<'py>(&self, py: Python<'py>, sizes: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let sizes = integers(sizes)?;
        self.viewed(py, |t| t.expand(&sizes))
    }

    /// Expanded to the shape of another tensor.
    fn expand_as<'py>(&self, py: Python<'py>, other: &PyTensor) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.expand(other.shape_of()))
    }

    /// Every `step`-th range of `size` elements along a dimension, as a last dimension.
    fn unfold<'py>(&self, py: Python<'py>, dimension: i64, size: i64, step: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.unfold(dimension, size, step))
    }

    /// A range of a dimension.
    fn narrow<'py>(&self, py: Python<'py>, dim: i64, start: i64, length: i64) -> PyResult<Bound<'py, PyAny>> {
        self.viewed(py, |t| t.narrow(dim, start, length))
    }

    /// One index of a dimension.
    fn select<'py>(&self, py: Python<'py>, dim: i64, index: i64) -> PyResult<Bound<'py, PyAny>> {
        if self.rank() == 0 {
            return Err(PyIndexError::new_err("select() cannot be applied to a 0-dim tensor."));
        }
        self.viewed(py, |t| t.select(dim, index))
    }

    /// All indices of a dimension, one by one.
    #[pyo3(name = "unbind", signature = (dim=0))]
    pub(crate) fn unbind_<'py>(slf: &Bound<'py, Self>, dim: i64) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        let n = this.shape_of()[this.dimension(dim)?];
        let parts: Vec<_> = (0..n).map(|i| this.select(slf.py(), dim, i)).collect::<PyResult<_>>()?;
        Ok(PyTuple::new(slf.py(), parts)?.into_any())
    }

    /// Rows by their numbers.
    fn index_select<'py>(slf: &Bound<'py, Self>, dim: i64, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        tensor_index::index_select(slf, dim, index)
    }
    /// At most `chunks` parts of equal extent along `dim`, the last one smaller.
    #[pyo3(signature = (chunks, dim=0))]
    fn chunk<'py>(slf: &Bound<'py, Self>, chunks: &Bound<'py, PyAny>, dim: i64) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("rusttorch._join")?.call_method1("chunk", (slf, chunks, dim))
    }

    /// Parts of this extent along `dim`, the last one smaller, or of these extents.
    #[pyo3(signature = (split_size, dim=0))]
    fn split<'py>(slf: &Bound<'py, Self>, split_size: &Bound<'py, PyAny>, dim: i64) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("rusttorch._join")?.call_method1("split", (slf, split_size, dim))
    }
}
