//! [`ExpertConfig`]: the settings of the whole road.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slm_eval::CostModel;
use slm_lora::{GrpoConfig, LoraConfig, RetentionConfig, TrainConfig};
use slm_quant::{Format, Method, QuantConfig};

/// The settings of the whole road. The default takes the embedded base and the generated log domain down it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpertConfig {
    /// A Hugging Face directory; the embedded base where there is none.
    pub model: Option<PathBuf>,
    /// Question and answer pairs as JSON lines; the generated log domain where there are none.
    pub data: Option<PathBuf>,
    /// A folder of documents to retrieve from; with generated data, generated runbooks.
    pub documents: Option<PathBuf>,
    /// Where models, adapter, index, detectors and report go.
    pub out: PathBuf,
    /// Share of general examples in the training data, against forgetting.
    pub replay: f64,
    /// The adapter.
    pub lora: LoraConfig,
    /// Training.
    pub train: TrainConfig,
    /// What is done against forgetting besides replay, and how much of it is allowed.
    pub retention: RetentionConfig,
    /// The alignment after training.
    pub align: AlignConfig,
    /// Quantization of the merged model; its method is that of [`quant_methods`](Self::quant_methods) which does best.
    pub quant: QuantConfig,
    /// Methods of quantization that compete.
    pub quant_methods: Vec<Method>,
    /// Off-domain questions that may pass for the domain's, as a share.
    pub max_false_accept: f64,
    /// Questions of the domain test at most.
    pub test_questions: usize,
    /// Questions of the general suite.
    pub suite_questions: usize,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
    /// Prices for the cost per query.
    pub cost: CostModel,
    /// Decides everything that is random.
    pub seed: u64,
}

/// Learning from the model's own answers: several are sampled for each question, and those that are right become likelier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignConfig {
    /// Steps; 0 leaves the stage out.
    pub steps: usize,
    /// Questions of a step.
    pub questions: usize,
    /// Answers to each of them, sampling and clipping.
    pub grpo: GrpoConfig,
    /// Learning rate.
    pub learning_rate: f64,
    /// Questions, of those trained on but none of the steps', that samples are measured on before and after.
    pub measured: usize,
}

impl Default for AlignConfig {
    fn default() -> Self {
        Self {
            steps: 20,
            questions: 8,
            grpo: GrpoConfig { group: 6, max_new_tokens: 64, ..GrpoConfig::default() },
            learning_rate: 1e-4,
            measured: 100,
        }
    }
}

impl Default for ExpertConfig {
    fn default() -> Self {
        Self {
            model: None,
            data: None,
            documents: None,
            out: PathBuf::from("out/expert"),
            replay: 0.7,
            lora: LoraConfig { rank: 16, alpha: 32.0, ..LoraConfig::default() },
            train: TrainConfig {
                steps: 500,
                batch_size: 16,
                learning_rate: 1.3e-3,
                warmup_steps: 20,
                ..TrainConfig::default()
            },
            // Replay is in the mix already.
            retention: RetentionConfig {
                max_general_loss_increase: 0.02,
                general_batch_size: 8,
                replay_ratio: 0.0,
                every: 100,
                ..RetentionConfig::default()
            },
            align: AlignConfig::default(),
            quant: QuantConfig { format: Format::Int4 { group_size: 32 }, ..QuantConfig::default() },
            quant_methods: vec![Method::Nearest, Method::Gptq],
            max_false_accept: 0.05,
            test_questions: 200,
            suite_questions: 350,
            max_new_tokens: 96,
            // A small virtual machine with two cores.
            cost: CostModel { per_hour: 0.08, ..CostModel::default() },
            seed: 7,
        }
    }
}
