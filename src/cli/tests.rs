//! The command line as it is seen: help of every verb, and exit codes.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}
