//! Other ways to take a message that is sound: one length that is wrong in one dialect may leave it sound in another,
//! where a PIN block or a track then stands in a field that everybody may see. What is secret in one of them is hidden.

use std::ops::Range;

use crate::iso8583::{Dialect, Exposure, FieldType, Index, Scope, Variation, Writing};

use super::doubt::Doubt;
use super::fault::{Bitmap, Found, Search, offset_in};
use super::find::{Guess, NEAR, attempt};
use super::stray::anchor;
use super::window::is_hidden;

/// A field of a sound message that is somebody's secret when the message is taken otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    /// Data element, as the message was taken.
    pub field: u8,
    /// What it is a part of, as it may be meant.
    meant: u8,
    /// The dialect in which it is.
    dialect: String,
    /// The field whose length is wrong then; `None` when nothing is.
    wrong: Option<u8>,
}

impl Contested {
    /// The same for people.
    #[must_use]
    pub fn doubt(&self) -> Doubt {
        let Self { meant, dialect, .. } = self;
        let wrong = match self.wrong {
            Some(de) => format!(", if the length of DE{de} is wrong"),
            None => String::new(),
        };
        Doubt {
            field: self.field,
            text: format!("as {dialect} what nobody may see of DE{meant} stands in it{wrong}"),
        }
    }
}

/// The fields of the first guess, if it is sound, that hold what is hidden in another way to take the same bytes.
pub(super) fn contested(guesses: &[Guess]) -> Vec<Contested> {
    let Some(best) = guesses.first().filter(|best| best.is_sound()) else {
        return Vec::new();
    };
    let (_, best_score) = attempt(&best.dialect, &best.frame);
    let own = hidden_places(&best.dialect, &best.frame);
    let mut all: Vec<Contested> = Vec::new();
    for rival in guesses.iter().filter(|rival| begins_alike(best, rival)) {
        let mut add = |dialect: &Dialect, frame: &[u8], wrong: Option<u8>| {
            for (field, meant) in seen(best, &own, &hidden_places(dialect, frame)) {
                if all.iter().all(|known| known.field != field) {
                    let dialect = dialect.name().to_owned();
                    all.push(Contested {
                        field,
                        meant,
                        dialect,
                        wrong,
                    });
                }
            }
        };
        let itself = rival.dialect.name() == best.dialect.name();
        if rival.is_sound() && !itself {
            if rival.score.saturating_add(NEAR) >= best.score {
                add(&rival.dialect, &rival.frame, None);
            }
            continue;
        }
        if !itself && same_sizes(best, rival) {
            continue;
        }
        for (wrong, found) in Search::with_another_length(rival) {
            if found.score >= best_score && stands_up_to(best, wrong, &found) {
                add(&found.dialect, &found.frame, Some(wrong));
            }
        }
    }
    all.sort_by_key(|contested| contested.field);
    all
}

/// Whether the message begins at the same byte in both and announces the same fields.
fn begins_alike(best: &Guess, rival: &Guess) -> bool {
    let announced = |guess| Bitmap::of(guess).map(|bitmap| bitmap.announced());
    best.frame_at == rival.frame_at
        && best.frame.len() == rival.frame.len()
        && best.prefix == rival.prefix
        && best.input == rival.input
        && announced(best).is_some_and(|own| Some(own) == announced(rival))
}

/// Whether binary fields take the same bytes in both dialects: a length that is wrong in one is wrong in the other, then.
fn same_sizes(best: &Guess, rival: &Guess) -> bool {
    let raw = Variation::Bytes(Scope::All, Writing::Binary);
    let in_digits = |dialect: &Dialect| dialect.varied(&[raw]).is_some();
    in_digits(&best.dialect) == in_digits(&rival.dialect)
}

/// Whether a way to take a message with another length of one field is to be reckoned with.
fn stands_up_to(best: &Guess, wrong: u8, found: &Found<'_>) -> bool {
    let (mut index, mut other) = (Index::new(), Index::new());
    let (own, _) = best.dialect.decode_partial(&best.frame, &mut index);
    let (meant, _) = found.dialect.decode_partial(&found.frame, &mut other);
    let (Some(own), Some(meant)) = (own, meant) else {
        return false;
    };
    // A card number with the right check digit has its length, and what has one is likelier than what has none.
    let known = anchor(&own);
    if known > anchor(&meant) || (known.is_some() && wrong == own.dialect().roles().pan) {
        return false;
    }
    // Eight bytes that all happen to be digits are hexadecimal digits.
    let mut binary = meant.content_fields().iter().filter_map(|de| {
        let field = found.dialect.field(de)?;
        let raw =
            field.kind == FieldType::Binary && meant.value(de)?.len() == meant.field(de)?.len();
        meant
            .field(de)
            .filter(|content| raw && content.len() >= BLOCK_BYTES)
    });
    !binary.any(|content| content.iter().all(u8::is_ascii_hexdigit))
}

/// Bytes of a PIN block.
const BLOCK_BYTES: usize = 8;

/// Where what nobody may see of a frame stands in it.
fn hidden_places(dialect: &Dialect, frame: &[u8]) -> Vec<(u8, Range<usize>)> {
    let mut index = Index::new();
    let (Some(message), _) = dialect.decode_partial(frame, &mut index) else {
        return Vec::new();
    };
    let hidden = message
        .content_fields()
        .iter()
        .filter(|de| is_hidden(&message, *de));
    let places = hidden.filter_map(|de| {
        let content = message.field(de)?;
        let from = offset_in(frame, content)?;
        Some((de, from..from.checked_add(content.len())?))
    });
    places.collect()
}

/// The fields of a message that show a piece of what is hidden at these places, each with whose it is. What is hidden at
/// the same place in both is shown as far as the dialect lets everybody see it.
fn seen(best: &Guess, own: &[(u8, Range<usize>)], hidden: &[(u8, Range<usize>)]) -> Vec<(u8, u8)> {
    let mut index = Index::new();
    let (Some(message), _) = best.dialect.decode_partial(&best.frame, &mut index) else {
        return Vec::new();
    };
    let shows = |de: &u8| {
        let field = best.dialect.field(*de);
        field.is_some_and(|field| field.exposure != Exposure::Secret)
            || best.dialect.layout(*de).is_some()
    };
    let fields = message.content_fields().iter().filter(shows);
    let fields = fields.filter_map(|de| {
        let content = message.field(de)?;
        let from = offset_in(message.frame(), content)?;
        let to = from.checked_add(content.len())?;
        let reaches = |place: &&(u8, Range<usize>)| {
            let (_, range) = place;
            range.start < to && from < range.end && !own.contains(place)
        };
        Some((de, hidden.iter().find(reaches)?.0))
    });
    fields.collect()
}
