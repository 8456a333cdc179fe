//! The backend extension for burn's `flex` CPU backend, with its backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchDevice, Flex, FloatDType, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Shape, Tensor, TensorData};

use crate::{PackedTensor, linear};

/// Products with a packed weight, as operations of a backend.
#[backend_extension(Flex, Autodiff)]
pub(super) trait PackedOps: Backend {
    /// `x · Wᵀ`.
    fn packed_linear(x: FloatTensor<Self>, w: PackedTensor) -> FloatTensor<Self>;

    /// `dy · W`.
    fn packed_linear_dx(dy: FloatTensor<Self>, w: PackedTensor) -> FloatTensor<Self>;
}

/// Whether `x` lives on a `flex` device, with or without autodiff.
pub(super) fn runs_on<const D: usize>(x: &Tensor<D>) -> bool {
    matches!(x.device().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// `x · Wᵀ` by the slice kernels.
pub(super) fn linear<const D: usize>(x: Tensor<D>, w: &PackedTensor) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as PackedOps>::packed_linear(x.into_dispatch(), w.clone()))
}

impl PackedOps for Flex {
    fn packed_linear(x: FloatTensor<Self>, w: PackedTensor) -> FloatTensor<Self> {
        run(x, w.rows(), |x, m, y| linear::packed_linear(x, m, &w, y))
    }

    fn packed_linear_dx(dy: FloatTensor<Self>, w: PackedTensor) -> FloatTensor<Self> {
        run(dy, w.cols(), |dy, m, dx| linear::packed_linear_dx(dy, m, &w, dx))
    }
}

/// Runs a slice kernel on the rows of `x` (`[.., features]`); the result is `[.., width]` of the same type.
fn run(
    x: FloatTensor<Flex>,
    width: usize,
    kernel: impl Fn(&[f32], usize, &mut [f32]) -> crate::Result<()>,
) -> FloatTensor<Flex> {
    let (mut dims, dtype, device) = (x.shape().to_vec(), x.dtype(), x.device());
    let x = if dtype == DType::F32 { x } else { Flex::float_cast(x, FloatDType::F32) };
    let x = x.to_contiguous();
    if let Some(last) = dims.last_mut() {
        *last = width;
    }
    let mut y = vec![0.0_f32; dims.iter().product()];
    let m = y.len().checked_div(width).unwrap_or(0);
    let done = x.as_slice::<f32>().map(|x| kernel(x, m, &mut y));
    // `super::linear` checked the shape, so a failure is a bug here: stop rather than return zeros.
    assert_eq!(done, Some(Ok(())), "packed linear kernel refused a checked tensor");
    let y = Flex::float_from_data(TensorData::new(y, Shape::from(dims)), &device);
    if dtype == DType::F32 { y } else { Flex::float_cast(y, dtype.into()) }
}

/// The backward pass of [`PackedOps::packed_linear`]; the state is the weight.
#[derive(Debug)]
struct PackedLinearBackward;

impl<B: PackedOps> Backward<B, 1> for PackedLinearBackward {
    type State = PackedTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [parent] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::packed_linear_dx(dy, ops.state));
        }
    }
}

/// The backward pass of [`PackedOps::packed_linear_dx`], whose own gradient is the forward product.
#[derive(Debug)]
struct PackedLinearDxBackward;

impl<B: PackedOps> Backward<B, 1> for PackedLinearDxBackward {
    type State = PackedTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [parent] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::packed_linear(grad, ops.state));
        }
    }
}

impl<B: PackedOps, C: CheckpointStrategy> PackedOps for Autodiff<B, C> {
    fn packed_linear(x: FloatTensor<Self>, w: PackedTensor) -> FloatTensor<Self> {
        let (x, guard) = x.into_parts();
        match PackedLinearBackward.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(w.clone(), B::packed_linear(x, w)),
            OpsKind::UnTracked(prep) => prep.finish(B::packed_linear(x, w)),
        }
    }

    fn packed_linear_dx(dy: FloatTensor<Self>, w: PackedTensor) -> FloatTensor<Self> {
        let (dy, guard) = dy.into_parts();
        match PackedLinearDxBackward.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(w.clone(), B::packed_linear_dx(dy, w)),
            OpsKind::UnTracked(prep) => prep.finish(B::packed_linear_dx(dy, w)),
        }
    }
}
