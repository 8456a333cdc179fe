//! Memory and energy of this machine, where it can tell.

use std::path::{Path, PathBuf};

/// Where Linux shows the energy counters of processors (RAPL), readable by root on most systems.
const POWERCAP: &str = "/sys/class/powercap";

/// The most memory that this process has held at once, in bytes; `None` where the system is not Linux.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(kibibytes.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// Makes [`peak_memory`] begin again at what the process holds now. Returns whether the system allowed it.
pub fn reset_peak_memory() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Energy that the machine's processors took since it was started, whoever used them.
#[derive(Debug, Clone)]
pub struct EnergyMeter {
    counters: Vec<Counter>,
}

#[derive(Debug, Clone)]
struct Counter {
    path: PathBuf,
    /// Where the counter begins again at 0, in microjoules.
    range: u64,
    start: u64,
}

impl EnergyMeter {
    /// Starts to measure; `None` where the machine has no counters or does not let this user read them.
    pub fn start() -> Option<Self> {
        Self::start_at(Path::new(POWERCAP))
    }

    /// The same for counters in another folder: `intel-rapl:N` per processor. Their parts (`intel-rapl:N:M`) are in
    /// them already.
    pub fn start_at(folder: &Path) -> Option<Self> {
        let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
        let counter = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let whole = name.starts_with("intel-rapl:") && name.matches(':').count() == 1;
            let path = entry.path().join("energy_uj");
            let range = read_number(&entry.path().join("max_energy_range_uj"));
            whole.then(|| Some(Counter { start: read_number(&path)?, range: range?, path })).flatten()
        };
        let counters: Vec<Counter> = entries.filter_map(counter).collect();
        (!counters.is_empty()).then_some(Self { counters })
    }

    /// Joules since the start; `None` where a counter is gone. Read it at least once a minute: a counter that passes
    /// its end twice looks like one that passed it once.
    pub fn joules(&self) -> Option<f64> {
        let used = |c: &Counter| {
            let now = read_number(&c.path)?;
            Some(if now >= c.start { now - c.start } else { c.range.saturating_sub(c.start) + now })
        };
        let sum: u64 = self.counters.iter().map(used).sum::<Option<u64>>()?;
        Some(sum as f64 / 1e6)
    }
}

fn read_number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn energy_is_the_sum_of_processors_and_survives_the_counters_end() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let set = |name: &str, file: &str, value: &str| {
            fs::create_dir_all(folder.path().join(name))?;
            fs::write(folder.path().join(name).join(file), value)
        };
        for (name, energy) in [("intel-rapl:0", "900\n"), ("intel-rapl:1", "10"), ("intel-rapl:0:0", "500")] {
            set(name, "energy_uj", energy)?;
            set(name, "max_energy_range_uj", "1000\n")?;
        }
        let meter = EnergyMeter::start_at(folder.path()).expect("two processors");
        set("intel-rapl:0", "energy_uj", "50")?; // 150 on, past the end
        set("intel-rapl:1", "energy_uj", "1000010")?;
        set("intel-rapl:0:0", "energy_uj", "999")?;
        assert_eq!(meter.joules(), Some(1.000_150));
        fs::remove_dir_all(folder.path().join("intel-rapl:1"))?;
        assert_eq!(meter.joules(), None);
        assert!(EnergyMeter::start_at(&folder.path().join("none")).is_none());
        Ok(())
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_is_seen_after_it_is_over() {
        let before = peak_memory().expect("a Linux system");
        let block = vec![1_u8; 64 << 20];
        drop(std::hint::black_box(block));
        let after = peak_memory().expect("a Linux system");
        assert!(after >= before && after > 64 << 20, "{before} then {after}");
    }
}
