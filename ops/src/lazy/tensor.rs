//! The tensor that users hold: a view of a buffer, and what is done with it.

use super::Host;
use super::infer::signature;
use super::pending::{Arg, Args, Buffer, Call, State, Step, Steps, run_readers};
use super::run::Job;
use crate::engine;
use crate::error::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use rusttorch_ir::dtype::{Category, DType};
use rusttorch_ir::expr::{Attr, Program};
use rusttorch_runtime::dims::Dims;
use rusttorch_runtime::layout;
use rusttorch_runtime::tensor::Meeting;
use rusttorch_runtime::write::Places;
use rusttorch_runtime::{Storage, Tensor as Memory, View};
use std::sync::{Arc, LazyLock, OnceLock, PoisonError};

/// What is called: a program whose results follow from its operands. Two are the same when they are one
/// object, so that plans are found by address.
#[derive(Clone, Debug)]
pub struct Function(pub Arc<Program>);

impl Function {
    /// The function of a built-in op over its first `given` parameters, the others having their defaults; one object
    /// per name and number.
    ///
    /// # Errors
    /// When there is no such op, or a further parameter has no default.
    pub fn builtin(name: &str, given: usize) -> Result<Function> {
        /// By name, and by the number of parameters.
        type Functions = FxHashMap<String, Box<[OnceLock<Function>]>>;
        static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
            let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
            let builtin = table.iter().filter(|op| op.builtin);
            builtin.map(|op| (op.name.to_string(), vec![OnceLock::new(); op.params.len() + 1].into())).collect()
        });
        let slot = FUNCTIONS.get(name).and_then(|all| all.get(given));
        if let Some(function) = slot.and_then(OnceLock::get) {
            return Ok(function.clone());
        }
        let table = engine::table().read().unwrap_or_else(PoisonError::into_inner);
        let op = table.lookup(name).filter(|op| op.builtin);
        let Some(op) = op else { return Err(Error::new(ErrorKind::Name, format!("there is no op {name}"))) };
        if let Some(param) = op.params.iter().skip(given).find(|p| p.default.is_none()) {
            let text = format!("{name}() missing required argument: '{}'", param.name);
            return Err(Error::new(ErrorKind::Type, text));
        }
        let mut program = Program::new();
        let params = op.params.iter().take(given);
        let args: Vec<_> = params.map(|p| program.param(&p.name, p.default.clone())).collect();
        let result = program.call(name, &args, &[]);
        program.output(result);
        let function = Function(Arc::new(program));
        // Another thread may have been first.
        Ok(slot.map_or(function.clone(), |slot| slot.get_or_init(|| function).clone()))
    }
}

/// An operand of a call.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A tensor.
    Tensor(Tensor),
    /// A Python number: the bits of an i64, an f64, or 0 and 1.
    Number(Category, u64),
    /// A part of the structure: a dim, a shape, a mode.
    Literal(Attr),
}

/// A lazy tensor. Clones and views share its memory, and see what is written to it.
#[derive(Clone, Debug)]
pub struct Tensor {
    buffer: Arc<Buffer>,
    view: Arc<View>,
    /// None when kernels cannot express the view.
    steps: Option<Steps>,
}

/// The value of every tensor, computed now.
pub fn eval(tensors: &[Tensor], host: &dyn Host) -> Result<()> {
    tensors.iter().try_for_each(|t| t.buffer.force(host).map(drop))
}

impl From<Memory> for Tensor {
    /// A tensor over memory of its own.
    fn from(memory: Memory) -> Tensor {
        let lent = !memory.storage().is_ours();
        Tensor::over(&memory, lent)
    }
}

impl Tensor {
    fn over(memory: &Memory, lent: bool) -> Tensor {
        Tensor::whole(Arc::new(Buffer::ready(memory, lent)))
    }

    fn whole(buffer: Arc<Buffer>) -> Tensor {
        Tensor { view: buffer.whole.clone(), buffer, steps: Some(Steps::WHOLE) }
    }

    /// A tensor over memory that somebody else may write: nothing that reads it waits.
    pub fn borrowed(memory: &Memory) -> Tensor {
        Tensor::over(memory, true)
    }

    /// Dtype, shape, strides and offset.
    pub fn layout(&self) -> &View {
        &self.view
    }

    pub(super) fn buffer(&self) -> &Arc<Buffer> {
        &self.buffer
    }

    pub(super) fn shared_layout(&self) -> &Arc<View> {
        &self.view
    }

    pub(super) fn steps(&self) -> Option<&Steps> {
        self.steps.as_ref()
    }

    /// True when its value is still to be computed.
    pub fn is_pending(&self) -> bool {
        matches!(*self.buffer.state(), State::Pending(_))
    }

