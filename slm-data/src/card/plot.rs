//! Bars as SVG.

use std::fmt::Write;

use super::Distribution;
use crate::text::{real, share};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 150.0;
/// Room for the labels.
const FOOT: f64 = 58.0;
/// Room for the first label.
const LEFT: f64 = 30.0;
const HEAD: f64 = 16.0;

/// Rows before (grey) and after (blue), side by side.
pub(super) fn bars(of: &Distribution) -> String {
    let totals = [&of.before, &of.after].map(|counts| counts.iter().sum::<usize>());
    let shares = |counts: &[usize], total: usize| counts.iter().map(|&n| share(n, total)).fold(0.0, f64::max);
    let most = shares(&of.before, totals[0]).max(shares(&of.after, totals[1])).max(1e-9);
    let slot = WIDTH / real(of.labels.len().max(1));
    let mut svg = format!(
        "<svg viewBox=\"-{LEFT} 0 {} {}\" role=\"img\" aria-label=\"{}\">",
        WIDTH + LEFT,
        HEAD + HEIGHT + FOOT,
        super::page::escape(&of.name)
    );
    let mut bar = |x: f64, part: f64, class: &str, title: &str| {
        let height = HEIGHT * part / most;
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
        bar(x, share(of.before[at], totals[0]), "before", &format!("{label}: {} rows before", of.before[at]));
        bar(
            x + slot * 0.42,
            share(of.after[at], totals[1]),
            "after",
            &format!("{label}: {} rows after", of.after[at]),
        );
    }
    let _ = write!(svg, "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{0}\" y2=\"{0}\"/>", HEAD + HEIGHT);
    let _ = write!(svg, "<text class=\"scale\" x=\"0\" y=\"11\">{:.0} %</text>", 100.0 * most);
    for (at, label) in of.labels.iter().enumerate() {
        let (x, y) = (slot * (real(at) + 0.5), HEAD + HEIGHT + 10.0);
        let _ = write!(
            svg,
            "<text transform=\"translate({x:.1},{y:.1}) rotate(-40)\" text-anchor=\"end\">{label}</text>"
        );
    }
    svg + "</svg>"
}
