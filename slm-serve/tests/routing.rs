//! Routers by vectors and triage, from a configuration file, through HTTP.

mod support;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Value, json};
use slm_core::generate::{PrefillState, StatePooling};
use slm_core::nn::KvCacheType;
use slm_core::{Embedder, LocalModel, TextEncoder};
use slm_router::{Calibration, IntentConfig, IntentDetector, Outcome, OutcomeConfig, OutcomeRouter, Sample};
use slm_serve::{Registry, ServeConfig};
use support::{Served, ask, base, post, serve};

const LOANS: [&str; 2] = ["Is book B-{} on loan?", "Extend the loan of book B-{}."];
const TYRES: [&str; 2] = ["Order tyres for car {}.", "Which tyres fit car {}?"];
const OTHER: [&str; 4] = ["Why is the sky {}?", "Sing {} songs.", "Boil {} eggs.", "How hot is star {}?"];

fn encoder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/encoder-mean")
}

type Texts = Vec<(String, Vec<f32>)>;

fn minilm() -> Box<dyn Embedder> {
    Box::new(TextEncoder::load(&encoder(), &Device::flex()).expect("the encoder loads"))
}

/// The states of the model that answers.
fn states() -> Box<dyn Embedder> {
    let base = LocalModel::load(&base(), &Device::flex()).expect("the base loads");
    Box::new(PrefillState::new(base, StatePooling::Last).with_kv_cache(KvCacheType::F16))
}

/// Sixty texts of some forms, and their vectors.
fn texts(forms: &[&str], first: usize, encoder: &dyn Embedder) -> Texts {
    let all: Vec<String> =
        (first..first + 60).map(|n| forms[n % forms.len()].replace("{}", &n.to_string())).collect();
    let vectors = encoder.embed(&all.iter().map(String::as_str).collect::<Vec<_>>()).expect("vectors");
    all.into_iter().zip(vectors).collect()
}

fn samples(texts: &Texts) -> Vec<Sample<'_>> {
    texts.iter().map(|(text, vector)| Sample { vector, text }).collect()
}

/// A detector of both intents, calibrated to one stranger in ten.
fn detector(path: &Path, encoder: &dyn Embedder) {
    let (loans, tyres) = (texts(&LOANS, 0, encoder), texts(&TYRES, 0, encoder));
    let all: Vec<Sample<'_>> = [samples(&loans), samples(&tyres)].concat();
    let intents = [vec!["loans"; 60], vec!["tyres"; 60]].concat();
    let mut detector = IntentDetector::fit(&all, &intents, &IntentConfig::default()).expect("a detector");
    let held = texts(&[LOANS, TYRES].concat(), 100, encoder);
    let strangers = texts(&OTHER, 100, encoder);
    let calibration = Calibration { max_false_accept: 0.1 };
    detector.calibrate(&samples(&held), &samples(&strangers), &calibration).expect("a threshold");
    detector.save(path).expect("it is written");
}

/// A router that foresees that extensions are too hard for the first model.
fn gains(path: &Path) {
    let loans = texts(&LOANS, 0, minilm().as_ref());
    let outcome = |sample: &Sample<'static>| Outcome {
        sample: *sample,
        local_is_right: !sample.text.starts_with("Extend"),
        larger_is_right: true,
    };
    let loans: &'static Texts = Box::leak(Box::new(loans));
    let outcomes: Vec<Outcome<'_>> = samples(loans).iter().map(outcome).collect();
    let mut router = OutcomeRouter::fit(&outcomes, &OutcomeConfig::default()).expect("a router");
    router.calibrate_quality(&outcomes, 1.0).expect("a threshold");
    router.save(path).expect("it is written");
}

/// Two models and an embedder, and `more` in the configuration's file.
fn written(folder: &Path, more: &str) -> PathBuf {
    let (base, encoder) = (base(), encoder());
    let text = format!(
        "listen = \"127.0.0.1:0\"\n\
         [[embedders]]\nname = \"encoder\"\npath = {encoder:?}\n\
         [[models]]\nkind = \"local\"\nname = \"books\"\npath = {base:?}\n\
         [[models]]\nkind = \"local\"\nname = \"cars\"\npath = {base:?}\n{more}"
    );
    let file = folder.join("serve.toml");
    std::fs::write(&file, text).expect("it is written");
    file
}

