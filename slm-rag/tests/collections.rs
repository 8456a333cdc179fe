//! Collections on servers against those of this machine. `tools/postgres_server.sh` starts a PostgreSQL server and names it in
//! `SLM_POSTGRES`, `tools/qdrant_server.sh` one with Qdrant's interface in `SLM_QDRANT`; a server that is not named is not
//! compared, and the tests say so.

mod common;

use std::sync::{Arc, Mutex};

use common::{Bag, Chance, Says, pages};
use slm_core::{ChatRequest, FinishReason, LanguageModel};
use slm_data::Document;
use slm_rag::retrieve::SharedEmbedder;
use slm_rag::{
    Collection, Error, ExtractiveConfig, ExtractiveModel, Filter, Fusion, GroundedConfig, GroundedModel, Hit,
    Index, IndexConfig, LocalCollection, Metadata, Precision, RetrieveConfig, SearchMode, Store,
    VectorConfig,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
type Opened = slm_rag::Result<Box<dyn Collection + Send>>;

/// How a collection is opened.
#[derive(Clone)]
struct Settings {
    name: String,
    config: IndexConfig,
    embedder: Option<SharedEmbedder>,
    way: RetrieveConfig,
    mean_length: f64,
}

impl Settings {
    fn new(name: &str, embedder: Option<SharedEmbedder>) -> Self {
        let (config, way) = (config(), RetrieveConfig::default());
        Self { name: name.to_owned(), config, embedder, way, mean_length: 10.0 }
    }
}

/// Opens a collection at an address.
type Open = fn(&str, Settings) -> Opened;

/// A server, where one is named.
struct Server {
    address: String,
    open: Open,
    /// Where none is.
    nowhere: &'static str,
}

impl Server {
    fn open(&self, settings: Settings) -> Opened {
        (self.open)(&self.address, settings)
    }
}

/// The servers, without a collection of this name.
fn servers(name: &str) -> Outcome<Vec<Server>> {
    let mut servers = Vec::new();
    #[cfg(feature = "postgres")]
    servers.extend(postgres_server::find(name)?);
    #[cfg(feature = "qdrant")]
    servers.extend(qdrant_server::find(name)?);
    if servers.is_empty() {
        println!("no server: {name} is not compared");
    }
    Ok(servers)
}

#[cfg(feature = "postgres")]
mod postgres_server {
    use slm_rag::PostgresCollection;

    use super::{Opened, Outcome, Server, Settings};

    pub(crate) fn find(name: &str) -> Outcome<Option<Server>> {
        let Ok(address) = std::env::var("SLM_POSTGRES") else {
            println!("SLM_POSTGRES names no server");
            return Ok(None);
        };
        let mut client = postgres::Client::connect(&address, postgres::NoTls)?;
        for table in ["terms", "chunks", "documents", "about"] {
            client.batch_execute(&format!("DROP TABLE IF EXISTS {name}_{table} CASCADE"))?;
        }
        Ok(Some(Server { address, open, nowhere: "host=127.0.0.1 port=1 user=none" }))
    }

    fn open(address: &str, settings: Settings) -> Opened {
        let Settings { name, config, embedder, way, .. } = settings;
        Ok(Box::new(PostgresCollection::open(address, &name, &config, embedder)?.with_config(way)?))
    }
}

#[cfg(feature = "qdrant")]
mod qdrant_server {
    use slm_rag::{Qdrant, QdrantCollection};

    use super::{Opened, Outcome, Server, Settings};

    pub(crate) fn find(name: &str) -> Outcome<Option<Server>> {
        let Ok(address) = std::env::var("SLM_QDRANT") else {
            println!("SLM_QDRANT names no server");
            return Ok(None);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Qdrant::from_url(&address).skip_compatibility_check().build()?;
        runtime.block_on(client.delete_collection(name))?;
        Ok(Some(Server { address, open, nowhere: "http://127.0.0.1:1" }))
    }

    fn open(address: &str, settings: Settings) -> Opened {
        let Settings { name, config, embedder, way, mean_length } = settings;
        let server = Qdrant::from_url(address);
        let opened = QdrantCollection::open(server, &name, &config, mean_length, embedder)?;
        Ok(Box::new(opened.with_config(way)?))
    }
}

fn config() -> IndexConfig {
    let vectors = VectorConfig { precision: Precision::Float32, ..VectorConfig::default() };
    IndexConfig { vectors, ..IndexConfig::default() }
}

fn documents() -> Vec<(Document, Metadata)> {
    let mut chance = Chance(5);
    let subjects = ["pump", "valve", "brake", "dome", "mirror", "motor", "cable", "grease"];
    let page = |n: usize| {
        let mut some = || subjects[chance.below(8) as usize];
        let text =
            format!("# The {}\n\nCheck the {} of the {}. It is œuvre number {n}.\n", some(), some(), some());
        let team = if n.is_multiple_of(2) { "east" } else { "west" };
        let metadata: Metadata =
            [("team".to_owned(), team.into()), ("year".to_owned(), (2000.0 + n as f64).into())].into();
        (Document { id: format!("made/{n}.md"), text }, metadata)
    };
    let made: Vec<_> = (0..40).map(page).collect();
    pages().into_iter().map(|page| (page, Metadata::new())).chain(made).collect()
}

/// Source, start, end and text.
type Place<'a> = (&'a str, usize, usize, &'a str);

/// What was found where, in the order of the places, and the scores, which differ by rounding.
fn found(hits: &[Hit]) -> (Vec<Place<'_>>, Vec<f64>) {
    let mut sorted: Vec<&Hit> = hits.iter().collect();
    sorted.sort_by_key(|hit| (hit.chunk.source.clone(), hit.chunk.start));
    sorted
        .into_iter()
        .map(|Hit { chunk, text, score, .. }| {
            ((chunk.source.as_str(), chunk.start, chunk.end, text.as_str()), score)
        })
        .unzip()
}

fn filters() -> [Filter; 7] {
    let west = || Filter::equals("team", "west");
    [
        Filter::Any,
        Filter::under("made/1"),
        west(),
        Filter::all([west(), Filter::at_least("year", 2010.0), Filter::at_most("year", 2030.0)]),
        Filter::one_of([Filter::under("dome"), Filter::not(west())]),
        Filter::not(Filter::at_most("team", 3.0)),
        Filter::at_least("year", f64::INFINITY),
    ]
}

/// Documents that were put, replaced and deleted.
fn change(collection: &mut dyn Collection) -> slm_rag::Result<()> {
    collection.put(&documents())?;
    let again = |text: &str| (Document { id: "made/7.md".into(), text: text.into() }, Metadata::new());
    // The last of one name counts.
    collection.put(&[again("One.\n\nTwo."), again("The pump was replaced by a brake.")])?;
    collection.delete(&["made/8.md", "visits.md", "none"])?;
    collection.put(&[])?;
    collection.delete(&[])
}

const QUERIES: [&str; 6] =
    ["How is the brake freed?", "valve of the pump", "dome dome mirror", "œuvre", "nothing such", ""];

#[test]
fn servers_find_what_a_store_of_this_machine_finds() -> Outcome {
    let embedder: SharedEmbedder = Arc::new(Bag);
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), &config())?;
    change(&mut LocalCollection::new(store.clone(), Some(embedder.clone()), RetrieveConfig::default()))?;
    let mean_length = store.index()?.mean_length();
    let places = Fusion::ReciprocalRank { constant: 60.0 };
    let default = RetrieveConfig::default;
    let ways = [
        default(),
        RetrieveConfig { mode: SearchMode::Words, ..default() },
        RetrieveConfig { mode: SearchMode::Vectors, ..default() },
        RetrieveConfig { fusion: places, ..default() },
    ];
    for server in servers("parity")? {
        let settings = Settings { mean_length, ..Settings::new("parity", Some(embedder.clone())) };
        change(server.open(settings.clone())?.as_mut())?;
        for way in &ways {
            let mut here = LocalCollection::new(store.clone(), Some(embedder.clone()), way.clone());
            let mut there = server.open(Settings { way: way.clone(), ..settings.clone() })?;
            for (query, filter) in QUERIES.into_iter().flat_map(|query| filters().map(|f| (query, f))) {
                compare(&mut here, there.as_mut(), query, &filter, way.fusion != places).map_err(
                    |error| format!("{}: {way:?}: {query:?}: {filter:?}: {error}", server.address),
                )?;
            }
        }
        let (mut here, mut there) =
            (LocalCollection::new(store.clone(), None, default()), server.open(settings)?);
        for hit in there.search("brake", 9, &Filter::Any)? {
            let document = there.document(&hit.chunk.source)?.ok_or("a source that does not exist")?;
            assert_eq!(document.text.get(hit.chunk.range()), Some(hit.text.as_str()));
        }
        assert_eq!(there.document("made/8.md")?, None);
        assert_eq!(there.document("made/9.md")?, here.document("made/9.md")?);
        assert_eq!(there.stemming(), here.stemming());
        let terms = ["brake", "dome", "neverseen"].map(String::from);
        for (own, other) in here.rarity(&terms)?.into_iter().zip(there.rarity(&terms)?) {
            assert!((own - other).abs() < 1e-5, "{own} {other}");
        }
    }
    Ok(())
}

