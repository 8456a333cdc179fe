//! A few pages about a small observatory, written for these tests.

#![allow(dead_code, reason = "each test uses a part")]

use std::ops::ControlFlow;
use std::sync::Mutex;

use slm_core::{ChatRequest, ChatResponse, FinishReason, LanguageModel, Usage};
use slm_data::Document;

pub(crate) fn pages() -> Vec<Document> {
    [
        (
            "dome.md",
            "# Dome (D-12)\n\nThe dome shields the telescope from wind and rain.\n\n## Opening\n\n\
             1. Switch the motor to manual.\n2. Open the shutter at a wind speed below 40 km/h.\n\
             3. Lock both brakes before the telescope moves.\n\n## Faults\n\n\
             Error D403 means that a brake is stuck. Release it with the red lever, then wait 90 seconds.\n",
        ),
        (
            "camera.md",
            "# Camera (C-7)\n\nThe camera is cooled to -80 degrees.\n\n## Cooling\n\n\
             Cool the sensor down by at most 2 degrees per minute. Faster cooling cracks the window.\n\n\
             ## Storage\n\nPictures are kept on the archive server for ten years. The disk of the camera is \
             emptied every Monday.\n",
        ),
        (
            "visits.md",
            "# Visits\n\nVisitors are welcome on Friday evenings. A guided tour costs 5 euros and lasts one hour.\n\n\
             Groups of more than twelve must book two weeks ahead. Children below six enter for free.\n",
        ),
    ]
    .map(|(id, text)| Document { id: id.into(), text: text.into() })
    .into()
}

/// An embedder of words: each has one of 64 places.
pub(crate) struct Bag;

impl Bag {
    pub(crate) fn vector(text: &str) -> Vec<f32> {
        let mut vector = vec![0.0_f32; 64];
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let hash = word
                .to_lowercase()
                .bytes()
                .fold(7_u64, |h, b| h.wrapping_mul(131).wrapping_add(u64::from(b)));
            vector[(hash % 61) as usize] += 1.0;
        }
        vector[63] += 0.01;
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter().map(|x| x / norm).collect()
    }
}

impl slm_core::Embedder for Bag {
    fn dimension(&self) -> usize {
        64
    }

    fn embed(&self, texts: &[&str]) -> slm_core::Result<Vec<Vec<f32>>> {
        Ok(texts.iter().map(|text| Self::vector(text)).collect())
    }
}

/// A model that says one thing and keeps what it was asked.
pub(crate) struct Says {
    pub(crate) text: String,
    pub(crate) finish_reason: FinishReason,
    pub(crate) asked: Mutex<Vec<ChatRequest>>,
}

impl Says {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), finish_reason: FinishReason::Stop, asked: Mutex::default() }
    }

    pub(crate) fn asked(&self) -> Vec<ChatRequest> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

impl LanguageModel for Says {
    fn name(&self) -> &str {
        "says"
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(request.clone());
        }
        let _ = on_text(&self.text);
        let usage = Usage { prompt_tokens: 90, completion_tokens: 9 };
        let (model, text) = ("says".to_owned(), self.text.clone());
        Ok(ChatResponse::new(text, model, self.finish_reason, usage))
    }
}

/// A small generator with a fixed start: what it gives is the same on every machine.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}
