//! What the kernel counts of the process, by the names that every Prometheus client uses. proc_pid_stat(5).

use super::series::{Out, Value, Written};

/// CPU time, start and memory; 0 where /proc does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Process {
    cpu_seconds: f64,
    /// After the machine's boot.
    started_seconds: f64,
    resident_bytes: u64,
}

/// One scrape.
pub(super) fn encode(out: &mut Out<'_, '_>) -> Written {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as u64;
    let now = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse(&stat, ticks, page)).unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/stat").ok().and_then(|stat| boot_s(&stat)).unwrap_or(0);
    out.counter("process_cpu_seconds_total", "CPU time of the process, user and system", Value::Scaled(now.cpu_seconds))?;
    out.gauge("process_resident_memory_bytes", "Memory that the process has in RAM", now.resident_bytes)?;
    out.gauge("process_start_time_seconds", "When the process began, in Unix time", Value::Scaled(boot as f64 + now.started_seconds))
}

/// Fields count from 1; the second one is in parentheses and may hold anything.
fn parse(stat: &str, ticks: f64, page: u64) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Process {
        cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
        started_seconds: field(22)? as f64 / ticks,
        resident_bytes: field(24)? * page,
    })
}

fn boot_s(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 4200 9999 25 0";
        assert_eq!(parse(stat, 100.0, 4096), Some(Process { cpu_seconds: 2.0, started_seconds: 42.0, resident_bytes: 25 * 4096 }));
        assert_eq!(parse("7 (a) S", 100.0, 4096), None);
        assert_eq!(boot_s("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000));
    }
}
