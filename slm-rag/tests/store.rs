//! A store that is written, read meanwhile, damaged, and killed.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use common::{Bag, Chance, pages};
use slm_data::Document;
use slm_rag::{Error, Hit, Index, IndexConfig, Metadata, Store};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn document(id: &str, text: &str) -> Document {
    Document { id: id.into(), text: text.into() }
}

/// What a search finds, without the numbers of chunks, which depend on the history.
fn found(hits: &[Hit]) -> Vec<(String, String, String)> {
    let mut found: Vec<_> = hits
        .iter()
        .map(|hit| (format!("{:.9}", hit.score), hit.chunk.source.clone(), hit.text.clone()))
        .collect();
    found.sort();
    found
}

#[test]
fn after_any_history_it_finds_what_a_new_index_would() -> Outcome {
    const WORDS: [&str; 12] = [
        "valve", "pump", "filter", "rotor", "gauge", "stator", "bolt", "seal", "shaft", "motor", "relay",
        "fuse",
    ];
    let folder = tempfile::tempdir()?;
    let config = IndexConfig::default();
    let store = Store::open(folder.path(), &config)?;
    let bag = Bag;
    let mut writer = store.writer(Some(&bag))?;
    let mut model: BTreeMap<String, String> = BTreeMap::new();
    let mut chance = Chance(7);
    for _ in 0..60 {
        for _ in 0..=chance.below(5) {
            let id = format!("d{}", chance.below(40));
            if chance.below(4) == 0 {
                writer.delete(&id);
                model.remove(&id);
            } else {
                let words = (0..=chance.below(30)).map(|_| WORDS[chance.below(12) as usize]);
                let text = words.collect::<Vec<_>>().join(" ") + ".";
                writer.put(document(&id, &text))?;
                model.insert(id, text);
            }
        }
        writer.commit()?;
        let index = store.index()?;
        let documents: Vec<Document> = model.iter().map(|(id, text)| document(id, text)).collect();
        let mut ids: Vec<&str> = index.documents().collect();
        ids.sort_unstable();
        assert_eq!(ids, documents.iter().map(|d| d.id.as_str()).collect::<Vec<_>>());
        if documents.is_empty() {
            continue;
        }
        let fresh = Index::build_with_vectors(&documents, &config, &bag)?;
        assert_eq!(index.chunk_count(), fresh.chunk_count());
        for query in ["valve pump", "fuse", "motor relay seal bolt"] {
            assert_eq!(found(&index.search(query, 99)?), found(&fresh.search(query, 99)?), "{query}");
            let vector = Bag::vector(query);
            assert_eq!(found(&index.nearest(&vector, 99)?), found(&fresh.nearest(&vector, 99)?), "{query}");
        }
    }
    let segments = |folder: &Path| -> Outcome<usize> {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names: Vec<String> = names.collect::<Outcome<_>>()?;
        assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
        Ok(names.iter().filter(|name| name.ends_with(".segment")).count())
    };
    assert!(segments(folder.path())? < 24, "small segments are not merged");
    let before = found(&store.index()?.search("valve pump", 99)?);
    writer.compact()?;
    assert_eq!(segments(folder.path())?, 1);
    assert_eq!(found(&store.index()?.search("valve pump", 99)?), before);
    store.verify()?;
    Ok(())
}

#[test]
fn what_is_not_committed_does_not_count() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), &IndexConfig::default())?;
    assert_eq!(store.index()?.chunk_count(), 0);
    assert!(store.index()?.search("anything", 3)?.is_empty());
    {
        let mut writer = store.writer(None)?;
        writer.put(document("a", "One valve."))?;
    }
    assert_eq!(store.index()?.chunk_count(), 0);
    let mut writer = store.writer(None)?;
    writer.put_with(document("a", "One valve."), Metadata::from([("year".into(), 2024.0.into())]))?;
    writer.commit()?;
    let old = store.index()?;
    writer.put(document("a", "Two pumps."))?;
    writer.commit()?;
    assert_eq!((old.search("valve", 3)?.len(), store.index()?.search("valve", 3)?.len()), (1, 0));
    assert_eq!(old.document("a")?.map(|d| d.text), Some("One valve.".into()), "a reader keeps what it had");
    assert_eq!(old.metadata("a").and_then(|m| m.get("year")).cloned(), Some(2024.0.into()));
    writer.put(document("a", "Three seals."))?;
    writer.delete("a");
    writer.commit()?;
    assert_eq!(store.index()?.documents().count(), 0, "a deletion after a put counts");
    Ok(())
}

