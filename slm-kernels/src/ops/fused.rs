//! Operations of a decoder with backward passes of their own, on `flex` under autodiff.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor, TensorData};

use super::flex::{Constant, ConstantOps, contiguous, floats, in_place, is_flex, slice, tensor};
use crate::attention::{self, AttentionOptions, Forward, KvBuffer, KvType, Tokens};
use crate::dense::linear_dw_into;
use crate::output::Output;
use crate::rows::{self, Gate, Heads, NormForward};
use crate::simd::Level;

/// Whether `x` takes the operations of this module: `f32` on `flex` under autodiff.
pub(super) fn runs<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && x.is_autodiff() && is_flex(&x.device())
}

/// `x` under autodiff, a constant if it was not.
pub(super) fn tracked<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.is_autodiff() { x } else { Tensor::from_inner(x) }
}

/// Angles of each token, which are not trained.
#[derive(Debug, Clone)]
pub(super) struct Angles {
    cos: FlexTensor,
    sin: FlexTensor,
    heads: Heads,
}

#[backend_extension(Flex, Autodiff)]
pub(super) trait FusedOps: Backend {
    fn fused_linear(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self>;

    fn fused_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self>;

    fn fused_rotation(x: FloatTensor<Self>, angles: Angles) -> FloatTensor<Self>;

    fn fused_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>, kind: Gate) -> FloatTensor<Self>;

    fn fused_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        options: AttentionOptions,
    ) -> FloatTensor<Self>;
}

pub(super) fn linear<const D: usize>(x: Tensor<D>, w: &Tensor<2>) -> Tensor<D> {
    let w = tracked(w.clone()).into_dispatch();
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_linear(tracked(x).into_dispatch(), w))
}

pub(super) fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let weight = tracked(weight.clone().cast(DType::F32)).into_dispatch();
    let y = <Dispatch as FusedOps>::fused_norm(x.into_dispatch(), weight, epsilon as f32);
    Tensor::from_dispatch(y)
}

pub(super) fn rotate(x: Tensor<4>, [cos, sin]: [&Tensor<2>; 2]) -> Tensor<4> {
    let [_, _, heads, dim] = x.dims();
    let heads = Heads { heads, dim, rotary: 2 * cos.dims()[1] };
    let [cos, sin] = [cos, sin].map(|angles| {
        let angles = if angles.is_autodiff() { angles.clone().inner() } else { angles.clone() };
        floats(super::flex::take(angles))
    });
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_rotation(
        x.into_dispatch(),
        Angles { cos, sin, heads },
    ))
}

pub(super) fn gated<const D: usize>(gate: Tensor<D>, up: Tensor<D>, kind: Gate) -> Tensor<D> {
    let [gate, up] = [gate, up].map(|x| tracked(x).into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_gate(gate, up, kind))
}

pub(super) fn attention(qkv: [Tensor<4>; 3], options: &AttentionOptions) -> Tensor<4> {
    let [q, k, v] = qkv.map(|x| tracked(x).into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_attention(q, k, v, *options))
}

