//! [`Objective`]: losses of preferences as functions of the log-probabilities of whole answers, with their derivatives.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a preference is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Objective {
    /// Direct preference optimisation (Rafailov et al. 2023), against the model with its adapter off.
    Dpo {
        /// How much a departure from the reference costs.
        beta: f64,
        /// Of the difference of log-ratios.
        loss: DpoLoss,
    },
    /// Odds ratio (Hong et al. 2024), beside the loss of the chosen conversation; without a reference.
    Orpo {
        /// Weight of the odds ratio.
        beta: f64,
    },
    /// Mean log-probabilities with a margin (Meng et al. 2024), without a reference.
    Simpo {
        /// Weight of the difference.
        beta: f64,
        /// The margin, in the units of the reward.
        gamma: f64,
        /// Fraction of preferences taken to be the wrong way round.
        label_smoothing: f64,
    },
    /// Single answers, good or bad (Ethayarajh et al. 2024), against the model with its adapter off.
    Kto {
        /// How much a departure from the reference costs.
        beta: f64,
        /// Weight of good answers.
        desirable: f64,
        /// Weight of bad answers.
        undesirable: f64,
    },
}

/// DPO's loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpoLoss {
    /// Logistic, with this fraction of preferences taken to be the wrong way round (Mitchell 2023); 0 is plain DPO.
    Sigmoid {
        /// The fraction, below one half.
        label_smoothing: f64,
    },
    /// The same without the bias that smoothing adds (Chowdhury et al. 2024).
    Robust {
        /// The fraction, below one half.
        label_smoothing: f64,
    },
    /// Squared, per token (Azar et al. 2023).
    Ipo,
    /// Hinge (Zhao et al. 2023).
    Hinge,
}

/// Log-probabilities of an answer, in nats.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answer {
    /// By the model that learns.
    pub(super) own: f64,
    /// By the reference; 0 where there is none.
    pub(super) reference: f64,
    /// Its tokens.
    pub(super) tokens: f64,
}

/// A loss and its derivative with respect to the log-probability of each answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judgement {
    pub(super) loss: f64,
    pub(super) derivatives: [f64; 2],
    pub(super) rewards: [f64; 2],
}

impl Answer {
    fn ratio(self) -> f64 {
        self.own - self.reference
    }

    fn mean(self) -> f64 {
        self.own / self.tokens
    }
}

impl Objective {
    /// Whether it compares with the model as it was.
    pub(super) fn has_reference(self) -> bool {
        matches!(self, Self::Dpo { .. } | Self::Kto { .. })
    }

    pub(super) fn check(self) -> Result<()> {
        let (beta, smoothing) = match self {
            Self::Dpo {
                beta,
                loss: DpoLoss::Sigmoid { label_smoothing } | DpoLoss::Robust { label_smoothing },
            } => (beta, label_smoothing),
            Self::Simpo { beta, label_smoothing, .. } => (beta, label_smoothing),
            Self::Dpo { beta, .. } | Self::Orpo { beta } | Self::Kto { beta, .. } => (beta, 0.0),
        };
        if !(beta.is_finite() && beta > 0.0) {
            return Err(Error::Config { field: "beta", reason: format!("{beta} is not a positive number") });
        }
        if !(0.0..0.5).contains(&smoothing) {
            let reason = format!("{smoothing} is not within 0 and 0.5");
            return Err(Error::Config { field: "label_smoothing", reason });
        }
        Ok(())
    }

    /// A pair; ORPO's without the loss of the chosen conversation, and rewards alone for KTO.
    pub(super) fn pair(self, chosen: Answer, rejected: Answer) -> Judgement {
        match self {
            Self::Dpo { beta, loss } => {
                let rewards = [beta * chosen.ratio(), beta * rejected.ratio()];
                let margin = chosen.ratio() - rejected.ratio();
                let (loss, derivatives) = match loss {
                    DpoLoss::Sigmoid { label_smoothing } => both(logistic(beta, margin, label_smoothing)),
                    DpoLoss::Robust { label_smoothing } => {
                        let (e, [clean, flipped]) = (label_smoothing, logistic_terms(beta, margin));
                        let mix = |a: f64, b: f64| ((1.0 - e) * a - e * b) / (1.0 - 2.0 * e);
                        both((mix(clean.0, flipped.0), mix(clean.1, flipped.1)))
                    }
                    DpoLoss::Hinge if beta * margin >= 1.0 => (0.0, [0.0; 2]),
                    DpoLoss::Hinge => both((1.0 - beta * margin, -beta)),
                    DpoLoss::Ipo => {
                        let means = chosen.ratio() / chosen.tokens - rejected.ratio() / rejected.tokens;
                        let off = means - 0.5 / beta;
                        (off * off, [2.0 * off / chosen.tokens, -2.0 * off / rejected.tokens])
                    }
                };
                Judgement { loss, derivatives, rewards }
            }
            Self::Orpo { beta } => {
                let odds = |a: Answer| a.mean() - log1mexp(a.mean());
                let margin = odds(chosen) - odds(rejected);
                let slope = -beta * sigmoid(-margin);
                let each = |a: Answer| slope / ((1.0 - a.mean().exp()) * a.tokens);
                Judgement {
                    loss: -beta * log_sigmoid(margin),
                    derivatives: [each(chosen), -each(rejected)],
                    rewards: [beta * chosen.mean(), beta * rejected.mean()],
                }
            }
            Self::Simpo { beta, gamma, label_smoothing } => {
                let margin = chosen.mean() - rejected.mean() - gamma / beta;
                let (loss, slope) = logistic(beta, margin, label_smoothing);
                let derivatives = [slope / chosen.tokens, -slope / rejected.tokens];
                Judgement { loss, derivatives, rewards: [beta * chosen.mean(), beta * rejected.mean()] }
            }
            Self::Kto { beta, .. } => Judgement {
                rewards: [beta * chosen.ratio(), beta * rejected.ratio()],
                ..Judgement::default()
            },
        }
    }

