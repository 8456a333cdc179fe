//! [`lora_linear`].

use burn::tensor::Tensor;
#[cfg(feature = "flex")]
use burn::{
    backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    backend::autodiff::grads::Gradients,
    backend::autodiff::ops::{Backward, Ops, OpsKind},
    backend::flex::FlexTensor,
    backend::tensor::FloatTensor,
    backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension},
    tensor::Shape,
};

use super::{dense_linear, linear};
#[cfg(feature = "flex")]
use super::{
    flex::{self, Constant, floats, slice},
    fused::{self, filled, height, register},
};
use crate::{PackedTensor, Result};
#[cfg(feature = "flex")]
use crate::{
    dense::{Numbers, backward::Right},
    lora::{self, Forward, Update},
    output::Output,
    simd::Level,
};

/// The weight beside a low-rank update.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// `[out, in]` in `f32`, `f16` or `bf16`.
    Dense(&'a Tensor<2>),
    /// `[out, in]`.
    Packed(&'a PackedTensor),
}

/// `x · Wᵀ + s · (x · Aᵀ) · Bᵀ` (LoRA, <https://arxiv.org/abs/2106.09685>), differentiable in `x`, `a` and `b`, and in a dense
/// weight that is tracked.
///
/// On `flex` under autodiff the low-rank part is added to the sums of the large product, and its gradient to those
/// of the input's; elsewhere it is composed of [`dense_linear`] and [`linear`].
///
/// # Shapes
///
/// `x`: `[.., in]`, `a`: `[rank, in]`, `b`: `[out, rank]`, result: `[.., out]`.
///
/// # Errors
///
/// As [`linear`].
///
/// # Panics
///
/// On other shapes.
pub fn lora_linear<const D: usize>(
    x: Tensor<D>,
    base: Base<'_>,
    [a, b]: [&Tensor<2>; 2],
    scale: f32,
) -> Result<Tensor<D>> {
    #[cfg(feature = "flex")]
    if let (true, Some(w)) = (fused::runs(a) && fused::runs(b), constant(&x, base)) {
        let [rank, cols] = a.dims();
        assert_eq!(
            (w.dims()[1], x.dims().last().copied()),
            (cols, Some(cols)),
            "lora_linear: input features"
        );
        assert_eq!(b.dims(), [w.dims()[0], rank], "lora_linear: factors");
        let [a, b] = [a, b].map(|factor| factor.clone().into_dispatch());
        let x = fused::tracked(x).into_dispatch();
        return Ok(Tensor::from_dispatch(<Dispatch as LoraOps>::lora_linear(x, a, b, w, scale)));
    }
    let low = dense_linear(dense_linear(x.clone(), a).mul_scalar(scale), b);
    Ok(match base {
        Base::Dense(w) => dense_linear(x, w),
        Base::Packed(w) => linear(x, w)?,
    } + low)
}

/// The weight, if it is a constant that the kernels can read beside an `x` in `f32` on `flex`.
#[cfg(feature = "flex")]
fn constant<const D: usize>(x: &Tensor<D>, base: Base<'_>) -> Option<Constant> {
    if x.dtype() != burn::tensor::DType::F32 || !flex::is_flex(&x.device()) {
        return None;
    }
    match base {
        Base::Packed(w) => w.input_order().is_none().then(|| Constant::Float(w.clone())),
        Base::Dense(w) if w.is_autodiff() && w.is_require_grad() => None,
        Base::Dense(w) => {
            let w = if w.is_autodiff() { w.clone().inner() } else { w.clone() };
            Some(Constant::Dense(flex::contiguous(flex::host(&w)?)))
        }
    }
}

#[cfg(feature = "flex")]
#[backend_extension(Flex, Autodiff)]
trait LoraOps: Backend {
    fn lora_linear(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        w: Constant,
        scale: f32,
    ) -> FloatTensor<Self>;
}

/// What a kernel does with a weight, whichever it is.
#[cfg(feature = "flex")]
trait Visitor {
    fn visit<R: Right>(self, w: R);
}

#[cfg(feature = "flex")]
fn visit(w: &Constant, visitor: impl Visitor) {
    match w {
        Constant::Packed(w) | Constant::Float(w) => visitor.visit(crate::linear::float::Packed(w)),
        Constant::Dense(w) | Constant::Exact(w) => {
            let w = flex::matrix(w);
            match w.numbers() {
                Numbers::F32(numbers) => visitor.visit(lora::weights(&w, numbers)),
                Numbers::F16(numbers) => visitor.visit(lora::weights(&w, numbers)),
                Numbers::Bf16(numbers) => visitor.visit(lora::weights(&w, numbers)),
            }
        }
    }
}

#[cfg(feature = "flex")]
struct Run<'a> {
    x: &'a [f32],
    m: usize,
    update: Update<'a>,
    out: [Output<'a>; 2],
}

#[cfg(feature = "flex")]
impl Visitor for Run<'_> {
    fn visit<R: Right>(self, w: R) {
        lora::linear_into(Level::best(), self.x, self.m, (w, self.update), self.out);
    }
}

#[cfg(feature = "flex")]
struct Back<'a> {
    forward: Forward<'a>,
    m: usize,
    update: Update<'a>,
    out: (Option<Output<'a>>, [Output<'a>; 2]),
}

#[cfg(feature = "flex")]
impl Visitor for Back<'_> {
    fn visit<R: Right>(self, w: R) {
        lora::backward_into(Level::best(), self.forward, (self.m, self.update), w, self.out);
    }
}

