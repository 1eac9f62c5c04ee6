//! The search for causes: what is tried in which order, and what counts as an explanation.

use std::borrow::Cow;

use crate::base::Counted;
use crate::iso8583::{DecodeError, Dialect, Field, Index, Message};

use super::around::WRONG_PREFIX;
use super::lengths::announced_behind;
use super::{CAUSES_MAX, Cause, is_cardless};
use crate::inspect::bytes::Notation;
use crate::inspect::describe::layout_of;
use crate::inspect::find::{Guess, Layout, PrefixFault, SOUND, attempt, likely};
use crate::inspect::parts::first_error;
use crate::inspect::stray::anchor;

/// Simple explanations come before far-fetched ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::inspect) enum Rank {
    /// Nothing is wrong but that there is more than one message, or filling behind it.
    Whole,
    /// What stands around the message.
    Around,
    /// One thing that is written otherwise everywhere.
    Everywhere,
    /// A length that is wrong in a way that has a name.
    Named,
    /// What the error itself says.
    Itself,
    /// A field that must be there, whose bit was not set.
    Near,
    /// One thing about one field, or several everywhere.
    One,
    /// Another field whose bit was not set, or whose length is one off.
    Likely,
    /// What makes it decode, and may be chance.
    Chance,
}

/// One way to take the message that was tried and worked, or got further.
pub(in crate::inspect) struct Found<'d> {
    pub(super) cause: Cause,
    pub(in crate::inspect) rank: Rank,
    pub(in crate::inspect) score: i32,
    pub(in crate::inspect) dialect: Cow<'d, Dialect>,
    pub(in crate::inspect) frame: Vec<u8>,
    /// Whether binary fields have another size in it than the dialect says: it may decode by what a PIN block lacks then.
    pub(super) resized: bool,
    /// Bytes of the input before those of `frame`, less those that were put into it in front.
    pub(in crate::inspect) shift: isize,
}

impl Clone for Found<'_> {
    fn clone(&self) -> Self {
        Self {
            cause: self.cause.clone(),
            rank: self.rank,
            score: self.score,
            dialect: self.dialect.clone(),
            frame: self.frame.clone(),
            resized: self.resized,
            shift: self.shift,
        }
    }
}

/// The ways to take a broken message that were tried.
pub(in crate::inspect) struct Search<'g> {
    pub(super) guess: &'g Guess,
    pub(super) found: Vec<Found<'g>>,
    /// How far the message was read.
    pub(super) reached: usize,
    /// Points that what was read has for making sense, less some.
    pub(super) sense: i32,
    /// Only the value of a field is wrong: what is around it decodes.
    pub(super) value_only: bool,
}

impl<'g> Search<'g> {
    /// Tries everything.
    pub(super) fn of(guess: &'g Guess) -> Self {
        let mut search = Self::new(guess);
        search.everything();
        search
    }

    /// Tries only what may stand around the message, and other ways to write all of it; gives the points of what
    /// decodes then.
    pub(super) fn outside(guess: &'g Guess) -> Option<(Rank, i32)> {
        let mut search = Self::new(guess);
        search.prefixes();
        search.control_characters();
        search.behind_length();
        search.envelopes();
        search.text();
        search.twice();
        search.forms();
        search.leads();
        search.between();
        search.best().map(|found| (found.rank, found.score))
    }

    /// The ways in which all decodes when the length of one field is another, each with the field.
    pub(in crate::inspect) fn with_another_length(guess: &'g Guess) -> Vec<(u8, Found<'g>)> {
        let mut search = Self::new(guess);
        let mut all = Vec::new();
        for de in search.suspects() {
            search.length_of(de);
            all.extend(search.found.drain(..).map(|found| (de, found)));
        }
        all
    }

    fn new(guess: &'g Guess) -> Self {
        Self {
            guess,
            found: Vec::new(),
            reached: guess
                .error
                .map_or(guess.frame.len(), |error| error.offset()),
            sense: sense(guess).saturating_sub(20).max(-60),
            value_only: value_only(guess),
        }
    }

