//! From a group of nodes to a kernel that has run. Plans are kept by the structure of the group, so that a
//! loop neither builds the program nor lowers it again.

use super::Host;
use super::pending::{Arg, Args, Id, Node, Step, Steps};
use super::tensor::Function;
use crate::engine::{self, Layout, Plan, PlanOptions};
use crate::error::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use rusttorch_ir::dtype::{Category, DType};
use rusttorch_ir::expr::{Attr, Program};
use rusttorch_ir::graph::Operand;
use rusttorch_ir::id::ExprId;
use rusttorch_runtime::env::config;
use rusttorch_runtime::write::reading_lent;
use rusttorch_runtime::{Storage, View};
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// What a call of a job reads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Read {
    /// The result of an earlier call.
    Call(usize, Steps),
    /// A piece of memory.
    Input(usize),
    /// A run-time number.
    Number(usize),
    /// Part of the structure.
    Literal(Attr),
}

#[derive(Clone, Debug)]
struct Called {
    function: Function,
    reads: SmallVec<[Read; 2]>,
}

impl PartialEq for Called {
    fn eq(&self, other: &Called) -> bool {
        Arc::ptr_eq(&self.function.0, &other.function.0) && self.reads == other.reads
    }
}

impl Eq for Called {}

impl Hash for Called {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.function.0).hash(state);
        self.reads.hash(state);
    }
}

/// What a plan depends on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Structure {
    calls: Vec<Called>,
    inputs: Vec<Arc<View>>,
    numbers: Vec<Category>,
    /// Which results are wanted, and their layouts.
    outputs: Vec<(usize, Arc<View>)>,
    default: DType,
}

/// Plans of one generation of the engine. More than the kernels that may be kept are forgotten, all together.
#[derive(Default)]
struct Plans {
    generation: u64,
    kept: FxHashMap<Structure, Arc<Plan>>,
}

static PLANS: LazyLock<Mutex<Plans>> = LazyLock::new(Mutex::default);

fn plans() -> MutexGuard<'static, Plans> {
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    if plans.generation != engine::generation() {
        *plans = Plans { generation: engine::generation(), ..Plans::default() };
    }
    plans
}

/// The values of nodes.
pub(super) type Results = SmallVec<[(Id, Storage); 2]>;

/// The nodes of a group, apart from the graph.
pub(super) struct Job {
    structure: Structure,
    /// All results' layouts, by call.
    results: Vec<Arc<View>>,
    ids: Vec<Id>,
    inputs: Vec<(Storage, Arc<View>)>,
    numbers: Vec<u64>,
    /// An input is memory that others may write.
    lent: bool,
}

impl Job {
    fn empty(default: DType, lent: bool) -> Job {
        let structure = Structure { calls: vec![], inputs: vec![], numbers: vec![], outputs: vec![], default };
        Job { structure, results: vec![], ids: vec![], inputs: vec![], numbers: vec![], lent }
    }

