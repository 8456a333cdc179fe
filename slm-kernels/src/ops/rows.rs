//! [`rms_norm`], [`rotate`], [`gated`], [`layer_norm`], [`add_layer_norm`], [`gelu`] and [`add_bias`].

use burn::tensor::{DType, Tensor, activation};

#[cfg(feature = "flex")]
use super::{flex, fused};
#[cfg(feature = "flex")]
use crate::{output::Output, rows, rows::Heads, simd::Level};

#[cfg(feature = "cube")]
use crate::cube;
use crate::rows::Gate;

/// `x / √(mean(x²) + epsilon) * weight` along the last dimension, computed in `f32`.
///
/// # Shapes
///
/// `x`: `[.., width]`, `weight`: `[width]`, result: as `x`, of its float type.
///
/// # Panics
///
/// If the last dimension of `x` is not `width`.
#[cfg_attr(feature = "flex", expect(unsafe_code, reason = "kernels fill fresh memory"))]
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    assert_eq!(x.dims().last(), Some(&weight.dims()[0]), "rms_norm: width of the input and of the weight");
    #[cfg(feature = "flex")]
    if let (Some(x), Some(weight)) = (flex::host(&x), flex::host(weight)) {
        let (shape, dtype) = (x.layout().shape().clone(), x.dtype());
        let (x, weight) = (flex::floats(x), flex::floats(weight));
        let (x, weight) = (flex::slice(&x), flex::slice(&weight));
        // SAFETY: the kernel writes all of its output.
        let y = unsafe {
            flex::tensor(shape, dtype, |y| rows::rms_norm_into(Level::best(), x, weight, epsilon as f32, y))
        };
        return flex::wrap(y);
    }
    #[cfg(feature = "flex")]
    if fused::runs(&x) {
        return fused::rms_norm(x, weight, epsilon);
    }
    #[cfg(feature = "cube")]
    if cube::runs(&x) && cube::runs(weight) {
        return cube::rms_norm(x, weight, epsilon);
    }
    composed_norm(x, weight, epsilon)
}

fn composed_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let (x, dtype) = widened(x);
    let wide = x.dtype();
    let scale = (x.clone() * x.clone()).mean_dim(D - 1).add_scalar(epsilon).sqrt();
    let weight = if weight.dtype() == wide { weight.clone() } else { weight.clone().cast(wide) };
    let y = x / scale * weight.unsqueeze();
    if wide == dtype { y } else { y.cast(dtype) }
}

/// `x` in at least 32 bits, and the type that it had.
fn widened<const D: usize>(x: Tensor<D>) -> (Tensor<D>, DType) {
    match x.dtype() {
        dtype @ (DType::F32 | DType::F64) => (x, dtype),
        dtype => (x.cast(DType::F32), dtype),
    }
}

/// Rotary position embedding in the half-split order: pairs `(i, i + rotary / 2)` of each head turn by the
/// angle `i` of their token; what comes after the first `rotary` numbers of a head stays.
///
/// # Shapes
///
/// `x`: `[batch, tokens, heads, head_dim]`, `cos`, `sin`: `[tokens, rotary / 2]` with `rotary <= head_dim`,
/// result: as `x`, of its float type.
///
/// # Panics
///
/// On other shapes.
pub fn rotate(x: Tensor<4>, cos: &Tensor<2>, sin: &Tensor<2>) -> Tensor<4> {
    let [_, tokens, _, dim] = x.dims();
    let half = cos.dims()[1];
    assert_eq!([cos.dims(), sin.dims()], [[tokens, half]; 2], "rotate: angles for each token");
    assert!(2 * half <= dim, "rotate: {half} angles for a head of {dim}");
    #[cfg(feature = "flex")]
    if flex::runs(&x) && flex::runs(cos) && flex::runs(sin) {
        let heads = Heads { heads: x.dims()[2], dim, rotary: 2 * half };
        let [cos, sin] = [cos, sin].map(|angles| flex::floats(flex::take(angles.clone())));
        let angles = [&cos, &sin].map(flex::slice);
        let turn = |x: Output<'_>| rows::rotate_at(Level::best(), x, angles, heads);
        return flex::wrap(flex::in_place(flex::take(x), turn));
    }
    #[cfg(feature = "flex")]
    if fused::runs(&x) && flex::is_flex(&cos.device()) && flex::is_flex(&sin.device()) {
        return fused::rotate(x, [cos, sin]);
    }
    #[cfg(feature = "cube")]
    if cube::runs(&x) && cube::runs(cos) && cube::runs(sin) {
        return cube::rotate(x, cos, sin);
    }
    composed_rotation(x, cos, sin)
}

