//! The graph of what waits: nodes, and groups of nodes that are connected and will be one kernel.
//!
//! A node is kept by the handles of its buffer and by the nodes that read it; when neither is left it goes,
//! and was never computed. A group grows by operations that read its nodes, joining groups that meet; it
//! runs when a value is needed, or when it would exceed [`MAX_NODES`] or [`MAX_BYTES`], and all its nodes with
//! live buffers become memory at once.
//!
//! One lock guards the graph. It is held for a few list operations, never while a kernel runs: a group that
//! runs is marked, and who needs one of its nodes waits for [`RAN`].

use super::tensor::{Function, Operand};
use super::{Host, run};
use crate::error::Result;
use rustc_hash::FxHashMap;
use rusttorch_ir::dtype::{Category, DType};
use rusttorch_ir::expr::Attr;
use rusttorch_runtime::dims::Dims;
use rusttorch_runtime::{Storage, Tensor as Memory, View};
use smallvec::SmallVec;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

/// Nodes of a group.
pub const MAX_NODES: usize = 64;
/// Bytes of memory that a group keeps alive for its nodes to read.
pub const MAX_BYTES: usize = 256 << 20;

/// What views share: memory, or the promise of it.
#[derive(Debug)]
pub struct Buffer {
    /// The layout that results and in-place operations over the whole buffer have.
    pub(super) whole: Arc<View>,
    state: Mutex<State>,
}

/// A buffer's value.
#[derive(Debug)]
pub(super) enum State {
    /// Computed. `lent`: somebody else may read and write it.
    Ready { storage: Storage, lent: bool },
    /// The value of a node, which lives as long as the buffer.
    Pending(Id),
}

/// A node, by the number of its creation: operands have smaller ones.
pub(super) type Id = u64;
type GroupId = u64;

/// How a node reads another one's value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Step {
    Permute(Dims),
    Reshape(Dims),
    Expand(Dims),
}

/// From a buffer's whole to one of its views, in terms that kernels have.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Steps(Option<Arc<[Step]>>);

impl Steps {
    /// No step: the whole.
    pub const WHOLE: Steps = Steps(None);

    /// These and one more.
    pub fn then(&self, step: Step) -> Steps {
        Steps(Some(self.iter().cloned().chain([step]).collect()))
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Step> {
        self.0.as_deref().unwrap_or_default().iter()
    }

    fn is_empty(&self) -> bool {
        self.iter().as_slice().is_empty()
    }
}

/// What a node reads.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Node(Id, Steps),
    Memory(Storage, Arc<View>),
    Number(Category, u64),
    Literal(Attr),
}

/// What a node reads, in the order of its function's parameters.
pub(super) type Args = SmallVec<[Arg; 2]>;

/// A waiting operation.
#[derive(Debug)]
pub(super) struct Node {
    pub function: Function,
    pub args: Args,
    pub result: Arc<View>,
    /// Reads memory that others may write.
    pub lent: bool,
    /// Whose value it is; dead when only other nodes read it.
    pub buffer: Weak<Buffer>,
    group: GroupId,
    readers: usize,
}

#[derive(Debug)]
struct Group {
    nodes: SmallVec<[Id; 8]>,
    /// Addresses of storages that its nodes read.
    reads: SmallVec<[usize; 4]>,
    bytes: usize,
    default: DType,
    /// Its last node is a float sum, to which nothing may be added, see [`joins`].
    sealed: bool,
    running: bool,
}

/// Nodes and groups.
#[derive(Default, Debug)]
pub(super) struct Graph {
    nodes: FxHashMap<Id, Node>,
    groups: FxHashMap<GroupId, Group>,
    next: u64,
    /// Threads that wait for [`RAN`].
    waiters: usize,
}

static GRAPH: LazyLock<Mutex<Graph>> = LazyLock::new(Mutex::default);
/// Told whenever a group has run.
static RAN: Condvar = Condvar::new();

