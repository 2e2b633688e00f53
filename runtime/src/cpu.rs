//! What the processor is like.

use std::sync::LazyLock;

/// Where the operating system does not say.
const USUAL: u64 = 32 << 20;

/// Bytes of the largest cache that a core sees.
pub fn last_level_cache() -> u64 {
    static BYTES: LazyLock<u64> = LazyLock::new(|| sysfs("/sys/devices/system/cpu/cpu0/cache").unwrap_or(USUAL));
    *BYTES
}

/// The largest `size` of the caches that Linux lists in a folder: `32768K`.
fn sysfs(folder: &str) -> Option<u64> {
    let sizes = std::fs::read_dir(folder).ok()?.flatten().filter_map(|index| {
        let text = std::fs::read_to_string(index.path().join("size")).ok()?;
        parse(text.trim())
    });
    sizes.max()
}

fn parse(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &size[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_linux_writes_them() {
        assert_eq!(parse("32768K"), Some(32 << 20));
        assert_eq!(parse("8M"), Some(8 << 20));
        assert_eq!(parse("512"), Some(512));
        assert_eq!(parse("12X"), None);
        assert_eq!(parse(""), None);
        assert!(last_level_cache() > 0);
        assert_eq!(sysfs("/nowhere"), None);
    }
}
