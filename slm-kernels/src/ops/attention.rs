//! [`attention`], [`attention_varlen`] and [`attention_cached`].

use burn::tensor::{Bool, Device, Int, Tensor, activation};

#[cfg(feature = "flex")]
use super::{
    flex,
    fused::{self, FusedOps},
};
#[cfg(feature = "flex")]
use crate::{attention as kernels, simd::Level};
#[cfg(feature = "flex")]
use burn::{backend::Flex, tensor::DType};

use crate::attention::{AttentionOptions, KvBuffer};
#[cfg(feature = "cube")]
use crate::cube;

/// Attention of the last positions of each sequence of a batch over all of them. Query head `h` reads the keys
/// of head `h / (heads / kv_heads)`.
///
/// On a host device ([`is_host`](super::is_host)) keys and values are copied to a [`KvBuffer`] first; keep one
/// and call [`attention_cached`] where few queries meet many keys.
///
/// # Shapes
///
/// `q`: `[batch, new, heads, dim]`, `k`, `v`: `[batch, all, kv_heads, dim]` with `new <= all`, result: as `q`, of
/// its float type.
///
/// # Panics
///
/// On other shapes.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, options: &AttentionOptions) -> Tensor<4> {
    let ([batch, new, heads, dim], [_, all, kv_heads, _]) = (q.dims(), k.dims());
    let expected = [batch, all, kv_heads, dim];
    assert_eq!([k.dims(), v.dims()], [expected; 2], "attention: keys and values for the queries");
    assert!(new <= all, "attention: {new} queries for {all} keys");
    assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "attention: {heads} heads on {kv_heads}");
    #[cfg(feature = "flex")]
    if flex::runs(&q) && flex::runs(&k) && flex::runs(&v) {
        let dtype = q.dtype();
        let [q, k, v] = [q, k, v].map(|x| flex::floats(flex::take(x)));
        let y = flex::wrap(Flex::fused_attention(q, k, v, *options));
        return if dtype == DType::F32 { y } else { y.cast(dtype) };
    }
    #[cfg(feature = "flex")]
    if fused::runs(&q) && k.dtype() == q.dtype() && v.dtype() == q.dtype() {
        return fused::attention([q, k, v], options);
    }
    #[cfg(feature = "cube")]
    if on_device(&q, options) && cube::runs(&k) && cube::runs(&v) {
        return cube::attend(q, [k, v], all, options);
    }
    composed(q, k, v, options)
}

/// Whether the kernel of the GPU attends with `q`.
#[cfg(feature = "cube")]
fn on_device(q: &Tensor<4>, options: &AttentionOptions) -> bool {
    cube::runs(q) && (options.causal || options.window.is_none())
}

/// Attention within each of several sequences that lie behind one another in one row, without padding.
///
/// Parts of one wider tensor are read as they are, so that one product may make queries, keys and values.
///
/// # Shapes
///
/// `q`: `[1, tokens, heads, dim]`, `k`, `v`: `[1, tokens, kv_heads, dim]`, where `tokens` is the sum of `lengths`;
/// result: as `q`, of its float type.
///
/// # Panics
///
/// On other shapes.
#[cfg_attr(feature = "flex", expect(unsafe_code, reason = "kernels fill fresh memory"))]
pub fn attention_varlen(
    [q, k, v]: [Tensor<4>; 3],
    lengths: &[usize],
    options: &AttentionOptions,
) -> Tensor<4> {
    let ([batch, tokens, heads, dim], [_, _, kv_heads, _]) = (q.dims(), k.dims());
    assert_eq!([batch, tokens], [1, lengths.iter().sum()], "attention: tokens of all sequences");
    let expected = [1, tokens, kv_heads, dim];
    assert_eq!([k.dims(), v.dims()], [expected; 2], "attention: keys and values for the queries");
    assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "attention: {heads} heads on {kv_heads}");
    #[cfg(feature = "flex")]
    if flex::runs(&q) && flex::runs(&k) && flex::runs(&v) {
        let (shape, dtype) = (q.shape(), q.dtype());
        let qkv = [q, k, v].map(|x| flex::tokens(flex::take(x)));
        let how = (kernels::Shape { heads, kv_heads, dim }, options);
        // SAFETY: the kernel writes all of its output.
        let out = unsafe {
            flex::tensor(shape, dtype, |out| {
                if out.len() > 0 {
                    let qkv = qkv.each_ref().map(flex::rows);
                    kernels::attend_varlen(Level::best(), qkv, lengths, how, out);
                }
            })
        };
        return flex::wrap(out);
    }
    if let Some(length) = lengths.first().filter(|first| lengths.iter().all(|l| l == *first)) {
        let [q, k, v] = [q, k, v].map(|x| {
            let heads = x.dims()[2];
            x.reshape([lengths.len(), *length, heads, dim])
        });
        return attention(q, k, v, options).reshape([1, tokens, heads, dim]);
    }
    let mut start = 0;
    let parts = lengths.iter().filter(|length| **length > 0).map(|length| {
        let part = |x: &Tensor<4>| x.clone().narrow(1, start, *length);
        let y = attention(part(&q), part(&k), part(&v), options);
        start += length;
        y
    });
    Tensor::cat(parts.collect(), 1)
}