    /// Of the nodes of a group, operands first.
    pub fn new<'a>(nodes: impl ExactSizeIterator<Item = (Id, &'a Node)>, default: DType) -> Job {
        let mut job = Job::empty(default, false);
        let len = nodes.len();
        job.structure.calls.reserve_exact(len);
        job.results.reserve_exact(len);
        job.ids.reserve_exact(len);
        for (id, node) in nodes {
            job.lent |= node.lent;
            let reads = node.args.iter().map(|arg| match arg {
                Arg::Node(read, steps) => {
                    let call = job.ids.binary_search(read).expect("operands are of the group, and first");
                    Read::Call(call, steps.clone())
                }
                Arg::Memory(storage, view) => Read::Input(job.input(storage, view)),
                Arg::Number(category, bits) => {
                    job.structure.numbers.push(*category);
                    job.numbers.push(*bits);
                    Read::Number(job.numbers.len() - 1)
                }
                Arg::Literal(attr) => Read::Literal(attr.clone()),
            });
            let reads = reads.collect();
            if node.buffer.strong_count() > 0 {
                job.structure.outputs.push((job.ids.len(), node.result.clone()));
            }
            job.structure.calls.push(Called { function: node.function.clone(), reads });
            job.results.push(node.result.clone());
            job.ids.push(id);
        }
        job
    }

    /// Operations that run at once: one call over memory.
    pub fn single(function: &Function, args: Args, results: Vec<Arc<View>>, default: DType, lent: bool) -> Job {
        let mut job = Job::empty(default, lent);
        let derived = !function.0.gradients().is_empty();
        let reads = args.into_iter().map(|arg| match arg {
            Arg::Node(..) => unreachable!("the operands are memory"),
            // Each parameter has a gradient of its own, where several are one tensor too.
            Arg::Memory(storage, view) if derived => Read::Input(job.push_input(&storage, &view)),
            Arg::Memory(storage, view) => Read::Input(job.input(&storage, &view)),
            Arg::Number(category, bits) => {
                job.structure.numbers.push(category);
                job.numbers.push(bits);
                Read::Number(job.numbers.len() - 1)
            }
            Arg::Literal(attr) => Read::Literal(attr),
        });
        let reads = reads.collect();
        job.structure.calls.push(Called { function: function.clone(), reads });
        job.structure.outputs = results.into_iter().map(|view| (0, view)).collect();
        job
    }

    fn input(&mut self, storage: &Storage, view: &Arc<View>) -> usize {
        let same = |(s, v): &(Storage, Arc<View>)| s.is_same(storage) && v == view;
        self.inputs.iter().position(same).unwrap_or_else(|| self.push_input(storage, view))
    }

    fn push_input(&mut self, storage: &Storage, view: &Arc<View>) -> usize {
        self.inputs.push((storage.clone(), view.clone()));
        // Plans hold for any offset.
        let at_start = if view.byte_offset() == 0 { view.clone() } else { Arc::new(view.at_start()) };
        self.structure.inputs.push(at_start);
        self.inputs.len() - 1
    }

    /// Computes the results that have buffers.
    pub fn execute(self, host: &dyn Host) -> Result<Results> {
        if self.structure.outputs.is_empty() {
            return Ok(Results::new());
        }
        match self.run(host) {
            Ok(results) => {
                let ids = self.structure.outputs.iter().map(|(call, _)| self.ids[*call]);
                Ok(ids.zip(results).collect())
            }
            // Each of the operations was accepted when it was called; what is too much for one kernel is cut.
            Err(e) if e.kind() == ErrorKind::NotImplemented && self.ids.len() > 1 => self.execute_halves(host),
            Err(e) => Err(e),
        }
    }

    /// The first half of the calls as one kernel, then the second.
    fn execute_halves(self, host: &dyn Host) -> Result<Results> {
        let cut = self.ids.len() / 2;
        let part = |calls: std::ops::Range<usize>, outputs: Vec<usize>| Job {
            structure: Structure {
                calls: self.structure.calls[calls.clone()].to_vec(),
                inputs: self.structure.inputs.clone(),
                numbers: self.structure.numbers.clone(),
                outputs: outputs.into_iter().map(|c| (c - calls.start, self.results[c].clone())).collect(),
                default: self.structure.default,
            },
            results: self.results[calls.clone()].to_vec(),
            ids: self.ids[calls].to_vec(),
            inputs: self.inputs.clone(),
            numbers: self.numbers.clone(),
            lent: self.lent,
        };
        let wanted = |c: usize| self.structure.outputs.iter().any(|(o, _)| *o == c);
        let read_later = |c: usize| {
            let reads = self.structure.calls[cut..].iter().flat_map(|call| &call.reads);
            reads.into_iter().any(|r| matches!(r, Read::Call(of, _) if *of == c))
        };
        let mut first = part(0..cut, (0..cut).filter(|&c| wanted(c) || read_later(c)).collect());
        first.drop_unread();
        let mut results = first.execute(host)?;
        let mut second = part(cut..self.ids.len(), (cut..self.ids.len()).filter(|&c| wanted(c)).collect());
        for i in 0..second.structure.calls.len() {
            let mut reads = std::mem::take(&mut second.structure.calls[i].reads);
            for read in &mut reads {
                let Read::Call(of, steps) = read else { continue };
                *read = if *of >= cut {
                    Read::Call(*of - cut, steps.clone())
                } else {
                    let (_, storage) =
                        results.iter().find(|(id, _)| *id == self.ids[*of]).expect("wanted from the first half");
                    let mut view = self.results[*of].clone();
                    for step in steps.iter() {
                        view = Arc::new(step.of(&view)?);
                    }
                    Read::Input(second.input(storage, &view))
                };
            }
            second.structure.calls[i].reads = reads;
        }
        second.drop_unread();
        let more = second.execute(host)?;
        results.retain(|(id, _)| wanted(self.ids.binary_search(id).expect("of this job")));
        results.extend(more);
        Ok(results)
    }

    /// Forgets inputs and numbers that no call reads.
    fn drop_unread(&mut self) {
        let old = (std::mem::take(&mut self.inputs), std::mem::take(&mut self.numbers));
        self.structure.inputs.clear();
        let categories = std::mem::take(&mut self.structure.numbers);
        let mut calls = std::mem::take(&mut self.structure.calls);
        for read in calls.iter_mut().flat_map(|c| &mut c.reads) {
            match read {
                Read::Input(i) => *i = self.input(&old.0[*i].0, &old.0[*i].1),
                Read::Number(n) => {
                    self.structure.numbers.push(categories[*n]);
                    self.numbers.push(old.1[*n]);
                    *n = self.numbers.len() - 1;
                }
                Read::Call(..) | Read::Literal(_) => {}
            }
        }
        self.structure.calls = calls;
    }

    /// One kernel: the wanted results.
    pub fn run(&self, host: &dyn Host) -> Result<SmallVec<[Storage; 2]>> {
        let plan = self.plan()?;
        let mut results: SmallVec<[Storage; 2]> = SmallVec::new();
        for (_, view) in &self.structure.outputs {
            results.push(Storage::new(view.span()?)?);
        }
        let mut outcome = Err(Error::internal("the host ran no job".into()));
        host.run(plan.work(), &mut |pool| {
            let _guard = self.lent.then(reading_lent);
            let inputs = self.inputs.iter().map(|(storage, view)| (storage, &**view));
            let outputs = self.structure.outputs.iter().map(|(_, view)| &**view);
            outcome = plan.run_memory(inputs, results.iter_mut().zip(outputs), &self.numbers, pool);
        });
        outcome.map(|()| results)
    }

    fn plan(&self) -> Result<Arc<Plan>> {
        if let Some(plan) = plans().kept.get(&self.structure) {
            return Ok(plan.clone());
        }
        let structure = &self.structure;
        let (program, operands) = structure.program();
        let options = PlanOptions { default_dtype: structure.default, layout: Layout::Torch, autocast: None };
        let outputs = structure.outputs.iter().map(|(_, view)| view.meta()).collect();
        let plan = Arc::new(engine::plan_into(&program, &operands, options, outputs)?);
        let mut plans = plans();
        if plans.kept.len() >= config().cache_size {
            plans.kept.clear();
        }
        plans.kept.insert(structure.clone(), plan.clone());
        Ok(plan)
    }
}

