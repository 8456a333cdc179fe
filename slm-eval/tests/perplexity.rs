//! Perplexity of real, tiny models, against values that are known or computed the long way.

use burn::tensor::Device;
use serde_json::json;
use slm_core::model::Parameter;
use slm_core::{CausalLm, ChatTemplate, LocalModel, ModelConfig, Tokenizer};
use slm_data::{Example, Message, Role};
use slm_eval::{Error, Perplexity, PerplexityConfig, Result, answer_perplexity, perplexity};
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, Vocab};

const VOCAB: usize = 258;

/// Two special tokens and one token per byte.
fn tokenizer() -> Tokenizer {
    let mut characters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    characters.sort_unstable();
    let mut vocab = Vocab::from_iter([("<s>".to_owned(), 0), ("</s>".to_owned(), 1)]);
    vocab.extend((2..).zip(characters).map(|(id, c)| (c.to_string(), id)));
    let bpe = BPE::builder().vocab_and_merges(vocab, Vec::new()).build().expect("a vocabulary of bytes");
    let mut inner = tokenizers::Tokenizer::new(bpe);
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, false, false)));
    inner.with_decoder(Some(ByteLevel::new(false, false, false)));
    let special = ["<s>", "</s>"].map(|t| tokenizers::AddedToken::from(t, true));
    inner.add_special_tokens(special).expect("special tokens");
    Tokenizer::from_inner(inner)
}

fn model(context: usize) -> Result<LocalModel> {
    let config = json!({
        "model_type": "llama", "vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": context, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": false, "bos_token_id": 0, "eos_token_id": 1
    });
    let source = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}\
                  {% if add_generation_prompt %}<s>assistant: {% endif %}";
    let model = CausalLm::init(ModelConfig::from_value(config)?, 7, &Device::flex())?;
    let template = Some(ChatTemplate::new(source, "<s>", "</s>")?);
    Ok(LocalModel { template, eos: vec![1], ..LocalModel::new("tiny", model, tokenizer()) })
}

/// The same model with a head of zeros: every token is equally likely.
fn uniform(context: usize) -> Result<LocalModel> {
    let mut local = model(context)?;
    local.model.for_each_parameter(&mut |name, parameter| {
        if let (true, Parameter::Matrix(weight)) = (name.starts_with("lm_head"), parameter) {
            *weight = weight.zeros_like();
        }
    });
    Ok(local)
}

fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-4 * b.abs(), "{a} against {b}");
}

#[test]
fn a_uniform_model_is_as_perplexed_as_its_vocabulary_is_large() -> Result<()> {
    let model = uniform(64)?;
    let found = perplexity(&model, &["hello wörld", "x", "again"], &PerplexityConfig::default())?;
    // Of "hello wörld" (12 bytes) the first byte is not predicted, "x" has no second one, "again" leaves 4.
    assert_eq!((found.tokens, found.bytes), (15, 15));
    assert_close(found.perplexity, VOCAB as f64);
    assert_close(found.nats_per_token, (VOCAB as f64).ln());
    assert_close(found.bits_per_byte.unwrap_or_default(), (VOCAB as f64).log2());
    Ok(())
}

#[test]
fn only_the_answers_count() -> Result<()> {
    let turn = |role, content: &str| Message { role, content: content.into() };
    let messages = vec![
        turn(Role::User, "a long question"),
        turn(Role::Assistant, "yes"),
        turn(Role::User, "and?"),
        turn(Role::Assistant, "no"),
    ];
    let example = Example { messages, ..Example::default() };
    let config = PerplexityConfig::default();
    let found = answer_perplexity(&uniform(128)?, std::slice::from_ref(&example), &config)?;
    // "yes" and "no", each with its </s>.
    assert_eq!((found.tokens, found.bytes), (7, 5));
    assert_close(found.perplexity, VOCAB as f64);

    // The long way: score the whole rendering, pick the answers' places by hand.
    let model = model(128)?;
    let text = "<s>user: a long question</s><s>assistant: yes</s><s>user: and?</s><s>assistant: no</s>";
    let ids = model.tokenizer.encode(text, false)?;
    let scores = model.score(&ids)?;
    let tokens_before = |part: &str| -> Result<usize> {
        let at = text.find(part).expect("the answer is in the text");
        Ok(model.tokenizer.encode(&text[..at], false)?.len())
    };
    let (yes, no) = (tokens_before("yes")?, tokens_before("no</s>")?);
    let places = (yes..yes + 4).chain(no..no + 3);
    let nats: f64 = places.map(|at| -f64::from(scores[at - 1])).sum();
    let found = answer_perplexity(&model, &[example], &config)?;
    assert_close(found.nats_per_token, nats / 7.0);
    Ok(())
}

#[test]
fn windows_give_each_token_the_context_they_promise() -> Result<()> {
    let model = model(32)?;
    let text = "the quick brown fox jumps over the lazy dog, twice"; // 50 tokens
    let ids = model.tokenizer.encode(text, true)?;
    let measure = |window, stride| perplexity(&model, &[text], &PerplexityConfig { window, stride });
    // By hand for window 8, stride 3: the first 8 tokens after the first, then 3 at a time.
    let mut nats: f64 = model.score(&ids[..9])?.iter().map(|s| -f64::from(*s)).sum();
    let mut done = 9;
    while done < ids.len() {
        let end = (done + 3).min(ids.len());
        let scores = model.score(&ids[end - 9..end])?;
        nats -= scores[scores.len() - (end - done)..].iter().map(|s| f64::from(*s)).sum::<f64>();
        done = end;
    }
    let found = measure(8, 3)?;
    assert_eq!(found.tokens, 49);
    assert_close(found.nats_per_token, nats / 49.0);
    // A window beyond the context is cut to it.
    assert_eq!(measure(1000, 32)?, measure(32, 32)?);
    assert_ne!(measure(8, 8)?, measure(8, 1)?);
    for (window, stride) in [(0, 1), (8, 0), (8, 9)] {
        assert!(matches!(measure(window, stride), Err(Error::Setting { .. })), "{window} {stride}");
    }
    Ok(())
}

#[test]
fn nothing_to_score_is_an_error() -> Result<()> {
    let config = PerplexityConfig::default();
    let mut model = uniform(64)?;
    let nothing = |found: Result<Perplexity>| matches!(found, Err(Error::Empty { .. }));
    assert!(nothing(perplexity(&model, &["", "x"], &config)));
    assert!(nothing(answer_perplexity(&model, &[], &config)));
    model.template = None;
    let error = answer_perplexity(&model, &[Example::pair("a", "b", "")], &config).expect_err("no template");
    assert!(matches!(error, Error::NoTemplate { .. }), "{error}");
    Ok(())
}