fn composed_rotation(x: Tensor<4>, cos: &Tensor<2>, sin: &Tensor<2>) -> Tensor<4> {
    let [tokens, half] = cos.dims();
    let dim = x.dims()[3];
    if half == 0 {
        return x;
    }
    let (x, dtype) = widened(x);
    let wide = x.dtype();
    // [tokens, half] → [1, tokens, 1, half]
    let angle = |a: &Tensor<2>| {
        let a = if a.dtype() == wide { a.clone() } else { a.clone().cast(wide) };
        a.reshape([1, tokens, 1, half])
    };
    let (cos, sin) = (angle(cos), angle(sin));
    let (a, b) = (x.clone().narrow(3, 0, half), x.clone().narrow(3, half, half));
    let mut parts = vec![a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos + a * sin];
    if dim > 2 * half {
        parts.push(x.narrow(3, 2 * half, dim - 2 * half));
    }
    let y = Tensor::cat(parts, 3);
    if wide == dtype { y } else { y.cast(dtype) }
}

/// `act(gate) * up`, computed in `f32`.
///
/// # Shapes
///
/// `gate`, `up` and the result: the same; the result has the float type of `gate`.
///
/// # Panics
///
/// If the shapes differ.
pub fn gated<const D: usize>(gate: Tensor<D>, up: Tensor<D>, kind: Gate) -> Tensor<D> {
    assert_eq!(gate.dims(), up.dims(), "gated: shapes of both halves");
    #[cfg(feature = "flex")]
    if flex::runs(&gate) && flex::runs(&up) {
        let up = flex::floats(flex::take(up));
        let run = |gate: Output<'_>| rows::gated_at(Level::best(), None, gate, flex::slice(&up), kind);
        return flex::wrap(flex::in_place(flex::take(gate), run));
    }
    #[cfg(feature = "flex")]
    if fused::runs(&gate) && up.dtype() == gate.dtype() {
        return fused::gated(gate, up, kind);
    }
    #[cfg(feature = "cube")]
    if cube::runs(&gate) && cube::runs(&up) {
        return cube::gated(gate, up, kind);
    }
    composed_gate(gate, up, kind)
}

fn composed_gate<const D: usize>(gate: Tensor<D>, up: Tensor<D>, kind: Gate) -> Tensor<D> {
    let (gate, dtype) = widened(gate);
    let up = if up.dtype() == gate.dtype() { up } else { up.cast(gate.dtype()) };
    let act = match kind {
        Gate::Silu => activation::silu(gate),
        Gate::GeluTanh => {
            let cubic = gate.clone() * (gate.clone() * gate.clone()).mul_scalar(0.044_715).add_scalar(1.0);
            gate * activation::sigmoid(cubic.mul_scalar(2.0 * std::f64::consts::FRAC_2_PI.sqrt()))
        }
    };
    let y = act * up;
    if y.dtype() == dtype { y } else { y.cast(dtype) }
}

