//! A GGUF file: header, configuration and vocabulary are read or refused, and each tensor lies in the file.

#![no_main]

use std::cell::LazyCell;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use slm_core::gguf::{GgufFile, GgufHeader};
use slm_core::{ChatTemplate, Tokenizer};
use tempfile::TempDir;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| TempDir::new().expect("a folder for the input"));
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = GgufHeader::parse(bytes) else { return };
    for (name, tensor) in &header.tensors {
        let blocks = tensor.shape.iter().product::<usize>() / tensor.kind.block();
        assert_eq!(tensor.range.len(), blocks * tensor.kind.block_bytes(), "{name}");
        assert!(tensor.range.end <= bytes.len(), "{name}");
    }
    let path: PathBuf = FOLDER.with(|folder| folder.path().join("model.gguf"));
    std::fs::write(&path, bytes).expect("the input is written");
    let file = GgufFile::open(&path).expect("the same bytes");
    // As text: metadata may hold NaN, which equals nothing.
    assert_eq!(format!("{:?}", file.header()), format!("{header:?}"));
    if let Ok(config) = file.model_config() {
        assert!(config.num_parameters() > 0);
    }
    let Ok(vocab) = file.vocabulary() else { return };
    let _ = ChatTemplate::from_gguf(&vocab);
    if let Ok(tokenizer) = Tokenizer::from_gguf(&vocab) {
        let _ = tokenizer.encode("Exit code 137 \u{e9}\u{1f600} </s>", true);
    }
});
