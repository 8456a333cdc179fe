//! `tokenizer.json`: one that is read encodes, decodes and streams, or says why not.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slm_core::Tokenizer;

const TEXT: &str = "Exit code 137 \u{e9}\u{4f60}\u{1f600}\n\tmeans </s> killed.";

fuzz_target!(|bytes: &[u8]| {
    let Ok(json) = std::str::from_utf8(bytes) else { return };
    let Ok(tokenizer) = Tokenizer::from_json(json) else { return };
    let Ok(ids) = tokenizer.encode(TEXT, true) else { return };
    let _ = tokenizer.decode(&ids);
    let Ok(mut stream) = tokenizer.stream(&[]) else { return };
    for id in ids {
        if stream.push(id).is_err() {
            return;
        }
    }
    let _ = stream.finish();
});
