//! The values of a GGUF file's metadata, read from and written to bytes.

use super::reader::Reader;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are the format's types by name")]
pub enum GgufValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(GgufArray),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of the metadata: values of one type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are the format's types by name")]
pub enum GgufArray {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    Array(Vec<GgufArray>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

const STRING: u32 = 8;
const ARRAY: u32 = 9;
/// Arrays of arrays of arrays: more than any file has.
const MAX_DEPTH: u32 = 4;

macro_rules! each_number {
    ($go:ident) => {
        $go! { 0 U8 u8, 1 I8 i8, 2 U16 u16, 3 I16 i16, 4 U32 u32, 5 I32 i32, 6 F32 f32, 10 U64 u64, 11 I64 i64, 12 F64 f64 }
    };
}

macro_rules! define {
    ($($kind:literal $name:ident $type:ty),*) => {
        fn read_value(kind: u32, r: &mut Reader<'_>) -> Result<GgufValue, String> {
            match kind {
                $($kind => Ok(GgufValue::$name(<$type>::from_le_bytes(r.array()?))),)*
                7 => Ok(GgufValue::Bool(r.array::<1>()?[0] != 0)),
                STRING => Ok(GgufValue::String(r.string()?)),
                ARRAY => Ok(GgufValue::Array(read_array(r, 0)?)),
                other => Err(format!("value type {other} is not known")),
            }
        }

        fn read_array(r: &mut Reader<'_>, depth: u32) -> Result<GgufArray, String> {
            let (kind, count) = (r.u32()?, r.u64()?);
            let count = usize::try_from(count).ok().filter(|n| *n <= r.left()).ok_or_else(|| {
                format!("{count} elements are claimed, but only {} bytes are left", r.left())
            })?;
            match kind {
                $($kind => Ok(GgufArray::$name(r.numbers(count, <$type>::from_le_bytes)?)),)*
                7 => Ok(GgufArray::Bool(r.numbers(count, |[b]: [u8; 1]| b != 0)?)),
                // These grow as elements are read: a false count takes no memory.
                STRING => Ok(GgufArray::String((0..count).map(|_| r.string()).collect::<Result<_, _>>()?)),
                ARRAY if depth < MAX_DEPTH => {
                    let all = (0..count).map(|_| read_array(r, depth + 1));
                    Ok(GgufArray::Array(all.collect::<Result<_, _>>()?))
                }
                ARRAY => Err("arrays are nested too deeply".into()),
                other => Err(format!("an array's type {other} is not known")),
            }
        }

        impl GgufValue {
            fn kind(&self) -> u32 {
                match self {
                    $(Self::$name(_) => $kind,)*
                    Self::Bool(_) => 7,
                    Self::String(_) => STRING,
                    Self::Array(_) => ARRAY,
                }
            }

            fn write_content(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name(v) => out.extend(v.to_le_bytes()),)*
                    Self::Bool(v) => out.push(u8::from(*v)),
                    Self::String(v) => write_string(v, out),
                    Self::Array(v) => v.write(out),
                }
            }
        }

        impl GgufArray {
            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$name(v) => v.len(),)*
                    Self::Bool(v) => v.len(),
                    Self::String(v) => v.len(),
                    Self::Array(v) => v.len(),
                }
            }

            fn write(&self, out: &mut Vec<u8>) {
                let mut head = |kind: u32, count: usize| {
                    out.extend(kind.to_le_bytes());
                    out.extend((count as u64).to_le_bytes());
                };
                match self {
                    $(Self::$name(v) => {
                        head($kind, v.len());
                        v.iter().for_each(|v| out.extend(v.to_le_bytes()));
                    })*
                    Self::Bool(v) => {
                        head(7, v.len());
                        out.extend(v.iter().map(|v| u8::from(*v)));
                    }
                    Self::String(v) => {
                        head(STRING, v.len());
                        v.iter().for_each(|v| write_string(v, out));
                    }
                    Self::Array(v) => {
                        head(ARRAY, v.len());
                        v.iter().for_each(|v| v.write(out));
                    }
                }
            }
        }

        $(impl From<$type> for GgufValue {
            fn from(value: $type) -> Self {
                Self::$name(value)
            }
        }
        impl From<Vec<$type>> for GgufValue {
            fn from(values: Vec<$type>) -> Self {
                Self::Array(GgufArray::$name(values))
            }
        })*
    };
}

each_number!(define);

impl GgufValue {
    /// A value of the type that `kind` numbers.
    pub(super) fn read(kind: u32, reader: &mut Reader<'_>) -> Result<Self, String> {
        read_value(kind, reader)
    }

    /// Type and content.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.kind().to_le_bytes());
        self.write_content(out);
    }

    /// The value as a non-negative integer, whatever its width.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(v) => Some(v.into()),
            Self::U16(v) => Some(v.into()),
            Self::U32(v) => Some(v.into()),
            Self::U64(v) => Some(v),
            Self::I8(v) => u64::try_from(v).ok(),
            Self::I16(v) => u64::try_from(v).ok(),
            Self::I32(v) => u64::try_from(v).ok(),
            Self::I64(v) => u64::try_from(v).ok(),
            _ => None,
        }
    }

    /// The value as a number. An `f32` becomes the number that is written with the fewest decimals: `1e-6`, not the
    /// `9.99999997e-7` that it is.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(v) => v.to_string().parse().ok(),
            Self::F64(v) => Some(v),
            _ => self.as_u64().map(|v| v as f64),
        }
    }

    /// The text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// True or false.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    /// The elements of an array of texts.
    pub fn as_strings(&self) -> Option<&[String]> {
        if let Self::Array(GgufArray::String(texts)) = self { Some(texts) } else { None }
    }

    /// The elements of an array of integers, if none is negative.
    pub fn as_sizes(&self) -> Option<Vec<u64>> {
        let Self::Array(array) = self else { return None };
        match array {
            GgufArray::U32(v) => Some(v.iter().map(|v| (*v).into()).collect()),
            GgufArray::I32(v) => v.iter().map(|v| u64::try_from(*v).ok()).collect(),
            GgufArray::U64(v) => Some(v.clone()),
            GgufArray::I64(v) => v.iter().map(|v| u64::try_from(*v).ok()).collect(),
            GgufArray::Bool(v) => Some(v.iter().map(|v| (*v).into()).collect()),
            _ => None,
        }
    }
}

impl GgufArray {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<bool> for GgufValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for GgufValue {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for GgufValue {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<Vec<String>> for GgufValue {
    fn from(values: Vec<String>) -> Self {
        Self::Array(GgufArray::String(values))
    }
}

pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
