//! `strftime_now`.

use std::fmt::Write;

use chrono::{DateTime, Local, NaiveDateTime};
use minijinja::{Error, ErrorKind};

/// The time, or the local clock's where none is given, as `strftime` writes it.
pub(super) fn format(now: Option<i64>, format: &str) -> Result<String, Error> {
    let refuse = |detail: String| Error::new(ErrorKind::InvalidOperation, detail);
    let time: NaiveDateTime = match now {
        Some(seconds) => DateTime::from_timestamp(seconds, 0)
            .ok_or_else(|| refuse(format!("{seconds} s since 1970 is not a date")))?
            .naive_utc(),
        None => Local::now().naive_local(),
    };
    let mut text = String::new();
    // Formatting is the only place where chrono reports a format that it does not know.
    write!(text, "{}", time.format(format))
        .map_err(|_| refuse(format!("strftime_now does not know the format {format:?}")))?;
    Ok(text)
}
