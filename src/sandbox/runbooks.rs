//! Runbooks to retrieve from: one Markdown page per fault, and questions whose answer is one sentence.

use slm_data::Document;

use super::dice::Dice;
use super::logs::{FAULTS, Fault};
use super::runbook_pages::{PAGES, Page};

/// One Markdown page per entry of [`FAULTS`], in that order: title, symptoms, steps, escalation.
pub fn runbooks() -> Vec<Document> {
    pages().map(|(fault, page)| Document { id: id(fault), text: markdown(fault, page) }).collect()
}

/// Three questions per page, in random order: the question, the id of the page, and the sentence of that
/// page which answers it, verbatim.
pub fn runbook_questions(seed: u64) -> Vec<(String, String, String)> {
    let mut dice = Dice::new(seed, 50);
    let mut questions = Vec::new();
    for (fault, page) in pages() {
        let by_code =
            dice.pick(&["What is the first step for error {}?", "What do I do first when I see {}?"]);
        questions.push((by_code.replace("{}", fault.code), id(fault), page.steps[0].to_owned()));
        questions.extend(
            page.questions
                .map(|(question, step)| (question.to_owned(), id(fault), page.steps[step].to_owned())),
        );
    }
    dice.shuffle(&mut questions);
    questions
}

fn pages() -> impl Iterator<Item = (&'static Fault, &'static Page)> {
    PAGES.iter().filter_map(|page| Some((FAULTS.iter().find(|fault| fault.code == page.code)?, page)))
}

fn id(fault: &Fault) -> String {
    format!("runbooks/{}.md", fault.code)
}

fn markdown(fault: &Fault, page: &Page) -> String {
    let steps: Vec<String> = (1..).zip(page.steps).map(|(n, step)| format!("{n}. {step}")).collect();
    format!(
        "# {} ({})\n\nSeverity: {}. Action: `{}`.\n\n## Symptoms\n\n{}\n\n## Steps\n\n{}\n\n## Escalation\n\n{}\n",
        page.title,
        fault.code,
        fault.severity,
        fault.action,
        page.symptoms,
        steps.join("\n"),
        page.escalation,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_a_page_of_80_to_150_words() {
        let documents = runbooks();
        let ids: Vec<String> = FAULTS.iter().map(id).collect();
        assert_eq!(documents.iter().map(|d| d.id.clone()).collect::<Vec<_>>(), ids);
        let words: Vec<usize> = documents.iter().map(|d| d.text.split_whitespace().count()).collect();
        println!("runbooks: words {words:?}");
        assert!(words.iter().all(|n| (80..=150).contains(n)), "{words:?}");
    }

    #[test]
    fn pages_state_the_policy() {
        for (document, fault) in runbooks().iter().zip(&FAULTS) {
            for fact in [fault.code, fault.severity, fault.action] {
                assert!(document.text.contains(fact), "{}: {fact}", document.id);
            }
        }
    }

    #[test]
    fn expected_sentences_stand_in_their_page_and_in_no_other() {
        let documents = runbooks();
        let questions = runbook_questions(1);
        assert_eq!(questions.len(), 36);
        for (question, id, sentence) in &questions {
            let holders: Vec<&str> =
                documents.iter().filter(|d| d.text.contains(sentence)).map(|d| d.id.as_str()).collect();
            assert_eq!(holders, [id.as_str()], "{question}");
            assert!(sentence.ends_with('.') && !sentence.trim_end_matches('.').contains(". "), "{sentence}");
        }
        let distinct: BTreeSet<&str> = questions.iter().map(|(question, _, _)| question.as_str()).collect();
        assert_eq!(distinct.len(), questions.len());
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(runbook_questions(3), runbook_questions(3));
        assert_ne!(runbook_questions(3), runbook_questions(4));
    }
}
