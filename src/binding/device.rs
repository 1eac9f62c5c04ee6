//! The life of a device: the hardware behind a terminal id, and who has it.
//!
//! ```text
//!  STOCKED ──reserve──▶ RESERVED ──deploy──▶ DEPLOYED ──repair──▶ IN_REPAIR
//!     ▲  ▲                 │ release           │  ▲                 │
//!     │  └─────────────────┘                   │  └────deploy───────┤
//!     │ restock                                │                    │
//!  WIPED ◀──wiped── WIPE_PENDING ◀──order wipe─┴────────────────────┘
//!                    │      ▲
//!              failed▼      │order wipe
//!                  WIPE_FAILED
//!
//!  any but RETIRED ──lost──▶ LOST ──found──▶ IN_REPAIR
//!  STOCKED, WIPED, WIPE_FAILED, LOST, IN_REPAIR ──retire──▶ RETIRED
//! ```
//!
//! A device that was found goes to repair and not back to its shop: what happened to it is not known; one that was wiped, or
//! was to be, goes back to that. A
//! device is bound again only from stock, and comes back to stock only wiped (PCI PIN 31).

use super::named::named_enum;
use super::refusal::{Refusal, only_in};

/// A serial number as the gate compares it: a fingerprint, because the directory has a copy for every terminal. It
/// is no secret, and no proof of anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SerialPrint(u64);

impl SerialPrint {
    /// No device is known.
    pub const NONE: Self = Self(0);

    /// Of a serial number without blanks around it; none of an empty one. FNV-1a.
    #[must_use]
    pub fn of(serial: &[u8]) -> Self {
        if serial.is_empty() {
            return Self::NONE;
        }
        let hash = serial
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self(hash.max(1))
    }

    /// Whether a message that names `said` comes from this device, as far as anybody knows.
    #[must_use]
    pub const fn agrees(self, said: Self) -> bool {
        self.is_none() || said.is_none() || self.0 == said.0
    }

    /// Whether no device is known.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

named_enum!(
    /// Where a device stands.
    DeviceState {
        /// On the inventory, free.
        Stocked = "stocked",
        /// Meant for a binding that is not active yet.
        Reserved = "reserved",
        /// At the merchant's.
        Deployed = "deployed",
        /// In repair.
        InRepair = "in-repair",
        /// Lost or stolen.
        Lost = "lost",
        /// To be wiped; it has not confirmed yet.
        WipePending = "wipe-pending",
        /// Keys and data are gone.
        Wiped = "wiped",
        /// It refused, or was not reached in time.
        WipeFailed = "wipe-failed",
        /// Out of service for good.
        Retired = "retired",
    }
);

named_enum!(
    /// What happens to a device.
    DeviceEvent {
        /// Set aside for a binding.
        Reserve = "reserve",
        /// The binding came to nothing.
        Release = "release",
        /// Handed to the merchant, or back from repair.
        Deploy = "deploy",
        /// Taken to repair.
        Repair = "repair",
        /// Reported lost or stolen.
        Lose = "lose",
        /// Found again.
        Find = "find",
        /// Told to wipe itself.
        OrderWipe = "order-wipe",
        /// It confirmed that it is wiped.
        Wiped = "wiped",
        /// It refused, or did not answer in time.
        WipeFailed = "wipe-failed",
        /// Back on the shelf.
        Restock = "restock",
        /// Taken out of service.
        Retire = "retire",
    }
);

impl DeviceEvent {
    /// Name for history, audit and webhooks.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::Reserve => "device.reserved",
            Self::Release => "device.released",
            Self::Deploy => "device.deployed",
            Self::Repair => "device.in_repair",
            Self::Lose => "device.lost",
            Self::Find => "device.found",
            Self::OrderWipe => "device.wipe_issued",
            Self::Wiped => "device.wiped",
            Self::WipeFailed => "device.wipe_failed",
            Self::Restock => "device.restocked",
            Self::Retire => "device.retired",
        }
    }
}

