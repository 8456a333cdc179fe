//! The text of a PDF file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{Document, PlainTextOutput, output_doc};

use super::pdf_walk;

/// The text of all pages.
pub(super) fn to_text(bytes: &[u8]) -> Result<String, String> {
    // The crate panics on some broken files; nothing of it outlives the call.
    let read = catch_unwind(AssertUnwindSafe(|| extract(bytes)));
    let text = read.unwrap_or_else(|_| Err("broken".to_owned()));
    let text = text.map_err(|reason| format!("not a readable PDF file: {reason}"))?;
    if text.trim().is_empty() {
        Err("no text in it: scanned pages need OCR first".to_owned())
    } else {
        Ok(text)
    }
}

fn extract(bytes: &[u8]) -> Result<String, String> {
    let mut document = Document::load_mem(bytes).map_err(|error| error.to_string())?;
    if document.is_encrypted() {
        document.decrypt("").map_err(|error| error.to_string())?;
    }
    pdf_walk::check(&document)?;
    let mut text = String::new();
    output_doc(&document, &mut PlainTextOutput::new(&mut text)).map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A page that says "Hello page".
    pub(in crate::io::documents) fn sample() -> Vec<u8> {
        let page = "/Parent 2 0 R /Resources << /Font << /F1 5 0 R >> /XObject << /X 6 0 R >> >>";
        file(page, "BT /F1 24 Tf 72 700 Td (Hello page) Tj ET", "")
    }

    /// A file of one page: its dictionary, what it draws, and what its form draws.
    fn file(page: &str, draws: &str, form: &str) -> Vec<u8> {
        let stream = |keys: &str, text: &str| {
            format!("<< {keys} /Length {} >>\nstream\n{text}\nendstream", text.len())
        };
        let objects = [
            "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
            format!("<< /Type /Page /MediaBox [0 0 612 792] /Contents 4 0 R {page} >>"),
            stream("", draws),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
            stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", form),
        ];
        let mut file = "%PDF-1.4\n".to_owned();
        let mut table = "0000000000 65535 f \n".to_owned();
        for (at, object) in objects.iter().enumerate() {
            table += &format!("{:010} 00000 n \n", file.len());
            file += &format!("{} 0 obj\n{object}\nendobj\n", at + 1);
        }
        let start = file.len();
        file += &format!("xref\n0 7\n{table}trailer\n<< /Size 7 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
        file.into_bytes()
    }

    #[test]
    fn cut_files_are_errors_and_no_panics() {
        let whole = sample();
        for end in (0..whole.len()).step_by(7) {
            let _ = to_text(&whole[..end]);
        }
        assert!(to_text(&[]).is_err());
        assert!(to_text(&whole).is_ok_and(|text| text.trim() == "Hello page"));
    }

    #[test]
    fn pages_without_an_end_are_errors() {
        let resources = "/Resources << /Font << /F1 5 0 R >> /XObject << /X 6 0 R >> >>";
        let hello = "BT /F1 24 Tf (Hello) Tj ET";
        let told =
            |page: &str, draws: &str, form: &str| to_text(&file(page, draws, form)).unwrap_or_else(|e| e);
        let page = format!("/Parent 2 0 R {resources}");
        assert_eq!(told(&page, "/X Do", hello).trim(), "Hello");
        assert!(told(&page, "/X Do", "/X Do").contains("page 1: a form draws itself"));
        assert!(told("/Parent 3 0 R", hello, "").contains("page 1: it has more than"));
    }
}
