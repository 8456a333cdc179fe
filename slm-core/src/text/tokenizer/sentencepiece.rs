//! SentencePiece models (`tokenizer.model`): the protocol buffer of `sentencepiece_model.proto`, as far as needed.
//!
//! One text is known to get other ids than from the original library: the name of a byte piece, such as `<0x41>`, as
//! text to a unigram model, which takes it for the piece.

use serde_json::{Value as Json, json};

use super::spec::{Added, Spec, Vocab, around, merges_of_scores, sentence_piece_bpe, with_spaces};

/// What kind a piece is of.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// The fields of a model that matter.
#[derive(Debug)]
pub(super) struct Model {
    pieces: Vec<(String, f32, u64)>,
    /// 1 unigram, 2 BPE.
    kind: u64,
    bos: i64,
    charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_spaces: bool,
}

/// One field of a protocol buffer.
enum Field<'a> {
    Varint(u64),
    Fixed(u32),
    Bytes(&'a [u8]),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or("it ends inside a number")?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is longer than 64 bits".into())
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).ok().filter(|n| *n <= self.0.len());
        let length = length.ok_or("a field is longer than the file")?;
        let (field, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(field)
    }

    /// Number and value of the next field; `None` at the end.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Field::Fixed(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            wire => return Err(format!("wire type {wire} is not known")),
        };
        Ok(Some((key >> 3, field)))
    }
}

impl Model {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut model = Self {
            pieces: Vec::new(),
            kind: 1,
            bos: 1,
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_spaces: true,
        };
        let mut reader = Reader(bytes);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (1, Field::Bytes(bytes)) => model.pieces.push(piece(bytes)?),
                (2, Field::Bytes(bytes)) => model.trainer(bytes)?,
                (3, Field::Bytes(bytes)) => model.normalizer(bytes)?,
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err("there are no pieces in it".into());
        }
        Ok(model)
    }

    fn trainer(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut reader = Reader(bytes);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (3, Field::Varint(kind)) => self.kind = kind,
                (41, Field::Varint(id)) => self.bos = i64::from(id as i32),
                _ => {}
            }
        }
        Ok(())
    }

    fn normalizer(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut reader = Reader(bytes);
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (2, Field::Bytes(map)) => self.charsmap = map.to_vec(),
                (3, Field::Varint(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Field::Varint(flag)) => self.remove_extra_spaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }

    /// The tokenizer; `added` are tokens that the directory names beside the model's own.
    pub(super) fn spec(&self, added: Vec<Added>, add_bos: bool) -> Result<Spec, String> {
        let mut vocab = Vocab::new();
        let mut all = added;
        let mut unknown = None;
        for (id, (content, _, kind)) in self.pieces.iter().enumerate() {
            let id = u32::try_from(id).map_err(|e| e.to_string())?;
            vocab.entry(content.clone()).or_insert(id);
            if matches!(*kind, UNKNOWN | CONTROL | USER_DEFINED) && !all.iter().any(|t| t.id == id) {
                all.push(Added::new(content.clone(), id, *kind != USER_DEFINED));
            }
            if *kind == UNKNOWN {
                unknown = Some((id, content.as_str()));
            }
        }
        let bos = all.iter().find(|t| i64::from(t.id) == self.bos).cloned().filter(|_| add_bos);
        let mut spec = match self.kind {
            2 => {
                let scored: Vec<(String, f32)> =
                    self.pieces.iter().map(|(piece, score, _)| (piece.clone(), *score)).collect();
                let merges = merges_of_scores(&scored, &vocab);
                sentence_piece_bpe(&vocab, &merges, unknown.map(|(_, content)| content), all)
            }
            1 => self.unigram(unknown.map(|(id, _)| id), all),
            kind => return Err(format!("model type {kind} is neither BPE (2) nor unigram (1)")),
        };
        spec = with_spaces(spec, self.before_spaces(), self.add_dummy_prefix);
        if let Some(bos) = bos {
            spec.post_processor = around(Some(&bos), None);
        }
        Ok(spec)
    }

    fn unigram(&self, unknown: Option<u32>, added: Vec<Added>) -> Spec {
        let vocab: Vec<Json> = self.pieces.iter().map(|(piece, score, _)| json!([piece, score])).collect();
        let byte_fallback = self.pieces.iter().any(|(piece, ..)| piece == "<0x0A>");
        Spec {
            model: json!({"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": byte_fallback}),
            normalizer: Json::Null,
            pre_tokenizer: Json::Null,
            post_processor: Json::Null,
            decoder: Json::Null,
            added,
        }
    }

    fn before_spaces(&self) -> Vec<Json> {
        let mut steps = Vec::new();
        if !self.charsmap.is_empty() {
            steps.push(json!({"type": "Precompiled", "precompiled_charsmap": encode_base64(&self.charsmap)}));
        }
        if self.remove_extra_spaces {
            steps.push(json!({"type": "Replace", "pattern": {"Regex": "^ +| +$"}, "content": ""}));
            steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
        }
        steps
    }
}

fn piece(bytes: &[u8]) -> Result<(String, f32, u64), String> {
    let (mut content, mut score, mut kind) = (String::new(), 0.0, 1);
    let mut reader = Reader(bytes);
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => {
                content = std::str::from_utf8(bytes).map_err(|_| "a piece is not UTF-8")?.to_owned();
            }
            (2, Field::Fixed(bits)) => score = f32::from_bits(bits),
            (3, Field::Varint(value)) => kind = value,
            _ => {}
        }
    }
    Ok((content, score, kind))
}

fn encode_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let value = chunk.iter().fold(0_u32, |v, b| v << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(value >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
