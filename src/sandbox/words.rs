//! The words and punctuation of the general tasks.

pub(super) const NAMES: &[&str] = &[
    "Ana", "Ben", "Cid", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jan", "Kim", "Leo", "Mia", "Nils",
    "Olga", "Pia", "Rosa", "Sam", "Tom", "Una", "Vera", "Will", "Yara", "Zoe",
];
const CITIES: &[&str] =
    &["Oslo", "Rome", "Paris", "Cairo", "Lima", "Tokyo", "Delhi", "Bonn", "Quito", "Turin", "Porto", "Riga"];
const FOODS: &[&str] =
    &["rice", "soup", "bread", "fish", "salad", "cheese", "apples", "noodles", "beans", "cake"];
const PETS: &[&str] = &["a cat", "a dog", "a horse", "a parrot", "a rabbit", "a goat", "a turtle", "a hen"];
const JOBS: &[&str] =
    &["baker", "nurse", "pilot", "teacher", "farmer", "painter", "driver", "lawyer", "cook"];
pub(super) const COLORS: &[&str] = &["red", "blue", "green", "black", "white", "yellow", "brown", "grey"];
/// Relation as stated, question about it, and its objects.
pub(super) const RELATIONS: &[(&str, &str, &[&str])] = &[
    ("{} lives in", "Where does {} live?", CITIES),
    ("{} eats", "What does {} eat?", FOODS),
    ("{} has", "What does {} have?", PETS),
    ("{} works as a", "What is the job of {}?", JOBS),
    ("{} likes the color", "Which color does {} like?", COLORS),
];
/// Everyday and technical words, so that the base has read and written the words that the domain's lines
/// and answers are made of: an adapter does not train embeddings.
pub(super) const WORDS: &[&str] = &[
    "lamp",
    "river",
    "stone",
    "cloud",
    "garden",
    "window",
    "paper",
    "train",
    "disk",
    "memory",
    "request",
    "login",
    "table",
    "jobs",
    "worker",
    "config",
    "replica",
    "volume",
    "failed",
    "after",
    "used",
    "user",
    "high",
    "low",
    "medium",
    "critical",
    "severity",
    "action",
    "service",
    "storage",
    "auth",
    "billing",
    "gateway",
    "search",
    "queue",
    "cache",
    "mailer",
    "error",
    "clean",
    "restart",
    "retry",
    "block",
    "scale",
    "host",
    "code",
    "later",
    "out",
    "fix",
    "raise",
    "limit",
    "renew",
    "cert",
    "kill",
    "query",
    "resync",
    "switch",
    "dns",
    "roll",
    "back",
    "ip",
    "certificate",
    "backlog",
    "deadlock",
    "lock",
    "crash",
    "loop",
    "days",
    "rate",
    "timed",
    "reply",
    "local",
    "var",
    "srv",
    "etc",
    "opt",
    "web",
    "db",
    "api",
    "app",
    "node",
    "edge",
    "job",
    "core",
    "Triage",
    "this",
    "log",
    "line",
    "ERROR",
    "WARN",
];
/// Fragments of punctuation that a later domain may answer in; copied here, never as a whole object.
pub(super) const FRAGMENTS: &[&str] =
    &["{\"", "\":\"", "\",\"", "\"}", "_", "-", "[", "]:", "(", ")", ": ", "; "];
pub(super) const ROLES: &[&str] =
    &["web", "db", "app", "node", "lamp", "gate", "pump", "unit", "box", "edge", "bus", "door"];
pub(super) const CODE_LETTERS: &[&str] = &["A", "B", "C", "D", "E", "H", "K", "M", "P", "R", "T", "X"];
