//! Rows as columns of a Parquet file.

use std::fs::File;
use std::io;
use std::sync::Arc;

use arrow_json::ReaderBuilder;
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value};

/// Rows in memory at a time.
const BATCH: usize = 1024;

/// Writes records with the columns of the first one.
pub(super) struct ColumnWriter {
    out: Option<ArrowWriter<File>>,
    file: Option<File>,
    schema: Arc<Schema>,
    waiting: Vec<Value>,
}

impl ColumnWriter {
    pub(super) fn new(file: File) -> Self {
        Self { out: None, file: Some(file), schema: Arc::new(Schema::empty()), waiting: Vec::new() }
    }

    /// Takes a record in; `Err(Ok(reason))` where its columns are others.
    pub(super) fn write(&mut self, record: Map<String, Value>) -> Result<(), Result<String, io::Error>> {
        if self.out.is_none() {
            self.start(&record).map_err(Err)?;
        }
        let fields = self.schema.fields();
        if record.len() != fields.len() || !fields.iter().all(|field| record.contains_key(field.name())) {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            return Err(Ok(format!("its columns are not [{}]", names.join(", "))));
        }
        self.waiting.push(Value::Object(record));
        if self.waiting.len() == BATCH { self.flush().map_err(Err) } else { Ok(()) }
    }

    fn start(&mut self, record: &Map<String, Value>) -> io::Result<()> {
        let fields: Fields = record.iter().map(|(name, value)| Field::new(name, kind(value), true)).collect();
        self.schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = self.file.take().ok_or_else(|| io::Error::other("the file is written already"))?;
        let writer = ArrowWriter::try_new(file, Arc::clone(&self.schema), Some(properties));
        self.out = Some(writer.map_err(io::Error::other)?);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut decoder =
            ReaderBuilder::new(Arc::clone(&self.schema)).build_decoder().map_err(io::Error::other)?;
        decoder.serialize(&self.waiting).map_err(io::Error::other)?;
        self.waiting.clear();
        if let (Some(batch), Some(out)) = (decoder.flush().map_err(io::Error::other)?, &mut self.out) {
            out.write(&batch).map_err(io::Error::other)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.out.is_none() {
            self.start(&Map::new())?;
        }
        self.flush()?;
        let Some(out) = self.out else { return Ok(()) };
        let file = out.into_inner().map_err(io::Error::other)?;
        file.sync_all()
    }
}

/// The type of a column; lists hold turns, whose fields are texts.
fn kind(value: &Value) -> DataType {
    match value {
        Value::Bool(_) => DataType::Boolean,
        Value::Array(turns) => {
            let keys = turns.first().and_then(Value::as_object).into_iter().flat_map(Map::keys);
            let fields: Fields = keys.map(|name| Field::new(name, DataType::Utf8, true)).collect();
            DataType::List(Arc::new(Field::new("item", DataType::Struct(fields), true)))
        }
        _ => DataType::Utf8,
    }
}
