//! The limits of a bundle, and who is to blame when they are exceeded.

use std::collections::BTreeMap;

use proto::limits::{BUNDLE_BYTES, BUNDLE_FILES};
use proto::path::RelPath;
use proto::stack::ShippedFile;

use super::BundleError;
use super::gather::{FOUND_FILES, Found};

/// Offenders named.
const SHOWN: usize = 5;

/// Refuses `files` and `found` together when they are too many or too large.
pub(super) fn check(
    stack: &str,
    files: &[ShippedFile],
    found: &BTreeMap<RelPath, Found>,
) -> Result<(), BundleError> {
    let known = files.iter().map(|file| (&file.path, file.size));
    let new = found.iter().map(|(path, found)| (path, found.size));
    let count = files.len() + found.len();
    let size = known
        .clone()
        .chain(new.clone())
        .map(|(_, size)| size)
        .sum::<u64>();
    let stack = || stack.to_owned();
    if count > BUNDLE_FILES {
        let most = by_folder(known.chain(new).map(|(path, _)| (path, 1)));
        let show = |(folder, count): (String, u64)| format!("{count:>9}  {folder}");
        return Err(BundleError::TooMany {
            stack: stack(),
            count: if count > FOUND_FILES {
                format!("more than {FOUND_FILES}")
            } else {
                count.to_string()
            },
            limit: BUNDLE_FILES,
            most: most.into_iter().map(show).collect(),
        });
    }
    if size > BUNDLE_BYTES {
        let most = by_folder(known.chain(new));
        let show = |(folder, size): (String, u64)| format!("{:>9}  {folder}", human(size));
        return Err(BundleError::TooLarge {
            stack: stack(),
            size: human(size),
            limit: human(BUNDLE_BYTES),
            most: most.into_iter().map(show).collect(),
        });
    }
    Ok(())
}

/// The largest sums, by the first two parts of the paths: a large file and a folder of many small ones
/// are both visible there.
fn by_folder<'p>(paths: impl Iterator<Item = (&'p RelPath, u64)>) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (path, amount) in paths {
        let mut parts = path.as_str().split('/');
        let head: Vec<&str> = parts.by_ref().take(2).collect();
        let more = if parts.next().is_some() { "/" } else { "" };
        *sums.entry(format!("{}{more}", head.join("/"))).or_default() += amount;
    }
    let mut sums: Vec<(String, u64)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, amount)| std::cmp::Reverse(*amount));
    sums.truncate(SHOWN);
    sums
}

/// Rounded up, so that a size over the limit never reads like the limit.
fn human(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes >= MIB {
        let tenths = (bytes * 10).div_ceil(MIB);
        format!("{}.{} MiB", tenths / 10, tenths % 10)
    } else {
        format!("{} KiB", bytes.div_ceil(1024))
    }
}