/// All that is found, so that no border cuts between equal scores. By places equal scores have other places, so there only
/// what is found is compared.
fn compare(
    here: &mut dyn Collection,
    there: &mut dyn Collection,
    query: &str,
    filter: &Filter,
    with_scores: bool,
) -> Outcome {
    let (own, other) = (here.search(query, 99, filter)?, there.search(query, 99, filter)?);
    let ((places, scores), (others, other_scores)) = (found(&own), found(&other));
    if places != others {
        return Err(format!("expected {places:?}, got {others:?}").into());
    }
    for (score, other) in scores.iter().zip(&other_scores).filter(|_| with_scores) {
        if (score - other).abs() > 1e-5 {
            return Err(format!("expected {score}, got {other}").into());
        }
    }
    let is_sorted = other.windows(2).all(|two| two[0].score > two[1].score - 1e-6);
    if is_sorted { Ok(()) } else { Err("not in order".into()) }
}

#[test]
fn names_of_fields_may_be_anything() -> Outcome {
    let odd = ["a.b", "a b", "\"quoted\"", "[0]", "ä%22", ""];
    for server in servers("odd")? {
        let mut collection = server.open(Settings::new("odd", None))?;
        for (n, field) in odd.iter().enumerate() {
            let document = Document { id: format!("{n}"), text: "One valve.".into() };
            collection.put(&[(document, [((*field).to_owned(), (n as f64).into())].into())])?;
        }
        for (n, field) in odd.iter().enumerate() {
            let hits = collection.search("valve", 9, &Filter::equals(*field, n as f64))?;
            assert_eq!(hits.len(), 1, "{}: {field:?}", server.address);
            assert_eq!(hits[0].chunk.source, format!("{n}"));
        }
        assert!(collection.search("valve", 9, &Filter::one_of([]))?.is_empty());
        assert_eq!(collection.search("valve", 9, &Filter::all([]))?.len(), odd.len());
    }
    Ok(())
}