    fn everything(&mut self) {
        if let Notation::OddHex { digits } = self.guess.notation {
            let text = format!(
                "there are {digits} hexadecimal digits, an odd number: one is missing or too many; the last one is left out here"
            );
            self.tell(Rank::Around, text);
        }
        self.frames();
        self.prefixes();
        let more_behind = matches!(self.guess.prefix, Some(PrefixFault::LeftOver { .. }));
        if more_behind && self.guess.error.is_none() && self.sense >= 0 {
            // A whole message with something behind it: nothing in it is to be explained.
            return self.plain();
        }
        self.control_characters();
        self.behind_length();
        self.text();
        self.replaced();
        self.message_types();
        self.envelopes();
        self.twice();
        self.forms();
        self.fields();
        if !self.value_only {
            self.leads();
            self.between();
            self.lengths();
            self.widths();
            self.bitmaps();
            if !self.any_sound() {
                self.flavours();
            }
        }
        self.plain();
    }

    fn any_sound(&self) -> bool {
        self.found.iter().any(|found| found.cause.sound)
    }

    /// Tries one way; keeps it when it works or gets clearly further.
    pub(super) fn consider(
        &mut self,
        rank: Rank,
        dialect: Cow<'g, Dialect>,
        frame: Vec<u8>,
        shift: isize,
        text: String,
        remedy: Option<String>,
    ) {
        // Where nothing is wrong but what stands around it, another way to read it explains nothing.
        let needless = self.guess.error.is_none() && frame == self.guess.frame;
        if needless && matches!(dialect, Cow::Owned(_)) {
            return;
        }
        let (error, score) = attempt(&dialect, &frame);
        let sound = match error {
            None => true,
            // Some bytes further may be chance; half of what was left is not.
            Some(error) => {
                let left = frame.len().saturating_sub(self.reached);
                let further = error.offset().saturating_sub(self.reached);
                let structural = rank <= Rank::Everywhere;
                let better = score > self.guess.score.saturating_add(100);
                let far = self.reached > 0 && further >= 12 && further >= left / 2;
                if !structural || !better || !far {
                    return;
                }
                false
            }
        };
        // Well formed and less sensible than what was read before is no explanation.
        if sound && score < SOUND.saturating_add(self.sense) {
            return;
        }
        self.found.push(Found {
            cause: Cause {
                text,
                remedy,
                sound,
            },
            rank,
            score,
            dialect,
            frame,
            resized: false,
            shift,
        });
    }

    /// Whether all of it may be taken for what it reads as, but for what the error names: no field stands where
    /// another should.
    pub(super) fn whole(&self) -> bool {
        let mut index = Index::new();
        let (message, _) = (self.guess.dialect).decode_partial(&self.guess.frame, &mut index);
        let Some(message) = message else {
            return false;
        };
        let rest_decodes = match self.guess.error {
            None | Some(DecodeError::LeftOver { .. }) => true,
            Some(_) => self.value_only,
        };
        if is_cardless(&message) {
            return rest_decodes;
        }
        let Some(anchor) = anchor(&message) else {
            return false;
        };
        match self.guess.error {
            None => true,
            // What is left over may have pushed a PIN block into a field that anybody may see.
            Some(DecodeError::LeftOver { .. }) => false,
            Some(error) => self.value_only && error.field().is_some_and(|de| de <= anchor),
        }
    }

