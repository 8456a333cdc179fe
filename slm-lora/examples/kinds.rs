//! Tunes an adapter of each kind for a few steps and writes it in PEFT's format, with the logits it gives: what
//! `slm-lora/tests/goldens/check_peft.py` holds against PEFT itself.
//!
//! ```console
//! cargo run --release -p slm-lora --example kinds -- <model directory> <directory>
//! ```

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use slm_core::text::TrainingText;
use slm_core::{CausalLm, KvCache};
use slm_lora::{Init, LoraAdapter, LoraConfig, Targets, TrainConfig, Trainer};

const ROWS: [[i32; 6]; 2] = [[5, 9, 200, 31, 7, 411], [1, 2, 3, 4, 5, 6]];

fn kinds() -> Vec<(&'static str, LoraConfig)> {
    let of = |config: LoraConfig| LoraConfig { rank: 4, ..config };
    let outside = Targets::names(&["embed_tokens", "lm_head", "down_proj"]);
    let patterns = vec![(r"layers\.0\..*q_proj".into(), 2), ("up_proj".into(), 3)];
    let default = LoraConfig::default;
    vec![
        ("lora", of(default())),
        ("rslora", of(LoraConfig { rslora: true, ..default() })),
        ("dora", of(LoraConfig { dora: true, ..default() })),
        ("pissa", of(LoraConfig { init: Init::Pissa, ..default() })),
        ("olora", of(LoraConfig { init: Init::Olora, rslora: true, ..default() })),
        ("pissa-dora", of(LoraConfig { init: Init::Pissa, dora: true, ..default() })),
        (
            "patterns",
            of(LoraConfig {
                rank_pattern: patterns,
                alpha_pattern: vec![("up_proj".into(), 5.0)],
                ..default()
            }),
        ),
        (
            "pattern",
            of(LoraConfig { target_modules: Targets::Pattern(r".*\.1\..*_proj".into()), ..default() }),
        ),
        ("embedding", of(LoraConfig { target_modules: outside.clone(), ..default() })),
        ("embedding-dora", of(LoraConfig { target_modules: outside, dora: true, ..default() })),
        (
            "saved",
            of(LoraConfig {
                modules_to_save: vec!["lm_head".into(), "norm".into()],
                dropout: 0.1,
                ..default()
            }),
        ),
        ("saved-embedding", of(LoraConfig { modules_to_save: vec!["embed_tokens".into()], ..default() })),
    ]
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, target] = arguments.as_slice() else {
        return Err("usage: kinds <model directory> <directory>".into());
    };
    let base = CausalLm::load(Path::new(directory), &Device::flex())?;
    let texts: Vec<TrainingText> = ROWS
        .iter()
        .map(|row| TrainingText {
            ids: row.iter().map(|id| *id as u32).collect(),
            learned: vec![true; row.len()],
        })
        .collect();
    for (kind, config) in kinds() {
        let mut model = base.clone();
        LoraAdapter::init(&model, &config)?.attach(&mut model)?;
        let settings = TrainConfig {
            steps: 5,
            learning_rate: 1e-2,
            max_length: 16,
            modules_to_save: config.modules_to_save.clone(),
            ..TrainConfig::default()
        };
        let mut trainer = Trainer::new(model, texts.clone(), settings)?;
        let logs = trainer.run(&mut |_, _| ControlFlow::Continue(()))?;
        let mut model = trainer.into_model();
        let ids: Vec<i32> = ROWS.concat();
        let ids =
            Tensor::<2, Int>::from_data(TensorData::new(ids, [ROWS.len(), ROWS[0].len()]), &model.device());
        let logits: Vec<f32> =
            model.forward(ids, &mut KvCache::new())?.try_into_vec_as().map_err(|e| format!("{e:?}"))?;
        let folder = Path::new(target).join(kind);
        LoraAdapter::detach(&mut model, &config).save(&folder, &base.config, directory)?;
        std::fs::write(folder.join("logits.json"), serde_json::to_string(&logits)?)?;
        println!("{kind}: loss {:.4} to {:.4}", logs[0].loss, logs[4].loss);
    }
    Ok(())
}