pub(super) fn graph() -> MutexGuard<'static, Graph> {
    GRAPH.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Buffer {
    /// Of memory.
    pub(super) fn ready(memory: &Memory, lent: bool) -> Buffer {
        let state = State::Ready { storage: memory.storage().clone(), lent };
        Buffer { whole: Arc::new(memory.layout().clone()), state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory, computed if it was pending.
    pub(super) fn force(&self, host: &dyn Host) -> Result<Storage> {
        loop {
            let id = match &*self.state() {
                State::Ready { storage, .. } => return Ok(storage.clone()),
                State::Pending(id) => *id,
            };
            run_group_of(id, host)?;
        }
    }
}

/// The last handle is gone: nobody will ask for the value.
impl Drop for Buffer {
    fn drop(&mut self) {
        if let State::Pending(id) = *self.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let mut dropped = Vec::new();
            graph().release(id, &mut dropped);
            // Memory is given back when the lock is free again.
        }
    }
}

/// Runs the group of a node, or waits while another thread does; at once if the node has gone.
fn run_group_of(id: Id, host: &dyn Host) -> Result<()> {
    let mut locked = graph();
    let Some(node) = locked.nodes.get(&id) else { return Ok(()) };
    let number = node.group;
    let group = locked.groups.get_mut(&number).expect("a node's group is there");
    if group.running {
        locked.waiters += 1;
        drop(locked);
        host.wait(&mut || {
            let is_running = |g: &mut Graph| g.groups.get(&number).is_some_and(|g| g.running);
            RAN.wait_while(graph(), is_running).unwrap_or_else(PoisonError::into_inner).waiters -= 1;
        });
        return Ok(());
    }
    group.running = true;
    group.nodes.sort_unstable();
    let (ids, default) = (group.nodes.clone(), group.default);
    let job = run::Job::new(ids.iter().map(|id| (*id, &locked.nodes[id])), default);
    drop(locked);
    // Whatever happens, who waits is told.
    let finish = Finish { group: number };
    let results = job.execute(host)?;
    finish.done(results)
}

/// Ends the run of a group.
struct Finish {
    group: GroupId,
}

impl Finish {
    /// The nodes' values are memory now.
    fn done(self, results: run::Results) -> Result<()> {
        let mut locked = graph();
        let group = locked.groups.remove(&self.group).expect("only its run removes a running group");
        let nodes: SmallVec<[(Id, Node); 2]> =
            group.nodes.iter().map(|id| (*id, locked.nodes.remove(id).expect("as the group"))).collect();
        // Held until the lock is free: the last handle of one may go meanwhile.
        let buffers: SmallVec<[Option<Arc<Buffer>>; 4]> = results
            .into_iter()
            .map(|(id, storage)| {
                let (_, node) = &nodes[nodes.binary_search_by_key(&id, |n| n.0).expect("results are of nodes")];
                let buffer = node.buffer.upgrade()?;
                let mut state = buffer.state();
                if matches!(*state, State::Pending(now) if now == id) {
                    *state = State::Ready { storage, lent: false };
                }
                drop(state);
                Some(buffer)
            })
            .collect();
        drop(locked);
        drop((nodes, buffers));
        Ok(())
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        let mut locked = graph();
        let mut dropped = Vec::new();
        if let Some(group) = locked.groups.get_mut(&self.group) {
            // The run failed: the nodes wait for another try, but those whose handles have gone meanwhile.
            group.running = false;
            for id in group.nodes.clone() {
                locked.release(id, &mut dropped);
            }
        }
        // To tell costs a system call.
        let awaited = locked.waiters > 0;
        drop(locked);
        if awaited {
            RAN.notify_all();
        }
    }
}

impl Graph {
    /// Removes the node if nobody needs it, and then what only it needed. The removed are given to the
    /// caller, to be dropped without the lock.
    fn release(&mut self, id: Id, dropped: &mut Vec<Node>) {
        let mut candidates = vec![id];
        while let Some(id) = candidates.pop() {
            let Some(node) = self.nodes.get(&id) else { continue };
            let group = self.groups.get_mut(&node.group).expect("a node's group is there");
            if node.readers > 0 || node.buffer.strong_count() > 0 || group.running {
                continue;
            }
            group.nodes.retain(|n| *n != id);
            if group.nodes.is_empty() {
                self.groups.remove(&node.group);
            }
            let node = self.nodes.remove(&id).expect("looked at above");
            for arg in &node.args {
                if let Arg::Node(read, _) = arg {
                    self.nodes.get_mut(read).expect("readers keep what they read").readers -= 1;
                    candidates.push(*read);
                }
            }
            dropped.push(node);
        }
    }

    /// One group of these.
    fn join(&mut self, ids: &[GroupId], default: DType) -> GroupId {
        let Some((&first, others)) = ids.split_first() else {
            self.next += 1;
            let (nodes, reads) = (SmallVec::new(), SmallVec::new());
            self.groups.insert(self.next, Group { nodes, reads, bytes: 0, default, sealed: false, running: false });
            return self.next;
        };
        for other in others {
            let joined = self.groups.remove(other).expect("listed once");
            for id in &joined.nodes {
                self.nodes.get_mut(id).expect("of the group").group = first;
            }
            let group = self.groups.get_mut(&first).expect("listed once");
            group.nodes.extend(joined.nodes);
            group.reads.extend(joined.reads);
            group.bytes += joined.bytes;
        }
        first
    }

    /// True when the node reads, and gives, nothing but elements laid out as `like`, and single numbers.
    fn is_uniform(&self, id: Id, like: &View) -> bool {
        let node = &self.nodes[&id];
        let fits = |v: &View| v.rank() == 0 || (v.shape() == like.shape() && v.strides() == like.strides());
        let arg = |a: &Arg| match a {
            Arg::Memory(_, view) => fits(view),
            Arg::Node(_, steps) => steps.is_empty(),
            Arg::Number(..) | Arg::Literal(_) => true,
        };
        fits(&node.result) && node.args.iter().all(arg)
    }
}

/// What an attempt to add a node came to.
enum Attempt {
    /// And whether it has to run now, as it reads lent memory.
    Added(Arc<Buffer>, bool),
    /// The group of this node has to run first.
    After(Id),
    /// The buffer that was to get a new value has been lent.
    Refused,
}

/// Whether an operation whose bits depend on an order of summation may run with what waits for it. The
/// order follows from the layouts of everything that its loops read and write. So all of that must be laid
/// out like the one operand would be in memory; and nothing is added to its group afterwards.
fn joins(graph: &Graph, groups: &[GroupId], args: &[Arg]) -> bool {
    let views = args.iter().filter_map(|a| match a {
        Arg::Node(id, steps) => Some((&*graph.nodes[id].result, steps.is_empty())),
        Arg::Memory(_, view) => Some((&**view, true)),
        Arg::Number(..) | Arg::Literal(_) => None,
    });
    let views: Vec<(&View, bool)> = views.filter(|(v, _)| v.rank() > 0).collect();
    let Some((like, _)) = views.first() else { return false };
    let alike = |v: &View| v.shape() == like.shape() && v.strides() == like.strides();
    views.iter().all(|(v, whole)| *whole && alike(v))
        && groups.iter().all(|g| graph.groups[g].nodes.iter().all(|id| graph.is_uniform(*id, like)))
}

/// A node to be added.
pub(super) struct Call<'a> {
    pub function: &'a Function,
    pub operands: &'a [Operand],
    pub result: &'a Arc<View>,
    pub ordered: bool,
    pub default: DType,
}

