//! What happens in a world.

use bytes::BytesMut;

use super::terminal::message_of;
use crate::base::{Moment, Stan};
use crate::iso8583::{Dialect, Index};

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A terminal's turn, if it still waits for that.
    Act {
        terminal: usize,
        due: Moment,
    },
    /// A frame reaches the gateway.
    ToGateway {
        session: u64,
        frame: BytesMut,
    },
    /// A frame reaches a terminal.
    ToTerminal {
        session: u64,
        frame: Vec<u8>,
    },
    /// A terminal's connection ends.
    HangUp {
        session: u64,
    },
    /// A frame reaches the host over a connection of a link.
    ToHost {
        link: usize,
        epoch: u64,
        frame: Vec<u8>,
    },
    /// The host books a request and answers it.
    Booked {
        link: usize,
        epoch: u64,
        frame: Vec<u8>,
    },
    /// An answer reaches the gateway.
    FromHost {
        link: usize,
        epoch: u64,
        frame: BytesMut,
    },
    LinkUp {
        link: usize,
    },
    /// The operator changes something.
    Operator,
    /// A person looks at what is parked.
    Exceptions,
    /// What was asked is looked up.
    LookedUp {
        life: u64,
    },
    SyncBegins,
    SyncDone {
        life: u64,
    },
    Tick {
        life: u64,
    },
    Crash,
    Restart,
}

impl Event {
    /// One line: what happens, and of a frame what tells it from others.
    pub(super) fn describe(&self, dialect: &Dialect) -> String {
        let of = |frame: &[u8]| {
            let mut index = Index::new();
            let Ok(message) = message_of(dialect, frame, &mut index) else {
                return "undecodable".to_owned();
            };
            let id = message.terminal();
            let (stan, code) = (message.stan(), message.response_code());
            format!(
                "{} {} stan {} minor {} code {}",
                message.mti(),
                id.map_or_else(String::new, |id| id.to_string()),
                stan.map_or(0, Stan::get),
                message.amount().map_or(0, |amount| amount.minor),
                code.map_or_else(|| "-".into(), |code| code.to_string()),
            )
        };
        match self {
            Self::ToGateway { session, frame } => {
                format!("terminal -> gateway, session {session}: {}", of(frame))
            }
            Self::ToTerminal { session, frame } => {
                format!("gateway -> terminal, session {session}: {}", of(frame))
            }
            Self::ToHost { link, epoch, frame } => {
                format!("gateway -> host, link {link}.{epoch}: {}", of(frame))
            }
            Self::Booked { link, epoch, frame } => {
                format!("host books, link {link}.{epoch}: {}", of(frame))
            }
            Self::FromHost { link, epoch, frame } => {
                format!("host -> gateway, link {link}.{epoch}: {}", of(frame))
            }
            Self::Act { .. }
            | Self::HangUp { .. }
            | Self::LinkUp { .. }
            | Self::Operator
            | Self::Exceptions
            | Self::LookedUp { .. }
            | Self::SyncBegins
            | Self::SyncDone { .. }
            | Self::Tick { .. }
            | Self::Crash
            | Self::Restart => format!("{self:?}"),
        }
    }
}
