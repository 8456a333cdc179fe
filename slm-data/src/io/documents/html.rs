//! HTML as Markdown.

use htmd::HtmlToMarkdown;

/// What a page holds besides its text.
const SKIPPED: [&str; 14] = [
    "script", "style", "noscript", "template", "svg", "iframe", "form", "button", "select", "nav", "header",
    "footer", "aside", "head",
];

/// The text with headings, lists, tables and code; without scripts, forms and navigation.
pub(super) fn to_markdown(page: &str) -> Result<String, String> {
    let converter = HtmlToMarkdown::builder().skip_tags(SKIPPED.to_vec()).build();
    converter.convert(page).map_err(|error| format!("not HTML: {error}"))
}