impl Step {
    /// The view that the step makes of another.
    pub fn of(&self, view: &View) -> Result<View> {
        Ok(match self {
            Step::Permute(dims) => view.permute(dims)?,
            Step::Reshape(shape) => view.view(shape)?,
            Step::Expand(shape) => view.expand(shape)?,
        })
    }

    /// The call that gives its value, and its argument.
    fn op(&self) -> (&'static str, &[i64]) {
        match self {
            Step::Permute(dims) => ("permute", dims),
            Step::Reshape(shape) => ("reshape", shape),
            Step::Expand(shape) => ("broadcast_to", shape),
        }
    }
}

impl Structure {
    /// The program, its parameters being the inputs and then the numbers; their descriptions.
    fn program(&self) -> (Program, Vec<Operand>) {
        if let [Called { function, reads }] = self.calls.as_slice()
            && !function.0.gradients().is_empty()
        {
            // Gradients are by the parameters of the function itself, and are no values that a call of it gives.
            let operand = |read: &Read| match read {
                Read::Input(i) => Operand::Tensor(self.inputs[*i].meta()),
                Read::Number(i) => Operand::Number(self.numbers[*i]),
                Read::Literal(attr) => Operand::Literal(attr.clone()),
                Read::Call(..) => unreachable!("there is one call"),
            };
            return ((*function.0).clone(), reads.iter().map(operand).collect());
        }
        let mut program = Program::new();
        let inputs: Vec<ExprId> = (0..self.inputs.len()).map(|i| program.param(&format!("x{i}"), None)).collect();
        let numbers: Vec<ExprId> = (0..self.numbers.len()).map(|i| program.param(&format!("c{i}"), None)).collect();
        let mut values: Vec<Vec<ExprId>> = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let args: Vec<ExprId> = call
                .reads
                .iter()
                .map(|read| match read {
                    Read::Input(i) => inputs[*i],
                    Read::Number(i) => numbers[*i],
                    Read::Literal(attr) => program.literal(attr.clone()),
                    Read::Call(of, steps) => steps.iter().fold(values[*of][0], |value, step| {
                        let (op, list) = step.op();
                        let list = program.literal(Attr::List(list.iter().map(|&n| Attr::Int(n)).collect()));
                        program.call(op, &[value, list], &[])
                    }),
                })
                .collect();
            values.push(program.splice(&call.function.0, &args));
        }
        let mut taken = vec![0; values.len()];
        for (call, _) in &self.outputs {
            program.output(values[*call][taken[*call]]);
            // A call of several results has them all as outputs, in order.
            taken[*call] = (taken[*call] + 1).min(values[*call].len() - 1);
        }
        let operands = self.inputs.iter().map(|v| Operand::Tensor(v.meta()));
        let operands = operands.chain(self.numbers.iter().map(|c| Operand::Number(*c)));
        (program, operands.collect())
    }
}
