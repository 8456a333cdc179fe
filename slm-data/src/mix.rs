//! General examples among those of the domain.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::duplicates::dot;
use crate::text::real;
use crate::{Error, Example, Result};

/// Mixes general examples in, so that they make up `ratio` (0 to below 1) of the result: replay against
/// forgetting.
///
/// All domain examples are in it once, in their order, with the general ones spread evenly among them. These
/// come in random order; where there are too few, they come again in another order.
///
/// # Errors
/// When `ratio` is out of range, or general examples are asked for and there are none.
pub fn mix_replay(domain: &[Example], general: &[Example], ratio: f64, seed: u64) -> Result<Vec<Example>> {
    if !(0.0..1.0).contains(&ratio) {
        return Err(Error::config("ratio", format!("expected 0 to below 1, got {ratio}")));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and `as` saturates"
    )]
    let wanted = (real(domain.len()) * ratio / (1.0 - ratio)).round() as usize;
    if wanted > 0 && general.is_empty() {
        return Err(Error::config("ratio", format!("{wanted} general examples wanted, none given")));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<&Example> = Vec::with_capacity(wanted);
    while order.len() < wanted {
        let mut round: Vec<&Example> = general.iter().collect();
        round.shuffle(&mut rng);
        order.extend(round.into_iter().take(wanted - order.len()));
    }
    let mut general = order.into_iter();
    let mut mixed = Vec::with_capacity(domain.len() + wanted);
    for (at, example) in domain.iter().enumerate() {
        mixed.push(example.clone());
        let due = (at + 1) * wanted / domain.len();
        mixed.extend(general.by_ref().take(due - at * wanted / domain.len()).cloned());
    }
    Ok(mixed)
}

/// The general examples that are nearest to the domain, as indices in ascending order: for replay of what the
/// training is most likely to overwrite.
///
/// `domain` and `general` are unit vectors of one length. Each general example counts by its largest cosine with
/// a domain example; those above `limit` are left out, for they are the domain itself.
///
/// # Errors
/// When the vectors have different lengths.
pub fn nearest_replay(
    domain: &[Vec<f32>],
    general: &[Vec<f32>],
    count: usize,
    limit: f32,
) -> Result<Vec<usize>> {
    let width = domain.first().or(general.first()).map_or(0, Vec::len);
    if domain.iter().chain(general).any(|vector| vector.len() != width) {
        return Err(Error::config("replay.vectors", format!("expected vectors of length {width}")));
    }
    let closeness = |vector: &Vec<f32>| domain.iter().map(|other| dot(vector, other)).fold(-1.0, f32::max);
    let near: Vec<f32> = general.par_iter().map(closeness).collect();
    let mut order: Vec<usize> = (0..general.len()).filter(|&at| near[at] <= limit).collect();
    order.sort_by(|&a, &b| near[b].total_cmp(&near[a]).then(a.cmp(&b)));
    order.truncate(count);
    order.sort_unstable();
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, n: usize) -> Vec<Example> {
        (0..n).map(|i| Example::pair(format!("{name} {i}"), "a", name)).collect()
    }

    #[test]
    fn general_rows_make_up_the_ratio_everywhere() -> Result<()> {
        let mixed = mix_replay(&rows("domain", 300), &rows("general", 500), 0.25, 1)?;
        assert_eq!(mixed.len(), 400);
        for part in mixed.chunks(40) {
            assert_eq!(part.iter().filter(|row| row.source == "general").count(), 10);
        }
        let domain: Vec<Example> = mixed.into_iter().filter(|row| row.source == "domain").collect();
        assert_eq!(domain, rows("domain", 300));
        Ok(())
    }

    #[test]
    fn few_general_rows_come_equally_often() -> Result<()> {
        let mixed = mix_replay(&rows("domain", 10), &rows("general", 5), 0.5, 1)?;
        for row in rows("general", 5) {
            assert_eq!(mixed.iter().filter(|other| **other == row).count(), 2);
        }
        Ok(())
    }

    #[test]
    fn the_seed_decides() -> Result<()> {
        let mix = |seed| mix_replay(&rows("domain", 50), &rows("general", 80), 0.3, seed);
        assert_eq!(mix(1)?, mix(1)?);
        assert_ne!(mix(1)?, mix(2)?);
        Ok(())
    }

    #[test]
    fn near_general_rows_come_first_and_the_domain_itself_does_not() -> Result<()> {
        let domain = [vec![1.0, 0.0]];
        let general = [vec![0.0, 1.0], vec![0.8, 0.6], vec![1.0, 0.0], vec![0.6, 0.8]];
        assert_eq!(nearest_replay(&domain, &general, 2, 0.95)?, [1, 3]);
        assert_eq!(nearest_replay(&domain, &general, 9, 1.0)?, [0, 1, 2, 3]);
        assert!(nearest_replay(&domain, &[vec![1.0]], 1, 1.0).is_err());
        Ok(())
    }

    #[test]
    fn borders() -> Result<()> {
        assert_eq!(mix_replay(&rows("domain", 3), &[], 0.0, 1)?, rows("domain", 3));
        assert_eq!(mix_replay(&[], &rows("general", 3), 0.5, 1)?, []);
        for ratio in [1.0, -0.1, f64::NAN] {
            assert!(mix_replay(&rows("domain", 3), &rows("general", 3), ratio, 1).is_err());
        }
        assert!(mix_replay(&rows("domain", 3), &[], 0.5, 1).is_err());
        Ok(())
    }
}