    /// The best way that works.
    pub(super) fn best(&self) -> Option<&Found<'g>> {
        let decoded = |found: &&Found<'_>| found.cause.sound && !found.frame.is_empty();
        let sound = self.found.iter().filter(decoded);
        sound.min_by_key(|found| (found.rank, found.score.saturating_neg()))
    }

    pub(super) fn causes(mut self) -> Vec<Cause> {
        self.found
            .sort_by_key(|found| (!found.cause.sound, found.rank, found.score.saturating_neg()));
        let any_sound = self.any_sound();
        // What the error itself says is always told, last when nothing better is.
        let itself = self.found.iter().find(|found| found.frame.is_empty());
        let itself = itself.map(|found| found.cause.clone());
        let mut causes: Vec<Cause> = Vec::new();
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for found in self.found {
            // What takes the same bytes in the same way is the same, in other words.
            let own = matches!(found.dialect, Cow::Borrowed(_));
            let same = own && found.cause.sound && frames.contains(&found.frame);
            let known = same || causes.iter().any(|cause| cause.text == found.cause.text);
            // What only gets further is worth a word when nothing works.
            let told = found.cause.sound || !any_sound;
            if !known && told && causes.len() < CAUSES_MAX {
                causes.push(found.cause);
                if own && !found.frame.is_empty() {
                    frames.push(found.frame);
                }
            }
        }
        if let Some(itself) = itself.filter(|itself| !causes.contains(itself)) {
            causes.truncate(CAUSES_MAX.saturating_sub(1));
            causes.push(itself);
        }
        causes
    }

    pub(super) fn dialect(&self) -> Cow<'g, Dialect> {
        Cow::Borrowed(&*self.guess.dialect)
    }

    pub(super) fn behind(&self, bytes: usize) -> Vec<u8> {
        self.guess.input.get(bytes..).unwrap_or_default().to_vec()
    }

    /// Bytes of the input before the frame, as far as it is known.
    pub(super) fn shift(&self) -> isize {
        match self.guess.frame_at {
            Some(at) => signed(at),
            None => signed(self.guess.input.len()).saturating_sub(signed(self.guess.frame.len())),
        }
    }

    /// What the error itself says.
    fn plain(&mut self) {
        let more = |missing: usize| {
            let missing = Counted(missing, "byte").that("is", "are");
            format!("cut off: {missing} missing")
        };
        let at_least = |missing: usize| format!("{}, or more", more(missing));
        let text = match (self.guess.prefix, self.guess.error) {
            (Some(PrefixFault::CutOff { .. }), None) => WRONG_PREFIX.to_owned(),
            (Some(PrefixFault::CutOff { missing }), _) => more(missing),
            (Some(PrefixFault::LeftOver { bytes }), None) => left_over(bytes),
            (
                _,
                Some(DecodeError::Truncated {
                    declared, remain, ..
                }),
            ) => at_least(declared.saturating_sub(remain)),
            (_, Some(DecodeError::NoMti { needed, found })) => {
                at_least(needed.saturating_sub(found))
            }
            (_, Some(DecodeError::LeftOver { bytes, .. })) => left_over(bytes),
            (_, Some(DecodeError::Bitmap { .. })) if self.bitmap_letters() == 1 => {
                "one character of the bitmap is wrong: the rest of it is hexadecimal digits"
                    .to_owned()
            }
            (_, Some(DecodeError::Character { field, .. })) if self.value_only => {
                format!("only the value of DE{field} is wrong: everything around it decodes")
            }
            (_, Some(_) | None) => return,
        };
        // A length prefix that is wrong says it too, one that is right the contrary.
        let framed = self.guess.layout == Layout::Framed && self.guess.prefix.is_none();
        let rank = match (self.guess.prefix, self.guess.error) {
            // The length prefix says that there should be less, not more.
            (Some(PrefixFault::LeftOver { .. }), Some(DecodeError::Truncated { .. })) => {
                Rank::Chance
            }
            (Some(_), _) => Rank::Around,
            (None, Some(DecodeError::Character { .. })) => Rank::Chance,
            (None, Some(DecodeError::Truncated { .. }))
                if framed && (!self.ends_in_the_last() || self.explained()) =>
            {
                Rank::Chance
            }
            (None, Some(DecodeError::LeftOver { offset, .. })) if self.is_filling(offset) => {
                Rank::Whole
            }
            // Says nothing new: whatever explains it comes first.
            (None, Some(DecodeError::LeftOver { .. })) => Rank::One,
            (None, _) => Rank::Itself,
        };
        self.tell(rank, text);
    }

    /// Whether something about one field makes all of it decode.
    fn explained(&self) -> bool {
        let one = |found: &Found<'_>| found.cause.sound && found.rank <= Rank::One;
        self.found.iter().any(one)
    }

    /// Whether it is the last field that is not whole, and the last length before it is not to blame: fields behind it
    /// were read, or its own parts are whole.
    fn ends_in_the_last(&self) -> bool {
        let mut index = Index::new();
        let dialect = &self.guess.dialect;
        let (message, error) = dialect.decode_partial(&self.guess.frame, &mut index);
        let (Some(message), Some(de)) = (message, error.and_then(|error| error.field())) else {
            return false;
        };
        let begins = match error {
            Some(DecodeError::Truncated { remain, .. }) => {
                remain > 0 || dialect.field(de).is_some_and(|field| field.variable)
            }
            _ => false,
        };
        if !begins || announced_behind(dialect, &self.guess.frame, de).is_some() {
            return false;
        }
        let Some(field) = message
            .content_fields()
            .iter()
            .last()
            .and_then(|de| dialect.field(de))
        else {
            return false;
        };
        !field.variable || divides(&message, field)
    }

    /// Characters of the first bitmap that are no hexadecimal digits, where it is written in such.
    fn bitmap_letters(&self) -> usize {
        let Some((at, width, false)) = self.guess.dialect.bitmap_place() else {
            return 0;
        };
        let bitmap = self.guess.frame.get(at..at.saturating_add(width));
        let letters = bitmap.map(|bitmap| bitmap.iter().filter(|byte| !byte.is_ascii_hexdigit()));
        letters.map_or(0, Iterator::count)
    }

    /// Whether all from here on is what lines and records are filled up with.
    fn is_filling(&self, offset: usize) -> bool {
        const FILLING: [u8; 4] = [0, b' ', EBCDIC_BLANK, 0xFF];
        let rest = self.guess.frame.get(offset..).unwrap_or_default();
        FILLING
            .iter()
            .any(|filling| rest.iter().all(|byte| byte == filling))
            || rest.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    /// Keeps an explanation that gives no message.
    pub(super) fn tell(&mut self, rank: Rank, text: String) {
        self.found.push(Found {
            cause: Cause {
                text,
                remedy: None,
                sound: true,
            },
            rank,
            score: 0,
            dialect: self.dialect(),
            frame: Vec::new(),
            resized: false,
            shift: 0,
        });
    }
}

