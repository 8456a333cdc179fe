//! What a run with retention leaves: its measurements, and the best model that forgot little enough.

use serde::Serialize;
use slm_core::CausalLm;

use super::RetentionLog;

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Steps done.
    pub step: usize,
    /// Fraction of the way from the base; 1 but for those after the run.
    pub scale: f32,
    /// Weight of the divergence in the steps before it.
    pub kl_weight: f32,
    /// Mean loss on the domain's validation texts, in nats per learned token.
    pub domain_loss: f32,
    /// Mean loss on the general validation texts, in nats per learned token.
    pub general_loss: f32,
}

/// A run with its measurements.
#[derive(Debug)]
pub struct Retained {
    /// The model of the chosen point, off the autodiff device.
    pub model: CausalLm,
    /// Before the first step.
    pub base: Point,
    /// The lowest loss on the domain among those that forgot no more than allowed; the base where no other did.
    pub chosen: Point,
    /// All measurements, the base first.
    pub points: Vec<Point>,
    /// Of all steps that ran.
    pub logs: Vec<RetentionLog>,
}

impl Retained {
    /// How much lower the domain's loss became, in nats.
    pub fn domain_gain(&self) -> f32 {
        self.base.domain_loss - self.chosen.domain_loss
    }

    /// How much higher the general loss became, in nats.
    pub fn forgetting(&self) -> f32 {
        self.chosen.general_loss - self.base.general_loss
    }
}

/// The points that no other beats in both losses, from the lowest general loss on.
pub fn pareto_front(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| {
        a.general_loss.total_cmp(&b.general_loss).then(a.domain_loss.total_cmp(&b.domain_loss))
    });
    let mut best = f32::INFINITY;
    sorted.retain(|point| {
        let better = point.domain_loss < best;
        best = best.min(point.domain_loss);
        better
    });
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_has_what_nothing_beats() {
        let point = |general_loss, domain_loss| Point {
            step: 0,
            scale: 1.0,
            kl_weight: 0.0,
            domain_loss,
            general_loss,
        };
        let points = [point(1.0, 3.0), point(1.2, 2.0), point(1.2, 2.5), point(1.4, 2.2), point(1.5, 1.0)];
        assert_eq!(pareto_front(&points), [points[0], points[1], points[4]]);
        assert!(pareto_front(&[]).is_empty());
    }
}
