//! Tensors that stay in a mapped file.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;

use burn::backend::Flex;
use burn::tensor::{DType, Device, Tensor, f16};
use slm_kernels::{Error, MappedFile, ops};

/// A file of 2 bytes, then `f16` numbers 0, 1, 2, ...
fn file(numbers: usize) -> (tempfile::NamedTempFile, MappedFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..numbers).flat_map(|i| f16::from_f32(i as f32).to_le_bytes()).collect();
    file.write_all(&[7, 7]).unwrap();
    file.write_all(&bytes).unwrap();
    let map = MappedFile::open(file.path()).unwrap();
    (file, map)
}

#[test]
fn a_weight_is_read_where_the_file_is_mapped() {
    let (_file, map) = file(20);
    let addresses = map.as_ptr_range();
    let data = map.tensor_data(6..38, [2, 8], DType::F16).unwrap();
    let w = Tensor::<2>::from_data(data, (&Device::flex(), DType::F16));
    // The map outlives its first owner.
    drop(map);
    let inner = w.clone().try_into_primitive::<Flex>().unwrap();
    assert!(addresses.contains(&inner.bytes().as_ptr()), "the weight was copied");
    assert!(w.clone().transpose().transpose().try_into_primitive::<Flex>().is_ok_and(|t| {
        // A product does not copy it either: it takes the tensor as it is.
        addresses.contains(&t.bytes().as_ptr())
    }));
    let x = Tensor::<2>::ones([1, 8], &Device::flex());
    let y: Vec<f32> = ops::dense_linear(x, &w).into_data().try_into_vec().unwrap();
    assert_eq!(y, [(2..10).sum::<i32>() as f32, (10..18).sum::<i32>() as f32]);
}

#[test]
fn writing_to_such_a_tensor_leaves_the_file_alone() {
    let (_file, map) = file(8);
    let data = map.tensor_data(2..18, [8], DType::F16).unwrap();
    let w = Tensor::<1>::from_data(data, (&Device::flex(), DType::F16));
    let sum: Vec<f32> = (w.add_scalar(1.0).cast(DType::F32)).into_data().try_into_vec().unwrap();
    assert_eq!(sum, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    assert_eq!(map[2..4], [0, 0]);
}

#[test]
fn wrong_ranges_are_errors() {
    let (_file, map) = file(8);
    let error = |range: std::ops::Range<usize>, dtype| map.tensor_data(range, [4], dtype).unwrap_err();
    assert_eq!(error(2..9, DType::F16), Error::Length { what: "bytes of the tensor", expected: 8, got: 7 });
    assert_eq!(error(12..20, DType::F16), Error::Length { what: "bytes of the file", expected: 20, got: 18 });
    assert_eq!(error(3..11, DType::F16), Error::Alignment { offset: 3, size: 2 });
    assert_eq!(error(2..18, DType::F32), Error::Alignment { offset: 2, size: 4 });
    assert!(map.tensor_data(18..18, [0], DType::F32).is_ok());
}
