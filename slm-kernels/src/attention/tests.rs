//! Every instruction set and cache type against the reference.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn wave(len: usize, step: f32, height: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * step).sin() * height + (i as f32 * step * 0.37).cos() * 0.3).collect()
}

/// Queries, keys and values of `new` and `all` tokens.
fn inputs(new: usize, all: usize, shape: Shape) -> [Vec<f32>; 3] {
    let (wide, narrow) = (shape.heads * shape.dim, shape.kv_heads * shape.dim);
    [wave(new * wide, 0.731, 1.0), wave(all * narrow, 0.37, 1.0), wave(all * narrow, 0.113, 1.0)]
}

fn assert_close(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance, "{what} {i}: {got} instead of {want}");
    }
}

/// The result with a cache of `kind`, on each instruction set.
fn attend(
    kind: KvType,
    [q, k, v]: &[Vec<f32>; 3],
    shape: Shape,
    options: &AttentionOptions,
) -> Vec<(Level, Vec<f32>)> {
    let mut buffer = KvBuffer::new(shape.kv_heads, shape.dim, kind);
    buffer.append(k, v).unwrap();
    let run = |level| {
        let mut out = vec![f32::NAN; q.len()];
        attend_into(level, q, shape.heads, &buffer, options, Output::new(&mut out));
        (level, out)
    };
    Level::available().into_iter().map(run).collect()
}