    /// True when both are views of one storage.
    pub fn shares_memory(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer)
    }

    fn is_lent(&self) -> bool {
        matches!(*self.buffer.state(), State::Ready { lent: true, .. })
    }

    /// True when it is all of its buffer, in the buffer's order.
    fn is_whole(&self) -> bool {
        self.view == self.buffer.whole
    }

    /// The value now. What is called later and writes the tensor does not change it, unless it is lent.
    pub fn memory(&self, host: &dyn Host) -> Result<Memory> {
        Ok(Memory::of(self.buffer.force(host)?, &self.view)?)
    }

    /// The tensor's own memory, for another library to read and write as long as it owns it. From now on
    /// operations on this tensor and its views run when they are called.
    pub fn lend(&self, host: &dyn Host) -> Result<Memory> {
        loop {
            let storage = self.buffer.force(host)?;
            match &mut *self.buffer.state() {
                State::Ready { storage: now, lent } if now.is_same(&storage) => *lent = true,
                _ => continue,
            }
            run_readers(&storage, host)?;
            return Ok(Memory::of(storage, &self.view)?);
        }
    }
}

/// Calls.
impl Tensor {
    /// The result of a function of one result. It waits, unless an operand is lent memory or its value may be
    /// an error.
    ///
    /// # Errors
    /// Operands that do not fit, worded as PyTorch words it.
    pub fn call(function: &Function, operands: &[Operand], default: DType, host: &dyn Host) -> Result<Tensor> {
        let signature = signature(function, operands, default)?;
        let [result] = &signature.results[..] else {
            return Err(Error::internal(format!("{} results where one was expected", signature.results.len())));
        };
        let call = Call { function, operands, result, ordered: signature.ordered, default };
        let buffer = call.add(None, host)?.expect("only targets are refused");
        if signature.eager {
            buffer.force(host)?;
        }
        Ok(Tensor::whole(buffer))
    }

    /// The results of a function, computed now as one kernel.
    pub fn call_now(function: &Function, operands: &[Operand], default: DType, host: &dyn Host) -> Result<Vec<Tensor>> {
        let signature = signature(function, operands, default)?;
        let args = operands.iter().map(|o| {
            Ok(match o {
                Operand::Tensor(t) => Arg::Memory(t.buffer.force(host)?, t.view.clone()),
                Operand::Number(category, bits) => Arg::Number(*category, *bits),
                Operand::Literal(attr) => Arg::Literal(attr.clone()),
            })
        });
        let args = args.collect::<Result<Args>>()?;
        // Another thread may have lent an operand while one was computed.
        let lent = operands.iter().any(|o| matches!(o, Operand::Tensor(t) if t.is_lent()));
        let job = Job::single(function, args, signature.results.clone(), default, lent);
        let memory = job.run(host)?.into_iter().zip(&signature.results).map(|(s, view)| Memory::of(s, view));
        memory.map(|m| Ok(Tensor::from(m?))).collect()
    }

    /// The call of a built-in op whose further parameters have their defaults.
    pub fn op(name: &str, operands: &[Operand], default: DType, host: &dyn Host) -> Result<Tensor> {
        Tensor::call(&Function::builtin(name, operands.len())?, operands, default, host)
    }

    /// The same values as another dtype; itself if it is of that dtype.
    pub fn to_dtype(&self, dtype: DType, host: &dyn Host) -> Result<Tensor> {
        if dtype == self.view.dtype() {
            return Ok(self.clone());
        }
        let name = Operand::Literal(Attr::Str(dtype.torch_name().to_owned()));
        Tensor::op("to", &[Operand::Tensor(self.clone()), name], DType::F32, host)
    }

    /// A copy with the strides that `torch.clone` gives, or row-major.
    pub fn copied(&self, row_major: bool, host: &dyn Host) -> Result<Tensor> {
        let (shape, strides) = (self.view.shape(), self.view.strides());
        let strides =
            if row_major { Dims::contiguous(shape).to_vec() } else { layout::preserve_format_strides(shape, strides) };
        let dtype = self.view.dtype();
        let result = View::of_result(&rusttorch_ir::graph::TensorMeta { dtype, shape: shape.to_vec(), strides })?;
        let function = Function::builtin("to", 2)?;
        let operands = [Operand::Tensor(self.clone()), Operand::Literal(Attr::Str(dtype.torch_name().to_owned()))];
        let result = &Arc::new(result);
        let call = Call { function: &function, operands: &operands, result, ordered: false, default: DType::F32 };
        Ok(Tensor::whole(call.add(None, host)?.expect("only targets are refused")))
    }
}

