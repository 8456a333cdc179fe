//! Minimizes a smooth function of many variables.

use std::collections::VecDeque;

/// Steps that the curvature is estimated from.
const MEMORY: usize = 6;
/// Share of the promised decrease that a step must bring (Armijo 1966).
const SUFFICIENT: f64 = 1e-4;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Most steps.
    pub(crate) steps: usize,
    /// Largest component of the gradient that counts as flat.
    pub(crate) flat: f32,
}

/// A step taken: how far, how the gradient changed, and the inverse of their product.
struct Step {
    moved: Vec<f32>,
    turned: Vec<f32>,
    inverse: f64,
}

/// Goes down from `at` by L-BFGS (Liu & Nocedal 1989) with halved steps. `function` writes the gradient and returns the
/// value.
pub(crate) fn minimize(
    mut at: Vec<f32>,
    stop: Stop,
    mut function: impl FnMut(&[f32], &mut [f32]) -> f64,
) -> Vec<f32> {
    let mut gradient = vec![0.0; at.len()];
    let mut value = function(&at, &mut gradient);
    let mut steps: VecDeque<Step> = VecDeque::with_capacity(MEMORY);
    for _ in 0..stop.steps {
        if gradient.iter().all(|g| g.abs() <= stop.flat) {
            break;
        }
        let mut direction = newton_like(&gradient, &steps);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            // Rounding has spoilt the estimate: start anew along the gradient.
            steps.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        let first = if steps.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; at.len()];
        let next = halvings(first).find_map(|length| {
            let trial: Vec<f32> = at.iter().zip(&direction).map(|(x, d)| x + length as f32 * d).collect();
            let found = function(&trial, &mut next_gradient);
            (found <= value + SUFFICIENT * length * slope).then_some((trial, found))
        });
        let Some((next, found)) = next else {
            break;
        };
        value = found;
        remember(&mut steps, difference(&next, &at), difference(&next_gradient, &gradient));
        (at, gradient) = (next, next_gradient);
    }
    at
}

/// Lengths of a step to try.
fn halvings(first: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(first), |length| (*length > 1e-6).then_some(length / 2.0))
}

/// Minus the inverse curvature times the gradient, by the two-loop recursion.
fn newton_like(gradient: &[f32], steps: &VecDeque<Step>) -> Vec<f32> {
    let mut q: Vec<f32> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let share = step.inverse * dot(&step.moved, &q);
        add(&mut q, -share, &step.turned);
        shares.push(share);
    }
    if let Some(last) = steps.back() {
        let scale = 1.0 / (last.inverse * dot(&last.turned, &last.turned));
        q.iter_mut().for_each(|x| *x *= scale as f32);
    }
    for (step, share) in steps.iter().zip(shares.into_iter().rev()) {
        let correction = share - step.inverse * dot(&step.turned, &q);
        add(&mut q, correction, &step.moved);
    }
    q
}

fn remember(steps: &mut VecDeque<Step>, moved: Vec<f32>, turned: Vec<f32>) {
    let product = dot(&moved, &turned);
    // Without curvature along the step there is nothing to learn from it.
    if product > 1e-12 * dot(&turned, &turned) {
        if steps.len() == MEMORY {
            steps.pop_front();
        }
        steps.push_back(Step { moved, turned, inverse: 1.0 / product });
    }
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn add(to: &mut [f32], share: f64, what: &[f32]) {
    let share = share as f32;
    to.iter_mut().zip(what).for_each(|(t, w)| *t += share * w);
}

/// In blocks: sums of millions of products would lose digits in f32.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let block = |(a, b): (&[f32], &[f32])| f64::from(a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>());
    a.chunks(64).zip(b.chunks(64)).map(block).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_end_of_rosenbrocks_valley() {
        let rosenbrock = |x: &[f32], gradient: &mut [f32]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            gradient.copy_from_slice(&[-2.0 * a - 400.0 * x[0] * b, 200.0 * b]);
            f64::from(a * a + 100.0 * b * b)
        };
        let found = minimize(vec![-1.2, 1.0], Stop { steps: 200, flat: 1e-5 }, rosenbrock);
        assert!((found[0] - 1.0).abs() < 1e-3 && (found[1] - 1.0).abs() < 2e-3, "{found:?}");
    }
}
