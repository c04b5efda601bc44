//! Reputation lists of Suricata: `address,category,reputation`, or an address with no more than that.
//!
//! The category is a number that another file names, which nobody hands us, and is left aside; the reputation, 1 to 127, is how sure the list is:
//! 127 is 100 %. Snort's lists are addresses and prefixes alone: an `address-list`.

use super::{Line, Reader, Row, Said};
use crate::judge::Expect;
use crate::reason::Reason;

/// `192.0.2.1,5,127`
pub struct IpReputation;

impl Reader for IpReputation {
    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        let line = line.trim_ascii();
        if let Some(other) = Line::without_row(line, |line| line[0] == b'#') {
            return other;
        }
        let Some((address, _, reputation)) = split(line) else { return Line::Refused(Reason::ListFormat) };
        let said = Said { confidence: Some((u32::from(reputation) * 100 / 127) as u8), ..Said::default() };
        if reputation == 0 {
            // The lowest reputation there is: the list takes the address back.
            return Line::Refused(Reason::Benign);
        }
        Line::Row(Row { said, ..Row::single(address, Expect::Address) })
    }
}

/// Address, category, reputation.
pub fn split(line: &[u8]) -> Option<(&[u8], u8, u8)> {
    let mut fields = line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let address = fields.next()?;
    let number = |field: Option<&[u8]>| std::str::from_utf8(field?).ok()?.parse::<u8>().ok();
    let (category, reputation) = (number(fields.next())?, number(fields.next())?);
    (fields.next().is_none() && category < 60 && reputation <= 127).then_some((address, category, reputation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reputation_is_how_sure_the_list_is() {
        assert_eq!(split(b"192.0.2.1,5,127"), Some((&b"192.0.2.1"[..], 5, 127)));
        for line in ["192.0.2.1", "192.0.2.1,5", "192.0.2.1,5,128", "192.0.2.1,60,1", "192.0.2.1,5,1,1", "192.0.2.1,x,1"] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
        match IpReputation.read(b"192.0.2.1,5,64") {
            Line::Row(row) => assert_eq!(row.said.confidence, Some(50)),
            other => panic!("{other:?}"),
        }
    }
}
