//! [`log_prob`] and [`kl_divergence`].

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
#[cfg(feature = "flex")]
use burn::{
    backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    backend::autodiff::grads::Gradients,
    backend::autodiff::ops::{Backward, Ops, OpsKind},
    backend::flex::FlexTensor,
    backend::tensor::FloatTensor,
    backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension},
    tensor::{DType, Shape},
};

#[cfg(feature = "flex")]
use super::{
    flex::{self, floats, in_place, slice},
    fused::{filled, register},
};
#[cfg(feature = "flex")]
use crate::{output::Output, rows, simd::Level};

/// `log softmax(logits)[token]` of each row, in nats. On `flex` no probabilities are kept, and the gradient takes the place
/// of the logits.
///
/// # Shapes
///
/// `logits`: `[rows, vocabulary]`, `tokens`: one for each row, result: `[rows]`.
///
/// # Panics
///
/// On another number of tokens, or a token that is none of the vocabulary.
pub fn log_prob(logits: Tensor<2>, tokens: &[i32]) -> Tensor<1> {
    let [rows, width] = logits.dims();
    let known = rows == tokens.len() && tokens.iter().all(|t| usize::try_from(*t).is_ok_and(|t| t < width));
    assert!(known, "log_prob: a token of the vocabulary for each row");
    #[cfg(feature = "flex")]
    if runs(&logits) {
        let truth = Truth::Tokens(tokens.to_vec());
        return Tensor::from_dispatch(<Dispatch as LikelihoodOps>::likelihood(logits.into_dispatch(), truth));
    }
    let at = Tensor::<1, Int>::from_data(TensorData::from(tokens), &logits.device());
    log_softmax(logits, 1).gather(1, at.unsqueeze_dim(1)).squeeze_dim(1)
}

/// `Σ p · (log p - log q)` of each row, in nats, where `p` and `q` are the softmax of `reference`, a constant, and of `logits`.
///
/// # Shapes
///
/// `reference` and `logits`: `[rows, vocabulary]`, result: `[rows]`.
///
/// # Panics
///
/// If the shapes differ.
pub fn kl_divergence(reference: Tensor<2>, logits: Tensor<2>) -> Tensor<1> {
    assert_eq!(reference.dims(), logits.dims(), "kl_divergence: shapes of both");
    let reference = if reference.is_autodiff() { reference.inner() } else { reference };
    #[cfg(feature = "flex")]
    if let (true, Some(reference)) = (runs(&logits), flex::host(&reference)) {
        let truth = Truth::Logits(floats(reference));
        return Tensor::from_dispatch(<Dispatch as LikelihoodOps>::likelihood(logits.into_dispatch(), truth));
    }
    let right = log_softmax(reference, 1);
    let (p, right) = (right.clone().exp(), right);
    let [p, right] = if logits.is_autodiff() { [p, right].map(Tensor::from_inner) } else { [p, right] };
    (p * (right - log_softmax(logits, 1))).sum_dim(1).squeeze_dim(1)
}

/// Whether the kernels run on `logits`: `f32` on `flex`.
#[cfg(feature = "flex")]
fn runs(logits: &Tensor<2>) -> bool {
    logits.dtype() == DType::F32 && flex::is_flex(&logits.device()) && logits.dims()[1] > 0
}

/// As [`rows::Truth`].
#[cfg(feature = "flex")]
#[derive(Debug, Clone)]
enum Truth {
    Tokens(Vec<i32>),
    Logits(FlexTensor),
}

#[cfg(feature = "flex")]
impl Truth {
    fn view(&self) -> rows::Truth<'_> {
        match self {
            Self::Tokens(tokens) => rows::Truth::Tokens(tokens),
            Self::Logits(logits) => rows::Truth::Logits(slice(logits)),
        }
    }
}

#[cfg(feature = "flex")]
#[backend_extension(Flex, Autodiff)]
trait LikelihoodOps: Backend {
    fn likelihood(logits: FloatTensor<Self>, truth: Truth) -> FloatTensor<Self>;
}

/// The values, and the logarithms of sums that their gradient needs.
#[cfg(feature = "flex")]
fn values(logits: &FlexTensor, truth: &Truth) -> (FlexTensor, Vec<f32>) {
    let (rows, width) = (logits.shape()[0], logits.shape()[1]);
    let mut normal = vec![0.0; 2 * rows];
    let y = filled(Shape::from([rows]), |out| {
        let to = [out, Output::new(&mut normal)];
        rows::likelihood_into(Level::best(), slice(logits), (width, truth.view()), to);
    });
    (y, normal)
}

#[cfg(feature = "flex")]
impl LikelihoodOps for Flex {
    fn likelihood(logits: FlexTensor, truth: Truth) -> FlexTensor {
        values(&floats(logits), &truth).0
    }
}

#[cfg(feature = "flex")]
#[derive(Debug)]
struct LikelihoodBackward;

#[cfg(feature = "flex")]
impl Backward<Flex, 1> for LikelihoodBackward {
    /// The logits, the truth, and the logarithms of sums.
    type State = (FlexTensor, Truth, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let slopes = floats(grads.consume::<Flex>(&ops.node));
        let (logits, truth, normal) = ops.state;
        let how = (logits.shape()[1], truth.view());
        let run = |to: Output<'_>| {
            rows::likelihood_backward_at(Level::best(), to, how, &normal, slice(&slopes));
        };
        let gradient = in_place(logits, run);
        register(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), [Some(gradient)]);
    }
}

#[cfg(feature = "flex")]
impl<C: CheckpointStrategy> LikelihoodOps for Autodiff<Flex, C> {
    fn likelihood(logits: FloatTensor<Self>, truth: Truth) -> FloatTensor<Self> {
        let (logits, guard) = logits.into_parts();
        let logits = floats(logits);
        let (y, normal) = values(&logits, &truth);
        match LikelihoodBackward.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((logits, truth, normal), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;

    #[test]
    fn kernels_and_compositions_agree_with_their_gradients() {
        let device = Device::flex();
        let random = || Tensor::<2>::random([7, 530], Distribution::Normal(0.0, 3.0), &device);
        let (logits, reference) = (random(), random());
        let tokens: Vec<i32> = (0..7).map(|row| row * 71).collect();
        let slopes = Tensor::<1>::random([7], Distribution::Default, &device);
        for divergence in [false, true] {
            let run = |composed: bool| {
                let x = logits.clone().autodiff().require_grad();
                let own = log_softmax(x.clone(), 1);
                let at = Tensor::<1, Int>::from_data(TensorData::from(&tokens[..]), &x.device());
                let y = match (divergence, composed) {
                    (false, false) => log_prob(x.clone(), &tokens),
                    (true, false) => kl_divergence(reference.clone(), x.clone()),
                    (false, true) => own.gather(1, at.unsqueeze_dim(1)).squeeze_dim(1),
                    (true, true) => {
                        let right = Tensor::from_inner(log_softmax(reference.clone(), 1));
                        (right.clone().exp() * (right - own)).sum_dim(1).squeeze_dim(1)
                    }
                };
                let grads = (y.clone() * Tensor::from_inner(slopes.clone())).sum().backward();
                [y.into_data(), x.grad(&grads).expect("tracked logits").into_data()]
            };
            for (got, want) in run(false).into_iter().zip(run(true)) {
                got.assert_approx_eq(&want, Tolerance::<f32>::absolute(1e-4));
            }
        }
        let host = log_prob(logits.clone(), &tokens).into_data();
        host.assert_approx_eq(
            &log_prob(logits.autodiff(), &tokens).into_data(),
            Tolerance::<f32>::absolute(1e-6),
        );
    }
}
