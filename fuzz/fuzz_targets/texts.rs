//! Any text: repairs settle, findings lie within it, and judgements do not change from one time to the next.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slm_data::{
    C4Rules, CleanConfig, CurateConfig, Example, GopherRules, PiiKind, Switch, clean_text, curate, find_pii,
};

fuzz_target!(|text: &str| {
    let all = CleanConfig {
        mojibake: Switch::On,
        unicode: Switch::On,
        markup: Switch::On,
        boilerplate: Switch::On,
    };
    let _ = clean_text(text, &all);
    let kinds = PiiKind::ALL.into_iter().collect();
    let mut end = 0;
    for found in find_pii(text, &kinds) {
        assert!(found.start >= end && found.start < found.end, "{found:?} before {end}");
        assert!(text.get(found.start..found.end).is_some(), "{found:?} in {text:?}");
        end = found.end;
    }
    let rules = GopherRules { min_words: 3, ..GopherRules::default() };
    assert_eq!(rules.check(text), rules.check(text));
    let _ = C4Rules::default().check(text);
    let rows = vec![Example::pair(text, text, "a"), Example::pair("Why?", text, "b")];
    let curated = curate(rows, &[], &CurateConfig::default()).expect("the default settings are in range");
    assert_eq!(curated.kept.len() + curated.dropped.len(), 2);
});
