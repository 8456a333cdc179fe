//! Templates and what training learns from them: the same tokens that serving expects.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use slm_core::model::FloatType;
use slm_core::{ChatTemplate, LocalModel, Message, Result, Tokenizer};

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama")
}

fn conversation() -> [Message; 5] {
    [
        Message::system("Be brief."),
        Message::user("What is a token?"),
        Message::assistant("A piece of text."),
        Message::user("And a layer?"),
        Message::assistant("A step of the model."),
    ]
}

#[test]
fn training_learns_what_serving_generates() -> Result<()> {
    let template = ChatTemplate::new(CHATML, "", "<|im_end|>")?;
    let tokenizer = Tokenizer::load_directory(&golden())?;
    let messages = conversation();
    let text = template.training_text(&tokenizer, &messages)?;
    assert_eq!(tokenizer.decode(&text.ids)?, template.render(&messages, false)?);
    let learned: Vec<u32> =
        text.ids.iter().zip(&text.learned).filter(|(_, l)| **l).map(|(id, _)| *id).collect();
    assert_eq!(tokenizer.decode(&learned)?, "A piece of text.<|im_end|>\nA step of the model.<|im_end|>\n");

    let prompt = template.render(&messages[..4], true)?;
    let before = text.learned.iter().rposition(|l| !l).map_or(0, |at| at + 1);
    assert_eq!(tokenizer.decode(&text.ids[..before])?, prompt);
    Ok(())
}

#[test]
fn templates_see_what_transformers_gives_them() -> Result<()> {
    let source = "{{ bos_token }}{% for m in messages %}\n  {%- if loop.first and m['role'] == 'system' %}\n\
                  [{{ m['content'].strip().upper() }}]\n  {%- else %}\n({{ m.role }}: {{ m.content }})\n  \
                  {%- endif %}\n{%- endfor %}{{ eos_token }}";
    let template = ChatTemplate::new(source, "<s>", "</s>")?;
    let text = template.render(&[Message::system(" hi "), Message::user("yo")], false)?;
    assert_eq!(text, "<s>[HI](user: yo)</s>");
    Ok(())
}

#[test]
fn errors_name_the_line() -> Result<()> {
    let error = ChatTemplate::new("{% for m in messages %}\n{{ m.content }}\n{% endfo %}", "", "");
    assert!(error.expect_err("does not parse").to_string().contains("line 3"));
    let template = ChatTemplate::new("\n{{ raise_exception('only users may speak') }}", "", "")?;
    let error = template.render(&[Message::system("x")], true).expect_err("raised").to_string();
    assert!(error.contains("line 2") && error.contains("only users may speak"), "{error}");
    Ok(())
}

#[test]
fn a_saved_directory_answers_like_the_original() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut model = LocalModel::load(&golden(), &Device::flex())?;
    model.template = Some(ChatTemplate::new(CHATML, "", "<|endoftext|>")?);
    model.eos = vec![0, 7];
    model.save(folder.path(), FloatType::F32)?;
    let again = LocalModel::load(folder.path(), &Device::flex())?;
    assert_eq!(again.eos, model.eos);
    let source =
        |m: &LocalModel| m.template.as_ref().map(|t| (t.source().to_owned(), t.eos_token().to_owned()));
    assert_eq!(source(&again), source(&model));
    let ids = |m: &LocalModel| m.tokenizer.encode("domain question 42", true);
    assert_eq!(ids(&again)?, ids(&model)?);

    fs::remove_file(folder.path().join("chat_template.jinja")).expect("remove");
    assert!(LocalModel::load(folder.path(), &Device::flex())?.template.is_none());
    let plain = ChatTemplate::plain(folder.path())?;
    let text = plain.render(&[Message::user("a"), Message::assistant("b"), Message::user("c")], true)?;
    assert_eq!(text, "user: a\nassistant: b<|endoftext|>\nuser: c\nassistant: ");
    Ok(())
}
