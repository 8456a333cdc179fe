//! Collections on a PostgreSQL server against those of this machine. `tools/postgres_server.sh` starts a server and names it
//! in `SLM_POSTGRES`; without it there is nothing to compare, and the tests say so.

mod common;

use std::sync::Arc;

use common::{Bag, Chance, pages};
use slm_data::Document;
use slm_rag::retrieve::SharedEmbedder;
use slm_rag::{
    Collection, Error, Filter, Fusion, Hit, IndexConfig, LocalCollection, Metadata, PostgresCollection,
    Precision, RetrieveConfig, SearchMode, Store, VectorConfig,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The server, and an empty collection of this name.
fn server(name: &str) -> Outcome<Option<String>> {
    let Ok(address) = std::env::var("SLM_POSTGRES") else {
        println!("SLM_POSTGRES names no server: nothing is compared");
        return Ok(None);
    };
    let mut client = postgres::Client::connect(&address, postgres::NoTls)?;
    for table in ["terms", "chunks", "documents", "about"] {
        client.batch_execute(&format!("DROP TABLE IF EXISTS {name}_{table} CASCADE"))?;
    }
    Ok(Some(address))
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

fn filters() -> [Filter; 6] {
    let west = || Filter::equals("team", "west");
    [
        Filter::Any,
        Filter::under("made/1"),
        west(),
        Filter::all([west(), Filter::at_least("year", 2010.0), Filter::at_most("year", 2030.0)]),
        Filter::one_of([Filter::under("dome"), Filter::not(west())]),
        Filter::not(Filter::at_most("team", 3.0)),
    ]
}

#[test]
fn it_finds_what_a_store_of_this_machine_finds() -> Outcome {
    let Some(address) = server("parity")? else { return Ok(()) };
    let embedder: SharedEmbedder = Arc::new(Bag);
    let folder = tempfile::tempdir()?;
    let places = Fusion::ReciprocalRank { constant: 60.0 };
    let ways = [
        RetrieveConfig::default(),
        RetrieveConfig { mode: SearchMode::Words, ..RetrieveConfig::default() },
        RetrieveConfig { mode: SearchMode::Vectors, ..RetrieveConfig::default() },
        RetrieveConfig { fusion: places, mode: SearchMode::Words, ..RetrieveConfig::default() },
    ];
    let store = Store::open(folder.path(), &config())?;
    for (n, way) in ways.into_iter().enumerate() {
        let mut here = LocalCollection::new(store.clone(), Some(embedder.clone()), way.clone());
        let mut there = PostgresCollection::open(&address, "parity", &config(), Some(embedder.clone()))?
            .with_config(way)?;
        if n == 0 {
            for collection in [&mut here as &mut dyn Collection, &mut there] {
                collection.put(&documents())?;
                let again =
                    Document { id: "made/7.md".into(), text: "The pump was replaced by a brake.".into() };
                collection.put(&[(again, Metadata::new())])?;
                collection.delete(&["made/8.md", "visits.md", "none"])?;
            }
        }
        for query in
            ["How is the brake freed?", "valve of the pump", "dome dome mirror", "œuvre", "nothing such", ""]
        {
            for filter in filters() {
                // All of them, so that no border cuts between equal scores.
                let (own, other) = (here.search(query, 99, &filter)?, there.search(query, 99, &filter)?);
                let ((places, scores), (others, other_scores)) = (found(&own), found(&other));
                assert_eq!(places, others, "{query} {filter:?}");
                for (score, other) in scores.iter().zip(&other_scores) {
                    assert!((score - other).abs() < 1e-6, "{query} {filter:?}: {score} {other}");
                }
                assert!(other.windows(2).all(|two| two[0].score > two[1].score - 1e-6), "{query} {filter:?}");
            }
        }
        for hit in there.search("brake", 9, &Filter::Any)? {
            let document = there.document(&hit.chunk.source)?.ok_or("a source that does not exist")?;
            assert_eq!(document.text.get(hit.chunk.range()), Some(hit.text.as_str()));
        }
        assert_eq!(there.document("made/8.md")?, None);
        assert_eq!(there.document("made/9.md")?, here.document("made/9.md")?);
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
    let Some(address) = server("failing")? else { return Ok(()) };
    let open =
        |embedder: SharedEmbedder| PostgresCollection::open(&address, "failing", &config(), Some(embedder));
    let text = |text: &str| [(Document { id: "a".into(), text: text.into() }, Metadata::new())];
    open(Arc::new(Bag))?.put(&text("One valve."))?;
    assert!(matches!(open(Arc::new(Failing))?.put(&text("Two pumps.")), Err(Error::Model(_))));
    let mut collection = open(Arc::new(Bag))?;
    assert_eq!(collection.document("a")?.map(|d| d.text), Some("One valve.".to_owned()));
    assert_eq!(collection.search("valve", 3, &Filter::Any)?.len(), 1);
    let other = IndexConfig { k1: 2.0, ..config() };
    let refused = PostgresCollection::open(&address, "failing", &other, Some(Arc::new(Bag)));
    assert!(matches!(refused, Err(Error::Config { field: "config", .. })));
    let bare = PostgresCollection::open(&address, "failing", &config(), None);
    assert!(matches!(bare, Err(Error::Config { field: "embedder", .. })));
    let quoted = PostgresCollection::open(&address, "x; DROP TABLE y", &config(), None);
    assert!(matches!(quoted, Err(Error::Config { field: "name", .. })));
    let nowhere = PostgresCollection::open("host=127.0.0.1 port=1 user=none", "x", &config(), None);
    assert!(matches!(nowhere, Err(Error::Postgres(_))));
    Ok(())
}

#[test]
fn several_write_and_read_at_once() -> Outcome {
    let Some(address) = server("busy")? else { return Ok(()) };
    let open = || PostgresCollection::open(&address, "busy", &IndexConfig::default(), None);
    open()?;
    std::thread::scope(|scope| {
        let write = |own: usize| {
            move || -> slm_rag::Result<()> {
                let mut collection = open()?;
                for n in 0..10 {
                    let id = format!("{own}/{n}");
                    collection
                        .put(&[(Document { id, text: format!("Valve {n} of {own}.") }, Metadata::new())])?;
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
    Ok(())
}
