//! The choice of one option for each tensor: from the smallest formats upwards, what gains most for its bytes first.

use super::{Choices, out_of_reach};
use crate::Result;

/// The index of the chosen option of each tensor; `fixed` bytes are spent in any case.
///
/// # Errors
/// When the smallest options exceed `limit` bytes, or the largest leave more than `max_kl`.
pub(super) fn assign(choices: &[Choices], fixed: usize, limit: usize, max_kl: f64) -> Result<Vec<usize>> {
    let mut chosen = vec![0; choices.len()];
    let mut bytes = fixed + choices.iter().map(|c| c.options[0].1).sum::<usize>();
    let mut kl: f64 = choices.iter().map(|c| c.options[0].2).sum();
    if bytes > limit {
        return Err(out_of_reach("bytes", bytes as f64, limit as f64));
    }
    while kl > max_kl {
        let mut best: Option<(f64, usize, usize)> = None;
        for (tensor, choice) in choices.iter().enumerate() {
            let (_, old_bytes, old_kl) = choice.options[chosen[tensor]];
            for (option, &(_, new_bytes, new_kl)) in choice.options.iter().enumerate() {
                let (more, gain) = (new_bytes.saturating_sub(old_bytes), old_kl - new_kl);
                if more == 0 || gain <= 0.0 || bytes + more > limit {
                    continue;
                }
                let worth = gain / more as f64;
                if best.is_none_or(|b| worth > b.0) {
                    best = Some((worth, tensor, option));
                }
            }
        }
        let Some((_, tensor, option)) = best else { break };
        let (old, new) = (choices[tensor].options[chosen[tensor]], choices[tensor].options[option]);
        bytes += new.1 - old.1;
        kl += new.2 - old.2;
        chosen[tensor] = option;
    }
    if max_kl > 0.0 && kl > max_kl {
        return Err(out_of_reach("mean KL divergence", kl, max_kl));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_where_they_gain_most() {
        let choice = |kl: f64| Choices {
            name: String::new(),
            options: vec![(None, 10, kl), (None, 15, kl / 4.0), (None, 20, kl / 16.0)],
        };
        let choices = [choice(1.0), choice(0.1), choice(8.0)];
        assert_eq!(assign(&choices, 5, 35, 0.0).expect("fits"), [0, 0, 0]);
        assert_eq!(assign(&choices, 5, 45, 0.0).expect("fits"), [0, 0, 2]);
        assert_eq!(assign(&choices, 5, 1000, 0.0).expect("fits"), [2, 2, 2]);
        assert_eq!(assign(&choices, 5, 1000, 1.0).expect("reachable"), [1, 0, 2]);
        assert!(assign(&choices, 5, 34, 0.0).is_err());
        assert!(assign(&choices, 5, 1000, 0.1).is_err());
    }
}
