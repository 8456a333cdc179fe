//! Stop strings across token borders.

/// Holds back the end of the text for as long as it might begin a stop string.
#[derive(Debug)]
pub(super) struct StopBuffer {
    stops: Vec<String>,
    text: String,
    emitted: usize,
}

impl StopBuffer {
    pub(super) fn new(stops: Vec<String>) -> Self {
        Self { stops, text: String::new(), emitted: 0 }
    }

    /// Adds text; returns what is certain to stay, and whether a stop string ended the text.
    pub(super) fn push(&mut self, piece: &str) -> (String, bool) {
        self.text.push_str(piece);
        // What was handed out begins no stop string.
        let open = self.text.get(self.emitted..).unwrap_or_default();
        let first = self.stops.iter().filter(|s| !s.is_empty()).filter_map(|s| open.find(s.as_str())).min();
        if let Some(at) = first {
            self.text.truncate(self.emitted + at);
            return (self.take(self.text.len()), true);
        }
        let held = self.stops.iter().map(|s| overlap(&self.text, s)).max().unwrap_or(0);
        (self.take(self.text.len() - held), false)
    }

    /// Adds the last text and returns all that was held back.
    pub(super) fn finish(&mut self, piece: &str) -> String {
        let (mut ready, stopped) = self.push(piece);
        if !stopped {
            ready.push_str(&self.take(self.text.len()));
        }
        ready
    }

    pub(super) fn into_text(mut self) -> String {
        self.text.truncate(self.emitted);
        self.text
    }

    fn take(&mut self, end: usize) -> String {
        let ready = self.text.get(self.emitted..end).unwrap_or_default().to_owned();
        self.emitted = self.emitted.max(end);
        ready
    }
}

/// Bytes at the end of `text` that begin `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(i, _)| i).filter(|i| *i > 0);
    ends.filter(|i| text.ends_with(&stop[..*i])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, String) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut buffer = StopBuffer::new(stops);
        let mut out = Vec::new();
        for piece in pieces {
            let (ready, stopped) = buffer.push(piece);
            out.push(ready);
            if stopped {
                return (out, buffer.into_text());
            }
        }
        out.push(buffer.finish(""));
        (out, buffer.into_text())
    }

    #[test]
    fn a_stop_string_split_over_pieces_never_shows() {
        let (pieces, text) = run(&["<end>"], &["one <", "en", "d> two"]);
        assert_eq!(text, "one ");
        assert_eq!(pieces.concat(), "one ");
    }

    #[test]
    fn a_false_start_is_released() {
        let (pieces, text) = run(&["<end>"], &["a <", "b>", " é"]);
        assert_eq!(text, "a <b> é");
        assert_eq!(pieces, ["a ", "<b>", " é", ""]);
    }

    #[test]
    fn the_earliest_stop_wins() {
        assert_eq!(run(&["zz", "b"], &["abczz"]).1, "a");
    }
}
