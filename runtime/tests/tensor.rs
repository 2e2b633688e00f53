//! Tensors and their views: values, and PyTorch's wording of errors.

use rusttorch_ir::dtype::DType;
use rusttorch_runtime::tensor::Meeting;
use rusttorch_runtime::{Error, ErrorKind, Storage, Tensor};

fn iota(shape: &[i64]) -> Tensor {
    let n: i64 = shape.iter().product();
    Tensor::from_slice(&(0..n).collect::<Vec<i64>>(), shape).unwrap()
}

fn values(t: &Tensor) -> Vec<i64> {
    t.to_vec().unwrap()
}

#[test]
fn views_reach_the_right_elements() {
    let t = iota(&[2, 3]);
    assert_eq!(values(&t.transpose(0, -1).unwrap()), [0, 3, 1, 4, 2, 5]);
    assert_eq!(values(&t.permute(&[1, 0]).unwrap()), [0, 3, 1, 4, 2, 5]);
    assert_eq!(values(&t.select(1, -1).unwrap()), [2, 5]);
    assert_eq!(values(&t.slice(1, 0, 100, 2).unwrap()), [0, 2, 3, 5]);
    assert_eq!(values(&t.slice(1, -2, -1, 1).unwrap()), [1, 4]);
    assert_eq!(values(&t.slice(1, 2, 1, 1).unwrap()), [0; 0]);
    assert_eq!(values(&t.slice(0, 0, 2, i64::MAX).unwrap()), [0, 1, 2]);
    assert_eq!(values(&t.narrow(0, 1, 1).unwrap()), [3, 4, 5]);
    assert_eq!(values(&t.narrow(0, 2, 0).unwrap()), [0; 0]);
    let column = t.narrow(1, 1, 1).unwrap();
    assert_eq!(column.expand(&[2, -1, 2]).unwrap().strides(), [0, 3, 0]);
    assert_eq!(values(&column.expand(&[2, 2]).unwrap()), [1, 1, 4, 4]);
    assert_eq!(values(&t.transpose(0, 1).unwrap().reshape(&[-1]).unwrap()), [0, 3, 1, 4, 2, 5]);
    assert_eq!(t.view(&[3, -1, 1]).unwrap().shape(), [3, 2, 1]);
    assert!(t.reshape(&[6]).unwrap().storage().is_same(t.storage()));
    assert_eq!(iota(&[2, 3, 4]).flatten(1, -1).unwrap().shape(), [2, 12]);
    assert_eq!(iota(&[1, 3, 1]).squeeze(None).unwrap().shape(), [3]);
    assert_eq!(iota(&[1, 3, 1]).squeeze(Some(0)).unwrap().shape(), [3, 1]);
    assert_eq!(iota(&[1, 3, 1]).squeeze(Some(1)).unwrap().shape(), [1, 3, 1]);
    assert_eq!(t.unsqueeze(1).unwrap().strides(), [3, 3, 1]);
    assert_eq!(t.unsqueeze(-1).unwrap().shape(), [2, 3, 1]);
    let deep = iota(&[2, 3, 4, 5]).permute(&[2, 0, 3, 1]).unwrap().slice(2, 1, 5, 2).unwrap();
    let copy = deep.contiguous().unwrap();
    assert!(copy.is_contiguous() && !copy.storage().is_same(deep.storage()));
    let mut expected = Vec::new();
    for c in 0..4 {
        for a in 0..2 {
            for d in [1, 3] {
                expected.extend((0..3).map(|b| ((a * 3 + b) * 4 + c) * 5 + d));
            }
        }
    }
    assert_eq!(values(&copy), expected);
}

#[test]
fn small_items_and_bool() {
    let b = Tensor::from_bytes(&[0, 2, 255, 1], &[2, 2], DType::Bool).unwrap();
    assert_eq!(b.transpose(0, 1).unwrap().to_vec::<bool>().unwrap(), [false, true, true, true]);
    let s = Tensor::from_slice(&[1i16, 2, 3, 4], &[2, 2]).unwrap();
    assert_eq!(s.transpose(0, 1).unwrap().to_vec::<i16>().unwrap(), [1, 3, 2, 4]);
    assert_eq!(Tensor::scalar(2.5f32).unwrap().item::<f32>().unwrap(), 2.5);
    let mut f = Tensor::zeros(&[3], DType::F32).unwrap();
    f.as_mut_slice::<f32>().unwrap()[1] = 4.0;
    assert!(f.as_mut_slice::<f64>().is_none());
    let shared = f.clone();
    assert!(f.as_mut_slice::<f32>().is_none());
    assert_eq!(shared.to_vec::<f32>().unwrap(), [0.0, 4.0, 0.0]);
}