/// Views.
impl Tensor {
    fn with(&self, view: View, step: Option<Step>) -> Tensor {
        let steps = match (&self.steps, step) {
            (Some(steps), Some(step)) => Some(steps.then(step)),
            _ => None,
        };
        Tensor { buffer: self.buffer.clone(), view: Arc::new(view), steps }
    }

    /// `torch.permute`.
    pub fn permute(&self, dims: &[i64]) -> Result<Tensor> {
        Ok(self.with(self.view.permute(dims)?, Some(Step::Permute(dims.into()))))
    }

    /// `torch.transpose`.
    pub fn transpose(&self, a: i64, b: i64) -> Result<Tensor> {
        let view = self.view.transpose(a, b)?;
        let rank = self.view.rank() as i64;
        let mut dims: Vec<i64> = (0..rank).collect();
        if rank > 0 {
            dims.swap(a.rem_euclid(rank) as usize, b.rem_euclid(rank) as usize);
        }
        Ok(self.with(view, Some(Step::Permute(dims.into()))))
    }

    /// `torch.Tensor.view`.
    pub fn view(&self, shape: &[i64]) -> Result<Tensor> {
        Ok(self.reshaped(self.view.view(shape)?))
    }

    fn reshaped(&self, view: View) -> Tensor {
        let step = Step::Reshape(view.shape().into());
        self.with(view, Some(step))
    }

    /// `torch.reshape`: a view where there is one, else a copy.
    pub fn reshape(&self, shape: &[i64], host: &dyn Host) -> Result<Tensor> {
        let shape = self.view.resolve(shape)?;
        if layout::view_strides(self.view.shape(), self.view.strides(), &shape).is_some() {
            return self.view(&shape);
        }
        self.copied(true, host)?.view(&shape)
    }

    /// `torch.flatten`.
    pub fn flatten(&self, start: i64, end: i64, host: &dyn Host) -> Result<Tensor> {
        let shape = self.view.flattened(start, end)?;
        if shape == self.view.shape() { Ok(self.clone()) } else { self.reshape(&shape, host) }
    }

    /// `torch.squeeze`.
    pub fn squeeze(&self, dim: Option<i64>) -> Result<Tensor> {
        Ok(self.reshaped(self.view.squeeze(dim)?))
    }

    /// `torch.squeeze` of several dimensions.
    pub fn squeeze_dims(&self, dims: &[i64]) -> Result<Tensor> {
        let rank = self.view.rank().max(1) as i64;
        let mut sorted: Vec<i64> = dims.iter().map(|&d| if d < 0 { d + rank } else { d }).collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|p| p[0] == p[1]) {
            let text = format!("dim {} appears multiple times in the list of dims", pair[0]);
            return Err(Error::new(ErrorKind::Runtime, text));
        }
        let mut view = (*self.view).clone();
        for &dim in dims.iter().filter(|d| !(-rank..rank).contains(d)) {
            view = view.squeeze(Some(dim))?;
        }
        // From the last one on, so that those before keep their numbers.
        for &dim in sorted.iter().rev() {
            view = view.squeeze(Some(dim))?;
        }
        Ok(self.reshaped(view))
    }

    /// `torch.unsqueeze`.
    pub fn unsqueeze(&self, dim: i64) -> Result<Tensor> {
        Ok(self.reshaped(self.view.unsqueeze(dim)?))
    }

    /// `torch.Tensor.expand`.
    pub fn expand(&self, shape: &[i64]) -> Result<Tensor> {
        let view = self.view.expand(shape)?;
        let step = Step::Expand(view.shape().into());
        Ok(self.with(view, Some(step)))
    }

    /// `torch.narrow`.
    pub fn narrow(&self, dim: i64, start: i64, length: i64) -> Result<Tensor> {
        Ok(self.with(self.view.narrow(dim, start, length)?, None))
    }

    /// `torch.diagonal`.
    pub fn diagonal(&self, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
        Ok(self.with(self.view.diagonal(offset, dim1, dim2)?, None))
    }

    /// `torch.Tensor.unfold`.
    pub fn unfold(&self, dim: i64, size: i64, step: i64) -> Result<Tensor> {
        Ok(self.with(self.view.unfold(dim, size, step)?, None))
    }

    /// `torch.as_strided`: `offset` and strides in elements, of the storage, which is there then.
    pub fn as_strided(&self, shape: &[i64], strides: &[i64], offset: i64, host: &dyn Host) -> Result<Tensor> {
        let (storage, dtype) = (self.memory(host)?.storage().clone(), self.view.dtype());
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).saturating_mul(dtype.size());
        let view = Memory::from_parts(storage, offset, shape, strides, dtype)?;
        Ok(self.with(view.layout().clone(), None))
    }

    /// `torch.select`.
    pub fn select(&self, dim: i64, index: i64) -> Result<Tensor> {
        Ok(self.with(self.view.select(dim, index)?, None))
    }

    /// `x[start:end:step]` along `dim`; the step is positive.
    pub fn slice(&self, dim: i64, start: i64, end: i64, step: i64) -> Result<Tensor> {
        let view = self.view.slice(dim, start, end, step)?;
        if view == *self.view {
            return Ok(self.clone());
        }
        Ok(self.with(view, None))
    }
}

