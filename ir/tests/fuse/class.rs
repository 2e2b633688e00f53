//! What kernels look like: phases, nests, orders, and texts that know no sizes.

use crate::build::*;
use rusttorch_ir::kernel::{Order, Reduction};
use rusttorch_ir::prim::Prim;

#[test]
fn contiguous_maps_of_any_rank_are_one_loop() {
    let text = |shape: &[i64]| {
        let mut b = Build::default();
        let (x, y) = (b.input(shape), b.input(shape));
        let s = b.prim(Prim::Add, &[x, y]);
        let k = check(&b.done(&[s]));
        assert_eq!(shape_of(&k), "1:[]+1");
        k.to_string()
    };
    assert_eq!(text(&[7]), text(&[3, 5]));
    assert_eq!(text(&[7]), text(&[2, 3, 1, 5]));
}

#[test]
fn softmax_is_one_phase_over_each_dim() {
    for dim in 0..3 {
        let make = |shape: &[i64]| {
            let mut b = Build::default();
            let x = b.input(shape);
            let y = b.softmax(x, dim);
            check(&b.done(&[y]))
        };
        let k = make(&[3, 4, 5]);
        assert_eq!(k.phases.len(), 1, "{k}");
        println!("softmax {dim}: {}\n{k}", shape_of(&k));
        let order = if dim == 2 { Order::Lanes } else { Order::Rows };
        assert_eq!(orders(&k), [order; 2], "{k}");
        assert_eq!(k.to_string(), make(&[7, 2, 9]).to_string());
    }
}
