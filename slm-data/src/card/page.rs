//! The card as one HTML page that needs nothing else.

use std::fmt::Write;

use super::{CardStep, Cluster, DataCard, plot};
use crate::curate::Sample;
use crate::text::share;

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;background:#f6f7f9;margin:0}
main{max-width:1060px;margin:0 auto;padding:24px}
h1{font-size:26px;margin:8px 0 4px}h2{font-size:19px;margin:34px 0 10px}
section{background:#fff;border:1px solid #dde2e8;border-radius:8px;padding:14px 18px;margin:10px 0}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:5px 10px;border-bottom:1px solid #e8ecf0;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.tiles{display:flex;gap:12px;flex-wrap:wrap}.tile{background:#fff;border:1px solid #dde2e8;border-radius:8px;padding:10px 18px}
.tile b{display:block;font-size:24px}.muted{color:#667483}
.plots{display:grid;grid-template-columns:1fr 1fr;gap:12px}@media(max-width:800px){.plots{grid-template-columns:1fr}}
svg{width:100%;height:auto}svg text{font-size:10px;fill:#667483}svg line{stroke:#9aa5b1}
.before{fill:#b9c2cc}.after{fill:#2f6fdb}.key{display:inline-block;width:11px;height:11px;margin:0 4px 0 12px}
.flow{height:9px;background:#b9c2cc;border-radius:4px;min-width:120px}.flow i{display:block;height:9px;background:#2f6fdb;border-radius:4px}
details{margin:5px 0}summary{cursor:pointer}blockquote{margin:6px 0 10px;padding:6px 12px;border-left:3px solid #cfd6de;background:#fafbfc;overflow-wrap:anywhere}
blockquote p{margin:2px 0}code{background:#eef1f4;padding:1px 5px;border-radius:4px;overflow-wrap:anywhere}
";

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writing to a text cannot fail.
macro_rules! put {
    ($out:expr, $($rest:tt)*) => {{ let _ = write!($out, $($rest)*); }};
}

pub(super) fn render(card: &DataCard) -> String {
    let mut out = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Data card</title><style>{STYLE}</style></head><body><main>\
         <h1>Data card</h1>"
    );
    tiles(card, &mut out);
    out += "<h2>Steps</h2><section><table><tr><th>Step</th><th class=n>Rows in</th><th class=n>Changed</th>\
            <th class=n>Dropped</th>            <th class=n>Left</th><th></th></tr>";
    for step in &card.steps {
        let width = 100.0 * share(step.kept, card.read.rows);
        put!(
            out,
            "<tr><td>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td>\
             <td><div class=flow><i style=\"width:{width:.1}%\"></i></div></td></tr>",
            escape(&step.name),
            step.input,
            step.changed,
            step.input - step.kept.min(step.input),
            step.kept
        );
    }
    out += "</table></section><h2>What was dropped, and why</h2>";
    card.steps.iter().filter(|step| !step.reasons.is_empty()).for_each(|step| reasons(step, &mut out));
    out += "<h2>Before and after</h2><p class=muted><span class=key style=\"background:#b9c2cc\"></span>as read\
            <span class=key style=\"background:#2f6fdb\"></span>left (each as a share of its own rows)</p><div class=plots>";
    for distribution in &card.distributions {
        put!(out, "<section><b>{}</b>{}</section>", escape(&distribution.name), plot::bars(distribution));
    }
    out += "</div>";
    sources(card, &mut out);
    clusters(card, &mut out);
    out + "</main></body></html>\n"
}

fn tiles(card: &DataCard, out: &mut String) {
    let percent = 100.0 * share(card.kept, card.read.rows);
    out.push_str("<div class=tiles>");
    for (number, what) in [
        (card.read.lines.to_string(), "lines read"),
        (card.read.bad.to_string(), "in quarantine: not rows"),
        (card.read.rows.to_string(), "rows"),
        (format!("{} ({percent:.1} %)", card.kept), "rows left"),
    ] {
        put!(out, "<div class=tile><b>{number}</b><span class=muted>{what}</span></div>");
    }
    out.push_str("</div>");
}

fn reasons(step: &CardStep, out: &mut String) {
    put!(out, "<section><b>{}</b>", escape(&step.name));
    for reason in &step.reasons {
        let percent = 100.0 * share(reason.count, step.input);
        put!(
            out,
            "<details><summary>{}: {} rows <span class=muted>({percent:.2} % of those that came)</span></summary>",
            reason.reason,
            reason.count
        );
        reason.examples.iter().for_each(|example| sample(example, out));
        out.push_str("</details>");
    }
    out.push_str("</section>");
}

fn sample(sample: &Sample, out: &mut String) {
    put!(
        out,
        "<blockquote><p class=muted><code>{}</code> {}</p><p>{}</p><p>→ {}</p></blockquote>",
        escape(&sample.source),
        escape(&sample.detail),
        escape(&sample.question),
        escape(&sample.answer)
    );
}

fn sources(card: &DataCard, out: &mut String) {
    out.push_str(
        "<h2>Sources and licences</h2><section><table><tr><th>Source</th><th>Licence</th><th class=n>Rows</th>\
         <th class=n>Left</th></tr>",
    );
    for source in &card.sources {
        put!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=n>{}</td><td class=n>{}</td></tr>",
            escape(&source.source),
            source.licence.as_deref().map_or("<span class=muted>not given</span>".to_owned(), escape),
            source.before,
            source.after
        );
    }
    out.push_str("</table></section>");
}

fn clusters(card: &DataCard, out: &mut String) {
    put!(
        out,
        "<h2>Duplicates</h2><p class=muted>{} kept rows had duplicates; the {} with the most are shown.</p>",
        card.cluster_count,
        card.clusters.len()
    );
    for Cluster { kept, size, dropped } in &card.clusters {
        put!(
            out,
            "<section><details><summary>{size} duplicates of <code>{}</code> {}</summary>",
            escape(&kept.source),
            escape(&crate::text::shorten(&kept.question, 90))
        );
        sample(kept, out);
        dropped.iter().for_each(|row| sample(row, out));
        out.push_str("</details></section>");
    }
}