#[test]
fn models_answer_from_any_collection() -> Outcome {
    let folder = tempfile::tempdir()?;
    let local = LocalCollection::new(Store::open(folder.path(), &config())?, None, RetrieveConfig::default());
    let mut collections: Vec<Box<dyn Collection + Send>> = vec![Box::new(local)];
    for server in servers("answers")? {
        collections.push(server.open(Settings::new("answers", None))?);
    }
    let index = Arc::new(Index::build(&pages(), &config())?);
    let question = ChatRequest::question("What does error D403 mean?");
    let expected = ExtractiveModel::new(Arc::clone(&index), ExtractiveConfig::default())?.chat(&question)?;
    let says = || Says::new("It means that a brake is stuck [1]. Wait 20 seconds [1].");
    let grounded = GroundedModel::new(index, says(), GroundedConfig::default())?.chat(&question)?;
    assert!(expected.text.contains("brake") && grounded.text == "It means that a brake is stuck [1].");
    for mut collection in collections {
        collection.put(&pages().into_iter().map(|page| (page, Metadata::new())).collect::<Vec<_>>())?;
        let shared = Arc::new(Mutex::new(collection));
        let extractive = ExtractiveModel::new(Arc::clone(&shared), ExtractiveConfig::default())?;
        assert_eq!(extractive.chat(&question)?, expected);
        let model = GroundedModel::new(Arc::clone(&shared), says(), GroundedConfig::default())?;
        assert_eq!(model.chat(&question)?, grounded);
        // What is written later counts for the next question.
        shared.lock().map_err(|_| "a panic")?.delete(&["dome.md"])?;
        assert_eq!(extractive.chat(&question)?.finish_reason, FinishReason::Abstained);
        assert_eq!(extractive.document("dome.md")?, None);
    }
    Ok(())
}