/// Writing.
impl Tensor {
    /// `torch.Tensor.copy_`: the values of `source`, broadcast and converted. Every call before this one has read
    /// the old values; all views see the new ones.
    pub fn assign(&self, source: &Tensor, host: &dyn Host) -> Result<()> {
        self.refuse_overlap()?;
        let shape = self.view.shape();
        if source.view.rank() > shape.len() {
            let own = source.view.shape();
            let text = format!("output with shape {shape:?} doesn't match the broadcast shape {own:?}");
            return Err(Error::new(ErrorKind::Runtime, text));
        }
        let source = if source.view.shape() == shape { source.clone() } else { source.expand(shape)? };
        if self.is_whole() && self.view.is_dense() && self.view.byte_offset() == 0 && self.replace(&source, host)? {
            return Ok(());
        }
        self.write(&source, host)
    }

    /// # Errors
    /// When elements share memory: they cannot be written one by one.
    pub(super) fn refuse_overlap(&self) -> Result<()> {
        if !self.view.overlaps_itself() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Runtime,
            "unsupported operation: more than one element of the written-to tensor refers to a single memory \
             location. Please clone() the tensor before performing the operation.",
        ))
    }

    /// `torch.Tensor.fill_` with a tensor of no dimensions. Repeated elements may be written, since all are one.
    pub fn fill(&self, value: &Tensor, host: &dyn Host) -> Result<()> {
        let view = self.view.without_repeats();
        let once = if view == *self.view { self.clone() } else { self.with(view, None) };
        once.assign(value, host)
    }

    /// As [`Tensor::assign`] for `x[...] = source`, which may have more leading dimensions of extent 1.
    pub fn assign_part(&self, source: &Tensor, host: &dyn Host) -> Result<()> {
        self.assign(&source.for_rank(self.view.rank())?, host)
    }

    /// Without leading dimensions of extent 1 that a part of this rank lacks.
    pub(super) fn for_rank(&self, rank: usize) -> Result<Tensor> {
        let mut source = self.clone();
        while source.view.rank() > rank && source.view.shape()[0] == 1 {
            source = source.squeeze(Some(0))?;
        }
        Ok(source)
    }

    /// Gives the buffer a new node. False if it has been lent, so that its memory has to be written.
    fn replace(&self, source: &Tensor, host: &dyn Host) -> Result<bool> {
        if self.is_lent() {
            return Ok(false);
        }
        let dtype = Attr::Str(self.view.dtype().torch_name().to_owned());
        let function = Function::builtin("to", 2)?;
        let operands = [Operand::Tensor(source.clone()), Operand::Literal(dtype)];
        let call =
            Call { function: &function, operands: &operands, result: &self.view, ordered: false, default: DType::F32 };
        Ok(call.add(Some(&self.buffer), host)?.is_some())
    }

    /// Computes the source and copies it to the view's elements.
    fn write(&self, source: &Tensor, host: &dyn Host) -> Result<()> {
        let value = source.to_dtype(self.view.dtype(), host)?.memory(host)?.unsqueeze(0)?;
        self.write_to(Places::one(&self.view), value, host)
    }

    /// Copies the parts of a value, of the tensor's dtype, to places among the view's elements.
    pub(super) fn write_to(&self, places: Places<'_>, mut value: Memory, host: &dyn Host) -> Result<()> {
        loop {
            let storage = self.buffer.force(host)?;
            let apart = Memory::of(storage.clone(), &self.view)?.meets(&value) == Meeting::Apart;
            if !apart || value.storage().is_same(&storage) {
                value = value.copied()?;
            }
            if self.is_lent() {
                return Ok(storage.overwrite_lent(places, &value)?);
            }
            run_readers(&storage, host)?;
            drop(storage);
            let State::Ready { storage, lent: false } = &mut *self.buffer.state() else { continue };
            if storage.overwrite(places, &value)? {
                return Ok(());
            }
            // Somebody reads it at this moment: they keep the old memory.
            *storage = copy_of(storage)?;
        }
    }
}

/// A copy of the whole storage.
fn copy_of(storage: &Storage) -> Result<Storage> {
    let bytes = storage.len() as i64;
    Ok(storage.gather(0, &[bytes], &[1], 1)?)
}
