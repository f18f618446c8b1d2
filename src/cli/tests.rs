//! The command line as it is seen: help of every verb, and exit codes.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

/// The verbs themselves are compared by `tests/it`, over the real program.
#[test]
fn help_of_the_domain_and_certificate_verbs() {
    insta::assert_snapshot!("help_of_the_domain_verbs", help_below("domain"));
    insta::assert_snapshot!("help_of_the_plan_verbs", help_below("plan"));
    insta::assert_snapshot!("help_of_the_certificate_verbs", help_below("cert"));
    insta::assert_snapshot!("help_of_the_key_verbs", help_below("key"));
    insta::assert_snapshot!("help_of_the_audit_verbs", help_below("audit"));
}

fn help_below(verb: &str) -> String {
    let mut command = Cli::command();
    command.build();
    let above = command.find_subcommand_mut(verb).expect("a verb");
    let mut all = String::new();
    for verb in above.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        *verb = verb.clone().term_width(100);
        let help = verb.render_long_help();
        all += &format!("=== {} ===\n{help}\n", verb.get_name());
    }
    all
}

#[test]
fn every_error_has_its_exit_code() {
    let problems = || Problems(Vec::new());
    let state_dir = std::path::Path::new("/nowhere").to_owned();
    let cases = [
        (anyhow::Error::new(problems()), Exit::BadConfig),
        (anyhow::Error::new(problems()).context("nothing was changed"), Exit::BadConfig),
        (anyhow::Error::new(StoreError::Refused(problems())), Exit::BadConfig),
        (StoreError::Name { name: "x".into(), why: None }.into(), Exit::Usage),
        (StoreError::Raced("x".into()).into(), Exit::Failed),
        (ChangeError::from(StoreError::Refused(problems())).into(), Exit::BadConfig),
        (ChangeError::Rejected(problems().into()).into(), Exit::BadConfig),
        (ChangeError::NoPlan { domain: "a.test".into() }.into(), Exit::Failed),
        (EditError::Name.into(), Exit::Usage),
        (ProbeError::Forbidden { disabled: Some(2) }.into(), Exit::NotPermitted),
        (control_client::ClientError::NotRunning(state_dir).into(), Exit::Failed),
        (anyhow::anyhow!("something else"), Exit::Failed),
    ];
    for (error, exit) in cases {
        assert_eq!(exit_of(&error), exit, "{error:#}");
    }
    assert!(is_broken_pipe(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
    assert!(!is_broken_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
}
