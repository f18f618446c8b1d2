//! Regions and providers of addresses, from a CIDR rules file or mmdb databases, as a
//! `snapshot::Geo`. Not here: the look-up on the data path, which only calls what is made here.

pub mod names;
