//! Ways to a better answer: models around models. A request that forces the call of a tool goes to the inner model as it is.

mod chain_of_thought;
mod compare;
mod decompose;
mod self_consistency;
mod split;

pub use chain_of_thought::ChainOfThought;
pub use decompose::{Decompose, DecomposeConfig, Planner};
pub use self_consistency::{SelfConsistency, SelfConsistencyConfig};
use slm_core::{ChatRequest, ChatResponse, Message, Role, Usage};
pub use split::split_question;

/// The same request with the last user turn replaced.
fn with_question(request: &ChatRequest, question: String) -> ChatRequest {
    let mut request = request.clone();
    match request.messages.iter_mut().rev().find(|message| message.role == Role::User) {
        Some(message) => message.content = question,
        None => request.messages.push(Message::user(question)),
    }
    request
}

/// What several answers took together.
#[derive(Debug, Default)]
struct Spent {
    usage: Usage,
    cost: Option<f64>,
}

impl Spent {
    fn add(&mut self, response: &ChatResponse) {
        self.usage += response.usage;
        if let Some(cost) = response.cost {
            *self.cost.get_or_insert(0.0) += cost;
        }
    }

    fn book(self, response: ChatResponse) -> ChatResponse {
        ChatResponse { usage: self.usage, cost: self.cost, ..response }
    }
}
