//! Answers as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use slm_core::Usage;
use tokio::sync::mpsc::{UnboundedReceiver, channel};
use tokio_stream::wrappers::ReceiverStream;

use super::run::{Outcome, Piece};

/// The chunks that an endpoint makes of what comes.
pub(super) trait Frames: Send + Sync {
    /// Before all text.
    fn begin(&self) -> Vec<Value>;
    /// For a piece of text of the answer `index`.
    fn text(&self, index: usize, text: &str) -> Value;
    /// For a piece of its thoughts.
    fn reasoning(&self, index: usize, text: &str) -> Value;
    /// When the answer `index` is finished.
    fn done(&self, index: usize, outcome: &Outcome) -> Vec<Value>;
    /// After all answers.
    fn end(&self, usages: &[Usage]) -> Vec<Value>;
    /// How many answers there are.
    fn answers(&self) -> usize;
}

/// Chunks that may lie between a model and a slow reader.
const AHEAD: usize = 64;

/// Sends `first` and what follows it. When the client leaves, `pieces` is dropped, which cancels the answers.
pub(super) fn event_stream(
    mut pieces: UnboundedReceiver<Piece>,
    first: Piece,
    frames: Box<dyn Frames>,
) -> Response {
    let (sender, receiver) = channel::<Result<Event, Infallible>>(AHEAD);
    tokio::spawn(async move {
        let mut next = Some(first);
        let mut usages = Vec::new();
        let mut ready = frames.begin();
        loop {
            for value in ready.drain(..) {
                if sender.send(Ok(Event::default().data(value.to_string()))).await.is_err() {
                    return;
                }
            }
            if usages.len() == frames.answers() {
                break;
            }
            let piece = match next.take() {
                Some(piece) => Some(piece),
                None => tokio::select! {
                    piece = pieces.recv() => piece,
                    () = sender.closed() => return,
                },
            };
            match piece {
                Some(Piece::Text(index, text)) => ready.push(frames.text(index, &text)),
                Some(Piece::Reasoning(index, text)) => ready.push(frames.reasoning(index, &text)),
                Some(Piece::Done(index, result)) => match *result {
                    Ok(outcome) => {
                        ready = frames.done(index, &outcome);
                        usages.push(outcome.response.usage);
                        if usages.len() == frames.answers() {
                            ready.extend(frames.end(&usages));
                        }
                    }
                    Err(error) => {
                        let _ = sender.send(Ok(Event::default().data(error.body().to_string()))).await;
                        return;
                    }
                },
                None => return,
            }
        }
        let _ = sender.send(Ok(Event::default().data("[DONE]"))).await;
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(ReceiverStream::new(receiver)).keep_alive(alive).into_response()
}
