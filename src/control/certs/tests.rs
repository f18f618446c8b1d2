//! Pairs that are good and pairs that are not, and what a reload makes of them.