/// A tensor of `shape`, every number of which `fill` must write.
#[expect(unsafe_code, reason = "kernels fill fresh memory")]
pub(super) fn filled(shape: Shape, fill: impl FnOnce(Output<'_>)) -> FlexTensor {
    // SAFETY: all callers hand the output to one kernel that writes all of it.
    unsafe { tensor(shape, DType::F32, fill) }
}

fn turn(x: FlexTensor, angles: &Angles, sin: &[f32]) -> FlexTensor {
    in_place(x, |x| rows::rotate_at(Level::best(), x, [slice(&angles.cos), sin], angles.heads))
}

/// `[batch, new, heads, dim]` and `[_, all, kv_heads, _]` of queries and keys.
fn sizes(q: &FlexTensor, k: &FlexTensor) -> ([usize; 4], [usize; 2]) {
    let (q, k) = (q.shape(), k.shape());
    ([q[0], q[1], q[2], q[3]], [k[1], k[2]])
}

/// Rows of `x`, whose last dimension is not empty.
pub(super) fn height(x: &FlexTensor) -> usize {
    x.shape().iter().rev().skip(1).product()
}

impl FusedOps for Flex {
    fn fused_linear(x: FlexTensor, w: FlexTensor) -> FlexTensor {
        Flex::constant_linear(x, Constant::Dense(contiguous(w)))
    }

    fn fused_norm(x: FlexTensor, weight: FlexTensor, epsilon: f32) -> FlexTensor {
        let (x, weight) = (floats(x), floats(weight));
        let run = |y: Output<'_>| rows::rms_norm_into(Level::best(), slice(&x), slice(&weight), epsilon, y);
        filled(x.shape(), run)
    }

    fn fused_rotation(x: FlexTensor, angles: Angles) -> FlexTensor {
        turn(x, &angles, slice(&angles.sin))
    }

    fn fused_gate(gate: FlexTensor, up: FlexTensor, kind: Gate) -> FlexTensor {
        let [gate, up] = [gate, up].map(floats);
        let run = |out: Output<'_>| rows::gated_at(Level::best(), Some(slice(&gate)), out, slice(&up), kind);
        filled(gate.shape(), run)
    }

    fn fused_attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, options: AttentionOptions) -> FlexTensor {
        let ([batch, new, heads, dim], [all, kv_heads]) = sizes(&q, &k);
        let (shape, [q, k, v]) = (q.shape(), [q, k, v].map(floats));
        let (queries, keys) = (new * heads * dim, all * kv_heads * dim);
        if new == all && queries > 0 {
            let rows = |x, heads| Tokens { numbers: slice(x), stride: heads * dim };
            let qkv = [rows(&q, heads), rows(&k, kv_heads), rows(&v, kv_heads)];
            let how = (attention::Shape { heads, kv_heads, dim }, &options);
            let run =
                |out: Output<'_>| attention::attend_varlen(Level::best(), qkv, &vec![all; batch], how, out);
            return filled(shape, run);
        }
        filled(shape, |out| {
            for b in 0..if queries == 0 { 0 } else { batch } {
                let mut buffer = KvBuffer::new(kv_heads, dim, KvType::F32);
                let [k, v] = [&k, &v].map(|x| &slice(x)[b * keys..(b + 1) * keys]);
                assert_eq!(buffer.append(k, v), Ok(()), "attention: checked shapes");
                let q = &slice(&q)[b * queries..(b + 1) * queries];
                let out = out.part(b * queries, queries);
                attention::attend_into(Level::best(), q, heads, &buffer, &options, out);
            }
        })
    }
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 2> for LinearBackward {
    /// The input where the weight is tracked, and the weight.
    type State = (Option<FlexTensor>, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = floats(grads.consume::<Flex>(&ops.node));
        let (x, w) = ops.state;
        let dw = x.filter(|_| ops.parents[1].is_some()).map(|x| match height(&x) {
            0 => FlexTensor::from_data(TensorData::zeros::<f32, _>(w.shape())),
            m => filled(w.shape(), |dw| linear_dw_into(Level::best(), [&x, &dy].map(slice), m, dw)),
        });
        let dx = ops.parents[0].is_some().then(|| Flex::constant_linear_dx(dy, Constant::Dense(w)));
        register(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), [dx, dw]);
    }
}

#[derive(Debug)]
struct NormBackward;

impl Backward<Flex, 2> for NormBackward {
    type State = (FlexTensor, FlexTensor, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = floats(grads.consume::<Flex>(&ops.node));
        let (x, weight, epsilon) = ops.state;
        let forward = NormForward { x: slice(&x), weight: slice(&weight), epsilon, dy: slice(&dy) };
        let mut dweight = None;
        let dx = filled(x.shape(), |dx| {
            let run = |d: Output<'_>| rows::rms_norm_backward_into(Level::best(), forward, dx, d);
            dweight = Some(filled(weight.shape(), run));
        });
        register(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), [Some(dx), dweight]);
    }
}

#[derive(Debug)]
struct RotationBackward;

impl Backward<Flex, 1> for RotationBackward {
    type State = Angles;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let back: Vec<f32> = slice(&ops.state.sin).iter().map(|sin| -sin).collect();
        register(
            grads,
            ops.parents.map(|parent| parent.map(|parent| parent.id)),
            [Some(turn(dy, &ops.state, &back))],
        );
    }
}

