//! Lazy tensors: sharing, laziness that shows in nothing but speed, threads, memory.

use rusttorch_ir::dtype::{Category, DType};
use rusttorch_ir::expr::Attr;
use rusttorch_ops::ErrorKind;
use rusttorch_ops::engine;
use rusttorch_ops::lazy::{MAX_NODES, Operand, Tensor, Threads, eval};
use rusttorch_runtime::Tensor as Memory;

fn of(values: &[f32], shape: &[i64]) -> Tensor {
    Memory::from_slice(values, shape).unwrap().into()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.memory(&Threads).unwrap().to_vec().unwrap()
}

fn op(name: &str, operands: &[Operand]) -> Tensor {
    Tensor::op(name, operands, DType::F32, &Threads).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn t(x: &Tensor) -> Operand {
    Operand::Tensor(x.clone())
}

fn number(v: f64) -> Operand {
    Operand::Number(Category::Float, v.to_bits())
}

#[test]
fn operations_wait_and_results_of_one_group_come_together() {
    let x = of(&[1.0, 2.0, 3.0, 4.0], &[2, 2]);
    let a = op("add", &[t(&x), number(1.0)]);
    let b = op("mul", &[t(&a), t(&a)]);
    let c = op("sub", &[t(&a), t(&x)]);
    assert!(a.is_pending() && b.is_pending() && c.is_pending());
    drop(a);
    assert_eq!(values(&b), [4.0, 9.0, 16.0, 25.0]);
    assert!(!c.is_pending(), "connected with b");
    assert_eq!(values(&c), [1.0; 4]);
}

#[test]
fn calls_read_what_was_there_when_they_were_made_and_views_see_writes() {
    let x = of(&[1.0, 2.0, 3.0, 4.0], &[2, 2]);
    let before = op("mul", &[t(&x), number(10.0)]);
    let column = x.select(1, 0).unwrap();
    let early = op("neg", &[t(&column)]);
    x.assign(&op("add", &[t(&x), number(1.0)]), &Threads).unwrap();
    assert!(x.is_pending() && column.is_pending());
    let transposed = x.transpose(0, 1).unwrap();
    column.assign(&of(&[7.0], &[1]), &Threads).unwrap();
    assert_eq!(values(&x), [7.0, 3.0, 7.0, 5.0]);
    assert_eq!(values(&transposed), [7.0, 7.0, 3.0, 5.0]);
    assert_eq!(values(&before), [10.0, 20.0, 30.0, 40.0]);
    assert_eq!(values(&early), [-1.0, -3.0]);
}

#[test]
fn a_view_of_a_pending_value_is_part_of_the_kernel() {
    let x = of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    let y = op("add", &[t(&x), number(1.0)]);
    let v = y.transpose(0, 1).unwrap().unsqueeze(0).unwrap().expand(&[2, 3, 2]).unwrap();
    let z = op("mul", &[t(&v), number(2.0)]);
    let w = op("add", &[t(&y.reshape(&[3, 2], &Threads).unwrap()), number(0.5)]);
    assert!(y.is_pending() && z.is_pending() && w.is_pending());
    assert_eq!(values(&z)[..6], [4.0, 10.0, 6.0, 12.0, 8.0, 14.0]);
    assert_eq!(values(&w), [2.5, 3.5, 4.5, 5.5, 6.5, 7.5]);
}

#[test]
fn lent_memory_is_read_and_written_in_the_call() {
    let x = of(&[1.0, 2.0, 3.0], &[3]);
    let before = op("add", &[t(&x), number(1.0)]);
    let memory = x.lend(&Threads).unwrap();
    assert!(!before.is_pending(), "readers have run");
    let after = op("add", &[t(&x), number(1.0)]);
    assert!(!after.is_pending());
    x.assign(&op("mul", &[t(&x), number(2.0)]), &Threads).unwrap();
    assert_eq!(memory.to_vec::<f32>().unwrap(), [2.0, 4.0, 6.0], "the lent memory itself");
    x.assign(&x.slice(0, 0, 1, 1).unwrap(), &Threads).unwrap();
    assert_eq!(memory.to_vec::<f32>().unwrap(), [2.0; 3]);
}

#[test]
fn errors_come_from_the_call() {
    let (x, y) = (of(&[1.0; 6], &[2, 3]), of(&[1.0; 4], &[4]));
    let call = |name: &str, operands: &[Operand]| Tensor::op(name, operands, DType::F32, &Threads).map(drop);
    let error = call("add", &[t(&x), t(&y)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime);
    assert_eq!(
        error.to_string(),
        "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1"
    );
    let index: Tensor = Memory::from_slice(&[0i64, 4], &[2]).unwrap().into();
    let error = call("gather", &[t(&y), Operand::Literal(Attr::Int(0)), t(&index)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Index);
    let zero: Tensor = Memory::from_slice(&[0i64, 1], &[2]).unwrap().into();
    assert_eq!(call("floor_divide", &[t(&index), t(&zero)]).unwrap_err().to_string(), "ZeroDivisionError");
    assert_eq!(values(&op("add", &[t(&y), number(1.0)])), [2.0; 4]);
}

#[test]
fn a_chain_is_cut_and_a_loop_plans_once() {
    let x = of(&[1.0; 8], &[8]);
    let mut acc = of(&[0.0; 8], &[8]);
    for _ in 0..10 * MAX_NODES {
        acc = op("add", &[t(&acc), t(&x)]);
    }
    // Other tests of this process compile as well: the least of a few rounds is ours.
    let fewest = (0..4)
        .map(|_| {
            let before = engine::stats().cache.compiles;
            for _ in 0..10 * MAX_NODES {
                acc = op("add", &[t(&acc), t(&x)]);
            }
            engine::stats().cache.compiles - before
        })
        .min();
    assert_eq!(values(&acc), [50.0 * MAX_NODES as f32; 8]);
    assert!(fewest <= Some(2), "the last cut may be of another length: {fewest:?}");
}

#[test]
fn what_nobody_holds_is_never_computed() {
    // Megabytes each: computed, they would show, whatever other tests allocate meanwhile.
    let x: Tensor = Memory::zeros(&[1 << 20], DType::F32).unwrap().into();
    let before = rusttorch_runtime::alloc::memory_stats().allocated;
    let kept: Vec<Tensor> = (0..50)
        .map(|_| {
            let y = op("exp", &[t(&x)]);
            drop(op("sin", &[t(&y)]));
            y
        })
        .collect();
    assert!(kept.iter().all(Tensor::is_pending));
    drop(kept);
    let after = rusttorch_runtime::alloc::memory_stats().allocated;
    assert!(after < before + (16 << 20));
}

#[test]
fn threads_share_a_graph() {
    let x = of(&[1.0; 1000], &[1000]);
    for _ in 0..50 {
        let y = op("add", &[t(&x), number(1.0)]);
        let many: Vec<Tensor> = (0..8).map(|i| op("mul", &[t(&y), number(f64::from(i))])).collect();
        std::thread::scope(|scope| {
            for (i, z) in many.iter().enumerate() {
                let (x, y) = (&x, &y);
                scope.spawn(move || {
                    let w = op("add", &[t(z), t(y)]);
                    x.assign(&op("mul", &[t(x), number(1.0)]), &Threads).unwrap();
                    eval(&[w.clone(), z.clone()], &Threads).unwrap();
                    assert_eq!(values(&w), vec![2.0 * i as f32 + 2.0; 1000]);
                });
            }
        });
        assert_eq!(values(&x), [1.0; 1000]);
    }
}