/// Factors and scale.
#[cfg(feature = "flex")]
fn update<'a>([a, b]: [&'a FlexTensor; 2], scale: f32) -> Update<'a> {
    Update { a: slice(a), b: slice(b), scale }
}

/// `z` and `y` of row-major operands.
#[cfg(feature = "flex")]
fn products([x, a, b]: [&FlexTensor; 3], w: &Constant, scale: f32) -> [FlexTensor; 2] {
    let mut dims = x.shape().to_vec();
    let (m, rank) = (height(x), a.shape()[0]);
    if let Some(last) = dims.last_mut() {
        *last = w.dims()[0];
    }
    let mut y = None;
    let z = filled(Shape::from([m, rank]), |z| {
        y = Some(filled(Shape::from(dims), |y| {
            visit(w, Run { x: slice(x), m, update: update([a, b], scale), out: [z, y] });
        }));
    });
    [Some(z), y].map(|made| made.expect("both were filled"))
}

#[cfg(feature = "flex")]
impl LoraOps for Flex {
    fn lora_linear(x: FlexTensor, a: FlexTensor, b: FlexTensor, w: Constant, scale: f32) -> FlexTensor {
        let [x, a, b] = [x, a, b].map(floats);
        let [_, y] = products([&x, &a, &b], &w, scale);
        y
    }
}

#[cfg(feature = "flex")]
#[derive(Debug)]
struct LoraBackward;

#[cfg(feature = "flex")]
impl Backward<Flex, 3> for LoraBackward {
    /// `x`, `a`, `b` and `z`, the weight, and the scale.
    type State = ([FlexTensor; 4], Constant, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = floats(grads.consume::<Flex>(&ops.node));
        let ([x, a, b, z], w, scale) = ops.state;
        let forward = Forward { x: slice(&x), z: slice(&z), dy: slice(&dy) };
        let (m, update) = (height(&x), update([&a, &b], scale));
        let (mut dx, mut db) = (None, None);
        let asked = ops.parents[0].is_some();
        let da = filled(a.shape(), |da| {
            db = Some(filled(b.shape(), |db| {
                let factors = [da, db];
                let run = |dx: Option<Output<'_>>| {
                    visit(&w, Back { forward, m, update, out: (dx, factors) });
                };
                match asked {
                    true => dx = Some(filled(x.shape(), |dx| run(Some(dx)))),
                    false => run(None),
                }
            }));
        });
        register(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), [dx, Some(da), db]);
    }
}

#[cfg(feature = "flex")]
impl<C: CheckpointStrategy> LoraOps for Autodiff<Flex, C> {
    fn lora_linear(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        w: Constant,
        scale: f32,
    ) -> FloatTensor<Self> {
        let parts = [x, a, b].map(|operand| operand.into_parts());
        let [(x, x_guard), (a, a_guard), (b, b_guard)] = parts;
        let [x, a, b] = [x, a, b].map(floats);
        let [z, y] = products([&x, &a, &b], &w, scale);
        match LoraBackward.prepare::<C>([x_guard, a_guard, b_guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([x, a, b, z], w, scale), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device, Distribution, Tolerance};

    use super::*;
    use crate::Format;

    #[test]
    fn kernel_and_composition_agree_with_their_gradients() {
        let device = Device::flex();
        let random = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Default, &device);
        let (x, w) = (random([10, 64]), random([70, 64]));
        let (a, b) = (random([4, 64]), random([70, 4]));
        let numbers: Vec<f32> = w.clone().try_into_vec_as().expect("numbers of a host tensor");
        let packed =
            PackedTensor::quantize(&numbers, 70, 64, Format::Int8 { group_size: 32 }).expect("whole groups");
        let half = w.clone().cast(DType::F16);
        for base in [Base::Dense(&w), Base::Dense(&half), Base::Packed(&packed)] {
            for frozen in [false, true] {
                let run = |composed: bool| {
                    let learn = |t: &Tensor<2>| t.clone().autodiff().require_grad();
                    let input = if frozen { x.clone().autodiff() } else { learn(&x) };
                    let (a, b) = (learn(&a), learn(&b));
                    let shape = input.clone().reshape([2, 5, 64]);
                    let y = if composed {
                        let low = dense_linear(dense_linear(shape.clone(), &a).mul_scalar(0.5), &b);
                        match base {
                            Base::Dense(w) => dense_linear(shape, w) + low,
                            Base::Packed(w) => linear(shape, w).expect("features fit") + low,
                        }
                    } else {
                        lora_linear(shape, base, [&a, &b], 0.5).expect("features fit")
                    };
                    let mark = Tensor::from_inner(y.clone().inner().sin());
                    let grads = (y.clone() * mark).sum().backward();
                    let all = [&input, &a, &b].map(|t| t.grad(&grads).map(Tensor::into_data));
                    (y.into_data(), all)
                };
                let (got, want) = (run(false), run(true));
                got.0.assert_approx_eq(&want.0, Tolerance::<f32>::absolute(2e-3));
                assert_eq!(got.1[0].is_none(), frozen);
                for (got, want) in got.1.iter().zip(&want.1) {
                    if let (Some(got), Some(want)) = (got, want) {
                        got.assert_approx_eq(want, Tolerance::<f32>::relative(2e-3).set_absolute(2e-3));
                    }
                }
            }
        }
    }
}