/// `(x - mean) / √(variance + epsilon) * weight + bias` along the last dimension, computed in `f32`.
///
/// # Shapes
///
/// `x`: `[.., width]`, `weight` and `bias`: `[width]`, result: as `x`, of its float type.
///
/// # Panics
///
/// If the last dimension of `x` is not `width`.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: &Tensor<1>,
    bias: &Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let width = x.dims().last().copied().unwrap_or(0);
    assert_eq!([weight.dims(), bias.dims()], [[width]; 2], "layer_norm: width of weight and bias");
    #[cfg(feature = "flex")]
    if let (true, Some(weight), Some(bias)) = (flex::runs(&x), flex::host(weight), flex::host(bias)) {
        let (weight, bias) = (flex::floats(weight), flex::floats(bias));
        let (weight, bias) = (flex::slice(&weight), flex::slice(&bias));
        let normal = rows::Normal { weight, bias, epsilon: epsilon as f32 };
        let run = |x: Output<'_>| rows::layer_norm_at(Level::best(), x, normal);
        return flex::wrap(flex::in_place(flex::take(x), run));
    }
    let (x, dtype) = widened(x);
    let wide = x.dtype();
    let distance = x.clone() - x.mean_dim(D - 1);
    let deviation = (distance.clone() * distance.clone()).mean_dim(D - 1).add_scalar(epsilon).sqrt();
    let y =
        distance / deviation * weight.clone().cast(wide).unsqueeze() + bias.clone().cast(wide).unsqueeze();
    if wide == dtype { y } else { y.cast(dtype) }
}

/// [`layer_norm`] of `x + residual`.
///
/// # Shapes
///
/// `residual`: as `x`; else as [`layer_norm`].
///
/// # Panics
///
/// On other shapes.
pub fn add_layer_norm<const D: usize>(
    x: Tensor<D>,
    residual: Tensor<D>,
    [weight, bias]: [&Tensor<1>; 2],
    epsilon: f64,
) -> Tensor<D> {
    assert_eq!(x.dims(), residual.dims(), "add_layer_norm: shapes of the sum");
    #[cfg(feature = "flex")]
    if let (DType::F32, true, true, Some(residual), Some(w), Some(b)) = (
        x.dtype(),
        flex::runs(&x),
        x.dims().last() == Some(&weight.dims()[0]) && weight.dims() == bias.dims(),
        flex::host(&residual),
        flex::host(weight),
        flex::host(bias),
    ) {
        let [residual, w, b] = [residual, w, b].map(flex::floats);
        let (weight, bias) = (flex::slice(&w), flex::slice(&b));
        let normal = rows::Normal { weight, bias, epsilon: epsilon as f32 };
        let run = |x: Output<'_>| rows::add_layer_norm_at(Level::best(), x, flex::slice(&residual), normal);
        return flex::wrap(flex::in_place(flex::take(x), run));
    }
    layer_norm(x + residual, weight, bias, epsilon)
}

/// `x / 2 * (1 + erf(x / √2))`, computed in `f32`.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::runs(&x) {
        return flex::wrap(flex::in_place(flex::take(x), |x| rows::gelu_at(Level::best(), x)));
    }
    activation::gelu(x)
}

