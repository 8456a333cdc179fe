//! The text of a PDF file.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The text of all pages.
pub(super) fn to_text(bytes: &[u8]) -> Result<String, String> {
    // The crate panics on some broken files; nothing of it outlives the call.
    let read = catch_unwind(AssertUnwindSafe(|| pdf_extract::extract_text_from_mem(bytes)));
    let text = read.map_err(|_| "not a readable PDF file".to_owned())?;
    let text = text.map_err(|error| format!("not a readable PDF file: {error}"))?;
    if text.trim().is_empty() {
        Err("no text in it: scanned pages need OCR first".to_owned())
    } else {
        Ok(text)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A page that says "Hello page".
    pub(in crate::io::documents) fn sample() -> Vec<u8> {
        let stream = "BT /F1 24 Tf 72 700 Td (Hello page) Tj ET";
        let objects = [
            "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
             /Resources << /Font << /F1 5 0 R >> >> >>"
                .to_owned(),
            format!("<< /Length {} >>\nstream\n{stream}\nendstream", stream.len()),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        ];
        let mut file = "%PDF-1.4\n".to_owned();
        let mut table = "0000000000 65535 f \n".to_owned();
        for (at, object) in objects.iter().enumerate() {
            table += &format!("{:010} 00000 n \n", file.len());
            file += &format!("{} 0 obj\n{object}\nendobj\n", at + 1);
        }
        let start = file.len();
        file += &format!("xref\n0 6\n{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
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
}
