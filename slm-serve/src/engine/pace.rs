//! How many tokens of prompts a pass reads beside the answers.

use std::time::Duration;

/// What a pass did, and how long it took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    /// Answers that went on by a token.
    pub(super) answers: usize,
    /// Tokens of prompts that were read.
    pub(super) read: usize,
    pub(super) time: Duration,
}

/// Learns what passes cost, and chooses the part of prompts so that a pass beside running answers stays within a time.
///
/// The time of a pass is taken for `a + b · answers + c · read`, by recursive least squares that forget (Haykin 2002, ch.
/// 10), so that it follows the machine, its load and the length of the texts. Prompts get at least as much of a pass as
/// the answers, whatever the limit: else nobody new would be answered where answers alone take all of it. Where no answer
/// runs, nobody waits between two tokens, and the part is the largest.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    most: usize,
    limit: Option<f64>,
    /// Of one, an answer and a token, in [`SCALE`]'s units.
    weights: [f64; 3],
    /// How uncertain they are.
    spread: [[f64; 3]; 3],
}

/// What one unit of each quantity is, so that all weights are of the same size.
const SCALE: [f64; 3] = [1.0, 16.0, 256.0];
/// Weight of a pass when the next has come.
const MEMORY: f64 = 0.97;
/// Bound on the uncertainty, which grows by forgetting where nothing new is learned.
const UNCERTAIN: f64 = 100.0;
/// Fewest tokens read in a pass, so that prompts get on whatever the limit.
const LEAST: usize = 16;

impl Pace {
    /// Parts of at most `most` tokens; passes beside answers of about `limit`.
    pub(super) fn new(most: usize, limit: Option<Duration>) -> Self {
        let mut spread = [[0.0; 3]; 3];
        (0..3).for_each(|i| spread[i][i] = UNCERTAIN);
        Self { most, limit: limit.map(|l| l.as_secs_f64()), weights: [0.0; 3], spread }
    }

    /// The part for a pass with so many `answers`, of which there are `passes` before the next token of each: one for
    /// each adapter in use.
    pub(super) fn part(&self, answers: usize, passes: usize) -> usize {
        let Some(limit) = self.limit.filter(|_| answers > 0) else { return self.most };
        let [fixed, of_answer, of_token] = self.weights;
        let alone = (fixed + of_answer * answers as f64 / SCALE[1]).max(0.0);
        let rest = (limit / passes.max(1) as f64 - alone).max(alone);
        let least = LEAST.min(self.most);
        // Nothing is known yet, or it makes no sense: carefully.
        if of_token <= 0.0 {
            return least;
        }
        ((rest / of_token * SCALE[2]) as usize).clamp(least, self.most)
    }

    /// Learns from a pass.
    pub(super) fn saw(&mut self, pass: Pass) {
        let x = [1.0, pass.answers as f64 / SCALE[1], pass.read as f64 / SCALE[2]];
        let px: [f64; 3] = std::array::from_fn(|i| dot(&self.spread[i], &x));
        let gain = px.map(|p| p / (MEMORY + dot(&x, &px)));
        let error = pass.time.as_secs_f64() - dot(&self.weights, &x);
        for ((weight, row), gain) in self.weights.iter_mut().zip(&mut self.spread).zip(gain) {
            *weight += gain * error;
            row.iter_mut().zip(px).for_each(|(s, p)| *s = (*s - gain * p) / MEMORY);
        }
        let largest = (0..3).map(|i| self.spread[i][i]).fold(0.0, f64::max);
        if largest > UNCERTAIN {
            self.spread.iter_mut().flatten().for_each(|s| *s *= UNCERTAIN / largest);
        }
    }
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose passes take 20 ms, 5 ms for each answer, and `per_token` for each token read.
    fn run(pace: &mut Pace, per_token: f64, rounds: usize) -> Vec<(usize, usize, f64)> {
        let mut seen = Vec::new();
        for round in 0..rounds {
            let answers = [0, 1, 4, 16, 9, 2][round % 6];
            // Every third pass has no prompt to read.
            let read = if round % 3 == 2 { 0 } else { pace.part(answers, 1) };
            let seconds = 0.020 + 0.005 * answers as f64 + per_token * read as f64;
            pace.saw(Pass { answers, read, time: Duration::from_secs_f64(seconds) });
            seen.push((answers, read, seconds));
        }
        seen
    }

    #[test]
    fn passes_beside_answers_stay_within_the_time_on_a_fast_and_on_a_slow_machine() {
        for per_token in [0.000_5, 0.002_4, 0.01] {
            let mut pace = Pace::new(256, Some(Duration::from_millis(300)));
            let seen = run(&mut pace, per_token, 200);
            for (answers, read, seconds) in &seen[30..] {
                let alone = 0.020 + 0.005 * *answers as f64;
                if *answers == 0 {
                    assert!(*read == 256 || *read == 0, "whole where nobody waits: {read}");
                } else if *read > LEAST {
                    assert!(*seconds < 0.31, "{per_token}: {answers} answers, {read} tokens, {seconds} s");
                    // And no less than fits.
                    assert!(*read == 256 || *seconds > 0.28, "{per_token}: {answers}, {read}, {seconds}");
                } else {
                    let needed = alone + per_token * LEAST as f64;
                    assert!(*read == 0 || needed > 0.28, "{per_token}: {answers} answers, {read} tokens");
                }
            }
        }
    }

    #[test]
    fn prompts_get_on_where_answers_take_all_of_the_time() {
        let mut pace = Pace::new(256, Some(Duration::from_millis(50)));
        run(&mut pace, 0.001, 200);
        // 16 answers take 100 ms: so may the prompts.
        let read = pace.part(16, 1);
        assert!((90..=110).contains(&read), "{read}");
    }

    #[test]
    fn it_follows_a_machine_that_becomes_slower() {
        let mut pace = Pace::new(256, Some(Duration::from_millis(300)));
        run(&mut pace, 0.001, 200);
        let before = pace.part(4, 1);
        run(&mut pace, 0.004, 200);
        let after = pace.part(4, 1);
        assert!(before > 240 && (55..75).contains(&after), "{before} {after}");
        assert!(pace.part(4, 2) < after, "two passes share the time");
    }

    #[test]
    fn without_a_limit_parts_are_whole() {
        let mut pace = Pace::new(64, None);
        run(&mut pace, 0.01, 20);
        assert_eq!([pace.part(0, 1), pace.part(16, 1)], [64, 64]);
        // Before the first pass nothing is known.
        assert_eq!(Pace::new(256, Some(Duration::from_millis(100))).part(1, 1), LEAST);
    }
}
