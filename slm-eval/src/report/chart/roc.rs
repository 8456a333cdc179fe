//! Receiver operating characteristics.

use serde::{Deserialize, Serialize};

use super::frame::{Axis, Frame, path, text};
use super::{Figure, Mark, WIDTH, check_numbers, colour, dash, spread};
use crate::Result;
use crate::metrics::{RocPoint, auroc, roc_curve};
use crate::report::Table;
use crate::report::markup::Markup;

/// Curves of true against false positives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RocCurve {
    /// What it shows.
    pub title: String,
    /// The curves.
    pub series: Vec<RocSeries>,
}

/// A curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RocSeries {
    /// Its name in the legend.
    pub name: String,
    /// Area under it.
    pub auroc: f64,
    /// Its points, from (0, 0) to (1, 1).
    pub points: Vec<RocPoint>,
}

impl RocCurve {
    /// A chart without curves yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), series: Vec::new() }
    }

    /// The same chart with the curve of a score that should be higher for `positives`.
    ///
    /// # Errors
    /// As [`roc_curve`].
    pub fn series(mut self, name: impl Into<String>, positives: &[f64], negatives: &[f64]) -> Result<Self> {
        let points = roc_curve(positives, negatives)?;
        self.series.push(RocSeries { name: name.into(), auroc: auroc(positives, negatives)?, points });
        Ok(self)
    }

    pub(in crate::report) fn check(&self) -> Result<()> {
        self.series.iter().try_for_each(|s| {
            let rates = s.points.iter().flat_map(|p| [p.false_positive_rate, p.true_positive_rate]);
            check_numbers(&self.title, &s.name, rates.chain([s.auroc]))
        })
    }

    pub(in crate::report) fn draw(&self, m: &mut Markup, id: usize) {
        const SIDE: f64 = 320.0;
        let frame = Frame {
            left: (WIDTH - SIDE) / 2.0,
            top: 12.0,
            width: SIDE,
            height: SIDE,
            x: Axis::exact("False positive rate", 0.0, 1.0),
            y: Axis::exact("True positive rate", 0.0, 1.0),
        };
        let names: Vec<String> =
            self.series.iter().map(|s| format!("{}: AUROC {:.3}", s.name, s.auroc)).collect();
        let figure = Figure {
            id,
            title: &self.title,
            description: format!("True over false positive rate. {}.", names.join(", ")),
            size: (WIDTH, SIDE + 64.0),
            legend: names.iter().map(String::as_str).collect(),
            mark: Mark::Line,
            data: self.table(),
        };
        figure.draw(m, |m| {
            frame.draw(m);
            m.leaf(
                "path",
                &[("class", &"chance"), ("d", &path(&frame, [(0.0, 0.0), (1.0, 1.0)].into_iter()))],
            );
            for (index, series) in self.series.iter().enumerate() {
                let d =
                    path(&frame, series.points.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)));
                let class = format!("line {}", colour(index));
                m.leaf("path", &[("class", &class), ("stroke-dasharray", &dash(index)), ("d", &d)]);
            }
            if let [only] = names.as_slice() {
                text(m, "value end", [frame.left + SIDE - 10.0, frame.top + SIDE - 12.0], only);
            }
        });
    }

    fn table(&self) -> Table {
        let header = ["Series", "Threshold", "False positive rate", "True positive rate"];
        let mut table = Table::new(&self.title, header);
        for series in &self.series {
            for point in spread(40, series.points.len()).into_iter().map(|at| series.points[at]) {
                let threshold = point.threshold.map_or_else(|| "none accepted".into(), Into::into);
                let rates = [point.false_positive_rate.into(), point.true_positive_rate.into()];
                let [false_rate, true_rate] = rates;
                table = table.row([series.name.as_str().into(), threshold, false_rate, true_rate]);
            }
        }
        table
    }
}
