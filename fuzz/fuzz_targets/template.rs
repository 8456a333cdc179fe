//! A chat template and a conversation: it renders or is refused, twice alike.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use slm_core::{ChatTemplate, Message, Role};

#[derive(Debug, Arbitrary)]
struct Input {
    turns: Vec<(u8, String)>,
    open: bool,
    /// Last, so that a seed that is plain text ends up here.
    source: String,
}

const ROLES: [Role; 4] = [Role::System, Role::User, Role::Assistant, Role::Tool];

fuzz_target!(|input: Input| {
    let Ok(template) = ChatTemplate::new(&input.source, "<s>", "</s>") else { return };
    let messages: Vec<Message> = input
        .turns
        .into_iter()
        .map(|(role, text)| Message::new(ROLES[usize::from(role) % 4], text))
        .collect();
    let first = template.render(&messages, input.open);
    let second = template.render(&messages, input.open);
    match (first, second) {
        (Ok(a), Ok(b)) => assert_eq!(a, b),
        (Err(_), Err(_)) => {}
        (a, b) => panic!("{a:?} and then {b:?}"),
    }
});