#[test]
fn strides_from_outside_are_checked() {
    let storage = || Storage::zeroed(16).unwrap();
    let part = |offset, shape: &[i64], strides: &[i64]| {
        Tensor::from_parts(storage(), offset, shape, strides, DType::F32).map(|_| ())
    };
    assert!(part(0, &[4], &[1]).is_ok());
    assert!(part(12, &[4], &[-1]).is_ok());
    assert!(part(8, &[4], &[-1]).is_err());
    assert!(part(4, &[4], &[1]).is_err());
    assert!(part(0, &[3], &[2]).is_err());
    assert!(part(16, &[0], &[1]).is_ok());
    assert!(part(17, &[0], &[1]).is_err());
    assert!(part(0, &[i64::MAX], &[0]).is_err());
    assert!(part(0, &[2, 2], &[i64::MAX, i64::MAX]).is_err());
    assert!(part(usize::MAX, &[1], &[1]).is_err());
    assert!(part(13, &[1], &[1]).is_err());
}

#[test]
fn meetings() {
    let t = iota(&[10]);
    let part = |start, n| t.narrow(0, start, n).unwrap();
    assert_eq!(part(0, 5).meets(&part(5, 5)), Meeting::Apart);
    assert_eq!(part(0, 5).meets(&part(0, 5)), Meeting::Same);
    assert_eq!(part(0, 5).meets(&part(1, 5)), Meeting::Partial);
    let even = t.slice(0, 0, 10, 2).unwrap();
    assert_eq!(even.meets(&t.slice(0, 1, 10, 2).unwrap()), Meeting::Unclear);
    assert_eq!(t.meets(&iota(&[10])), Meeting::Apart);
    assert_eq!(part(0, 0).meets(&t), Meeting::Apart);
    assert!(t.expand(&[2, 10]).unwrap().overlaps_itself());
}

#[test]
fn errors_are_worded_as_torch_words_them() {
    use ErrorKind::{DType as Type, Index, Shape, Value};
    let t = || Tensor::zeros(&[2, 3], DType::F32).unwrap();
    let error = |r: Result<Tensor, Error>| r.map(|_| ()).unwrap_err();
    let cases: Vec<(Error, ErrorKind, &str)> = vec![
        (error(t().reshape(&[2, 4])), Shape, "shape '[2, 4]' is invalid for input of size 6"),
        (error(t().reshape(&[-1, -1])), Shape, "only one dimension can be inferred"),
        (error(t().reshape(&[-2, 3])), Shape, "invalid shape dimension -2 at index 0 of shape [-2, 3]"),
        (error(t().reshape(&[-1, 4])), Shape, "shape '[-1, 4]' is invalid for input of size 6"),
        (
            error(Tensor::zeros(&[0], DType::F32).unwrap().reshape(&[-1, 0])),
            Shape,
            "cannot reshape tensor of 0 elements into shape [-1, 0] because the unspecified dimension size -1 can be \
             any value and is ambiguous",
        ),
        (
            error(t().transpose(0, 1).unwrap().view(&[6])),
            Shape,
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two \
             contiguous subspaces). Use .reshape(...) instead.",
        ),
        (error(t().permute(&[0, 0])), Shape, "permute(): duplicate dims are not allowed."),
        (
            error(t().permute(&[0])),
            Shape,
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired \
             ordering of dimensions i.e. input.dim() = 2 is not equal to len(dims) = 1",
        ),
        (error(t().squeeze(Some(2))), Index, "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
        (error(t().unsqueeze(4)), Index, "Dimension out of range (expected to be in range of [-3, 2], but got 4)"),
        (error(t().select(0, 5)), Index, "select(): index 5 out of range for tensor of size [2, 3] at dimension 0"),
        (error(t().narrow(1, 2, 3)), Shape, "start (2) + length (3) exceeds dimension size (3)."),
        (error(t().slice(0, 0, 1, 0)), Value, "slice step must be positive"),
        (
            error(t().expand(&[2, 4])),
            Shape,
            "The expanded size of the tensor (4) must match the existing size (3) at non-singleton dimension 1.  \
             Target sizes: [2, 4].  Tensor sizes: [2, 3]",
        ),
        (
            error(t().expand(&[3])),
            Shape,
            "expand(torch.FloatTensor{[2, 3]}, size=[3]): the number of sizes provided (1) must be greater or equal \
             to the number of dimensions in the tensor (2)",
        ),
        (
            error(t().expand(&[-1, 2, 3])),
            Shape,
            "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension 0",
        ),
        (
            error(Tensor::empty(&[2, -1], DType::F32)),
            Shape,
            "Trying to create tensor with negative dimension -1: [2, -1]",
        ),
        (
            error(Tensor::empty(&[1 << 62, 4], DType::F32)),
            Shape,
            "Storage size calculation overflowed with sizes=[4611686018427387904, 4]",
        ),
        (t().to_vec::<f64>().unwrap_err(), Type, "expected scalar type Double but found Float"),
        (
            rusttorch_runtime::tensor::broadcast(&[3, 4], &[2, 4]).unwrap_err(),
            Shape,
            "The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension 0",
        ),
    ];
    for (error, kind, text) in cases {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), kind, "{text}");
    }
}
