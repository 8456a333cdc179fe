//! Words that tell what a request is like.

/// Words that ask.
pub(crate) const QUESTION_WORDS: &[&str] =
    &["who", "whom", "whose", "what", "which", "when", "where", "why", "how"];

/// Words that open a clause on something named before.
pub(crate) const RELATIVES: &[&str] = &["that", "which", "who", "whom", "whose", "where"];

/// Words that put facts in relation.
pub(super) const CONNECTIVES: &[&str] = &[
    "after", "before", "between", "both", "during", "either", "if", "least", "less", "longer", "more",
    "most", "of", "older", "same", "since", "than", "until", "while", "younger",
];

/// Words that turn a statement around or make an exception.
pub(super) const NEGATIONS: &[&str] =
    &["cannot", "except", "excluding", "false", "never", "no", "nobody", "none", "nor", "not", "without"];

/// Commands to do something to a text.
pub(super) const TRANSFORMS: &[&str] = &[
    "categorise",
    "categorize",
    "classify",
    "convert",
    "correct",
    "extract",
    "fill",
    "fix",
    "format",
    "label",
    "list",
    "normalise",
    "normalize",
    "paraphrase",
    "parse",
    "proofread",
    "rephrase",
    "rewrite",
    "shorten",
    "summarise",
    "summarize",
    "tag",
    "translate",
];

/// Commands to say something at length.
pub(super) const OPEN: &[&str] = &[
    "analyse",
    "analyze",
    "argue",
    "brainstorm",
    "compare",
    "compose",
    "create",
    "critique",
    "describe",
    "design",
    "discuss",
    "draft",
    "elaborate",
    "evaluate",
    "explain",
    "generate",
    "imagine",
    "invent",
    "plan",
    "propose",
    "recommend",
    "suggest",
    "why",
    "write",
];
