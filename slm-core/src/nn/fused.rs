//! Stand-in.
use burn::tensor::{
    Tensor, TensorData,
    activation::{gelu_approximate, silu, softmax},
};
pub enum Gate {
    Silu,
    GeluTanh,
}
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionOptions {
    pub scale: f32,
    pub causal: bool,
    pub window: Option<usize>,
    pub softcap: Option<f32>,
}
pub fn dense_linear<const D: usize>(x: Tensor<D>, w: &Tensor<2>) -> Tensor<D> {
    let mut dims = x.dims();
    let (rows, inputs) = (dims[..D - 1].iter().product::<usize>(), dims[D - 1]);
    dims[D - 1] = w.dims()[0];
    x.reshape([rows, inputs]).matmul(w.clone().transpose()).reshape(dims)
}
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let scale = x.clone().powi_scalar(2).mean_dim(D - 1).add_scalar(epsilon).sqrt();
    x / scale * weight.clone().unsqueeze()
}
pub fn rotate(x: Tensor<4>, cos: &Tensor<2>, sin: &Tensor<2>) -> Tensor<4> {
    let [_, t, _, d] = x.dims();
    let half = cos.dims()[1];
    let cos = cos.clone().reshape([1, t, 1, half]);
    let sin = sin.clone().reshape([1, t, 1, half]);
    let a = x.clone().narrow(3, 0, half);
    let b = x.clone().narrow(3, half, half);
    let mut parts = vec![a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos + a * sin];
    if d > 2 * half {
        parts.push(x.narrow(3, 2 * half, d - 2 * half));
    }
    Tensor::cat(parts, 3)
}
pub fn gated<const D: usize>(gate: Tensor<D>, up: Tensor<D>, kind: Gate) -> Tensor<D> {
    match kind {
        Gate::Silu => silu(gate) * up,
        Gate::GeluTanh => gelu_approximate(gate) * up,
    }
}
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, o: &AttentionOptions) -> Tensor<4> {
    let [batch, new, heads, width] = q.dims();
    let [_, all, groups, _] = k.dims();
    let stacked = heads / groups * new;
    let q = q.swap_dims(1, 2).mul_scalar(o.scale).reshape([batch, groups, stacked, width]);
    let k = k.swap_dims(1, 2);
    let v = v.swap_dims(1, 2);
    let mut scores = q.matmul(k.swap_dims(2, 3)).reshape([batch, heads, new, all]);
    if let Some(c) = o.softcap {
        scores = scores.div_scalar(c).tanh().mul_scalar(c);
    }
    let past = all - new;
    let mut values = Vec::with_capacity(new * all);
    for query in past..all {
        let first = o.window.map_or(0, |w| (query + 1).saturating_sub(w));
        values.extend(
            (0..all).map(|key| if !o.causal || (first..=query).contains(&key) { 0.0 } else { -1e30_f32 }),
        );
    }
    scores = scores.clone() + Tensor::from_data(TensorData::new(values, [1, 1, new, all]), &scores.device());
    let weights = softmax(scores, 3).reshape([batch, groups, stacked, all]);
    weights.matmul(v).reshape([batch, heads, new, width]).swap_dims(1, 2)
}
