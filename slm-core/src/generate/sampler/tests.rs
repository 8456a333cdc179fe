//! Draws follow the distribution; the goldens of the single samplers are in `tests/sampling.rs`.

use super::*;

fn draw(config: &GenerationConfig, logits: &[f32], n: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(config).expect("valid");
    (0..n).map(|_| sampler.sample(&mut logits.to_vec(), &[]).expect("finite")).collect()
}

#[test]
fn frequencies_follow_the_softmax() {
    let config = GenerationConfig { temperature: 1.0, ..GenerationConfig::default() };
    let logits = [0.7f32.ln(), 0.2f32.ln(), 0.1f32.ln()];
    let drawn = draw(&config, &logits, 20_000);
    let share = |id| drawn.iter().filter(|d| **d == id).count() as f64 / 20_000.0;
    assert!((share(0) - 0.7).abs() < 0.015 && (share(1) - 0.2).abs() < 0.015, "{} {}", share(0), share(1));
}

#[test]
fn filters_remove_the_tail() {
    let logits = [0.5f32.ln(), 0.3f32.ln(), 0.15f32.ln(), 0.05f32.ln()];
    let base = GenerationConfig { temperature: 1.0, ..GenerationConfig::default() };
    let highest = |c: GenerationConfig| draw(&c, &logits, 2_000).into_iter().max();
    assert_eq!(highest(GenerationConfig { top_k: 2, ..base.clone() }), Some(1));
    assert_eq!(highest(GenerationConfig { top_p: 0.81, ..base.clone() }), Some(2));
    assert_eq!(highest(GenerationConfig { min_p: 0.5, ..base.clone() }), Some(1));
    assert_eq!(highest(base), Some(3));
}

#[test]
fn the_order_decides() {
    // Probabilities 0.5, 0.3, 0.2: hot, top-p 0.5 needs two tokens; cold, one.
    let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
    let last = vec![Step::TopP, Step::Temperature];
    let config = GenerationConfig { temperature: 9.0, top_p: 0.5, ..GenerationConfig::default() };
    assert_eq!(draw(&config, &logits, 2_000).into_iter().max(), Some(1));
    let config = GenerationConfig { order: last, ..config };
    assert_eq!(draw(&config, &logits, 2_000).into_iter().max(), Some(0));
}

#[test]
fn the_seed_decides_and_penalties_move_the_choice() {
    let config = GenerationConfig { temperature: 1.0, seed: 9, ..GenerationConfig::default() };
    let logits = [0.1, 0.2, 0.3, 0.4];
    assert_eq!(draw(&config, &logits, 50), draw(&config, &logits, 50));
    let penalty = GenerationConfig { repetition_penalty: 2.0, ..GenerationConfig::default() };
    let mut sampler = Sampler::new(&penalty).expect("valid");
    assert_eq!(sampler.sample(&mut [1.0, 0.9], &[0]).expect("finite"), 1);
    assert!(Sampler::new(&GenerationConfig { top_p: 0.0, ..penalty }).is_err());
}

#[test]
fn a_bias_can_force_and_forbid() {
    let forbid =
        GenerationConfig { logit_bias: [(1, f32::NEG_INFINITY)].into(), ..GenerationConfig::default() };
    assert_eq!(draw(&forbid, &[0.0, 5.0, 1.0], 1), [2]);
    let force =
        GenerationConfig { logit_bias: [(0, 100.0)].into(), temperature: 1.0, ..GenerationConfig::default() };
    assert_eq!(draw(&force, &[0.0, 5.0, 1.0], 20), [0; 20]);
    let mut sampler = Sampler::new(&forbid).expect("valid");
    assert!(sampler.sample(&mut [f32::NEG_INFINITY, 3.0], &[]).is_err(), "nothing is left");
}

#[test]
fn breakers_end_what_dry_counts() {
    let dry = super::super::Dry { allowed_length: 1, ..Default::default() };
    let config = GenerationConfig { dry: Some(dry), ..GenerationConfig::default() };
    let seen = [1, 2, 3, 1, 2];
    let lost = |breakers: &[u32]| {
        let mut sampler = Sampler::new(&config).expect("valid").with_breakers(breakers.iter().copied());
        let mut logits = vec![0.0; 5];
        sampler.sample(&mut logits, &seen).expect("finite");
        -logits[3]
    };
    assert!((lost(&[]) - 0.8 * 1.75).abs() < 1e-6);
    assert!((lost(&[1]) - 0.8).abs() < 1e-6, "only the sequence after the breaker counts");
    assert_eq!(lost(&[2]), 0.0, "nothing was said since the breaker");
}

#[test]
fn mirostat_holds_the_surprise_near_its_target() {
    let mirostat = super::super::Mirostat { tau: 3.0, eta: 0.1 };
    let config =
        GenerationConfig { temperature: 1.0, mirostat: Some(mirostat), ..GenerationConfig::default() };
    let logits: Vec<f32> = (1..2000).map(|rank| -1.1 * (rank as f32).ln()).collect();
    let mut sampler = Sampler::new(&config).expect("valid");
    let total: f32 = logits.iter().map(|l| l.exp()).sum();
    let mut bits = 0.0;
    for step in 0..3000 {
        let id = sampler.sample(&mut logits.clone(), &[]).expect("finite");
        if step >= 1000 {
            bits += -(logits[id as usize].exp() / total).log2() / 2000.0;
        }
    }
    // The target is of the truncated distribution; the full one's surprise is somewhat higher.
    assert!((2.5..5.5).contains(&bits), "{bits}");
}
