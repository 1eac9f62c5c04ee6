//! Questions about what happened to money: asked of the running gateway, or of its store when none runs.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use http_body_util::BodyExt;
use serde_json::Value;

use super::client::{Found, Target};
use super::output;
use crate::admin::inquiry::{Inquiry, InquiryError};
use crate::store::projection::project_round;
use crate::store::sqlite::SqliteFolder;
use crate::switch::StoreChoice;

/// Answers one question with a JSON document.
pub(super) async fn ask(
    target: &Target,
    path: &str,
    direct: impl FnOnce(&mut Inquiry) -> Result<Value, InquiryError>,
) -> anyhow::Result<Value> {
    match target.find().await? {
        Found::Running(gateway) => gateway.get_json(path).await,
        Found::Stopped { store, .. } => Ok(direct(&mut open(&store)?)?),
    }
}

/// Answers one question with as many bytes as it takes.
pub(super) async fn pour(
    target: &Target,
    path: &str,
    out: &mut dyn Write,
    direct: impl FnOnce(&mut Inquiry, &mut dyn Write) -> Result<(), InquiryError>,
) -> anyhow::Result<()> {
    match target.find().await? {
        Found::Running(gateway) => {
            let mut body = gateway.get(path).await?.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.context("the gateway broke off; what was written is a part")?;
                if let Ok(data) = frame.into_data() {
                    out.write_all(&data)?;
                }
            }
        }
        Found::Stopped { store, .. } => direct(&mut open(&store)?, out)?,
    }
    Ok(out.flush()?)
}

/// Opens the store of a gateway that does not run, with everything that is durable in the read model.
fn open(store: &StoreChoice) -> anyhow::Result<Inquiry> {
    let StoreChoice::Sqlite(path) = store;
    if !path.join("journal.db").exists() {
        bail!(
            "no gateway runs, and there is no store at {}",
            path.display()
        );
    }
    let used = || format!("the store {} cannot be used", path.display());
    let folder = SqliteFolder::open(path).with_context(used)?;
    {
        // Only while it is brought up to date: reading must not keep a gateway from starting.
        let _lock = folder.lock().with_context(used)?;
        let (mut journal, mut model) = (folder.journal()?, folder.read_model()?);
        while project_round(&mut journal, &mut model)? > 0 {}
        drop(folder.registry()?);
    }
    Ok(Inquiry::open(&folder)?)
}

/// Prints a JSON document.
pub(super) fn print(value: &Value) -> io::Result<()> {
    output::line(format_args!("{value:#}"))
}

/// Writes a file as a whole or not at all: it has its name only when everything is on the disk. Only its
/// owner may read it.
pub(super) fn finish_file(made: tempfile::NamedTempFile, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be written", path.display());
    made.as_file().sync_all().with_context(cannot)?;
    made.persist(path).with_context(cannot)?;
    Ok(())
}

/// A file beside the one it will be.
pub(super) fn begin_file(path: &Path) -> anyhow::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let cannot = || format!("no file can be made in {}", folder.display());
    tempfile::NamedTempFile::new_in(folder).with_context(cannot)
}

/// Standard output, written in large pieces.
pub(super) fn standard_output() -> impl Write {
    BufWriter::with_capacity(1 << 16, output::Standard::lock())
}
