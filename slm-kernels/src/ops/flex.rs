//! The way to the memory of `flex` tensors, and products with constant weights as a backend extension with
//! backward passes.
#![expect(unsafe_code, reason = "results are made of memory that kernels fill")]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchDevice, Flex, FloatDType, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData, bf16, f16};

use crate::attention::Tokens;
use crate::dense::{Matrix, Numbers, exact_linear_into, linear_dx_into, linear_into};
use crate::output::Output;
use crate::simd::Level;
use crate::{PackedTensor, linear as packed, pool};

/// Whether `device` is `flex`, with or without autodiff.
pub(super) fn is_flex(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether `x` is on a host device and of at most 32 bits.
pub(super) fn runs<const D: usize>(x: &Tensor<D>) -> bool {
    matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16) && super::is_host(&x.device())
}

/// The tensor of the backend, of an `x` for which [`runs`] holds.
pub(super) fn take<const D: usize>(x: Tensor<D>) -> FlexTensor {
    x.try_into_primitive::<Flex>().expect("a tensor of a flex device without autodiff")
}

/// Another handle of `x` as [`take`] gives it, if [`runs`] holds.
pub(super) fn host<const D: usize>(x: &Tensor<D>) -> Option<FlexTensor> {
    runs(x).then(|| take(x.clone()))
}

/// Runs `kernel` on the numbers of `x`, on a copy where there are other handles; the result has the type of `x`.
pub(super) fn in_place(x: FlexTensor, kernel: impl FnOnce(Output<'_>)) -> FlexTensor {
    let dtype = x.dtype();
    let mut x = floats(x);
    if !x.is_unique() {
        let from = slice(&x);
        // SAFETY: all numbers are copied.
        x = unsafe {
            tensor(x.shape(), DType::F32, |to| {
                std::ptr::copy_nonoverlapping(from.as_ptr(), to.at(0, from.len()), from.len());
            })
        };
    }
    let (start, end) = x.layout().contiguous_offsets().expect("made contiguous by `floats`");
    kernel(Output::new(&mut x.storage_mut::<f32>()[start..end]));
    if dtype == DType::F32 { x } else { Flex::float_cast(x, dtype.into()) }
}

/// `x` in `f32` and row-major, itself if it is already.
pub(super) fn floats(x: FlexTensor) -> FlexTensor {
    let x = if x.dtype() == DType::F32 { x } else { Flex::float_cast(x, FloatDType::F32) };
    contiguous(x)
}

/// `x` row-major, itself if it is already, whatever its offset in its memory.
pub(super) fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() { x } else { x.to_contiguous() }
}

/// The numbers of what [`floats`] returned.
pub(super) fn slice(x: &FlexTensor) -> &[f32] {
    let numbers = x.as_slice::<f32>();
    numbers.expect("made contiguous and f32 by `floats`")
}

/// `[1, tokens, heads, dim]` in `f32` with the numbers of a token behind one another, itself if it is already.
pub(super) fn tokens(x: FlexTensor) -> FlexTensor {
    let x = if x.dtype() == DType::F32 { x } else { Flex::float_cast(x, FloatDType::F32) };
    let [_, _, heads, dim] = *x.layout().shape().as_slice() else { return contiguous(x) };
    let strides = x.layout().strides();
    let whole = (dim <= 1 || strides[3] == 1) && (heads <= 1 || usize::try_from(strides[2]) == Ok(dim));
    if whole && strides[1] >= 0 { x } else { contiguous(x) }
}

/// The numbers of what [`tokens`] returned.
pub(super) fn rows(x: &FlexTensor) -> Tokens<'_> {
    let layout = x.layout();
    let stride = usize::try_from(layout.strides()[1]).expect("made so by `tokens`");
    Tokens { numbers: &x.storage::<f32>()[layout.start_offset()..], stride }
}

/// A tensor of `dtype` that `fill` writes in `f32`.
///
/// # Safety
/// `fill` must write every element, and read none that it has not written.
pub(super) unsafe fn tensor(shape: Shape, dtype: DType, fill: impl FnOnce(Output<'_>)) -> FlexTensor {
    // SAFETY: the contract of this function.
    let numbers = unsafe { pool::collect(shape.num_elements(), fill) };
    let y = FlexTensor::from_data(TensorData::from_bytes(numbers, shape, DType::F32));
    if dtype == DType::F32 { y } else { Flex::float_cast(y, dtype.into()) }
}

/// Wraps a tensor of the backend.
pub(super) fn wrap<const D: usize>(x: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(x)
}

/// A weight `[rows, cols]` that is not trained.
#[derive(Debug, Clone)]
pub(super) enum Constant {
    /// 4 to 8 bits; inputs are rounded to 8.
    Packed(PackedTensor),
    /// The same, with inputs as they are: where gradients flow.
    Float(PackedTensor),
    /// `f32`, `f16` or `bf16`, made [`contiguous`]; with `bf16` inputs are rounded to it.
    Dense(FlexTensor),
    /// The same, with inputs as they are.
    Exact(FlexTensor),
}

impl Constant {
    fn float(self) -> Self {
        match self {
            Self::Packed(w) => Self::Float(w),
            Self::Dense(w) => Self::Exact(w),
            other => other,
        }
    }

    pub(super) fn dims(&self) -> [usize; 2] {
        match self {
            Self::Packed(w) | Self::Float(w) => [w.rows(), w.cols()],
            Self::Dense(w) | Self::Exact(w) => [w.layout().shape()[0], w.layout().shape()[1]],
        }
    }
}

/// The numbers of a weight that [`host`] let pass, made [`contiguous`].
pub(super) fn matrix(w: &FlexTensor) -> Matrix<'_> {
    let (rows, cols) = (w.layout().shape()[0], w.layout().shape()[1]);
    let numbers = match w.dtype() {
        DType::F16 => w.as_slice::<f16>().map(Numbers::F16),
        DType::BF16 => w.as_slice::<bf16>().map(Numbers::Bf16),
        _ => w.as_slice::<f32>().map(Numbers::F32),
    };
    let matrix = numbers.map(|numbers| Matrix::new(numbers, rows, cols));
    matrix.and_then(Result::ok).expect("a contiguous weight of a type that `host` let pass")
}