/// Appends `k` and `v` to `buffer`, then attends with `q` over all that it holds.
///
/// Results have the same bits whether a sequence comes at once, in parts or token by token.
///
/// # Shapes
///
/// `q`: `[1, new, heads, dim]`, `k`, `v`: `[1, new, kv_heads, dim]`, result: as `q`, of its float type.
///
/// # Panics
///
/// On other shapes, and on devices that are not a host ([`is_host`](super::is_host)).
#[cfg_attr(feature = "flex", expect(unsafe_code, reason = "kernels fill fresh memory"))]
pub fn attention_cached(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    buffer: &mut KvBuffer,
    options: &AttentionOptions,
) -> Tensor<4> {
    let ([batch, new, heads, dim], [_, _, kv_heads, _]) = (q.dims(), k.dims());
    assert_eq!(batch, 1, "attention: a buffer holds one sequence");
    assert_eq!(
        [k.dims(), v.dims()],
        [[1, new, kv_heads, dim]; 2],
        "attention: keys and values for the queries"
    );
    assert_eq!(buffer.check(heads, kv_heads, dim), Ok(()), "attention: the buffer is of another shape");
    #[cfg(feature = "flex")]
    if flex::runs(&q) && flex::runs(&k) && flex::runs(&v) {
        let (shape, dtype) = (q.shape(), q.dtype());
        let [q, k, v] = [q, k, v].map(|x| flex::floats(flex::take(x)));
        let appended = buffer.append(flex::slice(&k), flex::slice(&v));
        assert_eq!(appended, Ok(()), "attention: checked shapes");
        let q = flex::slice(&q);
        // SAFETY: the kernel writes all of its output.
        let out = unsafe {
            flex::tensor(shape, dtype, |out| {
                kernels::attend_into(Level::best(), q, heads, buffer, options, out);
            })
        };
        return flex::wrap(out);
    }
    #[cfg(not(feature = "flex"))]
    let _ = options;
    panic!("attention_cached: tensors must be of a flex device without autodiff, got {:?}", q.device());
}

fn composed(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, options: &AttentionOptions) -> Tensor<4> {
    let ([batch, new, heads, dim], [_, all, kv_heads, _]) = (q.dims(), k.dims());
    let group = heads / kv_heads;
    // A group's queries become rows of one matrix, so that keys and values are not repeated.
    // [batch, new, heads, dim] → [batch, kv_heads, group * new, dim]
    let q = q.reshape([batch, new, kv_heads, group, dim]).permute([0, 2, 3, 1, 4]);
    let q = q.reshape([batch, kv_heads, group * new, dim]);
    // [batch, all, kv_heads, dim] → [batch, kv_heads, dim, all] and [batch, kv_heads, all, dim]
    let (k, v) = (k.permute([0, 2, 3, 1]), v.permute([0, 2, 1, 3]));
    let mut scores = q.matmul(k).mul_scalar(options.scale);
    if let Some(cap) = options.softcap {
        scores = scores.div_scalar(cap).tanh().mul_scalar(cap);
    }
    if options.causal || options.window.is_some() {
        scores = scores.mask_fill(hidden(new, all, group, options, &v.device()), f32::NEG_INFINITY);
    }
    let out = activation::softmax(scores, 3).matmul(v);
    // [batch, kv_heads, group * new, dim] → [batch, new, heads, dim]
    let out = out.reshape([batch, kv_heads, group, new, dim]).permute([0, 3, 1, 2, 4]);
    out.reshape([batch, new, heads, dim])
}

