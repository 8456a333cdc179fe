//! The decode loop: what is guessed, shared or batched gives what one token after another gives, bit for bit.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use slm_core::generate::{Batch, BatchRequest, Generated, Lookup, PrefixCache};
use slm_core::{Delta, FinishReason, GenerationConfig, LocalModel, Result};

fn model(family: &str) -> LocalModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(family);
    let mut model = LocalModel::load(&folder, &Device::flex()).expect("the golden loads");
    model.eos.clear();
    model
}

fn run(model: &LocalModel, prompt: &[u32], config: &GenerationConfig) -> Result<Generated> {
    model.generate(prompt, config, &mut |_| ControlFlow::Continue(()))
}

fn prompt(seed: u32, length: u32) -> Vec<u32> {
    (0..length).map(|i| 1 + (seed * 131 + i * i * 17 + i * 7) % 400).collect()
}

fn sampled(seed: u64) -> GenerationConfig {
    GenerationConfig {
        temperature: 0.8,
        seed,
        max_new_tokens: 40,
        logprobs: true,
        ..GenerationConfig::default()
    }
}

#[test]
fn guessing_changes_nothing_but_the_number_of_passes() -> Result<()> {
    for family in ["qwen3", "mistral", "phi3", "dynamic"] {
        let model = model(family);
        for (seed, greedy) in [(1, true), (2, false), (3, false)] {
            let plain = GenerationConfig { temperature: if greedy { 0.0 } else { 0.3 }, ..sampled(seed) };
            let guessing = GenerationConfig { lookup: Some(Lookup::default()), ..plain.clone() };
            // A prompt that repeats itself, so that there is something to look up.
            let text = [prompt(seed as u32, 6), prompt(seed as u32, 6), prompt(9, 2)].concat();
            assert_eq!(run(&model, &text, &guessing)?, run(&model, &text, &plain)?, "{family}");
        }
    }
    Ok(())
}

#[test]
fn a_shared_beginning_is_read_once_and_changes_nothing() -> Result<()> {
    for family in ["qwen3", "gemma3", "phi3"] {
        let plain = model(family);
        let cached = LocalModel { prefixes: Some(PrefixCache::new(300)), ..plain.clone() };
        let system = prompt(4, 30);
        for seed in 0..4 {
            let question = [system.clone(), prompt(20 + seed, 9)].concat();
            let config = sampled(u64::from(seed));
            assert_eq!(run(&cached, &question, &config)?, run(&plain, &question, &config)?, "{family}");
        }
        // The same prompt again: all of it is known, and its last token is read for its logits.
        let again = [system.clone(), prompt(20, 9)].concat();
        assert_eq!(run(&cached, &again, &sampled(0))?, run(&plain, &again, &sampled(0))?);
        let held = cached.prefixes.as_ref().map_or(0, PrefixCache::tokens);
        assert!((40..=300).contains(&held), "{held}");
    }
    Ok(())
}

#[test]
fn requests_of_a_batch_do_not_see_each_other() -> Result<()> {
    for family in ["qwen3", "gemma2", "smollm3", "phi3"] {
        let model = model(family);
        let requests: Vec<BatchRequest> = (0..5)
            .map(|i| BatchRequest {
                prompt: prompt(i, 3 + 7 * i),
                config: GenerationConfig {
                    max_new_tokens: 10 + 5 * i as usize,
                    lookup: (i == 2).then(Lookup::default),
                    ..sampled(u64::from(i))
                },
            })
            .collect();
        for at_once in [1, 3, 8] {
            let mut streamed = vec![String::new(); requests.len()];
            let made = model.generate_batch(&requests, at_once, &mut |index, text| {
                streamed[index].push_str(text);
                ControlFlow::Continue(())
            });
            for (index, (request, made)) in requests.iter().zip(made).enumerate() {
                let made = made?;
                assert_eq!(made, run(&model, &request.prompt, &request.config)?, "{family}");
                assert_eq!(streamed[index], made.text);
            }
        }
    }
    Ok(())
}

