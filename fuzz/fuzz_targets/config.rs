//! `config.json` of a model or an encoder: it is read or refused, and what was read is written and read again the
//! same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slm_core::ModelConfig;
use slm_core::encoder::EncoderConfig;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Ok(config) = EncoderConfig::from_value(value.clone()) {
        assert!(config.head_dim() > 0);
    }
    let Ok(config) = ModelConfig::from_value(value) else { return };
    assert!(config.heads_per_group() > 0);
    assert!(config.context_length() > 0);
    assert!(config.num_parameters() > 0);
    let written = config.to_value();
    match ModelConfig::from_value(written.clone()) {
        Ok(again) => assert_eq!(config, again, "{written}"),
        Err(e) => panic!("what was written is refused: {e}\n{written}"),
    }
});
