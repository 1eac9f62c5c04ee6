//! The gateway from outside: terminals and upstreams whose bytes and whose order the test decides.

mod abuse;
mod admin;
mod batches;
mod binary;
mod bound_anew;
mod disk;
mod drain;
mod exceptions;
mod fixture;
mod frames;
mod gate;
mod hostile_host;
mod inquiries;
mod kept;
mod originals;
mod recovery;
mod repeats;
mod reversal;
mod sale;
mod secrets;
mod serving;
mod settlement;
mod stans;
mod upkeep;
mod upstream;
mod wire;
