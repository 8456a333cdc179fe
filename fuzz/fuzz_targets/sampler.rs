//! Settings of generation as JSON: those that pass the check choose a token of the vocabulary, and the same one
//! again from the same seed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slm_core::GenerationConfig;
use slm_core::generate::Sampler;

const VOCAB: usize = 24;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice::<GenerationConfig>(bytes) else { return };
    let Ok(sampler) = Sampler::new(&config) else { return };
    let sampler = sampler.with_breakers([3]);
    assert_eq!(choose(sampler.clone()), choose(sampler));
});

/// A few tokens in a row; `None` where the sampler refuses.
fn choose(mut sampler: Sampler) -> Vec<Option<u32>> {
    let mut seen = vec![1, 2, 3, 1, 2];
    let mut chosen = Vec::new();
    for step in 0..6_usize {
        let mut logits: Vec<f32> = (0..VOCAB).map(|i| ((i * 7 + step) % 11) as f32 - 4.0).collect();
        logits[step] = f32::NEG_INFINITY;
        let id = sampler.sample(&mut logits, &seen).ok();
        if let Some(id) = id {
            assert!((id as usize) < VOCAB);
            seen.push(id);
        }
        chosen.push(id);
    }
    chosen
}
