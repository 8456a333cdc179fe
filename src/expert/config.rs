//! [`ExpertConfig`]: the settings of the whole road.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slm_eval::CostModel;
use slm_lora::{LoraConfig, Objective, RetentionConfig, TrainConfig};
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

/// Learning from the model's own mistakes: answers that it samples for questions it was trained on, held against the right
/// ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignConfig {
    /// Questions that an answer is sampled for, some of them to learn from and some to measure; 0 leaves the stage out.
    pub questions: usize,
    /// Of the sampler.
    pub temperature: f32,
    /// Fewer wrong answers are not learned from.
    pub min_pairs: usize,
    /// What they are turned into.
    pub objective: Objective,
    /// Steps of eight pairs.
    pub steps: usize,
    /// Learning rate.
    pub learning_rate: f64,
}

impl Default for AlignConfig {
    fn default() -> Self {
        Self {
            questions: 200,
            temperature: 1.0,
            min_pairs: 8,
            objective: Objective::Orpo { beta: 0.2 },
            steps: 20,
            learning_rate: 2e-4,
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
