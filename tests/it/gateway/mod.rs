//! The gateway from outside: terminals and upstreams whose bytes and whose order the test decides.

mod abuse;
mod admin;
mod binary;
mod bound_anew;
mod drain;
mod fixture;
mod frames;
mod gate;
mod inquiries;
mod recovery;
mod repeats;
mod reversal;
mod sale;
mod secrets;
mod settlement;
mod stans;
mod upstream;
mod wire;
