//! [`LoraConfig`]: which layers get an update, of which kind and size. Names and meanings are PEFT's.

use fancy_regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Stands for every linear layer of the blocks in [`Targets::Pattern`].
const ALL_LINEAR: &str = "all-linear";

/// Layers by their paths, such as `model.layers.0.self_attn.q_proj`, `model.embed_tokens` or `lm_head`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Targets {
    /// A regular expression for the whole path, or `all-linear`: every linear layer of the blocks.
    Pattern(String),
    /// Paths, or their last parts (`q_proj`, `layers.0.mlp.up_proj`).
    Names(Vec<String>),
}

impl Targets {
    /// Every linear layer of the blocks.
    pub fn all_linear() -> Self {
        Self::Pattern(ALL_LINEAR.into())
    }

    /// These paths or ends of paths.
    pub fn names(names: &[&str]) -> Self {
        Self::Names(names.iter().map(ToString::to_string).collect())
    }
}

/// What an update begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// `A` random, `B` zero: nothing changes before the first step.
    #[default]
    Zero,
    /// The principal singular vectors of the weight, which are taken out of it (PiSSA, Meng et al. 2024).
    Pissa,
    /// The first columns of the weight's QR decomposition, which are taken out of it (OLoRA, Büyükakyüz 2024).
    Olora,
}

/// Which layers get an update, and how large it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the updates.
    pub rank: usize,
    /// The update is scaled by `alpha / rank`, or by `alpha / √rank` with [`rslora`](Self::rslora).
    pub alpha: f32,
    /// Scale by the root of the rank (rsLoRA, Kalajdzievski 2023).
    pub rslora: bool,
    /// Learn the lengths of the rows apart from their directions (DoRA, Liu et al. 2024).
    pub dora: bool,
    /// What the updates begin with.
    pub init: Init,
    /// Layers that get an update.
    pub target_modules: Targets,
    /// Layers that get none all the same.
    pub exclude_modules: Option<Targets>,
    /// Other ranks, by regular expressions for the end of a path; the first that matches counts.
    pub rank_pattern: Vec<(String, usize)>,
    /// Other alphas, in the same way.
    pub alpha_pattern: Vec<(String, f32)>,
    /// Modules that learn in full beside the updates, by the end of their path: `embed_tokens`, `lm_head`, `norm`.
    pub modules_to_save: Vec<String>,
    /// Fraction of an update's inputs that a training pass leaves out.
    pub dropout: f32,
    /// Seed of the initial `A`.
    pub seed: u64,
}

impl Default for LoraConfig {
    /// Rank 8, alpha 16, on all linear layers.
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            rslora: false,
            dora: false,
            init: Init::Zero,
            target_modules: Targets::all_linear(),
            exclude_modules: None,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            modules_to_save: Vec::new(),
            dropout: 0.0,
            seed: 0,
        }
    }
}

impl LoraConfig {
    pub(crate) fn scale(&self, rank: usize, alpha: f32) -> f32 {
        if self.rslora { alpha / (rank as f32).sqrt() } else { alpha / rank as f32 }
    }

    /// The alpha that gives a scale at a rank.
    pub(crate) fn alpha_of(&self, scale: f32, rank: usize) -> f32 {
        scale * if self.rslora { (rank as f32).sqrt() } else { rank as f32 }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.rank == 0 || self.rank_pattern.iter().any(|(_, rank)| *rank == 0) {
            return Err(Error::Config { field: "rank", reason: "must be positive".into() });
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let reason = format!("{} is not within 0 and 1", self.dropout);
            return Err(Error::Config { field: "dropout", reason });
        }
        Ok(())
    }

    pub(crate) fn matcher(&self) -> Result<Matcher> {
        let ranks = self.rank_pattern.iter().map(|(p, rank)| Ok((end("rank_pattern", p)?, *rank)));
        let alphas = self.alpha_pattern.iter().map(|(p, alpha)| Ok((end("alpha_pattern", p)?, *alpha)));
        Ok(Matcher {
            targets: Chosen::new("target_modules", &self.target_modules)?,
            exclude: self.exclude_modules.as_ref().map(|t| Chosen::new("exclude_modules", t)).transpose()?,
            ranks: ranks.collect::<Result<_>>()?,
            alphas: alphas.collect::<Result<_>>()?,
            rank: self.rank,
            alpha: self.alpha,
        })
    }
}