/// Fails at every text.
struct Failing;

impl slm_core::Embedder for Failing {
    fn dimension(&self) -> usize {
        Bag.dimension()
    }

    fn embed(&self, _: &[&str]) -> slm_core::Result<Vec<Vec<f32>>> {
        Err(slm_core::Error::model("failing", "no more"))
    }
}

#[test]
fn a_failure_changes_nothing_and_another_configuration_is_refused() -> Outcome {
    for server in servers("failing")? {
        let bag = || Settings::new("failing", Some(Arc::new(Bag)));
        let text = |text: &str| [(Document { id: "a".into(), text: text.into() }, Metadata::new())];
        server.open(bag())?.put(&text("One valve."))?;
        let mut failing = server.open(Settings { embedder: Some(Arc::new(Failing)), ..bag() })?;
        assert!(matches!(failing.put(&text("Two pumps.")), Err(Error::Model(_))));
        let mut collection = server.open(bag())?;
        assert_eq!(collection.document("a")?.map(|d| d.text), Some("One valve.".to_owned()));
        assert_eq!(collection.search("valve", 3, &Filter::Any)?.len(), 1);
        let other = IndexConfig { k1: 2.0, ..config() };
        let refused = server.open(Settings { config: other, ..bag() });
        assert!(matches!(refused, Err(Error::Config { field: "config", .. })));
        let bare = server.open(Settings { embedder: None, ..bag() });
        assert!(matches!(bare, Err(Error::Config { field: "embedder", .. })));
        let quoted = server.open(Settings { name: "x; DROP TABLE y".into(), ..bag() });
        assert!(matches!(quoted, Err(Error::Config { field: "name", .. })));
        let nowhere = (server.open)(server.nowhere, bag()).err().ok_or("a server that does not exist")?;
        assert!(nowhere.to_string().contains("failed"), "{nowhere}");
    }
    Ok(())
}

#[test]
fn several_write_and_read_at_once() -> Outcome {
    for server in servers("busy")? {
        let open = || server.open(Settings::new("busy", None));
        open()?;
        std::thread::scope(|scope| {
            let write = |own: usize| {
                move || -> slm_rag::Result<()> {
                    let mut collection = open()?;
                    for n in 0..10 {
                        let id = format!("{own}/{n}");
                        let document = Document { id, text: format!("Valve {n} of {own}.") };
                        collection.put(&[(document, Metadata::new())])?;
                        // Each search sees whole documents: one chunk for each.
                        let hits = collection.search("valve", 99, &Filter::under(format!("{own}/")))?;
                        assert_eq!(hits.len(), n + 1);
                    }
                    Ok(())
                }
            };
            let writers: Vec<_> = (0..3).map(|own| scope.spawn(write(own))).collect();
            for writer in writers {
                writer.join().map_err(|_| "a writer panicked")??;
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
        assert_eq!(open()?.search("valve", 99, &Filter::Any)?.len(), 30);
    }
    Ok(())
}