    /// A single answer, given the divergence from the reference; the loss, its derivative and the reward. Zeros but for KTO.
    pub(super) fn single(self, answer: Answer, good: bool, divergence: f64) -> (f64, f64, f64) {
        let Self::Kto { beta, desirable, undesirable } = self else { return (0.0, 0.0, 0.0) };
        let (sign, weight) = if good { (1.0, desirable) } else { (-1.0, undesirable) };
        let value = sigmoid(sign * beta * (answer.ratio() - divergence));
        (weight * (1.0 - value), -weight * sign * beta * value * (1.0 - value), beta * answer.ratio())
    }
}

/// A slope in the margin as that of both answers.
fn both((loss, slope): (f64, f64)) -> (f64, [f64; 2]) {
    (loss, [slope, -slope])
}

/// `−log σ(βm)` and `−log σ(−βm)`, with their slopes in `m`.
fn logistic_terms(beta: f64, margin: f64) -> [(f64, f64); 2] {
    let x = beta * margin;
    [(-log_sigmoid(x), -beta * sigmoid(-x)), (-log_sigmoid(-x), beta * sigmoid(x))]
}

fn logistic(beta: f64, margin: f64, smoothing: f64) -> (f64, f64) {
    let [clean, flipped] = logistic_terms(beta, margin);
    let mix = |a: f64, b: f64| (1.0 - smoothing) * a + smoothing * b;
    (mix(clean.0, flipped.0), mix(clean.1, flipped.1))
}

fn sigmoid(x: f64) -> f64 {
    (1.0 + (-x).exp()).recip()
}

fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// `log(1 − eˣ)` of a negative number.
fn log1mexp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Derivatives against differences of the loss.
    #[test]
    fn derivatives_are_those_of_the_losses() {
        let all = [
            Objective::Dpo { beta: 0.3, loss: DpoLoss::Sigmoid { label_smoothing: 0.1 } },
            Objective::Dpo { beta: 0.3, loss: DpoLoss::Robust { label_smoothing: 0.2 } },
            Objective::Dpo { beta: 0.3, loss: DpoLoss::Ipo },
            Objective::Dpo { beta: 0.3, loss: DpoLoss::Hinge },
            Objective::Orpo { beta: 0.5 },
            Objective::Simpo { beta: 2.0, gamma: 1.0, label_smoothing: 0.1 },
        ];
        let a = Answer { own: -3.0, reference: -3.5, tokens: 4.0 };
        let b = Answer { own: -5.0, reference: -4.5, tokens: 7.0 };
        let step = 1e-6;
        let moved = |x: Answer| Answer { own: x.own + step, ..x };
        for objective in all {
            let here = objective.pair(a, b);
            let far = [objective.pair(moved(a), b).loss, objective.pair(a, moved(b)).loss];
            for (far, slope) in far.iter().zip(here.derivatives) {
                assert!(((far - here.loss) / step - slope).abs() < 1e-5, "{objective:?}: {slope}");
            }
            assert!(here.derivatives[0] < 0.0 && here.derivatives[1] > 0.0, "{objective:?}");
        }
        let kto = Objective::Kto { beta: 0.3, desirable: 1.0, undesirable: 1.5 };
        for good in [true, false] {
            let (loss, slope, _) = kto.single(a, good, 0.2);
            let (far, ..) = kto.single(moved(a), good, 0.2);
            assert!(((far - loss) / step - slope).abs() < 1e-5);
        }
        assert!(Objective::Orpo { beta: 0.0 }.check().is_err());
        assert!(Objective::Simpo { beta: 1.0, gamma: 1.0, label_smoothing: 0.6 }.check().is_err());
    }
}
