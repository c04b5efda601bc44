//! Names of categories, and the words by which feeds mean them.
//!
//! A verdict carries a set of sixteen category bits (see PROTOCOL.md); feeds carry free words. Only words that name a category
//! beyond doubt are taken; a malware family is `malware` by its feed already and adds nothing.

pub use verdict_tables::category::*;

/// The bit of a category's own name.
pub fn by_name(name: &str) -> Option<u16> {
    NAMES.iter().position(|known| *known == name).map(|bit| 1 << bit)
}

/// Names of the set bits, in bit order.
pub fn names(bits: u16) -> impl Iterator<Item = &'static str> {
    NAMES.iter().enumerate().filter(move |(bit, _)| bits & (1 << bit) != 0).map(|(_, name)| *name)
}

/// What one word of a feed says; 0 for a word that names no category.
pub fn of_word(word: &[u8]) -> u16 {
    let mut lower = [0; 24];
    let Some(lower) = lower.get_mut(..word.len()) else { return 0 };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    match &*lower {
        b"malware" | b"malware_download" | b"payload" | b"payload_delivery" | b"trojan" | b"ransomware" | b"stealer" | b"worm"
        | b"cc_skimming" => MALWARE,
        b"phishing" | b"phish" | b"credential_phishing" => PHISHING,
        b"c2" | b"c&c" | b"cc" | b"cnc" | b"botnet_cc" | b"command_and_control" | b"cobaltstrike" | b"cobalt strike" => C2,
        b"exploit" | b"exploitkit" | b"exploit_kit" | b"exploit-kit" => EXPLOIT,
        b"spam" | b"spammer" => SPAM,
        b"scanner" | b"scanning" | b"mass_scanner" | b"bruteforce" | b"brute-force" | b"bruteforcer" => SCANNER,
        b"unwanted" | b"adware" | b"pua" | b"pup" | b"riskware" => UNWANTED,
        b"dga" => DGA,
        b"cryptomining" | b"crypto_mining" | b"coinminer" | b"miner" | b"cryptominer" | b"xmrig" => CRYPTOMINING,
        b"scam" | b"fraud" => SCAM,
        b"compromised" | b"hacked" => COMPROMISED,
        b"test" | b"eicar" => TEST,
        _ => 0,
    }
}

/// What a list of words says, separated by commas, semicolons or bars.
pub fn of_words(words: &[u8]) -> u16 {
    words.split(|byte| matches!(byte, b',' | b';' | b'|')).fold(0, |bits, word| bits | of_word(word.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_agree() {
        for (bit, name) in NAMES.iter().enumerate() {
            assert_eq!(by_name(name), Some(1 << bit));
            assert_eq!(of_word(name.as_bytes()), 1 << bit, "{name}");
        }
        assert_eq!(names(C2 | TEST).collect::<Vec<_>>(), ["c2", "test"]);
        assert_eq!(by_name("Malware"), None);
    }

    #[test]
    fn takes_known_words_and_no_others() {
        assert_eq!(of_words(b"32-bit,elf,mips,Mozi"), 0);
        assert_eq!(of_words(b"CobaltStrike, Phishing|dga"), C2 | PHISHING | DGA);
        assert_eq!(of_words(b"a word that is longer than any that we know of"), 0);
        assert_eq!(of_words(b""), 0);
    }
}
