//! What the benches time and `tests/counts.rs` counts, once for both: the pure parts with input as
//! it comes, and beside some of them a floor, the least that such work can cost. Not here: clocks
//! (`timed`), instructions (`counts`).

pub mod frames;
pub mod heads;
pub mod hosts;
pub mod mask;
pub mod snapshot;
pub mod wheel;

/// One piece of work that can be done again and again.
pub struct Case {
    /// What is asked, unique among all.
    pub name: String,
    /// What a unit is: one of its frames, heads, domains.
    pub per: &'static str,
    /// Units in one run of the work.
    pub units: u64,
    pub of: Of,
    /// Makes the input, which is neither timed nor counted.
    pub prepare: Box<dyn Fn() -> Work>,
}

pub type Work = Box<dyn FnMut()>;

/// Whose work it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Hawser,
    /// Somebody else's, for comparison; not counted, for nobody here can make it dearer.
    Floor,
}

impl Case {
    pub fn new<W: FnMut() + 'static>(
        name: impl Into<String>,
        (units, per): (u64, &'static str),
        prepare: impl Fn() -> W + 'static,
    ) -> Case {
        let prepare = Box::new(move || Box::new(prepare()) as Work);
        Case { name: name.into(), per, units, of: Of::Hawser, prepare }
    }

    pub fn floor(self) -> Case {
        Case { of: Of::Floor, ..self }
    }
}

/// All that can be counted, in the order of the documents.
pub fn all() -> Vec<Case> {
    let parts = [
        heads::cases(),
        frames::cases(),
        mask::cases(),
        wheel::cases(),
        hosts::cases(),
        snapshot::cases(),
    ];
    parts.into_iter().flatten().collect()
}

/// The finalizer of SplitMix64: what is drawn is the same each time.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
