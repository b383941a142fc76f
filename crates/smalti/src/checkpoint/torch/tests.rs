//! Tests of what PyTorch's calls mean, with the storages in memory.

use super::super::pickle::{parse, samples};
use super::super::tensor::HostTensor;
use super::*;
use samples::{
    call, global, int, ints, none, ordered_dict, pickle, storage, tensor, text, truth, tuple,
};

/// Reads a pickled tensor whose storage, under the key 7, holds the floats from 0 to 5.
fn read_one(object: &[u8]) -> Result<HostTensor, String> {
    let input = pickle(object);
    let graph = parse(&input, 0)?.graph;
    let numbers: Vec<u8> = (0_u8..6).flat_map(|n| f32::from(n).to_le_bytes()).collect();
    let load = |key: &str, bytes: usize| {
        assert_eq!((key, bytes), ("7", 24));
        Ok(Cow::Borrowed(&numbers[..]))
    };
    let storages = Storages {
        load,
        big_endian: false,
    };
    let wanted = [("x".to_string(), graph.root)];
    let mut tensors = read(&graph, &wanted, storages, &mut Budget::new("elements", 0))?;
    tensors
        .remove("x")
        .ok_or_else(|| "nothing was read".to_string())
}

fn floats() -> Vec<u8> {
    storage("FloatStorage", "7", 6, None)
}

#[test]
fn tensors_of_all_kinds() {
    let plain = [floats(), int(1), ints(&[2]), ints(&[2])];
    let whole = tensor(&floats(), 0, &[2, 3], &[3, 1]);
    let transposed = tensor(&floats(), 0, &[3, 2], &[1, 3]);
    let parameter = [whole.clone(), truth(true), ordered_dict(&[])];
    let subclass = [
        global("torch._utils", "_rebuild_tensor"),
        global("my.module", "Tensor"),
        tuple(&plain),
        none(),
    ];
    let untyped = [
        storage("UntypedStorage", "7", 24, None),
        int(4),
        ints(&[]),
        ints(&[]),
        truth(false),
        ordered_dict(&[]),
        global("torch", "float32"),
    ];
    let part = tuple(&[text("a view"), int(2), int(4)]);
    let part = storage("FloatStorage", "7", 6, Some(part));
    let all = HostTensor::f32([2, 3], vec![0., 1., 2., 3., 4., 5.]);
    let cases = [
        (
            call("torch._utils", "_rebuild_tensor", &plain),
            HostTensor::f32([2], vec![1., 3.]),
        ),
        (whole, all.clone()),
        (
            transposed,
            HostTensor::f32([3, 2], vec![0., 3., 1., 4., 2., 5.]),
        ),
        (
            call("torch._utils", "_rebuild_parameter", &parameter),
            all.clone(),
        ),
        (
            call("torch._utils", "_rebuild_parameter_with_state", &parameter),
            all.clone(),
        ),
        (call("torch.nn.parameter", "Parameter", &parameter), all),
        (
            call("torch._tensor", "_rebuild_from_type_v2", &subclass),
            HostTensor::f32([2], vec![1., 3.]),
        ),
        (
            call("torch._utils", "_rebuild_tensor_v3", &untyped),
            HostTensor::f32([], vec![4.]),
        ),
        (
            tensor(&part, 1, &[2], &[1]),
            HostTensor::f32([2], vec![3., 4.]),
        ),
    ];
    for (object, expected) in cases {
        assert_eq!(read_one(&object), Ok(expected));
    }
}

#[test]
fn tensors_that_cannot_be_read() {
    let complex = storage("ComplexFloatStorage", "7", 6, None);
    let untyped = storage("UntypedStorage", "7", 24, None);
    let negative = storage("FloatStorage", "7", -1, None);
    let sparse = call("torch._utils", "_rebuild_sparse_tensor", &[]);
    let endless = [
        global("torch._utils", "_rebuild_parameter"),
        b"]q\x00Rq\x01h\x00h\x01a0".to_vec(),
    ];
    let cases = [
        (tensor(&complex, 0, &[1], &[1]), "ComplexFloatStorage"),
        (tensor(&untyped, 0, &[1], &[1]), "untyped"),
        (tensor(&negative, 0, &[1], &[1]), "unknown form"),
        (tensor(&int(1), 0, &[1], &[1]), "inside the pickle"),
        (tensor(&floats(), -1, &[1], &[1]), "offset"),
        (tensor(&floats(), 0, &[-1], &[1]), "shape"),
        (tensor(&floats(), 0, &[1], &[-1]), "strides"),
        (tensor(&floats(), 0, &[7], &[1]), "beyond its storage"),
        (tensor(&floats(), 0, &[3, 3], &[0, 0]), "repeats"),
        (sparse, "_rebuild_sparse_tensor"),
        (call("torch._utils", "_rebuild_tensor_v2", &[]), "in full"),
        (call("torch._utils", "_rebuild_parameter", &[]), "no tensor"),
        (endless.concat(), "too many"),
        (int(1), "not a tensor"),
    ];
    for (object, reason) in cases {
        let error = read_one(&object).unwrap_err();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains("\"x\""), "{error}");
    }
}

#[test]
fn a_storage_is_loaded_once() {
    let input = pickle(&tuple(&[
        tensor(&floats(), 0, &[1], &[1]),
        tensor(&floats(), 5, &[1], &[1]),
    ]));
    let graph = parse(&input, 0).unwrap().graph;
    let names = ["a", "b"].map(str::to_string);
    let items = graph.sequence(graph.root).unwrap();
    let wanted: Vec<_> = names.into_iter().zip(items.iter().copied()).collect();
    let mut loads = 0;
    let load = |_: &str, bytes: usize| {
        loads += 1;
        Ok(Cow::<[u8]>::Owned(vec![0; bytes]))
    };
    let storages = Storages {
        load,
        big_endian: true,
    };
    let tensors = read(&graph, &wanted, storages, &mut Budget::new("elements", 0)).unwrap();
    assert_eq!((tensors.len(), loads), (2, 1));
}
