//! Tiny tokenizers in every file format, against the ids of the libraries that made them, and damaged files.
//! `goldens/text/make_tokenizers.py` made them.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value as Json;
use slm_core::text::gguf::GgufVocab;
use slm_core::text::{ChatTemplate, Tokenizer};
use slm_core::{ChatRequest, Message};

const FORMATS: [&str; 8] = [
    "gpt2",
    "qwen2",
    "tiktoken",
    "sentencepiece-bpe",
    "sentencepiece-unigram",
    "gguf-llama",
    "gguf-gpt2",
    "wordpiece",
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text/tokenizers").join(name)
}

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::load_directory(&folder(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn ids(value: &Json) -> Vec<u32> {
    value.as_array().expect("ids").iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

#[test]
fn every_format_gives_the_ids_of_its_library() {
    let mut wrong = Vec::new();
    for name in FORMATS {
        let tokenizer = tokenizer(name);
        let text = std::fs::read_to_string(folder(name).join("ids.json")).expect("ids");
        let rows: Vec<Json> = serde_json::from_str(&text).expect("JSON");
        assert!(rows.len() >= 30);
        for row in &rows {
            let text = row["text"].as_str().expect("a text");
            for (column, special) in [("ids", false), ("around", true)] {
                let made = tokenizer.encode(text, special).expect("ids");
                if made != ids(&row[column]) {
                    wrong.push(format!(
                        "{name} {column} {text:?}\n  want {:?}\n  made {made:?}",
                        ids(&row[column])
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn templates_of_gguf_and_of_directories_have_names() {
    let vocab = GgufVocab::load(&folder("gguf-llama").join("tiny.gguf")).expect("a vocabulary");
    assert_eq!((vocab.model.as_str(), vocab.pre.as_str(), vocab.tokens.len()), ("llama", "default", 420));
    let template = ChatTemplate::from_gguf(&vocab).expect("templates").expect("a template");
    assert_eq!(template.bos_token(), "<s>");
    let mut input = template.input(&[Message::user("hi")]);
    assert_eq!(template.render_with(&input).expect("a text"), "<s>hi");
    input.tools = vec![serde_json::json!({"b": 1, "a": 2})];
    assert_eq!(template.render_with(&input).expect("a text"), "[{\"b\": 1, \"a\": 2}]");
    input.template = Some("default".into());
    assert_eq!(template.render_with(&input).expect("a text"), "<s>hi");
    input.template = Some("rag".into());
    let error = template.render_with(&input).expect_err("no such template").to_string();
    assert!(error.contains("`rag`") && error.contains("tool_use"), "{error}");

    let saved = tempfile::tempdir().expect("a folder");
    template.save(saved.path()).expect("saved");
    std::fs::write(saved.path().join("tokenizer_config.json"), "{\"bos_token\": \"<s>\"}").expect("written");
    let again = ChatTemplate::load(saved.path()).expect("templates").expect("a template");
    assert_eq!(again.sources(), template.sources());
    let list = serde_json::json!({"chat_template": [
        {"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}, {"name": "rag", "template": "r"}]});
    let named = tempfile::tempdir().expect("a folder");
    std::fs::write(named.path().join("tokenizer_config.json"), list.to_string()).expect("written");
    let named = ChatTemplate::load(named.path()).expect("templates").expect("a template");
    assert_eq!(named.sources().keys().collect::<Vec<_>>(), ["default", "rag", "tool_use"]);
    let request = ChatRequest { tools: vec![serde_json::json!({})], ..ChatRequest::question("hi") };
    assert_eq!(named.prompt(&request).expect("a prompt"), "t");
    assert_eq!(named.prompt(&ChatRequest::question("hi")).expect("a prompt"), "d");
}

#[test]
fn a_directory_without_a_tokenizer_says_what_was_looked_for() {
    let empty = tempfile::tempdir().expect("a folder");
    let error = Tokenizer::load_directory(empty.path()).expect_err("nothing there").to_string();
    assert!(error.contains("merges.txt") && error.contains("*.gguf"), "{error}");
    std::fs::write(empty.path().join("tokenizer.model"), "!!!! 0\n").expect("written");
    let error = Tokenizer::load_directory(empty.path()).expect_err("damaged").to_string();
    assert!(error.contains("tokenizer.model"), "{error}");
    std::fs::write(empty.path().join("tokenizer.model"), "QQ== 0\nQg== 1\nQg== 2\n").expect("written");
    let error = Tokenizer::load_directory(empty.path()).expect_err("a token twice").to_string();
    assert!(error.contains("line 3"), "{error}");
}

#[test]
fn damaged_gguf_is_an_error() {
    let whole = std::fs::read(folder("gguf-gpt2").join("tiny.gguf")).expect("a file");
    GgufVocab::parse(&whole).expect("a vocabulary");
    // Metadata alone: any shorter file ends too soon.
    for end in (0..whole.len() - 64).step_by(7) {
        GgufVocab::parse(&whole[..end]).expect_err("cut off");
    }
    for (change, reason) in [
        (vec![(0, b'X')], "does not begin with GGUF"),
        (vec![(4, 9)], "version 9"),
        // 2^56 entries.
        (vec![(23, 1)], "metadata entry"),
        // A key of 2^56 bytes.
        (vec![(31, 1)], "ends too soon"),
    ] {
        let mut bytes = whole.clone();
        for (at, value) in change {
            bytes[at] = value;
        }
        let error = GgufVocab::parse(&bytes).expect_err("damaged").to_string();
        assert!(error.contains(reason), "{error}");
    }
    // 2^60 elements in an array: refused before memory is taken.
    let mut huge = b"GGUF\x03\0\0\0".to_vec();
    huge.extend(0_u64.to_le_bytes());
    huge.extend(1_u64.to_le_bytes());
    huge.extend(21_u64.to_le_bytes());
    huge.extend(b"tokenizer.ggml.tokens");
    huge.extend(9_u32.to_le_bytes());
    huge.extend(8_u32.to_le_bytes());
    huge.extend((1_u64 << 60).to_le_bytes());
    let error = GgufVocab::parse(&huge).expect_err("huge").to_string();
    assert!(error.contains("tokenizer.ggml.tokens") && error.contains("elements are claimed"), "{error}");
}

fn mutated(bytes: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, value) in changes {
        let at = at % bytes.len();
        bytes[at] = *value;
    }
    bytes
}

fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        6 => prop::sample::select("abcdefg the pumpvalve.,!'\n\t 0123ABC".chars().collect::<Vec<_>>()),
        2 => prop::sample::select("äöüßéèñçÀœ日本語東京模型вода\u{308}\u{200d}\u{fe0f}👩🚀😀🇩🇪①ﬁ\u{a0}\u{3000}".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ];
    prop::collection::vec(character, 0..40).prop_map(|characters| characters.into_iter().collect())
}

fn streamed(tokenizer: &Tokenizer, before: &[u32], ids: &[u32]) -> String {
    let mut stream = tokenizer.stream(before).expect("a stream");
    let mut text: String = ids.iter().map(|id| stream.push(*id).expect("a piece")).collect();
    text.push_str(&stream.finish().expect("the rest"));
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_of_gguf_do_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..20),
    ) {
        let _ = GgufVocab::parse(&bytes);
        let whole = std::fs::read(folder("gguf-llama").join("tiny.gguf")).expect("a file");
        if let Ok(vocab) = GgufVocab::parse(&mutated(&whole, &changes)) {
            let _ = Tokenizer::from_gguf(&vocab);
            let _ = ChatTemplate::from_gguf(&vocab);
        }
    }

    #[test]
    fn random_bytes_of_models_do_no_harm(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..20), cut in any::<usize>()) {
        let place = tempfile::tempdir().expect("a folder");
        for name in ["sentencepiece-bpe", "tiktoken"] {
            let whole = std::fs::read(folder(name).join("tokenizer.model")).expect("a file");
            let mut bytes = mutated(&whole, &changes);
            bytes.truncate(cut % bytes.len());
            std::fs::write(place.path().join("tokenizer.model"), bytes).expect("written");
            let _ = Tokenizer::load_directory(place.path());
        }
    }

    #[test]
    fn pieces_of_a_stream_make_the_whole(text in text(), cut in 0_usize..40) {
        for name in FORMATS {
            let tokenizer = tokenizer(name);
            let ids = tokenizer.encode(&text, false).expect("ids");
            prop_assert_eq!(streamed(&tokenizer, &[], &ids), tokenizer.decode(&ids).expect("text"), "{}", name);
            // After a beginning, the pieces are what the whole has more than it.
            let (before, after) = ids.split_at(cut.min(ids.len()));
            let (whole, start) = (tokenizer.decode(&ids).expect("text"), tokenizer.decode(before).expect("text"));
            let cut_inside = start.ends_with('\u{fffd}');
            if let Some(rest) = whole.strip_prefix(&start).filter(|_| !cut_inside) {
                prop_assert_eq!(streamed(&tokenizer, before, after), rest, "{} after {:?}", name, start);
            }
        }
    }

    #[test]
    fn pieces_of_random_ids_make_the_whole(ids in prop::collection::vec(0_u32..350, 0..120)) {
        for name in ["gpt2", "qwen2", "tiktoken", "gguf-gpt2", "wordpiece"] {
            let tokenizer = tokenizer(name);
            prop_assert_eq!(streamed(&tokenizer, &[], &ids), tokenizer.decode(&ids).expect("text"), "{}", name);
        }
    }
}

#[test]
fn stray_bytes_are_replaced_one_by_one() {
    let tokenizer = tokenizer("sentencepiece-bpe");
    let byte = |byte: u8| tokenizer.token_id(&format!("<0x{byte:02X}>")).expect("a byte");
    let the = tokenizer.encode("the", false).expect("ids");
    let mut ids: Vec<u32> = [0x41, 0x80, 0xE6, 0x97, 0xA5, 0xE6, 0x97].map(byte).to_vec();
    ids.extend(&the);
    ids.extend([0xF0, 0x9F].map(byte));
    assert_eq!(streamed(&tokenizer, &[], &ids), "A\u{fffd}日\u{fffd}\u{fffd} the\u{fffd}\u{fffd}");
    let mut stream = tokenizer.stream(&[]).expect("a stream");
    let pieces: Vec<String> = ids[..5].iter().map(|id| stream.push(*id).expect("a piece")).collect();
    assert_eq!(pieces, ["A", "\u{fffd}", "", "", "日"], "a character is handed out with its last byte");
}
