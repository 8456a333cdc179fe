//! Preference pairs from ranked answers.

use crate::{Message, Preference};

/// Answers to one conversation with their scores, from a judge, a reward model or people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranked {
    /// The turns before the answers.
    pub prompt: Vec<Message>,
    /// Answers and scores; more is better.
    pub answers: Vec<(String, f64)>,
    /// Where it comes from.
    pub source: String,
    /// Rows of one group never straddle a split.
    pub group: Option<String>,
}

/// The best answer against each that is worse by at least `margin`, the widest gap first, at most `most` pairs
/// per conversation.
///
/// Equal answers make no pair. With length as the only difference a model learns length: see that the chosen
/// answers are not simply the longer ones. The second value returned is the share of pairs whose chosen answer
/// is the longer one: about 0.5 where length says nothing.
pub fn preference_pairs(ranked: &[Ranked], margin: f64, most: usize) -> (Vec<Preference>, f64) {
    let mut pairs = Vec::new();
    for group in ranked {
        let mut order: Vec<&(String, f64)> =
            group.answers.iter().filter(|(_, score)| !score.is_nan()).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        let Some((best, score)) = order.first() else { continue };
        let worse = order
            .iter()
            .rev()
            .filter(|(answer, other)| score - other >= margin && score > other && answer != best);
        for (rejected, _) in worse.take(most) {
            pairs.push(Preference {
                prompt: group.prompt.clone(),
                chosen: best.clone(),
                rejected: rejected.clone(),
                source: group.source.clone(),
                group: group.group.clone(),
                licence: None,
            });
        }
    }
    let longer =
        pairs.iter().filter(|pair| pair.chosen.chars().count() > pair.rejected.chars().count()).count();
    let share = if pairs.is_empty() { 0.5 } else { crate::text::share(longer, pairs.len()) };
    (pairs, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    #[test]
    fn the_best_meets_the_worst_first() {
        let answers = [("fine", 0.9), ("so-so", 0.6), ("bad, and long", 0.1), ("fine too", 0.88)];
        let ranked = Ranked {
            prompt: vec![Message::new(Role::User, "q")],
            answers: answers.map(|(text, score)| (text.to_owned(), score)).to_vec(),
            ..Ranked::default()
        };
        let flat = Ranked {
            answers: vec![("a".into(), 1.0), ("b".into(), 1.0), ("c".into(), f64::NAN)],
            ..Ranked::default()
        };
        let (pairs, longer) = preference_pairs(&[ranked, flat, Ranked::default()], 0.2, 5);
        let found: Vec<_> = pairs.iter().map(|pair| (pair.chosen.as_str(), pair.rejected.as_str())).collect();
        assert_eq!(found, [("fine", "bad, and long"), ("fine", "so-so")]);
        assert_eq!(longer, 0.0);
        assert_eq!(preference_pairs(&[], 0.0, 1), (Vec::new(), 0.5));
    }
}
