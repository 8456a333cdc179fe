//! Segments to one, without what was deleted.

use std::io::Write;

use super::build::{Output, Parts, written};
use super::postings::{Postings, for_each_posting};
use super::{DocumentRow, EntryRow, Segment, TermRow};
use crate::Result;
use crate::vectors::Vectors;

/// A segment and which of its documents are deleted, in order.
pub(crate) type Part<'a> = (&'a Segment, &'a [u32]);

/// Where the chunks of a segment go.
const NOWHERE: u32 = u32::MAX;

/// Writes the documents of `parts` that are not deleted as one segment, in order. Nothing is cut, read or embedded anew.
pub(crate) fn merge<W: Write>(parts: &[Part<'_>], writer: W) -> Result<W> {
    let Some((first, _)) = parts.first() else {
        return Ok(writer);
    };
    let mut out = Output::new(writer).map_err(written)?;
    let mut merged = Parts { vectors: shared_vectors(parts)?, ..Parts::default() };
    let mut moves: Vec<Vec<u32>> = Vec::with_capacity(parts.len());
    for &(segment, dead) in parts {
        let mut to = vec![NOWHERE; segment.len()];
        for (n, row) in (0_u32..).zip(&segment.documents) {
            if dead.binary_search(&n).is_err() {
                copy(segment, row, &mut merged, &mut out, &mut to)?;
            }
        }
        moves.push(to);
    }
    merge_postings(parts, &moves, &mut merged, &mut out)?;
    merged.build_graph(&first.config().vectors);
    merged.finish(first.config(), out).map_err(written)
}

/// A place for vectors, where all parts have some.
fn shared_vectors(parts: &[Part<'_>]) -> Result<Option<Vectors>> {
    let mut shared = None;
    for (segment, _) in parts {
        let Some(vectors) = &segment.vectors else { return Ok(None) };
        shared = Some(Vectors::new(vectors.dimension(), vectors.precision())?);
    }
    Ok(shared)
}

fn copy<W: Write>(
    segment: &Segment,
    row: &DocumentRow,
    merged: &mut Parts,
    out: &mut Output<W>,
    to: &mut [u32],
) -> Result<()> {
    let text = out.put(&segment.source.checked(row.text)?).map_err(written)?;
    let first_entry = merged.entries.len() as u32;
    for entry in row.first_entry..row.first_entry + row.entries {
        let (Some(own), Some(place)) = (segment.places.get(entry as usize), to.get_mut(entry as usize))
        else {
            continue;
        };
        *place = merged.entries.len() as u32;
        let blob = out.put(&segment.source.checked(*own)?).map_err(written)?;
        merged.entries.push(EntryRow { place: blob, length: segment.length(entry) });
        if let (Some(vectors), Some(own)) = (&mut merged.vectors, &segment.vectors) {
            vectors.push_from(own, entry)?;
        }
    }
    merged.documents.push(DocumentRow { text, first_entry, ..row.clone() });
    Ok(())
}

/// The lists of each term one behind the other, with the new numbers of the chunks.
fn merge_postings<W: Write>(
    parts: &[Part<'_>],
    moves: &[Vec<u32>],
    merged: &mut Parts,
    out: &mut Output<W>,
) -> Result<()> {
    let mut next = vec![0_usize; parts.len()];
    loop {
        let heads = parts.iter().zip(&next).filter(|((segment, _), n)| **n < segment.dictionary.ends.len());
        let Some(term) = heads.map(|((segment, _), n)| segment.dictionary.term(*n)).min() else {
            return Ok(());
        };
        let mut list = Postings::default();
        for (((segment, _), to), n) in parts.iter().zip(moves).zip(&mut next) {
            if *n >= segment.dictionary.ends.len() || segment.dictionary.term(*n) != term {
                continue;
            }
            let Some(row) = segment.dictionary.rows.get(*n) else { continue };
            *n += 1;
            for_each_posting(&segment.source.checked(row.place)?, |id, frequency| {
                if let Some(&new) = to.get(id as usize).filter(|new| **new != NOWHERE) {
                    list.push(new, frequency);
                }
            })
            .ok_or_else(|| segment.damaged("a list of postings is cut off"))?;
        }
        if list.count > 0 {
            let (count, most) = (list.count, list.most);
            let place = out.put(&list.finish()).map_err(written)?;
            merged.dictionary.push(term, TermRow { place, count, most });
        }
    }
}
