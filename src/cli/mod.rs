//! The command line: one file per verb. Not here: what the verbs do to a running edge (`control`).
