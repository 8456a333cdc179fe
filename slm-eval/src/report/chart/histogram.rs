//! Histograms.

use serde::{Deserialize, Serialize};

use super::frame::{Axis, Frame, text};
use super::{Figure, Mark, WIDTH, check_numbers};
use crate::Result;
use crate::report::markup::{Attributes, Markup, Px};
use crate::report::{Table, number, report_error};

/// How values are distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// What it shows.
    pub title: String,
    /// Name and unit of the values.
    pub x_label: String,
    /// Name of what is counted.
    pub y_label: String,
    /// The bins, side by side from low to high.
    pub bins: Vec<Bin>,
}

/// A bin of a [`Histogram`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower end, inside.
    pub from: f64,
    /// Upper end, outside; inside for the last bin.
    pub to: f64,
    /// Values in the bin.
    pub count: usize,
}

impl Histogram {
    /// Counts `values` in at most `bins` bins of equal, round width. Values that are not finite are an error
    /// when the report is made.
    pub fn of(title: impl Into<String>, x_label: impl Into<String>, values: &[f64], bins: usize) -> Self {
        let (title, x_label) = (title.into(), x_label.into());
        let mut histogram = Self { title, x_label, y_label: "Count".into(), bins: Vec::new() };
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if values.is_empty() || !(low.is_finite() && high.is_finite()) {
            // Nothing to count, or one bin that `check` refuses.
            let count = values.len();
            histogram.bins.extend((count > 0).then_some(Bin { from: low, to: high, count }));
            return histogram;
        }
        let count = if high > low { bins.max(1) } else { 1 };
        let width = if high > low { (high - low) / count as f64 } else { 1.0 };
        let from = if high > low { low } else { low - 0.5 };
        let edge = |i: usize| if i == count && high > low { high } else { from + width * i as f64 };
        histogram.bins = (0..count).map(|i| Bin { from: edge(i), to: edge(i + 1), count: 0 }).collect();
        for value in values {
            let at = (((value - from) / width) as usize).min(count - 1);
            histogram.bins[at].count += 1;
        }
        histogram
    }

    pub(in crate::report) fn check(&self) -> Result<()> {
        check_numbers(&self.title, "a bin", self.bins.iter().flat_map(|b| [b.from, b.to]))?;
        match self.bins.iter().find(|b| b.from >= b.to) {
            Some(bin) => {
                Err(report_error(&self.title, format!("the bin {} to {} is empty", bin.from, bin.to)))
            }
            None => Ok(()),
        }
    }

    pub(in crate::report) fn draw(&self, m: &mut Markup, id: usize) {
        let ends = self.bins.iter().flat_map(|b| [b.from, b.to]);
        let counts = self.bins.iter().map(|b| b.count as f64);
        let most = self.bins.iter().map(|b| b.count).max().unwrap_or(0);
        let frame = Frame {
            left: 72.0,
            top: 20.0,
            width: WIDTH - 96.0,
            height: 200.0,
            x: Axis::over(&self.x_label, ends),
            // A count has no fraction: below five, one tick each.
            y: match most {
                0..5 => Axis::exact(&self.y_label, 0.0, 5.0),
                _ => Axis::over(&self.y_label, counts.chain([0.0])),
            },
        };
        let total: usize = self.bins.iter().map(|b| b.count).sum();
        let figure = Figure {
            id,
            title: &self.title,
            description: format!(
                "Histogram of {}: {total} values in {} bins.",
                self.x_label,
                self.bins.len()
            ),
            size: (WIDTH, 272.0),
            legend: Vec::new(),
            mark: Mark::Area,
            data: self.table(),
        };
        figure.draw(m, |m| {
            frame.draw(m);
            self.bins.iter().for_each(|bin| draw_bin(m, &frame, bin));
        });
    }

    fn table(&self) -> Table {
        let table = Table::new(&self.title, ["From", "To", &self.y_label]);
        self.bins.iter().fold(table, |t, b| t.row([b.from.into(), b.to.into(), b.count.into()]))
    }
}

fn draw_bin(m: &mut Markup, frame: &Frame, bin: &Bin) {
    if bin.count == 0 {
        return;
    }
    let (left, right, top) = (frame.px(bin.from), frame.px(bin.to), frame.py(bin.count as f64));
    let width = (right - left - 1.0).max(0.5);
    let bottom = frame.top + frame.height;
    let rect: Attributes<'_> = &[
        ("class", &"area s0"),
        ("x", &Px(left + 0.5)),
        ("y", &Px(top)),
        ("width", &Px(width)),
        ("height", &Px(bottom - top)),
    ];
    m.element("rect", rect, |m| {
        m.line("title", &[], &format!("{} to {}: {}", number(bin.from), number(bin.to), bin.count));
    });
    // A label wider than its bar would run into the next one.
    let label = number(bin.count as f64);
    if width > 8.0 * label.len() as f64 {
        text(m, "value middle", [f64::midpoint(left, right), top - 5.0], &label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bin() {
        let histogram = Histogram::of("", "", &[0.0, 0.1, 0.5, 0.99, 1.0, 1.0], 4);
        assert_eq!(histogram.bins.iter().map(|b| b.count).collect::<Vec<_>>(), [2, 0, 1, 3]);
        assert_eq!((histogram.bins[0].from, histogram.bins[3].to), (0.0, 1.0));
        let single = Histogram::of("", "", &[7.0, 7.0], 4);
        assert_eq!(single.bins, [Bin { from: 6.5, to: 7.5, count: 2 }]);
        assert!(Histogram::of("", "", &[], 4).bins.is_empty());
        assert!(Histogram::of("", "", &[f64::INFINITY, 1.0], 4).check().is_err());
    }
}