#[derive(Debug)]
struct GateBackward;

impl Backward<Flex, 2> for GateBackward {
    type State = (FlexTensor, FlexTensor, Gate);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = floats(grads.consume::<Flex>(&ops.node));
        let (gate, up, kind) = ops.state;
        let mut dup = None;
        let dgate = filled(gate.shape(), |dgate| {
            let inputs = [&gate, &up, &dy].map(slice);
            let run = |dup: Output<'_>| rows::gated_backward_into(Level::best(), inputs, kind, [dgate, dup]);
            dup = Some(filled(up.shape(), run));
        });
        register(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), [Some(dgate), dup]);
    }
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    type State = ([FlexTensor; 3], AttentionOptions);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = floats(grads.consume::<Flex>(&ops.node));
        let ([q, k, v], options) = ops.state;
        let ([batch, _, heads, dim], [_, kv_heads]) = sizes(&q, &k);
        let shape = attention::Shape { heads, kv_heads, dim };
        let forward = Forward { q: slice(&q), k: slice(&k), v: slice(&v), dy: slice(&dy) };
        let (mut dk, mut dv) = (None, None);
        let dq = filled(q.shape(), |dq| {
            dk = Some(filled(k.shape(), |dk| {
                dv = Some(filled(v.shape(), |dv| {
                    let (how, out) = ((shape, &options), [dq, dk, dv]);
                    attention::backward_into(Level::best(), forward, batch, how, out);
                }));
            }));
        });
        register(grads, ops.parents.map(|parent| parent.map(|parent| parent.id)), [Some(dq), dk, dv]);
    }
}

/// Hands each parent that is tracked its gradient.
pub(super) fn register<const N: usize>(
    grads: &mut Gradients,
    parents: [Option<NodeId>; N],
    gradients: [Option<FlexTensor>; N],
) {
    for (parent, gradient) in parents.into_iter().zip(gradients) {
        if let (Some(parent), Some(gradient)) = (parent, gradient) {
            grads.register::<Flex>(parent, gradient);
        }
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn fused_linear(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        let trained = w.is_tracked();
        let ((x, x_guard), (w, w_guard)) = (x.into_parts(), w.into_parts());
        let (x, w) = (floats(x), contiguous(w));
        let y = Flex::fused_linear(x.clone(), w.clone());
        match LinearBackward.prepare::<C>([x_guard, w_guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((trained.then_some(x), w), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        let ((x, x_guard), (weight, weight_guard)) = (x.into_parts(), weight.into_parts());
        let (x, weight) = (floats(x), floats(weight));
        let y = Flex::fused_norm(x.clone(), weight.clone(), epsilon);
        match NormBackward.prepare::<C>([x_guard, weight_guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, epsilon), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_rotation(x: FloatTensor<Self>, angles: Angles) -> FloatTensor<Self> {
        let (x, guard) = x.into_parts();
        match RotationBackward.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(angles.clone(), Flex::fused_rotation(x, angles)),
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_rotation(x, angles)),
        }
    }

    fn fused_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>, kind: Gate) -> FloatTensor<Self> {
        let ((gate, gate_guard), (up, up_guard)) = (gate.into_parts(), up.into_parts());
        let (gate, up) = (floats(gate), floats(up));
        match GateBackward.prepare::<C>([gate_guard, up_guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = Flex::fused_gate(gate.clone(), up.clone(), kind);
                prep.finish((gate, up, kind), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_gate(gate, up, kind)),
        }
    }

    fn fused_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        options: AttentionOptions,
    ) -> FloatTensor<Self> {
        let parts = [q, k, v].map(|x| x.into_parts());
        let [(q, q_guard), (k, k_guard), (v, v_guard)] = parts;
        let [q, k, v] = [q, k, v].map(floats);
        let y = Flex::fused_attention(q.clone(), k.clone(), v.clone(), options);
        match AttentionBackward.prepare::<C>([q_guard, k_guard, v_guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([q, k, v], options), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