/// A blank in EBCDIC.
const EBCDIC_BLANK: u8 = 0x40;

/// Whether a field that has parts divides into them.
fn divides(message: &Message<'_>, field: &Field) -> bool {
    let layout = layout_of(message.dialect(), field);
    match (layout, message.value(field.number)) {
        (Some(layout), Some(value)) => first_error(layout.parts(&value)).is_none(),
        (_, _) => false,
    }
}

/// Points that what was read has for making sense.
fn sense(guess: &Guess) -> i32 {
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    message.map_or(0, |message| likely(&message, guess.error.is_some()))
}

/// Whether all is read but fields with characters that they must not hold.
fn value_only(guess: &Guess) -> bool {
    let Some(DecodeError::Character { .. }) = guess.error else {
        return false;
    };
    let mut index = Index::new();
    let (message, _) = guess.dialect.decode_partial(&guess.frame, &mut index);
    let Some(message) = message else { return false };
    let last = message.content_fields().iter().last();
    let last = last.and_then(|de| message.element(de));
    let end = last.and_then(|element| {
        let at = offset_in(message.frame(), element)?;
        at.checked_add(element.len())
    });
    let broken = guess.error.and_then(|error| error.field());
    let last =
        broken.is_some_and(|de| announced_behind(&guess.dialect, &guess.frame, de).is_none());
    last || end == Some(guess.frame.len())
}

fn left_over(bytes: usize) -> String {
    let left = Counted(bytes, "byte").that("is", "are");
    format!("{left} left over behind the message")
}

/// Where a piece of a frame begins in it.
pub(in crate::inspect) fn offset_in(frame: &[u8], piece: &[u8]) -> Option<usize> {
    piece.as_ptr().addr().checked_sub(frame.as_ptr().addr())
}

pub(in crate::inspect) fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}