/// Which keys a query does not see: `[1, 1, group * new, all]`.
fn hidden(
    new: usize,
    all: usize,
    group: usize,
    options: &AttentionOptions,
    device: &Device,
) -> Tensor<4, Bool> {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let positions = |range: std::ops::Range<i64>| Tensor::<1, Int>::arange(range, device);
    let queries = positions(count(all - new)..count(all)).reshape([new, 1]);
    let keys = positions(0..count(all)).reshape([1, all]);
    // [new, all]
    let ahead = keys.repeat_dim(0, new) - queries.repeat_dim(1, all);
    let window = options.window.map(|window| count(window.max(1)));
    let mut hidden = match (options.causal, window) {
        (true, _) => ahead.clone().greater_elem(0),
        (false, window) => ahead.clone().greater_equal_elem(window.unwrap_or(i64::MAX >> 32)),
    };
    if let Some(window) = window {
        hidden = hidden.bool_or(ahead.lower_equal_elem(-window));
    }
    hidden.repeat_dim(0, group).reshape([1, 1, group * new, all])
}

/// Keys and values of a device without [`KvBuffer`]s, which grow as sequences do.
#[derive(Debug, Clone)]
pub struct KvTensors {
    /// `[batch, at least length, kv_heads, dim]`.
    both: [Tensor<4>; 2],
    length: usize,
}

impl KvTensors {
    /// Room for sequences of `batch` rows, still empty.
    pub fn new([batch, kv_heads, dim]: [usize; 3], device: &Device) -> Self {
        Self { both: [(); 2].map(|()| Tensor::empty([batch, 0, kv_heads, dim], device)), length: 0 }
    }

    /// Memory, in bytes; what clones share counts for each.
    pub fn bytes(&self) -> usize {
        self.both.iter().map(|t| t.dtype().size() * t.shape().num_elements()).sum()
    }

    /// Forgets all but the first `length` positions.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Appends `k` and `v`, then attends with `q` over all.
    ///
    /// # Shapes
    ///
    /// `q`: `[batch, new, heads, dim]`, `k`, `v`: `[batch, new, kv_heads, dim]`, result: as `q`.
    ///
    /// # Panics
    ///
    /// On other shapes.
    pub fn attend(&mut self, [q, k, v]: [Tensor<4>; 3], options: &AttentionOptions) -> Tensor<4> {
        let new = k.dims()[1];
        #[cfg(feature = "cube")]
        if cube::runs(&k) && cube::runs(&v) {
            self.reserve(new);
            let (length, empty) = (self.length, || Tensor::empty([1, 1, 1, 1], &k.device()));
            // The memory is grown in place as nothing else holds it.
            for (all, part) in self.both.iter_mut().zip([k.clone(), v.clone()]) {
                *all = cube::append(std::mem::replace(all, empty()), part, length);
            }
            self.length += new;
            if on_device(&q, options) {
                return cube::attend(q, self.both.clone(), self.length, options);
            }
            let [k, v] = self.both.each_ref().map(|all| all.clone().narrow(1, 0, self.length));
            return attention(q, k, v, options);
        }
        for (all, part) in self.both.iter_mut().zip([k, v]) {
            *all = match self.length {
                0 => part,
                length => Tensor::cat(vec![all.clone().narrow(1, 0, length), part], 1),
            };
        }
        self.length += new;
        let [k, v] = self.both.clone();
        attention(q, k, v, options)
    }

