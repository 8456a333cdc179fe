//! Bars as SVG.

use std::fmt::Write;

use super::Distribution;
use crate::text::real;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 150.0;
/// Room for the labels.
const FOOT: f64 = 46.0;
const HEAD: f64 = 16.0;

/// Rows before (grey) and after (blue), side by side.
pub(super) fn bars(of: &Distribution) -> String {
    let most = of.before.iter().chain(&of.after).copied().max().unwrap_or(0).max(1);
    let slot = WIDTH / real(of.labels.len().max(1));
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
        HEAD + HEIGHT + FOOT,
        super::page::escape(&of.name)
    );
    let mut bar = |x: f64, count: usize, class: &str, title: &str| {
        let height = HEIGHT * real(count) / real(most);
        let y = HEAD + HEIGHT - height;
        // Writing to a text cannot fail.
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{title}</title></rect>",
            slot * 0.4
        );
    };
    for (at, label) in of.labels.iter().enumerate() {
        let x = slot * real(at) + slot * 0.08;
        bar(x, of.before[at], "before", &format!("{label}: {} rows before", of.before[at]));
        bar(x + slot * 0.42, of.after[at], "after", &format!("{label}: {} rows after", of.after[at]));
    }
    let _ = write!(svg, "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{0}\" y2=\"{0}\"/>", HEAD + HEIGHT);
    let _ = write!(svg, "<text class=\"scale\" x=\"0\" y=\"11\">{most} rows</text>");
    for (at, label) in of.labels.iter().enumerate() {
        let (x, y) = (slot * (real(at) + 0.5), HEAD + HEIGHT + 10.0);
        let _ = write!(
            svg,
            "<text transform=\"translate({x:.1},{y:.1}) rotate(-40)\" text-anchor=\"end\">{label}</text>"
        );
    }
    svg + "</svg>"
}