/// A [`LoraConfig`]'s patterns, compiled.
pub(crate) struct Matcher {
    targets: Chosen,
    exclude: Option<Chosen>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f32)>,
    rank: usize,
    alpha: f32,
}

enum Chosen {
    AllLinear,
    Pattern(Regex),
    Names(Vec<String>),
}

impl Matcher {
    /// Whether a layer gets an update; `paths` are its own and that of the fused projection it belongs to.
    pub(crate) fn targets(&self, paths: &[&str]) -> bool {
        self.targets.holds(paths) && !self.exclude.as_ref().is_some_and(|e| e.holds(paths))
    }

    pub(crate) fn rank(&self, paths: &[&str]) -> usize {
        first(&self.ranks, paths).unwrap_or(self.rank)
    }

    pub(crate) fn alpha(&self, paths: &[&str]) -> f32 {
        first(&self.alphas, paths).unwrap_or(self.alpha)
    }
}

fn first<T: Copy>(patterns: &[(Regex, T)], paths: &[&str]) -> Option<T> {
    patterns.iter().find(|(regex, _)| paths.iter().any(|path| matches(regex, path))).map(|(_, value)| *value)
}

impl Chosen {
    fn new(field: &'static str, targets: &Targets) -> Result<Self> {
        Ok(match targets {
            Targets::Pattern(pattern) if pattern == ALL_LINEAR => Self::AllLinear,
            Targets::Pattern(pattern) => Self::Pattern(compile(field, &format!("^(?:{pattern})$"))?),
            // `all-linear` among names was how this crate once wrote it.
            Targets::Names(names) if names.iter().any(|n| n == ALL_LINEAR) => Self::AllLinear,
            Targets::Names(names) => Self::Names(names.clone()),
        })
    }

    fn holds(&self, paths: &[&str]) -> bool {
        match self {
            Self::AllLinear => paths.iter().any(|path| path.contains("layers.")),
            Self::Pattern(regex) => paths.iter().any(|path| matches(regex, path)),
            Self::Names(names) => names.iter().any(|name| paths.iter().any(|path| ends_with(path, name))),
        }
    }
}

/// A pattern for a whole path or its end after a dot, as PEFT reads `rank_pattern`.
fn end(field: &'static str, pattern: &str) -> Result<Regex> {
    compile(field, &format!(r"^(?:.*\.)?(?:{pattern})$"))
}

fn compile(field: &'static str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|e| Error::Config { field, reason: e.to_string() })
}

/// A pattern that gives up (too much backtracking) matches nothing.
fn matches(regex: &Regex, path: &str) -> bool {
    regex.is_match(path).unwrap_or(false)
}

/// Whether `path` is `name` or ends with it after a dot.
pub(crate) fn ends_with(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_chosen_as_peft_does() -> Result<()> {
        let q = "model.layers.1.self_attn.q_proj";
        let chosen = |targets: Targets, exclude: Option<Targets>, path: &str| -> Result<bool> {
            let config =
                LoraConfig { target_modules: targets, exclude_modules: exclude, ..LoraConfig::default() };
            Ok(config.matcher()?.targets(&[path]))
        };
        assert!(chosen(Targets::names(&["q_proj"]), None, q)?);
        assert!(!chosen(Targets::names(&["proj"]), None, q)?);
        assert!(!chosen(
            Targets::names(&["q_proj"]),
            Some(Targets::names(&["layers.1.self_attn.q_proj"])),
            q
        )?);
        assert!(chosen(Targets::Pattern(r".*\.(?!0)\d+\..*_proj".into()), None, q)?);
        assert!(!chosen(Targets::Pattern("q_proj".into()), None, q)?, "a pattern is for the whole path");
        assert!(chosen(Targets::all_linear(), None, q)? && !chosen(Targets::all_linear(), None, "lm_head")?);
        assert!(chosen(Targets::Pattern("(".into()), None, q).is_err());
        let config = LoraConfig {
            rank_pattern: vec![(r"layers\.0\..*q_proj".into(), 2), ("q_proj".into(), 3)],
            ..LoraConfig::default()
        };
        let matcher = config.matcher()?;
        assert_eq!([matcher.rank(&[q]), matcher.rank(&["model.layers.0.self_attn.q_proj"])], [3, 2]);
        assert_eq!(matcher.rank(&["model.layers.0.mlp.up_proj"]), 8);
        Ok(())
    }
}