fn asked(served: &Served, question: &str) -> Value {
    let mut body = ask(question);
    body["model"] = "auto".into();
    let reply = post(served.address, "/v1/chat/completions", &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

#[test]
fn questions_go_where_their_vectors_lead() {
    let folder = tempfile::tempdir().expect("a folder");
    detector(&folder.path().join("intents.json"), minilm().as_ref());
    let more = r#"
        [[models]]
        kind = "router"
        name = "auto"
        routes = [
          { model = "books", detector = "intents.json", embedder = "encoder", intents = ["loans"] },
          { model = "cars", detector = "intents.json", embedder = "encoder", intents = ["tyres"] },
        ]
    "#;
    let config = ServeConfig::load(&written(folder.path(), more)).expect("it is understood");
    let served = serve(&config);
    for (question, route) in [
        ("Is book B-207 on loan?", "books"),
        ("Which tyres fit car 212?", "cars"),
        ("Why is the sky 200?", "nobody"),
    ] {
        let reply = asked(&served, question);
        assert_eq!(reply["slm"]["route"], route, "{question}");
        assert_eq!(reply["slm"]["abstained"], route == "nobody");
        assert_eq!(reply["slm"]["kind"], "router");
    }
    for (wrong, part) in [
        (more.replace("\"encoder\"", "\"other\""), "there is none of the name \"other\""),
        (more.replace("[\"loans\"]", "[\"poems\"]"), "no intent \"poems\""),
        (more.replace("embedder = \"encoder\", ", ""), "name the `embedder`"),
        (more.replace("intents.json", "nothing.json"), "nothing.json"),
    ] {
        let config = ServeConfig::load(&written(folder.path(), &wrong)).expect("it is understood");
        let error = Registry::load(&config).expect_err("it does not load").to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn one_decision_is_made_on_each_question() {
    let folder = tempfile::tempdir().expect("a folder");
    detector(&folder.path().join("intents.json"), minilm().as_ref());
    gains(&folder.path().join("gains.json"));
    let more = r#"
        [[models]]
        kind = "triage"
        name = "auto"
        model = "books"
        embedder = "encoder"
        domain = { detector = "intents.json", otherwise = "abstain" }
        actions = [{ action = "escalate", model = "cars", router = "gains.json" }]
        abstain_text = "Not my subject."
    "#;
    let config = ServeConfig::load(&written(folder.path(), more)).expect("it is understood");
    let served = serve(&config);
    for (question, route, model) in [
        ("Is book B-8 on loan?", "answer", "books"),
        ("Extend the loan of book B-9.", "escalate", "cars"),
        ("Why is the sky 200?", "abstain", "triage"),
    ] {
        let reply = asked(&served, question);
        assert_eq!(
            (&reply["slm"]["route"], &reply["slm"]["model"]),
            (&route.into(), &model.into()),
            "{question}"
        );
        let text = reply["choices"][0]["message"]["content"].as_str().expect("a text");
        assert_eq!(text == "Not my subject.", route == "abstain", "{text}");
    }
    let more = more.replace("\"abstain\"", "\"retrieve\"");
    let config = ServeConfig::load(&written(folder.path(), &more)).expect("it is understood");
    let error = Registry::load(&config).expect_err("it does not load").to_string();
    assert!(error.contains("no model of `actions` does \"retrieve\""), "{error}");
}

#[test]
fn the_model_that_answers_says_by_its_state_whose_question_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    detector(&folder.path().join("intents.json"), states().as_ref());
    let more = r#"
        [[models]]
        kind = "router"
        name = "auto"
        routes = [
          { model = "books", detector = "intents.json", embedder = "states", intents = ["loans"] },
          { model = "cars", detector = "intents.json", embedder = "states", intents = ["tyres"] },
        ]
        [[embedders]]
        name = "states"
        model = "books"
        pooling = "last"
    "#;
    let config = ServeConfig::load(&written(folder.path(), more)).expect("it is understood");
    let served = serve(&config);
    for (question, route) in [("Is book B-207 on loan?", "books"), ("Which tyres fit car 212?", "cars")] {
        assert_eq!(asked(&served, question)["slm"]["route"], route, "{question}");
    }
    let body = json!({"model": "states", "input": "Is book B-207 on loan?"});
    let reply = post(served.address, "/v1/embeddings", &body).json();
    assert_eq!(reply["data"][0]["embedding"].as_array().map(Vec::len), Some(states().dimension()));
    assert!(reply["usage"]["prompt_tokens"].as_u64().is_some_and(|n| n > 5), "{reply}");
    for (wrong, part) in [
        (
            more.replace("model = \"books\"\n        pooling", "model = \"auto\"\n        pooling"),
            "no local model",
        ),
        (more.replace("model = \"books\"\n        pooling", "pooling"), "expected one of"),
        (more.replace("model = \"books\"\n        pooling", "path = \"x\"\n        pooling"), "has its own"),
    ] {
        let error =
            ServeConfig::load(&written(folder.path(), &wrong)).expect_err("it is refused").to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// A model that is made of others passes on that a tool has to be called.
#[test]
fn a_tool_is_called_through_triage() {
    let folder = tempfile::tempdir().expect("a folder");
    let calling = folder.path().join("calling");
    std::fs::create_dir(&calling).expect("a folder");
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(base().join(file), calling.join(file)).expect("it is copied");
    }
    let template = "{#- <tool_call> #}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>";
    std::fs::write(calling.join("chat_template.jinja"), template).expect("it is written");
    let more = r#"
        [[models]]
        kind = "local"
        name = "calling"
        path = "calling"
        [[models]]
        kind = "triage"
        name = "auto"
        model = "calling"
        embedder = "encoder"
    "#;
    let config = ServeConfig::load(&written(folder.path(), more)).expect("it is understood");
    let served = serve(&config);
    let mut body = ask("How warm is it in Rome?");
    body["model"] = "auto".into();
    body["max_tokens"] = 100.into();
    body["tools"] = json!([{"type": "function", "function": {"name": "weather"}}]);
    body["tool_choice"] = "required".into();
    body["tools"][0]["function"]["parameters"] = json!({
        "type": "object", "properties": {"place": {"type": "string", "maxLength": 6}},
        "required": ["place"], "additionalProperties": false,
    });
    let reply = post(served.address, "/v1/chat/completions", &body).json();
    let choice = &reply["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{reply}");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "weather", "{reply}");
    assert_eq!(reply["slm"]["route"], "answer", "{reply}");
}