#[test]
fn prompts_read_in_parts_beside_others_give_the_same_answers() -> Result<()> {
    for family in ["qwen3", "gemma3", "phi3", "dynamic"] {
        let model = model(family);
        let requests: Vec<(Vec<u32>, GenerationConfig)> =
            (0..4).map(|i| (prompt(i, 5 + 17 * i), sampled(u64::from(i)))).collect();
        let mut batch = Batch::new(&model).with_part(8);
        let mut done = Vec::new();
        let mut waiting = requests.iter().enumerate();
        for pass in 0.. {
            // One more request every third pass, among answers under way.
            if pass % 3 == 0
                && let Some((index, (prompt, config))) = waiting.next()
            {
                batch.push(index as u64, model.prepare_ids(prompt.clone(), config)?)?;
            }
            if batch.is_empty() && waiting.len() == 0 {
                break;
            }
            done.extend(batch.step(&mut |_, _| ControlFlow::Continue(())));
        }
        assert_eq!(done.len(), requests.len());
        for (index, made) in done {
            let (prompt, config) = &requests[index as usize];
            assert_eq!(made?, run(&model, prompt, config)?, "{family}, request {index}");
        }
    }
    Ok(())
}

#[test]
fn a_prompt_is_cancelled_between_its_parts() -> Result<()> {
    let model = model("qwen3");
    let mut batch = Batch::new(&model).with_part(8);
    batch.push(7, model.prepare_ids(prompt(1, 40), &sampled(1))?)?;
    let mut calls = 0;
    let mut stop = |_: u64, _: Delta<'_>| {
        calls += 1;
        if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert!(batch.step(&mut stop).is_empty());
    let done = batch.step(&mut stop);
    assert!(batch.is_empty());
    let [(7, Ok(made))] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!((made.ids.len(), made.finish_reason), (0, FinishReason::Cancelled));
    Ok(())
}

#[test]
fn a_bad_request_of_a_batch_fails_alone() {
    let model = model("llama");
    let good = BatchRequest { prompt: prompt(1, 5), config: sampled(1) };
    let bad = BatchRequest { prompt: vec![], config: sampled(1) };
    let unknown = BatchRequest { prompt: vec![1, 99_999], config: sampled(1) };
    let made = model.generate_batch(&[bad, good, unknown], 2, &mut |_, _| ControlFlow::Continue(()));
    assert_eq!(made.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn an_answer_is_cancelled_at_any_token() -> Result<()> {
    let model = model("qwen3");
    for at in [1, 2, 7] {
        let mut calls = 0;
        let made = model.generate(&prompt(3, 8), &sampled(3), &mut |_| {
            calls += 1;
            if calls == at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        assert_eq!((made.ids.len(), made.finish_reason), (at, FinishReason::Cancelled));
    }
    Ok(())
}

#[test]
fn log_probabilities_say_what_was_likely() -> Result<()> {
    let model = model("olmo2");
    let prompt = prompt(5, 12);
    let config = GenerationConfig { temperature: 0.0, top_logprobs: 4, prompt_logprobs: true, ..sampled(0) };
    let made = run(&model, &prompt, &config)?;
    let whole = [prompt.clone(), made.ids.clone()].concat();
    let scored = model.score(&whole)?;
    let reported = made.prompt_logprobs.iter().copied().chain(made.logprobs.iter().map(|t| t.logprob));
    for (index, (reported, scored)) in reported.zip(&scored).enumerate() {
        assert!((reported - scored).abs() < 1e-3, "position {index}: {reported} {scored}");
    }
    assert_eq!(made.prompt_logprobs.len(), prompt.len() - 1);
    for token in &made.logprobs {
        assert_eq!(token.top.len(), 4);
        assert_eq!(
            (token.top[0].id, token.top[0].logprob),
            (token.id, token.logprob),
            "greedy takes the top"
        );
        assert!(token.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
    }
    let confidence = made.confidence.expect("log-probabilities were asked for");
    let mean = made.logprobs.iter().map(|t| t.logprob).sum::<f32>() / made.logprobs.len() as f32;
    assert!((confidence.mean_logprob - mean).abs() < 1e-5);
    assert!(confidence.mean_margin > 0.0 && confidence.mean_entropy > 0.0);
    Ok(())
}

#[test]
fn a_long_prompt_is_read_in_parts_and_can_be_cancelled_between() -> Result<()> {
    let model = model("llama");
    let prompt = prompt(2, 900);
    let config = GenerationConfig { max_new_tokens: 4, ..GenerationConfig::default() };
    let made = run(&model, &prompt, &config)?;
    let scored = model.score(&[prompt.clone(), made.ids.clone()].concat())?;
    assert!(scored.iter().all(|s| s.is_finite()));
    let cancelled = model.generate(&prompt, &config, &mut |_| ControlFlow::Break(()))?;
    assert_eq!((cancelled.ids.len(), cancelled.finish_reason), (0, FinishReason::Cancelled));
    Ok(())
}
