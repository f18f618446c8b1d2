//! What came of a run: figures of its steps and of all of it, what was wrong, and how that is said
//! to programs (JSON) and people (a table). Not here: how it came about.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::children::sum;
use crate::latency;

/// The times that an answer may hold, each merged over the processes.
const TIMES: [&str; 5] = ["latency", "service", "lag", "cycle", "handshake"];
/// Counts of one step, summed up.
const COUNTS: [&str; 8] =
    ["scheduled", "sent", "received", "lost", "unsent", "repeated", "made", "failed"];
/// Counts since the beginning of a process, and what they are called here.
const TOTALS: [(&str, &str); 7] = [
    ("sent", "sent"),
    ("echoed", "received"),
    ("echoed_bytes", "received_bytes"),
    ("wrong_bytes", "wrong_bytes"),
    ("unasked", "unasked"),
    ("pings", "pings"),
    ("protocol_errors", "protocol_errors"),
];

#[derive(Default)]
pub struct Outcome {
    pub opened: Map<String, Value>,
    pub steps: Vec<Map<String, Value>>,
    totals: Map<String, Value>,
    closed: BTreeMap<String, u64>,
    errors: BTreeMap<String, Value>,
    /// What was lost or wrong, in words.
    wrong: Vec<String>,
    pub interrupted: bool,
}

/// Figures of one step: what of [`COUNTS`] and [`TIMES`] the answers hold.
pub fn step(answers: &[Value]) -> anyhow::Result<Map<String, Value>> {
    let mut figures = Map::new();
    for name in COUNTS.iter().filter(|name| answers.iter().any(|a| a[**name].is_u64())) {
        figures.insert((*name).to_owned(), json!(sum(answers, name)));
    }
    for name in TIMES.iter().filter(|name| answers.iter().any(|a| a[**name].is_object())) {
        figures.insert((*name).to_owned(), latency::merged(answers, name)?.document());
    }
    for name in ["ms_to_first", "ms_to_all"] {
        let times = answers.iter().filter_map(|answer| answer[name].as_f64());
        let time = match name {
            "ms_to_first" => times.reduce(f64::min),
            _ => times.reduce(f64::max),
        };
        figures.extend(time.map(|time| (name.to_owned(), json!(time))));
    }
    Ok(figures)
}

