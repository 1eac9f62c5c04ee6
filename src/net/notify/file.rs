//! Texts into a file, where no other way is set up: for trying things out, and for machines whose texts another
//! program picks up. Only its owner may read it.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Attempt, Notifier, Undelivered, Why};
use crate::base::limits::OUTBOX_FILE_BYTES_MAX;
use crate::base::notice::Notice;

/// A file with one JSON object a line: `id`, `to`, `subject`, `text`. When it is full it gets the ending `.1`,
/// in the place of the one before it, and a new one begins.
#[derive(Clone, Debug)]
pub struct OutboxFile {
    path: PathBuf,
    writing: Arc<Mutex<()>>,
}

impl OutboxFile {
    /// Writes there from the first text on.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            writing: Arc::default(),
        }
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let size = std::fs::metadata(&self.path).map_or(0, |meta| meta.len());
        if size >= OUTBOX_FILE_BYTES_MAX {
            let mut before = self.path.as_os_str().to_owned();
            before.push(".1");
            std::fs::rename(&self.path, before)?;
        }
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        file.write_all(line)?;
        file.sync_data()
    }
}

impl Notifier for OutboxFile {
    fn deliver<'a>(&'a self, number: u64, notice: &'a Notice) -> Attempt<'a> {
        let line = serde_json::json!({
            "id": number,
            "to": notice.to.as_str(),
            "subject": notice.subject,
            "text": notice.text.as_str(),
        });
        let (file, line) = (self.clone(), format!("{line}\n"));
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || file.write(line.as_bytes()));
            match written.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Undelivered::Later(Why::File)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use zeroize::Zeroizing;

    use super::*;

    #[tokio::test]
    async fn a_line_a_text_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox");
        let outbox = OutboxFile::new(&path);
        let notice = Notice {
            to: Zeroizing::new("+86138".into()),
            subject: String::new(),
            text: Zeroizing::new("two\nlines".into()),
        };
        for number in 1..=2 {
            outbox.deliver(number, &notice).await.unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["text"], "two\nlines");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_tried_again() {
        let outbox = OutboxFile::new(Path::new("/proc/no-such-folder/outbox"));
        let notice = Notice {
            to: Zeroizing::default(),
            subject: String::new(),
            text: Zeroizing::default(),
        };
        let came = outbox.deliver(1, &notice).await;
        assert_eq!(came, Err(Undelivered::Later(Why::File)));
    }
}
