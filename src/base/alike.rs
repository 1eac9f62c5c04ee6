//! Names that a reader would take for one another.
//!
//! Two persons have to do what one may not, and people are told apart by the names of their tokens. A name that differs
//! from another only in what nobody sees (capitals, spaces, the width of letters, a Cyrillic letter for a Latin one) is no
//! second person's.
//!
//! What is compared are skeletons, after the manner of Unicode TS #39: each letter stands for those that look like it.
//! The table has the scripts whose letters pass for Latin ones; what it lacks keeps names apart that look alike, and
//! never makes one of two that do not.

/// Letters and what they look like, in pairs. Capitals stand by themselves: a capital often looks like another letter
/// than its small one does.
const LOOK_LIKE: &[(&str, &str)] = &[
    // Cyrillic.
    ("АВЕЗІЈКМНОРСТУХЅҮԌԚԜӀҺ", "ABE3IJKMHOPCTYXSYGQWIH"),
    ("аскеіјорѕухԁԛԝӏһүґ", "ackeijopsyxdqwlhyr"),
    // Greek.
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "ABEZHIKMNOPTYXC"),
    ("αικνορυχωγϲϳ", "aikvopuxwycj"),
    // Armenian.
    ("ՍՕՏԼ", "UOSL"),
    ("սօոհցզյ", "uonhgqj"),
    // Latin letters and signs beside the alphabet.
    ("ıɑɡɩⅼℓ|∣ǀ", "iagilllll"),
    ("ⅠⅤⅩⅬⅭⅮⅯ", "IVXLCDM"),
    ("ⅰⅴⅹⅽⅾⅿ", "ivxcdm"),
    // With marks that a reader passes over.
    (
        "ÀÁÂÃÄÅĀĂĄǍÇĆĈĊČĎĐÈÉÊËĒĔĖĘĚĜĞĠĢĤĦÌÍÎÏĨĪĬĮİǏĴĶĹĻĽĿŁ",
        "AAAAAAAAAACCCCCDDEEEEEEEEEGGGGHHIIIIIIIIIIJKLLLLL",
    ),
    (
        "àáâãäåāăąǎçćĉċčďđèéêëēĕėęěĝğġģĥħìíîïĩīĭįǐĵķĺļľŀł",
        "aaaaaaaaaacccccddeeeeeeeeegggghhiiiiiiiiijklllll",
    ),
    (
        "ÑŃŅŇÒÓÔÕÖØŌŎŐǑŔŖŘŚŜŞŠŢŤŦÙÚÛÜŨŪŬŮŰŲǓǕǗǙǛŴÝŶŸŹŻŽЁЙ",
        "NNNNOOOOOOOOOORRRSSSSTTTUUUUUUUUUUUUUUUWYYYZZZEИ",
    ),
    (
        "ñńņňòóôõöøōŏőǒŕŗřśŝşšţťŧùúûüũūŭůűųǔǖǘǚǜŵýÿŷźżžёй",
        "nnnnoooooooooorrrsssstttuuuuuuuuuuuuuuuwyyyzzzeи",
    ),
];

/// Whether a reader would take one name for the other.
#[must_use]
pub fn look_alike(one: &str, other: &str) -> bool {
    // Capitals are no difference, whether they are told before or after; nor is a capital I for a small l.
    let small = |name: &str| skeleton(&name.to_lowercase());
    let folded = |name: &str| skeleton(name).to_lowercase();
    let seen = |name: &str| skeleton(name).replace(['I', '1'], "l").replace('0', "O");
    small(one) == small(other) || folded(one) == folded(other) || seen(one) == seen(other)
}

/// A name's letters as they look, without spaces and marks.
fn skeleton(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace() && !is_mark(*c))
        .map(|c| looks_like(plain(c)))
        .collect()
}

/// Marks that stand over or under the letter before them, and the choice of a variant: no letters of their own.
const fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36F}'
            | '\u{483}'..='\u{487}'
            | '\u{1AB0}'..='\u{1AFF}'
            | '\u{1DC0}'..='\u{1DFF}'
            | '\u{20D0}'..='\u{20FF}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FE20}'..='\u{FE2F}'
            | '\u{E0100}'..='\u{E01EF}'
    )
}

/// The letter or digit of which this is another style: full width, circled, mathematical.
fn plain(c: char) -> char {
    let at = u32::from(c);
    let letter = |nth: u32, first: u8| char::from_u32(u32::from(first) + nth);
    let found = match at {
        // Full width forms stand in the order of ASCII.
        0xFF01..=0xFF5E => char::from_u32(at - 0xFF01 + 0x21),
        0x24B6..=0x24CF => letter(at - 0x24B6, b'A'),
        0x24D0..=0x24E9 => letter(at - 0x24D0, b'a'),
        // Thirteen alphabets, each of them capitals and then small letters.
        0x1D400..=0x1D6A3 => match (at - 0x1D400) % 52 {
            capital @ 0..26 => letter(capital, b'A'),
            small => letter(small - 26, b'a'),
        },
        0x1D7CE..=0x1D7FF => letter((at - 0x1D7CE) % 10, b'0'),
        _other => None,
    };
    found.unwrap_or(c)
}

/// The letter that a reader takes it for.
fn looks_like(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let pairs = LOOK_LIKE
        .iter()
        .flat_map(|(seen, meant)| seen.chars().zip(meant.chars()));
    pairs
        .into_iter()
        .find_map(|(seen, meant)| (seen == c).then_some(meant))
        .unwrap_or(c)
}