fn check(new: usize, all: usize, shape: Shape, options: &AttentionOptions) {
    let data = inputs(new, all, shape);
    let mut want = vec![0.0; data[0].len()];
    scalar::attention(&data[0], [&data[1], &data[2]], shape, options, &mut want);
    for (kind, tolerance) in [(KvType::F32, 1e-5), (KvType::F16, 3e-3), (KvType::Int8, 5e-2)] {
        for (level, got) in attend(kind, &data, shape, options) {
            assert_close(&got, &want, tolerance, &format!("{level:?} {kind:?}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gradients_match_the_reference(
        new in 1_usize..70,
        before in 0_usize..90,
        kv_heads in 1_usize..4,
        group in 1_usize..4,
        dim in 1_usize..50,
        causal in any::<bool>(),
        window in prop::option::of(1_usize..80),
        softcap in prop::option::of(1.0_f32..60.0),
    ) {
        let shape = Shape { heads: kv_heads * group, kv_heads, dim };
        let options = AttentionOptions { scale: 1.0 / (dim as f32).sqrt(), causal, window, softcap };
        let [q, k, v] = inputs(2 * new, 2 * (before + new), shape);
        let dy = wave(q.len(), 0.51, 1.0);
        let half = |x: &[f32], i: usize| x[i * x.len() / 2..(i + 1) * x.len() / 2].to_vec();
        let mut want = [Vec::new(), Vec::new(), Vec::new()];
        for i in 0..2 {
            let [q, k, v, dy] = [&q, &k, &v, &dy].map(|x| half(x, i));
            let one = scalar::attention_backward(Forward { q: &q, k: &k, v: &v, dy: &dy }, shape, &options);
            want.iter_mut().zip(one).for_each(|(all, one)| all.extend(one));
        }
        for level in Level::available() {
            let mut got = want.each_ref().map(|want| vec![f32::NAN; want.len()]);
            let out = got.each_mut().map(|got| Output::new(got));
            let forward = Forward { q: &q, k: &k, v: &v, dy: &dy };
            backward::backward_into(level, forward, 2, (shape, &options), out);
            for ((got, want), what) in got.iter().zip(&want).zip(["dq", "dk", "dv"]) {
                assert_close(got, want, 3e-5, &format!("{level:?} {what}"));
            }
        }
    }

    #[test]
    fn kernels_match_the_reference(
        new in 1_usize..90,
        before in 0_usize..150,
        kv_heads in 1_usize..4,
        group in 1_usize..4,
        dim in 1_usize..70,
        causal in any::<bool>(),
        window in prop::option::of(1_usize..120),
        softcap in prop::option::of(1.0_f32..60.0),
    ) {
        let shape = Shape { heads: kv_heads * group, kv_heads, dim };
        let scale = 1.0 / (dim as f32).sqrt();
        check(new, before + new, shape, &AttentionOptions { scale, causal, window, softcap });
    }
}

#[test]
fn decoding_over_many_pages() {
    let options = AttentionOptions { scale: 0.2, ..Default::default() };
    for (heads, kv_heads) in [(4, 1), (4, 4), (9, 1)] {
        check(1, 1000, Shape { heads, kv_heads, dim: 128 }, &options);
    }
}

/// A prompt in one piece, in parts, and token by token.
#[test]
fn parts_of_a_prompt_give_the_same_bits() {
    let (tokens, shape) = (150, Shape { heads: 4, kv_heads: 2, dim: 24 });
    let [q, k, v] = inputs(tokens, tokens, shape);
    let (wide, narrow) = (shape.heads * shape.dim, shape.kv_heads * shape.dim);
    let options = AttentionOptions { scale: 0.3, window: Some(70), ..Default::default() };
    for kind in [KvType::F32, KvType::F16, KvType::Int8] {
        let run = |part: usize| {
            let mut buffer = KvBuffer::new(shape.kv_heads, shape.dim, kind);
            let mut all = Vec::new();
            for start in (0..tokens).step_by(part) {
                let end = (start + part).min(tokens);
                let kv = [&k[start * narrow..end * narrow], &v[start * narrow..end * narrow]];
                let mut out = vec![f32::NAN; (end - start) * wide];
                attention_cached(&q[start * wide..end * wide], kv, &mut buffer, &options, &mut out).unwrap();
                all.extend(out);
            }
            assert_eq!(buffer.len(), tokens);
            all
        };
        let whole = run(tokens);
        for part in [1, 7, 64, 100] {
            assert_eq!(run(part), whole, "{kind:?} {part}");
        }
    }
}

#[test]
fn clones_share_a_beginning_and_then_differ() {
    let shape = Shape { heads: 2, kv_heads: 1, dim: 16 };
    let [q, k, v] = inputs(100, 100, shape);
    let options = AttentionOptions::default();
    let run = |buffer: &mut KvBuffer, from: usize, to: usize| {
        let mut out = vec![0.0; (to - from) * 32];
        let kv = [&k[from * 16..to * 16], &v[from * 16..to * 16]];
        attention_cached(&q[from * 32..to * 32], kv, buffer, &options, &mut out).unwrap();
        out
    };
    let mut first = KvBuffer::new(1, 16, KvType::F32);
    run(&mut first, 0, 90);
    let mut second = first.clone();
    // What one writes, the other must not see.
    run(&mut second, 0, 10);
    let kept = run(&mut first, 90, 100);
    second.truncate(90);
    assert_eq!(run(&mut second, 90, 100), kept);
    second.truncate(64);
    assert_eq!((second.len(), second.bytes()), (64, 2 * 64 * 16 * 4));
    second.truncate(0);
    assert!(second.is_empty() && second.bytes() == 0);
    assert_eq!(run(&mut second, 0, 90), run(&mut KvBuffer::new(1, 16, KvType::F32), 0, 90));
}

#[test]
fn wrong_sizes_are_errors() {
    let shape = Shape { heads: 2, kv_heads: 1, dim: 4 };
    let options = AttentionOptions::default();
    let (q, kv, mut out) = ([0.0; 16], [0.0; 8], [0.0; 16]);
    attention(&q, [&kv, &kv], shape, &options, &mut out).unwrap();
    assert!(attention(&q, [&kv, &kv[..4]], shape, &options, &mut out).is_err());
    assert!(
        attention(&q, [&kv[..4], &kv[..4]], shape, &options, &mut out).is_err(),
        "more queries than keys"
    );
    assert!(attention(&q, [&kv, &kv], Shape { heads: 3, ..shape }, &options, &mut out).is_err());
    assert!(attention(&q, [&kv, &kv], shape, &options, &mut out[..8]).is_err());
    let (mut dq, mut dk, mut dv) = ([0.0; 16], [0.0; 8], [0.0; 8]);
    let forward = Forward { q: &q, k: &kv, v: &kv, dy: &q };
    attention_backward(forward, 1, shape, &options, [&mut dq, &mut dk, &mut dv]).unwrap();
    assert!(attention_backward(forward, 3, shape, &options, [&mut dq, &mut dk, &mut dv]).is_err());
    assert!(attention_backward(forward, 1, shape, &options, [&mut dq, &mut dk[..4], &mut dv]).is_err());
    let mut buffer = KvBuffer::new(1, 4, KvType::F16);
    assert!(attention_cached(&q[..10], [&kv, &kv], &mut buffer, &options, &mut out).is_err());
    assert!(buffer.append(&kv[..5], &kv[..5]).is_err());
    assert!(buffer.is_empty());
}
