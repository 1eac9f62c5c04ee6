//! Idle sessions: what each costs the gateway in memory.

use std::time::Duration;

use super::station::open_all;
use super::{LoadError, LoadSettings, stats};
use crate::sim::process::Process;

/// What holding idle sessions showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdleReport {
    /// Sessions opened.
    pub opened: u64,
    /// Of those, still alive after the hold.
    pub alive: u64,
    /// How long opening them all took.
    pub opening: Duration,
    /// The gateway's memory before, while they were held, and after all were closed, in bytes.
    pub resident_bytes: Option<[u64; 3]>,
}

impl IdleReport {
    /// Memory of one session in the gateway, kernel buffers not counted.
    #[must_use]
    pub fn bytes_each(&self) -> Option<f64> {
        let [before, held, _] = self.resident_bytes?;
        stats::bytes_each(held.saturating_sub(before), self.opened)
    }
}

pub(super) async fn run(settings: &LoadSettings) -> Result<IdleReport, LoadError> {
    let memory = || settings.gateway.map(Process::resident_bytes).transpose();
    let common = settings.common(&settings.target)?;
    let before = memory()?;
    let began = settings.clock.now();
    let mut terminals = open_all(&common, &settings.terminals).await?;
    let opening = settings.clock.now().since(began);
    let opened = u64::try_from(terminals.len()).unwrap_or(u64::MAX);
    tokio::time::sleep(settings.duration).await;
    let held = memory()?;
    let mut alive = 0;
    for terminal in &mut terminals {
        alive += u64::from(terminal.is_open().await);
    }
    drop(terminals);
    // The gateway needs a moment to see that they are gone.
    tokio::time::sleep(SETTLING).await;
    let after = memory()?;
    let all = || Some([before?, held?, after?]);
    Ok(IdleReport {
        opened,
        alive,
        opening,
        resident_bytes: all(),
    })
}

const SETTLING: Duration = Duration::from_secs(1);
