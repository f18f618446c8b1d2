//! What a terminal shows while a run goes on; nothing where there is no terminal. Not here: the
//! results.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::options;

#[derive(Clone, Copy)]
pub struct Display(options::Progress);

/// One bar, gone when it is dropped.
pub struct Bar(ProgressBar);

impl Display {
    pub fn new(progress: options::Progress) -> Display {
        Display(progress)
    }

    /// A bar of that length for something that is counted.
    pub fn counted(self, what: &str, all: u64) -> Bar {
        self.bar(what, all, "{msg:24} {bar:40} {human_pos}/{human_len} {elapsed}")
    }

    /// A bar for something that takes that long.
    pub fn timed(self, what: &str, time: Duration) -> Bar {
        self.bar(what, time.as_millis() as u64, "{msg:56} {bar:32} {elapsed} of {prefix}")
            .named(format!("{time:?}"))
    }

    fn bar(self, what: &str, all: u64, template: &str) -> Bar {
        let target = match self.0 {
            // Hidden of itself where standard error is no terminal.
            options::Progress::Auto => ProgressDrawTarget::stderr(),
            options::Progress::Never => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template(template).expect("the templates are right");
        let bar = ProgressBar::with_draw_target(Some(all), target).with_style(style);
        bar.set_message(what.to_owned());
        Bar(bar)
    }
}

impl Bar {
    fn named(self, prefix: String) -> Bar {
        self.0.set_prefix(prefix);
        self
    }

    pub fn at(&self, position: u64) {
        self.0.set_position(position);
    }

    /// As far as its time has gone.
    pub fn elapsed(&self, what: String) {
        self.0.set_position(self.0.elapsed().as_millis() as u64);
        self.0.set_message(what);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
