//! Which pages the kernel gave: asked for is not had. proc(5), `smaps`; the size of a huge page from /sys, where it differs by machine (2 MiB on
//! x86-64, 2, 32 or 512 MiB on ARM by the size of its small ones).

/// Bytes in huge pages, of the mapping that holds this address; `None` where the kernel does not say.
pub fn huge_bytes(address: usize) -> Option<u64> {
    huge_bytes_in(&std::fs::read_to_string("/proc/self/smaps").ok()?, address)
}

/// Bytes of one huge page; `None` where the kernel has none.
pub fn huge_page_bytes() -> Option<u64> {
    std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?.trim().parse().ok()
}

/// A head line `from-to rwxp ...`, then lines `Name: number kB`, for each mapping.
fn huge_bytes_in(smaps: &str, address: usize) -> Option<u64> {
    let holds = |line: &&str| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let range = range.and_then(|(from, to)| Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?));
        range.is_some_and(|range| range.contains(&address))
    };
    let mut lines = smaps.lines().skip_while(|line| !holds(line)).skip(1);
    // Made by the kernel, or reserved by the operator: never both.
    let mapping = lines.by_ref().take_while(|line| line.split(' ').next().is_some_and(|name| name.ends_with(':')));
    let mut kib = None;
    for line in mapping {
        let value = ["AnonHugePages:", "Private_Hugetlb:"].iter().find_map(|name| line.strip_prefix(name));
        if let Some(value) = value {
            kib = Some(kib.unwrap_or(0) + value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?);
        }
    }
    Some(kib? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0000400000 rw-p 00000000 00:00 0 \nSize:               4096 kB\nAnonHugePages:      2048 kB\nPrivate_Hugetlb:       0 kB\n\
7f0000400000-7f0000600000 r--p 00000000 00:00 0 \nSize:               2048 kB\nAnonHugePages:         0 kB\n\
7f0000600000-7f0000a00000 r--p 00000000 00:00 0 /anon_hugepage (deleted)\nAnonHugePages:         0 kB\nPrivate_Hugetlb:    4096 kB\n";

    #[test]
    fn the_mapping_is_found_by_any_address_in_it() {
        assert_eq!(huge_bytes_in(SMAPS, 0x7f00_0000_0000), Some(2 << 20));
        assert_eq!(huge_bytes_in(SMAPS, 0x7f00_003f_ffff), Some(2 << 20));
        assert_eq!(huge_bytes_in(SMAPS, 0x7f00_0040_0000), Some(0));
        assert_eq!(huge_bytes_in(SMAPS, 0x7f00_0060_0000), Some(4 << 20), "reserved ones count too");
        assert_eq!(huge_bytes_in(SMAPS, 0x7f00_00a0_0000), None);
        assert_eq!(huge_bytes_in("", 1), None);
    }

    #[test]
    fn the_kernel_says_what_memory_of_ours_is_made_of() {
        let memory = vec![1u8; 16 << 20];
        let huge = huge_bytes(memory.as_ptr() as usize);
        assert!(huge.is_none_or(|bytes| bytes <= 17 << 20), "{huge:?}");
        assert!(huge_page_bytes().is_none_or(u64::is_power_of_two));
    }
}