/// What an event makes of a device.
///
/// # Errors
/// When it cannot happen in this state.
pub fn apply(state: DeviceState, event: DeviceEvent) -> Result<DeviceState, Refusal> {
    use DeviceState::{
        Deployed, InRepair, Lost, Reserved, Retired, Stocked, WipeFailed, WipePending, Wiped,
    };
    let only = |allowed: &[DeviceState], verb, remedy| {
        only_in(("device", state, state.name()), allowed, verb, remedy)
    };
    let wiped_first = "it has to be wiped and put back into stock first";
    match event {
        DeviceEvent::Reserve => only(&[Stocked], "reserved", wiped_first).map(|()| Reserved),
        DeviceEvent::Release => {
            only(&[Reserved], "released", "only what is reserved can be").map(|()| Stocked)
        }
        DeviceEvent::Deploy => only(
            &[Reserved, InRepair],
            "deployed",
            "reserve it for a binding first",
        )
        .map(|()| Deployed),
        DeviceEvent::Repair => {
            only(&[Deployed], "taken to repair", "it is not in use").map(|()| InRepair)
        }
        DeviceEvent::Lose => only(
            &[
                Stocked,
                Reserved,
                Deployed,
                InRepair,
                WipePending,
                Wiped,
                WipeFailed,
            ],
            "called lost",
            "it is lost or retired already",
        )
        .map(|()| Lost),
        DeviceEvent::Find => only(&[Lost], "found", "nobody called it lost").map(|()| InRepair),
        DeviceEvent::OrderWipe => only(
            &[Deployed, InRepair, WipeFailed],
            "told to wipe itself",
            "it holds nothing to be wiped, or was told already",
        )
        .map(|()| WipePending),
        DeviceEvent::Wiped => only(
            &[WipePending, WipeFailed],
            "called wiped",
            "tell it to wipe itself first",
        )
        .map(|()| Wiped),
        DeviceEvent::WipeFailed => only(
            &[WipePending],
            "called unwiped",
            "tell it to wipe itself first",
        )
        .map(|()| WipeFailed),
        DeviceEvent::Restock => only(&[Wiped], "put into stock", wiped_first).map(|()| Stocked),
        DeviceEvent::Retire => only(
            &[Stocked, Wiped, WipeFailed, Lost, InRepair],
            "retired",
            "unbind it first",
        )
        .map(|()| Retired),
    }
}

/// Where a device goes that was found, by what it was when it was lost: to repair, for what happened to it is not known;
/// but what was wiped, or was to be, still is.
#[must_use]
pub fn found(before: Option<DeviceState>) -> DeviceState {
    use DeviceState::{
        Deployed, InRepair, Lost, Reserved, Retired, Stocked, WipeFailed, WipePending, Wiped,
    };
    match before {
        Some(wiped @ (WipePending | WipeFailed | Wiped)) => wiped,
        Some(Stocked | Reserved | Deployed | InRepair | Lost | Retired) | None => InRepair,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_event_in_every_state_is_answered_as_the_table_says() {
        // Columns: stocked, reserved, deployed, in repair, lost, wipe pending, wiped, wipe failed, retired.
        let table = [
            (DeviceEvent::Reserve, "R........"),
            (DeviceEvent::Release, ".S......."),
            (DeviceEvent::Deploy, ".D.D....."),
            (DeviceEvent::Repair, "..I......"),
            (DeviceEvent::Lose, "LLLL.LLL."),
            (DeviceEvent::Find, "....I...."),
            (DeviceEvent::OrderWipe, "..PP...P."),
            (DeviceEvent::Wiped, ".....W.W."),
            (DeviceEvent::WipeFailed, ".....F..."),
            (DeviceEvent::Restock, "......S.."),
            (DeviceEvent::Retire, "X..XX.XX."),
        ];
        assert_eq!(table.len(), DeviceEvent::ALL.len());
        for (event, row) in table {
            let got: String = DeviceState::ALL
                .iter()
                .map(|state| match apply(*state, event) {
                    Err(_) => '.',
                    Ok(DeviceState::Stocked) => 'S',
                    Ok(DeviceState::Reserved) => 'R',
                    Ok(DeviceState::Deployed) => 'D',
                    Ok(DeviceState::InRepair) => 'I',
                    Ok(DeviceState::Lost) => 'L',
                    Ok(DeviceState::WipePending) => 'P',
                    Ok(DeviceState::Wiped) => 'W',
                    Ok(DeviceState::WipeFailed) => 'F',
                    Ok(DeviceState::Retired) => 'X',
                })
                .collect();
            assert_eq!(got, row, "{event}");
        }
    }

    proptest! {
        /// Once it was at a merchant's, only a wipe leads back to stock.
        #[test]
        fn nothing_unwiped_comes_back_to_stock(
            events in proptest::collection::vec(proptest::sample::select(DeviceEvent::ALL.to_vec()), 0..60)
        ) {
            let (mut state, mut holds_secrets) = (DeviceState::Stocked, false);
            for event in events {
                if let Ok(after) = apply(state, event) {
                    match event {
                        DeviceEvent::Deploy => holds_secrets = true,
                        DeviceEvent::Wiped => holds_secrets = false,
                        DeviceEvent::Reserve | DeviceEvent::Release | DeviceEvent::Repair
                        | DeviceEvent::Lose | DeviceEvent::Find | DeviceEvent::OrderWipe
                        | DeviceEvent::WipeFailed | DeviceEvent::Restock | DeviceEvent::Retire => {}
                    }
                    state = after;
                    prop_assert!(state != DeviceState::Stocked || !holds_secrets);
                }
            }
        }
    }
}
