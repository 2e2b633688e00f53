use pyo3::prelude::*; #[pymodule] fn _rusttorch(_m: &Bound<'_, PyModule>) -> PyResult<()> { Ok(()) }
