//! Rules on `Cargo.toml` files.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::repository::Repository;

/// What each crate may use.
pub(crate) type Allowed = BTreeMap<String, BTreeSet<String>>;

/// The import table of a document: the rows under `| crate | may use |`, names in backticks.
pub(crate) fn table(document: &str) -> Allowed {
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = document.lines().skip_while(|line| line.trim() != "| crate | may use |").skip(2);
    let allowed: Allowed = rows
        .map_while(|row| row.trim().strip_prefix('|')?.split_once('|'))
        .filter_map(|(name, uses)| Some((names(name).pop()?, names(uses).into_iter().collect())))
        .collect();
    assert!(!allowed.is_empty(), "the document has no table | crate | may use |");
    allowed
}

/// A package: its folder (empty for the root) and its manifest.
fn packages(repository: &Repository) -> Vec<(String, Table)> {
    let manifests = repository.files.iter().filter_map(|file| {
        let folder = file.path.strip_suffix("Cargo.toml")?;
        let manifest: Table = match file.text.parse() {
            Ok(manifest) => manifest,
            Err(error) => panic!("{}: {error}", file.path),
        };
        manifest.contains_key("package").then(|| (folder.to_owned(), manifest))
    });
    manifests.collect()
}

fn name(manifest: &Table) -> &str {
    manifest["package"].get("name").and_then(Value::as_str).unwrap_or("(without a name)")
}

/// Uses that the table does not allow, and packages that it does not know or that do not exist.
pub(crate) fn forbidden(repository: &Repository, allowed: &Allowed) -> Vec<String> {
    let packages = packages(repository);
    let ours: BTreeSet<&str> = packages.iter().map(|(_, manifest)| name(manifest)).collect();
    let mut found: Vec<String> = allowed
        .keys()
        .filter(|row| !ours.contains(row.as_str()))
        .map(|row| format!("{row}, which is no package,"))
        .collect();
    for (_, manifest) in &packages {
        let Some(row) = allowed.get(name(manifest)) else {
            found.push(format!("{}, which has no row in the table,", name(manifest)));
            continue;
        };
        for (section, used) in uses(manifest) {
            let for_tests =
                section.ends_with("dev-dependencies") && matches!(used.as_str(), "burn" | "slm-kernels");
            let matters = used == "burn" || ours.contains(used.as_str());
            if matters && !row.contains(&used) && !for_tests {
                found.push(format!("{} ({used} in [{section}])", name(manifest)));
            }
        }
    }
    found
}

/// Section and name of each dependency, also those of one platform; burn's own crates count as burn.
fn uses(manifest: &Table) -> Vec<(String, String)> {
    let mut places: Vec<(String, &Table)> = vec![(String::new(), manifest)];
    for (platform, value) in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
        places.extend(value.as_table().map(|t| (format!("target.{platform}."), t)));
    }
    let mut found = Vec::new();
    for (prefix, place) in places {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in place.get(section).and_then(Value::as_table).into_iter().flatten() {
                // A dependency may be renamed; its package counts.
                let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
                let package = if package.starts_with("burn-") { "burn" } else { package };
                found.push((format!("{prefix}{section}"), package.to_owned()));
            }
        }
    }
    found
}

/// Fields that packages lack: what a registry shows, and a README beside the manifest.
pub(crate) fn undescribed(repository: &Repository) -> Vec<String> {
    let exists = |path: &str| repository.files.iter().any(|f| f.path == path);
    let mut found = Vec::new();
    for (folder, manifest) in packages(repository) {
        let package = &manifest["package"];
        let mut missing: Vec<&str> =
            ["description", "license"].into_iter().filter(|field| package.get(field).is_none()).collect();
        let readme = package.get("readme").and_then(Value::as_str).unwrap_or("README.md");
        if !exists(&format!("{folder}{readme}")) {
            missing.push("README.md");
        }
        found.extend(missing.into_iter().map(|field| format!("{} ({field})", name(&manifest))));
    }
    found
}