impl Call<'_> {
    /// Adds the node; its buffer is `target`, which gets a new value (none if it has been lent), or a new one. It
    /// waits, unless an operand is lent memory.
    pub fn add(&self, target: Option<&Arc<Buffer>>, host: &dyn Host) -> Result<Option<Arc<Buffer>>> {
        loop {
            match self.attempt(target) {
                Attempt::Added(buffer, now) => {
                    if now {
                        buffer.force(host)?;
                    }
                    return Ok(Some(buffer));
                }
                Attempt::Refused => return Ok(None),
                Attempt::After(id) => run_group_of(id, host)?,
            }
        }
    }

    fn attempt(&self, target: Option<&Arc<Buffer>>) -> Attempt {
        let mut dropped = Vec::new();
        let mut locked = graph();
        let graph = &mut *locked;
        let mut args = Args::with_capacity(self.operands.len());
        let mut groups: SmallVec<[GroupId; 4]> = SmallVec::new();
        let mut last = None;
        // Asked here, where `Tensor::lend` waits: it lends first, and then runs what reads the memory by then.
        let mut now = false;
        for operand in self.operands {
            args.push(match operand {
                Operand::Number(category, bits) => Arg::Number(*category, *bits),
                Operand::Literal(attr) => Arg::Literal(attr.clone()),
                Operand::Tensor(t) => match &*t.buffer().state() {
                    State::Ready { storage, lent } => {
                        now |= lent;
                        Arg::Memory(storage.clone(), t.shared_layout().clone())
                    }
                    State::Pending(id) => {
                        let number = graph.nodes[id].group;
                        let group = &graph.groups[&number];
                        let Some(steps) = t.steps().filter(|_| !group.running && !group.sealed) else {
                            return Attempt::After(*id);
                        };
                        if group.default != self.default {
                            return Attempt::After(*id);
                        }
                        if !groups.contains(&number) {
                            groups.push(number);
                        }
                        last = Some(*id);
                        Arg::Node(*id, steps.clone())
                    }
                },
            });
        }
        if let Some(id) = last {
            let nodes: usize = groups.iter().map(|g| graph.groups[g].nodes.len()).sum();
            let bytes: usize = groups.iter().map(|g| graph.groups[g].bytes).sum();
            let full = nodes >= MAX_NODES || bytes > MAX_BYTES;
            if full || (self.ordered && !joins(graph, &groups, &args)) {
                return Attempt::After(id);
            }
        }
        if let Some(target) = target {
            match *target.state() {
                State::Ready { lent: true, .. } => return Attempt::Refused,
                State::Pending(id) if graph.groups[&graph.nodes[&id].group].running => return Attempt::After(id),
                State::Ready { .. } | State::Pending(_) => {}
            }
        }
        let number = graph.join(&groups, self.default);
        graph.next += 1;
        let id = graph.next;
        for arg in &args {
            match arg {
                Arg::Node(read, _) => graph.nodes.get_mut(read).expect("found above").readers += 1,
                Arg::Memory(storage, _) => {
                    let group = graph.groups.get_mut(&number).expect("joined above");
                    let (address, len) = (storage.as_ptr().addr(), storage.len());
                    if !group.reads.contains(&address) {
                        group.reads.push(address);
                        group.bytes += len;
                    }
                }
                Arg::Number(..) | Arg::Literal(_) => {}
            }
        }
        let group = graph.groups.get_mut(&number).expect("joined above");
        group.nodes.push(id);
        group.sealed |= self.ordered;
        let buffer = match target {
            Some(target) => target.clone(),
            None => Arc::new(Buffer { whole: self.result.clone(), state: Mutex::new(State::Pending(id)) }),
        };
        let (function, result) = (self.function.clone(), self.result.clone());
        let node =
            Node { function, args, result, lent: now, buffer: Arc::downgrade(&buffer), group: number, readers: 0 };
        graph.nodes.insert(id, node);
        let old = target.map(|t| std::mem::replace(&mut *t.state(), State::Pending(id)));
        if let Some(State::Pending(old)) = old {
            graph.nodes.get_mut(&old).expect("its buffer lived").buffer = Weak::new();
            graph.release(old, &mut dropped);
        }
        drop(locked);
        drop((old, dropped));
        Attempt::Added(buffer, now)
    }
}

/// Runs the groups that read this memory.
pub(super) fn run_readers(storage: &Storage, host: &dyn Host) -> Result<()> {
    let address = storage.as_ptr().addr();
    let reading = || graph().groups.values().filter(|g| g.reads.contains(&address)).map(|g| g.nodes[0]).min();
    while let Some(id) = reading() {
        run_group_of(id, host)?;
    }
    Ok(())
}

/// Nodes that wait, for tests and statistics.
pub fn waiting() -> usize {
    graph().nodes.len()
}
