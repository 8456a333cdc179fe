//! Kernels for GPUs, written in CubeCL and compiled for the device at run time: what a decoder does for each token, where
//! burn's own operations would read weights more often than once or launch many times.
//!
//! All activations are `f32`. [`ops`](crate::ops) calls these for tensors of a GPU without autodiff; under autodiff it
//! composes burn's operations, which are differentiable. Every kernel equals that composition up to the order of sums,
//! which `tests/device.rs` and `tests/backends.rs` of the workspace check on the device at hand.

mod attention;
mod half;
mod linear;
mod reduce;
mod resident;
mod rows;

pub(crate) use attention::{append, attend};
pub(crate) use half::product;
pub(crate) use linear::{dense_rows, expanded, packed_rows, selected};
pub(crate) use resident::{OnDevice, Resident};
pub(crate) use rows::{gated, rms_norm, rotate};

use burn::backend::DispatchDevice;
use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::{DType, Device, Shape, Tensor};
use burn_cubecl::Cube;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::{BufferArg, CubeCount, CubeDim};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Rows of an input up to which a product reads its weights in a kernel of its own; above it a matrix product pays.
pub(crate) const FEW: usize = 8;

/// Whether `device` is a GPU, without autodiff.
pub(crate) fn is_cube(device: &Device) -> bool {
    !device.is_autodiff() && matches!(device.as_dispatch(), DispatchDevice::Cube(_))
}

/// Whether `x` is in `f32` on a GPU, without autodiff.
pub(crate) fn runs<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_cube(&x.device())
}

/// The type for products of many rows with a packed weight: the one that units for matrices take, where the device has it.
pub(crate) fn product_type(device: &Device) -> DType {
    if device.supports_dtype(DType::F16) { DType::F16 } else { DType::F32 }
}

/// The tensor of the backend, row-major, of an `x` on a device for which [`is_cube`] holds.
fn take<const D: usize>(x: Tensor<D>) -> CubeTensor {
    into_contiguous(x.try_into_primitive::<Cube>().expect("a tensor of a GPU without autodiff"))
}

/// Wraps a tensor of the backend.
fn wrap<const D: usize>(x: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<Cube>(x)
}

/// Memory for a result beside `x`, to be written as a whole.
fn empty(x: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(x.client.clone(), x.device.clone(), shape.into(), dtype)
}

/// The numbers of what [`take`] or [`empty`] gave, as an argument of a kernel.
#[expect(unsafe_code, reason = "the length of a buffer is asserted")]
fn buffer(x: &CubeTensor) -> BufferArg {
    // SAFETY: the tensor is row-major, so that its handle begins at its first number and holds all of them.
    unsafe { BufferArg::from_raw_parts(x.handle.clone(), x.meta.num_elements()) }
}

/// As many cubes as there are `items`, or a few more.
fn grid(client: &Client, items: usize) -> CubeCount {
    calculate_cube_count_elemwise(client, items, CubeDim::new_single())
}

/// The type of a tensor's numbers, for kernels that are made for several.
fn float_type(x: &CubeTensor) -> ElemType {
    dtype_to_elem_type(x.dtype)
}

/// A unit for each of `items`, or a few more.
fn each(client: &Client, items: usize) -> (CubeCount, CubeDim) {
    let units = CubeDim::new_1d(256);
    (grid(client, items.div_ceil(256)), units)
}
