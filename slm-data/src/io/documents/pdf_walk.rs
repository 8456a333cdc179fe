//! What a PDF file must not hold before its text is extracted: the extractor follows references without an end.

use pdf_extract::content::Content;
use pdf_extract::{Dictionary, Document, Object, ObjectId};

/// Forms within one another, at most.
const DEEPEST: usize = 64;
/// Forms that a page draws, those within forms counted again, at most.
const MOST: usize = 100_000;

/// Whether the pages have an end: no page is its own ancestor, and no form draws itself.
pub(super) fn check(document: &Document) -> Result<(), String> {
    for (number, page) in document.get_pages() {
        let walk = || -> Result<(), String> {
            let Some(resources) = resources(document, page)? else { return Ok(()) };
            let contents = document.get_page_content(page).unwrap_or_default();
            Walk { document, path: Vec::new(), left: MOST }.contents(resources, &contents)
        };
        walk().map_err(|reason| format!("page {number}: {reason}"))?;
    }
    Ok(())
}

/// The resources of a page, or of the nearest of its ancestors that has some.
fn resources(document: &Document, page: ObjectId) -> Result<Option<&Dictionary>, String> {
    let (mut found, mut at) = (None, page);
    for _ in 0..DEEPEST {
        let Ok(node) = document.get_dictionary(at) else { return Ok(found) };
        found = found.or_else(|| dictionary(document, node, b"Resources"));
        match node.get(b"Parent").and_then(Object::as_reference) {
            Ok(parent) => at = parent,
            Err(_) => return Ok(found),
        }
    }
    Err(format!("it has more than {DEEPEST} ancestors, or is its own"))
}

fn dictionary<'a>(document: &'a Document, of: &'a Dictionary, key: &[u8]) -> Option<&'a Dictionary> {
    document.dereference(of.get(key).ok()?).ok()?.1.as_dict().ok()
}

struct Walk<'a> {
    document: &'a Document,
    path: Vec<ObjectId>,
    left: usize,
}

impl<'a> Walk<'a> {
    fn contents(&mut self, resources: &'a Dictionary, contents: &[u8]) -> Result<(), String> {
        let document = self.document;
        let Some(forms) = dictionary(document, resources, b"XObject") else { return Ok(()) };
        let Ok(content) = Content::decode(contents) else { return Ok(()) };
        for operation in content.operations.iter().filter(|operation| operation.operator == "Do") {
            let name = operation.operands.first().and_then(|name| name.as_name().ok());
            let Some(Object::Reference(id)) = name.and_then(|name| forms.get(name).ok()) else { continue };
            let Ok(form) = document.get_object(*id).and_then(Object::as_stream) else { continue };
            if self.path.contains(id) || self.path.len() == DEEPEST {
                return Err("a form draws itself, or is too deep".to_owned());
            }
            self.left = self.left.checked_sub(1).ok_or("it draws too many forms")?;
            self.path.push(*id);
            let inner = form.decompressed_content().unwrap_or_else(|_| form.content.clone());
            let own = dictionary(document, &form.dict, b"Resources").unwrap_or(resources);
            self.contents(own, &inner)?;
            self.path.pop();
        }
        Ok(())
    }
}