impl Outcome {
    pub fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    pub fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// A count of the whole run, once it is concluded.
    pub fn total(&self, name: &str) -> u64 {
        self.totals.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Counts of the whole run, and what is wrong about them. `answers` are the last of all
    /// processes.
    pub fn conclude(&mut self, answers: &[Value]) {
        let total = |name: &str| sum(answers, name);
        let mut totals: Map<String, Value> =
            TOTALS.iter().map(|(name, ours)| ((*ours).to_owned(), json!(total(name)))).collect();
        // What was sent and never came, whatever step it was of.
        let lost = total("sent") - total("echoed") + self.of_steps("pushes_lost");
        totals.insert("lost".into(), json!(lost));
        totals.insert("pushed".into(), json!(total("pushed")));
        let (unsent, repeated) = (self.of_steps("unsent"), self.of_steps("repeated"));
        totals.insert("unsent".into(), json!(unsent));
        totals.insert("repeated".into(), json!(repeated));
        for answer in answers {
            for (code, count) in answer["ended"].as_object().into_iter().flatten() {
                *self.closed.entry(code.clone()).or_default() += count.as_u64().unwrap_or(0);
            }
            for (kind, error) in answer["errors"].as_object().into_iter().flatten() {
                self.add_error(kind, error);
            }
        }
        for (count, what) in [
            (lost, "messages were lost"),
            (unsent, "messages could not be sent: the rate is beyond what was reached"),
            (repeated, "messages came again"),
            (total("unasked"), "messages came that nobody asked for"),
            (total("wrong_bytes"), "bytes were wrong"),
            (total("protocol_errors"), "errors of the WebSocket protocol"),
            (total("open"), "connections did not end when they were closed"),
        ] {
            if count > 0 {
                self.wrong.push(format!("{count} {what}"));
            }
        }
        for (kind, error) in &self.errors {
            let (count, fault) = (&error["count"], error["fault"].as_str().unwrap_or_default());
            let first = error["first"].as_str().unwrap_or_default();
            self.wrong.push(format!("{count} x {kind} ({fault}): {first}"));
        }
        self.totals = totals;
    }

    pub fn document(&self) -> Map<String, Value> {
        let document = json!({
            "opened": self.opened,
            "steps": self.steps,
            "totals": self.totals,
            "closed": self.closed,
            "errors": self.errors,
            "interrupted": self.interrupted,
            "passed": self.is_right(),
            "wrong": self.wrong,
        });
        match document {
            Value::Object(document) => document,
            _ => Map::new(),
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        if let Some(ms) = self.opened.get("ms_to_all").and_then(Value::as_f64) {
            let _ = writeln!(text, "opened    {} in {}", self.opened["count"], time(ms * 1000.0));
            if ms > 0.0 {
                let _ = writeln!(text, "  handshake {}", quantiles(&self.opened["handshake"]));
            }
        }
        for step in &self.steps {
            let _ = writeln!(text, "step      {}", counts(step));
            for name in TIMES {
                if let Some(times) = step.get(name).filter(|times| times["count"] != 0) {
                    let _ = writeln!(text, "  {name:9} {}", quantiles(times));
                }
            }
        }
        let _ = writeln!(text, "in all    {}", counts(&self.totals));
        let closed = self.closed.iter().map(|(code, count)| format!("{code}: {count}"));
        let _ = writeln!(text, "closed    {}", closed.collect::<Vec<_>>().join(", "));
        for wrong in &self.wrong {
            let _ = writeln!(text, "WRONG     {wrong}");
        }
        text += match (self.is_right(), self.interrupted) {
            (true, false) => "nothing was lost or wrong\n",
            (true, true) => "interrupted: nothing was lost or wrong until then\n",
            (false, _) => "",
        };
        text
    }

    fn of_steps(&self, name: &str) -> u64 {
        self.steps.iter().filter_map(|step| step.get(name)?.as_u64()).sum()
    }

    fn add_error(&mut self, kind: &str, error: &Value) {
        let known = self.errors.entry(kind.to_owned()).or_insert_with(|| {
            let mut none = error.clone();
            none["count"] = json!(0);
            none
        });
        let count = known["count"].as_u64().unwrap_or(0) + error["count"].as_u64().unwrap_or(0);
        known["count"] = json!(count);
    }
}

fn counts(figures: &Map<String, Value>) -> String {
    let numbers = figures.iter().filter_map(|(name, value)| Some((name, value.as_f64()?)));
    let said = numbers.filter(|(_, number)| *number != 0.0).map(|(name, number)| {
        let digits = if number.fract() == 0.0 { 0 } else { 2 };
        format!("{} {number:.digits$}", name.replace('_', " "))
    });
    said.collect::<Vec<_>>().join(", ")
}

fn quantiles(times: &Value) -> String {
    let each = ["p50", "p90", "p99", "p999", "max"];
    let said = each.map(|name| format!("{name} {:>8}", time(times[name].as_f64().unwrap_or(0.0))));
    said.join("  ")
}

/// Microseconds with the unit that fits.
fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} us"),
        us if us < 1e6 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;

    fn answer(counts: Value) -> Value {
        let mut answer = json!({ "ended": {}, "errors": {} });
        for (name, value) in counts.as_object().into_iter().flatten() {
            answer[name] = value.clone();
        }
        answer
    }

    #[test]
    fn processes_are_summed_up_and_what_is_wrong_is_named() {
        let reset = json!({ "reset": { "count": 2, "fault": "target", "first": "reset" } });
        let answers = [
            answer(json!({ "sent": 10, "echoed": 10, "ended": { "1000": 3 } })),
            answer(json!({ "sent": 10, "echoed": 9, "ended": { "1000": 1, "1006": 2 },
                           "errors": reset, "wrong_bytes": 1 })),
        ];
        let mut outcome = Outcome::default();
        outcome.conclude(&answers);
        assert_eq!(outcome.totals["lost"], 1);
        assert_eq!(outcome.closed["1000"], 4);
        let wrong = outcome.wrong.join("; ");
        for named in ["1 messages were lost", "1 bytes were wrong", "2 x reset (target): reset"] {
            assert!(wrong.contains(named), "{named:?} in {wrong}");
        }
        assert!(outcome.table().contains("WRONG"), "{}", outcome.table());
    }

    #[test]
    fn a_run_without_faults_is_right() {
        let mut outcome = Outcome::default();
        outcome.conclude(&[answer(json!({ "sent": 3, "echoed": 3, "ended": { "1000": 1 } }))]);
        assert!(outcome.is_right() && outcome.table().contains("nothing was lost"));
    }

    #[test]
    fn a_step_has_the_figures_that_its_answers_have() {
        let mut latency = Latency::default();
        latency.record(std::time::Duration::from_micros(70));
        let one = json!({ "sent": 5, "latency": latency.document(), "ms_to_all": 3.5 });
        let step = step(&[one.clone(), one]).expect("both have histograms");
        assert_eq!((&step["sent"], &step["latency"]["count"]), (&json!(10), &json!(2)));
        assert_eq!((step.get("cycle"), &step["ms_to_all"]), (None, &json!(3.5)));
    }
}