    /// Makes room for `new` positions more, and as many again.
    #[cfg(feature = "cube")]
    fn reserve(&mut self, new: usize) {
        let [batch, capacity, heads, dim] = self.both[0].dims();
        let needed = self.length + new;
        if needed <= capacity {
            return;
        }
        let capacity = needed.max(2 * self.length).next_multiple_of(256);
        for all in &mut self.both {
            let room = Tensor::empty([batch, capacity, heads, dim], &all.device());
            *all = match self.length {
                0 => room,
                length => cube::append(room, all.clone().narrow(1, 0, length), 0),
            };
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    #[test]
    fn kernel_and_composition_agree() {
        let device = Device::flex();
        let random = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Default, &device);
        let plain = AttentionOptions { scale: 0.4, ..Default::default() };
        for options in [
            plain,
            AttentionOptions { causal: false, ..plain },
            AttentionOptions { causal: false, window: Some(9), ..plain },
            AttentionOptions { window: Some(5), softcap: Some(3.0), ..plain },
        ] {
            for (new, all) in [(1, 1), (1, 80), (13, 13), (70, 90)] {
                let q = random([2, new, 4, 20]);
                let (k, v) = (random([2, all, 2, 20]), random([2, all, 2, 20]));
                let got = attention(q.clone(), k.clone(), v.clone(), &options);
                let want = composed(q, k, v, &options).into_data();
                got.into_data().assert_approx_eq(&want, Tolerance::<f32>::absolute(1e-5));
            }
        }
    }

    #[test]
    fn nothing_attends_to_nothing() {
        let device = Device::flex();
        for shape in [[2, 3, 0, 4], [2, 0, 2, 4], [0, 3, 2, 4], [2, 3, 2, 0]] {
            let kv = [shape[0], shape[1], 2, shape[3]];
            let [q, k, v] = [shape, kv, kv].map(|shape| Tensor::<4>::zeros(shape, &device));
            assert_eq!(attention(q, k, v, &AttentionOptions::default()).dims(), shape);
        }
    }

    #[test]
    fn sequences_of_different_lengths_do_not_see_each_other() {
        let device = Device::flex();
        for (lengths, dim) in [(vec![3, 70, 1, 0, 130], 20), (vec![16; 5], 32), (vec![0], 8)] {
            let tokens = lengths.iter().sum();
            // Heads of queries, of keys and of values in one tensor, as one product makes them.
            let all = Tensor::<4>::random([1, tokens, 8, dim], Distribution::Default, &device);
            let [q, k, v] = [(0, 4), (4, 2), (6, 2)].map(|(at, heads)| all.clone().narrow(2, at, heads));
            for causal in [true, false] {
                let options = AttentionOptions { scale: 0.4, causal, window: Some(90), softcap: None };
                let got = attention_varlen([q.clone(), k.clone(), v.clone()], &lengths, &options);
                assert_eq!(got.dims(), q.dims());
                let mut start = 0;
                for length in lengths.iter().filter(|length| **length > 0) {
                    let part = |x: &Tensor<4>| x.clone().narrow(1, start, *length);
                    let want = composed(part(&q), part(&k), part(&v), &options).into_data();
                    part(&got).into_data().assert_approx_eq(&want, Tolerance::<f32>::absolute(1e-5));
                    start += length;
                }
            }
        }
    }

    #[test]
    fn gradients_of_kernel_and_composition_agree() {
        let device = Device::flex();
        let random = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Default, &device);
        for (new, all, softcap) in [(9, 9, None), (5, 70, Some(2.0))] {
            let options = AttentionOptions { scale: 0.4, window: Some(40), softcap, causal: true };
            let [q, k] = [[2, new, 4, 20], [2, all, 2, 20]].map(random);
            let inputs = [q, k.clone().swap_dims(1, 2).add_scalar(0.1).swap_dims(1, 2), k];
            let run = |f: fn([Tensor<4>; 3], &AttentionOptions) -> Tensor<4>| {
                let inputs = inputs.each_ref().map(|x| x.clone().autodiff().require_grad());
                let y = f(inputs.clone(), &options);
                let mark = Tensor::from_inner(y.clone().inner().mul_scalar(3.0).sin());
                let grads = (y * mark).sum().backward();
                inputs.map(|x| x.grad(&grads).expect("a tracked input").into_data())
            };
            let got = run(|[q, k, v], options| attention(q, k, v, options));
            let want = run(|[q, k, v], options| composed(q, k, v, options));
            for (got, want) in got.iter().zip(&want) {
                got.assert_approx_eq(want, Tolerance::<f32>::absolute(2e-5));
            }
        }
    }
}
