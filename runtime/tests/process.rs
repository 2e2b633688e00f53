//! A forked child has none of its parent's threads and goes on all the same. One test, as forking
//! concerns the whole process.
#![cfg(unix)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use rusttorch_ir::dtype::DType;
use rusttorch_runtime::cache::Cache;
use rusttorch_runtime::matmul::matmul;
use rusttorch_runtime::pool::{OwnPool, Parallel, set_num_threads};
use rusttorch_runtime::random::Philox;
use rusttorch_runtime::{Tensor, alloc};

fn work(cache: &Cache<u64, u64, String>) {
    let sum = AtomicUsize::new(0);
    for _ in 0..20 {
        OwnPool.run(16, &|i| {
            let block = alloc::Block::zeroed(1 + i * 5000).expect("small");
            sum.fetch_add(i + usize::from(block.is_empty()), Ordering::Relaxed);
        });
    }
    assert_eq!(sum.into_inner(), 20 * 120);
    let square = Tensor::zeros(&[200, 200], DType::F32).unwrap();
    assert!(matmul(&square, &square).unwrap().to_vec::<f32>().unwrap().iter().all(|&v| v == 0.0));
    let mut numbers = vec![0.0f32; 100_000];
    Philox::new(1).fill_uniform_f32(&mut numbers, 24, &OwnPool);
    assert_eq!(*cache.get_or_build(&1, || Ok(5)).unwrap(), 5);
    alloc::empty_cache();
}

#[test]
fn a_forked_child_computes_on() {
    set_num_threads(3);
    let cache = Arc::new(Cache::<u64, u64, String>::new(4));
    work(&cache);
    // A build that the child will find under way, with no thread to end it.
    let (begun, wait_begun) = mpsc::channel();
    let (end, wait_end) = mpsc::channel::<()>();
    let builder = {
        let cache = cache.clone();
        std::thread::spawn(move || {
            cache.get_or_build(&2, || {
                begun.send(()).unwrap();
                wait_end.recv().unwrap();
                Ok(6)
            })
        })
    };
    wait_begun.recv().unwrap();
    for _ in 0..5 {
        // SAFETY: the child runs the code under test, with its own thread only, and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: a plain system call: ends the child if it hangs.
            unsafe { libc::alarm(20) };
            let fine = std::panic::catch_unwind(|| {
                work(&cache);
                assert_eq!(*cache.get_or_build(&2, || Ok(7)).unwrap(), 7);
            });
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(fine.is_err())) };
        }
        let mut status = 0;
        // SAFETY: `child` is our child, `status` a place.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child failed or hung: {status:#x}");
    }
    end.send(()).unwrap();
    assert_eq!(*builder.join().unwrap().unwrap(), 6);
    work(&cache);
}
