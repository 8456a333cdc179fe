//! Questions that the domain expert should hand on: everyday topics, and near misses about computers.

use super::dice::Dice;
use super::topics::{CALIBRATION, NEAR_CALIBRATION, NEAR_TEST, TEST, Topic};

/// Which half of the topics to ask about. The halves share no topic, so that a threshold set on one is
/// tested on subjects that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OffDomain {
    /// Cooking, sport, history, small talk, maths, music, garden; web and programming languages.
    Calibration,
    /// Travel, medicine, poems, science, animals, money, home; office, tools and machines.
    Test,
}

impl OffDomain {
    fn topics(self) -> &'static [Topic] {
        match self {
            Self::Calibration => CALIBRATION,
            Self::Test => TEST,
        }
    }

    /// The names of the everyday topics.
    pub fn topic_names(self) -> Vec<&'static str> {
        self.topics().iter().map(|topic| topic.name).collect()
    }
}

/// Up to `n` different questions of one half; as different as possible for every `n`.
///
/// Templates take turns, so the first questions (about eighty) are of as many templates, the near misses
/// among them. Fewer than `n` come back where the tables are exhausted (beyond some 200).
pub fn off_domain_questions(split: OffDomain, n: usize, seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed, 30);
    let mut stacks: Vec<Vec<String>> = split
        .topics()
        .iter()
        .flat_map(|topic| topic.templates.iter().map(|template| expand(template, topic.fillers)))
        .chain(near_off_domain_questions(split).into_iter().map(|question| vec![question.to_owned()]))
        .collect();
    for stack in &mut stacks {
        dice.shuffle(stack);
    }
    let mut questions = Vec::with_capacity(n);
    while questions.len() < n && !stacks.is_empty() {
        dice.shuffle(&mut stacks);
        questions.extend(stacks.iter_mut().filter_map(Vec::pop).take(n - questions.len()));
        stacks.retain(|stack| !stack.is_empty());
    }
    questions
}

/// The 15 questions of one half that are about computers and still no triage: "How do I centre a div?".
pub fn near_off_domain_questions(split: OffDomain) -> Vec<&'static str> {
    match split {
        OffDomain::Calibration => NEAR_CALIBRATION.to_vec(),
        OffDomain::Test => NEAR_TEST.to_vec(),
    }
}

fn expand(template: &str, fillers: &[&str]) -> Vec<String> {
    if !template.contains("{}") {
        return vec![template.to_owned()];
    }
    fillers.iter().map(|filler| template.replace("{}", filler)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const ALL: usize = 10_000;

    #[test]
    fn equal_seeds_ask_equally() {
        for split in [OffDomain::Calibration, OffDomain::Test] {
            assert_eq!(off_domain_questions(split, 90, 1), off_domain_questions(split, 90, 1));
            assert_ne!(off_domain_questions(split, 90, 1), off_domain_questions(split, 90, 2));
        }
    }

    #[test]
    fn halves_share_neither_topic_nor_question() {
        let names = |split: OffDomain| split.topic_names().into_iter().collect::<BTreeSet<_>>();
        assert!(names(OffDomain::Calibration).is_disjoint(&names(OffDomain::Test)));
        let all = |split| off_domain_questions(split, ALL, 0).into_iter().collect::<BTreeSet<_>>();
        let (calibration, test) = (all(OffDomain::Calibration), all(OffDomain::Test));
        assert!(calibration.is_disjoint(&test));
        println!("off-domain supply: {} and {}", calibration.len(), test.len());
        assert!(calibration.len() >= 200 && test.len() >= 200);
        assert_eq!(calibration.len(), off_domain_questions(OffDomain::Calibration, ALL, 0).len());
    }

    #[test]
    fn there_are_at_least_120_templates_and_30_near_misses() {
        let templates: usize = CALIBRATION.iter().chain(TEST).map(|topic| topic.templates.len()).sum();
        let near = NEAR_CALIBRATION.len() + NEAR_TEST.len();
        println!("off-domain templates: {templates} and {near} near misses");
        assert!(templates >= 120 && near == 30);
    }

    #[test]
    fn the_first_questions_are_of_different_templates() {
        let questions = off_domain_questions(OffDomain::Test, 60, 4);
        let starts = |prefix: &str| questions.iter().filter(|q| q.starts_with(prefix)).count();
        assert_eq!(questions.len(), 60);
        assert!(starts("Write a haiku about") <= 1 && starts("Do I need a visa for") <= 1);
        assert!(questions.iter().all(|q| !q.contains(['{', '}']) && q.split(' ').count() <= 16));
    }
}
