//! The dialects that a command knows: the shipped ones, and those of a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::base::document::{Document, Problems, nearest};
use crate::iso8583::Dialect;

/// Where further dialects are.
#[derive(Debug, clap::Args)]
pub(super) struct Known {
    /// Folder with further dialects, one folder each, as `protocols` in the configuration names it
    #[arg(long, value_name = "DIR")]
    protocols: Option<PathBuf>,
    /// Configuration whose `protocols` is used
    #[arg(short, long, value_name = "FILE", conflicts_with = "protocols")]
    config: Option<PathBuf>,
}

impl Known {
    /// Those of the folder, which win, and the shipped ones.
    ///
    /// # Errors
    /// When the folder or the configuration cannot be read, or a dialect of it is mistaken.
    pub(super) fn all(&self) -> anyhow::Result<Vec<Arc<Dialect>>> {
        let mut all = match self.folder()? {
            Some(folder) => of_folder(&folder)?,
            None => Vec::new(),
        };
        for name in Dialect::shipped_names() {
            if all.iter().all(|dialect| dialect.name() != *name) {
                all.extend(Dialect::shipped(name));
            }
        }
        Ok(all)
    }

    /// The dialect of that name.
    ///
    /// # Errors
    /// As [`Self::all`]; when there is none.
    pub(super) fn named(&self, name: &str) -> anyhow::Result<Arc<Dialect>> {
        let all = self.all()?;
        if let Some(found) = all.iter().find(|dialect| dialect.name() == name) {
            return Ok(Arc::clone(found));
        }
        let known: Vec<_> = all.iter().map(|dialect| dialect.name()).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => bail!("no dialect {name}; did you mean {near}?"),
            None => bail!("no dialect {name}; known: {}", known.join(", ")),
        }
    }

    fn folder(&self) -> anyhow::Result<Option<PathBuf>> {
        let Some(file) = &self.config else {
            return Ok(self.protocols.clone());
        };
        let text = fs::read_to_string(file);
        let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
        let problems = Problems::new(file.display().to_string(), &text);
        let document = Document::parse(&problems, &text);
        let root = document.root(&problems);
        let Some(folder) = root.text("protocols") else {
            return Ok(None);
        };
        let beside = file.parent().unwrap_or_else(|| Path::new("."));
        Ok(Some(beside.join(folder.value)))
    }
}

/// All dialects of a folder; one mistake refuses them all, since a dialect that is not tried might be the one.
fn of_folder(folder: &Path) -> anyhow::Result<Vec<Arc<Dialect>>> {
    let listed = fs::read_dir(folder);
    let listed =
        listed.with_context(|| format!("{} cannot be read as a folder", folder.display()))?;
    let mut files: Vec<_> = listed
        .filter_map(|entry| Some(entry.ok()?.path().join("dialect.toml")))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = fs::read_to_string(&file).with_context(|| format!("{name} cannot be read"))?;
        texts.push((name, text));
    }
    let find = |name: &str| {
        let mut texts = texts.iter();
        let named = |(_, text): &&(String, String)| Dialect::name_in(text).as_deref() == Some(name);
        texts.find(named).cloned()
    };
    let mut all = Vec::new();
    for (name, text) in &texts {
        match Dialect::parse_with(name, text, &find) {
            Ok(dialect) => all.push(Arc::new(dialect)),
            Err(problems) => {
                let first = problems
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                bail!("{first}\n`posgate protocol check {name}` lists all mistakes");
            }
        }
    }
    Ok(all)
}
