//! Real tokenizers from every format they come in, where `SLM_DATA` names the folder that has them.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use slm_core::text::gguf::GgufVocab;
use slm_core::text::{ChatTemplate, Tokenizer};

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SLM_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SLM_DATA is not set: nothing to compare with");
    }
    Some(folder?.join("tokenizers"))
}

/// Texts and ids of llama.cpp for one of its vocabularies.
fn vectors(folder: &Path, name: &str) -> Vec<(String, Vec<u32>)> {
    let read = |ending: &str| {
        let path = folder.join(format!("llamacpp-vectors/ggml-vocab-{name}.gguf.{ending}"));
        std::fs::read_to_string(path).expect("vectors")
    };
    let (texts, ids) = (read("inp"), read("out"));
    let ids = ids.lines().map(|line| line.split_whitespace().map(|id| id.parse().expect("an id")).collect());
    texts.split("\n__ggml_vocab_test__\n").map(str::to_owned).zip(ids).collect()
}

fn check(what: &str, tokenizer: &Tokenizer, cases: &[(String, Vec<u32>)]) {
    assert!(cases.len() > 40, "{what}: {} texts", cases.len());
    let mut wrong = Vec::new();
    for (text, want) in cases {
        let made = tokenizer.encode(text, false).expect("ids");
        if made != *want {
            wrong.push(format!("{text:?}\n  want {want:?}\n  made {made:?}"));
        }
    }
    println!("{what}: {} of {} texts differ", wrong.len(), cases.len());
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

fn golden_ids(folder: &Path) -> Vec<Json> {
    let file = std::fs::File::open(folder.join("golden-ids/ids.jsonl.gz")).expect("golden ids");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn column(rows: &[Json], name: &str) -> Vec<(String, Vec<u32>)> {
    let ids = |row: &Json| {
        row[name].as_array().expect("ids").iter().map(|id| id.as_u64().expect("an id") as u32).collect()
    };
    rows.iter().map(|row| (row["text"].as_str().expect("a text").to_owned(), ids(row))).collect()
}

#[test]
fn qwen3_from_vocab_and_merges() {
    let Some(folder) = data() else { return };
    let tokenizer = Tokenizer::load_directory(&folder.join("qwen3")).expect("a tokenizer");
    check("qwen3", &tokenizer, &column(&golden_ids(&folder), "qwen3"));
    check("qwen2", &tokenizer, &vectors(&folder, "qwen2"));
    check("deepseek-r1-qwen", &tokenizer, &vectors(&folder, "deepseek-r1-qwen"));
    assert_eq!(
        tokenizer.encode("<|im_start|>user\n<think></think>", true).expect("an answer"),
        [151644, 872, 198, 151667, 151668]
    );
    assert_eq!(tokenizer.decode(&[151644, 872, 198, 151667]).expect("an answer"), "user\n<think>");
    assert_eq!(tokenizer.vocab_size(), 151_669);
}

#[test]
fn llama3_from_tiktoken() {
    let Some(folder) = data() else { return };
    let tokenizer = Tokenizer::load_directory(&folder.join("llama3")).expect("a tokenizer");
    check("llama3", &tokenizer, &column(&golden_ids(&folder), "llama3"));
    check("llama-bpe", &tokenizer, &vectors(&folder, "llama-bpe"));
    let ids = tokenizer
        .encode("<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>", true)
        .expect("an answer");
    assert_eq!(ids, [128_000, 128_006, 882, 128_007, 271, 6151, 128_009]);
    assert_eq!(tokenizer.vocab_size(), 128_256);
}

#[test]
fn gpt2_from_its_old_names_and_from_gguf() {
    let Some(folder) = data() else { return };
    let cases = vectors(&folder, "gpt-2");
    check("gpt-2", &Tokenizer::load_directory(&folder.join("gpt2")).expect("a tokenizer"), &cases);
    let vocab = GgufVocab::load(&folder.join("gguf-vocab/ggml-vocab-gpt-2.gguf")).expect("a vocabulary");
    check("gpt-2 in GGUF", &Tokenizer::from_gguf(&vocab).expect("a tokenizer"), &cases);
}

#[test]
fn llama2_from_sentencepiece_and_from_gguf() {
    let Some(folder) = data() else { return };
    let cases = vectors(&folder, "llama-spm");
    let tokenizer = Tokenizer::load_directory(&folder.join("llama2-spm")).expect("a tokenizer");
    check("llama-spm", &tokenizer, &cases);
    assert_eq!(tokenizer.encode("Hello", true).expect("an answer"), [1, 15043]);
    let vocab = GgufVocab::load(&folder.join("gguf-vocab/ggml-vocab-llama-spm.gguf")).expect("a vocabulary");
    check("llama-spm in GGUF", &Tokenizer::from_gguf(&vocab).expect("a tokenizer"), &cases);
}

#[test]
fn phi3_from_gguf() {
    let Some(folder) = data() else { return };
    let vocab = GgufVocab::load(&folder.join("gguf-vocab/ggml-vocab-phi-3.gguf")).expect("a vocabulary");
    let tokenizer = Tokenizer::from_gguf(&vocab).expect("a tokenizer");
    check("phi-3", &tokenizer, &vectors(&folder, "phi-3"));
    if let Some(template) = ChatTemplate::from_gguf(&vocab).expect("a template") {
        let text = template.render(&[slm_core::Message::user("hi")], true).expect("a prompt");
        assert!(text.contains("<|user|>") && text.ends_with("<|assistant|>\n"), "{text:?}");
    }
}

#[test]
fn bert_from_every_format() {
    let Some(folder) = data() else { return };
    let cases = vectors(&folder, "bert-bge");
    let vocab = GgufVocab::load(&folder.join("gguf-vocab/ggml-vocab-bert-bge.gguf")).expect("a vocabulary");
    let from_gguf = Tokenizer::from_gguf(&vocab).expect("a tokenizer");
    check("bert-bge in GGUF", &from_gguf, &cases);
    let from_json = Tokenizer::load_directory(&folder.join("bert-uncased")).expect("a tokenizer");
    let list = tempfile::tempdir().expect("a folder");
    std::fs::copy(folder.join("bert-uncased/vocab.txt"), list.path().join("vocab.txt")).expect("a copy");
    let from_list = Tokenizer::load_directory(list.path()).expect("a tokenizer");
    for (text, _) in &cases {
        for special in [false, true] {
            let want = from_json.encode(text, special).expect("an answer");
            assert_eq!(from_list.encode(text, special).expect("an answer"), want, "{text:?}");
            assert_eq!(from_gguf.encode(text, special).expect("an answer"), want, "{text:?}");
        }
    }
}

#[test]
fn a_saved_tokenizer_gives_the_same_ids() {
    let Some(folder) = data() else { return };
    let texts: Vec<String> = vectors(&folder, "llama-bpe").into_iter().map(|(text, _)| text).collect();
    for name in ["qwen3", "llama3", "llama2-spm"] {
        let tokenizer = Tokenizer::load_directory(&folder.join(name)).expect("a tokenizer");
        let saved = tempfile::tempdir().expect("a folder");
        tokenizer.save(&saved.path().join("tokenizer.json")).expect("saved");
        let again = Tokenizer::load_directory(saved.path()).expect("loaded");
        for text in &texts {
            let ids = tokenizer.encode(text, true).expect("an answer");
            assert_eq!(again.encode(text, true).expect("an answer"), ids, "{name}");
            assert_eq!(
                tokenizer.decode(&ids).expect("an answer"),
                again.decode(&ids).expect("an answer"),
                "{name}"
            );
        }
    }
}

#[test]
fn real_tokenizers_survive_a_gguf_file() {
    let Some(folder) = data() else { return };
    let golden = golden_ids(&folder);
    for (name, vectors_of, pre) in [
        ("qwen3", "qwen2", "qwen2"),
        ("llama3", "llama-bpe", "llama-bpe"),
        ("gpt2", "gpt-2", "gpt-2"),
        ("llama2-spm", "llama-spm", "default"),
    ] {
        let tokenizer = Tokenizer::load_directory(&folder.join(name)).expect("a tokenizer");
        let vocab = tokenizer.to_gguf(tokenizer.vocab_size() + 3).expect("a vocabulary");
        assert_eq!(vocab.pre, pre, "{name}");
        assert!(vocab.tokens.last().expect("tokens").starts_with("[PAD"), "{name}");
        let again = Tokenizer::from_gguf(&vocab).expect("a tokenizer");
        check(name, &again, &vectors(&folder, vectors_of));
        for row in golden.iter().take(300) {
            let text = row["text"].as_str().expect("a text");
            let ids = tokenizer.encode(text, true).expect("ids");
            assert_eq!(again.encode(text, true).expect("ids"), ids, "{name}: {text}");
            assert_eq!(again.decode(&ids).expect("text"), tokenizer.decode(&ids).expect("text"), "{name}");
        }
    }
}
