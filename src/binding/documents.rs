//! The documents of a case of unbinding: which ones a merchant has to bring, and who looked at them. What is kept of
//! one is what it was and its checksum, never what it shows.

use super::merchant::MerchantKind;
use super::named::named_enum;
use super::refusal::{Refusal, two_persons};

/// Documents of one case.
pub const DOCUMENTS_MAX: usize = 50;

named_enum!(
    /// Which document.
    DocumentKind {
        /// Identity document of the applicant.
        Identity = "identity",
        /// The device with its serial number, photographed.
        DevicePhoto = "device-photo",
        /// The bank card or account statement.
        Account = "account",
        /// Business licence.
        Licence = "licence",
        /// Application with seal or electronic signature.
        Application = "application",
        /// Mandate of whoever acts for the merchant.
        Mandate = "mandate",
    }
);

/// Which documents a merchant has to bring.
#[must_use]
pub const fn documents_of(kind: MerchantKind) -> &'static [DocumentKind] {
    match kind {
        MerchantKind::Individual => &[
            DocumentKind::Identity,
            DocumentKind::DevicePhoto,
            DocumentKind::Account,
        ],
        MerchantKind::Unknown
        | MerchantKind::Enterprise
        | MerchantKind::SoleTrader
        | MerchantKind::Institution => &[
            DocumentKind::Identity,
            DocumentKind::DevicePhoto,
            DocumentKind::Account,
            DocumentKind::Licence,
            DocumentKind::Application,
        ],
    }
}

/// A document of a case.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Document {
    /// Which.
    pub kind: DocumentKind,
    /// SHA-256 of the file, as 64 hexadecimal digits.
    pub sha256: String,
    /// Who added it.
    pub added_by: String,
    /// Who looked at it.
    pub reviewed_by: Option<String>,
    /// What they found; `None` before.
    pub approved: Option<bool>,
}

/// The documents that were brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Documents(Vec<Document>);

impl Documents {
    /// A document was brought. One of the same kind that was not approved is replaced.
    ///
    /// # Errors
    /// When it is no SHA-256, or there are too many.
    pub fn add(&mut self, kind: DocumentKind, sha256: &str, by: &str) -> Result<(), Refusal> {
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            let what = "the document's SHA-256";
            let problem = "has to have 64 hexadecimal digits";
            return Err(Refusal::Value { what, problem });
        }
        self.0
            .retain(|held| held.kind != kind || held.approved == Some(true));
        if self.0.len() >= DOCUMENTS_MAX {
            let (what, problem) = ("the list of documents", "is full");
            return Err(Refusal::Value { what, problem });
        }
        self.0.push(Document {
            kind,
            sha256: sha256.to_ascii_lowercase(),
            added_by: by.into(),
            reviewed_by: None,
            approved: None,
        });
        Ok(())
    }

    /// Somebody else looked at a document.
    ///
    /// # Errors
    /// When there is none of that kind to be looked at, or the same person added it.
    pub fn review(&mut self, kind: DocumentKind, approved: bool, by: &str) -> Result<(), Refusal> {
        let waiting = self
            .0
            .iter_mut()
            .find(|held| held.kind == kind && held.approved.is_none());
        let Some(document) = waiting else {
            let what = "a document of this kind that nobody looked at";
            let remedy = "add it first";
            return Err(Refusal::Missing { what, remedy });
        };
        two_persons(&document.added_by, by)?;
        document.reviewed_by = Some(by.into());
        document.approved = Some(approved);
        Ok(())
    }

    /// Those that a merchant of this kind has to bring and that nobody approved yet.
    pub fn missing(&self, merchant: MerchantKind) -> impl Iterator<Item = DocumentKind> {
        documents_of(merchant)
            .iter()
            .copied()
            .filter(|kind| self.of(*kind).all(|held| held.approved != Some(true)))
    }

    /// Whether one of this kind was brought and waits for somebody to look at it.
    #[must_use]
    pub fn waits_for_review(&self, kind: DocumentKind) -> bool {
        self.of(kind).any(|held| held.approved.is_none())
    }

    fn of(&self, kind: DocumentKind) -> impl Iterator<Item = &Document> {
        self.0.iter().filter(move |held| held.kind == kind)
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Document> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_document_counts_when_another_person_approved_it() {
        let mut held = Documents::default();
        let (kind, merchant) = (DocumentKind::Identity, MerchantKind::Individual);
        assert!(held.add(kind, "e3b0", "Li Wei").is_err());
        assert!(matches!(
            held.review(kind, true, "Wang Fang"),
            Err(Refusal::Missing { .. })
        ));
        held.add(kind, HASH, "Li Wei").unwrap();
        assert!(held.waits_for_review(kind));
        assert!(matches!(
            held.review(kind, true, "li wei"),
            Err(Refusal::SamePerson { .. })
        ));
        held.review(kind, false, "Wang Fang").unwrap();
        assert_eq!(held.missing(merchant).count(), 3, "looked at and refused");
        held.add(kind, HASH, "Li Wei").unwrap();
        assert_eq!(held.iter().count(), 1, "the refused one is replaced");
        held.review(kind, true, "Wang Fang").unwrap();
        assert_eq!(held.missing(merchant).count(), 2);
    }

    #[test]
    fn a_case_takes_only_so_many_documents() {
        let mut held = Documents::default();
        for _ in 0..DOCUMENTS_MAX {
            held.add(DocumentKind::Mandate, HASH, "Li Wei").unwrap();
            held.review(DocumentKind::Mandate, true, "Wang Fang")
                .unwrap();
        }
        assert!(held.add(DocumentKind::Mandate, HASH, "Li Wei").is_err());
    }
}
