//! Results of a suite as a page.

use super::SuiteResult;
use crate::Result;
use crate::report::{Cell, Report, Section, Table};

impl SuiteResult {
    /// The gates, every measure, and the answers of each task that has some.
    ///
    /// # Errors
    /// When a score is not finite.
    pub fn report(&self) -> Result<Report> {
        let closed = self.verdicts.iter().filter(|v| !v.passed).count();
        let subtitle = match (self.verdicts.len(), closed) {
            (0, _) => self.model.clone(),
            (all, 0) => format!("{}: passed all {all} gates.", self.model),
            (all, closed) => format!("{}: failed {closed} of {all} gates.", self.model),
        };
        let mut report = Report::new(&self.suite, subtitle);
        if !self.verdicts.is_empty() {
            report = report.with(Section::new("Gates").with(self.gates()));
        }
        report = report.with(Section::new("Measures").with(self.measures()));
        for task in &self.tasks {
            if let Some(evaluation) = &task.evaluation {
                let title = format!("Answers to {}", task.name);
                report = report.with(Section { title, ..evaluation.section()? });
            }
        }
        Ok(report)
    }

    fn gates(&self) -> Table {
        let table = Table::new("What the results had to pass", ["Gate", "Passed", "Why"]);
        self.verdicts.iter().fold(table, |table, verdict| {
            let passed = if verdict.passed { "yes" } else { "no" };
            let name = format!("{}: {}", verdict.gate.task, verdict.gate.measure);
            table.row([name.into(), passed.into(), verdict.reasons.join("\n").into()])
        })
    }

    fn measures(&self) -> Table {
        let header = ["Task", "Measure", "Value", "Interval", "Better"];
        let mut table = Table::new("All that was measured", header);
        for (task, (name, measure)) in self.tasks.iter().flat_map(|t| t.measures.iter().map(move |m| (t, m)))
        {
            let interval = measure.interval.map_or_else(String::new, |i| {
                format!("{:.3} to {:.3} ({:.0} %)", i.low, i.high, i.level * 100.0)
            });
            let better = if measure.lower_is_better { "lower" } else { "higher" };
            let cells: [Cell; 3] = [task.name.as_str().into(), name.as_str().into(), measure.value.into()];
            table = table.row(cells.into_iter().chain([interval.into(), better.into()]));
        }
        table
    }
}
