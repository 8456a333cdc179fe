//! What training learns is what serving would have the model write, by either way of marking it.

use std::path::{Path, PathBuf};

use serde_json::json;
use slm_core::text::{Ending, TemplateInput, TrainingText};
use slm_core::{ChatTemplate, Message, Result, Tokenizer};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn template(name: &str) -> ChatTemplate {
    let source = std::fs::read_to_string(golden("text/templates").join(name)).expect("a template");
    ChatTemplate::new(&source, "", "<|im_end|>").expect("a template")
}

fn tokenizer() -> Result<Tokenizer> {
    Tokenizer::load_directory(&golden("qwen3"))
}

fn conversation() -> Vec<Message> {
    vec![
        Message::system("Be brief."),
        Message::user("What is a token?"),
        Message::assistant("A piece of text. Größe, 日本 😀"),
        Message::user("And a layer?"),
        Message::assistant("\n A step of the model.  "),
    ]
}

fn learned(tokenizer: &Tokenizer, text: &TrainingText) -> Result<String> {
    let ids: Vec<u32> = text.ids.iter().zip(&text.learned).filter(|(_, l)| **l).map(|(id, _)| *id).collect();
    tokenizer.decode(&ids)
}

/// Every learned token stands behind the ids of the prompt that serving renders for its turn.
fn assert_prompts_are_prefixes(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    input: &TemplateInput,
    texts: &[TrainingText],
) -> Result<()> {
    let mut turns = input.messages.iter().enumerate().filter(|(_, m)| m["role"] == "assistant");
    for text in texts {
        for start in (0..text.ids.len()).filter(|i| text.learned[*i] && (*i == 0 || !text.learned[i - 1])) {
            let (turn, _) = turns.next().expect("a turn for each learned part");
            let prompt = TemplateInput {
                messages: input.messages[..turn].to_vec(),
                ending: Ending::Open,
                ..input.clone()
            };
            assert_eq!(
                text.ids[..start],
                tokenizer.encode(&template.render_with(&prompt)?, false)?,
                "turn {turn}"
            );
        }
    }
    assert!(turns.next().is_none(), "every turn is learned");
    Ok(())
}

#[test]
fn generation_blocks_and_prompts_mark_the_same_tokens() -> Result<()> {
    let (template, tokenizer) = (template("generation-blocks.jinja"), tokenizer()?);
    let input = template.input(&conversation());
    let marked = template.assistant_mask(&tokenizer, &input)?;
    assert_eq!(template.training_texts(&tokenizer, &input)?, std::slice::from_ref(&marked));
    assert_eq!(template.training_text(&tokenizer, &conversation())?, marked);
    assert_prompts_are_prefixes(&template, &tokenizer, &input, &[marked])?;
    Ok(())
}

#[test]
fn the_mask_needs_blocks() -> Result<()> {
    let template = template("chatml-tools.jinja");
    let error =
        template.assistant_mask(&tokenizer()?, &template.input(&conversation())).expect_err("no blocks");
    assert!(error.to_string().contains("training_texts"), "{error}");
    Ok(())
}

#[test]
fn calls_are_learned_with_the_tools_they_call() -> Result<()> {
    let (template, tokenizer) = (template("chatml-tools.jinja"), tokenizer()?);
    let mut call = Message::assistant("");
    call.tool_calls = vec![slm_core::ToolCall::new("get", json!({"b": 1, "a": [true, null]}))];
    let turns = [Message::user("x"), call, Message::tool("get", "7"), Message::assistant("It is 7.")];
    let tools = vec![json!({"type": "function", "function": {"name": "get"}})];
    let input = TemplateInput { tools, ..template.input(&turns) };
    let texts = template.training_texts(&tokenizer, &input)?;
    assert_prompts_are_prefixes(&template, &tokenizer, &input, &texts)?;
    assert_eq!(
        learned(&tokenizer, &texts[0])?,
        "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"b\": 1, \"a\": [true, null]}}\n</tool_call><|im_end|>\n\
         It is 7.<|im_end|>\n"
    );
    Ok(())
}

/// As Qwen3 does: thoughts are rendered in the last turn and dropped from those before.
#[test]
fn a_template_that_rewrites_history_gives_a_text_per_turn() -> Result<()> {
    let source = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' and loop.last %}<think>\
                  {{ m.reasoning_content }}</think>{% endif %}{{ m.content }}[end]{% endfor %}\
                  {% if add_generation_prompt %}[assistant]{% endif %}";
    let (template, tokenizer) = (ChatTemplate::new(source, "", "")?, tokenizer()?);
    let thought = |text: &str, thought: &str| Message {
        reasoning_content: Some(thought.into()),
        ..Message::assistant(text)
    };
    let turns = [Message::user("a"), thought("b", "hm"), Message::user("c"), thought("d", "oh")];
    let error = template.training_text(&tokenizer, &turns).expect_err("history changes").to_string();
    assert!(error.contains("training_texts"), "{error}");
    let input = template.input(&turns);
    let texts = template.training_texts(&tokenizer, &input)?;
    assert_prompts_are_prefixes(&template, &tokenizer, &input, &texts)?;
    let said: Vec<String> = texts.iter().map(|text| learned(&tokenizer, text)).collect::<Result<_>>()?;
    assert_eq!(said, ["<think>hm</think>b[end]", "<think>oh</think>d[end]"]);
    Ok(())
}

/// A prompt that ends with a space, which the first word of the answer would take along.
#[test]
fn a_token_over_the_border_is_cut_where_serving_cuts_it() -> Result<()> {
    let (template, tokenizer) = (ChatTemplate::plain(&golden("qwen3"))?, tokenizer()?);
    let turns = conversation();
    let input = template.input(&turns);
    let texts = template.training_texts(&tokenizer, &input)?;
    assert_prompts_are_prefixes(&template, &tokenizer, &input, &texts)?;
    let one = template.training_text(&tokenizer, &turns)?;
    assert_eq!(tokenizer.decode_with_special(&one.ids)?, template.render(&turns, false)?);
    Ok(())
}

#[test]
fn qwen3_learns_its_own_turns() -> Result<()> {
    let Some(data) = std::env::var_os("SLM_DATA").map(PathBuf::from) else {
        eprintln!("SLM_DATA is not set: Qwen3 is not asked");
        return Ok(());
    };
    let folder = data.join("tokenizers/qwen3");
    let tokenizer = Tokenizer::load_directory(&folder)?;
    let template = ChatTemplate::load(&folder)?.expect("a template");
    for thinking in [true, false] {
        let mut input = template.input(&conversation());
        input.variables.insert("enable_thinking".into(), thinking.into());
        let texts = template.training_texts(&tokenizer, &input)?;
        assert_eq!(texts.len(), 2, "thoughts of earlier turns are dropped");
        assert_prompts_are_prefixes(&template, &tokenizer, &input, &texts)?;
        let think = if thinking { "<think>\n\n</think>\n\n" } else { "" };
        let said = format!("{think}A piece of text. Größe, 日本 😀\n");
        assert_eq!(learned(&tokenizer, &texts[0])?, said);
    }
    Ok(())
}