#[test]
fn one_writes_and_many_read() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), &IndexConfig::default())?;
    let mut writer = store.writer(None)?;
    let other = Store::open_existing(folder.path())?;
    let refused = other.writer(None).map(drop).err().ok_or("two writers")?;
    assert!(matches!(refused, Error::Locked { .. }), "{refused}");
    thread::scope(|scope| -> Outcome {
        // Each reader opens the folder anew, as another process would.
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| -> Result<usize, Error> {
                    let mut last = 0;
                    while last < 60 {
                        let index = Store::open_existing(folder.path())?.index()?;
                        let seen = index.documents().count();
                        assert!(seen >= last, "{seen} after {last}");
                        assert_eq!(index.search("valve", 99)?.len(), seen);
                        last = seen;
                    }
                    Ok(last)
                })
            })
            .collect();
        for n in 0..60 {
            writer.put(document(&format!("d{n}"), &format!("Valve number {n}.")))?;
            writer.commit()?;
        }
        for reader in readers {
            assert_eq!(reader.join().map_err(|_| "a reader panicked")??, 60);
        }
        Ok(())
    })?;
    assert_eq!(other.index()?.documents().count(), 60);
    drop(writer);
    assert!(other.writer(None).is_ok(), "the lock ends with the writer");
    Ok(())
}

#[test]
#[cfg(unix)]
fn a_lock_does_not_outlive_its_writer_in_children() -> Outcome {
    // Children come and go while stores are opened: one that was just forked holds all open files for a moment.
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = std::process::Command::new("true").current_dir(".").status();
            }
        });
        let opened = (0..200).try_for_each(|_| {
            let folder = tempfile::tempdir()?;
            let store = Store::open(folder.path(), &IndexConfig::default())?;
            drop(store.writer(None)?);
            store.writer(None).map(drop).map_err(Into::into)
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        opened
    })
}

/// Fails from the given call on.
struct Failing(std::sync::atomic::AtomicUsize);

impl slm_core::Embedder for Failing {
    fn dimension(&self) -> usize {
        Bag.dimension()
    }

    fn embed(&self, texts: &[&str]) -> slm_core::Result<Vec<Vec<f32>>> {
        if self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 {
            return Err(slm_core::Error::model("failing", "no more"));
        }
        Bag.embed(texts)
    }
}

#[test]
fn a_failed_commit_changes_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), &IndexConfig::default())?;
    let failing = Failing(0.into());
    let mut writer = store.writer(Some(&failing))?;
    writer.put(document("a", "One valve."))?;
    writer.commit()?;
    writer.put(document("a", "Two pumps."))?;
    assert!(matches!(writer.commit(), Err(Error::Model(_))));
    writer.delete("none");
    writer.commit()?;
    assert_eq!(
        store.index()?.search("valve", 3)?.len(),
        1,
        "the failed commit deleted what it was to replace"
    );
    drop(writer);
    let refused = store.writer(None).map(drop).err().ok_or("vectors are missing, and nobody was told")?;
    assert!(refused.to_string().contains("no vectors"), "{refused}");
    Ok(())
}

#[test]
fn damage_is_reported_and_another_configuration_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let config = IndexConfig::default();
    let store = Store::open(folder.path(), &config)?;
    let mut writer = store.writer(None)?;
    for page in pages() {
        writer.put(page)?;
    }
    writer.commit()?;
    drop(writer);
    let other = IndexConfig { k1: 2.0, ..config.clone() };
    assert!(matches!(Store::open(folder.path(), &other), Err(Error::Config { .. })));
    for name in ["manifest", "00000000.segment"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path)?;
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged)?;
            let opened = Store::open_existing(folder.path()).and_then(|store| store.verify());
            let error = opened.err().ok_or_else(|| format!("{name}: byte {at} was not noticed"))?;
            assert!(matches!(error, Error::Format { .. }), "{error}");
            assert!(error.to_string().contains(name) && error.to_string().contains("hint: "), "{error}");
        }
        fs::write(&path, &whole)?;
    }
    Store::open_existing(folder.path())?.verify()?;
    fs::remove_file(folder.path().join("00000000.segment"))?;
    assert!(matches!(Store::open_existing(folder.path()), Err(Error::Io { .. })));
    Ok(())
}

