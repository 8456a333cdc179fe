//! The tokens still in the running, sorted only as far as somebody looks.

use std::cmp::Ordering;

/// Ids with their logits; the first `sorted` of them are the most likely, in order.
#[derive(Debug, Clone)]
pub(super) struct Candidates {
    items: Vec<(u32, f32)>,
    sorted: usize,
}

/// Most likely first, the lower id among equals.
fn order(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

impl Candidates {
    pub(super) fn new(logits: &[f32]) -> Self {
        let all = (0u32..).zip(logits.iter().copied());
        Self { items: all.filter(|(_, l)| *l > f32::NEG_INFINITY).collect(), sorted: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn id(&self, index: usize) -> u32 {
        self.items[index].0
    }

    pub(super) fn logits(&self) -> impl Iterator<Item = f32> + '_ {
        self.items.iter().map(|item| item.1)
    }

    /// The logit at `rank` among the most likely.
    pub(super) fn logit_at(&mut self, rank: usize) -> f32 {
        self.sort(rank + 1);
        self.items[rank].1
    }

    pub(super) fn max(&self) -> f32 {
        self.logits().fold(f32::NEG_INFINITY, f32::max)
    }

    /// Natural logarithm of the sum of exponentials.
    pub(super) fn log_sum(&self) -> f32 {
        let top = self.max();
        top + self.logits().map(|l| f64::from(l - top).exp()).sum::<f64>().ln() as f32
    }

    /// Unnormalised probabilities, the largest 1.
    pub(super) fn weights(&self) -> Vec<f32> {
        let top = self.max();
        self.logits().map(|l| (l - top).exp()).collect()
    }

    pub(super) fn scale(&mut self, factor: f32) {
        for item in &mut self.items {
            item.1 *= factor;
        }
    }

    /// Puts the `count` most likely first, in order.
    pub(super) fn sort(&mut self, count: usize) {
        let count = count.min(self.items.len());
        if count <= self.sorted {
            return;
        }
        // Twice as far as asked for, so that a walk down the ranks costs a few partial sorts.
        let count = (2 * count).max(64).min(self.items.len());
        if count < self.items.len() {
            self.items[self.sorted..].select_nth_unstable_by(count - 1 - self.sorted, order);
        }
        self.items[self.sorted..count].sort_unstable_by(order);
        self.sorted = count;
    }

    /// Keeps the `count` most likely, at least one.
    pub(super) fn keep_first(&mut self, count: usize) {
        let count = count.max(1);
        self.sort(count);
        self.items.truncate(count);
        self.sorted = self.sorted.min(self.items.len());
    }

    /// Removes the `count` most likely.
    pub(super) fn remove_first(&mut self, count: usize) {
        self.sort(count);
        self.items.drain(..count.min(self.items.len()));
        self.sorted = self.sorted.saturating_sub(count);
    }

    /// Keeps those whose logit passes; keeps the order.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(f32) -> bool) {
        let before = self.sorted;
        let mut index = 0;
        let mut still_sorted = 0;
        self.items.retain(|item| {
            let kept = keep(item.1);
            still_sorted += usize::from(kept && index < before);
            index += 1;
            kept
        });
        self.sorted = still_sorted;
    }

    /// Keeps the items at these places of the current order.
    pub(super) fn keep_places(&mut self, places: &[usize]) {
        self.items = places.iter().map(|place| self.items[*place]).collect();
        self.sorted = 0;
    }

    pub(super) fn write_to(&self, logits: &mut [f32]) {
        for (id, logit) in &self.items {
            logits[*id as usize] = *logit;
        }
    }

    pub(super) fn read_from(&mut self, logits: &[f32]) {
        for (id, logit) in &mut self.items {
            *logit = logits[*id as usize];
        }
        self.sorted = 0;
    }
}
