//! Adapters by request, and models that change under way.

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use slm_serve::{App, Registry, ServeConfig};
use support::{get, post, serve_app};

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A configuration with one adapter or none.
fn write(file: &Path, adapter: bool) {
    let model = golden("slm-core/tests/goldens/llama");
    let mut text = format!(
        "listen = \"127.0.0.1:0\"\n[[models]]\nkind = \"local\"\nname = \"tiny\"\npath = {model:?}\n"
    );
    if adapter {
        let adapter = golden("slm-lora/tests/goldens/llama-lora/start");
        text += &format!("adapters = [{{ name = \"tuned\", path = {adapter:?} }}]\n");
    }
    std::fs::write(file, text).expect("it is written");
}

fn complete(address: std::net::SocketAddr, model: &str) -> Value {
    let prompt = [3, 1, 4, 1, 5];
    let body = json!({"model": model, "prompt": prompt, "max_tokens": 1, "logprobs": 5});
    let reply = post(address, "/v1/completions", &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

#[test]
fn adapters_are_chosen_by_name_and_come_by_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("serve.toml");
    write(&file, false);
    let config = ServeConfig::load(&file).expect("it is understood");
    let app = App::new(&config, Registry::load(&config).expect("it loads")).with_source(&file);
    let server = serve_app(&config, app);
    let address = server.address;
    let plain = complete(address, "tiny");
    let missing = post(address, "/v1/completions", &json!({"model": "tuned", "prompt": "a"}));
    assert_eq!(missing.status, 404);

    write(&file, true);
    // Requests go on while the models are replaced.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut answered = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(complete(address, "tiny")["choices"], plain["choices"]);
                answered += 1;
            }
            answered
        });
        for _ in 0..3 {
            let reply = post(address, "/v1/reload", &json!({}));
            assert_eq!(reply.status, 200, "{}", reply.body);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(busy.join().expect("every request is answered") > 0);
    });
    let models = get(address, "/v1/models").json();
    let tuned = models["data"].as_array().and_then(|all| all.iter().find(|m| m["id"] == "tuned"));
    assert_eq!(tuned.expect("it is listed")["parent"], "tiny");
    let adapted = complete(address, "tuned");
    assert_ne!(adapted["choices"][0]["logprobs"], plain["choices"][0]["logprobs"]);
    assert!(adapted["slm"]["adapter_hash"].is_string());
    // Both at once, each as alone.
    std::thread::scope(|scope| {
        for name in ["tiny", "tuned", "tiny", "tuned"] {
            let expected = if name == "tiny" { &plain } else { &adapted };
            scope.spawn(move || assert_eq!(complete(address, name)["choices"], expected["choices"]));
        }
    });

    std::fs::write(&file, "models = 3").expect("it is written");
    assert_eq!(post(address, "/v1/reload", &json!({})).status, 500);
    assert_eq!(complete(address, "tuned")["choices"], adapted["choices"], "the old models stay");
}

#[test]
fn what_a_configuration_gets_wrong_is_named() {
    let check = |text: &str, part: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("serve.toml");
        std::fs::write(&file, text).expect("it is written");
        let error = match ServeConfig::load(&file) {
            Err(error) => error.to_string(),
            Ok(config) => Registry::load(&config).expect_err("it does not load").to_string(),
        };
        assert!(error.contains(part), "{error}");
    };
    let local = |name: &str| format!("[[models]]\nkind = \"local\"\nname = \"{name}\"\npath = \"x\"\n");
    check("", "nothing to serve");
    check("listen = 3", "line 1");
    check(&(local("a") + &local("a")), "\"a\" is given twice");
    check(&(local("a") + "unknown = 1"), "unknown");
    check(&format!("listen = \"0.0.0.0:80\"\n{}", local("a")), "there is no key");
    check(&format!("[[keys]]\nname = \"k\"\nsha256 = \"12\"\n{}", local("a")), "64 hexadecimal");
    check(&format!("[limits]\nmax_tokens = 0\n{}", local("a")), "limits.max_tokens");
    check(&local("a"), "x");
    let router = "[[models]]\nkind = \"router\"\nname = \"r\"\nroutes = []\nlarger = \"nobody\"\n";
    check(router, "\"nobody\" is none of those above it");
}
