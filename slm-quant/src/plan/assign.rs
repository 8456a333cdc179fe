//! The choice of one option for each tensor: from the smallest formats upwards, what gains most for its bytes first.

use super::{Choices, out_of_reach};
use crate::Result;

/// The index of the chosen option of each tensor, at most `limit` bytes with the `fixed` ones.
///
/// # Errors
/// When the smallest options are larger.
pub(super) fn within_bytes(choices: &[Choices], fixed: usize, limit: usize) -> Result<Vec<usize>> {
    let mut chosen = vec![0; choices.len()];
    let mut bytes = fixed + choices.iter().map(|c| c.options[0].1).sum::<usize>();
    if bytes > limit {
        return Err(out_of_reach("bytes", bytes as f64, limit as f64));
    }
    loop {
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
        let Some((_, tensor, option)) = best else { return Ok(chosen) };
        let (old, new) = (choices[tensor].options[chosen[tensor]], choices[tensor].options[option]);
        bytes += new.1 - old.1;
        chosen[tensor] = option;
    }
}

/// The same for the fewest bytes whose predicted divergence is at most `max_kl`, by bisection.
///
/// # Errors
/// When the largest options leave more.
pub(super) fn within_kl(choices: &[Choices], max_kl: f64) -> Result<Vec<usize>> {
    let sum = |option: fn(&Choices) -> usize| choices.iter().map(option).sum::<usize>();
    let mut low = sum(|c| c.options[0].1);
    let mut high = sum(|c| c.options.iter().map(|o| o.1).max().unwrap_or(0));
    let kl = |chosen: &[usize]| choices.iter().zip(chosen).map(|(c, at)| c.options[*at].2).sum::<f64>();
    let mut best = within_bytes(choices, 0, high)?;
    if kl(&best) > max_kl {
        return Err(out_of_reach("mean KL divergence", kl(&best), max_kl));
    }
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        let chosen = within_bytes(choices, 0, middle)?;
        if kl(&chosen) <= max_kl {
            (best, high) = (chosen, middle);
        } else {
            low = middle;
        }
    }
    Ok(best)
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
        assert_eq!(within_bytes(&choices, 5, 35).expect("fits"), [0, 0, 0]);
        assert_eq!(within_bytes(&choices, 5, 45).expect("fits"), [0, 0, 2]);
        assert_eq!(within_bytes(&choices, 5, 1000).expect("fits"), [2, 2, 2]);
        assert_eq!(within_kl(&choices, 1.0).expect("reachable"), [1, 0, 2]);
        assert_eq!(within_kl(&choices, 3.5).expect("reachable"), [0, 0, 1]);
        assert!(within_bytes(&choices, 5, 34).is_err());
        assert!(within_kl(&choices, 0.1).is_err());
    }
}
