//! `adapter_config.json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::{Init, LoraConfig, Targets};
use crate::{Error, Result};

/// Ways to begin that leave the base as it is, so that a reader need not know them.
const HARMLESS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

/// Reads a configuration, and refuses what would change the output and is not understood.
pub(super) fn read(path: &Path, json: &Value) -> Result<LoraConfig> {
    let error = |reason: String| Error::Adapter { path: path.into(), reason };
    let refuse = |field: &str, known: &[Value]| match &json[field] {
        Value::Null => Ok(()),
        value if known.contains(value) => Ok(()),
        value => Err(error(format!("`{field}` is {value}; this version knows {known:?}"))),
    };
    refuse("peft_type", &["LORA".into()])?;
    refuse("bias", &["none".into()])?;
    for field in ["fan_in_fan_out", "lora_bias", "use_qalora", "ensure_weight_tying"] {
        refuse(field, &[false.into()])?;
    }
    for field in ["layer_replication", "trainable_token_indices", "target_parameters", "use_bdlora"] {
        refuse(field, &[json!([])])?;
    }
    let rank =
        json["r"].as_u64().filter(|r| *r > 0).ok_or_else(|| error("`r` is not a positive integer".into()))?;
    let number = |field: &str| json[field].as_f64().map(|v| v as f32);
    let init = match &json["init_lora_weights"] {
        Value::Null | Value::Bool(_) => Init::Zero,
        Value::String(name) if HARMLESS.contains(&name.as_str()) => Init::Zero,
        Value::String(name) if name == "pissa" || name.starts_with("pissa_niter_") => Init::Pissa,
        Value::String(name) if name == "olora" => Init::Olora,
        other => {
            return Err(error(format!("`init_lora_weights` is {other}, which this version does not know")));
        }
    };
    let targets = |field: &str| serde_json::from_value::<Option<Targets>>(json[field].clone());
    let wrong = |field: &str| error(format!("`{field}` is neither a string nor a list of strings"));
    let pairs = |field: &str| -> Vec<(String, f64)> {
        let all = json[field].as_object().into_iter().flatten();
        all.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
    };
    let names = json["modules_to_save"].as_array().into_iter().flatten();
    Ok(LoraConfig {
        rank: rank as usize,
        alpha: number("lora_alpha").ok_or_else(|| error("`lora_alpha` is not a number".into()))?,
        rslora: json["use_rslora"] == true,
        dora: json["use_dora"] == true,
        init,
        target_modules: targets("target_modules")
            .map_err(|_| wrong("target_modules"))?
            .unwrap_or(Targets::Names(Vec::new())),
        exclude_modules: targets("exclude_modules").map_err(|_| wrong("exclude_modules"))?,
        rank_pattern: pairs("rank_pattern").into_iter().map(|(n, v)| (n, v as usize)).collect(),
        alpha_pattern: pairs("alpha_pattern").into_iter().map(|(n, v)| (n, v as f32)).collect(),
        modules_to_save: names.filter_map(Value::as_str).map(String::from).collect(),
        dropout: number("lora_dropout").unwrap_or(0.0),
        seed: 0,
    })
}

/// What a file says of an adapter: `targets` are the modules that have an update, the maps the ranks and alphas that differ.
pub(super) fn write(
    config: &LoraConfig,
    base: &str,
    targets: &[String],
    (ranks, alphas): (Map<String, Value>, Map<String, Value>),
) -> String {
    let saved = (!config.modules_to_save.is_empty()).then_some(&config.modules_to_save);
    let json = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base,
        "r": config.rank, "lora_alpha": config.alpha, "use_rslora": config.rslora,
        "lora_dropout": config.dropout, "bias": "none", "fan_in_fan_out": false, "inference_mode": true,
        "init_lora_weights": true, "modules_to_save": saved, "use_dora": config.dora,
        "target_modules": targets, "rank_pattern": ranks, "alpha_pattern": alphas,
    });
    format!("{json:#}\n")
}