/// `x + bias` along the last dimension.
///
/// # Shapes
///
/// `x`: `[.., width]`, `bias`: `[width]`, result: as `x`, of its float type.
///
/// # Panics
///
/// If the last dimension of `x` is not `width`.
pub fn add_bias<const D: usize>(x: Tensor<D>, bias: &Tensor<1>) -> Tensor<D> {
    assert_eq!(x.dims().last(), Some(&bias.dims()[0]), "add_bias: width of the input and of the bias");
    #[cfg(feature = "flex")]
    if let (true, Some(bias)) = (flex::runs(&x), flex::host(bias)) {
        let bias = flex::floats(bias);
        let run = |x: Output<'_>| rows::add_bias_at(Level::best(), x, flex::slice(&bias));
        return flex::wrap(flex::in_place(flex::take(x), run));
    }
    let dtype = x.dtype();
    x + bias.clone().cast(dtype).unsqueeze()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;

    fn assert_near<const D: usize>(got: Tensor<D>, want: Tensor<D>) {
        assert_eq!(got.dtype(), want.dtype());
        let tolerance = if got.dtype() == DType::F32 { 1e-5 } else { 1e-2 };
        let data = |t: Tensor<D>| t.cast(DType::F32).into_data();
        data(got).assert_approx_eq(&data(want), Tolerance::<f32>::absolute(tolerance));
    }

    #[test]
    fn kernels_and_compositions_agree() {
        let device = Device::flex();
        let random = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Default, &device);
        let weight = Tensor::<1>::random([24], Distribution::Default, &device);
        let angles = Tensor::<2>::random([5, 10], Distribution::Default, &device);
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let (x, y) = (random([2, 5, 3, 24]).cast(dtype), random([2, 5, 3, 24]).cast(dtype));
            // Views: dimensions swapped, a part of the tokens.
            let view = random([2, 3, 5, 24]).cast(dtype).swap_dims(1, 2);
            for x in [x, view, random([2, 9, 3, 24]).cast(dtype).narrow(1, 3, 5)] {
                assert_near(rms_norm(x.clone(), &weight, 1e-6), composed_norm(x.clone(), &weight, 1e-6));
                let (cos, sin) = (angles.clone().cos(), angles.clone().sin());
                assert_near(rotate(x.clone(), &cos, &sin), composed_rotation(x.clone(), &cos, &sin));
                let bias = weight.clone().mul_scalar(0.3);
                let wide = x.clone().cast(DType::F32);
                let distance = wide.clone() - wide.clone().mean_dim(3);
                let deviation = (distance.clone() * distance.clone()).mean_dim(3).add_scalar(1e-6).sqrt();
                let want = distance / deviation * weight.clone().unsqueeze() + bias.clone().unsqueeze();
                assert_near(layer_norm(x.clone(), &weight, &bias, 1e-6), want.cast(dtype));
                let want = layer_norm(x.clone() + y.clone(), &weight, &bias, 1e-6);
                assert_near(add_layer_norm(x.clone(), y.clone(), [&weight, &bias], 1e-6), want);
                assert_near(gelu(x.clone()), activation::gelu(wide.clone()).cast(dtype));
                assert_near(add_bias(x.clone(), &bias), (wide + bias.clone().unsqueeze()).cast(dtype));
                for kind in [Gate::Silu, Gate::GeluTanh] {
                    let want = composed_gate(x.clone(), y.clone(), kind);
                    assert_near(gated(x.clone(), y.clone(), kind), want);
                }
            }
        }
    }

    /// The result of `op` on `inputs` and their gradients, each as one row.
    fn gradients<const N: usize>(
        inputs: &[Tensor<4>; N],
        op: impl Fn([Tensor<4>; N]) -> Tensor<4>,
    ) -> Vec<Tensor<1>> {
        let inputs = inputs.each_ref().map(|x| x.clone().autodiff().require_grad());
        let y = op(inputs.clone());
        let mut out = vec![y.clone().inner().flatten(0, 3)];
        let mark = y.clone().inner().mul_scalar(3.0).sin();
        let grads = (y * Tensor::from_inner(mark)).sum().backward();
        out.extend(inputs.iter().map(|x| x.grad(&grads).expect("a tracked input").flatten(0, 3)));
        out
    }

    #[test]
    fn gradients_of_kernels_and_compositions_agree() {
        let device = Device::flex();
        let random = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Default, &device);
        let (x, weight) = (random([2, 5, 3, 24]), random([1, 1, 1, 24]));
        let view = random([2, 3, 5, 24]).swap_dims(1, 2);
        let angles = Tensor::<2>::random([5, 10], Distribution::Default, &device);
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        for x in [x.clone(), view] {
            let norm = |f: fn(Tensor<4>, &Tensor<1>, f64) -> Tensor<4>| {
                gradients(&[x.clone(), weight.clone()], move |[x, w]| f(x, &w.flatten(0, 3), 1e-3))
            };
            let turn = |f: fn(Tensor<4>, &Tensor<2>, &Tensor<2>) -> Tensor<4>| {
                gradients(std::array::from_ref(&x), |[x]| {
                    f(x, &cos.clone().autodiff(), &sin.clone().autodiff())
                })
            };
            let mut pairs =
                vec![(norm(rms_norm), norm(composed_norm)), (turn(rotate), turn(composed_rotation))];
            for kind in [Gate::Silu, Gate::GeluTanh] {
                let gate = |f: fn(Tensor<4>, Tensor<4>, Gate) -> Tensor<4>| {
                    gradients(&[x.clone(), x.clone().add_scalar(0.3)], move |[g, u]| f(g, u, kind))
                };
                pairs.push((gate(gated), gate(composed_gate)));
            }
            for (got, want) in pairs {
                got.into_iter().zip(want).for_each(|(got, want)| assert_near(got, want));
            }
        }
    }
}