/// Why a name is not given to anybody new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A word of letters of several scripts that pass for one another.
    #[error(
        "the name has Latin and {script} letters in one word, the first of the other script at position {position}; \
         write a word with the letters of one script"
    )]
    Mixed {
        /// "Cyrillic", "Greek" or "Armenian".
        script: &'static str,
        /// From 1.
        position: usize,
    },
    /// A letter that nobody types, and that looks like one.
    #[error("the name has a letter of another style at position {position}; type an ordinary one")]
    Styled {
        /// From 1.
        position: usize,
    },
}

/// That a name could have been typed by somebody who means it: no word has letters of several scripts that pass for one
/// another, and none is dressed up.
///
/// # Errors
/// Where it is not so.
pub fn check_letters(name: &str) -> Result<(), NameError> {
    let mut word: Option<(Script, usize)> = None;
    for (at, c) in name.chars().enumerate() {
        let position = at + 1;
        // Another writing of a Chinese character, or of its part.
        let dressed = matches!(c, '\u{F900}'..='\u{FAFF}' | '\u{2E80}'..='\u{2FDF}' | '\u{2F800}'..='\u{2FA1F}');
        if dressed || (plain(c) != c && !matches!(c, '\u{FF01}'..='\u{FF5E}')) {
            return Err(NameError::Styled { position });
        }
        let Some(script) = Script::of(c) else {
            if !c.is_alphanumeric() && !is_mark(c) {
                word = None;
            }
            continue;
        };
        match word {
            Some((before, first)) if before != script => {
                let (other, position) = match script {
                    Script::Latin => (before, first),
                    Script::Cyrillic | Script::Greek | Script::Armenian => (script, position),
                };
                let script = other.name();
                return Err(NameError::Mixed { script, position });
            }
            Some(_) => {}
            None => word = Some((script, position)),
        }
    }
    Ok(())
}

/// Scripts whose letters pass for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Latin,
    Cyrillic,
    Greek,
    Armenian,
}

impl Script {
    fn of(c: char) -> Option<Self> {
        if !c.is_alphabetic() {
            return None;
        }
        match c {
            'A'..='Z' | 'a'..='z' | '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' => {
                Some(Self::Latin)
            }
            '\u{FF21}'..='\u{FF3A}' | '\u{FF41}'..='\u{FF5A}' => Some(Self::Latin),
            '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}' => Some(Self::Greek),
            '\u{400}'..='\u{52F}' => Some(Self::Cyrillic),
            '\u{531}'..='\u{587}' => Some(Self::Armenian),
            _other => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Latin => "Latin",
            Self::Cyrillic => "Cyrillic",
            Self::Greek => "Greek",
            Self::Armenian => "Armenian",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_the_table_has_what_it_looks_like() {
        for (seen, meant) in LOOK_LIKE {
            assert_eq!(seen.chars().count(), meant.chars().count(), "{seen}");
        }
    }

    #[test]
    fn what_nobody_sees_is_no_difference() {
        for other in [
            " li na ",
            "Li  Na",
            "LiNa",
            "Li\u{3000}Na",
            "\u{FF2C}\u{FF49} \u{FF2E}\u{FF41}",
            "Lі Na",
            "Li Nа",
            "LІ NА",
            "Li Nα",
            "Lí Nā",
            "Li\u{301} Na",
            "L\u{131} Na",
            "𝐋𝐢 𝐍𝐚",
            "Ⓛⓘ Ⓝⓐ",
        ] {
            assert!(look_alike("Li Na", other), "{other}");
            assert!(look_alike(other, "Li Na"), "{other}");
        }
        assert!(look_alike("Вова Котов", "вова котов"));
        // A whole name in other letters.
        assert!(look_alike("Рора Сосо", "Popa Coco"));
        // Capital I, small l and one.
        assert!(look_alike("Ian", "lan"));
        assert!(look_alike("till 1", "tiIl l"));
        assert!(look_alike("desk O", "desk 0"));
    }

    #[test]
    fn other_names_are_other_persons() {
        for (one, other) in [
            ("Li Na", "Li Nan"),
            ("李娜", "李娜娜"),
            ("李娜", "李那"),
            ("Ian", "Lan"),
            ("Иван", "Ивана"),
            ("Wang Fang", "Wang Gang"),
            ("checker 1", "checker 2"),
        ] {
            assert!(!look_alike(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_word_has_letters_of_one_script() {
        for name in [
            "Li Na",
            "李娜 Li Na",
            "李娜Na",
            "Иван Петров",
            "Иван Smith",
            "Müller-Łódź",
            "Γιώργος",
            "till-7 (day)",
            "\u{FF2C}\u{FF49}",
        ] {
            assert_eq!(check_letters(name), Ok(()), "{name}");
        }
        let mixed = |name, script, position| {
            let refused = Err(NameError::Mixed { script, position });
            assert_eq!(check_letters(name), refused, "{name}");
        };
        mixed("Li Nа", "Cyrillic", 5);
        mixed("Аnna", "Cyrillic", 1);
        mixed("Wang Fαng", "Greek", 7);
        let dressed = Err(NameError::Styled { position: 1 });
        assert_eq!(check_letters("𝐋i"), dressed);
        assert_eq!(check_letters("\u{F9E1}娜"), dressed);
    }
}
