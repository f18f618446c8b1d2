//! One per core: joins `net`, `proto` and `tunnel`. Never imports `control`.