/// Products with a constant weight, as operations of a backend.
#[backend_extension(Flex, Autodiff)]
pub(super) trait ConstantOps: Backend {
    /// `x · Wᵀ`.
    fn constant_linear(x: FloatTensor<Self>, w: Constant) -> FloatTensor<Self>;

    /// `dy · W`.
    fn constant_linear_dx(dy: FloatTensor<Self>, w: Constant) -> FloatTensor<Self>;
}

/// `x · Wᵀ` by the slice kernels, on `flex` with or without autodiff.
pub(super) fn linear<const D: usize>(x: Tensor<D>, w: Constant) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ConstantOps>::constant_linear(x.into_dispatch(), w))
}

impl ConstantOps for Flex {
    fn constant_linear(x: FloatTensor<Self>, w: Constant) -> FloatTensor<Self> {
        // SAFETY: both kernels write all of their output.
        unsafe {
            product(x, w.dims()[0], |x, m, y| match &w {
                Constant::Packed(w) => packed::linear_into(Level::best(), x, m, w, y),
                Constant::Float(w) => packed::float_linear_into(Level::best(), x, m, w, y),
                Constant::Dense(w) => linear_into(Level::best(), x, m, &matrix(w), y),
                Constant::Exact(w) => exact_linear_into(Level::best(), x, m, &matrix(w), y),
            })
        }
    }

    fn constant_linear_dx(dy: FloatTensor<Self>, w: Constant) -> FloatTensor<Self> {
        // SAFETY: as above.
        unsafe {
            product(dy, w.dims()[1], |dy, m, dx| match &w {
                Constant::Packed(w) | Constant::Float(w) => {
                    packed::linear_dx_into(Level::best(), dy, m, w, dx);
                }
                Constant::Dense(w) | Constant::Exact(w) => {
                    linear_dx_into(Level::best(), dy, m, &matrix(w), dx);
                }
            })
        }
    }
}

/// Runs a kernel on the rows of `x` (`[.., features]`); the result is `[.., width]` of the same type.
///
/// # Safety
/// As [`tensor`].
pub(super) unsafe fn product(
    x: FlexTensor,
    width: usize,
    kernel: impl FnOnce(&[f32], usize, Output<'_>),
) -> FlexTensor {
    let (mut dims, dtype) = (x.shape().to_vec(), x.dtype());
    let x = floats(x);
    if let Some(last) = dims.last_mut() {
        *last = width;
    }
    let m = dims.iter().rev().skip(1).product();
    // SAFETY: the contract of this function.
    unsafe { tensor(Shape::from(dims), dtype, |y| kernel(slice(&x), m, y)) }
}

/// The backward pass of [`ConstantOps::constant_linear`]; the state is the weight.
#[derive(Debug)]
struct LinearBackward;

impl<B: ConstantOps> Backward<B, 1> for LinearBackward {
    type State = Constant;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [parent] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::constant_linear_dx(dy, ops.state));
        }
    }
}

/// The backward pass of [`ConstantOps::constant_linear_dx`], whose own gradient is the forward product.
#[derive(Debug)]
struct LinearDxBackward;

impl<B: ConstantOps> Backward<B, 1> for LinearDxBackward {
    type State = Constant;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [parent] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::constant_linear(grad, ops.state));
        }
    }
}

impl<B: ConstantOps, C: CheckpointStrategy> ConstantOps for Autodiff<B, C> {
    fn constant_linear(x: FloatTensor<Self>, w: Constant) -> FloatTensor<Self> {
        let ((x, guard), w) = (x.into_parts(), w.float());
        match LinearBackward.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(w.clone(), B::constant_linear(x, w)),
            OpsKind::UnTracked(prep) => prep.finish(B::constant_linear(x, w)),
        }
    }

    fn constant_linear_dx(dy: FloatTensor<Self>, w: Constant) -> FloatTensor<Self> {
        let ((dy, guard), w) = (dy.into_parts(), w.float());
        match LinearDxBackward.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(w.clone(), B::constant_linear_dx(dy, w)),
            OpsKind::UnTracked(prep) => prep.finish(B::constant_linear_dx(dy, w)),
        }
    }
}