#[test]
fn what_is_whole_of_a_damaged_store_is_kept() -> Outcome {
    let folder = tempfile::tempdir()?;
    let config = IndexConfig::default();
    let store = Store::open(folder.path(), &config)?;
    let mut writer = store.writer(None)?;
    for n in 0..20 {
        writer.put_with(
            document(&format!("d{n}"), &format!("Valve number {n}.")),
            [("n".to_owned(), f64::from(n).into())].into(),
        )?;
    }
    writer.commit()?;
    writer.delete("d3");
    writer.put(document("d4", "A pump instead of it."))?;
    writer.commit()?;
    drop((writer, store));
    let manifest = fs::read(folder.path().join("manifest"))?;
    let segment = folder.path().join("00000000.segment");
    let whole = fs::read(&segment)?;

    // A letter of one text: that document is lost, the others are not.
    let at = whole.windows(16).position(|bytes| bytes == b"Valve number 17.").ok_or("no text")?;
    let mut damaged = whole.clone();
    damaged[at] = b'W';
    fs::write(&segment, &damaged)?;
    let (store, rebuilt) = Store::rebuild(folder.path(), &config, None)?;
    assert_eq!((rebuilt.documents, rebuilt.deletions_known), (18, true));
    assert_eq!(
        (rebuilt.lost_documents.as_slice(), rebuilt.lost_files.len()),
        (["d17".to_owned()].as_slice(), 0)
    );
    store.verify()?;
    let index = store.index()?;
    assert!(index.document("d3")?.is_none() && index.document("d17")?.is_none());
    assert_eq!(index.document("d4")?.map(|d| d.text), Some("A pump instead of it.".to_owned()));
    assert_eq!(index.metadata("d9"), Some(&[("n".to_owned(), 9.0.into())].into()));
    assert_eq!(index.search("valve", 99)?.len(), 17);
    drop((index, store));

    // No manifest, and a part that only a search needs: texts are there, deletions are forgotten.
    fs::write(&segment, &whole)?;
    fs::write(folder.path().join("manifest"), &manifest[..manifest.len() - 1])?;
    assert!(matches!(Store::open(folder.path(), &config), Err(Error::Format { .. })));
    let (store, rebuilt) = Store::rebuild(folder.path(), &config, Some(&Bag))?;
    assert_eq!((rebuilt.documents, rebuilt.deletions_known), (20, false));
    assert!(store.index()?.dimension().is_some(), "embedded anew");
    Store::open_existing(folder.path())?.verify()?;
    fs::write(folder.path().join("99999999.segment"), b"nothing")?;
    fs::remove_file(folder.path().join("manifest"))?;
    let (_, rebuilt) = Store::rebuild(folder.path(), &config, None)?;
    assert_eq!((rebuilt.documents, rebuilt.lost_files.len()), (20, 1));
    Ok(())
}

const CHILD: &str = "SLM_RAG_CHILD";

/// Writes to the store that the environment names until it is killed. Not a test of its own: without the variable it
/// only says that there is nothing to do.
#[test]
fn child_that_is_killed() -> Outcome {
    let Some(folder) = env::var_os(CHILD) else {
        return Ok(());
    };
    let store = Store::open(Path::new(&folder), &IndexConfig::default())?;
    let mut writer = store.writer(None)?;
    let start = state(&*store.index()?)?.map_or(0, |n| n + 1);
    for n in start.. {
        // Two documents that must change together, one that comes and goes, one more each time.
        writer.put(document("left", &format!("state {n}")))?;
        writer.put(document("right", &format!("state {n}")))?;
        writer.put(document(&format!("n{}", n % 50), &format!("entry {n}")))?;
        writer.delete(&format!("n{}", (n + 25) % 50));
        writer.commit()?;
        println!("\ncommitted {n}");
    }
    Ok(())
}

/// The number of the last commit, which everything in the store must agree with.
fn state(index: &Index) -> Outcome<Option<u64>> {
    let of = |id: &str| -> Outcome<Option<u64>> {
        let document = index.document(id)?;
        Ok(document.map(|d| d.text.trim_start_matches("state ").parse()).transpose()?)
    };
    let (left, right) = (of("left")?, of("right")?);
    assert_eq!(left, right, "half a commit");
    if let Some(n) = left {
        let entry =
            index.document(&format!("n{}", n % 50))?.ok_or("the entry of the last commit is missing")?;
        assert_eq!(entry.text, format!("entry {n}"));
        assert!(index.document(&format!("n{}", (n + 25) % 50))?.is_none(), "a deletion was lost");
        assert_eq!(index.search(&format!("state {n}"), 2)?.len(), 2);
    }
    Ok(left)
}

#[test]
fn killed_at_any_moment_it_loses_nothing_acknowledged() -> Outcome {
    // `SLM_KILLS` asks for more.
    let kills: u64 = env::var("SLM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let folder = tempfile::tempdir()?;
    let mut chance = Chance(11);
    let (mut acknowledged, mut beyond) = (None, 0);
    for kill in 0..kills {
        let mut child = Command::new(env::current_exe()?)
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let reader = thread::spawn(move || -> Option<u64> {
            let numbers =
                lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("committed ")?.parse().ok());
            numbers.last()
        });
        thread::sleep(Duration::from_micros(5_000 + chance.below(40_000)));
        child.kill()?;
        child.wait()?;
        acknowledged = reader.join().map_err(|_| "the reader panicked")?.or(acknowledged);
        if kill == 0 && acknowledged.is_none() && !folder.path().join("manifest").exists() {
            continue;
        }
        let store = Store::open(folder.path(), &IndexConfig::default())?;
        store.verify()?;
        let found = state(&*store.index()?)?;
        assert!(found >= acknowledged, "{acknowledged:?} was acknowledged, {found:?} is there");
        assert!(found <= Some(acknowledged.map_or(0, |n| n + 1)), "{found:?} after {acknowledged:?}");
        beyond += u64::from(found > acknowledged);
        acknowledged = found;
    }
    println!("{kills} kills, last state {acknowledged:?}, {beyond} between commit and word of it");
    assert!(acknowledged.is_some(), "the child never committed");
    Ok(())
}
