//! Chance that comes again with the same seed, and where figures go.

/// A xorshift generator.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // Small seeds must not begin alike.
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            chance.next();
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Whether the long variants are wanted.
pub(crate) fn full() -> bool {
    std::env::var_os("LONGSHORE_REPORT").is_some()
}

/// Writes a figure into the report of `deploy/test --full`, and to standard error.
#[expect(clippy::print_stderr, reason = "a figure belongs into a test's output")]
pub(crate) fn report(line: &str) {
    use std::io::Write as _;
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("LONGSHORE_REPORT") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
