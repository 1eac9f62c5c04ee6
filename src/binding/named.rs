//! Enums whose variants have a name: in the store, in the API, in files and on the command line.

macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name used in the store, the API and files.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The one with that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|each| each.name())))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                Self::from_name(&text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|each| each.name()).collect();
                    serde::de::Error::custom(format_args!("one of {}", known.join(", ")))
                })
            }
        }
    };
}

pub(super) use named_enum;

/// A set of values of such an enum, a bit each in the order in which they are declared: what the store keeps. At most
/// eight.
macro_rules! named_set {
    ($(#[$doc:meta])* $name:ident of $member:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(u8);

        impl $name {
            /// Nothing is in it.
            pub const EMPTY: Self = Self(0);

            const fn bit(member: $member) -> u8 {
                1 << member as u8
            }

            /// The set with one more.
            #[must_use]
            pub const fn with(self, member: $member) -> Self {
                Self(self.0 | Self::bit(member))
            }

            /// The set without one.
            #[must_use]
            pub const fn without(self, member: $member) -> Self {
                Self(self.0 & !Self::bit(member))
            }

            /// Whether it is in the set.
            #[must_use]
            pub const fn contains(self, member: $member) -> bool {
                self.0 & Self::bit(member) != 0
            }

            /// Whether nothing is in it.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// As stored.
            #[must_use]
            pub const fn bits(self) -> u8 {
                self.0
            }

            /// From the store; bits that mean nothing are dropped.
            #[must_use]
            pub fn from_bits(bits: u8) -> Self {
                let known = $member::ALL
                    .iter()
                    .fold(Self::EMPTY, |set, member| set.with(*member));
                Self(bits & known.0)
            }

            /// What is in it, in the order of declaration.
            pub fn iter(self) -> impl Iterator<Item = $member> {
                $member::ALL
                    .iter()
                    .copied()
                    .filter(move |member| self.contains(*member))
            }
        }
    };
}
pub(super) use named_set;
