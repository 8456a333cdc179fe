//! The losses, as one: the cross-entropy between shares of a row and the softmax of its scores.

use burn::tensor::{Tensor, TensorData, activation};

/// What hides a score from the softmax.
const HIDDEN: f32 = -1e9;

/// A target for each row of scores: which columns share it, and which are not looked at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Targets {
    rows: usize,
    columns: usize,
    /// Row-major; all of them sum to 1 with a mean over rows.
    shares: Vec<f32>,
    /// Added to the scores; empty where nothing is hidden.
    hidden: Vec<f32>,
}

impl Targets {
    /// Column `label` of each row, and `smoothing` of it spread over all.
    pub(super) fn labels(labels: &[usize], columns: usize, smoothing: f32) -> Self {
        let rows = labels.len();
        let mut shares = vec![smoothing / (rows * columns) as f32; rows * columns];
        for (row, label) in shares.chunks_mut(columns).zip(labels) {
            row[*label] += (1.0 - smoothing) / rows as f32;
        }
        Self { rows, columns, shares, hidden: Vec::new() }
    }

    /// Texts against each other: those of the same label share a row, but for itself. A text without another of its label
    /// only pushes.
    pub(super) fn same(labels: &[usize]) -> Self {
        let count = labels.len();
        let mut shares = vec![0.0; count * count];
        let mut hidden = vec![0.0; count * count];
        let others =
            |row: usize| (0..count).filter(move |column| *column != row && labels[*column] == labels[row]);
        let anchors = (0..count).filter(|row| others(*row).next().is_some()).count().max(1);
        for row in 0..count {
            hidden[row * count + row] = HIDDEN;
            let positives = others(row).count();
            for column in others(row) {
                shares[row * count + column] = 1.0 / (positives * anchors) as f32;
            }
        }
        Self { rows: count, columns: count, shares, hidden }
    }

    /// Queries against passages: each row's own column. Columns whose passage is the same text are hidden.
    pub(super) fn own<T: PartialEq>(passages: &[T]) -> Self {
        let count = passages.len();
        let mut shares = vec![0.0; count * count];
        let mut hidden = vec![0.0; count * count];
        for (row, own) in passages.iter().enumerate() {
            shares[row * count + row] = 1.0 / count as f32;
            for (column, other) in passages.iter().enumerate() {
                if column != row && own == other {
                    hidden[row * count + column] = HIDDEN;
                }
            }
        }
        Self { rows: count, columns: count, shares, hidden }
    }

    /// The loss, in nats.
    ///
    /// # Shapes
    /// `scores`: `[rows, columns]`.
    pub(super) fn loss(self, scores: Tensor<2>) -> Tensor<1> {
        let (shape, device) = ([self.rows, self.columns], scores.device());
        let constant = |values| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
        let scores = if self.hidden.is_empty() { scores } else { scores + constant(self.hidden) };
        // Hidden scores have no share: their logarithms are large, but finite.
        (activation::log_softmax(scores, 1) * constant(self.shares)).sum().neg()
    }
}

/// Cosines of unit vectors, times `scale`.
///
/// # Shapes
/// `[rows, width]` and `[columns, width]` to `[rows, columns]`.
pub(super) fn scores(rows: Tensor<2>, columns: Tensor<2>, scale: f32) -> Tensor<2> {
    rows.matmul(columns.transpose()).mul_scalar(scale)
}

/// Rows of length 1.
pub(super) fn unit(rows: Tensor<2>) -> Tensor<2> {
    let square = (rows.clone() * rows.clone()).sum_dim(1);
    rows / square.add_scalar(1e-24).sqrt()
}
