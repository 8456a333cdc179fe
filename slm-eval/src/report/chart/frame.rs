//! Axes, grid and the mapping from values to pixels.

use crate::report::markup::{Attributes, Markup, Px};

/// A scale with round ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
}

impl Axis {
    /// The axis over `values`, its ends rounded outwards to ticks.
    pub(super) fn over(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low < 1e-9 * high.abs().max(low.abs()).max(1e-12) {
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low, high) = (low - room, high + room);
        }
        let step = nice_step((high - low) / 5.0);
        Self {
            label: label.into(),
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
        }
    }

    /// The axis from `low` to `high` exactly.
    pub(super) fn exact(label: &str, low: f64, high: f64) -> Self {
        Self { label: label.into(), low, high, step: nice_step((high - low) / 5.0) }
    }

    /// The share of the axis below `value`.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Ticks with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-6).ceil();
        let count = ((self.high / self.step + 1e-6).floor() - first).max(0.0) as usize;
        (0..=count)
            .map(|i| (first + i as f64) * self.step)
            .map(|value| (value, tick_label(value, self.step)))
            .collect()
    }
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `raw`.
fn nice_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .map(|m| m * power)
        .find(|s| *s >= raw * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

fn tick_label(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if value.abs().max(step) >= 1e7 || step < 1e-6 {
        return format!("{value:.1e}").replace('-', "−");
    }
    // 2.5 and its like need one digit more than the power of ten.
    let decimals = (0..8).find(|d| {
        let scaled = step * 10_f64.powi(*d);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    });
    let digits = decimals.unwrap_or(8) as usize;
    format!("{value:.digits$}").replace('-', "−")
}

/// The rectangle in which values are drawn, with its axes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Frame {
    pub(super) fn px(&self, x: f64) -> f64 {
        self.left + self.x.share(x) * self.width
    }

    pub(super) fn py(&self, y: f64) -> f64 {
        self.top + (1.0 - self.y.share(y)) * self.height
    }

    /// Grid, tick labels and the names of both axes.
    pub(super) fn draw(&self, m: &mut Markup) {
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        for (value, label) in self.y.ticks() {
            let at = self.py(value);
            grid_line(m, [self.left, at, right, at]);
            text(m, "tick end", [self.left - 8.0, at + 4.0], &label);
        }
        self.draw_x(m);
        let middle = self.top + self.height / 2.0;
        let x = self.left - 58.0;
        let turn = format!("rotate(-90 {} {})", Px(x), Px(middle));
        let place: Attributes<'_> =
            &[("class", &"axis middle"), ("x", &Px(x)), ("y", &Px(middle)), ("transform", &turn)];
        m.line("text", place, &self.y.label);
        let base = format!("M{} {}H{}", Px(self.left), Px(bottom), Px(right));
        m.leaf("path", &[("class", &"base"), ("d", &base)]);
    }

    /// The grid of the horizontal axis, its tick labels and its name.
    pub(super) fn draw_x(&self, m: &mut Markup) {
        let bottom = self.top + self.height;
        for (value, label) in self.x.ticks() {
            let at = self.px(value);
            grid_line(m, [at, self.top, at, bottom]);
            text(m, "tick middle", [at, bottom + 18.0], &label);
        }
        text(m, "axis middle", [self.left + self.width / 2.0, bottom + 40.0], &self.x.label);
    }
}

fn grid_line(m: &mut Markup, [x1, y1, x2, y2]: [f64; 4]) {
    let path = format!("M{} {}L{} {}", Px(x1), Px(y1), Px(x2), Px(y2));
    m.leaf("path", &[("class", &"grid"), ("d", &path)]);
}

/// A text at a place of the drawing.
pub(super) fn text(m: &mut Markup, class: &str, [x, y]: [f64; 2], text: &str) {
    m.line("text", &[("class", &class), ("x", &Px(x)), ("y", &Px(y))], text);
}

/// The path through `points`, in pixels.
pub(super) fn path(frame: &Frame, points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        path.push(if path.is_empty() { 'M' } else { 'L' });
        path.push_str(&format!("{} {}", Px(frame.px(x)), Px(frame.py(y))));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        for (values, expected) in [
            (&[0.0, 1.0][..], &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"][..]),
            (&[3.0, 1203.0], &["0", "250", "500", "750", "1000", "1250"]),
            (&[-0.3, 0.2], &["−0.3", "−0.2", "−0.1", "0.0", "0.1", "0.2"]),
            (&[5.0], &["4.4", "4.6", "4.8", "5.0", "5.2", "5.4", "5.6"]),
        ] {
            let axis = Axis::over("", values.iter().copied());
            let labels: Vec<String> = axis.ticks().into_iter().map(|t| t.1).collect();
            assert_eq!(labels, expected, "{values:?}");
        }
    }

    #[test]
    fn any_range_has_a_few_ticks_and_holds_its_values() {
        for values in [[0.0, 1e-9], [1e6, 1e6 + 1.0], [-1e12, 1e12], [0.0, 0.0], [7.0, 7.0]] {
            let axis = Axis::over("", values.into_iter());
            let count = axis.ticks().len();
            assert!((2..=9).contains(&count), "{values:?}: {count}");
            assert!(axis.low <= values[0] && values[1] <= axis.high, "{values:?}: {axis:?}");
        }
        assert_eq!(Axis::over("", std::iter::empty()).low, 0.0);
    }
}
