//! What the system knows of a process: CPU time, resident memory, and the CPUs it may use.
//!
//! Linux only. Times come from `/proc/PID/stat` in clock ticks, usually 10 ms.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Why a process could not be looked at or pinned.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such process, or it may not be looked at.
    #[error("process {pid} cannot be looked at")]
    Unreachable {
        /// Its number.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system's text is not as expected.
    #[error("what the system tells of process {pid} cannot be read")]
    Unreadable {
        /// Its number.
        pid: u32,
    },
    /// A number that no process or CPU has.
    #[error("there is no process or CPU {0}")]
    NoSuch(u32),
    /// The system refused to pin.
    #[error("process {pid} cannot be pinned to CPU {cpu}")]
    Pin {
        /// The process.
        pid: u32,
        /// The CPU.
        cpu: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

impl Process {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// CPU time used so far: user and system, all threads, and children that have ended.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_time(self) -> Result<Duration, ProcessError> {
        let stat = self.read("stat")?;
        let ticks = ticks_of(&stat).ok_or(ProcessError::Unreadable { pid: self.0 })?;
        let micros = ticks.saturating_mul(1_000_000) / clock_ticks_per_second().max(1);
        Ok(Duration::from_micros(micros))
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_bytes(self) -> Result<u64, ProcessError> {
        let statm = self.read("statm")?;
        let pages: u64 = statm
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|text| text.parse().ok())
            .ok_or(ProcessError::Unreadable { pid: self.0 })?;
        Ok(pages.saturating_mul(u64::try_from(page_size()).unwrap_or(u64::MAX)))
    }

    /// Lets all threads that it has now run on one CPU only. Later threads inherit it.
    ///
    /// # Errors
    /// When the process is gone, belongs to somebody else, or there is no such CPU.
    pub fn pin(self, cpu: u32) -> Result<(), ProcessError> {
        let index = usize::try_from(cpu).map_err(|_too_large| ProcessError::NoSuch(cpu))?;
        if index >= CpuSet::MAX_CPU {
            return Err(ProcessError::NoSuch(cpu));
        }
        let mut set = CpuSet::new();
        set.set(index);
        for thread in self.threads()? {
            sched_setaffinity(Some(thread), &set).map_err(|e| ProcessError::Pin {
                pid: self.0,
                cpu,
                source: e.into(),
            })?;
        }
        Ok(())
    }

    fn threads(self) -> Result<Vec<Pid>, ProcessError> {
        let unreachable = |source| ProcessError::Unreachable {
            pid: self.0,
            source,
        };
        fs::read_dir(format!("/proc/{}/task", self.0))
            .map_err(unreachable)?
            .map(|entry| {
                let name = entry.map_err(unreachable)?.file_name();
                name.to_str()
                    .and_then(|text| text.parse().ok())
                    .and_then(Pid::from_raw)
                    .ok_or(ProcessError::Unreadable { pid: self.0 })
            })
            .collect()
    }

    fn read(self, file: &str) -> Result<String, ProcessError> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).map_err(|source| {
            ProcessError::Unreachable {
                pid: self.0,
                source,
            }
        })
    }
}

/// Sum of utime, stime, cutime and cstime: fields 14 to 17. The name in field 2 may hold anything, also
/// spaces and brackets, so the count begins after its last bracket, where field 3 stands.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut sum = 0_u64;
    for _ in 0..4 {
        sum = sum.checked_add(fields.next()?.parse().ok()?)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_do_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 40 30 20 10 20 0 1 0 500";
        assert_eq!(ticks_of(stat), Some(100));
        assert_eq!(ticks_of("7 (a) S 1"), None);
    }

    #[test]
    fn own_process_has_used_memory() {
        assert!(Process::own().resident_bytes().unwrap() > 100_000);
        Process::own().cpu_time().unwrap();
    }

    #[test]
    fn missing_process_is_an_error() {
        assert!(matches!(
            Process(u32::MAX).cpu_time(),
            Err(ProcessError::Unreachable { .. })
        ));
    }
}
